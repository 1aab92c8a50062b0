"""What the processes of a node remember together: a nonce is taken once by all of them."""

import multiprocessing
import os
from collections.abc import Iterator

import pytest

from ais.auth.nodes import WINDOW_S
from ais.base.errors import AccessDenied
from ais.workers.notes import ROW, ROWS
from ais.workers.shared import Shared

NOW_S = 1_900_000_000


@pytest.fixture
def memory() -> Iterator[int]:
    fd = Shared.create()
    yield fd
    os.close(fd)


def taken(fd: int, names: list[str]) -> int:
    """How many of them were new to this process, which shares the memory."""
    notes, count = Shared(fd).notes(lambda: NOW_S), 0
    for name in names:
        try:
            notes.take(name, NOW_S)
        except AccessDenied:
            continue
        count += 1
    return count


def test_once_by_all_processes(memory: int) -> None:
    """Four processes try the same nonces at the same time: each nonce is taken by exactly one."""
    names = [f"node {number:x}" for number in range(2000)]
    context = multiprocessing.get_context("fork")
    with context.Pool(4) as pool:
        counts = pool.starmap(taken, [(memory, names)] * 4)
    assert sum(counts) == len(names)


def test_time(memory: int) -> None:
    """What was made too long ago is refused; after the window a nonce is forgotten."""
    now = [NOW_S]
    notes = Shared(memory).notes(lambda: now[0])
    notes.take("a", NOW_S - WINDOW_S)
    for time_s in (NOW_S, NOW_S - WINDOW_S - 1, NOW_S + WINDOW_S + 1):
        with pytest.raises(AccessDenied):
            notes.take("a", time_s)
    now[0] += 2 * WINDOW_S + 1
    notes.take("a", now[0])


def test_more_than_there_is_room_for(memory: int) -> None:
    """The oldest of a full row is forgotten, and those that came after it are not."""
    now = [NOW_S]
    notes = Shared(memory).notes(lambda: now[0])
    count = ROWS * ROW // 4
    for number in range(count):
        now[0] = NOW_S + number * WINDOW_S // count
        notes.take(f"{number}", now[0])
    for number in range(count - 1000, count):
        with pytest.raises(AccessDenied, match="before"):
            notes.take(f"{number}", now[0])
