"""Jobs that follow writes: nothing that was noted is forgotten, and the mark says so as long as anything is left."""

import asyncio
import random
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from harness.target import until

from ais.api.bucket import Bck
from ais.env import Env
from ais.env.disk import Disk
from ais.fs.volume import Volume
from ais.xact import following
from ais.xact.following import Follower, Queue
from ais.xact.mark import Mark
from ais.xact.registry import Registry
from ais.xact.xaction import Xaction

BCK = Bck("b")
MARK = ".ais.unfinished"


class Bench:
    """A follower on one mountpath. `work` is done with each name."""

    def __init__(self, root: Path, disk: Disk | None = None) -> None:
        (root / "mp").mkdir()
        self.path = root / "mp" / MARK
        env = Env(disk=disk or Disk())
        self.volume = Volume.load_or_create(env, [str(root / "mp")])
        self.registry = Registry(env.clock)
        self.done: list[str] = []
        self.passes = 0
        self.held = asyncio.Event()
        mark = Mark(self.volume, env.disk, MARK)
        self.follower = Follower(
            self.registry, random.Random(1), mark, "put-copies", lambda _: 100, self.drain, self.settled
        )

    async def drain(self, _xaction: Xaction, queue: Queue) -> None:
        if queue.is_overflowing:
            queue.is_overflowing = False
            self.passes += 1
        while queue.names:
            name = queue.names.popleft()
            await self.held.wait()
            self.done.append(name)

    def settled(self) -> None:
        self.follower.clear_mark([BCK])


def run(scenario: Callable[[], Awaitable[None]]) -> None:
    async def within() -> None:
        async with asyncio.timeout(30):
            await scenario()

    asyncio.run(within())


@pytest.mark.parametrize("is_begun", [True, False])
def test_what_a_job_leaves_that_is_aborted_is_gone_through(tmp_path: Path, is_begun: bool) -> None:
    """It is stopped with names that wait, or before its first step: the bucket is behind, the mark stays, and the next
    write has somebody go through the bucket."""

    async def scenario() -> None:
        bench = Bench(tmp_path)
        bench.follower.start()
        bench.follower.note(BCK, "first")
        await until(lambda: any(bench.registry.select()))
        (job,) = bench.registry.select()
        if is_begun:
            bench.follower.note(BCK, "second")
            await until(lambda: bench.follower.pending(BCK) == 2)
        bench.registry.abort(job, "stopped by hand")
        await job.wait()
        bench.held.set()
        assert bench.follower.is_behind(BCK)
        bench.settled()
        assert bench.path.exists()
        bench.follower.note(BCK, "third")
        await until(lambda: bench.done == ["third"] and not bench.path.exists())
        assert bench.passes == 1
        assert not bench.follower.is_behind(BCK)

    run(scenario)


def test_a_pass_that_fails_leaves_its_bucket_behind(tmp_path: Path) -> None:
    """Until somebody has gone through all of it; a bucket that is gone needs nothing."""

    async def scenario() -> None:
        bench = Bench(tmp_path)
        bench.follower.start()
        bench.follower.set_mark()
        with pytest.raises(OSError, match="broken"), bench.follower.going_through(BCK):
            raise OSError("broken")
        bench.settled()
        assert bench.path.exists()
        with bench.follower.going_through(BCK):
            pass
        bench.settled()
        assert not bench.path.exists()
        bench.follower.set_mark()
        bench.follower.behind.add(Bck("gone"))
        bench.settled()
        assert not bench.path.exists()

    run(scenario)


def test_a_change_that_leaves_nothing_to_do_leaves_no_mark(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A write that made its copies itself starts no job: the mark goes a while later, and a restart does nothing."""
    monkeypatch.setattr(following, "IDLE_S", 0.01)

    async def scenario() -> None:
        bench = Bench(tmp_path)
        bench.follower.start()
        for _ in range(2):
            with bench.follower.changing():
                assert bench.path.exists()
            await until(lambda: not bench.path.exists())
        assert not list(bench.registry.select())

    run(scenario)


def test_what_is_noted_while_the_mark_is_cleared_has_one(tmp_path: Path) -> None:
    """A reader notes an object, without a change around it, in the moment between the last look and the removal."""
    noting: list[threading.Thread] = []
    benches: list[Bench] = []

    class Slow(Disk):
        def unlink(self, path: str) -> None:
            if path.endswith(MARK) and not noting:
                noting.append(threading.Thread(target=benches[0].follower.note, args=(BCK, "o")))
                noting[0].start()
                noting[0].join(0.1)  # it waits for us, or is through
            super().unlink(path)

    async def scenario() -> None:
        bench = Bench(tmp_path, Slow())
        benches.append(bench)
        bench.follower.start()
        bench.follower.set_mark()
        bench.settled()
        await asyncio.to_thread(noting[0].join)
        assert bench.path.exists()

    run(scenario)
