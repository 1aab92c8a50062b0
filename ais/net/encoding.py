"""Answers as bytes: status line, the route's header lines, and the lines that belong to the connection."""

from email.utils import formatdate

from ais.net.http import BODILESS, Reply, status_line

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
LAST_CHUNK = b"0\r\n\r\n"
_END = b"\r\n"
NO_BODY = b"Content-Length: 0\r\n\r\n"


def connection_line(*, keep_alive: bool, is_http10: bool) -> bytes:
    """The Connection header, where the version's default is not what happens."""
    if not keep_alive:
        return b"Connection: close\r\n"
    return b"Connection: keep-alive\r\n" if is_http10 else b""


def encode_chunk(payload: bytes | memoryview, *, is_last: bool) -> bytes:
    """A piece of a chunked body, which may be empty; with `is_last` the end of the body follows it."""
    chunk = b"".join((b"%x\r\n" % len(payload), payload, b"\r\n")) if payload else b""
    return chunk + LAST_CHUNK if is_last else chunk


class Starts(dict[int, bytes]):
    """By status: status line and Date header. Make a new one when the second changes."""

    __slots__ = ("_date_line",)

    def __init__(self, now_s: int) -> None:
        super().__init__()
        self._date_line = f"Date: {formatdate(now_s, usegmt=True)}\r\n".encode()

    def __missing__(self, status: int) -> bytes:
        start = self[status] = status_line(status) + self._date_line
        return start


def framed(headers: bytes, length: int) -> bytes:
    """The rest of a head after its start, on a connection that goes on, before a body of `length` bytes."""
    return b"%bContent-Length: %d\r\n\r\n" % (headers, length)


def encode_reply(reply: Reply, method: str, connection: bytes, starts: Starts) -> bytes:
    """A complete reply."""
    body, length, status = reply.body, reply.length, reply.status
    if not body and length is None:
        return b"".join((starts[status], reply.headers, connection, _END if status in BODILESS else NO_BODY))
    if length is None:
        length = len(body)
    return b"%b%b%bContent-Length: %d\r\n\r\n%b" % (
        starts[status],
        reply.headers,
        connection,
        length,
        b"" if method == "HEAD" else body,
    )


def encode_head(
    status: int, headers: bytes, length: int | None, connection: bytes, starts: Starts, *, is_chunked: bool = False
) -> bytes:
    """The head of a reply whose body follows: of `length` bytes, chunked, or until the connection ends."""
    if length is not None:
        framing = b"Content-Length: %d\r\n\r\n" % length
    else:
        framing = b"Transfer-Encoding: chunked\r\n\r\n" if is_chunked else _END
    return b"".join((starts[status], headers, connection, framing))
