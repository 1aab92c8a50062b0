"""S3 multipart uploads against a real target over HTTP."""

import asyncio
import base64
import hashlib
import io
import os
from collections.abc import Callable
from typing import Any
from xml.etree import ElementTree

import pytest
from awscrt import checksums as crt
from harness.target import LiveTarget

from ais.env.disk import Disk

Scenario = Callable[[Any], Any]
MIB = 1 << 20
NAMESPACE = "{http://s3.amazonaws.com/doc/2006-03-01/}"


async def _begin(live: LiveTarget, key: str = "o", **headers: str) -> str:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    answer = await live.s3("POST", f"b/{key}?uploads", headers=named)
    assert answer.status == 200, answer.body
    return ElementTree.fromstring(answer.body).findtext(f"{NAMESPACE}UploadId") or ""


async def _part(live: LiveTarget, upload_id: str, number: int, content: bytes, **headers: str) -> Any:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    path = f"b/o?partNumber={number}&uploadId={upload_id}"
    return await live.s3("PUT", path, data=io.BytesIO(content), headers=named)


def _complete(parts: list[tuple[int, str]], extra: str = "") -> bytes:
    listed = "".join(f"<Part><PartNumber>{n}</PartNumber><ETag>{tag}</ETag>{extra}</Part>" for n, tag in parts)
    return f"<CompleteMultipartUpload>{listed}</CompleteMultipartUpload>".encode()


def _tag(content: bytes) -> str:
    return hashlib.md5(content).hexdigest()


def _code(answer: Any) -> str:
    return ElementTree.fromstring(answer.body).findtext("Code") or ""


def test_an_upload_becomes_an_object(serve: Any, run: Scenario) -> None:
    """Parts in any order; ETag of the parts' MD5s; whole-object CRC combined; reads by part; native reads the same."""

    async def scenario() -> None:
        async with serve() as [live]:
            await live.create()
            upload_id = await _begin(
                live, x_amz_meta_a="1", content_type="x/y", x_amz_checksum_algorithm="CRC32C",
                x_amz_checksum_type="FULL_OBJECT",
            )  # fmt: skip
            contents = [os.urandom(5 * MIB), os.urandom(5 * MIB), b"end"]
            for number in (3, 1, 2):
                content = contents[number - 1]
                crc = base64.b64encode(crt.crc32c(content).to_bytes(4, "big")).decode()
                put = await _part(live, upload_id, number, content, x_amz_checksum_crc32c=crc)
                assert (put.status, put.headers["ETag"]) == (200, f'"{_tag(content)}"')
            listed = await live.s3("GET", f"b/o?uploadId={upload_id}&max-parts=2")
            root = ElementTree.fromstring(listed.body)
            assert [one.findtext(f"{NAMESPACE}PartNumber") for one in root.iter(f"{NAMESPACE}Part")] == ["1", "2"]
            assert root.findtext(f"{NAMESPACE}IsTruncated") == "true"
            assert (await live.s3("GET", "b/o")).status == 404
            body = _complete([(n, _tag(contents[n - 1])) for n in (1, 2, 3)])
            done = await live.s3("POST", f"b/o?uploadId={upload_id}", data=body)
            whole = b"".join(contents)
            expected = hashlib.md5(b"".join(hashlib.md5(one).digest() for one in contents)).hexdigest() + "-3"
            root = ElementTree.fromstring(done.body)
            assert root.findtext(f"{NAMESPACE}ETag") == f'"{expected}"'
            crc = base64.b64encode(crt.crc32c(whole).to_bytes(4, "big")).decode()
            assert root.findtext(f"{NAMESPACE}ChecksumCRC32C") == crc
            again = await live.s3("POST", f"b/o?uploadId={upload_id}", data=body)
            assert again.status == 200  # a client that did not hear the first answer
            got = await live.s3("GET", "b/o", headers={"x-amz-checksum-mode": "ENABLED"})
            assert got.body == whole
            assert (got.headers["ETag"], got.headers["x-amz-checksum-crc32c"]) == (f'"{expected}"', crc)
            assert (got.headers["x-amz-meta-a"], got.headers["Content-Type"]) == ("1", "x/y")
            part = await live.s3("GET", "b/o?partNumber=3")
            assert (part.status, part.body, part.headers["x-amz-mp-parts-count"]) == (206, b"end", "3")
            assert _code(await live.s3("GET", "b/o?partNumber=4")) == "InvalidPartNumber"
            asked = {"x-amz-object-attributes": "ObjectParts,Checksum,ObjectSize"}
            described = (await live.s3("GET", "b/o?attributes", headers=asked)).body
            assert b"<PartsCount>3</PartsCount>" in described
            native = await live.ask("GET", "o")
            assert (native.body == whole, native.headers["ETag"]) == (True, expected)
            assert not [path for path in live.files() if "%mp/" in path]

    run(scenario())


