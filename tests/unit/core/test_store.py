"""Objects of one target on real directories."""

import contextlib
import hashlib
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

import msgspec
import pytest

from ais.api import checksum
from ais.api.bucket import Bck
from ais.base.errors import (
    BadRequest,
    BucketNotFound,
    ChecksumMismatch,
    CorruptMetadata,
    DiskFailure,
    NotReady,
    ObjectNotFound,
    OutOfSpace,
)
from ais.core import meta as metadata
from ais.core.meta import ObjectMeta
from ais.core.store import Removed, Store, StoreLimits
from ais.core.workfile import WriteRules
from ais.env import Env
from ais.env.clock import SystemClock
from ais.fs.locks import StripeBusy
from ais.meta.smap import digest


def test_what_is_written_is_read(bench: Any) -> None:
    """Content, size, checksum, version and custom metadata come back."""
    stored = bench.put("dir/a", b"hello", custom={"k": "v"})
    assert bench.plain(stored) == ObjectMeta(5, "xxhash2", "26c7827d889f6da3", "1", {"k": "v"})
    assert bench.get("dir/a") == b"hello"
    assert bench.store.head(bench.bck, "dir/a").meta == stored


def test_an_overwrite_counts_the_version_and_forgets_custom(bench: Any) -> None:
    """Each PUT is a new object with the next version."""
    bench.put("a", custom={"k": "v"})
    assert bench.put("a", b"other").version == "2"
    assert bench.store.head(bench.bck, "a").meta.custom == {}
    assert bench.put("a", rules=WriteRules(versioning=False)).version == ""
    assert bench.put("a", version="41").version == "41"
    assert bench.put("a").version == "42"


def test_a_reader_keeps_the_object_it_opened(bench: Any) -> None:
    """An overwrite or a delete does not change what an open descriptor reads."""
    bench.put("a", b"old")
    opened = bench.store.open(bench.bck, "a")
    bench.put("a", b"newer")
    bench.store.delete(bench.bck, "a")
    assert os.read(opened.fd, 10) == b"old"
    os.close(opened.fd)


@pytest.mark.parametrize(
    "names",
    [("a", "a/b"), ("a/b", "a"), ("a", "a/b/c", "a/b"), ("a/", "a", "a//"), ("x" * 600, "x" * 600 + "/y", "x" * 240)],
)
def test_a_name_may_be_a_directory_too(bench: Any, names: tuple[str, ...]) -> None:
    """`a` and `a/b` live side by side, in whatever order they come, are overwritten and go."""
    for turn in (b"1", b"2"):
        for name in names:
            bench.put(name, name.encode() + turn)
    for name in names:
        assert bench.get(name) == name.encode() + b"2"
        assert bench.store.head(bench.bck, name).meta.version == "2"
    for name in names:
        bench.store.delete(bench.bck, name)
        with pytest.raises(ObjectNotFound):
            bench.store.open(bench.bck, name)
    assert bench.leftovers() == []


@pytest.mark.parametrize("rules", [WriteRules(), WriteRules(versioning=False), WriteRules(checksum_kind="none")])
def test_what_needs_only_a_name_is_as_what_is_asked_a_condition(bench: Any, rules: WriteRules) -> None:
    """Writes without a condition take a shorter way (`Publisher._publish_plain`), to the same metadata and files."""
    claimed = ("xxhash2", checksum.compute("xxhash2", b"same"))
    writes: list[tuple[str, bytes, dict[str, Any]]] = [
        ("a", b"1", {}),
        ("a", b"same", {"custom": {"k": "v"}}),
        ("a", b"same", {"custom": {"k": "v"}, "claimed": claimed}),
        ("a/b", b"below a file", {}),
        ("d/e/f", b"in new directories", {"facts": {"etag": "x"}}),
        ("d/e", b"over a directory", {"version": "7"}),
        ("d/e", b"again", {}),
        ("d/e/f", b"at a time", {"times_ns": (1, 2)}),
    ]
    found: list[list[ObjectMeta]] = []
    for prefix, condition in (("short/", None), ("long/", lambda _: None)):
        made = []
        for name, content, options in writes:
            writer = bench.store.writer(bench.bck, prefix + name, rules, **options)
            writer.write(content)
            made.append(bench.plain(writer.commit(condition)))
            assert bench.get(prefix + name) == content
        found.append(made)
    assert found[0] == found[1]
    tops = [next(bench.root.glob(f"mp0/@ais/*/%ob/{prefix}")) for prefix in ("short", "long")]
    short, long = (sorted(str(path.relative_to(top)) for path in top.rglob("*")) for top in tops)
    assert short == long


