"""The slices that this target keeps, as other targets ask for them (`ais.ec.peers` has the protocol)."""

import asyncio
import os
from collections.abc import Awaitable, Callable
from functools import partial

import msgspec

from ais.api import headers, query
from ais.api.bucket import Bck
from ais.base.errors import AccessDenied, BadRequest, CorruptMetadata, InvalidAction, ObjectNotFound
from ais.base.units import is_whole
from ais.core.slicing import key_of
from ais.core.versions import DELETED, is_version_id
from ais.ec import peers
from ais.ec import slice as slices
from ais.ec.jobs import EcJobs
from ais.ec.peers import PREFIX, STAMP, SYNC, WHAT, YES, parse_stamp
from ais.ec.slice import HEADER_BYTES_MAX, Slice
from ais.ec.store import SliceStore, SliceWriter
from ais.net.http import AnyReply, FileReply, Reply, Request, Upload, decode_component
from ais.target.front import Front
from ais.target.uploads import in_pool
from ais.target.view import BucketView

TOMBSTONE_BYTES_MAX = HEADER_BYTES_MAX
CHECK_BYTES_MAX = 4 << 20


class Slices:
    """The endpoint; part of the data path."""

    def __init__(self, front: Front, store: SliceStore, jobs: EcJobs) -> None:
        self._front = front
        self._store = store
        self._jobs = jobs

    def route(self, request: Request) -> AnyReply | Awaitable[AnyReply] | None:
        """Answer a peer; None for what is none of these requests. Raise `AisError`."""
        if not request.path.startswith(PREFIX):
            return None
        if not self._front.is_from_peer(request):
            raise AccessDenied(f"{PREFIX} is for targets of the cluster")
        bucket, _, name = request.path[len(PREFIX) :].partition("/")
        params = request.params
        bck = Bck.parse(decode_component(bucket), params.get(query.PROVIDER, ""), params.get(query.NAMESPACE, ""))
        view, entry = self._front.views.require(bck), params.get(peers.VERSION, "")
        if entry and not (is_version_id(entry) or entry == DELETED):
            raise BadRequest(f'"{entry[:50]}" is no version')
        name = key_of(decode_component(name), entry)
        if request.method == "POST" and not name:
            return Upload(_Body(CHECK_BYTES_MAX, lambda body: self._ask(bck, params.get(WHAT, ""), body)))
        if not name:
            raise BadRequest(f"{request.method} {PREFIX}<bucket>/<object> needs an object")
        match request.method:
            case "GET":
                return self._get(bck, name, params)
            case "PUT":
                is_aside, is_synced = params.get(peers.ASIDE) == YES, params.get(SYNC) == YES
                admit = partial(self._front.require_peer, request.headers.get(headers.CALLER_ID.lower()))
                return Upload(_SliceSink(self._store, view, name, admit, is_aside=is_aside, is_synced=is_synced))
            case "POST":
                return Upload(_Body(TOMBSTONE_BYTES_MAX, lambda body: self._change(bck, name, params, body)))
            case "DELETE":
                return Upload(_Body(TOMBSTONE_BYTES_MAX, lambda body: self._drop(bck, name, params, body)))
        raise InvalidAction(request.method, ("GET", "PUT", "POST", "DELETE"))

    async def _get(self, bck: Bck, name: str, params: dict[str, str]) -> AnyReply:
        if params.get(WHAT) == peers.KEPT:
            kept = await in_pool(self._store.pool, lambda: self._store.kept(bck, name))
            return Reply(200, b"", msgspec.msgpack.encode([one.encode() if one else None for one in kept]))
        written = parse_stamp(params.get(STAMP, ""))
        offset, length = params.get(peers.OFFSET, ""), params.get(peers.LENGTH, "")
        if not (is_whole(offset) and is_whole(length)):
            raise BadRequest("a slice is read with off= and len=")
        opened = await in_pool(self._store.pool, lambda: self._store.open(bck, name, written))
        if opened is None:
            raise ObjectNotFound(bck.cname(name))
        size = os.fstat(opened.fd).st_size
        first = min(opened.start + int(offset), size)
        head = f"{peers.INDEX}: {opened.header.index}\r\n".encode()
        return FileReply(200, head, opened.fd, first, min(int(length), size - first), self._store.pool)

    async def _change(self, bck: Bck, name: str, params: dict[str, str], body: bytes) -> Reply:
        """What is done with a slice that is here."""
        store, is_synced = self._store, params.get(SYNC) == YES
        match params.get(WHAT):
            case peers.KEEP:
                written = parse_stamp(params.get(STAMP, ""))
                if not await in_pool(store.pool, lambda: store.keep(bck, name, written, is_synced=is_synced)):
                    raise ObjectNotFound(bck.cname(name))
            case peers.FORGET:
                written = parse_stamp(params.get(STAMP, ""))
                await in_pool(store.pool, lambda: store.forget(bck, name, written))
            case peers.DESCRIBE:
                header = _header(body)
                await in_pool(store.pool, lambda: store.describe(bck, name, header))
            case peers.CHECK:
                await in_pool(store.pool, lambda: store.check(bck, name))
            case what:
                raise InvalidAction(what or "", (peers.KEEP, peers.FORGET, peers.DESCRIBE, peers.CHECK))
        return Reply(200)

    async def _drop(self, bck: Bck, name: str, params: dict[str, str], body: bytes) -> Reply:
        stamp, is_synced = parse_stamp(params.get(STAMP, "")), params.get(SYNC) == YES
        tombstone = _header(body) if body else None
        await in_pool(self._store.pool, lambda: self._store.drop(bck, name, stamp, tombstone, is_synced=is_synced))
        return Reply(200)

    async def _ask(self, bck: Bck, what: str, body: bytes) -> Reply:
        try:
            names = msgspec.msgpack.decode(body, type=list[str])
        except msgspec.DecodeError as error:
            raise BadRequest(f"invalid list of names: {error}") from None
        match what:
            case peers.HEADS:
                found = await asyncio.to_thread(lambda: [self._store.head(bck, name) for name in names])
                briefs = [peers.Brief.of(one) if one is not None else None for one in found]
                return Reply(200, b"", msgspec.msgpack.encode(briefs))
            case peers.LACKS:
                lacking = await asyncio.to_thread(lambda: [self._jobs.lacks(bck, name) for name in names])
                return Reply(200, b"", msgspec.msgpack.encode(lacking))
            case peers.STAMPS:
                stamps = await asyncio.to_thread(lambda: [self._jobs.stamp(bck, name) for name in names])
                return Reply(200, b"", msgspec.msgpack.encode(stamps))
            case peers.RECODE:
                self._jobs.recode(bck, names)
            case _:
                await self._jobs.check(bck, names)
        return Reply(200)


