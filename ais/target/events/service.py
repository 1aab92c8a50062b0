"""Keeps the events of this target's buckets, and sends them on: one sender for each receiver and mountpath."""

import asyncio
import contextlib
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import msgspec
import structlog
from aiohttp import web

from ais.api import codec
from ais.api.bucket import Bck
from ais.api.replication import REPLICAS, Behind
from ais.base.errors import AisError, Busy, DiskFailure
from ais.core import replicas, sealing
from ais.core.announcing import Change, Event, Note
from ais.core.meta import ObjectMeta
from ais.core.store import Store
from ais.core.versions import NULL
from ais.fs.volume import Volume
from ais.net.client import PeerClient
from ais.node.receivers.receivers import Receivers
from ais.node.s3 import Gate
from ais.s3 import facts, notifications, replication
from ais.s3.buckets import S3Bucket
from ais.target.events.handing import Handing
from ais.target.events.journal import Ended, Entry, Journal
from ais.target.events.journals import Journals
from ais.target.events.replicating import Replicas, Replicating
from ais.target.events.sender import Delivery, Sender, Told
from ais.target.host import Host

LOOK_S = 1.0
"""How soon a new receiver, or a mountpath that came back, is noticed."""
LOOKS_WITHOUT_MAX = 60
"""Looks that find no receiver, before what waits for none is removed."""
_ATTEMPTS_MAX, _PAUSE_S = 20, 0.1
"""For changes on their way when a mountpath is taken out of use at once."""


class Noting(NamedTuple):
    """A note in a journal (`ais.core.announcing.Note`)."""

    journal: Journal
    number: int

    def settle(self) -> None:
        """See `Note`."""
        self.journal.settle(self.number)

    def retract(self) -> None:
        """See `Note`."""
        self.journal.retract(self.number)


