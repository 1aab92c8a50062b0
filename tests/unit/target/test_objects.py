"""Object requests against a real target over HTTP."""

import asyncio
import hashlib
import io
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import xxhash
from harness.target import BCK, ENCRYPTION, until
from yarl import URL

from ais.api import codec
from ais.api.bucket import Bck
from ais.fs.mountpath import STALL_S
from ais.fs.volume import VolumeLimits
from ais.meta.smap import digest
from ais.s3 import encryption
from ais.stats import names as metrics
from ais.target.mountpaths import OUT_OF_SPACE

Scenario = Callable[[Any], Any]


def test_put_get_head_delete(serve: Any, run: Scenario) -> None:
    """The life of an object, with the exact headers of each step."""

    async def scenario() -> None:
        async with serve() as [live]:
            await live.create()
            put = await live.ask("PUT", "dir/o1", data=b"hello")
            digest = xxhash.xxh64(b"hello").hexdigest()
            assert (put.status, put.body) == (200, b"")
            assert put.headers["Ais-Checksum-Type"] == "xxhash2"
            assert put.headers["Ais-Checksum-Value"] == digest
            assert put.headers["Ais-Version"] == "1"

            got = await live.ask("GET", "dir/o1")
            assert (got.status, got.body) == (200, b"hello")
            assert got.headers["Content-Type"] == "application/octet-stream"
            assert got.headers["Content-Length"] == "5"
            assert got.headers["Ais-Checksum-Value"] == digest
            assert int(got.headers["Ais-Atime"]) > 0

            head = await live.ask("HEAD", "dir/o1", query={"props": "name,size"})
            assert (head.status, head.headers["Content-Length"], head.headers["Ais-Present"]) == (200, "5", "true")
            head = await live.ask("HEAD", "dir/o1")
            assert head.headers["Ais-Location"].startswith(f"{live.node.snode.name}:mp[/")

            assert (await live.ask("DELETE", "dir/o1")).status == 200
            missing = await live.ask("GET", "dir/o1")
            assert (missing.status, "ais://b/dir/o1 does not exist" in missing.message) == (404, True)
            assert (await live.ask("DELETE", "dir/o1")).status == 404
            missing = await live.ask("HEAD", "dir/o1", query={"props": "size"})
            assert (missing.status, missing.body, "ais://b/dir/o1" in missing.message) == (404, b"", True)

    run(scenario())


def test_the_version_counts_overwrites_and_the_same_content_is_kept(serve: Any, run: Scenario) -> None:
    """Another content is the next version; a PUT that claims the stored checksum changes nothing."""

    async def scenario() -> None:
        async with serve() as [live]:
            await live.create()
            await live.ask("PUT", "o", data=b"one")
            assert (await live.ask("PUT", "o", data=b"two")).headers["Ais-Version"] == "2"
            claim = {"Ais-Checksum-Type": "xxhash2", "Ais-Checksum-Value": xxhash.xxh64(b"two").hexdigest()}
            assert (await live.ask("PUT", "o", data=b"two", headers=claim)).headers["Ais-Version"] == "2"
            assert (await live.ask("GET", "o")).body == b"two"
            assert live.work_files() == []

    run(scenario())


@pytest.mark.parametrize("size", [0, 1, 5000, 300_000, 3_000_000])
def test_content_of_any_size_comes_back(serve: Any, run: Scenario, size: int) -> None:
    """Inline and pooled writes store the same bytes, with and without an announced length."""
    content = os.urandom(size)

    async def pieces() -> Any:
        for start in range(0, size, 70_000):
            yield content[start : start + 70_000]

    async def scenario() -> None:
        async with serve() as [live]:
            await live.create()
            for name, data in (("whole", io.BytesIO(content)), ("chunked", pieces())):
                assert (await live.ask("PUT", name, data=data)).status == 200
                got = await live.ask("GET", name)
                assert got.body == content
                assert got.headers["Ais-Checksum-Value"] == xxhash.xxh64(content).hexdigest()
            assert live.work_files() == []
            assert live.node.stats.values[metrics.PUT_N] == 2
            assert live.node.stats.values[metrics.GET_SIZE] == 2 * size

    run(scenario())


