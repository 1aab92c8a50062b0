"""What a node decides about the cluster, as functions of what it knows. No I/O, no clock, no state.

Terms of office follow Raft (Ongaro, Ousterhout 2014): one primary per term, a vote is given once per term and only to a
candidate that has everything the voter has. On top of that a primary holds authority by a lease: it counts a node as
heard for a while shorter than the node has promised to be faithful (`Sync.patience_s`), so an old primary stops
changing things before a new one can start.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

import msgspec

from ais.base.errors import AlreadyExists, BadRequest, IntegrityError
from ais.config.sections import Keepalive
from ais.meta.placement import next_primaries
from ais.meta.smap import UNAVAILABLE, Smap, Snode
from ais.meta.stamp import Stamp
from ais.node.messages import Heard, JoinRequest, Part, Stamps, Sync, VoteRequest
from ais.node.quorum import Electorate, have_quorum

FRESH_CLUSTER_TERM = 1
TERM_MAX = 1 << 62
TERM_STEP_MAX = 1 << 20
"""Elections that a node may have missed."""
PATIENCE_S_MAX = 24 * 3600


@dataclass(frozen=True, slots=True)
class Timing:
    """The times membership works with, in seconds, from the keepalive settings."""

    interval_s: float
    """Between two heartbeats of the primary."""
    patience_s: float
    """Silence after which a node may vote for another primary."""
    lease_s: float
    """How long after sending it an answered heartbeat counts for the primary's authority."""
    vouch_s: float
    """How long a node may say that something does not exist, from the answer to the heartbeat before the last
    (`ais.node.node.Node.is_settled`)."""
    proxy_silence_s: float
    target_silence_s: float
    """Silence after which the primary misses a node of that kind."""

    @classmethod
    def of(cls, keepalive: Keepalive) -> "Timing":
        """From the settings; the patience is at least two intervals, so that one lost heartbeat changes nothing."""
        proxy, target = keepalive.proxy, keepalive.target
        interval_s = float(min(proxy.interval, target.interval))
        patience_s = max(proxy.interval * proxy.factor, 2 * interval_s)
        silences = (max(one.interval * one.factor, 2 * interval_s) for one in (proxy, target))
        return cls(interval_s, patience_s, patience_s - interval_s / 2, 2.5 * interval_s, *silences)

    def silence_of(self, node: Snode) -> float:
        """Silence after which the primary misses this node."""
        return self.proxy_silence_s if node.is_proxy else self.target_silence_s


class Start(Enum):
    """What a node does first."""

    RESUME = "resume"
    """It was primary when it stopped: go on, with authority as soon as a quorum answers."""
    FOLLOW = "follow"
    """It was in a cluster: find its primary and join again."""
    JOIN = "join"
    """It was in no cluster: join one; a proxy that finds that it is itself the configured primary founds one."""
    FOUND = "found"
    """Nobody to ask: a proxy without a configured primary founds a cluster."""


def start_of(smap: Smap, me: Snode, urls: Collection[str]) -> Start:
    """How to start, given the persisted map and the configured addresses. Raise `BadRequest` when there is no way."""
    if smap.uuid:
        return Start.RESUME if smap.is_primary(me.id) else Start.FOLLOW
    if urls:
        return Start.JOIN
    if me.is_proxy and me.is_electable:
        return Start.FOUND
    raise BadRequest(
        f"{me.name} does not know its cluster: set proxy.primary_url in the configuration, or AIS_PRIMARY_EP in the"
        " environment, to the URL of the primary proxy"
    )


def join_urls(smap: Smap, me: Snode, configured: Collection[str]) -> list[str]:
    """Where to ask to join: the known primary, other known proxies, then the configured addresses; never ourselves."""
    primary = [smap.primary] if smap.primary else []
    proxies = [*primary, *(proxy for proxy in smap.pmap.values() if proxy.id != smap.primary_id)]
    known = [proxy.control.url for proxy in proxies if proxy.id != me.id]
    return list(dict.fromkeys([*known, *configured]))


