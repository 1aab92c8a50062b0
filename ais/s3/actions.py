"""The actions by which policies name S3's operations (S3 API, "Actions, resources, and condition keys")."""

from ais.s3.globs import like
from ais.s3.operations import Op

_BUCKET_ACTION = {
    Op.LIST_OBJECTS: "ListBucket",
    Op.LIST_OBJECTS_V2: "ListBucket",
    Op.HEAD_BUCKET: "ListBucket",
    Op.LIST_OBJECT_VERSIONS: "ListBucketVersions",
    Op.LIST_MULTIPART_UPLOADS: "ListBucketMultipartUploads",
    Op.GET_BUCKET_LIFECYCLE: "GetLifecycleConfiguration",
    Op.PUT_BUCKET_LIFECYCLE: "PutLifecycleConfiguration",
    Op.DELETE_BUCKET_LIFECYCLE: "PutLifecycleConfiguration",
    Op.GET_BUCKET_CORS: "GetBucketCORS",
    Op.PUT_BUCKET_CORS: "PutBucketCORS",
    Op.DELETE_BUCKET_CORS: "PutBucketCORS",
    Op.DELETE_BUCKET_TAGGING: "PutBucketTagging",
    Op.GET_PUBLIC_ACCESS_BLOCK: "GetBucketPublicAccessBlock",
    Op.PUT_PUBLIC_ACCESS_BLOCK: "PutBucketPublicAccessBlock",
    Op.DELETE_PUBLIC_ACCESS_BLOCK: "PutBucketPublicAccessBlock",
    Op.DELETE_BUCKET_OWNERSHIP: "PutBucketOwnershipControls",
    Op.DELETE_BUCKET_WEBSITE: "DeleteBucketWebsite",
    Op.GET_BUCKET_ACCELERATE: "GetAccelerateConfiguration",
    Op.PUT_BUCKET_ACCELERATE: "PutAccelerateConfiguration",
    Op.GET_BUCKET_NOTIFICATION: "GetBucketNotification",
    Op.PUT_BUCKET_NOTIFICATION: "PutBucketNotification",
    Op.GET_BUCKET_REPLICATION: "GetReplicationConfiguration",
    Op.PUT_BUCKET_REPLICATION: "PutReplicationConfiguration",
    Op.DELETE_BUCKET_REPLICATION: "PutReplicationConfiguration",
    Op.GET_BUCKET_ENCRYPTION: "GetEncryptionConfiguration",
    Op.PUT_BUCKET_ENCRYPTION: "PutEncryptionConfiguration",
    Op.DELETE_BUCKET_ENCRYPTION: "PutEncryptionConfiguration",
    Op.GET_OBJECT_LOCK: "GetBucketObjectLockConfiguration",
    Op.PUT_OBJECT_LOCK: "PutBucketObjectLockConfiguration",
    Op.LIST_BUCKET_INVENTORY: "GetInventoryConfiguration",
    Op.GET_BUCKET_INVENTORY: "GetInventoryConfiguration",
    Op.PUT_BUCKET_INVENTORY: "PutInventoryConfiguration",
    Op.DELETE_BUCKET_INVENTORY: "PutInventoryConfiguration",
    Op.LIST_BUCKET_ANALYTICS: "GetAnalyticsConfiguration",
    Op.GET_BUCKET_ANALYTICS: "GetAnalyticsConfiguration",
    Op.PUT_BUCKET_ANALYTICS: "PutAnalyticsConfiguration",
    Op.DELETE_BUCKET_ANALYTICS: "PutAnalyticsConfiguration",
    Op.LIST_BUCKET_METRICS: "GetMetricsConfiguration",
    Op.GET_BUCKET_METRICS: "GetMetricsConfiguration",
    Op.PUT_BUCKET_METRICS: "PutMetricsConfiguration",
    Op.DELETE_BUCKET_METRICS: "PutMetricsConfiguration",
    Op.LIST_BUCKET_TIERING: "GetIntelligentTieringConfiguration",
    Op.GET_BUCKET_TIERING: "GetIntelligentTieringConfiguration",
    Op.PUT_BUCKET_TIERING: "PutIntelligentTieringConfiguration",
    Op.DELETE_BUCKET_TIERING: "PutIntelligentTieringConfiguration",
    Op.GET_BUCKET_METADATA: "GetBucketMetadataTableConfiguration",
    Op.LIST_BUCKETS: "ListAllMyBuckets",
    Op.HEAD_OBJECT: "GetObject",
    Op.COPY_OBJECT: "PutObject",
    Op.POST_OBJECT: "PutObject",
    Op.CREATE_MULTIPART_UPLOAD: "PutObject",
    Op.UPLOAD_PART: "PutObject",
    Op.UPLOAD_PART_COPY: "PutObject",
    Op.COMPLETE_MULTIPART_UPLOAD: "PutObject",
    Op.LIST_PARTS: "ListMultipartUploadParts",
    Op.DELETE_OBJECTS: "DeleteObject",
    Op.GET_OBJECTS: "GetObject",
    Op.PUT_REPLICA: "ReplicateObject",
    Op.CHANGE_REPLICA: "ReplicateTags",
    Op.DELETE_REPLICA: "ReplicateDelete",
}
_VERSIONED = {
    "GetObject": "GetObjectVersion",
    "DeleteObject": "DeleteObjectVersion",
    "GetObjectAttributes": "GetObjectVersionAttributes",
    "GetObjectTagging": "GetObjectVersionTagging",
    "PutObjectTagging": "PutObjectVersionTagging",
    "DeleteObjectTagging": "DeleteObjectVersionTagging",
    "GetObjectAcl": "GetObjectVersionAcl",
    "PutObjectAcl": "PutObjectVersionAcl",
}


def action_of(op: Op, versioned: bool = False) -> str:
    """The policy action of an operation: `s3:GetObject`; with a version ID `s3:GetObjectVersion`."""
    name = _BUCKET_ACTION.get(op, op.value)
    return "s3:" + (_VERSIONED.get(name, name) if versioned else name)


_ACTIONS = {action_of(op, versioned).lower() for op in Op for versioned in (False, True)} | {
    f"s3:{name.lower()}"
    for name in (
        *("AbortMultipartUpload", "BypassGovernanceRetention", "CreateAccessPoint", "CreateSession"),
        *("GetObjectTorrent", "GetObjectVersionTorrent", "GetObjectVersionForReplication", "InitiateReplication"),
        *("ListAllMyBuckets", "ObjectOwnerOverrideToBucketOwner", "PutObjectVersionAcl"),
        *("RestoreObject", "UpdateBucketMetadataTableConfiguration"),
        *("GetAnalyticsConfiguration", "GetBucketMetadataTableConfiguration", "PutBucketObjectLockConfiguration"),
        *("CreateBucketMetadataTableConfiguration", "DeleteBucketMetadataTableConfiguration", "RenameObject"),
        *("GetObjectVersionAttributes", "PutObjectAnnotation", "GetObjectAnnotation", "DeleteObjectAnnotation"),
        *("GetBucketAcl", "PutBucketAcl", "GetBucketPolicyStatus", "UpdateObjectEncryption"),
    )
}
"""Those that Amazon has and that are about buckets and objects."""


def is_action(pattern: str) -> bool:
    """Whether a policy's action is one, or a pattern that some of them match."""
    pattern = pattern.lower()
    if "*" not in pattern and "?" not in pattern:
        return pattern in _ACTIONS
    return any(like(action, pattern) for action in _ACTIONS)
