"""Everything at once: random requests in random pieces from clients that leave at random moments."""

import asyncio
import os
import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from harness.http import Client, MemorySink, echo, request, serving, until
from harness.loop import run

from ais.net.app import make_app
from ais.net.http import FileReply, Forward, Reply, Request, StreamReply, Upload
from ais.net.server import Limits

FILE_BYTES = 300_000
LIMITS = Limits(buffer_bytes=64 << 10, turn_bytes=32 << 10, buffers_max=3, drain_bytes_max=100_000)


class World:
    """Routes of every kind, and what must be tidy in the end."""

    def __init__(self, path: Path, rng: random.Random) -> None:
        self.path, self.rng = path, rng
        self.sinks: list[MemorySink] = []
        self.streams = 0

    def app(self) -> web.Application:
        """Handed-over requests."""

        async def count(one: web.Request) -> web.Response:
            return web.Response(text=str(len(await one.read())))

        async def ignore(one: web.Request) -> web.Response:
            return web.Response(text="ignored")

        return make_app([web.route("*", "/app/count", count), web.route("*", "/app/ignore", ignore)], "p[test]")

    def route(self, one: Request) -> Any:
        """By path: some answers come later, some before the body."""
        kind = one.path.split("/")[1]
        if kind == "app":
            return None
        if kind == "file":
            return self._later(self._file()) if self.rng.random() < 0.5 else self._file()
        if kind == "put":
            how = self.rng.choice(({}, {"in_thread": True}, {"is_inline": True}))
            self.sinks.append(MemorySink(**how))
            reply = Upload(self.sinks[-1], is_inline=self.sinks[-1].is_inline)
            return self._later(reply) if self.rng.random() < 0.5 else reply
        if kind == "stream":
            return StreamReply(200, b"", self._chunks())
        return Reply(307, b"Location: /\r\n") if kind == "early" else echo(one)

    def _file(self) -> FileReply:
        return FileReply(200, b"", os.open(self.path, os.O_RDONLY), 0, FILE_BYTES)

    async def _later(self, reply: Any) -> Any:
        try:
            await asyncio.sleep(0)
        except asyncio.CancelledError:
            if isinstance(reply, FileReply):
                os.close(reply.fd)
            else:
                reply.sink.abort()
            raise
        return reply

    async def _chunks(self) -> AsyncIterator[bytes]:
        self.streams += 1
        try:
            for size in (1, 70_000, 3, 100_000):
                yield bytes(size)
                await asyncio.sleep(0)
        finally:
            self.streams -= 1


def random_request(rng: random.Random) -> tuple[bytes, int, int]:
    """The bytes, the status and the length of the body to expect."""
    size = rng.choice([0, 1, 100, 5_000, 70_000, 200_000])
    kind = rng.choice(["hot", "file", "stream", "put", "app/count", "app/ignore", "early"])
    if kind in ("hot", "file", "stream"):
        return request(f"GET /{kind}"), 200, {"hot": 8, "file": FILE_BYTES, "stream": 170_004}[kind]
    size = min(size, 70_000) if kind in ("early", "app/ignore") else size
    if rng.random() < 0.5:
        raw = request(f"PUT /{kind}\nContent-Length: {size}") + bytes(size)
    else:
        pieces = [min(30_000, size - at) for at in range(0, size, 30_000)]
        framed = b"".join(b"%x\r\n%b\r\n" % (one, bytes(one)) for one in pieces) + b"0\r\n\r\n"
        raw = request(f"PUT /{kind}\nTransfer-Encoding: chunked") + framed
    status = 307 if kind == "early" else 200
    return raw, status, {"early": 0, "app/ignore": 7}.get(kind, len(str(size)))


async def one_client(client: Client, rng: random.Random) -> None:
    """Pipeline some requests in pieces; read all answers, or leave in the middle."""
    planned = [random_request(rng) for _ in range(rng.randint(1, 6))]
    raw = b"".join(one for one, _, _ in planned)
    leaves = rng.random() < 0.4
    raw = raw[: rng.randint(0, len(raw))] if leaves else raw

    async def send() -> None:
        at = 0
        while at < len(raw):
            size = rng.choice([1, 10, 1000, 50_000, 300_000])
            client.send(raw[at : at + size])
            at += size
            await client.writer.drain()
        if leaves:
            rng.choice([client.half_close, client.reset])()

    sending = asyncio.create_task(send())
    try:
        for _, status, length in planned:
            answer = await client.answer()
            assert (answer.status, len(answer.body)) == (status, length)
    except (asyncio.IncompleteReadError, ConnectionError):
        assert leaves
    finally:
        await asyncio.gather(sending, return_exceptions=True)
        await client.close()


@pytest.mark.parametrize("is_relayed", [False, True])
@pytest.mark.parametrize("seed", range(6))
def test_chaos(tmp_path: Path, seed: int, is_relayed: bool) -> None:
    """Whoever stays gets all answers in order, also through another node; whoever leaves, leaves nothing behind."""
    rng = random.Random(seed)
    path = tmp_path / "file"
    path.write_bytes(bytes(FILE_BYTES))
    world = World(path, rng)

    async def scenario() -> None:
        before = len(os.listdir("/proc/self/fd"))
        async with AsyncExitStack() as stack:
            served = front = await stack.enter_async_context(serving(world.route, world.app(), limits=LIMITS))
            if is_relayed:
                forward = Forward(f"http://127.0.0.1:{served.port}")
                front = await stack.enter_async_context(serving(lambda _: forward, limits=LIMITS))
            for _ in range(8):
                clients = [await front.connect() for _ in range(8)]
                await asyncio.gather(*(one_client(one, random.Random(rng.random())) for one in clients))
            await until(lambda: not front.server.connection_count)
            if is_relayed:
                await front.server.close()
            await until(lambda: not served.server.connection_count)
            hub = served.server._hub
            assert hub is not None
            await until(lambda: not hub.buffers.out)
            for sink in world.sinks:
                await until(lambda sink=sink: sink.events and sink.events[-1] in ("finish", "abort"))
                assert sink.events.count("finish") + sink.events.count("abort") == 1
            await until(lambda: not world.streams)
        await until(lambda: len(os.listdir("/proc/self/fd")) <= before + 1)

    run(scenario())
