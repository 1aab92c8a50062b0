"""From slices back to the object, a few stripes at a time, each block compared.

The whole is compared with the object's checksum before anybody sees it as an object again; what is streamed to a client
is compared block by block. Of several generations of slices only the newest counts: when that cannot be restored,
nothing older is. A slice that waits aside belongs to an object that was made if another one of it counts.
"""

import asyncio
import os
from typing import NamedTuple

from ais.api import checksum
from ais.api.bucket import Bck
from ais.base.errors import CorruptMetadata, Lost, NotReady, ObjectNotFound
from ais.base.waiting import to_its_end
from ais.core import meta as metadata
from ais.core import tree, workfile
from ais.core.meta import ObjectMeta
from ais.core.slicing import shown, split_key
from ais.core.spots import Spot, read_meta, resized
from ais.core.store import OpenObject, Store
from ais.core.workfile import Digests
from ais.ec import code
from ais.ec.cutting import Paced, at_once
from ais.ec.peers import SlicePeers
from ais.ec.reading import Damaged, SliceReader
from ais.ec.slice import Slice
from ais.ec.store import Kept, SliceStore
from ais.env import Env
from ais.env.disk import write_all
from ais.fs import layout
from ais.fs.failures import disk_failures
from ais.meta.smap import Snode

_STRIPES_AT_ONCE = 4


class Found(NamedTuple):
    """The newest generation of slices of an object: its latest header, and who has which slices (by index)."""

    header: Slice
    sources: dict[int, list[Snode]]


class _Seen(NamedTuple):
    """What was there before a restore: how often its lock had been held, which file, and its metadata if readable."""

    turn: int
    identity: tuple[int, int, int] | None
    meta: ObjectMeta | None


