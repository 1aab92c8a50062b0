"""`ais.node.service` on aiohttp: which of its paths a listener has, and the shell that turns requests into calls."""

from collections.abc import Awaitable, Callable

import msgspec
from aiohttp import web

from ais.base.errors import AccessDenied
from ais.env.network import Answer
from ais.net.app import params_of
from ais.net.http import Network
from ais.node import service
from ais.node.clients import Clients
from ais.node.guard import Guard, Needs, admin, anybody, show_cluster
from ais.node.health import HEALTH
from ais.node.membership import JOIN
from ais.node.node import DAEMON, Node
from ais.node.trust import OPEN, Trust
from ais.stats import prometheus

METRICS = "/metrics"
_PUT_OF_DAEMON = [path for method, path in service.HANDLERS if method == "PUT" and path.startswith(DAEMON)]
_PUBLIC = {("GET", HEALTH), ("GET", DAEMON), ("POST", JOIN)}
"""What is on the public network; the rest is on the control network."""
_CLIENTS = _PUBLIC - {("POST", JOIN)}
"""What everybody may ask; the rest is for nodes."""


def routes(node: Node, networks: Network, trust: Trust = OPEN) -> list[web.RouteDef]:
    """The node's own routes for a listener that carries these networks (wire contract §23)."""
    if not networks & (Network.PUBLIC | Network.CONTROL):
        return []
    guard = Guard(Clients(node), networks, _needs_of)
    found: list[web.RouteDef] = []
    for method, path in service.HANDLERS:
        one = web.route(method, path, _shell(node))
        if (method, path) in _CLIENTS or (node.snode.is_proxy and path.startswith(DAEMON)):
            found += guard.guard([one])
        elif Network.CONTROL in networks or (method, path) in _PUBLIC:
            found += trust.only_nodes([one])
    if Network.PUBLIC in networks:
        found.append(web.get(METRICS, _metrics(node), allow_head=False))
        if Network.CONTROL not in networks:
            found += guard.guard(web.put(path, _public_put(node)) for path in _PUT_OF_DAEMON)
    return found


def _needs_of(method: str, path: str) -> Needs:
    if path == HEALTH:
        return anybody
    return show_cluster if method == "GET" else admin


def _shell(node: Node) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def answer(request: web.Request) -> web.Response:
        outcome = await service.dispatch(node, request.method, request.path, params_of(request), await request.read())
        return _response(request, outcome)

    return answer


def _public_put(node: Node) -> Callable[[web.Request], Awaitable[web.Response]]:
    """Proxies take actions for themselves on the public network; targets only from the control network."""
    shell = _shell(node)

    async def answer(request: web.Request) -> web.Response:
        if not node.snode.is_proxy:
            raise AccessDenied(
                f"{node.snode.name} takes {request.method} {request.path} from its control network only: send it to a"
                f" proxy as {request.method} /v1/reverse/daemon with the header Ais-Node-Id: {node.snode.id}"
            )
        return await shell(request)

    return answer


def _response(request: web.Request, outcome: Answer) -> web.Response:
    body = outcome.body
    is_json = outcome.headers.get("content-type", "").startswith("application/json")
    if is_json and request.headers.get("User-Agent", "").startswith("Mozilla/5.0"):
        body = msgspec.json.format(body, indent=4)
    return web.Response(status=outcome.status, headers=outcome.headers, body=body)


def _metrics(node: Node) -> Callable[[web.Request], Awaitable[web.Response]]:
    exporter = prometheus.Exporter(node.stats, node.snode.id)

    async def answer(_request: web.Request) -> web.Response:
        body = await node.offload(exporter.render)
        return web.Response(body=body, headers={"content-type": prometheus.CONTENT_TYPE})

    return answer
