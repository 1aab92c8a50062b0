"""What is deleted stays so, whoever was away meanwhile and whoever goes next; what is written again counts."""

import asyncio
import dataclasses
import errno
import io
import os
from pathlib import Path
from typing import Any

import msgspec
import pytest
from harness.coded import BCK, BODIES, EC, LARGE, Group, check_deleted, delete_when_sent, fill, run
from harness.target import LiveTarget, until

from ais.api.xact import CLEANUP, METADATA_ONLY, SCRUB, ArgsMsg
from ais.base.ids import new_id
from ais.base.units import Duration
from ais.ec import jobs
from ais.env.disk import Disk
from ais.meta.smap import Flag

REPLICA = {"ec": {"enabled": True, "data_slices": 1, "parity_slices": 1}}
ALONE = {**EC, "protection": {"slices_only": True}}


def holder_of(group: Group, name: str) -> LiveTarget:
    """The first target with a slice of an object."""
    path = group.slices(name)[0]
    return next(one for one in group.targets if any(path.startswith(f"{mp.path}/") for mp in one.volume.available))


def out_of_service(group: Group, *gone: LiveTarget) -> None:
    """These targets are in maintenance, the others in service."""
    smap = group.targets[0].node.smap
    tmap = {
        one.node.snode.id: msgspec.structs.replace(
            one.node.snode,
            flags=int(Flag.MAINTENANCE | Flag.MAINTENANCE_POST_REBALANCE) if one in gone else 0,
        )
        for one in group.targets
    }
    for one in group.targets:
        one.node.smap = msgspec.structs.replace(smap, tmap=tmap)


async def encoded(group: Group, *only: LiveTarget) -> None:
    """Everybody, or some, have gone through the bucket."""
    for one in only or group.targets:
        await one.target._ec.encode_bucket(BCK, new_id(one.node.env.rng)).wait()
        await group.settled()


async def cleaned(group: Group) -> None:
    """Everybody has removed what is of no use, however young."""
    for one in group.targets:
        service = one.target._scrub
        space = msgspec.structs.replace(one.node.config.cluster.space, dont_cleanup_time=Duration(0))
        service.cleanup._settings = lambda space=space: space
        uuid = new_id(one.node.env.rng)
        await service.start_cleanup(ArgsMsg(id=uuid, kind=CLEANUP, bck=BCK)).wait()
        await group.settled()


async def check_gone(group: Group, name: str) -> None:
    """Nobody has anything of it, after all have looked at what they have and forgotten what is of no use."""
    await encoded(group)
    await cleaned(group)
    await encoded(group)
    assert (await group.owner(name).ask("GET", name)).status == 404
    assert group.files(name) == group.slices(name) == []


@pytest.mark.parametrize("patch", [EC, REPLICA, ALONE])
@pytest.mark.parametrize("name", ["small", "large"])
def test_a_target_that_was_away_brings_nothing_back(tmp_path: Path, patch: dict[str, Any], name: str) -> None:
    """Cleanup runs as soon as it is back, before anybody has looked at what it has."""

    async def scenario(group: Group) -> None:
        await group.create(patch)
        await fill(group)
        owner, away = group.owner(name), holder_of(group, name)
        if away is owner:
            away = next(one for one in group.targets if one is not owner)
        group.away(away)
        assert (await owner.ask("DELETE", name)).status == 200
        await group.settled()
        group.away()
        await cleaned(group)
        await check_gone(group, name)

    run(tmp_path, 4, scenario)


