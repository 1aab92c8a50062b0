"""What the published SDK offers beyond what tests/contract calls: remote groups, every way to wait for a job, datasets.

`make clients` installs PyTorch and WebDataset, which its dataset classes need.
"""

import io
import json
import tarfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import boto3
import pytest
from aistore.sdk import Bucket, Client
from aistore.sdk.blob_download_config import BlobDownloadConfig
from aistore.sdk.dataset.data_attribute import DataAttribute
from aistore.sdk.dataset.data_shard import DataShard
from aistore.sdk.dataset.dataset_config import DatasetConfig
from aistore.sdk.dataset.label_attribute import LabelAttribute
from aistore.sdk.dsort import DsortFramework
from aistore.sdk.enums import Colocation, FLTPresence
from aistore.sdk.errors import (
    AISError,
    APIRequestError,
    ErrBckNotFound,
    ErrObjNotFound,
    InvalidBckProvider,
    JobInfoNotFound,
)
from aistore.sdk.etl.etl_config import ETLConfig
from aistore.sdk.list_object_flag import ListObjectFlag
from aistore.sdk.multiobj import ObjectRange
from aistore.sdk.xact_const import XACT_KIND_STORE_CLEANUP
from harness.published import content_of, done, filled
from harness.wire import Api, fresh_name, message

from ais.testing import Cluster

NAMES = [f"d/o{number:02d}.txt" for number in range(30)]
REMOTE = "published-sdk"
pytestmark = pytest.mark.filterwarnings("default")


@pytest.fixture(scope="module")
def client(cluster: Cluster) -> Client:
    """At the shared cluster."""
    return Client(cluster.endpoint)


@pytest.fixture
def full(client: Client) -> Iterator[Bucket]:
    """Thirty objects."""
    with filled(client, "whole", NAMES) as bucket:
        yield bucket


@pytest.fixture
def to(client: Client) -> Iterator[Bucket]:
    """A bucket that is not there yet."""
    bucket = client.bucket(fresh_name("to"))
    yield bucket
    bucket.delete(missing_ok=True)


@pytest.fixture
def remote(aws: str) -> Iterator[tuple[Client, Bucket]]:
    """The same at moto, before a cluster that never saw it."""
    origin = boto3.client("s3", endpoint_url=aws)
    origin.create_bucket(Bucket=REMOTE)
    for name in NAMES:
        origin.put_object(Bucket=REMOTE, Key=name, Body=content_of(name))
    with Cluster(1, 2, 1) as cluster:
        body = message("set-config", value={"backend": {"aws": {}}})
        assert Api(cluster.endpoint).call("PUT", "/v1/cluster", body=body).status == 200
        client = Client(cluster.endpoint)
        yield client, client.bucket(REMOTE, "aws")


def _cached(bucket: Bucket) -> list[str]:
    return sorted(entry.name for entry in bucket.list_all_objects(props="name,cached") if entry.is_cached())


def test_remote_buckets(remote: tuple[Client, Bucket]) -> None:
    """Groups are prefetched and evicted, large ones in parts, what is here is copied, a bucket is evicted."""
    client, bucket = remote
    assert bucket.head()["Ais-Bucket-Props"]
    assert bucket.summary(cached=False)["ObjCount"] == {"obj_count_present": "0", "obj_count_remote": str(len(NAMES))}
    group = bucket.objects(obj_range=ObjectRange("d/o", 0, 9, pad_width=2, suffix=".txt"))
    assert list(group.list_names()) == NAMES[:10]
    done(client, group.prefetch(num_workers=2, latest=True, continue_on_error=True))
    assert _cached(bucket) == NAMES[:10]
    copies = client.bucket("copies")
    done(client, bucket.copy(copies, prepend="c/"))
    assert len(copies.list_all_objects()) == len(NAMES)
    done(client, *group.copy(client.bucket("group"), latest=True))
    assert len(client.bucket("group").list_all_objects()) == 10
    done(client, bucket.objects(obj_names=NAMES[:5]).evict())
    assert not set(_cached(bucket)) & set(NAMES[:5])
    done(client, bucket.objects(obj_names=NAMES).prefetch(blob_threshold=1 << 20))
    assert _cached(bucket) == NAMES
    done(client, bucket.objects(obj_names=NAMES).evict())
    job = client.job(bucket.object(NAMES[3]).blob_download(chunk_size=1 << 20, num_workers=2), "blob-download")
    assert job.wait(timeout=60, verbose=False).success
    config = BlobDownloadConfig(chunk_size="1MiB", num_workers="2")
    assert bucket.object(NAMES[29]).get_reader(blob_download_config=config).read_all() == content_of(NAMES[29])
    assert _cached(bucket) == [NAMES[3], NAMES[29]]
    found = bucket.info(flt_presence=FLTPresence.FLT_PRESENT, bsumm_remote=True)[1]["ObjCount"]
    assert found == {"obj_count_present": "2", "obj_count_remote": str(len(NAMES))}
    _inventory(client, bucket)
    bucket.evict(keep_md=True)
    assert _cached(bucket) == []
    bucket.evict()
    with pytest.raises(AISError):
        client.bucket("nowhere", "aws").head()


