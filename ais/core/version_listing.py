"""Pages of all versions of a bucket's objects on this target: by name, of one name the newest first."""

import itertools
import os

import msgspec

from ais.api.bucket import Bck
from ais.core import meta as metadata
from ais.core import tree
from ais.core.listing import Block, Cursor, Cursors, ListLimits
from ais.core.meta import ObjectMeta
from ais.core.spots import Spot
from ais.core.version_copies import copied_head
from ais.core.versions import NULL, Version, Versions, order_of
from ais.core.walk import common_prefix
from ais.env import Env
from ais.fs import layout, names
from ais.fs.volume import View, Volume
from ais.meta.smap import digest

_LOOKS_MAX = 100
_STEP = 256
"""Names looked at together."""


class VersionEntry(msgspec.Struct, frozen=True, gc=False):
    """One version. `version_id` as clients say it (`null`); `name + "\\0" + order` sorts; `meta` None: damaged.

    A common prefix has nothing but a name.
    """

    name: str
    order: str = ""
    version_id: str = ""
    size: int = 0
    mtime_ns: int = 0
    is_latest: bool = False
    is_marker: bool = False
    meta: ObjectMeta | None = None

    @property
    def is_prefix(self) -> bool:
        """Whether it is a common prefix."""
        return not self.order


class VersionPage(msgspec.Struct, frozen=True):
    """Entries in order; without `has_more` nothing follows the last."""

    entries: list[VersionEntry]
    has_more: bool


