"""`lru`: what remote buckets have here goes, the longest unused first, where a file system runs full.

Above `space.highwm` objects are removed until `space.lowwm` is reached. Only what a backend has, too, can go; what was
used less than the bucket's `lru.dont_evict_time` ago stays. When an object was used, its access time says, which file
systems note now and then only (`relatime`: once a day); with `noatime` it is when the object came.
"""

import asyncio
import contextlib
import heapq
import itertools
import random
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from typing import NamedTuple, Protocol

import structlog

from ais.api.bucket import Bck
from ais.api.xact import LRU
from ais.backend.interface import LINK, SOURCE
from ais.base.errors import AisError
from ais.base.ids import new_id
from ais.core import tree
from ais.core.meta import ObjectMeta
from ais.core.spots import read_meta
from ais.env import Env
from ais.fs import layout, names
from ais.fs.failures import disk_failures
from ais.fs.mountpath import Mountpath
from ais.fs.volume import Volume
from ais.xact.joggers import Joggers
from ais.xact.pace import Pace
from ais.xact.registry import Registry
from ais.xact.xaction import NO_BUCKET, Xaction

LOOK_S = 10.0
"""How often capacity is looked at while it is above the low watermark."""
AGAIN_S = 600.0
"""After one that found nothing to evict."""
_STEP = 256


class Marks(Protocol):
    """The section `space`."""

    @property
    def lowwm(self) -> int: ...
    @property
    def highwm(self) -> int: ...


class Rules(Protocol):
    """The section `lru` of the cluster's configuration."""

    @property
    def capacity_upd_time(self) -> float: ...
    @property
    def batch_size(self) -> int: ...


class Origin(NamedTuple):
    """Where a bucket has its objects from: a provider and, of one that is linked, the ID of the link."""

    provider: str
    link: str = ""


class Evictable(NamedTuple):
    """A bucket that stands for one at a backend; what was used after `before_ns` stays."""

    bck: Bck
    origin: Origin
    before_ns: int


class _Cached(NamedTuple):
    """An object that may go; the order is that in which they go."""

    used_ns: int
    uname: str
    size: int
    bck: Bck
    name: str


_NOTHING = _Cached(-1, "", 0, NO_BUCKET, "")


