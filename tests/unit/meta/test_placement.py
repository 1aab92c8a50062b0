"""Placement is exactly the contract's, so that clients find the same owner."""

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ais.base.errors import NotReady
from ais.meta import placement
from ais.meta.placement import Candidates, Placement, digest, mix, next_primaries
from ais.meta.smap import Flag, NetInfo, Smap, Snode

NET = NetInfo.make("http", "127.0.0.1", 8080)
TARGETS = ["t1aaaaaa", "t2bbbbbb", "t3cccccc", "t4dddddd"]


def target(node_id: str, flags: int = 0) -> Snode:
    return Snode(NET, NET, NET, "target", node_id, flags, digest(node_id))


def proxy(node_id: str, *, electable: bool = True) -> Snode:
    return Snode.make("proxy", node_id, NET, NET, NET, electable=electable)


def test_mix_vectors() -> None:
    """The mixing function gives the contract's vectors."""
    assert mix(0) == 1905207664160064169
    assert mix(4573842) == 5026071747115404967


def test_digest_vectors() -> None:
    """The digest has the contract's seed."""
    assert digest(b"0123456789\n") == 0xCE1934898F65108D
    assert [digest(node_id) for node_id in TARGETS] == [
        7121389483902232619,
        14038709307019125995,
        10952930699838777106,
        8468611682744760738,
    ]


@pytest.mark.parametrize(
    ("uname", "owner"),
    [
        ("ais/@#/mybck/obj1", "t3cccccc"),
        ("ais/@#/mybck/dir/obj2", "t4dddddd"),
        ("aws/@#/b/x", "t3cccccc"),
        ("ais/@uuid#ns/b/x", "t1aaaaaa"),
    ],
)
def test_owner_vectors(uname: str, owner: str) -> None:
    """Objects have the contract's owners, also when asked again (from the cache)."""
    smap = Smap(tmap={node_id: target(node_id) for node_id in TARGETS})
    places = Placement(smap)
    assert places.owner(uname).id == owner
    assert places.owner(uname).id == owner
    assert places.ranked(uname, 1)[0].id == owner


def test_mountpath_vectors() -> None:
    """Mountpaths are chosen by the same functions."""
    paths = ["/ais/mp1", "/ais/mp2", "/ais/mp3"]
    digests = [digest(path) for path in paths]
    assert digests == [12203671305734101140, 6549127387739109511, 9806596005567982079]
    assert paths[Candidates(digests).best(digest("ais/@#/mybck/obj1"))] == "/ais/mp2"


@given(st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=40), st.integers(0, 2**64 - 1))
@example([7, 5, 7], 9)
@example([0] * 3, 2**64 - 1)
@example([2**64 - 1] * 40, 0)
def test_candidates_are_mixed_at_once_as_one_by_one(digests: list[int], key: int) -> None:
    """All lanes of the large integer get what `mix` makes of each digest; of equals the last candidate wins."""
    one_by_one = sorted(range(len(digests)), key=lambda index: (mix(digests[index] ^ key), index), reverse=True)
    assert Candidates(digests).ranking(key) == one_by_one
    assert Candidates(digests).best(key) == one_by_one[0]
    weighted = Candidates(digests, [1 + index % 3 for index in range(len(digests))])
    assert sorted(weighted.ranking(key)) == list(range(len(digests)))
    assert weighted.ranking(key)[0] == weighted.best(key)


def test_unavailable_targets_own_nothing() -> None:
    """A target in maintenance gets no objects; without any target there is a clear error."""
    smap = Smap(tmap={"t1aaaaaa": target("t1aaaaaa"), "t2bbbbbb": target("t2bbbbbb", Flag.MAINTENANCE)})
    assert {Placement(smap).owner(f"ais/@#/b/{n}").id for n in range(50)} == {"t1aaaaaa"}
    with pytest.raises(NotReady, match="start more"):
        Placement(smap).ranked("ais/@#/b/o", 2)
    with pytest.raises(NotReady, match="has 0 targets"):
        Placement(Smap()).owner("ais/@#/b/o")