def test_ranges(serve: Any, run: Scenario) -> None:
    """206 with exact headers and the checksum of the whole object; 416 tells the size."""

    async def scenario() -> None:
        async with serve() as [live]:
            await live.create()
            await live.ask("PUT", "o", data=b"0123456789")
            got = await live.ask("GET", "o", headers={"Range": "bytes=2-5"})
            assert (got.status, got.body) == (206, b"2345")
            assert got.headers["Content-Range"] == "bytes 2-5/10"
            assert got.headers["Accept-Ranges"] == "bytes"
            assert got.headers["Content-Length"] == "4"
            assert got.headers["Ais-Checksum-Value"] == xxhash.xxh64(b"0123456789").hexdigest()
            assert (await live.ask("GET", "o", headers={"Range": "bytes=-3"})).body == b"789"
            assert (await live.ask("GET", "o", headers={"Range": "bytes=7-99"})).body == b"789"
            for spec in ("bytes=10-", "bytes=0-1,4-5", "lines=1-2"):
                bad = await live.ask("GET", "o", headers={"Range": spec})
                assert (bad.status, bad.headers["Content-Range"]) == (416, "bytes */10")

    run(scenario())


def test_a_range_has_its_own_checksum_when_the_bucket_says_so(serve: Any, run: Scenario) -> None:
    """`checksum.enable_read_range`: the checksum headers are those of the bytes sent."""

    async def scenario() -> None:
        async with serve() as [live]:
            await live.create(patch={"checksum": {"enable_read_range": True, "type": "md5"}})
            await live.ask("PUT", "o", data=b"0123456789")
            got = await live.ask("GET", "o", headers={"Range": "bytes=2-5"})
            assert got.headers["Ais-Checksum-Value"] == hashlib.md5(b"2345").hexdigest()
            assert (await live.ask("GET", "o", headers={"Range": "bytes=10-"})).status == 416

    run(scenario())


def test_a_wrong_checksum_stores_nothing(serve: Any, run: Scenario) -> None:
    """500 with the text clients look for, of the bucket's kind or another; the old object stays."""

    async def scenario() -> None:
        async with serve() as [live]:
            await live.create()
            await live.ask("PUT", "o", data=b"old")
            claim = {"Ais-Checksum-Type": "crc32c", "Ais-Checksum-Value": "badchecksum"}
            bad = await live.ask("PUT", "o", data=b"new", headers=claim)
            assert bad.status == 500
            assert bad.message.startswith("BAD DATA CHECKSUM: crc32c(badchecksum != ")
            assert "ais://b/o" in bad.message
            assert (await live.ask("GET", "o")).body == b"old"
            assert live.work_files() == []
            values = live.node.stats.values
            assert (values[metrics.ERR_PUT_CKSUM_N], values[metrics.ERR_PUT_N]) == (1, 1)
            right = {"Ais-Checksum-Type": "sha256", "Ais-Checksum-Value": hashlib.sha256(b"new").hexdigest()}
            assert (await live.ask("PUT", "o", data=b"new", headers=right)).status == 200

    run(scenario())


@pytest.mark.parametrize("mode", ["0", "1", "2"])
def test_a_wrong_checksum_of_a_member_leaves_its_shard(serve: Any, run: Scenario, mode: str) -> None:
    """What is written into a shard is compared with what its client claims, too."""

    async def scenario() -> None:
        async with serve() as [live]:
            await live.create()
            member = {"query": {"archpath": "m"}, "data": b"member"}
            assert (await live.ask("PUT", "o.tar", headers={"Ais-Pine": "2"}, **member)).status == 200
            before = (await live.ask("GET", "o.tar")).body
            right = hashlib.md5(b"member", usedforsecurity=False).hexdigest()
            for claimed, status in (("0" * 32, 500), (right, 200)):
                lines = {"Ais-Pine": mode, "Ais-Checksum-Type": "md5", "Ais-Checksum-Value": claimed}
                assert (await live.ask("PUT", "o.tar", headers=lines, **member)).status == status
                if status != 200:
                    assert (await live.ask("GET", "o.tar")).body == before

    run(scenario())


