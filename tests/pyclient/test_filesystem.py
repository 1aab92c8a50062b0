"""`ais://` through fsspec, and through the libraries that are here anyway."""

import random
from importlib import metadata

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from aisclient.filesystem import AISFileSystem


@pytest.fixture
def fs(cluster) -> AISFileSystem:
    """The file system of the shared cluster."""
    return AISFileSystem(cluster.endpoint)


def test_the_entry_point(cluster, bucket: str):
    """fsspec finds `ais://` by itself, as installed; the options reach the client."""
    if "ais" not in metadata.entry_points(group="fsspec.specs").names:
        pytest.skip("aisclient is not installed here: make install")
    with fsspec.open(f"ais://{bucket}/dir/a", "wb", endpoint=cluster.endpoint) as file:
        file.write(b"content")
    with fsspec.open(f"ais://{bucket}/dir/a", "rb", endpoint=cluster.endpoint) as file:
        assert file.read() == b"content"


def test_files_and_directories(fs: AISFileSystem, bucket: str, tmp_path):
    """What fsspec promises of files, directories, globs and errors holds for names in a bucket."""
    for name in ("a", "dir/b", "dir/sub/c", "other/d"):
        fs.pipe_file(f"{bucket}/{name}", name.encode())
    assert [(one["name"].partition("/")[2], one["type"]) for one in fs.ls(bucket)] == [
        ("a", "file"), ("dir", "directory"), ("other", "directory"),
    ]  # fmt: skip
    assert fs.ls(f"ais://{bucket}/dir", detail=False) == [f"{bucket}/dir/b", f"{bucket}/dir/sub"]
    assert fs.find(f"{bucket}/dir") == [f"{bucket}/dir/b", f"{bucket}/dir/sub/c"]
    assert fs.glob(f"{bucket}/*/?") == [f"{bucket}/dir/b", f"{bucket}/other/d"]
    assert sorted(fs.glob(f"{bucket}/**/c")) == [f"{bucket}/dir/sub/c"]
    assert fs.isdir(f"{bucket}/dir")
    assert fs.isfile(f"{bucket}/dir/b")
    assert fs.info(f"{bucket}/dir/b")["size"] == 5
    assert not fs.exists(f"{bucket}/nosuch")
    with pytest.raises(FileNotFoundError):
        fs.info(f"{bucket}/nosuch")
    with pytest.raises(FileNotFoundError):
        fs.open(f"{bucket}/nosuch")
    fs.cp(f"{bucket}/dir", f"{bucket}/copy", recursive=True)
    assert fs.cat(f"{bucket}/copy/sub/c") == b"dir/sub/c"
    fs.mv(f"{bucket}/a", f"{bucket}/moved")
    assert not fs.exists(f"{bucket}/a")
    fs.rm(f"{bucket}/dir", recursive=True)
    assert fs.find(bucket) == [f"{bucket}/{name}" for name in ("copy/b", "copy/sub/c", "moved", "other/d")]
    fs.get(f"{bucket}/copy", str(tmp_path / "local"), recursive=True)
    assert (tmp_path / "local" / "sub" / "c").read_bytes() == b"dir/sub/c"
    fs.put(str(tmp_path / "local"), f"{bucket}/back", recursive=True)
    assert fs.cat(f"{bucket}/back/b") == b"dir/b"
    with pytest.raises(OSError, match="not empty"):
        fs.rmdir(bucket)


def test_reading_and_writing(fs: AISFileSystem, bucket: str):
    """A file written by small writes over several parts reads back whole, by ranges, and is added to."""
    content = random.Random(2).randbytes(1_000_000)
    path = f"{bucket}/file"
    with fs.open(path, "wb", block_size=300_000) as file:
        for start in range(0, len(content), 70_000):
            file.write(content[start : start + 70_000])
        assert not fs.exists(path)
    assert fs.cat_file(path) == content
    assert fs.cat_file(path, -100) == content[-100:]
    assert fs.cat_file(path, 5, -5) == content[5:-5]
    assert fs.cat_ranges([path, path], [0, 10], [5, 20]) == [content[:5], content[10:20]]
    with fs.open(path, "rb", block_size=100_000) as file:
        file.seek(999_000)
        assert file.read() == content[999_000:]
        file.seek(10)
        assert file.read(10) == content[10:20]
    with fs.open(path, "ab") as file:
        file.write(b"more")
    assert fs.cat_file(path) == content + b"more"
    with fs.open(f"{bucket}/empty", "wb"):
        pass
    assert fs.cat_file(f"{bucket}/empty") == b""
    with pytest.raises(FileExistsError):
        fs.open(path, "xb")
    with fs.transaction:
        with fs.open(f"{bucket}/later", "wb") as file:
            file.write(b"x")
        assert not fs.exists(f"{bucket}/later")
    assert fs.cat_file(f"{bucket}/later") == b"x"


def test_pyarrow(fs: AISFileSystem, bucket: str):
    """A table is written as a partitioned dataset of Parquet files, and read back with a filter."""
    table = pa.table({"part": ["a", "b"] * 500, "value": list(range(1000))})
    pq.write_to_dataset(table, f"{bucket}/table", partition_cols=["part"], filesystem=fs)
    found = pq.read_table(f"{bucket}/table", filesystem=fs, filters=[("part", "=", "b"), ("value", ">", 500)])
    assert sorted(found["value"].to_pylist()) == list(range(501, 1000, 2))
