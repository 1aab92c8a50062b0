"""Request heads: what is accepted, what is refused, and that llhttp reads what we accept in the same way."""

import contextlib
from typing import Any

import httptools
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ais.base.errors import AisError, BadRequest, HeadTooLarge, UnsupportedExpectation
from ais.net.head import (
    HEADERS_MAX,
    KNOWN_BLOCK_BYTES_MAX,
    MEMO_ENTRIES_MAX,
    NAMES_KNOWN_MAX,
    HeadParser,
    is_hopeless,
    parse_block,
)
from ais.net.http import Headers, Network, Peer, Request

PEER = Peer("1.2.3.4:5", Network.PUBLIC, "http")


def parse(head: bytes) -> Request:
    """A head without its empty line."""
    return HeadParser().parse(head, PEER)


def test_what_was_asked_for_is_what_came_however_often_it_is_asked() -> None:
    """A query that was changed, twice even, is given back as sent, as often as somebody needs it."""
    one = parse(b"GET /o?a=1&sig=x HTTP/1.1\r\nHost: h")
    for query in ("a=1", ""):
        one.requery(f"/o?{query}")
        assert (one.query, one.params) == (query, {"a": "1"} if query else {})
    for _ in range(2):
        one.as_sent()
        assert (one.target, one.query) == ("/o?a=1&sig=x", "a=1&sig=x")


def test_usual_request() -> None:
    """Method, path, query, headers and facts of an ordinary request."""
    one = parse(b"PUT /v1/objects/b/o%20x?a=1&b=%2F HTTP/1.1\r\nHost: h\r\nContent-Length: 12\r\nX-Y:  spaced\t")
    assert (one.method, one.path, one.query) == ("PUT", "/v1/objects/b/o%20x", "a=1&b=%2F")
    assert (one.content_length, one.keep_alive, one.has_body) == (12, True, True)
    assert one.headers.get("x-y") == "spaced"
    assert "host" in one.headers
    assert one.params == {"a": "1", "b": "/"}
    assert (one.remote, one.scheme, one.networks) == ("1.2.3.4:5", "http", Network.PUBLIC)


def test_repeated_headers_are_all_there() -> None:
    """`Ais-Custom-Md` comes several times (wire contract §27.3)."""
    headers = parse_block(b"Ais-Custom-Md: a=1\r\nHost: h\r\nais-custom-md: b=2")
    assert headers.get_all("ais-custom-md") == ["a=1", "b=2"]
    assert headers.get("ais-custom-md") == "a=1"
    assert [name for name, _ in headers.items()] == ["ais-custom-md", "host", "ais-custom-md"]


@pytest.mark.parametrize(
    ("version", "connection", "keeps"),
    [
        ("1.1", "", True),
        ("1.1", "close", False),
        ("1.1", "x, Close", False),
        ("1.0", "", False),
        ("1.0", "Keep-Alive", True),
    ],
)
def test_keep_alive(version: str, connection: str, keeps: bool) -> None:
    """Connection is a list, in any case, and HTTP/1.0 closes by default."""
    assert parse(f"GET / HTTP/{version}\r\nHost: h\r\nConnection: {connection}".encode()).keep_alive is keeps


def test_unusual_but_lawful() -> None:
    """Absolute targets, raw UTF-8, an empty line before, OPTIONS *, unknown verbs, HTTP/1.0 without Host."""
    assert parse(b"GET http://host:80/a?b HTTP/1.1\r\nHost: host:80").target == "/a?b"
    assert parse(b"GET http://host HTTP/1.1\r\nHost: Host").path == "/"
    assert parse("GET /ü HTTP/1.1\r\nHost: h".encode()).path == "/%C3%BC"
    assert parse(b"\r\nGET /a HTTP/1.1\r\nHost: h").path == "/a"
    assert parse(b"OPTIONS * HTTP/1.1\r\nHost: h").target == "*"
    assert parse(b"PROPFIND / HTTP/1.1\r\nHost: h").method == "PROPFIND"
    assert parse(b"GET /a HTTP/1.0").is_http10
    assert parse(b"GET /a HTTP/1.1\r\nHost: h\r\nX: \xfc").headers.get("x") == "ü"


