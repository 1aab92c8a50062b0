"""`ais object` and `ais ls` on a real cluster."""

import json
from typing import Any

import pytest


@pytest.fixture
def filled(ais: Any, uri: str) -> str:
    """A bucket with a few objects."""
    for name in ("a/1", "a/2", "a/x/3", "b", "c-01", "c-02", "c-10"):
        ais("put", "-", f"{uri}/{name}", stdin=b"x" * 2000)
    return uri


@pytest.mark.parametrize(
    ("words", "names"),
    [
        (("--prefix", "a/"), ["a/1", "a/2", "a/x/3"]),
        (("--nr",), ["a/", "b", "c-01", "c-02", "c-10"]),
        (("--nr", "--no-dirs"), ["b", "c-01", "c-02", "c-10"]),
        (("--template", "c-{01..05}"), ["c-01", "c-02"]),
        (("--regex", "[12]$"), ["a/1", "a/2", "c-01", "c-02"]),
        (("--start-after", "b"), ["c-01", "c-02", "c-10"]),
        (("--limit", "2"), ["a/1", "a/2"]),
        (("--limit", "1", "--regex", "^c"), ["c-01"]),
        (("--page-size", "2"), ["a/1", "a/2", "a/x/3", "b", "c-01", "c-02", "c-10"]),
    ],
    ids=" ".join,
)
def test_listing(words: tuple[str, ...], names: list[str], ais: Any, filled: str) -> None:
    """Listing options select what they say, in order, in the table and in JSON."""
    assert ais("ls", filled, *words, "--name-only", "-H").stdout.split() == names
    assert [entry["name"] for entry in json.loads(ais("ls", filled, *words, "--json").stdout)] == names
    assert ais("object", "ls", filled, *words, "--count-only").stdout == f"{len(names)}\n"


def test_listing_columns(ais: Any, filled: str) -> None:
    """Columns are those asked for, in AIStore's words."""
    header, first, *_ = ais("ls", f"{filled}/b", "--props", "size,version,checksum,status,copies").stdout.splitlines()
    assert header.split() == ["NAME", "SIZE", "VERSION", "CHECKSUM", "STATUS", "COPIES"]
    assert first.split()[:3] == ["b", "1.95KiB", "1"]
    assert first.split()[4:] == ["ok", "1"]
    header = ais("ls", filled, "--props", "all").stdout.splitlines()[0]
    assert header.split()[-2:] == ["CUSTOM", "LOCATION"]


def test_empty_listing(ais: Any, uri: str) -> None:
    """Nothing to list is said on stderr, and is an empty list in JSON."""
    shown = ais("ls", uri)
    assert (shown.stdout, "no objects" in shown.stderr) == ("", True)
    assert json.loads(ais("ls", uri, "-j").stdout) == []


def test_show_and_custom(ais: Any, filled: str) -> None:
    """An object's properties and custom metadata are shown, added to and replaced."""
    ais("object", "set-custom", f"{filled}/b", "k1=v1", "k2=a=b c")
    ais("object", "set-custom", f"{filled}/b", '{"k3": "v3"}')
    found = json.loads(ais("object", "show", f"{filled}/b", "-j").stdout)
    assert found["custom"] == {"k1": "v1", "k2": "a=b c", "k3": "v3"}
    assert (found["size"], found["version"]) == (2000, "1")
    ais("object", "set-custom", f"{filled}/b", "only=this", "--set-new-custom")
    assert "custom         only=this" in ais("show", "object", f"{filled}/b").stdout
    ais("put", "-", f"{filled}/n", "--custom", "a=1", "--custom", "b=2", stdin=b"x")
    assert json.loads(ais("object", "show", f"{filled}/n", "-j").stdout)["custom"] == {"a": "1", "b": "2"}


def test_move_and_copy(ais: Any, filled: str) -> None:
    """An object is renamed, copied, and many are copied under a prefix."""
    ais("object", "mv", f"{filled}/b", "moved/b")
    assert ais("object", "cat", f"{filled}/moved/b").stdout == "x" * 2000
    ais("object", "show", f"{filled}/b", code=3)
    ais("cp", f"{filled}/moved/b", f"{filled}/copy/")
    assert "finished" in ais("cp", filled, f"{filled}/all/", "--prefix", "a/", "--wait").stdout
    names = ais("ls", filled, "--name-only", "-H").stdout.split()
    assert {"copy/b", "all/a/1", "all/a/2", "all/a/x/3", "a/1"} <= set(names)


def test_copy_bucket(ais: Any, filled: str) -> None:
    """A whole bucket, or what a prefix chooses, is copied, under new names if asked; --dry-run only tells."""
    copy = f"{filled}-copy"
    assert ais("cp", filled, copy, "--dry-run").stdout.count("=>") == int(ais("ls", filled, "--count-only").stdout)
    ais("ls", copy, code=3)
    try:
        assert "is created" in ais("cp", filled, copy, "--wait").stderr
        assert ais("ls", copy, "--name-only", "-H").stdout == ais("ls", filled, "--name-only", "-H").stdout
        ais("bucket", "cp", f"{filled}/a/", copy, "--prepend", "old/", "--progress")
        assert "old/a/1" in ais("ls", copy, "--prefix", "old/", "--name-only").stdout
        job = ais("cp", filled, copy, "--list", "b,a/2", "--prepend", "listed-", "--nv").stdout.strip()
        ais("wait", job)
        assert ais("ls", copy, "--prefix", "listed-", "--name-only", "-H").stdout.split() == ["listed-a/2", "listed-b"]
    finally:
        ais("rmb", copy, "-y")
    assert "onto itself" in ais("cp", filled, filled, code=2).stderr
    assert "onto itself" in ais("cp", filled, f"{filled}/a/", "--prefix", "a/", code=2).stderr
    assert "where to?" in ais("cp", filled, code=2).stderr


def test_remove(ais: Any, filled: str) -> None:
    """Objects are removed by name, list, range and prefix; what was not there is named."""
    shown = ais("rmo", f"{filled}/a/1", f"{filled}/none", code=1)
    assert "none does not exist" in shown.stderr
    assert "1 failed, 1 removed" in shown.stderr
    assert "confirm with --yes" in ais("rmo", filled, "--all", code=2).stderr
    assert "Removed 2 objects" in ais("rmo", filled, "--template", "c-{01..02}").stdout
    assert "Removed 1 object " in ais("rmo", filled, "--list", "b").stdout
    assert "Removed 2 objects" in ais("object", "rm", filled, "--prefix", "a/").stdout
    assert "Removed 1 object " in ais("rmo", filled, "--all", "-y").stdout
    assert ais("ls", filled, "--count-only").stdout == "0\n"
    ais("rmo", f"{filled}/b", code=3)
