"""The XML documents of buckets, objects and uploads: requests are read and checked, answers written."""

import re
from collections.abc import Iterable
from itertools import pairwise
from typing import NamedTuple
from xml.etree.ElementTree import Element

from ais.api.blob import PARTS_MAX
from ais.base.units import is_whole
from ais.s3 import schema, tagging, xml
from ais.s3.acl import OWNER_ID, OWNERSHIPS
from ais.s3.checksums import ALGORITHMS, Algorithm, check_value
from ais.s3.conditions import iso_time
from ais.s3.errors import S3Error

DELETE_KEYS_MAX = 1000


def owner(name: str) -> list[xml.Node]:
    """`ID` and `DisplayName` of a user."""
    return [("ID", name or OWNER_ID), ("DisplayName", name or OWNER_ID)]


class KeyToDelete(NamedTuple):
    """One `<Object>` of a multi-object delete; what is not given is None."""

    key: str
    version_id: str | None = None
    etag: str | None = None
    modified: str | None = None
    size: str | None = None


def parse_delete(body: bytes) -> tuple[list[KeyToDelete], bool]:
    """Keys of a `Delete` document, and whether only errors are to be reported. Raise `S3Error` MalformedXML."""
    root = xml.parse(body, "Delete")
    xml.only_children(root, "Object", "Quiet")
    keys = []
    for one in root.findall("Object"):
        xml.only_children(one, "Key", "VersionId", "ETag", "LastModifiedTime", "Size")
        key = xml.text(one, "Key")
        if not key:
            raise S3Error("MalformedXML", "<Key> is empty")
        given = (xml.optional(one, name) for name in ("VersionId", "ETag", "LastModifiedTime", "Size"))
        keys.append(KeyToDelete(key, *given))
    if not 1 <= len(keys) <= DELETE_KEYS_MAX:
        raise S3Error("MalformedXML", f"A Delete names 1 to {DELETE_KEYS_MAX} objects")
    return keys, xml.text(root, "Quiet", "false").lower() == "true"


class Deleted(NamedTuple):
    """The outcome of one key. `code` is empty on success."""

    key: str
    version_id: str = ""
    delete_marker: bool = False
    marker_version_id: str = ""
    code: str = ""
    message: str = ""


def delete_result(outcomes: Iterable[Deleted], quiet: bool) -> bytes:
    """The `DeleteResult` of a multi-object delete."""
    nodes: list[xml.Node] = []
    for one in outcomes:
        version: list[xml.Node] = [("VersionId", one.version_id)] if one.version_id else []
        if one.code:
            nodes.append(("Error", [("Key", one.key), *version, ("Code", one.code), ("Message", one.message)]))
        elif not quiet:
            marker: list[xml.Node] = []
            if one.delete_marker:
                marker = [("DeleteMarker", True), ("DeleteMarkerVersionId", one.marker_version_id)]
            nodes.append(("Deleted", [("Key", one.key), *version, *marker]))
    return xml.document("DeleteResult", nodes)


def post_response(location: str, bucket: str, key: str, etag: str) -> bytes:
    """The `PostResponse` of a browser upload that asks for one."""
    nodes: list[xml.Node] = [("Location", location), ("Bucket", bucket), ("Key", key), ("ETag", etag)]
    return xml.document("PostResponse", nodes)


class PartToComplete(NamedTuple):
    """One `<Part>` of a complete request: entity tag unquoted, at most one checksum."""

    number: int
    etag: str
    algorithm: Algorithm | None = None
    checksum: str = ""


def parse_complete(body: bytes) -> list[PartToComplete]:
    """Parts of a `CompleteMultipartUpload`. Raise `S3Error` MalformedXML, InvalidPartOrder, InvalidRequest."""
    root = xml.parse(body, "CompleteMultipartUpload")
    xml.only_children(root, "Part")
    parts = [_part(one) for one in root]
    if not 1 <= len(parts) <= PARTS_MAX:
        raise S3Error("MalformedXML", f"A CompleteMultipartUpload lists 1 to {PARTS_MAX} parts")
    if any(later.number <= earlier.number for earlier, later in pairwise(parts)):
        raise S3Error("InvalidPartOrder")
    return parts


def _part(element: Element) -> PartToComplete:
    checksum_names = {algorithm.element: algorithm for algorithm in ALGORITHMS.values()}
    xml.only_children(element, "PartNumber", "ETag", *checksum_names)
    number = xml.text(element, "PartNumber")
    if not is_whole(number) or not 1 <= int(number) <= PARTS_MAX:
        raise S3Error("InvalidArgument", f"PartNumber must be an integer between 1 and {PARTS_MAX}")
    given = [(checksum_names[one.tag], one.text or "") for one in element if one.tag in checksum_names]
    if len(given) > 1:
        raise S3Error("InvalidRequest", "Expecting a single checksum per part")
    for algorithm, value in given:
        check_value(algorithm, value)
    etag = xml.text(element, "ETag").strip('"')
    return PartToComplete(int(number), etag, *(given[0] if given else (None, "")))


