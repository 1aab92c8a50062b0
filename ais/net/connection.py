"""One client connection: requests in, answers out, in order.

Theory of operation. The connection handles one request at a time. A request whose body (if any) arrived together with
its head and whose route answers at once is served inside `buffer_updated`, without leaving it; that is the hot path.
A head that was answered before may even be answered without being parsed (`Hub.repeats`). Everything else becomes an
`Exchange`. Bytes that arrive while they cannot be used are kept in `tail` and reading pauses, so a client that
pipelines is slowed down by TCP.

    phase     what is awaited                          ends when                         deadline
    IDLE      the first byte of a request              it comes                          keepalive_timeout_s
    HEAD      the rest of a head                       empty line                        header_timeout_s, not renewed
    BUSY      an exchange, or the turn of kept bytes   it finishes                       body_idle_timeout_s while it
                                                                                         is up to the client
    DRAIN     the rest of a body nobody wants          body complete                     body_idle_timeout_s
    LINGER    the client to read the last answer       it closes, or enough was read     linger_timeout_s, not renewed

A client that shuts down its sending side (half-close) still gets its answers. An answer that is known before the body
was read waits for the rest of a small one, else goes out at once, and what it says of the connection holds
(`ais.net.leftover`). When the rest is too long, our side is shut down first: the client's next write then fails with
EPIPE, which HTTP clients take as the hint to read the answer (wire contract §27.2).
"""

import asyncio
import enum
import os
import socket
from collections.abc import Awaitable
from typing import cast

from ais.base.errors import AisError, BadRequest, HeadTooLarge, Overloaded, TooSlow
from ais.net.body import Body, ChunkedBody, FixedBody
from ais.net.encoding import CONTINUE, connection_line, encode_reply, framed
from ais.net.exchange import Exchange, Host
from ais.net.handover import Handover
from ais.net.head import is_hopeless
from ais.net.http import Again, FileReply, Headers, Reply, Request, Upload
from ais.net.hub import REPEATED_BYTES_MAX, Hub
from ais.net.sending import is_cached, small_content
from ais.net.upstream import Upstreams

REQUESTS_PER_TURN = 16
"""Pipelined requests served before the other connections have their turn."""
UNCOPIED_BYTES_MIN = 32 << 10
"""Below it two copies take less time than the calls that save them."""
JOINED_BYTES_MAX = 16 << 10
"""Larger bodies are sent from where they lie: a client that is slow to take them must not cost a copy of each."""
HELD_BYTES_MAX = 8 << 10
"""Larger answers are sent at once: they cost more than the wake-up that is saved (`Hub.hold`)."""
APART_BYTES_MAX = 64 << 10
"""Up to this size a body that may wait for a disk is copied, or each that waits would keep a buffer of all."""


class Phase(enum.Enum):
    """What the connection waits for; the table is in the module's docstring."""

    IDLE = enum.auto()
    HEAD = enum.auto()
    BUSY = enum.auto()
    DRAIN = enum.auto()
    LINGER = enum.auto()


IDLE, HEAD, BUSY, DRAIN, LINGER = Phase


