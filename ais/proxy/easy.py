"""Easy URLs (wire contract §21): `/ais`, `/ais/<bucket>` and the same for `/gs` and `/az` list buckets and objects.

`/ais/<bucket>/<object>` is redirected as any other object request: see `ais.proxy.redirect`.
"""

from aiohttp import web

from ais.api import query
from ais.api.bucket import Bck
from ais.api.messages import ActMsg
from ais.net.app import params_of
from ais.net.http import decode_component
from ais.proxy.buckets import Buckets
from ais.proxy.redirect import EASY_URLS
from ais.proxy.requests import json_reply, route


class EasyUrls:
    """The listing half of the endpoint. One per proxy."""

    def __init__(self, buckets: Buckets) -> None:
        self._buckets = buckets

    def routes(self) -> list[web.RouteDef]:
        """GET of a provider and of a bucket."""
        return [
            route("GET", path, self.list)
            for prefix in EASY_URLS
            for path in (prefix.rstrip("/"), prefix, prefix + "{bucket}", prefix + "{bucket}/")
        ]

    async def list(self, request: web.Request) -> web.Response:
        """The provider's buckets, or the first page of a bucket's objects. Raise `BucketNotFound`."""
        _, prefix, *rest = request.raw_path.partition("?")[0].split("/")
        provider = EASY_URLS[f"/{prefix}/"]
        if not rest or not rest[0]:
            return json_reply(
                request, await self._buckets.list_buckets(params_of(request) | {query.PROVIDER: provider})
            )
        bck = Bck.parse(decode_component(rest[0]), provider)
        return await self._buckets.list_objects(request, self._buckets.require(bck), ActMsg(value={}))