_TAGS = schema.group(Tag=schema.group(Key=schema.text(), Value=schema.text(r"[^\0]{0,1024}")).many())
_OWNERSHIP = schema.group(Rule=schema.group(ObjectOwnership=schema.text().needed()).many())
DEFAULT_REGION = "us-east-1"
_REGION = re.compile(r"[A-Za-z0-9-]{1,64}")


def parse_create(body: bytes) -> tuple[str, dict[str, str]]:
    """Region (empty: the default) and tags of a create-bucket body, which may be empty.

    Raise `S3Error` MalformedXML, InvalidLocationConstraint or InvalidTag.
    """
    if not body:
        return "", {}
    root = xml.parse(body, "CreateBucketConfiguration")
    xml.only_children(root, "LocationConstraint", "Tags")
    region = xml.text(root, "LocationConstraint", "").strip()
    if region and not _REGION.fullmatch(region):
        raise S3Error("InvalidLocationConstraint", LocationConstraint=region)
    tags = root.find("Tags")
    if tags is not None:
        _TAGS.check(tags)
    pairs = [(xml.text(tag, "Key"), xml.text(tag, "Value")) for tag in tags or ()]
    return "" if region == DEFAULT_REGION else region, tagging.checked(pairs, tagging.BUCKET_TAGS_MAX)


def location(region: str) -> bytes:
    """The `LocationConstraint` of a bucket: empty for the default region, as S3 does."""
    return xml.element("LocationConstraint", region)


def versioning(status: str) -> bytes:
    """The `VersioningConfiguration`; empty while versioning was never enabled."""
    return xml.document("VersioningConfiguration", [("Status", status)] if status else [])


def parse_versioning(body: bytes) -> str:
    """`Enabled` or `Suspended`. Raise `S3Error`; MFA delete asks for what we do not have."""
    root = xml.parse(body, "VersioningConfiguration")
    xml.only_children(root, "Status", "MfaDelete", "MFADelete")
    if xml.text(root, "MfaDelete", xml.text(root, "MFADelete", "Disabled")) != "Disabled":
        raise S3Error("NotImplemented", "MFA delete is not supported")
    status = xml.text(root, "Status")
    if status not in ("Enabled", "Suspended"):
        raise S3Error("MalformedXML", "Status must be Enabled or Suspended")
    return status


_BLOCKS = ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets")


def parse_public_access_block(body: bytes) -> dict[str, bool]:
    """The four switches of a `PublicAccessBlockConfiguration`. Raise `S3Error` MalformedXML."""
    root = xml.parse(body, "PublicAccessBlockConfiguration")
    xml.only_children(root, *_BLOCKS)
    switches = {name: xml.text(root, name, "false").lower() for name in _BLOCKS}
    if not set(switches.values()) <= {"true", "false"}:
        raise S3Error("MalformedXML", "The switches take true or false")
    return {name: value == "true" for name, value in switches.items()}


def public_access_block(switches: dict[str, bool]) -> bytes:
    """The document of the four switches."""
    return xml.document("PublicAccessBlockConfiguration", [(name, switches.get(name, False)) for name in _BLOCKS])


def parse_ownership(body: bytes) -> str:
    """The object ownership rule. Raise `S3Error` MalformedXML."""
    root = xml.parse(body, "OwnershipControls")
    _OWNERSHIP.check(root)
    rules = root.findall("Rule")
    if len(rules) != 1:
        raise S3Error("MalformedXML", "OwnershipControls has one Rule")
    ownership = xml.text(rules[0], "ObjectOwnership")
    if ownership not in OWNERSHIPS:
        raise S3Error("MalformedXML", f"Unknown ObjectOwnership {ownership}")
    return ownership


def ownership(rule: str) -> bytes:
    """The ownership controls of a bucket."""
    return xml.document("OwnershipControls", [("Rule", [("ObjectOwnership", rule)])])


def policy_status(is_public: bool) -> bytes:
    """The `PolicyStatus` of a bucket with a policy."""
    return xml.document("PolicyStatus", [("IsPublic", is_public)])


class ListedBucket(NamedTuple):
    """One bucket in a listing; created in Unix seconds."""

    name: str
    created_s: float
    region: str


def buckets(entries: Iterable[ListedBucket], owner_name: str, prefix: str, next_token: str) -> bytes:
    """The `ListAllMyBucketsResult`; `next_token` is empty when there are no more."""
    nodes: list[xml.Node] = [
        (
            "Bucket",
            [
                ("Name", one.name),
                ("CreationDate", iso_time(one.created_s)),
                ("BucketRegion", one.region or DEFAULT_REGION),
            ],
        )
        for one in entries
    ]
    result: list[xml.Node] = [("Owner", owner(owner_name)), ("Buckets", nodes)]
    if prefix:
        result.append(("Prefix", prefix))
    if next_token:
        result.append(("ContinuationToken", next_token))
    return xml.document("ListAllMyBucketsResult", result)
