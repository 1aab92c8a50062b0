"""Merging the sorted pages of several targets into one: no name fetched twice, nothing held beyond what was asked.

A `Feed` is what one target has sent and nobody has taken yet. All names up to the smallest *last* name of the
unfinished feeds are safe to take: no target can still send a smaller one. A feed that ran dry must be refilled before
anything more can be taken. Everything here is pure; `ais.proxy.listing` does the asking.
"""

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from operator import attrgetter, eq

from ais.api.listing import Entry

_name = attrgetter("n")


@dataclass(slots=True)
class Feed:
    """What one target sent and is not taken yet; `after` is where it continues, `is_complete` that it has no more."""

    target_id: str
    after: str
    entries: Sequence[Entry] = ()
    position: int = 0
    is_complete: bool = False

    @property
    def is_dry(self) -> bool:
        """Whether the target must be asked before the merge can go on."""
        return self.position >= len(self.entries) and not self.is_complete

    @property
    def pending(self) -> int:
        """Entries held."""
        return len(self.entries) - self.position

    @property
    def is_new(self) -> bool:
        """Whether the target was not asked yet."""
        return not (self.entries or self.is_complete)

    def refill(self, entries: Sequence[Entry], token: str) -> None:
        """Take the target's next page, which continues behind `token`."""
        self.entries = [*self.entries[self.position :], *entries] if self.pending else entries
        self.position = 0
        self.after, self.is_complete = token, not token


def to_ask(feeds: Sequence[Feed], missing: int) -> list[Feed]:
    """None while no feed is dry; then, together, all that will be before their fair part of the page was taken."""
    if not any(feed.is_dry for feed in feeds):
        return []
    fair = -(-missing // len(feeds))
    return [feed for feed in feeds if not feed.is_complete and feed.pending < fair]


def take(feeds: Sequence[Feed], limit: int) -> list[Entry]:
    """Remove and return up to `limit` entries, sorted, each name once; empty when a dry feed blocks or all is taken."""
    if limit <= 0 or any(feed.is_dry for feed in feeds):
        return []
    bound = min((feed.entries[-1].n for feed in feeds if not feed.is_complete), default=None)
    candidates: list[Entry] = []
    for feed in feeds:
        end = len(feed.entries)
        if bound is not None:
            end = bisect_right(feed.entries, bound, lo=feed.position, key=_name)
        candidates += feed.entries[feed.position : min(end, feed.position + limit)]
    taken = _unique(candidates)[:limit]
    if taken:
        _advance(feeds, taken[-1].n)
    return taken


def _advance(feeds: Iterable[Feed], last: str) -> None:
    for feed in feeds:
        feed.position = bisect_right(feed.entries, last, lo=feed.position, key=_name)


def _unique(candidates: list[Entry]) -> list[Entry]:
    """Sorted by name; of equal names the one with the best status (0 = where it belongs) stays."""
    candidates.sort(key=_name)  # sorted runs one after the other: nearly a plain merge
    names = list(map(_name, candidates))
    if not any(map(eq, names, islice(names, 1, None))):
        return candidates
    unique: list[Entry] = []
    for entry in candidates:
        if unique and unique[-1].n == entry.n:
            if entry.status < unique[-1].status:
                unique[-1] = entry
        else:
            unique.append(entry)
    return unique


def share(page_size: int, feed_count: int) -> int:
    """How many entries to ask of one of `feed_count` targets for a page: its fair part and some for uneven spread."""
    fair = -(-page_size // feed_count)
    return min(page_size, fair + fair // 8 + 16)
