"""Uploads in parts whose mountpath leaves, or whose name gets another owner: no part has to come again."""

import hashlib
import io
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import msgspec
import pytest
from harness import loop
from harness.moving import owner_of, take
from harness.target import BCK, LiveTarget, serving, until

from ais.api.xact import ArgsMsg
from ais.fs.record import State
from ais.meta.smap import Flag
from ais.reb import plan

PARTS = [b"1" * (5 << 20), b"2" * (5 << 20), b"end"]
NAMESPACE = "{http://s3.amazonaws.com/doc/2006-03-01/}"


def follow(targets: list[LiveTarget], *gone: LiveTarget, flag: Flag = Flag.MAINTENANCE) -> None:
    """The next map, in which these targets own nothing, or are away."""
    before = targets[0].node.smap
    ids = {one.node.snode.id for one in gone}
    tmap = {
        node_id: msgspec.structs.replace(one, flags=int(flag) if node_id in ids else 0)
        for node_id, one in before.tmap.items()
    }
    after = msgspec.structs.replace(before, tmap=tmap, version=before.version + 1)
    after = plan.follow(before, after, has_data=True)
    for one in targets:
        take(one, after)


def uploads_of(target: LiveTarget) -> list[str]:
    """Files of uploads."""
    return [path for path in target.files() if "/%mp/" in path]


class S3Upload:
    """An upload over S3."""

    def __init__(self, name: str) -> None:
        self.name = name

    async def begin(self, live: LiveTarget) -> None:
        """Start it."""
        answer = await live.s3("POST", f"b/{self.name}?uploads", headers={"x-amz-meta-a": "1"})
        self.id = ElementTree.fromstring(answer.body).findtext(f"{NAMESPACE}UploadId") or ""

    async def part(self, live: LiveTarget, number: int) -> int:
        """Send a part."""
        path = f"b/{self.name}?partNumber={number}&uploadId={self.id}"
        return (await live.s3("PUT", path, data=io.BytesIO(PARTS[number - 1]))).status

    async def count(self, live: LiveTarget) -> int:
        """How many parts there are."""
        answer = await live.s3("GET", f"b/{self.name}?uploadId={self.id}")
        return answer.body.count(b"<PartNumber>") if answer.status == 200 else -answer.status

    async def complete(self, live: LiveTarget) -> int:
        """Make the object."""
        listed = "".join(
            f"<Part><PartNumber>{number}</PartNumber><ETag>{hashlib.md5(part).hexdigest()}</ETag></Part>"
            for number, part in enumerate(PARTS, 1)
        )
        body = f"<CompleteMultipartUpload>{listed}</CompleteMultipartUpload>"
        return (await live.s3("POST", f"b/{self.name}?uploadId={self.id}", data=body.encode())).status

    async def abort(self, live: LiveTarget) -> int:
        """Forget it."""
        return (await live.s3("DELETE", f"b/{self.name}?uploadId={self.id}")).status


class NativeUpload(S3Upload):
    """An upload over the native API."""

    async def begin(self, live: LiveTarget) -> None:
        """Start it."""
        self.id = (await live.act("POST", self.name, "mpt-upload")).body.decode()

    async def part(self, live: LiveTarget, number: int) -> int:
        """Send a part."""
        query = {"uploadId": self.id, "partNumber": str(number)}
        return (await live.ask("PUT", self.name, query=query, data=io.BytesIO(PARTS[number - 1]))).status

    async def complete(self, live: LiveTarget) -> int:
        """Make the object."""
        parts = [{"part-number": number, "etag": ""} for number in (1, 2, 3)]
        return (await live.act("POST", self.name, "mpt-complete", value=parts, query={"uploadId": self.id})).status

    async def abort(self, live: LiveTarget) -> int:
        """Forget it."""
        return (await live.act("DELETE", self.name, "mpt-abort", query={"uploadId": self.id})).status


