"""A change of versions that stops at each of its system calls: old or new state, and whatever is done next is right."""

import itertools
from collections.abc import Callable
from typing import Any

import pytest
from harness.failing import HastyDisk
from harness.scale import FULL
from harness.versioning import (
    CALLS_MAX,
    CHANGES,
    GIVEN,
    SETUPS,
    act,
    begin,
    clear,
    expected,
    is_possible,
    state,
    stop_at,
)

from ais.core.store import Store
from ais.env import Env

SOME = SETUPS if FULL else ["", "put E a", "put E a; del E a", "put N a; put E a"]
"""What is there before a version comes from elsewhere."""


@pytest.fixture
def hasty(make_bench: Callable[..., Any]) -> Any:
    """A bench on one mountpath that does not wait for the hardware."""
    bench = make_bench(1)
    bench.env = Env(disk=HastyDisk())
    bench.store = Store(bench.volume, bench.env)
    return bench


def in_turn(setup: str, change: str) -> tuple[str, str]:
    """Two changes, others for each setup and change."""
    turn = SETUPS.index(setup) + [*CHANGES, *GIVEN].index(change)
    return CHANGES[turn % len(CHANGES)], CHANGES[(turn + len(CHANGES) // 2) % len(CHANGES)]


@pytest.mark.parametrize(("setup", "change"), [*itertools.product(SETUPS, CHANGES), *itertools.product(SOME, GIVEN)])
def test_every_point_of_death_leaves_old_or_new(hasty: Any, setup: str, change: str) -> None:
    """And the operation that comes next finds no trace of a half one, whichever it is (all of them at night)."""
    for next_op in (None, *(CHANGES if FULL else in_turn(setup, change))):
        for call in range(CALLS_MAX):
            old = begin(hasty, setup)
            if not is_possible(change, old):
                return
            is_done, is_complete = stop_at(hasty, change, call, is_once=False)
            seen, new = state(hasty), expected(old, change, 77)
            assert seen in ((new,) if is_done else (old, new))
            if next_op and is_possible(next_op, seen):
                act(hasty, hasty.store, next_op, 88)
                assert state(hasty) == expected(seen, next_op, 88)
            clear(hasty)
            if is_complete:
                break
        assert is_complete


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("setup", SETUPS)
def test_every_fault_is_reported_or_does_no_harm(hasty: Any, setup: str, change: str) -> None:
    """One system call fails: an error and the old or the new state, or success and the new one."""
    for call in range(CALLS_MAX):
        old = begin(hasty, setup)
        if not is_possible(change, old):
            return
        is_done, is_complete = stop_at(hasty, change, call, is_once=True)
        new = expected(old, change, 77)
        assert state(hasty) in ((new,) if is_done else (old, new))
        clear(hasty)
        if is_complete:
            break
    assert is_complete


@pytest.mark.parametrize("is_once", [False, True])
def test_a_version_comes_back_where_a_file_is_in_the_way(hasty: Any, is_once: bool) -> None:
    """Wherever it is interrupted: `a/b` was deleted, `a` written, and the delete marker of `a/b` is removed."""
    for call in range(CALLS_MAX):
        old = begin(hasty, "put E a/b; del E a/b; put E a")
        is_done, is_complete = stop_at(hasty, "rm 0 a/b", call, is_once=is_once)
        new = expected(old, "rm 0 a/b", 77)
        assert state(hasty) in ((new,) if is_done else (old, new))
        clear(hasty)
        if is_complete:
            break
    assert is_complete
