"""Pages of all versions of a bucket's objects on this target: by name, of one name the newest first."""

import itertools

import msgspec

from ais.api.bucket import Bck
from ais.core.listing import Cursor, Cursors, ListLimits
from ais.core.meta import ObjectMeta
from ais.core.spots import Spot
from ais.core.version_copies import copied_head
from ais.core.versions import NULL, Version, Versions
from ais.core.walk import common_prefix
from ais.env import Env
from ais.fs import layout
from ais.fs.volume import Volume
from ais.meta.smap import digest

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
        contents = (layout.VERSIONS, layout.OBJECTS, layout.VERSIONS)
        self._cursors = Cursors(volume, env, limits or ListLimits(), contents)

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
                name, _, is_prefix, _ = cursor.take(1)[0]
                if is_prefix:
                    entries.append(VersionEntry(name))
                else:
                    entries += self._versions_of(bck, name, "", limit + 1 - len(entries))
            return entries

        entries, cursor = self._cursors.page(read, bck, prefix, first, delimiter=delimiter, session=session)
        return VersionPage(entries[:limit], len(entries) > limit or cursor.has_more)

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
