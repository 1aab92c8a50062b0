"""A disk of which one large write takes as long as a test wants."""

import os
import threading
from typing import Any

from ais.env.disk import Disk

LARGE_BYTES = 100_000


class SlowDisk(Disk):
    """Once `is_armed`, the next large write waits for `release` before it happens; the loop must not do it."""

    def __init__(self) -> None:
        self.is_armed = False
        self.is_writing = threading.Event()
        self.release = threading.Event()
        self.is_still_its_file: bool | None = None
        """Whether the descriptor was still that of the same file at the end of the wait."""

    def write(self, fd: int, data: Any, /) -> int:
        if self.is_armed and len(data) > LARGE_BYTES:
            self.is_armed = False
            before = os.fstat(fd)
            self.is_writing.set()
            self.release.wait(30)
            try:
                self.is_still_its_file = os.path.samestat(os.fstat(fd), before)
            except OSError:
                self.is_still_its_file = False
        return os.write(fd, data)
