"""Turns by name within one event loop, so many of each at a time; kept only while somebody has or wants one."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

from ais.base.wanted import Wanted


class Turns:
    """Who waits does so in the order of coming, and now and then looks whether that makes sense."""

    def __init__(self, at_once: int) -> None:
        self._turns = Wanted(lambda: asyncio.Semaphore(at_once))

    @asynccontextmanager
    async def of(self, name: str, every_s: float, check: Callable[[], None]) -> AsyncIterator[None]:
        """Have a turn in the block. `check` is asked while it does not come, every so often, and may raise."""
        turns = self._turns.take(name)
        try:
            while not await _is_acquired(turns, every_s):
                check()
            try:
                yield
            finally:
                turns.release()
        finally:
            self._turns.forget(name)


async def _is_acquired(turns: asyncio.Semaphore, within_s: float) -> bool:
    with suppress(TimeoutError):
        async with asyncio.timeout(within_s):
            return await turns.acquire()
    return False
