"""`Fsync-PUT`: each request that changes an object answers after the change was synced, native and over S3."""

import os
from collections.abc import Callable
from typing import Any
from xml.etree import ElementTree

import pytest

from ais.config import features
from ais.env.disk import Disk

Scenario = Callable[[Any], Any]
TAGS = b"<Tagging><TagSet><Tag><Key>a</Key><Value>b</Value></Tag></TagSet></Tagging>"


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was synced: paths below the bucket's directory."""
    paths: list[str] = []

    def sync(fd: int, really: Callable[[int], None]) -> None:
        paths.append(os.readlink(f"/proc/self/fd/{fd}").partition("/@ais/b/")[2])
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
