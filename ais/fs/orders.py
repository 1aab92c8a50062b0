"""The order of large directories, kept from one page of a listing to the next.

A directory gives its entries in no order, and to read and sort a million names for each page of a thousand is what
makes listing slow. So the order of directories that were listed is kept in memory, compressed. It is as true as the
disk: the kernel notes every change by any process (`ais.env.changes`), and each use looks at the entries that changed
before it answers. An order is forgotten when the directory is another one by now, when more changed than the kernel
notes, and when there is no more room. Then, and where changes cannot be followed, directories are read.

What listings found out about the files in such a directory is kept beside its order, as rows that only they understand
(`ais.fs.details`), and forgotten as soon as the kernel says that the file changed.

Small directories are read in the time that following them would take; those with parts of long names are not kept.
"""

import errno
import itertools
import math
import os
import threading
from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Iterable
from typing import NamedTuple

from ais.env.disk import Disk
from ais.fs.details import Details, Rows
from ais.fs.names import CHUNK_MARK, SELF, component_of, encode_component
from ais.fs.sorted_names import SortedNames, without_repeated

BYTES_MAX = 64 << 20
"""Of all orders together."""
DETAILS_BYTES_MAX = 48 << 20
"""Of all details together."""
ORDERS_MAX = 24
"""Each takes an instance of inotify, of which a user has 128."""
DIRECTORY_BYTES_MIN = 64 << 10
"""The size that file systems give to directories of some thousand entries."""
_BATCH = 100_000
"""Entries whose names are in memory at the same time while a directory is read."""
_UNKEPT_MAX = 1024
_REST_USES = 256
"""What had to go for want of room is read, not kept, for so many uses of any order: else those that are used in turn
would push each other out, and each window of names would cost the reading of a whole directory.
"""
_LOCKS = 64
_CANNOT_FOLLOW = (errno.EMFILE, errno.ENFILE, errno.ENOSPC, errno.ENOMEM, errno.ENOSYS, errno.ENOENT, errno.ENOTDIR)
"""Too many are followed, nobody can be, or the directory is gone."""
_Identity = tuple[int, int]
"""Device and inode."""


class Window(NamedTuple):
    """The next keys of a directory, up to and with `last`; `has_more`: others follow that.

    A key is a component of an object, or one and `/` for a directory.
    """

    keys: list[str]
    last: str
    has_more: bool
    is_new: bool = False
    """Whether the directory was read for it."""


class Found(NamedTuple):
    """What is known about some names of a directory, and when that was."""

    rows: list[Rows]
    order: "_Order"
    changes: int


class _NotKept(Exception):
    """The directory has parts of long names, or too many names."""


