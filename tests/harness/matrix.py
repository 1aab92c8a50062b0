"""Every route of the routers' own tables, and the objects and S3 beside them: who may send it, and how it is sent.

`OTHERS` says by hand which routes of a gateway are not for clients with a token and the right, and which of a target
are not for nodes: whoever adds one thinks of it here. What each needs of a token stands in `right_of`.
"""

import contextlib
import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import jwt

from ais.api import access
from ais.api.access import Access
from ais.api.returns import RETURNS
from ais.auth import signing
from ais.config import environment
from ais.meta.smap import PROXY, TARGET
from ais.net.http import Network
from ais.node.membership import IDENTITY, JOIN
from ais.playground.plan import Plan
from ais.playground.playground import Playground
from ais.proxy.redirect import EASY_URLS, METHODS
from ais.testing import free_ports
from harness import routers
from harness.authn import SECRET
from harness.nodekeys import NodeKeys
from harness.routers import ALL
from harness.wire import Answer, request

PUBLIC, CONTROL, DATA = Network.PUBLIC, Network.CONTROL, Network.DATA
OPEN, CLIENTS, NODES, OBJECTS, S3 = "everybody", "clients", "nodes", "clients of targets", "clients of S3"
SLICES = "targets"
USUAL = {PROXY: CLIENTS, TARGET: NODES}
"""Who most paths of a router are for."""
OTHERS = {
    PROXY: {
        "/v1/health": OPEN,
        "/metrics": OPEN,
        "/favicon.ico": OPEN,
        "/v1/metasync": NODES,
        "/v1/txn": NODES,
        "/v1/vote": NODES,
        "/v1/vote/take-over": NODES,
        JOIN: NODES,
        "/v1/cluster/leave": NODES,
        IDENTITY: NODES,
        RETURNS: NODES,
    },
    TARGET: {
        "/v1/health": OPEN,
        "/metrics": OPEN,
        "/v1/daemon": CLIENTS,
        "/v1/ml/moss/{xid}/{wid}/{count}": OBJECTS,
        "/v1/ml/moss/{bucket}/{xid}/{wid}/{count}": OBJECTS,
        "/v1/objects/{name:.*}": OBJECTS,
    },
}
NEVER_WITH_A_TOKEN = ("/v1/ml/moss/",)
"""What a target does for those alone whom a gateway sent."""
DOWNLOAD = b'{"type":"single","bucket":{"name":"nosuchbucket"},"link":"http://127.0.0.1:1/x","object_name":"x"}'
"""Which bucket it goes to decides about the right, and stands in the body."""
BODY = b"{}"
BATCH = b'{"in": [{"objname": "o", "bucket": "data", "provider": "ais"}]}'


class Route(NamedTuple):
    """One row: who may send it, and the request."""

    who: str
    method: str
    target: str


class Case(NamedTuple):
    """A cluster, and whose its networks are: listeners by role."""

    keys: NodeKeys
    listeners: dict[str, list[tuple[Network, list[str], list[str]]]]
    """By role: the networks a listener carries, URLs of one on each node, and the nodes' IDs."""
    uuid: str
    admin: str
    revoked: str


def token(key: str = SECRET, **claims: object) -> str:
    return jwt.encode({"sub": "somebody", "exp": int(time.time()) + 3600, **claims}, key, algorithm="HS256")


