"""HTTP itself (wire contract §1, §8, §27): early redirects, keep-alive, pipelining, chunks, verbs, limits."""

import contextlib
import json
import socket
import urllib.parse
from collections.abc import Iterator

import pytest
from harness.nodes import eventually, files_of
from harness.wire import Answer, Api, RawConnection, message, object_path


def endpoints(cluster) -> list[str]:
    """A proxy and a target."""
    return [cluster.proxies[0].url, cluster.targets[0].url]


@contextlib.contextmanager
def at_target(api: Api, bucket: str, name: str, method: str = "PUT") -> Iterator[tuple[RawConnection, str]]:
    """A socket to the object's target and the marked request target the proxy gave."""
    redirect = api.call(method, object_path(bucket, name), {"provider": "ais"}, redirects=False)
    location = urllib.parse.urlsplit(redirect.header("Location"))
    with RawConnection(f"http://{location.netloc}") as connection:
        yield connection, f"{location.path}?{location.query}"


def exchange(connection: RawConnection, method: str, target: str, body: bytes = b"", **headers: str) -> Answer:
    """One request and its answer on an open connection."""
    lines = [(key.replace("_", "-"), value) for key, value in headers.items()]
    if body or method in ("PUT", "POST", "PATCH"):
        lines.append(("Content-Length", str(len(body))))
    connection.send_head(method, target, lines)
    connection.send(body)
    return connection.answer(method)


def test_redirect_before_the_body(cluster, bucket: str):
    """The proxy redirects a PUT of 1 GiB when it has seen the head alone."""
    with RawConnection(cluster.endpoint) as connection:
        connection.send_head("PUT", object_path(bucket, "o"), [("Content-Length", str(1 << 30))])
        assert connection.answer().status == 307


def test_redirect_while_expecting_100(cluster, bucket: str):
    """With Expect the proxy redirects instead of asking for the body."""
    with RawConnection(cluster.endpoint) as connection:
        lines = [("Content-Length", "5"), ("Expect", "100-continue")]
        connection.send_head("PUT", object_path(bucket, "o"), lines)
        assert connection.answer().status == 307


def test_redirect_of_a_small_body_keeps_the_connection_usable(cluster, bucket: str):
    """`requests` sends the body first and reads then: a small body is swallowed, or the connection closed cleanly."""
    with RawConnection(cluster.endpoint) as connection:
        for number in range(3):
            answer = exchange(connection, "PUT", object_path(bucket, f"o{number}"), b"x" * 10_000)
            assert answer.status == 307
            if (answer.header("Connection") or "").lower() == "close":
                assert connection.is_closed()
                break


def test_large_upload_through_an_early_redirect(api: Api, bucket: str):
    """A client that writes 32 MiB before it reads still gets its redirect and its upload."""
    content = bytes(range(256)) * (128 << 10)
    assert api.put(bucket, "big", content).status == 200
    assert api.get(bucket, "big").body == content


def test_python_sdk_over_https_first_leg(cluster, bucket: str):
    """Content-Length without a body and Connection: close: the redirect comes and the connection closes."""
    with RawConnection(cluster.endpoint) as connection:
        lines = [("Content-Length", "100"), ("Connection", "close")]
        connection.send_head("PUT", object_path(bucket, "o"), lines)
        assert connection.answer().status == 307
        assert connection.is_closed()


def test_100_continue_at_the_target(api: Api, bucket: str):
    """A target says 100 Continue before it takes the body, and then answers."""
    with at_target(api, bucket, "o") as (connection, target):
        connection.send_head("PUT", target, [("Content-Length", "5"), ("Expect", "100-continue")])
        assert connection.answer().status == 100
        connection.send(b"hello")
        assert connection.answer().status == 200
    assert api.get(bucket, "o").body == b"hello"


def test_100_continue_is_not_sent_for_a_refusal(api: Api, bucket: str):
    """What will be refused is refused without asking for the body."""
    with at_target(api, bucket, "o") as (connection, target):
        lines = [("Content-Length", "5"), ("Expect", "100-continue")]
        connection.send_head("PUT", target.replace(bucket, "nosuch-bucket"), lines)
        assert connection.answer().status == 404


def test_chunked_upload(api: Api, bucket: str):
    """A chunked body, with extensions and trailers, is the object's content."""
    with at_target(api, bucket, "o") as (connection, target):
        connection.send_head("PUT", target, [("Transfer-Encoding", "chunked")])
        connection.send(b"5;ext=1\r\nhello\r\n")
        connection.send(b"1\r\n \r\n")
        connection.send(b"5\r\nworld\r\n0\r\nTrailer: x\r\n\r\n")
        assert connection.answer().status == 200
        assert exchange(connection, "GET", target).body == b"hello world"


