"""Files on their way out: one write for small ones, sendfile in turns for large ones, plain reads under TLS.

The loop never waits for a disk: before bytes are sent they are known to be in the page cache (`RWF_NOWAIT`); otherwise
a thread pool reads them first. uvloop has no `loop.sendfile` and does not let others watch its descriptors, so large
files are sent with `os.sendfile` on a duplicate of the socket's descriptor, which the loop may watch.
"""

import asyncio
import os
import socket
from collections.abc import Callable

from ais.net.http import FileReply, FileSpan, StreamReply
from ais.net.hub import Hub
from ais.net.wire import Wire

SMALL_BYTES_MAX = 64 << 10
WARM_BYTES = 1 << 20
"""How much is read at once when data is not in the page cache: enough to make a spinning disk worth while."""
TLS_CHUNK_BYTES = 64 << 10

_probe_buffer = bytearray(1)


def read_cached(fd: int, into: memoryview, offset: int) -> bool:
    """Fill `into` from the page cache. False when that would take the disk, or the file is shorter."""
    try:
        return os.preadv(fd, [into], offset, os.RWF_NOWAIT) == len(into)
    except OSError:
        return False


def is_cached(fd: int, offset: int, length: int) -> bool:
    """Whether both ends of a range are in the page cache; false also where the file system cannot tell."""
    try:
        for position in (offset + length - 1, offset):
            os.preadv(fd, [_probe_buffer], position, os.RWF_NOWAIT)
    except OSError:
        return False
    return True


def read_fully(fd: int, offset: int, length: int) -> bytes:
    """Read exactly `length` bytes, waiting for the disk. Raise `EOFError` when the file is shorter."""
    data = os.pread(fd, length, offset)
    while len(data) < length:
        more = os.pread(fd, length - len(data), offset + len(data))
        if not more:
            raise EOFError("file is shorter than announced")
        data += more
    return data


def small_content(hub: Hub, reply: FileReply) -> memoryview | None:
    """The bytes of a small file reply that is in the page cache, valid until the next call; its descriptor is closed.

    None when the reply is large or cold: it is then unchanged.
    """
    if reply.length > SMALL_BYTES_MAX:
        return None
    content = hub.scratch[: reply.length]
    if not read_cached(reply.fd, content, reply.offset):
        return None
    os.close(reply.fd)
    return content


def load_cache(fd: int, offset: int, length: int) -> bytes:
    """Have the kernel read a range into its page cache; nothing is kept here. Raise `EOFError` as `read_fully`."""
    read_fully(fd, offset, length)
    return b""