async def begun(
    targets: list[LiveTarget], kind: type[S3Upload], props: dict[str, Any] | None = None
) -> tuple[S3Upload, LiveTarget, LiveTarget]:
    """An upload with two parts at one target; the other one owns its name by the next map."""
    old, new = targets
    for one in targets:
        await one.create(BCK, props)
    upload = kind(next(name for name in map(str, range(40)) if owner_of(targets, name) is new))
    follow(targets, new)
    await upload.begin(old)
    assert [await upload.part(old, number) for number in (1, 2)] == [200, 200]
    return upload, old, new


@pytest.mark.parametrize("kind", [S3Upload, NativeUpload])
@pytest.mark.parametrize("by_job", [True, False])
def test_an_upload_goes_to_the_new_owner(tmp_path: Path, kind: type[S3Upload], by_job: bool) -> None:
    """Asked for, or by the job: parts are listed, others come, and the object is made of all of them."""

    async def scenario() -> None:
        async with serving(tmp_path, 2) as targets:
            upload, old, new = await begun(targets, kind)
            follow(targets)
            if by_job:
                moving = old.node.smap.moving
                assert moving
                job = old.target._scrub._rebalance.start(ArgsMsg(id=moving.id))
                await job.wait()
                assert (job.error, uploads_of(old)) == ("", [])
            assert await upload.part(new, 3) == 200
            assert uploads_of(old) == []
            assert await upload.count(new) == 3
            assert await upload.complete(new) == 200
            answer = await new.ask("GET", upload.name)
            assert answer.body == b"".join(PARTS)
            assert uploads_of(new) == []

    loop.run(scenario())


@pytest.mark.parametrize("kind", [S3Upload, NativeUpload])
def test_an_upload_to_a_backend_goes_to_the_new_owner(tmp_path: Path, kind: type[S3Upload]) -> None:
    """Its parts are kept here until it is completed, as those of all others."""

    async def scenario() -> None:
        async with serving(tmp_path, 2) as targets:
            linked = {"backend_bck": {"name": "far", "provider": "aws"}}
            upload, old, new = await begun(targets, kind, linked)
            follow(targets)
            assert await upload.part(new, 3) == 200
            assert uploads_of(old) == []
            assert await upload.count(new) == 3
            follow(targets, new)
            assert await upload.count(old) == 3
            follow(targets)
            assert await upload.abort(new) in (200, 204)
            assert uploads_of(old) == uploads_of(new) == []

    loop.run(scenario())


@pytest.mark.parametrize("kind", [S3Upload, NativeUpload])
def test_an_upload_whose_target_is_away_is_not_said_to_be_over(tmp_path: Path, kind: type[S3Upload]) -> None:
    """Its client waits; then it is aborted where its parts are by then."""

    async def scenario() -> None:
        async with serving(tmp_path, 2) as targets:
            upload, old, new = await begun(targets, kind)
            follow(targets)
            moving = old.node.smap
            follow(targets, old, flag=Flag.AWAY)
            for one in targets:
                one.node.smap = msgspec.structs.replace(one.node.smap, moving=moving.moving)
            assert [await upload.part(new, 3), await upload.complete(new), await upload.abort(new)] == [503] * 3
            for one in targets:
                one.node.smap = msgspec.structs.replace(moving, version=moving.version + 2)
                one.target.follow_map(one.node.smap)
            assert await upload.abort(new) in (200, 204)
            assert uploads_of(old) == uploads_of(new) == []

    loop.run(scenario())


def test_an_upload_outlives_its_mountpath(tmp_path: Path) -> None:
    """That is detached, and the upload is completed."""

    async def scenario() -> None:
        async with serving(tmp_path) as targets:
            (live,) = targets
            await live.create(BCK)
            upload = S3Upload("o")
            await upload.begin(live)
            assert [await upload.part(live, number) for number in (1, 2)] == [200, 200]
            (path,) = {
                one.path for one in live.volume.available if any(p.startswith(one.path) for p in uploads_of(live))
            }
            live.volume.drain(path, State.DETACHED)
            await until(lambda: path not in [one.path for one in live.volume.available])
            assert await upload.part(live, 3) == 200
            assert await upload.complete(live) == 200
            assert (await live.ask("GET", "o")).body == b"".join(PARTS)

    loop.run(scenario())
