"""Listing the objects of a bucket: pages of all targets merged into one (wire contract §11).

What targets sent beyond the end of a page is kept for the next one under the listing's ID, within limits and for a
while; once a client goes on to a second page, they are asked for more while it reads. Nothing depends on it: with the
token alone, here or at another proxy, the next page is the same.
"""

import asyncio
from collections import OrderedDict
from dataclasses import dataclass
from functools import partial

import msgspec

from ais.api import actions, codec, listing
from ais.api.listing import Entry, EntryFlag, Flag, Kind, LsoMsg, Page
from ais.base.errors import AisError, BadRequest, IntegrityError, NotReady, Unreachable
from ais.base.ids import is_valid_uuid, new_id
from ais.meta import rename
from ais.meta.bmd import Bucket
from ais.meta.smap import Snode
from ais.node.node import Node
from ais.proxy import merge
from ais.proxy.merge import Feed
from ais.proxy.targets import Targets

LEFTOVERS_MAX = 200_000
"""Entries kept for following pages, of all listings together: about 50 MB."""
LISTINGS_MAX = 256
MAPS_MAX = 10
"""How often a page is read anew because targets came or went meanwhile."""
REFILL_MIN = 1000
"""Entries asked for when a target ran dry shortly before the end of a page, or for a page behind the first."""
AHEAD_MIN, AHEAD_PAGES_MAX = 4000, 8
"""Entries asked for ahead of who goes through a whole listing; no more than so many of its pages."""
AHEAD_S_MAX = 2.0
"""What was asked for longer ago is asked for anew: a client that comes later expects what was written meanwhile."""


Gaps = set[str]
"""Names of the nodes whose objects a listing lacks."""


@dataclass(slots=True)
class _Ahead:
    """What a target is asked for before the next page needs it."""

    after: str
    count: int
    asked_at: float
    page: asyncio.Future[Page | None]
    """None: it failed, and is to be asked again."""


@dataclass(slots=True)
class _Leftover:
    """What is kept between two pages of one listing, valid for exactly one next request."""

    scope: tuple[object, ...]
    token: str
    feeds: list[Feed]
    expires_at: float
    ahead: dict[str, _Ahead]
    size: int = 0
    """Entries held, while it is kept."""


