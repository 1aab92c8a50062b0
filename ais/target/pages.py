"""Listing on one target: a page of what is here, for the proxy that merges (wire contract §11)."""

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import msgspec
from aiohttp import web

from ais.api import actions, codec, gotime, headers, listing, query, summary
from ais.api.access import Access
from ais.api.bucket import Bck
from ais.api.listing import Entry, EntryFlag, EntryStatus, Flag, Kind, LsoMsg, Page
from ais.api.messages import ActMsg
from ais.base.errors import AisError, BadRequest, InvalidAction
from ais.core import listing as core
from ais.core import sealing
from ais.core.listing import Detail, Lister, Show
from ais.core.store import Store
from ais.core.version_listing import VersionLister
from ais.mirror.mirror import Mirror
from ais.net.http import AnyReply, Network, Reply, Request, decode_component
from ais.node.trust import Trust
from ais.stats import names as metrics
from ais.target import shard_pages
from ais.target.front import Front
from ais.target.host import Host
from ais.target.opening import Opening
from ais.target.s3 import listing as s3
from ais.target.shard_summaries import ShardSummaries
from ais.target.summaries import Summaries
from ais.target.view import BucketView

SHARDS_AT_ONCE = 4
"""Pages with what is in shards that are read at the same time."""
_STAT_PROPS = ("size", "atime")
_META_PROPS = ("version", "checksum", "custom", "chunked")
_NOT_OF_FILE = ("atime", "copies", "location")
"""Properties that change, or would, without any change of the object's file."""


_BUCKETS = "/v1/buckets/"
_CALLER = headers.CALLER_ID.lower()
_MSGPACK = b"Content-Type: application/msgpack\r\n"


class _Asked(msgspec.Struct):
    """What proxies ask, of a bucket."""

    action: str
    value: LsoMsg


