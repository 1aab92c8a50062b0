"""Objects of buckets that have a backend, over S3: read and deleted. The rest is refused before it begins."""

from collections.abc import Awaitable, Callable

from ais.base.errors import ObjectNotFound
from ais.core.versions import NULL
from ais.net.http import AnyReply, Reply
from ais.s3 import conditions
from ais.s3.conditions import Current, http_date
from ais.s3.errors import S3Error
from ais.s3.operations import Op
from ais.stats import names as metrics
from ais.stats.tracker import Tracker
from ais.target.moves import Moves
from ais.target.remote.cold import Cold
from ais.target.remote.through import Through
from ais.target.s3.ask import S3Ask

Handler = Callable[[S3Ask], AnyReply | Awaitable[AnyReply]]
_READS = frozenset({Op.GET_OBJECT, Op.GET_OBJECT_ATTRIBUTES})


class RemoteObjects:
    """One per target."""

    def __init__(self, moves: Moves, cold: Cold, through: Through, stats: Tracker) -> None:
        self._moves = moves
        self._cold = cold
        self._through = through
        self._stats = stats

    async def serve(self, handler: Handler, ask: S3Ask) -> AnyReply:
        """Answer a request; `handler` answers for what is here. Raise `S3Error`, and what the backend raises."""
        if ask.version_id not in (None, NULL):
            raise S3Error("NotImplemented", "Versions of objects in remote buckets are read at their backend")
        op = ask.request.op
        if op is Op.DELETE_OBJECT:
            return await self._delete(ask)
        if op is not Op.HEAD_OBJECT and op not in _READS:
            raise S3Error("NotImplemented", f"Remote buckets do not support this over S3 yet: {op.name}")
        await self._moves.settle(ask.view, ask.key)
        if op is not Op.HEAD_OBJECT:
            await self._cold.ensure(ask.view, ask.key)
        try:
            reply = handler(ask)
            return await reply if isinstance(reply, Awaitable) else reply
        except ObjectNotFound:
            if op is not Op.HEAD_OBJECT:
                raise
        return await self._head(ask)

    async def _delete(self, ask: S3Ask) -> Reply:
        if conditions.read_delete(ask.request).any:
            raise S3Error("NotImplemented", "Remote buckets do not support conditional deletes")
        await self._moves.settle(ask.view, ask.key)
        await self._through.delete(ask.view, ask.key)
        self._stats.inc(metrics.DEL_N)
        return ask.reply(204)

    async def _head(self, ask: S3Ask) -> Reply:
        found = await self._through.head(ask.view, ask.key)
        conditions.check_read(
            conditions.read(ask.request.http.headers), Current(found.etag, found.modified_s, found.size)
        )
        self._stats.inc(metrics.HEAD_N)
        lines = ask.head(
            [
                ("ETag", f'"{found.etag}"'),
                ("Last-Modified", http_date(found.modified_s)),
                ("Accept-Ranges", "bytes"),
                ("Content-Type", found.content_type or "binary/octet-stream"),
                *found.user.items(),
            ]
        )
        return Reply(200, lines, length=found.size)