@pytest.mark.parametrize("missing", ["a", "d", "d/x", "a/b", "f/g", "f/g/h"])
def test_a_missing_object_is_not_found(bench: Any, missing: str) -> None:
    """Also where a directory or a file of another object is."""
    bench.put("d/e")
    bench.put("f")
    for call in (bench.store.open, bench.store.delete, bench.store.head):
        with pytest.raises(ObjectNotFound, match=f"ais://b/{missing} does not exist"):
            call(bench.bck, missing)


def test_a_wrong_checksum_leaves_the_old_object(bench: Any) -> None:
    """A claimed checksum is verified before anything becomes visible, whatever kind it is."""
    bench.put("a", b"old")
    for kind in ("xxhash2", "md5"):
        with pytest.raises(ChecksumMismatch):
            bench.put("a", b"new", claimed=(kind, "00"))
    assert bench.get("a") == b"old"


def test_a_claim_of_another_kind_is_verified_too(bench: Any) -> None:
    """The bucket's kind is stored, the client's is checked."""
    stored = bench.put("a", b"new", claimed=("md5", hashlib.md5(b"new").hexdigest().upper()))
    assert stored.checksum_kind == "xxhash2"


def test_the_same_content_is_the_same_version(bench: Any) -> None:
    """A claimed checksum equal to the stored one is the same version; with other custom metadata it is the next one."""
    first = bench.put("a", b"same")
    claim = ("xxhash2", first.checksum)
    assert bench.plain(bench.put("a", b"same", claimed=claim)) == bench.plain(first)
    assert bench.put("a", b"same", claimed=claim, custom={"k": "v"}).version == "2"
    assert bench.put("a", b"same").version == "3"


def test_a_condition_is_asked_under_the_lock(bench: Any) -> None:
    """It sees what is stored, and its refusal leaves that."""
    asked: list[ObjectMeta | None] = []
    for content in (b"1", b"2"):
        writer = bench.store.writer(bench.bck, "a", bench.rules)
        writer.write(content)
        writer.commit(asked.append)
    assert [meta and meta.version for meta in asked] == [None, "1"]

    def refuse(_: ObjectMeta | None) -> None:
        raise BadRequest("no")

    writer = bench.store.writer(bench.bck, "a", bench.rules)
    with pytest.raises(BadRequest):
        writer.commit(refuse)
    with pytest.raises(BadRequest):
        bench.store.delete(bench.bck, "a", refuse)
    assert bench.get("a") == b"2"


def test_a_busy_stripe_can_be_tried_again(bench: Any) -> None:
    """Without waiting, a commit says that the lock is taken and may be repeated."""
    (mountpath,) = bench.volume.available
    writer = bench.store.writer(bench.bck, "a", bench.rules)
    writer.write(b"x")
    with mountpath.stripes.held(digest("ais/@#/b/a")), pytest.raises(StripeBusy):
        writer.commit(wait=False)
    writer.commit(wait=False)
    assert bench.get("a") == b"x"


@pytest.mark.parametrize("kind", checksum.KINDS)
def test_a_put_at_once_stores_the_same(bench: Any, kind: str) -> None:
    """The same content and metadata, counted on, as with a writer; a stripe that is taken leaves nothing behind."""
    rules = WriteRules(checksum_kind=kind)
    for name in ("a", "a/b"):
        first = bench.put(name, b"content", rules)
        second = bench.put_at_once(name, b"content", rules)
        assert bench.plain(second) == msgspec.structs.replace(bench.plain(first), version="2")
        assert bench.store.head(bench.bck, name).meta == second
        assert bench.get(name) == b"content"
    (mountpath,) = bench.volume.available
    with mountpath.stripes.held(digest("ais/@#/b/a")), pytest.raises(StripeBusy):
        bench.put_at_once("a", b"later", rules)
    assert bench.get("a") == b"content"


