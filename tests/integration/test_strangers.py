"""A cluster with a join secret, and who does not know it: no metadata, no place in the map, no internal request.

And what whoever has stolen a target, or the join secret, does not get.
"""

import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from harness.nodekeys import NodeKeys
from harness.rotation import token_by
from harness.wire import Answer, Api, message, object_path, request

from ais.meta.smap import Snode
from ais.node.messages import JoinAnswer, JoinRequest, LeaveRequest, Stamps, Sync, TakeOver, VoteRequest
from ais.testing import Cluster, Node


@pytest.fixture(scope="module")
def closed(tmp_path_factory: pytest.TempPathFactory):
    """One proxy, two targets, on one port each, as the playground makes them."""
    with Cluster(proxies=1, targets=2, dir=tmp_path_factory.mktemp("closed")) as running:
        Api(running.endpoint).create("b")
        yield running


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("PUT", "/v1/metasync"),
        ("GET", "/v1/metasync?part=secret"),
        ("GET", "/v1/metasync?part=keys"),
        ("POST", "/v1/txn"),
        ("POST", "/v1/vote"),
        ("POST", "/v1/cluster/autoreg"),
        ("POST", "/v1/cluster/leave"),
    ],
)
def test_internal_requests_need_a_signature(closed: Cluster, method: str, path: str):
    """403 on proxies and targets alike, with and without a node's name."""
    node_ids = [node.id for node in closed.proxies + closed.targets]
    for node in closed.proxies + closed.targets:
        for headers in ({}, {"Ais-Caller-Id": node_ids[0]}, {"Ais-Node-Auth": f"{node_ids[0]} 1 n b t"}):
            target, _, query = path.partition("?")
            params = dict([query.split("=")]) if query else None
            answer = Api(node.url).call(method, target, params, body=msgspec.msgpack.encode({}), headers=headers)
            assert answer.status == 403, answer


def test_what_targets_serve_proxies(closed: Cluster):
    """Jobs, listings, mountpaths: for nodes only."""
    api = Api(closed.targets[0].url)
    for method, path in (("PUT", "/v1/xactions"), ("GET", "/v1/buckets/b"), ("PUT", "/v1/daemon/mountpaths")):
        assert api.call(method, path, body=b"{}").status == 403


def test_nobody_pretends_to_be_a_node(closed: Cluster):
    """A write with a node's name, which skips what clients must pass, is refused and leaves nothing."""
    target = closed.targets[0]
    forged = {"Ais-Caller-Id": closed.targets[1].id, "Ais-Object-Transfer": "x"}
    answer = Api(target.url).call("PUT", object_path("b", "o"), {"provider": "ais"}, body=b"x", headers=forged)
    assert answer.status == 403
    assert Api(closed.endpoint).call("GET", object_path("b", "o"), {"provider": "ais"}).status == 404


def test_a_node_with_another_secret_does_not_join(closed: Cluster, tmp_path: Path):
    """It ends by itself, says why, and the map is as it was."""
    before = Api(closed.endpoint).call("GET", "/v1/daemon", {"what": "smap"}).json()["version"]
    secret = tmp_path / "secret"
    secret.touch(0o600)
    secret.write_text("the secret of another cluster\n")
    directory, stranger = closed.targets[0].plan.directory.parent, tmp_path / "stranger"
    (stranger / "mp").mkdir(parents=True)
    local = {
        "confdir": str(stranger / "conf"),
        "log_dir": str(stranger),
        "host_net": {"hostname": "127.0.0.1", "port": "0", "port_intra_control": "0", "port_intra_data": "0"},
        "fspaths": {str(stranger / "mp"): ""},
    }
    (stranger / "local.json").write_bytes(msgspec.json.encode(local))
    command = [sys.executable, "-m", "ais_node.main", "--role", "target", "--config", str(directory / "cluster.json")]
    command += ["--local-config", str(stranger / "local.json"), "--join-secret", str(secret)]
    env = {"AIS_CONFIG__TIMEOUT__JOIN_STARTUP_TIME": "3s", "PATH": "/usr/bin:/bin"}
    ended = subprocess.run(command, capture_output=True, text=True, timeout=100, env=env)
    assert ended.returncode != 0
    assert "join secret" in ended.stderr
    assert Api(closed.endpoint).call("GET", "/v1/daemon", {"what": "smap"}).json()["version"] == before


