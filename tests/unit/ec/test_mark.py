"""The mark that says after a crash that objects may lack copies or slices."""

import asyncio
import io
from pathlib import Path
from typing import Any

import pytest
from harness.coded import BCK, EC, LARGE, Group, run
from harness.target import until

from ais.ec import jobs as jobs_of_ec
from ais.ec.jobs import MARK
from ais.env import Env
from ais.env.disk import Disk
from ais.fs.volume import Volume
from ais.xact.mark import Mark


@pytest.mark.parametrize("patch", [EC, {"mirror": {"enabled": True, "copies": 2}}])
def test_a_mark_is_there_before_an_object_is(tmp_path: Path, patch: dict[str, Any]) -> None:
    """Whenever a target is killed, the next process knows that an object may lack copies or slices."""
    seen: list[bool] = []
    roots: list[Path] = []
    really = Disk.rename

    def rename(*args: Any) -> None:
        if "/%ob/" in str(args[-1]):
            seen.append(any((root / mark).exists() for root in roots for mark in (".ais.uncoded", ".ais.uncopied")))
        really(*args)

    async def scenario(group: Group) -> None:
        await group.create(patch)
        owner = group.owner("o")
        roots.extend(Path(one.path) for one in owner.volume.available)
        for _ in range(2):
            assert (await owner.ask("PUT", "o", data=b"content")).status == 200
            await until(lambda: not any(list(root.glob(".ais.unco*")) for root in roots))
        assert seen
        assert all(seen)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Disk, "rename", rename)
        run(tmp_path, 4, scenario)


class NextBoot(Disk):
    """The disk after the machine was off."""

    boot_id = staticmethod(lambda: "the next boot")


def test_a_mark_may_have_gone_with_the_power(tmp_path: Path) -> None:
    """It was on one disk, what was synced and lacks copies is on another: both are looked through before it is said
    that nothing is left."""
    paths = [tmp_path / "mp1", tmp_path / "mp2"]
    for path in paths:
        path.mkdir()
    for disk, is_left in ((Disk(), False), (NextBoot(), True)):
        volume = Volume.load_or_create(Env(disk=disk), list(map(str, paths)))
        mark = Mark(volume, disk, ".ais.some")
        assert mark.was_left() == is_left
        for one in volume.available:
            one.settle_loss()
        assert not mark.was_left()
        volume.close()


def test_a_mark_does_not_go_with_a_mountpath(tmp_path: Path) -> None:
    """Set while work waits; when the mountpath with the file is taken out of use, another one gets it."""

    async def scenario(group: Group) -> None:
        volume = group.targets[0].volume
        mark = Mark(volume, Disk(), ".ais.some")
        mark.set()
        assert mark.was_left()
        first = volume.available[0].path
        await asyncio.to_thread(volume.disable, first)
        mark.set()
        assert mark.was_left()
        await asyncio.to_thread(volume.enable, first)
        mark.set()
        mark.clear()
        assert not mark.was_left()

    run(tmp_path, 1, scenario)


def test_a_pass_that_is_stopped_leaves_its_bucket_to_be_gone_through(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`ec-encode` is aborted on the way, with objects that have no slices: the bucket is behind and the mark stays
    until a pass has come to its end."""
    monkeypatch.setattr(jobs_of_ec, "WATCH_S", 3600.0)  # nobody else begins one

    async def scenario(group: Group) -> None:
        await group.create({})
        owner = group.owner("o")
        assert (await owner.ask("PUT", "o", data=b"content")).status == 200
        jobs, registry = owner.target._ec, owner.target.registry
        bring, began = jobs._bring, asyncio.Event()

        async def never(*_: Any) -> bool:
            began.set()
            await asyncio.Event().wait()
            return True

        jobs._bring = never
        await group.change(EC)
        job = jobs.encode_bucket(BCK, "encENCenc1")
        await began.wait()
        registry.abort(job, "stopped by hand")
        await job.wait()
        jobs._bring = bring
        assert jobs.is_behind(BCK)
        assert any(list(Path(one.path).glob(MARK)) for one in owner.volume.available)
        await jobs.encode_bucket(BCK, "encENCenc2").wait()
        assert len(group.slices("o")) == 1
        assert not jobs.is_behind(BCK)

    run(tmp_path, 4, scenario)


def test_a_target_that_only_hears_of_other_slices_makes_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody starts a job there, as when it was away while D or P changed: it goes through the bucket by itself, and a
    process that is killed before leaves the next one a mark."""
    monkeypatch.setattr(jobs_of_ec, "WATCH_S", 3600.0)  # not before it was looked at

    async def scenario(group: Group) -> None:
        await group.create(EC)
        owner = group.owner("o")
        assert (await owner.ask("PUT", "o", data=b"content" * 1000)).status == 200
        await group.settled()
        assert len(group.slices("o")) == 3
        await until(lambda: not any(Path(one.path, MARK).exists() for one in owner.volume.available))
        await group.change({"ec": {"parity_slices": 2}})
        jobs = owner.target._ec
        assert jobs.is_behind(BCK)
        assert all(Path(one.path, MARK).exists() for one in owner.volume.available)
        monkeypatch.setattr(jobs_of_ec, "WATCH_S", 0.01)
        watching = asyncio.create_task(jobs.watch())
        await until(lambda: len(group.slices("o")) == 4)
        await until(lambda: not jobs.is_behind(BCK))
        watching.cancel()

    run(tmp_path, 5, scenario)


@pytest.mark.parametrize("body", [b"small", LARGE])
def test_a_target_that_has_not_heard_of_a_bucket_is_given_its_slices_later(tmp_path: Path, body: bytes) -> None:
    """What it answers is no proof that the bucket is gone: the object lacks a slice, and that is known."""

    async def scenario(group: Group) -> None:
        await group.create({"ec": {"enabled": True, "data_slices": 1, "parity_slices": 2, "objsize_limit": 0}})
        owner = group.owner("o")
        late = next(one for one in group.targets if one is not owner)
        known = late.node.bmd
        late.target._take(known.without_bucket(BCK))
        assert (await owner.ask("PUT", "o", data=io.BytesIO(body))).status == 200
        await group.settled()
        assert len(group.slices("o")) == 2
        assert owner.target._ec.is_behind(BCK)
        late.target._take(known)
        await owner.target._ec.encode_bucket(BCK, "encodeJOB").wait()
        assert len(group.slices("o")) == 3
        assert not owner.target._ec.is_behind(BCK)

    run(tmp_path, 4, scenario)
