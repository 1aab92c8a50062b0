"""Passing a request on to another node and its answer back, unchanged (wire contract §12.3, §12.7)."""

import asyncio

from aiohttp import web

from ais.api import headers
from ais.base.errors import NotReady
from ais.env.network import Answer
from ais.meta.smap import Snode
from ais.node import author
from ais.node.node import Node

_REQUEST_HEADERS = (
    "Content-Type",
    "Accept",
    "User-Agent",
    "Authorization",
    headers.NODE_FLAGS,
    headers.REMOTE_ALIAS,
    headers.REMOTE_URL,
)
_NOT_OURS_TO_COPY = frozenset(
    ("connection", "content-length", "date", "keep-alive", "server", "transfer-encoding", "content-encoding")
)
TURNS = 5
"""Of the event loop, until it has seen that a client is gone: a node that was frozen finds requests long given up."""


class Relay:
    """Sends requests on behalf of clients."""

    def __init__(self, node: Node) -> None:
        self._node = node

    async def to_primary(self, request: web.Request, bid: int = 0) -> web.Response | None:
        """The primary's answer to a change, None when this node is primary and may decide itself.

        `bid` is that of the bucket which the change is about. Raise `NotReady`, also when the client has gone: nobody
        would know what has become of its request.
        """
        if self._node.is_primary:
            for _ in range(TURNS):
                await asyncio.sleep(0)
            if request.transport is None or request.transport.is_closing():
                raise NotReady("the client has gone")
            self._node.require_authority()
            return None
        primary = self._node.smap.primary
        if primary is None or primary.id == self._node.snode.id:
            raise NotReady("the cluster has no primary now: try again when it has elected one")
        if headers.CALLER_ID in request.headers:
            raise NotReady(f"{self._node.snode.name} is not the primary: {primary.name} is, try again")
        return await self.pass_on(request, primary, request.raw_path, bid)

    async def pass_on(self, request: web.Request, node: Snode, path_and_query: str, bid: int = 0) -> web.Response:
        """What `node` answers to this request at another path. Raise `Unreachable`."""
        kept = {name: request.headers[name] for name in _REQUEST_HEADERS if name in request.headers}
        kept[headers.AUTHOR] = author.of(request)
        if bid:
            kept[headers.BUCKET_ID] = str(bid)
        answer = await self._node.peers.call(
            request.method,
            node.control.url + path_and_query,
            headers=kept | {headers.CALLER_ID: self._node.snode.id, headers.CALLER_NAME: self._node.snode.name},
            body=await request.read(),
            timeout_s=float(self._node.config.cluster.client.client_long_timeout),
        )
        return to_response(answer)


def to_response(answer: Answer) -> web.Response:
    """A node's answer as our own."""
    kept = {name: value for name, value in answer.headers.items() if name not in _NOT_OURS_TO_COPY}
    return web.Response(status=answer.status, headers=kept, body=answer.body)
