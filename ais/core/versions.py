"""Kept versions of objects and delete markers: what becomes of the version that another one replaces.

The latest version is the file `%ob/<path>`, as in every bucket. A name with other versions has a shelf, the directory
`%ve/<path>/%=`, with a file for each:

    <version ID>    a noncurrent version, or a delete marker that is not the latest version
    null            the null version, when it is not the latest one
    deleted         the delete marker that is the latest version

The latest version, here the head, is the current file; if there is none, `deleted`. What follows from that makes every
change one atomic step: `deleted` counts only while there is no current file, `null` only while the head is not the null
version, `<version ID>` only while it is not the head's. So the head is kept by a hard link that does not count yet, a
new one is renamed over it, and what then does not count any more is removed; killed in between, nothing is lost.

All changes are made under the lock of the object. When the set of mountpaths has changed, versions of one name may lie
on several; a current file that is not the newest is a noncurrent version then.
"""

import contextlib
import errno
import heapq
import os
import re
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import msgspec

from ais.api.bucket import Bck
from ais.base.errors import CorruptMetadata
from ais.core import meta as metadata
from ais.core import tree
from ais.core.meta import ObjectMeta
from ais.core.slicing import key_of
from ais.core.spots import Spot, newest_file
from ais.core.workfile import Keeping, WriteRules
from ais.env import Env
from ais.env.disk import Disk
from ais.fs import layout, names
from ais.fs.failures import disk_failures
from ais.fs.mountpath import Mountpath
from ais.fs.names import SELF
from ais.fs.volume import Volume

NULL = "null"
"""How clients name the null version."""
DELETED = "deleted"
"""Entry of the shelf for the delete marker that is the latest version."""
_ID = re.compile(r"[0-9a-f]{32}")
_TIME_DIGITS = 16
_TIME_MAX = (1 << 64) - 1
_WINDOW = 1000


class Place(NamedTuple):
    """Where a mountpath has the versions of one object: the current file below `root`, others on the shelf."""

    mountpath: Mountpath
    root: str
    path: str
    shelves: str
    shelf: str


class Version(NamedTuple):
    """One version as found on disk. `id` is what clients call it, empty for a damaged head; `meta` None: damaged."""

    place: Place
    path: str
    id: str
    order: str
    size: int
    mtime_ns: int
    meta: ObjectMeta | None

    @property
    def is_current(self) -> bool:
        """Whether it is an object in the ordinary place, not on the shelf."""
        return not self.path.startswith(self.place.shelf)

    @property
    def is_whole(self) -> bool:
        """Whether its metadata can be read and its content has the size that says."""
        return self.meta is not None and self.meta.size == self.size

    @property
    def entry(self) -> str:
        """Its name on the shelf; empty in the ordinary place."""
        return "" if self.is_current else os.path.basename(self.path)

    @property
    def is_marker(self) -> bool:
        """Whether it is a delete marker."""
        return self.meta is not None and self.meta.is_marker


def is_version_id(text: str) -> bool:
    """Whether a client's version ID can be one of ours."""
    return text == NULL or _ID.fullmatch(text) is not None


def sliced_keys(disk: Disk, mountpath: Mountpath, bck: Bck, some: Iterable[str]) -> list[str]:
    """The keys (`ais.core.slicing`) of the versions of these names of which a mountpath has slices. Blocks.

    Raise `DiskFailure`.
    """
    root, found = f"{layout.bucket_path(mountpath.path, bck)}/{layout.KEPT_SLICES}", []
    with disk_failures(root):
        for name in some:
            with contextlib.suppress(FileNotFoundError, NotADirectoryError):
                entries = sorted(disk.listdir(f"{root}/{names.to_path(name)}/{SELF}"))
                found += [key_of(name, entry) for entry in entries if entry == DELETED or is_version_id(entry)]
    return found


def kept_spot(spot: Spot, entry: str) -> Spot:
    """The place of an entry of the object's shelf: whatever looks after copies of objects does so for it too."""
    place = _place(spot, spot.mountpath)
    return Spot(spot.view, spot.mountpath, spot.key, place.shelves, spot.work, f"{place.shelf}/{entry}")


def order_of(meta: ObjectMeta | None, mtime_ns: int) -> str:
    """What sorts the versions of one object, newest first; of those written before any was kept, the time."""
    return (meta and (meta.version_id or meta.order)) or _order_at(max(mtime_ns, 0), 0)


