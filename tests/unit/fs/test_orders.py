"""Orders of directories: whatever changes, and whoever changes it, they say what is there."""

import os
import random
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ais.env.changes import Changes
from ais.env.disk import Disk
from ais.fs import orders
from ais.fs.details import Rows
from ais.fs.names import SELF
from ais.fs.orders import Orders


class Counting(Disk):
    """Counts how often directories are read."""

    reads = 0

    def scandir(self, path: str) -> "os._ScandirIterator[str]":  # type: ignore[override]
        self.reads += 1
        return os.scandir(path)


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[tuple[Orders, Counting, Path]]:
    """Orders that keep every directory, their disk, and a directory."""
    disk = Counting()
    made = Orders(disk, directory_bytes_min=0)
    (tmp_path / "d").mkdir()
    yield made, disk, tmp_path / "d"
    made.close()


def keys_of(path: Path) -> list[str]:
    """What a reader of the directory would find."""
    keys = []
    for one in path.iterdir():
        keys.append(f"{one.name}/" if one.is_dir() else one.name)
        if one.is_dir() and (one / SELF).exists():
            keys.append(one.name)
    return sorted(keys)


def all_keys(kept: Orders, path: Path, count: int) -> list[str]:
    """Every key, window by window."""
    found: list[str] = []
    floor, has_more = None, True
    while has_more:
        window = kept.window(str(path), floor, "", "", count)
        assert window is not None
        found += window.keys
        floor, has_more = window.last, window.has_more
    return found


def test_an_order_follows_every_change(kept: tuple[Orders, Counting, Path]) -> None:
    """Files and directories come, go, take each other's place, get an object of that name: read once, always right."""
    made, disk, path = kept
    rng = random.Random(5)
    aside = path.parent / "aside"
    aside.mkdir()

    def change() -> None:
        name = rng.choice(["a", "a!", "a-b", "b", "c", "c.", "é", "z"])
        place = path / name
        kind = rng.randrange(6)
        if place.is_dir():
            if kind < 3:
                (place / rng.choice([SELF, "below"])).touch()
            else:
                shutil.rmtree(place)
        elif kind == 0:
            place.unlink(missing_ok=True)
        elif kind == 1:
            place.unlink(missing_ok=True)
            place.mkdir()
        elif kind == 2:
            (aside / "w").touch()
            (aside / "w").rename(place)
        elif kind == 3 and place.exists():
            (aside / "d").mkdir()
            (aside / "d" / SELF).touch()
            disk.exchange(str(aside / "d"), str(place))
            (aside / "d").unlink()
        else:
            place.touch()

    for _ in range(400):
        for _ in range(rng.randrange(4)):
            change()
        assert all_keys(made, path, rng.choice([1, 2, 100])) == keys_of(path)
    assert disk.reads == 1


def test_windows_are_cut_as_they_are_asked_for(kept: tuple[Orders, Counting, Path]) -> None:
    """By floor, prefix and a name within a directory."""
    made, _, path = kept
    for name in ("a", "ab", "b", "ba", "bb", "c"):
        (path / name).touch()
    for name in ("bb-", "d"):
        (path / name).mkdir()
    ask = lambda *how: (made.window(str(path), *how) or ())[:3]  # noqa: E731
    assert ask(None, "", "b", 9) == (["b", "ba", "bb", "bb-/"], "bb-/", False)
    assert ask(None, "", "b", 2) == (["b", "ba"], "ba", True)
    assert ask("b", "b", "b", 2) == (["ba", "bb"], "bb", True)
    assert ask("bb-/x", "bb-/x", "b", 9) == (["bb-/"], "bb-/x", False)
    assert ask("bb-/x", "bb-/x", "", 9) == (["bb-/", "c", "d/"], "d/", False)
    assert ask("c/x", "c/x", "", 9) == (["d/"], "d/", False)
    assert ask("zz", "", "", 9) == ([], "zz", False)


def test_another_process_is_seen(kept: tuple[Orders, Counting, Path]) -> None:
    """What another process did is in the next window."""
    made, disk, path = kept
    (path / "mine").touch()
    assert all_keys(made, path, 9) == ["mine"]
    script = (
        "import os, sys; [open(f'{sys.argv[1]}/{n}', 'w').close() for n in range(50)]; os.unlink(sys.argv[1] + '/mine')"
    )
    subprocess.run([sys.executable, "-c", script, str(path)], check=True)
    assert all_keys(made, path, 9) == sorted(map(str, range(50)))
    assert disk.reads == 1


