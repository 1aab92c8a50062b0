"""Mountpaths that come, go and return: every object in its place, nothing old, nothing deleted, nothing lost."""

import asyncio
import contextlib
import os
import shutil
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from harness import loop
from harness.nodes import files_of
from harness.target import LiveTarget, serving, until

from ais.api import codec
from ais.api.bucket import Bck
from ais.api.xact import MAKE_COPIES, PUT_COPIES, RESILVER, SCRUB, ArgsMsg
from ais.fs.record import State
from ais.fs.volume import Volume
from ais.space import resilver

BCK = Bck("b")
NAMES = [f"dir/o{index}" for index in range(40)]


def run(root: Path, scenario: Callable[[LiveTarget], Any]) -> None:
    """Run a scenario on one target with two mountpaths."""

    async def on_one() -> None:
        async with serving(root) as (target,):
            await scenario(target)

    loop.run(on_one())


async def settled(target: LiveTarget) -> None:
    """Wait until the volume is settled, or as settled as it can be while a mountpath is disabled."""
    registry, job = target.target.registry, target.target._resilver
    await until(lambda: not target.volume.view.is_unsettled or job._settled == target.volume.view.generation)
    await until(lambda: not any(registry.select(kind=MAKE_COPIES, only_running=True)))
    await until(lambda: all(x.snap().is_idle for x in registry.select(kind=PUT_COPIES, only_running=True)))


def misplaced(target: LiveTarget) -> list[str]:
    """Files of objects that do not lie where placement says."""
    found = []
    for mountpath in target.volume.available:
        root = f"{mountpath.path}/@ais/b/%ob"
        for path, _, files in os.walk(root):
            names = [os.path.relpath(f"{path}/{file}", root) for file in files]
            found += [name for name in names if target.volume.place(BCK.uname + name) is not mountpath]
    return found


async def get_all(target: LiveTarget) -> dict[str, bytes | int]:
    """What a GET of each name answers: content, or the status."""
    answers = {name: await target.ask("GET", name) for name in NAMES}
    return {name: answer.body if answer.status == 200 else answer.status for name, answer in answers.items()}


def test_objects_move_to_a_new_mountpath_and_the_volume_settles(tmp_path: Path) -> None:
    """After an attach everything is in its place, byte for byte, versions counted on, and one place is looked at."""

    async def scenario(target: LiveTarget) -> None:
        await target.create(BCK)
        for name in NAMES:
            await target.ask("PUT", name, data=name.encode())
        (tmp_path / "mp3").mkdir()
        await asyncio.to_thread(target.volume.attach, str(tmp_path / "mp3"))
        assert misplaced(target)
        await settled(target)
        assert not target.volume.view.is_unsettled
        assert misplaced(target) == []
        assert await get_all(target) == {name: name.encode() for name in NAMES}
        (snap,) = [x.snap() for x in target.target.registry.select(kind=RESILVER)]
        assert (snap.err, snap.stats.loc_objs > 5) == ("", True)
        assert (await target.ask("PUT", NAMES[0], data=b"new")).headers["Ais-Version"] == "2"

    run(tmp_path, scenario)


def test_a_returning_mountpath_brings_nothing_back(tmp_path: Path) -> None:
    """What was overwritten or deleted while it was detached stays so, although the clock stood still."""

    async def scenario(target: LiveTarget) -> None:
        await target.create(BCK)
        for name in NAMES:
            await target.ask("PUT", name, data=b"old")
        path = target.volume.available[0].path
        was_there = {name for name in NAMES if target.volume.place(BCK.uname + name).path == path}
        await asyncio.to_thread(target.volume.detach, path)
        await settled(target)
        for index, name in enumerate(NAMES):
            if index % 3:
                assert (await target.ask("PUT", name, data=b"new")).status == 200
            if index % 3 == 2:
                assert (await target.ask("DELETE", name)).status == 200
        for mountpath in target.volume.available:
            for directory, _, files in os.walk(f"{mountpath.path}/@ais/b/%ob"):
                for file in files:
                    os.utime(f"{directory}/{file}", (1, 1))
        await asyncio.to_thread(target.volume.attach, path)
        await settled(target)
        assert misplaced(target) == []
        expected = {name: (b"old", b"new", 404)[index % 3] for index, name in enumerate(NAMES)}
        assert await get_all(target) == expected
        assert any(expected[name] == 404 for name in was_there)
        assert not [one for one in target.volume.available if os.path.exists(f"{one.path}/.ais.removed")]

    run(tmp_path, scenario)


