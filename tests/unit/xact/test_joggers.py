"""Going through the mountpaths of a target, and the pace at which that happens."""

import asyncio
import random
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from harness.at_once import put_at_once
from harness.target import until
from msgspec import UNSET

from ais.api.bucket import Bck
from ais.base.errors import BadRequest, NotReady
from ais.core.relocate import Relocator
from ais.core.store import Store
from ais.core.workfile import WriteRules, at_once
from ais.env import Env
from ais.env.clock import SystemClock
from ais.fs import layout
from ais.fs.moved import KEPT_MAX
from ais.fs.volume import Volume
from ais.xact import joggers as joggers_module
from ais.xact import pace
from ais.xact.joggers import Batch, Joggers
from ais.xact.pace import Judge, Pace, quantile
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
        put_at_once(store, BCK, name, WriteRules(), b"content")
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


def test_what_a_mountpath_brings_that_comes_meanwhile_is_visited(volume: Volume, tmp_path: Path) -> None:
    """It was out of use, with what it has: a job that had begun before ends when it has seen that, too."""
    away = volume.available[1]
    volume.disable(away.path)
    seen: set[str] = set()

    async def visit(batch: Batch) -> None:
        seen.update(batch.names)
        if away.path in volume.disabled:
            await asyncio.to_thread(volume.enable, away.path)

    async def scenario() -> None:
        joggers = Joggers(Env(), Pace(Env().clock, lambda: 0), volume)
        await joggers.run(Xaction("lru", "firstJOB1", 1), [BCK], visit)

    asyncio.run(scenario())
    assert sorted(seen) == NAMES


@pytest.mark.parametrize("is_whole", [True, False])
def test_a_mountpath_that_is_not_there_is_not_taken_for_empty(volume: Volume, tmp_path: Path, is_whole: bool) -> None:
    """Its disk is unmounted, or a bucket on it is gone: whoever goes through the bucket has not seen all, and fails."""
    seen: list[str] = []

    async def visit(batch: Batch) -> None:
        seen.extend(batch.names)

    gone = tmp_path / "mp2" if is_whole else tmp_path / "mp2" / "@ais" / "b"
    away = tmp_path / "away"
    gone.rename(away)
    if is_whole:
        gone.mkdir()
    joggers = Joggers(Env(), Pace(Env().clock, lambda: 0), volume)
    with pytest.raises(NotReady, match="mp2"):
        asyncio.run(joggers.run(Xaction("lru", "firstJOB1", 1), [BCK], visit))
    assert len(seen) < len(NAMES)
    if not is_whole:
        volume.trash_bucket(BCK)
        asyncio.run(joggers.run(Xaction("lru", "secondJOB", 1), [BCK], visit))  # destroyed: nothing is missing


