"""The review's denial of service at full size, with what others noticed of it. `make denial`.

Nothing here is asserted about time: the figures are printed, beside those of the idle cluster.
"""

import statistics
from collections.abc import Iterator
from pathlib import Path

import pytest
from harness import certificates
from harness.denial import GROWTH_MIB_MAX, MIB, Health, attacks, held_open, send
from harness.nodes import Watch, resident_bytes
from harness.wire import Api

from ais.playground import probe
from ais.testing import Cluster

IDLE, HALF_OPEN = 10_000, 2000
PER_CONNECTION_KIB_MAX = 32


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with Cluster(proxies=1, targets=1, mountpaths=1) as running:
        Api(running.endpoint).create("victim")
        yield running


def told(what: str, health: Health) -> None:
    took = sorted(health.took_s)
    print(
        f"{what:28} {len(took):6} answers, median {1e3 * statistics.median(took):7.1f} ms, p99"
        f" {1e3 * took[len(took) * 99 // 100]:7.1f} ms, longest {1e3 * took[-1]:7.1f} ms"
    )
    assert not health.failures, (what, health.failures[:5])


def test_requests(cluster: Cluster) -> None:
    """100 MB of JSON, a million names, nests, stars: refused or done, health answered, memory bounded."""
    nodes = [*cluster.proxies, *cluster.targets]
    urls = [node.url for node in nodes]
    with Health(urls) as health:
        health.ended.wait(3)
    told("nothing", health)
    before = {node.id: resident_bytes(node.pid) for node in nodes}
    with Watch(nodes) as watch:
        for attack in attacks("victim", scale=100):
            with Health(urls) as health:
                answer = send(cluster.endpoint, attack)
                health.ended.wait(0.5)
            told(attack.name, health)
            assert answer is None or answer.status in attack.statuses, (attack.name, answer)
    for node in nodes:
        grown = (watch.most[node.id] - before[node.id]) // MIB
        print(f"{node.name}: {grown} MiB more at most")
        assert grown < GROWTH_MIB_MAX


def test_idle_connections(cluster: Cluster) -> None:
    """10,000 from one address: another address is served, each costs some KiB."""
    gateway = cluster.proxies[0]
    before = resident_bytes(gateway.pid)
    with held_open(cluster.endpoint, IDLE, "127.0.0.2") as taken, Health([cluster.endpoint]) as health:
        health.ended.wait(5)
        grown = resident_bytes(gateway.pid) - before
    told(f"{taken} idle connections", health)
    assert grown < taken * PER_CONNECTION_KIB_MAX << 10


def test_half_open_handshakes(tmp_path: Path) -> None:
    """2,000 TLS handshakes that go no further: another address is served all the time."""
    with Cluster(proxies=1, targets=1, mountpaths=1, tls=certificates.make(tmp_path)) as secure:
        tls = probe.tls_context(secure._tls)
        gateway = secure.proxies[0]
        before = resident_bytes(gateway.pid)
        with held_open(secure.endpoint, HALF_OPEN, "127.0.0.2") as taken:
            for _ in range(50):
                assert probe.call("GET", f"{secure.endpoint}/v1/health", tls)[0] == 200
            print(f"{taken} half-open handshakes: {(resident_bytes(gateway.pid) - before) // MIB} MiB more")
