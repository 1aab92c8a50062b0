"""Sealed content: how the bytes of an encrypted object lie in its file (`docs/on_disk_layout.md`, "Sealed objects").

A file holds one stream, or those of its parts one after the other. A stream is a header and segments of 64 KiB, each
encrypted with AES-256-GCM and followed by its tag, so that a range is read and verified without the rest:

    header      magic `AIS\\x01`, number of the part (u32), bytes of the whole stream or 0 (u64), salt (16 bytes)
    segment     up to 65536 bytes encrypted, 16 bytes tag

The key of a stream is BLAKE2b of its header under the object's data key, the nonce the number of the segment (u64),
three zero bytes and whether it is the last one; the header is authenticated with each. So segments cannot be changed,
moved, left out or cut off, and no two streams share a key even when a part is sent twice. Pure but for reading.
"""

import hashlib
import itertools
import os
import secrets
import struct
import threading
from collections.abc import Callable, Iterator
from typing import NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from ais.base.errors import CorruptMetadata
from ais.core.meta import ObjectMeta

KEY, SIZE = "sealed", "sealed-size"
"""Facts of a sealed object: its data key, encrypted, and its size in bytes as clients see it."""
KEY_BYTES = 32
SEGMENT_BYTES = 64 << 10
TAG_BYTES = 16
_HEADER = struct.Struct(">4sIQ16s")
_MAGIC = b"AIS\x01"
_SEALED_BYTES = SEGMENT_BYTES + TAG_BYTES
_READ_SEGMENTS = 16


def is_sealed(meta: ObjectMeta) -> bool:
    """Whether the file holds what only a key opens."""
    return KEY in meta.facts


def size_of(meta: ObjectMeta) -> int:
    """Size of the content in bytes, also of a sealed object."""
    return int(meta.facts[SIZE]) if SIZE in meta.facts else meta.size


def part_sizes(meta: ObjectMeta) -> list[int]:
    """Sizes of the parts of the content in order; empty when it was not uploaded in parts."""
    return [content_size(size) for size in meta.part_sizes] if is_sealed(meta) else meta.part_sizes


