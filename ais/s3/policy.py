"""Bucket policies: parse, validate, evaluate (AWS IAM user guide, "Policy evaluation logic"; S3 API, "Actions").

An explicit Deny wins over an Allow; what no statement mentions is up to the caller's other rights. Principals are `*`,
access-key users (`arn:aws:iam::<account>:user/<name>`, or the bare name), accounts, roles and sessions of roles. A
policy with a condition key, operator or variable that is not evaluated is refused when it is set.

Policies of users, groups and roles have no principal, trust policies of roles no resource; all are evaluated alike.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from enum import Enum, auto
from typing import Any, NamedTuple

import msgspec

from ais.api import codec
from ais.base.errors import BadRequest
from ais.s3 import actions, policy_variables
from ais.s3.errors import S3Error
from ais.s3.globs import like
from ais.s3.policy_conditions import (
    NEGATED,
    OPERATORS,
    Context,
    holds,
    is_condition_key,
    narrows,
    problem,
    takes_patterns,
)

VERSIONS = ("2012-10-17", "2008-10-17")
POLICY_BYTES_MAX = 20 << 10
STARS_MAX = 64
"""In one pattern."""
ODD_PATTERNS_MAX = 32
"""Patterns with a `?` in one policy: each is made a regular expression, of which so many are kept (`globs`)."""


class Verdict(Enum):
    """What the policy says about one request."""

    ALLOW = auto()
    DENY = auto()
    SILENT = auto()


class Statement(msgspec.Struct, frozen=True):
    """One statement, every list spelled out. Condition: operator -> key -> values."""

    effect: str
    principals: tuple[str, ...]
    not_principals: tuple[str, ...]
    actions: tuple[str, ...]
    not_actions: tuple[str, ...]
    resources: tuple[str, ...]
    not_resources: tuple[str, ...]
    conditions: dict[str, dict[str, tuple[str, ...]]]
    has_variables: bool = False
    """Whether `${...}` in resources and conditions stands for what the request says."""
    is_undecided: bool = False
    """Whether there is a condition that can never be decided: then it holds for a Deny, and for nothing else."""


class Caller(NamedTuple):
    """Who asks, as principals name them. All empty: an anonymous caller."""

    user: str | None = None
    """Of an access key that the administrator gave out: the root of its account."""
    names: frozenset[str] = frozenset()
    """What else the caller is called: `user/<account>/<name>`, `role/...`, `session/...`."""
    account: str = ""
    """The account's ID: who names it means everybody in it."""
    any_account: bool = True
    """Whether `user` is meant whatever account its ARN names."""

    def is_named(self, principal: str) -> bool:
        """Whether a principal is the caller, not only their account."""
        if principal in self.names or (self.user is not None and principal in (self.user, self.account)):
            return True
        return self.any_account and self.user is not None and _is_user_anywhere(principal, self.user)


def _is_user_anywhere(principal: str, user: str) -> bool:
    return principal.startswith("user/") and principal.endswith(f"/{user}")


def parse(body: bytes, bucket: str) -> tuple[Statement, ...]:
    """The statements of a policy document for `bucket`. Raise `S3Error` MalformedPolicy naming what is wrong."""
    return _parse(body, lambda statement: _check_of_bucket(statement, bucket), principal=True, resource=True)


def parse_identity(text: str) -> tuple[Statement, ...]:
    """The statements of a policy of a user, group or role. Raise as `parse` does."""
    return _parse(text.encode(), _check_of_identity, principal=False, resource=True)


def parse_trust(text: str) -> tuple[Statement, ...]:
    """The statements that say who may assume a role. Raise as `parse` does."""
    return _parse(text.encode(), _check_of_trust, principal=True, resource=False, is_key=_is_key_of_trust)


def check_new(statements: Sequence[Statement]) -> None:
    """Raise `S3Error` MalformedPolicy for what nothing here could decide: variables and conditions."""
    for statement in statements:
        if why := _undecided(statement):
            raise S3Error("MalformedPolicy", why)
        if statement.has_variables:
            for text in _texts(statement):
                policy_variables.check(text)
    if len({text for one in statements for text in _texts(one, only_patterns=True) if "?" in text}) > ODD_PATTERNS_MAX:
        raise S3Error("MalformedPolicy", f"A policy has at most {ODD_PATTERNS_MAX} patterns with ?: write * in others")


