"""Objects that get other names: within a target, between targets, and whole buckets."""

import asyncio
import io
import os
import threading
from collections.abc import Callable
from typing import Any

from harness.moving import owner_of
from harness.target import LiveTarget, until

from ais.api import codec
from ais.api.bucket import Bck
from ais.api.xact import ArgsMsg, QueryMsg, Snap
from ais.core.version_listing import VersionLister
from ais.env.disk import Disk

Scenario = Callable[[Any], Any]
OTHER = Bck("other")
NAMES = [f"dir{index % 3}/o{index}" for index in range(40)]


async def fill(targets: list[LiveTarget], bck: Bck) -> None:
    """Store every name on its owner, with its name as content and one custom key; twice, so that it has version 2."""
    for name in NAMES:
        for content in (b"old", name.encode()):
            put = await owner_of(targets, name, bck).ask(
                "PUT", name, bucket=bck.name, data=content, headers={"Ais-Custom-Md": "k=v"}
            )
            assert put.status == 200


async def create_everywhere(targets: list[LiveTarget], bck: Bck) -> None:
    """A bucket on all targets."""
    for live in targets:
        await live.create(bck)


def test_rename_keeps_metadata_wherever_the_new_name_lives(serve: Any, run: Scenario) -> None:
    """On this or another mountpath or target: content, custom metadata and version move, the old name goes."""

    async def scenario() -> None:
        async with serve(2) as targets:
            await create_everywhere(targets, Bck("b"))
            await fill(targets, Bck("b"))
            for name in NAMES:
                source = owner_of(targets, name, Bck("b"))
                renamed = await source.act("POST", name, "rename-obj", f"new/{name}")
                assert (renamed.status, renamed.body) == (200, b"")
                assert (await source.ask("GET", name)).status == 404
                got = await owner_of(targets, f"new/{name}", Bck("b")).ask("GET", f"new/{name}")
                assert (got.status, got.body) == (200, name.encode())
                assert (got.headers["Ais-Version"], got.headers["Ais-Custom-Md"]) == ("2", "k=v")
            assert all(live.work_files() == [] for live in targets)

    run(scenario())


def test_rename_of_what_is_deleted_meanwhile(serve: Any, run: Scenario, monkeypatch: Any) -> None:
    """Deleted after another target has it under the new name: renamed, not a 404 that leaves an object behind."""

    async def scenario() -> None:
        async with serve(2) as targets:
            await create_everywhere(targets, Bck("b"))
            source = owner_of(targets, "o", Bck("b"))
            new_name = next(name for name in NAMES if owner_of(targets, name, Bck("b")) is not source)
            assert (await source.ask("PUT", "o", data=b"moved")).status == 200
            send = source.peers.send_file

            async def send_then_delete(*arguments: Any, **options: Any) -> Any:
                answer = await send(*arguments, **options)
                assert (await source.ask("DELETE", "o")).status == 200
                return answer

            monkeypatch.setattr(source.peers, "send_file", send_then_delete)
            assert (await source.act("POST", "o", "rename-obj", new_name)).status == 200
            assert (await owner_of(targets, new_name, Bck("b")).ask("GET", new_name)).body == b"moved"
            assert (await source.ask("GET", "o")).status == 404

    run(scenario())


def test_rename_refuses_nonsense(serve: Any, run: Scenario) -> None:
    """Onto itself and to bad names 400, of what is missing 404."""

    async def scenario() -> None:
        async with serve() as [live]:
            await live.create()
            await live.ask("PUT", "o", data=b"x")
            assert (await live.act("POST", "o", "rename-obj", "o")).status == 400
            assert (await live.act("POST", "o", "rename-obj", "../o")).status == 400
            assert (await live.act("POST", "o", "rename-obj", "")).status == 400
            assert (await live.act("POST", "none", "rename-obj", "p")).status == 404
            assert (await live.ask("GET", "o")).body == b"x"

    run(scenario())


