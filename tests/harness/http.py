"""A real server on a real socket, raw clients, and a sink that remembers what it was told."""

import asyncio
import os
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any, NamedTuple

from aiohttp import web

from ais.base.errors import OutOfSpace
from ais.net.app import error_reply
from ais.net.http import Network, Reply, Request, Retry, Route, Upload, no_retry
from ais.net.server import HttpServer, Limits

ANY_SIZE = 64 << 20
"""For servers whose test is not about how long a message may be."""


class Answer(NamedTuple):
    """One response as read from the wire."""

    status: int
    headers: dict[str, str]
    body: bytes


class Client:
    """A raw connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    def send(self, data: bytes) -> None:
        """Write bytes as they are."""
        self.writer.write(data)

    def half_close(self) -> None:
        """Shut down the sending side."""
        self.writer.write_eof()

    async def answer(self, method: str = "GET") -> Answer:
        """The next response."""
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode()
        line, *lines = head[:-4].split("\r\n")
        headers = {name.lower(): value for name, value in (one.split(": ", 1) for one in lines)}
        status = int(line.split()[1])
        if method == "HEAD" or status in (100, 204, 304):
            return Answer(status, headers, b"")
        if headers.get("transfer-encoding") == "chunked":
            return Answer(status, headers, await self._chunks())
        if "content-length" in headers:
            return Answer(status, headers, await self.reader.readexactly(int(headers["content-length"])))
        return Answer(status, headers, await self.reader.read())

    async def _chunks(self) -> bytes:
        body = b""
        while size := int(await self.reader.readuntil(b"\r\n"), 16):
            body += await self.reader.readexactly(size)
            assert await self.reader.readexactly(2) == b"\r\n"
        assert await self.reader.readexactly(2) == b"\r\n"
        return body

    async def ask(self, head: str, body: bytes = b"") -> Answer:
        """Send a request given by its first line and further header lines; read the answer."""
        self.send(request(head, body))
        return await self.answer(head.split()[0])

    async def ask_nothing(self, served: "Served") -> None:
        """Wait until the server has read what was sent: another connection, opened later, has been served twice."""
        await self.writer.drain()
        other = await served.connect()
        for _ in range(2):
            await other.ask("GET /")
        await other.close()

    async def is_closed(self) -> bool:
        """Wait until the server closed; no bytes may come before."""
        try:
            return await self.reader.read(1) == b""
        except ConnectionError:
            return True

    def reset(self) -> None:
        """Go away with a TCP reset."""
        fd = os.dup(self.writer.get_extra_info("socket").fileno())
        with socket.socket(fileno=fd) as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()

    async def close(self) -> None:
        """Close our side."""
        self.writer.close()
        with suppress(OSError):
            await self.writer.wait_closed()


def request(head: str, body: bytes = b"") -> bytes:
    """The bytes of a request; `Host` and, for a body, `Content-Length` are added."""
    first, *lines = head.split("\n")
    lines.append("Host: here")
    if body:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([f"{first} HTTP/1.1", *lines, "", ""]).encode() + body


class MemorySink:
    """Keeps an upload in memory; with `in_thread` each write is awaited. `events` tells what happened in order.

    `is_inline` is for whoever makes the `Upload`.
    """

    def __init__(self, *, in_thread: bool = False, is_inline: bool = False, fail_after: int | None = None) -> None:
        self.is_inline = is_inline
        self.content = bytearray()
        self.events: list[str] = []
        self.gone = asyncio.Event()
        self.may_write = asyncio.Event()
        self.may_write.set()
        self._in_thread, self._fail_after = in_thread, fail_after

    def write(self, data: memoryview) -> Awaitable[None] | None:
        """Append."""
        self.events.append(f"write {len(data)}")
        if self._fail_after is not None and len(self.content) >= self._fail_after:
            raise OutOfSpace("no more")
        if self._in_thread:
            return self._write_later(data)
        self.content += data
        return None

    async def _write_later(self, data: memoryview) -> None:
        await self.may_write.wait()
        await asyncio.to_thread(self.content.extend, data)
        self.events.append("written")

    def finish(self) -> Reply:
        """Say how much came."""
        self.events.append("finish")
        return Reply(200, b"", b"%d" % len(self.content))

    def abort(self) -> None:
        """Remember it."""
        self.events.append("abort")
        self.gone.set()


class Served:
    """A running server and how to reach it."""

    def __init__(self, server: HttpServer, port: int, tls: ssl.SSLContext | None) -> None:
        self.server, self.port, self._tls = server, port, tls
        self._clients: list[Client] = []

    async def connect(self, **kwargs: Any) -> Client:
        """A new connection, closed with the server."""
        client = Client(*await asyncio.open_connection("127.0.0.1", self.port, ssl=self._tls, **kwargs))
        self._clients.append(client)
        return client

    async def close(self) -> None:
        """Close clients and server."""
        for client in self._clients:
            await client.close()
        await self.server.close()


@asynccontextmanager
async def serving(
    route: Route,
    app: web.Application | None = None,
    limits: Limits | None = None,
    tls: tuple[ssl.SSLContext, ssl.SSLContext] | None = None,
    upstream_tls: ssl.SSLContext | None = None,
    retry: Retry = no_retry,
) -> AsyncIterator[Served]:
    """Serve `route` on a free port of this machine."""
    server = HttpServer(
        route,
        app,
        lambda one, error: error_reply(one, error, "t[test]"),
        limits or Limits(message_bytes_max=ANY_SIZE),
        Network.PUBLIC,
        upstream_tls,
        retry=retry,
    )
    port = await server.start("127.0.0.1", 0, tls[0] if tls else None)
    served = Served(server, port, tls[1] if tls else None)
    try:
        async with asyncio.timeout(60):
            yield served
    finally:
        await served.close()


async def until(condition: Callable[[], object]) -> None:
    """Wait for something that has no event; the test's timeout bounds it."""
    while not condition():  # noqa: ASYNC110
        await asyncio.sleep(0.001)


def echo(one: Request) -> Reply:
    """Answer with method and path."""
    return Reply(200, b"Content-Type: text/plain\r\n", f"{one.method} {one.path}".encode())


def uploads(make: Callable[[], MemorySink]) -> tuple[Route, list[MemorySink]]:
    """A route that takes PUTs into sinks (also listed) and echoes the rest."""
    sinks: list[MemorySink] = []

    def route(one: Request) -> Any:
        if one.method != "PUT":
            return echo(one)
        sinks.append(make())
        return Upload(sinks[-1], is_inline=sinks[-1].is_inline)

    return route, sinks
