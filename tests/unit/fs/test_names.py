"""Object names as paths."""

import os
import string

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ais.fs import names

_AWKWARD = st.sampled_from(
    ["", ".", "..", "%", "%=", "%+", "=", "+", "%%", "a", "a" * 240, "a" * 241, "é" * 130, "\U0001f600" * 70]
)
_TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0/"), max_size=12)
_COMPONENT = _AWKWARD | _TEXT | st.tuples(_AWKWARD, _TEXT).map("".join)
NAMES = st.lists(_COMPONENT, min_size=1, max_size=6).map("/".join).filter(lambda name: 0 < len(name.encode()) <= 1024)


@given(NAMES)
@example("%=")
@example("a/")
@example("/" * 1024)
@example("x" * 1024)
def test_a_path_reads_back(name: str) -> None:
    """Every name of an S3 key has a path, and the path gives the name."""
    path = names.to_path(name)
    assert names.from_path(path) == name
    assert names.from_path(f"{path}/{names.SELF}") == name


@given(NAMES, NAMES)
def test_names_never_share_a_path(one: str, other: str) -> None:
    """Different names have different files, and no file is where another name needs `%=`."""
    assert (names.to_path(one) == names.to_path(other)) == (one == other)
    assert names.to_path(one) != f"{names.to_path(other)}/{names.SELF}"


@given(NAMES)
def test_a_file_system_takes_every_path(name: str) -> None:
    """No entry is empty, special or longer than 255 bytes, and a mountpath may be 2000 bytes deep."""
    path = names.to_path(name)
    for entry in path.split("/"):
        assert entry not in ("", ".", "..")
        assert len(os.fsencode(entry)) <= 255
    assert len(os.fsencode(path)) < 2096


@given(NAMES)
def test_a_directory_holds_the_names_that_begin_with_it(prefix: str) -> None:
    """Names below `prefix/` lie below its directory path."""
    assert names.to_path(f"{prefix}/x") == f"{names.directory_path(prefix + '/')}/x"


@pytest.mark.parametrize(
    "name", ["a", "dir/obj-000.tar", "_/-.x", ".hidden/..x", "é/ü", string.printable.replace("/", "").replace("%", "")]
)
def test_ordinary_names_are_their_own_path(name: str) -> None:
    """The data can be found on disk without us."""
    assert names.to_path(name) == name


@pytest.mark.parametrize("name", ["a" * 240, "d/" * 400 + "a", "é/" * 200 + "a", "é" * 60])
def test_long_names_of_ordinary_components_are_not_taken_apart(name: str) -> None:
    """They are given back as they came, one by one and many together: joining what was cut costs more than a read."""
    assert names.to_path(name) is name
    some = ["train/" * 30 + "a", "b"]
    assert names.to_paths(some) is some


def test_escapes_are_those_documented() -> None:
    """The on-disk form is a format: it may not change."""
    assert names.to_path("a//./../%x/") == "a/%/%./%../%%x/%"
    assert names.to_path("y" * 500) == f"%+{'y' * 240}/%+{'y' * 240}/{'y' * 20}"
    assert names.to_path("y" * 240 + ".") == f"%+{'y' * 240}/%."


@pytest.mark.parametrize("path", ["%x", "a/%b", "%=/a"])
def test_foreign_paths_are_refused(path: str) -> None:
    """A file we did not name is no object."""
    with pytest.raises(ValueError, match="not the path of an object"):
        names.from_path(path)


@given(st.lists(NAMES, max_size=4))
def test_many_paths_are_those_of_each(some: list[str]) -> None:
    """Whatever is among them."""
    assert names.to_paths(some) == [names.to_path(name) for name in some]
