"""The entries of a batch that this target owns, read in order and ahead of whoever takes them.

Small objects are read whole, several in one step of a thread; the next step runs while the last one's are being sent.
A large one comes in pieces, so that memory stays within a few steps whatever is asked for. Objects that may have to be
fetched or repaired before (`ais.target.opening`) are opened on the event loop, those of one step ahead of it.
"""

import asyncio
import os
from collections.abc import AsyncGenerator, Callable, Generator, Iterator, Sequence
from typing import IO, NamedTuple

from ais.api.access import Access
from ais.api.bucket import Bck
from ais.base.errors import AisError, BadRequest, DiskFailure, MemberNotFound
from ais.core.content import file_of, pread_of
from ais.core.store import OpenObject, Store
from ais.shard import reading
from ais.shard.formats import Format
from ais.shard.reading import Content, Member
from ais.target.opening import Opening
from ais.target.shard_files import detect
from ais.target.shard_index import ShardIndexes
from ais.target.view import BucketView, Views

STEP_BYTES = 1 << 20
"""Read in one step of a thread; larger entries come in pieces of this size."""
STEP_ENTRIES = 64
MEMBERS_REMEMBERED_MAX = 100_000


class Wanted(NamedTuple):
    """One entry, as this target reads it."""

    bck: Bck
    name: str
    archpath: str
    start: int
    length: int


class Read:
    """What became of one entry: its size and bytes, or an error.

    `data` None: the bytes come from `pieces`, a blocking iterator that must be exhausted or closed.
    """

    __slots__ = ("data", "error", "pieces", "size")

    def __init__(
        self,
        size: int,
        data: bytes | None = None,
        pieces: Generator[bytes, None, None] | None = None,
        error: AisError | None = None,
    ) -> None:
        self.size = size
        self.data = data
        self.pieces = pieces
        self.error = error


class LocalReader:
    """Reads entries of one request."""

    def __init__(self, views: Views, store: Store, opening: Opening, indexes: ShardIndexes) -> None:
        self._views = views
        self._store = store
        self._opening = opening
        self._shards = _Shards(indexes)

    def is_coded(self, bck: Bck) -> bool:
        """Whether another target can stand in for one that is away."""
        view = self._views.get(bck)
        return view is not None and view.is_coded

    async def read_all(self, wanted: Sequence[Wanted], *, only_sizes: bool) -> AsyncGenerator[list[Read], None]:
        """All entries in order, in groups. Whoever takes a group exhausts its pieces before the next."""
        position = 0
        ahead: asyncio.Future[list[Read]] | None = None
        try:
            while position < len(wanted) or ahead is not None:
                group = await (ahead or self._next(wanted, position, only_sizes))
                ahead = None
                position += len(group)
                if position < len(wanted) and group[-1].pieces is None:
                    ahead = asyncio.ensure_future(self._next(wanted, position, only_sizes))
                yield group
        finally:
            if ahead is not None:
                for one in await ahead:
                    close(one)
            self._shards.close()

    async def _next(self, wanted: Sequence[Wanted], position: int, only_sizes: bool) -> list[Read]:
        """Read from `position` on: until it is enough for one step, or a large entry was opened."""
        ahead = wanted[position : position + STEP_ENTRIES]
        opened: list[OpenObject | AisError] = []
        try:
            if self._careful_view(ahead[0]) is not None:
                ahead = await self._open_careful(ahead, opened)
            step = asyncio.ensure_future(asyncio.to_thread(self._step, ahead, opened, only_sizes))
            try:
                return await asyncio.shield(step)
            except asyncio.CancelledError:
                for one in await step:
                    close(one)
                raise
        finally:
            for found in opened:
                if isinstance(found, OpenObject):
                    _close(found)

    def _careful_view(self, wanted: Wanted) -> BucketView | None:
        view = self._views.get(wanted.bck)
        return view if view is not None and view.needs_care and view.allowed & Access.GET else None

    async def _open_careful(self, wanted: Sequence[Wanted], opened: list[OpenObject | AisError]) -> Sequence[Wanted]:
        """Add to `opened` what may be enough for one step; return the entries it is for."""
        size = 0
        for one in wanted:
            view = self._careful_view(one)
            if view is None or size >= STEP_BYTES:
                break
            try:
                found = await self._opening.read(view, one.name)
            except AisError as error:
                opened.append(error)
                continue
            opened.append(found)
            size += found.stat.st_size
        return wanted[: len(opened)]

    def _step(self, wanted: Sequence[Wanted], opened: list[OpenObject | AisError], only_sizes: bool) -> list[Read]:
        """Read entries that are opened, or else all before one that needs care."""
        group: list[Read] = []
        size = 0
        for index, entry in enumerate(wanted):
            if size >= STEP_BYTES or (not opened and self._careful_view(entry) is not None):
                break
            one = self._read(entry, opened[index] if opened else None, only_sizes)
            group.append(one)
            if one.pieces is not None:
                break
            size += one.size
        return group

    def _read(self, wanted: Wanted, found: OpenObject | AisError | None, only_sizes: bool) -> Read:
        try:
            if isinstance(found, AisError):
                raise found
            view = self._views.require(wanted.bck)
            view.require(Access.GET)
            opened = found or self._store.open(wanted.bck, wanted.name)
            try:
                if view.verifies and not only_sizes:
                    self._store.verify(wanted.bck, wanted.name, opened)
                return self._read_opened(wanted, opened, only_sizes)
            finally:
                _close(opened)
        except AisError as error:
            return Read(0, b"", error=error)
        except OSError as error:
            return Read(0, b"", error=DiskFailure(f"{wanted.bck.cname(wanted.name)}: {error.strerror}"))

    def _read_opened(self, wanted: Wanted, opened: OpenObject, only_sizes: bool) -> Read:
        content: Content | None = None
        offset, whole = 0, opened.stat.st_size
        if wanted.archpath:
            member, content = self._shards.find(wanted, opened)
            whole = member.size
            if member.offset is not None:
                offset, content = member.offset, None
        start, size = _clip(wanted, whole)
        if only_sizes:
            return Read(size, b"")
        if content is not None:
            pieces = _slice(content(), start, size)
            return Read(size, b"".join(pieces)) if size <= STEP_BYTES else Read(size, None, pieces)
        if size <= STEP_BYTES:
            return Read(size, _read_range(pread_of(opened), offset + start, size))
        pread, fd, opened.fd = pread_of(opened), opened.fd, -1
        return Read(size, None, _pieces(pread, fd, offset + start, size))


