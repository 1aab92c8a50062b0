"""Which S3 operation a request is. The list of query names is closed: an unknown one never falls through to the object.

Source: Amazon S3 API reference, all actions. What is marked None is S3's but not ours: 501 before the body is read.
"""

from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from enum import Enum
from typing import NamedTuple

from ais.s3.errors import S3Error


class Op(Enum):
    """The operations served. Values are S3's action names; `s3:` policy actions are in `ais.s3.policy`."""

    LIST_BUCKETS = "ListBuckets"
    CREATE_BUCKET = "CreateBucket"
    HEAD_BUCKET = "HeadBucket"
    DELETE_BUCKET = "DeleteBucket"
    GET_BUCKET_LOCATION = "GetBucketLocation"
    LIST_OBJECTS = "ListObjects"
    LIST_OBJECTS_V2 = "ListObjectsV2"
    LIST_OBJECT_VERSIONS = "ListObjectVersions"
    LIST_MULTIPART_UPLOADS = "ListMultipartUploads"
    DELETE_OBJECTS = "DeleteObjects"
    POST_OBJECT = "PostObject"
    GET_OBJECTS = "GetObjects"
    """Ours: many objects as one archive."""
    GET_BUCKET_VERSIONING = "GetBucketVersioning"
    PUT_BUCKET_VERSIONING = "PutBucketVersioning"
    GET_BUCKET_TAGGING = "GetBucketTagging"
    PUT_BUCKET_TAGGING = "PutBucketTagging"
    DELETE_BUCKET_TAGGING = "DeleteBucketTagging"
    GET_BUCKET_LIFECYCLE = "GetBucketLifecycleConfiguration"
    PUT_BUCKET_LIFECYCLE = "PutBucketLifecycleConfiguration"
    DELETE_BUCKET_LIFECYCLE = "DeleteBucketLifecycle"
    GET_BUCKET_CORS = "GetBucketCors"
    PUT_BUCKET_CORS = "PutBucketCors"
    DELETE_BUCKET_CORS = "DeleteBucketCors"
    GET_BUCKET_POLICY = "GetBucketPolicy"
    PUT_BUCKET_POLICY = "PutBucketPolicy"
    DELETE_BUCKET_POLICY = "DeleteBucketPolicy"
    GET_BUCKET_POLICY_STATUS = "GetBucketPolicyStatus"
    GET_PUBLIC_ACCESS_BLOCK = "GetPublicAccessBlock"
    PUT_PUBLIC_ACCESS_BLOCK = "PutPublicAccessBlock"
    DELETE_PUBLIC_ACCESS_BLOCK = "DeletePublicAccessBlock"
    GET_BUCKET_OWNERSHIP = "GetBucketOwnershipControls"
    PUT_BUCKET_OWNERSHIP = "PutBucketOwnershipControls"
    DELETE_BUCKET_OWNERSHIP = "DeleteBucketOwnershipControls"
    GET_BUCKET_ACL = "GetBucketAcl"
    PUT_BUCKET_ACL = "PutBucketAcl"
    GET_BUCKET_ABAC = "GetBucketAbac"
    PUT_BUCKET_ABAC = "PutBucketAbac"
    GET_BUCKET_ACCELERATE = "GetBucketAccelerateConfiguration"
    PUT_BUCKET_ACCELERATE = "PutBucketAccelerateConfiguration"
    GET_BUCKET_REQUEST_PAYMENT = "GetBucketRequestPayment"
    PUT_BUCKET_REQUEST_PAYMENT = "PutBucketRequestPayment"
    GET_BUCKET_LOGGING = "GetBucketLogging"
    PUT_BUCKET_LOGGING = "PutBucketLogging"
    GET_BUCKET_NOTIFICATION = "GetBucketNotificationConfiguration"
    PUT_BUCKET_NOTIFICATION = "PutBucketNotificationConfiguration"
    GET_BUCKET_WEBSITE = "GetBucketWebsite"
    PUT_BUCKET_WEBSITE = "PutBucketWebsite"
    DELETE_BUCKET_WEBSITE = "DeleteBucketWebsite"
    GET_BUCKET_REPLICATION = "GetBucketReplication"
    PUT_BUCKET_REPLICATION = "PutBucketReplication"
    DELETE_BUCKET_REPLICATION = "DeleteBucketReplication"
    GET_BUCKET_ENCRYPTION = "GetBucketEncryption"
    PUT_BUCKET_ENCRYPTION = "PutBucketEncryption"
    DELETE_BUCKET_ENCRYPTION = "DeleteBucketEncryption"
    GET_OBJECT_LOCK = "GetObjectLockConfiguration"
    PUT_OBJECT_LOCK = "PutObjectLockConfiguration"
    GET_BUCKET_INVENTORY = "GetBucketInventoryConfiguration"
    PUT_BUCKET_INVENTORY = "PutBucketInventoryConfiguration"
    DELETE_BUCKET_INVENTORY = "DeleteBucketInventoryConfiguration"
    LIST_BUCKET_INVENTORY = "ListBucketInventoryConfigurations"
    GET_BUCKET_ANALYTICS = "GetBucketAnalyticsConfiguration"
    PUT_BUCKET_ANALYTICS = "PutBucketAnalyticsConfiguration"
    DELETE_BUCKET_ANALYTICS = "DeleteBucketAnalyticsConfiguration"
    LIST_BUCKET_ANALYTICS = "ListBucketAnalyticsConfigurations"
    GET_BUCKET_METRICS = "GetBucketMetricsConfiguration"
    PUT_BUCKET_METRICS = "PutBucketMetricsConfiguration"
    DELETE_BUCKET_METRICS = "DeleteBucketMetricsConfiguration"
    LIST_BUCKET_METRICS = "ListBucketMetricsConfigurations"
    GET_BUCKET_TIERING = "GetBucketIntelligentTieringConfiguration"
    PUT_BUCKET_TIERING = "PutBucketIntelligentTieringConfiguration"
    DELETE_BUCKET_TIERING = "DeleteBucketIntelligentTieringConfiguration"
    LIST_BUCKET_TIERING = "ListBucketIntelligentTieringConfigurations"

    PUT_OBJECT = "PutObject"
    GET_OBJECT = "GetObject"
    HEAD_OBJECT = "HeadObject"
    DELETE_OBJECT = "DeleteObject"
    COPY_OBJECT = "CopyObject"
    GET_OBJECT_ATTRIBUTES = "GetObjectAttributes"
    GET_OBJECT_TAGGING = "GetObjectTagging"
    PUT_OBJECT_TAGGING = "PutObjectTagging"
    DELETE_OBJECT_TAGGING = "DeleteObjectTagging"
    GET_BUCKET_METADATA = "GetBucketMetadataConfiguration"
    GET_BUCKET_METADATA_TABLE = "GetBucketMetadataTableConfiguration"
    PUT_REPLICA = "PutReplica"
    CHANGE_REPLICA = "ChangeReplica"
    DELETE_REPLICA = "DeleteReplica"
    """Ours: a version of a bucket that is replicated here, its metadata alone, a delete marker."""
    GET_OBJECT_ACL = "GetObjectAcl"
    PUT_OBJECT_ACL = "PutObjectAcl"
    GET_OBJECT_RETENTION = "GetObjectRetention"
    PUT_OBJECT_RETENTION = "PutObjectRetention"
    GET_OBJECT_LEGAL_HOLD = "GetObjectLegalHold"
    PUT_OBJECT_LEGAL_HOLD = "PutObjectLegalHold"
    CREATE_MULTIPART_UPLOAD = "CreateMultipartUpload"
    UPLOAD_PART = "UploadPart"
    UPLOAD_PART_COPY = "UploadPartCopy"
    COMPLETE_MULTIPART_UPLOAD = "CompleteMultipartUpload"
    ABORT_MULTIPART_UPLOAD = "AbortMultipartUpload"
    LIST_PARTS = "ListParts"


