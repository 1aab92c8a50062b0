"""What listings show of the files of large directories is kept beside the order of their names (`ais.fs.orders`).

To ask the kernel for size, times and metadata of a file costs ten times what a listing takes otherwise. Kept is what
depends on one file alone, that has no other name, under that name: the kernel says when it changes.
"""

from collections.abc import Callable, Iterable, Iterator
from itertools import groupby
from typing import NamedTuple

import msgspec

from ais.api.listing import Entry
from ais.fs import names
from ais.fs.details import Rows
from ais.fs.orders import Found, Orders

ROWS_MAX = 256
"""Kept together."""
_GROUP_MIN = 32
"""So few files of a directory are read in the time that it takes to find out what is known of them."""
_LACKING_SHARE = 8
"""Rows are kept anew when one of so many names has none: to do that for a single one costs more than reading it."""
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[Entry]).decode


class Read(NamedTuple):
    """Entries by the names of their objects: those that depend on one file alone, and others."""

    plain: dict[str, Entry]
    others: dict[str, Entry]

    @property
    def every(self) -> dict[str, Entry]:
        """Both."""
        return self.plain | self.others


class Shown:
    """Of one volume. Any thread may call; a call blocks for the disk."""

    def __init__(self, orders: Orders) -> None:
        self._orders = orders

    def of(self, root: str, kind: str, some: list[str], read: Callable[[list[str]], Read]) -> dict[str, Entry]:
        """The entries of objects below a directory, by name: of `some` that have one, and maybe of others.

        What is not kept is `read`. `kind`: which function of files they are. Raise `OSError`.
        """
        found: dict[str, Entry] = {}
        for head, group in _by_directory(some):
            path = f"{root}/{names.directory_path(head)}" if head else root
            known = self._known(path, head, kind, group)
            if known is None:
                found |= read(group).every
                continue
            rows = _rows(known, head)
            if lacking := [name for name in group if name not in rows]:
                plain, others = read(lacking)
                rows |= plain
                if len(lacking) * _LACKING_SHARE >= len(group):
                    self._orders.keep_details(path, kind, known, _packed(group, len(head), rows))
                rows |= others
            found = found | rows if found else rows
        return found

    def kept(self, root: str, kind: str, some: list[str]) -> dict[str, Entry]:
        """Those that are kept, and hold now. Raise `OSError`."""
        found: dict[str, Entry] = {}
        for head, group in _by_directory(some):
            path = f"{root}/{names.directory_path(head)}" if head else root
            known = self._known(path, head, kind, group)
            if known is not None:
                found |= _rows(known, head)
        return found

    def _known(self, path: str, head: str, kind: str, group: list[str]) -> Found | None:
        """What is kept of a directory; None: nothing ever is."""
        if len(group) < _GROUP_MIN:
            return None
        return self._orders.details(path, kind, group[0][len(head) :], group[-1][len(head) :])


def _rows(known: Found, head: str) -> dict[str, Entry]:
    """What holds of what is known."""
    rows: dict[str, Entry] = {}
    for block in known.rows:
        rows.update((key_of(entry), entry) for entry in _decode(block.unpacked()))
        for name in block.changed:
            rows.pop(head + name, None)
    return rows


def _packed(some: list[str], begin: int, rows: dict[str, Entry]) -> Iterator[Rows]:
    for at in range(0, len(some), ROWS_MAX):
        part = some[at : at + ROWS_MAX]
        kept = [rows[name] for name in part if name in rows]
        yield Rows.of(part[0][begin:], part[-1][begin:], _encode(kept))


def key_of(entry: Entry) -> str:
    """The name of the object that an entry, maybe of one of its versions, is about."""
    return entry.n.partition("\0")[0]


def _by_directory(some: list[str]) -> Iterable[tuple[str, list[str]]]:
    """Names in order by what they have up to the last slash."""
    head = _head(some[0])
    if some[-1].startswith(head) and "".join(some).count("/") == head.count("/") * len(some):
        return [(head, some)]
    return [(head, list(group)) for head, group in groupby(some, _head)]


def _head(name: str) -> str:
    return name[: name.rfind("/") + 1]