def close(one: Read) -> None:
    """Let go of what an entry that nobody takes holds open."""
    if one.pieces is not None:
        one.pieces.close()


def _close(opened: OpenObject) -> None:
    fd, opened.fd = opened.fd, -1
    if fd >= 0:
        os.close(fd)


class _Shards:
    """The shard that was used last: many files of one are often asked for in a row."""

    def __init__(self, indexes: ShardIndexes) -> None:
        self._indexes = indexes
        self._key: tuple[Bck, str, int, int] | None = None
        self._known: dict[str, Member] = {}
        self._file: IO[bytes] | None = None

    def find(self, wanted: Wanted, opened: OpenObject) -> tuple[Member, Content | None]:
        """A file in an opened shard. Raise `MemberNotFound`, `BadRequest`."""
        key = wanted.bck, wanted.name, opened.stat.st_ino, opened.stat.st_mtime_ns
        name = reading.clean_name(wanted.archpath)
        if key == self._key and (known := self._known.get(name)) is not None:
            return known, None
        indexed = self._indexes.find(wanted.bck, wanted.name, opened, name)
        if indexed is not None and indexed.place is None:
            raise _missing(wanted)
        if indexed is not None and indexed.place is not None:
            return Member(name, indexed.place.size, indexed.place.offset), None
        kind = detect(opened, wanted.name, "")
        if kind in (Format.TGZ, Format.LZ4):
            return self._find_packed(wanted, opened, kind)
        if key != self._key:
            self._key, self._known = key, {}
            self._remember(opened, kind)
        if (known := self._known.get(name)) is not None:
            return known, None
        return self._find_packed(wanted, opened, kind)

    def close(self) -> None:
        """Forget the shard."""
        self._key, self._known = None, {}

    def _remember(self, opened: OpenObject, kind: Format) -> None:
        for member, _ in reading.members(file_of(opened), kind):
            if member.offset is not None:
                self._known.setdefault(member.name, member)
            if len(self._known) >= MEMBERS_REMEMBERED_MAX:
                break

    def _find_packed(self, wanted: Wanted, opened: OpenObject, kind: Format) -> tuple[Member, Content]:
        file = file_of(opened, os.dup(opened.fd))
        try:
            found = reading.find(file, kind, wanted.archpath)
        except BaseException:
            file.close()
            raise
        if found is None:
            file.close()
            raise _missing(wanted)
        return found[0], _Closing(file, found[1])


def _missing(wanted: Wanted) -> MemberNotFound:
    return MemberNotFound(f"{wanted.archpath[:1000]} in {wanted.bck.cname(wanted.name)} does not exist")


class _Closing:
    """The content of a file in a shard; its end closes the shard."""

    def __init__(self, file: IO[bytes], content: Content) -> None:
        self._file = file
        self._content = content

    def __call__(self) -> Iterator[bytes]:
        with self._file:
            yield from self._content()


def _clip(wanted: Wanted, size: int) -> tuple[int, int]:
    """Offset and length of what is asked for. Raise `BadRequest` for a range that is not inside."""
    if not wanted.length:
        return 0, size
    length = size - wanted.start if wanted.length < 0 else wanted.length
    if wanted.start > size or wanted.start + length > size:
        raise BadRequest(
            f"{wanted.bck.cname(wanted.name)}: size={size}: not satisfiable range"
            f" [start={wanted.start},length={wanted.length}]"
        )
    return wanted.start, length


def _read_range(pread: Callable[[int, int], bytes], offset: int, size: int) -> bytes:
    data = pread(size, offset) if size else b""
    while len(data) < size:
        more = pread(size - len(data), offset + len(data))
        if not more:
            raise DiskFailure("a file became shorter while it was read")
        data += more
    return data


def _pieces(pread: Callable[[int, int], bytes], fd: int, offset: int, size: int) -> Generator[bytes, None, None]:
    try:
        while size:
            data = _read_range(pread, offset, min(size, STEP_BYTES))
            offset, size = offset + len(data), size - len(data)
            yield data
    finally:
        os.close(fd)


def _slice(chunks: Iterator[bytes], start: int, size: int) -> Generator[bytes, None, None]:
    """`size` bytes from `start` of what the chunks are together."""
    for chunk in chunks:
        if not size:
            break
        piece = chunk[start : start + size]
        start = max(0, start - len(chunk))
        size -= len(piece)
        if piece:
            yield piece
