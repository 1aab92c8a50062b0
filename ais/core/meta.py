"""What is known about an object besides its bytes: one extended attribute of its file.

Format (`docs/on_disk_layout.md`): the magic `AISO`, one byte of format version, the CRC-32C of all the rest, then a
msgpack array of the fields below in this order. Fields may be appended to the array (old readers ignore them, new
readers take their default); any other change raises the version. Version 1 had no CRC-32C. What a plain PUT over S3
wrote has a form of its own (`ais.core.short_meta`).
"""

import functools
import itertools
import struct
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import google_crc32c
import msgspec

from ais.base.errors import BadRequest, CorruptMetadata, MetadataTooLarge
from ais.core import short_meta
from ais.core.short_meta import Short
from ais.fs import layout

XATTR = layout.OBJECT_XATTR
XATTR_BYTES_MAX = 3584
"""ext4 keeps all attributes of a file in one block of 4 KiB, headers and names included."""
CUSTOM_BYTES_MAX = 2048
"""Keys and values together (wire contract §10.2)."""
S3_PREFIX = "x-amz-meta-"
"""Of keys set over S3, which does not count it."""
_HEADER = b"AISO\x02"
_WITHOUT_CHECKSUM = b"AISO\x01"
_HEAD = struct.Struct(">5sL")
_HEAD_BYTES = _HEAD.size
_pack_head, _checksum = _HEAD.pack, google_crc32c.extend
_SEED = google_crc32c.value(_HEADER)


class Cut(NamedTuple):
    """How content was cut into slices: D, P, bytes of a block, and the stamp of the write, which names its slices.

    Changes of metadata give the object another stamp; its slices stay those of this one.
    """

    data: int
    parity: int
    block: int
    written: tuple[int, int]


