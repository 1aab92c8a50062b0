"""A disk whose power can be cut: a file in a user-space file system that records every write and every flush.

`Recorder` serves the file by FUSE from a process of its own; a loop device makes a disk of it. What the disk would hold
after a cut follows from the record: all writes up to the last flush, and of those since then any choice (`replay`).

    python -m harness.powerloss DIRECTORY IMAGE LOG
"""

import errno
import itertools
import os
import random
import stat
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from harness.images import KINDS, why_not

NAME = "disk"
_HEAD = struct.Struct("=qq")
_FLUSH = -1

Choice = Callable[[int], bool]
"""Whether unflushed write number N since the last flush reached the disk."""


def why_no_power_loss(kind: str) -> str:
    """The reason why power cannot be cut here; empty when it can."""
    if reason := why_not(kind):
        return reason
    if not os.path.exists("/dev/fuse"):
        return "this kernel has no FUSE"
    try:
        import mfusepy  # noqa: F401 - loads the library of the system
    except (ImportError, OSError) as error:
        return f"no FUSE library ({error}): apt-get install fuse3 libfuse3-3"
    return ""


class Recorder:
    """The disk while it has power."""

    def __init__(self, kind: str, scratch: Path, image: Path) -> None:
        """Serve and mount `image`, a file system that `kind` names; its writes go to a log, and to it."""
        self.kind, self.log = kind, scratch / "log"
        self.directory = scratch / "live"
        self._served = scratch / "served"
        for path in (self.directory, self._served):
            path.mkdir()
        self.log.touch()
        command = [sys.executable, "-m", "harness.powerloss", str(self._served), str(image), str(self.log)]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, env=environment)
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == b"mounted\n"
        _mount(kind, self._served / NAME, self.directory)

    def position(self) -> int:
        """How much the disk was told so far; to be given to `replay`."""
        return self.log.stat().st_size

    def stop(self) -> None:
        """Unmount; what that writes is in the log behind every position taken so far."""
        subprocess.run(["umount", str(self.directory)], check=True, capture_output=True)
        subprocess.run(["umount", str(self._served)], check=True, capture_output=True)
        self._process.communicate()


def replay(log: Path, position: int, image: Path, choice: Choice) -> None:
    """Bring an image from the state before the log to that after a cut at `position`."""
    records = list(_read(log, position))
    flushes = [index for index, (offset, _) in enumerate(records) if offset == _FLUSH]
    durable = flushes[-1] + 1 if flushes else 0
    with image.open("r+b") as file:
        for index, (offset, data) in enumerate(records):
            if offset != _FLUSH and (index < durable or choice(index - durable)):
                file.seek(offset)
                file.write(data)


def choices(seed: int) -> dict[str, Choice]:
    """What may have become of unflushed writes: nothing, everything, and some of both."""
    found: dict[str, Choice] = {"none": lambda _: False, "all": lambda _: True}
    for number in range(2):
        rng = random.Random(f"{seed}/{number}")
        bits = [rng.random() < 0.5 for _ in range(4096)]
        found[f"some ({seed}/{number})"] = lambda index, bits=bits: bits[index % len(bits)]  # type: ignore[misc]
    return found


@contextmanager
def after_cut(kind: str, image: Path, directory: Path) -> Iterator[Path]:
    """The file system of an image as the next start finds it."""
    directory.mkdir(exist_ok=True)
    _mount(kind, image, directory)
    try:
        yield directory
    finally:
        subprocess.run(["umount", str(directory)], check=True, capture_output=True)


def _mount(kind: str, image: Path, directory: Path) -> None:
    assert kind in KINDS
    options = "loop" if kind == "xfs" else "loop,commit=1"  # seconds between commits; xfs has no such option
    command = ["mount", "-t", kind, "-o", options, str(image), str(directory)]
    subprocess.run(command, check=True, capture_output=True)


def _read(log: Path, position: int) -> Iterator[tuple[int, bytes]]:
    with log.open("rb") as file:
        while file.tell() < position:
            offset, size = _HEAD.unpack(file.read(_HEAD.size))
            yield offset, file.read(size)


def _serve(directory: str, image: str, log: str) -> None:
    import mfusepy

    class OneFile(mfusepy.Operations):  # type: ignore[misc]
        use_ns = True

        def __init__(self) -> None:
            self._image = os.open(image, os.O_RDWR)
            self._log = os.open(log, os.O_WRONLY | os.O_APPEND)
            self._handles = itertools.count(1)

        def init(self, path: str) -> None:
            print("mounted", flush=True)

        def getattr(self, path: str, fh: int | None = None) -> dict[str, Any]:
            if path == "/":
                return {"st_mode": stat.S_IFDIR | 0o700, "st_nlink": 2}
            if path == f"/{NAME}":
                size = os.fstat(self._image).st_size
                return {"st_mode": stat.S_IFREG | 0o600, "st_nlink": 1, "st_size": size}
            raise mfusepy.FuseOSError(errno.ENOENT)

        def open(self, path: str, flags: int) -> int:
            return next(self._handles)

        def read(self, path: str, size: int, offset: int, fh: int) -> bytes:
            return os.pread(self._image, size, offset)

        def write(self, path: str, data: bytes, offset: int, fh: int) -> int:
            os.pwrite(self._image, data, offset)
            os.write(self._log, _HEAD.pack(offset, len(data)) + data)
            return len(data)

        def fsync(self, path: str, datasync: int, fh: int) -> int:
            os.write(self._log, _HEAD.pack(_FLUSH, 0))
            return 0

    mfusepy.FUSE(OneFile(), directory, foreground=True, nothreads=True)


if __name__ == "__main__":
    _serve(*sys.argv[1:4])
