"""What gateways ask a target on behalf of S3 requests (`ais.s3.peers`), on the control network."""

import asyncio

from aiohttp import web

from ais.api import codec
from ais.api.bucket import Bck
from ais.base.errors import BucketNotFound, NotReady
from ais.fs.volume import Volume
from ais.s3 import peers
from ais.s3.peers import DeleteKeys
from ais.target.front import Front
from ais.target.s3.deletes import Deletes


class Control:
    """The endpoints. One per target."""

    def __init__(self, front: Front, volume: Volume, deletes: Deletes) -> None:
        self._front = front
        self._volume = volume
        self._deletes = deletes

    def routes(self) -> list[web.RouteDef]:
        """Endpoints of the control network."""
        return [web.get(peers.EMPTY, self.empty), web.post(peers.DELETE, self.delete)]

    async def empty(self, request: web.Request) -> web.Response:
        """Whether nothing of a bucket is here. Raise `NotReady` unless this target has taken the deletion's mark."""
        bck = Bck(request.query.get("bucket", ""))
        if self._front.views.require(bck).props.of_s3.deleting != request.query.get("mark"):
            raise NotReady(f'bucket "{bck.name}" is not being deleted, as far as this target knows')
        is_empty = await asyncio.to_thread(self._volume.is_empty, bck)
        return web.Response(body=codec.to_json(is_empty))

    async def delete(self, request: web.Request) -> web.Response:
        """Delete keys of one bucket. Raise `BucketNotFound`."""
        message = codec.from_msgpack(await request.read(), DeleteKeys)
        view = self._front.views.require(Bck(message.bucket))
        if view.props.bid != message.bid or view.is_renamed:
            raise BucketNotFound(view.bck.cname())
        outcomes = await self._deletes.delete_keys(view, message.keys)
        return web.Response(body=codec.to_msgpack(outcomes))