def _inventory(client: Client, bucket: Bucket) -> None:
    """Made, shown, listed by, with and without its name, and destroyed."""
    uuid = bucket.create_inventory(name="mine", prefix="d/", names_per_chunk=4)
    assert client.job(uuid, "create-inventory").wait(timeout=60, verbose=False).success
    (key, found), *others = bucket.show_inventory().items()
    assert (key, found.name, found.ntotal, others) == (f"aws/@#/{REMOTE}/mine", "mine", len(NAMES), [])
    assert bucket.show_inventory("another") == {}
    for given in ({"inventory_name": "mine"}, {"flags": [ListObjectFlag.NBI]}):
        assert [entry.name for entry in bucket.list_all_objects(props="name,size", **given)] == NAMES
    pages = [entry.name for entry in bucket.list_objects_iter(inventory_name="mine", page_size=7)]
    assert pages == NAMES
    with pytest.raises(AISError):
        bucket.create_inventory()
    bucket.destroy_inventory("mine")
    assert bucket.show_inventory() == {}


def test_buckets(client: Client, full: Bucket, to: Bucket, tmp_path: Path) -> None:
    """What a bucket says of itself and its objects; renamed; what needs ETL or an inventory is refused by class."""
    assert [one.name for one in full.list_all_objects_iter(prefix="d/o0")] == NAMES[:10]
    group = full.objects(obj_names=NAMES[:3])
    assert [one.name for one in group.list_all_objects_iter(prefix="d/")] == group.list_names() == NAMES[:3]
    assert list(full.list_urls())[:3] == list(group.list_urls()) == [full.object(name).get_url() for name in NAMES[:3]]
    url = full.object(NAMES[4]).get_semantic_url()
    assert url == f"ais://{full.name}/{NAMES[4]}"
    assert client.get_object_from_url(url).get_reader().read_all() == content_of(NAMES[4])
    size = sum(len(content_of(name)) for name in NAMES)
    assert int(full.summary()["TotalSize"]["size_all_present_objs"]) == size
    assert full.info()[1]["ObjCount"]["obj_count_present"] == str(len(NAMES))
    assert full.name in full.get_path()
    assert full.as_model().name == full.name
    assert full.object(NAMES[0]).copy(to.create().object("one")).status_code == 200
    assert to.object("one").get_reader().read_all() == content_of(NAMES[0])
    with pytest.raises(ErrObjNotFound):
        full.object("none").get_reader().read_all()
    with pytest.raises(ErrBckNotFound):
        client.bucket("nosuchbucket").list_objects()
    for call in (group.evict, group.prefetch, full.evict, full.verify_cloud_bucket):
        with pytest.raises(InvalidBckProvider):
            call()
    refused: list[Callable[[], object]] = [
        lambda: full.transform("etl", to),
        lambda: full.inspect("etl"),
        lambda: group.transform(to, "etl"),
        lambda: group.inspect("etl"),
        lambda: full.object(NAMES[0]).get_reader(etl=ETLConfig("etl")).read_all(),
        lambda: full.create_inventory("i"),
        lambda: full.object(NAMES[0]).promote("/etc/passwd"),
        lambda: full.object(NAMES[0]).blob_download(),
    ]
    for number, refuse in enumerate(refused):
        with pytest.raises(APIRequestError) as error:
            refuse()
        assert error.value.status_code in (400, 403, 404, 501), (number, error.value)
    assert full.show_inventory() == {}
    full.destroy_inventory("i")
    new = client.bucket(fresh_name("renamed"))
    before = full.name
    done(client, client.bucket(before).rename(new.name))
    assert sorted(entry.name for entry in new.list_all_objects()) == NAMES
    done(client, *new.objects(obj_names=NAMES).copy(full.create()))
    new.delete()
    for name in NAMES[:2]:
        full.object(name).get_writer().append_content(b"more")


