"""The SDK's `MultipartUpload`, against a live cluster."""

import random

import pytest
from aistore.sdk import Bucket
from aistore.sdk.errors import AISError


def test_parts_in_any_order(bck: Bucket):
    """Parts that arrive out of order read back as one object, whole and by range."""
    parts = {number: random.Random(number).randbytes(300_000) for number in range(1, 5)}
    upload = bck.object("dir/parts").multipart_upload().create()
    for number in (3, 1, 4, 2):
        upload.add_part(number).put_content(parts[number])
    assert upload.complete().status_code == 200
    content = b"".join(parts[number] for number in sorted(parts))
    reader = bck.object("dir/parts").get_reader()
    assert reader.read_all() == content
    assert bck.object("dir/parts").get_reader(byte_range="bytes=299990-300009").read_all() == content[299990:300010]
    assert bck.object("dir/parts").head("chunked").chunks.max_chunk_size == 300_000


def test_a_part_written_as_a_file(bck: Bucket):
    """Each write goes to the part, after those before it, and not to the object, which stays as it is until the end."""
    obj = bck.object("filed")
    obj.get_writer().put_content(b"before")
    upload = obj.multipart_upload().create()
    writer = upload.add_part(1).as_file()
    writer.write(b"one, ")
    writer.write(b"two, ")
    with upload.add_part(2).as_file() as other:
        other.write(b"three")
    assert obj.get_reader().read_all() == b"before"
    assert upload.complete().status_code == 200
    assert obj.get_reader().read_all() == b"one, two, three"


def test_abort(bck: Bucket):
    """After an abort there is neither an object nor an upload."""
    upload = bck.object("gone").multipart_upload().create()
    upload.add_part(1).put_content(b"x")
    assert upload.abort().status_code == 200
    with pytest.raises(AISError):
        upload.complete()
    assert [entry.name for entry in bck.list_all_objects()] == []
