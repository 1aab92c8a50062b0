"""Who may decide: every two groups that decide share a node."""

import itertools
from collections.abc import Iterator

import pytest

from ais.meta.smap import NetInfo, Smap, Snode
from ais.node.quorum import Electorate, have_quorum

NET = NetInfo.make("http", "h", 80)


def electorate(proxies: int, targets: int) -> Electorate:
    rivals = frozenset(f"p{n}" for n in range(proxies))
    return Electorate(rivals | {f"t{n}" for n in range(targets)}, rivals)


def groups(one: Electorate) -> Iterator[frozenset[str]]:
    nodes = sorted(one.nodes)
    for size in range(len(nodes) + 1):
        yield from map(frozenset, itertools.combinations(nodes, size))


@pytest.mark.parametrize(
    ("proxies", "targets"), [(1, 0), (1, 3), (2, 0), (2, 1), (2, 3), (3, 0), (3, 2), (3, 3), (4, 2)]
)
def test_groups_that_decide_share_a_node(proxies: int, targets: int) -> None:
    """Exhaustively: whoever leads a group is one of its possible primaries, and then no two groups are disjoint."""
    one = electorate(proxies, targets)
    deciding = [group for group in groups(one) if group & one.rivals and one.has_quorum(group)]
    assert deciding
    for group, other in itertools.combinations(deciding, 2):
        assert group & other


def test_a_majority_decides() -> None:
    """Three of five may decide, two may not."""
    one = electorate(2, 3)
    assert one.has_quorum(frozenset({"p0", "t0", "t1"}))
    assert not one.has_quorum(frozenset({"p0", "t0"}))


def test_all_possible_primaries_decide() -> None:
    """Where every possible rival takes part no majority is needed: one proxy alone, or two with all targets dead."""
    assert electorate(1, 5).has_quorum(frozenset({"p0"}))
    assert electorate(2, 5).has_quorum(frozenset({"p0", "p1"}))
    assert not electorate(2, 5).has_quorum(frozenset({"p0"}))


def test_strangers_do_not_count() -> None:
    """Nodes outside the map give no majority."""
    assert not electorate(2, 3).has_quorum(frozenset({"p0", "t0", "x1", "x2"}))


def test_old_and_new_map_must_both_agree() -> None:
    """While the map changes, a quorum of only one of the two decides nothing."""
    old, new = electorate(2, 1), electorate(2, 5)
    agreed = frozenset({"p0", "t0"})
    assert old.has_quorum(agreed)
    assert not have_quorum((old, new), agreed)
    assert have_quorum((old, new), agreed | {"t1", "t2"})


def test_electorate_of_a_map() -> None:
    """Non-electable proxies vote but are no rivals; the primary is a rival whatever its flags say."""
    smap = Smap(uuid="u")
    for node_id, electable in (("p1aaaaaa", False), ("p2aaaaaa", True), ("p3aaaaaa", False)):
        smap = smap.with_node(Snode.make("proxy", node_id, NET, NET, NET, electable=electable))
    smap = smap.with_node(Snode.make("target", "t1aaaaaa", NET, NET, NET)).changed(primary_id="p1aaaaaa")
    one = Electorate.of(smap)
    assert one.nodes == {"p1aaaaaa", "p2aaaaaa", "p3aaaaaa", "t1aaaaaa"}
    assert one.rivals == {"p1aaaaaa", "p2aaaaaa"}