class Restorer:
    """Restores objects from the slices of other targets and of this one. `on_damage` is told of damaged slices."""

    def __init__(self, store: Store, own: SliceStore, peers: SlicePeers, env: Env) -> None:
        self._store = store
        self._own = own
        self._peers = peers
        self._disk = env.disk
        self.on_damage: Damaged = lambda _bck, _name, _node: None

    async def find(self, bck: Bck, name: str) -> Found | None:
        """The slices there are; None when there are none, or the object was deleted.

        Raise `NotReady` when there are too few to restore it, or it may have been lost here and not all can be asked.
        """
        nodes = self._peers.sources_for(bck.uname + name)
        answers = await asyncio.gather(*(self.kept(node, bck, name) for node in nodes), return_exceptions=True)
        kept = [(one, node) for one, node in zip(answers, nodes, strict=True) if isinstance(one, Kept)]
        counting = [one.counting for one, _ in kept if one.counting is not None]
        if not counting:
            is_sure = len(kept) == len(nodes) and not self._peers.has_absent
            if not is_sure and self._store.volume.may_have_lost:
                raise NotReady(
                    f"{bck.cname(shown(name))} is not here, where a mountpath was given up, and not all targets answer "
                    "that may have slices of it: start those that are away"
                )
            return None
        newest = max(counting, key=lambda one: (one.stamp, one.is_tombstone))
        if newest.is_tombstone:
            return None
        found = Found(newest, {})
        for pair, node in kept:
            for header in pair:
                if header is not None and header.group == newest.group and not header.is_tombstone:
                    found.sources.setdefault(header.index, []).append(node)
        available = sum(len(nodes) for nodes in found.sources.values()) if newest.data == 1 else len(found.sources)
        if available < newest.data:
            what = (
                f"{bck.cname(shown(name))} is lost here, and of the {newest.data} slices it can be restored from "
                f"{available} are there"
            )
            if not self._peers.has_unheard and len(kept) == len(nodes):
                raise Lost(f"{what}, and no target is away: write it again, or delete it")
            raise NotReady(f"{what}: start the targets that are away")
        return found

    async def restore(self, bck: Bck, name: str, paced: Paced = at_once) -> bool:
        """Make a lost or damaged object of this target again, or a version by its key; return whether it could be made.

        Of what is kept as slices alone, only its entry here. Metadata that was changed since stays; content that is
        older than what is damaged here does not come back. Raise `NotReady` when there are too few slices, or another
        target owns the name before the object is there: it would come up again when the name comes back. `DiskFailure`,
        `OutOfSpace`.
        """
        since = self._store.volume.epoch
        if not self._peers.is_owner(bck.uname + name):
            raise NotReady(f"{bck.cname(name)} is another target's: only its owner restores it")
        spot = self._store.spot(bck, name)
        seen = await asyncio.to_thread(self._look, spot)  # first: what is written from here on is newer
        found = await self.find(bck, name)
        if found is None:
            return False
        meta, own = found.header.meta, seen.meta
        if own is not None and own.stamp > meta.stamp:  # what was changed since is its metadata, or all of it
            if (own.size, own.promised, own.cut) != (meta.size, meta.promised, meta.cut):
                return False
            meta = own
        if found.header.meta.cut is not None:
            path, fd = self._store.create_work(bck, spot)
        else:
            path, fd = await self._rebuild(bck, name, self._reader_of(bck, name, found), spot, paced)
        try:
            while not await to_its_end(
                asyncio.to_thread(self._install, bck, spot, path, fd, meta, found.header, seen, since)
            ):
                turn = self._store.turn(spot)
                again = await self.find(bck, name)  # the slices of what is deleted went before
                if again is None or again.header.group != found.header.group:
                    return False
                seen = seen._replace(turn=turn, identity=None)
        finally:
            workfile.discard(self._disk, path)
            self._disk.close(fd)
        return True

    async def stand_in(self, bck: Bck, name: str) -> OpenObject | None:
        """Open the object that another target owns, which is away; nothing is kept. None when there is none.

        What is kept as slices alone is opened without its content, as at its owner.
        """
        found = await self.find(bck, name)
        if found is None:
            return None
        spot, header = self._store.spot(bck, name), found.header
        if header.meta.cut is not None:
            fd = self._disk.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
            stat = resized(self._disk.fstat(fd), header.meta.size, header.times_ns)
            return OpenObject(fd, stat, header.meta, spot, spot.mountpath, None)
        path, fd = await self._rebuild(bck, name, self._reader_of(bck, name, found), spot)
        workfile.discard(self._disk, path)
        self._disk.utime(fd, ns=header.times_ns)
        return OpenObject(fd, self._disk.fstat(fd), header.meta, spot, spot.mountpath, None)

    async def whole(self, bck: Bck, name: str, opened: OpenObject) -> OpenObject:
        """The object with its content, for one that is kept as slices alone. `opened` is closed.

        Raise `CorruptMetadata` when too few slices are good, `OutOfSpace`, `DiskFailure`.
        """
        if opened.meta.cut is None:
            return opened
        self._disk.close(opened.fd)
        fd = await self.contents(bck, name, opened.meta)
        times = (opened.stat.st_atime_ns, opened.stat.st_mtime_ns)
        self._disk.utime(fd, ns=times)
        return OpenObject(fd, self._disk.fstat(fd), opened.meta, opened.spot, opened.spot.mountpath, None)

    async def is_outdated(self, bck: Bck, name: str, meta: ObjectMeta) -> bool:
        """Whether slices of what is kept as them alone are gone because there is something newer by now.

        It was replaced or deleted while it was read; or its entry here is older than slices that count, which a loss of
        power can leave: then that is made anew. Raise as `restore`.
        """
        try:
            if self._store.head(bck, name).meta.cut != meta.cut:
                return True
        except (ObjectNotFound, CorruptMetadata):
            return True
        found = await self.find(bck, name)
        return found is not None and found.header.stamp > meta.stamp and await self.restore(bck, name)

    async def contents(self, bck: Bck, name: str, meta: ObjectMeta) -> int:
        """A descriptor of a file without a name that has the content of what is kept as slices alone."""
        spot = self._store.spot(bck, name)
        path, fd = await self._rebuild(bck, name, self.reader(bck, name, meta), spot)
        workfile.discard(self._disk, path)
        return fd

    def reader(self, bck: Bck, name: str, meta: ObjectMeta) -> SliceReader:
        """Read what is kept as slices alone."""
        assert meta.cut is not None
        header = Slice(bck.uname + name, meta, (0, 0), meta.cut.data, meta.cut.parity, 0, meta.cut.block)
        return self._reader(bck, name, header, self._peers.sources_for(bck.uname + name))

    async def kept(self, node: Snode, bck: Bck, name: str) -> Kept:
        """What a target has of an object, this one too. Raise what it answers."""
        if self._peers.is_self(node):
            return await asyncio.get_running_loop().run_in_executor(self._own.pool, self._own.kept, bck, name)
        return await self._peers.kept(node, bck, name)

    def _reader_of(self, bck: Bck, name: str, found: Found) -> SliceReader:
        nodes = {node.id: node for index in sorted(found.sources) for node in found.sources[index]}
        return self._reader(bck, name, found.header, list(nodes.values()))

    def _reader(self, bck: Bck, name: str, header: Slice, nodes: list[Snode]) -> SliceReader:
        return SliceReader(self._own, self._peers, self._disk, bck, name, header, nodes, self._tell)

    def _tell(self, bck: Bck, name: str, node: Snode) -> None:
        self.on_damage(bck, name, node)

    async def _rebuild(
        self, bck: Bck, name: str, reader: SliceReader, spot: Spot, paced: Paced = at_once
    ) -> tuple[str, int]:
        """Write the object to a work file; its path and descriptor."""
        header, meta = reader.header, reader.header.meta
        spot.mountpath.check_room(meta.size, self._store.volume.limits.out_of_space_pct)
        path, fd = self._store.create_work(bck, spot)
        digests = Digests(checksum.NONE, meta.promised, is_stored=True)
        loop = asyncio.get_running_loop()
        try:
            async for first in paced(range(0, header.stripes, _STRIPES_AT_ONCE)):
                count = min(_STRIPES_AT_ONCE, header.stripes - first)
                made = await reader.stripes(first, count)
                await to_its_end(
                    loop.run_in_executor(self._own.pool, self._write, fd, path, header, first, made, digests)
                )
            digests.verify(bck, name)
        except BaseException:
            workfile.discard(self._disk, path)
            self._disk.close(fd)
            raise
        finally:
            await reader.close()
        return path, fd

    def _write(
        self, fd: int, path: str, header: Slice, first: int, made: list[list[code.Block]], digests: Digests
    ) -> None:
        for stripe, parts in enumerate(made, first):
            rest = min(header.stripe_bytes, header.meta.size - stripe * header.stripe_bytes)
            for part in parts:
                piece = memoryview(part)[:rest]
                digests.update(piece)
                with disk_failures(path):
                    write_all(self._disk, fd, piece)
                rest -= len(piece)

    def _look(self, spot: Spot) -> "_Seen":
        turn = self._store.turn(spot)
        with disk_failures(spot.path):
            found = tree.find(self._disk, spot.path)
            return _Seen(turn, _identity(found), read_meta(self._disk, found[0]) if found else None)

    def _install(
        self, bck: Bck, spot: Spot, path: str, fd: int, meta: ObjectMeta, header: Slice, seen: "_Seen", since: int
    ) -> bool:
        """Give the object its name unless something was written there; False: it may have been, and deleted again."""
        name, entry = split_key(Bck.parse_uname(header.uname)[1])

        def step() -> bool:
            self._store.volume.require_owned(spot.key, since)
            if entry and not self._store.counts(bck, name, entry):
                return True
            there = _identity(tree.find(self._disk, spot.path))
            if there is None and self._store.turn(spot) != seen.turn:
                return False
            if there == seen.identity:
                if entry:
                    layout.make_directory(self._disk, spot.root)
                tree.install(self._disk, path, spot.root, spot.path)
            return True

        with disk_failures(path):
            self._disk.setxattr(fd, metadata.XATTR, metadata.encode(meta))
            self._disk.utime(fd, ns=header.times_ns)
            return self._store.under_lock(bck, spot, step, restore_lost=False)


def _identity(found: tuple[str, os.stat_result] | None) -> tuple[int, int, int] | None:
    return (found[1].st_ino, found[1].st_ctime_ns, found[1].st_size) if found else None
