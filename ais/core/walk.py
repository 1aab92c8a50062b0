"""Names of one bucket on one mountpath, in order, with bounded memory.

A directory is read into a window of its smallest names after a bound; when the window is used up and there was more, it
is read again from there. So a directory of any size costs at most `window_max` names of memory, and a walk at most that
much per level of nesting. Order is that of the whole names as strings, which is the order of their UTF-8 bytes.

Each name that exists throughout the walk is returned once, whatever else comes and goes, and however often it is
overwritten meanwhile: a directory is read in one go (`ais.fs.reading`), and keys that came twice are dropped.
"""

import itertools
import operator
from collections.abc import Collection, Iterator

from ais.env.disk import Disk
from ais.fs.names import CHUNK_MARK, SELF, component_of, directory_path, encode_component
from ais.fs.orders import Orders
from ais.fs.reading import Entry, entries_of

WINDOW_MAX = 200_000
_KEPT_WINDOW_MIN, _KEPT_GROWTH, _KEPT_WINDOW_MAX = 64, 8, 8192
"""Of a directory whose order is kept: loading another window costs little, and who looks for one name needs no more.
Where so much changes that the order has to be made again for a walk, the windows after that are larger.
"""
_OF_JOBS_BYTES_MIN = 4 << 20
"""The size of a directory that has more names than a window: without its order it would be read several times."""
_BATCH = 1000
"""Entries looked at together while a directory is read."""
_RUN_MAX = 4096
"""Names handed on at once."""


class _Frame:
    """A directory being walked: its path, the part of the name it stands for, and the window of keys still to come.

    A key is a component of an object, or one and `/` for a directory. `keys[at]` comes next.
    """

    __slots__ = ("at", "directories", "has_more", "keys", "last", "path", "prefix", "reads", "unsure")

    def __init__(self, path: str, prefix: str) -> None:
        self.path = path
        self.prefix = prefix
        self.reads = 0
        """How often its order was made for this walk."""
        self.load([], "", has_more=False)

    def load(self, keys: list[str], last: str, *, has_more: bool, unsure: Collection[str] = ()) -> None:
        """Take the next window; `has_more`: the directory has keys behind `last`. `unsure`: of a directory of that name
        it is not known whether it holds an object of its own.
        """
        self.last, self.unsure = last, unsure
        self.at, self.keys, self.has_more = 0, keys, has_more
        self.directories = [at for at, key in enumerate(keys) if key[-1:] == "/"] if "/" in "".join(keys) else []
        """Where the keys of directories are that come next, in reverse order."""
        self.directories.reverse()

    @property
    def is_at_directory(self) -> bool:
        """Whether the next key is that of a directory."""
        return bool(self.directories) and self.directories[-1] == self.at

    def plain(self, count_max: int) -> list[str]:
        """Pass and return keys of objects, up to the next directory or so many."""
        at, directories = self.at, self.directories
        end = min(directories[-1] if directories else len(self.keys), at + count_max)
        self.at = end
        return self.keys[at:end]

    def directory(self) -> str:
        """Pass and return the key of a directory, which must be next."""
        self.directories.pop()
        self.at += 1
        return self.keys[self.at - 1]

    def pass_over(self, begin: str) -> None:
        """Pass keys that begin so; what the next window would bring of them is not loaded."""
        at, keys = self.at, self.keys
        while at < len(keys) and keys[at].startswith(begin):
            at += 1
        self.at = at
        while self.directories and self.directories[-1] < at:
            self.directories.pop()
        if at == len(keys):
            self.last = max(self.last, begin + _LAST_CHAR)


class _Window:
    """The smallest `size_max` of the keys offered that are greater than `floor` (None: all) and begin with `wanted`.

    A directory whose name begins `after` is wanted too: some of its names are greater.
    """

    def __init__(self, size_max: int, floor: str | None, after: str, wanted: str) -> None:
        self.keys: list[str] = []
        self.unsure: set[str] = set()
        """Keys of objects that directories may hold."""
        self.has_more = False
        self._size_max = size_max
        self._floor = floor
        self._after = after
        self._wanted = wanted
        self._ceiling: str | None = None

    def may_hold(self, chunk: str) -> bool:
        """Whether a component that begins with `chunk` can be wanted."""
        return chunk.startswith(self._wanted) or self._wanted.startswith(chunk)

    def reduce(self) -> None:
        """Sort the keys offered so far and drop what is not wanted or does not fit."""
        keys, floor, wanted, ceiling = self.keys, self._floor, self._wanted, self._ceiling
        if floor is not None:
            after = self._after
            keys[:] = [key for key in keys if key > floor or (key[-1:] == "/" and after.startswith(key))]
        if wanted:
            keys[:] = [key for key in keys if key.startswith(wanted)]
        if ceiling is not None:
            keys[:] = [key for key in keys if key <= ceiling]
        keys.sort()
        _drop_repeated(keys)
        if len(keys) > self._size_max:
            del keys[self._size_max :]
            self._ceiling = keys[-1]
            self.has_more = True
            self.unsure.intersection_update(keys)


