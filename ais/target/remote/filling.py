"""Writing what a backend gives while the rest of it comes, and not in turns with it."""

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from functools import partial

from ais.backend.detached import Take
from ais.backend.interface import Download
from ais.base.waiting import to_its_end

DETACH_BYTES_MIN = 8 << 20
"""Of less the connection is worth more than the copies."""
AHEAD_BYTES_MAX = 2 << 20
"""What may have come and not be written yet."""

Took = Callable[[int], None]


async def fill(download: Download, size: int, pool: Executor, take: Take, took: Took) -> None:
    """Give all of a download, `size` bytes, to `take` in `pool`, in order; `took` is told how many after each step.

    Raise what reading and `take` raise; nobody uses `take` any more then.
    """
    detached = download.detach() if size >= DETACH_BYTES_MIN else None
    if detached is not None:
        await detached.run(pool, take, took)
        return
    filling = _Filling(pool, take, took)
    try:
        async for chunk in download.chunks:
            await filling.add(chunk)
        await filling.end()
    finally:
        await filling.settle()


class _Filling:
    """Of chunks: what has come is one step, the next begins when it is over."""

    def __init__(self, pool: Executor, take: Take, took: Took) -> None:
        self._pool = pool
        self._take = take
        self._took = took
        self._batch: list[bytes] = []
        self._ahead = 0
        self._job: asyncio.Future[int] | None = None

    async def add(self, chunk: bytes) -> None:
        self._batch.append(chunk)
        self._ahead += len(chunk)
        if self._job is None or self._job.done() or self._ahead >= AHEAD_BYTES_MAX:
            await self._begin()

    async def end(self) -> None:
        await self._begin()
        await self._written()

    async def settle(self) -> None:
        """Wait for the step that runs; what it raises comes second."""
        if self._job is not None:
            await to_its_end(asyncio.wait((self._job,)))

    async def _begin(self) -> None:
        await self._written()
        step = partial(_give, self._take, self._batch)
        self._batch = []
        self._job = asyncio.wrap_future(self._pool.submit(step))

    async def _written(self) -> None:
        if self._job is not None:
            count = await to_its_end(self._job)
            self._job = None
            self._ahead -= count
            self._took(count)


def _give(take: Take, chunks: list[bytes]) -> int:
    for chunk in chunks:
        take(memoryview(chunk))
    return sum(map(len, chunks))
