"""What was measured: counts, bytes, errors and latencies of each kind of operation, over time and processes."""

from dataclasses import dataclass, field

BUCKETS_PER_DOUBLING = 32
_SHIFT = 5


@dataclass
class Measure:
    """One kind of operation. Latencies in nanoseconds; `spread` counts them in steps of some 3 %."""

    count: int = 0
    size: int = 0
    errors: int = 0
    total_ns: int = 0
    min_ns: int = 0
    max_ns: int = 0
    spread: dict[int, int] = field(default_factory=dict)

    def add(self, size: int, elapsed_ns: int) -> None:
        """One operation that succeeded."""
        self.count += 1
        self.size += size
        self.total_ns += elapsed_ns
        if elapsed_ns > self.max_ns:
            self.max_ns = elapsed_ns
        if not self.min_ns or elapsed_ns < self.min_ns:
            self.min_ns = elapsed_ns
        step = _step_of(elapsed_ns)
        self.spread[step] = self.spread.get(step, 0) + 1

    def merge(self, other: "Measure") -> None:
        """Add another one's operations."""
        self.count += other.count
        self.size += other.size
        self.errors += other.errors
        self.total_ns += other.total_ns
        self.max_ns = max(self.max_ns, other.max_ns)
        self.min_ns = min(one for one in (self.min_ns, other.min_ns) if one) if self.min_ns or other.min_ns else 0
        for step, count in other.spread.items():
            self.spread[step] = self.spread.get(step, 0) + count

    @property
    def average_ns(self) -> int:
        """Mean latency."""
        return self.total_ns // self.count if self.count else 0

    def percentile(self, fraction: float) -> int:
        """The latency (ns) that this fraction of operations does not exceed, within 3 %; 0 without operations."""
        left = self.count * fraction
        for step in sorted(self.spread):
            left -= self.spread[step]
            if left <= 0:
                return min(_latency_of(step), self.max_ns)
        return self.max_ns


def _step_of(elapsed_ns: int) -> int:
    bits = max(elapsed_ns.bit_length() - _SHIFT - 1, 0)
    return bits * BUCKETS_PER_DOUBLING + (elapsed_ns >> bits)


def _latency_of(step: int) -> int:
    """The upper end of a step."""
    bits = max(step // BUCKETS_PER_DOUBLING - 1, 0)
    return ((step - bits * BUCKETS_PER_DOUBLING) + 1) << bits
