"""The jobs of mirroring on one target: `put-copies` follows writes, `make-n-copies` goes through a whole bucket.

Writes tell of each object that has too few copies now. `put-copies` takes them one after the other and ends when a
while nothing came. What it had not done when the process was killed, or could not take because the burst was too large,
is found by going through the bucket: a file on the first mountpath (`.ais.uncopied`) says from the first such write on
that this must be done at the next start, until there is nothing left to do.
"""

import asyncio
import contextlib
import functools
import itertools
import os
import random
from collections import deque
from collections.abc import Callable

import structlog

from ais.api.bucket import Bck
from ais.api.xact import MAKE_COPIES, PUT_COPIES
from ais.base.errors import AisError, BucketNotFound, DiskFailure
from ais.base.ids import new_id
from ais.core.store import Store
from ais.env import Env
from ais.fs import layout
from ais.fs.mountpath import Mountpath
from ais.mirror.mirror import Mirror, Outcome
from ais.xact.joggers import Batch, Joggers
from ais.xact.registry import Registry
from ais.xact.xaction import Xaction

MARK = ".ais.uncopied"
IDLE_S = 120.0
"""`put-copies` ends when nothing was written for so long."""
RETRY_S = 30.0
_STEP = 32


class _Queue:
    """Objects of one bucket that wait for copies; filled by any thread."""

    def __init__(self, size_max: int) -> None:
        self.names: deque[str] = deque()
        self.size_max = size_max
        self.is_overflowing = False
        self.xaction: Xaction | None = None
        self.has_work = asyncio.Event()


