"""Every route of the routers' own tables, on every listener, with every kind of credential: refused or served.

The tables are read from a gateway and a target, and sent to real clusters: one whose networks have ports of their own,
one whose nodes have a single port. A gateway's routes are for clients with a token and the right, a target's for nodes;
`OTHERS` says by hand which are not: whoever adds one thinks of it here. Objects and S3 are served beside the routers:
their paths stand here too.
"""

import asyncio
import json
import re
import time
from collections.abc import Iterator
from typing import NamedTuple

import jwt
import pytest
from harness import routers
from harness.authn import SECRET
from harness.nodekeys import NodeKeys
from harness.routers import ALL
from harness.wire import Answer, request

from ais.auth import signing
from ais.meta.smap import PROXY, TARGET
from ais.net.http import Network
from ais.node.membership import IDENTITY, JOIN
from ais.playground.plan import Plan
from ais.playground.playground import Playground
from ais.proxy.redirect import EASY_URLS, METHODS
from ais.testing import free_ports

PUBLIC, CONTROL, DATA = Network.PUBLIC, Network.CONTROL, Network.DATA
OPEN, CLIENTS, NODES, OBJECTS, S3 = "everybody", "clients", "nodes", "clients of targets", "clients of S3"
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


@pytest.fixture(scope="module", params=["three ports", "one port"])
def case(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Case]:
    """Two gateways, two targets, a bucket with an object; clients must prove who they are."""
    is_apart = request.param == "three ports"
    root = tmp_path_factory.mktemp("routes") / "cluster"
    playground = Playground(root, with_parent=True)
    first = free_ports(12)
    playground.create(Plan(proxies=2, targets=2, mountpaths=1, port=first))
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


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> routers.Table:
    return asyncio.run(routers.tables(tmp_path_factory.mktemp("routers")))


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
        case "nodes" | "nobody" | "nobody here":
            return dict.fromkeys(("none", "forged", "expired", "revoked", "other", "admin"), (400, 401, 403, 404, 405))
        case "clients of targets":
            return {"none": (403,), **dict.fromkeys(("forged", "expired", "revoked"), (401, 403)), "other": (403,)}
        case "clients of S3":
            return dict.fromkeys(("none", "forged", "expired", "revoked", "other"), (400, 401, 403, 405, 412, 501))
        case _:
            return {**dict.fromkeys(("none", "forged", "expired", "revoked"), (401,)), "other": (403,)}


def test_clients(case: Case, table: routers.Table) -> None:
    """No, a forged, expired or revoked token, and one without the right are refused everywhere, changing nothing."""
    tokens = {
        "none": "",
        "forged": token("another secret of thirty-two bytes", admin=True),
        "expired": token(admin=True, exp=1),
        "revoked": case.revoked,
        "other": token(clusters=[{"id": case.uuid, "perm": "0"}]),
        "admin": case.admin,
    }
    before = state(case)
    wrong = []
    for kind, listeners in case.listeners.items():
        for networks, urls, _ in listeners:
            for row in rows(table, kind, networks):
                for url in urls if kind == PROXY and networks == PUBLIC else urls[:1]:
                    for name, statuses in refused(row).items():
                        answer = client(row, url, tokens[name])
                        if answer.status not in statuses:
                            wrong.append((kind, networks, name, row, answer.status, answer.body[:200]))
    assert not wrong, "\n".join(map(str, wrong))
    assert state(case) == before


@pytest.fixture
def keys(case: Case) -> Iterator[dict[str, tuple[str, str]]]:
    """Only keys count meanwhile, and there are no tokens: one of an administrator, one of a user, one taken back."""
    url = case.listeners[PROXY][0][1][0]
    found = {}
    for user in ("root", "ann", "gone"):
        made = ask(url, "POST", "/v1/auth/keys", case.admin, {"user": user, "admin": user != "ann"}).json()
        found[user] = made["id"], made["secret"]
    assert ask(url, "PATCH", f"/v1/auth/keys/{found['gone'][0]}", case.admin, {"disabled": True}).status == 200
    for closed, how in ((False, {"enabled": True, "signature": {"key": ""}}), (True, {"signature": {"key": SECRET}})):
        value = {"auth": {"client_auth_required": closed, **how}}
        body = json.dumps({"action": "set-config", "value": value}).encode()
        lines = {} if not closed else sign(found["root"], url, "PUT", "/v1/cluster", body)
        lines = lines or {"Authorization": f"Bearer {case.admin}"}
        assert request(url, "PUT", "/v1/cluster", body=body, headers=lines).status == 200
        if not closed:
            yield found


def sign(
    key: tuple[str, str], url: str, method: str, target: str, body: bytes, now_s: float | None = None
) -> dict[str, str]:
    """As an S3 client does."""
    host, now_s = url.partition("://")[2], time.time() if now_s is None else now_s
    return signing.lines_of(method, host, target, body, key_id=key[0], secret=key[1], now_s=now_s)


