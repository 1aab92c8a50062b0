"""Decisions about membership and elections, one rule at a time."""

import itertools

import msgspec
import pytest

from ais.api import codec
from ais.base.errors import AlreadyExists, BadRequest, IntegrityError
from ais.base.units import Duration
from ais.config.sections import Keepalive, KeepaliveTracker
from ais.meta.smap import GIVEN_UP_MAX, NetInfo, Smap, Snode
from ais.meta.stamp import Stamp
from ais.node import decisions
from ais.node.decisions import Start, Timing, Voter
from ais.node.messages import Heard, JoinRequest, Part, Stamps, Sync, VoteRequest


def net(port: int) -> NetInfo:
    return NetInfo.make("http", "127.0.0.1", port)


def proxy(node_id: str, port: int = 80, *, electable: bool = True) -> Snode:
    return Snode.make("proxy", node_id, net(port), net(port), net(port), electable=electable)


def target(node_id: str, port: int = 80) -> Snode:
    return Snode.make("target", node_id, net(port), net(port), net(port))


P1, P2, P3, T1 = proxy("p1aaaaaa"), proxy("p2aaaaaa"), proxy("p3aaaaaa"), target("t1aaaaaa")
TIMING = Timing.of(
    Keepalive(
        proxy=KeepaliveTracker(interval=Duration(2), factor=3), target=KeepaliveTracker(interval=Duration(2), factor=4)
    )
)


def cluster(*nodes: Snode, primary: Snode = P1) -> Smap:
    smap = Smap(uuid="cluster01")
    for node in (primary, *nodes):
        smap = smap.with_node(node)
    return smap.changed(primary_id=primary.id)


SMAP = cluster(P2, P3, T1)
STAMPS = Stamps(config=Stamp(1, 1), bmd=Stamp(1, 5), smap=Stamp(1, int(SMAP.version)))


def test_timing() -> None:
    """The lease is shorter than the patience; a factor of 1 still leaves room for one lost heartbeat."""
    assert (TIMING.interval_s, TIMING.patience_s, TIMING.lease_s) == (2, 6, 5)
    assert (TIMING.silence_of(P2), TIMING.silence_of(T1)) == (6, 8)
    tight = Timing.of(Keepalive(proxy=KeepaliveTracker(interval=Duration(2), factor=1)))
    assert tight.interval_s < tight.lease_s < tight.patience_s


@pytest.mark.parametrize(
    ("smap", "me", "urls", "start"),
    [
        (SMAP, P1, ("http://x",), Start.RESUME),
        (SMAP, P2, ("http://x",), Start.FOLLOW),
        (SMAP, P2, (), Start.FOLLOW),
        (SMAP, T1, (), Start.FOLLOW),
        (Smap(), P1, ("http://x",), Start.JOIN),
        (Smap(), T1, ("http://x",), Start.JOIN),
        (Smap(), P1, (), Start.FOUND),
    ],
)
def test_how_to_start(smap: Smap, me: Snode, urls: tuple[str, ...], start: Start) -> None:
    """What is persisted rules; the configuration is for the first start."""
    assert decisions.start_of(smap, me, urls) is start


@pytest.mark.parametrize("me", [T1, proxy("p9aaaaaa", electable=False)])
def test_nowhere_to_start(me: Snode) -> None:
    """A node that cannot found a cluster and knows none says what to set."""
    with pytest.raises(BadRequest, match=r"set proxy\.primary_url"):
        decisions.start_of(Smap(), me, ())


def test_whom_to_ask() -> None:
    """The primary first, then other proxies, then what is configured; nobody twice, never oneself."""
    smap = cluster(proxy("p2aaaaaa", 82), proxy("p3aaaaaa", 83), primary=proxy("p1aaaaaa", 81))
    urls = decisions.join_urls(smap, P2, ["http://127.0.0.1:81", "http://new:80"])
    assert urls == ["http://127.0.0.1:81", "http://127.0.0.1:83", "http://new:80"]
    assert decisions.join_urls(Smap(), P2, ["http://x"]) == ["http://x"]