_LAST_CHAR = "\U0010ffff"


def common_prefix(name: str, prefix: str, delimiter: str) -> str:
    """The part of `name` up to and including the first delimiter behind `prefix`; empty without one."""
    end = name.find(delimiter, len(prefix)) if delimiter else -1
    return name[: end + len(delimiter)] if end >= 0 and name.startswith(prefix) else ""


class Walk:
    """Iterable, once, of `(name, order, is_prefix)` in order, greater than `after`: names that begin with `prefix`.

    With a delimiter, names that have one behind the prefix are given as their common prefix, once; what else begins
    with it is passed over, in directories that lie below it unread. `order` is passed through. Raises `OSError` of the
    disk; a missing bucket is empty.
    """

    def __init__(
        self,
        disk: Disk,
        root: str,
        prefix: str = "",
        after: str = "",
        *,
        delimiter: str = "",
        order: int = 0,
        window_max: int = WINDOW_MAX,
        orders: Orders | None = None,
        is_job: bool = False,
        is_late: bool = False,
    ) -> None:
        """`orders`: those of large directories that are kept. `is_job`: nobody will go this way again soon.

        `is_late`: whether a directory holds the object of its own name is looked up when it is its turn. A page of
        names in the middle of a thousand directories would look into all of them; but names that go meanwhile from
        here to where others look could be missed.
        """
        self._makes_from = _OF_JOBS_BYTES_MIN if is_job else 0
        self._is_late = is_late
        self._disk = disk
        self._orders = orders
        self._prefix = prefix
        self._after = after
        self._delimiter = delimiter
        self.order = order
        self._window_max = window_max
        begun = common_prefix(after, prefix, delimiter)
        self._seek = begun + _LAST_CHAR if begun else after
        base = prefix[: prefix.rfind("/") + 1]
        self._stack: list[_Frame] = []
        if after < base or after.startswith(base):
            self._enter(f"{root}/{directory_path(base)}" if base else root, base)

    @property
    def names_held(self) -> int:
        """How many names the walk keeps in memory."""
        return sum(len(frame.keys) - frame.at for frame in self._stack)

    def __iter__(self) -> Iterator[tuple[str, int, bool]]:
        order = self.order
        for names, is_prefix in self.runs():
            for name in names:
                yield name, order, is_prefix

    def runs(self) -> Iterator[tuple[list[str], bool]]:
        """The same, some names at a time: those of objects, or a common prefix alone (True)."""
        stack = self._stack
        self._last_shared = self._after
        while stack:
            frame = stack[-1]
            if frame.at < len(frame.keys):
                yield from self._rolled_up(frame) if self._delimiter else self._plain(frame)
            elif frame.has_more:
                self._fill(frame, frame.last, "")
            else:
                stack.pop()

    def _plain(self, frame: _Frame) -> Iterator[tuple[list[str], bool]]:
        prefix = frame.prefix
        if frame.is_at_directory:
            key = frame.directory()
            self._enter(_path(frame, key), prefix + key)
            return
        keys = self._sure(frame, frame.plain(_RUN_MAX), frame.unsure)
        if keys:
            yield [prefix + key for key in keys] if prefix else keys, False

    def _rolled_up(self, frame: _Frame) -> Iterator[tuple[list[str], bool]]:
        """What the next keys show: objects until something else comes, a common prefix, or a directory to enter."""
        keys, prefix, run = frame.keys, frame.prefix, list[str]()
        while frame.at < len(keys) and len(run) < _RUN_MAX:
            key = keys[frame.at]
            shared = common_prefix(prefix + key, self._prefix, self._delimiter)
            if key in frame.unsure and not self._is_object(frame, key):
                frame.at += 1
                continue
            if shared or key[-1:] == "/":
                break
            run.append(prefix + key)
            frame.at += 1
        if run:
            yield run, False
        elif frame.at == len(keys):
            return
        elif not shared:
            self._enter(_path(frame, key), prefix + frame.directory())
        elif shared > self._last_shared:
            if key[-1:] == "/" and not _holds_objects(self._disk, _path(frame, key)):
                frame.directory()
                return
            self._last_shared = shared
            frame.pass_over(shared[len(prefix) :])
            yield [shared], True
        else:
            frame.pass_over(shared[len(prefix) :])

    def _sure(self, frame: _Frame, keys: list[str], unsure: Collection[str]) -> list[str]:
        """Without what is no object."""
        return [key for key in keys if key not in unsure or self._is_object(frame, key)] if unsure else keys

    def _is_object(self, frame: _Frame, key: str) -> bool:
        """Whether the directory of that name holds the object of that name."""
        return _exists(self._disk, f"{frame.path}/{encode_component(key)}/{SELF}")

    def _enter(self, path: str, prefix: str) -> None:
        frame = _Frame(path, prefix)
        rest = self._seek[len(prefix) :] if self._seek.startswith(prefix) else None
        self._stack.append(frame)
        self._fill(frame, rest, rest or "")

    def _fill(self, frame: _Frame, floor: str | None, after: str) -> None:
        """Load the smallest keys of the directory that are greater than `floor`; None: than nothing at all."""
        wanted = self._prefix[len(frame.prefix) :]
        if self._orders is not None:
            count_max = _KEPT_WINDOW_MAX * _KEPT_GROWTH ** max(0, frame.reads - 1)
            count = min(max(_KEPT_WINDOW_MIN, _KEPT_GROWTH * len(frame.keys)), count_max, self._window_max)
            kept = self._orders.window(frame.path, floor, after, wanted, count, makes_from=self._makes_from)
            if kept is not None:
                frame.reads += kept.is_new
                frame.load(kept.keys, kept.last, has_more=kept.has_more)
                return
        window = _Window(self._window_max, floor, after, wanted)
        self._read(frame.path, "", window)
        window.reduce()
        keys, unsure = window.keys, window.unsure
        last = keys[-1] if keys else ""
        if not self._is_late:
            keys, unsure = self._sure(frame, keys, unsure), set()
        frame.load(keys, last, has_more=window.has_more, unsure=unsure)

    def _read(self, path: str, chunks: str, window: _Window) -> None:
        """Offer the keys of a directory; the directories of a long component are read as part of their parent."""
        continued: list[str] = []
        try:
            with entries_of(self._disk, path) as entries:
                self._offer(entries, chunks, window, continued)
        except (FileNotFoundError, NotADirectoryError):
            return
        for found in continued:
            chunk = chunks + found[len(CHUNK_MARK) :]
            if window.may_hold(chunk):
                self._read(f"{path}/{found}", chunk, window)

    def _offer(self, entries: Iterator[Entry], chunks: str, window: _Window, continued: list[str]) -> None:
        keys, keys_max = window.keys, 2 * self._window_max
        for first in entries:
            batch, others = itertools.chain((first,), itertools.islice(entries, _BATCH)), list[Entry]()
            files = [one.name for one in batch if one.is_file(follow_symlinks=False) or others.append(one)]  # type: ignore[func-returns-value]
            keys += _components(files, chunks)
            if others:
                directories = [one.name for one in others if one.is_dir(follow_symlinks=False)]
                continued += (one for one in directories if one.startswith(CHUNK_MARK))
                own = _components(directories, chunks)
                window.unsure.update(own)
                keys += own
                keys += [f"{one}/" for one in own]
            if len(keys) >= keys_max:
                window.reduce()


