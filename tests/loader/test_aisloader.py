"""`aisloader` against a real cluster: every kind of load does what it says, counts right, and ends."""

import json
import os
import subprocess
import sys

import pytest
from harness.s3access import Access, boto, remove_bucket
from harness.wire import Api, fresh_name


def run(endpoint: str, *flags: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    variables = {**os.environ, "AIS_ENDPOINT": endpoint, **(env or {})}
    command = [sys.executable, "-m", "ais_loader.main", "-quiet", "-statsinterval=1", *flags]
    return subprocess.run(command, capture_output=True, text=True, timeout=100, env=variables)


def totals(done: subprocess.CompletedProcess[str]) -> dict[str, dict]:
    """The totals of a run with `-json`."""
    start, end = done.stdout.index("\n["), done.stdout.rindex("]")
    return json.loads(done.stdout[start : end + 1])[-1]


@pytest.fixture
def bucket(cluster):
    """A bucket's name; whoever used it may have destroyed it."""
    name = fresh_name("load")
    yield name
    Api(cluster.endpoint).act("DELETE", f"/v1/buckets/{name}", "destroy-bck")


@pytest.fixture
def s3_bucket_name(s3: Access):
    """A bucket of alice's."""
    name = fresh_name("load")
    client = boto(s3)
    client.create_bucket(Bucket=name)
    yield name
    remove_bucket(client, name)


def test_puts_then_gets_verified(cluster, bucket: str):
    """So many PUTs as allowed, each of them there; then each read in one epoch, with its checksum."""
    put = run(
        cluster.endpoint, f"-bucket={bucket}", "-pctput=100", "-maxputs=60", "-minsize=1K", "-maxsize=2K", "-json"
    )
    assert put.returncode == 0, put.stderr
    assert totals(put)["put"]["count"] == "60"
    assert 60 << 10 <= int(totals(put)["put"]["bytes"]) <= 120 << 10
    get = run(cluster.endpoint, f"-bucket={bucket}", "-epochs=2", "-verifyhash", "-json", "-cleanup=false")
    assert get.returncode == 0, get.stderr
    assert (totals(get)["get"]["count"], totals(get)["get"]["errors"]) == ("120", 0)
    assert totals(get)["get"]["bytes"] == str(2 * int(totals(put)["put"]["bytes"]))


def test_a_mix_in_two_processes(cluster, bucket: str):
    """PUTs and GETs by several processes, as a table; the bucket is destroyed when told so."""
    flags = (
        "-pctput=50",
        "-pctupdate=20",
        "-duration=2s",
        "-numworkers=4",
        "-processes=2",
        "-minsize=1K",
        "-maxsize=1K",
    )
    done = run(cluster.endpoint, f"-bucket={bucket}", *flags, "-cleanup=true", "-num-subdirs=3", "-subdir=a/b")
    assert done.returncode == 0, done.stderr
    assert "Time      OP    Count                 \tSize (Total)" in done.stdout
    assert "PUT: p50" in done.stdout
    assert Api(cluster.endpoint).call("HEAD", f"/v1/buckets/{bucket}", {"provider": "ais"}).status == 404


def test_parts_ranges_and_batches(cluster, bucket: str):
    """Uploads in parts, ranged reads, get-batch."""
    flags = ("-pctput=100", "-maxputs=6", "-minsize=300K", "-maxsize=300K", "-multipart-chunks=3", "-verifyhash")
    assert run(cluster.endpoint, f"-bucket={bucket}", *flags).returncode == 0
    ranged = run(
        cluster.endpoint, f"-bucket={bucket}", "-epochs=1", "-readoff=1K", "-readlen=2K", "-json", "-cleanup=false"
    )
    assert totals(ranged)["get"]["bytes"] == str(6 * 2048)
    batched = run(cluster.endpoint, f"-bucket={bucket}", "-duration=1s", "-get-batchsize=4", "-json", "-cleanup=false")
    assert batched.returncode == 0, batched.stderr
    assert int(totals(batched)["get_batch"]["count"]) >= 4


def test_an_s3_endpoint(s3: Access, s3_bucket_name: str):
    """Signed requests of version 4, by the credentials of the environment."""
    keys = {"AWS_ACCESS_KEY_ID": s3.key_id, "AWS_SECRET_ACCESS_KEY": s3.secret}
    flags = (f"-s3endpoint={s3.url}", f"-bucket=s3://{s3_bucket_name}", "-pctput=50", "-duration=1s")
    sizes = ("-minsize=1K", "-maxsize=1K", "-json")
    done = run(s3.url, *flags, *sizes, env=keys)
    assert done.returncode == 0, done.stderr
    assert int(totals(done)["get"]["count"]) > 0
    assert run(s3.url, *flags, *sizes, env={**keys, "AWS_SECRET_ACCESS_KEY": "wrong"}).returncode == 1


@pytest.mark.parametrize(
    ("flags", "status", "text"),
    [
        (("-pctput=101",), 2, "-pctput must be from 0 to 100"),
        (("-minsize=2M", "-maxsize=1M"), 2, "-minsize 2M is above -maxsize 1M"),
        (("-duration=x",), 2, "-duration"),
        (("-etl=md5",), 2, "-etl is not served"),
        (("-bprops=[1]",), 2, "-bprops must be a JSON object"),
        (("-bucket=ais://b/o",), 2, "names an object"),
        (("-nosuch",), 2, "unrecognized arguments: -nosuch"),
        (("-bucket=nosuchbucket", "-pctput=0"), 1, "expecting 100% PUT"),
        (("-ip=127.0.0.1", "-port=1", "-pctput=100"), 1, "127.0.0.1:1"),
    ],
)
def test_what_cannot_be_done_is_said(cluster, flags: tuple[str, ...], status: int, text: str):
    """One line that names the flag, and an exit status."""
    done = run(cluster.endpoint, *flags)
    assert (done.returncode, text in done.stderr) == (status, True), done.stderr


def test_loader_ids_and_dry_runs(cluster):
    """The ID that begins names among several loaders; a dry run makes no bucket."""
    assert run(cluster.endpoint, "-getloaderid", "-loaderid=7", "-loadernum=10").stdout == "7\n"
    name = fresh_name("dry")
    assert run(cluster.endpoint, f"-bucket={name}", "-pctput=100", "-dry-run", "-cleanup=true").returncode == 0
    assert Api(cluster.endpoint).call("HEAD", f"/v1/buckets/{name}", {"provider": "ais"}).status == 404
