"""Coming and going: joining a cluster or founding one, taking nodes in, missing silent ones, leaving.

A joiner asks any proxy; the request ends at the primary, which checks that the joiner really listens where it says,
puts it on the cluster map and brings it up to date before it answers. A node that hears no primary for longer than it
promised to wait stands for election if it may, and asks to join again if it may not.
"""

import asyncio
import datetime
import math
from typing import NoReturn

import msgspec

from ais.api import codec, query
from ais.base.errors import (
    AisError,
    AlreadyExists,
    BadRequest,
    CorruptMetadata,
    IntegrityError,
    NotReady,
)
from ais.base.ids import new_id
from ais.config.cluster import ClusterConfig
from ais.env.clock import Clock
from ais.env.network import Answer
from ais.meta.bmd import BMD
from ais.meta.smap import Flag, Smap
from ais.node import decisions, recover, reign
from ais.node.changes import Changes
from ais.node.core import Core
from ais.node.decisions import Start
from ais.node.election import Election
from ais.node.farewell import Farewell
from ais.node.messages import ASK_WHO, Identity, JoinAnswer, JoinRequest, LeaveRequest
from ais.node.reign import STALL_S
from ais.node.state import seal_bmd, seal_config

JOIN = "/v1/cluster/autoreg"
IDENTITY = "/v1/cluster/keepalive"
LEAVE = "/v1/cluster/leave"
DAEMON_STATUS = "/v1/daemon"
FORWARDED = "forwarded"
FIRST_RETRY_S = 0.1
LEAVE_CALLS_MAX = 3
"""Calls whose timeouts a leaving node waits for at most."""

FATAL = (IntegrityError, AlreadyExists, BadRequest, CorruptMetadata)
"""Refusals to join that trying again cannot change."""


