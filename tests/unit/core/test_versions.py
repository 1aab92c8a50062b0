"""Kept versions: what Amazon S3 says about them, against a simple model, and what the disk looks like."""

import itertools
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import pytest

from ais.base.errors import (
    BadRequest,
    BucketNotFound,
    CorruptMetadata,
    DeleteMarker,
    NotReady,
    ObjectNotFound,
    VersionNotFound,
)
from ais.core import meta as metadata
from ais.core.listing import Lister
from ais.core.meta import ObjectMeta
from ais.core.store import Store
from ais.core.version_listing import VersionEntry, VersionLister
from ais.core.workfile import Keeping, WriteRules
from ais.env import Env
from ais.env.disk import Disk

ENABLED = WriteRules(keeping=Keeping.ENABLED)
SUSPENDED = WriteRules(keeping=Keeping.SUSPENDED)
LONG = "x" * 500


def read(bench: Any, name: str, version_id: str | None = None) -> bytes:
    """The content of a version, the latest by default."""
    opened = bench.store.open(bench.bck, name, version_id)
    try:
        return os.pread(opened.fd, opened.meta.size + 1, 0)
    finally:
        os.close(opened.fd)


def entries(bench: Any, page: int = 1000, session: str = "") -> list[VersionEntry]:
    """All versions, listed in pages of a size."""
    lister = VersionLister(bench.volume, bench.env)
    found: list[VersionEntry] = []
    has_more = True
    while has_more:
        after = (found[-1].name, found[-1].order) if found else ("", "")
        part = lister.page(bench.bck, after=after, limit=page, session=session)
        assert len(part.entries) <= page
        found += part.entries
        has_more = part.has_more
    return found


def ids(bench: Any, name: str) -> list[str]:
    """The version IDs of one name, newest first."""
    return [entry.version_id for entry in entries(bench) if entry.name == name]


def shelved(bench: Any) -> list[str]:
    """Whatever lies below `%ve`, directories too."""
    return sorted(str(path) for path in bench.root.glob("mp*/@ais/*/%ve/**/*"))


@dataclass
class Model:
    """Versions of each name, newest first, as (ID or `null`, content); content None is a delete marker."""

    names: dict[str, list[tuple[str, bytes | None]]] = field(default_factory=dict)

    def add(self, name: str, version_id: str, content: bytes | None) -> None:
        """A write or a delete marker."""
        older = [one for one in self.names.get(name, []) if version_id != "null" or one[0] != "null"]
        self.names[name] = [(version_id, content), *older]

    def remove(self, name: str, version_id: str) -> None:
        """One version, for good."""
        self.names[name] = [one for one in self.names[name] if one[0] != version_id]
        if not self.names[name]:
            del self.names[name]

    def all(self) -> list[tuple[str, str, bytes | None]]:
        """Every version in the order of a listing."""
        return [(name, *version) for name in sorted(self.names) for version in self.names[name]]


def check(bench: Any, model: Model, page: int = 1000, session: str = "") -> None:
    """Listings and reads show exactly what the model has."""
    found = entries(bench, page, session)
    assert [(one.name, one.version_id, one.is_marker) for one in found] == [
        (name, version_id, content is None) for name, version_id, content in model.all()
    ]
    assert [one.is_latest for one in found] == [
        index == 0 for name in sorted(model.names) for index in range(len(model.names[name]))
    ]
    keys = [f"{one.name}\0{one.order}" for one in found]
    assert keys == sorted(set(keys))
    for name, version_id, content in model.all():
        if content is None:
            with pytest.raises(DeleteMarker) as caught:
                bench.store.open(bench.bck, name, version_id)
            assert (caught.value.version_id or "null") == version_id
        else:
            assert read(bench, name, version_id) == content
    latest = {name: versions[0] for name, versions in model.names.items()}
    for name, (_, content) in latest.items():
        if content is None:
            with pytest.raises(DeleteMarker):
                bench.store.open(bench.bck, name)
        else:
            assert read(bench, name) == content
    objects = sorted(name for name, (_, content) in latest.items() if content is not None)
    assert [entry.name for entry in Lister(bench.volume, bench.env).page(bench.bck).entries] == objects
    assert bench.leftovers() == []


