"""Everything that makes an object of a bucket at a backend: there when it is acknowledged, the same here."""

import asyncio
import base64
import io
import json
import re
import zlib
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import pytest
from harness.gate import HELD, gate_before
from harness.http import until
from harness.remote import Remote

Run = Callable[[Any], Any]
PART = bytes(range(256)) * (5 << 12)


async def _uploaded(bucket: Remote, key: str, parts: list[bytes]) -> int:
    """Upload in parts over the native API; the status of completing."""
    query = bucket.query
    status, body, _ = await bucket.ask("POST", key, "mpt-upload")
    assert status == 200, body
    bucket.query = f"{query}&uploadId={body.decode()}"
    for number, part in enumerate(parts, 1):
        bucket.query = f"{query}&uploadId={body.decode()}&partNumber={number}"
        assert (await bucket.ask("PUT", key, data=io.BytesIO(part)))[0] == 200
    listed = [{"part-number": number} for number in range(1, len(parts) + 1)]
    bucket.query = f"{query}&uploadId={body.decode()}"
    message = json.dumps({"action": "mpt-complete", "value": listed})
    status, _, _ = await bucket.ask("POST", key, data=message)
    bucket.query = query
    return status


async def _same(bucket: Remote, key: str, content: bytes) -> None:
    """The backend and the cluster have the same, and nothing was fetched for it."""
    before = bucket.cold_gets
    assert await bucket.there(key) == content
    assert key in await bucket.cached()
    assert await bucket.get(key) == content
    assert bucket.cold_gets == before


def test_uploads_in_parts(remote: Any, run: Run) -> None:
    """An upload in parts is at the backend when it is completed; one whose backend is gone makes nothing."""

    async def scenario() -> None:
        async with remote() as bucket:
            await bucket.get("d/o0")
            assert await _uploaded(bucket, "d/o0", [b"one", b"two", b"three"]) == 200
            await _same(bucket, "d/o0", b"onetwothree")
            assert await _uploaded(bucket, "big", [PART, PART, b"end"]) == 200
            await _same(bucket, "big", PART + PART + b"end")
            for one in (await bucket.at_origin("list_objects_v2"))["Contents"]:
                await bucket.at_origin("delete_object", Key=one["Key"])
            await bucket.at_origin("delete_bucket")
            assert await _uploaded(bucket, "big", [b"lost"]) == 404
            assert await bucket.cached() == ["d/o0"]

    run(scenario())


def test_copies_into_a_bucket_at_a_backend(remote: Any, run: Run) -> None:
    """One object, a group and a bucket are copied there, by whichever target owns them; synchronized, others go."""

    async def scenario() -> None:
        async with remote() as bucket:
            primary = bucket.cluster.primary
            assert (await primary.act("POST", "/v1/buckets/mine", "create-bck")).status == 200
            mine = Remote(bucket.cluster, "mine", bucket.origin, bucket.http)
            mine.query = ""
            for number in range(6):
                assert (await mine.ask("PUT", f"m{number}", data=b"mine %d" % number))[0] == 200
            to = f"aws/@#/{bucket.name}/"
            for number in range(4):
                mine.query = f"?object_to={to.replace('#', '%23')}c{number}"
                assert (await mine.ask("PUT", f"m{number}"))[0] == 200
                await _same(bucket, f"c{number}", b"mine %d" % number)
            mine.query = ""
            into = {"name": bucket.name, "provider": "aws"}
            await mine.job("POST", "copy-listrange", {"objnames": ["m4", "m5"], "tobck": into, "prepend": "g/"})
            await _same(bucket, "g/m4", b"mine 4")
            await _same(bucket, "g/m5", b"mine 5")
            mine.query = f"?bck_to={to.replace('#', '%23')}"
            await mine.job("POST", "copy-bck", {"synchronize": True})
            there = [one["Key"] for one in (await bucket.at_origin("list_objects_v2"))["Contents"]]
            assert sorted(there) == sorted(await bucket.listed()) == [f"m{number}" for number in range(6)]
            await _same(bucket, "m0", b"mine 0")
            mine.query = "?bck_to=aws/@%23/nowhere/"
            refused = await mine.act("POST", "copy-bck", {})
            assert (refused.status, refused.error["tcode"]) == (404, "ErrRemoteBckNotFound"), refused.body

    run(scenario())


