"""Where the entries of a batch come from, each source in the order of the request: this target, or another one."""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack
from typing import Protocol

from ais.api import batch, codec, headers
from ais.api.errors import decode_error
from ais.base.errors import AisError
from ais.meta.smap import Snode
from ais.net.client import PeerClient
from ais.target.batch.frames import FrameReader
from ais.target.batch.reading import LocalReader, Read, Wanted, close


class Source(Protocol):
    """For each of its entries: `head` once, then `take` until all bytes have come."""

    async def head(self) -> tuple[int, AisError | None]:
        """The next entry's size in bytes, or why there is none. Raise `Unreachable`."""
        ...

    async def take(self, most: int) -> bytes:
        """Some of the bytes of the entry, at most so many. Raise `Unreachable`, `DiskFailure`, `BadShard`."""
        ...


class LocalSource:
    """What this target reads itself."""

    def __init__(self, reader: LocalReader, wanted: Sequence[Wanted], *, only_sizes: bool, node: str) -> None:
        self._groups = reader.read_all(wanted, only_sizes=only_sizes)
        self._node = node
        self._group: list[Read] = []
        self._at = 0
        self._data: bytes | None = b""
        self._pieces: Iterator[bytes] | None = None

    async def head(self) -> tuple[int, AisError | None]:
        if self._at == len(self._group):
            self._group, self._at = await anext(self._groups), 0
        one = self._group[self._at]
        self._at += 1
        self._data, self._pieces = one.data, one.pieces
        if one.error is not None:
            one.error.args = (f"{self._node}: {one.error}",)
        return one.size, one.error

    async def take(self, most: int) -> bytes:
        pieces = self._pieces
        if pieces is None:
            data, self._data = self._data or b"", b""
            return data
        return await asyncio.to_thread(next, pieces)

    async def close(self) -> None:
        """Stop reading ahead."""
        for one in self._group:
            close(one)
        await self._groups.aclose()


async def open_peer(
    stack: AsyncExitStack, peers: PeerClient, me: Snode, owner: Snode, part: batch.Part, timeout_s: float
) -> FrameReader:
    """Ask a target for its part; it sends as we take. The stack closes it. Raise `Unreachable`, or its refusal."""
    url = owner.data.url + batch.PART
    incoming = await stack.enter_async_context(
        peers.open_stream(
            "POST", url, headers={headers.CALLER_ID: me.id}, body=codec.to_msgpack(part), timeout_s=timeout_s
        )
    )
    if incoming.status != 200:
        body = b"".join([chunk async for chunk in incoming.chunks])
        raise decode_error(incoming.status, body, url)
    return FrameReader(incoming.chunks, url)


class FailedSource:
    """A target that could not be asked: each of its entries fails with the same error."""

    def __init__(self, error: AisError) -> None:
        self._error = error

    async def head(self) -> tuple[int, AisError | None]:
        return 0, self._error

    async def take(self, most: int) -> bytes:
        raise self._error
