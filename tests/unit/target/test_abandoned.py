"""Work that is given up while a thread writes for it: the thread must not write into what others have opened since."""

import asyncio
import io
import itertools
import os
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from harness.coded import Group
from harness.slow_disk import SlowDisk
from harness.target import BCK, LiveTarget, until

from ais.api import codec, headers
from ais.api.archive import ARCHIVE, ArchiveMsg, ArchiveTask
from ais.api.bucket import Bck
from ais.api.codec import U64
from ais.meta.bmd import inherited_props

Scenario = Callable[[Any], Any]
PIECE = os.urandom(900_000)


async def _put_while(live: LiveTarget, disk: SlowDisk, bucket: str, is_over: Callable[[], Awaitable[Any]]) -> None:
    """PUT an object; in the middle of its body, which is on the disk, the slow write goes on and the work ends."""

    async def body() -> AsyncIterator[bytes]:
        for _ in range(4):
            yield PIECE
        await until(lambda: any(os.path.getsize(path) >= len(PIECE) for path in live.work_files()))
        disk.release.set()
        await is_over()
        yield PIECE

    names, here = (f"victim{number}" for number in itertools.count()), live.node.snode.id
    name = next(one for one in names if live.node.placement.owner(Bck(bucket).uname + one).id == here)
    assert (await live.ask("PUT", name, bucket=bucket, data=body())).status == 200
    assert (await live.ask("GET", name, bucket=bucket)).body == 5 * PIECE
    assert disk.is_still_its_file


async def _archive(live: LiveTarget, uuid: str, message: ArchiveMsg) -> Any:
    body = codec.to_json(ArchiveTask(uuid, BCK, BCK, message))
    started = await live.call("PUT", live.url + ARCHIVE, data=body, headers={headers.CALLER_ID: live.node.snode.id})
    assert started.status == 200
    return live.target.registry.get(uuid)


@pytest.mark.parametrize("append", [False, True])
def test_an_aborted_archive_writes_nothing_into_a_put_that_came_after_it(
    serve: Any, run: Scenario, append: bool
) -> None:
    """The PUT's file may get the number of the shard's descriptor: it has its own bytes alone, and all of them."""

    async def scenario() -> None:
        disk = SlowDisk()
        async with serve(1, disk) as [live]:
            await live.create()
            assert (await live.ask("PUT", "source", data=PIECE)).status == 200
            if append:
                job = await _archive(live, "archARCH1", ArchiveMsg(archive="s.tar", to=BCK, names=["source"]))
                await until(lambda: not job.is_running)
            disk.is_armed = True
            aborted = await _archive(
                live, "archARCH2", ArchiveMsg(archive="s.tar", to=BCK, names=["source"], append=append)
            )
            await until(disk.is_writing.is_set)
            for _ in range(2):
                live.target.registry.abort(aborted, "enough")
                await asyncio.sleep(0.1)

            async def is_over() -> None:
                await until(lambda: not aborted.is_running)
                await asyncio.sleep(0.1)

            await _put_while(live, disk, "b", is_over)
            assert aborted.is_aborted
            assert not live.work_files()

    run(scenario())


def test_a_client_that_leaves_while_an_object_is_put_together_harms_no_put(serve: Any, run: Scenario) -> None:
    """A read of what is kept as slices alone is given up: a PUT that comes meanwhile has its own bytes alone."""
    patch = {
        "ec": {"enabled": True, "data_slices": 2, "parity_slices": 1, "objsize_limit": 1000},
        "protection": {"slices_only": True},
        "checksum": {"enable_read_range": True},
    }

    async def scenario() -> None:
        disk = SlowDisk()
        async with serve(3, disk) as targets:
            group = Group(targets)
            await group.create(patch)
            live = group.owner("o")
            assert (await live.ask("PUT", "o", data=io.BytesIO(4 * PIECE))).status == 200
            await group.settled()
            await live.create(Bck("plain"))
            disk.is_armed = True
            _, writer = await asyncio.open_connection("127.0.0.1", int(live.url.rpartition(":")[2]))
            writer.write(b"GET /v1/objects/b/o?provider=ais HTTP/1.1\r\nHost: t\r\nRange: bytes=0-9\r\n\r\n")
            await until(disk.is_writing.is_set)
            reset = struct.pack("ii", 1, 0)
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, reset)
            writer.close()
            await asyncio.sleep(0.2)

            async def is_over() -> None:
                await until(lambda: disk.is_still_its_file is not None)

            await _put_while(live, disk, "plain", is_over)

    run(scenario())


@pytest.mark.parametrize("is_made_again", [False, True])
def test_a_job_does_not_outlive_its_bucket(serve: Any, run: Scenario, is_made_again: bool) -> None:
    """Also when a target that was away hears at once that the bucket is another one of the same name."""

    async def scenario() -> None:
        async with serve(1) as [live]:
            await live.create()
            job = live.target.registry.start("evict-listrange", "jobJOB001", lambda _: asyncio.Event().wait(), bck=BCK)
            bmd = live.node.bmd.without_bucket(BCK)
            if is_made_again:
                props = inherited_props(BCK, live.node.config.cluster, U64((1 << 63) + 99), 1)
                bmd = bmd.with_bucket(BCK, props)
            await live.take(live.node.bmd.with_props(BCK, live.node.bmd.require(BCK).props))
            assert not job.is_aborted
            await live.take(bmd)
            await until(lambda: not job.is_running)
            assert job.is_aborted

    run(scenario())
