"""AWS Signature Version 4 (Amazon S3 API reference, "Authenticating requests"): read, recompute, compare.

Pure: the caller brings the request as received, the secret of the key and the time. What was sent is signed as it was
sent: the path is never normalised before the comparison. Clients that sign another spelling of the path than they send
(`~` sent as `%7E`, say) are given a second comparison, over the path re-encoded the way AWS documents.
"""

import functools
import hashlib
import hmac
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import NamedTuple
from urllib.parse import unquote_to_bytes

from ais.auth import signing
from ais.auth.signing import canonical_request, signing_key, uri_encode
from ais.base.units import is_whole
from ais.s3.errors import S3Error

ALGORITHM, UNSIGNED = signing.ALGORITHM, signing.UNSIGNED
SKEW_S_MAX = 15 * 60
EXPIRES_S_MAX = 7 * 24 * 3600
SERVICES = ("s3", "iam", "sts")
EMPTY_SHA256 = hashlib.sha256(b"").hexdigest()

_TIME = re.compile(r"\d{8}T\d{6}Z")
_SCOPE = re.compile(r"([^/]{1,256})/(\d{8})/([a-z0-9-]{0,64})/(s3|iam|sts)/aws4_request")
_AUTHORIZATION = re.compile(rf"{ALGORITHM}\s+(.*)", re.DOTALL)


@functools.lru_cache(maxsize=1024)
def unix_time(timestamp: str) -> float:
    """Unix seconds of `YYYYMMDDTHHMMSSZ`. Raise `ValueError`."""
    return datetime.strptime(timestamp, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC).timestamp()


class Signature(NamedTuple):
    """What a request claims: who signs, over which headers, when, and the signature itself.

    `expires_s` is None except in presigned requests.
    """

    access_key: str
    date: str
    region: str
    timestamp: str
    signed_headers: tuple[str, ...]
    signature: str
    expires_s: int | None
    service: str = "s3"

    @property
    def scope(self) -> str:
        """`date/region/s3/aws4_request`."""
        return f"{self.date}/{self.region}/{self.service}/aws4_request"

    @property
    def version(self) -> str:
        """As policies name it."""
        return ALGORITHM

    @property
    def time_s(self) -> float:
        """When it was signed, Unix seconds. Raise `ValueError` when the timestamp is no time."""
        return unix_time(self.timestamp)


class Signed(NamedTuple):
    """A verified request: what a chunked body is verified with."""

    key: bytes
    scope: str
    timestamp: str
    signature: str


def read_signature(
    headers: Mapping[str, Sequence[str]], params: Mapping[str, str], services: Sequence[str] = ("s3",)
) -> Signature | None:
    """The signature a request carries, or None when it is anonymous.

    `headers`: lower-case names to values; `params`: decoded query; `services`: which it may be for. Raise `S3Error`
    when it carries a broken one.
    """
    found = _read(headers, params)
    if found is not None and found.service not in services:
        code = "AuthorizationHeaderMalformed" if found.expires_s is None else "AuthorizationQueryParametersError"
        raise S3Error(code, f"The credential is for {found.service}, this is {services[0]}")
    return found


def _read(headers: Mapping[str, Sequence[str]], params: Mapping[str, str]) -> Signature | None:
    given = headers.get("authorization")
    if "X-Amz-Algorithm" in params or "X-Amz-Signature" in params:
        if given:
            raise S3Error("InvalidArgument", "Only one auth mechanism allowed: a signed URL or an Authorization header")
        return _read_presigned(params)
    if not given:
        return None
    if len(given) > 1:
        raise S3Error("InvalidArgument", "Only one Authorization header is allowed")
    match = _AUTHORIZATION.fullmatch(given[0].strip())
    if not given[0].startswith("AWS"):  # a token of the native API, a password: nobody that S3 knows
        raise S3Error("AccessDenied", f"The authorization mechanism is not supported: use {ALGORITHM}")
    if match is None:
        raise S3Error("InvalidRequest", f"The authorization mechanism is not supported: use {ALGORITHM}")
    fields = dict(field.strip().partition("=")[::2] for field in match[1].split(","))
    try:
        credential, signed, signature = fields["Credential"], fields["SignedHeaders"], fields["Signature"]
    except KeyError as missing:
        raise S3Error("AuthorizationHeaderMalformed", f"The authorization header lacks {missing.args[0]}") from None
    return _signature(credential, signed, signature, _request_time(headers), None, code="AuthorizationHeaderMalformed")


def _read_presigned(params: Mapping[str, str]) -> Signature:
    if params.get("X-Amz-Algorithm") != ALGORITHM:
        raise S3Error("AuthorizationQueryParametersError", f"X-Amz-Algorithm only supports {ALGORITHM}")
    names = ("X-Amz-Credential", "X-Amz-Date", "X-Amz-SignedHeaders", "X-Amz-Signature", "X-Amz-Expires")
    for name in names:
        if name not in params:
            raise S3Error("AuthorizationQueryParametersError", f"The query parameter {name} is missing")
    expires = params["X-Amz-Expires"]
    if not is_whole(expires) or not 1 <= int(expires) <= EXPIRES_S_MAX:
        raise S3Error(
            "AuthorizationQueryParametersError", f"X-Amz-Expires must be a number of seconds from 1 to {EXPIRES_S_MAX}"
        )
    credential, timestamp, signed, signature, _ = (params[name] for name in names)
    return _signature(credential, signed, signature, timestamp, int(expires), code="AuthorizationQueryParametersError")


