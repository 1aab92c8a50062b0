"""The gate in front of the routes: a route that nobody thought of does not start, and nothing is open by omission."""

import pytest
from aiohttp import web

from ais.net.http import Network
from ais.node import guard
from ais.node.guard import Guard
from ais.proxy import downloads, permissions

CLIENTS = object()


async def answer(_request: web.Request) -> web.Response:
    return web.Response()


def test_a_route_without_an_entry_does_not_start() -> None:
    """Of each route somebody says what it needs."""
    gate = Guard(CLIENTS, Network.PUBLIC, permissions.needs_of)  # type: ignore[arg-type]
    with pytest.raises(LookupError, match="nobody says what POST /v1/nobody/knows needs"):
        gate.guard([web.get("/v1/cluster", answer), web.post("/v1/nobody/knows", answer)])


@pytest.mark.parametrize(
    ("method", "path", "needs"),
    [
        ("GET", "/v1/cluster", guard.show_cluster),
        ("PUT", "/v1/cluster", guard.admin),
        ("PUT", "/v1/cluster/{tail:.+}", guard.admin),
        ("POST", "/v1/cluster/join-by-admin", guard.admin),
        ("GET", "/v1/reverse/daemon/{tail:.+}", guard.show_cluster),
        ("PUT", "/v1/reverse/daemon", guard.admin),
        ("GET", "/v1/auth/keys", guard.admin),
        ("POST", "/v1/auth/keys", guard.admin),
        ("POST", "/v1/tokens", guard.admin),
        ("DELETE", "/v1/tokens", guard.admin),
        ("GET", "/favicon.ico", guard.anybody),
        ("GET", "/v1/download", guard.show_cluster),
        ("POST", "/v1/download", downloads.needs),
        ("DELETE", "/v1/download/abort", guard.admin),
    ],
)
def test_the_table(method: str, path: str, needs: object) -> None:
    """What routes of the cluster need."""
    assert permissions.needs_of(method, path) is needs


def test_only_the_icon_is_open() -> None:
    """No bucket, object, job or setting is anybody's."""
    for path in ("/v1/buckets", "/v1/buckets/{tail:.+}", "/v1/ml/moss", "/ais", "/gs/{bucket}", "/v1/download"):
        for method in ("GET", "HEAD", "PUT", "POST", "PATCH", "DELETE"):
            assert permissions.needs_of(method, path) is not guard.anybody
