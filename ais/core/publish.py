"""Making a finished work file visible as an object: the only way content gets a name.

Under the lock of the object: look at what is stored, decide (`decide`, pure), write the metadata onto the work file and
rename it. A process killed anywhere before the rename leaves the old object and a work file that the next start sweeps.
"""

import contextlib
import itertools
import os
from collections.abc import Callable
from typing import TypeVar

from ais.api.bucket import Bck
from ais.base.errors import BucketNotFound, CorruptMetadata
from ais.core import meta as metadata
from ais.core import tree, workfile
from ais.core.meta import ObjectMeta
from ais.core.spots import Spot, SpotTable, newest_file, read_meta
from ais.core.versions import Versions
from ais.core.workfile import Keeping, Staged
from ais.env import Env
from ais.fs import layout, names
from ais.fs.failures import translate
from ais.fs.locks import StripeBusy
from ais.fs.volume import Volume

T = TypeVar("T")
Condition = Callable[[ObjectMeta | None], None]
"""Called under the object's lock with what is stored; raises to refuse."""


def decide(staged: Staged, stored: ObjectMeta | None, generation: int, now_ns: int) -> ObjectMeta:
    """The metadata of the object after the write; one that changes nothing does not count its version up.

    `generation`: of the set of mountpaths.
    """
    rules = staged.rules
    custom = staged.custom if staged.custom is not None else (stored.custom if stored else {})
    stamp, version = (generation, now_ns), staged.version
    if stored is not None:
        stamp = max(stamp, (stored.stamp[0], stored.stamp[1] + 1))
    if (
        stored is not None
        and staged.is_claimed
        and stored.checksum == staged.checksum
        and stored.checksum_kind == rules.checksum_kind
        and stored.size == staged.size
        and stored.custom == custom
        and stored.facts == staged.facts
        and staged.version in (None, stored.version)
        and rules.keeping is Keeping.NONE
    ):
        version = stored.version
    if version is None:
        version = metadata.next_version(stored.version if stored else "") if rules.versioning else ""
    kind, runs, facts = rules.checksum_kind, staged.runs, staged.facts
    return ObjectMeta(staged.size, kind, staged.checksum, version, custom, runs, facts, stamp=stamp)


