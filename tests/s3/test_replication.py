"""Replication of buckets: the same versions under the same IDs in another bucket or cluster, whatever stops."""

import hashlib
import json
import shutil
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest
import requests
from botocore.exceptions import ClientError
from harness.jobs import run_job
from harness.nodes import eventually
from harness.replicating import (
    change,
    elsewhere,
    is_so,
    local,
    make_versioned,
    replicate,
    rule,
    status,
    tags_of_all,
    told,
    versions,
    waiting,
)
from harness.s3access import Access, boto, new_access, remove_bucket
from harness.s3raw import Request, call, code, send
from harness.versioning import given_id
from harness.wire import Api, fresh_name

from ais.api import codec
from ais.playground import probe
from ais.s3 import replication
from ais.s3.replication import Replica
from ais.testing import Cluster

WITHIN_S = 100.0
"""For replicas to arrive: a sender that was refused waits up to half a minute."""


class Place(NamedTuple):
    """A cluster, another one that asks for signatures, clients of both, and the key of it that the first one has."""

    cluster: Cluster
    backup: Cluster
    s3: Any
    there: Any
    carrier: Access


@pytest.fixture(scope="module")
def place() -> Iterator[Place]:
    """Each has one gateway; the first two targets."""
    with Cluster(1, 1, 1, config_overrides={"auth.enabled": "true"}) as backup:
        key = new_access(backup, "carrier")
        url = f"http://{key.key_id}@{backup.endpoint.partition('://')[2]}"
        with Cluster(1, 2, 2, config_overrides={"net.s3_replicas": f"backup={url}"}) as cluster:
            body = codec.to_json({"user": "carrier", "id": key.key_id, "secret": key.secret})
            socket = cluster.proxies[0].plan.socket
            code, said = probe.call("POST", f"{cluster.endpoint}/v1/auth/keys", None, body, socket)
            assert code == 200, said
            s3 = boto(Access(cluster.endpoint, "any", "anysecret"), read_timeout=120)
            yield Place(cluster, backup, s3, boto(key, read_timeout=120), key)


@pytest.fixture
def pair(place: Place) -> Iterator[tuple[str, str]]:
    """A bucket that keeps versions, and another one in the same cluster."""
    source, target = fresh_name("from"), fresh_name("to")
    make_versioned(place.s3, source)
    make_versioned(place.s3, target)
    yield source, target
    for name in (source, target):
        remove_bucket(place.s3, name)


@pytest.fixture
def far(place: Place) -> Iterator[tuple[str, str]]:
    """A bucket that keeps versions, and another one in the other cluster, whose owner's key the first one has."""
    source, target = fresh_name("from"), fresh_name("to")
    make_versioned(place.s3, source)
    make_versioned(place.there, target)
    yield source, target
    remove_bucket(place.s3, source)
    remove_bucket(place.there, target)


def arrives(s3: Any, source: str, there: Any, target: str) -> None:
    """Wait until both buckets have the same versions."""
    eventually(lambda: is_so(lambda: versions(there, target) == versions(s3, source)), within_s=WITHIN_S)


