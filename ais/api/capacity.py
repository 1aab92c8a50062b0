"""Capacity of a target's mountpaths and load of its disks (`wire.md` §12.4, §12.5)."""

import msgspec

from ais.api.codec import U64


class FileSystem(msgspec.Struct, frozen=True):
    """The file system below a mountpath."""

    fs: str = msgspec.field(default="", name="Fs")
    fs_type: str = msgspec.field(default="", name="FsType")
    fs_id: str = msgspec.field(default="0,0", name="FsID")
    """The kernel's number of the file system, as two signed numbers with a comma."""


class MountpathCapacity(msgspec.Struct, frozen=True):
    """One mountpath: bytes used and available, and used in percent."""

    label: str = msgspec.field(default="", name="mountpath_label")
    fs: FileSystem = FileSystem()
    disks: list[str] = []
    used: U64 = U64(0)
    avail: U64 = U64(0)
    pct_used: int = 0


class TargetCapacity(msgspec.Struct, frozen=True):
    """All mountpaths of a target; `error` says what is wrong with its capacity."""

    mountpaths: dict[str, MountpathCapacity] = {}
    error: str = msgspec.field(default="", name="cs_err")
    total_used: U64 = U64(0)
    total_avail: U64 = U64(0)
    pct_max: int = 0
    pct_avg: int = 0
    pct_min: int = 0


class DiskRates(msgspec.Struct, frozen=True):
    """One disk over the last interval: bytes per second, mean bytes per operation, busy percent."""

    read_bps: int = msgspec.field(default=0, name="RBps")
    read_avg: int = msgspec.field(default=0, name="Ravg")
    write_bps: int = msgspec.field(default=0, name="WBps")
    write_avg: int = msgspec.field(default=0, name="Wavg")
    util_pct: int = msgspec.field(default=0, name="Util")


class DiskReport(TargetCapacity, frozen=True):
    """The answer to `what=disk`."""

    disks: dict[str, DiskRates] = msgspec.field(default_factory=dict, name="AllDiskStats")


class Mountpaths(msgspec.Struct, frozen=True):
    """The answer to `what=mountpaths`."""

    available: list[str]
    disabled: list[str]
    waiting_dd: list[str] = []
