"""Disks that stop in the middle of what a store does."""

import errno
import os
from typing import Any

from ais.env.disk import Disk


class HastyDisk(Disk):
    """Does not wait for the hardware: the kernel survives what is tested here."""

    fsync = staticmethod(lambda fd: None)


class FailingDisk(HastyDisk):
    """Refuses call number `left`, and all later ones too unless `is_once`; closing always works."""

    def __init__(self, *, is_once: bool) -> None:
        self.left = 1 << 30
        self.is_once = is_once

    def __getattribute__(self, call: str) -> Any:
        if call not in ("left", "is_once", "close") and not call.startswith("_"):
            self.left -= 1
            if self.left == -1 or (self.left < 0 and not self.is_once):

                def refuse(*args: object, **kwargs: object) -> None:
                    raise OSError(errno.EIO, os.strerror(errno.EIO), str(args[0]))

                return refuse
        return super().__getattribute__(call)
