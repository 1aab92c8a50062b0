"""GET and HEAD of objects (wire contract §10.1, §10.5)."""

import os
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

import msgspec

from ais.api import checksum, query
from ais.api.access import Access
from ais.api.blob import Parts
from ais.backend.interface import RemoteObject
from ais.base.errors import BadRequest, Busy, ContentDamaged, CorruptMetadata, Gone, Lost, ObjectNotFound, Outdated
from ais.base.units import Size, parse_bool
from ais.core import sealing
from ais.core.content import pread_of
from ais.core.meta import ObjectMeta
from ais.core.store import OpenObject, Store
from ais.net.http import AnyReply, FileReply, Reply, Request, StreamReply
from ais.space.eviction import is_cached
from ais.stats import names as metrics
from ais.target import address, contents, props
from ais.target.blobs import Blobs
from ais.target.counts import count_redirect
from ais.target.front import Ask, Front
from ais.target.host import Host
from ais.target.opening import Opening
from ais.target.props import ObjectFacts
from ais.target.protected import REREAD_MAX, Protected
from ais.target.ranges import content_range, parse_range
from ais.target.recent import Recent
from ais.target.remote.remote import Remote
from ais.target.remote.through import is_same
from ais.target.shards import Shards, is_shard_request
from ais.target.uploads import in_pool

_READ_BYTES = 1 << 20
_PRESENCE = ("", "0", "1", "2", "3", "4", "5")
_PRESENCE_ONLY = ("1", "3")
_EXISTS_OUTSIDE = "5"
_ONLY_HERE = ("2", "3", "4")


