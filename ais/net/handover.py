"""Requests that the hot path does not serve, given to an aiohttp application on the same connection and taken back.

aiohttp's request handler gets a transport that forwards to the real one. Per request it is fed a head written anew
from the parsed one (so both sides agree where the message ends; hop-by-hop headers are ours) and the decoded body,
nothing else; bytes behind the body stay with the connection. The request is over when the task that runs the handler
and writes its response is done. What the handler left of the body is read by the exchange, before the response or after
it, not by aiohttp; whether the connection is kept is decided before the head is written (`ais.net.leftover`).
A handler whose client goes away is cancelled.
"""

import asyncio
from collections.abc import Iterable
from functools import partial
from io import BytesIO
from typing import Any

from aiohttp import HttpVersion10, web

from ais.net.http import HOP_BY_HOP, Peer, Request
from ais.net.serving import Serving

_OURS = HOP_BY_HOP | {"content-length", "expect"}
NEVER_S = 30 * 24 * 3600.0
"""aiohttp's own timeout between requests is not used: the connection has its own."""


class _Request(web.Request):
    """Collects a body so that no step copies all of it: for 64 MiB that is 50 ms, in which nobody else is served."""

    async def read(self) -> bytes:
        """The whole body."""
        if self._read_bytes is None:
            body = BytesIO()
            while chunk := await self.content.readany():
                body.write(chunk)
            self._read_bytes = body.getvalue()
        return self._read_bytes


async def serve_application(app: web.Application, head_bytes_max: int) -> web.AppRunner:
    """Start an application (its start-up hooks run here); the runner's `server` is what `Handover` takes."""
    runner = web.AppRunner(
        app,
        handle_signals=False,
        handler_cancellation=True,
        access_log=None,
        tcp_keepalive=False,
        keepalive_timeout=NEVER_S,
        auto_decompress=False,
        max_line_size=head_bytes_max,
        max_field_size=head_bytes_max,
        max_headers=256,
    )
    app.on_response_prepare.append(_announce)
    await runner.setup()
    server = runner.server
    assert server is not None
    server.request_factory = partial(app._make_request, _cls=_Request)
    handle = server.request_handler

    async def handle_and_tell(request: web.BaseRequest) -> web.StreamResponse:
        transport = request.transport
        if not isinstance(transport, _Borrowed):
            return await handle(request)
        transport.watch(asyncio.current_task())
        try:
            return await handle(request)
        finally:
            await transport.handover.read_rest()

    server.request_handler = handle_and_tell
    return runner


async def _announce(request: web.Request, response: web.StreamResponse) -> None:
    """Say in the head of the response what becomes of the connection."""
    transport = request.transport
    if isinstance(transport, _Borrowed):
        default = "keep-alive" if request.version > HttpVersion10 else "close"
        is_kept = response.headers.get("Connection", default).lower() == "keep-alive"
        if not transport.handover.settle_keep_alive(wanted=is_kept):
            response.headers["Connection"] = "close"
            response.force_close()


class Handover:
    """One connection's requests for the application, one at a time."""

    __slots__ = ("_borrowed", "_exchange", "_handler", "_is_behind", "has_answered", "is_lost", "is_reading_paused")

    def __init__(self, transport: asyncio.Transport, server: web.Server) -> None:
        self._exchange: Serving | None = None
        self._borrowed = _Borrowed(self, transport)
        self._handler = server()
        self.has_answered = False
        """Whether bytes of the present response were written."""
        self.is_lost = False
        self._is_behind = False
        """The application was not told all of the present body."""
        self.is_reading_paused = False
        """The application does not want more of the body now."""
        self._handler.connection_made(self._borrowed)

    def begin(self, exchange: Serving) -> None:
        """Give the application a request; its body, if any, follows through `feed`."""
        self._exchange = exchange
        self.has_answered = False
        self._handler.data_received(_write_head(exchange.request, keep_alive=exchange.keep_alive))

    def feed(self, payload: bytes) -> None:
        """The next decoded bytes of the body; the end is known from the body's framing."""
        exchange = self._exchange
        if exchange is not None and exchange.request.headers.is_chunked:
            if payload:
                self._handler.data_received(b"%x\r\n%b\r\n" % (len(payload), payload))
            if exchange.body is not None and exchange.body.is_done:
                self._handler.data_received(b"0\r\n\r\n")
        elif payload:
            self._handler.data_received(payload)

    def lost(self, error: Exception | None) -> None:
        """The connection is gone, or wants no more of this handler: what runs is cancelled."""
        if not self.is_lost:
            self.is_lost = True
            self._handler.connection_lost(error)

    def pause_writing(self) -> None:
        """Make the handler wait before it writes more."""
        if not self.is_lost:
            self._handler.pause_writing()

    def resume_writing(self) -> None:
        """Let the handler write again."""
        if not self.is_lost:
            self._handler.resume_writing()

    def set_reading(self, *, is_paused: bool) -> None:
        """The application's flow control."""
        self.is_reading_paused = is_paused
        if not self.is_lost and self._exchange is not None:
            # Not from within `feed`: the exchange is in the middle of handing bytes over.
            self._exchange.connection.hub.loop.call_soon(self._read_on)

    def _read_on(self) -> None:
        if not self.is_lost and self._exchange is not None:
            self._exchange.pump()

    async def read_rest(self) -> None:
        """The handler is done: wait until a small rest of the body has come, if the response has not begun."""
        exchange = self._exchange
        if exchange is None or self.is_lost or self.has_answered or not exchange.owes_body:
            return
        self._is_behind = True
        is_read = asyncio.Event()
        exchange.read_rest(is_read.set)
        await is_read.wait()

    def settle_keep_alive(self, *, wanted: bool) -> bool:
        """Whether the connection will be kept after the response whose head is about to be written."""
        exchange = self._exchange
        if exchange is None or self.is_lost:
            return False
        exchange.keep_alive = exchange.keep_alive and wanted
        exchange.settle_keep_alive()
        return exchange.keep_alive

    @property
    def passed_on(self) -> Peer | None:
        """Who sent the present request, if another process had the connection."""
        exchange = self._exchange
        if exchange is None or exchange.request.peer is exchange.connection.peer:
            return None
        return exchange.request.peer

    @property
    def is_clean(self) -> bool:
        """Whether the application could take another request: it has all of the last body, and waits for bytes."""
        return not self._is_behind and not self.is_reading_paused

    def broke(self) -> None:
        """The response is not complete, and will not be."""
        exchange, self._exchange = self._exchange, None
        if not self.is_lost and exchange is not None:
            exchange.cut_off()

    def answered(self, *, keep_alive: bool) -> None:
        """The response is written."""
        exchange, self._exchange = self._exchange, None
        if not self.is_lost and exchange is not None:
            exchange.handover_done(keep_alive=keep_alive)