def test_jobs(client: Client, full: Bucket, to: Bucket) -> None:
    """Started, waited for in every way, looked up by time, aborted; an unknown one is an error by class."""
    began = datetime.now(UTC) - timedelta(minutes=1)
    job = client.job(full.copy(to))
    assert job.wait(timeout=60).success
    assert job.job_kind == "copy-bck"
    assert not job.status().err
    assert job.wait_single_node(timeout=60).success
    assert client.job(job.job_id).wait_for_idle(timeout=60).success
    snaps = job.get_details().list_snapshots()
    assert {snap.id for snap in snaps} == {job.job_id}
    assert sum(snap.stats.objects for snap in snaps) == len(NAMES)
    assert len(job.get_within_timeframe(began)) == len(snaps)
    assert len(job.get_within_timeframe(began, datetime.now(UTC) + timedelta(minutes=1))) == len(snaps)
    assert job.get_total_time() is not None
    with pytest.raises(JobInfoNotFound):
        job.get_within_timeframe(datetime.now(UTC) + timedelta(days=1))
    for kind in ("lru", XACT_KIND_STORE_CLEANUP):
        uuid = client.job(job_kind=kind).start(force=True, buckets=None if kind == "lru" else [full])
        assert client.job(uuid, kind).wait(timeout=60).success
    [archived] = full.objects(obj_names=NAMES).archive("a.tar", to_bck=to)
    client.job(archived).abort()
    client.job(archived).wait(timeout=60)
    with pytest.raises(AISError):
        client.job("nosuchjob").wait(timeout=5)
    with pytest.raises(ValueError, match="id or kind"):
        client.job().abort()


def test_batches(client: Client, full: Bucket) -> None:
    """Raw, as streams, kept or cleared, colocated; with a mark for what is missing."""
    batch = client.batch(NAMES[:5], full, colocation=Colocation.TARGET_AWARE)
    assert [one.obj_name for one in batch.requests_list] == NAMES[:5]
    with tarfile.open(fileobj=io.BytesIO(batch.get(raw=True, clear_batch=False).read())) as tar:
        assert len(tar.getnames()) == 5
    parts = client.batch(NAMES[:5], full, streaming_get=False)
    found = [content for _, content in parts.get(decode_as_stream=True, clear_batch=False)]
    assert found == [content_of(name) for name in NAMES[:5]]
    batch.add(full.object("none"))
    *_, (missing, content) = batch.get()
    assert (missing.obj_name, content) == ("none", b"")
    assert batch.requests_list == []
    assert batch.add(NAMES[0]).clear().requests_list == []
    with pytest.raises(ValueError, match="byte range"):
        batch.add(NAMES[0], start=-1)


