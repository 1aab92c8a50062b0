"""Byte ranges of a GET (wire contract §10.1, RFC 9110 §14): one range, exactly clipped, or a refusal."""

import re

from ais.base.errors import RangeNotSatisfiable

_ONE = re.compile(r"bytes=[ \t]*([0-9]{0,19})-([0-9]{0,19})[ \t]*")


def parse_range(spec: str, size_bytes: int) -> tuple[int, int]:
    """Offset and length that a `Range` header asks of an object of `size_bytes`; the length is at least 1.

    An end behind the object is clipped. Raise `RangeNotSatisfiable` for a start behind it, several ranges, or nonsense.
    """
    match = _ONE.fullmatch(spec)
    if match is None:
        raise RangeNotSatisfiable(spec, size_bytes)
    first, last = match.groups()
    if first:
        start = int(first)
        end = min(int(last), size_bytes - 1) if last else size_bytes - 1
        if start >= size_bytes or (last and int(last) < start):
            raise RangeNotSatisfiable(spec, size_bytes)
        return start, end - start + 1
    if not last or int(last) == 0 or size_bytes == 0:
        raise RangeNotSatisfiable(spec, size_bytes)
    length = min(int(last), size_bytes)
    return size_bytes - length, length


def parse_byte_range(spec: str, size_bytes: int) -> tuple[int, int] | None:
    """As `parse_range`, but what is no single byte range is ignored, as S3 does: None means the whole object."""
    match = _ONE.fullmatch(spec)
    if match is None:
        return None
    first, last = match.groups()
    is_backwards = bool(first and last and int(last) < int(first))
    return None if is_backwards or not (first or last) else parse_range(spec, size_bytes)


def content_range(start: int, length: int, size_bytes: int) -> str:
    """The `Content-Range` value of a 206."""
    return f"bytes {start}-{start + length - 1}/{size_bytes}"
