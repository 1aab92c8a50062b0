"""Questions over kept connections: the right answer to each, whatever peers do in between."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from harness.loop import run

from ais.base.errors import Unreachable
from ais.net import asking
from ais.net.client import PeerClient

Speak = Callable[[bytes, asyncio.StreamWriter, int], Awaitable[None]]
"""Answers a request, given its head, and of which connection it is."""
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Peer:
    """A server that says what a test wants; what it was asked, and on how many connections."""

    def __init__(self, speak: Speak) -> None:
        self.speak = speak
        self.heads: list[bytes] = []
        self.writers: list[asyncio.StreamWriter] = []
        self.url = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writers.append(writer)
        number = len(self.writers)
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                self.heads.append(head)
                await self.speak(head, writer, number)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()


@asynccontextmanager
async def peer(speak: Speak) -> AsyncIterator[tuple[Peer, PeerClient]]:
    """One that is served, and a client."""
    one, client = Peer(speak), PeerClient()
    server = await asyncio.start_server(one.serve, "127.0.0.1", 0)
    one.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield one, client
    finally:
        await client.close()
        server.close()
        for writer in one.writers:
            writer.close()
        await asyncio.sleep(0)


def test_a_connection_serves_one_question_after_the_other() -> None:
    """Answers come in pieces; path, query, header lines and body arrive."""

    async def speak(head: bytes, writer: asyncio.StreamWriter, _: int) -> None:
        body = head.split()[1]
        answer = b"HTTP/1.1 200 OK\r\nX-A: 1\r\nx-a:2\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
        for at in range(0, len(answer), 7):
            writer.write(answer[at : at + 7])
            await asyncio.sleep(0)

    async def scenario() -> None:
        async with peer(speak) as (one, client):
            for number in range(20):
                answer = await client.call(
                    "GET", f"{one.url}/a%20b", query={"n": str(number)}, headers={"Who": "me"}, timeout_s=10
                )
                assert (answer.status, answer.headers["x-a"]) == (200, "1, 2")
                assert answer.body == b"/a%%20b?n=%d" % number
            assert len(one.writers) == 1
            assert b"\r\nWho: me\r\n" in one.heads[0]

    run(scenario())


@pytest.mark.parametrize("is_garbage", [False, True])
def test_an_answer_that_is_not_plain_is_asked_for_again(is_garbage: bool) -> None:
    """Chunked, without a length, of another protocol: the general client gets it, or says why not."""
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"

    async def speak(_: bytes, writer: asyncio.StreamWriter, __: int) -> None:
        writer.write(b"SSH-2.0-OpenSSH\r\n\r\n" if is_garbage else chunked)

    async def scenario() -> None:
        async with peer(speak) as (one, client):
            if is_garbage:
                with pytest.raises(Unreachable):
                    await client.call("GET", one.url, timeout_s=10)
            else:
                assert (await client.call("GET", f"{one.url}/", timeout_s=10)).body == b"ok"
            assert len(one.heads) == 2

    run(scenario())


def test_a_connection_that_was_closed_meanwhile_is_opened_again() -> None:
    """Before the question is sent, after it, in the middle of the answer: then it is asked once more, and no more."""

    async def speak(_: bytes, writer: asyncio.StreamWriter, number: int) -> None:
        if number in (1, 4):
            writer.write(OK)
        elif number == 2:
            writer.write(OK[:-1])
            writer.close()
        else:
            writer.close()

    async def scenario() -> None:
        async with peer(speak) as (one, client):
            assert (await client.call("GET", one.url, timeout_s=10)).body == b"ok"
            one.writers[0].close()
            await asyncio.sleep(0.01)  # or not: then it is found out after the question
            with pytest.raises(Unreachable):
                await client.call("GET", one.url, timeout_s=10)
            assert len(one.writers) == 3
            assert (await client.call("GET", one.url, timeout_s=10)).body == b"ok"

    run(scenario())


def test_a_late_answer_is_nobody_elses() -> None:
    """Who gives up takes the connection along; so does a peer that says more than it was asked."""

    async def speak(head: bytes, writer: asyncio.StreamWriter, number: int) -> None:
        if b"/slow" in head:
            await asyncio.sleep(0.2)
            writer.write(OK.replace(b"ok", b"no"))
        elif b"/more" in head:
            writer.write(OK + OK.replace(b"ok", b"no"))
        else:
            writer.write(OK)

    async def scenario() -> None:
        async with peer(speak) as (one, client):
            assert (await client.call("GET", f"{one.url}/", timeout_s=10)).body == b"ok"
            with pytest.raises(Unreachable, match="did not answer within"):
                await client.call("GET", f"{one.url}/slow", timeout_s=0.05)
            for path in ("/", "/more", "/"):
                assert (await client.call("GET", one.url + path, timeout_s=10)).body == b"ok"
            one.writers[-1].write(OK.replace(b"ok", b"no"))  # unasked
            await asyncio.sleep(0.05)
            assert (await client.call("GET", f"{one.url}/", timeout_s=10)).body == b"ok"

    run(scenario())


def test_many_questions_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each has a connection of its own, up to a limit; the others wait in the general client."""
    monkeypatch.setattr(asking, "CONNECTIONS_PER_PEER_MAX", 5)

    async def speak(head: bytes, writer: asyncio.StreamWriter, _: int) -> None:
        await asyncio.sleep(0.01)
        body = head.split()[1]
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))

    async def scenario() -> None:
        async with peer(speak) as (one, client):
            for _ in range(3):
                paths = [f"/{number}" for number in range(30)]
                answers = await asyncio.gather(*(client.call("GET", one.url + path, timeout_s=10) for path in paths))
                assert [answer.body.decode() for answer in answers] == paths
            assert len(client._asking._open[one.url, None]) == 5

    run(scenario())


def test_lines_that_would_become_others_are_not_sent() -> None:
    """A line feed in a value is left to the general client, which refuses it."""

    async def speak(_: bytes, writer: asyncio.StreamWriter, __: int) -> None:
        writer.write(OK)

    async def scenario() -> None:
        async with peer(speak) as (one, client):
            with pytest.raises(ValueError, match="injection"):
                await client.call("GET", one.url, headers={"A": "b\r\nC: d"}, timeout_s=10)
            assert one.heads == []

    run(scenario())
