"""Pages of a bucket's names on this target: the walks of all mountpaths merged, with as much detail as was asked for.

A page that stops in the middle leaves a cursor for the next page of the same session, so that a flat directory of many
names is read once and not once per page. Cursors are a convenience: bounded in number, names and idle time, and a page
without one seeks by itself. A listing without a session, or a new one, always looks at the disk.
"""

import enum
import threading
from bisect import bisect_right
from collections import Counter, OrderedDict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import repeat
from operator import attrgetter
from typing import NamedTuple, TypeVar

import msgspec

from ais.api import listing
from ais.api.bucket import Bck
from ais.base.errors import NotReady
from ais.core import meta as metadata
from ais.core import tree
from ais.core.meta import ObjectMeta
from ais.core.shown import Read, Shown
from ais.core.spots import Rank, rank, read_meta
from ais.core.walk import WINDOW_MAX, Walk, common_prefix
from ais.env import Env
from ais.env.files import FILES_MAX
from ais.fs import layout, names
from ais.fs.failures import disk_failures
from ais.fs.mountpath import Mountpath
from ais.fs.moved import MovedNames
from ais.fs.volume import View, Volume
from ais.meta.smap import digest

T = TypeVar("T")
_name = attrgetter("name")
_ATTEMPTS_MAX = 5
_CHANGING = "the mountpaths of {} keep changing: try again in a moment"
_WALKED_STEP = 1000


class Detail(enum.IntEnum):
    """What to find out about each object: each step costs a system call per name."""

    NAMES = 0
    STAT = 1
    META = 2


class Entry(msgspec.Struct, frozen=True, gc=False):
    """An object, or a common prefix (`is_dir`). Only what the detail asks for is filled in.

    `is_misplaced`: the object lies on another mountpath than placement says. `meta` None with `Detail.META`: damaged.
    """

    name: str
    is_dir: bool = False
    is_misplaced: bool = False
    mountpath: Mountpath | None = None
    size: int = 0
    mtime_ns: int = 0
    atime_ns: int = 0
    meta: ObjectMeta | None = None


class Page(msgspec.Struct, frozen=True):
    """Entries in order of name; `has_more`: at least one more name follows the last."""

    entries: list[Entry]
    has_more: bool


class Show(NamedTuple):
    """How objects and common prefixes are shown: what is found out about each, and what is made of that."""

    detail: Detail
    entry: Callable[[Entry], listing.Entry]
    kind: str = ""
    """Which function of the object's file that is; empty when it depends on more than the file. Such are kept."""
    named: Callable[[list[str]], list[listing.Entry]] | None = None
    """The same of objects in their place, of which only the name is shown."""


class ListLimits(msgspec.Struct, frozen=True):
    """Settings of a lister. A name held costs about 100 bytes."""

    cursors_max: int = 64
    names_held_max: int = 800_000
    idle_s_max: float = 60.0
    window_max: int = WINDOW_MAX


class Block(NamedTuple):
    """Names that follow one another, each once: all of objects, or all common prefixes."""

    names: list[str]
    orders: Mapping[str, int] | int
    """Which walk found each: the mountpath's place in the view."""
    repeated: Collection[str] = ()
    """Those that several mountpaths have, or that went from one to another."""
    is_prefix: bool = False

    def order_of(self, name: str) -> int:
        """Which walk found a name."""
        return self.orders if isinstance(self.orders, int) else self.orders[name]

    def all_orders(self) -> Iterable[int]:
        """Which walk found each of the names."""
        return repeat(self.orders) if isinstance(self.orders, int) else map(self.orders.__getitem__, self.names)

    def only(self, name: str) -> "Block":
        """One of its names alone."""
        return self._replace(names=[name])

    def by_walk(self) -> list[tuple[int, list[str]]]:
        """What each walk found."""
        if isinstance(self.orders, int):
            return [(self.orders, self.names)]
        found: dict[int, list[str]] = {}
        for name in self.names:
            found.setdefault(self.orders[name], []).append(name)
        return list(found.items())