def check_sync(term: int, sync: Sync) -> None:
    """Raise `BadRequest` for a heartbeat that no primary sends: it would bind this node for ever."""
    if sync.term >= TERM_MAX or (term and sync.term > term + TERM_STEP_MAX):
        raise BadRequest(f"term {sync.term} is out of reach of term {term}")
    if not 0 <= sync.patience_s <= PATIENCE_S_MAX:
        raise BadRequest(f"nobody is faithful for {sync.patience_s} s: at most {PATIENCE_S_MAX}")


def sync_verdict(uuid: str, me: str, term: int, sync: Sync) -> Heard:
    """How to take a heartbeat, given the cluster and the term we know."""
    if sync.to != me:
        return Heard.WRONG_NODE
    if uuid and sync.uuid != uuid:
        return Heard.FOREIGN
    return Heard.STALE if sync.term < term else Heard.OK


@dataclass(frozen=True, slots=True)
class Voter:
    """What a voter knows when it is asked."""

    uuid: str
    term: int
    voted_for: str
    """Whom it voted for in `term`."""
    stamps: Stamps
    smap: Smap
    follows: str
    """Whom it promised to be faithful; empty when it does not know."""
    is_bound: bool
    """Its promise holds, or it is itself a primary that has not resigned."""


def why_no_vote(voter: Voter, request: VoteRequest) -> str:
    """Why the candidate does not get the vote; empty when it does."""
    candidate = request.candidate
    if request.uuid != voter.uuid:
        return f"it belongs to another cluster ({request.uuid})"
    if request.term >= TERM_MAX or (voter.term and request.term > voter.term + TERM_STEP_MAX):
        return f"term {request.term} is out of reach of term {voter.term}"
    if request.term < voter.term:
        return f"its term {request.term} is over, this is term {voter.term}"
    if request.term == voter.term and voter.voted_for != candidate.id:
        return f"the vote of term {voter.term} is given to {voter.voted_for or 'nobody'}"
    if missing := voter.stamps.newer_than(request.stamps):
        return f"it has an older {', '.join(missing)}"
    known = voter.smap.get(candidate.id)
    if request.stamps.smap == voter.stamps.smap and not (known and known.is_electable):
        return "it is not an electable proxy of the cluster map"
    if voter.is_bound and (not voter.follows or voter.follows not in (candidate.id, request.consent)):
        return f"the primary {voter.follows or voter.smap.primary_id} is alive, or was a moment ago"
    return ""


def delay_before_standing(smap: Smap, me: str, timing: Timing) -> float | None:
    """How long after the primary fell silent this node stands for election; None when it never does.

    The silent primary itself goes first, then the proxies in the order of their digests, an interval apart.
    """
    if smap.is_primary(me):
        return 0.0
    order = [proxy.id for proxy in next_primaries(smap, skip=smap.primary_id)]
    return order.index(me) * timing.interval_s if me in order else None


def electorates(smap: Smap, bases: Sequence[Smap]) -> list[Electorate]:
    """All electorates that must agree to a decision under this map and the undecided ones before it."""
    return [Electorate.of(one) for one in (*bases, smap)]


def bases_of_next(smap: Smap, bases: Sequence[Smap]) -> tuple[Smap, ...]:
    """The maps that must still agree to the next one: the present and the undecided ones, one per electorate."""
    return tuple({Electorate.of(one): one for one in (*bases, smap) if one.nodes}.values())


def has_authority(
    smap: Smap, bases: Sequence[Smap], me: str, heard_at: Mapping[str, float], now: float, timing: Timing
) -> bool:
    """Whether a primary may change things: a quorum answered heartbeats it sent within its lease."""
    faithful = frozenset(node for node, sent_at in heard_at.items() if now - sent_at < timing.lease_s)
    return have_quorum(electorates(smap, bases), faithful | {me})


def is_decided(smap: Smap, bases: Sequence[Smap], part: Part, stamp: Stamp, known: Mapping[str, Stamps]) -> bool:
    """Whether a version of a part is persisted by a quorum, given what each node (the primary included) has."""
    took = frozenset(node for node, stamps in known.items() if stamps.of(part) >= stamp)
    return have_quorum(electorates(smap, bases), took)


def silent_nodes(smap: Smap, me: str, heard_at: Mapping[str, float], now: float, timing: Timing) -> frozenset[str]:
    """Nodes that have not answered for too long; `heard_at` must know all nodes of the map but `me`."""
    present = (node for node in smap.present.values() if node.id != me)
    return frozenset(node.id for node in present if now - heard_at[node.id] > timing.silence_of(node))


