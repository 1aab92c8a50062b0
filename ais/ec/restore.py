"""From slices back to the object: D of them are read at the same time, a few stripes at once, each block compared.

A damaged block is passed over and another slice takes its place. The whole is compared with the object's checksum
before anybody sees it. Of several generations of slices only the newest counts: when that cannot be restored, nothing
older is.
"""

import asyncio
from typing import NamedTuple

from ais.api import checksum
from ais.api.bucket import Bck
from ais.base.errors import AisError, CorruptMetadata, NotReady
from ais.core import meta as metadata
from ais.core import tree, workfile
from ais.core.spots import Spot
from ais.core.store import OpenObject, Store
from ais.core.workfile import Digests
from ais.ec import code
from ais.ec import slice as slices
from ais.ec.peers import SlicePeers
from ais.ec.slice import Slice
from ais.ec.store import SliceStore
from ais.env import Env
from ais.fs.failures import disk_failures
from ais.meta.smap import Snode

_STRIPES_AT_ONCE = 4


class Found(NamedTuple):
    """The newest generation of slices of an object: one of its headers, and who has which (by index)."""

    header: Slice
    sources: dict[int, list[Snode]]


class Restorer:
    """Restores objects from the slices of other targets and of this one."""

    def __init__(self, store: Store, own: SliceStore, peers: SlicePeers, env: Env) -> None:
        self._store = store
        self._own = own
        self._peers = peers
        self._disk = env.disk

    async def find(self, bck: Bck, name: str) -> Found | None:
        """The slices there are; None when there are none, or the object was deleted.

        Raise `NotReady` when there are too few to restore it.
        """
        nodes = self._peers.holders(bck.uname + name)
        answers = await asyncio.gather(*(self._head(node, bck, name) for node in nodes), return_exceptions=True)
        headers = [(one, node) for one, node in zip(answers, nodes, strict=True) if isinstance(one, Slice)]
        if not headers:
            return None
        newest = max((header for header, _ in headers), key=lambda one: (one.stamp, one.is_tombstone))
        if newest.is_tombstone:
            return None
        found = Found(newest, {})
        for header, node in headers:
            if header.group == newest.group:
                found.sources.setdefault(header.index, []).append(node)
        available = sum(len(nodes) for nodes in found.sources.values()) if newest.data == 1 else len(found.sources)
        if available < newest.data:
            raise NotReady(
                f"{bck.cname(name)} is lost here, and of the {newest.data} slices it can be restored from "
                f"{available} are there: start the targets that are away"
            )
        return found

    async def restore(self, bck: Bck, name: str) -> bool:
        """Make a lost or damaged object of this target again; return whether there was anything to make it from.

        Raise `NotReady` when there are too few slices, `DiskFailure`, `OutOfSpace`.
        """
        found = await self.find(bck, name)
        if found is None:
            return False
        spot = self._store.spot(bck, name)
        before = await asyncio.to_thread(self._identity, spot)
        path, fd = await self._rebuild(bck, name, found, spot)
        try:
            await asyncio.to_thread(self._install, bck, spot, path, fd, found.header, before)
        finally:
            workfile.discard(self._disk, path)
            self._disk.close(fd)
        return True

    async def stand_in(self, bck: Bck, name: str) -> OpenObject | None:
        """Open the object that another target owns, which is away; nothing is kept. None when there is none."""
        found = await self.find(bck, name)
        if found is None:
            return None
        spot = self._store.spot(bck, name)
        path, fd = await self._rebuild(bck, name, found, spot)
        workfile.discard(self._disk, path)
        times = found.header.times_ns
        self._disk.utime(fd, ns=times)
        return OpenObject(fd, self._disk.fstat(fd), found.header.meta, spot, spot.mountpath, None)

    async def _head(self, node: Snode, bck: Bck, name: str) -> Slice | None:
        if self._peers.is_self(node):
            return await asyncio.to_thread(self._own.head, bck, name)
        return await self._peers.head(node, bck, name)

    async def _rebuild(self, bck: Bck, name: str, found: Found, spot: Spot) -> tuple[str, int]:
        """Write the object to a work file; its path and descriptor."""
        header, meta = found.header, found.header.meta
        spot.mountpath.check_room(meta.size, self._store.volume.limits.out_of_space_pct)
        path = f"{spot.work}/{self._store.new_work_name()}"
        fd = workfile.create(self._disk, path, bck)
        digests = Digests(checksum.NONE, (meta.checksum_kind, meta.checksum), is_stored=True)
        loop, readers = asyncio.get_running_loop(), _Readers(self, bck, name, found)
        try:
            for first in range(0, header.stripes, _STRIPES_AT_ONCE):
                count = min(_STRIPES_AT_ONCE, header.stripes - first)
                blocks = await readers.read(first, count)
                await loop.run_in_executor(
                    spot.mountpath.pool, self._write, fd, path, header, first, count, blocks, digests
                )
            digests.verify(bck, name)
        except BaseException:
            workfile.discard(self._disk, path)
            self._disk.close(fd)
            raise
        return path, fd

    def _write(
        self,
        fd: int,
        path: str,
        header: Slice,
        first: int,
        count: int,
        blocks: dict[int, list[memoryview]],
        digests: Digests,
    ) -> None:
        for position, stripe in enumerate(range(first, first + count)):
            parts = code.decode({index: found[position] for index, found in blocks.items()}, header.data, header.parity)
            rest = min(header.stripe_bytes, header.meta.size - stripe * header.stripe_bytes)
            for part in parts:
                piece = memoryview(part)[:rest]
                digests.update(piece)
                with disk_failures(path):
                    workfile.write_all(self._disk, fd, piece)
                rest -= len(piece)

    async def read_slice(self, node: Snode, bck: Bck, name: str, header: Slice, first: int, count: int) -> bytes:
        """Some stripes of a slice as they are kept. Raise `AisError` when that target cannot give them."""
        offset, length = header.span(first, count)
        if not self._peers.is_self(node):
            return await self._peers.read(node, bck, name, header.stamp, offset, length) or b""
        return await asyncio.to_thread(self._read_own, bck, name, header, offset, length)

    def _read_own(self, bck: Bck, name: str, header: Slice, offset: int, length: int) -> bytes:
        opened = self._own.open(bck, name)
        if opened is None:
            return b""
        fd, found, start, mountpath = opened
        try:
            if found.stamp != header.stamp:
                return b""
            with disk_failures(mountpath.path):
                return self._disk.pread(fd, length, start + offset)
        finally:
            self._disk.close(fd)

    def _identity(self, spot: Spot) -> tuple[int, int, int] | None:
        with disk_failures(spot.path):
            found = tree.find(self._disk, spot.path)
        return (found[1].st_ino, found[1].st_ctime_ns, found[1].st_size) if found else None

    def _install(
        self, bck: Bck, spot: Spot, path: str, fd: int, header: Slice, before: tuple[int, int, int] | None
    ) -> None:
        def step() -> None:
            if self._identity(spot) == before:
                tree.install(self._disk, path, spot.root, spot.path)

        with disk_failures(path):
            self._disk.setxattr(fd, metadata.XATTR, metadata.encode(header.meta))
            self._disk.utime(fd, ns=header.times_ns)
            self._store.under_lock(bck, spot, step, restore_lost=False)