class ObjectMeta(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Metadata of one object as stored. Times are those of the file: atime, and mtime for last-modified."""

    size: int
    checksum_kind: str = "none"
    checksum: str = ""
    version: str = ""
    custom: dict[str, str] = {}
    runs: tuple[tuple[int, int], ...] = ()
    """Of an object uploaded in parts: (count, size in bytes) of each run of equal parts."""
    facts: dict[str, str] = {}
    """What the S3 API says about the object besides custom metadata: lower-case header names, and those of `ais.s3`."""
    version_id: str = ""
    """ID among the kept versions of a bucket; empty: the null version."""
    order: str = ""
    """Of a null version: what its ID would be, which gives it its place among the kept ones."""
    is_marker: bool = False
    """Not an object: a version that says that the object was deleted."""
    stamp: tuple[int, int] = (0, 0)
    """Orders the writes of one name, whatever the clock does: generation of the set of mountpaths, then Unix ns or what
    follows the write before. (0, 0): written before there were stamps."""
    cut: Cut | None = None
    """The content is kept as slices alone, on several targets: the object's file is empty."""

    @property
    def promised(self) -> tuple[str, str] | None:
        """(kind, value) of the checksum that the file must have: the stored one, else the MD5 that is its ETag.

        That of a sealed object (`ais.core.sealing`) is of what was sealed.
        """
        if self.checksum:
            return self.checksum_kind, self.checksum
        md5 = self.facts.get("etag", "")
        return ("md5", md5) if md5 and "-" not in md5 and "sealed" not in self.facts else None

    @property
    def part_sizes(self) -> list[int]:
        """Sizes of the parts in order; empty when the object was not uploaded in parts."""
        return [size for count, size in self.runs for _ in range(count)]


RUNS_MAX = 64
"""An object whose parts change their size more often does not remember them: they would not fit into the attribute."""


def run_lengths(sizes: Sequence[int]) -> tuple[tuple[int, int], ...]:
    """Sizes of parts as `ObjectMeta.runs`; empty when that would take more than 64 runs."""
    runs = tuple((len(list(run)), size) for size, run in itertools.groupby(sizes))
    return runs if len(runs) <= RUNS_MAX else ()


def equal_runs(size: int, part: int) -> tuple[tuple[int, int], ...]:
    """`ObjectMeta.runs` of `size` bytes in parts of `part` bytes, the last one smaller."""
    count, rest = divmod(size, part)
    return tuple(run for run in ((count, part), (1 if rest else 0, rest)) if run[0])


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(ObjectMeta)


def encode(meta: ObjectMeta) -> bytes:
    """The attribute's value. Raise `MetadataTooLarge` when it would not fit into one."""
    if (
        meta.facts
        and not (meta.custom or meta.runs or meta.version_id or meta.order or meta.is_marker or meta.cut)
        and (short := short_meta.encode(_short(meta))) is not None
    ):
        return short
    body = _encoder.encode(meta)
    value = _pack_head(_HEADER, _checksum(_SEED, body)) + body
    if len(value) > XATTR_BYTES_MAX:
        raise MetadataTooLarge(f"object metadata is too large: {len(value)} bytes, at most {XATTR_BYTES_MAX}")
    return value


def _short(meta: ObjectMeta) -> Short:
    return Short(meta.size, meta.checksum_kind, meta.checksum, meta.version, meta.stamp, meta.facts)


def _of_short(short: Short) -> ObjectMeta:
    size, kind, checksum, version, stamp, facts = short
    return ObjectMeta(size, kind, checksum, version, {}, (), facts, stamp=stamp)


def decode(value: bytes) -> ObjectMeta:
    """Read what `encode` wrote. Raise `CorruptMetadata` for anything else."""
    if value.startswith(short_meta.MAGIC):
        if (short := short_meta.decode(value)) is None:
            raise CorruptMetadata("object metadata does not have its checksum, or is of a later version")
        return _of_short(short)
    body = value[_HEAD_BYTES:]
    if value[:_HEAD_BYTES] == _pack_head(_HEADER, _checksum(_SEED, body)):
        pass
    elif value.startswith(_HEADER):
        raise CorruptMetadata("object metadata does not have its checksum")
    elif value.startswith(_WITHOUT_CHECKSUM):
        body = value[len(_WITHOUT_CHECKSUM) :]
    else:
        raise CorruptMetadata(f"object metadata has an unknown header {value[:5]!r}")
    try:
        return _decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise CorruptMetadata(f"object metadata cannot be decoded: {error}") from None


def decoded(value: bytes) -> ObjectMeta | None:
    """The same; None for anything else."""
    try:
        return decode(value)
    except CorruptMetadata:
        return None


def all_decoded(values: Iterable[bytes | None]) -> list[ObjectMeta | None]:
    """The same of many, which mostly are as `encode` writes them; None for None."""
    found: list[ObjectMeta | None] = []
    for value in values:
        if value is None:
            found.append(None)
            continue
        body = value[_HEAD_BYTES:]
        if value[:_HEAD_BYTES] == _pack_head(_HEADER, _checksum(_SEED, body)):
            try:
                found.append(_decoder.decode(body))
                continue
            except (msgspec.DecodeError, UnicodeDecodeError):
                pass  # it is found out below what is wrong
        found.append(decoded(value))
    return found


def check_custom(custom: dict[str, str]) -> None:
    """Raise `BadRequest` (`MetadataTooLarge`) unless `custom` may be the custom metadata of an object."""
    if "" in custom:
        raise BadRequest("custom metadata has an empty key")
    size = sum(len(key.removeprefix(S3_PREFIX).encode()) + len(value.encode()) for key, value in custom.items())
    if size > CUSTOM_BYTES_MAX:
        raise MetadataTooLarge(f"custom metadata is too large: {size} bytes, at most {CUSTOM_BYTES_MAX}")


@functools.lru_cache(maxsize=1024)
def next_version(current: str) -> str:
    """The version after `current`: the next whole number, `1` after none or after one that is not a number."""
    return str(int(current) + 1) if current.isascii() and current.isdigit() else "1"
