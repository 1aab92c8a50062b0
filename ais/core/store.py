"""The objects of one target: opening, writing, removing, renaming them. Synchronous; knows nothing of HTTP or asyncio.

`open`, `head`, `delete` and small writes make a few quick system calls; what reads or copies content belongs into the
mountpath's pool. Names and bucket identities are checked by the caller (`ais.base.names`). Every `OSError` leaves as
`OutOfSpace`, `DiskFailure` or another error of `ais.base.errors`.
"""

import contextlib
import errno
import os
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

import msgspec

from ais.api import checksum
from ais.api.bucket import Bck
from ais.base.errors import (
    BadRequest,
    Busy,
    CorruptMetadata,
    DeleteMarker,
    HandleNotFound,
    NotReady,
    ObjectNotFound,
    Unsupported,
    VersionNotFound,
)
from ais.core import holds, replicas, returning, sealing, tree, workfile
from ais.core import meta as metadata
from ais.core.announcing import Announcer, Change, Event
from ais.core.appender import Appender, Handle, drop_idle, reopen
from ais.core.index_files import IndexFiles, may_have
from ais.core.meta import ObjectMeta
from ais.core.multipart import Uploads
from ais.core.publish import Announcement, Around, Condition, PromisesMore, Publisher
from ais.core.sealing import Keyring, NoKeyring, Seal
from ais.core.slicing import Slicing, Turns, split_key
from ais.core.spots import RACY_NS, Known, Spot, SpotTable, is_torn, newest_file, rank, read_meta, resized
from ais.core.upload_moves import UploadMoves
from ais.core.version_copies import copied_head
from ais.core.versions import DELETED, NULL, Succession, Version, Versions, is_version_id, kept_spot
from ais.core.workfile import Buffer, Digests, Keeping, Paced, Staged, WriteRules
from ais.core.writer import Arrival, SealedWriter, Writer
from ais.env import Env
from ais.env.disk import write_all
from ais.fs import layout
from ais.fs.failures import disk_failures, translate
from ais.fs.locks import stripe_of
from ais.fs.mountpath import Mountpath
from ais.fs.names import SELF
from ais.fs.removed import OfVersions
from ais.fs.volume import Volume

T = TypeVar("T")
_INSIDE = "/" + SELF
_RENAME_ATTEMPTS_MAX = 10
_LOOKS_MAX = 100
_READ = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW


@dataclass(frozen=True, slots=True)
class StoreLimits:
    """Settings of a store. An entry of the table is about 1 KiB, with the caller's annotation."""

    spots_max: int = 32768


class Removed(NamedTuple):
    """What a delete did.

    `meta`: of the object, None when that was damaged or there was none. `marker_id`: version ID of the delete marker
    that was made, empty for a null marker; None: no marker, the object is gone for good.
    """

    meta: ObjectMeta | None
    marker_id: str | None


class OpenObject:
    """An object as it was when it was opened; later writes do not change what `fd` reads. The caller closes `fd`.

    `known.annotation` is the caller's to keep what it derives from `meta` and `stat`; None when nothing is remembered.
    `key` opens encrypted content (`ais.core.content`): `stat` has the size of the content then, `meta` is of the file.
    """

    __slots__ = ("fd", "key", "known", "meta", "mountpath", "spot", "stat")

    def __init__(
        self, fd: int, found: os.stat_result, meta: ObjectMeta, spot: Spot, mountpath: Mountpath, known: Known | None
    ) -> None:
        self.fd = fd
        self.stat = found
        self.meta = meta
        self.spot = spot
        self.mountpath = mountpath
        self.known = known
        self.key: bytes | None = None


