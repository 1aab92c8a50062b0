"""Object lock: the configuration of a bucket, retention and legal hold of versions, as documents and headers.

Source: Amazon S3 user guide, "Locking objects with Object Lock", and the API reference of its operations. What holds is
in `ais.core.holds`: it binds whoever removes a version, over any API.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from xml.etree.ElementTree import Element

from ais.base.errors import AccessDenied
from ais.core import holds
from ais.core.holds import GOVERNANCE, LEGAL_HOLD, MODE, MODES, OFF, ON, UNTIL, Retention
from ais.s3 import schema, xml
from ais.s3.errors import S3Error
from ais.s3.facts import Facts
from ais.s3.front import S3Request
from ais.s3.operations import Op

DOCUMENT = "object-lock"
"""Name among the documents of a bucket; a bucket that has it has object lock."""
HEADERS = ("x-amz-object-lock-mode", "x-amz-object-lock-retain-until-date", "x-amz-object-lock-legal-hold")
BYPASS = "x-amz-bypass-governance-retention"
SAYS: Mapping[Op, Sequence[Mapping[str, str]]] = {
    Op.PUT_OBJECT_RETENTION: ({}, *({"s3:object-lock-mode": mode} for mode in MODES)),
    Op.PUT_OBJECT_LEGAL_HOLD: tuple({"s3:object-lock-legal-hold": status} for status in (ON, OFF)),
}
"""What a document may say that conditions of policies ask for."""
DAYS_MAX = 36_500
_DAY_S = 86_400
_SCHEMA = schema.group(
    ObjectLockEnabled=schema.one_of("Enabled").needed(),
    Rule=schema.group(
        DefaultRetention=schema.group(
            Mode=schema.one_of(*MODES).needed(), Days=schema.text("-?[0-9]{1,9}"), Years=schema.text("-?[0-9]{1,9}")
        ).needed()
    ),
)
_RETENTION = schema.group(Mode=schema.one_of(*MODES), RetainUntilDate=schema.text())
_HOLD = schema.group(Status=schema.one_of(ON, OFF).needed())
ENABLED = xml.document("ObjectLockConfiguration", [("ObjectLockEnabled", "Enabled")]).decode()
"""What a bucket begins with that was created with object lock."""


def parse_configuration(body: bytes) -> str:
    """The configuration as it is kept. Raise `S3Error`."""
    root = xml.parse(body, "ObjectLockConfiguration")
    _SCHEMA.check(root)
    _default_s(root)
    return xml.rewritten(root).decode()


def _default_s(root: Element) -> int:
    """Seconds of the default retention; 0: there is none. Raise `S3Error`."""
    default = root.find("Rule/DefaultRetention")
    if default is None:
        return 0
    days, years = (xml.optional(default, name) for name in ("Days", "Years"))
    if (days is None) == (years is None):
        raise S3Error("MalformedXML", "A default retention takes Days or Years")
    count = int(days) if days is not None else int(years or 0) * 365
    if not 1 <= count <= DAYS_MAX:
        raise S3Error("InvalidRetentionPeriod")
    return count * _DAY_S


def retention_of(document: str) -> Retention | None:
    """How new versions are retained in a bucket with this configuration, when nothing else was asked for."""
    root = xml.parse(document.encode(), "ObjectLockConfiguration")
    seconds = _default_s(root)
    return Retention(root.findtext("Rule/DefaultRetention/Mode", ""), seconds) if seconds else None


def default_of(document: str, now_s: float) -> Facts:
    """The same as facts of a version that is made now."""
    default = retention_of(document)
    return default.facts(now_s) if default is not None else {}


def of_headers(request: S3Request, document: str, now_s: float) -> Facts:
    """What a new version is locked by: as its request says, else the bucket's default. Raise `S3Error`."""
    mode, until, hold = (request.get(name) for name in HEADERS)
    if not document:
        if mode or until or hold:
            raise S3Error("InvalidRequest", "Bucket is missing Object Lock Configuration")
        return {}
    if (mode is None) != (until is None):
        raise S3Error(
            "InvalidArgument",
            "x-amz-object-lock-retain-until-date and x-amz-object-lock-mode must both be supplied",
        )
    if mode is None or until is None:
        kept = default_of(document, now_s)
    elif mode not in MODES:
        raise S3Error("InvalidArgument", "Unknown wormMode directive.", ArgumentName=HEADERS[0])
    else:
        kept = {MODE: mode, UNTIL: str(_future(until, now_s))}
    if hold is None:
        return kept
    if hold not in (ON, OFF):
        raise S3Error("InvalidArgument", "Legal Hold must be either of 'ON' or 'OFF'", ArgumentName=HEADERS[2])
    return {**kept, LEGAL_HOLD: hold}


