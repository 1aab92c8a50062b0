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
    """Of chunks: what has come is one step, the next begins when it is over, whether more comes or not."""

    def __init__(self, pool: Executor, take: Take, took: Took) -> None:
        self._pool = pool
        self._take = take
        self._took = took
        self._batch: list[bytes] = []
        self._ahead = 0
        self._step: asyncio.Future[int] | None = None
        """The one that runs, or the last when it failed."""

    async def add(self, chunk: bytes) -> None:
        self._batch.append(chunk)
        self._ahead += len(chunk)
        if self._step is None:
            self._begin()
        while self._ahead >= AHEAD_BYTES_MAX:
            await self._over()

    async def end(self) -> None:
        while self._step is not None:
            await self._over()

    async def settle(self) -> None:
        """Wait for the step that runs, no other begins; what it raises comes second."""
        step, self._step = self._step, None
        if step is not None:
            await to_its_end(asyncio.wait((step,)))

    def _begin(self) -> None:
        batch, self._batch = self._batch, []
        try:
            self._step = asyncio.wrap_future(self._pool.submit(partial(_give, self._take, batch)))
        except RuntimeError as closed:  # who waits is told, not the loop that calls back
            self._step = asyncio.get_running_loop().create_future()
            self._step.set_exception(closed)
            return
        self._step.add_done_callback(self._go_on)

    def _go_on(self, step: "asyncio.Future[int]") -> None:
        if step is not self._step or step.cancelled() or step.exception() is not None:
            return
        self._step = None
        self._ahead -= step.result()
        self._took(step.result())
        if self._batch:
            self._begin()

    async def _over(self) -> None:
        if (step := self._step) is not None:
            await to_its_end(step)
            self._go_on(step)


def _give(take: Take, chunks: list[bytes]) -> int:
    for chunk in chunks:
        take(memoryview(chunk))
    return sum(map(len, chunks))
