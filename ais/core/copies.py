"""Copies of objects on other mountpaths of the same target (mirroring), and what keeps them from being stale.

A copy is the file `%cp/<path>` on a mountpath, with the bytes, metadata and times of the object; `%cp/%ve/...` of
something on a shelf (`ais.core.versions.kept_spot`). All changes are made under the object's lock and in this order, so
that killed anywhere in between no copy outlives its object:

    an object is replaced or removed      its copies are removed before (durably, where its removal is)
    its metadata is changed in place      in the copies first
    a copy is made                        aside, then renamed, while the object is still the one that was copied

So a copy whose object is missing belongs to an object that was lost, not to one that was deleted. It counts as long as
its stamp is the object's (`ObjectMeta.stamp`). What lies on a mountpath that was out of use meanwhile does not count:
its copies are dropped when it comes back (`ais.fs.volume`).
"""

import os
from collections.abc import Callable
from typing import NamedTuple

from ais.base.errors import CorruptMetadata
from ais.core import meta as metadata
from ais.core import tree, workfile
from ais.core.meta import ObjectMeta
from ais.core.spots import Spot
from ais.core.workfile import Paced, at_once
from ais.env.disk import Disk
from ais.fs import layout
from ais.fs.mountpath import Mountpath
from ais.fs.volume import Volume
from ais.meta.placement import mix


class CopyFile(NamedTuple):
    """One copy as found on disk; `meta` None: damaged."""

    mountpath: Mountpath
    root: str
    path: str
    stat: os.stat_result
    meta: ObjectMeta | None

    @property
    def is_whole(self) -> bool:
        """Whether it has metadata and the size that says."""
        return self.meta is not None and self.meta.size == self.stat.st_size

    def is_newer_than(self, meta: ObjectMeta | None) -> bool:
        """Whether it is of a later write, or change of metadata."""
        return self.is_whole and self.meta is not None and meta is not None and self.meta.stamp > meta.stamp


