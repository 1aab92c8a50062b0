"""The checksums S3 clients send and ask for (`x-amz-checksum-*`), of whole objects and of multipart uploads.

Values are base64 of the big-endian digest. A multipart object's checksum is COMPOSITE (the checksum of its parts'
checksums, written `value-N`) or FULL_OBJECT (of the content; CRCs only, combined from the parts without reading them).
"""

import base64
import binascii
import hashlib
import struct
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import NamedTuple, Protocol

import xxhash
from awscrt import checksums as crt

from ais.s3.errors import S3Error

COMPOSITE = "COMPOSITE"
FULL_OBJECT = "FULL_OBJECT"


Content = bytes | memoryview


class _Crc:
    def __init__(
        self, function: Callable[[Content, int], int], pack: Callable[[int], bytes], content: Content = b""
    ) -> None:
        self._function, self._pack, self._value = function, pack, function(content, 0)

    def update(self, data: Content, /) -> None:
        self._value = self._function(data, self._value)

    def digest(self) -> bytes:
        return self._pack(self._value)


class Hasher(Protocol):
    """Incremental digest."""

    def update(self, data: bytes | memoryview, /) -> object: ...

    def digest(self) -> bytes: ...


class Algorithm(NamedTuple):
    """One algorithm: its name in headers and XML, digest size, and how CRCs of parts combine (None for hashes)."""

    name: str
    size_bytes: int
    new: Callable[..., Hasher]
    """Takes the beginning of the content, or nothing."""
    combine: Callable[[int, int, int], int] | None

    @property
    def header(self) -> str:
        """`x-amz-checksum-crc32c`."""
        return f"x-amz-checksum-{self.name.lower()}"

    @property
    def element(self) -> str:
        """XML element: `ChecksumCRC32C`."""
        return f"Checksum{self.name}"

    @property
    def default_type(self) -> str:
        """The checksum type of a multipart upload that does not name one."""
        return FULL_OBJECT if self.name == "CRC64NVME" else COMPOSITE


_32, _64 = struct.Struct(">I").pack, struct.Struct(">Q").pack
ALGORITHMS = {
    one.name: one
    for one in (
        Algorithm("CRC32", 4, partial(_Crc, zlib.crc32, _32), crt.combine_crc32),
        Algorithm("CRC32C", 4, partial(_Crc, crt.crc32c, _32), crt.combine_crc32c),
        Algorithm("CRC64NVME", 8, partial(_Crc, crt.crc64nvme, _64), crt.combine_crc64nvme),
        Algorithm("SHA1", 20, partial(hashlib.sha1, usedforsecurity=False), None),
        Algorithm("SHA256", 32, hashlib.sha256, None),
        Algorithm("SHA512", 64, hashlib.sha512, None),
        Algorithm("MD5", 16, partial(hashlib.md5, usedforsecurity=False), None),
        Algorithm("XXHASH64", 8, xxhash.xxh64, None),
        Algorithm("XXHASH3", 8, xxhash.xxh3_64, None),
        Algorithm("XXHASH128", 16, xxhash.xxh3_128, None),
    )
}
_BY_HEADER = {one.header: one for one in ALGORITHMS.values()}
_PREFIX = "x-amz-checksum-"
_SETTINGS = (f"{_PREFIX}algorithm", f"{_PREFIX}mode", f"{_PREFIX}type")


def by_name(name: str) -> Algorithm:
    """The algorithm of an `x-amz-checksum-algorithm` value. Raise `S3Error`."""
    try:
        return ALGORITHMS[name.upper()]
    except KeyError:
        raise S3Error("InvalidRequest", f"Checksum algorithm {name} is not one of {', '.join(ALGORITHMS)}") from None


class Claim(NamedTuple):
    """A checksum the client claims; `value` is None while it is still to come in the trailer."""

    algorithm: Algorithm
    value: str | None


