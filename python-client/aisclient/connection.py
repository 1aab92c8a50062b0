"""HTTP/1.1 on one connection: a request goes out, its answer comes back, and the connection is free for the next.

Heads are parsed by llhttp; a body of known length goes from the socket to where it is wanted, without another copy.
"""

import contextlib
import io
from collections.abc import AsyncGenerator, Callable
from typing import Self

import httptools

from aisclient.checksums import Hasher
from aisclient.driver import Buffer, Wire

BUFFER_BYTES = 64 << 10
HEAD_BYTES_MAX = 64 << 10
RECV_BYTES = 1 << 20
HASH_BYTES = 256 << 10
DRAINED_BYTES_MAX = 256 << 10
_END = b"\r\n\r\n"


class Connection:
    """A wire and what was received on it and not yet used."""

    __slots__ = ("_buffer", "_end", "_start", "_view", "idle_since", "wire")

    def __init__(self, wire: Wire) -> None:
        self.wire = wire
        self.idle_since = 0.0
        self._buffer = bytearray(BUFFER_BYTES)
        self._view = memoryview(self._buffer)
        self._start = self._end = 0

    async def exchange(self, head: bytes, body: AsyncGenerator[Buffer] | None, *, has_body: bool) -> "Answer":
        """Send a request and read the head of its answer. `has_body` is False for an answer to HEAD.

        Raise `OSError`. An answer that comes before all was sent is read all the same; the rest is not sent then.
        """
        try:
            await self.wire.send(head)
            if body is not None:
                async with contextlib.aclosing(body) as pieces:
                    async for piece in pieces:
                        await self.wire.send(piece)
        except (BrokenPipeError, ConnectionResetError) as error:
            try:
                answer = await self._read_answer(has_body)
            except OSError:
                raise error from None
            answer.is_reusable = False
            return answer
        return await self._read_answer(has_body)

    async def _read_answer(self, has_body: bool) -> "Answer":
        while True:
            head = await self._read_head()
            answer = Answer(self, has_body)
            parser = httptools.HttpResponseParser(answer)
            try:
                parser.feed_data(head)
                status = parser.get_status_code()
                if status >= 200:
                    answer.start(status, parser)
                    return answer
            except (httptools.HttpParserError, ValueError) as error:
                raise ConnectionAbortedError(f"no HTTP answer: {error}") from None

    async def _read_head(self) -> bytes:
        if self._start == self._end:
            self._start = self._end = 0
        scanned = self._start
        while True:
            found = self._buffer.find(_END, scanned, self._end)
            if found >= 0:
                head = bytes(self._view[self._start : found + 4])
                self._start = found + 4
                return head
            scanned = max(self._start, self._end - 3)
            if self._start and self._end == len(self._buffer):
                kept = self._end - self._start
                self._buffer[:kept] = self._buffer[self._start : self._end]
                scanned -= self._start
                self._start, self._end = 0, kept
            if self._end - self._start >= HEAD_BYTES_MAX:
                raise ConnectionAbortedError("the head of an answer is too long")
            await self.fill()

    async def fill(self) -> None:
        """Receive more. Raise `ConnectionResetError` at the end."""
        if self._start == self._end:
            self._start = self._end = 0
        count = await self.wire.recv_into(self._view[self._end :])
        if not count:
            raise ConnectionResetError("the connection was closed")
        self._end += count

    def take(self, size_max: int) -> bytes:
        """What was received, at most this many bytes."""
        stop = min(self._end, self._start + size_max)
        data = bytes(self._view[self._start : stop])
        self._start = stop
        return data

    def take_into(self, view: memoryview) -> int:
        """The same, into a buffer; how many."""
        count = min(self._end - self._start, len(view))
        view[:count] = self._view[self._start : self._start + count]
        self._start += count
        return count


