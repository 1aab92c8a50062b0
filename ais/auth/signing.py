"""AWS Signature Version 4 (Amazon S3 API reference, "Authenticating requests"): what is signed, and with which key.

Both sides build on it: who verifies (`ais.s3.sigv4`), and who sends (`lines_of`).
"""

import functools
import hashlib
import hmac
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from urllib.parse import quote, unquote_to_bytes

ALGORITHM = "AWS4-HMAC-SHA256"
UNSIGNED = "UNSIGNED-PAYLOAD"
REGION = "us-east-1"
_BLANKS = re.compile(r"[ \t]+")
_BLOCK_BYTES = 64
_INNER, _OUTER = (bytes(byte ^ pad for byte in range(256)) for pad in (0x36, 0x5C))
_UNRESERVED = re.compile(r"[A-Za-z0-9\-._~]*")


def lines_of(
    method: str,
    host: str,
    target: str,
    body: bytes | None,
    *,
    key_id: str,
    secret: str,
    now_s: float,
    more: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """The header lines that sign a request to `target` (path and query as sent), besides its `Host` and `more`.

    `body` None: it is not signed. `more`: other lines to sign, by lower-case names; `x-amz-content-sha256` among them
    says what is signed of the body.
    """
    more = more or {}
    path, _, query = target.partition("?")
    stamp = datetime.fromtimestamp(now_s, UTC).strftime("%Y%m%dT%H%M%SZ")
    payload = UNSIGNED if body is None else hashlib.sha256(body).hexdigest()
    signed = {"host": host, "x-amz-content-sha256": payload, "x-amz-date": stamp, **more}
    payload = signed["x-amz-content-sha256"]
    names, scope = tuple(sorted(signed)), f"{stamp[:8]}/{REGION}/s3/aws4_request"
    lines = {name: [value] for name, value in signed.items()}
    canonical = canonical_request(method, path, query, lines, names, payload)
    text = "\n".join((ALGORITHM, stamp, scope, hashlib.sha256(canonical.encode()).hexdigest()))
    signature = _hmac(signing_key(secret, stamp[:8], REGION), text).hex()
    signed = {name: value for name, value in signed.items() if name != "host" and name not in more}
    credential = f"Credential={key_id}/{scope}, SignedHeaders={';'.join(names)}, Signature={signature}"
    return {**signed, "Authorization": f"{ALGORITHM} {credential}"}


def canonical_request(
    method: str,
    path: str,
    query: str,
    headers: Mapping[str, Sequence[str]],
    signed_headers: Sequence[str],
    payload_hash: str,
) -> str:
    """The text both sides hash."""
    lines = [f"{name}:{_canonical_value(headers.get(name, ()))}\n" for name in signed_headers]
    return "\n".join((method, path, canonical_query(query), "".join(lines), ";".join(signed_headers), payload_hash))


def canonical_query(query: str) -> str:
    """Pairs sorted by name and value, each percent-encoded the one way AWS defines, the signature itself left out."""
    pairs = (pair.partition("=") for pair in query.split("&") if pair)
    encoded = sorted((_respelled(name), _respelled(value)) for name, _, value in pairs)
    return "&".join(f"{name}={value}" for name, value in encoded if name != "X-Amz-Signature")


def _respelled(text: str) -> str:
    if _UNRESERVED.fullmatch(text):
        return text
    return uri_encode(unquote_to_bytes(text.replace("+", " ")))


def uri_encode(data: bytes, safe: str = "") -> str:
    """Percent-encode all but `A-Za-z0-9-._~`."""
    return quote(data, safe=safe + "~")


def _canonical_value(values: Sequence[str]) -> str:
    """Blanks and tabs are folded, nothing else: what is signed must be what is used."""
    return ",".join(_BLANKS.sub(" ", value.strip(" \t")) for value in values)


@functools.lru_cache(maxsize=1024)
def signing_key(secret: str, date: str, region: str, service: str = "s3") -> bytes:
    """The key of a day, region and service."""
    key = f"AWS4{secret}".encode()
    for part in (date, region, service, "aws4_request"):
        key = _hmac(key, part)
    return key


class Mac:
    """HMAC-SHA256 under one key, prepared: doing that each time takes longer than hashing a short text."""

    __slots__ = ("_inner", "_outer")

    def __init__(self, key: bytes) -> None:
        """`key`: at most a block of 64 bytes."""
        block = key.ljust(_BLOCK_BYTES, b"\0")
        self._inner = hashlib.sha256(block.translate(_INNER))
        self._outer = hashlib.sha256(block.translate(_OUTER))

    def hexdigest(self, data: bytes) -> str:
        """Of `data`."""
        inner, outer = self._inner.copy(), self._outer.copy()
        inner.update(data)
        outer.update(inner.digest())
        return outer.hexdigest()


def _hmac(key: bytes, text: str) -> bytes:
    return hmac.digest(key, text.encode(), "sha256")
