"""What becomes an object by other ways than a PUT while names get other owners: its older versions come along."""

import asyncio
import dataclasses
import io
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from harness import loop
from harness.coded import Group
from harness.moving import follow, owner_of, rebalanced, take
from harness.recording import Careful
from harness.target import BCK, CLUSTER_SECRET, MARKS, Answer, LiveTarget, serving, until
from yarl import URL

from ais.api import codec, groups
from ais.api.archive import ArchiveMsg
from ais.api.groups import GroupTask
from ais.api.returns import RETURNS, SINCE, Note
from ais.api.xact import ArgsMsg
from ais.auth import marks
from ais.core.version_listing import VersionLister
from ais.ec.cutting import at_once
from ais.meta.smap import Flag, Smap
from ais.reb import plan
from ais.s3 import peers
from ais.s3.buckets import S3Bucket
from ais.s3.documents import KeyToDelete
from ais.target.moves import MAP_LAG_S_MAX
from ais.target.transfer import SMALL_BYTES_MAX

Step = Callable[[list[LiveTarget], str, str], Awaitable[int]]


async def copied(targets: list[LiveTarget], source: str, name: str) -> int:
    """A native copy."""
    owner = owner_of(targets, source)
    query = {"object_to": f"ais/@#/{BCK.name}/{name}"}
    return (await owner.ask("PUT", source, query=query)).status


async def renamed(targets: list[LiveTarget], source: str, name: str) -> int:
    """A rename."""
    return (await owner_of(targets, source).act("POST", source, "rename-obj", name)).status


STEPS: list[Step] = [copied, renamed]


def settled_and_followed(targets: list[LiveTarget], late: LiveTarget) -> Smap:
    """The next map, after all knew that nothing moves any more; one target has yet to `take` it."""
    for one in targets:
        take(one, msgspec.structs.replace(one.node.smap, moving=msgspec.UNSET))
    return follow(targets, late=(late,))


async def redirected(target: LiveTarget, method: str, url: str, **kwargs: Any) -> tuple[Answer, list[str]]:
    """The answer in the end, and where the request was sent on the way."""
    way = []
    while (answer := await target.call(method, URL(url, encoded=True), **kwargs)).status in (301, 307):
        url = answer.headers["Location"]
        way.append(url)
        assert len(way) < 5
    return answer, way


def ended(targets: list[LiveTarget]) -> None:
    """The next map, in which nothing moves any more."""
    smap = targets[0].node.smap
    for one in targets:
        take(one, msgspec.structs.replace(smap, moving=msgspec.UNSET, version=smap.version + 1))


async def versioned(targets: list[LiveTarget]) -> tuple[list[str], list[str]]:
    """A bucket that keeps versions, and names of the first and the second target in it."""
    found = await plain(targets)
    for one in targets:
        props = one.node.bmd.require(BCK).props.with_s3(versioning="Enabled")
        await one.take(one.node.bmd.with_props(BCK, props))
    return found


async def plain(targets: list[LiveTarget]) -> tuple[list[str], list[str]]:
    """The same of one that keeps none."""
    for one in targets:
        await one.create(BCK)
    names = [f"o{number}" for number in range(40)]
    found = [[name for name in names if owner_of(targets, name) is one] for one in targets]
    return found[0], found[1]


async def contents(target: LiveTarget, name: str) -> list[bytes]:
    """Of all versions of a name, the latest first; delete markers are empty."""
    lister = VersionLister(target.volume, target.node.env)
    page = await asyncio.to_thread(lister.page, BCK, name, ("", ""), 1000, session="")
    found = [one.version_id for one in page.entries if one.name == name]
    answers = [await target.s3("GET", f"{BCK.name}/{name}?versionId={one}") for one in found]
    return [answer.body if answer.status == 200 else b"" for answer in answers]


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("to_itself", [True, False])
def test_versions_stay(tmp_path: Path, step: Step, to_itself: bool) -> None:
    """Put on top of a name whose versions are with an earlier owner, through its present one and through another."""

    async def scenario() -> None:
        async with serving(tmp_path, 2) as targets:
            old, new = targets
            of_old, of_new = await versioned(targets)
            follow(targets, new)
            name, source = of_new[0], (of_new[1] if to_itself else of_old[0])
            for content in (b"first", b"second"):
                assert (await old.ask("PUT", name, data=io.BytesIO(content))).status == 200
            assert (await old.ask("PUT", source, data=b"another")).status == 200
            follow(targets)
            assert await step(targets, source, name) == 200
            await rebalanced(targets)
            assert await contents(new, name) == [b"another", b"second", b"first"]

    loop.run(scenario())


