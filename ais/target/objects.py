"""The entrance of the data path: which handler serves a request head, and the count of those that fail."""

from collections.abc import Awaitable, Callable
from types import CoroutineType

from ais.api import batch, query
from ais.api.bucket import Bck
from ais.base.errors import AccessDenied, AisError
from ais.net.http import AnyReply, Network, Request
from ais.node import signed
from ais.node.clients import access_of
from ais.node.s3 import Gate
from ais.node.vault import KeyPending
from ais.stats.tracker import Tracker
from ais.target import address
from ais.target.address import PREFIX
from ais.target.counts import count_error
from ais.target.elsewhere import Elsewhere
from ais.target.keyring import with_keys
from ais.target.reads import Reads
from ais.target.recent import Recent
from ais.target.s3.front import S3Front
from ais.target.slices import Slices
from ais.target.writes import Writes

_WITHOUT_CONTENT = ("GET", "HEAD", "DELETE")
_FOR_CLIENTS = (PREFIX, batch.PATH)
"""How the paths begin that a target serves to clients whom a gateway sent, besides questions about itself."""
Handler = Callable[[Request], AnyReply | Awaitable[AnyReply] | None]


class Objects:
    """Requests on objects that carry no control message."""

    def __init__(
        self,
        stats: Tracker,
        recent: Recent,
        reads: Reads,
        writes: Writes,
        gate: Gate,
        s3: S3Front,
        slices: Slices,
        elsewhere: Elsewhere,
    ) -> None:
        self._of_peers = (slices.route, elsewhere.route)
        self._stats = stats
        self._gate = gate
        self._clients = gate.clients
        self._s3 = s3
        self._recent = recent
        self._handlers: dict[str, Handler] = {
            "GET": reads.get,
            "HEAD": reads.head,
            "PUT": writes.put,
            "DELETE": writes.delete,
        }

    def route(self, request: Request) -> AnyReply | Awaitable[AnyReply] | None:
        """Answer, or None for what belongs to the aiohttp application. Raise `AisError`."""
        if request.headers.is_browser:
            self._gate.check_page(request)
        if self._gate.is_never_native(request):
            return self._s3.route(request)
        if self._clients.must_prove and request.path.startswith(_FOR_CLIENTS) and not self._clients.is_node(request):
            return self._route_client(request)
        return self.native(request)

    def s3(self, request: Request) -> AnyReply | Awaitable[AnyReply]:
        """The same for what its path says is S3's."""
        if request.headers.is_browser:
            self._gate.check_page(request)
        return self._s3.route(request)

    def _route_client(self, request: Request) -> AnyReply | Awaitable[AnyReply] | None:
        """A request that a gateway admitted, or that has a token or an administrator's signature itself."""
        if self._clients.take_mark(request) or Network.LOCAL in request.networks:
            return self.native(request)
        authorization = request.headers.get("authorization")
        if authorization is None or not request.path.startswith(PREFIX):
            raise AccessDenied("direct target access denied")
        if signed.is_signed(authorization) and request.method not in _WITHOUT_CONTENT:
            raise AccessDenied("direct target access denied: nobody compares the content with its signature here")
        claims = self._clients.of_request(request)
        params, (name, _) = request.params, address.split_path(request.path)
        bck = Bck.parse(name, params.get(query.PROVIDER, ""), params.get(query.NAMESPACE, ""))
        if query.OBJECT_TO in params:
            raise AccessDenied("direct target access denied")
        self._clients.require(claims, access_of(request.method, appends=query.APPEND_TYPE in params), bck)
        reply = self.native(request)
        self._clients.bind(reply, claims)
        return reply

    def native(self, request: Request) -> AnyReply | Awaitable[AnyReply] | None:
        """The same for what its path says it is, and everybody may send, or has proved that they may."""
        if request.method == "GET" and (found := self._recent.get(request)) is not None:
            return found
        if not request.path.startswith(PREFIX):
            for of_peers in self._of_peers:
                if (answer := of_peers(request)) is not None:
                    return answer
            return self._s3.route(request) if self._gate.is_s3(request) else None
        handler = self._handlers.get(request.method)
        if handler is None:
            return None
        try:
            reply = handler(request)
        except KeyPending:
            return self._counted(handler, request, self._answer(handler, request))
        except AisError as error:
            count_error(self._stats, request.method, error)
            raise
        return self._counted(handler, request, reply) if type(reply) is CoroutineType else reply

    async def _counted(self, handler: Handler, request: Request, reply: Awaitable[AnyReply]) -> AnyReply:
        try:
            return await reply
        except KeyPending:
            return await self._answer(handler, request)
        except AisError as error:
            count_error(self._stats, request.method, error)
            raise

    async def _answer(self, handler: Handler, request: Request) -> AnyReply:
        """With the keys that it needs, which have to be fetched."""
        reply = await with_keys(lambda: handler(request))
        assert reply is not None
        return reply
