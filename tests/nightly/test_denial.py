"""The review's denial of service at full size, with what others noticed of it. `make denial`.

DENIAL_SCALE, DENIAL_IDLE and DENIAL_HALF_OPEN in the environment make it smaller.

Nothing here is asserted about time: the figures are printed, beside those of the idle cluster. An innocent client asks
for its object 50 times a second; how often it gets it is printed too.
"""

import contextlib
import os
import statistics
from collections.abc import Iterator
from pathlib import Path

import pytest
from harness import certificates
from harness.denial import GROWTH_MIB_MAX, MIB, Health, Innocent, attacks, held_open, send
from harness.nodes import Watch, resident_bytes
from harness.wire import Api, request

from ais.playground import probe
from ais.testing import Cluster

IDLE, HALF_OPEN = int(os.environ.get("DENIAL_IDLE", "10000")), int(os.environ.get("DENIAL_HALF_OPEN", "2000"))
SCALE = int(os.environ.get("DENIAL_SCALE", "100"))
PER_CONNECTION_KIB_MAX = 32
OBJECT = "/s3/victim/o"


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with Cluster(proxies=1, targets=1, mountpaths=1) as running:
        Api(running.endpoint).create("victim")
        assert request(running.endpoint, "PUT", OBJECT, body=bytes(4096)).status == 200
        yield running


@contextlib.contextmanager
def told(what: str, cluster: Cluster) -> Iterator[Health]:
    """What others noticed of a block; that nobody was refused."""
    tls = probe.tls_context(cluster._tls)
    with (
        Health([node.url for node in cluster.nodes], tls) as health,
        Innocent(cluster.endpoint, OBJECT, tls) as innocent,
    ):
        yield health
    took = sorted(health.took_s)
    print(
        f"{what:26} {len(took):5} answers, median {1e3 * statistics.median(took):5.1f} ms,"
        f" p99 {1e3 * took[len(took) * 99 // 100]:6.1f} ms, longest {1e3 * took[-1]:6.1f} ms;"
        f" the innocent {innocent.per_s:4.0f}/s"
    )
    assert not health.failures, (what, health.failures[:5])
    assert not innocent.failures, (what, innocent.failures[:5])


def test_requests(cluster: Cluster) -> None:
    """100 MB of JSON, a million names, nests, stars: refused or done, health answered, memory bounded."""
    nodes = cluster.nodes
    with told("nothing", cluster) as health:
        health.ended.wait(3)
    before = {node.id: resident_bytes(node.pid) for node in nodes}
    with Watch(nodes) as watch:
        for attack in attacks("victim", scale=SCALE):
            with told(attack.name, cluster) as health:
                answer = send(cluster.endpoint, attack)
                health.ended.wait(1)
            assert answer is None or answer.status in attack.statuses, (attack.name, answer)
    for node in nodes:
        grown = (watch.most[node.id] - before[node.id]) // MIB
        print(f"{node.name}: {grown} MiB more at most")
        assert grown < GROWTH_MIB_MAX


def test_idle_connections(cluster: Cluster) -> None:
    """10,000 from one address: another address is served, each that is kept costs some KiB."""
    gateway = cluster.proxies[0]
    before = resident_bytes(gateway.pid)
    with told(f"{IDLE} connections", cluster) as health, held_open(cluster.endpoint, IDLE, "127.0.0.2") as taken:
        health.ended.wait(5)
        grown = resident_bytes(gateway.pid) - before
    print(f"{taken} taken, {grown // MIB} MiB more")
    assert grown < taken * PER_CONNECTION_KIB_MAX << 10


def test_half_open_handshakes(tmp_path: Path) -> None:
    """2,000 TLS handshakes that go no further: another address is served all the time."""
    with Cluster(proxies=1, targets=1, mountpaths=1, tls=certificates.make(tmp_path)) as secure:
        tls = probe.tls_context(secure._tls)
        assert probe.call("POST", f"{secure.endpoint}/v1/buckets/victim", tls, b'{"action":"create-bck"}')[0] == 200
        assert request(secure.endpoint, "PUT", OBJECT, body=bytes(4096), tls=tls).status == 200
        gateway = secure.proxies[0]
        with told("nothing, with TLS", secure) as health:
            health.ended.wait(3)
        before = resident_bytes(gateway.pid)
        with told(f"{HALF_OPEN} handshakes", secure) as health, held_open(secure.endpoint, HALF_OPEN, "127.0.0.2"):
            health.ended.wait(5)
            grown = resident_bytes(gateway.pid) - before
        print(f"{grown // MIB} MiB more")
