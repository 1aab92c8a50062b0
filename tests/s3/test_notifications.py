"""Notifications: what happens in a bucket reaches real receivers at least once and in order, whatever stops."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import requests
from botocore.exceptions import ClientError
from harness.brokers import BROKERS
from harness.brokers.server import Server
from harness.events import ARN, change, configure, is_told
from harness.nodes import eventually
from harness.receiver import Receiver, receiver
from harness.s3access import Access, boto, remove_bucket
from harness.wire import fresh_name

from ais.testing import Cluster

WITHIN_S = 120.0
"""For events to arrive: a sender that failed waits up to half a minute."""


class Place(NamedTuple):
    """A cluster with receivers, brokers by their kind and name, and a client of it."""

    cluster: Cluster
    hook: Receiver
    brokers: dict[str, Server]
    s3: Any


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """One gateway and two targets; brokers want a password that stands in a file."""
    password: Path = tmp_path_factory.mktemp("events") / "password"
    password.write_text("guest\n")
    with ExitStack() as stack:
        hook = stack.enter_context(receiver())
        brokers = {kind: stack.enter_context(of(user="guest", password="guest")) for kind, of in BROKERS.items()}
        urls = {"hook": hook.url}
        for kind, broker in brokers.items():
            mark = "&" if "?" in broker.url else "?"
            urls[kind] = broker.url.replace("://", "://guest@") + f"{mark}password_file={password}"
        settings = {"net.s3_events": ",".join(f"{name}={url}" for name, url in urls.items())}
        cluster = stack.enter_context(Cluster(proxies=1, targets=2, mountpaths=2, config_overrides=settings))
        yield Place(cluster, hook, brokers, boto(Access(cluster.endpoint, "any", "anysecret"), read_timeout=120))


@pytest.fixture
def bucket(place: Place) -> Iterator[str]:
    """One whose events go to the receiver."""
    name = fresh_name("events")
    place.s3.create_bucket(Bucket=name)
    configure(place.s3, name)
    yield name
    remove_bucket(place.s3, name)


def names_of(place: Place, bucket: str, key: str) -> list[str]:
    """The events of a key, each once, in the order in which they came."""
    return list(dict.fromkeys(event for event, of, _ in place.hook.events(bucket) if of == key))


def test_every_way_of_writing(place: Place, bucket: str) -> None:
    """Put, copy, parts, forms, native writes, deletes and renames, of versions too, are told under Amazon's names."""
    s3, key = place.s3, "a b/ü+"
    s3.put_object(Bucket=bucket, Key=key, Body=b"123")
    s3.copy_object(Bucket=bucket, Key="copy", CopySource={"Bucket": bucket, "Key": key})
    upload = s3.create_multipart_upload(Bucket=bucket, Key="parts")["UploadId"]
    part = s3.upload_part(Bucket=bucket, Key="parts", UploadId=upload, PartNumber=1, Body=b"part")["ETag"]
    done = s3.complete_multipart_upload(
        Bucket=bucket, Key="parts", UploadId=upload, MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": part}]}
    )
    form = s3.generate_presigned_post(bucket, "form")
    assert requests.post(form["url"], form["fields"], files={"file": b"f"}, timeout=60).ok
    url = f"{place.cluster.endpoint}/v1/objects/{bucket}/native"
    assert requests.put(url, b"n", timeout=60).ok
    assert requests.delete(url, timeout=60).ok
    renamed = [f"r{number}" for number in range(6)]
    for name in renamed:
        s3.put_object(Bucket=bucket, Key=name, Body=b"r")
        change = {"action": "rename-obj", "name": f"new-{name}"}
        assert requests.post(f"{place.cluster.endpoint}/v1/objects/{bucket}/{name}", json=change, timeout=60).ok
    s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": "copy"}, {"Key": "absent"}]})
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    version = s3.put_object(Bucket=bucket, Key="v", Body=b"1")["VersionId"]
    marker = s3.delete_object(Bucket=bucket, Key="v")["VersionId"]
    s3.delete_object(Bucket=bucket, Key="v", VersionId=version)
    created, removed = "ObjectCreated", "ObjectRemoved"
    expected = {
        key: [f"{created}:Put"],
        "copy": [f"{created}:Copy", f"{removed}:Delete"],
        "parts": [f"{created}:CompleteMultipartUpload"],
        "form": [f"{created}:Post"],
        "native": [f"{created}:Put", f"{removed}:Delete"],
        **{name: [f"{created}:Put", f"{removed}:Delete"] for name in renamed},
        **{f"new-{name}": [f"{created}:Put"] for name in renamed},
        "v": [f"{created}:Put", f"{removed}:DeleteMarkerCreated", f"{removed}:Delete"],
    }
    eventually(lambda: {one: names_of(place, bucket, one) for one in expected} == expected, within_s=WITHIN_S)
    assert not names_of(place, bucket, "absent")
    found = {one["eventName"] + one["s3"]["object"]["key"]: one for one in place.hook.records}
    told = found["ObjectCreated:CompleteMultipartUploadparts"]
    assert (told["s3"]["object"]["eTag"], told["s3"]["object"]["size"]) == (done["ETag"].strip('"'), 4)
    assert (told["s3"]["configurationId"], told["requestParameters"]["sourceIPAddress"]) == ("all", "127.0.0.1")
    assert found["ObjectCreated:Putv"]["s3"]["object"]["versionId"] == version
    assert found["ObjectRemoved:DeleteMarkerCreatedv"]["s3"]["object"]["versionId"] == marker


