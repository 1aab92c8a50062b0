"""The SDK's `Object`: every way to write and to read, byte for byte; attributes; errors by class."""

import io
import random
import re
from pathlib import Path

import pytest
import xxhash
from aistore.sdk import Bucket, Client
from aistore.sdk.errors import AISError, ErrBckNotFound, ErrObjNotFound
from harness.wire import fresh_name

SIZES = [0, 1, 4095, 4096, 65_536, 65_537, 1_000_003, 5 << 20]


def content_of(size: int) -> bytes:
    """Reproducible bytes that repeat nowhere."""
    return random.Random(size).randbytes(size)


@pytest.fixture(scope="module")
def shared(client: Client):
    """A bucket with one object of 1,000,003 bytes, `big`, that the reading tests leave alone."""
    bucket = client.bucket(fresh_name("reads")).create()
    bucket.object("big").get_writer().put_content(content_of(1_000_003))
    yield bucket
    bucket.delete()


# --- writing


@pytest.mark.parametrize("size", SIZES)
def test_put_content_and_read_all(bck: Bucket, size: int):
    """What was put is read, at sizes around every buffer boundary, with its checksum in the attributes."""
    content = content_of(size)
    response = bck.object("dir/o").get_writer().put_content(content)
    assert response.status_code == 200
    reader = bck.object("dir/o").get_reader()
    assert reader.read_all() == content
    assert bck.object("dir/o").head().size == size
    assert reader.attributes.checksum_type == "xxhash2"
    assert reader.attributes.checksum_value == xxhash.xxh64_hexdigest(content)
    assert reader.attributes.obj_version == "1"


@pytest.mark.parametrize("size", [0, 70_000, 20 << 20])
def test_put_file(bck: Bucket, tmp_path: Path, size: int):
    """A file streamed through the redirect arrives whole."""
    path = tmp_path / "file"
    path.write_bytes(content_of(size))
    bck.object("file").get_writer().put_file(path)
    assert bck.object("file").get_reader().read_all() == path.read_bytes()


def test_overwrite_counts_versions(bck: Bucket):
    """Each overwrite with other bytes adds one to the version; the same bytes again change nothing."""
    obj = bck.object("o")
    for version, content in enumerate([b"one", b"two", b"", b"four"], start=1):
        obj.get_writer().put_content(content)
        assert obj.get_reader().read_all() == content
        assert obj.props.obj_version == str(version)


def test_append_and_flush(bck: Bucket):
    """Appended parts become the object at the flush, and not before."""
    writer = bck.object("appended").get_writer()
    handle = ""
    for part in (b"first,", b"second,", content_of(300_000)):
        handle = writer.append_content(part, handle=handle)
        assert handle
    with pytest.raises(AISError):
        bck.object("appended").head()
    writer.append_content(b"", handle=handle, flush=True)
    assert bck.object("appended").get_reader().read_all() == b"first,second," + content_of(300_000)
    assert bck.object("appended").props.checksum_value == xxhash.xxh64_hexdigest(b"first,second," + content_of(300_000))


def test_append_starts_from_what_exists(bck: Bucket):
    """The first append to an existing object continues its content."""
    obj = bck.object("o")
    obj.get_writer().put_content(b"before")
    handle = obj.get_writer().append_content(b" and after")
    assert obj.get_reader().read_all() == b"before"
    obj.get_writer().append_content(b"", handle=handle, flush=True)
    assert obj.get_reader().read_all() == b"before and after"


def test_file_writer(bck: Bucket):
    """ObjectFileWriter replaces in mode w, continues in mode a, and each flush makes the state readable."""
    obj = bck.object("written")
    obj.get_writer().put_content(b"to be replaced")
    with obj.get_writer().as_file(mode="w") as file:
        assert file.write(b"hello ") == 6
        file.flush()
        assert obj.get_reader().read_all() == b"hello "
        file.write(b"wor")
        file.write(b"ld")
    assert obj.get_reader().read_all() == b"hello world"
    with obj.get_writer().as_file(mode="a") as file:
        file.write(b"!")
    assert obj.get_reader().read_all() == b"hello world!"


# --- reading


@pytest.mark.parametrize("direct", [False, True])
def test_iteration_in_chunks(shared: Bucket, direct: bool):
    """Iterating a reader gives the content in chunks of the size asked for."""
    chunks = list(shared.object("big").get_reader(chunk_size=10_000, direct=direct))
    assert b"".join(chunks) == content_of(1_000_003)
    assert len(chunks) >= 100


def test_raw_stream_and_writer(shared: Bucket):
    """The raw stream and a user-provided writer both receive exactly the content."""
    raw = shared.object("big").get_reader().raw()
    assert raw.read() == content_of(1_000_003)
    raw.release_conn()
    sink = io.BytesIO()
    shared.object("big").get_reader(writer=sink)
    assert sink.getvalue() == content_of(1_000_003)


