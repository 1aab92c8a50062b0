"""What a node counts: a list of integers that only grow, and gauges that are set at intervals.

The hot path adds to a slot (`tracker.inc(GET_N)`, or `tracker.values[GET_N] += 1` where a call costs too much).
Everything derived, such as mean latencies and rates, is computed once per interval by `tick`. One event loop owns a
tracker; worker threads report to it, not into it. Other processes of the node count into memory of their own, which
is added to what is reported (`share`).
"""

from collections.abc import Callable, Mapping, Sequence

from ais.env.clock import Clock
from ais.stats import names
from ais.stats.system import DiskLoad


class Tracker:
    """The counters of one node of role `proxy` or `target`."""

    def __init__(self, role: str, clock: Clock) -> None:
        self.role = role
        self.values: list[int] = [0] * len(names.METRICS)
        self._others: Sequence[Sequence[int]] = ()
        self._forgotten = [0] * len(self.values)
        self.state_flags = 0
        self.certificate_end_s: Callable[[], float] | None = None
        """When the TLS certificate ends (Unix seconds); None without TLS."""
        self.workers: Callable[[], int] | None = None
        """How many workers serve clients now; None: the node is one process."""
        self.events_waiting: Callable[[], dict[str, int]] | None = None
        """How many events of buckets each receiver lacks."""
        self.replicas_waiting: Callable[[], dict[str, int]] | None = None
        """How many changes of versions each destination of replicas lacks."""
        self.replicas_behind: Callable[[], dict[str, float]] | None = None
        """The age of the oldest of them in seconds."""
        self._clock = clock
        self._started_ns = clock.now_ns()
        self._ticked_ns = self._started_ns
        self._previous = list(self.values)
        self._derived: dict[str, int] = dict.fromkeys(self._derived_kinds(), 0)
        self._disks: Mapping[str, DiskLoad] = {}

    def inc(self, slot: int, amount: int = 1) -> None:
        """Add to a counter; slots are the constants of `ais.stats.names`."""
        self.values[slot] += amount

    def observe(self, count_slot: int, time_slot: int, elapsed_ns: int) -> None:
        """Count one operation and the time it took."""
        self.values[count_slot] += 1
        self.values[time_slot] += elapsed_ns

    def share(self, others: Sequence[Sequence[int]]) -> None:
        """Report what these count, too."""
        self._others = others

    def total(self, slot: int) -> int:
        """A counter of the node."""
        return self.values[slot] + sum(other[slot] for other in self._others) - self._forgotten[slot]

    @property
    def _totals(self) -> list[int]:
        return [self.total(slot) for slot in range(len(self.values))]

    @property
    def uptime_ns(self) -> int:
        """Since the tracker was made."""
        return self._clock.now_ns() - self._started_ns

    def tick(self, disks: Mapping[str, DiskLoad] | None = None) -> None:
        """End an interval: derive mean latencies and rates since the last tick; take the disks' load."""
        now_ns = self._clock.now_ns()
        elapsed_ns = max(now_ns - self._ticked_ns, 1)
        totals = self._totals
        delta = [new - old for new, old in zip(totals, self._previous, strict=True)]
        for name, time_slot, count_slot in names.AVERAGES:
            if name in self._derived:
                self._derived[name] = delta[time_slot] // delta[count_slot] if delta[count_slot] else 0
        for name, slot in names.RATES:
            if name in self._derived:
                self._derived[name] = delta[slot] * 1_000_000_000 // elapsed_ns
        self._previous, self._ticked_ns, self._disks = totals, now_ns, disks or {}

    def reset(self, *, errors_only: bool = False) -> None:
        """Set counters to zero; uptime and state stay."""
        for slot, metric in enumerate(names.METRICS):
            if not errors_only or metric.name.startswith("err."):
                self.values[slot] = self._previous[slot] = 0
                self._forgotten[slot] = sum(other[slot] for other in self._others)
        if not errors_only:
            self._derived = dict.fromkeys(self._derived, 0)

    def counters(self) -> dict[str, int]:
        """What only grows, by name."""
        return {metric.name: self.total(slot) for slot, metric in enumerate(names.METRICS) if self.role in metric.roles}

    def gauges(self) -> dict[str, int]:
        """What goes up and down, by name: rates and latencies of the last interval, disks, state, uptime."""
        gauges = dict(self._derived)
        for disk, load in self._disks.items():
            gauges |= dict(zip((f"disk.{disk}.{suffix}" for suffix, _ in names.DISK), load, strict=True))
        return gauges | {names.STATE_FLAGS: self.state_flags, names.UPTIME: self.uptime_ns}

    def snapshot(self) -> dict[str, int]:
        """The `tracker` of `what=node_stats`: numbers by name, without counts and times that are still 0."""
        kept = {metric.name for metric in names.METRICS if metric.kind == names.SIZE}
        return {name: value for name, value in self.counters().items() if value or name in kept} | self.gauges()

    def kinds(self) -> dict[str, str]:
        """The answer to `what=metrics`: every name with its kind."""
        kinds = {metric.name: metric.kind for metric in names.METRICS if self.role in metric.roles}
        kinds |= self._derived_kinds()
        kinds |= {f"disk.{disk}.{suffix}": kind for disk in self._disks for suffix, kind in names.DISK}
        return kinds | {names.STATE_FLAGS: names.GAUGE, names.UPTIME: names.SPECIAL}

    @property
    def disks(self) -> Mapping[str, DiskLoad]:
        """The load of the disks in the last interval, by device name."""
        return self._disks

    def _derived_kinds(self) -> dict[str, str]:
        def has(slot: int) -> bool:
            return self.role in names.METRICS[slot].roles

        kinds = {name: names.LATENCY for name, time_slot, _ in names.AVERAGES if has(time_slot)}
        return kinds | {name: names.THROUGHPUT for name, slot in names.RATES if has(slot)}
