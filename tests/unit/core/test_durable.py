"""What `Fsync-PUT` covers, what is ordered without it, and what becomes of objects whose content a power loss took."""

import itertools
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from harness.recording import Careful, Recorder

from ais.base.errors import CorruptMetadata, ObjectNotFound
from ais.core.departure import Departures
from ais.core.listing import Lister
from ais.core.meta import ObjectMeta
from ais.core.recovery import remove_torn
from ais.core.relocate import Relocated, Relocator
from ais.core.store import Store
from ais.core.workfile import Keeping, WriteRules, at_once
from ais.env import Env
from ais.env.disk import Disk
from ais.fs.locks import StripeBusy
from ais.fs.record import State
from ais.fs.volume import Mirroring, Volume
from ais.meta.placement import Candidates
from ais.meta.smap import digest

RULES = WriteRules(fsync=True)
KEPT = WriteRules(fsync=True, keeping=Keeping.ENABLED)


class Recorded:
    """A store on a disk that is recorded."""

    def __init__(self, bench: Any) -> None:
        self.bck, self.disk = bench.bck, Recorder()
        self.store = Store(bench.volume, Env(disk=self.disk))

    def put(self, name: str, rules: WriteRules = RULES, content: bytes = b"content") -> ObjectMeta:
        writer = self.store.writer(self.bck, name, rules)
        writer.write(content)
        return writer.commit()

    def append(self, name: str) -> None:
        appender = self.store.appender(self.bck, name, RULES, "t")
        appender.write(b"more")
        appender.flush()

    def begin(self, name: str) -> Any:
        uploads = self.store.uploads
        return uploads.find(self.bck, name, uploads.create(self.bck, name, {}, {}, fsync=True))

    def send(self, upload: Any, number: int = 1, size: int | None = 5) -> Any:
        writer = self.store.uploads.part_writer(upload, number, size, fsync=True)
        writer.write(b"parts")
        return writer.commit({})

    def complete(self, name: str) -> None:
        upload = self.begin(name)
        self.store.uploads.complete(upload, [self.send(upload), self.send(upload, 2, None)], RULES, {})

    def put_and_remove(self, name: str) -> None:
        self.remove_version(self.put(name, KEPT).version_id)

    def mark_and_remove(self, name: str) -> None:
        self.remove_version(self.store.delete(self.bck, name, rules=KEPT).marker_id or "")

    def remove_version(self, version_id: str) -> None:
        self.store.delete_version(self.bck, "o", version_id, fsync=True)

    def give(self, name: str) -> None:
        departures = Departures(self.store, Env(disk=self.disk))
        assert departures.let_go(self.bck, name, departures.look(self.bck, name), fsync=True)

    def tag(self, name: str) -> None:
        def change(meta: ObjectMeta) -> ObjectMeta:
            return msgspec.structs.replace(meta, facts={"tagging": "a=b"})

        self.store.update(self.bck, name, change, fsync=True)


CHANGES: dict[str, Callable[[Recorded], object]] = {
    "put": lambda one: one.put("new/in/directories"),
    "overwrite": lambda one: one.put("o"),
    "below an object": lambda one: one.put("o/below"),
    "delete": lambda one: one.store.delete(one.bck, "o", rules=RULES),
    "delete the last of its directories": lambda one: one.store.delete(one.bck, "d/e/f", rules=RULES),
    "patch": lambda one: one.store.set_custom(one.bck, "o", {"k": "v"}, replace=True, fsync=True),
    "tags": lambda one: one.tag("o"),
    "copy": lambda one: one.store.copy(one.bck, "o", one.bck, "copy/of", RULES),
    "rename": lambda one: one.store.rename(one.bck, "unsynced", "g/h", RULES),
    "append": lambda one: one.append("o"),
    "begin an upload": lambda one: one.begin("up"),
    "part": lambda one: one.send(one.begin("up")),
    "part without a size": lambda one: one.send(one.begin("up"), 1, None),
    "complete": lambda one: one.complete("up"),
    "abort": lambda one: one.store.uploads.abort(one.begin("up"), fsync=True),
    "put a version": lambda one: one.put("o", KEPT),
    "delete marker": lambda one: one.store.delete(one.bck, "o", rules=KEPT),
    "delete the latest version": lambda one: one.remove_version(one.put("o", KEPT).version_id),
    "delete an older version": lambda one: (one.put("o", KEPT), one.remove_version("null")),
    "delete marker above others": lambda one: (one.put("o/below"), one.store.delete(one.bck, "o", rules=KEPT)),
    "delete the latest above others": lambda one: (one.put("o/below"), one.put_and_remove("o")),
    "delete the marker above others": lambda one: (one.put("o/below"), one.mark_and_remove("o")),
}  # fmt: skip


