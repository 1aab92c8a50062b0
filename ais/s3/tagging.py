"""Tags of objects and buckets: limits, the XML document and the `x-amz-tagging` header."""

import re
from collections.abc import Mapping
from urllib.parse import parse_qsl

from ais.s3 import xml
from ais.s3.errors import S3Error

OBJECT_TAGS_MAX = 10
BUCKET_TAGS_MAX = 50
KEY_LEN_MAX = 128
VALUE_LEN_MAX = 256
_ALLOWED = re.compile(r"[\w\s+\-=.:/@]*")


def parse_document(body: bytes, tags_max: int) -> dict[str, str]:
    """The tags of a `Tagging` document. Raise `S3Error`."""
    root = xml.parse(body, "Tagging")
    xml.only_children(root, "TagSet")
    tag_set = root.find("TagSet")
    if tag_set is None:
        raise S3Error("MalformedXML", "<Tagging> lacks a <TagSet>")
    xml.only_children(tag_set, "Tag")
    for tag in tag_set:
        xml.only_children(tag, "Key", "Value")
    return checked([(xml.text(tag, "Key"), xml.text(tag, "Value")) for tag in tag_set], tags_max)


def parse_header(value: str) -> dict[str, str]:
    """The tags of an `x-amz-tagging` header (`k=v&k2=v2`). Raise `S3Error`."""
    try:
        pairs = parse_qsl(value, keep_blank_values=True, strict_parsing=bool(value), errors="strict")
    except ValueError:
        pairs = [("", ""), ("", "")]
    if len(dict(pairs)) != len(pairs):
        raise S3Error(
            "InvalidArgument",
            "The header 'x-amz-tagging' shall be encoded as UTF-8 then URLEncoded URL query parameters without tag name"
            " duplicates.",
        )
    return checked(pairs, OBJECT_TAGS_MAX)


def checked(pairs: list[tuple[str, str]], tags_max: int) -> dict[str, str]:
    """Pairs as a dict. Raise `S3Error` for a duplicate, too many, or a tag outside the rules."""
    if len(pairs) > tags_max:
        raise S3Error(
            "BadRequest" if tags_max == OBJECT_TAGS_MAX else "InvalidTag", f"There can be at most {tags_max} tags"
        )
    for key, value in pairs:
        if not key or len(key) > KEY_LEN_MAX or not _ALLOWED.fullmatch(key) or key.startswith("aws:"):
            raise S3Error("InvalidTag", f'The tag key "{key}" is not valid')
        if len(value) > VALUE_LEN_MAX or not _ALLOWED.fullmatch(value):
            raise S3Error("InvalidTag", f'The value of the tag "{key}" is not valid')
    tags = dict(pairs)
    if len(tags) != len(pairs):
        raise S3Error("InvalidTag", "Cannot provide multiple tags with the same key")
    return tags


def document(tags: Mapping[str, str]) -> bytes:
    """The `Tagging` document of tags."""
    return xml.document(
        "Tagging", [("TagSet", [("Tag", [("Key", key), ("Value", value)]) for key, value in tags.items()])]
    )