def _signature(
    credential: str, signed: str, signature: str, timestamp: str, expires_s: int | None, code: str
) -> Signature:
    scope = _SCOPE.fullmatch(credential)
    if scope is None:
        raise S3Error(code, "The credential must read <access key>/<YYYYMMDD>/<region>/s3/aws4_request")
    access_key, date, region, service = scope.groups()
    if not _TIME.fullmatch(timestamp):
        raise S3Error(code, "The request time must read YYYYMMDDTHHMMSSZ")
    try:
        unix_time(timestamp)
    except ValueError:
        raise S3Error(code, "The request time is no valid time") from None
    if not timestamp.startswith(date):
        raise S3Error(code, "The date of the credential is not the date of the request")
    names = tuple(signed.split(";"))
    if "host" not in names or any(name != name.lower() for name in names):
        raise S3Error(code, "The signed headers must include host, in lower case")
    return Signature(access_key, date, region, timestamp, names, signature, expires_s, service)


def _request_time(headers: Mapping[str, Sequence[str]]) -> str:
    if stamp := headers.get("x-amz-date"):
        return stamp[0]
    if date := headers.get("date"):
        try:
            parsed = datetime.strptime(date[0], "%a, %d %b %Y %H:%M:%S GMT")
        except ValueError:
            return date[0]
        return parsed.strftime("%Y%m%dT%H%M%SZ")
    raise S3Error("AccessDenied", "AWS authentication requires a valid Date or x-amz-date header")


def check_time(signature: Signature, now_s: float) -> None:
    """Raise `S3Error` when the request is too old, from the future, or its presigned URL has expired."""
    age_s = now_s - signature.time_s
    if signature.expires_s is None:
        if abs(age_s) > SKEW_S_MAX:
            raise S3Error("RequestTimeTooSkewed")
    elif age_s < -SKEW_S_MAX:
        raise S3Error("AccessDenied", "Request is not valid yet")
    elif age_s > signature.expires_s:
        raise S3Error("AccessDenied", "Request has expired")


def check_headers(signature: Signature, headers: Iterable[str]) -> None:
    """Raise `S3Error` when a header that changes what is done was sent unsigned, or a signed one is missing."""
    names = set(headers)
    if missing := [name for name in signature.signed_headers if name not in names]:
        raise S3Error("AccessDenied", f"There were headers signed which were not sent: {missing[0]}")
    unsigned = [name for name in names if name.startswith("x-amz-") and name not in signature.signed_headers]
    if unsigned:
        raise S3Error("AccessDenied", f"There were headers present in the request which were not signed: {unsigned[0]}")


def verify(
    signature: Signature,
    secret: str,
    *,
    method: str,
    path: str,
    query: str,
    headers: Mapping[str, Sequence[str]],
    payload_hash: str,
) -> Signed:
    """Recompute and compare in constant time. `path` and `query` raw as received. Raise `S3Error` on a mismatch."""
    key = signing_key(secret, signature.date, signature.region, signature.service)
    for respell in (str, _reencoded_path):
        spelling = respell(path)
        canonical = canonical_request(method, spelling, query, headers, signature.signed_headers, payload_hash)
        to_sign = "\n".join((ALGORITHM, signature.timestamp, signature.scope, _sha256(canonical)))
        expected = _hmac(key, to_sign).hex()
        if hmac.compare_digest(expected.encode(), signature.signature.encode("utf-8", "replace")):
            return Signed(key, signature.scope, signature.timestamp, signature.signature)
    raise S3Error("SignatureDoesNotMatch", AWSAccessKeyId=signature.access_key)


def _reencoded_path(path: str) -> str:
    return uri_encode(unquote_to_bytes(path), "/")


def chunk_signature(signed: Signed, previous: str, data_sha256: str) -> str:
    """Signature of one chunk of a `STREAMING-AWS4-HMAC-SHA256-PAYLOAD` body; `previous` chains them."""
    to_sign = "\n".join((f"{ALGORITHM}-PAYLOAD", signed.timestamp, signed.scope, previous, EMPTY_SHA256, data_sha256))
    return _hmac(signed.key, to_sign).hex()


def trailer_signature(signed: Signed, previous: str, trailer: bytes) -> str:
    """Signature of the trailing headers; `trailer` is `name:value\\n` for each, in the order sent."""
    to_sign = "\n".join(
        (f"{ALGORITHM}-TRAILER", signed.timestamp, signed.scope, previous, hashlib.sha256(trailer).hexdigest())
    )
    return _hmac(signed.key, to_sign).hex()


def _hmac(key: bytes, text: str) -> bytes:
    return hmac.digest(key, text.encode(), "sha256")


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()
