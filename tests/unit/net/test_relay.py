"""Requests that another node answers: two real servers, or a peer that does what a script says."""

import asyncio
import os
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from harness.http import Client, MemorySink, Served, echo, request, serving, until, uploads
from harness.loop import run

from ais.base.errors import AccessDenied
from ais.net.connection import Connection
from ais.net.http import FileReply, Forward, Reply, Request, StreamReply, Upload
from ais.net.server import Limits
from ais.net.tls import client_context, server_context

BUFFER = 64 << 10
SMALL_BUFFERS = Limits(buffer_bytes=BUFFER, turn_bytes=BUFFER, buffers_max=3)
IMPATIENT = Limits(header_timeout_s=0.2, body_idle_timeout_s=0.2, keepalive_timeout_s=0.4, linger_timeout_s=0.2)
"""For tests whose only event is that a deadline passes."""
EXTRA = b"X-Internal: ours\r\n"


def relaying(port: int, limits: Limits = SMALL_BUFFERS, scheme: str = "http", **kwargs: Any) -> Any:
    """A server that sends everything on to a port."""
    forward = Forward(f"{scheme}://127.0.0.1:{port}", EXTRA)
    return serving(lambda _: forward, limits=limits, **kwargs)


class Peer:
    """A raw listener; each connection is given to the script, with its number."""

    def __init__(self, script: Callable[[Client, int], Awaitable[None]]) -> None:
        self.connections: list[Client] = []
        self._script = script
        self.port = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Run the script for one connection."""
        client = Client(reader, writer)
        self.connections.append(client)
        try:
            await self._script(client, len(self.connections))
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            await client.close()


@asynccontextmanager
async def peer(script: Callable[[Client, int], Awaitable[None]]) -> AsyncIterator[Peer]:
    """A peer that follows a script on each connection."""
    made = Peer(script)
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    made.port = server.sockets[0].getsockname()[1]
    try:
        yield made
    finally:
        server.close()
        for client in made.connections:
            await client.close()


async def head_of(client: Client) -> bytes:
    """The next head, with its empty line."""
    return await client.reader.readuntil(b"\r\n\r\n")


def saying(*answers: bytes) -> Callable[[Client, int], Awaitable[None]]:
    """A script: an answer for each head, then the end of the connection."""

    async def script(client: Client, number: int) -> None:
        for answer in answers:
            await head_of(client)
            client.send(answer)
        await client.writer.drain()

    return script


def only_connection(served: Served) -> Connection:
    """The server's side of the only connection to it."""
    assert served.server._hub is not None
    (connection,) = served.server._hub.connections
    return connection


def chunked(content: bytes, size: int) -> bytes:
    """A body in chunks of a size."""
    pieces = [content[at : at + size] for at in range(0, len(content), size)]
    return b"".join(b"%x\r\n%b\r\n" % (len(one), one) for one in pieces) + b"0\r\n\r\n"


def test_header_lines_pass_as_they_are() -> None:
    """The peer gets the client's lines byte for byte, except those of the connection and those that we set."""
    seen: list[bytes] = []

    async def script(client: Client, number: int) -> None:
        seen.append(await head_of(client))
        client.send(
            b"HTTP/1.1 207 Odd Reason\r\nx-a:  1 \r\nDate: then\r\nConnection: X\r\nX-A: \xfc\r\nKeep-Alive: 5\r\n"
            b'ETag: "e"\r\nContent-Length: 2\r\nProxy-Connection: y\r\n\r\nhi'
        )

    async def scenario() -> None:
        async with peer(script) as owner, relaying(owner.port) as front:
            client = await front.connect()
            client.send(
                b"GET /b/k%20y?x=%2F&y HTTP/1.1\r\nHOST: client.name\r\nX-Amz-Meta-A:  \xfc \r\n"
                b"connection: keep-alive, X-Hop\r\nx-internal: theirs\r\n"
                b"Authorization: AWS4 a=b, c\r\nTE: trailers\r\nUpgrade: h2c\r\nX-Hop: 1\r\n"
                b"Keep-Alive: 5\r\nx-amz-meta-a: 2\r\nX-INTERNAL: theirs\r\nProxy-Connection: z\r\n\r\n"
            )
            answer = await head_of(client) + await client.reader.readexactly(2)
            assert b"".join(seen) == (
                b"GET /b/k%20y?x=%2F&y HTTP/1.1\r\nHOST: client.name\r\nX-Amz-Meta-A:  \xfc \r\n"
                b"Authorization: AWS4 a=b, c\r\nx-amz-meta-a: 2\r\nX-Internal: ours\r\n\r\n"
            )
            assert answer == (
                b"HTTP/1.1 207 Odd Reason\r\nx-a:  1 \r\nDate: then\r\nX-A: \xfc\r\n"
                b'ETag: "e"\r\nContent-Length: 2\r\n\r\nhi'
            )

    run(scenario())


