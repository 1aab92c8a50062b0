"""A name leaves for another target with all its versions: stopped at any system call of either, nothing is lost."""

import contextlib
import os
from collections.abc import Callable
from typing import Any

import pytest
from harness.failing import FailingDisk, HastyDisk

from ais.base.errors import AlreadyExists, CorruptMetadata, DiskFailure, NotReady
from ais.core.departure import Departing, Departures
from ais.core.store import Store
from ais.core.version_listing import VersionLister
from ais.core.workfile import Keeping, WriteRules
from ais.env import Env
from ais.fs.volume import EPOCHS_MAX

CALLS_MAX = 250
RULES = WriteRules(keeping=Keeping.ENABLED)
MODES = {"N": WriteRules(), "E": RULES, "S": WriteRules(keeping=Keeping.SUSPENDED)}
SETUPS = [
    "put N a",
    "put N a; put E a",
    "put E a; put E a; put E a",
    "put E a; put S a",
    "put E a; put S a; put E a",
    "put E a; del E a",
    "put N a; del S a",
    "put E a; del E a; put E a; del E a",
    "put E a/b; put N a; put E a",
]
Listed = list[tuple[str, str, str, bool, bool, bytes, Any]]


@pytest.fixture
def two(make_bench: Callable[..., Any]) -> tuple[Any, Any]:
    """Two targets on a mountpath each."""
    benches = make_bench(1), make_bench(1, "other")
    for bench in benches:
        bench.env = Env(disk=HastyDisk())
        bench.store = Store(bench.volume, bench.env)
    return benches


def listed(bench: Any) -> Listed:
    """All versions with content and metadata; the stamp is each target's own."""
    found: Listed = []
    for entry in VersionLister(bench.volume, bench.env).page(bench.bck).entries:
        content = b""
        if not entry.is_marker:
            opened = bench.store.open(bench.bck, entry.name, entry.version_id)
            content = os.pread(opened.fd, 100, 0)
            os.close(opened.fd)
        meta = entry.meta
        facts = (meta.checksum, meta.version, meta.custom, meta.facts, meta.runs, entry.mtime_ns)
        found.append((entry.name, entry.order, entry.version_id, entry.is_latest, entry.is_marker, content, facts))
    return found


def send(
    source: Any, target: Any, name: str, *, sender: Store | None = None, receiver: Store | None = None
) -> Departing:
    """What two targets do before the old owner lets go."""
    sender, receiver = sender or source.store, receiver or target.store
    departures = Departures(sender, source.env)
    found = departures.look(source.bck, name)
    head = found.versions[0] if found.has_head else None
    with contextlib.suppress(AlreadyExists):
        for version in reversed(found.versions):
            opened = departures.open(version)
            assert opened is not None
            with os.fdopen(opened.fd, "rb") as file:
                times_ns = (opened.stat.st_atime_ns, opened.stat.st_mtime_ns)
                writer = receiver.arrival(target.bck, name, RULES, opened.meta, times_ns, is_head=version is head)
                writer.write(file.read())
                writer.commit()
    return found


def let_go(bench: Any, name: str, sent: Departing, disk: Any = None) -> None:
    """The last step."""
    store = Store(bench.volume, Env(disk=disk)) if disk else bench.store
    assert Departures(store, bench.env).let_go(bench.bck, name, sent)


def give(source: Any, target: Any, name: str) -> None:
    """All of it."""
    let_go(source, name, send(source, target, name))


def begin(bench: Any, setup: str) -> Listed:
    for serial, op in enumerate(setup.split("; ")):
        verb, mode, name = op.split()
        if verb == "put":
            bench.put(name, f"{serial}".encode(), MODES[mode])
        else:
            bench.store.delete(bench.bck, name, rules=MODES[mode])
    return listed(bench)