@pytest.mark.parametrize(
    ("uuid", "to", "term", "heard"),
    [
        ("cluster01", "t1aaaaaa", 3, Heard.OK),
        ("cluster01", "t1aaaaaa", 2, Heard.OK),
        ("", "t1aaaaaa", 3, Heard.OK),
        ("cluster01", "t1aaaaaa", 4, Heard.STALE),
        ("cluster02", "t1aaaaaa", 3, Heard.FOREIGN),
        ("cluster01", "t2aaaaaa", 3, Heard.WRONG_NODE),
    ],
)
def test_taking_a_heartbeat(uuid: str, to: str, term: int, heard: Heard) -> None:
    """Only the right node of the right cluster follows, and only a primary whose term is not over."""
    sync = Sync("cluster01", "t1aaaaaa", 3, P1, STAMPS, 6.0)
    assert decisions.sync_verdict(uuid, to, term, sync) is heard


VOTER = Voter("cluster01", 1, "p1aaaaaa", STAMPS, SMAP, follows="p1aaaaaa", is_bound=False)
REQUEST = VoteRequest("cluster01", 2, P2, STAMPS)


def voter(**changes: object) -> Voter:
    values = {field: getattr(VOTER, field) for field in Voter.__slots__}
    return Voter(**(values | changes))


def newer(part: Part) -> Stamps:
    return msgspec.structs.replace(STAMPS, **{part.value: Stamp(1, 99)})


def test_a_vote_is_given() -> None:
    """A candidate with a new term, everything the voter has and a silent primary gets the vote."""
    assert decisions.why_no_vote(VOTER, REQUEST) == ""


@pytest.mark.parametrize(
    ("one", "request_", "reason"),
    [
        (voter(uuid="cluster02"), REQUEST, "another cluster"),
        (voter(term=3), REQUEST, "term 2 is over"),
        (voter(term=2, voted_for="p3aaaaaa"), REQUEST, "is given to p3aaaaaa"),
        (voter(stamps=newer(Part.BMD)), REQUEST, "older bmd"),
        (voter(stamps=newer(Part.CONFIG)), REQUEST, "older config"),
        (voter(stamps=newer(Part.SECRET)), REQUEST, "older secret"),
        (voter(stamps=newer(Part.KEYS)), REQUEST, "older keys"),
        (voter(stamps=newer(Part.SMAP)), REQUEST, "older smap"),
        (voter(is_bound=True), REQUEST, "p1aaaaaa is alive"),
        (VOTER, VoteRequest("cluster01", 2, proxy("p9aaaaaa"), STAMPS), "not an electable proxy"),
        (VOTER, VoteRequest("cluster01", 2, T1, STAMPS), "not an electable proxy"),
    ],
)
def test_a_vote_is_refused(one: Voter, request_: VoteRequest, reason: str) -> None:
    """Each rule alone is reason enough."""
    assert reason in decisions.why_no_vote(one, request_)


def test_a_vote_is_given_again_to_the_same_candidate() -> None:
    """A candidate that asks twice in one term gets the same answer."""
    assert decisions.why_no_vote(voter(term=2, voted_for="p2aaaaaa"), REQUEST) == ""


def test_who_may_ask_while_the_primary_lives() -> None:
    """The primary itself, for a new term, and whom it hands over to; nobody by the consent of somebody else."""
    loyal = voter(is_bound=True)
    own = VoteRequest("cluster01", 2, P1, STAMPS)
    assert decisions.why_no_vote(loyal, own) == ""
    assert decisions.why_no_vote(loyal, msgspec.structs.replace(REQUEST, consent="p1aaaaaa")) == ""
    assert decisions.why_no_vote(loyal, msgspec.structs.replace(REQUEST, consent="p3aaaaaa"))


def test_a_promise_counts_for_whom_it_was_given() -> None:
    """A voter that follows somebody else than its map says, or does not know whom, votes for nobody meanwhile."""
    own = VoteRequest("cluster01", 2, P1, STAMPS)
    for follows in ("p3aaaaaa", ""):
        assert decisions.why_no_vote(voter(is_bound=True, follows=follows), own)
        assert decisions.why_no_vote(voter(is_bound=True, follows=follows), REQUEST)


