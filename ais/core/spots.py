"""Where objects are: the result of placement and naming, and what was last read of their metadata; both are hints.

A `Spot` holds for one view of the volume. What it remembers of the file (`Known`) is used only while inode, size, mtime
and ctime are the same; a file that changed within the clock's resolution is not remembered at all.
"""

import os
from typing import Any

from ais.api.bucket import Bck
from ais.core import tree
from ais.core.meta import ObjectMeta
from ais.env.disk import Disk
from ais.fs import layout, names
from ais.fs.mountpath import Mountpath
from ais.fs.volume import View, Volume
from ais.meta.smap import digest

RACY_NS = 20_000_000
"""Kernels stamp files with the time of the last tick, at most 10 ms ago: younger stamps may hide another change."""


class Known:
    """Decoded metadata of one version of a file.

    `annotation` and `s3_annotation` belong to the callers of `Store.open`, to keep what they derive from it.
    """

    __slots__ = ("_ctime_ns", "_ino", "_mtime_ns", "_size", "annotation", "meta", "s3_annotation")

    def __init__(self, found: os.stat_result, meta: ObjectMeta) -> None:
        self._ino = found.st_ino
        self._size = found.st_size
        self._mtime_ns = found.st_mtime_ns
        self._ctime_ns = found.st_ctime_ns
        self.meta = meta
        self.annotation: Any = None
        self.s3_annotation: Any = None

    def describes(self, found: os.stat_result) -> bool:
        """Whether the file is still the one that was read."""
        return (
            found.st_ino == self._ino
            and found.st_ctime_ns == self._ctime_ns
            and found.st_size == self._size
            and found.st_mtime_ns == self._mtime_ns
        )


class Spot:
    """The place of one object on the mountpath that owns it."""

    __slots__ = ("key", "known", "mountpath", "path", "root", "view", "work")

    def __init__(self, view: View | None, mountpath: Mountpath, bucket_path: str, key: int, name: str) -> None:
        """`view`: the one in which the mountpath owns the object; None when it need not."""
        self.view = view
        self.mountpath = mountpath
        self.key = key
        self.root = f"{bucket_path}/{layout.OBJECTS}"
        self.work = f"{bucket_path}/{layout.WORK}"
        self.path = f"{self.root}/{names.to_path(name)}"
        self.known: Known | None = None

    def on(self, mountpath: Mountpath, path: str) -> str:
        """The counterpart on another mountpath of one of this spot's paths."""
        return mountpath.path + path[len(self.mountpath.path) :]


def newest_file(disk: Disk, view: View, spot: Spot) -> tuple[str, os.stat_result, Mountpath] | None:
    """The object's newest file on any mountpath (when all are settled, its owner); of equal ages the owner's.

    Raise `OSError`.
    """
    found = []
    for mountpath in view.available if view.is_unsettled else (spot.mountpath,):
        file = tree.find(disk, spot.on(mountpath, spot.path))
        if file is not None:
            found.append((*file, mountpath))
    return max(found, key=lambda one: (one[1].st_mtime_ns, one[2] is spot.mountpath), default=None)


class _Generations:
    """The spots of one view. Insertions that are late for a newer view end here and are forgotten with it."""

    __slots__ = ("old", "view", "young")

    def __init__(self, view: View | None) -> None:
        self.view = view
        self.young: dict[str, Spot] = {}
        self.old: dict[str, Spot] = {}


class SpotTable:
    """Bounded table of spots, by uname. Two generations: when the young one is full it becomes the old one."""

    def __init__(self, volume: Volume, entries_max: int) -> None:
        self._volume = volume
        self._half = max(1, entries_max // 2)
        self._spots = _Generations(None)
        self._prefixes: dict[Bck, str] = {}

    def find(self, bck: Bck, name: str, *, remember: bool = True) -> Spot:
        """The object's spot under the present view. Raise `OutOfSpace` when no mountpath is available.

        `remember` false: a spot that is new need not be kept. Names that are written must not push out those read.
        """
        prefix = self._prefixes.get(bck) or self._remember_prefix(bck)
        uname = prefix + name
        spots = self._spots
        if spots.view is self._volume.view:
            spot = spots.young.get(uname)
            if spot is not None:
                return spot
        return self._find_slowly(bck, name, uname, remember=remember)

    def _find_slowly(self, bck: Bck, name: str, uname: str, *, remember: bool) -> Spot:
        view, spots = self._volume.view, self._spots
        if spots.view is not view:
            spots = self._spots = _Generations(view)
        spot = spots.old.get(uname)
        if spot is None:
            key = digest(uname)
            mountpath = view.owner(key)
            spot = Spot(view, mountpath, layout.bucket_path(mountpath.path, bck), key, name)
            if not remember:
                return spot
        if len(spots.young) >= self._half:
            spots.old, spots.young = spots.young, {}
        spots.young[uname] = spot
        return spot

    def _remember_prefix(self, bck: Bck) -> str:
        if len(self._prefixes) >= self._half:
            self._prefixes.clear()
        prefix = self._prefixes[bck] = bck.uname
        return prefix
