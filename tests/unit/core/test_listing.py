"""Listing: complete, in order, bounded."""

import contextlib
import itertools
import os
import random
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ais.base.errors import CorruptMetadata, DiskFailure, ObjectNotFound
from ais.core import listing, shown, walk
from ais.core.listing import Block, Detail, Lister, ListLimits, Show
from ais.core.relocate import Relocator
from ais.core.walk import Walk
from ais.core.workfile import at_once
from ais.env.changes import Changes
from ais.env.disk import Disk
from ais.fs import names
from ais.fs.moved import KEPT_MAX
from ais.fs.orders import Orders
from ais.target.s3.listing import object_entry

_COMPONENT = st.sampled_from(
    ["", "a", "b", "a-", "a.", "%", ".", "é", "\U0001f600", "x" * 250, "x" * 240, "x" * 240 + "!"]
)
_NAMES = st.sets(st.lists(_COMPONENT, min_size=1, max_size=3).map("/".join).filter(bool), max_size=12)


def place(root: Path, objects: set[str]) -> None:
    """Put empty files where the store would have put objects."""
    for name in objects:
        path = names.to_path(name)
        if any(other.startswith(name + "/") for other in objects):
            path += f"/{names.SELF}"
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).touch()


def names_of(blocks: list[Block]) -> list[str]:
    """What a cursor gave."""
    return [name for block in blocks for name in block.names]


def rolled_up(objects: set[str], prefix: str = "", delimiter: str = "/", after: str = "") -> list[str]:
    """What a listing with a delimiter shows: each name up to the first delimiter behind the prefix, once."""
    shown = set()
    for name in objects:
        if name.startswith(prefix):
            head, found, _ = name[len(prefix) :].partition(delimiter)
            shown.add(prefix + head + found)
    return sorted(name for name in shown if name > after)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(_NAMES, st.integers(1, 5), st.data())
def test_a_walk_is_the_sorted_names(tmp_path_factory: Any, objects: set[str], window: int, data: Any) -> None:
    """For any names, prefix, start and window: exactly the names a sorted set has."""
    root = tmp_path_factory.mktemp("walk")
    place(root, objects)
    some = st.sampled_from(sorted(objects) or ["a"])
    prefix = data.draw(
        st.just("") | some | some.map(lambda name: name[:2]) | some.map(lambda name: name[: name.rfind("/") + 1])
    )
    after = data.draw(st.just("") | some | some.map(lambda name: name[:3]))
    is_late = data.draw(st.booleans())
    walk = Walk(Disk(), str(root), prefix, after, window_max=window, is_late=is_late)
    expected = sorted(name for name in objects if name.startswith(prefix) and name > after)
    assert [name for name, _, _ in walk] == expected
    delimiter = data.draw(st.sampled_from(["/", "-", "//", "x/", "/a", "\U0001f600", "xxx"]))
    units = Walk(Disk(), str(root), prefix, after, delimiter=delimiter, window_max=window, is_late=is_late)
    expected = rolled_up(objects, prefix, delimiter, after)
    assert [(name, is_prefix) for name, _, is_prefix in units] == [
        (name, delimiter in name[len(prefix) :]) for name in expected
    ]


@pytest.mark.parametrize("session", ["", "s"])
@pytest.mark.parametrize("delimiter", ["", "/", "1/", "o0"])
def test_pages_make_up_the_listing(make_bench: Callable[..., Any], session: str, delimiter: str) -> None:
    """Whatever the page size, with and without cursors, over several mountpaths."""
    bench = make_bench(3)
    objects = {f"d{index % 7}/o{index:03d}" for index in range(60)} | {"a", "a/b", "d1", "zz"}
    for name in objects:
        bench.put(name)
    lister = Lister(bench.volume, bench.env)
    for limit in (1, 3, 1000):
        found: list[str] = []
        has_more = True
        while has_more:
            page = lister.page(bench.bck, "", found[-1] if found else "", limit, delimiter=delimiter, session=session)
            assert len(page.entries) <= limit
            found += [entry.name for entry in page.entries]
            has_more = page.has_more
        assert found == (rolled_up(objects, delimiter=delimiter) if delimiter else sorted(objects))
    assert [entry.name for entry in lister.walk(bench.bck, "d1")] == sorted(n for n in objects if n.startswith("d1"))


