"""Server-side encryption: what requests and buckets ask for, the data key of an object, what answers say about it.

Source: Amazon S3 user guide, "Protecting data with server-side encryption"; the API reference for headers and errors.
SSE-S3 and SSE-KMS wrap the data key with a key of the cluster's key service, SSE-C with the client's own key, of which
only the MD5 is kept. How content lies on disk is in `ais.core.sealing`.
"""

import base64
import binascii
import hashlib
import json
import secrets
from collections.abc import Mapping

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from ais.auth import keyservice
from ais.auth.keyservice import KeyService
from ais.base.errors import CorruptMetadata
from ais.core import sealing
from ais.core.sealing import ALGORITHM, BUCKET_KEY, CONTEXT, KEY_ID, Seal, Wanted
from ais.s3 import schema, xml
from ais.s3.errors import S3Error
from ais.s3.front import S3Request

DOCUMENT = "encryption"
"""Name among the documents of a bucket."""
S3, KMS, CUSTOMER = "AES256", "aws:kms", "customer"
_PREFIX = "x-amz-server-side-encryption"
_BUCKET_KEY = f"{_PREFIX}-bucket-key-enabled"
_SOURCE = "x-amz-copy-source-server-side-encryption"
_S3_KEY = "aws/s3"
"""The key of SSE-S3, and of SSE-KMS without an ID."""
_KEY_ID_LEN_MAX = 256
_SCHEMA = schema.group(
    Rule=schema.group(
        ApplyServerSideEncryptionByDefault=schema.group(
            SSEAlgorithm=schema.one_of(S3, KMS, "aws:kms:dsse").needed(), KMSMasterKeyID=schema.text()
        ),
        BucketKeyEnabled=schema.flag(),
        BlockedEncryptionTypes=schema.group(EncryptionType=schema.one_of("NONE", "SSE-C").many()),
    ).needed()
)


def parse_configuration(body: bytes) -> str:
    """A bucket's default encryption as it is kept. Raise `S3Error`."""
    root = xml.parse(body, "ServerSideEncryptionConfiguration")
    _SCHEMA.check(root)
    default = root.find("Rule/ApplyServerSideEncryptionByDefault")
    if default is not None:
        algorithm, key_id = xml.text(default, "SSEAlgorithm"), xml.optional(default, "KMSMasterKeyID")
        if algorithm == "aws:kms:dsse":
            raise S3Error("NotImplemented", "Content is encrypted once: use AES256 or aws:kms")
        if key_id is not None and algorithm != KMS:
            raise S3Error("InvalidArgument", "a KMSMasterKeyID is not applicable if the default sse algorithm is not"
                          " aws:kms")  # fmt: skip
    if root.find("Rule/BlockedEncryptionTypes/EncryptionType[.='SSE-C']") is not None:
        raise S3Error("NotImplemented", "Blocking customer keys is not supported: deny them by a bucket policy")
    return xml.rewritten(root).decode()


def default_of(document: str) -> Wanted | None:
    """What a bucket's configuration asks for."""
    if not document:
        return None
    root = xml.parse(document.encode(), "ServerSideEncryptionConfiguration")
    default = root.find("Rule/ApplyServerSideEncryptionByDefault")
    if default is None:
        return None
    algorithm = xml.text(default, "SSEAlgorithm")
    if algorithm != KMS:
        return Wanted(algorithm)
    has_bucket_key = root.findtext("Rule/BucketKeyEnabled", "").lower() == "true"
    return Wanted(algorithm, xml.text(default, "KMSMasterKeyID", "") or _S3_KEY, has_bucket_key=has_bucket_key)


def of_headers(request: S3Request, bucket_default: Wanted | None) -> Wanted | None:
    """How a request wants its object encrypted, else as the bucket does; None: not at all. Raise `S3Error`."""
    if not any(name.startswith(_PREFIX) for name in request.headers):
        return bucket_default
    customer = customer_key(request)
    algorithm = request.get(_PREFIX)
    key_id, context = request.get(f"{_PREFIX}-aws-kms-key-id"), request.get(f"{_PREFIX}-context")
    bucket_key = request.header(_BUCKET_KEY, str(bucket_default is not None and bucket_default.has_bucket_key)).lower()
    has_bucket_key = bucket_key == "true"
    if bucket_key not in ("true", "false"):
        raise S3Error("InvalidArgument", "x-amz-server-side-encryption-bucket-key-enabled is true or false")
    if algorithm is not None and algorithm not in (S3, KMS):
        if algorithm == "aws:kms:dsse":
            raise S3Error("NotImplemented", "Content is encrypted once: use AES256 or aws:kms")
        raise S3Error("InvalidArgument", "The encryption method specified is not supported", ArgumentName=_PREFIX)
    if algorithm != KMS and (key_id is not None or context is not None):
        raise S3Error("InvalidArgument", "The encryption method specified has no key ID and no context: use aws:kms")
    if customer is not None:
        if algorithm is not None:
            raise S3Error(
                "InvalidArgument",
                "Server Side Encryption with Customer provided key is incompatible with the encryption method"
                " specified",
            )
        return Wanted(CUSTOMER, _md5(customer), customer_key=customer)
    if algorithm is None:
        if bucket_default is None or bucket_default.algorithm != KMS:
            return bucket_default
        return bucket_default._replace(has_bucket_key=has_bucket_key)
    if key_id is not None and (not key_id or len(key_id) > _KEY_ID_LEN_MAX or not key_id.isprintable()):
        raise S3Error("InvalidArgument", "The key ID is not one", ArgumentName=f"{_PREFIX}-aws-kms-key-id")
    if context is not None:
        _check_context(context)
    if algorithm != KMS:
        return Wanted(algorithm)
    return Wanted(algorithm, key_id or _S3_KEY, context or "", has_bucket_key=has_bucket_key)


