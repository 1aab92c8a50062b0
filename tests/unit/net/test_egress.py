"""Which addresses a client can make a node ask."""

import asyncio
from typing import Any

import pytest
from harness.http import until

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
        asyncio.run(ask())


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

    asyncio.run(scenario())


@pytest.mark.parametrize("url", ["", "x", "ftp://a/b", "http://", "http://[::1/x", "http://a:99999/"])
def test_what_is_no_link(url: str):
    """Says so."""
    with pytest.raises(BadRequest):
        Egress(allow_private=False).check(url)
