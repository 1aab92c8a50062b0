"""One client connection: requests in, answers out, in order.

Theory of operation. The connection handles one request at a time. A request whose body (if any) arrived together with
its head and whose route answers at once is served inside `buffer_updated`, without leaving it; that is the hot path.
Everything else moves through the phases below. Bytes that arrive while they cannot be used are kept in `_tail` and
reading pauses, so a client that pipelines is slowed down by TCP.

    phase     what is awaited                          ends when                         deadline
    IDLE      the first byte of a request              it comes                          keepalive_timeout_s
    HEAD      the rest of a head                       empty line                        header_timeout_s, not renewed
    WAIT      an awaitable of the route or sink        it is done                        none: the owner's business
    BODY      body bytes for a sink (`Receiver`)       body complete                     body_idle_timeout_s
    SEND      the socket, a file, a stream             answer handed to the kernel       body_idle_timeout_s
    HANDED    the aiohttp application (`Handover`)     it answered and took the body     body_idle_timeout_s for I/O
    DRAIN     the rest of a body nobody wants          body complete                     body_idle_timeout_s
    LINGER    the client to read the last answer       it closes, or enough was read     linger_timeout_s, not renewed
    CLOSED    nothing

A client that shuts down its sending side (half-close) still gets its answers. An answer given before the body was read
goes out at once; then a bounded rest of the body is read, so that clients that only look for the answer after sending
see it (wire contract §27.2). When the rest is too long, our side is shut down first: the client's next write then
fails with EPIPE, which HTTP clients take as the hint to read the answer.
"""

import asyncio
import enum
import os
import socket
from collections.abc import Awaitable, Callable
from typing import Any, cast

from ais.base.errors import AisError, BadRequest, HeadTooLarge, NotReady, TooSlow
from ais.net.body import Body, ChunkedBody, FixedBody
from ais.net.handover import Handover
from ais.net.head import is_hopeless
from ais.net.http import (
    BODILESS,
    AnyReply,
    FileReply,
    Headers,
    Network,
    Peer,
    Reply,
    Request,
    Sink,
    StreamReply,
    Upload,
    status_line,
)
from ais.net.hub import Hub
from ais.net.sending import SMALL_BYTES_MAX, FileSender, read_cached, stream_chunks
from ais.net.upload import Receiver

REQUESTS_PER_TURN = 16
"""Pipelined requests served before the other connections have their turn."""
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class Phase(enum.Enum):
    """What the connection waits for; the table is in the module's docstring."""

    IDLE = enum.auto()
    HEAD = enum.auto()
    WAIT = enum.auto()
    BODY = enum.auto()
    SEND = enum.auto()
    HANDED = enum.auto()
    DRAIN = enum.auto()
    LINGER = enum.auto()
    CLOSED = enum.auto()


IDLE, HEAD, WAIT, BODY, SEND = Phase.IDLE, Phase.HEAD, Phase.WAIT, Phase.BODY, Phase.SEND
HANDED, DRAIN, LINGER, CLOSED = Phase.HANDED, Phase.DRAIN, Phase.LINGER, Phase.CLOSED


