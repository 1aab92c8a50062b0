"""Answers on a real connection: files and streams."""

import asyncio
import os
import ssl
import subprocess
from collections.abc import AsyncIterator, Awaitable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from harness.http import MemorySink, Served, echo, request, serving, until, uploads
from harness.loop import run

from ais.net.http import FileReply, Request, Route, StreamReply
from ais.net.server import Limits
from ais.net.tls import client_context, server_context

TURN = 64 << 10
SMALL_TURNS = Limits(turn_bytes=TURN, drain_bytes_max=TURN, linger_bytes_max=1 << 20)


def tls_contexts(pem: Any, is_tls: bool) -> tuple[ssl.SSLContext, ssl.SSLContext] | None:
    """Contexts of both sides, or none."""
    return (server_context(*pem), client_context(ca=pem.certificate)) if is_tls else None


def make_file(folder: Path, size: int, *, is_cold: bool = False) -> tuple[Path, bytes]:
    """A file of random bytes; a cold one is on the disk but not in the page cache."""
    path, content = folder / f"file{size}", os.urandom(size)
    path.write_bytes(content)
    if is_cold:
        fd = os.open(path, os.O_RDONLY)
        os.fsync(fd)
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(fd)
    return path, content


def files(path: Path, opened: list[int], **kwargs: Any) -> Route:
    """A route that sends the file; `?offset=&length=` choose a range. Descriptors go to `opened`."""

    def route(one: Request) -> Any:
        if one.path != "/file":
            return echo(one)
        fd = os.open(path, os.O_RDONLY)
        opened.append(fd)
        offset = int(one.params.get("offset", 0))
        length = int(one.params.get("length", os.fstat(fd).st_size - offset))
        return FileReply(200, b"X: y\r\n", fd, offset, length, **kwargs)

    return route


def is_open(fd: int) -> bool:
    """Whether a descriptor is still in use."""
    return os.path.exists(f"/proc/self/fd/{fd}")


@pytest.mark.parametrize("is_tls", [False, True])
@pytest.mark.parametrize("is_cold", [False, True])
@pytest.mark.parametrize("size", [0, 1, 4096, 64 << 10, (64 << 10) + 1, 5_000_001])
def test_files(tmp_path: Path, pem: Any, size: int, is_cold: bool, is_tls: bool) -> None:
    """A file of any size arrives whole, cached or not, with and without TLS, and its descriptor is closed."""
    path, content = make_file(tmp_path, size, is_cold=is_cold)
    opened: list[int] = []

    async def scenario() -> None:
        async with serving(files(path, opened), limits=SMALL_TURNS, tls=tls_contexts(pem, is_tls)) as served:
            client = await served.connect()
            for _ in range(2):
                answer = await client.ask("GET /file")
                assert answer.body == content
                assert answer.headers["x"] == "y"
            head = await client.ask("HEAD /file")
            assert head.headers["content-length"] == str(size)
            assert (await client.ask("GET /after")).body == b"GET /after"
            assert not any(is_open(fd) for fd in opened)

    run(scenario())


def test_ranges_pipelined_with_others(tmp_path: Path) -> None:
    """Parts of files, large and small, and other answers come in the order asked for."""
    path, content = make_file(tmp_path, 3_000_000)
    spans = [(0, 10), (100, 1_000_000), (2_999_999, 1), (500_000, 2_000_000), (7, 70_000)]

    async def scenario() -> None:
        async with serving(files(path, []), limits=SMALL_TURNS) as served:
            client = await served.connect()
            for offset, length in spans:
                client.send(request(f"GET /file?offset={offset}&length={length}") + request("GET /between"))
            for offset, length in spans:
                assert (await client.answer()).body == content[offset : offset + length]
                assert (await client.answer()).body == b"GET /between"

    run(scenario())


@pytest.mark.parametrize("length", [32 << 10, 40_000, 200_000, 256 << 10])
def test_files_to_who_does_not_read(tmp_path: Path, length: int) -> None:
    """What a connection cannot take at once comes whole and in order later, and no descriptor stays open."""
    path, content = make_file(tmp_path, 300_000)
    opened: list[int] = []
    count = 8_000_000 // length

    async def scenario() -> None:
        async with serving(files(path, opened)) as served:
            client = await served.connect()
            for number in range(count):
                client.send(request(f"GET /file?offset={number}&length={length}"))
            await client.ask_nothing(served)
            for number in range(count):
                assert (await client.answer()).body == content[number : number + length]
            assert (await client.ask("GET /after")).body == b"GET /after"
            await until(lambda: not any(is_open(fd) for fd in opened))

    run(scenario())


