"""Arguments of the published SDK that no other test gives: each does what its documentation says.

`test_published_sdk.py` has what needs PyTorch, and that ETL is refused; `Bucket.list_objects(inventory_name)` needs
inventories, which are refused too.
"""

import io
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from aistore.sdk import Bucket, Client
from aistore.sdk.archive_config import ArchiveConfig
from aistore.sdk.dataset.data_attribute import DataAttribute
from aistore.sdk.dataset.dataset_config import DatasetConfig
from aistore.sdk.dataset.label_attribute import LabelAttribute
from aistore.sdk.errors import AISError, ErrObjNotFound, InvalidObjectRangeIndex
from aistore.sdk.multiobj import ObjectRange
from harness.published import content_of, done, filled
from harness.wire import fresh_name

from ais.testing import Cluster

NAMES = [f"d/o{number:02d}.txt" for number in range(20)]
pytestmark = pytest.mark.filterwarnings("default")


@pytest.fixture(scope="module")
def client(cluster: Cluster) -> Client:
    """At the shared cluster."""
    return Client(cluster.endpoint)


@pytest.fixture
def full(client: Client) -> Iterator[Bucket]:
    """Twenty objects."""
    with filled(client, "arguments", NAMES) as bucket:
        yield bucket


@pytest.fixture
def to(client: Client) -> Iterator[Bucket]:
    """An empty bucket."""
    bucket = client.bucket(fresh_name("arguments-to")).create()
    yield bucket
    bucket.delete(missing_ok=True)


def test_archives(client: Client, full: Bucket, to: Bucket) -> None:
    """A name without an extension in a format that is named; the shard itself in its list, with sizes, page by page."""
    group = full.objects(obj_names=NAMES[:5])
    done(client, *group.archive("plain", mime=".tar", to_bck=to))
    with tarfile.open(fileobj=io.BytesIO(to.object("plain").get_reader().read_all())) as tar:
        assert tar.getnames() == NAMES[:5]
    done(client, *full.objects(obj_range=ObjectRange("d/o", 0, 8, pad_width=2, step=2, suffix=".txt")).archive("a.tar"))
    expected = [f"a.tar/{name}" for name in NAMES[0:9:2]]
    listed = full.list_archive("a.tar", include_archive_obj=True, props="name,size", page_size=2)
    assert [one.name for one in listed] == ["a.tar", *expected]
    assert {one.name: one.size for one in listed[1:]} == {f"a.tar/{one}": len(content_of(one)) for one in NAMES[0:9:2]}
    assert [one.name for one in full.list_archive("a.tar", page_size=3)] == expected
    with pytest.raises(AISError):
        full.object(NAMES[0]).get_reader(archive_config=ArchiveConfig(archpath="x")).read_all()
    range_ = ObjectRange.from_string("d/o{00..03..1}.txt")
    assert list(range_) == NAMES[:4]
    with pytest.raises((InvalidObjectRangeIndex, ValueError)):
        ObjectRange("d/o", 5, 1)


def test_batches(client: Client, full: Bucket, to: Bucket) -> None:
    """Names without their bucket, objects of several buckets, small buffers, a compressed archive as it came."""
    to.object("k").get_writer().put_content(b"other")
    batch = client.batch([full.object(name) for name in NAMES[:3]], only_obj_name=True, streaming_get=True)
    batch.add(to.object("k"))
    with tarfile.open(fileobj=io.BytesIO(batch.get(raw=True, clear_batch=False).read())) as tar:
        assert tar.getnames() == [*NAMES[:3], "k"]
    found = [content for _, content in batch.get(tar_buffer_size=1 << 10, clear_batch=False)]
    assert found == [*map(content_of, NAMES[:3]), b"other"]
    full_names = client.batch(NAMES[:2], full, only_obj_name=False, output_format=".tgz")
    with tarfile.open(fileobj=io.BytesIO(full_names.get(raw=True).read())) as tar:
        assert [name.removeprefix(f"{full.name}/") for name in tar.getnames()] == NAMES[:2]
    part = client.batch(bucket=full).add(NAMES[9], start=4, length=-1)
    assert [content for _, content in part.get()] == [content_of(NAMES[9])[4:]]


