"""The short form of what is known about an object that a plain PUT over S3 wrote: with it that fits into an inode.

ext4 keeps attributes in an inode of 256 bytes while they take no more than `BYTES_MAX`. What does not fit takes a block
of 4 KiB more for each object, another place on the disk to read, and twice the time. The long form (`ais.core.meta`)
has 160 bytes for such an object. Here digests are bytes, and names are their places in the tables below.
"""

import binascii
from collections.abc import Callable
from typing import NamedTuple

import google_crc32c
import msgspec

BYTES_MAX = 64
KINDS = ("none", "xxhash", "xxhash2", "md5", "crc32c", "sha256", "sha512")
ALGORITHMS = ("CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256", "SHA512", "MD5", "XXHASH64", "XXHASH3", "XXHASH128")
CONTENT_TYPES = (
    "application/octet-stream",
    "binary/octet-stream",
    "application/json",
    "application/x-tar",
    "application/gzip",
    "application/x-gzip",
    "application/zip",
    "application/zstd",
    "application/x-ndjson",
    "application/jsonl",
    "application/xml",
    "application/pdf",
    "application/parquet",
    "application/vnd.apache.parquet",
    "application/x-parquet",
    "application/x-hdf5",
    "application/x-hdf",
    "application/x-npy",
    "application/x-numpy",
    "application/msgpack",
    "application/yaml",
    "application/x-yaml",
    "application/javascript",
    "application/x-www-form-urlencoded",
    "text/plain",
    "text/csv",
    "text/html",
    "text/xml",
    "text/css",
    "text/javascript",
    "text/markdown",
    "text/x-python",
    "text/tab-separated-values",
    "text/plain;charset=utf-8",
    "text/html;charset=utf-8",
    "application/json;charset=utf-8",
    "image/jpeg",
    "image/png",
    "image/webp",
    "image/gif",
    "image/tiff",
    "image/bmp",
    "image/svg+xml",
    "image/avif",
    "image/jp2",
    "audio/mpeg",
    "audio/wav",
    "audio/x-wav",
    "audio/flac",
    "audio/x-flac",
    "audio/ogg",
    "audio/mp4",
    "audio/opus",
    "video/mp4",
    "video/webm",
    "video/mpeg",
    "video/quicktime",
    "video/x-matroska",
    "video/x-msvideo",
    "video/ogg",
)
"""Tables of the format on disk: entries may be added at the end, and stay where they are."""
MAGIC = b"\xa3"
_HEAD_BYTES = 5
_SEED = google_crc32c.value(MAGIC)
_FULL_OBJECT = "FULL_OBJECT"
_VERSION_MAX = 1 << 63
_checksum: Callable[[int, bytes], int] = google_crc32c.extend


class _Body(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """As it is encoded; places in tables count from 1, and 0 is none."""

    size: int
    kind: int
    checksum: bytes
    version: int
    generation: int
    time_ns: int
    etag: bytes
    algorithm: int = 0
    value: bytes = b""
    content_type: int = 0


class Short(NamedTuple):
    """The fields of `ais.core.meta.ObjectMeta` that the short form has; all others have their defaults."""

    size: int
    checksum_kind: str
    checksum: str
    version: str
    stamp: tuple[int, int]
    facts: dict[str, str]


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_Body).decode
_place_of_kind = {kind: place for place, kind in enumerate(KINDS)}
_place_of_algorithm = {name: place for place, name in enumerate(ALGORITHMS, 1)}
_place_of_type = {name: place for place, name in enumerate(CONTENT_TYPES, 1)}


def encode(short: Short) -> bytes | None:
    """The attribute's value; None for what has no short form, or is too long in it, too."""
    size, kind, checksum, version, stamp, facts = short
    try:
        digest, etag = bytes.fromhex(checksum), bytes.fromhex(facts["etag"])
        number, rest = int(version or 0), len(facts) - 1
        if digest.hex() != checksum or etag.hex() != facts["etag"] or (str(number) if number else "") != version:
            return None
        fields: list[int | bytes] = [size, _place_of_kind[kind], digest, number, *stamp, etag]
        if (claimed := facts.get("checksum")) is not None:
            value = binascii.a2b_base64(claimed)
            if facts["checksum-type"] != _FULL_OBJECT or binascii.b2a_base64(value, newline=False).decode() != claimed:
                return None
            fields += (_place_of_algorithm[facts["checksum-algorithm"]], value)
            rest -= 3
        if (content_type := facts.get("content-type")) is not None:
            fields += (_place_of_type[content_type],) if claimed is not None else (0, b"", _place_of_type[content_type])
            rest -= 1
    except (KeyError, ValueError):
        return None
    if rest or number > _VERSION_MAX:
        return None
    body = _encode(fields)
    if len(body) > BYTES_MAX - _HEAD_BYTES:
        return None
    return MAGIC + _checksum(_SEED, body).to_bytes(4) + body


def decode(value: bytes) -> Short | None:
    """Read what `encode` wrote; None for anything else."""
    body = value[_HEAD_BYTES:]
    if value[:_HEAD_BYTES] != MAGIC + _checksum(_SEED, body).to_bytes(4):
        return None
    try:
        found = _decode(body)
        facts = {"etag": found.etag.hex()}
        if found.algorithm:
            facts["checksum-algorithm"] = ALGORITHMS[found.algorithm - 1]
            facts["checksum"] = binascii.b2a_base64(found.value, newline=False).decode()
            facts["checksum-type"] = _FULL_OBJECT
        if found.content_type:
            facts["content-type"] = CONTENT_TYPES[found.content_type - 1]
        return Short(
            found.size,
            KINDS[found.kind],
            found.checksum.hex(),
            str(found.version) if found.version else "",
            (found.generation, found.time_ns),
            facts,
        )
    except (msgspec.DecodeError, IndexError):
        return None
