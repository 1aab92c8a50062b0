"""Brings versions to the buckets that they are replicated to: what journals note, read where it is, sent in order.

What is sent is the version as it is now, not as it was when the change was noted: a version that is gone by now is not
sent, and one that got there already is not sent again. Versions of one key go one after the other. At the destination
each has its own ID, which says where among the versions of its key it belongs, so whatever comes twice or late changes
nothing (`ais.target.s3.replicas`).
"""

import asyncio
import base64
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import NamedTuple
from urllib.parse import quote

import google_crc32c
import structlog

from ais.api import codec, errors, headers
from ais.api.replication import REPLICAS
from ais.base.errors import AisError, IntegrityError, NotFound, NotReady, Unreachable
from ais.core import replicas, sealing
from ais.core.meta import ObjectMeta, run_lengths
from ais.env.network import Answer
from ais.meta.smap import Snode
from ais.net.client import Incoming, PeerClient
from ais.node.replica_clusters import ReplicaClusters
from ais.node.s3 import Gate
from ais.s3 import encryption, replication
from ais.s3.buckets import S3Bucket
from ais.s3.errors import S3Error, decode
from ais.s3.replication import Destination, Replica, Rule
from ais.target.events.journal import Entry, Noted
from ais.target.host import Host
from ais.target.s3.peers import read_meta
from ais.target.s3.replicas import Outcome

KEYS_AT_ONCE = 8
"""Of one sender."""
WAIT_S, WAIT_S_MAX = 0.5, 30.0
"""Between attempts, twice as long each time."""
READS_MAX = 10
"""Attempts to read a version that its owner has and cannot read."""
TIMEOUT_S = 60.0
CHUNK_BYTES = 256 << 10
ERROR_BYTES_MAX = 64 << 10
_MARKED = "s3:ObjectRemoved:DeleteMarkerCreated"
_TRAILER = "x-amz-checksum-crc32c"
_OF_THE_VERSION = frozenset(
    (
        *("EntityTooLarge", "InvalidArgument", "InvalidRequest", "InvalidTag", "KMS.DisabledException"),
        *("KMS.NotFoundException", "KeyTooLongError", "MetadataTooLarge"),
    )
)
"""Refusals that the next version need not get: whatever else is refused is tried again."""


class Unreadable(AisError):
    """The owner of a version has it and cannot read it, or what it reads is not what was written."""


class Replicas:
    """The destinations of this cluster's buckets. One per target."""

    def __init__(self, host: Host, gate: Gate, peers: PeerClient) -> None:
        self._host = host
        self._gate = gate
        self._peers = peers
        self._clusters = ReplicaClusters(host)
        self._clients = PeerClient()
        self._seen: tuple[object, dict[str, Destination]] = (None, {})

    @property
    def destinations(self) -> Mapping[str, Destination]:
        """All of them, by the names that journals have for them."""
        bmd = self._host.bmd
        if self._seen[0] is not bmd:
            with_rules = (one.bck.name for one in bmd if replication.DOCUMENT in one.props.of_s3.documents)
            found = [bucket for name in with_rules if (bucket := self._gate.buckets.get(name)) is not None]
            rules = [rule for bucket in found for rule in bucket.replication]
            self._seen = (bmd, {rule.destination.name: rule.destination for rule in rules})
        return self._seen[1]

    @property
    def addresses(self) -> Mapping[str, str]:
        """Where each is, by the same names."""
        found = self.destinations.items()
        return {name: f"{one.arn} {self._clusters.address(one.cluster)}" for name, one in found}

    def delivery(self, destination: Destination) -> "Replicating":
        """What brings versions there."""
        return Replicating(self._host, self._gate, self._peers, self._clients, self._clusters, destination)

    async def close(self) -> None:
        """Close all connections."""
        await self._clients.close()


class _Source(NamedTuple):
    meta: ObjectMeta
    mtime_ns: int
    chunks: AsyncIterator[bytes]