@pytest.mark.parametrize("patch", [EC, REPLICA, ALONE])
@pytest.mark.parametrize("name", ["small", "large"])
def test_a_target_that_was_away_brings_nothing_back_to_full_disks(
    tmp_path: Path, patch: dict[str, Any], name: str
) -> None:
    """Deleting is what one does when they are full: there is room to note it."""

    async def scenario(group: Group) -> None:
        await group.create(patch)
        await fill(group)
        owner, away = group.owner(name), holder_of(group, name)
        if away is owner:
            away = next(one for one in group.targets if one is not owner)
        group.away(away)
        limits = [one.volume.limits for one in group.targets]
        for one in group.targets:
            one.volume.limits = dataclasses.replace(one.volume.limits, out_of_space_pct=0.0)
        assert (await owner.ask("DELETE", name)).status == 200
        await group.settled()
        for one, usual in zip(group.targets, limits, strict=True):
            one.volume.limits = usual
        group.away()
        await encoded(group)
        assert (await owner.ask("GET", name)).status == 404
        await check_gone(group, name)

    run(tmp_path, 4, scenario)


def test_a_deletion_that_nobody_can_note_is_refused(tmp_path: Path) -> None:
    """A target that is away has a slice, and no disk of the others takes another file: the object stays, and its slices
    come back."""

    async def scenario(group: Group) -> None:
        disks = [ExhaustedDisk() for _ in group.targets]
        for one, disk in zip(group.targets, disks, strict=True):
            one.target._slices._disk = disk
        await group.create(REPLICA)
        await fill(group)
        owner, away = group.owner("small"), holder_of(group, "small")
        group.away(away)
        for disk in disks:
            disk.is_full = True
        assert (await owner.ask("DELETE", "small")).status == 507
        for disk in disks:
            disk.is_full = False
        await group.settled()
        group.away()
        await encoded(group)
        assert (await owner.ask("GET", "small")).body == BODIES["small"]
        assert (await owner.ask("DELETE", "small")).status == 200
        await check_gone(group, "small")

    run(tmp_path, 4, scenario)


class ExhaustedDisk(Disk):
    """Takes no byte while it is full."""

    is_full = False

    def write(self, fd: int, data: bytes | memoryview) -> int:  # type: ignore[override]
        """See `Disk`."""
        if self.is_full:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return os.write(fd, data)


def test_a_later_deletion_is_noted_where_an_earlier_one_is(tmp_path: Path) -> None:
    """The owner knows of both by itself, also when nobody else does."""

    async def scenario(group: Group) -> None:
        await group.create(REPLICA)
        await fill(group)
        owner, away = group.owner("small"), holder_of(group, "small")
        group.away(away)
        assert (await owner.ask("DELETE", "small")).status == 200
        await group.settled()
        noted = owner.target._slices.head(BCK, "small")
        assert noted is not None
        assert noted.is_tombstone
        later = (noted.stamp[0], noted.stamp[1] + 1000)
        await owner.target._slicer.drop(BCK, "small", later, is_delete=True)
        noted = owner.target._slices.head(BCK, "small")
        assert noted is not None
        assert noted.is_tombstone
        assert noted.stamp == later

    run(tmp_path, 4, scenario)


@pytest.mark.parametrize("what", ["target", "mountpath"])
def test_slices_of_before_erasure_coding_was_switched_off_bring_nothing_back(tmp_path: Path, what: str) -> None:
    """A target, or a mountpath of one, with slices is away while it is switched off and on again: what was deleted in
    between nobody noted, and what was written is not what those slices are of."""

    async def scenario(group: Group) -> None:
        await group.create(REPLICA)
        await fill(group)
        owner, away = group.owner("small"), holder_of(group, "small")
        (path,) = group.slices("small")
        mountpath = next(one.path for one in away.volume.available if path.startswith(f"{one.path}/"))
        present = [one for one in group.targets if one is not away or what == "mountpath"]
        if what == "target":
            group.away(away)
        else:
            away.volume.disable(mountpath)
        off = group.changed({"ec": {"enabled": False}}, owner.node.bmd)
        for one in present:
            await one.take(off)
        assert (await owner.ask("DELETE", "small")).status == 200
        on = group.changed(REPLICA, off)
        for one in present:
            await one.take(on)
        assert os.path.isfile(path)
        if what == "target":
            group.away()
            await away.take(on)
        else:
            await asyncio.to_thread(away.volume.enable, mountpath)
        assert not os.path.isfile(path)
        await encoded(group)
        assert (await owner.ask("GET", "large")).body == LARGE
        await check_gone(group, "small")

    run(tmp_path, 4, scenario)


