"""Objects that other targets send here: how one is written, and small ones that come many in one request."""

import asyncio
from collections.abc import Sequence
from concurrent.futures import Executor
from functools import partial

from aiohttp import web

from ais.api import codec, headers
from ais.api.access import Access
from ais.api.bucket import Bck
from ais.base.errors import AisError, AlreadyExists
from ais.core.publish import Condition
from ais.core.store import Store
from ais.core.writer import Writer
from ais.fs.locks import StripeBusy
from ais.fs.volume import Volume
from ais.node.long import decoded
from ais.target.front import Front
from ais.target.host import Host, require_node
from ais.target.transfer import SMALL, Small, Together, Transfer, absent, not_older
from ais.target.uploads import in_pool
from ais.target.view import BucketView
from ais.xact.pace import Pace


def begun(store: Store, view: BucketView, name: str, transfer: Transfer) -> tuple[Writer, Condition | None]:
    """Begin to write an object that another target sends; the condition of its commit. Raise as `Store.writer`."""
    meta = transfer.meta
    writer = store.writer(
        view.bck,
        name,
        view.rules_for(meta.checksum_kind),
        custom=meta.custom,
        facts=meta.facts,
        claimed=meta.promised,
        size_hint=meta.size,
        runs=meta.runs if transfer.version is not None else (),
        version=transfer.version,
        is_moved=transfer.version is not None and transfer.only_if_absent,
        times_ns=transfer.times_ns,
        after=meta.stamp if transfer.version is not None else (0, 0),
        is_as_stored=transfer.version is not None,
    )
    condition = None
    if transfer.only_if_absent:
        cname = view.bck.cname(name)
        condition = not_older(cname, meta) if transfer.keeps_name else absent(cname)
    return writer, condition


class Arriving:
    """Takes small objects whose owner this target is now (`ais.target.moves`)."""

    def __init__(self, host: Host, front: Front, volume: Volume, store: Store, pace: Pace) -> None:
        self._pace = pace
        self._host = host
        self._front = front
        self._volume = volume
        self._store = store
        self._now_s = host.env.clock.monotonic

    def routes(self) -> list[web.RouteDef]:
        """Of the data network, for other targets."""
        return [web.post(SMALL, self.take)]

    async def take(self, request: web.Request) -> web.Response:
        """Store objects; answer which of them are here."""
        require_node(self._host, request, SMALL)
        given = await decoded(await request.read(), lambda body: codec.from_msgpack(body, Together))
        view = self._front.views.require(Bck.parse_uname(given.bucket)[0])
        view.require(Access.PUT)
        if view.keeps_versions:  # not one file each
            return _answer([False] * len(given.objects))
        caller = request.headers.get(headers.CALLER_ID)
        groups: dict[tuple[Executor, int], list[int]] = {}
        for at, one in enumerate(given.objects):
            mountpath = self._volume.place(view.uname + one.name)
            # those that wait for a flush share it when they wait at the same time, each for itself
            group = (mountpath.sync_pool, at) if view.rules.fsync else (mountpath.pool, 0)
            groups.setdefault(group, []).append(at)
        done = [False] * len(given.objects)

        def store(places: Sequence[int]) -> None:
            for at in places:
                done[at] = self._is_stored(view, given.objects[at], caller)

        began_s = self._now_s()
        await asyncio.gather(*(in_pool(pool, partial(store, places)) for (pool, _), places in groups.items()))
        await self._pace.rest_between(self._now_s() - began_s)  # the sender waits for the answer, and rests too
        return _answer(done)

    def _is_stored(self, view: BucketView, one: Small, caller: str | None) -> bool:
        """Store an object that another target gives; whether it is here by now."""
        try:
            self._front.require_peer(caller)
            self._front.admit(view)
            writer, condition = begun(self._store, view, one.name, one.transfer)
        except AisError:
            return False
        try:
            writer.write(one.content)
            writer.commit(condition)
        except AlreadyExists:
            return True
        except (AisError, StripeBusy):
            writer.abort()
            return False
        return True


def _answer(done: list[bool]) -> web.Response:
    return web.Response(body=codec.to_msgpack(done))
