"""Which requests are those of nodes: signed with the join secret, where the cluster has one (`ais.auth.nodes`).

Without a join secret everybody who reaches the control network is believed, as in AIStore; the log says so.
"""

from collections.abc import Awaitable, Callable, Iterable

from aiohttp import web

from ais.api import headers
from ais.auth import nodes
from ais.auth.nodes import NodeKey
from ais.base.errors import AccessDenied
from ais.net.http import AnyReply, Request, Route

_CALLER = headers.CALLER_ID.lower()
_HEADER = nodes.HEADER.lower()
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Trust:
    """Signs for one node, and asks for signatures. `secret` empty: nobody signs."""

    def __init__(self, secret: bytes, caller: str, now_s: Callable[[], float]) -> None:
        self._caller = caller
        # A head is seen twice, before it is routed and where its body is: each place remembers nonces of its own.
        self._heads = NodeKey(secret, now_s) if secret else None
        self._bodies = NodeKey(secret, now_s) if secret else None

    @property
    def is_closed(self) -> bool:
        """Whether only nodes that know the secret are believed."""
        return self._heads is not None

    def sign(self, method: str, target: str, body: bytes | None) -> dict[str, str]:
        """The header lines of a request of ours; `target` is path and query, `body` None when it is streamed."""
        return {} if self._heads is None else {nodes.HEADER: self._heads.sign(self._caller, method, target, body)}

    def guard(self, route: Route) -> Route:
        """Refuse requests that pretend to be a node's, before anything looks at them."""
        key = self._heads
        if key is None:
            return route

        def answer(request: Request) -> AnyReply | Awaitable[AnyReply] | None:
            if request.headers.is_internal and (caller := request.headers.get(_CALLER)) is not None:
                proof = key.verify(request.headers.get(_HEADER) or "", request.method, request.target)
                if proof.caller != caller:
                    raise AccessDenied(f"the request of {caller[:40]} is signed by {proof.caller[:40]}")
            return route(request)

        return answer

    def only_nodes(self, routes: Iterable[web.RouteDef]) -> list[web.RouteDef]:
        """The same routes, for nodes only."""
        return [
            web.RouteDef(route.method, route.path, self._for_nodes(route.handler), route.kwargs) for route in routes
        ]

    def _for_nodes(self, handler: Handler) -> Handler:
        key = self._bodies
        if key is None:
            return handler

        async def handle(request: web.Request) -> web.StreamResponse:
            proof = key.verify(request.headers.get(nodes.HEADER, ""), request.method, request.raw_path)
            if proof.body != nodes.STREAMED and proof.body != nodes.digest_of(await request.read()):
                raise AccessDenied("the body is not the one that was signed")
            return await handler(request)

        return handle


OPEN = Trust(b"", "", lambda: 0.0)
"""Of a cluster without a join secret."""
