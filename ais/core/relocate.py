"""Bringing one object to the mountpath that owns its name, after the set of mountpaths has changed.

The newest file on any mountpath is the object (`ais.core.spots.rank`). It is copied aside without a lock; under the
lock, if it is still the newest, it gets its place, and whatever older lies elsewhere goes. Kept versions follow.
"""

import contextlib
import os
from typing import NamedTuple

from ais.api.bucket import Bck
from ais.base.errors import CorruptMetadata
from ais.core import tree, workfile
from ais.core.copies import Copies
from ais.core.spots import Spot, newest_file, rank, read_meta
from ais.core.store import Store
from ais.core.versions import Place, Versions, sliced_keys
from ais.env import Env
from ais.fs import layout
from ais.fs.failures import disk_failures
from ais.fs.mountpath import Mountpath

ATTEMPTS_MAX = 5


class Relocated(NamedTuple):
    """What was done for one object. `changed_ns`: when the file of one that was in its place was changed last."""

    size_bytes: int = 0
    was_moved: bool = False
    changed_ns: int = 0


class Relocator:
    """The objects of one store. Methods block; any thread may call."""

    def __init__(self, store: Store, env: Env) -> None:
        self._store = store
        self._disk = env.disk
        self._copies: Copies = store.copies
        self._versions: Versions = store.versions

    def bring(self, bck: Bck, name: str) -> Relocated:
        """Bring an object and its versions to their mountpath. Raise `DiskFailure`, `OutOfSpace`, `CorruptMetadata`."""
        spot = self._store.spot(bck, name)
        with disk_failures(spot.path):
            for _ in range(ATTEMPTS_MAX):
                found = newest_file(self._disk, self._store.volume.view, spot)
                if found is None or found[2] is spot.mountpath:
                    self._store.under_lock(bck, spot, lambda: self._tidy(spot))
                    return Relocated(found[1].st_size, changed_ns=found[1].st_ctime_ns) if found else Relocated()
                if self._take(bck, spot, found[0], found[1]):
                    return Relocated(found[1].st_size, was_moved=True)
        return Relocated()  # it keeps being overwritten: each write puts it into its place

    def bring_slices_of_versions(self, bck: Bck, name: str, mountpath: Mountpath) -> Relocated:
        """The same with what is kept of the versions of a name. Raise as `bring`."""
        done = [self.bring_slice(bck, key, mountpath) for key in sliced_keys(self._disk, mountpath, bck, (name,))]
        return Relocated(sum(one.size_bytes for one in done), was_moved=any(one.was_moved for one in done))

    def bring_slice(self, bck: Bck, key: str, mountpath: Mountpath) -> Relocated:
        """Bring what is kept here of another target's object, or of a version by its key, from a mountpath that is to
        leave. Raise as `bring`.
        """
        spot = self._store.spot(bck, key)
        if mountpath.path not in self._store.volume.view.leaving:
            return Relocated()
        own = layout.content_root(spot.root, layout.SLICES)
        root, path = spot.on(mountpath, own), spot.on(mountpath, own + spot.path[len(spot.root) :])
        with disk_failures(path):
            found = tree.find(self._disk, path)
            if found is None:
                return Relocated()
            spot.mountpath.check_room(found[1].st_size, self._store.volume.limits.out_of_space_pct)

            def step() -> Relocated:
                fd = self._disk.open(found[0], os.O_RDONLY | os.O_CLOEXEC)
                try:
                    aside = self._copies.stage(fd, found[1], spot, spot.mountpath)
                finally:
                    self._disk.close(fd)
                try:
                    there = tree.find(self._disk, own + spot.path[len(spot.root) :])
                    if there is None or there[1].st_mtime_ns < found[1].st_mtime_ns:
                        for made in sorted({f"{os.path.dirname(spot.work)}/{layout.SLICES}", own}):
                            layout.make_directory(self._disk, made)
                        tree.install(self._disk, aside, own, own + spot.path[len(spot.root) :])
                finally:
                    workfile.discard(self._disk, aside)
                tree.remove(self._disk, root, path)
                return Relocated(found[1].st_size, was_moved=True)

            try:
                return self._store.under_lock(bck, spot, step, restore_lost=False)
            except FileNotFoundError:
                return Relocated()

    def _take(self, bck: Bck, spot: Spot, path: str, stat: os.stat_result) -> bool:
        if read_meta(self._disk, path) is None:
            again = self._stat(path)
            if again is None or (again.st_ino, again.st_ctime_ns) != (stat.st_ino, stat.st_ctime_ns):
                return False
            raise CorruptMetadata(f"{path} is damaged and stays where it is: overwrite or delete the object")
        spot.mountpath.check_room(stat.st_size, self._store.volume.limits.out_of_space_pct)
        try:
            aside = self._copies.clone(path, stat, spot, spot.mountpath)
        except FileNotFoundError:
            return False

        def step() -> bool:
            newest = newest_file(self._disk, self._store.volume.view, spot)
            if newest is None or (newest[0], newest[1].st_ino, newest[1].st_ctime_ns) != (
                path,
                stat.st_ino,
                stat.st_ctime_ns,
            ):
                return False
            if self._has_versions(spot):
                self._versions.put_strays_aside(spot, self._versions.head(spot))
            tree.install(self._disk, aside, spot.root, spot.path)
            self._tidy(spot)
            return True

        try:
            return self._store.under_lock(bck, spot, step)
        finally:
            workfile.discard(self._disk, aside)

    def _tidy(self, spot: Spot) -> None:
        """Everything of the object to its mountpath; what is older than the file there goes. Under the lock."""
        if self._has_versions(spot):
            self._versions.put_strays_aside(spot, self._versions.head(spot))
            owner, *others = self._versions.places(spot)
            for place in others:
                self._move_shelf(spot, place, owner)
        own = tree.find(self._disk, spot.path)
        if own is None:
            return
        own_rank = rank(read_meta(self._disk, own[0]), own[1])
        for mountpath in self._store.volume.view.available:
            if mountpath is spot.mountpath:
                continue
            root, path = spot.on(mountpath, spot.root), spot.on(mountpath, spot.path)
            stray = tree.find(self._disk, path)
            if stray is not None and rank(read_meta(self._disk, stray[0]), stray[1]) <= own_rank:
                self._store.volume.moved.note(spot.bucket, spot.name)
                tree.remove(self._disk, root, path)

    def _has_versions(self, spot: Spot) -> bool:
        return any(self._disk.access(place.shelf, os.F_OK) for place in self._versions.places(spot))

    def _move_shelf(self, spot: Spot, place: Place, owner: Place) -> None:
        try:
            entries = self._disk.listdir(place.shelf)
        except (FileNotFoundError, NotADirectoryError):
            return
        layout.make_directory(self._disk, owner.shelves)
        for entry in entries:
            source, target = f"{place.shelf}/{entry}", f"{owner.shelf}/{entry}"
            found = self._disk.lstat(source)
            there = self._stat(target)
            if there is None or rank(read_meta(self._disk, target), there) < rank(read_meta(self._disk, source), found):
                aside = self._copies.clone(source, found, spot, owner.mountpath)
                try:
                    tree.install(self._disk, aside, owner.shelves, target)
                finally:
                    workfile.discard(self._disk, aside)
            self._store.volume.moved.note(spot.bucket, spot.name)
            self._disk.unlink(source)
        tree.prune(self._disk, place.shelves, f"{place.shelf}/x")

    def _stat(self, path: str) -> os.stat_result | None:
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            return self._disk.lstat(path)
        return None
