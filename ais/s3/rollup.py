"""From a sorted stream of names to pages of an S3 listing: prefix, delimiter, common prefixes, markers, counts.

Pure. A page holds at most `max_keys` entries, each a key or a common prefix. The marker of the next page is the last
entry given: a key, or a common prefix, behind which everything that starts with it is passed over.
"""

from collections.abc import Iterable, Iterator
from typing import Generic, NamedTuple, TypeVar

T = TypeVar("T")


class Query(NamedTuple):
    """One page asked for. Names up to and including `after`, and all below it if it is a common prefix, are past."""

    prefix: str
    delimiter: str
    after: str
    max_keys: int


class Page(NamedTuple, Generic[T]):
    """`keys`: entries as given; `prefixes`: common prefixes; `next_after`: empty unless truncated."""

    keys: list[T]
    prefixes: list[str]
    next_after: str

    @property
    def is_truncated(self) -> bool:
        """Whether more follows."""
        return bool(self.next_after)


def common_prefix(name: str, prefix: str, delimiter: str) -> str:
    """The part of `name` up to and including the first delimiter behind `prefix`, or empty."""
    if not delimiter:
        return ""
    end = name.find(delimiter, len(prefix))
    return name[: end + len(delimiter)] if end >= 0 else ""


def seek(query: Query) -> str:
    """Where to start reading names (exclusive): behind `after`, and behind all it stands for as a common prefix."""
    if query.after and common_prefix(query.after, query.prefix, query.delimiter) == query.after:
        return query.after + "\U0010ffff"
    return query.after


def page(entries: Iterable[tuple[str, T]], query: Query) -> Page[T]:
    """Roll up one page from `(name, entry)` sorted by name; all names start with the prefix and lie behind `seek`."""
    keys: list[T] = []
    prefixes: list[str] = []
    last = ""
    if query.max_keys == 0:
        return Page(keys, prefixes, "")
    for name, item in _units(entries, query):
        if len(keys) + len(prefixes) == query.max_keys:
            return Page(keys, prefixes, last)
        last = name
        if item is None:
            prefixes.append(name)
        else:
            keys.append(item)
    return Page(keys, prefixes, "")


def _units(entries: Iterable[tuple[str, T]], query: Query) -> Iterator[tuple[str, T | None]]:
    """Keys, and each common prefix once (with None)."""
    current = ""
    for name, item in entries:
        if current and name.startswith(current):
            continue
        current = common_prefix(name, query.prefix, query.delimiter)
        if current:
            yield current, None
        else:
            yield name, item