class EventService:
    """One per target. It implements `ais.core.announcing.Announcer`."""

    def __init__(
        self, host: Host, gate: Gate, volume: Volume, store: Store, peers: PeerClient, replicas: Replicas
    ) -> None:
        self._replicas = replicas
        self._host = host
        self._gate = gate
        self._volume = volume
        self._store = store
        self._journals = Journals(host.env.disk)
        self._handing = Handing(host, volume, store, self._journals, peers)
        self._handed_on: set[str] = set()
        """Mountpaths whose events are just given to others: nobody sends them meanwhile."""
        self._senders: dict[tuple[str, str], Sender] = {}
        self._told = Receivers()
        self._following = asyncio.Lock()
        self._looks_without = 0
        self._log = structlog.get_logger()
        host.stats.events_waiting = self.waiting
        host.stats.replicas_waiting = self.replicas_waiting
        host.stats.replicas_behind = self.replicas_behind

    def routes(self) -> list[web.RouteDef]:
        """For other targets, on the control network."""
        return [*self._handing.routes(), web.get(REPLICAS, self._behind)]

    def waiting(self) -> dict[str, int]:
        """How many events wait for each receiver that the cluster has."""
        found = self._journals.waiting()
        return {name: found[name] for name in self._host.config.cluster.net.event_receivers}

    def replicas_waiting(self) -> dict[str, int]:
        """How many changes of versions each destination of replicas lacks, by its ARN."""
        found = self._journals.waiting()
        return {destination.arn: found[name] for name, destination in self._replicas.destinations.items()}

    def replicas_behind(self) -> dict[str, float]:
        """By how many seconds each destination of replicas is behind: the age of the oldest change that it lacks."""
        now_ns, found = self._host.env.clock.now_ns(), dict[str, float]()
        for name, destination in self._replicas.destinations.items():
            since = [one.oldest_ns for (_, of), one in self._senders.items() if of == name and one.oldest_ns]
            found[destination.arn] = max(0, now_ns - min(since, default=now_ns)) / 1e9
        return found

    def note(self, mountpath: str, change: Change, *, fsync: bool) -> Note | None:
        """See `Announcer`."""
        bucket = self._gate.buckets.get(change.bck.name)
        if bucket is None or bucket.bck != change.bck:
            return None
        makes_marker = change.is_removal and bucket.keeps_versions and not change.is_certain
        name = notifications.name_of(change.event.name, is_removal=change.is_removal, makes_marker=makes_marker)
        receivers = {} if change.is_update else notifications.matching(bucket.notifications, name, change.name)
        receivers |= self._wanting_replicas(bucket, change)
        if not receivers:
            return None
        return self._keep(mountpath, bucket, change, name, receivers, fsync)

    def marked(self, bck: Bck, name: str, event: Event, meta: ObjectMeta, *, is_update: bool = False) -> ObjectMeta:
        """See `Announcer`."""
        if event.is_replica or (is_update and replicas.is_replica(meta.facts)):
            return meta
        if not is_update and replicas.FACT in meta.facts:
            meta = msgspec.structs.replace(meta, facts=replicas.without(meta.facts))
        bucket = self._gate.buckets.get(bck.name)
        if bucket is None or bucket.bck != bck or not bucket.replication:
            return meta
        return replication.marked(bucket.replication, name, meta)

    def note_again(self, change: Change, *, fsync: bool) -> bool:
        """Keep a change that was made long ago, for the destinations of replicas that lack it; whether some do. Blocks.

        Raise `OSError`, `OutOfSpace`.
        """
        bucket = self._gate.buckets.get(change.bck.name)
        if bucket is None or bucket.bck != change.bck or not (receivers := self._wanting_replicas(bucket, change)):
            return False
        name = notifications.name_of("", is_removal=change.is_removal, makes_marker=change.is_removal)
        mountpath = self._volume.place(change.bck.uname + change.name).path
        self._keep(mountpath, bucket, change, name, receivers, fsync).settle()
        return True

    def _keep(
        self, mountpath: str, bucket: S3Bucket, change: Change, name: str, receivers: dict[str, str], fsync: bool
    ) -> Noting:
        meta, now_ns = change.meta, self._host.env.clock.now_ns()
        meta = sealing.plain(meta) if meta is not None else None
        etag = facts.etag_of(meta.facts, meta.checksum_kind, meta.checksum, now_ns, meta.size) if meta else ""
        entry = Entry(
            bucket.name,
            int(bucket.bucket.bid),
            change.name,
            name,
            receivers,
            meta.size if meta is not None else 0,
            etag,
            change.marker_id or (meta.version_id if meta is not None else ""),
            change.stamp,
            now_ns,
            change.event.user,
            change.event.address,
            change.event.request,
            change.is_certain or change.is_update or change.event.is_replica,
            change.is_update,
        )
        while True:
            if mountpath in self._volume.view.leaving:
                mountpath = self._volume.place(change.bck.uname + change.name).path
            journal = self._journals.of(mountpath)
            with contextlib.suppress(Ended):
                return Noting(journal, journal.note(entry, fsync=fsync))

    @staticmethod
    def _wanting_replicas(bucket: S3Bucket, change: Change) -> dict[str, str]:
        """The destinations that are to have what changes, with the ID of the rule for each."""
        if change.event.is_replica or not bucket.replication:
            return {}
        if change.is_removal:
            is_wanted = change.marker_id not in ("", NULL) and change.event.name != notifications.EXPIRATION
            return replication.for_markers(bucket.replication, change.name) if is_wanted else {}
        if change.meta is None:
            return {}
        ids = {rule.destination.name: rule.id for rule in reversed(bucket.replication)}
        return {name: ids.get(name, "") for name in replicas.waiting(change.meta.facts)}

    def load(self) -> None:
        """Read what an earlier process left. Before anything is served; blocks."""
        view = self._volume.view
        for mountpath in view.available:
            if mountpath.path not in view.leaving or self._journals.get(mountpath.path) is None:
                with contextlib.suppress(OSError):
                    self._journals.of(mountpath.path)

    async def watch(self) -> None:
        """Have a sender for each receiver and mountpath that has events."""
        while True:
            await asyncio.to_thread(self.load)
            await self._look()
            await self._host.env.clock.sleep(LOOK_S)

    async def hand_on(self) -> int:
        """Give the events of this target, which owns no names any more, to those who do; how many. Raise `AisError`."""
        return await self._give([mountpath.path for mountpath in self._volume.available], ends=False)

    async def hand_on_leaving(self) -> None:
        """Give the events of mountpaths that leave to those that stay. Raise `AisError`."""
        await self._give(self._volume.view.leaving, ends=True)

    async def hand_on_gone(self, path: str) -> None:
        """The same for a mountpath that was taken out of use at once: what cannot be read stays there."""
        for _ in range(_ATTEMPTS_MAX):
            try:
                await self._give([path], ends=True)
            except Busy:
                await self._host.env.clock.sleep(_PAUSE_S)
            except (AisError, OSError) as error:
                self._log.error("events stay on a mountpath that is out of use", mountpath=path, error=str(error))
                return
            else:
                return
        self._log.error("events of changes under way stay on a mountpath that is out of use", mountpath=path)

    async def stop(self) -> None:
        """End all senders."""
        await self._follow(set(), {})
        await self._told.close()
        for journal in self._journals.all():
            journal.close()
        if waiting := {name: count for name, count in self.waiting().items() if count}:
            self._log.warning("events wait for their receivers until this target is started again", **waiting)

    @property
    def _receivers(self) -> Mapping[str, str]:
        """All of them, with the address of each."""
        return {**self._host.config.cluster.net.event_receivers, **self._replicas.addresses}

    async def _give(self, paths: Iterable[str], *, ends: bool) -> int:
        found = {path: journal for path in paths if (journal := self._journals.get(path)) is not None}
        self._handed_on |= found.keys()
        count = 0
        try:
            await self._look()
            for journal in found.values():
                if ends and not journal.end():
                    raise Busy(f"changes are under way whose events are kept on {journal.root}")
                count += await self._handing.hand_on(journal, self._receivers)
                if ends:
                    await asyncio.to_thread(journal.remove)
        except OSError as error:
            raise DiskFailure(f"events cannot be given to others: {error}") from error
        finally:
            self._handed_on -= found.keys()
        if count:
            self._log.info("events were given to others", events=count)
        return count

    async def _look(self) -> None:
        async with self._following:
            await self._follow_now()

    async def _follow_now(self) -> None:
        receivers = self._receivers
        self._looks_without = 0 if receivers else self._looks_without + 1
        if self._looks_without > LOOKS_WITHOUT_MAX:  # nobody sends, and trims
            for one in self._journals.all():
                if not one.is_empty:
                    await asyncio.to_thread(one.trim, one.last)
        wanted = {
            (mountpath.path, name)
            for mountpath in self._volume.available
            if mountpath.path not in self._handed_on
            and (journal := self._journals.get(mountpath.path)) is not None
            and not journal.is_empty
            for name in receivers
        }
        await self._follow(wanted, receivers)
        await self._told.keep(self._host.config.cluster.net.event_receivers.values())

    async def _follow(self, wanted: set[tuple[str, str]], receivers: Mapping[str, str]) -> None:
        for place, sender in list(self._senders.items()):
            if place not in wanted or sender.address != receivers.get(place[1]) or sender.is_over:
                await sender.stop()
                del self._senders[place]
        for path, name in wanted - self._senders.keys():
            if (journal := self._journals.get(path)) is not None:
                delivery = self._delivery(name, receivers[name])
                clock = self._host.env.clock
                self._senders[path, name] = Sender(clock, journal, name, receivers[name], delivery, self._trimmed)

    def _delivery(self, name: str, address: str) -> Delivery:
        if (destination := self._replicas.destinations.get(name)) is not None:
            return self._replicas.delivery(destination)
        return Told(self._host, self._store, name, self._told.of(address))

    async def _behind(self, request: web.Request) -> web.Response:
        waiting, behind, whys = self.replicas_waiting(), self.replicas_behind(), dict[str, str]()
        for sender in self._senders.values():
            if isinstance(sender.delivery, Replicating) and sender.delivery.why:
                whys[sender.delivery.destination.arn] = sender.delivery.why
        found = [Behind(arn, count, behind[arn], whys.get(arn, "")) for arn, count in waiting.items()]
        return web.Response(body=codec.to_json(found))

    def _trimmed(self, journal: Journal) -> None:
        """Remove what every receiver has."""
        if known := self._receivers:
            journal.trim(min(journal.position(name).number for name in known))