def _components(entries: list[str], chunks: str) -> list[str]:
    """What entries stand for; `chunks`: the part of it that their directory stands for."""
    text = "".join(entries)
    if "%" in text or not text.isascii():
        entries = [one for one in map(component_of, entries) if one is not None]
    return [chunks + one for one in entries] if chunks else entries


def _drop_repeated(keys: list[str]) -> None:
    """Of keys that stand side by side more than once keep one."""
    if any(map(operator.eq, keys, itertools.islice(keys, 1, None))):
        keys[:] = dict.fromkeys(keys)


def _path(frame: _Frame, key: str) -> str:
    """Where the directory lies that a key stands for."""
    return f"{frame.path}/{encode_component(key[:-1])}"


def _exists(disk: Disk, path: str) -> bool:
    try:
        disk.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


def _holds_objects(disk: Disk, path: str) -> bool:
    """Whether an object lies below the directory; the one that has the directory's own name is not below it."""
    stack = [path]
    while stack:
        directory = stack.pop()
        try:
            with entries_of(disk, directory) as entries:
                for entry in entries:
                    is_self = entry.name == SELF
                    if is_self and directory == path:
                        continue
                    if not (is_self or entry.name.startswith(CHUNK_MARK) or component_of(entry.name) is not None):
                        continue
                    if entry.is_dir(follow_symlinks=False):
                        stack.append(f"{directory}/{entry.name}")
                    elif entry.is_file(follow_symlinks=False):
                        return True
        except (FileNotFoundError, NotADirectoryError):
            continue
    return False