def test_a_vote_needs_no_newer_map_at_the_voter() -> None:
    """A candidate that the voter's older map does not have may be in the newer one."""
    ahead = msgspec.structs.replace(STAMPS, smap=Stamp(1, 99))
    assert decisions.why_no_vote(VOTER, VoteRequest("cluster01", 2, proxy("p9aaaaaa"), ahead)) == ""


def test_order_of_candidates() -> None:
    """The silent primary at once, then the others an interval apart; targets and non-electable proxies never."""
    smap = cluster(P2, P3, T1, proxy("p4aaaaaa", electable=False))
    assert decisions.delay_before_standing(smap, "p1aaaaaa", TIMING) == 0
    delays = [decisions.delay_before_standing(smap, one, TIMING) for one in ("p2aaaaaa", "p3aaaaaa")]
    assert sorted(delays) == [0, 2]  # type: ignore[type-var]
    for nobody in ("t1aaaaaa", "p4aaaaaa", "p9aaaaaa"):
        assert decisions.delay_before_standing(smap, nobody, TIMING) is None


def test_authority_is_a_lease() -> None:
    """A primary has authority while a quorum answered within the lease; during a change both maps count."""
    smap = cluster(P2, T1, target("t2aaaaaa"), target("t3aaaaaa"))
    heard = {"t1aaaaaa": 10.0, "t2aaaaaa": 11.0, "p2aaaaaa": 2.0}
    assert decisions.has_authority(smap, (), "p1aaaaaa", heard, 14.9, TIMING)
    assert not decisions.has_authority(smap, (), "p1aaaaaa", heard, 15.0, TIMING)
    bigger = cluster(P2, T1, *(target(f"t{number}aaaaaa") for number in range(2, 7)))
    assert not decisions.has_authority(smap, (bigger,), "p1aaaaaa", heard, 14.9, TIMING)


def test_a_version_is_decided_by_those_who_have_it() -> None:
    """Older versions, and a newer version of another part, do not count."""
    smap = cluster(P2, T1)
    have, lack = STAMPS, Stamps(config=Stamp(9, 9), bmd=Stamp(1, 4), smap=STAMPS.smap)
    for group in itertools.product((have, lack), repeat=3):
        known = dict(zip(("p1aaaaaa", "p2aaaaaa", "t1aaaaaa"), group, strict=True))
        decided = decisions.is_decided(smap, (), Part.BMD, STAMPS.bmd, known)
        assert decided == (sum(stamps is have for stamps in group) >= 2)


def test_silent_nodes() -> None:
    """Each kind of node has its own patience; the primary is never silent to itself."""
    smap = cluster(P2, T1)
    heard = {"p2aaaaaa": 0.0, "t1aaaaaa": 0.0}
    assert decisions.silent_nodes(smap, "p1aaaaaa", heard, 6.0, TIMING) == frozenset()
    assert decisions.silent_nodes(smap, "p1aaaaaa", heard, 6.1, TIMING) == {"p2aaaaaa"}
    assert decisions.silent_nodes(smap, "p1aaaaaa", heard, 8.1, TIMING) == {"p2aaaaaa", "t1aaaaaa"}


def join(node: Snode, uuid: str = "cluster01") -> JoinRequest:
    return JoinRequest(node, uuid, STAMPS, "boot")


def test_a_node_of_another_cluster_is_refused() -> None:
    """The sentence says which clusters, and how to move the node."""
    with pytest.raises(IntegrityError, match=r"belongs to cluster other01.*this is cluster cluster01.*delete its"):
        decisions.check_join(SMAP, join(target("t9aaaaaa"), "other01"), old_address_lives=False, trusts_returned=False)


def test_a_decommissioned_node_does_not_return_by_itself() -> None:
    """It asks because it was not told yet: out of the map it is refused, still in it (its data moves) it is not."""
    request = msgspec.structs.replace(join(target("t9aaaaaa")), is_leaving=True)
    with pytest.raises(IntegrityError, match="was decommissioned"):
        decisions.check_join(SMAP, request, old_address_lives=False, trusts_returned=False)
    smap = SMAP.changed(add=target("t9aaaaaa"))
    decisions.check_join(smap, request, old_address_lives=False, trusts_returned=False)


