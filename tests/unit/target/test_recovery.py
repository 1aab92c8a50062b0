"""Whatever reads an object, what is lost or damaged of it is made good first: from copies, or from slices."""

import base64
import hashlib
import io
import json
import os
import tarfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest
from harness.target import BCK, LiveTarget, until

from ais.api import archive, codec, groups
from ais.api.archive import ArchiveMsg, ArchiveTask
from ais.api.codec import U64
from ais.api.groups import GroupTask
from ais.api.xact import EC_PUT, PUT_COPIES
from ais.meta.bmd import apply_props, inherited_props
from ais.meta.smap import Flag, digest
from ais.xact.registry import Registry

Targets = list[LiveTarget]
MIRRORED = {"mirror": {"enabled": True, "copies": 2}}
CODED = {"ec": {"enabled": True, "data_slices": 1, "parity_slices": 1, "objsize_limit": 0}}
BODY = os.urandom(50_000)
SHARDS = [f"s{index}.tar" for index in range(3)]
NAMES = ["plain", "copied", "grouped", "packed", "tagged", "longer", *SHARDS]


def _shard(*names: str) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name in names:
            info = tarfile.TarInfo(name)
            info.size = len(BODY)
            tar.addfile(info, io.BytesIO(BODY))
    return out.getvalue()


def _members(raw: bytes) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(raw)) as tar:
        return {one.name: tar.extractfile(one).read() for one in tar}  # type: ignore[union-attr]


def _owner(targets: Targets, name: str) -> LiveTarget:
    node_id = targets[0].node.placement.owner_at(digest(BCK.uname + name)).id
    return next(one for one in targets if one.node.snode.id == node_id)


def _file(targets: Targets, name: str) -> Path:
    (found,) = [Path(path) for one in targets for path in one.files() if path.endswith(f"/%ob/{name}")]
    return found


def _lose(path: Path) -> None:
    path.unlink()


def _damage(path: Path) -> None:
    path.write_bytes(b"!" + path.read_bytes()[1:])


async def _fill(targets: Targets, patch: dict[str, Any]) -> None:
    node = targets[0].node
    props = apply_props(inherited_props(BCK, node.config.cluster, U64(1 << 63), 1), patch, len(targets))
    for one in targets:
        await one.take(node.bmd.with_bucket(BCK, props) if one is targets[0] else node.bmd)
    for name in NAMES:
        answer = await _owner(targets, name).ask("PUT", name, data=_shard("a", "b") if name in SHARDS else BODY)
        assert answer.status == 200, answer.message
    registries = [one.target.registry for one in targets]
    for kind in (PUT_COPIES, EC_PUT):
        await until(partial(_is_idle, registries, kind))


def _is_idle(registries: list[Registry], kind: str) -> bool:
    return all(one.snap().is_idle for registry in registries for one in registry.select(kind=kind, only_running=True))


async def _batch(target: LiveTarget, *entries: dict[str, str], lenient: bool = False) -> Any:
    body = json.dumps({"in": entries, "strm": True, "coer": lenient, "onob": True})
    return await target.call("GET", f"{target.url}/v1/ml/moss/b/xid/wid/{len(entries)}?provider=ais", data=body)


async def _run_jobs(targets: Targets) -> None:
    """Copy a group, and archive one."""
    copy = GroupTask("copyJOB01", groups.COPY, BCK, BCK, names=["grouped"], prepend="job/")
    pack = ArchiveTask("packJOB01", BCK, BCK, ArchiveMsg(archive="packed.tar", names=["packed"]))
    caller = {"Ais-Caller-Id": targets[0].node.snode.id}
    jobs = [(one, groups.GROUPS, copy) for one in targets] + [(_owner(targets, "packed.tar"), archive.ARCHIVE, pack)]
    for one, path, task in jobs:
        answer = await one.call("PUT", f"{one.url}{path}", headers=caller, data=codec.to_json(task))
        assert answer.status == 200, answer.body
        (job,) = one.target.registry.select(uuids=frozenset({task.uuid}))
        await job.wait()
        assert job.snap().err == ""
    assert (await _owner(targets, "job/grouped").ask("GET", "job/grouped")).body == BODY
    assert _members((await _owner(targets, "packed.tar").ask("GET", "packed.tar")).body) == {"packed": BODY}


