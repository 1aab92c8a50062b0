"""Bucket policies: parse, validate, evaluate (AWS IAM user guide, "Policy evaluation logic"; S3 API, "Actions").

An explicit Deny wins over an Allow; what no statement mentions is up to the caller's other rights. Principals are `*`
or access-key users (`arn:aws:iam::<account>:user/<name>`, or the bare name). Condition keys served are those that S3
defines for the actions we serve; a policy with another key or operator is refused when it is set.
"""

import functools
import ipaddress
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from enum import Enum, auto
from typing import Any

import msgspec

from ais.api import codec
from ais.base.errors import BadRequest
from ais.s3.errors import S3Error
from ais.s3.operations import Op

VERSIONS = ("2012-10-17", "2008-10-17")
POLICY_BYTES_MAX = 20 << 10
STARS_MAX = 64
"""In one pattern."""


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


_BUCKET_ACTION = {
    Op.LIST_OBJECTS: "ListBucket",
    Op.LIST_OBJECTS_V2: "ListBucket",
    Op.HEAD_BUCKET: "ListBucket",
    Op.LIST_OBJECT_VERSIONS: "ListBucketVersions",
    Op.LIST_MULTIPART_UPLOADS: "ListBucketMultipartUploads",
    Op.GET_BUCKET_LIFECYCLE: "GetLifecycleConfiguration",
    Op.PUT_BUCKET_LIFECYCLE: "PutLifecycleConfiguration",
    Op.DELETE_BUCKET_LIFECYCLE: "PutLifecycleConfiguration",
    Op.GET_BUCKET_CORS: "GetBucketCORS",
    Op.PUT_BUCKET_CORS: "PutBucketCORS",
    Op.DELETE_BUCKET_CORS: "PutBucketCORS",
    Op.DELETE_BUCKET_TAGGING: "PutBucketTagging",
    Op.GET_PUBLIC_ACCESS_BLOCK: "GetBucketPublicAccessBlock",
    Op.PUT_PUBLIC_ACCESS_BLOCK: "PutBucketPublicAccessBlock",
    Op.DELETE_PUBLIC_ACCESS_BLOCK: "PutBucketPublicAccessBlock",
    Op.DELETE_BUCKET_OWNERSHIP: "PutBucketOwnershipControls",
    Op.DELETE_BUCKET_WEBSITE: "DeleteBucketWebsite",
    Op.GET_BUCKET_ACCELERATE: "GetAccelerateConfiguration",
    Op.PUT_BUCKET_ACCELERATE: "PutAccelerateConfiguration",
    Op.GET_BUCKET_NOTIFICATION: "GetBucketNotification",
    Op.PUT_BUCKET_NOTIFICATION: "PutBucketNotification",
    Op.GET_BUCKET_REPLICATION: "GetReplicationConfiguration",
    Op.PUT_BUCKET_REPLICATION: "PutReplicationConfiguration",
    Op.DELETE_BUCKET_REPLICATION: "PutReplicationConfiguration",
    Op.GET_BUCKET_ENCRYPTION: "GetEncryptionConfiguration",
    Op.PUT_BUCKET_ENCRYPTION: "PutEncryptionConfiguration",
    Op.DELETE_BUCKET_ENCRYPTION: "PutEncryptionConfiguration",
    Op.GET_OBJECT_LOCK: "GetBucketObjectLockConfiguration",
    Op.PUT_OBJECT_LOCK: "PutBucketObjectLockConfiguration",
    Op.LIST_BUCKET_INVENTORY: "GetInventoryConfiguration",
    Op.GET_BUCKET_INVENTORY: "GetInventoryConfiguration",
    Op.PUT_BUCKET_INVENTORY: "PutInventoryConfiguration",
    Op.DELETE_BUCKET_INVENTORY: "PutInventoryConfiguration",
    Op.LIST_BUCKET_ANALYTICS: "GetAnalyticsConfiguration",
    Op.GET_BUCKET_ANALYTICS: "GetAnalyticsConfiguration",
    Op.PUT_BUCKET_ANALYTICS: "PutAnalyticsConfiguration",
    Op.DELETE_BUCKET_ANALYTICS: "PutAnalyticsConfiguration",
    Op.LIST_BUCKET_METRICS: "GetMetricsConfiguration",
    Op.GET_BUCKET_METRICS: "GetMetricsConfiguration",
    Op.PUT_BUCKET_METRICS: "PutMetricsConfiguration",
    Op.DELETE_BUCKET_METRICS: "PutMetricsConfiguration",
    Op.LIST_BUCKET_TIERING: "GetIntelligentTieringConfiguration",
    Op.GET_BUCKET_TIERING: "GetIntelligentTieringConfiguration",
    Op.PUT_BUCKET_TIERING: "PutIntelligentTieringConfiguration",
    Op.DELETE_BUCKET_TIERING: "PutIntelligentTieringConfiguration",
    Op.LIST_BUCKETS: "ListAllMyBuckets",
    Op.HEAD_OBJECT: "GetObject",
    Op.COPY_OBJECT: "PutObject",
    Op.POST_OBJECT: "PutObject",
    Op.CREATE_MULTIPART_UPLOAD: "PutObject",
    Op.UPLOAD_PART: "PutObject",
    Op.UPLOAD_PART_COPY: "PutObject",
    Op.COMPLETE_MULTIPART_UPLOAD: "PutObject",
    Op.LIST_PARTS: "ListMultipartUploadParts",
    Op.DELETE_OBJECTS: "DeleteObject",
}
_VERSIONED = {
    "GetObject": "GetObjectVersion",
    "DeleteObject": "DeleteObjectVersion",
    "GetObjectAttributes": "GetObjectVersionAttributes",
    "GetObjectTagging": "GetObjectVersionTagging",
    "PutObjectTagging": "PutObjectVersionTagging",
    "DeleteObjectTagging": "DeleteObjectVersionTagging",
    "GetObjectAcl": "GetObjectVersionAcl",
    "PutObjectAcl": "PutObjectVersionAcl",
}