def test_a_target_that_was_given_up_does_not_return_by_itself() -> None:
    """Nor when it is empty: it comes back when an administrator asks it, as a new node, or where all is trusted."""
    smap = cluster(P2, T1, target("t2aaaaaa")).without_given_up(frozenset({T1.id}))
    assert (set(smap.tmap), smap.given_up) == ({"t2aaaaaa"}, (T1.id,))
    request = join(T1)
    with pytest.raises(IntegrityError, match=r"while it was away.*remove all"):
        decisions.check_join(smap, request, old_address_lives=False, trusts_returned=False)
    decisions.check_join(smap, join(T1, ""), old_address_lives=False, trusts_returned=False)
    decisions.check_join(smap, request, old_address_lives=False, trusts_returned=True)
    invited = msgspec.structs.replace(request, is_invited=True)
    decisions.check_join(smap, invited, old_address_lives=False, trusts_returned=False)
    assert not decisions.joined(smap, T1).given_up
    assert b"given_up" not in codec.to_json(decisions.joined(smap, T1))
    many = smap.without_given_up(frozenset(f"t{number}" for number in range(GIVEN_UP_MAX)))
    assert len(many.given_up or ()) == GIVEN_UP_MAX


def test_a_taken_id_is_refused() -> None:
    """Neither a node of the other kind nor a second process gets an ID that is in use."""
    with pytest.raises(AlreadyExists, match="has a proxy of that ID"):
        decisions.check_join(SMAP, join(target("p2aaaaaa")), old_address_lives=False, trusts_returned=False)
    with pytest.raises(AlreadyExists, match=r"in use by the running node at http://127.0.0.1:80"):
        decisions.check_join(SMAP, join(target("t1aaaaaa", 99)), old_address_lives=True, trusts_returned=False)


@pytest.mark.parametrize("uuid", ["", "cluster01"])
@pytest.mark.parametrize("node", [target("t9aaaaaa"), target("t1aaaaaa", 99), T1])
def test_who_may_join(node: Snode, uuid: str) -> None:
    """New nodes, nodes that moved, and nodes that only started again."""
    decisions.check_join(SMAP, join(node, uuid), old_address_lives=False, trusts_returned=False)


def test_joining_changes_the_map_only_when_needed() -> None:
    """A node that started again is in the map already; one that moved replaces its entry."""
    assert decisions.joined(SMAP, T1) is SMAP
    assert decisions.joined(SMAP, P1) is SMAP
    moved = decisions.joined(SMAP, target("t1aaaaaa", 99))
    assert moved.tmap["t1aaaaaa"].public.port == "99"
    assert moved.version == SMAP.version + 1
    unelectable = decisions.joined(SMAP, proxy("p2aaaaaa", electable=False))
    assert not unelectable.pmap["p2aaaaaa"].is_electable


def test_the_map_of_a_new_reign() -> None:
    """An elected primary leaves the dead one out; one that was handed over to keeps it; both are one version on."""
    elected = decisions.next_reign(SMAP, P2, keep_old_primary=False)
    assert (elected.primary_id, "p1aaaaaa" in elected, elected.version) == ("p2aaaaaa", False, SMAP.version + 1)
    given = decisions.next_reign(SMAP, P2, keep_old_primary=True)
    assert (given.primary_id, "p1aaaaaa" in given, given.version) == ("p2aaaaaa", True, SMAP.version + 1)
    again = decisions.next_reign(SMAP, P1, keep_old_primary=False)
    assert (again.primary_id, len(again.nodes)) == ("p1aaaaaa", len(SMAP.nodes))


def test_a_joining_target_brings_no_weight() -> None:
    """What a weight is only administrators say: a new target has none, one that is known keeps what it has."""
    heavy = msgspec.structs.replace(T1, weight=900)
    assert not decisions.joined(cluster(), heavy).tmap[T1.id].weight
    smap = cluster(T1).with_weights({T1.id: 200})
    moved = msgspec.structs.replace(heavy, public=net(81))
    assert decisions.joined(smap, moved).tmap[T1.id].weight == 200
    assert decisions.joined(smap.with_away(frozenset({T1.id})), T1).tmap[T1.id].weight == 200
