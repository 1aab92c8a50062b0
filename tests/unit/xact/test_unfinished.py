"""What a target was told to do, and is to go on with after a restart until it has come to its end."""

import asyncio
import os
import time
from pathlib import Path

import pytest

from ais.env import Env
from ais.env.clock import SystemClock
from ais.env.disk import Disk
from ais.fs.volume import Volume
from ais.xact.registry import Registry, Xaction
from ais.xact.unfinished import DIRECTORY, Unfinished


class SlowDisk(Disk):
    """Takes its time to forget a job, and knows what was synced."""

    def __init__(self) -> None:
        self.synced: list[str] = []

    def unlink(self, path: str) -> None:  # type: ignore[override]
        time.sleep(0.1)
        os.unlink(path)

    def fsync(self, fd: int) -> None:  # type: ignore[override]
        os.fsync(fd)
        self.synced.append(os.readlink(f"/proc/self/fd/{fd}"))


@pytest.mark.parametrize("how", ["well", "failing", "aborted"])
def test_who_sees_a_job_ended_sees_it_begin_no_more(tmp_path: Path, how: str) -> None:
    """Killed then, or without power, it would be done once more: over what was written since its end."""

    async def work(_: Xaction) -> None:
        if how == "failing":
            raise ValueError("failed")
        if how == "aborted":
            await asyncio.Event().wait()

    async def scenario() -> None:
        volume, disk = Volume.load_or_create(Env(), [str(tmp_path)]), SlowDisk()
        registry = Registry(SystemClock(), None, Unfinished(disk, lambda: volume.available))
        await registry.recall()
        await registry.keep("copyJOB01", "copy-bck", b"{}")
        assert {str(tmp_path), f"{tmp_path}/{DIRECTORY}"} <= set(disk.synced)
        disk.synced.clear()
        assert [task.uuid for task in Unfinished(disk, lambda: volume.available).load()] == ["copyJOB01"]
        job = registry.start("copy-bck", "copyJOB01", work)
        await asyncio.sleep(0)
        if how == "aborted":
            registry.abort(job, "aborted by user")
        await job.wait()
        assert Unfinished(disk, lambda: volume.available).load() == []
        assert f"{tmp_path}/{DIRECTORY}" in disk.synced
        await registry.close()
        volume.close()

    asyncio.run(scenario())
