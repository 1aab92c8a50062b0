"""Facts about the machine: memory, CPU, load, this process (wire contract §12.4), and the load of disks (§12.5)."""

import os
import time
from pathlib import Path
from typing import NamedTuple

import msgspec
import psutil


class LoadAverage(msgspec.Struct, frozen=True):
    """Processes ready to run, averaged over 1, 5 and 15 minutes."""

    one: float = msgspec.field(default=0.0, name="One")
    five: float = msgspec.field(default=0.0, name="Five")
    fifteen: float = msgspec.field(default=0.0, name="Fifteen")


class Memory(msgspec.Struct, frozen=True, rename="pascal"):
    """The machine's memory, in bytes."""

    total: int = 0
    used: int = 0
    free: int = 0
    buff_cache: int = 0
    actual_free: int = 0
    actual_used: int = 0
    swap_total: int = 0
    swap_free: int = 0
    swap_used: int = 0


class ProcessCPU(msgspec.Struct, frozen=True, rename="pascal"):
    """CPU time of this process, in milliseconds; `percent` of one core since the last look."""

    user: int = 0
    system: int = 0
    total: int = 0
    last_time: int = 0
    percent: float = 0.0


class ProcessMemory(msgspec.Struct, frozen=True, rename="pascal"):
    """Memory of this process, in bytes."""

    size: int = 0
    resident: int = 0
    share: int = 0


class Process(msgspec.Struct, frozen=True):
    """This process."""

    cpu: ProcessCPU = msgspec.field(default=ProcessCPU(), name="CPU")
    mem: ProcessMemory = msgspec.field(default=ProcessMemory(), name="Mem")


class MemCPUInfo(msgspec.Struct, frozen=True, omit_defaults=True):
    """The answer to `what=sysinfo`, and part of `what=node_status`."""

    mem_used: int
    mem_avail: int
    pct_mem_used: float
    pct_cpu_used: float
    load_avg: LoadAverage
    cpu_util: int
    mem: Memory
    proc: Process
    cpu_throttled: int = 0


class DiskLoad(NamedTuple):
    """What a disk did per second in an interval: bytes read, mean read size, the same for writes, busy percent."""

    read_bps: int
    read_size_avg: int
    write_bps: int
    write_size_avg: int
    util_pct: int


_self = psutil.Process()


def mem_cpu_info() -> MemCPUInfo:
    """Memory, CPU and load now. CPU percentages cover the time since the previous call; reads `/proc`, about 1 ms."""
    memory, swap = psutil.virtual_memory(), psutil.swap_memory()
    cpu_pct = psutil.cpu_percent(interval=None)
    buffered = getattr(memory, "buffers", 0) + getattr(memory, "cached", 0)
    return MemCPUInfo(
        mem_used=memory.used,
        mem_avail=memory.available,
        pct_mem_used=memory.percent,
        pct_cpu_used=cpu_pct,
        load_avg=LoadAverage(*os.getloadavg()),
        cpu_util=round(cpu_pct),
        mem=Memory(
            total=memory.total,
            used=memory.used,
            free=memory.free,
            buff_cache=buffered,
            actual_free=memory.available,
            actual_used=memory.total - memory.available,
            swap_total=swap.total,
            swap_free=swap.free,
            swap_used=swap.used,
        ),
        proc=_process(),
    )


def _process() -> Process:
    with _self.oneshot():
        times, memory = _self.cpu_times(), _self.memory_info()
        percent = _self.cpu_percent(interval=None)
    user, system = round(times.user * 1000), round(times.system * 1000)
    return Process(
        ProcessCPU(user, system, user + system, time.time_ns() // 1_000_000, percent),
        ProcessMemory(memory.vms, memory.rss, getattr(memory, "shared", 0)),
    )


def disks_of(path: str) -> list[str]:
    """Names of the physical disks under a directory, such as `["sda"]`; empty when the kernel does not tell."""
    device = os.stat(path).st_dev
    block = Path(f"/sys/dev/block/{os.major(device)}:{os.minor(device)}")
    return sorted(_physical(block.resolve())) if block.exists() else []


def _physical(block: Path) -> set[str]:
    slaves = block / "slaves"
    below = list(slaves.iterdir()) if slaves.is_dir() else []
    if below:
        return set().union(*(_physical(slave.resolve()) for slave in below))
    return {block.parent.name if (block / "partition").exists() else block.name}


class DiskMeter:
    """Turns the kernel's growing disk counters into load per interval."""

    def __init__(self) -> None:
        self._previous = psutil.disk_io_counters(perdisk=True)
        self._at = time.monotonic()

    def load(self, disks: set[str]) -> dict[str, DiskLoad]:
        """The load of each of `disks` since the previous call."""
        now, counters = time.monotonic(), psutil.disk_io_counters(perdisk=True)
        elapsed_s = max(now - self._at, 1e-3)
        loads = {
            disk: _load(self._previous[disk], counters[disk], elapsed_s)
            for disk in sorted(disks)
            if disk in counters and disk in self._previous
        }
        self._previous, self._at = counters, now
        return loads


def _load(before: object, after: object, elapsed_s: float) -> DiskLoad:
    def grown(field: str) -> int:
        return max(int(getattr(after, field, 0)) - int(getattr(before, field, 0)), 0)

    reads, writes, read, written = (
        grown(field) for field in ("read_count", "write_count", "read_bytes", "write_bytes")
    )
    return DiskLoad(
        read_bps=round(read / elapsed_s),
        read_size_avg=read // reads if reads else 0,
        write_bps=round(written / elapsed_s),
        write_size_avg=written // writes if writes else 0,
        util_pct=min(round(grown("busy_time") / elapsed_s / 10), 100),
    )
