"""Heads that pass through a relay: the request as the peer gets it, the peer's answer as the client gets it. No I/O.

End-to-end header lines pass unchanged and in order; those of HTTP's `Connection` family belong to one connection.
"""

import re
from functools import lru_cache
from typing import NamedTuple

from ais.base.errors import Unreachable
from ais.net.encoding import connection_line
from ais.net.http import HOP_BY_HOP, Headers, Request

_FRAMING = frozenset(("content-length", "host"))
_HEAD = re.compile(
    rb"HTTP/1\.([01]) ([1-5][0-9]{2})(?: [\t\x20-\x7e\x80-\xff]*+)?\r\n"
    rb"(?:[!#$%&'*+\-.^_`|~0-9A-Za-z]++:[\t\x20-\x7e\x80-\xff]*+\r\n)*+"
)
_NOTED = re.compile(
    rb"\n(content-length|" + "|".join(sorted(HOP_BY_HOP)).encode() + rb"):[ \t]*([^\r]*?)[ \t]*\r", re.IGNORECASE
)
_HOP_BY_HOP_LINE = re.compile(rb"\n(?:" + "|".join(sorted(HOP_BY_HOP)).encode() + rb"):[^\n]*(?=\n)", re.IGNORECASE)
_DIGITS = re.compile(rb"[0-9]{1,18}")


def encode_request_head(request: Request, host: str, extra: bytes) -> bytes:
    """The head for the peer at `host`: the lines the client sent, `extra` lines, and the same framing of the body."""
    headers = request.headers
    dropped = _dropped_for(tuple([line[: line.find(b":")] for line in extra.split(b"\r\n")[:-1]]))
    block = headers.block
    if headers.has_any(dropped):
        block = _without(headers, dropped)
    if block:
        block += b"\r\n"
    if headers.is_chunked:
        block += b"transfer-encoding: chunked\r\n"
    if not headers.has_host:
        block += f"host: {host}\r\n".encode()
    return b"%b %b HTTP/1.1\r\n%b%b\r\n" % (request.method.encode(), request.target.encode(), block, extra)


def _without(headers: Headers, dropped: frozenset[str]) -> bytes:
    """The lines of the client but for these names and those that its Connection header names (RFC 9110 §7.6.1)."""
    named = {name.strip(" \t") for value in headers.get_all("connection") for name in value.lower().split(",")}
    dropped |= named - _FRAMING
    lines = zip(headers.items(), headers.block.split(b"\r\n"), strict=False)
    return b"\r\n".join(line for (name, _), line in lines if name not in dropped)


@lru_cache(maxsize=256)
def _dropped_for(names: tuple[bytes, ...]) -> frozenset[str]:
    """What is not passed on where lines of these names are added."""
    return HOP_BY_HOP | {name.decode().lower() for name in names}


class AnswerHead(NamedTuple):
    """What of a peer's answer matters to whoever passes it on."""

    status: int
    content_length: int | None
    is_chunked: bool
    keeps_alive: bool
    """The peer's connection can be used again."""
    is_plain: bool
    """No line of it belongs to the peer's connection."""


def parse_answer_head(head: bytes) -> AnswerHead:
    """Parse a head given with the CRLF of its last line, without the empty line. Raise `Unreachable` when malformed."""
    match = _HEAD.fullmatch(head)
    if match is None:
        raise Unreachable("malformed answer")
    length: int | None = None
    is_chunked, is_plain, keeps_alive = False, match[1] == b"1", match[1] == b"1"
    for name, value in _NOTED.findall(head):
        name = name.lower()
        if name == b"content-length":
            if length is not None or not _DIGITS.fullmatch(value):
                raise Unreachable("malformed Content-Length in an answer")
            length = int(value)
            continue
        is_plain = False
        if name == b"transfer-encoding":
            if is_chunked or value.lower() != b"chunked":
                raise Unreachable("unsupported Transfer-Encoding in an answer")
            is_chunked = True
        elif name == b"connection" and b"close" in value.lower():
            keeps_alive = False
    if is_chunked and length is not None:
        raise Unreachable("both Content-Length and Transfer-Encoding in an answer")
    return AnswerHead(int(match[2]), length, is_chunked, keeps_alive, is_plain)


def encode_answer_head(head: bytes, *, is_chunked: bool, keep_alive: bool, is_http10: bool) -> bytes:
    """The head for the client, made of the peer's (in the form `parse_answer_head` takes)."""
    lines = _HOP_BY_HOP_LINE.sub(b"", head[len(b"HTTP/1.1") :])
    framing = b"Transfer-Encoding: chunked\r\n" if is_chunked else b""
    return b"HTTP/1.1%b%b%b\r\n" % (lines, framing, connection_line(keep_alive=keep_alive, is_http10=is_http10))
