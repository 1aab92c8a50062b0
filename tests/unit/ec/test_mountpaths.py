"""Mountpaths with slices that come, go and return: what was deleted or replaced meanwhile stays so."""

import asyncio
import io
import os
from pathlib import Path

import pytest
from harness.coded import BODIES, EC, LARGE, Group, fill, run
from harness.target import LiveTarget, until

from ais.api.xact import EC_ENCODE, RESILVER
from ais.fs.mountpath import Mountpath
from ais.fs.record import State

ALONE = {**EC, "protection": {"slices_only": True}}


def holder(group: Group, name: str) -> tuple[LiveTarget, Mountpath]:
    """A target besides the owner that has a slice of an object, and on which mountpath."""
    owner, paths = group.owner(name), group.slices(name)
    return next(
        (one, mountpath)
        for one in group.targets
        for mountpath in one.volume.available
        if one is not owner and any(path.startswith(f"{mountpath.path}/") for path in paths)
    )


async def resilvered(target: LiveTarget) -> None:
    """Wait until the volume is settled, and what follows has ended."""
    registry = target.target.registry
    await until(lambda: not target.volume.view.is_unsettled)
    await until(lambda: not any(one.kind in (RESILVER, EC_ENCODE) for one in registry.select(only_running=True)))


@pytest.mark.parametrize("name", ["small", "large"])
def test_a_returning_mountpath_brings_no_slices_back(tmp_path: Path, name: str) -> None:
    """Deleted while a slice was out of reach: the slice goes before anybody can restore the object from it."""

    async def scenario(group: Group) -> None:
        await group.create(EC)
        await fill(group)
        owner, (other, mountpath) = group.owner(name), holder(group, name)
        await asyncio.to_thread(other.volume.disable, mountpath.path)
        assert (await owner.ask("DELETE", name)).status == 200
        await asyncio.to_thread(other.volume.enable, mountpath.path)
        await resilvered(other)
        await group.settled()
        assert (await owner.ask("GET", name)).status == 404
        assert group.slices(name) == group.files(name) == []

    run(tmp_path, 4, scenario)


def test_slices_that_were_replaced_do_not_hide_what_replaced_them(tmp_path: Path) -> None:
    """Of an object kept as slices alone, all of whose targets had a mountpath out of use while it was overwritten."""

    async def scenario(group: Group) -> None:
        await group.create(ALONE)
        await fill(group)
        owner = group.owner("large")
        gone = [
            (one, mountpath)
            for one in group.targets
            for mountpath in one.volume.available
            if os.path.isfile(f"{mountpath.path}/@ais/b/%ec/large")
        ]
        for other, mountpath in gone:
            if other is not owner:
                await asyncio.to_thread(other.volume.disable, mountpath.path)
        assert (await owner.ask("PUT", "large", data=io.BytesIO(LARGE[::-1]))).status == 200
        for other, mountpath in gone:
            if other is not owner:
                await asyncio.to_thread(other.volume.enable, mountpath.path)
        answer = await owner.ask("GET", "large")
        assert (answer.status, answer.body == LARGE[::-1]) == (200, True)

    run(tmp_path, 4, scenario)


def test_the_newer_slice_stays_when_its_mountpath_leaves(tmp_path: Path) -> None:
    """Written after a mountpath was attached, whose place was another one before: drained, nothing older comes back."""

    async def scenario(group: Group) -> None:
        await group.create(ALONE)
        await fill(group)
        names = list(BODIES)
        for index, one in enumerate(group.targets):
            (tmp_path / f"t{index}" / "mp3").mkdir()
            await asyncio.to_thread(one.volume.attach, str(tmp_path / f"t{index}" / "mp3"))
            await resilvered(one)
        for name in names:
            assert (await group.owner(name).ask("PUT", name, data=io.BytesIO(LARGE[::-1]))).status == 200
        await group.settled()
        for index, one in enumerate(group.targets):
            await asyncio.to_thread(one.volume.drain, str(tmp_path / f"t{index}" / "mp3"), State.DETACHED)
        for one in group.targets:
            await until(lambda one=one: len(one.volume.available) == 2)
        for name in names:
            answer = await group.owner(name).ask("GET", name)
            assert (name, answer.status, answer.body == LARGE[::-1]) == (name, 200, True)

    run(tmp_path, 4, scenario)


def test_what_was_on_a_lost_disk_is_not_said_to_be_missing(tmp_path: Path) -> None:
    """Who has the only other copy is away, or does not answer: nobody knows, until he is back."""

    async def scenario(group: Group) -> None:
        await group.create({"ec": {"enabled": True, "data_slices": 1, "parity_slices": 1}})
        await fill(group)
        owner, (other, _) = group.owner("small"), holder(group, "small")
        (path,) = group.files("small")
        lost = next(one for one in owner.volume.available if path.startswith(f"{one.path}/"))
        group.away(other)
        await asyncio.to_thread(owner.volume.detach, lost.path)
        await until(lambda: not owner.volume.view.is_unsettled)
        assert (await owner.ask("GET", "small")).status == 503
        group.away()
        assert (await owner.ask("GET", "small")).body == b"a small object"

    run(tmp_path, 4, scenario)
