"""Replication of buckets: which versions go where, the document that says so, and what travels beside a version. Pure.

Source: Amazon S3 user guide, "Replicating objects within and across Regions" and "Replication configuration file
elements". A destination is a bucket of this cluster, `arn:aws:s3:::BUCKET`, or of another one that has a name in
`net.s3_replicas`, `arn:ais:s3::NAME:BUCKET`.
"""

import base64
import binascii
import hashlib
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple
from xml.etree.ElementTree import Element

import msgspec
from defusedxml.ElementTree import fromstring

from ais.core import replicas, sealing
from ais.core.meta import ObjectMeta
from ais.s3 import encryption, facts, xml
from ais.s3.errors import S3Error
from ais.s3.facts import Facts

DOCUMENT = "replication"
HEADER = "Ais-Replica"
"""Of a request that brings a replica: `Replica.header`."""
SENDER = "@"
"""First character of the names by which journals know destinations."""
RULES_MAX = 1000
PRIORITY_MAX = 2**31 - 1
PARTS_MAX = 10_000
_LOCAL = re.compile(r"arn:aws:s3:::([A-Za-z0-9._-]{1,255})")
_ELSEWHERE = re.compile(r"arn:ais:s3::([a-z0-9-]{1,32}):([A-Za-z0-9._-]{1,255})")
"""Names as they are put into URLs: nothing in them ends the path."""
_VERSION_ID = re.compile(r"[0-9a-f]{32}")
_FUTURE_NS = 24 * 3600 * 10**9
"""By how much the clock of a source may be ahead."""
_NOT_SENT = frozenset(
    (
        *(sealing.KEY, sealing.SIZE, sealing.CHECKSUM, sealing.ALGORITHM, sealing.KEY_ID, sealing.CONTEXT),
        *(sealing.BUCKET_KEY, replicas.FACT, "upload-id"),
    )
)


class Destination(NamedTuple):
    """A bucket, of this cluster (`cluster` empty) or of another one."""

    cluster: str
    bucket: str

    @property
    def arn(self) -> str:
        """How documents name it."""
        return f"arn:ais:s3::{self.cluster}:{self.bucket}" if self.cluster else f"arn:aws:s3:::{self.bucket}"

    @property
    def name(self) -> str:
        """How journals and versions name it."""
        return SENDER + hashlib.blake2b(self.arn.encode(), digest_size=6).hexdigest()


class Rule(NamedTuple):
    """One enabled rule. `kms_key`: of replicas of objects under SSE-KMS, None: these are not replicated."""

    id: str
    priority: int
    prefix: str
    tags: tuple[tuple[str, str], ...]
    destination: Destination
    takes_markers: bool
    kms_key: str | None
    account: str
    gives_away: bool
    """Replicas belong to the owner of the destination."""

    def wants(self, key: str, tags: Mapping[str, str]) -> bool:
        """Whether it is about a version with these tags."""
        return key.startswith(self.prefix) and all(tags.get(name) == value for name, value in self.tags)


def destination_of(arn: str) -> Destination | None:
    """The destination that an ARN names; None: it names none."""
    if found := _LOCAL.fullmatch(arn):
        return Destination("", found[1])
    found = _ELSEWHERE.fullmatch(arn)
    return Destination(found[1], found[2]) if found else None


def rules_of(document: str) -> tuple[Rule, ...]:
    """The enabled rules of a document that was kept, the one that goes before others first."""
    found = list(_rules(fromstring(document))) if document else []
    return tuple(sorted(found, key=lambda rule: -rule.priority))


def _rules(root: Element) -> Iterator[Rule]:
    for one in root.iter():
        one.tag = one.tag.rpartition("}")[2]
    for number, rule in enumerate(root.findall("Rule")):
        destination = destination_of(rule.findtext("Destination/Bucket", ""))
        if rule.findtext("Status") != "Enabled" or destination is None:
            continue
        filtered = rule.find("Filter")
        tags = filtered.iter("Tag") if filtered is not None else ()
        inner = next(filtered.iter("Prefix"), None) if filtered is not None else rule.find("Prefix")
        with_kms = rule.findtext("SourceSelectionCriteria/SseKmsEncryptedObjects/Status") == "Enabled"
        kms_key = rule.findtext("Destination/EncryptionConfiguration/ReplicaKmsKeyID", "")
        yield Rule(
            rule.findtext("ID", ""),
            int(rule.findtext("Priority", "") or -number),
            (inner.text or "") if inner is not None else "",
            tuple((tag.findtext("Key", ""), tag.findtext("Value", "")) for tag in tags),
            destination,
            rule.findtext("DeleteMarkerReplication/Status", "Enabled" if filtered is None else "Disabled") == "Enabled",
            kms_key if with_kms else None,
            rule.findtext("Destination/Account", ""),
            rule.find("Destination/AccessControlTranslation") is not None,
        )


