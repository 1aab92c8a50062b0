"""`/v1/auth/keys`: making, listing, disabling and removing the access keys that S3 requests are signed with.

Any proxy lists them. Changes are the primary's: another proxy passes the request on to it. A key's secret leaves the
cluster once, in the answer to the request that makes it.
"""

from aiohttp import web

from ais.api import codec
from ais.api.access_keys import KEYS, CreatedKey, KeyInfo, KeyState, NewKey
from ais.api.codec import U64
from ais.auth.keys import AccessKey, AccessKeys, import_key, new_key
from ais.base.errors import BadRequest, Conflict
from ais.net.app import params_of
from ais.node.node import Node
from ais.proxy.relay import Relay
from ais.proxy.requests import json_reply, route

_ONE_KEY = KEYS + "/{id}"


class Auth:
    """The endpoint. One per proxy."""

    def __init__(self, node: Node, relay: Relay) -> None:
        self._node = node
        self._relay = relay

    def routes(self) -> list[web.RouteDef]:
        """All keys, and one."""
        return [
            web.post(KEYS, self.create),
            route("GET", KEYS, self.list_keys),
            web.patch(_ONE_KEY, self.change),
            web.delete(_ONE_KEY, self.remove),
        ]

    async def create(self, request: web.Request) -> web.Response:
        """A new key, or one that exists elsewhere. Raise `BadRequest`, `AlreadyExists`, `Conflict`."""
        wanted = codec.from_json(await request.read(), NewKey)
        if bool(wanted.id) != bool(wanted.secret):
            raise BadRequest("a key is imported with both its id and its secret: give the other one too, or neither")
        if (answer := await self._relay.to_primary(request)) is not None:
            return answer
        key, secret = self._make(wanted)
        await self._node.change_keys(lambda keys: _with_key(keys, key))
        return json_reply(request, CreatedKey(key.id, secret, key.user, key.created))

    def _make(self, wanted: NewKey) -> tuple[AccessKey, str]:
        cluster_secret, now_ns = self._node.cluster_secret, self._node.env.clock.now_ns()
        if wanted.id:
            made = import_key(wanted.user, wanted.id, wanted.secret, cluster_secret, now_ns, admin=wanted.admin)
            return made, wanted.secret
        return new_key(wanted.user, cluster_secret, now_ns, admin=wanted.admin)

    async def list_keys(self, request: web.Request) -> web.Response:
        """All keys, or those of `user=`, in the order of users."""
        user = params_of(request).get("user")
        keys = [key for key in self._node.keys.keys.values() if user in (None, key.user)]
        keys.sort(key=lambda key: (key.user, key.id))
        return json_reply(
            request, [KeyInfo(key.id, key.user, U64(key.created), key.disabled, key.is_admin) for key in keys]
        )

    async def change(self, request: web.Request) -> web.Response:
        """Disable a key, or enable it again. Raise `NotFound`, `BadRequest`."""
        wanted = codec.from_json(await request.read(), KeyState)
        if (answer := await self._relay.to_primary(request)) is not None:
            return answer
        key_id = request.match_info["id"]
        await self._node.change_keys(lambda keys: keys.with_disabled(key_id, wanted.disabled))
        return web.Response()

    async def remove(self, request: web.Request) -> web.Response:
        """Remove a key for good. Raise `NotFound`."""
        if (answer := await self._relay.to_primary(request)) is not None:
            return answer
        key_id = request.match_info["id"]
        await self._node.change_keys(lambda keys: keys.without_key(key_id))
        return web.Response()


def _with_key(keys: AccessKeys, key: AccessKey) -> AccessKeys:
    """Raise `Conflict` for a user that an account made: who has a key of its acts for that account, with its rights."""
    if (taken := keys.iam.users.get(key.user)) is not None:
        raise Conflict(
            f'"{key.user}" is a user of the account "{taken.account}", made over IAM: that account makes its keys'
            " (iam create-access-key); choose another name for an account of its own"
        )
    return keys.with_key(key)
