"""Reading content from slices: D targets are asked at the same time, another one for each that fails or is slow.

A block that does not have its checksum is passed over, and whoever keeps it is told to look. Which slice a target has
it says itself, so that nothing need be asked before.
"""

import asyncio
import functools
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack
from typing import TypeVar

from ais.api.bucket import Bck
from ais.base.errors import AisError, CorruptMetadata, ObjectNotFound
from ais.ec import code
from ais.ec import slice as slices
from ais.ec.peers import SlicePeers
from ais.ec.slice import Slice
from ais.ec.store import OpenSlice, SliceStore
from ais.env.disk import Disk
from ais.fs.failures import disk_failures
from ais.meta.smap import Snode

T = TypeVar("T")
HEDGE_S = 1.0
"""So long a target may take before another one is asked as well."""
STEP_BYTES = 2 << 20
"""So much of the object is read in one step; the next step is read while this one is sent."""

Blocks = dict[int, list[memoryview]]
"""Blocks of consecutive stripes, by the index of their slice."""
Damaged = Callable[[Bck, str, Snode], None]


class SliceReader:
    """One object's content. `nodes`: who may have slices of it, best first."""

    def __init__(
        self,
        own: SliceStore,
        peers: SlicePeers,
        disk: Disk,
        bck: Bck,
        name: str,
        header: Slice,
        nodes: Sequence[Snode],
        damaged: Damaged,
    ) -> None:
        self.header = header
        self._own = own
        self._peers = peers
        self._disk = disk
        self._bck, self._name = bck, name
        self._nodes = list(nodes)
        self._damaged = damaged
        self._indices: dict[str, int] = {}
        """What is known of who has which slice."""
        self._until = header.stripes
        self._taps: dict[str, _Tap] = {}
        """Slices that are being read, by target: what is open stays what it is when the object is replaced."""

    async def read(self, first: int, count: int) -> Blocks:
        """The blocks of some stripes from any D slices. Raise `CorruptMetadata` when fewer are good."""
        got: Blocks = {}
        waiting = list(self._nodes)
        running: dict[asyncio.Task[tuple[int, list[memoryview]] | None], Snode] = {}
        wanted = self.header.data
        try:
            while len(got) < self.header.data:
                while waiting and len(running) + len(got) < wanted:
                    node = waiting.pop(0)
                    if self._indices.get(node.id, -1) not in got or self.header.data == 1:
                        running[asyncio.create_task(self._one(node, first, count))] = node
                if not running:
                    raise CorruptMetadata(
                        f"{self._bck.cname(self._name)}: stripe {first} is good in {len(got)} of the "
                        f"{self.header.data} slices that it takes to read it"
                    )
                done, _ = await asyncio.wait(running, timeout=HEDGE_S, return_when=asyncio.FIRST_COMPLETED)
                if not done:
                    wanted += 1
                for task in done:
                    node, answer = running.pop(task), task.result()
                    if answer is None:
                        self._last(node)
                    else:
                        self._indices[node.id] = answer[0]
                        got.setdefault(*answer)
        finally:
            for task in running:
                task.cancel()
            if running:
                await asyncio.wait(running)
        return got

    async def stripes(self, first: int, count: int) -> list[list[code.Block]]:
        """The D data blocks of each of some stripes. Raise `CorruptMetadata`."""
        header = self.header
        got = await self.read(first, count)
        if header.data > 1 and any(index not in got for index in range(header.data)):
            return await self._in_pool(lambda: _decode(header, got, count))
        return _decode(header, got, count)

    async def chunks(self, start: int, length: int) -> AsyncGenerator[bytes, None]:
        """The bytes of a range, which touches only the stripes that it lies in. Raise `CorruptMetadata`."""
        header, end = self.header, start + length
        if not length:
            return
        first, last = start // header.stripe_bytes, (end - 1) // header.stripe_bytes
        self._until = last + 1
        step = max(1, STEP_BYTES // header.stripe_bytes)
        ahead = asyncio.ensure_future(self.stripes(first, min(step, last + 1 - first)))
        try:
            for stripe in range(first, last + 1, step):
                made = await ahead
                following = stripe + step
                if following <= last:
                    ahead = asyncio.ensure_future(self.stripes(following, min(step, last + 1 - following)))
                for position, blocks in enumerate(made):
                    offset = (stripe + position) * header.stripe_bytes
                    for block in blocks:
                        low, high = max(start, offset), min(end, offset + len(block))
                        if low < high:
                            yield bytes(memoryview(block)[low - offset : high - offset])
                        offset += len(block)
        finally:
            ahead.cancel()
            await asyncio.wait((ahead,))
            await self.close()

    async def started(self, start: int, length: int) -> AsyncIterator[bytes]:
        """As `chunks`, with the first of them at hand: what cannot be read fails before anything was answered."""
        chunks = self.chunks(start, length)
        try:
            first = await anext(chunks)
        except StopAsyncIteration:
            first = b""
        return _Started(first, chunks)

    async def _one(self, node: Snode, first: int, count: int) -> tuple[int, list[memoryview]] | None:
        """What a target has of some stripes: its slice's index and the blocks; None when it cannot give them."""
        tap = self._taps.pop(node.id, None)
        try:
            if tap is None or tap.stripe != first:
                await self._shut(tap)
                tap = None
                tap = await self._open(node, first)
            body = await tap.take(self.header.span(first, count)[1])
        except AisError:
            await self._shut(tap)
            return None
        except BaseException:
            await self._shut(tap)
            raise
        blocks = slices.unseal(self.header, first, count, body)
        if blocks is None or not 0 <= tap.index < self.header.data + self.header.parity:
            await self._shut(tap)
            self._damaged(self._bck, self._name, node)
            return None
        tap.stripe = first + count
        self._taps[node.id] = tap
        return tap.index, blocks

    async def _open(self, node: Snode, first: int) -> "_Tap":
        """Begin to read the slice of a target, up to the last stripe that is wanted. Raise `AisError`."""
        offset, length = self.header.span(first, self._until - first)
        stack = AsyncExitStack()
        if self._peers.is_self(node):
            return _Tap(stack, first, *await self._open_own(stack, offset, length))
        reading = self._peers.read(node, self._bck, self._name, self.header.written, offset, length)
        return _Tap(stack, first, *await stack.enter_async_context(reading))

    async def _open_own(self, stack: AsyncExitStack, offset: int, length: int) -> tuple[int, AsyncIterator[bytes]]:
        loop, step = asyncio.get_running_loop(), lambda: self._own.open(self._bck, self._name, self.header.written)
        opening = loop.run_in_executor(self._own.pool, step)
        try:
            opened = await asyncio.shield(opening)
        except asyncio.CancelledError:  # others were faster: the disk is not waited for
            opening.add_done_callback(self._close_late)
            raise
        if opened is None:
            raise ObjectNotFound(self._bck.cname(self._name))
        stack.callback(self._disk.close, opened.fd)

        def read(start: int, count: int) -> bytes:
            with disk_failures(opened.mountpath.path):
                return self._disk.pread(opened.fd, count, start)

        async def chunks() -> AsyncIterator[bytes]:
            start, end = opened.start + offset, opened.start + offset + length
            while start < end:
                chunk = await self._in_pool(functools.partial(read, start, min(STEP_BYTES, end - start)))
                if not chunk:
                    return
                yield chunk
                start += len(chunk)

        return opened.header.index, chunks()

    def _close_late(self, opening: "asyncio.Future[OpenSlice | None]") -> None:
        if not opening.cancelled() and opening.exception() is None and (found := opening.result()) is not None:
            self._disk.close(found.fd)

    async def close(self) -> None:
        """Let go of what is open."""
        taps, self._taps = list(self._taps.values()), {}
        for tap in taps:
            await self._shut(tap)

    async def _shut(self, tap: "_Tap | None") -> None:
        if tap is not None:
            await tap.close()

    async def _in_pool(self, step: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._own.pool, step)

    def _last(self, node: Snode) -> None:
        """Ask this one last from now on."""
        self._nodes.remove(node)
        self._nodes.append(node)


class _Tap:
    """Bytes of one slice in their order. `stripe`: the one that comes next."""

    def __init__(self, stack: AsyncExitStack, stripe: int, index: int, chunks: AsyncIterator[bytes]) -> None:
        self.stripe = stripe
        self.index = index
        self._stack = stack
        self._chunks = chunks
        self._rest = bytearray()

    async def take(self, length: int) -> bytes:
        """The next bytes; fewer when there are no more. Raise `AisError`."""
        while len(self._rest) < length:
            try:
                chunk = await anext(self._chunks)
                self._rest += chunk
            except StopAsyncIteration:
                break
        taken = bytes(memoryview(self._rest)[:length])
        del self._rest[:length]
        return taken

    async def close(self) -> None:
        """Read no more."""
        await self._stack.aclose()


class _Started:
    """Chunks of which the first was made."""

    def __init__(self, first: bytes, rest: AsyncGenerator[bytes, None]) -> None:
        self._first: bytes | None = first or None
        self._rest = rest

    def __aiter__(self) -> "_Started":
        return self

    async def __anext__(self) -> bytes:
        first, self._first = self._first, None
        return first if first is not None else await anext(self._rest)

    async def aclose(self) -> None:
        """The client went away."""
        await self._rest.aclose()


def _decode(header: Slice, got: Blocks, count: int) -> list[list[code.Block]]:
    return [
        code.decode({index: found[position] for index, found in got.items()}, header.data, header.parity)
        for position in range(count)
    ]
