"""The journal of events: what is settled is read in order, by every process after it, and nothing else."""

import struct
import zlib
from pathlib import Path

import msgspec
import pytest

from ais.base.errors import OutOfSpace
from ais.env.disk import Disk
from ais.target.events import journal as journals
from ais.target.events.journal import Cursor, Entry, Journal


def _entry(key: str) -> Entry:
    return Entry("b", 1, key, "s3:ObjectCreated:Put", {"hook": "id"}, 1, "etag", "", (1, 2), 3)


def _keys(journal: Journal, limit: int = 100) -> list[str]:
    cursor, keys = journal.position("hook"), list[str]()
    while True:
        found, cursor = journal.read(cursor, limit)
        keys += [one.entry.key for one in found]
        if not found:
            return keys


def test_only_what_is_settled_is_read(tmp_path: Path) -> None:
    """A change that is on its way holds up later ones; one that was retracted is left out."""
    journal = Journal(Disk(), str(tmp_path))
    assert journal.is_empty
    numbers = [journal.note(_entry(key), fsync=False) for key in "abcd"]
    assert _keys(journal) == []
    for number in (numbers[0], numbers[2], numbers[3]):
        journal.settle(number)
    assert _keys(journal) == ["a"]
    journal.retract(numbers[1])
    assert _keys(journal, limit=1) == ["a", "c", "d"]


def test_a_change_whose_note_is_not_durable_is_not_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The note is in the file when the disk fails to sync it: the change is refused, and nobody hears of it."""
    disk = Disk()
    journal = Journal(disk, str(tmp_path))

    def fail(_fd: int) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as failing:
        failing.setattr(disk, "fsync", fail)
        with pytest.raises(OSError, match="Input/output"):
            journal.note(_entry("a"), fsync=True)
    journal.settle(journal.note(_entry("b"), fsync=True))
    assert _keys(journal) == ["b"]


def test_the_next_process_goes_on(tmp_path: Path) -> None:
    """It reads what was noted, without what was retracted or torn, behind what a receiver has; old markers too."""
    journal = Journal(Disk(), str(tmp_path))
    numbers = [journal.note(_entry(key), fsync=True) for key in "abcde"]
    journal.settle(numbers[0])
    journal.settle(numbers[1])
    journal.retract(numbers[2])
    journal.advance("hook", numbers[0], 1)
    path = next(one for one in Path(journal.root).iterdir() if one.name.isdigit())
    marker = msgspec.msgpack.encode([journals.MARKER, numbers[1], "marker"])
    frame = struct.pack(">II", len(marker), zlib.crc32(marker)) + marker
    path.write_bytes(path.read_bytes() + frame + b"\0\0\0\xfftorn")
    again = Journal(Disk(), str(tmp_path))
    again.settle(again.note(_entry("f"), fsync=False))
    found, _ = again.read(again.position("hook"), 100)
    more, _ = again.read(_, 100)
    assert [(one.entry.key, one.is_old) for one in found + more] == [
        ("b", True),
        ("d", True),
        ("e", True),
        ("f", False),
    ]
    assert found[0].entry.version_id == "marker"
    assert again.position("other") == Cursor(1, 0, 0)


def test_what_everybody_has_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """File by file; when too much waits, changes are refused."""
    monkeypatch.setattr(journals, "SEGMENT_BYTES", 200)
    journal = Journal(Disk(), str(tmp_path))
    for number in range(20):
        journal.settle(journal.note(_entry(f"k{number}"), fsync=False))
    before = len(list(Path(journal.root).iterdir()))
    journal.advance("hook", 10, 10)
    journal.trim(10)
    assert len(list(Path(journal.root).iterdir())) < before
    assert _keys(journal) == [f"k{number}" for number in range(10, 20)]
    monkeypatch.setattr(journals, "BYTES_MAX", 100)
    with pytest.raises(OutOfSpace):
        journal.note(_entry("one too many"), fsync=False)
    monkeypatch.setattr(journals, "BYTES_MAX", 1 << 20)
    journal.close()
    for number in (20, 20):
        journal.trim(number)
    assert journal.is_empty
    journal.settle(journal.note(_entry("new"), fsync=False))
    journal.advance("hook", 20, 10)
    assert _keys(journal) == ["new"]


def test_numbers_go_on_when_everything_was_sent(tmp_path: Path) -> None:
    """A process that finds no file goes on behind what receivers have: they would take what is new for that."""
    journal = Journal(Disk(), str(tmp_path))
    for key in "abc":
        journal.settle(journal.note(_entry(key), fsync=False))
    journal.advance("hook", 3, 3)
    journal.close()
    for _ in range(2):
        journal.trim(3)
    assert journal.is_empty
    again = Journal(Disk(), str(tmp_path))
    again.settle(again.note(_entry("new"), fsync=False))
    assert _keys(again) == ["new"]
    assert dict(again.waiting) == {"hook": 1}
    assert dict(Journal(Disk(), str(tmp_path)).waiting) == {"hook": 1}