def test_a_copy_of_a_linked_bucket_is_a_bucket_of_its_own(remote: Any, run: Run) -> None:
    """One that is made for it is linked to nothing: what becomes of the copies is nothing to the backend."""

    async def scenario() -> None:
        async with remote() as bucket:
            primary, link = bucket.cluster.primary, {"name": bucket.name, "provider": "aws"}
            assert (await primary.act("POST", "/v1/buckets/linked", "create-bck", {"backend_bck": link})).status == 200
            linked, copied, renamed = (
                Remote(bucket.cluster, name, bucket.origin, bucket.http) for name in ("linked", "copied", "renamed")
            )
            linked.query = "?bck_to=ais/@%23/copied/"
            await linked.job("POST", "copy-bck", {})
            linked.query = copied.query = renamed.query = ""
            into = {"name": "renamed", "provider": "ais"}
            await linked.job("POST", "copy-listrange", {"objnames": ["d/o0"], "tobck": into, "prepend": "x/"})
            there = [one["Key"] for one in (await bucket.at_origin("list_objects_v2"))["Contents"]]
            assert there == [f"d/o{number}" for number in range(4)]
            assert list(await renamed.listed()) == ["x/d/o0"]
            assert sorted(await copied.listed()) == there
            for name in there:
                assert (await copied.ask("DELETE", name))[0] == 200
                assert await bucket.there(name) is not None

    run(scenario())


def test_a_synchronized_copy_follows_the_backend(remote: Any, run: Run) -> None:
    """What went there goes from the copy, also while it is here still; what changed there comes."""

    async def scenario() -> None:
        async with remote() as bucket:
            copied = Remote(bucket.cluster, "copied", bucket.origin, bucket.http)
            copied.query = ""
            bucket.query += "&bck_to=ais/@%23/copied/"
            for _ in range(2):
                await bucket.job("POST", "copy-bck", {"synchronize": True})
                assert sorted(await copied.listed()) == [f"d/o{number}" for number in range(4)]
            await bucket.at_origin("delete_object", Key="d/o0")
            await bucket.put("d/o1", b"changed")
            await bucket.job("POST", "copy-bck", {"synchronize": True})
            assert sorted(await copied.listed()) == [f"d/o{number}" for number in range(1, 4)]
            assert await copied.get("d/o1") == b"changed"

    run(scenario())


def test_what_is_here_is_copied_and_refreshed(remote: Any, run: Run) -> None:
    """Of a remote bucket only what is here is copied when asked; onto itself it is fetched, synchronized what went."""

    async def scenario() -> None:
        async with remote() as bucket:
            query = bucket.query
            await bucket.get("d/o0")
            to = quote(f"aws/@#/{bucket.name}/")
            bucket.query = f"{query}&bck_to=ais/@%23/copied/&presence=2"
            await bucket.job("POST", "copy-bck", {})
            copied = Remote(bucket.cluster, "copied", bucket.origin, bucket.http)
            copied.query = ""
            assert list(await copied.listed()) == ["d/o0"]
            bucket.query = f"{query}&bck_to={to}&presence=5"
            assert (await bucket.act("POST", "copy-bck", {})).status == 400
            bucket.query = f"{query}&bck_to={to}"
            await bucket.job("POST", "copy-bck", {"prefix": "d/"})
            there = [one["Key"] for one in (await bucket.at_origin("list_objects_v2"))["Contents"]]
            assert await bucket.cached() == sorted(key for key in there if key.startswith("d/"))
            await bucket.at_origin("delete_object", Key="d/o0")
            await bucket.job("POST", "copy-bck", {"synchronize": True})
            assert await bucket.cached() == sorted(set(there) - {"d/o0"})

    run(scenario())


def test_s3_clients_write(remote: Any, run: Run) -> None:
    """PUT, copy, upload in parts, delete over S3: what they say of the content goes along; conditions hold."""

    async def scenario() -> None:
        async with remote() as bucket:
            await bucket.get("d/o0")
            url = f"{bucket.cluster.primary.url}/s3/{bucket.name}"

            async def s3(method: str, path: str, **kwargs: Any) -> tuple[int, str, Any]:
                async with bucket.http.request(method, url + path, **kwargs) as answer:
                    return answer.status, await answer.text(), answer.headers

            said = {"x-amz-meta-who": "me", "Content-Type": "text/x", "Cache-Control": "no-cache"}
            status, body, headers = await s3("PUT", "/new", data=b"new", headers=said)
            assert status == 200, body
            found = await bucket.at_origin("head_object", Key="new")
            assert (found["ETag"], found["Metadata"]) == (headers["ETag"], {"who": "me"})
            assert (found["ContentType"], found["CacheControl"]) == ("text/x", "no-cache")
            await _same(bucket, "new", b"new")
            assert (await s3("PUT", "/new", data=b"other", headers={"If-None-Match": "*"}))[0] == 412
            assert (await s3("PUT", "/d/o1", data=b"other", headers={"If-None-Match": "*"}))[0] == 412
            for lost in ({"x-amz-tagging": "a=b"}, {"x-amz-server-side-encryption": "AES256"}):
                assert (await s3("PUT", "/new", data=b"other", headers=lost))[0] == 501
            await _same(bucket, "new", b"new")
            status, body, _ = await s3("PUT", "/copy", headers={"x-amz-copy-source": f"/{bucket.name}/d/o2"})
            assert status == 200, body
            await _same(bucket, "copy", b"content 2")
            _, body, _ = await s3("POST", "/parts?uploads", headers={"Content-Type": "text/y"})
            upload = body.partition("<UploadId>")[2].partition("<")[0]
            etags = []
            for number, part in ((1, PART), (2, b"end")):
                status, _, headers = await s3(
                    "PUT", f"/parts?partNumber={number}&uploadId={upload}", data=io.BytesIO(part)
                )
                etags.append(f"<Part><PartNumber>{number}</PartNumber><ETag>{headers['ETag']}</ETag></Part>")
            document = f"<CompleteMultipartUpload>{''.join(etags)}</CompleteMultipartUpload>"
            for _ in range(2):
                status, body, _ = await s3("POST", f"/parts?uploadId={upload}", data=document)
                assert status == 200, body
            assert (await bucket.at_origin("head_object", Key="parts"))["ContentType"] == "text/y"
            await _same(bucket, "parts", PART + b"end")
            keys = "".join(f"<Object><Key>{key}</Key></Object>" for key in ("new", "copy", "d/o3"))
            checked = {"x-amz-checksum-crc32": _crc32(f"<Delete>{keys}</Delete>")}
            status, body, _ = await s3("POST", "?delete", data=f"<Delete>{keys}</Delete>", headers=checked)
            assert (status, body.count("<Deleted>")) == (200, 3), body
            assert await bucket.there("new") is None
            assert await bucket.cached() == ["d/o0", "d/o2", "parts"]

    run(scenario())


