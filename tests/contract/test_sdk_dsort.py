"""Shards sorted, shuffled and resharded by the SDK's `Dsort` and by hand: what comes out, and what is refused."""

import io
import itertools
import json
import tarfile
import zipfile
from pathlib import Path

import pytest
from aistore.sdk import Bucket, Client
from aistore.sdk.dsort import DsortAlgorithm, DsortFramework, DsortShardsGroup, ExternalKeyMap
from aistore.sdk.errors import AISError
from aistore.sdk.multiobj import ObjectNames, ObjectRange
from harness.wire import fresh_name

from ais.testing import Cluster

SHARDS, RECORDS = 6, 10


def content_of(record: int, extension: str) -> bytes:
    return str(1000 - record).encode() if extension == ".cls" else f"{record}{extension}".encode() * 50


def shard_of(number: int, kind: str = "tar") -> bytes:
    """Ten records of two files each; numbers are spread over the shards."""
    raw = io.BytesIO()
    members = [
        (f"r{record:03}{extension}", content_of(record, extension))
        for record in range(number, SHARDS * RECORDS, SHARDS)
        for extension in (".jpg", ".cls")
    ]
    if kind == "zip":
        with zipfile.ZipFile(raw, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in members:
                archive.writestr(name, content)
        return raw.getvalue()
    with tarfile.open(fileobj=raw, mode="w:gz" if kind == "tgz" else "w") as tar:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return raw.getvalue()


def fill(bucket: Bucket, kind: str = "tar") -> None:
    for number in range(SHARDS):
        bucket.object(f"shard-{number}.{kind}").get_writer().put_content(shard_of(number, kind))


@pytest.fixture(scope="module")
def source(client: Client):
    """A bucket of six shards."""
    bucket = client.bucket(fresh_name("dsin")).create()
    fill(bucket)
    yield bucket
    bucket.delete()


def run(client: Client, source: Bucket, to: Bucket, algorithm: DsortAlgorithm | None = None, **kwargs):
    """Sort and wait; the result and the job."""
    framework = DsortFramework(
        DsortShardsGroup(source.as_model(), "input", ObjectRange("shard-", 0, SHARDS - 1), kwargs.pop("input", ".tar")),
        DsortShardsGroup(
            to.as_model(), "output", ObjectRange("new-", 0, 99, pad_width=2), kwargs.pop("output", ".tar")
        ),
        algorithm=algorithm,
        output_shard_size=kwargs.pop("size", "4KiB"),
        description="a test",
    )
    job = client.dsort()
    job.start(framework)
    return job.wait(timeout=60, verbose=False), job


def members_of(bucket: Bucket) -> list[tuple[str, str, bytes]]:
    """Shard, name and content of everything, in order."""
    found = []
    for name in sorted(one.name for one in bucket.list_all_objects()):
        raw = io.BytesIO(bucket.object(name).get_reader().read_all())
        if name.endswith(".zip"):
            with zipfile.ZipFile(raw) as archive:
                found += [(name, one, archive.read(one)) for one in archive.namelist()]
        elif not name.endswith(".json"):
            with tarfile.open(fileobj=raw) as tar:
                found += [(name, one.name, tar.extractfile(one).read()) for one in tar]
    return found


def records_of(bucket: Bucket) -> list[int]:
    """The records in their order, once their files are proven to be whole."""
    members = members_of(bucket)
    order = list(dict.fromkeys(int(name[1:4]) for _, name, _ in members))
    assert [(name, content) for _, name, content in members] == [
        (f"r{record:03}{extension}", content_of(record, extension))
        for record in order
        for extension in (".jpg", ".cls")
    ]
    return order


@pytest.mark.parametrize(("kind", "to"), [("tar", "tar"), ("tgz", "zip"), ("zip", "tar.lz4")])
def test_sorted_by_name(client: Client, bck: Bucket, kind: str, to: str):
    """All records in the order of their names, in shards that hold at least the size, whatever the formats."""
    source = client.bucket(fresh_name("dsk")).create()
    try:
        fill(source, kind)
        result, job = run(client, source, bck, input=f".{kind}", output=f".{to}")
        assert result.success, result
        infos = job.get_job_info().values()
        assert sum(int(one.objects) for one in infos) == SHARDS
        created = sum(int(one.metrics.shard_creation.created_count) for one in infos)
        assert created == len(bck.list_all_objects()) > 1
        if to != "tar.lz4":
            assert records_of(bck) == list(range(SHARDS * RECORDS))
        else:
            name = f"new-00.{to}"
            assert bck.object(name).get_reader(archive_config=None).read_all()[:4] == b"\x04\x22\x4d\x18"
            assert len(bck.list_archive(name)) > 2
    finally:
        source.delete()


def test_orders(client: Client, cluster: Cluster, source: Bucket):
    """Decreasing, by the content of a file, and shuffled: the same seed gives the same order, another one another."""
    count = SHARDS * RECORDS
    orders = []
    gateways = itertools.cycle([Client(one.url) for one in cluster.proxies])
    for algorithm in (
        DsortAlgorithm(decreasing=True),
        DsortAlgorithm(kind="content", extension=".cls", content_key_type="int"),
        DsortAlgorithm(kind="shuffle", seed="7"),
        DsortAlgorithm(kind="shuffle", seed="7"),
        DsortAlgorithm(kind="shuffle", seed="8"),
    ):
        to = client.bucket(fresh_name("dso"))  # made by the job, also where a gateway asks the primary
        result, _ = run(next(gateways), source, to, algorithm)
        assert result.success, result
        orders.append(records_of(to))
        to.delete()
    assert orders[0] == orders[1] == list(range(count))[::-1]
    assert orders[2] == orders[3] != orders[4]
    assert sorted(orders[2]) == sorted(orders[4]) == list(range(count))


def test_external_key_map(client: Client, source: Bucket, bck: Bucket):
    """Records go where an expression on their names says; the map is an object of this cluster."""
    keys = ExternalKeyMap()
    keys["even-{00..20}.tar"] = ObjectNames([r"r\d\d[02468]\.jpg"])
    keys["odd-%03d.tar"] = ObjectNames([r"r\d\d[13579]\.jpg"])
    job = client.dsort()
    job.start(
        DsortFramework(
            DsortShardsGroup(source.as_model(), "input", ObjectRange("shard-", 0, SHARDS - 1), ".tar"),
            DsortShardsGroup(bck.as_model(), "output", keys, ".tar"),
            output_shard_size="8KiB",
        )
    )
    result = job.wait(timeout=60, verbose=False)
    source.object("ekm-file.json").delete()
    assert result.success, result
    members = members_of(bck)
    assert {int(name[1:4]) % 2 for shard, name, _ in members if shard.startswith("even-")} == {0}
    assert {int(name[1:4]) % 2 for shard, name, _ in members if shard.startswith("odd-")} == {1}
    assert len(members) == 2 * SHARDS * RECORDS


def spec_of(source: Bucket, to: Bucket, tmp_path: Path, **changes) -> Path:
    value = {
        "input_bck": {"name": source.name},
        "output_bck": {"name": to.name},
        "input_format": {"template": f"shard-{{0..{SHARDS - 1}}}.tar"},
        "output_format": "x-{00..99}.tar",
        "output_shard_size": "4KiB",
    }
    path = tmp_path / "spec.json"
    path.write_text(json.dumps(value | changes))
    return path


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"output_format": "x-{0..1}"}, "names 2 shards, and more are needed"),
        ({"output_bck": {}, "output_format": "shard-{0..9}"}, "is one of the shards to sort"),
        ({"algorithm": {"kind": "content", "extension": ".none", "content_key_type": "int"}}, "no file .none"),
        (
            {"input_format": {"template": "shard-{0..9}"}, "config": {"missing_shards": "abort"}},
            "missing_shards is abort",
        ),
    ],
)
def test_failures(client: Client, source: Bucket, bck: Bucket, tmp_path: Path, changes: dict, says: str):
    """What cannot be done ends the sort on all targets, with the reason, and makes nothing."""
    job = client.dsort()
    job.start(spec_of(source, bck, tmp_path, **changes))
    result = job.wait(timeout=60, verbose=False)
    assert not result.success
    assert says in result.error
    assert bck.list_all_objects() == []
    assert len(source.list_all_objects()) == SHARDS


