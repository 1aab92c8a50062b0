"""Large objects that are fetched in parts: by a job, by a prefetch, by a GET; each byte is asked for once."""

import asyncio
import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from harness.gate import HUNG, gate_before
from harness.http import until

from ais.api.blob import Parts
from ais.base.errors import Busy

Run = Callable[[Any], Any]
CHUNK = 256 << 10
LARGE = bytes(range(251)) * 5_000
SPANS = {f"large bytes={start}-{min(start + CHUNK, len(LARGE)) - 1}": 1 for start in range(0, len(LARGE), CHUNK)}


async def _blob(bucket: Any, name: str, **value: Any) -> tuple[int, str]:
    message = {"action": "blob-download", "name": name, "value": {"chunk-size": CHUNK, "num-workers": 2, **value}}
    url = f"{bucket.cluster.primary.url}/v1/objects/{bucket.name}{bucket.query}"
    async with bucket.http.post(url, data=json.dumps(message)) as answer:
        return answer.status, await answer.text()


async def _ended(bucket: Any, uuid: str) -> list[dict[str, Any]]:
    async with asyncio.timeout(60):
        while True:
            answer = await bucket.cluster.primary.ask("GET", "/v1/cluster?what=qryxstats", {"id": uuid})
            snaps = [snap for found in answer.json.values() for snap in found or ()]
            if not any(snap["end-time"].startswith("0001") for snap in snaps):
                return snaps
            await asyncio.sleep(0.05)