class Pages:
    """Listing pages and summaries, asked for by proxies on the control network."""

    def __init__(
        self,
        host: Host,
        front: Front,
        trust: Trust,
        store: Store,
        lister: Lister,
        versions: VersionLister,
        summaries: Summaries,
        mirror: Mirror,
        opening: Opening,
        shard_summaries: ShardSummaries,
    ) -> None:
        self._threads = ThreadPoolExecutor(SHARDS_AT_ONCE, "listing of shards")
        """They wait for the event loop, which may need those of its default executor for what it does then."""
        self._shard_summaries = shard_summaries
        self._opening = opening
        self._mirror = mirror
        self._host = host
        self._front = front
        self._trust = trust
        self._lister = lister
        self._versions = versions
        self._store = store
        self._summaries = summaries

    def route(self, request: Request) -> Awaitable[AnyReply] | None:
        """A page for a proxy that is known, whose request came in one piece; None for all else: then the application
        answers.

        Raise `AccessDenied`, `NotReady`, `BucketNotFound`.
        """
        body, caller = request.body, request.headers.get(_CALLER)
        if body is None or request.method != "GET" or not request.path.startswith(_BUCKETS):
            return None
        if caller is None or caller not in self._host.smap or Network.CONTROL not in request.networks:
            return None
        self._trust.require_body(request, body)
        try:
            asked = codec.from_own_json(bytes(body), _Asked)
        except BadRequest:
            return None
        if asked.action != actions.LIST:
            return None
        params, bucket = request.params, decode_component(request.path[len(_BUCKETS) :])
        view = self._front.views.require(
            Bck.parse(bucket, params.get(query.PROVIDER, ""), params.get(query.NAMESPACE, ""))
        )
        return self._answer(view, asked.value)

    async def _answer(self, view: BucketView, message: LsoMsg) -> Reply:
        return Reply(200, _MSGPACK, listing.encode_page(await self.page(view, message)))

    def routes(self) -> list[web.RouteDef]:
        """Endpoints of the control network."""
        return [web.get("/v1/buckets/{bucket}", self._get), web.get("/v1/buckets", self._get)]

    async def _get(self, request: web.Request) -> web.Response:
        message = ActMsg.parse(await request.read())
        provider, namespace = request.query.get(query.PROVIDER, ""), request.query.get(query.NAMESPACE, "")
        bucket = request.match_info.get("bucket", "")
        if message.action == actions.SUMMARY_BUCKET:
            bck = Bck.parse(bucket, provider, namespace) if bucket else None
            is_lister = request.query.get(summary.LISTER) == self._host.snode.id
            return self._summaries.answer(message, bck, provider, namespace, is_lister=is_lister)
        if message.action not in (actions.LIST, actions.SUMMARY_SHARD) or not bucket:
            raise InvalidAction(message.action, (actions.LIST, actions.SUMMARY_BUCKET, actions.SUMMARY_SHARD))
        view = self._front.views.require(Bck.parse(bucket, provider, namespace))
        if message.action == actions.SUMMARY_SHARD:
            return self._shard_summaries.answer(message, view)
        page = await self.page(view, message.value_as(LsoMsg))
        return web.Response(body=listing.encode_page(page), content_type="application/msgpack")

    async def page(self, view: BucketView, message: LsoMsg) -> Page:
        """One page of what this target has of a bucket. The message is valid and complete (`listing.normalise`)."""
        started_s = self._host.env.clock.monotonic()
        view.require(Access.LIST_OBJECTS)
        try:
            read = partial(self._read, view, message, self._opener(view))
            threads = self._threads if message.has(Flag.ARCHIVE_DIRS) else None
            page = await asyncio.get_running_loop().run_in_executor(threads, read)
        except AisError:
            self._host.stats.inc(metrics.ERR_LST_N)
            raise
        elapsed_ns = int((self._host.env.clock.monotonic() - started_s) * 1e9)
        self._host.stats.observe(metrics.LST_N, metrics.LST_NS, elapsed_ns)
        return page

    def _opener(self, view: BucketView) -> shard_pages.Open:
        """Opens shards for a thread: what is lost, damaged, elsewhere or in slices is waited for."""
        if not view.needs_care:
            return lambda shard: self._store.open(view.bck, shard)
        loop = asyncio.get_running_loop()
        return lambda shard: asyncio.run_coroutine_threadsafe(self._opening.open(view, shard), loop).result()

    def _read(self, view: BucketView, message: LsoMsg, open_shard: shard_pages.Open) -> Page:
        if message.kind is Kind.UPLOADS:
            return s3.upload_page(self._store.uploads, view.bck, message)
        if message.kind is Kind.VERSIONS:
            return s3.version_page(self._versions, view.bck, message)
        find = partial(self._find, view)
        if message.has(Flag.ARCHIVE_DIRS):
            return shard_pages.page(open_shard, message, find)
        found, more = find(message)
        while message.has(Flag.NO_DIRS) and more and all(one.is_dir for one in found):
            message = msgspec.structs.replace(message, start_after="", continuation_token=found[-1].n)
            found, more = find(message)
        entries = [one for one in found if not one.is_dir] if message.has(Flag.NO_DIRS) else found
        return Page(message.uuid, found[-1].n if more and found else "", entries)

    def _show(self, view: BucketView, bck: Bck, message: LsoMsg) -> Show:
        """How an object is shown; what a file says about itself is shown the same until the file changes."""
        detail = _detail(message, bck in self._store.volume.mirrored, seals=view.seals)
        if message.kind:
            return Show(detail, s3.object_entry, message.kind)
        copies_of = None
        if view.is_mirrored and message.wants("copies"):

            def copies_of(found: core.Entry) -> int:
                return len(self._mirror.paths(view.bck, found.name, found.meta)) if found.meta is not None else 0

        describer = _Describer(message, self._host.snode.name, copies_of)
        if any(map(message.wants, _NOT_OF_FILE)):
            return Show(detail, describer)
        if detail is Detail.NAMES:
            return Show(detail, describer, named=_named)
        return Show(detail, describer, f"{detail} {message.props}")

    def _find(self, view: BucketView, message: LsoMsg) -> tuple[list[Entry], bool]:
        found, more = self._walk(view, view.bck, message)
        if view.source not in (None, view.bck):
            of_source = self._walk(view, view.source, message)
            found, more = _merge(found, more, *of_source, limit=message.pagesize)
        return found, more

    def _walk(self, view: BucketView, bck: Bck, message: LsoMsg) -> tuple[list[Entry], bool]:
        return self._lister.shown(
            bck,
            message.prefix,
            message.after,
            message.pagesize,
            self._show(view, bck, message),
            delimiter=message.delimiter,
            session=message.uuid,
        )


