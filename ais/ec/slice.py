"""One slice as a file: a header that says what it is a slice of, then its blocks, each behind a checksum of its own.

    "AISE\\x01"  u32 length of the header  u32 CRC-32C of the fields  the fields (msgpack)  zeros up to that length
    per stripe: u64 XXH64 of the block (seed: the stripe's number)  the block

Numbers are big endian. An object is cut into stripes of D blocks of `block` bytes; the blocks of the last stripe share
evenly what is left, padded with zeros. Slice i has block i of each stripe, so that a range of the object needs only the
stripes it touches, and reading it all reads D targets at once. Nothing but the file is needed to know all about it.
"""

import struct
from typing import NamedTuple

import msgspec
import xxhash
from awscrt import checksums as crt

from ais.base.errors import CorruptMetadata
from ais.core.meta import ObjectMeta
from ais.ec import code

_MAGIC = b"AISE\x01"
_PREFIX = struct.Struct(">5sII")
_SUM = struct.Struct(">Q")
_ALIGN = 512
HEADER_BYTES_MAX = 16384
BLOCK_BYTES_MAX = 256 << 10
SUM_BYTES = _SUM.size


class Scheme(NamedTuple):
    """How objects of a size are coded: D data and P parity slices; D = 1: whole copies.

    `is_alone`: the slices are all there is, no target has the whole object.
    """

    data: int
    parity: int
    is_alone: bool = False

    @property
    def total(self) -> int:
        """Slices in all."""
        return self.data + self.parity


class Coding(NamedTuple):
    """How an object is coded as clients are told: D, P, and whether P whole copies take the place of slices."""

    data: int
    parity: int
    is_replicated: bool


class Slice(msgspec.Struct, frozen=True, array_like=True):
    """The fields of a header. `meta` and `times_ns` (access, modification) are the object's.

    `is_tombstone`: not a slice, but a note that the object with this stamp, and all before, was deleted.
    """

    uname: str
    meta: ObjectMeta
    times_ns: tuple[int, int]
    data: int
    parity: int
    index: int
    block: int
    code: str = code.NAME
    is_tombstone: bool = False

    @property
    def stamp(self) -> tuple[int, int]:
        """Of the object."""
        return self.meta.stamp

    @property
    def group(self) -> tuple[object, ...]:
        """What slices have in common that belong together."""
        return self.written, self.meta.size, self.meta.checksum, self.data, self.parity, self.block, self.code

    @property
    def written(self) -> tuple[int, int]:
        """The stamp of the write that the content is of."""
        return self.meta.cut.written if self.meta.cut is not None else self.meta.stamp

    @property
    def stripe_bytes(self) -> int:
        """Bytes of the object in each stripe but the last."""
        return self.data * self.block

    @property
    def stripes(self) -> int:
        """How many stripes there are."""
        return -(-self.meta.size // self.stripe_bytes) if self.meta.size else 0

    def block_bytes(self, stripe: int) -> int:
        """Bytes of each block of a stripe."""
        rest = self.meta.size - stripe * self.stripe_bytes
        return self.block if rest >= self.stripe_bytes else -(-rest // self.data)

    def span(self, first: int, count: int) -> tuple[int, int]:
        """Offset behind the header, and length, of the blocks of some stripes with their checksums."""
        start = first * (self.block + SUM_BYTES)
        return start, sum(self.block_bytes(stripe) + SUM_BYTES for stripe in range(first, first + count))

    @property
    def body_bytes(self) -> int:
        """Bytes behind the header."""
        return (
            self.span(0, self.stripes)[1]
            if self.stripes < 2
            else ((self.stripes - 1) * (self.block + SUM_BYTES) + self.block_bytes(self.stripes - 1) + SUM_BYTES)
        )

    def encode(self) -> bytes:
        """The header."""
        body = msgspec.msgpack.encode(self)
        length = -(-(_PREFIX.size + len(body)) // _ALIGN) * _ALIGN
        return (_PREFIX.pack(_MAGIC, length, crt.crc32c(body)) + body).ljust(length, b"\0")


def block_bytes_of(size: int, data: int) -> int:
    """The block size for an object: one stripe when that is small, else 256 KiB."""
    return max(1, min(BLOCK_BYTES_MAX, -(-size // data)))


def decode(head: bytes) -> tuple[Slice, int]:
    """Read a header from the beginning of a slice; return it and its length. Raise `CorruptMetadata`."""
    try:
        magic, length, digest = _PREFIX.unpack_from(head)
        if magic != _MAGIC or not _PREFIX.size < length <= min(len(head), HEADER_BYTES_MAX):
            raise CorruptMetadata("not the header of a slice")
        found = msgspec.msgpack.Decoder(Slice).decode(_trim(head[_PREFIX.size : length], digest))
    except (struct.error, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise CorruptMetadata(f"the header of a slice cannot be decoded: {error}") from None
    return found, length


def _trim(padded: bytes, digest: int) -> bytes:
    """The fields without the zeros behind them, which may end with zeros too. Raise `CorruptMetadata`."""
    end = len(padded.rstrip(b"\0"))
    for length in range(end, min(end + 16, len(padded)) + 1):
        if crt.crc32c(padded[:length]) == digest:
            return padded[:length]
    raise CorruptMetadata("the header of a slice does not have its checksum")


def seal(stripe: int, block: code.Block) -> bytes:
    """The checksum that goes before a block."""
    return _SUM.pack(xxhash.xxh64_intdigest(block, stripe))


def unseal(sliced: Slice, first: int, count: int, body: bytes) -> list[memoryview] | None:
    """The blocks of some stripes from what was read of a slice; None when any is damaged or missing."""
    view, offset, blocks = memoryview(body), 0, []
    for stripe in range(first, first + count):
        length = sliced.block_bytes(stripe)
        block = view[offset + SUM_BYTES : offset + SUM_BYTES + length]
        if len(block) != length or view[offset : offset + SUM_BYTES] != seal(stripe, block):
            return None
        blocks.append(block)
        offset += SUM_BYTES + length
    return blocks
