"""The head of an S3 request: is it S3 at all, which operation, of which bucket and key. Nothing is read, nothing done.

Native paths win: a bucket called `v1`, `ais` or `metrics` is reached under `/s3/` only.
"""

from collections.abc import Mapping
from typing import NamedTuple

from ais.net.http import Request, decode_component
from ais.s3 import members, operations, versions
from ais.s3.errors import S3Error
from ais.s3.operations import Op
from ais.s3.via import Via

KEY_BYTES_MAX = 1024
NATIVE = frozenset(("v1", "ais", "gs", "az", "metrics", "favicon.ico"))
_UNTOLD = NATIVE | {""}
_CLIENT_HEADERS = ("x-amz-", "amz-sdk-")
"""What only S3 clients send, also those that sign nothing."""
_OF_THE_SIGNATURE = frozenset(
    f"x-amz-{name}"
    for name in ("algorithm", "credential", "date", "expires", "signedheaders", "signature", "security-token")
)
_FORM = "application/x-www-form-urlencoded"
_PRESIGNED = ("X-Amz-Signature=", "X-Amz-Algorithm=", "AWSAccessKeyId=")


class S3Request(NamedTuple):
    """What a request asks for. `headers`: lower-case names to all their values; `params`: decoded query."""

    op: Op
    bucket: str
    key: str
    params: Mapping[str, str]
    headers: Mapping[str, list[str]]
    http: Request
    id: str = ""
    via: Via | None = None
    """What the node said that sent it here; None when a client did."""
    is_virtual: bool = False
    """Whether the bucket stands in the `Host`, not in the path."""

    def header(self, name: str, default: str = "") -> str:
        """The first value of a header."""
        values = self.headers.get(name)
        return values[0] if values else default

    def get(self, name: str) -> str | None:
        """The first value of a header by its lower-case name; None when it was not sent."""
        values = self.headers.get(name)
        return values[0] if values else None

    @property
    def resource(self) -> str:
        """`/bucket/key`, as errors name it."""
        return f"/{self.bucket}" + (f"/{self.key}" if self.key else "")


def is_s3_by_path(path: str) -> bool:
    """Whether a path alone says that a request is S3's, whatever else there is to it."""
    return not path.startswith("/v1/") and path[1:].partition("/")[0] not in _UNTOLD


def is_s3(request: Request, domain: str = "") -> bool:
    """Whether a request is S3's. `domain` is `net.s3_domain` (empty: path style only)."""
    first = request.path[1:].partition("/")[0]
    if first == "s3":
        return True
    if domain and is_virtual(request, domain):
        return True
    if first in NATIVE:
        return False
    if first or is_query(request):
        return True
    return _is_signed(request) or any(name.startswith(_CLIENT_HEADERS) for name, _ in request.headers.items())


def is_query(request: Request, domain: str = "") -> bool:
    """Whether a request is one of Amazon's query API, which IAM and STS speak: a form or an `Action` sent to `/`."""
    if request.path != "/" or (domain and is_virtual(request, domain)):
        return False
    if request.method == "POST":
        return (request.headers.get("content-type") or "").startswith(_FORM)
    return request.method == "GET" and "Action" in request.params


def is_virtual(request: Request, domain: str) -> bool:
    """Whether the `Host` is a bucket's: `bucket.domain[:port]`."""
    return bool(_virtual_bucket(request, domain))


def _is_signed(request: Request) -> bool:
    authorization = request.headers.get("authorization") or ""
    return authorization.startswith("AWS") or any(mark in request.query for mark in _PRESIGNED)


def parse(request: Request, domain: str = "", request_id: str = "", note: Via | None = None) -> S3Request:
    """Read the head. Raise `S3Error`, `BadRequest` for bytes that are not UTF-8."""
    bucket, key = address(request, domain)
    if len(key) > KEY_BYTES_MAX // 4 and len(key.encode()) > KEY_BYTES_MAX:
        raise S3Error("KeyTooLongError", Size=str(len(key.encode())), MaxSizeAllowed=str(KEY_BYTES_MAX))
    if "\0" in key:
        raise S3Error("InvalidURI", "A key cannot contain a NUL character")
    headers = {name: [value] for name, value in request.headers.items()}
    if not request.headers.is_single:
        _join_repeated(request, headers)
    params = request.params
    for name, value in params.items():  # a signed URL carries headers that its user does not send
        lower = name.lower()
        is_of_v4 = lower in _OF_THE_SIGNATURE and not ("AWSAccessKeyId" in params and name == lower)
        if lower.startswith("x-amz-") and not is_of_v4:
            headers.setdefault(lower, [value])
    op = operations.classify(request.method, bucket, key, params, headers).op
    members.check(op, headers)
    if "versionId" in params:
        versions.check(params["versionId"])
    virtual = bool(domain) and is_virtual(request, domain)
    return S3Request(op, bucket, key, params, headers, request, request_id, note, virtual)


def _join_repeated(request: Request, headers: dict[str, list[str]]) -> None:
    """All values of each header. Raise `S3Error` for two where one would be used: they are joined for the signature."""
    for name in headers:
        headers[name] = request.headers.get_all(name)
        if len(headers[name]) > 1 and _is_single(name):
            raise S3Error("InvalidRequest", f"The header {name} must be sent once, in one line")


def _is_single(name: str) -> bool:
    return name in ("content-md5", "range") or (name.startswith("x-amz-") and not name.startswith("x-amz-meta-"))


def address(request: Request, domain: str) -> tuple[str, str]:
    """Bucket and key, decoded; both may be empty. Raise `BadRequest` for bytes that are not UTF-8."""
    path = request.path[1:]
    bucket = _virtual_bucket(request, domain) if domain else ""
    if bucket:
        return bucket, decode_component(path)
    if path == "s3" or path.startswith("s3/"):
        path = path[3:]
    bucket, _, key = path.partition("/")
    return decode_component(bucket), decode_component(key)


def _virtual_bucket(request: Request, domain: str) -> str:
    """The bucket in a `Host: bucket.domain[:port]`, or empty."""
    host = (request.headers.get("host") or "").partition(":")[0].lower()
    suffix = f".{domain.lower()}"
    return host.removesuffix(suffix) if host.endswith(suffix) else ""
