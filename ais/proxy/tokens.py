"""`/v1/tokens`: AuthN asks whether we take its tokens, and says which ones it took back (wire contract §28)."""

import msgspec
from aiohttp import web

from ais.api import codec
from ais.auth.tokens import BadToken
from ais.base.errors import BadRequest
from ais.node.clients import Clients
from ais.node.node import Node
from ais.proxy.relay import Relay

TOKENS = "/v1/tokens"


class _Revoked(msgspec.Struct, frozen=True):
    tokens: tuple[str, ...] = ()


class Tokens:
    """The endpoint. One per proxy."""

    def __init__(self, node: Node, clients: Clients, relay: Relay) -> None:
        self._node = node
        self._clients = clients
        self._relay = relay

    def routes(self) -> list[web.RouteDef]:
        """Validation and revocation."""
        return [web.post(TOKENS, self.validate), web.delete(TOKENS, self.revoke)]

    async def validate(self, request: web.Request) -> web.Response:
        """200 when the token of this request is good here. Raise `Unauthenticated`."""
        self._clients.of_header(request.headers.get("Authorization"))
        return web.Response()

    async def revoke(self, request: web.Request) -> web.Response:
        """Take tokens back, on every node before the answer. Tokens that are not good here anyway are passed over."""
        named = codec.from_json(await request.read(), _Revoked).tokens
        if not named:
            raise BadRequest('no tokens to revoke: expected {"tokens": [...]}')
        if (answer := await self._relay.to_primary(request)) is not None:
            return answer
        found: dict[str, int] = {}
        for token in named:
            try:
                name, until_s = self._clients.revocable(token)
            except BadToken:
                continue
            found[name] = until_s
        now_s = self._node.env.clock.now_ns() / 1e9
        await self._node.change_keys(lambda keys: keys.with_revoked(found, now_s))
        return web.Response()
