"""One request to the cluster: redirects followed, connection failures retried, error answers raised as our errors.

A gateway does not take an object's content, it names the target that does. So the gateway is first asked with an empty
body, and the content is sent to where that redirects. No byte travels twice, and the gateway's connection stays open.
"""

import asyncio
import contextlib
import os
import ssl
import time
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Self
from urllib.parse import quote, urljoin

import aiohttp
from multidict import CIMultiDict
from yarl import URL

from ais.api import headers as header
from ais.api.errors import decode_error
from ais.auth import signing
from ais.base.errors import AisError, BadRequest, Unreachable
from ais.base.files import Stamp, stamp
from ais.client.body import Body, Meter, OnBytes, ignore_bytes
from ais.client.failures import NoConnection
from ais.config.environment import ClientEnvironment

DEFAULT_ENDPOINT = "http://127.0.0.1:8080"
LOCAL = "unix:"
"""How the endpoint begins that is the path of a gateway's Unix socket."""
_OF_SOCKET = "http://localhost"
REDIRECTS_MAX = 5
RETRY_DELAY_S = 0.1
RETRY_FACTOR = 1.5
RETRY_DELAY_S_MAX = 4.0
CONNECT_TIMEOUT_S = 5.0
ERROR_BODY_BYTES_MAX = 64 * 1024
_READ_BUFFER_BYTES = 256 * 1024
_REDIRECTS = (301, 302, 307, 308)

_NONE: Mapping[str, str] = MappingProxyType({})
Headers = Mapping[str, str] | CIMultiDict[str]