class Actor:
    """Does random things to a bench and to a model of it."""

    names = ("a", "a/b", "a/b/c", "d//", LONG, LONG + "/z", "%=")

    def __init__(self, bench: Any, seed: int) -> None:
        self.bench = bench
        self.store: Store = bench.store
        self.rng = random.Random(seed)
        self.model = Model()
        self.rules = ENABLED
        self.serial = itertools.count()

    def step(self) -> None:
        """One random operation."""
        choices = [
            *[self.put] * 4,
            self.append,
            self.copy,
            self.move,
            self.upload,
            *[self.delete] * 3,
            *[self.remove] * 4,
            self.update,
            self.switch,
        ]
        self.rng.choice(choices)()

    def _added(self, name: str, content: bytes, meta: ObjectMeta) -> None:
        assert bool(meta.version_id) == (self.rules is ENABLED)
        self.model.add(name, meta.version_id or "null", content)

    def _content(self) -> bytes:
        return b"%d." % next(self.serial) * self.rng.randrange(1, 5)

    def _some_object(self) -> str | None:
        """A name whose latest version is an object."""
        return self.rng.choice([name for name, found in self.model.names.items() if found[0][1] is not None] or [None])

    def switch(self) -> None:
        """Suspend or enable."""
        self.rules = SUSPENDED if self.rules is ENABLED else ENABLED

    def put(self) -> None:
        """A new version, claimed checksum or not."""
        name, content = self.rng.choice(self.names), self._content()
        self._added(name, content, self.bench.put(name, content, rules=self.rules))

    def append(self) -> None:
        """The present content and more."""
        name, content = self.rng.choice(self.names), self._content()
        appender = self.store.appender(self.bench.bck, name, self.rules, "t")
        appender.write(content)
        before = self.model.names.get(name, [("", None)])[0][1] or b""
        self._added(name, before + content, appender.flush())

    def copy(self) -> None:
        """The latest version of a name becomes that of another, or of the same."""
        source = self._some_object()
        if source is not None:
            target, content = self.rng.choice(self.names), self.model.names[source][0][1]
            assert content is not None
            self._added(target, content, self.store.copy(self.bench.bck, source, self.bench.bck, target, self.rules))

    def move(self) -> None:
        """As a copy; what has the old name goes, and older versions are below a delete marker then."""
        source, target = self._some_object(), self.rng.choice(self.names)
        if source is None or source == target:
            return
        self.store.rename(self.bench.bck, source, target, self.rules)
        moved = self.model.names[source][0]
        self.model.remove(source, moved[0])
        self.model.add(target, ids(self.bench, target)[0], moved[1])
        if source in self.model.names:
            self.model.add(source, ids(self.bench, source)[0], None)

    def upload(self) -> None:
        """An object in two parts."""
        name, contents = self.rng.choice(self.names), [self._content(), self._content()]
        uploads = self.store.uploads
        upload = uploads.find(self.bench.bck, name, uploads.create(self.bench.bck, name, {}, {}))
        parts = []
        for number, content in enumerate(contents, 1):
            writer = uploads.part_writer(upload, number, len(content))
            writer.write(content)
            parts.append(writer.commit({}))
        self._added(name, b"".join(contents), uploads.complete(upload, parts, self.rules, {}))

    def delete(self) -> None:
        """A delete marker, also where nothing is."""
        name = self.rng.choice(self.names)
        head = self.model.names.get(name, [("", None)])[0]
        removed = self.store.delete(self.bench.bck, name, rules=self.rules)
        assert removed.marker_id is not None
        assert (removed.meta is not None) == (head[1] is not None)
        self.model.add(name, removed.marker_id or "null", None)

    def remove(self) -> None:
        """One version for good, the latest as often as another."""
        if self.model.names:
            name = self.rng.choice(sorted(self.model.names))
            found = self.model.names[name]
            version_id, content = found[0] if self.rng.random() < 0.5 else self.rng.choice(found)
            meta = self.store.delete_version(self.bench.bck, name, version_id)
            assert meta is not None
            assert meta.is_marker == (content is None)
            self.model.remove(name, version_id)

    def update(self) -> None:
        """Metadata of any object version."""
        objects = [(name, version_id) for name, version_id, content in self.model.all() if content is not None]
        if objects:
            name, version_id = self.rng.choice(objects)
            tag = {"tag": str(next(self.serial))}
            self.store.update(self.bench.bck, name, lambda meta: msgspec.structs.replace(meta, facts=tag), version_id)
            assert self.store.head(self.bench.bck, name, version_id).meta.facts == tag

    def remove_all(self) -> None:
        """Every version, in any order."""
        everything = self.model.all()
        self.rng.shuffle(everything)
        for name, version_id, _ in everything:
            self.store.delete_version(self.bench.bck, name, version_id)
            self.model.remove(name, version_id)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("mountpaths", [1, 2])
