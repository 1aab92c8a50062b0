"""Ten thousand events to each kind of receiver, down for a minute; a target killed and one decommissioned meanwhile."""

import os
import threading
import time
from typing import Any

import boto3
import pytest
from botocore.config import Config
from harness.brokers import KINDS, receiver_of
from harness.events import change, configure, is_told, waiting
from harness.nodes import eventually
from harness.s3access import REGION
from harness.wire import Api, message, request

from ais.testing import Cluster

COUNT = int(os.environ.get("EVENTS", "10000"))
DOWN_S = float(os.environ.get("EVENTS_DOWN_S", "60"))


def client_of(cluster: Cluster) -> Any:
    """One that tries again while nodes are killed."""
    return boto3.client(
        "s3", endpoint_url=cluster.endpoint, region_name=REGION, aws_access_key_id="any", aws_secret_access_key="any",
        config=Config(read_timeout=120, retries={"total_max_attempts": 20}),
    )  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_ten_thousand_events(kind: str) -> None:
    """Each acknowledged change arrives at least once, and those of a key in their order."""
    with receiver_of(kind) as hook, Cluster(1, 3, 2, config_overrides={"net.s3_events": f"hook={hook.url}"}) as cluster:
        s3 = client_of(cluster)
        keys = [f"k{number}" for number in range(COUNT // 4)]
        s3.create_bucket(Bucket="many")
        configure(s3, "many", QueueArn=hook.arn)
        hook.refuses = True
        down_since_s = time.monotonic()
        work = threading.Thread(target=change, args=(s3, "many", keys))
        work.start()
        eventually(lambda: waiting(cluster.targets[0].url) > COUNT // 20, within_s=600)
        victim = cluster.targets[0]
        cluster.kill(victim)
        cluster.restart(victim)
        work.join()
        cluster.wait_ready()
        leaves = cluster.targets[1]
        body = message("decommission-node", value={"sid": leaves.id, "rm_user_data": True})
        assert Api(cluster.endpoint).call("PUT", "/v1/cluster", body=body).status == 200
        cluster.wait_ended(leaves)
        time.sleep(max(0.0, DOWN_S - (time.monotonic() - down_since_s)))
        hook.refuses = False
        took_s = eventually(lambda: is_told(hook, "many", keys), within_s=1800, every_s=1)
        came = len(hook.events("many"))
        print(f"{kind}: {COUNT} events, {came} records, sent {took_s:.0f} s after the receiver was back")


@pytest.mark.parametrize("kind", KINDS)
def test_a_mountpath_and_a_target_that_leave_while_events_wait(kind: str) -> None:
    """Detached and decommissioned with all data removed: the last target sends what they had kept, in order."""
    with receiver_of(kind) as hook, Cluster(1, 2, 2, config_overrides={"net.s3_events": f"hook={hook.url}"}) as cluster:
        s3, api, keys = client_of(cluster), Api(cluster.endpoint), list("abcdefghijkl")
        s3.create_bucket(Bucket="leaving")
        configure(s3, "leaving", QueueArn=hook.arn)
        hook.refuses = True
        change(s3, "leaving", keys)
        stays, leaves = cluster.targets
        assert waiting(stays.url) + waiting(leaves.url) == 4 * len(keys)
        gone = str(stays.mountpaths[0])
        body, of = message("detach-mp", value=gone), {"Ais-Node-Id": stays.id}
        assert api.call("DELETE", "/v1/reverse/daemon/mountpaths", body=body, headers=of).status == 200
        body = message("decommission-node", value={"sid": leaves.id, "rm_user_data": True})
        assert api.call("PUT", "/v1/cluster", body=body).status == 200
        cluster.wait_ended(leaves)
        eventually(
            lambda: gone not in request(stays.url, "GET", "/v1/daemon?what=mountpaths").body.decode(), within_s=120
        )
        for path in (stays.mountpaths[0], *leaves.mountpaths):
            assert not (path / ".ais.events").exists()
        assert waiting(stays.url) == 4 * len(keys)
        hook.refuses = False
        eventually(lambda: is_told(hook, "leaving", keys), within_s=120)
        eventually(lambda: waiting(stays.url) == 0, within_s=120)
