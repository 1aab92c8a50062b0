"""`resilver`: after the set of mountpaths has changed, every object is brought to the one that owns its name now.

Started by each change and at a start that finds the volume unsettled; a newer change starts it over. Versions that are
replaced or deleted meanwhile stay on the mountpath where they were: such names are visited again at the end. On the way
objects of mirrored buckets get the copies that they lack now. When all is in its place the volume is settled: from then
on each object is looked for in one place only. The job has ended when what follows has: all copies and slices are there
again.
"""

import asyncio
import contextlib
import functools
import itertools
import random
from collections.abc import Awaitable, Callable, Sequence

import structlog

from ais.api.bucket import Bck
from ais.api.xact import RESILVER
from ais.base.errors import AisError, BucketNotFound, Busy, DiskFailure
from ais.base.ids import new_id
from ais.core import tree
from ais.core.relocate import Relocated, Relocator
from ais.core.store import Store
from ais.core.workfile import Paced
from ais.env import Env
from ais.fs import layout, names
from ais.fs.failures import disk_failures
from ais.fs.volume import View
from ais.xact.joggers import Batch, Joggers, Round
from ais.xact.pace import carried
from ais.xact.registry import Registry
from ais.xact.xaction import Xaction

RETRY_S = 30.0
INCOMPLETE_MAX = 1000
_MADE_SINCE = Relocated()
_COPIES = (layout.COPIES, layout.KEPT_COPIES)
_CONTENTS = (layout.OBJECTS, layout.VERSIONS, *_COPIES)
_SLICES = (layout.SLICES, layout.KEPT_SLICES)
_ONLY_HERE = (layout.OBJECTS, layout.VERSIONS, *_SLICES)
"""What a mountpath that leaves may have nothing of: it may be on no other."""