@pytest.mark.parametrize("what", CHANGES)
def test_every_acknowledged_change_is_synced(bench: Any, what: str) -> None:
    """With `Fsync-PUT`, no file and no directory that a change touched is left to the kernel."""
    one = Recorded(bench)
    for name in ("o", "d/e/f"):
        one.put(name)
    one.put("unsynced", WriteRules())
    uploads = f"{one.store.volume.available[0].path}/@ais/b/%mp"
    one.disk.dirty = {path for path in one.disk.dirty if path.endswith("/unsynced")}
    CHANGES[what](one)
    if what != "rename":
        one.disk.dirty = {path for path in one.disk.dirty if not path.endswith("/unsynced")}
    for upload_id, info in list(one.store.uploads.list(one.bck)):
        # bytes nobody looks at: claims of slots, and what is gone with the upload
        assert not [path for path in one.disk.unsynced() if path.startswith(f"{uploads}/{upload_id}")], info
    assert [path for path in one.disk.unsynced() if not path.startswith(uploads)] == []


REMOVALS: dict[str, Callable[[Recorded], object]] = {
    "delete": lambda one: one.store.delete(one.bck, "o", rules=RULES),
    "rename": lambda one: one.store.rename(one.bck, "o", "p", RULES),
    "delete marker": lambda one: one.store.delete(one.bck, "o", rules=KEPT),
    "delete a version": lambda one: one.remove_version("null"),
    "give away": lambda one: one.give("o"),
}


@pytest.mark.parametrize("is_partial", [False, True], ids=["all in use", "one out of use"])
@pytest.mark.parametrize("what", REMOVALS)
def test_what_could_bring_back_what_was_removed_is_gone_durably(make_bench: Any, what: str, is_partial: bool) -> None:
    """A copy without its object stands for one that was lost, and a mountpath that returns may bring one back: with
    `Fsync-PUT` copies are gone, and the removal is noted, before it is acknowledged.
    """
    bench = make_bench(3)
    bench.volume.mirror_buckets({bench.bck: Mirroring(2)}, ())
    one = Recorded(bench)
    one.put("o", WriteRules(fsync=True, all_copies=True))
    (copied,) = bench.root.glob("mp*/@ais/b/%cp/o")
    used = {one.store.spot(bench.bck, "o").mountpath.path, str(copied.parents[3])}
    if is_partial:
        bench.volume.disable(next(path.path for path in bench.volume.available if path.path not in used))
    bench.volume._disk = one.disk
    one.disk.dirty.clear()
    REMOVALS[what](one)
    assert [path for path in one.disk.dirty if "/%cp" in path or path.endswith(".ais.removed")] == []
    assert not copied.exists()
    assert all(Path(path, ".ais.removed").exists() == is_partial for path in used)


@pytest.mark.parametrize("what", ["patch", "tags"])
def test_metadata_is_on_the_disks_of_all_copies(make_bench: Any, what: str) -> None:
    """As the content is: the own disk, or its last writes, may be what is lost."""
    bench = make_bench(3)
    bench.volume.mirror_buckets({bench.bck: Mirroring(2)}, ())
    one = Recorded(bench)
    one.put("o", WriteRules(fsync=True, all_copies=True))
    one.disk.dirty.clear()
    CHANGES[what](one)
    assert one.disk.unsynced() == []