def test_versions_and_markers_in_the_same_cluster(place: Place, pair: tuple[str, str]) -> None:
    """Puts, copies, parts, native writes and markers get there under their IDs with all that is told of them."""
    s3, (source, target) = place.s3, pair
    replicate(s3, source, rule(local(target)))
    s3.put_object(
        Bucket=source, Key="a b/ü+", Body=b"123", Metadata={"k": "v"}, Tagging="a=b", ContentType="text/plain",
        CacheControl="no-store", ChecksumAlgorithm="SHA256",
    )  # fmt: skip
    s3.copy_object(Bucket=source, Key="copy", CopySource={"Bucket": source, "Key": "a b/ü+"})
    upload = s3.create_multipart_upload(Bucket=source, Key="parts", ChecksumAlgorithm="CRC32")["UploadId"]
    parts = []
    for number, size in ((1, 5 << 20), (2, 1000)):
        part = s3.upload_part(
            Bucket=source, Key="parts", UploadId=upload, PartNumber=number, Body=b"p" * size, ChecksumAlgorithm="CRC32"
        )
        parts.append({"PartNumber": number, "ETag": part["ETag"], "ChecksumCRC32": part["ChecksumCRC32"]})
    s3.complete_multipart_upload(Bucket=source, Key="parts", UploadId=upload, MultipartUpload={"Parts": parts})
    assert requests.put(f"{place.cluster.endpoint}/v1/objects/{source}/native", b"n" * 9, timeout=60).ok
    s3.put_object(Bucket=source, Key="gone", Body=b"1")
    s3.delete_object(Bucket=source, Key="gone")
    s3.put_object(Bucket=source, Key="empty", Body=b"")
    arrives(s3, source, s3, target)
    for key, of in versions(s3, source).items():
        for version_id, etag, _ in of:
            if etag:
                assert told(s3, target, key, version_id) == told(s3, source, key, version_id)
                eventually(
                    lambda key=key, one=version_id: status(s3, source, key, VersionId=one) == "COMPLETED",
                    within_s=WITHIN_S,
                )
                assert status(s3, target, key, VersionId=version_id) == "REPLICA"
    part = s3.head_object(Bucket=target, Key="parts", PartNumber=2)
    assert (part["ContentLength"], part["PartsCount"]) == (1000, 2)
    eventually(lambda: sum(waiting(node.url) for node in place.cluster.targets) == 0, within_s=WITHIN_S)


def test_to_another_cluster_that_is_away(place: Place, far: tuple[str, str]) -> None:
    """What changes while the other cluster is down and a target is killed is there in the end, tags and markers too."""
    source, target = far
    replicate(place.s3, source, rule(elsewhere(target)))
    place.s3.put_object(Bucket=source, Key="before", Body=b"1")
    arrives(place.s3, source, place.there, target)
    [gateway] = place.backup.proxies
    place.backup.kill(gateway)
    keys = [f"k{number}" for number in range(20)]
    try:
        change(place.s3, source, keys)
        assert status(place.s3, source, keys[0]) == "PENDING"
        assert sum(waiting(node.url) for node in place.cluster.targets) >= 4 * len(keys)
        arn = elsewhere(target)

        def is_behind() -> bool:
            found = Api(place.cluster.endpoint).call("GET", "/v1/cluster?what=replication").json()
            [one] = [one for one in found["destinations"] if one["destination"] == arn]
            assert one["waiting"] >= 4 * len(keys)
            return one["behind_s"] > 0 and "cannot be reached" in one["why"]

        eventually(is_behind, within_s=WITHIN_S)
        victim = place.cluster.targets[0]
        place.cluster.kill(victim)
        place.cluster.restart(victim)
        place.cluster.wait_ready()
        eventually(lambda: is_so(lambda: place.s3.put_object(Bucket=source, Key="late", Body=b"1")), within_s=WITHIN_S)
        eventually(lambda: is_so(lambda: status(place.s3, source, "late") == "PENDING"), within_s=WITHIN_S)
    finally:
        place.backup.restart(gateway)
        place.backup.wait_ready()
    arrives(place.s3, source, place.there, target)
    eventually(lambda: tags_of_all(place.there, target) == tags_of_all(place.s3, source), within_s=WITHIN_S)
    for key, of in versions(place.s3, source).items():
        for version_id, etag, _ in of:
            if etag:
                eventually(
                    lambda key=key, one=version_id: status(place.s3, source, key, VersionId=one) == "COMPLETED",
                    within_s=WITHIN_S,
                )


