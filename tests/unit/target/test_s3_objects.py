"""S3 object requests against real targets over HTTP, without authentication."""

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

from ais.api.bucket import Bck
from ais.env.disk import Disk

Scenario = Callable[[Any], Any]
OTHER = Bck("other")
MIB = 1 << 20


def _etag(content: bytes) -> str:
    return f'"{hashlib.md5(content).hexdigest()}"'


def _code(body: bytes) -> str:
    return ElementTree.fromstring(body).findtext("Code") or ""


def _text(body: bytes, name: str) -> str:
    root = ElementTree.fromstring(body)
    return root.findtext(f"{{http://s3.amazonaws.com/doc/2006-03-01/}}{name}") or ""


def _chunked(*chunks: bytes, trailer: str = "") -> bytes:
    framed = b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks)
    return framed + b"0\r\n" + (f"{trailer}\r\n".encode() if trailer else b"") + b"\r\n"


def test_put_get_head_delete(serve: Any, run: Scenario) -> None:
    """The life of an object, with the headers of each step."""

    async def scenario() -> None:
        async with serve() as [live]:
            await live.create()
            kept = {"Content-Type": "text/plain", "Cache-Control": "no-cache", "x-amz-meta-Color": "red"}
            put = await live.s3("PUT", "b/dir/o1", data=b"hello", headers=kept)
            assert (put.status, put.headers["ETag"], put.body) == (200, _etag(b"hello"), b"")
            assert put.headers["x-amz-checksum-crc64nvme"]
            got = await live.s3("GET", "b/dir/o1")
            assert (got.status, got.body, got.headers["ETag"]) == (200, b"hello", _etag(b"hello"))
            assert (got.headers["Content-Type"], got.headers["Cache-Control"]) == ("text/plain", "no-cache")
            assert got.headers["x-amz-meta-color"] == "red"
            assert len(got.headers["x-amz-request-id"]) == 16
            assert "x-amz-version-id" not in got.headers
            head = await live.s3("HEAD", "b/dir/o1", headers={"x-amz-checksum-mode": "ENABLED"})
            assert (head.status, head.headers["Content-Length"]) == (200, "5")
            assert head.headers["x-amz-checksum-type"] == "FULL_OBJECT"
            for _ in range(2):
                assert (await live.s3("DELETE", "b/dir/o1")).status == 204
            missing = await live.s3("GET", "b/dir/o1")
            assert (missing.status, _code(missing.body)) == (404, "NoSuchKey")
            assert (await live.s3("HEAD", "b/dir/o1")).status == 404
            assert _code((await live.s3("GET", "nowhere/o1")).body) == "NoSuchBucket"

    run(scenario())


def test_both_apis_show_the_same_object(serve: Any, run: Scenario) -> None:
    """User metadata is custom metadata, the ETag survives, a native copy keeps what S3 knows, and the other way."""

    async def scenario() -> None:
        async with serve() as [live]:
            await live.create()
            headers = {"x-amz-meta-color": "red", "Content-Type": "text/plain", "x-amz-tagging": "a=1"}
            await live.s3("PUT", "b/o", data=b"hello", headers=headers)
            native = await live.ask("GET", "o")
            assert (native.body, native.headers["Ais-Custom-Md"]) == (b"hello", "x-amz-meta-color=red")
            assert native.headers["ETag"] == _etag(b"hello").strip('"')
            assert native.headers["Content-Type"] == "text/plain"
            await live.ask("PUT", "o", query={"object_to": "ais/@#/b/copy"})
            copy = await live.s3("GET", "b/copy")
            assert (copy.headers["ETag"], copy.headers["x-amz-meta-color"]) == (_etag(b"hello"), "red")
            assert (copy.headers["Content-Type"], copy.headers["x-amz-tagging-count"]) == ("text/plain", "1")
            await live.ask("PUT", "n", data=b"native", headers={"Ais-Custom-Md": "x-amz-meta-k=v"})
            seen = await live.s3("GET", "b/n")
            assert (seen.body, seen.headers["x-amz-meta-k"]) == (b"native", "v")
            assert seen.headers["ETag"].endswith('-1"')
            await live.ask("PUT", "o", data=b"newer")
            assert "x-amz-tagging-count" not in (await live.s3("GET", "b/o")).headers

    run(scenario())


