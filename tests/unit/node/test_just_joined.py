"""Requests between a node that has just joined and nodes that have an older map."""

import asyncio
from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Any

import pytest
from aiohttp import web
from aiohttp.streams import EMPTY_PAYLOAD as EMPTY
from aiohttp.test_utils import make_mocked_request

from ais.api import headers
from ais.auth.pairs import PairKeys
from ais.base.errors import AccessDenied, NotReady
from ais.meta.smap import NetInfo, Smap, Snode
from ais.net.http import Headers, Network, Peer, Reply, Request
from ais.node.trust import OPEN, Trust

SECRET = b"a secret of some thirty-two bytes"


@dataclass
class Host:
    """What a node knows."""

    smap: Smap
    is_lost: bool = False


async def handler(_request: web.Request) -> web.Response:
    return web.Response()


def node(kind: str, node_id: str, port: int) -> tuple[Snode, PairKeys]:
    """A node and its key."""
    keys, net = PairKeys(node_id.encode().ljust(32, b"k")), NetInfo.make("http", "127.0.0.1", port)
    return Snode.make(kind, node_id, net, net, net, keys=(keys.public,)), keys


def test_who_does_not_know_the_sender_yet_waits_whatever_is_asked() -> None:
    """A request on an object waits for the map and is answered; one for a handler of nodes is left to that, which waits
    too: it was refused with 503 when the map had come, and a listing beside a join failed. To the handlers of clients,
    which believe what the gate let pass, nobody unknown gets: whoever had the join secret was an administrator."""
    (new, new_keys), (gateway, gateway_keys) = node("target", "t1aaaaaa", 1001), node("proxy", "p1aaaaaa", 1002)
    both = Smap().with_node(new).with_node(gateway)
    sender = Trust(SECRET, gateway.id, lambda: 1000.0, gateway_keys)
    sender.follow(Host(both))
    receiver, host = Trust(SECRET, new.id, lambda: 1000.0, new_keys), Host(Smap())
    receiver.follow(host)
    receiver.only_nodes([web.get("/v1/buckets/{bucket}", handler), web.put("/v1/metasync/{tail:.+}", handler)])
    route = receiver.guard(lambda request: Reply(200) if request.path.startswith("/v1/objects/") else None)

    def sent(path: str, method: str = "GET") -> Any:
        lines = {headers.CALLER_ID: gateway.id, **sender.sign(method, f"http://127.0.0.1:1001{path}", b"")}
        named = Headers(tuple((name.lower(), value) for name, value in lines.items()))
        return route(Request(method, path, named, Peer("127.0.0.1:1", Network.CONTROL, "http")))

    async def scenario() -> None:
        assert sent("/v1/buckets/b") is None
        assert sent("/v1/metasync/a/b", "PUT") is None
        for method, path in (
            ("POST", "/v1/auth/keys"),
            ("PUT", "/v1/cluster"),
            ("PUT", "/v1/buckets/b"),
            ("GET", "/v1/buckets/b/c"),
            ("GET", "/v1/ml/moss/b"),
        ):
            with pytest.raises(NotReady):
                sent(path, method)
        waiting = sent("/v1/objects/b/o")
        assert isinstance(waiting, Awaitable)
        task = asyncio.create_task(waiting)
        done, _ = await asyncio.wait([task], timeout=0.2)
        assert not done
        host.smap = both
        assert (await task).status == 200

    asyncio.run(scenario())


def test_a_request_is_verified_once_however_often_its_handler_is_asked() -> None:
    """A handler that waited for contact is asked again: the same request is no replay then, one like it is."""
    (one, one_keys), (other, other_keys) = node("target", "t1aaaaaa", 1001), node("proxy", "p1aaaaaa", 1002)
    both = Smap().with_node(one).with_node(other)
    sender, receiver = (
        Trust(SECRET, it.id, lambda: 1000.0, keys) for it, keys in ((other, other_keys), (one, one_keys))
    )
    for trust in (sender, receiver):
        trust.follow(Host(both))
    (route,) = receiver.only_nodes([web.get("/v1/xactions", handler)])
    lines = {headers.CALLER_ID: other.id, **sender.sign("GET", "http://127.0.0.1:1001/v1/xactions", b"")}

    async def scenario() -> None:
        first, copy = (make_mocked_request("GET", "/v1/xactions", headers=lines, payload=EMPTY) for _ in range(2))
        assert [(await route.handler(first)).status for _ in range(2)] == [200, 200]
        with pytest.raises(AccessDenied, match="received before"):
            await route.handler(copy)

    asyncio.run(scenario())


def test_a_body_is_the_one_that_was_signed() -> None:
    """Where a route reads it before the application would compare it; in an open cluster nobody signs."""
    (one, one_keys), (other, other_keys) = node("target", "t1aaaaaa", 1001), node("proxy", "p1aaaaaa", 1002)
    both = Smap().with_node(one).with_node(other)
    sender, receiver = (
        Trust(SECRET, it.id, lambda: 1000.0, keys) for it, keys in ((other, other_keys), (one, one_keys))
    )
    for trust in (sender, receiver):
        trust.follow(Host(both))
    seen: list[Request] = []

    def take(request: Request) -> Reply:
        seen.append(request)
        return Reply(200)

    lines = {headers.CALLER_ID: other.id, **sender.sign("GET", "http://127.0.0.1:1001/v1/buckets/b", b"body")}
    named = Headers(tuple((name.lower(), value) for name, value in lines.items()), content_length=4)
    receiver.guard(take)(Request("GET", "/v1/buckets/b", named, Peer("127.0.0.1:1", Network.CONTROL, "http")))
    receiver.require_body(seen[0], memoryview(b"body"))
    with pytest.raises(AccessDenied, match="not the one that was signed"):
        receiver.require_body(seen[0], memoryview(b"Body"))
    OPEN.require_body(seen[0], memoryview(b"Body"))
