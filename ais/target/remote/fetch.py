"""One object on its way here, and those who wait for it."""

import asyncio
import os
from collections.abc import AsyncIterator
from concurrent.futures import Executor

from ais.backend.interface import RemoteObject
from ais.base.errors import AisError, Busy
from ais.net.http import FileSpan

_SPAN_BYTES_MAX = 8 << 20
Identity = tuple[int, str]
"""What tells a bucket from others of its name: its ID, and that of its link."""


class Fetch:
    """Filled by one task (`ais.target.remote.cold`), followed by any number of readers.

    They read the file that it is written to, close behind. The last byte is held until all of it was compared: whoever
    has the whole has what the backend meant.
    """

    def __init__(self, cname: str, bucket: Identity = (0, "")) -> None:
        self.bucket = bucket
        """The one it is for: another may have its name before it is over."""
        self.is_outdated = False
        """A change of the object began meanwhile: it is not to be kept."""
        self.is_over = False
        self._cname = cname
        self._found: RemoteObject | None = None
        self._error: AisError | None = None
        self._written = 0
        self._is_released = False
        self._fd = -1
        self._pool: Executor | None = None
        self._moved = asyncio.Event()

    async def begun(self) -> RemoteObject:
        """What the backend says about the object. Raise why it gives nothing."""
        while self._found is None and not self.is_over:
            await self._moved.wait()
        if self._found is None:
            raise self._error or self._given_up()
        return self._found

    async def ended(self) -> None:
        """Wait for the end. Raise why there is nothing."""
        while not self.is_over:
            await self._moved.wait()
        if self._error is not None:
            raise self._error

    def follow(self, length: int) -> AsyncIterator[FileSpan]:
        """The first `length` bytes while they come; once it has begun. The iterator raises when they do not."""
        if self._pool is None or self._fd < 0:
            raise self._given_up()
        return self._follow(os.dup(self._fd), length, self._pool)

    async def _follow(self, fd: int, length: int, pool: Executor) -> AsyncIterator[FileSpan]:
        offset = 0
        try:
            while offset < length:
                while offset >= self._offered and not self.is_over:
                    await self._moved.wait()
                if offset >= self._offered:
                    raise self._error or self._given_up()
                span = FileSpan(fd, offset, min(self._offered - offset, _SPAN_BYTES_MAX), pool)
                offset += span.length
                yield span
        finally:
            os.close(fd)

    @property
    def _offered(self) -> int:
        """What readers may have."""
        return self._written if self._is_released else max(self._written - 1, 0)

    def begin(self, found: RemoteObject, fd: int, pool: Executor) -> None:
        """The answer has begun; `fd`, ours from now on, reads what is written of it."""
        self._found, self._fd, self._pool = found, fd, pool
        self._wake()

    def wrote(self, count: int) -> None:
        """So many more bytes are written."""
        self._written += count
        self._wake()

    def release(self) -> None:
        """All is written, and as it should be."""
        self._is_released = True
        self._wake()

    def end(self, error: AisError | None) -> None:
        """It is over."""
        self._error, self.is_over = error, True
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
        self._wake()

    def _wake(self) -> None:
        moved, self._moved = self._moved, asyncio.Event()
        moved.set()

    def _given_up(self) -> AisError:
        return Busy(f"{self._cname} is being fetched anew: try again")