@pytest.mark.parametrize("how", ["deleted", "renamed", "replaced by a rename"])
def test_what_was_deleted_before_versions_were_kept_is_none(tmp_path: Path, how: str) -> None:
    """A mountpath was away while objects of a bucket without versions went; written again since these are kept, they
    have that one version when it returns."""

    async def scenario(target: LiveTarget) -> None:
        await target.create(BCK)
        for name in NAMES:
            assert (await target.ask("PUT", name, data=b"old")).status == 200
        path = target.volume.available[0].path
        had = [name for name in NAMES if target.volume.place(BCK.uname + name).path == path]
        await asyncio.to_thread(target.volume.detach, path)
        await settled(target)
        rules = target.target._front.views.require(BCK).rules
        for name in had:
            assert (await target.ask("PUT", name, data=b"later")).status == 200
            if how == "deleted":
                assert (await target.ask("DELETE", name)).status == 200
            elif how == "renamed":
                target.target._store.rename(BCK, name, f"{name}.new", rules)
            else:
                assert (await target.ask("PUT", f"{name}.new", data=b"new")).status == 200
                target.target._store.rename(BCK, f"{name}.new", name, rules)
                assert (await target.ask("DELETE", name)).status == 200
        props = target.node.bmd.require(BCK).props.with_s3(versioning="Enabled")
        await target.take(target.node.bmd.with_props(BCK, props))
        for name in had:
            assert (await target.ask("PUT", name, data=b"new")).status == 200
        await asyncio.to_thread(target.volume.attach, path)
        await settled(target)
        versions = [one[0] for one in await _versions(target)]
        assert [name for name in had if versions.count(name) != 1] == []
        assert len(had) > 5

    run(tmp_path, scenario)


def test_mirrored_objects_survive_a_mountpath_and_get_their_copies_again(tmp_path: Path) -> None:
    """A mountpath is gone for good: everything is read at once, and has two files when another one came."""

    async def scenario(target: LiveTarget) -> None:
        await target.create(BCK, {"mirror": {"enabled": True, "copies": 2}})
        for name in NAMES:
            await target.ask("PUT", name, data=name.encode())
        await settled(target)
        path = target.volume.available[0].path
        await asyncio.to_thread(target.volume.detach, path)
        assert await get_all(target) == {name: name.encode() for name in NAMES}
        assert sorted(await target.names(BCK)) == sorted(NAMES)
        (tmp_path / "mp3").mkdir()
        await asyncio.to_thread(target.volume.attach, str(tmp_path / "mp3"))
        await settled(target)
        assert misplaced(target) == []
        for name in NAMES:
            head = await target.ask("HEAD", name)
            assert head.headers["Ais-Mirror-Copies"] == "2"
            assert (await target.ask("GET", name)).body == name.encode()

    run(tmp_path, scenario)


@pytest.mark.parametrize("keeps_versions", [False, True])
@pytest.mark.parametrize("change", ["", "PATCH", "scrub"])
def test_a_copy_counts_that_is_newer_than_what_a_mountpath_has_brought_back(
    tmp_path: Path, change: str, keeps_versions: bool
) -> None:
    """One was away while everything was written again, and as soon as it is back the one goes that has that: what it
    brought is older than the copies, which nobody replaces by it. Where versions are kept it is one of them."""

    async def scenario(target: LiveTarget) -> None:
        (tmp_path / "mp3").mkdir()
        await asyncio.to_thread(target.volume.attach, str(tmp_path / "mp3"))
        await settled(target)
        await target.create(BCK, {"mirror": {"enabled": True, "copies": 2}})
        if keeps_versions:
            props = target.node.bmd.require(BCK).props.with_s3(versioning="Enabled")
            await target.take(target.node.bmd.with_props(BCK, props))
        for name in NAMES:
            assert (await target.ask("PUT", name, data=b"old")).status == 200
        await settled(target)
        away = target.volume.available[0].path
        had = [name for name in NAMES if target.volume.place(BCK.uname + name).path == away]
        await asyncio.to_thread(target.volume.detach, away)
        await settled(target)
        for name in NAMES:
            assert (await target.ask("PUT", name, data=b"new")).status == 200
        await settled(target)
        target.target._resilver._is_automatic = lambda: False
        await asyncio.to_thread(target.volume.attach, away)
        gone = next(one.path for one in target.volume.available if one.path != away)
        await asyncio.to_thread(target.volume.detach, gone)
        for name in NAMES:
            assert (name, (await target.ask("GET", name)).body) == (name, b"new")
        if change == "PATCH":
            for name in NAMES:
                assert (await target.act("PATCH", name, "", value={"colour": "red"})).status == 200
        if change == "scrub":
            await target.target._scrub.start(ArgsMsg(id="scrubJOB1", kind=SCRUB, bck=BCK)).wait()
        target.target._resilver._is_automatic = lambda: True
        await settled(target)
        assert not target.volume.view.is_unsettled
        assert misplaced(target) == []
        for name in NAMES:
            assert (name, (await target.ask("GET", name)).body) == (name, b"new")
        if keeps_versions:
            versions = [one[0] for one in await _versions(target)]
            assert [name for name in had if versions.count(name) != 2] == []
        assert len(had) > 5

    run(tmp_path, scenario)


