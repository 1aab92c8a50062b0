"""What gateways ask a target on behalf of S3 requests (`ais.s3.peers`), on the control network."""

import asyncio

from aiohttp import web

from ais.api import codec
from ais.api.bucket import Bck
from ais.base.errors import BucketNotFound, ChecksumMismatch, CorruptMetadata, NotReady
from ais.core.version_listing import VersionLister
from ais.s3 import peers
from ais.s3.documents import Deleted, KeyToDelete
from ais.s3.errors import as_s3
from ais.s3.peers import DeleteKeys
from ais.target.front import Front
from ais.target.moves import Moves
from ais.target.s3.deletes import Deletes
from ais.target.view import BucketView

_THERE_AT_ONCE_MAX = 16


class Control:
    """The endpoints. One per target."""

    def __init__(self, front: Front, versions: VersionLister, moves: Moves, deletes: Deletes) -> None:
        self._front = front
        self._versions = versions
        self._moves = moves
        self._deletes = deletes

    def routes(self) -> list[web.RouteDef]:
        """Endpoints of the control network."""
        return [web.get(peers.EMPTY, self.empty), web.post(peers.DELETE, self.delete)]

    async def empty(self, request: web.Request) -> web.Response:
        """Whether no version of any object is here. Raise `NotReady` unless this target took the deletion's mark."""
        bck = Bck(request.query.get("bucket", ""))
        if self._front.views.require(bck).props.of_s3.deleting != request.query.get("mark"):
            raise NotReady(f'bucket "{bck.name}" is not being deleted, as far as this target knows')
        found = await asyncio.to_thread(self._versions.page, bck, limit=1)
        return web.Response(body=codec.to_json(not found.entries))

    async def delete(self, request: web.Request) -> web.Response:
        """Delete keys of one bucket. Raise `BucketNotFound`."""
        message = codec.from_msgpack(await request.read(), DeleteKeys)
        view = self._front.views.require(message.bucket)
        if view.props.bid != message.bid or view.is_renamed:
            raise BucketNotFound(view.bck.cname())
        if view.remote is None:
            outcomes = [await self._delete(view, key, message.bypass) for key in message.keys]
        else:
            outcomes = await self._delete_there(view, message)
        return web.Response(body=codec.to_msgpack(outcomes))

    async def _delete_there(self, view: BucketView, message: DeleteKeys) -> list[Deleted]:
        """In a bucket at a backend, some at a time: each is a request of its own there."""
        turns = asyncio.Semaphore(_THERE_AT_ONCE_MAX)

        async def delete(key: KeyToDelete) -> Deleted:
            async with turns:
                return await self._delete(view, key, message.bypass)

        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(delete(key)) for key in message.keys]
        except BaseExceptionGroup as failures:
            raise failures.exceptions[0] from None
        return [task.result() for task in tasks]

    async def _delete(self, view: BucketView, key: KeyToDelete, bypass: bool) -> Deleted:
        is_conditional = key.etag or key.modified is not None or key.size is not None

        async def remove(since: int, _is_discarded: bool) -> Deleted:
            return await self._deletes.delete_key(view, key, bypass, since)

        try:
            if view.keeps_versions:
                await self._moves.until_owned(view, key.key)
            discard = None if is_conditional else key.version_id or ""
            return await self._moves.once_settled(view, key.key, remove, discard=discard)
        except (CorruptMetadata, ChecksumMismatch, NotReady) as error:  # it stays where it lies, the others are deleted
            known = as_s3(error)
            return Deleted(key.key, key.version_id or "", code=known.code, message=str(known))
