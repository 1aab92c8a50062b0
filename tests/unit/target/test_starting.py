"""A target that takes requests before it knows its buckets: they wait, and are carried out as they were sent."""

import asyncio
import dataclasses
import os
from collections.abc import Callable
from typing import Any

from harness.http import until
from harness.target import BCK, CLUSTER_SECRET, MARKS, LiveTarget

from ais.auth import marks

Scenario = Callable[[Any], Any]


def _put(name: str, content: bytes) -> bytes:
    query = "&".join(f"{key}={value}" for key, value in {"provider": "ais", **MARKS}.items())
    head = f"PUT /v1/objects/{BCK.name}/{name}?{query} HTTP/1.1\r\nHost: t\r\nContent-Length: {len(content)}\r\n\r\n"
    return head.encode() + content


async def _send(live: LiveTarget, request: bytes) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection("127.0.0.1", int(live.url.rpartition(":")[2]))
    writer.write(request)
    await writer.drain()
    return reader, writer


def test_bodies_that_came_with_their_heads_are_stored_as_they_were_sent(serve: Any, run: Scenario) -> None:
    """Many PUTs wait at once, each in one packet that is received where the one before it was: none gets another's."""

    async def scenario() -> None:
        contents = {f"o{number}": os.urandom(2000 + number) for number in range(20)}
        async with serve(is_starting=True) as [live]:
            await live.create()
            sent = [await _send(live, _put(name, content)) for name, content in contents.items()]
            await until(lambda: live.server.connection_count >= len(sent))
            _, health = await _send(live, b"GET /v1/health HTTP/1.1\r\nHost: t\r\n\r\n")
            await asyncio.sleep(0.1)
            live.target.serve()
            answers = [await reader.readline() for reader, _ in sent]
            for _, writer in [*sent, (None, health)]:
                writer.close()
            assert answers == [b"HTTP/1.1 200 OK\r\n"] * len(sent)
            for name, content in contents.items():
                assert (await live.ask("GET", name)).body == content, name

    run(scenario())


def test_who_was_admitted_by_a_gateway_waits_as_others_do(serve: Any, run: Scenario) -> None:
    """Where clients need a token, the mark of the redirect is good for the second attempt too."""

    async def scenario() -> None:
        async with serve(is_starting=True) as [live]:
            await live.create()
            node = live.node
            node.config = dataclasses.replace(node.config, transient={"auth.enabled": "true"})
            answers = []
            for method, head in (("PUT", "Content-Length: 3\r\n\r\nnew"), ("GET", "\r\n")):
                location = f"/v1/objects/{BCK.name}/o?provider=ais&pid={MARKS['pid']}"
                url = marks.sign(CLUSTER_SECRET, node.snode.id, method, location, node.env.clock.now_ns())
                request = f"{method} {url}&utm={MARKS['utm']} HTTP/1.1\r\nHost: t\r\n{head}"
                reader, writer = await _send(live, request.encode())
                if method == "PUT":
                    await until(lambda: live.server.connection_count >= 1)
                    await asyncio.sleep(0.1)
                    live.target.serve()
                answers.append(await reader.readline())
                writer.close()
            assert answers == [b"HTTP/1.1 200 OK\r\n"] * 2

    run(scenario())