def test_one_connection_serves_pipelined_requests() -> None:
    """Requests of one client come back in order over one connection to the owner, whatever pieces they arrive in."""
    route, sinks = uploads(MemorySink)
    content = os.urandom(5000)
    raw = (
        request("GET /1")
        + request("PUT /2", b"12345")
        + request("PUT /3\nTransfer-Encoding: chunked")
        + chunked(b"abcdefg", 3)
        + request("PUT /4", content)
        + request("GET /5")
    )

    async def scenario() -> None:
        async with serving(route) as owner, relaying(owner.port) as front:
            for size in (1, 7, 333, len(raw)):
                client = await front.connect()
                for start in range(0, len(raw), size):
                    client.send(raw[start : start + size])
                    await asyncio.sleep(0)
                bodies = [(await client.answer()).body for _ in range(5)]
                assert bodies == [b"GET /1", b"5", b"7", b"5000", b"GET /5"]
                assert [bytes(one.content) for one in sinks[-3:]] == [b"12345", b"abcdefg", content]
            assert owner.server.connection_count == 1

    run(scenario())


def test_the_connection_used_last_is_taken_first() -> None:
    """Concurrent requests have connections of their own; afterwards one after the other uses the warmest."""
    gates: dict[str, asyncio.Event] = {}

    async def remote(one: Request) -> Reply:
        if one.path in gates:
            await gates[one.path].wait()
        return Reply(200, body=one.remote.encode())

    async def scenario() -> None:
        gates.update({"/a": asyncio.Event(), "/b": asyncio.Event()})
        async with serving(remote) as owner, relaying(owner.port) as front:
            clients = {path: await front.connect() for path in gates}
            for path, client in clients.items():
                client.send(request(f"GET {path}"))
            await until(lambda: owner.server.connection_count == 2)
            remotes = []
            for path, client in clients.items():
                gates[path].set()
                remotes.append((await client.answer()).body)
            assert remotes[0] != remotes[1]
            for client in clients.values():
                assert (await client.ask("GET /")).body == remotes[1]

    run(scenario())


@pytest.mark.parametrize("is_chunked", [False, True])
@pytest.mark.parametrize("size", [0, 1, BUFFER, 3 * BUFFER + 17, 5_000_000])
def test_upload_of_any_size(size: int, is_chunked: bool) -> None:
    """A body reaches the owner whole and in its framing, and the next request follows."""
    seen: list[Request] = []
    sinks: list[MemorySink] = []
    content = os.urandom(size)

    def route(one: Request) -> Any:
        seen.append(one)
        if one.method != "PUT":
            return echo(one)
        sinks.append(MemorySink(in_thread=True))
        return Upload(sinks[-1])

    async def scenario() -> None:
        async with serving(route) as owner, relaying(owner.port) as front:
            clients = [await front.connect() for _ in range(3)]
            for client in clients:
                if is_chunked:
                    client.send(request("PUT /o\nTransfer-Encoding: chunked") + chunked(content, 5000))
                else:
                    client.send(request(f"PUT /o\nContent-Length: {size}") + content)
                client.send(request("GET /next"))
            for client in clients:
                assert (await client.answer()).body == b"%d" % size
                assert (await client.answer()).body == b"GET /next"
            assert all(bytes(sink.content) == content for sink in sinks)
            puts = [one for one in seen if one.method == "PUT"]
            assert all(one.headers.is_chunked == is_chunked for one in puts)
            assert all(one.content_length == (None if is_chunked else size) for one in puts)

    run(scenario())


