"""What targets tell of mountpaths that they gave up and that may return (`ais.api.returns`): it goes into the map."""

from aiohttp import web

from ais.api import codec, headers
from ais.api.returns import RETURNS, Message, Told
from ais.base.errors import AccessDenied
from ais.meta.smap import Smap
from ais.node.node import Node
from ais.proxy.relay import Relay
from ais.reb import plan


class Returns:
    """The endpoint. One per proxy."""

    def __init__(self, node: Node, relay: Relay) -> None:
        self._node = node
        self._relay = relay

    def routes(self) -> list[web.RouteDef]:
        """Of the control network."""
        return [web.put(RETURNS, self.tell)]

    async def tell(self, request: web.Request) -> web.Response:
        """Change the map; every node has it on return, and the answer is its version. Raise `AccessDenied` but for a
        target, which speaks of itself.
        """
        target_id = request.headers.get(headers.CALLER_ID, "")
        if target_id not in self._node.smap.tmap:
            raise AccessDenied(f"{RETURNS} is for targets of the cluster")
        if (answer := await self._relay.to_primary(request)) is not None:
            return answer
        told = codec.from_json(await request.read(), Message).told

        def change(smap: Smap) -> Smap:
            if target_id not in smap.tmap:
                return smap
            match told:
                case Told.GONE:
                    return plan.lacking(smap, target_id)
                case Told.BACK:
                    return plan.back(smap, target_id)
                case Told.WHOLE:
                    return plan.whole(smap, target_id)

        smap = await self._node.changes.change_smap(change)
        return web.Response(text=str(int(smap.version)))