class _Describer:
    """Turns what the walk found into entries with the properties that were asked for."""

    def __init__(self, message: LsoMsg, node_name: str, copies_of: Callable[[core.Entry], int] | None = None) -> None:
        """`copies_of` counts the copies of an object of a mirrored bucket."""
        self._copies_of = copies_of
        self._wants = frozenset(prop for prop in listing.PROPS if message.wants(prop))
        self._atime = gotime.formatter(message.time_format)
        self._node_name = node_name

    def __call__(self, found: core.Entry) -> Entry:
        if found.is_dir:
            return Entry(found.name, f=int(EntryFlag.IS_DIR))
        entry = Entry(found.name, f=int(EntryFlag.PRESENT))
        if found.is_misplaced:
            entry.f |= EntryStatus.MISPLACED_MOUNTPATH
        wants = self._wants
        meta = sealing.plain(found.meta) if found.meta is not None else None
        if "size" in wants:
            entry.s = meta.size if meta is not None else found.size
        if "atime" in wants:
            entry.a = self._atime(found.atime_ns)
        if "copies" in wants:
            entry.c = 1 + (self._copies_of(found) if self._copies_of is not None and found.meta is not None else 0)
        if "location" in wants:
            entry.t = f"{self._node_name}:{found.mountpath}"
        if meta is not None:
            if "checksum" in wants:
                entry.cs = meta.checksum
            if "version" in wants:
                entry.v = meta.version
            if "chunked" in wants and meta.runs:
                entry.f |= EntryFlag.CHUNKED
            if "custom" in wants and meta.custom:
                entry.m = "[" + " ".join(f"{key}:{value}" for key, value in meta.custom.items()) + "]"
        return entry


def _named(names: list[str]) -> list[Entry]:
    """Entries of objects of which nothing but the name is shown."""
    flags = int(EntryFlag.PRESENT)
    return [Entry(name, f=flags) for name in names]


def _detail(message: LsoMsg, is_mirrored: bool, *, seals: bool) -> Detail:
    """How much of each object must be read: sizes of encrypted content are not those of files."""
    if seals and message.wants("size"):
        return Detail.META
    if is_mirrored and message.wants("copies"):
        return Detail.META
    if message.kind or any(message.wants(prop) for prop in _META_PROPS):
        return Detail.META
    return Detail.STAT if any(message.wants(prop) for prop in _STAT_PROPS) else Detail.NAMES


def _merge(
    one: list[Entry], one_more: bool, other: list[Entry], other_more: bool, *, limit: int
) -> tuple[list[Entry], bool]:
    """The first `limit` names of two sorted pages, and whether there are more; of equal names the first page's counts.

    A page that is not the last vouches for names up to its own last one only.
    """
    by_name = {entry.n: entry for entry in other} | {entry.n: entry for entry in one}
    ends = [page[-1].n for page, more in ((one, one_more), (other, other_more)) if more and page]
    known = sorted(name for name in by_name if not ends or name <= min(ends))
    is_more = one_more or other_more or len(known) > limit
    return [by_name[name] for name in known[:limit]], is_more