@contextlib.contextmanager
def closed(root: Path, *, is_apart: bool) -> Iterator[Case]:
    """Two gateways, two targets, a bucket with an object; clients need credentials. `is_apart`: on three ports."""
    playground = Playground(root, with_parent=True)
    first = free_ports(12)
    playground.create(Plan(proxies=2, targets=2, mountpaths=1, port=first, workers=environment.for_tests().workers))
    if is_apart:
        for number, node in enumerate(playground.nodes, 2):
            local = json.loads(node.local_file.read_text())
            local["host_net"] |= {
                "port_intra_control": str(first + 2 * number),
                "port_intra_data": str(first + 2 * number + 1),
            }
            node.local_file.write_text(json.dumps(local))
    playground.start()
    try:
        playground.wait_ready(60)
        url = playground.plan.endpoint
        ask(url, "POST", "/v1/buckets/data", body={"action": "create-bck"})
        location = ask(url, "PUT", "/v1/objects/data/o?provider=ais").header("Location")
        assert request_at(location, "PUT", b"kept").status == 200
        settings = {"auth": {"client_auth_required": True, "signature": {"key": SECRET, "method": "HMAC"}}}
        assert ask(url, "PUT", "/v1/cluster", body={"action": "set-config", "value": settings}).status == 200
        admin, revoked = token(admin=True), token(admin=True, jti="taken back")
        assert ask(url, "DELETE", "/v1/tokens", admin, {"tokens": [revoked]}).status == 200
        smap = ask(url, "GET", "/v1/daemon?what=smap", admin).json()
        listeners = {
            kind: [
                (
                    network,
                    [node[field]["direct_url"] for node in smap[nodes].values()],
                    list(smap[nodes]),
                )
                for network, field in (
                    [(PUBLIC, "public_net"), (CONTROL, "intra_control_net"), (DATA, "intra_data_net")]
                    if is_apart
                    else [(ALL, "public_net")]
                )
            ]
            for kind, nodes in ((PROXY, "pmap"), (TARGET, "tmap"))
        }
        yield Case(NodeKeys.of(root, smap), listeners, smap["uuid"], admin, revoked)
    finally:
        playground.stop()


def ask(url: str, method: str, target: str, bearer: str = "", body: object = None, **lines: str) -> Answer:
    """A client's request; `body` as JSON."""
    headers = {"Authorization": f"Bearer {bearer}"} if bearer else {}
    return request(url, method, target, body=json.dumps(body).encode() if body else b"", headers={**headers, **lines})


def request_at(location: str | None, method: str, body: bytes) -> Answer:
    base, _, path = (location or "").partition("/v1/")
    return request(base, method, "/v1/" + path, body=body)


def rows(table: routers.Table, kind: str, networks: Network) -> Iterator[Route]:
    """All that a listener is asked: what any listener of its role has, objects, S3."""
    union = dict.fromkeys(one for (role, _), found in table.items() if role == kind for one in found)
    here = set(table[kind, networks])
    for method, path in union:
        target = re.sub(r"\{\w+(:[^}]*)?\}", lambda found: "data/x" if "name" in found[0] else "x", path)
        who = OTHERS[kind].get(path, USUAL[kind])
        if kind == TARGET and method == "PUT" and path.startswith("/v1/daemon"):
            who = NODES if CONTROL in networks else "nobody"
        is_elsewhere = (method, path) not in here and who not in (OPEN, OBJECTS)
        yield Route("nobody here" if is_elsewhere else who, method, target)
    for method in METHODS:
        if kind == TARGET:
            yield Route(OBJECTS, method, "/v1/objects/data/x?provider=ais")
            yield Route(SLICES, method, "/v1/ec/data/x?provider=ais")
        else:
            for prefix in ("/v1/objects/", *EASY_URLS):
                yield Route(CLIENTS, method, f"{prefix}data/x")
    for path in ("/s3", "/s3/data", "/s3/data/x", "/s3/data/x?uploads"):
        for method in METHODS:
            yield Route(S3, method, path)


def refused(row: Route) -> dict[str, tuple[int, ...]]:
    """The statuses that a client may get for each bad credential."""
    match row.who:
        case "everybody":
            return {}
        case "nodes" | "targets" | "nobody" | "nobody here":
            return dict.fromkeys(("none", "forged", "expired", "revoked", "other", "admin"), (400, 401, 403, 404, 405))
        case "clients of targets":
            return {"none": (403,), **dict.fromkeys(("forged", "expired", "revoked"), (401, 403)), "other": (403,)}
        case "clients of S3":
            return dict.fromkeys(("none", "forged", "expired", "revoked", "other"), (400, 401, 403, 405, 412, 501))
        case _:
            return {**dict.fromkeys(("none", "forged", "expired", "revoked"), (401,)), "other": (403,)}