def test_large_objects_both_ways(tmp_path: Any) -> None:
    """64 MiB come through unchanged, there and back."""
    content = os.urandom(64 << 20)
    path = tmp_path / "o"

    class FileSink:
        """Writes into the file."""

        def __init__(self) -> None:
            self.file = path.open("wb")

        def write(self, data: memoryview) -> None:
            self.file.write(data)

        def finish(self) -> Reply:
            self.file.close()
            return Reply(200)

        def abort(self) -> None:
            self.file.close()

    def route(one: Request) -> Any:
        if one.method == "PUT":
            return Upload(FileSink())
        return FileReply(200, b"", os.open(path, os.O_RDONLY), 0, len(content))

    async def scenario() -> None:
        async with serving(route) as owner, relaying(owner.port, Limits()) as front:
            client = await front.connect()
            assert (await client.ask("PUT /o", content)).status == 200
            assert path.read_bytes() == content
            assert (await client.ask("GET /o")).body == content
            assert owner.server.connection_count == 1

    run(scenario())


BODY = os.urandom(50_000)
FRAMINGS = {
    "length": b"HTTP/1.1 200 OK\r\nContent-Length: 50000\r\n\r\n" + BODY,
    "chunked": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked(BODY, 7777),
    "open": b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + BODY,
    "old": b"HTTP/1.0 200 OK\r\nContent-Length: 50000\r\n\r\n" + BODY,
    "none": b"HTTP/1.1 204 No Content\r\n\r\n",
    "same": b'HTTP/1.1 304 Not Modified\r\nETag: "e"\r\nContent-Length: 50000\r\n\r\n',
}


@pytest.mark.parametrize("is_http10", [False, True])
@pytest.mark.parametrize("framing", FRAMINGS)
def test_answers_in_any_framing(framing: str, is_http10: bool) -> None:
    """However the peer frames its answer, and in whatever pieces it comes, the client gets it whole."""
    raw = FRAMINGS[framing]
    sizes = (40_000, 50, len(raw))

    async def script(client: Client, number: int) -> None:
        await head_of(client)
        for start in range(0, len(raw), sizes[number - 1]):
            client.send(raw[start : start + sizes[number - 1]])
            await client.writer.drain()
            await asyncio.sleep(0)

    async def scenario() -> None:
        async with peer(script) as owner, relaying(owner.port) as front:
            for _ in sizes:
                client = await front.connect()
                client.send(b"GET /o HTTP/1.0\r\n\r\n" if is_http10 else request("GET /o"))
                answer = await client.answer()
                assert answer.status == int(raw[9:12])
                assert answer.body == (b"" if framing in ("none", "same") else BODY)
                assert answer.headers.get("connection") == ("close" if is_http10 else None)
                if is_http10:
                    assert await client.is_closed()
                else:
                    assert (answer.headers.get("transfer-encoding") == "chunked") == (framing in ("chunked", "open"))
                await until(lambda: owner.connections[-1].reader.at_eof())

    run(scenario())


def test_head_has_a_length_and_no_body() -> None:
    """The answer to a HEAD announces what it does not send, and the connections go on."""

    async def scenario() -> None:
        async with serving(lambda one: Reply(200, length=12345)) as owner, relaying(owner.port) as front:
            client = await front.connect()
            for _ in range(2):
                assert (await client.ask("HEAD /o")).headers["content-length"] == "12345"
            assert owner.server.connection_count == 1

    run(scenario())