def check(root: Element) -> None:
    """Raise `S3Error` for a document that contradicts itself, or asks for what is not done."""
    rules = root.findall("Rule")
    if len(rules) > RULES_MAX:
        raise S3Error("InvalidRequest", f"A replication configuration has at most {RULES_MAX} rules")
    ids = [xml.text(rule, "ID", "") for rule in rules if xml.text(rule, "ID", "")]
    if len(ids) != len(set(ids)):
        raise S3Error("InvalidArgument", "Rule Id must be unique. Found same Id for more than one rule")
    priorities = [int(xml.text(rule, "Priority", "0")) for rule in rules if rule.find("Priority") is not None]
    if len(priorities) != len(set(priorities)):
        raise S3Error("InvalidRequest", "Found duplicate priority: give each rule a Priority of its own")
    for rule in rules:
        _check_rule(rule)
    if len({rule.find("Filter") is not None for rule in rules}) > 1:
        raise S3Error("InvalidRequest", "Either all rules have a Filter or none has")


def _check_rule(rule: Element) -> None:
    arn = xml.text(rule, "Destination/Bucket")
    if destination_of(arn) is None:
        raise S3Error(
            "InvalidArgument", "Invalid bucket ARN: write arn:aws:s3:::BUCKET, or arn:ais:s3::NAME:BUCKET for a bucket"
            " of a cluster that net.s3_replicas names",
        )  # fmt: skip
    filtered = rule.find("Filter")
    if filtered is not None:
        _check_filter(rule, filtered)
    elif rule.find("Prefix") is None:
        raise S3Error("MalformedXML", "A rule has a Filter, or a Prefix")
    if xml.text(rule, "Destination/StorageClass", "") not in ("", facts.STORAGE_CLASS):
        raise S3Error("InvalidStorageClass", "Replicas have the storage class STANDARD: leave StorageClass away")
    refused = {
        "ExistingObjectReplication/Status": "a rule is about what changes from now on, and the job ais start"
        " replicate-existing about what is there",
        "SourceSelectionCriteria/ReplicaModifications/Status": "changes of replicas are not brought back",
        "Destination/ReplicationTime/Status": "no time is promised: leave ReplicationTime away",
    }
    for path, why in refused.items():
        if xml.text(rule, path, "") == "Enabled":
            raise S3Error("NotImplemented", f"{path.partition('/Status')[0]} is not supported: {why}")
    with_kms = xml.text(rule, "SourceSelectionCriteria/SseKmsEncryptedObjects/Status", "") == "Enabled"
    has_key = bool(xml.text(rule, "Destination/EncryptionConfiguration/ReplicaKmsKeyID", ""))
    if with_kms != has_key:
        raise S3Error(
            "InvalidRequest", "SseKmsEncryptedObjects and EncryptionConfiguration with a ReplicaKmsKeyID go together"
        )
    gives_away = rule.find("Destination/AccessControlTranslation") is not None
    if gives_away and not xml.text(rule, "Destination/Account", ""):
        raise S3Error("InvalidRequest", "Account must be specified when AccessControlTranslation is")


def _check_filter(rule: Element, filtered: Element) -> None:
    if len(filtered) > 1:
        raise S3Error("MalformedXML", "A Filter has one of Prefix, Tag and And")
    if rule.find("Prefix") is not None:
        raise S3Error("MalformedXML", "A rule has a Filter or a Prefix, not both")
    for name in ("Priority", "DeleteMarkerReplication"):
        if rule.find(name) is None:
            raise S3Error(
                "InvalidRequest",
                f"{name} must be specified for this version of Cross Region Replication configuration schema. Please"
                " refer to S3 Developer Guide for more information.",
            )
    if int(xml.text(rule, "Priority")) > PRIORITY_MAX:
        raise S3Error("InvalidArgument", f"Priority is at most {PRIORITY_MAX}")
    has_tags = next(filtered.iter("Tag"), None) is not None
    if has_tags and xml.text(rule, "DeleteMarkerReplication/Status", "") == "Enabled":
        raise S3Error("InvalidRequest", "Delete marker replication is not supported if any Tag filter is specified.")


def matching(rules: Sequence[Rule], key: str, kept: Facts) -> dict[str, Rule]:
    """The rule that counts for each destination of a version, by the destination's name."""
    tags, found = facts.tags_of(kept), dict[str, Rule]()
    for rule in rules:
        if rule.wants(key, tags):
            found.setdefault(rule.destination.name, rule)
    is_kms = kept.get(sealing.ALGORITHM) == encryption.KMS
    return {name: rule for name, rule in found.items() if not is_kms or rule.kms_key is not None}


def for_markers(rules: Sequence[Rule], key: str) -> dict[str, str]:
    """The destinations of a delete marker, with the ID of the rule for each."""
    found: dict[str, Rule] = {}
    for rule in rules:
        if rule.wants(key, {}):
            found.setdefault(rule.destination.name, rule)
    return {name: rule.id for name, rule in found.items() if rule.takes_markers}


def marked(rules: Sequence[Rule], key: str, meta: ObjectMeta) -> ObjectMeta:
    """The metadata of a version that is about to be stored, with where it is to get."""
    return _begun(meta, matching(rules, key, meta.facts)) if meta.version_id else meta