def action_of(op: Op, versioned: bool = False) -> str:
    """The policy action of an operation: `s3:GetObject`; with a version ID `s3:GetObjectVersion`."""
    name = _BUCKET_ACTION.get(op, op.value)
    return "s3:" + (_VERSIONED.get(name, name) if versioned else name)


_ACTIONS = {action_of(op, versioned).lower() for op in Op for versioned in (False, True)} | {
    f"s3:{name.lower()}"
    for name in (
        *("AbortMultipartUpload", "BypassGovernanceRetention", "CreateAccessPoint", "CreateSession"),
        *("GetObjectTorrent", "GetObjectVersionTorrent", "GetObjectVersionForReplication", "InitiateReplication"),
        *("ListAllMyBuckets", "ObjectOwnerOverrideToBucketOwner", "PutObjectVersionAcl", "ReplicateDelete"),
        *("ReplicateObject", "ReplicateTags", "RestoreObject", "UpdateBucketMetadataTableConfiguration"),
        *("GetAnalyticsConfiguration", "GetBucketMetadataTableConfiguration", "PutBucketObjectLockConfiguration"),
        *("CreateBucketMetadataTableConfiguration", "DeleteBucketMetadataTableConfiguration", "RenameObject"),
        *("GetObjectVersionAttributes", "PutObjectAnnotation", "GetObjectAnnotation", "DeleteObjectAnnotation"),
        *("GetBucketAcl", "PutBucketAcl", "GetBucketPolicyStatus", "UpdateObjectEncryption"),
    )
}
"""Those that Amazon has and that are about buckets and objects."""


def _is_action(pattern: str) -> bool:
    """Whether a policy's action is one, or a pattern that some of them match."""
    pattern = pattern.lower()
    if "*" not in pattern and "?" not in pattern:
        return pattern in _ACTIONS
    return any(map(_glob(pattern).fullmatch, _ACTIONS))


@functools.lru_cache(maxsize=1024)
def _glob(pattern: str) -> "re.Pattern[str]":
    """`*` and `?` as a regular expression that never tries again what it found after a star: see `fnmatch`."""
    first, *middle = ("".join("." if c == "?" else re.escape(c) for c in part) for part in pattern.split("*"))
    last = ".*" + middle.pop() if middle else ""
    return re.compile(first + "".join(f"(?>.*?{part})" for part in middle if part) + last, re.DOTALL)


def _like(value: str, pattern: str) -> bool:
    return _glob(pattern).fullmatch(value) is not None


def _number(test: Callable[[float, float], bool]) -> Callable[[str, str], bool]:
    def compare(value: str, wanted: str) -> bool:
        try:
            return test(float(value), float(wanted))
        except ValueError:
            return False

    return compare


def _date(test: Callable[[datetime, datetime], bool]) -> Callable[[str, str], bool]:
    def compare(value: str, wanted: str) -> bool:
        try:
            return test(datetime.fromisoformat(value), datetime.fromisoformat(wanted))
        except (ValueError, TypeError):
            return False

    return compare


def _in_network(value: str, network: str) -> bool:
    try:
        return ipaddress.ip_address(value) in ipaddress.ip_network(network, strict=False)
    except ValueError:
        return False


