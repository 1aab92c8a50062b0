"""Where operations differ from Amazon's, for `docs/s3_api.md`; what a setting says of itself is in `configurations`."""

from collections.abc import Mapping

from ais.s3.configurations import CONFIGURATIONS
from ais.s3.operations import Op

_LISTING = "503 while a node is away that holds some of it; `Ais-List-Partial: true` takes what is there"
_ACL = "on a bucket that is `BucketOwnerEnforced` only the canned default; e-mail addresses lead to nobody"
_DELETE = "a retention has ended when it has by the clocks of the target and of the primary"

DIFFERENCES: Mapping[Op, str] = {
    Op.CREATE_BUCKET: "a second one by the owner is 409 in every region; the region is remembered and means nothing",
    Op.DELETE_BUCKET: "writers are answered 409 `OperationAborted` meanwhile; unfinished uploads do not keep a bucket",
    Op.LIST_OBJECTS: _LISTING,
    Op.LIST_OBJECTS_V2: _LISTING,
    Op.LIST_OBJECT_VERSIONS: _LISTING,
    Op.DELETE_OBJECT: _DELETE,
    Op.DELETE_OBJECTS: f"every key is authorized by itself; {_DELETE}",
    Op.GET_OBJECTS: "not Amazon's: many objects, or members of shards, as one archive ([s3.md](s3.md))",
    **dict.fromkeys(
        (Op.PUT_REPLICA, Op.CHANGE_REPLICA, Op.DELETE_REPLICA),
        "not Amazon's: a version of a bucket that is replicated here, its metadata alone, a delete marker"
        " ([ADR 18](adr/0018-replication.md))",
    ),
    Op.PUT_BUCKET_LIFECYCLE: "transitions are refused: there is one storage class",
    Op.PUT_BUCKET_ACL: _ACL,
    Op.PUT_OBJECT_ACL: _ACL,
    Op.PUT_BUCKET_POLICY: "conditions, operators and variables that are not evaluated are refused when they are set",
    Op.GET_PUBLIC_ACCESS_BLOCK: "a new bucket has none",
    Op.PUT_BUCKET_ENCRYPTION: "a bucket without it does not encrypt; `aws:kms:dsse` is refused",
    Op.PUT_BUCKET_NOTIFICATION: "receivers (webhook, NATS, Kafka, AMQP) are those of `net.s3_events`,"
    " each is tried; refused at a backend",
    **dict.fromkeys((Op.GET_BUCKET_METADATA, Op.GET_BUCKET_METADATA_TABLE), "there is none, and none can be made"),
    Op.PUT_BUCKET_REPLICATION: "destinations are buckets of this cluster, or of one that `net.s3_replicas` names; the"
    " role means nothing; `ExistingObjectReplication` (a job: `ais start replicate-existing`), replication time and"
    " changes of replicas are refused",
    Op.PUT_BUCKET_VERSIONING: "no MFA delete; a bucket that keeps versions cannot be renamed natively",
    Op.PUT_OBJECT_LOCK: "such a bucket cannot be destroyed natively, nor the cluster be removed with its data",
    Op.PUT_OBJECT_RETENTION: _DELETE,
    Op.PUT_OBJECT: "storage class `STANDARD` only; SSE-C without TLS is taken",
    Op.CREATE_MULTIPART_UPLOAD: "storage class `STANDARD` only; SSE-C without TLS is taken",
    **{kind.put: kind.note for kind in CONFIGURATIONS if kind.note and kind.put is not Op.PUT_BUCKET_REPLICATION},
}
