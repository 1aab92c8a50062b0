"""Versions of buckets that are replicated here, and what the owner of a version hears of its replicas.

A replica keeps the ID of its version, which says where among the versions of its key it belongs: whatever comes late,
or twice, ends in the same state. Its revision says which of two states of its metadata is the later one.
"""

import contextlib

import msgspec
from aiohttp import web

from ais.api import codec
from ais.api.bucket import Bck
from ais.api.replication import REPLICAS
from ais.base.errors import AlreadyExists, BucketNotFound, NotFound
from ais.core import holds, replicas, sealing
from ais.core.meta import ObjectMeta, run_lengths
from ais.core.publish import Condition
from ais.core.store import Store
from ais.core.workfile import WriteRules
from ais.fs.volume import Volume
from ais.net.http import Reply, Upload
from ais.s3 import lock, new_object
from ais.s3.errors import S3Error
from ais.s3.facts import Facts
from ais.s3.payload import Content, Payload
from ais.s3.replication import HEADER, Replica
from ais.stats import names as metrics
from ais.stats.tracker import Tracker
from ais.target.front import Front
from ais.target.moves import Moves
from ais.target.protected import Protected
from ais.target.s3.ask import S3Ask
from ais.target.s3.receiving import ObjectBody, Receipt, stored_answer
from ais.target.sealed import ObjectWriter, SealedParts
from ais.target.uploads import in_pool, upload


class Outcome(msgspec.Struct, frozen=True, array_like=True):
    """What came of sending one revision of a version to a destination; targets `POST` lists of them (msgpack)."""

    bck: Bck
    bid: int
    key: str
    version_id: str
    destination: str
    revision: int
    is_there: bool


class ReplicaObjects:
    """One per target."""

    def __init__(
        self, front: Front, store: Store, volume: Volume, moves: Moves, protected: Protected, stats: Tracker
    ) -> None:
        self._front = front
        self._store = store
        self._volume = volume
        self._moves = moves
        self._protected = protected
        self._stats = stats

    def routes(self) -> list[web.RouteDef]:
        """For other targets, on the control network."""
        return [web.post(REPLICAS, self._take)]

    def put(self, ask: S3Ask) -> Upload:
        """A version with its content."""
        replica = _read(ask)
        sizes = [size for count, size in replica.runs for _ in range(count)]
        payload = Payload(ask.request, ask.caller)
        seal = ask.seal()
        in_parts = seal if sizes else None
        rules = msgspec.structs.replace(ask.view.rules_for(replica.checksum_kind), event=_rules(ask).event)
        runs = replica.runs if in_parts is None else run_lengths([sealing.sealed_size(size) for size in sizes])
        writer = self._store.writer(
            ask.view.bck,
            ask.key,
            rules,
            custom=replica.custom,
            size_hint=replica.size,
            version=replica.version,
            times_ns=(replica.mtime_ns, replica.mtime_ns),
            runs=runs,
            version_id=replica.version_id,
            facts=in_parts.facts if in_parts is not None else None,
            seal=seal if in_parts is None else None,
        )
        of_parts = {} if in_parts is None else {**in_parts.facts, sealing.SIZE: str(replica.size)}
        given = replicas.arrived({**_default_lock(ask), **replica.facts, **of_parts}, replica.revision)
        into = writer if in_parts is None else SealedParts(writer, in_parts.key, sizes)
        receipt = Receipt(ask, self._front, self._stats, lambda meta: stored_answer(ask, meta))
        body = ReplicaBody(payload, into, given, replica, ask, self._store)
        return upload(receipt, ask.view, body, 0.0, size=payload.length, inline_bytes_max=-1)

    async def change(self, ask: S3Ask) -> Reply:
        """The metadata of a version that is here. Raise `VersionNotFound` when it is not."""
        replica = _read(ask)
        pool = self._volume.place(ask.uname).pool
        await in_pool(pool, lambda: change(self._store, ask, replica))
        return ask.reply(200, ("x-amz-version-id", replica.version_id))

    async def delete(self, ask: S3Ask) -> Reply:
        """A delete marker."""
        replica, view = _read(ask), ask.view
        pool, rules = self._volume.place(ask.uname).pool, _rules(ask)
        await in_pool(pool, lambda: self._store.delete(view.bck, ask.key, None, rules, version_id=replica.version_id))
        self._stats.inc(metrics.DEL_N)
        return ask.reply(204, ("x-amz-delete-marker", "true"), ("x-amz-version-id", replica.version_id))

    async def _take(self, request: web.Request) -> web.Response:
        for outcome in codec.from_msgpack(await request.read(), list[Outcome]):
            await self._settle(outcome)
        return web.Response()

    async def _settle(self, outcome: Outcome) -> None:
        """Keep what came of a version, unless it is gone. Raise `AisError`."""
        view = self._front.views.require(outcome.bck)
        if view.props.bid != outcome.bid:
            raise BucketNotFound(outcome.bck.cname())
        await self._moves.settle(view, outcome.key)

        def ended(meta: ObjectMeta) -> ObjectMeta:
            kept = replicas.ended(meta.facts, outcome.destination, outcome.revision, is_there=outcome.is_there)
            return msgspec.structs.replace(meta, facts=kept)

        def step() -> None:
            self._store.update(view.bck, outcome.key, ended, outcome.version_id, fsync=view.rules.fsync)

        pool = self._volume.place(view.uname + outcome.key).pool
        try:
            await in_pool(pool, step)
        except NotFound:
            with contextlib.suppress(NotFound):
                if view.is_coded:  # it may be lost, and have slices
                    await self._protected.ensure(view, outcome.key, outcome.version_id)
                    await in_pool(pool, step)


