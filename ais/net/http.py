"""The values that routes and the server exchange: requests, replies, the sink of an upload. No I/O happens here.

A route is a plain function from `Request` to one of the replies; it returns an awaitable only when it has to wait, and
`None` when the request belongs to the aiohttp application. The server alone writes replies to the connection, so it
adds what belongs to the connection: Content-Length or chunked encoding, Date, Connection.
"""

import enum
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import Executor
from http import HTTPStatus
from typing import NamedTuple, Protocol
from urllib.parse import unquote, unquote_plus

from ais.api import headers
from ais.base.errors import BadRequest

QUERY_PARAMS_MAX = 100
_OF_FRAMING = frozenset(("connection", "content-length", "expect", "transfer-encoding"))
_LENGTH_OR_WAIT = frozenset(("content-length", "expect"))
_OF_NODES = frozenset(name.lower() for name in (headers.CALLER_ID, headers.S3_VIA))


class Network(enum.Flag):
    """Logical networks a listener carries; several of them on one port are their union."""

    PUBLIC = enum.auto()
    CONTROL = enum.auto()
    DATA = enum.auto()
    LOCAL = enum.auto()
    """Not one of them: the Unix socket of a node, for administrators on its machine."""


class Shape:
    """What the names of a header block say, whatever comes behind them: most blocks have the names of one before."""

    __slots__ = (
        "framing",
        "has_host",
        "has_only_length",
        "has_range",
        "is_internal",
        "is_single",
        "lines",
        "may_browse",
        "names",
    )

    def __init__(self, lines: tuple[str, ...]) -> None:
        self.lines = lines
        """The name of each line, lower-case."""
        self.names = tuple(dict.fromkeys(lines))
        """Each once, in an order that depends on theirs alone."""
        self.is_single = len(self.names) == len(lines)
        """Whether no name was sent twice."""
        self.framing = _OF_FRAMING.intersection(lines)
        """Those that say where the message ends and what becomes of the connection."""
        self.has_only_length = self.is_single and "content-length" in lines and self.framing <= _LENGTH_OR_WAIT
        """Of these nothing but a length, and that the client waits before it sends so much."""
        self.has_host = "host" in lines
        self.has_range = "range" in lines
        self.may_browse = "origin" in lines or "sec-fetch-site" in lines
        self.is_internal = not _OF_NODES.isdisjoint(lines)


class Headers:
    """The parsed header block of a request: immutable, and shared by all requests that sent the same bytes.

    Names are lower-case. The facts that frame the message are parsed once, together with the block.
    """

    __slots__ = (
        "_first",
        "_items",
        "block",
        "connection",
        "content_length",
        "expects_continue",
        "has_body",
        "has_host",
        "has_range",
        "is_browser",
        "is_chunked",
        "is_direct",
        "is_foreign",
        "is_internal",
        "is_single",
        "keeps_alive",
        "names",
    )

    def __init__(
        self,
        items: tuple[tuple[str, str], ...] = (),
        first: dict[str, str] | None = None,
        shape: Shape | None = None,
        block: bytes = b"",
        content_length: int | None = None,
        *,
        is_chunked: bool = False,
        connection: str = "",
        expects_continue: bool = False,
    ) -> None:
        """`first`: the first value of each name, and `shape` of all names, where the caller knows them already."""
        if shape is None or first is None:
            first, shape = dict(reversed(items)), Shape(tuple([name for name, _ in items]))
        self._items = items
        self._first = first
        self.names = shape.names
        """As of `Shape`."""
        self.is_single = shape.is_single
        """As of `Shape`."""
        self.content_length = content_length
        self.is_chunked = is_chunked
        self.has_body = is_chunked or bool(content_length)
        self.connection = connection
        """`close`, `keep-alive` or empty."""
        self.expects_continue = expects_continue
        self.block = block
        """The lines as sent, separated by CRLF."""
        self.has_host = shape.has_host
        self.has_range = shape.has_range
        self.is_browser = shape.may_browse or first.get("user-agent", "").startswith("Mozilla/5.0")
        self.is_foreign = self.is_browser and _is_foreign(first)
        """Whether a page of another site had it sent, other than by a link that somebody followed."""
        self.is_internal = shape.is_internal
        """Whether it says that a node sent it, or passed it on."""
        self.is_direct = not (self.is_browser or self.is_internal)
        """Whether a client's own program sent it."""
        self.keeps_alive = connection != "close"
        """Whether HTTP/1.1 keeps the connection after this request."""

    def get(self, name: str) -> str | None:
        """The first value of a header given by its lower-case name."""
        return self._first.get(name)

    def pick(self, picker: Callable[[dict[str, str]], object]) -> object:
        """What `picker` (an `itemgetter` of lower-case names) takes of the first values."""
        return picker(self._first)

    def get_all(self, name: str) -> list[str]:
        """All values of a header, in the order sent."""
        return [value for key, value in self._items if key == name]

    def items(self) -> Iterator[tuple[str, str]]:
        """Every header line as (lower-case name, value), in the order sent."""
        return iter(self._items)

    def has_any(self, names: frozenset[str]) -> bool:
        """Whether one of these lower-case names is among them."""
        return not names.isdisjoint(self._first)

    def __contains__(self, name: object) -> bool:
        return name in self._first

    def __repr__(self) -> str:
        return f"Headers({self._items!r})"


