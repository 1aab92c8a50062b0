"""Brings one object of a mirrored bucket to what its bucket promises: repairs it from a copy, makes copies, drops them.
So for each of its kept versions and delete markers (`ais.core.version_copies`).

Nothing is read or copied under the object's lock. What was prepared aside gets its name under the lock, and only if the
object is still the one that was looked at; otherwise whoever changed it asks again.
"""

import contextlib
import os
from typing import NamedTuple

from ais.api import checksum
from ais.api.bucket import Bck
from ais.base.errors import ChecksumMismatch, CorruptMetadata
from ais.core import meta as metadata
from ais.core import tree, workfile
from ais.core.copies import CopyFile
from ais.core.meta import ObjectMeta
from ais.core.relocate import Relocator
from ais.core.spots import Spot
from ais.core.store import Store
from ais.core.versions import kept_spot
from ais.core.workfile import Digests, Paced
from ais.env import Env
from ais.fs.failures import disk_failures

ATTEMPTS_MAX = 5


class Outcome(NamedTuple):
    """What was found and done for one object. `is_lost`: neither it nor a copy can be read."""

    size_bytes: int = 0
    copies_made: int = 0
    copies_dropped: int = 0
    was_restored: bool = False
    is_missing: bool = False
    is_lost: bool = False

    def and_of(self, other: "Outcome") -> "Outcome":
        """Of two files together."""
        return Outcome(
            self.size_bytes + other.size_bytes,
            self.copies_made + other.copies_made,
            self.copies_dropped + other.copies_dropped,
            self.was_restored or other.was_restored,
            self.is_missing and other.is_missing,
            self.is_lost or other.is_lost,
        )


class _File(NamedTuple):
    path: str
    stat: os.stat_result
    meta: ObjectMeta | None

    @property
    def identity(self) -> tuple[int, int, int]:
        """Changes with every change of the file."""
        return self.stat.st_ino, self.stat.st_ctime_ns, self.stat.st_size


