"""Targets leave that have slices of objects which are kept as slices alone: not before these have them elsewhere."""

import asyncio
import os
from pathlib import Path
from typing import Any

import msgspec
from harness import loop
from harness.coded import BCK, Group, run
from harness.recording import Recorder
from harness.target import LiveTarget, serving, until

from ais.api.xact import ArgsMsg
from ais.base.ids import new_id
from ais.ec import slice as slices
from ais.meta.smap import Flag
from ais.reb import plan

ALONE = {
    "ec": {"enabled": True, "data_slices": 2, "parity_slices": 1, "objsize_limit": 0},
    "protection": {"slices_only": True},
}
BODY = os.urandom(300_000)


def leave(group: Group, *leaving: LiveTarget) -> str:
    """The next map, in which these targets give what they have; the ID of the rebalance."""
    before = group.targets[0].node.smap
    gone = {one.node.snode.id for one in leaving}
    tmap = {
        node_id: msgspec.structs.replace(snode, flags=int(Flag.DECOMMISSION) if node_id in gone else 0)
        for node_id, snode in before.tmap.items()
    }
    after = msgspec.structs.replace(before, tmap=tmap, version=before.version + 1)
    after = plan.follow(before, after, has_data=True)
    for one in group.targets:
        one.node.smap = after
        one.target.follow_map(after)
    assert after.moving
    return after.moving.id


def end(group: Group, *gone: LiveTarget) -> None:
    """The rebalance is over: these targets are not in the map any more."""
    smap = group.targets[0].node.smap
    ids = {one.node.snode.id for one in gone}
    tmap = {node_id: snode for node_id, snode in smap.tmap.items() if node_id not in ids}
    smap = msgspec.structs.replace(smap, tmap=tmap, moving=msgspec.UNSET, version=smap.version + 1)
    for one in group.targets:
        one.node.smap = smap
        one.target.follow_map(smap)


def _custom_of(path: str) -> dict[str, str]:
    return slices.decode(Path(path).read_bytes())[0].meta.custom


async def given_by(target: LiveTarget, moving_id: str) -> None:
    """Ask as the primary does, until a round of the job found nothing that has to stay."""
    async with asyncio.timeout(60):
        while True:
            job = target.target._scrub._rebalance.start(ArgsMsg(id=moving_id))
            await job.wait()
            if not job.error:
                return


def test_targets_leave_when_their_slices_are_elsewhere(tmp_path: Path) -> None:
    """More than P at once: every object is read all the time, and when they are gone."""

    async def scenario(group: Group) -> None:
        await group.create(ALONE)
        names = [f"o{number}" for number in range(12)]
        for name in names:
            assert (await group.owner(name).ask("PUT", name, data=BODY)).status == 200
        await group.settled()
        leaving = group.targets[:2]
        moving_id = leave(group, *leaving)
        for name in names:
            assert (await group.owner(name).ask("GET", name)).body == BODY
        for one in (*group.targets[2:], *leaving):
            await given_by(one, moving_id)
        end(group, *leaving)
        for name in names:
            assert (await group.owner(name).ask("GET", name)).body == BODY
        await group.settled()
        staying = [f"{mountpath.path}/" for one in group.targets[2:] for mountpath in one.volume.available]
        for name in names:
            assert len([path for path in group.slices(name) if path.startswith(tuple(staying))]) == 3

    run(tmp_path, 5, scenario)


def test_what_was_replaced_or_deleted_keeps_nobody(tmp_path: Path) -> None:
    """A target was told nothing of it, and leaves at once."""

    async def scenario(group: Group) -> None:
        await group.create(ALONE)
        for name in ("deleted", "replaced"):
            assert (await group.owner(name).ask("PUT", name, data=BODY)).status == 200
        await group.settled()
        leaving = next(one for one in group.targets if one not in (group.owner("deleted"), group.owner("replaced")))
        group.away(leaving)
        assert (await group.owner("deleted").ask("DELETE", "deleted")).status == 200
        assert (await group.owner("replaced").ask("PUT", "replaced", data=b"other" * 1000)).status == 200
        await group.settled()
        group.away()
        await given_by(leaving, leave(group, leaving))

    run(tmp_path, 5, scenario)


