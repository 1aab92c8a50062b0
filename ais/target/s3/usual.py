"""GETs over S3 of objects that were read before: the shortest way from a signed request to bytes.

What `S3Front` and `Store` found out for a path is used again while buckets, configuration, access keys, cluster map and
mountpaths are the same and the file is the one that was read. Only what the owner of a bucket asks is answered here, or
whom a token of AuthN permits it, whole objects in plain buckets without policies or lists: who that is, is found out
each time (`Gate.recognize`, `Gate.bearer`). Objects that are read often are kept as well, as `ais.target.recent` keeps
them. Whatever is unusual or has changed is left to `Reads`, which also answers errors.
"""

import os
from functools import partial
from typing import NamedTuple

import msgspec

from ais.api.access import Access
from ais.base.errors import AisError
from ais.base.seen import Seen
from ais.core.spots import Spot
from ais.core.store import OpenObject, Store
from ais.net.http import Again, FileReply, Reply, Request
from ais.node.s3 import Gate
from ais.s3.buckets import S3Bucket
from ais.s3.identity import Identity
from ais.s3.sigv4 import SKEW_S_MAX, Signature
from ais.s3.via import WINDOW_S
from ais.stats import names as metrics
from ais.target.front import Front
from ais.target.host import Host
from ais.target.maps import Maps
from ais.target.recent import CONTENT_BYTES_MAX, ENTRIES_MAX, SEEN_MAX, Content, Contents, read_now
from ais.target.s3.ask import S3Ask
from ais.target.s3.basis import HARMLESS, VIA, Basis, may

_MODE = "x-amz-checksum-mode"
_HARMLESS = HARMLESS | {_MODE}
"""What may be sent with a GET and asks for nothing but the object, or for its checksum."""
_QUERIES = ("", "x-id=GetObject")
_WITH_CHECKSUM = "\n"
"""Behind a path: the same with the checksum in the answer."""


class Annotation(NamedTuple):
    """What answers say about a version of a file (`Known.s3_annotation`)."""

    bucket: S3Bucket
    lines: bytes
    checksum: bytes | None
    """Its lines; None when the file is not the content."""


class _Entry(msgspec.Struct, frozen=True, gc=False):
    spot: Spot
    bucket: S3Bucket