@pytest.mark.parametrize(
    ("parts", "headers", "code"),
    [
        ([(1, "a"), (2, "b")], {}, "InvalidPart"),
        ([(2, ""), (1, "")], {}, "InvalidPartOrder"),
        ([(1, ""), (3, "")], {}, "InvalidPart"),
        ([(1, ""), (2, "")], {}, "EntityTooSmall"),
        ([(2, "")], {"x-amz-mp-object-size": "4"}, "InvalidRequest"),
        ([(2, "")], {"x-amz-checksum-crc32": "AAAAAA=="}, "BadDigest"),
        ([(2, "")], {"If-None-Match": "*"}, "PreconditionFailed"),
        ([(2, "")], {"If-Match": '"x"'}, "PreconditionFailed"),
        ([], {}, "MalformedXML"),
        ([(0, "")], {}, "InvalidArgument"),
    ],
)
def test_a_wrong_complete_changes_nothing(
    serve: Any, run: Scenario, parts: list[tuple[int, str]], headers: dict[str, str], code: str
) -> None:
    """Each refusal has its code; the object stays as it was, and the upload can still be completed."""
    contents = {1: b"one", 2: b"two"}

    async def scenario() -> None:
        async with serve() as [live]:
            await live.create()
            await live.s3("PUT", "b/o", data=b"before")
            upload_id = await _begin(live, x_amz_checksum_algorithm="CRC32", x_amz_checksum_type="FULL_OBJECT")
            for number, content in contents.items():
                await _part(live, upload_id, number, content)
            listed = [(number, tag or _tag(contents.get(number, b""))) for number, tag in parts]
            refused = await live.s3("POST", f"b/o?uploadId={upload_id}", data=_complete(listed), headers=headers)
            assert _code(refused) == code
            assert (await live.s3("GET", "b/o")).body == b"before"
            done = await live.s3("POST", f"b/o?uploadId={upload_id}", data=_complete([(2, _tag(b"two"))]))
            assert (done.status, (await live.s3("GET", "b/o")).body) == (200, b"two")

    run(scenario())


def test_what_does_not_exist_or_does_not_fit(serve: Any, run: Scenario) -> None:
    """Unknown uploads, bad numbers, wrong checksums and impossible combinations are refused with their codes."""

    async def scenario() -> None:
        async with serve() as [live]:
            await live.create()
            upload_id = await _begin(live, x_amz_checksum_algorithm="SHA256")
            for path, method, code in (
                ("b/o?uploadId=nosuch", "GET", "NoSuchUpload"),
                ("b/other?uploadId=" + upload_id, "GET", "NoSuchUpload"),
                ("b/o?uploadId=nosuch", "DELETE", "NoSuchUpload"),
                ("b/o?partNumber=1&uploadId=nosuch", "PUT", "NoSuchUpload"),
                (f"b/o?partNumber=0&uploadId={upload_id}", "PUT", "InvalidArgument"),
                (f"b/o?partNumber=10001&uploadId={upload_id}", "PUT", "InvalidArgument"),
                ("b/o?partNumber=1", "PUT", "InvalidArgument"),
            ):
                assert _code(await live.s3(method, path)) == code, path
            assert _code(await _part(live, upload_id, 1, b"x", x_amz_checksum_crc32="jBaeNg==")) == "InvalidRequest"
            for headers in (
                {"x-amz-checksum-algorithm": "SHA256", "x-amz-checksum-type": "FULL_OBJECT"},
                {"x-amz-checksum-algorithm": "CRC64NVME", "x-amz-checksum-type": "COMPOSITE"},
                {"x-amz-checksum-algorithm": "MD4"},
                {"x-amz-checksum-type": "COMPOSITE"},
            ):
                assert _code(await live.s3("POST", "b/o?uploads", headers=headers)) == "InvalidRequest"
            assert (await live.s3("DELETE", f"b/o?uploadId={upload_id}")).status == 204
            assert not [path for path in live.files() if "%mp/" in path]

    run(scenario())