class _Head:
    """What comes next of one walk: names that are read and not taken yet."""

    __slots__ = ("_runs", "at", "is_prefix", "names", "order")

    def __init__(self, walk: Walk) -> None:
        self.order = walk.order
        self._runs = walk.runs()
        self.names: list[str] = []
        self.at, self.is_prefix = 0, False

    @property
    def held(self) -> int:
        return len(self.names) - self.at

    def load(self) -> bool:
        """Have something next; False at the end."""
        while self.at >= len(self.names):
            if (run := next(self._runs, None)) is None:
                self.names, self.at = [], 0
                return False
            (self.names, self.is_prefix), self.at = run, 0
        return True

    def upto(self, bound: str, count: int) -> list[str]:
        """Pass and return the next names that are not greater than `bound`, at most so many."""
        at, names = self.at, self.names
        end = len(names) if names[-1] <= bound else bisect_right(names, bound, lo=at)
        end = self.at = min(end, at + count)
        return names[at:end]


class Cursor:
    """A merged walk that may be paused after any entry."""

    def __init__(
        self,
        volume: Volume,
        bck: Bck,
        begin: Callable[[View], list[Walk]],
        after: str,
        shown: Callable[[str], str],
        is_used: Callable[[str], bool],
        moved: Sequence[MovedNames],
        again: Callable[[str], list[Walk]] | None = None,
    ) -> None:
        """`shown`: what a name is listed as, its common prefix for one; empty: not at all. `is_used`: whether names
        begin with that, now. `moved`: who is told what goes to where was read before. `again`: walks, from a name on,
        through where names go that leave what was walked through. Raise `OSError`.
        """
        self._moved, self.view = [(one, one.count) for one in moved], volume.view  # before anything is read
        self.last = after
        self._volume, self._bucket, self._shown, self._is_used = volume, layout.bucket_path("", bck), shown, is_used
        self._again = again
        self._late: list[tuple[str, bool]] = []
        """What went to where was read before it came there, in order; with whether it is a directory."""
        self._is_complete = True
        self.used_at = 0.0
        self._walks = begin(self.view)
        self._heads = [head for head in map(_Head, self._walks) if head.load()]
        if not self._heads:
            self._look_again([])

    @property
    def names_held(self) -> int:
        """How many names it keeps in memory."""
        return sum(walk.names_held for walk in self._walks) + sum(head.held for head in self._heads)

    @property
    def has_more(self) -> bool:
        """Whether `take` would return a name."""
        return bool(self._heads or self._late)

    @property
    def is_sure(self) -> bool:
        """Whether nothing was missed: the mountpaths are the same, and what moved between them is known."""
        return self._is_complete and self.view is self._volume.view

    @property
    def _has_moved(self) -> bool:
        """Whether anything was moved since we looked last."""
        return any(told.count != count for told, count in self._moved)

    def take(self, count: int) -> list[Block]:
        """The next `count` names, fewer at the end."""
        blocks = self._take(count)
        if blocks:
            self._look_again(blocks)
        if self._has_moved:
            self._catch_up(self.last)
        if self._late and not (blocks and self._heads and self._late[0][0] > blocks[-1].names[-1]):
            blocks = self._with_late(blocks, count)
        if blocks:
            self.last = blocks[-1].names[-1]
        return blocks

    def give_back(self, names: list[str], last: str, *, is_prefix: bool) -> None:
        """Have names come again that were taken, all of them greater than `last`, which was used."""
        if names:
            self._late = sorted([*self._late, *((name, is_prefix) for name in names)])
            self.last = last

    def _look_again(self, blocks: list[Block]) -> None:
        """Learn what went, while these were read, to where we had looked before: up to the last of them, or to the end
        when nothing is left to read.
        """
        if self._again is None:
            return
        known = {name for block in blocks for name in block.names}.union(name for name, _ in self._late)
        end = blocks[-1].names[-1] if self._heads else None
        found: set[tuple[str, bool]] = set()
        for walk in self._again(self.last):
            for run, is_prefix in walk.runs():
                found.update((name, is_prefix) for name in run if name not in known and (end is None or name <= end))
                if end is not None and run[-1] > end:
                    break
        if found:
            self._late = sorted(found.union(self._late))

    def _with_late(self, blocks: list[Block], count: int) -> list[Block]:
        """With what was moved behind our back, one name to a block."""
        after = self.last
        taken = [
            (name, block.order_of(name), block.is_prefix, name in block.repeated)
            for block in blocks
            for name in block.names
        ]
        is_complete = False
        while not is_complete or self._has_moved:
            if is_complete:
                self._catch_up(after)
            is_complete = True
            known = {one[0] for one in taken}
            before = [one for one in self._late if one[0] not in known and (not taken or one[0] < taken[-1][0])]
            self._late = [one for one in self._late if one[0] not in known and one not in before]
            taken = sorted([*taken, *((name, 0, is_dir, True) for name, is_dir in before)])
            self._late = sorted([*self._late, *((name, is_dir) for name, _, is_dir, _ in taken[count:])])
            del taken[count:]
        return [Block([name], order, (name,) if again else (), is_dir) for name, order, is_dir, again in taken]

    def _catch_up(self, after: str) -> None:
        """Learn what was moved since we looked last. What begins with a common prefix may have been deleted by now."""
        moved: list[tuple[str, str]] = []
        for at, (told, count) in enumerate(self._moved):
            now, names_moved = told.since(count)
            self._moved[at] = told, now
            self._is_complete &= names_moved is not None
            moved += names_moved or ()
        shown = ((name, self._shown(name)) for bucket, name in moved if bucket == self._bucket)
        late = {(listed, listed != name) for name, listed in shown if listed > after}.difference(self._late)
        self._late = sorted([*self._late, *(one for one in late if not one[1] or self._is_used(one[0]))])

    def _take(self, count: int) -> list[Block]:
        blocks: list[Block] = []
        while self._heads and count > 0:
            block = self._next(count)
            self._heads = [head for head in self._heads if head.load()]
            count -= len(block.names)
            blocks.append(block)
        return blocks

    def _next(self, count: int) -> Block:
        """Up to so many names of one kind that nothing unread can come between."""
        heads = self._heads
        if len(heads) == 1:
            [head] = heads
            return Block(head.upto(head.names[-1], count), head.order, (), head.is_prefix)
        first = min(heads, key=lambda head: head.names[head.at])
        same = [head for head in heads if head.is_prefix is first.is_prefix]
        bound = min(head.names[-1] for head in same)
        if len(same) < len(heads):
            # A name is of one kind in every walk, so the next of the other kind is none of ours.
            bound = min(bound, *(head.names[head.at] for head in heads if head.is_prefix is not first.is_prefix))
        parts = [(head, head.at, head.upto(bound, count)) for head in same if head.names[head.at] <= bound]
        if len(parts) == 1:
            [(head, _, names)] = parts
            return Block(names, head.order, (), first.is_prefix)
        orders: dict[str, int] = {}
        for head, _, part in reversed(parts):
            orders.update(dict.fromkeys(part, head.order))
        names = sorted(orders)  # sorted runs one after the other: nearly a plain merge
        if len(names) > count:
            del names[count:]
            for head, at, part in parts:  # what does not fit stays
                head.at = at + bisect_right(part, names[-1])
        repeated: Collection[str] = ()
        if sum(len(part) for _, _, part in parts) > len(orders):
            counted = Counter(name for _, _, part in parts for name in part)
            repeated = {name for name, found in counted.items() if found > 1}
        return Block(names, orders, repeated, first.is_prefix)