def _order_at(time_ns: int, salt: int) -> str:
    return f"{_TIME_MAX - time_ns:016x}{salt:016x}"


def _time_of(order: str) -> int:
    return _TIME_MAX - int(order[:_TIME_DIGITS], 16)


class Versions:
    """The versions of a volume's objects. Methods that change anything need the object's lock; all raise `OSError`."""

    def __init__(self, volume: Volume, env: Env) -> None:
        self._volume = volume
        self._disk = env.disk
        self._clock = env.clock
        self._rng = env.rng

    def places(self, spot: Spot) -> list[Place]:
        """Where versions of the object may be, its owner first."""
        view = self._volume.view
        others = [one for one in view.available if one is not spot.mountpath] if view.is_unsettled else []
        return [_place(spot, mountpath) for mountpath in (spot.mountpath, *others)]

    def copy_places(self, spot: Spot) -> list[Place]:
        """Where copies of versions may be, in a mirrored bucket: laid out as the versions themselves."""
        return [_copy_place(spot, mountpath) for mountpath in self._volume.view.available]

    def at(self, place: Place, entry: str) -> Version | None:
        """The version that is an entry of the shelf; empty: the current file."""
        if entry:
            return self._look(place, f"{place.shelf}/{entry}")
        found = tree.find(self._disk, place.path)
        return self._look(place, found[0]) if found is not None else None

    def entries(self, place: Place) -> set[str]:
        """The entries of a shelf."""
        try:
            return {one for one in self._disk.listdir(place.shelf) if one in (NULL, DELETED) or _ID.fullmatch(one)}
        except (FileNotFoundError, NotADirectoryError):
            return set()

    def head(self, spot: Spot) -> Version | None:
        """The latest version: an object or a delete marker."""
        found = newest_file(self._disk, self._volume.view, spot)
        if found is None:
            return self.deletion(spot)
        path, _, mountpath = found
        return self._look(_place(spot, mountpath), path)

    def deletion(self, spot: Spot) -> Version | None:
        """The delete marker that is the latest version of an object which has no current file."""
        found = [self._look(place, f"{place.shelf}/{DELETED}") for place in self.places(spot)]
        return min(filter(None, found), key=lambda version: version.order, default=None)

    def find(self, spot: Spot, version_id: str) -> Version | None:
        """The version with this ID (`null`: the null version), the latest or one below it."""
        head = self.head(spot)
        return head if head is not None and (head.id or NULL) == version_id else self.find_kept(spot, version_id)

    def find_kept(self, spot: Spot, version_id: str, *, with_copies: bool = False) -> Version | None:
        """The version with this ID, which is not the head's; `with_copies`: also one that is lost and has a copy."""
        places = self.places(spot) + (self.copy_places(spot) if with_copies else [])
        found = [self._look(place, f"{place.shelf}/{version_id}") for place in places]
        if len(places) > 1:
            files = [(place, tree.find(self._disk, place.path)) for place in places]
            strays = [self._look(place, file[0]) for place, file in files if file is not None]
            found += [stray for stray in strays if stray is not None and stray.id == version_id]
        return min(filter(None, found), key=lambda version: version.order, default=None)

    def kept(
        self, spot: Spot, head: Version | None, after: str = "", *, with_copies: bool = False
    ) -> Iterator[Version]:
        """The versions below the head whose order is greater than `after`, newest first.

        `with_copies`: in a mirrored bucket, those too that are lost and have a copy.
        """
        while True:
            window = heapq.nsmallest(_WINDOW, self._candidates(spot, head, after, with_copies))
            for order, path, place in window:
                version = self._look(place, path) if order != after else None
                after = order
                if version is not None:
                    yield version
            if len(window) < _WINDOW:
                return

    def succession(self, spot: Spot, rules: WriteRules, version_id: str = "") -> "Succession":
        """Begin to give the object another latest version, in a bucket that keeps versions.

        `version_id`: the ID that it has elsewhere and shall have. By its time it may belong below the latest one
        (`is_below`), or it is there already (`is_there`).
        """
        head = self.head(spot)
        if version_id:
            is_there = self.find(spot, version_id) is not None
            return Succession(self, spot, rules, head, version_id, is_given=True, is_there=is_there)
        newest = head if head is not None and head.meta is not None else next(self.kept(spot, head), None)
        now_ns = self._clock.now_ns()
        if newest is not None:
            now_ns = max(now_ns, _time_of(newest.order) + 1)
        return Succession(self, spot, rules, head, _order_at(now_ns, self._rng.getrandbits(64)))

    def arriving(
        self, spot: Spot, rules: WriteRules, head: Version, meta: ObjectMeta, times_ns: tuple[int, int] | None
    ) -> "Succession":
        """Begin to take a version with this metadata, which another target had, where there is a latest one already.

        It is there when it, or a null version that replaced it, is there whole.
        """
        entry, order = meta.version_id or NULL, order_of(meta, times_ns[1] if times_ns else 0)
        known = self.find(spot, entry)
        is_there = known is not None and known.is_whole and known.order <= order
        keeping = Keeping.ENABLED if meta.version_id else Keeping.SUSPENDED
        rules = msgspec.structs.replace(rules, keeping=keeping)
        succession = Succession(self, spot, rules, head, order, is_given=True, is_there=is_there)
        succession.is_moved = head.id == entry  # it is damaged, or a null version: not kept below itself
        return succession

    def succeed(self, spot: Spot, succession: "Succession", *, is_marker: bool) -> None:
        """A version that arrived is in the place of a latest one, which was kept."""
        head = succession.head
        if is_marker and head is not None and head.is_current:
            self._remove_current(spot, head)
        succession.settle(is_marker=is_marker)

    def delete(
        self,
        spot: Spot,
        rules: WriteRules,
        work: str,
        replacing: "Callable[[Succession], None]",
        *,
        keep: bool,
        version_id: str = "",
    ) -> ObjectMeta | None:
        """Put a delete marker on top and return it; `work`: an unused name for its work file.

        Without `keep` the head lives on elsewhere: it goes, and there is a marker only if there are older versions.
        `replacing` is called before anything is changed that counts. `version_id`: as of `succession`; the marker may
        come below the head then, and is None when it is there already.
        """
        succession = self.succession(spot, rules, version_id)
        if succession.is_there:
            return None
        succession.is_moved = not keep
        head = succession.head
        if succession.is_below:
            replacing(succession)
            place = _place(spot, spot.mountpath)
            return self._put_marker(spot, place, succession, work, succession.order, fsync=rules.fsync)
        if keep:
            succession.keep()
        replacing(succession)
        if not keep:
            self.put_strays_aside(spot, head)
            if head is not None:
                self._unlink_kept(spot, head.id)
                if next(self.kept(spot, head), None) is None:
                    self._remove_head(spot, head)
                    return None
        place = head.place if head is not None else _place(spot, spot.mountpath)
        marker = self._put_marker(spot, place, succession, work, DELETED, fsync=rules.fsync)
        if head is not None and head.is_current:
            self._remove_current(spot, head)
        succession.settle(is_marker=True)
        return marker

    def remove(self, spot: Spot, version_id: str, check: Callable[[Version], None]) -> Version | None:
        """Remove one version for good; return what was removed, None when there is no such version.

        When it was the latest, the next older one is that afterwards. `check` is called before, and may refuse. Raise
        `tree.FileInTheWay`.
        """
        head = self.head(spot)
        self.put_strays_aside(spot, head)
        if head is not None and (head.id or NULL) == version_id:
            check(head)
            self._unlink_kept(spot, head.id)
            self._promote(spot, head, next(self.kept(spot, head), None))
            return head
        version = self.find_kept(spot, version_id)
        if version is not None:
            check(version)
            self._unlink_kept(spot, version_id)
            self._prune(spot)
        return version

    def take(self, spot: Spot, work: str, meta: ObjectMeta, *, is_head: bool, fsync: bool) -> None:
        """Put the finished work file of a version that came from another target on the shelf."""
        entry = DELETED if is_head else meta.version_id or NULL
        self._enter(_place(spot, spot.mountpath), self._rename, work, entry, fsync=fsync)

    def remove_all(self, spot: Spot, head: Version | None) -> None:
        """Remove a name that lives on elsewhere, the head first: what is left if we are killed has none."""
        if head is not None:
            self._unlink_kept(spot, head.id)
            for place in self._head_last(spot, head):
                self._unlink(f"{place.shelf}/{DELETED}")
            if head.is_current:
                self._remove_current(spot, head)
        for place in self.places(spot):
            with contextlib.suppress(FileNotFoundError, NotADirectoryError):
                for entry in self._disk.listdir(place.shelf):
                    self._unlink(f"{place.shelf}/{entry}")
        self._prune(spot)

    def remove_torn(self, spot: Spot, mountpath: Mountpath, path: str) -> None:
        """Remove a current file that lost its content; it replaced nothing but, at most, a delete marker."""
        place = _place(spot, mountpath)
        torn = self._look(place, path)
        if torn is None or self._volume.view.is_unsettled:
            tree.remove(self._disk, place.root, place.path)
            return
        self._promote(spot, torn, next(self.kept(spot, torn), None))

    def fsync(self, spot: Spot) -> None:
        """Make durable what was removed and renamed of an object's versions."""
        for place in self.places(spot):
            tree.fsync_removal(self._disk, place.root, f"{place.path}/{SELF}")
            tree.fsync_removal(self._disk, place.shelves, f"{place.shelf}/{NULL}")

    def put_strays_aside(self, spot: Spot, head: Version | None) -> None:
        """Bring what lies where a head would, but is not the newest, to the shelf of its mountpath."""
        if head is None:
            return
        for place in self.places(spot):
            if place.mountpath is head.place.mountpath:
                continue
            stray = self._stray(place, head)
            if stray is None or stray.meta is None:
                continue
            if stray.id != head.id and not self._has_newer_null(spot, stray):
                self.shelve(spot, stray)
            if stray.is_current:
                tree.remove(self._disk, place.root, place.path)
            else:
                self._unlink(stray.path)

    def shelve(self, spot: Spot, version: Version, *, fsync: bool = False) -> None:
        """Give a head a link on the shelf, in place of one that does not count."""
        self._leave(spot, version.place)
        try:
            self._enter(version.place, self._link, version.path, version.id, fsync=fsync)
        except FileExistsError:
            if version.id == NULL:
                self._unlink(f"{version.place.shelf}/{NULL}")
                self._enter(version.place, self._link, version.path, version.id, fsync=fsync)

    def settle(self, spot: Spot, *, drop_deleted: bool, drop_null: bool) -> None:
        """Remove what does not count any more. What cannot be removed does no harm."""
        with contextlib.suppress(OSError):
            for place in self.places(spot):
                if drop_deleted:
                    self._unlink(f"{place.shelf}/{DELETED}")
                if drop_null:
                    self._unlink(f"{place.shelf}/{NULL}")
            if drop_deleted or drop_null:
                self._prune(spot)

    def _candidates(
        self, spot: Spot, head: Version | None, after: str, with_copies: bool
    ) -> Iterator[tuple[str, str, Place]]:
        """(order, path, place) of what may be a version below the head, in no order."""
        places = self.places(spot) + (self.copy_places(spot) if with_copies else [])
        nulls: list[tuple[str, str, Place]] = []
        for place in places:
            for entry in self._ids_on(place.shelf):
                if entry > after and (head is None or entry != head.id):
                    yield entry, f"{place.shelf}/{entry}", place
            versions = [self._look(place, f"{place.shelf}/{NULL}")]
            if len(places) > 1 and head is not None and place.mountpath is not head.place.mountpath:
                versions.append(self._stray(place, head))
            for version in versions:
                if version is None or (head is not None and version.id == head.id):
                    continue
                if version.id == NULL:
                    nulls.append((version.order, version.path, place))
                elif version.order > after:
                    yield version.order, version.path, place
        if nulls and min(nulls)[0] > after:
            yield min(nulls)

    def _stray(self, place: Place, head: Version) -> Version | None:
        return self.at(place, "" if head.is_current else DELETED)

    def _ids_on(self, shelf: str) -> Iterator[str]:
        try:
            with self._disk.scandir(shelf) as entries:
                for entry in entries:
                    if _ID.fullmatch(entry.name):
                        yield entry.name
        except (FileNotFoundError, NotADirectoryError):
            return

    def _look(self, place: Place, path: str) -> Version | None:
        """The version in a file; None when there is no file."""
        try:
            found = self._disk.lstat(path)
            if not tree.is_file(found):
                return None
            meta = metadata.decode(self._disk.getxattr(path, metadata.XATTR))
        except (FileNotFoundError, NotADirectoryError):
            return None
        except CorruptMetadata:
            meta = None
        except OSError as error:
            if error.errno != errno.ENODATA:
                raise
            meta = None
        if meta is not None:
            version_id, order = meta.version_id or NULL, order_of(meta, found.st_mtime_ns)
        else:
            version_id = path[len(place.shelf) + 1 :] if path.startswith(place.shelf) else ""
            order = version_id if _ID.fullmatch(version_id) else order_of(None, found.st_mtime_ns)
        size = meta.size if meta is not None and meta.cut else found.st_size
        return Version(place, path, version_id, order, size, found.st_mtime_ns, meta)

    def _has_newer_null(self, spot: Spot, version: Version) -> bool:
        if version.id != NULL:
            return False
        nulls = [self._look(place, f"{place.shelf}/{NULL}") for place in self.places(spot)]
        return any(null is not None and null.order < version.order for null in nulls)

    def _promote(self, spot: Spot, head: Version, heir: Version | None) -> None:
        """Remove the head and make `heir` the next one."""
        if heir is None:
            self._remove_head(spot, head)
            return
        self._leave(spot, heir.place)
        if heir.is_marker:
            self._promote_marker(spot, head, heir)
        elif head.is_current and head.place == heir.place:
            self._rename(heir.path, head.path)
        else:
            tree.install(self._disk, heir.path, heir.place.root, heir.place.path)
            if head.is_current:
                self._volume.moved.note(spot.bucket, spot.name)
                tree.remove(self._disk, head.place.root, head.place.path)
            else:
                self._unlink(head.path)
        self._prune(spot)

    def _promote_marker(self, spot: Spot, head: Version, heir: Version) -> None:
        if head.is_current:
            self._unlink_kept(spot, DELETED)
            self._enter(heir.place, self._link, heir.path, DELETED)
            self._remove_current(spot, head)
            self._unlink(heir.path)
            return
        path = f"{heir.place.shelf}/{DELETED}"
        self._rename(heir.path, path)
        if path != head.path:
            self._unlink(head.path)

    def _remove_head(self, spot: Spot, head: Version) -> None:
        """Remove the only version."""
        self._unlink_kept(spot, DELETED if head.is_current else "")
        if head.is_current:
            self._remove_current(spot, head)
        else:
            self._unlink(head.path)
        self._prune(spot)

    def _remove_current(self, spot: Spot, head: Version) -> None:
        """Remove all current files, the newest last: what is left if we are killed is still the head."""
        for place in self._head_last(spot, head):
            tree.remove(self._disk, place.root, place.path)

    def _head_last(self, spot: Spot, head: Version) -> list[Place]:
        return sorted(self.places(spot), key=lambda place: place.mountpath is head.place.mountpath)

    def _put_marker(
        self, spot: Spot, place: Place, succession: "Succession", work: str, entry: str, *, fsync: bool
    ) -> ObjectMeta:
        self._leave(spot, place)
        marker = succession.name(ObjectMeta(0, is_marker=True))
        aside = f"{os.path.dirname(place.root)}/{layout.WORK}/{work}"
        try:
            self._write_marker(aside, marker, fsync=fsync)
            self._enter(place, self._rename, aside, entry, fsync=fsync)
        except BaseException:
            with contextlib.suppress(OSError):
                self._disk.unlink(aside)
            raise
        return marker

    def _leave(self, spot: Spot, place: Place) -> None:
        """Before something of an object comes to lie somewhere: whoever brings all to its place may have been there.

        Raise `NotReady`.
        """
        view = self._volume.view
        if view.is_unsettled and view.placed and place.mountpath is not view.owner(spot.key):
            self._volume.note_scattered(spot.bucket, spot.name)

    def _write_marker(self, path: str, marker: ObjectMeta, *, fsync: bool) -> None:
        try:
            fd = self._disk.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
        except FileNotFoundError:
            raise tree.BucketGone from None
        try:
            self._disk.setxattr(fd, metadata.XATTR, metadata.encode(marker))
            if fsync:
                self._disk.fsync(fd)
        finally:
            self._disk.close(fd)

    def _enter(
        self, place: Place, step: Callable[[str, str], None], source: str, entry: str, *, fsync: bool = False
    ) -> None:
        """Link or rename the file `source` to an entry of the shelf, which is made on demand."""
        target = f"{place.shelf}/{entry}"
        try:
            for _ in range(tree.ATTEMPTS_MAX):
                try:
                    step(source, target)
                    break
                except FileNotFoundError:
                    self._make_shelves(place.shelves)
                    tree.make_parents(self._disk, source, place.shelves, target)
            else:
                raise OSError(errno.EBUSY, "directories keep changing", target)
            if fsync:
                tree.fsync_parents(self._disk, place.shelves, target)
        except OSError:
            tree.prune(self._disk, place.shelves, target)
            raise

    def _make_shelves(self, path: str) -> None:
        try:
            self._disk.mkdir(path)
            layout.fsync_directory(self._disk, os.path.dirname(path))
        except FileExistsError:
            return
        except FileNotFoundError:
            raise tree.BucketGone from None

    def _link(self, source: str, target: str) -> None:
        self._disk.link(source, target, follow_symlinks=False)

    def _rename(self, source: str, target: str) -> None:
        self._disk.rename(source, target)

    def _unlink(self, path: str) -> None:
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            self._disk.unlink(path)

    def _unlink_kept(self, spot: Spot, entry: str) -> None:
        if entry:
            for place in self.places(spot):
                self._unlink(f"{place.shelf}/{entry}")

    def _prune(self, spot: Spot) -> None:
        for place in self.places(spot):
            with contextlib.suppress(FileNotFoundError, NotADirectoryError):
                if not self._disk.listdir(place.shelf):
                    self._volume.unshelved.note(spot.bucket, spot.name)
            tree.prune(self._disk, place.shelves, f"{place.shelf}/{NULL}")


