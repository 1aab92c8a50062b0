"""What a PUT sends.

A body is opened afresh for every attempt, so that it can be sent again after a failure or a redirect.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from typing import BinaryIO, Protocol

from ais.base.errors import AisError, BadRequest

CHUNK_BYTES = 256 * 1024

OnBytes = Callable[[int], None]
"""Told how many bytes were moved; a negative number takes back what a failed attempt had reported."""


def ignore_bytes(_: int) -> None:
    """The `OnBytes` of those who do not want to know."""


class Meter:
    """An `OnBytes` that passes on what an attempt moved, and can take it back."""

    def __init__(self, on_bytes: OnBytes) -> None:
        self._on_bytes = on_bytes
        self.moved = 0

    def __call__(self, count: int) -> None:
        self.moved += count
        self._on_bytes(count)

    def take_back(self) -> None:
        """Forget what was moved."""
        if self.moved:
            self._on_bytes(-self.moved)
            self.moved = 0


class Body(Protocol):
    """Content to send. `size` is None when unknown: it is then sent in chunks."""

    size: int | None
    is_replayable: bool

    def open(self, on_bytes: OnBytes) -> AsyncIterator[bytes]:
        """The content from its beginning. Raise `BadRequest` when it is not what was announced."""
        ...


class BytesBody:
    """Content in memory."""

    is_replayable = True

    def __init__(self, data: bytes) -> None:
        self.size: int | None = len(data)
        self._data = data

    async def open(self, on_bytes: OnBytes) -> AsyncIterator[bytes]:
        """The content in pieces of at most `CHUNK_BYTES`."""
        for start in range(0, len(self._data), CHUNK_BYTES):
            piece = self._data[start : start + CHUNK_BYTES]
            yield piece
            on_bytes(len(piece))


class FileBody:
    """A regular file or a part of it, read by a thread one piece at a time; its size is taken now."""

    is_replayable = True

    def __init__(self, path: str | os.PathLike[str], start: int = 0, length_max: int | None = None) -> None:
        self._path, self._start = os.fspath(path), start
        try:
            left = max(os.stat(self._path).st_size - start, 0)
            self.size: int | None = left if length_max is None else min(left, length_max)
        except OSError as error:
            raise _unreadable(self._path, error) from None

    async def open(self, on_bytes: OnBytes) -> AsyncIterator[bytes]:
        """Exactly `size` bytes. Raise `BadRequest` when the file cannot be read or has become shorter."""
        assert self.size is not None
        try:
            file = await asyncio.to_thread(open, self._path, "rb", 0)
        except OSError as error:
            raise _unreadable(self._path, error) from None
        try:
            file.seek(self._start)
            left = self.size
            while left:
                piece = await asyncio.to_thread(_read, file, min(CHUNK_BYTES, left), self._path)
                if not piece:
                    raise BadRequest(f"{self._path} became shorter while it was sent")
                left -= len(piece)
                yield piece
                on_bytes(len(piece))
        finally:
            file.close()


class StreamBody:
    """A binary file object. It can be sent again only if it can seek; a pipe cannot. The caller closes it."""

    def __init__(self, file: BinaryIO, size: int | None = None) -> None:
        self.size = size
        self.is_replayable = file.seekable()
        self._file = file
        self._start = file.tell() if self.is_replayable else 0
        self._was_opened = False

    async def open(self, on_bytes: OnBytes) -> AsyncIterator[bytes]:
        """The content from where the file stood at first until its end (or `size`)."""
        if self._was_opened and not self.is_replayable:
            raise BadRequest("the connection failed and the input is a stream that cannot be read again")
        if self._was_opened:
            self._file.seek(self._start)
        self._was_opened = True
        left = self.size
        while left is None or left:
            want = CHUNK_BYTES if left is None else min(CHUNK_BYTES, left)
            piece = await asyncio.to_thread(_read, self._file, want, "input")
            if not piece:
                break
            left = None if left is None else left - len(piece)
            yield piece
            on_bytes(len(piece))
        if left:
            raise BadRequest(f"input ended {left} bytes before its announced size")


def _read(file: BinaryIO, size_bytes: int, name: str) -> bytes:
    try:
        return file.read(size_bytes)
    except OSError as error:
        raise _unreadable(name, error) from None


def _unreadable(path: str, error: OSError) -> AisError:
    return BadRequest(f"cannot read {path}: {error.strerror or error}")
