"""A mountpath that was out of use comes back: what was put on top of its versions meanwhile destroys none of them."""

import itertools
import os
import subprocess
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import pytest
from harness.failing import FailingDisk, HastyDisk
from harness.versioning import CHANGES, SETUPS, act, begin, expected, state

from ais.base.errors import NotReady, ObjectNotFound
from ais.core import returning
from ais.core.departure import Departures
from ais.core.meta import ObjectMeta
from ais.core.relocate import Relocator
from ais.core.store import Store
from ais.core.versions import NULL
from ais.core.workfile import Keeping, WriteRules, at_once
from ais.env import Env
from ais.fs import layout
from ais.fs.record import State
from ais.fs.removed import Line
from ais.fs.volume import Mirroring
from ais.mirror.mirror import Mirror

T = TypeVar("T")
_ON_TOP = [change for change in CHANGES if not change.startswith("rm")]


@pytest.fixture
def bench(make_bench: Callable[..., Any]) -> Any:
    """A bench on three mountpaths; it does not wait for the hardware."""
    bench = make_bench(3)
    bench.env = Env(disk=HastyDisk())
    bench.store = Store(bench.volume, bench.env)
    return bench


def home(bench: Any) -> str:
    """The mountpath that has the versions."""
    return str(bench.store.spot(bench.bck, "a").mountpath.path)


@pytest.mark.parametrize("setup", [one for one in SETUPS if " del " not in one.rpartition(";")[2]])
def test_versions_are_kept_below_what_came_on_top(bench: Any, setup: str) -> None:
    """Overwritten or deleted while its disk was detached: the same versions are listed and read in the end."""
    for change in _ON_TOP:
        old = begin(bench, setup)
        away = home(bench)
        bench.volume.detach(away)
        act(bench, bench.store, change, 77)
        bench.volume.attach(away)
        assert state(bench) == expected(old, change, 77), change
        while bench.store.versions.head(spot := bench.store.spot(bench.bck, "a")) is not None:
            head = bench.store.versions.head(spot)
            bench.store.delete_version(bench.bck, "a", head.id or NULL)
        if "a/b" in old:
            act(bench, bench.store, "rm 0 a/b", 0)
        assert state(bench) == {}


@pytest.mark.parametrize("setup", [one for one in SETUPS if " del " not in one.rpartition(";")[2]])
@pytest.mark.parametrize("then", ["", "put E a"])
def test_versions_are_kept_when_all_is_brought_to_its_place(bench: Any, setup: str, then: str) -> None:
    """What came on top lies on another mountpath, and goes to where the older one is, with what came on top of that
    since; or all is brought elsewhere."""
    for change, is_home in itertools.product(_ON_TOP, (True, False)):
        made = begin(bench, setup)
        away = home(bench)
        bench.volume.detach(away)
        act(bench, bench.store, change, 77)
        bench.volume.attach(away)
        made = expected(made, change, 77)
        if then:
            act(bench, bench.store, then, 88)
            made = expected(made, then, 88)
        if not is_home:
            bench.volume.drain(home(bench), State.DISABLED)
        bench.volume.keeping = {bench.bck: "Enabled"}
        for name in made:
            Relocator(bench.store, bench.env, at_once).bring(bench.bck, name)
        bench.volume.keeping = {}
        assert state(bench) == made, change
        for path in bench.volume.view.leaving:
            bench.volume.enable(path)
        while bench.store.versions.head(spot := bench.store.spot(bench.bck, "a")) is not None:
            head = bench.store.versions.head(spot)
            bench.store.delete_version(bench.bck, "a", head.id or NULL)
        if "a/b" in made:
            act(bench, bench.store, "rm 0 a/b", 0)
        assert state(bench) == {}