def test_what_is_there_before_its_rule(place: Place, far: tuple[str, str]) -> None:
    """Versions, tags and markers get there by a job, which passes over what is there and what came from elsewhere."""
    s3, (source, target) = place.s3, far
    keys = [f"k{number}" for number in range(8)]
    change(s3, source, keys)
    with pytest.raises(AssertionError, match="is not replicated"):
        run_job(place.cluster, "replicate-existing", source)
    replicate(s3, source, rule(elsewhere(target), Filter={"Prefix": "k"}))
    s3.put_object(Bucket=source, Key="other", Body=b"1")
    first = {key: of for key, of in versions(s3, source).items() if key != "other"}
    of_markers = sum(not etag for of in first.values() for _, etag, _ in of)
    count = sum(len(of) for of in first.values())
    assert run_job(place.cluster, "replicate-existing", source) == count
    eventually(lambda: is_so(lambda: versions(place.there, target) == first), within_s=WITHIN_S)
    tags = {of: found for of, found in tags_of_all(s3, source).items() if of[0] != "other"}
    eventually(lambda: tags_of_all(place.there, target) == tags, within_s=WITHIN_S)
    for key, of in first.items():
        for version_id, etag, _ in of:
            if etag:
                eventually(
                    lambda key=key, one=version_id: status(s3, source, key, VersionId=one) == "COMPLETED",
                    within_s=WITHIN_S,
                )
    assert run_job(place.cluster, "replicate-existing") == of_markers  # nothing says of these whether they are there
    assert not status(s3, source, "other")


def test_what_waits_for_a_journal_that_is_lost(place: Place, far: tuple[str, str]) -> None:
    """A version that nobody would have brought any more is there after the job."""
    s3, (source, target) = place.s3, far
    replicate(s3, source, rule(elsewhere(target)))
    keys = [f"k{number}" for number in range(6)]
    [gateway] = place.backup.proxies
    place.backup.kill(gateway)
    try:
        for key in keys:
            s3.put_object(Bucket=source, Key=key, Body=key.encode())
        for node in place.cluster.targets:
            place.cluster.kill(node)
            for mountpath in node.mountpaths:
                shutil.rmtree(mountpath / ".ais.events", ignore_errors=True)
            place.cluster.restart(node)
        place.cluster.wait_ready()
    finally:
        place.backup.restart(gateway)
        place.backup.wait_ready()
    eventually(lambda: is_so(lambda: status(s3, source, keys[0]) == "PENDING"), within_s=WITHIN_S)
    assert not versions(place.there, target)
    assert run_job(place.cluster, "replicate-existing", source) == len(keys)
    arrives(s3, source, place.there, target)
    for key in keys:
        eventually(lambda key=key: status(s3, source, key) == "COMPLETED", within_s=WITHIN_S)


def test_filters_priorities_and_several_destinations(place: Place, pair: tuple[str, str]) -> None:
    """Prefix, tag and both; of two rules for one bucket the higher priority counts; markers where the rule says so."""
    s3, (source, target) = place.s3, pair
    second = fresh_name("second")
    make_versioned(s3, second)
    both = {"And": {"Prefix": "p/", "Tags": [{"Key": "keep", "Value": "yes"}]}}
    off = {"DeleteMarkerReplication": {"Status": "Disabled"}}
    replicate(
        s3,
        source,
        rule(local(target), 1, Filter=both, **off),
        rule(local(second), 2, Filter={"Prefix": "p/"}),
        rule(local(second), 3, Filter={"Prefix": "p/quiet/"}, **off),
    )
    try:
        tagged = s3.put_object(Bucket=source, Key="p/tagged", Body=b"1", Tagging="keep=yes")["VersionId"]
        plain = s3.put_object(Bucket=source, Key="p/plain", Body=b"1")["VersionId"]
        s3.put_object(Bucket=source, Key="q", Body=b"1", Tagging="keep=yes")
        quiet = s3.put_object(Bucket=source, Key="p/quiet/x", Body=b"1")["VersionId"]
        s3.delete_object(Bucket=source, Key="p/quiet/x")
        marker = s3.delete_object(Bucket=source, Key="p/plain")["VersionId"]
        s3.delete_object(Bucket=source, Key="p/plain", VersionId=plain)
        last = s3.put_object(Bucket=source, Key="p/quiet/x", Body=b"2")["VersionId"]
        wanted = {"p/tagged": {tagged}, "p/plain": {marker}, "p/quiet/x": {quiet, last}}
        eventually(
            lambda: {k: {i for i, *_ in of} - {plain} for k, of in versions(s3, second).items()} == wanted,
            within_s=WITHIN_S,
        )
        eventually(lambda: status(s3, source, "p/tagged") == "COMPLETED", within_s=WITHIN_S)
        assert {key: [one for one, *_ in of] for key, of in versions(s3, target).items()} == {"p/tagged": [tagged]}
        assert status(s3, source, "q") == ""
        untagged = s3.put_object(Bucket=source, Key="p/later", Body=b"1")["VersionId"]
        tags = {"TagSet": [{"Key": "keep", "Value": "yes"}]}
        s3.put_object_tagging(Bucket=source, Key="p/later", Tagging=tags)
        eventually(lambda: versions(s3, target).get("p/later", [("",)])[0][0] == untagged, within_s=WITHIN_S)
    finally:
        s3.delete_bucket_replication(Bucket=source)
        remove_bucket(s3, second)