def test_many_are_deleted_together(remote: Any, run: Run, aws: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """DeleteObjects does not wait for the backend once for each key: a thousand would take longer than clients wait."""

    async def scenario() -> None:
        async with gate_before(aws) as gate:
            monkeypatch.setenv("AWS_ENDPOINT_URL", gate.url)
            async with remote() as bucket:
                await bucket.get("d/o0")
                names = [*(f"d/o{number}" for number in range(4)), "none", "d/o0"]
                document = f"<Delete>{''.join(f'<Object><Key>{name}</Key></Object>' for name in names)}</Delete>"
                url = f"{bucket.cluster.primary.url}/s3/{bucket.name}?delete"
                gate.fault = HELD
                checked = {"x-amz-checksum-crc32": _crc32(document)}
                deleting = asyncio.create_task(bucket.http.post(url, data=document, headers=checked))
                async with asyncio.timeout(30):
                    await until(lambda: gate.held == 5)
                gate.fault = ""
                async with await deleting as answer:
                    found = re.findall("<Key>(.+?)</Key>", await answer.text())
                assert (found, await bucket.cached(), await bucket.listed()) == (names, [], {})

    run(scenario())


def test_ranges_fetch_what_they_need(remote: Any, run: Run) -> None:
    """A range of a large object that is not here comes from the backend alone, over both APIs, and nothing is kept."""

    async def scenario() -> None:
        async with remote() as bucket:
            content = bytes(range(251)) * 10_000
            await bucket.put("large", content)
            end = len(content) - 1
            for span, part in (("100-199", content[100:200]), ("-7", content[-7:]), (f"{end}-", content[-1:])):
                status, body, headers = await bucket.ask("GET", "large", headers={"Range": f"bytes={span}"})
                assert (status, body) == (206, part)
                assert headers["Content-Range"].endswith(f"/{len(content)}")
                url = f"{bucket.cluster.primary.url}/s3/{bucket.name}/large"
                async with bucket.http.get(url, headers={"Range": f"bytes={span}"}) as answer:
                    assert (answer.status, await answer.read()) == (206, part)
            assert (await bucket.ask("GET", "large", headers={"Range": f"bytes={end + 1}-"}))[0] == 416
            assert (bucket.cold_gets, await bucket.cached()) == (0, [])
            async with bucket.http.get(url) as answer:
                assert (answer.status, await answer.read()) == (200, content)
            assert await bucket.get("large") == content
            await bucket.settled()
            assert bucket.cold_gets == 1

    run(scenario())


def test_changes_of_one_object_follow_each_other(remote: Any, run: Run) -> None:
    """Of many PUTs, DELETEs and GETs of one name at once, what is here in the end is what the backend has."""

    async def scenario() -> None:
        async with remote() as bucket:
            for number in range(6):
                changes = [bucket.ask("PUT", "n", data=b"%d %d" % (number, one)) for one in range(4)]
                reads = [bucket.ask("GET", "n") for _ in range(4)]
                await asyncio.gather(*changes, bucket.ask("DELETE", "n"), *reads)
                there = await bucket.there("n")
                status, body, _ = await bucket.ask("GET", "n")
                assert (status, body if status == 200 else None) == ((404, None) if there is None else (200, there))

    run(scenario())


def _crc32(text: str) -> str:
    return base64.b64encode(zlib.crc32(text.encode()).to_bytes(4, "big")).decode()
