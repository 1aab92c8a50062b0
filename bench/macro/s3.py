"""What the S3 API costs: signed requests through a gateway and at the owner, beside the native path, in one run.

usage: python bench/macro/s3.py [--rounds 3] [--seconds 2] [--sizes 4096,...] [--methods PUT,GET] [--paths ...]
                               [--dir D]

One gateway and one target share the server core, wrk has the other. Three kinds of S3 requests:

    open        nothing is signed, and nobody has to: what the API itself costs
    presigned   the same signed URLs again and again
    signed      an Authorization header as boto3 makes it, and no two requests of 20,000 alike (4 KiB); PUTs sign
                the SHA-256 of their body and bring its CRC-32

An S3 PUT computes MD5 and a CRC, a signed one SHA-256 too, beside the bucket's XXH64, which is all that a native one
computes. All paths PUT over the same names again and again, so that the file system does the same for each. CPU time
is that of both nodes, and that of the gateway alone.
"""

import argparse
import base64
import hashlib
import hmac
import json
import os
import statistics
import sys
import tempfile
import urllib.request
import zlib
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

sys.path.insert(0, str(Path(__file__).parent))

from load import Load, finish, start
from servers import cpu_of, pin

from ais.auth.signing import ALGORITHM, REGION, UNSIGNED, canonical_request, signing_key
from ais.playground import probe
from ais.testing import Cluster

KIB, MIB = 1 << 10, 1 << 20
SIZES = (4 * KIB, 16 * KIB, 64 * KIB, 256 * KIB, MIB, 64 * MIB)
COUNTS = {4 * KIB: 200, 64 * MIB: 4}
DISTINCT = {4 * KIB: 20_000}
"""How many signed requests differ; of other sizes each name has one."""
SERVER_CORE, LOAD_CORE = 0, 1
BUCKET = "bench"
PATHS = (
    "native at the owner",
    "S3 open at the owner",
    "S3 presigned at the owner",
    "S3 signed at the owner",
    "S3 open through a gateway",
    "S3 presigned through a gateway",
    "S3 signed through a gateway",
)
AGENT = (
    "Boto3/1.43.2 md/Botocore#1.43.2 ua/2.1 os/linux#6.18 md/arch#x86_64 lang/python#3.11.7 md/pyimpl#CPython m/Z,b,e"
    " cfg/retry-mode#standard Botocore/1.43.2"
)


class Sample(NamedTuple):
    """One run of one path."""

    rate: float
    cpu_us: float
    gateway_us: float
    errors: int


class Signer:
    """Makes the requests of one access key."""

    def __init__(self, key_id: str, secret: str) -> None:
        self._key_id, self._secret = key_id, secret

    def presigned(self, method: str, host: str, path: str) -> str:
        """A URL that is good for a day."""
        stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
        query = "&".join(
            (
                f"X-Amz-Algorithm={ALGORITHM}",
                f"X-Amz-Credential={quote(f'{self._key_id}/{self._scope(stamp)}', safe='')}",
                f"X-Amz-Date={stamp}",
                "X-Amz-Expires=86400",
                "X-Amz-SignedHeaders=host",
            )
        )
        canonical = canonical_request(method, path, query, {"host": [host]}, ("host",), UNSIGNED)
        return f"{path}?{query}&X-Amz-Signature={self._signature(stamp, canonical)}"

    def signed(self, method: str, host: str, path: str, body: bytes, age_s: int) -> str:
        """A request with an Authorization header that was made `age_s` ago."""
        stamp = (datetime.now(UTC) - timedelta(seconds=age_s)).strftime("%Y%m%dT%H%M%SZ")
        payload = hashlib.sha256(body).hexdigest()
        extra = {"x-amz-checksum-mode": "ENABLED"}
        if method == "PUT":
            crc = base64.b64encode(zlib.crc32(body).to_bytes(4, "big")).decode()
            extra = {"x-amz-checksum-crc32": crc, "x-amz-sdk-checksum-algorithm": "CRC32"}
        named = dict(sorted({"host": host, "x-amz-content-sha256": payload, "x-amz-date": stamp, **extra}.items()))
        names = tuple(named)
        canonical = canonical_request(
            method, path, "", {name: [value] for name, value in named.items()}, names, payload
        )
        credential = f"{self._key_id}/{self._scope(stamp)}"
        signature = self._signature(stamp, canonical)
        lines = {
            **{name: value for name, value in named.items() if name != "host"},
            "User-Agent": AGENT,
            "Accept-Encoding": "identity",
            "amz-sdk-invocation-id": hashlib.md5(f"{path}{age_s}".encode()).hexdigest(),
            "amz-sdk-request": "attempt=1",
            "Authorization": f"{ALGORITHM} Credential={credential}, SignedHeaders={';'.join(names)},"
            f" Signature={signature}",
        }
        return "\t".join((path, *(f"{name}: {value}" for name, value in lines.items())))

    @staticmethod
    def _scope(stamp: str) -> str:
        return f"{stamp[:8]}/{REGION}/s3/aws4_request"

    def _signature(self, stamp: str, canonical: str) -> str:
        text = "\n".join((ALGORITHM, stamp, self._scope(stamp), hashlib.sha256(canonical.encode()).hexdigest()))
        return hmac.digest(signing_key(self._secret, stamp[:8], REGION), text.encode(), "sha256").hex()