class Eviction:
    """Starts the job on one target. `evict` removes what is here of an object, and raises `AisError`."""

    def __init__(
        self,
        registry: Registry,
        joggers: Joggers,
        pace: Pace,
        volume: Volume,
        env: Env,
        marks: Callable[[], Marks],
        rules: Callable[[], Rules],
        evictable: Callable[[Sequence[Bck], bool], list[Evictable]],
        evict: Callable[[Bck, str], Awaitable[None]],
    ) -> None:
        self._registry = registry
        self._joggers = joggers
        self._pace = pace
        self._volume = volume
        self._disk = env.disk
        self._clock = env.clock
        self._rng: random.Random = env.rng
        self._marks = marks
        self._rules = rules
        self._evictable = evictable
        self._evict = evict
        self._log = structlog.get_logger()

    def start(self, uuid: str, bcks: Sequence[Bck] = (), *, force: bool = False) -> Xaction:
        """Start it on some buckets (none: all), or return the one of this ID. `force`: also where `lru.enabled` is off.

        Raise `BucketNotFound`.
        """
        evictable = self._evictable(bcks, force)
        only = bcks[0] if len(bcks) == 1 else NO_BUCKET

        async def work(xaction: Xaction) -> None:
            with self._pace.used():
                for group in self._groups():
                    await self._relieve(xaction, group, evictable)

        return self._registry.start(LRU, uuid, work, bck=only)

    async def watch(self) -> None:
        """Start it by itself above the high watermark; a while later again when there was nothing to evict."""
        last: Xaction | None = None
        while True:
            fullest = await asyncio.to_thread(self._fullest_pct)
            if fullest >= self._marks().highwm and self._evictable((), False) and not self._is_futile(last):
                with contextlib.suppress(AisError):
                    last = self.start(new_id(self._rng))
            pause_s = float(self._rules().capacity_upd_time)
            await self._clock.sleep(pause_s if fullest < self._marks().lowwm else min(LOOK_S, pause_s))

    def _is_futile(self, last: Xaction | None) -> bool:
        if any(self._registry.select(kind=LRU, only_running=True)):
            return True
        if last is None or last.objects:
            return False
        return self._clock.now_ns() - last.ended_ns < AGAIN_S * 1e9

    def _fullest_pct(self) -> float:
        fullest = 0.0
        for mountpath in self._volume.available:
            with contextlib.suppress(AisError):  # one that is gone is not full
                fullest = max(fullest, mountpath.capacity().used_pct)
        return fullest

    def _groups(self) -> list[list[Mountpath]]:
        """Mountpaths by file system: what goes on one makes room on all of it."""
        groups: dict[str, list[Mountpath]] = {}
        for mountpath in self._volume.available:
            groups.setdefault(mountpath.file_system.device or mountpath.path, []).append(mountpath)
        return list(groups.values())

    async def _relieve(self, xaction: Xaction, group: list[Mountpath], evictable: list[Evictable]) -> None:
        """Bring one file system below the low watermark, as far as it goes."""
        excess, last = await asyncio.to_thread(self._excess_bytes, group[0]), _NOTHING
        while excess > 0:
            oldest = await self._oldest(xaction, group, evictable, last)
            if not oldest:
                self._log.warning("nothing is left to evict", mountpath=group[0].path, missing_bytes=excess)
                return
            last = oldest[-1]
            for one in oldest:
                started_s = self._clock.monotonic()
                try:
                    await self._evict(one.bck, one.name)
                except AisError as error:
                    self._log.info("object stays", object=one.bck.cname(one.name), reason=str(error))
                    continue
                excess -= one.size
                xaction.objects += 1
                xaction.bytes += one.size
                if excess <= 0:
                    return
                await self._pace.rest(self._clock.monotonic() - started_s)

    def _excess_bytes(self, mountpath: Mountpath) -> int:
        """What has to go; 0 below the high watermark. Raise `DiskFailure`."""
        marks, capacity = self._marks(), mountpath.capacity()
        if capacity.used_pct < marks.highwm:
            return 0
        usable = capacity.used_bytes + capacity.avail_bytes
        return max(0, int(capacity.used_bytes - usable * marks.lowwm / 100))

    async def _oldest(
        self, xaction: Xaction, group: list[Mountpath], evictable: list[Evictable], last: _Cached
    ) -> list[_Cached]:
        """The objects unused for longest after `last`, `lru.batch_size` of them at most."""
        loop, limit = asyncio.get_running_loop(), max(1, self._rules().batch_size)
        newest_first: list[tuple[int, _Cached]] = []
        for mountpath, bucket in itertools.product(group, evictable):
            found = self._cached(mountpath, bucket)
            while True:
                started_s = self._clock.monotonic()
                step = await loop.run_in_executor(mountpath.pool, _take, found)
                if not step:
                    break
                xaction.visit(len(step))
                _keep_oldest(newest_first, (one for one in step if one is not None and one > last), limit)
                await self._pace.rest(self._clock.monotonic() - started_s)
        return sorted(one for _, one in newest_first)

    def _cached(self, mountpath: Mountpath, bucket: Evictable) -> Iterator[_Cached | None]:
        """What a bucket has on a mountpath; None for what stays. Blocks. Raise `DiskFailure`."""
        root = f"{layout.bucket_path(mountpath.path, bucket.bck)}/{layout.OBJECTS}"
        for name in self._joggers.walk(mountpath, bucket.bck):
            with disk_failures(root):
                yield self._look(f"{root}/{names.to_path(name)}", bucket, name)

    def _look(self, path: str, bucket: Evictable, name: str) -> _Cached | None:
        found = tree.find(self._disk, path)
        if found is None:
            return None
        used_ns = max(found[1].st_atime_ns, found[1].st_mtime_ns)
        if used_ns >= bucket.before_ns or not is_cached(read_meta(self._disk, found[0]), bucket.origin):
            return None
        return _Cached(used_ns, bucket.bck.uname + name, found[1].st_size, bucket.bck, name)


def _take(found: Iterator[_Cached | None]) -> list[_Cached | None]:
    return list(itertools.islice(found, _STEP))


def is_cached(meta: ObjectMeta | None, origin: Origin | None) -> bool:
    """Whether an object came from there or went there: one from before its bucket was linked did not.

    Nor did one from an earlier link: who wrote it again meanwhile, wrote it here alone.
    """
    if meta is None or origin is None:
        return False
    return meta.custom.get(SOURCE) == origin.provider and meta.facts.get(LINK, "") == origin.link


def _keep_oldest(newest_first: list[tuple[int, _Cached]], found: Iterable[_Cached], limit: int) -> None:
    """Add to a heap whose first is the newest; beyond the limit that one goes."""
    for one in found:
        if len(newest_first) < limit:
            heapq.heappush(newest_first, (-one.used_ns, one))
        else:
            heapq.heappushpop(newest_first, (-one.used_ns, one))