class Mirror:
    """The objects of one store. Methods block; any thread may call."""

    def __init__(self, store: Store, env: Env, paced: Paced) -> None:
        self._store = store
        self._disk = env.disk
        self._paced = paced
        self._copies = store.copies
        self._relocator = Relocator(store, env, paced)

    def bring(self, bck: Bck, name: str, *, verify: bool = False) -> Outcome:
        """Do what the bucket's policy asks for one object and its versions. `verify`: read all and compare checksums.

        Without it, a file counts as good when its metadata is readable, its size right and its stamp the object's.
        Raise `DiskFailure`, `OutOfSpace`, `BucketNotFound`.
        """
        if self._store.volume.view.is_unsettled:  # what lies in its place may be older than what lies elsewhere
            with contextlib.suppress(CorruptMetadata):
                self._relocator.bring(bck, name)
        spot = self._store.spot(bck, name)
        outcome = self._bring(bck, spot, verify)
        with disk_failures(spot.path):
            kept = self._kept(bck, spot)
        for one in kept:
            outcome = outcome.and_of(self._bring(bck, one, verify))
        return outcome

    def bring_version(self, bck: Bck, name: str, entry: str) -> Outcome:
        """The same for one entry of an object's shelf alone, reading everything."""
        return self._bring(bck, kept_spot(self._store.spot(bck, name), entry), verify=True)

    def paths(self, bck: Bck, name: str, meta: ObjectMeta) -> list[str]:
        """The mountpaths that have a copy of just this object, besides its own. Raise `DiskFailure`."""
        spot = self._store.spot(bck, name)
        with disk_failures(spot.path):
            return [copy.mountpath.path for copy in self._copies.find(spot) if copy.is_whole and copy.meta == meta]

    def _kept(self, bck: Bck, spot: Spot) -> list[Spot]:
        """What is, or was, on the object's shelf; copies of what says nothing there are dropped."""
        version_copies, kept = self._store.version_copies, []
        head = self._store.versions.head(spot)
        for entry in version_copies.entries(spot):
            one = kept_spot(spot, entry)
            if version_copies.counts(entry, head):
                kept.append(one)
            else:

                def drop(entry: str = entry, one: Spot = one) -> None:
                    if not version_copies.counts(entry, self._store.versions.head(spot)):
                        self._copies.drop(one)

                self._store.under_lock(bck, spot, drop, restore_lost=False)
        return kept

    def _bring(self, bck: Bck, spot: Spot, verify: bool) -> Outcome:
        for _ in range(ATTEMPTS_MAX):
            with disk_failures(spot.path), contextlib.suppress(FileNotFoundError):
                outcome = self._try(bck, spot, verify)
                if outcome is not None:
                    return outcome
        return Outcome()  # it keeps being changed, and each of these changes is followed by another call

    def _try(self, bck: Bck, spot: Spot, verify: bool) -> Outcome | None:
        mirroring = self._store.volume.mirrored.get(bck)
        wanted = mirroring.copies if mirroring is not None else 1
        current, copies = self._current(spot), self._copies.find(spot)
        if current is None and not copies:
            return Outcome(is_missing=True)
        stamp = self._stamp(current, copies)
        is_good = current is not None and self._is_good(current, stamp, verify)
        good = [copy for copy in copies if self._is_good(_File(*copy[2:]), stamp, verify)]
        if not is_good:
            return self._restore(bck, spot, current, good)
        assert current is not None
        return self._complete(bck, spot, current, copies, good, wanted)

    def _stamp(self, current: _File | None, copies: list[CopyFile]) -> tuple[int, int]:
        """The stamp of the object: its own while its metadata can be read, else the latest of its copies. So while a
        mountpath may have brought it back, when a copy is of a later write.
        """
        meta = current.meta if current is not None else None
        may_be_older = self._store.volume.view.is_unsettled and any(copy.is_newer_than(meta) for copy in copies)
        if meta is not None and not may_be_older:
            return meta.stamp
        return max((copy.meta.stamp for copy in copies if copy.meta is not None), default=(0, 0))

    def _current(self, spot: Spot) -> _File | None:
        found = tree.find(self._disk, spot.path)
        if found is None:
            return None
        try:
            value = tree.read_xattr(self._disk, found[0], metadata.XATTR)
            return _File(*found, metadata.decode(value) if value is not None else None)
        except CorruptMetadata:
            return _File(*found, None)

    def _is_good(self, file: _File, stamp: tuple[int, int], verify: bool) -> bool:
        meta = file.meta
        if meta is None or meta.stamp != stamp or meta.size != file.stat.st_size:
            return False
        return not verify or self._is_intact(file.path, meta)

    def _is_intact(self, path: str, meta: ObjectMeta) -> bool:
        digests = Digests(checksum.NONE, (meta.checksum_kind, meta.checksum))
        try:
            fd = self._disk.open(path, os.O_RDONLY | os.O_CLOEXEC)
            try:
                workfile.hash_content(self._disk, fd, meta.size, digests, self._paced)
            finally:
                self._disk.close(fd)
            digests.verify(Bck(""), path)
        except (OSError, ChecksumMismatch):
            return False
        return True

    def _restore(self, bck: Bck, spot: Spot, current: _File | None, good: list[CopyFile]) -> Outcome | None:
        """Put a good copy in the place of the object, which is missing or damaged."""
        if not good:
            return Outcome(is_lost=True)
        source = good[0]
        aside = self._copies.clone(source.path, source.stat, spot, spot.mountpath, self._paced)
        try:

            def step() -> bool:
                if _identity(self._current(spot)) != _identity(current):
                    return False
                if not any(one.path == source.path and one.meta == source.meta for one in self._copies.find(spot)):
                    return False
                self._copies.make_root(spot)
                if source.meta is not None:
                    self._store.make_way(spot, source.meta)
                tree.install(self._disk, aside, spot.root, spot.path)
                return True

            return self._after(self._store.under_lock(bck, spot, step, restore_lost=False), source)
        finally:
            workfile.discard(self._disk, aside)

    def _after(self, is_done: bool, source: CopyFile) -> Outcome | None:
        return Outcome(source.stat.st_size, was_restored=True) if is_done else None

    def _complete(
        self, bck: Bck, spot: Spot, current: _File, copies: list[CopyFile], good: list[CopyFile], wanted: int
    ) -> Outcome | None:
        """Make the copies that are missing, drop those that are bad or too many."""
        places = self._copies.places(spot, wanted)
        have = {copy.mountpath.path for copy in good}
        missing = [mountpath for mountpath in places if mountpath.path not in have]
        keep = frozenset(mountpath.path for mountpath in places)
        surplus = [copy for copy in copies if copy.mountpath.path not in keep]
        if not missing and not surplus:
            return Outcome(current.stat.st_size)
        asides = {}
        try:
            for mountpath in missing:
                mountpath.check_room(current.stat.st_size, self._store.volume.limits.out_of_space_pct)
                asides[mountpath] = self._copies.clone(current.path, current.stat, spot, mountpath, self._paced)

            def step() -> bool:
                if bck not in self._store.volume.mirrored:
                    self._copies.drop(spot)
                    return True
                if spot.view is not self._store.volume.view or _identity(self._current(spot)) != current.identity:
                    return False
                self._copies.drop(spot, keep)
                for mountpath, aside in asides.items():
                    self._copies.place(aside, spot, mountpath)
                return True

            done = self._store.under_lock(bck, spot, step, restore_lost=False)
        finally:
            for aside in asides.values():
                workfile.discard(self._disk, aside)
        return Outcome(current.stat.st_size, len(asides), len(surplus)) if done else None


def _identity(file: _File | None) -> tuple[int, int, int] | None:
    return file.identity if file is not None else None
