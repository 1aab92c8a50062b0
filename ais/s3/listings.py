"""Listings of objects, versions and uploads: their parameters are read and checked, their documents written.

Source: Amazon S3 API reference, ListObjects, ListObjectsV2, ListObjectVersions, ListMultipartUploads; the order of the
elements and the wording of the errors are Amazon's. A page's entries (`ais.api.listing.Entry`) are keys and common
prefixes in one order; documents give all keys first.
"""

import base64
import binascii
import functools
import re
import zlib
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple
from urllib.parse import quote

import msgspec

from ais.api.listing import Entry, EntryFlag
from ais.base.ids import is_valid_uuid
from ais.s3 import xml
from ais.s3.conditions import iso_time_of_ms
from ais.s3.documents import owner
from ais.s3.errors import S3Error

LIMIT_MAX = 1000
"""Entries of a page, whatever a client asks for."""
NULL_VERSION = "null"
NOT_IN_V1 = {
    "continuation-token": "continuation-token only supported in REST.GET.BUCKET with list-type=2",
    "start-after": "startAfter only supported in REST.GET.BUCKET with list-type=2",
}
NOT_IN_V2 = {"marker": "Marker unsupported with REST.GET.BUCKET in list-type=2"}
_INT32_MAX = (1 << 31) - 1
_PLAIN = re.compile("[A-Za-z0-9_.*/-]*")
"""What is the same when it is encoded."""
_INTEGER = re.compile(r"[+-]?[0-9]{1,20}")


class Query(NamedTuple):
    """What all listings take. `encoding` is `encoding-type` as sent, empty when keys are to be written as they are.

    `inventory`: of a bucket at a backend, the name of the one to list by, empty for the one there is; None: none.
    """

    prefix: str
    delimiter: str
    limit: int
    encoding: str = ""
    inventory: str | None = None

    def encode(self, text: str) -> str:
        """How keys and what is compared with keys are written."""
        if not self.encoding:
            return text
        return quote(text, safe="/*").replace("%20", "+").replace("~", "%7E")

    def written(self, texts: list[str]) -> list[str]:
        """How keys stand in a document. Most are plain, which is found out about all at once."""
        if self.encoding and not _PLAIN.fullmatch("".join(texts)):
            texts = [self.encode(one) for one in texts]
        return xml.all_escaped(texts)


class Page(NamedTuple):
    """The entries of one page, and whether more follow."""

    entries: list[Entry]
    is_truncated: bool


def read_query(params: Mapping[str, str], limit_name: str = "max-keys") -> Query:
    """Read the parameters. Raise `S3Error` InvalidArgument."""
    limit = _limit(params.get(limit_name, ""), limit_name)
    encoding = params.get("encoding-type")
    if encoding is not None and encoding.lower() != "url":
        raise _invalid("Invalid Encoding Method specified in Request", "encoding-type", encoding)
    return Query(params.get("prefix", ""), params.get("delimiter", ""), limit, encoding or "")


def _limit(text: str, name: str) -> int:
    if not text:
        return LIMIT_MAX
    value = int(text) if _INTEGER.fullmatch(text) else _INT32_MAX + 1
    if not -_INT32_MAX <= value + 1 <= _INT32_MAX + 1:
        raise _invalid(f"Provided {name} not an integer or within integer range", name, text)
    if value < 0:
        name = "maxKeys" if name == "max-keys" else name
        raise _invalid(f"Argument {name} must be an integer between 0 and {_INT32_MAX}", name, str(value))
    return min(value, LIMIT_MAX)


def refuse(params: Mapping[str, str], reasons: Mapping[str, str]) -> None:
    """Raise `S3Error` InvalidArgument for the first of these parameters that is given."""
    for name, reason in reasons.items():
        if name in params:
            raise S3Error("InvalidArgument", reason, ArgumentName=name)


def encode_token(listing_id: str, after: str) -> str:
    """The continuation token of a listing that goes on behind an entry."""
    body = msgspec.msgpack.encode((listing_id, after))
    return base64.urlsafe_b64encode(zlib.crc32(body).to_bytes(4, "big") + body).decode()


