"""File systems in files: mounted for a test, or the reason why this machine cannot."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

KINDS = ("ext4", "xfs", "btrfs")
TMPFS = "tmpfs"
IMAGE_BYTES = 512 << 20
"""xfs refuses less than 300 MiB; the file is sparse."""
_MKFS = {
    "ext4": ["mkfs.ext4", "-q", "-F", "-E", "lazy_itable_init=0,lazy_journal_init=0"],
    "xfs": ["mkfs.xfs", "-q", "-f"],
    "btrfs": ["mkfs.btrfs", "-q", "-f"],
}


def why_not(kind: str) -> str:
    """The reason why a file system of this kind cannot be mounted here; empty when it can."""
    if os.geteuid() != 0:
        return "mounting needs root"
    if kind == TMPFS:
        return ""
    if not os.path.exists("/dev/loop-control"):
        return "this kernel has no loop devices"
    if kind not in Path("/proc/filesystems").read_text().split():
        return f"this kernel has no {kind}"
    if shutil.which(_MKFS[kind][0]) is None:
        return f"{_MKFS[kind][0]} is not installed: apt-get install e2fsprogs xfsprogs btrfs-progs"
    return ""


def make(kind: str, image: str) -> None:
    """Write an empty file system into an image or device. Raise `CalledProcessError`."""
    subprocess.run([*_MKFS[kind], image], check=True, capture_output=True)


def mount(kind: str, image: str, directory: Path) -> None:
    """Mount an image; replays its journal."""
    subprocess.run(["mount", "-t", kind, "-o", "loop", image, str(directory)], check=True, capture_output=True)


def unmount(directory: Path) -> None:
    """Unmount, and free the loop device."""
    subprocess.run(["umount", str(directory)], check=True, capture_output=True)


@contextmanager
def mounted(kind: str, scratch: Path) -> Iterator[Path]:
    """An empty directory on a new file system of this kind; skips the test where that is impossible."""
    if kind == TMPFS and os.access("/dev/shm", os.W_OK):
        with tempfile.TemporaryDirectory(dir="/dev/shm") as directory:
            yield Path(directory)
        return
    if reason := why_not(kind):
        pytest.skip(reason)
    directory, image = scratch / "mnt", str(scratch / "image")
    directory.mkdir()
    with open(image, "wb") as file:
        file.truncate(IMAGE_BYTES)
    make(kind, image)
    mount(kind, image, directory)
    try:
        (directory / "mp").mkdir()
        yield directory / "mp"
    finally:
        unmount(directory)
        os.unlink(image)