def test_http_1_0_keep_alive() -> None:
    """An HTTP/1.0 client keeps its connection when it asks for it; the owner is asked in HTTP/1.1."""

    def version(one: Request) -> Reply:
        return Reply(200, body=b"1.0" if one.is_http10 else b"1.1")

    async def scenario() -> None:
        async with serving(version) as owner, relaying(owner.port) as front:
            client = await front.connect()
            for _ in range(2):
                client.send(b"GET /a HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
                answer = await client.answer()
                assert (answer.body, answer.headers["connection"]) == (b"1.1", "keep-alive")

    run(scenario())


def choosy(sinks: list[MemorySink]) -> Callable[[Request], Any]:
    """Takes uploads except to `/no`."""

    def route(one: Request) -> Any:
        if one.path == "/no":
            raise AccessDenied("not you")
        if one.method != "PUT":
            return echo(one)
        sinks.append(MemorySink())
        return Upload(sinks[-1])

    return route


def test_expect_100_continue() -> None:
    """The client is asked for the body when the owner asks; a refusal comes without a body; waiting is optional."""
    sinks: list[MemorySink] = []
    head = "PUT {}\nContent-Length: 200000\nExpect: 100-continue"
    content = os.urandom(200_000)

    async def scenario() -> None:
        async with serving(choosy(sinks), limits=SMALL_BUFFERS) as owner, relaying(owner.port) as front:
            client = await front.connect()
            client.send(request(head.format("/o")))
            assert (await client.answer()).status == 100
            client.send(content)
            assert (await client.answer()).status == 200
            client.send(request(head.format("/o")) + content + request("GET /next"))
            answers = [await client.answer()]
            while answers[-1].status != 200:
                assert answers[-1].status == 100
                answers.append(await client.answer())
            assert (await client.answer()).body == b"GET /next"
            assert [bytes(sink.content) == content for sink in sinks] == [True, True]
            client.send(request(head.format("/no")))
            answer = await client.answer()
            assert (answer.status, answer.headers["connection"]) == (403, "close")
            assert await client.is_closed()
            await until(lambda: not owner.server.connection_count)

    run(scenario())


def test_expect_waits_for_the_owner() -> None:
    """A client that waits for 100 Continue gets it not before the owner sent it."""

    async def script(client: Client, number: int) -> None:
        assert b"\r\nExpect: 100-continue\r\n" in await head_of(client)
        asked.set()
        await go_on.wait()
        client.send(b"HTTP/1.1 103 Early Hints\r\nX: y\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n")
        assert await client.reader.readexactly(3) == b"abc"
        client.send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    asked, go_on = asyncio.Event(), asyncio.Event()

    async def scenario() -> None:
        async with peer(script) as owner, relaying(owner.port) as front:
            client = await front.connect()
            client.send(request("PUT /o\nContent-Length: 3\nExpect: 100-continue"))
            await asked.wait()
            first = asyncio.create_task(client.answer())
            await (await front.connect()).close()
            assert not first.done()
            go_on.set()
            assert (await first).status == 100
            client.send(b"abc")
            assert (await client.answer()).status == 200

    run(scenario())


def test_early_refusal_of_a_large_body() -> None:
    """The answer comes while the body is being sent; the owner's connection is not used again."""
    sinks: list[MemorySink] = []

    async def scenario() -> None:
        async with serving(choosy(sinks)) as owner, relaying(owner.port) as front:
            client = await front.connect()
            client.send(request("PUT /no", bytes(20 << 20)))
            answer = await client.answer()
            assert (answer.status, answer.headers["connection"]) == (403, "close")
            await until(lambda: not owner.server.connection_count)

    run(scenario())


def test_early_refusal_of_a_smaller_body() -> None:
    """What is left of a body of some size is drained: the client's connection is kept."""
    sinks: list[MemorySink] = []

    async def scenario() -> None:
        async with serving(choosy(sinks)) as owner, relaying(owner.port) as front:
            client = await front.connect()
            for is_chunked in (False, True):
                content = os.urandom(200_000 if is_chunked else 300_000)
                if is_chunked:
                    client.send(request("PUT /no\nTransfer-Encoding: chunked") + chunked(content, 9999))
                else:
                    client.send(request("PUT /no", content))
                client.send(request("GET /next"))
                assert (await client.answer()).status == 403
                assert (await client.answer()).body == b"GET /next"

    run(scenario())


class Endless:
    """An endless stream that counts what was taken of it."""

    def __init__(self) -> None:
        self.taken = 0

    def __aiter__(self) -> "Endless":
        return self

    async def __anext__(self) -> bytes:
        self.taken += 10_000
        return bytes(10_000)


def test_slow_reader_slows_the_owner_down() -> None:
    """While the client does not read, the relay stops reading the owner and holds a bounded part of the answer."""
    stream = Endless()

    async def scenario() -> None:
        async with serving(lambda one: StreamReply(200, b"", stream)) as owner, relaying(owner.port) as front:
            client = await front.connect()
            client.send(request("GET /o"))
            await until(lambda: owner.server.connection_count)
            connection = only_connection(front)
            await until(lambda: connection.is_write_paused and only_connection(owner).is_write_paused)
            assert 0 < connection.unsent_bytes < BUFFER + (64 << 10) + 1000
            taken = stream.taken
            await client.reader.readexactly(2 * taken)
            assert stream.taken > taken

    run(scenario())


def test_slow_owner_slows_the_client_down() -> None:
    """While the owner does not read, the relay stops reading the client and holds a bounded part of the body."""
    content = os.urandom(30_000_000)
    go_on = asyncio.Event()

    async def script(client: Client, number: int) -> None:
        await head_of(client)
        await go_on.wait()
        assert await client.reader.readexactly(len(content)) == content
        client.send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    async def scenario() -> None:
        async with peer(script) as owner, relaying(owner.port) as front:
            client = await front.connect()
            client.send(request("PUT /o", content))
            await until(lambda: only_connection(front).is_reading_paused and only_connection(front)._exchange)
            (pool,) = front.server._upstreams._pools.values()
            await until(lambda: len(pool._open) == 1)
            (upstream,) = pool._open
            await until(lambda: upstream.is_write_paused)
            assert only_connection(front).is_reading_paused
            assert upstream.unsent_bytes + len(only_connection(front).tail) < 2 * BUFFER + (64 << 10) + 1000
            go_on.set()
            assert (await client.answer()).status == 200

    run(scenario())


@pytest.mark.parametrize("is_http10", [False, True])
@pytest.mark.parametrize("is_reset", [False, True])
@pytest.mark.parametrize("framing", ["length", "chunked", "open"])
def test_owner_dies_in_the_middle_of_the_answer(framing: str, is_reset: bool, is_http10: bool) -> None:
    """The client never takes half an answer for a whole one: its connection breaks, too."""
    cut = asyncio.Event()

    async def script(client: Client, number: int) -> None:
        await head_of(client)
        client.send(FRAMINGS[framing][:20_000])
        await client.writer.drain()
        await cut.wait()
        if is_reset:
            client.reset()

    async def scenario() -> None:
        async with peer(script) as owner, relaying(owner.port) as front:
            client = await front.connect()
            client.send(b"GET /o HTTP/1.0\r\n\r\n" if is_http10 else request("GET /o"))
            await head_of(client)
            await client.reader.readexactly(10_000)
            cut.set()
            if framing == "open" and not is_reset:
                # Nobody can tell: that is what this framing means.
                await (client.reader.read() if is_http10 else client.reader.readuntil(b"\r\n0\r\n\r\n"))
                return
            try:
                rest = await client.reader.read()
            except ConnectionResetError:
                return
            assert not is_http10 or framing == "length"
            assert not rest.endswith(b"0\r\n\r\n")

    run(scenario())


def test_owner_that_does_not_listen() -> None:
    """A peer that cannot be reached is a 502 in our format, and the client's connection goes on."""

    async def scenario() -> None:
        async with peer(saying()) as owner:
            port = owner.port
        async with relaying(port) as front:
            client = await front.connect()
            for head, body in (("GET /o", b""), ("PUT /o", bytes(100)), ("PUT /o", bytes(300_000))):
                answer = await client.ask(head, body)
                assert answer.status == 502
                assert b"cannot be reached" in answer.body
            assert not front.server._upstreams._pools

    run(scenario())


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"HTTP/1.1 200 OK\r\nContent-",
        b"HTTP/1.1 200 OK\nContent-Length: 0\n\r\n\r\n",
        b"HTTP/1.1 20 OK\r\n\r\n",
        b"HTTP/2 200\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\na",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding : chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n folded: 1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: a\rb\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"a" * 70_000,
    ],
)
def test_no_lawful_answer(raw: bytes) -> None:
    """A peer that answers nonsense, or goes away first, is a 502; its connection is not used again."""

    async def scenario() -> None:
        async with peer(saying(raw)) as owner, relaying(owner.port) as front:
            client = await front.connect()
            assert (await client.ask("GET /o")).status == 502
            assert (await client.ask("GET /o")).status == 502
            assert len(owner.connections) == 2

    run(scenario())