class Replicating:
    """The way to one destination (`ais.target.events.sender.Delivery`)."""

    def __init__(
        self,
        host: Host,
        gate: Gate,
        peers: PeerClient,
        clients: PeerClient,
        clusters: ReplicaClusters,
        destination: Destination,
    ) -> None:
        self._host = host
        self._gate = gate
        self._peers = peers
        self._clients = clients
        self._clusters = clusters
        self._turns = asyncio.Semaphore(KEYS_AT_ONCE)
        self.destination = destination
        self.why = ""
        """What the destination said that takes nothing now."""
        self._log = structlog.get_logger()

    async def deliver(self, found: Sequence[Noted]) -> None:
        """See `Delivery`."""
        by_key: defaultdict[tuple[str, str], list[Entry]] = defaultdict(list)
        for one in found:
            by_key[one.entry.bucket, one.entry.key].append(one.entry)
        async with asyncio.TaskGroup() as group:
            for entries in by_key.values():
                group.create_task(self._in_order(entries))

    async def _in_order(self, entries: Sequence[Entry]) -> None:
        async with self._turns:
            for entry in entries:
                await self._until_there(entry)

    async def _until_there(self, entry: Entry) -> None:
        """Send one change until the destination has it, or refuses it for good."""
        wait_s, reads = WAIT_S, 0
        while (bucket := self._bucket(entry)) is not None:
            try:
                if entry.event == _MARKED:
                    await self._send_marker(bucket, entry)
                else:
                    await self._send_version(bucket, entry, gives_up=reads >= READS_MAX)
            except Unreadable as error:
                reads += 1
                why = str(error)
            except (AisError, OSError) as error:
                why = str(error) or type(error).__name__
            else:
                self._taken()
                return
            self._refused(why)
            await self._host.env.clock.sleep(wait_s)
            wait_s = min(2 * wait_s, WAIT_S_MAX)

    def _refused(self, why: str) -> None:
        before, self.why = self.why, why
        if not before:
            self._log.warning(
                "replicas wait: a destination does not take them", destination=self.destination.arn, error=why
            )

    def _taken(self) -> None:
        if self.why:
            self.why = ""
            self._log.info("a destination takes replicas again", destination=self.destination.arn)

    def _bucket(self, entry: Entry) -> S3Bucket | None:
        """The bucket of a change, if it is still there and has this destination."""
        bucket = self._gate.buckets.get(entry.bucket)
        if bucket is None or bucket.bucket.bid != entry.bid:
            return None
        return bucket if any(rule.destination == self.destination for rule in bucket.replication) else None

    def _rule(self, bucket: S3Bucket, key: str, meta: ObjectMeta) -> Rule:
        """The rule for a version; when none wants it any more, the first for the destination."""
        found = replication.matching(bucket.replication, key, meta.facts).get(self.destination.name)
        return found or next(rule for rule in bucket.replication if rule.destination == self.destination)

    def _rule_of_marker(self, bucket: S3Bucket, key: str) -> Rule:
        """The same for a delete marker, which has no tags."""
        own = [rule for rule in bucket.replication if rule.destination == self.destination]
        return next((rule for rule in own if rule.wants(key, {})), own[0])

    async def _send_marker(self, bucket: S3Bucket, entry: Entry) -> None:
        async with self._open(bucket, entry, "HEAD") as answer:
            is_there = answer.status == 405
            if not is_there and answer.status not in (404, 410):
                await _raise(answer)
        if is_there:
            rule = self._rule_of_marker(bucket, entry.key)
            lines = _addressed(rule, Replica(entry.version_id, 0, entry.time_ns))
            _require_done(await self._ask(bucket, entry, "DELETE", lines), entry.version_id)

    async def _send_version(self, bucket: S3Bucket, entry: Entry, *, gives_up: bool) -> None:
        """Send a version as it is, and have its owner keep what came of it. `gives_up`: it cannot be read."""
        async with self._source(bucket, entry, "HEAD" if entry.is_update or gives_up else "GET") as source:
            if source is None or self.destination.name not in replicas.waiting(source.meta.facts):
                return
            is_there = False
            if gives_up:
                self._failed(entry, "it cannot be read")
            else:
                try:
                    await self._bring(bucket, entry, source)
                    is_there = True
                except S3Error as error:
                    if error.code not in _OF_THE_VERSION:
                        raise
                    self._failed(entry, f"{error.code}: {error}")
            revision = replicas.revision(source.meta.facts)
        await self._report(bucket, entry, revision, is_there=is_there)

    async def _bring(self, bucket: S3Bucket, entry: Entry, source: _Source) -> None:
        rule = self._rule(bucket, entry.key, source.meta)
        lines, size = _lines(rule, source), sealing.size_of(source.meta)
        if entry.is_update:
            answer = await self._ask(bucket, entry, "POST", lines)
            if answer.status != 404 or decode(answer.status, answer.body).code == "NoSuchBucket":
                _require_done(answer, entry.version_id)
                return
            async with self._source(bucket, entry, "GET") as whole:
                if whole is None:
                    raise NotFound("the version was removed meanwhile")
                answer = await self._put(bucket, entry, _lines(rule, whole), whole.chunks, size)
        else:
            answer = await self._put(bucket, entry, lines, source.chunks, size)
        _require_done(answer, entry.version_id)

    def _failed(self, entry: Entry, why: str) -> None:
        self._log.error(
            "a version was not replicated: ais start replicate-existing tries again",
            destination=self.destination.arn, bucket=entry.bucket, key=entry.key, version=entry.version_id, error=why,
        )  # fmt: skip

    @asynccontextmanager
    async def _source(self, bucket: S3Bucket, entry: Entry, method: str) -> AsyncIterator[_Source | None]:
        """A version as its owner has it; None when it is gone."""
        async with self._open(bucket, entry, method) as answer:
            if answer.status in (404, 405, 410):
                yield None
                return
            if answer.status != 200:
                await _raise(answer)
            found = read_meta(answer.headers)
            yield _Source(found.meta, found.mtime_ns, _read(answer.chunks))

    @asynccontextmanager
    async def _open(self, bucket: S3Bucket, entry: Entry, method: str) -> AsyncIterator[Incoming]:
        owner = self._gate.reader(bucket.bucket, entry.key, "GET")
        target = f"/s3/{bucket.name}/{quote(entry.key, safe='/')}?versionId={entry.version_id}"
        name, value = self._gate.vouch_for_owner(bucket.s3.owner, owner, method, target, is_permitted=True)
        async with self._peers.open_stream(
            method, owner.data.url + target, headers={name: value}, timeout_s=TIMEOUT_S
        ) as answer:
            yield answer

    async def _ask(self, bucket: S3Bucket, entry: Entry, method: str, lines: dict[str, str]) -> Answer:
        client, url, sent = self._request(bucket, entry, method, lines)
        return await client.call(method, url, headers=sent, timeout_s=TIMEOUT_S)

    async def _put(
        self, bucket: S3Bucket, entry: Entry, lines: dict[str, str], chunks: AsyncIterator[bytes], size: int
    ) -> Answer:
        lines = {
            **lines,
            "x-amz-content-sha256": "STREAMING-UNSIGNED-PAYLOAD-TRAILER",
            "x-amz-decoded-content-length": str(size),
            "x-amz-trailer": _TRAILER,
        }
        client, url, sent = self._request(bucket, entry, "PUT", lines)
        sent = {**sent, "Content-Length": str(_framed_size(size))}
        return await client.send_stream(url, headers=sent, chunks=_framed(chunks, size), timeout_s=TIMEOUT_S)

    def _request(
        self, bucket: S3Bucket, entry: Entry, method: str, lines: dict[str, str]
    ) -> tuple[PeerClient, str, dict[str, str]]:
        """Who sends a request to the destination, its URL and header lines. Raise `NotReady`."""
        target = f"/s3/{self.destination.bucket}/{quote(entry.key, safe='/')}?ais-replica="
        if self.destination.cluster:
            return self._clients, *self._clusters.request(self.destination.cluster, method, target, lines)
        there = self._gate.buckets.get(self.destination.bucket)
        if there is None:
            raise NotReady(f"there is no bucket {self.destination.bucket}: create it, with versioning enabled")
        owner = self._gate.owner(there.bucket.uname, entry.key)
        is_permitted = there.s3.owner == bucket.s3.owner
        name, value = self._gate.vouch_for_owner(bucket.s3.owner, owner, method, target, is_permitted=is_permitted)
        return self._peers, owner.data.url + target, {**lines, name: value}

    async def _report(self, bucket: S3Bucket, entry: Entry, revision: int, *, is_there: bool) -> None:
        """Have the owner of a version keep what came of it. Raise `AisError`."""
        outcome = Outcome(
            bucket.bck, int(bucket.bucket.bid), entry.key, entry.version_id, self.destination.name, revision, is_there
        )
        owner: Snode = self._gate.owner(bucket.bucket.uname, entry.key)
        answer = await self._peers.call(
            "POST",
            owner.control.url + REPLICAS,
            headers={headers.CALLER_ID: self._host.snode.id},
            body=codec.to_msgpack([outcome]),
            timeout_s=TIMEOUT_S,
        )
        if answer.status != 200:
            raise errors.decode_error(answer.status, answer.body, owner.control.url)