_BUCKET: dict[str, dict[str, Op | None]] = {
    "": {"PUT": Op.CREATE_BUCKET, "HEAD": Op.HEAD_BUCKET, "DELETE": Op.DELETE_BUCKET, "GET": Op.LIST_OBJECTS},
    "list-type": {"GET": Op.LIST_OBJECTS_V2},
    "location": {"GET": Op.GET_BUCKET_LOCATION},
    "versions": {"GET": Op.LIST_OBJECT_VERSIONS},
    "uploads": {"GET": Op.LIST_MULTIPART_UPLOADS},
    "delete": {"POST": Op.DELETE_OBJECTS},
    "ais-batch": {"POST": Op.GET_OBJECTS},
    "versioning": {"GET": Op.GET_BUCKET_VERSIONING, "PUT": Op.PUT_BUCKET_VERSIONING},
    "tagging": {"GET": Op.GET_BUCKET_TAGGING, "PUT": Op.PUT_BUCKET_TAGGING, "DELETE": Op.DELETE_BUCKET_TAGGING},
    "lifecycle": {
        "GET": Op.GET_BUCKET_LIFECYCLE,
        "PUT": Op.PUT_BUCKET_LIFECYCLE,
        "DELETE": Op.DELETE_BUCKET_LIFECYCLE,
    },
    "cors": {"GET": Op.GET_BUCKET_CORS, "PUT": Op.PUT_BUCKET_CORS, "DELETE": Op.DELETE_BUCKET_CORS},
    "policy": {"GET": Op.GET_BUCKET_POLICY, "PUT": Op.PUT_BUCKET_POLICY, "DELETE": Op.DELETE_BUCKET_POLICY},
    "policyStatus": {"GET": Op.GET_BUCKET_POLICY_STATUS},
    "publicAccessBlock": {
        "GET": Op.GET_PUBLIC_ACCESS_BLOCK,
        "PUT": Op.PUT_PUBLIC_ACCESS_BLOCK,
        "DELETE": Op.DELETE_PUBLIC_ACCESS_BLOCK,
    },
    "ownershipControls": {
        "GET": Op.GET_BUCKET_OWNERSHIP,
        "PUT": Op.PUT_BUCKET_OWNERSHIP,
        "DELETE": Op.DELETE_BUCKET_OWNERSHIP,
    },
    "acl": {"GET": Op.GET_BUCKET_ACL, "PUT": Op.PUT_BUCKET_ACL},
    "abac": {"GET": Op.GET_BUCKET_ABAC, "PUT": Op.PUT_BUCKET_ABAC},
    "accelerate": {"GET": Op.GET_BUCKET_ACCELERATE, "PUT": Op.PUT_BUCKET_ACCELERATE},
    "requestPayment": {"GET": Op.GET_BUCKET_REQUEST_PAYMENT, "PUT": Op.PUT_BUCKET_REQUEST_PAYMENT},
    "logging": {"GET": Op.GET_BUCKET_LOGGING, "PUT": Op.PUT_BUCKET_LOGGING},
    "notification": {"GET": Op.GET_BUCKET_NOTIFICATION, "PUT": Op.PUT_BUCKET_NOTIFICATION},
    "website": {"GET": Op.GET_BUCKET_WEBSITE, "PUT": Op.PUT_BUCKET_WEBSITE, "DELETE": Op.DELETE_BUCKET_WEBSITE},
    "replication": {
        "GET": Op.GET_BUCKET_REPLICATION,
        "PUT": Op.PUT_BUCKET_REPLICATION,
        "DELETE": Op.DELETE_BUCKET_REPLICATION,
    },
    "encryption": {
        "GET": Op.GET_BUCKET_ENCRYPTION,
        "PUT": Op.PUT_BUCKET_ENCRYPTION,
        "DELETE": Op.DELETE_BUCKET_ENCRYPTION,
    },
    "object-lock": {"GET": Op.GET_OBJECT_LOCK, "PUT": Op.PUT_OBJECT_LOCK},
    "inventory": {
        "GET": Op.GET_BUCKET_INVENTORY,
        "PUT": Op.PUT_BUCKET_INVENTORY,
        "DELETE": Op.DELETE_BUCKET_INVENTORY,
    },
    "analytics": {
        "GET": Op.GET_BUCKET_ANALYTICS,
        "PUT": Op.PUT_BUCKET_ANALYTICS,
        "DELETE": Op.DELETE_BUCKET_ANALYTICS,
    },
    "metrics": {"GET": Op.GET_BUCKET_METRICS, "PUT": Op.PUT_BUCKET_METRICS, "DELETE": Op.DELETE_BUCKET_METRICS},
    "intelligent-tiering": {
        "GET": Op.GET_BUCKET_TIERING,
        "PUT": Op.PUT_BUCKET_TIERING,
        "DELETE": Op.DELETE_BUCKET_TIERING,
    },
    "metadataConfiguration": {"GET": Op.GET_BUCKET_METADATA, "PUT": None, "POST": None, "DELETE": None},
    "metadataTable": {"GET": Op.GET_BUCKET_METADATA_TABLE, "PUT": None, "POST": None, "DELETE": None},
    **{
        name: {"GET": None, "PUT": None, "DELETE": None, "POST": None}
        for name in ("metadataAnnotationTable", "metadataInventoryTable", "metadataJournalTable", "session")
    },
}
_OBJECT: dict[str, dict[str, Op | None]] = {
    "": {"PUT": Op.PUT_OBJECT, "GET": Op.GET_OBJECT, "HEAD": Op.HEAD_OBJECT, "DELETE": Op.DELETE_OBJECT},
    "attributes": {"GET": Op.GET_OBJECT_ATTRIBUTES},
    "tagging": {"GET": Op.GET_OBJECT_TAGGING, "PUT": Op.PUT_OBJECT_TAGGING, "DELETE": Op.DELETE_OBJECT_TAGGING},
    "retention": {"GET": Op.GET_OBJECT_RETENTION, "PUT": Op.PUT_OBJECT_RETENTION},
    "legal-hold": {"GET": Op.GET_OBJECT_LEGAL_HOLD, "PUT": Op.PUT_OBJECT_LEGAL_HOLD},
    "acl": {"GET": Op.GET_OBJECT_ACL, "PUT": Op.PUT_OBJECT_ACL},
    "ais-replica": {"PUT": Op.PUT_REPLICA, "POST": Op.CHANGE_REPLICA, "DELETE": Op.DELETE_REPLICA},
    "uploads": {"POST": Op.CREATE_MULTIPART_UPLOAD},
    "uploadId": {
        "PUT": Op.UPLOAD_PART,
        "POST": Op.COMPLETE_MULTIPART_UPLOAD,
        "DELETE": Op.ABORT_MULTIPART_UPLOAD,
        "GET": Op.LIST_PARTS,
    },
    **{
        name: {"GET": None, "PUT": None, "DELETE": None, "POST": None}
        for name in (
            "annotation",
            "encryption",
            "renameObject",
            "restore",
            "select",
            "torrent",
        )
    },
}

