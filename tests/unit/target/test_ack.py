"""What the answer to a write promises, as the bucket says or the request: kept, or refused with nothing left behind."""

import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from harness import loop
from harness.coded import BCK, EC, Group, run
from harness.target import LiveTarget, serving

from ais.api.ack import HEADER, Ack
from ais.base.errors import BadRequest
from ais.config import features
from ais.env.disk import Disk
from ais.meta.bmd import Bprops, apply_props

BODY = os.urandom(5000)
ALONE: dict[str, Any] = {"ec": EC["ec"], "protection": {"slices_only": True}}
MIRRORED: dict[str, Any] = {"mirror": {"enabled": True, "copies": 2}}


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was synced: paths below the buckets' directories."""
    paths: list[str] = []

    def sync(fd: int, really: Callable[[int], None]) -> None:
        if path := os.readlink(f"/proc/self/fd/{fd}").partition("/@ais/b/")[2]:
            paths.append(path)
        really(fd)

    monkeypatch.setattr(Disk, "fsync", staticmethod(lambda fd: sync(fd, os.fsync)))
    monkeypatch.setattr(Disk, "fdatasync", staticmethod(lambda fd: sync(fd, os.fdatasync)))
    return paths


def one(root: Path, patch: dict[str, Any], scenario: Callable[[LiveTarget], Any]) -> None:
    """Run a scenario on one target with two mountpaths."""

    async def on_one() -> None:
        async with serving(root) as (target,):
            await target.create(BCK, patch)
            await scenario(target)

    loop.run(on_one())


def files(targets: list[LiveTarget], content: str) -> list[str]:
    """Files below `content` of the bucket on all mountpaths."""
    roots = [f"{mountpath.path}/@ais/b/{content}" for target in targets for mountpath in target.volume.available]
    return [os.path.join(base, file) for root in roots for base, _, found in os.walk(root) for file in found]


@pytest.mark.parametrize("by", ["header", "query", "s3", "bucket"])
def test_synced_writes_sync_what_they_changed(tmp_path: Path, synced: list[str], by: str) -> None:
    """Content before its name, then the directory; writes that did not ask sync nothing."""
    patch = {"protection": {"ack": "synced"}} if by == "bucket" else {}

    async def scenario(target: LiveTarget) -> None:
        asked = {"headers": {HEADER: "synced"}} if by in ("header", "s3") else {}
        if by == "s3":
            answer = await target.s3("PUT", "b/o", data=BODY, **asked)
        else:
            query = {"ack": "synced"} if by == "query" else None
            answer = await target.ask("PUT", "o", data=BODY, query=query, **asked)
        assert answer.status == 200, answer.body
        content, *directories = synced
        assert content.startswith("%wk/")
        assert directories == ["%ob"]
        synced.clear()
        level = {"headers": {HEADER: "cached"}} if by == "bucket" else {}
        assert (await target.ask("PUT", "o", data=BODY, **level)).status == 200
        assert synced == []

    one(tmp_path, patch, scenario)


def test_all_copies_of_a_mirrored_bucket(tmp_path: Path) -> None:
    """One copy and its answer come together; with a mountpath too few the write fails and leaves nothing."""

    async def scenario(target: LiveTarget) -> None:
        target.target._mirror._following._loop = None  # nobody makes copies afterwards
        assert (await target.ask("PUT", "later", data=BODY)).status == 200
        assert files([target], "%cp") == []
        assert (await target.ask("PUT", "o", data=BODY, headers={HEADER: "all"})).status == 200
        assert (await target.s3("PUT", "b/s", data=BODY, headers={HEADER: "all-synced"})).status == 200
        assert sorted(os.path.basename(path) for path in files([target], "%cp")) == ["o", "s"]
        props = apply_props(target.node.bmd.require(BCK).props, {"mirror": {"copies": 3}}, 1)
        target.node.bmd = target.node.bmd.with_props(BCK, props)
        await target.target._follow_props(target.node.bmd)
        answer = await target.ask("PUT", "new", data=BODY, headers={HEADER: "all"})
        assert answer.status == 503, answer.message
        assert (await target.ask("GET", "new")).status == 404
        assert target.work_files() == []

    one(tmp_path, MIRRORED, scenario)


