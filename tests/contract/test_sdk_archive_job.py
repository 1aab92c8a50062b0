"""Objects archived into shards by the SDK's `ObjectGroup.archive`: which, under which names, in which format."""

import io
import tarfile
import zipfile

import pytest
from aistore.sdk import Bucket, Client
from aistore.sdk.errors import AISError
from aistore.sdk.multiobj import ObjectRange
from harness.wire import fresh_name

COUNT = 30


@pytest.fixture(scope="module")
def source(client: Client):
    """A bucket of thirty objects."""
    bucket = client.bucket(fresh_name("arch")).create()
    for i in range(COUNT):
        bucket.object(f"o-{i:04}").get_writer().put_content(b"%d" % i * 500)
    yield bucket
    bucket.delete()


def content_of(name: str) -> bytes:
    return b"%d" % int(name.rpartition("-")[2]) * 500


def wait(client: Client, jobs: list[str]) -> None:
    for job in jobs:
        client.job(job, "archive").wait_for_idle(timeout=60)


def read(bucket: Bucket, name: str) -> dict[str, bytes]:
    raw = io.BytesIO(bucket.object(name).get_reader().read_all())
    if name.endswith(".zip"):
        with zipfile.ZipFile(raw) as archive:
            return {one: archive.read(one) for one in archive.namelist()}
    with tarfile.open(fileobj=raw) as tar:
        return {one.name: tar.extractfile(one).read() for one in tar}


@pytest.mark.parametrize("extension", ["tar", "tgz", "zip"])
def test_a_range_into_another_bucket(client: Client, source: Bucket, bck: Bucket, extension: str):
    """Ten of thirty objects, byte for byte."""
    group = source.objects(obj_range=ObjectRange("o-", 0, 9, pad_width=4))
    wait(client, group.archive(f"a.{extension}", to_bck=bck))
    assert read(bck, f"a.{extension}") == {f"o-{i:04}": content_of(f"o-{i}") for i in range(10)}


def test_a_list_with_names_of_the_bucket_then_appended(client: Client, source: Bucket, bck: Bucket):
    """Names with their bucket; a second job adds behind the first."""
    wait(client, source.objects(obj_names=["o-0003", "o-0001"]).archive("b.tar", to_bck=bck, include_source_name=True))
    more = source.objects(obj_names=["o-0007"])
    wait(client, more.archive("b.tar", to_bck=bck, allow_append=True))
    assert list(read(bck, "b.tar")) == [f"{source.name}/o-0003", f"{source.name}/o-0001", "o-0007"]
    assert read(bck, "b.tar")["o-0007"] == content_of("o-7")


def test_a_prefix_takes_all(client: Client, source: Bucket, bck: Bucket):
    """A template without a range is a prefix, over all targets."""
    wait(client, source.objects(obj_template="o-00").archive("p.tar", to_bck=bck))
    assert read(bck, "p.tar") == {f"o-{i:04}": content_of(f"o-{i}") for i in range(COUNT)}


def test_missing_objects(client: Client, source: Bucket, bck: Bucket):
    """One that is missing ends the job and leaves no shard; told to go on, it makes the shard of the others."""
    names = ["o-0001", "none", "o-0002"]
    wait(client, source.objects(obj_names=names).archive("m.tar", to_bck=bck))
    with pytest.raises(AISError):
        bck.object("m.tar").head()
    wait(client, source.objects(obj_names=names).archive("m.tar", to_bck=bck, continue_on_err=True))
    assert list(read(bck, "m.tar")) == ["o-0001", "o-0002"]


def test_bad_requests(client: Client, source: Bucket, bck: Bucket):
    """An unknown extension, a bucket that is not there: nothing is started."""
    group = source.objects(obj_names=["o-0001"])
    with pytest.raises(AISError, match="unknown filename extension"):
        group.archive("x.rar", to_bck=bck)
    with pytest.raises(AISError):
        group.archive("x.tar", to_bck=client.bucket("nosuchbucketatall"))