def test_no_loop(place: Place, far: tuple[str, str]) -> None:
    """Of two buckets that are replicated to each other each has what was written to either, once."""
    source, target = far
    replicate(place.s3, source, rule(elsewhere(target)))
    third = fresh_name("third")
    make_versioned(place.there, third)
    replicate(place.there, target, rule(local(third)))
    try:
        here = place.s3.put_object(Bucket=source, Key="k", Body=b"1")["VersionId"]
        own = place.there.put_object(Bucket=target, Key="own", Body=b"2")["VersionId"]
        eventually(lambda: {"k", "own"} == versions(place.there, target).keys(), within_s=WITHIN_S)
        eventually(lambda: versions(place.there, third).keys() == {"own"}, within_s=WITHIN_S)
        eventually(lambda: status(place.there, target, "own") == "COMPLETED", within_s=WITHIN_S)
        assert status(place.there, target, "k", VersionId=here) == "REPLICA"
        assert [one for one, *_ in versions(place.there, third)["own"]] == [own]
        copied = place.there.copy_object(Bucket=target, Key="copied", CopySource={"Bucket": target, "Key": "k"})
        eventually(lambda: "copied" in versions(place.there, third), within_s=WITHIN_S)
        assert versions(place.there, third)["copied"][0][0] == copied["VersionId"]
        assert "k" not in versions(place.there, third)
    finally:
        place.there.delete_bucket_replication(Bucket=target)
        remove_bucket(place.there, third)


def test_a_marker_comes_to_the_bucket_of_the_account_alone(place: Place, far: tuple[str, str]) -> None:
    """As versions do, where the rule says whose the bucket must be."""
    s3, (source, target) = place.s3, far
    arn = elsewhere(target)
    replicate(s3, source, rule(arn, Destination={"Bucket": arn, "Account": "111122223333"}))
    s3.delete_object(Bucket=source, Key="gone")
    api = Api(place.cluster.endpoint)

    def is_refused() -> bool:
        found = api.call("GET", "/v1/cluster?what=replication").json()["destinations"]
        return any(one["destination"] == arn and one["why"] for one in found)

    eventually(is_refused, within_s=WITHIN_S)
    assert versions(place.there, target) == {}
    replicate(s3, source, rule(arn))
    arrives(s3, source, place.there, target)


def test_native_copies_are_no_replicas(place: Place, pair: tuple[str, str]) -> None:
    """Objects that a job copies to another bucket have no status, whichever target made them."""
    s3, (source, target) = place.s3, pair
    replicate(s3, source, rule(local(target)))
    keys, copied = [f"k{number}" for number in range(12)], fresh_name("copied")
    for key in keys:
        s3.put_object(Bucket=source, Key=key, Body=b"1")
    for key in keys:
        eventually(lambda key=key: status(s3, source, key) == "COMPLETED", within_s=WITHIN_S)
    Api(place.cluster.endpoint).act(
        "POST", f"/v1/buckets/{source}", "copy-bck", value={}, query={"bck_to": f"ais/@#/{copied}/"}
    )
    eventually(lambda: versions(s3, copied).keys() == set(keys), within_s=WITHIN_S)
    assert {status(s3, copied, key) for key in keys} == {""}
    remove_bucket(s3, copied)


