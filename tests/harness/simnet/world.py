"""Two servers on a simulated loop: `front` passes on what begins with /via to `back`, both have every kind of route."""

import asyncio
import os
import tempfile
import zlib
from collections.abc import AsyncIterator, Awaitable
from typing import Any

from aiohttp import web

from ais.base.errors import BadRequest, ObjectNotFound, OutOfSpace
from ais.net.app import error_reply, make_app
from ais.net.encoding import framed
from ais.net.handover import serve_application
from ais.net.http import BODILESS, FileReply, Forward, Network, Reply, Request, StreamReply, Upload
from ais.net.server import HttpServer
from harness.simnet.loop import SimLoop
from harness.simnet.plan import FILE_BYTES, LIMITS, Plan, pattern

_RAISED = {400: BadRequest, 404: ObjectNotFound, 507: OutOfSpace}


class Sink:
    """Says how much came and its checksum. What it must not be told makes it complain."""

    def __init__(self, plan: Plan, world: "World") -> None:
        self.plan, self._world = plan, world
        self._size = self._crc = self._writes = 0
        self._is_writing = False
        self.ends = 0

    def write(self, data: memoryview) -> Awaitable[None] | None:
        assert not self._is_writing
        assert not self.ends
        if self.plan.fail_at is not None and 0 <= self.plan.fail_at < self._size + len(data):
            raise OutOfSpace(f"no more for {self.plan.number}")
        self._writes += 1
        if self.plan.how in ("inline", "now") or (self.plan.how == "mixed" and self._writes % 2):
            self._take(data)
            return None
        self._is_writing = True
        return self._write_later(data)

    async def _write_later(self, data: memoryview) -> None:
        await self._world.think(self._world.loop.rng.choice((0, 1, 3)))
        self._take(data)
        self._is_writing = False

    def _take(self, data: memoryview) -> None:
        self._crc = zlib.crc32(data, self._crc)
        self._size += len(data)

    def finish(self) -> Reply | Awaitable[Reply]:
        assert not self._is_writing
        self.ends += 1
        if self.plan.fail_at == -1:
            raise OutOfSpace(f"no room for {self.plan.number}")
        reply = Reply(self.plan.status, b"", b"%d %08x %d" % (self._size, self._crc, self.plan.number))
        return reply if self.plan.how in ("inline", "now") else self._world.later(1, reply)

    def abort(self) -> None:
        assert not self._is_writing
        self.ends += 1


