"""Which requests are those of nodes, where the cluster has a join secret (`ais.auth.nodes`, `ais.auth.pairs`).

Nodes of the cluster map are known by their own keys. The join secret lets in whoever is not known yet: to ask to join,
to be asked who it is, to be told what the cluster is while it has lost it; and nodes of earlier versions, of which the
map has no keys. Without a join secret everybody who reaches the control network is believed, as in AIStore; the log
says so.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterable
from typing import NamedTuple, Protocol

from aiohttp import web

from ais.api import headers
from ais.auth import nodes
from ais.auth.nodes import Nonces, Proof
from ais.auth.pairs import PairKeys
from ais.base.errors import AccessDenied, NotReady
from ais.meta.smap import Smap
from ais.net.client import SIGNED_ASIDE_BYTES
from ais.net.http import AnyReply, Request, Route
from ais.node.authors import AUTHORS, check_author
from ais.node.changes import TXN
from ais.node.election import TAKE_OVER, VOTE
from ais.node.membership import FORWARDED, IDENTITY, JOIN
from ais.node.reign import METASYNC

_CALLER = headers.CALLER_ID.lower()
_HEADER = nodes.HEADER.lower()
_PAIR = nodes.PAIR_HEADER.lower()
_OTHER_BODY = "the body is not the one that was signed"
_OF_GATEWAYS = frozenset((("PUT", METASYNC), ("POST", TXN), ("POST", VOTE), ("POST", TAKE_OVER)))
"""What a target has no business to say, whatever it signs with."""
_DATA = ("/v1/objects/", "/v1/ec/")
"""How the paths of the data path begin: no handler of the other server has them."""
_IS_KNOWN: web.RequestKey[bool] = web.RequestKey("is known to be a node's", bool)
LISTENERS_MAX = 1024
KNOWN_LOOKS_MAX, KNOWN_PAUSE_S = 100, 0.05
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Membership(Protocol):
    """What is known of the cluster. The values are replaced, never changed."""

    @property
    def smap(self) -> Smap: ...
    @property
    def is_lost(self) -> bool:
        """Whether this node hears no primary: it may be told by one that it does not know."""


class Signer(NamedTuple):
    """Who signed a request, and the body that was signed (`Proof.body`)."""

    id: str
    body: str
    is_gateway: bool
    """One of the cluster map."""


class _Nowhere:
    smap = Smap()
    is_lost = True


class Trust:
    """Signs for one node, and asks for signatures. Neither secret nor key: nobody signs."""

    def __init__(self, secret: bytes, caller: str, now_s: Callable[[], float], own: PairKeys | None = None) -> None:
        self._caller = caller
        self._joins: tuple[bytes, ...] = (nodes.join_key(secret),) if secret else ()
        """Keys of the join secret, and for a while after a change of the one before."""
        self._joins_until_s = 0.0
        self._own = own
        self._now_s = now_s
        self._host: Membership = _Nowhere()
        self._listeners: tuple[Smap, dict[str, tuple[str, ...]]] = (Smap(), {})
        # A head is seen twice, before it is routed and where its body is: each place remembers nonces of its own.
        self._heads, self._bodies = Nonces(now_s), Nonces(now_s)
        self._only_nodes: set[tuple[str, re.Pattern[str]]] = set()
        """Method and path of what verifies signatures itself, and waits for the map where it has to."""

    def follow(self, host: Membership) -> None:
        """Know the nodes that `host` knows, from now on."""
        self._host = host

    @property
    def is_closed(self) -> bool:
        """Whether only nodes are believed that prove to be such."""
        return bool(self._joins) or self._own is not None

    def renew(self, secret: bytes, grace_s: float) -> bool:
        """Sign with another join secret too, and with that alone when `grace_s` is over. Tell whether it is another."""
        key = nodes.join_key(secret)
        if not self._joins or key == self._joins[0]:
            return False
        self._joins, self._joins_until_s = (key, self._joins[0]), self._now_s() + grace_s
        return True

    @property
    def _join_keys(self) -> tuple[bytes, ...]:
        if len(self._joins) > 1 and self._now_s() >= self._joins_until_s:
            self._joins = self._joins[:1]
        return self._joins

    def sign(self, method: str, url: str, body: bytes | None) -> dict[str, str]:
        """The header lines of a request of ours to this URL; `body` None when it is streamed."""
        if not self.is_closed:
            return {}
        start = url.find("/", url.find("://") + 3)
        target = url[start:] if start >= 0 else "/"
        proof = Proof.make(self._caller, self._now_s(), body)
        lines = {}
        if self._own is not None and (theirs := self._keys_at(url[:start])):
            lines[nodes.PAIR_HEADER] = proof.sign(self._own.shared(theirs[0]), method, target)
        if keys := self._join_keys:
            proof = proof._replace(tag=",".join(proof.sign(key, method, target) for key in keys))
        return {nodes.HEADER: str(proof), **lines}

    def _keys_at(self, base: str) -> tuple[str, ...]:
        """The keys of the node that listens at `base`; one that was taken off the map is still told so."""
        smap = self._host.smap
        if self._listeners[0] is not smap:
            found = self._listeners[1] if len(self._listeners[1]) < LISTENERS_MAX else {}
            for node in smap.nodes.values():
                found |= dict.fromkeys((net.url for net in (node.public, node.control, node.data)), node.keys)
            self._listeners = smap, found
        return self._listeners[1].get(base, ())

    def guard(self, route: Route) -> Route:
        """Refuse requests that pretend to be a node's, before anything looks at them."""
        if not self.is_closed:
            return route

        def answer(request: Request) -> AnyReply | Awaitable[AnyReply] | None:
            if request.headers.is_internal and (caller := request.headers.get(_CALLER)) is not None:
                found = request.headers.get
                try:
                    signer = self._verified(found(_HEADER), found(_PAIR), request.method, request.target, self._heads)
                except NotReady:
                    if self._is_only_for_nodes(request):
                        return None  # its handler, which the other server has, waits by itself
                    if request.path.startswith("/v1/") and not request.path.startswith(_DATA):
                        raise  # other handlers there believe what came this far
                    return self._answer_later(request, caller, answer)
                if signer.id != caller:
                    raise AccessDenied(f"the request of {caller[:40]} is signed by {signer.id[:40]}")
            return route(request)

        return answer

    def require_body(self, request: Request, body: memoryview) -> None:
        """Raise `AccessDenied` unless this is the body of a node's request that `guard` let pass."""
        if self.is_closed and Proof.parse(request.headers.get(_HEADER) or "").body != nodes.digest_of(bytes(body)):
            raise AccessDenied(_OTHER_BODY)

    async def _answer_later(self, request: Request, caller: str, answer: Route) -> AnyReply:
        await self._until_known(caller)
        reply = answer(request)
        if reply is None:
            raise NotReady(f"{caller[:40]} has just joined, or this node has: try again in a moment")
        return await reply if isinstance(reply, Awaitable) else reply

    async def _until_known(self, caller: str) -> None:
        """Wait for the cluster map with a node that has just joined; where we have just joined, for any."""
        for _ in range(KNOWN_LOOKS_MAX):
            if self._host.smap.get(caller) is not None:
                return
            await asyncio.sleep(KNOWN_PAUSE_S)
        raise NotReady(f"{caller[:40]} is not in the cluster map that this node has: try again in a moment")

    def only_nodes(self, routes: Iterable[web.RouteDef]) -> list[web.RouteDef]:
        """The same routes, for nodes only."""
        routes = list(routes)
        self._only_nodes |= {(route.method, _pattern_of(route.path)) for route in routes}
        return [
            web.RouteDef(route.method, route.path, self._for_nodes(route.handler), route.kwargs) for route in routes
        ]

    def _is_only_for_nodes(self, request: Request) -> bool:
        path = request.path
        return any(method == request.method and pattern.fullmatch(path) for method, pattern in self._only_nodes)

    def _for_nodes(self, handler: Handler) -> Handler:
        if not self.is_closed:
            return handler

        async def handle(request: web.Request) -> web.StreamResponse:
            if request.get(_IS_KNOWN):  # it is asked again (`ais.net.app`)
                return await handler(request)
            found = request.headers.get
            signed = found(nodes.HEADER), found(nodes.PAIR_HEADER), request.method, request.raw_path, self._bodies
            try:
                signer = self._verified(*signed)
            except NotReady:
                await self._until_known(Proof.parse(signed[0] or "").caller)
                signer = self._verified(*signed)
            if signer.body != nodes.STREAMED and signer.body != await _digest_of(await request.read()):
                raise AccessDenied(_OTHER_BODY)
            if signer.id != request.headers.get(headers.CALLER_ID, signer.id):
                raise AccessDenied("the request is signed by another node")
            await self._check_author(request, signer)
            request[_IS_KNOWN] = True
            return await handler(request)

        return handle

    async def _check_author(self, request: web.Request, signer: Signer) -> None:
        if request.path == JOIN and FORWARDED in request.query:
            if not signer.is_gateway:
                raise AccessDenied(f"{signer.id[:40]} is no gateway of the cluster: it asks for no other node")
        elif (request.method, request.path) in AUTHORS:
            if signer.body == nodes.STREAMED:
                raise AccessDenied("the body is not signed")
            check_author(request.method, request.path, await request.read(), signer.id)

    def _verified(self, header: str | None, pair: str | None, method: str, target: str, nonces: Nonces) -> Signer:
        """Who signed a request; the body is the caller's to compare. Raise `AccessDenied`.

        Raise `NotReady` for who has the join secret and is not in our cluster map, which may lag by some moments.
        """
        proof = Proof.parse(header or "")
        path = target.partition("?")[0]
        node = self._host.smap.get(proof.caller)
        is_known = False
        if node is not None and self._own is not None:
            shared = (one for key in node.keys for one in self._own.shared_all(key))
            is_known = any(proof.is_signed(pair or "", one, method, target) for one in shared)
        if not is_known:
            is_new = path in (JOIN, IDENTITY) or (path == METASYNC and self._host.is_lost)
            tags = proof.tag.split(",", nodes.JOIN_TAGS_MAX)[: nodes.JOIN_TAGS_MAX]
            has_secret = any(proof.is_signed(tag, key, method, target) for key in self._join_keys for tag in tags)
            if node is None and has_secret and path == METASYNC and not is_new:
                raise AccessDenied(f"{proof.caller[:40]} is not in the cluster map of this node: it is no primary")
            if node is None and has_secret and not is_new:
                raise NotReady(f"{proof.caller[:40]} is not in the cluster map that this node has")
            if not (is_new or (node is not None and not node.keys)):
                raise AccessDenied("the request is not signed by a node of this cluster")
            if not has_secret:
                raise AccessDenied("the request is not signed with the join secret of this cluster")
        if node is not None and not node.is_proxy and (method, path) in _OF_GATEWAYS:
            raise AccessDenied(f"{node.name} is a target: {method} {path} is for gateways")
        nonces.take(proof.nonce, proof.time_s)
        is_member = node is not None and (is_known or not node.keys)
        return Signer(proof.caller, proof.body, node is not None and node.is_proxy and is_member)


async def _digest_of(body: bytes) -> str:
    """Of a long one beside the event loop: of 30 MB it takes 40 ms."""
    return nodes.digest_of(body) if len(body) < SIGNED_ASIDE_BYTES else await asyncio.to_thread(nodes.digest_of, body)


def _pattern_of(path: str) -> re.Pattern[str]:
    """What an aiohttp path, in which names may stand for elements (`{bucket}`, `{tail:.+}`), matches."""
    pieces = re.split(r"(\{\w+(?::[^{}]+)?\})", path)
    return re.compile("".join(_piece(one) if one.startswith("{") else re.escape(one) for one in pieces))


def _piece(named: str) -> str:
    return f"(?:{named[1:-1].partition(':')[2] or '[^/]+'})"


OPEN = Trust(b"", "", lambda: 0.0)
"""Of a cluster without a join secret."""
