"""Objects and their slices on several targets in one process."""

import asyncio
import contextlib
import io
import itertools
import os
import tarfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec
import pytest
from harness.coded import BCK, BODIES, EC, LARGE, Group, check_deleted, delete_when_sent, fill, run
from harness.target import LiveTarget

from ais.api import listing
from ais.api.bucket import Bck
from ais.api.listing import LsoMsg
from ais.api.xact import EC_ENCODE
from ais.base.errors import AisError, NotReady, Unreachable
from ais.base.ids import new_id
from ais.meta.smap import Flag


def test_objects_have_slices_on_other_targets(tmp_path: Path) -> None:
    """D+P slices of a large object, P copies of a small one, none on its owner; HEAD says so."""

    async def scenario(group: Group) -> None:
        await group.create(EC)
        await fill(group)
        for name, body in BODIES.items():
            is_large = len(body) >= 1000
            assert len(group.slices(name)) == (3 if is_large else 1)
            owner = group.owner(name)
            assert not any(path.startswith(one.path) for path in group.slices(name) for one in owner.volume.available)
            head = await owner.ask("HEAD", name)
            assert (head.headers["Ais-Ec-Data"], head.headers["Ais-Ec-Parity"]) == ("2", "1")
            assert head.headers["Ais-Ec-Replicated"] == str(not is_large).lower()
        sizes = sorted(os.path.getsize(path) for path in group.slices("large"))
        assert sizes[-1] < len(LARGE) * 0.55

    run(tmp_path, 4, scenario)


def test_a_lost_or_damaged_object_is_restored_from_its_slices(tmp_path: Path) -> None:
    """Every read is right over both APIs, also with one slice damaged and one target away, and the object is back."""

    async def scenario(group: Group) -> None:
        await group.create(EC)
        await fill(group)
        for number, (name, body) in enumerate(BODIES.items()):
            owner = group.owner(name)
            (path,) = group.files(name)
            before = await owner.ask("HEAD", name)
            if number % 2 or not body:
                os.unlink(path)
            else:
                Path(path).write_bytes(b"?" * len(body))
            if len(body) >= 1000:
                victim = Path(group.slices(name)[number % 3])
                content = bytearray(victim.read_bytes())
                content[-100] ^= 1
                victim.write_bytes(content)
            if number % 2:
                assert (await owner.s3("GET", f"b/{name}")).body == body
            got = await owner.ask("GET", name, headers={"Range": "bytes=1-5"} if body else {})
            assert (got.status, got.body) == ((206, body[1:6]) if body else (200, b"")), got.status
            assert (await owner.ask("GET", name)).body == body
            after = await owner.ask("HEAD", name)
            for header in ("Ais-Checksum-Value", "Ais-Version", "Content-Length", "Ais-Ec-Generation"):
                assert after.headers.get(header) == before.headers.get(header)
            assert Path(group.files(name)[0]).read_bytes() == body

    run(tmp_path, 4, scenario)


def test_another_target_stands_in_for_an_owner_that_is_away(tmp_path: Path) -> None:
    """Whichever target is away with the owner, any other one serves the object and keeps nothing of it."""

    async def scenario(group: Group) -> None:
        await group.create({"ec": {**EC["ec"], "parity_slices": 2}})
        await fill(group)
        for name, body in BODIES.items():
            owner = group.owner(name)
            for other in group.targets:
                if other is owner:
                    continue
                group.away(owner, other)
                (reader,) = itertools.islice((one for one in group.targets if one not in (owner, other)), 1)
                answer = await reader.ask("GET", name)
                assert (answer.status, answer.body == body) == (200, True)
                assert (await reader.s3("GET", f"b/{name}")).body == body or reader is not _reader_of(group, name)
                assert len(group.files(name)) == 1
            group.away()

    run(tmp_path, 5, scenario)


def _reader_of(group: Group, name: str) -> LiveTarget:
    snode = group.targets[0].node.placement.reader(BCK.uname + name, is_coded=True)
    return next(one for one in group.targets if one.node.snode.id == snode.id)