_LISTS = {
    Op.GET_BUCKET_INVENTORY: Op.LIST_BUCKET_INVENTORY,
    Op.GET_BUCKET_ANALYTICS: Op.LIST_BUCKET_ANALYTICS,
    Op.GET_BUCKET_METRICS: Op.LIST_BUCKET_METRICS,
    Op.GET_BUCKET_TIERING: Op.LIST_BUCKET_TIERING,
}
"""What a GET without `id` is."""
_PARAMETERS: dict[str, frozenset[str]] = {
    op: frozenset(names.split())
    for op, names in {
        "ListBuckets": "max-buckets continuation-token prefix bucket-region",
        **dict.fromkeys(
            ("ListObjects", "ListObjectsV2"),
            "prefix delimiter marker start-after continuation-token max-keys fetch-owner encoding-type",
        ),
        "ListObjectVersions": "prefix delimiter key-marker version-id-marker max-keys encoding-type",
        "ListMultipartUploads": "prefix delimiter key-marker upload-id-marker max-uploads encoding-type",
        "ListParts": "max-parts part-number-marker",
        "GetObject": "versionId partNumber response-content-type response-content-language response-expires"
        " response-cache-control response-content-disposition response-content-encoding",
        "HeadObject": "versionId partNumber response-content-type response-content-language response-expires"
        " response-cache-control response-content-disposition response-content-encoding",
        "DeleteObject": "versionId",
        "GetObjectAttributes": "versionId",
        "GetObjectTagging": "versionId",
        "PutObjectTagging": "versionId",
        "DeleteObjectTagging": "versionId",
        "GetObjectAcl": "versionId",
        "PutObjectAcl": "versionId",
        "GetObjectRetention": "versionId",
        "PutObjectRetention": "versionId",
        "GetObjectLegalHold": "versionId",
        "PutObjectLegalHold": "versionId",
        "UploadPart": "partNumber",
        "UploadPartCopy": "partNumber",
        **{
            f"{verb}Bucket{kind}Configuration": "id"
            for verb in ("Get", "Put", "Delete")
            for kind in ("Inventory", "Analytics", "Metrics", "IntelligentTiering")
        },
        **{
            f"ListBucket{kind}Configurations": "continuation-token"
            for kind in ("Inventory", "Analytics", "Metrics", "IntelligentTiering")
        },
    }.items()
}
_EVERYWHERE = frozenset().union(*_PARAMETERS.values())
_OF_SIGNATURES = frozenset(("AWSAccessKeyId", "Expires", "Signature"))
"""Of version 2. With them a URL may carry `content-type` and `content-md5`, which are signed."""
_ALWAYS_PREFIX = ("X-Amz-", "x-")
"""The parameters of signatures, headers that a signed URL carries, and what Amazon leaves to clients."""


