"""The trash is emptied while things are thrown away."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ais.env.disk import Disk
from ais.fs import trash


class Interrupted(Disk):
    """Does something else before each change."""

    def __init__(self, step: Callable[[str], None]) -> None:
        self.step = step

    def mkdir(self, path: Any, *args: Any, **options: Any) -> None:  # type: ignore[override]
        self.step(path)
        os.mkdir(path, *args, **options)

    def rmdir(self, path: Any) -> None:  # type: ignore[override]
        self.step(path)
        os.rmdir(path)

    def rename(self, source: str, target: str) -> None:
        self.step(source)
        os.rename(source, target)


@pytest.mark.parametrize("is_there", [True, False])
def test_things_are_thrown_away_while_the_trash_is_emptied(tmp_path: Path, is_there: bool) -> None:
    """Whether there is something to throw away or not: the other one never gets in the way."""
    disk = Interrupted(lambda _: trash.empty(Disk(), str(tmp_path)))
    if is_there:
        (tmp_path / "b" / "%ob").mkdir(parents=True)
    assert trash.discard(disk, str(tmp_path), f"{tmp_path}/b") is is_there
    assert not (tmp_path / "b").exists()


def test_what_appears_in_a_directory_that_is_being_deleted_goes_too(tmp_path: Path) -> None:
    """A writer that had found the directory before it was thrown away makes its file at the last moment."""
    late = [tmp_path / trash.DIRECTORY / "b" / "late"]

    def write(_: str) -> None:
        for path in late:
            path.touch()
        late.clear()

    late[0].parent.mkdir(parents=True)
    trash.empty(Interrupted(write), str(tmp_path))
    assert not late
    assert not list((tmp_path / trash.DIRECTORY).iterdir())


def test_names_of_an_earlier_process_are_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that was killed had the same ID and left something under the name that comes next."""
    for number in range(3):
        (tmp_path / "b").mkdir()
        (tmp_path / "b" / str(number)).touch()
        monkeypatch.setattr(trash, "_serial", iter(range(100)))
        assert trash.discard(Disk(), str(tmp_path), f"{tmp_path}/b")
    assert sorted(path.name for path in tmp_path.rglob("?")) == ["0", "1", "2"]