def test_what_was_removed_for_good_stays_so(bench: Any) -> None:
    """A null version that was replaced by a null marker, or by an object in a bucket without versions, is gone."""
    for setup, change in (("put N a", "del S a"), ("put N a", "del N a"), ("put S a", "put S a")):
        begin(bench, setup)
        away = home(bench)
        bench.volume.detach(away)
        if change == "del N a":
            bench.volume.note_removed(bench.bck, "a")
        else:
            act(bench, bench.store, change, 77)
        bench.volume.attach(away)
        found = state(bench)
        assert found == ({} if change == "del N a" else {"a": [(True, "77" if "put" in change else None)]})
        if found:
            act(bench, bench.store, "rm 0 a", 0)


@pytest.mark.parametrize(
    ("then", "left"),
    [
        ("put S a; put E a; rm 1 a", {"a": [(False, "1")]}),
        ("put S a; put E a; rm 1 a; rm 0 a", {}),
        ("del S a; put E a; rm 1 a", {"a": [(False, "1")]}),
        ("del S a; rm 0 a", {}),
        ("put S a; rm 0 a", {}),
    ],
)
def test_a_null_version_whose_successor_was_removed_stays_replaced(
    bench: Any, then: str, left: dict[str, list[tuple[bool, str | None]]]
) -> None:
    """Wherever that was when it was removed for good: on the shelf, or the latest one."""
    begin(bench, "put N a")
    away = home(bench)
    bench.volume.detach(away)
    for serial, op in enumerate(then.split("; ")):
        act(bench, bench.store, op, serial)
    bench.volume.attach(away)
    assert state(bench) == left


def null_version(bench: Any) -> bytes:
    opened = bench.store.open(bench.bck, "a", NULL)
    try:
        return os.pread(opened.fd, 100, 0)
    finally:
        os.close(opened.fd)


@pytest.mark.parametrize("then", ["del E a", "put E a; del E a", "del E a; rm 0 a", "put E a; del E a; rm 0 a; rm 0 a"])
def test_a_null_version_that_nobody_replaced_is_there_whatever_came_and_went_on_top(bench: Any, then: str) -> None:
    """Delete markers and later versions say nothing of it, also when they are removed before its mountpath returns."""
    begin(bench, "put N a")
    away = home(bench)
    bench.volume.detach(away)
    for serial, op in enumerate(then.split("; "), 70):
        act(bench, bench.store, op, serial)
    bench.volume.attach(away)
    assert null_version(bench) == b"0"


def returned(bench: Any, away: str, others: Sequence[Line] = ()) -> None:
    """The mountpath that was given up is in use again."""
    bench.volume.recall(away)
    bench.volume.enable(away, others)


def test_a_null_version_is_there_when_its_name_went_to_another_target_before(bench: Any) -> None:
    """With what came on top: nothing of the name is left here when its mountpath returns."""
    begin(bench, "put N a")
    away = home(bench)
    bench.volume.detach(away)
    act(bench, bench.store, "put E a", 77)
    departures = Departures(bench.store, bench.env)
    assert departures.let_go(bench.bck, "a", departures.look(bench.bck, "a"))
    returned(bench, away)
    assert null_version(bench) == b"0"


def test_a_null_version_is_there_when_another_target_put_a_marker_on_top(
    bench: Any, make_bench: Callable[..., Any]
) -> None:
    """It owns the name by now, and tells what it removed."""
    begin(bench, "put N a")
    away, other = home(bench), make_bench(1, "other")
    bench.volume.map_version = other.volume.map_version = 7
    other.volume.notes_for_others = True
    bench.volume.detach(away)
    for op in ("put E a", "del E a"):
        act(other, other.store, op, 77)
    returned(bench, away, other.volume.notes_since(7))
    assert null_version(bench) == b"0"