def test_cold_data_is_read_by_the_given_pool(tmp_path: Path) -> None:
    """What is not in the page cache is read in the mountpath's own threads."""
    path, content = make_file(tmp_path, 1_000_000, is_cold=True)
    names: list[str] = []

    class Pool(ThreadPoolExecutor):
        def submit(self, *args: Any, **kwargs: Any) -> Any:
            names.append("read")
            return super().submit(*args, **kwargs)

    async def scenario() -> None:
        with Pool(1) as pool:
            async with serving(files(path, [], pool=pool)) as served:
                assert (await (await served.connect()).ask("GET /file")).body == content

    run(scenario())
    assert names or _is_memory_backed(path)


def _is_memory_backed(path: Path) -> bool:
    """Whether the file system keeps everything in memory, so that nothing is ever cold."""
    kind = subprocess.run(["stat", "-f", "-c", "%T", path], capture_output=True, text=True, check=True).stdout
    return kind.strip() == "tmpfs"


@pytest.mark.parametrize("is_tls", [False, True])
@pytest.mark.parametrize("length", [10_000, 40_000, 10_000_000])
def test_file_shorter_than_announced(tmp_path: Path, pem: Any, length: int, is_tls: bool) -> None:
    """When a file was truncated under us the client sees a broken connection, not padding."""
    path, _ = make_file(tmp_path, 5_000)
    opened: list[int] = []

    async def scenario() -> None:
        async with serving(files(path, opened), tls=tls_contexts(pem, is_tls)) as served:
            client = await served.connect()
            with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
                await client.ask(f"GET /file?length={length}")
            await until(lambda: not any(is_open(fd) for fd in opened))

    run(scenario())


@pytest.mark.parametrize("is_tls", [False, True])
def test_client_leaves_in_the_middle_of_a_file(tmp_path: Path, pem: Any, is_tls: bool) -> None:
    """The descriptor is closed when the client goes away, and others are served meanwhile."""
    path, _ = make_file(tmp_path, 30_000_000)
    opened: list[int] = []

    async def scenario() -> None:
        async with serving(files(path, opened), tls=tls_contexts(pem, is_tls)) as served:
            client = await served.connect()
            client.send(request("GET /file"))
            await client.reader.readexactly(100_000)
            assert (await (await served.connect()).ask("GET /other")).body == b"GET /other"
            assert is_open(opened[0])
            client.reset()
            await until(lambda: not is_open(opened[0]))

    run(scenario())


def test_client_leaves_while_the_socket_is_full(tmp_path: Path) -> None:
    """A sender that waits for room stops watching the socket when the client goes away, and the connection is gone."""
    path, _ = make_file(tmp_path, 30_000_000)
    opened: list[int] = []

    async def scenario() -> None:
        async with serving(files(path, opened)) as served:
            client = await served.connect()
            client.send(request("GET /file"))
            hub = served.server._hub
            assert hub is not None
            await until(lambda: opened)
            (connection,) = hub.connections
            await until(lambda: connection._exchange._sender._is_watching)
            client.reset()
            await until(lambda: not served.server.connection_count)
            assert not is_open(opened[0])

    run(scenario())


def test_file_that_nobody_waits_for_any_more(tmp_path: Path) -> None:
    """A file reply that comes after the client has gone is closed too."""
    path, _ = make_file(tmp_path, 100)
    opened: list[int] = []
    direct = files(path, opened)
    go: list[asyncio.Event] = []

    async def later(one: Request) -> Any:
        try:
            await go[0].wait()
        except asyncio.CancelledError:
            return direct(one)
        raise AssertionError

    async def scenario() -> None:
        go.append(asyncio.Event())
        async with serving(later) as served:
            client = await served.connect()
            client.send(request("GET /file"))
            await until(lambda: served.server.connection_count)
            await client.writer.drain()
            await asyncio.sleep(0.01)
            client.reset()
            await until(lambda: opened and not is_open(opened[0]))

    run(scenario())


class Counter:
    """An asynchronous iterator with a memory of what was taken and whether it was closed."""

    def __init__(self, chunks: list[bytes], error: Exception | None = None, *, endless: bool = False) -> None:
        self.taken, self.closed = 0, asyncio.Event()
        self._chunks, self._error, self._endless = chunks, error, endless

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        if self.taken < len(self._chunks) or self._endless:
            self.taken += 1
            return self._chunks[(self.taken - 1) % len(self._chunks)]
        if self._error is not None:
            raise self._error
        raise StopAsyncIteration

    async def aclose(self) -> None:
        self.closed.set()


def test_stream_that_nobody_waits_for_any_more() -> None:
    """A stream that comes after the client has gone is closed, too: it may hold files and connections."""
    stream, go = Counter([b"x"]), list[asyncio.Event]()

    async def later(_: Request) -> Any:
        try:
            await go[0].wait()
        except asyncio.CancelledError:
            return StreamReply(200, b"", stream, 1)
        raise AssertionError

    async def scenario() -> None:
        go.append(asyncio.Event())
        async with serving(later) as served:
            client = await served.connect()
            client.send(request("GET /stream"))
            await until(lambda: served.server.connection_count)
            await client.writer.drain()
            await asyncio.sleep(0.01)
            client.reset()
            async with asyncio.timeout(10):
                await stream.closed.wait()
        assert stream.taken == 0

    run(scenario())