def test_slices_never_outlive_what_they_are_slices_of(tmp_path: Path) -> None:
    """After overwrite and delete, nothing old comes back, also when its owner loses it or a target was away."""

    async def scenario(group: Group) -> None:
        await group.create(EC)
        await fill(group)
        owner = group.owner("large")
        away = next(
            one
            for one in group.targets
            if any(
                path.startswith(str(tmp_path)) and path.startswith(mp.path)
                for path in group.slices("large")
                for mp in one.volume.available
            )
        )
        group.away(away)
        assert (await owner.ask("DELETE", "large")).status == 200
        group.away()
        assert (await owner.ask("GET", "large")).status == 404
        assert (await owner.ask("PUT", "dir/two", data=b"x" * 5000)).status in (200, 307)
        two = group.owner("dir/two")
        assert (await two.ask("PUT", "dir/two", data=b"y" * 5000)).status == 200
        await group.settled()
        os.unlink(next(path for path in group.files("dir/two") if Path(path).read_bytes() == b"y" * 5000))
        assert (await two.ask("GET", "dir/two")).body == b"y" * 5000
        small = group.owner("small")
        assert (await small.ask("DELETE", "small")).status == 200
        assert group.slices("small") == []
        assert (await small.ask("GET", "small")).status == 404

    run(tmp_path, 4, scenario)


