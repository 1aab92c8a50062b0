"""TLS handshakes that somebody begins and leaves: they hold only their own address up, and give way to who waits."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from harness.http import Served, echo, serving, until
from harness.loop import run

from ais.net.handshakes import HandshakeLimits, Handshakes, TlsListener
from ais.net.server import Limits
from ais.net.tls import client_context, server_context

MANY = 40
STALLED_SOON = HandshakeLimits(per_address_max=4, waiting_per_address_max=20, stalled_s=0.2)
PATIENT = HandshakeLimits(per_address_max=4, waiting_per_address_max=20, stalled_s=3600.0)


@asynccontextmanager
async def half_open(pem: Any, limits: HandshakeLimits) -> AsyncIterator[tuple[Served, Handshakes, ssl.SSLContext]]:
    """A server of which 127.0.0.1 has begun many handshakes and gone on with none."""
    trusting = client_context(ca=pem.certificate)
    tls = server_context(*pem), trusting
    async with serving(echo, limits=Limits(handshakes=limits), tls=tls) as served:
        writers = [(await asyncio.open_connection("127.0.0.1", served.port))[1] for _ in range(MANY)]
        (listener,) = served.server._listeners
        assert isinstance(listener, TlsListener)
        yield served, listener.handshakes, trusting
        for writer in writers:
            writer.close()


async def ask(served: Served, tls: ssl.SSLContext, host: str) -> bytes:
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", served.port, ssl=tls, server_hostname="127.0.0.1", local_addr=(host, 0)
    )
    writer.write(b"GET /x HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
    answer = await reader.read()
    writer.close()
    return answer


def test_others_are_not_held_up(pem: Any) -> None:
    """Of one address so many handshakes are in progress, so many wait, and the rest is closed; others are served."""

    async def scenario() -> None:
        async with half_open(pem, PATIENT) as (served, listener, tls):
            await until(lambda: (listener.shaking, listener.waiting) == (4, 20))
            assert (await ask(served, tls, "127.0.0.2")).startswith(b"HTTP/1.1 200")
            assert (listener.shaking, listener.waiting) == (4, 20)
            assert served.server.connection_count <= 1

    run(scenario())


def test_what_stands_still_gives_way(pem: Any) -> None:
    """A client of the same address gets its turn: stalled handshakes end where others wait."""

    async def scenario() -> None:
        async with half_open(pem, STALLED_SOON) as (served, listener, tls):
            await until(lambda: listener.waiting < 20)
            assert (await ask(served, tls, "127.0.0.1")).startswith(b"HTTP/1.1 200")

    run(scenario())


def test_many_at_once_are_all_served(pem: Any) -> None:
    """A rack that connects at the same moment: more than may shake hands at a time, and none is turned away."""

    async def scenario() -> None:
        tls = server_context(*pem), client_context(ca=pem.certificate)
        async with serving(echo, limits=Limits(handshakes=PATIENT), tls=tls) as served:
            answers = await asyncio.gather(*(ask(served, tls[1], "127.0.0.1") for _ in range(20)))
            assert all(answer.startswith(b"HTTP/1.1 200") for answer in answers)
            (listener,) = served.server._listeners
            assert isinstance(listener, TlsListener)
            counts = listener.handshakes
            await until(lambda: (counts.shaking, counts.waiting) == (0, 0))

    run(scenario())
