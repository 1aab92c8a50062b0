"""Listing pages against the definition computed the slow way."""

from hypothesis import given
from hypothesis import strategies as st

from ais.s3 import rollup

NAMES = st.sets(st.text(alphabet="ab/-", min_size=1, max_size=5), max_size=30)


def _reference(names: set[str], prefix: str, delimiter: str) -> list[str]:
    units = {rollup.common_prefix(name, prefix, delimiter) or name for name in names if name.startswith(prefix)}
    return sorted(units)


@given(NAMES, st.text(alphabet="ab/", max_size=2), st.sampled_from(["", "/", "-", "b/"]), st.integers(1, 7))
def test_pages_are_the_whole_listing_in_order(names: set[str], prefix: str, delimiter: str, max_keys: int) -> None:
    """Paging through gives every key and every common prefix once, in order, whatever the page size."""
    seen: list[str] = []
    after = ""
    while True:
        query = rollup.Query(prefix, delimiter, after, max_keys)
        behind = rollup.seek(query)
        entries = ((name, name) for name in sorted(names) if name.startswith(prefix) and name > behind)
        page = rollup.page(entries, query)
        units = sorted([*page.keys, *page.prefixes])
        assert len(units) <= max_keys
        assert not units or not after or units[0] > after
        seen += units
        if not page.is_truncated:
            break
        assert page.next_after == units[-1]
        after = page.next_after
    assert seen == _reference(names, prefix, delimiter)


def test_no_keys_asked_for() -> None:
    """`max-keys=0` is an empty page that is not truncated."""
    page = rollup.page([("a", "a")], rollup.Query("", "", "", 0))
    assert (page.keys, page.prefixes, page.is_truncated) == ([], [], False)