_OPERATORS: dict[str, Callable[[str, str], bool]] = {
    "StringEquals": lambda value, wanted: value == wanted,
    "StringEqualsIgnoreCase": lambda value, wanted: value.lower() == wanted.lower(),
    "StringLike": _like,
    "ArnEquals": _like,
    "ArnLike": _like,
    "Bool": lambda value, wanted: value.lower() == wanted.lower(),
    "IpAddress": _in_network,
    "NumericEquals": _number(lambda value, wanted: value == wanted),
    "NumericLessThan": _number(lambda value, wanted: value < wanted),
    "NumericLessThanEquals": _number(lambda value, wanted: value <= wanted),
    "NumericGreaterThan": _number(lambda value, wanted: value > wanted),
    "NumericGreaterThanEquals": _number(lambda value, wanted: value >= wanted),
    "DateEquals": _date(lambda value, wanted: value == wanted),
    "DateLessThan": _date(lambda value, wanted: value < wanted),
    "DateLessThanEquals": _date(lambda value, wanted: value <= wanted),
    "DateGreaterThan": _date(lambda value, wanted: value > wanted),
    "DateGreaterThanEquals": _date(lambda value, wanted: value >= wanted),
}
_NEGATED = {
    "StringNotEquals": "StringEquals",
    "StringNotEqualsIgnoreCase": "StringEqualsIgnoreCase",
    "StringNotLike": "StringLike",
    "ArnNotEquals": "ArnEquals",
    "ArnNotLike": "ArnLike",
    "NotIpAddress": "IpAddress",
    "NumericNotEquals": "NumericEquals",
    "DateNotEquals": "DateEquals",
}
CONDITION_KEYS = frozenset(
    key.lower()
    for key in (
        *("aws:SourceIp", "aws:SecureTransport", "aws:CurrentTime", "aws:EpochTime", "aws:UserAgent", "aws:Referer"),
        *("aws:username", "aws:userid", "aws:PrincipalArn", "aws:PrincipalType"),
        *("s3:prefix", "s3:delimiter", "s3:max-keys", "s3:VersionId", "s3:authType", "s3:signatureversion"),
        *("s3:signatureAge", "s3:x-amz-acl", "s3:x-amz-content-sha256", "s3:x-amz-copy-source"),
        *("s3:x-amz-metadata-directive", "s3:x-amz-storage-class", "s3:LocationConstraint", "s3:TlsVersion"),
        *("s3:x-amz-server-side-encryption", "s3:x-amz-server-side-encryption-aws-kms-key-id"),
        *("s3:x-amz-server-side-encryption-customer-algorithm", "s3:object-lock-mode", "s3:object-lock-legal-hold"),
        *("s3:x-amz-grant-full-control", "s3:x-amz-grant-read", "s3:x-amz-grant-write", "s3:x-amz-grant-read-acp"),
        *("s3:x-amz-grant-write-acp", "s3:x-amz-object-ownership"),
        *("s3:RequestObjectTagKeys", "s3:if-match", "s3:if-none-match", "s3:ObjectCreationOperation"),
    )
)
_CONDITION_KEY_PREFIXES = ("s3:existingobjecttag/", "s3:requestobjecttag/")


def parse(body: bytes, bucket: str) -> tuple[Statement, ...]:
    """The statements of a policy document for `bucket`. Raise `S3Error` MalformedPolicy naming what is wrong."""
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
    return tuple(_parse_statement(one, bucket) for one in statements)


_USER_ARN = re.compile(r"arn:aws[a-z-]*:iam::[0-9]*:user/(?:[^:/]+/)*([^:/]+)")
_USER_NAME = re.compile(r"[A-Za-z0-9._@-]{1,64}")
_ELEMENTS = {
    *("Sid", "Effect", "Principal", "NotPrincipal", "Action", "NotAction", "Resource", "NotResource", "Condition"),
}


def _parse_statement(raw: Any, bucket: str) -> Statement:
    if not isinstance(raw, dict) or raw.keys() - _ELEMENTS:
        raise S3Error("MalformedPolicy", "A statement holds an unknown element")
    if raw.get("Effect") not in ("Allow", "Deny"):
        raise S3Error("MalformedPolicy", "Effect must be Allow or Deny")
    for name in ("Principal", "Action", "Resource"):
        if (name in raw) == (f"Not{name}" in raw):
            raise S3Error("MalformedPolicy", f"A statement needs one of {name} and Not{name}")
    statement = Statement(
        effect=raw["Effect"],
        principals=_principals(raw.get("Principal")),
        not_principals=_principals(raw.get("NotPrincipal")),
        actions=_strings(raw.get("Action"), "Action"),
        not_actions=_strings(raw.get("NotAction"), "NotAction"),
        resources=_strings(raw.get("Resource"), "Resource"),
        not_resources=_strings(raw.get("NotResource"), "NotResource"),
        conditions=_conditions(raw.get("Condition", {})),
    )
    for action in (*statement.actions, *statement.not_actions):
        if action != "*" and (not action.lower().startswith("s3:") or not _is_action(action)):
            raise S3Error("MalformedPolicy", "Policy has invalid action")
    if any(one.count("*") > STARS_MAX for one in _texts(statement)):
        raise S3Error("MalformedPolicy", f"A pattern holds more than {STARS_MAX} wildcards")
    for resource in (*statement.resources, *statement.not_resources):
        arn = resource.removeprefix("arn:aws:s3:::")
        if arn == resource or not _like(bucket, arn.partition("/")[0]):
            raise S3Error("MalformedPolicy", "Policy has invalid resource")
    return statement


