"""Objects on several mountpaths: made, followed, repaired from, never stale."""

import asyncio
import io
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from harness import loop
from harness.target import LiveTarget, serving, until

from ais.api import actions, codec
from ais.api.bucket import Bck
from ais.api.xact import CLEANUP, MAKE_COPIES, PUT_COPIES, ArgsMsg
from ais.base.errors import BadRequest
from ais.meta import rename
from ais.meta.bmd import apply_props
from ais.mirror import jobs
from ais.target.target import RESILVERING

BCK = Bck("b")
MIRRORED = {"mirror": {"enabled": True, "copies": 2}}
SYNCHRONOUS = {**MIRRORED, "protection": {"ack": "all"}}
COUNT = 60


def run(root: Path, scenario: Callable[[LiveTarget], Any]) -> None:
    """Run a scenario on one target with two mountpaths."""

    async def on_one() -> None:
        async with serving(root) as (target,):
            await scenario(target)

    loop.run(on_one())


def files(target: LiveTarget, name: str, content: str) -> list[str]:
    """An object's files below `content` on all mountpaths."""
    paths = [f"{one.path}/@ais/b/{content}/{name}" for one in target.volume.available]
    return [path for path in paths if os.path.isfile(path)]


async def copied(target: LiveTarget) -> None:
    """Wait until everything that was written has its copies."""
    registry = target.target.registry
    await until(lambda: all(one.snap().is_idle for one in registry.select(kind=PUT_COPIES, only_running=True)))
    await until(lambda: not any(registry.select(kind=MAKE_COPIES, only_running=True)))


async def content(target: LiveTarget, name: str) -> bytes:
    """What a GET answers."""
    answer = await target.ask("GET", name)
    assert answer.status == 200, answer.message
    return answer.body


async def change(target: LiveTarget, patch: dict[str, Any]) -> None:
    """Other properties of the bucket."""
    props = apply_props(target.node.bmd.require(BCK).props, patch, 1)
    await target.take(target.node.bmd.with_props(BCK, props))


def test_either_copy_may_be_deleted_or_damaged(tmp_path: Path) -> None:
    """Every read is right over both APIs, ranges too, and afterwards each object has two good files again."""

    def body(index: int) -> bytes:
        return f"content of {index}".encode() * (index * 50 + 1)

    async def scenario(target: LiveTarget) -> None:
        await target.create(BCK, MIRRORED)
        names = [f"dir/o{index}" for index in range(COUNT)]
        for index, name in enumerate(names):
            assert (await target.ask("PUT", name, data=body(index))).status == 200
        await copied(target)
        for index, name in enumerate(names):
            (own,), (copy,) = files(target, name, "%ob"), files(target, name, "%cp")
            assert Path(own).read_bytes() == Path(copy).read_bytes() == body(index)
            victim = Path((own, copy)[index % 2])
            match index % 3:
                case 0:
                    victim.unlink()
                case 1:
                    victim.write_bytes(b"!" + body(index)[1:])
                case 2:
                    os.truncate(victim, 3)
        for index, name in enumerate(names):
            if index % 4 == 3:
                answer = await target.s3("GET", f"b/{name}", headers={"Range": "bytes=1-5"})
                assert (answer.status, answer.body) == (206, body(index)[1:6])
            elif index % 4 == 2:
                assert (await target.s3("GET", f"b/{name}")).body == body(index)
            assert await content(target, name) == body(index)
        await copied(target)
        await target.target.registry.start(MAKE_COPIES, "checkJOB1", _make(target)).wait()
        for index, name in enumerate(names):
            assert [Path(path).read_bytes() for path in files(target, name, "%ob")] == [body(index)]
            head = await target.ask("HEAD", name)
            assert head.headers["Ais-Mirror-Copies"] == "2"

    run(tmp_path, scenario)


def _make(target: LiveTarget) -> Any:
    async def work(_: Any) -> None:
        await target.target._mirror.make_copies(BCK, "otherJOB1").wait()

    return work


