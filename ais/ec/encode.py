"""From the object to its slices: read once, coded stripe by stripe, sent to all targets at the same time.

At most a few stripes are in memory. Reading, coding and checksums happen in the mountpath's pool.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from typing import NamedTuple

from ais.api.bucket import Bck
from ais.base.errors import DiskFailure, NotReady
from ais.core.store import OpenObject, Store
from ais.ec import code
from ais.ec import slice as slices
from ais.ec.peers import SlicePeers
from ais.ec.slice import Scheme, Slice
from ais.fs.failures import disk_failures
from ais.meta.smap import Snode

_STRIPES_AT_ONCE = 2
_QUEUED_MAX = 2

Schemes = Callable[[Bck, int], Scheme | None]
"""How an object of a bucket is coded that has so many bytes; None: not at all."""


class Encoded(NamedTuple):
    """What was done for one object."""

    size_bytes: int = 0
    slices_sent: int = 0
    bytes_sent: int = 0


class Encoder:
    """Makes the slices of objects that this target owns."""

    def __init__(self, store: Store, peers: SlicePeers, schemes: Schemes) -> None:
        self._store = store
        self._peers = peers
        self._schemes = schemes

    async def bring(self, bck: Bck, name: str) -> Encoded:
        """Give each target that shall have one its slice, if it lacks it.

        Raise as `Store.open`, `Unreachable` or what a target answered, and `NotReady` when there are too few targets;
        the others have got theirs then.
        """
        opened = await asyncio.to_thread(self._store.open, bck, name, sealed=True)
        try:
            scheme = self._schemes(bck, opened.meta.size)
            if scheme is None:
                return Encoded(opened.meta.size)
            return await self._bring(bck, name, opened, scheme)
        finally:
            os.close(opened.fd)

    async def _bring(self, bck: Bck, name: str, opened: OpenObject, scheme: Scheme) -> Encoded:
        meta, stat, uname = opened.meta, opened.stat, bck.uname + name
        holders = self._peers.holders(uname)
        headers = [
            Slice(
                uname,
                meta,
                (stat.st_atime_ns, stat.st_mtime_ns),
                *scheme,
                index,
                slices.block_bytes_of(meta.size, scheme.data),
            )
            for index in range(scheme.total)
        ]
        pairs = list(zip(headers, holders, strict=False))
        found = await asyncio.gather(*(self._peers.head(node, bck, name) for _, node in pairs), return_exceptions=True)
        failures = [one for one in found if isinstance(one, BaseException)]
        wanted = [
            (header, node)
            for (header, node), there in zip(pairs, found, strict=True)
            if not isinstance(there, BaseException) and not _is_same(there, header)
        ]
        if wanted:
            failures += await self._send(bck, name, opened, wanted)
        sent = len(wanted)
        await self._drop_surplus(bck, name, holders[scheme.total :], meta.stamp)
        for failure in failures:
            raise failure
        if len(pairs) < scheme.total:
            raise NotReady(
                f"{bck.cname(name)} needs {scheme.total} targets besides its owner for its slices, "
                f"{len(pairs)} are there"
            )
        return Encoded(meta.size, sent, sent * headers[0].body_bytes)

    async def _drop_surplus(self, bck: Bck, name: str, nodes: list[Snode], stamp: tuple[int, int]) -> None:
        """Slices of this object, or older ones, on targets that are not among its holders (any more)."""

        async def one(node: Snode) -> None:
            if await self._peers.head(node, bck, name) is not None:
                await self._peers.drop(node, bck, name, stamp)

        await asyncio.gather(*(one(node) for node in nodes), return_exceptions=True)

    async def _send(
        self, bck: Bck, name: str, opened: OpenObject, wanted: list[tuple[Slice, Snode]]
    ) -> list[BaseException]:
        pipes = {header.index: _Pipe() for header, _ in wanted}

        async def one(header: Slice, node: Snode) -> None:
            try:
                await self._peers.send(node, bck, name, pipes[header.index].chunks(header.encode()))
            finally:
                pipes[header.index].close()

        sending = [asyncio.create_task(one(header, node)) for header, node in wanted]
        try:
            await self._produce(opened, wanted[0][0], pipes)
        except BaseException:
            for task in sending:
                task.cancel()
            await asyncio.gather(*sending, return_exceptions=True)
            raise
        outcomes = await asyncio.gather(*sending, return_exceptions=True)
        return [one for one in outcomes if isinstance(one, BaseException)]

    async def _produce(self, opened: OpenObject, header: Slice, pipes: "dict[int, _Pipe]") -> None:
        loop = asyncio.get_running_loop()
        for first in range(0, header.stripes, _STRIPES_AT_ONCE):
            count = min(_STRIPES_AT_ONCE, header.stripes - first)
            made = await loop.run_in_executor(
                opened.mountpath.pool, self._make, opened.fd, opened.mountpath.path, header, first, count, set(pipes)
            )
            for index, pipe in pipes.items():
                await pipe.put(made[index])
        for pipe in pipes.values():
            await pipe.put(b"")

    def _make(self, fd: int, path: str, header: Slice, first: int, count: int, indices: set[int]) -> dict[int, bytes]:
        """The sealed blocks of some stripes, by slice. Blocks."""
        made = {index: bytearray() for index in indices}
        for stripe in range(first, first + count):
            length = header.block_bytes(stripe)
            offset, end = stripe * header.stripe_bytes, min((stripe + 1) * header.stripe_bytes, header.meta.size)
            with disk_failures(path):
                body = os.pread(fd, end - offset, offset)
            if len(body) != end - offset:
                raise DiskFailure(f"{path}: the object is shorter than recorded")
            view = memoryview(body.ljust(length * header.data, b"\0"))
            blocks: list[code.Block] = [view[index * length : (index + 1) * length] for index in range(header.data)]
            if any(index >= header.data for index in indices):
                blocks += code.encode(blocks, header.parity)
            for index, out in made.items():
                out += slices.seal(stripe, blocks[index])
                out += blocks[index]
        return {index: bytes(out) for index, out in made.items()}


class _Pipe:
    """From the one who codes to the one who sends a slice; when that one is gone, everything is passed over."""

    def __init__(self) -> None:
        self._queue: asyncio.Queue[bytes] = asyncio.Queue(_QUEUED_MAX)
        self._is_closed = False

    async def put(self, data: bytes) -> None:
        """Hand over the next bytes; empty: that was all."""
        while not self._is_closed:
            try:
                async with asyncio.timeout(1.0):
                    await self._queue.put(data)
                    return
            except TimeoutError:
                continue

    async def chunks(self, head: bytes) -> AsyncIterator[bytes]:
        """What to send."""
        yield head
        while data := await self._queue.get():
            yield data

    def close(self) -> None:
        """Nobody sends any more."""
        self._is_closed = True
        while not self._queue.empty():
            self._queue.get_nowait()


def _is_same(found: Slice | None, wanted: Slice) -> bool:
    if found is None or found.is_tombstone:
        return False
    return found.group == wanted.group and found.index == wanted.index and found.meta == wanted.meta