def test_empty_chunked_upload(api: Api, bucket: str):
    """A chunked body of nothing makes an empty object."""
    with at_target(api, bucket, "empty") as (connection, target):
        connection.send_head("PUT", target, [("Transfer-Encoding", "chunked")])
        connection.send(b"0\r\n\r\n")
        assert connection.answer().status == 200
    assert api.head(bucket, "empty", props="size").header("Content-Length") == "0"


def test_keep_alive_across_kinds_of_requests(cluster, api: Api, bucket: str):
    """Hot and cold routes, bodies on GET, HEAD and errors alternate on one connection without getting out of step."""
    listing = message("list", value={"prefix": ""})
    for url in endpoints(cluster):
        with RawConnection(url) as connection:
            for _ in range(3):
                smap = exchange(connection, "GET", "/v1/daemon?what=smap")
                assert smap.json()["uuid"] == api.smap()["uuid"]
                head = exchange(connection, "HEAD", object_path(bucket, "nosuch"))
                assert head.status in (307, 404)
                missing = exchange(connection, "GET", "/v1/objects/nosuch-bucket/o")
                assert missing.status == 404
                buckets = exchange(connection, "GET", f"/v1/buckets/{bucket}", listing)
                assert buckets.status in (200, 403)  # targets list for nodes only
                assert exchange(connection, "GET", "/v1/health").status == 200


def test_pipelining(api: Api, bucket: str):
    """Requests sent at once are answered in order."""
    with at_target(api, bucket, "o") as (connection, target):
        assert exchange(connection, "PUT", target, b"0123456789").status == 200
        for number in range(10):
            connection.send_head("GET", target, [("Range", f"bytes={number}-{number}")])
        answers = [connection.answer() for _ in range(10)]
        assert b"".join(answer.body for answer in answers) == b"0123456789"
        connection.send_head("HEAD", target)
        connection.send_head("GET", "/v1/daemon?what=smap")
        connection.send_head("GET", target)
        assert connection.answer("HEAD").header("Content-Length") == "10"
        assert connection.answer().json()["tmap"]
        assert connection.answer().body == b"0123456789"


def test_pipelined_puts_with_bodies(api: Api, bucket: str):
    """Bodies of pipelined PUTs do not run into each other."""
    with at_target(api, bucket, "o") as (connection, target):
        for body in (b"first", b"second" * 5000, b"third"):
            connection.send_head("PUT", target, [("Content-Length", str(len(body)))])
            connection.send(body)
        assert [connection.answer().status for _ in range(3)] == [200, 200, 200]
    assert api.get(bucket, "o").body == b"third"


def test_byte_by_byte(api: Api, bucket: str):
    """A request that arrives in single bytes is the same request."""
    with at_target(api, bucket, "o") as (connection, target):
        head = f"PUT {target} HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc"
        for byte in head.encode():
            connection.send(bytes([byte]))
        assert connection.answer().status == 200
    assert api.get(bucket, "o").body == b"abc"


def test_connection_close_and_http_1_0(cluster):
    """Connection: close and HTTP/1.0 get their answer and the end of the connection."""
    for url in endpoints(cluster):
        with RawConnection(url) as connection:
            assert exchange(connection, "GET", "/v1/health", Connection="close").status == 200
            assert connection.is_closed()
        with RawConnection(url) as connection:
            connection.send(b"GET /v1/health HTTP/1.0\r\n\r\n")
            assert connection.answer().status == 200
            assert connection.is_closed()


def test_half_closed_client(api: Api, bucket: str):
    """A client that has shut down its sending side still gets its answer."""
    api.put(bucket, "o", b"hello")
    with at_target(api, bucket, "o", "GET") as (connection, target):
        connection.send_head("GET", target)
        connection.socket.shutdown(socket.SHUT_WR)
        assert connection.answer().body == b"hello"


def test_upload_cut_in_the_middle_leaves_nothing(api: Api, cluster, bucket: str):
    """When the client disappears during a PUT, no object appears and no work file stays."""
    with at_target(api, bucket, "cut") as (connection, target):
        connection.send_head("PUT", target, [("Content-Length", "10000000")])
        connection.send(b"x" * 3_000_000)
    with at_target(api, bucket, "cut") as (connection, target):
        connection.send_head("PUT", target, [("Transfer-Encoding", "chunked")])
        connection.send(b"5\r\nhello\r\n")
    mountpaths = [path for node in cluster.targets for path in node.mountpaths]
    eventually(lambda: not [path for path in files_of(mountpaths, "wk") if bucket in path.parts], within_s=10)
    assert api.get(bucket, "cut").status == 404


