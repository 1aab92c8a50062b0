"""Objects that are read again and again: what was remembered of them is never served once it is no longer true."""

import os
from collections.abc import Callable
from typing import Any

import pytest
from harness.http import until

from ais.core.spots import RACY_NS
from ais.target import recent

Scenario = Callable[[Any], Any]
SIZES = [0, 1, recent.CONTENT_BYTES_MAX, recent.CONTENT_BYTES_MAX + 1, 100_000]


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


@pytest.mark.parametrize("size", [10, 100_000])
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
