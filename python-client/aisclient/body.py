"""What a PUT sends, and how far it is."""

import io
import os
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Iterable
from typing import BinaryIO

from aisclient import checksums
from aisclient.driver import Buffer, Driver
from aisclient.errors import AISError

PIECE_BYTES = 1 << 20
OnProgress = Callable[[int, int | None], object]
"""Called with the bytes moved so far and the bytes of all, or None when nobody knows yet."""
Content = Buffer | BinaryIO | Iterable[bytes] | AsyncIterable[bytes]


class Meter:
    """Adds up what is moved by several requests at a time."""

    def __init__(self, on_progress: OnProgress | None, total: int | None) -> None:
        self._on_progress, self._total, self._done = on_progress, total, 0

    def add(self, count: int) -> None:
        """`count` bytes more; less when an attempt has failed."""
        self._done += count
        if self._on_progress is not None and count:
            self._on_progress(self._done, self._total)

    def part(self) -> OnProgress:
        """What one of several bodies is to call."""
        before = 0

        def moved(done: int, _: int | None) -> None:
            nonlocal before
            self.add(done - before)
            before = done

        return moved


class Body:
    """Content to send; it is opened anew for each attempt. `size` None: sent in chunks, as long as it goes on."""

    def __init__(
        self, open_: Callable[[Driver], AsyncGenerator[Buffer]], size: int | None, *, is_replayable: bool, meter: Meter
    ) -> None:
        self.size = size
        self._open, self._is_replayable, self._was_opened = open_, is_replayable, False
        self._meter, self._sent = meter, 0
        self.hasher: checksums.Hasher | None = None
        """What was sent by the latest attempt, hashed while it was sent."""
        self.is_hashed = False

    @classmethod
    def of(cls, content: Content, size: int | None = None, on_progress: OnProgress | None = None) -> "Body":
        """Of bytes, a binary file from where it stands, or pieces. `size`: how much of a file or of pieces there is."""
        if isinstance(content, bytes | bytearray | memoryview):
            view = memoryview(content).cast("B")
            return cls.of_view(view, Meter(on_progress, len(view)))
        if hasattr(content, "read"):
            file: BinaryIO = content  # type: ignore[assignment]
            if size is None:
                size = _size_left(file)
            return cls(_file(file), size, is_replayable=_is_seekable(file), meter=Meter(on_progress, size))
        source: Iterable[bytes] | AsyncIterable[bytes] = content
        is_replayable = isinstance(content, list | tuple)
        return cls(lambda _: _iterate(source), size, is_replayable=is_replayable, meter=Meter(on_progress, size))

    @classmethod
    def of_view(cls, view: memoryview, meter: Meter) -> "Body":
        """Of bytes in memory."""
        return cls(lambda _: _slices(view), len(view), is_replayable=True, meter=meter)

    @classmethod
    def of_path(cls, path: str | os.PathLike[str], start: int, size: int, meter: Meter) -> "Body":
        """Of a part of a file."""
        return cls(lambda driver: _path(driver, path, start, size), size, is_replayable=True, meter=meter)

    @property
    def can_open(self) -> bool:
        """Whether it can be sent (again)."""
        return self._is_replayable or not self._was_opened

    async def pieces(self, driver: Driver) -> AsyncGenerator[Buffer]:
        """As they go over the wire. Raise `ValueError` when there is less or more than `size`."""
        self._was_opened = True
        self._meter.add(-self._sent)  # an attempt that failed
        self._sent = 0
        self.hasher = checksums.hasher(checksums.DEFAULT) if self.is_hashed else None
        done, is_chunked = 0, self.size is None
        try:
            async for piece in self._open(driver):
                done += len(piece)
                if not piece:
                    continue
                if self.size is not None and done > self.size:
                    raise ValueError(f"there is more content than the {self.size} bytes that were announced")
                if self.hasher is not None:
                    self.hasher.update(piece)
                yield b"%x\r\n%b\r\n" % (len(piece), bytes(piece)) if is_chunked else piece
                self._sent += len(piece)
                self._meter.add(len(piece))
        except OSError as error:  # a disk's; those of the connection do not come here
            raise AISError(f"cannot read the content: {error}") from error
        if is_chunked:
            yield b"0\r\n\r\n"
        elif done != self.size:
            raise ValueError(f"the content ended after {done} of the {self.size} bytes that were announced")


async def _slices(view: memoryview) -> AsyncGenerator[Buffer]:
    for start in range(0, len(view), PIECE_BYTES):
        yield view[start : start + PIECE_BYTES]


async def _iterate(source: Iterable[bytes] | AsyncIterable[bytes]) -> AsyncGenerator[Buffer]:
    if isinstance(source, AsyncIterable):
        async for piece in source:
            yield piece
    else:
        for piece in source:
            yield piece


def _file(file: BinaryIO) -> Callable[[Driver], AsyncGenerator[Buffer]]:
    start = file.tell() if _is_seekable(file) else 0
    is_first = True

    async def pieces(driver: Driver) -> AsyncGenerator[Buffer]:
        nonlocal is_first
        if not is_first:
            file.seek(start)
        is_first = False
        while piece := await driver.blocking(file.read, PIECE_BYTES):
            yield piece

    return pieces


async def _path(driver: Driver, path: str | os.PathLike[str], start: int, size: int) -> AsyncGenerator[Buffer]:
    file = await driver.blocking(_open, path)
    try:
        await driver.blocking(file.seek, start)
        while size > 0 and (piece := await driver.blocking(file.read, min(PIECE_BYTES, size))):
            size -= len(piece)
            yield piece
    finally:
        file.close()


def _open(path: str | os.PathLike[str]) -> io.FileIO:
    return open(path, "rb", 0)


def _is_seekable(file: BinaryIO) -> bool:
    return bool(getattr(file, "seekable", lambda: False)())


def _size_left(file: BinaryIO) -> int | None:
    if not _is_seekable(file):
        return None
    here = file.tell()
    end = file.seek(0, io.SEEK_END)
    file.seek(here)
    return end - here
