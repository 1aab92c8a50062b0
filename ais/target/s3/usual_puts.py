"""PUTs over S3 of small objects into buckets that were written before: the shortest way from a signed request to disk.

What `S3Front` and `Puts` found out for a bucket is used again while buckets, configuration, access keys and cluster map
are the same: only what the owner of a plain bucket without policies and lists asks, or whom a token of AuthN permits
it, and of headers that want nothing besides a content type and a checksum. Who that is, is found out each time
(`Gate.recognize`, `Gate.bearer`). Whatever is unusual, has changed or is wrong is left to `Puts` before anything has
happened, which also answers errors.

A body that did not come with its head (clients wait for `100 Continue`, or send it apart) is collected in memory first.
"""

import hashlib
from collections.abc import Awaitable, Callable
from typing import NamedTuple

from ais.api.access import Access
from ais.base.errors import AisError, NotReady
from ais.core.store import Store
from ais.core.workfile import Buffer, Keeping
from ais.fs.locks import StripeBusy
from ais.fs.mountpath import MountpathStalled
from ais.net.http import AnyReply, Headers, Reply, Request, StreamReply, Upload
from ais.node.s3 import Gate
from ais.s3 import checksums, facts, lock, sigv4
from ais.s3.buckets import S3Bucket
from ais.s3.claims import NAMES as CLAIMING
from ais.s3.claims import Claims
from ais.stats import names as metrics
from ais.target.counts import count_error
from ais.target.front import Front
from ais.target.host import Host
from ais.target.maps import Maps
from ais.target.s3.ask import S3Ask
from ais.target.s3.basis import HARMLESS, Basis, may
from ais.target.view import BucketView

BODY_BYTES_MAX = 64 << 10
"""Larger bodies are hashed and written in the mountpath's pool: MD5 alone takes 80 us for so much."""
_BUCKETS_MAX = 1024
_KEY_CHARS_MAX = 256
"""Of longer ones it has to be asked whether they are too long."""
_CLAIMS_MAX = 1024
_PAYLOAD, _TYPE = "x-amz-content-sha256", "content-type"
_HARMLESS = HARMLESS | CLAIMING | {"content-length", "expect", _TYPE}
_QUERIES = ("", "x-id=PutObject")
_UNTOLD = frozenset(("s3",))
"""A bucket of that name is not the first element of its paths."""


_Routed = AnyReply | Awaitable[AnyReply]


class _Entry(NamedTuple):
    bucket: S3Bucket
    view: BucketView


class _Grant(NamedTuple):
    """A usual PUT that its sender may make."""

    basis: tuple[object, ...]
    """While it is the same, the bucket is as it was."""
    entry: _Entry
    key: str
    claims: Claims