class Answer:
    """An answer whose body is still on the connection. Read it to its end, or `close` it."""

    __slots__ = ("_chunks", "_connection", "_has_body", "_is_chunked", "_is_done", "_left", "_parser", "_release",
                 "custom", "headers", "is_reusable", "length", "status")  # fmt: skip

    def __init__(self, connection: Connection, has_body: bool) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        """By lower-case name."""
        self.custom: dict[str, str] = {}
        """The custom metadata of an object."""
        self.length: int | None = None
        """Of the body; None when it is not told."""
        self.is_reusable = True
        self._connection, self._has_body = connection, has_body
        self._release: Callable[[Connection, bool], None] | None = None
        self._left: int | None = 0
        self._chunks: list[bytes] = []
        self._is_chunked = self._is_done = False
        self._parser: httptools.HttpResponseParser | None = None

    def on_header(self, name: bytes, value: bytes) -> None:
        """Called by the parser."""
        key = name.decode("latin-1").lower()
        if key == "ais-custom-md":
            first, _, second = value.decode("utf-8", "replace").partition("=")
            self.custom[first] = second
        else:
            self.headers[key] = value.decode("latin-1")

    def on_body(self, data: bytes) -> None:
        """Called by the parser, for a chunked body."""
        self._chunks.append(data)

    def on_message_complete(self) -> None:
        """Called by the parser."""
        self._is_done = True

    def start(self, status: int, parser: httptools.HttpResponseParser) -> None:
        """The head is complete. Raise `ValueError` for a length that is none."""
        self.status = status
        length = self.headers.get("content-length")
        if length is not None:
            self.length = int(length)
        self.is_reusable = parser.should_keep_alive()
        if not self._has_body or status in (204, 304):
            self._left = 0
        elif "chunked" in self.headers.get("transfer-encoding", "").lower():
            self._is_chunked, self._left, self._parser, self.length = True, None, parser, None
        else:
            self._left = self.length
            if self._left is None:
                self.is_reusable = False  # it ends with the connection

    def on_end(self, release: Callable[[Connection, bool], None]) -> None:
        """Call this when the body was read: with the connection, and whether it may be used again."""
        self._release = release
        if self._left == 0:
            self._finish()

    async def read(self, size_max: int = BUFFER_BYTES) -> bytes:
        """Some bytes, at least one; none at the end. Raise `OSError`, also for an end before the announced one."""
        if self._left is None:
            return await self._read_unknown()
        if not self._left:
            return b""
        connection = self._connection
        data = connection.take(min(self._left, size_max))
        if not data:
            await connection.fill()
            data = connection.take(min(self._left, size_max))
        self._left -= len(data)
        if not self._left:
            self._finish()
        return data

    async def _read_unknown(self) -> bytes:
        connection = self._connection
        while True:
            if self._chunks:
                return self._chunks.pop(0)
            if self._is_done:
                self._left = 0
                self._finish()
                return b""
            data = connection.take(BUFFER_BYTES)
            if not data:
                try:
                    await connection.fill()
                except ConnectionResetError:
                    if self._is_chunked:
                        raise
                    self._is_done = True
                continue
            if self._parser is None:
                return data
            try:
                self._parser.feed_data(data)
            except httptools.HttpParserError as error:
                raise ConnectionAbortedError(f"a broken chunk: {error}") from None

    async def read_into(self, view: memoryview, hasher: Hasher | None = None) -> int:
        """Fill `view` as far as the body goes, hashing what comes while the next is on its way; how many bytes."""
        if self._left is None:
            done = 0
            while done < len(view) and (data := await self._read_unknown()):
                fits = data[: len(view) - done]
                view[done : done + len(fits)] = fits
                done += len(fits)
                if len(fits) < len(data):
                    self._chunks.insert(0, data[len(fits) :])
            if hasher is not None:
                hasher.update(view[:done])
            return done
        wanted = min(self._left, len(view))
        done = self._connection.take_into(view[:wanted])
        recv_into = self._connection.wire.recv_into
        hashed = 0
        while done < wanted:
            count = await recv_into(view[done : min(done + RECV_BYTES, wanted)])
            if not count:
                raise ConnectionResetError(f"the connection was closed {self._left - done} bytes before the end")
            done += count
            if hasher is not None and done - hashed >= HASH_BYTES:
                hasher.update(view[hashed:done])
                hashed = done
        if hasher is not None:
            hasher.update(view[hashed:done])
        self._left -= done
        if not self._left:
            self._finish()
        return done

    async def read_all(self, hasher: Hasher | None = None) -> bytes:
        """All that is left of the body, hashed if wanted."""
        if self._left is not None:
            if not self._left:
                return b""
            data = self._connection.take(self._left)
            if len(data) == self._left:
                self._left = 0
                self._finish()
                if hasher is not None:
                    hasher.update(data)
                return data
            whole = io.BytesIO()  # whose bytes become the answer without being copied
            whole.seek(self._left - 1)
            whole.write(b"\0")
            with whole.getbuffer() as view:
                view[: len(data)] = data
                self._left -= len(data)
                if hasher is not None:
                    hasher.update(data)
                await self.read_into(view[len(data) :], hasher)
            return whole.getvalue()
        pieces = []
        while piece := await self._read_unknown():
            pieces.append(piece)
            if hasher is not None:
                hasher.update(piece)
        return b"".join(pieces)

    async def drain(self) -> None:
        """Be done with it: read a short rest, so that the connection can be used again, or close it."""
        with contextlib.suppress(OSError):
            if self._left is not None and self._left <= DRAINED_BYTES_MAX:
                await self.read_all()
        self.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give the connection up unless the body was read."""
        self.is_reusable = False
        self._finish()

    def _finish(self) -> None:
        release, self._release = self._release, None
        if release is not None:
            release(self._connection, self.is_reusable)
