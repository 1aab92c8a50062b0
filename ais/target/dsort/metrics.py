"""What a sort tells about itself, in the words of AIStore (wire contract §13.2)."""

from typing import Any

from ais.api import gotime
from ais.api.xact import ZERO_TIME
from ais.env.clock import Clock

_rfc3339 = gotime.formatter("RFC3339Nano")
NOTES_MAX = 100
_NONE_MS = str((1 << 63) - 1)


class Metrics:
    """`values` is what clients see, changed in place."""

    def __init__(self, clock: Clock, description: str) -> None:
        self._clock = clock
        self._started: dict[str, float] = {}
        self.values: dict[str, Any] = {
            "local_extraction": {
                **_phase(),
                "total_count": "0",
                "extracted_count": "0",
                "extracted_size": "0",
                "extracted_record_count": "0",
                "extracted_to_disk_count": "0",
                "extracted_to_disk_size": "0",
            },
            "meta_sorting": {**_phase(), "sent_stats": _times(), "recv_stats": _times()},
            "shard_creation": {**_phase(), "to_create": "0", "created_count": "0", "moved_shard_count": "0"},
            "description": description,
            "aborted": False,
            "archived": False,
        }

    def begin(self, phase: str) -> None:
        """A phase starts."""
        self._started[phase] = self._clock.monotonic()
        self.values[phase] |= {"started_time": _rfc3339(self._clock.now_ns()), "running": True}

    def end(self, phase: str) -> None:
        """And has ended well."""
        found = self.values[phase]
        found |= {"end_time": _rfc3339(self._clock.now_ns()), "running": False, "finished": True}
        self._tick(phase)

    def add(self, phase: str, **counts: int) -> None:
        """Count on."""
        found = self.values[phase]
        for name, count in counts.items():
            found[name] = str(int(found[name]) + count)
        self._tick(phase)

    def set(self, phase: str, name: str, count: int) -> None:
        """Make a count this."""
        self.values[phase][name] = str(count)

    def took(self, what: str, seconds: float) -> None:
        """Count a transfer of records: `sent_stats` or `recv_stats`."""
        found, took_ms = self.values["meta_sorting"][what], int(seconds * 1000)
        total, count = int(found["total_ms"]) + took_ms, int(found["count"]) + 1
        found |= {
            "total_ms": str(total),
            "count": str(count),
            "min_ms": str(min(int(found["min_ms"]), took_ms)),
            "max_ms": str(max(int(found["max_ms"]), took_ms)),
            "avg_ms": str(total // count),
        }

    def note(self, kind: str, text: str) -> None:
        """Add to `warnings` or `errors`."""
        found = self.values.setdefault(kind, [])
        if len(found) < NOTES_MAX:
            found.append(text)

    def fail(self, error: str) -> None:
        """It will not end well."""
        self.values["aborted"] = True
        if error:
            self.note("errors", error)
        for phase in ("local_extraction", "meta_sorting", "shard_creation"):
            self.values[phase]["running"] = False

    def _tick(self, phase: str) -> None:
        self.values[phase]["elapsed"] = int((self._clock.monotonic() - self._started[phase]) * 1e9)


def _phase() -> dict[str, Any]:
    return {"started_time": ZERO_TIME, "end_time": ZERO_TIME, "elapsed": 0, "running": False, "finished": False}


def _times() -> dict[str, str]:
    return {"total_ms": "0", "count": "0", "min_ms": _NONE_MS, "max_ms": "0", "avg_ms": "0"}
