"""Changes of a bucket that tells a receiver, and whether it was told: each at least once, those of a key in order."""

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import requests

from harness.receiver import Taken

ARN = "arn:ais:sqs::hook:webhook"
EVENTS = ["s3:ObjectCreated:*", "s3:ObjectRemoved:*"]
WANTED = ["ObjectCreated:Put", "ObjectCreated:Put", "ObjectRemoved:Delete", "ObjectCreated:Put"]


def configure(s3: Any, bucket: str, **more: Any) -> None:
    """Have a bucket tell the receiver `hook`, or the one of another `QueueArn`."""
    rule = {"Id": "all", "QueueArn": ARN, "Events": EVENTS, **more}
    s3.put_bucket_notification_configuration(Bucket=bucket, NotificationConfiguration={"QueueConfigurations": [rule]})


def change(s3: Any, bucket: str, keys: Iterable[str], threads: int = 4) -> None:
    """Four events of each key (`WANTED`)."""

    def work(key: str) -> None:
        for body in (b"1", b"22"):
            s3.put_object(Bucket=bucket, Key=key, Body=body)
        s3.delete_object(Bucket=bucket, Key=key)
        s3.put_object(Bucket=bucket, Key=key, Body=b"333")

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(work, keys))


def is_told(hook: Taken, bucket: str, keys: Iterable[str]) -> bool:
    """Whether all four events of all keys came, with what a client repeated that got no answer.

    Raise `AssertionError` when those of a key came in another order.
    """
    by_key: dict[str, dict[str, str]] = {key: {} for key in keys}
    for event, key, sequencer in hook.events(bucket):
        by_key[key].setdefault(sequencer, event)
    for found in by_key.values():
        assert list(found) == sorted(found)
    return all(_holds_all(list(found.values())) for found in by_key.values())


def _holds_all(found: list[str]) -> bool:
    left = iter(found)
    return all(wanted in left for wanted in WANTED)


def waiting(url: str) -> int:
    """How many events of a target the receiver lacks."""
    lines = requests.get(f"{url}/metrics", timeout=60).text.splitlines()
    [line] = [one for one in lines if one.startswith("ais_target_events_waiting{")]
    return int(line.rpartition(" ")[2])