class ReplicaBody(ObjectBody):
    """The body of a version that may be here already: then its metadata counts, if it is later."""

    def __init__(
        self, payload: Payload, writer: ObjectWriter, given: Facts, replica: Replica, ask: S3Ask, store: Store
    ) -> None:
        super().__init__(payload, writer, given)
        self._replica = replica
        self._ask = ask
        self._store = store

    def commit(self, condition: Condition | None = None, wait: bool = True) -> ObjectMeta:
        """See `ObjectBody`."""
        try:
            return super().commit(condition, wait)
        except AlreadyExists:
            return change(self._store, self._ask, self._replica)

    def _described(self, content: Content) -> Facts:
        """What its source says of it. Raise `S3Error` BadDigest when that is not what came."""
        etag = self._replica.facts.get("etag", "")
        if content.size != self._replica.size or (len(etag) == 32 and etag != content.md5.hex()):
            raise S3Error("BadDigest", "The content of a replica is not what its source stored")
        return self._given


def change(store: Store, ask: S3Ask, replica: Replica) -> ObjectMeta:
    """Give a replica the metadata its source has, unless it has later ones. Blocks.

    Raise `VersionNotFound`, `S3Error` InvalidRequest when the version did not come from another bucket.
    """

    def changed(meta: ObjectMeta) -> ObjectMeta:
        if not replicas.is_replica(meta.facts):
            raise S3Error("InvalidRequest", "The version is this bucket's own, and no replica")
        if replicas.revision(meta.facts) >= replica.revision:
            return meta
        kept = _held(meta.facts, replica.over(meta.facts), ask.gate.sure_s)
        return msgspec.structs.replace(meta, facts=kept, custom=replica.custom)

    rules = _rules(ask)
    return store.update(ask.view.bck, ask.key, changed, replica.version_id, fsync=rules.fsync, event=rules.event)


def _held(present: Facts, wanted: Facts, sure_s: float) -> Facts:
    """A retention that has not ended is only extended, and a hold stays: who may change them here must do so here."""
    if present.get(holds.LEGAL_HOLD) == holds.ON:
        wanted = {**wanted, holds.LEGAL_HOLD: holds.ON}
    if not holds.is_retained(present, sure_s):
        return wanted
    is_longer = int(wanted.get(holds.UNTIL, "0")) >= int(present[holds.UNTIL])
    if is_longer and (present[holds.MODE] == wanted.get(holds.MODE) or wanted.get(holds.MODE) == holds.COMPLIANCE):
        return wanted
    return {**wanted, holds.MODE: present[holds.MODE], holds.UNTIL: present[holds.UNTIL]}


def _read(ask: S3Ask) -> Replica:
    """What a request brings. Raise `S3Error` when it cannot be kept in this bucket."""
    if ask.view.remote is not None:
        raise S3Error("NotImplemented", "Buckets at a backend take no replicas: replicate to the backend's bucket")
    if ask.bucket.s3.versioning != "Enabled":
        raise S3Error("InvalidBucketState", "Versioning must be 'Enabled' on the bucket that replicas come to")
    replica = Replica.read(ask.request.header(HEADER.lower()), int(ask.gate.now_s * 1e9))
    kept = replica.facts
    is_held = holds.MODE in kept or holds.UNTIL in kept or holds.LEGAL_HOLD in kept
    if is_held and lock.DOCUMENT not in ask.bucket.s3.documents:
        raise S3Error("InvalidRequest", "Bucket is missing Object Lock Configuration")
    until = kept.get(holds.UNTIL, "0")
    is_sound = (holds.MODE in kept) == (holds.UNTIL in kept) and until.isascii() and until.isdigit() and len(until) < 12
    if not is_sound or kept.get(holds.MODE, holds.GOVERNANCE) not in holds.MODES:
        raise S3Error("InvalidArgument", f"{HEADER} describes a retention that cannot be")
    return msgspec.structs.replace(replica, facts=_with_list(ask, kept))


def _with_list(ask: S3Ask, kept: Facts) -> Facts:
    """The facts with the owner and the list that objects of this bucket may have."""
    if not ask.bucket.uses_acls:
        return {name: value for name, value in kept.items() if name not in (new_object.OWNER, new_object.ACL)}
    blocks = (ask.bucket.s3.public_access_block or {}).get("BlockPublicAcls")
    if blocks and new_object.acl_of(kept, ask.bucket).is_public:
        return {name: value for name, value in kept.items() if name != new_object.ACL}
    return kept


def _rules(ask: S3Ask) -> WriteRules:
    rules = ask.rules("Put")
    event = rules.event
    return rules if event is None else msgspec.structs.replace(rules, event=event._replace(is_replica=True))


def _default_lock(ask: S3Ask) -> Facts:
    """The retention of a version that brings none."""
    document = ask.bucket.s3.documents.get(lock.DOCUMENT, "")
    return lock.default_of(document, ask.gate.now_s) if document else {}