def test_versions_are_kept_where_the_bucket_says_so(serve: Any, run: Scenario) -> None:
    """PUT, DELETE and rename, here and to the other target: nothing is lost that was not moved, old names are gone."""

    async def scenario() -> None:
        async with serve(2) as targets:
            for live in targets:
                await live.create()
                props = live.node.bmd.require(Bck("b")).props.with_s3(versioning="Enabled")
                await live.take(live.node.bmd.with_props(Bck("b"), props))
            await fill(targets, Bck("b"))
            for name in NAMES:
                source = owner_of(targets, name, Bck("b"))
                assert (await source.act("POST", name, "rename-obj", f"new/{name}")).status == 200
                assert (await source.ask("GET", name)).status == 404
                target = owner_of(targets, f"new/{name}", Bck("b"))
                assert (await target.ask("DELETE", f"new/{name}")).status == 200
                assert (await target.ask("GET", f"new/{name}")).status == 404
            found: dict[str, list[tuple[bool, int]]] = {}
            for live in targets:
                for entry in VersionLister(live.volume, live.node.env).page(Bck("b")).entries:
                    found.setdefault(entry.name, []).append((entry.is_marker, entry.size))
            assert found == {
                **{name: [(True, 0), (False, 3)] for name in NAMES},
                **{f"new/{name}": [(True, 0), (False, len(name))] for name in NAMES},
            }

    run(scenario())


def test_copy_to_another_bucket_and_target(serve: Any, run: Scenario) -> None:
    """The copy has content and custom metadata and its own version; the source stays."""

    async def scenario() -> None:
        async with serve(2) as targets:
            await create_everywhere(targets, Bck("b"))
            await create_everywhere(targets, OTHER)
            await fill(targets, Bck("b"))
            for name in NAMES:
                source = owner_of(targets, name, Bck("b"))
                uname = f"ais/@#/other/{name}"
                assert (await source.ask("PUT", name, query={"object_to": uname})).status == 200
                got = await owner_of(targets, name, OTHER).ask("GET", name, bucket="other")
                assert (got.status, got.body, got.headers["Ais-Custom-Md"]) == (200, name.encode(), "k=v")
                assert got.headers["Ais-Version"] == "1"
                assert (await source.ask("GET", name)).body == name.encode()

    run(scenario())


def test_copy_refuses_nonsense(serve: Any, run: Scenario) -> None:
    """Onto itself, malformed names, bodies 400; missing source or bucket 404; forbidden destination 403."""

    async def scenario() -> None:
        async with serve() as [live]:
            await live.create()
            await live.create(OTHER, {"access": "0"})
            await live.ask("PUT", "o", data=b"x")
            for uname, status in (
                ("ais/@#/b/o", 400),
                ("nonsense", 400),
                ("ais/@#/b/", 400),
                ("ais/@#/nope/o", 404),
                ("ais/@#/other/o", 403),
            ):
                assert (await live.ask("PUT", "o", query={"object_to": uname})).status == status
            body = await live.ask("PUT", "o", query={"object_to": "ais/@#/b/p"}, data=b"body")
            assert body.status == 400
            assert (await live.ask("PUT", "none", query={"object_to": "ais/@#/b/p"})).status == 404

    run(scenario())


async def begin(targets: list[LiveTarget]) -> ArgsMsg:
    """The rename of bucket `b` to `other` as the primary begins it."""
    ids = frozenset(live.node.snode.id for live in targets)
    for live in targets:
        await live.begin_rename(Bck("b"), OTHER, ids)
    return ArgsMsg(id="renRENren1", kind="move-bck", bck=Bck("b"), bck_to=OTHER.uname)


async def job(live: LiveTarget, action: str, args: ArgsMsg) -> int:
    """Start or stop an xaction; return the status."""
    body = codec.to_json({"action": action, "value": args})
    return (await live.call("PUT", f"{live.url}/v1/xactions", data=body)).status


async def snaps(live: LiveTarget, query: QueryMsg) -> list[Snap]:
    """What a target tells about xactions."""
    answer = await live.call("GET", f"{live.url}/v1/xactions", data=codec.to_json(query))
    assert answer.status == 200
    return codec.from_json(answer.body, list[Snap])