def _is_foreign(first: dict[str, str]) -> bool:
    origin, host = first.get("origin"), first.get("host", "").lower()
    if origin is not None and origin.partition("://")[2].lower() != host:
        return True
    return first.get("sec-fetch-site") == "cross-site" and first.get("sec-fetch-mode") != "navigate"


class Peer:
    """What all requests of one connection share."""

    __slots__ = ("networks", "remote", "scheme")

    def __init__(self, remote: str, networks: Network, scheme: str) -> None:
        self.remote = remote
        self.networks = networks
        self.scheme = scheme


class Request:
    """One request head. `target`, `path` and `query` are as sent (percent-encoded, always ASCII)."""

    __slots__ = (
        "_params",
        "_sent",
        "body",
        "headers",
        "is_http10",
        "is_known",
        "method",
        "path",
        "peer",
        "query",
        "target",
    )

    def __init__(self, method: str, target: str, headers: Headers, peer: Peer, is_http10: bool = False) -> None:
        self.method = method
        self.target = target
        self.path, _, self.query = target.partition("?")
        self._params: dict[str, str] | None = None
        self.headers = headers
        self.peer = peer
        self.is_http10 = is_http10
        self.body: memoryview | None = None
        """The whole body, when it came with the head: the route may use it while it runs, but not keep it."""
        self.is_known = False
        """What a node takes once was taken: it was found to be new, here or by the process that passed it on."""

    def requery(self, target: str) -> None:
        """Ask for something of the same path."""
        if not hasattr(self, "_sent"):
            self._sent = self.target
        self.target = target
        self.query = target[len(self.path) + 1 :]
        self._params = None

    def as_sent(self) -> None:
        """Ask for what came, if it was changed by `requery` since."""
        if hasattr(self, "_sent"):
            self.requery(self._sent)

    @property
    def keep_alive(self) -> bool:
        """Whether the client wants to use the connection again."""
        return self.headers.connection == "keep-alive" if self.is_http10 else self.headers.keeps_alive

    @property
    def content_length(self) -> int | None:
        """Announced body size in bytes; None when there is no body or a chunked one."""
        return self.headers.content_length

    @property
    def has_body(self) -> bool:
        """Whether body bytes follow the head."""
        return self.headers.has_body

    @property
    def remote(self) -> str:
        """The client as `ip:port`."""
        return self.peer.remote

    @property
    def networks(self) -> Network:
        """The logical networks of the listener that took the connection."""
        return self.peer.networks

    @property
    def scheme(self) -> str:
        """`http` or `https`."""
        return self.peer.scheme

    @property
    def params(self) -> dict[str, str]:
        """Decoded query parameters; the last of equal names wins. Raise `BadRequest` for more than 100 of them."""
        if self._params is None:
            self._params = parse_query(self.query) if self.query else {}
        return self._params

    def __repr__(self) -> str:
        return f"<Request {self.method} {self.target}>"


def parse_query(query: str) -> dict[str, str]:
    """Decode `a=b&c=d`. Raise `BadRequest` for bytes that are not UTF-8 and for too many parameters."""
    if query.count("&") >= QUERY_PARAMS_MAX:
        raise BadRequest(f"too many query parameters (at most {QUERY_PARAMS_MAX})")
    params: dict[str, str] = {}
    for pair in query.split("&"):
        name, _, value = pair.partition("=")
        if name or value:
            params[_decode_query(name)] = _decode_query(value)
    return params


def decode_component(text: str) -> str:
    """Percent-decode a piece of a path, where `+` is a plus. Raise `BadRequest` for bytes that are not UTF-8."""
    if "%" not in text:
        return text
    try:
        return unquote(text, errors="strict")
    except UnicodeDecodeError:
        raise BadRequest(f'"{text[:200]}" does not decode to valid UTF-8') from None


def _decode_query(text: str) -> str:
    if "%" not in text and "+" not in text:
        return text
    try:
        return unquote_plus(text, errors="strict")
    except UnicodeDecodeError:
        raise BadRequest(f'query parameter "{text[:200]}" does not decode to valid UTF-8') from None


Again = Callable[[], tuple[int, bytes, bytes] | None]
"""Another answer to a head that was answered before: status, framed header lines (`ais.net.encoding.framed`), body.

None: something has changed, the request must be routed anew.
"""


class Reply:
    """A complete answer. `headers` is preformatted: every line ends with CRLF.

    `length` is what a HEAD reply announces as Content-Length while `body` stays empty. `repeat`, if given, is asked
    when the same request comes a second time: what it returns answers requests with the same head, from any client of
    the listener, for as long as it likes to. It checks itself whether what it knows is still true, and raises nothing.
    Requests with a body are always routed.
    """

    __slots__ = ("body", "headers", "length", "repeat", "status")

    def __init__(
        self,
        status: int,
        headers: bytes = b"",
        body: bytes = b"",
        length: int | None = None,
        repeat: "Callable[[Request], Again | None] | None" = None,
    ) -> None:
        self.status = status
        self.headers = headers
        self.body = body
        self.length = length
        self.repeat = repeat


