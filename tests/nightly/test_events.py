"""Ten thousand events: a receiver that is down for a minute, a target killed and one decommissioned meanwhile."""

import os
import threading
import time

import boto3
from botocore.config import Config
from harness.events import change, configure, is_told, waiting
from harness.nodes import eventually
from harness.receiver import receiver
from harness.s3access import REGION
from harness.wire import Api, message

from ais.testing import Cluster

COUNT = int(os.environ.get("EVENTS", "10000"))
DOWN_S = float(os.environ.get("EVENTS_DOWN_S", "60"))


def test_ten_thousand_events() -> None:
    """Each acknowledged change arrives at least once, and those of a key in their order."""
    with receiver() as hook, Cluster(1, 3, 2, config_overrides={"net.s3_events": f"hook={hook.url}"}) as cluster:
        s3 = boto3.client(
            "s3", endpoint_url=cluster.endpoint, region_name=REGION, aws_access_key_id="any",
            aws_secret_access_key="any", config=Config(read_timeout=120, retries={"total_max_attempts": 20}),
        )  # fmt: skip
        keys = [f"k{number}" for number in range(COUNT // 4)]
        s3.create_bucket(Bucket="many")
        configure(s3, "many")
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
        print(f"{COUNT} events, {came} records, sent {took_s:.0f} s after the receiver was back")
