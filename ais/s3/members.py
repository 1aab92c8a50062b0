"""The `x-amz-` headers of each operation: which are honoured, and which are refused because they ask for more.

Source: Amazon S3 API reference, the request syntax of each operation. `tests/s3/test_model.py` compares this table with
Amazon's own model: a header that is documented for an operation stands in one of the two.
"""

from collections.abc import Mapping, Sequence

from ais.s3.checksums import ALGORITHMS
from ais.s3.errors import S3Error
from ais.s3.operations import Op

USER_METADATA = "x-amz-meta-"
EVERYWHERE = frozenset(
    (
        *(
            "x-amz-date",
            "x-amz-content-sha256",
            "x-amz-security-token",
            "x-amz-decoded-content-length",
            "x-amz-trailer",
        ),
        *("x-amz-user-agent", "x-amz-te", "x-amz-expected-bucket-owner", "x-amz-request-payer"),
        *("x-amz-sdk-checksum-algorithm", "x-amz-api-version", "x-amz-id-2", "x-amz-request-id", "x-amz-cf-id"),
    )
)
"""Of any request; the last ones say nothing to a server."""
_CHECKSUMS = frozenset(one.header for one in ALGORITHMS.values())
_GRANTS = frozenset(f"x-amz-grant-{right}" for right in ("full-control", "read", "read-acp", "write", "write-acp"))
_ACL = _GRANTS | {"x-amz-acl"}
_LOCK = frozenset(("x-amz-object-lock-mode", "x-amz-object-lock-retain-until-date", "x-amz-object-lock-legal-hold"))
_BYPASS = frozenset(("x-amz-bypass-governance-retention",))
_CUSTOMER = frozenset(f"x-amz-server-side-encryption-customer-{name}" for name in ("algorithm", "key", "key-md5"))
_SSE = _CUSTOMER | frozenset(
    f"x-amz-server-side-encryption{name}" for name in ("", "-aws-kms-key-id", "-context", "-bucket-key-enabled")
)
_NEW_OBJECT = _ACL | _LOCK | _SSE | {"x-amz-storage-class", "x-amz-tagging", "x-amz-website-redirect-location"}
_SOURCE = frozenset(
    (
        *("x-amz-copy-source", "x-amz-copy-source-if-match", "x-amz-copy-source-if-modified-since"),
        *("x-amz-copy-source-if-none-match", "x-amz-copy-source-if-unmodified-since"),
        "x-amz-source-expected-bucket-owner",
        *(f"x-amz-copy-source-server-side-encryption-customer-{name}" for name in ("algorithm", "key", "key-md5")),
    )
)
_LISTING = frozenset(("x-amz-optional-object-attributes",))

HONOURED: Mapping[Op, frozenset[str]] = {
    Op.CREATE_BUCKET: _ACL | {"x-amz-bucket-object-lock-enabled", "x-amz-object-ownership"},
    Op.PUT_BUCKET_LIFECYCLE: frozenset(("x-amz-transition-default-minimum-object-size",)),
    Op.PUT_BUCKET_ACL: _ACL,
    Op.PUT_BUCKET_NOTIFICATION: frozenset(("x-amz-skip-destination-validation",)),
    Op.PUT_BUCKET_POLICY: frozenset(("x-amz-confirm-remove-self-bucket-access",)),
    Op.LIST_OBJECTS: _LISTING,
    Op.LIST_OBJECTS_V2: _LISTING,
    Op.LIST_OBJECT_VERSIONS: _LISTING,
    Op.PUT_OBJECT_ACL: _ACL,
    Op.PUT_OBJECT: _NEW_OBJECT | _CHECKSUMS,
    Op.COPY_OBJECT: _NEW_OBJECT
    | _SOURCE
    | {"x-amz-checksum-algorithm", "x-amz-metadata-directive", "x-amz-tagging-directive"},
    Op.CREATE_MULTIPART_UPLOAD: _NEW_OBJECT | {"x-amz-checksum-algorithm", "x-amz-checksum-type"},
    Op.PUT_REPLICA: _CHECKSUMS | _SSE,
    Op.UPLOAD_PART: _CHECKSUMS | _CUSTOMER,
    Op.UPLOAD_PART_COPY: _SOURCE | _CUSTOMER | {"x-amz-copy-source-range"},
    Op.LIST_PARTS: _CUSTOMER,
    Op.COMPLETE_MULTIPART_UPLOAD: _CHECKSUMS | _CUSTOMER | {"x-amz-checksum-type", "x-amz-mp-object-size"},
    Op.ABORT_MULTIPART_UPLOAD: frozenset(("x-amz-if-match-initiated-time",)),
    Op.GET_OBJECT: _CUSTOMER | {"x-amz-checksum-mode"},
    Op.HEAD_OBJECT: _CUSTOMER | {"x-amz-checksum-mode"},
    Op.GET_OBJECT_ATTRIBUTES: _CUSTOMER | {"x-amz-object-attributes", "x-amz-max-parts", "x-amz-part-number-marker"},
    Op.DELETE_OBJECT: _BYPASS | {"x-amz-if-match-last-modified-time", "x-amz-if-match-size"},
    Op.DELETE_OBJECTS: _BYPASS,
    Op.PUT_OBJECT_RETENTION: _BYPASS,
}
"""Beside `EVERYWHERE` and `x-amz-meta-*`."""

