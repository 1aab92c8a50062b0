"""Listing versions: complete, in order, rolled up."""

import contextlib
import dataclasses
import os
import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from ais.base.errors import CorruptMetadata, ObjectNotFound
from ais.core import shown as shown_files
from ais.core.listing import ListLimits
from ais.core.version_listing import VersionLister
from ais.core.walk import common_prefix
from ais.core.workfile import Keeping, WriteRules
from ais.env.disk import Disk
from ais.fs import layout
from ais.fs.orders import Orders
from ais.target.s3.listing import _version_entry

KEEPING = WriteRules(keeping=Keeping.ENABLED)
NAMES = ["a", "a-b/c", "a/", "a/b", "a/b/c", "b-", "dir/x", "dir/y-1", "dir/y-2", "z"]


def fill(bench: Any) -> list[tuple[str, str]]:
    """Objects with null versions, kept versions and delete markers; (name, version ID) in order."""
    rng = random.Random(5)
    history: dict[str, list[str]] = {}
    for name in NAMES[::2]:
        bench.put(name)
        history[name] = ["null"]
    for _ in range(40):
        name = rng.choice(NAMES)
        if rng.random() < 0.3 and history.get(name):
            history[name].insert(0, bench.store.delete(bench.bck, name, None, KEEPING).marker_id)
        else:
            history.setdefault(name, []).insert(0, bench.put(name, rules=KEEPING).version_id)
    return [(name, version_id) for name in sorted(history) for version_id in history[name]]


def shown(versions: list[tuple[str, str]], prefix: str, delimiter: str) -> list[tuple[str, str]]:
    """The versions that begin with a prefix, those with a delimiter behind it as their common prefix."""
    found: dict[tuple[str, str], None] = {}
    for name, version_id in versions:
        if name.startswith(prefix):
            shared = common_prefix(name, prefix, delimiter)
            found[(shared, "") if shared else (name, version_id)] = None
    return list(found)


@pytest.mark.parametrize("session", ["", "s"])
@pytest.mark.parametrize("window", [1, 1000])
def test_pages_make_up_the_listing(make_bench: Callable[..., Any], session: str, window: int) -> None:
    """Whatever the page size, prefix and delimiter, with and without cursors."""
    bench = make_bench(2)
    versions = fill(bench)
    lister = VersionLister(bench.volume, bench.env, limits=ListLimits(window_max=window))
    for prefix in ("", "a", "a/", "dir/y"):
        for delimiter in ("", "/", "-", "b/"):
            for limit in (1, 3, 1000):
                found: list[tuple[str, str]] = []
                after, has_more = ("", ""), True
                while has_more:
                    page = lister.page(bench.bck, prefix, after, limit, delimiter=delimiter, session=session)
                    assert len(page.entries) <= limit
                    found += [(entry.name, entry.version_id) for entry in page.entries]
                    after, has_more = (
                        (page.entries[-1].name, page.entries[-1].order) if page.entries else after,
                        page.has_more,
                    )
                assert found == shown(versions, prefix, delimiter)


def test_null_says_where_to_go_on(make_bench: Callable[..., Any]) -> None:
    """Behind the null version of a name, wherever it is; when it is gone nothing of the name is left out."""
    bench = make_bench()
    versions = fill(bench)
    lister = VersionLister(bench.volume, bench.env)

    def behind(name: str) -> list[tuple[str, str]]:
        return [(entry.name, entry.version_id) for entry in lister.page(bench.bck, "", (name, "null")).entries]

    nulls = [one for one in versions if one[1] == "null"]
    assert nulls
    for one in nulls:
        assert behind(one[0]) == versions[versions.index(one) + 1 :]
    gone = nulls[0]
    bench.store.delete_version(bench.bck, *gone)
    left = [one for one in versions if one != gone]
    assert behind(gone[0]) == left[[name for name, _ in left].index(gone[0]) :]


class Meddling(Disk):
    """A disk on which something happens after the objects (or the older versions) of a bucket were read."""

    def __init__(self, after: str, then: Callable[[], Any]) -> None:
        super().__init__()
        self._after, self._then = after, then

    @contextlib.contextmanager
    def scandir(self, path: str) -> Iterator[Any]:  # type: ignore[override]
        with os.scandir(path) as entries:
            found = list(entries)
        yield iter(found)
        if path.endswith(self._after) and self._then is not None:
            then, self._then = self._then, None
            then()


@pytest.mark.parametrize("after", [layout.OBJECTS, layout.VERSIONS])
@pytest.mark.parametrize("is_deleted", [True, False])
def test_a_name_that_moves_while_it_is_listed_is_listed(make_bench: Callable[..., Any], after: str, is_deleted: bool):
    """A delete puts an object among the older versions, removing its marker brings it back: it is there always."""
    bench = make_bench(1)
    bench.put("o", rules=KEEPING)
    marker = bench.store.delete(bench.bck, "o", None, KEEPING).marker_id if is_deleted else None

    def change() -> None:
        if marker is not None:
            bench.store.delete_version(bench.bck, "o", marker)
        else:
            bench.store.delete(bench.bck, "o", None, KEEPING)

    lister = VersionLister(bench.volume, dataclasses.replace(bench.env, disk=Meddling(after, change)))
    assert "o" in {entry.name for entry in lister.page(bench.bck).entries}


