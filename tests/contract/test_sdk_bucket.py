"""The SDK's `Bucket`: life, properties, summaries, rename, uploads of directories."""

import json
from pathlib import Path

import pytest
import requests
from aistore.sdk import Bucket, Client
from aistore.sdk.errors import AISError, ErrBckAlreadyExists, ErrBckNotFound
from aistore.sdk.types import Namespace
from harness.wire import fresh_name


def test_create_twice(bck: Bucket):
    """Creating a bucket that exists is ErrBckAlreadyExists unless that is fine with the caller."""
    with pytest.raises(ErrBckAlreadyExists) as failure:
        bck.create()
    assert failure.value.status_code == 409
    assert bck.create(exist_ok=True) is bck


def test_delete_removes_the_objects_too(client: Client, bck: Bucket):
    """A deleted bucket is gone, and one of the same name created afterwards is empty."""
    bck.object("old").get_writer().put_content(b"old bytes")
    bck.delete()
    with pytest.raises(ErrBckNotFound):
        bck.list_objects()
    bck.create()
    assert bck.list_all_objects() == []
    with pytest.raises(AISError):
        bck.object("old").get_reader().read_all()


def test_delete_missing(client: Client):
    """Deleting a bucket that is not there is ErrBckNotFound unless that is fine with the caller."""
    bucket = client.bucket(fresh_name("nosuch"))
    with pytest.raises(ErrBckNotFound) as failure:
        bucket.delete()
    assert failure.value.status_code == 404
    bucket.delete(missing_ok=True)


def test_head_has_the_properties(bck: Bucket):
    """HEAD of a bucket carries its properties as JSON, numbers-as-strings as AIStore writes them."""
    props = json.loads(bck.head()["Ais-Bucket-Props"])
    assert props["provider"] == "ais"
    assert props["checksum"]["type"] == "xxhash2"
    assert props["versioning"]["enabled"] is True
    assert props["access"] == str(2**64 - 1)
    assert int(props["bid"]) > 0
    assert int(props["created"]) > 0
    assert props["mirror"]["enabled"] is False
    assert props["ec"]["enabled"] is False


def test_head_missing(client: Client):
    """HEAD of a bucket that is not there fails with the status 404."""
    with pytest.raises(AISError) as failure:
        client.bucket(fresh_name("nosuch")).head()
    assert failure.value.status_code == 404


def fill(bck: Bucket, count: int = 12) -> dict[str, bytes]:
    """Objects `a/0`, `b/1`, `a/2` ... of growing size."""
    contents = {f"{'ab'[number % 2]}/{number}": bytes([number]) * (number + 1) for number in range(count)}
    for name, content in contents.items():
        bck.object(name).get_writer().put_content(content)
    return contents


def test_summary_counts_what_is_there(bck: Bucket):
    """Count, total, least, greatest and average size of a bucket and of a prefix."""
    contents = fill(bck)
    for prefix in ("", "a/"):
        sizes = [len(content) for name, content in contents.items() if name.startswith(prefix)]
        summary = bck.summary(prefix=prefix)
        assert summary["name"] == bck.name
        assert summary["provider"] == "ais"
        assert summary["ObjCount"] == {"obj_count_present": str(len(sizes)), "obj_count_remote": "0"}
        assert summary["TotalSize"]["size_all_present_objs"] == str(sum(sizes))
        assert summary["ObjSize"] == {
            "obj_min_size": min(sizes),
            "obj_avg_size": sum(sizes) // len(sizes),
            "obj_max_size": max(sizes),
        }
        assert summary["is_present"] is True
        assert int(summary["TotalSize"]["total_disks_size"]) > 0


def test_summary_of_a_missing_bucket(client: Client):
    """A summary of a bucket that is not there is ErrBckNotFound."""
    with pytest.raises(ErrBckNotFound):
        client.bucket(fresh_name("nosuch")).summary()


