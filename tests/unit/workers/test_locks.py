"""Locks of objects between processes of one node: who wrote last is seen, also when the writer died."""

import os
from pathlib import Path

import pytest

from ais.base.errors import BadRequest, NotReady
from ais.config.local import LocalConfig
from ais.env.disk import Disk
from ais.fs.locks import StripeBusy
from ais.workers.locks import Gate, GatedStripes, SharedStripes
from ais.workers.shared import Shared

DIGEST = 7


@pytest.fixture
def memory():
    """Shared memory of a node."""
    fd = Shared.create()
    yield fd
    os.close(fd)


def test_every_process_sees_who_wrote_and_who_writes(memory, tmp_path: Path):
    """The turn of a stripe is odd for all while one holds it, and another one afterwards."""
    shared = Shared(memory)
    one = SharedStripes(Disk(), str(tmp_path), shared)
    other = SharedStripes(Disk(), str(tmp_path), Shared(memory, dict(shared.regions)))
    before = other.turns[DIGEST]
    with one.held(DIGEST):
        assert other.turns[DIGEST] % 2 == 1
        with pytest.raises(StripeBusy):
            other.acquire(DIGEST, wait=False)
    assert other.turns[DIGEST] % 2 == 0
    assert other.turns[DIGEST] > before
    one.close()
    other.close()


def test_the_next_holder_makes_up_for_one_that_died(memory, tmp_path: Path):
    """A turn that a dead process left odd is even after the next, and was never taken twice."""
    shared = Shared(memory)
    stripes = SharedStripes(Disk(), str(tmp_path), shared)
    stripes.turns[DIGEST] = 5
    with stripes.held(DIGEST):
        assert stripes.turns[DIGEST] == 7
    assert stripes.turns[DIGEST] == 8
    stripes.close()


def test_a_closed_gate_keeps_writers_out(memory, tmp_path: Path):
    """Nobody gets a stripe while it is closed, whether they would wait or not; when it is shut they are told so."""
    gate, shared = Gate(), Shared(memory)
    SharedStripes(Disk(), str(tmp_path), shared).close()
    stripes = GatedStripes(Disk(), str(tmp_path), shared, gate)
    for wait in (True, False):
        with pytest.raises(StripeBusy):
            stripes.acquire(DIGEST, wait)
    gate.is_open = True
    with stripes.held(DIGEST):
        pass
    gate.is_open, gate.is_shut = False, True
    with pytest.raises(NotReady):
        stripes.acquire(DIGEST)
    stripes.wait_for_writers()
    stripes.close()


def test_a_worker_makes_no_lock_file(memory, tmp_path: Path):
    """The control process did: where there is none, no disk is mounted."""
    with pytest.raises(FileNotFoundError):
        GatedStripes(Disk(), str(tmp_path), Shared(memory), Gate())
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("text", ["0", "-1", "65", "two", ""])
def test_a_number_of_workers_that_makes_no_sense_is_refused(text: str):
    """The node does not start with it, and says what may be written."""
    with pytest.raises(BadRequest, match="from 1 to 64, or auto"):
        LocalConfig(workers=text).worker_count(8)


def test_auto_is_a_worker_for_each_cpu():
    """And a number is that many."""
    assert LocalConfig(workers="auto").worker_count(8) == 8
    assert LocalConfig(workers="3").worker_count(8) == 3
    assert LocalConfig().worker_count(8) == 1