def test_encrypted_versions(place: Place, far: tuple[str, str]) -> None:
    """SSE-S3 and parts under it are encrypted there too, KMS where the rule says so; a client's key stays FAILED."""
    s3, there, (source, target) = place.s3, place.there, far
    with_kms = {"SourceSelectionCriteria": {"SseKmsEncryptedObjects": {"Status": "Enabled"}}}
    to = {"Bucket": elsewhere(target), "EncryptionConfiguration": {"ReplicaKmsKeyID": "theirs"}}
    replicate(s3, source, rule(elsewhere(target), Destination=to, **with_kms))
    body = b"0123456789abcdef" * 10_000
    s3.put_object(Bucket=source, Key="s3", Body=body, ServerSideEncryption="AES256")
    s3.put_object(Bucket=source, Key="kms", Body=body, ServerSideEncryption="aws:kms", SSEKMSKeyId="ours")
    own = {"SSECustomerAlgorithm": "AES256", "SSECustomerKey": "k" * 32}
    s3.put_object(Bucket=source, Key="own", Body=body, **own)
    upload = s3.create_multipart_upload(Bucket=source, Key="parts", ServerSideEncryption="AES256")["UploadId"]
    parts = []
    for number, of in ((1, b"a" * (5 << 20)), (2, b"b" * 70_000)):
        part = s3.upload_part(Bucket=source, Key="parts", UploadId=upload, PartNumber=number, Body=of)
        parts.append({"PartNumber": number, "ETag": part["ETag"]})
    s3.complete_multipart_upload(Bucket=source, Key="parts", UploadId=upload, MultipartUpload={"Parts": parts})
    eventually(lambda: versions(there, target).keys() == {"s3", "kms", "parts"}, within_s=WITHIN_S)
    for key in ("s3", "parts"):
        [(version_id, *_)] = versions(s3, source)[key]
        assert told(there, target, key, version_id) == told(s3, source, key, version_id)
        assert there.head_object(Bucket=target, Key=key)["ServerSideEncryption"] == "AES256"
    ranged = there.get_object(Bucket=target, Key="parts", Range=f"bytes={(5 << 20) - 2}-{(5 << 20) + 1}")
    assert ranged["Body"].read() == b"aabb"
    assert there.head_object(Bucket=target, Key="parts", PartNumber=2)["ContentLength"] == 70_000
    found = there.get_object(Bucket=target, Key="kms")
    assert (found["ServerSideEncryption"], found["SSEKMSKeyId"], found["Body"].read()) == ("aws:kms", "theirs", body)
    assert s3.head_object(Bucket=source, Key="own", **own)["ReplicationStatus"] == "FAILED"


def test_object_lock(place: Place) -> None:
    """Retention and legal hold get there with a version and after it, and hold it there; shorter ones do not."""
    s3, source, target = place.s3, fresh_name("from"), fresh_name("to")
    for name in (source, target):
        s3.create_bucket(Bucket=name, ObjectLockEnabledForBucket=True)
    replicate(s3, source, rule(local(target)))
    soon, late = time.time() + 600, time.time() + 1200
    version = s3.put_object(
        Bucket=source, Key="k", Body=b"1", ObjectLockMode="GOVERNANCE", ObjectLockRetainUntilDate=soon
    )["VersionId"]
    eventually(lambda: "k" in versions(s3, target), within_s=WITHIN_S)
    with pytest.raises(ClientError, match="AccessDenied"):
        s3.delete_object(Bucket=target, Key="k", VersionId=version)
    s3.put_object_legal_hold(Bucket=source, Key="k", LegalHold={"Status": "ON"})
    s3.put_object_retention(Bucket=source, Key="k", Retention={"Mode": "GOVERNANCE", "RetainUntilDate": late})
    lock = ("ObjectLockMode", "ObjectLockRetainUntilDate", "ObjectLockLegalHoldStatus")

    def held(bucket: str) -> list[Any]:
        found = s3.head_object(Bucket=bucket, Key="k")
        return [found.get(name) for name in lock]

    eventually(lambda: held(target) == held(source), within_s=WITHIN_S)
    assert held(target)[2] == "ON"
    s3.put_object_legal_hold(Bucket=source, Key="k", LegalHold={"Status": "OFF"})
    s3.put_object_tagging(Bucket=source, Key="k", Tagging={"TagSet": [{"Key": "of", "Value": "later"}]})
    eventually(lambda: s3.get_object_tagging(Bucket=target, Key="k")["TagSet"], within_s=WITHIN_S)
    assert held(target) == [*held(source)[:2], "ON"]
    for name in (source, target):
        s3.put_object_legal_hold(Bucket=name, Key="k", LegalHold={"Status": "OFF"})
        s3.delete_object(Bucket=name, Key="k", VersionId=version, BypassGovernanceRetention=True)
    remove_bucket(s3, source)
    remove_bucket(s3, target)


