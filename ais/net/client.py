"""Calls from node to node: control messages, files, streams. Failures become `Unreachable`.

Questions take few steps (`ais.net.asking`), all else goes over aiohttp. Files and streams have connections of their
own, which a slow client may hold for long: control messages do not wait for them.
"""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from typing import NamedTuple
from urllib.parse import urlencode

import aiohttp
from yarl import URL

from ais.base.errors import DiskFailure, Unreachable
from ais.env.network import Answer
from ais.net.asking import CONNECT_TIMEOUT_S, CONNECTIONS_PER_PEER_MAX, KEEPALIVE_S, Asking, NotPlain
from ais.net.sending import read_cached, read_fully

TRANSFERS_PER_PEER_MAX = 1024
"""Connections for files and streams; they end when whoever takes them, or gives them, comes to the end."""
SIGNED_ASIDE_BYTES = 1 << 20
"""A body of so many bytes is hashed beside the event loop."""
SEND_BYTES = 256 << 10


Session = Callable[[], aiohttp.ClientSession]
"""Gives the one to use. Raise `Unreachable` when this node is stopping."""
Sign = Callable[[str, str, bytes | None], dict[str, str]]


class Incoming(NamedTuple):
    """An answer whose body is read as it comes."""

    status: int
    headers: dict[str, str]
    chunks: AsyncIterator[bytes]


class PeerClient:
    """The real `ais.env.network.Network`. Make it before the loop runs if you like; `close` it inside the loop."""

    def __init__(self, tls: ssl.SSLContext | None = None, sign: Sign | None = None) -> None:
        """`sign` gives header lines for a method, URL, and body (None: it is streamed)."""
        self.tls = tls
        """For connections from now on."""
        self._sign = sign
        self._calls: aiohttp.ClientSession | None = None
        self._transfers: aiohttp.ClientSession | None = None
        self._asking = Asking()
        self._is_closed = False

    async def call(
        self,
        method: str,
        url: str,
        *,
        query: dict[str, str] | None = None,
        headers: dict[str, str] | None = None,
        body: bytes = b"",
        timeout_s: float,
    ) -> Answer:
        """One request, its whole answer in memory. Raise `Unreachable` when none came within `timeout_s`."""
        if method == "GET" and len(body) < SIGNED_ASIDE_BYTES:
            with contextlib.suppress(NotPlain), _translated(url, timeout_s):
                async with asyncio.timeout(timeout_s):
                    return await self._get(_with_query(url, query), headers or {}, body)
        return await self._exchange(self._for_calls, method, url, query, headers, body, timeout_s)

    async def _get(self, url: str, headers: dict[str, str], body: bytes) -> Answer:
        """The same of a question that is asked in few steps. Raise `OSError`, `NotPlain`."""
        for is_again in (False, True):  # an idle connection may have been closed meanwhile
            self._require_open()
            signed = {**headers, **self._sign("GET", url, body)} if self._sign is not None else headers
            try:
                return await self._asking.get(url, signed, body, self.tls, is_again=is_again)
            except OSError:
                if is_again:
                    raise
        raise AssertionError

    async def send_file(
        self,
        url: str,
        *,
        query: dict[str, str] | None = None,
        headers: dict[str, str] | None = None,
        fd: int,
        offset: int,
        length: int,
        timeout_s: float,
    ) -> Answer:
        """PUT `length` bytes of an open file; the descriptor stays the caller's.

        Raise `Unreachable` when no answer came within `timeout_s`, `DiskFailure` when the file cannot be read.
        """
        framed = {**(headers or {}), "Content-Length": str(length)}
        content = _read(fd, offset, length)
        return await self._exchange(self._for_transfers, "PUT", url, query, framed, content, timeout_s)

    async def send_stream(
        self, url: str, *, headers: dict[str, str], chunks: AsyncIterator[bytes], timeout_s: float
    ) -> Answer:
        """PUT a body of unknown length, beginning when the peer says that it wants it.

        `timeout_s` bounds what the peer takes for one chunk, and for its answer; not what `chunks` takes to give one.
        The peer may answer before it has read everything. Raise `Unreachable`, and what `chunks` raises.
        """
        if self._sign is not None:
            headers = {**headers, **self._sign("PUT", url, None)}
        with _translated(url, timeout_s):
            async with asyncio.timeout(timeout_s) as deadline:
                request = self._for_transfers().request(
                    "PUT",
                    URL(url, encoded=True),
                    headers=headers,
                    data=_paced(chunks, deadline, timeout_s),
                    ssl=self.tls or True,
                    expect100=True,
                    allow_redirects=False,
                )
                async with request as response:
                    return Answer(response.status, _flatten(response), await response.read())

    @asynccontextmanager
    async def open_stream(
        self,
        method: str,
        url: str,
        *,
        query: dict[str, str] | None = None,
        headers: dict[str, str] | None = None,
        body: bytes = b"",
        timeout_s: float,
    ) -> AsyncIterator[Incoming]:
        """One request whose answer is read chunk by chunk inside the `async with`.

        `timeout_s` bounds the time to the head and each wait for a chunk. Raise `Unreachable`; so do the chunks.
        """
        with _translated(url, timeout_s):
            async with asyncio.timeout(timeout_s):
                context = await self._request(self._for_transfers, method, url, query, headers, body)
                response = await context.__aenter__()
        try:
            yield Incoming(response.status, _flatten(response), _chunks_of(response, url, timeout_s))
        finally:
            response.close()

    async def close(self) -> None:
        """Close all connections; whoever still asks finds every peer unreachable."""
        self._is_closed = True
        self._asking.close()
        sessions, self._calls, self._transfers = (self._calls, self._transfers), None, None
        for session in sessions:
            if session is not None:
                await session.close()

    async def _exchange(
        self,
        session: Session,
        method: str,
        url: str,
        query: dict[str, str] | None,
        headers: dict[str, str] | None,
        body: bytes | AsyncIterator[bytes],
        timeout_s: float,
    ) -> Answer:
        with _translated(url, timeout_s):
            async with asyncio.timeout(timeout_s):
                # An idle connection may have been closed meanwhile. A change is not sent again: it may have happened.
                is_last = method != "GET"
                while True:
                    try:
                        async with await self._request(session, method, url, query, headers, body) as response:
                            return Answer(response.status, _flatten(response), await response.read())
                    except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError):
                        if is_last:
                            raise
                        is_last = True

    async def _request(
        self,
        session: Session,
        method: str,
        url: str,
        query: dict[str, str] | None,
        headers: dict[str, str] | None,
        body: bytes | AsyncIterator[bytes],
    ) -> AbstractAsyncContextManager[aiohttp.ClientResponse]:
        target = _with_query(url, query)
        if self._sign is not None:
            is_long = isinstance(body, bytes) and len(body) >= SIGNED_ASIDE_BYTES
            what = method, target, body if isinstance(body, bytes) else None
            signed = await asyncio.to_thread(self._sign, *what) if is_long else self._sign(*what)
            headers = {**(headers or {}), **signed}
        return session().request(
            method,
            URL(target, encoded=True),
            headers=headers,
            data=body or None,
            ssl=self.tls or True,
            allow_redirects=False,
        )

    def _for_calls(self) -> aiohttp.ClientSession:
        self._require_open()
        self._calls = self._calls or _session(CONNECTIONS_PER_PEER_MAX)
        return self._calls

    def _for_transfers(self) -> aiohttp.ClientSession:
        self._require_open()
        self._transfers = self._transfers or _session(TRANSFERS_PER_PEER_MAX)
        return self._transfers

    def _require_open(self) -> None:
        if self._is_closed:
            raise Unreachable("this node is stopping: it asks nobody any more")


