"""Bucket summaries of one target (wire contract §9.1.3): counted by an xaction, kept with it until it is forgotten."""

import asyncio
import itertools
from collections.abc import Iterator

from aiohttp import web
from msgspec.structs import replace

from ais.api import codec
from ais.api.bucket import Bck, Namespace, parse_provider
from ais.api.codec import U64
from ais.api.messages import ActMsg
from ais.api.summary import BsummResult, ObjCount, ObjSize, SummaryMsg, TotalSize
from ais.api.xact import SUMMARY_BUCKET
from ais.base.errors import BadRequest, Unsupported, XactionNotFound
from ais.core.listing import Detail, Entry, Lister
from ais.fs.volume import Volume
from ais.target.front import Front
from ais.target.remote.remote import Remote
from ais.target.view import BucketView
from ais.xact.registry import Registry, Xaction

START = "start"
"""The action's name when a summary begins, between nodes."""
_STEP = 2000
_BLOCK_BYTES = 4096


class Tally:
    """Counts objects of one bucket."""

    __slots__ = ("count", "on_disk", "size", "size_max", "size_min")

    def __init__(self) -> None:
        self.count = self.size = self.on_disk = self.size_max = 0
        self.size_min = -1

    def add(self, size_bytes: int) -> None:
        """One more object."""
        self.count += 1
        self.size += size_bytes
        self.on_disk += -(-size_bytes // _BLOCK_BYTES) * _BLOCK_BYTES
        self.size_max = max(self.size_max, size_bytes)
        self.size_min = size_bytes if self.size_min < 0 else min(self.size_min, size_bytes)

    def result(self, bck: Bck, capacity_bytes: int) -> BsummResult:
        """What the wire shows."""
        return BsummResult(
            bck.name,
            bck.provider,
            bck.namespace,
            ObjCount(U64(self.count)),
            ObjSize(max(self.size_min, 0), self.size // self.count if self.count else 0, self.size_max),
            TotalSize(U64(self.on_disk), U64(self.size), U64(0), U64(capacity_bytes)),
            self.on_disk * 100 // capacity_bytes if capacity_bytes else 0,
        )


class Summaries:
    """Starts summaries and answers what they found."""

    def __init__(self, registry: Registry, front: Front, volume: Volume, lister: Lister, remote: Remote) -> None:
        self._remote = remote
        self._registry = registry
        self._front = front
        self._volume = volume
        self._lister = lister
        self._results: dict[str, list[BsummResult]] = {}

    def answer(
        self, message: ActMsg, bck: Bck | None, provider: str, namespace: str, *, is_lister: bool
    ) -> web.Response:
        """Start a summary (`name` is `start`), or tell its state: 202 nothing yet, 206 some buckets, 200 all.

        `is_lister`: count what backends have too, unless they are not to be asked.

        Raise `BucketNotFound`, `XactionNotFound`, or the error the summary ended with.
        """
        asked = message.value_as(SummaryMsg)
        if message.name == START:
            views = [self._front.views.require(bck)] if bck else list(self._matching(provider, namespace))
            self._start(asked, views, is_lister=is_lister and not asked.cached)
            return web.Response(status=202)
        xaction, results = self._registry.get(asked.uuid), self._results.get(asked.uuid)
        if xaction is None or results is None or bck not in (None, xaction.bck):
            raise XactionNotFound(f"{SUMMARY_BUCKET}[{asked.uuid}]")
        if error := xaction.snap().err:
            raise BadRequest(f"summary {asked.uuid} ended early: {error}")
        if xaction.is_running and not results:
            return web.Response(status=202)
        status = 206 if xaction.is_running else 200
        return web.Response(status=status, body=codec.to_json(results) + b"\n", content_type="application/json")

    def _start(self, asked: SummaryMsg, buckets: list[BucketView], *, is_lister: bool) -> None:
        self._results = {uuid: kept for uuid, kept in self._results.items() if self._registry.get(uuid) is not None}
        results = self._results.setdefault(asked.uuid, [])

        async def work(xaction: Xaction) -> None:
            for view in buckets:
                found = await self._count(xaction, view.bck, asked.prefix)
                if is_lister and view.remote is not None:
                    found = await self._with_remote(found, view, asked.prefix)
                results.append(found)

        only = buckets[0].bck if len(buckets) == 1 else Bck("")
        self._registry.start(SUMMARY_BUCKET, asked.uuid, work, bck=only, ctlmsg=asked.prefix)

    async def _count(self, xaction: Xaction, bck: Bck, prefix: str) -> BsummResult:
        tally = Tally()
        walk = self._lister.walk(bck, prefix, detail=Detail.STAT)
        while step := await asyncio.to_thread(_take, walk):
            for entry in step:
                tally.add(entry.size)
                xaction.objects += 1
                xaction.bytes += entry.size
        capacity = await asyncio.to_thread(self._capacity_bytes)
        return tally.result(bck, capacity)

    async def _with_remote(self, found: BsummResult, view: BucketView, prefix: str) -> BsummResult:
        """The same with what the backend has; a backend that lists nothing has nothing to count."""
        count = size = 0
        try:
            async for page in self._remote.objects(view, prefix):
                count += len(page)
                size += sum(one.size for one in page)
        except Unsupported:
            return found
        return replace(
            found,
            ObjCount=replace(found.ObjCount, obj_count_remote=U64(count)),
            TotalSize=replace(found.TotalSize, size_all_remote_objs=U64(size)),
        )

    def _capacity_bytes(self) -> int:
        """Of all file systems below the mountpaths, each once."""
        totals = {one.file_system.device or one.path: one.capacity().total_bytes for one in self._volume.available}
        return sum(totals.values())

    def _matching(self, provider: str, namespace: str) -> Iterator[BucketView]:
        for view in self._front.views:
            if provider and view.bck.provider != parse_provider(provider):
                continue
            if namespace and view.bck.namespace != Namespace.parse(namespace):
                continue
            yield view


def _take(walk: Iterator[Entry]) -> list[Entry]:
    return list(itertools.islice(walk, _STEP))