@pytest.mark.parametrize(
    ("spec", "status", "expected", "content_range"),
    [
        ("bytes=2-4", 206, b"234", "bytes 2-4/10"),
        ("bytes=7-", 206, b"789", "bytes 7-9/10"),
        ("bytes=-3", 206, b"789", "bytes 7-9/10"),
        ("bytes=-99", 206, b"0123456789", "bytes 0-9/10"),
        ("bytes=5-99", 206, b"56789", "bytes 5-9/10"),
        ("bytes=10-", 416, None, "bytes */10"),
        ("bytes=-0", 416, None, "bytes */10"),
        ("bytes=4-2", 200, b"0123456789", None),
        ("bytes=0-1,3-4", 200, b"0123456789", None),
        ("lines=1-2", 200, b"0123456789", None),
    ],
)
def test_ranges(
    serve: Any, run: Scenario, spec: str, status: int, expected: bytes | None, content_range: str | None
) -> None:
    """One satisfiable range is served, nonsense is ignored, nothing of the object is 416."""

    async def scenario() -> None:
        async with serve() as [live]:
            await live.create()
            await live.s3("PUT", "b/o", data=b"0123456789")
            got = await live.s3("GET", "b/o", headers={"Range": spec})
            assert (got.status, got.headers.get("Content-Range")) == (status, content_range)
            assert _code(got.body) == "InvalidRange" if expected is None else got.body == expected

    run(scenario())


def test_read_conditions_and_overrides(serve: Any, run: Scenario) -> None:
    """304 without a body, 412, and `response-*` parameters as headers."""

    async def scenario() -> None:
        async with serve() as [live]:
            await live.create()
            tag = (await live.s3("PUT", "b/o", data=b"x")).headers["ETag"]
            unchanged = await live.s3("GET", "b/o", headers={"If-None-Match": tag})
            assert (unchanged.status, unchanged.body) == (304, b"")
            other = await live.s3("GET", "b/o", headers={"If-Match": '"no"'})
            assert (other.status, _code(other.body)) == (412, "PreconditionFailed")
            assert (await live.s3("HEAD", "b/o", headers={"If-Match": '"no"'})).status == 412
            got = await live.s3("GET", "b/o?response-content-type=a%2Fb&response-expires=never")
            assert (got.headers["Content-Type"], got.headers["Expires"]) == ("a/b", "never")
            old = await live.s3("GET", "b/o", headers={"Range": "bytes=0-0", "If-Range": '"old"'})
            assert old.status == 200

    run(scenario())


CONTENT = b"0123456789" * 10
SHA256 = hashlib.sha256(CONTENT).hexdigest()
CRC = base64.b64encode(crt.crc32c(CONTENT).to_bytes(4, "big")).decode()
UNSIGNED = {"x-amz-content-sha256": "STREAMING-UNSIGNED-PAYLOAD-TRAILER", "x-amz-decoded-content-length": "100"}

LARGE = CONTENT * 1000
"""Enough for the pool."""
REFUSED: list[tuple[dict[str, str], bytes, str]] = [
    ({"Content-MD5": base64.b64encode(hashlib.md5(b"other").digest()).decode()}, CONTENT, "BadDigest"),
    ({"Content-MD5": "short"}, CONTENT, "InvalidDigest"),
    ({"x-amz-content-sha256": hashlib.sha256(b"other").hexdigest()}, CONTENT, "XAmzContentSHA256Mismatch"),
    ({"x-amz-checksum-crc32c": "AAAAAA=="}, CONTENT, "BadDigest"),
    ({"x-amz-checksum-crc32c": "AAAA"}, CONTENT, "InvalidRequest"),
    ({"x-amz-checksum-crc32c": CRC, "x-amz-checksum-sha1": "x"}, CONTENT, "InvalidRequest"),
    ({**UNSIGNED, "x-amz-trailer": "x-amz-checksum-crc32c"}, _chunked(CONTENT), "MalformedTrailerError"),
    (
        {**UNSIGNED, "x-amz-trailer": "x-amz-checksum-crc32c"},
        _chunked(CONTENT, trailer="x-amz-checksum-crc32c:AAAAAA=="),
        "BadDigest",
    ),
    (UNSIGNED, _chunked(CONTENT[:-1]), "IncompleteBody"),
    (UNSIGNED, _chunked(CONTENT)[:-40], "IncompleteBody"),
    ({"x-amz-content-sha256": "STREAMING-UNSIGNED-PAYLOAD-TRAILER"}, _chunked(CONTENT), "MissingContentLength"),
    ({"x-amz-meta-big": "v" * 2048}, CONTENT, "MetadataTooLarge"),
    ({"x-amz-acl": "public-read"}, CONTENT, "AccessControlListNotSupported"),
    ({"x-amz-storage-class": "GLACIER"}, CONTENT, "InvalidStorageClass"),
    ({"x-amz-tagging": "=x"}, CONTENT, "InvalidTag"),
    ({"x-amz-write-offset-bytes": "1"}, CONTENT, "NotImplemented"),
    ({"If-None-Match": '"tag"'}, CONTENT, "NotImplemented"),
    ({"If-None-Match": "*"}, CONTENT, "PreconditionFailed"),
    ({"If-Match": '"other"'}, CONTENT, "PreconditionFailed"),
]
IN_POOL = [(headers, LARGE, code) for headers, body, code in REFUSED if body is CONTENT]


