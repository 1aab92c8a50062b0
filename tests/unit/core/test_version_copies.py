"""Copies of kept versions and delete markers: either disk alone has all of them, and none comes back."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from harness.failing import HastyDisk
from harness.versioning import (
    CALLS_MAX,
    CHANGES,
    SETUPS,
    act,
    begin,
    clear,
    expected,
    given_id,
    is_possible,
    state,
    stop_at,
)

from ais.base.errors import VersionNotFound
from ais.core.store import Store
from ais.core.workfile import Keeping, WriteRules, at_once
from ais.env import Env
from ais.fs.volume import Mirroring
from ais.mirror.mirror import Mirror

NAMES = ("a", "a/b")
_CRASHED = ("put N a; put E a", "put E a; del S a; put E a")


@pytest.fixture
def mirrored(make_bench: Callable[..., Any]) -> Any:
    """A bench on three mountpaths with a bucket of two copies; it does not wait for the hardware."""
    bench = make_bench(3)
    bench.env = Env(disk=HastyDisk())
    bench.store = Store(bench.volume, bench.env)
    bench.volume.mirror_buckets({bench.bck: Mirroring(2)}, [])
    return bench


def bring(bench: Any) -> None:
    """Make the copies that are missing, and what was lost."""
    mirror = Mirror(bench.store, bench.env, at_once)
    for name in NAMES:
        assert not mirror.bring(bench.bck, name).is_lost


def trees(bench: Any, *contents: str) -> list[Path]:
    """The directories of a bucket on all mountpaths."""
    return [path for content in contents for path in bench.root.glob(f"mp*/@ais/b/{content}")]


def files(bench: Any, *contents: str) -> list[str]:
    """What lies below directories of the bucket, without the mountpath."""
    return sorted(
        str(path.relative_to(one)) for one in trees(bench, *contents) for path in one.glob("**/*") if path.is_file()
    )


def wipe(bench: Any, *contents: str) -> None:
    """Lose all files of a kind."""
    for tree in trees(bench, *contents):
        for one in tree.iterdir():
            shutil.rmtree(one) if one.is_dir() else one.unlink()


def test_either_file_is_enough(mirrored: Any) -> None:
    """Whatever was done to a name: without the files themselves everything is listed and read from copies, the next
    change is as if nothing was lost, and repairs bring every file back; without the copies these are made again."""
    for setup in SETUPS:
        for change in CHANGES:
            made = begin(mirrored, setup)
            bring(mirrored)
            if is_possible(change, made):
                own, copies = files(mirrored, "%ob", "%ve"), files(mirrored, "%cp")
                assert len(own) == len(copies)
                wipe(mirrored, "%ob", "%ve")
                assert state(mirrored) == made, setup
                act(mirrored, mirrored.store, change, 77)
                made = expected(made, change, 77)
                assert state(mirrored) == made, (setup, change)
            bring(mirrored)
            assert state(mirrored) == made, (setup, change)
            assert len(files(mirrored, "%ob", "%ve")) == len(files(mirrored, "%cp"))
            wipe(mirrored, "%ob", "%ve")
            bring(mirrored)
            wipe(mirrored, "%cp")
            assert state(mirrored) == made, (setup, change)
            bring(mirrored)
            assert len(files(mirrored, "%ob", "%ve")) == len(files(mirrored, "%cp"))
            clear(mirrored)


@pytest.mark.parametrize("setup", _CRASHED)
def test_copies_never_bring_back_what_a_crash_interrupted(mirrored: Any, setup: str) -> None:
    """A change stops at any system call, a repair follows, all files are lost: copies say what the files said."""
    for change in CHANGES:
        for call in range(CALLS_MAX):
            old = begin(mirrored, setup)
            bring(mirrored)
            if not is_possible(change, old):
                clear(mirrored)
                break
            is_done, is_complete = stop_at(mirrored, change, call, is_once=False)
            seen, new = state(mirrored), expected(old, change, 77)
            assert seen in ((new,) if is_done else (old, new)), (change, call)
            bring(mirrored)
            assert state(mirrored) == seen, (change, call)
            wipe(mirrored, "%ob", "%ve")
            assert state(mirrored) == seen, (change, call)
            bring(mirrored)
            clear(mirrored)
            if is_complete:
                break
        else:
            pytest.fail("more system calls than the test tries")


def test_what_is_kept_takes_its_copies_along(mirrored: Any) -> None:
    """No version is without a copy because another one came on top, or went; only what is new waits for its copies."""
    begin(mirrored, "put N a; put E a; del E a; put E a; put E a/b")
    bring(mirrored)
    own, copies = files(mirrored, "%ob", "%ve"), files(mirrored, "%cp")
    assert len(own) == len(copies) == 5
    for change in ("put E a", "del E a", "rm 0 a", "del E a/b"):
        act(mirrored, mirrored.store, change, 77)
        kept = files(mirrored, "%ve")
        assert set(files(mirrored, "%cp/%ve")) >= {one for one in kept if not one.endswith("deleted")}, change
        assert not files(mirrored, "%cp/%ve")[len(kept) :], change
        bring(mirrored)


def test_a_null_version_that_was_replaced_has_no_copy(mirrored: Any) -> None:
    """The new null version is lost before it had a copy: the older one does not come back in its place."""
    begin(mirrored, "put N a; put E a")
    bring(mirrored)
    act(mirrored, mirrored.store, "put S a", 77)
    wipe(mirrored, "%ob")
    with pytest.raises(VersionNotFound):
        mirrored.store.open(mirrored.bck, "a", "null")


def test_a_mountpath_that_comes_back_brings_no_removed_version(mirrored: Any) -> None:
    """Versions are removed for good while the mountpath that had them is out of use, whichever was the latest there."""
    begin(mirrored, "put E a; put E a; put E a")
    bring(mirrored)
    owner = mirrored.store.spot(mirrored.bck, "a").mountpath.path
    mirrored.volume.detach(owner)
    bring(mirrored)
    act(mirrored, mirrored.store, "put E a", 3)
    for index in (1, 1):
        act(mirrored, mirrored.store, f"rm {index} a", 0)
    before = state(mirrored)
    assert before == {"a": [(False, "3"), (False, "0")]}
    mirrored.volume.attach(owner)
    assert state(mirrored) == before


@pytest.mark.parametrize("age", [1, 3])
def test_a_version_from_elsewhere_has_its_copies_before_it_is_acknowledged(mirrored: Any, age: int) -> None:
    """Wherever it belongs among the versions, when its bucket promises so."""
    rules = WriteRules(keeping=Keeping.ENABLED, fsync=True, all_copies=True)
    mirrored.put("a", b"2", rules, version_id=given_id(2))
    mirrored.put("a", b"other", rules, version_id=given_id(age))
    wipe(mirrored, "%ob", "%ve")
    opened = mirrored.store.open(mirrored.bck, "a", given_id(age))
    assert os.read(opened.fd, 100) == b"other"
    os.close(opened.fd)
    bring(mirrored)
    assert state(mirrored) == {"a": [(False, "other"), (False, "2")][:: 1 if age > 2 else -1]}