def test_a_null_version_that_another_target_replaced_and_removed_is_gone(
    bench: Any, make_bench: Callable[..., Any]
) -> None:
    """It owns the name by now, and tells what it removed."""
    begin(bench, "put N a")
    away, other = home(bench), make_bench(1, "other")
    bench.volume.map_version = other.volume.map_version = 7
    other.volume.notes_for_others = True
    bench.volume.detach(away)
    for op in ("put S a", "put E a", "rm 1 a"):
        act(other, other.store, op, 77)
    returned(bench, away, other.volume.notes_since(7))
    assert state(bench) == {}


def test_a_version_is_kept_or_not_yet_whenever_it_is_killed(bench: Any) -> None:
    """Killed at any system call while it puts a version on the shelf, the target has it in one of the two places, and
    ends it at the next attempt."""
    for call in range(60):
        begin(bench, "put E a")
        away = home(bench)
        others = [one.path for one in bench.volume.view.available if one.path != away]
        (version_id,) = (one for one in [bench.store.versions.head(bench.store.spot(bench.bck, "a")).id])
        disk = FailingDisk(is_once=False)
        disk.left = call
        try:
            returning.keep(disk, others, away, bench.bck, "a", True)
            is_complete = disk.left >= 0
        except OSError:
            is_complete = False
        bucket = layout.bucket_path(away, bench.bck)
        places = [Path(f"{bucket}/%ob/a"), Path(f"{bucket}/%ve/a/%=/{version_id}")]
        assert [place.is_file() for place in places].count(True) == 1
        returning.keep(bench.env.disk, others, away, bench.bck, "a", True)
        assert places[1].is_file()
        act(bench, bench.store, "put E a", 78)
        for _ in range(2):
            act(bench, bench.store, "rm 0 a", 0)
        if is_complete:
            return
    pytest.fail("more system calls than the test tries")


@pytest.mark.parametrize("keeping", ["N", "E"])
def test_a_mountpath_that_goes_in_the_middle_of_a_removal_does_not_bring_it_back(bench: Any, keeping: str) -> None:
    """What is removed lies on it, not where it has its place by now, and was not noted before it went."""
    begin(bench, f"put {keeping} a")
    away = home(bench)
    others = [one.path for one in bench.volume.available if one.path != away]
    bench.volume.detach(others[0])
    bench.volume.attach(others[0])  # unsettled: it is looked for everywhere
    moved = Path(f"{away}/@ais/b/%ob/a")
    elsewhere = next(path for path in others)
    version_id = bench.store.head(bench.bck, "a").meta.version_id or NULL
    Path(f"{elsewhere}/@ais/b/%ob").mkdir(parents=True, exist_ok=True)
    subprocess.run(["cp", "-a", "--preserve=all", str(moved), f"{elsewhere}/@ais/b/%ob/a"], check=True)
    moved.unlink()
    note, volume = bench.volume.note_removed, bench.volume

    def note_and_go(*args: Any, **options: Any) -> None:
        note(*args, **options)
        volume.note_removed = note
        volume.disable(elsewhere)

    volume.note_removed = note_and_go
    if keeping == "N":
        with pytest.raises(NotReady):  # what was found went with its mountpath
            bench.store.delete(bench.bck, "a")
        volume.enable(elsewhere)
        bench.store.delete(bench.bck, "a")
    else:
        bench.store.delete_version(bench.bck, "a", version_id)
        volume.enable(elsewhere)
    assert state(bench) == {}