class Parsed(NamedTuple):
    """What a request asks for; `bucket` and `key` are empty where the operation has none."""

    op: Op
    bucket: str
    key: str


def classify(method: str, bucket: str, key: str, params: Mapping[str, str], headers: Mapping[str, object]) -> Parsed:
    """The operation of a request. Raise `S3Error` NotImplemented, MethodNotAllowed or InvalidArgument."""
    op = _operation(method, bucket, key, params, headers)
    if params:
        sub_resources = _OBJECT if key else _BUCKET if bucket else {}
        _refuse_unknown(params, _PARAMETERS.get(op.value, frozenset()) | sub_resources.keys(), op.value)
    return Parsed(op, bucket, key)


def _refuse_unknown(params: Mapping[str, str], known: AbstractSet[str], what: str) -> None:
    known = known | _OF_SIGNATURES
    if "AWSAccessKeyId" in params:
        known |= {"content-type", "content-md5"}
    for name in params:
        if name not in known and not name.startswith(_ALWAYS_PREFIX):
            raise S3Error("NotImplemented", f"The query parameter {name} is not supported by {what}")


def _operation(method: str, bucket: str, key: str, params: Mapping[str, str], headers: Mapping[str, object]) -> Op:
    if not bucket:
        if method != "GET":
            raise S3Error("MethodNotAllowed")
        return Op.LIST_BUCKETS
    table = _OBJECT if key else _BUCKET
    named = [name for name in params if name in table]
    if len(named) > 1:
        raise S3Error("InvalidArgument", f"Conflicting query parameters: {', '.join(sorted(named))}")
    if method == "POST" and not key and not named:
        return Op.POST_OBJECT
    verbs = table[named[0] if named else ""]
    if method not in verbs:
        _refuse_unknown(
            params, frozenset(table) | _EVERYWHERE, f"{method} of an object" if key else f"{method} of a bucket"
        )
        raise S3Error("MethodNotAllowed")
    op = verbs[method]
    if op is None:
        raise S3Error("NotImplemented", f"The sub-resource {named[0]} is not supported")
    if op in _LISTS and "id" not in params:
        op = _LISTS[op]
    if "x-amz-copy-source" in headers:
        copies = {Op.PUT_OBJECT: Op.COPY_OBJECT, Op.UPLOAD_PART: Op.UPLOAD_PART_COPY}
        op = copies.get(op, op)
    if "partNumber" in params and "uploadId" not in params and op not in (Op.GET_OBJECT, Op.HEAD_OBJECT):
        raise S3Error("InvalidArgument", "partNumber is given without uploadId")
    return op