class _Order:
    """Of one directory. One thread at a time.

    A directory in it may hold the object of its own name (`%=`): whether it does is looked up when it is its turn.
    """

    def __init__(self, disk: Disk, path: str) -> None:
        """Raise `OSError`, `_NotKept`."""
        self._path, self._disk = path, disk
        self.details: OrderedDict[str, Details] = OrderedDict()
        """By kind, that used last at the end."""
        self.changes = 0
        """How many were heard of."""
        with disk.entered(path) as inside:
            found = disk.stat(inside)
            self.identity: _Identity = found.st_dev, found.st_ino
            self._changes = disk.follow(inside)  # what changes while it is read is looked at afterwards
            try:
                self._files, self._directories, self._own = _read(disk, inside)
            except BaseException:
                self.close()
                raise

    @property
    def size_bytes(self) -> int:
        """About what it takes, without details."""
        return self._files.size_bytes + self._directories.size_bytes + self._own.size_bytes

    def is_current(self) -> bool:
        """Bring it up to date; False when that cannot be done. Raise `OSError`."""
        entries = self._changes.take()
        if entries is None:
            return False
        files: dict[str, bool] = {}
        directories: dict[str, bool] = {}
        for entry in entries:
            if entry.startswith(CHUNK_MARK):
                return False
            component = component_of(entry)
            if component is not None:
                self.changes += 1
                for one in self.details.values():
                    one.forget(component)
                kind = _kind(self._disk, f"{self._path}/{entry}")
                files[component], directories[component] = kind == _FILE, kind == _DIRECTORY
        for present in (False, True):
            self._files.update((one for one, is_there in files.items() if is_there is present), present=present)
            changed = [one for one, is_there in directories.items() if is_there is present]
            self._directories.update([f"{one}/" for one in changed], present=present)
            self._own.update(changed, present=present)
        return True

    def window(self, floor: str | None, after: str, wanted: str, count: int) -> Window:
        """About `count` keys in order, greater than `floor` (None: all), that begin with `wanted`; before them the
        directory whose name begins `after`. Raise `OSError`.
        """
        is_from_wanted = floor is None or floor < wanted
        bound = wanted if floor is None or floor < wanted else floor
        every = (self._files, self._directories, self._own)
        files, directories, own = (one.after(bound, count + 1, with_bound=is_from_wanted) for one in every)
        keys = sorted(itertools.chain(files, directories, own)) if directories or own else files
        if wanted and keys and not keys[-1].startswith(wanted):
            del keys[bisect_left(keys, True, key=lambda key: not key.startswith(wanted)) :]
        has_more = len(keys) > count
        del keys[count:]
        last = keys[-1] if keys else bound
        if own:
            unsure = set(own)
            keys = [key for key in keys if key not in unsure or self._has_own(key)]
        entered, slash, _ = after.partition("/")
        begun = entered + slash
        if slash and begun.startswith(wanted) and keys[:1] != [begun]:
            keys[:0] = self._directories.among([begun])
        return Window(keys, last, has_more)

    def close(self) -> None:
        """Follow no longer."""
        self._changes.close()

    def _has_own(self, component: str) -> bool:
        return _kind(self._disk, f"{self._path}/{encode_component(component)}/{SELF}") is not None


def _read(disk: Disk, path: str) -> tuple[SortedNames, SortedNames, SortedNames]:
    """A directory's objects, directories as keys, and as the names of objects that they may hold themselves."""
    files: list[SortedNames] = []
    directories: list[str] = []
    size_bytes = 0
    with disk.scandir(path) as entries:
        for first in entries:
            batch, others = itertools.chain((first,), itertools.islice(entries, _BATCH)), list[os.DirEntry[str]]()
            names = [one.name for one in batch if one.is_file(follow_symlinks=False) or others.append(one)]  # type: ignore[func-returns-value]
            directories += [one.name for one in others if one.is_dir(follow_symlinks=False)]
            files.append(SortedNames.of(_components(names)))
            size_bytes += files[-1].size_bytes
            if size_bytes > BYTES_MAX or len(directories) > _BATCH:
                raise _NotKept
    if any(entry.startswith(CHUNK_MARK) for entry in directories):
        raise _NotKept
    own = _components(directories)
    return SortedNames.merged(files), SortedNames.of(sorted(f"{one}/" for one in own)), SortedNames.of(own)


_FILE, _DIRECTORY, _KIND = 0o100000, 0o040000, 0o170000


def _kind(disk: Disk, path: str) -> int | None:
    try:
        return disk.lstat(path).st_mode & _KIND
    except (FileNotFoundError, NotADirectoryError):
        return None


def _components(entries: list[str]) -> list[str]:
    """What entries stand for, in order, each once."""
    entries.sort()
    if bisect_left(entries, "%") == bisect_left(entries, "&") and "".join(entries).isascii():
        return without_repeated(entries)
    return sorted({one for entry in entries if (one := component_of(entry)) is not None})


