"""Readers of an object that is on its way here get its bytes whether they keep pace or not, and nothing else."""

import asyncio
import os
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ais.backend.interface import RemoteObject
from ais.base.errors import Unreachable
from ais.net.http import FileSpan
from ais.target.remote.fetch import Fetch

PIECE = 200_000
CONTENT = os.urandom(40 * PIECE)


async def _read(spans: AsyncIterator[FileSpan], pause_s: float, found: bytearray) -> bytes:
    async for span in spans:
        found += os.pread(span.fd, span.length, span.offset)
        await asyncio.sleep(pause_s)
    return bytes(found)


@pytest.mark.parametrize("fails", [False, True])
def test_readers_follow(tmp_path: Path, fails: bool) -> None:
    """One reads as it comes, one far behind, one begins at the end; of what broke off all get an error, and nobody has
    the last byte before it is known that all is well."""

    async def scenario() -> None:
        with ThreadPoolExecutor(1) as pool:
            path, had = tmp_path / "work", [bytearray() for _ in range(3)]
            with path.open("wb", buffering=0) as file:
                fetch = Fetch("b/o")
                fetch.begin(RemoteObject("o", len(CONTENT)), os.open(path, os.O_RDONLY), pool)
                readers = [
                    asyncio.create_task(_read(fetch.follow(len(CONTENT)), pause_s, into))
                    for pause_s, into in zip((0, 0.002), had, strict=False)
                ]
                for start in range(0, len(CONTENT), PIECE):
                    file.write(CONTENT[start : start + PIECE])
                    fetch.wrote(PIECE)
                    await asyncio.sleep(0)
                async with asyncio.timeout(10):
                    while len(had[0]) < len(CONTENT) - 1:  # noqa: ASYNC110 - of a reader that tells nobody
                        await asyncio.sleep(0.001)
                await asyncio.sleep(0.01)
                assert had[0] == CONTENT[:-1]
                if fails:
                    fetch.end(Unreachable("it has another checksum"), is_kept=False)
                else:
                    readers.append(asyncio.create_task(_read(fetch.follow(len(CONTENT)), 0, had[2])))
                    fetch.release()
                    await asyncio.sleep(0)
                    fetch.end(None, is_kept=True)
                found = await asyncio.gather(*readers, return_exceptions=True)
        if fails:
            assert [str(one) for one in found] == ["it has another checksum"] * 2
        else:
            assert found == [CONTENT] * 3

    asyncio.run(scenario())


def test_what_is_not_kept_is_there_for_who_waited(tmp_path: Path) -> None:
    """Of an object that was changed meanwhile all is read when it is over; nobody who reads none of it keeps a file."""

    async def scenario() -> None:
        with ThreadPoolExecutor(1) as pool:
            path = tmp_path / "work"
            path.write_bytes(CONTENT)
            for is_kept in (True, False):
                before = len(os.listdir("/proc/self/fd"))
                fetch = Fetch("b/o")
                fetch.begin(RemoteObject("o", len(CONTENT)), os.open(path, os.O_RDONLY), pool)
                waiting = asyncio.create_task(fetch.unkept())
                idle = fetch.follow(len(CONTENT))
                await asyncio.sleep(0)
                fetch.wrote(len(CONTENT))
                fetch.release()
                fetch.end(None, is_kept=is_kept)
                found = await waiting
                assert (found is None) == is_kept
                if found is not None:
                    assert await _read(found, 0, bytearray()) == CONTENT
                await idle.aclose()
                assert len(os.listdir("/proc/self/fd")) == before

    asyncio.run(scenario())