def _future(text: str, now_s: float) -> int:
    try:
        date = datetime.fromisoformat(text)
    except ValueError:
        raise S3Error("InvalidArgument", "The retain until date must be provided in ISO 8601 format") from None
    seconds = -int(-(date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp() // 1)
    if seconds <= now_s:
        raise S3Error("InvalidArgument", "The retain until date must be in the future!")
    return seconds


def parse_retention(body: bytes, now_s: float) -> Facts:
    """The facts of a `Retention` document; empty: no retention. Raise `S3Error`."""
    root = xml.parse(body, "Retention")
    _RETENTION.check(root)
    mode, until = xml.optional(root, "Mode"), xml.optional(root, "RetainUntilDate")
    if (mode is None) != (until is None):
        raise S3Error("MalformedXML", "A Retention has Mode and RetainUntilDate")
    return {MODE: mode, UNTIL: str(_future(until, now_s))} if mode is not None and until is not None else {}


def with_retention(kept: Facts, wanted: Facts, now_s: float, *, bypass: bool) -> Facts:
    """The facts of a version with another retention. Raise `AccessDenied` when the one it has would be weakened."""
    if holds.is_retained(kept, now_s):
        is_longer = int(wanted.get(UNTIL, 0)) >= int(kept[UNTIL])
        may_end = bypass and kept[MODE] == GOVERNANCE
        if not may_end and not (is_longer and wanted.get(MODE) == kept[MODE]):
            raise AccessDenied(
                "Access Denied because object protected by object lock: its retention can only be extended"
            )
    rest = {name: value for name, value in kept.items() if name not in (MODE, UNTIL)}
    return rest | wanted


def retention(kept: Mapping[str, str]) -> bytes:
    """The `Retention` of a version. Raise `S3Error` NoSuchObjectLockConfiguration."""
    if MODE not in kept:
        raise S3Error("NoSuchObjectLockConfiguration")
    return xml.document("Retention", [("Mode", kept[MODE]), ("RetainUntilDate", _iso(kept))])


def parse_legal_hold(body: bytes) -> str:
    """ON or OFF. Raise `S3Error`."""
    root = xml.parse(body, "LegalHold")
    _HOLD.check(root)
    return xml.text(root, "Status")


def legal_hold(kept: Mapping[str, str]) -> bytes:
    """The `LegalHold` of a version. Raise `S3Error` NoSuchObjectLockConfiguration."""
    if LEGAL_HOLD not in kept:
        raise S3Error("NoSuchObjectLockConfiguration")
    return xml.document("LegalHold", [("Status", kept[LEGAL_HOLD])])


def lines(kept: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """The headers of an answer about a version."""
    found: tuple[tuple[str, str], ...] = ()
    if MODE in kept:
        found += ((HEADERS[0], kept[MODE]), (HEADERS[1], _iso(kept)))
    return (*found, (HEADERS[2], kept[LEGAL_HOLD])) if LEGAL_HOLD in kept else found


def _iso(kept: Mapping[str, str]) -> str:
    return datetime.fromtimestamp(int(kept[UNTIL]), UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")


def asks_to_bypass(request: S3Request) -> bool:
    """Whether a request wants to end retentions of governance mode. Raise `S3Error` InvalidArgument."""
    value = request.header(BYPASS, "false").lower()
    if value not in ("true", "false"):
        raise S3Error("InvalidArgument", f"{BYPASS} is true or false", ArgumentName=BYPASS)
    return value == "true"