def speak(closed: Cluster, signer: Node, to: Node, method: str, path: str, content: object) -> Answer:
    """A message that `signer` signs for `to`."""
    keys = NodeKeys.of(closed.targets[0].plan.directory.parent, Api(closed.endpoint).smap())
    body = msgspec.msgpack.encode(content)
    lines = {"Ais-Caller-Id": signer.id, **keys.sign(signer.id, to.id, method, path, body)}
    target, _, query = path.partition("?")
    return Api(to.url).call(method, target, dict([query.split("=")]) if query else None, body=body, headers=lines)


def as_snode(smap: dict, node: Node) -> Snode:
    return msgspec.convert({**smap["pmap"], **smap["tmap"]}[node.id], Snode)


def test_nobody_speaks_for_another(closed: Cluster):
    """A farewell, a join, a heartbeat, a vote, a handover in another's name: 403, and the map is as it was."""
    smap, proxy, (mine, other) = Api(closed.endpoint).smap(), closed.proxies[0], closed.targets[:2]
    uuid, stamps = smap["uuid"], Stamps()
    named, gateway = as_snode(smap, other), as_snode(smap, proxy)
    join = JoinRequest(named, uuid, stamps, "boot")
    for signer, to, method, path, content in (
        (mine, proxy, "POST", "/v1/cluster/leave", LeaveRequest(uuid, other.id)),
        (mine, proxy, "POST", "/v1/cluster/leave", LeaveRequest(uuid, proxy.id)),
        (mine, proxy, "POST", "/v1/cluster/autoreg", join),
        (mine, proxy, "POST", "/v1/cluster/autoreg?forwarded=true", join),
        (proxy, mine, "PUT", "/v1/metasync", Sync(uuid, mine.id, 2**40, named, stamps, 1.0)),
        (proxy, mine, "POST", "/v1/vote", VoteRequest(uuid, 2**40, named, stamps)),
        (proxy, mine, "POST", "/v1/vote/take-over", TakeOver(uuid, mine.id, 1, other.id)),
        (mine, other, "PUT", "/v1/metasync", Sync(uuid, other.id, 2**40, gateway, stamps, 1.0)),
    ):
        answer = speak(closed, signer, to, method, path, content)
        assert answer.status == 403, (method, path, answer)
    as_gateway = msgspec.structs.replace(as_snode(smap, mine), kind="proxy")
    answer = speak(closed, mine, proxy, "POST", "/v1/cluster/autoreg", JoinRequest(as_gateway, uuid, stamps, "boot"))
    assert answer.status == 409, answer
    after = Api(closed.endpoint).smap()
    assert after["version"] == smap["version"]
    assert speak(closed, mine, proxy, "POST", "/v1/cluster/leave", LeaveRequest("x", mine.id)).status != 403


def test_nothing_is_taken_twice(closed: Cluster):
    """What one node has signed for another is good once there, never at a third; with another nonce it is unsigned."""
    proxy, (mine, other) = closed.proxies[0], closed.targets[:2]
    keys = NodeKeys.of(mine.plan.directory.parent, Api(closed.endpoint).smap())
    lines = {"Ais-Caller-Id": proxy.id, **keys.sign(proxy.id, mine.id, "GET", "/v1/metasync?part=bmd", b"")}

    def send(to: Node, headers: dict[str, str]) -> Answer:
        return Api(to.url).call("GET", "/v1/metasync", {"part": "bmd"}, headers=headers)

    assert send(other, lines).status == 403
    assert send(mine, lines).status == 200
    again = send(mine, lines)
    assert (again.status, b"received before" in again.body) == (403, True), again
    caller, time_s, nonce, *rest = lines["Ais-Node-Auth"].split(" ")
    renewed = {**lines, "Ais-Node-Auth": " ".join((caller, time_s, nonce[::-1], *rest))}
    assert send(mine, renewed).status == 403


def test_a_join_is_for_the_one_that_was_asked(closed: Cluster):
    """Signed with the join secret alone, it is good once, at one process: sent on to another it does nothing."""
    smap, proxy, target = Api(closed.endpoint).smap(), closed.proxies[0], closed.targets[0]
    keys = NodeKeys.of(target.plan.directory.parent, smap)
    join = JoinRequest(as_snode(smap, target), smap["uuid"], Stamps(), "boot", to="another process")
    body = msgspec.msgpack.encode(join)
    lines = {"Ais-Caller-Id": target.id, **keys.by_secret(target.id, "POST", "/v1/cluster/autoreg", body)}
    first = Api(proxy.url).call("POST", "/v1/cluster/autoreg", body=body, headers=lines)
    assert first.status == 200
    answer = msgspec.msgpack.decode(first.body, type=JoinAnswer)
    assert (answer.uuid, answer.is_self, bool(answer.boot)) == ("", False, True)
    assert Api(proxy.url).call("POST", "/v1/cluster/autoreg", body=body, headers=lines).status == 403
    assert Api(closed.endpoint).smap()["version"] == smap["version"]


