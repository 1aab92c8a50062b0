"""What was found out about files of one directory, beside the order of their names, in little memory.

Rows are opaque here: of a run of names that follow one another, and those of some names among them that changed since
and have to be looked at again. A block of which many changed is forgotten.
"""

import zlib
from bisect import bisect_right
from collections.abc import Iterator
from typing import NamedTuple

CHANGED_MAX = 32
"""Of one block: who lists it reads so many anew each time."""
_LEVEL = 1
_COST = 250
"""About what a block takes beside its rows, in bytes."""


class Rows(NamedTuple):
    """Of names from `first` to `last`; those `changed` say nothing any more."""

    first: str
    last: str
    packed: bytes
    changed: frozenset[str] = frozenset()

    @classmethod
    def of(cls, first: str, last: str, rows: bytes) -> "Rows":
        """Compress them."""
        return cls(first, last, zlib.compress(rows, _LEVEL))

    def unpacked(self) -> bytes:
        """As they were given."""
        return zlib.decompress(self.packed)

    @property
    def size_bytes(self) -> int:
        """About what they take."""
        return len(self.packed) + _COST


class Details:
    """Rows by name. One thread at a time."""

    __slots__ = ("_blocks", "_firsts", "size_bytes")

    def __init__(self) -> None:
        self._firsts: list[str] = []
        self._blocks: list[Rows] = []
        self.size_bytes = 0
        """About what they take."""

    def between(self, first: str, last: str) -> list[Rows]:
        """All that may say something about names from `first` to `last`."""
        begin, end = self._range(first, last)
        return self._blocks[begin:end]

    def keep(self, rows: Rows) -> None:
        """Instead of all that said something about any name between."""
        begin, end = self._range(rows.first, rows.last)
        self.size_bytes += rows.size_bytes - sum(one.size_bytes for one in self._blocks[begin:end])
        self._firsts[begin:end], self._blocks[begin:end] = [rows.first], [rows]

    def forget(self, name: str) -> None:
        """What is known of a name is not so any more."""
        at = bisect_right(self._firsts, name) - 1
        if at < 0 or self._blocks[at].last < name:
            return
        rows = self._blocks[at]
        changed = rows.changed | {name}
        if len(changed) <= CHANGED_MAX:
            self._blocks[at] = rows._replace(changed=changed)
        else:
            self.size_bytes -= rows.size_bytes
            del self._firsts[at], self._blocks[at]

    def __iter__(self) -> Iterator[Rows]:
        return iter(self._blocks)

    def _range(self, first: str, last: str) -> tuple[int, int]:
        begin = bisect_right(self._firsts, first)
        if begin and self._blocks[begin - 1].last >= first:
            begin -= 1
        return begin, max(begin, bisect_right(self._firsts, last))