@pytest.mark.parametrize(
    "head",
    [
        b"",
        b"GET",
        b"GET /",
        b"GET / HTTP/1.1",
        b"GET / HTTP/2.0\r\nHost: h",
        b"GET / HTTP/1.2\r\nHost: h",
        b"GET / http/1.1\r\nHost: h",
        b"GET /  HTTP/1.1\r\nHost: h",
        b"GET  / HTTP/1.1\r\nHost: h",
        b" GET / HTTP/1.1\r\nHost: h",
        b"GET /a b HTTP/1.1\r\nHost: h",
        b"GET /a\tb HTTP/1.1\r\nHost: h",
        b"GET /a\x00b HTTP/1.1\r\nHost: h",
        b"GET /a\x7fb HTTP/1.1\r\nHost: h",
        b"GET /a\rb HTTP/1.1\r\nHost: h",
        b"GET a HTTP/1.1\r\nHost: h",
        b"GET * HTTP/1.1\r\nHost: h",
        b"CONNECT h:80 HTTP/1.1\r\nHost: h",
        b"get / HTTP/1.1\r\nHost: h",
        b"G\xc3T / HTTP/1.1\r\nHost: h",
        b"GET / HTTP/1.0\r\nX: GET /evil HTTP/1.1\r\nY y",
        b"GET / HTTP/1.1\nHost: h",
        b"GET / HTTP/1.1\r\nHost: h\nX: y",
        b"GET / HTTP/1.1\r\nHost: h\rX: y",
        b"GET / HTTP/1.1\r\nHost: h\x00",
        b"GET / HTTP/1.1\r\nHost : h",
        b"GET / HTTP/1.1\r\nHost: h\r\n folded: x",
        b"GET / HTTP/1.1\r\nHost: h\r\nX: a\r\n\tb",
        b"GET / HTTP/1.1\r\nHost: h\r\nnocolon",
        b"GET / HTTP/1.1\r\nHost: h\r\n: empty",
        b"GET / HTTP/1.1\r\nHost: h\r\nB(d: x",
        b"GET / HTTP/1.1\r\nHost: h\r\nHost: i",
        b"GET / HTTP/1.1\r\nX: no host",
        b"GET / HTTP/1.1\r\nHost: h\r\nContent-Length: -1",
        b"GET / HTTP/1.1\r\nHost: h\r\nContent-Length: +1",
        b"GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 0x10",
        b"GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 1_0",
        b"GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 1 1",
        b"GET / HTTP/1.1\r\nHost: h\r\nContent-Length:",
        b"GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 9999999999999999999",
        "GET / HTTP/1.1\r\nHost: h\r\nContent-Length: \u0661".encode(),
        b"GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 1, 1",
        b"GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nContent-Length: 1",
        b"GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nTransfer-Encoding: chunked",
        b"GET / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip, chunked",
        b"GET / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        b"GET / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: \x0bchunked",
        b"GET / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: identity",
        b"GET / HTTP/1.0\r\nHost: h\r\nTransfer-Encoding: chunked",
    ],
)
def test_refused(head: bytes) -> None:
    """Everything two programs could read differently is refused."""
    with pytest.raises(BadRequest):
        parse(head)


def test_too_many_headers() -> None:
    """The number of header lines has a limit."""
    with pytest.raises(HeadTooLarge):
        parse_block(b"\r\n".join(b"X: y" for _ in range(200)))