class MirrorJobs:
    """Starts the jobs. `burst` gives how many objects of a bucket may wait."""

    def __init__(
        self,
        registry: Registry,
        joggers: Joggers,
        store: Store,
        env: Env,
        burst: Callable[[Bck], int],
    ) -> None:
        self.mirror = Mirror(store, env)
        self._registry = registry
        self._joggers = joggers
        self._store = store
        self._disk = env.disk
        self._clock = env.clock
        self._rng: random.Random = env.rng
        self._burst = burst
        self._log = structlog.get_logger()
        self._queues: dict[Bck, _Queue] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._is_marked = False
        self._noted, self._taken = itertools.count(1), 0
        self._noted_last = 0
        store.on_mirrored(self.note)

    def start(self) -> None:
        """Begin to follow writes, on this event loop; go through everything if the last run left something undone."""
        self._loop = asyncio.get_running_loop()
        if self._was_left() and self._store.volume.mirrored:
            for bck in self._store.volume.mirrored:
                self.make_copies(bck, new_id(self._rng))
        else:
            self._unmark()

    def note(self, bck: Bck, name: str) -> None:
        """An object may have too few copies. Any thread; returns at once."""
        self._noted_last = next(self._noted)
        if not self._is_marked:
            self._mark()
        loop = self._loop
        if loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop is closed: the next start finds the mark
                loop.call_soon_threadsafe(self._enqueue, bck, name)

    def make_copies(self, bck: Bck, uuid: str) -> Xaction:
        """Bring every object of a bucket to the number of copies that the bucket promises."""

        async def work(xaction: Xaction) -> None:
            mirroring = self._store.volume.mirrored.get(bck)
            copies = mirroring.copies if mirroring is not None else 1
            failures, first = 0, ""

            async def visit(batch: Batch) -> None:
                nonlocal failures, first
                outcomes = await _in_pool(batch, functools.partial(self._bring_all, bck, batch.names))
                for name, outcome in zip(batch.names, outcomes, strict=True):
                    if isinstance(outcome, AisError) or outcome.is_lost:
                        failures += 1
                        why = "it is damaged and no copy of it is good" if isinstance(outcome, Outcome) else outcome
                        first = first or f"{bck.cname(name)}: {why}"
                    elif content == layout.OBJECTS or outcome.was_restored:
                        xaction.objects += 1
                        xaction.bytes += outcome.size_bytes
                xaction.ctlmsg = f"mnc-actmnc, copies:{copies}, visited:{xaction.visited + len(batch.names)}"

            for content in (layout.COPIES, layout.OBJECTS):
                await self._joggers.run(xaction, self._store.volume.available, [bck], visit, content=content)
            if failures:
                raise DiskFailure(f"{failures} objects do not have their copies, the first is {first}")
            self._settled(xaction)

        copies = self._store.volume.mirrored.get(bck)
        ctlmsg = f"mnc-actmnc, copies:{copies.copies if copies else 1}, visited:0"
        return self._registry.start(MAKE_COPIES, uuid, work, bck=bck, ctlmsg=ctlmsg)

    def _bring_all(self, bck: Bck, names: list[str]) -> list[Outcome | AisError]:
        return [self._bring(bck, name) for name in names]

    def _bring(self, bck: Bck, name: str) -> Outcome | AisError:
        try:
            return self.mirror.bring(bck, name)
        except BucketNotFound:
            return Outcome(is_missing=True)
        except AisError as error:
            self._log.warning("object has too few copies", object=bck.cname(name), error=str(error))
            return error

    def _enqueue(self, bck: Bck, name: str) -> None:
        self._taken += 1
        if not self._is_marked:
            self._mark()
        queue = self._queues.get(bck)
        if queue is None or queue.xaction is None or not queue.xaction.is_running:
            queue = self._queues[bck] = _Queue(max(1, self._burst(bck)))
            try:
                queue.xaction = self._follow(bck, queue)
            except AisError:
                return
        if len(queue.names) < queue.size_max:
            queue.names.append(name)
        else:
            queue.is_overflowing = True
        if queue.xaction is not None:
            queue.xaction.is_idle = False
        queue.has_work.set()

    def _follow(self, bck: Bck, queue: _Queue) -> Xaction:
        async def work(xaction: Xaction) -> None:
            while True:
                xaction.is_idle = not queue.names and not queue.is_overflowing
                if xaction.is_idle:
                    self._settled(xaction)
                    try:
                        async with asyncio.timeout(IDLE_S):
                            await queue.has_work.wait()
                    except TimeoutError:
                        return
                queue.has_work.clear()
                xaction.is_idle = False
                await self._drain(xaction, bck, queue)
                if queue.is_overflowing:
                    queue.is_overflowing = False
                    await self.make_copies(bck, new_id(self._rng)).wait()

        mirroring = self._store.volume.mirrored.get(bck)
        ctlmsg = f"copies:{mirroring.copies if mirroring else 1}, burst:{queue.size_max}"
        return self._registry.start(PUT_COPIES, new_id(self._rng), work, bck=bck, ctlmsg=ctlmsg)

    async def _drain(self, xaction: Xaction, bck: Bck, queue: _Queue) -> None:
        loop = asyncio.get_running_loop()
        while queue.names:
            step = dict.fromkeys(queue.names.popleft() for _ in range(min(_STEP, len(queue.names))))
            by_disk: dict[Mountpath, list[str]] = {}
            for name in step:
                by_disk.setdefault(self._store.volume.place(bck.uname + name), []).append(name)
            jobs = [
                loop.run_in_executor(mountpath.pool, functools.partial(self._bring_all, bck, some))
                for mountpath, some in by_disk.items()
            ]
            for outcomes in await asyncio.gather(*jobs):
                for outcome in outcomes:
                    if isinstance(outcome, AisError):
                        queue.is_overflowing = True
                    elif not outcome.is_missing:
                        xaction.objects += 1
                        xaction.bytes += outcome.size_bytes
            if queue.is_overflowing and not queue.names:
                await self._clock.sleep(RETRY_S if self._is_failing(jobs) else 0)

    def _is_failing(self, jobs: list[asyncio.Future[list[Outcome | AisError]]]) -> bool:
        return any(isinstance(outcome, AisError) for job in jobs for outcome in job.result())

    # What must be done at the next start

    def _path(self) -> str | None:
        available = self._store.volume.available
        return f"{available[0].path}/{MARK}" if available else None

    def _was_left(self) -> bool:
        for mountpath in self._store.volume.available:
            with contextlib.suppress(OSError):
                self._disk.lstat(f"{mountpath.path}/{MARK}")
                return True
        return False

    def _mark(self) -> None:
        path = self._path()
        if path is not None:
            with contextlib.suppress(OSError):
                self._disk.close(self._disk.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644))
                self._is_marked = True

    def _settled(self, ended: Xaction) -> None:
        """Some work has ended: if nothing is left for any bucket, the next start need not look."""
        if self._noted_last != self._taken:
            return
        if any(queue.names or queue.is_overflowing for queue in self._queues.values()):
            return
        if any(one is not ended for one in self._registry.select(kind=MAKE_COPIES, only_running=True)):
            return
        self._unmark()

    def _unmark(self) -> None:
        self._is_marked = False
        for mountpath in self._store.volume.available:
            with contextlib.suppress(OSError):
                self._disk.unlink(f"{mountpath.path}/{MARK}")


async def _in_pool(batch: Batch, step: Callable[[], list[Outcome | AisError]]) -> list[Outcome | AisError]:
    return await asyncio.get_running_loop().run_in_executor(batch.mountpath.pool, step)
