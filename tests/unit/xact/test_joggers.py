"""Going through the mountpaths of a target, and the pace at which that happens."""

import asyncio
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from harness.target import until

from ais.api.bucket import Bck
from ais.base.errors import BadRequest, Busy
from ais.core.relocate import Relocator
from ais.core.store import Store
from ais.core.workfile import WriteRules
from ais.env import Env
from ais.fs import layout
from ais.fs.moved import KEPT_MAX
from ais.fs.volume import Volume
from ais.xact import pace
from ais.xact.joggers import Batch, Joggers
from ais.xact.pace import Pace, decide, p99
from ais.xact.xaction import Xaction

BCK = Bck("b")
NAMES = [f"o{index:03}" for index in range(50)]


@pytest.fixture
def volume(tmp_path: Path) -> Volume:
    """Two mountpaths with fifty objects."""
    for name in ("mp1", "mp2"):
        (tmp_path / name).mkdir()
    volume = Volume.load_or_create(Env(), [str(tmp_path / "mp1"), str(tmp_path / "mp2")])
    volume.create_bucket(BCK, 1)
    store = Store(volume, Env())
    for name in NAMES:
        store.put(BCK, name, WriteRules(), b"content")
    return volume


def test_every_object_is_visited_once_on_the_mountpath_that_has_it(volume: Volume) -> None:
    """Batches hold each name once, progress counts all, and the total is known."""
    seen: list[tuple[str, str]] = []

    async def visit(batch: Batch) -> None:
        assert batch.bck == BCK
        seen.extend((batch.mountpath.path, name) for name in batch.names)
        await asyncio.sleep(0.01)

    async def scenario() -> Xaction:
        xaction = Xaction("lru", "firstJOB1", 1)
        await Joggers(Env(), Pace(Env().clock, lambda: 0), volume).run(xaction, [BCK], visit, step=8)
        return xaction

    xaction = asyncio.run(scenario())
    assert sorted(name for _, name in seen) == NAMES
    assert all(volume.place(BCK.uname + name).path == path for path, name in seen)
    assert (xaction.visited, xaction.total) == (50, 50)


def test_the_first_failure_ends_the_round_with_its_own_error(volume: Volume) -> None:
    """Whoever waits gets the reason, not a group of exceptions."""

    async def visit(_: Batch) -> None:
        raise BadRequest("no such thing")

    async def scenario() -> None:
        joggers = Joggers(Env(), Pace(Env().clock, lambda: 0), volume)
        with pytest.raises(BadRequest, match="no such thing"):
            await joggers.run(Xaction("lru", "firstJOB1", 1), [BCK], visit)

    asyncio.run(scenario())


def test_names_that_move_while_they_are_read_are_visited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All objects go to a mountpath that was read already, before the one they were on was: none is missed."""
    (tmp_path / "mp1").mkdir()
    (tmp_path / "mp2").mkdir()
    volume = Volume.load_or_create(Env(), [str(tmp_path / "mp1")])
    volume.create_bucket(BCK, 1)
    store, names = Store(volume, Env()), [f"d{index:02}/o" for index in range(20)]
    for name in names:
        store.put(BCK, name, WriteRules(), b"content")
    volume.attach(str(tmp_path / "mp2"))
    joggers, relocator = Joggers(Env(), Pace(Env().clock, lambda: 0), volume), Relocator(store, Env())
    walk, read, seen, moved = joggers.walk, set(), set(), set()

    def noted(mountpath: Any, *args: Any) -> Iterator[str]:
        yield from walk(mountpath, *args)
        read.add(mountpath.path)

    async def visit(batch: Batch) -> None:
        await until(lambda: str(tmp_path / "mp2") in read)
        if not moved:
            moved.update(name for name in names if relocator.bring(BCK, name).was_moved)
        seen.update(batch.names)
        assert not batch.is_late or all(volume.place(BCK.uname + name) is batch.mountpath for name in batch.names)

    monkeypatch.setattr(joggers, "walk", noted)
    asyncio.run(joggers.run(Xaction("lru", "firstJOB1", 1), [BCK], visit, step=1, is_counted=False))
    assert len(moved) > 3
    assert seen == set(names)


def test_a_round_that_lost_track_of_what_moved_says_so(volume: Volume) -> None:
    """More names have moved at once than are remembered: the job does not end well."""

    async def visit(_: Batch) -> None:
        for index in range(KEPT_MAX + 1):
            volume.moved.note(layout.bucket_path("", BCK), f"m{index}")

    async def scenario() -> None:
        joggers = Joggers(Env(), Pace(Env().clock, lambda: 0), volume)
        with pytest.raises(Busy, match="wait for the resilver"):
            await joggers.run(Xaction("lru", "firstJOB1", 1), [BCK], visit, step=100)

    asyncio.run(scenario())


def test_steps_rest_longer_while_clients_wait_and_less_when_they_do_not() -> None:
    """The p99 with and without the steps decides; rest has an upper bound and returns to none."""
    rest = 0.0
    for _ in range(100):
        before, rest = rest, decide(rest, busy_p99_s=0.02, idle_p99_s=0.002)
        assert rest > before or rest == pace.REST_MAX
    assert rest == pace.REST_MAX
    for _ in range(100):
        rest = decide(rest, busy_p99_s=0.003, idle_p99_s=0.002)
    assert rest == 0.0
    assert p99(deque(range(1, 201))) == 199


def test_without_clients_nothing_rests() -> None:
    """A target nobody asks does its jobs at full speed, and the probe ends with the last job."""

    async def scenario() -> None:
        shared = Pace(Env().clock, lambda: 0)
        shared.rest_factor = 7.0
        with shared.used():
            for _ in range(200):
                if not shared.rest_factor:
                    break
                await asyncio.sleep(0.05)
            assert shared.rest_factor == 0.0
        assert not [
            task for task in asyncio.all_tasks() if task.get_name() == "pace of xactions" and not task.cancelling()
        ]

    asyncio.run(scenario())
