"""Request heads: bytes in, `Request` out. Strict, because a head two programs read differently smuggles requests.

Rules (RFC 9112): lines end with CRLF only; one space between the parts of the request line; no whitespace before a
colon, no folded lines, no control characters; at most one Content-Length of plain digits, or else one
`Transfer-Encoding: chunked`, never both; exactly one Host in HTTP/1.1. What breaks one of them is a `BadRequest`.

Clients send the same header block again and again, only the request line changes: a parsed block is kept under its
bytes, so most requests cost one dictionary lookup. Blocks that differ, as signed ones do, are compared with the last
one line by line: only what differs is parsed.
"""

import re
from collections import OrderedDict
from typing import NamedTuple
from urllib.parse import quote

from ais.base.errors import BadRequest, HeadTooLarge, UnsupportedExpectation
from ais.base.seen import Seen
from ais.net.http import Headers, Peer, Request, Shape

METHODS = frozenset(("GET", "HEAD", "PUT", "POST", "DELETE", "PATCH", "OPTIONS"))
HEADERS_MAX = 128
MEMO_ENTRIES_MAX = 1024
MEMO_BLOCK_BYTES_MAX = 2048
MEMO_SEEN_MAX = 4096
"""A block is kept when it comes again before more others: signed ones never do."""
KNOWN_BLOCK_BYTES_MAX = 4096
NAMES_KNOWN_MAX = 1024
CONTENT_LENGTH_DIGITS_MAX = 18

_CONTROLS = bytes(code for code in range(0x20) if code != 0x09) + b"\x7f"
_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_METHOD = re.compile(r"[A-Z]{1,20}")
_FIRST_LINE = re.compile(rb"(?:\r\n)?[A-Z]{1,20}(?: |\Z)")
_FIRST_LINE_BYTES = 32
"""Within these it is decided whether the beginning is that of a request."""
_ABSOLUTE = re.compile(r"https?://[^/?#]+(?=[/?]|$)", re.IGNORECASE)
_WAIT = "100-continue"
_Line = tuple[str, str]


class _Block(NamedTuple):
    """One that was parsed."""

    lines: list[str]
    items: tuple[_Line, ...]
    shape: Shape


class _Known:
    """What was parsed before: the last block of each number of lines, spellings of names (begun anew at 1024)."""

    __slots__ = ("blocks", "names")

    def __init__(self) -> None:
        self.blocks: dict[int, _Block] = {}
        self.names: dict[str, str] = {}
        """In lower case, by what was sent."""


class HeadParser:
    """Parses heads; remembers header blocks (1024 of up to 2 KiB), and of those of up to 4 KiB names and the latest."""

    __slots__ = ("_known", "_memo", "_seen")

    def __init__(self) -> None:
        self._memo: OrderedDict[bytes, Headers] = OrderedDict()
        self._seen = Seen(MEMO_SEEN_MAX)
        self._known = _Known()

    def parse(self, head: bytes, peer: Peer) -> Request:
        """The request of a head given without its final empty line. Raise `BadRequest`, `HeadTooLarge`."""
        line, version, block = head.partition(b" HTTP/1.1\r\n")
        if not version:
            return self._parse_unusual(head, peer)
        headers = self._memo.get(block)
        if headers is None:
            headers = self._parse_and_keep(block)
        try:
            method, _, target = line.decode("ascii").partition(" ")
        except UnicodeDecodeError:
            return self._parse_unusual(head, peer)
        if method not in METHODS or target[:1] != "/" or " " in target or "#" in target or not target.isprintable():
            return self._parse_unusual(head, peer)
        if not headers.has_host:
            raise BadRequest("HTTP/1.1 request without a Host header")
        return Request(method, target, headers, peer)

    def _parse_unusual(self, head: bytes, peer: Peer) -> Request:
        """The same without short cuts, for heads that are lawful but rare, or not lawful."""
        line, _, block = head.partition(b"\r\n")
        if not line:
            # One empty line before a request is tolerated, RFC 9112 §2.2.
            line, _, block = block.partition(b"\r\n")
        method, target, version = _split_line(line)
        return _check(method, target, version, parse_block(block), peer)

    def _parse_and_keep(self, block: bytes) -> Headers:
        if len(block) > KNOWN_BLOCK_BYTES_MAX:
            return parse_block(block)
        if len(self._known.names) > NAMES_KNOWN_MAX:
            self._known.names.clear()
        headers = parse_block(block, self._known)
        if len(block) <= MEMO_BLOCK_BYTES_MAX and self._seen.again(hash(block)):
            if len(self._memo) >= MEMO_ENTRIES_MAX:
                self._memo.popitem(last=False)
            self._memo[block] = headers
        return headers


def _split_line(line: bytes) -> tuple[str, str, str]:
    """Method, target (raw non-ASCII bytes percent-encoded), version."""
    parts = line.split(b" ")
    if len(parts) != 3:
        raise BadRequest("malformed request line")
    method, target, version = parts
    if not method.isascii() or not version.isascii():
        raise BadRequest("malformed request line")
    return method.decode(), quote(target, safe="".join(map(chr, range(0x80)))), version.decode()