def test_versions_are_those_of_the_model(make_bench: Callable[..., Any], mountpaths: int, seed: int) -> None:
    """Any order of writes, copies, moves, appends, uploads, deletes and removals, enabled or suspended."""
    bench = make_bench(mountpaths)
    actor = Actor(bench, seed)
    for name in actor.names[:3]:
        bench.put(name, b"before versions were kept")
        actor.model.add(name, "null", b"before versions were kept")
    for turn in range(120):
        actor.step()
        check(bench, actor.model, page=turn % 7 + 1, session=str(seed))
    actor.remove_all()
    assert entries(bench) == []
    assert shelved(bench) == []


@pytest.mark.parametrize("seed", range(6))
def test_versions_stay_when_mountpaths_are_attached(make_bench: Callable[..., Any], tmp_path: Path, seed: int) -> None:
    """The model holds, wherever the versions of a name have come to lie."""
    bench = make_bench(1)
    actor = Actor(bench, seed)
    for turn in range(150):
        if turn % 40 == 30:
            path = tmp_path / f"mp{turn}"
            path.mkdir()
            bench.volume.attach(str(path))
        actor.step()
        check(bench, actor.model)
    actor.remove_all()
    assert entries(bench) == []
    assert shelved(bench) == []


def test_a_mountpath_that_was_away_loses_no_version(make_bench: Callable[..., Any], tmp_path: Path) -> None:
    """Versions written before, while and after a mountpath was disabled are all there in the end."""
    bench = make_bench(2)
    name = "a"
    home = bench.volume.place(bench.bck.uname + name).path
    written = [bench.put(name, b"1", rules=ENABLED), bench.put(name, b"2", rules=ENABLED)]
    bench.volume.disable(home)
    with pytest.raises(NotReady, match="is disabled and may hold that"):
        read(bench, name)
    written += [bench.put(name, b"3", rules=ENABLED), bench.put(name, b"4", rules=ENABLED)]
    bench.volume.enable(home)
    assert ids(bench, name) == [meta.version_id for meta in written[::-1]]
    written.append(bench.put(name, b"5", rules=ENABLED))
    assert ids(bench, name) == [meta.version_id for meta in written[::-1]]
    assert [read(bench, name, meta.version_id) for meta in written] == [b"1", b"2", b"3", b"4", b"5"]
    for meta in written[::-1]:
        assert read(bench, name) == read(bench, name, meta.version_id)
        bench.store.delete_version(bench.bck, name, meta.version_id)
    assert shelved(bench) == []


