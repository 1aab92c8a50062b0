"""Tables and JSON as AIStore's loader prints them."""

import json
import sys
import time
from typing import IO, Any

from ais_loader.measure import Measure

_ROW = "%-10s%-6s%-22s\t%-22s\t%-36s\t%-22s\t%-10s\n"
_COLUMNS = ("Time", "OP", "Count", "Size (Total)", "Latency (min, avg, max)", "Throughput (Avg)", "Errors (Total)")
_UNITS = ("KiB", "MiB", "GiB", "TiB")
_JSON_NAMES = {"GET": "get", "PUT": "put", "GBT": "get_batch"}


class Report:
    """Prints what comes in by intervals, and the whole at the end."""

    def __init__(self, to: IO[str], *, is_json: bool) -> None:
        self._to = to
        self._is_json = is_json
        self._started_s = time.time()
        self._begun = time.monotonic()
        self._is_first = True
        self._totals: dict[str, Measure] = {}

    def header(self) -> None:
        """What goes before everything."""
        self._to.write("[" if self._is_json else "\n" + _ROW % _COLUMNS)

    def interval(self, found: dict[str, Measure], pending: int, seconds: float) -> None:
        """What was measured in the last `seconds`."""
        self._add(found)
        if self._is_json:
            self._write_json(found, seconds)
            return
        for kind, one in found.items():
            if one.count or one.errors:
                self._row(kind, one, self._totals[kind], pending, seconds)
        self._to.flush()

    def end(self, found: dict[str, Measure]) -> None:
        """The rest, and the totals."""
        self._add(found)
        seconds = time.monotonic() - self._begun
        if self._is_json:
            self._write_json(self._totals, seconds)
            self._to.write("\n]\n")
            self._to.flush()
            return
        self._to.write("\n" + _ROW % _COLUMNS)
        for kind, one in self._totals.items():
            if one.count or one.errors:
                self._total_row(kind, one, seconds)
        for kind, one in self._totals.items():
            if one.count:
                spread = "  ".join(f"p{label} {duration(one.percentile(part))}" for label, part in _PERCENTILES)
                self._to.write(f"{kind}: {spread}\n")
        self._to.flush()

    @property
    def errors(self) -> int:
        """All errors so far."""
        return sum(one.errors for one in self._totals.values())

    def _add(self, found: dict[str, Measure]) -> None:
        for kind, one in found.items():
            self._totals.setdefault(kind, Measure()).merge(one)

    def _row(self, kind: str, one: Measure, total: Measure, pending: int, seconds: float) -> None:
        elapsed = time.monotonic() - self._begun
        self._to.write(
            _ROW
            % (
                time.strftime("%H:%M:%S"),
                kind,
                f"{number(one.count)} ({number(total.count)} {pending} 0)",
                f"{size(one.size)} ({size(total.size)})",
                latencies(one),
                f"{rate(one.size, seconds)} ({rate(total.size, elapsed)})",
                f"{one.errors} ({total.errors})" if total.errors else "-",
            )
        )

    def _total_row(self, kind: str, one: Measure, seconds: float) -> None:
        self._to.write(
            _ROW
            % (
                time.strftime("%H:%M:%S"),
                kind,
                number(one.count),
                size(one.size),
                latencies(one),
                rate(one.size, seconds),
                number(one.errors),
            )
        )

    def _write_json(self, found: dict[str, Measure], seconds: float) -> None:
        started = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(self._started_s)) + "Z"
        merged = {name: Measure() for name in _JSON_NAMES.values()}
        for kind, one in found.items():
            merged[_JSON_NAMES.get(kind, "put")].merge(one)
        shown: dict[str, Any] = {
            name: {
                "start_time": started,
                "count": str(one.count),
                "bytes": str(one.size),
                "errors": one.errors,
                "latency": one.average_ns,
                "duration": int(seconds * 1e9),
                "min_latency": one.min_ns,
                "max_latency": one.max_ns,
                "throughput": str(int(one.size / seconds) if seconds else 0),
                **{f"p{label}": one.percentile(part) for label, part in _PERCENTILES},
            }
            for name, one in merged.items()
        }
        self._to.write(("\n" if self._is_first else ",\n") + json.dumps(shown, indent=2))
        self._is_first = False
        self._to.flush()


_PERCENTILES = (("50", 0.5), ("99", 0.99), ("99.9", 0.999))


def number(value: int) -> str:
    """`1,114`."""
    return f"{value:,}"


def size(value: float) -> str:
    """`4.4MiB`."""
    return _scaled(value, 1)


def rate(value: int, seconds: float) -> str:
    """`889.63KiB/s`."""
    return _scaled(value / seconds if seconds else 0, 2) + "/s"


def duration(nanoseconds: int) -> str:
    """`15.196ms`."""
    for unit, factor in (("s", 10**9), ("ms", 10**6)):
        if nanoseconds >= factor:
            return f"{nanoseconds / factor:.3f}{unit}"
    return f"{nanoseconds / 1000:.3f}µs"


def latencies(one: Measure) -> str:
    """Least, average and greatest."""
    return "".join(f"{duration(value):<11}" for value in (one.min_ns, one.average_ns, one.max_ns)).rstrip()


def open_output(path: str) -> IO[str]:
    """Where statistics go."""
    return open(path, "w", encoding="utf-8") if path else sys.stdout


def _scaled(value: float, digits: int) -> str:
    if value < 1024:
        return f"{value:.0f}B"
    for unit in _UNITS:
        value /= 1024
        if value < 1024 or unit == _UNITS[-1]:
            break
    return f"{value:.{digits}f}{unit}"
