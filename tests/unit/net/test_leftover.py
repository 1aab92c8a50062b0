"""Answers that are known before the body was read: when they come, and that what they say of the connection holds."""

import asyncio
import os
import subprocess
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import requests
import urllib3
from aiohttp import web
from harness.http import ANY_SIZE, Client, MemorySink, echo, request, serving, uploads
from harness.loop import run

from ais.net.app import make_app
from ais.net.http import FileReply, Reply, Request, StreamReply
from ais.net.server import Limits
from ais.net.tls import client_context, server_context

SMALL_TURNS = Limits(
    message_bytes_max=ANY_SIZE, turn_bytes=64 << 10, drain_bytes_max=64 << 10, linger_bytes_max=1 << 20
)


def redirecting(one: Request) -> Reply:
    """What a proxy does."""
    return Reply(307, f"Location: {one.params['to']}\r\n".encode()) if one.path == "/proxy" else echo(one)


@pytest.mark.parametrize("framing", ["Content-Length: 5", "Transfer-Encoding: chunked"])
@pytest.mark.parametrize("path", ["/proxy?to=x", "/file", "/stream", "/app"])
def test_an_answer_waits_for_a_small_body(tmp_path: Path, path: str, framing: str) -> None:
    """No client that rewinds or frees its body when it has the answer is surprised, and the connection is kept."""
    file = tmp_path / "file"
    file.write_bytes(bytes(10))

    async def one_chunk() -> AsyncIterator[bytes]:
        yield b"chunk"

    def route(one: Request) -> Any:
        if one.path == "/app":
            return None
        if one.path == "/file":
            return FileReply(200, b"", os.open(file, os.O_RDONLY), 0, 10)
        return StreamReply(200, b"", one_chunk()) if one.path == "/stream" else redirecting(one)

    async def ignore(one: web.Request) -> web.Response:
        return web.Response(text="ignored")

    raw = b"5\r\nhello\r\n0\r\n\r\n" if "chunked" in framing else b"hello"

    async def scenario() -> None:
        async with serving(route, make_app([web.put("/app", ignore)], "p[test]"), limits=SMALL_TURNS) as served:
            client = await served.connect()
            for _ in range(2):
                client.send(request(f"PUT {path}\n{framing}"))
                answer = asyncio.create_task(client.answer())
                for byte in raw:
                    await client.ask_nothing(served)
                    assert not answer.done()
                    client.send(bytes([byte]))
                assert (await answer).status < 400
                assert "connection" not in (await answer).headers
            assert (await client.ask("GET /next")).body == b"GET /next"

    run(scenario())


@pytest.mark.parametrize(
    "head",
    [
        "PUT /proxy?to=x\nExpect: 100-continue\nContent-Length: 5",
        "PUT /proxy?to=x\nConnection: close\nContent-Length: 5",
        "PUT /proxy?to=x\nContent-Length: 262145",
    ],
)
def test_an_answer_does_not_wait_for_a_body_that_may_not_come_or_is_not_small(head: str) -> None:
    """A client that waits for `100 Continue`, or asks over https where to send its body, is answered at once."""

    async def scenario() -> None:
        async with serving(redirecting) as served:
            client = await served.connect()
            answer = await client.ask(head)
            assert (answer.status, answer.headers.get("connection")) == (307, None if "262145" in head else "close")

    run(scenario())


def test_an_answer_does_not_wait_for_ever() -> None:
    """A small body that ends early, never comes or makes no sense: the answer is given, and says close."""

    async def scenario() -> None:
        async with serving(redirecting, limits=Limits(body_idle_timeout_s=0.2)) as served:
            for head, half in (("Content-Length: 5", True), ("Content-Length: 5", False)):
                client = await served.connect()
                client.send(request(f"PUT /proxy?to=x\n{head}") + b"he")
                if half:
                    client.half_close()
                answer = await client.answer()
                assert (answer.status, answer.headers["connection"]) == (307, "close")
                assert await client.is_closed()
            client = await served.connect()
            client.send(request("PUT /proxy?to=x\nTransfer-Encoding: chunked") + b"no size\r\n")
            answer = await client.answer()
            assert (answer.status, answer.headers["connection"]) == (307, "close")

    run(scenario())


