"""The slices that this target keeps: `%ec/<path>` on the mountpath that owns the object's name here.

There is at most one per object that counts. Those of versions, by their keys (`ais.core.slicing`), are below `%ec/%ve`.
A newer one (by stamp) replaces an older one, never the other way round. Slices that are stored before their object is
wait aside (`%es/<path>`), over restarts too, until they are told to count or to go. Synchronous; `pool` is where the
requests of peers run: the mountpaths' pools may be waiting for peers themselves.
"""

import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import msgspec

from ais.api.bucket import Bck
from ais.base.errors import BadRequest, CorruptMetadata, NotReady
from ais.core import tree, workfile
from ais.core.spots import Spot
from ais.core.store import Store
from ais.ec import slice as slices
from ais.ec.slice import Slice
from ais.env import Env
from ais.env.disk import write_all
from ais.fs import layout
from ais.fs.failures import disk_failures
from ais.fs.mountpath import Mountpath

_READ = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW
_VERIFY_STRIPES = 8
_THREADS = 8


class OpenSlice(NamedTuple):
    """A slice that is open; whoever opened it closes `fd`. `start`: where its blocks begin."""

    fd: int
    header: Slice
    start: int
    mountpath: Mountpath


class Kept(NamedTuple):
    """The headers of what there is of one object: the slice that counts, and the one that waits aside."""

    counting: Slice | None = None
    aside: Slice | None = None