def test_a_destroyed_bucket_does_not_come_back(bench: Any) -> None:
    """A write that began before the bucket went finds no bucket, and when a new one has the name does not go there."""
    for name, recreate in (("a", False), ("d/e", False), ("d/e", True)):
        writer = bench.store.writer(bench.bck, name, bench.rules)
        writer.write(b"x")
        bench.volume.trash_bucket(bench.bck)
        if recreate:
            bench.volume.create_bucket(bench.bck, 2)
        with pytest.raises(NotReady if recreate else BucketNotFound):
            writer.commit()
        bench.volume.create_bucket(bench.bck, 2)
        with pytest.raises(ObjectNotFound):
            bench.store.open(bench.bck, name)
    with pytest.raises(BucketNotFound):
        bench.store.writer(Bck("other"), "a", bench.rules)


def test_abort_leaves_nothing(bench: Any) -> None:
    """Nor does aborting twice, or after the end, do harm."""
    writer = bench.store.writer(bench.bck, "a", bench.rules)
    writer.write(b"x")
    writer.abort()
    writer.abort()
    assert bench.leftovers() == []


def test_custom_metadata_is_merged_or_replaced(bench: Any) -> None:
    """The content, version and modification time stay."""
    bench.put("a/b")
    before = bench.put("a", custom={"k": "v", "l": "w"})
    mtime = bench.store.head(bench.bck, "a").stat.st_mtime_ns
    merged = bench.store.set_custom(bench.bck, "a", {"l": "x"}, replace=False)
    assert merged.custom == {"k": "v", "l": "x"}
    assert bench.store.set_custom(bench.bck, "a", {"m": "y"}, replace=True).custom == {"m": "y"}
    after = bench.store.head(bench.bck, "a")
    assert (after.meta.version, after.stat.st_mtime_ns) == (before.version, mtime)
    with pytest.raises(BadRequest):
        bench.store.set_custom(bench.bck, "a", {"n": "z" * 2047}, replace=False)
    with pytest.raises(ObjectNotFound):
        bench.store.set_custom(bench.bck, "none", {}, replace=True)


@pytest.mark.parametrize("mountpaths", [1, 2])
@pytest.mark.parametrize(
    ("source", "target"), [("a", "b"), ("a", "a/b"), ("a/b", "a"), ("a", "d/e/f"), ("d/a", "b"), ("a", "over")]
)
def test_rename_moves_the_object(make_bench: Callable[..., Any], mountpaths: int, source: str, target: str) -> None:
    """Content, version and custom metadata go along; the old name is gone, directories too."""
    bench = make_bench(mountpaths)
    bench.put("over", b"overwritten")
    bench.put(source, b"first")
    before = bench.put(source, b"content", custom={"k": "v"})
    bench.store.rename(bench.bck, source, target, bench.rules)
    assert bench.get(target) == b"content"
    assert bench.plain(bench.store.head(bench.bck, target).meta) == bench.plain(before)
    with pytest.raises(ObjectNotFound):
        bench.store.open(bench.bck, source)
    with pytest.raises(BadRequest):
        bench.store.rename(bench.bck, target, target, bench.rules)
    with pytest.raises(ObjectNotFound):
        bench.store.rename(bench.bck, source, target, bench.rules)
    assert bench.leftovers() == []


def test_a_rename_that_waited_gives_no_name_that_is_another_targets_by_then(bench: Any) -> None:
    """Names get other owners while it waits for the object's lock: what walks to the owners may have passed already."""
    bench.put("a", b"content")
    stripes, key = bench.volume.available[0].stripes, digest(bench.bck.uname + "a")
    with ThreadPoolExecutor(1) as pool:
        with stripes.held(key):
            renaming = pool.submit(bench.store.rename, bench.bck, "a", "b", bench.rules)
            assert not wait([renaming], timeout=0.2).done
            bench.volume.follow_owners(lambda _key: False)
        with pytest.raises(NotReady):
            renaming.result()
    bench.volume.follow_owners(None)
    assert bench.get("a") == b"content"