def test_kept_versions_move_along(tmp_path: Path) -> None:
    """After an attach every version and delete marker is still there, in order."""

    async def scenario(target: LiveTarget) -> None:
        await target.create(BCK)
        props = target.node.bmd.require(BCK).props.with_s3(versioning="Enabled")
        await target.take(target.node.bmd.with_props(BCK, props))
        for name in NAMES[:10]:
            for number in range(3):
                await target.ask("PUT", name, data=f"{name} {number}".encode())
        await target.ask("DELETE", NAMES[0])
        before = await _versions(target)
        (tmp_path / "mp3").mkdir()
        await asyncio.to_thread(target.volume.attach, str(tmp_path / "mp3"))
        await settled(target)
        assert not target.volume.view.is_unsettled
        assert await _versions(target) == before
        assert (await target.ask("GET", NAMES[1])).body == f"{NAMES[1]} 2".encode()

    run(tmp_path, scenario)


@pytest.mark.parametrize("leaves", [False, True])
@pytest.mark.parametrize("change", ["overwritten", "deleted", "brought back"])
def test_versions_that_change_while_others_move_are_found_afterwards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str, leaves: bool
) -> None:
    """In directories that are not read yet for objects, or for versions, and were for the others: what is replaced or
    deleted goes from one to the other, on a mountpath that has to give it away."""
    names = [f"d{number:03}/o" for number in range(200)]

    async def scenario(target: LiveTarget) -> None:
        await target.create(BCK)
        props = target.node.bmd.require(BCK).props.with_s3(versioning="Enabled")
        await target.take(target.node.bmd.with_props(BCK, props))
        for name in names:
            assert (await target.ask("PUT", name, data=f"first {name}".encode())).status == 200
            if change == "brought back":
                assert (await target.ask("DELETE", name)).status == 200
        store, job, guard = target.target._store, target.target._resilver, threading.Lock()
        bring_all, changed = job._bring_all, list[str]()
        rules = target.target._front.views.require(BCK).rules
        markers = {name: version_id for name, version_id, is_latest in await _versions(target) if is_latest}

        def change_one(name: str) -> None:
            if change == "brought back":
                store.delete_version(BCK, name, markers[name])
            elif change == "deleted":
                store.delete(BCK, name, None, rules)
            else:
                writer = store.writer(BCK, name, rules)
                writer.write(b"second")
                writer.commit()

        def bring_later(*args: Any) -> Any:
            with guard:
                if not changed:
                    time.sleep(0.5)  # the other round comes to its end
                    for name in names:
                        change_one(name)
                    changed.extend(names)
            return bring_all(*args)

        monkeypatch.setattr(job, "_bring_all", bring_later)
        if leaves:
            await asyncio.to_thread(target.volume.drain, target.volume.available[0].path, State.DISABLED)
        else:
            (tmp_path / "mp3").mkdir()
            await asyncio.to_thread(target.volume.attach, str(tmp_path / "mp3"))
        await settled(target)
        assert changed
        assert not target.volume.view.is_unsettled
        count = 1 if change == "brought back" else 2
        assert [one[0] for one in await _versions(target)] == [name for name in names for _ in range(count)]
        for name in names:
            answer = await target.ask("GET", name)
            expected = {"overwritten": b"second", "brought back": f"first {name}".encode()}.get(change)
            assert (answer.status, answer.body) == ((200, expected) if expected else (404, answer.body))

    run(tmp_path, scenario)