def _lines(rule: Rule, source: _Source) -> dict[str, str]:
    """The header lines that bring a version, by lower-case names."""
    meta = source.meta
    runs = run_lengths(sealing.part_sizes(meta)) if meta.runs else ()
    found = _addressed(rule, Replica.of(meta, source.mtime_ns, runs, rule))
    kind = meta.facts.get(sealing.ALGORITHM)
    if kind is not None:
        found["x-amz-server-side-encryption"] = kind
    if kind == encryption.KMS and rule.kms_key:
        found["x-amz-server-side-encryption-aws-kms-key-id"] = rule.kms_key
    return found


def _addressed(rule: Rule, replica: Replica) -> dict[str, str]:
    """What is brought, and who must own the bucket that it comes to."""
    found = {replication.HEADER.lower(): replica.header()}
    return {**found, "x-amz-expected-bucket-owner": rule.account} if rule.account else found


def _require_done(answer: Answer, version_id: str) -> None:
    """Raise `S3Error` unless the destination took a version and gave it its own ID."""
    if answer.status not in (200, 204):
        error = decode(answer.status, answer.body)
        raise Unreadable(str(error)) if error.code == "BadDigest" else error
    if answer.headers.get("x-amz-version-id") != version_id:
        raise NotReady("the destination keeps no version IDs of others: it must be a cluster of this kind")


