"""All secrets and certificates of a cluster replaced again and again under load, nodes killed in between.

`make rotation`; ROTATION_ROUNDS says how often. Three gateways and three targets with everything on: TLS with client
certificates, a join secret, keys of nodes, tokens; with and without workers.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec
import pytest
from harness.certificates import Authority
from harness.nodekeys import NodeKeys
from harness.nodes import eventually
from harness.rotation import (
    SECRET,
    Load,
    ask,
    close,
    one_key_each,
    renew_certificates,
    renew_token_key,
    rotate,
    smap_of,
    tokens,
)
from harness.wire import message, request

from ais.playground import probe
from ais.playground.plan import SECRET_FILE
from ais.testing import TLS, Cluster

READY = "/v1/health?readiness=true"
ROUNDS = int(os.environ.get("ROTATION_ROUNDS", "5"))


class Closed(NamedTuple):
    cluster: Cluster
    authority: Authority
    files: TLS
    root: Path


@pytest.fixture(params=["1", "2"])
def closed(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Closed]:
    """A cluster whose nodes have so many workers."""
    files, authority = TLS(*(str(tmp_path / name) for name in ("pem", "key", "ca"))), Authority("the cluster's")
    authority.issue(files)
    settings = {"net.http.client_auth_tls": "4"}
    with Cluster(3, 3, 1, dir=tmp_path, tls=files, config_overrides=settings, workers=request.param) as cluster:
        del tokens[1:]
        close(cluster, files)
        yield Closed(cluster, authority, files, cluster.proxies[0].plan.directory.parent)


def test_rotation(closed: Closed) -> None:
    """No request of a client fails while everything is replaced; a node that was restarted has what it needs; what a
    stolen target signs makes it no primary, and is worth nothing once it was removed."""
    cluster, authority, files, root = closed
    tls = probe.tls_context(files)
    for number in range(ROUNDS):
        with Load(cluster, files) as load:
            for kind in ("cluster", "certificates", "nodes", "join", "tokens"):
                if kind == "join":
                    (root / SECRET_FILE).write_text(f"join secret number {number} of this cluster\n")
                if kind == "certificates":
                    renew_certificates(cluster, authority, files)
                elif kind == "tokens":
                    renew_token_key(cluster, files, f"{SECRET}, the {number}. after it")
                else:
                    assert all(rotate(cluster, kind, files=files).values()), kind
                at_least = load.count + 50
                eventually(lambda least=at_least, load=load: load.count > least or load.failures, within_s=120)
            eventually(lambda: one_key_each(cluster, files), within_s=120)
        print(f"round {number}: {load.count} done, {len(load.failures)} failed")
        assert not load.failures, load.failures[:10]
        victim = (*cluster.proxies, *cluster.targets)[number % 6]
        cluster.kill(victim)
        cluster.start()
        eventually(lambda one=victim: request(one.url, "GET", READY, tls=tls).status == 200, within_s=120)
    check_stolen(closed)


def check_stolen(closed: Closed) -> None:
    cluster, _, files, root = closed
    tls, target, gateway = probe.tls_context(files), cluster.targets[2], cluster.proxies[0]
    smap = smap_of(cluster, files)
    keys = NodeKeys.of(root, smap)

    def speak(method: str, path: str, content: object = None) -> int:
        body = msgspec.msgpack.encode(content) if content else b""
        lines = {"Ais-Caller-Id": target.id, **keys.sign(target.id, gateway.id, method, path, body)}
        return request(gateway.url, method, path, body=body, headers=lines, tls=tls).status

    vote = {"uuid": smap["uuid"], "term": 99, "candidate": smap["tmap"][target.id], "stamps": {}}
    for method, path in (("POST", "/v1/vote"), ("POST", "/v1/vote/take-over"), ("PUT", "/v1/metasync")):
        assert speak(method, path, vote) == 403
    assert speak("GET", "/v1/metasync?part=bmd") == 200
    cluster.kill(target)
    removal = message("rm-unsafe", value={"sid": target.id})
    assert ask(cluster.endpoint, "PUT", "/v1/cluster", removal, tls).status == 200
    assert speak("GET", "/v1/metasync?part=bmd") == 403
    primary = smap_of(cluster, files)["proxy_si"]["daemon_id"]
    assert primary in {proxy.id for proxy in cluster.proxies}
