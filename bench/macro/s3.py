"""What the S3 API costs: presigned requests through a gateway and at the owner, beside the native path, in one run.

usage: python bench/macro/s3.py [--rounds 3] [--seconds 3] [--dir D]

One gateway and one target share the server core, wrk has the other. Authentication is on: every S3 request is verified,
and an S3 PUT computes MD5, CRC-64/NVME and the bucket's XXH64 where a native one computes XXH64. All three paths PUT
over the same names again and again, so that the file system does the same for each.
"""

import argparse
import json
import statistics
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).parent))

from botocore.auth import S3SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from load import Load, finish, start
from servers import cpu_of, pin

from ais.playground import probe
from ais.testing import Cluster

KIB, MIB = 1 << 10, 1 << 20
COUNTS = {4 * KIB: 200, MIB: 32, 64 * MIB: 4}
SERVER_CORE, LOAD_CORE = 0, 1
BUCKET = "bench"
PATHS = ("native at the owner", "S3 at the owner", "S3 through a gateway")


class Sample(NamedTuple):
    """One run of one path."""

    rate: float
    cpu_us: float
    errors: int


class Bench:
    """The cluster, and the request targets of each path."""

    def __init__(self, scratch: Path) -> None:
        self._scratch = scratch
        self.cluster = Cluster(1, 1, 1, dir=scratch / "ais", config_overrides={"auth.enabled": "true"})

    def __enter__(self) -> "Bench":
        self.cluster.__enter__()
        [proxy], [target] = self.cluster.proxies, self.cluster.targets
        self._urls = dict(zip(PATHS, (target.url, target.url, proxy.url), strict=True))
        self._pids = [proxy.pid, target.pid]
        pin(self._pids, SERVER_CORE)
        self._call("POST", f"/v1/buckets/{BUCKET}", {"action": "create-bck"})
        key = json.loads(self._call("POST", "/v1/auth/keys", {"user": "bench", "admin": True}))
        self._credentials = Credentials(key["id"], key["secret"])
        return self

    def __exit__(self, *_: object) -> None:
        self.cluster.__exit__(None, None, None)

    def _call(self, method: str, path: str, message: object) -> bytes:
        [proxy] = self.cluster.proxies
        status, answer = probe.call(method, proxy.url + path, None, json.dumps(message).encode(), proxy.plan.socket)
        assert status == 200, answer
        return answer

    def run(self, path: str, method: str, size: int, seconds: float) -> Sample:
        """Let wrk send requests of one path for a while."""
        targets = self._scratch / "targets"
        targets.write_text("".join(f"{self._target(path, method, size, n)}\n" for n in range(COUNTS[size])))
        before = cpu_of(self._pids)
        connections = 4 if size == 64 * MIB else 32
        # Who asks natively signs nothing: S3 alone would have to.
        self._call("PUT", f"/v1/cluster/set-config?auth.enabled={str(path != PATHS[0]).lower()}", None)
        load = Load(method, f"@{targets}", 0, size if method == "PUT" else 0, connections=connections)
        result = finish(start(self._urls[path], load, seconds, LOAD_CORE))
        return Sample(result.rate, (cpu_of(self._pids) - before) / max(result.requests, 1) * 1e6, result.errors)

    def _target(self, path: str, method: str, size: int, number: int) -> str:
        name = f"{size}-{number}"
        if path == PATHS[0]:
            return f"/v1/objects/{BUCKET}/{name}?provider=ais&pid=bench&utm={int(datetime.now(UTC).timestamp() * 1e9)}"
        request = AWSRequest(method, f"{self._urls[path]}/{BUCKET}/{name}")
        S3SigV4QueryAuth(self._credentials, "s3", "us-east-1", expires=86400).add_auth(request)
        return str(request.url).removeprefix(self._urls[path])


def main() -> None:
    """Run all paths interleaved; print the table and keep it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--dir", type=Path, default=Path.cwd(), help="where the cluster keeps its files")
    arguments = parser.parse_args()
    lines = ["| scenario | path | req/s | MB/s | of native | µs CPU | errors |", "|---|---|---|---|---|---|---|"]
    with tempfile.TemporaryDirectory(dir=arguments.dir, prefix=".bench-") as scratch, Bench(Path(scratch)) as bench:
        for size in COUNTS:
            for method in ("PUT", "GET"):
                samples: dict[str, list[Sample]] = {path: [] for path in PATHS}
                for _ in range(arguments.rounds):
                    for path in PATHS:
                        samples[path].append(bench.run(path, method, size, arguments.seconds))
                lines += rows(
                    f"{method} {size // MIB} MiB" if size >= MIB else f"{method} {size // KIB} KiB", size, samples
                )
                print("\n".join(lines[-len(PATHS) :]), flush=True)
    results = Path(__file__).parent.parent / "results"
    results.mkdir(exist_ok=True)
    (results / "s3.md").write_text("\n".join(lines) + "\n")
    print(f"written: {results}/s3.md")


def rows(scenario: str, size: int, samples: dict[str, list[Sample]]) -> list[str]:
    """The table's rows of one scenario: medians, and the median of the rounds' ratios to the native path."""
    native = samples[PATHS[0]]
    found = []
    for path, runs in samples.items():
        rate, cpu_us = (statistics.median(run[index] for run in runs) for index in (0, 1))
        ratio = statistics.median(run.rate / (base.rate or 1) for run, base in zip(runs, native, strict=True))
        errors = sum(run.errors for run in runs)
        found.append(
            f"| {scenario} | {path} | {rate:,.0f} | {rate * size / 1e6:,.0f} | {ratio:.2f} | {cpu_us:,.0f} | {errors} |"
        )
    return found


if __name__ == "__main__":
    main()