class _Readers:
    """Reads blocks from D of the slices, and from others when one fails."""

    def __init__(self, restorer: Restorer, bck: Bck, name: str, found: Found) -> None:
        self._restorer = restorer
        self._bck, self._name = bck, name
        self._header = found.header
        self._sources = [(index, node) for index, nodes in sorted(found.sources.items()) for node in nodes]

    async def read(self, first: int, count: int) -> dict[int, list[memoryview]]:
        """The blocks of some stripes, from D slices by index. Raise `CorruptMetadata` when fewer can be read."""
        got: dict[int, list[memoryview]] = {}
        tried: set[tuple[int, str]] = set()
        while len(got) < self._header.data:
            usable = [
                (index, node) for index, node in self._sources if index not in got and (index, node.id) not in tried
            ]
            chosen = list({index: (index, node) for index, node in reversed(usable)}.values())[::-1]
            chosen = sorted(chosen, key=lambda one: one[0])[: self._header.data - len(got)]
            if not chosen:
                raise CorruptMetadata(
                    f"{self._bck.cname(self._name)} cannot be restored: stripe {first} is good in {len(got)} of the "
                    f"{self._header.data} slices that are needed"
                )
            tried.update((index, node.id) for index, node in chosen)
            answers = await asyncio.gather(*(self._one(node, first, count) for _, node in chosen))
            for (index, _), blocks in zip(chosen, answers, strict=True):
                if blocks is not None:
                    got[index] = blocks
        return got

    async def _one(self, node: Snode, first: int, count: int) -> list[memoryview] | None:
        try:
            body = await self._restorer.read_slice(node, self._bck, self._name, self._header, first, count)
        except AisError:
            return None
        return slices.unseal(self._header, first, count, body)
