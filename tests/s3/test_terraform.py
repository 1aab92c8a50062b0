"""A bucket with every setting as Terraform's AWS provider treats it: create, read, plan, update, plan, destroy, twice.

The provider's calls in its order, by boto3: each resource is put, read after that, and read twice for a plan, which
must find nothing to do.
"""

import json
from typing import Any, NamedTuple

from botocore.exceptions import ClientError
from harness.s3access import Access, boto
from harness.wire import fresh_name


class Resource(NamedTuple):
    """A setting: the end of boto3's method names, the argument, two values of it, the answer's member if it has one."""

    name: str
    argument: str
    first: Any
    second: Any
    member: str = ""
    is_deleted: bool = True


def policy(effect: str) -> str:
    statement = {
        "Sid": "s", "Effect": effect, "Principal": {"AWS": "alice"}, "Action": "s3:GetObject",
        "Resource": "arn:aws:s3:::BUCKET/*",
    }  # fmt: skip
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


def tags(value: str) -> dict[str, Any]:
    return {"TagSet": [{"Key": "k", "Value": value}]}


def rules(days: int) -> list[dict[str, Any]]:
    return [{"ID": "r", "Status": "Enabled", "Filter": {"Prefix": "tmp/"}, "Expiration": {"Days": days}}]


def sse(**default: str) -> dict[str, Any]:
    return {"Rules": [{"ApplyServerSideEncryptionByDefault": default, "BucketKeyEnabled": False}]}


def ownership(kind: str) -> dict[str, Any]:
    return {"Rules": [{"ObjectOwnership": kind}]}


def block(blocks: bool) -> dict[str, bool]:
    names = ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets")
    return dict.fromkeys(names, blocks)


def lock(days: int) -> dict[str, Any]:
    return {"ObjectLockEnabled": "Enabled", "Rule": {"DefaultRetention": {"Mode": "GOVERNANCE", "Days": days}}}


def cors(method: str) -> dict[str, Any]:
    return {"CORSRules": [{"AllowedMethods": [method], "AllowedOrigins": ["https://x.example"], "MaxAgeSeconds": 9}]}


RESOURCES = (
    Resource("bucket_tagging", "Tagging", tags("1"), tags("2")),
    Resource("bucket_ownership_controls", "OwnershipControls", ownership("BucketOwnerPreferred"),
             ownership("ObjectWriter"), "OwnershipControls"),
    Resource("public_access_block", "PublicAccessBlockConfiguration", block(True), block(False),
             "PublicAccessBlockConfiguration"),
    Resource("bucket_versioning", "VersioningConfiguration", {"Status": "Enabled"}, {"Status": "Enabled"}, "", False),
    Resource("object_lock_configuration", "ObjectLockConfiguration", lock(1), lock(2), "ObjectLockConfiguration",
             False),
    Resource("bucket_encryption", "ServerSideEncryptionConfiguration", sse(SSEAlgorithm="AES256"),
             sse(SSEAlgorithm="aws:kms", KMSMasterKeyID="k"), "ServerSideEncryptionConfiguration"),
    Resource("bucket_lifecycle_configuration", "LifecycleConfiguration", {"Rules": rules(7)}, {"Rules": rules(8)}),
    Resource("bucket_cors", "CORSConfiguration", cors("GET"), cors("PUT")),
    Resource("bucket_policy", "Policy", policy("Allow"), policy("Deny"), "Policy"),
    Resource("bucket_website", "WebsiteConfiguration", {"IndexDocument": {"Suffix": "a.html"}},
             {"IndexDocument": {"Suffix": "b.html"}}),
    Resource("bucket_logging", "BucketLoggingStatus", {"LoggingEnabled": {"TargetBucket": "b", "TargetPrefix": "1/"}},
             {"LoggingEnabled": {"TargetBucket": "b", "TargetPrefix": "2/"}}, "", False),
    Resource("bucket_accelerate_configuration", "AccelerateConfiguration", {"Status": "Enabled"},
             {"Status": "Suspended"}, "", False),
    Resource("bucket_request_payment", "RequestPaymentConfiguration", {"Payer": "Requester"}, {"Payer": "BucketOwner"},
             "", False),
    Resource("bucket_notification_configuration", "NotificationConfiguration", {}, {}, "", False),
)  # fmt: skip


def put(s3: Any, bucket: str, one: Resource, value: Any) -> None:
    value = value.replace("BUCKET", bucket) if isinstance(value, str) else value
    getattr(s3, f"put_{one.name}")(Bucket=bucket, **{one.argument: value})


def read(s3: Any, bucket: str, one: Resource) -> Any:
    """The setting; the code when there is none."""
    try:
        answer = getattr(s3, f"get_{one.name}")(Bucket=bucket)
    except ClientError as error:
        return error.response["Error"]["Code"]
    answer.pop("ResponseMetadata")
    answer.pop("TransitionDefaultMinimumObjectSize", "")  # said of lifecycles, and never put
    return answer[one.member] if one.member else answer


def require_no_diff(s3: Any, bucket: str, which: str) -> None:
    """A plan: everything is read, and is what was put."""
    s3.head_bucket(Bucket=bucket)
    for one in RESOURCES:
        value, found = getattr(one, which), read(s3, bucket, one)
        if isinstance(value, str):
            value, found = json.loads(value.replace("BUCKET", bucket)), json.loads(found)
        assert found == value, one.name


def test_create_plan_update_plan_destroy(s3: Access) -> None:
    """No plan has anything to do, and what was destroyed is created again as the first time."""
    client, bucket = boto(s3), fresh_name("terraform")
    for _ in range(2):
        client.create_bucket(Bucket=bucket, ObjectLockEnabledForBucket=True)
        for one in RESOURCES:
            read(client, bucket, one)
        for value in ("first", "second"):
            for one in RESOURCES:
                put(client, bucket, one, getattr(one, value))
                read(client, bucket, one)
            for _ in range(2):
                require_no_diff(client, bucket, value)
        for one in reversed(RESOURCES):
            if one.is_deleted:
                gone = one.name.replace("bucket_lifecycle_configuration", "bucket_lifecycle")
                getattr(client, f"delete_{gone}")(Bucket=bucket)
                assert isinstance(read(client, bucket, one), str), one.name
        client.delete_bucket(Bucket=bucket)
