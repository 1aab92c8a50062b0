"""`cleanup-store`: what takes space and is of no use goes: trash, forgotten work files, files that something newer
stands for.

Nothing goes that is the only one of its kind. A misplaced object is removed where the one in its place is as new,
given to the target that owns it, and otherwise left and counted. A copy or slice goes when the object it is of is
newer, or does not want it there. What was changed less than `space.dont_cleanup_time` ago stays.
"""

import asyncio
import contextlib
import os
import random
import re
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple, Protocol, TypeVar

import structlog

from ais.api.bucket import Bck
from ais.api.xact import CLEANUP, DRY_RUN, KEEP_MISPLACED, WITH_QUARANTINE, ZERO_SIZE
from ais.base.errors import AisError, NotYetImplemented
from ais.base.ids import new_id
from ais.core import appender, tree
from ais.core.meta import ObjectMeta
from ais.core.spots import rank, read_meta
from ais.core.store import Store
from ais.core.versions import sliced_keys
from ais.env import Env
from ais.env.disk import Disk
from ais.fs import layout, names, trash
from ais.fs.failures import disk_failures
from ais.mirror.mirror import Mirror
from ais.scrub.coded import Coded
from ais.scrub.indexes import of_nothing
from ais.scrub.quarantine import Quarantine
from ais.xact.joggers import Batch, Joggers
from ais.xact.pace import carried
from ais.xact.registry import Registry
from ais.xact.xaction import NO_BUCKET, Xaction

LOOK_S = 10.0
AGAIN_S = 600.0
_STEP = 64
_PID = re.compile(r"([0-9a-f]{1,8})\.")
"""What the name of a work file begins with (`ais.core.store`)."""
T = TypeVar("T")

Give = Callable[[Bck, str], Awaitable[None]]
IsOwner = Callable[[str], bool | None]


class Settings(Protocol):
    """The section `space`."""

    @property
    def dont_cleanup_time(self) -> float: ...
    @property
    def highwm(self) -> int: ...


class _Rules(NamedTuple):
    """What one cleanup does. `before_ns`: only what was last changed before."""

    flags: int
    before_ns: int
    buckets: list[Bck]

    @property
    def is_dry(self) -> bool:
        """Whether to count only."""
        return bool(self.flags & DRY_RUN)


class _Freed:
    """Counts by what it was, for the xaction's message."""

    def __init__(self, xaction: Xaction) -> None:
        self._xaction = xaction
        self._counts: dict[str, int] = {}

    def note(self, what: str, count: int = 1, size_bytes: int = 0, *, is_removed: bool = True) -> None:
        """So many files were removed (or would be), or left."""
        if count:
            self._counts[what] = self._counts.get(what, 0) + count
        if is_removed:
            self._xaction.objects += count
            self._xaction.bytes += size_bytes
        told = "".join(f" {name}:{number}" for name, number in self._counts.items())
        self._xaction.ctlmsg = f"visits:{self._xaction.visited}{told}"