@pytest.mark.parametrize(
    ("headers", "body", "code"), [pytest.param(*case, id=f"{case[2]}-{len(case[1])}") for case in REFUSED + IN_POOL]
)
def test_a_refused_put_changes_nothing(
    serve: Any, run: Scenario, headers: dict[str, str], body: bytes, code: str
) -> None:
    """Each claim is verified before the object becomes visible, in place and in the pool; no work file stays."""

    async def scenario() -> None:
        async with serve() as [live]:
            await live.create()
            await live.s3("PUT", "b/o", data=b"before", headers={"x-amz-meta-a": "1"})
            answer = await live.s3("PUT", "b/o", data=body, headers=headers)
            assert _code(answer.body) == code
            got = await live.s3("GET", "b/o")
            assert (got.body, got.headers["x-amz-meta-a"]) == (b"before", "1")
            assert not [path for path in live.files() if "%wk" in path]

    run(scenario())


def test_framing_is_not_content(serve: Any, run: Scenario) -> None:
    """An aws-chunked body with a right trailer is stored without its framing, and the encoding is not remembered."""

    async def scenario() -> None:
        async with serve() as [live]:
            await live.create()
            headers = {**UNSIGNED, "x-amz-trailer": "x-amz-checksum-crc32c", "Content-Encoding": "aws-chunked, gzip"}
            body = _chunked(CONTENT[:33], CONTENT[33:], trailer=f"x-amz-checksum-crc32c:{CRC}")
            put = await live.s3("PUT", "b/o", data=body, headers=headers)
            assert (put.status, put.headers["x-amz-checksum-crc32c"]) == (200, CRC)
            head = await live.s3("HEAD", "b/o")
            assert (head.headers["Content-Length"], head.headers["Content-Encoding"]) == ("100", "gzip")

    run(scenario())


@pytest.mark.parametrize("count", [1, 3])
def test_copies(serve: Any, run: Scenario, count: int) -> None:
    """Within a target and between targets: directives, conditions, refusals; the owner gives the source."""

    async def scenario() -> None:
        async with serve(count) as targets:
            for live in targets:
                await live.create()

            async def at_owner(method: str, path: str, **kwargs: Any) -> Any:
                key = path.partition("?")[0].removeprefix("b/")
                owner = targets[0].node.placement.owner(f"ais/@#/b/{key}")
                [live] = [one for one in targets if one.node.snode.id == owner.id]
                return await live.s3(method, path, **kwargs)

            content = os.urandom(3 * MIB)
            source = {"x-amz-meta-a": "1", "Content-Type": "x/y", "x-amz-tagging": "t=1"}
            await at_owner("PUT", "b/src", data=io.BytesIO(content), headers=source)
            for index in range(4):
                done = await at_owner("PUT", f"b/copy{index}", headers={"x-amz-copy-source": "/b/src"})
                assert (done.status, _text(done.body, "ETag")) == (200, _etag(content))
                got = await at_owner("GET", f"b/copy{index}")
                assert (got.body == content, got.headers["ETag"]) == (True, _etag(content))
                kept = (got.headers["x-amz-meta-a"], got.headers["Content-Type"], got.headers["x-amz-tagging-count"])
                assert kept == ("1", "x/y", "1")
            replacing = {
                "x-amz-copy-source": "b/src",
                "x-amz-metadata-directive": "REPLACE",
                "x-amz-tagging-directive": "REPLACE",
                "x-amz-meta-b": "2",
                "x-amz-checksum-algorithm": "SHA256",
            }
            done = await at_owner("PUT", "b/other", headers=replacing)
            assert _text(done.body, "ChecksumSHA256") == base64.b64encode(hashlib.sha256(content).digest()).decode()
            got = await at_owner("GET", "b/other")
            assert (got.headers.get("x-amz-meta-a"), got.headers["x-amz-meta-b"]) == (None, "2")
            assert "x-amz-tagging-count" not in got.headers
            for headers, code in (
                ({"x-amz-copy-source": "b/none"}, "NoSuchKey"),
                ({"x-amz-copy-source": "none/x"}, "NoSuchBucket"),
                ({"x-amz-copy-source": "b"}, "InvalidArgument"),
                ({"x-amz-copy-source": "b/other"}, "InvalidRequest"),
                ({"x-amz-copy-source": "b/src", "x-amz-copy-source-if-match": '"no"'}, "PreconditionFailed"),
                ({"x-amz-copy-source": "b/src", "If-None-Match": "*"}, "PreconditionFailed"),
                ({"x-amz-copy-source": "b/src", "x-amz-metadata-directive": "MAYBE"}, "InvalidArgument"),
            ):
                assert _code((await at_owner("PUT", "b/other", headers=headers)).body) == code
            assert (await at_owner("GET", "b/other")).headers["x-amz-meta-b"] == "2"
            for live in targets:
                assert not [path for path in live.files() if "%wk" in path]

    run(scenario())


