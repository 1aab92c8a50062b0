"""`/v1/reverse`: requests to one node that clients send through a proxy (wire contract §12.3)."""

from aiohttp import web

from ais.api import headers
from ais.base.errors import BadRequest, Unreachable
from ais.node.node import DAEMON, Node
from ais.proxy.relay import Relay
from ais.proxy.requests import route

REVERSE = "/v1/reverse"


class Reverse:
    """The endpoint. One per proxy."""

    def __init__(self, node: Node, relay: Relay) -> None:
        self._node = node
        self._relay = relay

    def routes(self) -> list[web.RouteDef]:
        """`/v1/reverse/daemon` and below."""
        paths = (REVERSE + "/daemon", REVERSE + "/daemon/{tail:.+}")
        return [route(verb, path, self.pass_on) for path in paths for verb in ("GET", "POST", "PUT", "DELETE")]

    async def pass_on(self, request: web.Request) -> web.Response:
        """What the node says. Raise `BadRequest` without a node's ID, `NodeNotFound` for an unknown one."""
        node_id = request.headers.get(headers.NODE_ID, "")
        if not node_id:
            raise BadRequest(f"header {headers.NODE_ID} is missing: it names the node to ask")
        node = self._node.smap.require(node_id)
        try:
            return await self._relay.pass_on(request, node, DAEMON + request.raw_path[len(REVERSE + "/daemon") :])
        except Unreachable:
            return web.Response(status=502)
