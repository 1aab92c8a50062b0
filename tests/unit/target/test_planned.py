"""Jobs of all targets that are planned by one cluster map while some of them have the next one already."""

import asyncio
import dataclasses
import io
import tarfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from harness import loop
from harness.target import BCK, LiveTarget, serving, until

from ais.api import codec
from ais.api.download import DOWNLOADS, DownloadTask
from ais.api.dsort import DSORT
from ais.api.promotion import PROMOTIONS, PromoteTask
from ais.config.local import LocalConfig
from ais.config.sections import DistributedSort
from ais.dsort import spec
from ais.meta.smap import Flag, Smap
from ais.reb import plan

COUNT = 20
CONTENT = b"what a web server has"


@asynccontextmanager
async def _two(tmp_path: Path) -> AsyncIterator[tuple[LiveTarget, LiveTarget, Smap]]:
    """Who stays, who joins, and the map before that; both have the one after it."""
    async with serving(tmp_path / "targets", 2) as (stays, joins):
        before = stays.node.smap.with_flags(frozenset((joins.node.snode.id,)), Flag.MAINTENANCE)
        local = LocalConfig(egress_networks=("127.0.0.1/32",), promote_roots=(str(tmp_path / "files"),))
        for one in (stays, joins):
            _change(one, before.with_flags(frozenset((joins.node.snode.id,)), Flag(0)))
            one.node.config = dataclasses.replace(one.node.config, local=local)
            await one.create()
        yield stays, joins, before


def _change(one: LiveTarget, smap: Smap) -> None:
    one.node.smap = smap
    one.target.follow_map(smap)


def _of(one: LiveTarget, text: str) -> list[str]:
    """The names of those that `one` owns."""
    names = (text.format(number) for number in range(COUNT))
    return [name for name in names if one.node.placement.owner(BCK.uname + name).id == one.node.snode.id]


def _by(smap: Smap) -> dict[str, Any]:
    return {"map_version": int(smap.version), "owners": plan.owners(smap)}


async def _begin(one: LiveTarget, path: str, body: bytes) -> None:
    answer = await one.call("PUT", f"{one.url}{path}", data=body, headers={"Ais-Caller-Id": one.node.snode.id})
    assert answer.status == 200, answer.message


async def _end(one: LiveTarget, uuid: str) -> str:
    """The error that a job ended with."""
    job = one.target.registry.get(uuid)
    assert job is not None
    await job.wait()
    return str(job.snap().err)


async def _serve(_request: web.Request) -> web.Response:
    return web.Response(body=CONTENT)


@pytest.mark.parametrize("is_late", [False, True])
def test_a_download_that_begins_by_the_next_map_tells_who_joined(tmp_path: Path, is_late: bool) -> None:
    """Nobody else knows of the job there; who is told before it has that map waits for it."""

    async def scenario() -> None:
        app = web.Application()
        app.router.add_get("/{name}", _serve)
        async with TestServer(app, host="127.0.0.1") as server, _two(tmp_path) as (stays, joins, before):
            after = joins.node.smap
            if is_late:
                _change(joins, before)
            files = [(f"o{number}", str(server.make_url(f"/o{number}"))) for number in range(COUNT)]
            task = DownloadTask("dnl-JOB1", BCK, "", COUNT, 30, 0, 0, files=files, **_by(before))
            await _begin(stays, f"{DOWNLOADS}/{task.uuid}", codec.to_msgpack(task))
            await until(lambda: joins.target.registry.get(task.uuid) is not None)
            if is_late:
                await asyncio.sleep(0.1)
                _change(joins, after)
            assert [await _end(one, task.uuid) for one in (stays, joins)] == ["", ""]
            for one in (stays, joins):
                found = [await one.ask("GET", name) for name in _of(one, "o{}")]
                assert [answer.body for answer in found] == [CONTENT] * len(found)
                assert found

    loop.run(scenario())


def test_a_promotion_that_passed_what_became_of_others_says_so(tmp_path: Path) -> None:
    """Each target takes its own of what all see; who joined takes no part."""

    async def scenario() -> None:
        source = tmp_path / "files"
        source.mkdir()
        for number in range(COUNT):
            (source / f"o{number}").write_bytes(CONTENT)
        async with _two(tmp_path) as (stays, joins, before):
            task = PromoteTask("promJOB01", BCK, str(source), is_shared=True, **_by(before))
            await _begin(stays, f"{PROMOTIONS}/{task.uuid}", codec.to_json(task))
            assert "objects were missed" in await _end(stays, task.uuid)
            assert len(await stays.names(BCK)) == len(_of(stays, "o{}"))
            task = PromoteTask("promJOB02", BCK, str(source), is_shared=True, **_by(joins.node.smap))
            for one in (stays, joins):
                await _begin(one, f"{PROMOTIONS}/{task.uuid}", codec.to_json(task))
            assert [await _end(one, task.uuid) for one in (stays, joins)] == ["", ""]

    loop.run(scenario())


def test_a_sort_that_passed_what_became_of_others_says_so(tmp_path: Path) -> None:
    """The records of shards that nobody read would be missing, and no word of it."""

    async def scenario() -> None:
        async with _two(tmp_path) as (stays, joins, before):
            for one in (stays, joins):
                for name in _of(one, "s{}.tar"):
                    assert (await one.ask("PUT", name, data=_shard(name))).status == 200
            asked = {
                "input_bck": {"name": BCK.name},
                "input_format": {"template": f"s{{0..{COUNT - 1}}}.tar"},
                "output_format": "new-{0..99}",
                "output_shard_size": "1MiB",
                "dry_run": True,
            }
            task = spec.check(asked, "srt-JOB1", [stays.node.snode.id], DistributedSort(), 1 << 30)
            await _begin(stays, f"{DSORT}/{task.uuid}", codec.to_msgpack(msgspec.structs.replace(task, **_by(before))))
            assert "objects were missed" in await _end(stays, task.uuid)

    loop.run(scenario())


def _shard(name: str) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        entry = tarfile.TarInfo(f"record of {name}")
        archive.addfile(entry)
    return file.getvalue()
