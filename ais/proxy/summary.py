"""Summaries of buckets: started on all targets under one ID, polled until they are done (wire contract §9.1.3, §9.2).

The targets keep the results, so that any proxy can answer for any ID.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Generic, NamedTuple, TypeVar

import msgspec

from ais.api import actions, codec, shard_summary, summary
from ais.api.shard_summary import ShardSummary, ShardSummaryMsg
from ais.api.summary import BsummResult, SummaryMsg
from ais.base.errors import BadRequest, NotFound, XactionNotFound
from ais.base.ids import is_valid_uuid, new_id
from ais.env.network import Answer
from ais.node.node import Node
from ais.proxy import targets
from ais.proxy.targets import Targets

PENDING, PARTIAL, DONE = 202, 206, 200
_START = "start"
R = TypeVar("R")
Message = SummaryMsg | ShardSummaryMsg


class Kind(NamedTuple, Generic[R]):
    """What is counted: the action that asks for it, what a target answers, how the answers of all make one."""

    action: str
    result: type[R]
    merge: Callable[[Iterable[Sequence[R]]], list[R]]


BUCKETS = Kind(actions.SUMMARY_BUCKET, BsummResult, summary.merge)
SHARDS = Kind(actions.SUMMARY_SHARD, ShardSummary, shard_summary.merge)


class Progress(NamedTuple, Generic[R]):
    """How far a summary is: an HTTP status and what is known."""

    status: int
    results: list[R]


class Summaries(Generic[R]):
    """Starts summaries of one kind and collects them."""

    def __init__(self, node: Node, all_targets: Targets, kind: Kind[R]) -> None:
        self._kind = kind
        self._node = node
        self._targets = all_targets

    async def start(self, path: str, query: dict[str, str], message: Message) -> str:
        """Begin on all targets; return the ID. `path` and `query` are those of the bucket, or of all buckets."""
        uuid = new_id(self._node.env.rng)
        body = self._message(msgspec.structs.replace(message, uuid=uuid), _START)
        asked = self._targets.all
        chosen = query | {summary.LISTER: self._node.env.rng.choice(asked).id}
        await self._targets.ask_all("GET", path, query=chosen, body=body, only=asked)
        return uuid

    async def poll(self, path: str, query: Mapping[str, str], message: Message) -> Progress[R]:
        """What is known by now. Raise `XactionNotFound` unless all targets know the ID."""
        if not is_valid_uuid(message.uuid):
            raise BadRequest(f'invalid summary ID "{message.uuid[:40]}"')
        outcomes = await self._targets.outcomes("GET", path, query=dict(query), body=self._message(message, ""))
        if any(isinstance(outcome, NotFound) for outcome in outcomes.values()):
            # One that restarted or joined since has no part of the result, so there will never be a whole one.
            raise XactionNotFound(f"{self._kind.action}[{message.uuid}]")
        return combine(self._kind, targets.require_all(outcomes).values())

    def _message(self, message: Message, phase: str) -> bytes:
        return codec.to_json({"action": self._kind.action, "name": phase, "value": message})


def combine(kind: Kind[R], answers: Iterable[Answer]) -> Progress[R]:
    """The cluster's progress from the answers of all targets: the whole is done when every part is."""
    parts = list(answers)
    known = [part for part in parts if part.status != PENDING]
    if not known:
        return Progress(PENDING, [])
    results = kind.merge(targets.decode_lists(known, kind.result))
    is_done = all(part.status == DONE for part in parts)
    return Progress(DONE if is_done else PARTIAL, results)