def _undecided(statement: Statement) -> str:
    """Why its conditions can never be decided; empty: they can."""
    found = (
        problem(operator, key, wanted)
        for operator, tests in statement.conditions.items()
        for key, wanted in tests.items()
    )
    return next(filter(None, found), "")


def _parse(
    body: bytes,
    check: Callable[[Statement], None],
    *,
    principal: bool,
    resource: bool,
    is_key: Callable[[str], bool] = is_condition_key,
) -> tuple[Statement, ...]:
    if len(body) > POLICY_BYTES_MAX:
        raise S3Error("MalformedPolicy", f"Policies are limited to {POLICY_BYTES_MAX} bytes")
    try:
        document = codec.parse_json(body)
    except BadRequest:
        raise S3Error("MalformedPolicy", "Policies must be valid JSON and the first byte must be '{'") from None
    if not isinstance(document, dict) or document.get("Version", VERSIONS[1]) not in VERSIONS:
        raise S3Error("MalformedPolicy", f"The policy must be an object with Version {VERSIONS[0]}")
    unknown = document.keys() - {"Version", "Id", "Statement"}
    statements = document.get("Statement")
    if isinstance(statements, dict):
        statements = [statements]
    if unknown or not isinstance(statements, list) or not statements:
        raise S3Error(
            "MalformedPolicy", f"Unknown field {min(unknown)}" if unknown else "Missing required field Statement"
        )
    needed = {"Principal": principal, "Action": True, "Resource": resource}
    has_variables = document.get("Version") == VERSIONS[0]
    parsed = tuple(_parse_statement(one, needed, has_variables, is_key) for one in statements)
    for one in parsed:
        if any(text.count("*") > STARS_MAX for text in _texts(one)):
            raise S3Error("MalformedPolicy", f"A pattern holds more than {STARS_MAX} wildcards")
        check(one)
    # Of a policy that was set before such were refused, a Deny applies whatever its condition would say.
    return tuple(msgspec.structs.replace(one, is_undecided=bool(_undecided(one))) for one in parsed)


def _check_of_bucket(statement: Statement, bucket: str) -> None:
    for action in (*statement.actions, *statement.not_actions):
        if action != "*" and (not action.lower().startswith("s3:") or not actions.is_action(action)):
            raise S3Error("MalformedPolicy", "Policy has invalid action")
    for resource in (*statement.resources, *statement.not_resources):
        arn = resource.removeprefix("arn:aws:s3:::")
        if arn == resource or not like(bucket, arn.partition("/")[0]):
            raise S3Error("MalformedPolicy", "Policy has invalid resource")


_ACTION = re.compile(r"[a-zA-Z0-9-]+:[a-zA-Z0-9*?]+")


def _check_of_identity(statement: Statement) -> None:
    for action in (*statement.actions, *statement.not_actions):
        if action != "*" and not _ACTION.fullmatch(action):
            raise S3Error("MalformedPolicy", f"{action[:100]} is no action: write service:Name")
        if action.lower().startswith("s3:") and not actions.is_action(action):
            raise S3Error("MalformedPolicy", f"{action[:100]} is no action of S3")
    for resource in (*statement.resources, *statement.not_resources):
        if resource != "*" and not resource.startswith("arn:"):
            raise S3Error("MalformedPolicy", f"Resource {resource[:100]} must be in ARN format or *")


def _check_of_trust(statement: Statement) -> None:
    for action in (*statement.actions, *statement.not_actions):
        if not action.lower().startswith("sts:"):
            raise S3Error("MalformedPolicy", "AssumeRole policy may only specify STS AssumeRole actions.")


_OF_TOKEN = re.compile(r"[a-z0-9-]+(\.[a-z0-9-]+|:[0-9]+)[a-z0-9.:-]*(/[!-9;-~]*)?:(aud|sub)", re.IGNORECASE)


def _is_key_of_trust(name: str) -> bool:
    """Also what a token of an issuer says, `accounts.example.com/path:sub`."""
    return is_condition_key(name) or bool(_OF_TOKEN.fullmatch(name))


_ARN = re.compile(r"arn:aws[a-z-]*:(iam|sts)::([0-9]*):(root|user|role|assumed-role)(?:/(.*))?")
_USER_NAME = re.compile(r"[A-Za-z0-9._@-]{1,64}")
_ROLE_NAME = re.compile(r"[A-Za-z0-9+=,.@_-]{1,128}")
_ELEMENTS = {
    *("Sid", "Effect", "Principal", "NotPrincipal", "Action", "NotAction", "Resource", "NotResource", "Condition"),
}


