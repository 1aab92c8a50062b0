"""Calls to peers: what comes back, and what becomes of peers that do not answer."""

import asyncio
import contextlib
import os
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from harness.certificates import Authority
from harness.http import MemorySink, serving, uploads
from harness.loop import run

from ais.base.errors import BadRequest, DiskFailure, Unreachable
from ais.net.client import PeerClient
from ais.net.http import Reply, Request, StreamReply, Upload
from ais.net.tls import client_context, server_context
from ais.playground.plan import TLS


def test_call() -> None:
    """Method, path, query, headers and body arrive; status, headers and body come back; redirects are not followed."""
    seen: list[Request] = []
    sinks: list[MemorySink] = []

    def route(one: Request) -> Any:
        seen.append(one)
        if one.method == "POST":
            sinks.append(MemorySink())
            return Upload(sinks[-1])
        return Reply(301, b"Location: /x\r\nX-Two: a\r\nX-Two: b\r\n", b"moved")

    async def scenario() -> None:
        client = PeerClient()
        async with serving(route) as served:
            url = f"http://127.0.0.1:{served.port}/v1/a%20b"
            answer = await client.call(
                "GET", url, query={"k": "v&w", "u": "@#"}, headers={"Ais-Caller-Id": "p1"}, timeout_s=10
            )
            assert (answer.status, answer.body, answer.headers["x-two"]) == (301, b"moved", "a, b")
            assert (seen[0].path, seen[0].params) == ("/v1/a%20b", {"k": "v&w", "u": "@#"})
            assert seen[0].headers.get("ais-caller-id") == "p1"
            for _ in range(2):
                answer = await client.call("POST", url, body=b"message", timeout_s=10)
                assert (answer.status, bytes(sinks.pop().content)) == (200, b"message")
                assert (await client.call("GET", url, timeout_s=10)).body == b"moved"
            assert served.server.connection_count == 2  # for questions, and for all else
            await client.close()
            with pytest.raises(Unreachable, match="stopping"):  # a connection made now nobody would close
                await client.call("GET", url, timeout_s=10)
            assert len(seen) == 5

    run(scenario())


def test_send_file(tmp_path: Path) -> None:
    """A part of an open file is sent as the body; the descriptor stays open; a short file is an error of the disk."""
    route, sinks = uploads(lambda: MemorySink(in_thread=True))
    content = os.urandom(2_000_000)
    path = tmp_path / "file"
    path.write_bytes(content)

    async def scenario() -> None:
        client = PeerClient()
        fd = os.open(path, os.O_RDONLY)
        async with serving(route) as served:
            url = f"http://127.0.0.1:{served.port}/o"
            answer = await client.send_file(url, fd=fd, offset=100, length=1_900_000, timeout_s=10)
            assert (answer.status, answer.body) == (200, b"1900000")
            assert bytes(sinks[0].content) == content[100:1_900_100]
            answer = await client.send_file(url, fd=fd, offset=0, length=0, timeout_s=10)
            assert (answer.status, answer.body) == (200, b"0")
            with pytest.raises(DiskFailure):
                await client.send_file(url, fd=fd, offset=0, length=3_000_000, timeout_s=10)
            await client.close()
            await sinks[2].gone.wait()
        os.close(fd)

    run(scenario())


def test_open_stream() -> None:
    """An answer is read as it comes, and leaving early is allowed."""

    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(100):
            yield bytes(50_000)

    async def scenario() -> None:
        client = PeerClient()
        async with serving(lambda one: StreamReply(200, b"X: y\r\n", chunks())) as served:
            url = f"http://127.0.0.1:{served.port}/"
            async with client.open_stream("GET", url, timeout_s=10) as incoming:
                assert (incoming.status, incoming.headers["x"]) == (200, "y")
                assert sum([len(one) async for one in incoming.chunks]) == 5_000_000
            async with client.open_stream("GET", url, timeout_s=10) as incoming:
                await anext(incoming.chunks)
            await client.close()

    run(scenario())