class World:
    """The servers and what they know; `plans` says how each request is answered. One for many seeds."""

    def __init__(self, loop: SimLoop) -> None:
        self.loop = loop
        self.plans: dict[int, Plan] = {}
        self.sinks: list[Sink] = []
        self.streams = 0
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the world
        self._file.write(pattern(1, FILE_BYTES))
        self._file.flush()
        self._runner = loop.run_until_complete(serve_application(self._app(), LIMITS.head_bytes_max))

    async def start(self) -> None:
        """New servers, which remember nothing."""
        self.plans.clear()
        self.sinks.clear()
        self.back, self._back_port = await self._serve(self._route_hot)
        self.front, self.port = await self._serve(self._route)

    async def _serve(self, route: Any) -> tuple[HttpServer, int]:
        server = HttpServer(route, None, lambda one, error: error_reply(one, error, "t[sim]"), LIMITS, Network.PUBLIC)
        port = await server.start("sim", 0)
        assert server._hub is not None
        server._hub.app_server = self._runner.server
        return server, port

    async def stop(self) -> None:
        """End the servers."""
        await self.front.close()
        await self.back.close()

    def close(self) -> None:
        """No more seeds."""
        self._file.close()
        self.loop.run_until_complete(self._runner.cleanup())

    async def think(self, turns: int) -> None:
        """Let so many turns pass."""
        for _ in range(turns):
            await asyncio.sleep(0)

    async def later(self, turns: int, reply: Any) -> Any:
        """A route's or sink's answer that comes later."""
        try:
            await self.think(turns)
        except asyncio.CancelledError:
            if isinstance(reply, FileReply):
                os.close(reply.fd)
            elif isinstance(reply, Upload):
                reply.sink.abort()
            raise
        if isinstance(reply, Exception):
            raise reply
        return reply

    def _route(self, request: Request) -> Any:
        if not request.path.startswith("/via"):
            return self._route_hot(request)
        forward = Forward(f"http://127.0.0.1:{self._back_port}")
        return forward if request.path[-1] in "02468" else self.later(1, forward)

    def _route_hot(self, request: Request) -> Any:
        kind, number = request.path.removeprefix("/via")[1:].split("/")
        if kind.startswith("app"):
            return None
        if kind == "repeat":
            return self._repeat(int(number))
        plan = self.plans[int(number)]
        if kind == "raise":
            error = _RAISED[plan.status](f"made up for {number}")
            if not plan.delay:
                raise error
            return self.later(plan.delay, error)
        reply = self._reply(plan)
        return self.later(plan.delay, reply) if plan.delay else reply

    def _repeat(self, size: int) -> Reply:
        content = pattern(size, size)
        left = [self.loop.rng.randint(0, 5)]

        def again() -> Any:
            left[0] -= 1
            return (200, framed(b"", size), content) if left[0] >= 0 else None

        return Reply(200, b"", content, length=size, repeat=lambda _: again)

    def _reply(self, plan: Plan) -> Any:
        if plan.kind == "reply":
            is_head = plan.method == "HEAD"
            length = plan.answer_bytes if is_head and plan.status not in BODILESS else None
            return Reply(plan.status, b"X: y\r\n", b"" if is_head else plan.content, length)
        if plan.kind == "file":
            start = plan.number * 7919 % (FILE_BYTES - 32_000)
            return FileReply(plan.status, b"", os.dup(self._file.fileno()), start, plan.answer_bytes)
        if plan.kind == "upload":
            self.sinks.append(Sink(plan, self))
            return Upload(self.sinks[-1], is_inline=plan.how == "inline")
        return StreamReply(plan.status, b"", self._stream(plan), plan.answer_bytes if plan.how == "length" else None)

    async def _stream(self, plan: Plan) -> AsyncIterator[bytes]:
        self.streams += 1
        try:
            for piece in self._pieces(plan):
                yield piece
                await self.think(self.loop.rng.choice((0, 0, 1)))
            if plan.kind == "broken":
                raise RuntimeError("made up")
        finally:
            self.streams -= 1

    def _pieces(self, plan: Plan) -> list[bytes]:
        content = plan.content
        if plan.is_broken:
            content = content[: len(content) // 2]
        size = self.loop.rng.choice((300, 3000, 20_000))
        return [content[at : at + size] for at in range(0, len(content), size)]

    def _app(self) -> web.Application:
        return make_app([web.route("*", "/{rest:.*}", self._handle)], "t[sim]")

    async def _handle(self, one: web.Request) -> web.StreamResponse:
        plan = self.plans[int(one.path.rsplit("/", 1)[1])]
        await self.think(plan.delay)
        if plan.kind == "app-echo":
            body = await one.read()
            return web.Response(status=plan.status, body=b"%d %08x %d" % (len(body), zlib.crc32(body), plan.number))
        if plan.kind == "app-peek":
            await one.content.read(100)
        if plan.kind == "app-raise":
            raise _RAISED[plan.status](f"made up for {plan.number}")
        if plan.kind in ("app-ignore", "app-peek"):
            return web.Response(status=plan.status, body=plan.content)
        return await self._handle_slowly(one, plan)

    async def _handle_slowly(self, one: web.Request, plan: Plan) -> web.StreamResponse:
        response = web.StreamResponse(status=plan.status)
        if plan.how == "length":
            response.content_length = plan.answer_bytes
        await response.prepare(one)
        for piece in self._pieces(plan):
            if plan.kind == "app-duplex":
                await one.content.read(500)
            await response.write(piece)
        if plan.kind == "app-duplex":
            await one.content.read()
        if plan.is_broken:
            raise RuntimeError("made up")
        await response.write_eof()
        return response
