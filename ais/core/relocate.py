"""Bringing one object to the mountpath that owns its name, after the set of mountpaths has changed.

The newest file on any mountpath is the object (`ais.core.spots.rank`). It is copied aside without a lock; under the
lock, if it is still the newest, it gets its place, and once that is durable, whatever older lies elsewhere goes. Kept
versions follow.
"""

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import NamedTuple

from ais.api.bucket import Bck
from ais.base.errors import AisError, Busy, CorruptMetadata
from ais.core import meta as metadata
from ais.core import tree, workfile
from ais.core.copies import Copies
from ais.core.directories import Directories
from ais.core.spots import Spot, newest_file, rank, read_meta
from ais.core.store import Store
from ais.core.versions import NULL, Place, Versions, order_of, sliced_keys
from ais.core.workfile import COPY_BYTES, Paced, at_once
from ais.env import Env
from ais.fs import layout
from ais.fs.failures import disk_failures
from ais.fs.mountpath import Mountpath

ATTEMPTS_MAX = 10
_Key = tuple[str, int, int]
"""Of a file as it was found: path, inode, time of change."""
_Asides = dict[_Key, str]
"""Work files, by the file that each has all of."""


class Relocated(NamedTuple):
    """What was done for one object. `changed_ns`: when the file of one that was in its place was changed last."""

    size_bytes: int = 0
    was_moved: bool = False
    changed_ns: int = 0


