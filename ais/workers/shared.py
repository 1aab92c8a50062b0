"""Memory that the processes of a node share: counters, and who wrote last.

Each worker adds to counters of its own, so nothing is lost between processes; the node's are their sum, and those of a
worker that died stay. How often a writer held a stripe (`ais.fs.locks.Stripes.turns`) is counted by whoever holds it.
"""

import mmap
import os
from collections.abc import Callable

from ais.base.errors import Busy
from ais.config.local import WORKERS_MAX
from ais.fs.locks import STRIPES
from ais.stats import names
from ais.workers import notes
from ais.workers.notes import SharedNotes

MOUNTPATHS_MAX = 256
_WORD = 8
_COUNTERS = len(names.METRICS)
_COUNTERS_BYTES = WORKERS_MAX * _COUNTERS * _WORD
_CLOSED_BYTES = WORKERS_MAX * _WORD
_TURNS_BYTES = STRIPES * _WORD
_NOTES_BYTES = notes.WORDS * _WORD
SIZE_BYTES = _COUNTERS_BYTES + _CLOSED_BYTES + _NOTES_BYTES + MOUNTPATHS_MAX * _TURNS_BYTES


class Shared:
    """One mapping of it. Regions of turns are given to mountpaths by the control process, in the order they come."""

    def __init__(self, fd: int, regions: dict[str, int] | None = None) -> None:
        """Map the memory behind `fd`, which stays the caller's."""
        self._fd = fd
        self._words = memoryview(mmap.mmap(fd, SIZE_BYTES)).cast("q")
        self.regions = regions if regions is not None else {}
        """Which region the turns of a mountpath are in, by its path."""

    @staticmethod
    def create() -> int:
        """New memory, all zeros: its descriptor. It takes up what is written to."""
        fd = os.memfd_create("ais workers", os.MFD_CLOEXEC)
        os.ftruncate(fd, SIZE_BYTES)
        return fd

    def counters(self, worker: int) -> "memoryview[int]":
        """The counters of a worker, by the slots of `ais.stats.names`."""
        return self._words[worker * _COUNTERS : (worker + 1) * _COUNTERS]

    def closed(self, worker: int) -> "memoryview[int]":
        """One number: how many connections that a worker was given have ended."""
        start = _COUNTERS_BYTES // _WORD + worker
        return self._words[start : start + 1]

    def notes(self, now_s: Callable[[], float]) -> SharedNotes:
        """What all processes of the node have received lately. `now_s` gives Unix seconds."""
        start = (_COUNTERS_BYTES + _CLOSED_BYTES) // _WORD
        return SharedNotes(self._fd, self._words[start : start + notes.WORDS], now_s)

    def turns(self, path: str) -> "memoryview[int]":
        """The turns of a mountpath. Raise `Busy` when the node has used more mountpaths than there is room for."""
        region = self.regions.setdefault(path, len(self.regions))
        if region >= MOUNTPATHS_MAX:
            raise Busy(f"this node has used {MOUNTPATHS_MAX} mountpaths since its start: restart it to take more")
        start = (_COUNTERS_BYTES + _CLOSED_BYTES + _NOTES_BYTES) // _WORD + region * STRIPES
        return self._words[start : start + STRIPES]