def test_custom_metadata_in_both_directions(serve: Any, run: Scenario) -> None:
    """Repeated headers on PUT, repeated headers on GET, merged or replaced by PATCH."""

    async def scenario() -> None:
        async with serve() as [live]:
            await live.create()
            sent = [("Ais-Custom-Md", "a=1"), ("Ais-Custom-Md", "b=x=y")]
            put = await live.ask("PUT", "o", data=b"x", headers=sent)
            assert put.headers.getall("Ais-Custom-Md") == ["a=1", "b=x=y"]
            assert (await live.act("PATCH", "o", "", value={"b": "2"})).status == 200
            got = await live.ask("GET", "o")
            assert sorted(got.headers.getall("Ais-Custom-Md")) == ["a=1", "b=2"]
            await live.act("PATCH", "o", "", value={"c": "3"}, query={"set-new-custom": "true"})
            assert (await live.ask("GET", "o")).headers.getall("Ais-Custom-Md") == ["c=3"]
            assert (await live.act("PATCH", "none", "", value={"c": "3"})).status == 404
            for value in ({"c": 3}, "text", None, {"k": "a\nb"}, {"k": "v" * 3000}):
                assert (await live.act("PATCH", "o", "", value=value)).status == 400

    run(scenario())


def test_damaged_content_is_not_served(serve: Any, run: Scenario) -> None:
    """`validate_warm_get`: content that does not match its checksum gives 500 and is counted."""

    async def scenario() -> None:
        async with serve() as [live]:
            await live.create(patch={"checksum": {"validate_warm_get": True}})
            await live.ask("PUT", "o", data=b"right")
            assert (await live.ask("GET", "o")).body == b"right"
            [path] = [path for one in live.volume.available for path in Path(one.path).rglob("%ob/o")]
            path.write_bytes(b"wrong")
            bad = await live.ask("GET", "o")
            assert (bad.status, "BAD DATA CHECKSUM" in bad.message) == (500, True)
            assert live.node.stats.values[metrics.ERR_GET_N] == 1
            assert (await live.ask("HEAD", "o", query={"validate-checksum": "true"})).status == 500

    run(scenario())


@pytest.mark.parametrize(
    ("method", "query", "status"),
    [
        ("PUT", {"uploadId": "u"}, 400),
        ("PUT", {"partNumber": "1"}, 400),
        ("PUT", {"uploadId": "u", "partNumber": "1"}, 404),
        ("PUT", {"etl_name": "e"}, 501),
        ("PUT", {"tagging": ""}, 400),
        ("PUT", {"append_type": "later"}, 400),
        ("GET", {"archpath": "x"}, 400),
        ("GET", {"etl_name": "e"}, 501),
        ("HEAD", {"props": "color"}, 400),
        ("HEAD", {"presence": "9"}, 400),
        ("HEAD", {"presence": "5"}, 404),
    ],
)
def test_what_we_do_not_serve_never_touches_the_object(
    serve: Any, run: Scenario, method: str, query: dict[str, str], status: int
) -> None:
    """A query that means something else is refused, and the object is as before."""

    async def scenario() -> None:
        async with serve() as [live]:
            await live.create()
            await live.ask("PUT", "o", data=b"old")
            data = b"new" if method == "PUT" else None
            assert (await live.ask(method, "o", query=query, data=data)).status == status
            assert (await live.ask("GET", "o")).body == b"old"

    run(scenario())


LIMITS = {
    "Content-Range": "bytes 3-5/6",
    "If-Match": '"other"',
    "If-None-Match": "*",
    "If-Modified-Since": "no date",
    "If-Unmodified-Since": "Thu, 01 Jan 1970 00:00:00 GMT",
}