@pytest.mark.parametrize("is_tls", [False, True])
def test_streams(pem: Any, is_tls: bool) -> None:
    """Streams with and without a known length, also to HTTP/1.0, and the connection goes on where it can."""
    chunks = [b"", b"abc", b"x" * 100_000, b"", b"z"]
    made: list[Counter] = []

    def route(one: Request) -> StreamReply:
        made.append(Counter(chunks))
        return StreamReply(200, b"", made[-1], 100_004 if one.path == "/known" else None)

    async def scenario() -> None:
        async with serving(route, tls=tls_contexts(pem, is_tls)) as served:
            client = await served.connect()
            for path in ("/known", "/unknown", "/known"):
                answer = await client.ask(f"GET {path}")
                assert answer.body == b"".join(chunks)
                assert ("transfer-encoding" in answer.headers) == (path == "/unknown")
            assert (await client.ask("HEAD /known")).headers["content-length"] == "100004"
            client.send(b"GET /unknown HTTP/1.0\r\n\r\n")
            answer = await client.answer()
            assert (answer.body, answer.headers["connection"]) == (b"".join(chunks), "close")
            assert all(one.closed.is_set() for one in made if one.taken)

    run(scenario())


@pytest.mark.parametrize(
    ("chunks", "length", "error"),
    [([b"abc"], 5, None), ([b"abcdef"], 5, None), ([b"abc"], None, RuntimeError("made up"))],
)
def test_stream_that_fails(chunks: list[bytes], length: int | None, error: Exception | None) -> None:
    """A stream that breaks or lies about its length breaks the connection: the head said 200."""
    made: list[Counter] = []

    def route(one: Request) -> StreamReply:
        made.append(Counter(chunks, error))
        return StreamReply(200, b"", made[-1], length)

    async def scenario() -> None:
        async with serving(route) as served:
            client = await served.connect()
            with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
                await client.ask("GET /")
            await made[0].closed.wait()

    run(scenario())


def test_stream_waits_for_the_client_and_stops_with_it() -> None:
    """An endless stream is made no faster than it is read, and is closed when the client leaves."""
    made: list[Counter] = []

    def route(one: Request) -> Any:
        if one.path == "/other":
            return echo(one)
        made.append(Counter([bytes(100_000)], endless=True))
        return StreamReply(200, b"", made[-1])

    async def scenario() -> None:
        async with serving(route) as served:
            client = await served.connect(limit=1000)
            client.send(request("GET /"))
            other = await served.connect()
            seen = -1
            while seen != made[0].taken if made else True:
                seen = made[0].taken if made else -1
                for _ in range(50):
                    await other.ask("GET /other")
            assert seen < 1000
            client.reset()
            await made[0].closed.wait()

    run(scenario())


@pytest.mark.parametrize("is_chunked", [False, True])
def test_uploads_over_tls(pem: Any, is_chunked: bool) -> None:
    """Bodies of any size reach the sink through TLS, also when buffers are scarce."""
    route, sinks = uploads(lambda: MemorySink(in_thread=True))
    limits = Limits(buffer_bytes=64 << 10, turn_bytes=64 << 10, buffers_max=2)

    async def scenario() -> None:
        async with serving(route, limits=limits, tls=tls_contexts(pem, True)) as served:
            for size in (1, 100_000, 3_000_000):
                clients = [await served.connect() for _ in range(4)]
                content = os.urandom(size)
                for client in clients:
                    if is_chunked:
                        client.send(request("PUT /o\nTransfer-Encoding: chunked"))
                        client.send(b"%x\r\n%b\r\n0\r\n\r\n" % (size, content) + request("GET /next"))
                    else:
                        client.send(request("PUT /o", content) + request("GET /next"))
                for client in clients:
                    assert (await client.answer()).body == b"%d" % size
                    assert (await client.answer()).body == b"GET /next"
                assert all(bytes(sink.content) == content for sink in sinks[-4:])

    run(scenario())


def test_client_certificates(pem: Any) -> None:
    """A listener that demands a certificate refuses clients without one."""
    server = server_context(pem.certificate, pem.key, pem.certificate, 4)

    async def refused(served: Served) -> Awaitable[Any] | None:
        with pytest.raises((ssl.SSLError, ConnectionError, asyncio.IncompleteReadError)):
            await (await served.connect()).ask("GET /")
        return None

    async def scenario() -> None:
        anonymous, known = client_context(ca=pem.certificate), client_context(*pem, ca=pem.certificate)
        async with serving(echo, tls=(server, anonymous)) as served:
            await refused(served)
        async with serving(echo, tls=(server, known)) as served:
            assert (await (await served.connect()).ask("GET /")).status == 200

    run(scenario())
