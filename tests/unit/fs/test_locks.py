"""Stripes: one holder among all threads and processes."""

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from ais.base.errors import Busy
from ais.env.disk import Disk
from ais.fs.locks import STRIPES, SoleStripes, StripeBusy, Stripes, stripe_of

_HOLD = """
import sys
from ais.env.disk import Disk
from ais.fs.locks import Stripes
Stripes(Disk(), sys.argv[1]).acquire(7)
print("held", flush=True)
sys.stdin.read()
"""


def test_threads_exclude_each_other(tmp_path: Path) -> None:
    """A counter that is read and written under the stripe loses nothing."""
    stripes = Stripes(Disk(), str(tmp_path))
    count = 0

    def add() -> None:
        nonlocal count
        for _ in range(200):
            with stripes.held(5):
                seen = count
                count = seen + 1

    threads = [threading.Thread(target=add) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    stripes.close()
    assert count == 800


def test_processes_exclude_each_other(tmp_path: Path) -> None:
    """A stripe held by another process is busy, its neighbours are free, and it is free when that process dies."""
    holder = subprocess.Popen(
        [sys.executable, "-c", _HOLD, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        stripes = Stripes(Disk(), str(tmp_path))
        with pytest.raises(StripeBusy):
            stripes.acquire(7, wait=False)
        with pytest.raises(StripeBusy):
            stripes.acquire(7 + STRIPES, wait=False)
        with stripes.held(8):
            pass
        holder.kill()
        with stripes.held(7):
            assert stripe_of(7 + STRIPES) == 7
    stripes.close()


def test_a_stripe_is_given_back_by_a_failure(tmp_path: Path) -> None:
    """An exception inside the block does not keep it."""
    stripes = Stripes(Disk(), str(tmp_path))
    with pytest.raises(KeyError), stripes.held(1):
        raise KeyError
    stripes.acquire(1, wait=False)
    with pytest.raises(StripeBusy):
        stripes.acquire(1, wait=False)
    stripes.release(1)
    stripes.close()


def test_the_only_process_shuts_others_out(tmp_path: Path) -> None:
    """Alone or together: whoever came first decides it, what is refused leaves nothing behind, a death frees all."""
    holder = subprocess.Popen(
        [sys.executable, "-c", _HOLD.replace("Stripes", "SoleStripes"), str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        for kind in (Stripes, SoleStripes):
            with pytest.raises(Busy, match="used by another process"):
                kind(Disk(), str(tmp_path))
        holder.kill()
        holder.wait()
        together = Stripes(Disk(), str(tmp_path)), Stripes(Disk(), str(tmp_path))
        with pytest.raises(Busy):
            SoleStripes(Disk(), str(tmp_path))
        for stripes in together:
            stripes.close()
        alone = SoleStripes(Disk(), str(tmp_path))
        with alone.held(7), pytest.raises(StripeBusy):
            alone.acquire(7, wait=False)
        assert alone.turns[7] == 1
        alone.close()
