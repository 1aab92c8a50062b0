"""Values as text, and text as values, without a cluster."""

import pytest
from ais_cli import app, props, text
from ais_cli.params import node_id
from ais_cli.text import Column, TableWriter
from ais_cli.waiting import least_progress
from click.testing import CliRunner

from ais.api.xact import Progress, Snap
from ais.base.errors import BadRequest, BucketNotFound, NotReady, ObjectNotFound
from ais.client.failures import NoConnection


def test_columns_are_aligned() -> None:
    """Numbers are aligned right, text left, wide characters count twice, and no line ends with blanks."""

    def write() -> None:
        table = TableWriter([Column("NAME"), Column("SIZE", is_number=True), Column("X")])
        table.write([["日本", "1B", ""], ["abc", "10.00KiB", "y"]])
        table.write([["longer-name", "2B", "z"]])

    with CliRunner().isolation() as (out, *_):
        write()
        lines = out.getvalue().decode().splitlines()
    assert lines == [
        "NAME      SIZE  X",
        "日本        1B",
        "abc   10.00KiB  y",
        "longer-name        2B  z",
    ]


@pytest.mark.parametrize(
    ("count", "expected"), [(0, "0B"), (1023, "1023B"), (1024, "1.00KiB"), (1536, "1.50KiB"), (5 << 40, "5.00TiB")]
)
def test_size(count: int, expected: str) -> None:
    """Sizes are IEC with two digits, bytes exact."""
    assert text.size(count) == expected


def test_names_cannot_break_the_terminal() -> None:
    """Control characters of object names are escaped before they are printed."""
    assert text.printable("a\x1b[31m\nb\u202e") == "a\\x1b[31m\\nb\\u202e"
    assert text.printable("größe 日本") == "größe 日本"


def test_flatten() -> None:
    """Nested JSON becomes dotted names; lists and booleans read as people write them."""
    tree = {"a": {"b": True, "c": {}}, "d": ["x", "y"], "e": "", "f": None}
    assert text.flatten(tree) == {"a.b": "true", "a.c": "-", "d": "x,y", "e": "-", "f": "-"}


def test_property_assignments() -> None:
    """Words become JSON of the right types; access and features take names."""
    words = ["versioning.enabled=false", "mirror.copies=3", "checksum.type=md5", "access=ro", "features=Fsync-PUT"]
    assert props.parse_assignments(words) == {
        "versioning": {"enabled": False},
        "mirror": {"copies": 3},
        "checksum": {"type": "md5"},
        "access": str(1 << 0 | 1 << 1 | 1 << 8 | 1 << 9),
        "features": "16",
    }
    assert props.parse_assignments(['{"mirror": {"copies": 2}}']) == {"mirror": {"copies": 2}}


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("versoning.enabled=true", 'did you mean "versioning.enabled"'),
        ("mirror.copies=many", "whole number"),
        ("versioning.enabled=maybe", "true or false"),
        ("versioning=true", "group of properties"),
        ("versioning.enabled", "NAME=VALUE"),
        ("access=GET,FLY", 'unknown access permission "FLY"'),
    ],
)
def test_bad_property(word: str, message: str) -> None:
    """A property that does not exist or cannot have the value is refused with what to write instead."""
    with pytest.raises(BadRequest, match=message):
        props.parse_assignments([word])


def test_errors_say_what_to_do() -> None:
    """Each usual error carries a sentence about the next step."""
    assert "ais playground start" in app.describe(NoConnection("http://h:1", "connection refused"))
    assert "'ais ls'" in app.describe(BucketNotFound("ais://b"))
    assert "--prefix" in app.describe(ObjectNotFound("ais://b/o"))
    assert "ais wait cluster" in app.describe(NotReady("starting"))


def test_node_names() -> None:
    """A node may be named as tables show it."""
    assert [node_id(text) for text in ("abc", "t[abc]", "p[abc]", "p[abc][P]")] == ["abc"] * 4


def test_a_job_is_as_far_as_the_target_that_is_behind() -> None:
    """The least share is the least number, not the least text; targets that know no share are left out."""
    shares = [(99, 100), (9, 100), (10, 100)]
    snaps = [Snap(id="x", kind="lru", progress=Progress(done, total)) for done, total in shares]
    assert least_progress([Snap(id="x", kind="lru"), *snaps]).startswith("9%")
    assert least_progress([Snap(id="x", kind="lru")]) == ""