@pytest.mark.parametrize("other", ["an older file", "a copy"])
@pytest.mark.parametrize("change", ["delete", "mark", "delete version", "move", "let go"])
def test_nothing_is_removed_while_a_disk_may_have_it_too(bench: Any, change: str, other: str) -> None:
    """The disk of a mountpath in use is not mounted now: it may have another file of the object."""
    rules = WriteRules(keeping=Keeping.ENABLED) if change in ("mark", "delete version", "let go") else WriteRules()
    if other == "a copy":
        bench.volume.mirror_buckets({bench.bck: Mirroring(2)}, [])
    bench.put("a", b"content", rules)
    own, *others = sorted((one.path for one in bench.volume.available), key=lambda path: path != home(bench))
    if other == "a copy":
        Mirror(bench.store, bench.env, at_once).bring(bench.bck, "a")
        disk = next(Path(one) for one in others if os.path.exists(f"{one}/@ais/b/%cp/a"))
    else:
        bench.volume.detach(others[0])
        bench.volume.attach(others[0])
        disk = Path(others[1])
        subprocess.run(["cp", "-a", f"{own}/@ais/b/%ob/a", f"{disk}/@ais/b/%ob/a"], check=True)
    version_id = bench.store.head(bench.bck, "a").meta.version_id or NULL
    disk.rename(f"{disk}.unplugged")
    disk.mkdir()

    def step() -> None:
        if change == "delete version":
            bench.store.delete_version(bench.bck, "a", version_id)
        elif change == "move":
            bench.store.rename(bench.bck, "a", "other", WriteRules())
        elif change == "let go":
            departures = Departures(bench.store, bench.env)
            assert departures.let_go(bench.bck, "a", departures.look(bench.bck, "a"))
        else:
            bench.store.delete(bench.bck, "a", rules=rules)

    with pytest.raises(NotReady):
        step()
    disk.rmdir()
    Path(f"{disk}.unplugged").rename(disk)
    step()
    with pytest.raises(ObjectNotFound):
        bench.store.open(bench.bck, "a")
    if change != "mark":
        assert "a" not in state(bench)


class SlowTicks(HastyDisk):
    """Of a kernel whose clock does not tick while this test runs."""

    @staticmethod
    def lstat(path: str) -> os.stat_result:  # type: ignore[override]
        found = os.lstat(path)
        times = {"st_atime_ns": found.st_atime_ns, "st_mtime_ns": found.st_mtime_ns, "st_ctime_ns": 1}
        return os.stat_result(tuple(found)[:10], times)


@pytest.mark.parametrize("is_kept", [False, True])
def test_metadata_that_changes_while_an_object_is_copied_goes_with_it(bench: Any, is_kept: bool) -> None:
    """To another mountpath, without its lock; when it was changed the file does not always tell."""
    rules = WriteRules(keeping=Keeping.ENABLED)
    first = bench.put("a", b"content", rules).version_id
    if is_kept:
        bench.put("a", b"newer", rules)
    bench.env = Env(disk=SlowTicks())
    bench.store = Store(bench.volume, bench.env)
    bench.volume.drain(home(bench), State.DISABLED)
    rests: list[int] = []

    def change(meta: ObjectMeta) -> ObjectMeta:
        return msgspec.structs.replace(meta, custom={"key": "changed meanwhile"})

    def paced(pieces: Iterator[T]) -> Iterator[T]:
        yield from pieces
        rests.append(1)
        if len(rests) == (4 if is_kept else 2):  # each file is copied, then written out
            bench.store.update(bench.bck, "a", change, first)

    Relocator(bench.store, bench.env, paced).bring(bench.bck, "a")
    assert bench.store.head(bench.bck, "a", first).meta.custom == {"key": "changed meanwhile"}
    assert bench.volume.settle(bench.volume.view.generation)
    assert bench.store.head(bench.bck, "a", first).meta.custom == {"key": "changed meanwhile"}


def test_what_came_back_is_not_taken_for_what_replaced_it(bench: Any) -> None:
    """Overwritten while its disk was away; that returns, and the disk with the newer content goes before it moved."""
    bench.put("a", b"older")
    first = home(bench)
    bench.volume.disable(first)
    bench.put("a", b"newer")
    second = home(bench)
    bench.volume.enable(first)
    assert bench.get("a") == b"newer"
    bench.volume.disable(second)
    with pytest.raises(NotReady, match="may hold a newer one"):
        bench.get("a")
    bench.put("a", b"newest")
    assert bench.get("a") == b"newest"
    bench.volume.enable(second)
    assert bench.get("a") == b"newest"
