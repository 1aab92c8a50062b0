"""What one target has of an object on its own mountpaths: its file and its copies, each good or not.

Nothing is locked: what changes while it is looked at is looked at again, and what keeps changing counts as good,
because whoever writes it sees to its copies.
"""

import contextlib
import enum
import os
from collections.abc import Callable
from typing import NamedTuple

from ais.api import checksum
from ais.api.bucket import Bck
from ais.base.errors import ContentDamaged, CorruptMetadata
from ais.core import tree
from ais.core.meta import ObjectMeta
from ais.core.spots import Spot, read_meta
from ais.core.store import Store
from ais.core.versions import kept_spot
from ais.core.workfile import Digests, Paced
from ais.ec import slice as slices
from ais.env import Env
from ais.fs import layout, names
from ais.fs.failures import disk_failures
from ais.fs.mountpath import Mountpath
from ais.scrub import cold

ATTEMPTS_MAX = 3
_STRIPES = 4


class Depth(enum.StrEnum):
    """How closely to look: at names, sizes and metadata, or at every byte too."""

    METADATA = "metadata"
    CONTENT = "content"


class Bad(NamedTuple):
    """A file that is there and not what was stored: the tree it is in, its path, what kind, what is wrong."""

    root: str
    path: str
    content: str
    reason: str


class Finding(NamedTuple):
    """One object here. `meta` None: there is no file of it that is good."""

    meta: ObjectMeta | None = None
    size: int = 0
    is_there: bool = False
    """Its own file, not only a copy, is there and good."""
    good: int = 0
    """Good files that count: its own and the copies where they should be."""
    bad: tuple[Bad, ...] = ()
    bytes_read: int = 0

    @property
    def is_missing(self) -> bool:
        """Whether there is nothing at all."""
        return not self.good and not self.bad


class SliceFinding(NamedTuple):
    """One slice here. `reason`: what is wrong with it; empty: nothing. `identity`: of its file."""

    path: str
    reason: str
    is_tombstone: bool
    bytes_read: int
    identity: tuple[int, int, int] | None