class Reads:
    """Answers GET and HEAD from the disk."""

    def __init__(
        self,
        host: Host,
        front: Front,
        store: Store,
        opening: Opening,
        recent: Recent,
        shards: Shards,
        protected: Protected,
        remote: Remote,
        blobs: Blobs,
    ) -> None:
        self._blobs = blobs
        self._ranges = remote.ranges
        self._cold = remote.cold
        self._through = remote.through
        self._host = host
        self._front = front
        self._store = store
        self._opening = opening
        self._recent = recent
        self._shards = shards
        self._protected = protected
        self._counters = host.stats.values
        self._now = host.env.clock.monotonic
        self._now_ns = host.env.clock.now_ns

    def get(self, request: Request) -> AnyReply | Awaitable[AnyReply]:
        """The object, or a range of it."""
        started_s = self._now()
        usual, head = self._front.usual(request), request.headers
        if usual is None or not usual[0].is_plain or "range" in head or "ais-blob-download" in head:
            return self._get_unusual(request, started_s, is_usual=usual is not None and "range" not in head)
        if usual[2]:
            elapsed_ns = self._now_ns() - usual[2]
            count_redirect(self._counters, metrics.GET_REDIR_N, metrics.GET_REDIR_NS, elapsed_ns)
        try:
            opened = self._store.open(usual[0].bck, usual[1])
        except ObjectNotFound:
            address.check_name(usual[1])
            if usual[0].remote is None:
                raise
            return self._get_cold(self._front.ask(request, Access.GET), started_s)
        except CorruptMetadata:
            if usual[0].remote is None:
                raise
            return self._get_unusual(request, started_s, is_usual=False)
        size = opened.stat.st_size
        self._count_get(size, started_s)
        block = _head_of(opened)
        if opened.key is not None:
            with _closing_on_error(opened):
                return contents.reply(opened, 200, block, 0, size)
        if opened.known is not None:
            self._recent.remember(request, opened.spot)
        return FileReply(200, block, opened.fd, 0, size, opened.mountpath.pool)

    def head(self, request: Request) -> AnyReply | Awaitable[AnyReply]:
        """What is known about the object: what `props` asks for, or everything."""
        started_s = self._now()
        ask = self._front.ask(request, Access.HEAD_OBJECT, is_probe=True)
        presence = ask.params.get(query.PRESENCE, "")
        if presence not in _PRESENCE:
            raise BadRequest(f'invalid {query.PRESENCE} "{presence}": expected a number from 0 to 5')
        if presence == _EXISTS_OUTSIDE and ask.view.remote is None:
            raise ObjectNotFound(ask.cname)
        wanted = props.parse_props(ask.params.get(query.PROPS, ""))
        if ask.view.remote is not None:
            return self._head_remote(ask, wanted, started_s, presence)
        if _takes_time(ask):
            return self._head_slowly(ask, wanted, started_s)
        return self._head(ask, wanted, started_s, self._store.head(ask.view.bck, ask.name))

    def _get_unusual(
        self, request: Request, started_s: float, *, is_usual: bool, again: bool = False
    ) -> AnyReply | Awaitable[AnyReply]:
        ask = self._front.ask(request, Access.GET)
        if parse_bool(ask.headers.get("ais-blob-download") or "") and not again:
            if ask.view.remote is None:
                raise BadRequest(f"blob download is for remote buckets, {ask.view.bck.cname()} is not one")
            return self._get_in_parts(request, ask, started_s)
        if ask.view.remote is not None:
            return self._get_remote(request, ask, started_s, is_usual=is_usual)
        return self._get_asked(request, ask, started_s, is_usual=is_usual)

    async def _get_remote(
        self, request: Request, ask: Ask, started_s: float, *, is_usual: bool, again: bool = False
    ) -> AnyReply:
        """Of a bucket that has a backend: what is damaged here is fetched anew."""
        try:
            reply = self._get_asked(request, ask, started_s, is_usual=is_usual)
            return await reply if isinstance(reply, Awaitable) else reply
        except (ContentDamaged, CorruptMetadata, Lost):
            if again or not ask.view.fetches or not await self._cold.let_go_damaged(ask.view, ask.name):
                raise
        return await self._get_remote(request, ask, started_s, is_usual=False, again=True)

    def _get_asked(
        self, request: Request, ask: Ask, started_s: float, *, is_usual: bool
    ) -> AnyReply | Awaitable[AnyReply]:
        if ask.view.remote is not None and (ask.view.stays_fresh or _is_latest(ask)):
            return self._get_fresh(ask, started_s)
        if is_shard_request(ask.params):
            return self._get_from_shard(ask, started_s)
        spec = ask.headers.get("range")
        if not ask.view.is_plain or (spec and ask.view.hashes_ranges):
            return self._get_slowly(ask, spec, started_s, request if is_usual and ask.view.is_rereadable else None)
        try:
            opened = self._store.open(ask.view.bck, ask.name)
        except ObjectNotFound:
            if ask.view.remote is None:
                raise
            return self._get_cold_range(ask, spec, started_s) if spec else self._get_cold(ask, started_s)
        with _closing_on_error(opened):
            return self._reply(opened, spec, started_s)

    async def _get_in_parts(self, request: Request, ask: Ask, started_s: float) -> AnyReply:
        """What the client wants to be fetched in parts, when it is here; what an earlier owner has comes first."""
        parts, threshold = _parts_of(ask)
        await self._opening.settle(ask.view, ask.name)
        if ask.view.stays_fresh or _is_latest(ask):
            await self._through.refresh(ask.view, ask.name)
        if ask.view.fetches:
            await self._blobs.ensure(ask.view, ask.name, parts, threshold)
        reply = self._get_unusual(request, started_s, is_usual=False, again=True)
        return await reply if isinstance(reply, Awaitable) else reply

    async def _get_cold(self, ask: Ask, started_s: float) -> AnyReply:
        """What is not here, from its backend: a large object while it comes."""
        ask.view.require_fetched(ask.name)
        fetch = self._cold.join(ask.view, ask.name)
        found = await fetch.begun()
        chunks = None
        if not fetch.is_over:
            is_large = found.size >= ask.view.follows_from
            chunks = fetch.follow(found.size) if is_large else await fetch.unkept()
        if chunks is None:
            return self._reply(await self._opening.open(ask.view, ask.name), None, started_s)
        self._count_get(found.size, started_s)
        block = props.get_headers(_meta_of(found, ask.view.provider), self._now_ns())
        return StreamReply(200, block, chunks, found.size)

    async def _get_cold_range(self, ask: Ask, spec: str, started_s: float) -> AnyReply:
        """A range of what is not here, from its backend; a small object is fetched as a whole."""
        ask.view.require_fetched(ask.name)
        found = await self._ranges.look(ask.view, ask.name)
        if found is None:
            return await self._get_slowly(ask, spec, started_s, None)
        start, length = parse_range(spec, found.size)
        self._count_get(length, started_s)
        block = props.get_headers(_meta_of(found, ask.view.provider), self._now_ns())
        block += f"Accept-Ranges: bytes\r\nContent-Range: {content_range(start, length, found.size)}\r\n".encode()
        return StreamReply(206, block, self._ranges.read(ask.view, found, start, length), length)

    async def _get_fresh(self, ask: Ask, started_s: float) -> AnyReply:
        """Of an object that must be what its backend has now."""
        await self._refresh(ask)
        if is_shard_request(ask.params):
            return await self._get_from_shard(ask, started_s)
        return await self._get_slowly(ask, ask.headers.get("range"), started_s, None)

    async def _refresh(self, ask: Ask) -> None:
        """What an earlier owner has is compared too: fetched afterwards, it would be served as it is."""
        await self._opening.settle(ask.view, ask.name)
        await self._through.refresh(ask.view, ask.name)

    async def _get_slowly(
        self, ask: Ask, spec: str | None, started_s: float, request: Request | None, again: int = 0
    ) -> AnyReply:
        """For buckets that protect their objects, verify what they serve, hash ranges, or receive another's objects.

        `request` is given when the next one like it may be answered at once.
        """
        whole = ask.view.verifies or (bool(spec) and ask.view.hashes_ranges)
        opened = await self._opening.read(ask.view, ask.name, streams=not whole)
        if opened.meta.cut is not None and opened.key is None and not whole:
            return await self._stream(ask, opened, spec, started_s, again)
        if request is not None and opened.known is not None and opened.key is None:
            self._recent.remember(request, opened.spot)
        with _closing_on_error(opened):
            pool = opened.mountpath.pool
            if ask.view.verifies:
                await in_pool(pool, lambda: self._store.verify(ask.view.bck, ask.name, opened))
            if not spec or not ask.view.hashes_ranges:
                return self._reply(opened, spec, started_s)
            start, length = parse_range(spec, opened.stat.st_size)
            kind = ask.view.rules.checksum_kind
            digest = await in_pool(pool, lambda: _hash_range(pread_of(opened), kind, start, length))
            return self._reply(opened, spec, started_s, range_checksum=(kind, digest))

    async def _stream(self, ask: Ask, opened: OpenObject, spec: str | None, started_s: float, again: int) -> AnyReply:
        """An object that is kept as slices alone, or a range of it, straight from the targets that have them."""
        with _closing_on_error(opened):
            status, block, start, length = self._described(opened, spec, started_s)
        chunks = await self._protected.started(ask.view, ask.name, opened, start, length)
        if chunks is None:
            if again >= REREAD_MAX:
                raise Busy(f"{ask.cname} keeps being overwritten")
            return await self._get_slowly(ask, spec, started_s, None, again + 1)
        return StreamReply(status, block, chunks, length)

    async def _get_from_shard(self, ask: Ask, started_s: float) -> AnyReply:
        opened = await self._opening.read(ask.view, ask.name)
        if ask.view.verifies:
            with _closing_on_error(opened):
                await in_pool(opened.mountpath.pool, lambda: self._store.verify(ask.view.bck, ask.name, opened))
        reply, size = await self._shards.get(ask, opened)
        self._count_get(size, started_s)
        return reply

    def _reply(
        self, opened: OpenObject, spec: str | None, started_s: float, range_checksum: tuple[str, str] | None = None
    ) -> AnyReply:
        return contents.reply(opened, *self._described(opened, spec, started_s, range_checksum))

    def _described(
        self, opened: OpenObject, spec: str | None, started_s: float, range_checksum: tuple[str, str] | None = None
    ) -> tuple[int, bytes, int, int]:
        """Status, header lines, first byte and length of an answer."""
        size = opened.stat.st_size
        status, block, start, length = 200, _head_of(opened), 0, size
        if spec:
            start, length = parse_range(spec, size)
            status = 206
            if range_checksum:
                kind, digest = range_checksum
                meta = msgspec.structs.replace(sealing.plain(opened.meta), checksum_kind=kind, checksum=digest)
                block = props.headers_of(meta, opened.stat.st_atime_ns)
            block += f"Accept-Ranges: bytes\r\nContent-Range: {content_range(start, length, size)}\r\n".encode()
        self._count_get(length, started_s)
        return status, block, start, length

    async def _head_remote(self, ask: Ask, wanted: frozenset[str], started_s: float, presence: str) -> AnyReply:
        """Of what is not here, what its backend says, if `presence` allows to ask."""
        try:
            opened = await self._looked_at(ask)
            if _is_latest(ask):
                await self._require_latest(ask, opened.meta)
            reply = self._head(ask, wanted, started_s, opened)
        except ObjectNotFound:
            if presence in _ONLY_HERE:
                raise
            found = await self._through.head(ask.view, ask.name)
            self._counters[metrics.HEAD_N] += 1
            self._counters[metrics.HEAD_NS] += int((self._now() - started_s) * 1e9)
            if presence in _PRESENCE_ONLY:
                return Reply(200)
            return Reply(200, props.absent_headers(found, ask.view.provider, wanted), length=found.size)
        if presence == _EXISTS_OUTSIDE:
            raise ObjectNotFound(ask.cname)
        return reply

    async def _looked_at(self, ask: Ask) -> OpenObject:
        try:
            return await self._look(ask) if _takes_time(ask) else self._store.head(ask.view.bck, ask.name)
        except (ContentDamaged, CorruptMetadata, Lost):
            if not await self._cold.let_go_damaged(ask.view, ask.name):
                raise
            raise ObjectNotFound(ask.cname) from None

    async def _require_latest(self, ask: Ask, kept: ObjectMeta) -> None:
        """Raise `Outdated` or `Gone` unless what is here is what its backend has, or nowhere else."""
        if not is_cached(kept, ask.view.origin):
            return
        try:
            found = await self._through.head(ask.view, ask.name)
        except ObjectNotFound:
            raise Gone(ask.cname) from None
        if not is_same(kept, found):
            raise Outdated(ask.cname)

    async def _head_slowly(self, ask: Ask, wanted: frozenset[str], started_s: float) -> AnyReply:
        return self._head(ask, wanted, started_s, await self._look(ask))

    async def _look(self, ask: Ask) -> OpenObject:
        """What is here, or comes here from another target; verified when that is asked for."""
        opened = await self._opening.open(ask.view, ask.name, verify=False, fetches=False)
        try:
            if parse_bool(ask.params.get("validate-checksum", "")):
                await in_pool(opened.mountpath.pool, lambda: self._store.verify(ask.view.bck, ask.name, opened))
        finally:
            os.close(opened.fd)
        return opened

    def _head(self, ask: Ask, wanted: frozenset[str], started_s: float, found: OpenObject) -> Reply:
        stat, mountpath = found.stat, found.mountpath
        self._counters[metrics.HEAD_N] += 1
        self._counters[metrics.HEAD_NS] += int((self._now() - started_s) * 1e9)
        if ask.params.get(query.PRESENCE) in _PRESENCE_ONLY:
            return Reply(200)
        facts = ObjectFacts(
            ask.view.bck,
            ask.name,
            sealing.plain(found.meta),
            stat.st_atime_ns,
            ask.view.modified_ns(found.meta, stat.st_mtime_ns),
            f"{self._host.snode.name}:{mountpath}",
            (mountpath.path, *self._copies_of(ask, found.meta)),
            ask.view.coding(found.meta.size),
        )
        block = props.head_headers(facts, wanted) if wanted else props.head_headers_all(facts)
        return Reply(200, block, length=sealing.size_of(found.meta))

    def _copies_of(self, ask: Ask, meta: ObjectMeta) -> list[str]:
        return self._protected.copies(ask.view.bck, ask.name, meta) if ask.view.is_mirrored else []

    def _count_get(self, size_bytes: int, started_s: float) -> None:
        counters = self._counters
        counters[metrics.GET_N] += 1
        counters[metrics.GET_SIZE] += size_bytes
        counters[metrics.GET_NS] += int((self._now() - started_s) * 1e9)


