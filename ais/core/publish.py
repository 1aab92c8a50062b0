"""Making a finished work file visible as an object: the only way content gets a name.

Under the lock of the object: look at what is stored, decide (`decide`, pure), write the metadata onto the work file and
rename it. A process killed anywhere before the rename leaves the old object and a work file that the next start sweeps.
"""

import contextlib
import itertools
import os
from collections.abc import Callable, Iterator
from functools import partial
from typing import TypeVar

import msgspec

from ais.api import checksum
from ais.api.bucket import Bck
from ais.base.errors import (
    AlreadyExists,
    BadRequest,
    BucketNotFound,
    Busy,
    ContentDamaged,
    CorruptMetadata,
    NotFound,
    NotReady,
)
from ais.core import holds, tree, workfile
from ais.core import meta as metadata
from ais.core.announcing import Announcer, Change, Event, Note, Unannounced
from ais.core.copies import Copies
from ais.core.index_files import may_have
from ais.core.meta import ObjectMeta
from ais.core.slicing import NoSlicing, Plan, Prepared, Slicing, Turns, key_of
from ais.core.spots import Spot, SpotTable, newest_file, read_meta
from ais.core.version_copies import VersionCopies
from ais.core.versions import DELETED, NULL, Version, Versions, kept_spot
from ais.core.workfile import Keeping, Staged, WriteRules
from ais.env import Env
from ais.fs import layout, names
from ais.fs.failures import translate
from ais.fs.locks import StripeBusy
from ais.fs.mountpath import Mountpath
from ais.fs.volume import Mirroring, Volume

T = TypeVar("T")
Around = Callable[[], contextlib.AbstractContextManager[None]]
_NOT_FOLLOWED = contextlib.nullcontext()
_SLICED_ATTEMPTS_MAX = 10
_SYNCED_TOGETHER_BYTES_MAX = 1 << 20
"""Content of up to so many bytes is synced with its metadata, in one flush."""
Condition = Callable[[ObjectMeta | None], None]
"""Called under the object's lock with what is stored; raises to refuse."""
Commit = Callable[[Staged, Condition | None, bool], ObjectMeta]


