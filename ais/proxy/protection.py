"""What the cluster says about the protection of its data: the answers of all targets put together.

A target that cannot be asked makes nothing well. What it holds is known from its last answer, which every proxy keeps:
it asks all targets now and then, so that it can say how many objects cannot be read while one of them is away.
"""

import msgspec

from ais.api import codec
from ais.api.bucket import Bck
from ais.api.protection import BucketProtection, ClusterProtection, State, TargetProtection, worst
from ais.base.errors import AisError
from ais.base.units import format_size
from ais.env.network import Answer
from ais.meta.smap import Flag, Snode
from ais.node.node import Node
from ais.proxy.targets import Targets

PATH = "/v1/protection"
ASK_EVERY_S = 10.0


class Protection:
    """One per proxy."""

    def __init__(self, node: Node, targets: Targets) -> None:
        self._node = node
        self._targets = targets
        self._known: dict[str, TargetProtection] = {}

    def start(self) -> None:
        """Remember what targets say, from now on; the node's supervisor ends it."""
        self._node.tasks.keep("protection", self._watch)

    async def answer(self) -> ClusterProtection:
        """Everything that is known now."""
        present = await self._ask()
        buckets = {bucket.bck: BucketProtection(bck=bucket.bck, as_of_ns=self._now_ns) for bucket in self._node.bmd}
        for one in buckets.values():
            one.state = State.OK
            one.is_coded = self._node.bmd.require(one.bck).props.ec.enabled
        reasons: list[str] = []
        for found in present.values():
            reasons += [reason for reason in found.reasons if reason not in reasons]
            for bucket in found.buckets:
                if bucket.bck in buckets:
                    buckets[bucket.bck].add(bucket)
        gone = {}
        gone_count = sum(target.id not in present for target in self._holders)
        for target in self._holders:
            known = {one.bck: one for one in present.get(target.id, TargetProtection()).buckets}
            if target.id not in present:
                gone[target.id] = self._miss(target, buckets, gone_count)
            else:
                for bck, one in buckets.items():
                    if bck not in known:  # it has not heard of the bucket yet
                        one.state = worst((one.state, State.CHECKING))
        state = worst([*(one.state for one in buckets.values()), *((State.UNREACHABLE,) if gone else ())])
        ordered = sorted(buckets.values(), key=lambda one: one.bck.cname())
        return ClusterProtection(state=state, buckets=ordered, reasons=reasons, unreachable=gone)

    def _miss(self, target: Snode, buckets: dict[Bck, BucketProtection], gone_count: int) -> str:
        """Count what a target holds that cannot be asked; say so in words. With so many gone that slices cannot make up
        for them, that is so of erasure-coded buckets too.
        """
        known = self._known.get(target.id)
        lost_objects = lost_bytes = 0
        for bck, one in buckets.items():
            is_readable = one.is_coded and gone_count <= self._node.bmd.require(bck).props.ec.parity_slices
            one.state = worst((one.state, State.SHORT if is_readable else State.UNREACHABLE))
            held = next((held for held in known.buckets if held.bck == bck), None) if known else None
            if held is not None and not is_readable:
                one.unreachable += held.objects
                lost_objects, lost_bytes = lost_objects + held.objects, lost_bytes + held.bytes
        how = "is away" if target.is_away else "does not answer"
        if known is None:
            return f"{target.name} {how}: what it holds cannot be read, and this gateway has not heard how much that is"
        return (
            f"{target.name} {how}: {lost_objects} objects ({format_size(lost_bytes)}) cannot be read until it returns"
        )

    async def _watch(self) -> None:
        while True:
            await self._ask()
            await self._node.env.clock.sleep(ASK_EVERY_S)

    async def _ask(self) -> dict[str, TargetProtection]:
        """The answers of all that answer."""
        present = [target for target in self._holders if not target.is_away]
        try:
            outcomes = await self._targets.outcomes("GET", PATH, only=present)
        except AisError as error:
            self._node.log.info("protection is not known", reason=str(error))
            return {}
        found = {}
        for target_id, outcome in outcomes.items():
            if isinstance(outcome, Answer):
                try:
                    found[target_id] = codec.from_json(outcome.body, TargetProtection)
                except (AisError, msgspec.DecodeError) as error:
                    self._node.log.warning("target's protection cannot be read", peer=target_id, reason=str(error))
        members = {target.id for target in self._holders}
        self._known = {one: answer for one, answer in (self._known | found).items() if one in members}
        return found

    @property
    def _holders(self) -> list[Snode]:
        """The targets that may hold data."""
        smap = self._node.smap
        return [one for one in smap.tmap.values() if not one.flags & Flag.MAINTENANCE_POST_REBALANCE]

    @property
    def _now_ns(self) -> int:
        return self._node.env.clock.now_ns()
