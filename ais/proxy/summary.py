"""Summaries of buckets: started on all targets under one ID, polled until they are done (wire contract §9.1.3, §9.2).

The targets keep the results, so that any proxy can answer for any ID.
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import msgspec

from ais.api import actions, codec, summary
from ais.api.summary import BsummResult, SummaryMsg
from ais.base.errors import BadRequest, NotFound, XactionNotFound
from ais.base.ids import is_valid_uuid, new_id
from ais.env.network import Answer
from ais.node.node import Node
from ais.proxy import targets
from ais.proxy.targets import Targets

PENDING, PARTIAL, DONE = 202, 206, 200
_START = "start"


class Progress(NamedTuple):
    """How far a summary is: an HTTP status and what is known."""

    status: int
    results: list[BsummResult]


class Summaries:
    """Starts summaries and collects them."""

    def __init__(self, node: Node, all_targets: Targets) -> None:
        self._node = node
        self._targets = all_targets

    async def start(self, path: str, query: Mapping[str, str], message: SummaryMsg) -> str:
        """Begin on all targets; return the ID. `path` and `query` are those of the bucket, or of all buckets."""
        uuid = new_id(self._node.env.rng)
        body = _message(msgspec.structs.replace(message, uuid=uuid), _START)
        await self._targets.ask_all("GET", path, query=dict(query), body=body)
        return uuid

    async def poll(self, path: str, query: Mapping[str, str], message: SummaryMsg) -> Progress:
        """What is known by now. Raise `XactionNotFound` unless all targets know the ID."""
        if not is_valid_uuid(message.uuid):
            raise BadRequest(f'invalid summary ID "{message.uuid[:40]}"')
        outcomes = await self._targets.outcomes("GET", path, query=dict(query), body=_message(message, ""))
        if any(isinstance(outcome, NotFound) for outcome in outcomes.values()):
            # One that restarted or joined since has no part of the result, so there will never be a whole one.
            raise XactionNotFound(f"{actions.SUMMARY_BUCKET}[{message.uuid}]")
        return combine(targets.require_all(outcomes).values())


def combine(answers: Iterable[Answer]) -> Progress:
    """The cluster's progress from the answers of all targets: the whole is done when every part is."""
    parts = list(answers)
    known = [part for part in parts if part.status != PENDING]
    if not known:
        return Progress(PENDING, [])
    results = summary.merge(targets.decode_lists(known, BsummResult))
    is_done = all(part.status == DONE for part in parts)
    return Progress(DONE if is_done else PARTIAL, results)


def _message(message: SummaryMsg, phase: str) -> bytes:
    return codec.to_json({"action": actions.SUMMARY_BUCKET, "name": phase, "value": message})
