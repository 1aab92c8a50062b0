"""Objects made of several pieces: `ais object concat`, `ais object multipart-upload`."""

import re
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def pieces(tmp_path: Path) -> list[Path]:
    """Three files."""
    found = [tmp_path / f"part{number}" for number in (1, 2, 3)]
    for number, path in enumerate(found):
        path.write_bytes(bytes([65 + number]) * 100_000)
    return found


def test_concat(ais: Any, uri: str, pieces: list[Path]) -> None:
    """Files and directories become one object, in the order named; what is not there is refused in time."""
    assert "size 292.97KiB" in ais("object", "concat", *pieces, f"{uri}/whole").stdout
    assert ais("object", "cat", f"{uri}/whole").stdout_bytes == b"".join(one.read_bytes() for one in pieces)
    ais("object", "concat", pieces[0].parent, f"{uri}/directory")
    assert ais("object", "cat", f"{uri}/directory").stdout_bytes == b"".join(one.read_bytes() for one in pieces)
    assert "no such file" in ais("object", "concat", "/nonexistent", f"{uri}/none", code=2).stderr
    ais("object", "show", f"{uri}/none", code=3)


def test_multipart(ais: Any, uri: str, pieces: list[Path]) -> None:
    """Parts are uploaded in any order, by position or by option, and become the object in the order named."""
    started = ais("mpu", "create", f"{uri}/film").stdout
    upload = re.fullmatch(r"Upload ID: (\S+)\n", started)
    assert upload is not None
    ais("mpu", "put-part", f"{uri}/film", upload[1], "2", pieces[1])
    ais("mpu", "put-part", f"{uri}/film", "--upload-id", upload[1], "--part-number", "1", pieces[0])
    ais("mpu", "complete", f"{uri}/film", upload[1], "1,2")
    assert ais("object", "cat", f"{uri}/film").stdout_bytes == pieces[0].read_bytes() + pieces[1].read_bytes()


def test_abort(ais: Any, uri: str, pieces: list[Path]) -> None:
    """An upload that was given up takes no more parts and makes no object."""
    upload = ais("object", "multipart-upload", "create", f"{uri}/film").stdout.split()[-1]
    ais("mpu", "abort", f"{uri}/film", "--upload-id", upload)
    assert ais("mpu", "put-part", f"{uri}/film", upload, "1", pieces[0], code=3).stderr
    ais("object", "show", f"{uri}/film", code=3)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("put-part", "ais://b/o"), "UPLOAD_ID is missing"),
        (("put-part", "ais://b/o", "ID"), "PART_NUMBER is missing"),
        (("put-part", "ais://b/o", "ID", "0", "x"), "is not in the range"),
        (("put-part", "ais://b/o", "ID", "1", "/nonexistent"), "is no file"),
        (("complete", "ais://b/o", "ID", "1,x"), "not a valid"),
        (("complete", "ais://b/o", "ID", "1", "2"), "too many arguments"),
        (("abort", "ais://b"), "an object is BUCKET/OBJECT"),
    ],
)
def test_wrong_parts(words: tuple[str, ...], message: str, ais_offline: Any) -> None:
    """What is missing or makes no sense is named before a cluster is asked."""
    assert message in ais_offline("mpu", *words, code=2).stderr
