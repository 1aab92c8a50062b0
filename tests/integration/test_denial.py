"""What is made to stop a node is refused or done, while the node answers others and its memory stays bounded."""

import pytest
from harness.denial import GROWTH_MIB_MAX, MIB, Health, attacks, held_open, send
from harness.nodes import Watch, resident_bytes
from harness.wire import Api, request

from ais.testing import Cluster

CONNECTIONS = 300


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory):
    with Cluster(proxies=1, targets=1, mountpaths=1, dir=tmp_path_factory.mktemp("denial")) as running:
        Api(running.endpoint).create("victim")
        yield running


def test_requests_that_cost_much(cluster: Cluster) -> None:
    """Each gets its 4xx, or is done; health is answered all the while; memory grows by a stated amount at most."""
    nodes = [*cluster.proxies, *cluster.targets]
    before = {node.id: resident_bytes(node.pid) for node in nodes}
    wrong: list[tuple[str, object]] = []
    with Health([node.url for node in nodes]) as health, Watch(nodes) as watch:
        for attack in attacks("victim", scale=2):
            answer = send(cluster.endpoint, attack)
            if answer is not None and answer.status not in attack.statuses:
                wrong.append((attack.name, answer.status))
    assert not wrong
    assert not health.failures, health.failures[:5]
    assert health.took_s
    for node in nodes:
        assert watch.most[node.id] - before[node.id] < GROWTH_MIB_MAX * MIB
    assert Api(cluster.endpoint).call("GET", "/v1/daemon", {"what": "smap"}).status == 200


def test_long_heads_that_do_not_end(cluster: Cluster) -> None:
    """Heads of 60 KB that wait for their last line keep nobody else from being answered."""
    head = b"GET /v1/health HTTP/1.1\r\nHost: h\r\nX-Long: " + b"a" * 60_000
    with held_open(cluster.endpoint, 5, first=head), Health([cluster.endpoint]) as health:
        while len(health.took_s) < 20 and not health.failures:
            health.ended.wait(0.05)
    assert not health.failures


def test_idle_connections(cluster: Cluster) -> None:
    """So many that say nothing keep nobody out, and cost little memory."""
    gateway = cluster.proxies[0]
    before = resident_bytes(gateway.pid)
    with held_open(cluster.endpoint, CONNECTIONS) as taken:
        assert taken == CONNECTIONS
        assert request(cluster.endpoint, "GET", "/v1/health").status == 200
        assert resident_bytes(gateway.pid) - before < 64 * MIB