class Transport:
    """An HTTP session with one cluster. An asynchronous context manager; connections are opened on demand."""

    def __init__(
        self,
        endpoint: str,
        environment: ClientEnvironment,
        *,
        timeout_s: float,
        connect_timeout_s: float,
        retries: int,
        connections: int,
    ) -> None:
        """`timeout_s` bounds the silence between two reads; `retries` counts attempts after the first."""
        self.endpoint = normalise_endpoint(endpoint)
        self._socket = self.endpoint.removeprefix(LOCAL) if self.endpoint.startswith(LOCAL) else ""
        self._base = _OF_SOCKET if self._socket else self.endpoint
        self._environment = environment
        self._timeout_s, self._connect_timeout_s = timeout_s, connect_timeout_s
        self.retries = retries
        self._connections = connections
        self._session: aiohttp.ClientSession | None = None
        self._local: aiohttp.ClientSession | None = None
        """To the Unix socket, where that is the endpoint; redirects lead elsewhere."""
        self._token = ""
        self._token_stamp: Stamp = ()

    async def __aenter__(self) -> Self:
        self._token = self._read_token()
        is_secure = self.endpoint.startswith("https://") or bool(self._socket)
        tls = tls_context(self._environment) if is_secure else True
        self._session = self._session_by(aiohttp.TCPConnector(limit=self._connections, ssl=tls))
        if self._socket:
            self._local = self._session_by(aiohttp.UnixConnector(self._socket, limit=self._connections))
        return self

    def _session_by(self, connector: aiohttp.BaseConnector) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(
            connector=connector,
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=self._connect_timeout_s, sock_read=self._timeout_s),
            headers={"Accept-Encoding": "identity", "User-Agent": "ais/python-native"},
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            read_bufsize=_READ_BUFFER_BYTES,
        )

    async def __aexit__(self, kind: type[BaseException] | None, value: object, traceback: TracebackType | None) -> None:
        for session in (self._local, self._session):
            if session is not None:
                await session.close()
        # aiohttp closes TLS connections in callbacks that need a turn of the loop each.
        await asyncio.sleep(0)

    @contextlib.asynccontextmanager
    async def open(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] = _NONE,
        *,
        headers: Headers = _NONE,
        json: bytes | None = None,
        body: Body | None = None,
        on_bytes: OnBytes = ignore_bytes,
        repeatable: bool | None = None,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """Send a request and give its successful (2xx) answer, whose content the caller reads inside the context.

        `path` is percent-encoded already, or a whole URL. `json` is a control message, `body` an object's content.
        `repeatable` says that doing it twice does no harm, so that a lost answer is asked for again; by default GET and
        HEAD are. A refused connection is always tried again. Raise what the node answered, or `Unreachable`.
        """
        url = path if "://" in path else self._base + path
        if query:
            url += "?" + "&".join(f"{quote(name)}={quote(value, safe='')}" for name, value in query.items())
        is_repeatable = method in ("GET", "HEAD") if repeatable is None else repeatable
        response = await self._retrying(method, url, headers, json, body, on_bytes, is_repeatable)
        try:
            yield response
        except (aiohttp.ClientError, TimeoutError) as error:
            raise _unreachable(self._origin(url), error) from error
        finally:
            # An answer read to its end gives its connection back; any other closes it.
            response.release()

    async def call(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] = _NONE,
        *,
        headers: Headers = _NONE,
        json: bytes | None = None,
        repeatable: bool | None = None,
    ) -> tuple[aiohttp.ClientResponse, bytes]:
        """A control request; its answer and the answer's whole body. Raise as `open` does."""
        async with self.open(method, path, query, headers=headers, json=json, repeatable=repeatable) as response:
            return response, await response.read()

    async def _retrying(
        self,
        method: str,
        url: str,
        headers: Headers,
        json: bytes | None,
        body: Body | None,
        on_bytes: OnBytes,
        is_repeatable: bool,
    ) -> aiohttp.ClientResponse:
        delay_s = RETRY_DELAY_S
        for attempt in range(self.retries + 1):
            meter = Meter(on_bytes)
            try:
                return await self._following(method, url, headers, json, body, meter)
            except (aiohttp.ClientError, TimeoutError) as error:
                if (cause := _own_cause(error)) is not None:
                    raise cause from error
                is_harmless = is_repeatable or isinstance(error, aiohttp.ClientConnectorError)
                can_resend = body is None or body.is_replayable
                if attempt == self.retries or not (is_harmless and can_resend and _is_passing(error)):
                    raise _unreachable(self._origin(url), error) from error
            meter.take_back()
            await asyncio.sleep(delay_s)
            delay_s = min(delay_s * RETRY_FACTOR, RETRY_DELAY_S_MAX)
        raise AssertionError("the last attempt returns or raises")

    async def _following(
        self, method: str, url: str, headers: Headers, json: bytes | None, body: Body | None, meter: Meter
    ) -> aiohttp.ClientResponse:
        """Send, and follow redirects; the first address is asked with an empty body whether it redirects."""
        is_probe = body is not None and body.size != 0
        for _ in range(REDIRECTS_MAX):
            response = await self._send(method, url, headers, json, None if is_probe else body, meter)
            if response.status in _REDIRECTS and (location := response.headers.get("Location")):
                response.release()
                meter.take_back()
                is_probe = False
                url = urljoin(url, location)
                continue
            if response.status >= 400:
                raise await _error_of(response, method)
            if not is_probe:
                return response
            response.release()
            is_probe = False
        raise Unreachable(f"{url} redirects more than {REDIRECTS_MAX} times")

    async def _send(
        self, method: str, url: str, headers: Headers, json: bytes | None, body: Body | None, meter: Meter
    ) -> aiohttp.ClientResponse:
        assert self._session is not None, "the client is an asynchronous context manager: use 'async with'"
        sent = CIMultiDict(headers)
        data: bytes | AsyncIterator[bytes] | None = json
        if json is not None:
            sent["Content-Type"] = "application/json"
        elif method == "PUT":
            sent["Content-Type"] = "application/octet-stream"
            if body is not None and body.size != 0:
                data = body.open(meter)
                if body.size is not None:
                    sent["Content-Length"] = str(body.size)
        self._renew_token()
        if self._token:
            sent["Authorization"] = f"Bearer {self._token}"
        is_ours = url.startswith(self._base + "/")
        if is_ours and self._environment.key_id and not self._token and not self._socket:
            signed = (json or b"") if data is json else None
            sent.update(self._signature(method, url, signed))
        session = self._local if is_ours and self._local is not None else self._session
        return await session.request(method, URL(url, encoded=True), headers=sent, data=data, allow_redirects=False)

    def _origin(self, url: str) -> str:
        return self.endpoint if url.startswith(self._base + "/") else str(URL(url, encoded=True).origin())

    def _signature(self, method: str, url: str, json: bytes | None) -> dict[str, str]:
        key, secret = self._environment.key_id, self._environment.key_secret
        host, _, target = url.partition("://")[2].partition("/")
        return signing.lines_of(method, host, f"/{target}", json, key_id=key, secret=secret, now_s=time.time())

    def _renew_token(self) -> None:
        """Take what the token's file has now; while that cannot be read the token before is used."""
        path = self._environment.token_file
        if path and not self._environment.token and stamp(path) != self._token_stamp:
            with contextlib.suppress(BadRequest):
                self._token = self._read_token() or self._token

    def _read_token(self) -> str:
        token, path = self._environment.token, self._environment.token_file
        if not token and path:
            self._token_stamp = stamp(path)
            try:
                token = Path(path).read_text("utf-8").strip()
            except (OSError, UnicodeDecodeError) as error:
                raise BadRequest(f"cannot read the token file {path} of AIS_AUTHN_TOKEN_FILE: {error}") from None
        return token


