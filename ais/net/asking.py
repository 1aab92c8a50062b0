"""Questions to other nodes over kept connections: GETs with an answer of known length, in few steps.

A general client does for each request what only some need; of a question that is answered in a tenth of a millisecond
that is most of the time. What is not as plain as the answers of our nodes is refused (`NotPlain`), for the general
client to ask again: a GET may be sent twice.
"""

import asyncio
import ssl
from collections.abc import Mapping
from typing import NamedTuple, cast
from urllib.parse import urlsplit

from ais.base.errors import Unreachable
from ais.env.network import Answer
from ais.net.relayed_head import parse_answer_head

CONNECTIONS_PER_PEER_MAX = 64
"""Beyond that, questions are not plain."""
CONNECT_TIMEOUT_S = 5.0
KEEPALIVE_S = 60.0
"""Shorter than servers keep idle connections, so that a question seldom meets one that is being closed."""
HEAD_BYTES_MAX = 64 << 10
_Key = tuple[str, ssl.SSLContext | None]
"""The start of a URL, and how its certificate is verified."""


class NotPlain(Exception):
    """The general client has to ask."""


class _Head(NamedTuple):
    """Of an answer; where its body begins and where it ends."""

    status: int
    headers: dict[str, str]
    begin: int
    end: int
    keeps_alive: bool


class _Connection(asyncio.Protocol):
    """One question at a time."""

    def __init__(self, of_peer: "set[_Connection]") -> None:
        self._of_peer = of_peer
        of_peer.add(self)
        self._transport: asyncio.Transport | None = None
        self._answer: asyncio.Future[Answer] | None = None
        self._received = bytearray()
        self._head: _Head | None = None
        self.used_at = 0.0
        self.is_open = True

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """It can be used."""
        self._transport = cast(asyncio.Transport, transport)

    def ask(self, question: bytes) -> "asyncio.Future[Answer]":
        """Send; what comes of it. It fails with `OSError` or `NotPlain`, and then the connection is closed."""
        assert self._transport is not None
        self._received.clear()
        self._head = None
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(question)
        return self._answer

    def data_received(self, data: bytes) -> None:
        """Part of an answer; without a question nobody knows of what."""
        answer = self._answer
        if answer is None or answer.done():
            self.close()
            return
        self._received += data
        if self._head is None:
            try:
                self._head = _head_of(self._received)
            except NotPlain as error:
                self._end(error)
                return
        head = self._head
        if head is not None and len(self._received) >= head.end:
            if len(self._received) > head.end or not head.keeps_alive:
                self.close()
            self._answer = None
            body = bytes(memoryview(self._received)[head.begin : head.end])
            answer.set_result(Answer(head.status, head.headers, body))

    def connection_lost(self, exc: Exception | None) -> None:
        """The peer, or we, closed it."""
        self._end(ConnectionResetError(f"the connection was closed ({exc})" if exc else "the connection was closed"))

    def close(self) -> None:
        """At once."""
        self.is_open = False
        self._of_peer.discard(self)
        if self._transport is not None:
            self._transport.abort()

    def _end(self, error: Exception) -> None:
        self.close()
        answer, self._answer = self._answer, None
        if answer is not None and not answer.done():
            answer.set_exception(error)


class Asking:
    """The connections of one node to all others. Close it inside the loop."""

    def __init__(self) -> None:
        self._idle: dict[_Key, list[_Connection]] = {}
        """The one used last at the end."""
        self._open: dict[_Key, set[_Connection]] = {}

    async def get(
        self, url: str, headers: Mapping[str, str], body: bytes, tls: ssl.SSLContext | None, *, is_again: bool
    ) -> Answer:
        """The answer to a GET. `is_again`: over a new connection. Raise `OSError`, `NotPlain`."""
        start, question = _question(url, headers, body)
        key = start, tls
        connection = None if is_again else self._take(key)
        if connection is None:
            connection = await self._connect(key)
        try:
            answer = await connection.ask(question)
        except asyncio.CancelledError:
            connection.close()  # an answer may still come
            raise
        if connection.is_open:
            connection.used_at = asyncio.get_running_loop().time()
            self._idle.setdefault(key, []).append(connection)
        return answer

    def close(self) -> None:
        """Every connection; whoever waits for an answer gets none."""
        for connections in self._open.values():
            for connection in tuple(connections):
                connection.close()
        self._idle.clear()
        self._open.clear()

    def _take(self, key: _Key) -> _Connection | None:
        """One that is open and was not idle for long."""
        idle, soonest = self._idle.get(key, []), asyncio.get_running_loop().time() - KEEPALIVE_S
        while idle:
            connection = idle.pop()
            if connection.is_open and connection.used_at >= soonest:
                return connection
            connection.close()
        return None

    async def _connect(self, key: _Key) -> _Connection:
        parts, loop = urlsplit(key[0]), asyncio.get_running_loop()
        opened = self._open.setdefault(key, set())
        if len(opened) >= CONNECTIONS_PER_PEER_MAX:
            raise NotPlain("there are too many questions")
        is_tls = parts.scheme == "https"
        connection = _Connection(opened)
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                await loop.create_connection(
                    lambda: connection,
                    parts.hostname or "",
                    parts.port or (443 if is_tls else 80),
                    ssl=(key[1] or True) if is_tls else None,
                )
        except BaseException:
            connection.close()
            raise
        return connection


def _question(url: str, headers: Mapping[str, str], body: bytes) -> tuple[str, bytes]:
    """The start of a URL, and the request. Raise `NotPlain`."""
    at = url.find("/", url.find("://") + 3)
    start, target = (url[:at], url[at:]) if at >= 0 else (url, "/")
    length = f"Content-Length: {len(body)}\r\n" if body else ""
    lines = "".join([f"{name}: {value}\r\n" for name, value in headers.items()])
    netloc = start[start.find("://") + 3 :]
    head = f"GET {target} HTTP/1.1\r\nHost: {netloc}\r\n{lines}{length}\r\n"
    if not head.isascii() or " " in target or "@" in netloc or head.count("\n") != len(headers) + 3 + bool(body):
        raise NotPlain(url)
    return start, head.encode() + body


def _head_of(received: bytearray) -> _Head | None:
    """None when more is to come. Raise `NotPlain`."""
    end = received.find(b"\r\n\r\n")
    if end < 0:
        if len(received) > HEAD_BYTES_MAX:
            raise NotPlain("the head is too large")
        return None
    head = bytes(received[: end + 2])
    try:
        said = parse_answer_head(head)
    except Unreachable as error:
        raise NotPlain(str(error)) from None
    is_plain = head.startswith(b"HTTP/1.1") and not said.is_chunked and said.status >= 200
    if not is_plain or said.content_length is None or said.status in (204, 304):
        raise NotPlain(f"an answer of status {said.status}")
    headers = dict[str, str]()
    for line in head.decode("latin-1").split("\r\n")[1:-1]:
        name, _, value = line.partition(":")
        key, value = name.lower(), value.strip()
        headers[key] = f"{headers[key]}, {value}" if key in headers else value
    begin = end + 4
    return _Head(said.status, headers, begin, begin + said.content_length, said.keeps_alive)
