"""Requests handed to the aiohttp application and taken back, on one connection with requests of the hot path."""

import asyncio
import os
from typing import Any

import pytest
from aiohttp import web
from harness.http import ANY_SIZE, Client, MemorySink, echo, request, serving, until
from harness.loop import run

from ais.base.errors import BucketNotFound, NoContact
from ais.net.app import make_app
from ais.net.http import Request, Upload
from ais.net.server import Limits
from ais.net.tls import client_context, server_context


class Handlers:
    """An application whose handlers show what they saw."""

    def __init__(self) -> None:
        self.started, self.cancelled = asyncio.Event(), asyncio.Event()
        self.go_on = asyncio.Event()
        self.sinks: list[MemorySink] = []
        self.taken = self.made = 0

    def app(self) -> web.Application:
        """The routes."""
        return make_app(
            [
                web.route("*", "/app/echo", self.echo),
                web.post("/app/ignore", self.ignore),
                web.post("/app/slow", self.slow),
                web.get("/app/wait", self.wait),
                web.get("/app/stream", self.stream),
                web.get("/app/break", self.break_in_the_middle),
                web.get("/app/error", self.error),
                web.get("/app/bug", self.bug),
            ],
            "p[test]",
        )

    def route(self, one: Request) -> Any:
        """Hot: everything outside /app."""
        if one.path.startswith("/app") or one.path.startswith("/v1/"):
            return None
        if one.method == "PUT":
            self.sinks.append(MemorySink(in_thread=True))
            return Upload(self.sinks[-1])
        return echo(one)

    async def echo(self, one: web.Request) -> web.Response:
        body = await one.read()
        return web.Response(body=f"{one.method} {one.raw_path} {len(body)} {one.remote} ".encode() + body[:10])

    async def ignore(self, one: web.Request) -> web.Response:
        return web.Response(text="ignored")

    async def slow(self, one: web.Request) -> web.Response:
        self.started.set()
        async for chunk in one.content.iter_any():
            self.taken += len(chunk)
            await self.go_on.wait()
        return web.Response(text=str(self.taken))

    async def wait(self, one: web.Request) -> web.Response:
        self.started.set()
        try:
            await self.go_on.wait()
        except asyncio.CancelledError:
            self.cancelled.set()
            raise
        return web.Response(text="waited")

    async def stream(self, one: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(one)
        try:
            for _ in range(int(one.query["chunks"])):
                await response.write(bytes(100_000))
                self.made += 1
        except (asyncio.CancelledError, ConnectionError):
            self.cancelled.set()
            raise
        return response

    async def break_in_the_middle(self, one: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(one)
        await response.write(b"half")
        raise RuntimeError("made up")

    async def error(self, one: web.Request) -> web.Response:
        raise BucketNotFound("ais://b")

    async def bug(self, one: web.Request) -> web.Response:
        raise KeyError("made up")


def test_mixed_requests_in_order() -> None:
    """Hot and handed-over requests, with bodies, pipelined in any pieces, are answered in order on one connection."""

    async def scenario() -> None:
        handlers = Handlers()
        chunked = b"\r\n".join([b"5", b"hello", b"6;x", b" world", b"0", b"T: r", b"", b""])
        parts = [
            (request("GET /hot"), b"GET /hot"),
            (request("GET /app/echo?a=%20b"), b"GET /app/echo?a=%20b 0 127.0.0.1 "),
            (request("POST /app/echo", b"12345"), b"POST /app/echo 5 127.0.0.1 12345"),
            (request("PUT /o", b"x" * 3000), b"3000"),
            (
                request("POST /app/echo\nTransfer-Encoding: chunked") + chunked,
                b"POST /app/echo 11 127.0.0.1 hello worl",
            ),
            (request("POST /app/ignore", b"y" * 1000), b"ignored"),
            (
                request("GET /app/echo\nUpgrade: h2c\nConnection: Upgrade, HTTP2-Settings"),
                b"GET /app/echo 0 127.0.0.1 ",
            ),
            (request("DELETE /app/echo", b"{}"), b"DELETE /app/echo 2 127.0.0.1 {}"),
            (request("GET /hot2"), b"GET /hot2"),
        ]
        raw = b"".join(part for part, _ in parts)
        async with serving(handlers.route, handlers.app()) as served:
            for size in (1, 13, 200, 1000, len(raw)):
                client = await served.connect()
                for start in range(0, len(raw), size):
                    client.send(raw[start : start + size])
                    await asyncio.sleep(0)
                for _, expected in parts:
                    assert (await client.answer()).body == expected
            assert served.server.connection_count == 5

    run(scenario())


@pytest.mark.parametrize("is_tls", [False, True])
def test_large_bodies_and_answers(pem: Any, is_tls: bool) -> None:
    """Megabytes in and out through the application, then the hot path again."""

    async def scenario() -> None:
        handlers = Handlers()
        handlers.go_on.set()
        tls = (server_context(*pem), client_context(ca=pem.certificate)) if is_tls else None
        async with serving(handlers.route, handlers.app(), tls=tls) as served:
            client = await served.connect()
            content = os.urandom(5_000_000)
            assert (await client.ask("POST /app/slow", content)).body == b"5000000"
            assert (await client.ask("GET /hot")).body == b"GET /hot"
            assert len((await client.ask("GET /app/stream?chunks=50")).body) == 5_000_000
            framed = b"".join(b"186a0\r\n%b\r\n" % content[:100_000] for _ in range(30)) + b"0\r\n\r\n"
            client.send(request("POST /app/slow\nTransfer-Encoding: chunked") + framed)
            assert (await client.answer()).body == b"8000000"
            assert (await client.ask("GET /hot")).body == b"GET /hot"

    run(scenario())


def test_handler_that_does_not_read_stops_the_client() -> None:
    """A body is received no faster than the handler takes it."""

    async def scenario() -> None:
        handlers = Handlers()
        async with serving(handlers.route, handlers.app()) as served:
            client, other, total = await served.connect(), await served.connect(), 40_000_000
            client.send(request(f"POST /app/slow\nContent-Length: {total}"))
            await handlers.started.wait()
            client.send(bytes(total))
            unsent, before = client.writer.transport.get_write_buffer_size, -1
            while unsent() != before:
                before = unsent()
                for _ in range(20):
                    await other.ask("GET /hot")
            assert before > total // 2
            handlers.go_on.set()
            assert (await client.answer()).body == b"%d" % total

    run(scenario())


def test_body_that_the_handler_does_not_read() -> None:
    """A short rest is drained and the connection kept; a long one ends the connection, as the answer says."""

    async def scenario() -> None:
        handlers = Handlers()
        limits = Limits(message_bytes_max=ANY_SIZE, drain_bytes_max=400_000, linger_bytes_max=1_000_000)
        async with serving(handlers.route, handlers.app(), limits=limits) as served:
            client = await served.connect()
            for size in (50_000, 200_000, 300_000):
                client.send(request("POST /app/ignore", bytes(size)))
                assert (await client.answer()).body == b"ignored"
                assert (await client.ask("GET /hot")).body == b"GET /hot"
                assert (await client.ask("POST /app/echo", b"abc")).body.endswith(b"abc")
            client.send(request("POST /app/ignore\nContent-Length: 50000000"))
            answer = await client.answer()
            assert (answer.body, answer.headers["connection"]) == (b"ignored", "close")
            with pytest.raises(ConnectionError):
                await _send_without_end(client)

    run(scenario())


async def _send_without_end(client: Client) -> None:
    while True:
        client.send(bytes(100_000))
        await client.writer.drain()


def test_expect_100_continue() -> None:
    """The application's bodies are asked for, too."""

    async def scenario() -> None:
        handlers = Handlers()
        async with serving(handlers.route, handlers.app()) as served:
            client = await served.connect()
            client.send(request("POST /app/echo\nExpect: 100-continue\nContent-Length: 3"))
            assert (await client.answer()).status == 100
            client.send(b"abc")
            assert (await client.answer()).body.endswith(b"abc")
            assert (await client.ask("GET /hot")).status == 200

    run(scenario())


def test_reset_cancels_the_handler() -> None:
    """A handler whose client is gone is cancelled, waiting or writing."""

    async def scenario() -> None:
        handlers = Handlers()
        async with serving(handlers.route, handlers.app()) as served:
            client = await served.connect()
            client.send(request("GET /app/wait"))
            await handlers.started.wait()
            client.reset()
            await handlers.cancelled.wait()
            handlers.cancelled.clear()
            client = await served.connect(limit=1000)
            client.send(request("GET /app/stream?chunks=1000000"))
            await until(lambda: handlers.made)
            client.reset()
            await handlers.cancelled.wait()

    run(scenario())


@pytest.mark.parametrize("half", [True, False])
def test_body_cut_off_cancels_the_handler(half: bool) -> None:
    """A handler never takes half a body for a whole one."""

    async def scenario() -> None:
        handlers = Handlers()
        handlers.go_on.set()
        async with serving(handlers.route, handlers.app()) as served:
            client = await served.connect()
            client.send(request("POST /app/slow\nContent-Length: 1000") + bytes(500))
            await until(lambda: handlers.taken == 500)
            if half:
                client.half_close()
            else:
                client.reset()
            assert await client.is_closed()
            await until(lambda: not served.server.connection_count)

    run(scenario())


def test_half_closed_client_gets_its_answer() -> None:
    """Shutting down the sending side after the request is not leaving."""

    async def scenario() -> None:
        handlers = Handlers()
        async with serving(handlers.route, handlers.app()) as served:
            client = await served.connect()
            client.send(request("GET /app/wait"))
            await handlers.started.wait()
            client.half_close()
            other = await served.connect()
            await other.ask("GET /hot")
            handlers.go_on.set()
            assert (await client.answer()).body == b"waited"
            assert await client.is_closed()

    run(scenario())


def test_bad_chunks() -> None:
    """Bad framing of a body that the application was reading gets a 400 and the end."""

    async def scenario() -> None:
        handlers = Handlers()
        handlers.go_on.set()
        async with serving(handlers.route, handlers.app()) as served:
            client = await served.connect()
            client.send(request("POST /app/slow\nTransfer-Encoding: chunked") + b"3\r\nabc\r\n")
            await until(lambda: handlers.taken == 3)
            client.send(b"zz\r\n")
            assert (await client.answer()).status == 400
            assert await client.is_closed()

    run(scenario())


def test_slow_bodies_time_out() -> None:
    """A body that stops coming ends the request."""

    async def scenario() -> None:
        handlers = Handlers()
        handlers.go_on.set()
        limits = Limits(message_bytes_max=ANY_SIZE, body_idle_timeout_s=0.2, linger_timeout_s=0.2)
        async with serving(handlers.route, handlers.app(), limits=limits) as served:
            client = await served.connect()
            client.send(request("POST /app/slow\nContent-Length: 10") + b"12345")
            assert (await client.answer()).status == 408
            assert await client.is_closed()

    run(scenario())


def test_errors_and_verbs() -> None:
    """Errors of handlers, unknown paths, wrong verbs, OPTIONS: answered as the wire contract says, and kept alive."""

    async def scenario() -> None:
        handlers = Handlers()
        async with serving(handlers.route, handlers.app()) as served:
            client = await served.connect()
            missing = await client.ask("GET /app/error")
            assert (missing.status, missing.headers["content-type"]) == (404, "application/json")
            assert b'"tcode":"ErrBckNotFound"' in missing.body
            assert missing.body.endswith(b"\n")
            assert '"status":400' in (await client.ask("HEAD /app/nothing")).headers["hdr-error"]
            assert (await client.ask("GET /app/bug")).status == 503
            assert (await client.ask("GET /app/nothing")).status == 400
            assert (await client.ask("GET /v1/objects/b/o")).status == 405
            wrong = await client.ask("PROPFIND /app/wait")
            assert (wrong.status, wrong.headers["allow"], wrong.body) == (
                405,
                "GET, OPTIONS",
                b"Method Not Allowed\n",
            )
            options = await client.ask("OPTIONS /v1/objects/b/o")
            assert (options.status, options.headers["allow"]) == (200, "DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT")
            browser = await client.ask("GET /app/echo\nUser-Agent: Mozilla/5.0 (X)")
            assert browser.headers["strict-transport-security"]
            assert (await client.ask("GET /hot")).status == 200

    run(scenario())


def test_handler_that_breaks_in_the_middle() -> None:
    """Half an answer is a broken connection, not a second answer."""

    async def scenario() -> None:
        handlers = Handlers()
        async with serving(handlers.route, handlers.app()) as served:
            client = await served.connect()
            with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
                await client.ask("GET /app/break")

    run(scenario())


def test_http_1_0_and_close() -> None:
    """The application's answers obey Connection: close and HTTP/1.0."""

    async def scenario() -> None:
        handlers = Handlers()
        async with serving(handlers.route, handlers.app()) as served:
            client = await served.connect()
            answer = await client.ask("GET /app/echo\nConnection: close")
            assert (answer.status, answer.headers["connection"]) == (200, "close")
            assert await client.is_closed()
            client = await served.connect()
            client.send(b"GET /app/stream?chunks=3 HTTP/1.0\r\n\r\n")
            answer = await client.answer()
            assert "transfer-encoding" not in answer.headers
            assert len(answer.body) == 300_000

    run(scenario())


def test_drain_lets_handlers_finish() -> None:
    """Draining waits for the application's requests, too."""

    async def scenario() -> None:
        handlers = Handlers()
        async with serving(handlers.route, handlers.app()) as served:
            idle, busy = await served.connect(), await served.connect()
            await idle.ask("GET /app/echo")
            busy.send(request("GET /app/wait"))
            await handlers.started.wait()
            draining = asyncio.create_task(served.server.drain(30))
            assert await idle.is_closed()
            handlers.go_on.set()
            assert (await busy.answer()).body == b"waited"
            assert await busy.is_closed()
            await draining

    run(scenario())


def test_close_cancels_handlers() -> None:
    """Closing does not wait: what runs is cancelled, and nothing is left behind."""

    async def scenario() -> None:
        handlers = Handlers()
        async with serving(handlers.route, handlers.app()) as served:
            client = await served.connect()
            client.send(request("GET /app/wait"))
            await handlers.started.wait()
            await served.server.close()
            assert handlers.cancelled.is_set()
            assert await client.is_closed()

    run(scenario())


def test_what_changes_nothing_is_asked_again_when_there_is_contact() -> None:
    """A handler that cannot tell what there is, once: GET is answered by its second look, a change is refused."""
    asked: list[str] = []

    async def handle(one: web.Request) -> web.Response:
        asked.append(one.method)
        if asked.count(one.method) == 1:
            raise BucketNotFound("ais://b")
        return web.Response(text=(await one.read()).decode())

    def honest(error: BaseException) -> BaseException:
        return NoContact("nothing heard") if isinstance(error, BucketNotFound) else error

    async def regain() -> None:
        asked.append("wait")

    async def scenario() -> None:
        app = make_app([web.route("*", "/app/it", handle)], "p[test]", honest, regain)
        async with serving(lambda _: None, app) as served:
            client = await served.connect()
            answer = await client.ask("GET /app/it", b"body")
            assert (answer.status, answer.body) == (200, b"body")
            assert (await client.ask("DELETE /app/it")).status == 503
        assert asked == ["GET", "wait", "GET", "DELETE"]

    run(scenario())
