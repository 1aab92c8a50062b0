"""Rebalance, the part of the primary: it drives what the cluster map says is moving to its end (`ais.reb.plan`).

Everything it must remember is in the map, so another primary goes on where this one stopped. A rebalance is over when
every target has gone through all it holds and nothing was left that belongs to others; while a target is away that
cannot be known, so it waits.
"""

import asyncio
import functools

from ais.api import actions, codec, xact
from ais.api.xact import ArgsMsg, QueryMsg, Snap, Status
from ais.base.errors import AisError
from ais.meta.smap import Flag, Smap, Snode
from ais.node.node import DAEMON, Node
from ais.proxy.targets import Targets, decode_lists
from ais.reb import plan

LOOK_INTERVAL_S = 0.5
XACTIONS = "/v1/xactions"
STOP = codec.to_json({"action": actions.SHUTDOWN_CLUSTER})
"""Tells a node to end and come back to the cluster as it is."""


class Rebalancer:
    """Drives rebalances while this node is primary."""

    def __init__(self, node: Node, targets: Targets) -> None:
        self._node = node
        self._targets = targets
        self._problem = ""
        self._parting = asyncio.Lock()

    def start(self) -> None:
        """Look for something to move from now on; the node's supervisor ends it."""
        self._node.tasks.keep("rebalance", self._watch)

    @property
    def id(self) -> str:
        """Of the rebalance that goes on; empty when none does."""
        moving = self._node.smap.moving
        return moving.id if moving else ""

    def status(self) -> Status | None:
        """Of the rebalance that goes on: only the map says when it is over."""
        return Status(xact.REBALANCE, self.id) if self.id else None

    async def again(self) -> str:
        """Have every target look for what it holds of others; the ID."""
        await self._node.changes.change_smap(plan.again)
        return self.id

    async def set_flags(self, node_ids: frozenset[str], add: Flag, farewell: bytes = b"") -> str:
        """Take nodes out of service: what they hold moves to others first; what a decommissioned one that is away holds
        is given up. `farewell` is what they are told then (empty: nothing); until then the map has it, for whoever
        becomes primary, and for the node itself. The ID of the rebalance, if there is one.
        """
        before = self.id

        def change(smap: Smap) -> Smap:
            gone = smap.away.keys() & node_ids if add is Flag.DECOMMISSION else frozenset[str]()
            changed = smap.with_flags(node_ids, add, farewell.decode())
            return changed.without_given_up(frozenset(gone)) if gone else changed

        await self._node.changes.change_smap(change)
        await self._part_all()
        return self.id if self.id != before else ""

    async def dismiss(self, node_ids: frozenset[str], farewell: bytes) -> None:
        """Take nodes off the map at once, with what they hold."""
        nodes = [self._node.smap.require(node_id) for node_id in node_ids]

        def change(smap: Smap) -> Smap:
            flagged = smap.with_flags(node_ids & smap.nodes.keys(), Flag.DECOMMISSION, farewell.decode())
            gone = frozenset(smap.away.keys() & node_ids)
            return flagged.without_given_up(gone) if gone else flagged

        await self._node.changes.change_smap(change)
        await self._node.remove_nodes(node_ids & self._node.smap.nodes.keys())
        for one in nodes:
            await self._tell(one, farewell.decode())

    async def stop_nodes(self, node_ids: frozenset[str]) -> None:
        """Tell nodes to say goodbye and end; targets are away then, and keep their names."""
        nodes = [self._node.smap.require(node_id) for node_id in node_ids]
        body = codec.to_json({"action": actions.SHUTDOWN_NODE})
        for node in nodes:
            await self._node.call(node, "PUT", DAEMON, body=body)

    async def clear_flags(self, node_ids: frozenset[str]) -> str:
        """Take nodes into service again. The ID of the rebalance, if there is one."""
        before = self.id
        for node_id in node_ids & self._node.smap.present.keys():
            node = self._node.smap.require(node_id)
            if node.flags & Flag.DECOMMISSION:
                await self._node.call(node, "PUT", DAEMON, body=join_message(self._node))
        await self._node.changes.change_smap(lambda smap: smap.with_flags(node_ids, Flag(0)))
        return self.id if self.id != before else ""

    async def _watch(self) -> None:
        while True:
            if self._node.has_authority:
                try:
                    if self.id:
                        await self._step(self.id)
                    await self._part_all()
                    self._problem = ""
                except AisError as error:
                    if str(error) != self._problem:
                        self._node.log.info("rebalance waits", rebalance=self.id, reason=str(error))
                    self._problem = str(error)
            await self._node.env.clock.sleep(LOOK_INTERVAL_S)

    async def _step(self, moving_id: str) -> None:
        """Start the job where it does not run, see who has finished; at the end let the map forget about it."""
        start = {"action": actions.START, "name": "", "value": ArgsMsg(id=moving_id, kind=xact.REBALANCE)}
        members = {target.id for target in self._targets.all}
        await self._targets.ask_all("PUT", XACTIONS, body=codec.to_json(start))
        answers = await self._targets.ask_all("GET", XACTIONS, body=codec.to_json(QueryMsg(id=moving_id)))
        snaps = dict(zip(answers, decode_lists(answers.values(), Snap), strict=True))
        if snaps.keys() != members or not all(_is_done(found) for found in snaps.values()):
            return
        before = self._node.smap
        smap = await self._node.changes.change_smap(lambda now: plan.finish(now, moving_id))
        if not smap.moving:
            self._node.log.info("rebalance ended", rebalance=moving_id)
            await self._say_farewell([node for node in before.nodes.values() if node.id not in smap])

    async def _part_all(self) -> None:
        """Let decommissioned nodes leave the map, and tell nodes to end, as far as nothing of theirs is needed."""
        async with self._parting:
            before = self._node.smap
            if plan.ended(before):
                smap = await self._node.changes.change_smap(_without_ended)
                await self._say_farewell([node for node in before.nodes.values() if node.id not in smap])
            for node in plan.drained(self._node.smap):
                if await self._tell(node, node.farewell or ""):
                    await self._node.changes.change_smap(functools.partial(_told, node.id))

    async def _say_farewell(self, gone: list[Snode]) -> None:
        """Tell nodes that have left the map; who does not hear it knows by the map, and is not let in again."""
        core = self._node.core
        reign = core.require_authority()
        others = [node for node in core.smap.present.values() if node.id != core.me.id]
        await asyncio.gather(*(reign.bring(node, core.call_timeout_s) for node in others))
        for node in gone:  # nobody asks them for anything any more
            if node.farewell:
                await self._tell(node, node.farewell)

    async def _tell(self, node: Snode, farewell: str) -> bool:
        """Tell a node how to end; it need not say goodbye. Whether it has heard it."""
        core, body = self._node.core, farewell.encode()
        try:
            await core.peers.call(node.control.url, "PUT", DAEMON, body=body, timeout_s=core.call_timeout_s)
        except AisError as error:
            self._node.log.info("node was not told that it is out", peer=node.name, error=str(error))
            return False
        return True


def join_message(node: Node) -> bytes:
    """Tells a node to ask this cluster for admission."""
    return codec.to_json({"action": actions.JOIN_CLUSTER, "name": "", "value": node.snode.control.url})


def _told(node_id: str, smap: Smap) -> Smap:
    """The map when a node in maintenance has been told to end."""
    return smap.with_told(frozenset((node_id,))) if node_id in smap else smap


def _without_ended(smap: Smap) -> Smap:
    """The map without the nodes of which nothing is needed any more."""
    return smap.without_nodes(gone) if (gone := plan.ended(smap)) else smap


def _is_done(snaps: list[Snap]) -> bool:
    return bool(snaps) and all(snap.is_finished and not snap.aborted and not snap.err for snap in snaps)
