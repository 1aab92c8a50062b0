"""Slices that are stored before their object counts: of objects kept as slices alone, of writes that wait for all.

    prepare   every slice is stored aside on its target; what lacks too many fails, and nothing was changed
    (the store gives the object its name: that is the moment of the write)
    keep      they take the place of older ones

Killed before the name, the object is the old one and what waits aside is swept by `ec-encode`. Killed after it, it is
the new one: readers find slices aside too, by the stamp of their write.
"""

import asyncio
import contextlib
import functools
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from typing import Any, TypeVar

import msgspec

from ais.api.bucket import Bck
from ais.base.errors import AisError, ContentDamaged, CorruptMetadata, Lost, NotReady, Unreachable
from ais.base.waiting import to_its_end
from ais.core.meta import Cut, ObjectMeta
from ais.core.slicing import Plan
from ais.core.workfile import Staged
from ais.ec import slice as slices
from ais.ec.cutting import Pipe, cut_file
from ais.ec.peers import SlicePeers
from ais.ec.restore import Restorer
from ais.ec.slice import Scheme, Slice
from ais.ec.store import SliceStore, SliceWriter
from ais.meta.smap import Snode

T = TypeVar("T")
_LOOK_S = 1.0


class Slicer:
    """Implements `ais.core.slicing.Slicing`."""

    def __init__(
        self, own: SliceStore, peers: SlicePeers, restorer: Restorer, schemes: Callable[[Bck, int], Scheme | None]
    ) -> None:
        self._own = own
        self._peers = peers
        self._restorer = restorer
        self._schemes = schemes
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = 0
        self._is_closed = False
        self.until_sent: Callable[[Bck, str], Awaitable[None]] = _at_once
        """Awaited before the slices of a deleted object are dropped: none that is on its way follows then."""

    def start(self) -> None:
        """Work on this event loop from now on."""
        self._loop, self._thread = asyncio.get_running_loop(), threading.get_ident()

    def close(self) -> None:
        """Let nobody wait any longer."""
        self._is_closed = True

    def plan(self, staged: Staged) -> Plan | None:
        """See `Slicing`."""
        scheme = self._schemes(staged.bck, staged.size)
        if scheme is None or not (scheme.is_alone or staged.rules.all_copies):
            return None
        return Plan(scheme.data, scheme.parity, scheme.is_alone, staged.rules.all_copies)

    def prepare(self, staged: Staged, meta: ObjectMeta, plan: Plan, *, is_replacing: bool) -> "PreparedSlices":
        """See `Slicing`."""
        uname = staged.bck.uname + staged.name
        total, block = plan.data + plan.parity, slices.block_bytes_of(meta.size, plan.data)
        if plan.is_alone:
            meta = msgspec.structs.replace(meta, cut=Cut(plan.data, plan.parity, block, meta.stamp))
        nodes = self._peers.present_for(uname, has_owner=plan.is_alone)[:total]
        needed = total if plan.needs_all else plan.data
        if len(nodes) < needed:
            raise NotReady(
                f"{staged.bck.cname(staged.name)} is stored as {plan.data} + {plan.parity} slices, of which {needed} "
                f"must be stored now, and {len(nodes)} targets are there: start the others"
            )
        times = staged.times_ns or (meta.stamp[1], meta.stamp[1])
        headers = [Slice(uname, meta, times, plan.data, plan.parity, index, block) for index in range(total)]
        is_synced = staged.rules.fsync or is_replacing
        prepared = PreparedSlices(self, staged.bck, staged.name, meta, is_synced=staged.rules.fsync)
        self.run(self._store_aside(staged, prepared, list(zip(headers, nodes, strict=False)), needed, is_synced))
        return prepared

    def bury(self, bck: Bck, name: str, meta: ObjectMeta, *, is_synced: bool) -> None:
        """See `Slicing`."""
        self._own.bury(bck, name, tombstone(bck, name, meta.stamp), is_synced=is_synced)

    def drop_older(self, bck: Bck, name: str, stamp: tuple[int, int], *, is_delete: bool, is_synced: bool) -> None:
        """See `Slicing`."""
        with contextlib.suppress(NotReady):  # what was buried stays so until everybody was told
            self.run(self._drop_when_sent(bck, name, stamp, is_delete, is_synced))

    async def _drop_when_sent(
        self, bck: Bck, name: str, stamp: tuple[int, int], is_delete: bool, is_synced: bool
    ) -> None:
        if is_delete:
            await self.until_sent(bck, name)
        await self.drop(bck, name, stamp, is_delete=is_delete, is_synced=is_synced)

    def read(self, bck: Bck, name: str, meta: ObjectMeta) -> int:
        """See `Slicing`."""
        return self.run(self._restorer.contents(bck, name, meta))

    def restore(self, bck: Bck, key: str) -> bool:
        """See `Slicing`."""
        try:
            return self.run(self._restorer.restore(bck, key))
        except (Lost, CorruptMetadata, ContentDamaged):
            return False

    async def drop(
        self, bck: Bck, name: str, stamp: tuple[int, int], *, is_delete: bool, is_synced: bool = False
    ) -> None:
        """See `drop_older`. Who cannot be told may bring its slice back: until it was (`Encoder.sweep`), all others
        keep a tombstone, this target too. Raise `OutOfSpace` or `DiskFailure` when nobody can, for a deletion.
        """
        kept = await self._in_pool(lambda: self._own.head(bck, name))
        buried = kept if is_delete and kept is not None and kept.is_tombstone else None
        if buried is not None:
            stamp = max(stamp, buried.stamp)
        left = tombstone(bck, name, stamp).encode() if is_delete and self._peers.has_unheard else b""
        nodes = self._peers.sources_for(bck.uname + name)
        others = [node for node in nodes if not self._peers.is_self(node)]
        outcomes = await asyncio.gather(
            *(self._peers.drop(node, bck, name, stamp, left, is_synced=is_synced) for node in others),
            return_exceptions=True,
        )
        is_told = not any(map(_is_failure, outcomes))
        if not is_delete:
            with contextlib.suppress(NotReady):  # what comes in its place is newer
                await self._in_pool(lambda: self._own.drop(bck, name, stamp, is_synced=is_synced))
        elif is_told and not left:
            await self._in_pool(lambda: self._own.drop(bck, name, stamp, is_synced=is_synced))
        elif buried is None or buried.stamp < stamp:
            buried, is_kept = tombstone(bck, name, stamp), left and not all(map(_is_failure, outcomes))
            try:
                await self._in_pool(lambda: self._own.drop(bck, name, stamp, buried, is_synced=is_synced))
            except AisError:
                if not is_kept:
                    raise

    def note_deleted(self, bck: Bck, name: str, stamp: tuple[int, int], *, is_synced: bool) -> None:
        """Keep a tombstone here until slices that are on their way are dropped (`drop`). Blocks. Raise as that."""
        self._own.drop(bck, name, stamp, tombstone(bck, name, stamp), is_synced=is_synced)

    def in_service(self, nodes: Sequence[Snode]) -> bool:
        """Whether these targets are, by the present map; they may be away."""
        ids = {node.id for node in self._peers.placement.targets}
        return all(node.id in ids for node in nodes)

    def last_stamp(self, bck: Bck, name: str) -> tuple[int, int]:
        """See `Slicing`."""
        kept = self._own.head(bck, name)
        return kept.stamp if kept is not None else (0, 0)

    async def settle(
        self, node: Snode, bck: Bck, name: str, written: tuple[int, int], *, keeps: bool, is_synced: bool
    ) -> bool:
        """Let what waits aside on a target count, or go; whether it has it."""
        own = self._own
        if self._peers.is_self(node):
            if keeps:
                return await self._in_pool(lambda: own.keep(bck, name, written, is_synced=is_synced))
            await self._in_pool(lambda: own.forget(bck, name, written))
            return True
        if keeps:
            return await self._peers.keep(node, bck, name, written, is_synced=is_synced)
        await self._peers.forget(node, bck, name, written)
        return True

    async def look(self, node: Snode, bck: Bck, name: str) -> None:
        """Have a target, this one too, remove its slice if it is damaged."""
        if self._peers.is_self(node):
            await self._in_pool(lambda: self._own.check(bck, name))
        else:
            await self._peers.look(node, bck, name)

    async def store(
        self,
        node: Snode,
        bck: Bck,
        name: str,
        chunks: AsyncIterator[bytes],
        size: int,
        *,
        is_aside: bool = False,
        is_synced: bool = False,
    ) -> None:
        """Give a target, this one too, a slice to keep, of `size` bytes behind its header. Raise what it answers."""
        if not self._peers.is_self(node):
            await self._peers.send(node, bck, name, chunks, size, is_aside=is_aside, is_synced=is_synced)
            return
        own = self._own
        writer = await self._in_pool(
            lambda: own.create(bck, name, is_aside=is_aside, is_synced=is_synced), SliceWriter.abort
        )
        try:
            async for chunk in chunks:
                await self._in_pool(functools.partial(writer.write, memoryview(chunk)))
            await self._in_pool(writer.commit)
        finally:
            writer.abort()

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Wait for something on the event loop. Raise what it raises, `NotReady` when the target stops."""
        loop = self._loop
        if loop is None or threading.get_ident() == self._thread:
            coroutine.close()
            raise NotReady("this target is starting or stopping: try again in a moment")
        job = asyncio.run_coroutine_threadsafe(coroutine, loop)
        while True:
            try:
                return job.result(_LOOK_S)
            except TimeoutError:
                if job.done():
                    raise
                if self._is_closed:
                    job.cancel()
                    raise NotReady("this target is stopping: try again in a moment") from None

    async def _store_aside(
        self,
        staged: Staged,
        prepared: "PreparedSlices",
        pairs: list[tuple[Slice, Snode]],
        needed: int,
        is_synced: bool,
    ) -> None:
        pipes = {header.index: Pipe() for header, _ in pairs}

        async def one(header: Slice, node: Snode) -> None:
            try:
                chunks, size = pipes[header.index].chunks(header.encode()), header.body_bytes
                await self.store(node, staged.bck, staged.name, chunks, size, is_aside=True, is_synced=is_synced)
            finally:
                pipes[header.index].close()

        sending = [asyncio.create_task(one(header, node)) for header, node in pairs]
        prepared.nodes = [node for _, node in pairs]
        try:
            await cut_file(self._own.pool, staged.fd, staged.path, pairs[0][0], pipes)
            outcomes = await asyncio.gather(*sending, return_exceptions=True)
            failures = [one for one in outcomes if isinstance(one, BaseException)]
            if len(pairs) - len(failures) < needed:
                raise failures[0]
        except BaseException:
            for task in sending:
                task.cancel()
            await asyncio.gather(*sending, return_exceptions=True)
            await prepared.settle(keeps=False)
            raise
        prepared.nodes = [node for (_, node), one in zip(pairs, outcomes, strict=True) if one is None]

    async def _in_pool(self, step: Callable[[], T], undo: Callable[[T], object] | None = None) -> T:
        return await to_its_end(asyncio.get_running_loop().run_in_executor(self._own.pool, step), undo)


class PreparedSlices:
    """Implements `ais.core.slicing.Prepared`. `nodes`: who has a slice aside."""

    def __init__(self, slicer: Slicer, bck: Bck, name: str, meta: ObjectMeta, *, is_synced: bool) -> None:
        self.meta = meta
        self.nodes: list[Snode] = []
        self._slicer = slicer
        self._bck, self._name = bck, name
        self._is_synced = is_synced

    def is_current(self) -> bool:
        """See `Prepared`."""
        return self._slicer.in_service(self.nodes)

    def keep(self) -> None:
        """See `Prepared`."""
        outcomes = self._slicer.run(self.settle(keeps=True))
        count = outcomes.count(True)
        cut = self.meta.cut
        needed = len(self.nodes) if self._is_synced or cut is None else min(cut.parity + 1, len(self.nodes))
        if count < needed:
            raise Unreachable(
                f"{self._bck.cname(self._name)} was written, and of the {len(self.nodes)} targets that have its slices "
                f"only {count} say that they count: write it again to be sure"
            )

    def drop(self) -> None:
        """See `Prepared`."""
        try:
            self._slicer.run(self.settle(keeps=False))
        except AisError:  # the target stops: `ec-encode` sweeps them
            return

    async def settle(self, *, keeps: bool) -> list[bool | BaseException]:
        """On all targets."""
        return await asyncio.gather(
            *(
                self._slicer.settle(
                    node, self._bck, self._name, self.meta.stamp, keeps=keeps, is_synced=self._is_synced
                )
                for node in self.nodes
            ),
            return_exceptions=True,
        )


async def _at_once(_bck: Bck, _name: str) -> None:
    """Nothing is on its way."""


def _is_failure(outcome: object) -> bool:
    return isinstance(outcome, BaseException)


def tombstone(bck: Bck, name: str, stamp: tuple[int, int]) -> Slice:
    """Says that an object with this stamp, and all before, was deleted."""
    return Slice(bck.uname + name, ObjectMeta(0, stamp=stamp), (0, 0), 1, 0, 0, 1, is_tombstone=True)
