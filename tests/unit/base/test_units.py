"""Durations and sizes: what people and the wire write."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ais.base.errors import BadRequest
from ais.base.units import Duration, Size, format_duration, format_size, parse_bool


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("10s", 10), ("1m30s", 90), ("2h", 7200), ("2h0m", 7200), ("500ms", 0.5), ("0", 0), ("1.5h", 5400), ("-2s", -2)],
)
def test_duration_reads_go_notation(text: str, seconds: float) -> None:
    """Every form Go prints is read."""
    assert Duration.parse(text) == pytest.approx(seconds)


def test_bare_integer_is_nanoseconds() -> None:
    """Go marshals a plain time.Duration as nanoseconds."""
    assert Duration.parse(2_000_000_000) == Duration.parse("2000000000") == 2.0


@pytest.mark.parametrize("text", ["", "s", "abc", "10 s", "1x", "1m x", "--1s", "1.2.3s"])
def test_bad_duration_names_the_input(text: str) -> None:
    """What is not a duration is refused, and the message shows it."""
    with pytest.raises(BadRequest, match="invalid duration"):
        Duration.parse(text)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"),
        (90, "1m30s"),
        (7200, "2h0m"),
        (3630, "1h0m30s"),
        (0.1, "100ms"),
        (0.0000015, "1.5µs"),
        (3661.5, "1h1m1.5s"),
        (-5, "-5s"),
    ],
)
def test_duration_is_written_as_go_does(seconds: float, text: str) -> None:
    """Trailing zero units are left out."""
    assert format_duration(seconds) == text


@given(st.integers(min_value=0, max_value=10**9))
def test_duration_survives_the_wire(milliseconds: int) -> None:
    """Writing and reading gives the same duration to the millisecond."""
    seconds = milliseconds / 1000
    assert Duration.parse(str(Duration(seconds))) == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("text", "size"),
    [("64KiB", 65536), ("1gb", 1 << 30), ("1.5k", 1536), ("12", 12), ("0", 0), (" 2 MiB ", 2 << 20), ("1TiB", 1 << 40)],
)
def test_size_reads_every_spelling(text: str, size: int) -> None:
    """Units are binary whatever their spelling."""
    assert Size.parse(text) == size


@pytest.mark.parametrize("text", ["", "KiB", "-1", "1x", "1 2", "0x10", "1e3"])
def test_bad_size_names_the_input(text: str) -> None:
    """What is not a size is refused."""
    with pytest.raises(BadRequest, match="invalid size"):
        Size.parse(text)


@given(st.integers(min_value=0, max_value=1 << 50))
def test_written_size_is_close(size: int) -> None:
    """Two digits after the point lose less than one percent."""
    assert abs(Size.parse(format_size(size)) - size) <= size * 0.01


def test_parse_bool_is_lenient() -> None:
    """Go's and Python's spellings of true are true; all else is false."""
    assert all(map(parse_bool, ("true", "True", "yes", "y", "ON", "1")))
    assert not any(map(parse_bool, ("", "false", "0", "no", "2")))
