"""S3 requests: refused in the form S3 clients show to their users, before any body is read."""

from aiohttp import web

from ais.base.errors import NotYetImplemented
from ais.base.ids import new_id
from ais.node.node import Node
from ais.s3.errors import as_s3, encode

S3 = "/s3"


def routes(node: Node) -> list[web.RouteDef]:
    """Everything under `/s3`."""

    async def refuse(request: web.Request) -> web.Response:
        error = as_s3(NotYetImplemented("the S3 API is not implemented yet: use /v1 or /ais"))
        body = encode(error, request.path, new_id(node.env.rng))
        return web.Response(status=error.status, body=body, content_type="application/xml")

    return [web.route("*", path, refuse) for path in (S3, S3 + "/{tail:.*}")]
