"""Requests that were sent here by a later cluster map than the one this target has: they wait until it has that too.

Nodes take a new map one after the other. Without waiting a client, or a request that nodes pass on, would be sent back
and forth between the owner by the old map and the one by the new.
"""

import asyncio
import contextlib
from typing import Protocol

from ais.meta.smap import Smap

MARK = "vpams"
"""Query parameter of AIStore for the version of a cluster map; on a redirect to an owner: of the map that says so."""
WAIT_S_MAX = 10.0


class HasMap(Protocol):
    """The node."""

    @property
    def smap(self) -> Smap: ...


class Maps:
    """The maps of one target, as they come."""

    def __init__(self, host: HasMap) -> None:
        self._host = host
        self._changed = asyncio.Event()

    @property
    def version(self) -> int:
        """Of the present one."""
        return int(self._host.smap.version)

    def follow(self) -> None:
        """There is another one."""
        self._changed.set()
        self._changed = asyncio.Event()

    async def until(self, version: int) -> None:
        """Wait until the map has at least that version, for some seconds."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(WAIT_S_MAX):
                while self.version < version:
                    await self._changed.wait()


def mark_of(query_string: str) -> int:
    """The version in a redirect's mark, the last one there is; 0 when there is none."""
    _, found, rest = query_string.rpartition(f"{MARK}=")
    text = rest.partition("&")[0]
    return int(text) if found and text.isascii() and text.isdigit() and len(text) < 20 else 0


def marked(target: str, version: int) -> str:
    """A request target with a mark, instead of an earlier one."""
    for sign in "?&":
        bare, found, text = target.rpartition(f"{sign}{MARK}=")
        if found and text.isdigit():
            target = bare
    return f"{target}{'&' if '?' in target else '?'}{MARK}={version}"