class Cursors:
    """The cursors of all listings of one volume. Any thread may call."""

    def __init__(
        self, volume: Volume, env: Env, limits: ListLimits, contents: tuple[str, ...], again: tuple[str, ...] = ()
    ) -> None:
        """`contents`: the directories of a bucket whose names are listed. `again`: those of them that names may go to
        from others meanwhile, which are looked at once more after each step.
        """
        self._volume = volume
        self._again = again
        self._disk = env.disk
        self._clock = env.clock
        self._limits = limits
        self._contents = contents
        self._guard = threading.Lock()
        self._paused: OrderedDict[tuple[str, Bck, str, str], tuple[Cursor, int]] = OrderedDict()
        """With how many names each holds."""
        self._held = 0

    def open(self, bck: Bck, prefix: str, after: str, *, delimiter: str = "", session: str = "") -> Cursor:
        """A cursor at the first name greater than `after`; of a session, the paused one if it stands there."""
        cursor = self._resume((session, bck, prefix, delimiter), after) if session else None
        return cursor or self._begin(bck, prefix, after, delimiter)

    def page(
        self, read: Callable[[Cursor], T], bck: Bck, prefix: str, after: str, *, delimiter: str, session: str
    ) -> tuple[T, Cursor]:
        """What `read` finds from the first name greater than `after` on, with nothing missed, and where it stopped.

        Raise `DiskFailure`, `NotReady` when a mountpath is not there, or they change all the time.
        """
        for _ in range(_ATTEMPTS_MAX):
            with disk_failures(bck.cname()):
                cursor = self.open(bck, prefix, after, delimiter=delimiter, session=session)
                found = read(cursor)
            if cursor.is_sure:
                if session and cursor.has_more:
                    self._keep((session, bck, prefix, delimiter), cursor)
                self._volume.require_whole(bck)
                return found, cursor
        raise NotReady(_CHANGING.format(bck.cname()))

    def _begin(self, bck: Bck, prefix: str, after: str, delimiter: str) -> Cursor:
        self._volume.require_whole(bck)

        def walks(
            view: View,
            prefix: str = prefix,
            after: str = after,
            delimiter: str = delimiter,
            contents: tuple[str, ...] = self._contents_of(bck),
        ) -> list[Walk]:
            return [
                Walk(
                    self._disk,
                    f"{layout.bucket_path(mountpath.path, bck)}/{content}",
                    prefix,
                    after,
                    delimiter=delimiter,
                    order=order,
                    window_max=self._limits.window_max,
                    orders=self._volume.orders,
                    is_late=content == layout.OBJECTS,  # where names go that leave a shelf
                )
                for content in contents
                for order, mountpath in enumerate(view.available)
            ]

        def shown(name: str) -> str:
            return (common_prefix(name, prefix, delimiter) or name) if name.startswith(prefix) else ""

        def is_used(begun: str) -> bool:
            return any(True for walk in walks(self._volume.view, begun, "", "") for _ in walk)

        def again(after: str) -> list[Walk]:
            return walks(self._volume.view, after=after, contents=self._again)

        volume = self._volume
        moved = (volume.moved, volume.unshelved) if self._again else (volume.moved,)
        return Cursor(volume, bck, walks, after, shown, is_used, moved, again if self._again else None)

    def _contents_of(self, bck: Bck) -> tuple[str, ...]:
        """Where names of a bucket are: of a mirrored one also copies, whose object may be lost and not restored yet."""
        if bck not in self._volume.mirrored:
            return self._contents
        kept = (layout.KEPT_COPIES,) if layout.VERSIONS in self._contents else ()
        return (*self._contents, layout.COPIES, *kept)

    def _resume(self, key: tuple[str, Bck, str, str], after: str) -> Cursor | None:
        """Take the paused cursor of a listing, if it stands where the caller wants to go on."""
        with self._guard:
            cursor = self._forget(key)
        is_right = cursor is not None and cursor.last == after and cursor.is_sure
        return cursor if is_right else None

    def _keep(self, key: tuple[str, Bck, str, str], cursor: Cursor) -> None:
        now = cursor.used_at = self._clock.monotonic()
        limits, names_held = self._limits, cursor.names_held
        with self._guard:
            self._forget(key)
            self._paused[key] = cursor, names_held
            self._held += names_held
            while self._paused:
                oldest = next(iter(self._paused))
                is_idle = now - self._paused[oldest][0].used_at > limits.idle_s_max
                if not (is_idle or len(self._paused) > limits.cursors_max or self._held > limits.names_held_max):
                    break
                self._forget(oldest)

    def _forget(self, key: tuple[str, Bck, str, str]) -> Cursor | None:
        cursor, names_held = self._paused.pop(key, (None, 0))
        self._held -= names_held
        return cursor