def test_directories_below_a_common_prefix_are_not_read(make_bench: Callable[..., Any]) -> None:
    """A page of common prefixes looks into each directory for one object; where it lies does not matter."""
    bench = make_bench(2)
    for index in range(400):
        bench.put(f"p{index % 4}-{index % 3}/sub/o{index:03d}")
    seen: list[str] = []
    scandir = bench.disk.scandir

    class Counting:
        def __getattr__(self, call: str) -> Any:
            return getattr(bench.disk, call)

        def scandir(self, path: str) -> Any:
            entries = scandir(path)
            seen.append(path)
            return entries

    root = f"{bench.volume.available[0].path}/@ais/b/%ob"
    assert [name for name, _, _ in Walk(Counting(), root, delimiter="-")] == ["p0-", "p1-", "p2-", "p3-"]
    assert len(seen) == 1 + 4 * 2


@pytest.mark.parametrize("delimiter", ["", "/"])
def test_a_page_looks_into_no_directory_that_it_does_not_show(tmp_path: Path, delimiter: str) -> None:
    """What a directory holds under its own name is looked up when it is its turn, in whatever directory they lie."""
    place(tmp_path, {f"d{index:03}/o" for index in range(300)} | {"d150"})
    looked: list[str] = []

    class Counting(Disk):
        def lstat(self, path: str) -> os.stat_result:
            looked.append(path)
            return super().lstat(path)

    walk = iter(Walk(Counting(), str(tmp_path), after="d149/o", delimiter=delimiter, is_late=True))
    found = [name for name, _, _ in itertools.islice(walk, 5)]
    shown = ["d150", "d150/o", "d151/o", "d152/o", "d153/o"]
    assert found == (["d150", *(f"d{index}/" for index in range(150, 154))] if delimiter else shown)
    assert len(looked) < 10


def test_details_are_those_of_the_object(bench: Any) -> None:
    """Size and times from the file, the rest from its metadata; a damaged object is still listed."""
    stored = bench.put("a", b"12345", custom={"k": "v"})
    bench.put("a/b", b"1")
    bench.put("bad")
    os.setxattr(str(next(bench.root.glob("mp0/@ais/b/%ob/bad"))), "user.ais.obj", b"junk")
    lister = Lister(bench.volume, bench.env)
    first, second, bad = lister.page(bench.bck, detail=Detail.META).entries
    assert (first.name, first.size, first.meta, first.is_misplaced) == ("a", 5, stored, False)
    assert first.mtime_ns == bench.store.head(bench.bck, "a").stat.st_mtime_ns
    assert (second.name, second.size, bad.meta) == ("a/b", 1, None)
    assert [entry.size for entry in lister.page(bench.bck, detail=Detail.STAT).entries] == [5, 1, 7]


def test_an_empty_directory_is_not_shown(bench: Any) -> None:
    """One that holds only the object of its own name, or nothing after a crash, is no directory to users."""
    for name in ("a/b", "a", "c"):
        bench.put(name)
    bench.store.delete(bench.bck, "a/b")
    bench.volume.available[0]
    os.makedirs(f"{bench.volume.available[0].path}/@ais/b/%ob/left/over")
    lister = Lister(bench.volume, bench.env)
    assert [(e.name, e.is_dir) for e in lister.page(bench.bck, delimiter="/").entries] == [("a", False), ("c", False)]
    os.removedirs(f"{bench.volume.available[0].path}/@ais/b/%ob/left/over")


def test_a_new_listing_sees_what_was_just_written(bench: Any) -> None:
    """Cursors serve only the session they belong to."""
    for name in ("a", "c"):
        bench.put(name)
    lister = Lister(bench.volume, bench.env)
    assert lister.page(bench.bck, limit=1, session="one").has_more
    bench.put("b")
    assert [entry.name for entry in lister.page(bench.bck, after="a", session="two").entries] == ["b", "c"]
    assert [entry.name for entry in lister.page(bench.bck, after="a").entries] == ["b", "c"]


def test_cursors_are_bounded(bench: Any) -> None:
    """In number, in names held, and in time."""
    for index in range(20):
        bench.put(f"o{index:02d}")
    now = [0.0]
    bench.env = type(bench.env)(disk=bench.disk, clock=type("C", (), {"monotonic": lambda self: now[0]})())
    lister = Lister(bench.volume, bench.env, limits=ListLimits(cursors_max=4, names_held_max=1000, idle_s_max=10.0))
    for index in range(8):
        lister.page(bench.bck, limit=5, session=str(index))
    assert len(lister._cursors._paused) == 4
    now[0] = 11.0
    lister.page(bench.bck, limit=5, session="late")
    assert [key[0] for key in lister._cursors._paused] == ["late"]
    small = Lister(bench.volume, bench.env, limits=ListLimits(names_held_max=20))
    for index in range(5):
        small.page(bench.bck, limit=5, session=str(index))
    assert len(small._cursors._paused) == 1


