"""A request that takes more than one callback: an awaitable route, upload, file, stream, relay, or the application.

The connection makes one for every request that its hot path cannot finish, gives it what the route returned, and
takes over again when the exchange calls `finish`.

    stage     what is awaited                             whose delay it is
    WAIT      an awaitable of the route or sink           the owner of the awaitable
    QUEUED    room for the body in memory (`Memory`)      the node's; nothing of the client is read
    BODY      body bytes for a sink (`Receiver`)          the client's, unless reading is paused
    REST      a small body that nobody wants              the client's
    SEND      the client to take a file (`FileSender`)    the client's
    STREAM    the stream, or the client to take it        the client's while writing is paused
    HANDED    the application (`Handover`)                the client's while it owes body bytes or writing is paused
    RELAY     another node (`Relay`), or the client       either's; the relay knows
    DONE      nothing: the connection has taken over      -
"""

import asyncio
import enum
import os
from collections.abc import Awaitable, Callable
from typing import Any, cast

from ais.base.errors import AisError, BadRequest, TooLarge, TooSlow
from ais.net import spelling
from ais.net.body import Body, FixedBody
from ais.net.encoding import CONTINUE, connection_line, encode_head, encode_reply
from ais.net.handover import Handover
from ais.net.http import AnyReply, FileReply, Forward, Reply, Request, Sink, StreamReply, Upload
from ais.net.leftover import READ_FIRST_BYTES_MAX, is_kept, is_read_first
from ais.net.memory import FREE_BYTES
from ais.net.relay import Relay
from ais.net.sending import FileSender, small_content, stream_chunks
from ais.net.serving import Client
from ais.net.upload import InlineReceiver, Receiver
from ais.net.upstream import Upstreams

CompleteReply = Reply | FileReply | StreamReply
"""Answers that want nothing more of the body."""


class Stage(enum.Enum):
    """What the exchange waits for; the table is in the module's docstring."""

    WAIT = enum.auto()
    QUEUED = enum.auto()
    BODY = enum.auto()
    REST = enum.auto()
    SEND = enum.auto()
    STREAM = enum.auto()
    HANDED = enum.auto()
    RELAY = enum.auto()
    DONE = enum.auto()


_closing: set["asyncio.Future[None]"] = set()
"""Streams that nobody will get."""
_NEEDS_BODY = frozenset((Stage.WAIT, Stage.QUEUED, Stage.BODY, Stage.HANDED, Stage.RELAY))
"""Where a body that will never be complete leaves nothing to be answered."""


class Host(Client):
    """The connection as its exchange sees it."""

    __slots__ = ("upstreams",)

    upstreams: Upstreams
    """Connections to other nodes."""

    def finish_exchange(self, exchange: "Exchange") -> None:
        """The answer is on its way: read what is left of the body, then take the next request or close."""
        raise NotImplementedError

    def cut_off(self, exchange: "Exchange") -> None:
        """The answer of `exchange` will never be complete, and must not look so. Those before it still arrive."""
        raise NotImplementedError

    def handover(self) -> Handover:
        """The way to the application; made when first needed."""
        raise NotImplementedError

    def drop_handover(self, error: Exception | None = None) -> None:
        """What runs there is cancelled; the next request gets a new one."""
        raise NotImplementedError


