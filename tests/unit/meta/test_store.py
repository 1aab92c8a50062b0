"""Metadata files: the bytes, replacing them, and what damage is found."""

import os
from pathlib import Path

import pytest

from ais.base.errors import CorruptMetadata, DiskFailure
from ais.env.disk import Disk
from ais.meta import store
from ais.meta.store import Record

DISK = Disk()
GOLDEN = bytes.fromhex("6169732e736d61700001000000000000000300000002931adf23b6491143") + b"{}"


def test_golden_bytes() -> None:
    """The format on disk is what it was: kind, version, term, length, checksum, payload."""
    assert store.encode(store.SMAP, Record(3, b"{}")) == GOLDEN
    assert store.decode(store.SMAP, GOLDEN, "x") == Record(3, b"{}")


def test_copies_on_all_directories(tmp_path: Path) -> None:
    """A file is written everywhere and read from everywhere; one lost copy does not matter."""
    directories = tuple(str(tmp_path / name) for name in ("a", "b"))
    for directory in directories:
        os.mkdir(directory)
    store.save(DISK, directories, store.BMD, Record(1, b"one"))
    store.save(DISK, directories, store.BMD, Record(2, b"two"))
    assert store.load(DISK, directories, store.BMD) == [Record(2, b"two")] * 2
    (tmp_path / "a" / store.BMD).unlink()
    assert store.load(DISK, directories, store.BMD) == [Record(2, b"two")]
    assert sorted(os.listdir(directories[1])) == [store.BMD]
    assert store.load(DISK, directories, store.SMAP) == []


@pytest.mark.parametrize("position", range(len(GOLDEN)))
def test_every_damaged_byte_is_found(position: int) -> None:
    """No flipped byte goes unnoticed."""
    damaged = bytearray(GOLDEN)
    damaged[position] ^= 0xFF
    with pytest.raises(CorruptMetadata, match=r"/path"):
        store.decode(store.SMAP, bytes(damaged), "/path")


@pytest.mark.parametrize("length", [0, 5, len(GOLDEN) - 1])
def test_truncated_files(length: int) -> None:
    """A file cut short is damaged."""
    with pytest.raises(CorruptMetadata):
        store.decode(store.SMAP, GOLDEN[:length], "/path")


def test_the_wrong_file_is_refused() -> None:
    """A file of another kind, or of a later format, is not taken for ours."""
    with pytest.raises(CorruptMetadata, match=r"not a \.ais\.bmd"):
        store.decode(store.BMD, GOLDEN, "/path")
    later = GOLDEN[:8] + b"\x00\x02" + GOLDEN[10:]
    with pytest.raises(CorruptMetadata, match="format version 2"):
        store.decode(store.SMAP, later, "/path")


def test_an_intact_copy_wins_over_a_damaged_one(tmp_path: Path) -> None:
    """Damage of one copy is healed by the other; damage of all is an error, not "no file"."""
    directories = (str(tmp_path / "a"), str(tmp_path / "b"))
    for directory in directories:
        os.mkdir(directory)
    store.save(DISK, directories, store.SMAP, Record(1, b"{}"))
    (tmp_path / "a" / store.SMAP).write_bytes(b"rubbish")
    assert store.load(DISK, directories, store.SMAP) == [Record(1, b"{}")]
    (tmp_path / "b" / store.SMAP).write_bytes(b"")
    with pytest.raises(CorruptMetadata):
        store.load(DISK, directories, store.SMAP)


def test_a_crash_while_writing_leaves_the_old_file(tmp_path: Path) -> None:
    """When the new content cannot be made durable the old one stays; no copy written at all is an error."""

    class FullDisk(Disk):
        @staticmethod
        def fsync(fd: int) -> None:
            raise OSError(28, "No space left on device")

    directory = (str(tmp_path),)
    store.save(DISK, directory, store.SMAP, Record(1, b"old"))
    with pytest.raises(DiskFailure, match="No space left"):
        store.save(FullDisk(), directory, store.SMAP, Record(2, b"new"))
    assert store.load(DISK, directory, store.SMAP) == [Record(1, b"old")]


def test_a_directory_whose_disk_is_gone_is_left_alone(tmp_path: Path) -> None:
    """Of mountpaths only those that have volume metadata are written to: the others are bare mount points."""
    here, bare = tmp_path / "here", tmp_path / "bare"
    for directory in (here, bare):
        directory.mkdir()
    (here / store.VMD).touch()
    both, record = (str(bare), str(here)), store.Record(1, b"x")
    store.save(Disk(), both, store.SMAP, record, only_marked=True)
    assert not list(bare.iterdir())
    assert store.load(Disk(), both, store.SMAP) == [record]
    with pytest.raises(DiskFailure):
        store.save(Disk(), (str(bare),), store.SMAP, record, only_marked=True)