@pytest.mark.parametrize("header", LIMITS)
@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "S3 PUT", "S3 DELETE"])
def test_a_limit_to_a_change_is_kept_or_refused(serve: Any, run: Scenario, method: str, header: str) -> None:
    """Nothing is replaced by the rest of a content, nor whatever it is by who says what it must be."""

    async def scenario() -> None:
        async with serve() as [live]:
            await live.create()
            await live.s3("PUT", "b/o", data=b"old")
            before = (await live.ask("HEAD", "o")).headers
            lines, body = {header: LIMITS[header]}, {"data": b"new"} if "PUT" in method else {}
            if method.startswith("S3"):
                answer = await live.s3(method.removeprefix("S3 "), "b/o", headers=lines, **body)
            elif method == "PATCH":
                answer = await live.act(method, "o", "", value={"key": "text"}, headers=lines)
            else:
                answer = await live.ask(method, "o", headers=lines, **body)
            if (method, header) == ("S3 DELETE", "Content-Range"):
                assert answer.status == 204  # it says nothing of a request without content
                return
            assert answer.status == (412 if method.startswith("S3") and header.endswith("-Match") else 501)
            after = (await live.ask("HEAD", "o")).headers
            names = ("Ais-Version", "Ais-Custom-Md", "Ais-Checksum-Value")
            assert [after.get(name) for name in names] == [before.get(name) for name in names]

    run(scenario())


def test_actions_that_objects_of_a_bucket_do_not_have(serve: Any, run: Scenario) -> None:
    """An unknown one, and one for buckets with a backend: 400."""

    async def scenario() -> None:
        async with serve() as [live]:
            await live.create()
            assert (await live.act("POST", "o", "blob-download")).status == 400
            assert (await live.act("POST", "o", "no-such")).status == 400

    run(scenario())


def test_writes_must_come_through_a_proxy(serve: Any, run: Scenario) -> None:
    """Direct reads are fine, direct writes are told where they belong; a claimed peer must be one."""

    async def scenario() -> None:
        async with serve() as [live]:
            await live.create()
            await live.ask("PUT", "o", data=b"x")
            url = f"{live.url}/v1/objects/b/o"
            assert (await live.call("GET", url)).body == b"x"
            assert (await live.call("HEAD", url)).status == 200
            for method, what in (("PUT", "PUT(obj)"), ("DELETE", "DELETE(obj)")):
                refused = await live.call(method, url, data=b"y" if method == "PUT" else None)
                assert (refused.status, f"{what} is expected to be redirected" in refused.message) == (400, True)
            assert (await live.call("PATCH", url, data=b'{"value":{"a":"b"}}')).status == 400
            assert (await live.call("POST", url, data=b'{"action":"rename-obj","name":"p"}')).status == 400
            stranger = {"Ais-Caller-Id": "strangerID"}
            assert (await live.call("PUT", url, data=b"y", headers=stranger)).status == 403
            assert (await live.call("GET", url)).body == b"x"

    run(scenario())


def test_access_bits_of_the_bucket(serve: Any, run: Scenario) -> None:
    """A read-only bucket takes no change; reading is always allowed while nobody authenticates."""

    async def scenario() -> None:
        async with serve() as [live]:
            await live.create(patch={"access": "0"})
            for method in ("PUT", "DELETE"):
                refused = await live.ask(method, "o", data=b"x" if method == "PUT" else None)
                assert (refused.status, "access denied" in refused.message) == (403, True)
            assert (await live.act("PATCH", "o", "", value={"a": "b"})).status == 403
            assert (await live.act("POST", "o", "rename-obj", "p")).status == 403
            assert (await live.ask("PUT", "o", query={"append_type": "append"}, data=b"x")).status == 403
            assert (await live.ask("GET", "o")).status == 404

    run(scenario())


@pytest.mark.parametrize(
    "name",
    ["ü/日本", "a b+c", "p%q", "x" * 300, "a/" + "y" * 600, "dir/.hidden", "tab\tname", "k" * 1024],
)
def test_unusual_names(serve: Any, run: Scenario, name: str) -> None:
    """Names that file systems and URLs find hard are names like others."""

    async def scenario() -> None:
        async with serve() as [live]:
            await live.create()
            url = f"{live.url}/v1/objects/b/{quote(name, safe='')}?provider=ais&pid=p&utm=1"
            assert (await live.call("PUT", URL(url, encoded=True), data=b"x")).status == 200
            assert (await live.call("GET", URL(url, encoded=True))).body == b"x"
            assert (await live.call("HEAD", URL(url, encoded=True))).headers["Ais-Bucket-Name"] == "b"
            assert (await live.call("DELETE", URL(url, encoded=True))).status == 200

    run(scenario())