class Connection(asyncio.BufferedProtocol):
    """The protocol of one accepted connection."""

    __slots__ = (
        "_body",
        "_budget",
        "_handover",
        "_is_at_eof",
        "_is_reading_paused",
        "_is_turn_over",
        "_keep_alive",
        "_on_flushed",
        "_phase",
        "_receiver",
        "_request",
        "_sender",
        "_tail",
        "_task",
        "_tick",
        "_transport",
        "_unsent",
        "dup_socket",
        "hub",
        "is_write_paused",
        "peer",
        "write",
    )

    _transport: asyncio.Transport
    write: Callable[[bytes | bytearray | memoryview], None]
    """Queue bytes on the transport."""

    def __init__(self, hub: Hub) -> None:
        self.hub = hub
        self.peer = _NOBODY
        self.is_write_paused = False
        self.dup_socket: socket.socket | None = None
        """A second descriptor of the socket for sendfile; made when first needed, never under TLS."""
        self._phase = IDLE
        self._tick = hub.tick
        self._unsent = 0
        self._tail = bytearray()
        self._request = _NO_REQUEST
        self._keep_alive = True
        self._body: Body | None = None
        self._receiver: Receiver | None = None
        self._sender: FileSender | None = None
        self._handover: Handover | None = None
        self._task: asyncio.Future[Any] | None = None
        """What the route is waiting for; cancelled when the connection is lost."""
        self._on_flushed: Callable[[], None] | None = None
        self._is_reading_paused = False
        self._is_turn_over = False
        self._is_at_eof = False
        self._budget = 0

    # What the event loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take a new connection, or answer 503 when there are too many."""
        self._transport = cast(asyncio.Transport, transport)
        self.write = self._transport.write
        scheme = "http" if transport.get_extra_info("sslcontext") is None else "https"
        self.peer = Peer(_format_address(transport.get_extra_info("peername")), self.hub.networks, scheme)
        self.hub.connections.add(self)
        excess = len(self.hub.connections) - self.hub.limits.connections_max
        if excess > self.hub.limits.connections_max:
            self.break_off()
        elif excess > 0:
            self._refuse(NotReady("too many connections to this node, try again later"))

    def get_buffer(self, sizehint: int) -> memoryview | bytearray:
        """Where to receive: straight into the upload in progress, else into the buffer all connections share."""
        receiver = self._receiver
        return self.hub.shared if receiver is None else receiver.space()

    def buffer_updated(self, nbytes: int) -> None:
        """Bytes came."""
        if self._phase is IDLE:
            self._consume(self.hub.shared, self.hub.shared_view, 0, nbytes)
        elif self._receiver is not None:
            self._tick = self.hub.tick
            self._receive(self._receiver.received, nbytes)
        elif self._phase is HEAD:
            self._tail = self._tail + self.hub.shared_view[:nbytes]
            self._consume_tail()
        elif self._phase is DRAIN or self._phase is LINGER:
            self._discard(self.hub.shared_view[:nbytes])
        else:
            self._tick = self.hub.tick
            self._tail = self._tail + self.hub.shared_view[:nbytes]
            self.pump()

    def eof_received(self) -> bool:
        """The client shut down its sending side. Returning True keeps ours open (there is no such thing in TLS)."""
        self._is_at_eof = True
        if self._phase in (IDLE, HEAD, DRAIN, LINGER):
            self._close()
        elif not self._tail and self._body is not None and not self._body.is_done:
            self.break_off()
        return self.peer.scheme == "http"

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone: stop everything that was done for it."""
        self._phase = CLOSED
        if self._receiver is not None:
            receiver, self._receiver = self._receiver, None
            receiver.cancel()
        if self._task is not None:
            self._task.cancel()
        if self._sender is not None:
            self._sender.close()
        if self._handover is not None:
            self._handover.lost(exc)
        if self.dup_socket is not None:
            self.dup_socket.close()
        self._on_flushed = None
        self.hub.forget(self)

    def pause_writing(self) -> None:
        """The client does not read as fast as we answer."""
        self.is_write_paused = True
        if self._handover is not None:
            self._handover.pause_writing()

    def resume_writing(self) -> None:
        """The transport's buffer has room again."""
        self.is_write_paused = False
        self.touch()
        if self._handover is not None:
            self._handover.resume_writing()
        self._flushed()

    # The hot path: everything happens within one callback.

    def _consume(self, data: bytearray, view: memoryview, position: int, limit: int) -> None:
        """Serve the requests in `data[position:limit]`; what cannot be served now is kept."""
        hub = self.hub
        left = REQUESTS_PER_TURN
        while True:
            end = data.find(b"\r\n\r\n", position, limit)
            if end < 0 or end - position > hub.head_bytes_max:
                self._keep_partial_head(view[position:limit])
                return
            try:
                request = hub.parser.parse(view[position:end].tobytes(), self.peer)
            except AisError as error:
                self._refuse(error)
                return
            position = end + 4
            try:
                reply = hub.route(request)
            except Exception as error:  # noqa: BLE001 - a request ends here
                reply = hub.on_error(request, error)
            if type(reply) is Reply and request.headers.is_plain and not request.is_http10 and not hub.is_draining:
                self.write(encode_reply(reply, request.method, b"", hub))
            else:
                position = self._serve(request, reply, view, position, limit)
                if position < 0:
                    return
            if position == limit:
                if self._phase is IDLE:
                    self._tick = hub.tick
                else:
                    self._become_idle()
                return
            left -= 1
            if self.is_write_paused or not left:
                break
        self.keep(view[position:limit])
        self._next_request()

    def _serve(self, request: Request, reply: object, view: memoryview, position: int, limit: int) -> int:
        """Serve what is not plain. Return where the next request begins, or -1 when the connection is busy."""
        self._request = request
        self._keep_alive = request.keep_alive and not self.hub.is_draining
        length = request.headers.content_length
        if not request.headers.has_body:
            self._body = None
            if type(reply) is FileReply and self._keep_alive and self._write_small_file(reply):
                return position
        elif length is None:
            self._body = ChunkedBody()
        elif length <= limit - position and self._keep_alive:
            self._body = None
            if type(reply) is Upload:
                return self._upload_whole(reply.sink, view, position, position + length, limit)
            if type(reply) is Reply:
                self._write_answer(reply)
                return position + length
            self._body = FixedBody(length)
        else:
            self._body = FixedBody(length)
        self.keep(view[position:limit])
        self._phase = WAIT
        self._dispatch(reply)
        return -1

    def _write_small_file(self, reply: FileReply) -> bool:
        """Answer with a small file from the page cache in one write; False when that is not possible."""
        if reply.length > SMALL_BYTES_MAX or self._request.method == "HEAD":
            return False
        content = self.hub.scratch[: reply.length]
        if not read_cached(reply.fd, content, reply.offset):
            return False
        os.close(reply.fd)
        self.write(b"".join((self._head(reply.status, reply.headers, reply.length), content)))
        return True

    def _upload_whole(self, sink: Sink, view: memoryview, position: int, end: int, limit: int) -> int:
        """A body that came with its head: one write, one finish, usually without waiting."""
        try:
            writing = sink.write(view[position:end])
        except Exception as error:  # noqa: BLE001 - a request ends here
            sink.abort()
            self._write_answer(self.hub.on_error(self._request, error))
            return end
        if writing is not None:
            self.hub.replace_shared(view)
            self.keep(view[end:limit])
            self._phase = WAIT
            asyncio.ensure_future(writing).add_done_callback(lambda done: self._whole_written(sink, done))
            return -1
        try:
            reply = sink.finish()
        except Exception as error:  # noqa: BLE001 - a request ends here
            reply = self.hub.on_error(self._request, error)
        if type(reply) is Reply:
            self._write_answer(reply)
            return end
        self.keep(view[end:limit])
        self._phase = WAIT
        asyncio.ensure_future(cast(Awaitable[Reply], reply)).add_done_callback(self._ready)
        return -1

    # Requests that take more than one callback.

    def _dispatch(self, reply: object) -> None:
        kind = type(reply)
        if kind is Reply:
            self._settle_keep_alive()
            self._write_answer(cast(Reply, reply))
            self.finish_answer()
        elif kind is FileReply:
            self._send_file(cast(FileReply, reply))
        elif kind is Upload:
            self._start_upload(cast(Upload, reply).sink)
        elif kind is StreamReply:
            self._send_stream(cast(StreamReply, reply))
        elif reply is None:
            self._hand_over()
        else:
            self._task = task = asyncio.ensure_future(cast("Awaitable[AnyReply]", reply))
            task.add_done_callback(self._ready)

    def _ready(self, future: "asyncio.Future[Any]") -> None:
        """An awaitable of the route or of a sink's finish is done."""
        self._task = None
        if future.cancelled():
            self.break_off()
            return
        error = future.exception()
        if self._phase is CLOSED:
            if error is None:
                _dispose(future.result())
            return
        self._dispatch(future.result() if error is None else self.hub.on_error(self._request, error))

    def _whole_written(self, sink: Sink, writing: "asyncio.Future[None]") -> None:
        error = asyncio.CancelledError() if writing.cancelled() else writing.exception()
        if error is not None or self._phase is CLOSED:
            sink.abort()
            if self._phase is not CLOSED and error is not None:
                self._dispatch(self.hub.on_error(self._request, error))
            return
        self.finish_upload(sink)

    def _start_upload(self, sink: Sink) -> None:
        body = self._body or FixedBody(0)
        if not body.is_done and not self._tail:
            self._send_continue()
        self._body = body
        self._phase = BODY
        self.touch()
        if body.is_done:
            self.finish_upload(sink)
            return
        self._receiver = Receiver(self, sink, body)
        self.pump()

    def _receive(self, take: Callable[[Any], object], argument: object) -> None:
        """Give the receiver bytes; bad framing ends the request and the connection."""
        try:
            take(argument)
        except AisError as error:
            self._abandon_upload(error)

    def _abandon_upload(self, error: AisError) -> None:
        receiver, self._receiver = self._receiver, None
        if receiver is not None:
            receiver.cancel()
        self._refuse(error, self._request)

    def finish_upload(self, sink: Sink) -> None:
        """The body is complete and written: let the sink finish and answer."""
        self._receiver = None
        self._phase = WAIT
        try:
            reply: object = sink.finish()
        except Exception as error:  # noqa: BLE001 - a request ends here
            reply = self.hub.on_error(self._request, error)
        if type(reply) is Reply:
            self._dispatch(reply)
        else:
            asyncio.ensure_future(cast("Awaitable[AnyReply]", reply)).add_done_callback(self._ready)
        self.update_reading()

    def fail_upload(self, error: BaseException) -> None:
        """The sink refused the rest of the body."""
        self._receiver = None
        if self._phase is not CLOSED:
            self._dispatch(self.hub.on_error(self._request, error))

    def _send_file(self, reply: FileReply) -> None:
        self._settle_keep_alive()
        if self._request.method != "HEAD" and self._write_small_file(reply):
            self.finish_answer()
            return
        head = self._head(reply.status, reply.headers, reply.length)
        if self._request.method == "HEAD":
            os.close(reply.fd)
            self.write(head)
            self.finish_answer()
            return
        if self.dup_socket is None and self.peer.scheme == "http":
            self.dup_socket = _duplicate(self._transport)
        self._phase = SEND
        self.touch()
        self._sender = FileSender(self, head, reply)
        self._sender.turn()

    def _send_stream(self, reply: StreamReply) -> None:
        self._settle_keep_alive()
        is_framed = reply.length is None and not self._request.is_http10
        if reply.length is None and not is_framed:
            self._keep_alive = False
        self.write(self._head(reply.status, reply.headers, reply.length, is_chunked=is_framed))
        self.touch()
        if self._request.method == "HEAD":
            self.finish_answer()
            return
        self._phase = WAIT
        self._task = task = asyncio.ensure_future(stream_chunks(self, reply, is_framed=is_framed))
        task.add_done_callback(self._streamed)

    def _streamed(self, task: "asyncio.Future[None]") -> None:
        self._task = None
        error = None if task.cancelled() else task.exception()
        if error is not None:
            self.hub.on_error(self._request, error)
        if error is not None or task.cancelled():
            self.break_off()
        else:
            self.finish_answer()

    # Hand-over to the aiohttp application.

    def _hand_over(self) -> None:
        if self.hub.app_server is None:
            raise RuntimeError("the route handed a request over, but the server has no application")
        self._phase = HANDED
        self.touch()
        if self._body is not None and not self._body.is_done and not self._tail:
            self._send_continue()
        if self._handover is None:
            self._handover = Handover(self, self._transport, self.hub.app_server)
        self._handover.begin(self._request, keep_alive=self._keep_alive, body=self._body)
        self.pump()

    def _feed_handover(self) -> None:
        """Pass on what has come of the body, as far as the application wants it now."""
        handover, body, tail = self._handover, self._body, self._tail
        if handover is None or body is None or body.is_done or handover.is_reading_paused:
            return
        self._tail = bytearray()
        try:
            payload, consumed = body.take(memoryview(tail))
        except AisError as error:
            self._break_handover(error)
            return
        self._tail = tail[consumed:]
        handover.feed(bytes(memoryview(tail)[:payload]))

    def _break_handover(self, error: AisError) -> None:
        """The body will never be complete: stop the application, and answer if it has not."""
        handover, self._handover = self._handover, None
        if handover is not None:
            handover.lost(None)
            if handover.has_answered:
                self.break_off()
            else:
                self._refuse(error, self._request)

    def handover_done(self, *, keep_alive: bool) -> None:
        """The application answered. What it did not take of the body is drained here."""
        self._keep_alive = self._keep_alive and keep_alive
        if self._handover is not None and (not self._keep_alive or (self._body is not None and not self._body.is_done)):
            handover, self._handover = self._handover, None
            handover.lost(None)
        if self._phase is HANDED:
            self.finish_answer()

    # Between requests.

    def finish_answer(self) -> None:
        """The answer is on its way: read what is left of the body, then take the next request or close."""
        self._sender = None
        if self._phase is CLOSED:
            return
        if self._body is not None and not self._body.is_done:
            self._phase = DRAIN
            self.touch()
            self._budget = self.hub.limits.drain_bytes_max
            tail, self._tail = self._tail, bytearray()
            if not self._keep_alive:
                self._linger()
            elif self._is_at_eof:
                self._close()
            elif tail:
                self._discard(memoryview(tail))
            self.update_reading()
            return
        self._body = None
        if not self._keep_alive:
            self._close()
        else:
            self._next_request()

    def _next_request(self) -> None:
        """Go on with bytes that are here already, in a turn of their own; or wait for the client."""
        if not self._tail:
            self._become_idle()
            return
        self._phase = SEND
        self.update_reading()
        if self.is_write_paused:
            self.when_flushed(self._consume_tail)
        else:
            self.hub.loop.call_soon(self._consume_tail)

    def _consume_tail(self) -> None:
        if self._phase is CLOSED or self._phase is LINGER:
            return
        tail, self._tail = self._tail, bytearray()
        self._consume(tail, memoryview(tail), 0, len(tail))
        if self._is_at_eof and self._phase is HEAD:
            self._close()

    def _become_idle(self) -> None:
        self._tick = self.hub.tick
        self._phase = IDLE
        if self._is_at_eof or self.hub.is_draining:
            self._close()
        elif self._is_reading_paused:
            self.update_reading()

    def _keep_partial_head(self, view: memoryview) -> None:
        if len(view) > self.hub.head_bytes_max:
            self._refuse(HeadTooLarge(f"request head exceeds {self.hub.head_bytes_max} bytes"))
            return
        self._tail = bytearray(view)
        if is_hopeless(bytes(view)):
            self._refuse(BadRequest("not an HTTP/1.1 request"))
            return
        if self._phase is not HEAD:
            self._phase = HEAD
            self.touch()
        if self._is_reading_paused:
            self.update_reading()

    def _refuse(self, error: AisError, request: Request | None = None) -> None:
        """Answer with an error and give the connection up: what follows on it cannot be understood."""
        self._request = request or Request("GET", "/", Headers(), self.peer)
        self._keep_alive = False
        self._body = None
        self._write_answer(self.hub.on_error(self._request, error))
        self._linger()

    def _linger(self) -> None:
        """Close so that the client can still read the answer: shut down our side, discard for a while."""
        self._phase = LINGER
        self.touch()
        self._tail = bytearray()
        self._budget = self.hub.limits.linger_bytes_max
        if self._is_at_eof:
            self._close()
        elif self._transport.can_write_eof():
            self._transport.write_eof()
        self.update_reading()

    def _discard(self, view: memoryview) -> None:
        self._budget -= len(view)
        if self._phase is LINGER:
            if self._budget < 0:
                self.break_off()
            return
        self.touch()
        body = cast(Body, self._body)
        try:
            _, consumed = body.take(view)
        except BadRequest:
            self._linger()
            return
        if body.is_done:
            self.keep(view[consumed:])
            self.finish_answer()
        elif self._budget < 0:
            self._linger()

    def _close(self) -> None:
        """Send what is queued, then close."""
        self._phase = LINGER
        self.touch()
        self._transport.close()

    def break_off(self) -> None:
        """Close at once; `connection_lost` follows."""
        if self._phase is not CLOSED:
            self._phase = CLOSED
            self._transport.abort()

    # Reading, writing, time.

    def keep(self, data: memoryview) -> None:
        """Keep bytes that cannot be used yet, behind those kept before."""
        if data:
            self._tail = self._tail + data
            self.update_reading()

    def unread(self, data: memoryview) -> None:
        """Put bytes back before those kept."""
        self._tail = bytearray(data) + self._tail

    def pump(self) -> None:
        """Use what was kept as far as it can be used now, then receive again if there is room."""
        while self._tail and self._receiver is not None and self._receiver.can_receive:
            tail, space = self._tail, len(self._receiver.space())
            self._tail = tail[space:]
            self._receive(self._receiver.put, memoryview(tail)[:space])
        if self._phase is HANDED and self._tail:
            self._feed_handover()
        if self._is_at_eof and not self._tail and self._is_body_missing():
            self.break_off()
        self.update_reading()

    def _is_body_missing(self) -> bool:
        return self._phase in (BODY, HANDED) and self._body is not None and not self._body.is_done

    def update_reading(self) -> None:
        """Receive if and only if the bytes could be used now."""
        if self._is_at_eof or self._phase is CLOSED or self._wants_bytes() != self._is_reading_paused:
            return
        self._is_reading_paused = not self._is_reading_paused
        if self._is_reading_paused:
            self._transport.pause_reading()
        else:
            self._transport.resume_reading()

    def _wants_bytes(self) -> bool:
        if self._phase is BODY:
            return not self._is_turn_over and self._receiver is not None and self._receiver.can_receive
        if self._phase is HANDED and self._handover is not None and self._body is not None and not self._body.is_done:
            return not self._handover.is_reading_paused
        return not self._tail or self._phase in (IDLE, HEAD, DRAIN, LINGER)

    def yield_turn(self) -> None:
        """Let the other connections have their turn before this one receives more."""
        self._is_turn_over = True
        self.update_reading()
        self.hub.loop.call_soon(self._begin_turn)

    def _begin_turn(self) -> None:
        self._is_turn_over = False
        self.pump()

    def when_flushed(self, callback: Callable[[], None]) -> None:
        """Call back once the transport has handed everything to the kernel (or, after a pause, has room again)."""
        self._on_flushed = callback
        if not self.is_write_paused:
            self._transport.set_write_buffer_limits(high=0)
            if not self.is_write_paused:
                self.hub.loop.call_soon(self._flushed)

    def _flushed(self) -> None:
        callback, self._on_flushed = self._on_flushed, None
        if callback is not None and self._phase is not CLOSED:
            self._transport.set_write_buffer_limits()
            callback()

    async def drained(self) -> None:
        """Wait until the client has read enough for more to be written."""
        flushed = asyncio.Event()
        self.when_flushed(flushed.set)
        await flushed.wait()

    @property
    def unsent_bytes(self) -> int:
        """What the transport has not handed to the kernel yet."""
        return self._transport.get_write_buffer_size()

    def touch(self) -> None:
        """Something happened: the deadline starts anew."""
        self._tick = self.hub.tick

    def check_deadline(self) -> None:
        """End the connection when what it waits for is overdue. Called by the hub's sweep."""
        unsent = self.unsent_bytes
        if unsent != self._unsent:
            self._unsent = unsent
            if self._phase is not HEAD:
                self.touch()
            return
        hub, phase = self.hub, self._phase
        waited_s = (hub.tick - self._tick - 1) * hub.limits.tick_s
        limits = hub.limits
        if phase is LINGER:
            if waited_s >= limits.linger_timeout_s:
                self.break_off()
        elif (unsent and self.is_write_paused) or phase is SEND or phase is DRAIN:
            if waited_s >= limits.body_idle_timeout_s:
                self.break_off()
        elif phase is IDLE:
            if hub.is_draining or waited_s >= limits.keepalive_timeout_s:
                self._close()
        elif phase is HEAD:
            if waited_s >= limits.header_timeout_s:
                self._refuse(TooSlow("the request head did not arrive in time"))
        elif not self._is_reading_paused and self._body is not None and not self._body.is_done:
            self._check_body_deadline(waited_s)

    def _check_body_deadline(self, waited_s: float) -> None:
        if waited_s < self.hub.limits.body_idle_timeout_s:
            return
        error = TooSlow("the request body did not arrive in time")
        if self._phase is BODY:
            self._abandon_upload(error)
        elif self._phase is HANDED:
            self._break_handover(error)

    def stop(self) -> None:
        """The server drains: close now if idle, else after the present answer."""
        if self._phase is IDLE:
            self._close()
        self._keep_alive = False

    # Heads of answers.

    def _settle_keep_alive(self) -> None:
        """Decide, before the head is written, whether an unread body is worth reading to keep the connection."""
        body, headers = self._body, self._request.headers
        if body is None or body.is_done:
            return
        if headers.expects_continue and self._receiver is None and not self._tail:
            # Whether the body will follow is up to the client: the next bytes could be either.
            self._keep_alive = False
        elif isinstance(body, FixedBody) and body.remaining - len(self._tail) > self.hub.limits.drain_bytes_max:
            self._keep_alive = False

    def _write_answer(self, reply: Reply) -> None:
        self.write(encode_reply(reply, self._request.method, self._connection_line(), self.hub))

    def _head(self, status: int, headers: bytes, length: int | None, *, is_chunked: bool = False) -> bytes:
        if length is not None:
            framing = b"Content-Length: %d\r\n\r\n" % length
        else:
            framing = b"Transfer-Encoding: chunked\r\n\r\n" if is_chunked else b"\r\n"
        return b"".join((status_line(status), headers, self._connection_line(), self.hub.date_line, framing))

    def _connection_line(self) -> bytes:
        if not self._keep_alive:
            return b"Connection: close\r\n"
        return b"Connection: keep-alive\r\n" if self._request.is_http10 else b""

    def _send_continue(self) -> None:
        if self._request.headers.expects_continue and not self._request.is_http10:
            self.write(CONTINUE)