def test_in_parts(remote: Any, run: Run, aws: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A job, a prefetch with a threshold and a GET that asks for it read each part once; the object is whole."""

    async def scenario() -> None:
        async with gate_before(aws) as gate:
            monkeypatch.setenv("AWS_ENDPOINT_URL", gate.url)
            async with remote() as bucket:
                await bucket.put("large", LARGE)
                status, uuid = await _blob(bucket, "large")
                assert status == 200, uuid
                (snap,) = await _ended(bucket, uuid)
                assert not snap["err"], snap
                assert (snap["kind"], snap["stats"]["loc-bytes"]) == ("blob-download", str(len(LARGE)))
                assert gate.reads == SPANS
                assert await bucket.get("large") == LARGE
                _, _, headers = await bucket.ask("HEAD", "large")
                assert headers["Ais-Present"] == "true"
                assert (await bucket.at_origin("head_object", Key="large"))["ETag"].strip('"') == headers["ETag"].strip(
                    '"'
                )
                assert await _blob(bucket, "large") == (200, "")
                assert (await _blob(bucket, "none"))[0] == 404
                assert (await _blob(bucket, "large", **{"chunk-size": 1}))[0] == 400
                for way in ("prefetch", "get"):
                    assert (await bucket.ask("DELETE", "large", "evict-listrange"))[0] == 200
                    gate.reads.clear()
                    if way == "prefetch":
                        value = {"objnames": ["large", "d/o0"], "blob-threshold": 1 << 20, "blob-chunk-size": CHUNK}
                        await bucket.job("POST", "prefetch-listrange", value)
                        assert gate.reads.pop("d/o0") == 1
                    else:
                        asked = {"Ais-Blob-Download": "true", "Ais-Blob-Chunk": "256KiB"}
                        assert await bucket.get("large", **asked) == LARGE
                    assert gate.reads == SPANS
                    assert await bucket.get("large") == LARGE

    run(scenario())


def test_who_asks_at_once(remote: Any, run: Run, aws: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Many that want an object in parts, GETs and a prefetch, share one fetch; those that go away take it from nobody,
    the last one from all."""
    asked = {"Ais-Blob-Download": "true", "Ais-Blob-Chunk": "256KiB"}

    async def scenario() -> None:
        async with gate_before(aws) as gate:
            monkeypatch.setenv("AWS_ENDPOINT_URL", gate.url)
            async with remote() as bucket:
                await bucket.put("large", LARGE)
                await bucket.ask("HEAD", "large")
                gate.fault = HUNG
                role = _owner(bucket, "large")
                view, blobs = _view(role, bucket), role._blobs

                def waiting() -> int:
                    return sum(one.waiting for one in blobs._running.values())

                gets = [asyncio.create_task(bucket.get("large", **asked)) for _ in range(4)]
                others = [asyncio.create_task(blobs.ensure(view, "large", Parts(CHUNK, 2))) for _ in range(4)]
                await until(lambda: waiting() == 8)
                for leaving in others:
                    leaving.cancel()
                await until(lambda: waiting() == 4)
                gate.fault = ""
                assert await asyncio.gather(*gets) == [LARGE] * 4
                assert gate.reads == SPANS
                assert (await bucket.ask("DELETE", "large", "evict-listrange"))[0] == 200
                gate.fault = HUNG
                last = asyncio.create_task(blobs.ensure(view, "large", Parts(CHUNK, 2)))
                await until(lambda: waiting() == 1)
                last.cancel()
                await until(lambda: not blobs._running)
                gate.fault = ""
                gate.reads.clear()
                assert await bucket.get("large", **asked) == LARGE
                assert gate.reads == SPANS

    run(scenario())


def test_parts_that_are_here_stay(remote: Any, run: Run, aws: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fetch that ended in between goes on with what is missing; a change of the object meanwhile keeps nothing."""

    async def scenario() -> None:
        async with gate_before(aws) as gate:
            monkeypatch.setenv("AWS_ENDPOINT_URL", gate.url)
            async with remote() as bucket:
                await bucket.put("large", LARGE)
                await bucket.ask("HEAD", "large")
                view, parallel, through = _of_owner(bucket, "large")
                found = await through.head(view, "large")
                upload_id = await parallel.begin(view, found)

                def stop(_: int) -> None:
                    raise Busy("stopped")

                with pytest.raises(Busy):
                    await parallel.fetch(view, found, upload_id, Parts(CHUNK, 1), stop)
                assert sum(gate.reads.values()) == 1
                assert await parallel.is_of(view, found, upload_id)
                await parallel.fetch(view, found, upload_id, Parts(CHUNK, 2))
                assert gate.reads == SPANS
                assert await bucket.cached() == ["large"]
                assert await bucket.get("large") == LARGE

                await bucket.ask("DELETE", "large", "evict-listrange")
                upload_id = await parallel.begin(view, found)

                async def change() -> None:
                    assert (await bucket.ask("DELETE", "large"))[0] == 200

                fetching = asyncio.create_task(parallel.fetch(view, found, upload_id, Parts(CHUNK, 1)))
                await change()
                await asyncio.gather(fetching, return_exceptions=True)
                assert await bucket.cached() == []

    run(scenario())


def test_clients_see_their_own_uploads(remote: Any, run: Run) -> None:
    """ListMultipartUploads: what was begun over S3 and is not completed, no objects, and nothing that targets fetch in
    parts. What they find they can abort."""

    async def scenario() -> None:
        async with remote() as bucket:
            await bucket.ask("HEAD", "d/o0")
            view, parallel, through = _of_owner(bucket, "d/o0")
            await parallel.begin(view, await through.head(view, "d/o0"))
            url = f"{bucket.cluster.primary.url}/s3/{bucket.name}"
            begun = []
            for key in ("a/one", "a/two", "b"):
                async with bucket.http.post(f"{url}/{key}?uploads") as answer:
                    begun.append((key, (await answer.text()).partition("<UploadId>")[2].partition("<")[0]))
            found, more = [], ""
            while True:
                async with bucket.http.get(f"{url}?uploads&max-uploads=1{more}") as answer:
                    page = await answer.text()
                keys, ids = (re.findall(f"<{one}>(.+?)</{one}>", page) for one in ("Key", "UploadId"))
                found += zip(keys, ids, strict=True)
                if "<IsTruncated>true" not in page:
                    break
                more = f"&key-marker={keys[-1]}&upload-id-marker={ids[-1]}"
            assert found == begun
            for key, upload_id in found:
                async with bucket.http.delete(f"{url}/{key}?uploadId={upload_id}") as answer:
                    assert answer.status == 204

    run(scenario())


def _of_owner(bucket: Any, name: str) -> Any:
    role = _owner(bucket, name)
    return _view(role, bucket), role._remote.parallel, role._remote.through


def _view(role: Any, bucket: Any) -> Any:
    return next(one for one in role._front.views if one.bck.name == bucket.name)


def _owner(bucket: Any, name: str) -> Any:
    for target in bucket.cluster.targets:
        uname = _view(target.node.role, bucket).uname + name
        if target.node.placement.owner(uname).id == target.node.snode.id:
            return target.node.role
    raise AssertionError(name)
