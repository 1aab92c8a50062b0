"""Whether what a bucket shall be replicated to can take it: asked before the configuration is kept."""

from collections.abc import Sequence
from itertools import islice

from defusedxml.ElementTree import fromstring

from ais.api.access import Access
from ais.base.errors import AisError
from ais.net.client import PeerClient
from ais.node.node import Node
from ais.node.replica_clusters import ReplicaClusters
from ais.node.s3 import NO_LISTING, Gate
from ais.proxy.s3.call import Call
from ais.s3 import lock, policy, replication
from ais.s3.buckets import S3Bucket
from ais.s3.errors import S3Error, decode
from ais.s3.replication import Destination, Rule

TRY_S = 10.0
"""For another cluster to answer."""
DENIED_MAX = 30
"""Patterns of keys whose Deny is looked at, each by all that policies say."""
_OURS = "ais"
"""What clusters of this kind say in `x-amz-id-2`."""


class ReplicationChecks:
    """One per proxy."""

    def __init__(self, node: Node, gate: Gate) -> None:
        self._gate = gate
        self._clusters = ReplicaClusters(node)

    async def check(self, call: Call, text: str) -> None:
        """Raise `S3Error` InvalidRequest, saying what to do, unless all destinations of enabled rules take replicas."""
        bucket = call.bucket
        if bucket.bucket.has_backend:
            raise S3Error(
                "NotImplemented", "Objects of this bucket are at a backend: configure their replication there"
            )
        is_locked, rules = lock.DOCUMENT in bucket.s3.documents, replication.rules_of(text)
        for destination in dict.fromkeys(rule.destination for rule in rules):
            if destination.cluster:
                await self._check_elsewhere(destination, is_locked=is_locked)
            else:
                self._check_here(call, destination, is_locked=is_locked)
        for rule in rules:
            self._require_rights(call, rule)

    def _check_here(self, call: Call, destination: Destination, *, is_locked: bool) -> None:
        if destination.bucket == call.bucket.name:
            raise S3Error("InvalidRequest", "Destination bucket cannot be the same as the source bucket.")
        there = self._gate.buckets.get(destination.bucket)
        if there is None or there.bucket.has_backend:
            raise S3Error("InvalidRequest", "Destination bucket must exist.")
        if there.s3.versioning != "Enabled":
            raise S3Error("InvalidRequest", "Destination bucket must have versioning enabled.")
        if is_locked and lock.DOCUMENT not in there.s3.documents:
            raise _without_lock()

    def _require_rights(self, call: Call, rule: Rule) -> None:
        """Raise `S3Error` AccessDenied when who configures a bucket is not its owner, as whom versions are read and
        brought, and may not read them here, or not bring them there.
        """
        caller = call.caller
        there = None if rule.destination.cluster else self._gate.buckets.require(rule.destination.bucket)
        if caller.is_bearer:
            if there is not None:
                needed = Access.PUT | (Access.DELETE_OBJECT if rule.takes_markers else Access(0))
                self._gate.require_by_token(call.request, there.name, needed)
            return
        if caller.principal is None and call.bucket.rights.is_owned_by(caller):
            return
        self._require_on_all(call, call.bucket, rule.prefix, ["s3:GetObjectVersionForReplication"])
        if there is not None:
            brought = ["s3:ReplicateObject", "s3:ReplicateTags", *(["s3:ReplicateDelete"] * rule.takes_markers)]
            self._require_on_all(call, there, rule.prefix, brought)

    def _require_on_all(self, call: Call, bucket: S3Bucket, prefix: str, wanted: Sequence[str]) -> None:
        """Raise `S3Error` AccessDenied unless the caller may do something with all keys that begin so."""
        principal, statements = call.caller.principal, [*bucket.rights.statements]
        if principal is not None:
            statements += [*principal.statements, *(principal.limits or ())]
        keys = {f"{prefix}*", *islice(policy.below(statements, bucket.name, prefix), DENIED_MAX)}
        if len(keys) > DENIED_MAX:
            raise S3Error("AccessDenied", f"Policies deny more than {DENIED_MAX} patterns of keys below this prefix")
        for action in wanted:
            for key in keys:
                self._gate.require(call.request, call.caller, bucket, action, key, said=NO_LISTING)

    async def _check_elsewhere(self, destination: Destination, *, is_locked: bool) -> None:
        versioning = await self._read(destination, "versioning")
        root = fromstring(versioning)
        if not any(one.tag.endswith("Status") and one.text == "Enabled" for one in root.iter()):
            raise S3Error("InvalidRequest", "Destination bucket must have versioning enabled.")
        if is_locked:
            try:
                await self._read(destination, "object-lock")
            except S3Error:
                raise _without_lock() from None

    async def _read(self, destination: Destination, what: str) -> bytes:
        """A document of a bucket of another cluster. Raise `S3Error`."""
        client = PeerClient()
        try:
            url, lines = self._clusters.request(destination.cluster, "GET", f"/s3/{destination.bucket}?{what}=", {})
            answer = await client.call("GET", url, headers=lines, timeout_s=TRY_S)
        except AisError as error:
            raise S3Error("InvalidRequest", f"{destination.arn} cannot be asked: {error}") from None
        finally:
            await client.close()
        if answer.headers.get("x-amz-id-2") != _OURS:
            raise S3Error("InvalidRequest", f"{destination.arn} is at no cluster of this kind: replicas keep the IDs of"
                          " their versions, which others do not let them")  # fmt: skip
        if answer.status != 200:
            refused = decode(answer.status, answer.body)
            raise S3Error(
                "InvalidRequest", f"{destination.arn} refuses the key of this cluster: {refused.code}, {refused}"
            )
        return answer.body


def require_versioning(status: str, text: str | None) -> None:
    """Raise `S3Error` InvalidRequest when a bucket without versioning gets a replication configuration."""
    if text is not None and status != "Enabled":
        raise S3Error(
            "InvalidRequest", "Versioning must be 'Enabled' on the bucket to apply a replication configuration"
        )


def _without_lock() -> S3Error:
    return S3Error("InvalidRequest", "Object Lock is enabled on the source bucket: enable it on the destination too")
