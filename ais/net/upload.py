"""A body on its way from the connection to a sink, when it did not arrive together with its head.

What an inline sink takes (`InlineReceiver`) is received into the buffer that all connections share, which thereby stays
in the processor's cache, and is handed on as it comes.

For other sinks (`Receiver`) bytes are received straight into a buffer of the pool; a large beginning that came with the
head lies in the shared buffer, which is swapped for one of the pool. A full buffer, or the last one, goes to the sink;
while the sink works on it (an awaitable: hash and write in a thread) the connection receives into a second one. With
both full, or no second one left in the pool, reading pauses. When the pool is empty from the start a small private
buffer is used, so slow clients that hold all buffers never stop the others.
"""

import asyncio

from ais.net.body import Body, FixedBody
from ais.net.http import Sink
from ais.net.serving import Serving

PRIVATE_FRACTION = 16
LENT_BYTES_MIN = 64 << 10
"""A beginning as large as this is not copied."""
TURN_BYTES_MIN = 64 << 10
"""The others have their turn after so much; below it, it is the client who is slow."""
FULL_FRACTION = 16
"""A buffer counts as full when less than a sixteenth is free: the rest is not worth a system call."""


class InlineReceiver:
    """Receives a body for a sink that takes what comes at once. Used as `Receiver`."""

    __slots__ = ("_exchange", "_hub", "body", "sink")

    def __init__(self, exchange: Serving, sink: Sink, body: Body) -> None:
        self._exchange = exchange
        self._hub = exchange.connection.hub
        self.sink = sink
        self.body = body

    @property
    def can_receive(self) -> bool:
        """Whether bytes are wanted."""
        return not self.body.is_done

    def space(self) -> memoryview:
        """Where the next bytes go."""
        return self._hub.shared_view

    def received(self, count: int) -> None:
        """`count` raw bytes lie in `space`. Raise what the framing raises."""
        self.put(self._hub.shared_view[:count])

    def put(self, raw: memoryview) -> None:
        """Take bytes; those behind the body are given back. Raise what the framing raises."""
        connection = self._exchange.connection
        payload, consumed = self.body.take(raw)
        if consumed < len(raw):
            connection.unread(raw[consumed:])
        try:
            if payload:
                self.sink.write(raw[:payload])
        except Exception as error:  # noqa: BLE001 - a request ends here
            self.sink.abort()
            self._exchange.fail(error)
            return
        if self.body.is_done:
            self._exchange.finish_upload(self.sink)
        elif payload >= TURN_BYTES_MIN:
            connection.yield_turn()

    begin = put

    def cancel(self) -> None:
        """The body will not be completed."""
        self.sink.abort()


class Receiver:
    """Receives one body for an exchange, which calls `space`, `received` and `cancel` and is told the outcome.

    The sink's calls never overlap, and `abort` waits until its last write is over.
    """

    __slots__ = (
        "_busy",
        "_connection",
        "_current",
        "_exchange",
        "_filled",
        "_is_cancelled",
        "_is_stalled",
        "_owned",
        "_pool",
        "_spare",
        "body",
        "sink",
    )

    def __init__(self, exchange: Serving, sink: Sink, body: Body) -> None:
        self._exchange = exchange
        self._connection = exchange.connection
        self._pool = exchange.connection.hub.buffers
        self.sink = sink
        self.body = body
        self._owned: list[bytearray] = []
        self._current = self._take() or memoryview(bytearray(self._pool.size_bytes // PRIVATE_FRACTION))
        """The buffer being filled; empty when there is none to fill."""
        self._filled = 0
        self._spare = _NOTHING
        self._busy = _NOTHING
        """The buffer the sink works on."""
        self._is_stalled = False
        """`_current` waits until the sink is done with `_busy`."""
        self._is_cancelled = False

    @property
    def can_receive(self) -> bool:
        """Whether `space` has room."""
        return not self._is_stalled and not self.body.is_done and len(self._current) > 0

    def space(self) -> memoryview:
        """Where the next bytes go. For a body of known length it ends with the body."""
        if isinstance(self.body, FixedBody):
            return self._current[self._filled : self._filled + self.body.remaining]
        return self._current[self._filled :]

    def begin(self, raw: memoryview) -> None:
        """The first bytes: `raw`, the end of the shared buffer. Raise as `received`."""
        if len(raw) < LENT_BYTES_MIN or not self._owned:
            self._connection.unread(raw)
            return
        self._owned[0] = self._connection.hub.swap_shared(self._owned[0])
        self._current = raw
        self._filled, consumed = self.body.take(raw)
        if consumed < len(raw):
            self._connection.unread(raw[consumed:])
        self._pass_on()
        if self._current is raw:
            self._current = memoryview(self._owned[0])

    def put(self, data: memoryview) -> None:
        """Take bytes that were received elsewhere, no more than `space` holds. Raise what the framing raises."""
        self.space()[: len(data)] = data
        self.received(len(data))

    def received(self, count: int) -> None:
        """`count` raw bytes lie in `space`; those behind the body are given back. Raise what the framing raises."""
        start = self._filled
        raw = self._current[start : start + count]
        payload, consumed = self.body.take(raw)
        self._filled += payload
        if consumed < count:
            self._connection.unread(raw[consumed:])
        if self.body.is_done or len(self._current) - self._filled <= len(self._current) // FULL_FRACTION:
            self._pass_on()

    def cancel(self) -> None:
        """The body will not be completed: abort the sink, now or when its running write is over."""
        self._is_cancelled = True
        if not self._busy:
            self._release()
            self.sink.abort()

    def _pass_on(self) -> None:
        """Give the filled buffer to the sink, or wait until it is done with the one before."""
        if self._busy:
            self._is_stalled = True
            self._connection.update_reading()
            return
        try:
            awaitable = self.sink.write(self._current[: self._filled]) if self._filled else None
        except Exception as error:  # noqa: BLE001 - a request ends here
            self._fail(error)
            return
        self._filled = 0
        if awaitable is not None:
            self._busy = self._current
            self._current = self._next_buffer()
            asyncio.ensure_future(awaitable).add_done_callback(self._written)
        elif self.body.is_done:
            self._finish()
            return
        self._connection.yield_turn()

    def _next_buffer(self) -> memoryview:
        if self.body.is_done or not self._owned:
            return _NOTHING
        buffer, self._spare = self._spare or self._take() or _NOTHING, _NOTHING
        return buffer

    def _written(self, writing: "asyncio.Future[None]") -> None:
        freed, self._busy = self._busy, _NOTHING
        error = asyncio.CancelledError() if writing.cancelled() else writing.exception()
        if self._is_cancelled:
            self.cancel()
            return
        if error is not None:
            self._fail(error)
            return
        if self._current:
            self._spare = freed
        else:
            self._current = freed
        if self._is_stalled:
            self._is_stalled = False
            self._pass_on()
        elif self.body.is_done:
            self._finish()
        else:
            self._exchange.pump()

    def _finish(self) -> None:
        self._release()
        self._exchange.finish_upload(self.sink)

    def _fail(self, error: BaseException) -> None:
        self._release()
        self.sink.abort()
        self._exchange.fail(error)

    def _take(self) -> memoryview | None:
        buffer = self._pool.take()
        if buffer is None:
            return None
        self._owned.append(buffer)
        return memoryview(buffer)

    def _release(self) -> None:
        self._current = self._spare = _NOTHING
        for buffer in self._owned:
            self._pool.give(buffer)
        self._owned.clear()


_NOTHING = memoryview(b"")