class Lister:
    """Makes pages. One per proxy."""

    def __init__(self, node: Node, targets: Targets) -> None:
        self._node = node
        self._targets = targets
        self._kept: OrderedDict[str, _Leftover] = OrderedDict()
        self._held = 0
        self._asked_ahead = 0

    async def page(self, bucket: Bucket, message: LsoMsg, gaps: Gaps | None = None) -> Page:
        """The page that `message` asks for. Raise `BadRequest`, or why a target did not answer: a page is complete,
        unless the caller gives `gaps`; then these tell what is missing.

        With `message.target` it is the page of that target alone. Raise `NodeNotFound` for an unknown one.
        """
        if message.uuid and not is_valid_uuid(message.uuid):
            raise BadRequest(f'invalid listing ID "{message.uuid[:40]}"')
        request = listing.normalise(message, is_ais=bucket.props.provider == "ais")
        request = msgspec.structs.replace(request, uuid=request.uuid or new_id(self._node.env.rng))
        entries, more = await self.read(bucket, request, gaps)
        is_full = len(entries) >= request.pagesize or (more and bool(self._node.smap.moving))
        token = entries[-1].n if entries and is_full else ""
        is_moving = any(move.dst == bucket.bck for move in rename.pending(self._node.bmd))
        return Page(request.uuid, token, entries, Flags=int(is_moving or bool(gaps)))

    async def read(self, bucket: Bucket, request: LsoMsg, gaps: Gaps | None = None) -> tuple[list[Entry], bool]:
        """Up to `request.pagesize` entries, fewer only at the end, and whether more follow. Raise as `page`.

        The request is valid and complete. Nothing is kept for the next page of one without a listing ID: it reads anew.
        """
        for _ in range(MAPS_MAX):
            smap = self._node.smap
            read = self._read_moving if smap.moving and not request.target else self._read
            try:
                found = await read(bucket, request, gaps)
            except AisError:
                if self._node.smap.tmap.keys() == smap.tmap.keys():
                    raise
                continue
            if self._node.smap.moving == smap.moving:
                return found
        raise NotReady("targets come and go faster than they can be listed: try again")

    def _all(self, gaps: Gaps | None) -> list[Snode]:
        return self._targets.all if gaps is None else self._targets.reachable(gaps)

    async def _read(self, bucket: Bucket, request: LsoMsg, gaps: Gaps | None) -> tuple[list[Entry], bool]:
        targets = [self._targets.require(request.target)] if request.target else self._all(gaps)
        scope = self._scope(bucket, request, targets)
        kept = self._resume(request, scope)
        feeds = kept.feeds if kept else [Feed(target.id, request.after) for target in targets]
        ahead = kept.ahead if kept else {}
        entries = await self._fill(bucket, request, feeds, gaps, ahead)
        if not gaps and request.uuid and len(entries) >= request.pagesize:
            if kept and gaps is None:
                self._ask_ahead(bucket, request, feeds, ahead)
            self._keep(request.uuid, _Leftover(scope, entries[-1].n, feeds, self._now + self._idle_s, ahead))
        return entries, any(feed.pending or not feed.is_complete for feed in feeds)

    async def _read_moving(self, bucket: Bucket, request: LsoMsg, gaps: Gaps | None) -> tuple[list[Entry], bool]:
        """The same while objects move from target to target: all targets are asked twice for the same range of names.

        An object is with its new owner before the old one lets go of it. So what the first round does not find where it
        was is where it belongs by then, and the second round finds it there.
        """
        request = msgspec.structs.replace(request, uuid="")  # targets look anew each time
        targets = self._all(gaps)
        first = await self._fill(bucket, request, [Feed(target.id, request.after) for target in targets], gaps)
        is_full = len(first) >= request.pagesize
        end = first[-1].n if is_full else ""
        asked = [target for target in targets if gaps is None or target.name not in gaps]
        rounds = await asyncio.gather(*(self._range(bucket, request, target.id, end) for target in asked))
        entries = {entry.n: entry for found in (first, *rounds) for entry in found}
        names = sorted(entries)
        page = [entries[name] for name in names[: request.pagesize]]
        if request.kind is Kind.VERSIONS:
            _leave_one_latest(page, request.after)
        return page, is_full or len(names) > request.pagesize

    async def _range(self, bucket: Bucket, request: LsoMsg, target_id: str, end: str) -> list[Entry]:
        """What one target has behind the token, up to and with `end`; empty: to the end."""
        feed, found = Feed(target_id, request.after), list[Entry]()
        while not (feed.is_complete or (end and feed.after >= end)):
            await self._ask(bucket, request, feed, request.pagesize)
            found += merge.take([feed], request.pagesize)
        return [entry for entry in found if not end or entry.n <= end]

    async def _fill(
        self,
        bucket: Bucket,
        request: LsoMsg,
        feeds: list[Feed],
        gaps: Gaps | None = None,
        ahead: dict[str, _Ahead] | None = None,
    ) -> list[Entry]:
        entries: list[Entry] = []
        while (missing := request.pagesize - len(entries)) > 0:
            if asked := merge.to_ask(feeds, missing):
                is_spread = feeds[0].is_new and not request.delimiter  # every target has most of the common prefixes
                least = 0 if is_spread else min(request.pagesize, REFILL_MIN)
                count = max(merge.share(missing, len(feeds)), least)
                await self._refill(bucket, request, asked, count, gaps, ahead or {})
            taken = merge.take(feeds, missing)
            if not taken and not any(feed.is_dry for feed in feeds):
                break
            entries += [entry for entry in taken if not entry.is_dir] if request.has(Flag.NO_DIRS) else taken
        return entries

    async def _refill(
        self,
        bucket: Bucket,
        request: LsoMsg,
        feeds: list[Feed],
        count: int,
        gaps: Gaps | None,
        ahead: dict[str, _Ahead],
    ) -> None:
        async def one(feed: Feed) -> None:
            asked = ahead.pop(feed.target_id, None)
            if asked and asked.after == feed.after and asked.asked_at + AHEAD_S_MAX > self._now:
                page = await asyncio.shield(asked.page)
                if page is not None:
                    feed.refill(page.Entries or [], page.ContinuationToken)
                    return
            await self._ask(bucket, request, feed, count)

        if len(feeds) == 1 and gaps is None:
            await one(feeds[0])
            return
        outcomes = await asyncio.gather(*map(one, feeds), return_exceptions=True)
        for feed, outcome in zip(feeds, outcomes, strict=True):
            if gaps is not None and isinstance(outcome, NotReady | Unreachable):
                gaps.add(self._targets.require(feed.target_id).name)
                feed.refill((), "")
            elif isinstance(outcome, BaseException):
                raise outcome

    def _ask_ahead(self, bucket: Bucket, request: LsoMsg, feeds: list[Feed], ahead: dict[str, _Ahead]) -> None:
        """Have targets look for what the next pages will need, while the client reads this one."""
        count = max(merge.share(request.pagesize, len(feeds)), min(AHEAD_MIN, AHEAD_PAGES_MAX * request.pagesize))
        for feed in feeds:
            if not feed.is_complete and feed.target_id not in ahead and feed.pending < request.pagesize:
                page = asyncio.get_running_loop().create_future()
                ahead[feed.target_id] = asked = _Ahead(feed.after, count, self._now, page)
                self._asked_ahead += 1
                self._node.tasks.spawn(
                    f"list ahead {self._asked_ahead}", partial(self._find_ahead, bucket, request, feed.target_id, asked)
                )

    async def _find_ahead(self, bucket: Bucket, request: LsoMsg, target_id: str, asked: _Ahead) -> None:
        found: Page | None = None
        try:
            found = await self._page_of(bucket, request, target_id, asked.after, asked.count)
        except AisError:
            return
        finally:
            asked.page.set_result(found)

    async def _ask(self, bucket: Bucket, request: LsoMsg, feed: Feed, count: int) -> None:
        page = await self._page_of(bucket, request, feed.target_id, feed.after, count)
        feed.refill(page.Entries or [], page.ContinuationToken)

    async def _page_of(self, bucket: Bucket, request: LsoMsg, target_id: str, after: str, count: int) -> Page:
        target = self._targets.require(target_id)
        part = msgspec.structs.replace(request, start_after="", continuation_token=after, pagesize=count)
        answer = await self._targets.ask(
            target,
            "GET",
            f"/v1/buckets/{bucket.bck.name}",
            query=bucket_query(bucket),
            body=codec.to_json({"action": actions.LIST, "name": "", "value": part}),
            timeout_s=float(self._node.config.cluster.client.list_timeout),
        )
        page = listing.decode_page(answer.body)
        if page.ContinuationToken and not page.Entries:
            raise IntegrityError(f"{target.name} says that more names follow but sent none")
        return page

    def _scope(self, bucket: Bucket, request: LsoMsg, targets: list[Snode]) -> tuple[object, ...]:
        """Leftovers serve a request only when all of this is unchanged.

        The map is among it: what was moved since may have gone from a target that was not asked yet to one that was.
        """
        ids = frozenset(target.id for target in targets)
        kind = request.kind, request.props, request.flags, request.time_format
        return bucket.bck, bucket.bid, request.prefix, request.delimiter, kind, ids, self._node.smap.version

    @property
    def _now(self) -> float:
        return self._node.env.clock.monotonic()

    @property
    def _idle_s(self) -> float:
        return float(self._node.config.cluster.lso.idle_time)

    def _resume(self, request: LsoMsg, scope: tuple[object, ...]) -> _Leftover | None:
        kept = self._kept.pop(request.uuid, None)
        if kept is None:
            return None
        self._held -= kept.size
        if kept.scope != scope or kept.token != request.after or kept.expires_at < self._now:
            return None
        return kept

    def _keep(self, uuid: str, leftover: _Leftover) -> None:
        """Remember; forget what expired and, beyond the limits, what was used longest ago."""
        leftover.size = sum(feed.pending for feed in leftover.feeds) + sum(one.count for one in leftover.ahead.values())
        self._forget(uuid)
        self._kept[uuid] = leftover
        self._held += leftover.size
        now = self._now
        while self._kept:
            oldest = next(iter(self._kept))
            is_late = self._kept[oldest].expires_at < now
            if not is_late and self._held <= LEFTOVERS_MAX and len(self._kept) <= LISTINGS_MAX:
                break
            self._forget(oldest)

    def _forget(self, uuid: str) -> None:
        if kept := self._kept.pop(uuid, None):
            self._held -= kept.size


def _leave_one_latest(versions: list[Entry], after: str) -> None:
    """Of versions seen one after the other, while new ones came, the newest of each name is its latest."""
    before = after.partition("\0")[0] if "\0" in after else ""
    for entry in versions:
        name = entry.n.partition("\0")[0]
        if name == before:
            entry.f &= ~EntryFlag.LATEST
        before = name


def bucket_query(bucket: Bucket) -> dict[str, str]:
    """The query that names a bucket beside its name."""
    namespace = bucket.bck.namespace
    named = {"namespace": namespace.uname} if namespace.uuid or namespace.name else {}
    return {"provider": bucket.bck.provider, **named}
