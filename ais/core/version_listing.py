"""Pages of all versions of a bucket's objects on this target: by name, of one name the newest first."""

import itertools
import os
from collections.abc import Callable, Iterator
from functools import partial
from typing import Generic, NamedTuple, TypeVar

import msgspec

from ais.api.bucket import Bck
from ais.api.listing import Entry
from ais.core import meta as metadata
from ais.core import tree
from ais.core.listing import Block, Cursor, Cursors, ListLimits
from ais.core.meta import ObjectMeta
from ais.core.shown import Read, Shown, key_of
from ais.core.spots import Spot
from ais.core.version_copies import copied_head
from ais.core.versions import NULL, Version, Versions, order_of
from ais.core.walk import common_prefix
from ais.env import Env
from ais.env.files import FILES_MAX
from ais.fs import layout, names
from ais.fs.mountpath import Mountpath
from ais.fs.volume import View, Volume
from ais.meta.smap import digest

T = TypeVar("T")
_LOOKS_MAX = 100


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


class _Found(NamedTuple):
    """What was seen of the file of an object."""

    name: str
    links: int
    inode: int
    changed_ns: int
    size: int
    modified_ns: int
    meta: ObjectMeta

    def entry(self) -> VersionEntry:
        """The version that it is, if it is the only one of its name."""
        meta = self.meta
        size, version_id, place = (
            meta.size if meta.cut else self.size,
            meta.version_id or NULL,
            order_of(meta, self.modified_ns),
        )
        return VersionEntry(self.name, place, version_id, size, self.modified_ns, True, meta.is_marker, meta)