def sealed_size(size: int) -> int:
    """Bytes of the stream of so much content."""
    return _HEADER.size + size + max(1, -(-size // SEGMENT_BYTES)) * TAG_BYTES


def content_size(stream_size: int) -> int:
    """The reverse."""
    body = stream_size - _HEADER.size
    return body - -(-body // (SEGMENT_BYTES + TAG_BYTES)) * TAG_BYTES


def _cipher(key: bytes, header: bytes) -> AESGCM:
    return AESGCM(hashlib.blake2b(header, digest_size=KEY_BYTES, key=key, person=b"ais sealed").digest())


def _nonce(segment: int, is_last: bool) -> bytes:
    return segment.to_bytes(8, "big") + (b"\0\0\0\1" if is_last else b"\0\0\0\0")


class Sealer:
    """Makes one stream, piece by piece."""

    def __init__(self, key: bytes, *, size: int | None, part: int = 1) -> None:
        """`size`: of the content, None while nobody knows."""
        stream = 0 if size is None else sealed_size(size)
        self._header = _HEADER.pack(_MAGIC, part, stream, secrets.token_bytes(16))
        self._cipher = _cipher(key, self._header)
        self._pending = bytearray()
        self._segment = 0
        self._is_begun = False

    def seal(self, data: bytes | memoryview) -> memoryview:
        """What to write for the next bytes. Keeps the last segment back: it is sealed as such."""
        count = max(0, len(self._pending) + len(data) - 1) // SEGMENT_BYTES
        out, at = self._begin(count * _SEALED_BYTES)
        rest = memoryview(data)
        if count and self._pending:
            lacking = SEGMENT_BYTES - len(self._pending)
            self._pending += rest[:lacking]
            rest = rest[lacking:]
            at = self._next(self._pending, out, at, is_last=False)
            self._pending = bytearray()
        while at < len(out):
            at = self._next(rest[:SEGMENT_BYTES], out, at, is_last=False)
            rest = rest[SEGMENT_BYTES:]
        self._pending += rest
        return memoryview(out)

    def finish(self) -> memoryview:
        """The end of the stream."""
        out, at = self._begin(len(self._pending) + TAG_BYTES)
        self._next(self._pending, out, at, is_last=True)
        return memoryview(out)

    def _begin(self, size: int) -> tuple[bytearray, int]:
        """Room for so many bytes, and where they go: the first time behind the header."""
        begun, self._is_begun = self._is_begun, True
        if begun:
            return bytearray(size), 0
        out = bytearray(_HEADER.size + size)
        out[: _HEADER.size] = self._header
        return out, _HEADER.size

    def _next(self, data: bytearray | memoryview, out: bytearray, at: int, *, is_last: bool) -> int:
        end = at + len(data) + TAG_BYTES
        with memoryview(out) as view:
            self._cipher.encrypt_into(_nonce(self._segment, is_last), data, self._header, view[at:end])
        self._segment += 1
        return end


class Stream(NamedTuple):
    """One stream in a file: where it lies, and where its content lies in that of the object."""

    offset: int
    size: int
    content_offset: int
    content_size: int
    before: int
    """Offset of the stream before it; -1: it is the first."""


class Piece(NamedTuple):
    """`segments` of a stream from `first` on; of their content, `take` bytes behind the first `skip`."""

    stream: Stream
    first: int
    segments: int
    skip: int
    take: int


def streams(meta: ObjectMeta, fd: int) -> list[Stream]:
    """The streams of an object's file. It may block; raises `CorruptMetadata`."""
    found = known_streams(meta)
    return found if found is not None else _streams(meta, list(_walk(fd, meta.size)))


def known_streams(meta: ObjectMeta) -> list[Stream] | None:
    """The same if the metadata says so; None: the file has to be read. Raise `CorruptMetadata`."""
    sizes = meta.part_sizes
    if not sizes and content_size(meta.size) != size_of(meta):
        return None
    return _streams(meta, sizes or [meta.size])


def _streams(meta: ObjectMeta, sizes: list[int]) -> list[Stream]:
    offsets = itertools.accumulate(sizes[:-1], initial=0)
    found: list[Stream] = []
    content = 0
    for offset, size in zip(offsets, sizes, strict=True):
        found.append(Stream(offset, size, content, content_size(size), found[-1].offset if found else -1))
        content += found[-1].content_size
    if content != size_of(meta):
        raise CorruptMetadata("the parts of a sealed object are not as long as the object")
    return found


def _walk(fd: int, file_size: int) -> Iterator[int]:
    """Sizes of the streams, from their headers: of an object that does not remember its parts."""
    offset = 0
    while offset < file_size:
        header = os.pread(fd, _HEADER.size, offset)
        if len(header) != _HEADER.size:
            raise CorruptMetadata("a sealed object breaks off")
        magic, _, size, _ = _HEADER.unpack(header)
        if magic != _MAGIC or not size:
            raise CorruptMetadata("a sealed object holds what is no stream")
        yield size
        offset += size


def _read(fd: int, into: memoryview, offset: int, flags: int) -> int:
    """Fill `into`, as far as the file goes. Raise `BlockingIOError` when the flags say not to wait for the disk."""
    count = os.preadv(fd, [into], offset, flags)
    if flags & os.RWF_NOWAIT and count < len(into):
        raise BlockingIOError
    return count


def _header_at(fd: int, offset: int, flags: int) -> bytes:
    header = bytearray(_HEADER.size)
    if _read(fd, memoryview(header), offset, flags) != _HEADER.size:
        raise CorruptMetadata("a sealed object breaks off")
    return bytes(header)


def _part(header: bytes) -> int:
    return int(_HEADER.unpack(header)[1])


def plan(found: list[Stream], start: int, length: int) -> Iterator[Piece]:
    """What to read for a range of the content."""
    end = start + length
    for stream in found:
        low = max(start, stream.content_offset) - stream.content_offset
        high = min(end, stream.content_offset + stream.content_size) - stream.content_offset
        while low < high:
            first = low // SEGMENT_BYTES
            stop = min(high, (first + _READ_SEGMENTS) * SEGMENT_BYTES)
            count = -(-stop // SEGMENT_BYTES) - first
            yield Piece(stream, first, count, low - first * SEGMENT_BYTES, stop - low)
            low = stop


class _Room(threading.local):
    """Where a thread reads what it opens: fresh memory costs as much as reading."""

    def __init__(self) -> None:
        self.view = memoryview(bytearray(_READ_SEGMENTS * _SEALED_BYTES))


_room = _Room()


def reader(fd: int, key: bytes, flags: int = 0) -> Callable[[Piece], memoryview]:
    """What reads and opens pieces of an object. It blocks; raises `CorruptMetadata` for what is not as sealed.

    `flags` as of `os.preadv`; with `RWF_NOWAIT` it raises an `OSError` for what is not in the page cache.
    """
    known: dict[int, tuple[bytes, AESGCM]] = {}

    def read(piece: Piece) -> memoryview:
        stream = piece.stream
        if stream.offset not in known:
            header = _header_at(fd, stream.offset, flags)
            if stream.before >= 0 and _part(header) <= _part(_header_at(fd, stream.before, flags)):
                raise CorruptMetadata("the parts of a sealed object are not in order")
            known[stream.offset] = (header, _cipher(key, header))
        header, cipher = known[stream.offset]
        offset = stream.offset + _HEADER.size + piece.first * _SEALED_BYTES
        wanted = min(piece.segments * _SEALED_BYTES, stream.offset + stream.size - offset)
        data = _room.view[:wanted]
        data = data[: _read(fd, data, offset, flags)]
        last = max(1, -(-stream.content_size // SEGMENT_BYTES)) - 1
        out = memoryview(bytearray(max(0, len(data) - piece.segments * TAG_BYTES)))
        for index in range(piece.segments):
            at, to, segment = index * _SEALED_BYTES, index * SEGMENT_BYTES, piece.first + index
            try:
                nonce, sealed = _nonce(segment, segment == last), data[at : at + _SEALED_BYTES]
                cipher.decrypt_into(nonce, sealed, header, out[to : to + len(sealed) - TAG_BYTES])
            except (InvalidTag, ValueError):
                raise CorruptMetadata("a sealed object is not as it was written, or this is not its key") from None
        return out[piece.skip : piece.skip + piece.take]

    return read