def away_from_home(bench: Any, name: str) -> None:
    """Attach a mountpath that owns the name instead of the object's."""
    home, key = bench.volume.place(bench.bck.uname + name), digest(bench.bck.uname + name)
    paths = (bench.root / f"another{number}" for number in itertools.count())
    path = next(one for one in paths if Candidates([home.digest, digest(str(one))]).best(key) == 1)
    path.mkdir()
    bench.volume.attach(str(path))
    assert bench.volume.place(bench.bck.uname + name) is not home


def relocate(one: Recorded, bench: Any, _rules: WriteRules) -> str:
    away_from_home(bench, "o")
    assert Relocator(one.store, Env(disk=one.disk), at_once).bring(one.bck, "o").was_moved
    return "o"


class Killed(BaseException):
    """In the place of a flush."""


def resume(one: Recorded, bench: Any, _rules: WriteRules) -> str:
    """Killed before what was copied is on its disk; the next one finds it in its place."""
    away_from_home(bench, "o")
    relocator = Relocator(one.store, Env(disk=one.disk), at_once)
    one.disk.fsync = kill  # type: ignore[method-assign]
    with pytest.raises(Killed):
        relocator.bring(one.bck, "o")
    del one.disk.fsync
    relocator.bring(one.bck, "o")
    return "o"


def kill(_fd: int) -> None:
    raise Killed


def overwrite(one: Recorded, bench: Any, rules: WriteRules) -> str:
    away_from_home(bench, "o")
    one.put("o", rules)
    return "o"


def rename(one: Recorded, bench: Any, rules: WriteRules) -> str:
    home = bench.volume.place(bench.bck.uname + "o")
    name = next(name for name in map(str, range(99)) if bench.volume.place(bench.bck.uname + name) is not home)
    one.store.rename(one.bck, "o", name, rules)
    return name


@pytest.mark.parametrize("keeping", list(Keeping))
@pytest.mark.parametrize("move", [relocate, resume, overwrite, rename])
def test_what_moves_to_another_mountpath_is_there_before_it_is_gone_here(
    make_bench: Any, move: Callable[[Recorded, Any, WriteRules], str], keeping: Keeping
) -> None:
    """Also where nothing is synced: of both disks each keeps what it wants when the power goes."""
    bench = make_bench(2 if move is rename else 1)
    one, rules = Recorded(bench), WriteRules(keeping=keeping)
    one.disk = Careful()
    one.store = Store(bench.volume, Env(disk=one.disk))
    for content in (b"first", b"second"):
        one.put("o", rules, content)
    one.disk.dirty.clear()
    name = move(one, bench, rules)
    assert one.disk.at_risk == []
    places = list(bench.root.glob(f"*/@ais/b/%ob/{name}"))
    assert [str(path.parents[3]) for path in places] == [bench.volume.place(bench.bck.uname + name).path]
    assert bench.get(name) == (b"content" if move is overwrite else b"second")


@pytest.mark.parametrize("rename", [False, True], ids=["overwrite", "rename over"])
def test_what_replaces_an_object_has_its_content_on_the_disk_first(bench: Any, rename: bool) -> None:
    """Where the file system does not see to it: written out before the rename, and never while the loop would wait."""
    one, rules = Recorded(bench), WriteRules()
    (mountpath,) = bench.volume.available
    mountpath.is_ordered = False
    one.put("new", rules)
    assert "write_out" not in one.disk.calls
    one.put("o", rules)
    one.disk.calls.clear()
    if rename:
        one.store.rename(one.bck, "new", "o", rules)
    else:
        with pytest.raises(StripeBusy):
            one.store.put(one.bck, "o", rules, b"at once")
        one.put("o", rules)
    assert one.disk.calls.index("write_out") < one.disk.calls.index("rename")


@pytest.mark.parametrize("change", [lambda one: one.complete("o"), lambda one: one.append("o")])
def test_what_was_not_written_in_one_go_is_on_the_disk_before_it_has_its_name(
    bench: Any, change: Callable[[Recorded], None]
) -> None:
    """Multipart and appended objects have their size before their bytes: without a sync they could be zeros."""
    one = Recorded(bench)
    change(one)
    last = max(index for index, call in enumerate(one.disk.calls) if call in ("write", "pwrite"))
    assert "fdatasync" in one.disk.calls[:last] + one.disk.calls[last : one.disk.calls.index("setxattr")]