class VersionLister:
    """Lists versions in the buckets of one volume. Any thread may call; a call blocks for the disk."""

    def __init__(self, volume: Volume, env: Env, *, limits: ListLimits | None = None) -> None:
        self._volume = volume
        self._disk = env.disk
        self._versions = Versions(volume, env)
        # A name may move from one to the other while they are read: whichever way, one of three looks meets it.
        contents, again = (layout.VERSIONS, layout.OBJECTS), (layout.VERSIONS,)
        self._cursors = Cursors(volume, env, limits or ListLimits(), contents, again)

    def page(
        self,
        bck: Bck,
        prefix: str = "",
        after: tuple[str, str] = ("", ""),
        limit: int = 1000,
        *,
        delimiter: str = "",
        session: str = "",
    ) -> VersionPage:
        """Up to `limit` versions of names that begin with `prefix`, behind `after`. Raise `DiskFailure`.

        `after`: (name, order of a version, or `null`); an empty order means all versions of that name. With a
        delimiter, names that have one behind the prefix are given as their common prefix. Pages of one listing give
        the same `session`, which makes them cheap. A bucket that is not there is empty.
        """
        first, order = after

        def read(cursor: Cursor) -> list[VersionEntry]:
            entries: list[VersionEntry] = []
            if order and first.startswith(prefix) and not common_prefix(first, prefix, delimiter):
                behind = self._order_of_null(bck, first) if order == NULL else order
                entries += self._versions_of(bck, first, behind, limit + 1)
            while len(entries) < limit and cursor.has_more:
                for block in cursor.take(min(limit - len(entries), _STEP)):
                    self._add(entries, cursor, bck, block, limit)
            return entries

        entries, cursor = self._cursors.page(read, bck, prefix, first, delimiter=delimiter, session=session)
        return VersionPage(entries[:limit], len(entries) > limit or cursor.has_more)

    def _add(self, entries: list[VersionEntry], cursor: Cursor, bck: Bck, block: Block, limit: int) -> None:
        """Add the versions of names until there are `limit` or more; the names that are left stay with the cursor."""
        if block.is_prefix:
            count = max(0, limit - len(entries))
            entries += [VersionEntry(name) for name in block.names[:count]]
            cursor.give_back(block.names[count:], entries[-1].name, is_prefix=True)
            return
        view = cursor.view
        is_plain = not view.is_unsettled and bck not in self._volume.mirrored
        latest = self._only_ones(view, bck, block) if is_plain else {}
        for at, name in enumerate(block.names):
            if len(entries) >= limit:
                cursor.give_back(block.names[at:], entries[-1].name, is_prefix=False)
                return
            if (only := latest.get(name)) is not None:
                entries.append(only)
            else:
                entries += self._versions_of(bck, name, "", limit + 1 - len(entries))

    def _only_ones(self, view: View, bck: Bck, block: Block) -> dict[str, VersionEntry]:
        """The versions of names that have one version each and no shelf; others are left out.

        A version goes to the shelf or comes from there by renames. So after the file was read there must be no shelf,
        and after that the file must still be the same: then there was nothing else in between.
        """
        available, prefix, is_single = view.available, bck.uname, len(view.available) == len(view.placed) == 1
        buckets = [layout.bucket_path(mountpath.path, bck) for mountpath in available]
        lstat, access, read = self._disk.lstat, self._disk.access, self._disk.attribute_reader(metadata.XATTR)
        found: list[tuple[str, int, str, os.stat_result, ObjectMeta]] = []
        paths = names.to_paths(block.names)
        for name, relative, order in zip(block.names, paths, block.all_orders(), strict=False):
            mountpath = available[order]
            if not is_single and mountpath is not view.owner(digest(prefix + name)):
                continue
            path = f"{buckets[order]}/{layout.OBJECTS}/{relative}"
            try:
                file = lstat(path)
            except (FileNotFoundError, NotADirectoryError):
                continue
            if tree.is_file(file) and not mountpath.may_be_torn(file):
                meta = metadata.decoded(read(path) or b"")
                if meta is not None:
                    found.append((name, order, relative, file, meta))
        shelves = [f"{bucket}/{layout.VERSIONS}" for bucket in buckets]
        has_shelves = [access(path, os.F_OK) for path in shelves]
        only: dict[str, VersionEntry] = {}
        for name, order, relative, file, meta in found:
            if has_shelves[order]:
                if access(f"{shelves[order]}/{relative}/{names.SELF}", os.F_OK):
                    continue
                try:
                    again = lstat(f"{buckets[order]}/{layout.OBJECTS}/{relative}")
                except (FileNotFoundError, NotADirectoryError):
                    continue
                if (again.st_ino, again.st_ctime_ns) != (file.st_ino, file.st_ctime_ns):
                    continue
            size, modified_ns = meta.size if meta.cut else file.st_size, file.st_mtime_ns
            version_id, place = meta.version_id or NULL, order_of(meta, modified_ns)
            only[name] = VersionEntry(name, place, version_id, size, modified_ns, True, meta.is_marker, meta)
        return only

    def _order_of_null(self, bck: Bck, name: str) -> str:
        """The order of the null version; empty, which is before all versions, when it is gone."""
        spot = self._spot(bck, name)
        head = self._head(bck, spot)
        if head is not None and head.id == NULL:
            return head.order
        null = self._versions.find_kept(spot, NULL, with_copies=bck in self._volume.mirrored)
        return null.order if null is not None else ""

    def _versions_of(self, bck: Bck, name: str, after: str, limit: int) -> list[VersionEntry]:
        """The versions of a name that follow `after`; while we look, one may move, so look until none did."""
        spot = self._spot(bck, name)
        head, is_mirrored = self._head(bck, spot), bck in self._volume.mirrored
        for _ in range(_LOOKS_MAX):
            kept = self._versions.kept(spot, head, after, with_copies=is_mirrored)
            found = list(itertools.islice(kept, limit))
            before, head = head, self._head(bck, spot)
            if head == before:
                break
        latest = [head] if head is not None and head.order > after else []
        in_order = sorted(latest + found, key=lambda version: version.order)[:limit]
        return [_entry(name, version, is_latest=version is head) for version in in_order]

    def _head(self, bck: Bck, spot: Spot) -> Version | None:
        """The latest version; when it is lost the copy that stands for it."""
        head = self._versions.head(spot)
        return copied_head(self._versions, spot) if head is None and bck in self._volume.mirrored else head

    def _spot(self, bck: Bck, name: str) -> Spot:
        view, key = self._volume.view, digest(bck.uname + name)
        owner = view.owner(key)
        return Spot.at(view, owner, bck, key, name)


def _entry(name: str, version: Version, *, is_latest: bool) -> VersionEntry:
    return VersionEntry(
        name,
        version.order,
        version.id or NULL,
        version.size,
        version.mtime_ns,
        is_latest,
        version.is_marker,
        version.meta,
    )
