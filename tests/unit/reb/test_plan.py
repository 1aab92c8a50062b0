"""What has to move when the set of targets changes, as functions of maps."""

import msgspec
import pytest

from ais.api import codec
from ais.base.errors import NotReady
from ais.meta.placement import Placement
from ais.meta.smap import Flag, NetInfo, Smap, Snode, digest
from ais.reb import plan

NET = NetInfo.make("http", "127.0.0.1", 1)
KEYS = [digest(f"ais/@#/b/o{number}") for number in range(500)]


def target(name: str) -> Snode:
    return Snode.make("target", name, NET, NET, NET)


def smap_of(*names: str) -> Smap:
    smap = Smap(uuid="u")
    for name in names:
        smap = smap.with_node(target(name))
    return smap


def test_who_finds_no_object_asks_who_had_it() -> None:
    """After a join, each name's earlier owner is its owner by the map before; a share of 1/N has another one now."""
    old = smap_of("t1", "t2", "t3")
    new = plan.follow(old, old.with_node(target("t4")), has_data=True)
    assert new.moving
    assert new.moving.id == f"g{int(new.version)}"
    earlier, before, after = plan.Earlier(new), Placement(old), Placement(new)
    for key in KEYS:
        assert earlier.owners(key) == [before.owner_at(key).id]
        assert after.owner_at(key).id in ("t4", before.owner_at(key).id)
    assert 0.15 < sum(after.is_owner("t4", key) for key in KEYS) / len(KEYS) < 0.35


def test_later_changes_add_a_question_each_up_to_a_limit() -> None:
    """The sets of earlier owners pile up, the latest first, and the present one is not among them."""
    smap = smap_of("t1", "t2")
    for number in range(3, 3 + plan.SETS_MAX):
        smap = plan.follow(smap, smap.with_node(target(f"t{number}")), has_data=True)
    assert smap.moving
    assert len(smap.moving.before) == plan.SETS_MAX
    assert len(smap.moving.before[0]) == plan.SETS_MAX + 1
    with pytest.raises(NotReady, match="wait for the rebalance"):
        plan.follow(smap, smap.with_node(target("t99")), has_data=True)
    back = plan.follow(
        smap_of("t1", "t2"), smap_of("t1", "t2").with_flags(frozenset({"t2"}), Flag.MAINTENANCE), has_data=True
    )
    again = plan.follow(back, back.with_flags(frozenset({"t2"}), Flag(0)), has_data=True)
    assert again.moving
    assert again.moving.before == (("t1",),)


def test_nothing_moves_when_owners_stay_or_there_is_no_data() -> None:
    """A target that is away or back, a proxy that comes, or a cluster without buckets make nothing move."""
    smap = smap_of("t1", "t2")
    for new in (smap.with_away(frozenset({"t1"})), smap.with_node(Snode.make("proxy", "p1", NET, NET, NET))):
        assert not plan.follow(smap, new, has_data=True).moving
    assert not plan.follow(smap, smap.with_node(target("t3")), has_data=False).moving


def test_the_end_of_a_rebalance() -> None:
    """Decommissioned targets leave, drained ones are marked; one that was superseded ends nothing."""
    smap = smap_of("t1", "t2", "t3", "t4")
    smap = plan.follow(smap, smap.with_flags(frozenset({"t3"}), Flag.DECOMMISSION), has_data=True)
    smap = plan.follow(smap, smap.with_flags(frozenset({"t4"}), Flag.MAINTENANCE), has_data=True)
    assert smap.moving
    assert plan.finish(smap, "g1") is smap
    ended = plan.finish(smap, smap.moving.id)
    assert not ended.moving
    assert set(ended.tmap) == {"t1", "t2", "t4"}
    assert ended.tmap["t4"].flags == Flag.MAINTENANCE | Flag.MAINTENANCE_POST_REBALANCE
    assert plan.owners(ended) == plan.Owners(("t1", "t2"))


