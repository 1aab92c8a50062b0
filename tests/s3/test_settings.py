"""What infrastructure tools read and write of a bucket: unset settings answer as at Amazon, others as put."""

import contextlib
from typing import Any, NamedTuple

import pytest
from botocore.exceptions import ClientError
from harness.s3access import Access, boto
from harness.s3raw import call


class Setting(NamedTuple):
    """One kind: the end of boto3's method names, what is put, and what is there while nothing was (or the code)."""

    name: str
    put: dict[str, Any]
    unset: dict[str, Any] | str
    can_delete: bool = True


INVENTORY = {
    "Id": "daily",
    "IsEnabled": True,
    "IncludedObjectVersions": "All",
    "Schedule": {"Frequency": "Daily"},
    "OptionalFields": ["Size", "ETag"],
    "Destination": {
        "S3BucketDestination": {"Bucket": "arn:aws:s3:::elsewhere", "Format": "CSV", "Encryption": {"SSES3": {}}}
    },
}
ANALYTICS = {
    "Id": "some",
    "Filter": {"And": {"Prefix": "p", "Tags": [{"Key": "a", "Value": "b"}, {"Key": "c", "Value": ""}]}},
    "StorageClassAnalysis": {},
}
TIERING = {"Id": "cold", "Status": "Enabled", "Tierings": [{"Days": 90, "AccessTier": "ARCHIVE_ACCESS"}]}
REPLICATION = {
    "Role": "arn:aws:iam::000000000000:role/r",
    "Rules": [{"ID": "off", "Status": "Disabled", "Prefix": "", "Destination": {"Bucket": "arn:aws:s3:::elsewhere"}}],
}
WEBSITE = {
    "IndexDocument": {"Suffix": "index.html"},
    "ErrorDocument": {"Key": "error.html"},
    "RoutingRules": [
        {"Condition": {"KeyPrefixEquals": "docs/"}, "Redirect": {"ReplaceKeyPrefixWith": "documents/"}},
    ],
}
LOGGING = {
    "LoggingEnabled": {
        "TargetBucket": "logs",
        "TargetPrefix": "a&b/",
        "TargetGrants": [{"Grantee": {"Type": "CanonicalUser", "ID": "alice"}, "Permission": "READ"}],
    }
}
SETTINGS = (
    Setting("bucket_website", {"WebsiteConfiguration": WEBSITE}, "NoSuchWebsiteConfiguration"),
    Setting("bucket_logging", {"BucketLoggingStatus": LOGGING}, {}, can_delete=False),
    Setting(
        "bucket_accelerate_configuration",
        {"AccelerateConfiguration": {"Status": "Enabled"}},
        {},
        can_delete=False,
    ),
    Setting(
        "bucket_request_payment",
        {"RequestPaymentConfiguration": {"Payer": "Requester"}},
        {"Payer": "BucketOwner"},
        can_delete=False,
    ),
    Setting("bucket_notification_configuration", {"NotificationConfiguration": {}}, {}, can_delete=False),
    Setting("bucket_abac", {"AbacStatus": {"Status": "Disabled"}}, {"AbacStatus": {"Status": "Disabled"}}, False),
)
NAMED = {
    "bucket_inventory_configuration": ("InventoryConfiguration", INVENTORY),
    "bucket_analytics_configuration": ("AnalyticsConfiguration", ANALYTICS),
    "bucket_metrics_configuration": ("MetricsConfiguration", {"Id": "m", "Filter": {"Prefix": "p"}}),
    "bucket_intelligent_tiering_configuration": ("IntelligentTieringConfiguration", TIERING),
}


def read(client: Any, name: str, bucket: str, **more: str) -> dict[str, Any] | str:
    """What a setting is, or the code of the refusal."""
    try:
        answer = getattr(client, f"get_{name}")(Bucket=bucket, **more)
    except ClientError as error:
        return str(error.response["Error"]["Code"])
    answer.pop("ResponseMetadata")
    return dict(answer)


@pytest.mark.parametrize("setting", SETTINGS, ids=[one.name for one in SETTINGS])
def test_a_setting_comes_back(s3: Access, s3_bucket: str, setting: Setting) -> None:
    """Unset it answers as Amazon's does; set, as it was put; removed, as before. Twice, as a tool does."""
    client = boto(s3)
    for _ in range(2):
        assert read(client, setting.name, s3_bucket) == setting.unset
        getattr(client, f"put_{setting.name}")(Bucket=s3_bucket, **setting.put)
        (wanted,) = setting.put.values()
        found = read(client, setting.name, s3_bucket)
        assert found in (wanted, setting.put)
        if not setting.can_delete:
            return
        getattr(client, f"delete_{setting.name}")(Bucket=s3_bucket)


