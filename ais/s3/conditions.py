"""Conditional requests (RFC 9110 §13 as S3 applies it): decide from the headers and what is there now."""

import functools
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import NamedTuple, Protocol

from ais.net.http import Headers
from ais.s3.errors import S3Error


class Current(NamedTuple):
    """The object a condition is about: entity tag (unquoted), time of last change (Unix seconds), size in bytes."""

    etag: str
    modified_s: float
    size: int = 0


class Conditions(NamedTuple):
    """What the headers demand; None where a header is absent or (as S3 does) an unreadable date."""

    match: str | None = None
    none_match: str | None = None
    modified_since_s: int | None = None
    unmodified_since_s: int | None = None
    size: int | None = None
    modified_s: int | None = None

    @property
    def any(self) -> bool:
        """Whether anything is demanded at all."""
        return self is not _NONE and self != _NONE


_NONE = Conditions()
_NAMES = frozenset(("if-match", "if-none-match", "if-modified-since", "if-unmodified-since"))


class Lookup(Protocol):
    """Headers by lower-case name: a mapping, or `ais.net.http.Headers`."""

    def get(self, name: str, /) -> str | None: ...


def read(headers: Lookup, prefix: str = "") -> Conditions:
    """From lower-case header names; `prefix` is `x-amz-copy-source-` for the source of a copy."""
    return Conditions(
        headers.get(f"{prefix}if-match"),
        headers.get(f"{prefix}if-none-match"),
        _seconds(headers.get(f"{prefix}if-modified-since")),
        _seconds(headers.get(f"{prefix}if-unmodified-since")),
    )


def of_request(headers: Headers) -> Conditions:
    """Those of the headers of a request."""
    return read(headers) if headers.has_any(_NAMES) else _NONE


def read_copy(headers: Lookup) -> Conditions:
    """Those of a copy's source. Raise `S3Error` InvalidArgument for what is no date: copied is only what was meant."""
    for name in ("if-modified-since", "if-unmodified-since"):
        text = headers.get(f"x-amz-copy-source-{name}")
        if text is not None:
            exact_time(text)
    return read(headers, "x-amz-copy-source-")


def read_delete(headers: Lookup) -> Conditions:
    """Those of a delete, which may also demand a size and a time. Raise `S3Error` InvalidArgument."""
    wanted = of_write(headers)
    return with_facts(wanted, headers.get("x-amz-if-match-last-modified-time"), headers.get("x-amz-if-match-size"))


def with_facts(wanted: Conditions, modified: str | None, size: str | None) -> Conditions:
    """With the last-modified time and size an object must have. Raise `S3Error` InvalidArgument for other text."""
    if size is not None and not (size.isascii() and size.isdigit() and len(size) < 19):
        raise S3Error("InvalidArgument", "The size an object must have is not a number of bytes", ArgumentValue=size)
    time_s = None if modified is None else exact_time(modified)
    return wanted._replace(size=None if size is None else int(size), modified_s=time_s)


def exact_time(text: str) -> int:
    """Unix seconds of a condition that may not be passed over. Raise `S3Error` InvalidArgument for no date."""
    seconds = _seconds(text)
    if seconds is None:
        try:
            date = datetime.fromisoformat(text)
        except ValueError:
            raise S3Error("InvalidArgument", "A date to compare with is no date", ArgumentValue=text[:100]) from None
        seconds = int((date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp())
    return seconds


def check_read(conditions: Conditions, current: Current) -> None:
    """For GET and HEAD: raise `S3Error` NotModified or PreconditionFailed."""
    _check_match(conditions, current)
    if conditions.none_match is not None:
        is_unchanged = _matches(conditions.none_match, current.etag)
    else:
        since_s = conditions.modified_since_s
        is_unchanged = since_s is not None and int(current.modified_s) <= since_s
    if is_unchanged:
        known = {"ETag": f'"{current.etag}"', "Last-Modified": http_date(current.modified_s)}
        raise S3Error("NotModified", "", known)


def check_copy_source(conditions: Conditions, current: Current) -> None:
    """For the source of a copy: everything that does not hold is PreconditionFailed."""
    _check_match(conditions, current)
    if conditions.none_match is not None and _matches(conditions.none_match, current.etag):
        raise S3Error("PreconditionFailed", Condition="x-amz-copy-source-if-none-match")
    if conditions.modified_since_s is not None and int(current.modified_s) <= conditions.modified_since_s:
        raise S3Error("PreconditionFailed", Condition="x-amz-copy-source-if-modified-since")


def check_write(conditions: Conditions, current: Current | None) -> None:
    """For PUT, complete, copy and delete, under the object's lock: raise `S3Error` PreconditionFailed or NoSuchKey."""
    if conditions.match is not None:
        if current is None:
            raise S3Error("NoSuchKey")
        if not _matches(conditions.match, current.etag):
            raise S3Error("PreconditionFailed", Condition="If-Match")
    if conditions.none_match is not None and current is not None and _matches(conditions.none_match, current.etag):
        raise S3Error("PreconditionFailed", Condition="If-None-Match")
    if conditions.size is not None or conditions.modified_s is not None:
        if current is None:
            raise S3Error("NoSuchKey")
        if conditions.size not in (None, current.size):
            raise S3Error("PreconditionFailed", Condition="x-amz-if-match-size")
        if conditions.modified_s not in (None, int(current.modified_s)):
            raise S3Error("PreconditionFailed", Condition="x-amz-if-match-last-modified-time")


def of_write(headers: Lookup) -> Conditions:
    """Those of a write. Raise `S3Error` for one that S3 does not define there, readable or not."""
    if any(headers.get(name) is not None for name in ("if-modified-since", "if-unmodified-since")):
        raise S3Error("NotImplemented", "If-Modified-Since and If-Unmodified-Since are not supported on writes")
    wanted = read(headers)
    if wanted.none_match is not None and wanted.none_match.strip() != "*":
        raise S3Error("NotImplemented", "If-None-Match on a write takes only *")
    return wanted


def _check_match(conditions: Conditions, current: Current) -> None:
    if conditions.match is not None:
        if not _matches(conditions.match, current.etag):
            raise S3Error("PreconditionFailed", Condition="If-Match")
    elif conditions.unmodified_since_s is not None and int(current.modified_s) > conditions.unmodified_since_s:
        raise S3Error("PreconditionFailed", Condition="If-Unmodified-Since")


def _matches(header: str, etag: str) -> bool:
    tags = [tag.strip().removeprefix("W/").strip('"') for tag in header.split(",")]
    return "*" in tags or etag in tags


def _seconds(date: str | None) -> int | None:
    if date is None:
        return None
    try:
        parsed = parsedate_to_datetime(date)
    except ValueError:
        return None
    return int((parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).timestamp())


def http_date(time_s: float) -> str:
    """`Wed, 21 Oct 2015 07:28:00 GMT`."""
    return datetime.fromtimestamp(int(time_s), UTC).strftime("%a, %d %b %Y %H:%M:%S GMT")


def iso_time(time_s: float) -> str:
    """`2015-10-21T07:28:00.000Z`, as in listings."""
    return iso_time_of_ms(int(time_s * 1000))


def iso_time_of_ms(time_ms: int) -> str:
    """The same of Unix milliseconds."""
    return f"{_iso_second(time_ms // 1000)}.{time_ms % 1000:03}Z"


@functools.lru_cache(maxsize=4096)
def _iso_second(time_s: int) -> str:
    return datetime.fromtimestamp(time_s, UTC).strftime("%Y-%m-%dT%H:%M:%S")