def test_of_racing_completes_one_content_wins(serve: Any, run: Scenario) -> None:
    """Two lists of parts race: one becomes the object, the other is told that the upload is over."""

    async def scenario() -> None:
        async with serve() as [live]:
            await live.create()
            upload_id = await _begin(live)
            for number, content in ((1, b"one"), (2, b"two")):
                await _part(live, upload_id, number, content)
            lists = [[(1, _tag(b"one"))], [(2, _tag(b"two"))]] * 8
            answers = await asyncio.gather(
                *(live.s3("POST", f"b/o?uploadId={upload_id}", data=_complete(one)) for one in lists)
            )
            got = (await live.s3("GET", "b/o")).body
            won = [b"one" if index % 2 == 0 else b"two" for index, one in enumerate(answers) if one.status == 200]
            assert set(won) == {got}
            assert {_code(one) for one in answers if one.status != 200} == {"NoSuchUpload"}

    run(scenario())


def test_what_lists_other_parts_than_the_object_was_made_of_is_told_that_the_upload_is_over(
    serve: Any, run: Scenario, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the object's rename and the removal of what the upload leaves, over S3 and natively."""
    unlink = Disk.unlink
    monkeypatch.setattr(Disk, "unlink", staticmethod(lambda path: "/%mp/" in path or unlink(path)))

    async def scenario() -> None:
        async with serve() as [live]:
            await live.create()
            upload_id = await _begin(live)
            for number, content in ((1, b"one"), (2, b"two")):
                await _part(live, upload_id, number, content)
            first, other = _complete([(1, _tag(b"one"))]), _complete([(2, _tag(b"two"))])
            assert (await live.s3("POST", f"b/o?uploadId={upload_id}", data=first)).status == 200
            late = await live.s3("POST", f"b/o?uploadId={upload_id}", data=other)
            assert (late.status, _code(late)) == (404, "NoSuchUpload")
            again = await live.s3("POST", f"b/o?uploadId={upload_id}", data=first)
            assert again.status == 200
            native = [{"part-number": number, "etag": ""} for number in (1, 2)]
            query = {"uploadId": upload_id}
            assert (await live.act("POST", "o", "mpt-complete", value=native, query=query)).status == 404
            assert (await live.s3("GET", "b/o")).body == b"one"

    run(scenario())


@pytest.mark.parametrize("count", [1, 2])
def test_parts_are_copied(serve: Any, run: Scenario, count: int) -> None:
    """UploadPartCopy with and without a range, from this target and from another."""

    async def scenario() -> None:
        async with serve(count) as targets:
            for live in targets:
                await live.create()

            def owner(key: str) -> LiveTarget:
                node = targets[0].node.placement.owner(f"ais/@#/b/{key}")
                return next(one for one in targets if one.node.snode.id == node.id)

            live, content = owner("o"), os.urandom(6 * MIB)
            for name in ("s1", "s2", "s3", "s4"):
                await owner(name).s3("PUT", f"b/{name}", data=io.BytesIO(content))
            upload_id = await _begin(live)
            parts = []
            for number, (name, span) in enumerate(
                (("s1", "bytes=0-5242879"), ("s2", ""), ("s3", "bytes=0-0"), ("s4", "bytes=5-9")), 1
            ):
                headers = {"x-amz-copy-source": f"/b/{name}"} | ({"x-amz-copy-source-range": span} if span else {})
                copied = await live.s3("PUT", f"b/o?partNumber={number}&uploadId={upload_id}", headers=headers)
                assert copied.status == 200, copied.body
                tag = ElementTree.fromstring(copied.body).findtext(f"{NAMESPACE}ETag") or ""
                parts.append((number, tag.strip('"')))
            for span, code in (("bytes=0-99999999", "InvalidRange"), ("bytes=9-1", "InvalidArgument")):
                headers = {"x-amz-copy-source": "/b/s1", "x-amz-copy-source-range": span}
                refused = await live.s3("PUT", f"b/o?partNumber=9&uploadId={upload_id}", headers=headers)
                assert _code(refused) == code
            done = await live.s3("POST", f"b/o?uploadId={upload_id}", data=_complete([parts[0], parts[1], parts[3]]))
            assert done.status == 200, done.body
            assert (await live.s3("GET", "b/o")).body == content[: 5 * MIB] + content + content[5:10]

    run(scenario())
