"""Lifecycle rules at work, the part of one target: what is due is deleted, uploads that are due are aborted.

The job (`s3-lifecycle`) walks the versions of every bucket that has rules. `ais.s3.lifecycle` decides what is due; each
deletion happens under the object's lock, and only if the object is still the one that was due.
"""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from functools import partial

import msgspec

from ais.api.bucket import Bck
from ais.api.xact import LIFECYCLE, ArgsMsg
from ais.base.errors import AccessDenied, AlreadyExists, HandleNotFound, NotFound
from ais.base.ids import new_id
from ais.core import sealing
from ais.core.announcing import Event
from ais.core.meta import ObjectMeta
from ais.core.publish import Condition
from ais.core.store import Store
from ais.core.version_listing import VersionEntry, VersionLister
from ais.core.versions import DELETED
from ais.fs.volume import Volume
from ais.node.s3 import Gate
from ais.s3 import facts, lifecycle
from ais.s3.buckets import S3Bucket
from ais.s3.lifecycle import LifecycleRule, Subject
from ais.s3.notifications import EXPIRATION
from ais.target.front import Front
from ais.target.host import Host
from ais.target.moves import Moves
from ais.target.transfer import unchanged
from ais.target.uploads import in_pool
from ais.target.view import BucketView
from ais.xact.pace import Pace
from ais.xact.registry import Registry, Xaction

INTERVAL_S = 3600.0
"""Rules count whole days; an hour later is soon enough."""
_PAGE = 1000


class Lifecycle:
    """Starts the job, on demand and every hour."""

    def __init__(
        self,
        host: Host,
        registry: Registry,
        gate: Gate,
        front: Front,
        volume: Volume,
        store: Store,
        moves: Moves,
        pace: Pace,
    ) -> None:
        self._host = host
        self._clock = host.env.clock
        self._registry = registry
        self._gate = gate
        self._pace = pace
        self._front = front
        self._volume = volume
        self._store = store
        self._moves = moves
        self._lister = VersionLister(volume, host.env)

    def start(self, args: ArgsMsg) -> Xaction:
        """Look at the bucket named, or at all that have rules."""
        only = args.bck.name if args.bck is not None else ""

        async def work(xaction: Xaction) -> None:
            with self._pace.used():
                for bucket in list(self._buckets(only)):
                    await self._expire(xaction, bucket)
                    await self._abort_uploads(xaction, bucket)

        return self._registry.start(LIFECYCLE, args.id, work)

    async def run_hourly(self) -> None:
        """Start the job whenever it is due and there are rules."""
        while True:
            await self._clock.sleep(INTERVAL_S)
            if any(self._buckets("")):
                await self.start(ArgsMsg(id=new_id(self._host.env.rng), kind=LIFECYCLE)).wait()

    def _buckets(self, only: str) -> Iterator[S3Bucket]:
        for bucket in self._host.bmd:
            if bucket.props.of_s3.lifecycle and only in ("", bucket.bck.name):
                yield S3Bucket(bucket)

    def _view(self, bucket: S3Bucket) -> BucketView | None:
        """The bucket as it is now; None when it is gone, or has other rules: whoever takes one away wants it to end."""
        view = self._front.views.get(bucket.bck)
        if view is None or view.props.bid != bucket.bucket.bid:
            return None
        return view if view.props.of_s3.lifecycle == bucket.s3.lifecycle else None

    async def _expire(self, xaction: Xaction, bucket: S3Bucket) -> None:
        judge = Judge(bucket.lifecycle, self._clock.now_ns() / 1e9)
        after, has_more = ("", ""), True
        while has_more and self._view(bucket) is not None:
            started_s = self._clock.monotonic()
            page = await asyncio.to_thread(self._lister.page, bucket.bck, "", after, _PAGE, session=xaction.uuid)
            has_more = page.has_more
            for entry in page.entries:
                after = (entry.name, entry.order)
                for due in judge.look(entry):
                    await self._remove(xaction, bucket, due)
            await self._pace.rest(self._clock.monotonic() - started_s)
        for due in judge.end():
            await self._remove(xaction, bucket, due)

    async def _remove(self, xaction: Xaction, bucket: S3Bucket, entry: VersionEntry) -> None:
        view = self._view(bucket)
        if view is None:
            return
        rules = view.rules
        if rules.event is not None:
            rules = msgspec.structs.replace(rules, event=Event(EXPIRATION))
        condition = unchanged(entry.meta, view.bck.cname(entry.name)) if entry.meta is not None else None
        bck, name, version_id = view.bck, entry.name, entry.version_id

        def step(since: int) -> None:
            if entry.is_latest and not entry.is_marker:
                self._store.delete(bck, name, condition, rules, since=since)
            else:
                self._store.delete_version(
                    bck,
                    name,
                    version_id,
                    partial(self._lone, bck, name, condition) if entry.is_latest else condition,
                    fsync=rules.fsync,
                    event=rules.event,
                    since=since,
                )

        async def remove(since: int, _is_discarded: bool) -> bool:
            return await self._done(view, name, partial(step, since))

        if await self._moves.once_settled(view, name, remove):  # who has it still would bring it back
            xaction.objects += 1
            xaction.bytes += entry.size

    def _lone(self, bck: Bck, name: str, condition: Condition | None, stored: ObjectMeta | None) -> None:
        """The condition under which a delete marker that is the latest version goes: what came below it since it was
        seen would be there again. Raise `AlreadyExists`.
        """
        if condition is not None:
            condition(stored)
        if any(entry != DELETED for entry in self._store.entries(bck, name)):
            raise AlreadyExists(f"{bck.cname(name)} has an older version by now")

    async def _abort_uploads(self, xaction: Xaction, bucket: S3Bucket) -> None:
        now_s, rules, view = self._clock.now_ns() / 1e9, bucket.lifecycle, self._view(bucket)
        if view is None or not any(rule.abort_days for rule in rules):
            return
        uploads = await asyncio.to_thread(lambda: list(self._store.uploads.list(view.bck)))
        for upload_id, info in uploads:
            is_due = lifecycle.is_upload_expired(rules, info.name, info.created_ns / 1e9, now_s)
            if is_due and self._view(bucket) is not None:

                def step(name: str = info.name, upload_id: str = upload_id) -> None:
                    self._store.uploads.abort(self._store.uploads.find(view.bck, name, upload_id))

                if await self._done(view, info.name, step):
                    xaction.objects += 1

    async def _done(self, view: BucketView, name: str, step: Callable[[], None]) -> bool:
        """Run a deletion; False when somebody else was faster, or the version is locked."""
        try:
            await in_pool(self._volume.place(view.uname + name).pool, step)
        except (AccessDenied, AlreadyExists, HandleNotFound, NotFound):
            return False
        return True