def without(smap: Smap, absent: frozenset[str], *, keep_targets: bool) -> Smap:
    """The map when these nodes do not answer; the same one when that changes nothing.

    Targets become away and keep what they own (unless not `keep_targets`); proxies leave, they hold nothing. But when
    most of the other proxies seem to be gone, it is more likely we who are cut off: then they stay.
    """
    absent &= frozenset(smap.present)
    proxies = absent & smap.pmap.keys()
    if not keep_targets:
        return smap.without_nodes(absent) if absent else smap
    if len(proxies) > 1 and 2 * len(proxies) > len(smap.pmap) - 1:
        proxies = frozenset()
    targets = absent & smap.tmap.keys()
    if not proxies and not targets:
        return smap
    return smap.changed(remove=proxies, away=targets | smap.away.keys())


def check_join(smap: Smap, request: JoinRequest, *, old_address_lives: bool, trusts_returned: bool) -> None:
    """Raise when the node must not join; `old_address_lives`: another process answers under the joiner's ID.

    `trusts_returned`: what a target holds that was taken out of the cluster is taken for what it should be.
    """
    node = request.node
    if request.uuid and request.uuid != smap.uuid:
        raise IntegrityError(
            f"{node.name} belongs to cluster {request.uuid}, this is cluster {smap.uuid}: check proxy.primary_url; to"
            " move the node here for good, stop it, delete its .ais.smap, .ais.bmd, .ais.conf, .ais.keys and .ais.vote"
            " files (in its confdir or on its mountpaths) and start it again"
        )
    known = smap.get(node.id)
    if known is None and request.uuid and request.is_leaving:
        raise IntegrityError(
            f"{node.name} was decommissioned, and does not return by itself: stop it, or take it in again with"
            f" `ais cluster add-remove-nodes join {node.control.url}`"
        )
    if known is None and request.uuid and request.has_objects and not trusts_returned:
        raise IntegrityError(
            f"{node.name} was taken out of this cluster, and what it still holds may be overwritten or deleted by now:"
            " remove all from its mountpaths, .ais files too, and start it again, or set"
            " keepalivetracker.silent_targets=remove to trust that"
        )
    is_given_up = known is None and bool(request.uuid) and node.id in (smap.given_up or ())
    if is_given_up and not request.is_invited and not trusts_returned:
        raise IntegrityError(
            f"{node.name} was decommissioned while it was away, and does not return by itself: to take it in as a new"
            " target remove all from its mountpaths, .ais files too, and start it again"
        )
    if known is None:
        return
    if known.kind != node.kind:
        raise AlreadyExists(
            f'a {node.kind} with ID "{node.id}" cannot join, the cluster has a {known.kind} of that ID: give the new'
            " node another ID"
        )
    if old_address_lives:
        raise AlreadyExists(
            f'node ID "{node.id}" is in use by the running node at {known.control.url}: stop that one, or start the new'
            f" one at {node.control.url} with its own configuration directory and mountpaths"
        )


def joined(smap: Smap, node: Snode) -> Smap:
    """The map with the joining node: unchanged when it is in it as it is (the IC bit is ours to set).

    One that was away is not any more; what administrators have set (maintenance, weight) stays so, whatever it says.
    """
    known = smap.get(node.id)
    if known is None:
        return smap.with_node(msgspec.structs.replace(node, farewell=msgspec.UNSET, weight=msgspec.UNSET))
    entry = msgspec.structs.replace(
        node, flags=node.flags | known.flags & UNAVAILABLE, farewell=known.farewell, weight=known.weight
    )
    is_same = known.listens_like(entry) and known.is_electable == entry.is_electable and known.keys == entry.keys
    return smap if is_same and not known.is_away else smap.with_node(entry)


def next_reign(smap: Smap, me: Snode, *, keep_old_primary: bool) -> Smap:
    """The map a newly elected primary begins with. The old primary leaves it unless it handed over (or is `me`)."""
    stays = keep_old_primary or smap.primary_id == me.id
    return smap.changed(add=me, primary_id=me.id, remove=frozenset() if stays else frozenset({smap.primary_id}))