def test_copy_verifies_what_it_reads(bench: Any) -> None:
    """A copy is a new version of its name; bad content is not copied."""
    other = Bck("other")
    bench.volume.create_bucket(other, 2)
    bench.put("a", b"content", custom={"k": "v"})
    copied = bench.store.copy(bench.bck, "a", other, "x/y", WriteRules("md5"))
    assert (copied.checksum_kind, copied.version, copied.custom) == ("md5", "1", {"k": "v"})
    path = next(bench.root.glob("mp0/@ais/b/%ob/a"))
    path.write_bytes(b"CONTENT")
    with pytest.raises(ChecksumMismatch):
        bench.store.copy(bench.bck, "a", other, "z", bench.rules)
    opened = bench.store.open(bench.bck, "a")
    with pytest.raises(ChecksumMismatch):
        bench.store.verify(bench.bck, "a", opened)
    os.close(opened.fd)


def test_damaged_metadata_is_an_error_and_can_be_overwritten(bench: Any) -> None:
    """A file without our attribute, or of another size, is not served as an object."""
    bench.put("a")
    path = str(next(bench.root.glob("mp0/@ais/b/%ob/a")))
    with open(path, "ab") as file:
        file.write(b"more")
    with pytest.raises(CorruptMetadata, match="its metadata says 7"):
        bench.store.open(bench.bck, "a")
    os.removexattr(path, metadata.XATTR)
    with pytest.raises(CorruptMetadata, match="no object metadata"):
        bench.store.open(bench.bck, "a")
    assert bench.put("a").version == "1"
    os.setxattr(path, metadata.XATTR, b"junk")
    assert bench.store.delete(bench.bck, "a") == Removed(None, None)


def test_what_is_known_of_a_file_is_never_stale(bench: Any) -> None:
    """Another process's overwrite or change of metadata is seen; an unchanged file is remembered when read again."""
    bench.put("a", b"old")
    path = str(next(bench.root.glob("mp0/@ais/b/%ob/a")))
    past = os.stat(path).st_ctime_ns + 10**9
    bench.store._clock = type("Later", (), {"now_ns": staticmethod(lambda: past)})
    assert bench.store.head(bench.bck, "a").known is None
    known = bench.store.head(bench.bck, "a").known
    known.annotation = "mine"
    assert bench.store.head(bench.bck, "a").known.annotation == "mine"
    other = Store(bench.volume, bench.env)
    other.set_custom(bench.bck, "a", {"k": "v"}, replace=True)
    assert bench.store.head(bench.bck, "a").meta.custom == {"k": "v"}
    writer = other.writer(bench.bck, "a", bench.rules)
    writer.write(b"new")
    writer.commit()
    assert bench.get("a") == b"new"


def test_a_fresh_file_is_not_remembered(bench: Any) -> None:
    """A change within the resolution of the file system's clock could not be told."""
    bench.put("a")
    bench.store.head(bench.bck, "a")
    assert bench.store.head(bench.bck, "a").known is None


def test_the_table_of_spots_is_bounded(bench: Any) -> None:
    """Names that come once are not in it, many do not grow it, and none is lost by that."""
    store = Store(bench.volume, bench.env, limits=StoreLimits(spots_max=10))
    for index in range(100):
        bench.put(f"o{index}", b"%d" % index)
    for index in range(100):
        os.close(store.open(bench.bck, f"o{index}").fd)
    assert not store._spots._spots.young
    for index in range(200):
        os.close(store.open(bench.bck, f"o{index // 2}").fd)
    assert store._spots._spots.young
    assert len(store._spots._spots.young) + len(store._spots._spots.old) <= 10


def test_durable_writes_reach_the_disk_in_order(bench: Any) -> None:
    """With fsync: content and metadata, then every directory entry up to the bucket."""
    synced: list[str] = []
    real = bench.disk.fsync
    bench.disk.__dict__["fsync"] = lambda fd: (synced.append(os.readlink(f"/proc/self/fd/{fd}")), real(fd))
    bench.put("d/e/f", rules=WriteRules(fsync=True))
    content, *entries = synced
    assert "%wk" in content
    assert [os.path.basename(path) for path in entries] == ["e", "d", "%ob"]


def test_no_room_is_told_before_the_body(bench: Any) -> None:
    """An announced size that does not fit is refused at once."""
    with pytest.raises(OutOfSpace, match="left and"):
        bench.store.writer(bench.bck, "a", bench.rules, size_hint=1 << 60)


