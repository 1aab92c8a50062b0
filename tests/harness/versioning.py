"""Sequences of changes to the versions of a few names, what they make of these, and a change that stops in between."""

import os
from typing import Any

from ais.base.errors import DiskFailure, NotReady
from ais.core.listing import Lister
from ais.core.store import Store
from ais.core.version_listing import VersionLister
from ais.core.workfile import Keeping, WriteRules
from ais.env import Env
from harness.failing import FailingDisk

CALLS_MAX = 60
MODES = {
    "N": WriteRules(),
    "E": WriteRules(keeping=Keeping.ENABLED, fsync=True),
    "S": WriteRules(keeping=Keeping.SUSPENDED, fsync=True),
}
State = dict[str, list[tuple[bool, str | None]]]
"""Versions of each name, newest first: whether it is the null version, and its content; None is a delete marker."""

CHANGES = ["put E a", "put S a", "del E a", "del S a", "rm 0 a", "rm 1 a"]
SETUPS = [
    "",
    "put N a",
    "put E a",
    "put N a; put E a",
    "put E a; put S a",
    "put E a; del E a",
    "put E a; del S a",
    "put N a; put E a; del E a",
    "put E a; del E a; del E a",
    "put E a; del E a; put E a",
    "put E a; del S a; put E a",
    "put E a/b; put N a; put E a",
]


GIVEN = ["under E a", "undermark E a"]
"""A version, a delete marker, that comes with its ID, which is older than all others."""


def given_id(age: int) -> str:
    """An ID from another cluster; of two ages the greater one is the newer version."""
    return f"{(1 << 64) - 1 - age:016x}{age:016x}"


def act(bench: Any, store: Store, op: str, serial: int) -> None:
    """Do `put MODE name`, `del MODE name`, `rm N name`, which removes the version number N, or one of `GIVEN`."""
    verb, how, name = op.split()
    if verb == "under":
        writer = store.writer(bench.bck, name, MODES[how], version_id=given_id(serial))
        writer.write(f"{serial}".encode())
        writer.commit()
        return
    if verb == "undermark":
        store.delete(bench.bck, name, rules=MODES[how], version_id=given_id(serial))
        return
    if verb == "put":
        writer = store.writer(bench.bck, name, MODES[how])
        writer.write(f"{serial}".encode())
        writer.commit()
    elif verb == "del":
        store.delete(bench.bck, name, rules=MODES[how])
    else:
        found = [one.version_id for one in VersionLister(bench.volume, bench.env).page(bench.bck, name).entries]
        store.delete_version(bench.bck, name, found[int(how)])


def expected(state: State, op: str, serial: int) -> State:
    """What an operation makes of a state."""
    verb, how, name = op.split()
    versions = list(state.get(name, []))
    if verb == "rm":
        del versions[int(how)]
    elif verb.startswith("under"):
        versions.append((False, f"{serial}" if verb == "under" else None))
    else:
        if how != "E":
            versions = [one for one in versions if not one[0]]
        versions.insert(0, (how != "E", f"{serial}" if verb == "put" else None))
    return {
        **{other: found for other, found in state.items() if other != name},
        **({name: versions} if versions else {}),
    }


def state(bench: Any) -> State:
    """What listings and reads show; they must agree."""
    found: State = {}
    for entry in VersionLister(bench.volume, bench.env).page(bench.bck).entries:
        versions = found.setdefault(entry.name, [])
        assert entry.is_latest == (not versions)
        content = None
        if not entry.is_marker:
            opened = bench.store.open(bench.bck, entry.name, entry.version_id)
            content = os.pread(opened.fd, 100, 0).decode()
            os.close(opened.fd)
        versions.append((entry.version_id == "null", content))
    current = {name: versions[0][1] for name, versions in found.items() if versions[0][1] is not None}
    names = [entry.name for entry in Lister(bench.volume, bench.env).page(bench.bck).entries]
    assert {name: bench.get(name).decode() for name in names} == current
    return found


def begin(bench: Any, setup: str) -> State:
    """Do what the setup says in the empty bucket."""
    made: State = {}
    for serial, op in enumerate(setup.split("; ") if setup else []):
        act(bench, bench.store, op, serial)
        made = expected(made, op, serial)
    assert state(bench) == made
    return made


def stop_at(bench: Any, op: str, call: int, *, is_once: bool) -> tuple[bool, bool]:
    """Do an operation whose disk fails at a call; return whether it succeeded, and whether it made fewer calls."""
    disk = FailingDisk(is_once=is_once)
    store = Store(bench.volume, Env(disk=disk))
    disk.left = call
    try:
        act(bench, store, op, 77)
    except (DiskFailure, NotReady):
        return False, False
    return True, disk.left >= 0


def clear(bench: Any) -> None:
    """Remove every version; then nothing may be left."""
    for entry in VersionLister(bench.volume, bench.env).page(bench.bck).entries:
        bench.store.delete_version(bench.bck, entry.name, entry.version_id)
    assert state(bench) == {}
    bench.volume.sweep_workfiles()
    files = [path for path in bench.root.glob("mp*/@ais/b/*/**/*") if not path.is_dir()]
    assert files == []


def is_possible(op: str, found: State) -> bool:
    """Whether there is the version that it removes."""
    return not op.startswith("rm") or len(found.get("a", [])) > int(op.split()[1])
