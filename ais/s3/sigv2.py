"""AWS Signature Version 2 (Amazon S3 API reference, "Signing and authenticating REST requests"): read and compare.

Old clients sign so, and boto3 still does when it presigns for us-east-1 without being told otherwise. Nothing of the
body is signed; a presigned URL may last for as long as its maker wants.
"""

import base64
import hashlib
import hmac
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import NamedTuple

from ais.s3.errors import S3Error
from ais.s3.sigv4 import SKEW_S_MAX

VERSION = "AWS"
PARAMETERS = frozenset(("AWSAccessKeyId", "Expires", "Signature"))
AS_HEADERS = frozenset(("content-type", "content-md5"))
"""What else a presigned URL carries in place of headers."""
SIGNED_PARAMETERS = frozenset(
    (
        *("accelerate", "acl", "analytics", "cors", "defaultObjectAcl", "delete", "inventory", "lifecycle", "location"),
        *("logging", "metrics", "notification", "object-lock", "partNumber", "policy", "replication", "requestPayment"),
        *("restore", "select", "select-type", "storageClass", "tagging", "torrent", "uploadId", "uploads", "versionId"),
        *(
            "ais-batch",
            "ais-replica",
            "versioning",
            "versions",
            "website",
            "response-cache-control",
            "response-content-disposition",
        ),
        *("response-content-encoding", "response-content-language", "response-content-type", "response-expires"),
    )
)
_AUTHORIZATION = re.compile(r"AWS ([^:\s]{1,128}):([A-Za-z0-9+/=]{1,64})")


class Signature(NamedTuple):
    """What a request claims: who signs, when, and the signature. `expires_s`: a presigned URL ends then (Unix s)."""

    access_key: str
    signature: str
    time_s: float
    date: str
    """As it is signed; empty beside `x-amz-date`."""
    expires_at_s: int | None = None

    @property
    def expires_s(self) -> int | None:
        """Set for a presigned URL."""
        return self.expires_at_s

    @property
    def version(self) -> str:
        """As policies name it."""
        return VERSION


def read_signature(headers: Mapping[str, Sequence[str]], params: Mapping[str, str]) -> Signature | None:
    """The signature of a request; None when it has none of this version. Raise `S3Error` for a broken one."""
    given = headers.get("authorization", ())
    if "AWSAccessKeyId" in params or ("Signature" in params and "Expires" in params):
        if given:
            raise S3Error("InvalidArgument", "Only one auth mechanism allowed: a signed URL or an Authorization header")
        return _read_presigned(params)
    if not given or not given[0].startswith("AWS "):
        return None
    match = _AUTHORIZATION.fullmatch(given[0].strip())
    if match is None:
        raise S3Error("InvalidArgument", "AWS authorization header is invalid. Expected AwsAccessKeyId:signature")
    amz_date, date = headers.get("x-amz-date"), headers.get("date")
    text = (amz_date or date or ("",))[0]
    return Signature(match[1], match[2], _time_s(text), "" if amz_date else text)


def _read_presigned(params: Mapping[str, str]) -> Signature:
    missing = PARAMETERS - params.keys()
    if missing:
        raise S3Error("AccessDenied", "Query-string authentication requires the Signature, Expires and AWSAccessKeyId"
                      " parameters")  # fmt: skip
    expires = params["Expires"]
    if not expires.isascii() or not expires.isdigit() or len(expires) > 18:
        raise S3Error("AccessDenied", f"Invalid date (should be seconds since epoch): {expires[:40]}")
    return Signature(params["AWSAccessKeyId"], params["Signature"], 0.0, expires, int(expires))


def _time_s(text: str) -> float:
    try:
        date = parsedate_to_datetime(text)
    except ValueError:
        try:
            date = datetime.strptime(text, "%Y%m%dT%H%M%SZ")
        except ValueError:
            raise S3Error("AccessDenied", "AWS authentication requires a valid Date or x-amz-date header") from None
    return (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp()


def check_time(signature: Signature, now_s: float) -> None:
    """Raise `S3Error` when the request is too old or from the future, or its URL has expired."""
    if signature.expires_at_s is not None:
        if now_s > signature.expires_at_s:
            raise S3Error("AccessDenied", "Request has expired")
    elif abs(now_s - signature.time_s) > SKEW_S_MAX:
        raise S3Error("RequestTimeTooSkewed")


def verify(
    signature: Signature,
    secret: str,
    *,
    method: str,
    resource: str,
    params: Mapping[str, str],
    headers: Mapping[str, Sequence[str]],
) -> None:
    """Recompute and compare. `resource`: `/bucket/key` as sent, percent-encoded. Raise `S3Error` on a mismatch.

    Clients sign a bucket with or without a slash behind it.
    """
    for spelling in (resource, f"{resource}/") if resource.count("/") == 1 else (resource,):
        text = string_to_sign(signature, method, spelling, params, headers)
        if hmac.compare_digest(sign(text, secret).encode(), signature.signature.encode("utf-8", "replace")):
            return
    raise S3Error("SignatureDoesNotMatch", AWSAccessKeyId=signature.access_key)


def string_to_sign(
    signature: Signature,
    method: str,
    resource: str,
    params: Mapping[str, str],
    headers: Mapping[str, Sequence[str]],
) -> str:
    """The text both sides sign."""
    amz = sorted((name, headers[name]) for name in headers if name.startswith("x-amz-"))
    standard = [_first(headers, params, name) for name in ("content-md5", "content-type")]
    signed = sorted(name for name in params if name in SIGNED_PARAMETERS)
    query = "&".join(f"{name}={params[name]}" if params[name] else name for name in signed)
    lines = [method, *standard, signature.date, *(f"{name}:{','.join(map(str.strip, values))}" for name, values in amz)]
    return "\n".join([*lines, f"{resource}?{query}" if query else resource])


def _first(headers: Mapping[str, Sequence[str]], params: Mapping[str, str], name: str) -> str:
    given = headers.get(name)
    return given[0].strip() if given else params.get(name, "")


def sign(text: str, secret: str) -> str:
    """The signature of a text."""
    digest = hmac.new(secret.encode(), text.encode("utf-8", "surrogateescape"), hashlib.sha1).digest()
    return base64.b64encode(digest).decode()