def decode_token(token: str) -> tuple[str, str]:
    """Listing ID and entry of a token. Raise `S3Error` InvalidArgument for one that `encode_token` did not make."""
    try:
        value = base64.b64decode(token, altchars=b"-_", validate=True)
        listing_id, after = msgspec.msgpack.decode(value[4:], type=tuple[str, str])
    except (binascii.Error, ValueError, msgspec.DecodeError):
        raise _incorrect_token() from None
    if zlib.crc32(value[4:]).to_bytes(4, "big") != value[:4] or not is_valid_uuid(listing_id):
        raise _incorrect_token()
    return listing_id, after


def _incorrect_token() -> S3Error:
    return S3Error("InvalidArgument", "The continuation token provided is incorrect", ArgumentName="continuation-token")


def _invalid(message: str, name: str, value: str) -> S3Error:
    return S3Error("InvalidArgument", message, ArgumentName=name, ArgumentValue=value)


def objects(bucket: str, owner_name: str, query: Query, marker: str, page: Page) -> bytes:
    """The `ListBucketResult` of ListObjects."""
    next_marker = page.entries[-1].n if page.is_truncated and query.delimiter else None
    nodes = [
        ("Name", bucket),
        ("Prefix", query.encode(query.prefix)),
        ("Marker", query.encode(marker)),
        *_optional("NextMarker", next_marker, query),
        ("MaxKeys", query.limit),
        *_shape(query, page),
        *_contents(page, query, owner_name),
    ]
    return xml.document("ListBucketResult", nodes)


def objects_v2(
    bucket: str,
    owner_name: str | None,
    query: Query,
    page: Page,
    *,
    start_after: str | None = None,
    token: str | None = None,
    next_token: str | None = None,
) -> bytes:
    """The `ListBucketResult` of ListObjectsV2. Owner None leaves it out; a token displaces `start_after`."""
    nodes: list[xml.Node] = [("Name", bucket), ("Prefix", query.encode(query.prefix))]
    if token is not None:
        nodes.append(("ContinuationToken", token))
    elif start_after is not None:
        nodes.append(("StartAfter", query.encode(start_after)))
    if next_token is not None:
        nodes.append(("NextContinuationToken", next_token))
    nodes += [
        ("KeyCount", len(page.entries)),
        ("MaxKeys", query.limit),
        *_shape(query, page),
        *_contents(page, query, owner_name),
    ]
    return xml.document("ListBucketResult", nodes)


def versions(bucket: str, owner_name: str, query: Query, key_marker: str, version_id_marker: str, page: Page) -> bytes:
    """The `ListVersionsResult` of ListObjectVersions."""
    next_key, next_version_id = _next_markers(page)
    nodes = [
        ("Name", bucket),
        ("Prefix", query.encode(query.prefix)),
        ("KeyMarker", query.encode(key_marker)),
        ("VersionIdMarker", version_id_marker),
        *_optional("NextKeyMarker", next_key, query),
        *_optional("NextVersionIdMarker", next_version_id, None),
        ("MaxKeys", query.limit),
        *_shape(query, page),
        _versions(page, query, owner_name),
        *_common_prefixes(page, query),
    ]
    return xml.document("ListVersionsResult", nodes)


def uploads(bucket: str, owner_name: str, query: Query, key_marker: str, upload_id_marker: str, page: Page) -> bytes:
    """The `ListMultipartUploadsResult` of ListMultipartUploads."""
    next_key, next_upload_id = _next_markers(page)
    nodes = [
        ("Bucket", bucket),
        ("KeyMarker", query.encode(key_marker)),
        ("UploadIdMarker", upload_id_marker),
        *_optional("NextKeyMarker", next_key, query),
        *_optional("NextUploadIdMarker", next_upload_id, None),
        ("Prefix", query.encode(query.prefix)),
        ("MaxUploads", query.limit),
        *_shape(query, page),
        *(_upload(entry, query, owner_name) for entry in page.entries if not entry.is_dir),
        *_common_prefixes(page, query),
    ]
    return xml.document("ListMultipartUploadsResult", nodes)


def key_of(entry: Entry) -> str:
    """The key of a version or upload."""
    return entry.n.partition("\0")[0]


