"""Browser uploads by POST: the signed policy document and its conditions (S3 API, "Creating a POST policy").

Pure: the multipart/form-data body is read elsewhere; here are the fields, which all precede the file.
"""

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple
from urllib.parse import urlencode

from ais.api import codec
from ais.auth import signing
from ais.base.errors import BadRequest
from ais.s3 import sigv2, sigv4, tagging
from ais.s3.errors import S3Error
from ais.s3.facts import CONTENT_HEADERS

FIELDS_BYTES_MAX = 20 << 10
_HEADER_NAME = re.compile(r"[a-z0-9!#$&^_.+-]+")
_UNCONDITIONED = frozenset(("policy", "x-amz-signature", "file", "awsaccesskeyid", "signature"))


_HEADER_OF = {
    "acl": "x-amz-acl",
    **CONTENT_HEADERS,
}
_HEADERS = (
    "x-amz-meta-",
    "x-amz-checksum-",
    "x-amz-storage-class",
    "x-amz-server-side-encryption",
    "x-amz-object-lock-",
    "x-amz-website-redirect-location",
)
"""Fields that are headers of a PUT; what of them we do not have, the owner of the key refuses."""
_OF_THE_SIGNATURE = frozenset(
    ("x-amz-algorithm", "x-amz-credential", "x-amz-date", "x-amz-signature", "x-amz-security-token")
)


class SizeRange(NamedTuple):
    """Sizes in bytes that a form may upload."""

    least: int = 0
    most: int | None = None


def key_of(fields: Mapping[str, str], filename: str) -> str:
    """The key to write. `${filename}` stands for the last part of the file's path. Raise `S3Error`."""
    key = fields.get("key", "")
    if not key:
        raise S3Error("InvalidArgument", "Bucket POST must contain a field named 'key'", ArgumentName="key")
    key = key.replace("${filename}", filename.replace("\\", "/").rpartition("/")[2])
    if not key:
        raise S3Error("InvalidArgument", "The key is the name of the file, and the file has none", ArgumentName="key")
    return key


def headers_of(fields: Mapping[str, str]) -> dict[str, str]:
    """The headers of a PUT that does what the fields say. Raise `S3Error` for what no header can carry."""
    headers = {}
    for name, value in fields.items():
        if name == "tagging":
            tags = tagging.parse_document(value.encode(), tagging.OBJECT_TAGS_MAX)
            headers["x-amz-tagging"] = urlencode(tags)
        elif name in _HEADER_OF or name.startswith(_HEADERS):
            if not _HEADER_NAME.fullmatch(name) or not value.isprintable():
                raise S3Error("InvalidArgument", f"The field {name} cannot be a header", ArgumentName=name[:100])
            headers[_HEADER_OF.get(name, name)] = value
        elif name.startswith("x-amz-") and name not in _OF_THE_SIGNATURE:
            raise S3Error("NotImplemented", f"The field {name} asks for functionality that is not implemented")
    return headers


def credential_of(fields: Mapping[str, str]) -> str:
    """The access key of a form's credential. Raise `S3Error` when a required field is missing or malformed."""
    if "awsaccesskeyid" in fields:
        _require(fields, "policy", "signature")
        return fields["awsaccesskeyid"]
    _require(fields, "policy", "x-amz-algorithm", "x-amz-credential", "x-amz-date", "x-amz-signature")
    if fields["x-amz-algorithm"] != sigv4.ALGORITHM:
        raise S3Error("InvalidArgument", f"x-amz-algorithm must be {sigv4.ALGORITHM}", ArgumentName="x-amz-algorithm")
    parts = fields["x-amz-credential"].split("/")
    if len(parts) != 5 or parts[3:] != ["s3", "aws4_request"]:
        raise S3Error("InvalidArgument", "The credential is malformed", ArgumentName="x-amz-credential")
    return parts[0]


