"""Requests that meet targets which know different cluster maps for a moment."""

import asyncio
import io
import itertools
from pathlib import Path

import pytest
from harness import loop
from harness.target import BCK, LiveTarget, serving

from ais.meta.smap import Flag, Smap
from ais.s3 import via
from ais.s3.via import Via
from ais.target.maps import mark_of, marked


@pytest.mark.parametrize("target", ["/v1/objects/b/o", "/v1/objects/b/o?provider=ais&pid=x&utm=1"])
def test_a_mark_is_read_where_it_is_put_and_replaces_an_earlier_one(target: str) -> None:
    """The version of the map is the last such parameter; what is no version says nothing."""
    once = marked(target, 7)
    assert once.startswith(target)
    assert mark_of(once.partition("?")[2]) == 7
    assert marked(once, 8) == marked(target, 8)
    assert [mark_of(text) for text in ("", "vpams=", "vpams=x", "vpams=-1", "vpams=٣", "a=7", "vpams=7&vpams=")] == [
        0
    ] * 7
    assert mark_of("vpams=6&vpams=7&a=1") == 7


def _change(one: LiveTarget, smap: Smap) -> None:
    one.node.smap = smap
    one.target.follow_map(smap)


def test_who_has_an_older_map_waits_for_the_one_by_which_it_was_sent_the_request(tmp_path: Path) -> None:
    """A redirect by a later map leads on, one by the same map does not; where the map is older the request waits."""

    async def scenario() -> None:
        async with serving(tmp_path, 2) as (stays, leaves):
            old = stays.node.smap
            new = old.with_flags(frozenset((leaves.node.snode.id,)), Flag.DECOMMISSION)
            for one in (stays, leaves):
                await one.create()
            owner = leaves.node.snode.id
            names = (f"o{number}" for number in itertools.count())
            name = next(one for one in names if leaves.node.placement.owner(BCK.uname + one).id == owner)
            _change(leaves, new)

            sent = f"{leaves.url}/v1/objects/b/{name}?provider=ais&pid=p&utm=1"
            on = await leaves.call("GET", marked(sent, int(old.version)))
            assert on.status == 301
            assert on.headers["Location"].startswith(f"{stays.url}/v1/objects/b/{name}?")
            assert on.headers["Location"].count("vpams=") == 1
            assert mark_of(on.headers["Location"].partition("?")[2]) == int(new.version)
            back = await leaves.call("GET", marked(sent, int(new.version)))
            assert (back.status, "try again" in back.message) == (503, True)

            now_s, here = int(stays.node.env.clock.now_ns() / 1e9), stays.node.snode.id
            note = Via("10.0.0.7:1", "http", time_s=now_s, to=here, by=owner, hops=1, map=int(new.version))
            header = via.header(note, stays.node.wire_key(owner), "GET", f"/s3/b/{name}")
            waiting = [
                asyncio.create_task(stays.call("GET", on.headers["Location"])),
                asyncio.create_task(stays.s3("GET", f"b/{name}", headers={via.HEADER: header})),
            ]
            done, _ = await asyncio.wait(waiting, timeout=0.2)
            assert not done
            _change(stays, new)
            assert [(await one).status for one in waiting] == [404, 404]

    loop.run(scenario())


@pytest.mark.parametrize("size", [0, 10, 3 << 20])
def test_a_put_is_stored_by_who_owns_the_name(tmp_path: Path, size: int) -> None:
    """A gateway may have a later map than the target that it sends to: what this one took, the owner by the map that
    others have would not show. Nothing is stored before both agree."""

    async def scenario() -> None:
        async with serving(tmp_path, 2) as (owner, other):
            for one in (owner, other):
                await one.create()
            here = owner.node.snode.id
            names = (f"o{number}" for number in itertools.count())
            name = next(one for one in names if owner.node.placement.owner(BCK.uname + one).id == here)
            assert (await owner.ask("PUT", name, data=b"before")).status == 200
            for _ in range(3):  # the second one is known
                sent = await other.ask("PUT", name, data=io.BytesIO(b"x" * size))
                assert sent.status == 307
                assert sent.headers["Location"].startswith(f"{owner.url}/v1/objects/b/{name}?")
            assert not any(path.endswith(f"/{name}") for path in other.files())
            assert not other.work_files()
            assert (await owner.call("PUT", sent.headers["Location"], data=io.BytesIO(b"x" * size))).status == 200
            assert (await owner.ask("GET", name)).body == b"x" * size

    loop.run(scenario())
