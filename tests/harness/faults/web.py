"""A plain HTTP/1.1 client that hides nothing: no retry, no redirect, and it says whether a request can have arrived."""

import asyncio
import urllib.parse
from collections import defaultdict
from typing import NamedTuple

IDLE_MAX = 4
EXPECT_BYTES = 128 << 10
"""A larger body is sent only after `100 Continue`, so that a redirect is never lost in a broken connection."""


class Answer(NamedTuple):
    """A final answer. Header names are lower-case; of repeated ones all values, joined by a newline."""

    status: int
    headers: dict[str, str]
    body: bytes
    node: str
    """`host:port` that gave it."""

    def __str__(self) -> str:
        text = self.body[:300].decode("utf-8", "replace") if self.status >= 300 else f"{len(self.body)} bytes"
        return f"{self.status} from {self.node}: {text or self.headers.get('hdr-error', '')[:300]}".strip()


class NotSent(Exception):
    """No byte of the request reached anybody: it has no effect."""


class NoAnswer(Exception):
    """The request may have arrived."""


class _Connection:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    @property
    def is_stale(self) -> bool:
        return self.reader.at_eof() or self.reader.exception() is not None or self.writer.is_closing()


class Web:
    """Connections to the nodes, kept and used again."""

    def __init__(self) -> None:
        self._idle: dict[str, list[_Connection]] = defaultdict(list)

    async def ask(
        self,
        url: str,
        method: str,
        target: str,
        headers: dict[str, str] | None = None,
        body: bytes | None = None,
        *,
        timeout_s: float,
    ) -> Answer:
        """One request. Raise `NotSent` or `NoAnswer`."""
        node = urllib.parse.urlsplit(url).netloc
        connection: _Connection | None = None
        is_kept = False
        try:
            async with asyncio.timeout(timeout_s):
                connection = await self._connect(node)
                answer, is_kept = await self._exchange(connection, node, method, target, headers or {}, body)
        except (OSError, EOFError, ValueError, TimeoutError) as error:
            kind = NoAnswer if connection else NotSent
            raise kind(f"{node}: {type(error).__name__} {error}".strip()) from None
        finally:
            if connection and is_kept and len(self._idle[node]) < IDLE_MAX:
                self._idle[node].append(connection)
            elif connection:
                connection.writer.transport.abort()
        return answer

    async def close(self) -> None:
        """Close what is idle."""
        for connections in self._idle.values():
            for connection in connections:
                connection.writer.transport.abort()
        self._idle.clear()
        await asyncio.sleep(0)

    async def _connect(self, node: str) -> _Connection:
        idle = self._idle[node]
        while idle:
            connection = idle.pop()
            if not connection.is_stale:
                return connection
            connection.writer.transport.abort()
        host, port = node.rsplit(":", 1)
        return _Connection(*await asyncio.open_connection(host, int(port), limit=1 << 20))

    async def _exchange(
        self, connection: _Connection, node: str, method: str, target: str, headers: dict[str, str], body: bytes | None
    ) -> tuple[Answer, bool]:
        lines = [f"{method} {target} HTTP/1.1", f"Host: {node}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        if body is not None or method in ("PUT", "POST", "PATCH"):
            lines.append(f"Content-Length: {len(body or b'')}")
        waits = body is not None and len(body) > EXPECT_BYTES
        if waits:
            lines.append("Expect: 100-continue")
        head = ("\r\n".join(lines) + "\r\n\r\n").encode()
        connection.writer.write(head if waits else head + (body or b""))
        status, found = await self._head(connection)
        is_whole = not waits
        while status == 100:
            connection.writer.write(body or b"")
            status, found = await self._head(connection)
            is_whole = True
        answer = Answer(status, found, await self._body(connection, method, status, found), node)
        is_framed = "content-length" in found or method == "HEAD" or status in (204, 304)
        return answer, is_whole and is_framed and found.get("connection", "").lower() != "close"

    async def _head(self, connection: _Connection) -> tuple[int, dict[str, str]]:
        head = (await connection.reader.readuntil(b"\r\n\r\n")).decode("utf-8", "replace")
        line, *lines = head[:-4].split("\r\n")
        found: dict[str, str] = {}
        for one in lines:
            name, _, value = one.partition(":")
            name = name.lower()
            found[name] = f"{found[name]}\n{value.strip()}" if name in found else value.strip()
        return int(line.split()[1]), found

    async def _body(self, connection: _Connection, method: str, status: int, headers: dict[str, str]) -> bytes:
        if method == "HEAD" or status in (204, 304):
            return b""
        if headers.get("transfer-encoding", "").lower() == "chunked":
            parts = []
            while size := int((await connection.reader.readuntil(b"\r\n")).split(b";")[0], 16):
                parts.append(await connection.reader.readexactly(size))
                await connection.reader.readexactly(2)
            await connection.reader.readuntil(b"\r\n")
            return b"".join(parts)
        if "content-length" in headers:
            return await connection.reader.readexactly(int(headers["content-length"]))
        return await connection.reader.read()