@pytest.mark.parametrize("path", ["/v1/objects/b/o", "/v1/buckets/b", "/v1/daemon", "/v1/cluster", "/v1/health"])
def test_options(cluster, path: str):
    """OPTIONS on a known handler is a 200 with Allow."""
    answer = Api(cluster.endpoint).call("OPTIONS", path)
    assert answer.status == 200
    assert "GET" in answer.header("Allow")


@pytest.mark.parametrize("path", ["/v1/daemon", "/v1/health", "/v1/buckets/b", "/v1/objects/b/o"])
def test_unsupported_verb(cluster, path: str):
    """A verb nobody serves is a 405 with Allow and plain text."""
    for verb in ("TRACE", "PROPFIND"):
        answer = Api(cluster.endpoint).call(verb, path)
        assert answer.status == 405
        assert "GET" in answer.header("Allow")
        assert answer.body.strip() == b"Method Not Allowed"
        assert answer.header("Content-Type").startswith("text/plain")


def test_json_for_people(api: Api):
    """A browser gets JSON indented by four and HSTS; everybody else one line."""
    plain = api.call("GET", "/v1/daemon", {"what": "smap"})
    pretty = api.call("GET", "/v1/daemon", {"what": "smap"}, headers={"User-Agent": "Mozilla/5.0 (X11)"})
    assert plain.body.count(b"\n") == 1
    assert b'\n    "' in pretty.body
    assert pretty.header("Strict-Transport-Security")
    assert plain.header("Strict-Transport-Security") is None
    assert json.loads(plain.body) == json.loads(pretty.body)


def test_favicon_and_root(cluster):
    """/favicon.ico is an empty 200; / is a 400 that says what is wrong."""
    for url in endpoints(cluster):
        icon = Api(url).call("GET", "/favicon.ico")
        assert (icon.status, icon.body) == (200, b"")
        root = Api(url).call("GET", "/")
        assert root.status == 400
        assert "invalid request URI" in root.error["message"]


def test_error_without_reading_the_body(cluster, bucket: str):
    """A refusal that comes before the body leaves the connection in step, or closes it."""
    with RawConnection(cluster.endpoint) as connection:
        answer = exchange(connection, "PUT", "/v1/objects/nosuch-bucket/o", b"GET /v1/health HTTP/1.1\r\n\r\n" * 40)
        assert answer.status == 404
        if (answer.header("Connection") or "").lower() == "close":
            assert connection.is_closed()
        else:
            assert exchange(connection, "GET", "/v1/daemon?what=smap").json()["tmap"]


@pytest.mark.parametrize(
    "head",
    [
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET /v1/health HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"GET /v1/health HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"PUT /v1/objects/b/o HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"PUT /v1/objects/b/o HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\n",
        b"GET /v1/health HTTP/1.1\r\nHost: x\r\nBad Header: x\r\n\r\n",
        b"GET /v1/health HTTP/1.1\r\nHost: x\r\n folded: x\r\n\r\n",
        b"GET /v1/he\x00alth HTTP/1.1\r\nHost: x\r\n\r\n",
    ],
    ids=["no-target", "version", "tls", "negative-length", "two-lengths", "both", "gzip", "space", "fold", "nul"],
)
def test_broken_heads(cluster, head: bytes):
    """What is not HTTP gets a 400 (501 for an unknown transfer coding) and the end of the connection, at any node."""
    for url in endpoints(cluster):
        with RawConnection(url) as connection:
            connection.send(head)
            with contextlib.suppress(ConnectionResetError):
                answer = connection.answer()
                assert 400 <= answer.status <= 501
                assert answer.status not in (500,)
                assert connection.is_closed()
        assert Api(url).call("GET", "/v1/health").status == 200


def test_endless_head(cluster):
    """A head beyond the limit is refused, not collected."""
    for url in endpoints(cluster):
        with RawConnection(url) as connection:
            connection.send(b"GET /v1/health HTTP/1.1\r\nHost: x\r\n")
            with contextlib.suppress(ConnectionResetError, BrokenPipeError):
                for number in range(5000):
                    connection.send(b"X-%d: %s\r\n" % (number, b"y" * 1000))
            with contextlib.suppress(ConnectionResetError):
                assert 400 <= connection.answer().status < 500
        assert Api(url).call("GET", "/v1/health").status == 200