def test_a_deletion_reaches_who_did_not_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The target with a copy has just died, which nobody knows yet: back again, it brings nothing back."""

    async def scenario(group: Group) -> None:
        await group.create(EC)
        await fill(group)
        owner, (copy,) = group.owner("small"), group.slices("small")
        holder = next(one for one in group.targets if any(copy.startswith(mp.path) for mp in one.volume.available))
        peers = owner.target._ec._peers
        real = peers.drop

        async def drop(node: Any, *rest: Any, **options: Any) -> None:
            if node.id == holder.node.snode.id:
                raise Unreachable("it does not answer")
            await real(node, *rest, **options)

        with monkeypatch.context() as patch:
            patch.setattr(peers, "drop", drop)
            assert (await owner.ask("DELETE", "small")).status == 200
            await group.settled()
        assert os.path.exists(copy)
        for one in (holder, owner):
            await one.target._ec.encode_bucket(BCK, new_id(one.node.env.rng)).wait()
            await group.settled()
        assert (await owner.ask("GET", "small")).status == 404
        assert group.slices("small") == []

    run(tmp_path, 4, scenario)


@pytest.mark.parametrize(
    "patch", [{"ec": {"data_slices": 2, "parity_slices": 2}}, {"ec": {"data_slices": 1, "parity_slices": 1}}]
)
def test_other_slices_replace_the_old_ones(tmp_path: Path, patch: dict[str, Any]) -> None:
    """Changing D and P and running the job codes everything anew; switching off removes all slices."""

    async def scenario(group: Group) -> None:
        await group.create(EC)
        await fill(group)
        await group.change(patch)
        for one in group.targets:
            await one.target._ec.encode_bucket(BCK, "encodJOB1").wait()
        for one in group.targets:
            snaps = [x.snap() for x in one.target.registry.select(kind=EC_ENCODE)]  # others begin by themselves
            assert [snap.err for snap in snaps if snap.id == "encodJOB1"] == [""]
        parity = patch["ec"]["parity_slices"]
        assert len(group.slices("large")) == patch["ec"]["data_slices"] + parity
        assert len(group.slices("small")) == parity
        os.unlink(group.files("large")[0])
        assert (await group.owner("large").ask("GET", "large")).body == LARGE
        await group.settled()
        await group.change({"ec": {"enabled": False}})
        assert [name for name in BODIES if group.slices(name)] == []
        assert (await group.owner("large").ask("GET", "large")).body == LARGE

    run(tmp_path, 5, scenario)


def test_the_job_brings_back_what_empty_disks_lost(tmp_path: Path) -> None:
    """Objects and slices of a target whose disks are empty are all there again after the job."""

    async def scenario(group: Group) -> None:
        await group.create({"ec": {**EC["ec"], "parity_slices": 2}})
        names = [f"o{index}" for index in range(20)]
        for name in names:
            await group.owner(name).ask("PUT", name, data=name.encode() * 400)
        await group.settled()
        before = {name: (len(group.files(name)), len(group.slices(name))) for name in names}
        victims = group.targets[1:3]
        for victim in victims:
            for one in victim.volume.available:
                for content in ("%ob", "%ec"):
                    for path, _, found in os.walk(f"{one.path}/@ais/b/{content}"):
                        for file in found:
                            os.unlink(f"{path}/{file}")
        for _ in range(2):
            for one in group.targets:
                xaction = one.target._ec.encode_bucket(BCK, f"encodJOB{_}")
                await xaction.wait()
            await group.settled()
        assert {name: (len(group.files(name)), len(group.slices(name))) for name in names} == before
        for name in names:
            assert (await group.owner(name).ask("GET", name)).body == name.encode() * 400

    run(tmp_path, 5, scenario)


def test_an_object_that_gets_another_owner_keeps_its_slices(tmp_path: Path) -> None:
    """What a rebalance sends has a later stamp there, and the old owner does not take the new slices along."""

    async def scenario(group: Group) -> None:
        await group.create(EC)
        old = group.owner("large")
        for _ in range(3):  # stamps of its volume are ahead of all others'
            with contextlib.suppress(OSError):
                (tmp_path / f"more{_}").mkdir()
            await asyncio.to_thread(old.volume.attach, str(tmp_path / f"more{_}"))
        assert (await old.ask("PUT", "large", data=io.BytesIO(LARGE))).status == 200
        await group.settled()
        smap = group.targets[0].node.smap
        leaving = msgspec.structs.replace(old.node.snode, flags=int(Flag.MAINTENANCE))
        tmap = smap.tmap | {leaving.id: leaving}
        view = old.target._front.views.require(BCK)
        before = (await old.ask("HEAD", "large")).headers["Ais-Version"]
        for one in group.targets:
            one.node.smap = msgspec.structs.replace(smap, tmap=tmap)
        owner = old.node.placement.owner(BCK.uname + "large").id
        new = next(one for one in group.targets if one.node.snode.id == owner)
        await old.target._moves.move(view, "large", view, "large", only_if_absent=True)
        await group.settled()
        assert len(group.slices("large")) >= 2
        os.unlink(group.files("large")[0])
        answer = await new.ask("GET", "large")
        assert (answer.status, answer.body == LARGE, answer.headers["Ais-Version"]) == (200, True, before)

    run(tmp_path, 5, scenario)


def test_a_restore_does_not_replace_what_is_written_meanwhile(tmp_path: Path) -> None:
    """An object is lost, its slices are looked for, and then other content is acknowledged: that stays."""

    async def scenario(group: Group) -> None:
        await group.create(EC)
        await fill(group)
        owner = group.owner("large")
        os.unlink(group.files("large")[0])
        restorer = owner.target._ec._restorer
        find = restorer.find

        async def find_and_write(bck: Bck, name: str) -> Any:
            found = await find(bck, name)
            if not group.files(name):
                assert (await owner.ask("PUT", name, data=io.BytesIO(b"written meanwhile"))).status == 200
            return found

        restorer.find = find_and_write
        with contextlib.suppress(AisError):  # its slices are gone by then
            await owner.target._ec.restore(BCK, "large")
        assert (await owner.ask("GET", "large")).body == b"written meanwhile"

    run(tmp_path, 4, scenario)


def test_a_restore_brings_back_nothing_that_is_deleted_meanwhile(tmp_path: Path) -> None:
    """A lost object is put together from its slices, and meanwhile overwritten and deleted: it stays deleted."""

    async def scenario(group: Group) -> None:
        await group.create(EC)
        await fill(group)
        owner = group.owner("large")
        os.unlink(group.files("large")[0])
        restorer = owner.target._ec._restorer
        rebuild = restorer._rebuild

        async def rebuild_and_delete(*args: Any) -> Any:
            made = await rebuild(*args)
            restorer._rebuild = rebuild
            assert (await owner.ask("PUT", "large", data=b"written meanwhile")).status == 200
            assert (await owner.ask("DELETE", "large")).status == 200
            return made

        restorer._rebuild = rebuild_and_delete
        assert not await owner.target._ec.restore(BCK, "large")
        await group.settled()
        assert group.files("large") == []
        assert (await owner.ask("GET", "large")).status == 404

    run(tmp_path, 4, scenario)


def test_what_is_deleted_while_it_is_coded_stays_deleted(tmp_path: Path) -> None:
    """Slices of an object are on their way when it is deleted: none of them brings it back."""

    async def scenario(group: Group) -> None:
        await group.create(EC)
        owner = group.owner("o")
        deletions = delete_when_sent(owner, "o")
        assert (await owner.ask("PUT", "o", data=LARGE[:5000])).status == 200
        await check_deleted(group, owner, "o", deletions)

    run(tmp_path, 4, scenario)


def test_a_restore_ends_when_the_name_is_another_targets(tmp_path: Path) -> None:
    """A target that does not own a name restores nothing, nor when it loses the name on the way."""

    async def scenario(group: Group) -> None:
        await group.create(EC)
        await fill(group)
        owner = group.owner("large")
        other = next(one for one in group.targets if one is not owner)
        with pytest.raises(NotReady, match="only its owner"):
            await other.target._ec.restore(BCK, "large")
        os.unlink(group.files("large")[0])
        restorer = owner.target._ec._restorer
        find = restorer.find

        async def find_and_lose(bck: Bck, name: str) -> Any:
            found = await find(bck, name)
            owner.volume.follow_owners(lambda _: False)
            owner.volume.follow_owners(None)
            return found

        restorer.find = find_and_lose
        with pytest.raises(NotReady, match="another target"):
            await owner.target._ec.restore(BCK, "large")
        assert group.files("large") == []

    run(tmp_path, 4, scenario)


def test_a_listing_of_shards_needs_no_thread_but_its_own(tmp_path: Path) -> None:
    """It waits for the loop to repair a shard, which is done in a thread: not behind those that wait for it."""

    async def scenario(group: Group) -> None:
        await group.create(EC)
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w") as tar:
            tar.addfile(tarfile.TarInfo("member"))
        owner = group.owner("s.tar")
        assert (await owner.ask("PUT", "s.tar", data=io.BytesIO(out.getvalue()))).status == 200
        await group.settled()
        Path(group.files("s.tar")[0]).write_bytes(bytes(len(out.getvalue())))
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(1))
        message = listing.normalise(LsoMsg(props="name", flags=listing.Flag.ARCHIVE_DIRS), is_ais=True)
        async with asyncio.timeout(20):
            page = await owner.target._pages.page(owner.target._front.views.require(BCK), message)
        assert [one.n for one in page.Entries or ()] == ["s.tar", "s.tar/member"]

    run(tmp_path, 4, scenario)


def test_slices_are_never_cut_of_a_damaged_file(tmp_path: Path) -> None:
    """Its metadata is changed when a file is damaged: it is made again of its slices, and keeps the change."""

    async def scenario(group: Group) -> None:
        await group.create(EC)
        await fill(group)
        owner = group.owner("large")
        path = Path(group.files("large")[0])
        path.write_bytes(b"x" + LARGE[1:])
        body = msgspec.json.encode({"action": "", "name": "", "value": {"k": "v"}})
        assert (await owner.ask("PATCH", "large", data=body)).status == 200
        await group.settled()
        assert path.read_bytes() == LARGE
        path.unlink()
        answer = await owner.ask("GET", "large")
        assert (answer.body, answer.headers["Ais-Custom-Md"]) == (LARGE, "k=v")

    run(tmp_path, 4, scenario)


def test_nothing_older_comes_in_the_place_of_what_is_damaged(tmp_path: Path) -> None:
    """A target was away when an object was overwritten, then the new file is damaged: the old bytes are not served."""

    async def scenario(group: Group) -> None:
        await group.create(EC)
        await fill(group)
        owner = group.owner("large")
        group.away(*(one for one in group.targets if one is not owner))
        assert (await owner.ask("PUT", "large", data=io.BytesIO(LARGE[::-1]))).status == 200
        Path(group.files("large")[0]).write_bytes(b"x" * len(LARGE))
        group.away()
        answer = await owner.ask("GET", "large")
        assert answer.status != 200

    run(tmp_path, 4, scenario)
