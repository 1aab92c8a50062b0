"""The merge of sorted feeds."""

from hypothesis import given
from hypothesis import strategies as st

from ais.api.listing import Entry, EntryFlag, EntryStatus
from ais.proxy import merge
from ais.proxy.merge import Feed

NAMES = st.lists(st.text(alphabet="ab/é", min_size=1, max_size=6), max_size=60)


def drain(names_by_target: list[list[str]], page_size: int, chunk: int) -> tuple[list[list[str]], int]:
    """Merge all in pages as the proxy does; return the pages and how many entries were fetched."""
    sources = [sorted(set(names)) for names in names_by_target]
    feeds = [Feed(f"t{index}", "") for index in range(len(sources))]
    pages: list[list[str]] = []
    fetched = 0
    while True:
        page: list[Entry] = []
        while len(page) < page_size and not all(feed.is_complete and not feed.pending for feed in feeds):
            asked = merge.to_ask(feeds, page_size - len(page))
            for source, feed in zip(sources, feeds, strict=True):
                if any(feed is one for one in asked):
                    rest = [name for name in source if name > feed.after]
                    sent = rest[:chunk]
                    feed.refill([Entry(name) for name in sent], sent[-1] if len(rest) > chunk else "")
                    fetched += len(sent)
            page += merge.take(feeds, page_size - len(page))
        pages.append([entry.n for entry in page])
        if len(page) < page_size:
            return pages, fetched


@given(st.lists(NAMES, min_size=1, max_size=4), st.integers(1, 7), st.integers(1, 5))
def test_pages_are_the_sorted_union_and_nothing_is_fetched_twice(
    names: list[list[str]], page_size: int, chunk: int
) -> None:
    """Whatever the split over targets, page and chunk sizes: every name once, in order, pages full, no overfetch."""
    pages, fetched = drain(names, page_size, chunk)
    assert [name for page in pages for name in page] == sorted({name for part in names for name in part})
    assert all(len(page) == page_size for page in pages[:-1])
    assert fetched == sum(len(set(part)) for part in names)


def test_a_dry_feed_blocks_the_merge() -> None:
    """Nothing may be taken while a target could still send a smaller name."""
    feeds = [Feed("t1", "", [Entry("b")]), Feed("t2", "")]
    assert merge.take(feeds, 10) == []
    feeds[1].refill([Entry("a")], "")
    assert [entry.n for entry in merge.take(feeds, 10)] == ["a", "b"]


def test_of_two_copies_the_one_in_its_place_is_listed() -> None:
    """A name on two targets is listed once, with the status of the copy that is where it belongs."""
    misplaced = Entry("a", f=EntryFlag.PRESENT | EntryStatus.MISPLACED_NODE)
    placed = Entry("a", f=int(EntryFlag.PRESENT))
    for first, second in ((misplaced, placed), (placed, misplaced)):
        feeds = [Feed("t1", "", [first], is_complete=True), Feed("t2", "", [second], is_complete=True)]
        assert merge.take(feeds, 10) == [placed]


def test_a_share_never_exceeds_the_page() -> None:
    """A small page is asked in full of each target, a large one in parts with some slack."""
    assert merge.share(10, 3) == 10
    assert merge.share(9000, 3) == 3000 + 375 + 16
    assert merge.share(1000, 1) == 1000
