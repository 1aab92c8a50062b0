"""Requests on a real connection: order, framing, waiting, limits, and what becomes of clients that misbehave."""

import asyncio
import socket
from typing import Any

import pytest
from harness.http import MemorySink, echo, request, serving, until, uploads
from harness.loop import run

from ais.base.errors import BadRequest, ObjectNotFound
from ais.net import hub
from ais.net.connection import HELD_BYTES_MAX, JOINED_BYTES_MAX
from ais.net.encoding import framed
from ais.net.http import Reply, Request, Upload
from ais.net.hub import HELD_ANSWERS_MAX, REPEATED_BYTES_MAX
from ais.net.server import Limits

BUFFER = 64 << 10
SINKS = [{}, {"in_thread": True}, {"is_inline": True}]
SINK_IDS = ["sink", "thread", "inline"]
SMALL_BUFFERS = Limits(buffer_bytes=BUFFER, turn_bytes=BUFFER, buffers_max=3)
IMPATIENT = Limits(header_timeout_s=0.2, body_idle_timeout_s=0.2, keepalive_timeout_s=0.2, linger_timeout_s=0.2)
"""For tests whose only event is that a deadline passes."""


def content_of(size: int) -> bytes:
    """Bytes that would show any piece lost, doubled or moved."""
    return b"".join(b"%015d\n" % number for number in range(size // 16 + 1))[:size]


def test_keep_alive_and_order() -> None:
    """One connection serves request after request, and pipelined ones in order, also when some take longer."""
    gate: list[asyncio.Event] = []

    async def slow(one: Request) -> Reply:
        await gate[0].wait()
        return echo(one)

    def route(one: Request) -> Any:
        return slow(one) if one.path.startswith("/slow") else echo(one)

    async def scenario() -> None:
        gate.append(asyncio.Event())
        async with serving(route) as served:
            client = await served.connect()
            for number in range(3):
                answer = await client.ask(f"GET /{number}")
                assert (answer.status, answer.body) == (200, f"GET /{number}".encode())
                assert answer.headers["date"].endswith("GMT")
                assert "connection" not in answer.headers
            paths = [f"/{'slow' if number % 7 == 0 else 'fast'}{number}" for number in range(100)]
            client.send(b"".join(request(f"GET {path}") for path in paths))
            gate[0].set()
            assert [(await client.answer()).body.decode() for _ in paths] == [f"GET {path}" for path in paths]
            assert served.server.connection_count == 1

    run(scenario())


def test_what_is_no_request_is_refused_at_once_behind_one_in_pieces() -> None:
    """The beginning of TLS after a request whose head came in two pieces: the request's answer, then 400."""

    async def scenario() -> None:
        async with serving(echo) as served:
            client = await served.connect()
            head = request("GET /in-more-than-32-bytes")
            client.send(head[:-5])
            await until(lambda: any(one.tail for one in served.server._hub.connections))
            client.send(head[-5:] + b"\x16\x03\x01\x02\x00")
            assert (await client.answer()).body == b"GET /in-more-than-32-bytes"
            assert (await client.answer()).status == 400

    run(scenario())


def test_answers_held_for_each_other_stay_in_order() -> None:
    """Small, large, late and refused answers to requests that came at once arrive as asked for, before the close."""

    async def late(one: Request) -> Reply:
        return echo(one)

    def route(one: Request) -> Any:
        if one.path.startswith("/large"):
            return Reply(200, b"", one.path.encode() * HELD_BYTES_MAX)
        return late(one) if one.path.startswith("/late") else echo(one)

    paths = ["/small1", "/small2", "/large3", "/small4", "/late5", "/small6", "/large7", "/large8", "/small9"]
    for last, status in ((request("GET /end\nConnection: close"), 200), (b"GET  /end HTTP/1.1\r\n\r\n", 400)):

        async def scenario(last: bytes = last, status: int = status) -> None:
            async with serving(route) as served:
                clients = [await served.connect() for _ in range(HELD_ANSWERS_MAX + 5)]
                for client in clients:
                    client.send(b"".join(request(f"GET {path}") for path in paths) + last)
                for client in clients:
                    bodies = [(await client.answer()).body.decode() for _ in paths]
                    assert [body.removeprefix("GET ")[:7] for body in bodies] == [path[:7] for path in paths]
                    assert (await client.answer()).status == status
                    assert await client.is_closed()

        run(scenario())


@pytest.mark.parametrize("request_of", [lambda n: request(f"GET /{n}"), lambda n: request(f"PUT /{n}", b"x" * 100)])
def test_every_small_answer_of_one_turn_is_sent(request_of: Any) -> None:
    """However many requests arrive at the same time, each client gets its answer: also the one that fills the turn."""
    route, _ = uploads(MemorySink)

    async def scenario() -> None:
        async with serving(route) as served:
            clients = [await served.connect() for _ in range(2 * HELD_ANSWERS_MAX + 16)]
            for _ in range(100):
                for number, client in enumerate(clients):
                    client.send(request_of(number))
                for client in clients:
                    assert (await client.answer()).status == 200

    run(scenario())


def test_a_repeated_request_is_answered_without_the_route_while_that_is_allowed() -> None:
    """Asked for twice, the same head gets what `Reply.repeat` gave, from any client; None, or another, is routed."""
    routed: list[str] = []
    again = iter([b"third", b"fourth", None, b"sixth", None])

    def next_answer() -> tuple[int, bytes, bytes] | None:
        body = next(again)
        return body and (203, framed(b"Said: again\r\n", len(body)), body)

    def route(one: Request) -> Reply:
        routed.append(one.path)
        return Reply(200, b"", b"routed", repeat=(lambda _: next_answer) if one.path == "/same" else None)

    async def scenario() -> None:
        async with serving(route) as served:
            one, other = await served.connect(), await served.connect()
            assert (await one.ask("GET /same")).body == b"routed"
            assert (await one.ask("GET /same")).body == b"routed"
            answer = await other.ask("GET /same")
            assert (answer.status, answer.headers["said"], answer.body) == (203, "again", b"third")
            assert answer.headers["date"].endswith("GMT")
            assert (await one.ask("GET /same")).body == b"fourth"
            assert (await one.ask("GET /same")).body == b"routed"
            assert (await one.ask("GET /same\nAccept: */*")).body == b"routed"
            assert (await one.ask("GET /other")).body == b"routed"
            assert (await one.ask("GET /same")).body == b"sixth"
            assert (await one.ask("GET /same")).body == b"routed"
            assert routed == ["/same", "/same", "/same", "/same", "/other", "/same"]

    run(scenario())


@pytest.mark.parametrize(
    ("head", "body"),
    [
        ("PUT /o", b"content"),
        ("PUT /o\nExpect: 100-continue", b""),
        ("GET /o\nConnection: close", b""),
        ("GET /" + "o" * REPEATED_BYTES_MAX, b""),
    ],
    ids=["body", "expect", "close", "long"],
)
def test_what_is_more_than_a_plain_head_is_always_routed(head: str, body: bytes) -> None:
    """Requests with a body, that wait for 100, that end the connection or are long never use `Reply.repeat`."""
    route, sinks = uploads(MemorySink)

    def repeatable(one: Request) -> Any:
        reply = route(one) if body else echo(one)
        if type(reply) is Reply:
            reply.repeat = lambda _: lambda: (500, b"Content-Length: 0\r\n\r\n", b"")
        return reply

    async def scenario() -> None:
        async with serving(repeatable) as served:
            for _ in range(3):
                client = await served.connect()
                answer = await client.ask(head, body)
                assert (await client.answer() if answer.status == 100 else answer).status == 200
            assert len(sinks) == (3 if body else 0)

    run(scenario())


@pytest.mark.parametrize("size", [9, JOINED_BYTES_MAX + 1, 1 << 20])
def test_repeated_requests_stay_in_order_with_those_around_them(size: int) -> None:
    """Between pipelined, slow and held answers repeated and large ones wait for their turn; the client reads late."""
    large = {path: path.encode().ljust(size, b".") for path in ("/same", "/large")}

    async def late(one: Request) -> Reply:
        return echo(one)

    def route(one: Request) -> Any:
        if one.path == "/same":
            answer = 200, framed(b"", size), large[one.path]
            return Reply(200, b"", answer[2], repeat=lambda _: lambda: answer)
        if one.path == "/large":
            return Reply(200, b"", large[one.path])
        return late(one) if one.path.startswith("/late") else echo(one)

    async def scenario() -> None:
        async with serving(route) as served:
            client = await served.connect()
            for _ in range(2):
                await client.ask("GET /same")
            paths = ["/same", "/1", "/same", "/late2", "/same", "/large", "/same", "/3", "/large", "/same"] * 5
            for path in paths:
                client.send(request(f"GET {path}"))
                await asyncio.sleep(0)
            await asyncio.sleep(0.05)
            for path in paths:
                assert (await client.answer()).body == large.get(path, f"GET {path}".encode())
            head = await client.ask("HEAD /large")
            assert (head.headers["content-length"], head.body) == (str(size), b"")

    run(scenario())


def test_what_is_remembered_of_requests_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only requests that come again before too many others did are remembered, and only so many."""
    monkeypatch.setattr(hub, "REPEATS_MAX", 3)
    routed: list[str] = []

    def route(one: Request) -> Reply:
        routed.append(one.path)
        body = one.path.encode()
        return Reply(200, b"", body, repeat=lambda _: lambda: (200, framed(b"", len(body)), body))

    async def scenario() -> None:
        async with serving(route) as served:
            client = await served.connect()
            for path in ["/1", "/1", "/1", "/2", "/3", "/4", "/2", "/2"]:
                assert (await client.ask(f"GET {path}")).body == path.encode()
            assert routed == ["/1", "/1", "/2", "/3", "/4", "/2", "/2"]
            for path in ["/1", "/2", "/3", "/4", "/5", "/6"] * 3:
                assert (await client.ask(f"GET {path}")).body == path.encode()
            shared = served.server._hub
            assert shared is not None
            assert len(shared.repeats) <= 3

    run(scenario())


def test_pipelined_bodies_in_any_pieces() -> None:
    """PUTs with counted and chunked bodies, cut anywhere, never run into each other."""
    route, sinks = uploads(MemorySink)
    chunked = request("PUT /c\nTransfer-Encoding: chunked") + b"3\r\nabc\r\n4;x=y\r\ndefg\r\n0\r\nT: r\r\n\r\n"
    raw = request("PUT /a", b"12345") + chunked + request("GET /g") + request("PUT /b", content_of(1000))

    async def scenario() -> None:
        async with serving(route) as served:
            for size in (1, 7, 50, 333, len(raw)):
                client = await served.connect()
                for start in range(0, len(raw), size):
                    client.send(raw[start : start + size])
                    await asyncio.sleep(0)
                bodies = [(await client.answer()).body for _ in range(4)]
                assert bodies == [b"5", b"7", b"GET /g", b"1000"]
                assert [bytes(one.content) for one in sinks[-3:]] == [b"12345", b"abcdefg", content_of(1000)]

    run(scenario())


@pytest.mark.parametrize("how", SINKS, ids=SINK_IDS)
@pytest.mark.parametrize("is_chunked", [False, True])
@pytest.mark.parametrize("size", [BUFFER // 2, BUFFER, 3 * BUFFER + 17, 40 * BUFFER])
def test_upload_of_any_size(size: int, is_chunked: bool, how: dict[str, bool]) -> None:
    """A body reaches the sink whole and in order; below the size of a buffer in one write."""
    route, sinks = uploads(lambda: MemorySink(**how))
    content = content_of(size)

    async def scenario() -> None:
        async with serving(route, limits=SMALL_BUFFERS) as served:
            clients = [await served.connect() for _ in range(5)]  # more than there are buffers
            for client in clients:
                if is_chunked:
                    pieces = [content[at : at + 5000] for at in range(0, size, 5000)]
                    framed = b"".join(b"%x\r\n%b\r\n" % (len(one), one) for one in pieces) + b"0\r\n\r\n"
                    client.send(request("PUT /o\nTransfer-Encoding: chunked") + framed + request("GET /next"))
                else:
                    client.send(request("PUT /o", content) + request("GET /next"))
            for client in clients:
                assert (await client.answer()).body == b"%d" % size
                assert (await client.answer()).body == b"GET /next"
            assert all(bytes(sink.content) == content for sink in sinks)
            assert all(sink.events[-1] == "finish" for sink in sinks)

    run(scenario())


def test_small_body_is_one_write() -> None:
    """A body smaller than a buffer that comes in two pieces is still one write and a finish."""
    route, sinks = uploads(MemorySink)

    async def scenario() -> None:
        async with serving(route) as served:
            client = await served.connect()
            whole = request("PUT /o", content_of(50_000))
            client.send(whole[:20_000])
            await client.ask_nothing(served)
            client.send(whole[20_000:])
            assert (await client.answer()).status == 200
            assert sinks[0].events == ["write 50000", "finish"]

    run(scenario())


def test_an_inline_sink_gets_what_comes() -> None:
    """Pieces go to it one by one, while others wait for the body to be complete; a slow client costs no buffer."""
    route, sinks = uploads(lambda: MemorySink(is_inline=True))

    async def scenario() -> None:
        async with serving(route, limits=SMALL_BUFFERS) as served:
            clients = [await served.connect() for _ in range(5)]
            for client in clients:
                client.send(request("PUT /o", content_of(50_000))[:20_000])
            for client in clients:
                await client.ask_nothing(served)
            assert served.server._hub.buffers.out == 0
            for client in clients:
                client.send(request("PUT /o", content_of(50_000))[20_000:] + request("GET /next"))
                assert (await client.answer()).body == b"50000"
                assert (await client.answer()).body == b"GET /next"
            assert all(bytes(sink.content) == content_of(50_000) for sink in sinks)
            assert all(len(sink.events) == 3 for sink in sinks)

    run(scenario())


@pytest.mark.parametrize("is_inline", [False, True])
def test_expect_100_continue(is_inline: bool) -> None:
    """The body is asked for when the route wants it, and only then; a refusal closes, as the body may still come."""
    route, sinks = uploads(lambda: MemorySink(is_inline=is_inline))

    def choosy(one: Request) -> Any:
        if one.path == "/no":
            raise ObjectNotFound("ais://b/no")
        return route(one)

    async def scenario() -> None:
        async with serving(choosy) as served:
            client = await served.connect()
            client.send(b"PUT /o HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n")
            assert (await client.answer()).status == 100
            client.send(b"abc")
            assert (await client.answer()).status == 200
            client.send(b"PUT /o HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\nabc")
            assert (await client.answer()).status == 200  # the body was here already: nothing to ask for
            client.send(b"PUT /o HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\nExpect: 100-continue\r\n\r\n")
            assert (await client.answer()).status == 100  # botocore waits for it, and mistakes a 200 instead
            assert (await client.answer()).status == 200
            client.send(b"PUT /no HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n")
            answer = await client.answer()
            assert (answer.status, answer.headers["connection"]) == (404, "close")
            assert await client.is_closed()
            assert len(sinks) == 3

    run(scenario())


def test_http_1_0() -> None:
    """HTTP/1.0 closes after the answer unless asked not to, and then says so."""

    async def scenario() -> None:
        async with serving(echo) as served:
            client = await served.connect()
            client.send(b"GET /a HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
            assert (await client.answer()).headers["connection"] == "keep-alive"
            client.send(b"GET /a HTTP/1.0\r\n\r\n")
            assert (await client.answer()).headers["connection"] == "close"
            assert await client.is_closed()

    run(scenario())


def test_head_and_bodiless_statuses() -> None:
    """A HEAD answer announces a length and has no body; 204 has neither."""

    def route(one: Request) -> Reply:
        return {
            "/length": Reply(200, length=12345),
            "/body": Reply(200, body=b"abc"),
            "/empty": Reply(204),
        }[one.path]

    async def scenario() -> None:
        async with serving(route) as served:
            client = await served.connect()
            assert (await client.ask("HEAD /length")).headers["content-length"] == "12345"
            assert (await client.ask("HEAD /body")).headers["content-length"] == "3"
            assert "content-length" not in (await client.ask("GET /empty")).headers
            assert (await client.ask("GET /body")).body == b"abc"

    run(scenario())


def test_half_closed_client_gets_all_answers() -> None:
    """A client that shut down its sending side still gets what it asked for, then the connection ends."""

    async def scenario() -> None:
        async with serving(lambda one: _soon(one) if one.path == "/later" else echo(one)) as served:
            client = await served.connect()
            client.send(request("GET /1") + request("GET /later") + request("GET /3"))
            client.half_close()
            assert [(await client.answer()).body for _ in range(3)] == [b"GET /1", b"GET /later", b"GET /3"]
            assert await client.is_closed()

    run(scenario())


async def _soon(one: Request) -> Reply:
    await asyncio.sleep(0.01)
    return echo(one)


@pytest.mark.parametrize("is_chunked", [False, True])
@pytest.mark.parametrize("how", SINKS, ids=SINK_IDS)
@pytest.mark.parametrize("half", [True, False])
def test_upload_cut_off(half: bool, how: dict[str, bool], is_chunked: bool) -> None:
    """When the client goes away in the middle of a body the sink is aborted, never finished."""
    route, sinks = uploads(lambda: MemorySink(**how))

    async def scenario() -> None:
        async with serving(route, limits=SMALL_BUFFERS) as served:
            client = await served.connect()
            if is_chunked:
                client.send(request("PUT /o\nTransfer-Encoding: chunked") + b"fffff\r\n" + content_of(200_000))
            else:
                client.send(request("PUT /o", content_of(300_000))[:200_000])
            await client.writer.drain()
            if half:
                client.half_close()
                assert await client.is_closed()
            else:
                client.reset()
            await until(lambda: sinks)
            await sinks[0].gone.wait()
            assert "finish" not in sinks[0].events
            assert sinks[0].events.count("abort") == 1

    run(scenario())


def test_abort_waits_for_the_write_in_progress() -> None:
    """A sink is not aborted while its write still runs: the buffer and the file are in use."""

    def make() -> MemorySink:
        sink = MemorySink(in_thread=True)
        sink.may_write.clear()
        return sink

    route, sinks = uploads(make)

    async def scenario() -> None:
        async with serving(route, limits=SMALL_BUFFERS) as served:
            client = await served.connect()
            client.send(request("PUT /o", content_of(1 << 20))[: BUFFER + 1000])
            await until(lambda: sinks and sinks[0].events)
            client.reset()
            await until(lambda: not served.server.connection_count)
            before = "abort" in sinks[0].events
            sinks[0].may_write.set()
            await sinks[0].gone.wait()
            assert not before
            assert sinks[0].events[-2:] == ["written", "abort"]

    run(scenario())


@pytest.mark.parametrize(("size", "is_apart"), [(5000, True), (BUFFER + 500, False)])
def test_bodies_that_wait_for_a_disk(size: int, is_apart: bool) -> None:
    """They stay what they were while others are received; small ones do not keep the buffer that all share."""
    go_on = asyncio.Event()

    def make() -> MemorySink:
        sink = MemorySink(in_thread=True)
        sink.may_write = go_on
        return sink

    route, sinks = uploads(make)

    async def scenario() -> None:
        async with serving(route, limits=Limits(buffer_bytes=2 * BUFFER)) as served:
            hub = served.server._hub
            assert hub is not None
            shared, bodies = hub.shared, [bytes([number]) * size for number in range(20)]
            clients = [await served.connect() for _ in bodies]
            for number, body in enumerate(bodies):
                clients[number].send(request("PUT /o", body))
                await until(lambda count=number + 1: len(sinks) == count and sinks[-1].events)
                assert sinks[number].events == [f"write {size}"]
            assert (hub.shared is shared) == is_apart
            go_on.set()
            for client in clients:
                assert (await client.answer("PUT")).status == 200
            assert [bytes(sink.content) for sink in sinks] == bodies

    run(scenario())


@pytest.mark.parametrize("size", [100, 10 * BUFFER])
@pytest.mark.parametrize("fail_after", [0, 3 * BUFFER])
@pytest.mark.parametrize("is_inline", [False, True])
def test_sink_that_refuses(size: int, fail_after: int, is_inline: bool) -> None:
    """An error of the sink is the answer; the rest of the body does not disturb what follows."""
    route, sinks = uploads(lambda: MemorySink(fail_after=fail_after, is_inline=is_inline))

    async def scenario() -> None:
        async with serving(route, limits=SMALL_BUFFERS) as served:
            client = await served.connect()
            client.send(request("PUT /o", content_of(size)) + request("GET /next"))
            refused = size > fail_after
            assert (await client.answer()).status == (507 if refused else 200)
            assert (await client.answer()).body == b"GET /next"
            assert sinks[0].events[-1] == ("abort" if refused else "finish")

    run(scenario())


@pytest.mark.parametrize("raw", [b"5\r\nhelloX", b"zz\r\n", b"5\nhello"])
def test_bad_chunks(raw: bytes) -> None:
    """Bad framing in a body: the sink is aborted, the client gets a 400 and the end of the connection."""
    route, sinks = uploads(MemorySink)

    async def scenario() -> None:
        async with serving(route) as served:
            client = await served.connect()
            client.send(request("PUT /o\nTransfer-Encoding: chunked"))
            client.send(raw + b"\r\n")
            answer = await client.answer()
            assert (answer.status, answer.headers["connection"]) == (400, "close")
            assert await client.is_closed()
            assert sinks[0].events[-1] == "abort"

    run(scenario())


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (b"GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        (b"GET / HTTP/1.1\nHost: h\n\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00", 400),
        (b"GET /" + b"a" * 70_000, 431),
        (b"GET / HTTP/1.1\r\nHost: h\r\nX: " + b"a" * 70_000 + b"\r\n\r\n", 431),
    ],
)
def test_bad_heads(raw: bytes, status: int) -> None:
    """A head that cannot be served is answered with JSON, at once, and the connection ends."""

    async def scenario() -> None:
        async with serving(echo) as served:
            client = await served.connect()
            client.send(raw)
            answer = await client.answer()
            assert (answer.status, answer.headers["connection"]) == (status, "close")
            assert answer.headers["content-type"] == "application/json"
            assert await client.is_closed()

    run(scenario())


def test_route_errors_are_answers() -> None:
    """What a route raises, at once or later, becomes the reply, and the connection goes on."""

    async def later(one: Request) -> Reply:
        raise BadRequest("later")

    def route(one: Request) -> Any:
        if one.path == "/later":
            return later(one)
        raise BadRequest("now")

    async def scenario() -> None:
        async with serving(route) as served:
            client = await served.connect()
            for path in ("/now", "/later", "/now"):
                answer = await client.ask(f"GET {path}")
                assert answer.status == 400
                assert path[1:].encode() in answer.body
            head = await client.ask("HEAD /now")
            assert '"status":400' in head.headers["hdr-error"]

    run(scenario())


def test_deadlines() -> None:
    """Slow heads and bodies get a 408, idle connections are closed, and the sink of a slow body is aborted."""
    route, sinks = uploads(MemorySink)

    async def scenario() -> None:
        async with serving(route, limits=IMPATIENT) as served:
            idle, head, body = [await served.connect() for _ in range(3)]
            head.send(b"GET / HTTP/1.1\r\n")
            body.send(request("PUT /o", b"123456")[:-1])
            assert await idle.is_closed()
            for client in (head, body):
                assert (await client.answer()).status == 408
                assert await client.is_closed()
            assert sinks[0].events[-1] == "abort"

    run(scenario())


def test_client_that_does_not_read_is_dropped() -> None:
    """A client that asks for much and reads nothing does not hold its answers in memory for ever."""

    def route(one: Request) -> Reply:
        return Reply(200, body=bytes(8 << 20))

    async def scenario() -> None:
        async with serving(route, limits=IMPATIENT) as served:
            sock = socket.create_connection(("127.0.0.1", served.port))
            sock.sendall(request("GET /") * 50)
            await until(lambda: served.server.connection_count)
            await until(lambda: not served.server.connection_count)
            sock.close()

    run(scenario())


@pytest.mark.parametrize("how", ["repeated", "routed", "late"])
def test_answers_that_nobody_takes_stop_the_requests(how: str) -> None:
    """Requests sent one by one by a client that reads no answer are left in the socket; it may read them all later."""
    body, count = bytes(32 << 10), 2000
    framing = framed(b"", len(body))

    async def late(reply: Reply) -> Reply:
        return reply

    def route(one: Request) -> Any:
        reply = Reply(200, b"", body, repeat=(lambda _: lambda: (200, framing, body)) if how == "repeated" else None)
        return late(reply) if how == "late" else reply

    async def scenario() -> None:
        async with serving(route) as served:
            client = await served.connect(limit=1 << 20)
            client.writer.transport.pause_reading()
            for _ in range(count):
                client.send(request("GET /o"))
                await client.writer.drain()
                await asyncio.sleep(0)
            await client.ask_nothing(served)
            hub = served.server._hub
            assert hub is not None
            assert max(one.unsent_bytes for one in hub.connections) < 1 << 20
            client.writer.transport.resume_reading()
            for _ in range(count):
                assert (await client.answer()).body == body

    run(scenario())


def test_too_many_connections() -> None:
    """Beyond the limit a connection gets a 503; when others go there is room again."""

    async def scenario() -> None:
        async with serving(echo, limits=Limits(connections_max=2)) as served:
            first, second = await served.connect(), await served.connect()
            assert (await first.ask("GET /1")).status == 200
            assert (await second.ask("GET /2")).status == 200
            third = await served.connect()
            assert (await third.answer()).status == 503
            assert await third.is_closed()
            await third.close()
            await first.close()
            await until(lambda: served.server.connection_count == 1)
            assert (await (await served.connect()).ask("GET /4")).status == 200

    run(scenario())


def test_one_client_does_not_lock_out_the_others() -> None:
    """When one address has most connections, its idlest one goes to let another address in."""

    async def scenario() -> None:
        async with serving(echo, limits=Limits(connections_max=4)) as served:
            many = [await served.connect() for _ in range(4)]
            for client in many:
                assert (await client.ask("GET /1")).status == 200
            reader, writer = await asyncio.open_connection("127.0.0.1", served.port, local_addr=("127.0.0.2", 0))
            writer.write(b"GET /2 HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
            assert (await reader.read()).startswith(b"HTTP/1.1 200")
            writer.close()
            await until(lambda: served.server.connection_count == 3)

    run(scenario())


def test_drain() -> None:
    """Draining closes idle connections, lets running requests finish with Connection: close, and takes no new ones."""
    gate: list[asyncio.Event] = []

    async def slow(one: Request) -> Reply:
        await gate[0].wait()
        return echo(one)

    async def scenario() -> None:
        gate.append(asyncio.Event())
        async with serving(lambda one: slow(one) if one.path == "/slow" else echo(one)) as served:
            idle, busy = await served.connect(), await served.connect()
            await idle.ask("GET /")
            await busy.ask("GET /")
            busy.send(request("GET /slow"))
            await busy.ask_nothing(served)
            draining = asyncio.create_task(served.server.drain(30))
            assert await idle.is_closed()
            with pytest.raises(OSError, match="refused"):
                await served.connect()
            gate[0].set()
            answer = await busy.answer()
            assert (answer.body, answer.headers["connection"]) == (b"GET /slow", "close")
            assert await busy.is_closed()
            await draining

    run(scenario())


def test_route_is_cancelled_when_the_client_resets() -> None:
    """Work for a client that is gone stops."""
    cancelled: list[asyncio.Event] = []
    started: list[asyncio.Event] = []

    async def endless(one: Request) -> Reply:
        started[0].set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled[0].set()
        raise AssertionError

    async def scenario() -> None:
        cancelled.append(asyncio.Event())
        started.append(asyncio.Event())
        async with serving(endless) as served:
            client = await served.connect()
            client.send(request("GET /"))
            await started[0].wait()
            client.reset()
            await cancelled[0].wait()

    run(scenario())


def test_upload_decided_later() -> None:
    """A route may think before it takes a body that is coming in meanwhile."""
    sink = []

    async def later(one: Request) -> Upload:
        await asyncio.sleep(0.01)
        sink.append(MemorySink(in_thread=True))
        return Upload(sink[0])

    async def scenario() -> None:
        async with serving(lambda one: later(one) if one.method == "PUT" else echo(one)) as served:
            client = await served.connect()
            client.send(request("PUT /o", content_of(3 << 20)) + request("GET /next"))
            assert (await client.answer()).body == b"%d" % (3 << 20)
            assert (await client.answer()).body == b"GET /next"
            assert bytes(sink[0].content) == content_of(3 << 20)

    run(scenario())
