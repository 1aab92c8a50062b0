"""PUT, APPEND, copy and DELETE of objects (wire contract §10.2-10.4, §10.9), and what peers send here."""

import contextlib
from collections.abc import Awaitable, Callable
from functools import partial

from ais.api import ack, headers, query
from ais.api.access import Access
from ais.api.bucket import Bck
from ais.base.errors import AisError, BadRequest, ChecksumMismatch, NotYetImplemented, ObjectNotFound
from ais.base.names import check_object_name
from ais.core.appender import Appender
from ais.core.meta import ObjectMeta
from ais.core.publish import Condition
from ais.core.store import Store
from ais.core.writer import Writer
from ais.fs.locks import StripeBusy
from ais.fs.mountpath import MountpathStalled
from ais.fs.volume import Volume
from ais.net.http import AnyReply, Reply, Request, Upload
from ais.stats import names as metrics
from ais.target import address, props
from ais.target.arriving import begun, count_arrivals
from ais.target.counts import count_error, count_redirect
from ais.target.front import LIMITS, Ask, Front
from ais.target.host import Host
from ais.target.moves import Moves
from ais.target.moving_uploads import TRANSFER as UPLOAD_TRANSFER
from ais.target.moving_uploads import MovingUploads
from ais.target.multipart import Multipart
from ais.target.protected import Protected
from ais.target.remote.cold import Cold
from ais.target.remote.through import Through, ThroughSink, content_of, of_owner
from ais.target.shards import Shards
from ais.target.transfer import LATEST, TRANSFER, Transfer
from ais.target.uploads import PacedSink, PooledSink, in_pool, upload
from ais.target.view import BucketView
from ais.xact.pace import Pace

INLINE_BYTES_MAX = 1 << 20
"""Larger bodies are hashed and written in the mountpath's pool."""
_SPECIAL = frozenset(
    name.lower()
    for name in (headers.CHECKSUM_TYPE, headers.CHECKSUM_VALUE, headers.CUSTOM_MD, headers.CALLER_ID, ack.HEADER)
) | frozenset(LIMITS)
"""Headers of a PUT that asks for more, or less, than storing the body."""


