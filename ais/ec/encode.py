"""Brings one object that this target owns to the slices that its bucket asks for: made, moved, made again, removed.

An object that is whole here is read once, coded stripe by stripe, and sent to all targets at the same time. Of one that
is kept as slices alone, a slice that is missing is made of D others.
"""

import asyncio
import functools
import os
from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple

import msgspec

from ais.api import checksum
from ais.api.bucket import Bck
from ais.base.errors import AisError, CorruptMetadata, NotReady
from ais.base.waiting import to_its_end
from ais.core import workfile
from ais.core.meta import ObjectMeta
from ais.core.slicing import split_key
from ais.core.store import OpenObject, Store
from ais.core.workfile import Digests, WriteRules
from ais.ec import slice as slices
from ais.ec.cutting import Paced, Pipe, Pipes, cut_again, cut_file
from ais.ec.peers import SlicePeers
from ais.ec.restore import Restorer
from ais.ec.slice import Scheme, Slice
from ais.ec.slicing import Slicer
from ais.ec.store import Kept, SliceStore
from ais.meta.smap import Snode
from ais.xact.pace import carried

Schemes = Callable[[Bck, int], Scheme | None]
"""How an object of a bucket is coded that has so many bytes; None: not at all."""
Rules = Callable[[Bck], WriteRules | None]
"""How objects of a bucket are written; None: it is no more."""


class Encoded(NamedTuple):
    """What was done for one object."""

    size_bytes: int = 0
    slices_sent: int = 0
    bytes_sent: int = 0


