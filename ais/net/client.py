"""Calls from node to node: one HTTP session per process, errors translated, redirects not followed."""

import asyncio
import os
import ssl
from collections.abc import AsyncIterator, Mapping

import aiohttp
from yarl import URL

from ais.base.errors import Unreachable
from ais.env.network import Answer

CONNECTIONS_PER_PEER_MAX = 64
CONNECT_TIMEOUT_S = 5.0
KEEPALIVE_S = 60.0
SEND_BYTES = 1 << 20


class PeerClient:
    """The real `ais.env.network.Network`. Make it before the loop runs if you like; `close` it inside the loop."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self._tls = tls
        self._open_session: aiohttp.ClientSession | None = None

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
        return await self._request(method, url, query, headers, body, timeout_s)

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
        """PUT `length` bytes of an open file, read in a thread; the descriptor stays the caller's.

        Raise `Unreachable` when no answer came within `timeout_s`.
        """
        framed = {**(headers or {}), "Content-Length": str(length)}
        return await self._request("PUT", url, query, framed, _read(fd, offset, length), timeout_s)

    async def close(self) -> None:
        """Close all connections."""
        if self._open_session is not None:
            await self._open_session.close()
            self._open_session = None

    async def _request(
        self,
        method: str,
        url: str,
        query: Mapping[str, str] | None,
        headers: Mapping[str, str] | None,
        body: "bytes | AsyncIterator[bytes]",
        timeout_s: float,
    ) -> Answer:
        target = URL(url, encoded=True)
        if query:
            target = target.update_query(query)
        try:
            async with (
                asyncio.timeout(timeout_s),
                self._session().request(
                    method, target, headers=headers, data=body or None, allow_redirects=False, ssl=self._tls or True
                ) as response,
            ):
                answer = await response.read()
                return Answer(response.status, {k.lower(): v for k, v in response.headers.items()}, answer)
        except TimeoutError:
            raise Unreachable(f"{url} did not answer within {timeout_s:g} s") from None
        except (aiohttp.ClientError, OSError) as error:
            raise Unreachable(f"{url} cannot be reached: {error}") from None

    def _session(self) -> aiohttp.ClientSession:
        if self._open_session is None:
            self._open_session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(
                    limit=0, limit_per_host=CONNECTIONS_PER_PEER_MAX, keepalive_timeout=KEEPALIVE_S
                ),
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_TIMEOUT_S),
                auto_decompress=False,
            )
        return self._open_session


async def _read(fd: int, offset: int, length: int) -> AsyncIterator[bytes]:
    end = offset + length
    while offset < end:
        chunk = await asyncio.to_thread(os.pread, fd, min(SEND_BYTES, end - offset), offset)
        if not chunk:
            raise OSError("file is shorter than announced")
        yield chunk
        offset += len(chunk)