class Writes:
    """Takes what changes objects. It is also whom the sinks of uploads report to."""

    def __init__(
        self,
        host: Host,
        front: Front,
        volume: Volume,
        store: Store,
        moves: Moves,
        multipart: Multipart,
        shards: Shards,
        protected: Protected,
        cold: Cold,
        through: Through,
        moving_uploads: MovingUploads,
        pace: Pace,
    ) -> None:
        self._pace = pace
        self._moving_uploads = moving_uploads
        self._cold = cold
        self._through = through
        self._host = host
        self._front = front
        self._volume = volume
        self._store = store
        self._moves = moves
        self._multipart = multipart
        self._shards = shards
        self._protected = protected
        self._counters = host.stats.values
        self._now = host.env.clock.monotonic
        self._now_ns = host.env.clock.now_ns

    def put(self, request: Request) -> AnyReply | Awaitable[AnyReply]:
        """Store a body as an object, or what the query makes of it."""
        started_s = self._now()
        usual, head = self._front.usual(request), request.headers
        if usual is None or not usual[2] or not usual[0].takes_puts or head.has_any(_SPECIAL):
            return self._put_unusual(request, started_s)
        view, name, sent_ns = usual
        check_object_name(name)
        if not self._owns(view, name):
            return self._put_unusual(request, started_s)
        count_redirect(self._counters, metrics.PUT_REDIR_N, metrics.PUT_REDIR_NS, self._now_ns() - sent_ns)
        if request.body is not None and not view.rules.fsync:
            try:
                return self.stored(self._store.put(view.bck, name, view.rules, request.body), started_s)
            except (StripeBusy, MountpathStalled):  # below, it can be waited for
                pass
        writer = self._store.writer(view.bck, name, view.rules, size_hint=head.content_length or 0)
        return self._upload(view, writer, head.content_length, started_s)

    def delete(self, request: Request) -> Awaitable[AnyReply] | None:
        """Remove the object; a request with a body is an action (`ais.target.actions`)."""
        if request.has_body:
            return None
        ask = self._front.ask(request, Access.DELETE_OBJECT)
        self._front.require_redirect(ask, "DELETE(obj)")
        return self.remove(ask)

    async def remove(self, ask: Ask) -> Reply:
        """Remove the object. Raise `ObjectNotFound`."""
        if ask.view.remote is not None:
            await self._moves.settle(ask.view, ask.name, discard="")
            await self._through.delete(ask.view, ask.name)
        else:
            await self._moves.once_settled(ask.view, ask.name, partial(self._remove, ask), discard="")
        self._counters[metrics.DEL_N] += 1
        return Reply(200)

    async def _remove(self, ask: Ask, since: int, is_discarded: bool) -> None:
        await self._protected.ensure(ask.view, ask.name)
        pool = self._volume.place(ask.view.uname + ask.name).pool
        try:
            await in_pool(pool, lambda: self._store.delete(ask.view.bck, ask.name, rules=ask.view.rules, since=since))
        except ObjectNotFound:
            if not is_discarded:
                raise

    async def settle(self, ask: Ask) -> None:
        """Before an object is changed: have it here, as far as it is anywhere. Raise `NotReady`."""
        await self._moves.settle(ask.view, ask.name)
        await self._protected.ensure(ask.view, ask.name)

    def admit(self, view: BucketView) -> None:
        """See `ais.target.uploads.Owner`."""
        self._front.admit(view)

    def stored(self, meta: ObjectMeta, started_s: float) -> Reply:
        """See `ais.target.uploads.Owner`."""
        counters = self._counters
        counters[metrics.PUT_N] += 1
        counters[metrics.PUT_SIZE] += meta.size
        counters[metrics.PUT_NS] += int((self._now() - started_s) * 1e9)
        return Reply(200, props.put_headers(meta, self._now_ns()))

    def received(self, started_s: float) -> None:
        """See `ais.target.uploads.Owner`."""
        self._host.stats.observe(metrics.APPEND_N, metrics.APPEND_NS, int((self._now() - started_s) * 1e9))

    def failed(self, error: AisError | None) -> None:
        """See `ais.target.uploads.Owner`."""
        count_error(self._host.stats, "PUT", error)
        if isinstance(error, ChecksumMismatch):
            self._counters[metrics.ERR_PUT_CKSUM_N] += 1

    def _put_unusual(self, request: Request, started_s: float) -> AnyReply | Awaitable[AnyReply]:
        is_append = query.APPEND_TYPE in request.params
        ask = self._front.ask(request, Access.APPEND if is_append else Access.PUT)
        self._front.require_redirect(ask, "PUT(obj)")
        address.check_purpose(ask.params)
        _check_asked(ask)
        if query.OBJECT_TO in ask.params:
            return self._copy(ask)
        if ask.view.remote is not None and not ask.is_from_peer:
            _check_whole(ask)
        if query.UPLOAD_ID in ask.params or query.PART_NUMBER in ask.params:
            return self._multipart.put_settled(ask, self) if ask.view.is_moving else self._multipart.put(ask, self)
        if is_append or ask.params.get(query.ARCHPATH):
            return self._extend_settled(ask) if ask.view.needs_care else self._extend(ask)
        if ask.is_from_peer:
            return self._receive_transfer(ask, started_s)
        if ask.view.source is not None:
            return self._put_after_move(ask, started_s)
        return self._put(ask, started_s)

    def _extend(self, ask: Ask) -> AnyReply | Awaitable[AnyReply]:
        return self._append(ask) if query.APPEND_TYPE in ask.params else self._shards.put(ask, self)

    async def _extend_settled(self, ask: Ask) -> AnyReply:
        """What is added belongs behind the content there is, wherever that is now."""
        await self.settle(ask)
        with contextlib.suppress(ObjectNotFound):
            await self._protected.heal(ask.view, ask.name)
        reply = self._extend(ask)
        return await reply if isinstance(reply, Awaitable) else reply

    async def _put_after_move(self, ask: Ask, started_s: float) -> AnyReply:
        await self._moves.settle(ask.view, ask.name)
        return self._put(ask, started_s)

    def _put(self, ask: Ask, started_s: float) -> AnyReply:
        size, custom = ask.headers.content_length, props.custom_of(ask.headers)
        writer = self._store.writer(
            ask.view.bck,
            ask.name,
            ask.view.rules,
            custom=custom,
            claimed=props.claim_of(ask.headers),
            size_hint=size or 0,
        )
        if ask.view.remote is not None:
            sink = ThroughSink(self, ask.view, ask.name, writer, started_s, self._through, lambda: custom or {})
            return Upload(sink, is_inline=False)
        return self._upload(ask.view, writer, size, started_s)

    def _receive_transfer(self, ask: Ask, started_s: float) -> AnyReply | Awaitable[AnyReply]:
        """An object, or a part of an upload, that a peer copies or moves here."""
        if UPLOAD_TRANSFER.lower() in ask.headers:
            return self._moving_uploads.receive(ask, self._of_peer(ask))
        transfer = Transfer.parse(ask.headers.get(TRANSFER.lower()) or "")
        is_new_here = not (transfer.keeps_name or transfer.part)
        if is_new_here and (not self._owns(ask.view, ask.name) or (ask.view.source and not transfer.is_given)):
            return self._receive_after_move(ask, transfer, started_s)
        return self._receive(ask, transfer, started_s)

    def _owns(self, view: BucketView, name: str) -> bool:
        return self._host.placement.owner(view.uname + name).id == self._host.snode.id

    async def _receive_after_move(self, ask: Ask, transfer: Transfer, started_s: float) -> AnyReply:
        """What gets the name, by a map that this target may not have yet; of what it takes the place of, older versions
        stay.
        """
        await self._moves.until_owned(ask.view, ask.name)
        if not transfer.is_given:
            await self._moves.settle(ask.view, ask.name)
        reply = self._receive(ask, transfer, started_s)
        return await reply if isinstance(reply, Awaitable) else reply

    def _receive(self, ask: Ask, transfer: Transfer, started_s: float) -> AnyReply | Awaitable[AnyReply]:
        if ask.view.remote is not None and transfer.is_copy:
            return self._receive_through(ask, transfer.meta, started_s)
        part = transfer.part or (LATEST if transfer.only_if_absent and ask.view.keeps_versions else "")
        writer: Writer
        if part:
            rules, times_ns, is_head = ask.view.rules, transfer.times_ns or (0, 0), part == LATEST
            writer = self._store.arrival(ask.view.bck, ask.name, rules, transfer.meta, times_ns, is_head=is_head)
            condition = None
        else:
            writer, condition = begun(self._store, ask.view, ask.name, transfer)
        if part or transfer.only_if_absent:
            uploads, key = self._of_peer(ask, is_given=True), ask.view.uname + ask.name

            def is_awaited() -> bool:
                return transfer.is_awaited or self._moves.is_asked_for(key)

            sink = PacedSink(uploads, ask.view, writer, started_s, self._pace, is_awaited, condition)
            return Upload(sink, is_inline=False)
        return self._upload(ask.view, writer, ask.headers.content_length, started_s, condition, self._of_peer(ask))

    def arrived(self, meta: ObjectMeta, _started_s: float) -> Reply:
        """The same as `stored` of what only got another owner."""
        count_arrivals(self._host.stats, [meta.size])
        return Reply(200, props.put_headers(meta, self._now_ns()))

    def _of_peer(self, ask: Ask, *, is_given: bool = False) -> "_PeerUploads":
        stored = self.arrived if is_given else self.stored
        return _PeerUploads(self, self._front, ask.headers.get(headers.CALLER_ID.lower()), stored)

    async def _receive_through(self, ask: Ask, meta: ObjectMeta, started_s: float) -> AnyReply:
        """A copy into a bucket that has a backend."""
        await self._moves.settle(ask.view, ask.name)
        custom, content = of_owner(meta.custom), content_of(meta.facts)
        writer = self._store.writer(
            ask.view.bck,
            ask.name,
            ask.view.rules_for(meta.checksum_kind),
            custom=custom,
            facts=content,
            claimed=meta.promised,
            size_hint=meta.size,
        )
        return Upload(
            ThroughSink(self, ask.view, ask.name, writer, started_s, self._through, lambda: custom | content),
            is_inline=False,
        )

    def _upload(
        self,
        view: BucketView,
        writer: Writer,
        size: int | None,
        started_s: float,
        condition: Condition | None = None,
        owner: "_PeerUploads | None" = None,
    ) -> Upload:
        return upload(
            owner or self,
            view,
            writer,
            started_s,
            size=size,
            inline_bytes_max=INLINE_BYTES_MAX,
            condition=condition,
        )

    async def _copy(self, ask: Ask) -> AnyReply:
        if ask.has_body:
            raise BadRequest(f"copying {ask.cname} takes no body")
        bck, name = Bck.parse_uname(ask.params[query.OBJECT_TO])
        address.check_name(name)
        destination = self._front.views.require(bck)
        destination.require(Access.PUT)
        destination.require_sealable()
        if (bck, name) == (ask.view.bck, ask.name):
            raise BadRequest(f"cannot copy object {ask.cname} onto itself")
        await self._moves.settle(ask.view, ask.name)
        await self._cold.ensure(ask.view, ask.name)
        await self._protected.heal(ask.view, ask.name)
        await self._moves.copy(
            ask.view, ask.name, destination.with_ack(ask.view.ack) if ask.view.ack else destination, name
        )
        return Reply(200)

    def _append(self, ask: Ask) -> AnyReply:
        view, kind, handle = ask.view, ask.params[query.APPEND_TYPE], ask.params.get(query.APPEND_HANDLE, "")
        if kind not in ("append", "flush"):
            raise BadRequest(f'invalid {query.APPEND_TYPE} "{kind}": expected append or flush')
        if kind == "flush" and not handle and not ask.has_body:
            raise BadRequest(f"flushing {ask.cname} needs the handle that append returned")
        custom, claimed = props.custom_of(ask.headers), props.claim_of(ask.headers)
        node_id, started_s, epoch = self._host.snode.id, self._now(), self._volume.epoch

        def open_appender() -> Appender:
            appender = self._store.appender(view.bck, ask.name, view.rules, node_id, handle, epoch=epoch)
            try:
                appender.expect(ask.headers.content_length if ask.has_body else 0)
                if kind == "append" and claimed is not None:
                    appender.claim(claimed)
            except BaseException:
                appender.abort()
                raise
            return appender

        def keep(appender: Appender) -> Reply:
            return Reply(200, f"{headers.APPEND_HANDLE}: {appender.keep()}\r\n".encode())

        def flush(appender: Appender) -> Reply:
            appender.flush(custom=custom, claimed=claimed)
            return Reply(200)

        finish = keep if kind == "append" else flush
        pool = self._volume.place(view.uname + ask.name).pool
        return Upload(PooledSink(self, view, pool, started_s, open_appender, finish))