class Exchange:
    """One request and its answer, as `Serving`. `body` is what the client still owes, or None."""

    __slots__ = (
        "_handover",
        "_is_body_coming",
        "_kept",
        "_kept_max",
        "_kept_tick",
        "_on_rest_read",
        "_relay",
        "_rest_left",
        "_sender",
        "_stage",
        "_task",
        "_unanswered",
        "body",
        "connection",
        "keep_alive",
        "receiver",
        "request",
    )

    def __init__(self, connection: Host, request: Request, body: Body | None, *, keep_alive: bool) -> None:
        self.connection = connection
        self.request = request
        self.body = body
        self.keep_alive = keep_alive
        self.receiver: InlineReceiver | Receiver | None = None
        """Where body bytes are received while a sink takes them."""
        self._stage = Stage.WAIT
        self._kept = 0
        """What the body was counted at in the node's memory."""
        self._kept_tick = 0
        """When."""
        self._kept_max = 0
        """What the application may get of a body of unknown length."""
        self._is_body_coming = False
        """The client was asked for the body, or has begun to send it."""
        self._sender: FileSender | None = None
        self._relay: Relay | None = None
        self._handover: Handover | None = None
        self._task: asyncio.Future[Any] | None = None
        """What the route is waiting for; cancelled when the connection is lost."""
        self._unanswered: CompleteReply | None = None
        """What is answered after the rest of the body."""
        self._on_rest_read: Callable[[], None] | None = None
        self._rest_left = 0

    # What the connection calls.

    def dispatch(self, reply: object) -> None:
        """Do what the route returned."""
        kind = type(reply)
        if kind is Reply or kind is FileReply or kind is StreamReply:
            self._answer(cast(CompleteReply, reply))
        elif kind is Upload:
            self.start_upload(cast(Upload, reply))
        elif kind is Forward:
            self._start_relay(cast(Forward, reply))
        elif reply is None:
            self._hand_over()
        else:
            self._task = asyncio.ensure_future(cast("Awaitable[AnyReply]", reply))
            self._task.add_done_callback(self._ready)

    def wait_for_write(self, sink: Sink, writing: Awaitable[None]) -> None:
        """The sink got the whole body in one write and is not done with it. It is never cancelled."""

        def written(done: "asyncio.Future[None]") -> None:
            error = asyncio.CancelledError() if done.cancelled() else done.exception()
            if error is None and not self.connection.is_broken:
                self.finish_upload(sink)
                return
            sink.abort()
            if error is not None and not self.connection.is_broken:
                self._answer(self._error_reply(error))

        asyncio.ensure_future(writing).add_done_callback(written)

    def wait_for_finish(self, finishing: Awaitable[Reply]) -> None:
        """The sink has everything and is not done with it. It is never cancelled."""
        asyncio.ensure_future(finishing).add_done_callback(self._ready)

    def received(self, count: int) -> None:
        """`count` bytes came: into the receiver's buffer, else into the shared one."""
        connection = self.connection
        connection.touch()
        if self.receiver is not None:
            self._receive(self.receiver.received, count)
        elif self._stage is Stage.REST:
            self._read_rest(connection.hub.shared_view[:count])
            connection.update_reading()
        elif self._relay is not None and not connection.tail:
            self._relay_received(self._relay, connection.hub.shared_view[:count])
        else:
            connection.tail = connection.tail + connection.hub.shared_view[:count]
            self.pump()

    def pump(self) -> None:
        """Use what was kept as far as it can be used now, then receive again if there is room."""
        connection = self.connection
        while connection.tail and self.receiver is not None and self.receiver.can_receive:
            tail, space = connection.tail, len(self.receiver.space())
            connection.tail = tail[space:]
            self._receive(self.receiver.put, memoryview(tail)[:space])
        if self._stage is Stage.REST and connection.tail:
            tail, connection.tail = connection.tail, bytearray()
            self._read_rest(memoryview(tail))
        if self._stage is Stage.HANDED and connection.tail:
            self._feed_handover()
        if self._relay is not None and connection.tail:
            tail = connection.tail
            used = self._relay_body(self._relay, memoryview(tail))
            if used:
                connection.tail = tail[used:]
        if connection.is_at_eof and self._stage is not Stage.WAIT:
            self.at_eof()
        connection.update_reading()

    def wants_bytes(self) -> bool:
        """Whether bytes of the client could be used now."""
        if self._stage is Stage.BODY:
            return self.receiver is not None and self.receiver.can_receive
        if self._stage is Stage.QUEUED:
            return False
        if self._stage is Stage.REST:
            return True
        if self._handover is not None and self.owes_body:
            return not self._handover.is_reading_paused
        if self._relay is not None and self.owes_body and not self._relay.wants_body():
            return False
        return not self.connection.tail

    def at_eof(self) -> None:
        """The client will send nothing more."""
        if self._stage is Stage.REST:
            self._end_rest()
        elif self._stage in _NEEDS_BODY and self.owes_body and not self.connection.tail:
            self.lost()
            self.cut_off()

    def is_overdue(self, waited_s: float) -> bool:
        """Whether whoever is waited for, when it is not the route, has kept us waiting for too long."""
        if self._relay is not None:
            return self._relay.is_overdue(waited_s)
        hub = self.connection.hub
        kept_s = (hub.tick - self._kept_tick) * hub.limits.tick_s if self._kept and self.owes_body else 0.0
        is_slow = waited_s >= hub.limits.body_idle_timeout_s or kept_s > hub.limits.kept_body_timeout_s
        return is_slow and self._is_up_to_client

    @property
    def _is_up_to_client(self) -> bool:
        if self._stage is Stage.SEND or self.connection.is_write_paused:
            return True
        if self._stage in (Stage.BODY, Stage.REST, Stage.HANDED):
            return self.owes_body and not self.connection.is_reading_paused
        return False

    def time_out(self) -> None:
        """What `is_overdue` said."""
        if self._relay is not None:
            self._relay.time_out()
            return
        error = TooSlow("the request body did not arrive in time")
        if self._stage is Stage.REST:
            self._end_rest()
        elif self._stage is Stage.BODY and not self.connection.is_write_paused:
            self._abandon_upload(error)
        elif self._stage is Stage.HANDED and not self.connection.is_write_paused:
            self._break_handover(error)
        else:
            self.connection.break_off()

    def lost(self) -> None:
        """The connection is gone: stop everything that was done for it."""
        self._free()
        receiver, self.receiver = self.receiver, None
        if receiver is not None:
            receiver.cancel()
        if self._task is not None:
            # Not before its first step: a coroutine cancelled earlier never runs, so it could not clean up either.
            self.connection.hub.loop.call_soon(self._task.cancel)
        if self._sender is not None:
            self._sender.close()
        if self._relay is not None:
            self._relay.cancel()
        _dispose(self._unanswered)

    def finish(self) -> None:
        """The answer is on its way."""
        self._free()
        self._stage = Stage.DONE
        if not self.connection.is_broken:
            self.connection.finish_exchange(self)

    def cut_off(self) -> None:
        """There will be no answer, or no more of it than has come."""
        self._free()
        if self._stage is not Stage.DONE:
            self._stage = Stage.DONE
            if not self.connection.is_broken:
                self.connection.cut_off(self)

    # Replies.

    def _ready(self, future: "asyncio.Future[Any]") -> None:
        self._task = None
        if future.cancelled():
            self.cut_off()
            return
        error = future.exception()
        if self.connection.is_broken or self._stage is Stage.DONE:
            if error is None:
                _dispose(future.result())
            return
        if error is None:
            self.dispatch(future.result())
        else:
            self.dispatch(self.connection.hub.retry(self.request, error) or self._error_reply(error))

    def _answer(self, reply: CompleteReply) -> None:
        """Answer, after the rest of a small body."""
        self._unanswered = reply
        self.read_rest(self._send_answer)

    def _send_answer(self) -> None:
        reply, self._unanswered = self._unanswered, None
        self.settle_keep_alive()
        if type(reply) is Reply:
            self._send_reply(reply)
        elif type(reply) is FileReply:
            self._send_file(reply)
        else:
            self._send_stream(cast(StreamReply, reply))

    def _send_reply(self, reply: Reply) -> None:
        connection = self.connection
        connection.write(encode_reply(reply, self.request.method, self._connection_line(), connection.hub.starts))
        self.finish()

    def _send_file(self, reply: FileReply) -> None:
        connection = self.connection
        if reply.unsent_head is not None:
            self._send_rest(reply.unsent_head, reply)
            return
        head = encode_head(reply.status, reply.headers, reply.length, self._connection_line(), connection.hub.starts)
        if self.request.method == "HEAD":
            os.close(reply.fd)
            connection.write(head)
            self.finish()
        elif (content := small_content(connection.hub, reply)) is not None:
            connection.write(b"".join((head, content)))
            self.finish()
        else:
            self._send_rest(head, reply)

    def _send_rest(self, head: bytes, reply: FileReply) -> None:
        self._stage = Stage.SEND
        self.connection.touch()
        self._sender = FileSender(self.connection, head, reply, self.finish)
        self._sender.turn()

    def _send_stream(self, reply: StreamReply) -> None:
        is_chunked = reply.length is None and not self.request.is_http10
        if reply.length is None and not is_chunked:
            self.keep_alive = False
        connection = self.connection
        connection.write(
            encode_head(
                reply.status,
                reply.headers,
                reply.length,
                self._connection_line(),
                connection.hub.starts,
                is_chunked=is_chunked,
            )
        )
        if self.request.method == "HEAD":
            self.finish()
            return
        self._stage = Stage.STREAM
        connection.touch()
        self._task = asyncio.ensure_future(stream_chunks(connection, reply, is_chunked=is_chunked))
        self._task.add_done_callback(self._streamed)

    def _streamed(self, task: "asyncio.Future[None]") -> None:
        self._task = None
        error = None if task.cancelled() else task.exception()
        if error is not None and not self.connection.is_broken:
            # The head is out: this is for the log.
            self._error_reply(error)
        if error is not None or task.cancelled():
            self.cut_off()
        else:
            self.finish()

    def _error_reply(self, error: BaseException) -> Reply:
        return self.connection.hub.on_error(self.request, error)

    def settle_keep_alive(self) -> None:
        """Decide, before the head is written, whether an unread body is worth reading to keep the connection."""
        body, limits = self.body, self.connection.hub.limits
        if body is not None and not body.is_done:
            is_worth = is_kept(body, self.request, limits.drain_bytes_max, has_begun=self._has_body_begun)
            self.keep_alive = self.keep_alive and is_worth and not self.connection.is_at_eof

    def _connection_line(self) -> bytes:
        return connection_line(keep_alive=self.keep_alive, is_http10=self.request.is_http10)

    # A body that nobody wants.

    def read_rest(self, then: Callable[[], None]) -> None:
        """Call `then` once the rest of a small body is read, or will not come, or turns out not to be small."""
        body = self.body
        if body is None or body.is_done or not is_read_first(body, self.request, has_begun=self._has_body_begun):
            then()
            return
        self._on_rest_read, self._rest_left = then, READ_FIRST_BYTES_MAX
        self._stage = Stage.REST
        self.connection.touch()
        if self.connection.tail or self.connection.is_at_eof:
            self.pump()
        else:
            self.connection.update_reading()

    def _read_rest(self, view: memoryview) -> None:
        """Take what came of the rest. Nothing is in `tail` meanwhile: what lies behind the body goes there."""
        body = cast(Body, self.body)
        try:
            _, consumed = body.take(view[: self._rest_left])
        except AisError:
            self._end_rest()
            return
        if consumed < len(view):
            self.connection.tail = bytearray(view[consumed:])
        self._rest_left -= consumed
        if body.is_done or not self._rest_left:
            self._end_rest()

    def _end_rest(self) -> None:
        """No more of the body is read before the answer."""
        then, self._on_rest_read = self._on_rest_read, None
        if self.owes_body:
            self.keep_alive = False
        self._stage = Stage.WAIT if self._handover is None else Stage.HANDED
        if then is not None:
            then()

    # A body that is kept until it is complete.

    def _keep(self, count: int, then: Callable[[], None], give_up: Callable[[], None] = lambda: None) -> None:
        """Call `then` when there is room for the body in memory; `give_up` when there is none."""
        if count <= FREE_BYTES:
            then()
            return
        hub = self.connection.hub
        waiting = hub.memory.take(_host_of(self.request), count)
        if waiting is None:
            self._kept, self._kept_tick = count, hub.tick
            then()
            return

        def ended(done: "asyncio.Future[None]") -> None:
            self._task = None
            error = None if done.cancelled() else done.exception()
            if error is None and not done.cancelled():
                self._kept, self._kept_tick = count, hub.tick
            if done.cancelled() or self.connection.is_broken or self._stage is Stage.DONE:
                self._free()
                give_up()
            elif error is not None:
                self._stage = Stage.WAIT
                give_up()
                self._answer(self._error_reply(error))
            else:
                self.connection.touch()
                then()

        self._stage = Stage.QUEUED
        self._task = waiting
        waiting.add_done_callback(ended)
        self.connection.update_reading()

    def _free(self) -> None:
        if self._kept:
            self.connection.hub.memory.give(_host_of(self.request), self._kept)
            self._kept = 0

    # Uploads.

    @property
    def _has_body_begun(self) -> bool:
        return self._is_body_coming or bool(self.connection.tail)

    @property
    def owes_body(self) -> bool:
        """Whether the body has not been taken completely."""
        return self.body is not None and not self.body.is_done

    @property
    def awaits_body(self) -> bool:
        """Whether the client should be sending the body."""
        return self.owes_body and (self._is_body_coming or not self.request.headers.expects_continue)

    def ask_for_body(self) -> None:
        """Send `100 Continue` when the client waits for it."""
        if self.request.headers.expects_continue and not self._has_body_begun:
            self._is_body_coming = True
            if self.owes_body and not self.request.is_http10:
                self.connection.write(CONTINUE)

    def start_upload(self, upload: Upload, beginning: memoryview | None = None) -> None:
        """Take the body. `beginning`: what came of it already, at the end of the shared buffer, if it was not kept."""
        if upload.kept > FREE_BYTES and not self._kept:
            if beginning is not None:
                self.connection.unread(beginning)
            self._keep(upload.kept, lambda: self.start_upload(upload), upload.sink.abort)
            return
        if beginning is None:
            self.ask_for_body()
        self._is_body_coming = True
        self._stage = Stage.BODY
        self.connection.touch()
        if self.body is None or self.body.is_done:
            self.finish_upload(upload.sink)
            return
        receiver = self.receiver = (InlineReceiver if upload.is_inline else Receiver)(self, upload.sink, self.body)
        if beginning is not None:
            self._receive(receiver.begin, beginning)
        self.pump()

    def _receive(self, take: Callable[[Any], None], argument: object) -> None:
        """Give the receiver bytes; bad framing ends the request and the connection."""
        try:
            take(argument)
        except AisError as error:
            self._abandon_upload(error)

    def _abandon_upload(self, error: AisError) -> None:
        self._free()
        receiver, self.receiver = self.receiver, None
        if receiver is not None:
            receiver.cancel()
        self.connection.refuse(error, self.request)

    def finish_upload(self, sink: Sink) -> None:
        """The body is complete and written: let the sink finish and answer."""
        self.receiver = None
        self._stage = Stage.WAIT
        try:
            reply = sink.finish()
        except Exception as error:  # noqa: BLE001 - a request ends here
            reply = self._error_reply(error)
        if type(reply) is Reply:
            self._answer(reply)
        else:
            self.wait_for_finish(cast("Awaitable[Reply]", reply))
            self.connection.update_reading()

    def fail(self, error: BaseException) -> None:
        """The sink refused the rest of the body, or the relay has no answer."""
        self.receiver = self._relay = None
        if not self.connection.is_broken:
            self._answer(self._error_reply(error))

    # Relay to another node.

    def _start_relay(self, forward: Forward) -> None:
        self._stage = Stage.RELAY
        self.connection.touch()
        self._relay = Relay(self, self.connection.upstreams.pool(forward.url), forward.headers)
        self._relay.start()

    def _relay_received(self, relay: Relay, view: memoryview) -> None:
        connection = self.connection
        used = self._relay_body(relay, view)
        if used < len(view):
            connection.tail = bytearray(view[used:])
        if len(view) == len(connection.hub.shared):
            connection.yield_turn()
        else:
            connection.update_reading()

    def _relay_body(self, relay: Relay, view: memoryview) -> int:
        """Give the relay bytes; bad framing ends the request and the connection."""
        try:
            used = relay.take_body(view)
        except AisError as error:
            relay.cancel()
            self.connection.refuse(error, self.request)
            return len(view)
        if used:
            self._is_body_coming = True
        return used

    # Hand-over to the application.

    def _hand_over(self) -> None:
        try:
            spelling.check(self.request.path)
        except BadRequest as error:
            self._answer(self._error_reply(error))
            return
        bytes_max = self.connection.hub.limits.body_bytes_max(self.request.path)
        count = self.body.remaining if isinstance(self.body, FixedBody) else bytes_max if self.body else 0
        if count > bytes_max:
            self._answer(self._error_reply(_too_large(bytes_max)))
            return
        self._kept_max = bytes_max
        self._keep(count, self._start_handover)

    def _start_handover(self) -> None:
        self._stage = Stage.HANDED
        self.connection.touch()
        self.ask_for_body()
        if self.request.peer is not self.connection.peer:
            self.connection.drop_handover()  # the application remembers whom it served on a connection
        self._handover = self.connection.handover()
        self._handover.begin(self)
        self.pump()

    def _feed_handover(self) -> None:
        """Pass on what has come of the body, as far as the application wants it now."""
        handover, body, tail = self._handover, self.body, self.connection.tail
        if handover is None or body is None or body.is_done or handover.is_reading_paused:
            return
        try:
            payload, consumed = body.take(memoryview(tail))
        except AisError as error:
            self._break_handover(error)
            return
        self._is_body_coming = True
        self.connection.tail = tail[consumed:]
        self._kept_max -= payload
        if self._kept_max < 0:
            self._break_handover(_too_large(self.connection.hub.limits.body_bytes_max(self.request.path)))
            return
        handover.feed(bytes(memoryview(tail)[:payload]))

    def _break_handover(self, error: AisError) -> None:
        """The body will never be complete: stop the application, and answer if it has not."""
        self._free()
        handover, self._handover = self._handover, None
        if handover is not None:
            self.connection.drop_handover()
            if handover.has_answered:
                self.cut_off()
            else:
                self.connection.refuse(error, self.request)

    def handover_done(self, *, keep_alive: bool) -> None:
        """The application answered. What it did not take of the body is drained by the connection."""
        handover, self._handover = self._handover, None
        self.keep_alive = self.keep_alive and keep_alive
        if not self.keep_alive or self.owes_body or (handover is not None and not handover.is_clean):
            self.connection.drop_handover()
        self.finish()


def _host_of(request: Request) -> str:
    return request.remote.rpartition(":")[0]


def _too_large(bytes_max: int) -> TooLarge:
    return TooLarge(f"request body exceeds {bytes_max} bytes")


def _dispose(reply: AnyReply | None) -> None:
    """A reply that nobody will get any more."""
    if isinstance(reply, FileReply):
        os.close(reply.fd)
    elif isinstance(reply, Upload):
        reply.sink.abort()
    elif isinstance(reply, StreamReply) and (close := getattr(reply.chunks, "aclose", None)) is not None:
        closing = asyncio.ensure_future(close())
        _closing.add(closing)
        closing.add_done_callback(_closing.discard)
