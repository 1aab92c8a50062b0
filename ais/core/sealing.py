"""Sealed content: how the bytes of an encrypted object lie in its file (`docs/on_disk_layout.md`, "Sealed objects").

A file holds one stream, or those of its parts one after the other. A stream is a header and segments of 64 KiB, each
encrypted with AES-256-GCM and followed by its tag, so that a range is read and verified without the rest:

    header      magic `AIS\\x01`, number of the part (u32), bytes of the whole stream or 0 (u64), salt (16 bytes)
    segment     up to 65536 bytes encrypted, 16 bytes tag

The key of a stream is BLAKE2b of its header under the object's data key, the nonce the number of the segment (u64),
three zero bytes and whether it is the last one; the header is authenticated with each. So segments cannot be changed,
moved, left out or cut off, and no two streams share a key even when a part is sent twice. Pure but for reading.

Who has data keys is a `Keyring`: the store asks it whatever is written natively into a bucket that encrypts, and read.
"""

import hashlib
import itertools
import os
import secrets
import struct
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple, Protocol

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from ais.api import checksum
from ais.base.errors import CorruptMetadata, Unsupported
from ais.core.meta import ObjectMeta, run_lengths

KEY, SIZE, CHECKSUM = "sealed", "sealed-size", "sealed-checksum"
"""Facts of a sealed object: its data key, encrypted, its size in bytes as clients see it, and `kind:value` of the
checksum of its content when it was written natively."""
ALGORITHM, KEY_ID, CONTEXT, BUCKET_KEY = "sse", "sse-key", "sse-context", "sse-bucket-key"
"""Facts: `AES256`, `aws:kms` or `customer`; ID of the key, or MD5 of the customer's; context of the key service;
whether a bucket key was asked for: answers say so, and the key service is asked once in minutes in any case."""
KEY_BYTES = 32
SEGMENT_BYTES = 64 << 10
TAG_BYTES = 16
_HEADER = struct.Struct(">4sIQ16s")
_MAGIC = b"AIS\x01"
_SEALED_BYTES = SEGMENT_BYTES + TAG_BYTES
READ_SEGMENTS = 16
"""What is read at once at most."""


class Wanted(NamedTuple):
    """How a new object is to be encrypted. `customer_key` is set for SSE-C, `key_id` its MD5 then."""

    algorithm: str
    key_id: str = ""
    context: str = ""
    customer_key: bytes = b""
    has_bucket_key: bool = False


class Seal(NamedTuple):
    """The data key of a new object, and the facts by which it is found again."""

    key: bytes
    facts: dict[str, str]


class Keyring(Protocol):
    """Makes and opens data keys. Any thread may call; outside of the event loop's it may wait."""

    def seal(self, wanted: Wanted) -> Seal:
        """A new one. Raise `NotReady`."""
        ...

    def open(self, facts: Mapping[str, str]) -> bytes:
        """That of a sealed object. Raise `NotReady`, `CorruptMetadata`, `Unsupported` when the client has the key."""
        ...


class NoKeyring:
    """Of a store that nobody has given a keyring."""

    def seal(self, wanted: Wanted) -> Seal:
        """See `Keyring`."""
        raise Unsupported(f"nothing can be encrypted here ({wanted.algorithm})")

    def open(self, facts: Mapping[str, str]) -> bytes:
        """See `Keyring`."""
        raise Unsupported(f"nothing can be decrypted here ({facts[ALGORITHM]})")


def is_sealed(meta: ObjectMeta) -> bool:
    """Whether the file holds what only a key opens."""
    return KEY in meta.facts


def size_of(meta: ObjectMeta) -> int:
    """Size of the content in bytes, also of a sealed object."""
    return int(meta.facts[SIZE]) if SIZE in meta.facts else meta.size


def part_sizes(meta: ObjectMeta) -> list[int]:
    """Sizes of the parts of the content in order; empty when it was not uploaded in parts."""
    return [content_size(size) for size in meta.part_sizes] if is_sealed(meta) else meta.part_sizes


def plain(meta: ObjectMeta) -> ObjectMeta:
    """As clients see an object: size, checksum and parts of its content. The checksum may be unknown."""
    if KEY not in meta.facts:
        return meta
    kind, _, value = meta.facts.get(CHECKSUM, "").partition(":")
    if not kind:
        value = meta.facts.get("etag", "")
        kind = "md5" if value and "-" not in value else checksum.NONE
    return msgspec.structs.replace(
        meta,
        size=size_of(meta),
        checksum_kind=kind,
        checksum=value if kind != checksum.NONE else "",
        runs=run_lengths(part_sizes(meta)),
    )


def facts_of(details: Mapping[str, str]) -> dict[str, str]:
    """Of what is known of an upload, what its encrypted object has to know."""
    return {name: details[name] for name in (KEY, ALGORITHM, KEY_ID, CONTEXT, BUCKET_KEY) if name in details}


def wanted_of(facts: Mapping[str, str]) -> Wanted:
    """How an object with these facts is encrypted, for what takes its place."""
    return Wanted(facts[ALGORITHM], facts.get(KEY_ID, ""), facts.get(CONTEXT, ""), has_bucket_key=BUCKET_KEY in facts)


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


def plan(found: list[Stream], start: int, length: int, segments: int = READ_SEGMENTS) -> Iterator[Piece]:
    """What to read for a range of the content, so many segments at once."""
    end = start + length
    for stream in found:
        low = max(start, stream.content_offset) - stream.content_offset
        high = min(end, stream.content_offset + stream.content_size) - stream.content_offset
        while low < high:
            first = low // SEGMENT_BYTES
            stop = min(high, (first + segments) * SEGMENT_BYTES)
            count = -(-stop // SEGMENT_BYTES) - first
            yield Piece(stream, first, count, low - first * SEGMENT_BYTES, stop - low)
            low = stop


def opener(meta: ObjectMeta, fd: int, key: bytes) -> Callable[[int, int], bytes]:
    """What reads a range of the content, (size, offset), as `os.pread` does of a file. Blocks; raises as `reader`."""
    read, found = reader(fd, key), known_streams(meta)

    def pread(size: int, offset: int) -> bytes:
        nonlocal found
        if found is None:
            found = streams(meta, fd)
        return b"".join(map(read, plan(found, offset, min(size, max(0, size_of(meta) - offset)))))

    return pread


class _Room(threading.local):
    """Where a thread reads what it opens: fresh memory costs as much as reading."""

    def __init__(self) -> None:
        self.view = memoryview(bytearray(READ_SEGMENTS * _SEALED_BYTES))


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