class Publisher:
    """Commits staged work files, and what else happens under the locks of objects."""

    def __init__(self, volume: Volume, env: Env, spots: SpotTable, versions: Versions, tag: str) -> None:
        """`tag` must differ between the processes of a target: it makes the names of work files unique."""
        self._volume = volume
        self._disk = env.disk
        self._now_ns = env.clock.now_ns
        self._spots = spots
        self._versions = versions
        self._tag = tag
        self._serial = itertools.count()

    def new_work_name(self) -> str:
        """A name no other work file of this target has."""
        return f"{self._tag}.{next(self._serial):x}"

    def publish(self, staged: Staged, condition: Condition | None = None, wait: bool = True) -> ObjectMeta:
        """Commit; return the metadata now stored, after which the work file has no name any more.

        Raise what `condition` raises, `BucketNotFound`, `OutOfSpace`, `DiskFailure`, `BadRequest` (metadata too large);
        `StripeBusy` when the lock is taken and `wait` is false: nothing happened, publish again.
        """
        try:
            self._follow_placement(staged, wait)
            if staged.rules.fsync:
                self._disk.fsync(staged.fd)
            return self.locked(staged.bck, staged.spot, lambda: self._publish_locked(staged, condition), wait)
        except OSError as error:
            raise translate(error, staged.path) from error

    def locked(self, bck: Bck, spot: Spot, step: Callable[[], T], wait: bool = True) -> T:
        """Run `step` under the object's lock, again after each file it met where a directory must be."""
        stripes = spot.mountpath.stripes
        while True:
            stripes.acquire(spot.key, wait)
            try:
                return step()
            except tree.FileInTheWay as obstacle:
                blocking = obstacle
            except tree.BucketGone:
                raise BucketNotFound(bck.cname()) from None
            finally:
                stripes.release(spot.key)
            self.clear_way(bck, blocking, wait)

    def clear_way(self, bck: Bck, blocking: tree.FileInTheWay, wait: bool = True) -> None:
        """Turn the object's file that is in the way into a directory, under that object's lock. Raise `OSError`."""
        root, path = blocking.root, blocking.path
        spot = self._spots.find(bck, names.from_path(path[len(root) + 1 :]))
        stripes = spot.mountpath.stripes
        stripes.acquire(spot.key, wait)
        try:
            tree.make_directory(self._disk, path, f"{os.path.dirname(root)}/{layout.WORK}/{self.new_work_name()}")
        except tree.BucketGone:
            raise BucketNotFound(bck.cname()) from None
        finally:
            stripes.release(spot.key)

    def stored_meta(self, spot: Spot) -> ObjectMeta | None:
        """Metadata of the object as the next writer sees it; None when there is none or it is damaged.

        Raise `OSError`.
        """
        path: str | None = spot.path
        if self._volume.view.is_unsettled:
            found = newest_file(self._disk, self._volume.view, spot)
            path = found[0] if found else None
        return read_meta(self._disk, path) if path else None

    def ask(self, condition: Condition | None, spot: Spot, stored: ObjectMeta | None) -> None:
        """Ask a condition about what is stored. Raise what it raises, and `CorruptMetadata` when nobody can tell."""
        if condition is None:
            return
        if stored is None and newest_file(self._disk, self._volume.view, spot) is not None:
            raise CorruptMetadata(
                f"{spot.path} has lost its metadata, so whether a condition holds cannot be told: "
                f"overwrite or delete the object without a condition"
            )
        condition(stored)

    def remove_strays(self, spot: Spot) -> bool:
        """Remove the object's files from mountpaths other than its owner; return whether there were any."""
        removed = False
        for mountpath in self._volume.view.available:
            if mountpath is not spot.mountpath:
                root, path = spot.on(mountpath, spot.root), spot.on(mountpath, spot.path)
                removed |= tree.remove(self._disk, root, path)
        return removed

    def _publish_locked(self, staged: Staged, condition: Condition | None) -> ObjectMeta:
        disk, spot, rules = self._disk, staged.spot, staged.rules
        view = self._volume.view
        needs_stored = rules.versioning or staged.is_claimed or staged.custom is None or condition is not None
        self._volume.require_open(staged.bck)
        stored = self.stored_meta(spot) if needs_stored or view.is_unsettled else None
        self.ask(condition, spot, stored)
        decided = decide(staged, stored, view.generation, self._now_ns())
        succession = None
        if rules.keeping is not Keeping.NONE:
            succession = self._versions.succession(spot, rules)
            decided = succession.name(decided)
        value = metadata.encode(decided)
        if staged.before_rename is not None:
            staged.before_rename(decided)
        disk.setxattr(staged.fd, metadata.XATTR, value)
        if staged.times_ns is not None:
            disk.utime(staged.fd, ns=staged.times_ns)
        if rules.fsync:
            disk.fsync(staged.fd)
        if succession is not None:
            succession.keep()
        placed = tree.install(disk, staged.path, spot.root, spot.path)
        if rules.fsync:
            tree.fsync_parents(disk, spot.root, placed)
        if self._volume.view.is_unsettled:
            with contextlib.suppress(OSError):  # an older copy that stays is not served: the newest one wins
                self.remove_strays(spot)
        if succession is not None:
            succession.settle()
        return decided

    def _follow_placement(self, staged: Staged, wait: bool) -> None:
        """When the set of mountpaths changed while the content was received, take it to the new owner."""
        if staged.spot.view is self._volume.view:
            return
        spot = self._spots.find(staged.bck, staged.name)
        if spot.mountpath is staged.spot.mountpath:
            return
        if not wait or staged.before_rename is not None:
            raise StripeBusy
        path = f"{spot.work}/{os.path.basename(staged.path)}"
        fd = workfile.create(self._disk, path, staged.bck)
        try:
            workfile.copy_content(self._disk, staged.fd, fd, staged.size)
        except BaseException:
            workfile.discard(self._disk, path)
            self._disk.close(fd)
            raise
        workfile.discard(self._disk, staged.path)
        self._disk.close(staged.fd)
        staged.spot, staged.path, staged.fd = spot, path, fd