@pytest.mark.parametrize("direct", [False, True])
@pytest.mark.parametrize(
    ("byte_range", "part"),
    [
        ("bytes=0-0", slice(0, 1)),
        ("bytes=10-99", slice(10, 100)),
        ("bytes=999000-", slice(999_000, None)),
        ("bytes=-500", slice(-500, None)),
        ("bytes=0-", slice(0, None)),
        ("bytes=999990-2000000", slice(999_990, None)),
        ("bytes=-2000000", slice(0, None)),
    ],
)
def test_byte_ranges(shared: Bucket, byte_range: str, part: slice, direct: bool):
    """Each form of a range gives exactly its bytes; an end beyond the object is clipped."""
    reader = shared.object("big").get_reader(byte_range=byte_range, direct=direct)
    assert reader.read_all() == content_of(1_000_003)[part]


def test_range_outside_the_object(shared: Bucket):
    """A range that starts beyond the end is a 416."""
    with pytest.raises(AISError) as failure:
        shared.object("big").get_reader(byte_range="bytes=1000003-").read_all()
    assert failure.value.status_code == 416


def test_as_file(shared: Bucket):
    """The file-like reader reads by pieces and to the end, and can be opened again."""
    content = content_of(1_000_003)
    with shared.object("big").get_reader(chunk_size=4096).as_file() as file:
        assert file.read(10) == content[:10]
        assert file.read(100_000) == content[10:100_010]
        assert file.read() == content[100_010:]
        assert file.read(1) == b""
    with shared.object("big").get_reader(byte_range="bytes=500-1499").as_file() as file:
        assert file.read() == content[500:1500]


def test_broken_stream_is_resumed_where_it_broke(shared: Bucket, breaking_relay):
    """When the stream breaks, the file-like reader goes on from its offset and the bytes fit together."""
    content = content_of(1_000_003)
    with breaking_relay(after_bytes=300_000) as client:
        reader = client.bucket(shared.name).object("big").get_reader(chunk_size=1000, direct=True)
        with reader.as_file() as file:
            assert file.read() == content


# The SDK forks its workers below a process with threads, which newer Pythons warn about.
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("chunk_size", [None, 65_536])
def test_parallel_download(shared: Bucket, chunk_size: int | None):
    """Parallel range reads put the object together, as a whole and as an ordered stream."""
    content = content_of(1_000_003)
    with shared.object("big").get_reader(num_workers=3, chunk_size=chunk_size).read_all() as buffer:
        assert buffer.tobytes() == content
    assert b"".join(shared.object("big").get_reader(num_workers=3, chunk_size=chunk_size)) == content


def test_parallel_download_of_an_empty_object(bck: Bucket):
    """An empty object is announced as empty, so that the SDK refuses it itself."""
    bck.object("empty").get_writer().put_content(b"")
    with pytest.raises(ValueError, match="non-empty"):
        bck.object("empty").get_reader(num_workers=2)


def test_direct_reads_agree_with_placement(client: Client, bck: Bucket):
    """The target the SDK computes is the target that has the object, for every name; direct reads give its bytes."""
    smap = client.cluster().get_info()
    for name in [f"shard-{number:04}.tar" for number in range(25)] + ["dir/ünï/日本", "a b+c%d"]:
        obj = bck.object(name)
        obj.get_writer().put_content(name.encode())
        owner = smap.get_target_for_object(obj.uname)
        assert re.match(r"t\[(.+?)\]", obj.props.location).group(1) == owner.daemon_id
        assert obj.get_reader(direct=True).read_all() == name.encode()


# --- attributes


def test_head_has_name_and_size_by_default(bck: Bucket):
    """head() without props gives size and presence."""
    bck.object("o").get_writer().put_content(b"12345")
    attributes = bck.object("o").head()
    assert attributes.size == 5
    assert attributes.present is True
    assert attributes.name == "o"
    assert attributes.bucket_name == bck.name
    assert attributes.checksum_value == ""


def test_head_with_every_property(bck: Bucket, cluster):
    """Every property that can be asked for is there and true."""
    obj = bck.object("o")
    obj.get_writer().put_content(b"12345")
    attributes = obj.head("name,size,version,checksum,atime,location,copies,ec,custom,chunked,last-modified,etag")
    assert attributes.checksum_type == "xxhash2"
    assert attributes.checksum_value == xxhash.xxh64_hexdigest(b"12345")
    assert attributes.obj_version == "1"
    assert attributes.custom_metadata == {}
    assert attributes.mirror_copies == 1
    assert len(attributes.mirror_paths) == 1
    mountpaths = {str(path) for node in cluster.targets for path in node.mountpaths}
    assert attributes.mirror_paths[0] in mountpaths
    assert re.match(r"t\[.+\]:", attributes.location)
    assert attributes.last_modified.endswith(" GMT")
    assert attributes.ec is None
    assert attributes.chunks is None
    assert attributes.etag


