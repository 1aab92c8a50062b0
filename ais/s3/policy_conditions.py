"""Conditions of policy statements: operators, the keys that are served, and whether one holds."""

import ipaddress
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime

from ais.s3 import policy_variables
from ais.s3.globs import like

Context = Mapping[str, str | Sequence[str]]
"""Lower-case condition keys to what the request says."""


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
            return test(_moment(value), _moment(wanted))
        except (ValueError, OverflowError, OSError):
            return False

    return compare


def _moment(text: str) -> datetime:
    """A date as policies write it: ISO 8601, without a zone UTC, or Unix seconds. Raise `ValueError`."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return datetime.fromtimestamp(float(text), UTC)
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _in_network(value: str, network: str) -> bool:
    try:
        return ipaddress.ip_address(value) in ipaddress.ip_network(network, strict=False)
    except ValueError:
        return False


OPERATORS: dict[str, Callable[[str, str], bool]] = {
    "StringEquals": lambda value, wanted: value == wanted,
    "StringEqualsIgnoreCase": lambda value, wanted: value.lower() == wanted.lower(),
    "StringLike": like,
    "ArnEquals": like,
    "ArnLike": like,
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
NEGATED = {
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
        *("aws:username", "aws:userid", "aws:PrincipalArn", "aws:PrincipalType", "aws:PrincipalAccount"),
        *("aws:TokenIssueTime", "aws:MultiFactorAuthPresent", "sts:ExternalId", "sts:RoleSessionName"),
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
_NEVER_SAID = frozenset(
    ("s3:locationconstraint", "s3:tlsversion", "s3:objectcreationoperation", "s3:requestobjecttagkeys")
)
"""Keys of Amazon's that no request here gives a value: a Deny that asks for one would never apply."""
QUANTIFIERS = ("", "ForAllValues", "ForAnyValue")


def takes_patterns(operator: str) -> bool:
    """Whether an operator's values may have wildcards."""
    base = operator.removesuffix("IfExists").rpartition(":")[2]
    return OPERATORS.get(NEGATED.get(base, base)) is like


def is_condition_key(name: str) -> bool:
    """Whether a key is evaluated."""
    return name.lower() in CONDITION_KEYS or name.lower().startswith(_CONDITION_KEY_PREFIXES)


def problem(operator: str, key: str, wanted: Sequence[str]) -> str:
    """Why a condition can never be decided; empty: it can. A value with a variable is known with the request only."""
    quantifier, _, base = operator.rpartition(":")
    plain = base.removesuffix("IfExists")
    if quantifier not in QUANTIFIERS or (plain == "Null" and base != plain):
        return f"Invalid Condition type : {operator}"
    if key.lower() in _NEVER_SAID or key.lower().startswith("s3:requestobjecttag/"):
        return f"No request gives the condition key {key} a value here"
    kind = NEGATED.get(plain, plain)
    for one in wanted:
        if "${" not in one and not _is_value(kind, one):
            return f"Invalid value of {operator}: {one[:100]}"
    return "" if wanted else f"{operator} {key} has no value"


def _is_value(kind: str, text: str) -> bool:
    try:
        if kind.startswith("Date"):
            _moment(text)
        elif kind.startswith("Numeric"):
            float(text)
        elif kind == "IpAddress":
            ipaddress.ip_network(text, strict=False)
        elif kind in ("Bool", "Null"):
            return text.lower() in ("true", "false")
    except (ValueError, OverflowError, OSError):
        return False
    return True


_OF_CALLERS = frozenset(("aws:sourceip", "aws:username", "aws:userid", "aws:principalarn", "aws:principalaccount"))
_NARROWING = ("StringEquals", "StringEqualsIgnoreCase", "StringLike", "ArnEquals", "ArnLike", "IpAddress")
_PREFIX_LEN_MIN = {4: 8, 6: 32}
"""Wider networks are the internet, by IP version, as at Amazon."""


def narrows(operator: str, key: str, wanted: Sequence[str]) -> bool:
    """Whether a condition holds for fixed callers only: one that says who it is not, or that may be left open, does
    not, nor does one for a wildcard or a network of half the world."""
    quantifier, _, base = operator.rpartition(":")
    if key.lower() not in _OF_CALLERS or quantifier == "ForAllValues" or base not in _NARROWING:
        return False
    return all(_is_fixed(key.lower(), base, one) for one in wanted)


def _is_fixed(key: str, operator: str, text: str) -> bool:
    if operator == "IpAddress":
        try:
            network = ipaddress.ip_network(text, strict=False)
        except ValueError:
            return False
        return network.is_private or network.prefixlen >= _PREFIX_LEN_MIN[network.version]
    if key == "aws:userid":
        text = text.removesuffix(":*")  # any session of one role
    return not any(mark in text for mark in ("*", "?", "${"))


def holds(
    operator: str, wanted: Sequence[str], given: str | Sequence[str] | None, values: Context | None = None
) -> bool:
    """Whether a condition holds for what the request says; `values`: of the variables, None where there are none."""
    quantifier, _, base = operator.rpartition(":")
    optional = base.endswith("IfExists")
    base = base.removesuffix("IfExists")
    if base == "Null":
        return any((given is None) == (one.lower() == "true") for one in wanted)
    if given is None:
        return optional or base in NEGATED or quantifier == "ForAllValues"
    said = [given] if isinstance(given, str) else list(given)
    negated = base in NEGATED
    test = OPERATORS[NEGATED.get(base, base)]
    if values is not None:
        expanded = (policy_variables.expand(one, values, is_pattern=test is like) for one in wanted)
        wanted = [one for one in expanded if one is not None]
    results = [any(test(value, one) for one in wanted) != negated for value in said]
    return all(results) if quantifier == "ForAllValues" or (negated and not quantifier) else any(results)