def test_equal_blocks_share_their_headers() -> None:
    """A header block is parsed once when it comes again and again, and the memo does not grow without bound."""
    parser = HeadParser()

    def asked(value: int) -> Headers:
        return parser.parse(b"GET /b HTTP/1.1\r\nHost: h\r\nX: %d" % value, PEER).headers

    asked(0)
    assert not parser._memo
    first = asked(0)
    assert asked(0) is first
    for value in range(1, MEMO_ENTRIES_MAX + 10):
        asked(value)
        asked(value)
    assert len(parser._memo) == MEMO_ENTRIES_MAX
    assert asked(0) is not first


def test_what_is_remembered_of_blocks_that_differ_is_bounded() -> None:
    """Names, and one block of each number of lines; none of long ones."""
    parser = HeadParser()
    for number in range(3 * NAMES_KNOWN_MAX):
        parser.parse(b"GET / HTTP/1.1\r\nHost: h\r\nX-%d: %d" % (number, number), PEER)
    known = parser._known
    assert len(known.names) <= NAMES_KNOWN_MAX + HEADERS_MAX
    assert list(known.blocks) == [2]
    parser.parse(b"GET / HTTP/1.1\r\nHost: h\r\nX: x\r\nY: " + bytes(KNOWN_BLOCK_BYTES_MAX).replace(b"\0", b"y"), PEER)
    assert list(known.blocks) == [2]


@given(
    st.lists(
        st.lists(st.sampled_from(["Host: h", "host: i", "A: 1", "A: 2", "a: 1", "B:1", "B: 2 ", "A"]), max_size=4),
        max_size=6,
    )
)
def test_what_was_parsed_before_changes_nothing(blocks: list[list[str]]) -> None:
    """A parser that has seen other blocks, refused ones among them, says of each what a new one does."""
    parser = HeadParser()
    for lines in blocks:
        head = "\r\n".join(("GET / HTTP/1.1", *lines)).encode()
        found = []
        for one in (parser, HeadParser()):
            try:
                headers = one.parse(head, PEER).headers
                found.append((list(headers.items()), headers.names, headers.is_single, headers.has_host))
            except BadRequest as error:
                found.append(error.args)
        assert found[0] == found[1]


def test_refused_blocks_are_refused_again() -> None:
    """The memo never holds a block that was refused."""
    parser = HeadParser()
    for _ in range(2):
        with pytest.raises(BadRequest):
            parser.parse(b"GET / HTTP/1.1\r\nHost: h\r\nContent-Length: x", PEER)


@pytest.mark.parametrize("line", ["X-Known", "X-Known 1", "X-Known : 1", " X-Known: 1", "X-Known:\r1", "x-known\n: 1"])
def test_names_that_are_known_excuse_nothing(line: str) -> None:
    """A line is as wrong behind a name that was parsed before as behind any."""
    parser = HeadParser()
    parser.parse(b"GET / HTTP/1.1\r\nHost: h\r\nX-Known: 0", PEER)
    with pytest.raises(BadRequest):
        parser.parse(f"GET / HTTP/1.1\r\nHost: h\r\n{line}".encode(), PEER)


@pytest.mark.parametrize(("value", "waits"), [("100-continue", True), ("100-Continue", True), ("200-ok", None)])
def test_who_waits_for_being_asked(value: str, waits: bool | None) -> None:
    """Whatever the case, with a length or in chunks; nothing else can be expected."""
    for framing in ("Content-Length: 5", "Transfer-Encoding: chunked"):
        head = f"PUT /o HTTP/1.1\r\nHost: h\r\nExpect: {value}\r\n{framing}".encode()
        if waits is None:
            with pytest.raises(UnsupportedExpectation):
                parse(head)
        else:
            headers = parse(head).headers
            assert (headers.expects_continue, headers.has_body) == (True, True)
            assert headers.content_length == (None if headers.is_chunked else 5)


