"""Byte ranges."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ais.base.errors import RangeNotSatisfiable
from ais.target.ranges import content_range, parse_range


@pytest.mark.parametrize(
    ("spec", "size", "expected"),
    [
        ("bytes=0-0", 10, (0, 1)),
        ("bytes=2-5", 10, (2, 4)),
        ("bytes=5-", 10, (5, 5)),
        ("bytes=-3", 10, (7, 3)),
        ("bytes=-30", 10, (0, 10)),
        ("bytes=0-99", 10, (0, 10)),
        ("bytes= 9-9 ", 10, (9, 1)),
    ],
)
def test_one_range_is_clipped_to_the_object(spec: str, size: int, expected: tuple[int, int]) -> None:
    """First-last, first-to-end and last-n forms, an end behind the object cut off."""
    assert parse_range(spec, size) == expected


@pytest.mark.parametrize(
    "spec",
    [
        "bytes=10-",
        "bytes=10-12",
        "bytes=5-2",
        "bytes=-0",
        "bytes=-",
        "bytes=",
        "bytes=0-1,3-4",
        "items=0-1",
        "bytes=a-b",
        "bytes=--1",
        "bytes=1",
        "bytes=٣-٤",
        "",
        "bytes=" + "9" * 40 + "-",
    ],
)
def test_what_cannot_be_served_is_refused_with_the_size(spec: str) -> None:
    """Behind the end, several ranges and nonsense are all 416, and the answer carries the size."""
    with pytest.raises(RangeNotSatisfiable) as refused:
        parse_range(spec, 10)
    assert refused.value.size_bytes == 10


def test_an_empty_object_has_no_range() -> None:
    """Nothing of zero bytes can be asked for."""
    for spec in ("bytes=0-", "bytes=0-0", "bytes=-1"):
        with pytest.raises(RangeNotSatisfiable):
            parse_range(spec, 0)


@given(st.text(max_size=30).map(lambda text: "bytes=" + text) | st.text(max_size=30), st.integers(0, 1 << 50))
def test_any_text_gives_a_range_inside_the_object_or_a_refusal(spec: str, size: int) -> None:
    """No input makes a range that leaves the object or is empty, and no input raises anything else."""
    try:
        start, length = parse_range(spec, size)
    except RangeNotSatisfiable:
        return
    assert length >= 1
    assert 0 <= start <= start + length <= size


def test_content_range_names_first_last_and_size() -> None:
    """The header of a 206."""
    assert content_range(2, 4, 10) == "bytes 2-5/10"