class Relocator:
    """The objects of one store. Methods block; any thread may call."""

    def __init__(self, store: Store, env: Env, paced: Paced) -> None:
        self._store = store
        self._disk = env.disk
        self._paced = paced
        self._copies: Copies = store.copies
        self._versions: Versions = store.versions

    def bring(self, bck: Bck, name: str) -> Relocated:
        """Bring an object and its versions to their mountpath. Raise `DiskFailure`, `OutOfSpace`, `CorruptMetadata`."""
        (outcome,) = self.bring_all(bck, (name,))
        if isinstance(outcome, AisError):
            raise outcome
        return outcome

    def bring_all(self, bck: Bck, some: Sequence[str]) -> list[Relocated | AisError]:
        """The same with some names, and what it raised for one.

        What is copied is on its disk before anything is removed from another one: the power may go in between. The
        names of some are synced together.
        """
        outcomes: dict[str, Relocated | AisError] = {}
        left = dict.fromkeys(some, Relocated())
        for attempt in range(ATTEMPTS_MAX):
            places = _Places(is_first=not attempt)
            for name, before in self._paced(iter(left.items())):
                try:
                    found = self._step(bck, name, places)
                except AisError as error:
                    outcomes[name] = error
                    places.names.discard(name)
                else:
                    left[name] = outcomes[name] = before if before.was_moved else found
            with disk_failures("what was copied to another mountpath"):
                places.sync(self._disk)
            left = {name: done for name, done in left.items() if name in places.names}
        for name in left:
            outcomes[name] = Busy(f"{bck.cname(name)} keeps being overwritten")
        return [outcomes[name] for name in some]

    def _step(self, bck: Bck, name: str, places: "_Places") -> Relocated:
        """Copy what is to be copied of a name, of which `places` is told; else remove what is elsewhere."""
        spot = self._store.spot(bck, name)
        with disk_failures(spot.path):
            found = newest_file(self._disk, self._store.volume.view, spot)
            if found is not None and found[2] is not spot.mountpath:
                places.names.add(name)
                is_taken = self._take(bck, spot, found[0], found[1], places)
                return Relocated(found[1].st_size, was_moved=True) if is_taken else Relocated()
            with self._shelves_aside(bck, spot) as asides:
                is_copied = self._store.under_lock(bck, spot, lambda: self._tidy(bck, spot, places, asides))
            if is_copied:
                places.names.add(name)
            return Relocated(found[1].st_size, changed_ns=found[1].st_ctime_ns) if found else Relocated()

    def bring_slices_of_versions(
        self, bck: Bck, some: Sequence[str], mountpath: Mountpath
    ) -> list[Relocated | AisError]:
        """The same with what is kept of the versions of some names."""
        outcomes: list[Relocated | AisError] = []
        for name in self._paced(iter(some)):
            done = self.bring_slices(bck, list(sliced_keys(self._disk, mountpath, bck, (name,))), mountpath)
            errors = [one for one in done if isinstance(one, AisError)]
            moved = [one for one in done if isinstance(one, Relocated) and one.was_moved]
            total = Relocated(sum(one.size_bytes for one in moved), was_moved=bool(moved))
            outcomes.append(errors[0] if errors else total)
        return outcomes

    def bring_slices(self, bck: Bck, keys: Sequence[str], mountpath: Mountpath) -> list[Relocated | AisError]:
        """Bring what is kept here of other targets' objects, or of versions by their keys, from a mountpath that is to
        leave; what it raised for one. Durable as with `bring_all`.
        """
        if mountpath.path not in self._store.volume.view.leaving:
            return [Relocated() for _ in keys]
        places = _Places()
        copy = partial(self._copy_slice, places)
        outcomes = [self._slice_step(copy, bck, key, mountpath) for key in self._paced(iter(keys))]
        with disk_failures("slices that were copied to another mountpath"):
            places.sync(self._disk)
        return [
            self._slice_step(self._remove_slice, bck, key, mountpath)
            if isinstance(outcome, Relocated) and outcome.was_moved
            else outcome
            for key, outcome in zip(keys, outcomes, strict=True)
        ]

    def _slice_step(
        self, step: Callable[["_SlicePlaces"], Relocated], bck: Bck, key: str, mountpath: Mountpath
    ) -> Relocated | AisError:
        where = _SlicePlaces(bck, self._store.spot(bck, key), mountpath)
        try:
            with disk_failures(where.path):
                return step(where)
        except FileNotFoundError:
            return Relocated()
        except AisError as error:
            return error

    def _copy_slice(self, places: "_Places", where: "_SlicePlaces") -> Relocated:
        for _ in range(ATTEMPTS_MAX):
            found = tree.find(self._disk, where.path)
            if found is None:
                return Relocated()
            aside = self._slice_aside(where, found)
            try:
                if self._store.under_lock(
                    where.bck, where.spot, partial(self._take_slice, places, where, found, aside), restore_lost=False
                ):
                    return Relocated(found[1].st_size, was_moved=True)
            finally:
                if aside is not None:
                    workfile.discard(self._disk, aside)
        raise Busy(f"{where.path} keeps being replaced")

    def _slice_aside(self, where: "_SlicePlaces", found: tuple[str, os.stat_result]) -> str | None:
        """A work file that holds a slice; None when the one that is in its place is no older."""
        there, spot = tree.find(self._disk, where.own_path), where.spot
        if there is not None and there[1].st_mtime_ns >= found[1].st_mtime_ns:
            return None
        spot.mountpath.check_room(found[1].st_size, self._store.volume.limits.out_of_space_pct)
        fd = self._disk.open(found[0], os.O_RDONLY | os.O_CLOEXEC)
        try:
            aside = self._copies.stage(fd, self._disk.fstat(fd), spot, spot.mountpath, self._paced)
        finally:
            self._disk.close(fd)
        try:
            self._write_out(aside, self._paced)
        except BaseException:
            workfile.discard(self._disk, aside)
            raise
        return aside

    def _take_slice(
        self, places: "_Places", where: "_SlicePlaces", found: tuple[str, os.stat_result], aside: str | None
    ) -> bool:
        """Have a slice in its place that is no older than the one that was found; False: that is another one by now."""
        again, there = tree.find(self._disk, where.path), tree.find(self._disk, where.own_path)
        if again is None or _key(*again) != _key(*found):
            return False
        if there is not None and there[1].st_mtime_ns >= found[1].st_mtime_ns:
            self._write_out(there[0])
            places.add(where.bucket, there[0])
            return True
        if aside is None:
            return False
        for made in sorted({f"{where.bucket}/{layout.SLICES}", where.own}):
            layout.make_directory(self._disk, made)
        places.add(where.bucket, tree.install(self._disk, aside, where.own, where.own_path))
        return True

    def _remove_slice(self, where: "_SlicePlaces") -> Relocated:
        """What was copied is on the disk by now."""

        def step() -> Relocated:
            found, there = tree.find(self._disk, where.path), tree.find(self._disk, where.own_path)
            if found is None:
                return Relocated()
            if there is not None and there[1].st_mtime_ns < found[1].st_mtime_ns:
                raise Busy(f"{where.own_path} keeps being replaced")
            tree.remove(self._disk, where.root, where.path)
            return Relocated(found[1].st_size, was_moved=True)

        return self._store.under_lock(where.bck, where.spot, step, restore_lost=False)

    def _take(self, bck: Bck, spot: Spot, path: str, stat: os.stat_result, places: "_Places") -> bool:
        if read_meta(self._disk, path) is None:
            again = self._stat(path)
            if again is None or _key(path, again) != _key(path, stat):
                return False
            raise CorruptMetadata(f"{path} is damaged and stays where it is: overwrite or delete the object")
        spot.mountpath.check_room(stat.st_size, self._store.volume.limits.out_of_space_pct)
        try:
            aside = self._clone(path, stat, spot, spot.mountpath, self._paced)
        except FileNotFoundError:
            return False

        def step() -> bool:
            newest = newest_file(self._disk, self._store.volume.view, spot)
            is_same = newest is not None and _key(newest[0], newest[1]) == _key(path, stat)
            if not is_same or not self._has_meta_of(aside, path):
                return False
            if self._has_versions(bck, spot):
                self._versions.put_strays_aside(spot, self._versions.head(spot))
            places.add(spot.root, tree.install(self._disk, aside, spot.root, spot.path))
            return True

        try:
            return self._store.under_lock(bck, spot, step)
        finally:
            workfile.discard(self._disk, aside)

    def _clone(self, path: str, stat: os.stat_result, spot: Spot, mountpath: Mountpath, paced: Paced = at_once) -> str:
        """A work file with all that a file has, its content on the disk."""
        aside = self._copies.clone(path, stat, spot, mountpath, paced)
        self._write_out(aside, paced)
        return aside

    def _has_meta_of(self, aside: str, path: str) -> bool:
        """Whether what was copied has the metadata that the file has now: a change within the same tick of the kernel's
        clock left the time of change as it was.
        """
        mine, other = (tree.read_xattr(self._disk, one, metadata.XATTR) for one in (aside, path))
        return mine == other

    def _write_out(self, path: str, paced: Paced = at_once) -> None:
        """Its disk has the pieces one after the other, with rests: all at once would keep others from it."""
        fd = self._disk.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            for offset in paced(iter(range(0, self._disk.fstat(fd).st_size - COPY_BYTES, COPY_BYTES))):
                self._disk.start_writing(fd, offset, COPY_BYTES)
            self._disk.write_out(fd)
        finally:
            self._disk.close(fd)

    def _tidy(self, bck: Bck, spot: Spot, places: "_Places", asides: _Asides) -> bool:
        """Copy what is kept of the versions elsewhere to the object's mountpath. When there was nothing to copy, all of
        that goes, and what is older than the file there, once what stands for it is on the disk; return whether it was
        too early for that. Under the lock.
        """
        if places.is_first and self._is_elsewhere(spot):
            self._settle_all(spot, places)
            return True
        if self._has_versions(bck, spot):
            self._versions.put_strays_aside(spot, self._versions.head(spot))
            owner, *others = self._versions.places(spot)
            if sum(self._copy_shelf(spot, place, owner, places, asides) for place in others):
                return True
            for place in others:
                self._remove_shelf(spot, place)
        own = tree.find(self._disk, spot.path)
        if own is None:
            return False
        own_rank = rank(read_meta(self._disk, own[0]), own[1])
        for mountpath in self._store.volume.view.available:
            if mountpath is spot.mountpath:
                continue
            root, path = spot.on(mountpath, spot.root), spot.on(mountpath, spot.path)
            stray = tree.find(self._disk, path)
            if stray is not None and rank(read_meta(self._disk, stray[0]), stray[1]) <= own_rank:
                self._store.volume.moved.note(spot.bucket, spot.name)
                tree.remove(self._disk, root, path)
        return False

    def _is_elsewhere(self, spot: Spot) -> bool:
        """Whether another mountpath has anything of an object."""
        _, *others = self._versions.places(spot)
        return any(tree.find(self._disk, place.path) is not None or self._shelved(place) for place in others)

    def _settle_all(self, spot: Spot, places: "_Places") -> None:
        """Have all that is in its place of an object on the disk with `places`: whoever brought it may have been killed
        before it was.
        """
        owner, own = self._versions.places(spot)[0], tree.find(self._disk, spot.path)
        for entry in self._shelved(owner):
            self._settle(places, os.path.dirname(owner.shelves), f"{owner.shelf}/{entry}")
        if own is not None:
            self._settle(places, spot.root, own[0])

    def _settle(self, places: "_Places", root: str, path: str) -> None:
        self._write_out(path)
        places.add(root, path)

    def _has_versions(self, bck: Bck, spot: Spot) -> bool:
        """Whether there may be others than the latest: two objects on different mountpaths are, without any shelf."""
        return bck in self._store.volume.keeping or any(
            self._disk.access(place.shelf, os.F_OK) for place in self._versions.places(spot)
        )

    @contextlib.contextmanager
    def _shelves_aside(self, bck: Bck, spot: Spot) -> Iterator[_Asides]:
        """For a block, work files of what is to be copied of the versions elsewhere, by the file that each is of.

        Made without the lock: what changes before that is taken is copied once more, under it.
        """
        asides: _Asides = {}
        try:
            if self._has_versions(bck, spot):
                owner, *others = self._versions.places(spot)
                for place in others:
                    for source, found, _ in self._missing(place, owner):
                        with contextlib.suppress(FileNotFoundError):
                            asides[_key(source, found)] = self._clone(source, found, spot, owner.mountpath, self._paced)
            yield asides
        finally:
            for aside in asides.values():
                workfile.discard(self._disk, aside)

    def _copy_shelf(self, spot: Spot, place: Place, owner: Place, places: "_Places", asides: _Asides) -> int:
        """Have what a mountpath has on the shelf of a name at its owner, too; how much of it was missing there."""
        count = 0
        for source, found, target in self._missing(place, owner):
            layout.make_directory(self._disk, owner.shelves)
            key = _key(source, found)
            if key not in asides or not self._has_meta_of(asides[key], source):
                asides[key] = self._clone(source, found, spot, owner.mountpath)
            tree.install(self._disk, asides[key], owner.shelves, target)
            places.add(os.path.dirname(owner.shelves), target)
            count += 1
        return count

    def _missing(self, place: Place, owner: Place) -> Iterator[tuple[str, os.stat_result, str]]:
        """What is on the shelf of a mountpath, but not, or older, on its owner's: the files, and where they belong."""
        for entry in self._shelved(place):
            source, target = f"{place.shelf}/{entry}", f"{owner.shelf}/{entry}"
            found, there = self._stat(source), self._stat(target)
            if found is not None and (there is None or self._is_older(entry, target, there, source, found)):
                yield source, found, target

    def _is_older(self, entry: str, path: str, stat: os.stat_result, than: str, than_stat: os.stat_result) -> bool:
        """Of two files of one version: null versions follow each other, by an order that delete markers have too."""
        mine, other = read_meta(self._disk, path), read_meta(self._disk, than)
        if entry == NULL and mine is not None and other is not None:
            return order_of(mine, stat.st_mtime_ns) > order_of(other, than_stat.st_mtime_ns)
        return rank(mine, stat) < rank(other, than_stat)

    def _remove_shelf(self, spot: Spot, place: Place) -> None:
        for entry in self._shelved(place):
            self._store.volume.moved.note(spot.bucket, spot.name)
            self._disk.unlink(f"{place.shelf}/{entry}")
        tree.prune(self._disk, place.shelves, f"{place.shelf}/x")

    def _shelved(self, place: Place) -> list[str]:
        try:
            return self._disk.listdir(place.shelf)
        except (FileNotFoundError, NotADirectoryError):
            return []

    def _stat(self, path: str) -> os.stat_result | None:
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            return self._disk.lstat(path)
        return None


class _SlicePlaces:
    """Where a slice is on a mountpath that leaves, and where it belongs."""

    def __init__(self, bck: Bck, spot: Spot, mountpath: Mountpath) -> None:
        self.bck, self.spot = bck, spot
        self.own = layout.content_root(spot.root, layout.SLICES)
        self.own_path = self.own + spot.path[len(spot.root) :]
        self.bucket = os.path.dirname(spot.root)
        self.root, self.path = spot.on(mountpath, self.own), spot.on(mountpath, self.own_path)


class _Places(Directories):
    """Where something was copied to; `names`: of objects that are not done. `is_first`: what is in its place may not be
    on the disk yet; later it was synced in between.
    """

    def __init__(self, *, is_first: bool = True) -> None:
        super().__init__()
        self.names: set[str] = set()
        self.is_first = is_first


def _key(path: str, stat: os.stat_result) -> _Key:
    return path, stat.st_ino, stat.st_ctime_ns