@pytest.mark.parametrize("name", ["", "%2Fabs", "a/../b", "./a", "dir/", "z" * 1025, "nul%00", "%FF"])
def test_names_outside_the_rules(serve: Any, run: Scenario, name: str) -> None:
    """400 for PUT and GET, also after the bucket was seen; nothing is left behind."""

    async def scenario() -> None:
        async with serve() as [live]:
            await live.create()
            await live.ask("GET", "warm-up")
            url = URL(f"{live.url}/v1/objects/b/{name}?provider=ais&pid=p&utm=1", encoded=True)
            assert (await live.call("PUT", url, data=b"x")).status == 400
            assert (await live.call("GET", url)).status == 400
            assert live.work_files() == []

    run(scenario())


def test_a_name_and_names_below_it_live_together(serve: Any, run: Scenario) -> None:
    """`a` and `a/b` are two objects, in any order of creation."""

    async def scenario() -> None:
        async with serve() as [live]:
            await live.create()
            for name in ("a", "a/b", "c/d", "c"):
                await live.ask("PUT", name, data=name.encode())
            for name in ("a", "a/b", "c/d", "c"):
                assert (await live.ask("GET", name)).body == name.encode()

    run(scenario())


def test_missing_buckets(serve: Any, run: Scenario) -> None:
    """404 with the bucket's name, for every method; another provider or namespace is another bucket."""

    async def scenario() -> None:
        async with serve() as [live]:
            await live.create()
            for method in ("GET", "PUT", "DELETE"):
                missing = await live.ask(method, "o", bucket="nope", data=b"x" if method == "PUT" else None)
                assert (missing.status, missing.message) == (404, 'bucket "ais://nope" does not exist')
            await live.ask("PUT", "o", data=b"x")
            assert (await live.call("GET", f"{live.url}/v1/objects/b/o?provider=ais&namespace=%40%23ns")).status == 404
            assert (await live.call("GET", f"{live.url}/v1/objects/b/o?provider=floppy")).status == 400
            assert (await live.call("GET", f"{live.url}/v1/objects/b/o?provider=ais&namespace=%40%23")).body == b"x"

    run(scenario())


def test_append_and_flush(serve: Any, run: Scenario) -> None:
    """Parts are collected under handles and appear at the flush; a repeated part is stored once."""

    async def scenario() -> None:
        async with serve() as [live]:
            await live.create()

            async def append(data: bytes, handle: str = "", kind: str = "append") -> Any:
                return await live.ask("PUT", "o", query={"append_type": kind, "append_handle": handle}, data=data)

            first = (await append(b"one,")).headers["Ais-Append-Handle"]
            assert first.split("|")[0] == live.node.snode.id
            await append(b"two,", first)
            second = (await append(b"two,", first)).headers["Ais-Append-Handle"]
            assert (await live.ask("GET", "o")).status == 404
            assert (await append(b"", second, "flush")).status == 200
            got = await live.ask("GET", "o")
            assert got.body == b"one,two,"
            assert got.headers["Ais-Checksum-Value"] == xxhash.xxh64(b"one,two,").hexdigest()
            assert (await append(b"x", second)).status == 404
            assert (await append(b"", "", "flush")).status == 400
            more = (await append(b"three")).headers["Ais-Append-Handle"]
            await append(b"!", more, "flush")
            assert (await live.ask("GET", "o")).body == b"one,two,three!"
            assert live.work_files() == []

    run(scenario())