def test_a_disk_that_goes_during_a_write_is_no_missing_bucket(bench: Any) -> None:
    """The work file was made, then the disk is unmounted: 503 with the reason, not "the bucket does not exist"."""
    bench.put("o", b"old")
    writer = bench.store.writer(bench.bck, "o", bench.rules)
    writer.write(b"new")
    with unmounted(Path(writer.mountpath.path)):
        with pytest.raises(NotReady):
            writer.commit()
        with pytest.raises(NotReady):
            bench.store.delete(bench.bck, "o")
    assert bench.get("o") == b"old"
    bench.store.volume.sweep_workfiles()  # what could not be removed meanwhile goes at the next start


def test_nothing_is_called_missing_on_a_disk_that_is_gone(bench: Any) -> None:
    """A bucket, an append handle, an upload: 503 with the reason, and all of them go on when the disk is back."""
    store, bck = bench.store, bench.bck
    bench.put("o", b"old")
    uploads, home = store.uploads, store.spot(bck, "o")
    handle = store.appender(bck, "o", bench.rules, "t1").keep()
    upload_id = uploads.create(bck, "o", {}, {})
    upload = uploads.find(bck, "o", upload_id)
    first = uploads.part_writer(upload, 1, 1)
    first.write(b"1")
    part = first.commit({})
    second = uploads.part_writer(upload, 2, 1)
    second.write(b"2")

    def ends(what: Callable[[], Any]) -> None:
        with pytest.raises((NotReady, DiskFailure)):
            what()

    with unmounted(Path(home.mountpath.path)):
        ends(lambda: store.writer(bck, "o", bench.rules))
        ends(lambda: store.create_work(bck, home))
        ends(lambda: store.appender(bck, "o", bench.rules, "t1"))
        ends(lambda: store.appender(bck, "o", bench.rules, "t1", handle))
        ends(lambda: uploads.create(bck, "o", {}, {}))
        ends(lambda: uploads.find(bck, "o", upload_id))
        ends(lambda: uploads.part_writer(upload, 3, 1))
        ends(lambda: uploads.part_writer(upload, 3, None))
        ends(lambda: second.commit({}))
        ends(lambda: uploads.part_appender(upload, 1))
        ends(lambda: uploads.parts(upload))
        ends(lambda: uploads.complete(upload, [part], bench.rules, {}))
        ends(lambda: uploads.abort(upload))
    assert store.appender(bck, "o", bench.rules, "t1", handle).flush().size == 3
    assert uploads.complete(uploads.find(bck, "o", upload_id), [part], bench.rules, {}).size == 1
    assert bench.get("o") == b"1"


@contextlib.contextmanager
def unmounted(root: Path) -> Iterator[None]:
    """The disk of a mountpath is gone; its empty mount point is there."""
    root.rename(root.with_suffix(".away"))
    root.mkdir()
    try:
        yield
    finally:
        root.rmdir()
        root.with_suffix(".away").rename(root)


def test_a_work_file_that_is_gone_is_no_bucket_that_is_gone(bench: Any) -> None:
    """Whoever removed it: the write fails, and nobody is told that the bucket does not exist, until it is destroyed."""
    writer = bench.store.writer(bench.bck, "o", bench.rules)
    writer.write(b"content")
    os.unlink(writer.path)
    with pytest.raises(NotReady, match="try again"):
        writer.commit()
    writer = bench.store.writer(bench.bck, "o", bench.rules)
    bench.volume.trash_bucket(bench.bck)
    with pytest.raises(BucketNotFound):
        writer.commit()


class SetClock(SystemClock):
    """Says what it is told to."""

    time_ns = 10**18

    def now_ns(self) -> int:  # type: ignore[override]
        return self.time_ns


@pytest.mark.parametrize("is_coded", [False, True])
@pytest.mark.parametrize("versioning", [False, True])
def test_what_replaces_an_object_is_newer_whatever_the_clock_says(bench: Any, versioning: bool, is_coded: bool) -> None:
    """Where slices of the one before may be on a target that is away, its stamp alone outdates them."""
    if is_coded:
        bench.volume.code_buckets({bench.bck: 0}, ())
    elif not versioning:
        pytest.skip("nothing of the object before can be left")
    clock = SetClock()
    store = Store(bench.volume, Env(disk=bench.disk, clock=clock))
    stamps = []
    for _ in range(2):
        writer = store.writer(bench.bck, "o", WriteRules(versioning=versioning))
        writer.write(b"content")
        stamps.append(writer.commit().stamp)
        clock.time_ns -= 10**9
    assert stamps[0] < stamps[1]
