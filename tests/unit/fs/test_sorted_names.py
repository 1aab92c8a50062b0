"""Names in order, compressed: the same as a sorted set."""

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from ais.fs import sorted_names
from ais.fs.sorted_names import SortedNames

_NAME = st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\0"), max_size=6)


@settings(deadline=None)
@given(st.sets(_NAME), st.lists(st.tuples(st.booleans(), st.sets(_NAME, max_size=8)), max_size=6), _NAME, st.data())
def test_it_is_a_sorted_set(
    names: set[str], changes: list[tuple[bool, set[str]]], bound: str, data: st.DataObject
) -> None:
    """After any changes: what follows any bound, and who is in it; whatever the size of a block."""
    before, sorted_names.BLOCK_NAMES = sorted_names.BLOCK_NAMES, 3
    try:
        kept, wanted = SortedNames.of(sorted(names)), set(names)
        for present, changed in changes:
            kept.update(changed, present=present)
            wanted = wanted | changed if present else wanted - changed
        count = data.draw(st.integers(0, 9))
        assert list(kept) == sorted(wanted)
        assert kept.after(bound, count) == [name for name in sorted(wanted) if name > bound][:count]
        assert kept.after(bound, count, with_bound=True) == [name for name in sorted(wanted) if name >= bound][:count]
        assert kept.among(["a", bound]) == [name for name in ("a", bound) if name in wanted]
    finally:
        sorted_names.BLOCK_NAMES = before


def test_many_parts_become_one() -> None:
    """Merged parts have each name once, and what is said of their size is about what one made at once says."""
    rng = random.Random(3)
    names = [f"{number:07}.jpg" for number in range(30_000)]
    parts = [sorted(rng.sample(names, 7_000)) for _ in range(9)]
    merged = SortedNames.merged([SortedNames.of(part) for part in parts])
    wanted = sorted(set().union(*parts))
    assert list(merged) == wanted
    assert merged.after(wanted[20_000], 3_000) == wanted[20_001:23_001]
    assert SortedNames.of(wanted).size_bytes * 0.9 < merged.size_bytes < 10 * len(wanted)
    merged.update(wanted, present=False)
    assert (list(merged), merged.size_bytes) == ([], 0)
    assert list(SortedNames.merged([])) == []
