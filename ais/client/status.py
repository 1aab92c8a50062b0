"""What nodes tell about themselves (wire contract §12.2-§12.5), as far as clients use it."""

import enum

import msgspec

from ais.api.capacity import TargetCapacity
from ais.api.codec import U64
from ais.meta.smap import Snode


class StateFlag(enum.IntFlag):
    """Bits of `NodeState.flags`; a healthy node has `CLUSTER_STARTED` and `NODE_STARTED` only."""

    VOTE_IN_PROGRESS = 1 << 0
    CLUSTER_STARTED = 1 << 1
    NODE_STARTED = 1 << 2
    REBALANCING = 1 << 3
    REBALANCE_INTERRUPTED = 1 << 4
    RESILVERING = 1 << 5
    RESILVER_INTERRUPTED = 1 << 6
    RESTARTED = 1 << 7
    OUT_OF_SPACE = 1 << 8
    OUT_OF_MEMORY = 1 << 9
    MAINTENANCE = 1 << 10
    LOW_CAPACITY = 1 << 11
    LOW_MEMORY = 1 << 12
    DISK_FAULT = 1 << 13
    MANY_TASKS = 1 << 14
    TOO_MANY_TASKS = 1 << 15
    CERTIFICATE_EXPIRES_SOON = 1 << 16
    CERTIFICATE_EXPIRED = 1 << 17
    CERTIFICATE_INVALID = 1 << 18
    KEEPALIVE_ERRORS = 1 << 19
    OUT_OF_CPU = 1 << 20
    LOW_CPU = 1 << 21
    DISK_OUT_OF_SPACE = 1 << 22
    DISK_LOW_CAPACITY = 1 << 23


_HEALTHY = StateFlag.CLUSTER_STARTED | StateFlag.NODE_STARTED
_NO_CONCERN = _HEALTHY | StateFlag.RESTARTED


class LoadAverage(msgspec.Struct, frozen=True):
    """Of 1, 5 and 15 minutes."""

    one: float = msgspec.field(name="One", default=0.0)
    five: float = msgspec.field(name="Five", default=0.0)
    fifteen: float = msgspec.field(name="Fifteen", default=0.0)


class Memory(msgspec.Struct, frozen=True, rename="pascal"):
    """Memory of a machine (bytes)."""

    total: int = 0
    used: int = 0
    free: int = 0
    buff_cache: int = 0
    actual_used: int = 0
    actual_free: int = 0


class ProcessCPU(msgspec.Struct, frozen=True, rename="pascal"):
    """Processor time of a node's process."""

    percent: float = 0.0


class ProcessMemory(msgspec.Struct, frozen=True, rename="pascal"):
    """Memory of a node's process (bytes)."""

    size: int = 0
    resident: int = 0
    share: int = 0


class Process(msgspec.Struct, frozen=True):
    """A node's process."""

    cpu: ProcessCPU = msgspec.field(name="CPU", default=ProcessCPU())
    mem: ProcessMemory = msgspec.field(name="Mem", default=ProcessMemory())


class Machine(msgspec.Struct, frozen=True):
    """Memory (bytes) and CPU of a node's machine, and of its process."""

    mem_used: int = 0
    mem_avail: int = 0
    pct_mem_used: float = 0.0
    pct_cpu_used: float = 0.0
    load_avg: LoadAverage = LoadAverage()
    mem: Memory = Memory()
    proc: Process = Process()


class NodeState(msgspec.Struct, frozen=True):
    """A node's state flags."""

    flags: int = 0

    def describe(self) -> str:
        """`ok`, or what is wrong or going on."""
        flags = StateFlag(self.flags & ((1 << 24) - 1))
        if flags & _HEALTHY != _HEALTHY:
            return "starting"
        concerns = [flag.name or "" for flag in StateFlag if flags & flag & ~_NO_CONCERN]
        return ", ".join(name.lower().replace("_", "-") for name in concerns) or "ok"


class NodeStatus(msgspec.Struct, frozen=True):
    """The answer to `what=node_status`."""

    snode: Snode
    status: str = ""
    deployment: str = ""
    version: str = msgspec.field(name="ais_version", default="")
    build_time: str = ""
    pod: str = msgspec.field(name="k8s_pod_name", default="")
    tracker: dict[str, int] = {}
    capacity: TargetCapacity = TargetCapacity()
    cluster: NodeState = NodeState()
    machine: Machine = msgspec.field(name="sys_info", default=Machine())
    smap_version: U64 = U64(0)

    @property
    def uptime_ns(self) -> int:
        """How long the node has been running; 0 when it does not say."""
        return self.tracker.get("up.ns.time", 0)
