"""Looking at many files at once: they say what the ordinary calls say of each."""

import os
from pathlib import Path

import pytest

from ais.env.files import FILES_MAX, Files, files_below

ATTRIBUTE = "user.test"


def looked(files: Files, directory: Path, names: list[str]) -> None:
    """Look, and compare."""
    files.look(names, with_values=True)
    columns = files.modes(), files.inodes(), files.sizes(), files.accessed_ns(), files.changed_ns(), files.modified_ns()
    for name, row, value in zip(names, zip(*columns, strict=True), files.values, strict=True):
        path = directory / name
        try:
            found = path.lstat()
        except (FileNotFoundError, NotADirectoryError):
            assert (row[0], value) == (0, None)
            continue
        accessed_ns = row[3] if path.is_symlink() else found.st_atime_ns  # to follow it is an access
        times = accessed_ns, found.st_ctime_ns, found.st_mtime_ns
        assert row == (found.st_mode, found.st_ino, found.st_size, *times)
        there = path.exists() and ATTRIBUTE in os.listxattr(path)
        assert value == (os.getxattr(path, ATTRIBUTE) if there else None)
    files.look(names[::-1], with_values=False)
    assert (files.modes(), files.sizes(), files.values) == (columns[0][::-1], columns[2][::-1], [])


def test_they_are_what_lstat_and_getxattr_say(tmp_path: Path) -> None:
    """Files of every kind and age, of any name, with attributes of any size and without; and what is not there."""
    names = [f"n{number:03}" for number in range(FILES_MAX - 9)]
    for number, name in enumerate(names):
        (tmp_path / name).write_bytes(bytes(number))
        os.setxattr(tmp_path / name, ATTRIBUTE, os.urandom(number))
        os.utime(tmp_path / name, ns=(number, -(10**9) * number - 1))
    for name in ("é\U0001f600", "bare", "long", "empty"):
        (tmp_path / name).touch()
    os.setxattr(tmp_path / "long", ATTRIBUTE, bytes(3500))
    os.setxattr(tmp_path / "empty", ATTRIBUTE, b"")
    (tmp_path / "dir").mkdir()
    (tmp_path / "dir" / "below").touch()
    (tmp_path / "link").symlink_to("nowhere")
    names += ["é\U0001f600", "bare", "long", "empty", "dir", "dir/below", "link", "missing", "bare/below"]
    with files_below(str(tmp_path), ATTRIBUTE) as files:
        looked(files, tmp_path, names)
        looked(files, tmp_path, names[-3:])
        looked(files, tmp_path, [])
        for name in names[::2]:  # buffers hold what was seen before
            if (tmp_path / name).is_file():
                (tmp_path / name).unlink()
        looked(files, tmp_path, names)


def test_a_directory_that_is_made_meanwhile_is_looked_into(tmp_path: Path) -> None:
    """Who found no directory asks again, by its path, before saying that there is no file."""
    with files_below(str(tmp_path / "later"), ATTRIBUTE) as files:
        looked(files, tmp_path / "later", ["a"])
        (tmp_path / "later").mkdir()
        (tmp_path / "later" / "a").write_bytes(b"12")
        looked(files, tmp_path / "later", ["a", "b"])
        files.look(["a"], with_values=False)
        assert files.sizes() == [2]


def test_what_cannot_be_looked_at_is_an_error(tmp_path: Path) -> None:
    """Other failures than that nothing is there are told: a listing would be short."""
    with files_below(str(tmp_path), ATTRIBUTE) as files, pytest.raises(OSError, match="too long"):
        files.look(["a", "x" * 300], with_values=True)
