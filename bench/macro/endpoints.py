"""Compare a cluster of ours with S3 endpoints and AIStore endpoints that run already, in one run.

usage: python bench/macro/endpoints.py [--s3 NAME=URL,KEY_ID,SECRET[,PID...]] [--native NAME=URL[,PID...]] ...
                                       [--rounds 5] [--seconds 2] [--sizes 4096,...] [--methods PUT,GET] [--dir D]

Ours has one gateway and one target on the server core, and is asked in each way that another endpoint is: over S3
through the gateway, and natively at the owner. Requests over S3 are presigned. Natively names are asked at the target
to which the endpoint redirects, which has to be one for all. Everybody is sent the same names and bodies, by turns;
what was written is read and compared before and after. CPU time is that of the processes named, with their children;
pin them to core 0, as ours are. A bucket `ais-bench` is made for it and left behind, with its objects. The plot needs
`pip install -e '.[bench]'`.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
import urllib.error
import urllib.request
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

sys.path.insert(0, str(Path(__file__).parent))

import psutil
import report
import run
from load import Load, finish, start
from s3 import SERVER_CORE, Signer
from servers import cpu_of, pin

from ais.playground import probe
from ais.testing import Cluster

BUCKET = "ais-bench"
OURS = "ais"


class Sample(NamedTuple):
    """One run against one endpoint; CPU in us a request, nan: its processes are not known."""

    rate: float
    cpu_us: float
    p50_us: float
    p99_us: float
    errors: int


class Kept(urllib.request.HTTPRedirectHandler):
    """Does not follow."""

    def redirect_request(self, *_: object) -> None:
        """Leave it to the caller."""


class Endpoint:
    """Somebody who stores objects. `url`: whom wrk asks."""

    def __init__(self, name: str, url: str, pids: list[int]) -> None:
        self.name, self.url = name, url.rstrip("/")
        self._pids = pids

    def cpu_s(self) -> float:
        """Of its processes so far; nan when they are not known."""
        if not self._pids:
            return float("nan")
        every = [psutil.Process(pid) for pid in self._pids]
        return cpu_of([one.pid for first in every for one in (first, *first.children(recursive=True))])

    def make_bucket(self) -> None:
        """Make the bucket, which may be there."""
        raise NotImplementedError

    def target(self, method: str, name: str) -> str:
        """What a request line asks for."""
        raise NotImplementedError

    def ask(self, method: str, name: str, body: bytes | None = None) -> bytes:
        """One request."""
        target = self.target(method, name)
        request = urllib.request.Request(self.url + target, body, method=method)
        return bytes(urllib.request.urlopen(request).read())

    def check(self, names: list[str], body: bytes) -> None:
        """Raise `SystemExit` unless all have this content."""
        for name in names:
            if self.ask("GET", name) != body:
                raise SystemExit(f"{self.name}: {name} is not what was written")


class OverS3(Endpoint):
    """Requests are presigned."""

    def __init__(self, name: str, url: str, key_id: str, secret: str, pids: list[int]) -> None:
        super().__init__(name, url, pids)
        self._signer = Signer(key_id, secret)

    def make_bucket(self) -> None:
        """See `Endpoint`."""
        url = self.url + self._signer.presigned("PUT", urlsplit(self.url).netloc, f"/{BUCKET}")
        try:
            urllib.request.urlopen(urllib.request.Request(url, method="PUT")).read()
        except urllib.error.HTTPError as error:
            if error.code != 409:
                raise SystemExit(f"{self.name}: cannot make bucket {BUCKET}: {error.read().decode()}") from None

    def target(self, method: str, name: str) -> str:
        """See `Endpoint`."""
        return self._signer.presigned(method, urlsplit(self.url).netloc, f"/{BUCKET}/{name}")


class Native(Endpoint):
    """Asks the target that owns the names."""

    def __init__(self, name: str, url: str, pids: list[int]) -> None:
        super().__init__(name, url, pids)
        self._gateway = self.url

    def make_bucket(self) -> None:
        """See `Endpoint`."""
        url, body = f"{self._gateway}/v1/buckets/{BUCKET}?provider=ais", json.dumps({"action": "create-bck"}).encode()
        try:
            urllib.request.urlopen(urllib.request.Request(url, body, method="POST")).read()
        except urllib.error.HTTPError as error:
            if error.code != 409:
                raise SystemExit(f"{self.name}: cannot make bucket {BUCKET}: {error.read().decode()}") from None

    def target(self, method: str, name: str) -> str:
        """See `Endpoint`."""
        asked = urllib.request.Request(f"{self._gateway}/v1/objects/{BUCKET}/{name}?provider=ais", method=method)
        try:
            urllib.request.build_opener(Kept).open(asked)
        except urllib.error.HTTPError as error:
            if error.code not in (301, 307):
                raise
            at = urlsplit(error.headers["Location"])
        else:
            raise SystemExit(f"{self.name}: {self._gateway} does not redirect")
        url = f"{at.scheme}://{at.netloc}"
        if self.url not in (self._gateway, url):
            raise SystemExit(f"{self.name}: names lie at {self.url} and {url}: compare with one target")
        self.url = url
        return f"{at.path}?{at.query}"


def measure(endpoint: Endpoint, method: str, size: int, names: list[str], scratch: Path, seconds: float) -> Sample:
    """Let wrk ask for a while."""
    requests = scratch / "requests"
    requests.write_text("".join(f"{endpoint.target(method, name)}\n" for name in names))
    before = endpoint.cpu_s()
    load = Load(method, f"@{requests}", 0, size if method == "PUT" else 0, connections=8 if size > run.MIB else 32)
    result = finish(start(endpoint.url, load, seconds, run.LOAD_CORE))
    cpu_us = (endpoint.cpu_s() - before) / max(result.requests, 1) * 1e6
    return Sample(result.rate, cpu_us, result.p50_us, result.p99_us, result.errors)


def compare(endpoints: list[Endpoint], method: str, size: int, scratch: Path, rounds: int, seconds: float) -> list[str]:
    """Rows of a table, of one size and method."""
    names, body = [f"{size}-{number}" for number in range(run.NAMES.get(size, 32))], b"0123456789abcdef" * (size // 16)
    for one in endpoints:
        for name in names:
            one.ask("PUT", name, body)
        one.check(names[:4], body)
    samples: dict[str, list[Sample]] = {one.name: [] for one in endpoints}
    for number in range(rounds):
        for one in endpoints if number % 2 == 0 else reversed(endpoints):
            samples[one.name].append(measure(one, method, size, names, scratch, seconds))
    rows = []
    for one in endpoints:
        one.check(names[:4], body)
        runs, ours = samples[one.name], samples[_ours(one)]
        rate, cpu_us, p50_us, p99_us = (statistics.median(sample[at] for sample in runs) for at in range(4))
        ratio = statistics.median(base.rate / (other.rate or 1) for base, other in zip(ours, runs, strict=True))
        errors = sum(sample.errors for sample in runs)
        rows.append(
            f"| {method} {report.size(size)} | {one.name} | {rate:,.0f} | {ratio:.2f} | {cpu_us:,.1f} |"
            f" {p50_us / 1e3:.2f} | {p99_us / 1e3:.2f} | {errors} |"
        )
    return rows


def _ours(endpoint: Endpoint) -> str:
    return f"{OURS} over S3" if isinstance(endpoint, OverS3) else f"{OURS} natively"


def plot(rows: list[str], path: Path) -> None:
    """Bars of the ratios of others."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    cells = [[cell.strip() for cell in row.strip("| ").split("|")] for row in rows]
    others = [(f"{cell[0]}, {cell[1]}", float(cell[3])) for cell in cells if not cell[1].startswith(f"{OURS} ")]
    figure, axes = pyplot.subplots(figsize=(9, 0.45 * len(others) + 1.2))
    axes.barh([name for name, _ in others], [ratio for _, ratio in others], color="#4477aa")
    axes.axvline(1, color="black")
    axes.set_xlabel("requests per second of ais, of theirs")
    axes.invert_yaxis()
    figure.tight_layout()
    figure.savefig(path, dpi=120)