def sign(
    key: tuple[str, str], url: str, method: str, target: str, body: bytes, now_s: float | None = None
) -> dict[str, str]:
    """As an S3 client does."""
    host, now_s = url.partition("://")[2], time.time() if now_s is None else now_s
    return signing.lines_of(method, host, target, body, key_id=key[0], secret=key[1], now_s=now_s)


def body_of(row: Route) -> bytes:
    if row.target.startswith("/v1/ml/moss"):
        return BATCH
    if row.target == "/v1/download" and row.method == "POST":
        return DOWNLOAD
    return BODY if row.method not in ("GET", "HEAD") else b""


def client(row: Route, url: str, bearer: str = "", **lines: str) -> Answer:
    if bearer:
        lines |= {"X-Amz-Security-Token": bearer} if row.who == S3 else {"Authorization": f"Bearer {bearer}"}
    return request(url, row.method, row.target, body=body_of(row), headers=lines)


def state(case: Case) -> list[object]:
    """What must not change: the nodes, the version of the buckets, the configuration, and the object."""
    url = case.listeners[PROXY][0][1][0]
    smap = ask(url, "GET", "/v1/daemon?what=smap", case.admin).json()
    bmd = ask(url, "GET", "/v1/daemon?what=bmd", case.admin).json()
    config = ask(url, "GET", "/v1/daemon?what=config", case.admin).body
    kept = ask(url, "GET", "/v1/objects/data/o?provider=ais", case.admin)
    return [
        sorted({**smap["pmap"], **smap["tmap"]}),
        bmd["version"],
        config,
        request_at(kept.header("Location"), "GET", b"").body,
    ]


EVERY = Access((Access.ADMIN << 1) - 1)
_OF_OBJECTS = {
    "GET": Access.GET,
    "HEAD": Access.HEAD_OBJECT,
    "PUT": Access.PUT,
    "DELETE": Access.DELETE_OBJECT,
    "PATCH": Access.UPDATE_OBJECT,
    "POST": Access(access.READ_WRITE),
}
_OF_BUCKETS = {
    "GET": Access.LIST_OBJECTS,
    "HEAD": Access.HEAD_BUCKET,
    "PATCH": Access.PATCH,
    "DELETE": Access.DELETE_OBJECT,
    "PUT": Access(access.READ_WRITE),
    "POST": Access(access.READ_WRITE),
}
_OF_S3_BUCKETS = {
    "GET": Access.LIST_OBJECTS,
    "HEAD": Access.LIST_OBJECTS,
    "PUT": Access.CREATE_BUCKET,
    "DELETE": Access.DESTROY_BUCKET,
}


def right_of(row: Route) -> Access | None:
    """What a request needs, by hand (`docs/security.md`); None: S3 has no such operation."""
    method, path = row.method, row.target.partition("?")[0]
    if row.who == S3 and path.startswith("/s3/data/x"):
        is_upload = row.target.endswith("?uploads")
        return (
            None
            if is_upload != (method == "POST") or method == "PATCH"
            else (Access.PUT if is_upload else _OF_OBJECTS[method])
        )
    if row.who == S3:
        return _OF_S3_BUCKETS.get(method) if path == "/s3/data" else Access.LIST_BUCKETS if method == "GET" else None
    if path.startswith(("/v1/objects/data/", *(f"{prefix}data/" for prefix in EASY_URLS))):
        return _OF_OBJECTS[method]
    if path.startswith("/v1/objects/"):
        return Access.PROMOTE
    if path.startswith(("/ais", "/gs", "/az")):
        return Access.LIST_OBJECTS if "/" in path.strip("/") else Access.LIST_BUCKETS
    if path.startswith("/v1/buckets"):
        is_one = path.count("/") > 2 and not path.endswith("/")
        return _OF_BUCKETS[method] if is_one else Access.LIST_BUCKETS if method == "GET" else Access.ADMIN
    if path.startswith("/v1/ml/moss"):
        return Access.GET
    if method == "POST" and path == "/v1/download":
        return Access(access.READ_WRITE) | Access.CREATE_BUCKET
    is_shown = method == "GET" and not path.startswith(("/v1/auth", "/v1/tokens"))
    return Access.SHOW_CLUSTER if is_shown else Access.ADMIN