@pytest.mark.parametrize(
    "changes",
    [
        {"input_bck": {"name": "nosuchbucketatall"}},
        {"output_bck": {"name": "nosuchbucketatall"}, "dry_run": True},
        {"output_shard_size": "many"},
        {"output_format": "x"},
        {"output_format": "x-%d", "output_shard_size": ""},
        {"input_extension": ".rar"},
        {"output_extension": ".zip"},
        {"algorithm": {"kind": "quick"}},
        {"algorithm": {"seed": "-1"}},
        {"algorithm": {"kind": "content", "extension": "cls", "content_key_type": "int"}},
        {"algorithm": {"kind": "content", "extension": ".cls", "content_key_type": "date"}},
        {"max_mem_usage": "200%"},
        {"create_concurrency_max_limit": -1},
        {"dsorter_type": "x"},
        {"ekm_file": "file:///etc/passwd", "output_format": ""},
        {"ekm_file": "http://127.0.0.1:1/x"},
        {"no_such_thing": 1},
        {"config": {"missing_shards": "panic"}},
    ],
)
def test_bad_requests(client: Client, source: Bucket, bck: Bucket, tmp_path: Path, changes: dict):
    """Refused before anything starts."""
    with pytest.raises(AISError) as refused:
        client.dsort().start(spec_of(source, bck, tmp_path, **changes))
    assert refused.value.status_code in (400, 404)


def test_key_map_of_a_private_server(client: Client, source: Bucket, bck: Bucket, tmp_path: Path):
    """An address that only the cluster can reach is not asked."""
    job = client.dsort()
    job.start(spec_of(source, bck, tmp_path, output_format="", ekm_file="http://127.0.0.1:1/keys.json"))
    result = job.wait(timeout=60, verbose=False)
    assert not result.success
    assert "egress blocked: 127.0.0.1" in result.error


def test_dry_run(client: Client, source: Bucket, bck: Bucket, tmp_path: Path):
    """Says how many shards it would make."""
    job = client.dsort()
    job.start(spec_of(source, bck, tmp_path, dry_run=True, max_mem_usage="1"))
    assert job.wait(timeout=60, verbose=False).success
    infos = job.get_job_info().values()
    assert sum(int(one.metrics.shard_creation.to_create) for one in infos) > 1
    assert bck.list_all_objects() == []
