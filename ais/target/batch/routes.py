"""Get-batch at a target (wire contract §13.6): the client's request, and the part of it that other targets ask for."""

import asyncio
import secrets
from contextlib import aclosing, closing
from functools import partial

from aiohttp import web

from ais.api import batch, codec, headers, query
from ais.api.access import Access
from ais.api.batch import BatchMsg, Part, Result
from ais.api.bucket import Bck
from ais.base.errors import AccessDenied
from ais.core.store import Store
from ais.net.client import PeerClient
from ais.net.http import Network
from ais.node.long import aside, decoded
from ais.shard import formats
from ais.target.batch import frames
from ais.target.batch.answer import Answer
from ais.target.batch.reading import LocalReader, Wanted
from ais.target.front import Front
from ais.target.host import Host, require_node
from ais.target.opening import Opening
from ais.target.shard_index import ShardIndexes

_TAIL = "/{xid}/{wid}/{count}"


class Batches:
    """Serves both."""

    def __init__(
        self, host: Host, front: Front, store: Store, opening: Opening, peers: PeerClient, indexes: ShardIndexes
    ) -> None:
        self._indexes = indexes
        self._host = host
        self._front = front
        self._store = store
        self._opening = opening
        self._peers = peers

    def routes(self, networks: Network) -> list[web.RouteDef]:
        """The routes of a listener that carries `networks`."""
        found: list[web.RouteDef] = []
        if networks & (Network.PUBLIC | Network.DATA):
            found += [
                web.get(batch.PATH + _TAIL, self.get, allow_head=False),
                web.get(batch.PATH + "/{bucket}" + _TAIL, self.get, allow_head=False),
            ]
        return found

    def data_routes(self) -> list[web.RouteDef]:
        """Of the data network, for other targets."""
        return [web.post(batch.PART, self.send_part)]

    async def get(self, request: web.Request) -> web.StreamResponse:
        """All entries as one archive, alone or behind a part with metadata."""
        message = await decoded(await request.read(), BatchMsg.parse)
        kind = formats.by_mime(message.mime)
        answer = Answer(self._host, self._peers, self._reader(), message, await self._buckets(request, message))
        needs_outline = not (message.is_streaming and message.continue_on_error)
        outline = await answer.outline() if needs_outline else None
        if message.is_streaming:
            response = web.StreamResponse(headers={"Content-Type": kind.content_type})
            start = end = b""
        else:
            boundary = secrets.token_hex(30)
            response = web.StreamResponse(headers={"Content-Type": f"multipart/mixed; boundary={boundary}"})
            start = _metadata(boundary, Result(request.match_info["xid"], outline or []))
            end = f"\r\n--{boundary}--\r\n".encode()
        response.enable_chunked_encoding()
        async with aclosing(answer.archive(kind, outline)) as archive:
            first = await anext(archive)
            await response.prepare(request)
            await response.write(start + first)
            async for piece in archive:
                await response.write(piece)
        await response.write_eof(end)
        return response

    async def send_part(self, request: web.Request) -> web.StreamResponse:
        """The entries that another target needs of us, as `ais.target.batch.frames`."""
        require_node(self._host, request, batch.PART)
        wanted, only_sizes = await decoded(await request.read(), _wanted)
        node = self._host.snode.name
        response = web.StreamResponse()
        response.enable_chunked_encoding()
        await response.prepare(request)
        async with aclosing(self._reader().read_all(wanted, only_sizes=only_sizes)) as groups:
            async for group in groups:
                out: list[bytes] = []
                for one in group:
                    out += (frames.head(one.size, one.error, node), one.data or b"")
                await response.write(b"".join(out))
                if (pieces := group[-1].pieces) is not None:
                    with closing(pieces):
                        while piece := await asyncio.to_thread(next, pieces, b""):
                            await response.write(piece)
        await response.write_eof()
        return response

    def _reader(self) -> LocalReader:
        return LocalReader(self._front.views, self._store, self._opening, self._indexes)

    def _asks(self, request: web.Request) -> bool:
        return self._host.config.cluster.auth.is_closed and headers.CALLER_ID not in request.headers

    async def _buckets(self, request: web.Request, message: BatchMsg) -> list[Bck]:
        """The bucket of each entry. Raise `BadRequest`, `BucketNotFound`, `AccessDenied`."""
        name = request.match_info.get("bucket", "")
        params = request.query
        default = Bck.parse(name, params.get(query.PROVIDER, ""), params.get(query.NAMESPACE, "")) if name else None
        look = partial(batch.buckets_of, default=default)
        bcks, distinct = await aside(len(message.entries), look, message.entries)
        if self._asks(request) and params.getall(batch.BUCKETS, []) != [batch.digest_of(distinct)]:
            raise AccessDenied("the gateway has permitted other buckets than those that the batch names")
        for bck in distinct:
            self._front.views.require(bck).require(Access.GET)
        return bcks


def _metadata(boundary: str, result: Result) -> bytes:
    """The first part of a multipart answer, and the head of the second."""
    return b"".join(
        (
            f'--{boundary}\r\nContent-Disposition: form-data; name="metadata"\r\n\r\n'.encode(),
            codec.to_json(result),
            f'\r\n--{boundary}\r\nContent-Disposition: form-data; name="archive";'
            f' filename="get-batch[{result.uuid}]"\r\nContent-Type: application/octet-stream\r\n\r\n'.encode(),
        )
    )


def _wanted(body: bytes) -> tuple[list[Wanted], bool]:
    """What another target asks for, and whether it wants sizes only. Raise `BadRequest`."""
    part = codec.from_msgpack(body, Part)
    bcks = [Bck.parse(name, provider, namespace) for name, provider, namespace in part.buckets]
    found = [Wanted(bcks[number], name, path, start, length) for number, name, path, start, length in part.entries]
    return found, part.only_sizes