class LocalFiles:
    """The files of one store. Methods block and raise `DiskFailure`."""

    def __init__(self, store: Store, env: Env, paced: Paced) -> None:
        self._store = store
        self._disk = env.disk
        self.paced = paced
        """What is looked at, one by one: the scrub rests in between."""

    def copies_wanted(self, bck: Bck) -> int:
        """How many files here a bucket promises of each object."""
        mirroring = self._store.volume.mirrored.get(bck)
        return min(mirroring.copies, max(1, len(self._store.volume.available))) if mirroring is not None else 1

    def spot(self, bck: Bck, name: str) -> Spot:
        """Where the object has its place."""
        return self._store.spot(bck, name)

    def look(self, bck: Bck, name: str, depth: Depth) -> Finding:
        """Look at an object and its copies."""
        return self._look_again(bck, lambda: self._store.spot(bck, name), depth)

    def _look_again(self, bck: Bck, where: Callable[[], Spot], depth: Depth) -> Finding:
        for _ in range(ATTEMPTS_MAX):
            spot = where()
            with disk_failures(spot.path):
                before = tree.find(self._disk, spot.path)
                found = self._look(bck, spot, before, depth)
                if not found.bad:
                    return found
                after = tree.find(self._disk, spot.path)
                if _identity(before) == _identity(after):
                    return found
        return found._replace(bad=())

    def stands_for_lost(self, bck: Bck, name: str, mountpath: Mountpath) -> bool:
        """Whether the copy on a mountpath is the one to be looked at for an object that is gone itself."""
        spot = self._store.spot(bck, name)
        with disk_failures(spot.path):
            if tree.find(self._disk, spot.path) is not None:
                return False
            first = next(iter(self._store.copies.find(spot)), None)
            return first is not None and first.mountpath is mountpath

    def find(self, mountpath: Mountpath, bck: Bck, content: str, name: str) -> str | None:
        """The path of a name's file below `content` on a mountpath."""
        path = f"{layout.bucket_path(mountpath.path, bck)}/{content}/{names.to_path(name)}"
        with disk_failures(path):
            found = tree.find(self._disk, path)
            return found[0] if found is not None else None

    def find_slice(self, mountpath: Mountpath, bck: Bck, key: str) -> str | None:
        """The path of the slice of an object, or of a version by its key, on a mountpath."""
        spot = self._store.spot(bck, key)
        root = layout.content_root(spot.on(mountpath, spot.root), layout.SLICES)
        with disk_failures(root):
            found = tree.find(self._disk, root + spot.path[len(spot.root) :])
            return found[0] if found is not None else None

    def versions(self, mountpath: Mountpath, bck: Bck, name: str, depth: Depth) -> list[tuple[str, Finding]]:
        """What a mountpath has on the shelf of a name, versions and delete markers, by its entry."""
        spot = Spot.at(None, mountpath, bck, self._store.spot(bck, name).key, name)
        found = []
        for entry in self._entries(spot, mountpath, is_copied=False):
            finding = self.look_at_version(bck, kept_spot(spot, entry), depth)
            if not finding.is_missing:
                found.append((entry, finding))
        return found

    def lost_versions(self, mountpath: Mountpath, bck: Bck, name: str, depth: Depth) -> list[tuple[str, Finding]]:
        """Of what is not on the shelf any more, those whose first copy is on this mountpath."""
        spot, found = self._store.spot(bck, name), []
        copies, head = self._store.version_copies, self._store.versions.head(spot)
        for entry in self._entries(spot, mountpath, is_copied=True):
            one = kept_spot(spot, entry)
            with disk_failures(one.path):
                first = next(iter(self._store.copies.find(one)), None)
                is_gone = tree.find(self._disk, one.path) is None and copies.counts(entry, head)
            if is_gone and first is not None and first.mountpath is mountpath:
                found.append((entry, self.look_at_version(bck, one, depth)))
        return found

    def version_spot(self, bck: Bck, name: str, entry: str) -> Spot:
        """Where an entry of the shelf has its place."""
        return kept_spot(self._store.spot(bck, name), entry)

    def look_at_version(self, bck: Bck, spot: Spot, depth: Depth) -> Finding:
        """Look at an entry of a shelf, in its own place, and at its copies."""
        return self._look_again(bck, lambda: spot, depth)

    def _entries(self, spot: Spot, mountpath: Mountpath, *, is_copied: bool) -> list[str]:
        versions = self._store.versions
        places = versions.copy_places(spot) if is_copied else versions.places(spot)
        with disk_failures(spot.path):
            return sorted(one for place in places if place.mountpath is mountpath for one in versions.entries(place))

    def look_at_slice(self, mountpath: Mountpath, bck: Bck, key: str, depth: Depth) -> SliceFinding | None:
        """Look at the slice of an object, or of a version by its key, on a mountpath."""
        finding, bytes_read = None, 0
        for _ in range(ATTEMPTS_MAX):
            path = self.find_slice(mountpath, bck, key)
            if path is None:
                return None
            with disk_failures(path), contextlib.suppress(FileNotFoundError):
                before = self._disk.lstat(path)
                reason, header, count = self._slice_reason(path, depth)
                bytes_read += count
                identity = _identity((path, before))
                is_tombstone = header is not None and header.is_tombstone
                finding = SliceFinding(path, reason, is_tombstone, bytes_read, identity)
                if not reason or _identity((path, self._disk.lstat(path))) == identity:
                    return finding
        return finding._replace(reason="") if finding is not None else None

    def take_slice(self, bck: Bck, key: str, finding: SliceFinding, take: Callable[[], str]) -> str | None:
        """Have a damaged slice taken from its place, unless it was replaced since; what `take` returns."""

        def step() -> str | None:
            with contextlib.suppress(FileNotFoundError):
                if _identity((finding.path, self._disk.lstat(finding.path))) == finding.identity:
                    return take()
            return None

        with disk_failures(finding.path):
            return self._store.under_lock(bck, self._store.spot(bck, key), step, restore_lost=False)

    def _slice_reason(self, path: str, depth: Depth) -> tuple[str, slices.Slice | None, int]:
        fd = self._disk.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            head, size = self._disk.pread(fd, slices.HEADER_BYTES_MAX, 0), self._disk.fstat(fd).st_size
        finally:
            self._disk.close(fd)
        try:
            header, start = slices.decode(head)
        except CorruptMetadata as error:
            return str(error), None, len(head)
        if header.is_tombstone:
            return "", header, len(head)
        if size != start + header.body_bytes:
            return f"it has {size} bytes instead of {start + header.body_bytes}", header, len(head)
        if depth is Depth.METADATA:
            return "", header, len(head)
        return self._blocks_reason(path, header, start), header, size

    def _blocks_reason(self, path: str, header: slices.Slice, start: int) -> str:
        body, stripe, skip = bytearray(), 0, start
        for piece in self.paced(cold.read(self._disk, path)):
            fresh = piece[min(skip, len(piece)) :]
            skip = max(0, skip - len(piece))
            body += fresh
            while stripe < header.stripes:
                count = min(_STRIPES, header.stripes - stripe)
                length = header.span(stripe, count)[1]
                if len(body) < length:
                    break
                if slices.unseal(header, stripe, count, bytes(body[:length])) is None:
                    return f"one of the blocks {stripe} to {stripe + count - 1} does not have its checksum"
                del body[:length]
                stripe += count
        return "" if stripe >= header.stripes else "it breaks off"

    def _look(self, bck: Bck, spot: Spot, own: tuple[str, os.stat_result] | None, depth: Depth) -> Finding:
        wanted = self.copies_wanted(bck)
        copies = self._store.copies.find(spot) if bck in self._store.volume.mirrored else []
        meta = read_meta(self._disk, own[0]) if own is not None else None
        newest = max((copy.meta for copy in copies if copy.meta is not None), key=lambda one: one.stamp, default=None)
        may_be_older = self._store.volume.view.is_unsettled and any(copy.is_newer_than(meta) for copy in copies)
        standard = newest if may_be_older else meta or newest
        bad, bytes_read, good, is_there = [], 0, 0, False
        if own is not None:
            reason, count = self._reason(own[0], own[1], meta, standard, depth)
            bytes_read, is_there = count, not reason
            if reason:
                bad.append(Bad(spot.root, own[0], os.path.basename(spot.root), reason))
            good += not reason
        places = {one.path for one in self._store.copies.places(spot, wanted)}
        for copy in copies:
            if copy.mountpath.path in places:
                reason, count = self._reason(copy.path, copy.stat, copy.meta, standard, depth)
                bytes_read += count
                good += not reason
                if reason:
                    bad.append(Bad(copy.root, copy.path, layout.COPIES, reason))
        return Finding(
            standard if good else None, standard.size if standard else 0, is_there, good, tuple(bad), bytes_read
        )

    def _reason(
        self,
        path: str,
        stat: os.stat_result,
        meta: ObjectMeta | None,
        standard: ObjectMeta | None,
        depth: Depth,
    ) -> tuple[str, int]:
        """What is wrong with a file, empty: nothing; and the bytes read."""
        if meta is None or standard is None:
            return "its metadata is damaged", 0
        if meta.stamp != standard.stamp:
            return "it is of another write", 0
        if meta.cut is not None and not stat.st_size:
            return "", 0  # its content is in slices, which are looked at where they lie
        if meta.size != stat.st_size:
            return f"it has {stat.st_size} bytes instead of {meta.size}", 0
        if depth is Depth.METADATA:
            return "", 0
        return self._content_reason(path, meta)

    def _content_reason(self, path: str, meta: ObjectMeta) -> tuple[str, int]:
        digests, count = Digests(checksum.NONE, meta.promised, is_stored=True), 0
        try:
            for piece in self.paced(cold.read(self._disk, path)):
                digests.update(piece)
                count += len(piece)
            digests.verify(Bck(""), path)
        except FileNotFoundError:
            return "it went away", count
        except ContentDamaged as error:
            return str(error), count
        except OSError as error:
            return f"it cannot be read: {error.strerror}", count
        return "", count


def _identity(file: tuple[str, os.stat_result] | None) -> tuple[int, int, int] | None:
    return (file[1].st_ino, file[1].st_ctime_ns, file[1].st_size) if file else None
