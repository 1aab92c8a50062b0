"""Attributes of files, short and long, as they are read for every object."""

import os
import threading
from collections.abc import Callable
from pathlib import Path

from ais.env.disk import Disk

NAME = "user.ais.test"
SIZES = [0, 1, 128, 129, 4000]


def test_attributes_of_any_size_in_any_order(tmp_path: Path) -> None:
    """By path and by descriptor, whatever was read before."""
    disk, files = Disk(), {}
    for size in SIZES:
        path = tmp_path / str(size)
        path.touch()
        files[str(path)] = os.urandom(size)
        disk.setxattr(str(path), NAME, files[str(path)])
    for first in files:
        for path, value in files.items():
            fd = disk.open(path, os.O_RDONLY)
            try:
                for file in (path, os.fsencode(path), fd):
                    disk.getxattr(first, NAME)
                    assert disk.getxattr(file, NAME) == value
            finally:
                disk.close(fd)


def test_what_is_not_there(tmp_path: Path) -> None:
    """A file that has none, or is not there, says so as the system does, whatever was read before."""
    disk, path = Disk(), str(tmp_path / "o")
    Path(path).touch()
    for size in (200, 3000):
        disk.setxattr(path, NAME, bytes(size))
        assert len(disk.getxattr(path, NAME)) == size
        for file, attribute in ((path, "user.ais.none"), (path + "/none", NAME), (str(tmp_path / "none"), NAME)):
            assert refusal(disk.getxattr, file, attribute) == refusal(os.getxattr, file, attribute)


def refusal(get: Callable[[str, str], bytes], file: str, attribute: str) -> tuple[object, ...]:
    """What an attribute is refused with."""
    try:
        get(file, attribute)
    except OSError as error:
        return type(error), error.errno, error.strerror, error.filename
    return ()


def test_threads_do_not_disturb_each_other(tmp_path: Path) -> None:
    """Each gets its own file's attribute, as often as it asks."""
    disk, wrong = Disk(), []
    paths = [str(tmp_path / str(number)) for number in range(8)]

    def read(path: str, value: bytes) -> None:
        wrong.extend(1 for _ in range(2000) if disk.getxattr(path, NAME) != value)

    threads = []
    for number, path in enumerate(paths):
        Path(path).touch()
        value = os.urandom(120 + 10 * number)
        disk.setxattr(path, NAME, value)
        threads.append(threading.Thread(target=read, args=(path, value)))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