def test_version_ids_are_ordered_whatever_the_clock_says(bench: Any) -> None:
    """A clock that stands still or goes back gives IDs that still sort newest first, also over a delete marker."""
    now = iter([10**18, 10**18, 5, 4, 3, 2])
    clock = type("Clock", (), {"now_ns": lambda self: next(now, 1), "monotonic": lambda self: 0.0})()
    bench.store = Store(bench.volume, Env(clock=clock, disk=bench.disk))
    made = [bench.put("a", rules=ENABLED).version_id for _ in range(3)]
    made.append(bench.store.delete(bench.bck, "a", rules=ENABLED).marker_id)
    made += [bench.put("a", rules=ENABLED).version_id for _ in range(3)]
    assert made == sorted(made, reverse=True)
    assert len(set(made)) == len(made)
    assert all(len(version_id) == 32 for version_id in made)
    assert ids(bench, "a") == made[::-1]


def test_the_same_content_is_a_new_version(bench: Any) -> None:
    """Where versions are kept, a PUT with the stored checksum is not left out."""
    first = bench.put("a", b"same", rules=ENABLED)
    again = bench.put("a", b"same", rules=ENABLED, claimed=(first.checksum_kind, first.checksum))
    assert again.version_id not in ("", first.version_id)
    assert len(ids(bench, "a")) == 2


def test_aistores_version_counts_as_ever(bench: Any) -> None:
    """The counter of ais buckets knows nothing of kept versions, and a version brought back has its own."""
    assert [bench.put("a", rules=ENABLED).version for _ in range(3)] == ["1", "2", "3"]
    bench.store.delete_version(bench.bck, "a", ids(bench, "a")[0])
    assert bench.store.head(bench.bck, "a").meta.version == "2"


class WatchedDisk(Disk):
    """Remembers the paths of calls that look below `%ve`."""

    def __init__(self) -> None:
        self.shelf_paths: list[str] = []

    def __getattribute__(self, call: str) -> Any:
        found = super().__getattribute__(call)
        if not callable(found):
            return found

        def watched(*args: Any, **options: Any) -> Any:
            self.shelf_paths += [path for path in args if isinstance(path, str) and "/%ve" in path]
            return found(*args, **options)

        return watched


def test_a_bucket_that_keeps_nothing_pays_nothing(bench: Any) -> None:
    """PUT, GET and DELETE never look for versions; a missing object costs one look for a delete marker."""
    disk = WatchedDisk()
    bench.store = Store(bench.volume, Env(disk=disk))
    for _ in range(2):
        bench.put("a")
    read(bench, "a")
    bench.store.delete(bench.bck, "a", rules=bench.rules)
    assert disk.shelf_paths == []
    with pytest.raises(ObjectNotFound):
        bench.store.open(bench.bck, "a")
    assert len(disk.shelf_paths) == 1
    bench.put("a", rules=ENABLED)
    assert len(disk.shelf_paths) > 1


@pytest.mark.parametrize("version_id", ["", "x", "deleted", "../a", "0" * 31, "0" * 32, "F" * 32, "null"])
def test_versions_that_do_not_exist(bench: Any, version_id: str) -> None:
    """Whatever a client makes up is not found, and never becomes a path."""
    bench.put("a", rules=ENABLED)
    for name in ("a", "b", "a/b"):
        for call in (bench.store.open, bench.store.head, bench.store.delete_version):
            with pytest.raises(VersionNotFound):
                call(bench.bck, name, version_id)
        with pytest.raises(VersionNotFound):
            bench.store.update(bench.bck, name, lambda meta: meta, version_id)


def test_conditions_are_asked_about_what_would_go(bench: Any) -> None:
    """The latest version for a delete, the named one for a removal; refused, nothing changes."""
    first, second = bench.put("a", b"1", rules=ENABLED), bench.put("a", b"22", rules=ENABLED)
    asked: list[ObjectMeta | None] = []

    def refuse(stored: ObjectMeta | None) -> None:
        asked.append(stored)
        raise BadRequest("no")

    for call in (
        lambda: bench.store.delete(bench.bck, "a", refuse, ENABLED),
        lambda: bench.store.delete_version(bench.bck, "a", first.version_id, refuse),
        lambda: bench.store.delete_version(bench.bck, "a", second.version_id, refuse),
        lambda: bench.store.delete(bench.bck, "none", refuse, ENABLED),
    ):
        with pytest.raises(BadRequest):
            call()
    assert asked == [second, first, second, None]
    assert ids(bench, "a") == [second.version_id, first.version_id]


