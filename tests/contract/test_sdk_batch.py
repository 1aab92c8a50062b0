"""The SDK's `Batch`: streaming and multipart, ranges, shards, marks, several buckets."""

import io
import tarfile

import pytest
from aistore.sdk import Bucket, Client
from aistore.sdk.errors import AISError
from harness.wire import fresh_name


@pytest.fixture(scope="module")
def filled(client: Client):
    """A bucket of fifty objects and a shard."""
    bucket = client.bucket(fresh_name("sdkbatch")).create()
    for i in range(50):
        bucket.object(f"o{i}").get_writer().put_content(b"%d" % i * 1000)
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        info = tarfile.TarInfo("in.txt")
        info.size = 6
        tar.addfile(info, io.BytesIO(b"inside"))
    bucket.object("s.tar").get_writer().put_content(out.getvalue())
    yield bucket
    bucket.delete()


@pytest.mark.parametrize("output_format", [".tar", ".tgz", ".tar.gz", ".zip"])
@pytest.mark.parametrize("streaming", [True, False])
def test_batch(client: Client, filled: Bucket, output_format: str, streaming: bool):
    """Every object with its metadata, in the order of the request."""
    names = [f"o{i}" for i in range(49, -1, -1)]
    batch = client.batch(names, filled, output_format=output_format, streaming_get=streaming)
    found = [(one.obj_name, content) for one, content in batch.get()]
    assert found == [(name, name[1:].encode() * 1000) for name in names]


@pytest.mark.parametrize("streaming", [True, False])
def test_entries_with_more(client: Client, filled: Bucket, streaming: bool):
    """A file in a shard, a range, a mark, an object that is missing."""
    batch = client.batch(bucket=filled, streaming_get=streaming)
    batch.add("s.tar", archpath="in.txt").add("o7", start=1, length=3).add("o8", opaque=b"mine").add("none")
    found = list(batch.get())
    assert [content for _, content in found] == [b"inside", b"777", b"8" * 1000, b""]
    if not streaming:
        assert found[2][0].opaque == b"mine"
        assert "does not exist" in found[3][0].err_msg


def test_without_continuing(client: Client, filled: Bucket):
    """A missing object is an error at once."""
    with pytest.raises(AISError):
        list(client.batch(["o1", "none"], filled, cont_on_err=False).get())