def test_who_may_be_told_to_end() -> None:
    """A decommissioned proxy at once, a target when nothing moves any more; one in maintenance when it is drained, and
    as long as it was not told."""
    smap = smap_of("t1", "t2", "t3").with_node(Snode.make("proxy", "p1", NET, NET, NET))
    leaves = smap.with_flags(frozenset({"t3", "p1"}), Flag.DECOMMISSION, "{}")
    moving = plan.follow(smap, leaves, has_data=True)
    assert plan.ended(moving) == {"p1"}
    assert plan.ended(leaves) == {"t3", "p1"}
    rests = plan.follow(smap, smap.with_flags(frozenset({"t3"}), Flag.MAINTENANCE, "{}"), has_data=True)
    assert rests.moving
    assert plan.drained(rests) == []
    drained = plan.finish(rests, rests.moving.id)
    assert [node.id for node in plan.drained(drained)] == ["t3"]
    assert plan.drained(drained.with_away(frozenset({"t3"}))) == []
    assert plan.drained(drained.with_told(frozenset({"t3"}))) == []
    assert plan.ended(drained) == frozenset()


def test_another_weight_is_a_move() -> None:
    """Earlier owners are found by the weights of before, also of several changes, and after the map was stored."""
    old = smap_of("t1", "t2", "t3")
    heavy = plan.follow(old, old.with_weights({"t1": 300}), has_data=True)
    light = plan.follow(heavy, heavy.with_weights({"t1": 50}), has_data=True)
    assert light.moving
    assert light.moving.before == (("t1", "t2", "t3"),) * 2
    assert light.moving.weights == ((300, 100, 100), ())
    stored = codec.from_json(codec.to_json(light), Smap)
    earlier, first, second = plan.Earlier(stored), Placement(heavy), Placement(old)
    for key in KEYS:
        assert earlier.owners(key) == list(dict.fromkeys((first.owner_at(key).id, second.owner_at(key).id)))
    back = plan.follow(heavy, heavy.with_weights({"t1": 100}), has_data=True)
    assert back.moving
    assert (back.moving.before, back.moving.weights) == ((("t1", "t2", "t3"),), ((300, 100, 100),))
    assert plan.again(back).moving == msgspec.structs.replace(back.moving, id=f"g{int(back.version) + 1}")
    assert old.with_weights({"t1": 100}) is old
    assert not plan.follow(old, old.with_weights({"t1": 7, "t2": 7, "t3": 7}), has_data=True).moving


def test_maps_without_weights_say_what_they_said_before() -> None:
    """Where all weights are equal a map has no word of them, and one that an earlier version stored is read."""
    old = smap_of("t1", "t2")
    new = plan.follow(old, old.with_node(target("t3")), has_data=True)
    assert b"weight" not in codec.to_json(new)
    stored = codec.from_json(b'{"ext":{"id":"g4","before":[["t1","t2"],["t1"]]}}', Smap)
    assert plan.earlier(stored) == [plan.Owners(("t1", "t2")), plan.Owners(("t1",))]


def test_a_mountpath_that_returns_makes_everybody_ask_its_target() -> None:
    """It may have any name, whoever owned it by which map; then that is over as any move is."""
    smap = smap_of("t1", "t2", "t3")
    lacking = plan.lacking(plan.lacking(smap, "t1"), "t2")
    assert (lacking.lacking, lacking.version) == (("t1", "t2"), smap.version + 2)
    assert plan.whole(lacking, "t3") is lacking
    assert plan.whole(plan.whole(lacking, "t1"), "t2").lacking is msgspec.UNSET
    assert lacking.without_nodes(frozenset(("t1",))).lacking == ("t2",)
    back = plan.back(lacking, "t1")
    assert back.moving
    assert {tuple(plan.Earlier(back).owners(key)) for key in KEYS} == {("t1",)}
    joined = plan.follow(back, back.with_node(target("t4")), has_data=True)
    assert all("t1" in plan.Earlier(joined).owners(key) for key in KEYS)
    again = plan.back(joined, "t2")
    assert all({"t1", "t2"} <= set(plan.Earlier(again).owners(key)) for key in KEYS)
    assert plan.finish(back, back.moving.id).moving is msgspec.UNSET
    assert plan.back(smap_of("t1"), "t1").moving is msgspec.UNSET