class Succession:
    """One change of an object's latest version, under its lock: `name` the new one, `keep`, put it there, `settle`."""

    def __init__(
        self,
        versions: Versions,
        spot: Spot,
        rules: WriteRules,
        head: Version | None,
        order: str,
        *,
        is_given: bool = False,
        is_there: bool = False,
    ) -> None:
        self.head = head
        self.order = order
        self.is_there = is_there
        """The version is there already."""
        self.is_below = is_given and head is not None and head.order < order
        """The head is newer: the version comes below it."""
        self.is_moved = False
        """The head lives on elsewhere and is not kept here."""
        self._versions = versions
        self._spot = spot
        self._rules = rules

    @property
    def keeps_head(self) -> bool:
        """Whether the head becomes a version below the new one, not replaced by it: both are null, or it is damaged."""
        head = self.head
        return not self.is_moved and head is not None and bool(head.id) and (self.is_enabled or head.id != NULL)

    @property
    def touched(self) -> tuple[str, ...]:
        """Entries of the shelf that are new there, or do not count any more."""
        if self.is_below:
            return (self.order,)
        head = self.head
        if head is None:
            return ()
        kept = (head.id,) if self.keeps_head else ()
        return kept if head.is_current else (*kept, DELETED)

    @property
    def has_damaged_head(self) -> bool:
        """Whether the head cannot say what it is."""
        return not self.is_moved and self.head is not None and self.head.meta is None

    @property
    def is_enabled(self) -> bool:
        """Whether the new version has an ID; else it is the null version, and replaces that."""
        return self._rules.keeping is Keeping.ENABLED

    def name(self, meta: ObjectMeta) -> ObjectMeta:
        """The metadata of the new version with its version ID, or as the null version."""
        field = "version_id" if self.is_enabled else "order"
        return msgspec.structs.replace(meta, **{field: self.order})

    def keep(self) -> None:
        """Keep the head, unless the new version replaces it."""
        head = self.head
        self._versions.put_strays_aside(self._spot, head)
        if head is not None and self.keeps_head:
            self._versions.shelve(self._spot, head, fsync=self._rules.fsync)

    def settle(self, *, is_marker: bool = False) -> None:
        """Remove what the new version has replaced."""
        head = self.head
        drop_deleted = not is_marker and head is not None and not head.is_current
        drop_null = not self.is_enabled and (head is None or head.id != NULL)
        self._versions.settle(self._spot, drop_deleted=drop_deleted, drop_null=drop_null)


def _copy_place(spot: Spot, mountpath: Mountpath) -> Place:
    place = _place(spot, mountpath)
    root = f"{os.path.dirname(place.root)}/{layout.COPIES}"
    shelves = f"{root}/{layout.VERSIONS}"
    rest, shelf = place.path[len(place.root) :], place.shelf[len(place.shelves) :]
    return Place(mountpath, root, root + rest, shelves, shelves + shelf)


def _place(spot: Spot, mountpath: Mountpath) -> Place:
    bucket = os.path.dirname(spot.root)
    path = spot.path[len(spot.root) :]
    shelves = f"{spot.on(mountpath, bucket)}/{layout.VERSIONS}"
    return Place(
        mountpath,
        spot.on(mountpath, spot.root),
        spot.on(mountpath, spot.path),
        shelves,
        f"{shelves}{path}/{SELF}",
    )