def test_a_mountpath_that_is_taken_out_of_use_is_emptied_first(tmp_path: Path) -> None:
    """Detach and disable: everything is served meanwhile and afterwards, nothing of it stays there, not even an open
    file, so the disk can be unmounted; used again it brings nothing back."""

    async def scenario(target: LiveTarget) -> None:
        await target.create(BCK)
        props = target.node.bmd.require(BCK).props.with_s3(versioning="Enabled")
        await target.take(target.node.bmd.with_props(BCK, props))
        for name in NAMES:
            for number in range(2):
                await target.ask("PUT", name, data=f"{name} {number}".encode())
        for action, back in (("detach-mp", ("PUT", "attach-mp")), ("disable-mp", ("POST", "enable-mp"))):
            before, path = await _versions(target), target.volume.available[0].path
            assert list(files_of([Path(path)], "ob"))
            method = "DELETE" if action == "detach-mp" else "POST"
            assert await change(target, method, action, path) == 200
            assert await change(target, method, action, path) == 204
            assert target.target.mountpaths.listing().waiting_dd == [path]
            assert (await target.ask("PUT", NAMES[0], data=b"new")).status == 200
            await until(lambda path=path: path not in [one.path for one in target.volume.available])
            listing = target.target.mountpaths.listing()
            assert (listing.waiting_dd, listing.disabled) == ([], [path] if action == "disable-mp" else [])
            assert not target.volume.view.is_unsettled
            assert [*files_of([Path(path)], "ob"), *files_of([Path(path)], "ve")] == []
            await until(lambda path=path: not held_open(path))
            assert (await target.ask("DELETE", NAMES[0])).status == 200
            assert await change(target, *back, path) == 200
            await settled(target)
            assert [one for one in await _versions(target) if one[0] != NAMES[0]] == [
                one for one in before if one[0] != NAMES[0]
            ]
            assert (await target.ask("GET", NAMES[0])).status == 404
            assert (await target.ask("GET", NAMES[1])).body == f"{NAMES[1]} 1".encode()

    run(tmp_path, scenario)