def _session(connections_per_peer_max: int) -> aiohttp.ClientSession:
    session = aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(
            limit=0,
            limit_per_host=connections_per_peer_max,
            keepalive_timeout=KEEPALIVE_S,
        ),
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_TIMEOUT_S),
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        skip_auto_headers=("Accept-Encoding",),
    )
    # By itself aiohttp sends PUT and DELETE again when a kept connection breaks, after the peer acted too; and with a
    # signature that was used.
    session._retry_connection = False
    return session


@contextmanager
def _translated(url: str, timeout_s: float) -> Iterator[None]:
    """HTTP and socket failures as `Unreachable`; a file that failed under us as what it is."""
    try:
        yield
    except TimeoutError:
        raise Unreachable(f"{url} did not answer within {timeout_s:g} s") from None
    except (aiohttp.ClientError, OSError) as error:
        cause: BaseException | None = error
        while cause is not None and not isinstance(cause, DiskFailure):
            cause = cause.__cause__
        raise cause or Unreachable(f"{url} cannot be reached: {error}") from None


def _with_query(url: str, query: dict[str, str] | None) -> str:
    return f"{url}{'&' if '?' in url else '?'}{urlencode(query)}" if query else url


def _flatten(response: aiohttp.ClientResponse) -> dict[str, str]:
    """Headers by lower-case name; repeated ones joined by a comma and a space."""
    found: dict[str, str] = {}
    for name, value in response.headers.items():
        key = name.lower()
        found[key] = f"{found[key]}, {value}" if key in found else value
    return found


async def _chunks_of(response: aiohttp.ClientResponse, url: str, timeout_s: float) -> AsyncIterator[bytes]:
    while True:
        with _translated(url, timeout_s):
            async with asyncio.timeout(timeout_s):
                chunk = await response.content.readany()
        if not chunk:
            return
        yield chunk


async def _paced(chunks: AsyncIterator[bytes], deadline: asyncio.Timeout, timeout_s: float) -> AsyncIterator[bytes]:
    """`chunks`, with the clock stopped while we wait for them."""
    now = asyncio.get_running_loop().time
    deadline.reschedule(None)
    async for chunk in chunks:
        deadline.reschedule(now() + timeout_s)
        yield chunk
        deadline.reschedule(None)
    deadline.reschedule(now() + timeout_s)


async def _read(fd: int, offset: int, length: int) -> AsyncIterator[bytes]:
    """The file in pieces: from the page cache at once, otherwise read by a thread."""
    buffer = memoryview(bytearray(min(length, SEND_BYTES)))
    end = offset + length
    while offset < end:
        piece = buffer[: end - offset]
        if read_cached(fd, piece, offset):
            chunk = bytes(piece)
        else:
            try:
                chunk = await asyncio.to_thread(read_fully, fd, offset, len(piece))
            except (OSError, EOFError) as error:
                raise DiskFailure(f"cannot read the file to send: {error}") from None
        offset += len(chunk)
        yield chunk