def test_filters_and_refusals(place: Place, bucket: str) -> None:
    """Only what a rule names is told; a configuration that nothing would come of is refused, and the old one stays."""
    rules = {
        "Filter": {"Key": {"FilterRules": [{"Name": "prefix", "Value": "in/"}, {"Name": "suffix", "Value": ".x"}]}}
    }
    configure(place.s3, bucket, Events=["s3:ObjectRemoved:Delete"], **rules)
    wrong: list[dict[str, Any]] = [
        {"QueueArn": "arn:ais:sqs::nobody:webhook"},
        {"QueueArn": "arn:aws:sqs:us-east-1:1:q"},
        {"QueueArn": "arn:ais:sqs::hook:nats"},
        {"Events": ["s3:ObjectRestore:Post"]},
        {"Filter": {"Key": {"FilterRules": [{"Name": "middle", "Value": "x"}]}}},
    ]
    for one in wrong:
        with pytest.raises(ClientError, match="InvalidArgument"):
            configure(place.s3, bucket, **one)
    for key in ("in/a.x", "in/a.y", "out/a.x"):
        place.s3.put_object(Bucket=bucket, Key=key, Body=b"1")
        place.s3.delete_object(Bucket=bucket, Key=key)
    configure(place.s3, bucket)
    place.s3.put_object(Bucket=bucket, Key="last", Body=b"1")
    eventually(lambda: names_of(place, bucket, "last") and names_of(place, bucket, "in/a.x"), within_s=WITHIN_S)
    assert {(event, key) for event, key, _ in place.hook.events(bucket)} == {
        ("ObjectRemoved:Delete", "in/a.x"),
        ("ObjectCreated:Put", "last"),
    }


def test_a_receiver_is_tried_when_it_is_named(place: Place, bucket: str) -> None:
    """It gets one test event, and one that does not take it is no receiver, unless the request says not to ask."""
    [test] = [one for one in place.hook.tests if one["Bucket"] == bucket]
    assert (test["Service"], test["Event"]) == ("Amazon S3", "s3:TestEvent")
    before = place.s3.get_bucket_notification_configuration(Bucket=bucket)["QueueConfigurations"]
    place.hook.refuses = True
    try:
        with pytest.raises(ClientError, match="did not take the test event: it answered 503"):
            configure(place.s3, bucket, Events=["s3:ObjectCreated:Put"])
        assert place.s3.get_bucket_notification_configuration(Bucket=bucket)["QueueConfigurations"] == before
        rule = {"Id": "all", "QueueArn": ARN, "Events": ["s3:ObjectCreated:Put"]}
        place.s3.put_bucket_notification_configuration(
            Bucket=bucket, NotificationConfiguration={"QueueConfigurations": [rule]}, SkipDestinationValidation=True
        )
    finally:
        place.hook.refuses = False
    assert place.s3.get_bucket_notification_configuration(Bucket=bucket)["QueueConfigurations"] == [rule]
    assert len([one for one in place.hook.tests if one["Bucket"] == bucket]) == 1


def test_a_receiver_that_is_down_and_a_target_that_is_killed(place: Place, bucket: str) -> None:
    """Each acknowledged change arrives at least once, and those of a key in their order."""
    place.hook.refuses = True
    keys = [f"k{number}" for number in range(50)]
    change(place.s3, bucket, keys)
    eventually(lambda: place.hook.refused, within_s=WITHIN_S)
    victim = place.cluster.targets[0]
    place.cluster.kill(victim)
    place.hook.refuses = False
    place.cluster.restart(victim)
    place.cluster.wait_ready()
    eventually(lambda: is_told(place.hook, bucket, keys), within_s=WITHIN_S)


@pytest.mark.parametrize("kind", BROKERS)
def test_brokers(place: Place, kind: str) -> None:
    """Each is tried when a bucket names it, and told everything, while it is away later, in the order of each key."""
    broker, name, keys = place.brokers[kind], fresh_name("events"), ["a b/ü+", "k1", "k2", "k3"]
    place.s3.create_bucket(Bucket=name)
    broker.refuses = True
    with pytest.raises(ClientError, match=f'the receiver "{kind}" did not take the test event'):
        configure(place.s3, name, QueueArn=f"arn:ais:sqs::{kind}:{kind}")
    broker.refuses = False
    configure(place.s3, name, QueueArn=f"arn:ais:sqs::{kind}:{kind}")
    assert [test["Event"] for test in broker.tests if test["Bucket"] == name] == ["s3:TestEvent"]
    change(place.s3, name, keys[:2])
    broker.stop()
    change(place.s3, name, keys[2:])
    broker.start()
    eventually(lambda: is_told(broker, name, keys), within_s=WITHIN_S)
    remove_bucket(place.s3, name)
