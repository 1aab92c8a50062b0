"""What an S3 operation needs of a token (`ais.api.access`), by its policy action."""

from ais.api.access import Access
from ais.s3 import actions, copy_source
from ais.s3.front import S3Request

_OF_CLUSTER = {
    "s3:ListAllMyBuckets": Access.LIST_BUCKETS,
    "s3:CreateBucket": Access.CREATE_BUCKET,
    "s3:DeleteBucket": Access.DESTROY_BUCKET,
}
_ACLS = ("BucketPolicy", "BucketAcl", "PublicAccessBlock", "OwnershipControls")
_BEGINNINGS = (
    (("GetObject", "ListMultipartUploadParts"), Access.GET),
    (("DeleteObject", "ReplicateDelete"), Access.DELETE_OBJECT),
    (("PutObject", "AbortMultipartUpload", "RestoreObject", "Replicate"), Access.PUT),
    (("ListBucket",), Access.LIST_OBJECTS),
    (("Get", "List"), Access.HEAD_BUCKET),
    (("PutLifecycleConfiguration",), Access.PATCH | Access.DELETE_OBJECT),
    (("PutReplicationConfiguration",), Access.PATCH | Access.GET),
)
"""What rules have done later is done by the cluster: who sets them must be permitted it."""


def of_cluster(request: S3Request) -> Access | None:
    """What is asked of the whole cluster; None when a bucket is meant."""
    return _OF_CLUSTER.get(actions.action_of(request.op))


def of_buckets(request: S3Request) -> list[tuple[Access, str]]:
    """What is asked of which buckets. Raise `S3Error`."""
    needed = of_bucket(request)
    if "x-amz-bypass-governance-retention" in request.headers:
        needed |= Access.ADMIN
    found = [(needed, request.bucket)]
    if source := request.get("x-amz-copy-source"):
        found.append((Access.GET, copy_source.read(source).bucket))
    return found


def of_bucket(request: S3Request) -> Access:
    """What is asked of the bucket that a request names."""
    if (whole := of_cluster(request)) is not None:
        return whole
    name = actions.action_of(request.op).removeprefix("s3:")
    needed = next((access for starts, access in _BEGINNINGS if name.startswith(starts)), Access.PATCH)
    if not request.key and needed is Access.PATCH and any(word in name for word in _ACLS):
        needed = Access.SET_BUCKET_ACL
    if request.http.method == "HEAD" and request.key:
        needed = Access.HEAD_OBJECT
    return needed
