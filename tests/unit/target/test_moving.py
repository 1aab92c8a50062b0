"""What becomes an object by other ways than a PUT while names get other owners: its older versions come along."""

import asyncio
import dataclasses
import io
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from harness.coded import Group
from harness.target import BCK, CLUSTER_SECRET, MARKS, Answer, LiveTarget, serving, until
from yarl import URL

from ais.api import codec, groups
from ais.api.archive import ArchiveMsg
from ais.api.groups import GroupTask
from ais.api.xact import ArgsMsg
from ais.auth import marks
from ais.core.version_listing import VersionLister
from ais.meta.smap import Flag, Smap
from ais.reb import plan
from ais.s3 import peers
from ais.s3.documents import KeyToDelete
from ais.target.moves import MAP_LAG_S_MAX

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


def owner_of(targets: list[LiveTarget], name: str) -> LiveTarget:
    """Who owns a name by the present map."""
    owner = targets[0].node.placement.owner(BCK.uname + name).id
    return next(one for one in targets if one.node.snode.id == owner)


def follow(targets: list[LiveTarget], *away: LiveTarget, late: tuple[LiveTarget, ...] = ()) -> Smap:
    """The next map, in which these targets own nothing; those that are `late` do not hear of it yet.

    Nothing is said of what moved by the map before.
    """
    before = targets[0].node.smap
    snodes = {one.node.snode.id: one.node.snode for one in targets}
    gone = {one.node.snode.id for one in away}
    tmap = {
        node_id: msgspec.structs.replace(snode, flags=int(Flag.MAINTENANCE) if node_id in gone else 0)
        for node_id, snode in snodes.items()
    }
    before = msgspec.structs.replace(before, moving=msgspec.UNSET)
    after = plan.follow(before, msgspec.structs.replace(before, tmap=tmap, version=before.version + 1), has_data=True)
    for one in targets:
        if one not in late:
            take(one, after)
    return after


def settled_and_followed(targets: list[LiveTarget], late: LiveTarget) -> Smap:
    """The next map, after all knew that nothing moves any more; one target has yet to `take` it."""
    for one in targets:
        take(one, msgspec.structs.replace(one.node.smap, moving=msgspec.UNSET))
    return follow(targets, late=(late,))


def take(target: LiveTarget, smap: Smap) -> None:
    """What a node does with a new map."""
    target.node.smap = smap
    target.target.follow_map(smap)


async def redirected(target: LiveTarget, method: str, url: str, **kwargs: Any) -> tuple[Answer, list[str]]:
    """The answer in the end, and where the request was sent on the way."""
    way = []
    while (answer := await target.call(method, URL(url, encoded=True), **kwargs)).status in (301, 307):
        url = answer.headers["Location"]
        way.append(url)
        assert len(way) < 5
    return answer, way


async def rebalanced(targets: list[LiveTarget]) -> None:
    """Have every target give away what others own."""
    moving = targets[0].node.smap.moving
    assert moving
    for one in targets:
        job = one.target._scrub._rebalance.start(ArgsMsg(id=moving.id))
        await job.wait()
        assert not job.error, job.error


async def versioned(targets: list[LiveTarget]) -> tuple[list[str], list[str]]:
    """A bucket that keeps versions, and names of the first and the second target in it."""
    for one in targets:
        await one.create(BCK)
        props = one.node.bmd.require(BCK).props.with_s3(versioning="Enabled")
        await one.take(one.node.bmd.with_props(BCK, props))
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

    asyncio.run(scenario())


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

    asyncio.run(scenario())


def test_a_shard_is_begun_where_the_versions_of_its_name_are(tmp_path: Path) -> None:
    """A gateway asks the owner by a map that it has not yet: it waits for the map, and fetches what there is."""

    async def scenario() -> None:
        async with serving(tmp_path, 2) as targets:
            old, new = targets
            _, (name, *_) = await versioned(targets)
            follow(targets, new)
            assert (await old.ask("PUT", name, data=b"before")).status == 200
            smap = settled_and_followed(targets, late=new)
            view = new.target._front.views.require(BCK)
            beginning = asyncio.create_task(new.target._archiving.open_shard(view, ArchiveMsg(archive=name)))
            await asyncio.sleep(0.2)
            take(new, smap)
            writer, _ = await beginning
            writer.abort()
            assert await contents(new, name) == [b"before"]

    asyncio.run(scenario())


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

    asyncio.run(scenario())


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

    asyncio.run(scenario())


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

    asyncio.run(scenario())


def test_who_waits_for_an_earlier_owner_hears_of_the_next_map(tmp_path: Path) -> None:
    """A name goes back while its owner asks for it: the client is sent to who has it, and does not wait in vain."""

    async def scenario() -> None:
        async with serving(tmp_path, 2) as targets:
            old, new = targets
            for one in targets:
                await one.create(BCK)
            name = next(name for name in map(str, range(40)) if owner_of(targets, name) is new)
            follow(targets, new)
            assert (await old.ask("PUT", name, data=b"content")).status == 200
            follow(targets, late=(old,))
            asking = asyncio.create_task(new.ask("GET", name))
            await asyncio.sleep(0.2)  # by its map the other one owns the name
            assert not asking.done()
            follow(targets, new)
            answer = await asyncio.wait_for(asking, MAP_LAG_S_MAX / 2)
            assert (answer.status, answer.headers["Location"].startswith(old.url)) == (301, True)

    asyncio.run(scenario())


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

    asyncio.run(scenario())
