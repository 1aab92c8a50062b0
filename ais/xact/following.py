"""A job per bucket that follows writes: what was written waits in a bounded queue until the job has looked at it.

The job starts with the first name and ends when a while nothing came. What does not fit into the queue makes it
overflow: whoever drains it goes through the whole bucket then. A `Mark` is set before the first change is made.
"""

import asyncio
import contextlib
import itertools
import random
import threading
from collections import deque
from collections.abc import Awaitable, Callable, Iterator

from ais.api.bucket import Bck
from ais.base.errors import AisError
from ais.base.ids import new_id
from ais.xact.mark import Mark
from ais.xact.registry import Registry
from ais.xact.xaction import Xaction

IDLE_S = 120.0
"""A job ends when nothing was written for so long."""


class Queue:
    """Names of one bucket that wait. `is_overflowing`: more came than may wait."""

    def __init__(self, bck: Bck, size_max: int) -> None:
        self.bck = bck
        self.size_max = size_max
        self.names: deque[str] = deque()
        self.is_overflowing = False
        self.xaction: Xaction | None = None
        self.has_work = asyncio.Event()

    @property
    def is_empty(self) -> bool:
        """Whether nothing is left to do."""
        return not self.names and not self.is_overflowing

    @property
    def is_done(self) -> bool:
        """Whether nothing is left to do or being done."""
        is_idle = self.xaction is None or not self.xaction.is_running or bool(self.xaction.is_idle)
        return self.is_empty and is_idle


Drain = Callable[[Xaction, Queue], Awaitable[None]]


class Follower:
    """The queues of all buckets, for one kind of job.

    `burst` gives how many names of a bucket may wait; `drain` works until its queue is empty; `settled` is called when
    one is, with its job.
    """

    def __init__(
        self,
        registry: Registry,
        rng: random.Random,
        mark: Mark,
        kind: str,
        burst: Callable[[Bck], int],
        drain: Drain,
        settled: Callable[[Xaction], None],
        describe: Callable[[Queue], str] = lambda _: "",
    ) -> None:
        self._registry = registry
        self._rng = rng
        self._mark = mark
        self._kind = kind
        self._burst = burst
        self._drain = drain
        self._settled = settled
        self._describe = describe
        self._queues: dict[Bck, Queue] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._noted, self._taken = itertools.count(1), 0
        self._noted_last = 0
        self._guard = threading.Lock()
        self._changing = 0
        self._is_clearing = False

    def start(self) -> None:
        """Follow writes on this event loop from now on."""
        self._loop = asyncio.get_running_loop()

    @contextlib.contextmanager
    def changing(self) -> Iterator[None]:
        """Around a change that is noted in the block: a process that is killed in it leaves the mark. Any thread."""
        with self._guard:
            self._changing += 1
            self._mark.set()
        try:
            yield
        finally:
            with self._guard:
                self._changing -= 1
                is_clearing = self._is_clearing and not self._changing
            if is_clearing and self._loop is not None:
                with contextlib.suppress(RuntimeError):  # the loop is closed: the next start finds the mark
                    self._loop.call_soon_threadsafe(self._settle_idle)

    def clear_mark(self) -> None:
        """Nothing is left, if nothing waits: the next start need not look."""
        with self._guard:
            self._is_clearing = self._changing > 0
            if self.is_settled:
                self._mark.clear()

    def note(self, bck: Bck, name: str) -> None:
        """An object was written. Any thread; returns at once."""
        self._noted_last = next(self._noted)
        self._mark.set()
        loop = self._loop
        if loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop is closed: the next start finds the mark
                loop.call_soon_threadsafe(self._take, bck, name)

    def add(self, bck: Bck, name: str) -> None:
        """As `note`, on the event loop."""
        self._mark.set()
        queue = self._queues.get(bck)
        if queue is None or queue.xaction is None or not queue.xaction.is_running:
            queue = self._queues[bck] = Queue(bck, max(1, self._burst(bck)))
            try:
                queue.xaction = self._follow(queue)
            except AisError:
                return
        if len(queue.names) < queue.size_max:
            queue.names.append(name)
        else:
            queue.is_overflowing = True
        if queue.xaction is not None:
            queue.xaction.is_idle = False
        queue.has_work.set()

    @property
    def is_settled(self) -> bool:
        """Whether nothing waits, is worked on or being changed, or is on its way from other threads."""
        is_known = self._noted_last == self._taken and not self._changing
        return is_known and all(queue.is_done for queue in self._queues.values())

    def pending(self, bck: Bck) -> int:
        """How many objects of a bucket wait, or are being worked on, at least; those from other threads too."""
        untaken = max(0, self._noted_last - self._taken)
        queue = self._queues.get(bck)
        if queue is None or queue.xaction is None or not queue.xaction.is_running:
            return untaken
        return untaken + len(queue.names) + (not queue.xaction.is_idle)

    def is_overflowing(self, bck: Bck) -> bool:
        """Whether more objects of a bucket came than may wait, so that it must be gone through."""
        queue = self._queues.get(bck)
        return queue is not None and queue.is_overflowing

    def _settle_idle(self) -> None:
        """A change has ended that kept the mark from being cleared."""
        job = next((queue.xaction for queue in self._queues.values() if queue.is_done and queue.xaction), None)
        if job is not None:
            self._settled(job)

    def _take(self, bck: Bck, name: str) -> None:
        self._taken += 1
        self.add(bck, name)

    def _follow(self, queue: Queue) -> Xaction:
        async def work(xaction: Xaction) -> None:
            while True:
                xaction.is_idle = queue.is_empty
                if xaction.is_idle:
                    self._settled(xaction)
                    try:
                        async with asyncio.timeout(IDLE_S):
                            await queue.has_work.wait()
                    except TimeoutError:
                        return
                queue.has_work.clear()
                xaction.is_idle = False
                await self._drain(xaction, queue)

        ctlmsg = self._describe(queue)
        return self._registry.start(self._kind, new_id(self._rng), work, bck=queue.bck, ctlmsg=ctlmsg)