class Bench:
    """The cluster, and the requests of each path."""

    def __init__(self, scratch: Path, cluster: Any = None) -> None:
        self._scratch = scratch
        self.cluster = cluster or Cluster(1, 1, 1, dir=scratch / "ais", config_overrides={"auth.enabled": "true"})

    def __enter__(self) -> "Bench":
        self.cluster.__enter__()
        [self._proxy], [self._target] = self.cluster.proxies, self.cluster.targets
        pin([self._proxy.pid, self._target.pid], SERVER_CORE)
        self._call("POST", f"/v1/buckets/{BUCKET}", {"action": "create-bck"})
        key = json.loads(self._call("POST", "/v1/auth/keys", {"user": "bench", "admin": True}))
        self._signer = Signer(key["id"], key["secret"])
        return self

    def __exit__(self, *_: object) -> None:
        self.cluster.__exit__(None, None, None)

    def _call(self, method: str, path: str, message: object) -> bytes:
        [proxy] = self.cluster.proxies
        status, answer = probe.call(method, proxy.url + path, None, json.dumps(message).encode(), proxy.plan.socket)
        assert status == 200, answer
        return answer

    def fill(self, size: int) -> None:
        """Put every object that is read."""
        self._call("PUT", "/v1/cluster/set-config?auth.enabled=false", None)
        for line in self._lines(PATHS[0], "PUT", size, self._target.url):
            request = urllib.request.Request(self._target.url + line, os.urandom(size), method="PUT")
            urllib.request.urlopen(request).read()

    def run(self, path: str, method: str, size: int, seconds: int) -> Sample:
        """Let wrk send requests of one path for a while."""
        url = (self._proxy if "gateway" in path else self._target).url
        requests = self._scratch / "requests"
        requests.write_text("".join(f"{line}\n" for line in self._lines(path, method, size, url)))
        is_signed = "signed" in path
        self._call("PUT", f"/v1/cluster/set-config?auth.enabled={str(is_signed).lower()}", None)
        before = cpu_of([self._target.pid]), cpu_of([self._proxy.pid])
        connections = 4 if size == 64 * MIB else 32
        load = Load(method, f"@{requests}", 0, size if method == "PUT" else 0, connections=connections)
        result = finish(start(url, load, seconds, LOAD_CORE))
        count = max(result.requests, 1)
        owner_us, gateway_us = (
            (cpu_of([pid]) - was) / count * 1e6
            for pid, was in zip((self._target.pid, self._proxy.pid), before, strict=True)
        )
        return Sample(result.rate, owner_us + gateway_us, gateway_us, result.errors)

    def _lines(self, path: str, method: str, size: int, url: str) -> list[str]:
        host, count = url.partition("//")[2], COUNTS.get(size, 32)
        names = [f"{size}-{number}" for number in range(count)]
        if "native" in path:
            now_ns = int(datetime.now(UTC).timestamp() * 1e9)
            return [f"/v1/objects/{BUCKET}/{name}?provider=ais&pid=bench&utm={now_ns}" for name in names]
        if "open" in path:
            return [f"/{BUCKET}/{name}" for name in names]
        if "presigned" in path:
            return [self._signer.presigned(method, host, f"/{BUCKET}/{name}") for name in names]
        body = b"0123456789abcdef" * (size // 16) if method == "PUT" else b""
        ages = range(max(1, DISTINCT.get(size, 0) // count))
        return [self._signer.signed(method, host, f"/{BUCKET}/{name}", body, age) for age in ages for name in names]


def main() -> None:
    """Run all paths interleaved; print the table and keep it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=2)
    parser.add_argument("--sizes", default=",".join(map(str, SIZES)))
    parser.add_argument("--methods", default="PUT,GET")
    parser.add_argument("--paths", default="", help="only paths that contain one of these words, besides native")
    parser.add_argument("--dir", type=Path, default=Path.cwd(), help="where the cluster keeps its files")
    arguments = parser.parse_args()
    words = arguments.paths.split(",")
    paths = [path for path in PATHS if path == PATHS[0] or any(word in path for word in words)]
    lines = [
        "| scenario | path | req/s | MB/s | of native | µs CPU | of native | gateway | errors |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    with tempfile.TemporaryDirectory(dir=arguments.dir, prefix=".bench-") as scratch, Bench(Path(scratch)) as bench:
        for size in map(int, arguments.sizes.split(",")):
            bench.fill(size)
            for method in arguments.methods.split(","):
                samples: dict[str, list[Sample]] = {path: [] for path in paths}
                for _ in range(arguments.rounds):
                    for path in paths:
                        samples[path].append(bench.run(path, method, size, arguments.seconds))
                lines += rows(
                    f"{method} {size // MIB} MiB" if size >= MIB else f"{method} {size // KIB} KiB", size, samples
                )
                print("\n".join(lines[-len(paths) :]), flush=True)
    results = Path(__file__).parent.parent / "results"
    results.mkdir(exist_ok=True)
    (results / "s3.md").write_text("\n".join(lines) + "\n")
    print(f"written: {results}/s3.md")


def rows(scenario: str, size: int, samples: dict[str, list[Sample]]) -> list[str]:
    """The table's rows of one scenario: medians, and the median of the rounds' ratios to the native path."""
    native = samples[PATHS[0]]
    found = []
    for path, runs in samples.items():
        rate, cpu_us, gateway_us = (statistics.median(run[index] for run in runs) for index in range(3))
        both = list(zip(runs, native, strict=True))
        ratio = statistics.median(run.rate / (base.rate or 1) for run, base in both)
        cpu_ratio = statistics.median(run.cpu_us / (base.cpu_us or 1) for run, base in both)
        errors = sum(run.errors for run in runs)
        found.append(
            f"| {scenario} | {path} | {rate:,.0f} | {rate * size / 1e6:,.0f} | {ratio:.2f} | {cpu_us:,.1f} |"
            f" {cpu_ratio:.2f} | {gateway_us:,.1f} | {errors} |"
        )
    return found


if __name__ == "__main__":
    main()
