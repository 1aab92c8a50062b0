"""Indexes of shards: every member is found by one read behind the header, and damage is noticed."""

import io
import random

import pytest

from ais.shard import index, reading
from ais.shard.formats import Format
from ais.shard.index import PAGE_BYTES, Damaged, Place
from ais.shard.writing import tar_writer

COUNT = 8_000


class Table:
    """A table that counts how often it is read."""

    def __init__(self, content: bytes) -> None:
        self.content = bytearray(content)
        self.reads = 0

    def pread(self, size: int, offset: int) -> bytes:
        self.reads += 1
        return bytes(self.content[offset : offset + size])

    def find(self, name: str) -> Place | None:
        return index.find(self.pread, index.read_header(self.pread), name)


@pytest.fixture(scope="module")
def content() -> bytes:
    """The table of a large shard."""
    members = ((f"dir/{number:08}.jpg", number % 7, number * 512) for number in range(COUNT))
    return index.build("s.tar", ".tar", COUNT * 512 + 7, "xxhash:1", members)


def test_every_member_is_found_by_two_reads(content: bytes):
    """Wherever it lies in a shard of eight thousand, and a name that is not there as well."""
    table = Table(content)
    for number in random.Random(1).sample(range(COUNT), 500):
        table.reads = 0
        assert table.find(f"dir/{number:08}.jpg") == Place(number * 512, number % 7)
        assert table.reads == 2
    table.reads = 0
    assert table.find("dir/nosuch") is None
    assert table.reads == 2


def test_the_header_says_what_it_is_of(content: bytes):
    """Name, format, size, identity, number of members."""
    header = index.read_header(Table(content).pread)
    assert (header.name, header.kind, header.size, header.identity, header.members) == (
        "s.tar", ".tar", COUNT * 512 + 7, "xxhash:1", COUNT,
    )  # fmt: skip


def test_of_equal_names_the_first_counts():
    """As for who reads the shard from its beginning; what is compressed has no place of its own."""
    table = Table(index.build("s.zip", ".zip", 100, "", [("a", 1, 10), ("b", 2, None), ("a", 3, 30)]))
    assert table.find("a") == Place(10, 1)
    assert table.find("b") == Place(None, 2)
    assert index.read_header(table.pread).members == 2


def test_an_empty_shard_has_an_index():
    """In which nothing is found."""
    assert Table(index.build("s.tar", ".tar", 0, "", [])).find("a") is None


@pytest.mark.parametrize("position", [0, 4, 20])
def test_a_damaged_header_is_noticed(content: bytes, position: int):
    """A flipped bit in the magic, the version, the fields."""
    table = Table(content)
    table.content[position] ^= 1
    with pytest.raises(Damaged):
        table.find("dir/00000000.jpg")


def outcome(table: Table, number: int) -> str:
    """What looking for a member comes to."""
    try:
        return "right" if table.find(f"dir/{number:08}.jpg") == Place(number * 512, number % 7) else "wrong"
    except Damaged:
        return "damaged"


def test_a_damaged_page_is_noticed(content: bytes):
    """By those whose member it has; all others are found."""
    table = Table(content)
    table.content[PAGE_BYTES] ^= 1
    assert {outcome(table, number) for number in range(COUNT)} == {"right", "damaged"}


@pytest.mark.parametrize("size", [0, 10, PAGE_BYTES, PAGE_BYTES * 2, -1])
def test_a_table_that_is_cut_short_is_noticed(content: bytes, size: int):
    """Wherever it ends."""
    found = {outcome(Table(content[:size]), number) for number in range(0, COUNT, 50)}
    assert "wrong" not in found
    assert size < 0 or "damaged" in found


def test_a_place_behind_the_end_is_damage():
    """Whatever a table says, nothing is read that is not in its shard."""
    table = Table(index.build("s.tar", ".tar", 100, "", [("a", 60, 50)]))
    with pytest.raises(Damaged):
        table.find("a")


def test_too_many_members_have_no_index(monkeypatch: pytest.MonkeyPatch):
    """A clear error: the memory of an index is bounded."""
    monkeypatch.setattr(index, "MEMBERS_MAX", 3)
    with pytest.raises(index.TooManyMembers, match="more than 3 files"):
        index.build("s.tar", ".tar", 100, "", [(str(number), 1, 1) for number in range(4)])


def test_without_an_index_a_tar_is_read_up_to_the_member():
    """Nothing behind it is looked at."""
    out = io.BytesIO()
    writer = tar_writer(Format.TAR, out.write)
    for number in range(100):
        writer.begin(f"m{number}", 100_000, 0)
        writer.write(bytes(100_000))
        writer.end()
    writer.close()

    class Watched(io.BytesIO):
        end = 0

        def read(self, size: int | None = -1) -> bytes:
            data = super().read(size)
            self.end = max(self.end, self.tell())
            return data

    file = Watched(out.getvalue())
    found = reading.find(file, Format.TAR, "m40")
    assert found is not None
    assert len(b"".join(found[1]())) == 100_000
    assert file.end <= 41 * (100_352 + 512)