def test_a_list_of_keys_is_deleted_where_their_versions_are(tmp_path: Path) -> None:
    """A gateway asks the owner by a map that it has not yet: the delete marker comes on top of the versions."""

    async def scenario() -> None:
        async with serving(tmp_path, 2) as targets:
            old, new = targets
            _, (name, *_) = await versioned(targets)
            follow(targets, new)
            for content in (b"first", b"second"):
                assert (await old.ask("PUT", name, data=io.BytesIO(content))).status == 200
            smap = settled_and_followed(targets, late=new)
            bucket = new.node.bmd.require(BCK)
            body = codec.to_msgpack(peers.DeleteKeys(BCK, int(bucket.bid), [KeyToDelete(name)], False))
            lines = {"Ais-Caller-Id": old.node.snode.id}
            asking = asyncio.create_task(new.call("POST", f"{new.url}{peers.DELETE}", data=body, headers=lines))
            await asyncio.sleep(0.2)
            take(new, smap)
            assert (await asking).status == 200
            await rebalanced(targets)
            assert await contents(new, name) == [b"", b"second", b"first"]

    loop.run(scenario())


@pytest.mark.parametrize("is_versioned", [True, False])
def test_a_shard_is_begun_where_the_versions_of_its_name_are(tmp_path: Path, is_versioned: bool) -> None:
    """A gateway asks the owner by a map that it has not yet: it waits for the map, and fetches what there is."""

    async def scenario() -> None:
        async with serving(tmp_path, 2) as targets:
            old, new = targets
            _, (name, *_) = await (versioned(targets) if is_versioned else plain(targets))
            follow(targets, new)
            assert (await old.ask("PUT", name, data=b"before")).status == 200
            smap = settled_and_followed(targets, late=new)
            view = new.target._front.views.require(BCK)
            beginning = asyncio.create_task(new.target._archiving.open_shard(view, ArchiveMsg(archive=name)))
            await asyncio.sleep(0.2)
            assert not beginning.done()
            take(new, smap)
            writer, _ = await beginning
            writer.abort()
            assert await contents(new, name) == [b"before"]

    loop.run(scenario())


@pytest.mark.parametrize("step", STEPS)
def test_what_a_target_sends_is_stored_when_who_gets_it_owns_the_name(tmp_path: Path, step: Step) -> None:
    """A copy goes to the owner by a map that that has not yet, and by which others still read the name elsewhere."""

    async def scenario() -> None:
        async with serving(tmp_path, 2) as targets:
            old, new = targets
            (source, *_), (name, *_) = await plain(targets)
            follow(targets, new)
            for one in (source, name):
                assert (await old.ask("PUT", one, data=one.encode())).status == 200
            await rebalanced(targets)
            smap = settled_and_followed(targets, late=new)
            sending = asyncio.create_task(step(targets, source, name))
            await asyncio.sleep(0.2)
            assert not sending.done()
            assert not any(path.endswith(f"%ob/{name}") for path in new.files())
            take(new, smap)
            assert await sending == 200
            assert (await new.ask("GET", name)).body == source.encode()
            await rebalanced(targets)
            assert (await new.ask("GET", name)).body == source.encode()

    loop.run(scenario())


@pytest.mark.parametrize("query", [{}, {"append_type": "flush"}], ids=["put", "append"])
def test_what_was_begun_before_its_name_went_away_is_not_stored_where_nobody_looks(
    tmp_path: Path, query: dict[str, str]
) -> None:
    """A body comes slowly, and all has moved when it ends: its client is told, the owner has what was there before."""

    async def scenario() -> None:
        async with serving(tmp_path, 2) as targets:
            old, new = targets
            _, (name, *_) = await plain(targets)
            follow(targets, new)
            assert (await old.ask("PUT", name, data=b"before")).status == 200
            await rebalanced(targets)
            ended(targets)

            async def body() -> AsyncIterator[bytes]:
                yield b"first" * (1 << 20)
                await until(lambda: bool(old.work_files()))
                follow(targets)
                await rebalanced(targets)
                ended(targets)
                yield b"second"

            answer = await old.ask("PUT", name, query=query, data=body())
            assert answer.status in (307, 503), answer.status
            assert not any(path.endswith(f"%ob/{name}") for path in old.files())
            assert (await new.ask("GET", name)).body == b"before"

    loop.run(scenario())


