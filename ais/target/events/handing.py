"""Gives the events of mountpaths that go out of use to whoever has their names now.

The targets and mountpaths that own the names keep them, durably, before they are forgotten here: killed in between,
both have them, and a receiver gets them twice.
"""

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Sequence

import msgspec
from aiohttp import web

from ais.api import codec, errors, headers
from ais.api.bucket import Bck
from ais.base.errors import Busy
from ais.core.store import Store
from ais.fs.volume import Volume
from ais.meta.smap import Snode
from ais.net.client import PeerClient
from ais.target.events.journal import Cursor, Entry, Journal, Noted
from ais.target.events.journals import Journals
from ais.target.events.sender import is_unmade
from ais.target.host import Host

PATH = "/v1/events"
"""`POST` of a list of `Entry` (msgpack), from one target to another."""
BATCH_MAX = 1000
TIMEOUT_S = 60.0


class Handing:
    """One per target."""

    def __init__(self, host: Host, volume: Volume, store: Store, journals: Journals, peers: PeerClient) -> None:
        self._host = host
        self._volume = volume
        self._store = store
        self._journals = journals
        self._peers = peers

    def routes(self) -> list[web.RouteDef]:
        """For other targets, on the control network."""
        return [web.post(PATH, self._take)]

    async def hand_on(self, journal: Journal, receivers: Iterable[str]) -> int:
        """Give everything in a journal that one of the receivers lacks to its owner; how many events.

        Raise `Busy` while a change is on its way that is noted there, `Unreachable`, `NotReady`, `OSError`.
        """
        cursors = {name: await asyncio.to_thread(journal.position, name) for name in receivers}
        if not cursors:
            return 0
        cursor, count = min(cursors.values(), key=lambda one: one.number), 0
        while True:
            found, cursor = await asyncio.to_thread(journal.read, cursor, BATCH_MAX)
            lacking = await asyncio.to_thread(self._lacking, found, cursors)
            await self._give(lacking)
            count += len(lacking)
            if not found:
                break
        if journal.is_busy:
            raise Busy(f"changes are under way whose events are kept on {journal.root}")
        for name in cursors:
            await asyncio.to_thread(journal.advance, name, cursor.number, journal.waiting[name])
        await asyncio.to_thread(journal.trim, cursor.number)
        return count

    def _lacking(self, found: Sequence[Noted], cursors: dict[str, Cursor]) -> list[Entry]:
        """What happened of these, for those receivers that do not have it."""
        entries: list[Entry] = []
        for noted in found:
            wanted = noted.entry.receivers
            left = {name: wanted[name] for name, at in cursors.items() if name in wanted and noted.number > at.number}
            if left and not is_unmade(self._store, noted):
                entries.append(msgspec.structs.replace(noted.entry, receivers=left, is_certain=True))
        return entries

    async def _give(self, entries: Iterable[Entry]) -> None:
        by_owner: defaultdict[str, list[Entry]] = defaultdict(list)
        for entry in entries:
            by_owner[self._host.placement.owner(_uname(entry)).id].append(entry)
        for owner_id, theirs in by_owner.items():
            if owner_id == self._host.snode.id:
                await asyncio.to_thread(self._keep, theirs)
            else:
                await self._send(self._host.smap.require(owner_id), theirs)

    async def _send(self, owner: Snode, entries: list[Entry]) -> None:
        answer = await self._peers.call(
            "POST",
            owner.control.url + PATH,
            headers={headers.CALLER_ID: self._host.snode.id},
            body=codec.to_msgpack(entries),
            timeout_s=TIMEOUT_S,
        )
        if answer.status != 200:
            raise errors.decode_error(answer.status, answer.body, owner.control.url)

    async def _take(self, request: web.Request) -> web.Response:
        entries = codec.from_msgpack(await request.read(), list[Entry])
        await asyncio.to_thread(self._keep, entries)
        return web.Response()

    def _keep(self, entries: Iterable[Entry]) -> None:
        """Note what happened elsewhere, and make it durable."""
        used: dict[str, Journal] = {}
        for entry in entries:
            path = self._volume.place(_uname(entry)).path
            journal = used[path] = self._journals.of(path)
            journal.settle(journal.note(entry, fsync=False))
        for journal in used.values():
            journal.sync()


def _uname(entry: Entry) -> str:
    return Bck(entry.bucket).uname + entry.key
