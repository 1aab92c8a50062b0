"""What encryption at rest costs: GET and PUT over S3, plain and under SSE-S3, in turn, at the owner of the object.

Raw sockets, and boto3, which is what a user of it sees. `python bench/macro/sealed.py [BYTES [ROUNDS]]`.
"""

import http.client
import os
import sys
import time
import urllib.parse
from collections.abc import Callable

import boto3
from botocore import UNSIGNED
from botocore.config import Config

from ais.testing import Cluster

BUCKET = "bench"
SSE = {"x-amz-server-side-encryption": "AES256"}


def compare(name: str, plain: Callable[[], object], sealed: Callable[[], object], rounds: int) -> None:
    """Print the best and the median of both."""
    taken: tuple[list[float], list[float]] = ([], [])
    for _ in range(rounds):
        for step, times in zip((plain, sealed), taken, strict=True):
            started_s = time.perf_counter()
            step()
            times.append((time.perf_counter() - started_s) * 1e3)
    (best, median), (sealed_best, sealed_median) = ((min(one), sorted(one)[rounds // 2]) for one in taken)
    print(
        f"{name}: plain {best:.2f} (median {median:.2f}) ms, encrypted {sealed_best:.2f} ({sealed_median:.2f}) ms,"
        f" ratio {sealed_best / best:.2f} ({sealed_median / median:.2f})",
        flush=True,
    )


def main(size: int = 1 << 20, rounds: int = 150) -> None:
    """Start a cluster and measure."""
    data, into = os.urandom(size), memoryview(bytearray(size))
    with Cluster(proxies=1, targets=1, mountpaths=1) as cluster:
        url = cluster.targets[0].url
        style = Config(signature_version=UNSIGNED, s3={"addressing_style": "path"})
        s3 = boto3.client("s3", endpoint_url=url, region_name="us-east-1", config=style)
        raw = http.client.HTTPConnection(urllib.parse.urlsplit(url).netloc)
        s3.create_bucket(Bucket=BUCKET)

        def put(key: str, headers: dict[str, str]) -> None:
            raw.request("PUT", f"/s3/{BUCKET}/{key}", data, headers)
            answer = raw.getresponse()
            answer.read()
            assert answer.status == 200, answer.status

        def get(key: str) -> None:
            raw.request("GET", f"/s3/{BUCKET}/{key}")
            answer, at = raw.getresponse(), 0
            while count := answer.readinto(into[at:]):
                at += count
            assert at == size

        def boto_get(key: str) -> None:
            assert len(s3.get_object(Bucket=BUCKET, Key=key)["Body"].read()) == size

        def boto_put(key: str, **more: str) -> None:
            s3.put_object(Bucket=BUCKET, Key=key, Body=data, **more)

        compare("raw PUT", lambda: put("plain", {}), lambda: put("sealed", SSE), rounds)
        compare("raw GET", lambda: get("plain"), lambda: get("sealed"), rounds)
        sealed = {"ServerSideEncryption": "AES256"}
        compare("boto3 PUT", lambda: boto_put("plain"), lambda: boto_put("sealed", **sealed), rounds)
        compare("boto3 GET", lambda: boto_get("plain"), lambda: boto_get("sealed"), rounds)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
