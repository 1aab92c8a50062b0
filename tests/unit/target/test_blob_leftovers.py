"""What a target had fetched in parts when it was killed."""

from pathlib import Path

from harness import loop
from harness.target import BCK, serving, until

from ais.api import blob, codec
from ais.api.blob import BlobTask
from ais.xact.unfinished import Task, Unfinished


def test_parts_that_nobody_goes_on_with_are_removed(tmp_path: Path) -> None:
    """Those of a job that goes on stay, and what clients upload; a read or a prefetch begins anew."""

    async def scenario() -> None:
        async with serving(tmp_path) as [live]:
            await live.create()
            uploads = live.target._store.uploads
            of_blobs = {"blob-etag": "x", "blob-size": "10", "blob-version": ""}
            known, unknown = (uploads.create(BCK, name, {}, of_blobs) for name in ("known", "unknown"))
            of_client = uploads.create(BCK, "client", {}, {})
            task = BlobTask("blobJOB01", BCK, "known", upload_id=known)
            unfinished = Unfinished(live.node.env.disk, lambda: live.volume.available)
            unfinished.keep(Task(task.uuid, blob.KIND, codec.to_json(task)))
        async with serving(tmp_path, is_starting=True) as [live]:
            left = live.target._store.uploads
            await until(lambda: unknown not in {upload_id for upload_id, _ in left.list(BCK)})
            assert {upload_id for upload_id, _ in left.list(BCK)} == {known, of_client}

    loop.run(scenario())
