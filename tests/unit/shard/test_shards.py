"""Archives of every format: what was written is read, what is hostile or damaged is a clear error."""

import gc
import io
import random
import tarfile
import zipfile
import zlib

import pytest

from ais.base.errors import BadRequest
from ais.shard import formats, match, reading
from ais.shard.appending import copy_members
from ais.shard.formats import Format
from ais.shard.reading import BadShard, members
from ais.shard.writing import shard_writer

ANY = pytest.mark.parametrize("kind", list(Format))
FILES = {"a/1.jpg": 3000, "a/1.cls": 1, "empty": 0, "long/" + "x" * 300: 700, "ü.bin": 1 << 20}


def content_of(name: str) -> bytes:
    return random.Random(name).randbytes(FILES[name])


def shard_of(kind: Format) -> bytes:
    """A shard with `FILES`."""
    out = io.BytesIO()
    writer = shard_writer(kind, out.write)
    for name in FILES:
        add(writer, name, content_of(name))
    writer.close()
    return out.getvalue()


def add(writer, name: str, content: bytes) -> None:
    writer.begin(name, len(content), 0)
    for start in range(0, len(content), 10_000):
        writer.write(content[start : start + 10_000])
    writer.end()


def read(raw: bytes, kind: Format) -> list[tuple[str, bytes]]:
    return [(member.name, b"".join(content())) for member, content in members(io.BytesIO(raw), kind)]


@ANY
def test_what_is_written_is_read(kind: Format):
    """Names, order, bytes; and where a member lies as it is, these are its bytes."""
    raw = shard_of(kind)
    assert read(raw, kind) == [(name, content_of(name)) for name in FILES]
    for member, _ in members(io.BytesIO(raw), kind):
        if member.offset is not None:
            assert raw[member.offset : member.offset + member.size] == content_of(member.name)
    assert formats.by_magic(raw[: formats.MAGIC_BYTES]) is kind


def test_other_programs_read_them():
    """tarfile and zipfile, which have nothing of ours."""
    with tarfile.open(fileobj=io.BytesIO(shard_of(Format.TGZ))) as tar:
        assert tar.getnames() == list(FILES)
    with zipfile.ZipFile(io.BytesIO(shard_of(Format.ZIP))) as archive:
        assert archive.namelist() == list(FILES)
        assert archive.testzip() is None


@ANY
def test_appending_keeps_what_is_there(kind: Format):
    """Members are added behind the others."""
    out = io.BytesIO()
    writer = copy_members(io.BytesIO(shard_of(kind)), kind, out.write)
    add(writer, "new", b"new content")
    writer.close()
    assert read(out.getvalue(), kind) == [*((name, content_of(name)) for name in FILES), ("new", b"new content")]


@ANY
def test_one_member_is_found(kind: Format):
    """By its name, also with a leading slash; its content is there when the search is over."""
    found = reading.find(io.BytesIO(shard_of(kind)), kind, "/a/1.jpg")
    assert found is not None
    assert b"".join(found[1]()) == content_of("a/1.jpg")
    assert reading.find(io.BytesIO(shard_of(kind)), kind, "none") is None


@ANY
def test_what_is_cut_or_flipped_is_refused_or_whole(kind: Format):
    """No cut and no flipped byte makes anything but `BadShard`, and no member is shorter than announced."""
    raw, rng = shard_of(kind)[:20_000], random.Random(1)
    for _ in range(150):
        broken = bytearray(raw[: rng.randrange(len(raw))])
        for _ in range(rng.randrange(3)):
            if broken:
                broken[rng.randrange(len(broken))] ^= 1 << rng.randrange(8)
        try:
            for member, content in members(io.BytesIO(broken), kind):
                assert sum(map(len, content())) == member.size
        except BadShard:
            pass


def test_a_tar_without_its_end_is_refused():
    """A tar that was cut inside a header says so; one that only lacks the end mark is read."""
    raw = shard_of(Format.TAR)
    end = raw.rstrip(b"\0")
    with pytest.raises(BadShard):
        read(raw[: len(end) - len(end) % 512 - (1 << 20) - 300], Format.TAR)


def test_links_devices_and_climbing_names_are_passed_over():
    """Only files whose names stay inside are members."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, kind in [("link", tarfile.SYMTYPE), ("dev", tarfile.CHRTYPE), ("dir", tarfile.DIRTYPE)]:
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, "/etc/passwd"
            tar.addfile(info)
        for name in ["../up", "a/../../b", "./fine", "/absolute"]:
            info = tarfile.TarInfo(name)
            info.size = 1
            tar.addfile(info, io.BytesIO(b"x"))
    assert [name for name, _ in read(out.getvalue(), Format.TAR)] == ["fine", "absolute"]


def test_a_header_that_claims_gigabytes_is_refused():
    """Extended headers are held in memory: one that is too large is not read, also when it is compressed."""
    info = tarfile.TarInfo("././@LongLink")
    info.type, info.size = tarfile.GNUTYPE_LONGNAME, 1 << 30
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    bomb = packer.compress(info.tobuf(tarfile.GNU_FORMAT)) + packer.compress(bytes(64 << 20)) + packer.flush()
    with pytest.raises(BadShard, match="header"):
        read(bomb, Format.TGZ)


def test_an_encrypted_zip_is_refused():
    """What we cannot read is said, before the first byte."""
    raw = bytearray(shard_of(Format.ZIP))
    for signature, flags_at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        raw[raw.index(signature) + flags_at] |= 1
    with pytest.raises(BadShard):
        read(bytes(raw), Format.ZIP)


@pytest.mark.parametrize(
    ("mode", "pattern", "found"),
    [
        ("prefix", "a/", ["a/1.jpg", "a/1.cls"]),
        ("suffix", ".cls", ["a/1.cls"]),
        ("substr", "mpt", ["empty"]),
        ("wdskey", "a/1", ["a/1.jpg", "a/1.cls"]),
        ("regexp", r"\.(jpg|cls)$", ["a/1.jpg", "a/1.cls"]),
        ("regexp", "", list(FILES)),
    ],
)
def test_modes_of_matching(mode: str, pattern: str, found: list[str]):
    """Each mode of AIStore."""
    assert list(filter(match.matcher(pattern, mode), FILES)) == found


def test_bad_patterns():
    """An unknown mode, an expression that is none, and one that would take for ever elsewhere."""
    for pattern, mode in [("x", "nosuch"), ("[", "regexp"), ("(a{1000}){1000}", "regexp"), ("x" * 2000, "regexp")]:
        with pytest.raises(BadRequest):
            match.matcher(pattern, mode)
    assert not match.matcher("(a+)+$", "regexp")("a" * 5000 + "b")


def test_an_archive_that_is_given_up_writes_nothing_more():
    """Its file may be closed, and the number of its descriptor another file's, when the garbage collector comes by."""
    pieces: list[bytes] = []
    writer = shard_writer(Format.ZIP, lambda data: pieces.append(bytes(data)))
    add(writer, "a", b"content")
    pieces.clear()
    del writer
    gc.collect()
    assert pieces == []


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_STORED])
def test_a_zip_that_points_before_its_beginning(method: int):
    """A byte is missing at its start, so that a header is looked for at a negative offset: a clear error."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        archive.writestr("a", b"content")
    with pytest.raises(BadShard):
        read(out.getvalue()[1:], Format.ZIP)