def test_what_moves_away_is_not_kept(bench: Any) -> None:
    """The only version leaves nothing; above older ones it leaves a delete marker; a missing object is missing."""
    bench.put("a", b"1", rules=ENABLED)
    removed = bench.store.delete(bench.bck, "a", rules=ENABLED, is_moved=True)
    assert (removed.meta.size, removed.marker_id) == (1, None)
    assert entries(bench) == []
    assert shelved(bench) == []
    old = bench.put("a", b"1", rules=ENABLED)
    bench.put("a", b"22", rules=ENABLED)
    removed = bench.store.delete(bench.bck, "a", rules=ENABLED, is_moved=True)
    assert removed.meta.size == 2
    assert ids(bench, "a") == [removed.marker_id, old.version_id]
    with pytest.raises(ObjectNotFound):
        bench.store.delete(bench.bck, "a", rules=ENABLED, is_moved=True)


def test_damage_hides_no_other_version(bench: Any) -> None:
    """A damaged file is an error when it is read, is listed, and can be removed or overwritten."""
    good = bench.put("a", b"good", rules=ENABLED)
    bad = bench.put("a", b"bad", rules=ENABLED)
    bench.put("a", b"top", rules=ENABLED)
    shelf = next(bench.root.glob("mp0/@ais/b/%ve/a/%="))
    os.setxattr(shelf / bad.version_id, metadata.XATTR, b"junk")
    with pytest.raises(CorruptMetadata):
        read(bench, "a", bad.version_id)
    head = next(bench.root.glob("mp0/@ais/b/%ob/a"))
    os.removexattr(head, metadata.XATTR)
    os.utime(head, (time.time() + 1,) * 2)  # the kernel's time of a file may be a tick behind that of an ID
    assert [(one.version_id, one.meta is None) for one in entries(bench)] == [
        ("null", True),
        (bad.version_id, True),
        (good.version_id, False),
    ]
    assert read(bench, "a", good.version_id) == b"good"
    assert bench.store.delete_version(bench.bck, "a", bad.version_id) is None
    assert bench.store.delete_version(bench.bck, "a", "null") is None
    assert read(bench, "a") == b"good"


def test_a_destroyed_bucket_takes_its_versions_along(bench: Any) -> None:
    """Nothing is left in a new bucket of that name, and a write that was late finds no bucket."""
    bench.put("a", rules=ENABLED)
    bench.put("a", rules=ENABLED)
    bench.store.delete(bench.bck, "a", rules=ENABLED)
    writer = bench.store.writer(bench.bck, "a", ENABLED)
    bench.volume.trash_bucket(bench.bck)
    for step in (writer.commit, lambda: bench.store.delete(bench.bck, "a", rules=ENABLED)):
        with pytest.raises(BucketNotFound):
            step()
    bench.volume.create_bucket(bench.bck, 2)
    assert entries(bench) == []
    with pytest.raises(ObjectNotFound) as caught:
        bench.store.open(bench.bck, "a")
    assert not isinstance(caught.value, DeleteMarker)


def test_pages_begin_behind_a_name_or_a_version(bench: Any) -> None:
    """With a prefix, from any place, also one that is gone by now."""
    for name in ("a", "a/b", "b", "b1", "c"):
        for content in (b"1", b"2"):
            bench.put(name, content, rules=ENABLED)
    everything = entries(bench)
    lister = VersionLister(bench.volume, bench.env)
    for prefix, index, is_whole_name in itertools.product(("", "a", "b", "b1"), range(len(everything)), (True, False)):
        after = everything[index]
        page = lister.page(bench.bck, prefix, (after.name, "" if is_whole_name else after.order))
        expected = [
            one
            for one in everything
            if one.name.startswith(prefix)
            and (one.name > after.name or (not is_whole_name and one.name == after.name and one.order > after.order))
        ]
        assert (page.entries, page.has_more) == (expected, False)
    bench.store.delete_version(bench.bck, "b", everything[4].version_id)
    (entry,) = lister.page(bench.bck, after=("b", everything[4].order), limit=1).entries
    assert (entry.version_id, entry.is_latest) == (everything[5].version_id, True)


