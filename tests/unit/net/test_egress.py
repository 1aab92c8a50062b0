"""Which addresses a client can make a node ask."""

import asyncio
import ipaddress
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from harness.http import until
from harness.loop import run

from ais.base.errors import AccessDenied, BadRequest, Unreachable
from ais.net.egress import Egress, is_allowed


@pytest.mark.parametrize(
    ("address", "usual", "with_private"),
    [
        ("8.8.8.8", True, True),
        ("2606:4700::1111", True, True),
        ("10.1.2.3", False, True),
        ("172.16.0.1", False, True),
        ("192.168.1.1", False, True),
        ("fd00::1", False, True),
        ("127.0.0.1", False, False),
        ("::1", False, False),
        ("0.0.0.0", False, False),
        ("169.254.169.254", False, False),
        ("fe80::1%eth0", False, False),
        ("100.64.0.1", False, False),
        ("224.0.0.1", False, False),
        ("::ffff:127.0.0.1", False, False),
        ("::ffff:10.0.0.1", False, True),
        ("64:ff9b::7f00:1", False, False),
        ("64:ff9b::808:808", True, True),
        ("2002:7f00:1::", False, False),
    ],
)
def test_addresses(address: str, usual: bool, with_private: bool):
    """Public ones; private ones where allowed; never the node itself or its link, however they are written."""
    assert is_allowed(address, allow_private=False) is usual
    assert is_allowed(address, allow_private=True) is with_private


def test_a_name_that_resolves_to_a_forbidden_address():
    """It is the address that counts."""

    async def ask() -> None:
        egress = Egress(allow_private=False)
        try:
            async with egress.get("http://localhost:1/x", {}, 5):
                raise AssertionError("it was asked")
        finally:
            await egress.close()

    with pytest.raises(AccessDenied, match="egress blocked"):
        run(ask())


def test_a_name_is_looked_up_once_for_all_who_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that takes long to be looked up keeps one thread, not one for each who asks; who leaves stops nobody."""
    looked: list[str] = []

    async def ask(egress: Egress) -> None:
        async with egress.get("http://files.example:1/x", {}, 5):
            raise AssertionError("it was asked")

    async def scenario() -> None:
        answer = asyncio.Event()

        async def look(host: str, *_: object, **__: object) -> list[Any]:
            looked.append(host)
            await answer.wait()
            raise OSError("no such name")

        monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", look)
        egress = Egress(allow_private=False)
        try:
            for _ in range(2):
                left, *asked = [asyncio.create_task(ask(egress)) for _ in range(4)]
                await until(lambda: looked)
                left.cancel()
                await asyncio.wait([left])
                answer.set()
                assert [type(one) for one in await asyncio.gather(*asked, return_exceptions=True)] == [Unreachable] * 3
                assert looked == ["files.example"]
                looked.clear()
                answer.clear()
        finally:
            await egress.close()

    run(scenario())


SECRET = "hidden"


@pytest.mark.parametrize(
    "url",
    [
        f"http://ann:{SECRET}@localhost:1/x?sig={SECRET}",
        f"http://ann:{SECRET}@8.8.8.8:0/x?sig={SECRET}",
        f"ftp://ann:{SECRET}@host/x?sig={SECRET}",
        f"http://ann:{SECRET}@[::1/x?sig={SECRET}",
        f"http://ann:{SECRET}@127.0.0.1/x?sig={SECRET}",
    ],
)
def test_what_is_secret_in_a_link_is_not_told(url: str):
    """Others read why a download failed than who gave the link."""

    async def ask() -> None:
        egress = Egress(allow_private=False)
        try:
            async with egress.get(url, {}, 5):
                raise AssertionError("it was asked")
        finally:
            await egress.close()

    with pytest.raises((AccessDenied, BadRequest)) as caught:
        run(ask())
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    ("location", "why"), [("http://[::1", "is no link"), ("/x?sig=hidden", "more than 5 redirects"), ("", "/x")]
)
def test_a_server_that_misleads(location: str, why: str):
    """One that sends us on to what is no link, or for ever, or goes away: told without what links hide."""

    async def answer(request: web.Request) -> web.Response:
        if not location:
            assert request.transport is not None
            request.transport.close()
        return web.Response(status=302, headers={"Location": location})

    async def ask() -> None:
        app = web.Application()
        app.router.add_get("/x", answer)
        server = TestServer(app)
        await server.start_server()
        egress = Egress(allow_private=False, networks=[ipaddress.ip_network("127.0.0.0/8")])
        try:
            url = f"http://ann:{SECRET}@127.0.0.1:{server.port}/x?sig={SECRET}"
            async with egress.get(url, {}, 5):
                raise AssertionError("it was answered")
        finally:
            await egress.close()
            await server.close()

    with pytest.raises((BadRequest, Unreachable), match=why) as caught:
        run(ask())
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("url", ["", "x", "ftp://a/b", "http://", "http://[::1/x", "http://a:99999/"])
def test_what_is_no_link(url: str):
    """Says so."""
    with pytest.raises(BadRequest):
        Egress(allow_private=False).check(url)
