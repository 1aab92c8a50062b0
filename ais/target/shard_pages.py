"""Listing inside shards: pages in which each shard is followed by the names of its members (`<shard>/<member>`).

Names stay in order over objects and members, so a page may end inside a shard: the next one opens that shard again.
"""

import heapq
import os
from collections.abc import Callable

import msgspec

from ais.api.listing import Entry, EntryFlag, LsoMsg, Page
from ais.base.errors import AisError, Busy, NotReady
from ais.core.content import file_of
from ais.core.store import OpenObject
from ais.shard import formats, reading
from ais.target.front import Misplaced
from ais.target.shard_files import detect

MEMBERS_MAX = 1_000_000
"""Of one shard, in a listing: names and sizes of all are held while a page passes over it."""
_MEMBER = int(EntryFlag.PRESENT | EntryFlag.IN_ARCHIVE)
_SHARD = int(EntryFlag.IS_ARCHIVE)

Open = Callable[[str], OpenObject]
"""Opens a shard of the bucket, as any reader would, by its name; blocks."""
Find = Callable[[LsoMsg], tuple[list[Entry], bool]]


def page(open_shard: Open, message: LsoMsg, find: Find) -> Page:
    """One page with the members of shards. `find` gives objects. Blocks.

    Raise what keeps a shard from being opened now (`NotReady`, `Busy`): a listing never leaves out what may be there.
    """
    entries: list[Entry] = []
    limit, token = message.pagesize, message.after
    pending = _Pending(open_shard, message)
    more = True
    while more and len(entries) < limit:
        wanted = limit - len(entries)
        found, more = find(msgspec.structs.replace(message, start_after="", continuation_token=token, pagesize=wanted))
        for entry in found:
            entries += pending.take(limit - len(entries), before=entry.n)
            if len(entries) == limit:
                return Page(message.uuid, entries[-1].n, entries)
            if not entry.is_dir and formats.by_name(entry.n):
                pending.open(entry.n)
                entry.f |= _SHARD
            entries.append(entry)
            token = entry.n
    entries += pending.take(limit - len(entries)) if not more else []
    return Page(message.uuid, entries[-1].n if entries and (more or pending) else "", entries)


class _Pending:
    """Members that were found and not given yet, in order."""

    def __init__(self, open_shard: Open, message: LsoMsg) -> None:
        self._open_shard = open_shard
        self._after, self._prefix = message.after, message.prefix
        self._names: list[tuple[str, int]] = []
        self._opened: set[str] = set()
        # "s.tar/m" comes behind "s.tar", and behind "s.tar-x" too: whatever begins what was given last may go on
        for inside in (message.after, message.prefix):
            for end in range(1, len(inside) + 1):
                if formats.by_name(inside[:end]):
                    self.open(inside[:end])

    def __bool__(self) -> bool:
        return bool(self._names)

    def open(self, shard: str) -> None:
        """Add the members of a shard; one that is gone or no archive has none."""
        if shard in self._opened:
            return
        self._opened.add(shard)
        try:
            opened = self._open_shard(shard)
        except AisError as error:
            if isinstance(error, NotReady | Busy) and not isinstance(error, Misplaced):
                raise
            return
        try:
            with file_of(opened) as file:
                for count, (member, _) in enumerate(reading.members(file, detect(opened, shard, ""))):
                    name = f"{shard}/{member.name}"
                    if name > self._after and name.startswith(self._prefix) and count < MEMBERS_MAX:
                        heapq.heappush(self._names, (name, member.size))
        except (AisError, OSError):
            return
        finally:
            os.close(opened.fd)

    def take(self, count: int, before: str = "") -> list[Entry]:
        """The next members, up to `count`, whose names are less than `before` (empty: all)."""
        taken: list[Entry] = []
        last = ""
        while self._names and len(taken) < count and (not before or self._names[0][0] < before):
            name, size = heapq.heappop(self._names)
            if name != last:
                taken.append(Entry(name, s=size, f=_MEMBER))
            last = name
        return taken
