"""What the S3 API keeps about an object beside its bytes, as request headers, as stored facts, as answer headers.

Facts are a flat map of text in the object's metadata. Keys: `etag` (unquoted), the content headers by lower-case name,
`tagging` (as in the x-amz-tagging header), `checksum-algorithm`, `checksum`, `checksum-type`, `upload-id`.
User metadata (`x-amz-meta-*`) is custom metadata under its full lower-case name, so that the native API shows it.
"""

import base64
from collections.abc import Iterator, Mapping
from email.errors import HeaderParseError
from email.header import decode_header, make_header
from urllib.parse import parse_qsl, urlencode

from ais.s3 import tagging
from ais.s3.checksums import ALGORITHMS, FULL_OBJECT, Algorithm, encode
from ais.s3.errors import S3Error
from ais.s3.front import S3Request

Facts = dict[str, str]

_CHECKSUM_TYPE = "x-amz-checksum-type"
USER_PREFIX = "x-amz-meta-"
USER_BYTES_MAX = 2048
CONTENT_TYPE_DEFAULT = "binary/octet-stream"
CONTENT_HEADERS = {
    "cache-control": "Cache-Control",
    "content-disposition": "Content-Disposition",
    "content-encoding": "Content-Encoding",
    "content-language": "Content-Language",
    "content-type": "Content-Type",
    "expires": "Expires",
}
"""Kept with the object and given back; by fact key, as answers spell them."""
REDIRECT = "x-amz-website-redirect-location"
REDIRECT_LEN_MAX = 2048
STORAGE_CLASS = "STANDARD"


def of_request(request: S3Request) -> Facts:
    """Content headers and tags that a PUT, copy or create-upload brings. Raise `S3Error` for what we do not have."""
    if request.header("x-amz-storage-class", STORAGE_CLASS) != STORAGE_CLASS:
        raise S3Error("InvalidStorageClass")
    facts = {name: request.headers[name][0] for name in CONTENT_HEADERS if name in request.headers}
    if redirect := request.header(REDIRECT):
        if not redirect.startswith(("/", "http://", "https://")) or len(redirect) > REDIRECT_LEN_MAX:
            raise S3Error("InvalidRedirectLocation")
        facts[REDIRECT] = redirect
    if encoding := facts.pop("content-encoding", ""):
        codings = [one.strip() for one in encoding.split(",")]
        kept = ", ".join(one for one in codings if one and one.lower() != "aws-chunked")
        if kept:
            facts["content-encoding"] = kept
    if (given := request.header("x-amz-tagging")) and (tags := tagging.parse_header(given)):
        facts["tagging"] = urlencode(tags)
    return facts


def user_metadata(request: S3Request) -> dict[str, str]:
    """The `x-amz-meta-*` headers. Raise `S3Error` MetadataTooLarge, InvalidArgument."""
    custom = {
        name: _decoded(",".join(values)) for name, values in request.headers.items() if name.startswith(USER_PREFIX)
    }
    size = sum(len(name) - len(USER_PREFIX) + len(value.encode()) for name, value in custom.items())
    if size > USER_BYTES_MAX:
        raise S3Error("MetadataTooLarge", Size=str(size), MaxSizeAllowed=str(USER_BYTES_MAX))
    for name, value in custom.items():
        if name == USER_PREFIX or not value.isprintable():
            raise S3Error("InvalidArgument", f"The header {name} has no name or a value that cannot be kept")
    return custom


def encoded_word(text: str) -> str:
    """Text outside ASCII as a header carries it (RFC 2047)."""
    return f"=?UTF-8?B?{base64.b64encode(text.encode()).decode()}?="


def _decoded(text: str) -> str:
    """What a client meant by encoded words; other text as it is."""
    if "=?" not in text:
        return text
    try:
        return str(make_header(decode_header(text)))
    except (HeaderParseError, LookupError, UnicodeError, ValueError):
        return text


def with_checksum(facts: Facts, algorithm: Algorithm, value: str, checksum_type: str) -> Facts:
    """With the checksum of the content."""
    return {
        **facts,
        "checksum-algorithm": algorithm.name,
        "checksum": value,
        "checksum-type": checksum_type,
    }


def of_content(facts: Facts, md5: bytes, algorithm: Algorithm | None, digest: bytes) -> Facts:
    """With what was computed while the content of a whole object arrived."""
    facts = {**facts, "etag": md5.hex()}
    return facts if algorithm is None else with_checksum(facts, algorithm, encode(digest), FULL_OBJECT)


def etag_of(facts: Mapping[str, str], checksum_kind: str, checksum: str, mtime_ns: int, size: int) -> str:
    """The entity tag, unquoted. Of an object not written over S3 it changes with the content, and looks like that of a
    multipart upload unless it is an MD5: clients compare what looks like one.
    """
    if given := facts.get("etag"):
        return given
    if checksum_kind == "md5":
        return checksum
    return f"{checksum or f'{mtime_ns:x}{size:x}'}-1"


def tags_of(facts: Mapping[str, str]) -> dict[str, str]:
    """The object's tags."""
    return dict(parse_qsl(facts.get("tagging", ""), keep_blank_values=True))


def with_tags(facts: Facts, tags: Mapping[str, str]) -> Facts:
    """With these tags instead of those there were."""
    kept = {key: value for key, value in facts.items() if key != "tagging"}
    return {**kept, "tagging": urlencode(tags)} if tags else kept


def checksum_of(facts: Mapping[str, str]) -> tuple[Algorithm, str, str] | None:
    """Algorithm, value and type of the content's checksum."""
    name = facts.get("checksum-algorithm")
    return (ALGORITHMS[name], facts["checksum"], facts["checksum-type"]) if name in ALGORITHMS else None


def part_checksums_of(facts: Mapping[str, str]) -> list[str]:
    """The checksum of each part in order; empty when they are not known."""
    found = checksum_of(facts)
    if found is None or "part-checksums" not in facts:
        return []
    digests, size = base64.b64decode(facts["part-checksums"]), found[0].size_bytes
    return [encode(digests[at : at + size]) for at in range(0, len(digests), size)]


def answer_lines(facts: Mapping[str, str], custom: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Content headers, user metadata and tag count of a GET or HEAD."""
    yield "Content-Type", facts.get("content-type", CONTENT_TYPE_DEFAULT)
    for key, name in CONTENT_HEADERS.items():
        if key in facts and key != "content-type":
            yield name, facts[key]
    if REDIRECT in facts:
        yield REDIRECT, facts[REDIRECT]
    for name, value in custom.items():
        if name.lower().startswith(USER_PREFIX):
            yield name.lower(), value if value.isascii() else encoded_word(value)
    if tags := tags_of(facts):
        yield "x-amz-tagging-count", str(len(tags))


def checksum_lines(facts: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """The checksum headers of an answer."""
    if found := checksum_of(facts):
        algorithm, value, checksum_type = found
        yield algorithm.header, value
        yield _CHECKSUM_TYPE, checksum_type


def checksum_text(header: str, value: str, checksum_type: str) -> str:
    """The same as header lines, where it is known what the checksum is."""
    return f"{header}: {value}\r\n{_CHECKSUM_TYPE}: {checksum_type}\r\n"
