"""Names of buckets that keep versions, when they leave this target for another one: all versions and delete markers.

The versions below the latest go first, one by one, and lie on the shelf of the new owner, where they say nothing as
long as the name has no latest version there (`ais.core.versions`). The latest one is sent last: with it the name is
there, whole. Only then the old owner lets go, the latest version first. So killed anywhere, one of both has the whole
name; what the other one has is a part without a latest version, and is completed or dropped when it meets a whole one.
"""

import os
from typing import NamedTuple

from ais.api.bucket import Bck
from ais.base.errors import CorruptMetadata
from ais.core import meta as metadata
from ais.core.meta import ObjectMeta
from ais.core.spots import Spot
from ais.core.store import Store
from ais.core.versions import NULL, Version
from ais.env import Env
from ais.fs.failures import disk_failures, translate

_READ = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW


class Departing(NamedTuple):
    """What there is of a name, newest first. Without `has_head` it is a part that came from elsewhere."""

    versions: list[Version]
    has_head: bool


class OpenVersion(NamedTuple):
    """An open version; the caller closes `fd`."""

    fd: int
    stat: os.stat_result
    meta: ObjectMeta


class Departures:
    """Of the names in one store. Methods block; any thread may call."""

    def __init__(self, store: Store, env: Env) -> None:
        self._store = store
        self._disk = env.disk
        self._versions = store.versions

    def look(self, bck: Bck, name: str) -> Departing:
        """All versions of a name. Raise `CorruptMetadata` when one of them is damaged, `DiskFailure`."""
        spot = self._store.spot(bck, name)

        def step() -> Departing:
            if bck in self._store.volume.mirrored:
                self._store.version_copies.restore(spot)
            head = self._versions.head(spot)
            kept = list(self._versions.kept(spot, head))
            return Departing([head, *kept] if head is not None else kept, head is not None)

        with disk_failures(spot.path):
            found = self._store.under_lock(bck, spot, step)
        for version in found.versions:
            if version.meta is None or (not version.is_marker and version.meta.size != version.size):
                raise CorruptMetadata(f"{version.path}, a version of {bck.cname(name)}, is damaged")
        return found

    def open(self, version: Version) -> OpenVersion | None:
        """Open a version that `look` found; None when it lies elsewhere by now. Raise `CorruptMetadata`."""
        try:
            fd = self._disk.open(version.path, _READ)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise translate(error, version.path) from error
        try:
            with disk_failures(version.path):
                found = self._disk.fstat(fd)
                meta = metadata.decode(self._disk.getxattr(fd, metadata.XATTR))
        except BaseException:
            self._disk.close(fd)
            raise
        if meta == version.meta:
            return OpenVersion(fd, found, meta)
        self._disk.close(fd)
        return None

    def let_go(self, bck: Bck, name: str, sent: Departing, *, fsync: bool = False) -> bool:
        """Remove all versions of a name if they are those that were sent; return whether it is gone from here."""
        spot = self._store.spot(bck, name)
        known = {version.id: version.meta for version in sent.versions}

        def step() -> bool:
            head = self._versions.head(spot)
            found = [*([head] if head is not None else []), *self._versions.kept(spot, head)]
            if any(version.meta is None or known.get(version.id) != version.meta for version in found):
                return False
            self._store.require_all(bck)
            view = self._store.volume.view
            self._note(bck, spot, found, fsync=fsync)
            self._store.version_copies.drop_all(spot, fsync=fsync)
            self._versions.remove_all(spot, head)
            if self._store.volume.view is not view:  # a mountpath that went meanwhile must not bring it back either
                self._note(bck, spot, found, fsync=fsync)
            if fsync:
                self._versions.fsync(spot)
            return True

        with disk_failures(spot.path):
            return self._store.under_lock(bck, spot, step)

    def _note(self, bck: Bck, spot: Spot, found: list[Version], *, fsync: bool) -> None:
        """A mountpath that is out of use must not bring back what is removed; another version that it has stays one
        below what is elsewhere.
        """
        path = spot.path[len(spot.root) + 1 :]
        self._store.volume.note_covered(bck, path, fsync=fsync, is_moved=True)
        for version in found:
            self._store.volume.note_removed_version(bck, path, version.id or NULL, fsync=fsync, is_moved=True)
