"""Jobs rest between the pieces of a large file, where no client waits for what they hold."""

import asyncio
import io
import itertools
import os
import random
import threading
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from harness.coded import EC, Group
from harness.moving import follow, owner_of, rebalanced
from harness.target import BCK, LiveTarget, serving, until

from ais.api.bucket import Bck
from ais.api.xact import MOVE_BUCKET, RESILVER, SCRUB, ArgsMsg
from ais.core.workfile import COPY_BYTES
from ais.env.clock import SystemClock
from ais.env.disk import Disk, start_writing
from ais.fs.locks import stripe_of
from ais.fs.record import State
from ais.meta.bmd import apply_props
from ais.xact import pace
from ais.xact.pace import Pace

PIECES = 5
BODY = random.Random(1).randbytes(PIECES * COPY_BYTES)
MIRRORED = {"mirror": {"enabled": True, "copies": 2}}
PATIENCE_S = 10.0


class Rests(SystemClock):
    """Counts those within steps, which are over at once, and outside. `wrong`: where threads held what a client may
    wait for.
    """

    def __init__(self, target: LiveTarget, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = self.outside = 0
        self.wrong: list[str] = []
        key = target.target._store.spot(BCK, "o").key
        self._locks = [one.stripes._threads[stripe_of(key)] for one in target.volume.available]
        self.pace: Pace = target.target._pace
        monkeypatch.setattr(self.pace, "_requests", itertools.count().__next__)
        monkeypatch.setattr(self.pace, "_clock", self)
        monkeypatch.setattr(pace, "_REST_S_MIN", 0.0)
        monkeypatch.setattr(pace, "time", SimpleNamespace(sleep=self.sleep_in_thread))

    async def sleep(self, _seconds: float) -> None:
        """On the event loop."""
        self.count += pace.is_at_work()
        self.outside += not pace.is_at_work()
        await asyncio.sleep(0)

    def sleep_in_thread(self, _seconds: float) -> None:
        """Instead of `time.sleep`."""
        self.count += 1
        name = threading.current_thread().name
        if not name.startswith(("jobs ", "scrub")):
            self.wrong.append(name)
        for lock in self._locks:
            if not lock.acquire(timeout=PATIENCE_S):
                self.wrong.append(f"{name} has the lock")
            else:
                lock.release()
        time.sleep(0)


async def drained(target: LiveTarget) -> None:
    """The mountpath that has the object leaves."""
    path = target.volume.place(BCK.uname + "o").path
    await asyncio.to_thread(target.volume.drain, path, State.DISABLED)
    await until(lambda: path in target.volume.disabled)
    (job,) = target.target.registry.select(kind=RESILVER)
    assert job.error == ""


async def copied(target: LiveTarget) -> None:
    """The bucket is mirrored from now on."""
    props = apply_props(target.node.bmd.require(BCK).props, MIRRORED, 1)
    await target.take(target.node.bmd.with_props(BCK, props))
    await target.target._mirror.make_copies(BCK, "makeJOB01").wait()


async def scrubbed(target: LiveTarget) -> None:
    """All is read from the disk."""
    await target.target._scrub.start(ArgsMsg(id="scrubJOB1", kind=SCRUB, bck=BCK)).wait()


@pytest.mark.parametrize("versions", [1, 2])
@pytest.mark.parametrize("job", [drained, copied, scrubbed])
def test_a_job_rests_between_the_pieces_of_a_large_object(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, job: Callable[[LiveTarget], Awaitable[None]], versions: int
) -> None:
    """While clients ask: of what it copies or reads of the object, and of a version that is kept; without its lock, in
    a thread that is the jobs' own."""

    async def scenario() -> None:
        async with serving(tmp_path) as (target,):
            await target.create()
            if versions > 1:
                props = target.node.bmd.require(BCK).props.with_s3(versioning="Enabled")
                await target.take(target.node.bmd.with_props(BCK, props))
            for _ in range(versions):
                assert (await target.ask("PUT", "o", data=io.BytesIO(BODY))).status == 200
            rests = Rests(target, monkeypatch)
            with rests.pace.used():
                await job(target)
            assert rests.count >= versions * (PIECES - 1)
            assert rests.wrong == []
            assert (await target.ask("GET", "o")).body == BODY

    asyncio.run(scenario())


@pytest.mark.parametrize(("job", "rests_each"), [(drained, 1), (copied, 2), (scrubbed, 2)])
def test_a_job_rests_between_small_objects(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, job: Callable[[LiveTarget], Awaitable[None]], rests_each: int
) -> None:
    """After each that it looked at, besides after what it read or copied of it."""

    async def scenario() -> None:
        async with serving(tmp_path) as (target,):
            await target.create()
            names = ["o", *(f"o{number}" for number in range(40))]
            for name in names:
                assert (await target.ask("PUT", name, data=b"small")).status == 200
            rests = Rests(target, monkeypatch)
            with rests.pace.used():
                await job(target)
            assert rests.count >= rests_each * len(names)
            assert rests.wrong == []

    asyncio.run(scenario())


def test_a_renamed_bucket_has_its_large_objects_copied_piece_by_piece(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that belongs on another mountpath by its new name, while clients ask."""

    async def scenario() -> None:
        async with serving(tmp_path) as (target,):
            await target.create()
            other = next(
                bck
                for bck in map(Bck, map("renamed{}".format, itertools.count()))
                if target.volume.place(bck.uname + "o") is not target.volume.place(BCK.uname + "o")
            )
            assert (await target.ask("PUT", "o", data=io.BytesIO(BODY))).status == 200
            rests = Rests(target, monkeypatch)
            await target.begin_rename(BCK, other, frozenset([target.node.snode.id]))
            args = ArgsMsg(id="renRENren1", kind=MOVE_BUCKET, bck=BCK, bck_to=other.uname)
            with rests.pace.used():
                await target.target._jobs.start(args).wait()
            assert rests.count >= PIECES - 1
            assert rests.wrong == []
            assert (await target.ask("GET", "o", bucket=other.name)).body == BODY

    asyncio.run(scenario())


class Begun(Disk):
    """Counts how often it was to begin with a file before it had to have all of it."""

    def __init__(self) -> None:
        self.counts: list[int] = []
        self._begun = Counter[int]()

    def start_writing(self, fd: int, offset: int, size: int) -> None:  # type: ignore[override]
        """Count it."""
        self._begun[fd] += 1
        start_writing(fd, offset, size)

    def fsync(self, fd: int) -> None:  # type: ignore[override]
        """As of now."""
        self.counts.append(self._begun.pop(fd, 0))
        os.fsync(fd)


@pytest.mark.parametrize("is_given", [False, True])
def test_the_disk_has_begun_with_a_large_object_before_its_lock_is_taken(tmp_path: Path, is_given: bool) -> None:
    """With each piece, when it gets another owner or is copied: the rest of it is synced under the lock."""

    async def scenario() -> None:
        disk = Begun()
        async with serving(tmp_path, 2, disk) as targets:
            for one in targets:
                await one.create(BCK, {"protection": {"ack": "synced"}})
            stays, leaves = targets
            name, copy = (next(_names_of(targets, leaves, prefix)) for prefix in "oc")
            assert (await leaves.ask("PUT", name, data=io.BytesIO(BODY))).status == 200
            disk.counts.clear()
            if is_given:
                follow(targets, leaves)
                await rebalanced(targets)
                assert (await stays.ask("GET", name)).body == BODY
            else:
                store, rules = leaves.target._store, leaves.target._front.views.require(BCK).rules
                await asyncio.to_thread(store.copy, BCK, name, BCK, copy, rules)
            assert max(disk.counts) >= PIECES

    asyncio.run(scenario())


def test_who_gives_small_objects_and_who_takes_them_rest_between_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After each that is read, written, named, synced, let go of: clients wait for a core that is kept for all."""

    async def scenario() -> None:
        async with serving(tmp_path, 2) as targets:
            stays, leaves, names = await _small_ones(targets)
            rests = [Rests(one, monkeypatch) for one in targets]
            with rests[0].pace.used(), rests[1].pace.used():
                follow(targets, leaves)
                await rebalanced(targets)
            assert rests[-1].count >= 5 * len(names)
            assert rests[-1].wrong == []
            assert [(await stays.ask("GET", name)).body for name in names] == [b"small"] * len(names)

    asyncio.run(scenario())


def test_nobody_rests_with_small_objects_of_which_a_client_waits_for_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is on its way with others, and the client asks who owns it now."""

    async def scenario() -> None:
        async with serving(tmp_path, 2) as targets:
            stays, leaves, names = await _small_ones(targets, on_one_mountpath=True)
            key, rests = BCK.uname + names[-1], [Rests(one, monkeypatch) for one in targets]
            has_begun, may_go_on, rest = threading.Event(), threading.Event(), rests[-1].sleep_in_thread

            def rest_until_told(seconds: float) -> None:
                has_begun.set()
                assert may_go_on.wait(PATIENCE_S)
                rest(seconds)

            monkeypatch.setattr(pace, "time", SimpleNamespace(sleep=rest_until_told))
            with rests[0].pace.used(), rests[1].pace.used():
                follow(targets, leaves)
                job = asyncio.create_task(rebalanced(targets))
                await until(has_begun.is_set)
                asked = asyncio.create_task(stays.ask("HEAD", names[-1]))
                await until(lambda: leaves.target._moves._locks.is_wanted(key))
                assert rests[-1].count == 0
                may_go_on.set()
                assert (await asked).status == 200
                assert rests[-1].count == 1
                await job

    asyncio.run(scenario())


async def _small_ones(
    targets: list[LiveTarget], *, on_one_mountpath: bool = False
) -> tuple[LiveTarget, LiveTarget, list[str]]:
    """The second target is to leave: who stays, who leaves, and the names that it has."""
    stays, leaves = targets
    for one in targets:
        await one.create()
    place = leaves.volume.place
    found = (
        name
        for name in _names_of(targets, leaves, "o")
        if not on_one_mountpath or place(BCK.uname + name) is leaves.volume.available[0]
    )
    names = list(itertools.islice(found, 20))
    for name in names:
        assert (await leaves.ask("PUT", name, data=b"small")).status == 200
    return stays, leaves, names


@pytest.mark.parametrize("versions", [1, 2])
def test_who_takes_an_object_that_a_client_waits_for_does_not_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, versions: int
) -> None:
    """With its versions; beside one that nobody waits for it does."""

    async def scenario() -> None:
        async with serving(tmp_path, 2) as targets:
            stays, leaves = targets
            names = list(itertools.islice(_names_of(targets, leaves, "o"), 2))
            for one in targets:
                await one.create()
                if versions > 1:
                    props = one.node.bmd.require(BCK).props.with_s3(versioning="Enabled")
                    await one.take(one.node.bmd.with_props(BCK, props))
            for name in names * versions:
                assert (await leaves.ask("PUT", name, data=io.BytesIO(BODY))).status == 200
            rests = Rests(stays, monkeypatch)
            with rests.pace.used():
                follow(targets, leaves)
                assert (await stays.ask("GET", names[0])).body == BODY
                assert rests.outside == 0
                await rebalanced(targets)
                assert rests.outside >= PIECES

    asyncio.run(scenario())


def _names_of(targets: list[LiveTarget], owner: LiveTarget, prefix: str) -> Iterator[str]:
    return (name for name in map(f"{prefix}{{}}".format, itertools.count()) if owner_of(targets, name) is owner)


@pytest.mark.parametrize("is_lost", [False, True])
@pytest.mark.parametrize("is_alone", [False, True])
def test_the_slices_of_a_large_object_are_made_and_used_piece_by_piece(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_alone: bool, is_lost: bool
) -> None:
    """While clients ask, its owner rests in between: when it has the slices made that are missing, or when it makes the
    lost object of them."""

    async def scenario() -> None:
        async with serving(tmp_path, 4) as targets:
            group = Group(targets)
            await group.create({**EC, **({"protection": {"slices_only": True}} if is_alone else {})})
            owner = group.owner("o")
            assert (await owner.ask("PUT", "o", data=io.BytesIO(BODY))).status == 200
            await group.settled()
            rests = Rests(owner, monkeypatch)
            for path in group.files("o") if is_lost else group.slices("o")[:1]:
                Path(path).unlink()
            with rests.pace.used():
                await owner.target._ec.encode_bucket(BCK, "codeJOB01").wait()
                for one in targets:
                    await one.target._ec.encode_bucket(BCK, "codeJOB02").wait()
                await group.settled()
            assert len(group.files("o")) == 1
            assert len(group.slices("o")) == 3
            assert rests.count > 1 or (is_lost and is_alone)  # of that only an empty file was lost
            assert rests.wrong == []
            assert (await owner.ask("GET", "o")).body == BODY

    asyncio.run(scenario())