def marked_again(rules: Sequence[Rule], key: str, meta: ObjectMeta) -> ObjectMeta:
    """The metadata of a version that is there, with where it is to get and has not: the same when that is nowhere.

    What waited for destinations that no rule names any more waits no longer.
    """
    if not meta.version_id or replicas.is_replica(meta.facts):
        return meta
    there = replicas.completed(meta.facts)
    lacking = [name for name in matching(rules, key, meta.facts) if name not in there]
    kept = replicas.forgotten(meta.facts, {rule.destination.name for rule in rules})
    if kept != meta.facts:
        meta = msgspec.structs.replace(meta, facts=kept)
    if not _can_be(meta) and replicas.status(kept) == replicas.FAILED:
        return meta
    return _begun(meta, lacking)


def _begun(meta: ObjectMeta, wanted: Collection[str]) -> ObjectMeta:
    if not wanted:
        return meta
    return msgspec.structs.replace(meta, facts=replicas.begun(meta.facts, wanted, can_be=_can_be(meta)))


def _can_be(meta: ObjectMeta) -> bool:
    """Whether somebody but its client can read a version."""
    return meta.facts.get(sealing.ALGORITHM) != encryption.CUSTOMER


def lines(kept: Facts) -> Iterable[tuple[str, str]]:
    """The header line of an answer about a version."""
    return (("x-amz-replication-status", status),) if (status := replicas.status(kept)) else ()


class Replica(msgspec.Struct, frozen=True, array_like=True):
    """A version as it is at its source, without its content.

    `revision`: see `ais.core.replicas`; `part_sizes`: of its content, as runs (count, bytes); `mtime_ns`: Unix
    nanoseconds. Of a delete marker only the first three count.
    """

    version_id: str
    revision: int
    mtime_ns: int
    size: int = 0
    version: str = ""
    custom: dict[str, str] = {}
    facts: dict[str, str] = {}
    checksum_kind: str = "none"
    runs: tuple[tuple[int, int], ...] = ()

    @classmethod
    def of(cls, meta: ObjectMeta, mtime_ns: int, runs: tuple[tuple[int, int], ...], rule: Rule) -> "Replica":
        """What a rule has of a version."""
        kept = {name: value for name, value in meta.facts.items() if name not in _NOT_SENT}
        if rule.gives_away:
            kept = {name: value for name, value in kept.items() if name not in ("owner", "acl")}
        seen = sealing.plain(meta)
        kept["etag"] = facts.etag_of(meta.facts, seen.checksum_kind, seen.checksum, mtime_ns, seen.size)
        revision = replicas.revision(meta.facts)
        size = sealing.size_of(meta)
        return cls(meta.version_id, revision, mtime_ns, size, meta.version, meta.custom, kept, meta.checksum_kind, runs)

    def header(self) -> str:
        """The value of `HEADER`."""
        return base64.b64encode(msgspec.msgpack.encode(self)).decode()

    @classmethod
    def read(cls, text: str, now_ns: int) -> "Replica":
        """Read `header`. Raise `S3Error` InvalidArgument for what is none, RequestTimeTooSkewed for a time to come."""
        try:
            found = _decoder.decode(base64.b64decode(text, validate=True))
        except (binascii.Error, ValueError, msgspec.MsgspecError):
            raise S3Error("InvalidArgument", f"{HEADER} does not describe a version") from None
        if not found.is_sound or found.mtime_ns > now_ns + _FUTURE_NS:
            raise S3Error("InvalidArgument", f"{HEADER} does not describe a version")
        if any(name in _NOT_SENT for name in found.facts):
            raise S3Error("InvalidArgument", f"{HEADER} says what only the cluster of a version can say")
        if (1 << 64) - 1 - int(found.version_id[:16], 16) > now_ns + _FUTURE_NS:
            raise S3Error(
                "RequestTimeTooSkewed", "A version is of a time to come: set the clocks of both clusters right"
            )
        return found

    @property
    def is_sound(self) -> bool:
        """Whether a version can be like that."""
        texts = (self.version, *self.custom, *self.custom.values(), *self.facts, *self.facts.values())
        counts = [count for count, _ in self.runs]
        has_parts = 0 < sum(counts) <= PARTS_MAX and min(counts) > 0 and all(size >= 0 for _, size in self.runs)
        return (
            _VERSION_ID.fullmatch(self.version_id) is not None
            and min(self.revision, self.size, self.mtime_ns) >= 0
            and all(text.isprintable() for text in texts)
            and (not self.runs or (has_parts and sum(count * size for count, size in self.runs) == self.size))
        )

    def over(self, kept: Facts) -> Facts:
        """The facts of a replica that is there, with what the source says now; how it is stored stays."""
        own = {name: value for name, value in kept.items() if name in _NOT_SENT}
        return replicas.arrived({**self.facts, **own}, self.revision)


_decoder = msgspec.msgpack.Decoder(Replica)
