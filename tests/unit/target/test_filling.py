"""Writing what a backend gives: readers may have it when it has come, also when nothing follows."""

import asyncio
import threading
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from harness.http import until
from harness.loop import run

from ais.backend.interface import Download, RemoteObject
from ais.target.remote.filling import AHEAD_BYTES_MAX, fill

CHUNKS = [b"first", b"while the first is written", b"the last"]
SIZE = sum(map(len, CHUNKS))


def test_what_came_is_told_while_the_backend_stalls() -> None:
    """What comes while a step runs is written after it, and not when more comes."""
    may_write, written = threading.Event(), bytearray()

    async def scenario() -> None:
        goes_on, told = asyncio.Event(), [0]

        async def chunks() -> AsyncIterator[bytes]:
            yield CHUNKS[0]
            yield CHUNKS[1]
            may_write.set()
            await goes_on.wait()
            yield CHUNKS[2]

        def take(piece: memoryview) -> None:
            may_write.wait()
            written.extend(piece)

        def took(count: int) -> None:
            told[0] += count

        with ThreadPoolExecutor(1) as pool:
            filling = asyncio.create_task(fill(Download(RemoteObject("o", SIZE), chunks()), SIZE, pool, take, took))
            await until(lambda: told[0] == len(CHUNKS[0] + CHUNKS[1]))
            goes_on.set()
            await filling
        assert (told[0], bytes(written)) == (SIZE, b"".join(CHUNKS))

    run(scenario())


@pytest.mark.parametrize("failing", range(len(CHUNKS)))
def test_a_disk_that_fails_ends_it(failing: int) -> None:
    """Whichever chunk it was, nothing is written after it."""
    written: list[bytes] = []

    async def scenario() -> None:
        async def chunks() -> AsyncIterator[bytes]:
            for chunk in CHUNKS:
                yield chunk
                await asyncio.sleep(0)

        def take(piece: memoryview) -> None:
            if piece == CHUNKS[failing]:
                raise OSError("the disk fails")
            written.append(bytes(piece))

        with ThreadPoolExecutor(1) as pool, pytest.raises(OSError, match="the disk fails"):
            await fill(Download(RemoteObject("o", SIZE), chunks()), SIZE, pool, take, lambda _: None)
        assert written == CHUNKS[:failing]

    run(scenario())


def test_a_pool_that_ends_ends_it() -> None:
    """A mountpath that is closed takes no further step: what has come is not waited for."""
    may_write = threading.Event()

    async def scenario() -> None:
        pool = ThreadPoolExecutor(1)

        async def chunks() -> AsyncIterator[bytes]:
            yield CHUNKS[0]
            pool.shutdown(wait=False)
            asyncio.get_running_loop().call_later(0.01, may_write.set)
            yield bytes(AHEAD_BYTES_MAX)

        download = Download(RemoteObject("o", SIZE), chunks())
        with pytest.raises(RuntimeError, match="shutdown"):
            await fill(download, SIZE, pool, lambda _: may_write.wait(), lambda _: None)

    run(scenario())