@pytest.mark.parametrize("encrypts", [False, True])
def test_what_is_claimed_of_an_append_is_compared(serve: Any, run: Scenario, encrypts: bool) -> None:
    """A checksum is that of the body; of what has another nothing stays, and the handle before is good. Custom metadata
    is for the flush."""

    async def scenario() -> None:
        async with serve() as [live]:
            await live.create()
            if encrypts:
                props = live.node.bmd.require(BCK).props.with_s3(documents={encryption.DOCUMENT: ENCRYPTION})
                await live.take(live.node.bmd.with_props(BCK, props))

            async def append(data: bytes, handle: str, claimed: bytes, kind: str = "append") -> Any:
                lines = {"Ais-Checksum-Type": "md5", "Ais-Checksum-Value": hashlib.md5(claimed).hexdigest()}
                query = {"append_type": kind, "append_handle": handle}
                return await live.ask("PUT", "o", query=query, data=data, headers=lines)

            assert (await append(b"one,", "", b"another")).status == 500
            assert live.work_files() == []
            handle = (await append(b"one,", "", b"one,")).headers["Ais-Append-Handle"]
            refused = await append(b"two,", handle, b"one,two,")
            assert (refused.status, codec.parse_json(refused.body)["tcode"]) == (500, "ErrBadCksum")
            handle = (await append(b"two,", handle, b"two,")).headers["Ais-Append-Handle"]
            query = {"append_type": "append", "append_handle": handle}
            assert (await live.ask("PUT", "o", query=query, headers={"Ais-Custom-Md": "k=v"})).status == 400
            assert (await append(b"", handle, b"one,two,", "flush")).status == 200
            assert (await live.ask("GET", "o")).body == b"one,two,"

    run(scenario())


@pytest.mark.parametrize(
    "query",
    [
        {"append_type": "append"},
        {"object_to": "ais/@#/b/copy"},
        {"archpath": "member"},
        {"uploadId": "abc", "partNumber": "1"},
        {"uploadId": "abc", "partNumber": "1", "append_type": "append"},
    ],
)
def test_metadata_is_refused_where_it_would_be_dropped(serve: Any, run: Scenario, query: dict[str, str]) -> None:
    """Parts, appends, members of shards and copies have none of their own; a copy takes no claim either."""

    async def scenario() -> None:
        async with serve() as [live]:
            await live.create()
            assert (await live.ask("PUT", "o.tar", data=b"")).status == 200
            answer = await live.ask("PUT", "o.tar", query=query, data=b"x", headers={"Ais-Custom-Md": "k=v"})
            assert (answer.status, "custom metadata" in answer.message) == (400, True)
            if "object_to" in query:
                claim = {"Ais-Checksum-Type": "md5", "Ais-Checksum-Value": "0" * 32}
                assert (await live.ask("PUT", "o.tar", query=query, headers=claim)).status == 400

    run(scenario())


def test_an_upload_that_breaks_off_leaves_nothing(serve: Any, run: Scenario) -> None:
    """A client that goes away in the middle of a large body leaves neither object nor work file."""

    async def scenario() -> None:
        async with serve() as [live]:
            await live.create()
            _, writer = await asyncio.open_connection("127.0.0.1", int(live.node.snode.public.port))
            writer.write(
                b"PUT /v1/objects/b/o?provider=ais&pid=p&utm=1 HTTP/1.1\r\nHost: x\r\nContent-Length: 3000000\r\n\r\n"
                + bytes(1_000_000)
            )
            await writer.drain()
            writer.close()
            await writer.wait_closed()
            await until(lambda: live.server.connection_count == 0)
            assert (await live.ask("GET", "o")).status == 404
            await until(lambda: live.work_files() == [])  # once the write that was under way is over

    run(scenario())


def test_a_bucket_destroyed_during_an_upload_gets_no_object(serve: Any, run: Scenario) -> None:
    """The upload ends with 404, also when a bucket of the same name was created meanwhile."""

    async def scenario() -> None:
        async with serve() as [live]:
            await live.create()
            is_destroyed = asyncio.Event()

            async def body() -> Any:
                yield bytes(400_000)
                await is_destroyed.wait()
                yield b"end"

            upload = asyncio.create_task(live.ask("PUT", "o", data=body()))
            await until(lambda: bool(live.work_files()))
            await live.take(live.node.bmd.without_bucket(Bck("b")))
            await live.create()
            is_destroyed.set()
            assert (await upload).status == 404
            assert (await live.ask("GET", "o")).status == 404
            await until(lambda: live.work_files() == [])

    run(scenario())


