"""An HTTP/1.1 client that costs as little as it can: one request at a time per connection, bodies counted, not kept.

A load generator must not be what limits the load: a request takes some 20 us here. It follows redirects, reuses
connections, and has no other ambitions; what is not load (listing, making buckets) goes through `ais.client`.
"""

import asyncio
import ssl
from collections import defaultdict
from typing import NamedTuple, cast
from urllib.parse import urlsplit

import httptools
import xxhash

from ais.base.errors import Unreachable

REDIRECTS_MAX = 3
_REDIRECTS = frozenset((301, 302, 307, 308))
_KEPT_BYTES_MAX = 1 << 16


class Answer(NamedTuple):
    """What came back. `digest`: XXH64 of the body when that was asked for. `text`: a short body that was kept."""

    status: int
    headers: dict[bytes, bytes]
    size: int
    digest: str
    text: bytes


class _Connection(asyncio.Protocol):
    """Parses one answer after the other."""

    def __init__(self) -> None:
        self.is_open = False
        self._waiting: asyncio.Future[Answer] | None = None
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is none by its class
        self.is_open = True

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_open = False
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_exception(Unreachable(f"the connection was closed: {exc or 'by the server'}"))

    def send(self, head: bytes, body: bytes | memoryview, *, hashes: bool, keeps: bool) -> "asyncio.Future[Answer]":
        """One request; the next one after its answer. A body is kept when it is an error's, or with `keeps`."""
        assert self._transport is not None
        self._parser = httptools.HttpResponseParser(self)
        self._headers: dict[bytes, bytes] = {}
        self._size = 0
        self._hasher = xxhash.xxh64() if hashes else None
        self._kept: list[bytes] = []
        self._keeps = keeps
        self._waiting = asyncio.get_running_loop().create_future()
        self._transport.write(head)
        if len(body):
            self._transport.write(body)
        return self._waiting

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            if self._waiting is not None and not self._waiting.done():
                self._waiting.set_exception(Unreachable(f"not an HTTP answer: {error}"))
            self.close()

    def on_headers_complete(self) -> None:
        self._keeps = self._keeps or self._parser.get_status_code() >= 400

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers[name.lower()] = value

    def on_body(self, data: bytes) -> None:
        self._size += len(data)
        if self._hasher is not None:
            self._hasher.update(data)
        if self._keeps and self._size <= _KEPT_BYTES_MAX:
            self._kept.append(data)

    def on_message_complete(self) -> None:
        status = self._parser.get_status_code()
        if status == 100:
            return
        if not self._parser.should_keep_alive():
            self.close()
        if self._waiting is not None and not self._waiting.done():
            digest = self._hasher.hexdigest() if self._hasher is not None else ""
            self._waiting.set_result(Answer(status, self._headers, self._size, digest, b"".join(self._kept)))

    def close(self) -> None:
        """Not to be used again."""
        self.is_open = False
        if self._transport is not None:
            self._transport.close()


class Client:
    """All connections of one process. `lines` are sent with each request (`Name: value` with CRLF)."""

    def __init__(self, lines: bytes = b"", *, tls: ssl.SSLContext | None = None, timeout_s: float = 600.0) -> None:
        self._lines = lines
        self._tls = tls
        self._timeout_s = timeout_s
        self._idle: dict[str, list[_Connection]] = defaultdict(list)

    async def request(
        self,
        method: str,
        url: str,
        *,
        body: bytes | memoryview = b"",
        lines: bytes = b"",
        hashes: bool = False,
        keeps: bool = False,
    ) -> Answer:
        """One request with the redirects it meets. Raise `Unreachable`, `TimeoutError`."""
        answer = await self._once(method, url, body, lines, hashes, keeps)
        for _ in range(REDIRECTS_MAX):
            location = answer.headers.get(b"location")
            if answer.status not in _REDIRECTS or location is None:
                break
            answer = await self._once(method, location.decode(), body, lines, hashes, keeps)
        return answer

    def close(self) -> None:
        """Close all connections."""
        for connections in self._idle.values():
            for connection in connections:
                connection.close()

    async def _once(
        self, method: str, url: str, body: bytes | memoryview, lines: bytes, hashes: bool, keeps: bool
    ) -> Answer:
        scheme, _, rest = url.partition("://")
        host, slash, path = rest.partition("/")
        length = b"Content-Length: %d\r\n" % len(body) if len(body) or method in ("PUT", "POST") else b""
        head = b"%b %b HTTP/1.1\r\nHost: %b\r\n%b%b%b\r\n" % (
            method.encode(),
            (slash + path or "/").encode(),
            host.encode(),
            length,
            self._lines,
            lines,
        )
        idle = self._idle[f"{scheme}://{host}"]
        while True:
            is_fresh = not idle
            connection = await self._connect(scheme, host) if is_fresh else idle.pop()
            if not connection.is_open and not is_fresh:
                continue
            try:
                async with asyncio.timeout(self._timeout_s):
                    answer = await connection.send(head, body, hashes=hashes, keeps=keeps)
            except Unreachable:
                if is_fresh:
                    raise
                continue  # an idle connection that the server has just closed
            except BaseException:
                connection.close()
                raise
            if connection.is_open:
                idle.append(connection)
            return answer

    async def _connect(self, scheme: str, host: str) -> _Connection:
        found = urlsplit(f"//{host}")
        tls = self._tls if scheme == "https" else None
        port = found.port or (443 if tls else 80)
        try:
            _, connection = await asyncio.get_running_loop().create_connection(
                _Connection, found.hostname or "", port, ssl=tls
            )
        except OSError as error:
            raise Unreachable(f"{scheme}://{host} cannot be reached: {error.strerror or error}") from None
        return connection
