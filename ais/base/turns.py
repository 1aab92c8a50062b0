"""Turns by name within one event loop, so many of each at a time; kept only while somebody has or wants one."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress


class Turns:
    """Who waits does so in the order of coming, and now and then looks whether that makes sense."""

    def __init__(self, at_once: int) -> None:
        self._at_once = at_once
        self._known: dict[str, tuple[asyncio.Semaphore, int]] = {}

    @asynccontextmanager
    async def of(self, name: str, every_s: float, check: Callable[[], None]) -> AsyncIterator[None]:
        """Have a turn in the block. `check` is asked while it does not come, every so often, and may raise."""
        turns, wanted = self._known.get(name) or (asyncio.Semaphore(self._at_once), 0)
        self._known[name] = turns, wanted + 1
        try:
            while not await _is_acquired(turns, every_s):
                check()
            try:
                yield
            finally:
                turns.release()
        finally:
            self._forget(name)

    def _forget(self, name: str) -> None:
        turns, wanted = self._known[name]
        if wanted == 1:
            del self._known[name]
        else:
            self._known[name] = turns, wanted - 1


async def _is_acquired(turns: asyncio.Semaphore, within_s: float) -> bool:
    with suppress(TimeoutError):
        async with asyncio.timeout(within_s):
            return await turns.acquire()
    return False
