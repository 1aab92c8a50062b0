"""The slices that this target keeps for others: `%ec/<path>` on the mountpath that owns the object's name here.

There is at most one per object. A newer one (by stamp) replaces an older one, never the other way round. Synchronous;
not to be run in a mountpath's pool by the requests of peers: those pools may be waiting for peers themselves.
"""

import os
from concurrent.futures import Executor

from ais.api.bucket import Bck
from ais.base.errors import BadRequest, CorruptMetadata
from ais.core import tree, workfile
from ais.core.spots import Spot
from ais.core.store import Store
from ais.ec import slice as slices
from ais.ec.slice import Slice
from ais.env import Env
from ais.fs import layout
from ais.fs.failures import disk_failures
from ais.fs.mountpath import Mountpath

_READ = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW
_VERIFY_STRIPES = 8


class SliceStore:
    """See the module. Methods block and raise `DiskFailure`."""

    def __init__(self, store: Store, env: Env) -> None:
        self._store = store
        self._disk = env.disk

    def create(self, bck: Bck, name: str) -> "SliceWriter":
        """Begin to receive a slice. Raise `OutOfSpace`, `BucketNotFound`."""
        spot = self._store.spot(bck, name)
        spot.mountpath.check_room(0, self._store.volume.limits.out_of_space_pct)
        path = f"{spot.work}/{self._store.new_work_name()}"
        return SliceWriter(self, bck, name, spot, path, workfile.create(self._disk, path, bck))

    def open(self, bck: Bck, name: str) -> tuple[int, Slice, int, Mountpath] | None:
        """Open the slice of an object: descriptor (the caller's), header, its length, mountpath. None: there is none.

        Raise `CorruptMetadata`.
        """
        spot = self._store.spot(bck, name)
        for mountpath in (spot.mountpath, *self._store.volume.available):
            _, path = _place(spot, mountpath)
            with disk_failures(path):
                found = tree.find(self._disk, path)
                if found is None:
                    continue
                fd = self._disk.open(found[0], _READ)
                try:
                    return fd, *self._read_header(fd), mountpath
                except BaseException:
                    self._disk.close(fd)
                    raise
        return None

    def head(self, bck: Bck, name: str) -> Slice | None:
        """The header of the slice of an object; None when there is none or it is damaged."""
        try:
            opened = self.open(bck, name)
        except CorruptMetadata:
            return None
        if opened is None:
            return None
        self._disk.close(opened[0])
        return opened[1]

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

    def drop(self, bck: Bck, name: str, stamp: tuple[int, int], tombstone: Slice | None = None) -> None:
        """Remove the slice unless it is newer than `stamp`; leave a tombstone in its place if one is given."""
        spot = self._store.spot(bck, name)
        with disk_failures(spot.path), spot.mountpath.stripes.held(spot.key):
            found = self.head(bck, name)
            if found is not None and found.stamp > stamp:
                return
            for mountpath in self._store.volume.available:
                root, path = _place(spot, mountpath)
                tree.remove(self._disk, root, path)
        if tombstone is not None:
            writer = self.create(bck, name)
            writer.write(memoryview(tombstone.encode()))
            writer.commit()

    def install(self, bck: Bck, spot: Spot, path: str, fd: int) -> bool:
        """Make a work file the slice of an object, unless there is a newer one. Raise `BadRequest` for damage."""
        with disk_failures(path):
            try:
                header, start = self._read_header(fd)
                self._verify(fd, header, start)
            except CorruptMetadata as error:
                raise BadRequest(f"a damaged slice was sent: {error}") from None
            root, target = _place(spot, spot.mountpath)

            def step() -> bool:
                found = self.head(bck, _name_of(header.uname))
                if found is not None and found.stamp > header.stamp:
                    return False
                if self._is_missing(os.path.dirname(root)):
                    raise tree.BucketGone
                layout.make_directory(self._disk, root)
                tree.install(self._disk, path, root, target)
                return True

            return self._store.under_lock(bck, spot, step, restore_lost=False)

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

    def discard(self, path: str, fd: int) -> None:
        """Remove a work file."""
        workfile.discard(self._disk, path)
        self._disk.close(fd)

    def append(self, fd: int, data: memoryview) -> None:
        """Write to a work file."""
        workfile.write_all(self._disk, fd, data)


class SliceWriter:
    """A slice that is being received. `commit` or `abort` ends it."""

    def __init__(self, store: SliceStore, bck: Bck, name: str, spot: Spot, path: str, fd: int) -> None:
        self._store, self._bck, self._spot, self._path, self._fd = store, bck, spot, path, fd
        self._is_open = True

    @property
    def pool(self) -> Executor:
        """Where its blocking steps belong."""
        return self._spot.mountpath.pool

    def write(self, data: memoryview) -> None:
        """Take the next bytes. Raise `OutOfSpace`, `DiskFailure`."""
        with disk_failures(self._path):
            self._store.append(self._fd, data)

    def commit(self) -> bool:
        """Keep it; False when there is a newer one already. Raise `BadRequest`."""
        try:
            return self._store.install(self._bck, self._spot, self._path, self._fd)
        finally:
            self.abort()

    def abort(self) -> None:
        """Forget it. Does nothing after the end."""
        if self._is_open:
            self._is_open = False
            self._store.discard(self._path, self._fd)


def _name_of(uname: str) -> str:
    return Bck.parse_uname(uname)[1]


def _place(spot: Spot, mountpath: Mountpath) -> tuple[str, str]:
    root = f"{os.path.dirname(spot.on(mountpath, spot.root))}/{layout.SLICES}"
    return root, root + spot.path[len(spot.root) :]