def test_info_has_properties_and_summary(bck: Bucket):
    """Bucket.info gives the properties and the summary, and remembers the prefix while it polls without it."""
    contents = fill(bck)
    props, summary = bck.info()
    assert json.loads(props)["checksum"]["type"] == "xxhash2"
    assert summary["ObjCount"]["obj_count_present"] == str(len(contents))
    _, of_prefix = bck.info(prefix="a/")
    sizes = [len(content) for name, content in contents.items() if name.startswith("a/")]
    assert of_prefix["ObjCount"]["obj_count_present"] == str(len(sizes))
    assert of_prefix["TotalSize"]["size_all_present_objs"] == str(sum(sizes))


def test_rename_moves_every_object(client: Client, bck: Bucket):
    """After the rename job the new name has every byte and the old name does not exist."""
    contents = fill(bck, 40)
    old_name = bck.name
    job = client.job(bck.rename(fresh_name("renamed")), "move-bck")
    assert job.wait(timeout=60).success
    assert {entry.name for entry in bck.list_all_objects()} == set(contents)
    for name, content in contents.items():
        assert bck.object(name).get_reader().read_all() == content
    with pytest.raises(ErrBckNotFound):
        client.bucket(old_name).list_objects()
    assert old_name not in {bucket.name for bucket in client.cluster().list_buckets()}


def test_rename_of_a_missing_bucket(client: Client):
    """Renaming what is not there is ErrBckNotFound."""
    with pytest.raises(ErrBckNotFound):
        client.bucket(fresh_name("nosuch")).rename(fresh_name())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A directory with files of several kinds, one of them empty, one in a directory below."""
    for name, size in {"one.txt": 10, "two.bin": 70_000, "empty": 0, "below/three.txt": 333}.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(bytes(range(256)) * (size // 256) + bytes(size % 256))
    return tmp_path


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, {"one.txt", "two.bin", "empty"}),
        ({"recursive": True}, {"one.txt", "two.bin", "empty", "below/three.txt"}),
        ({"recursive": True, "pattern": "*.txt", "prepend": "in/"}, {"in/one.txt", "in/below/three.txt"}),
        ({"recursive": True, "basename": True, "prefix_filter": "t"}, {"two.bin", "three.txt"}),
        ({"dry_run": True}, set()),
    ],
    ids=["flat", "recursive", "pattern-prepend", "basename-prefix", "dry-run"],
)
def test_put_files(bck: Bucket, folder: Path, options: dict, expected: set[str]):
    """put_files stores each chosen file under the expected name with its bytes."""
    put = bck.put_files(folder, **options)
    assert {entry.name for entry in bck.list_all_objects()} == expected
    if not options.get("dry_run"):
        assert set(put) == expected
    files = {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    for name in expected:
        assert bck.object(name).get_reader().read_all() == files[name.rsplit("/", 1)[-1]]


def test_list_urls_can_be_fetched(bck: Bucket):
    """Each URL of list_urls gives the object's bytes to any HTTP client."""
    contents = fill(bck, 3)
    fetched = [requests.get(url, timeout=10).content for url in bck.list_urls()]
    assert sorted(fetched) == sorted(contents.values())


def test_namespaces_keep_buckets_apart(client: Client):
    """Buckets of one name in two namespaces hold objects of their own."""
    name = fresh_name("ns")
    spaces = [None, Namespace(name="left"), Namespace(name="right")]
    buckets = [client.bucket(name, namespace=space).create() for space in spaces]
    try:
        for number, bucket in enumerate(buckets):
            bucket.object("same").get_writer().put_content(b"content %d" % number)
        for number, bucket in enumerate(buckets):
            assert bucket.object("same").get_reader().read_all() == b"content %d" % number
            assert bucket.object("same").get_reader(direct=True).read_all() == b"content %d" % number
            assert [entry.name for entry in bucket.list_all_objects()] == ["same"]
        listed = {(b.name, b.namespace.name) for b in client.cluster().list_buckets() if b.name == name}
        assert listed == {(name, ""), (name, "left"), (name, "right")}
    finally:
        for bucket in buckets:
            bucket.delete(missing_ok=True)
    # AIStore writes `bucket "ais://#left/name"`, which the SDK takes for an object's name: only the status is certain.
    with pytest.raises(AISError) as failure:
        client.bucket(name, namespace=spaces[1]).list_objects()
    assert failure.value.status_code == 404