def test_a_name_with_many_versions_is_listed_in_pieces(bench: Any) -> None:
    """More versions than one look at the shelf takes."""
    shelf = bench.root / "mp0/@ais/b/%ve/a/%="
    bench.put("a", rules=ENABLED)
    bench.put("a", rules=ENABLED)
    (first,) = shelf.iterdir()
    for index in range(2500):
        path = shelf / f"{index:032x}"
        path.touch()
        os.setxattr(path, metadata.XATTR, metadata.encode(ObjectMeta(0, version_id=path.name)))
    found = [entry.order for entry in entries(bench, 700) if not entry.is_latest]
    assert found == sorted([f"{index:032x}" for index in range(2500)] + [first.name])


def test_readers_find_an_object_while_versions_are_added(make_bench: Callable[..., Any]) -> None:
    """The latest version is there at every moment, and every acknowledged version by its ID; none is lost."""
    bench = make_bench(1)
    stores = [bench.store, Store(bench.volume, bench.env)]
    names = ["a", "a/b", "c"]
    written = {name: [bench.put(name, name.encode(), rules=ENABLED).version_id] for name in names}
    stop = threading.Event()

    def write(store: Store, rng: random.Random) -> None:
        name = rng.choice(names)
        writer = store.writer(bench.bck, name, ENABLED)
        writer.write(name.encode())
        written[name].append(writer.commit().version_id)

    def look(_: Store, rng: random.Random) -> None:
        name = rng.choice(names)
        assert read(bench, name) == name.encode()
        assert read(bench, name, rng.choice(written[name])) == name.encode()

    run_crowd(stop, [(write, stores[0]), (write, stores[1]), (look, stores[0]), (look, stores[1])], 2.0)
    for name in names:
        assert ids(bench, name) == sorted(written[name])


def test_a_version_is_found_while_it_comes_and_goes(make_bench: Callable[..., Any]) -> None:
    """Two that stay are readable by ID and listed while others, and delete markers, are put above them and removed."""
    bench = make_bench(1)
    names = ("a", "a/b", "d/e")
    staying = {name: [bench.put(name, name.encode(), rules=ENABLED).version_id for _ in range(2)] for name in names}
    stop = threading.Event()

    def churn(store: Store, rng: random.Random) -> None:
        name = rng.choice(names)
        above = [bench.put(name, b"other", rules=ENABLED).version_id for _ in range(rng.randrange(2))]
        above += [store.delete(bench.bck, name, rules=ENABLED).marker_id or "" for _ in range(rng.randrange(3))]
        rng.shuffle(above)
        for version_id in above:
            store.delete_version(bench.bck, name, version_id)

    def look(_: Store, rng: random.Random) -> None:
        name = rng.choice(names)
        assert read(bench, name, rng.choice(staying[name])) == name.encode()
        assert ids(bench, name)[-2:] == staying[name][::-1]

    run_crowd(stop, [(churn, bench.store), (churn, Store(bench.volume, bench.env)), *[(look, bench.store)] * 3], 2.0)
    assert {name: ids(bench, name)[::-1] for name in names} == staying
    assert {name: read(bench, name) for name in names} == {name: name.encode() for name in names}
    assert bench.leftovers() == []