class SliceStore:
    """See the module. Methods block and raise `DiskFailure`."""

    def __init__(self, store: Store, env: Env) -> None:
        self._store = store
        self._disk = env.disk
        self.pool = ThreadPoolExecutor(_THREADS, "slices")

    def close(self) -> None:
        """Wait for what runs."""
        self.pool.shutdown(cancel_futures=True)

    def create(self, bck: Bck, name: str, *, is_aside: bool = False, is_synced: bool = False) -> "SliceWriter":
        """Begin to receive a slice. Raise `OutOfSpace`, `BucketNotFound`, `NotReady`: also where the bucket is not
        known to be erasure-coded, for slices of before go when it is heard that it is again.
        """
        if bck not in self._store.volume.coded:
            raise NotReady(f'bucket "{bck.cname()}" is not erasure-coded here, or not yet: try again')
        spot = self._store.spot(bck, name)
        spot.mountpath.check_room(0, self._store.volume.limits.out_of_space_pct)
        path, fd = self._store.create_work(bck, spot)
        return SliceWriter(self, bck, spot, path, fd, is_aside=is_aside, is_synced=is_synced)

    def open(self, bck: Bck, name: str, written: tuple[int, int] | None = None) -> OpenSlice | None:
        """Open the slice of an object that counts, or the one of this write, if it is aside too. None: there is none.

        Raise `CorruptMetadata`.
        """
        found = self._open(bck, name, layout.SLICES)
        if written is None or (found is not None and found.header.written == written):
            return found
        if found is not None:
            self._disk.close(found.fd)
        found = self._open(bck, name, layout.SLICES_ASIDE)
        if found is None or found.header.written == written:
            return found
        self._disk.close(found.fd)
        return None

    def kept(self, bck: Bck, name: str) -> Kept:
        """What there is of an object; what is damaged is not."""
        return Kept(self._head(bck, name, layout.SLICES), self._head(bck, name, layout.SLICES_ASIDE))

    def head(self, bck: Bck, name: str) -> Slice | None:
        """The header of the slice of an object; None when there is none or it is damaged."""
        return self._head(bck, name, layout.SLICES)

    def file(self, bck: Bck, name: str) -> tuple[Slice, os.stat_result] | None:
        """The header of the slice of an object and the stat of its file; None when there is none or it is damaged."""
        try:
            opened = self.open(bck, name)
        except CorruptMetadata:
            return None
        if opened is None:
            return None
        try:
            return opened[1], self._disk.fstat(opened[0])
        finally:
            self._disk.close(opened[0])

    def drop(
        self,
        bck: Bck,
        name: str,
        stamp: tuple[int, int],
        tombstone: Slice | None = None,
        *,
        is_synced: bool = False,
    ) -> None:
        """Remove the slice unless it is newer than `stamp`; leave a tombstone in its place if one is given: for that
        there is room also on a disk that takes nothing else any more.

        Raise `NotReady` when the disk of a mountpath is not there: it may have one. `OutOfSpace` without a tombstone.
        """
        spot = self._store.spot(bck, name)
        self._store.volume.require_mounted()
        with disk_failures(spot.path), spot.mountpath.stripes.held(spot.key):
            found = self._head(bck, name, layout.SLICES)
            if found is not None and found.stamp > stamp:
                return
            self._remove(bck, spot, layout.SLICES, fsync=is_synced)
        if tombstone is not None:
            path, fd = self._store.create_work(bck, spot)
            writer = SliceWriter(self, bck, spot, path, fd, is_aside=False, is_synced=is_synced)
            try:
                writer.write(memoryview(tombstone.encode()))
                writer.commit()
            finally:
                writer.abort()

    def bury(self, bck: Bck, name: str, tombstone: Slice, *, is_synced: bool = False) -> None:
        """Put a tombstone in the place of the slice, while the object's lock is held. Raise `OSError`."""
        spot = self._store.spot(bck, name)
        path, fd = self._store.create_work(bck, spot)
        try:
            write_all(self._disk, fd, tombstone.encode())
            if is_synced:
                self._disk.fsync(fd)
            self._install(spot, path, layout.SLICES, fsync=is_synced)
        finally:
            self.discard(path, fd)

    def keep(self, bck: Bck, name: str, written: tuple[int, int], *, is_synced: bool = False) -> bool:
        """Let the slice of this write count that waits aside; False when there is none. It may count already."""
        spot = self._store.spot(bck, name)

        def step() -> bool:
            counting, aside = self.kept(bck, name)
            if counting is not None and counting.written == written and not counting.is_tombstone:
                return True
            if aside is None or aside.written != written:
                return False
            if counting is not None and counting.stamp > aside.stamp:
                self._remove(bck, spot, layout.SLICES_ASIDE)
                return True
            for mountpath in (spot.mountpath, *self._store.volume.available):
                root, path = _place(spot, mountpath, layout.SLICES_ASIDE)
                found = tree.find(self._disk, path)
                if found is not None:
                    if mountpath is not spot.mountpath:
                        return False  # resilvering sends it on, or it is made again
                    self._install(spot, found[0], layout.SLICES, fsync=is_synced)
                    tree.prune(self._disk, root, found[0])
                    return True
            return False

        with disk_failures(spot.path):
            return self._store.under_lock(bck, spot, step, restore_lost=False)

    def forget(self, bck: Bck, name: str, written: tuple[int, int]) -> None:
        """Remove the slice of this write that waits aside."""
        spot = self._store.spot(bck, name)
        with disk_failures(spot.path), spot.mountpath.stripes.held(spot.key):
            aside = self._head(bck, name, layout.SLICES_ASIDE)
            if aside is not None and aside.written == written:
                self._remove(bck, spot, layout.SLICES_ASIDE)

    def describe(self, bck: Bck, name: str, header: Slice) -> bool:
        """Give the slice of the same content another header: the object has other metadata now. False: it is gone.

        All slices of an object get one at once, and there may be nothing else of it: each is on the disk before it
        takes the place of the one before.
        """
        found = self.open(bck, name)
        if found is None or found.header.is_tombstone:
            return False
        writer = self.create(bck, name, is_synced=True)
        try:
            if found.header.group != header.group or found.header.stamp > header.stamp:
                return False
            same = msgspec.structs.replace(header, index=found.header.index)
            with disk_failures(found.mountpath.path):
                writer.write(memoryview(same.encode()))
                for chunk in workfile.read_content(self._disk, found.fd, header.body_bytes, found.start):
                    writer.write(memoryview(chunk))
            return writer.commit()
        finally:
            writer.abort()
            self._disk.close(found.fd)

    def check(self, bck: Bck, name: str) -> bool:
        """Read the whole slice; remove it when it is damaged. Whether it was good, or there is none."""
        try:
            found = self.open(bck, name)
            if found is None:
                return True
            try:
                with disk_failures(found.mountpath.path):
                    self._verify(found.fd, found.header, found.start)
                return True
            finally:
                self._disk.close(found.fd)
        except CorruptMetadata:
            spot = self._store.spot(bck, name)
            with disk_failures(spot.path), spot.mountpath.stripes.held(spot.key):
                self._remove(bck, spot, layout.SLICES)
            return False

    def install(self, bck: Bck, spot: Spot, path: str, fd: int, *, is_aside: bool, is_synced: bool) -> bool:
        """Make a work file the slice of an object, unless there is a newer one. Raise `BadRequest` for damage."""
        with disk_failures(path):
            try:
                header, start = self._read_header(fd)
                self._verify(fd, header, start)
            except CorruptMetadata as error:
                raise BadRequest(f"a damaged slice was sent: {error}") from None
            content = layout.SLICES_ASIDE if is_aside else layout.SLICES
            name = Bck.parse_uname(header.uname)[1]
            if is_synced:
                self._disk.fsync(fd)

            def step() -> bool:
                if spot.mountpath not in self._store.volume.view.placed:
                    raise NotReady(f"mountpath {spot.mountpath.path} is out of use since a moment ago: try again")
                found = self._head(bck, name, content)
                if found is not None and found.stamp > header.stamp and not is_aside:
                    return False
                self._install(spot, path, content, fsync=is_synced)
                return True

            return self._store.under_lock(bck, spot, step, restore_lost=False)

    def discard(self, path: str, fd: int) -> None:
        """Remove a work file."""
        workfile.discard(self._disk, path)
        self._disk.close(fd)

    def append(self, fd: int, data: memoryview) -> None:
        """Write to a work file."""
        write_all(self._disk, fd, data)

    def _open(self, bck: Bck, name: str, content: str) -> OpenSlice | None:
        """Open the newest slice there is: a mountpath that was out of use may have brought an older one back."""
        spot = self._store.spot(bck, name)
        paths = []
        for mountpath in (spot.mountpath, *(one for one in self._store.volume.available if one is not spot.mountpath)):
            _, path = _place(spot, mountpath, content)
            with disk_failures(path):
                found = tree.find(self._disk, path)
            if found is not None:
                paths.append((found[0], mountpath))
        newest: OpenSlice | None = None
        for path, mountpath in paths:
            try:
                opened = self._open_at(path, mountpath)
            except CorruptMetadata:
                if len(paths) == 1:
                    raise
                continue
            if opened is None:
                continue
            if newest is None or opened.header.stamp > newest.header.stamp:
                newest, opened = opened, newest
            if opened is not None:
                self._disk.close(opened.fd)
        return newest

    def _open_at(self, path: str, mountpath: Mountpath) -> OpenSlice | None:
        with disk_failures(path):
            try:
                fd = self._disk.open(path, _READ)
            except FileNotFoundError:
                return None
            try:
                return OpenSlice(fd, *self._read_header(fd), mountpath)
            except BaseException:
                self._disk.close(fd)
                raise

    def _head(self, bck: Bck, name: str, content: str) -> Slice | None:
        try:
            opened = self._open(bck, name, content)
        except CorruptMetadata:
            return None
        if opened is None:
            return None
        self._disk.close(opened.fd)
        return opened.header

    def _install(self, spot: Spot, path: str, content: str, *, fsync: bool = False) -> None:
        """Make a file the only slice there is of an object, on the mountpath that owns its name."""
        root, target = _place(spot, spot.mountpath, content)
        bucket = os.path.dirname(spot.root)
        if self._is_missing(bucket):
            raise tree.BucketGone
        if os.path.dirname(root) != bucket:
            layout.make_directory(self._disk, os.path.dirname(root))
        layout.make_directory(self._disk, root)
        tree.install(self._disk, path, root, target, fsync=fsync)
        others = (one for one in self._store.volume.available if one is not spot.mountpath)
        self._remove_from(spot, content, others, fsync=fsync)

    def _remove(self, bck: Bck, spot: Spot, content: str, *, fsync: bool = False) -> None:
        if (
            content == layout.SLICES
        ):  # a mountpath that is out of use must not bring it back; aside it counts for nothing
            path = _place(spot, spot.mountpath, content)[1]
            self._store.volume.note_removed(bck, path[len(os.path.dirname(spot.root)) + 1 :], fsync=fsync)
        self._remove_from(spot, content, self._store.volume.available, fsync=fsync)

    def _remove_from(self, spot: Spot, content: str, mountpaths: Iterable[Mountpath], *, fsync: bool = False) -> None:
        for mountpath in mountpaths:
            root, path = _place(spot, mountpath, content)
            tree.remove(self._disk, root, path, fsync=fsync)

    def _is_missing(self, path: str) -> bool:
        try:
            self._disk.lstat(path)
        except FileNotFoundError:
            return True
        return False

    def _read_header(self, fd: int) -> tuple[Slice, int]:
        return slices.decode(self._disk.pread(fd, slices.HEADER_BYTES_MAX, 0))

    def _verify(self, fd: int, header: Slice, start: int) -> None:
        """Compare every block. Raise `CorruptMetadata`."""
        if header.is_tombstone:
            return
        for first in range(0, header.stripes, _VERIFY_STRIPES):
            count = min(_VERIFY_STRIPES, header.stripes - first)
            offset, length = header.span(first, count)
            body = self._disk.pread(fd, length, start + offset)
            if slices.unseal(header, first, count, body) is None:
                raise CorruptMetadata(f"one of the blocks {first} to {first + count - 1} does not have its checksum")