class Membership:
    """This node's place in a cluster, and as primary everybody's."""

    def __init__(self, core: Core, election: Election, changes: Changes, configured_urls: tuple[str, ...]) -> None:
        self._core = core
        self._election = election
        self._changes = changes
        self._urls = configured_urls
        self._last_problem = ""
        self._is_invited = self._is_leaving = False

    async def start(self) -> None:
        """Enter the cluster; on return the node is in it. Raise with the reason when it cannot get in."""
        core = self._core
        match decisions.start_of(core.smap, core.me, self._urls):
            case Start.FOUND:
                await self._found()
            case Start.RESUME:
                await self._resume()
            case Start.FOLLOW:
                self._wait_for_primary()
        core.tasks.keep("membership", self._run)
        await self._enter()

    def follow_map(self, smap: Smap) -> None:
        """Remember what the last map that had this node said of it."""
        own = smap.get(self._core.me.id)
        if own is not None:
            self._is_leaving = bool(own.flags & Flag.DECOMMISSION)

    async def _is_dismissed(self) -> bool:
        """End when the cluster's map goes on without this node, which was being decommissioned; its data stays."""
        core, own = self._core, self._core.smap.get(self._core.me.id)
        if own is None or not own.farewell or not own.flags & Flag.DECOMMISSION or self._is_invited:
            return False
        for url in decisions.join_urls(core.smap, core.me, self._urls):
            try:
                answer = await core.peers.call(
                    url, "GET", DAEMON_STATUS, query={query.WHAT: "smap"}, timeout_s=core.call_timeout_s
                )
                smap = codec.from_json(answer.body, Smap)
            except AisError:
                continue
            if smap.uuid == core.smap.uuid and smap.version > core.smap.version and core.me.id not in smap:
                core.dismiss(Farewell().message().decode())
                return True
        return False

    def return_to(self, url: str) -> None:
        """Ask the cluster at `url` for admission, after a decommission that left the process running."""
        self._urls = tuple(dict.fromkeys((url, *self._urls)))
        self._core.is_retired, self._is_invited = False, True

    async def leave(self) -> None:
        """Say goodbye: hand over if this node is primary, then leave the cluster map. Errors are logged."""
        core = self._core
        core.leaving = True
        deadline_s = LEAVE_CALLS_MAX * float(core.config.cluster.timeout.max_keepalive)
        try:
            async with asyncio.timeout(deadline_s):
                await self._leave()
        except TimeoutError:
            core.log.warning("left without goodbye", reason=f"no answer within {deadline_s:g}s")

    async def _leave(self) -> None:
        core = self._core
        if core.reign and not await self._hand_over():
            return
        primary = core.smap.primary
        if primary is None or primary.id == core.me.id:
            return
        body = codec.to_msgpack(LeaveRequest(core.smap.uuid, core.me.id))
        timeout_s = float(core.config.cluster.timeout.max_keepalive)
        try:
            await core.peers.call(primary.control.url, "POST", LEAVE, body=body, timeout_s=timeout_s)
        except AisError as error:
            core.log.info("left without goodbye", primary=primary.name, reason=str(error))

    async def announce(self) -> None:
        """Have the cluster map say of this node what it says of itself, on all nodes. Raise why that is not so."""
        core = self._core
        if decisions.joined(core.smap, core.me) is core.smap:
            return
        if core.reign:
            await self._update_own_entry()
        else:
            await self._join_somewhere()
        if decisions.joined(core.smap, core.me) is not core.smap:
            raise NotReady(f"{core.me.name} has not heard that the cluster map has its keys: try again in a moment")

    async def on_join(self, request: JoinRequest, *, is_forwarded: bool) -> Answer | JoinAnswer:
        """Take a node in, or pass the request on to the primary. Raise why it cannot join."""
        core = self._core
        request.node.check()
        if request.boot == core.boot:
            return JoinAnswer(is_self=True)
        if not is_forwarded and request.to not in ("", core.boot):
            return JoinAnswer(boot=core.boot)
        primary = core.smap.primary
        if core.reign is None and primary and primary.id != core.me.id and not is_forwarded:
            body, timeout_s = codec.to_msgpack(request), float(core.config.cluster.timeout.max_host_busy)
            return await core.peers.call(
                primary.control.url, "POST", JOIN, query={FORWARDED: "true"}, body=body, timeout_s=timeout_s
            )
        core.require_authority()
        if request.uuid not in ("", core.smap.uuid) and recover.is_blank(core):
            await self._check_address(request)
            await self._recover(request)
        await self._take_in(request)
        return JoinAnswer(core.smap.uuid)

    async def _recover(self, request: JoinRequest) -> NoReturn:
        core = self._core
        core.restart_as = await recover.take_over(core, request)
        core.log.warning(
            "this gateway has lost its confdir and starts again in the cluster of a node that asks to join",
            cluster=request.uuid,
            peer=request.node.name,
            id=core.restart_as,
        )
        core.leaving = True
        core.restart()
        raise NotReady(f"{core.me.name} starts again as a node of cluster {request.uuid}: try again")

    async def on_leave(self, request: LeaveRequest) -> None:
        """A node ends: a proxy leaves the map, a target is away."""
        core = self._core
        if request.uuid != core.smap.uuid:
            raise IntegrityError(f"{request.node_id} is not of cluster {core.smap.uuid}")
        if core.leaving:
            raise NotReady(f"primary {core.me.name} is stopping too")
        core.log.info("node leaves", peer=request.node_id)
        await self.miss(frozenset({request.node_id}))

    async def miss(self, node_ids: frozenset[str]) -> None:
        """Let the map say that these nodes do not answer (primary only). Unknown ones are none of our business."""
        await self._changes.change_smap(lambda _: self._core.without(node_ids))

    async def remove(self, node_ids: frozenset[str]) -> None:
        """Take nodes off the map (primary only). Unknown ones are none of our business."""
        await self._changes.change_smap(
            lambda smap: smap.without_nodes(node_ids) if node_ids & smap.nodes.keys() else smap
        )

    # -- entering

    async def _enter(self) -> None:
        """Ask to join until we are in, or the time for it is over."""
        core, clock = self._core, self._core.env.clock
        deadline = clock.monotonic() + float(core.config.cluster.timeout.join_startup_time)
        problem: AisError = NotReady("nobody answered")
        pause_s = FIRST_RETRY_S
        while not core.joined.is_set():
            try:
                await self._join_somewhere()
            except FATAL:
                raise
            except AisError as error:
                problem = error
            if core.joined.is_set():
                break
            if clock.monotonic() > deadline:
                self._give_up(problem)
            await clock.sleep(pause_s)
            pause_s = min(2 * pause_s, core.timing.interval_s / 2)

    def _give_up(self, problem: AisError) -> NoReturn:
        core = self._core
        waited_s = float(core.config.cluster.timeout.join_startup_time)
        urls = decisions.join_urls(core.smap, core.me, self._urls)
        raise NotReady(
            f"{core.me.name} could not join its cluster within {waited_s:g}s (asked {', '.join(urls) or 'nobody'}):"
            f" {problem}; start the primary, or correct proxy.primary_url"
        ) from problem

    async def _join_somewhere(self) -> None:
        """Ask one after the other. Raise the last refusal; return when we are in, or reign."""
        core = self._core
        if core.reign:
            core.require_authority()
            core.joined.set()
            return
        is_leaving, has_objects = self._is_leaving and not self._is_invited, await core.has_objects()
        request = JoinRequest(
            core.me,
            core.smap.uuid,
            core.meta.stamps,
            core.boot,
            has_objects,
            is_leaving,
            is_invited=self._is_invited,
        )
        timeout_s = float(core.config.cluster.timeout.max_host_busy)
        problem: AisError = NotReady("no other node to ask is configured or known")
        is_designated = False
        for url in decisions.join_urls(core.smap, core.me, self._urls):
            try:
                answer = await self._ask_to_join(url, request, timeout_s)
            except FATAL:
                raise
            except AisError as error:
                problem = error
                continue
            if not answer.is_self:
                self._is_invited = False
                return
            is_designated = True
        if not is_designated or core.smap.uuid or not core.me.is_electable:
            raise problem
        await self._found()

    async def _ask_to_join(self, url: str, request: JoinRequest, timeout_s: float) -> JoinAnswer:
        peers = self._core.peers
        answer = await peers.ask(url, "POST", JOIN, msgspec.structs.replace(request, to=ASK_WHO), JoinAnswer, timeout_s)
        if not answer.boot:
            return answer
        named = msgspec.structs.replace(request, to=answer.boot)
        answer = await peers.ask(url, "POST", JOIN, named, JoinAnswer, timeout_s)
        if answer.boot:
            raise NotReady(f"another process answers at {url} each time: name one gateway in proxy.primary_url")
        return answer

    async def _found(self) -> None:
        """Begin a new cluster with this proxy as its only node."""
        core = self._core
        uuid, created = new_id(core.env.rng), timestamp(core.env.clock)
        config = _with_uuid(core.meta.config, uuid, created)
        await core.state.promise(decisions.FRESH_CLUSTER_TERM, core.me.id)
        await core.state.adopt(
            [
                seal_config(decisions.FRESH_CLUSTER_TERM, config),
                seal_bmd(decisions.FRESH_CLUSTER_TERM, BMD(new_id(core.env.rng), 1)),
            ]
        )
        smap = Smap(uuid=uuid, creation_time=created).changed(add=core.me, primary_id=core.me.id)
        await reign.begin(core, decisions.FRESH_CLUSTER_TERM, smap)
        core.joined.set()
        core.log.info("new cluster", cluster=uuid)

    async def _resume(self) -> None:
        """Go on as primary, unless we have promised a later term to somebody since."""
        core = self._core
        if core.state.term == core.meta.stamps.smap.term:
            await reign.resume(core)
        else:
            self._wait_for_primary()

    def _wait_for_primary(self) -> None:
        """Keep what the last process of this node may have promised, and leave the primary time to start."""
        core = self._core
        is_known = core.state.term == core.meta.stamps.smap.term
        startup_s = float(core.config.cluster.timeout.startup_time)
        core.promise(max(core.timing.patience_s, startup_s), core.smap.primary_id if is_known else "")

    # -- as primary

    async def _take_in(self, request: JoinRequest) -> None:
        core, node = self._core, request.node
        self._check_join(core.smap, request, old_address_lives=False)
        await self._check_address(request)
        known = core.smap.get(node.id)
        moved = known is not None and not known.listens_like(node)
        old = await self._identity(known.control.url) if known and moved else None
        lives = old is not None and old.id == node.id and old.boot != request.boot

        def add(smap: Smap) -> Smap:
            self._check_join(smap, request, old_address_lives=lives)
            return decisions.joined(smap, node)

        await self._changes.change_smap(add)
        present = core.require_authority()
        if node.id not in core.smap or not await present.bring(node, core.call_timeout_s):
            raise NotReady(f"{node.name} did not take the cluster's metadata in time: try again")
        core.log.info("node joined", peer=node.name, url=node.public.url)

    def _check_join(self, smap: Smap, request: JoinRequest, *, old_address_lives: bool) -> None:
        trusts = self._core.config.cluster.keepalivetracker.silent_targets == "remove"
        decisions.check_join(smap, request, old_address_lives=old_address_lives, trusts_returned=trusts)

    async def _check_address(self, request: JoinRequest) -> None:
        """Raise unless the joiner answers where it says it listens: retryable when nobody does."""
        node = request.node
        identity = await self._identity(node.control.url)
        if identity and identity.boot == request.boot:
            return
        who = f"node {identity.id} answers" if identity else "no node answers"
        kind = BadRequest if identity else NotReady
        raise kind(
            f"{node.name} says that it listens for other nodes at {node.control.url}, but {who} there:"
            " correct its host_net configuration (hostname_intra_control, port_intra_control)"
        )

    async def _identity(self, url: str) -> Identity | None:
        """Who answers at `url`; None when nobody does, or nothing of ours."""
        core = self._core
        try:
            answer = await core.peers.call(url, "GET", IDENTITY, timeout_s=core.call_timeout_s)
            return codec.from_msgpack(answer.body, Identity)
        except AisError:
            return None

    async def _hand_over(self) -> bool:
        core = self._core
        for successor in await self._election.successors():
            try:
                async with self._changes.lock:
                    await self._election.hand_over(successor)
            except AisError as error:
                core.log.info("cannot hand over", successor=successor.name, reason=str(error))
                if core.reign is None:
                    return False
            else:
                return True
        return False

    # -- all the time

    async def _run(self) -> None:
        core, clock = self._core, self._core.env.clock
        while True:
            if core.reign:
                core.reign.beat()
                self._mend_map()
                await clock.sleep(core.timing.interval_s)
            else:
                await self._watch()
                pause_s, began = core.timing.interval_s / 4, clock.monotonic()
                await clock.sleep(pause_s)
                if clock.monotonic() - began > pause_s + STALL_S:
                    core.vouched_at = -math.inf  # we stood still: what came meanwhile may be old

    def _mend_map(self) -> None:
        """Start changes of the map that nobody asks for: nodes fell silent or are back, we have a new address."""
        core = self._core
        if core.leaving or self._changes.lock.locked() or not core.reign or not core.reign.has_authority():
            return
        if decisions.joined(core.smap, core.me) is not core.smap:
            core.tasks.spawn("own address", self._update_own_entry)
        if core.reign.silent_nodes():
            core.tasks.spawn("questions to silent nodes", self._miss_still_silent)
        if core.reign.returned_nodes():
            core.tasks.spawn("return of nodes", self._welcome_back)

    async def _update_own_entry(self) -> None:
        await self._changes.change_smap(lambda smap: decisions.joined(smap, self._core.me))

    async def _miss_still_silent(self) -> None:
        core, present = self._core, self._core.require_authority()
        await present.ask_again(present.silent_nodes(), core.config.cluster.keepalivetracker.num_retries)
        if silent := present.silent_nodes():
            core.log.warning("nodes do not answer", nodes=sorted(silent))
            await self.miss(silent)

    async def _welcome_back(self) -> None:
        def without_returned(smap: Smap) -> Smap:
            present = self._core.require_authority()
            back = present.returned_nodes() & smap.away.keys()
            return smap.with_away(frozenset(smap.away.keys() - back)) if back else smap

        self._core.log.info("nodes are back", nodes=sorted(self._core.require_authority().returned_nodes()))
        await self._changes.change_smap(without_returned)

    async def _watch(self) -> None:
        """Do something about a primary that fell silent, or a cluster map without us."""
        core = self._core
        silent_s = core.silent_for()
        is_member = core.me.id in core.smap
        if core.leaving or core.is_retired or not core.smap.uuid or (is_member and silent_s < 0):
            return
        delay_s = decisions.delay_before_standing(core.smap, core.me.id, core.timing) if is_member else None
        if delay_s is not None and silent_s >= delay_s and await self._election.stand():
            core.joined.set()
            return
        if core.joined.is_set():
            await self._rejoin()

    async def _rejoin(self) -> None:
        core = self._core
        try:
            await self._join_somewhere()
        except AisError as error:
            if isinstance(error, IntegrityError) and await self._is_dismissed():
                return
            if str(error) != self._last_problem:
                log = core.log.error if isinstance(error, FATAL) else core.log.warning
                log("cannot join again, trying on", reason=str(error))
            self._last_problem = str(error)
        else:
            self._last_problem = ""


def timestamp(clock: Clock) -> str:
    """Now, for people: ISO 8601 in UTC."""
    return datetime.datetime.fromtimestamp(clock.now_ns() / 1e9, datetime.UTC).isoformat(timespec="milliseconds")


def _with_uuid(config: ClusterConfig, uuid: str, now: str) -> ClusterConfig:
    return msgspec.structs.replace(config.next_version(now), uuid=uuid)
