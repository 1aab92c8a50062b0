"""Two buckets of which one is replicated to the other: how they are made, changed and compared."""

import hashlib
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import requests
from botocore.exceptions import ClientError


def local(bucket: str) -> str:
    """The ARN of a bucket of the same cluster."""
    return f"arn:aws:s3:::{bucket}"


def elsewhere(bucket: str, cluster: str = "backup") -> str:
    """The ARN of a bucket of another one."""
    return f"arn:ais:s3::{cluster}:{bucket}"


def rule(arn: str, priority: int = 1, **more: Any) -> dict[str, Any]:
    """A rule about everything, delete markers too."""
    return {
        "ID": f"rule-{priority}",
        "Priority": priority,
        "Status": "Enabled",
        "Filter": {"Prefix": ""},
        "DeleteMarkerReplication": {"Status": "Enabled"},
        "Destination": {"Bucket": arn},
        **more,
    }


def replicate(s3: Any, bucket: str, *rules: dict[str, Any]) -> None:
    """Configure a bucket."""
    s3.put_bucket_replication(
        Bucket=bucket, ReplicationConfiguration={"Role": "arn:aws:iam::000000000000:role/r", "Rules": list(rules)}
    )


def make_versioned(s3: Any, bucket: str, **more: Any) -> None:
    """Create a bucket that keeps versions."""
    s3.create_bucket(Bucket=bucket, **more)
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})


def versions(s3: Any, bucket: str) -> dict[str, list[tuple[str, str, str]]]:
    """Key to its versions, newest first: ID, entity tag (empty: a delete marker), whether it is the latest."""
    found: dict[str, list[tuple[str, str, str]]] = {}
    for page in s3.get_paginator("list_object_versions").paginate(Bucket=bucket):
        for one in (*page.get("Versions", ()), *page.get("DeleteMarkers", ())):
            found.setdefault(one["Key"], []).append((one["VersionId"], one.get("ETag", ""), str(one["IsLatest"])))
    return {key: sorted(of) for key, of in found.items()}


def is_so(claim: Callable[[], object]) -> bool:
    """Whether a claim holds; a node that came back a moment ago may refuse to say."""
    try:
        return bool(claim())
    except ClientError:
        return False


def told(s3: Any, bucket: str, key: str, version_id: str) -> dict[str, Any]:
    """Everything a client sees of a version but where it is and when it was asked for."""
    found = s3.get_object(Bucket=bucket, Key=key, VersionId=version_id)
    tags = s3.get_object_tagging(Bucket=bucket, Key=key, VersionId=version_id)["TagSet"]
    seen = {
        name: value for name, value in found.items() if name not in ("Body", "ResponseMetadata", "ReplicationStatus")
    }
    body = hashlib.sha256(found["Body"].read()).hexdigest()
    return {**seen, "body": body, "tags": sorted((tag["Key"], tag["Value"]) for tag in tags)}


def status(s3: Any, bucket: str, key: str, **more: Any) -> str:
    """The replication status of a version, the latest unless another is named; empty: there is none."""
    return str(s3.head_object(Bucket=bucket, Key=key, **more).get("ReplicationStatus", ""))


def change(s3: Any, bucket: str, keys: Iterable[str], threads: int = 4) -> None:
    """Two versions of each key, tags on both, and by the number at its end: a delete marker, one version more."""

    def work(key: str) -> None:
        first = s3.put_object(Bucket=bucket, Key=key, Body=key.encode() * 10, Metadata={"of": key})["VersionId"]
        s3.put_object(Bucket=bucket, Key=key, Body=b"second " + key.encode(), Tagging="n=0")
        tags = {"TagSet": [{"Key": "n", "Value": key}]}
        s3.put_object_tagging(Bucket=bucket, Key=key, VersionId=first, Tagging=tags)
        s3.put_object_tagging(Bucket=bucket, Key=key, Tagging=tags)
        if int(key[-1]) % 2:
            s3.delete_object(Bucket=bucket, Key=key)
        if int(key[-1]) % 3 == 0:
            s3.put_object(Bucket=bucket, Key=key, Body=b"third")

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(work, keys))


def tags_of_all(s3: Any, bucket: str) -> dict[tuple[str, str], list[tuple[str, str]]]:
    """The tags of every version."""
    found = {}
    for key, of in versions(s3, bucket).items():
        for version_id, etag, _ in of:
            if etag:
                tags = s3.get_object_tagging(Bucket=bucket, Key=key, VersionId=version_id)["TagSet"]
                found[key, version_id] = sorted((tag["Key"], tag["Value"]) for tag in tags)
    return found


def waiting(url: str) -> int:
    """How many changes a target has that a destination lacks."""
    lines = requests.get(f"{url}/metrics", timeout=60).text.splitlines()
    found = [one for one in lines if one.startswith("ais_target_replicas_waiting{")]
    return sum(int(line.rpartition(" ")[2]) for line in found)