def _require(fields: Mapping[str, str], *names: str) -> None:
    for name in names:
        if name not in fields:
            raise S3Error("InvalidArgument", f"Bucket POST must contain a field named '{name}'", ArgumentName=name)


def verify(fields: Mapping[str, str], secret: str) -> None:
    """Check the signature of the policy. Raise `S3Error`."""
    access_key = credential_of(fields)
    if "awsaccesskeyid" in fields:
        expected, given = sigv2.sign(fields["policy"], secret), fields["signature"]
    else:
        _, date, region, *_ = fields["x-amz-credential"].split("/")
        key = signing.signing_key(secret, date, region)
        expected = hmac.new(key, fields["policy"].encode(), hashlib.sha256).hexdigest()
        given = fields["x-amz-signature"]
    if not hmac.compare_digest(expected.encode(), given.encode("utf-8", "replace")):
        raise S3Error("SignatureDoesNotMatch", AWSAccessKeyId=access_key)


def check_policy(fields: Mapping[str, str], bucket: str, now_s: float) -> SizeRange:
    """Check expiry and every condition. `fields`: lower-case names to values. Raise `S3Error`."""
    document = _decode(fields["policy"])
    if now_s >= _expiration_s(document):
        raise S3Error("AccessDenied", "Invalid according to Policy: Policy expired.")
    return _check_conditions(document.get("conditions"), {**fields, "bucket": bucket})


def _decode(policy: str) -> dict[str, Any]:
    try:
        document = codec.parse_json(base64.b64decode(policy, validate=True))
    except (binascii.Error, ValueError, BadRequest):
        raise S3Error("InvalidPolicyDocument", "Invalid Policy: Invalid JSON.") from None
    if not isinstance(document, dict):
        raise S3Error("InvalidPolicyDocument", "Invalid Policy: not an object.")
    return document


def _expiration_s(document: Mapping[str, Any]) -> float:
    try:
        expires = datetime.fromisoformat(document["expiration"])
    except (KeyError, TypeError, ValueError):
        raise S3Error("InvalidPolicyDocument", "Invalid Policy: Invalid 'expiration' value.") from None
    return (expires if expires.tzinfo else expires.replace(tzinfo=UTC)).timestamp()


def _check_conditions(conditions: Any, fields: Mapping[str, str]) -> SizeRange:
    if not isinstance(conditions, list):
        raise S3Error("InvalidPolicyDocument", "Invalid Policy: Invalid 'conditions' value.")
    sizes = SizeRange()
    named = set()
    for condition in conditions:
        match condition:
            case [str(operator), int(low), int(high)] if operator.lower() == "content-length-range":
                most = high if sizes.most is None else min(high, sizes.most)
                sizes = SizeRange(max(low, sizes.least), most)
                continue
            case [str(operator), str(name), str(wanted)] if name.startswith("$"):
                operator, name = operator.lower(), name[1:].lower()
            case dict() if len(condition) == 1:
                operator, (name, wanted) = "eq", next(iter(condition.items()))
                name = name.lower()
            case _:
                raise S3Error("InvalidPolicyDocument", "Invalid Policy: Invalid condition.")
        named.add(name)
        if not isinstance(wanted, str) or operator not in ("eq", "starts-with"):
            raise S3Error("InvalidPolicyDocument", f"Invalid Policy: Invalid condition {condition}.")
        given = fields.get(name, "")
        if not (given == wanted if operator == "eq" else given.startswith(wanted)):
            raise S3Error("AccessDenied", f"Invalid according to Policy: Policy Condition failed: {condition}")
    if "bucket" not in named:  # it would be good for every bucket of its signer
        raise S3Error("AccessDenied", "Invalid according to Policy: no condition names the bucket")
    extra = {name for name in fields if not name.startswith("x-ignore-")} - named - _UNCONDITIONED - {"bucket"}
    if extra:
        raise S3Error("AccessDenied", f"Invalid according to Policy: Extra input fields: {min(extra)}")
    return sizes
