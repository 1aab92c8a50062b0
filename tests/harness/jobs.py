"""Jobs of a cluster, started and waited for."""

import json
from typing import Any

from ais.testing import Cluster
from harness.nodes import eventually
from harness.wire import Api, message


def run_job(cluster: Cluster, kind: str, *buckets: str) -> int:
    """Have a job go through these buckets (all of the cluster without any) and end well; how many objects it tells."""
    api = Api(cluster.endpoint)
    value = {"kind": kind, "buckets": [{"name": one} for one in buckets]}
    started = api.call("PUT", "/v1/cluster", body=message("start", value=value))
    assert started.status == 200, started

    def snaps() -> list[dict[str, Any]]:
        asked = json.dumps({"id": started.body.decode()}).encode()
        found = api.call("GET", "/v1/cluster?what=qryxstats", body=asked).json()
        return [snap for of_node in found.values() for snap in of_node]

    eventually(lambda: all(not snap["end-time"].startswith("0001") for snap in snaps()), within_s=300)
    assert not any(snap["err"] for snap in snaps()), cluster.logs()
    return sum(int(snap["stats"]["loc-objs"]) for snap in snaps())