class _Way(NamedTuple, Generic[T]):
    """What becomes of versions: how they are shown, of which name that is, and how names with one version are read."""

    shown: Callable[[VersionEntry], T]
    name: Callable[[T], str]
    only_ones: Callable[[View, Bck, Block], dict[str, T]]


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
        # A name may move from one to the other while they are read: whichever way, one of three looks meets it, or it
        # came back from a shelf (`Volume.unshelved`).
        contents, again = (layout.VERSIONS, layout.OBJECTS), (layout.VERSIONS,)
        self._cursors = Cursors(volume, env, limits or ListLimits(), contents, again)
        self._shown = Shown(volume.orders)

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
        way = _Way(lambda found: found, lambda found: found.name, self._only_ones)
        return VersionPage(*self._page(way, bck, prefix, after, limit, delimiter, session))

    def shown(
        self,
        bck: Bck,
        prefix: str,
        after: tuple[str, str],
        limit: int,
        show: Callable[[VersionEntry], Entry],
        *,
        delimiter: str = "",
        session: str = "",
    ) -> tuple[list[Entry], bool]:
        """The same as they are shown, the names with what sorts versions behind a NUL, and whether more follow."""
        way = _Way(show, key_of, partial(self._only_shown, show))
        return self._page(way, bck, prefix, after, limit, delimiter, session)

    def _page(
        self, way: "_Way[T]", bck: Bck, prefix: str, after: tuple[str, str], limit: int, delimiter: str, session: str
    ) -> tuple[list[T], bool]:
        first, order = after

        def read(cursor: Cursor) -> list[T]:
            entries: list[T] = []
            if order and first.startswith(prefix) and not common_prefix(first, prefix, delimiter):
                behind = self._order_of_null(bck, first) if order == NULL else order
                entries += map(way.shown, self._versions_of(bck, first, behind, limit + 1))
            while len(entries) < limit and cursor.has_more:
                for block in cursor.take(min(limit - len(entries), FILES_MAX)):
                    self._add(way, entries, cursor, bck, block, limit)
            return entries

        entries, cursor = self._cursors.page(read, bck, prefix, first, delimiter=delimiter, session=session)
        return entries[:limit], len(entries) > limit or cursor.has_more

    def _add(self, way: "_Way[T]", entries: list[T], cursor: Cursor, bck: Bck, block: Block, limit: int) -> None:
        """Add the versions of names until there are `limit` or more; the names that are left stay with the cursor."""
        if block.is_prefix:
            count = max(0, limit - len(entries))
            entries += [way.shown(VersionEntry(name)) for name in block.names[:count]]
            cursor.give_back(block.names[count:], way.name(entries[-1]), is_prefix=True)
            return
        view = cursor.view
        is_plain = not view.is_unsettled and bck not in self._volume.mirrored
        latest = way.only_ones(view, bck, block) if is_plain else {}
        for at, name in enumerate(block.names):
            if len(entries) >= limit:
                cursor.give_back(block.names[at:], way.name(entries[-1]), is_prefix=False)
                return
            if (only := latest.get(name)) is not None:
                entries.append(only)
            else:
                entries += map(way.shown, self._versions_of(bck, name, "", limit + 1 - len(entries)))

    def _only_shown(
        self, show: Callable[[VersionEntry], Entry], view: View, bck: Bck, block: Block
    ) -> dict[str, Entry]:
        """The same as `_only_ones` as they are shown, from what is kept of them."""
        only: dict[str, Entry] = {}
        for mountpath, some in _in_place(view, bck, block):
            fresh: set[str] = set()

            def read(lacking: list[str], mountpath: Mountpath = mountpath, fresh: set[str] = fresh) -> Read:
                found = self._without_shelf(mountpath, bck, lacking)
                fresh.update(one.name for one in found)
                plain = {one.name: show(one.entry()) for one in found if one.links == 1}
                return Read(plain, {one.name: show(one.entry()) for one in found if one.links != 1})

            bucket, kind = layout.bucket_path(mountpath.path, bck), f"versions {view.generation}"
            root, shelves = f"{bucket}/{layout.OBJECTS}", f"{bucket}/{layout.VERSIONS}"
            shown = self._shown.of(root, kind, some, read)
            kept = [name for name in some if name in shown and name not in fresh]
            if kept and self._disk.access(shelves, os.F_OK):  # as of those that were read
                bare = self._bare(shelves, kept)
                again = self._shown.kept(root, kind, bare) if bare else {}
                unchanged = {name for name in bare if again.get(name) == shown[name]}
                kept = [name for name in kept if name in unchanged]
            only |= {name: shown[name] for name in itertools.chain(kept, fresh)}
        return only

    def _bare(self, shelves: str, some: list[str]) -> list[str]:
        """The names that have no shelf."""
        access, paths = self._disk.access, names.to_paths(some)
        return [
            name
            for name, path in zip(some, paths, strict=True)
            if not access(f"{shelves}/{path}/{names.SELF}", os.F_OK)
        ]

    def _only_ones(self, view: View, bck: Bck, block: Block) -> dict[str, VersionEntry]:
        """The versions of names that have one version each and no shelf; others are left out."""
        return {
            found.name: found.entry()
            for mountpath, some in _in_place(view, bck, block)
            for found in self._without_shelf(mountpath, bck, some)
        }

    def _without_shelf(self, mountpath: Mountpath, bck: Bck, some: list[str]) -> "list[_Found]":
        """The objects of names that have no shelf.

        A version goes to the shelf or comes from there by renames. So after the file was read there must be no shelf,
        and after that the file must still be the same: then there was nothing else in between.
        """
        bucket = layout.bucket_path(mountpath.path, bck)
        with self._disk.files_below(f"{bucket}/{layout.OBJECTS}", metadata.XATTR) as files:
            files.look(names.to_paths(some), with_values=True)
            seen = files.modes(), files.links(), files.inodes(), files.changed_ns(), files.sizes(), files.modified_ns()
            found = {
                name: _Found(name, links, inode, changed_ns, size, modified_ns, meta)
                for name, mode, links, inode, changed_ns, size, modified_ns, meta in zip(
                    some, *seen, metadata.all_decoded(files.values), strict=True
                )
                if tree.is_regular(mode) and meta is not None and not mountpath.may_be_torn(changed_ns)
            }
            shelves = f"{bucket}/{layout.VERSIONS}"
            if not found or not self._disk.access(shelves, os.F_OK):
                return list(found.values())
            bare = self._bare(shelves, list(found))
            files.look(names.to_paths(bare), with_values=False)
            again = zip(map(found.__getitem__, bare), files.inodes(), files.changed_ns(), strict=True)
            return [one for one, inode, changed_ns in again if (inode, changed_ns) == (one.inode, one.changed_ns)]

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


def _in_place(view: View, bck: Bck, block: Block) -> Iterator[tuple[Mountpath, list[str]]]:
    """The names of a block that are where placement wants them, by where that is."""
    prefix, is_single = bck.uname, len(view.available) == len(view.placed) == 1
    for order, found in block.by_walk():
        mountpath = view.available[order]
        some = found if is_single else [name for name in found if mountpath is view.owner(digest(prefix + name))]
        if some:
            yield mountpath, some


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