def test_a_mountpath_that_comes_when_all_was_just_settled_gets_what_is_its(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before the job that settled it has heard that it did."""

    async def scenario(target: LiveTarget) -> None:
        await target.create(BCK)
        for name in NAMES:
            assert (await target.ask("PUT", name, data=name.encode())).status == 200
        (tmp_path / "mp3").mkdir()
        (tmp_path / "mp4").mkdir()
        tidy = target.volume.tidy_notes

        def tidy_late() -> None:
            monkeypatch.undo()
            target.volume.attach(str(tmp_path / "mp4"))
            tidy()

        monkeypatch.setattr(target.volume, "tidy_notes", tidy_late)
        await asyncio.to_thread(target.volume.attach, str(tmp_path / "mp3"))
        await until(lambda: len(target.volume.available) == 4 and not target.volume.view.is_unsettled)
        assert misplaced(target) == []

    run(tmp_path, scenario)


def test_a_mountpath_does_not_leave_with_anything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However that came to lie there behind the job's back: it goes through all of it again."""

    async def scenario(target: LiveTarget) -> None:
        await target.create(BCK)
        assert (await target.ask("PUT", "other", data=b"content")).status == 200
        target_resilver, (leaves, stays) = target.target._resilver, target.volume.available
        own = target.volume.place(BCK.uname + "other")
        before, late = target_resilver._before, Path(f"{leaves.path}/@ais/b/%ob/late")

        async def before_leaving() -> None:
            await before()
            if not attempts:
                await asyncio.to_thread(subprocess.run, ["cp", "-a", f"{own.path}/@ais/b/%ob/other", late], check=True)
            attempts.append(1)

        attempts: list[int] = []
        if own is leaves:  # it is brought away before
            own = stays
        monkeypatch.setattr(target_resilver, "_before", before_leaving)
        monkeypatch.setattr(resilver, "RETRY_S", 0.1)
        await asyncio.to_thread(target.volume.drain, leaves.path, State.DETACHED)
        await until(lambda: leaves not in target.volume.available)
        assert len(attempts) == 2
        assert not late.exists()
        assert (await target.ask("GET", "late")).body == b"content"

    run(tmp_path, scenario)


def test_a_mountpath_may_stay_after_all_and_leaving_goes_on_after_a_restart(tmp_path: Path) -> None:
    """Enabled while it leaves it is used again; a target that is started again goes on emptying one that leaves."""

    async def scenario(target: LiveTarget) -> None:
        await target.create(BCK)
        for name in NAMES:
            await target.ask("PUT", name, data=name.encode())
        first, second = (one.path for one in target.volume.available)
        assert await change(target, "POST", "disable-mp", first) == 200
        assert await change(target, "POST", "disable-mp", second) == 409
        assert await change(target, "POST", "enable-mp", first) == 200
        assert target.target.mountpaths.listing().available == [first, second]
        await asyncio.to_thread(target.volume.drain, first, State.DISABLED)
        again = Volume.load_or_create(target.node.env, [first, second])
        assert (again.view.leaving, [one.path for one in again.view.placed]) == ({first}, [second])
        again.close()
        await until(lambda: target.target.mountpaths.listing().disabled == [first])
        assert await get_all(target) == {name: name.encode() for name in NAMES}

    run(tmp_path, scenario)


async def change(target: LiveTarget, method: str, action: str, path: str) -> int:
    """What an administrator does with a mountpath; the status."""
    body = codec.to_json({"action": action, "value": path})
    return int((await target.call(method, f"{target.url}/v1/daemon/mountpaths", data=body)).status)


def held_open(path: str) -> list[str]:
    """Files below a path that this process has open."""
    links = []
    for fd in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            links.append(os.readlink(f"/proc/self/fd/{fd}"))
    return [link for link in links if link.startswith(f"{path}/")]


async def _versions(target: LiveTarget) -> list[tuple[str, str, bool]]:
    from ais.core.version_listing import VersionLister

    lister = VersionLister(target.volume, target.node.env)
    page = await asyncio.to_thread(lister.page, BCK, "", ("", ""), 1000, session="")
    return [(entry.name, entry.version_id, entry.is_latest) for entry in page.entries]


def test_a_wiped_mountpath_can_be_detached(tmp_path: Path) -> None:
    """All that a failed disk had is gone, directories too: it leaves, and everything has its copies on the others."""

    async def scenario(target: LiveTarget) -> None:
        target.volume.attach(str(tmp_path / "third"))
        await settled(target)
        await target.create(BCK, {"mirror": {"enabled": True, "copies": 2}})
        for name in NAMES:
            assert (await target.ask("PUT", name, data=name.encode())).status == 200
        await settled(target)
        victim = target.volume.available[1]
        shutil.rmtree(f"{victim.path}/@ais")
        target.volume.drain(victim.path, State.DETACHED)
        await settled(target)
        assert victim not in target.volume.available
        assert await get_all(target) == {name: name.encode() for name in NAMES}

    (tmp_path / "third").mkdir()
    run(tmp_path, scenario)


def test_a_disk_that_was_not_there_to_be_emptied_brings_nothing_back(tmp_path: Path) -> None:
    """It is not mounted while it is detached, and comes back with all it had: what was deleted meanwhile stays so."""

    async def scenario(target: LiveTarget) -> None:
        target.volume.attach(str(tmp_path / "third"))
        await settled(target)
        await target.create(BCK)
        for name in NAMES:
            assert (await target.ask("PUT", name, data=b"old")).status == 200
        victim = target.volume.available[1]
        had = [name for name in NAMES if target.volume.place(BCK.uname + name) is victim]
        os.rename(victim.path, tmp_path / "unplugged")
        os.mkdir(victim.path)
        target.volume.drain(victim.path, State.DETACHED)
        await settled(target)
        assert victim not in target.volume.available
        for name in had[1:]:
            assert (await target.ask("PUT", name, data=b"new")).status == 200
        for name in had[2:]:
            assert (await target.ask("DELETE", name)).status == 200
        os.rmdir(victim.path)
        os.rename(tmp_path / "unplugged", victim.path)
        await asyncio.to_thread(target.volume.attach, victim.path)
        await settled(target)
        assert [(await get_all(target))[name] for name in had] == [b"old", b"new", *[404] * len(had[2:])]
        assert len(had) > 3

    (tmp_path / "third").mkdir()
    run(tmp_path, scenario)
