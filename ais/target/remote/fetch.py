"""One object on its way here, and those who wait for it."""

import asyncio
import os
from collections import deque
from collections.abc import AsyncIterator
from concurrent.futures import Executor

from ais.backend.interface import RemoteObject
from ais.base.errors import AisError, Busy, DiskFailure
from ais.target.uploads import in_pool

_CHUNK_BYTES = 256 << 10
_RECENT_BYTES = 1 << 20
"""Of what is written, kept for readers that are not far behind; what is not written yet is kept anyway."""


class Fetch:
    """Filled by one task (`ais.target.remote.cold`), followed by any number of readers."""

    def __init__(self, cname: str) -> None:
        self.is_outdated = False
        """A change of the object began meanwhile: it is not to be kept."""
        self.is_over = False
        self._cname = cname
        self._found: RemoteObject | None = None
        self._error: AisError | None = None
        self._offered = self._written = self._kept = 0
        self._recent: deque[tuple[int, bytes]] = deque()
        """Pieces that were offered last, each with its offset; without gaps, up to `_offered`."""
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

    def follow(self, length: int) -> AsyncIterator[bytes]:
        """The first `length` bytes while they come; once it has begun. The iterator raises when they do not."""
        if self._pool is None or self._fd < 0:
            raise self._given_up()
        return self._follow(os.dup(self._fd), length, self._pool)

    async def _follow(self, fd: int, length: int, pool: Executor) -> AsyncIterator[bytes]:
        offset = 0

        def read(count: int) -> bytes:
            try:
                return os.pread(fd, count, offset)
            except OSError as error:
                raise DiskFailure(f"{self._cname}: what was fetched cannot be read: {error}") from error

        try:
            while offset < length:
                while offset >= self._offered and not self.is_over:
                    await self._moved.wait()
                if offset >= self._offered:
                    raise self._error or self._given_up()
                if not (chunk := self._remembered(offset)):
                    count = min(_CHUNK_BYTES, self._first - offset)
                    chunk = await in_pool(pool, lambda count=count: read(count))  # type: ignore[misc]
                offset += len(chunk)
                yield chunk
        finally:
            os.close(fd)

    def begin(self, found: RemoteObject, fd: int, pool: Executor) -> None:
        """The answer has begun; `fd`, ours from now on, reads in `pool` what is written of it."""
        self._found, self._fd, self._pool = found, fd, pool
        self._wake()

    def offer(self, chunk: bytes) -> None:
        """The next bytes have come, readers may have them."""
        if chunk:
            self._recent.append((self._offered, chunk))
            self._offered += len(chunk)
            self._kept += len(chunk)
            self._wake()

    def wrote(self, count: int) -> None:
        """So many more bytes are written, offered or not."""
        self._written += count
        recent = self._recent
        while (
            recent
            and self._kept - len(recent[0][1]) >= _RECENT_BYTES
            and recent[0][0] + len(recent[0][1]) <= self._written
        ):
            self._kept -= len(recent.popleft()[1])

    @property
    def _first(self) -> int:
        """Where what is remembered begins; all before that is written."""
        return self._recent[0][0] if self._recent else self._offered

    def _remembered(self, offset: int) -> bytes:
        """What is remembered from there to the end of a piece; empty: nothing."""
        for start, chunk in reversed(self._recent):
            if start <= offset:
                return chunk[offset - start :]
        return b""

    def end(self, error: AisError | None) -> None:
        """It is over."""
        self._error, self.is_over = error, True
        self._offered = min(self._offered, self._written)
        self._recent.clear()
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
        self._wake()

    def _wake(self) -> None:
        moved, self._moved = self._moved, asyncio.Event()
        moved.set()

    def _given_up(self) -> AisError:
        return Busy(f"{self._cname} is being fetched anew: try again")
