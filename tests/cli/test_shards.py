"""`ais archive`, `ais ml get-batch`, and files of shards by `ais get` and `ais object cat`."""

import io
import json
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A directory with two files and one further below."""
    directory = tmp_path / "files"
    (directory / "sub").mkdir(parents=True)
    for name in ("a.txt", "b.txt", "sub/c.txt"):
        (directory / name).write_text(name * 3)
    return directory


def test_archive_put_and_get(ais: Any, uri: str, files: Path, tmp_path: Path) -> None:
    """Files are put into a shard, added to it, listed and read; one that must be there and is not is an error."""
    shard = f"{uri}/s.tar"
    assert ais("archive", "put", files / "a.txt", shard, "--append", code=3).stderr
    ais("archive", "put", files / "a.txt", shard, "--archpath", "in/a.txt")
    assert "APPEND 3 files" in ais("archive", "put", files, shard, "-r", "--append-or-put").stdout
    listed = ais("archive", "ls", shard, "-H", "--name-only").stdout.split()
    assert {"s.tar/in/a.txt", "s.tar/a.txt", "s.tar/sub/c.txt"} <= set(listed)
    assert ais("object", "cat", shard, "--archpath", "in/a.txt").stdout == "a.txt" * 3
    ais("get", shard, tmp_path / "c.txt", "--archpath", "sub/c.txt")
    assert (tmp_path / "c.txt").read_text() == "sub/c.txt" * 3
    chosen = ais("archive", "get", shard, "-", "--archregx", "txt", "--archmode", "suffix").stdout_bytes
    assert len(tarfile.open(fileobj=io.BytesIO(chosen)).getnames()) == 4  # noqa: SIM115
    assert "exclude each other" in ais("get", shard, "--archpath", "a", "--archregx", "b", code=2).stderr


def test_archive_bucket(ais: Any, uri: str) -> None:
    """Objects chosen by a range, a list or a prefix become a shard; --dry-run only tells which."""
    for number in range(4):
        ais("put", "-", f"{uri}/o{number}", stdin=b"x" * 100)
    assert ais("archive", "bucket", uri, f"{uri}/t.tar", "--template", "o{0..2}", "--dry-run").stdout.count("=>") == 3
    ais("archive", "bucket", uri, f"{uri}/t.tar", "--template", "o{0..2}", "--wait")
    ais("bucket", "archive", uri, f"{uri}/l.tgz", "--list", "o1,o3", "--wait")
    listed = ais("ls", uri, "--archive", "--name-only", "-H").stdout.split()
    assert [name for name in listed if "/" in name] == ["l.tgz/o1", "l.tgz/o3", "t.tar/o0", "t.tar/o1", "t.tar/o2"]


def test_loose_objects_become_shards(ais: Any, uri: str) -> None:
    """The files of a sample are in one shard, samples in the order asked for; what is incomplete is left out."""
    for number in range(5):
        for extension in ("cls", "jpg") if number else ("jpg",):
            ais("put", "-", f"{uri}/dir/s{number}.{extension}", stdin=b"x" * 100)
    asked = (
        "archive",
        "shards",
        f"{uri}/dir/",
        f"{uri}/out-{{00..09}}.tar",
        "--shard-size",
        "2",
        "--sort",
        "alpha:dec",
    )
    assert ais(*asked, "--dry-run").stdout.splitlines()[0] == "out-00.tar: 2 samples, 400B"
    assert "3 shards of 5 samples" in ais(*asked).stdout
    exact = ("--exts", ".jpg,.cls", "--missing")
    ais("archive", "shards", uri, f"{uri}/x-%03d.tgz", "--shard-size", "1KiB", *exact, "exclude")
    listed = ais("ls", uri, "--archive", "--name-only", "-H").stdout.split()
    inside = [name for name in listed if name.startswith("out-01.tar/")]
    assert sorted(inside) == [f"out-01.tar/dir/s{number}.{one}" for number in (1, 2) for one in ("cls", "jpg")]
    assert sum(name.startswith("x-000.tgz/") for name in listed) == 8
    assert 'sample "s0" has no .cls' in ais(*asked, *exact, "abort", code=2).stderr
    assert "names 1" in ais("archive", "shards", uri, f"{uri}/y-{{0..0}}.tar", "--shard-size", "1", code=2).stderr


@pytest.mark.parametrize("extension", [".tar", ".tgz", ".zip", ".tar.lz4"])
def test_gen_shards(extension: str, ais: Any, uri: str) -> None:
    """Shards of random files in each format can be listed inside."""
    ais("archive", "gen-shards", f"{uri}/s-{{0..1}}{extension}", "--fcount", "3", "--fext", ".a,.b")
    listed = ais("archive", "ls", uri, "--name-only", "-H").stdout.split()
    assert sum("/" in name for name in listed) == 12
    assert "is no shard" in ais("archive", "gen-shards", f"{uri}/s-0.rar", code=2).stderr


def test_get_batch(ais: Any, uri: str, tmp_path: Path) -> None:
    """Objects and a file in a shard come as one archive in the order asked for; what is missing leaves no file."""
    for name in "ab":
        ais("put", "-", f"{uri}/{name}", stdin=name.encode() * 100)
    ais("archive", "gen-shards", f"{uri}/s.tar", "--fcount", "1")
    out = tmp_path / "out.tar"
    assert "3 objects" in ais("ml", "get-batch", f"{uri}/b", f"{uri}/a", f"{uri}/s.tar/000000.test", out).stdout
    with tarfile.open(out) as archive:
        assert [name.rpartition("/")[2] for name in archive.getnames()] == ["b", "a", "000000.test"]
    spec = {"in": [{"objname": "a", "bucket": uri.removeprefix("ais://"), "provider": "ais"}]}
    ais("ml", "get-batch", tmp_path / "out.zip", "--spec", json.dumps(spec))
    with zipfile.ZipFile(tmp_path / "out.zip") as zipped:
        assert len(zipped.namelist()) == 1
    ais("ml", "get-batch", uri, tmp_path / "none.tar", "--list", "a,nosuch", code=3)
    assert not (tmp_path / "none.tar").exists()
    assert not list(tmp_path.glob(".*"))
    ais("ml", "get-batch", uri, tmp_path / "some.tar", "--list", "a,nosuch", "--cont-on-err")
    assert "is no archive" in ais("ml", "get-batch", uri, tmp_path / "x", code=2).stderr


def test_put_in_parts(ais: Any, uri: str, tmp_path: Path) -> None:
    """--chunk-size sends larger files in parts: the object is the file."""
    content = bytes(range(256)) * 1000
    (tmp_path / "large").write_bytes(content)
    ais("put", tmp_path / "large", f"{uri}/large", "--chunk-size", "100000")
    assert ais("object", "cat", f"{uri}/large").stdout_bytes == content
    assert "neither checksums" in ais("put", tmp_path / "large", uri, "--chunk-size", "1", "--md5", "x", code=2).stderr
