"""Sorting on disk, filling shards and external key maps, as functions of their input."""

import random
from pathlib import Path

import pytest

from ais.api.dsort import Part, Record
from ais.base.errors import BadRequest, DiskFailure, InvalidTemplate
from ais.dsort import keymap, keys, placing, sorting
from ais.dsort.names import ShardNames
from ais.dsort.sorting import Sorter


def record(number: int, size: int = 10) -> Record:
    return Record(number, f"shard-{number % 3}", number, f"r{number:04}", [Part(".jpg", 0, size)])


def no_reaction(setting: str, text: str) -> None:
    raise AssertionError((setting, text))


@pytest.mark.parametrize("memory_bytes", [1, 2000, 1 << 30])
@pytest.mark.parametrize("is_decreasing", [False, True])
def test_sorted_whatever_fits_into_memory(tmp_path: Path, memory_bytes: int, is_decreasing: bool):
    """Spilled value by value, in runs, or not at all: the same order, and no file stays."""
    values = [record(number) for number in range(300)]
    shuffled = random.Random(1).sample(values, len(values))
    sorter = Sorter(Record, lambda one: one.key, str(tmp_path / "sort"), memory_bytes, is_decreasing=is_decreasing)
    for one in shuffled:
        sorter.add(one, 40)
    assert list(sorter.sorted()) == (values[::-1] if is_decreasing else values)
    assert (sorter.spilled > 0) == (memory_bytes < 1 << 30)
    sorter.close()
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_cut_short(tmp_path: Path):
    """Is an error, not an end."""
    path = tmp_path / "records"
    assert sorting.write(str(path), [record(1), record(2)]) == 2
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(DiskFailure, match="cut short"):
        list(sorting.read(str(path), Record))


def test_shards_are_filled_in_order():
    """Each shard is closed by the record that makes it large enough."""
    found = list(placing.in_order(map(record, range(7)), "x-{0..9}", ".tar", 30, 0))
    assert [(one.shard, one.record.key) for one in found] == [(f"x-{number // 3}.tar", number) for number in range(7)]


def test_without_a_size_all_names_are_used():
    """The total is spread evenly."""
    found = list(placing.in_order(map(record, range(10)), "x-{0..4}.tgz", ".tar", 0, 100))
    assert [one.shard for one in found] == [f"x-{number // 2}.tgz" for number in range(10)]


def test_too_few_names():
    """Raises; nothing is dropped in silence."""
    with pytest.raises(BadRequest, match="names 2 shards"):
        list(placing.in_order(map(record, range(7)), "x-{0..1}", ".tar", 30, 0))


@pytest.mark.parametrize(
    ("content", "is_json"),
    [
        (b'{"a-%d": ["r0000.jpg", "r0001"], "b-%02d": ["r000[2-9]"]}', True),
        (b"r0000.jpg,a-%d\n\nr0001,a-%d\nr000[2-9],b-%02d\n", False),
    ],
)
def test_key_map(content: bytes, is_json: bool):
    """JSON and lines say the same: by a file's name, a record's, or an expression."""
    found = keymap.parse(content, ",", no_reaction, is_json=is_json)
    placed = list(placing.by_key_map(map(record, range(6)), found, ".tar", 1000, no_reaction))
    assert [one.shard for one in placed] == ["a-0.tar"] * 2 + ["b-00.tar"] * 2 + ["b-01.tar"] * 2


def test_key_map_reactions():
    """A bad line and a record without an entry do what the job says; two entries for one record are an error."""
    told: list[str] = []
    found = keymap.parse(b"one\nr0000 a-%d\n", " ", lambda setting, _: told.append(setting), is_json=False)
    placed = list(placing.by_key_map(map(record, range(2)), found, ".tar", 10, lambda setting, _: told.append(setting)))
    assert [one.record.key for one in placed] == [0]
    assert told == ["ekm_malformed_line", "ekm_missing_key"]
    both = keymap.parse(b"r00.* a-%d\n.*01 b-%d\n", " ", no_reaction, is_json=False)
    with pytest.raises(BadRequest, match="multiple matches"):
        both.find("r0001", [])


@pytest.mark.parametrize("text", ["x", "", "{0..", "x-{3..1}", "../%d", "x-*"])
def test_bad_names(text: str):
    """No range, a bad one, a name that climbs."""
    with pytest.raises((InvalidTemplate, BadRequest)):
        ShardNames(text)


@pytest.mark.parametrize(
    ("content", "kind", "key"),
    [(b" 12\n", "int", 12), (b"1e3", "float", 1000.0), (b"x\n", "string", "x\n")],
)
def test_content_keys(content: bytes, kind: str, key: object):
    """As the file says."""
    assert keys.of_content(content, kind, "f") == key


@pytest.mark.parametrize(
    ("content", "kind"), [(b"x", "int"), (b"9" * 40, "int"), (b"nan", "float"), (b"\xff", "string")]
)
def test_bad_content_keys(content: bytes, kind: str):
    """The file is named."""
    with pytest.raises(BadRequest, match="f does not hold"):
        keys.of_content(content, kind, "f")
