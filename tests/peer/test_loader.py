"""AIStore's `aisloader`, unmodified: it puts, gets and verifies against our cluster without an error."""

import json
import os
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

Load = Callable[..., dict[str, int]]


@pytest.fixture(scope="module")
def loaded() -> Iterator[Cluster]:
    """A cluster whose bucket `loaded` holds sixty objects."""
    with Cluster(proxies=2, targets=3, mountpaths=2) as cluster:
        yield cluster


@pytest.fixture
def load(loaded: Cluster, tmp_path: Path) -> Load:
    """Run the loader; how many puts and gets it made. Whatever it counts as an error fails the test."""

    def run(*options: str, endpoint: tuple[str, ...] | None = None) -> dict[str, int]:
        host, _, port = loaded.endpoint.rpartition("/")[2].partition(":")
        where = endpoint or (f"-ip={host}", f"-port={port}")
        stats = tmp_path / "stats.json"
        keys = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "AWS_REGION": "us-east-1"}
        ended = subprocess.run(
            [LOADER, *where, "-quiet", "-json", "-numworkers=4", f"-stats-output={stats}", "-cleanup=false", *options],
            env={"HOME": str(tmp_path), "PATH": os.environ["PATH"], **keys},
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        assert ended.returncode == 0, f"{ended.stdout}\n{ended.stderr}"
        assert "rror" not in ended.stderr, ended.stderr
        periods = json.loads(stats.read_text())
        assert all(period[kind]["errors"] == 0 for period in periods for kind in ("put", "get")), ended.stdout
        return {kind: int(periods[-1][kind]["count"]) for kind in ("put", "get")}

    return run


def test_put_then_get(load: Load) -> None:
    """Puts, then verified gets, mixed reads and writes with updates, ranges, and all gateways in turn."""
    bucket = "-bucket=ais://loaded"
    assert load(bucket, "-pctput=100", "-maxputs=60", "-duration=60s", *SMALL)["put"] >= 60
    assert load(bucket, "-pctput=0", "-duration=2s", "-verifyhash")["get"]
    assert all(load(bucket, "-pctput=30", "-pctupdate=20", "-duration=2s", *SMALL).values())
    assert load(bucket, "-pctput=0", "-readoff=100", "-readlen=200", "-duration=2s")["get"]
    assert load(bucket, "-pctput=0", "-duration=2s", "-randomproxy", "-verifyhash")["get"]


def test_multipart(load: Load, loaded: Cluster) -> None:
    """Objects uploaded in chunks are read back in chunks, unchanged."""
    bucket = "-bucket=ais://parts"
    sizes = ("-minsize=4M", "-maxsize=8M")
    chunks = ("-multipart-chunks=4", "-pctmultipart=100")
    load(bucket, "-pctput=100", "-maxputs=10", "-duration=60s", *chunks, *sizes)  # it does not count these in JSON
    assert len(Api(loaded.endpoint).names("parts")) >= 10
    assert load(bucket, "-pctput=0", "-duration=2s", "-verifyhash")["get"]
    assert load(bucket, "-pctput=0", "-duration=2s", "-pctmpdstream=100", "-mpdstream-chunk-size=1048576")["get"]


def test_s3(load: Load, loaded: Cluster) -> None:
    """The same through S3."""
    assert Api(loaded.endpoint).create("s3-loaded").status == 200
    bucket = ("-bucket=s3://s3-loaded", "-s3-use-path-style")
    where = (f"-s3endpoint={loaded.endpoint}",)
    puts = ("-pctput=100", "-maxputs=40", "-duration=60s")
    assert load(*bucket, *puts, *SMALL, endpoint=where)["put"] >= 40
    assert all(load(*bucket, "-pctput=30", "-duration=2s", *SMALL, endpoint=where).values())
