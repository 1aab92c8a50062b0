"""Answers as bytes: status line, the route's header lines, and the lines that belong to the connection."""

from ais.net.http import BODILESS, Reply, status_line

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


def connection_line(*, keep_alive: bool, is_http10: bool) -> bytes:
    """The Connection header, where the version's default is not what happens."""
    if not keep_alive:
        return b"Connection: close\r\n"
    return b"Connection: keep-alive\r\n" if is_http10 else b""


def encode_reply(reply: Reply, method: str, connection: bytes, date: bytes) -> bytes:
    """A complete reply."""
    if reply.status in BODILESS:
        return b"".join((status_line(reply.status), reply.headers, connection, date, b"\r\n"))
    body = reply.body
    length = len(body) if reply.length is None else reply.length
    return b"%b%b%b%bContent-Length: %d\r\n\r\n%b" % (
        status_line(reply.status),
        reply.headers,
        connection,
        date,
        length,
        b"" if method == "HEAD" else body,
    )


def encode_head(
    status: int, headers: bytes, length: int | None, connection: bytes, date: bytes, *, is_chunked: bool = False
) -> bytes:
    """The head of a reply whose body follows: of `length` bytes, chunked, or until the connection ends."""
    if length is not None:
        framing = b"Content-Length: %d\r\n\r\n" % length
    else:
        framing = b"Transfer-Encoding: chunked\r\n\r\n" if is_chunked else b"\r\n"
    return b"".join((status_line(status), headers, connection, date, framing))