class Connection(Host):
    """The protocol of one accepted connection."""

    __slots__ = (
        "_body",
        "_budget",
        "_checked",
        "_exchange",
        "_handover",
        "_held",
        "_is_last",
        "_phase",
        "_unsent",
        "host",
    )

    def __init__(self, hub: Hub, upstreams: Upstreams) -> None:
        super().__init__(hub)
        self.upstreams = upstreams
        self.tail = bytearray()
        self.host = ""
        """The client's address, without its port."""
        self._phase = IDLE
        self._exchange: Exchange | None = None
        self._handover: Handover | None = None
        self._body: Body | None = None
        """What is being drained."""
        self._budget = 0
        self._checked = 0
        """Bytes of the head in `tail` that were looked at."""
        self._is_last = False
        """No request after the present one."""
        self._unsent = 0
        self._held = b""
        """Answers that are complete but not sent yet; everything else that writes or closes sends them first."""

    # What the event loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take a new connection, or answer 503 when there are too many; break it off when the server is closed."""
        super().connection_made(transport)
        self._is_last = self.hub.is_draining
        self.host = self.peer.remote.rpartition(":")[0]
        hub = self.hub
        is_admitted = hub.admit(self)
        if hub.is_closed or len(hub.connections) > 2 * hub.limits.connections_max:
            self.break_off()
        elif not is_admitted:
            self.refuse(Overloaded("too many connections to this node, try again later"))

    def get_buffer(self, sizehint: int) -> memoryview:
        """Where to receive: straight into the upload in progress, else into the buffer all connections share."""
        exchange = self._exchange
        if exchange is None or exchange.receiver is None:
            return self.hub.space
        return exchange.receiver.space()

    def buffer_updated(self, nbytes: int) -> None:
        """Bytes came."""
        if self._phase is IDLE:
            hub = self.hub
            again = hub.repeats.get(hub.shared_view[:nbytes].tobytes()) if nbytes <= REPEATED_BYTES_MAX else None
            if again is None or not self._repeat(again):
                self._consume(hub.shared, hub.shared_view, 0, nbytes)
        elif self._exchange is not None:
            self._exchange.received(nbytes)
        elif self._phase is DRAIN or self._phase is LINGER:
            self._discard(self.hub.shared_view[:nbytes])
        else:
            self.tail = self.tail + self.hub.shared_view[:nbytes]
            if self._phase is HEAD:
                self._consume_tail()
            else:
                self.update_reading()

    def eof_received(self) -> bool:
        """The client shut down its sending side. Returning True keeps ours open (there is no such thing in TLS)."""
        self.is_at_eof = True
        if self._exchange is not None:
            self._exchange.at_eof()
        elif self._phase is not BUSY:
            self._close()
        return self.peer.scheme == "http"

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone: stop everything that was done for it."""
        self.is_broken = True
        if self._exchange is not None:
            self._exchange.lost()
        self.drop_handover(exc)
        # Closes the second descriptor, which a sender has to stop watching before.
        super().connection_lost(exc)
        self.hub.forget(self)

    def pause_writing(self) -> None:
        """The client does not read as fast as we answer."""
        super().pause_writing()
        if self._handover is not None:
            self._handover.pause_writing()
        if self._phase is IDLE:
            self._next_request()

    def resume_writing(self) -> None:
        """There is room for more of the answer."""
        if self._handover is not None:
            self._handover.resume_writing()
        super().resume_writing()

    def wants_bytes(self) -> bool:
        """Whether bytes could be used now."""
        if self._exchange is not None:
            return self._exchange.wants_bytes()
        return self._phase is not BUSY

    def begin_turn(self) -> None:
        """The other connections had their turn: go on with the upload."""
        if self._exchange is not None:
            self._exchange.pump()
        else:
            self.update_reading()

    # The hot path: everything happens within one callback.

    def _repeat(self, again: Again) -> bool:
        """Answer the request that came, and nothing after it, as before; False when that is not right any more."""
        answer = None if self._is_last else again()
        if answer is None:
            return False
        status, lines, body = answer
        if self._held:
            self.release()
        # Not held: this takes less time than is saved by sending answers together.
        if len(body) <= JOINED_BYTES_MAX:
            self.write(b"".join((self.hub.starts[status], lines, body)))
        else:
            self.write_parts((self.hub.starts[status] + lines, body))
        self.tick = self.hub.tick
        return True

    def _consume(self, data: bytearray, view: memoryview, position: int, limit: int) -> None:
        """Serve the requests in `data[position:limit]`; what cannot be served now is kept."""
        hub = self.hub
        left = REQUESTS_PER_TURN
        while True:
            end = data.find(b"\r\n\r\n", position, limit)
            if end < 0 or end - position > hub.head_bytes_max:
                self._keep_partial_head(view[position:limit], is_next=left < REQUESTS_PER_TURN)
                return
            position = self._serve(view[position:end].tobytes(), view, end + 4, limit)
            if position < 0:
                return
            if position == limit:
                if self._phase is IDLE:
                    self.tick = hub.tick
                else:
                    self._next_request()
                return
            left -= 1
            if self.is_write_paused or not left:
                break
        self._keep(view[position:limit])
        self._next_request()

    def _serve(self, head: bytes, view: memoryview, position: int, limit: int) -> int:
        """Serve one request. Return where the next one begins, or -1 when the connection is busy or given up."""
        hub = self.hub
        try:
            request = hub.parser.parse(head, self.peer)
        except AisError as error:
            self.refuse(error)
            return -1
        headers = request.headers
        is_plain = headers.keeps_alive and not request.is_http10 and not self._is_last
        if headers.has_body:
            length = headers.content_length
            if length and length <= limit - position:
                request.body = view[position : position + length]
            else:
                is_plain = False
        elif headers.expects_continue and not request.is_http10:
            self._answer(CONTINUE)  # botocore asks for empty bodies too, and takes no answer instead
        try:
            reply = hub.route(request)
        except Exception as error:  # noqa: BLE001 - a request ends here
            reply = hub.retry(request, error) or hub.on_error(request, error)
        if is_plain and type(reply) is Reply:
            if len(reply.body) <= JOINED_BYTES_MAX or request.method == "HEAD":
                self._answer(encode_reply(reply, request.method, b"", hub.starts))
            else:
                self.release()
                self.write_parts((hub.starts[reply.status] + framed(reply.headers, len(reply.body)), reply.body))
            if not headers.has_body and not headers.expects_continue:
                hub.consider(head + b"\r\n\r\n", request, reply)
        elif not is_plain or type(reply) is not FileReply or not self._write_small_file(request, reply):
            return self._serve_slowly(request, reply, view, position, limit)
        return position + (headers.content_length or 0)

    def _serve_slowly(self, request: Request, reply: object, view: memoryview, position: int, limit: int) -> int:
        """Serve what is not plain. Return where the next request begins, or -1 when the connection is busy."""
        self.release()
        keep_alive = request.keep_alive and not self._is_last
        content, request.body = request.body, None  # other bytes will be where it lies now
        if content is not None and keep_alive and type(reply) is Upload:
            return self._upload_whole(request, reply, content, view, position + len(content), limit)
        length = request.headers.content_length
        body: Body | None = FixedBody(length) if length else ChunkedBody() if request.headers.is_chunked else None
        exchange, rest = Exchange(self, request, body, keep_alive=keep_alive), view[position:limit]
        if type(reply) is Upload and body is not None and rest and view is self.hub.shared_view:
            self._begin(exchange, rest[:0]).start_upload(reply, rest)
        else:
            self._begin(exchange, rest).dispatch(reply)
        self.update_reading()
        return -1

    def _write_reply(self, request: Request, reply: Reply) -> None:
        line = connection_line(keep_alive=True, is_http10=request.is_http10)
        self._answer(encode_reply(reply, request.method, line, self.hub.starts))

    def _answer(self, answer: bytes) -> None:
        if self._held:
            self._held += answer
        elif len(answer) <= HELD_BYTES_MAX:
            self._held = answer
            self.hub.hold(self)  # it may be released at once
        else:
            self.write(answer)

    def release(self) -> None:
        """Send what is held."""
        if self._held:
            held, self._held = self._held, b""
            if not self.is_broken:
                self.write(held)

    def _write_small_file(self, request: Request, reply: FileReply) -> bool:
        """Answer with a small file from the page cache within the turn; False when that is not possible."""
        if request.method == "HEAD":
            return False
        if UNCOPIED_BYTES_MIN <= reply.length <= self.hub.limits.turn_bytes:
            if self._send_file(reply):
                return True
            if reply.unsent_head is not None:
                return False
        content = small_content(self.hub, reply)
        if content is None:
            return False
        self._answer(b"".join((self.hub.starts[reply.status], framed(reply.headers, reply.length), content)))
        return True

    def _send_file(self, reply: FileReply) -> bool:
        """Answer with a file that the kernel sends by itself, its head held back until then. False: not, or in part."""
        sock = None if self._held or self.unsent_bytes else self.second_socket()
        if sock is None or not is_cached(reply.fd, reply.offset, reply.length):
            return False
        head = b"".join((self.hub.starts[reply.status], framed(reply.headers, reply.length)))
        try:
            reply.unsent_head = head[sock.send(head, socket.MSG_MORE) :]
            if not reply.unsent_head:
                sent = os.sendfile(sock.fileno(), reply.fd, reply.offset, reply.length)
                reply.offset += sent
                reply.length -= sent
        except OSError:  # the client takes no more now, or is gone: whoever sends the rest finds out which
            return False
        if reply.unsent_head or reply.length:
            return False
        os.close(reply.fd)
        return True

    def _upload_whole(
        self, request: Request, upload: Upload, content: memoryview, view: memoryview, end: int, limit: int
    ) -> int:
        """A body that came with its head: one write, one finish, usually without waiting."""
        sink, is_apart = upload.sink, not upload.is_inline and len(content) <= APART_BYTES_MAX
        if is_apart:
            content = memoryview(bytes(content))
        try:
            writing = sink.write(content)
        except Exception as error:  # noqa: BLE001 - a request ends here
            sink.abort()
            self._write_reply(request, self.hub.on_error(request, error))
            return end
        if writing is not None:
            if not is_apart:
                self.hub.replace_shared(view)
            exchange = self._begin(Exchange(self, request, None, keep_alive=True), view[end:limit])
            exchange.wait_for_write(sink, writing)
            self.update_reading()
            return -1
        try:
            reply = sink.finish()
        except Exception as error:  # noqa: BLE001 - a request ends here
            reply = self.hub.on_error(request, error)
        if type(reply) is Reply:
            self._write_reply(request, reply)
            return end
        exchange = self._begin(Exchange(self, request, None, keep_alive=True), view[end:limit])
        exchange.wait_for_finish(cast(Awaitable[Reply], reply))
        self.update_reading()
        return -1

    # Between requests.

    def _begin(self, exchange: Exchange, rest: memoryview) -> Exchange:
        self._phase = BUSY
        self._exchange = exchange
        if rest:
            # It may be used at once: whoever begins an exchange says when reading has to pause.
            self.tail = self.tail + rest
        return exchange

    def finish_exchange(self, exchange: Exchange) -> None:
        """The answer is on its way: read what is left of the body, then take the next request or close."""
        self._exchange = None
        body = exchange.body
        if exchange.keep_alive:
            if body is None or body.is_done:
                self._next_request()
            else:
                self._drain(body)
        elif body is None or body.is_done:
            self._close()
        else:
            self._end(is_framed=not exchange.request.is_http10)

    def _next_request(self) -> None:
        """Wait until the client has taken its answers, go on with bytes that are here already; or wait for more."""
        if not self.tail and not self.is_write_paused:
            self._become_idle()
            return
        self._phase = BUSY
        self.update_reading()
        if self.is_write_paused:
            self.when_flushed(self._consume_tail)
        else:
            self.hub.loop.call_soon(self._consume_tail)

    def _consume_tail(self) -> None:
        if self.is_broken or self._phase is LINGER:
            return
        tail, self.tail = self.tail, bytearray()
        if not tail:
            self._become_idle()
            return
        self._consume(tail, memoryview(tail), 0, len(tail))
        if self.is_at_eof and self._phase is HEAD:
            self._close()

    def _become_idle(self) -> None:
        self.touch()
        self._phase = IDLE
        if self.is_at_eof or self._is_last:
            self._close()
        else:
            self.update_reading()

    def _keep_partial_head(self, view: memoryview, *, is_next: bool) -> None:
        """Keep the beginning of a head; `is_next`: of another one than before, where there was one."""
        if len(view) > self.hub.head_bytes_max:
            self.refuse(HeadTooLarge(f"request head exceeds {self.hub.head_bytes_max} bytes"))
        elif is_hopeless(bytes(view), 0 if is_next or self._phase is not HEAD else self._checked):
            self.refuse(BadRequest("not an HTTP/1.1 request"))
        else:
            self._checked = len(view)
            self.tail = bytearray(view)
            if self._phase is not HEAD:
                self._phase = HEAD
                self.touch()
            self.update_reading()

    def _keep(self, data: memoryview) -> None:
        if data:
            self.tail = self.tail + data
            self.update_reading()

    # The application, shared by the exchanges of this connection.

    def handover(self) -> Handover:
        """The way to the application; made when first needed."""
        if self._handover is None:
            if self.hub.app_server is None:
                raise RuntimeError("the route handed a request over, but the server has no application")
            self._handover = Handover(self._transport, self.hub.app_server)
        return self._handover

    def drop_handover(self, error: Exception | None = None) -> None:
        """What runs there is cancelled; the next request gets a new one."""
        handover, self._handover = self._handover, None
        if handover is not None:
            handover.lost(error)

    # Ends.

    def refuse(self, error: AisError, request: Request | None = None) -> None:
        """Answer with an error and give the connection up: what follows on it cannot be understood."""
        self.release()
        request = request or Request("GET", "/", Headers(), self.peer)
        line = connection_line(keep_alive=False, is_http10=False)
        self.write(encode_reply(self.hub.on_error(request, error), request.method, line, self.hub.starts))
        self._exchange = None
        self._linger()

    def cut_off(self, exchange: Exchange) -> None:
        """The answer of `exchange` will never be complete, and must not look so. Those before it still arrive."""
        self._exchange = None
        self.drop_handover()
        if exchange.request.is_http10:
            # Without chunks an orderly end could be the end of the body.
            self._phase = LINGER
            self.touch()
            self._reset_when_sent()
        else:
            self._end(is_framed=False)

    def _reset_when_sent(self) -> None:
        if self.unsent_bytes:
            self.when_flushed(self._reset_when_sent)
        else:
            # Not within a callback of the transport, which may still be at work on what it sent.
            self.hub.loop.call_soon(self.reset)

    def _end(self, *, is_framed: bool) -> None:
        """Close although the client still sends. An unframed answer has an end only if the connection has."""
        if is_framed or self._transport.can_write_eof():
            self._linger()
        else:
            self._close()

    def _drain(self, body: Body) -> None:
        """Read the rest of a body that nobody wants, as the answer promised."""
        self._body = body
        self._phase = DRAIN
        self.touch()
        tail, self.tail = self.tail, bytearray()
        self._discard(memoryview(tail))
        if self._phase is DRAIN and self.is_at_eof:
            self._close()
        self.update_reading()

    def _discard(self, view: memoryview) -> None:
        if self._phase is LINGER:
            self._budget -= len(view)
            if self._budget < 0:
                self.break_off()
            return
        self.touch()
        body = cast(Body, self._body)
        try:
            _, consumed = body.take(view)
        except AisError:
            self._linger()
            return
        if body.is_done:
            self.tail = bytearray(view[consumed:])
            self._next_request()

    def _linger(self) -> None:
        """Close so that the client can still read the answer: shut down our side, discard for a while."""
        self._phase = LINGER
        self.touch()
        self.tail = bytearray()
        self._budget = self.hub.limits.linger_bytes_max
        if self.is_at_eof:
            self._close()
        elif self._transport.can_write_eof():
            self._transport.write_eof()
        self.update_reading()

    def _close(self) -> None:
        """Send what is queued, then close."""
        self.release()
        self._phase = LINGER
        self.touch()
        self._transport.close()

    def stop(self) -> None:
        """The server drains: close now if idle, else after the present answer."""
        self._is_last = True
        if self._exchange is not None:
            self._exchange.keep_alive = False
        elif self._phase is IDLE:
            self._close()

    def give_way(self) -> None:
        """Others need the place: close if nothing is going on."""
        if self._phase is IDLE:
            self._close()

    @property
    def is_idle(self) -> bool:
        """Whether nothing is going on."""
        return self._phase is IDLE

    def check_deadline(self) -> None:
        """End the connection when what it waits for is overdue. Called by the hub's sweep."""
        unsent = self.unsent_bytes
        if unsent != self._unsent:
            self._unsent = unsent
            if self._phase is not HEAD:
                self.touch()
            return
        limits = self.hub.limits
        waited_s = (self.hub.tick - self.tick - 1) * limits.tick_s
        if self._phase is LINGER:
            if waited_s >= limits.linger_timeout_s:
                self.break_off()
        elif self._phase is HEAD:
            if waited_s >= limits.header_timeout_s:
                self.refuse(TooSlow("the request head did not arrive in time"))
        elif self._phase is IDLE and not unsent:
            if waited_s >= limits.keepalive_timeout_s:
                self._close()
        elif self._exchange is not None:
            if self._exchange.is_overdue(waited_s):
                self._exchange.time_out()
        elif waited_s >= limits.body_idle_timeout_s:
            self.break_off()
