"""What a primary does during its term: heartbeats that carry metadata, its authority, and bringing nodes up to date.

There is one message to the other nodes, `Sync`: a heartbeat that carries the parts the receiver lacks. What a node has
is known from its last answer, so a node that missed a version gets it with the next heartbeat.
"""

import asyncio
import functools
from collections.abc import Iterable, Mapping

from ais.api import codec
from ais.auth.keys import ClusterSecret
from ais.base.errors import AccessDenied, AisError, Unreachable
from ais.meta.smap import Smap, Snode
from ais.meta.stamp import NEVER
from ais.node import decisions
from ais.node.core import Core
from ais.node.messages import Heard, Part, Sealed, Stamps, Sync, SyncAnswer
from ais.node.state import seal_bmd, seal_config, seal_keys, seal_secret, seal_smap
from ais.stats import names

METASYNC = "/v1/metasync"
RETRY_S = 0.1
RETRY_S_MAX = 1.0
STALL_S = 1.0
"""A timer that fires so much too late says that the process stood still."""


class Reign:
    """One term of this node as primary. `end` it as soon as a later term is known of."""

    def __init__(self, core: Core, term: int, grace_s: float) -> None:
        self._core = core
        self.term = term
        self.resigned = False
        """Handing over to another proxy: no authority meanwhile."""
        self._answered_at: dict[str, float] = {}
        self._known: dict[str, Stamps] = {}
        self._echoes: dict[str, tuple[float, str]] = {}
        """What each node's clock said in its last answer, and which process that was."""
        self._begun_at = core.env.clock.monotonic()
        self._grace_until = self._begun_at + grace_s
        """Nodes never heard in this reign are not missed before."""
        self._awake_since = self._begun_at
        """When this process last found that it had stood still: what it did not hear before proves nothing."""
        self._beat_at = self._begun_at

    @property
    def is_over(self) -> bool:
        return self._core.reign is not self

    @property
    def heard(self) -> frozenset[str]:
        """Nodes that answered at least once in this reign."""
        return frozenset(self._answered_at)

    def has_authority(self) -> bool:
        """Whether this node may change metadata now."""
        core, meta = self._core, self._core.meta
        if self.is_over or self.resigned:
            return False
        now = core.env.clock.monotonic()
        return decisions.has_authority(meta.smap, meta.bases, core.me.id, self._answered_at, now, core.timing)

    def silent_nodes(self) -> frozenset[str]:
        """Nodes that no longer answer; none while we lack the authority to do something about it."""
        if not self.has_authority():
            return frozenset()
        core = self._core
        heard_at = {
            node: max(self._answered_at.get(node, self._grace_until), self._awake_since) for node in core.smap.nodes
        }
        return decisions.silent_nodes(core.smap, core.me.id, heard_at, core.env.clock.monotonic(), core.timing)

    def returned_nodes(self) -> frozenset[str]:
        """Nodes that are away on the map, but answer again and have taken everything."""
        now, limit_s = self._core.env.clock.monotonic(), 2 * self._core.timing.interval_s
        return frozenset(
            node_id
            for node_id in self._core.smap.away
            if now - self._answered_at.get(node_id, now - limit_s) < limit_s and self.has_all(node_id)
        )

    async def ask_again(self, node_ids: frozenset[str], questions: int) -> None:
        """Ask nodes that seem silent directly, until they answer, at most that often."""

        async def one(node: Snode) -> None:
            for _ in range(questions):
                try:
                    await self.sync(node)
                    break
                except AisError as error:
                    self._core.log.info("silent node does not answer", peer=node.name, error=str(error))

        nodes = self._core.smap.nodes
        await asyncio.gather(*(one(nodes[node_id]) for node_id in node_ids & nodes.keys()))

    def is_decided(self, part: Part) -> bool:
        """Whether a quorum has our present version of a part."""
        meta = self._core.meta
        known = self._known | {self._core.me.id: meta.stamps}
        return decisions.is_decided(meta.smap, meta.bases, part, meta.stamps.of(part), known)

    def has_all(self, node_id: str) -> bool:
        """Whether that node has taken everything we have."""
        return node_id in self._known and not self._core.meta.stamps.newer_than(self._known[node_id])

    def end(self, why: str) -> None:
        """Step down. The node follows whoever is primary now, or stands for election again after an interval."""
        if self.is_over:
            return
        core = self._core
        core.reign = None
        core.promise(core.timing.interval_s, "")
        core.log.warning("no longer primary", term=self.term, reason=why)

    def beat(self) -> None:
        """Start a heartbeat to every elector that is not still busy with the last one. Called at every interval."""
        now = self._core.env.clock.monotonic()
        if now - self._beat_at > self._core.timing.interval_s + STALL_S:
            self._core.log.warning("stood still", seconds=round(now - self._beat_at, 1))
            self._awake_since = now
        self._beat_at = now
        for node in self._others(self._core.meta.electors):
            self._core.tasks.spawn(f"heartbeat {node.id}", functools.partial(self._beat, node))

    async def spread(self, timeout_s: float) -> frozenset[str]:
        """Bring all nodes of the map that are not away up to date; return those that did not take everything in time.

        Nodes that just left it, or became away, are told too when the decision needs their agreement.
        """
        others = self._others(self._core.smap.present)
        done = await asyncio.gather(*(self.bring(node, timeout_s) for node in others))
        if not self.is_decided(Part.SMAP):
            electors = self._core.meta.electors
            present = self._core.smap.present
            gone = {node_id: node for node_id, node in electors.items() if node_id not in present}
            await asyncio.gather(*(self.bring(node, timeout_s) for node in self._others(gone)))
        return frozenset(node.id for node, ok in zip(others, done, strict=True) if not ok)

    async def bring(self, node: Snode, timeout_s: float) -> bool:
        """Bring one node up to date; tell whether it answered and had everything within `timeout_s`."""
        clock = self._core.env.clock
        deadline, pause_s = clock.monotonic() + timeout_s, RETRY_S
        patience_s = float(self._core.config.cluster.timeout.max_keepalive) + STALL_S
        while not self.is_over:
            began = clock.monotonic()
            try:
                await self.sync(node)
                if self.has_all(node.id):
                    return True
            except AisError as error:
                self._core.log.info("node did not take metadata", peer=node.name, error=str(error))
            if (took_s := clock.monotonic() - began) > patience_s:  # we stood still: that proves nothing
                deadline += took_s
            if clock.monotonic() + pause_s >= deadline:
                break
            await clock.sleep(pause_s)
            pause_s = min(2 * pause_s, RETRY_S_MAX)
        return False

    async def sync(self, node: Snode) -> None:
        """A heartbeat to a node, and a second one with what it lacks if we did not know what it has.

        Raise `Unreachable` or what it answered.
        """
        is_known = node.id in self._known
        await self._exchange(node)
        if not is_known and not self.is_over and not self.has_all(node.id):
            await self._exchange(node)

    async def settle(self) -> None:
        """Forget the older maps once a quorum of all of them has the present one."""
        meta = self._core.meta
        if meta.bases and self.is_decided(Part.SMAP):
            await self._core.state.settle(meta.stamps.smap)

    async def _beat(self, node: Snode) -> None:
        try:
            await self.sync(node)
        except Unreachable as error:
            self._core.log.debug("node does not answer", peer=node.name, error=str(error))

    async def _exchange(self, node: Snode) -> None:
        core, meta = self._core, self._core.meta
        lacking = meta.stamps.newer_than(self._known.get(node.id, meta.stamps))
        echo, echo_boot = self._echoes.get(node.id, (0.0, ""))
        message = Sync(
            uuid=meta.smap.uuid,
            to=node.id,
            term=self.term,
            primary=core.me,
            stamps=meta.stamps,
            patience_s=core.timing.patience_s,
            parts=tuple(core.state.sealed(part) for part in lacking),
            committed=NEVER if meta.bases else meta.stamps.smap,
            echo=echo,
            echo_boot=echo_boot,
            now_ns=core.env.clock.now_ns(),
        )
        sent_at = core.env.clock.monotonic()
        timeout_s = float(core.config.cluster.timeout.max_keepalive)
        try:
            answer = await core.peers.ask(node.control.url, "PUT", METASYNC, message, SyncAnswer, timeout_s)
        except AisError as error:
            core.stats.inc(names.ERR_KALIVE_N)
            if isinstance(error, AccessDenied) and not self.has_authority():  # its map goes on without us
                self.end(f"{node.name} refuses us: {error}")
            raise
        core.stats.observe(names.KALIVE_N, names.KALIVE_NS, int((core.env.clock.monotonic() - sent_at) * 1e9))
        await self._note(node, sent_at, answer)
        if answer.heard is Heard.OK:
            self._echoes[node.id] = answer.clock, answer.boot
            if answer.boot != echo_boot:
                await self._exchange(node)  # only now it can tell how old what it hears is

    async def _note(self, node: Snode, sent_at: float, answer: SyncAnswer) -> None:
        """Learn from an answer; it may end the reign."""
        if answer.heard is Heard.STALE:
            self.end(f"{node.name} is in term {answer.term}")
            return
        if answer.heard is not Heard.OK:
            raise Unreachable(f"{node.control.url} is not {node.name} any more: {answer.heard.value} ({answer.uuid})")
        self._answered_at[node.id] = max(sent_at, self._answered_at.get(node.id, sent_at))
        self._known[node.id] = answer.stamps
        if ahead := answer.stamps.newer_than(self._core.meta.stamps):
            await self._take_from(node, ahead)
        await self.settle()

    async def _take_from(self, node: Snode, parts: Iterable[Part]) -> None:
        """A node has newer versions of our own term: we lost them (an older copy of our files was restored)."""
        core = self._core
        for part in parts:
            core.log.warning("taking newer metadata from a node", peer=node.name, part=part.value)
            await core.state.adopt([await fetch(core, node.control.url, part)])

    def _others(self, nodes: Mapping[str, Snode]) -> list[Snode]:
        return [node for node in nodes.values() if node.id != self._core.me.id]


