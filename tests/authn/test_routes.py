"""Every route of the routers' own tables, on every listener, with every kind of credential: refused or served.

The tables are read from a gateway and a target, and sent to real clusters: one whose networks have ports of their own,
one whose nodes have a single port. `harness.matrix` says by hand who may send what.
"""

import asyncio
import json
import time
from collections.abc import Iterator

import pytest
from harness import matrix, routers
from harness.authn import SECRET
from harness.matrix import (
    CLIENTS,
    EVERY,
    NEVER_WITH_A_TOKEN,
    NODES,
    OBJECTS,
    OPEN,
    PUBLIC,
    S3,
    Case,
    Route,
    ask,
    body_of,
    client,
    refused,
    right_of,
    rows,
    sign,
    state,
    token,
)
from harness.wire import request

from ais.api.access import Access
from ais.api.returns import RETURNS
from ais.meta.smap import PROXY, TARGET
from ais.net.http import Network
from ais.node.membership import IDENTITY, JOIN
from ais.proxy.redirect import EASY_URLS


@pytest.fixture(scope="module", params=["three ports", "one port"])
def case(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Case]:
    root = tmp_path_factory.mktemp("routes") / "cluster"
    with matrix.closed(root, is_apart=request.param == "three ports") as found:
        yield found


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> routers.Table:
    return asyncio.run(routers.tables(tmp_path_factory.mktemp("routers")))


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


def test_the_exact_right(case: Case, table: routers.Table) -> None:
    """Whoever has every right but one of those that a request needs is refused; whoever has these alone is not."""

    def bearer(granted: Access) -> str:
        return token(clusters=[{"id": case.uuid, "perm": str(int(granted))}])

    wrong = []
    networks, urls, _ = case.listeners[PROXY][0]
    for row in rows(table, PROXY, networks):
        if row.who not in (CLIENTS, S3) or (needed := right_of(row)) is None:
            continue
        lacking = [(bearer(EVERY & ~one), 403) for one in needed]
        for shown, status in (*lacking, (bearer(needed), None)):
            answer = client(row, urls[0], shown)
            if (answer.status != status) if status else (answer.status in (401, 403)):
                wrong.append((row, needed, status, answer.status, answer.body[:200]))
    assert not wrong, "\n".join(map(str, wrong))


def test_secrets_of_clients(case: Case) -> None:
    """Names of objects and policies are for administrators, however often a question says what it asks."""
    shows = token(clusters=[{"id": case.uuid, "perm": str(int(Access.SHOW_CLUSTER))}])
    (_, (url, *_), (gateway, *_)), *_ = case.listeners[PROXY]
    for path, secret in (
        ("/v1/cluster", "bmd"),
        ("/v1/cluster", "quarantine"),
        ("/v1/daemon", "bmd"),
        ("/v1/daemon", "log"),
    ):
        for asked in (secret, f"smap&what={secret}", f"{secret}&what=smap", f"smap&wh%61t={secret}"):
            target = f"{path}?what={asked}"
            is_secret = not asked.endswith("=smap")
            assert (target, ask(url, "GET", target, shows).status) == (target, 403 if is_secret else 200)
            reverse = f"/v1/reverse{target[3:]}".replace("cluster", "daemon")
            if path == "/v1/daemon":
                answer = ask(url, "GET", reverse, shows, **{"Ais-Node-Id": gateway})
                assert (reverse, answer.status) == (reverse, 403 if is_secret else 200)


def test_notes(case: Case, table: routers.Table) -> None:
    """What a gateway says of an S3 request it passes on is taken at that node, for that line, within a minute, a change
    once; a target vouches for nobody to gateways, which would pass it on: all that is 403, the right one is not."""
    wrong = []
    (_, other), target = case.listeners[PROXY][0][2], case.listeners[TARGET][0][2][1]
    lines_of = case.keys.note
    for kind, listeners in case.listeners.items():
        for networks, urls, ids in listeners:
            for row in rows(table, kind, networks):
                if row.who != S3:
                    continue
                by, asked = (other, (ids[0], row.method, row.target))
                bad = {
                    "of another cluster": lines_of(by, *asked, is_foreign=True),
                    "of another node": lines_of(by, ids[1] if ids[1] != by else target, row.method, row.target),
                    "of another path": lines_of(by, ids[0], row.method, "/s3/data/other"),
                    "of another method": lines_of(by, ids[0], "OPTIONS", row.target),
                    "old": lines_of(by, *asked, age_s=120),
                    "of nobody": {"Ais-S3-Via": "AAAA"},
                }
                if kind == PROXY:
                    bad["of a target that vouches"] = lines_of(target, *asked, user="root")
                if row.method not in ("GET", "HEAD"):
                    bad["replayed"] = lines_of(by, *asked)
                    right = client(row, urls[0], case.admin, **bad["replayed"])
                else:
                    right = client(row, urls[0], case.admin, **lines_of(by, *asked))
                if right.status in (401, 403):
                    wrong.append((kind, networks, "right", row, right.status, right.body[:200]))
                for name, lines in bad.items():
                    answer = client(row, urls[0], case.admin, **lines)
                    if answer.status != 403:
                        wrong.append((kind, networks, name, row, answer.status, answer.body[:200]))
    assert not wrong, "\n".join(map(str, wrong))


def test_nodes(case: Case, table: routers.Table) -> None:
    """A node's name unsigned, or with a signature used before, of another request, node or cluster, is 403."""
    wrong: list[object] = []
    before = state(case)
    for kind, listeners in case.listeners.items():
        gateway, target = case.listeners[PROXY][0][2][1], case.listeners[TARGET][0][2][0]
        for networks, urls, ids in listeners:
            for row in rows(table, kind, networks):
                caller = target if (kind, row.target) == (PROXY, RETURNS) else gateway  # who speaks of itself
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
