"""Scrub, census and protection of one target, and of several in one process, on real files."""

import asyncio
import dataclasses
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from harness import loop
from harness.coded import LARGE, Group
from harness.target import LiveTarget, serving, until

from ais.api.bucket import Bck
from ais.api.codec import U64
from ais.api.protection import BucketProtection, State
from ais.api.xact import CLEANUP, DRY_RUN, METADATA_ONLY, NO_REPAIR, SCRUB, ArgsMsg
from ais.base.units import Duration
from ais.env.disk import Disk
from ais.meta.bmd import apply_props, inherited_props
from ais.scrub.statements import FILE_NAME, problem_of
from ais.scrub.tally import Tally
from ais.target.mountpaths import OUT_OF_SPACE
from ais.xact.xaction import Xaction

BCK = Bck("b")
MIRRORED = {"mirror": {"enabled": True, "copies": 2}, "protection": {"sync_copies": True}}
CODED = {"ec": {"enabled": True, "data_slices": 2, "parity_slices": 1, "objsize_limit": 1000}}
BODIES = {f"dir/o{index}": f"content of {index}".encode() * (index * 50 + 1) for index in range(30)}


def run(root: Path, scenario: Callable[..., Any], count: int = 1) -> None:
    """Run a scenario on so many targets with two mountpaths each."""

    async def on_all() -> None:
        async with serving(root, count) as targets:
            await scenario(*targets)

    loop.run(on_all())


async def create(targets: tuple[LiveTarget, ...], patch: dict[str, Any]) -> None:
    """The bucket on all of them, with all objects."""
    node = targets[0].node
    props = inherited_props(BCK, node.config.cluster, U64((1 << 63) + node.bmd.version), 1)
    bmd = node.bmd.with_bucket(BCK, apply_props(props, patch, len(targets)))
    for one in targets:
        await one.take(bmd)
    for name, body in BODIES.items():
        assert (await owner(targets, name).ask("PUT", name, data=body)).status == 200


def owner(targets: tuple[LiveTarget, ...], name: str) -> LiveTarget:
    """Who owns an object."""
    return next(one for one in targets if one.target._ec._peers.is_owner(BCK.uname + name))


def files(target: LiveTarget, content: str, name: str = "") -> list[Path]:
    """The files below `content`, of one object or of all."""
    roots = [Path(f"{one.path}/@ais/b/{content}") for one in target.volume.available]
    return [
        path
        for root in roots
        for path in sorted((root / name).rglob("*") if not name else [root / name])
        if path.is_file()
    ]