@pytest.mark.parametrize("with_head", [0, 1, 100_000, 1_000_000])
@pytest.mark.parametrize(("size", "is_chunked"), [(1_100_000, False), (1_048_576, False), (1_048_576, True)])
def test_what_an_early_answer_says_of_the_connection_holds(size: int, is_chunked: bool, with_head: int) -> None:
    """Whatever came with the head: after a keep-alive answer the next request is served, else it says close."""

    async def scenario() -> None:
        async with serving(redirecting) as served:
            client = await served.connect()
            framing = "Transfer-Encoding: chunked" if is_chunked else f"Content-Length: {size}"
            body = b"%x\r\n%b\r\n0\r\n\r\n" % (size, bytes(size)) if is_chunked else bytes(size)
            client.send(request(f"PUT /proxy?to=x\n{framing}") + body[:with_head])
            await client.ask_nothing(served)
            client.send(body[with_head:])
            answer = await client.answer()
            assert answer.status == 307
            if "connection" in answer.headers:
                assert size > 1 << 20 or is_chunked
                assert answer.headers["connection"] == "close"
                assert await client.is_closed()
            else:
                assert (await client.ask("GET /next")).body == b"GET /next"

    run(scenario())


def test_redirect_before_a_large_body_closes() -> None:
    """Nobody reads gigabytes to keep a connection: the answer says close, and the end of it comes soon."""

    async def scenario() -> None:
        async with serving(redirecting, limits=SMALL_TURNS) as served:
            client = await served.connect()
            client.send(request("PUT /proxy?to=x\nContent-Length: 1000000000"))
            answer = await client.answer()
            assert (answer.status, answer.headers["connection"]) == (307, "close")
            with pytest.raises(ConnectionError):
                await _send_without_end(client)

    run(scenario())


async def _send_without_end(client: Client) -> None:
    while True:
        client.send(bytes(100_000))
        await client.writer.drain()


def _with_requests(url: str, body: Path) -> int:
    with body.open("rb") as file, requests.Session() as session:
        return session.put(url, data=file, timeout=20).status_code


def _with_urllib3(url: str, body: Path) -> int:
    # A file would not be rewound: urllib3 forgets where it began when a redirect leads to another host.
    with urllib3.PoolManager() as pool:
        return pool.request("PUT", url, body=body.read_bytes(), timeout=20, retries=urllib3.Retry(3)).status


def _with_curl(url: str, body: Path) -> int:
    command = ["curl", "-sL", "-o", "/dev/null", "-w", "%{http_code}", "-T", body, url]
    return int(subprocess.run(command, capture_output=True, text=True, check=True, timeout=20).stdout)


@pytest.mark.parametrize("upload", [_with_requests, _with_urllib3, _with_curl])
@pytest.mark.parametrize("size", [10, 1_000_000, 50_000_000])
def test_real_clients_follow_an_early_redirect(tmp_path: Path, upload: Callable[[str, Path], int], size: int) -> None:
    """Clients that send the whole body before they look for the answer still see the redirect (wire contract §27.2)."""
    path, content = tmp_path / "body", os.urandom(size)
    path.write_bytes(content)
    route, sinks = uploads(lambda: MemorySink(in_thread=True))

    async def scenario() -> None:
        async with serving(route) as target, serving(redirecting, limits=SMALL_TURNS) as proxy:
            url = f"http://127.0.0.1:{proxy.port}/proxy?to=http://127.0.0.1:{target.port}/o"
            assert await asyncio.to_thread(upload, url, path) == 200
            assert bytes(sinks[-1].content) == content

    run(scenario())


def test_sdk_over_https_first_leg(pem: Any) -> None:
    """The SDK sends Content-Length without a body and Connection: close, and expects the redirect at once."""

    async def scenario() -> None:
        async with serving(redirecting, tls=(server_context(*pem), client_context(ca=pem.certificate))) as served:
            client = await served.connect()
            answer = await client.ask("PUT /proxy?to=x\nContent-Length: 100\nConnection: close")
            assert (answer.status, answer.headers["connection"]) == (307, "close")

    run(scenario())
