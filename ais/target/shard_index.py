"""Indexes of shards: made from what lies on the disk, used by whoever reads one member, trusted for one content only.

An index names the content that it was made of: size and checksum of the shard, or the stamp of its write where the
bucket has no checksums. It is of no use for any other, and the shard is read from its beginning then.
"""

import contextlib
import os
from collections.abc import Callable, Iterator
from enum import Enum
from typing import NamedTuple

from ais.api.bucket import Bck
from ais.base.errors import AisError, DiskFailure, Unsupported
from ais.core import index_files
from ais.core.content import file_of
from ais.core.meta import ObjectMeta
from ais.core.store import OpenObject, Store
from ais.env.disk import Disk
from ais.fs.failures import disk_failures
from ais.shard import formats, index, reading
from ais.shard.formats import Format
from ais.shard.index import Damaged, Header, Place
from ais.target.shard_files import detect

INDEXED = (Format.TAR, Format.ZIP)


class State(Enum):
    """Of the index of one shard."""

    MISSING = "missing"
    STALE = "stale"
    INVALID = "invalid"
    VALID = "valid"


class Found(NamedTuple):
    """What an index that holds says about a name: where it lies, None when no member has that name."""

    place: Place | None


def is_indexed(name: str) -> bool:
    """Whether shards of that name have an index: tar and zip."""
    return index_files.may_have(name)


class ShardIndexes:
    """The indexes of this target's shards. All methods block."""

    def __init__(self, store: Store, disk: Disk) -> None:
        self._store = store
        self._disk = disk

    def find(self, bck: Bck, name: str, opened: OpenObject, member: str, mime: str = "") -> Found | None:
        """Look a member up in the index of an open shard: two reads. None: there is no index that holds."""
        if not is_indexed(name) or (mime and formats.by_mime(mime) is not formats.by_name(name)):
            return None
        with self._opened(bck, name) as pread:
            if pread is None:
                return None
            try:
                header = index.read_header(pread)
                if not _holds(header, name, opened.meta):
                    return None
                place = index.find(pread, header, reading.clean_name(member))
            except (Damaged, OSError):
                return None
        return None if place is not None and place.offset is None else Found(place)

    def state(self, bck: Bck, name: str, meta: ObjectMeta) -> tuple[State, int]:
        """Whether the shard with that metadata has an index that holds, and how many members that has."""
        with self._opened(bck, name) as pread:
            if pread is None:
                return State.MISSING, 0
            try:
                header = index.read_header(pread)
            except (Damaged, OSError):
                return State.INVALID, 0
        return (State.VALID, header.members) if _holds(header, name, meta) else (State.STALE, 0)

    def build(self, bck: Bck, name: str, opened: OpenObject) -> int:
        """Make the index of an open shard, which stays open; its members.

        Raise `BadShard`, `TooManyMembers`, `DiskFailure`, and `Unsupported` for an encrypted one, of which names would
        be readable: also in the index of what it replaced, or was appended to.
        """
        if opened.key is not None:
            with disk_failures(opened.mountpath.path):
                self._store.indexes.remove(self._store.spot(bck, name), name)
            raise Unsupported(f"{bck.cname(name)} is encrypted: it is read without an index")
        try:
            kind = detect(opened, name, "")
            with file_of(opened) as file:
                members = ((one.name, one.size, one.offset) for one, _ in reading.members(file, kind))
                content = index.build(name, kind.value, opened.meta.size, index_files.identity(opened.meta), members)
            spot = self._store.spot(bck, name)
            self._store.indexes.write(bck, spot, name, content)
        except OSError as error:
            raise DiskFailure(f"index of {bck.cname(name)}: {error.strerror}") from error
        return index.read_header(lambda size, at: content[at : at + size]).members

    def build_after_write(self, bck: Bck, name: str) -> None:
        """Make the index of a shard that was just written. What keeps it from that is no failure of the write."""
        if not is_indexed(name):
            return
        with contextlib.suppress(AisError):
            opened = self._store.open(bck, name)
            try:
                self.build(bck, name, opened)
            finally:
                os.close(opened.fd)

    @contextlib.contextmanager
    def _opened(self, bck: Bck, name: str) -> Iterator[Callable[[int, int], bytes] | None]:
        try:
            fd = self._store.indexes.open(self._store.spot(bck, name), name)
        except OSError:
            fd = None
        if fd is None:
            yield None
            return
        try:
            yield lambda size, offset: self._disk.pread(fd, size, offset)
        finally:
            self._disk.close(fd)


def _holds(header: Header, name: str, meta: ObjectMeta) -> bool:
    return (header.name, header.size, header.identity) == (name, meta.size, index_files.identity(meta))