def _check_asked(ask: Ask) -> None:
    """Raise `BadRequest` for what a request would have besides, and cannot get."""
    is_copy, is_part = query.OBJECT_TO in ask.params, query.UPLOAD_ID in ask.params
    is_flush = ask.params.get(query.APPEND_TYPE) == "flush" and not is_part
    is_whole = not (is_copy or is_part or query.APPEND_TYPE in ask.params or ask.params.get(query.ARCHPATH))
    if not (is_whole or is_flush) and props.custom_of(ask.headers) is not None:
        raise BadRequest(
            f"{ask.cname} gets custom metadata with all of its content, the flush of appends, or the beginning of an"
            " upload in parts; afterwards by PATCH"
        )
    if is_copy and props.claim_of(ask.headers) is not None:
        raise BadRequest(f"a copy of {ask.cname} is compared with the checksum it has: no other one can be claimed")


def _check_whole(ask: Ask) -> None:
    """Raise `NotYetImplemented` for a change of a remote bucket's object other than a PUT of all of it."""
    for name, what in (
        (query.APPEND_TYPE, "append to an object"),
        (query.ARCHPATH, "write into a shard"),
    ):
        if name in ask.params:
            raise NotYetImplemented(f"cannot {what} of remote bucket {ask.view.bck.cname()} - not implemented yet")


class _PeerUploads:
    """Whom what another target sends reports to: nothing comes of it when that was given up meanwhile."""

    def __init__(
        self, writes: Writes, front: Front, caller: str | None, stored: Callable[[ObjectMeta, float], Reply]
    ) -> None:
        self._front = front
        self._caller = caller
        self.stored = stored
        self.received = writes.received
        self.failed = writes.failed

    def admit(self, view: BucketView) -> None:
        """See `ais.target.uploads.Owner`. Raise also `AccessDenied`."""
        self._front.require_peer(self._caller)
        self._front.admit(view)
