"""The client on real sockets, against a tiny server that does what the wire contract says."""

import asyncio
import io
import os
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from ais.api.bucket import Bck
from ais.api.listing import LsoMsg
from ais.base.errors import (
    AisError,
    BadRequest,
    BucketExists,
    BucketNotFound,
    ChecksumMismatch,
    ObjectNotFound,
    RangeNotSatisfiable,
    Unreachable,
)
from ais.client.body import BytesBody, FileBody, StreamBody
from ais.client.client import Client
from ais.client.objects import Claim
from ais.config.environment import ClientEnvironment, for_client

BCK = Bck("b1")


def run(reference: Any, work: Callable[[Client], Awaitable[Any]], retries: int = 2) -> Any:
    """Run `work` with a client of the reference server."""

    async def main() -> Any:
        async with Client(reference.endpoint, environment=ClientEnvironment(), retries=retries) as client:
            return await work(client)

    return asyncio.run(main())


def test_object_round_trip(reference: Any) -> None:
    """An object put through the proxy is stored by the target and read back, verified, with its metadata."""

    async def work(client: Client) -> None:
        await client.buckets.create(BCK)
        stored = await client.objects.put(BCK, "dir/ö 1+%?#.txt", BytesBody(b"hello"), custom={"k": "v=1"})
        assert (stored.checksum_kind, stored.version) == ("xxhash2", "1")
        assert await client.objects.read(BCK, "dir/ö 1+%?#.txt") == b"hello"
        head = await client.objects.head(BCK, "dir/ö 1+%?#.txt")
        assert (head.size, head.custom, head.atime_ns) == (5, {"k": "v=1"}, 1771000000000000000)
        await client.objects.delete(BCK, "dir/ö 1+%?#.txt")
        with pytest.raises(ObjectNotFound, match="ais://b1/dir/ö"):
            await client.objects.head(BCK, "dir/ö 1+%?#.txt")

    run(reference, work)
    assert not reference.buckets["b1"]


def test_content_goes_to_the_target_only(reference: Any, tmp_path: Path) -> None:
    """The proxy sees an empty body; the target receives each byte once, whatever the source of the content."""
    path = tmp_path / "file"
    path.write_bytes(os.urandom(3_000_000))

    async def work(client: Client) -> None:
        await client.buckets.create(BCK)
        await client.objects.put(BCK, "file", FileBody(path))
        with path.open("rb") as file:
            await client.objects.put(BCK, "stream", StreamBody(file))
        await client.objects.put(BCK, "empty", BytesBody(b""))

    run(reference, work)
    assert reference.received == {"proxy": 0, "target": 6_000_000}
    assert reference.buckets["b1"]["file"]["data"] == reference.buckets["b1"]["stream"]["data"] == path.read_bytes()
    assert reference.buckets["b1"]["stream"]["chunked"]
    assert not reference.buckets["b1"]["file"]["chunked"]


def test_progress_adds_up(reference: Any) -> None:
    """The bytes reported while sending and receiving sum to the size of the object."""
    moved: list[int] = []

    async def work(client: Client) -> None:
        await client.buckets.create(BCK)
        await client.objects.put(BCK, "o", BytesBody(bytes(700_000)), on_bytes=moved.append)
        assert sum(moved) == 700_000
        moved.clear()
        async with client.objects.get(BCK, "o") as reader:
            sink = io.BytesIO()
            await reader.copy_to(sink, context="o", on_bytes=moved.append)
        assert sum(moved) == len(sink.getvalue()) == 700_000

    run(reference, work)


def test_wrong_claim_is_refused(reference: Any) -> None:
    """A checksum that the content does not have is the cluster's `ChecksumMismatch`, and nothing is stored."""

    async def work(client: Client) -> None:
        await client.buckets.create(BCK)
        with pytest.raises(ChecksumMismatch, match="BAD DATA CHECKSUM"):
            await client.objects.put(BCK, "o", BytesBody(b"x"), claim=Claim("xxhash2", "0" * 16))

    run(reference, work)
    assert not reference.buckets["b1"]


def test_corrupted_download_is_noticed(reference: Any) -> None:
    """Content that does not have the checksum of the headers is an error, not data; a range is not checked."""

    async def work(client: Client) -> None:
        await client.buckets.create(BCK)
        await client.objects.put(BCK, "o", BytesBody(b"hello"))
        reference.corrupt_next_get = True
        with pytest.raises(ChecksumMismatch):
            await client.objects.read(BCK, "o")
        assert await client.objects.read(BCK, "o", byte_range="1-3") == b"ell"
        with pytest.raises(RangeNotSatisfiable):
            await client.objects.read(BCK, "o", byte_range="9-12")

    run(reference, work)


def test_download_begins_again(reference: Any, tmp_path: Path) -> None:
    """A download into a file survives connections that break in the middle; a bounded number of times."""
    data, moved = os.urandom(400_000), []

    async def work(client: Client) -> None:
        await client.buckets.create(BCK)
        await client.objects.put(BCK, "o", BytesBody(data))
        reference.cut_gets = 2
        with (tmp_path / "f").open("wb") as file:
            assert await client.objects.download(BCK, "o", file, on_bytes=moved.append) == len(data)
            reference.cut_gets = 100
            with pytest.raises(Unreachable):
                await client.objects.download(BCK, "o", file)

    run(reference, work)
    assert sum(moved) == len(data)
    assert min(moved) < 0
    assert (tmp_path / "f").read_bytes()[: len(data)] == data


