"""What a target does with backends, put together; and what proxies ask it about them on the control network."""

import asyncio
from collections.abc import AsyncIterator

from aiohttp import web

from ais.api import codec
from ais.backend import messages
from ais.backend.clusters import RemoteClusters
from ais.backend.interface import Place, RemoteObject, RemotePage
from ais.backend.messages import BucketsAnswer, RemoteMsg
from ais.backend.providers import Backends
from ais.base.errors import NotRemoteBucket
from ais.config.sections import Extra
from ais.core.store import Store
from ais.fs.volume import Volume
from ais.meta.smap import digest
from ais.target.front import Front
from ais.target.going_out import egress_of
from ais.target.host import Host, require_node
from ais.target.remote.cold import Cold
from ais.target.remote.parallel import Parallel
from ais.target.remote.ranges import ColdRanges
from ais.target.remote.through import Through
from ais.target.view import BucketView

_PAGE_NAMES = 1000


class Remote:
    """One per target."""

    def __init__(self, host: Host, front: Front, volume: Volume, store: Store) -> None:
        self._host = host
        self._front = front
        self._backends = Backends(
            lambda: host.config.cluster.backend,
            lambda: egress_of(host),
            host.env,
            lambda: 1 / max(len(host.smap.tmap), 1),
        )
        self.cold = Cold(host, front, store, self._backends)
        self.through = Through(front, volume, store, self.cold, self._backends, self._owns)
        self.ranges = ColdRanges(self.through, self._backends)
        self.parallel = Parallel(host.env.clock, front, volume, store, self.cold, self._backends)

    def _owns(self, uname: str) -> bool:
        return self._host.placement.is_owner(self._host.snode.id, digest(uname))

    def routes(self) -> list[web.RouteDef]:
        """Of the control network."""
        return [web.post(messages.PATH, self._answer)]

    async def close(self) -> None:
        """End fetches, changes and connections."""
        await self.cold.close()
        await self.through.close()
        await self._backends.close()

    async def objects(self, view: BucketView, prefix: str, after: str = "") -> AsyncIterator[list[RemoteObject]]:
        """All objects of a bucket that its backend has behind a name, page by page.

        Raise `Unsupported` when the backend lists nothing.
        """
        place = view.remote
        if place is None:
            raise NotRemoteBucket("listing at the backend", view.bck.cname())
        backend, more = self._backends.of(place), True
        while more:
            page = await backend.page(place, prefix, after, _PAGE_NAMES)
            after, more = page.last, page.has_more and bool(page.objects)
            yield [one for one in page.objects if not one.is_folder]

    async def _answer(self, request: web.Request) -> web.Response:
        require_node(self._host, request, messages.PATH)
        message = codec.from_msgpack(await request.read(), RemoteMsg)
        return web.Response(body=codec.to_msgpack(await self._do(message)), content_type="application/msgpack")

    async def _do(self, message: RemoteMsg) -> BucketsAnswer | Extra | RemotePage | RemoteClusters:
        place = Place(message.bck, message.extra, message.rate)
        if message.action == messages.CLUSTERS:
            return RemoteClusters(await asyncio.gather(*(one.describe() for one in self._backends.clusters())))
        if message.action in (messages.CREATE, messages.DESTROY):
            cluster = self._backends.cluster(message.bck.namespace.uuid)
            await (cluster.create_bucket if message.action == messages.CREATE else cluster.destroy_bucket)(place)
            return Extra()
        backend = self._backends.of(place)
        if message.action == messages.BUCKETS:
            return BucketsAnswer(await backend.buckets())
        if message.action == messages.HEAD:
            return await backend.head_bucket(place)
        return await backend.page(place, message.prefix, message.after, message.limit, message.delimiter)
