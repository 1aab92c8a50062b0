"""Listing pages, summaries and mountpath administration of one target."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from harness.target import until

from ais.api import codec
from ais.api.bucket import Bck
from ais.api.codec import U64
from ais.api.listing import EntryFlag, Flag, decode_page
from ais.api.summary import BsummResult
from ais.base.errors import BucketNotFound
from ais.net.http import Headers, Network, Peer, Request

Scenario = Callable[[Any], Any]
NAMES = ["a", "b/1", "b/2", "b/c/3", "d", "é"]


async def fill(live: Any) -> None:
    """A few objects, the first with custom metadata."""
    await live.create()
    for name in NAMES:
        head = {"Ais-Custom-Md": "k=v"} if name == "a" else {}
        assert (await live.ask("PUT", name, data=name.encode() * 3, headers=head)).status == 200


def test_pages_are_sorted_and_continue(serve: Any, run: Scenario) -> None:
    """Names in order, a token while there are more, prefix and start-after respected."""

    async def scenario() -> None:
        async with serve() as [live]:
            await fill(live)
            page = await live.page(Bck("b"), pagesize=4)
            assert [entry.n for entry in page.Entries] == sorted(NAMES)[:4]
            assert page.ContinuationToken == sorted(NAMES)[3]
            rest = await live.page(Bck("b"), pagesize=4, continuation_token=page.ContinuationToken, uuid=page.UUID)
            assert [entry.n for entry in rest.Entries] == sorted(NAMES)[4:]
            assert rest.ContinuationToken == ""
            assert await live.names(Bck("b"), prefix="b/") == ["b/1", "b/2", "b/c/3"]
            assert await live.names(Bck("b"), start_after="b/2") == ["b/c/3", "d", "é"]

    run(scenario())


def test_entries_carry_what_was_asked(serve: Any, run: Scenario) -> None:
    """Each property by name; a non-recursive listing shows directories once."""

    async def scenario() -> None:
        async with serve() as [live]:
            await fill(live)
            props = "name,size,version,checksum,atime,copies,custom,location,cached,status"
            page = await live.page(Bck("b"), props=props, time_format="2006")
            first = page.Entries[0]
            assert (first.n, first.s, first.v, first.c, first.m) == ("a", 3, "1", 1, "[k:v]")
            assert len(first.cs) == 16
            assert len(first.a) == 4
            assert first.t.startswith(f"{live.node.snode.name}:mp[")
            assert first.f == EntryFlag.PRESENT
            bare = (await live.page(Bck("b"), props="name", flags=U64(Flag.NAME_ONLY))).Entries[0]
            assert (bare.n, bare.s, bare.v, bare.f) == ("a", 0, "", EntryFlag.PRESENT)
            flat = await live.page(Bck("b"), flags=U64(Flag.NO_RECURSION))
            assert [(entry.n, entry.is_dir) for entry in flat.Entries] == [
                ("a", False),
                ("b/", True),
                ("d", False),
                ("é", False),
            ]
            flags = U64(Flag.NO_RECURSION | Flag.NO_DIRS)
            assert await live.names(Bck("b"), flags=flags, pagesize=1, start_after="a") == ["d"]

    run(scenario())


def test_a_gateway_is_answered_in_few_steps(serve: Any, run: Scenario) -> None:
    """One that is known, on the network of nodes, whose request is a listing and came in one piece: the same page as
    from the application, which gets all others.
    """

    async def scenario() -> None:
        async with serve() as [live]:
            await fill(live)
            value = {"uuid": "listLIST1", "props": "name,size", "flags": "0", "pagesize": 4, "prefix": "b/"}
            listed = codec.to_json({"action": "list", "name": "", "value": value})
            summed = codec.to_json({"action": "summary-bck", "name": "", "value": {}})

            def ask(
                body: bytes | None, *, caller: str = "", network: Network = Network.CONTROL, name: str = "b"
            ) -> Any:
                lines = (("ais-caller-id", caller or live.node.snode.id),)
                head = Headers(lines, content_length=len(listed))
                peer = Peer("127.0.0.1:1", network, "http")
                request = Request("GET", f"/v1/buckets/{name}?provider=ais", head, peer)
                request.body = None if body is None else memoryview(body)
                return live.target.route(request)

            reply = await ask(listed)
            page = await live.page(Bck("b"), props="name,size", pagesize=4, prefix="b/")
            assert (reply.status, decode_page(reply.body)) == (200, page)
            for other in (
                ask(None),
                ask(listed, caller="t[nobody]"),
                ask(listed, network=Network.PUBLIC),
                ask(summed),
                ask(b"{"),
            ):
                assert other is None
            with pytest.raises(BucketNotFound):
                ask(listed, name="none")

    run(scenario())


def test_a_missing_bucket_has_no_page(serve: Any, run: Scenario) -> None:
    """404 for the bucket, 400 for an unknown action."""

    async def scenario() -> None:
        async with serve() as [live]:
            body = codec.to_json({"action": "list", "value": {"pagesize": 10, "props": "name"}})
            assert (await live.call("GET", f"{live.url}/v1/buckets/nope?provider=ais", data=body)).status == 404
            body = codec.to_json({"action": "dance"})
            assert (await live.call("GET", f"{live.url}/v1/buckets/nope", data=body)).status == 400

    run(scenario())


def test_a_summary_is_counted_in_the_background(serve: Any, run: Scenario) -> None:
    """202 at the start, then the counts of this target; by prefix; unknown IDs are 404."""

    async def scenario() -> None:
        async with serve() as [live]:
            await fill(live)

            async def ask(uuid: str, name: str, path: str = "/b", prefix: str = "") -> Any:
                value = {"uuid": uuid, "prefix": prefix}
                body = codec.to_json({"action": "summary-bck", "name": name, "value": value})
                return await live.call("GET", f"{live.url}/v1/buckets{path}?provider=ais", data=body)

            async def result(uuid: str) -> BsummResult:
                await live.target.registry.get(uuid).wait()
                done = await ask(uuid, "")
                assert done.status == 200
                [one] = codec.from_json(done.body, list[BsummResult])
                return one

            assert (await ask("sumSUMsum1", "start")).status == 202
            one = await result("sumSUMsum1")
            sizes = [len(name.encode()) * 3 for name in NAMES]
            assert (one.name, one.ObjCount.obj_count_present) == ("b", len(NAMES))
            assert one.TotalSize.size_all_present_objs == sum(sizes)
            assert (one.ObjSize.obj_min_size, one.ObjSize.obj_max_size) == (min(sizes), max(sizes))
            assert one.TotalSize.total_disks_size > 0
            await ask("sumSUMsum2", "start", path="", prefix="b/")
            assert (await result("sumSUMsum2")).ObjCount.obj_count_present == 3
            assert (await ask("sumSUMsum3", "")).status == 404
            assert (await ask("sumSUMsum4", "start", path="/nope")).status == 404

    run(scenario())


def test_mountpaths_come_and_go(serve: Any, run: Scenario, tmp_path: Path) -> None:
    """Attach, disable, enable, detach with their statuses; buckets work on what is there."""

    async def scenario() -> None:
        async with serve() as [live]:
            await fill(live)
            third = tmp_path / "t0" / "mp3"
            third.mkdir()

            async def change(method: str, action: str, path: object) -> int:
                body = codec.to_json({"action": action, "value": path})
                return int((await live.call(method, f"{live.url}/v1/daemon/mountpaths?dntres=true", data=body)).status)

            assert await change("PUT", "attach-mp", str(third)) == 200
            assert await change("PUT", "attach-mp", str(third)) == 204
            assert str(third) in live.target.mountpaths.listing().available
            for name in [*NAMES, *(f"more{index}" for index in range(20))]:
                assert (await live.ask("PUT", name, data=b"new")).status == 200
            assert await change("POST", "disable-mp", str(third)) == 200
            assert await change("POST", "disable-mp", str(third)) == 204
            assert live.target.mountpaths.listing().disabled == [str(third)]
            assert await change("POST", "enable-mp", str(third)) == 200
            assert await change("POST", "enable-mp", str(third)) == 204
            for name in NAMES:
                assert (await live.ask("GET", name)).body == b"new"
            assert await change("DELETE", "detach-mp", str(third)) == 200
            assert await change("DELETE", "detach-mp", str(third)) == 404
            assert await change("PUT", "attach-mp", str(tmp_path / "none")) == 404
            assert await change("PUT", "attach-mp", "relative") == 400
            assert await change("PUT", "attach-mp", 5) == 400
            assert await change("POST", "rescan-mp", str(third)) == 501
            assert await change("POST", "attach-mp", str(third)) == 400

    run(scenario())


def test_capacity_and_disks(serve: Any, run: Scenario) -> None:
    """What administrators see: each mountpath with its file system and space, totals, disks."""

    async def scenario() -> None:
        async with serve() as [live]:
            shown = codec.to_builtins(live.target.daemon_value("disk"))
            assert sorted(shown["mountpaths"]) == sorted(one.path for one in live.volume.available)
            assert {"cs_err", "total_used", "total_avail", "pct_max", "pct_avg", "pct_min", "AllDiskStats"} <= set(
                shown
            )
            assert set(codec.to_builtins(live.target.daemon_value("mountpaths"))) == {
                "available",
                "waiting_dd",
                "disabled",
            }
            assert live.target.daemon_value("smap") is None
            assert live.target.status()["capacity"].total_avail > 0
            assert live.target.state_flags() == 0

    run(scenario())


def test_removed_buckets_leave_nothing(serve: Any, run: Scenario) -> None:
    """After the new bucket metadata is taken objects are gone, and the trash is emptied."""

    async def scenario() -> None:
        async with serve() as [live]:
            await fill(live)
            await live.take(live.node.bmd.without_bucket(Bck("b")))
            assert (await live.ask("GET", "a")).status == 404
            roots = [Path(one.path) for one in live.volume.available]
            await until(lambda: not any("%ob" in names for root in roots for _, names, _ in os.walk(root)))
            await live.create()
            assert (await live.ask("GET", "a")).status == 404
            assert await live.names(Bck("b")) == []

    run(scenario())


def test_a_bucket_change_that_is_aborted_leaves_no_directories(serve: Any, run: Scenario) -> None:
    """What prepare made, abort removes."""

    async def scenario() -> None:
        async with serve() as [live]:
            await live.create()
            old = live.node.bmd
            new = old.with_bucket(Bck("c"), old.require(Bck("b")).props)
            await live.target.prepare_bmd(old, new)
            assert Bck("c") in live.volume.buckets()
            await live.target.abort_bmd(old, new)
            assert set(live.volume.buckets()) == {Bck("b")}

    run(scenario())
