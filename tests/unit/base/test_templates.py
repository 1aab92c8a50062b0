"""Range templates: what they stand for, and what is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ais.base import templates
from ais.base.errors import BadRequest


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("shard-{8..11}.tar", ["shard-8.tar", "shard-9.tar", "shard-10.tar", "shard-11.tar"]),
        ("a{001..005..2}", ["a001", "a003", "a005"]),
        ("{0..1}-{0..1}x", ["0-0x", "0-1x", "1-0x", "1-1x"]),
        ("p-@2.bin", ["p-0.bin", "p-1.bin", "p-2.bin"]),
        ("d/{7..7}", ["d/7"]),
    ],
)
def test_names(text: str, names: list[str]) -> None:
    """A template gives its names in order, the rightmost range fastest, padded to the width of the start."""
    template = templates.parse(text)
    assert list(template) == names
    assert len(template) == len(names)
    assert not template.is_prefix


@pytest.mark.parametrize("text", ["", "dir/", "plain", "user@host"])
def test_prefix(text: str) -> None:
    """A text without a range is a prefix and matches what begins with it."""
    template = templates.parse(text)
    assert template.is_prefix
    assert template.matches(text + "more")


@pytest.mark.parametrize(
    "text",
    [
        *("{1..2", "1..2}", "{a..b}", "{}", "{a,b}", "{5..1}", "{1..5..0}", "{1.. 2}", "{0..9}" * 9, "{1..99999999}"),
        *("{1..9999999999999999999}", "@9999999999999999999", "x" * 5000),
    ],
)
def test_refused(text: str) -> None:
    """Malformed, shrinking and huge templates are refused with a message that quotes them."""
    with pytest.raises(BadRequest, match="template"):
        templates.parse(text)


def test_largest_is_lazy() -> None:
    """The largest allowed template is counted and begun without making its names."""
    template = templates.parse("{0..9999999}")
    assert len(template) == templates.NAMES_MAX
    assert next(iter(template)) == "0"


@given(st.integers(0, 500), st.integers(0, 60), st.integers(1, 7), st.integers(1, 5), st.integers(0, 700))
def test_matching_agrees_with_naming(start: int, count: int, step: int, width: int, probe: int) -> None:
    """A name matches exactly when the template generates it."""
    template = templates.parse(f"s{{{start:0{width}d}..{start + count}..{step}}}.x")
    names = set(template)
    assert all(template.matches(name) for name in names)
    for candidate in (f"s{probe}.x", f"s{probe:0{width}d}.x", f"s{probe}.y", f"t{probe}.x"):
        assert template.matches(candidate) == (candidate in names)


@pytest.mark.parametrize(
    "text", ["{0..1}{10..11}", "{8..11}{0..9}1", "a{1..12}{00..02}{1..2}", "@3@11", "{1..2}1{1..11}"]
)
def test_matching_where_ranges_meet(text: str) -> None:
    """However many ways there are to part the digits of a name, it matches when one of them is right."""
    template = templates.parse(text)
    names = set(template)
    assert all(template.matches(name) for name in names)
    others = {name[:at] + digit + name[at:] for name in names for at in range(len(name) + 1) for digit in "01"}
    assert [name for name in others if template.matches(name) != (name in names)] == []


def test_matching_looks_at_each_place_once() -> None:
    """A name of many digits can be parted among ranges in more ways than can be tried."""
    template = templates.parse("{0..9}" * 7)
    assert not template.matches("1" * 120 + "x")
    assert template.matches("1" * 7)


def test_star_at_the_end() -> None:
    """A prefix may be written with a star, as AIStore's command line sends it; a range may not."""
    assert templates.parse("a*").prefix == "a"
    assert templates.parse("*").matches("anything")
    assert templates.parse("a{0..1}*").matches("a0*")