def test_who_has_yet_to_hear_that_erasure_coding_is_on_again_takes_no_slices(tmp_path: Path) -> None:
    """They would go with those of before when it hears of that; who sends them knows that they are missing."""

    async def scenario(group: Group) -> None:
        await group.create(REPLICA)
        await fill(group)
        owner = group.owner("small")
        off = group.changed({"ec": {"enabled": False}}, owner.node.bmd)
        await group.take(off)
        on = group.changed(REPLICA, off)
        await owner.take(on)
        assert (await owner.ask("PUT", "small", data=b"again")).status == 200
        await encoded(group, owner)
        for one in group.targets:
            if one is not owner:
                await one.take(on)
        assert group.slices("small") or owner.target._ec.is_behind(BCK)
        await encoded(group, owner)
        assert len(group.slices("small")) == 1

    run(tmp_path, 4, scenario)


def test_a_rolling_restart_brings_nothing_back(tmp_path: Path) -> None:
    """The next target goes before what the first one missed was told to it: the owner knows by itself."""

    async def scenario(group: Group) -> None:
        await group.create(REPLICA)
        await fill(group)
        owner, first = group.owner("small"), holder_of(group, "small")
        others = [one for one in group.targets if one not in (owner, first)]
        group.away(first)
        assert (await owner.ask("DELETE", "small")).status == 200
        group.away(*others)
        assert (await owner.ask("GET", "small")).status == 404
        await encoded(group, first, owner)
        assert (await owner.ask("GET", "small")).status == 404
        group.away()
        await check_gone(group, "small")

    run(tmp_path, 4, scenario)


@pytest.mark.parametrize("name", ["small", "large"])
def test_a_target_that_was_in_maintenance_brings_nothing_back(tmp_path: Path, name: str) -> None:
    """Its disks have the slices of before; what was deleted meanwhile is neither there nor lost."""

    async def scenario(group: Group) -> None:
        await group.create(EC)
        await fill(group)
        owner, gone = group.owner(name), holder_of(group, name)
        out_of_service(group, gone)
        await encoded(group, *(one for one in group.targets if one is not gone))
        assert (await owner.ask("DELETE", name)).status == 200
        await group.settled()
        out_of_service(group)
        await encoded(group, gone)
        await check_gone(group, name)

    run(tmp_path, 5, scenario)


def test_a_deletion_that_did_not_come_about_leaves_no_note(tmp_path: Path) -> None:
    """A target is away, slices are gone already, and the object stays: it can be restored, also while it is away."""

    async def scenario(group: Group) -> None:
        await group.create(EC)
        await fill(group)
        owner, away = group.owner("large"), next(one for one in group.targets if one is not group.owner("large"))
        group.away(away)
        stamp = owner.target._store.head(BCK, "large").meta.stamp
        await asyncio.to_thread(owner.target._ec.before_change, BCK, "large", stamp, True, False)
        owner.target._ec._changed(BCK, "large")
        await group.settled()
        (path,) = group.files("large")
        os.unlink(path)
        assert (await owner.ask("GET", "large")).body == LARGE

    run(tmp_path, 5, scenario)


@pytest.mark.parametrize("patch", [EC, ALONE])
@pytest.mark.parametrize("flags", [0, METADATA_ONLY])
def test_what_is_deleted_while_a_scrub_has_its_slice_made_stays_deleted(
    tmp_path: Path, patch: dict[str, Any], flags: int
) -> None:
    """The slice that was missing is on its way to another target: its deletion waits for that, and drops it too."""

    async def scenario(group: Group) -> None:
        await group.create(patch)
        await fill(group)
        owner = group.owner("large")
        deletions = delete_when_sent(owner, "large")
        os.unlink(group.slices("large")[-1])
        scrub = owner.target._scrub.start(ArgsMsg(id="scrubJOB1", kind=SCRUB, bck=BCK, flags=flags))
        await check_deleted(group, owner, "large", deletions)
        await scrub.wait()
        await check_gone(group, "large")

    run(tmp_path, 4, scenario)


