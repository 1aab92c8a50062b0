"""A process that dies at each system call of a change, one after the other: old or new state, nothing in between."""

import os
from collections.abc import Callable
from typing import Any

import pytest

from ais.base.errors import ObjectNotFound
from ais.core.listing import Lister
from ais.core.store import Store
from ais.core.workfile import WriteRules
from ais.env import Env
from ais.env.disk import Disk
from ais.fs.volume import Volume

CALLS_MAX = 80
RULES = WriteRules(fsync=True)


class MortalDisk(Disk):
    """Ends the process instead of making call number `left`."""

    def __init__(self) -> None:
        self.left = -1

    def __getattribute__(self, call: str) -> Any:
        if call not in ("left", "__dict__", "__class__"):
            if self.left == 0:
                os._exit(9)
            self.left -= 1
        return super().__getattribute__(call)


def put(store: Store, bench: Any, name: str, content: bytes) -> None:
    writer = store.writer(bench.bck, name, RULES)
    writer.write(content)
    writer.commit()


def append(store: Store, bench: Any) -> None:
    appender = store.appender(bench.bck, "a", RULES, "t")
    appender.write(b"new")
    appender.flush()


CHANGES: dict[str, Callable[[Store, Any], object]] = {
    "overwrite": lambda store, bench: put(store, bench, "a", b"new"),
    "overwrite at once": lambda store, bench: store.put(bench.bck, "a", RULES, b"new"),
    "file becomes directory": lambda store, bench: put(store, bench, "a/b/c", b"new"),
    "object in its directory": lambda store, bench: put(store, bench, "d", b"new"),
    "delete": lambda store, bench: store.delete(bench.bck, "d/e/f"),
    "rename": lambda store, bench: store.rename(bench.bck, "d/e/f", "a/x", RULES),
    "custom": lambda store, bench: store.set_custom(bench.bck, "a", {"k": "v"}, replace=True),
    "append": append,
}


def die_at(bench: Any, change: Callable[[Store, Any], object], call: int) -> bool:
    """Run the change in a process that dies before its call number `call`; return whether it got through."""
    child = os.fork()
    if child == 0:
        disk = MortalDisk()
        env = Env(disk=disk)
        store = Store(Volume.load_or_create(env, [mountpath.path for mountpath in bench.volume.available]), env)
        disk.left = call
        change(store, bench)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status) == 0


def state(bench: Any) -> dict[str, tuple[bytes, dict[str, str]]]:
    """Every object that a listing shows and a read finds."""
    names = [entry.name for entry in Lister(bench.volume, bench.env).page(bench.bck).entries]
    return {name: (bench.get(name), bench.store.head(bench.bck, name).meta.custom) for name in names}


@pytest.mark.parametrize("what", CHANGES)
def test_every_point_of_death_leaves_old_or_new(make_bench: Callable[..., Any], what: str) -> None:
    """Reads and listings agree on it, and after a sweep the bucket works and holds no work file."""
    bench = make_bench(1)
    seen: list[dict[str, tuple[bytes, dict[str, str]]]] = []
    got_through = False
    for call in range(CALLS_MAX):
        for name in ("a", "a/b/c", "a/x", "d", "d/e/f"):
            try:
                bench.store.delete(bench.bck, name)
            except ObjectNotFound:
                continue
        for name in ("a", "d/e/f"):
            bench.put(name, b"old")
        old = state(bench)
        got_through = die_at(bench, CHANGES[what], call)
        seen.append(state(bench))
        bench.volume.sweep_workfiles()
        assert state(bench) == seen[-1]
        assert not list(bench.root.glob("mp0/@ais/b/%wk/*"))
        if got_through:
            break
    assert got_through
    assert [one for one in seen if one not in (old, seen[-1])] == []
    assert seen[0] == old != seen[-1]
