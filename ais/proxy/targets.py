"""Questions to all targets at once. An answer counts only when every target gave one: a missing target is an error.

A client that gets a short list or a low count believes it. So whoever asks here gets everything or the reason why not.
"""

from collections.abc import Iterable
from typing import TypeVar

from ais.api import codec
from ais.base.errors import AisError, NodeNotFound, NotFound, NotReady, Unreachable
from ais.env.network import Answer
from ais.meta.placement import why_away
from ais.meta.smap import Flag, Snode
from ais.node.node import Node
from ais.node.peers import Peers

T = TypeVar("T")


class Targets:
    """The targets of the present cluster map, as this proxy asks them over the control network."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._peers = Peers(node.peers, node.snode)

    @property
    def all(self) -> list[Snode]:
        """Every target that may hold data: also those in maintenance, until they have given it away.

        Raise `NotReady` when there is none, when one is away, or when this proxy cannot be sure who they are.
        """
        self._node.require_settled()
        smap = self._node.smap
        if not smap.tmap:
            raise NotReady("the cluster has no targets: start targets, or wait until they join")
        needed = [one for one in smap.tmap.values() if not one.flags & Flag.MAINTENANCE_POST_REBALANCE]
        for target in needed:
            if target.is_away:
                raise NotReady(why_away(target))
        return needed

    def reachable(self, gaps: set[str]) -> list[Snode]:
        """As `all` without those that are away, whose names are added to `gaps`. Raise `NotReady` when none is left."""
        self._node.require_settled()
        holders = [one for one in self._node.smap.tmap.values() if not one.flags & Flag.MAINTENANCE_POST_REBALANCE]
        gaps.update(one.name for one in holders if one.is_away)
        found = [one for one in holders if not one.is_away]
        if not found:
            raise NotReady("the cluster has no targets that could be asked: start targets")
        return found

    @property
    def present(self) -> list[Snode]:
        """The targets that are not away, for questions about the targets themselves; there may be none."""
        return [target for target in self._node.smap.tmap.values() if not target.is_away]

    def require(self, target_id: str) -> Snode:
        """One target. Raise `NodeNotFound`, also for a proxy's ID."""
        if (target := self._node.smap.tmap.get(target_id)) is None:
            raise NodeNotFound(target_id)
        return target

    @property
    def call_timeout_s(self) -> float:
        """Deadline of a question that is answered at once."""
        return float(self._node.config.cluster.client.client_timeout)

    async def ask(
        self,
        target: Snode,
        method: str,
        path: str,
        *,
        query: dict[str, str] | None = None,
        body: bytes = b"",
        timeout_s: float | None = None,
    ) -> Answer:
        """Ask one target. Raise `Unreachable` naming it, or the error it answered."""
        try:
            return await self._peers.call(
                target.control.url, method, path, query=query, body=body, timeout_s=timeout_s or self.call_timeout_s
            )
        except Unreachable as error:
            raise Unreachable(f"{target.name} did not answer: {error}") from None

    async def outcomes(
        self,
        method: str,
        path: str,
        *,
        query: dict[str, str] | None = None,
        body: bytes = b"",
        only: list[Snode] | None = None,
    ) -> dict[str, Answer | AisError]:
        """Ask all (or `only` these); per target ID what it answered, or the error instead. Raise as `all`."""
        asked = self.all if only is None else only
        return await self._peers.call_all(asked, method, path, query=query, body=body, timeout_s=self.call_timeout_s)

    async def ask_all(
        self,
        method: str,
        path: str,
        *,
        query: dict[str, str] | None = None,
        body: bytes = b"",
        only: list[Snode] | None = None,
    ) -> dict[str, Answer]:
        """Ask all (or `only` these); raise the first error that any of them gave, telling which target."""
        return require_all(await self.outcomes(method, path, query=query, body=body, only=only))


def require_all(outcomes: dict[str, Answer | AisError]) -> dict[str, Answer]:
    """The answers when there are only answers. Raise otherwise: an unreachable target before any other error."""
    failed = {target_id: outcome for target_id, outcome in outcomes.items() if isinstance(outcome, AisError)}
    for target_id, error in sorted(failed.items(), key=lambda item: not isinstance(item[1], Unreachable)):
        if isinstance(error, Unreachable):
            raise Unreachable(f"t[{target_id}] did not answer: {error}") from None
        raise error
    return {target_id: outcome for target_id, outcome in outcomes.items() if isinstance(outcome, Answer)}


def found(outcomes: dict[str, Answer | AisError]) -> dict[str, Answer]:
    """The answers of those who know the thing asked for; "not found" is no failure here. Raise any other error."""
    return require_all({one: outcome for one, outcome in outcomes.items() if not isinstance(outcome, NotFound)})


def decode_lists(answers: Iterable[Answer], kind: type[T]) -> list[list[T]]:
    """The JSON lists in answers."""
    return [codec.from_json(answer.body, list[kind]) for answer in answers]  # type: ignore[valid-type]