class FileReply:
    """Bytes `[offset, offset + length)` of an open file. The server owns `fd` from here on and closes it.

    Data outside the page cache is read in `pool` (the mountpath's) before it is sent; without one, in the server's.
    `unsent_head` is the server's: what is left of the head when a part of the answer was sent already.
    """

    __slots__ = ("fd", "headers", "length", "offset", "pool", "status", "unsent_head")

    def __init__(
        self, status: int, headers: bytes, fd: int, offset: int, length: int, pool: Executor | None = None
    ) -> None:
        self.status = status
        self.headers = headers
        self.fd = fd
        self.offset = offset
        self.length = length
        self.pool = pool
        self.unsent_head: bytes | None = None


class FileSpan(NamedTuple):
    """Bytes of an open file as a piece of a stream; it stays open until the next piece is asked for."""

    fd: int
    offset: int
    length: int
    pool: Executor
    """As of `FileReply`."""


class StreamReply:
    """A body made while it is sent. Without a `length` it goes out in chunked encoding, and has no spans of files.

    The server closes `chunks` (when it has `aclose`) also when the client goes away. An error raised by it, or a number
    of bytes other than `length`, breaks the connection: the head has gone out already.
    """

    __slots__ = ("chunks", "headers", "length", "status")

    def __init__(
        self,
        status: int,
        headers: bytes,
        chunks: AsyncIterator[bytes | memoryview] | AsyncIterator[FileSpan],
        length: int | None = None,
    ) -> None:
        self.status = status
        self.headers = headers
        self.chunks = chunks
        self.length = length


class Sink(Protocol):
    """Where an upload goes. Calls never overlap; exactly one of `finish` and `abort` is called, and it is the last."""

    def write(self, data: memoryview) -> Awaitable[None] | None:
        """Take the next bytes of the body. `data` is valid until this returned, or until its awaitable is done.

        Raise to refuse the rest: the server then calls `abort` and answers with the error.
        """
        ...

    def finish(self) -> Reply | Awaitable[Reply | StreamReply]:
        """The body is complete. When this raises, the sink has cleaned up and the server answers with the error."""
        ...

    def abort(self) -> None:
        """The body will never be complete (connection lost, bad framing, too slow): leave nothing behind."""
        ...


class Upload:
    """The route wants the body: `100 Continue` is sent if the client waits for it, the bytes go to `sink`.

    A body that fits one receive buffer normally arrives as one `write` followed at once by `finish`. `is_inline`: what
    `write` does takes no longer than a turn and never waits, so the bytes are handed on as they come. `kept`: how many
    bytes the sink keeps in memory until the body is complete.
    """

    __slots__ = ("is_inline", "kept", "sink")

    def __init__(self, sink: Sink, *, is_inline: bool = False, kept: int = 0) -> None:
        self.sink = sink
        self.is_inline = is_inline
        self.kept = kept


class Forward:
    """Another node answers this request: the server sends it there and passes the answer on.

    `url` is the peer's `http://host:port` or `https://host:port`. `headers` is preformatted (every line ends with CRLF)
    and joins what the client sent; lines of the client with the same names are dropped.
    """

    __slots__ = ("headers", "url")

    def __init__(self, url: str, headers: bytes = b"") -> None:
        self.url = url
        self.headers = headers


AnyReply = Reply | FileReply | StreamReply | Upload | Forward
Route = Callable[[Request], AnyReply | Awaitable[AnyReply] | None]
OnError = Callable[[Request, BaseException], Reply]
Retry = Callable[[Request, BaseException], Awaitable[AnyReply] | None]
"""Asks a route again, after a wait, that has raised something; None: not this time. What it gives does not raise."""


def no_retry(_request: Request, _error: BaseException) -> None:
    """What a route raises is answered at once."""


STATUS_LINES = {status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in HTTPStatus}


def status_line(status: int) -> bytes:
    """`HTTP/1.1 200 OK` with its CRLF."""
    return STATUS_LINES.get(status) or b"HTTP/1.1 %d Status\r\n" % status


HOP_BY_HOP = frozenset(
    ("connection", "http2-settings", "keep-alive", "proxy-connection", "te", "transfer-encoding", "upgrade")
)
"""Headers that belong to one connection and are never passed on, by lower-case name."""

BODILESS = frozenset((204, 304))
"""Statuses whose replies never carry a body nor announce one."""


def header_lines(*pairs: tuple[str, str]) -> bytes:
    """Preformatted header lines. Raise `BadRequest` for a value that would start a new line."""
    for name, value in pairs:
        if "\r" in value or "\n" in value or "\0" in value:
            raise BadRequest(f"value of header {name} contains a line break")
    return "".join(f"{name}: {value}\r\n" for name, value in pairs).encode()