def test_a_put_that_waited_for_earlier_owners_is_stored_by_who_owns_the_name_then(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The name goes back to one of these meanwhile, and that ends, too, before there is an answer."""

    async def scenario() -> None:
        async with serving(tmp_path, 2) as targets:
            old, new = targets
            _, (name, *_) = await plain(targets)
            follow(targets, new)
            assert (await old.ask("PUT", name, data=b"before")).status == 200
            follow(targets)
            tell = new.target._moves._tell_earlier

            async def tell_and_follow(*args: Any) -> bool:
                monkeypatch.undo()
                found = await tell(*args)
                follow(targets, new)
                await rebalanced(targets)
                ended(targets)
                return found

            monkeypatch.setattr(new.target._moves, "_tell_earlier", tell_and_follow)
            answer = await new.ask("PUT", name, data=b"after")
            assert answer.status in (307, 503), answer.status
            assert not any(path.endswith(f"%ob/{name}") for path in new.files())
            assert (await old.ask("GET", name)).body == b"before"

    loop.run(scenario())


@pytest.mark.parametrize("change", ["delete", "patch", "rename"])
def test_a_change_does_not_miss_what_is_elsewhere_by_a_map_that_comes_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    """A proxy has the map already, the target takes it after it found that nothing moves: it is not "not found"."""

    async def scenario() -> None:
        async with serving(tmp_path, 2) as targets:
            old, new = targets
            for one in targets:
                await one.create(BCK)
            name = next(name for name in map(str, range(40)) if owner_of(targets, name) is new)
            follow(targets, new)
            assert (await old.ask("PUT", name, data=b"content")).status == 200
            after = settled_and_followed(targets, new)
            settle = new.target._moves.settle

            async def settle_before(*args: Any, **options: Any) -> bool:
                found = await settle(*args, **options)
                if new.node.smap is not after:
                    take(new, after)
                return found

            monkeypatch.setattr(new.target._moves, "settle", settle_before)
            if change == "delete":
                answer = await new.ask("DELETE", name)
            elif change == "patch":
                answer = await new.act("PATCH", name, "", value={"k": "v"})
            else:
                answer = await new.act("POST", name, "rename-obj", "renamed")
            assert answer.status in (200, 307, 503), (answer.status, answer.body)
            take(new, after)
            if answer.status != 200:
                assert (await new.ask("GET", name)).body == b"content"

    loop.run(scenario())


async def delete_listed(target: LiveTarget, name: str) -> Answer:
    """As a gateway that was asked to delete a list of keys."""
    bucket = target.node.bmd.require(BCK)
    body = codec.to_msgpack(peers.DeleteKeys(BCK, int(bucket.bid), [KeyToDelete(name)], False))
    lines = {"Ais-Caller-Id": target.node.snode.id}
    return await target.call("POST", f"{target.url}{peers.DELETE}", data=body, headers=lines)


@pytest.mark.parametrize("api", ["native", "S3", "list"])
def test_what_is_deleted_while_a_mountpath_comes_back_elsewhere_stays_deleted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, api: str
) -> None:
    """Its owner found that nobody else can have it, told what it has removed, and then removes it."""

    async def scenario() -> None:
        async with serving(tmp_path, 2) as targets:
            old, new = targets
            _, (name, *_) = await plain(targets)
            follow(targets, new)
            assert (await old.ask("PUT", name, data=b"old")).status == 200
            await rebalanced(targets)
            path = old.volume.place(BCK.uname + name).path
            await asyncio.to_thread(old.volume.detach, path)
            follow(targets)
            await rebalanced(targets)
            ended(targets)
            smap = plan.lacking(new.node.smap, old.node.snode.id)
            for one in targets:
                take(one, smap)
            assert (await new.ask("PUT", name, data=b"new")).status == 200
            store, delete, running = new.target._store, new.target._store.delete, asyncio.get_running_loop()

            async def bring_back() -> None:
                await asyncio.to_thread(old.volume.recall, path)
                smap = plan.back(new.node.smap, old.node.snode.id)
                for one in targets:
                    take(one, smap)
                notes = new.volume.notes_since(old.volume.given_up_at(path))
                await asyncio.to_thread(old.volume.enable, path, notes)

            def bring_back_and_delete(*args: Any, **options: Any) -> Any:
                monkeypatch.undo()
                asyncio.run_coroutine_threadsafe(bring_back(), running).result()
                return delete(*args, **options)

            monkeypatch.setattr(store, "delete", bring_back_and_delete)
            if api == "list":
                answer = await delete_listed(new, name)
            else:
                answer = await (new.s3("DELETE", f"b/{name}") if api == "S3" else new.ask("DELETE", name))
            assert answer.status in (200, 204), answer.body
            await rebalanced(targets)
            ended(targets)
            assert (await new.ask("GET", name)).status == 404

    loop.run(scenario())


@pytest.mark.parametrize("method", ["PUT", "DELETE"])
def test_a_target_that_lags_behind_puts_no_version_where_the_others_are_not(tmp_path: Path, method: str) -> None:
    """Redirected by a map that it has not: it sends the client on, and takes the request when it has the map."""

    async def scenario() -> None:
        async with serving(tmp_path, 2) as targets:
            old, new = targets
            _, (name, *_) = await versioned(targets)
            follow(targets, new)
            for content in (b"first", b"second"):
                assert (await old.ask("PUT", name, data=io.BytesIO(content))).status == 200
            smap = settled_and_followed(targets, late=new)
            url = f"{new.url}/v1/objects/{BCK.name}/{name}?provider=ais&pid={MARKS['pid']}&utm={MARKS['utm']}"
            body = {"data": b"third"} if method == "PUT" else {}
            asking = asyncio.create_task(redirected(new, method, url, **body))
            await until(lambda: asking.done() or new.server.connection_count >= 1)
            await asyncio.sleep(0.1)
            take(new, smap)
            answer, way = await asking
            assert (answer.status, len(way)) == (200, 2)
            await rebalanced(targets)
            assert await contents(new, name) == [b"third" if method == "PUT" else b"", b"second", b"first"]

    loop.run(scenario())


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH", "POST"])
@pytest.mark.parametrize("is_closed", [False, True])
def test_who_is_sent_on_was_admitted(tmp_path: Path, method: str, is_closed: bool) -> None:
    """A gateway with an earlier map sent a client to a target that owns the name no more: the owner takes it."""

    async def scenario() -> None:
        async with serving(tmp_path, 2) as targets:
            old, new = targets
            for one in targets:
                await one.create(BCK)
                if is_closed:
                    one.node.config = dataclasses.replace(one.node.config, transient={"auth.enabled": "true"})
            name = next(name for name in map(str, range(40)) if owner_of(targets, name) is new)
            body = {
                "PUT": b"new",
                "PATCH": codec.to_json({"value": {"key": "text"}}),
                "POST": codec.to_json({"action": "rename-obj", "name": "another"}),
            }
            location = f"/v1/objects/{BCK.name}/{name}?provider=ais&pid={MARKS['pid']}"

            def url_at(one: LiveTarget, verb: str) -> str:
                node = one.node
                signed = marks.sign(CLUSTER_SECRET, node.snode.id, verb, location, node.env.clock.now_ns())
                return f"{one.url}{signed if is_closed else location}&utm={MARKS['utm']}"

            follow(targets, new)
            assert (await old.call("PUT", URL(url_at(old, "PUT"), encoded=True), data=b"old")).status == 200
            follow(targets)
            answer, way = await redirected(old, method, url_at(old, method), data=body.get(method))
            assert (answer.status, len(way)) == (200, 1), answer.message
            assert method != "GET" or answer.body == b"old"

    loop.run(scenario())


@pytest.mark.parametrize("is_told", [True, False])
def test_a_job_on_a_list_says_what_it_may_have_missed(tmp_path: Path, is_told: bool) -> None:
    """Names get other owners while it runs: those that had passed them then do not come back to them."""

    async def scenario() -> None:
        async with serving(tmp_path, 2) as targets:
            old, new = targets
            for one in targets:
                await one.create(BCK)
            follow(targets, new)
            names = [f"o{number}" for number in range(40)]
            for name in names:
                assert (await old.ask("PUT", name, data=b"content")).status == 200
            task = GroupTask("groupJOB1", groups.DELETE, BCK, names=names)
            store, loop, delete = old.target._store, asyncio.get_running_loop(), old.target._store.delete

            async def tell() -> None:
                follow(targets)

            def delete_and_tell(*args: Any, **kwargs: Any) -> Any:
                if is_told:
                    store.delete = delete  # type: ignore[method-assign]
                    asyncio.run_coroutine_threadsafe(tell(), loop).result()
                return delete(*args, **kwargs)

            store.delete = delete_and_tell  # type: ignore[method-assign]
            for one in (new, old):
                body, lines = task.to_json(), {"Ais-Caller-Id": new.node.snode.id}
                assert (await one.call("PUT", f"{one.url}{groups.GROUPS}", data=body, headers=lines)).status == 200
                job = one.target.registry.get(task.uuid)
                await job.wait()
            left = [name for name in names if (await owner_of(targets, name).ask("HEAD", name)).status == 200]
            assert (bool(left), "start again" in job.snap().err) == (is_told, is_told), job.snap().err

    loop.run(scenario())


def test_who_waits_for_an_earlier_owner_hears_of_the_next_map(tmp_path: Path) -> None:
    """A name goes back while its owner asks for it: the client is sent to who has it, and does not wait in vain."""

    async def scenario() -> None:
        async with serving(tmp_path, 2) as targets:
            old, new = targets
            for one in targets:
                await one.create(BCK)
            name = next(name for name in map(str, range(40)) if owner_of(targets, name) is new)
            follow(targets, new)
            assert (await old.ask("PUT", name, data=bytes(SMALL_BYTES_MAX + 1))).status == 200
            follow(targets, late=(old,))
            asking = asyncio.create_task(new.ask("GET", name))
            await asyncio.sleep(0.2)  # by its map the other one owns the name
            assert not asking.done()
            follow(targets, new)
            answer = await asyncio.wait_for(asking, MAP_LAG_S_MAX / 2)
            assert (answer.status, answer.headers["Location"].startswith(old.url)) == (301, True)

    loop.run(scenario())


def test_slices_stand_for_nothing_that_an_earlier_owner_has(tmp_path: Path) -> None:
    """A copy of an older write is left on a target that was away; the newer one, which has none yet, is on its way."""

    async def scenario() -> None:
        async with serving(tmp_path, 3) as targets:
            group = Group(targets)
            await group.create({"ec": {"enabled": True, "data_slices": 1, "parity_slices": 1}})
            new = targets[0]
            name = next(name for name in map(str, range(40)) if owner_of(targets, name) is new)
            follow(targets, new)
            old = owner_of(targets, name)
            assert (await old.ask("PUT", name, data=b"older")).status == 200
            await group.settled()
            (path,) = group.slices(name)
            stale = Path(path).read_bytes()
            assert (await old.ask("PUT", name, data=b"newer")).status == 200
            await group.settled()
            Path(path).write_bytes(stale)
            follow(targets)
            assert owner_of(targets, name) is new
            assert (await new.ask("GET", name)).body == b"newer"
            await rebalanced(targets)
            assert (await new.ask("GET", name)).body == b"newer"

    loop.run(scenario())


def away(targets: list[LiveTarget], *gone: LiveTarget) -> None:
    """These targets do not answer; what moves goes on moving."""
    smap = targets[0].node.smap
    ids = {one.node.snode.id for one in gone}
    tmap = {
        node_id: msgspec.structs.replace(snode, flags=snode.flags & ~Flag.AWAY | (Flag.AWAY if node_id in ids else 0))
        for node_id, snode in smap.tmap.items()
    }
    for one in targets:
        take(one, msgspec.structs.replace(smap, tmap=tmap, version=smap.version + 1))


async def coded_elsewhere(targets: list[LiveTarget], name: str, patch: dict[str, Any]) -> tuple[LiveTarget, Group]:
    """An erasure-coded bucket, and who owns a name of the first target while that owns nothing."""
    group = Group(targets)
    await group.create(patch)
    follow(targets, targets[0])
    return owner_of(targets, name), group


@pytest.mark.parametrize("api", ["native", "s3"])
def test_what_slices_brought_is_no_reason_to_drop_older_versions(tmp_path: Path, api: str) -> None:
    """The latest version is read from slices while its earlier owner is away, who alone has the one below it."""

    async def scenario() -> None:
        async with serving(tmp_path, 4) as targets:
            new = targets[0]
            name = next(name for name in map(str, range(40)) if owner_of(targets, name) is new)
            patch = {"ec": {"enabled": True, "data_slices": 1, "parity_slices": 2}}
            old, group = await coded_elsewhere(targets, name, patch)
            props = new.node.bmd.require(BCK).props.with_s3(versioning="Enabled")
            await group.take(new.node.bmd.with_props(BCK, props))
            for body in (b"one", b"two"):
                assert (await old.s3("PUT", f"b/{name}", data=body)).status == 200
            await group.settled()
            for one in targets:
                for mountpath in one.volume.available:
                    shutil.rmtree(f"{mountpath.path}/@ais/b/%ec/%ve", ignore_errors=True)
            follow(targets)
            assert owner_of(targets, name) is new
            away(targets, old)
            answer = await (new.s3("GET", f"b/{name}") if api == "s3" else new.ask("GET", name))
            assert (answer.status, answer.body) == (200, b"two")
            away(targets)
            await rebalanced(targets)
            assert await contents(new, name) == [b"two", b"one"]
            assert await contents(old, name) == []

    loop.run(scenario())


@pytest.mark.parametrize("versioning", ["", "Enabled"])
def test_an_older_write_from_slices_gives_way_to_a_newer_one(tmp_path: Path, versioning: str) -> None:
    """A target that was away has a copy of it, and the newer write has none yet: its owner comes back with it."""

    async def scenario() -> None:
        async with serving(tmp_path, 3) as targets:
            new = targets[0]
            name = next(name for name in map(str, range(40)) if owner_of(targets, name) is new)
            patch = {"ec": {"enabled": True, "data_slices": 1, "parity_slices": 1}}
            old, group = await coded_elsewhere(targets, name, patch)
            if versioning:
                props = new.node.bmd.require(BCK).props.with_s3(versioning=versioning)
                await group.take(new.node.bmd.with_props(BCK, props))
            assert (await old.ask("PUT", name, data=b"older")).status == 200
            await group.settled()
            (path,) = group.slices(name)
            stale = Path(path).read_bytes()
            assert (await old.ask("PUT", name, data=b"newer")).status == 200
            await group.settled()
            for one in targets:
                for mountpath in one.volume.available:
                    shutil.rmtree(f"{mountpath.path}/@ais/b/%ec/%ve", ignore_errors=True)
            Path(path).write_bytes(stale)
            follow(targets)
            away(targets, old)
            assert (await new.ask("GET", name)).body == b"older"
            away(targets)
            await rebalanced(targets)
            assert (await new.ask("GET", name)).body == b"newer"
            if versioning:
                assert await contents(new, name) == [b"newer", b"older"]

    loop.run(scenario())


def test_s3_reads_from_slices_while_an_earlier_owner_is_away(tmp_path: Path) -> None:
    """As natively; that something is not there slices cannot say, and what changes it has to wait."""

    async def scenario() -> None:
        async with serving(tmp_path, 5) as targets:
            new = targets[0]
            coded, *names = [name for name in map(str, range(99)) if owner_of(targets, name) is new]
            patch = {"ec": {"enabled": True, "data_slices": 2, "parity_slices": 1, "objsize_limit": 0}}
            old, group = await coded_elsewhere(targets, coded, patch)
            bare = next(name for name in names if owner_of(targets, name) is old)
            for name in (coded, bare):
                assert (await owner_of(targets, name).ask("PUT", name, data=b"content")).status == 200
            await group.settled()
            for path in group.slices(bare):
                Path(path).unlink()
            follow(targets)
            away(targets, old)
            for method in ("GET", "HEAD"):
                answer = await new.s3(method, f"b/{coded}")
                assert (answer.status, answer.headers["Content-Length"]) == (200, "7"), method
                assert (await new.s3(method, f"b/{bare}")).status == 503
            assert (await new.s3("PUT", f"b/{bare}", data=b"other")).status == 503
            assert (await new.s3("DELETE", f"b/{bare}")).status == 503
            away(targets)
            assert (await new.s3("GET", f"b/{bare}")).body == b"content"

    loop.run(scenario())


def test_a_job_on_a_list_that_begins_by_a_later_map_says_so(tmp_path: Path) -> None:
    """One target has done its part by the map before, in which it did not own what it owns now; nobody did that."""

    async def scenario() -> None:
        async with serving(tmp_path, 2) as targets:
            old, new = targets
            for one in targets:
                await one.create(BCK)
            names = [f"o{number}" for number in range(40)]
            for name in names:
                assert (await owner_of(targets, name).ask("PUT", name, data=b"content")).status == 200
            smap = old.node.smap
            version, owners = int(smap.version), plan.owners(smap)
            task = GroupTask("groupJOB1", groups.DELETE, BCK, names=names, map_version=version, owners=owners)

            async def start(one: LiveTarget) -> str:
                body, lines = task.to_json(), {"Ais-Caller-Id": new.node.snode.id}
                assert (await one.call("PUT", f"{one.url}{groups.GROUPS}", data=body, headers=lines)).status == 200
                job = one.target.registry.get(task.uuid)
                await job.wait()
                return str(job.snap().err)

            assert await start(old) == ""
            follow(targets, new)
            assert "start again" in await start(new)

    loop.run(scenario())


def test_what_a_rule_removes_is_not_brought_back(tmp_path: Path) -> None:
    """It had been sent, and who owned it before was killed before he let go of it."""

    async def scenario() -> None:
        async with serving(tmp_path, 2) as targets:
            old, new = targets
            for one in targets:
                await one.create(BCK)
            name = next(name for name in map(str, range(40)) if owner_of(targets, name) is new)
            follow(targets, new)
            assert (await old.ask("PUT", name, data=b"content")).status == 200
            follow(targets)
            store, delete = old.target._store, old.target._store.delete
            store.delete = lambda *_, **__: None  # type: ignore[method-assign,assignment]
            view = old.target._front.views.require(BCK)
            await old.target._moves.give(view, name)
            store.delete = delete  # type: ignore[method-assign]
            page = await asyncio.to_thread(VersionLister(new.volume, new.node.env).page, BCK)
            job = new.target._lifecycle.start(ArgsMsg(id="lifecycle1"))
            (entry,) = page.entries
            await new.target._lifecycle._remove(job, S3Bucket(new.node.bmd.require(BCK)), entry)
            await rebalanced(targets)
            assert (await new.ask("GET", name)).status == 404

    loop.run(scenario())


@pytest.mark.parametrize("kind", ["object", "version", "slice"])
def test_a_target_that_was_given_up_while_it_was_sending_brings_nothing(tmp_path: Path, kind: str) -> None:
    """It stood still in the middle of a body: what it sends then may be deleted since."""

    async def scenario() -> None:
        async with serving(tmp_path, 3) as targets:
            old, new, _ = targets
            group, placement = Group(targets), old.node.placement
            await group.create(
                {"ec": {"enabled": True, "data_slices": 1, "parity_slices": 1}} if kind == "slice" else {}
            )
            if kind == "version":
                props = new.node.bmd.require(BCK).props.with_s3(versioning="Enabled")
                await group.take(new.node.bmd.with_props(BCK, props))
            ranks = [old.node.snode, new.node.snode]
            name = next(one for one in map(str, range(99)) if placement.order(BCK.uname + one)[:2] == ranks)
            assert (await old.ask("PUT", name, data=b"content")).status == 200
            await group.settled()
            for path in group.slices(name):
                Path(path).unlink()
            if kind != "slice":
                follow(targets, old)
            peers, sent, is_over = old.target._moves._peers, asyncio.Event(), asyncio.Event()

            async def stall(body: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
                whole = b"".join([chunk async for chunk in body])
                yield whole[:3]
                sent.set()
                await is_over.wait()
                yield whole[3:]

            exchange = peers._exchange

            async def exchange_slowly(session: Any, method: str, *asked: Any) -> Any:
                *rest, body, timeout_s = asked
                if method == "PUT" and kind != "slice":
                    body = stall(body)
                return await exchange(session, method, *rest, body, timeout_s)

            peers._exchange = exchange_slowly  # type: ignore[method-assign]
            view = old.target._front.views.require(BCK)
            if kind == "slice":
                slicer = old.target._ec._slicer

                async def send_slowly(node: Any, bck: Any, key: str, chunks: Any, size: int, **options: Any) -> None:
                    url = slicer._peers._url(node, bck, key, {})
                    lines = slicer._peers._headers()
                    answer = await peers.send_stream(url, headers=lines, chunks=stall(chunks), timeout_s=20)
                    assert answer.status == 403

                slicer._peers.send = send_slowly  # type: ignore[method-assign]
                giving = asyncio.create_task(old.target._ec._encoder.bring(BCK, name, at_once))
            else:
                giving = asyncio.create_task(old.target._moves.give(view, name))
            await sent.wait()
            smap = new.node.smap
            tmap = {node_id: one for node_id, one in smap.tmap.items() if node_id != old.node.snode.id}
            take(new, msgspec.structs.replace(smap, tmap=tmap, version=smap.version + 1))
            is_over.set()
            await asyncio.wait([giving])
            assert group.slices(name) == []
            assert not [path for path in group.files(name) if path.startswith(str(tmp_path / "t1"))]
            assert new.work_files() == []

    loop.run(scenario())


@pytest.mark.parametrize(("is_versioned", "together"), [(False, False), (True, False), (False, True)])
def test_what_was_on_a_disk_is_on_the_next_one_before_it_goes(
    tmp_path: Path, is_versioned: bool, together: bool
) -> None:
    """An object may have been written with `Ais-Ack: synced`, or be old: a move does not leave it to the page cache."""

    async def scenario() -> None:
        disk = Careful()
        async with serving(tmp_path, 2, disk) as targets:
            if is_versioned:
                await versioned(targets)
            else:
                for one in targets:
                    await one.create(BCK)
            for name in (f"d{number % 2}/o{number}" for number in range(16)):
                assert (await owner_of(targets, name).ask("PUT", name, data=name.encode())).status == 200
            gone = await targets[0].names(BCK)
            disk.dirty.clear()
            follow(targets, targets[0])
            view = targets[0].target._front.views.require(BCK)
            pool = targets[0].volume.available[0].pool
            if together:
                assert len(await targets[0].target._moves.give_together(view, gone, pool)) == len(gone)
            for name in gone if not together else ():
                assert await targets[0].target._scrub._rebalance.give(view, name)
            assert gone
            assert [path for path in disk.at_risk if path.startswith(f"{tmp_path}/t1/")] == []

    loop.run(scenario())


def test_what_cannot_have_all_its_copies_moves_without(tmp_path: Path) -> None:
    """A bucket may say that writes wait for copies, from when it had some."""

    async def scenario() -> None:
        async with serving(tmp_path, 2) as targets:
            for one in targets:
                await one.create(BCK, {"mirror": {"enabled": True}, "protection": {"ack": "all"}})
            name = next(name for name in map(str, range(99)) if owner_of(targets, name) is targets[0])
            assert (await targets[0].ask("PUT", name, data=b"content")).status == 200
            for one in targets:
                props = one.node.bmd.require(BCK).props
                mirror = msgspec.structs.replace(props.mirror, enabled=False)
                await one.take(one.node.bmd.with_props(BCK, msgspec.structs.replace(props, mirror=mirror)))
            follow(targets, targets[0])
            await rebalanced(targets)
            assert (await targets[1].ask("GET", name)).body == b"content"

    loop.run(scenario())


def test_what_a_target_that_leaves_has_removed_stays_noted(tmp_path: Path) -> None:
    """While a mountpath of another one may return: its notes go to one that stays, which tells them as its own."""

    async def scenario() -> None:
        async with serving(tmp_path, 3) as targets:
            stays, leaves, lacks = targets
            for one in targets:
                await one.create(BCK)
                take(one, plan.lacking(stays.node.smap, lacks.node.snode.id))
            name = next(name for name in map(str, range(99)) if owner_of(targets, name) is leaves)
            assert (await leaves.ask("PUT", name, data=b"content")).status == 200
            assert (await leaves.ask("DELETE", name)).status == 200
            follow(targets, leaves)
            await rebalanced(targets)
            url = f"{{}}{RETURNS}?{SINCE}=1"
            lines = {"Ais-Caller-Id": lacks.node.snode.id}
            told = [await one.call("GET", url.format(one.url), headers=lines) for one in (stays, lacks)]
            notes = [note for answer in told for note in codec.from_msgpack(answer.body, list[Note])]
            assert name in {note.path for note in notes}
            assert {note.uname for note in notes} == {BCK.uname}

    loop.run(scenario())