class FileSender:
    """Sends one file reply that is too large (or too cold) for one write. Owns the descriptor until it is done."""

    __slots__ = (
        "_fd",
        "_finish",
        "_future",
        "_head",
        "_is_watching",
        "_left",
        "_offset",
        "_pool",
        "_socket",
        "_warm_end",
        "_wire",
    )

    def __init__(self, wire: Wire, head: bytes, reply: FileReply, finish: Callable[[], None]) -> None:
        self._finish = finish
        self._wire = wire
        self._socket = self._wire.second_socket()
        self._head = head
        self._fd = reply.fd
        self._offset = reply.offset
        self._left = reply.length
        self._pool = reply.pool or self._wire.hub.cold_pool
        self._warm_end = 0
        """Bytes before this offset were just read by the pool."""
        self._future: asyncio.Future[bytes] | None = None
        self._is_watching = False

    def turn(self) -> None:
        """Send as much as a turn allows, then arrange for the next; at the end `finish`, or the wire breaks off."""
        if self._fd < 0:
            return
        try:
            if self._socket is None:
                self._turn_through_transport()
            else:
                self._turn_with_sendfile(self._socket)
        except BlockingIOError:
            self._watch()
        except OSError:
            self._wire.break_off()

    def close(self) -> None:
        """Stop and close the file; a read in progress keeps it open until it is over."""
        self._unwatch()
        fd, self._fd = self._fd, -1
        if fd >= 0 and self._future is not None and not self._future.done():
            self._future.add_done_callback(lambda _: os.close(fd))
        elif fd >= 0:
            os.close(fd)

    def _turn_with_sendfile(self, sock: socket.socket) -> None:
        if self._wire.unsent_bytes:
            # Earlier replies are still in the transport's buffer, which it flushes before the next turn.
            self._wire.when_flushed(self.turn)
            return
        while self._head:
            self._head = self._head[sock.send(self._head, socket.MSG_MORE) :]
        budget = self._wire.hub.limits.turn_bytes
        out = sock.fileno()
        while self._left and budget > 0:
            count = min(self._left, budget)
            if self._offset + count > self._warm_end and not is_cached(self._fd, self._offset, count):
                self._warm()
                return
            sent = os.sendfile(out, self._fd, self._offset, count)
            if not sent:
                self._wire.break_off()
                return
            self._advance(sent)
            budget -= sent
        self._end_turn()

    def _turn_through_transport(self) -> None:
        count = min(self._left, TLS_CHUNK_BYTES)
        chunk = memoryview(bytearray(count))
        if read_cached(self._fd, chunk, self._offset):
            self._write_chunk(chunk)
        else:
            self._read_in_pool(read_fully, count, self._chunk_read)

    def _chunk_read(self, reading: "asyncio.Future[bytes]") -> None:
        self._future = None
        if self._fd >= 0:
            if reading.exception() is None:
                self._write_chunk(memoryview(reading.result()))
            else:
                self._wire.break_off()

    def _write_chunk(self, chunk: memoryview) -> None:
        self._wire.write(self._head)
        self._head = b""
        self._wire.write(chunk)
        self._advance(len(chunk))
        self._end_turn()

    def _advance(self, sent: int) -> None:
        self._offset += sent
        self._left -= sent
        self._wire.touch()

    def _end_turn(self) -> None:
        if not self._left:
            self.close()
            self._finish()
        elif self._wire.is_write_paused:
            self._wire.when_flushed(self.turn)
        elif not self._is_watching:
            self._wire.hub.loop.call_soon(self.turn)

    def _warm(self) -> None:
        count = min(self._left, max(WARM_BYTES, self._wire.hub.limits.turn_bytes))
        self._warm_end = self._offset + count
        self._unwatch()
        self._read_in_pool(load_cache, count, self._warmed)

    def _warmed(self, reading: "asyncio.Future[bytes]") -> None:
        self._future = None
        if self._fd >= 0:
            if reading.exception() is None:
                self.turn()
            else:
                self._wire.break_off()

    def _read_in_pool(
        self, read: Callable[[int, int, int], bytes], count: int, then: Callable[[asyncio.Future[bytes]], None]
    ) -> None:
        """The future is let go of when it is done: it and this sender would keep each other, and the bytes, alive."""
        loop = self._wire.hub.loop
        self._future = loop.run_in_executor(self._pool, read, self._fd, self._offset, count)
        self._future.add_done_callback(then)

    def _watch(self) -> None:
        if not self._is_watching and self._socket is not None:
            self._is_watching = True
            self._wire.hub.loop.add_writer(self._socket.fileno(), self.turn)

    def _unwatch(self) -> None:
        if self._is_watching and self._socket is not None:
            self._is_watching = False
            self._wire.hub.loop.remove_writer(self._socket.fileno())


async def stream_chunks(wire: Wire, reply: StreamReply, *, is_chunked: bool) -> None:
    """Send the body of a stream as fast as the client reads it. Raise what the stream raises, or when it has not the
    announced length: the client must then see a broken wire.
    """
    left, budget = reply.length, wire.hub.limits.turn_bytes
    try:
        async for chunk in reply.chunks:
            if isinstance(chunk, FileSpan):
                left = (left or 0) - chunk.length
                await _send_span(wire, chunk)
                continue
            if not chunk:
                continue
            if left is not None and (left := left - len(chunk)) < 0:
                raise ValueError("stream is longer than announced")
            wire.write(b"".join((b"%x\r\n" % len(chunk), chunk, b"\r\n")) if is_chunked else chunk)
            budget -= len(chunk)
            if wire.is_write_paused:
                await wire.drained()
            elif budget < 0:
                budget = wire.hub.limits.turn_bytes
                await asyncio.sleep(0)
        if left:
            raise EOFError("stream is shorter than announced")
        if is_chunked:
            wire.write(b"0\r\n\r\n")
    finally:
        close = getattr(reply.chunks, "aclose", None)
        if close is not None:
            await close()


async def _send_span(wire: Wire, span: FileSpan) -> None:
    sent = asyncio.get_running_loop().create_future()
    reply = FileReply(200, b"", os.dup(span.fd), span.offset, span.length, span.pool)
    sender = FileSender(wire, b"", reply, lambda: sent.set_result(None))
    try:
        sender.turn()
        await sent
    finally:
        sender.close()