class Lister:
    """Lists buckets of one volume. Any thread may call; a call blocks for the disk."""

    def __init__(self, volume: Volume, env: Env, *, limits: ListLimits | None = None) -> None:
        self._disk = env.disk
        self._volume = volume
        self._cursors = Cursors(volume, env, limits or ListLimits(), (layout.OBJECTS,))
        self._shown = Shown(volume.orders)

    def page(
        self,
        bck: Bck,
        prefix: str = "",
        after: str = "",
        limit: int = 10000,
        *,
        delimiter: str = "",
        detail: Detail = Detail.NAMES,
        session: str = "",
    ) -> Page:
        """Up to `limit` entries whose names begin with `prefix` and are greater than `after`. Raise `DiskFailure`.

        With a delimiter, names that have one behind the prefix are given as their common prefix, which is an entry too.
        Pages of one listing give the same `session`, which makes them cheap. A bucket that is not there is empty. Raise
        `NotReady` when a mountpath is not there.
        """
        entries, cursor = self._cursors.page(
            lambda cursor: self._collect(cursor, bck, limit, detail),
            bck,
            prefix,
            after,
            delimiter=delimiter,
            session=session,
        )
        return Page(entries, cursor.has_more)

    def shown(
        self,
        bck: Bck,
        prefix: str,
        after: str,
        limit: int,
        show: Show,
        *,
        delimiter: str = "",
        session: str = "",
    ) -> tuple[list[listing.Entry], bool]:
        """The same as they are shown, and whether more follow."""
        entries, cursor = self._cursors.page(
            lambda cursor: self._show(cursor, bck, limit, show),
            bck,
            prefix,
            after,
            delimiter=delimiter,
            session=session,
        )
        return entries, cursor.has_more

    def walk(self, bck: Bck, prefix: str = "", detail: Detail = Detail.NAMES) -> Iterator[Entry]:
        """All objects whose names begin with `prefix`, in order, as the pages have them. Raise as `page`."""
        cursor: Cursor | None = None
        after, attempts = "", 0
        while cursor is None or cursor.has_more:
            with disk_failures(bck.cname()):
                cursor = cursor or self._cursors.open(bck, prefix, after)
                entries = self._collect(cursor, bck, _WALKED_STEP, detail)
            if cursor.is_sure:
                attempts = 0
                yield from entries
                after = entries[-1].name if entries else after
                continue
            cursor, attempts = None, attempts + 1
            if attempts == _ATTEMPTS_MAX:
                raise NotReady(_CHANGING.format(bck.cname()))
        self._volume.require_whole(bck)

    def _collect(self, cursor: Cursor, bck: Bck, limit: int, detail: Detail) -> list[Entry]:
        """Up to `limit` entries; what is gone by now when details are asked for is skipped."""
        entries: list[Entry] = []
        while len(entries) < limit and cursor.has_more:
            for block in cursor.take(limit - len(entries)):
                entries += self._entries(cursor.view, bck, block, detail)
        return entries

    def _show(self, cursor: Cursor, bck: Bck, limit: int, show: Show) -> list[listing.Entry]:
        """The same as they are shown."""
        entries: list[listing.Entry] = []
        while len(entries) < limit and cursor.has_more:
            for block in cursor.take(limit - len(entries)):
                is_plain = not (block.is_prefix or block.repeated) and self._is_plain(cursor.view, bck)
                if is_plain and show.named is not None:
                    entries += show.named(block.names)
                elif is_plain and show.kind:
                    entries += self._kept(cursor.view, bck, block, show)
                else:
                    entries += map(show.entry, self._entries(cursor.view, bck, block, show.detail))
        return entries

    def _is_plain(self, view: View, bck: Bck) -> bool:
        """Whether objects of a bucket are one file each, and in their place."""
        return not view.is_unsettled and bck not in self._volume.mirrored

    def _entries(self, view: View, bck: Bck, block: Block, detail: Detail) -> Iterable[Entry]:
        """What is found out about a block's names; what is gone by now is skipped."""
        if block.is_prefix:
            return [Entry(name, True) for name in block.names]
        if not self._is_plain(view, bck):
            return self._looked_for(view, bck, block, detail)
        if detail is not Detail.NAMES:
            return self._where_they_are(view, bck, block, detail)
        found = zip(block.names, block.all_orders(), strict=False)
        return [Entry(name, False, False, view.available[order]) for name, order in found]

    def _kept(self, view: View, bck: Bck, block: Block, show: Show) -> list[listing.Entry]:
        """What is shown of the objects of a bucket that are one file each, and in their place."""

        def read(order: int, some: list[str]) -> Read:
            files, others = self._of_walk(view, bck, block, order, some, show.detail)
            return Read(*({one.name: show.entry(one) for one in found} for found in (files, others)))

        kind = f"{show.kind} {view.generation} {bck in self._volume.coded}"
        found: dict[str, listing.Entry] = {}
        for order, some in block.by_walk():
            root = f"{layout.bucket_path(view.available[order].path, bck)}/{layout.OBJECTS}"
            found |= self._shown.of(root, kind, some, partial(read, order))
        return [found[name] for name in block.names if name in found]

    def _where_they_are(self, view: View, bck: Bck, block: Block, detail: Detail) -> list[Entry]:
        """The same of a bucket whose objects are one file each, and in their place."""
        found: list[Entry] = []
        for order, some in block.by_walk():
            files, others = self._of_walk(view, bck, block, order, some, detail)
            found += files + others
        return sorted(found, key=_name)

    def _of_walk(
        self, view: View, bck: Bck, block: Block, order: int, names_found: list[str], detail: Detail
    ) -> tuple[list[Entry], list[Entry]]:
        """The same of what one walk found of a block: what was found by one look at one file, and what was not."""
        mountpath, prefix, is_single = view.available[order], bck.uname, len(view.available) == len(view.placed) == 1
        is_coded, shows_meta = bck in self._volume.coded, detail is Detail.META
        needs_meta = shows_meta or is_coded
        repeated, entries, others = block.repeated, list[Entry](), list[Entry]()
        root = f"{layout.bucket_path(mountpath.path, bck)}/{layout.OBJECTS}"
        with self._disk.files_below(root, metadata.XATTR) as files:
            for at in range(0, len(names_found), FILES_MAX):
                some = names_found[at : at + FILES_MAX]
                files.look(names.to_paths(some), with_values=needs_meta)
                metas = metadata.all_decoded(files.values) if needs_meta else [None] * len(some)
                seen = files.modes(), files.links(), files.sizes(), files.modified_ns(), files.accessed_ns()
                for name, mode, links, size_found, modified_ns, accessed_ns, meta in zip(
                    some, *seen, metas, strict=True
                ):
                    if not tree.is_regular(mode) or (meta is None and needs_meta) or (repeated and name in repeated):
                        if mode:
                            others += self._looked_for(view, bck, block.only(name), detail)
                        continue
                    is_misplaced = not is_single and mountpath is not view.owner(digest(prefix + name))
                    size = meta.size if is_coded and meta is not None and meta.cut else size_found
                    meta = meta if shows_meta else None
                    entry = Entry(name, False, is_misplaced, mountpath, size, modified_ns, accessed_ns, meta)
                    (entries if links == 1 else others).append(entry)
        return entries, others

    def _looked_for(self, view: View, bck: Bck, block: Block, detail: Detail) -> Iterator[Entry]:
        """The same of any bucket."""
        prefix, available = bck.uname, view.available
        for name in block.names:
            owner = view.owner(digest(prefix + name))
            is_repeated = name in block.repeated
            order = block.order_of(name)
            candidates = available if is_repeated else available[order : order + 1]
            entry = self._look(bck, name, owner, candidates, detail)
            if entry is None and view.is_unsettled and not is_repeated:  # it was moved since
                entry = self._look(bck, name, owner, available, detail)
            if entry is None and bck in self._volume.mirrored:
                entry = self._look(bck, name, owner, available, detail, layout.COPIES)
            if entry is not None:
                yield entry

    def _look(
        self,
        bck: Bck,
        name: str,
        owner: Mountpath,
        candidates: tuple[Mountpath, ...],
        detail: Detail,
        content: str = layout.OBJECTS,
    ) -> Entry | None:
        """The entry of an object's newest file on the candidates; None when it is gone by now."""
        newest: tuple[Rank, bool, str, Mountpath] | None = None
        needs_meta = detail is Detail.META or len(candidates) > 1 or bck in self._volume.coded
        for mountpath in candidates:
            path = f"{layout.bucket_path(mountpath.path, bck)}/{content}/{names.to_path(name)}"
            found = tree.find(self._disk, path)
            if found is not None:
                meta = read_meta(self._disk, found[0]) if needs_meta else None
                ranked = (rank(meta, found[1]), mountpath is owner, found[0], mountpath)
                if newest is None or ranked[:2] > newest[:2]:
                    newest, file, newest_meta = ranked, found[1], meta
        if newest is None:
            return None
        _, is_owner, path, mountpath = newest
        meta = newest_meta if detail is Detail.META else None
        size = newest_meta.size if newest_meta is not None and newest_meta.cut else file.st_size
        return Entry(name, False, not is_owner, mountpath, size, file.st_mtime_ns, file.st_atime_ns, meta)
