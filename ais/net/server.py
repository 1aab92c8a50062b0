"""The HTTP server of a node: listeners, the sweep, draining. Connections do the work (`ais.net.connection`)."""

import asyncio
import socket
import ssl
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from aiohttp import web

from ais.net.connection import Connection
from ais.net.handover import serve_application
from ais.net.handshakes import TlsListener
from ais.net.http import Network, OnError, Retry, Route, no_retry
from ais.net.hub import Hub, Limits
from ais.net.memory import Memory
from ais.net.upstream import Dial, Upstreams

__all__ = ["HttpServer", "Limits"]

TLS_SHUTDOWN_S = 1.0
"""How long a closed TLS connection waits for the client's goodbye: an idle client never reads ours."""
BACKLOG = 4096
MEMORY_BYTES_MAX, MEMORY_WAIT_S = 256 << 20, 10.0
COLD_READERS = 4


def listening(host: str, port: int, *, reuse_port: bool = False) -> list[socket.socket]:
    """Sockets that listen on all addresses of a host. Raise `OSError`; nothing stays open then."""
    sockets: list[socket.socket] = []
    try:
        found = socket.getaddrinfo(host, int(port), type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        for family, _, _, _, address in dict.fromkeys(found):
            sock = socket.socket(family, socket.SOCK_STREAM)
            sockets.append(sock)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if reuse_port:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            if family == socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            sock.bind(address)
            sock.listen(BACKLOG)
    except OSError:
        for sock in sockets:
            sock.close()
        raise
    return sockets


class HttpServer:
    """Serves `route`, and `app` for what `route` hands over, on one or more addresses of one set of networks.

    `route` may raise; `on_error` makes a reply of what it (or a sink, or a stream) raised, and is the place to log it,
    unless `retry` asks it again.
    An application belongs to one server: its start-up and clean-up hooks run with it. `upstream_tls` says whom to trust
    when requests are forwarded to `https` addresses, `dial` connects to addresses that are not of the network. Servers
    of one node share `memory`, the budget for bodies that are kept.
    """

    def __init__(
        self,
        route: Route,
        app: web.Application | None,
        on_error: OnError,
        limits: Limits | None = None,
        networks: Network = Network.PUBLIC,
        upstream_tls: ssl.SSLContext | None = None,
        dial: Dial = lambda _url: None,
        memory: Memory | None = None,
        retry: Retry = no_retry,
    ) -> None:
        self._route = route
        self._app = app
        self._on_error = on_error
        self._retry = retry
        self._limits = limits or Limits()
        self._networks = networks
        self._upstream_tls = upstream_tls
        self._dial = dial
        self._memory = memory or Memory(MEMORY_BYTES_MAX, MEMORY_WAIT_S)
        self._hub: Hub | None = None
        self._upstreams: Upstreams | None = None
        self._runner: web.AppRunner | None = None
        self._listeners: list[asyncio.Server | TlsListener] = []
        self._sweeping: asyncio.TimerHandle | None = None
        self._cold_pool = ThreadPoolExecutor(COLD_READERS, "ais-cold-read")

    async def start(self, host: str, port: int, tls: ssl.SSLContext | None = None, *, reuse_port: bool = False) -> int:
        """Listen on an address; port 0 takes a free one. Return the port. Raise `OSError` when it is taken."""
        hub, upstreams = await self._started()
        if tls is not None:
            sockets = listening(host, port, reuse_port=reuse_port)
            self._listeners.append(TlsListener(sockets, lambda one: self.take(one, tls), self._limits.handshakes))
            return int(sockets[0].getsockname()[1])
        listener = await hub.loop.create_server(
            lambda: Connection(hub, upstreams), host, port, backlog=BACKLOG, reuse_port=reuse_port or None
        )
        self._listeners.append(listener)
        return int(listener.sockets[0].getsockname()[1])

    async def start_local(self, sock: socket.socket) -> None:
        """Serve on a Unix socket that listens."""
        hub, upstreams = await self._started()
        self._listeners.append(await hub.loop.create_unix_server(lambda: Connection(hub, upstreams), sock=sock))

    def use_upstream_tls(self, tls: ssl.SSLContext) -> None:
        """Connect to other nodes with this one from now on."""
        self._upstream_tls = tls
        if self._upstreams is not None:
            self._upstreams.tls = tls

    def limit(self, limits: Limits) -> None:
        """Keep these bounds from now on, for connections that are open too; sizes of buffers stay as they are."""
        self._limits = limits
        if self._hub is not None:
            self._hub.limits = limits
        for listener in self._listeners:
            if isinstance(listener, TlsListener):
                listener.handshakes.limits = limits.handshakes

    async def take(
        self, sock: socket.socket, tls: ssl.SSLContext | None = None, gone: Callable[[], None] = lambda: None
    ) -> None:
        """Serve a connection that somebody else accepted; `gone` is called at its end. Raise `OSError`."""
        hub, upstreams = await self._started()
        try:
            await hub.loop.connect_accepted_socket(
                lambda: _Taken(hub, upstreams, gone),
                sock,
                ssl=tls,
                ssl_handshake_timeout=self._limits.handshakes.timeout_s if tls else None,
                ssl_shutdown_timeout=TLS_SHUTDOWN_S if tls else None,
            )
        except BaseException:
            sock.close()
            raise

    @property
    def connection_count(self) -> int:
        """Open connections."""
        return len(self._hub.connections) if self._hub is not None else 0

    async def drain(self, timeout_s: float) -> None:
        """Stop accepting, close idle connections, give running requests `timeout_s` to finish. Then `close`."""
        self._stop_listening()
        hub = self._hub
        if hub is None:
            return
        hub.is_draining = True
        for connection in tuple(hub.connections):
            connection.stop()
        if hub.connections:
            gone = asyncio.Event()
            hub.on_empty = gone.set
            try:
                async with asyncio.timeout(timeout_s):
                    await gone.wait()
            except TimeoutError:
                pass

    async def close(self) -> None:
        """Stop accepting and break off what is still connected. May be called at any time, and again."""
        self._stop_listening()
        if self._sweeping is not None:
            self._sweeping.cancel()
            self._sweeping = None
        hub, self._hub = self._hub, None
        if hub is not None:
            hub.is_closed = True
            if hub.connections:
                gone = asyncio.Event()
                hub.on_empty = gone.set
                for connection in tuple(hub.connections):
                    connection.break_off()
                await gone.wait()
        upstreams, self._upstreams = self._upstreams, None
        if upstreams is not None:
            await upstreams.close()
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()
        self._cold_pool.shutdown(wait=True)

    async def _started(self) -> tuple[Hub, Upstreams]:
        if self._hub is None or self._upstreams is None:
            loop = asyncio.get_running_loop()
            hub = Hub(
                self._route,
                self._on_error,
                self._limits,
                self._networks,
                loop,
                self._cold_pool,
                self._memory,
                self._retry,
            )
            upstreams = Upstreams(hub, self._upstream_tls, self._dial)
            if self._app is not None:
                self._runner = await serve_application(self._app, self._limits.head_bytes_max)
                hub.app_server = self._runner.server
            self._hub, self._upstreams = hub, upstreams
            self._sweep()
        return self._hub, self._upstreams

    def _sweep(self) -> None:
        if self._hub is not None:
            self._hub.sweep()
            self._sweeping = self._hub.loop.call_later(self._limits.tick_s, self._sweep)

    def _stop_listening(self) -> None:
        for listener in self._listeners:
            listener.close()
        self._listeners.clear()


class _Taken(Connection):
    """A connection that was accepted elsewhere, where its end is of interest."""

    __slots__ = ("_gone",)

    def __init__(self, hub: Hub, upstreams: Upstreams, gone: Callable[[], None]) -> None:
        super().__init__(hub, upstreams)
        self._gone = gone

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone."""
        super().connection_lost(exc)
        self._gone()