def test_who_may_bring_a_replica(place: Place, far: tuple[str, str]) -> None:
    """Only who has the rights, into a bucket that keeps versions, what can be; and nothing that ends a retention."""
    _, target = far
    owner, other = place.carrier, new_access(place.backup, "mallory")
    there, path, query = place.there, f"/{target}/k", "ais-replica="

    def brought(version_id: str, size: int = 1, **more: str) -> dict[str, str]:
        facts = {"etag": hashlib.md5(b"x").hexdigest(), **more}
        return {replication.HEADER: Replica(version_id, 2, 1, size, facts=facts).header()}

    version = given_id(1 << 60)
    for method in ("PUT", "POST", "DELETE"):
        assert code(call(other, method, path, query, headers=brought(version))) == "AccessDenied"
        assert code(send(owner, Request(method, path, query, brought(version)))) == "AccessDenied"
    allow = {
        "Effect": "Allow", "Principal": {"AWS": "mallory"}, "Resource": f"arn:aws:s3:::{target}/*",
        "Action": ["s3:ReplicateObject"],
    }  # fmt: skip
    there.put_bucket_policy(Bucket=target, Policy=json.dumps({"Version": "2012-10-17", "Statement": [allow]}))
    assert call(other, "PUT", path, query, headers=brought(version), body=b"x").status == 200
    assert code(call(other, "DELETE", path, query, headers=brought(given_id(1 << 61)))) == "AccessDenied"
    assert [one for one, *_ in versions(there, target)["k"]] == [version]
    for headers, expected in (
        ({}, "InvalidArgument"),
        ({replication.HEADER: "nonsense"}, "InvalidArgument"),
        (brought("0" * 32), "RequestTimeTooSkewed"),
        (brought("g" * 32), "InvalidArgument"),
        (brought(given_id(7), size=2), "BadDigest"),
        (brought(given_id(7), sealed="key"), "InvalidArgument"),
        (brought(given_id(7), **{"content-type": "a/b\r\nX: y"}), "InvalidArgument"),
        ({replication.HEADER: Replica(given_id(7), 1, 1, 1, runs=((10**12, 1),)).header()}, "InvalidArgument"),
        (brought(given_id(7), **{"lock-mode": "COMPLIANCE", "lock-until": "9999999999"}), "InvalidRequest"),
    ):
        assert code(call(owner, "PUT", path, query, headers=headers, body=b"x")) == expected
    assert code(call(owner, "POST", path, query, headers=brought(given_id(8)))) == "NoSuchVersion"
    own = there.put_object(Bucket=target, Key="k", Body=b"x")["VersionId"]
    assert code(call(owner, "POST", path, query, headers=brought(own))) == "InvalidRequest"
    plain = fresh_name("plain")
    there.create_bucket(Bucket=plain)
    assert code(call(owner, "PUT", f"/{plain}/k", query, headers=brought(version), body=b"x")) == "InvalidBucketState"
    there.delete_bucket(Bucket=plain)