def test_bytes_behind_an_answer_are_not_the_next_one() -> None:
    """A peer that says more than its answer cannot poison the next request: its connection is given up."""
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"
    script = saying(answer + b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nbad", answer)

    async def scenario() -> None:
        async with peer(script) as owner, relaying(owner.port) as front:
            client = await front.connect()
            assert (await client.ask("GET /o")).body == b"hi"
            assert (await client.ask("GET /o")).body == b"hi"
            assert len(owner.connections) == 2

    run(scenario())


def closing_after_the_first(heads: list[bytes]) -> Callable[[Client, int], Awaitable[None]]:
    """A peer whose first connection answers one request and is closed when the second has come; others answer two."""

    async def script(client: Client, number: int) -> None:
        for turn in range(2):
            heads.append(await head_of(client))
            if number == turn == 1:
                return
            client.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n%d" % number)

    return script


def test_idle_connection_that_was_closed() -> None:
    """A read that meets a closed idle connection is sent once more on a new one."""
    heads: list[bytes] = []

    async def scenario() -> None:
        async with peer(closing_after_the_first(heads)) as owner, relaying(owner.port) as front:
            client = await front.connect()
            assert (await client.ask("GET /o")).body == b"1"
            assert (await client.ask("GET /o")).body == b"2"
            assert heads[1] == heads[2]
            assert len(owner.connections) == 2

    run(scenario())


@pytest.mark.parametrize("method", ["PUT", "POST", "DELETE"])
def test_a_change_is_never_sent_twice(method: str) -> None:
    """The peer may have made a change before its connection was lost: the client hears that, and decides."""
    heads: list[bytes] = []

    async def scenario() -> None:
        async with peer(closing_after_the_first(heads)) as owner, relaying(owner.port) as front:
            client = await front.connect()
            assert (await client.ask("GET /o")).body == b"1"
            assert (await client.ask(f"{method} /o")).status == 502
            assert len(heads) == 2

    run(scenario())


def test_requests_are_sent_twice_at_most() -> None:
    """When the new connection fails, too, that is the answer."""

    async def script(client: Client, number: int) -> None:
        await head_of(client)
        if number == 1:
            client.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n1")
            await head_of(client)

    async def scenario() -> None:
        async with peer(script) as owner, relaying(owner.port) as front:
            client = await front.connect()
            assert (await client.ask("GET /o")).body == b"1"
            assert (await client.ask("GET /o")).status == 502
            assert len(owner.connections) == 2

    run(scenario())


def test_a_body_that_is_gone_is_not_sent_again() -> None:
    """When more was sent than is still at hand, a closed connection is the end of the request."""

    async def script(client: Client, number: int) -> None:
        await head_of(client)
        if number == 1:
            client.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n1")
            await head_of(client)
            await client.reader.readexactly(90_000)
            arrived.set()
            await client.reader.readexactly(60_000)

    arrived = asyncio.Event()

    async def scenario() -> None:
        async with peer(script) as owner, relaying(owner.port) as front:
            client = await front.connect()
            assert (await client.ask("GET /o")).body == b"1"
            client.send(request("PUT /o", bytes(200_000))[:100_000])
            await arrived.wait()
            client.send(request("PUT /o", bytes(200_000))[100_000:])
            assert (await client.answer()).status == 502
            assert len(owner.connections) == 1

    run(scenario())


def test_tls_to_the_owner(pem: Any) -> None:
    """An https address is spoken to in TLS, and only when its certificate is trusted."""
    route, sinks = uploads(MemorySink)
    content = os.urandom(500_000)
    tls = (server_context(*pem), client_context(ca=pem.certificate))

    async def scenario() -> None:
        async with serving(route, tls=tls) as owner:
            async with relaying(owner.port, scheme="https", upstream_tls=tls[1], tls=tls) as front:
                client = await front.connect()
                assert (await client.ask("PUT /o", content)).body == b"500000"
                assert bytes(sinks[0].content) == content
                assert (await client.ask("GET /o")).body == b"GET /o"
                assert owner.server.connection_count == 1
            stranger = ssl.create_default_context()
            async with relaying(owner.port, scheme="https", upstream_tls=stranger) as front:
                assert (await (await front.connect()).ask("GET /o")).status == 502

    run(scenario())


@pytest.mark.parametrize("is_chunked", [False, True])
@pytest.mark.parametrize("half", [True, False])
def test_client_leaves_in_the_middle_of_the_body(half: bool, is_chunked: bool) -> None:
    """The owner learns at once that the rest will never come, and aborts."""
    route, sinks = uploads(MemorySink)

    async def scenario() -> None:
        async with serving(route, limits=SMALL_BUFFERS) as owner, relaying(owner.port) as front:
            client = await front.connect()
            if is_chunked:
                client.send(request("PUT /o\nTransfer-Encoding: chunked") + b"fffff\r\n" + bytes(200_000))
            else:
                client.send(request("PUT /o", bytes(300_000))[:200_000])
            await client.writer.drain()
            await until(lambda: sinks)
            if half:
                client.half_close()
                assert await client.is_closed()
            else:
                client.reset()
            await sinks[0].gone.wait()
            assert "finish" not in sinks[0].events
            await until(lambda: not owner.server.connection_count)

    run(scenario())


@pytest.mark.parametrize("has_answer", [False, True])
def test_client_leaves_before_the_end_of_the_answer(has_answer: bool) -> None:
    """The owner's connection is closed as soon as nobody wants the answer any more."""

    async def script(client: Client, number: int) -> None:
        await head_of(client)
        if has_answer:
            client.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc")
        arrived.set()
        assert await client.is_closed()
        closed.set()

    arrived, closed = asyncio.Event(), asyncio.Event()

    async def scenario() -> None:
        async with peer(script) as owner, relaying(owner.port) as front:
            client = await front.connect()
            client.send(request("GET /o"))
            await arrived.wait()
            if has_answer:
                await head_of(client)
            client.reset()
            await closed.wait()

    run(scenario())


def test_bad_chunks() -> None:
    """Bad framing in a body: the client gets a 400 and the end of the connection, the owner no complete body."""
    route, sinks = uploads(MemorySink)

    async def scenario() -> None:
        async with serving(route) as owner, relaying(owner.port) as front:
            for pieces in ([b"5\r\nhelloX\r\n"], [b"5\r\nhello\r\n", b"zz\r\n"]):
                client = await front.connect()
                client.send(request("PUT /o\nTransfer-Encoding: chunked"))
                for piece in pieces:
                    client.send(piece)
                    await client.ask_nothing(owner)
                answer = await client.answer()
                assert (answer.status, answer.headers["connection"]) == (400, "close")
                assert await client.is_closed()
            await until(lambda: sinks and all(sink.events[-1:] == ["abort"] for sink in sinks))

    run(scenario())


def test_deadlines(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever stalls is blamed: a client with a 408, an owner with a 502, or a broken connection after the head."""
    monkeypatch.setattr("ais.net.relay.ANSWER_TIMEOUT_S", 0.2)

    async def script(client: Client, number: int) -> None:
        head = await head_of(client)
        if b"/half" in head:
            client.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc")
        await over.wait()

    over = asyncio.Event()

    async def scenario() -> None:
        async with peer(script) as owner, relaying(owner.port, IMPATIENT) as front:
            slow, silent, stuck, waiting, half = [await front.connect() for _ in range(5)]
            slow.send(request("PUT /slow", b"123456")[:-1])
            silent.send(request("GET /silent"))
            stuck.send(request("PUT /stuck", bytes(30 << 20)))
            waiting.send(request("PUT /waiting\nContent-Length: 3\nExpect: 100-continue"))
            half.send(request("GET /half"))
            assert (await slow.answer()).status == 408
            assert (await silent.answer()).status == 502
            assert (await stuck.answer()).status == 502
            assert (await waiting.answer()).status == 502
            with pytest.raises((asyncio.IncompleteReadError, ConnectionResetError)):
                await half.answer()
            await until(lambda: not front.server._upstreams._pools)
            over.set()

    run(scenario())


def test_idle_connections_are_closed() -> None:
    """A connection that nobody uses is given up before the owner would do that."""

    async def scenario() -> None:
        async with serving(echo) as owner, relaying(owner.port, IMPATIENT) as front:
            assert (await (await front.connect()).ask("GET /o")).body == b"GET /o"
            assert owner.server.connection_count == 1
            await until(lambda: not owner.server.connection_count)
            assert not front.server._upstreams._pools

    run(scenario())


def test_too_many_requests_wait_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the connections of a peer requests wait, in order; beyond that they are told to come again."""
    monkeypatch.setattr("ais.net.upstream.CONNECTIONS_PER_PEER_MAX", 2)
    monkeypatch.setattr("ais.net.upstream.WAITING_PER_PEER_MAX", 3)
    monkeypatch.setattr("ais.net.upstream.STILL_S", 600)
    served: list[str] = []

    async def scenario() -> None:
        gate = asyncio.Event()

        async def slow(one: Request) -> Reply:
            served.append(one.path)
            await gate.wait()
            return echo(one)

        async with serving(slow) as owner, relaying(owner.port) as front:
            clients = [await front.connect() for _ in range(5)]
            for number, client in enumerate(clients):
                client.send(request(f"GET /{number}"))
                await until(lambda number=number: len(served) == min(number + 1, 2))
            pool = front.server._upstreams.pool(f"http://127.0.0.1:{owner.port}")
            await until(lambda: len(pool._waiting) == 3)
            sixth = await front.connect()
            assert (await sixth.ask("GET /5")).status == 503
            gate.set()
            assert [(await client.answer()).body for client in clients] == [b"GET /%d" % one for one in range(5)]
            assert sorted(served) == ["/0", "/1", "/2", "/3", "/4"]
            assert owner.server.connection_count == 2

    run(scenario())


def test_requests_that_the_owner_thinks_about_keep_no_others_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """As many as there are connections hang, as on a backend that does not answer: others are answered beside them."""
    monkeypatch.setattr("ais.net.upstream.CONNECTIONS_PER_PEER_MAX", 4)
    monkeypatch.setattr("ais.net.upstream.ALL_PER_PEER_MAX", 10)
    monkeypatch.setattr("ais.net.upstream.STILL_S", 0.01)
    hanging: list[str] = []

    async def scenario() -> None:
        gate = asyncio.Event()

        async def hang(one: Request) -> Reply:
            if one.path.startswith("/hang"):
                hanging.append(one.path)
                await gate.wait()
            return echo(one)

        async with serving(hang) as owner, relaying(owner.port) as front:
            clients = [await front.connect() for _ in range(12)]
            for number, client in enumerate(clients[:9]):
                client.send(request(f"GET /hang{number}"))
            await until(lambda: len(hanging) == 9)
            other = await front.connect()
            assert [(await other.ask(f"GET /{number}")).body for number in range(3)] == [
                b"GET /0",
                b"GET /1",
                b"GET /2",
            ]
            for client in clients[9:]:
                client.send(request("GET /hang"))
            await until(lambda: len(hanging) == 10)
            assert owner.server.connection_count == 10
            gate.set()
            for client in clients:
                assert (await client.answer()).status == 200

    run(scenario())


def test_a_client_that_leaves_the_queue(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who leaves while waiting for a connection is not served, and those behind are."""
    monkeypatch.setattr("ais.net.upstream.CONNECTIONS_PER_PEER_MAX", 1)
    monkeypatch.setattr("ais.net.upstream.STILL_S", 600)
    served: list[str] = []

    async def scenario() -> None:
        gate = asyncio.Event()

        async def slow(one: Request) -> Reply:
            served.append(one.path)
            await gate.wait()
            return echo(one)

        async with serving(slow) as owner, relaying(owner.port) as front:
            clients = [await front.connect() for _ in range(3)]
            pool = front.server._upstreams.pool(f"http://127.0.0.1:{owner.port}")
            for number, client in enumerate(clients):
                client.send(request(f"GET /{number}"))
                await until(lambda number=number: len(served) + len(pool._waiting) == number + 1)
            clients[1].reset()
            await until(lambda: len(pool._waiting) == 1)
            gate.set()
            assert (await clients[2].answer()).body == b"GET /2"
            assert served == ["/0", "/2"]

    run(scenario())


def test_a_route_may_think_before_it_forwards() -> None:
    """A body that comes in while the route decides reaches the owner all the same."""
    route, sinks = uploads(MemorySink)
    content = os.urandom(300_000)
    fronts: list[Served] = []

    async def scenario() -> None:
        async with serving(route) as owner:

            async def later(one: Request) -> Forward:
                await until(lambda: one.method == "GET" or only_connection(fronts[0]).is_reading_paused)
                return Forward(f"http://127.0.0.1:{owner.port}")

            async with serving(later, limits=SMALL_BUFFERS) as front:
                fronts.append(front)
                client = await front.connect()
                client.send(request("PUT /o", content) + request("GET /next"))
                assert (await client.answer()).body == b"300000"
                assert (await client.answer()).body == b"GET /next"
                assert bytes(sinks[0].content) == content

    run(scenario())


def test_closing_breaks_off_and_leaves_nothing() -> None:
    """Closing the server ends relays in every state, and all descriptors are closed."""

    async def script(client: Client, number: int) -> None:
        head = await head_of(client)
        if b"/half" in head:
            client.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc")
        arrived.append(head)
        await over.wait()

    arrived: list[bytes] = []
    over = asyncio.Event()

    async def scenario() -> None:
        before = len(os.listdir("/proc/self/fd"))
        async with peer(script) as owner, relaying(owner.port) as front:
            clients = [await front.connect() for _ in range(3)]
            clients[0].send(request("GET /silent"))
            clients[1].send(request("GET /half"))
            clients[2].send(request("PUT /o", bytes(300_000))[:200_000])
            await until(lambda: len(arrived) == 3)
            await front.server.close()
            for client in clients[::2]:
                assert await client.is_closed()
            over.set()
        await until(lambda: len(os.listdir("/proc/self/fd")) <= before + 1)

    run(scenario())
