"""Keeps the events of this target's buckets, and sends them on: one sender for each receiver and mountpath."""

import contextlib
from collections.abc import Mapping

import structlog

from ais.core import sealing
from ais.core.announcing import Change, Note
from ais.core.store import Store
from ais.env.disk import Disk
from ais.fs.volume import Volume
from ais.node.s3 import Gate
from ais.s3 import facts, notifications
from ais.target.events.journal import Entry, Journal
from ais.target.events.sender import Sender, Webhooks
from ais.target.host import Host

LOOK_S = 1.0
"""How soon a new receiver, or a mountpath that came back, is noticed."""


class EventService:
    """One per target. `note`, `settle` and `retract` implement `ais.core.announcing.Announcer`."""

    def __init__(self, host: Host, gate: Gate, volume: Volume, store: Store) -> None:
        self._host = host
        self._gate = gate
        self._volume = volume
        self._store = store
        self._disk: Disk = host.env.disk
        self._journals: dict[str, Journal] = {}
        self._senders: dict[tuple[str, str], Sender] = {}
        self._webhooks = Webhooks()
        self._log = structlog.get_logger()

    def note(self, mountpath: str, change: Change, *, fsync: bool) -> Note | None:
        """See `Announcer`."""
        bucket = self._gate.buckets.get(change.bck.name)
        if bucket is None or bucket.bck != change.bck:
            return None
        makes_marker = change.is_removal and bucket.keeps_versions and not change.is_certain
        name = notifications.name_of(change.event.name, is_removal=change.is_removal, makes_marker=makes_marker)
        receivers = notifications.matching(bucket.notifications, name, change.name)
        if not receivers:
            return None
        meta, now_ns = change.meta, self._host.env.clock.now_ns()
        etag = facts.etag_of(meta.facts, meta.checksum_kind, meta.checksum, now_ns, meta.size) if meta else ""
        entry = Entry(
            bucket.name,
            int(bucket.bucket.bid),
            change.name,
            name,
            receivers,
            sealing.size_of(meta) if meta is not None else 0,
            etag,
            meta.version_id if meta is not None else "",
            change.stamp,
            now_ns,
            change.event.user,
            change.event.address,
            change.event.request,
            change.is_certain,
        )
        return Note(mountpath, self._journal(mountpath).note(entry, fsync=fsync))

    def settle(self, note: Note, marker_id: str = "") -> None:
        """See `Announcer`."""
        self._journals[note.mountpath].settle(note.number, marker_id)

    def retract(self, note: Note) -> None:
        """See `Announcer`."""
        self._journals[note.mountpath].retract(note.number)

    def load(self) -> None:
        """Read what an earlier process left. Before anything is served; blocks."""
        for mountpath in self._volume.available:
            with contextlib.suppress(OSError):
                self._journal(mountpath.path)

    async def watch(self) -> None:
        """Have a sender for each receiver and mountpath that has events."""
        while True:
            receivers = self._host.config.cluster.net.event_receivers
            wanted = {
                (mountpath.path, name)
                for mountpath in self._volume.available
                if (journal := self._journals.get(mountpath.path)) is not None and not journal.is_empty
                for name in receivers
            }
            await self._follow(wanted, receivers)
            await self._host.env.clock.sleep(LOOK_S)

    async def stop(self) -> None:
        """End all senders."""
        await self._follow(set(), {})
        await self._webhooks.close()
        for journal in self._journals.values():
            journal.close()

    async def _follow(self, wanted: set[tuple[str, str]], receivers: Mapping[str, str]) -> None:
        for place, sender in list(self._senders.items()):
            if place not in wanted or sender.url != receivers.get(place[1]) or sender.is_over:
                await sender.stop()
                del self._senders[place]
        for path, name in wanted - self._senders.keys():
            self._senders[path, name] = Sender(
                self._host, self._store, self._journals[path], name, receivers[name], self._webhooks, self._trimmed
            )

    def _trimmed(self, journal: Journal) -> None:
        """Remove what every receiver has."""
        known = self._host.config.cluster.net.event_receivers
        if known:
            journal.trim(min(journal.position(name).number for name in known))

    def _journal(self, path: str) -> Journal:
        found = self._journals.get(path)
        if found is None:
            found = self._journals.setdefault(path, Journal(self._disk, path))
        return found
