"""Which files a put means, under which names, and what is reported instead of being left out."""

import os
from pathlib import Path

import pytest
from ais_cli.sources import Source, all_files

from ais.base.errors import BadRequest


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A directory `d` with files on two levels."""
    for name in ("d/a.jpg", "d/b.txt", "d/sub/c.jpg", "d/sub/deep/e.jpg", "s-01.tar", "s-02.tar"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
    return tmp_path


def names(source: Source) -> list[str]:
    """Object names of a source's files."""
    return [file.name for file in source.files()]


def test_directory(tree: Path) -> None:
    """A directory gives its files; the ones further down only when asked, and it is known that there are some."""
    source = Source(str(tree / "d"))
    assert names(source) == ["a.jpg", "b.txt"]
    assert source.directories_left_out == 1
    assert names(Source(str(tree / "d"), recursive=True)) == ["a.jpg", "b.txt", "sub/c.jpg", "sub/deep/e.jpg"]
    assert names(Source(str(tree / "d"), destination="x/", include_directory=True)) == ["x/d/a.jpg", "x/d/b.txt"]
    assert names(Source(str(tree / "d"), destination="x")) == ["xa.jpg", "xb.txt"]


def test_single_file(tree: Path) -> None:
    """A single file takes the destination as its name, or goes into it when that ends with a slash."""
    path = str(tree / "d/a.jpg")
    assert names(Source(path)) == ["a.jpg"]
    assert names(Source(path, destination="other.jpg")) == ["other.jpg"]
    assert names(Source(path, destination="in/")) == ["in/a.jpg"]


def test_pattern(tree: Path) -> None:
    """A pattern selects file names in its directory, below it too when recursive, and in matching directories."""
    assert names(Source(str(tree / "d/*.jpg"))) == ["a.jpg"]
    assert names(Source(str(tree / "d/*.jpg"), recursive=True)) == ["a.jpg", "sub/c.jpg", "sub/deep/e.jpg"]
    assert names(Source(str(tree / "d/s*/*.jpg"))) == ["sub/c.jpg"]
    with pytest.raises(BadRequest, match="no file matches"):
        names(Source(str(tree / "d/*.none")))


def test_template_and_list(tree: Path) -> None:
    """A range gives each file it names, relative to the directory before it; a list gives base names."""
    source = Source(str(tree / "s-{01..03}.tar"))
    assert names(source) == ["s-01.tar", "s-02.tar"]
    assert [str(error) for _, error in source.problems] == ["No such file or directory"]
    assert names(Source(f"{tree}/s-01.tar, {tree}/d/a.jpg", destination="l/")) == ["l/s-01.tar", "l/a.jpg"]


def test_nothing_is_left_out_in_silence(tree: Path) -> None:
    """Broken links, links to directories, pipes and impossible names are reported with their paths."""
    (tree / "d/broken").symlink_to("nowhere")
    (tree / "d/loop").symlink_to(tree / "d", target_is_directory=True)
    os.mkfifo(tree / "d/pipe")
    (tree / "d" / ("n" * 250)).mkdir()
    deep = tree / "d"
    for _ in range(5):
        deep = deep / ("n" * 250)
    deep.mkdir(parents=True, exist_ok=True)
    (deep / "file").touch()
    source = Source(str(tree / "d"), recursive=True)
    assert names(source) == ["a.jpg", "b.txt", "sub/c.jpg", "sub/deep/e.jpg"]
    reported = {os.path.basename(path): str(error) for path, error in source.problems}
    assert sorted(reported) == ["broken", "file", "loop", "pipe"]
    assert "symbolic link" in reported["loop"]
    assert "longer than" in reported["file"]


def test_same_name_twice(tree: Path) -> None:
    """Of two files that would be the same object the second is a problem, not an overwrite."""
    sources = [Source(str(tree / "d/a.jpg"), destination="x/"), Source(str(tree / "d"), destination="x/")]
    assert [file.name for file in all_files(sources)] == ["x/a.jpg", "x/b.txt"]
    sources = [Source(str(tree / "d/sub/c.jpg")), Source(str(tree / "s-01.tar"), destination="c.jpg")]
    assert [file.name for file in all_files(sources)] == ["c.jpg"]
    assert "same object name" in str(sources[1].problems[0][1])


def test_missing(tmp_path: Path) -> None:
    """A source that does not exist is an error that names it."""
    with pytest.raises(BadRequest, match="no such file or directory"):
        names(Source(str(tmp_path / "none")))