def test_names_that_stay_are_listed_while_others_come_and_go(make_bench: Callable[..., Any]) -> None:
    """Also names that are overwritten, and those whose name becomes a directory."""
    bench = make_bench(2)
    staying = [f"d{index % 5}/o{index:03d}" for index in range(200)]
    for name in staying:
        bench.put(name)
    stop = threading.Event()

    def churn() -> None:
        rng = random.Random(1)
        while not stop.is_set():
            name = rng.choice(staying)
            bench.put(name)
            bench.put(f"{name}/below")
            bench.put(f"new{rng.randrange(50)}")
            bench.store.delete(bench.bck, f"{name}/below")

    thread = threading.Thread(target=churn)
    thread.start()
    try:
        lister = Lister(bench.volume, bench.env, limits=ListLimits(window_max=20))
        for turn in range(15):
            found: list[str] = []
            has_more = True
            while has_more:
                page = lister.page(bench.bck, after=found[-1] if found else "", limit=37, session=f"s{turn % 2}")
                found += [entry.name for entry in page.entries]
                has_more = page.has_more
            assert found == sorted(set(found))
            assert set(staying) <= set(found)
    finally:
        stop.set()
        thread.join()


def test_a_failing_disk_is_an_error_not_a_short_page(bench: Any) -> None:
    """A page that could not be read is never taken for the end."""
    bench.put("d/a")
    bench.disk.faults["scandir"] = 5
    with pytest.raises(DiskFailure):
        Lister(bench.volume, bench.env).page(bench.bck)


def test_foreign_files_are_not_objects(bench: Any) -> None:
    """Names that no object can have, and what is not a file, stay out."""
    bench.put("a")
    root = next(bench.root.glob("mp0/@ais/b/%ob"))
    for entry in (b"%junk", b"\xff\xfe", b"%="):
        Path(os.fsdecode(os.fsencode(root) + b"/" + entry)).touch()
    (root / "link").symlink_to("/etc/passwd")
    (root / "d" / "%junk").mkdir(parents=True)
    for path in (root / "d" / "%junk" / "a", root / "d" / "%other"):
        path.touch()
    assert [entry.name for entry in Lister(bench.volume, bench.env).page(bench.bck, delimiter="/").entries] == ["a"]
    assert [entry.name for entry in Lister(bench.volume, bench.env).page(bench.bck).entries] == ["a"]


@pytest.mark.parametrize("at", [0, 1, 3])
def test_names_that_go_to_another_mountpath_are_listed(make_bench: Callable[..., Any], at: int) -> None:
    """Objects are moved to a mountpath that was attached, after its directories were read or while a page waits: each
    name is listed once, with a delimiter too."""
    bench = make_bench(1)
    wanted = ["a/x", *(f"d/{number:02}" for number in range(20))]
    for name in wanted:
        bench.put(name)
    more = bench.root / "more"
    more.mkdir()
    bench.volume.attach(str(more))
    lister, relocator = Lister(bench.volume, bench.env), Relocator(bench.store, bench.env, at_once)
    cursor = lister._cursors.open(bench.bck, "", "")
    rolled = lister._cursors.open(bench.bck, "", "", delimiter="/")
    found = names_of(cursor.take(at))
    page = lister.page(bench.bck, "", "", 3, session="s")
    moved = [name for name in wanted if relocator.bring(bench.bck, name).was_moved]
    assert len(moved) > 3
    while cursor.has_more:
        found += names_of(cursor.take(2))
    assert found == wanted
    assert names_of(rolled.take(10)) == ["a/", "d/"]
    rest = lister.page(bench.bck, "", page.entries[-1].name, session="s")
    assert [one.name for one in (*page.entries, *rest.entries)] == wanted


def test_what_moved_and_was_deleted_leaves_no_common_prefix(make_bench: Callable[..., Any]) -> None:
    """Everything that begins with a prefix is moved, then deleted, while a listing waits: the prefix is not listed."""
    bench = make_bench(1)
    for name in ("a", *(f"d/{number:02}" for number in range(20)), "e/x"):
        bench.put(name)
    more = bench.root / "more"
    more.mkdir()
    bench.volume.attach(str(more))
    lister, relocator = Lister(bench.volume, bench.env), Relocator(bench.store, bench.env, at_once)
    assert [one.name for one in lister.page(bench.bck, delimiter="/", limit=1, session="s").entries] == ["a"]
    for number in range(20):
        relocator.bring(bench.bck, f"d/{number:02}")
        bench.store.delete(bench.bck, f"d/{number:02}")
    relocator.bring(bench.bck, "e/x")
    cursor = lister._cursors.open(bench.bck, "", "a", delimiter="/", session="s")
    cursor._heads = []  # it has read the place that they came from
    assert names_of(cursor.take(10)) in (["e/"], [])
    assert [one.name for one in lister.page(bench.bck, after="a", delimiter="/").entries] == ["e/"]