class TakingDisk(Disk):
    """What arrives under a doomed name is gone at once, as if it had been deleted."""

    def rename(self, source: str, path: str) -> None:  # type: ignore[override]
        os.rename(source, path)
        if path.endswith("/doomed"):
            os.unlink(path)


def test_a_copy_that_is_deleted_at_once_was_made(serve: Any, run: Scenario) -> None:
    """The answer is that of the copy: 404 would say that there was nothing to copy."""

    async def scenario() -> None:
        async with serve(disk=TakingDisk()) as [live]:
            await live.create()
            await live.s3("PUT", "b/o", data=b"content")
            copied = await live.s3("PUT", "b/doomed", headers={"x-amz-copy-source": "b/o"})
            assert (copied.status, _text(copied.body, "ETag")) == (200, _etag(b"content"))
            assert _text(copied.body, "LastModified")[:2] == "20"
            assert (await live.s3("GET", "b/doomed")).status == 404

    run(scenario())


def test_tags_and_acls(serve: Any, run: Scenario) -> None:
    """Tags are replaced and removed in place; the owner's full control is the only ACL."""

    async def scenario() -> None:
        async with serve() as [live]:
            await live.create()
            await live.s3("PUT", "b/o", data=b"x")
            document = b"<Tagging><TagSet><Tag><Key>k</Key><Value>v+1 x</Value></Tag></TagSet></Tagging>"
            assert (await live.s3("PUT", "b/o?tagging", data=document)).status == 200
            assert b"<Value>v+1 x</Value>" in (await live.s3("GET", "b/o?tagging")).body
            assert (await live.s3("GET", "b/o")).body == b"x"
            assert (await live.s3("DELETE", "b/o?tagging")).status == 204
            assert b"<Tag>" not in (await live.s3("GET", "b/o?tagging")).body
            assert _code((await live.s3("PUT", "b/o?tagging", data=b"<nonsense>")).body) == "MalformedXML"
            assert b"FULL_CONTROL" in (await live.s3("GET", "b/o?acl")).body
            assert (await live.s3("PUT", "b/o?acl", headers={"x-amz-acl": "private"})).status == 200
            refused = await live.s3("PUT", "b/o?acl", headers={"x-amz-acl": "public-read"})
            assert _code(refused.body) == "AccessControlListNotSupported"
            assert _code((await live.s3("PUT", "b/none?tagging", data=document)).body) == "NoSuchKey"

    run(scenario())


def test_fifty_racing_creators_have_one_winner(serve: Any, run: Scenario) -> None:
    """If-None-Match: * is decided under the object's lock."""

    async def scenario() -> None:
        async with serve() as [live]:
            await live.create()
            puts = [
                live.s3("PUT", "b/o", data=b"%d" % index * 40_000, headers={"If-None-Match": "*"})
                for index in range(50)
            ]
            statuses = [answer.status for answer in await asyncio.gather(*puts)]
            assert sorted(statuses) == [200] + [412] * 49

    run(scenario())
