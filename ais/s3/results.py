"""The XML documents that object operations are answered with, and the numbers their requests bring as text."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import NamedTuple

from ais.api.blob import PARTS_MAX
from ais.s3 import xml
from ais.s3.checksums import ALGORITHMS, Algorithm
from ais.s3.conditions import iso_time
from ais.s3.documents import owner
from ais.s3.errors import S3Error

LISTED_MAX = 1000
ATTRIBUTES = ("ETag", "Checksum", "ObjectParts", "StorageClass", "ObjectSize")
Checksum = tuple[Algorithm, str, str]
"""Algorithm, value, and `FULL_OBJECT` or `COMPOSITE`."""


class ListedPart(NamedTuple):
    """One part of an upload; time in Unix seconds, `checksums` by algorithm name."""

    number: int
    size_bytes: int
    etag: str
    modified_s: float
    checksums: Mapping[str, str]


def number(text: str, name: str, low: int, high: int) -> int:
    """A decimal number in a range. Raise `S3Error` InvalidArgument."""
    if not (text.isascii() and text.isdigit() and len(text) < 19 and low <= int(text) <= high):
        raise S3Error(
            "InvalidArgument", f"{name} must be an integer between {low} and {high}", ArgumentName=name,
            ArgumentValue=text[:100],
        )  # fmt: skip
    return int(text)


def part_number(text: str) -> int:
    """1 to 10,000. Raise `S3Error`."""
    return number(text, "partNumber", 1, PARTS_MAX)


def count(text: str, name: str) -> int:
    """How many entries to list: at most, and by default, 1000. Raise `S3Error`."""
    return min(number(text, name, 0, (1 << 31) - 1), LISTED_MAX) if text else LISTED_MAX


def marker(text: str, name: str) -> int:
    """The part number behind which to go on. Raise `S3Error`."""
    return number(text, name, 0, (1 << 31) - 1) if text else 0


def attributes_wanted(values: Sequence[str]) -> frozenset[str]:
    """What an `x-amz-object-attributes` header asks for. Raise `S3Error` InvalidArgument."""
    wanted = {name.strip() for name in ",".join(values).split(",") if name.strip()}
    if not wanted or wanted - set(ATTRIBUTES):
        raise S3Error("InvalidArgument", f"x-amz-object-attributes names at least one of {', '.join(ATTRIBUTES)}")
    return frozenset(wanted)


def attributes(
    wanted: frozenset[str],
    *,
    etag: str,
    size_bytes: int,
    checksum: Checksum | None,
    part_sizes: Sequence[int],
    part_checksums: Sequence[str],
    part_marker: int,
    parts_max: int,
) -> bytes:
    """`GetObjectAttributesResponse`. Checksums of single parts are there if they were few."""
    nodes: list[xml.Node] = []
    if "ETag" in wanted:
        nodes.append(("ETag", etag))
    if "Checksum" in wanted and checksum is not None:
        nodes.append(("Checksum", checksum_nodes(checksum)))
    if "ObjectParts" in wanted and part_sizes:
        numbered = islice(enumerate(part_sizes, 1), part_marker, part_marker + parts_max)
        parts: list[xml.Node] = [
            ("Part", [("PartNumber", index), ("Size", size), *_part_checksum(checksum, part_checksums, index)])
            for index, size in numbered
        ]
        last = min(part_marker + parts_max, len(part_sizes))
        nodes.append(
            (
                "ObjectParts",
                [
                    ("PartsCount", len(part_sizes)),
                    ("PartNumberMarker", part_marker),
                    ("NextPartNumberMarker", last),
                    ("MaxParts", parts_max),
                    ("IsTruncated", last < len(part_sizes)),
                    *parts,
                ],
            )
        )
    if "StorageClass" in wanted:
        nodes.append(("StorageClass", "STANDARD"))
    if "ObjectSize" in wanted:
        nodes.append(("ObjectSize", size_bytes))
    return xml.document("GetObjectAttributesResponse", nodes)


def _part_checksum(checksum: Checksum | None, of_parts: Sequence[str], index: int) -> list[xml.Node]:
    return [(checksum[0].element, of_parts[index - 1])] if checksum is not None and index <= len(of_parts) else []


def checksum_nodes(checksum: Checksum | None) -> list[xml.Node]:
    """The value and type of a checksum."""
    return [(checksum[0].element, checksum[1]), ("ChecksumType", checksum[2])] if checksum is not None else []


def copied(root: str, etag: str, modified_s: float, checksum: list[xml.Node]) -> bytes:
    """`CopyObjectResult` or `CopyPartResult`."""
    return xml.document(root, [("LastModified", iso_time(modified_s)), ("ETag", f'"{etag}"'), *checksum])


def initiated(bucket: str, key: str, upload_id: str) -> bytes:
    """`InitiateMultipartUploadResult`."""
    return xml.document("InitiateMultipartUploadResult", [("Bucket", bucket), ("Key", key), ("UploadId", upload_id)])


def completed(location: str, bucket: str, key: str, etag: str, checksum: Checksum | None) -> bytes:
    """`CompleteMultipartUploadResult`."""
    named: list[xml.Node] = [("Location", location), ("Bucket", bucket), ("Key", key), ("ETag", f'"{etag}"')]
    return xml.document("CompleteMultipartUploadResult", [*named, *checksum_nodes(checksum)])


def parts(
    bucket: str,
    key: str,
    upload_id: str,
    user: str,
    algorithm: tuple[str, str] | None,
    listed: Iterable[ListedPart],
    after: int,
    parts_max: int,
) -> bytes:
    """`ListPartsResult` of the parts behind number `after`, given in order. `algorithm`: name and checksum type."""
    behind = [part for part in listed if part.number > after]
    shown = behind[:parts_max]
    nodes: list[xml.Node] = [
        ("Bucket", bucket),
        ("Key", key),
        ("UploadId", upload_id),
        ("Initiator", owner(user)),
        ("Owner", owner(user)),
        ("StorageClass", "STANDARD"),
        ("PartNumberMarker", after),
        ("NextPartNumberMarker", shown[-1].number if shown else after),
        ("MaxParts", parts_max),
        ("IsTruncated", len(behind) > len(shown)),
    ]
    if algorithm is not None:
        nodes += [("ChecksumAlgorithm", algorithm[0]), ("ChecksumType", algorithm[1])]
    return xml.document("ListPartsResult", [*nodes, *(("Part", _part(one)) for one in shown)])


def _part(part: ListedPart) -> list[xml.Node]:
    digests: list[xml.Node] = [
        (ALGORITHMS[name].element, value) for name, value in part.checksums.items() if name in ALGORITHMS
    ]
    return [
        ("PartNumber", part.number),
        ("LastModified", iso_time(part.modified_s)),
        ("ETag", f'"{part.etag}"'),
        ("Size", part.size_bytes),
        *digests,
    ]