class Resilver:
    """Starts the job. `then` is told when everything is in its place: copies may be made now."""

    def __init__(
        self,
        registry: Registry,
        joggers: Joggers,
        store: Store,
        env: Env,
        paced: Paced,
        is_automatic: Callable[[], bool],
        complete: Callable[[Bck, str], None],
        before: Callable[[], Awaitable[None]],
        then: Callable[[], Awaitable[None]],
    ) -> None:
        """`complete` blocks, and makes the copies of one object, or the object from one. `before` takes what else is
        on mountpaths that leave to others. All raise `AisError`.
        """
        self._is_automatic = is_automatic
        self._registry = registry
        self._joggers = joggers
        self._store = store
        self._relocator = Relocator(store, env, paced)
        self._disk = env.disk
        self._clock = env.clock
        self._rng: random.Random = env.rng
        self._complete = complete
        self._before = before
        self._then = then
        self._log = structlog.get_logger()
        self._incomplete: set[str] = set()
        """Objects that did not get their copies; no more than so many are kept."""
        self._begun = -1
        self._settled = -1
        """Generation of the set of mountpaths for which everything is in its place."""

    async def watch(self) -> None:
        """Start it whenever the set of mountpaths has changed, and again a while after it failed."""
        last: Xaction | None = None
        while True:
            view = self._store.volume.view
            is_due = view.is_unsettled and view.generation != self._settled and self._is_automatic()
            is_new = view.generation != self._begun
            if is_due and (is_new or not any(self._registry.select(kind=RESILVER, only_running=True))):
                if last is not None and last.error and not is_new:
                    await self._clock.sleep(RETRY_S)
                    if self._store.volume.view is not view:
                        continue
                last = self.start(new_id(self._rng))
            await self._clock.sleep(1.0)

    def start(self, uuid: str) -> Xaction:
        """Start it, or return the one of this ID; one that runs is superseded."""
        for running in list(self._registry.select(kind=RESILVER, only_running=True)):
            if running.uuid != uuid:
                self._registry.abort(running, "a newer resilver takes over")
        self._begun = self._store.volume.view.generation
        return self._registry.start(RESILVER, uuid, self._work)

    async def _work(self, xaction: Xaction) -> None:
        volume = self._store.volume
        view, failures, first = volume.view, 0, ""
        self._incomplete = set()
        buckets = list(await asyncio.to_thread(volume.buckets))
        loop = asyncio.get_running_loop()

        async def visit(batch: Batch, content: str) -> None:
            nonlocal failures, first
            step = carried(functools.partial(self._bring_all, batch, content, xaction.started_ns))
            outcomes = await loop.run_in_executor(batch.mountpath.job_pool, step)
            for name, outcome in zip(batch.names, outcomes, strict=True):
                if isinstance(outcome, AisError):
                    failures += 1
                    first = first or f"{batch.bck.cname(name)}: {outcome}"
                elif outcome.was_moved:
                    xaction.objects += 1
                    xaction.bytes += outcome.size_bytes
                elif outcome is _MADE_SINCE and not batch.is_late:
                    xaction.visited -= 1  # nobody counted it
            xaction.ctlmsg = f"visited:{xaction.visited + len(batch.names)}"

        def require_all() -> None:
            if failures:
                raise DiskFailure(f"{failures} objects are not in their place, the first is {first}")

        contents = (*_CONTENTS, *_SLICES) if view.leaving else _CONTENTS
        rounds = [Round(content, functools.partial(visit, content=content)) for content in contents]
        seen: int | None = None
        settled = 0
        while not settled and volume.view.generation == view.generation:
            if seen is None:
                seen = volume.scattered.count
                await self._joggers.run_all(xaction, buckets, rounds, follows_moves=False)
                require_all()
                if view.leaving:
                    await self._bring_uploads(buckets)
                    await self._before()
            seen = await self._joggers.catch_up(buckets, rounds[0], volume.scattered, seen)
            require_all()
            await asyncio.to_thread(self._require_emptied, view, buckets)
            if seen is not None:
                settled = await asyncio.to_thread(volume.settle, view.generation, seen)
        if settled:
            self._settled = settled
            self._log.info("mountpaths settled", visited=xaction.visited, moved=xaction.objects)
            await self._then()
        if self._incomplete:
            names = list(itertools.islice(self._incomplete, 3))
            raise DiskFailure(f"{len(self._incomplete)} objects do not have their copies, such as {', '.join(names)}")

    def _require_emptied(self, view: View, buckets: Sequence[Bck]) -> None:
        """Raise `Busy` when anything is left on a mountpath that leaves, however it came there: begin again then."""
        volume = self._store.volume
        known = [bck for bck in buckets if volume.is_known(bck)]
        for mountpath in (one for one in view.available if one.path in view.leaving):
            if volume.is_given_up(mountpath):
                continue
            for bck, content in itertools.product(known, _ONLY_HERE):
                if (name := next(self._joggers.walk(mountpath, bck, content=content), None)) is not None:
                    raise Busy(f"{bck.cname(name)} is left on mountpath {mountpath.path}: it is looked for again")

    async def _bring_uploads(self, buckets: list[Bck]) -> None:
        """Unfinished uploads go from mountpaths that leave to the others. Raise `AisError`."""
        view, moves, loop = self._store.volume.view, self._store.upload_moves, asyncio.get_running_loop()
        for mountpath in (one for one in view.available if one.path in view.leaving):
            for bck in buckets:
                with contextlib.suppress(BucketNotFound):
                    await loop.run_in_executor(mountpath.pool, moves.bring_from, bck, mountpath)

    def _bring_all(self, batch: Batch, content: str, began_ns: int) -> list[Relocated | AisError]:
        if content in _SLICES:
            return self._bring_slices(batch, content)
        is_copy = content in _COPIES
        names = [one for one in batch.names if not (is_copy and self._is_younger(batch, one, content, began_ns))]
        found = dict(zip(names, self._relocator.bring_all(batch.bck, names), strict=True))
        return [
            self._follow(batch, name, content, began_ns, found[name]) if name in found else _MADE_SINCE
            for name in batch.names
        ]

    def _is_younger(self, batch: Batch, name: str, content: str, began_ns: int) -> bool:
        """Whether a copy (on a shelf: one of several) was made since; nobody counted it, and it needs nothing."""
        path = f"{layout.bucket_path(batch.mountpath.path, batch.bck)}/{content}/{names.to_path(name)}"
        with disk_failures(path):
            if content == layout.COPIES:
                found = tree.find(self._disk, path)
                return found is not None and found[1].st_ctime_ns > began_ns
            with contextlib.suppress(FileNotFoundError, NotADirectoryError):
                return self._disk.lstat(f"{path}/{names.SELF}").st_ctime_ns > began_ns
        return False

    def _complete_one(self, bck: Bck, name: str) -> None:
        """What lacks copies is in its place all the same, so it does not keep the volume unsettled."""
        try:
            self._complete(bck, name)
        except BucketNotFound:
            return
        except AisError as error:
            self._log.warning("object has too few copies", object=bck.cname(name), error=str(error))
            if len(self._incomplete) < INCOMPLETE_MAX:
                self._incomplete.add(bck.cname(name))

    def _follow(
        self, batch: Batch, name: str, content: str, began_ns: int, found: Relocated | AisError
    ) -> Relocated | AisError:
        """A name is in its place: its copies, too. `_MADE_SINCE`: it is met again there, or was written since."""
        if isinstance(found, AisError):
            return self._failed(batch, name, found)
        if batch.bck in self._store.volume.mirrored:
            self._complete_one(batch.bck, name)
        if content in _COPIES:
            return Relocated()
        is_own = self._store.volume.place(batch.bck.uname + name) is batch.mountpath
        return _MADE_SINCE if is_own and found.changed_ns > began_ns else found

    def _bring_slices(self, batch: Batch, content: str) -> list[Relocated | AisError]:
        is_latest = content == layout.SLICES
        bring = self._relocator.bring_slices if is_latest else self._relocator.bring_slices_of_versions
        outcomes = bring(batch.bck, batch.names, batch.mountpath)
        return [
            self._failed(batch, name, one) if isinstance(one, AisError) else one
            for name, one in zip(batch.names, outcomes, strict=True)
        ]

    def _failed(self, batch: Batch, name: str, error: AisError) -> Relocated | AisError:
        if isinstance(error, BucketNotFound):
            return Relocated()
        self._log.warning("object is not in its place", object=batch.bck.cname(name), error=str(error))
        return error