@pytest.mark.parametrize("patch", [MIRRORED, SYNCHRONOUS])
def test_copies_follow_every_change_and_are_never_stale(tmp_path: Path, patch: dict[str, Any]) -> None:
    """After overwrite, rename, copy, custom metadata and delete, the other file alone gives the same answers."""

    async def scenario(target: LiveTarget) -> None:
        await target.create(BCK, patch)
        await target.ask("PUT", "a", data=b"old")
        await copied(target)
        await target.ask("PUT", "a", data=b"new one")
        await target.ask("PUT", "gone", data=b"x")
        await target.ask("PUT", "below/a", data=b"y")
        await target.ask("PUT", "a", data=b"newest")
        await target.act("PATCH", "a", "", value={"k": "v"})
        await target.act("POST", "below/a", actions.RENAME_OBJECT, "renamed")
        await target.ask("PUT", "a", query={"object_to": "ais/@#/b/copy"})
        await copied(target)
        assert (await target.ask("DELETE", "gone")).status == 200
        assert (files(target, "gone", "%ob"), files(target, "gone", "%cp")) == ([], [])
        for name in ("a", "renamed", "copy"):
            before = await target.ask("HEAD", name)
            (own,), (_,) = files(target, name, "%ob"), files(target, name, "%cp")
            os.unlink(own)
            assert await content(target, name) == {"a": b"newest", "renamed": b"y", "copy": b"newest"}[name]
            after = await target.ask("HEAD", name)
            for header in ("Ais-Checksum-Value", "Ais-Version", "Ais-Custom-Md", "Content-Length"):
                assert after.headers.get(header) == before.headers.get(header)
        assert (await target.ask("GET", "gone")).status == 404
        assert (await target.ask("GET", "below/a")).status == 404

    run(tmp_path, scenario)


def test_an_overwrite_removes_copies_before_it_is_visible(tmp_path: Path) -> None:
    """When the copy of the new content was not made yet and its file is lost, nothing old is served."""

    async def scenario(target: LiveTarget) -> None:
        await target.create(BCK, MIRRORED)
        await target.ask("PUT", "a", data=b"old")
        await copied(target)
        target.target._mirror._following._loop = None
        await target.ask("PUT", "a", data=b"new")
        assert files(target, "a", "%cp") == []
        (own,) = files(target, "a", "%ob")
        os.unlink(own)
        assert (await target.ask("GET", "a")).status == 404

    run(tmp_path, scenario)


def test_a_synchronous_bucket_answers_when_the_copies_are_there(tmp_path: Path) -> None:
    """Each acknowledged object has two files at once, large and small, and a write that cannot have them fails."""

    async def scenario(target: LiveTarget) -> None:
        await target.create(BCK, SYNCHRONOUS)
        for name, size in (("small", 10), ("large", 3 << 20)):
            assert (await target.ask("PUT", name, data=io.BytesIO(b"x" * size))).status == 200
            (own,), (copy,) = files(target, name, "%ob"), files(target, name, "%cp")
            assert Path(own).read_bytes() == Path(copy).read_bytes() == b"x" * size
        lost = target.volume.available[0]
        other = next(name for name in map(str, range(1000)) if target.volume.place("ais/@#/b/" + name) is lost)
        await asyncio.to_thread(target.volume.disable, lost.path)
        assert (await target.ask("PUT", other, data=b"x")).status == 503
        assert (await target.ask("GET", other)).status == 503  # the disabled mountpath may have it

    run(tmp_path, scenario)


