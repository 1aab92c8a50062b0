"""AIStore's `aisloader`, unmodified: it puts, gets and verifies against our cluster without an error."""

import json
import os
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from harness.wire import Api

from ais.testing import Cluster

LOADER = os.environ.get("AIS_PEER_LOADER", "")
SMALL = ("-minsize=1K", "-maxsize=1M")

pytestmark = [
    pytest.mark.skipif(not LOADER, reason="AIS_PEER_LOADER names no aisloader"),
    pytest.mark.timeout(300),
]

Run = Callable[..., str]
Load = Callable[..., dict[str, int]]


@pytest.fixture(scope="module")
def loaded() -> Iterator[Cluster]:
    """A cluster whose bucket `loaded` holds sixty objects."""
    with Cluster(proxies=2, targets=3, mountpaths=2) as cluster:
        yield cluster


@pytest.fixture
def run(loaded: Cluster, tmp_path: Path) -> Run:
    """Run the loader without an error; the statistics it wrote."""

    def run(*options: str, endpoint: tuple[str, ...] | None = None) -> str:
        host, _, port = loaded.endpoint.rpartition("/")[2].partition(":")
        where = endpoint or (f"-ip={host}", f"-port={port}")
        stats = tmp_path / "stats.json"
        keys = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "AWS_REGION": "us-east-1"}
        ended = subprocess.run(
            [LOADER, *where, "-quiet", "-numworkers=4", f"-stats-output={stats}", "-cleanup=false", *options],
            env={"HOME": str(tmp_path), "PATH": os.environ["PATH"], **keys},
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        assert ended.returncode == 0, f"{ended.stdout}\n{ended.stderr}"
        assert "rror" not in ended.stderr, ended.stderr
        return stats.read_text()

    return run


@pytest.fixture
def load(run: Run) -> Load:
    """Run the loader; how many puts and gets it made. Whatever it counts as an error fails the test."""

    def load(*options: str, endpoint: tuple[str, ...] | None = None) -> dict[str, int]:
        periods = json.loads(run("-json", *options, endpoint=endpoint))
        assert all(period[kind]["errors"] == 0 for period in periods for kind in ("put", "get")), periods
        return {kind: int(periods[-1][kind]["count"]) for kind in ("put", "get")}

    return load


def test_put_then_get(load: Load) -> None:
    """Puts, then verified gets, mixed reads and writes with updates, ranges, and all gateways in turn."""
    bucket = "-bucket=ais://loaded"
    assert load(bucket, "-pctput=100", "-maxputs=60", "-duration=60s", *SMALL)["put"] >= 60
    assert load(bucket, "-pctput=0", "-duration=2s", "-verifyhash")["get"]
    assert all(load(bucket, "-pctput=30", "-pctupdate=20", "-duration=2s", *SMALL).values())
    assert load(bucket, "-pctput=0", "-readoff=100", "-readlen=200", "-duration=2s")["get"]
    assert load(bucket, "-pctput=0", "-duration=2s", "-randomproxy", "-verifyhash")["get"]


def test_multipart(run: Run, load: Load, loaded: Cluster) -> None:
    """Objects uploaded in chunks are read back whole, unchanged, and in chunks by several connections at once.

    The loader counts neither of the two in its JSON, the second in its table.
    """
    bucket = "-bucket=ais://parts"
    sizes = ("-minsize=4M", "-maxsize=8M")
    chunks = ("-multipart-chunks=4", "-pctmultipart=100")
    load(bucket, "-pctput=100", "-maxputs=10", "-duration=60s", *chunks, *sizes)
    assert len(Api(loaded.endpoint).names("parts")) >= 10
    assert load(bucket, "-pctput=0", "-duration=2s", "-verifyhash")["get"]
    streams = ("-pctmpdstream=100", "-mpdstream-chunk-size=1048576")
    table = run(bucket, "-pctput=0", "-duration=3s", "-statsinterval=1", *streams)
    rows = re.findall(r"GET-MPDSTREAM *(\d+).*\s(\S+)\s*$", table, re.MULTILINE)
    assert rows, table
    assert all(int(count) and errors == "-" for count, errors in rows), table


def test_s3(load: Load, loaded: Cluster) -> None:
    """The same through S3."""
    assert Api(loaded.endpoint).create("s3-loaded").status == 200
    bucket = ("-bucket=s3://s3-loaded", "-s3-use-path-style")
    where = (f"-s3endpoint={loaded.endpoint}",)
    puts = ("-pctput=100", "-maxputs=40", "-duration=60s")
    assert load(*bucket, *puts, *SMALL, endpoint=where)["put"] >= 40
    assert all(load(*bucket, "-pctput=30", "-duration=2s", *SMALL, endpoint=where).values())
