"""Copy sources and their ranges."""

import pytest

from ais.base.errors import RangeNotSatisfiable
from ais.s3 import copy_source
from ais.s3.errors import S3Error


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("b/k", ("b", "k", None)),
        ("/b/a%20b/c", ("b", "a b/c", None)),
        ("b/%2Fk%3FversionId%3D1", ("b", "/k?versionId=1", None)),
        ("b/k?versionId=null", ("b", "k", "null")),
        ("b/a+b", ("b", "a+b", None)),
        ("%2Fb%2Fk", ("b", "k", None)),
    ],
)
def test_a_source_is_named(header: str, expected: tuple[str, str, str | None]) -> None:
    """Bucket, key and version, with and without the leading slash, percent-encoded."""
    assert copy_source.read(header) == expected


@pytest.mark.parametrize("header", ["", "b", "/b/", "/", "b/%FF", "b/%00"])
def test_what_names_nothing_is_refused(header: str) -> None:
    """A source without a bucket, a key or valid UTF-8."""
    with pytest.raises(S3Error) as caught:
        copy_source.read(header)
    assert caught.value.code == "InvalidArgument"


def test_spans() -> None:
    """Both ends are given and lie in the source; without a range it is all of it."""
    assert copy_source.span("", 10) == (0, 10)
    assert copy_source.span("bytes=2-9", 10) == (2, 8)
    with pytest.raises(RangeNotSatisfiable):
        copy_source.span("bytes=2-10", 10)
    for header in ("bytes=2-", "bytes=-2", "2-3", "bytes=3-2"):
        with pytest.raises(S3Error):
            copy_source.span(header, 10)