class Store:
    """See the module. One per process; any thread may call."""

    def __init__(self, volume: Volume, env: Env, *, limits: StoreLimits | None = None) -> None:
        self.volume = volume
        self._disk = env.disk
        self._clock = env.clock
        self._sure_ns: Callable[[], int] = env.clock.now_ns
        self._spots = SpotTable(volume, (limits or StoreLimits()).spots_max)
        self._versions = Versions(volume, env)
        tag = f"{os.getpid():x}.{env.rng.getrandbits(32):x}"
        volume.of_versions = OfVersions(returning.keep, returning.drop_null)
        self._publisher = Publisher(volume, env, self._spots, self._versions, tag)
        self.copies = self._publisher.copies
        self.version_copies = self._publisher.version_copies
        self.versions = self._versions
        self.uploads = Uploads(volume, env, self._spots, self._publisher)
        self.upload_moves = UploadMoves(self.uploads, env.disk)
        self.indexes = IndexFiles(env.disk, self._publisher.create_work)
        self.keyring: Keyring = NoKeyring()
        """Who has the keys of encrypted objects."""

    def open(self, bck: Bck, name: str, version_id: str | None = None, *, sealed: bool = False) -> OpenObject:
        """Open an object for reading: its latest version, or the one with this ID (`null`: the null version).

        `sealed`: encrypted content as it lies there; else with what opens it (`unseal`). Raise `ObjectNotFound`,
        `DeleteMarker` when that version is one, `VersionNotFound`, `CorruptMetadata`, `DiskFailure`, and as `unseal`.
        """
        opened = self._open(bck, name, version_id)
        return opened if sealed or not sealing.is_sealed(opened.meta) else self.unseal(bck, name, opened)

    def unseal(self, bck: Bck, name: str, opened: OpenObject) -> OpenObject:
        """An open object with the key of its content if it is encrypted; closed when there is no such key here.

        Raise `Unsupported` when its client has the key, `NotReady`, `CorruptMetadata`.
        """
        if not sealing.is_sealed(opened.meta):
            return opened
        try:
            opened.key = self.keyring.open(opened.meta.facts)
        except BaseException as error:
            self._disk.close(opened.fd)
            if isinstance(error, Unsupported):
                raise Unsupported(f"{bck.cname(name)}: {error}") from None
            raise
        opened.stat = resized(opened.stat, sealing.size_of(opened.meta))
        return opened

    def _open(self, bck: Bck, name: str, version_id: str | None) -> OpenObject:
        spot = self._spots.find(bck, name, is_read=True)
        if version_id is not None:
            return self._open_version(bck, name, spot, version_id)
        opened = self._open_mirrored(bck, name, spot) if bck in self.volume.mirrored else self._open_latest(spot)
        if opened is not None:
            return opened
        with disk_failures(spot.path):
            marker = self._versions.deletion(spot)
            if marker is None and bck in self.volume.mirrored:
                marker = copied_head(self._versions, spot)
        if marker is not None and marker.meta is not None and marker.is_marker:
            raise DeleteMarker(bck.cname(name), marker.meta.version_id, marker.mtime_ns)
        self.volume.require_whole(bck, spot.key)
        raise ObjectNotFound(bck.cname(name))

    def reopen(self, spot: Spot) -> tuple[int, os.stat_result, Known] | None:
        """Open the object at a spot where it was found before: descriptor (the caller's), stat, what is known of it.

        None when anything has changed since, or it is encrypted: `open` it then. Raises nothing.
        """
        known, view = spot.known, self.volume.view
        if known is None or spot.view is not view or view.is_unsettled or sealing.is_sealed(known.meta):
            return None
        disk = self._disk
        try:
            fd = disk.open(spot.path, _READ)
        except OSError:
            return None
        found = disk.fstat(fd)
        if known.describes(found):
            return fd, found, known
        disk.close(fd)
        return None

    def turn(self, spot: Spot) -> int:
        """A number for `is_untouched`; take it before looking at the object."""
        return spot.mountpath.stripes.turns[stripe_of(spot.key)]

    def is_untouched(self, spot: Spot, turn: int) -> bool:
        """Whether this process has not written the object since `turn` was taken. Needs no system call."""
        return spot.view is self.volume.view and spot.mountpath.stripes.turns[stripe_of(spot.key)] == turn

    def recheck(self, spot: Spot) -> bool:
        """Whether the object at a spot is still the one that `spot.known` describes. Raises nothing."""
        known, view = spot.known, self.volume.view
        if known is None or spot.view is not view or view.is_unsettled:
            return False
        try:
            return known.describes(self._disk.lstat(spot.path))
        except OSError:
            return False

    def head(self, bck: Bck, name: str, version_id: str | None = None) -> OpenObject:
        """As `open`, but `fd` is closed already and -1."""
        opened = self.open(bck, name, version_id, sealed=True)
        self._disk.close(opened.fd)
        opened.fd = -1
        return opened

    def put(
        self, bck: Bck, name: str, rules: WriteRules, content: Buffer, facts: dict[str, str] | None = None
    ) -> ObjectMeta:
        """Store a small object in one go; return its metadata. The same as to write and to commit with a `writer`.

        Raise `StripeBusy` when the object's lock is taken, `MountpathStalled` when writing would take long, and as
        `writer` and `Writer.commit`; nothing is left then.
        """
        spot, size, disk = self._spots.find(bck, name), len(content), self._disk
        mountpath = spot.mountpath
        started_s = mountpath.begin_write(size, self.volume.limits.out_of_space_pct)
        digest = checksum.compute(rules.checksum_kind, content)
        path, fd = self._publisher.create_work(bck, spot)
        staged = Staged(bck, name, rules, spot, path, fd, {}, size=size, checksum=digest, facts=facts or {})
        try:
            written = disk.write(fd, content)
            if written < size:
                write_all(disk, fd, content[written:])
            mountpath.wrote(started_s)
            return self._publisher.publish(staged, None, False)
        except OSError as error:
            workfile.discard(disk, path)
            raise translate(error, path) from error
        except BaseException:
            workfile.discard(disk, path)
            raise
        finally:
            disk.close(fd)

    def rewrite(self, bck: Bck, name: str, rules: WriteRules, paced: Paced) -> None:
        """Store an object again in the form that its bucket asks for now; nothing happens if it is changed meanwhile.

        Blocks. Raise as `copy`.
        """
        opened = self.open(bck, name, sealed=True)

        def unchanged(stored: ObjectMeta | None) -> None:
            if stored != opened.meta:
                raise Busy(f"{bck.cname(name)} was changed meanwhile")

        try:
            with contextlib.suppress(Busy):
                self._copy(bck, name, opened, bck, name, rules, is_move=True, condition=unchanged, paced=paced)
        finally:
            self._disk.close(opened.fd)

    def writer(
        self,
        bck: Bck,
        name: str,
        rules: WriteRules,
        *,
        custom: dict[str, str] | None = None,
        claimed: tuple[str, str] | None = None,
        size_hint: int = 0,
        version: str | None = None,
        times_ns: tuple[int, int] | None = None,
        facts: dict[str, str] | None = None,
        is_stored: bool = False,
        is_moved: bool = False,
        after: tuple[int, int] = (0, 0),
        runs: tuple[tuple[int, int], ...] = (),
        version_id: str = "",
        seal: Seal | None = None,
        is_as_stored: bool = False,
    ) -> Writer:
        """Begin to write an object. `size_hint`: announced size; `version`, `times_ns` (atime, mtime): exactly these.

        What is written is encrypted with `seal`, else as the rules say, but for what is so already (its `facts` have a
        key) or `is_as_stored`: it was in this bucket before as it is.

        `runs`: parts of which it was made. `version_id`: as of `Staged`, in a bucket that keeps versions; when it has
        that one already, committing raises `AlreadyExists`. `is_stored`: the content is read from a disk, and `claimed`
        is what it was stored with. `after`, `is_moved`: as of `Staged`. Raise `BadRequest` (custom metadata, checksum
        kind), `BucketNotFound`, `OutOfSpace`, `DiskFailure`.
        """
        if custom:
            metadata.check_custom(custom)
        own_kind = rules.checksum_kind if seal is None else checksum.NONE  # who brings a seal has sums of the content
        if seal is None and rules.sealing is not None and not is_as_stored and sealing.KEY not in (facts or ()):
            seal = self.keyring.seal(rules.sealing)
        digests = Digests(own_kind, claimed, is_stored=is_stored)
        spot = self._spots.find(bck, name)
        path, fd = self._create(bck, spot, size_hint if seal is None else sealing.sealed_size(size_hint))
        staged = Staged(
            bck,
            name,
            rules,
            spot,
            path,
            fd,
            custom or {},
            version,
            is_moved=is_moved,
            times_ns=times_ns,
            is_claimed=digests.is_claimed and seal is None,
            facts=facts or {},
            after=after,
            runs=runs if seal is None else (),
            version_id=version_id,
            epoch=self.volume.epoch,
        )
        if seal is not None:
            return SealedWriter(self._publisher, self._disk, staged, digests, own_kind, seal)
        return Writer(self._publisher, self._disk, staged, digests)

    def successor(self, bck: Bck, name: str, rules: WriteRules, opened: OpenObject, *, size_hint: int) -> Writer:
        """Begin to write what is made of an object and takes its place: encrypted if it was, with its custom metadata.

        Raise as `writer`.
        """
        rules = self._as_encrypted(rules, opened)
        return self.writer(bck, name, rules, custom=opened.meta.custom, size_hint=size_hint)

    def _as_encrypted(self, rules: WriteRules, opened: OpenObject | None) -> WriteRules:
        """Rules for what goes on with an object: it stays encrypted, also where what is new is not."""
        if opened is None or opened.key is None or rules.sealing is not None:
            return rules
        return msgspec.structs.replace(rules, sealing=sealing.wanted_of(opened.meta.facts))

    def arrival(
        self, bck: Bck, name: str, rules: WriteRules, meta: ObjectMeta, times_ns: tuple[int, int], *, is_head: bool
    ) -> Arrival:
        """Begin to receive a version that another target gives, the latest (`is_head`) or one below; see `writer`."""
        spot, digests = self._spots.find(bck, name), Digests(checksum.NONE, meta.promised, is_stored=True)
        path, fd = self._create(bck, spot, meta.size)
        staged = Staged(bck, name, rules, spot, path, fd, times_ns=times_ns)
        return Arrival(self._publisher, self._disk, staged, digests, meta, is_head=is_head)

    def appender(
        self, bck: Bck, name: str, rules: WriteRules, target_id: str, handle: str = "", *, epoch: int | None = None
    ) -> Appender:
        """Begin an append or flush. Without a handle it starts from the present content of the object, if any: blocks.

        `epoch`: as of `Staged`. Raise `BadRequest` (malformed handle), `HandleNotFound`, `Busy`, and as `writer`.
        """
        spot = self._spots.find(bck, name)
        spot.mountpath.check_room(0, self.volume.limits.out_of_space_pct)
        if not handle:
            return self._new_appender(bck, name, spot, rules, target_id, epoch)
        parsed = Handle.parse(handle)
        if not parsed.is_for(spot.key) or parsed.target_id != target_id:
            raise HandleNotFound(f'append handle "{handle}" was not given for {bck.cname(name)} by this target')
        return self._old_appender(bck, name, spot, rules, parsed, epoch)

    def delete(
        self,
        bck: Bck,
        name: str,
        condition: Condition | None = None,
        rules: WriteRules | None = None,
        *,
        is_moved: bool = False,
        keeps_slices: bool = False,
        version_id: str = "",
        since: int | None = None,
    ) -> Removed:
        """Remove an object, or put a delete marker on top when `rules` say that versions are kept.

        `is_moved`: the object lives on elsewhere and is not kept, older versions stay below a marker. `keeps_slices`:
        it has its name on another target now, whose slices these are. `version_id`: the ID that the marker has
        elsewhere, as of `Versions.delete`. `since`: as of `Volume.require_unmoved`. Raise
        `ObjectNotFound` when nothing was there and no marker was made, what `condition` raises, `DiskFailure`.
        """
        while True:
            rules = self._publisher.current(bck, rules or WriteRules())
            announcing: contextlib.AbstractContextManager[Announcement | None] = contextlib.nullcontext()
            if rules.event is not None:
                announcing = self._publisher.announcing(self._spots.find(bck, name), fsync=rules.fsync)
            with contextlib.suppress(PromisesMore), announcing as announcement:
                return self._delete(
                    bck,
                    name,
                    condition,
                    rules,
                    announcement,
                    is_moved=is_moved,
                    keeps_slices=keeps_slices,
                    version_id=version_id,
                    since=since,
                )

    def _delete(
        self,
        bck: Bck,
        name: str,
        condition: Condition | None,
        rules: WriteRules,
        announcement: Announcement | None,
        *,
        is_moved: bool,
        keeps_slices: bool,
        version_id: str,
        since: int | None,
    ) -> Removed:
        spot, fsync, event = self._spots.find(bck, name), rules.fsync, rules.event
        keeps_versions = rules.keeping is not Keeping.NONE
        is_suspended = rules.keeping is Keeping.SUSPENDED and not is_moved

        def check(stored: ObjectMeta | None) -> None:
            self._publisher.ask(condition, bck, spot, stored)
            if is_moved or rules.keeping is not Keeping.ENABLED:
                holds.check(stored, self._now_s)

        def step() -> Removed:
            view = self.volume.view
            try:
                removed = remove()
            except ObjectNotFound:
                if self.volume.view is not view:
                    raise NotReady("the set of mountpaths changed meanwhile: try again") from None
                raise
            if self.volume.view is not view:  # a mountpath that went meanwhile must not bring it back either
                path, keeps_none = spot.path[len(spot.root) + 1 :], not keeps_versions
                self.volume.note_removed(bck, path, fsync=fsync, is_moved=is_moved, keeps_none=keeps_none)
            return removed

        def remove() -> Removed:
            self._publisher.require_current(bck, rules)
            if not is_moved:
                self.volume.require_unmoved(spot.key, since)
            self._publisher.require_all(bck)
            stored = self._publisher.stored_meta(spot)
            check(stored)

            def note(marker_id: str) -> None:
                if announcement is not None and event is not None and (stored is not None or keeps_versions):
                    stamp = self._publisher.next_stamp(stored)
                    announcement.note(Change(bck, name, event, True, stored, stamp, marker_id=marker_id))

            if keeps_versions:
                if is_moved and newest_file(self._disk, self.volume.view, spot) is None:
                    self.volume.require_whole(bck, spot.key)
                    raise ObjectNotFound(bck.cname(name))
                self.volume.require_open(bck)
                marker = self._delete_latest(bck, name, spot, rules, note, keep=not is_moved, version_id=version_id)
                if fsync:
                    self._versions.fsync(spot)
                return Removed(stored, marker.version_id if marker else None)
            note("")
            if stored is not None and stored.cut is not None and not keeps_slices:
                self._publisher.slicing.bury(bck, name, stored, is_synced=fsync)
            # strays and copies first: a crash in between must not bring an older copy back
            self._drop_copies(bck, spot, fsync=fsync, is_moved=is_moved)
            removed = self._publisher.remove_strays(spot, fsync=fsync) if self.volume.view.is_unsettled else False
            if not tree.remove(self._disk, spot.root, spot.path, fsync=fsync) and not removed:
                self.volume.require_whole(bck, spot.key)
                raise ObjectNotFound(bck.cname(name))
            if may_have(name):
                self.indexes.remove(spot, name)
            return Removed(stored, None)

        if bck in self.volume.coded and not is_moved:
            with disk_failures(spot.path):
                self._publisher.restore_lost(bck, name, spot, keeps_versions=keeps_versions)
                if (found := self._publisher.stored_meta(spot)) is not None:
                    check(found)  # refused now, it costs no slices
        changing = self._changing(bck, name, spot, is_delete=True, fsync=fsync)
        with disk_failures(spot.path), contextlib.nullcontext() if keeps_slices else changing:
            if is_suspended:
                self._publisher.unshelving(bck, name, spot, NULL, fsync=fsync)
            try:
                removed = self._publisher.locked(bck, spot, step)
            finally:
                if is_suspended:
                    self._publisher.shelved(bck, name, NULL)
            if removed.marker_id is not None:
                self._tell_mirrored(bck, name)
        return removed

    def delete_version(
        self,
        bck: Bck,
        name: str,
        version_id: str,
        condition: Condition | None = None,
        *,
        bypass: bool = False,
        fsync: bool = False,
        is_ours: bool = True,
        event: Event | None = None,
        since: int | None = None,
    ) -> ObjectMeta | None:
        """Remove one version for good (`null`: the null version); return its metadata, None when that was damaged.

        When it was the latest, the next older one becomes that. `bypass`: also one that is retained in governance mode.
        Durable when `fsync`. Not `is_ours`: also when another target owns the name. `event`: somebody may want to know.
        `since`: as of `Volume.require_unmoved`. Raise `VersionNotFound`,
        `AccessDenied` when it must stay, what `condition` raises, and `DiskFailure`.
        """
        spot = self._spots.find(bck, name)

        is_mirrored = bck in self.volume.mirrored
        touched = {version_id} if is_version_id(version_id) else set()

        def check(version: Version) -> None:
            if condition is not None:
                condition(version.meta)
            holds.check(version.meta, self._now_s, bypass=bypass)

        def begin(version: Version) -> None:
            check(version)
            self._publisher.require_all(bck)
            if event is not None:
                stamp = self._publisher.next_stamp(version.meta)
                announcement.note(Change(bck, name, event, True, version.meta, stamp, is_certain=True))
            self._note_removed(bck, spot, version, fsync=fsync)
            if is_mirrored:
                self.version_copies.drop(spot, version, fsync=fsync)

        def step() -> ObjectMeta | None:
            view = self.volume.view
            if is_ours:
                self.volume.require_unmoved(spot.key, since)
            if is_mirrored:
                self.version_copies.restore(spot)
            removed = self._versions.remove(spot, version_id, begin) if is_version_id(version_id) else None
            if removed is None:
                self.volume.require_whole(bck, spot.key)
                raise VersionNotFound(bck.cname(name), version_id)
            if self.volume.view is not view:
                self._note_removed(bck, spot, removed, fsync=fsync)
            if removed.entry in ("", DELETED):
                heir = self._versions.head(spot)
                touched.update((DELETED, heir.id) if heir is not None and heir.id else (DELETED,))
                if is_mirrored:
                    self.version_copies.promote(spot)
            if fsync:
                self._versions.fsync(spot)
            return removed.meta

        if bck in self.volume.coded and is_ours and is_version_id(version_id):
            with disk_failures(spot.path):
                self._publisher.restore_lost(bck, name, spot, version_id, keeps_versions=True)
                if (found := self._versions.find(spot, version_id)) is not None:
                    check(found)  # refused now, it costs no slices
        announcing = self._publisher.announcing(spot, fsync=fsync)
        changing = self._changing(bck, name, spot, is_delete=True, fsync=fsync)
        with disk_failures(spot.path), announcing as announcement, changing:
            if is_version_id(version_id):
                self._publisher.unshelving(bck, name, spot, version_id, fsync=fsync)
            try:
                removed = self._publisher.locked(bck, spot, step)
            finally:
                self._publisher.shelved(bck, name, *touched)
            self._tell_mirrored(bck, name)
        return removed

    def remove_torn(self, bck: Bck, name: str, mountpath: Mountpath) -> bool:
        """Remove an object's file on a mountpath if a power loss took its content; return whether it did.

        The next older version becomes the latest. Raise `DiskFailure`.
        """
        spot = self._spots.find(bck, name)

        def step() -> bool:
            found = tree.find(self._disk, spot.on(mountpath, spot.path))
            meta = (
                read_meta(self._disk, found[0])
                if found is not None and mountpath.may_be_torn(found[1].st_ctime_ns)
                else None
            )
            if found is None or meta is None or not is_torn(mountpath, meta, found[1]):
                return False
            self._versions.remove_torn(spot, mountpath, found[0])
            return True

        with disk_failures(spot.path):
            return self._publisher.locked(bck, spot, step)

    def update(
        self,
        bck: Bck,
        name: str,
        change: Callable[[ObjectMeta], ObjectMeta],
        version_id: str | None = None,
        *,
        fsync: bool = False,
        event: Event | None = None,
    ) -> ObjectMeta:
        """Store what `change` makes of the metadata, called under the object's lock; return it. Durable when `fsync`.

        `event`: somebody may want to know. Raise as `open`, what `change` raises, and `BadRequest` when the result is
        too large.
        """
        spot = self._spots.find(bck, name)
        is_protected = bck in self.volume.mirrored or bck in self.volume.coded

        def step() -> ObjectMeta:
            self.volume.require_owned(spot.key)
            if version_id is not None and bck in self.volume.mirrored:
                self.version_copies.restore(spot)
            opened = self.open(bck, name, version_id, sealed=True)
            try:
                changed = change(opened.meta)
                if event is not None and changed != opened.meta:
                    changed = self._publisher.announcer.marked(bck, name, event, changed, is_update=True)
                    announcement.note(Change(bck, name, event, False, changed, changed.stamp, is_update=True))
                if is_protected:
                    changed = msgspec.structs.replace(changed, stamp=self._publisher.next_stamp(opened.meta))
                    for copied in (spot, kept_spot(spot, version_id)) if version_id else (spot,):
                        self.copies.update(copied, opened.meta, metadata.encode(changed), fsync=fsync)
                self._disk.setxattr(opened.fd, metadata.XATTR, metadata.encode(changed))
                if fsync:
                    self._disk.fsync(opened.fd)
            finally:
                self._disk.close(opened.fd)
                spot.known = None
            return changed

        announcing = self._publisher.announcing(spot, fsync=fsync)
        with disk_failures(spot.path), announcing as announcement, self._publisher.followed(bck):
            try:
                return self._publisher.locked(bck, spot, step)
            finally:
                self._publisher.changed(bck, name, spot)
                self._publisher.shelved(bck, name, *((version_id,) if version_id else ()))

    def check_free(self, meta: ObjectMeta | None) -> None:
        """Raise `AccessDenied` when the object must stay where it is (`ais.core.holds`)."""
        holds.check(meta, self._now_s)

    def trust(self, sure_ns: Callable[[], int]) -> None:
        """By which clock (Unix nanoseconds) retentions end; this machine's own, if nobody says."""
        self._sure_ns = sure_ns

    @property
    def _now_s(self) -> float:
        return self._sure_ns() / 1e9

    def set_custom(
        self,
        bck: Bck,
        name: str,
        custom: dict[str, str],
        *,
        replace: bool,
        keeps: Collection[str] = (),
        fsync: bool = False,
        event: Event | None = None,
    ) -> ObjectMeta:
        """Replace the custom metadata, or merge into it; return the new metadata. Durable when `fsync`.

        `keeps`: keys that stay as they are, also when all others are replaced. Raise `ObjectNotFound`,
        `CorruptMetadata`, `BadRequest` when the result is too large, or one of those is to be another.
        """

        def change(meta: ObjectMeta) -> ObjectMeta:
            if fixed := sorted(key for key in keeps if key in custom and custom[key] != meta.custom.get(key)):
                raise BadRequest(f"{bck.cname(name)}: {', '.join(fixed)} cannot be set, its backend says what it is")
            before = meta.custom if not replace else {key: meta.custom[key] for key in keeps if key in meta.custom}
            merged = {**before, **custom}
            metadata.check_custom(merged)
            return msgspec.structs.replace(meta, custom=merged)

        return self.update(bck, name, change, fsync=fsync, event=event)

    def rename(self, bck: Bck, name: str, new_name: str, rules: WriteRules) -> None:
        """Give an object another name in its bucket, replacing what has it. Raise as `move`."""
        self.move(bck, name, bck, new_name, rules)

    def move(
        self,
        bck: Bck,
        name: str,
        to_bck: Bck,
        to_name: str,
        rules: WriteRules,
        condition: Condition | None = None,
        paced: Paced = workfile.at_once,
    ) -> ObjectMeta | None:
        """Give an object another name or bucket, replacing what is there; metadata, version and times stay.

        Return the metadata, None when that is damaged.

        Blocks when it must copy: to another mountpath, or because the bucket keeps versions. Then it is a new version
        under the new name, and the old name gets a delete marker if it has older versions. `condition` is asked about
        the destination, as in `Writer.commit`. Raise `ObjectNotFound`, `BadRequest` for the same name, `Busy`, and as
        `Writer.commit`. Killed in between, the object has the old name, the new one or, when it had to be copied, both.
        """
        if (bck, name) == (to_bck, to_name):
            raise BadRequest(f"{bck.cname(name)}: the new name is the old one")
        source, target, epoch = self._spots.find(bck, name), self._spots.find(to_bck, to_name), self.volume.epoch
        rules = self._publisher.current(to_bck, rules)
        is_here = source.mountpath is target.mountpath and not self.volume.view.is_unsettled
        can_rename = not (rules.all_copies or bck in self.volume.coded or self._keeps_versions(bck, rules))
        can_rename = can_rename and rules.event is None
        if is_here and can_rename:
            try:
                with (
                    disk_failures(source.path),
                    self._changing(bck, name, source, is_delete=True, fsync=rules.fsync),
                    self._changing(to_bck, to_name, target),
                ):
                    meta = self._rename_on_mountpath(bck, name, source, to_bck, target, rules, condition, epoch)
                    self._tell_mirrored(to_bck, to_name)
                return meta
            except PromisesMore:
                return self.move(bck, name, to_bck, to_name, rules, condition, paced)
        rules = msgspec.structs.replace(rules, fsync=True)  # of two files, one must have survived whatever goes
        for _ in range(_RENAME_ATTEMPTS_MAX):
            opened = self.open(bck, name, sealed=True)
            try:
                self.check_free(opened.meta)
                self._copy(bck, name, opened, to_bck, to_name, rules, is_move=True, condition=condition, paced=paced)
                changing = self._changing(bck, name, source, is_delete=True, fsync=rules.fsync)
                with disk_failures(source.path), changing:
                    is_gone = self._delete_unchanged(bck, name, source, opened, rules)
                if is_gone:
                    return opened.meta
            finally:
                self._disk.close(opened.fd)
            condition = None
        raise Busy(f"{bck.cname(name)} keeps being overwritten")

    def copy(
        self,
        bck: Bck,
        name: str,
        to_bck: Bck,
        to_name: str,
        rules: WriteRules,
        kept: Callable[[dict[str, str]], dict[str, str]] = dict,
    ) -> ObjectMeta:
        """Write a copy as a new version of the target name, verifying the content; `kept` of its custom metadata too.

        Blocks. Raise `ObjectNotFound`, `ContentDamaged`, and as `Writer.commit`.
        """
        opened = self.open(bck, name, sealed=True)
        try:
            opened.meta = msgspec.structs.replace(opened.meta, custom=kept(opened.meta.custom))
            return self._copy(bck, name, opened, to_bck, to_name, rules)
        finally:
            self._disk.close(opened.fd)

    def verify(self, bck: Bck, name: str, opened: OpenObject) -> None:
        """Read the whole content and compare. Blocks. Raise `ContentDamaged`, and as `contents`."""
        meta = opened.meta
        digests = Digests(checksum.NONE, meta.promised, is_stored=True)
        # of our own: whoever opened it may close it before we are done
        fd = os.dup(opened.fd) if self._is_complete(opened) else self.contents(bck, name, opened)
        try:
            with disk_failures(opened.mountpath.path):
                workfile.hash_content(self._disk, fd, meta.size, digests)
        finally:
            self._disk.close(fd)
        digests.verify(bck, name)

    def drop_idle(self, idle_s: float) -> None:
        """Remove append work files that nobody touched for `idle_s` seconds, and what ended uploads left.

        Blocks. Raise `DiskFailure`.
        """
        limit_ns = self._clock.now_ns() - int(idle_s * 1e9)
        for mountpath in self.volume.available:
            with disk_failures(mountpath.path):
                for directory in layout.work_directories(self._disk, mountpath.path):
                    drop_idle(self._disk, directory, limit_ns)
        for bck in self.volume.buckets():
            self.uploads.drop_ended(bck)

    def _open_latest(self, spot: Spot) -> OpenObject | None:
        """Open the current file of an object; None when there is none."""
        if self.volume.view.is_unsettled:
            return self._open_newest(spot)
        return self._open_at(spot, spot.path, spot.mountpath)

    def _open_version(self, bck: Bck, name: str, spot: Spot, version_id: str) -> OpenObject:
        """Open one version; while we look it may move from the shelf to the current file or back: look again then."""
        cname, before, is_mirrored = bck.cname(name), None, bck in self.volume.mirrored
        for look in range(_LOOKS_MAX if is_version_id(version_id) else 0):
            with disk_failures(spot.path):
                head = self._versions.head(spot)
                version = head if head and head.id == version_id else self._versions.find_kept(spot, version_id)
                if is_mirrored and (version is None or not version.is_whole):
                    copy = self.version_copies.find(spot, version_id)
                    if copy is not None:
                        version = copy
                        self._publisher.on_mirrored(bck, name)
            if version is None:
                if look and head == before:
                    break
                before = head
                continue
            if version.meta is not None and version.meta.is_marker:
                raise DeleteMarker(cname, version.meta.version_id, version.mtime_ns)
            mountpath = version.place.mountpath
            home = Spot.at(None, mountpath, bck, spot.key, name)
            is_in_place = version.is_current and version.place.root == spot.on(mountpath, spot.root)
            opened = self._open_at(spot if is_in_place else home, version.path, mountpath)
            if opened is not None:
                if (opened.meta.version_id or NULL) == version_id:
                    return opened
                self._disk.close(opened.fd)
        self.volume.require_whole(bck, spot.key)
        raise VersionNotFound(cname, version_id)

    def _create(self, bck: Bck, spot: Spot, size_hint: int) -> tuple[str, int]:
        """Open a new work file for an object: its path and descriptor."""
        spot.mountpath.check_room(size_hint, self.volume.limits.out_of_space_pct)
        return self._publisher.create_work(bck, spot)

    def _open_at(self, spot: Spot, path: str, mountpath: Mountpath) -> OpenObject | None:
        """Open the file of an object at one path; None when there is none."""
        disk = self._disk
        try:
            fd = disk.open(path, _READ)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise translate(error, path) from error
        try:
            found = disk.fstat(fd)
            if found.st_mode & 0o170000 == 0o100000:
                known = spot.known
                if known is not None and known.describes(found):
                    return OpenObject(fd, found, known.meta, spot, mountpath, known)
                meta = self._read_meta(fd, path)
                if meta.size != found.st_size:
                    if meta.cut is not None and not found.st_size:
                        return OpenObject(fd, resized(found, meta.size), meta, spot, mountpath, None)
                    if not is_torn(mountpath, meta, found):
                        raise CorruptMetadata(f"{path} has {found.st_size} bytes, its metadata says {meta.size}")
                    disk.close(fd)
                    return None
                known = None
                if spot.is_kept and self._clock.now_ns() - found.st_ctime_ns > RACY_NS:
                    known = spot.known = Known.of(found, meta)
                return OpenObject(fd, found, meta, spot, mountpath, known)
        except OSError as error:
            disk.close(fd)
            raise translate(error, path) from error
        except BaseException:
            disk.close(fd)
            raise
        disk.close(fd)
        return None if path.endswith(_INSIDE) else self._open_at(spot, path + _INSIDE, mountpath)

    def _open_newest(self, spot: Spot) -> OpenObject | None:
        """Open the newest copy on any mountpath: the set changed, so the owner's may be missing or older."""
        newest: OpenObject | None = None
        for mountpath in (spot.mountpath, *self.volume.view.available):
            if mountpath is spot.mountpath and newest is not None:
                continue
            opened = self._open_at(spot, spot.on(mountpath, spot.path), mountpath)
            if opened is None:
                continue
            if newest is not None:
                is_older = rank(opened.meta, opened.stat) <= rank(newest.meta, newest.stat)
                older = opened if is_older else newest
                self._disk.close(older.fd)
                if older is opened:
                    continue
            newest = opened
        if newest is not None:
            try:
                self.volume.view.require_newest(newest.mountpath, newest.meta.stamp, spot.key)
            except NotReady:
                self._disk.close(newest.fd)
                raise
        return newest

    def _read_meta(self, fd: int, path: str) -> ObjectMeta:
        try:
            meta = metadata.decode(self._disk.getxattr(fd, metadata.XATTR))
        except OSError as error:
            if error.errno == errno.ENODATA:
                raise CorruptMetadata(f"{path} has no object metadata") from None
            raise
        return meta

    def contents(self, bck: Bck, name: str, opened: OpenObject) -> int:
        """A descriptor, the caller's, of all bytes of an opened object, also of one that is kept as slices alone.

        Blocks. Raise `CorruptMetadata`, `OutOfSpace`, `DiskFailure`.
        """
        if opened.meta.cut is None:
            return os.dup(opened.fd)
        return self._publisher.slicing.read(bck, name, opened.meta)

    def complete(self, bck: Bck, name: str, opened: OpenObject) -> None:
        """Let `fd` of an opened object have its content if it is kept as slices alone and was not put together yet.

        Raise as `contents`.
        """
        if not self._is_complete(opened):
            fd = self.contents(bck, name, opened)
            self._disk.close(opened.fd)
            opened.fd = fd

    def _is_complete(self, opened: OpenObject) -> bool:
        return opened.meta.cut is None or self._disk.fstat(opened.fd).st_size == opened.meta.size

    def _copy(
        self,
        from_bck: Bck,
        from_name: str,
        opened: OpenObject,
        bck: Bck,
        name: str,
        rules: WriteRules,
        *,
        is_move: bool = False,
        condition: Condition | None = None,
        paced: Paced = workfile.at_once,
    ) -> ObjectMeta:
        meta = opened.meta
        writer = self.writer(
            bck,
            name,
            rules,
            custom=meta.custom,
            facts=meta.facts if is_move else replicas.without(holds.without(meta.facts)),
            claimed=meta.promised,
            size_hint=meta.size,
            version=meta.version if is_move else None,
            times_ns=(opened.stat.st_atime_ns, opened.stat.st_mtime_ns) if is_move else None,
            is_stored=True,
            is_moved=(from_bck, from_name) == (bck, name),
            runs=meta.runs if is_move or sealing.is_sealed(meta) else (),
            is_as_stored=is_move,
        )
        try:
            fd = self.contents(from_bck, from_name, opened)
            try:
                with disk_failures(opened.mountpath.path):
                    for chunk in paced(workfile.read_content(self._disk, fd, meta.size)):
                        writer.write(chunk)
                        if rules.fsync:  # which comes under the lock: the less is left for it the better
                            writer.begin_writing_out()
            finally:
                self._disk.close(fd)
            return writer.commit(condition)
        except BaseException:
            writer.abort()
            raise

    def _rename_on_mountpath(
        self,
        bck: Bck,
        name: str,
        source: Spot,
        to_bck: Bck,
        target: Spot,
        rules: WriteRules,
        condition: Condition | None,
        epoch: int,
    ) -> ObjectMeta | None:
        stripes = source.mountpath.stripes
        keys = sorted({stripe_of(key): key for key in (source.key, target.key)}.values(), key=stripe_of)
        with disk_failures(source.path):
            while True:
                try:
                    with contextlib.ExitStack() as held:
                        for key in keys:
                            held.enter_context(stripes.held(key))
                        for changed in (bck, to_bck):  # a copy that is not there would come back later
                            if changed in self.volume.mirrored:
                                self._publisher.require_all(changed)
                        if bck in self.volume.mirrored:
                            self.copies.promote(source)
                        found = tree.find(self._disk, source.path)
                        if found is None:
                            self.volume.require_whole(bck, source.key)
                            raise ObjectNotFound(bck.cname(name))
                        self.volume.require_place(to_bck, target.key, target.mountpath, epoch)
                        self._publisher.require_current(to_bck, rules)
                        if self._keeps_versions(bck, rules):
                            raise PromisesMore
                        meta = self._publisher.stored_meta(source)
                        self.check_free(meta)
                        if condition is not None:
                            self._publisher.ask(condition, to_bck, target, self._publisher.stored_meta(target))
                        self._drop_copies(bck, source, fsync=rules.fsync)
                        self._drop_copies(to_bck, target, fsync=rules.fsync)
                        self._settle_content(found[0], target, rules)
                        tree.install(self._disk, found[0], target.root, target.path, fsync=rules.fsync)
                        if rules.fsync:
                            tree.fsync_parents(self._disk, source.root, found[0])
                        tree.prune(self._disk, source.root, found[0])
                        return meta
                except tree.FileInTheWay as obstacle:
                    blocking = obstacle
                except tree.BucketGone:
                    raise self._publisher.bucket_gone(to_bck, target) from None
                self._publisher.clear_way(to_bck, blocking)

    def _keeps_versions(self, bck: Bck, rules: WriteRules) -> bool:
        """Whether there may be versions below an object, or below what it replaces by these rules."""
        return rules.keeping is not Keeping.NONE or bck in self.volume.keeping

    def _delete_unchanged(self, bck: Bck, name: str, spot: Spot, opened: OpenObject, rules: WriteRules) -> bool:
        """Remove an object unless it was overwritten since `opened`; return whether it is gone."""
        announcing = self._publisher.announcing(spot, fsync=rules.fsync)
        with disk_failures(spot.path), announcing as announcement, spot.mountpath.stripes.held(spot.key):
            rules = self._publisher.current(bck, rules)
            self._publisher.require_all(bck)
            newest = newest_file(self._disk, self.volume.view, spot)
            if newest is not None:
                found = newest[1]
                is_same = (found.st_dev, found.st_ino) == (opened.stat.st_dev, opened.stat.st_ino)
                if not is_same or self._publisher.stored_meta(spot) != opened.meta:
                    return False
                if rules.event is not None:
                    stamp = self._publisher.next_stamp(opened.meta)
                    announcement.note(Change(bck, name, rules.event, True, opened.meta, stamp))
                if rules.keeping is not Keeping.NONE:
                    self._delete_latest(bck, name, spot, rules, lambda _: None, keep=False)
                    if rules.fsync:
                        self._versions.fsync(spot)
                    return True
            if opened.meta.cut is not None:
                self._publisher.slicing.bury(bck, name, opened.meta, is_synced=rules.fsync)
            self._drop_copies(bck, spot, fsync=rules.fsync)
            self._publisher.remove_strays(spot, fsync=rules.fsync)
            tree.remove(self._disk, spot.root, spot.path, fsync=rules.fsync)
        return True

    @contextlib.contextmanager
    def _changing(
        self, bck: Bck, name: str, spot: Spot, *, is_delete: bool = False, fsync: bool = False
    ) -> Iterator[None]:
        """Around the replacement or removal of an object, which needs no lock yet: what becomes of its slices."""
        with self._publisher.followed(bck):
            cut = self._publisher.changing(bck, name, spot, is_delete=is_delete, fsync=fsync)
            try:
                yield
            finally:
                self._publisher.changed(bck, name, spot, cut, fsync=fsync)

    def on_coded(
        self,
        before: Callable[[Bck, str, tuple[int, int], bool, bool], None],
        told: Callable[[Bck, str], None],
        around: Around,
    ) -> None:
        """Who removes the slices of objects before these are changed, and who is told that they were changed.

        `around`: held from before a change until it was told.
        """
        self._publisher.before_coded, self._publisher.on_coded = before, told
        self._publisher.around_coded = around

    @property
    def turns(self) -> Turns:
        """Who writes an object whose slices are stored before it."""
        return self._publisher.turns

    def slice_with(self, slicing: Slicing) -> None:
        """Who stores slices of objects before these count."""
        self._publisher.slicing = slicing

    def _delete_latest(
        self,
        bck: Bck,
        name: str,
        spot: Spot,
        rules: WriteRules,
        note: Callable[[str], None],
        *,
        keep: bool,
        version_id: str = "",
    ) -> ObjectMeta | None:
        """Put a delete marker on top of what a bucket keeps, as `Versions.delete`; copies follow. Under the lock.

        `note` is told the version ID of the marker before it is made.
        """

        def replacing(succession: Succession) -> None:
            note(succession.order if succession.is_enabled else NULL)
            if not succession.is_below:
                self._note_covered(bck, spot, succession, fsync=rules.fsync)
                if bck in self.volume.mirrored:
                    self.version_copies.follow(spot, succession, fsync=rules.fsync)
            touched.update(succession.touched)

        touched = {DELETED}
        try:
            work = self._publisher.new_work_name()
            return self._versions.delete(spot, rules, work, replacing, keep=keep, version_id=version_id)
        finally:
            self._publisher.shelved(bck, name, *touched)

    def _note_covered(self, bck: Bck, spot: Spot, succession: Succession, *, fsync: bool) -> None:
        """Before a delete marker comes on top: what a mountpath that is out of use has is a version below it, but for
        a null one that the marker replaces, and the latest one, if that goes elsewhere.
        """
        path, head = spot.path[len(spot.root) + 1 :], succession.head
        self.volume.note_covered(bck, path, fsync=fsync)
        gone = {head.id or NULL} if succession.is_moved and head is not None else set[str]()
        if not (succession.is_moved or succession.is_enabled):
            gone.add(NULL)
        for version_id in gone:
            self.volume.note_removed_version(bck, path, version_id, fsync=fsync)

    def _note_removed(self, bck: Bck, spot: Spot, version: Version, *, fsync: bool) -> None:
        """Before a version is removed for good: a mountpath that is out of use must not bring it back."""
        path = spot.path[len(spot.root) + 1 :]
        if version.is_current and version.id in ("", NULL):
            self.volume.note_removed(bck, path, fsync=fsync)
        if version.id:
            self.volume.note_removed_version(bck, path, version.id, fsync=fsync)

    def _drop_copies(self, bck: Bck, spot: Spot, *, fsync: bool, is_moved: bool = False) -> None:
        """Before an object is removed or replaced; under its lock. Raise `OSError`."""
        path = spot.path[len(spot.root) + 1 :]
        self.volume.note_removed(bck, path, fsync=fsync, is_moved=is_moved, keeps_none=True)
        if bck in self.volume.mirrored:
            self.copies.drop(spot, fsync=fsync)

    def _tell_mirrored(self, bck: Bck, name: str) -> None:
        """After an object of a bucket came in place of another one whose copies were dropped."""
        if bck in self.volume.mirrored:
            self._publisher.on_mirrored(bck, name)

    def spot(self, bck: Bck, key: str) -> Spot:
        """Where an object, or a version of one by its key (`ais.core.slicing`), has its place now.

        Raise `OutOfSpace` when no mountpath is available.
        """
        name, entry = split_key(key)
        spot = self._spots.find(bck, name)
        return kept_spot(spot, entry) if entry else spot

    def counts(self, bck: Bck, name: str, entry: str) -> bool:
        """Whether an entry of the shelf of a name is a version, if it is there. Raise `DiskFailure`."""
        spot = self._spots.find(bck, name)
        with disk_failures(spot.path):
            return self.version_copies.counts(entry, self._versions.head(spot))

    def entries(self, bck: Bck, name: str) -> list[str]:
        """What there is on the shelf of a name. Raise `DiskFailure`."""
        spot = self._spots.find(bck, name)
        with disk_failures(spot.path):
            return sorted({entry for place in self._versions.places(spot) for entry in self._versions.entries(place)})

    def open_kept(self, bck: Bck, name: str, entry: str) -> OpenObject:
        """Open an entry of the shelf of a name, delete markers too. Raise `VersionNotFound`, `CorruptMetadata`."""
        spot = self._spots.find(bck, name)
        with disk_failures(spot.path):
            found = [self._versions.at(place, entry) for place in self._versions.places(spot)]
            version = next((one for one in found if one is not None), None)
            if version is None:
                raise VersionNotFound(bck.cname(name), entry)
            if version.meta is None or not version.is_whole:
                raise CorruptMetadata(f"version {entry} of {bck.cname(name)} is damaged")
            try:
                fd = self._disk.open(version.path, _READ)
            except FileNotFoundError:
                raise VersionNotFound(bck.cname(name), entry) from None
            stat = self._disk.fstat(fd)
            return OpenObject(fd, stat, version.meta, kept_spot(spot, entry), version.place.mountpath, None)

    def create_work(self, bck: Bck, spot: Spot) -> tuple[str, int]:
        """Open a new work file: its path and descriptor. Raise as `writer`, or `NotReady` when the disk is gone."""
        return self._publisher.create_work(bck, spot)

    def under_lock(self, bck: Bck, spot: Spot, step: Callable[[], T], *, restore_lost: bool = True) -> T:
        """Run a step of a service that looks after objects under the object's lock; it may run again.

        `restore_lost`: make a lost object of a mirrored bucket from its copy before. Raise `BucketNotFound`, `OSError`.
        """
        return self._publisher.locked(bck, spot, step, restore_lost=restore_lost)

    def make_way(self, spot: Spot, meta: ObjectMeta) -> None:
        """See `Publisher.make_way`."""
        self._publisher.make_way(spot, meta)

    def require_all(self, bck: Bck) -> None:
        """Before names are removed here: raise `NotReady` when a disk that is not there may have them too."""
        self._publisher.require_all(bck)

    def announce_to(self, announcer: Announcer) -> None:
        """Whom changes are told to before they are made, in buckets whose rules say so."""
        self._publisher.announcer = announcer

    def on_shard(self, told: Callable[[Bck, str], None]) -> None:
        """Tell, in any thread and at once, of every shard written into a bucket whose rules say `indexes_shards`."""
        self._publisher.on_shard = told

    def on_mirrored(self, told: Callable[[Bck, str], None], around: Around) -> None:
        """Tell, in any thread and at once, of every object of a mirrored bucket that may have too few copies now.

        `around`: held from before a change until it was told.
        """
        self._publisher.on_mirrored, self._publisher.around_mirrored = told, around

    def _open_mirrored(self, bck: Bck, name: str, spot: Spot) -> OpenObject | None:
        """Open an object, or the copy that stands for it when it is lost or damaged; whoever mirrors is told.

        What a mountpath brought back may be older than a copy of what took its place meanwhile, and was lost since.
        """
        damage: CorruptMetadata | None = None
        opened: OpenObject | None = None
        try:
            opened = self._open_latest(spot)
            if opened is not None and not self.volume.view.is_unsettled:
                return opened
        except CorruptMetadata as error:
            damage = error
        try:
            with disk_failures(spot.path):
                copy = self.copies.newest(spot)
            found = None
            if copy is not None and (opened is None or copy.is_newer_than(opened.meta)):
                home = Spot.at(None, copy.mountpath, bck, spot.key, name)
                found = self._open_at(home, copy.path, copy.mountpath)
        except BaseException:
            if opened is not None:
                self._disk.close(opened.fd)
            raise
        if found is None:
            if damage is not None:
                raise damage
            return opened
        if opened is not None:
            self._disk.close(opened.fd)
        self._publisher.on_mirrored(bck, name)
        return found

    def _settle_content(self, path: str, target: Spot, rules: WriteRules) -> None:
        """Before a file gets another name: it may have been written a moment ago, and not reached the disk."""
        is_replacing = not target.mountpath.is_ordered and tree.find(self._disk, target.path) is not None
        if rules.fsync or is_replacing:
            fd = self._disk.open(path, _READ)
            try:
                self._disk.fsync(fd) if rules.fsync else self._disk.write_out(fd)
            finally:
                self._disk.close(fd)

    def _new_appender(
        self, bck: Bck, name: str, spot: Spot, rules: WriteRules, target_id: str, epoch: int | None
    ) -> Appender:
        try:
            opened = self.open(bck, name)
        except ObjectNotFound:
            opened = None
        try:
            rules = self._as_encrypted(rules, opened)
            seal = self.keyring.seal(rules.sealing) if rules.sealing is not None else None
            work_id = Handle.new_work_id(spot.key, self._publisher.new_work_name())
            staged = Staged(bck, name, rules, spot, *self._publisher.create_work(bck, spot, work_id), epoch=epoch)
            appender = Appender(self._publisher, self._disk, staged, target_id, seal=seal)
            try:
                if opened is not None:
                    self._repeat(bck, name, opened, appender)
            except BaseException:
                appender.abort()
                raise
        finally:
            if opened is not None:
                self._disk.close(opened.fd)
        return appender

    def _repeat(self, bck: Bck, name: str, opened: OpenObject, appender: Appender) -> None:
        """Write the content there is. Raise `ContentDamaged`, `CorruptMetadata`, `DiskFailure`."""
        meta, size = opened.meta, opened.stat.st_size
        appender.expect(size)
        digests = Digests(checksum.NONE, meta.promised if opened.key is None else None, is_stored=True)
        fd = self.contents(bck, name, opened)
        try:
            with disk_failures(opened.mountpath.path):
                if opened.key is None:
                    chunks = workfile.read_content(self._disk, fd, size)
                else:
                    pread = sealing.opener(meta, fd, opened.key)
                    chunks = (pread(workfile.COPY_BYTES, at) for at in range(0, size, workfile.COPY_BYTES))
                for chunk in chunks:
                    digests.update(chunk)
                    appender.write(chunk)
            digests.verify(bck, name)
        finally:
            self._disk.close(fd)

    def _old_appender(
        self, bck: Bck, name: str, spot: Spot, rules: WriteRules, handle: Handle, epoch: int | None
    ) -> Appender:
        """Continue with the work file on whatever mountpath it was begun."""
        for mountpath in (spot.mountpath, *self.volume.view.available):
            path = f"{spot.on(mountpath, spot.work)}/{handle.work_id}"
            kept = reopen(self._disk, path, handle.size)
            if kept is not None:
                home = Spot.at(None, mountpath, bck, spot.key, name)
                staged = Staged(bck, name, rules, home, path, kept.fd, size=handle.size, epoch=epoch)
                try:
                    seal = Seal(self.keyring.open(kept.seal), kept.seal) if kept.seal else None
                except BaseException:
                    self._disk.close(kept.fd)
                    raise
                return Appender(self._publisher, self._disk, staged, handle.target_id, kept.sums, seal)
        self.volume.require_whole(bck, spot.key)
        raise HandleNotFound(f'append handle "{handle}" is unknown: it was flushed or dropped, begin again')