def _parse_statement(
    raw: Any, needed: Mapping[str, bool], has_variables: bool, is_key: Callable[[str], bool]
) -> Statement:
    if not isinstance(raw, dict) or raw.keys() - _ELEMENTS:
        raise S3Error("MalformedPolicy", "A statement holds an unknown element")
    if raw.get("Effect") not in ("Allow", "Deny"):
        raise S3Error("MalformedPolicy", "Effect must be Allow or Deny")
    for name, is_needed in needed.items():
        given = (name in raw) + (f"Not{name}" in raw)
        if given != is_needed:
            wanted = f"needs one of {name} and Not{name}" if is_needed else f"has no {name} in a policy of this kind"
            raise S3Error("MalformedPolicy", f"A statement {wanted}")
    return Statement(
        effect=raw["Effect"],
        principals=_principals(raw.get("Principal")),
        not_principals=_principals(raw.get("NotPrincipal")),
        actions=_strings(raw.get("Action"), "Action"),
        not_actions=_strings(raw.get("NotAction"), "NotAction"),
        resources=_strings(raw.get("Resource"), "Resource"),
        not_resources=_strings(raw.get("NotResource"), "NotResource"),
        conditions=_conditions(raw.get("Condition", {}), is_key),
        has_variables=has_variables,
    )


def _texts(statement: Statement, *, only_patterns: bool = False) -> Iterator[str]:
    """Everything in a statement that may hold variables, or (`only_patterns`) wildcards."""
    yield from (*statement.actions, *statement.not_actions, *statement.resources, *statement.not_resources)
    for operator, tests in statement.conditions.items():
        if not only_patterns or takes_patterns(operator):
            for wanted in tests.values():
                yield from wanted


def _strings(raw: Any, name: str) -> tuple[str, ...]:
    values = [] if raw is None else [raw] if isinstance(raw, str) else raw
    if raw is not None and not values:  # said of nobody and nothing, it would be read as of everybody and everything
        raise S3Error("MalformedPolicy", f"{name} is empty")
    if not isinstance(values, list) or not all(isinstance(one, str) for one in values):
        raise S3Error("MalformedPolicy", f"{name} must be a string or a list of strings")
    return tuple(values)


def _principals(raw: Any) -> tuple[str, ...]:
    if isinstance(raw, dict):
        if not raw or raw.keys() - {"AWS", "CanonicalUser", "Service", "Federated"}:
            raise S3Error("MalformedPolicy", "Invalid principal in policy")
        named = {kind: _strings(value, "Principal") for kind, value in raw.items()}
        users = tuple(_user(one) for kind in ("AWS", "CanonicalUser") for one in named.get(kind, ()))
        others = tuple(f"{kind}:{one}" for kind in ("Service", "Federated") for one in named.get(kind, ()))
        return users + others
    principals = _strings(raw, "Principal")
    if any(one != "*" for one in principals):
        raise S3Error("MalformedPolicy", "Invalid principal in policy")
    return principals


def _user(text: str) -> str:
    """What a principal names, as `Caller` compares it: a bare name, an account's ID, or `user/<account>/<name>`."""
    if not text.startswith("arn:"):
        if text != "*" and not _USER_NAME.fullmatch(text):
            raise S3Error("MalformedPolicy", "Invalid principal in policy")
        return text
    match = _ARN.fullmatch(text)
    service, account, kind, rest = match.groups() if match else ("", "", "", None)
    names = (rest or "").split("/")
    if kind == "user" and service == "iam" and _USER_NAME.fullmatch(names[-1]):
        return f"user/{account}/{names[-1]}"
    if len(account) != 12:
        raise S3Error("MalformedPolicy", "Invalid principal in policy")
    if kind == "root" and service == "iam" and rest is None:
        return account
    if kind == "role" and service == "iam" and _ROLE_NAME.fullmatch(names[-1]):
        return f"role/{account}/{names[-1]}"
    if kind == "assumed-role" and service == "sts" and len(names) == 2 and all(map(_ROLE_NAME.fullmatch, names)):
        return f"session/{account}/{names[0]}/{names[1]}"
    raise S3Error("MalformedPolicy", "Invalid principal in policy")


