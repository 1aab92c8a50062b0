"""Mountpaths that were given up with what they have, and may return: the part of their target, and of all others.

Names may have got other owners before one returns. So the cluster map says that there is one from before it goes until
it is back, or gave up for good (`RETURNS_S_MAX`), and all targets note what they remove (`ais.fs.removed`). When it
returns it is known but not in use at first, so that what may be on it is 503; the map says that any name may be with
this target, which every owner asks from then on; what others removed is removed on it; then it is used, and the
rebalance brings to others what is theirs.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence

import structlog
from aiohttp import web

from ais.api import codec, headers
from ais.api.errors import decode_error
from ais.api.returns import RETURNS, SINCE, Message, Note, Told
from ais.base.errors import AisError, BadRequest, NotReady
from ais.env.network import Answer
from ais.fs.removed import Line
from ais.fs.volume import Volume
from ais.meta.placement import why_away
from ais.meta.smap import Flag, Snode
from ais.net.client import PeerClient
from ais.target.host import Host, require_node

RETURNS_S_MAX = 7 * 86400
"""So long after it was given up a mountpath may return with what it has."""
LOOK_INTERVAL_S = 30.0
TIMEOUT_S = 60.0
_NOTES_STEP = 10_000


class Returns:
    """One per target."""

    def __init__(self, host: Host, volume: Volume, peers: PeerClient) -> None:
        self._host = host
        self._volume = volume
        self._peers = peers
        self._telling = asyncio.Lock()
        self._log = structlog.get_logger()

    def routes(self) -> list[web.RouteDef]:
        """For other targets, on the control network."""
        return [web.get(RETURNS, self._show), web.post(RETURNS, self._take)]

    def follow_map(self) -> None:
        """There is another cluster map."""
        smap = self._host.smap
        self._volume.map_version = int(smap.version)
        self._volume.notes_for_others = any(one != self._host.snode.id for one in smap.lacking or ())

    async def watch(self) -> None:
        """Tell what the map does not say yet, and forget what nobody needs any more."""
        while True:
            try:
                await self._look()
            except AisError as error:
                self._log.info("mountpaths that may return", reason=str(error))
            await self._host.env.clock.sleep(LOOK_INTERVAL_S)

    async def _look(self) -> None:
        volume, now_s = self._volume, self._host.env.clock.now_ns() // 1_000_000_000
        await asyncio.to_thread(volume.void, now_s - RETURNS_S_MAX)
        async with self._telling:
            is_said = self._host.snode.id in (self._host.smap.lacking or ())
            is_lacking = volume.may_get_back or volume.gives_up
            if is_lacking != is_said:
                await self._tell(Told.GONE if is_lacking else Told.WHOLE)
        await asyncio.to_thread(volume.tidy_notes)

    @contextlib.asynccontextmanager
    async def giving_up(self) -> AsyncIterator[None]:
        """For a block in which a mountpath goes with what it has: all others note what they remove.

        Raise `NotReady`, `Unreachable` while the primary cannot say so.
        """
        async with self._telling:
            await self._tell(Told.GONE)
            yield

    async def bring_back(self, path: str, label: str = "") -> bool:
        """Use a mountpath that was given up; on return what it has is found. False when that is so already.

        Raise as `Volume.attach`, `Conflict` when too much was removed meanwhile, `NotReady` when not all can tell what.
        """
        volume = self._volume
        since = volume.given_up_at(path)
        await self._notes_of_others(since)  # or nothing is begun
        await asyncio.to_thread(volume.recall, path, label)
        try:
            await self._tell(Told.BACK)
            return await asyncio.to_thread(volume.enable, path, await self._notes_of_others(since))
        except BaseException:
            await asyncio.shield(asyncio.to_thread(volume.detach, path))
            raise

    async def hand_on(self) -> None:
        """Give the notes of this target, which leaves, to one that stays. Raise `NotReady`, `Unreachable`."""
        lines = await asyncio.to_thread(self._volume.notes_since, 1)
        if not lines or not self._volume.notes_for_others:
            return
        for target in self._host.placement.targets:
            if target.id != self._host.snode.id and not target.is_away:
                for at in range(0, len(lines), _NOTES_STEP):
                    body = codec.to_msgpack([_note_of(line) for line in lines[at : at + _NOTES_STEP]])
                    await self._ask(target, "POST", body)
                return
        raise NotReady("no other target can be told what was removed here")

    async def _notes_of_others(self, since: int) -> list[Line]:
        found: list[Line] = []
        for target in self._host.smap.tmap.values():
            if target.id == self._host.snode.id or target.flags & Flag.MAINTENANCE_POST_REBALANCE:
                continue
            if target.is_away:
                raise NotReady(why_away(target))
            answer = await self._ask(target, "GET", query={SINCE: str(since)})
            notes = await asyncio.to_thread(codec.from_msgpack, answer.body, list[Note])
            found += map(_line_of, notes)
        return found

    async def _tell(self, told: Told) -> None:
        """Have the primary change the map; return when this target has it."""
        host = self._host
        primary = host.smap.primary
        if primary is None and len(host.smap.tmap) < 2:
            return  # nobody else is to know
        if primary is None:
            raise NotReady("the cluster has no primary now: try again when it has elected one")
        answer = await self._ask(primary, "PUT", codec.to_json(Message(told)))
        version = int(answer.body)
        clock = host.env.clock
        deadline_s = clock.monotonic() + TIMEOUT_S
        while host.smap.version < version:
            if clock.monotonic() > deadline_s:
                raise NotReady(f"cluster map {version} does not come: try again")
            await clock.sleep(0.05)

    async def _ask(self, node: Snode, method: str, body: bytes = b"", query: dict[str, str] | None = None) -> Answer:
        answer = await self._peers.call(
            method,
            node.control.url + RETURNS,
            query=query,
            headers={headers.CALLER_ID: self._host.snode.id},
            body=body,
            timeout_s=TIMEOUT_S,
        )
        if answer.status != 200:
            raise decode_error(answer.status, answer.body, node.control.url)
        return answer

    async def _show(self, request: web.Request) -> web.Response:
        require_node(self._host, request, RETURNS)
        since = request.query.get(SINCE, "")
        if not since.isdecimal():
            raise BadRequest(f"{SINCE} is a version of the cluster map")
        version = max(1, int(since))

        def encoded() -> bytes:
            for mountpath in self._volume.available:  # what is being removed is noted then
                mountpath.stripes.wait_for_all()
            return codec.to_msgpack([_note_of(line) for line in self._volume.notes_since(version)])

        return web.Response(body=await asyncio.to_thread(encoded))

    async def _take(self, request: web.Request) -> web.Response:
        require_node(self._host, request, RETURNS)
        notes: Sequence[Note] = codec.from_msgpack(await request.read(), list[Note])
        await asyncio.to_thread(self._volume.add_notes, list(map(_line_of, notes)))
        return web.Response()


def _line_of(note: Note) -> Line:
    return Line(0, note.uname, note.path, note.map_version)


def _note_of(line: Line) -> Note:
    return Note(line.uname, line.path, line.map_version)
