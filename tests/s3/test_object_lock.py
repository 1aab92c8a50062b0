"""Object lock: retention, legal hold and default retention; whoever tries, over any API, a locked version stays."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError
from harness.s3access import Access, boto, new_access
from harness.wire import Api, fresh_name

from ais.testing import Cluster

FUTURE = datetime(2099, 1, 1, tzinfo=UTC)
LATER = FUTURE + timedelta(days=1)
SOONER = FUTURE - timedelta(days=1)


@pytest.fixture
def locked(s3: Access) -> str:
    """A bucket with object lock. What is still locked afterwards stays behind with it."""
    name = fresh_name("lock")
    boto(s3).create_bucket(Bucket=name, ObjectLockEnabledForBucket=True)
    return name


def refusal(operation: Callable[..., Any], **arguments: Any) -> str:
    """The code of the error that a request is answered with; empty when it is carried out."""
    try:
        operation(**arguments)
    except ClientError as error:
        return str(error.response["Error"]["Code"])
    return ""


def put(client: Any, bucket: str, key: str = "k", **more: Any) -> dict[str, Any]:
    """Put an object; what names the version."""
    answer = client.put_object(Bucket=bucket, Key=key, Body=b"kept", **more)
    return {"Bucket": bucket, "Key": key, "VersionId": answer["VersionId"]}


def retention(mode: str, until: datetime) -> dict[str, Any]:
    """As the API takes it."""
    return {"Mode": mode, "RetainUntilDate": until}


def test_a_bucket_is_created_with_it(s3: Access, locked: str, s3_bucket: str) -> None:
    """Versioning is on and cannot be suspended; the configuration comes back; another bucket knows no locks."""
    client = boto(s3)
    assert client.get_bucket_versioning(Bucket=locked)["Status"] == "Enabled"
    suspended = {"Status": "Suspended"}
    assert (
        refusal(client.put_bucket_versioning, Bucket=locked, VersioningConfiguration=suspended) == "InvalidBucketState"
    )
    configuration = client.get_object_lock_configuration(Bucket=locked)["ObjectLockConfiguration"]
    assert configuration == {"ObjectLockEnabled": "Enabled"}
    rule = {"DefaultRetention": {"Mode": "GOVERNANCE", "Days": 1}}
    wanted = {"ObjectLockEnabled": "Enabled", "Rule": rule}
    client.put_object_lock_configuration(Bucket=locked, ObjectLockConfiguration=wanted)
    assert client.get_object_lock_configuration(Bucket=locked)["ObjectLockConfiguration"] == wanted
    place = {"Bucket": s3_bucket, "Key": "k"}
    assert refusal(client.get_object_lock_configuration, Bucket=s3_bucket) == "ObjectLockConfigurationNotFoundError"
    code = refusal(client.put_object_lock_configuration, Bucket=s3_bucket, ObjectLockConfiguration=wanted)
    assert code == "InvalidBucketState"
    client.put_object(**place, Body=b"x")
    for operation, more in (
        (client.get_object_retention, {}),
        (client.put_object_retention, {"Retention": retention("GOVERNANCE", FUTURE)}),
        (client.get_object_legal_hold, {}),
        (client.put_object_legal_hold, {"LegalHold": {"Status": "ON"}}),
        (client.put_object, {"ObjectLockMode": "GOVERNANCE", "ObjectLockRetainUntilDate": FUTURE}),
    ):
        assert refusal(operation, **place, **more) == "InvalidRequest"


def test_governance(s3: Access, s3_cluster: Cluster, locked: str) -> None:
    """It can be extended; shortening, ending and deleting need the right to bypass it and the header that says so."""
    client = boto(s3)
    version = put(client, locked, ObjectLockMode="GOVERNANCE", ObjectLockRetainUntilDate=FUTURE)
    found = client.head_object(**version)
    assert (found["ObjectLockMode"], found["ObjectLockRetainUntilDate"]) == ("GOVERNANCE", FUTURE)
    assert client.get_object_retention(**version)["Retention"] == retention("GOVERNANCE", FUTURE)
    client.put_object_retention(**version, Retention=retention("GOVERNANCE", LATER))
    shorter, stricter = retention("GOVERNANCE", SOONER), retention("COMPLIANCE", LATER)
    assert refusal(client.put_object_retention, **version, Retention=shorter) == "AccessDenied"
    assert refusal(client.put_object_retention, **version, Retention=stricter) == "AccessDenied"
    assert refusal(client.delete_object, **version) == "AccessDenied"
    policy = f'{{"Statement": {{"Effect": "Allow", "Principal": {{"AWS": "bob"}}, \
"Action": "s3:DeleteObjectVersion", "Resource": "arn:aws:s3:::{locked}/*"}}}}'
    client.put_bucket_policy(Bucket=locked, Policy=policy)
    bob = boto(new_access(s3_cluster, "bob"))
    assert refusal(bob.delete_object, **version, BypassGovernanceRetention=True) == "AccessDenied"
    client.put_object_retention(**version, Retention=shorter, BypassGovernanceRetention=True)
    client.delete_object(**version, BypassGovernanceRetention=True)
    assert refusal(client.head_object, **version) == "404"


def test_compliance_and_legal_hold(s3: Access, locked: str) -> None:
    """Nobody ends compliance, nobody deletes under a legal hold; a delete without a version is a marker as ever."""
    client = boto(s3)
    version = put(client, locked, ObjectLockMode="COMPLIANCE", ObjectLockRetainUntilDate=FUTURE)
    for wanted in (retention("COMPLIANCE", SOONER), retention("GOVERNANCE", LATER), {}):
        code = refusal(client.put_object_retention, **version, Retention=wanted, BypassGovernanceRetention=True)
        assert code == "AccessDenied"
    assert refusal(client.delete_object, **version, BypassGovernanceRetention=True) == "AccessDenied"
    held = put(client, locked, "held", ObjectLockLegalHoldStatus="ON")
    assert client.head_object(**held)["ObjectLockLegalHoldStatus"] == "ON"
    assert refusal(client.delete_object, **held, BypassGovernanceRetention=True) == "AccessDenied"
    listed = [{"Key": one["Key"], "VersionId": one["VersionId"]} for one in (version, held)]
    answer = client.delete_objects(Bucket=locked, Delete={"Objects": listed}, BypassGovernanceRetention=True)
    assert {error["Code"] for error in answer["Errors"]} == {"AccessDenied"}
    assert "Deleted" not in answer
    client.put_object_legal_hold(**held, LegalHold={"Status": "OFF"})
    assert client.get_object_legal_hold(**held)["LegalHold"] == {"Status": "OFF"}
    client.delete_object(**held)
    marker = client.delete_object(Bucket=locked, Key="k")
    assert marker["DeleteMarker"]
    assert client.get_object(**version)["Body"].read() == b"kept"
    client.delete_object(Bucket=locked, Key="k", VersionId=marker["VersionId"])
    assert client.get_object(Bucket=locked, Key="k")["Body"].read() == b"kept"


def test_default_retention(s3: Access, locked: str) -> None:
    """What says nothing itself is retained as the bucket says: puts, copies, uploads in parts."""
    client = boto(s3)
    rule = {"DefaultRetention": {"Mode": "COMPLIANCE", "Years": 1}}
    wanted = {"ObjectLockEnabled": "Enabled", "Rule": rule}
    client.put_object_lock_configuration(Bucket=locked, ObjectLockConfiguration=wanted)
    versions = [put(client, locked)]
    copied = client.copy_object(Bucket=locked, Key="copy", CopySource=f"{locked}/k")
    versions.append({"Bucket": locked, "Key": "copy", "VersionId": copied["VersionId"]})
    place = {"Bucket": locked, "Key": "parts"}
    upload = {**place, "UploadId": client.create_multipart_upload(**place)["UploadId"]}
    part = client.upload_part(**upload, PartNumber=1, Body=b"kept")
    parts = {"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]}
    versions.append(
        {**place, "VersionId": client.complete_multipart_upload(**upload, MultipartUpload=parts)["VersionId"]}
    )
    for version in versions:
        found = client.get_object_retention(**version)["Retention"]
        assert found["Mode"] == "COMPLIANCE"
        assert timedelta(364) < found["RetainUntilDate"] - datetime.now(UTC) < timedelta(366)
        assert refusal(client.delete_object, **version, BypassGovernanceRetention=True) == "AccessDenied"


@pytest.mark.parametrize("hold", ["compliance", "legal hold"])
def test_under_attack(s3: Access, native_api: Api, locked: str, hold: str) -> None:
    """An administrator tries everything that this product has: the version is there, byte for byte."""
    client, api = boto(s3), native_api
    how: dict[str, Any] = {"ObjectLockLegalHoldStatus": "ON"}
    if hold == "compliance":
        how = {"ObjectLockMode": "COMPLIANCE", "ObjectLockRetainUntilDate": FUTURE}
    version = put(client, locked, **how)
    api.call("PUT", f"/v1/objects/{locked}/k", body=b"overwritten")
    api.call("DELETE", f"/v1/objects/{locked}/k")
    put(client, locked)
    client.delete_object(Bucket=locked, Key="k")
    attempts = [
        api.call("POST", f"/v1/objects/{locked}/k", body=b'{"action": "rename-obj", "name": "elsewhere"}'),
        api.call("DELETE", f"/v1/buckets/{locked}", body=b'{"action": "destroy-bck"}'),
        api.call("DELETE", f"/v1/buckets/{locked}", body=b'{"action": "evict-remote-bck"}'),
        api.call(
            "DELETE", f"/v1/buckets/{locked}", body=b'{"action": "delete-listrange", "value": {"objnames": ["k"]}}'
        ),
        api.call("POST", f"/v1/buckets/{locked}?bck_to=ais/@#/{fresh_name()}", body=b'{"action": "move-bck"}'),
        api.call("PATCH", f"/v1/buckets/{locked}", body=b'{"action": "reset-bprops"}'),
        api.call("PATCH", f"/v1/buckets/{locked}", body=b'{"action": "set-bprops", "value": {"s3": {}}}'),
    ]
    assert 401 not in {answer.status for answer in attempts}
    client.put_bucket_lifecycle_configuration(
        Bucket=locked,
        LifecycleConfiguration={
            "Rules": [{"Status": "Enabled", "Filter": {}, "NoncurrentVersionExpiration": {"NoncurrentDays": 1}}]
        },
    )
    assert refusal(client.delete_bucket, Bucket=locked) == "BucketNotEmpty"
    assert refusal(client.delete_object, **version, BypassGovernanceRetention=True) == "AccessDenied"
    assert client.get_object(**version)["Body"].read() == b"kept"


def test_a_held_head_is_not_renamed_away(s3: Access, native_api: Api, locked: str) -> None:
    """Giving the latest version another name natively would remove it here: refused, and nothing has moved."""
    client, api = boto(s3), native_api
    version = put(client, locked, ObjectLockLegalHoldStatus="ON")
    answer = api.call("POST", f"/v1/objects/{locked}/k", body=b'{"action": "rename-obj", "name": "elsewhere"}')
    assert answer.status == 403
    assert client.get_object(**version)["Body"].read() == b"kept"
    assert refusal(client.head_object, Bucket=locked, Key="elsewhere") == "404"


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({"ObjectLockMode": "GOVERNANCE"}, "InvalidArgument"),
        ({"ObjectLockRetainUntilDate": FUTURE}, "InvalidArgument"),
        ({"ObjectLockMode": "SOMEWHAT", "ObjectLockRetainUntilDate": FUTURE}, "InvalidArgument"),
        ({"ObjectLockMode": "GOVERNANCE", "ObjectLockRetainUntilDate": datetime(2020, 1, 1)}, "InvalidArgument"),
        ({"ObjectLockLegalHoldStatus": "MAYBE"}, "InvalidArgument"),
    ],
)
def test_refused(s3: Access, locked: str, more: dict[str, Any], expected: str) -> None:
    """A lock that makes no sense is refused, and nothing is stored."""
    client = boto(s3)
    assert refusal(client.put_object, Bucket=locked, Key="k", Body=b"x", **more) == expected
    assert "Versions" not in client.list_object_versions(Bucket=locked)


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ({"Mode": "GOVERNANCE", "Days": 0}, "InvalidRetentionPeriod"),
        ({"Mode": "GOVERNANCE", "Years": -1}, "InvalidRetentionPeriod"),
        ({"Mode": "GOVERNANCE", "Days": 1, "Years": 1}, "MalformedXML"),
        ({"Mode": "governance", "Years": 1}, "MalformedXML"),
    ],
)
def test_defaults_refused(s3: Access, locked: str, rule: dict[str, Any], expected: str) -> None:
    """A default retention is days or years, more than none."""
    wanted = {"ObjectLockEnabled": "Enabled", "Rule": {"DefaultRetention": rule}}
    put_it = boto(s3).put_object_lock_configuration
    assert refusal(put_it, Bucket=locked, ObjectLockConfiguration=wanted) == expected