async def _raise(answer: Incoming) -> None:
    body = b"".join([chunk async for chunk in answer.chunks])[:ERROR_BYTES_MAX]
    if answer.status == 500:
        raise Unreadable(f"the owner of a version cannot read it: {decode(answer.status, body)}")
    raise decode(answer.status, body)


async def _read(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    try:
        async for chunk in chunks:
            yield chunk
    except Unreachable as error:
        raise Unreadable(str(error)) from None


def _framed_size(size: int) -> int:
    """Bytes of `_framed`."""
    whole, rest = divmod(size, CHUNK_BYTES)
    frames = whole * (len(f"{CHUNK_BYTES:x}") + 4 + CHUNK_BYTES) + (len(f"{rest:x}") + 4 + rest if rest else 0)
    return frames + len(_end(0))


def _end(crc: int) -> bytes:
    return f"0\r\n{_TRAILER}:{base64.b64encode(crc.to_bytes(4, 'big')).decode()}\r\n\r\n".encode()


async def _framed(chunks: AsyncIterator[bytes], size: int) -> AsyncIterator[bytes]:
    """Content as `aws-chunked`, with a checksum behind it. Raise `IntegrityError` when it is not as long as it was."""
    pending, crc, left = bytearray(), 0, size
    async for chunk in chunks:
        crc, left = google_crc32c.extend(crc, chunk), left - len(chunk)
        pending += chunk
        while len(pending) >= CHUNK_BYTES:
            yield b"%x\r\n%b\r\n" % (CHUNK_BYTES, bytes(pending[:CHUNK_BYTES]))
            del pending[:CHUNK_BYTES]
    if left:
        raise IntegrityError("a version is not as long as its metadata says")
    if pending:
        yield b"%x\r\n%b\r\n" % (len(pending), bytes(pending))
    yield _end(crc)