class Judge:
    """Says which versions are due, given all of a bucket in order of name, newest first."""

    def __init__(self, rules: Sequence[LifecycleRule], now_s: float) -> None:
        self._rules = rules
        self._now_s = now_s
        self._name = ""
        self._newer_s = 0.0
        """When the version before this one of the same name was made: since then this one is noncurrent."""
        self._kept = 0
        """Noncurrent versions of this name that stay."""
        self._lone_marker: VersionEntry | None = None
        """A delete marker that is the latest version, while no older version was seen."""

    def look(self, entry: VersionEntry) -> Iterator[VersionEntry]:
        """What is due now that `entry` was seen: it, or the marker before it."""
        if entry.name != self._name:
            yield from self.end()
            self._name, self._kept = entry.name, 0
        self._lone_marker = entry if entry.is_latest and entry.is_marker else None
        modified_s = entry.mtime_ns / 1e9
        tags = facts.tags_of(entry.meta.facts) if entry.meta is not None else {}
        size = sealing.size_of(entry.meta) if entry.meta is not None else entry.size
        subject = Subject(entry.name, size, modified_s, tags)
        if entry.is_latest:
            if not entry.is_marker and lifecycle.is_expired(self._rules, subject, self._now_s):
                yield entry
        elif lifecycle.is_noncurrent_expired(self._rules, subject, self._newer_s, self._kept, self._now_s):
            yield entry
        else:
            self._kept += 1
        self._newer_s = modified_s

    def end(self) -> Iterator[VersionEntry]:
        """What is due because nothing older follows."""
        marker, self._lone_marker = self._lone_marker, None
        if marker is not None and lifecycle.is_marker_expired(
            self._rules, marker.name, marker.mtime_ns / 1e9, self._now_s
        ):
            yield marker
