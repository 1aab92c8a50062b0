"""The load generator: wrk from Debian's packages, one thread pinned to one core."""

import subprocess
from dataclasses import dataclass
from pathlib import Path

LUA = Path(__file__).parent / "lua" / "requests.lua"


@dataclass(frozen=True)
class Load:
    """Requests to send: `count` names cycled (0: each its own), each with a body of `size_bytes` (0: none)."""

    method: str
    prefix: str
    count: int
    size_bytes: int = 0
    suffix: str = ""
    connections: int = 32


@dataclass(frozen=True)
class Result:
    """What one run gave. Latencies in microseconds."""

    requests: int
    duration_s: float
    p50_us: float
    p99_us: float
    errors: int

    @property
    def rate(self) -> float:
        """Requests per second."""
        return self.requests / self.duration_s


def start(base_url: str, load: Load, duration_s: float, core: int) -> "subprocess.Popen[str]":
    """Start a generator; `finish` reads its result."""
    return subprocess.Popen(
        [
            *("taskset", "-c", str(core), "wrk", "-t1", f"-c{load.connections}", f"-d{duration_s:g}s"),
            *("--timeout", "60s", "-s", str(LUA), base_url, "--"),
            *(load.method, load.prefix, str(load.count), str(load.size_bytes), load.suffix),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def finish(process: "subprocess.Popen[str]") -> Result:
    """Wait for a generator and parse its closing line."""
    output, _ = process.communicate()
    line = next((one for one in output.splitlines() if one.startswith("RESULT ")), None)
    if process.returncode or line is None:
        raise SystemExit(f"wrk failed ({process.returncode}):\n{output}")
    requests, duration_us, p50, p99, errors = line.split()[1:]
    return Result(int(requests), int(duration_us) / 1e6, float(p50), float(p99), int(errors))