class Copies:
    """The copies on one volume. Methods that change anything need the object's lock; all raise `OSError`."""

    def __init__(self, volume: Volume, disk: Disk, new_work_name: Callable[[], str]) -> None:
        self._volume = volume
        self._disk = disk
        self._new_work_name = new_work_name

    def places(self, spot: Spot, count: int) -> list[Mountpath]:
        """The mountpaths that shall hold the copies of an object of which there shall be `count` in all."""
        others = [one for one in self._volume.view.placed if one is not spot.mountpath]
        others.sort(key=lambda one: (mix(one.digest ^ spot.key), one.path), reverse=True)
        return others[: count - 1]

    def find(self, spot: Spot) -> list[CopyFile]:
        """All copies there are, damaged ones too."""
        found = []
        for mountpath in self._volume.view.available:
            root, path = _place(spot, mountpath)
            file = tree.find(self._disk, path)
            if file is not None:
                found.append(CopyFile(mountpath, root, file[0], file[1], self._read_meta(file[0])))
        return found

    def newest(self, spot: Spot) -> CopyFile | None:
        """The copy that stands for an object which is missing: of several the one with the latest stamp."""
        whole = [copy for copy in self.find(spot) if copy.is_whole]
        return max(whole, key=lambda copy: copy.meta.stamp if copy.meta else (), default=None)

    def drop(self, spot: Spot, keep: frozenset[str] = frozenset(), *, fsync: bool = False) -> None:
        """Remove the copies, durably when `fsync`, but not those on the mountpaths whose paths are in `keep`."""
        for mountpath in self._volume.view.available:
            if mountpath.path not in keep:
                root, path = _place(spot, mountpath)
                tree.remove(self._disk, root, path, fsync=fsync)

    def promote(self, spot: Spot) -> bool:
        """If the object is missing but a copy is there, make it the object again; return whether that was so.

        Raise `tree.FileInTheWay`, `tree.BucketGone`.
        """
        if tree.find(self._disk, spot.path) is not None:
            return False
        copy = self.newest(spot)
        if copy is None:
            return False
        self.install(spot, copy)
        return True

    def install(self, spot: Spot, copy: CopyFile) -> None:
        """Make a copy the object, in the place of what may be there. Raise as `promote`."""
        self.make_root(spot)
        if copy.mountpath is spot.mountpath:
            tree.install(self._disk, copy.path, spot.root, spot.path)
            tree.prune(self._disk, copy.root, copy.path)
            return
        aside = self.clone(copy.path, copy.stat, spot, spot.mountpath)
        try:
            tree.install(self._disk, aside, spot.root, spot.path)
        except BaseException:
            workfile.discard(self._disk, aside)
            raise

    def rename(self, spot: Spot, other: Spot, *, fsync: bool = False) -> None:
        """Make the copies of one file those of another one, on the same mountpaths, durably when `fsync`.

        Raise `tree.FileInTheWay`.
        """
        self.drop(other, fsync=fsync)
        for copy in self.find(spot):
            tree.install(self._disk, copy.path, copy.root, _place(other, copy.mountpath)[1], fsync=fsync)
            tree.prune(self._disk, copy.root, copy.path)
            if fsync:
                tree.fsync_removal(self._disk, copy.root, copy.path)

    def make_root(self, spot: Spot) -> None:
        """Make the tree that a file is in: that of the shelves is made on demand."""
        if spot.root.endswith(layout.VERSIONS):
            try:
                layout.make_directory(self._disk, spot.root)
            except FileNotFoundError:
                raise tree.BucketGone from None

    def clone(self, path: str, stat: os.stat_result, spot: Spot, mountpath: Mountpath, paced: Paced = at_once) -> str:
        """Copy a file with its metadata and times to a work file on a mountpath; return its path. Needs no lock."""
        fd = self._disk.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            aside = self.stage(fd, stat, spot, mountpath, paced)
            try:
                self._disk.setxattr(aside, metadata.XATTR, self._disk.getxattr(fd, metadata.XATTR))
                self._disk.utime(aside, ns=(stat.st_atime_ns, stat.st_mtime_ns))
            except BaseException:
                workfile.discard(self._disk, aside)
                raise
            return aside
        finally:
            self._disk.close(fd)

    def stage(self, fd: int, stat: os.stat_result, spot: Spot, mountpath: Mountpath, paced: Paced = at_once) -> str:
        """Write the bytes open at `fd` to a work file on a mountpath; return its path. Needs no lock."""
        path = f"{spot.on(mountpath, spot.work)}/{self._new_work_name()}"
        target = self._disk.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
        try:
            workfile.copy_content(self._disk, fd, target, stat.st_size, paced)
        except BaseException:
            workfile.discard(self._disk, path)
            raise
        finally:
            self._disk.close(target)
        return path

    def place(self, aside: str, spot: Spot, mountpath: Mountpath, *, fsync: bool = False) -> None:
        """Make a staged file the copy on a mountpath. Raise `tree.FileInTheWay`, `tree.BucketGone`."""
        root, path = _place(spot, mountpath)
        try:
            layout.make_copies_root(self._disk, root)
        except FileNotFoundError:
            raise tree.BucketGone from None
        if fsync:
            workfile.fsync_path(self._disk, aside)
        tree.install(self._disk, aside, root, path, fsync=fsync)

    def update(self, spot: Spot, before: ObjectMeta, value: bytes, *, fsync: bool = False) -> None:
        """Give the copies of an object that has the metadata `before` another metadata, durably when `fsync`."""
        for copy in self.find(spot):
            if copy.meta == before:
                self._disk.setxattr(copy.path, metadata.XATTR, value)
                if fsync:
                    workfile.fsync_path(self._disk, copy.path)

    def _read_meta(self, path: str) -> ObjectMeta | None:
        value = tree.read_xattr(self._disk, path, metadata.XATTR)
        try:
            return metadata.decode(value) if value is not None else None
        except CorruptMetadata:
            return None


def _place(spot: Spot, mountpath: Mountpath) -> tuple[str, str]:
    """Where the copy of an object lies on a mountpath: the tree, and the path in it."""
    bucket, content = os.path.split(spot.on(mountpath, spot.root))
    root = f"{bucket}/{layout.COPIES}"
    inside = "" if content == layout.OBJECTS else f"/{content}"
    return root, root + inside + spot.path[len(spot.root) :]