def _conditions(raw: Any, is_key: Callable[[str], bool]) -> dict[str, dict[str, tuple[str, ...]]]:
    if not isinstance(raw, dict):
        raise S3Error("MalformedPolicy", "Condition must be an object")
    conditions: dict[str, dict[str, tuple[str, ...]]] = {}
    for operator, tests in raw.items():
        base = operator.removesuffix("IfExists").rpartition(":")[2]
        if base != "Null" and base not in OPERATORS and base not in NEGATED:
            raise S3Error("MalformedPolicy", f"Invalid Condition type : {operator}")
        if not isinstance(tests, dict):
            raise S3Error("MalformedPolicy", "A condition must map keys to values")
        for key, wanted in tests.items():
            if not is_key(key):
                raise S3Error("MalformedPolicy", f"Policy has an invalid condition key: {key}")
            texts = [str(one).lower() if isinstance(one, bool) else str(one) for one in _as_list(wanted)]
            conditions.setdefault(operator, {})[key] = tuple(texts)
    return conditions


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def asks_for_tags(statements: Sequence[Statement]) -> bool:
    """Whether any condition is about the tags that an object has."""
    keys = (key for one in statements for tests in one.conditions.values() for key in tests)
    return any(key.lower().startswith("s3:existingobjecttag/") for key in keys)


def evaluate(
    statements: Sequence[Statement], *, caller: Caller, action: str, bucket: str, key: str, context: Context
) -> Verdict:
    """Decide on an `s3:` action on a bucket or key. `context`: lower-case condition keys to values."""
    return judge(statements, caller, action, arn_of(bucket, key), context)


def arn_of(bucket: str, key: str) -> str:
    """The resource of a bucket, or of a key."""
    return f"arn:aws:s3:::{bucket}" + (f"/{key}" if key else "")


def judge(statements: Sequence[Statement], caller: Caller, action: str, resource: str, context: Context) -> Verdict:
    """Decide on any action on any resource."""
    allowed = False
    for statement in statements:
        if _applies(statement, caller, action, resource, context):
            if statement.effect == "Deny":
                return Verdict.DENY
            allowed = True
    return Verdict.ALLOW if allowed else Verdict.SILENT


def _applies(statement: Statement, caller: Caller, action: str, resource: str, context: Context) -> bool:
    if statement.principals and not _is_principal(caller, statement.principals):
        return False
    if any(one == "*" or caller.is_named(one) for one in statement.not_principals):
        return False
    if statement.actions and not any(like(action.lower(), one.lower()) for one in statement.actions):
        return False
    if any(like(action.lower(), one.lower()) for one in statement.not_actions):
        return False
    values = context if statement.has_variables else None
    if statement.resources and not any(_is_resource(resource, one, values) for one in statement.resources):
        return False
    if any(_is_resource(resource, one, values) for one in statement.not_resources):
        return False
    if statement.is_undecided:
        return statement.effect == "Deny"
    return all(
        holds(operator, wanted, context.get(name.lower()), values)
        for operator, tests in statement.conditions.items()
        for name, wanted in tests.items()
    )


def _is_resource(resource: str, pattern: str, values: Context | None) -> bool:
    if values is None or "${" not in pattern:
        return like(resource, pattern)
    expanded = policy_variables.expand(pattern, values, is_pattern=True)
    return expanded is not None and like(resource, expanded)


def _is_principal(caller: Caller, principals: Sequence[str]) -> bool:
    return any(one == "*" or one == caller.account or caller.is_named(one) for one in principals)


def is_public(statements: Sequence[Statement]) -> bool:
    """Whether the policy allows something to everybody without narrowing it to fixed callers."""
    return any(
        statement.effect == "Allow"
        and ("*" in statement.principals or bool(statement.not_principals))
        and not any(
            narrows(operator, key, wanted)
            for operator, tests in statement.conditions.items()
            for key, wanted in tests.items()
        )
        for statement in statements
    )


def below(statements: Sequence[Statement], bucket: str, prefix: str) -> Iterator[str]:
    """Keys with a prefix, one for each pattern of a Deny that matches some: who may do a thing with these, and with the
    prefix and a star, may with all of them.
    """
    begin = f"{bucket}/{prefix}"
    for resource in (one for statement in statements if statement.effect == "Deny" for one in statement.resources):
        head, star, rest = resource.removeprefix("arn:aws:s3:::").partition("*")
        shown = "".join(there if odd == "?" else odd for odd, there in zip(head, begin, strict=False))
        head = shown + head[len(begin) :]
        if head.startswith(begin):
            yield f"{head}{star}{rest}".removeprefix(f"{bucket}/")
        elif star and begin.startswith(head):
            yield f"{prefix}*{rest}"