def test_a_data_set_from_files(
    client: Client, full: Bucket, to: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`write_dataset` makes WebDataset shards of files and labels; `Dsort` by a spec of a file makes them anew."""
    pytest.importorskip("webdataset")
    for number in range(20):
        (tmp_path / f"{number}.bin").write_bytes(b"%d" % number)
    config = DatasetConfig(
        primary_attribute=DataAttribute(tmp_path, "image", "bin"),
        secondary_attributes=[LabelAttribute("cls", lambda name: f"label {name}")],
    )
    monkeypatch.chdir(tmp_path)
    to.create().write_dataset(config, pattern="shard", maxcount=8)
    shards = [entry.name for entry in to.list_all_objects()]
    assert len(shards) == 3
    members = [entry.name for shard in shards for entry in to.list_archive(shard)]
    assert sum(name.endswith("image.bin") for name in members) == 20
    spec = tmp_path / "spec.json"
    wanted = {
        "input_bck": {"name": to.name, "provider": "ais"},
        "output_bck": {"name": full.name, "provider": "ais"},
        "input_format": {"template": "shard-{0..2}"},
        "input_extension": ".tar",
        "output_extension": ".tar",
        "output_format": "new-{00..99}",
        "output_shard_size": "10KB",
    }
    spec.write_text(json.dumps(wanted))
    framework = DsortFramework.from_file(spec)
    assert framework.to_spec()["output_shard_size"] == "10KB"
    dsort = client.dsort()
    dsort.start(framework)
    assert dsort.wait(timeout=60).success
    made = [entry.name for entry in full.list_all_objects(prefix="new-")]
    assert sum(len(list(full.list_archive(name))) for name in made) == len(members)
    assert dsort.dsort_id in next(iter(dsort.get_job_info().values())).id


def test_pytorch(client: Client, cluster: Cluster, full: Bucket, to: Bucket) -> None:
    """Map, parallel, iterable and batch datasets, also with workers; shards, streams of shards, and the sampler."""
    pytest.importorskip("torch")
    pytest.importorskip("alive_progress")
    from aistore.pytorch import (
        AISIterDataset,
        AISMapDataset,
        AISMultiShardStream,
        AISParallelMapDataset,
        AISShardReader,
        DynamicBatchSampler,
    )
    from aistore.pytorch.batch_iter_dataset import AISBatchIterDataset
    from torch.utils.data import DataLoader

    wanted = {name: content_of(name) for name in NAMES}
    group = full.objects(obj_names=NAMES[:7])
    mapped = AISMapDataset([full], prefix_map={full: ["d/o0", "d/o1", "d/o2"]})
    assert len(mapped) == len(NAMES)
    assert dict(mapped[index] for index in range(len(mapped))) == wanted
    assert dict(AISMapDataset(group)[index] for index in range(7)) == {name: wanted[name] for name in NAMES[:7]}
    parallel = AISParallelMapDataset(full, num_workers=4)
    for index in range(len(parallel)):
        name, content = parallel[index]
        with content:
            assert bytes(content.buf if hasattr(content, "buf") else content) == wanted[name]
    for workers in (0, 2):
        for dataset in (
            AISIterDataset(full),
            AISIterDataset([group, full.objects(obj_names=NAMES[7:])], partition_sources_by_worker=True),
            AISBatchIterDataset(full, client, max_batch_size=8),
            AISBatchIterDataset(full, client, max_batch_size=7, streaming=False, cont_on_err=True),
        ):
            assert len(dataset) == len(NAMES)
            assert dict(DataLoader(dataset, batch_size=None, num_workers=workers)) == wanted
    sampler = DynamicBatchSampler(mapped, max_batch_size=700, shuffle=True)
    assert sorted(index for batch in sampler for index in batch) == list(range(len(NAMES)))
    loaded = [name for names, _ in DataLoader(mapped, batch_sampler=DynamicBatchSampler(mapped, 700)) for name in names]
    assert loaded == NAMES

    to.create()
    for number in range(3):
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w") as tar:
            for key, kind in ((key, kind) for key in range(4) for kind in ("img", "cls")):
                info = tarfile.TarInfo(f"s{number}k{key}.{kind}")
                content = f"{number} {key} {kind}".encode()
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
        to.object(f"shard-{number}.tar").get_writer().put_content(out.getvalue())
    reader = AISShardReader(to)
    for workers in (0, 2):
        found = dict(DataLoader(reader, batch_size=None, num_workers=workers))
        assert found["s2k3"] == {"img": b"2 3 img", "cls": b"2 3 cls"}
        assert len(found) == 12
    streams = [DataShard(cluster.endpoint, to.name, prefix=f"shard-{number}") for number in (0, 1)]
    first, second = next(iter(AISMultiShardStream(streams)))
    assert {first, second} <= {b"0 0 img", b"0 0 cls", b"1 0 img", b"1 0 cls"}
    assert len(list(AISMultiShardStream(streams))) == 8