@pytest.mark.parametrize("how", ["its marker is removed", "it is put again"])
def test_a_name_that_moves_to_and_fro_between_pages_is_listed(make_bench: Callable[..., Any], how: str) -> None:
    """It is an object when older versions are looked for, deleted when objects are read, and then an object again."""
    bench = make_bench(1)
    for name in ("a", "m/1", "z/1"):
        bench.put(name, rules=KEEPING)
    first = bench.store.head(bench.bck, "m/1").meta.version_id
    markers = []

    def delete() -> None:
        markers.append(bench.store.delete(bench.bck, "m/1", None, KEEPING).marker_id)

    env = dataclasses.replace(bench.env, disk=Meddling(layout.OBJECTS, delete))
    lister = VersionLister(bench.volume, env)
    page = lister.page(bench.bck, limit=1, session="s")
    assert markers
    found = [entry.name for entry in page.entries]
    if how == "it is put again":
        bench.store.delete_version(bench.bck, "m/1", first)
        bench.put("m/1", rules=KEEPING)
    bench.store.delete_version(bench.bck, "m/1", markers[0])
    while page.has_more:
        page = lister.page(bench.bck, "", (found[-1], page.entries[-1].order), 100, session="s")
        found += [entry.name for entry in page.entries]
    assert found == ["a", "m/1", "z/1"]


def test_what_is_deleted_while_it_is_its_turn_soon_keeps_its_versions_in_the_listing(
    make_bench: Callable[..., Any],
) -> None:
    """Where kept versions lie was looked at before the marker came; the directory of the object is read only then."""
    bench = make_bench(2)
    names = [f"dir{number}/o" for number in range(8)]
    for name in names:
        bench.put(name, rules=KEEPING)
    lister = VersionLister(bench.volume, bench.env, limits=ListLimits(window_max=2))
    found: list[tuple[str, bool]] = []
    has_more, limit = True, 1
    while has_more:
        after = (found[-1][0], "~") if found else ("", "")
        page = lister.page(bench.bck, "", after, limit, session="s")
        found += [(entry.name, entry.is_marker) for entry in page.entries]
        if len(found) == 1:
            for name in names[2:]:
                bench.store.delete(bench.bck, name, None, KEEPING)
            limit = 100
        has_more = page.has_more
    assert found == [
        (name, is_marker) for name in names for is_marker in ((False,) if name in names[:2] else (True, False))
    ]


@pytest.mark.parametrize("mountpaths", [1, 2])
def test_what_is_kept_of_files_is_what_they_are(
    make_bench: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, mountpaths: int
) -> None:
    """Versions come, go to the shelf, come back from it; objects are changed in place: each listing shows what another
    one that knows nothing shows.
    """
    monkeypatch.setattr(shown_files, "_GROUP_MIN", 1)
    bench = make_bench(mountpaths)
    bench.volume.orders = Orders(bench.disk, directory_bytes_min=0)
    lister, rng = VersionLister(bench.volume, bench.env), random.Random(4)
    every = [f"{head}{number:02}" for head in ("", "d/") for number in range(60)]

    def change(rules: WriteRules) -> None:
        name, kind = rng.choice(every), rng.randrange(6)
        if kind < 2:
            bench.put(name, rng.randbytes(rng.randrange(9)), rules=rules)
        elif kind == 2:
            with contextlib.suppress(ObjectNotFound):
                bench.store.delete(bench.bck, name, None, rules)
        elif kind == 3:
            with contextlib.suppress(ObjectNotFound, CorruptMetadata):
                bench.store.set_custom(bench.bck, name, {"k": f"{rng.random()}"}, replace=False)
        elif kind == 4:
            for path in bench.root.glob(f"mp*/@ais/b/%ob/{name}"):
                os.utime(path, ns=(1, rng.randrange(10**9)))
        else:
            versions = VersionLister(bench.volume, bench.env).page(bench.bck, name).entries
            if versions:
                bench.store.delete_version(bench.bck, name, versions[0].version_id)

    for name in every:
        bench.put(name)
    for step in range(24):
        for _ in range(rng.choice([0, 1, 5, 20])):
            change(KEEPING if step > 6 else WriteRules())
        page = VersionLister(bench.volume, bench.env).page(bench.bck, limit=10_000)
        expected = [_version_entry(one) for one in page.entries]
        found: list[Any] = []
        has_more, limit = True, rng.choice([7, 100, 1000])
        while has_more:
            name, _, order = found[-1].n.partition("\0") if found else ("", "", "")
            entries, has_more = lister.shown(bench.bck, "", (name, order), limit, _version_entry)
            found += entries
        assert found == expected
    bench.volume.orders.close()


def test_a_version_that_moves_after_the_shelf_was_looked_at_is_listed(make_bench: Callable[..., Any]) -> None:
    """Of what is kept too: when the last version is removed the one before comes back, between two looks."""
    bench = make_bench(1)
    bench.volume.orders = Orders(bench.disk, directory_bytes_min=0)
    names = [f"{number:03}" for number in range(64)]
    for name in names:
        bench.put(name)
    bench.put("000", rules=KEEPING)
    latest = bench.put("001", rules=KEEPING).version_id
    lister = VersionLister(bench.volume, bench.env)
    list_all = lambda: lister.shown(bench.bck, "", ("", ""), 1000, _version_entry)[0]  # noqa: E731
    bench.store.delete_version(bench.bck, "001", latest)  # its shelf may be left, it is not
    first = list_all()
    access, done = bench.disk.access, list[Any]()

    def overwrite_first(path: str, mode: int) -> bool:
        if path.endswith("/%ve/063/%=") and not done:
            there = access(path, mode)
            done.append(bench.put("063", b"new", rules=KEEPING))
            return there
        return access(path, mode)

    bench.disk.access = overwrite_first
    found = list_all()
    assert done
    assert [one.n.partition("\0")[0] for one in found].count("063") == 2
    assert len(found) == len(first) + 1
    bench.volume.orders.close()