async def finish(live: LiveTarget, args: ArgsMsg) -> Snap:
    """Wait for the end of an xaction."""
    xaction = live.target.registry.get(args.id)
    assert xaction is not None
    await xaction.wait()
    [snap] = await snaps(live, QueryMsg(id=args.id))
    return snap


def test_a_bucket_is_renamed_object_by_object(serve: Any, run: Scenario) -> None:
    """Every object is found in the new bucket on its new owner, with its metadata; starting again changes nothing."""

    async def scenario() -> None:
        async with serve(2) as targets:
            await create_everywhere(targets, Bck("b"))
            await fill(targets, Bck("b"))
            args = await begin(targets)
            for live in targets:
                assert await job(live, "start", args) == 200
            moved = 0
            for live in targets:
                snap = await finish(live, args)
                assert (snap.err, snap.aborted, snap.src_bck, snap.dst_bck) == ("", False, Bck("b"), OTHER)
                moved += snap.stats.loc_objs
                assert await job(live, "start", args) == 200
            assert moved == len(NAMES)
            for name in NAMES:
                got = await owner_of(targets, name, OTHER).ask("GET", name, bucket="other")
                assert (got.status, got.body) == (200, name.encode())
                assert (got.headers["Ais-Version"], got.headers["Ais-Custom-Md"]) == ("2", "k=v")

    run(scenario())


def test_what_a_target_that_lags_behind_has_is_not_said_to_be_nowhere(serve: Any, run: Scenario) -> None:
    """It has an object of the old name and does not know the new one yet: a deletion there has to wait for it."""

    async def scenario() -> None:
        async with serve(2) as targets:
            await create_everywhere(targets, Bck("b"))
            await fill(targets, Bck("b"))
            quick, late = targets
            ids = frozenset(live.node.snode.id for live in targets)
            await quick.begin_rename(Bck("b"), OTHER, ids)
            of_quick = (name for name in NAMES if owner_of(targets, name, OTHER) is quick)
            name = next(name for name in of_quick if owner_of(targets, name, Bck("b")) is late)
            assert (await quick.s3("DELETE", f"other/{name}")).status == 503
            assert (await quick.s3("GET", f"other/{name}")).status == 503
            await late.begin_rename(Bck("b"), OTHER, ids)
            assert (await quick.s3("GET", f"other/{name}")).body == name.encode()
            assert (await quick.s3("DELETE", f"other/{name}")).status == 204
            assert (await quick.s3("GET", f"other/{name}")).status == 404

    run(scenario())


class SlowFsync(Disk):
    """A disk that takes until `release` to make a large file durable."""

    def __init__(self) -> None:
        self.is_syncing, self.release = threading.Event(), threading.Event()

    def fsync(self, fd: int, /) -> None:
        if os.fstat(fd).st_size > 1 << 20:
            self.is_syncing.set()
            self.release.wait(30)
        os.fsync(fd)


def test_a_put_that_is_being_made_visible_when_its_bucket_is_renamed_is_not_acknowledged_and_lost(
    serve: Any, run: Scenario
) -> None:
    """Nothing walks through the old bucket any more when it would come: it is refused."""

    async def scenario() -> None:
        disk = SlowFsync()
        async with serve(1, disk) as [live]:
            await live.create(patch={"protection": {"ack": "synced"}})
            putting = asyncio.create_task(live.ask("PUT", "o", data=io.BytesIO(bytes(2 << 20))))
            await until(disk.is_syncing.is_set)
            args = await begin([live])
            assert await job(live, "start", args) == 200
            assert (await finish(live, args)).err == ""
            disk.release.set()
            answer = await putting
            assert (answer.status, "does not exist" in answer.message) == (404, True)
            assert await live.names(Bck("b")) == await live.names(OTHER) == []
            assert not live.work_files()

    run(scenario())


