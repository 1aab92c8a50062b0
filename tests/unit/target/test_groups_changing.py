"""Jobs on groups of objects whose buckets change meanwhile."""

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import pytest
from harness import loop
from harness.moving import owner_of
from harness.target import BCK, ENCRYPTION, LiveTarget, serving

from ais.api import groups
from ais.api.bucket import Bck
from ais.api.groups import GroupTask
from ais.core import sealing
from ais.s3 import encryption

TO = Bck("to")
NAMES = [f"o{number}" for number in range(30)]


async def run(target: LiveTarget, task: GroupTask) -> str:
    """Do a job on one target; the error it ended with."""
    lines = {"Ais-Caller-Id": target.node.snode.id}
    answer = await target.call("PUT", f"{target.url}{groups.GROUPS}", data=task.to_json(), headers=lines)
    assert answer.status == 200, answer.message
    job = target.target.registry.get(task.uuid)
    assert job is not None
    await job.wait()
    return str(job.snap().err)


@pytest.mark.parametrize("is_renamed", [False, True])
def test_a_copy_outlives_its_source(tmp_path: Path, is_renamed: bool) -> None:
    """A synchronized copy removes what its source has not; a bucket that was removed, or renamed, has nothing."""

    async def scenario() -> None:
        async with serving(tmp_path, 2) as targets:
            for one in targets:
                for bck in (BCK, TO):
                    await one.create(bck)
            mine, other = targets
            for name in NAMES:
                assert (await owner_of(targets, name, TO).ask("PUT", name, bucket="to", data=b"copy")).status == 200
            if is_renamed:
                for one in targets:
                    await one.begin_rename(BCK, Bck("renamed"), frozenset(mine.node.smap.tmap))
            else:
                await other.take(other.node.bmd.without_bucket(BCK))
            task = GroupTask("groupJOB1", groups.COPY_BUCKET, BCK, TO, synchronize=True, continue_on_error=True)
            error = await run(mine, task)
            assert "does not exist" in error
            for name in NAMES:
                if owner_of(targets, name, TO) is mine and (is_renamed or owner_of(targets, name, BCK) is other):
                    assert (await mine.ask("HEAD", name, bucket="to")).status == 200

    loop.run(scenario())


def test_what_is_copied_after_a_bucket_began_to_encrypt_is_encrypted(tmp_path: Path) -> None:
    """A job goes by what its destination says when an object comes, not when the job began."""

    async def scenario() -> None:
        async with serving(tmp_path) as [live]:
            for bck in (BCK, TO):
                await live.create(bck)
            for name in ("a", "b"):
                assert (await live.ask("PUT", name, data=b"content")).status == 200
            loop, store, copy = asyncio.get_running_loop(), live.target._store, live.target._store.copy

            async def encrypt() -> None:
                props = live.node.bmd.require(TO).props.with_s3(documents={encryption.DOCUMENT: ENCRYPTION})
                await live.take(live.node.bmd.with_props(TO, props))

            def copy_and_encrypt(*args: Any, **kwargs: Any) -> Any:
                store.copy = copy  # type: ignore[method-assign]
                done = copy(*args, **kwargs)
                asyncio.run_coroutine_threadsafe(encrypt(), loop).result()
                return done

            store.copy = copy_and_encrypt  # type: ignore[method-assign]
            task = GroupTask("groupJOB1", groups.COPY, BCK, TO, names=["a", "b"], workers=-1)
            assert await run(live, task) == ""
            sealed = [sealing.is_sealed(store.head(TO, name).meta) for name in ("a", "b")]
            assert sealed == [False, True]
            assert (await live.ask("GET", "b", bucket="to")).body == b"content"

    loop.run(scenario())


def test_what_got_a_name_since_it_was_deleted_stays(tmp_path: Path) -> None:
    """A target that was restarted deletes once more what it had deleted: not what was renamed to that since."""

    async def scenario() -> None:
        async with serving(tmp_path) as [live]:
            await live.create(BCK)
            for name in ("a", "renamed"):
                assert (await live.ask("PUT", name, data=name.encode())).status == 200
            task = GroupTask("groupJOB1", groups.DELETE, BCK, names=["a", "renamed"], continue_on_error=True)
            task = msgspec.structs.replace(task, started_ns=live.node.env.clock.now_ns() + 10**7)
            await asyncio.sleep(0.05)  # the file system's clock ticks every 10 ms at most
            assert (await live.ask("DELETE", "a")).status == 200
            assert (await live.act("POST", "renamed", "rename-obj", "a")).status == 200
            live.target._groups._begin(task, b"")
            job = live.target.registry.get(task.uuid)
            assert job is not None
            await job.wait()
            assert "was changed since the job began" in job.snap().err
            assert (await live.ask("GET", "a")).body == b"renamed"

    loop.run(scenario())
