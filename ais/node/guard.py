"""The gate in front of the aiohttp routes: each says what its client must be permitted, or the node does not start."""

from collections.abc import Awaitable, Callable, Iterable

from aiohttp import web
from aiohttp.typedefs import Handler

from ais.api import headers, query
from ais.api.access import Access
from ais.api.bucket import Bck
from ais.node.clients import Clients

Needs = Callable[[web.Request], Awaitable[list[tuple[Access, Bck | None]]]]
"""What a request needs: permissions on buckets, or (None) on the cluster. Nothing: everybody may, without a token."""
_FOR_ADMINS = ("log", "bmd")
"""What a node tells with secrets of clients in it: names of objects, policies."""


async def anybody(_request: web.Request) -> list[tuple[Access, Bck | None]]:
    """Nothing."""
    return []


async def admin(_request: web.Request) -> list[tuple[Access, Bck | None]]:
    """To be an administrator."""
    return [(Access.ADMIN, None)]


async def show_cluster(request: web.Request) -> list[tuple[Access, Bck | None]]:
    """To look at the cluster."""
    is_secret = request.query.get(query.WHAT) in _FOR_ADMINS
    return [(Access.ADMIN if is_secret else Access.SHOW_CLUSTER, None)]


class Guard:
    """Asks clients for tokens while they must prove who they are. Nodes are known by their signatures."""

    def __init__(self, clients: Clients, needs_of: Callable[[str, str], Needs | None]) -> None:
        """`needs_of` gives what a route of this method and path (as declared) needs."""
        self._clients = clients
        self._needs_of = needs_of

    def guard(self, routes: Iterable[web.RouteDef]) -> list[web.RouteDef]:
        """The same routes behind the gate. Raise `LookupError` for one of which nobody says what it needs."""
        return [self._guarded(route) for route in routes]

    def _guarded(self, route: web.RouteDef) -> web.RouteDef:
        needs, handler = self._needs_of(route.method, route.path), route.handler
        if needs is None:
            raise LookupError(f"nobody says what {route.method} {route.path} needs: see ais.proxy.permissions")
        return web.RouteDef(route.method, route.path, self._gate(needs, handler), route.kwargs)

    def _gate(self, needs: Needs, handler: Handler) -> Handler:
        if needs is anybody:
            return handler

        async def handle(request: web.Request) -> web.StreamResponse:
            if self._clients.must_prove and headers.CALLER_ID not in request.headers:
                claims = self._clients.of_header(request.headers.get("Authorization"))
                for needed, bck in await needs(request):
                    self._clients.require(claims, needed, bck)
            return await handler(request)

        return handle
