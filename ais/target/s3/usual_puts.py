"""PUTs over S3 of small objects into buckets that were written before: the shortest way from a signed request to disk.

What `S3Front` and `Puts` found out for a bucket is used again while buckets, configuration, access keys and cluster map
are the same: only what the owner of a plain bucket without policies and lists asks, or whom a token of AuthN permits
it, and of headers that want nothing besides a content type and a checksum. Who that is, is found out each time
(`Gate.recognize`, `Gate.bearer`). Whatever is unusual, has changed or is wrong is left to `Puts` before anything has
happened, which also answers errors.

A body that did not come with its head (clients wait for `100 Continue`, or send it apart) is collected in memory first.
"""

import hashlib
import re
from collections.abc import Awaitable, Callable
from typing import NamedTuple

from ais.api.access import Access
from ais.base.errors import AisError, NotReady
from ais.core.store import Store
from ais.core.workfile import Buffer, Keeping
from ais.fs.locks import StripeBusy
from ais.fs.mountpath import MountpathStalled
from ais.net.http import AnyReply, Reply, Request, StreamReply, Upload
from ais.node.s3 import Gate
from ais.s3 import checksums, facts, lock, sigv4
from ais.s3.buckets import S3Bucket
from ais.s3.checksums import Algorithm
from ais.s3.errors import S3Error
from ais.s3.payload import DEFAULT
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
_MD5, _PAYLOAD, _TYPE, _NAMED = "content-md5", "x-amz-content-sha256", "content-type", "x-amz-sdk-checksum-algorithm"
_CLAIMS = frozenset((_MD5, _NAMED, *(one.header for one in checksums.ALGORITHMS.values())))
_HARMLESS = HARMLESS | _CLAIMS | {"content-length", "expect", _TYPE}
_QUERIES = ("", "x-id=PutObject")
_SHA256 = re.compile(r"[0-9a-f]{64}")
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
        if not _HARMLESS.issuperset(headers.names) or not headers.is_single:
            return None
        if self._basis.bearer(request, entry.bucket, Access.PUT, _QUERIES) is None:
            caller = self._basis.caller(request, _QUERIES)
            if caller is None or not may(caller, entry.bucket):
                return None
        if not self._basis.is_for_here(request, entry.bucket):
            return None
        if self._host.placement.owner(entry.view.uname + key).id != self._host.snode.id:
            return None
        return _Grant(self._basis.now, entry, key)

    def _store_it(self, request: Request, grant: _Grant, body: Buffer) -> Reply | None:
        if not self._is_as_signed(request.headers.get(_PAYLOAD), body):
            return None
        kept, view = self._facts(request, body), grant.entry.view
        if kept is None:
            return None
        try:
            meta = self._store.put(view.bck, grant.key, view.rules, body, kept)
        except (StripeBusy, MountpathStalled):
            return None
        except AisError as error:
            self.failed(error)
            raise
        self._counters[metrics.PUT_N] += 1
        self._counters[metrics.PUT_SIZE] += meta.size
        lines = "".join([f"{name}: {value}\r\n" for name, value in facts.checksum_lines(kept)])
        return Reply(200, self._gate.new_stamp() + f'ETag: "{kept["etag"]}"\r\n{lines}'.encode())

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

    @staticmethod
    def _is_as_signed(payload: str | None, body: Buffer) -> bool:
        if payload is None or payload == sigv4.UNSIGNED:
            return True
        return _SHA256.fullmatch(payload) is not None and hashlib.sha256(body).hexdigest() == payload

    @staticmethod
    def _facts(request: Request, body: Buffer) -> facts.Facts | None:
        """What is kept of the content and its type; None when anything is not as the client claims, or not told yet."""
        headers = request.headers
        md5, algorithm = hashlib.md5(body, usedforsecurity=False).digest(), DEFAULT
        claimed: str | None = None
        if headers.has_any(_CLAIMS):
            sent = {name: (headers.get(name) or "",) for name in _CLAIMS.intersection(headers.names)}
            try:
                wanted_md5, claim = checksums.read_content_md5(sent), checksums.read_claim(sent)
            except S3Error:
                return None
            if wanted_md5 not in (None, md5):
                return None
            if claim is not None:
                algorithm, claimed = claim
                if claimed is None:
                    return None
        digest = _digest(algorithm, body)
        if claimed not in (None, checksums.encode(digest)):
            return None
        content_type = headers.get(_TYPE)
        given = {} if content_type is None else {_TYPE: content_type}
        return facts.of_content(given, md5, algorithm, digest)


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


def _digest(algorithm: Algorithm, body: Buffer) -> bytes:
    hasher = algorithm.new()
    hasher.update(body)
    return hasher.digest()
