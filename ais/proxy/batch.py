"""Get-batch at a proxy (wire contract §13.6): checks the request, sends the client to the target that will answer."""

from collections import Counter
from collections.abc import Sequence
from functools import partial

from aiohttp import web
from msgspec.structs import replace

from ais.api import access, batch, query
from ais.api.access import Access
from ais.api.batch import BatchMsg
from ais.api.bucket import Bck
from ais.base.errors import BadRequest
from ais.base.ids import new_id
from ais.meta.smap import Snode
from ais.net.app import params_of
from ais.node.long import aside, decoded
from ais.node.node import Node
from ais.proxy.redirect import Mark, require_bucket
from ais.proxy.requests import route
from ais.shard import formats

_COLOCATIONS = ("", "0", "1", "2")


class Batches:
    """Redirects batches."""

    def __init__(self, node: Node, mark: Mark) -> None:
        self._node = node
        self._mark = mark

    def routes(self) -> list[web.RouteDef]:
        """Of the public network."""
        return [route("GET", batch.PATH, self._get), route("GET", batch.PATH + "/{bucket}", self._get)]

    async def _get(self, request: web.Request) -> web.Response:
        params, name = params_of(request), request.match_info.get("bucket", "")
        message = await decoded(await request.read(), BatchMsg.parse)
        formats.by_mime(message.mime)
        default = Bck.parse(name, params.get(query.PROVIDER, ""), params.get(query.NAMESPACE, "")) if name else None
        look = partial(batch.buckets_of, default=default)
        bcks, distinct = await aside(len(message.entries), look, message.entries)
        for bck in distinct:
            bucket = require_bucket(self._node.bmd, bck)
            access.require(bucket.props.access, Access.GET, bck.cname())
        if params.get(batch.COLOCATION, "") not in _COLOCATIONS or message.colocation not in range(3):
            raise BadRequest("invalid coloc: expected 0 (none), 1 (by target) or 2 (by target and shard)")
        message = replace(message, colocation=message.colocation or int(params.get(batch.COLOCATION) or 0))
        target = await aside(len(bcks) if message.colocation else 0, partial(choose, self._node, message), bcks)
        path, _, query_string = request.raw_path.partition("?")
        rng, me = self._node.env.rng, self._node.snode
        tail = f"gbt-{new_id(rng)}/{me.id}-{new_id(rng)}/{len(message.entries)}"
        given = f"{query_string}&" if query_string else ""
        if self._node.config.cluster.auth.is_closed:
            given += f"{batch.BUCKETS}={batch.digest_of(distinct)}&"
        location = f"{path}/{tail}?{given}{query.PROXY_ID}={me.id}"
        location = self._mark(target.id, request.method, location)
        time = f"&{query.REDIRECT_TIME}={self._node.env.clock.now_ns()}"
        return web.Response(status=307, headers={"Location": f"{target.public.url}{location}{time}"})


def choose(node: Node, message: BatchMsg, bcks: Sequence[Bck]) -> Snode:
    """Whoever owns most of it when the client says that this is worth a look; otherwise any target."""
    placement = node.placement
    if not message.colocation:
        return placement.owner(new_id(node.env.rng))
    pairs = zip(bcks, message.entries, strict=True)
    owners = Counter(placement.owner(f"{bck.uname}{entry.name}").id for bck, entry in pairs)
    return node.smap.tmap[owners.most_common(1)[0][0]]
