"""Readers of an object that is on its way here get its bytes whether they keep pace or not, and nothing else."""

import asyncio
import os
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ais.backend.interface import RemoteObject
from ais.base.errors import Unreachable
from ais.target.remote.fetch import Fetch

PIECE = 200_000
CONTENT = os.urandom(40 * PIECE)


async def _read(chunks: AsyncIterator[bytes], pause_s: float) -> bytes:
    found = bytearray()
    async for chunk in chunks:
        found += chunk
        await asyncio.sleep(pause_s)
    return bytes(found)


@pytest.mark.parametrize("fails", [False, True])
def test_readers_follow(tmp_path: Path, fails: bool) -> None:
    """One reads as it comes, one far behind, one begins at the end; of what broke off all get an error."""

    async def scenario() -> None:
        with ThreadPoolExecutor(1) as pool:
            path = tmp_path / "work"
            with path.open("wb", buffering=0) as file:
                fetch = Fetch("b/o")
                fetch.begin(RemoteObject("o", len(CONTENT)), os.open(path, os.O_RDONLY), pool)
                readers = [asyncio.create_task(_read(fetch.follow(len(CONTENT)), pause_s)) for pause_s in (0, 0.002)]
                for start in range(0, len(CONTENT), PIECE):
                    piece = CONTENT[start : start + PIECE]
                    fetch.offer(piece)
                    await asyncio.sleep(0)  # the fast one reads before anything is written
                    file.write(piece)
                    fetch.wrote(len(piece))
                    if fails and start > len(CONTENT) // 2:
                        fetch.end(Unreachable("broke off"))
                        break
                else:
                    readers.append(asyncio.create_task(_read(fetch.follow(len(CONTENT)), 0)))
                    fetch.end(None)
                found = await asyncio.gather(*readers, return_exceptions=True)
        if fails:
            assert [str(one) for one in found] == ["broke off"] * 2
        else:
            assert found == [CONTENT] * 3

    asyncio.run(scenario())