def tls_context(environment: ClientEnvironment) -> ssl.SSLContext:
    """How servers are verified, and what the client shows them. Raise `BadRequest` when a file cannot be used."""
    try:
        context = ssl.create_default_context(cafile=environment.ca or None)
        if environment.certificate:
            context.load_cert_chain(environment.certificate, environment.certificate_key or None)
    except (OSError, ssl.SSLError) as error:
        raise BadRequest(f"cannot load the TLS certificates of AIS_CLIENT_CA, AIS_CRT, AIS_CRT_KEY: {error}") from error
    if environment.skip_verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def normalise_endpoint(text: str) -> str:
    """`scheme://host:port` of an endpoint, or `unix:PATH`; `http` is implied. Raise `BadRequest`."""
    url = text.strip() or DEFAULT_ENDPOINT
    if url.startswith(LOCAL) and len(url) > len(LOCAL):
        return url
    if "://" not in url:
        url = "http://" + url
    url = url.rstrip("/")
    try:
        parsed = URL(url)
        is_valid = parsed.scheme in ("http", "https") and bool(parsed.host) and parsed.path in ("", "/")
    except ValueError:
        is_valid = False
    if not is_valid:
        raise BadRequest(f'invalid endpoint "{text}": write it like http://127.0.0.1:8080')
    return url


async def _error_of(response: aiohttp.ClientResponse, method: str) -> AisError:
    url = str(response.url.with_query(None))
    if method == "HEAD":
        body = response.headers.get(header.ERROR, "").encode()
    else:
        body = await response.content.read(ERROR_BODY_BYTES_MAX)
    response.release()
    return decode_error(response.status, body, url)


def _own_cause(error: BaseException) -> AisError | None:
    """Our error that made aiohttp give up, such as a file that cannot be read."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, AisError):
        cause = cause.__cause__
    return cause


def _is_passing(error: BaseException) -> bool:
    """Whether trying again may help: a bad certificate or address stays bad."""
    return not isinstance(
        error,
        aiohttp.ClientSSLError | aiohttp.InvalidURL | aiohttp.ClientConnectorDNSError | aiohttp.ClientResponseError,
    )


def _unreachable(origin: str, error: BaseException) -> Unreachable:
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return Unreachable(f"{origin} has a TLS certificate that cannot be verified: {error.certificate_error}")
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return Unreachable(f"cannot resolve the host name of {origin}")
    if isinstance(error, aiohttp.ClientConnectorError):
        reason = os.strerror(error.os_error.errno) if error.os_error.errno else str(error.os_error)
        return NoConnection(origin, reason.lower())
    if isinstance(error, TimeoutError):
        return Unreachable(f"{origin} did not answer in time")
    return Unreachable(f"lost the connection to {origin}: {error or type(error).__name__}")
