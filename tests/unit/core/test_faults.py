"""A disk that fails: the right error, the old object, nothing left behind."""

import errno
import os
from collections.abc import Callable
from typing import Any

import pytest

from ais.base.errors import AisError, DiskFailure, NotReady, OutOfSpace
from ais.core.workfile import WriteRules

DURABLE = WriteRules(fsync=True)


@pytest.mark.parametrize(
    ("code", "error"),
    [(errno.ENOSPC, OutOfSpace), (errno.EDQUOT, OutOfSpace), (errno.EIO, DiskFailure), (errno.EMFILE, NotReady)],
)
@pytest.mark.parametrize("call", ["open", "write", "getxattr", "setxattr", "rename", "fsync"])
@pytest.mark.parametrize("put", ["put", "put_at_once"])
def test_a_failed_put_keeps_the_old_object(bench: Any, put: str, call: str, code: int, error: type[AisError]) -> None:
    """Wherever the disk fails, the error says what it means; the work file and its descriptor go."""
    bench.put("d/a", b"old")
    descriptors = len(os.listdir("/proc/self/fd"))
    bench.disk.faults[call] = code
    with pytest.raises(error):
        getattr(bench, put)("d/a", b"new", rules=DURABLE)
    bench.disk.faults.clear()
    assert len(os.listdir("/proc/self/fd")) == descriptors
    assert bench.get("d/a") == b"old"
    assert bench.leftovers() == []


@pytest.mark.parametrize("call", ["mkdir", "link", "exchange", "lstat"])
def test_a_failed_conversion_keeps_the_file(bench: Any, call: str) -> None:
    """`a` stays readable when its directory cannot be made."""
    bench.put("a", b"old")
    bench.disk.faults[call] = errno.EIO
    with pytest.raises(DiskFailure):
        bench.put("a/b", b"new")
    bench.disk.faults.clear()
    assert bench.get("a") == b"old"
    assert bench.leftovers() == []


@pytest.mark.parametrize("call", ["open", "fstat", "getxattr"])
def test_a_failed_read_is_no_missing_object(bench: Any, call: str) -> None:
    """An I/O error is never reported as 404, and no descriptor leaks."""
    bench.put("a")
    before = len(os.listdir("/proc/self/fd"))
    bench.disk.faults[call] = errno.EIO
    with pytest.raises(DiskFailure):
        bench.store.open(bench.bck, "a")
    bench.disk.faults.clear()
    assert len(os.listdir("/proc/self/fd")) == before


@pytest.mark.parametrize("call", ["unlink", "lstat", "pread", "setxattr"])
def test_other_changes_report_the_disk(bench: Any, call: str) -> None:
    """Delete, rename, copy, custom metadata: an error, or the change was made; the object is whole either way."""
    bench.put("a", b"content")
    bench.disk.faults[call] = errno.EIO
    changes: dict[str, Callable[[], object]] = {
        "unlink": lambda: bench.store.delete(bench.bck, "a"),
        "lstat": lambda: bench.store.rename(bench.bck, "a", "b", bench.rules),
        "pread": lambda: bench.store.copy(bench.bck, "a", bench.bck, "b", bench.rules),
        "setxattr": lambda: bench.store.set_custom(bench.bck, "a", {"k": "v"}, replace=True),
    }
    with pytest.raises(DiskFailure):
        changes[call]()
    bench.disk.faults.clear()
    assert bench.get("a") == b"content"


def test_a_short_write_is_continued(bench: Any) -> None:
    """The kernel may take fewer bytes than it was given."""
    real = os.write
    bench.disk.__dict__["write"] = lambda fd, data: real(fd, data[:3])
    bench.put("a", b"0123456789")
    assert bench.get("a") == b"0123456789"