def test_names_that_move_while_they_are_read_are_visited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All objects go to a mountpath that was read already, before the one they were on was: none is missed."""
    (tmp_path / "mp1").mkdir()
    (tmp_path / "mp2").mkdir()
    volume = Volume.load_or_create(Env(), [str(tmp_path / "mp1")])
    volume.create_bucket(BCK, 1)
    store, names = Store(volume, Env()), [f"d{index:02}/o" for index in range(20)]
    for name in names:
        put_at_once(store, BCK, name, WriteRules(), b"content")
    volume.attach(str(tmp_path / "mp2"))
    joggers, relocator = Joggers(Env(), Pace(Env().clock, lambda: 0), volume), Relocator(store, Env(), at_once)
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


@pytest.mark.parametrize("is_slow", [False, True])
def test_a_round_that_lost_track_of_what_moved_begins_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_slow: bool
) -> None:
    """More names move at once, or wait, than are remembered, all to a mountpath that was read already: none is missed,
    those before where a job of an earlier life went on neither, and progress is not at its end before."""
    for name in ("mp1", "mp2"):
        (tmp_path / name).mkdir()
    volume = Volume.load_or_create(Env(), [str(tmp_path / "mp1")])
    volume.create_bucket(BCK, 1)
    store, names = Store(volume, Env()), [f"d{index:02}/o" for index in range(60)]
    for name in names:
        put_at_once(store, BCK, name, WriteRules(), b"content")
    volume.attach(str(tmp_path / "mp2"))
    joggers, relocator = Joggers(Env(), Pace(Env().clock, lambda: 0), volume), Relocator(store, Env(), at_once)
    xaction, seen, repeated, moved = Xaction("lru", "firstJOB1", 1), [], [], set()
    if is_slow:
        monkeypatch.setattr(joggers_module, "LATE_MAX", 3)
    walk, read = joggers.walk, set()

    def noted(mountpath: Any, *args: Any) -> Iterator[str]:
        yield from walk(mountpath, *args)
        read.add(mountpath.path)

    async def visit(batch: Batch) -> None:
        await until(lambda: str(tmp_path / "mp2") in read)
        if not moved:
            moved.update(name for name in names if relocator.bring(BCK, name).was_moved)
            for index in range(0 if is_slow else KEPT_MAX + 1):
                volume.moved.note(layout.bucket_path("", BCK), f"m{index}")
        (repeated if batch.is_late else seen).extend(batch.names)
        if batch.is_late:
            progress = xaction.snap().progress
            assert progress is UNSET or progress.done < progress.total

    monkeypatch.setattr(joggers, "walk", noted)
    after = {str(tmp_path / "mp2"): names[-1]}
    asyncio.run(joggers.run(xaction, [BCK], visit, step=2, after=after))
    assert len(moved) > 3
    assert len(seen) < len(names)
    assert sorted(repeated) == names


def test_steps_rest_longer_while_clients_wait_and_less_when_they_do_not() -> None:
    """How late the loop is with and without the steps decides; rest has an upper bound and returns to none."""
    rest, judge, idle_s = 0.0, Judge(), [0.002] * 200
    for _ in range(100):
        before, rest = rest, judge.decide(rest, [0.001] * 78 + [0.02] * 2, idle_s)
        assert rest > before or rest == pace.REST_MAX
    assert rest == pace.REST_MAX
    for _ in range(100):
        rest = judge.decide(rest, [0.003] * 80, idle_s)
    assert rest == 0.0
    assert quantile(deque(range(1, 201)), 0.99) == 199


def test_steps_do_not_rest_for_what_is_rare_without_them_too() -> None:
    """One wake-up in four hundred is ten times as late as others, whatever the steps do: they go on as fast."""
    rng, judge, rests, idle_s = random.Random(1), Judge(), [0.0], deque[float](maxlen=400)

    def lateness_s() -> float:
        return rng.expovariate(1000) + 0.02 * (rng.random() < 0.0025)

    for _ in range(2000):
        idle_s.extend(lateness_s() for _ in range(4))
        rests.append(judge.decide(rests[-1], [lateness_s() for _ in range(80)], idle_s))
    assert sum(1 / (1 + rest) for rest in rests) / len(rests) > 0.9


def test_jobs_go_evenly_beside_what_other_programs_do() -> None:
    """Some of a hundred wake-ups are late without steps too, a step makes more of them so: no half minute goes at less
    than a sixth of the full speed, and where the steps do nothing none at less than four fifths, once what is usual is
    known.
    """

    def speeds(delayed_by_steps: float) -> list[float]:
        rng, judge, rests, idle_s = random.Random(1), Judge(), [0.0], deque[float](maxlen=1600)

        def lateness_s(share: float) -> float:
            delays = 0.02 * (rng.random() < 0.02) + 0.1 * (rng.random() < share)
            return rng.expovariate(1000) + delays

        for period in range(1200):
            if period % pace.HOLD_EVERY == 0:
                idle_s.extend(lateness_s(0) for _ in range(25))
            busy_s = [lateness_s(delayed_by_steps / (1 + rests[-1])) for _ in range(70)]
            rests.append(judge.decide(rests[-1], busy_s, idle_s))
        return [sum(1 / (1 + rest) for rest in rests[at : at + 60]) / 60 for at in range(120, 1200, 60)]

    assert min(speeds(0)) > 0.8
    assert min(speeds(0.1)) > 1 / 6


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


def test_steps_of_other_nodes_rest_too_and_are_measured_for_a_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody says when they begin and end: after the last one the probe ends by itself, or when the target stops."""
    monkeypatch.setattr(pace, "LINGER_S", 0.02)

    def probes() -> list[str]:
        running = [one for one in asyncio.all_tasks() if not one.cancelling()]
        return [one.get_name() for one in running if one.get_name() == "pace of xactions"]

    async def scenario() -> None:
        clock = SteppedClock()
        shared = Pace(clock, lambda: 0)
        await shared.rest_between(0.5)
        assert clock.slept_s == [0.5 * pace.REST_AT_FIRST]
        await shared.rest_between(0.5)
        assert probes() == ["pace of xactions"]
        await until(lambda: not probes())
        monkeypatch.setattr(pace, "LINGER_S", 3600)
        await shared.rest_between(0.0)
        shared.close()
        assert probes() == []

    asyncio.run(scenario())