class Orders:
    """The orders that are kept. Any thread may call."""

    def __init__(self, disk: Disk, directory_bytes_min: int = DIRECTORY_BYTES_MIN) -> None:
        self._disk = disk
        self._directory_bytes_min = directory_bytes_min
        self._guard = threading.Lock()
        self._locks = [threading.Lock() for _ in range(_LOCKS)]
        self._kept: OrderedDict[str, _Order] = OrderedDict()
        self._unkept: OrderedDict[str, tuple[_Identity, float]] = OrderedDict()
        """Directories that are read, and for how many uses that is so."""
        self._uses = 0

    def window(
        self, path: str, floor: str | None, after: str, wanted: str, count: int, *, makes_from: int = 0
    ) -> Window | None:
        """The next keys of a directory that are greater than `floor` (None: all) and begin with `wanted`, before them
        the directory whose name begins `after`. None: its order is not kept, read it. Raise `OSError`.

        For who goes through everything once orders are made of directories from `makes_from` bytes on only: they would
        push out those that others come back to.
        """
        found = self._large(path)
        if found is None:
            return None
        identity = found.st_dev, found.st_ino
        self._uses += 1
        with self._locks[hash(path) % _LOCKS]:
            kept = self._current(path, identity)
            order = kept or (self._make(path, identity) if found.st_size >= makes_from else None)
            if order is None:
                return None
            window = order.window(floor, after, wanted, count)
            self._keep(path, order)
            return window if kept else window._replace(is_new=True)

    def details(self, path: str, kind: str, first: str, last: str) -> Found | None:
        """What was kept about files of a directory, of this kind, from component `first` to `last`, and holds now.

        None: nothing can be kept. Raise `OSError`.
        """
        found = self._large(path)
        if found is None:
            return None
        with self._locks[hash(path) % _LOCKS]:
            order = self._current(path, (found.st_dev, found.st_ino))
            if order is None:
                return None
            details = order.details.get(kind)
            self._keep(path, order)
            return Found(details.between(first, last) if details is not None else [], order, order.changes)

    def keep_details(self, path: str, kind: str, known: Found, rows: Iterable[Rows]) -> None:
        """Keep what was found out after `known` was, unless anything changed since, or there is no room."""
        with self._locks[hash(path) % _LOCKS], self._guard:
            order = self._kept.get(path)
            if order is not known.order or order.changes != known.changes:
                return
            details = order.details.setdefault(kind, Details())
            order.details.move_to_end(kind)
            if details.size_bytes < DETAILS_BYTES_MAX:
                for one in rows:
                    details.keep(one)
                self._forget_details(details)

    def _forget_details(self, but: Details) -> None:
        """Of those that were not used for longest, beyond the limit."""
        every = [(order, kind, one) for order in self._kept.values() for kind, one in order.details.items()]
        held_bytes = sum(one.size_bytes for _, _, one in every)
        for order, kind, one in every:
            if held_bytes <= DETAILS_BYTES_MAX:
                break
            if one is not but:
                held_bytes -= one.size_bytes
                del order.details[kind]

    def close(self) -> None:
        """Forget all; what is asked for afterwards is kept anew."""
        with self._guard:
            while self._kept:
                self._kept.popitem()[1].close()

    def _large(self, path: str) -> os.stat_result | None:
        """A directory that is large enough to be kept. Raise `OSError`."""
        try:
            found = self._disk.stat(path)
        except (FileNotFoundError, NotADirectoryError):
            return None
        return found if found.st_size >= self._directory_bytes_min else None

    def _current(self, path: str, identity: _Identity) -> _Order | None:
        with self._guard:
            order = self._kept.pop(path, None)
        if order is not None and not (order.identity == identity and order.is_current()):
            order.close()
            return None
        return order

    def _make(self, path: str, identity: _Identity) -> _Order | None:
        with self._guard:
            unkept, until = self._unkept.get(path, (None, 0))
            if unkept == identity and self._uses <= until:
                return None
        try:
            order = _Order(self._disk, path)
            if order.is_current():
                return order
            order.close()  # it changes faster than it can be read
        except _NotKept:
            with self._guard:
                self._remember_unkept(path, identity, math.inf)
        except OSError as error:
            if error.errno not in _CANNOT_FOLLOW:
                raise
        return None

    def _remember_unkept(self, path: str, identity: _Identity, until: float) -> None:
        self._unkept[path] = identity, until
        while len(self._unkept) > _UNKEPT_MAX:
            self._unkept.popitem(last=False)

    def _keep(self, path: str, order: _Order) -> None:
        """As the one used last; forget what was not used for longest, beyond the limits."""
        with self._guard:
            self._kept[path] = order
            held_bytes = sum(one.size_bytes for one in self._kept.values())
            while held_bytes > BYTES_MAX or len(self._kept) > ORDERS_MAX:
                gone, oldest = self._kept.popitem(last=False)
                held_bytes -= oldest.size_bytes
                oldest.close()
                self._remember_unkept(gone, oldest.identity, self._uses + _REST_USES)
