"""What all parts of a sort use."""

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterable
from typing import TypeVar

from ais.api.dsort import SortTask
from ais.base.errors import AisError, BadRequest, DiskFailure
from ais.base.waiting import to_its_end
from ais.target.dsort.files import Files
from ais.target.dsort.metrics import Metrics
from ais.target.dsort.partners import Partners
from ais.target.parts import Parts
from ais.xact.registry import Xaction

T = TypeVar("T")
MEMORY_BYTES_MAX = 256 << 20
"""Of records held while they are sorted: beyond, they are spilled, whatever the job may use."""


class Run:
    """One job on this target: its task, files and partners. `number`: this target's; `others`: those of the others."""

    def __init__(self, parts: Parts, task: SortTask, xaction: Xaction) -> None:
        self.parts = parts
        self.task = task
        self.xaction = xaction
        self.files = Files(parts.volume.available, task.uuid)
        self.metrics = Metrics(parts.host.env.clock, task.description)
        xaction.ext = self.metrics.values
        self.number = task.targets.index(parts.host.snode.id)
        self.others = [number for number in range(len(task.targets)) if number != self.number]
        self.partners = Partners(parts.host, parts.peers, task)
        self.stopped = threading.Event()
        """Set to make blocking steps end early."""

    @property
    def memory_bytes(self) -> int:
        """Of records that may be held."""
        return max(1, min(self.task.memory_bytes, MEMORY_BYTES_MAX))

    def react(self, setting: str, text: str) -> None:
        """Do what the job says about something that is wrong. Raise `BadRequest` when that ends it."""
        match getattr(self.task, setting):
            case "abort":
                raise BadRequest(f"{text} ({setting} is abort)")
            case "warn":
                self.metrics.note("warnings", text)

    async def thread(self, step: Callable[[], T], undo: Callable[[T], object] | None = None) -> T:
        """Run a blocking step; when we are cancelled it is told to stop, and waited for: it uses our files."""
        try:
            return await to_its_end(asyncio.to_thread(step), undo, stop=self.stopped.set)
        except OSError as error:
            raise DiskFailure(f"{self.parts.host.snode.name}: {error}") from None


async def gather(steps: Iterable[Coroutine[None, None, None]]) -> None:
    """Run all at the same time. Raise the first error of any, when all have ended."""
    try:
        async with asyncio.TaskGroup() as group:
            for step in steps:
                group.create_task(step)
    except BaseExceptionGroup as failures:
        found = failures.exceptions
        raise next((one for one in found if isinstance(one, AisError)), found[0]) from None
