"""`ais put` and `ais get` on a real cluster: what goes in comes out, and failures are named."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import xxhash


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A directory with files on three levels."""
    root = tmp_path / "in"
    for number, name in enumerate(("a.bin", "b.bin", "sub/c.txt", "sub/ö ü+%.txt", "sub/deep/d.txt", "empty")):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"" if name == "empty" else os.urandom(1000 * (number + 1)))
    return root


def contents(root: Path) -> dict[str, bytes]:
    """Every file below a directory."""
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def test_directory_round_trip(ais: Any, uri: str, tree: Path, tmp_path: Path) -> None:
    """A directory put recursively and got by an empty prefix is the same, byte for byte."""
    assert f"PUT 6 files => {uri}" in ais("put", tree, uri, "--recursive").stdout
    assert ais("ls", uri, "--count-only").stdout == "6\n"
    shown = ais("get", uri, tmp_path / "out", "--prefix", "")
    size = sum(map(len, contents(tree).values()))
    assert f"GET 6 objects from {uri}" in shown.stdout
    assert f"({size / 1024:.2f}KiB)" in shown.stdout
    assert contents(tmp_path / "out") == contents(tree)


def test_prefix_is_cut_at_its_directory(ais: Any, uri: str, tree: Path, tmp_path: Path) -> None:
    """Objects of a prefix land below the output without the prefix's directories."""
    ais("put", tree, f"{uri}/data/", "-r")
    ais("get", uri, tmp_path / "out", "--prefix", "data/sub/")
    assert sorted(contents(tmp_path / "out")) == ["c.txt", "deep/d.txt", "ö ü+%.txt"]
    ais("get", f"{uri}/data/", tmp_path / "two", "--prefix", "", "--limit", "2")
    assert len(contents(tmp_path / "two")) == 2


def test_left_out_directories_are_mentioned(ais: Any, uri: str, tree: Path) -> None:
    """Without --recursive the files of the directory itself are put, and a note tells of the rest."""
    shown = ais("put", tree, uri)
    assert "--recursive puts them too" in shown.stderr
    assert ais("ls", uri, "--name-only", "-H").stdout.split() == ["a.bin", "b.bin", "empty"]