def main() -> None:
    """Print the table; keep it and its plot in bench/results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--s3", action="append", default=[], metavar="NAME=URL,KEY_ID,SECRET[,PID...]")
    parser.add_argument("--native", action="append", default=[], metavar="NAME=URL[,PID...]")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2)
    parser.add_argument("--sizes", default="4096,65536,1048576")
    parser.add_argument("--methods", default="PUT,GET")
    parser.add_argument("--dir", default=".", help="where our cluster has its data")
    arguments = parser.parse_args()
    others: list[Endpoint] = []
    for text in arguments.s3:
        name, _, said = text.partition("=")
        url, key_id, secret, *pids = said.split(",")
        others.append(OverS3(name, url, key_id, secret, [int(pid) for pid in pids]))
    for text in arguments.native:
        name, _, said = text.partition("=")
        url, *pids = said.split(",")
        others.append(Native(name, url, [int(pid) for pid in pids]))
    if not others:
        parser.error("name an endpoint to compare with: --s3 or --native (bench/macro/run.py compares with nginx)")
    rows = ["| scenario | endpoint | req/s | ais to it | µs CPU | p50 ms | p99 ms | errors |", "|---" * 8 + "|"]
    print("\n".join(rows))
    with tempfile.TemporaryDirectory(dir=Path(arguments.dir).resolve(), prefix=".bench-") as directory:
        scratch = Path(directory)
        with Cluster(1, 1, 1, dir=scratch / "ais") as cluster:
            [proxy], [target] = cluster.proxies, cluster.targets
            pids = [proxy.pid, target.pid]
            pin(pids, SERVER_CORE)
            status, answer = probe.call(
                "POST", f"{proxy.url}/v1/auth/keys", None, b'{"user": "bench", "admin": true}', proxy.plan.socket
            )
            assert status == 200, answer
            key = json.loads(answer)
            ours = [OverS3(f"{OURS} over S3", proxy.url, key["id"], key["secret"], pids)] if arguments.s3 else []
            natively = [Native(f"{OURS} natively", proxy.url, pids)] if arguments.native else []
            endpoints: list[Endpoint] = [*ours, *natively, *others]
            for one in endpoints:
                one.make_bucket()
            for size in map(int, arguments.sizes.split(",")):
                for method in arguments.methods.split(","):
                    found = compare(endpoints, method, size, scratch, arguments.rounds, arguments.seconds)
                    print("\n".join(found), flush=True)
                    rows += found
    results = Path(__file__).parent.parent / "results"
    os.makedirs(results, exist_ok=True)
    (results / "endpoints.md").write_text("\n".join(rows) + "\n")
    plot(rows[2:], results / "endpoints.png")
    print(f"written: {results}/endpoints.md, endpoints.png")


if __name__ == "__main__":
    main()
