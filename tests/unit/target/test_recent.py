"""Objects that are read again and again: what was remembered of them is never served once it is no longer true."""

import asyncio
import os
from collections.abc import Callable
from typing import Any

import pytest
from harness.http import until
from harness.target import BCK
from harness.usual import Ahead

from ais.core.spots import RACY_NS
from ais.target import recent

Scenario = Callable[[Any], Any]
SIZES = [0, 1, 16 << 10, recent.CONTENT_BYTES_MAX, recent.CONTENT_BYTES_MAX + 1, 300_000]


async def _settled(live: Any, name: str) -> None:
    """Read until the file is old enough to be remembered, and once more so that it is."""
    path = next(path for path in live.files() if path.endswith(name))
    await until(lambda: live.node.env.clock.now_ns() - os.stat(path).st_ctime_ns > RACY_NS)
    for _ in range(3):
        assert (await live.ask("GET", name)).status == 200


@pytest.mark.parametrize("size", SIZES)
def test_repeated_reads_are_the_same(serve: Any, run: Scenario, size: int) -> None:
    """Body and headers of the first GET and of a later one are equal; ranges and HEAD are not affected."""

    async def scenario() -> None:
        async with serve() as [live]:
            await live.create()
            content = os.urandom(size)
            await live.ask("PUT", "dir/o", data=content)
            first = await live.ask("GET", "dir/o")
            await _settled(live, "dir/o")
            again = await live.ask("GET", "dir/o")
            assert first.body == again.body == content
            same = ("Ais-Checksum-Value", "Ais-Version", "Content-Length", "Content-Type")
            assert [first.headers[name] for name in same] == [again.headers[name] for name in same]
            assert (await live.ask("HEAD", "dir/o")).headers["Content-Length"] == str(size)
            if size > 1:
                part = await live.ask("GET", "dir/o", headers={"Range": "bytes=1-1"})
                assert (part.status, part.body) == (206, content[1:2])

    run(scenario())


@pytest.mark.parametrize("size", [10, recent.CONTENT_BYTES_MAX, 100_000])
def test_changes_are_seen_at_once(serve: Any, run: Scenario, size: int) -> None:
    """An overwrite of equal size, new custom metadata, a delete, a bucket made anew: the next GET knows."""

    async def scenario() -> None:
        async with serve() as [live]:
            await live.create()
            for content in (b"a" * size, b"b" * size):
                await live.ask("PUT", "o", data=content)
                assert (await live.ask("GET", "o")).body == content
                await _settled(live, "o")
                assert (await live.ask("GET", "o")).body == content
            await live.act("PATCH", "o", "", value={"k": "v"})
            assert (await live.ask("GET", "o")).headers["Ais-Custom-Md"] == "k=v"
            await _settled(live, "o")
            await live.ask("DELETE", "o")
            assert (await live.ask("GET", "o")).status == 404
            assert live.node.stats.counters()["get.n"] > 8

    run(scenario())


@pytest.mark.parametrize("count", [1, 10_000])
@pytest.mark.parametrize("change", ["overwrite", "props", "delete", "destroy bucket", "disable mountpath"])
def test_a_read_in_the_same_words_sees_changes_at_once(serve: Any, run: Scenario, change: str, count: int) -> None:
    """What is given from memory without a look at the request or the file ends with the answer to a change."""

    async def scenario() -> None:
        async with serve() as [live]:
            await live.create()
            await live.ask("PUT", "o", data=b"before" * count)
            await _settled(live, "o")

            async def read() -> Any:
                return await live.call("GET", f"{live.url}/v1/objects/b/o?provider=ais")

            for _ in range(6):
                assert (await read()).body == b"before" * count
            assert live.server._hub.repeats
            answers = live.node.stats.counters()["get.n"]
            if change == "overwrite":
                await live.ask("PUT", "o", data=b"after!" * count)
                assert (await read()).body == b"after!" * count
            elif change == "props":
                await live.act("PATCH", "o", "", value={"k": "v"})
                assert (await read()).headers["Ais-Custom-Md"] == "k=v"
            elif change == "delete":
                await live.ask("DELETE", "o")
                assert (await read()).status == 404
            elif change == "destroy bucket":
                await live.take(live.node.bmd.without_bucket(BCK))
                assert (await read()).status == 404
            else:
                path = next(path for path in live.files() if path.endswith("/o"))
                live.volume.disable(next(one.path for one in live.volume.available if path.startswith(one.path + "/")))
                assert (await read()).status == 503
            assert live.node.stats.counters()["get.n"] >= answers

    run(scenario())


def test_a_change_behind_our_back_is_seen_within_a_second(serve: Any, run: Scenario) -> None:
    """A file that somebody replaced on the disk is served once it was looked at again, not later."""

    async def scenario() -> None:
        async with serve() as [live]:
            await live.create()
            await live.ask("PUT", "o", data=b"before")
            await _settled(live, "o")
            url = f"{live.url}/v1/objects/b/o?provider=ais"
            for _ in range(6):
                assert (await live.call("GET", url)).body == b"before"
            assert live.server._hub.repeats
            path = next(path for path in live.files() if path.endswith("/o"))
            os.unlink(path)
            await asyncio.sleep(recent.UNCHECKED_NS_MAX / 1e9)
            assert (await live.call("GET", url)).status == 404

    run(scenario())


def test_what_is_kept_is_bounded(serve: Any, run: Scenario, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the limits the oldest contents and entries go; every object still reads right."""
    monkeypatch.setattr(recent, "CONTENTS_BYTES_MAX", 50)
    monkeypatch.setattr(recent, "ENTRIES_MAX", 5)

    async def scenario() -> None:
        async with serve() as [live]:
            await live.create()
            for number in range(12):
                await live.ask("PUT", f"o{number}", data=b"%02d" % number * 5)
            for _ in range(3):
                for number in range(12):
                    await _settled(live, f"o{number}")
                    assert (await live.ask("GET", f"o{number}")).body == b"%02d" % number * 5

    run(scenario())


def test_large_ones_wait_for_room(serve: Any, run: Scenario, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is kept is not pushed out by a large one before its time is over, but by a small one; all read right."""
    monkeypatch.setattr(recent, "CONTENTS_BYTES_MAX", 3 * recent.CONTENT_BYTES_MAX)
    clock = Ahead()

    async def scenario() -> None:
        async with serve(clock=clock) as [live]:
            await live.create()
            kept = live.target._objects._recent._kept.by_key
            contents = {f"o{number}": os.urandom(recent.CONTENT_BYTES_MAX) for number in range(4)}

            async def read(name: str) -> None:
                await _settled(live, name)
                assert (await live.ask("GET", name)).body == contents[name]

            def names() -> list[str]:
                return [path.rpartition("/")[2] for path in kept]

            for name, content in contents.items():
                await live.ask("PUT", name, data=content)
                await read(name)
            assert names() == ["o0", "o1", "o2"]
            clock.ahead_ns = recent.CONTENT_AGE_NS_MAX
            await read("o3")
            assert names() == ["o1", "o2", "o3"]
            await read("o1")
            assert names() == ["o2", "o3", "o1"]
            contents["small"] = b"small"
            await live.ask("PUT", "small", data=contents["small"])
            await read("small")
            assert names() == ["o3", "o1", "small"]
            await read("o2")
            assert names() == ["o3", "o1", "small"]

    run(scenario())