_VALUES: Mapping[str, tuple[str, ...]] = {
    "x-amz-request-payer": ("requester",),
    "x-amz-checksum-mode": ("enabled",),
    "x-amz-optional-object-attributes": ("restorestatus",),
    "x-amz-confirm-remove-self-bucket-access": ("true", "false"),
    "x-amz-skip-destination-validation": ("true", "false"),
}
"""What these may say, in any case. No object is ever being restored; no policy keeps the owner from changing it."""

_WITH_CHECKSUM = frozenset((Op.PUT_OBJECT, Op.PUT_REPLICA, Op.UPLOAD_PART, Op.COMPLETE_MULTIPART_UPLOAD))
_TAKES_CONTENT = frozenset((Op.PUT_OBJECT, Op.PUT_REPLICA, Op.UPLOAD_PART))
_ELSEWHERE = frozenset().union(*HONOURED.values())
"""Honoured by one operation or another: beside a request that has no use for it, it asks for nothing."""

REFUSED: Mapping[str, str] = {
    "x-amz-bucket-namespace": "buckets have one namespace",
    "x-amz-bucket-object-lock-token": "buckets are given their object lock when they are created, or by their owner",
    "x-amz-mfa": "MFA delete is not supported",
    "x-amz-object-annotation-directive": "objects have no annotations",
    "x-amz-object-lock-event-": "versions are held by retention or legal hold",
    "x-amz-object-ownership-override": "objects belong to who writes them, or to the owner of the bucket",
    "x-amz-rename-source": "objects are not renamed over S3: copy and delete them",
    "x-amz-s3session-token": "there are no sessions: sign with an access key",
    "x-amz-write-offset-bytes": "objects are written whole",
}
"""Names, or what names begin with, and the reason."""
_REFUSED = tuple(REFUSED)
_ASKS_TO_ENCRYPT = "x-amz-server-side-encryption"


def check(op: Op, headers: Mapping[str, Sequence[str]]) -> None:
    """Raise `S3Error` for a header (lower-case) that asks for what is not done. Nothing was read or done before."""
    if op in _TAKES_CONTENT and "content-range" in headers:
        raise S3Error("NotImplemented", "The header content-range is of a part of an object: objects are written whole")
    for name, values in headers.items():
        if not name.startswith("x-amz-") or name.startswith(USER_METADATA):
            continue
        if name in _VALUES and values[0].lower() not in _VALUES[name]:
            raise S3Error("InvalidArgument", f"{name} is {' or '.join(_VALUES[name])}", ArgumentName=name)
        if not is_heeded(op, name):
            _check_other(op, name)


def is_heeded(op: Op, name: str) -> bool:
    """Whether a header says something to an operation."""
    return name in EVERYWHERE or name in HONOURED.get(op, ())


def is_refused(op: Op, name: str) -> bool:
    """Whether a header is refused beside an operation, whatever it says."""
    try:
        _check_other(op, name)
    except S3Error:
        return True
    return False


def _check_other(op: Op, name: str) -> None:
    if name.startswith(_ASKS_TO_ENCRYPT) and op in (Op.GET_OBJECT, Op.HEAD_OBJECT):
        raise S3Error("InvalidArgument", f"{name} header is not supported for this operation.", ArgumentName=name)
    if name.startswith(_REFUSED):
        reason = next(reason for start, reason in REFUSED.items() if name.startswith(start))
        raise S3Error("NotImplemented", f"The header {name} asks for functionality that is not implemented: {reason}")
    if name.startswith("x-amz-checksum-") and op in _WITH_CHECKSUM and name not in _ELSEWHERE:
        raise S3Error("InvalidRequest", f"The header {name} is not one of {', '.join(sorted(_CHECKSUMS))}")
    if name == "x-amz-copy-source":
        raise S3Error("InvalidArgument", f"x-amz-copy-source is not expected in {op.value}")
    if name not in _ELSEWHERE and not name.startswith("x-amz-checksum-"):
        raise S3Error("NotImplemented", f"The header {name[:100]} is not one that this server knows")