def flip(path: Path) -> None:
    """Change a bit of a file, and nothing else about it."""
    stat = path.stat()
    with path.open("r+b") as file:
        body = file.read()
        file.seek(len(body) // 2)
        file.write(bytes([body[len(body) // 2] ^ 4]))
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))


async def scrub(target: LiveTarget, uuid: str, flags: int = 0) -> tuple[Xaction, Tally]:
    """Run a scrub to its end; what it says."""
    xaction = target.target._scrub.start(ArgsMsg(id=uuid, kind=SCRUB, bck=BCK, flags=flags))
    await xaction.wait()
    return xaction, target.target._scrub.jobs.statements.all()[BCK.uname][-1].tally


async def protection(target: LiveTarget) -> BucketProtection:
    """What the target says about the bucket."""
    return (await target.target._scrub.protection.answer()).buckets[0]


def test_a_scrub_does_not_end_well_while_a_mountpath_is_disabled(tmp_path: Path) -> None:
    """Its objects are in no count: what was found is stated, and the job says why that is not all."""

    async def scenario(target: LiveTarget) -> None:
        await create((target,), {})
        target.volume.disable(target.volume.available[1].path)
        xaction, tally = await scrub(target, "scrubJOB1")
        assert 0 < tally.objects < len(BODIES)
        assert "is disabled" in xaction.error
        assert (await protection(target)).state is State.SHORT

    run(tmp_path, scenario)


def test_either_copy_of_each_object_is_damaged_or_deleted(tmp_path: Path) -> None:
    """A scrub finds and heals all, keeps the damaged files, and a second one has nothing to do and sees the same."""

    async def scenario(target: LiveTarget) -> None:
        await create((target,), MIRRORED)
        for index, name in enumerate(BODIES):
            (own,), (copy,) = files(target, "%ob", name), files(target, "%cp", name)
            victim = (own, copy)[index % 2]
            if index % 3:
                flip(victim)
            else:
                victim.unlink()
        damaged = sum(bool(index % 3) for index in range(len(BODIES)))
        xaction, tally = await scrub(target, "scrubJOB1")
        assert (xaction.error, tally.objects, tally.promised, tally.found) == ("", 30, 60, 60)
        assert (tally.repaired, tally.damaged, tally.quarantined, tally.lost) == (30, damaged, damaged, 0)
        for name, body in BODIES.items():
            assert [path.read_bytes() for path in files(target, "%ob", name) + files(target, "%cp", name)] == [
                body,
                body,
            ]
        kept = target.target._scrub.quarantine.listing()
        assert len(kept) == damaged
        assert all(
            one.name in BODIES and one.reason and Path(one.path).read_bytes() != BODIES[one.name] for one in kept
        )
        xaction, again = await scrub(target, "scrubJOB2")
        assert (xaction.error, again.repaired, again.damaged, again.digest) == ("", 0, 0, tally.digest)
        assert again.bytes_read == 2 * sum(map(len, BODIES.values()))

    run(tmp_path, scenario)


def test_what_has_no_copy_is_lost_and_said_so(tmp_path: Path) -> None:
    """In a bucket without copies a damaged object stays where it is, is named, and the job does not end well."""

    async def scenario(target: LiveTarget) -> None:
        await create((target,), {})
        flip(files(target, "%ob", "dir/o7")[0])
        xaction, tally = await scrub(target, "scrubJOB1")
        assert (tally.lost, tally.missing, tally.examples) == (1, 1, ["dir/o7"])
        assert "1 lost" in xaction.error
        assert "dir/o7" in xaction.error
        assert len(files(target, "%ob", "dir/o7")) == 1
        found = await protection(target)
        assert (found.state, found.lost) == (State.SHORT, 1)

    run(tmp_path, scenario)


def test_looking_only_changes_nothing(tmp_path: Path) -> None:
    """A scrub that is not to repair finds what is missing, also by metadata alone, and leaves every file as it is."""

    async def scenario(target: LiveTarget) -> None:
        await create((target,), MIRRORED)
        files(target, "%cp", "dir/o1")[0].unlink()
        os.truncate(files(target, "%ob", "dir/o2")[0], 3)
        flip(files(target, "%ob", "dir/o3")[0])
        before = sorted(path for path in target.files() if "/.ais" not in path)
        xaction, tally = await scrub(target, "scrubJOB1", NO_REPAIR | METADATA_ONLY)
        assert (tally.missing, tally.repaired, tally.damaged) == (2, 0, 1)
        assert "2 missing" in xaction.error
        assert (await scrub(target, "scrubJOB2", NO_REPAIR))[1].missing == 3
        assert sorted(path for path in target.files() if "/.ais" not in path) == before

    run(tmp_path, scenario)


@pytest.mark.parametrize("is_alone", [False, True])
def test_slices_are_read_and_made_again(tmp_path: Path, is_alone: bool) -> None:
    """A damaged slice goes to quarantine and is replaced, a missing one is made again, a lost object restored."""

    async def scenario(*targets: LiveTarget) -> None:
        await create(targets, {**CODED, "protection": {"slices_only": is_alone}})

        def slices() -> int:
            return sum(len(files(target, "%ec")) for target in targets)

        expected = sum(3 if len(body) >= 1000 else 1 for body in BODIES.values())
        await until(lambda: slices() == expected)
        holder = max(targets, key=lambda one: len(files(one, "%ec")))
        damaged, missing = files(holder, "%ec")[:2]
        flip(damaged)
        missing.unlink()
        name = next(
            one for one in BODIES if len(BODIES[one]) > 1000 and one not in str(damaged) and one not in str(missing)
        )
        lost = owner(targets, name)
        files(lost, "%ob", name)[0].unlink()
        jobs = await asyncio.gather(*(scrub(target, "scrubJOB1") for target in targets))
        assert [xaction.error for xaction, _ in jobs] == [""] * len(targets)
        assert sum(tally.repaired for _, tally in jobs) >= 3
        assert [Path(one.path).name for one in holder.target._scrub.quarantine.listing()] != []
        assert slices() == expected
        total = Tally()
        for target in targets:
            total.add((await scrub(target, "scrubJOB2"))[1])
        assert (total.objects, total.missing, total.repaired) == (30, 0, 0)
        assert total.promised == 30 + expected
        assert (await lost.ask("GET", name)).body == BODIES[name]

    run(tmp_path, scenario, 4)


def test_a_restart_does_not_begin_anew(tmp_path: Path) -> None:
    """A scrub that was interrupted goes on behind what it had done, under the same ID, and counts everything once."""

    async def first(target: LiveTarget) -> None:
        await create((target,), MIRRORED)
        local = target.target._scrub._rounds._local
        local._rest = lambda _worked_s: time.sleep(0.02)  # a slow disk
        xaction = target.target._scrub.start(ArgsMsg(id="scrubJOB1", kind=SCRUB, bck=BCK))
        await until(lambda: xaction.objects > 0)

    run(tmp_path, first)
    [saved] = tmp_path.rglob(".ais.scrub")
    done = json.loads(saved.read_bytes())["tally"]["objects"]
    assert 0 < done < 30

    async def second(target: LiveTarget) -> None:
        await target.create(BCK, MIRRORED)
        registry = target.target.registry
        await until(lambda: bool((one := registry.get("scrubJOB1")) and one.ended_ns and not one.is_aborted))
        [statement] = target.target._scrub.jobs.statements.all()[BCK.uname]
        assert (statement.tally.objects, statement.tally.promised, statement.tally.found) == (30, 60, 60)
        assert not [*tmp_path.rglob(".ais.scrub")]

    run(tmp_path, second)


def test_a_bucket_whose_objects_move_meanwhile_is_gone_through_again(tmp_path: Path) -> None:
    """What goes to another mountpath during a round may be missed by it, or met twice: only a round without counts."""

    async def scenario(target: LiveTarget) -> None:
        await create((target,), {})
        rounds, passes = target.target._scrub._rounds, []
        run_one = rounds.run

        async def noted(job: Xaction, *args: Any) -> None:
            await run_one(job, *args)
            if job.kind == SCRUB:  # a census makes rounds too
                passes.append(job)
                if len(passes) == 1:
                    target.volume.moved.note("/@ais/b", "dir/new")

        rounds.run = noted
        xaction, tally = await scrub(target, "scrubJOB1")
        assert (len(passes), tally.objects, xaction.objects, xaction.error) == (2, 30, 30, "")

    run(tmp_path, scenario)


def test_statements_cannot_be_changed_unnoticed(tmp_path: Path) -> None:
    """A changed count, and a statement that was taken out, are noticed; a torn line is not read."""

    async def scenario(target: LiveTarget) -> None:
        await create((target,), {})
        for number in range(3):
            await scrub(target, f"scrubJOB{number}")
        statements = target.target._scrub.jobs.statements
        assert problem_of(statements.all()[BCK.uname]) == ""
        paths = [Path(f"{one.path}/{FILE_NAME}") for one in target.volume.available]
        lines = paths[0].read_bytes().splitlines(keepends=True)
        for path in paths:
            path.write_bytes(lines[0] + lines[2])
        assert "predecessor" in problem_of(statements.all()[BCK.uname])
        for path in paths:
            path.write_bytes(lines[0] + lines[1].replace(b'"found":30', b'"found":31') + lines[2] + lines[2][:20])
        assert "not as it was written" in problem_of(statements.all()[BCK.uname])

    run(tmp_path, scenario)


def test_protection_says_ok_only_when_all_is_there(tmp_path: Path) -> None:
    """From the loss of a mountpath to the last copy made again, no answer says ok; before and after it does."""

    async def scenario(target: LiveTarget) -> None:
        await create((target,), MIRRORED)

        async def becomes_ok() -> BucketProtection:
            async with asyncio.timeout(30):
                while (found := await protection(target)).state is not State.OK:  # noqa: ASYNC110 - another task counts
                    await asyncio.sleep(0.01)
            return found

        found = await becomes_ok()  # by a count that may have begun before all were written
        assert (found.promised, found.found, found.missing) == (2 * found.objects, 2 * found.objects, 0)
        victim = target.volume.available[1].path
        for path in sorted(Path(f"{victim}/@ais/b").rglob("*"), reverse=True):
            path.unlink() if path.is_file() else path.rmdir()
        Path(f"{victim}/@ais/b").rmdir()
        assert (await protection(target)).state is State.SHORT
        target.volume.detach(victim)
        assert (await protection(target)).state is not State.OK
        (tmp_path / "mp3").mkdir()
        target.volume.attach(str(tmp_path / "mp3"))

        def whole() -> bool:
            return all(len(files(target, "%ob", one)) == len(files(target, "%cp", one)) == 1 for one in BODIES)

        async with asyncio.timeout(30):
            while not whole():
                found = await protection(target)
                assert found.state is not State.OK or whole()
        found = await becomes_ok()
        assert (found.objects, found.promised, found.found, found.missing) == (30, 60, 60, 0)

    run(tmp_path, scenario)


@pytest.mark.parametrize("name", ["dir/o3", "dir/new"])
def test_objects_in_the_wrong_place_are_told(tmp_path: Path, name: str) -> None:
    """A file on a mountpath that does not own its name is misplaced, whether or not the object is there as well."""

    async def scenario(target: LiveTarget) -> None:
        await create((target,), {})
        await target.ask("PUT", "dir/new", data=b"x")
        [own] = files(target, "%ob", name)
        other = next(one.path for one in target.volume.available if not str(own).startswith(f"{one.path}/"))
        stray = Path(f"{other}/@ais/b/%ob/{name}")
        stray.parent.mkdir(exist_ok=True)
        os.rename(own, stray)
        xaction, tally = await scrub(target, "scrubJOB1")
        assert (tally.misplaced, tally.objects, tally.examples) == (1, 30, [name])
        assert "1 misplaced" in xaction.error

    run(tmp_path, scenario)


def old(path: Path) -> None:
    """Make a file an hour old, as far as that can be told."""
    os.utime(path, (time.time() - 3600,) * 2)


def stray_of(target: LiveTarget, name: str) -> Path:
    """A copy of an object's file, attributes and all, on the mountpath that does not own it."""
    [own] = files(target, "%ob", name)
    other = next(one.path for one in target.volume.available if not str(own).startswith(f"{one.path}/"))
    stray = Path(f"{other}/@ais/b/%ob/{name}")
    stray.parent.mkdir(exist_ok=True)
    stray.write_bytes(own.read_bytes())
    for attribute in os.listxattr(own):
        os.setxattr(stray, attribute, os.getxattr(own, attribute))
    return stray


def test_cleanup_removes_what_something_else_stands_for(tmp_path: Path) -> None:
    """A work file that nobody has open, a stray beside its object and an outdated copy go; the only file of a name
    stays, what is young stays, and a dry run only counts.
    """

    async def scenario(target: LiveTarget) -> None:
        await create((target,), MIRRORED)
        gone = files(target, "%ob", "dir/o2") + files(target, "%cp", "dir/o2")
        beside, only = stray_of(target, "dir/o1"), stray_of(target, "dir/o2")
        for path in gone:
            path.unlink()
        [copy] = files(target, "%cp", "dir/o3")
        os.setxattr(copy, "user.ais.obj", os.getxattr(files(target, "%ob", "dir/o4")[0], "user.ais.obj"))
        work = Path(f"{target.volume.available[0].path}/@ais/b/%wk/forgotten")
        work.write_bytes(b"x" * 10)
        old(work)
        service = target.target._scrub

        async def clean(uuid: str, age_s: float, flags: int = 0) -> Xaction:
            space = msgspec.structs.replace(target.node.config.cluster.space, dont_cleanup_time=Duration(age_s))
            service.cleanup._settings = lambda: space
            xaction = service.start_cleanup(ArgsMsg(id=uuid, kind=CLEANUP, bck=BCK, flags=flags))
            await xaction.wait()
            assert xaction.error == ""
            return xaction

        everything = sorted(target.files())
        assert "misplaced:1 kept:1 copies:1" in (await clean("cleanJOB1", 0, DRY_RUN)).ctlmsg
        assert sorted(target.files()) == everything
        young = await clean("cleanJOB2", 1800)
        assert (young.objects, work.exists(), beside.exists()) == (0, True, True)
        await clean("cleanJOB3", 0)
        assert (work.exists(), beside.exists(), only.exists()) == (False, False, True)
        assert copy.read_bytes() == files(target, "%ob", "dir/o3")[0].read_bytes()
        assert (await target.ask("GET", "dir/o1")).body == BODIES["dir/o1"]

    run(tmp_path, scenario)


def test_cleanup_leaves_versions_that_have_not_been_brought_to_their_place(tmp_path: Path) -> None:
    """What came back with its mountpath lies beside what came on top of it: it is the only file of that version."""

    async def scenario(target: LiveTarget) -> None:
        await create((target,), {})
        props = target.node.bmd.require(BCK).props.with_s3(versioning="Enabled")
        await target.take(target.node.bmd.with_props(BCK, props))
        assert (await target.ask("PUT", "dir/o1", data=b"old")).status == 200
        beside = stray_of(target, "dir/o1")
        assert (await target.ask("PUT", "dir/o1", data=b"new")).status == 200
        service = target.target._scrub
        space = msgspec.structs.replace(target.node.config.cluster.space, dont_cleanup_time=Duration(0))
        service.cleanup._settings = lambda: space
        for uuid, is_version in (("cleanJOB1", True), ("cleanJOB2", False)):
            if not is_version:
                beside.unlink()
                stray_of(target, "dir/o1")
            xaction = service.start_cleanup(ArgsMsg(id=uuid, kind=CLEANUP, bck=BCK))
            await xaction.wait()
            assert (xaction.error, beside.exists()) == ("", is_version)

    run(tmp_path, scenario)


def test_what_does_not_fit_stays_short_until_there_is_room(tmp_path: Path) -> None:
    """While the disks are full a scrub does not end well and protection says short; with room all is made good."""

    async def scenario(target: LiveTarget) -> None:
        await create((target,), MIRRORED)
        files(target, "%cp", "dir/o5")[0].unlink()
        limits = target.volume.limits
        target.volume.limits = dataclasses.replace(limits, out_of_space_pct=0.0)
        assert target.target.state_flags() & OUT_OF_SPACE
        assert (await target.ask("PUT", "new", data=b"x")).status == 507
        xaction, tally = await scrub(target, "scrubJOB1")
        assert (tally.missing, "1 missing" in xaction.error) == (1, True)
        assert (await protection(target)).state is State.SHORT
        target.volume.limits = limits
        xaction, tally = await scrub(target, "scrubJOB2")
        assert (tally.missing, tally.repaired, xaction.error) == (0, 1, "")
        assert (await protection(target)).state is State.OK

    run(tmp_path, scenario)


class OnSecondOpen(Disk):
    """Does something before a file is opened for the second time."""

    def __init__(self) -> None:
        self.path, self.then, self.count = "", lambda: None, 0

    def open(self, path: str, flags: int, mode: int = 0o777) -> int:  # type: ignore[override]
        if path == self.path:
            self.count += 1
            if self.count == 2:
                self.then()
        return os.open(path, flags, mode)


def test_a_slice_that_is_replaced_while_it_is_looked_at_is_not_taken_for_damaged(tmp_path: Path) -> None:
    """The object gets other metadata, and its slices other headers: what was read of the one before is not of it."""

    async def scenario() -> None:
        disk = OnSecondOpen()
        async with serving(tmp_path, 4, disk) as targets:
            group = Group(targets)
            await group.create({**CODED, "protection": {"slices_only": True}})
            owner = group.owner("large")
            assert (await owner.ask("PUT", "large", data=LARGE[:5000])).status == 200
            await group.settled()
            path = group.slices("large")[0]
            holder = next(one for one in targets if any(path.startswith(mp.path) for mp in one.volume.available))
            before, running = os.stat(path).st_ino, asyncio.get_running_loop()

            def change() -> None:
                custom = owner.act("PATCH", "large", "", value={"key": "text" * 450})
                assert asyncio.run_coroutine_threadsafe(custom, running).result().status == 200
                while os.stat(path).st_ino == before:
                    time.sleep(0.01)

            disk.then, disk.path = change, path
            xaction, tally = await scrub(holder, "scrubJOB1")
            assert disk.count > 2
            assert (xaction.error, tally.damaged, tally.quarantined) == ("", 0, 0)
            assert len(group.slices("large")) == 3

    loop.run(scenario())
