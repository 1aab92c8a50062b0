"""Background tasks of a node: named, counted, logged when they fail, all ended together."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from structlog.typing import FilteringBoundLogger

from ais.base.errors import AisError
from ais.env.clock import Clock

RESTART_DELAY_S = 1.0


class Supervisor:
    """Owns the tasks it starts. `stop` ends them and waits until they have ended."""

    def __init__(self, clock: Clock, log: FilteringBoundLogger) -> None:
        self._clock = clock
        self._log = log
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def spawn(self, name: str, work: Callable[[], Coroutine[Any, Any, None]]) -> bool:
        """Run `work` once, unless a task of that name runs already. Tell whether it was started."""
        if name in self._tasks:
            return False
        task = asyncio.get_running_loop().create_task(self._once(name, work), name=name)
        self._tasks[name] = task
        task.add_done_callback(lambda _: self._tasks.pop(name, None))
        return True

    def keep(self, name: str, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Run `work` for as long as the node lives: when it fails, log it and begin again after a pause."""

        async def forever() -> None:
            while True:
                await self._once(name, work)
                await self._clock.sleep(RESTART_DELAY_S)

        self.spawn(name, forever)

    @property
    def tasks(self) -> list[asyncio.Task[None]]:
        """What runs now."""
        return list(self._tasks.values())

    async def stop(self) -> None:
        """Cancel all tasks and wait for them."""
        tasks = self.tasks
        for task in tasks:
            task.cancel()
        for task in tasks:
            await _ended(task)

    async def _once(self, name: str, work: Callable[[], Awaitable[None]]) -> None:
        try:
            await work()
        except AisError as error:
            self._log.warning("background task gave up", task=name, error=str(error))
        except Exception:  # noqa: BLE001 - a background task ends here
            self._log.exception("background task failed", task=name)


async def _ended(task: asyncio.Task[None]) -> None:
    try:
        await task
    except asyncio.CancelledError:
        if not task.cancelled():
            raise
