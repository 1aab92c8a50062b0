"""A request that another node answers: sent there, its body and its answer passed on as they come.

Theory of operation. The two connections call back into the relay, which keeps nothing but the beginning of a head: what
one side sent goes to the other side's transport within the same callback. While that transport has too much unsent,
the first side is not read (`wants_body`, `wants_answer`), so a slow reader slows its writer down through TCP.

    direction           begins                               ends
    body to the peer    the pool lends a connection          body complete, or the answer
    answer to client    head of the answer                   its framing says so

    lost or wrong                              before the answer's head                    after it
    idle connection found closed               a read: once more on a new one              -
    peer's connection                          `Unreachable`                               client's connection breaks
    client's connection                        peer's connection is closed at once         the same
    framing of the body                        400, peer's connection is closed            body is only drained

The peer's connection is used again when both messages on it were complete. A change is never sent twice: the peer may
have made it before the connection was lost (a link that was cut, a node that was killed), and made again it is another
version, a condition that fails, or the undoing of what somebody else wrote in between.
"""

from ais.base.errors import AisError, NotReady, TooSlow, Unreachable
from ais.net.body import AnswerBody, ChunkedBody, FixedBody, OpenBody
from ais.net.encoding import LAST_CHUNK, encode_chunk
from ais.net.http import BODILESS
from ais.net.relayed_head import AnswerHead, encode_answer_head, encode_request_head, parse_answer_head
from ais.net.serving import Serving
from ais.net.upstream import PeerPool, Upstream

ANSWER_TIMEOUT_S = 600.0
"""From the end of the body to the head of the answer: completing an upload in parts may copy terabytes."""
CONTINUE, SWITCHING_PROTOCOLS = 100, 101
READS = ("GET", "HEAD", "OPTIONS")