def test_a_step_rests_once_for_all_that_it_worked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Between its pieces, in a thread or not, and in the end for what is left; what was rested is no work."""

    async def scenario() -> None:
        clock, shared = resting(monkeypatch)

        def work() -> None:
            for seconds in shared.pieces(iter((1, 3))):
                clock.now_s += seconds

        async with shared.step():
            await asyncio.to_thread(work)
            async for seconds in shared.each((4,), lambda: False):
                clock.now_s += seconds
            clock.now_s += 5
        assert clock.slept_s == [2, 6, 8, 10]

    asyncio.run(scenario())


def test_what_is_too_short_for_a_rest_goes_with_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small files among many: pieces of a file are within one of the files, and are rested for once."""

    async def scenario() -> None:
        clock, shared = resting(monkeypatch)

        def work(seconds: float) -> None:
            for _ in shared.pieces(iter(range(4))):
                for _ in shared.pieces(iter(range(2))):
                    clock.now_s += seconds

        async with shared.step():
            await asyncio.to_thread(work, pace._REST_S_MIN / 8)
        assert clock.slept_s == [pytest.approx(2 * 3 * pace._REST_S_MIN / 4)]
        clock.slept_s.clear()
        async with shared.step():
            await asyncio.to_thread(work, 1)
        assert clock.slept_s == pytest.approx([2.0] * 8)

    asyncio.run(scenario())


def test_nothing_rests_where_somebody_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Outside of any step, and between pieces of what is awaited; nor for a step that is over: its job may be too."""

    async def scenario() -> None:
        clock, shared = resting(monkeypatch)

        async def work(*, is_awaited: bool) -> None:
            for seconds in shared.pieces(iter((1, 3)), lambda: is_awaited):
                clock.now_s += seconds
            async for seconds in shared.each((1, 3), lambda: is_awaited):
                clock.now_s += seconds

        await work(is_awaited=False)
        assert clock.slept_s == []
        async with shared.step():
            await work(is_awaited=True)
            late = asyncio.create_task(work(is_awaited=False))
        assert clock.slept_s == [16]
        await late
        assert clock.slept_s == [16]

    asyncio.run(scenario())


class SteppedClock(SystemClock):
    """Sleeps for no time, and remembers for how long."""

    def __init__(self) -> None:
        self.slept_s: list[float] = []

    async def sleep(self, seconds: float) -> None:
        """Let the others go on."""
        self.slept_s.append(seconds)
        await asyncio.sleep(0)


class MadeUpClock(SystemClock):
    """Goes on only when it is told to, or by sleep, and remembers that."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.slept_s: list[float] = []

    def monotonic(self) -> float:
        """What it was told."""
        return self.now_s

    def sleep_in_thread(self, seconds: float) -> None:
        """Instead of `time.sleep`."""
        self.slept_s.append(seconds)
        self.now_s += seconds

    async def sleep(self, seconds: float) -> None:
        """At once."""
        self.sleep_in_thread(seconds)


def resting(monkeypatch: pytest.MonkeyPatch) -> tuple[MadeUpClock, Pace]:
    """A pace by which steps rest twice as long as they take, and its clock, in threads too."""
    clock = MadeUpClock()
    monkeypatch.setattr(pace, "time", SimpleNamespace(sleep=clock.sleep_in_thread))
    shared = Pace(clock, lambda: 0)
    shared.rest_factor = 2.0
    return clock, shared
