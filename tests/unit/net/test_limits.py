"""What one client may have of a server: connections, memory for bodies, sizes; and that it says so."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web
from harness.http import MemorySink, Served, echo, request, serving, until
from harness.loop import run

from ais.net.app import make_app
from ais.net.http import Request, Upload
from ais.net.server import Limits

MESSAGE = 200_000


class Handlers:
    """Keeps bodies until it is told to answer."""

    def __init__(self) -> None:
        self.go_on, self.read = asyncio.Event(), 0

    async def handle(self, one: web.Request) -> web.Response:
        body = await one.read()
        self.read += 1
        await self.go_on.wait()
        return web.Response(body=b"%d" % len(body))

    def route(self, one: Request) -> Any:
        if one.path == "/document":
            return Upload(MemorySink(), kept=one.content_length or 0)
        return None if one.path.startswith("/v1/") else echo(one)


@asynccontextmanager
async def limited(memory: int = 1 << 20, wait_s: float = 60.0, **limits: Any) -> AsyncIterator[tuple[Served, Handlers]]:
    handlers = Handlers()
    app = make_app([web.post("/v1/{rest:.*}", handlers.handle)], "p[test]")
    async with serving(handlers.route, app, Limits(message_bytes_max=MESSAGE, **limits)) as served:
        served.server._memory.limit(memory, wait_s)
        yield served, handlers


def used(served: Served) -> int:
    return served.server._memory.used


def test_an_address_with_too_many_connections() -> None:
    """Its idlest connection gives way; when none is idle the new one gets a 503 that says when to come again."""

    async def scenario() -> None:
        async with limited(connections_per_address_max=3) as (served, handlers):
            clients = [await served.connect() for _ in range(3)]
            for client in clients[1:]:
                client.send(request("POST /v1/wait", b"x"))
            await until(lambda: handlers.read == 2)
            idle, new = clients[0], await served.connect()
            assert (await new.ask("GET /1")).status == 200
            assert await idle.is_closed()
            new.send(request("POST /v1/wait", b"x"))
            await until(lambda: handlers.read == 3)
            refused = await (await served.connect()).answer()
            assert (refused.status, refused.headers["retry-after"]) == (503, "1")
            reader, writer = await asyncio.open_connection("127.0.0.1", served.port, local_addr=("127.0.0.2", 0))
            writer.write(b"GET /2 HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
            assert (await reader.read()).startswith(b"HTTP/1.1 200")
            writer.close()
            handlers.go_on.set()

    run(scenario())


@pytest.mark.parametrize("path", ["/v1/cluster", "/v1/buckets/b"])
def test_too_long_a_message(path: str) -> None:
    """Refused before it is read, and before its sender is asked for it; of unknown length, where it is too long."""

    async def scenario() -> None:
        async with limited(list_bytes_max=2 * MESSAGE) as (served, handlers):
            size_max = 2 * MESSAGE if "buckets" in path else MESSAGE
            handlers.go_on.set()
            client = await served.connect()
            assert (await client.ask(f"POST {path}", bytes(size_max))).body == b"%d" % size_max
            head = f"POST {path} HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: {size_max + 1}\r\n\r\n"
            client.send(head.encode())
            answer = await client.answer()
            assert (answer.status, b"exceeds" in answer.body) == (413, True)
            client = await served.connect()
            client.send(f"POST {path} HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n".encode())
            client.send(b"%x\r\n" % (size_max + 1) + bytes(size_max + 1) + b"\r\n0\r\n\r\n")
            assert (await client.answer()).status == 413
            assert handlers.read == 1
            assert used(served) == 0

    run(scenario())


def test_bodies_wait_for_memory() -> None:
    """A body for which there is no room is not read until there is; documents of sinks are counted too."""

    async def scenario() -> None:
        async with limited(memory=2 * MESSAGE) as (served, handlers):
            first, second = await served.connect(), await served.connect()
            first.send(request("POST /v1/a", bytes(MESSAGE)))
            await until(lambda: handlers.read == 1)
            second.send(request("POST /document", bytes(MESSAGE)))
            await until(lambda: served.server._memory.waiting == 1)
            small = await served.connect()
            small.send(request("POST /v1/small", b"x"))
            await until(lambda: handlers.read == 2)
            handlers.go_on.set()
            assert (await first.answer()).body == b"%d" % MESSAGE
            assert (await second.answer()).status == 200
            await until(lambda: used(served) == 0)

    run(scenario())


def test_no_memory_in_time() -> None:
    """503 with the time to come again; a client that leaves while it waits, or in the middle, leaves nothing."""

    async def scenario() -> None:
        async with limited(memory=2 * MESSAGE, wait_s=0.05) as (served, handlers):
            first, leaves = await served.connect(), await served.connect()
            first.send(request("POST /v1/a", bytes(MESSAGE)))
            await until(lambda: handlers.read == 1)
            for path in ("/v1/a", "/document"):
                client = await served.connect()
                answer = await client.ask(f"POST {path}", bytes(MESSAGE))
                assert (answer.status, answer.headers["retry-after"]) == (503, "1")
            leaves.send(request("POST /v1/a", bytes(MESSAGE))[:-1])
            await until(lambda: served.server._memory.waiting == 1)
            await leaves.close()
            handlers.go_on.set()
            assert (await first.answer()).status == 200
            await until(lambda: (used(served), served.server._memory.waiting) == (0, 0))
            half = await served.connect()
            half.send(request("POST /v1/a", bytes(MESSAGE))[:-1])
            await until(lambda: used(served) == MESSAGE)
            await half.close()
            await until(lambda: used(served) == 0)

    run(scenario())


def test_a_body_that_takes_too_long() -> None:
    """Who sends a byte now and then does not hold memory for ever."""

    async def scenario() -> None:
        async with limited(kept_body_timeout_s=0.3, linger_timeout_s=0.2) as (served, _):
            client = await served.connect()
            client.send(request("POST /v1/a", bytes(MESSAGE))[: -MESSAGE // 2])
            await until(lambda: used(served) == MESSAGE)
            answering = asyncio.create_task(client.answer())
            while not answering.done():
                client.send(b"x")
                await asyncio.sleep(0.02)
            assert (await answering).status == 408
            await until(lambda: used(served) == 0)

    run(scenario())


def test_limits_of_now() -> None:
    """Limits that change hold from then on."""

    async def scenario() -> None:
        async with limited() as (served, handlers):
            handlers.go_on.set()
            client = await served.connect()
            assert (await client.ask("POST /v1/a", bytes(MESSAGE))).status == 200
            served.server.limit(Limits(message_bytes_max=10))
            assert (await client.ask("POST /v1/a", b"more than ten bytes")).status == 413

    run(scenario())


@pytest.mark.parametrize("turns", range(6))
def test_who_was_accepted_when_the_server_is_closed(turns: int) -> None:
    """However far the loop has come with a connection, it does not outlive the server."""

    async def scenario() -> None:
        async with limited() as (served, _):
            with socket.create_connection(("127.0.0.1", served.port)) as client:
                client.setblocking(False)
                for _ in range(turns):
                    await asyncio.sleep(0)
                await served.close()
                with contextlib.suppress(ConnectionResetError):
                    assert await asyncio.wait_for(asyncio.get_running_loop().sock_recv(client, 1), 10) == b""

    run(scenario())