def _parts_of(ask: Ask) -> tuple[Parts, int]:
    """How a client wants an object to be fetched, and from which size on. Raise `BadRequest`."""
    said = {name: ask.headers.get(f"ais-blob-{name}") or "" for name in ("chunk", "workers", "threshold")}
    try:
        workers = int(said["workers"] or 0)
        threshold = int(Size.parse(said["threshold"] or "0"))
        return Parts.of(int(Size.parse(said["chunk"] or "0")), workers), threshold
    except ValueError as error:
        raise BadRequest(f"invalid Ais-Blob-* header: {error}") from None


def _meta_of(found: RemoteObject, provider: str) -> ObjectMeta:
    """What is told of an object that is not here yet."""
    return ObjectMeta(found.size, custom=found.custom(provider), version=found.version, facts=found.content)


def _takes_time(ask: Ask) -> bool:
    """Whether HEAD has to look at more than the file that may be here."""
    is_elsewhere = ask.view.source is not None or ask.view.is_protected
    return is_elsewhere or parse_bool(ask.params.get("validate-checksum", ""))


def _is_latest(ask: Ask) -> bool:
    return parse_bool(ask.params.get(query.LATEST_VERSION, ""))


def _head_of(opened: OpenObject) -> bytes:
    """The headers of a GET."""
    known, atime_ns = opened.known, opened.stat.st_atime_ns
    return props.get_headers(opened.meta, atime_ns) if known is None else props.remembered_headers(known, atime_ns)


@contextmanager
def _closing_on_error(opened: OpenObject) -> Iterator[None]:
    try:
        yield
    except BaseException:
        os.close(opened.fd)
        raise


def _hash_range(pread: Callable[[int, int], bytes], kind: str, start: int, length: int) -> str:
    hasher = checksum.new_hasher(kind)
    if hasher is None:
        return ""
    while length:
        data = pread(min(length, _READ_BYTES), start)
        if not data:
            break
        hasher.update(data)
        start, length = start + len(data), length - len(data)
    return hasher.hexdigest()