def _check_context(context: str) -> None:
    try:
        pairs = json.loads(base64.b64decode(context, validate=True))
    except ValueError:
        pairs = None
    if len(context) > 1024 or not isinstance(pairs, dict) or not all(isinstance(one, str) for one in pairs.values()):
        raise S3Error("InvalidArgument", "The encryption context is base64 of a JSON object of strings, at most 1 KiB")


_CUSTOMER = tuple(f"{_PREFIX}-customer-{name}" for name in ("algorithm", "key", "key-md5"))


def brings_key(request: S3Request) -> bool:
    """Whether a client brings a key of its own, or a part of what belongs to it."""
    headers = request.headers
    return _CUSTOMER[0] in headers or _CUSTOMER[1] in headers or _CUSTOMER[2] in headers


def customer_key(request: S3Request, prefix: str = _PREFIX) -> bytes | None:
    """The key that a client brings; None when it brings none. Raise `S3Error`."""
    names = [f"{prefix}-customer-{name}" for name in ("algorithm", "key", "key-md5")]
    algorithm, text, md5 = (request.get(name) for name in names)
    if algorithm is None and text is None and md5 is None:
        return None
    if algorithm is None or text is None or md5 is None:
        raise S3Error(
            "InvalidArgument",
            "Requests specifying Server Side Encryption with Customer provided keys must provide an algorithm, a secret"
            " key and the MD5 of the key.",
        )
    if algorithm != S3:
        raise S3Error("InvalidEncryptionAlgorithmError", ArgumentName=names[0])
    try:
        key = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) != sealing.KEY_BYTES:
        raise S3Error("InvalidArgument", "The secret key was invalid for the specified algorithm.")
    if _md5(key) != md5:
        raise S3Error("InvalidArgument", "The calculated MD5 hash of the key did not match the hash that was provided.")
    return key


def _md5(key: bytes) -> str:
    return base64.b64encode(hashlib.md5(key, usedforsecurity=False).digest()).decode()


def seal(wanted: Wanted, keys: KeyService) -> Seal:
    """A new data key, and the facts by which it is found again."""
    data_key = secrets.token_bytes(sealing.KEY_BYTES)
    kept = {ALGORITHM: wanted.algorithm}
    if wanted.key_id:
        kept[KEY_ID] = wanted.key_id
    if wanted.context:
        kept[CONTEXT] = wanted.context
    if wanted.has_bucket_key:
        kept[BUCKET_KEY] = "true"
    if wanted.customer_key:
        return Seal(data_key, {**kept, sealing.KEY: keyservice.seal(AESGCM(wanted.customer_key), data_key)})
    return Seal(data_key, {**kept, sealing.KEY: keys.wrap(data_key, wanted.key_id or _S3_KEY, wanted.context)})


def open_key(kept: Mapping[str, str], customer: bytes | None, keys: KeyService) -> bytes | None:
    """The data key of an object; None when it is not encrypted. `customer`: the key that the client brought.

    Raise `S3Error` InvalidRequest when it brought one for nothing, or none; AccessDenied for a wrong one.
    """
    algorithm = kept.get(ALGORITHM)
    if algorithm != CUSTOMER:
        if customer is not None:
            raise S3Error("InvalidRequest", "The encryption parameters are not applicable to this object.")
        return None if algorithm is None else keys.unwrap(
            kept[sealing.KEY], kept.get(KEY_ID, _S3_KEY), kept.get(CONTEXT, "")
        )  # fmt: skip
    if customer is None:
        raise S3Error(
            "InvalidRequest",
            "The object was stored using a form of Server Side Encryption. The correct parameters must be provided to"
            " retrieve the object.",
        )
    try:
        return keyservice.unseal([AESGCM(customer)], kept[sealing.KEY])
    except CorruptMetadata:
        raise S3Error("AccessDenied", "The customer key is not the one the object was encrypted with") from None


def rewrap(kept: Mapping[str, str], keys: KeyService) -> str | None:
    """The data key of an encrypted object under the newest version of its key; None when nothing is to be done.

    Raise as `KeyService.rewrap`.
    """
    if kept[ALGORITHM] == CUSTOMER:
        return None
    return keys.rewrap(kept[sealing.KEY], kept.get(KEY_ID, _S3_KEY), kept.get(CONTEXT, ""))


def source_key(request: S3Request) -> bytes | None:
    """The customer's key for the source of a copy. Raise `S3Error`."""
    return customer_key(request, _SOURCE)


def source_headers(request: S3Request) -> dict[str, str]:
    """The headers by which the owner of a copy's source opens it."""
    found = {name: request.get(f"{_SOURCE}-customer-{name}") for name in ("algorithm", "key", "key-md5")}
    return {f"{_PREFIX}-customer-{name}": value for name, value in found.items() if value is not None}


def lines(kept: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """The headers of an answer about an object."""
    match kept.get(ALGORITHM):
        case None:
            return ()
        case "customer":
            return ((f"{_PREFIX}-customer-algorithm", S3), (f"{_PREFIX}-customer-key-MD5", kept[KEY_ID]))
        case "aws:kms":
            used = ((_BUCKET_KEY, "true"),) if BUCKET_KEY in kept else ()
            return ((_PREFIX, KMS), (f"{_PREFIX}-aws-kms-key-id", kept[KEY_ID]), *used)
        case algorithm:
            return ((_PREFIX, algorithm or S3),)