def test_what_is_being_written_while_targets_leave_has_its_slices_elsewhere(tmp_path: Path) -> None:
    """They were stored on those that leave, which have looked through all they have before the object is there."""

    async def scenario(group: Group) -> None:
        await group.create(ALONE)
        owner = group.targets[0]
        name = next(name for name in map(str, range(99)) if group.owner(name) is owner)
        slicer, moving = owner.target._ec._slicer, []
        prepare = slicer.prepare

        def prepare_and_leave(*args: Any, **kwargs: Any) -> Any:
            prepared = prepare(*args, **kwargs)
            if not moving:
                gone = [one for one in group.targets if one is not owner and one.node.snode in prepared.nodes]

                async def let_leave() -> None:
                    moving.append(leave(group, *gone))
                    for one in gone:
                        await given_by(one, moving[0])

                asyncio.run_coroutine_threadsafe(let_leave(), loop).result()
                leaving.extend(gone)
            return prepared

        loop, leaving = asyncio.get_running_loop(), list[LiveTarget]()
        slicer.prepare = prepare_and_leave  # type: ignore[method-assign]
        assert (await owner.ask("PUT", name, data=BODY)).status == 200
        assert len(leaving) == 2
        end(group, *leaving)
        assert (await owner.ask("GET", name)).body == BODY

    run(tmp_path, 5, scenario)


def test_who_has_to_stay_says_for_which_objects(tmp_path: Path) -> None:
    """Where too few targets would be left for the slices of an object, a name is told, not only how many."""

    async def scenario(group: Group) -> None:
        await group.create(ALONE)
        assert (await group.owner("o").ask("PUT", "o", data=BODY)).status == 200
        await group.settled()
        leaving = [one for one in group.targets if one is not group.owner("o")]
        moving_id = leave(group, *leaving)
        job = leaving[0].target._scrub._rebalance.start(ArgsMsg(id=moving_id))
        await job.wait()
        assert job.error == "1 objects do not have all their slices on targets that stay yet, such as ais://b/o"
        assert (await group.owner("o").ask("GET", "o")).body == BODY

    run(tmp_path, 3, scenario)


def test_what_is_made_for_a_target_that_leaves_is_on_the_disk(tmp_path: Path) -> None:
    """Its slices may have been on its disks for long: they do not go for some in the page cache of others. Nor do all
    slices of an object when their bucket has it whole again."""

    async def scenario() -> None:
        disk = Recorder()
        async with serving(tmp_path, 4, disk) as targets:
            group = Group(targets)
            await group.create(ALONE)
            names = [f"d{number}/o" for number in range(6)]
            for name in names:
                assert (await group.owner(name).ask("PUT", name, data=BODY)).status == 200
            await until(lambda: all(len(group.slices(name)) == 3 for name in names))
            disk.dirty.clear()
            change = {"action": "set-custom", "value": {"k": "v"}}
            assert (await group.owner(names[0]).ask("PATCH", names[0], json=change)).status == 200
            described = group.slices(names[0])
            await until(lambda: all(_custom_of(one) == {"k": "v"} for one in described))
            assert disk.dirty & set(described) == set()
            moving_id = leave(group, targets[0])
            for one in (*targets[1:], targets[0]):
                await given_by(one, moving_id)
            end(group, targets[0])
            made = {path for name in names for path in group.slices(name)}
            assert disk.dirty & (made | {os.path.dirname(path) for path in made}) == set()
            disk.dirty.clear()
            await group.change({"protection": {"slices_only": False}})
            for one in targets[1:]:
                job = one.target._ec.encode_bucket(BCK, new_id(one.node.env.rng))
                await job.wait()
            whole = {path for name in names for path in group.files(name)}
            assert len(whole) == len(names)
            assert all(os.path.getsize(path) == len(BODY) for path in whole)
            assert disk.dirty & (whole | {os.path.dirname(path) for path in whole}) == set()

    loop.run(scenario())