def sub_resource_of(key: str, params: Mapping[str, str]) -> str:
    """What parameter names the operation of a request on a bucket or key; empty: its method alone."""
    return next((name for name in params if name in (_OBJECT if key else _BUCKET)), "")


def served() -> Iterator[tuple[Op, str, str, str]]:
    """Every operation on a bucket or object: it, its method, the path, and the sub-resource if it has one."""
    for place, table in (("/bucket", _BUCKET), ("/bucket/key", _OBJECT)):
        for name, verbs in table.items():
            for method, op in verbs.items():
                if op is not None:
                    yield op, method, place, name
                if op in _LISTS:
                    yield _LISTS[op], method, place, name
    yield Op.COPY_OBJECT, "PUT", "/bucket/key", ""
    yield Op.UPLOAD_PART_COPY, "PUT", "/bucket/key", "uploadId"


def refused() -> Iterator[tuple[str, str]]:
    """What S3 has and we do not: of a bucket or of an object, and the sub-resource."""
    for what, table in (("a bucket", _BUCKET), ("an object", _OBJECT)):
        yield from ((what, name) for name, verbs in table.items() if None in verbs.values())


def parameters_of(op: Op) -> list[str]:
    """The parameters that an operation takes."""
    return sorted(_PARAMETERS.get(op.value, ()))
