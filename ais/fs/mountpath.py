"""One mountpath: a directory on a disk of its own, with its thread pool, its locks and its free space."""

import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import NamedTuple

import psutil

from ais.base.errors import NotReady, OutOfSpace
from ais.base.units import format_size
from ais.env import Env
from ais.env.disk import Disk
from ais.fs import power, whole
from ais.fs.failures import disk_failures
from ais.fs.locks import Stripes
from ais.meta.smap import digest

_CAPACITY_AGE_S_MAX = 1.0
_ORDERED = ("ext4", "tmpfs", "ramfs")
"""ext4: data=ordered and auto_da_alloc, its defaults. The others lose everything with the power anyway."""
STALL_S = 0.02
"""A write of a few hundred KiB into the page cache takes a hundredth of that, unless the kernel makes it wait."""
STALLED_S = 1.0


class Capacity(NamedTuple):
    """Space of a file system, as `df` counts it: what is reserved for root is neither used nor available."""

    used_bytes: int
    avail_bytes: int
    total_bytes: int

    @property
    def used_pct(self) -> float:
        """Percent of what we may ever use."""
        usable = self.used_bytes + self.avail_bytes
        return 100.0 * self.used_bytes / usable if usable else 100.0


_SYNC_THREADS = 32
_JOB_THREADS = 8
"""A job may go through several trees of a mountpath at a time."""


class FileSystem(NamedTuple):
    """What a mountpath lies on."""

    device: str
    kind: str
    mount_point: str


class MountpathStalled(Exception):
    """The disk is behind and the caller did not want to wait. Never reaches a client."""