def _next_markers(page: Page) -> tuple[str | None, str | None]:
    """Key and ID behind which the next page of versions or uploads begins; a common prefix has no ID."""
    if not page.is_truncated:
        return None, None
    last = page.entries[-1]
    return (last.n, None) if last.is_dir else (key_of(last), last.v or NULL_VERSION)


def _optional(name: str, value: str | None, query: Query | None) -> list[xml.Node]:
    if value is None:
        return []
    return [(name, query.encode(value) if query else value)]


def _shape(query: Query, page: Page) -> Iterator[xml.Node]:
    if query.delimiter:
        yield "Delimiter", query.encode(query.delimiter)
    if query.encoding:
        yield "EncodingType", query.encoding
    yield "IsTruncated", page.is_truncated


def _contents(page: Page, query: Query, owner_name: str | None) -> Iterator[xml.Node]:
    found = [entry for entry in page.entries if not entry.is_dir]
    owner_of, checksum_of = _Owners(owner_name).written, functools.cache(_checksum)
    yield xml.Markup(
        "".join(
            f"<Contents><Key>{key}</Key><LastModified>{iso_time_of_ms(entry.i // 1_000_000)}</LastModified>"
            f"{_content(entry, checksum_of)}{owner_of(entry.u) if owner_name is not None else ''}</Contents>"
            for entry, key in zip(found, query.written([entry.n for entry in found]), strict=True)
        )
    )
    yield from _common_prefixes(page, query)


def _common_prefixes(page: Page, query: Query) -> Iterator[xml.Node]:
    keys = query.written([entry.n for entry in page.entries if entry.is_dir])
    yield xml.Markup("".join(f"<CommonPrefixes><Prefix>{key}</Prefix></CommonPrefixes>" for key in keys))


class _Owners:
    """How the owners of a page's entries are written; most have the same."""

    def __init__(self, default: str | None) -> None:
        self._default = default
        self.written = functools.cache(self._written)

    def _written(self, name: str) -> str:
        return xml.written([("Owner", owner(name or self._default or ""))])


def _content(entry: Entry, checksum_of: Callable[[str, str], str]) -> str:
    """What objects have and delete markers do not."""
    return (
        f"<ETag>&quot;{xml.escaped(entry.e)}&quot;</ETag>{checksum_of(entry.k, entry.y)}"
        f"<Size>{entry.s}</Size><StorageClass>STANDARD</StorageClass>"
    )


def _checksum(algorithm: str, kind: str) -> str:
    return xml.written([("ChecksumAlgorithm", algorithm), ("ChecksumType", kind)]) if algorithm else ""


def _versions(page: Page, query: Query, owner_name: str) -> xml.Node:
    """Versions and delete markers, in the order of the page."""
    found = [entry for entry in page.entries if not entry.is_dir]
    owner_of, checksum_of = _Owners(owner_name).written, functools.cache(_checksum)
    pieces = []
    for entry, key in zip(found, query.written([key_of(entry) for entry in found]), strict=True):
        is_marker = bool(entry.f & EntryFlag.DELETE_MARKER)
        kind = "DeleteMarker" if is_marker else "Version"
        is_latest = "true" if entry.f & EntryFlag.LATEST else "false"
        pieces.append(
            f"<{kind}><Key>{key}</Key><VersionId>{entry.v or NULL_VERSION}</VersionId><IsLatest>{is_latest}</IsLatest>"
            f"<LastModified>{iso_time_of_ms(entry.i // 1_000_000)}</LastModified>"
            f"{'' if is_marker else _content(entry, checksum_of)}{owner_of(entry.u)}</{kind}>"
        )
    return xml.Markup("".join(pieces))


def _upload(entry: Entry, query: Query, owner_name: str) -> xml.Node:
    return "Upload", [
        ("Key", query.encode(key_of(entry))),
        ("UploadId", entry.v),
        ("Initiator", owner(entry.u)),
        ("Owner", owner(owner_name)),
        ("StorageClass", "STANDARD"),
        ("Initiated", iso_time_of_ms(entry.i // 1_000_000)),
        xml.Markup(_checksum(entry.k, entry.y)),
    ]