def test_another_directory_in_the_place_is_read(kept: tuple[Orders, Counting, Path]) -> None:
    """A bucket is destroyed and made again, or a mountpath comes back: the path leads to another directory."""
    made, _, path = kept
    (path / "old").touch()
    assert all_keys(made, path, 9) == ["old"]
    path.rename(path.parent / "gone")
    assert made.window(str(path), None, "", "", 9) is None
    path.mkdir()
    (path / "new").touch()
    assert all_keys(made, path, 9) == ["new"]
    parent = path.parent
    parent.rename(parent.with_name(parent.name + "x"))
    parent.mkdir()
    path.mkdir()
    assert all_keys(made, path, 9) == []


def test_more_changes_than_the_kernel_keeps(kept: tuple[Orders, Counting, Path]) -> None:
    """Then the directory is read again."""
    made, disk, path = kept
    (path / "a").touch()
    assert all_keys(made, path, 9) == ["a"]
    limit = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())
    for number in range(limit // 2 + 10):
        (path / "a").rename(path / "b")  # two events
        (path / "b").rename(path / "a")
        if number == 0:
            (path / "c").touch()
    assert all_keys(made, path, 9) == ["a", "c"]
    assert disk.reads == 2


def test_what_cannot_be_kept_is_left_to_be_read(
    kept: tuple[Orders, Counting, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Parts of long names, too many names, no inotify; and a small directory is not worth it."""
    made, disk, path = kept
    (path / "%+xxx").mkdir()
    assert made.window(str(path), None, "", "", 9) is None
    assert made.window(str(path), None, "", "", 9) is None
    assert disk.reads == 1
    other = path.parent / "other"
    other.mkdir()
    assert Orders(disk, directory_bytes_min=1 << 20).window(str(other), None, "", "", 9) is None
    assert all_keys(made, other, 9) == []
    (other / "%+xxx").mkdir()
    assert made.window(str(other), None, "", "", 9) is None
    third = path.parent / "third"
    third.mkdir()
    (third / "a").touch()
    monkeypatch.setattr(orders, "BYTES_MAX", 10)
    assert made.window(str(third), None, "", "", 9) is None
    monkeypatch.undo()

    def refused(path: str) -> Changes:
        raise OSError(24, "too many", path)

    monkeypatch.setattr(disk, "follow", refused)
    fourth = path.parent / "fourth"
    fourth.mkdir()
    assert made.window(str(fourth), None, "", "", 9) is None


def test_who_goes_through_everything_makes_no_order_of_a_small_directory(kept: tuple[Orders, Counting, Path]) -> None:
    """It is used if it is there."""
    made, disk, path = kept
    (path / "a").touch()
    assert made.window(str(path), None, "", "", 9, makes_from=1 << 20) is None
    assert disk.reads == 0
    assert made.window(str(path), None, "", "", 9, makes_from=1) == (["a"], "a", False, True)
    assert made.window(str(path), None, "", "", 9, makes_from=1 << 20) == (["a"], "a", False, False)
    assert disk.reads == 1


def test_only_so_many_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that were used last; the others give their descriptors back."""
    monkeypatch.setattr(orders, "ORDERS_MAX", 3)
    disk = Counting()
    made = Orders(disk, directory_bytes_min=0)
    for number in range(6):
        (tmp_path / f"{number}").mkdir()
    open_before = len(os.listdir("/proc/self/fd"))
    for number in (0, 1, 2, 0, 3, 0, 4, 0, 5):
        assert made.window(str(tmp_path / f"{number}"), None, "", "", 9) is not None
    assert disk.reads == 6
    assert len(os.listdir("/proc/self/fd")) == open_before + 3
    made.close()
    assert len(os.listdir("/proc/self/fd")) == open_before


def test_directories_used_in_turn_do_not_push_each_other_out(
    kept: tuple[Orders, Counting, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """There is room for two of four: those are kept, of the others no order is made for each window of names."""
    monkeypatch.setattr(orders, "ORDERS_MAX", 2)
    made, disk, path = kept
    (path / "a").touch()
    paths = [str(path), *(str(shutil.copytree(path, path.parent / name)) for name in ("e", "f", "g"))]
    for _ in range(20):
        answers = [window and window[:3] for one in paths for window in (made.window(one, None, "", "", 9),)]
    assert answers.count((["a"], "a", False)) == 2
    assert answers.count(None) == 2
    assert disk.reads == 4
    monkeypatch.setattr(orders, "_REST_USES", 0)
    for _ in range(256):
        made.window(paths[answers.index((["a"], "a", False))], None, "", "", 9)
    assert made.window(paths[answers.index(None)], None, "", "", 9) == (["a"], "a", False, True)


def rows(names: list[str]) -> Rows:
    """Rows of names."""
    return Rows.of(names[0], names[-1], ",".join(names).encode())


def known(made: Orders, path: Path, kind: str = "k") -> list[str]:
    """Of which names something is kept that holds now."""
    found = made.details(str(path), kind, "", "~")
    assert found is not None
    return [name for one in found.rows for name in one.unpacked().decode().split(",") if name not in one.changed]


CHANGES = {
    "a": "open(path, 'ab').write(b'x')",
    "b": "os.truncate(path, 0)",
    "c": "os.setxattr(path, 'user.x', b'1')",
    "d": "os.utime(path)",
    "e": "os.chmod(path, 0o600)",
    "f": "os.unlink(path)",
    "g": "os.rename(path, path + 'x')",
    "h": "os.rename(path[:-1] + 'aside', path)",
    "i": "(os.unlink(path), os.mkdir(path))",
    "j": "(os.unlink(path), open(path, 'wb').write(b'content'))",
    "k": "os.posix_fallocate(os.open(path, os.O_RDWR), 0, 10000)",
    "l": "os.pwrite(os.open(path, os.O_RDWR | os.O_DSYNC), b'0', 0)",
}


def test_what_is_known_of_a_file_is_forgotten_when_it_changes(kept: tuple[Orders, Counting, Path]) -> None:
    """However another process changes its content, attributes or name; of the others it stays known."""
    made, disk, path = kept
    names = sorted([*CHANGES, "same"])
    for name in [*names, "aside"]:
        (path / name).write_bytes(b"content")
    for name, change in CHANGES.items():
        assert all_keys(made, path, 99)
        before = made.details(str(path), "k", "", "~")
        assert before is not None
        made.keep_details(str(path), "k", before, [rows(names)])
        assert known(made, path) == names
        script = f"import os; path = {str(path / name)!r}; {change}"
        subprocess.run([sys.executable, "-c", script], check=True)
        assert known(made, path) == [one for one in names if one != name]
        assert known(made, path) == [one for one in names if one != name]
    os.chmod(path, 0o700)  # the directory itself is none of its files
    assert len(known(made, path)) == len(names) - 1
    assert disk.reads == 1


def test_what_changed_while_it_was_found_out_is_not_kept(kept: tuple[Orders, Counting, Path]) -> None:
    """Somebody else may have heard of the change by then: nobody would hear of it again."""
    made, _, path = kept
    for name in ("a", "b"):
        (path / name).touch()
    assert all_keys(made, path, 9)
    before = made.details(str(path), "k", "", "~")
    assert before is not None
    (path / "a").write_bytes(b"1")
    assert all_keys(made, path, 9) == ["a", "b"]  # another listing
    made.keep_details(str(path), "k", before, [rows(["a", "b"])])
    assert known(made, path) == []
    before = made.details(str(path), "k", "", "~")
    assert before is not None
    (path / "a").write_bytes(b"12")
    made.keep_details(str(path), "k", before, [rows(["a", "b"])])
    assert known(made, path) == ["b"]
    path.rename(path.parent / "gone")
    path.mkdir()
    (path / "a").touch()
    assert made.details(str(path), "k", "", "~") is None
    assert all_keys(made, path, 9) == ["a"]
    assert known(made, path) == []
    made.keep_details(str(path), "k", before, [rows(["a", "b"])])  # of a directory that is not there any more
    assert known(made, path) == []


def test_details_have_a_limit(kept: tuple[Orders, Counting, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that were used last are kept; what does not fit alone is not kept further."""
    made, _, path = kept
    other = path.parent / "other"
    for one in (path, other):
        one.mkdir(exist_ok=True)
        (one / "a").touch()
        assert all_keys(made, one, 9) == ["a"]
    monkeypatch.setattr(orders, "DETAILS_BYTES_MAX", 2 * rows(["a"]).size_bytes)

    def keep(where: Path, kind: str, *names: str) -> None:
        before = made.details(str(where), kind, "", "~")
        assert before is not None
        made.keep_details(str(where), kind, before, [rows([name]) for name in names])

    keep(path, "k", "a")
    keep(path, "other", "a")
    assert (known(made, path), known(made, path, "other")) == (["a"], ["a"])
    keep(path, "k", "a")
    keep(other, "k", "a")
    assert (known(made, path), known(made, path, "other"), known(made, other)) == (["a"], [], ["a"])
    keep(path, "k", "a", "b", "c")
    assert (known(made, path), known(made, other)) == (["a", "b", "c"], [])
    keep(path, "k", "d")
    assert known(made, path) == ["a", "b", "c"]
    assert made.details(str(path.parent / "missing"), "k", "", "~") is None
