"""All secrets of clusters with and without workers replaced again and again under load, nodes killed in between.

`make rotation`; ROTATION_ROUNDS says how often.
"""

import os
from pathlib import Path

import pytest
from harness.nodes import eventually
from harness.rotation import Load, close, one_key_each, rotate
from harness.wire import request

from ais.playground.plan import SECRET_FILE
from ais.testing import Cluster

READY = "/v1/health?readiness=true"
ROUNDS = int(os.environ.get("ROTATION_ROUNDS", "5"))


@pytest.mark.parametrize("workers", ["1", "2"])
def test_rotation(tmp_path: Path, workers: str) -> None:
    """No request of a client fails while every secret is replaced; a node that was restarted has what it needs."""
    with Cluster(proxies=3, targets=3, mountpaths=1, dir=tmp_path, workers=workers) as cluster:
        close(cluster)
        root = cluster.proxies[0].plan.directory.parent
        for number in range(ROUNDS):
            with Load(cluster) as load:
                for kind in ("cluster", "nodes", "join"):
                    if kind == "join":
                        (root / SECRET_FILE).write_text(f"join secret number {number} of this cluster\n")
                    assert all(rotate(cluster, kind).values()), kind
                    at_least = load.count + 50
                    eventually(lambda least=at_least, load=load: load.count > least or load.failures, within_s=120)
                eventually(lambda: one_key_each(cluster), within_s=120)
            print(f"{workers} workers, round {number}: {load.count} done, {len(load.failures)} failed")
            assert not load.failures, load.failures[:10]
            victim = (*cluster.proxies, *cluster.targets)[number % 6]
            cluster.kill(victim)
            cluster.start(victim)
            eventually(lambda one=victim: request(one.url, "GET", READY).status == 200, within_s=120)