class _Oracle:
    """What llhttp makes of a request."""

    def __init__(self) -> None:
        self.url = b""
        self.headers: list[tuple[str, str]] = []
        self.is_complete = False

    def on_url(self, url: bytes) -> None:
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name.decode("latin-1").lower(), value.decode("latin-1").strip(" \t")))

    def on_headers_complete(self) -> None:
        self.is_complete = True


_NAMES = st.sampled_from(
    ["Host", "Content-Length", "Transfer-Encoding", "Connection", "X", "Expect", "bad name", "é", ""]
)
_VALUES = st.one_of(
    st.sampled_from(["h", "5", "chunked", "close", "5, 5", "\tchunked ", "a\r\n b", "a\nb", "x\x00"]),
    st.text(alphabet=st.characters(codec="latin-1"), max_size=8),
)
_LINES = st.lists(st.tuples(_NAMES, st.sampled_from([":", ": ", " :", ""]), _VALUES), max_size=5)
_TARGETS = st.one_of(st.just("/a"), st.text(alphabet=st.characters(codec="ascii"), max_size=8).map(lambda x: "/" + x))


@given(_TARGETS, _LINES, st.sampled_from([" HTTP/1.1", " HTTP/1.0", " HTTP/1.1 ", "\tHTTP/1.1"]))
def test_llhttp_agrees(target: str, lines: Any, version: str) -> None:
    """Whatever we accept, an independent parser accepts too, with the same target and headers."""
    fields = [f"{name}{colon}{value}" for name, colon, value in lines]
    head = "\r\n".join([f"GET {target}{version}", "Host: h", *fields]).encode("latin-1")
    try:
        ours = parse(head)
    except AisError:
        return
    oracle = _Oracle()
    parser = httptools.HttpRequestParser(oracle)
    with contextlib.suppress(httptools.HttpParserUpgrade):
        parser.feed_data(head + b"\r\n\r\n")
    assert oracle.is_complete
    assert parser.get_http_version() == ("1.0" if ours.is_http10 else "1.1")
    assert oracle.url == ours.target.encode()
    assert ours.headers.block == b"\r\n".join(f.encode("latin-1") for f in ["Host: h", *fields])
    text = parse_block.__globals__["_decode"](ours.headers.block)
    assert list(ours.headers.items()) == [
        (name.lower(), value.strip(" \t")) for name, _, value in (line.partition(":") for line in text.split("\r\n"))
    ]
    assert [name for name, _ in oracle.headers] == [name for name, _ in ours.headers.items()]


@given(st.binary(max_size=200))
def test_garbage(head: bytes) -> None:
    """No bytes raise anything but our errors."""
    with contextlib.suppress(AisError):
        parse(head)
    is_hopeless(head)


@given(
    st.sampled_from([b"GET /a HTTP/1.1\r\nHost: h\r\nX: \xfc\ty\r\n\r\n", b"\r\nPUT /b HTTP/1.0\r\n\r\n"]), st.data()
)
def test_a_lawful_beginning_is_not_hopeless(head: bytes, data: st.DataObject) -> None:
    """A head may arrive in any pieces."""
    assert not is_hopeless(head[: data.draw(st.integers(1, len(head)))])


@pytest.mark.parametrize(
    "start", [b"\x16\x03\x01\x02\x00", b"GET / HTTP/1.1\n\n", b"ge", b"SSH-2.0", b"\x00", b"GET /\x00"]
)
def test_hopeless(start: bytes) -> None:
    """What can never become a request need not be waited for."""
    assert is_hopeless(start)


def test_pieces_are_looked_at_once() -> None:
    """What comes after a lawful beginning is all that is checked: a byte costs the same at the end of a long head."""
    start = b"GET / HTTP/1.1\r\nX: " + b"\x00" * 10
    assert is_hopeless(start)
    assert not is_hopeless(start, len(start))
    assert not is_hopeless(b"GET / HTTP/1.1\r\nHost: h\r\n", 25)
    assert is_hopeless(b"GET / HTTP/1.1\r\nHost: h\n", 23)