async def _read_and_add(targets: Targets) -> None:
    """Everything that reads, or makes something new of what is there."""
    answer = await _batch(
        targets[0],
        {"objname": "plain"},
        {"objname": "s0.tar", "archpath": "a"},
        {"objname": "s0.tar", "archpath": "b"},
    )
    assert answer.status == 200, answer.message
    assert _members(answer.body) == {"plain": BODY, "s0.tar/a": BODY, "s0.tar/b": BODY}
    answer = await _owner(targets, "s1.tar").ask("GET", "s1.tar", query={"archpath": "b"})
    assert (answer.status, answer.body) == (200, BODY)
    shard = _owner(targets, "s2.tar")
    answer = await shard.ask("PUT", "s2.tar", query={"archpath": "c"}, headers={"Ais-Pine": "1"}, data=BODY)
    assert answer.status == 200, answer.message
    assert _members((await shard.ask("GET", "s2.tar")).body) == dict.fromkeys("abc", BODY)
    source, to = _owner(targets, "copied"), {"object_to": "ais/@#/b/copy"}
    assert (await source.ask("PUT", "copied", query=to)).status == 200
    assert (await _owner(targets, "copy").ask("GET", "copy")).body == BODY
    tagged = _owner(targets, "tagged")
    for query in ("tagging", "acl"):
        assert (await tagged.s3("GET", f"b/tagged?{query}")).status == 200
    answer = await tagged.s3("GET", "b/tagged?attributes", headers={"x-amz-object-attributes": "ObjectSize"})
    assert answer.status == 200
    longer = _owner(targets, "longer")
    answer = await longer.ask("PUT", "longer", query={"append_type": "append", "append_handle": ""}, data=b"more")
    assert answer.status == 200, answer.message
    flush = {"append_type": "flush", "append_handle": answer.headers["Ais-Append-Handle"]}
    assert (await longer.ask("PUT", "longer", query=flush)).status == 200
    assert (await longer.ask("GET", "longer")).body == BODY + b"more"


@pytest.mark.parametrize("spoil", [_lose, _damage])
@pytest.mark.parametrize(("count", "patch"), [(1, MIRRORED), (3, CODED)], ids=["mirrored", "coded"])
def test_everything_that_reads_recovers(
    serve: Any, run: Any, count: int, patch: dict[str, Any], spoil: Callable[[Path], None]
) -> None:
    """Batches, members of shards, what is added to shards and objects, copies and S3's facts are right all the same."""

    async def scenario() -> None:
        async with serve(count) as targets:
            await _fill(targets, patch)
            for name in NAMES:
                spoil(_file(targets, name))
            await _run_jobs(targets)
            await _read_and_add(targets)

    run(scenario())


def test_a_batch_reads_what_a_target_that_is_away_owns(serve: Any, run: Any) -> None:
    """While a target is away, another one stands in for its objects in a batch as it does for a GET."""

    async def scenario() -> None:
        async with serve(3) as targets:
            await _fill(targets, CODED)
            gone = _owner(targets, "plain")
            smap = targets[0].node.smap
            away = msgspec.structs.replace(gone.node.snode, flags=int(Flag.AWAY))
            for one in targets:
                one.node.smap = msgspec.structs.replace(smap, tmap={**smap.tmap, away.id: away})
            asker = next(one for one in targets if one is not gone)
            answer = await _batch(asker, *({"objname": name} for name in NAMES))
            assert answer.status == 200, answer.message
            found = _members(answer.body)
            assert [*found] == NAMES
            assert found["plain"] == BODY

    run(scenario())


@pytest.mark.parametrize("patch", [{}, MIRRORED], ids=["plain", "mirrored"])
def test_no_other_api_gives_out_encrypted_bytes(serve: Any, run: Any, patch: dict[str, Any]) -> None:
    """What is encrypted with its client's key is refused by a native GET, a batch and a member's read; HEAD works."""

    async def scenario() -> None:
        async with serve(1) as targets:
            (target,) = targets
            await _fill(targets, patch)
            key, own = os.urandom(32), "x-amz-server-side-encryption-customer"
            sealed = {
                f"{own}-algorithm": "AES256",
                f"{own}-key": base64.b64encode(key).decode(),
                f"{own}-key-md5": base64.b64encode(hashlib.md5(key).digest()).decode(),
            }
            assert (await target.s3("PUT", "b/e.tar", data=_shard("a"), headers=sealed)).status == 200
            for query in ({}, {"archpath": "a"}):
                answer = await target.ask("GET", "e.tar", query=query)
                assert (answer.status, "encrypted" in answer.message) == (501, True)
            assert (await target.ask("HEAD", "e.tar")).status == 200
            for entry in ({"objname": "e.tar"}, {"objname": "e.tar", "archpath": "a"}):
                assert (await _batch(target, entry)).status == 501
                answer = await _batch(target, entry, {"objname": "plain"}, lenient=True)
                assert sorted(_members(answer.body).values(), key=len) == [b"", BODY]

    run(scenario())