def test_what_is_deleted_before_its_slices_have_come_stays_deleted_when_its_owner_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its slices take so long that the deletion does not wait; they come, and who would drop them is no more."""

    async def scenario(group: Group) -> None:
        monkeypatch.setattr(jobs, "DROP_TIMEOUT_S", 0.2)
        await group.create(EC)
        owner = group.owner("large")
        slicer, is_deleted = owner.target._ec._slicer, asyncio.Event()
        store = slicer.store

        async def store_late(*args: Any, **kwargs: Any) -> None:
            await is_deleted.wait()
            await store(*args, **kwargs)

        async def drop(*_args: Any, **_kwargs: Any) -> None:
            """Nothing is done any more."""

        monkeypatch.setattr(slicer, "store", store_late)
        assert (await owner.ask("PUT", "large", data=io.BytesIO(LARGE))).status == 200
        await until(lambda: (BCK, "large") in owner.target._ec._sending)
        with monkeypatch.context() as killed:
            killed.setattr(slicer, "drop", drop)
            assert (await owner.ask("DELETE", "large")).status == 200
            is_deleted.set()
            await until(lambda: (BCK, "large") not in owner.target._ec._sending)
            await asyncio.sleep(0.1)
        assert group.slices("large")
        for one in group.targets:
            await one.target._ec._tell_owners(BCK, ["large"])
        await check_gone(group, "large")

    run(tmp_path, 4, scenario)


@pytest.mark.parametrize("patch", [EC, ALONE])
def test_what_is_written_again_is_later_than_its_deletion(tmp_path: Path, patch: dict[str, Any]) -> None:
    """The deleted object had come from a target whose mountpaths had changed more often, so its stamp was ahead."""

    async def scenario(group: Group) -> None:
        await group.create(patch)
        owner = group.owner("large")
        writer = owner.target._store.writer(BCK, "large", owner.target._rules(BCK), after=(99, 1))
        writer.write(b"x" * 5000)
        await asyncio.to_thread(writer.commit)
        await group.settled()
        away = next(one for one in group.targets if one is not owner)
        group.away(away)
        assert (await owner.ask("DELETE", "large")).status == 200
        await group.settled()
        assert (await owner.ask("PUT", "large", data=io.BytesIO(LARGE))).status == 200
        await group.settled()
        assert (await owner.ask("GET", "large")).body == LARGE
        group.away()
        await encoded(group)
        assert len(group.slices("large")) == 3
        for path in group.files("large"):
            os.unlink(path)
        assert (await owner.ask("GET", "large")).body == LARGE

    run(tmp_path, 5, scenario)


def test_a_disk_that_was_not_mounted_brings_nothing_back(tmp_path: Path) -> None:
    """A target is there, and the disk with its copy is not; or that of the owner, who deletes nothing then."""

    async def scenario(group: Group) -> None:
        await group.create(REPLICA)
        await fill(group)
        owner, holder = group.owner("small"), holder_of(group, "small")
        (path,) = group.slices("small")
        disk = next(Path(one.path) for one in holder.volume.available if path.startswith(f"{one.path}/"))
        own = Path(owner.volume.available[0].path)
        for one, status in ((own, 503), (disk, 200)):
            one.rename(f"{one}.unplugged")
            one.mkdir()
            assert (await owner.ask("DELETE", "small")).status == status
            await group.settled()
            one.rmdir()
            Path(f"{one}.unplugged").rename(one)
            assert (await owner.ask("GET", "small")).status == (404 if status == 200 else 200)
            await group.settled()
        await check_gone(group, "small")

    run(tmp_path, 4, scenario)