def test_files(client: Client, full: Bucket, to: Bucket, tmp_path: Path) -> None:
    """Directories are put by pattern; objects are read and written as files, in chunks and in parallel."""
    (tmp_path / "sub").mkdir()
    for name in ("a.txt", "b.bin", "sub/c.txt"):
        (tmp_path / name).write_text(name)
    assert sorted(to.put_files(tmp_path, pattern="*.txt", basename=True, recursive=True)) == ["a.txt", "c.txt"]
    assert to.put_files(tmp_path, prefix_filter="b", prepend="p/") == ["p/b.bin"]
    assert to.put_files(tmp_path, recursive=True, dry_run=True, prepend="none-") != []
    assert sorted(one.name for one in to.list_all_objects()) == ["a.txt", "c.txt", "p/b.bin"]
    whole = content_of(NAMES[19]) * 50
    large = to.object("large")
    with large.get_writer().as_file(mode="w") as out:
        out.write(whole[:1000])
        out.flush()
        out.write(whole[1000:])
    assert large.get_reader(chunk_size=1000).read_all() == whole
    assert b"".join(large.get_reader(chunk_size=777)) == whole
    with large.get_reader(num_workers=3, chunk_size=1000).read_all() as parallel:
        assert bytes(parallel.buf) == whole
    assert large.get_reader(byte_range="bytes=5-104").read_all() == whole[5:105]
    with large.get_reader(chunk_size=512).as_file(buffer_size=64, max_resume=2) as file:
        assert file.read(10) + file.read() == whole
    with large.get_writer().as_file(mode="a") as out:
        out.write(b"end")
    assert large.get_reader().read_all() in (whole + b"end", b"end")
    handle = to.object("parts").get_writer().append_content(b"one ")
    handle = to.object("parts").get_writer().append_content(b"two", handle=handle)
    to.object("parts").get_writer().append_content(b"", handle=handle, flush=True)
    assert to.object("parts").get_reader().read_all() == b"one two"
    large.get_writer().set_custom_props({"k": "v"})
    large.get_writer().set_custom_props({"l": "w"}, replace_existing=True)
    large.head()
    assert large.props.custom_metadata == {"l": "w"}
    upload = to.object("uploaded").multipart_upload().create()
    for number, piece in enumerate((whole[:500], whole[500:]), 1):
        upload.add_part(number).put_content(piece)
    upload.complete()
    assert to.object("uploaded").get_reader().read_all() == whole
    assert full.object(NAMES[1]).copy(to.object("copied"), latest=True).status_code == 200
    with pytest.raises(ErrObjNotFound):
        full.object("none").copy(to.object("copied"))


def test_copies_and_jobs(client: Client, full: Bucket, to: Bucket) -> None:
    """Extensions change on the way, a dry run changes nothing; a job of one target; one that is told of two buckets."""
    done(client, full.copy(to, prefix_filter="d/o0", ext={"txt": "md"}, prepend="n/", num_workers=3, force=True))
    assert sorted(one.name for one in to.list_all_objects()) == [f"n/d/o{number:02d}.md" for number in range(10)]
    done(client, full.copy(to, dry_run=True), *full.objects(obj_names=NAMES).copy(to, dry_run=True, prepend="x"))
    assert len(to.list_all_objects()) == 10
    [copied] = full.objects(obj_names=[*NAMES[:2], "none"]).copy(
        to, prepend="g/", continue_on_error=True, num_workers=2
    )
    client.job(copied).wait(timeout=60, verbose=False)
    assert [one.name for one in to.list_all_objects(prefix="g/")] == [f"g/{name}" for name in NAMES[:2]]
    done(client, full.copy(to, prefix_filter="d/", sync=True))
    target = next(iter(client.cluster().get_info().tmap))
    done(client, client.job(job_kind="resilver").start(daemon_id=target))
    done(client, client.job(job_kind="cleanup-store").start(buckets=[full, to]))
    for kind, count in (("load-lom-cache", len(NAMES)), ("rechunk", 0)):
        job = client.job(client.job(job_kind=kind).start(buckets=[full]))
        assert job.wait(timeout=60, verbose=False).success
        assert sum(snap.stats.objects for snap in job.get_details().list_snapshots()) == count
    assert full.summary(prefix="d/o1")["ObjCount"]["obj_count_present"] == "10"
    pages = list(full.list_objects_iter(prefix="d/", page_size=7, props="name,size", start_after=NAMES[4]))
    assert [one.name for one in pages] == NAMES[5:]
    assert full.list_objects(page_size=3, start_after=NAMES[0]).entries[0].name == NAMES[1]


def test_a_data_set_with_gaps(
    client: Client, full: Bucket, to: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sample that lacks an attribute is left out, or written without it."""
    pytest.importorskip("webdataset")
    for number in range(6):
        (tmp_path / f"{number}.bin").write_bytes(b"%d" % number)
    config = DatasetConfig(
        DataAttribute(tmp_path, "image", "bin"),
        [LabelAttribute("cls", lambda name: None if name == "3" else f"label {name}")],
    )
    monkeypatch.chdir(tmp_path)
    for pattern, skips, count in (("all", False, 11), ("whole", True, 10)):
        to.write_dataset(config, skip_missing=skips, pattern=pattern, maxcount=4)
        shards = [one.name for one in to.list_all_objects(prefix=pattern)]
        assert sum(len(list(to.list_archive(shard))) for shard in shards) == count