def test_a_full_disk_refuses_before_the_body(serve: Any, run: Scenario) -> None:
    """Above the watermark a PUT gets 507 instead of 100 Continue; reading goes on."""

    async def scenario() -> None:
        async with serve() as [live]:
            await live.create()
            await live.ask("PUT", "o", data=b"x")
            live.volume.limits = VolumeLimits(out_of_space_pct=0.0)
            reader, writer = await asyncio.open_connection("127.0.0.1", int(live.node.snode.public.port))
            writer.write(
                b"PUT /v1/objects/b/p?provider=ais&pid=p&utm=1 HTTP/1.1\r\nHost: x\r\n"
                b"Content-Length: 10\r\nExpect: 100-continue\r\n\r\n"
            )
            assert (await reader.readline()).startswith(b"HTTP/1.1 507 ")
            writer.close()
            await writer.wait_closed()
            assert (await live.ask("GET", "o")).body == b"x"
            assert live.target.state_flags() == OUT_OF_SPACE
            assert live.work_files() == []

    run(scenario())


def test_concurrent_writers_of_one_object(serve: Any, run: Scenario) -> None:
    """One wins as a whole and every version is counted; readers see one content or another, never a mix."""
    size, writers = 300_000, 12

    async def scenario() -> None:
        async with serve() as [live]:
            await live.create()

            async def put(index: int) -> str:
                done = await live.ask("PUT", "o", data=bytes([index]) * (size + index))
                return str(done.headers["Ais-Version"])

            async def get() -> None:
                got = await live.ask("GET", "o")
                assert got.status == 404 or got.body == bytes([got.body[0]]) * (size + got.body[0])

            outcomes = await asyncio.gather(*(put(index) for index in range(writers)), *(get() for _ in range(writers)))
            assert sorted(int(version) for version in outcomes if version) == list(range(1, writers + 1))
            await get()
            assert live.work_files() == []

    run(scenario())


def test_a_small_put_waits_for_the_lock_of_its_object(serve: Any, run: Scenario) -> None:
    """While another writer has the stripe, the loop serves others; then the object is stored."""

    async def scenario() -> None:
        async with serve() as [live]:
            await live.create()
            await live.ask("PUT", "o", data=b"old")
            stripes, key = live.volume.place("ais/@#/b/o").stripes, digest("ais/@#/b/o")
            stripes.acquire(key)
            putting = asyncio.create_task(live.ask("PUT", "o", data=b"new"))
            await until(lambda: bool(live.work_files()))
            assert (await live.ask("GET", "o")).body == b"old"
            assert not putting.done()
            stripes.release(key)
            assert (await putting).status == 200
            assert (await live.ask("GET", "o")).body == b"new"
            assert live.work_files() == []

    run(scenario())


@pytest.mark.parametrize("size", [100, 1 << 20])
def test_a_disk_that_is_behind_is_not_waited_for_in_the_loop(
    serve: Any, run: Scenario, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    """Small bodies are written in place, by the loop's thread; after a write that stalled, in the mountpath's pool."""

    async def scenario() -> None:
        async with serve() as [live]:
            await live.create()
            disk, content, writers = live.node.env.disk, os.urandom(size), set()

            def write(fd: int, data: bytes | memoryview) -> int:
                writers.add(threading.current_thread())
                return os.write(fd, data)

            monkeypatch.setattr(disk, "write", write)
            await live.ask("PUT", "quick", data=content)
            assert writers == {threading.current_thread()}
            writers.clear()
            mountpath = live.volume.place("ais/@#/b/late")
            mountpath.wrote(mountpath.now_s() - 2 * STALL_S)
            await live.ask("PUT", "late", data=content)
            assert threading.current_thread() not in writers
            assert (await live.ask("GET", "late")).body == (await live.ask("GET", "quick")).body == content

    run(scenario())


def test_redirect_latency_is_counted(serve: Any, run: Scenario) -> None:
    """A request that came by redirect adds the time since; one with a time out of this world does not count."""

    async def scenario() -> None:
        async with serve() as [live]:
            await live.create()
            now_ns = live.node.env.clock.now_ns()
            await live.ask("PUT", "o", data=b"x")
            for sent_ns in (now_ns, 1, now_ns + 10**12):
                query = f"provider=ais&pid=p&utm={sent_ns}"
                assert (await live.call("GET", f"{live.url}/v1/objects/b/o?{query}")).status == 200
            counters = live.node.stats.counters()
            assert counters["get.redir.n"] == 1
            assert 0 <= counters["get.redir.ns.total"] < 60 * 10**9

    run(scenario())
