"""The entrance of S3 requests on a target: object operations it owns are executed, everything else is sent on."""

import os
from collections.abc import Awaitable, Callable
from contextlib import suppress
from types import CoroutineType
from typing import NamedTuple

from ais.base.errors import AisError, DeleteMarker, NotFound, NotReady, ObjectNotFound, VersionNotFound
from ais.core.store import Store
from ais.core.versions import NULL
from ais.fs.volume import BegunToMove, Volume
from ais.meta.smap import Snode
from ais.net.client import PeerClient
from ais.net.http import AnyReply, Reply, Request, header_lines
from ais.node.s3 import NO_LISTING, Gate
from ais.s3 import answers, conditions
from ais.s3.conditions import http_date
from ais.s3.errors import S3Error
from ais.s3.facts import Facts
from ais.s3.front import S3Request
from ais.s3.identity import Identity
from ais.s3.operations import Op
from ais.target.counts import count_error
from ais.target.elsewhere import Elsewhere, is_file
from ais.target.front import ACK_HEADER, Front, Misplaced
from ais.target.host import Host
from ais.target.keyring import with_keys
from ais.target.maps import Maps
from ais.target.moves import EarlierAway, Moves
from ais.target.moving_uploads import MovingUploads
from ais.target.protected import Protected
from ais.target.remote.remote import Remote
from ais.target.s3.ask import S3Ask
from ais.target.s3.copies import Copies
from ais.target.s3.deletes import Deletes
from ais.target.s3.locks import Locks
from ais.target.s3.multipart import Multipart
from ais.target.s3.puts import Puts
from ais.target.s3.reads import Reads
from ais.target.s3.remote import RemoteObjects
from ais.target.s3.replicas import ReplicaObjects
from ais.target.s3.sources import Sources
from ais.target.s3.tags import Tags
from ais.target.s3.usual import Usual
from ais.target.s3.usual_puts import UsualPuts
from ais.target.s3.verified import Verified
from ais.target.view import BucketView

Handler = Callable[[S3Ask], AnyReply | Awaitable[AnyReply]]


_ON_WHAT_IS_THERE = frozenset(
    {
        Op.GET_OBJECT_ATTRIBUTES,
        Op.DELETE_OBJECT,
        Op.GET_OBJECT_TAGGING,
        Op.PUT_OBJECT_TAGGING,
        Op.DELETE_OBJECT_TAGGING,
        Op.GET_OBJECT_ACL,
        Op.PUT_OBJECT_ACL,
        Op.GET_OBJECT_RETENTION,
        Op.PUT_OBJECT_RETENTION,
        Op.GET_OBJECT_LEGAL_HOLD,
        Op.PUT_OBJECT_LEGAL_HOLD,
    }
)
"""What is about an object that exists, besides reading it: a lost one is restored before."""
_KEYS_MAX = 4
"""Of one request: its own, and those of what it copies."""
_ONLY_METADATA = _ON_WHAT_IS_THERE - {Op.DELETE_OBJECT}
_READS = frozenset({Op.GET_OBJECT, Op.HEAD_OBJECT})


def _discarded_by(ask: S3Ask) -> str | None:
    """What a request deletes whatever it is; None: nothing, or under a condition only."""
    if ask.request.op is not Op.DELETE_OBJECT or conditions.read_delete(ask.request).any:
        return None
    return ask.version_id or ""


async def _complete(reply: AnyReply | Awaitable[AnyReply]) -> AnyReply:
    return await reply if isinstance(reply, Awaitable) else reply