class SliceWriter:
    """A slice that is being received. `commit` or `abort` ends it."""

    def __init__(
        self, store: SliceStore, bck: Bck, spot: Spot, path: str, fd: int, *, is_aside: bool, is_synced: bool
    ) -> None:
        self._store, self._bck, self._spot, self._path, self._fd = store, bck, spot, path, fd
        self._is_aside, self._is_synced = is_aside, is_synced
        self._is_open = True

    def write(self, data: memoryview) -> None:
        """Take the next bytes. Raise `OutOfSpace`, `DiskFailure`."""
        with disk_failures(self._path):
            self._store.append(self._fd, data)

    def commit(self) -> bool:
        """Keep it; False when there is a newer one already. Raise `BadRequest`."""
        try:
            return self._store.install(
                self._bck, self._spot, self._path, self._fd, is_aside=self._is_aside, is_synced=self._is_synced
            )
        finally:
            self.abort()

    def abort(self) -> None:
        """Forget it. Does nothing after the end."""
        if self._is_open:
            self._is_open = False
            self._store.discard(self._path, self._fd)


def _place(spot: Spot, mountpath: Mountpath, content: str) -> tuple[str, str]:
    root = layout.content_root(spot.on(mountpath, spot.root), content)
    return root, root + spot.path[len(spot.root) :]