def test_remembered_owners_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """The cache of owners does not grow beyond its limit."""
    monkeypatch.setattr(placement, "OWNERS_CACHED_MAX", 10)
    places = Placement(Smap(tmap={node_id: target(node_id) for node_id in TARGETS}))
    owners = [places.owner(f"ais/@#/b/{n}").id for n in range(35)]
    assert len(places._owners) <= 10
    assert owners == [places.owner(f"ais/@#/b/{n}").id for n in range(35)]


def test_spread_is_even() -> None:
    """3000 objects over 3 targets: each holds 1000 within 10 %."""
    places = Placement(Smap(tmap={node_id: target(node_id) for node_id in TARGETS[:3]}))
    counts = dict.fromkeys(TARGETS[:3], 0)
    for number in range(3000):
        counts[places.owner(f"ais/@#/b/dir/object-{number}").id] += 1
    assert all(900 <= count <= 1100 for count in counts.values())


def test_next_primary_has_the_highest_digest() -> None:
    """Proxies follow each other by plain digest; non-electable ones, those in maintenance and the skipped do not."""
    proxies = [proxy(f"p{n}xxxxxx") for n in range(5)] + [proxy("p9xxxxxx", electable=False)]
    smap = Smap(pmap={one.id: one for one in proxies})
    order = [one.id for one in next_primaries(smap, skip="p0xxxxxx")]
    assert order == sorted((f"p{n}xxxxxx" for n in range(1, 5)), key=digest, reverse=True)


def weighted(weights: dict[str, int]) -> Smap:
    smap = Smap(tmap={node_id: target(node_id) for node_id in TARGETS[: len(weights)]})
    return smap.with_weights(dict(zip(TARGETS, weights.values(), strict=False)))


UNAMES = [f"ais/@#/b/dir/object-{number}" for number in range(6000)]


def owners(smap: Smap) -> list[str]:
    places = Placement(smap)
    return [places.owner_at(digest(uname)).id for uname in UNAMES]


def test_shares_follow_weights_within_two_points() -> None:
    """With twice the weight a target owns twice the names, and what it gains it gains from everybody in proportion."""
    found = owners(weighted({"1": 200, "2": 100, "3": 100, "4": 50}))
    for node_id, share in zip(TARGETS, (200, 100, 100, 50), strict=True):
        assert abs(found.count(node_id) / len(UNAMES) - share / 450) < 0.02


def test_equal_weights_are_the_contract() -> None:
    """All at 100, all at 300, or nothing said: the same owners in the same order, and no word of it in the map."""
    plain, all_100, all_300 = (weighted(dict.fromkeys("123", weight)) for weight in (100, 100, 300))
    assert Placement(all_300).is_weighted is False
    assert all("weight" not in msgspec.to_builtins(one) for one in all_100.tmap.values())
    expected = [Placement(plain).order(uname) for uname in UNAMES[:500]]
    for smap in (all_100, all_300):
        places = Placement(smap)
        assert [[one.id for one in places.order(uname)] for uname in UNAMES[:500]] == [
            [one.id for one in order] for order in expected
        ]


def test_only_names_of_the_changed_target_move() -> None:
    """Another weight of one target moves names to it, or from it, and no other."""
    before, after = owners(weighted({"1": 100, "2": 100, "3": 100})), owners(weighted({"1": 100, "2": 200, "3": 100}))
    moved = [(old, new) for old, new in zip(before, after, strict=True) if old != new]
    assert {new for _, new in moved} == {TARGETS[1]}
    assert abs(len(moved) / len(UNAMES) - (2 / 4 - 1 / 3)) < 0.02


def test_weighted_vectors() -> None:
    """What is on disk under unequal weights depends on this: the owners never change."""
    places = Placement(weighted({"1": 100, "2": 250, "3": 100, "4": 1}))
    found = "".join(places.owner_at(digest(uname)).id[1] for uname in UNAMES[:40])
    assert found == "1212231332331311233122232212222112223222"
    assert "".join(one.id[1] for one in places.order(UNAMES[7])) == "3214"
    assert places.order(UNAMES[7])[0] is places.owner(UNAMES[7])