def test_unreachable_peers() -> None:
    """Refused, silent and breaking peers are all `Unreachable`."""

    async def breaking(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
        await writer.drain()
        writer.close()

    async def scenario() -> None:
        client = PeerClient()
        with socket.socket() as silent, socket.socket() as unused:
            for sock in (silent, unused):
                sock.bind(("127.0.0.1", 0))
            silent.listen()
            for sock in (silent, unused):
                with pytest.raises(Unreachable):
                    await client.call("GET", f"http://127.0.0.1:{sock.getsockname()[1]}/", timeout_s=0.1)
        server = await asyncio.start_server(breaking, "127.0.0.1", 0)
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        with pytest.raises(Unreachable):
            await client.call("GET", url, timeout_s=10)
        async with client.open_stream("GET", url, timeout_s=10) as incoming:
            with pytest.raises(Unreachable):
                assert [one async for one in incoming.chunks]
        server.close()
        await client.close()

    run(scenario())


def test_tls(pem: Any) -> None:
    """Calls verify the peer's certificate unless told not to."""

    async def scenario() -> None:
        contexts = (server_context(*pem), client_context(ca=pem.certificate))
        async with serving(lambda one: Reply(200), tls=contexts) as served:
            url = f"https://127.0.0.1:{served.port}/"
            for context in (contexts[1], client_context(skip_verify=True)):
                client = PeerClient(context)
                assert (await client.call("GET", url, timeout_s=10)).status == 200
                await client.close()
            stranger = PeerClient(client_context())
            with pytest.raises(Unreachable):
                await stranger.call("GET", url, timeout_s=10)
            await stranger.close()

    run(scenario())


def test_one_name_for_all(tmp_path: Path) -> None:
    """A name that is expected instead of the host is all that counts: the right one is taken, the address is not."""
    files = TLS(str(tmp_path / "cert"), str(tmp_path / "key"), str(tmp_path / "ca"))
    Authority("ours").issue(files, host="nodes.example")
    ca = client_context(ca=files.ca)

    async def scenario() -> None:
        async with serving(lambda one: Reply(200), tls=(server_context(files.certificate, files.key), ca)) as served:
            url = f"https://127.0.0.1:{served.port}/"
            client = PeerClient(client_context(ca=files.ca, name="nodes.example"))
            assert (await client.call("GET", url, timeout_s=10)).status == 200
            for context in (ca, client_context(ca=files.ca, name="others.example")):
                client.tls = context
                with pytest.raises(Unreachable):
                    await client.call("GET", url, timeout_s=10)
            await client.close()

    run(scenario())


def test_unusable_files(pem: Any, tmp_path: Path) -> None:
    """A missing or wrong file is named in the error."""
    wrong = tmp_path / "wrong.pem"
    wrong.write_text("no certificate")
    for make in (
        lambda: server_context(str(wrong), pem.key),
        lambda: server_context(pem.certificate, str(tmp_path / "missing")),
        lambda: client_context(ca=str(wrong)),
        lambda: server_context(*pem, "", 4),
    ):
        with pytest.raises(BadRequest):
            make()


def test_streams_that_nobody_takes_hold_up_no_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    """Clients that read slowly what comes from a peer do not keep this node from asking it anything."""
    monkeypatch.setattr("ais.net.client.CONNECTIONS_PER_PEER_MAX", 2)

    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield bytes(1 << 20)

    def route(one: Request) -> Any:
        return StreamReply(200, b"", endless()) if one.path == "/stream" else Reply(200, b"", b"answer")

    async def scenario() -> None:
        client = PeerClient()
        async with serving(route) as served, contextlib.AsyncExitStack() as streams:
            url = f"http://127.0.0.1:{served.port}"
            for _ in range(4):
                await streams.enter_async_context(client.open_stream("GET", f"{url}/stream", timeout_s=10))
            for method in ("GET", "POST"):
                assert (await client.call(method, f"{url}/call", timeout_s=10)).body == b"answer"
            await streams.aclose()
            await client.close()

    run(scenario())