def test_slices_are_on_the_disk_of_another_mountpath_before_they_leave_one(make_bench: Any) -> None:
    """Those of other targets' objects may be all there is of them."""
    bench = make_bench(3)
    disk = Careful()
    store = Store(bench.volume, Env(disk=disk))
    leaving = bench.volume.place(bench.bck.uname + "a/o")
    slice_file = Path(leaving.path, "@ais/b/%ec/a/o")
    slice_file.parent.mkdir(parents=True)
    slice_file.write_bytes(b"a slice")
    bench.volume.drain(leaving.path, State.DETACHED)
    (moved,) = Relocator(store, Env(disk=disk), at_once).bring_slices(bench.bck, ["a/o"], leaving)
    assert isinstance(moved, Relocated)
    assert moved.was_moved
    assert disk.at_risk == []
    assert not slice_file.exists()
    (found,) = bench.root.glob("mp*/@ais/b/%ec/a/o")
    assert found.read_bytes() == b"a slice"


class NextBoot(Disk):
    """The disk after the machine was off."""

    boot_id = staticmethod(lambda: "the next boot")


def after_power_loss(bench: Any) -> tuple[Volume, Store]:
    env = Env(disk=NextBoot())
    volume = Volume.load_or_create(env, [mountpath.path for mountpath in bench.volume.available])
    return volume, Store(volume, env)


def test_an_object_whose_content_the_power_took_was_never_written(bench: Any) -> None:
    """Absent for reads and for conditions, at once; then it is looked for and gone, and not listed any more."""
    for name in ("torn", "torn too", "whole"):
        bench.put(name, b"content")
    for name in ("torn", "torn too"):
        os.truncate(f"{bench.root}/mp0/@ais/b/%ob/{name}", 0)
    with pytest.raises(CorruptMetadata):  # in the same boot, somebody did that
        bench.store.open(bench.bck, "torn")
    volume, store = after_power_loss(bench)
    try:
        with pytest.raises(ObjectNotFound):
            store.open(bench.bck, "torn")
        seen: list[ObjectMeta | None] = []
        writer = store.writer(bench.bck, "torn too", bench.rules)
        writer.write(b"again")
        writer.commit(seen.append)
        assert seen == [None]
        assert remove_torn(store, Disk()) == ["ais://b/torn"]
        assert [entry.name for entry in Lister(volume, Env()).page(bench.bck).entries] == ["torn too", "whole"]
        assert volume.available[0].loss is None
    finally:
        volume.close()


def test_a_marker_below_a_torn_object_is_the_latest_again(bench: Any) -> None:
    """It replaced only a delete marker: the object is deleted as before, and its older versions are there."""
    rules = WriteRules(keeping=Keeping.ENABLED)
    first = bench.put("o", b"first", rules)
    bench.store.delete(bench.bck, "o", rules=rules)
    bench.put("o", b"torn", rules)
    os.truncate(f"{bench.root}/mp0/@ais/b/%ob/o", 1)
    volume, store = after_power_loss(bench)
    try:
        assert remove_torn(store, Disk()) == ["ais://b/o"]
        with pytest.raises(ObjectNotFound):
            store.open(bench.bck, "o")
        opened = store.open(bench.bck, "o", first.version_id)
        assert os.read(opened.fd, 10) == b"first"
        os.close(opened.fd)
    finally:
        volume.close()


def test_what_was_whole_before_the_power_went_is_damaged(bench: Any) -> None:
    """A file that is shorter than it should be and was not touched around the power loss was not torn by it."""
    bench.put("o", b"content")
    os.truncate(f"{bench.root}/mp0/@ais/b/%ob/o", 0)
    later_ns = os.stat(f"{bench.root}/mp0/@ais/b/%ob/o").st_mtime_ns + 3600 * 10**9
    os.utime(Path(bench.root, "mp0", ".ais.locks"), ns=(later_ns, later_ns))
    volume, store = after_power_loss(bench)
    try:
        with pytest.raises(CorruptMetadata):
            store.open(bench.bck, "o")
        assert remove_torn(store, Disk()) == []
    finally:
        volume.close()