def test_a_replica_ends_no_retention(place: Place) -> None:
    """Metadata of a version that is held here does not shorten that, whoever sends it."""
    there, held = place.there, fresh_name("held")
    there.create_bucket(Bucket=held, ObjectLockEnabledForBucket=True)
    until = time.time() + 86_400
    version, md5 = given_id(1 << 60), hashlib.md5(b"x").hexdigest()

    def bring(method: str, revision: int, **facts: str) -> None:
        header = Replica(version, revision, 1, 1, facts={"etag": md5, **facts}).header()
        answer = call(
            place.carrier,
            method,
            f"/{held}/k",
            "ais-replica=",
            headers={replication.HEADER: header},
            body=b"x" * (method == "PUT"),
        )
        assert answer.status == 200

    bring("PUT", 1, **{"lock-mode": "COMPLIANCE", "lock-until": str(int(until))})
    before, later = there.get_object_retention(Bucket=held, Key="k")["Retention"], "9999999999"
    for revision, method in enumerate(("POST", "PUT"), 1):
        bring(method, 10 * revision)
        bring(method, 10 * revision + 1, **{"lock-mode": "COMPLIANCE", "lock-until": "1"})
        bring(method, 10 * revision + 2, **{"lock-mode": "GOVERNANCE", "lock-until": later})
        assert there.get_object_retention(Bucket=held, Key="k")["Retention"] == before
    bring("POST", 100, **{"lock-mode": "COMPLIANCE", "lock-until": later})
    extended = there.get_object_retention(Bucket=held, Key="k")["Retention"]
    assert extended["RetainUntilDate"] > before["RetainUntilDate"]
    with pytest.raises(ClientError, match="AccessDenied"):
        there.delete_object(Bucket=held, Key="k", VersionId=version)


def test_what_is_refused(place: Place, pair: tuple[str, str]) -> None:
    """A configuration that cannot be done is refused with what to do, and the one there was stays."""
    s3, (source, target) = place.s3, pair
    plain = fresh_name("plain")
    s3.create_bucket(Bucket=plain)
    good = rule(local(target))
    replicate(s3, source, good)
    no_time = {"ReplicationTime": {"Status": "Enabled", "Time": {"Minutes": 15}}, "Metrics": {"Status": "Enabled"}}
    tags = {"Filter": {"Tag": {"Key": "a", "Value": "b"}}}
    for wrong, why in (
        (rule(local(plain)), "InvalidRequest.*versioning"),
        (rule(local("absent-bucket")), "InvalidRequest.*must exist"),
        (rule(local(source)), "InvalidRequest.*same"),
        (rule("arn:aws:s3:::"), "InvalidArgument.*ARN"),
        (rule(elsewhere("any", "unknown")), "InvalidRequest.*net.s3_replicas"),
        (rule(elsewhere("absent-bucket")), "InvalidRequest.*refuses"),
        (rule(local(target), **tags), "InvalidRequest.*Tag filter"),
        (rule(local(target), Destination={"Bucket": local(target), "StorageClass": "GLACIER"}), "InvalidStorageClass"),
        (rule(local(target), Destination={"Bucket": local(target), **no_time}), "NotImplemented.*ReplicationTime"),
        (rule(local(target), ExistingObjectReplication={"Status": "Enabled"}), "NotImplemented.*Existing"),
        ({key: value for key, value in good.items() if key != "Priority"}, "InvalidRequest.*Priority"),
        ({key: value for key, value in good.items() if key != "DeleteMarkerReplication"}, "InvalidRequest.*Delete"),
    ):
        with pytest.raises(ClientError, match=why):
            replicate(s3, source, wrong)
    with pytest.raises(ClientError, match=r"InvalidRequest.*priority"):
        replicate(s3, source, good, {**good, "ID": "other"})
    with pytest.raises(ClientError, match=r"InvalidRequest.*Versioning must be 'Enabled'"):
        replicate(s3, plain, good)
    with pytest.raises(ClientError, match="InvalidBucketState"):
        s3.put_bucket_versioning(Bucket=source, VersioningConfiguration={"Status": "Suspended"})
    kept = s3.get_bucket_replication(Bucket=source)["ReplicationConfiguration"]
    assert kept["Rules"] == [good]
    s3.delete_bucket_replication(Bucket=source)
    with pytest.raises(ClientError, match="ReplicationConfigurationNotFoundError"):
        s3.get_bucket_replication(Bucket=source)
    s3.put_bucket_versioning(Bucket=source, VersioningConfiguration={"Status": "Suspended"})
    s3.delete_bucket(Bucket=plain)