def _texts(statement: Statement) -> Iterator[str]:
    """Everything in a statement that may hold wildcards."""
    yield from (*statement.actions, *statement.not_actions, *statement.resources, *statement.not_resources)
    for tests in statement.conditions.values():
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
    """The user that a principal names; services and federations, which nobody is here, keep their kind before them."""
    name = text
    if text.startswith("arn:"):
        match = _USER_ARN.fullmatch(text)
        name = match[1] if match else ""
    if name != "*" and not _USER_NAME.fullmatch(name):
        raise S3Error("MalformedPolicy", "Invalid principal in policy")
    return name


def _conditions(raw: Any) -> dict[str, dict[str, tuple[str, ...]]]:
    if not isinstance(raw, dict):
        raise S3Error("MalformedPolicy", "Condition must be an object")
    conditions: dict[str, dict[str, tuple[str, ...]]] = {}
    for operator, tests in raw.items():
        base = operator.removesuffix("IfExists").rpartition(":")[2]
        if base != "Null" and base not in _OPERATORS and base not in _NEGATED:
            raise S3Error("MalformedPolicy", f"Invalid Condition type : {operator}")
        if not isinstance(tests, dict):
            raise S3Error("MalformedPolicy", "A condition must map keys to values")
        for key, wanted in tests.items():
            if key.lower() not in CONDITION_KEYS and not key.lower().startswith(_CONDITION_KEY_PREFIXES):
                raise S3Error("MalformedPolicy", f"Policy has an invalid condition key: {key}")
            texts = [str(one).lower() if isinstance(one, bool) else str(one) for one in _as_list(wanted)]
            conditions.setdefault(operator, {})[key] = tuple(texts)
    return conditions


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def evaluate(
    statements: Sequence[Statement],
    *,
    user: str | None,
    action: str,
    bucket: str,
    key: str,
    context: Mapping[str, str | Sequence[str]],
) -> Verdict:
    """Decide for a user (None = anonymous) and `s3:` action. `context`: lower-case condition keys to values."""
    resource = f"arn:aws:s3:::{bucket}" + (f"/{key}" if key else "")
    allowed = False
    for statement in statements:
        if _applies(statement, user, action, resource, context):
            if statement.effect == "Deny":
                return Verdict.DENY
            allowed = True
    return Verdict.ALLOW if allowed else Verdict.SILENT


def _applies(
    statement: Statement, user: str | None, action: str, resource: str, context: Mapping[str, str | Sequence[str]]
) -> bool:
    if statement.principals and not _is_principal(user, statement.principals):
        return False
    if statement.not_principals and _is_principal(user, statement.not_principals):
        return False
    if statement.actions and not any(_like(action.lower(), one.lower()) for one in statement.actions):
        return False
    if any(_like(action.lower(), one.lower()) for one in statement.not_actions):
        return False
    if statement.resources and not any(_like(resource, one) for one in statement.resources):
        return False
    if any(_like(resource, one) for one in statement.not_resources):
        return False
    return all(
        _holds(operator, wanted, context.get(name.lower()))
        for operator, tests in statement.conditions.items()
        for name, wanted in tests.items()
    )


def _is_principal(user: str | None, principals: Sequence[str]) -> bool:
    return any(one == "*" or (user is not None and one == user) for one in principals)


def _holds(operator: str, wanted: Sequence[str], given: str | Sequence[str] | None) -> bool:
    quantifier, _, base = operator.rpartition(":")
    if base == "Null":
        return any((given is None) == (one == "true") for one in wanted)
    optional = base.endswith("IfExists")
    base = base.removesuffix("IfExists")
    if given is None:
        return optional or base in _NEGATED or quantifier == "ForAllValues"
    values = [given] if isinstance(given, str) else list(given)
    negated = base in _NEGATED
    test = _OPERATORS[_NEGATED.get(base, base)]
    results = [any(test(value, one) for one in wanted) != negated for value in values]
    return all(results) if quantifier == "ForAllValues" or (negated and not quantifier) else any(results)


def is_public(statements: Sequence[Statement]) -> bool:
    """Whether the policy allows something to everybody without narrowing it to fixed callers."""
    narrowing = {"aws:sourceip", "aws:username", "aws:userid", "aws:principalarn"}
    return any(
        statement.effect == "Allow"
        and ("*" in statement.principals or bool(statement.not_principals))
        and not any(name.lower() in narrowing for tests in statement.conditions.values() for name in tests)
        for statement in statements
    )
