"""The gate in front of the aiohttp routes: each says what its client must be permitted, or the node does not start."""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Iterable

from aiohttp import web
from aiohttp.typedefs import Handler

from ais.api import headers, query
from ais.api.access import Access
from ais.api.bucket import Bck
from ais.auth.tokens import Claims
from ais.base.errors import AccessDenied, Unauthenticated
from ais.net.app import params_of
from ais.net.http import Network
from ais.node import author, signed
from ais.node.clients import Clients

Needs = Callable[[web.Request], Awaitable[list[tuple[Access, Bck | None]]]]
"""What a request needs: permissions on buckets, or (None) on the cluster. Nothing: everybody may, without a token."""
_FOR_ADMINS = ("log", "bmd", "quarantine")
"""What a node tells with secrets of clients in it: names of objects, policies."""
OF_TARGETS = Access.SHOW_CLUSTER | Access.LIST_OBJECTS
"""What targets ask for of what is there for clients: a stolen one's key makes nobody an administrator."""
_BYTES_ASIDE = 1 << 20


async def anybody(_request: web.Request) -> list[tuple[Access, Bck | None]]:
    """Nothing."""
    return []


async def admin(_request: web.Request) -> list[tuple[Access, Bck | None]]:
    """To be an administrator."""
    return [(Access.ADMIN, None)]


async def show_cluster(request: web.Request) -> list[tuple[Access, Bck | None]]:
    """To look at the cluster."""
    is_secret = params_of(request).get(query.WHAT) in _FOR_ADMINS
    return [(Access.ADMIN if is_secret else Access.SHOW_CLUSTER, None)]


class Guard:
    """Asks clients for tokens while they must prove who they are. Nodes are known by their signatures."""

    def __init__(self, clients: Clients, networks: Network, needs_of: Callable[[str, str], Needs | None]) -> None:
        """`networks` are those of the listener, `needs_of` gives what a route of this method and path needs."""
        self._clients = clients
        self._is_open = Network.LOCAL in networks
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
        if needs is anybody or self._is_open:
            return handler

        async def handle(request: web.Request) -> web.StreamResponse:
            if self._clients.must_prove:
                await self._admit(request, needs)
            return await handler(request)

        return handle

    async def _admit(self, request: web.Request, needs: Needs) -> None:
        caller = request.headers.get(headers.CALLER_ID)  # verified before the request got here (`ais.node.trust`)
        if caller is not None and self._clients.is_gateway(caller):
            return  # which passes on what it has admitted
        claims = await self._client(request) if caller is None else None
        for needed, bck in await needs(request):
            if claims is not None:
                self._clients.require(claims, needed, bck)
            elif needed & ~OF_TARGETS:
                raise AccessDenied(f"{caller} is no gateway: {request.method} {request.path} is for clients")
        if claims is not None:
            author.note(request, claims)

    async def _client(self, request: web.Request) -> Claims:
        authorization = request.headers.get("Authorization")
        if not signed.is_signed(authorization):
            return self._clients.of_header(authorization)
        claims, payload = self._clients.signed(request.method, request.raw_path, request.headers.items())
        body = await request.read()
        if payload != await _hash_of(body):
            raise Unauthenticated("invalid signature: x-amz-content-sha256 is not the SHA-256 of the body")
        return claims


async def _hash_of(body: bytes) -> str:
    if len(body) < _BYTES_ASIDE:
        return hashlib.sha256(body).hexdigest()
    return (await asyncio.to_thread(hashlib.sha256, body)).hexdigest()