async def fetch(core: Core, url: str, part: Part) -> Sealed:
    """A part as the node at `url` has it. Raise `Unreachable` or what it answered."""
    answer = await core.peers.call(url, "GET", METASYNC, query={"part": part.value}, timeout_s=core.call_timeout_s)
    return codec.from_msgpack(answer.body, Sealed)


async def begin(core: Core, term: int, smap: Smap) -> Reign:
    """Begin a new term with that map: make it ours, durably, then tell the other nodes.

    The metadata is written again under the new term, so that versions of an older term which only some nodes have
    cannot come back. Whoever does not answer is left to the heartbeats.
    """
    meta = core.meta
    bases = decisions.bases_of_next(meta.smap, meta.bases)
    return await _reign(core, term, smap, bases, grace_s=0.0)


async def resume(core: Core) -> Reign:
    """Go on with the term this node was primary of when its process ended. Nodes get time to start as well."""
    meta = core.meta
    grace_s = float(core.config.cluster.timeout.startup_time)
    return await _reign(core, meta.stamps.smap.term, meta.smap, meta.bases, grace_s=grace_s)


async def _reign(core: Core, term: int, smap: Smap, bases: tuple[Smap, ...], *, grace_s: float) -> Reign:
    meta = core.meta
    secret = meta.secret if meta.secret.version else ClusterSecret.create(smap.uuid)
    await core.state.adopt(
        [
            seal_smap(term, smap, bases),
            seal_bmd(term, meta.bmd),
            seal_config(term, meta.config),
            seal_secret(term, secret),
            seal_keys(term, meta.keys),
        ]
    )
    reign = core.reign = Reign(core, term, grace_s)
    await reign.settle()
    core.log.info("primary", term=term, smap=int(core.smap.version), nodes=len(core.smap.nodes))
    reign.beat()
    return reign
