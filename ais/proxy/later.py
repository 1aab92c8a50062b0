"""Endpoints of AIStore whose feature we do not serve yet: nothing runs there, and starting something is refused."""

from aiohttp import web
from aiohttp.typedefs import Handler

from ais.base.errors import NotYetImplemented
from ais.proxy.requests import json_bytes_reply, route

_JOBS = {"/v1/download": "download"}
"""What clients that show all jobs ask too, and what it would start."""
_ETL = ("/v1/etl", "/v1/etl/{tail:.*}")


def routes() -> list[web.RouteDef]:
    """An empty list of jobs, 501 for the rest."""
    found = []
    for path, what in _JOBS.items():
        found.append(route("GET", path, _none))
        found += [
            route(verb, below, _refuse(what))
            for verb in ("POST", "PUT", "DELETE")
            for below in (path, path + "/{tail:.*}")
        ]
    return found + [route(verb, path, _refuse("use ETL")) for path in _ETL for verb in ("GET", "POST", "PUT", "DELETE")]


async def _none(request: web.Request) -> web.Response:
    return json_bytes_reply(request, b"[]")


def _refuse(what: str) -> Handler:
    async def refuse(_: web.Request) -> web.Response:
        raise NotYetImplemented(f"cannot {what} - not implemented yet")

    return refuse
