"""A thousand objects replicated: the other cluster down for a minute, targets killed and decommissioned meanwhile."""

import os
import threading
import time
from typing import Any

import boto3
import pytest
from botocore.config import Config
from harness.jobs import run_job
from harness.nodes import eventually
from harness.replicating import (
    change,
    elsewhere,
    local,
    make_versioned,
    replicate,
    rule,
    tags_of_all,
    versions,
    waiting,
)
from harness.s3access import REGION, Access, new_access
from harness.wire import Api, message

from ais.api import codec
from ais.playground import probe
from ais.testing import Cluster

COUNT = int(os.environ.get("REPLICAS", "1000"))
DOWN_S = float(os.environ.get("REPLICAS_DOWN_S", "60"))
WITHIN_S = 1800.0


def client_of(access: Access) -> Any:
    """One that tries again while nodes are killed."""
    return boto3.client(
        "s3", endpoint_url=access.url, region_name=REGION, aws_access_key_id=access.key_id,
        aws_secret_access_key=access.secret, config=Config(read_timeout=120, retries={"total_max_attempts": 20}),
    )  # fmt: skip


def test_a_thousand_objects() -> None:
    """Overwritten, deleted, tagged: in the end the other bucket has the same versions, and nothing waits."""
    with Cluster(1, 2, 2, config_overrides={"auth.enabled": "true"}) as backup:
        key = new_access(backup, "carrier")
        url = f"http://{key.key_id}@{backup.endpoint.partition('://')[2]}"
        with Cluster(1, 3, 2, config_overrides={"net.s3_replicas": f"backup={url}"}) as cluster:
            body = codec.to_json({"user": "carrier", "id": key.key_id, "secret": key.secret})
            socket = cluster.proxies[0].plan.socket
            assert probe.call("POST", f"{cluster.endpoint}/v1/auth/keys", None, body, socket)[0] == 200
            s3, there = client_of(Access(cluster.endpoint, "any", "anysecret")), client_of(key)
            make_versioned(s3, "source")
            make_versioned(there, "there")
            replicate(s3, "source", rule(elsewhere("there")))
            keys = [f"k{number}" for number in range(COUNT)]
            work = threading.Thread(target=change, args=(s3, "source", keys))
            work.start()
            eventually(lambda: versions(there, "there"), within_s=WITHIN_S)
            [gateway] = backup.proxies
            backup.kill(gateway)
            down_since_s = time.monotonic()
            eventually(lambda: waiting(cluster.targets[0].url) > COUNT // 10, within_s=WITHIN_S)
            victim = cluster.targets[0]
            cluster.kill(victim)
            cluster.restart(victim)
            work.join()
            cluster.wait_ready()
            leaves = cluster.targets[1]
            left = message("decommission-node", value={"sid": leaves.id, "rm_user_data": True})
            assert Api(cluster.endpoint).call("PUT", "/v1/cluster", body=left).status == 200
            eventually(lambda: not leaves.alive, within_s=WITHIN_S, every_s=1)
            time.sleep(max(0.0, DOWN_S - (time.monotonic() - down_since_s)))
            backup.kill(backup.targets[0])
            backup.restart(backup.targets[0])
            backup.restart(gateway)
            backup.wait_ready()
            wanted = versions(s3, "source")
            took_s = eventually(lambda: versions(there, "there") == wanted, within_s=WITHIN_S, every_s=1)
            tags = tags_of_all(s3, "source")
            eventually(lambda: tags_of_all(there, "there") == tags, within_s=WITHIN_S, every_s=1)
            stay = [node for node in cluster.targets if node.alive]
            eventually(lambda: sum(waiting(node.url) for node in stay) == 0, within_s=WITHIN_S, every_s=1)
            for name, found in wanted.items():
                for version_id, etag, _ in found:
                    if etag:
                        told = s3.head_object(Bucket="source", Key=name, VersionId=version_id)
                        assert told["ReplicationStatus"] == "COMPLETED", (name, version_id)
            count = sum(len(found) for found in wanted.values())
            print(f"{count} versions of {COUNT} keys, there {took_s:.0f} s after the other cluster was back")


@pytest.mark.parametrize(
    "props",
    [
        {"mirror": {"enabled": True, "copies": 2}},
        {"ec": {"enabled": True, "data_slices": 1, "parity_slices": 1, "objsize_limit": 1024}},
    ],
    ids=["mirrored", "erasure-coded"],
)
def test_protected_buckets(props: dict[str, object]) -> None:
    """Source and destination keep what they promise about every version, on whichever disk its copies lie."""
    with Cluster(1, 3, 2) as cluster:
        s3, api = client_of(Access(cluster.endpoint, "any", "anysecret")), Api(cluster.endpoint)
        for name in ("source", "there"):
            make_versioned(s3, name)
            assert api.act("PATCH", f"/v1/buckets/{name}", "set-bprops", value=props).status == 200
        change(s3, "source", [f"k{number}" for number in range(10)])
        replicate(s3, "source", rule(local("there")))
        change(s3, "source", [f"k{number}" for number in range(5, 20)])
        run_job(cluster, "replicate-existing", "source")
        s3.put_object(Bucket="source", Key="large", Body=b"x" * 300_000)
        eventually(lambda: versions(s3, "there") == versions(s3, "source"), within_s=WITHIN_S)
        eventually(lambda: tags_of_all(s3, "there") == tags_of_all(s3, "source"), within_s=WITHIN_S)
        eventually(lambda: sum(waiting(node.url) for node in cluster.targets) == 0, within_s=WITHIN_S)
        assert s3.get_object(Bucket="there", Key="large")["Body"].read() == b"x" * 300_000

        def is_kept() -> bool:
            return bool(api.call("GET", "/v1/cluster?what=protection").json()["state"] == "ok")

        eventually(is_kept, within_s=WITHIN_S, every_s=1)


def test_what_is_there_while_targets_are_killed() -> None:
    """A job that was cut short and started again brings all that was there before the rule, beside what changes."""
    with Cluster(1, 2, 2) as cluster:
        s3, api = client_of(Access(cluster.endpoint, "any", "anysecret")), Api(cluster.endpoint)
        for name in ("source", "there"):
            make_versioned(s3, name)
        change(s3, "source", [f"k{number}" for number in range(COUNT)])
        replicate(s3, "source", rule(local("there")))
        work = threading.Thread(target=change, args=(s3, "source", [f"n{number}" for number in range(COUNT // 4)]))
        work.start()
        body = message("start", value={"kind": "replicate-existing", "buckets": [{"name": "source"}]})
        assert api.call("PUT", "/v1/cluster", body=body).status == 200
        for victim in cluster.targets:
            eventually(lambda: len(versions(s3, "there")) > COUNT // 20, within_s=WITHIN_S)
            cluster.kill(victim)
            cluster.restart(victim)
            cluster.wait_ready()
        work.join()
        noted = run_job(cluster, "replicate-existing", "source")
        wanted = versions(s3, "source")
        took_s = eventually(lambda: versions(s3, "there") == wanted, within_s=WITHIN_S, every_s=1)
        eventually(lambda: sum(waiting(node.url) for node in cluster.targets) == 0, within_s=WITHIN_S, every_s=1)
        assert tags_of_all(s3, "there") == tags_of_all(s3, "source")
        print(f"{sum(map(len, wanted.values()))} versions, {noted} noted by the second job, there after {took_s:.0f} s")