class Usual:
    """Where the objects of recent GETs are, at most 32768, and up to 32 MiB of small ones that are read often."""

    def __init__(self, host: Host, gate: Gate, front: Front, maps: Maps, store: Store) -> None:
        self._gate = gate
        self._store = store
        self._counters = host.stats.values
        self._now_ns = host.env.clock.now_ns
        self._basis = Basis(host, gate, front, maps)
        self._entries: dict[str, _Entry] = {}
        self._kept = Contents()
        self._contents = self._kept.by_key
        self._seen = Seen(SEEN_MAX)
        self._repeat, self._answer_again = self._repeater, self._again

    def get(self, request: Request) -> Reply | FileReply | None:
        """The answer to the usual GET of an unchanged object; None for every other request. Raise `S3Error`."""
        key = request.path
        entry = self._entries.get(key)
        if entry is None or not self._basis.is_now():
            return None
        headers = request.headers
        if not _HARMLESS.issuperset(headers.names):
            return None
        if self._basis.bearer(request, entry.bucket, Access.GET, _QUERIES) is None:
            caller = self._basis.caller(request, _QUERIES)
            if caller is None or not may(caller, entry.bucket):
                return None
        if not self._basis.is_for_here(request, entry.bucket):
            return None
        if _MODE in headers:
            if (headers.get(_MODE) or "").upper() != "ENABLED":
                return None
            key += _WITH_CHECKSUM
        content, now_ns = self._contents.get(key), self._now_ns()
        if content is not None and content.is_true(now_ns):
            self._count(len(content.data))
            return Reply(200, self._gate.new_stamp() + content.headers, content.data, repeat=self._repeat)
        return self._from_file(key, entry, now_ns, has_checksum=_MODE in headers)

    def remember(self, ask: S3Ask, opened: OpenObject) -> None:
        """A GET was answered from there."""
        bucket, http = ask.bucket, ask.request.http
        if opened.known is None or ask.version_id is not None or not self._basis.is_simple(bucket, ask.view):
            return
        if len(self._entries) >= ENTRIES_MAX or not self._basis.is_now():
            self._forget()
        self._entries[http.path] = _Entry(opened.spot, bucket)

    def _forget(self) -> None:
        self._entries.clear()
        self._kept.clear()
        self._basis.renew()

    def _from_file(self, key: str, entry: _Entry, now_ns: int, *, has_checksum: bool) -> Reply | FileReply | None:
        spot = entry.spot
        turn = self._store.turn(spot)
        reopened = self._store.reopen(spot)
        if reopened is None:
            return None
        fd, found, known = reopened
        said: Annotation | None = known.s3_annotation
        if said is None or said.bucket is not entry.bucket or said.checksum is None:
            os.close(fd)
            return None
        size = found.st_size
        lines = said.lines + said.checksum if has_checksum else said.lines
        is_worth_keeping = (
            size <= CONTENT_BYTES_MAX and self._seen.again(key) and self._kept.has_room(key, size, now_ns)
        )
        data = read_now(fd, size) if is_worth_keeping else None
        self._count(size)
        stamped = self._gate.new_stamp() + lines
        if data is None:
            return FileReply(200, stamped, fd, 0, size, spot.mountpath.pool)
        os.close(fd)
        self._kept.keep(key, Content(self._store, spot, turn, known, lines, data, now_ns))
        return Reply(200, stamped, data)

    def _count(self, size_bytes: int) -> None:
        counters = self._counters
        counters[metrics.GET_N] += 1
        counters[metrics.GET_SIZE] += size_bytes

    def _repeater(self, request: Request) -> Again | None:
        """Gives the object from memory while it and all else is the same, and the signature, session, token is good."""
        entry = self._entries.get(request.path)
        if entry is None or not self._basis.is_now():
            return None
        begin_ns, end_ns = 0, 1 << 63
        claims = self._basis.bearer(request, entry.bucket, Access.GET, _QUERIES)
        caller = self._basis.caller(request, _QUERIES) if claims is None else Identity(trusted=True)
        if caller is None:
            return None
        if not caller.trusted:
            signature = caller.signature
            assert isinstance(signature, Signature)
            good_s = SKEW_S_MAX if signature.expires_s is None else signature.expires_s
            begin_ns = int((signature.time_s - SKEW_S_MAX) * 1e9)
            end_ns = int((signature.time_s + good_s) * 1e9)
            if caller.session is not None:
                end_ns = min(end_ns, caller.session.expires * 10**9 - 1)
        if VIA in request.headers:
            try:
                note = self._gate.note_of(request)
            except AisError:
                note = None
            if note is None:
                return None
            begin_ns = max(begin_ns, (note.time_s - WINDOW_S) * 10**9)
            end_ns = min(end_ns, (note.time_s + WINDOW_S) * 10**9)
        key = request.path + (_WITH_CHECKSUM if _MODE in request.headers else "")
        again = partial(self._answer_again, self._basis.now, key, begin_ns, end_ns)
        return again if claims is None else self._gate.clients.bound(again, claims)

    def _again(
        self, basis: tuple[object, ...], key: str, begin_ns: int, end_ns: int
    ) -> tuple[int, bytes, bytes] | None:
        content, now_ns = self._contents.get(key), self._now_ns()
        if (
            content is None
            or basis is not self._basis.now
            or not begin_ns <= now_ns <= end_ns
            or not self._basis.is_now()
            or not content.is_true(now_ns)
        ):
            return None
        self._count(len(content.data))
        return 200, self._gate.new_stamp() + content.framed, content.data
