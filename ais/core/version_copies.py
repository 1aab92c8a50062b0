"""Copies of kept versions and delete markers of mirrored buckets, and how they follow what becomes of these.

A mountpath has copies below `%cp` as it has versions beside it: that of the current file, and `%cp/%ve/<path>/%=/...`,
copies of what is on the shelf. A version that is kept takes its copies along by renaming them. In each change copies go
first, so what has a copy and is not there itself was lost, and is made again from it.
"""

import contextlib

from ais.core import tree
from ais.core.copies import Copies
from ais.core.spots import Spot
from ais.core.versions import DELETED, NULL, Succession, Version, Versions, kept_spot


def copied_head(versions: Versions, spot: Spot) -> Version | None:
    """The copy that stands for the latest version of a name that has none. Raise `OSError`."""
    for entry in ("", DELETED):
        found = [versions.at(place, entry) for place in versions.copy_places(spot)]
        whole = [one for one in found if one is not None and one.is_whole]
        if whole:
            return min(whole, key=lambda version: version.order)
    return None


class VersionCopies:
    """Of the objects on one volume. Methods that change anything need the object's lock; all raise `OSError`."""

    def __init__(self, copies: Copies, versions: Versions) -> None:
        self._copies = copies
        self._versions = versions

    def find(self, spot: Spot, version_id: str) -> Version | None:
        """A copy of the version with this ID."""
        for place in self._versions.copy_places(spot):
            for entry in (version_id, "", DELETED):
                found = self._versions.at(place, entry)
                if found is not None and found.is_whole and found.id == version_id:
                    return found
        return None

    def entries(self, spot: Spot) -> list[str]:
        """What is, or was, on the shelf of a name: there itself, or as a copy."""
        places = self._versions.places(spot) + self._versions.copy_places(spot)
        return sorted({entry for place in places for entry in self._versions.entries(place)})

    def counts(self, entry: str, head: Version | None) -> bool:
        """Whether an entry of the shelf is a version, and not what an interrupted change left (`ais.core.versions`)."""
        if entry == DELETED:
            return head is None or not head.is_current
        return head is None or entry != (head.id or NULL)

    def follow(self, spot: Spot, succession: Succession, *, fsync: bool = False) -> None:
        """Before a name gets another latest version: the copies of the present one become those of a kept version."""
        head = succession.head
        if head is not None:
            copied = _spot_of(spot, head)
            version_id = head.id if succession.keeps_head else self._id_of_damaged(spot, succession)
            if version_id:
                self._copies.rename(copied, kept_spot(spot, version_id), fsync=fsync)
            else:
                self._copies.drop(copied, fsync=fsync)
        if not succession.is_enabled:
            self._copies.drop(kept_spot(spot, NULL), fsync=fsync)

    def drop(self, spot: Spot, version: Version, *, fsync: bool = False) -> None:
        """Before a version is removed."""
        self._copies.drop(_spot_of(spot, version), fsync=fsync)

    def promote(self, spot: Spot) -> None:
        """After the latest version was removed: the copies of the next one are where those of the latest belong."""
        head = self._versions.head(spot)
        if head is not None:
            kept = kept_spot(spot, head.id or NULL)
            with contextlib.suppress(tree.FileInTheWay):  # then they are made anew
                self._copies.rename(kept, _spot_of(spot, head))
            self._copies.drop(kept)

    def drop_all(self, spot: Spot, *, fsync: bool = False) -> None:
        """Before a name is removed with all its versions."""
        self._copies.drop(spot, fsync=fsync)
        for entry in self.entries(spot):
            self._copies.drop(kept_spot(spot, entry), fsync=fsync)

    def restore_marker(self, spot: Spot) -> None:
        """If the latest version is a delete marker that was lost, make it of a copy."""
        if self._versions.deletion(spot) is None:
            self._copies.promote(kept_spot(spot, DELETED))

    def restore(self, spot: Spot) -> None:
        """Make every version that was lost of a copy of it."""
        head = self._versions.head(spot)
        there = {entry for place in self._versions.places(spot) for entry in self._versions.entries(place)}
        for entry in self.entries(spot):
            if entry not in there and self.counts(entry, head):
                self._copies.promote(kept_spot(spot, entry))

    def _id_of_damaged(self, spot: Spot, succession: Succession) -> str:
        """The ID of a latest version that is to be kept, and cannot say it itself, but a copy of it can."""
        copy = self._copies.newest(spot) if succession.is_enabled and succession.has_damaged_head else None
        return (copy.meta.version_id or NULL) if copy is not None and copy.meta is not None else ""


def _spot_of(spot: Spot, version: Version) -> Spot:
    """The place by which copies of a version are found."""
    return kept_spot(spot, version.entry) if version.entry else spot
