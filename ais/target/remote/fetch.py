"""One object on its way here, and those who wait for it."""

import asyncio
import os
from concurrent.futures import Executor
from typing import Self

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
        self.is_stale = False
        """That change has ended: who asks for the object from now on does not want this."""
        self.is_over = self.is_kept = False
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

    def follow(self, length: int) -> "Following":
        """The first `length` bytes while they come; once it has begun. The iterator raises when they do not."""
        if self._pool is None or self._fd < 0:
            raise self._given_up()
        return Following(self, os.dup(self._fd), length, self._pool)

    async def unkept(self) -> "Following | None":
        """Wait for the end of one that has begun: its content, when that is not kept. Raise why there is nothing."""
        following = self.follow(self._found.size if self._found is not None else 0)
        try:
            await self.ended()
        except BaseException:
            following.close()
            raise
        if not self.is_kept:
            return following
        following.close()
        return None

    async def offers_more_than(self, offset: int) -> int:
        """How many bytes readers may have, when that is more. Raise why it will not be."""
        while offset >= self._offered and not self.is_over:
            await self._moved.wait()
        if offset >= self._offered:
            raise self._error or self._given_up()
        return self._offered

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

    def end(self, error: AisError | None, *, is_kept: bool) -> None:
        """It is over."""
        self._error, self.is_kept, self.is_over = error, is_kept, True
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
        self._wake()

    def _wake(self) -> None:
        moved, self._moved = self._moved, asyncio.Event()
        moved.set()

    def _given_up(self) -> AisError:
        return Busy(f"{self._cname} is being fetched anew: try again")


class Following:
    """The bytes of a fetch for one reader: spans of a file that stays open until all were given, or it is closed."""

    def __init__(self, fetch: Fetch, fd: int, length: int, pool: Executor) -> None:
        """`fd` is ours."""
        self._fetch, self._fd, self._length, self._pool = fetch, fd, length, pool
        self._offset = 0

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> FileSpan:
        if self._offset >= self._length:
            self.close()
            raise StopAsyncIteration
        offered = await self._fetch.offers_more_than(self._offset)
        span = FileSpan(self._fd, self._offset, min(offered - self._offset, _SPAN_BYTES_MAX), self._pool)
        self._offset += span.length
        return span

    async def aclose(self) -> None:
        """As `close`, for who sends it."""
        self.close()

    def close(self) -> None:
        """Let go of the file; more than once does nothing."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)
