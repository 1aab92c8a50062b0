"""Names of one bucket on one mountpath, in order, with bounded memory.

A directory is read into a window of its smallest names after a bound; when the window is used up and there was more, it
is read again from there. So a directory of any size costs at most `window_max` names of memory, and a walk at most that
much per level of nesting. Order is that of the whole names as strings, which is the order of their UTF-8 bytes.

Each name that exists throughout the walk is returned once, whatever else comes and goes, and however often it is
overwritten meanwhile: a directory is read in one go (`ais.fs.reading`), and keys that came twice are dropped.
"""

import itertools
import operator
from collections.abc import Iterator

from ais.env.disk import Disk
from ais.fs.names import CHUNK_MARK, SELF, decode_component, directory_path, encode_component
from ais.fs.reading import Entry, entries_of

WINDOW_MAX = 200_000


class _Frame:
    """A directory being walked: its path, the part of the name it stands for, and the window of keys still to come.

    A key is a component of an object, or one and `/` for a directory. Keys are in reverse order: `pop` takes the next.
    """

    __slots__ = ("has_more", "keys", "last", "path", "prefix")

    def __init__(self, path: str, prefix: str) -> None:
        self.path = path
        self.prefix = prefix
        self.keys: list[str] = []
        self.last = ""
        self.has_more = False


class _Window:
    """The smallest `size_max` of the keys offered that are greater than `floor` (None: all) and begin with `wanted`.

    A directory whose name begins `after` is wanted too: some of its names are greater.
    """

    def __init__(self, size_max: int, floor: str | None, after: str, wanted: str) -> None:
        self.keys: list[str] = []
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
    ) -> None:
        self._disk = disk
        self._prefix = prefix
        self._after = after
        self._delimiter = delimiter
        self._order = order
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
        return sum(len(frame.keys) for frame in self._stack)

    def __iter__(self) -> Iterator[tuple[str, int, bool]]:
        order, stack, delimiter, last = self._order, self._stack, self._delimiter, self._after
        while stack:
            frame = stack[-1]
            keys, prefix = frame.keys, frame.prefix
            while keys:
                key = keys.pop()
                shared = common_prefix(prefix + key, self._prefix, delimiter) if delimiter else ""
                if shared:
                    if shared > last:
                        if key[-1:] == "/" and not _holds_objects(self._disk, _path(frame, key)):
                            continue
                        yield shared, order, True
                        last = shared
                    _pass_over(frame, shared)
                elif key[-1:] == "/":
                    self._enter(_path(frame, key), prefix + key)
                    break
                else:
                    yield prefix + key, order, False
            else:
                if frame.has_more:
                    self._fill(frame, frame.last, "")
                else:
                    stack.pop()

    def _enter(self, path: str, prefix: str) -> None:
        frame = _Frame(path, prefix)
        rest = self._seek[len(prefix) :] if self._seek.startswith(prefix) else None
        self._stack.append(frame)
        self._fill(frame, rest, rest or "")

    def _fill(self, frame: _Frame, floor: str | None, after: str) -> None:
        """Load the smallest keys of the directory that are greater than `floor`; None: than nothing at all."""
        wanted = self._prefix[len(frame.prefix) :]
        window = _Window(self._window_max, floor, after, wanted)
        self._read(frame.path, "", window)
        window.reduce()
        keys = window.keys
        frame.last = keys[-1] if keys else ""
        frame.has_more = window.has_more
        keys.reverse()
        frame.keys = keys

    def _read(self, path: str, chunks: str, window: _Window) -> None:
        """Offer the keys of a directory; the directories of a long component are read as part of their parent."""
        continued: list[str] = []
        try:
            with entries_of(self._disk, path) as entries:
                self._offer(entries, path, chunks, window, continued)
        except (FileNotFoundError, NotADirectoryError):
            return
        for found in continued:
            chunk = chunks + found[len(CHUNK_MARK) :]
            if window.may_hold(chunk):
                self._read(f"{path}/{found}", chunk, window)

    def _offer(self, entries: Iterator[Entry], path: str, chunks: str, window: _Window, continued: list[str]) -> None:
        keys, keys_max = window.keys, 2 * self._window_max
        for entry in entries:
            component = found = entry.name
            if found[0] == "%":
                if found.startswith(CHUNK_MARK):
                    continued.append(found)
                decoded = decode_component(found)
                if decoded is None:
                    continue
                component = decoded
            if not found.isascii() and is_foreign(found):
                continue
            if entry.is_file(follow_symlinks=False):
                keys.append(chunks + component)
            elif entry.is_dir(follow_symlinks=False):
                keys.append(f"{chunks}{component}/")
                if _exists(self._disk, f"{path}/{found}/{SELF}"):
                    keys.append(chunks + component)
            if len(keys) >= keys_max:
                window.reduce()


def _drop_repeated(keys: list[str]) -> None:
    """Of keys that stand side by side more than once keep one."""
    if any(map(operator.eq, keys, itertools.islice(keys, 1, None))):
        keys[:] = dict.fromkeys(keys)


def _path(frame: _Frame, key: str) -> str:
    """Where the directory lies that a key stands for."""
    return f"{frame.path}/{encode_component(key[:-1])}"


def _pass_over(frame: _Frame, shared: str) -> None:
    """Drop the keys of names that begin with `shared`; what the next window would bring of them is not loaded."""
    begin = shared[len(frame.prefix) :]
    keys = frame.keys
    while keys and keys[-1].startswith(begin):
        keys.pop()
    if not keys:
        frame.last = max(frame.last, begin + _LAST_CHAR)


def is_foreign(entry: str) -> bool:
    """Whether a directory entry is not valid UTF-8, so that no object can have it."""
    return any("\ud800" <= char <= "\udfff" for char in entry)


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
                    if not (is_self or entry.name.startswith(CHUNK_MARK) or _names_component(entry.name)):
                        continue
                    if entry.is_dir(follow_symlinks=False):
                        stack.append(f"{directory}/{entry.name}")
                    elif entry.is_file(follow_symlinks=False):
                        return True
        except (FileNotFoundError, NotADirectoryError):
            continue
    return False


def _names_component(entry: str) -> bool:
    return decode_component(entry) is not None and not is_foreign(entry)