class S3Front:
    """One per target."""

    def __init__(
        self,
        host: Host,
        gate: Gate,
        front: Front,
        maps: Maps,
        volume: Volume,
        store: Store,
        moves: Moves,
        moving_uploads: MovingUploads,
        elsewhere: Elsewhere,
        peers: PeerClient,
        verified: Verified,
        protected: Protected,
        remote: Remote,
    ) -> None:
        self._moving_uploads = moving_uploads
        self._elsewhere = elsewhere
        stats = host.stats
        self._remote = RemoteObjects(moves, moving_uploads, remote, stats)
        self._host = host
        self._gate = gate
        self._front = front
        self._maps = maps
        self._store = store
        self._moves = moves
        self._protected = protected
        self.deletes = Deletes(store, volume, stats, remote.through)
        self._usual = Usual(host, gate, front, maps, store)
        self._usual_puts = UsualPuts(host, gate, front, maps, store, self._route_unusual)
        self._reads = reads = Reads(store, stats, verified, protected, self._usual)
        puts, tags = Puts(front, store, stats, remote.through, self._usual_puts), Tags(store, volume)
        locks = Locks(store, volume)
        multipart = Multipart(front, store, volume, stats, remote.through)
        sources = Sources(host, gate, front, store, moves, peers, verified, protected, remote)
        self.replicas = replicas = ReplicaObjects(front, store, volume, moves, protected, stats)
        copies = Copies(front, store, stats, sources, multipart, remote.through)
        self._handlers: dict[Op, Handler] = {
            Op.GET_OBJECT: reads.get,
            Op.HEAD_OBJECT: reads.get,
            Op.GET_OBJECT_ATTRIBUTES: reads.attributes,
            Op.PUT_OBJECT: puts.put,
            Op.DELETE_OBJECT: self.deletes.delete,
            Op.COPY_OBJECT: copies.copy,
            Op.GET_OBJECT_TAGGING: tags.get,
            Op.PUT_OBJECT_TAGGING: tags.put,
            Op.DELETE_OBJECT_TAGGING: tags.delete,
            Op.GET_OBJECT_ACL: tags.get_acl,
            Op.PUT_OBJECT_ACL: tags.put_acl,
            Op.GET_OBJECT_RETENTION: locks.get_retention,
            Op.PUT_OBJECT_RETENTION: locks.put_retention,
            Op.GET_OBJECT_LEGAL_HOLD: locks.get_legal_hold,
            Op.PUT_OBJECT_LEGAL_HOLD: locks.put_legal_hold,
            Op.PUT_REPLICA: replicas.put,
            Op.CHANGE_REPLICA: replicas.change,
            Op.DELETE_REPLICA: replicas.delete,
            Op.CREATE_MULTIPART_UPLOAD: multipart.create,
            Op.UPLOAD_PART: multipart.put_part,
            Op.UPLOAD_PART_COPY: copies.copy_part,
            Op.COMPLETE_MULTIPART_UPLOAD: multipart.complete,
            Op.ABORT_MULTIPART_UPLOAD: multipart.abort,
            Op.LIST_PARTS: multipart.list_parts,
        }

    def route(self, request: Request) -> AnyReply | Awaitable[AnyReply]:
        """Answer an S3 request. Raise `AisError`."""
        if request.method == "GET" and (found := self._usual.get(request)) is not None:
            return found
        if request.method == "PUT" and (stored := self._usual_puts.put(request)) is not None:
            return stored
        return self._route_unusual(request)

    def _route_unusual(self, request: Request) -> AnyReply | Awaitable[AnyReply]:
        if request.method == "OPTIONS":
            return self._gate.preflight(request)
        if self._gate.is_query(request):
            return self._gate.pass_on(request, self._a_proxy(), 0)
        asked = self._gate.open(request)
        if not asked.key:
            return self._gate.forward(asked, self._a_proxy())
        caller = self._gate.identify(asked)
        if asked.via is not None and asked.via.map > self._maps.version:
            return self._serve_by_map(asked, caller, asked.via.map)
        return self._serve(asked, caller)

    async def _serve_by_map(self, asked: S3Request, caller: Identity, version: int) -> AnyReply:
        await self._maps.until(version)
        return await _complete(self._serve(asked, caller))

    def _serve(
        self, asked: S3Request, caller: Identity, settled: "_Settled | None" = None
    ) -> AnyReply | Awaitable[AnyReply]:
        request = asked.http
        view = self._front.views.require(self._gate.buckets.require(asked.bucket).bck)
        owner = self._gate.reader(view, asked.key, request.method)
        if not self._gate.is_here(owner):
            return self._gate.forward(asked, owner)
        try:
            bucket = self._gate.admit(asked, caller, lambda: self._facts(view, asked, settled))
        except _MayExist:
            return self._serve_settled(asked, caller, view)
        if (level := request.headers.get(ACK_HEADER)) is not None and request.method not in ("GET", "HEAD"):
            view = view.with_ack(level, only_metadata=asked.op in _ONLY_METADATA)
        lines = answers.stamp(asked.id) + header_lines(*self._gate.cross_origin(asked))
        ask = S3Ask(asked, caller, bucket, view, lines, self._gate)
        handler = self._handlers[asked.op]
        try:
            is_usual = view.source is None and not (view.is_coded and asked.op in _ON_WHAT_IS_THERE)
            is_usual = is_usual and asked.op is not Op.DELETE_OBJECT
            if view.remote is not None:
                return self._watched(ask, self._remote.serve(handler, ask))
            if self._gate.waits_for_keys:
                return self._watched(ask, self._with_keys(self._settled_by(handler), ask))
            reply = handler(ask) if is_usual else self._settled(handler, ask)
        except AisError as error:
            raise self._failed(ask, error) from None
        return self._watched(ask, reply) if type(reply) is CoroutineType else reply

    async def _serve_settled(self, asked: S3Request, caller: Identity, view: BucketView) -> AnyReply:
        """Whether the caller may do it is asked when the object is here, or nowhere, or slices say what it is."""
        away: EarlierAway | None = None
        try:
            await self._moves.settle(view, asked.key)
        except EarlierAway as error:
            if not view.is_coded or asked.op not in _READS:
                raise
            away = error
        try:
            settled = _Settled(await self._facts_of_whole(view, asked))
        except NotFound:
            if away is not None:
                raise away from None
            settled = _Settled(None)
        return await _complete(self._serve(asked, caller, settled))

    def error_reply(self, request: Request, error: BaseException) -> Reply | None:
        """The answer to a failed request if it is S3's."""
        return self._gate.error_reply(request, error) if self._gate.is_s3(request) else None

    def _settled_by(self, handler: Handler) -> Handler:
        return lambda ask: self._settled(handler, ask)

    async def _with_keys(self, handler: Handler, ask: S3Ask) -> AnyReply:
        """Where keys of objects are fetched: begin again with one that was. Nothing was read or done before."""
        return await with_keys(lambda: handler(ask))

    async def _settled(self, handler: Handler, ask: S3Ask) -> AnyReply:
        """In a bucket that is getting the objects of another, or has lost one: first the one that is asked for; once
        more when others may have something of what is to be deleted by then.
        """
        while True:
            with suppress(BegunToMove):
                return await self._settled_once(handler, ask)
            if (owner := self._host.placement.owner(ask.uname)).id != self._host.snode.id:
                raise Misplaced(owner)

    async def _settled_once(self, handler: Handler, ask: S3Ask) -> AnyReply:
        """While who owned the object before is away, its slices stand for what he has; that it is not there they cannot
        say. A small object is read where it is.
        """
        if ask.request.op in _READS and ask.version_id is None and is_file(ask.view):
            with suppress(ObjectNotFound):
                return await _complete(handler(ask))
            if (opened := await self._elsewhere.look(ask.view, ask.key)) is not None:
                return await _complete(self._reads.answer(ask, opened))
        try:
            await self._moves.settle(ask.view, ask.key, discard=_discarded_by(ask))
        except EarlierAway as away:
            if not ask.view.is_coded or ask.request.op not in _READS:
                raise
            try:
                return await _complete(handler(ask))
            except NotFound:
                raise away from None
        ask = ask._replace(since=self._store.volume.moves)
        if (upload_id := ask.request.params.get("uploadId")) is not None:
            await self._moving_uploads.settle(ask.view, ask.key, upload_id)
        if ask.request.op in _ON_WHAT_IS_THERE:
            await self._protected.ensure(ask.view, ask.key, ask.version_id)
        return await _complete(handler(ask))

    async def _watched(self, ask: S3Ask, reply: Awaitable[AnyReply]) -> AnyReply:
        try:
            return await reply
        except AisError as error:
            raise self._failed(ask, error) from None

    def _failed(self, ask: S3Ask, error: AisError) -> AisError:
        """Count a failure; say what a delete marker means for this request, and nothing to who may not list."""
        count_error(self._host.stats, ask.request.http.method, error)
        if isinstance(error, ObjectNotFound | VersionNotFound | DeleteMarker):
            try:
                self._gate.require(ask.request, ask.caller, ask.bucket, "s3:ListBucket", "", said=NO_LISTING)
            except S3Error:
                return S3Error("AccessDenied")
        if not isinstance(error, DeleteMarker):
            return error
        lines = {"x-amz-delete-marker": "true", "x-amz-version-id": error.version_id or NULL}
        if ask.version_id is None:
            return S3Error("NoSuchKey", "", lines, Key=ask.key)
        lines["Last-Modified"] = http_date(error.mtime_ns / 1e9)
        return S3Error("MethodNotAllowed", "", lines)

    def _a_proxy(self) -> Snode:
        """Who answers for buckets."""
        primary = self._host.smap.primary
        if primary is None:
            raise NotReady("the cluster has no primary now: try again when it has elected one")
        return primary

    async def _facts_of_whole(self, view: BucketView, asked: S3Request) -> Facts:
        """The same of what is restored for it. Raise as `Protected.open`."""
        version_id = asked.params.get("versionId")
        if not view.is_protected:
            return self._store.head(view.bck, asked.key, version_id).meta.facts
        opened = await self._protected.open(view, asked.key, version_id, streams=True)
        os.close(opened.fd)
        return opened.meta.facts

    def _facts(self, view: BucketView, asked: S3Request, settled: "_Settled | None") -> Facts | None:
        """What is known of the object there is, for policies and lists; raise `_MayExist` when that cannot be told."""
        if settled is not None:
            return settled.facts
        try:
            return self._store.head(view.bck, asked.key, asked.params.get("versionId")).meta.facts
        except NotFound:
            if view.is_protected or self._moves.may_be_elsewhere(view):
                raise _MayExist from None
            return None
        except NotReady:  # its owner is away, and we stand in
            if not view.is_coded or asked.op not in _READS:
                raise
            raise _MayExist from None


class _Settled(NamedTuple):
    """What is known of the object that is asked for, after nothing of it is elsewhere; None: it does not exist."""

    facts: Facts | None


class _MayExist(Exception):
    """An object is not here, and may be with an earlier owner, or lost and restored when it is asked for."""
