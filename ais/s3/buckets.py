"""Buckets as S3 requests see them: their documents parsed once per version of the bucket's properties."""

from functools import cached_property

from ais.api.bucket import AIS, BACKENDS, Bck
from ais.core.sealing import Wanted
from ais.meta.bmd import BMD, Bucket, S3Props
from ais.s3 import acl, cors, encryption, lifecycle, notifications, policy, replication
from ais.s3.cors import CorsRule
from ais.s3.errors import S3Error
from ais.s3.identity import Rights
from ais.s3.lifecycle import LifecycleRule
from ais.s3.notifications import Rule


class S3Bucket:
    """One bucket. The documents were checked when they were set."""

    def __init__(self, bucket: Bucket) -> None:
        self.bucket = bucket
        self.bck = bucket.bck
        self.name = bucket.bck.name

    @property
    def s3(self) -> S3Props:
        """What the S3 API keeps about it."""
        return self.bucket.props.of_s3

    @property
    def keeps_versions(self) -> bool:
        """Whether versioning is or was enabled: its objects have version IDs."""
        return bool(self.s3.versioning)

    @cached_property
    def rights(self) -> Rights:
        """Who may do what."""
        block, owner = self.s3.public_access_block or {}, self.s3.owner
        statements = policy.parse(self.s3.policy.encode(), self.name) if self.s3.policy else ()
        lists = acl.read(owner, self.s3.acl) if self.uses_acls else None
        return Rights(
            owner, statements, block.get("RestrictPublicBuckets", False), lists, block.get("IgnorePublicAcls", False)
        )

    @property
    def uses_acls(self) -> bool:
        """Whether objects may belong to others than the bucket's owner, and have access control lists."""
        return self.s3.ownership not in ("", acl.ENFORCED)

    @cached_property
    def requester_pays(self) -> bool:
        """Whether callers other than the owner must say that they know who pays."""
        return "<Payer>Requester</Payer>" in self.s3.documents.get("requestPayment", "")

    @cached_property
    def notifications(self) -> tuple[Rule, ...]:
        """Which events go to which receivers."""
        return notifications.rules_of(self.s3.documents.get(notifications.DOCUMENT, ""))

    @cached_property
    def replication(self) -> tuple[replication.Rule, ...]:
        """Which versions go to which other buckets."""
        return replication.rules_of(self.s3.documents.get(replication.DOCUMENT, ""))

    @cached_property
    def encryption(self) -> Wanted | None:
        """How new objects are encrypted that say nothing themselves."""
        return encryption.default_of(self.s3.documents.get(encryption.DOCUMENT, ""))

    @cached_property
    def asks_for_tags(self) -> bool:
        """Whether the policy has conditions on the tags an object has."""
        return "existingobjecttag" in self.s3.policy.lower()

    @cached_property
    def cors(self) -> tuple[CorsRule, ...]:
        """Cross-origin rules."""
        return cors.parse_document(self.s3.cors.encode()) if self.s3.cors else ()

    @cached_property
    def lifecycle(self) -> tuple[LifecycleRule, ...]:
        """What expires when."""
        return lifecycle.parse_document(self.s3.lifecycle.encode()) if self.s3.lifecycle else ()


class S3Buckets:
    """The buckets of one BMD version that S3 requests can name. Make a new one for each version."""

    def __init__(self, bmd: BMD) -> None:
        self.bmd = bmd
        self._seen: dict[str, S3Bucket] = {}

    def get(self, name: str) -> S3Bucket | None:
        """The bucket, if it exists and is not just getting another name."""
        found = self._seen.get(name)
        if found is None:
            bucket = self.bmd.get(Bck(name)) or self._remote.get(name)
            if bucket is None or bucket.props.renamed:
                return None
            found = self._seen[name] = S3Bucket(bucket)
        return found

    @cached_property
    def _remote(self) -> dict[str, Bucket]:
        """Buckets at backends, and of other clusters, by name: S3 clients can say no more."""
        there = [bucket for bucket in self.bmd if bucket.bck.provider != AIS or bucket.bck.namespace.uuid]
        return {bucket.bck.name: bucket for bucket in sorted(there, key=_turn, reverse=True)}

    def require(self, name: str) -> S3Bucket:
        """The bucket. Raise `S3Error` NoSuchBucket."""
        found = self.get(name)
        if found is None:
            raise S3Error("NoSuchBucket", BucketName=name)
        return found


def _turn(bucket: Bucket) -> tuple[int, str, str]:
    """Which of several buckets of one name it is that S3 clients see: the least."""
    order, bck = (*BACKENDS, AIS), bucket.bck
    return order.index(bck.provider) if bck.provider in order else len(order), bck.namespace.uuid, bck.namespace.name