class _Borrowed(asyncio.Transport):
    """The connection's transport as aiohttp sees it: writes pass through, closing only ends the request."""

    def __init__(self, handover: Handover, transport: asyncio.Transport) -> None:
        super().__init__()
        self.handover = handover
        self._transport = transport
        self._is_closing = False
        self._task: asyncio.Task[Any] | None = None

    def watch(self, task: "asyncio.Task[Any] | None") -> None:
        """`task` runs the handler of the present request and writes its response."""
        assert task is not None
        self._task = task
        task.add_done_callback(self._task_done)

    def _task_done(self, task: "asyncio.Task[Any]") -> None:
        # aiohttp's loop was woken by the same task before us: if it wants to close, `close` has been called.
        self._task = None
        if task.cancelled() or task.exception() is not None:
            self.handover.broke()
        else:
            self.handover.answered(keep_alive=not self._is_closing)

    def close(self) -> None:
        """aiohttp will not serve another request on this connection."""
        self._is_closing = True
        if self._task is None:
            # No handler ran: aiohttp refused the request itself.
            self.handover.answered(keep_alive=False)

    def abort(self) -> None:
        """The same without waiting for anything."""
        self._is_closing = True
        self._transport.abort()

    def is_closing(self) -> bool:
        """Whether writing is pointless."""
        return self._is_closing or self._transport.is_closing()

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Pass on, unless the connection has let go of this handler."""
        if not self.handover.is_lost:
            self.handover.has_answered = True
            self._transport.write(data)

    def writelines(self, list_of_data: Iterable[Any]) -> None:
        """Pass on."""
        self.write(b"".join(list_of_data))

    def pause_reading(self) -> None:
        """The handler reads slower than the client sends."""
        self.handover.set_reading(is_paused=True)

    def resume_reading(self) -> None:
        """The handler wants more of the body."""
        self.handover.set_reading(is_paused=False)

    def is_reading(self) -> bool:
        """Whether the handler takes body bytes."""
        return not self.handover.is_reading_paused

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """Addresses, socket, TLS facts of the real connection, or of the one that a passed on request came on."""
        peer = self.handover.passed_on
        if peer is not None and name == "peername":
            host, _, port = peer.remote.rpartition(":")
            return (host, port)
        if peer is not None and name == "sslcontext":
            return (peer.scheme == "https") or None
        return self._transport.get_extra_info(name, default)

    def get_write_buffer_size(self) -> int:
        """What the real transport has not sent."""
        return self._transport.get_write_buffer_size()

    def can_write_eof(self) -> bool:
        """The connection is not aiohttp's to half-close."""
        return False


def _write_head(request: Request, *, keep_alive: bool) -> bytes:
    lines = [f"{request.method} {request.target} HTTP/1.{0 if request.is_http10 else 1}\r\n"]
    lines += [f"{name}: {value}\r\n" for name, value in request.headers.items() if name not in _OURS]
    if request.headers.is_chunked:
        lines.append("transfer-encoding: chunked\r\n")
    elif request.headers.content_length is not None:
        lines.append(f"content-length: {request.headers.content_length}\r\n")
    lines.append("connection: keep-alive\r\n\r\n" if keep_alive else "connection: close\r\n\r\n")
    return "".join(lines).encode()