def clear(*benches: Any) -> None:
    for bench in benches:
        for entry in VersionLister(bench.volume, bench.env).page(bench.bck).entries:
            bench.store.delete_version(bench.bck, entry.name, entry.version_id)
        bench.volume.sweep_workfiles()
        assert [path for path in bench.root.glob("mp*/@ais/b/*/**/*") if not path.is_dir()] == []


def union(one: Listed, other: Listed) -> Listed:
    """What a listing of both shows: the flag of the latest version is there where that is."""
    merged = {entry[:3]: entry for entry in [*one, *other]}
    merged |= {entry[:3]: entry for entry in [*one, *other] if entry[3]}
    return sorted(merged.values())


@pytest.mark.parametrize("setup", SETUPS)
def test_a_name_arrives_as_it_was(two: tuple[Any, Any], setup: str) -> None:
    """Every version and marker with its ID, order, times and metadata, the latest one the latest; nothing stays."""
    source, target = two
    before = begin(source, setup)
    for name in dict.fromkeys(entry[0] for entry in before):
        give(source, target, name)
    assert (listed(source), listed(target)) == ([], before)
    clear(source, target)


@pytest.mark.parametrize("victim", ["sender", "receiver"])
@pytest.mark.parametrize("setup", SETUPS)
def test_killed_at_any_call_it_is_whole_on_one_and_goes_on(two: tuple[Any, Any], setup: str, victim: str) -> None:
    """At each moment both together list everything; the next attempt brings all of it, whatever the first left."""
    source, target = two
    for call in range(CALLS_MAX):
        before = begin(source, setup)
        disk = FailingDisk(is_once=False)
        victims = source if victim == "sender" else target
        store = Store(victims.volume, Env(disk=disk))
        disk.left = call
        try:
            sent = send(source, target, "a", **{victim: store})
            let_go(source, "a", sent, disk if victim == "sender" else None)
            is_complete = disk.left >= 0
        except (DiskFailure, NotReady, CorruptMetadata):
            is_complete = False
        assert union(listed(source), listed(target)) == sorted(before)
        for name in dict.fromkeys(entry[0] for entry in listed(source)):
            give(source, target, name)
        assert (listed(source), listed(target)) == ([], before)
        clear(source, target)
        if is_complete:
            break
    assert is_complete


@pytest.mark.parametrize("setup", SETUPS[2:6])
def test_a_third_target_gets_all_whoever_sends_first(
    two: tuple[Any, Any], make_bench: Callable[..., Any], setup: str
) -> None:
    """One target was killed while it let go, the next owner has the whole name: a part never hides the whole."""
    first, second = two
    third = make_bench(1, "third")
    for call in range(CALLS_MAX):
        before = begin(first, setup)
        sent, disk = send(first, second, "a"), FailingDisk(is_once=False)
        disk.left = call
        try:
            let_go(first, "a", sent, disk)
            is_complete = disk.left >= 0
        except (DiskFailure, NotReady, CorruptMetadata):
            is_complete = False
        for sender in (first, second):
            give(sender, third, "a")
        assert (listed(first), listed(second), listed(third)) == ([], [], before)
        clear(first, second, third)
        if is_complete:
            break
    assert is_complete


def test_a_write_during_which_the_name_was_another_targets_is_refused(bench: Any) -> None:
    """The name went to another target and came back while the content was sent: that one may have written it."""
    before, during = (bench.store.writer(bench.bck, name, RULES) for name in "ab")
    bench.volume.follow_owners(lambda _: False)
    with pytest.raises(NotReady, match="belongs to another target"):
        during.commit()
    bench.volume.follow_owners(lambda _: True)
    bench.volume.follow_owners(None)
    with pytest.raises(NotReady, match="belonged to another target"):
        before.commit()
    after = bench.store.writer(bench.bck, "a", RULES)
    bench.volume.follow_owners(lambda _: True)
    after.commit()
    long = bench.store.writer(bench.bck, "a", RULES)
    for _ in range(EPOCHS_MAX + 1):
        bench.volume.follow_owners(lambda _: True)
    with pytest.raises(NotReady, match="belonged to another target"):
        long.commit()