def decide(staged: Staged, stored: ObjectMeta | None, generation: int, now_ns: int) -> ObjectMeta:
    """The metadata of the object after the write; one that changes nothing does not count its version up.

    `generation`: of the set of mountpaths.
    """
    rules, custom, version, stamp = staged.rules, staged.custom, staged.version, (generation, now_ns)
    if custom is None:
        custom = stored.custom if stored is not None else {}
    if stamp <= staged.after:
        stamp = (staged.after[0], staged.after[1] + 1)
    if stored is not None:
        if stamp <= stored.stamp:
            stamp = (stored.stamp[0], stored.stamp[1] + 1)
        if (
            staged.is_claimed
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
        version = metadata.next_version(stored.version if stored is not None else "") if rules.versioning else ""
    return ObjectMeta(
        staged.size, rules.checksum_kind, staged.checksum, version, custom, staged.runs, staged.facts, stamp=stamp
    )


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
        self.copies = Copies(volume, env.disk, self.new_work_name)
        self.version_copies = VersionCopies(self.copies, versions)
        self.on_mirrored: Callable[[Bck, str], None] = _ignore
        """Told, in any thread, of each object of a mirrored bucket that has too few copies now."""
        self.before_coded: Callable[[Bck, str, tuple[int, int], bool, bool], None] = _ignore_change
        """Removes the slices of what has that stamp before an object of an erasure-coded bucket is replaced or deleted
        (True), durably (True) or not. Called without a lock, in any thread but the event loop's; may wait for other
        targets."""
        self.on_coded: Callable[[Bck, str], None] = _ignore
        """Told, in any thread, of each object of an erasure-coded bucket that was changed."""
        self.on_shard: Callable[[Bck, str], None] = _ignore
        """Told, in any thread, of each shard that was written into a bucket that wants indexes."""
        self.around_mirrored: Around = contextlib.nullcontext
        self.around_coded: Around = contextlib.nullcontext
        self.slicing: Slicing = NoSlicing()
        self.turns = Turns()
        self.announcer: Announcer = Unannounced()

    def new_work_name(self) -> str:
        """A name no other work file of this target has."""
        return f"{self._tag}.{next(self._serial):x}"

    def publish(self, staged: Staged, condition: Condition | None = None, wait: bool = True) -> ObjectMeta:
        """Commit; return the metadata now stored, after which the work file has no name any more.

        Raise what `condition` raises, `BucketNotFound`, `OutOfSpace`, `DiskFailure`, `BadRequest` (metadata too large);
        `StripeBusy` when the lock is taken and `wait` is false: nothing happened, publish again.
        """
        try:
            rules = self._follow_keeping(staged)
            if rules.retention is not None and staged.is_new and holds.MODE not in staged.facts:
                staged.facts = {**staged.facts, **rules.retention.facts(self._now_ns() / 1e9)}
            if condition is None and (published := self._publish_plain(staged, wait)) is not None:
                return published
            if staged.spot.view is not self._volume.view:
                self._follow_placement(staged, wait)
            commit = self._publish_coded if staged.bck in self._volume.coded else self._publish_whole
            if rules.event is not None and not staged.is_moved:
                published = self._publish_announced(commit, staged, rules.event, condition, wait)
            else:
                published = commit(staged, condition, wait)
        except PromisesMore:
            return self.publish(staged, condition, wait)
        except OSError as error:
            raise translate(error, staged.path) from error
        if rules.indexes_shards:
            self._tell_of_shard(staged)
        return published

    def current(self, bck: Bck, rules: WriteRules) -> WriteRules:
        """The same rules with what becomes of replaced versions now, which may be another since they were made."""
        kept = self._volume.keeping.get(bck)
        if kept is None or kept == rules.keeping.value:
            return rules
        return msgspec.structs.replace(rules, keeping=Keeping(kept))

    def require_current(self, bck: Bck, rules: WriteRules) -> None:
        """Raise `PromisesMore` unless these are the rules of now. Asked under the object's lock."""
        if self._volume.keeping and self.current(bck, rules) is not rules:
            raise PromisesMore

    def _follow_keeping(self, staged: Staged) -> WriteRules:
        """The rules of now for a write that may have begun by others."""
        if self._volume.keeping:
            rules = self.current(staged.bck, staged.rules)
            if rules is not staged.rules and staged.is_moved:
                raise NotReady(f'bucket "{staged.bck.cname()}" keeps versions since a moment ago: try again')
            staged.rules = rules
        return staged.rules

    def _publish_plain(self, staged: Staged, wait: bool) -> ObjectMeta | None:
        """Commit where the file needs nothing but its name; None: nothing has happened, and there may be more to do.

        What is decided here, and asked under the lock, is what `_publish_locked` decides and asks. Raise as that does.
        """
        rules, volume, spot, bck = staged.rules, self._volume, staged.spot, staged.bck
        view, mountpath = volume.view, spot.mountpath
        if (
            rules.keeping is not Keeping.NONE
            or rules.event is not None
            or rules.fsync
            or rules.indexes_shards
            or spot.view is not view
            or view.is_unsettled
            or mountpath.loss is not None
            or not mountpath.is_ordered
            or staged.times_ns is not None
            or staged.before_rename is not None
        ):
            return None
        disk, stripes, key, stored = self._disk, mountpath.stripes, spot.key, None
        stripes.acquire(key, wait)
        try:
            if bck in volume.mirrored or bck in volume.coded or bck in volume.keeping:
                return None
            volume.require_place(bck, key, mountpath, staged.epoch, is_moved=staged.is_moved)
            if rules.versioning or staged.is_claimed or staged.custom is None:
                stored = read_meta(disk, spot.path)
            decided = decide(staged, stored, view.generation, self._now_ns())
            disk.setxattr(staged.fd, metadata.XATTR, metadata.encode(decided))
            try:
                disk.rename(staged.path, spot.path)
            except OSError:  # most likely a directory is missing, or in the way
                return None
            if volume.view.is_unsettled:
                self._remove_older(spot, fsync=False)
            return decided
        finally:
            stripes.release(key)

    def _tell_of_shard(self, staged: Staged) -> None:
        if may_have(staged.name):
            self.on_shard(staged.bck, staged.name)

    def _publish_announced(
        self, commit: Commit, staged: Staged, event: Event, condition: Condition | None, wait: bool
    ) -> ObjectMeta:
        """Commit, with a note before the object becomes visible."""
        if not wait:
            raise StripeBusy
        spot, before = staged.spot, staged.before_rename
        with self.announcing(spot, fsync=staged.rules.fsync) as announcement:

            def note(meta: ObjectMeta) -> None:
                if before is not None:
                    before(meta)
                announcement.note(Change(staged.bck, staged.name, event, False, meta, meta.stamp))

            staged.before_rename = note
            try:
                return commit(staged, condition, wait)
            finally:
                staged.before_rename = before

    @contextlib.contextmanager
    def announcing(self, spot: Spot, *, fsync: bool) -> Iterator["Announcement"]:
        """For a change that is noted in the block: settle it at the end, or retract what has not happened."""
        announcement = Announcement(self.announcer, spot.mountpath.path, fsync)
        try:
            yield announcement
        except BaseException as error:
            if announcement.change is not None:
                announcement.end(is_done=self._may_be_done(spot, announcement.change, error))
            raise
        announcement.end(is_done=True)

    def _may_be_done(self, spot: Spot, change: Change, error: BaseException) -> bool:
        """Whether a change that failed after it was noted may have happened all the same."""
        if change.is_update:
            return True
        if change.is_removal:
            return not isinstance(error, NotFound)
        with contextlib.suppress(OSError):
            stored = self.stored_meta(spot)
            return stored is not None and stored.stamp == change.stamp
        return True

    def arrive(self, staged: Staged, meta: ObjectMeta, *, is_head: bool, wait: bool = True) -> ObjectMeta:
        """Take a version that another target gives: as the latest of its name, or as one below that is still to come.

        Where the name has a latest version already, which came before or from slices, it takes its place among the
        versions by its age. Raise `AlreadyExists` when it is here. Else as `publish`.
        """
        try:
            if staged.spot.view is not self._volume.view:
                self._follow_placement(staged, wait)
            if staged.rules.fsync:
                self._disk.fsync(staged.fd)
            with self.followed(staged.bck):
                return self._arrive(staged, meta, is_head, wait)
        except OSError as error:
            raise translate(error, staged.path) from error

    def _arrive(self, staged: Staged, meta: ObjectMeta, is_head: bool, wait: bool) -> ObjectMeta:
        step = partial(self._arrive_locked, staged, meta, is_head)
        taken, is_head, is_complete = self.locked(staged.bck, staged.spot, step, wait)
        if is_complete and staged.bck in self._volume.mirrored:
            self.on_mirrored(staged.bck, staged.name)
        if is_head and not meta.is_marker:
            self.changed(staged.bck, staged.name, staged.spot)
            if staged.rules.indexes_shards:
                self._tell_of_shard(staged)
        else:
            self.shelved(staged.bck, staged.name, DELETED if is_head else meta.version_id or NULL)
        return taken

    def _arrive_locked(self, staged: Staged, meta: ObjectMeta, is_head: bool) -> tuple[ObjectMeta, bool, bool]:
        """The metadata, whether it is the latest version now, and whether there is one."""
        disk, spot, fsync = self._disk, staged.spot, staged.rules.fsync
        self._volume.require_place(staged.bck, spot.key, spot.mountpath, staged.epoch, is_moved=staged.is_moved)
        cname = staged.bck.cname(staged.name)
        if staged.size != meta.size:
            raise BadRequest(f"{cname}: got {staged.size} bytes of a version of {meta.size}")
        head = self._versions.head(spot)
        if head is not None and head.meta is None:
            raise CorruptMetadata(f"{cname} is damaged here: overwrite or delete it")
        succession = None
        if head is not None:
            succession = self._versions.arriving(spot, staged.rules, head, meta, staged.times_ns)
            if succession.is_there:
                raise AlreadyExists(f"{cname} is here already")
            is_head = not succession.is_below
        if is_head:
            stored = head.meta if head is not None else None
            meta = msgspec.structs.replace(meta, stamp=max(self.next_stamp(meta), self.next_stamp(stored)))
        disk.setxattr(staged.fd, metadata.XATTR, metadata.encode(meta))
        if staged.times_ns is not None:
            disk.utime(staged.fd, ns=staged.times_ns)
        if fsync:
            disk.fsync(staged.fd)
        if is_head and succession is not None:
            succession.keep()
            if staged.bck in self._volume.mirrored:
                self.version_copies.follow(spot, succession)
        if is_head and not meta.is_marker:
            tree.install(disk, staged.path, spot.root, spot.path, fsync=fsync)
        else:
            self._versions.take(spot, staged.path, meta, is_head=is_head, fsync=fsync)
        if is_head and succession is not None:
            self._versions.succeed(spot, succession, is_marker=meta.is_marker)
            self.shelved(staged.bck, staged.name, *succession.touched)
        return meta, is_head, is_head or head is not None

    def followed(self, bck: Bck) -> contextlib.AbstractContextManager[None]:
        """To be held around a change after which copies or slices are to be made, until that was told.

        A process that is killed in between leaves a mark for the next one.
        """
        if bck not in self._volume.coded and bck not in self._volume.mirrored:
            return _NOT_FOLLOWED
        return self._followed(bck)

    @contextlib.contextmanager
    def _followed(self, bck: Bck) -> Iterator[None]:
        with contextlib.ExitStack() as held:
            if bck in self._volume.mirrored:
                held.enter_context(self.around_mirrored())
            if bck in self._volume.coded:
                held.enter_context(self.around_coded())
            yield

    def changing(
        self, bck: Bck, name: str, spot: Spot, *, is_delete: bool = False, fsync: bool = False
    ) -> ObjectMeta | None:
        """Before an object is replaced or deleted, and before its lock is taken: its slices must not outlive it.
        `fsync`: nor come back when a target loses power.

        Return what is kept as slices alone: without them it could not be read, so they go when it has gone
        (`changed`).
        """
        if bck not in self._volume.coded or newest_file(self._disk, self._volume.view, spot) is None:
            return None
        stored = self.stored_meta(spot)
        if stored is not None and stored.cut is not None:
            return stored
        stamp = stored.stamp if stored is not None else self.next_stamp(None)
        self.before_coded(bck, name, stamp, is_delete, fsync)
        return None

    def changed(self, bck: Bck, name: str, spot: Spot, cut: ObjectMeta | None = None, *, fsync: bool = False) -> None:
        """After an object was changed, or removed, or was to be. `cut`: what `changing` returned."""
        if bck not in self._volume.coded:
            return
        if cut is not None:
            now = self.stored_meta(spot)
            if now is None or now.stamp > cut.stamp:
                self.slicing.drop_older(bck, name, cut.stamp, is_delete=now is None, is_synced=fsync)
        self.on_coded(bck, name)

    def shelved(self, bck: Bck, name: str, *entries: str) -> None:
        """Something was put on the shelf of a name, or does not count there any more: its slices follow."""
        if bck in self._volume.coded:
            for entry in entries:
                self.on_coded(bck, key_of(name, entry))

    def unshelving(self, bck: Bck, name: str, spot: Spot, version_id: str, *, fsync: bool = False) -> None:
        """Before a version is removed or replaced, and before its lock is taken: its slices go first.

        By its own stamp: if it stays after all, it gets slices again.
        """
        version = self._versions.find(spot, version_id) if bck in self._volume.coded else None
        if version is not None:
            stamp = version.meta.stamp if version.meta is not None else self.next_stamp(None)
            self.before_coded(bck, key_of(name, version_id), stamp, True, fsync)

    def restore_lost(self, bck: Bck, name: str, spot: Spot, version_id: str = "", *, keeps_versions: bool) -> None:
        """Before a change that keeps what is there, or asks whether it may go: restore it from slices if it is lost.

        That is the latest version, and `version_id`. What becomes a kept version, or the latest one again, is read and
        compared: with the change its slices go, and others are cut of its file. Called without a lock; may wait for
        other targets. Raise as `Slicing.restore`.
        """
        if bck not in self._volume.coded:
            return
        head = self._versions.head(spot)
        is_lost = head is None or head.meta is None or (keeps_versions and not self._is_intact(head))
        if is_lost and not self.slicing.restore(bck, name) and keeps_versions and head is None:
            self.slicing.restore(bck, key_of(name, DELETED))
        if version_id:
            version = self._versions.find(spot, version_id)
            if version is None or version.meta is None:
                self.slicing.restore(bck, key_of(name, version_id))
            elif version.entry in ("", DELETED):
                heir = next(self._versions.kept(spot, version), None)
                if heir is not None and not self._is_intact(heir):
                    self.slicing.restore(bck, key_of(name, heir.entry))

    def _is_intact(self, version: Version) -> bool:
        """Whether the content of a version is what was stored."""
        meta = version.meta
        if meta is None or meta.cut is not None or meta.is_marker:
            return meta is not None
        if not version.is_whole:
            return False
        digests = workfile.Digests(checksum.NONE, meta.promised, is_stored=True)
        try:
            fd = self._disk.open(version.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except FileNotFoundError:  # it was replaced this moment
            return True
        try:
            workfile.hash_content(self._disk, fd, meta.size, digests)
            digests.verify(Bck(""), version.path)
        except (ContentDamaged, OSError):
            return False
        finally:
            self._disk.close(fd)
        return True

    def locked(self, bck: Bck, spot: Spot, step: Callable[[], T], wait: bool = True, *, restore_lost: bool = True) -> T:
        """Run `step` under the object's lock, again after each file it met where a directory must be."""
        stripes = spot.mountpath.stripes
        while True:
            stripes.acquire(spot.key, wait)
            try:
                if restore_lost and bck in self._volume.mirrored:
                    self._restore_lost(spot, wait)
                return step()
            except tree.FileInTheWay as obstacle:
                blocking = obstacle
            except tree.BucketGone:
                raise self.bucket_gone(bck, spot) from None
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
            raise self.bucket_gone(bck, spot) from None
        finally:
            stripes.release(spot.key)

    def create_work(self, bck: Bck, spot: Spot, name: str = "") -> tuple[str, int]:
        """Open a new work file for an object: its path and descriptor.

        Raise `BucketNotFound`, `NotReady` when its disk is what is not there, `OutOfSpace`, `DiskFailure`.
        """
        path = f"{spot.work}/{name or self.new_work_name()}"
        try:
            return path, workfile.create(self._disk, path, bck)
        except BucketNotFound:
            raise self.bucket_gone(bck, spot) from None

    def bucket_gone(self, bck: Bck, spot: Spot) -> BucketNotFound:
        """The error when a bucket has no directory any more. Raise `NotReady` when its disk is what is not there, or
        the bucket is there all the same: a work file went, which nobody may take for the end of the bucket.
        """
        self._volume.require_whole(bck, spot.key)
        if self._volume.is_known(bck):
            raise NotReady(f"a file that was being written for {bck.cname()} is gone from {spot.work}: try again")
        return BucketNotFound(bck.cname())

    def stored_meta(self, spot: Spot) -> ObjectMeta | None:
        """Metadata of the object as the next writer sees it; None when there is none or it is damaged.

        Raise `OSError`.
        """
        if not self._volume.view.is_unsettled and spot.mountpath.loss is None:
            return read_meta(self._disk, spot.path)
        found = newest_file(self._disk, self._volume.view, spot)
        return read_meta(self._disk, found[0]) if found else None

    def was_made(self, spot: Spot, meta: ObjectMeta) -> bool:
        """Whether an object with this metadata is there, or what may have replaced it. Raise `OSError`."""
        if meta.version_id:
            return self._versions.find(spot, meta.version_id) is not None
        stored = self.stored_meta(spot)
        return stored is not None and stored.stamp >= meta.stamp

    def ask(self, condition: Condition | None, bck: Bck, spot: Spot, stored: ObjectMeta | None) -> None:
        """Ask a condition about what is stored.

        Raise what it raises, `CorruptMetadata` or `NotReady` when nobody can tell.
        """
        if condition is None:
            return
        if stored is None and newest_file(self._disk, self._volume.view, spot) is not None:
            raise CorruptMetadata(
                f"{spot.path} has lost its metadata, so whether a condition holds cannot be told: "
                f"overwrite or delete the object without a condition"
            )
        if stored is None:
            self._volume.require_whole(bck, spot.key)
        condition(stored)

    def require_all(self, bck: Bck) -> None:
        """Before an object is removed: raise `NotReady` when a mountpath that may have another file of it, an older one
        or a copy, is not there. Its disk would bring the object back.
        """
        if self._volume.view.is_unsettled or bck in self._volume.mirrored:
            self._volume.require_mounted()

    def remove_strays(self, spot: Spot, *, fsync: bool = False) -> bool:
        """Remove the object's files from mountpaths other than its owner; return whether there were any."""
        removed = False
        for mountpath in self._volume.view.available:
            if mountpath is not spot.mountpath:
                root, path = spot.on(mountpath, spot.root), spot.on(mountpath, spot.path)
                removed |= tree.remove(self._disk, root, path, fsync=fsync)
        return removed

    def next_stamp(self, stored: ObjectMeta | None) -> tuple[int, int]:
        """The stamp of what is written now in place of `stored`."""
        stamp = (self._volume.view.generation, self._now_ns())
        return max(stamp, (stored.stamp[0], stored.stamp[1] + 1)) if stored is not None else stamp

    def _restore_lost(self, spot: Spot, wait: bool) -> None:
        """Before an object of a mirrored bucket is changed: if it was lost and has a copy, make that the object.

        Also where a mountpath has brought back an older one.
        """
        if self._volume.view.is_unsettled:
            found = newest_file(self._disk, self._volume.view, spot)
            copy = self.copies.newest(spot) if found is not None else None
            if found is not None and (copy is None or not copy.is_newer_than(read_meta(self._disk, found[0]))):
                return
        elif self._disk.access(spot.path, os.F_OK):
            return
        else:
            copy = None
        if not wait and (copy is not None or self.copies.newest(spot) is not None):
            raise StripeBusy
        if copy is not None and copy.meta is not None:
            self.make_way(spot, copy.meta)
            self.copies.install(spot, copy)
        elif not self.copies.promote(spot):
            self.version_copies.restore_marker(spot)

    def make_way(self, spot: Spot, meta: ObjectMeta) -> None:
        """Before the copy of a later write takes the place of what a mountpath has brought back, under its lock: where
        that is another version it stays one. Raise `OSError`.
        """
        head = self._versions.head(spot) if spot.root.endswith(layout.OBJECTS) else None
        if head is not None and head.meta is not None and head.id != (meta.version_id or NULL):
            self._versions.shelve(spot, head)

    def _publish_whole(
        self, staged: Staged, condition: Condition | None, wait: bool, *, is_coded: bool = False
    ) -> ObjectMeta:
        if staged.rules.fsync and staged.size > _SYNCED_TOGETHER_BYTES_MAX:  # it takes long: not under the lock
            self._disk.fsync(staged.fd)
        mirroring = self._volume.mirrored.get(staged.bck)
        publish = partial(self._publish_locked, (mirroring is not None, is_coded), staged, condition, wait)
        if mirroring is not None:
            with self.followed(staged.bck):
                return self._publish_mirrored(staged, wait, mirroring, publish)
        return self.locked(staged.bck, staged.spot, publish, wait, restore_lost=False)

    def _publish_coded(self, staged: Staged, condition: Condition | None, wait: bool) -> ObjectMeta:
        if not wait:
            raise StripeBusy
        with self.followed(staged.bck):
            return self._publish_followed(staged, condition)

    def _publish_followed(self, staged: Staged, condition: Condition | None) -> ObjectMeta:
        bck, name, keeping = staged.bck, staged.name, staged.rules.keeping
        if keeping is not Keeping.NONE and not staged.is_moved:
            self.restore_lost(bck, name, staged.spot, keeps_versions=True)
        if condition is not None and (stored := self.stored_meta(staged.spot)) is not None:
            condition(stored)  # refused now, it costs no slices
        keys = (name, key_of(name, staged.version_id)) if staged.version_id else (name,)
        staged.after = max(staged.after, *(self.slicing.last_stamp(bck, key) for key in keys))
        try:
            plan = self.slicing.plan(staged) if keeping is Keeping.NONE else None  # a version is kept as a whole
            if plan is not None:
                with self.turns.of(bck, name):
                    return self._publish_sliced(staged, condition, plan)
            cut = self.changing(bck, name, staged.spot)
            if keeping is Keeping.SUSPENDED:
                self.unshelving(bck, name, staged.spot, NULL)
            decided = self._publish_whole(staged, condition, wait=True, is_coded=True)
            if cut is not None:
                self.slicing.drop_older(bck, name, cut.stamp, is_delete=False, is_synced=False)
            return decided
        finally:  # also when it was refused: its slices may be gone
            self.on_coded(bck, name)
            if keeping is Keeping.SUSPENDED:
                self.shelved(bck, name, NULL)

    def _publish_sliced(self, staged: Staged, condition: Condition | None, plan: Plan) -> ObjectMeta:
        """Store the slices aside, make the object, then let them count: killed in between, it is the old or the new."""
        bck, spot = staged.bck, staged.spot
        for _ in range(_SLICED_ATTEMPTS_MAX):
            self._volume.require_open(bck, is_moved=staged.is_moved)
            self._volume.require_owned(spot.key)
            stored = self.stored_meta(spot)
            self.ask(condition, bck, spot, stored)
            decided = decide(staged, stored, self._volume.view.generation, self._now_ns())
            prepared = self.slicing.prepare(staged, decided, plan, is_replacing=self._replaces(spot, stored))
            try:
                is_done = self.locked(bck, spot, partial(self._publish_prepared, staged, stored, prepared))
            except BaseException:
                prepared.drop()
                raise
            if is_done:
                workfile.discard(self._disk, staged.path)
                prepared.keep()
                return prepared.meta
            prepared.drop()
        raise Busy(f"{bck.cname(staged.name)} keeps being changed")

    def _publish_prepared(self, staged: Staged, stored: ObjectMeta | None, prepared: Prepared) -> bool:
        """Give the object its name, under its lock; False: it was changed since `stored`, or slices are elsewhere."""
        disk, spot, rules, meta = self._disk, staged.spot, staged.rules, prepared.meta
        self.require_current(staged.bck, rules)
        self._volume.require_place(staged.bck, spot.key, spot.mountpath, staged.epoch, is_moved=staged.is_moved)
        if self.stored_meta(spot) != stored or not prepared.is_current():
            return False
        if staged.before_rename is not None:
            staged.before_rename(meta)
        path, fd = staged.path, staged.fd
        times = staged.times_ns or (disk.fstat(fd).st_atime_ns, disk.fstat(fd).st_mtime_ns)
        if meta.cut is not None:
            path, fd = self.create_work(staged.bck, spot)
        try:
            disk.setxattr(fd, metadata.XATTR, metadata.encode(meta))
            disk.utime(fd, ns=times)
            if rules.fsync:
                disk.fsync(fd)
            elif meta.cut is None and not spot.mountpath.is_ordered and self._replaces(spot, stored):
                disk.write_out(fd)
            tree.install(disk, path, spot.root, spot.path, fsync=rules.fsync)
        finally:
            if fd != staged.fd:
                workfile.discard(disk, path)
                disk.close(fd)
        if self._volume.view.is_unsettled:
            self._remove_older(spot, fsync=rules.fsync)
        return True

    def _publish_mirrored(
        self, staged: Staged, wait: bool, mirroring: Mirroring, publish: Callable[..., ObjectMeta]
    ) -> ObjectMeta:
        """Commit, with copies made before or soon after. When it fails, what was there may have lost its copies."""
        if staged.rules.all_copies and not wait:
            raise StripeBusy
        try:
            if staged.rules.all_copies:
                stored = self._publish_with_copies(staged, mirroring, publish)
            else:
                stored = self.locked(staged.bck, staged.spot, publish, wait)
        except StripeBusy:
            raise
        except BaseException:
            self.on_mirrored(staged.bck, staged.name)
            raise
        is_whole = staged.rules.all_copies and self._volume.mirrored.get(staged.bck) == mirroring
        if not is_whole or staged.rules.keeping is not Keeping.NONE:  # what it replaced may lack copies
            self.on_mirrored(staged.bck, staged.name)
        return stored

    def _publish_with_copies(
        self, staged: Staged, mirroring: Mirroring, publish: Callable[..., ObjectMeta]
    ) -> ObjectMeta:
        disk, spot = self._disk, staged.spot
        places = self.copies.places(spot, mirroring.copies)
        if len(places) < mirroring.copies - 1:
            raise NotReady(
                f"{staged.bck.cname(staged.name)} must have {mirroring.copies} copies and this target has "
                f"{len(places) + 1} mountpaths: attach more, or ask for fewer copies"
            )
        asides: dict[Mountpath, str] = {}
        try:
            for mountpath in places:
                asides[mountpath] = self.copies.stage(staged.fd, disk.fstat(staged.fd), spot, mountpath)
            return self.locked(staged.bck, spot, partial(publish, asides))
        finally:
            for aside in asides.values():
                workfile.discard(disk, aside)

    def _place_copies(self, staged: Staged, decided: ObjectMeta, asides: dict[Mountpath, str], spot: Spot) -> None:
        """Put copies in the place of older ones, before the object itself gets its name; all or none."""
        disk = self._disk
        self.copies.drop(spot)
        found = disk.fstat(staged.fd)
        try:
            if asides and spot.view is not self._volume.view:
                raise NotReady("the set of mountpaths changed meanwhile: try again")
            for mountpath, aside in asides.items():
                disk.setxattr(aside, metadata.XATTR, metadata.encode(decided))
                disk.utime(aside, ns=(found.st_atime_ns, found.st_mtime_ns))
                self.copies.place(aside, spot, mountpath, fsync=staged.rules.fsync)
        except BaseException:
            self.copies.drop(spot)
            raise

    def _publish_locked(
        self,
        promised: tuple[bool, bool],
        staged: Staged,
        condition: Condition | None,
        wait: bool,
        asides: dict[Mountpath, str] | None = None,
    ) -> ObjectMeta:
        """`promised`: whether the bucket is known as mirrored, as erasure-coded. Raise `PromisesMore`."""
        disk, volume, spot, rules = self._disk, self._volume, staged.spot, staged.rules
        view, stored = volume.view, None
        if (volume.mirrored or volume.coded) and (
            (staged.bck in volume.mirrored) > promised[0] or (staged.bck in volume.coded) > promised[1]
        ):
            raise PromisesMore
        self.require_current(staged.bck, rules)
        volume.require_place(staged.bck, spot.key, spot.mountpath, staged.epoch, is_moved=staged.is_moved)
        is_asked = rules.versioning or staged.is_claimed or staged.custom is None or condition is not None
        if is_asked or promised[1] or view.is_unsettled:  # a slice that cannot be told must be outdated by the stamp
            stored = self.stored_meta(spot)
        if condition is not None:
            self.ask(condition, staged.bck, spot, stored)
        decided = decide(staged, stored, view.generation, self._now_ns())
        succession = None
        if rules.keeping is not Keeping.NONE:
            succession = self._versions.succession(spot, rules, staged.version_id)
            decided = succession.name(decided)
            if succession.is_there:
                raise AlreadyExists(f"{staged.bck.cname(staged.name)} has the version {staged.version_id} already")
        decided = self._marked(staged, decided)
        value = metadata.encode(decided)
        if (view.is_unsettled or not spot.mountpath.is_ordered) and not rules.fsync and self._replaces(spot, stored):
            if not wait:
                raise StripeBusy
            disk.write_out(staged.fd)
        if staged.before_rename is not None:
            staged.before_rename(decided)
        disk.setxattr(staged.fd, metadata.XATTR, value)
        if staged.times_ns is not None:
            disk.utime(staged.fd, ns=staged.times_ns)
        if rules.fsync:
            disk.fsync(staged.fd)
        if succession is not None and succession.is_below:
            if staged.bck in volume.mirrored:
                self._place_copies(staged, decided, asides or {}, kept_spot(spot, decided.version_id))
            self._versions.take(spot, staged.path, decided, is_head=False, fsync=rules.fsync)
            self.shelved(staged.bck, staged.name, decided.version_id)
            return decided
        if succession is not None:
            succession.keep()
        if staged.bck in volume.mirrored:
            if succession is not None:
                self.version_copies.follow(spot, succession)
            self._place_copies(staged, decided, asides or {}, spot)
        tree.install(disk, staged.path, spot.root, spot.path, fsync=rules.fsync)
        if volume.view.is_unsettled:
            self._remove_older(spot, fsync=rules.fsync)
        if succession is not None:
            succession.settle()
            self.shelved(staged.bck, staged.name, *succession.touched)
        return decided

    def _marked(self, staged: Staged, decided: ObjectMeta) -> ObjectMeta:
        event = staged.rules.event
        if event is None or staged.is_moved:
            return decided
        return self.announcer.marked(staged.bck, staged.name, event, decided)

    def _remove_older(self, spot: Spot, *, fsync: bool) -> None:
        """After the object got its name: remove what unsettled mountpaths may have of it."""
        with contextlib.suppress(OSError):  # an older copy that stays is not served: the newest one wins
            if self._has_strays(spot):
                if not fsync:
                    self._make_durable(spot)
                self._volume.moved.note(spot.bucket, spot.name)
                self.remove_strays(spot, fsync=fsync)

    def _make_durable(self, spot: Spot) -> None:
        """Before files on other disks go: what stands for them is on its own."""
        placed = tree.find(self._disk, spot.path)
        if placed is not None:
            workfile.fsync_path(self._disk, placed[0])
            tree.fsync_parents(self._disk, spot.root, placed[0])

    def _has_strays(self, spot: Spot) -> bool:
        others = (one for one in self._volume.view.available if one is not spot.mountpath)
        return any(tree.find(self._disk, spot.on(one, spot.path)) is not None for one in others)

    def _replaces(self, spot: Spot, stored: ObjectMeta | None) -> bool:
        """Whether there is something that a power loss could take together with what comes in its place."""
        return stored is not None or tree.find(self._disk, spot.path) is not None

    def _follow_placement(self, staged: Staged, wait: bool) -> None:
        """The set of mountpaths changed while the content was received: take it to the new owner."""
        spot = self._spots.find(staged.bck, staged.name)
        if spot.mountpath is staged.spot.mountpath:
            return
        if not wait or staged.before_rename is not None:
            raise StripeBusy
        path, fd = self.create_work(staged.bck, spot, os.path.basename(staged.path))
        try:
            workfile.copy_content(self._disk, staged.fd, fd, staged.size)
        except BaseException:
            workfile.discard(self._disk, path)
            self._disk.close(fd)
            raise
        workfile.discard(self._disk, staged.path)
        self._disk.close(staged.fd)
        staged.spot, staged.path, staged.fd = spot, path, fd


class PromisesMore(Exception):
    """The bucket became mirrored or erasure-coded, or keeps versions, since a change began: nothing happened, begin
    again.

    Who relies on that begins when nobody is under a lock that took it before (`Volume.mirror_buckets`, `code_buckets`,
    `keep_versions`), so nothing is missed by both.
    """


class Announcement:
    """One change on its way, noted at most once at a time."""

    def __init__(self, announcer: Announcer, mountpath: str, fsync: bool) -> None:
        self._announcer = announcer
        self._mountpath = mountpath
        self._fsync = fsync
        self._note: Note | None = None
        self.change: Change | None = None

    def note(self, change: Change) -> None:
        """Keep a change that is about to happen, in the place of one that was noted before and did not."""
        self.end(is_done=False)
        self._note, self.change = self._announcer.note(self._mountpath, change, fsync=self._fsync), change

    def end(self, *, is_done: bool) -> None:
        """It has happened, or has not."""
        note, self._note = self._note, None
        if note is not None and is_done:
            note.settle()
        elif note is not None:
            note.retract()


def _ignore(_bck: Bck, _name: str) -> None:
    """Nobody makes copies here."""


def _ignore_change(_bck: Bck, _name: str, _stamp: tuple[int, int], _is_delete: bool, _is_synced: bool) -> None:
    """There are no slices."""