STOLEN = "a secret of more than thirty-two bytes"


def test_nobody_but_gateways_speaks_for_clients(closed: Cluster):
    """While clients must prove who they are, neither a target's key nor the join secret alone makes an administrator:
    keys, settings, the primary, jobs, logs and objects of others are refused at gateways and targets; what targets ask
    gateways for is served."""
    api, (mine, other) = Api(closed.endpoint), closed.targets[:2]
    auth = {"client_auth_required": True, "signature": {"key": STOLEN, "method": "hmac"}}
    assert api.call("PUT", "/v1/cluster", body=message("set-config", value={"auth": auth})).status == 200
    admin = {"Authorization": f"Bearer {token_by(STOLEN)}"}
    smap = api.call("GET", "/v1/daemon", {"what": "smap"}, headers=admin).json()
    keys, list_body = NodeKeys.of(mine.plan.directory.parent, smap), message("list", value={})
    stranger, gateway = "p9stranger", closed.proxies[0]

    def ask(to: Node, method: str, target: str, body: bytes, *, as_stranger: bool) -> int:
        caller = stranger if as_stranger else mine.id
        sign = keys.by_secret(caller, method, target, body) if as_stranger else {}
        lines = sign or keys.sign(caller, to.id, method, target, body)
        return request(to.url, method, target, body=body, headers={"Ais-Caller-Id": caller, **lines}).status

    try:
        for method, target, body in (
            ("POST", "/v1/auth/keys", b'{"user":"eve","admin":true}'),
            ("PUT", "/v1/cluster", message("set-config", value={"auth": {"client_auth_required": False}})),
            ("PUT", "/v1/cluster", message("rm-unsafe", value={"sid": other.id})),
            ("PUT", f"/v1/cluster/proxy/{gateway.id}", b""),
            ("POST", "/v1/buckets/eves", message("create-bck")),
            ("DELETE", "/v1/buckets/b", message("destroy-bck")),
            ("GET", "/v1/daemon?what=log", b""),
            ("GET", "/v1/auth/keys", b""),
        ):
            assert ask(gateway, method, target, body, as_stranger=False) == 403, (method, target)
            assert ask(gateway, method, target, body, as_stranger=True) in (403, 503), (method, target)
        batch = b'{"in":[{"objname":"o","bucket":"b","provider":"ais"}]}'
        assert ask(other, "GET", "/v1/ml/moss/b/x/y/1", batch, as_stranger=True) in (403, 503)
        assert ask(gateway, "GET", "/v1/buckets/b", list_body, as_stranger=False) == 200
        assert ask(gateway, "GET", "/v1/buckets/b", list_body, as_stranger=True) in (403, 503)
        now = api.call("GET", "/v1/daemon", {"what": "smap"}, headers=admin).json()
        assert now["version"] == smap["version"]
        assert api.call("GET", "/v1/auth/keys", headers=admin).json() == []
    finally:
        off = message("set-config", value={"auth": {"client_auth_required": False}})
        assert api.call("PUT", "/v1/cluster", body=off, headers=admin).status == 200


def test_a_node_that_is_off_the_map_is_out(closed: Cluster):
    """What a target signs is taken while it is in the map, and refused from the moment it is not."""
    api, stolen, other = Api(closed.endpoint), closed.targets[1], closed.targets[0]
    keys = NodeKeys.of(stolen.plan.directory.parent, api.smap())

    def ask(caller: Node) -> int:
        lines = keys.sign(caller.id, other.id, "GET", "/v1/metasync?part=keys", b"")
        headers = {"Ais-Caller-Id": caller.id, **lines}
        return Api(other.url).call("GET", "/v1/metasync", {"part": "keys"}, headers=headers).status

    assert ask(stolen) == 200
    closed.kill(stolen)
    removed = api.call("PUT", "/v1/cluster", body=message("rm-unsafe", value={"sid": stolen.id}))
    assert removed.status == 200, removed
    assert ask(stolen) == 403
    assert ask(closed.proxies[0]) == 200