def test_unknown_property(bck: Bucket):
    """A property nobody has is a 400."""
    bck.object("o").get_writer().put_content(b"1")
    with pytest.raises(AISError) as failure:
        bck.object("o").head("name,nonsense")
    assert failure.value.status_code == 400


def test_custom_props_merge_and_replace(bck: Bucket):
    """Custom properties are merged by default and replaced on request; the content and version stay."""
    obj = bck.object("o")
    obj.get_writer().put_content(b"content")
    obj.get_writer().set_custom_props({"k1": "v1", "k2": "v2"})
    assert obj.props.custom_metadata == {"k1": "v1", "k2": "v2"}
    obj.get_writer().set_custom_props({"k2": "other", "k3": "v=3"})
    assert obj.props.custom_metadata == {"k1": "v1", "k2": "other", "k3": "v=3"}
    obj.get_writer().set_custom_props({"only": "this"}, replace_existing=True)
    assert obj.props.custom_metadata == {"only": "this"}
    assert obj.get_reader().read_all() == b"content"
    assert obj.props.obj_version == "1"


# --- copy, delete, promote


def test_copy_within_and_between_buckets(client: Client, bck: Bucket):
    """A copy has the bytes and the checksum of its source, in the same and in another bucket; the source stays."""
    source = bck.object("src/o")
    source.get_writer().put_content(content_of(100_000))
    other = client.bucket(fresh_name("dst")).create()
    try:
        for destination in (bck.object("copy/of/o"), other.object("o"), *(bck.object(f"c{n}") for n in range(6))):
            source.copy(destination)
            assert destination.get_reader().read_all() == content_of(100_000)
            assert destination.props.checksum_value == source.props.checksum_value
    finally:
        other.delete()
    assert source.get_reader().read_all() == content_of(100_000)


def test_copy_of_a_missing_object(bck: Bucket):
    """Copying what is not there is ErrObjNotFound and makes nothing."""
    with pytest.raises(ErrObjNotFound):
        bck.object("nosuch").copy(bck.object("copy"))
    assert bck.list_all_objects() == []


def test_delete(bck: Bucket):
    """A deleted object is gone for readers and listings, and deleting it again is ErrObjNotFound."""
    obj = bck.object("dir/o")
    obj.get_writer().put_content(b"x")
    assert obj.delete().status_code == 200
    with pytest.raises(ErrObjNotFound):
        obj.get_reader().read_all()
    with pytest.raises(ErrObjNotFound):
        obj.delete()
    assert bck.list_all_objects() == []


@pytest.mark.parametrize(
    ("path", "status"), [("relative/path", 400), ("/etc/hostname", 400), ("/var/lib/ais/promote/nosuch", 404)]
)
def test_promote_of_what_may_not_be(bck: Bucket, path: str, status: int):
    """An error that says so (and is not retried for minutes), and makes nothing."""
    with pytest.raises(AISError) as failure:
        bck.object("promoted").promote(path)
    assert failure.value.status_code == status
    assert bck.list_all_objects() == []


# --- errors by class


def test_missing_object(bck: Bucket):
    """Reading what is not there is ErrObjNotFound; HEAD is an error with the status 404 (it has no body)."""
    for direct in (False, True):
        with pytest.raises(ErrObjNotFound):
            bck.object("nosuch").get_reader(direct=direct).read_all()
    with pytest.raises(AISError) as failure:
        bck.object("nosuch").head()
    assert failure.value.status_code == 404
    with pytest.raises(ErrObjNotFound):
        bck.object("nosuch").get_writer().set_custom_props({"k": "v"})


def test_missing_bucket(client: Client):
    """Every operation on an object of a bucket that is not there is ErrBckNotFound."""
    bucket = client.bucket(fresh_name("nosuch"))
    with pytest.raises(ErrBckNotFound):
        bucket.object("o").get_reader().read_all()
    with pytest.raises(ErrBckNotFound):
        bucket.object("o").get_reader(direct=True).read_all()
    with pytest.raises(ErrBckNotFound):
        bucket.object("o").get_writer().put_content(b"x")
    with pytest.raises(ErrBckNotFound):
        bucket.object("o").delete()


def test_copy_into_a_missing_bucket(client: Client, bck: Bucket):
    """A copy into a bucket that is not there is ErrBckNotFound."""
    bck.object("o").get_writer().put_content(b"x")
    with pytest.raises(ErrBckNotFound):
        bck.object("o").copy(client.bucket(fresh_name("nosuch")).object("o"))


def test_flush_without_a_handle(bck: Bucket):
    """A flush that names no handle is a 400."""
    with pytest.raises(AISError) as failure:
        bck.object("o").get_writer().append_content(b"", flush=True)
    assert failure.value.status_code == 400