def read_claim(headers: Mapping[str, Sequence[str]]) -> Claim | None:
    """What the headers of a PUT claim. Raise `S3Error` for a bad value or more than one."""
    given = [(_BY_HEADER[name], values[0]) for name, values in headers.items() if name in _BY_HEADER]
    for name in headers:
        if name.startswith(_PREFIX) and name not in _BY_HEADER and name not in _SETTINGS:
            raise S3Error("InvalidRequest", f"The header {name} is not one of {', '.join(_BY_HEADER)}")
    trailers = [name for name in announced_trailers(headers) if name in _BY_HEADER]
    if len(given) + len(trailers) > 1:
        raise S3Error("InvalidRequest", "Expecting a single x-amz-checksum- header")
    claim = Claim(*given[0]) if given else Claim(_BY_HEADER[trailers[0]], None) if trailers else None
    named = headers.get("x-amz-sdk-checksum-algorithm")
    if named:
        by_name(named[0])
    if claim is None:
        if named and headers.get("x-amz-trailer"):
            raise S3Error("InvalidRequest", "x-amz-sdk-checksum-algorithm specified, but no checksum header was sent")
        return Claim(by_name(named[0]), None) if named and not headers.get("content-md5") else None
    if named and by_name(named[0]) is not claim.algorithm:
        raise S3Error("InvalidRequest", "x-amz-sdk-checksum-algorithm does not match the checksum header sent")
    if claim.value is not None:
        check_value(claim.algorithm, claim.value)
    return claim


def announced_trailers(headers: Mapping[str, Sequence[str]]) -> frozenset[str]:
    """Lower-case names in `x-amz-trailer`."""
    names = ",".join(headers.get("x-amz-trailer", ())).lower().split(",")
    return frozenset(name.strip() for name in names if name.strip())


def check_value(algorithm: Algorithm, value: str) -> None:
    """Raise `S3Error` unless `value` is base64 of a digest of the right size."""
    try:
        size = len(base64.b64decode(value, validate=True))
    except (binascii.Error, ValueError):
        size = -1
    if size != algorithm.size_bytes:
        raise S3Error("InvalidRequest", f"Value for {algorithm.header} header is invalid.")


def encode(digest: bytes) -> str:
    """As it stands in a header."""
    return binascii.b2a_base64(digest, newline=False).decode()


def decode(value: str) -> bytes:
    """The digest of a value that `encode` made."""
    return base64.b64decode(value)


def read_content_md5(headers: Mapping[str, Sequence[str]]) -> bytes | None:
    """The claimed MD5 of the body. Raise `S3Error` InvalidDigest unless it is base64 of 16 bytes."""
    values = headers.get("content-md5")
    if not values:
        return None
    try:
        digest = base64.b64decode(values[0], validate=True)
    except (binascii.Error, ValueError):
        digest = b""
    if len(digest) != 16:
        raise S3Error("InvalidDigest")
    return digest


def composite(algorithm: Algorithm, part_digests: Sequence[bytes]) -> str:
    """`value-N` over the digests of the parts in order."""
    hasher = algorithm.new()
    hasher.update(b"".join(part_digests))
    return f"{encode(hasher.digest())}-{len(part_digests)}"


def full_object(algorithm: Algorithm, parts: Iterable[tuple[bytes, int]]) -> str:
    """The checksum of the content, from `(digest, size in bytes)` of the parts in order; CRCs only."""
    assert algorithm.combine is not None
    value = 0
    for digest, size_bytes in parts:
        value = algorithm.combine(value, int.from_bytes(digest, "big"), size_bytes)
    return encode(value.to_bytes(algorithm.size_bytes, "big"))


def multipart_etag(part_md5s: Sequence[bytes]) -> str:
    """`md5(md5s of the parts)-N`, unquoted."""
    return f"{hashlib.md5(b''.join(part_md5s), usedforsecurity=False).hexdigest()}-{len(part_md5s)}"