@pytest.mark.parametrize("name", NAMED)
def test_named_settings(s3: Access, s3_bucket: str, name: str) -> None:
    """A bucket has several inventories and the like, each with an ID; they are listed, and removed one by one."""
    client, (kind, document) = boto(s3), NAMED[name]
    listing = getattr(client, f"list_{name}s")
    assert read(client, name, s3_bucket, Id="absent") == "NoSuchConfiguration"
    assert f"{kind}List" not in listing(Bucket=s3_bucket)
    for identity in (document["Id"], "second"):
        getattr(client, f"put_{name}")(Bucket=s3_bucket, Id=identity, **{kind: {**document, "Id": identity}})
    assert read(client, name, s3_bucket, Id=document["Id"]) == {kind: document}
    assert [one["Id"] for one in listing(Bucket=s3_bucket)[f"{kind}List"]] == sorted([document["Id"], "second"])
    getattr(client, f"delete_{name}")(Bucket=s3_bucket, Id="second")
    assert [one["Id"] for one in listing(Bucket=s3_bucket)[f"{kind}List"]] == [document["Id"]]


def test_what_is_not_done_is_refused_or_said(s3: Access, s3_bucket: str) -> None:
    """Destinations of events that nobody can reach and of replication are refused; what is only kept says so."""
    client = boto(s3)
    queue = {"QueueArn": "arn:aws:sqs:us-east-1:1:q", "Events": ["s3:ObjectCreated:*"]}
    with pytest.raises(ClientError, match="InvalidArgument"):
        client.put_bucket_notification_configuration(
            Bucket=s3_bucket, NotificationConfiguration={"QueueConfigurations": [queue]}
        )
    assert read(client, "bucket_notification_configuration", s3_bucket) == {}
    rule = {**REPLICATION["Rules"][0], "Status": "Enabled"}
    with pytest.raises(ClientError, match="Versioning must be 'Enabled'"):
        client.put_bucket_replication(Bucket=s3_bucket, ReplicationConfiguration=REPLICATION)
    client.put_bucket_versioning(Bucket=s3_bucket, VersioningConfiguration={"Status": "Enabled"})
    with pytest.raises(ClientError, match="Destination bucket must exist"):
        client.put_bucket_replication(Bucket=s3_bucket, ReplicationConfiguration={**REPLICATION, "Rules": [rule]})
    assert read(client, "bucket_replication", s3_bucket) == "ReplicationConfigurationNotFoundError"
    client.put_bucket_replication(Bucket=s3_bucket, ReplicationConfiguration=REPLICATION)
    assert read(client, "bucket_replication", s3_bucket) == {"ReplicationConfiguration": REPLICATION}
    body = b"<BucketLoggingStatus/>"
    answer = call(s3, "PUT", f"/{s3_bucket}", "logging=", body=body)
    assert (answer.status, answer.header("Ais-Note")) == (200, "kept; this cluster does not deliver access logs yet")


def test_the_rest_of_what_terraform_reads(s3: Access, s3_bucket: str) -> None:
    """No read of an unset setting stops a tool: Amazon's default, or Amazon's 404."""
    client, found = boto(s3), {}
    for name in (
        *("bucket_acl", "bucket_cors", "bucket_encryption", "bucket_lifecycle_configuration", "bucket_location"),
        *("bucket_ownership_controls", "bucket_policy", "bucket_policy_status", "bucket_tagging", "bucket_versioning"),
        *("object_lock_configuration", "public_access_block", "bucket_replication"),
        *("bucket_metadata_configuration", "bucket_metadata_table_configuration"),
    ):
        with contextlib.suppress(AttributeError):
            found[name] = read(client, name, s3_bucket)
    assert {name: answer for name, answer in found.items() if isinstance(answer, str)} == {
        "bucket_cors": "NoSuchCORSConfiguration",
        "bucket_encryption": "ServerSideEncryptionConfigurationNotFoundError",
        "bucket_lifecycle_configuration": "NoSuchLifecycleConfiguration",
        "bucket_metadata_configuration": "MetadataConfigurationNotFound",
        "bucket_metadata_table_configuration": "MetadataConfigurationNotFound",
        "bucket_policy": "NoSuchBucketPolicy",
        "bucket_policy_status": "NoSuchBucketPolicy",
        "bucket_tagging": "NoSuchTagSet",
        "object_lock_configuration": "ObjectLockConfigurationNotFoundError",
        "public_access_block": "NoSuchPublicAccessBlockConfiguration",
        "bucket_replication": "ReplicationConfigurationNotFoundError",
    }
