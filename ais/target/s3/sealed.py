"""Encrypted content on its way to and from the disk (`ais.core.sealing`)."""

import hashlib
import os
from collections.abc import AsyncIterator, Sequence
from functools import partial
from typing import Protocol

from ais.base.errors import BadRequest
from ais.core import sealing
from ais.core.meta import ObjectMeta
from ais.core.multipart import Part
from ais.core.part_writer import PartWriter
from ais.core.publish import Condition
from ais.core.sealing import Sealer
from ais.core.store import OpenObject
from ais.core.workfile import Buffer
from ais.core.writer import Writer
from ais.fs.mountpath import Mountpath
from ais.target.uploads import in_pool

AT_ONCE_BYTES_MAX = 64 << 10
"""Some 20 us to decrypt."""
CONTENT_MD5 = "content-md5"
"""Among the digests of an encrypted part: hexadecimal."""


class ObjectWriter(Protocol):
    """What takes the content of an object: `ais.core.writer.Writer`, or one that seals."""

    @property
    def mountpath(self) -> Mountpath: ...
    def write(self, data: Buffer, /) -> None: ...
    def describe(self, facts: dict[str, str], /) -> None: ...
    def commit(self, condition: Condition | None = None, wait: bool = True) -> ObjectMeta: ...
    def abort(self) -> None: ...


class _Sealing:
    """A `Writer` that writes with another one; what is written is for subclasses to seal."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer

    @property
    def mountpath(self) -> Mountpath:
        """Where the bytes go."""
        return self._writer.mountpath

    def describe(self, facts: dict[str, str]) -> None:
        """See `Writer`."""
        self._writer.describe(facts)

    def commit(self, condition: Condition | None = None, wait: bool = True) -> ObjectMeta:
        """Make the object, as `Writer.commit`."""
        return self._writer.commit(condition, wait)

    def abort(self) -> None:
        """Remove the work file."""
        self._writer.abort()


class SealedWriter(_Sealing):
    """For content that is sealed with a data key. `size`: of the content, None when it is not known yet."""

    def __init__(self, writer: Writer, key: bytes, size: int | None) -> None:
        super().__init__(writer)
        self._sealer = Sealer(key, size=size)
        self._is_finished = False

    def write(self, data: Buffer) -> None:
        """Seal and write the next bytes."""
        self._writer.write(self._sealer.seal(memoryview(data)))

    def commit(self, condition: Condition | None = None, wait: bool = True) -> ObjectMeta:
        """End the stream and make the object, as `Writer.commit`."""
        if not self._is_finished:
            self._writer.write(self._sealer.finish())
            self._is_finished = True
        return super().commit(condition, wait)


class SealedParts(_Sealing):
    """The same for content that was uploaded in parts of these sizes: each is a stream of its own."""

    def __init__(self, writer: Writer, key: bytes, sizes: Sequence[int]) -> None:
        super().__init__(writer)
        self._key = key
        self._sizes = sizes
        self._part, self._left = 0, 0
        self._sealer: Sealer | None = None

    def write(self, data: Buffer) -> None:
        """Seal and write the next bytes. Raise `BadRequest` when there are more than the parts have."""
        view = memoryview(data)
        while view:
            if self._sealer is None:
                self._begin()
            assert self._sealer is not None
            taken = view[: self._left]
            self._writer.write(self._sealer.seal(taken))
            view, self._left = view[len(taken) :], self._left - len(taken)
            if not self._left:
                self._writer.write(self._sealer.finish())
                self._sealer = None

    def _begin(self) -> None:
        if self._part >= len(self._sizes):
            raise BadRequest("content is longer than its parts")
        size, self._part = self._sizes[self._part], self._part + 1
        self._sealer, self._left = Sealer(self._key, size=size, part=self._part), size


class SealedPart:
    """A `PartWriter` for copied content that is sealed."""

    def __init__(self, writer: PartWriter, sealer: Sealer) -> None:
        self._writer = writer
        self._sealer = sealer
        self._md5 = hashlib.md5(usedforsecurity=False)

    def write(self, data: Buffer) -> None:
        """Seal and write the next bytes."""
        self._md5.update(data)
        self._writer.write(self._sealer.seal(memoryview(data)))

    def commit(self, digests: dict[str, str]) -> Part:
        """End the stream and keep the part, with the MD5 of its content."""
        self._writer.write(self._sealer.finish())
        return self._writer.commit({**digests, CONTENT_MD5: self._md5.hexdigest()})

    def abort(self) -> None:
        """Forget the part."""
        self._writer.abort()


def writer_for(writer: Writer, key: bytes | None, size: int | None) -> ObjectWriter:
    """A writer of sealed content when there is a key."""
    return writer if key is None else SealedWriter(writer, key, size)


def at_once(opened: OpenObject, key: bytes, start: int, length: int) -> bytes | None:
    """A short range of the content, if it is in the page cache: a thread would take longer. None: take `chunks`.

    Raise `CorruptMetadata`.
    """
    found = sealing.known_streams(opened.meta) if length <= AT_ONCE_BYTES_MAX else None
    if found is None:
        return None
    read = sealing.reader(opened.fd, key, os.RWF_NOWAIT)
    try:
        return b"".join(map(read, sealing.plan(found, start, length)))
    except OSError:
        return None


async def chunks(opened: OpenObject, key: bytes, start: int, length: int) -> AsyncIterator[memoryview]:
    """A range of the content, read and opened in the mountpath's pool.

    Raise `CorruptMetadata` for what is not as it was sealed.
    """
    fd, pool = opened.fd, opened.mountpath.pool
    found = sealing.known_streams(opened.meta)
    if found is None:
        found = await in_pool(pool, lambda: sealing.streams(opened.meta, fd))
    read = sealing.reader(fd, key)
    for piece in sealing.plan(found, start, length):
        yield await in_pool(pool, partial(read, piece))


class Served:
    """The same as an answer: it owns the descriptor, which is closed also when nobody takes the first piece."""

    def __init__(self, opened: OpenObject, key: bytes, start: int, length: int) -> None:
        self._fd = opened.fd
        self._chunks = chunks(opened, key, start, length)

    def __aiter__(self) -> "Served":
        return self

    async def __anext__(self) -> memoryview:
        return await anext(self._chunks)

    async def aclose(self) -> None:
        """Close the descriptor."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)
