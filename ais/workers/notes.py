"""What all processes of a node have received lately: one table in the memory that they share.

A change that another node passed on is taken once by the node, whichever of its processes gets it. A nonce belongs to
a row by its hash; a row is looked at and written under a lock that the kernel releases when its holder dies. When it is
full the oldest of it is forgotten, and the window shrinks for this row, as it does where one process remembers.
"""

import fcntl
from collections.abc import Callable
from hashlib import blake2b

from ais.auth.nodes import REPLAYED, WINDOW_S, check_time
from ais.base.errors import AccessDenied

ROWS, ROW = 1 << 14, 16
"""262,144 nonces: for two minutes of two thousand changes a second."""
WORDS = ROWS * ROW * 2
"""Of each nonce its hash and the second it came."""


class SharedNotes:
    """Used as `ais.auth.nodes.Seen`."""

    def __init__(self, fd: int, words: "memoryview[int]", now_s: Callable[[], float]) -> None:
        """`words` (`WORDS` of them) lie in the memory behind `fd`; `now_s` gives Unix seconds."""
        self._fd, self._words, self._now_s = fd, words, now_s

    def take(self, nonce: str, time_s: int) -> None:
        """Raise `AccessDenied` for what was made more than a minute from now, or was received before."""
        now_s = int(self._now_s())
        check_time(time_s, now_s)
        mark = int.from_bytes(blake2b(nonce.encode(), digest_size=8).digest(), signed=True) or 1
        row = mark % ROWS
        fcntl.lockf(self._fd, fcntl.LOCK_EX, 1, row)
        try:
            self._take(row, mark, now_s)
        finally:
            fcntl.lockf(self._fd, fcntl.LOCK_UN, 1, row)

    def _take(self, row: int, mark: int, now_s: int) -> None:
        start = row * ROW * 2
        marks, times = self._words[start : start + ROW], self._words[start + ROW : start + 2 * ROW]
        oldest = 0
        for place in range(ROW):
            if marks[place] == mark and now_s - times[place] <= 2 * WINDOW_S:
                raise AccessDenied(REPLAYED)
            if times[place] < times[oldest]:
                oldest = place
        marks[oldest], times[oldest] = mark, now_s
