"""Go time layouts."""

import pytest

from ais.api import gotime
from ais.base.errors import BadRequest

# 2023-03-07 04:05:09.012345 UTC, a Tuesday
MOMENT_NS = 1678161909_012_345_000


@pytest.mark.parametrize(
    ("layout", "text"),
    [
        ("", "07 Mar 23 04:05 UTC"),
        ("02 Jan 06 15:04 MST", "07 Mar 23 04:05 UTC"),
        ("02 Jan 06 15:04 -0700", "07 Mar 23 04:05 +0000"),
        ("2006-01-02T15:04:05Z07:00", "2023-03-07T04:05:09Z"),
        ("2006-01-02T15:04:05.999999999Z07:00", "2023-03-07T04:05:09.012345Z"),
        ("2006-01-02T15:04:05.000Z07:00", "2023-03-07T04:05:09.012Z"),
        ("Mon, 02 Jan 2006 15:04:05 MST", "Tue, 07 Mar 2023 04:05:09 UTC"),
        ("Monday, 02-Jan-06 15:04:05 MST", "Tuesday, 07-Mar-23 04:05:09 UTC"),
        ("Mon Jan _2 15:04:05 2006", "Tue Mar  7 04:05:09 2023"),
        ("3:04PM", "4:05AM"),
        ("1/2/2006 3:04:05 pm", "3/7/2023 4:05:09 am"),
        ("January 2, 2006", "March 7, 2023"),
        ("at 15h on day 002", "at 04h on day 066"),
        ("RFC3339", "2023-03-07T04:05:09Z"),
    ],
)
def test_layouts_are_written_as_go_writes_them(layout: str, text: str) -> None:
    """Each layout gives the text that Go's time.Format gives for the same moment."""
    assert gotime.formatter(layout)(MOMENT_NS) == text


def test_a_fraction_of_nines_disappears_when_it_is_zero() -> None:
    """`.999` drops trailing zeros, and the point with the last of them."""
    assert gotime.formatter("05.999")(1_000_000_000) == "01"


def test_no_time_is_an_empty_string() -> None:
    """An access time that is not known has no text."""
    assert gotime.formatter("")(0) == ""


def test_an_endless_layout_is_refused() -> None:
    """A layout has a length limit."""
    with pytest.raises(BadRequest):
        gotime.formatter("2006" * 100)
