"""Where objects are: the result of placement and naming, and what was last read of their metadata; both are hints.

A `Spot` holds for one view of the volume. What it remembers of the file (`Known`) is used only while inode, size, mtime
and ctime are the same; a file that changed within the clock's resolution is not remembered at all.

There are many of both and they are never part of a cycle, so the garbage collector is spared them (`gc=False`): going
through 32768 spots stopped the node for 0.2 s at a time.
"""

import os
from typing import Any

import msgspec

from ais.api.bucket import Bck
from ais.base.seen import Seen
from ais.core import meta as metadata
from ais.core import tree
from ais.core.meta import ObjectMeta
from ais.env.disk import Disk
from ais.fs import layout, names
from ais.fs.mountpath import Mountpath
from ais.fs.volume import View, Volume
from ais.meta.smap import digest

RACY_NS = 20_000_000
"""Kernels stamp files with the time of the last tick, at most 10 ms ago: younger stamps may hide another change."""


class Known(msgspec.Struct, gc=False, eq=False):
    """Decoded metadata of one version of a file.

    `annotation` and `s3_annotation` belong to the callers of `Store.open`, to keep what they derive from it.
    """

    ino: int
    size: int
    mtime_ns: int
    ctime_ns: int
    meta: ObjectMeta
    annotation: Any = None
    s3_annotation: Any = None

    @classmethod
    def of(cls, found: os.stat_result, meta: ObjectMeta) -> "Known":
        """The metadata read from a file that had this stat."""
        return cls(found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns, meta)

    def describes(self, found: os.stat_result) -> bool:
        """Whether the file is still the one that was read."""
        return (
            found.st_ino == self.ino
            and found.st_ctime_ns == self.ctime_ns
            and found.st_size == self.size
            and found.st_mtime_ns == self.mtime_ns
        )


class Spot(msgspec.Struct, gc=False, eq=False):
    """The place of one object on the mountpath that owns it."""

    view: View | None
    """The one in which the mountpath owns the object; None when it need not."""
    mountpath: Mountpath
    key: int
    root: str
    work: str
    path: str
    is_kept: bool = False
    """It is in the table, so what becomes known of the file will be found again."""
    known: Known | None = None

    @classmethod
    def at(cls, view: View | None, mountpath: Mountpath, bck: Bck, key: int, name: str) -> "Spot":
        """The place of an object on a mountpath."""
        root, work = layout.object_directories(mountpath.path, bck)
        return cls(view, mountpath, key, root, work, f"{root}/{names.to_path(name)}")

    def on(self, mountpath: Mountpath, path: str) -> str:
        """The counterpart on another mountpath of one of this spot's paths."""
        return mountpath.path + path[len(self.mountpath.path) :]

    @property
    def bucket(self) -> str:
        """The path of its bucket, below any mountpath."""
        return os.path.dirname(self.root)[len(self.mountpath.path) :]

    @property
    def name(self) -> str:
        """Of the object."""
        return names.from_path(self.path[len(self.root) + 1 :])


Rank = tuple[int, int, int]


def rank(meta: ObjectMeta | None, found: os.stat_result) -> Rank:
    """What orders the files of one object on several mountpaths, the newest last: the stamp, and before there were any,
    the modification time. A damaged one (None) may be the newest, so it is: nothing older is served in its place.
    """
    if meta is None:
        return _UNKNOWN
    return (*meta.stamp, 0) if meta.stamp[0] else (0, 0, found.st_mtime_ns)


_UNKNOWN: Rank = (1 << 63, 0, 0)


def newest_file(disk: Disk, view: View, spot: Spot) -> tuple[str, os.stat_result, Mountpath] | None:
    """The object's newest file on any mountpath (when all are settled, its owner); of equal ranks the owner's.

    Raise `OSError`.
    """
    found = []
    for mountpath in view.available if view.is_unsettled else (spot.mountpath,):
        file = tree.find(disk, spot.on(mountpath, spot.path))
        if file is None:
            continue
        if mountpath.may_be_torn(file[1].st_ctime_ns):
            meta = read_meta(disk, file[0])
            if meta is not None and is_torn(mountpath, meta, file[1]):
                continue
        found.append((*file, mountpath))
    if len(found) < 2:
        return found[0] if found else None
    return max(found, key=lambda one: (rank(read_meta(disk, one[0]), one[1]), one[2] is spot.mountpath))


def is_torn(mountpath: Mountpath, meta: ObjectMeta, found: os.stat_result) -> bool:
    """Whether an object's file lost its content in a power loss: then it is not damaged, it was never written."""
    return found.st_size < meta.size and meta.cut is None and mountpath.may_be_torn(found.st_ctime_ns)


def resized(found: os.stat_result, size: int, times_ns: tuple[int, int] | None = None) -> os.stat_result:
    """The stat of a file that is empty because its content is elsewhere, with the size of that, and these times."""
    access_ns, modified_ns = times_ns or (found.st_atime_ns, found.st_mtime_ns)
    times = {"st_atime_ns": access_ns, "st_mtime_ns": modified_ns, "st_ctime_ns": found.st_ctime_ns}
    return os.stat_result((*found[:6], size, *found[7:10]), times)


def read_meta(disk: Disk, path: str) -> ObjectMeta | None:
    """The metadata of an object's file; None when that is damaged, or there is no file. Raise `OSError`."""
    value = tree.read_xattr(disk, path, metadata.XATTR)
    return metadata.decoded(value) if value is not None else None


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
        self._read = Seen(entries_max)
        """Digests of names that were read lately."""

    def find(self, bck: Bck, name: str, *, is_read: bool = False) -> Spot:
        """The object's spot under the present view. Raise `OutOfSpace` when no mountpath is available.

        It is kept from the second read on: names that come once, or are written, must not push out those read again.
        """
        prefix = self._prefixes.get(bck) or self._remember_prefix(bck)
        uname = prefix + name
        spots = self._spots
        if spots.view is self._volume.view:
            spot = spots.young.get(uname)
            if spot is not None:
                return spot
        return self._find_slowly(bck, name, uname, is_read)

    def _find_slowly(self, bck: Bck, name: str, uname: str, is_read: bool) -> Spot:
        view, spots = self._volume.view, self._spots
        if spots.view is not view:
            spots = self._spots = _Generations(view)
        spot = spots.old.get(uname)
        if spot is None:
            key = digest(uname)
            spot = Spot.at(view, view.owner(key), bck, key, name)
            if not is_read or not self._read.again(key):
                return spot
            spot.is_kept = True
        if len(spots.young) >= self._half:
            spots.old, spots.young = spots.young, {}
        spots.young[uname] = spot
        return spot

    def _remember_prefix(self, bck: Bck) -> str:
        if len(self._prefixes) >= self._half:
            self._prefixes.clear()
        prefix = self._prefixes[bck] = bck.uname
        return prefix