def test_copies_come_and_go_with_the_properties(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Mirroring switched on makes copies of what is there, off removes them, on again does not trust old ones."""
    monkeypatch.setattr(jobs, "WATCH_S", 3600.0)  # nobody else makes them

    async def scenario(target: LiveTarget) -> None:
        await target.create(BCK)
        await target.ask("PUT", "a", data=b"first")
        assert files(target, "a", "%cp") == []
        await change(target, MIRRORED)
        xaction = target.target._mirror.make_copies(BCK, "makeJOB01")
        await xaction.wait()
        snap = xaction.snap()
        assert (snap.err, snap.stats.loc_objs, snap.stats.loc_bytes, snap.is_idle) == ("", 1, 5, True)
        assert snap.ctlmsg == "mnc-actmnc, copies:2, visited:1"
        (copy,) = files(target, "a", "%cp")
        kept = tmp_path / "kept"
        shutil.copytree(os.path.dirname(copy), kept)
        await change(target, {"mirror": {"enabled": False}})
        assert files(target, "a", "%cp") == []
        await target.ask("PUT", "a", data=b"second")
        shutil.copytree(kept, os.path.dirname(copy))
        os.removexattr(os.path.dirname(copy), "user.ais.copies")
        await change(target, MIRRORED)
        assert files(target, "a", "%cp") == []
        with pytest.raises(BadRequest, match=r"number of copies \(3\) exceeds the number of mountpaths \(2\)"):
            await change(target, {"mirror": {"copies": 3}})

    run(tmp_path, scenario)


def test_what_a_crash_left_without_copies_gets_them_at_the_next_start(tmp_path: Path) -> None:
    """Writes that were acknowledged but not copied yet are found without being written again."""

    async def scenario(target: LiveTarget) -> None:
        await target.create(BCK, MIRRORED)
        mirror = target.target._mirror
        mirror._following._loop = None
        for index in range(10):
            await target.ask("PUT", f"o{index}", data=b"x")
        assert files(target, "o0", "%cp") == []
        mirror.start()
        await copied(target)
        assert all(len(files(target, f"o{index}", "%cp")) == 1 for index in range(10))
        ended = codec.parse_json(
            (await target.call("GET", f"{target.url}/v1/xactions", data=b'{"kind": "make-n-copies"}')).body
        )
        assert [one["stats"]["loc-objs"] for one in ended] == ["10"]

    run(tmp_path, scenario)


@pytest.mark.parametrize("how", ["cleanup", "somebody"])
def test_a_copy_that_lost_its_work_file_on_the_way_is_missed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """Objects were written long ago, and a copy has their times from the first: what cleans up meanwhile leaves it, and
    when it is gone all the same, that is not taken for the end of the bucket."""

    async def scenario(target: LiveTarget) -> None:
        await target.create(BCK)
        for index in range(COUNT):
            assert (await target.ask("PUT", f"o{index}", data=b"content")).status == 200
        for path in target.files():
            os.utime(path, (1, 1))
        copies, event_loop, met = target.target._store.copies, asyncio.get_running_loop(), list[str]()
        clone = copies.clone

        async def clean() -> None:
            await target.target._scrub.start_cleanup(ArgsMsg(id="cleanJOB1", kind=CLEANUP, bck=BCK)).wait()

        def clone_slowly(*args: Any) -> str:
            aside = clone(*args)
            if not met:
                met.append(aside)
                if how == "cleanup":
                    asyncio.run_coroutine_threadsafe(clean(), event_loop).result(10.0)
                else:
                    os.unlink(aside)
            return aside

        monkeypatch.setattr(copies, "clone", clone_slowly)
        await change(target, MIRRORED)
        job = target.target._mirror.make_copies(BCK, "copiesJOB1")
        await job.wait()
        assert met
        missing = [name for name in (f"o{index}" for index in range(COUNT)) if not files(target, name, "%cp")]
        assert len(missing) == (how == "somebody")
        assert bool(job.error) == target.target._mirror.is_behind(BCK) == bool(missing)
        await target.target._mirror.make_copies(BCK, "copiesJOB2").wait()
        assert all(files(target, f"o{index}", "%cp") for index in range(COUNT))
        assert not target.target._mirror.is_behind(BCK)

    run(tmp_path, scenario)


@pytest.mark.parametrize("copies", [(2, 3), (3, 2), (1, 2)])
def test_a_target_that_only_hears_of_other_copies_makes_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, copies: tuple[int, int]
) -> None:
    """Nobody starts a job there, as when it was away: it goes through the bucket by itself, says so until it has, and
    a process that is killed before leaves the next one a mark."""
    monkeypatch.setattr(jobs, "WATCH_S", 3600.0)  # not before it was looked at

    async def scenario(target: LiveTarget) -> None:
        target.volume.attach(str(tmp_path / "third"))
        await until(lambda: not target.volume.view.is_unsettled)
        before, after = ({"mirror": {"enabled": number > 1, "copies": max(number, 2)}} for number in copies)
        await target.create(BCK, before)
        await target.ask("PUT", "a", data=b"content")
        await until(lambda: len(files(target, "a", "%cp")) == copies[0] - 1)
        await copied(target)
        mirror = target.target._mirror
        await until(lambda: not any(Path(one.path, jobs.MARK).exists() for one in target.volume.available))
        await change(target, after)
        assert mirror.is_behind(BCK)
        assert target.target.state_flags() & RESILVERING
        assert all(Path(one.path, jobs.MARK).exists() for one in target.volume.available)
        monkeypatch.setattr(jobs, "WATCH_S", 0.01)
        watching = asyncio.create_task(mirror.watch())
        await until(lambda: len(files(target, "a", "%cp")) == copies[1] - 1)
        await until(lambda: not mirror.is_behind(BCK))
        await until(lambda: not any(Path(one.path, jobs.MARK).exists() for one in target.volume.available))
        watching.cancel()

    (tmp_path / "third").mkdir()
    run(tmp_path, scenario)


@pytest.mark.parametrize("is_lost", [True, False])
def test_what_a_copy_can_repair_gets_the_new_name(tmp_path: Path, is_lost: bool) -> None:
    """A bucket is renamed when the file of an object is gone or damaged: it is repaired, for its copy goes with the old
    bucket."""

    async def scenario(target: LiveTarget) -> None:
        await target.create(BCK, MIRRORED)
        await target.ask("PUT", "a", data=b"content")
        await copied(target)
        (own,) = files(target, "a", "%ob")
        os.unlink(own) if is_lost else Path(own).write_bytes(b"dontent")
        await target.begin_rename(BCK, Bck("other"), frozenset([target.node.snode.id]))
        args = ArgsMsg(id="renRENren1", kind="move-bck", bck=BCK, bck_to=Bck("other").uname)
        job = target.target._jobs.start(args)
        await job.wait()
        assert job.error == ""
        (move,) = rename.pending(target.node.bmd)
        await target.take(rename.finish(target.node.bmd, move))
        answer = await target.ask("GET", "a", bucket="other")
        assert (answer.status, answer.body) == (200, b"content")

    run(tmp_path, scenario)


def test_copies_are_made_of_the_newest_file(tmp_path: Path) -> None:
    """A mountpath returns with an object that was overwritten meanwhile: before that is in its place, nothing is made
    of the older one."""

    async def scenario(target: LiveTarget) -> None:
        (tmp_path / "third").mkdir()
        await asyncio.to_thread(target.volume.attach, str(tmp_path / "third"))
        await until(lambda: not target.volume.view.is_unsettled)
        await target.create(BCK, MIRRORED)
        assert (await target.ask("PUT", "o", data=b"old")).status == 200
        await copied(target)
        home = target.volume.place(BCK.uname + "o").path
        await asyncio.to_thread(target.volume.disable, home)
        assert (await target.ask("PUT", "o", data=b"new")).status == 200
        await copied(target)
        await asyncio.to_thread(target.volume.enable, home)
        await asyncio.to_thread(target.target._mirror.mirror.bring, BCK, "o")
        found = [Path(path).read_bytes() for path in (*files(target, "o", "%ob"), *files(target, "o", "%cp"))]
        assert found == [b"new"] * 2

    run(tmp_path, scenario)
