"""The x-amz-copy-source header: which object, perhaps which version, perhaps which bytes of it."""

import re
from collections.abc import Sequence
from typing import NamedTuple
from urllib.parse import parse_qsl, unquote

from ais.base.errors import RangeNotSatisfiable
from ais.s3 import versions
from ais.s3.errors import S3Error

_RANGE = re.compile(r"bytes=([0-9]{1,19})-([0-9]{1,19})")


class CopySource(NamedTuple):
    """What to copy. `version_id` None: the current version."""

    bucket: str
    key: str
    version_id: str | None


def read(header: str) -> CopySource:
    """`[/]bucket/key[?versionId=...]`, percent-encoded. Raise `S3Error` InvalidArgument."""
    path, mark, query = header.partition("?versionId=")
    try:
        bucket, _, key = unquote(path, errors="strict").removeprefix("/").partition("/")
    except UnicodeDecodeError:
        bucket = key = ""
    if not bucket or not key or "\0" in key:
        raise S3Error("InvalidArgument", "Copy Source must mention the source bucket and key: sourcebucket/sourcekey")
    version_id = dict(parse_qsl(f"versionId={query}", keep_blank_values=True))["versionId"] if mark else None
    if version_id is not None:
        versions.check(version_id)
    return CopySource(bucket, key, version_id)


def spelt(header: str) -> Sequence[str]:
    """As policies may write the source, whatever way a client does: its escapes would get round them."""
    try:
        found = read(header)
    except S3Error:
        return [header]
    return [f"{found.bucket}/{found.key}", f"/{found.bucket}/{found.key}"]


def read_range(header: str) -> tuple[int, int]:
    """First and last byte of an `x-amz-copy-source-range`. Raise `S3Error` InvalidArgument."""
    match = _RANGE.fullmatch(header)
    if match is None or int(match[2]) < int(match[1]):
        raise S3Error(
            "InvalidArgument",
            "The x-amz-copy-source-range value must be of the form bytes=first-last where first and last are the"
            " zero-based offsets of the first and last bytes to copy",
        )
    return int(match[1]), int(match[2])


def span(header: str, size_bytes: int) -> tuple[int, int]:
    """Offset and length; without a header the whole source. Raise `S3Error`, `RangeNotSatisfiable`."""
    if not header:
        return 0, size_bytes
    first, last = read_range(header)
    if last >= size_bytes:
        raise RangeNotSatisfiable(header, size_bytes)
    return first, last - first + 1
