"""`Fsync-PUT`: each request that changes an object answers after the change was synced, native and over S3."""

import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from harness.coded import EC, Group
from harness.coded import run as coded_targets
from harness.target import BCK

from ais.config import features
from ais.env.disk import Disk
from ais.s3 import lock

Scenario = Callable[[Any], Any]
TAGS = b"<Tagging><TagSet><Tag><Key>a</Key><Value>b</Value></Tag></TagSet></Tagging>"


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was synced."""
    paths: list[str] = []

    def sync(fd: int, really: Callable[[int], None]) -> None:
        paths.append(os.readlink(f"/proc/self/fd/{fd}"))
        really(fd)

    monkeypatch.setattr(Disk, "fsync", staticmethod(lambda fd: sync(fd, os.fsync)))
    monkeypatch.setattr(Disk, "fdatasync", staticmethod(lambda fd: sync(fd, os.fdatasync)))
    return paths


def test_every_request_syncs_what_it_changed(serve: Any, run: Scenario, synced: list[str]) -> None:
    """The file for metadata, its directory for a name that comes or goes, the part and its record for a part."""

    async def scenario() -> None:
        async with serve() as [live]:
            await live.create(patch={"features": str(int(features.FSYNC_PUT))})

            async def check(wanted: str, answer: Any) -> Any:
                assert answer.status in (200, 204), answer.body
                assert any(path.endswith(wanted) for path in synced), (wanted, synced)
                synced.clear()
                return answer

            for name in ("o", "s"):
                await check("%ob", await live.ask("PUT", name, data=b"content"))
            await check("%ob/o", await live.act("PATCH", "o", "", value={"a": "1"}))
            await check("%ob/s", await live.s3("PUT", "b/s?tagging", data=TAGS))
            await check("%ob/s", await live.s3("DELETE", "b/s?tagging"))
            await check("%ob/d", await live.s3("PUT", "b/d/copy", headers={"x-amz-copy-source": "b/s"}))
            await check("%ob", await live.act("POST", "o", "rename-obj", "renamed"))
            await check("%ob", await live.ask("DELETE", "renamed"))
            await check("%ob", await live.s3("DELETE", "b/s"))
            begun = await check("%mp", await live.s3("POST", "b/m?uploads"))
            upload_id = ElementTree.fromstring(begun.body).findtext("{*}UploadId")
            part = await check("/data", await live.s3("PUT", f"b/m?partNumber=1&uploadId={upload_id}", data=b"x"))
            await check(f"%mp/{upload_id}", await live.s3("PUT", f"b/m?partNumber=2&uploadId={upload_id}", data=b"y"))
            listed = f"<Part><PartNumber>1</PartNumber><ETag>{part.headers['ETag']}</ETag></Part>"
            document = f"<CompleteMultipartUpload>{listed}</CompleteMultipartUpload>"
            await check("%ob", await live.s3("POST", f"b/m?uploadId={upload_id}", data=document))
            begun = await check("%mp", await live.s3("POST", "b/m?uploads"))
            upload_id = ElementTree.fromstring(begun.body).findtext("{*}UploadId")
            await check(f"%mp/{upload_id}", await live.s3("DELETE", f"b/m?uploadId={upload_id}"))

    run(scenario())


def test_retention_and_legal_hold_are_synced(serve: Any, run: Scenario, synced: list[str]) -> None:
    """An answer says that a version must stay: also after the power went."""

    async def scenario() -> None:
        async with serve() as [live]:
            await live.create(patch={"features": str(int(features.FSYNC_PUT))})
            props = live.node.bmd.require(BCK).props
            locked = props.with_s3(versioning="Enabled", documents={lock.DOCUMENT: lock.ENABLED})
            await live.take(live.node.bmd.with_props(BCK, locked))
            assert (await live.s3("PUT", "b/o", data=b"content")).status == 200
            hold = b"<LegalHold><Status>ON</Status></LegalHold>"
            until = (
                b"<Retention><Mode>GOVERNANCE</Mode><RetainUntilDate>2099-01-01T00:00:00Z</RetainUntilDate></Retention>"
            )
            for path, document in (("b/o?legal-hold", hold), ("b/o?retention", until)):
                synced.clear()
                answer = await live.s3("PUT", path, data=document)
                assert answer.status == 200, answer.body
                assert any(path.endswith("%ob/o") for path in synced), synced

    run(scenario())


@pytest.mark.parametrize("slices_only", [False, True])
@pytest.mark.parametrize("size", [10, 100_000])
def test_slices_of_what_was_deleted_are_gone_durably(
    tmp_path: Path, synced: list[str], size: int, slices_only: bool
) -> None:
    """On every target that had one: after its power went it must not have what the object could be restored from."""

    async def scenario(group: Group) -> None:
        await group.create({**EC, "protection": {"ack": "synced", "slices_only": slices_only}})
        owner = group.owner("o")
        assert (await owner.ask("PUT", "o", data=io.BytesIO(b"x" * size))).status == 200
        await group.settled()
        holders = {str(Path(path).parent) for path in group.slices("o")}
        assert holders
        synced.clear()
        assert (await owner.ask("DELETE", "o")).status == 200
        assert group.slices("o") == []
        assert holders <= set(synced)

    coded_targets(tmp_path, 4, scenario)