class Encoder:
    """Makes the slices of objects that this target owns."""

    def __init__(
        self,
        store: Store,
        own: SliceStore,
        peers: SlicePeers,
        restorer: Restorer,
        slicer: Slicer,
        schemes: Schemes,
        rules: Rules,
        paced: workfile.Paced,
    ) -> None:
        self._store = store
        self._own = own
        self._peers = peers
        self._restorer = restorer
        self._slicer = slicer
        self._schemes = schemes
        self._rules = rules
        self._paced = paced

    async def bring(self, bck: Bck, name: str, paced: Paced) -> Encoded:
        """Give each target that shall have one its slice of an object, or of a version by its key, if it lacks it.

        Raise as `Store.open`, `Unreachable` or what a target answered, `NotReady` when there are too few targets; the
        others have got theirs then. `ContentDamaged`: its slices, if there are any, stay what they are.
        """
        opened = await to_its_end(asyncio.to_thread(self._open, bck, name), lambda found: os.close(found.fd))
        try:
            scheme, cut = self._schemes(bck, opened.meta.size), opened.meta.cut
            is_alone = scheme is not None and scheme.is_alone
            if is_alone != (cut is not None) or (cut and scheme and (cut.data, cut.parity) != scheme[:2]):
                return await self._rewrite(bck, name, opened)
            if cut is not None:
                try:
                    return await self._complete(bck, name, opened, paced)
                except CorruptMetadata:
                    if not await self._restorer.is_outdated(bck, name, opened.meta):
                        raise
                return await self.bring(bck, name, paced)
            if scheme is None:
                return Encoded(opened.meta.size)
            return await self._bring(bck, name, opened, scheme, paced)
        finally:
            os.close(opened.fd)

    def _open(self, bck: Bck, key: str) -> OpenObject:
        name, entry = split_key(key)
        return self._store.open_kept(bck, name, entry) if entry else self._store.open(bck, name, sealed=True)

    def _is_current(self, bck: Bck, key: str, meta: ObjectMeta) -> bool:
        """Whether an object, or a version by its key, was neither replaced nor deleted since it had this metadata."""
        try:
            opened = self._open(bck, key)
        except AisError:
            return False
        os.close(opened.fd)
        return opened.meta.stamp == meta.stamp

    async def sweep(self, bck: Bck, name: str) -> None:
        """Of an object that is not there: end its deletion, if there was one, and remove what waits aside.

        Tombstones go last, when every target was told: one that has an older slice would bring the object back.
        """
        if self._store.turns.is_taken(bck, name):
            return
        counting = []
        for node in self._peers.sources_for(bck.uname + name):
            kept = await self._restorer.kept(node, bck, name)
            await self._forget_aside(node, bck, name, kept)
            counting.append(kept.counting)
        newest = max(filter(None, counting), key=lambda one: (one.stamp, one.is_tombstone), default=None)
        if newest is None or not newest.is_tombstone:
            return
        is_everywhere = all(one is not None and one.is_tombstone for one in counting)
        if not (self._peers.has_unheard and is_everywhere):  # else it has to wait
            await self._slicer.drop(bck, name, newest.stamp, is_delete=True)

    async def _forget_aside(self, node: Snode, bck: Bck, name: str, kept: Kept) -> None:
        """Remove what a write left aside that did not come to its end."""
        if kept.aside is not None and not self._store.turns.is_taken(bck, name):
            await self._slicer.settle(node, bck, name, kept.aside.written, keeps=False, is_synced=False)

    async def _rewrite(self, bck: Bck, name: str, opened: OpenObject) -> Encoded:
        """Its form is another one than the bucket's. That has to be on the disk: what it is kept as now goes then."""
        rules = self._rules(bck)
        if rules is not None:
            rules = msgspec.structs.replace(rules, fsync=True)
            step = carried(functools.partial(self._store.rewrite, bck, name, rules, self._paced))
            await asyncio.get_running_loop().run_in_executor(opened.spot.mountpath.job_pool, step)
        return Encoded(opened.meta.size, 1, opened.meta.size)

    async def _bring(self, bck: Bck, name: str, opened: OpenObject, scheme: Scheme, paced: Paced) -> Encoded:
        meta, stat, uname = opened.meta, opened.stat, bck.uname + name
        holders = self._peers.holders(uname)
        times = (stat.st_atime_ns, stat.st_mtime_ns)
        block = slices.block_bytes_of(meta.size, scheme.data)
        headers = [Slice(uname, meta, times, scheme.data, scheme.parity, index, block) for index in range(scheme.total)]
        pairs = list(zip(headers, holders, strict=False))
        kept = await asyncio.gather(*(self._peers.kept(node, bck, name) for _, node in pairs), return_exceptions=True)
        failures = [one for one in kept if isinstance(one, BaseException)]
        for (_, node), there in zip(pairs, kept, strict=True):
            if isinstance(there, Kept):
                await self._forget_aside(node, bck, name, there)
        wanted = [
            (header, node)
            for (header, node), there in zip(pairs, kept, strict=True)
            if isinstance(there, Kept) and not _is_same(there.counting, header)
        ]
        if wanted:
            digests = Digests(checksum.NONE, meta.promised, is_stored=True)

            def fill(pipes: Pipes) -> Awaitable[None]:
                return cut_file(self._own.pool, opened.fd, opened.mountpath.path, headers[0], pipes, digests, paced)

            failures += await self._send(bck, name, wanted, fill)
        owner = self._peers.present_for(uname, has_owner=True)[:1]
        if not await asyncio.to_thread(self._is_current, bck, name, meta):  # its note of the deletion holds
            owner = []
        await self._drop_surplus(bck, name, [*owner, *holders[scheme.total :]], meta.stamp)
        for failure in failures:
            raise failure
        if len(pairs) < scheme.total:
            raise NotReady(
                f"{bck.cname(name)} needs {scheme.total} targets besides its owner for its slices, "
                f"{len(pairs)} are there"
            )
        return Encoded(meta.size, len(wanted), len(wanted) * headers[0].body_bytes)

    async def _complete(self, bck: Bck, name: str, opened: OpenObject, paced: Paced) -> Encoded:
        """Of an object that is kept as slices alone: every slice on a target of its own, with today's metadata.

        What is made is on the disk: what goes then, with a target too, may have been on one for long.
        """
        meta, stat, cut = opened.meta, opened.stat, opened.meta.cut
        assert cut is not None
        uname, total = bck.uname + name, cut.data + cut.parity
        nodes = self._peers.present_for(uname, has_owner=True)
        found = await asyncio.gather(*(self._restorer.kept(node, bck, name) for node in nodes), return_exceptions=True)
        there: dict[str, int] = {}
        failures = [one for one in found if isinstance(one, BaseException)]
        times = (stat.st_atime_ns, stat.st_mtime_ns)
        headers = [Slice(uname, meta, times, cut.data, cut.parity, index, cut.block) for index in range(total)]
        for node, kept in zip(nodes, found, strict=True):
            if not isinstance(kept, Kept):
                continue
            mine = next((one for one in kept if one and one.group == headers[0].group and not one.is_tombstone), None)
            if mine is not None:
                there[node.id] = mine.index
                if mine is kept.aside:
                    await self._slicer.settle(node, bck, name, cut.written, keeps=True, is_synced=False)
                if mine.meta != meta:
                    await self._describe(node, bck, name, headers[mine.index])
            if kept.aside is not mine:
                await self._forget_aside(node, bck, name, kept)
        lacking = plan_repair([node.id for node in nodes[:total]], there, total)
        by_id = {node.id: node for node in nodes}
        wanted = [(headers[index], by_id[node_id]) for node_id, index in lacking]
        if wanted:
            reader = self._restorer.reader(bck, name, meta)
            again = functools.partial(cut_again, self._own.pool, reader, paced)
            failures += await self._send(bck, name, wanted, again, is_synced=True)
        for failure in failures:
            raise failure
        await self._drop_surplus(bck, name, nodes[total:], meta.stamp)
        if len(nodes) < total:
            raise NotReady(f"{bck.cname(name)} is kept as {total} slices, and {len(nodes)} targets are there")
        return Encoded(meta.size, len(wanted), len(wanted) * headers[0].body_bytes)

    async def _describe(self, node: Snode, bck: Bck, name: str, header: Slice) -> None:
        if self._peers.is_self(node):
            loop = asyncio.get_running_loop()
            await loop.run_in_executor(self._own.pool, self._own.describe, bck, name, header)
        else:
            await self._peers.describe(node, bck, name, header)

    async def _drop_surplus(self, bck: Bck, name: str, nodes: Sequence[Snode], stamp: tuple[int, int]) -> None:
        """Slices of this object, or older ones, on targets that are not among its holders (any more).

        While a target is away only notes of its deletion, which did not come about: with that target the holders are
        others.
        """
        keeps_slices = self._peers.has_absent

        async def one(node: Snode) -> None:
            kept = await self._restorer.kept(node, bck, name)
            await self._forget_aside(node, bck, name, kept)
            if kept.counting is None or (keeps_slices and not kept.counting.is_tombstone):
                return
            if self._peers.is_self(node):
                await asyncio.to_thread(self._own.drop, bck, name, stamp)
            else:
                await self._peers.drop(node, bck, name, stamp)

        await asyncio.gather(*(one(node) for node in nodes), return_exceptions=True)

    async def _send(
        self,
        bck: Bck,
        name: str,
        wanted: list[tuple[Slice, Snode]],
        fill: Callable[[Pipes], Awaitable[None]],
        *,
        is_synced: bool = False,
    ) -> list[BaseException]:
        pipes = {header.index: Pipe() for header, _ in wanted}

        async def one(header: Slice, node: Snode) -> None:
            try:
                chunks = pipes[header.index].chunks(header.encode())
                await self._slicer.store(node, bck, name, chunks, header.body_bytes, is_synced=is_synced)
            finally:
                pipes[header.index].close()

        sending = [asyncio.create_task(one(header, node)) for header, node in wanted]
        try:
            await fill(pipes)
        except BaseException:
            for task in sending:
                task.cancel()
            await asyncio.gather(*sending, return_exceptions=True)
            raise
        outcomes = await asyncio.gather(*sending, return_exceptions=True)
        return [one for one in outcomes if isinstance(one, BaseException)]


def plan_repair(holders: Sequence[str], there: dict[str, int], total: int) -> list[tuple[str, int]]:
    """Which slices to make, and for whom: slices stay where they are, as far as their targets shall have one.

    `there`: who has which slice. A slice that two targets have counts for the first of them. Pure.
    """
    placed: dict[int, str] = {}
    for node_id in holders:
        index = there.get(node_id)
        if index is not None and index not in placed:
            placed[index] = node_id
    free = [node_id for node_id in holders if node_id not in placed.values()]
    return list(zip(free, (index for index in range(total) if index not in placed), strict=False))


def _is_same(found: Slice | None, wanted: Slice) -> bool:
    if found is None or found.is_tombstone:
        return False
    return found.group == wanted.group and found.index == wanted.index and found.meta == wanted.meta