def test_listing_crosses_pages(reference: Any) -> None:
    """All names come, in order and once, over several pages; prefix and start-after are honoured."""

    async def work(client: Client) -> None:
        await client.buckets.create(BCK)
        names = [f"{letter}{number}" for letter in "ab" for number in range(6)]
        reference.buckets["b1"] = {name: {"data": b"xy", "custom": {}} for name in names}
        entries = [entry async for entry in client.buckets.objects(BCK)]
        assert [entry.n for entry in entries] == names
        assert {entry.s for entry in entries} == {2}
        message = LsoMsg(prefix="b", start_after="b1")
        assert [entry.n async for entry in client.buckets.objects(BCK, message)] == names[8:]

    run(reference, work)


def test_bucket_errors_keep_their_class(reference: Any) -> None:
    """Errors are rebuilt as the classes the cluster raised, also from a HEAD without a body."""

    async def work(client: Client) -> None:
        await client.buckets.create(BCK)
        with pytest.raises(BucketExists, match='bucket "ais://b1" already exists'):
            await client.buckets.create(BCK)
        assert await client.buckets.exists(BCK)
        await client.buckets.destroy(BCK)
        with pytest.raises(BucketNotFound, match='bucket "ais://b1" does not exist'):
            await client.buckets.head(BCK)
        with pytest.raises(BucketNotFound):
            await client.objects.put(BCK, "o", BytesBody(b"x"))

    run(reference, work)


def test_summary_polls_until_final(reference: Any) -> None:
    """202 and partial 206 answers are waited out; the final one is returned."""

    async def work(client: Client) -> None:
        await client.buckets.create(BCK)
        await client.objects.put(BCK, "o", BytesBody(b"x"))
        (found,) = await client.buckets.summary(BCK)
        assert found.ObjCount.obj_count_present == 1

    run(reference, work)


def test_broken_connection_is_retried(reference: Any) -> None:
    """A request that may be repeated survives connections that break; a bounded number of times."""

    async def work(client: Client) -> None:
        await client.buckets.create(BCK)
        reference.break_connections = 2
        await client.objects.put(BCK, "o", BytesBody(b"x"))
        reference.break_connections = 100
        with pytest.raises(Unreachable, match="lost the connection"):
            await client.cluster.smap()

    run(reference, work)


def test_unrepeatable_request_is_not_repeated(reference: Any) -> None:
    """A request with an effect that breaks after it was sent is reported at once."""

    async def work(client: Client) -> None:
        reference.break_connections = 1
        with pytest.raises(Unreachable):
            await client.buckets.create(BCK)

    run(reference, work)
    assert reference.log == ["POST /v1/buckets/b1"]


def test_pipe_is_not_sent_twice() -> None:
    """A stream that cannot seek can be opened once only."""
    reading, writing = os.pipe()
    os.write(writing, b"abc")
    os.close(writing)

    async def work() -> None:
        with os.fdopen(reading, "rb") as pipe:
            body = StreamBody(pipe)
            assert not body.is_replayable
            assert b"".join([piece async for piece in body.open(lambda _: None)]) == b"abc"
            with pytest.raises(BadRequest, match="cannot be read again"):
                await anext(body.open(lambda _: None))

    asyncio.run(work())


def test_unreadable_file_is_named(reference: Any, tmp_path: Path) -> None:
    """A file that shrinks while it is sent is the reason given, not the connection it broke."""
    path = tmp_path / "f"
    path.write_bytes(b"12345")

    async def work(client: Client) -> None:
        await client.buckets.create(BCK)
        body = FileBody(path)
        path.write_bytes(b"1")
        with pytest.raises(BadRequest, match="became shorter"):
            await client.objects.put(BCK, "o", body)
        with pytest.raises(BadRequest, match="cannot read"):
            FileBody(tmp_path / "none")

    run(reference, work)
    assert not reference.buckets["b1"]


@pytest.mark.parametrize("endpoint", ["ftp://x", "http://", "http://h:99999", "http://h/path"])
def test_bad_endpoint(endpoint: str) -> None:
    """An endpoint that can never work is refused before anything is sent."""
    with pytest.raises(BadRequest, match="invalid endpoint"):
        Client(endpoint, environment=ClientEnvironment())


def test_nobody_listens() -> None:
    """A refused connection names the endpoint and the reason."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        endpoint = f"127.0.0.1:{unused.getsockname()[1]}"

    async def main() -> None:
        async with Client(endpoint, environment=ClientEnvironment(), retries=1) as client:
            await client.cluster.smap()

    with pytest.raises(Unreachable, match=f"cannot connect to http://{endpoint}: connection refused"):
        asyncio.run(main())


def test_endpoint_comes_from_the_environment() -> None:
    """`AIS_ENDPOINT` is used when no endpoint is given, and port 8080 when neither is."""
    environment = for_client({"AIS_ENDPOINT": "https://gateway:51080/"})
    assert Client(environment=environment).endpoint == "https://gateway:51080"
    assert Client(environment=ClientEnvironment()).endpoint == "http://127.0.0.1:8080"


def test_missing_tls_files_are_named() -> None:
    """TLS files that cannot be loaded are an error that names their variables."""
    environment = ClientEnvironment(ca="/nonexistent/ca.pem")

    async def main() -> None:
        async with Client("https://127.0.0.1:1", environment=environment):
            pass

    with pytest.raises(AisError, match="AIS_CLIENT_CA"):
        asyncio.run(main())