class Cleanup:
    """Starts the job on one target."""

    def __init__(
        self,
        registry: Registry,
        joggers: Joggers,
        store: Store,
        mirror: Mirror,
        coded: Coded,
        quarantine: Quarantine,
        env: Env,
        settings: Callable[[], Settings],
        is_owner: IsOwner,
        give: Give,
    ) -> None:
        self._registry = registry
        self._joggers = joggers
        self._store = store
        self._mirror = mirror
        self._coded = coded
        self._quarantine = quarantine
        self._disk = env.disk
        self._clock = env.clock
        self._rng: random.Random = env.rng
        self._settings = settings
        self._is_owner = is_owner
        self._give = give
        self._pool = ThreadPoolExecutor(2, "cleanup")
        self._log = structlog.get_logger()

    def start(self, uuid: str, buckets: list[Bck], flags: int) -> Xaction:
        """Start it on some buckets, or return the one of this ID. Raise `NotYetImplemented`."""
        if flags & ZERO_SIZE:
            raise NotYetImplemented(
                "cannot remove all objects without content: that is not known to be useless; delete them by name"
            )
        before_ns = self._clock.now_ns() - int(float(self._settings().dont_cleanup_time) * 1e9)
        rules = _Rules(flags, before_ns, buckets)

        async def work(xaction: Xaction) -> None:
            await self._work(xaction, rules)

        only = buckets[0] if len(buckets) == 1 else NO_BUCKET
        message = "visits:0, dry run" if rules.is_dry else "visits:0"
        return self._registry.start(CLEANUP, uuid, work, bck=only, ctlmsg=message)

    async def watch(self, buckets: Callable[[], list[Bck]]) -> None:
        """Start it by itself when a mountpath gets fuller than `space.highwm`, now and then as long as that lasts."""
        last_s = -AGAIN_S
        while True:
            await self._clock.sleep(LOOK_S)
            if self._clock.monotonic() - last_s >= AGAIN_S and await self._in_pool(self._is_low):
                last_s = self._clock.monotonic()
                self._log.warning("space runs low: cleaning up")
                with contextlib.suppress(AisError):
                    self.start(new_id(self._rng), buckets(), 0)

    def _is_low(self) -> bool:
        limit = self._settings().highwm
        for mountpath in self._store.volume.available:
            with contextlib.suppress(AisError):  # one that is gone is not full
                if mountpath.capacity().used_pct >= limit:
                    return True
        return False

    def close(self) -> None:
        """Wait for what is under way."""
        self._pool.shutdown(cancel_futures=True)

    async def _in_pool(self, step: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._pool, carried(step))

    async def _work(self, xaction: Xaction, rules: _Rules) -> None:
        freed = _Freed(xaction)
        await self._in_pool(lambda: self._trash(rules, freed))
        await self._in_pool(lambda: self._work_files(rules, freed))
        await self._in_pool(lambda: self._indexes(rules, freed))
        if rules.flags & WITH_QUARANTINE:
            for bck in rules.buckets:
                count, size = await self._in_pool(
                    lambda bck=bck: self._quarantine.clear(bck, rules.before_ns, dry_run=rules.is_dry)  # type: ignore[misc]
                )
                freed.note("quarantined", count, size)

        async def objects(batch: Batch) -> None:
            await self._misplaced(batch, rules, freed)

        async def copies(batch: Batch) -> None:
            for count, size, fresh in await self._in_pool(
                lambda: [self._copy(batch, one, rules) for one in batch.names]
            ):
                freed.note("copies", count, size)
                freed.note("too-fresh", fresh, is_removed=False)

        async def slices(batch: Batch) -> None:
            for what, size in await self._coded.drop_superseded(
                batch.bck, batch.names, rules.before_ns, dry=rules.is_dry
            ):
                freed.note(what, 1, size)

        async def slices_of_versions(batch: Batch) -> None:
            keys = await self._in_pool(lambda: sliced_keys(self._disk, batch.mountpath, batch.bck, batch.names))
            await slices(batch._replace(names=keys))

        if not self._store.volume.view.is_unsettled:
            await self._joggers.run(xaction, rules.buckets, objects, step=_STEP)
        await self._joggers.run(xaction, rules.buckets, copies, content=layout.COPIES, step=_STEP)
        await self._joggers.run(xaction, rules.buckets, slices, content=layout.SLICES, step=_STEP)
        kept = layout.KEPT_SLICES
        await self._joggers.run(xaction, rules.buckets, slices_of_versions, content=kept, step=_STEP)
        freed.note("visits", 0)

    def _trash(self, rules: _Rules, freed: _Freed) -> None:
        for mountpath in self._store.volume.available:
            with disk_failures(mountpath.path):
                count, size = self._measure(f"{mountpath.path}/{trash.DIRECTORY}")
                if not rules.is_dry:
                    trash.empty(self._disk, mountpath.path)
                freed.note("trash", count, size)

    def _measure(self, path: str) -> tuple[int, int]:
        """Number of files below a directory, and their bytes."""
        count = size = 0
        for directory, _, files in os.walk(path):
            for name in files:
                try:
                    size += self._disk.lstat(f"{directory}/{name}").st_size
                except FileNotFoundError:
                    continue
                count += 1
        return count, size

    def _indexes(self, rules: _Rules, freed: _Freed) -> None:
        for path, found in of_nothing(self._store, self._disk, rules.buckets):
            if found.st_mtime_ns >= rules.before_ns:
                freed.note("too-fresh", is_removed=False)
                continue
            if not rules.is_dry:
                self._store.indexes.remove_path(path)
            freed.note("indexes", 1, found.st_size)

    def _work_files(self, rules: _Rules, freed: _Freed) -> None:
        """Those that nobody has open; what appends collect has a time of its own."""
        in_use = _OpenFiles(self._disk)
        for mountpath in self._store.volume.available:
            for bck in rules.buckets:
                directory = f"{layout.bucket_path(mountpath.path, bck)}/{layout.WORK}"
                with disk_failures(directory):
                    self._old_files(directory, in_use, rules, freed)

    def _old_files(self, directory: str, in_use: "_OpenFiles", rules: _Rules, freed: _Freed) -> None:
        try:
            entries = self._disk.listdir(directory)
        except FileNotFoundError:
            return
        for entry in entries:
            path = f"{directory}/{entry}"
            try:
                found = self._disk.lstat(path)
            except FileNotFoundError:
                continue
            if entry.startswith(appender.MARK) or path in in_use or not tree.is_file(found):
                continue
            if max(found.st_mtime_ns, found.st_ctime_ns) >= rules.before_ns:  # of a copy the first is its object's
                freed.note("too-fresh", is_removed=False)
                continue
            if not rules.is_dry:
                self._disk.unlink(path)
            freed.note("workfiles", 1, found.st_size)

    async def _misplaced(self, batch: Batch, rules: _Rules, freed: _Freed) -> None:
        bck = batch.bck
        for name in batch.names:
            is_owner = self._is_owner(bck.uname + name)
            if is_owner is None:
                continue
            if is_owner:
                what, size = await self._in_pool(lambda name=name: self._stray(batch, name, rules))  # type: ignore[misc]
                if what:
                    freed.note(what, 1, size, is_removed=what == "misplaced")
            elif not rules.flags & KEEP_MISPLACED:
                await self._foreign(batch, name, rules, freed)

    async def _foreign(self, batch: Batch, name: str, rules: _Rules, freed: _Freed) -> None:
        """An object of another target: to its owner, which keeps its own if that is newer."""
        found = await self._in_pool(lambda: self._file(batch, name))
        if found is None:
            return
        if found[1].st_ctime_ns >= rules.before_ns:
            freed.note("too-fresh", is_removed=False)
            return
        if not rules.is_dry:
            try:
                await self._give(batch.bck, name)
            except AisError as error:
                self._log.info("misplaced object stays", object=batch.bck.cname(name), reason=str(error))
                freed.note("kept", is_removed=False)
                return
        freed.note("misplaced", 1, found[1].st_size)

    def _stray(self, batch: Batch, name: str, rules: _Rules) -> tuple[str, int]:
        """An object on the wrong mountpath: what was done with it, and its size. Blocks."""
        spot = self._store.spot(batch.bck, name)
        if spot.mountpath is batch.mountpath or rules.flags & KEEP_MISPLACED:
            return "", 0
        root = spot.on(batch.mountpath, spot.root)

        def step() -> tuple[str, int]:
            stray, own = self._file(batch, name), tree.find(self._disk, spot.path)
            if stray is None:
                return "", 0
            if stray[1].st_ctime_ns >= rules.before_ns:
                return "too-fresh", 0
            if own is None:
                return "kept", 0
            mine, kept = read_meta(self._disk, stray[0]), read_meta(self._disk, own[0])
            is_version = batch.bck in self._store.volume.keeping and _version_of(mine) != _version_of(kept)
            if is_version or rank(mine, stray[1]) > rank(kept, own[1]):  # one that came back may be below the other
                return "kept", 0
            if not rules.is_dry:
                tree.remove(self._disk, root, root + spot.path[len(spot.root) :])
            return "misplaced", stray[1].st_size

        with disk_failures(spot.path):
            return self._store.under_lock(batch.bck, spot, step, restore_lost=False)

    def _file(self, batch: Batch, name: str, content: str = layout.OBJECTS) -> tuple[str, os.stat_result] | None:
        path = f"{layout.bucket_path(batch.mountpath.path, batch.bck)}/{content}/{names.to_path(name)}"
        with disk_failures(path):
            return tree.find(self._disk, path)

    def _copy(self, batch: Batch, name: str, rules: _Rules) -> tuple[int, int, int]:
        """A copy: how many of the object were dropped, their bytes, and how many were too fresh. Blocks."""
        found = self._file(batch, name, layout.COPIES)
        if found is None:
            return 0, 0, 0
        spot = self._store.spot(batch.bck, name)
        own = tree.find(self._disk, spot.path)
        if own is None:  # it stands for a lost object
            return 0, 0, 0
        mirroring = self._store.volume.mirrored.get(batch.bck)
        wanted = mirroring.copies if mirroring is not None else 1
        places = [one.path for one in self._store.copies.places(spot, wanted)]
        copy, current = read_meta(self._disk, found[0]), read_meta(self._disk, own[0])
        is_useful = batch.mountpath.path in places and copy is not None and current is not None
        if current is None or (is_useful and copy is not None and copy.stamp == current.stamp):
            return 0, 0, 0
        if found[1].st_ctime_ns >= rules.before_ns:
            return 0, 0, 1
        if not rules.is_dry:
            try:
                self._mirror.bring(batch.bck, name)
            except AisError as error:
                self._log.info("copy stays", object=batch.bck.cname(name), reason=str(error))
                return 0, 0, 0
        return 1, found[1].st_size, 0


class _OpenFiles:
    """What the processes of this target have open, each as it was when it was first asked about."""

    def __init__(self, disk: Disk) -> None:
        self._disk = disk
        self._found: dict[str, frozenset[str]] = {}

    def __contains__(self, path: str) -> bool:
        """Whether a work file is open in this process, or in the one that made it: a worker, maybe."""
        made_by = _PID.match(os.path.basename(path))
        processes = ("self", str(int(made_by[1], 16))) if made_by else ("self",)
        return any(path in self._of(process) for process in processes)

    def _of(self, process: str) -> frozenset[str]:
        if process not in self._found:
            self._found[process] = frozenset(self._look(f"/proc/{process}/fd"))
        return self._found[process]

    def _look(self, directory: str) -> Iterator[str]:
        try:
            numbers = self._disk.listdir(directory)
        except OSError:  # it has ended, or is somebody else's
            return
        for number in numbers:
            with contextlib.suppress(FileNotFoundError):
                yield self._disk.readlink(f"{directory}/{number}")


def _version_of(meta: ObjectMeta | None) -> str:
    return meta.version_id if meta is not None else ""
