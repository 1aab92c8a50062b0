"""What is evicted where a file system runs full: the longest unused that a backend has, down to the low watermark."""

import asyncio
import os
import random
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from ais.api.bucket import Bck
from ais.backend.interface import SOURCE
from ais.base.errors import Conflict
from ais.config.sections import LRU, Space
from ais.core.store import Store
from ais.core.workfile import WriteRules
from ais.env import Env
from ais.env.clock import SystemClock
from ais.env.disk import Disk
from ais.fs.volume import Volume
from ais.space.eviction import Evictable, Eviction, Origin
from ais.xact.joggers import Joggers
from ais.xact.pace import Pace
from ais.xact.registry import Registry

BCK = Bck("b", "aws")
SIZE = 1000
OLD_NS = 1_700_000_000_000_000_000


class SmallDisk(Disk):
    """A file system of a hundred thousand bytes, filled by the objects on it."""

    root = ""

    def statvfs(self, path: object) -> os.statvfs_result:  # type: ignore[override]
        used = sum(one.stat().st_size for one in Path(self.root).glob("**/%ob/**/*") if one.is_file())
        free = 100 * SIZE - used
        return os.statvfs_result((1, 1, 100 * SIZE, free, free, 1000, 1000, 1000, 0, 255))


class Enough(Exception):
    """The clock was looked at often enough."""


class JumpingClock(SystemClock):
    """Long sleeps are over at once; after so many of them it is enough."""

    def __init__(self, looks: int) -> None:
        self._looks, self._jumped_s = looks, 0.0

    def now_ns(self) -> int:
        return time.time_ns() + int(self._jumped_s * 1e9)

    async def sleep(self, delay_s: float) -> None:
        if delay_s < 1:
            await asyncio.sleep(0)
            return
        self._jumped_s += delay_s
        self._looks -= 1
        if self._looks < 0:
            raise Enough
        await asyncio.sleep(0.05)


class Bench:
    """A target's store, and the job."""

    def __init__(self, root: Path, count: int, batch_size: int = 7) -> None:
        disk = SmallDisk()
        disk.root = str(root)
        self.env = Env(disk=disk, rng=random.Random(1))
        (root / "mp").mkdir()
        self.volume = Volume.load_or_create(self.env, [str(root / "mp")])
        self.volume.create_bucket(BCK, 1)
        self.store = Store(self.volume, self.env)
        self.root, self.batch_size = root, batch_size
        for number in range(count):
            self.put(f"d/{number:02}", OLD_NS + number)
        self.busy: set[str] = set()

    def put(self, name: str, used_ns: int, source: str = "aws") -> None:
        writer = self.store.writer(BCK, name, WriteRules(), custom={SOURCE: source} if source else {})
        writer.write(bytes(SIZE))
        writer.commit()
        os.utime(self.root / "mp/@aws/b/%ob" / name, ns=(used_ns, used_ns))

    def names(self) -> list[str]:
        root = self.root / "mp/@aws/b/%ob"
        return sorted(str(one.relative_to(root)) for one in root.glob("**/*") if one.is_file())

    async def evict(self, bck: Bck, name: str) -> None:
        if name in self.busy:
            raise Conflict("busy")
        self.store.delete(bck, name)

    def run(self, before_ns: int = OLD_NS + 1000) -> SimpleNamespace:
        """The job, to its end."""

        async def scenario() -> SimpleNamespace:
            registry = Registry(self.env.clock)
            volume = Volume.load_or_create(self.env, [str(self.root / "mp")])  # another one: capacities are remembered
            pace = Pace(self.env.clock, lambda: 0)
            eviction = Eviction(
                registry,
                Joggers(self.env, pace, self.volume),
                pace,
                volume,
                self.env,
                lambda: Space(cleanupwm=20, lowwm=40, highwm=60, out_of_space=90),
                lambda: LRU(batch_size=self.batch_size),
                lambda _named, _force: [Evictable(BCK, Origin("aws"), before_ns)],
                self.evict,
            )
            xaction = eviction.start("lruLRUlru1")
            await xaction.wait()
            return SimpleNamespace(objects=xaction.objects, bytes=xaction.bytes, error=xaction.error)

        return asyncio.run(scenario())


def test_the_longest_unused_go_down_to_the_low_watermark(tmp_path: Path) -> None:
    """Seventy percent are used, forty remain: the oldest thirty went, several batches of them."""
    bench = Bench(tmp_path, 70)
    assert bench.run() == SimpleNamespace(objects=30, bytes=30 * SIZE, error="")
    assert bench.names() == [f"d/{number:02}" for number in range(30, 70)]


def test_nothing_goes_below_the_high_watermark(tmp_path: Path) -> None:
    """Fifty-nine percent are fine."""
    bench = Bench(tmp_path, 59)
    assert bench.run().objects == 0


def test_what_was_used_lately_stays(tmp_path: Path) -> None:
    """Even when the low watermark is not reached then."""
    bench = Bench(tmp_path, 70)
    assert bench.run(before_ns=OLD_NS + 10).objects == 10
    assert len(bench.names()) == 60


@pytest.mark.parametrize("source", ["", "gcp"])
def test_what_the_backend_may_not_have_stays(tmp_path: Path, source: str) -> None:
    """An object that was here before its bucket was linked, or that came from another backend."""
    bench = Bench(tmp_path, 65)
    for number in range(5):
        bench.put(f"own/{number}", OLD_NS - 1, source)
    assert bench.run().objects == 30
    assert [name for name in bench.names() if name.startswith("own/")] == [f"own/{number}" for number in range(5)]


def test_what_cannot_go_is_passed_over(tmp_path: Path) -> None:
    """An object in use: others go in its place; when none is left the job ends."""
    bench = Bench(tmp_path, 70)
    bench.busy = {f"d/{number:02}" for number in range(0, 70, 2)}
    assert bench.run().objects == 30
    assert not bench.busy - set(bench.names())


def test_it_begins_by_itself_and_not_in_vain_again_and_again(tmp_path: Path) -> None:
    """Above the high watermark at the start; when nothing can go, not at every look."""
    bench = Bench(tmp_path, 70)
    bench.busy = {f"d/{number:02}" for number in range(70)}
    clock = JumpingClock(looks=30)

    async def scenario() -> int:
        registry = Registry(clock)
        pace = Pace(clock, lambda: 0)
        env = Env(disk=bench.env.disk, rng=random.Random(1), clock=clock)
        volume = Volume.load_or_create(env, [str(tmp_path / "mp")])
        marks, evictable = (
            Space(cleanupwm=20, lowwm=40, highwm=60, out_of_space=90),
            [Evictable(BCK, Origin("aws"), OLD_NS * 2)],
        )
        eviction = Eviction(
            registry, Joggers(env, pace, volume), pace, volume, env,
            lambda: marks, LRU, lambda _named, _force: evictable, bench.evict,
        )  # fmt: skip
        with pytest.raises(Enough):
            await eviction.watch()
        return sum(1 for _ in registry.select(kind="lru"))

    assert asyncio.run(scenario()) == 1
