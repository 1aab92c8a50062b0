"""HTTP to addresses that clients name: only to where this node may go, decided on the address a name resolves to.

Loopback, link-local, multicast and reserved addresses are refused, private ones unless allowed, for the first request
and for each redirect: else a client could reach through us what only we can reach.
"""

import asyncio
import ipaddress
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any
from urllib.parse import urljoin, urlsplit

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from ais.api.download import shown
from ais.base.errors import AccessDenied, BadRequest, Unreachable

AnyNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network

REDIRECTS_MAX = 5
CONNECT_TIMEOUT_S = 15.0
READ_BUFFER_BYTES = 512 << 10
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_PRIVATE = tuple(map(ipaddress.ip_network, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7")))
_REDIRECTS = (301, 302, 303, 307, 308)
_FOR_ANY_SERVER = ("range", "if-range", "if-none-match", "if-modified-since")


def is_allowed(address: str, *, allow_private: bool, networks: Sequence[AnyNetwork] = ()) -> bool:
    """Whether an IP address is one of the public internet, of `networks`, or private where these are allowed.

    Loopback, link-local and shared addresses are not, unless `networks` has them.
    """
    found = ipaddress.ip_address(address.partition("%")[0])
    if any(found in network for network in networks if network.version == found.version):
        return True
    if isinstance(found, ipaddress.IPv6Address):
        if found.ipv4_mapped is not None:
            found = found.ipv4_mapped
        elif found in _NAT64:
            found = ipaddress.IPv4Address(int(found) & 0xFFFFFFFF)
        elif found.sixtofour is not None or found.teredo is not None:
            return False
    if found.is_global:
        return not found.is_multicast
    return allow_private and any(found in network for network in _PRIVATE if network.version == found.version)


def check_link(url: str) -> str:
    """The host that a link names. Raise `BadRequest` for what is no HTTP URL."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise BadRequest(f'invalid link "{_named(url)}": {error}') from None
    if parts.scheme not in ("http", "https") or not host or port == 0:
        raise BadRequest(f'invalid link "{_named(url)}": expected http:// or https://')
    return host


class _Refused(OSError):
    """The name resolves to an address that is out of bounds."""


class _Resolver(AbstractResolver):
    """A name is looked up by one at a time: the system has few threads for that, which all hosts share."""

    def __init__(self, is_allowed: Callable[[str], bool]) -> None:
        self._is_allowed = is_allowed
        self._looking: dict[tuple[str, int, int], asyncio.Task[Sequence[Any]]] = {}

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        infos = await asyncio.shield(self._looked_up(host, port, family))
        found = []
        for kind, _, proto, _, address in infos:
            if not self._is_allowed(str(address[0])):
                raise _Refused(f"egress blocked: {host} is {address[0]}")
            found.append(
                ResolveResult(
                    hostname=host,
                    host=str(address[0]),
                    port=port,
                    family=kind,
                    proto=proto,
                    flags=socket.AI_NUMERICHOST,
                )
            )
        return found

    async def close(self) -> None:
        pass

    def _looked_up(self, host: str, port: int, family: int) -> "asyncio.Task[Sequence[Any]]":
        key = (host, port, family)
        looking = self._looking.get(key)
        if looking is None:
            loop = asyncio.get_running_loop()

            async def look() -> Sequence[Any]:
                try:
                    return await loop.getaddrinfo(host, port, family=family, type=socket.SOCK_STREAM)
                finally:
                    del self._looking[key]

            looking = self._looking[key] = loop.create_task(look())
            looking.add_done_callback(lambda task: task.cancelled() or task.exception())
        return looking


class Egress:
    """A client. `tls` None: servers are verified as usual; `networks`: may be reached whatever they are."""

    def __init__(
        self, *, allow_private: bool, networks: Sequence[AnyNetwork] = (), tls: ssl.SSLContext | None = None
    ) -> None:
        self.bounds = (allow_private, tuple(networks))
        """What tells where it may go."""
        self._is_allowed = partial(is_allowed, allow_private=allow_private, networks=networks)
        self._tls = tls
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        """Close all connections."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    def check(self, url: str) -> None:
        """Raise `BadRequest` for what is no HTTP URL, `AccessDenied` for an address that is out of bounds."""
        host = check_link(url)
        try:
            if not self._is_allowed(host):
                raise AccessDenied(f"egress blocked: {host}")
        except ValueError:
            return

    @asynccontextmanager
    async def get(self, url: str, headers: dict[str, str], timeout_s: float) -> AsyncIterator[aiohttp.ClientResponse]:
        """GET, redirects followed; `timeout_s` bounds the wait for the head, and for each piece that follows.

        Raise `AccessDenied`, `BadRequest`, `Unreachable`; so does whatever the block reads.
        """
        for _ in range(REDIRECTS_MAX + 1):
            self.check(url)
            try:
                response = await self._opened().request(
                    "GET",
                    URL(url, encoded=True),
                    headers=headers,
                    allow_redirects=False,
                    timeout=aiohttp.ClientTimeout(
                        total=None, sock_connect=min(CONNECT_TIMEOUT_S, timeout_s), sock_read=timeout_s
                    ),
                )
            except (aiohttp.ClientError, OSError, ValueError) as error:
                raise _translated(url, error) from None
            try:
                location = response.headers.get("Location", "")
                if response.status in _REDIRECTS and location:
                    before, url = urlsplit(url), _joined(url, location)
                    after = urlsplit(url)
                    if (before.scheme, before.netloc) != (after.scheme, after.netloc):  # what was for one server only
                        headers = {name: value for name, value in headers.items() if name.lower() in _FOR_ANY_SERVER}
                    continue
                try:
                    yield response
                except (aiohttp.ClientError, OSError) as error:
                    raise _translated(url, error) from None
                return
            finally:
                response.close()
        raise BadRequest(f"{_named(url)}: more than {REDIRECTS_MAX} redirects")

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(
                    limit=0,
                    resolver=_Resolver(self._is_allowed),
                    use_dns_cache=False,
                    ssl=self._tls or True,
                ),
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                skip_auto_headers=("Accept-Encoding",),
                read_bufsize=READ_BUFFER_BYTES,
            )
        return self._session


def _joined(url: str, location: str) -> str:
    """Where a server sends us on. Raise `BadRequest`."""
    try:
        return urljoin(url, location)
    except ValueError:
        raise BadRequest(f"{_named(url)}: its server sends us on to what is no link") from None


def _named(url: str) -> str:
    """A link as messages have it, which others read than who gave it: nothing of it may be secret."""
    try:
        return shown(url)[:200]
    except ValueError:
        return url.partition("?")[0].rpartition("@")[2][:200]


def _translated(url: str, error: Exception) -> AccessDenied | Unreachable | BadRequest:
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, _Refused):
            return AccessDenied(str(cause))
        cause = cause.__cause__ or cause.__context__
    if isinstance(error, ValueError) and not isinstance(error, aiohttp.ClientError | OSError):
        return BadRequest(f'invalid link "{_named(url)}": {type(error).__name__}')
    return Unreachable(f"{_named(url)} cannot be reached: {_reason(error)}")


def _reason(error: Exception) -> str:
    """Why; errors about a URL say all of it."""
    return type(error).__name__ if isinstance(error, aiohttp.InvalidURL) else str(error) or type(error).__name__