def test_keys_alone(case: Case, table: routers.Table, keys: dict[str, tuple[str, str]]) -> None:
    """Before there are tokens, each native route takes an administrator's signature and nothing else."""
    wrong, root = [], keys["root"]
    for kind, listeners in case.listeners.items():
        for networks, urls, _ in listeners:
            for row in rows(table, kind, networks):
                url, body, asked = urls[0], body_of(row), (row.method, row.target)
                answers = {
                    "none": {},
                    "expired": {"Authorization": f"Bearer {case.admin}"},
                    "forged": sign((root[0], keys["ann"][1]), url, *asked, body),
                    "revoked": sign(keys["gone"], url, *asked, body),
                    "other": sign(keys["ann"], url, *asked, body),
                }
                answers |= {"of another path": sign(root, url, row.method, "/v1/other", body)}
                answers |= {"old": sign(root, url, *asked, body, time.time() - 1000)}
                expected = refused(row)
                if row.who == CLIENTS and body and not row.target.startswith(("/v1/objects/", *EASY_URLS)):
                    answers |= {"of another body": sign(root, url, *asked, b"{ }")}
                for name, lines in answers.items():
                    statuses = expected.get(name, expected.get("forged"))
                    if statuses is None or row.who == S3:  # whose signatures `tests/s3/test_negative.py` tries
                        continue
                    answer = request(url, *asked, body=body, headers=lines)
                    if answer.status not in statuses:
                        wrong.append((kind, networks, name, row, answer.status, answer.body[:200]))
                if row.who in (CLIENTS, OPEN) and row.target != "/v1/tokens":
                    answer = request(url, *asked, body=body, headers=sign(root, url, *asked, body))
                    if answer.status in (401, 403):
                        wrong.append((kind, networks, "right", row, answer.status, answer.body[:200]))
    assert not wrong, "\n".join(map(str, wrong))


def body_of(row: Route) -> bytes:
    if row.target.startswith("/v1/ml/moss"):
        return BATCH
    if row.target == "/v1/download" and row.method == "POST":
        return DOWNLOAD
    return BODY if row.method not in ("GET", "HEAD") else b""


def client(row: Route, url: str, bearer: str = "", **lines: str) -> Answer:
    if bearer:
        lines = {"X-Amz-Security-Token": bearer} if row.who == S3 else {"Authorization": f"Bearer {bearer}"}
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


def test_administrators(case: Case, table: routers.Table) -> None:
    """Whoever may is never told that he may not: the gate refuses nobody it should let pass."""
    wrong = []
    for kind, listeners in case.listeners.items():
        for networks, urls, _ in listeners:
            for row in rows(table, kind, networks):
                if row.who not in (OPEN, CLIENTS, OBJECTS, S3) or row.target.startswith(NEVER_WITH_A_TOKEN):
                    continue
                for url in urls:
                    answer = client(row, url, case.admin)
                    if answer.status in (401, 403):
                        wrong.append((kind, networks, row, answer.status, answer.body[:200]))
    assert not wrong, "\n".join(map(str, wrong))


def test_nodes(case: Case, table: routers.Table) -> None:
    """A node's name unsigned, or with a signature used before, of another request, node or cluster, is 403."""
    wrong: list[object] = []
    before = state(case)
    for kind, listeners in case.listeners.items():
        caller = case.listeners[PROXY][0][2][1]
        for networks, urls, ids in listeners:
            for row in rows(table, kind, networks):
                wrong += ((kind, networks, row, *one) for one in as_a_node(case, row, networks, urls[0], ids, caller))
    assert not wrong, "\n".join(map(str, wrong))
    assert state(case)[0] == before[0]


def as_a_node(
    case: Case, row: Route, networks: Network, url: str, ids: list[str], caller: str
) -> Iterator[tuple[str, int, bytes]]:
    """Send a row with right and wrong signatures of `caller` to the first of these nodes; what went wrong."""
    body, sign = body_of(row), case.keys.sign
    request_of = (row.method, row.target, body)
    right = sign(caller, ids[0], *request_of)
    is_reached = networks != PUBLIC or row.target == JOIN
    is_served = is_reached and row.who not in ("nobody", S3) and row.target != "/v1/tokens"
    bad = {
        "unsigned": {},
        "replayed": right,
        "of another cluster": case.keys.foreign(caller, ids[0], *request_of),
        "of another path": sign(caller, ids[0], row.method, "/v1/other", body),
    }
    if row.target not in (JOIN, IDENTITY):  # what the join secret is for
        bad["with the join secret alone"] = case.keys.by_secret(caller, *request_of)
        bad["of another node"] = sign(caller, case.listeners[TARGET][0][2][1], *request_of)
    if is_served and row.who == NODES and body:
        bad["of another body"] = sign(caller, ids[0], row.method, row.target, b"{ }")
    if row.target in ("/v1/metasync", "/v1/txn", "/v1/vote", "/v1/vote/take-over") and row.method != "GET":
        target = case.listeners[TARGET][0][2][1]
        bad["of a target"] = {**sign(target, ids[0], *request_of), "Ais-Caller-Id": target}
    answers = {"right": client(row, url, **right, **{"Ais-Caller-Id": caller})}
    answers |= {name: client(row, url, **{"Ais-Caller-Id": caller, **lines}) for name, lines in bad.items()}
    for name, answer in answers.items():
        is_wrong = is_served and answer.status in (401, 403) if name == "right" else answer.status != 403
        if is_wrong:
            yield name, answer.status, answer.body[:200]
