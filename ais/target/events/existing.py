"""Replicas of what is in replicated buckets already, the part of one target: the job `replicate-existing`.

Rules are about what changes from then on. The job notes for each version what its destinations lack: those from before
the rule, those that were refused, and those that wait for something that was lost with a journal. It stays behind the
senders, so that journals have room for what clients change.
"""

import structlog

from ais.api.bucket import Bck
from ais.api.xact import REPLICATE, ArgsMsg
from ais.base.errors import BadRequest, CorruptMetadata
from ais.core import replicas
from ais.core.announcing import Change, Event
from ais.core.meta import ObjectMeta
from ais.core.store import Store
from ais.core.version_listing import VersionEntry
from ais.core.versions import NULL
from ais.fs.failures import disk_failures
from ais.node.s3 import Gate
from ais.s3 import replication
from ais.s3.buckets import S3Bucket
from ais.target.events.service import EventService
from ais.target.host import Host
from ais.target.s3.every_version import EveryVersion, chosen
from ais.target.uploads import in_pool
from ais.target.view import BucketView
from ais.xact.registry import Registry, Xaction
from ais.xact.xaction import NO_BUCKET

WAITING_MAX = 10_000
"""Changes that a destination of this target may lack before more are noted."""
LOOK_S = 0.5


class Existing:
    """Starts the job."""

    def __init__(
        self, host: Host, registry: Registry, gate: Gate, store: Store, versions: EveryVersion, events: EventService
    ) -> None:
        self._host = host
        self._registry = registry
        self._gate = gate
        self._store = store
        self._versions = versions
        self._events = events
        self._log = structlog.get_logger()

    def start(self, args: ArgsMsg) -> Xaction:
        """Go through the buckets named, or through all that are replicated. Raise `BadRequest` for one that is not."""
        named = args.all_buckets
        known = [one.bck for one in self._host.bmd if self._bucket(one.bck) is not None]
        for bck in named:
            if bck not in known:
                raise BadRequest(f"{bck.cname()} is not replicated: give it rules first, PutBucketReplication")
        bcks, unnamed = chosen(known, named), 0

        async def visit(view: BucketView, entry: VersionEntry) -> bool:
            nonlocal unnamed
            bucket = self._bucket(view.bck)
            if bucket is None:
                return False
            if entry.version_id == NULL:
                unnamed += 1
                return False
            return await self._note(bucket, view, entry)

        async def work(xaction: Xaction) -> None:
            await self._versions.run(xaction, bcks, visit)
            if unnamed:
                self._log.warning(
                    "versions from before versioning have no ID and no replicas: copy these objects onto themselves",
                    job=REPLICATE, versions=unnamed,
                )  # fmt: skip

        return self._registry.start(REPLICATE, args.id, work, bck=named[0] if len(named) == 1 else NO_BUCKET)

    def _bucket(self, bck: Bck) -> S3Bucket | None:
        """A bucket that is replicated."""
        found = self._gate.buckets.get(bck.name)
        return found if found is not None and found.bck == bck and found.replication else None

    async def _note(self, bucket: S3Bucket, view: BucketView, entry: VersionEntry) -> bool:
        """Whether somebody lacks this version, or delete marker. Raise `AisError`."""
        if not entry.is_marker and entry.meta is None:
            raise CorruptMetadata("its metadata is damaged")
        if entry.meta is not None and not entry.is_marker and self._marked(bucket, entry, entry.meta) is entry.meta:
            return False
        while self._is_behind(bucket):
            await self._host.env.clock.sleep(LOOK_S)
        pool = self._store.volume.place(view.uname + entry.name).pool
        return await in_pool(pool, lambda: self._mark(bucket, view, entry))

    def _is_behind(self, bucket: S3Bucket) -> bool:
        waiting = self._events.replicas_waiting()
        return any(waiting.get(rule.destination.arn, 0) >= WAITING_MAX for rule in bucket.replication)

    def _mark(self, bucket: S3Bucket, view: BucketView, entry: VersionEntry) -> bool:
        fsync, meta, marker_id = view.rules.fsync, None, entry.version_id
        if not entry.is_marker:
            changed = self._store.update(
                view.bck, entry.name, lambda one: self._marked(bucket, entry, one), entry.version_id, fsync=fsync
            )
            if not replicas.waiting(changed.facts):
                return False
            meta, marker_id = changed, ""
        change = Change(
            view.bck, entry.name, Event(), is_removal=entry.is_marker, meta=meta, stamp=(0, 0), is_certain=True,
            marker_id=marker_id, is_update=True,
        )  # fmt: skip
        with disk_failures(entry.name):
            return self._events.note_again(change, fsync=fsync)

    def _marked(self, bucket: S3Bucket, entry: VersionEntry, meta: ObjectMeta) -> ObjectMeta:
        return replication.marked_again(bucket.replication, entry.name, meta)