class UsualPuts:
    """The buckets that small objects were written into, at most 1024."""

    def __init__(
        self, host: Host, gate: Gate, front: Front, maps: Maps, store: Store, otherwise: Callable[[Request], _Routed]
    ) -> None:
        """`otherwise` answers what is not usual."""
        self._host = host
        self._gate = gate
        self._front = front
        self._store = store
        self._counters = host.stats.values
        self._basis = Basis(host, gate, front, maps)
        self._otherwise = otherwise
        self._buckets: dict[str, _Entry] = {}
        self._claims: dict[tuple[str, ...], Claims | None] = {}
        """By the names of all headers of a request, each sent once."""

    def put(self, request: Request) -> Reply | Upload | None:
        """Store the body of a usual PUT; None, with nothing done: for every other request. Raise `AisError`.

        Where the body has not come with its head, it is asked for if the head is one of a usual PUT.
        """
        body, headers = request.body, request.headers
        size = headers.content_length if body is None else len(body)
        if not size or size > BODY_BYTES_MAX:
            return None
        grant = self._grant(request)
        if grant is None:
            return None
        if body is None:
            return Upload(_LateBody(self, request, grant), is_inline=True, kept=size)
        return self._store_it(request, grant, body)

    def _grant(self, request: Request) -> _Grant | None:
        """What the head of a usual PUT asks for, if that is permitted here. Raise `S3Error`."""
        path, headers = request.path, request.headers
        end = path.find("/", 1)
        entry = self._buckets.get(path[1:end])
        if entry is None or end < 0 or not self._basis.is_now():
            return None
        key = path[end + 1 :]
        if not key or "%" in path or len(key) > _KEY_CHARS_MAX:
            return None
        claims = self._claims.get(headers.names) or self._claims_of(headers)
        if claims is None or not headers.is_single:
            return None
        if self._basis.bearer(request, entry.bucket, Access.PUT, _QUERIES) is None:
            caller = self._basis.caller(request, _QUERIES)
            if caller is None or not may(caller, entry.bucket):
                return None
        if not self._basis.is_for_here(request, entry.bucket):
            return None
        if self._host.placement.owner(entry.view.uname + key).id != self._host.snode.id:
            return None
        return _Grant(self._basis.now, entry, key, claims)

    def _store_it(self, request: Request, grant: _Grant, body: Buffer) -> Reply | None:
        """None: anything is not as the client claims, or it takes a while."""
        headers, claims, view = request.headers, grant.claims, grant.entry.view
        if not _is_as_signed(headers.get(_PAYLOAD), body):
            return None
        md5 = hashlib.md5(body, usedforsecurity=False).digest()
        value = checksums.encode(claims.algorithm.new(body).digest())
        if not claims.are_true(headers, md5, value):
            return None
        etag, content_type = md5.hex(), headers.get(_TYPE)
        given = {"etag": etag} if content_type is None else {_TYPE: content_type, "etag": etag}
        kept = facts.with_checksum(given, claims.algorithm, value, checksums.FULL_OBJECT)
        try:
            meta = self._store.put(view.bck, grant.key, view.rules, body, kept)
        except (StripeBusy, MountpathStalled):
            return None
        except AisError as error:
            self.failed(error)
            raise
        self._counters[metrics.PUT_N] += 1
        self._counters[metrics.PUT_SIZE] += meta.size
        lines = facts.checksum_text(claims.header, value, checksums.FULL_OBJECT)
        return Reply(200, self._gate.new_stamp() + f'ETag: "{etag}"\r\n{lines}'.encode())

    def finish(self, request: Request, grant: _Grant, body: Buffer) -> Reply | Awaitable[Reply | StreamReply]:
        """The body has come: store it, the short way if what was granted still is. Raise `AisError`."""
        if grant.basis is self._basis.now and self._basis.is_now():
            stored = self._store_it(request, grant, body)
            if stored is not None:
                return stored
        return self._finish_slowly(request, body)

    async def _finish_slowly(self, request: Request, body: Buffer) -> Reply | StreamReply:
        reply = self._otherwise(request)
        if isinstance(reply, Awaitable):
            reply = await reply
        if isinstance(reply, Reply):
            return reply
        if not isinstance(reply, Upload):
            raise NotReady("the object belongs to another target since a moment ago: try again")
        sink = reply.sink
        try:
            writing = sink.write(memoryview(body))
            if writing is not None:
                await writing
        except BaseException:
            sink.abort()
            raise
        finished = sink.finish()
        return await finished if isinstance(finished, Awaitable) else finished

    def failed(self, error: AisError | None) -> None:
        """Count a PUT that stored nothing; None: the client went away."""
        count_error(self._host.stats, "PUT", error)

    def remember(self, ask: S3Ask) -> None:
        """A PUT of a whole object is about to be stored."""
        bucket, view, name = ask.bucket, ask.view, ask.bucket.name
        if (
            not self._basis.is_simple(bucket, view)
            or view is not self._front.views.get(view.bck)  # its objects began to move while this one waited
            or not view.takes_puts
            or view.rules.keeping is not Keeping.NONE
            or view.rules.event is not None
            or view.rules.fsync
            or view.ack
            or bucket.s3.lifecycle
            or lock.DOCUMENT in bucket.s3.documents
            or name in _UNTOLD
            or not ask.request.http.path.startswith(f"/{name}/")
        ):
            return
        if len(self._buckets) >= _BUCKETS_MAX or not self._basis.is_now():
            self._buckets.clear()
            self._basis.renew()
        self._buckets[name] = _Entry(bucket, view)

    def _claims_of(self, headers: Headers) -> Claims | None:
        """What may be claimed with such headers; None when they ask for something unusual."""
        names = headers.names
        if not _HARMLESS.issuperset(names):
            return None
        if len(self._claims) >= _CLAIMS_MAX:
            self._claims.clear()
        found = self._claims[names] = Claims.of(names)
        return found


class _LateBody:
    """The sink of a usual PUT whose body comes after its head."""

    __slots__ = ("_body", "_grant", "_puts", "_request")

    def __init__(self, puts: UsualPuts, request: Request, grant: _Grant) -> None:
        self._puts = puts
        self._request = request
        self._grant = grant
        self._body = b""

    def write(self, data: memoryview) -> None:
        """Keep the next bytes: mostly they are all there are."""
        self._body += data

    def finish(self) -> Reply | Awaitable[Reply | StreamReply]:
        """Store them."""
        return self._puts.finish(self._request, self._grant, self._body)

    def abort(self) -> None:
        """Nothing was stored."""
        self._puts.failed(None)


def _is_as_signed(payload: str | None, body: Buffer) -> bool:
    return payload is None or payload == sigv4.UNSIGNED or hashlib.sha256(body).hexdigest() == payload
