"""Summaries of the shards of one target: counted by an xaction, kept with it until it is forgotten."""

import asyncio
import itertools
from collections.abc import Iterator

from aiohttp import web

from ais.api import codec
from ais.api.codec import U64
from ais.api.messages import ActMsg
from ais.api.shard_summary import ShardSummary, ShardSummaryMsg
from ais.api.xact import SUMMARY_SHARD
from ais.base.errors import BadRequest, XactionNotFound
from ais.core.listing import Detail, Entry, Lister
from ais.target.shard_index import ShardIndexes, State, is_indexed
from ais.target.summaries import START
from ais.target.view import BucketView
from ais.xact.registry import Registry, Xaction

_STEP = 200


class ShardSummaries:
    """Starts them and answers what they found."""

    def __init__(self, registry: Registry, lister: Lister, indexes: ShardIndexes) -> None:
        self._registry = registry
        self._lister = lister
        self._indexes = indexes
        self._results: dict[str, ShardSummary] = {}

    def answer(self, message: ActMsg, view: BucketView) -> web.Response:
        """Start one (`name` is `start`), or tell its state: 206 what was counted so far, 200 all.

        Raise `XactionNotFound`, or the error it ended with.
        """
        asked = message.value_as(ShardSummaryMsg)
        if message.name == START:
            self._start(asked, view)
            return web.Response(status=202)
        xaction, result = self._registry.get(asked.uuid), self._results.get(asked.uuid)
        if xaction is None or result is None or xaction.bck != view.bck:
            raise XactionNotFound(f"{SUMMARY_SHARD}[{asked.uuid}]")
        if error := xaction.error:
            raise BadRequest(f"summary {asked.uuid} ended early: {error}")
        status = 206 if xaction.is_running else 200
        return web.Response(status=status, body=codec.to_json([result]) + b"\n", content_type="application/json")

    def _start(self, asked: ShardSummaryMsg, view: BucketView) -> None:
        self._results = {uuid: kept for uuid, kept in self._results.items() if self._registry.get(uuid) is not None}
        self._results[asked.uuid] = ShardSummary()

        async def work(xaction: Xaction) -> None:
            walk = self._lister.walk(view.bck, asked.prefix, detail=Detail.META)
            counts = [0] * len(ShardSummary.__struct_fields__)
            while (step := await asyncio.to_thread(self._step, view, walk, counts)) is not None:
                xaction.objects += step
                self._results[asked.uuid] = ShardSummary(*map(U64, counts))

        self._registry.start(SUMMARY_SHARD, asked.uuid, work, bck=view.bck, ctlmsg=asked.prefix)

    def _step(self, view: BucketView, walk: Iterator[Entry], counts: list[int]) -> int | None:
        """Add the next objects to `counts`, which are in the order of a summary's fields; how many, None at the end."""
        found = list(itertools.islice(walk, _STEP))
        for entry in found:
            if entry.meta is None or not is_indexed(entry.name):
                continue
            state, members = self._indexes.state(view.bck, entry.name, entry.meta)
            is_good = state is State.VALID
            counted = (
                (1, entry.size),
                (is_good, entry.size * is_good, members),
                (state is State.STALE, state is State.INVALID),
            )
            counts[:] = map(sum, zip(counts, itertools.chain(*counted), strict=True))
        return len(found) or None