def encode_reply(reply: Reply, method: str, connection_line: bytes, hub: Hub) -> bytes:
    """The bytes of a complete reply."""
    if reply.status in BODILESS:
        return b"".join((status_line(reply.status), reply.headers, connection_line, hub.date_line, b"\r\n"))
    body = reply.body
    length = len(body) if reply.length is None else reply.length
    if method == "HEAD":
        body = b""
    return b"%b%b%b%b%d\r\n\r\n%b" % (
        status_line(reply.status),
        reply.headers,
        connection_line,
        hub.common,
        length,
        body,
    )


def _dispose(reply: AnyReply | None) -> None:
    """A reply that nobody will get any more."""
    if isinstance(reply, FileReply):
        os.close(reply.fd)
    elif isinstance(reply, Upload):
        reply.sink.abort()


def _duplicate(transport: asyncio.Transport) -> socket.socket:
    duplicate = socket.socket(fileno=os.dup(transport.get_extra_info("socket").fileno()))
    duplicate.setblocking(False)
    return duplicate


def _format_address(address: object) -> str:
    if not isinstance(address, tuple):
        return ""
    return f"[{address[0]}]:{address[1]}" if ":" in address[0] else f"{address[0]}:{address[1]}"


_NOBODY = Peer("", Network(0), "http")
_NO_REQUEST = Request("GET", "/", Headers(), _NOBODY)