def _header(body: bytes) -> Slice:
    try:
        return slices.decode(body)[0]
    except CorruptMetadata as error:
        raise BadRequest(f"invalid header of a slice: {error}") from None


class _Body:
    """A small body, handed over as a whole."""

    def __init__(self, size_max: int, done: Callable[[bytes], Awaitable[Reply]]) -> None:
        self._size_max = size_max
        self._done = done
        self._body = bytearray()

    def write(self, data: memoryview) -> None:
        """Take the next bytes. Raise `BadRequest` when there are too many."""
        self._body += data
        if len(self._body) > self._size_max:
            raise BadRequest(f"the body is larger than {self._size_max} bytes")

    def finish(self) -> Awaitable[Reply]:
        """Act on it."""
        return self._done(bytes(self._body))

    def abort(self) -> None:
        """Nothing was done."""


class _SliceSink:
    """A slice that is coming in."""

    def __init__(
        self,
        store: SliceStore,
        view: BucketView,
        name: str,
        admit: Callable[[], None],
        *,
        is_aside: bool,
        is_synced: bool,
    ) -> None:
        """`admit` raises when who sends it must not (any more)."""
        self._admit = admit
        self._store = store
        self._view = view
        self._name = name
        self._is_aside = is_aside
        self._is_synced = is_synced
        self._writer: SliceWriter | None = None

    async def write(self, data: memoryview) -> None:
        """Keep the next bytes."""
        await in_pool(self._store.pool, lambda: self._write(data))

    async def finish(self) -> Reply:
        """Make it count."""
        if self._writer is None:
            raise BadRequest("a slice has a header")
        try:
            self._admit()
        except AccessDenied:
            self._writer.abort()
            raise
        await in_pool(self._store.pool, self._writer.commit, self._writer.abort)
        return Reply(200)

    def abort(self) -> None:
        """Forget it."""
        if self._writer is not None:
            self._writer.abort()

    def _write(self, data: memoryview) -> None:
        if self._writer is None:
            self._writer = self._store.create(
                self._view.bck, self._name, is_aside=self._is_aside, is_synced=self._is_synced
            )
        self._writer.write(data)