@pytest.mark.parametrize("patch", [EC, ALONE])
@pytest.mark.parametrize("body", [b"small", BODY])
def test_all_slices_of_a_coded_bucket(tmp_path: Path, patch: dict[str, Any], body: bytes) -> None:
    """With the answer every slice or copy is stored; with a target too few it fails, old content and all as before."""

    async def scenario(group: Group) -> None:
        await group.create(patch)
        for target in group.targets:
            target.target._ec._following._loop = None  # nobody makes slices afterwards
        owner = group.owner("o")
        answer = await owner.ask("PUT", "o", data=io.BytesIO(body), headers={HEADER: "all"})
        assert answer.status == 200, answer.message
        count = 3 if len(body) >= 1000 else 1
        assert len(group.slices("o")) == count
        before = await owner.ask("HEAD", "o")
        others = [one for one in group.targets if one is not owner]
        group.away(*others[: 4 - count + (patch is ALONE and count == 3)])
        answer = await owner.ask("PUT", "o", data=io.BytesIO(body + b"?"), headers={HEADER: "all"})
        assert answer.status == 503, answer.message
        answer = await owner.ask("PUT", "new", data=io.BytesIO(body), headers={HEADER: "all-synced"})
        group.away()
        assert (await owner.ask("GET", "o")).body == body
        assert (await owner.ask("HEAD", "o")).headers["Ais-Version"] == before.headers["Ais-Version"]
        assert files(group.targets, "%es") == []
        assert [path for one in group.targets for path in one.work_files()] == []

    run(tmp_path, 4, scenario)


@pytest.mark.parametrize(
    ("patch", "level", "method"),
    [({}, "all", "PUT"), ({}, "sometimes", "PUT"), ({}, "all-synced", "DELETE"), (MIRRORED, "", "PUT")],
)
def test_what_cannot_be_promised_is_refused(tmp_path: Path, patch: dict[str, Any], level: str, method: str) -> None:
    """400 for levels that do not exist, or wait for copies that the bucket does not have; nothing is changed."""

    async def scenario(target: LiveTarget) -> None:
        assert (await target.ask("PUT", "o", data=b"old")).status == 200
        for answer in (
            await target.ask(method, "o", data=b"new" if method == "PUT" else None, headers={HEADER: level}),
            await target.s3(method, "b/o", data=b"new" if method == "PUT" else None, headers={HEADER: level}),
        ):
            assert answer.status == 400, answer.body
        assert (await target.ask("GET", "o")).body == b"old"

    one(tmp_path, patch, scenario)


def test_buckets_say_what_they_promise() -> None:
    """The property, and what earlier versions had in its place, mean the same; what makes no sense is refused."""
    fsync = {"features": str(int(features.FSYNC_PUT))}
    wanted: list[tuple[dict[str, Any], Ack]] = [
        ({}, Ack.CACHED),
        (fsync, Ack.SYNCED),
        ({**MIRRORED, "protection": {"sync_copies": True}}, Ack.ALL),
        ({**MIRRORED, **fsync, "protection": {"sync_copies": True}}, Ack.ALL_SYNCED),
        ({**MIRRORED, "protection": {"ack": "all"}}, Ack.ALL),
        ({**fsync, "protection": {"ack": "cached"}}, Ack.CACHED),
    ]
    for patch, level in wanted:
        assert apply_props(Bprops(), patch, 3).ack is level
    for patch in ({"protection": {"ack": "all"}}, {"protection": {"ack": "twice"}}, {**MIRRORED, **EC, **ALL}):
        with pytest.raises(BadRequest):
            apply_props(Bprops(), patch, 4)


ALL: dict[str, Any] = {"protection": {"ack": "all"}}
