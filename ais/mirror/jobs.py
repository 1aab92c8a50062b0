"""The jobs of mirroring on one target: `put-copies` follows writes, `make-n-copies` goes through a whole bucket.

Writes tell of each object that has too few copies now. `put-copies` takes them one after the other and ends when a
while nothing came. What it had not done when the process was killed, or could not take because the burst was too large,
is found by going through the bucket, and so is what a bucket promises since other properties came, when this target was
away perhaps. A file on a mountpath (`.ais.uncopied`) says from the first such write, or change, on that this must be
done at the next start, until there is nothing left to do.
"""

import asyncio
import contextlib
import functools
import random
from collections.abc import Callable, Iterable

import structlog

from ais.api.bucket import Bck
from ais.api.xact import MAKE_COPIES, PUT_COPIES
from ais.base.errors import AisError, BucketNotFound, DiskFailure
from ais.base.ids import new_id
from ais.core.store import Store
from ais.core.workfile import Paced
from ais.env import Env
from ais.fs import layout
from ais.fs.mountpath import Mountpath
from ais.mirror.mirror import Mirror, Outcome
from ais.xact.following import Follower, Queue
from ais.xact.joggers import Batch, Joggers, Round
from ais.xact.mark import Mark
from ais.xact.pace import carried
from ais.xact.registry import Registry
from ais.xact.xaction import Xaction

MARK = ".ais.uncopied"
WATCH_S = 2.0
RETRY_S = 30.0
_STEP = 32
_CONTENTS = (layout.COPIES, layout.KEPT_COPIES, layout.OBJECTS, layout.VERSIONS)


class MirrorJobs:
    """Starts the jobs. `burst` gives how many objects of a bucket may wait."""

    def __init__(
        self,
        registry: Registry,
        joggers: Joggers,
        store: Store,
        env: Env,
        paced: Paced,
        burst: Callable[[Bck], int],
    ) -> None:
        self.mirror = Mirror(store, env, paced)
        self._paced = paced
        self._registry = registry
        self._joggers = joggers
        self._store = store
        self._clock = env.clock
        self._rng: random.Random = env.rng
        self._log = structlog.get_logger()
        self._mark = Mark(store.volume, env.disk, MARK)
        self._following = Follower(
            registry, env.rng, self._mark, PUT_COPIES, burst, self._drain, self._settled, self._describe
        )
        store.on_mirrored(self._following.note, self._following.changing)

    def start(self) -> None:
        """Begin to follow writes, on this event loop; go through everything if the last run left something undone."""
        self._following.start()
        if self._mark.was_left() and self._store.volume.mirrored:
            self._following.behind |= self._store.volume.mirrored.keys()
            for bck in self._store.volume.mirrored:
                self.make_copies(bck, new_id(self._rng))
        else:
            self._settled()

    async def must_copy(self, bcks: Iterable[Bck]) -> None:
        """These buckets promise another number of copies now: all objects are gone through, also when this target is
        killed on the way. Raise `DiskFailure`.
        """
        await self._following.must_go_through(bcks)

    async def watch(self) -> None:
        """Go through what is behind, and again a while after it failed."""
        tried_s = -RETRY_S
        while True:
            await self._clock.sleep(WATCH_S)
            behind = self._following.behind & self._store.volume.mirrored.keys()
            if not behind or self._clock.monotonic() - tried_s < RETRY_S:
                continue
            tried_s = self._clock.monotonic()
            for bck in behind:
                if not any(self._registry.select(kind=MAKE_COPIES, bck=bck, only_running=True)):
                    with contextlib.suppress(AisError):
                        self.make_copies(bck, new_id(self._rng))

    def make_copies(self, bck: Bck, uuid: str) -> Xaction:
        """Bring every object of a bucket to the number of copies that the bucket promises."""

        async def work(xaction: Xaction) -> None:
            mirroring = self._store.volume.mirrored.get(bck)
            copies = mirroring.copies if mirroring is not None else 1
            failures = lost = 0
            first = ""

            async def visit(batch: Batch, content: str) -> None:
                nonlocal failures, lost, first
                outcomes = await _in_pool(batch, functools.partial(self._bring_all, bck, batch.names))
                for name, outcome in zip(batch.names, outcomes, strict=True):
                    if isinstance(outcome, AisError) or outcome.is_lost:
                        failures += 1
                        lost += isinstance(outcome, Outcome)
                        why = "it is damaged and no copy of it is good" if isinstance(outcome, Outcome) else outcome
                        first = first or f"{bck.cname(name)}: {why}"
                    elif content == layout.OBJECTS or outcome.was_restored:
                        xaction.objects += 1
                        xaction.bytes += outcome.size_bytes
                xaction.ctlmsg = f"mnc-actmnc, copies:{copies}, visited:{xaction.visited + len(batch.names)}"

            with self._following.going_through(bck):
                await asyncio.to_thread(self._following.set_mark)
                rounds = [Round(content, functools.partial(visit, content=content)) for content in _CONTENTS]
                await self._joggers.run_all(xaction, [bck], rounds)
            if failures > lost:
                self._following.behind.add(bck)
            if failures:
                raise DiskFailure(f"{failures} objects do not have their copies, the first is {first}")
            self._settled(xaction)

        copies = self._store.volume.mirrored.get(bck)
        ctlmsg = f"mnc-actmnc, copies:{copies.copies if copies else 1}, visited:0"
        return self._registry.start(MAKE_COPIES, uuid, work, bck=bck, ctlmsg=ctlmsg)

    def pending(self, bck: Bck) -> int:
        """How many objects of a bucket wait for copies, or get them just now, as far as is known."""
        return self._following.pending(bck)

    def is_behind(self, bck: Bck) -> bool:
        """Whether the bucket must be gone through."""
        return self._following.is_behind(bck)

    def _bring_all(self, bck: Bck, names: list[str]) -> list[Outcome | AisError]:
        return [self._bring(bck, name) for name in self._paced(iter(names))]

    def _bring(self, bck: Bck, name: str) -> Outcome | AisError:
        try:
            return self.mirror.bring(bck, name)
        except BucketNotFound:
            return Outcome(is_missing=True)
        except AisError as error:
            self._log.warning("object has too few copies", object=bck.cname(name), error=str(error))
            return error

    def _describe(self, queue: Queue) -> str:
        mirroring = self._store.volume.mirrored.get(queue.bck)
        return f"copies:{mirroring.copies if mirroring else 1}, burst:{queue.size_max}"

    async def _drain(self, xaction: Xaction, queue: Queue) -> None:
        await self._copy_all(xaction, queue.bck, queue)
        if queue.is_overflowing:
            queue.is_overflowing = False
            await self.make_copies(queue.bck, new_id(self._rng)).wait()

    async def _copy_all(self, xaction: Xaction, bck: Bck, queue: Queue) -> None:
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

    def _settled(self, ended: Xaction | None = None) -> None:
        """Some work has ended: if nothing is left for any bucket, the next start need not look."""
        if not any(one is not ended for one in self._registry.select(kind=MAKE_COPIES, only_running=True)):
            self._following.clear_mark(self._store.volume.mirrored)


async def _in_pool(batch: Batch, step: Callable[[], list[Outcome | AisError]]) -> list[Outcome | AisError]:
    return await asyncio.get_running_loop().run_in_executor(batch.mountpath.job_pool, carried(step))