def _check(method: str, target: str, version: str, headers: Headers, peer: Peer) -> Request:
    """The request if everything about it is lawful; HTTP/1.0, absolute targets and `OPTIONS *` are."""
    if version not in ("HTTP/1.1", "HTTP/1.0"):
        raise BadRequest("malformed or unsupported HTTP version")
    if method not in METHODS and not _METHOD.fullmatch(method):
        raise BadRequest("malformed request line")
    if not target.isprintable():
        raise BadRequest("control character in the request target")
    if "#" in target:
        raise BadRequest("fragment in the request target")
    if absolute := _ABSOLUTE.match(target):
        authority = absolute[0].partition("//")[2]
        if headers.has_host and (headers.get("host") or "").lower() != authority.lower():
            raise BadRequest("the request target and the Host header name different hosts")
        target = "/" + target[absolute.end() :].removeprefix("/")
    if target[:1] != "/" and not (target == "*" and method == "OPTIONS"):
        raise BadRequest("request target is not a path")
    is_http10 = version == "HTTP/1.0"
    if is_http10 and headers.is_chunked:
        raise BadRequest("Transfer-Encoding in an HTTP/1.0 request")
    if not is_http10 and not headers.has_host:
        raise BadRequest("HTTP/1.1 request without a Host header")
    return Request(method, target, headers, peer, is_http10)


def is_hopeless(partial: bytes, checked: int = 0) -> bool:
    """Whether the beginning of a head can never become one: not HTTP at all (TLS, say), or lines ended by LF alone.

    Its first `checked` bytes were not hopeless: only what came after them is looked at.
    """
    if partial[checked - 1 : checked] == b"\r":
        checked -= 1
    new = partial[checked:]
    return new.translate(None, _CONTROLS) != new.replace(b"\r\n", b"").removesuffix(b"\r") or (
        checked < _FIRST_LINE_BYTES and not partial.isspace() and not _FIRST_LINE.match(partial)
    )


def parse_block(block: bytes, known: _Known | None = None) -> Headers:
    """Parse header lines separated by CRLF (none after the last). Raise `BadRequest`, `HeadTooLarge`.

    What is `known` is not parsed again, and the rest becomes known.
    """
    if not block:
        return Headers()
    lines = _decode(block).split("\r\n")
    if len(lines) > HEADERS_MAX:
        raise HeadTooLarge(f"more than {HEADERS_MAX} header lines")
    if len(block) - len(block.translate(None, _CONTROLS)) != 2 * (len(lines) - 1):  # but those between lines
        raise BadRequest("control character in the request headers")
    if known is None:
        known = _Known()
    names, before = known.names, known.blocks.get(len(lines))
    if before is None:
        items = tuple([_parse_line(line, names) for line in lines])
        shape = Shape(tuple([name for name, _ in items]))
    else:
        items = tuple(
            [
                item if line == known_line else _parse_line(line, names)
                for line, known_line, item in zip(lines, before.lines, before.items, strict=True)
            ]
        )
        shape, sent = before.shape, tuple([name for name, _ in items])
        if sent != shape.lines:
            shape = Shape(sent)
    known.blocks[len(lines)] = _Block(lines, items, shape)
    return _frame(items, block, shape)


def _decode(block: bytes) -> str:
    """Header text as UTF-8; a block that is not valid UTF-8 is read as ISO 8859-1, the charset of old HTTP."""
    try:
        return block.decode()
    except UnicodeDecodeError:
        return block.decode("iso-8859-1")


def _parse_line(line: str, names: dict[str, str]) -> _Line:
    sent, colon, value = line.partition(":")
    name = names.get(sent)
    if name is None:
        if not colon or not _TOKEN.fullmatch(sent):
            raise BadRequest("malformed header line")
        name = names[sent] = sent.lower()
    elif not colon:
        raise BadRequest("malformed header line")
    return name, value.strip(" \t")


def _frame(items: tuple[_Line, ...], block: bytes, shape: Shape) -> Headers:
    """Check the headers that say where the message ends and who it is for."""
    first = dict(items) if shape.is_single else dict(reversed(items))
    if shape.is_single and not shape.framing:
        return Headers(items, first, shape, block)
    if shape.has_only_length:
        announced, expects = first["content-length"], first.get("expect")
        if _is_length(announced) and (expects is None or expects == _WAIT):
            return Headers(items, first, shape, block, int(announced), expects_continue=expects is not None)
    singles: dict[str, str] = {}
    connection: set[str] = set()
    for name, value in items:
        if name in ("content-length", "transfer-encoding", "host"):
            if name in singles:
                raise BadRequest(f"repeated {name} header")
            singles[name] = value
        elif name == "expect" and value.lower() != _WAIT:
            raise UnsupportedExpectation("only 100-continue can be expected")
        elif name == "connection":
            connection.update(token.strip(" \t") for token in value.lower().split(","))
    length, encoding = singles.get("content-length"), singles.get("transfer-encoding")
    if length is not None and not _is_length(length):
        raise BadRequest("malformed Content-Length")
    if encoding is not None and encoding.lower() != "chunked":
        raise BadRequest("unsupported Transfer-Encoding: only chunked is served")
    if length is not None and encoding is not None:
        raise BadRequest("both Content-Length and Transfer-Encoding")
    return Headers(
        items,
        first,
        shape,
        block,
        None if length is None else int(length),
        is_chunked=encoding is not None,
        connection="close" if "close" in connection else "keep-alive" if "keep-alive" in connection else "",
        expects_continue=any(name == "expect" for name, _ in items),
    )


def _is_length(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= CONTENT_LENGTH_DIGITS_MAX