class Relay:
    """One request on its way to a peer and back, for an exchange."""

    __slots__ = (
        "_answer_body",
        "_connection",
        "_exchange",
        "_extra",
        "_head",
        "_is_answer_chunked",
        "_keeps_alive",
        "_may_repeat",
        "_partial",
        "_pool",
        "_sent",
        "_upstream",
    )

    def __init__(self, exchange: Serving, pool: PeerPool, extra: bytes) -> None:
        self._exchange = exchange
        self._connection = exchange.connection
        self._extra = extra
        self._pool = pool
        self._upstream: Upstream | None = None
        self._may_repeat = False
        """A read on a connection that served other requests before: it may be closed without our knowing yet."""
        self._head = b""
        """Head of the request while it waits to be sent together with the first of the body."""
        self._sent = b""
        """All that was sent so far, when it may have to be sent again."""
        self._partial = b""
        """The beginning of the answer's head."""
        self._answer_body: AnswerBody | None = None
        """Where the answer ends, from its head on."""
        self._is_answer_chunked = False
        """The client gets the answer in chunked encoding."""
        self._keeps_alive = False
        """The peer keeps its connection after the answer."""

    # What the exchange calls.

    def start(self) -> None:
        """Ask for a connection; all else happens in callbacks."""
        try:
            self._pool.take(self)
        except NotReady as error:
            self._exchange.fail(error)

    def take_body(self, view: memoryview) -> int:
        """Send on what `view` holds of the body; return how many raw bytes that took. Raise for bad framing."""
        body, upstream = self._exchange.body, self._upstream
        if upstream is None or body is None or body.is_done:
            return 0
        payload, consumed = body.take(view)
        piece = view[:payload]
        upstream.moved()
        self._send(upstream, piece if isinstance(body, FixedBody) else encode_chunk(piece, is_last=body.is_done))
        if upstream.is_write_paused:
            upstream.when_flushed(self._upstream_has_room)
        return consumed

    def wants_body(self) -> bool:
        """Whether the peer takes what the client sends."""
        return self._upstream is None or not self._upstream.is_write_paused

    def wants_answer(self) -> bool:
        """Whether the client takes what the peer sends."""
        return not self._connection.is_write_paused

    def is_overdue(self, waited_s: float) -> bool:
        """Whether too long nothing has happened."""
        upstream = self._upstream
        has_all = upstream is not None and not upstream.is_write_paused and not self._exchange.owes_body
        is_peer_thinking = has_all and self._answer_body is None
        limit_s = ANSWER_TIMEOUT_S if is_peer_thinking else self._connection.hub.limits.body_idle_timeout_s
        return waited_s >= limit_s

    def time_out(self) -> None:
        """Nothing happened for too long: answer if that is still possible."""
        exchange, upstream = self._exchange, self._upstream
        if self._answer_body is not None or self._connection.is_write_paused:
            self._connection.break_off()
        elif upstream is not None and exchange.awaits_body and not upstream.is_write_paused:
            self.cancel()
            self._connection.refuse(TooSlow("the request body did not arrive in time"), exchange.request)
        else:
            self.fail(Unreachable(f"{self._pool.url} did not answer in time"))

    def cancel(self) -> None:
        """The client is gone, or its body is bad: the peer must not wait for the rest."""
        upstream, self._upstream = self._upstream, None
        if upstream is not None:
            upstream.discard()
        else:
            self._pool.give_up(self)

    # What the peer's connection and its pool call.

    def begin(self, upstream: Upstream, *, is_used: bool) -> None:
        """Send the request on this connection, with what is here of the body."""
        self._upstream = upstream
        again, self._sent = self._sent, b""
        self._may_repeat = is_used and not again and self._exchange.request.method in READS
        if again:
            upstream.write(again)
        else:
            self._head = encode_request_head(self._exchange.request, self._pool.netloc, self._extra)
        self._connection.touch()
        if self._connection.tail:
            self._exchange.pump()
        if self._head and self._upstream is not None:
            self._send(upstream, b"")

    def fail(self, error: AisError) -> None:
        """There will be no answer from the peer."""
        self.cancel()
        self._exchange.fail(error)

    def answered(self, view: memoryview) -> None:
        """Bytes of the answer, valid only now."""
        if self._connection.is_broken:
            return
        self._connection.touch()
        try:
            if self._answer_body is None:
                self._take_head(self._partial + view)
            else:
                self._pass_body(self._answer_body, view)
        except AisError as error:
            if self._answer_body is None:
                self.fail(Unreachable(f"{self._pool.url}: {error}"))
            else:
                self._break_answer()

    def upstream_ended(self, *, is_clean: bool) -> None:
        """The peer's connection is gone; `is_clean` when the peer closed it in order."""
        self._upstream = None
        if self._sent:
            self._pool.take_fresh(self)
        elif self._answer_body is None:
            self._exchange.fail(Unreachable(f"{self._pool.url} closed the connection without an answer"))
        elif is_clean and isinstance(self._answer_body, OpenBody):
            if self._is_answer_chunked:
                self._connection.write(LAST_CHUNK)
            self._exchange.finish()
        else:
            self._break_answer()

    # Body to the peer.

    def _send(self, upstream: Upstream, piece: bytes | memoryview) -> None:
        self._sent = b""
        if self._head:
            first = b"".join((self._head, piece))
            self._head = b""
            if self._may_repeat:
                self._sent = first
            upstream.write(first)
        else:
            upstream.pass_on(piece)

    def _upstream_has_room(self) -> None:
        if self._upstream is not None:
            self._connection.touch()
            self._exchange.pump()

    # Answer to the client.

    def _take_head(self, data: bytes) -> None:
        """Look for the head in all that has come of the answer; interim ones only matter to `Expect`."""
        self._sent = b""
        start = 0
        while (end := data.find(b"\r\n\r\n", start)) >= 0:
            head = data[start : end + 2]
            parsed = parse_answer_head(head)
            if parsed.status == SWITCHING_PROTOCOLS:
                raise Unreachable("answer to a question that was not asked")
            if parsed.status >= 200:
                self._begin_answer(head, parsed, data, start, end + 4)
                return
            if parsed.status == CONTINUE:
                self._exchange.ask_for_body()
            start = end + 4
        self._partial = data[start:]
        if len(self._partial) > self._connection.hub.head_bytes_max:
            raise Unreachable("answer with too long a head")

    def _begin_answer(self, head: bytes, parsed: AnswerHead, data: bytes, start: int, body_start: int) -> None:
        """Send the head with what is here of the body: in one piece, and as it is when the head needs no change."""
        exchange = self._exchange
        is_http10 = exchange.request.is_http10
        body = self._answer_body = _framing(exchange.request.method, parsed)
        has_length = isinstance(body, FixedBody)
        self._keeps_alive = parsed.keeps_alive
        self._is_answer_chunked = not has_length and not is_http10
        exchange.settle_keep_alive()
        if not has_length and is_http10:
            exchange.keep_alive = False
        # Chunks are decoded in place.
        rest = memoryview(data if has_length else bytearray(data))[body_start:]
        piece, consumed = self._take_answer(body, rest)
        if parsed.is_plain and has_length and exchange.keep_alive and not is_http10:
            end = body_start + consumed
            self._connection.write(data[start:end])
        else:
            self._connection.write(
                encode_answer_head(
                    head,
                    is_chunked=self._is_answer_chunked,
                    keep_alive=exchange.keep_alive,
                    is_http10=is_http10,
                )
                + piece
            )
        self._after_piece(body, is_excess=consumed < len(rest))

    def _pass_body(self, body: AnswerBody, view: memoryview) -> None:
        piece, consumed = self._take_answer(body, view)
        self._connection.pass_on(piece)
        self._after_piece(body, is_excess=consumed < len(view))

    def _take_answer(self, body: AnswerBody, view: memoryview) -> tuple[bytes | memoryview, int]:
        payload, consumed = body.take(view)
        piece = view[:payload]
        return encode_chunk(piece, is_last=body.is_done) if self._is_answer_chunked else piece, consumed

    def _after_piece(self, body: AnswerBody, *, is_excess: bool) -> None:
        if body.is_done:
            self._finish(is_excess=is_excess)
        elif self._connection.is_write_paused and self._upstream is not None:
            self._connection.when_flushed(self._client_has_room)
            self._upstream.update_reading()

    def _client_has_room(self) -> None:
        if self._upstream is not None:
            self._upstream.update_reading()

    def _finish(self, *, is_excess: bool) -> None:
        upstream, self._upstream = self._upstream, None
        if upstream is not None:
            if self._keeps_alive and not is_excess and not self._exchange.owes_body:
                upstream.release()
            else:
                upstream.discard()
        self._exchange.finish()

    def _break_answer(self) -> None:
        """The client must not take what it has for the whole."""
        self.cancel()
        self._exchange.cut_off()


def _framing(method: str, head: AnswerHead) -> AnswerBody:
    if method == "HEAD" or head.status in BODILESS:
        return FixedBody(0)
    if head.content_length is not None:
        return FixedBody(head.content_length)
    return ChunkedBody() if head.is_chunked else OpenBody()
