"""Many names in order in little memory: blocks of some hundred, compressed.

Names of data sets have much in common with their neighbours: one costs 3 to 6 bytes where a list of texts takes 80.
"""

import operator
import zlib
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

BLOCK_NAMES = 256
_LEVEL = 1


class SortedNames:
    """A sorted set of texts without NUL. One thread at a time."""

    __slots__ = ("_blocks", "_firsts", "_opened", "size_bytes")

    def __init__(self) -> None:
        self._firsts: list[str] = []
        self._blocks: list[bytes] = []
        self._opened: tuple[int, list[str]] = (-1, [])
        """The block that was read last, and its names."""
        self.size_bytes = 0
        """About what it takes."""

    @classmethod
    def of(cls, names: Sequence[str]) -> "SortedNames":
        """Of names in order."""
        made = cls()
        for at in range(0, len(names), BLOCK_NAMES):
            made._insert(len(made._blocks), names[at : at + BLOCK_NAMES])
        return made

    @classmethod
    def merged(cls, parts: "list[SortedNames]") -> "SortedNames":
        """All names of these, which are emptied on the way: there is hardly more memory in use than before."""
        if len(parts) == 1:
            return parts[0]
        made, rest = cls(), list[str]()
        for names in _merge([part._emptied() for part in parts]):
            rest += names
            if len(rest) >= 2 * BLOCK_NAMES:
                full = len(rest) - len(rest) % BLOCK_NAMES
                for at in range(0, full, BLOCK_NAMES):
                    made._insert(len(made._blocks), rest[at : at + BLOCK_NAMES])
                del rest[:full]
        if rest:
            made._insert(len(made._blocks), rest)
        return made

    def after(self, bound: str, count: int, *, with_bound: bool = False) -> list[str]:
        """The first `count` names greater than `bound`, and itself with `with_bound`."""
        bisect = bisect_left if with_bound else bisect_right
        at = max(0, bisect_right(self._firsts, bound) - 1)
        found: list[str] = []
        while at < len(self._blocks) and len(found) < count:
            names = self._open(at)
            start = bisect(names, bound) if not found else 0
            found += names[start : start + count - len(found)]
            at += 1
        return found

    def among(self, names: Iterable[str]) -> list[str]:
        """Those of these names that it has."""
        return [name for name in names if self.after(name, 1, with_bound=True) == [name]]

    def update(self, names: Iterable[str], *, present: bool) -> None:
        """Add names, or take them away."""
        by_block: dict[int, set[str]] = {}
        for name in names:
            by_block.setdefault(max(0, bisect_right(self._firsts, name) - 1), set()).add(name)
        for at in sorted(by_block, reverse=True):  # what lies before keeps its number
            old = set(self._open(at)) if self._blocks else set()
            new = old | by_block[at] if present else old - by_block[at]
            if new != old:
                self._replace(at, sorted(new))

    def __iter__(self) -> Iterator[str]:
        for at in range(len(self._blocks)):
            yield from _names(self._blocks[at])

    def _open(self, at: int) -> list[str]:
        if self._opened[0] != at:
            self._opened = at, _names(self._blocks[at])
        return self._opened[1]

    def _replace(self, at: int, names: list[str]) -> None:
        self._opened = (-1, [])
        if self._blocks:
            self.size_bytes -= _cost(self._firsts.pop(at), self._blocks.pop(at))
        step = BLOCK_NAMES if len(names) > 2 * BLOCK_NAMES else max(1, len(names))
        for number, start in enumerate(range(0, len(names), step)):
            self._insert(at + number, names[start : start + step])

    def _insert(self, at: int, names: Sequence[str]) -> None:
        block = zlib.compress("\0".join(names).encode(), _LEVEL)
        self._firsts.insert(at, names[0])
        self._blocks.insert(at, block)
        self.size_bytes += _cost(names[0], block)

    def _emptied(self) -> Iterator[list[str]]:
        self._firsts.clear()
        blocks, self._blocks = self._blocks[::-1], []
        while blocks:
            yield _names(blocks.pop())


def _names(block: bytes) -> list[str]:
    return zlib.decompress(block).decode().split("\0")


def _cost(first: str, block: bytes) -> int:
    return len(block) + len(first) + 140


def _merge(parts: list[Iterator[list[str]]]) -> Iterator[list[str]]:
    """Sorted lists of several sorted sequences of lists, each name once."""
    heads = [(names, part) for part in parts if (names := next(part, None))]
    while heads:
        bound = min(names[-1] for names, _ in heads)
        taken: list[str] = []
        rest: list[tuple[list[str], Iterator[list[str]]]] = []
        for names, part in heads:
            end = bisect_right(names, bound)
            taken += names[:end]
            left: list[str] | None = names[end:] or next(part, None)
            if left:
                rest.append((left, part))
        heads = rest
        taken.sort()  # sorted runs one after the other: nearly a plain merge
        yield without_repeated(taken)


def without_repeated(names: list[str]) -> list[str]:
    """Of equal names that stand side by side one."""
    if any(map(operator.eq, names, islice(names, 1, None))):
        return list(dict.fromkeys(names))
    return names