def test_single_object(ais: Any, uri: str, tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One file, under its own or another name; one object, into a file, a directory, the current directory, stdout."""
    ais("put", tree / "a.bin", uri)
    ais("put", tree / "a.bin", f"{uri}/x/other")
    data = (tree / "a.bin").read_bytes()
    monkeypatch.chdir(tmp_path)
    ais("get", f"{uri}/a.bin")
    ais("get", f"{uri}/x/other", "renamed")
    ais("get", f"{uri}/x/other", "new/dir/")
    assert [(tmp_path / name).read_bytes() for name in ("a.bin", "renamed", "new/dir/other")] == [data] * 3
    assert ais("get", f"{uri}/a.bin", "-").stdout_bytes == data
    assert ais("get", f"{uri}/a.bin", "-", "--offset", "10", "--length", "20").stdout_bytes == data[10:30]
    assert ais("object", "cat", f"{uri}/a.bin", "--offset", "990").stdout_bytes == data[990:]
    ais("get", f"{uri}/a.bin", "/dev/null")


def test_missing_object_leaves_nothing(ais: Any, uri: str, tmp_path: Path) -> None:
    """A failed get has exit code 3 and leaves neither a file nor a temporary one."""
    assert "does not exist" in ais("get", f"{uri}/none", tmp_path / "out", code=3).stderr
    assert "does not exist" in ais("get", "ais://no-such-bucket/none", tmp_path / "out", code=3).stderr
    assert list(tmp_path.iterdir()) == []


def test_bad_range(ais: Any, uri: str, tmp_path: Path) -> None:
    """A range behind the end is an error of the cluster, told as such."""
    ais("put", "-", f"{uri}/o", stdin=b"12345")
    assert "not satisfiable" in ais("get", f"{uri}/o", tmp_path / "out", "--offset", "10", code=1).stderr


def test_standard_input(ais: Any, uri: str) -> None:
    """Standard input of unknown length is streamed into an object."""
    data = os.urandom(3_000_000)
    ais("put", "-", f"{uri}/stream", stdin=data)
    assert ais("object", "cat", f"{uri}/stream").stdout_bytes == data


def test_patterns_and_ranges(ais: Any, uri: str, tmp_path: Path) -> None:
    """A quoted pattern, a range and a list select files; a range selects objects."""
    for number in range(8):
        (tmp_path / f"s-{number:02d}.tar").write_bytes(b"x" * number)
    ais("put", f"{tmp_path}/s-{{00..03}}.tar", uri)
    ais("put", f"{tmp_path}/*-04.tar", uri)
    ais("put", f"{uri}/list/", "--list", f"{tmp_path}/s-05.tar,{tmp_path}/s-06.tar")
    ais("put", f"{uri}/t/", "--template", f"{tmp_path}/s-{{00..06..3}}.tar")
    assert ais("ls", uri, "--name-only", "-H").stdout.split() == [
        *("list/s-05.tar", "list/s-06.tar", "s-00.tar", "s-01.tar", "s-02.tar", "s-03.tar", "s-04.tar"),
        *("t/s-00.tar", "t/s-03.tar", "t/s-06.tar"),
    ]
    ais("get", uri, tmp_path / "out", "--template", "s-{01..03}.tar")
    assert sorted(contents(tmp_path / "out")) == ["s-01.tar", "s-02.tar", "s-03.tar"]


def test_failures_are_summarised(ais: Any, uri: str, tree: Path) -> None:
    """What cannot be put is named, everything else is put, and the command fails."""
    (tree / "broken").symlink_to("nowhere")
    shown = ais("put", tree, uri, "-r", code=1)
    assert "broken: No such file or directory" in shown.stderr
    assert f"1 failed, 6 put into {uri}" in shown.stderr
    assert ais("ls", uri, "--count-only").stdout == "6\n"


def test_missing_bucket_is_said_once(ais: Any, tree: Path, tmp_path: Path) -> None:
    """What every file would meet ends the command at once, with its own exit code."""
    for words in (
        ("put", tree, "ais://no-such-bucket", "-r"),
        ("get", "ais://no-such-bucket", tmp_path / "out", "--template", "o-{0..99}"),
        ("rmo", "ais://no-such-bucket", "--list", "a,b", "-y"),
    ):
        assert ais(*words, code=3).stderr.count("does not exist") == 1


def test_files_and_directories_of_one_name(ais: Any, uri: str, tmp_path: Path) -> None:
    """Objects `a` and `a/b` cannot both be files here: one is got, the other is named."""
    for name in ("a", "a/b", "c"):
        ais("put", "-", f"{uri}/{name}", stdin=b"x")
    shown = ais("get", uri, tmp_path / "out", "--prefix", "", "--num-workers", "1", code=1)
    assert "1 failed, 2 read" in shown.stderr
    assert sorted(contents(tmp_path / "out")) == ["a", "c"]


def test_checksums(ais: Any, uri: str, tree: Path) -> None:
    """A claimed checksum is verified by the cluster; a computed one saves a second write."""
    path = tree / "a.bin"
    ais("put", path, f"{uri}/ok", "--xxhash2", xxhash.xxh64_hexdigest(path.read_bytes()))
    wrong = ais("put", path, f"{uri}/wrong", "--xxhash2", "0" * 16, code=1)
    assert "BAD DATA CHECKSUM" in wrong.stderr
    ais("get", f"{uri}/wrong", "-", code=3)
    for _ in range(2):
        ais("put", tree, uri, "-r", "--compute-checksum")
    assert " 1 " in ais("ls", f"{uri}/a.bin", "--props", "version").stdout.splitlines()[1] + " "


def test_dry_run(ais: Any, uri: str, tree: Path) -> None:
    """--dry-run names files and objects, and puts nothing."""
    assert f"PUT {tree}/sub/c.txt => {uri}/p/sub/c.txt" in ais("put", tree, f"{uri}/p/", "-r", "--dry-run").stdout
    assert ais("ls", uri, "--count-only").stdout == "0\n"


def test_quiet(ais: Any, uri: str, tree: Path, tmp_path: Path) -> None:
    """--quiet prints nothing when all is well."""
    for words in (
        ("put", tree, uri, "-r"),
        ("get", uri, tmp_path / "out", "--prefix", ""),
        ("rmo", uri, "--all", "-y"),
    ):
        shown = ais(*words, "--quiet")
        assert (shown.stdout, shown.stderr) == ("", "")


def test_progress_bar_needs_a_terminal(ais: Any, uri: str, tree: Path) -> None:
    """A progress bar appears when it is asked for, and not by itself when stderr is no terminal."""
    assert ais("put", tree, uri, "-r").stderr == ""
    assert "6/6" in ais("put", tree, uri, "-r", "--progress").stderr


def test_pipes_between_processes(ais: Any, uri: str) -> None:
    """The installed command works in a pipeline, and a reader that stops early is no crash."""
    ais("put", "-", f"{uri}/o", stdin=bytes(5_000_000))
    command = [sys.executable, "-c", "from ais_cli.main import main; main()", "object", "cat", f"{uri}/o"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.read(10) == bytes(10)
        process.stdout.close()
        assert b"Traceback" not in process.stderr.read()
