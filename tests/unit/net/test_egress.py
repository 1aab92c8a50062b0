"""Which addresses a client can make a node ask."""

import asyncio

import pytest

from ais.base.errors import AccessDenied, BadRequest
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


@pytest.mark.parametrize("url", ["", "x", "ftp://a/b", "http://", "http://[::1/x", "http://a:99999/"])
def test_what_is_no_link(url: str):
    """Says so."""
    with pytest.raises(BadRequest):
        Egress(allow_private=False).check(url)
