"""Endpoints of AIStore whose feature we do not serve yet: nothing runs there, and starting something is refused."""

from aiohttp import web
from aiohttp.typedefs import Handler

from ais.base.errors import NotYetImplemented
from ais.proxy.requests import route

_ETL = ("/v1/etl", "/v1/etl/{tail:.*}")


def routes() -> list[web.RouteDef]:
    """501 for all of it."""
    return [route(verb, path, _refuse("use ETL")) for path in _ETL for verb in ("GET", "POST", "PUT", "DELETE")]


def _refuse(what: str) -> Handler:
    async def refuse(_: web.Request) -> web.Response:
        raise NotYetImplemented(f"cannot {what} - not implemented yet")

    return refuse
