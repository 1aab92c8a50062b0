"""A job per bucket that follows writes: what was written waits in a bounded queue until the job has looked at it.

The job starts with the first name and ends when a while nothing came. What does not fit into the queue makes it
overflow: whoever drains it goes through the whole bucket then. A bucket whose job ended before its work was done, or in
which a pass did not come to its end, is `behind` until somebody has gone through it. A `Mark` is set before the first
change is made.
"""

import asyncio
import contextlib
import random
import threading
from collections import deque
from collections.abc import Awaitable, Callable, Container, Iterable, Iterator

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
        self.has_ended = False
        """Nobody takes names any more."""
        self.has_work = asyncio.Event()

    @property
    def is_empty(self) -> bool:
        """Whether nothing is left to do."""
        return not self.names and not self.is_overflowing

    @property
    def is_done(self) -> bool:
        """Whether nothing is left to do or being done."""
        return self.is_empty and (self.has_ended or self.xaction is None or bool(self.xaction.is_idle))


Drain = Callable[[Xaction, Queue], Awaitable[None]]


class Follower:
    """The queues of all buckets, for one kind of job.

    `burst` gives how many names of a bucket may wait; `drain` works until its queue is empty; `settled` is called when
    one is.
    """

    def __init__(
        self,
        registry: Registry,
        rng: random.Random,
        mark: Mark,
        kind: str,
        burst: Callable[[Bck], int],
        drain: Drain,
        settled: Callable[[], None],
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
        self.behind: set[Bck] = set()
        """Buckets that must be gone through. Belongs to the event loop."""
        self._queues: dict[Bck, Queue] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._noted = self._taken = 0
        self._guard = threading.Lock()
        """Held where names are noted and the mark is set or cleared: it is never cleared of what was noted before."""
        self._changing = 0
        self._is_clearing = self._will_look = False

    def start(self) -> None:
        """Follow writes on this event loop from now on. Of what was noted before there is the mark."""
        with self._guard:
            self._loop = asyncio.get_running_loop()

    @contextlib.contextmanager
    def changing(self) -> Iterator[None]:
        """Around a change that is noted in the block, if anything is left to do: a process that is killed in it leaves
        the mark. Any thread.
        """
        with self._guard:
            self._changing += 1
            self._mark.set()
        try:
            yield
        finally:
            with self._guard:
                self._changing -= 1
                is_clearing = self._is_clearing and not self._changing
                is_first = not (is_clearing or self._will_look or self._loop is None)
                self._will_look |= is_first
            if is_clearing:
                self._call(self._settled)
            elif is_first:
                self._call(self._look_later)

    def _look_later(self) -> None:
        """A change that left nothing to do has no job that would clear the mark."""

        def look() -> None:
            self._will_look = False
            self._settled()

        asyncio.get_running_loop().call_later(IDLE_S, look)

    @contextlib.contextmanager
    def going_through(self, bck: Bck) -> Iterator[None]:
        """Around a pass through a bucket, on the event loop: until one has come to its end the bucket is behind."""
        self.behind.discard(bck)
        try:
            yield
        except BaseException:
            self.behind.add(bck)
            raise

    def set_mark(self) -> None:
        """Something is left to do. Blocks for a moment; any thread."""
        with self._guard:
            self._mark.set()

    async def must_go_through(self, bcks: Iterable[Bck]) -> None:
        """What these buckets promise has changed: they are behind from now on, whatever becomes of this process.

        On the event loop. Raise `DiskFailure`.
        """
        self.behind |= set(bcks)

        def mark() -> None:
            with self._guard:
                self._mark.set_durably()

        await asyncio.to_thread(mark)

    def clear_mark(self, known: Container[Bck]) -> None:
        """Nothing is left, if nothing waits: the next start need not look. Buckets that are not `known` need nothing.

        On the event loop.
        """
        self.behind = {bck for bck in self.behind if bck in known}
        with self._guard:
            self._is_clearing = self._changing > 0
            if self.is_settled and not self.behind:
                self._mark.clear()

    def note(self, bck: Bck, name: str) -> None:
        """An object was written. Any thread; returns at once."""
        with self._guard:
            self._mark.set()
            self._noted += self._loop is not None
        self._call(self._take, bck, name)

    def _call(self, step: Callable[..., None], *args: object) -> None:
        """Run a step on the event loop. Without one, or when it is closed, the next start finds the mark."""
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(step, *args)

    def add(self, bck: Bck, name: str) -> bool:
        """As `note`, on the event loop; whether it waits by its name now."""
        self.set_mark()
        queue = self._queues.get(bck)
        if queue is None or queue.has_ended:
            queue = Queue(bck, max(1, self._burst(bck)))
            try:
                queue.xaction = self._follow(queue)
            except AisError:
                self.behind.add(bck)
                return False
            self._queues[bck] = queue
            queue.is_overflowing = bck in self.behind
            self.behind.discard(bck)
        has_room = len(queue.names) < queue.size_max
        if has_room:
            queue.names.append(name)
        else:
            queue.is_overflowing = True
        if queue.xaction is not None:
            queue.xaction.is_idle = False
        queue.has_work.set()
        return has_room

    @property
    def is_settled(self) -> bool:
        """Whether nothing waits, is worked on or being changed, or is on its way from other threads."""
        is_known = self._noted == self._taken and not self._changing
        return is_known and all(queue.is_done for queue in self._queues.values())

    def pending(self, bck: Bck) -> int:
        """How many objects of a bucket wait, or are being worked on, at least; those from other threads too."""
        untaken = max(0, self._noted - self._taken)
        queue = self._queues.get(bck)
        if queue is None or queue.xaction is None or queue.has_ended:
            return untaken
        return untaken + len(queue.names) + (not queue.xaction.is_idle)

    def is_behind(self, bck: Bck) -> bool:
        """Whether a bucket must be gone through: more of its objects came than may wait, or work was given up."""
        queue = self._queues.get(bck)
        return bck in self.behind or (queue is not None and queue.is_overflowing)

    def _take(self, bck: Bck, name: str) -> None:
        self._taken += 1
        self.add(bck, name)

    def _follow(self, queue: Queue) -> Xaction:
        async def work(xaction: Xaction) -> None:
            while True:
                xaction.is_idle = queue.is_empty
                if xaction.is_idle:
                    self._settled()
                    try:
                        async with asyncio.timeout(IDLE_S):
                            await queue.has_work.wait()
                    except TimeoutError:
                        if queue.is_empty:
                            queue.has_ended = True
                            return
                queue.has_work.clear()
                xaction.is_idle = False
                await self._drain(xaction, queue)

        def end(xaction: Xaction) -> None:
            """However it ended: what waits, or was being worked on, is not forgotten."""
            queue.has_ended = True
            if not (queue.is_empty and xaction.is_idle):
                queue.names.clear()
                queue.is_overflowing = False
                self.behind.add(queue.bck)

        ctlmsg = self._describe(queue)
        return self._registry.start(self._kind, new_id(self._rng), work, bck=queue.bck, ctlmsg=ctlmsg, ended=end)