_KILLED = """
import sys
from ais.api.bucket import Bck
from ais.core.store import Store
from ais.core.workfile import Keeping, WriteRules
from ais.env import Env
from ais.env.disk import Disk
from ais.fs.volume import Volume

env, rules = Env(), WriteRules(keeping=Keeping.ENABLED)
store = Store(Volume.load_or_create(env, sys.argv[1:]), env)
for turn in range(1 << 30):
    name = ("a", "a/b", "d/e")[turn % 3]
    if turn % 4 == 3:
        print(name, store.delete(Bck("b"), name, rules=rules).marker_id, "", flush=True)
    else:
        writer = store.writer(Bck("b"), name, rules)
        writer.write(b"%d" % turn)
        print(name, writer.commit().version_id, turn, flush=True)
"""


@pytest.mark.parametrize("lines_wanted", [1, 7, 20, 53])
def test_a_killed_writer_loses_no_version(make_bench: Callable[..., Any], lines_wanted: int) -> None:
    """`kill -9` at any moment: every acknowledged version and delete marker is there, and at most one more."""
    bench = make_bench(2)
    paths = [mountpath.path for mountpath in bench.volume.available]
    child = subprocess.Popen([sys.executable, "-c", _KILLED, *paths], stdout=subprocess.PIPE, text=True)
    acknowledged: dict[tuple[str, str], str] = {}
    with child:
        assert child.stdout is not None
        for count, line in enumerate(child.stdout):
            if count == lines_wanted:
                child.send_signal(signal.SIGKILL)
            if line.endswith("\n"):
                name, version_id, content = line[:-1].split(" ")
                acknowledged[name, version_id] = content
    bench.volume.sweep_workfiles()
    found = {(one.name, one.version_id): one for one in entries(bench)}
    assert len(acknowledged) <= len(found) <= len(acknowledged) + 1
    for (name, version_id), content in acknowledged.items():
        assert found[name, version_id].is_marker == (not content)
        if content:
            assert read(bench, name, version_id) == content.encode()


def test_durable_writes_keep_before_they_replace(bench: Any) -> None:
    """With fsync: the link and its directories before the rename, a delete marker before the object goes."""
    durable = msgspec.structs.replace(ENABLED, fsync=True)
    bench.put("d/a", rules=durable)
    calls: list[str] = []

    def spy(call: str, describe: Callable[..., str]) -> None:
        real = getattr(bench.disk, call)
        bench.disk.__dict__[call] = lambda *args, **options: (calls.append(describe(*args)), real(*args, **options))[1]

    def tail(path: str) -> str:
        return path.partition("/@ais/")[2]

    spy("fsync", lambda fd: tail(os.readlink(f"/proc/self/fd/{fd}")))
    spy("rename", lambda source, target: f"rename {tail(target)}")
    spy("unlink", lambda path: f"unlink {tail(path)}")
    bench.put("d/a", rules=durable)
    shelves = ["b", "b/%ve/d/a/%=", "b/%ve/d/a", "b/%ve/d", "b/%ve"]
    assert calls[1:] == [*shelves, "rename b/%ob/d/a", "b/%ob/d", "b/%ob"]
    calls.clear()
    bench.store.delete(bench.bck, "d/a", rules=durable)
    assert calls[:4] == shelves[1:]
    assert calls[5:] == ["rename b/%ve/d/a/%=/deleted", *shelves[1:], "unlink b/%ob/d/a", "b/%ob", "b/%ve/d/a/%="]


def run_crowd(
    stop: threading.Event, crowd: list[tuple[Callable[[Store, random.Random], None], Store]], seconds: float
) -> None:
    """Repeat each step in a thread of its own for some time; raise what any raised."""

    def repeat(step: Callable[[Store, random.Random], None], store: Store, seed: int) -> None:
        rng = random.Random(seed)
        try:
            while not stop.is_set():
                step(store, rng)
        finally:
            stop.set()

    with ThreadPoolExecutor(len(crowd)) as pool:
        running = [pool.submit(repeat, step, store, seed) for seed, (step, store) in enumerate(crowd)]
        stop.wait(seconds)
        stop.set()
    for one in running:
        one.result()
