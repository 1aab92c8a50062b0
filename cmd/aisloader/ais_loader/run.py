"""One process's share of the load: workers that pick operations until a limit is reached, and what they measured."""

import asyncio
import random
import time

from ais.base.errors import AisError
from ais_loader.arguments import Plan
from ais_loader.measure import Measure
from ais_loader.naming import Names
from ais_loader.operations import Native, Operations

CONTENT_BYTES = 64 << 20
"""Random bytes that content is cut from; larger objects repeat them."""
PUT, GET, MPU, BATCH = "PUT", "GET", "MPU", "GBT"
KINDS = (PUT, MPU, GET, BATCH)
_ERRORS_SHOWN_MAX = 10


class Load:
    """Runs the workers of one process. `measures` are what was measured since they were taken last."""

    def __init__(
        self, plan: Plan, operations: Operations, names: Names, rng: random.Random, *, workers: int, share: int
    ) -> None:
        """`share`: this process's part of limits in number and bytes is one of so many."""
        self._plan = plan
        self._operations = operations
        self._names = names
        self._rng = rng
        self._workers = workers
        size = min(max(plan.size_max, 1) + (1 << 16), CONTENT_BYTES)
        self._content = memoryview(rng.randbytes(size))
        self._puts_left = -(-plan.puts_max // share) if plan.puts_max else -1
        self._bytes_left = -(-plan.put_bytes_max // share) if plan.put_bytes_max else -1
        self._stopped = False
        self.pending = 0
        self.errors_shown: list[str] = []
        self.measures = {kind: Measure() for kind in KINDS}

    def take(self) -> dict[str, Measure]:
        """What was measured since the last time."""
        found, self.measures = self.measures, {kind: Measure() for kind in KINDS}
        return found

    def stop(self) -> None:
        """Let the workers end with what they are doing."""
        self._stopped = True

    async def run(self) -> None:
        """Until the plan's limits are reached or `stop` was called."""
        ends_at = time.monotonic() + self._plan.duration_s if self._plan.duration_s else None
        await asyncio.gather(*(self._work(ends_at) for _ in range(self._workers)))

    async def _work(self, ends_at: float | None) -> None:
        while not self._stopped and (ends_at is None or time.monotonic() < ends_at):
            if not await self._one():
                return

    async def _one(self) -> bool:
        """One operation; whether there may be more."""
        plan = self._plan
        is_put = self._rng.randrange(100) < plan.put_pct
        if is_put:
            return await self._put(self._names.new())
        if plan.batch_size and isinstance(self._operations, Native):
            return await self._batch(self._operations)
        name = self._names.known_one()
        if name is None:
            return plan.put_pct > 0 and not plan.epochs and await self._put(self._names.new())
        await self._measured(GET, self._operations.get(name))
        if plan.update_pct and self._rng.randrange(100) < plan.update_pct:
            return await self._put(name)
        return True

    async def _put(self, name: str) -> bool:
        plan = self._plan
        if self._puts_left == 0 or self._bytes_left == 0:
            return False
        size = self._rng.randint(plan.size_min, plan.size_max)
        if self._puts_left > 0:
            self._puts_left -= 1
        if self._bytes_left > 0:
            self._bytes_left = max(0, self._bytes_left - size)
        content = self._cut(size)
        is_parted = bool(plan.chunks) and self._rng.randrange(100) < plan.chunk_pct

        async def put() -> int:
            if is_parted:
                await self._operations.put_in_parts(name, content, plan.chunks)
            else:
                await self._operations.put(name, content)
            return size

        if await self._measured(MPU if is_parted else PUT, put()):
            self._names.known.append(name)
        return True

    async def _batch(self, operations: Native) -> bool:
        names = [name for _ in range(self._plan.batch_size) if (name := self._names.known_one()) is not None]
        if not names:
            return False
        await self._measured(BATCH, operations.get_batch(names), len(names))
        return True

    async def _measured(self, kind: str, operation: "asyncio.Future[int] | object", count: int = 1) -> bool:
        started_ns = time.perf_counter_ns()
        self.pending += 1
        try:
            size = await operation  # type: ignore[misc]
        except (AisError, TimeoutError) as error:
            self.measures[kind].errors += 1
            if len(self.errors_shown) < _ERRORS_SHOWN_MAX:
                self.errors_shown.append(f"{kind}: {error or 'no answer in time'}")
            return False
        finally:
            self.pending -= 1
        self.measures[kind].add(size, time.perf_counter_ns() - started_ns)
        self.measures[kind].count += count - 1
        return True

    def _cut(self, size: int) -> bytes | memoryview:
        whole = self._content
        if size <= len(whole):
            start = self._rng.randrange(len(whole) - size + 1)
            return whole[start : start + size]
        return (bytes(whole) * (size // len(whole) + 1))[:size]
