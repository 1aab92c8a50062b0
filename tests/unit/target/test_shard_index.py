"""Indexes of a target's shards: used without a look at the shard, never for another content, gone with their object."""

import io
import os
import tarfile
import zipfile
from pathlib import Path

import pytest
from harness.at_once import put_at_once

from ais.api.bucket import Bck
from ais.core.store import Store
from ais.core.workfile import WriteRules
from ais.env import Env
from ais.env.disk import Disk
from ais.fs.volume import Volume
from ais.scrub.indexes import of_nothing
from ais.target.shard_index import Found, ShardIndexes, State

BCK = Bck("b")
COUNT = 300


class CountingDisk(Disk):
    """Counts what is read."""

    reads = 0

    def pread(self, fd: int, size: int, offset: int) -> bytes:
        self.reads += 1
        return os.pread(fd, size, offset)


class Bench:
    """A store with one bucket, and the indexes of its shards."""

    def __init__(self, root: Path, rules: WriteRules) -> None:
        (root / "mp").mkdir()
        self.root, self.rules = root, rules
        self.disk = CountingDisk()
        env = Env(disk=self.disk)
        volume = Volume.load_or_create(env, [str(root / "mp")])
        volume.create_bucket(BCK, 1)
        self.store = Store(volume, env)
        self.indexes = ShardIndexes(self.store, self.disk)

    def put(self, name: str, content: bytes) -> None:
        put_at_once(self.store, BCK, name, self.rules, content)

    def build(self, name: str) -> int:
        opened = self.store.open(BCK, name)
        try:
            return self.indexes.build(BCK, name, opened)
        finally:
            os.close(opened.fd)

    def find(self, name: str, member: str, mime: str = "") -> tuple[Found | None, bytes]:
        """What the index says, and the bytes at that place; without any other read of the shard."""
        opened = self.store.open(BCK, name)
        try:
            self.disk.reads = 0
            found = self.indexes.find(BCK, name, opened, member, mime)
            place = found.place if found is not None else None
            return found, os.pread(opened.fd, place.size, place.offset or 0) if place is not None else b""
        finally:
            os.close(opened.fd)

    def state(self, name: str) -> State:
        return self.indexes.state(BCK, name, self.store.head(BCK, name).meta)[0]

    def files(self) -> list[Path]:
        return list((self.root / "mp/@ais/b/%ix").glob("*"))


@pytest.fixture(params=["xxhash2", "none"])
def bench(tmp_path: Path, request: pytest.FixtureRequest) -> Bench:
    """With and without checksums."""
    return Bench(tmp_path, WriteRules(checksum_kind=request.param))


def tar_of(mark: bytes) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for number in range(COUNT):
            info = tarfile.TarInfo(f"d/{number}")
            info.size = 1000
            tar.addfile(info, io.BytesIO(mark * 1000))
    return out.getvalue()


def zip_of(method: int) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for number in range(COUNT):
            archive.writestr(f"d/{number}", b"%d" % number * 100)
    return out.getvalue()


def test_two_reads_find_a_member_and_a_third_is_the_member(bench: Bench):
    """Wherever it lies in the shard; one that is not there takes the same two."""
    bench.put("s.tar", tar_of(b"a"))
    assert bench.build("s.tar") == COUNT
    for number in range(COUNT):
        found, content = bench.find("s.tar", f"/d/{number}")
        assert (found is not None, content, bench.disk.reads) == (True, b"a" * 1000, 2)
    assert bench.find("s.tar", "nosuch")[0] == Found(None)
    assert bench.disk.reads == 2


def test_an_index_of_another_content_is_not_used(bench: Bench):
    """A shard of the same name, size and members that was written later; its own index is."""
    bench.put("s.tar", tar_of(b"a"))
    bench.build("s.tar")
    bench.put("s.tar", tar_of(b"b"))
    assert bench.find("s.tar", "d/1")[0] is None
    assert bench.state("s.tar") is State.STALE
    bench.build("s.tar")
    assert bench.find("s.tar", "d/1")[1] == b"b" * 1000
    assert bench.state("s.tar") is State.VALID


def test_a_damaged_index_is_not_used(bench: Bench):
    """Every bit of a page counts, and so does its length."""
    bench.put("s.tar", tar_of(b"a"))
    bench.build("s.tar")
    (file,) = bench.files()
    raw = file.read_bytes()
    file.write_bytes(raw[:4096] + bytes([raw[4096] ^ 1]) + raw[4097:])
    assert any(bench.find("s.tar", f"d/{number}")[0] is None for number in range(COUNT))
    file.write_bytes(b"")
    assert bench.find("s.tar", "d/1")[0] is None
    assert bench.state("s.tar") is State.INVALID


def test_zip_too(bench: Bench):
    """Stored members by their place; compressed ones need the archive."""
    bench.put("s.zip", zip_of(zipfile.ZIP_STORED))
    bench.build("s.zip")
    assert bench.find("s.zip", "d/7")[1] == b"7" * 100
    bench.put("s.zip", zip_of(zipfile.ZIP_DEFLATED))
    bench.build("s.zip")
    assert bench.find("s.zip", "d/7")[0] is None
    assert bench.find("s.zip", "nosuch")[0] == Found(None)


def test_a_shard_read_as_another_format_has_no_index(bench: Bench):
    """What the request says counts."""
    bench.put("s.tar", tar_of(b"a"))
    bench.build("s.tar")
    assert bench.find("s.tar", "d/1", ".zip")[0] is None
    assert bench.find("s.tar", "d/1", "application/x-tar")[0] is not None


def test_an_index_goes_with_its_object(bench: Bench):
    """Nothing is left of a shard that was deleted."""
    bench.put("s.tar", tar_of(b"a"))
    bench.build("s.tar")
    assert len(bench.files()) == 1
    bench.store.delete(BCK, "s.tar")
    assert bench.files() == []


def test_cleanup_finds_what_is_of_no_use(bench: Bench):
    """Of a shard that was overwritten, or that is gone without its index, and damaged ones; never one that holds."""
    for name in ("good.tar", "stale.tar", "gone.tar", "bad.tar"):
        bench.put(name, tar_of(b"a"))
        bench.build(name)
    useless = [bench.store.indexes.path(bench.store.spot(BCK, f"{one}.tar"), f"{one}.tar") for one in
               ("stale", "gone", "bad")]  # fmt: skip
    bench.put("stale.tar", tar_of(b"b"))
    (bench.root / "mp/@ais/b/%ob/gone.tar").unlink()
    Path(useless[2]).write_bytes(b"x")
    assert {path for path, _ in of_nothing(bench.store, bench.disk, [BCK])} == set(useless)