def test_clients_use_the_new_name_while_objects_move(serve: Any, run: Scenario) -> None:
    """Before the job moved anything: reads, deletes, overwrites and listings of the new bucket see every object."""

    async def scenario() -> None:
        async with serve(2) as targets:
            await create_everywhere(targets, Bck("b"))
            await fill(targets, Bck("b"))
            args = await begin(targets)
            listed: list[str] = []
            for live in targets:
                listed += await live.names(OTHER)
            assert sorted(listed) == sorted(NAMES)
            read, deleted, overwritten, patched = NAMES[:4]

            def at(name: str) -> LiveTarget:
                return owner_of(targets, name, OTHER)

            assert (await at(read).ask("GET", read, bucket="other")).body == read.encode()
            assert (await at(deleted).ask("DELETE", deleted, bucket="other")).status == 200
            put = await at(overwritten).ask("PUT", overwritten, bucket="other", data=b"new")
            assert put.headers["Ais-Version"] == "3"
            assert (await at(patched).act("PATCH", patched, "", value={"a": "b"}, bucket="other")).status == 200
            old = await owner_of(targets, NAMES[5], Bck("b")).ask("GET", NAMES[5])
            assert old.status == 404
            for live in targets:
                await job(live, "start", args)
            for live in targets:
                assert (await finish(live, args)).err == ""
            assert (await at(deleted).ask("GET", deleted, bucket="other")).status == 404
            assert (await at(overwritten).ask("GET", overwritten, bucket="other")).body == b"new"
            listed = []
            for live in targets:
                assert await live.names(Bck("b")) == []
                listed += await live.names(OTHER)
            assert sorted(listed) == sorted(set(NAMES) - {deleted})

    run(scenario())


def test_a_rename_can_be_aborted_and_started_again(serve: Any, run: Scenario) -> None:
    """After an abort the snap says so, and the same ID goes on with what is left."""

    async def scenario() -> None:
        async with serve() as [live]:
            await live.create()
            await fill([live], Bck("b"))
            args = await begin([live])
            await job(live, "start", args)
            assert await job(live, "stop", ArgsMsg(id=args.id)) == 200
            assert (await finish(live, args)).aborted
            await job(live, "start", args)
            snap = await finish(live, args)
            assert (snap.aborted, snap.err) == (False, "")
            assert len(await live.names(OTHER)) == len(NAMES)

    run(scenario())


def test_a_damaged_object_does_not_hold_up_a_rename(serve: Any, run: Scenario) -> None:
    """Objects whose metadata is gone cannot be read anyway: the rename ends, all others are moved."""

    async def scenario() -> None:
        async with serve() as [live]:
            await live.create()
            await fill([live], Bck("b"))
            damaged = set(NAMES[:10])
            for one in live.volume.available:
                for path, _, files in os.walk(f"{one.path}/@ais/b/%ob"):
                    for name in files:
                        if os.path.relpath(f"{path}/{name}", f"{one.path}/@ais/b/%ob") in damaged:
                            os.removexattr(f"{path}/{name}", "user.ais.obj")
            args = await begin([live])
            await job(live, "start", args)
            assert (await finish(live, args)).err == ""
            for name in NAMES:
                expected = 500 if name in damaged else 200
                assert (await live.ask("GET", name, bucket="other")).status in (
                    expected,
                    404 if expected == 500 else 200,
                )

    run(scenario())


def test_only_a_rename_that_was_decided_starts(serve: Any, run: Scenario) -> None:
    """Without the mark in the bucket metadata the job is refused; unknown kinds are not implemented."""

    async def scenario() -> None:
        async with serve() as [live]:
            await live.create()
            await live.create(OTHER)
            args = ArgsMsg(id="renRENren1", kind="move-bck", bck=Bck("b"), bck_to=OTHER.uname)
            assert await job(live, "start", args) == 400
            assert await job(live, "start", ArgsMsg(id="abcABCabc1", kind="rebalance")) == 503
            assert await job(live, "start", ArgsMsg(id="abcABCabc1", kind="nonsense")) == 400
            assert await job(live, "start", ArgsMsg(kind="move-bck")) == 400
            assert await job(live, "stop", ArgsMsg()) == 400
            assert await job(live, "dance", ArgsMsg()) == 400
            assert await snaps(live, QueryMsg()) == []
            await until(lambda: not live.work_files())

    run(scenario())