class Mountpath:
    """Identity and resources of one mountpath. Whether it is in use is the volume's to say.

    `pool` runs blocking work on this disk, so that a slow disk delays only its own requests. `sync_pool` is for what
    waits for a flush: the more wait at the same time, the more share one (the kernel commits them together). `job_pool`
    is for what rests between pieces of a large file: no client waits for its threads.
    """

    __slots__ = (
        "_capacity",
        "_capacity_at",
        "_env",
        "_identity",
        "_node_id",
        "_stalled_until_s",
        "_used_pct",
        "digest",
        "file_system",
        "is_ordered",
        "job_pool",
        "label",
        "loss",
        "now_s",
        "path",
        "pool",
        "stripes",
        "sync_pool",
    )

    def __init__(
        self, path: str, label: str, env: Env, threads: int, node_id: str, stripes: Callable[[Disk, str], Stripes]
    ) -> None:
        self.path = path
        self.label = label
        self.digest = digest(path)
        self.pool = ThreadPoolExecutor(threads, f"disk {path}")
        self.sync_pool = ThreadPoolExecutor(max(threads, _SYNC_THREADS), f"flush {path}")
        self.job_pool = ThreadPoolExecutor(_JOB_THREADS, f"jobs {path}")
        self.file_system = file_system_of(path)
        self.is_ordered = self.file_system.kind in _ORDERED
        """Whether a file that replaces another by rename has its content on the disk before its name."""
        self._env = env
        self.now_s = env.clock.monotonic
        self._capacity_at = 0.0
        self._stalled_until_s = 0.0
        self._node_id = node_id
        with disk_failures(path):
            self._identity = whole.identity_of(env.disk, path)
            self._capacity = self._measure()
            self.loss = power.begin(env.disk, path, env.clock.now_ns())
            """What a power loss may have torn, as long as it was not looked through."""
            self.stripes = stripes(env.disk, path)

    def __str__(self) -> str:
        return f"mp[{self.path}]"

    def capacity(self) -> Capacity:
        """Space used and available, at most a second old. Raise `DiskFailure`, `NotReady` when it is not there."""
        if self.now_s() - self._capacity_at > _CAPACITY_AGE_S_MAX:
            self.require_own()
            with disk_failures(self.path):
                self._capacity = self._measure()
        return self._capacity

    def require_own(self) -> None:
        """Raise `NotReady` unless the directory is there and is the one that was taken into use."""
        self._identity = whole.verify(self._env.disk, self.path, self._node_id, self._identity)

    @contextmanager
    def entered(self) -> Iterator[str]:
        """For a block, a path of the mountpath's own directory, also when its disk is unmounted meanwhile.

        Whatever is made directly below a mountpath is made below this path: below its name it might be made on the
        bare mount point. Raise `NotReady` when it is not there; an `OSError` of the block passes.
        """
        self.require_own()
        with self._env.disk.entered(self.path) as root:
            if whole.identity_of(self._env.disk, root) != self._identity:
                raise whole.not_ours(self.path)
            yield root

    @property
    def is_own(self) -> bool:
        """Whether the directory is there and is the one that was taken into use."""
        try:
            self.require_own()
        except NotReady:
            return False
        return True

    def check_room(self, size_bytes: int, used_pct_max: float) -> None:
        """Raise `OutOfSpace` when a body of `size_bytes` does not fit, or the watermark is reached.

        Raise `NotReady` when the mountpath is not there any more, as of a second ago.
        """
        capacity = self.capacity()
        if self._used_pct >= used_pct_max:
            raise OutOfSpace(f"{self.path} is {self._used_pct:.1f}% full, the limit is {used_pct_max:g}%")
        if size_bytes > capacity.avail_bytes:
            raise OutOfSpace(
                f"{self.path} has {format_size(capacity.avail_bytes)} left and {format_size(size_bytes)} were announced"
            )

    @property
    def is_stalled(self) -> bool:
        """Whether a write made its caller wait in the last second: the disk is behind, so write in `pool` only."""
        return self.now_s() < self._stalled_until_s

    def begin_write(self, size_bytes: int, used_pct_max: float) -> float:
        """For a write outside `pool`: when it began, for `wrote`. Raise `MountpathStalled` while `is_stalled`, and as
        `check_room`."""
        started_s = self.now_s()
        if started_s < self._stalled_until_s:
            raise MountpathStalled
        if (
            started_s - self._capacity_at > _CAPACITY_AGE_S_MAX
            or self._used_pct >= used_pct_max
            or size_bytes > self._capacity.avail_bytes
        ):
            self.check_room(size_bytes, used_pct_max)
        return started_s

    def wrote(self, started_s: float) -> None:
        """A write outside `pool` has ended that began at `started_s` (of `now_s`)."""
        now_s = self.now_s()
        if now_s - started_s > STALL_S:
            self._stalled_until_s = now_s + STALLED_S

    def may_be_torn(self, changed_ns: int) -> bool:
        """Whether a file that was changed at this time (its ctime, Unix ns) may have lost content by a power loss."""
        return self.loss is not None and self.loss.covers(changed_ns)

    def settle_loss(self) -> None:
        """All that was torn is gone. Raise `OSError`, or `NotReady` when the mountpath is not there."""
        with self.entered() as root:
            power.settle(self._env.disk, root)
        self.loss = None

    def beat(self) -> None:
        """Say that the machine is on. Raise `DiskFailure`."""
        with disk_failures(self.path):
            power.beat(self._env.disk, self.path)

    def retire(self) -> None:
        """Keep no descriptor of it, as soon as nobody writes there any more: it is not in use."""
        threading.Thread(target=self.stripes.rest, name=f"retire {self.path}", daemon=True).start()

    def close(self) -> None:
        """Wait for the pool's running work, then close the lock file."""
        self.pool.shutdown(cancel_futures=True)
        self.sync_pool.shutdown(cancel_futures=True)
        self.job_pool.shutdown(cancel_futures=True)
        self.stripes.close()

    def _measure(self) -> Capacity:
        counts = self._env.disk.statvfs(self.path)
        self._capacity_at = self.now_s()
        unit = counts.f_frsize
        used = (counts.f_blocks - counts.f_bfree) * unit
        capacity = Capacity(used, counts.f_bavail * unit, counts.f_blocks * unit)
        self._used_pct = capacity.used_pct
        return capacity


def file_system_of(path: str) -> FileSystem:
    """The mounted file system that holds `path`."""
    real = os.path.realpath(path)
    holders = [p for p in psutil.disk_partitions(all=True) if os.path.commonpath((real, p.mountpoint)) == p.mountpoint]
    holder = max(holders, key=lambda partition: len(partition.mountpoint), default=None)
    return FileSystem(holder.device, holder.fstype, holder.mountpoint) if holder else FileSystem("", "", "/")