def test_a_walk_goes_on_where_it_was_when_it_lost_track(
    make_bench: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """More names have moved than are remembered while somebody walks: each name comes once all the same."""
    monkeypatch.setattr(listing, "_WALKED_STEP", 7)
    bench = make_bench(1)
    wanted = [f"d{number:02}/o" for number in range(30)]
    for name in wanted:
        bench.put(name)
    found = []
    for entry in Lister(bench.volume, bench.env).walk(bench.bck):
        found.append(entry.name)
        if len(found) == 1:
            for number in range(KEPT_MAX + 1):
                bench.volume.moved.note("/@ais/other", f"o{number}")
    assert found == wanted


def test_a_listing_begins_again_when_it_lost_track(make_bench: Callable[..., Any]) -> None:
    """More names have moved than are remembered, or the set of mountpaths is another: the page is read anew."""
    bench = make_bench(1)
    for number in range(20):
        bench.put(f"d/{number:02}")
    cursor = Lister(bench.volume, bench.env)._cursors.open(bench.bck, "", "")
    assert cursor.is_sure
    for number in range(KEPT_MAX + 1):
        bench.volume.moved.note("/@ais/other", f"o{number}")
    assert len(names_of(cursor.take(20))) == 20
    assert not cursor.is_sure
    more = bench.root / "more"
    more.mkdir()
    cursor = Lister(bench.volume, bench.env)._cursors.open(bench.bck, "", "")
    bench.volume.attach(str(more))
    assert not cursor.is_sure
    assert len(Lister(bench.volume, bench.env).page(bench.bck).entries) == 20


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(_NAMES, _NAMES, st.data())
def test_pages_from_kept_orders_are_the_sorted_names(
    make_bench: Callable[..., Any], objects: set[str], others: set[str], data: Any
) -> None:
    """Names on three mountpaths, some on two, others at the next listing; every prefix, delimiter, start and size of
    pages, paused or not: exactly what a sorted set has.
    """
    bench = make_bench(3)
    for mountpath in bench.volume.available:
        shutil.rmtree(f"{mountpath.path}/@ais/b/%ob")
        os.mkdir(f"{mountpath.path}/@ais/b/%ob")
    bench.volume.orders = Orders(bench.disk, directory_bytes_min=0)
    roots = [Path(f"{mountpath.path}/@ais/b/%ob") for mountpath in bench.volume.available]
    lister = Lister(bench.volume, bench.env)
    some = st.sampled_from(sorted(objects | others) or ["a"])
    prefix = data.draw(
        st.just("") | some.map(lambda name: name[:2]) | some.map(lambda name: name[: name.rfind("/") + 1])
    )
    after = data.draw(st.just("") | some | some.map(lambda name: name[:3]))
    delimiter = data.draw(st.sampled_from(["", "/", "a", "-"]))
    here = {name: data.draw(st.sets(st.integers(0, 2), min_size=1, max_size=2)) for name in objects | others}
    there: set[str] = set()
    for wanted in (objects, others, objects | others):
        for at, root in enumerate(roots):
            mine = {name for name in wanted if at in here[name]}
            if there:
                shutil.rmtree(root)
                root.mkdir()
            place(root, mine)
        there = wanted
        shown = [one for one in rolled_up(wanted, prefix, delimiter or "\0", after) if one > after]
        found: list[str] = []
        session, limit, has_more = data.draw(st.sampled_from(["", "s"])), data.draw(st.integers(1, 9)), True
        while has_more:
            page = lister.page(
                bench.bck, prefix, found[-1] if found else after, limit, delimiter=delimiter, session=session
            )
            found += [entry.name for entry in page.entries]
            has_more = page.has_more
        assert found == shown
    bench.volume.orders.close()


def shown_pages(lister: Lister, bck: Any, show: Show, limit: int) -> list[Any]:
    """All that a listing shows, page by page."""
    found: list[Any] = []
    has_more = True
    while has_more:
        page, has_more = lister.shown(bck, "", found[-1].n if found else "", limit, show)
        found += page
    return found


@pytest.mark.parametrize("mountpaths", [1, 3])
def test_what_is_kept_of_files_is_what_they_are(
    make_bench: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, mountpaths: int
) -> None:
    """Objects are written, deleted, changed in place, by the store and behind its back, directories come and go: each
    listing shows what another one that knows nothing shows; and nothing is read of what did not change.
    """
    monkeypatch.setattr(shown, "_GROUP_MIN", 1)
    bench = make_bench(mountpaths)
    bench.volume.orders = Orders(bench.disk, directory_bytes_min=0)
    show = Show(Detail.META, object_entry, "objects")
    lister, rng = Lister(bench.volume, bench.env), random.Random(3)
    every = [f"{head}{number:03}" for head in ("", "d/", "d/e/") for number in range(50)]

    def change() -> None:
        name = rng.choice(every)
        paths = [path for path in bench.root.glob(f"mp*/@ais/b/%ob/{name}") if path.is_file()]
        kind = rng.randrange(8)
        if kind < 2 or not paths:
            bench.put(name, rng.randbytes(rng.randrange(9)))
        elif kind == 2:
            bench.store.delete(bench.bck, name)
        elif kind == 3:
            bench.put(f"{name}/{rng.randrange(3)}")
        elif kind == 4:
            with contextlib.suppress(ObjectNotFound, CorruptMetadata):
                bench.store.set_custom(bench.bck, name, {"k": f"{rng.random()}"}, replace=False)
        elif kind == 5:
            os.setxattr(paths[0], "user.ais.obj", b"junk")
        elif kind == 6:
            os.utime(paths[0], ns=(1, rng.randrange(10**9)))
        else:
            paths[0].unlink()

    for name in every:
        bench.put(name, name.encode())
    for _ in range(24):
        for _ in range(rng.choice([0, 1, 5, 60])):
            change()
        found = Lister(bench.volume, bench.env).page(bench.bck, detail=Detail.META).entries
        expected = [object_entry(one) for one in found]
        assert shown_pages(lister, bench.bck, show, rng.choice([7, 100, 1000])) == expected
    bench.volume.orders.close()


def test_nothing_is_read_of_what_did_not_change(make_bench: Callable[..., Any]) -> None:
    """A second listing needs no file; of one that has another name elsewhere, changes by that name are seen."""
    bench = make_bench(1)
    bench.volume.orders = Orders(bench.disk, directory_bytes_min=0)
    lister, show = Lister(bench.volume, bench.env), Show(Detail.META, object_entry, "objects")
    for number in range(300):
        bench.put(f"{number:03}", b"x")
    first = shown_pages(lister, bench.bck, show, 200)
    bench.disk.faults["files_below"] = 5
    with pytest.raises(DiskFailure):
        lister.page(bench.bck, detail=Detail.META)
    assert shown_pages(lister, bench.bck, show, 200) == first
    bench.disk.faults.clear()
    linked, path = bench.root / "linked", next(bench.root.glob("mp0/@ais/b/%ob/007"))
    linked.hardlink_to(path)
    for one in path.parent.iterdir():  # so that they are all read and kept again
        one.touch()
    shown_pages(lister, bench.bck, show, 200)
    for number in range(2):
        os.utime(linked, ns=(number, number))
        found = shown_pages(lister, bench.bck, show, 200)
        assert (found[7].i, len(found)) == (number, 300)
    bench.volume.orders.close()


def test_a_directory_that_changes_all_the_time_is_not_read_for_each_window(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is kept of it is lost before each next window: these become larger, as those are of what is not kept."""
    monkeypatch.setattr(walk, "_KEPT_WINDOW_MAX", 10)
    reads: list[str] = []

    class Busy(Disk):
        def scandir(self, path: str) -> Any:
            reads.append(path)
            return os.scandir(path)

        @staticmethod
        def follow(path: str) -> Any:
            changes = Changes(path)
            takes = iter([changes.take()])
            monkeypatch.setattr(changes, "take", lambda: next(takes, None))
            return changes

    every = {f"{number:04}" for number in range(2000)}
    place(tmp_path, every)
    orders = Orders(Busy(), directory_bytes_min=0)
    assert [name for name, _, _ in Walk(Busy(), str(tmp_path), orders=orders)] == sorted(every)
    assert len(reads) == 5  # of 10, 10, 80, 640 and all that is left
    orders.close()


def test_a_job_leaves_no_order_of_what_it_reads_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that listings use would be pushed out; a directory that would be read several times is another matter."""
    place(tmp_path, {"a", "b"})
    orders = Orders(Disk(), directory_bytes_min=0)
    for bytes_min, kept in ((1 << 20, 0), (1, 1)):
        monkeypatch.setattr(walk, "_OF_JOBS_BYTES_MIN", bytes_min)
        found = Walk(Disk(), str(tmp_path), orders=orders, is_job=True)
        assert [name for name, _, _ in found] == ["a", "b"]
        assert len(orders._kept) == kept
    orders.close()
