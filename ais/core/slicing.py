"""What the store asks of erasure coding while objects are written, read and removed (`ais.ec.slicing` does it).

Everything blocks, for other targets too: call it in a mountpath's pool, never on the event loop.

Slices of what is on the shelf of a name are found by a *key*, the name, NUL and the entry of the shelf (no name has a
NUL); the key of an object is its name. All slices of a name are on the targets that its name ranks first.
"""

import contextlib
import threading
from collections.abc import Iterator
from typing import NamedTuple, Protocol

from ais.api.bucket import Bck
from ais.core.meta import ObjectMeta
from ais.core.workfile import Staged

_MARK = "\0"


def key_of(name: str, entry: str) -> str:
    """The key of an entry of the shelf of a name; empty: of the object."""
    return f"{name}{_MARK}{entry}" if entry else name


def split_key(key: str) -> tuple[str, str]:
    """Name and entry; the latter is empty for an object."""
    name, _, entry = key.partition(_MARK)
    return name, entry


def shown(key: str) -> str:
    """For people."""
    name, entry = split_key(key)
    return f"{name} (version {entry})" if entry else name


class Plan(NamedTuple):
    """What must be stored on other targets before a write counts.

    `is_alone`: slices are all there will be of the content. `needs_all`: every slice or copy, else as many as it takes
    to read the object.
    """

    data: int
    parity: int
    is_alone: bool
    needs_all: bool


class Prepared(Protocol):
    """Slices that are stored aside. One of the two ends it."""

    @property
    def meta(self) -> ObjectMeta: ...

    def is_current(self) -> bool:
        """Whether everybody who has some stays in service: who leaves may have looked through what he has already."""

    def keep(self) -> None:
        """The object has its name: they take the place of older ones. Raise `Unreachable` when too few say so."""

    def drop(self) -> None:
        """They are not wanted. Raises nothing."""


class Slicing(Protocol):
    """See the module."""

    def plan(self, staged: Staged) -> Plan | None:
        """None: the object is stored here, and coded soon after."""

    def prepare(self, staged: Staged, meta: ObjectMeta, plan: Plan, *, is_replacing: bool) -> Prepared:
        """Store the slices of a work file aside on their targets. `is_replacing`: what is there must not be lost.

        Raise `NotReady` when there are too few targets, what a target answered, `DiskFailure`.
        """

    def bury(self, bck: Bck, name: str, meta: ObjectMeta, *, is_synced: bool) -> None:
        """Note here that an object is gone, durably when `is_synced`: the moment of its deletion. Under its lock.

        Raise `OSError`.
        """

    def drop_older(self, bck: Bck, name: str, stamp: tuple[int, int], *, is_delete: bool, is_synced: bool) -> None:
        """Remove the slices of what had this stamp, or an older one, wherever they are, durably when `is_synced`.
        Raises nothing.

        `is_delete`: and of everything that was buried, so that they do not come back with a target that is away.
        """

    def last_stamp(self, bck: Bck, name: str) -> tuple[int, int]:
        """The stamp of what is kept here of an object, or of its deletion; zeros: nothing is.

        What is written has a later one, or it would count as deleted. Raise `DiskFailure`.
        """

    def read(self, bck: Bck, name: str, meta: ObjectMeta) -> int:
        """A descriptor, the caller's, of a file without a name that has the whole content.

        Raise `CorruptMetadata` when too few slices are good, `OutOfSpace`, `DiskFailure`.
        """

    def restore(self, bck: Bck, key: str) -> bool:
        """Make an object, or a version by its key, again that is lost or damaged here; whether there was such a thing.

        Raise `NotReady` when nobody can tell, or another target owns the name, `OutOfSpace`, `DiskFailure`.
        """


class NoSlicing:
    """For a store that has no other targets beside it."""

    def plan(self, _staged: Staged) -> Plan | None:
        """As `Slicing`."""
        return None

    def prepare(self, staged: Staged, meta: ObjectMeta, plan: Plan, *, is_replacing: bool) -> Prepared:
        """As `Slicing`."""
        raise NotImplementedError

    def bury(self, bck: Bck, name: str, meta: ObjectMeta, *, is_synced: bool) -> None:
        """As `Slicing`."""

    def drop_older(self, bck: Bck, name: str, stamp: tuple[int, int], *, is_delete: bool, is_synced: bool) -> None:
        """As `Slicing`."""

    def last_stamp(self, bck: Bck, name: str) -> tuple[int, int]:
        """As `Slicing`."""
        return 0, 0

    def read(self, bck: Bck, name: str, meta: ObjectMeta) -> int:
        """As `Slicing`."""
        raise NotImplementedError

    def restore(self, bck: Bck, key: str) -> bool:
        """As `Slicing`."""
        return False


class Turns:
    """Writes of one object whose slices are stored before it: one after the other, in this process."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._locks: dict[tuple[Bck, str], tuple[threading.Lock, int]] = {}

    @contextlib.contextmanager
    def of(self, bck: Bck, name: str) -> Iterator[None]:
        """Wait for the object's turn, and hold it."""
        key = (bck, name)
        with self._guard:
            lock, waiting = self._locks.get(key, (threading.Lock(), 0))
            self._locks[key] = lock, waiting + 1
        try:
            with lock:
                yield
        finally:
            with self._guard:
                _, waiting = self._locks[key]
                if waiting == 1:
                    del self._locks[key]
                else:
                    self._locks[key] = lock, waiting - 1

    def is_taken(self, bck: Bck, name: str) -> bool:
        """Whether somebody writes it now."""
        with self._guard:
            return (bck, name) in self._locks
