"""One object, two APIs: what S3 clients store, AIStore's SDK and REST show, and the other way round."""

import hashlib
import random
from typing import Any

import pytest
from aistore.sdk import Bucket, Client
from harness.s3access import Access, boto
from harness.s3raw import call
from harness.wire import Api, object_path

from ais.testing import Cluster

MIB = 1 << 20
CONTENT = bytes(range(256)) * 40
CONTENT_HEADERS = {
    "ContentType": "text/x-thing; charset=utf-8",
    "CacheControl": "max-age=5",
    "ContentDisposition": 'attachment; filename="a b"',
    "ContentEncoding": "gzip",
    "ContentLanguage": "de",
    "Expires": "Wed, 21 Oct 2065 07:28:00 GMT",
}
METADATA = {"color": "red", "with-dash": "a=b; c"}


@pytest.fixture(scope="module")
def s3(cluster: Cluster) -> Access:
    """A cluster in which nobody has to say who they are: the SDK signs nothing."""
    return Access(cluster.endpoint, "any", "anysecret")


@pytest.fixture
def native(s3: Access, s3_bucket: str) -> Bucket:
    """The S3 bucket as AIStore's SDK sees it."""
    return Client(s3.url).bucket(s3_bucket)


def shown(answer: dict[str, Any]) -> dict[str, Any]:
    """Of a boto3 answer, what was given with the object."""
    names = [*CONTENT_HEADERS, "Metadata", "ETag", "ContentLength"]
    return {name: answer.get("ExpiresString" if name == "Expires" else name) for name in names}


def test_s3_put_seen_natively(s3: Access, native: Bucket) -> None:
    """Bytes, entity tag, size, type and user metadata of an S3 PUT are there in a native HEAD and GET."""
    put = boto(s3).put_object(Bucket=native.name, Key="dir/o", Body=CONTENT, Metadata=METADATA, **CONTENT_HEADERS)
    reader = native.object("dir/o").get_reader()
    assert reader.read_all() == CONTENT
    attributes = native.object("dir/o").head("size,custom,etag,checksum,version")
    assert attributes.size == len(CONTENT)
    assert attributes.custom_metadata == {f"x-amz-meta-{name}": value for name, value in METADATA.items()}
    assert attributes.etag.strip('"') == put["ETag"].strip('"') == hashlib.md5(CONTENT).hexdigest()
    answer = Api(s3.url).get(native.name, "dir/o")
    assert answer.header("Content-Type") == CONTENT_HEADERS["ContentType"]
    assert answer.header("ETag") == put["ETag"].strip('"')


def test_s3_bucket_seen_natively(s3: Access, native: Bucket) -> None:
    """A bucket made over S3 is `ais://name`; what is in it is listed natively, and what is put natively over S3."""
    client = boto(s3)
    assert native.name in [bucket.name for bucket in Client(s3.url).cluster().list_buckets("ais")]
    client.put_object(Bucket=native.name, Key="by-s3", Body=b"1")
    native.object("by-sdk").get_writer().put_content(b"22")
    assert {entry.name: entry.size for entry in native.list_all_objects()} == {"by-s3": 1, "by-sdk": 2}
    listed = client.list_objects_v2(Bucket=native.name)["Contents"]
    assert {entry["Key"]: entry["Size"] for entry in listed} == {"by-s3": 1, "by-sdk": 2}


def test_native_bucket_seen_over_s3(s3: Access) -> None:
    """A bucket made natively is an S3 bucket: listed, read, written and removed."""
    client, native = boto(s3), Client(s3.url).bucket("made-natively").create()
    native.object("o").get_writer().put_content(CONTENT)
    assert native.name in [bucket["Name"] for bucket in client.list_buckets()["Buckets"]]
    assert client.get_object(Bucket=native.name, Key="o")["Body"].read() == CONTENT
    client.delete_object(Bucket=native.name, Key="o")
    client.delete_bucket(Bucket=native.name)
    assert native.name not in [bucket.name for bucket in Client(s3.url).cluster().list_buckets("ais")]


def test_native_put_seen_over_s3(s3: Access, native: Bucket) -> None:
    """A native object has over S3 its bytes, an entity tag that changes with them, and user metadata set natively."""
    writer = native.object("o").get_writer()
    writer.put_content(CONTENT)
    writer.set_custom_props({"x-amz-meta-color": "blue", "internal": "not for S3"})
    client = boto(s3)
    got = client.get_object(Bucket=native.name, Key="o")
    head = client.head_object(Bucket=native.name, Key="o")
    assert got["Body"].read() == CONTENT
    assert got["Metadata"] == head["Metadata"] == {"color": "blue"}
    assert got["ETag"] == head["ETag"] == client.list_objects_v2(Bucket=native.name)["Contents"][0]["ETag"]
    assert client.get_object(Bucket=native.name, Key="o", IfMatch=got["ETag"])["Body"].read() == CONTENT
    writer.put_content(CONTENT[::-1])
    assert client.head_object(Bucket=native.name, Key="o")["ETag"] != got["ETag"]


def test_native_put_over_an_s3_object(s3: Access, native: Bucket) -> None:
    """What S3 knew of the old bytes (entity tag, checksum, type, tags) is not said of the new ones."""
    client = boto(s3)
    old = client.put_object(
        Bucket=native.name, Key="o", Body=CONTENT, ChecksumAlgorithm="SHA256", Tagging="a=1", **CONTENT_HEADERS
    )
    native.object("o").get_writer().put_content(b"new")
    head = client.head_object(Bucket=native.name, Key="o", ChecksumMode="ENABLED")
    assert head["ETag"] != old["ETag"]
    assert "ChecksumSHA256" not in head
    assert "ContentEncoding" not in head
    assert client.get_object_tagging(Bucket=native.name, Key="o")["TagSet"] == []
    assert client.get_object(Bucket=native.name, Key="o")["Body"].read() == b"new"


def test_native_append_to_an_s3_object(s3: Access, native: Bucket) -> None:
    """An appended object has another entity tag and no checksum of what it was."""
    client = boto(s3)
    old = client.put_object(Bucket=native.name, Key="o", Body=CONTENT, ChecksumAlgorithm="CRC32C")
    writer = native.object("o").get_writer()
    writer.append_content(b"", handle=(handle := writer.append_content(b"more")), flush=True)
    assert handle
    head = client.head_object(Bucket=native.name, Key="o", ChecksumMode="ENABLED")
    assert head["ETag"] != old["ETag"]
    assert "ChecksumCRC32C" not in head
    assert client.get_object(Bucket=native.name, Key="o")["Body"].read() == CONTENT + b"more"


def test_native_copy_keeps_what_s3_knows(s3: Access, native: Bucket) -> None:
    """A native copy has over S3 the entity tag, content headers, user metadata, tags and checksum of its source."""
    client = boto(s3)
    client.put_object(
        Bucket=native.name,
        Key="o",
        Body=CONTENT,
        Metadata=METADATA,
        Tagging="a=1&b=2",
        ChecksumAlgorithm="SHA1",
        **CONTENT_HEADERS,
    )
    query = {"provider": "ais", "object_to": f"ais/@#/{native.name}/dir/copy"}
    assert Api(s3.url).call("PUT", object_path(native.name, "o"), query).status == 200
    source, copy = (
        client.head_object(Bucket=native.name, Key=key, ChecksumMode="ENABLED") for key in ("o", "dir/copy")
    )
    assert shown(copy) == shown(source)
    assert copy["ChecksumSHA1"] == source["ChecksumSHA1"]
    tags = client.get_object_tagging(Bucket=native.name, Key="dir/copy")["TagSet"]
    assert {tag["Key"]: tag["Value"] for tag in tags} == {"a": "1", "b": "2"}
    assert client.get_object(Bucket=native.name, Key="dir/copy")["Body"].read() == CONTENT


def test_s3_copy_of_a_native_object(s3: Access, native: Bucket) -> None:
    """An S3 copy of a native object has its bytes and its user metadata."""
    native.object("o").get_writer().put_content(CONTENT)
    native.object("o").get_writer().set_custom_props({"x-amz-meta-color": "green"})
    client = boto(s3)
    client.copy_object(Bucket=native.name, Key="copy", CopySource={"Bucket": native.name, "Key": "o"})
    assert native.object("copy").get_reader().read_all() == CONTENT
    assert client.head_object(Bucket=native.name, Key="copy")["Metadata"] == {"color": "green"}


def test_s3_metadata_replaced_natively(s3: Access, native: Bucket) -> None:
    """Custom properties set natively change the user metadata S3 shows, and nothing else of what it shows."""
    client = boto(s3)
    client.put_object(Bucket=native.name, Key="o", Body=CONTENT, Metadata=METADATA, **CONTENT_HEADERS)
    before = shown(client.head_object(Bucket=native.name, Key="o"))
    native.object("o").get_writer().set_custom_props({"x-amz-meta-color": "black"})
    after = shown(client.head_object(Bucket=native.name, Key="o"))
    assert after == {**before, "Metadata": {**METADATA, "color": "black"}}


def parts_of(sizes: tuple[int, ...]) -> list[bytes]:
    """Parts of these sizes, each of other bytes."""
    return [random.Random(number).randbytes(size) for number, size in enumerate(sizes)]


def test_s3_multipart_read_natively(s3: Access, native: Bucket) -> None:
    """An object uploaded in parts over S3 reads natively as one, whole and by ranges across parts."""
    client, parts = boto(s3), parts_of((5 * MIB, 5 * MIB + 17, 100))
    upload = {"Bucket": native.name, "Key": "dir/parts"}
    upload["UploadId"] = client.create_multipart_upload(**upload, Metadata=METADATA)["UploadId"]
    done = [
        {"PartNumber": number, "ETag": client.upload_part(**upload, PartNumber=number, Body=part)["ETag"]}
        for number, part in enumerate(parts, start=1)
    ]
    etag = client.complete_multipart_upload(**upload, MultipartUpload={"Parts": done})["ETag"]
    content, obj = b"".join(parts), native.object("dir/parts")
    digests = b"".join(hashlib.md5(part).digest() for part in parts)
    assert etag == f'"{hashlib.md5(digests).hexdigest()}-3"'
    assert obj.get_reader().read_all() == content
    across = slice(5 * MIB - 10, 10 * MIB + 30)
    byte_range = f"bytes={across.start}-{across.stop - 1}"
    assert obj.get_reader(byte_range=byte_range).read_all() == content[across]
    attributes = obj.head("size,etag,custom,chunked")
    assert (attributes.size, attributes.etag.strip('"')) == (len(content), etag.strip('"'))
    assert attributes.custom_metadata == {f"x-amz-meta-{name}": value for name, value in METADATA.items()}
    assert attributes.chunks.chunk_count == 3


def test_native_multipart_read_over_s3(s3: Access, native: Bucket) -> None:
    """An object uploaded in parts natively reads over S3 as one, and each part by its number."""
    parts = parts_of((300_000, 300_000, 5))
    upload = native.object("parts").multipart_upload().create()
    for number in (2, 3, 1):
        upload.add_part(number).put_content(parts[number - 1])
    assert upload.complete().status_code == 200
    client, content = boto(s3), b"".join(parts)
    where = {"Bucket": native.name, "Key": "parts"}
    assert client.get_object(**where)["Body"].read() == content
    for number, part in enumerate(parts, start=1):
        got = client.get_object(**where, PartNumber=number)
        assert (got["Body"].read(), got["PartsCount"]) == (part, 3)
        head = client.head_object(**where, PartNumber=number)
        assert (head["ContentLength"], head["PartsCount"]) == (len(part), 3)
    ranged = client.get_object(**where, Range="bytes=299990-600002")
    assert ranged["Body"].read() == content[299990:600003]
    assert call(s3, "GET", f"/{native.name}/parts", "partNumber=4").status == 416


def test_copies_of_objects_in_parts(s3: Access, native: Bucket) -> None:
    """A native copy and an S3 copy of an object in parts have its bytes."""
    client, parts = boto(s3), parts_of((5 * MIB, 1))
    upload = native.object("parts").multipart_upload().create()
    for number, part in enumerate(parts, start=1):
        upload.add_part(number).put_content(part)
    upload.complete()
    query = {"provider": "ais", "object_to": f"ais/@#/{native.name}/native-copy"}
    assert Api(s3.url).call("PUT", object_path(native.name, "parts"), query).status == 200
    client.copy_object(Bucket=native.name, Key="s3-copy", CopySource={"Bucket": native.name, "Key": "parts"})
    for key in ("native-copy", "s3-copy"):
        assert client.get_object(Bucket=native.name, Key=key)["Body"].read() == b"".join(parts)
        assert native.object(key).get_reader().read_all() == b"".join(parts)


@pytest.mark.parametrize(
    "key", ["a/", "dir//o", "/lead", "./x", "x/../y", "x/.", "ends~", "c" * 300, "a%2Fb", "日本/ü"]
)
def test_keys_that_need_escaping(s3: Access, s3_bucket: str, key: str) -> None:
    """A key that no file could be called is stored, listed, read and deleted as it is."""
    client = boto(s3)
    client.put_object(Bucket=s3_bucket, Key=key, Body=key.encode())
    assert client.get_object(Bucket=s3_bucket, Key=key)["Body"].read() == key.encode()
    assert [one["Key"] for one in client.list_objects_v2(Bucket=s3_bucket)["Contents"]] == [key]
    client.delete_object(Bucket=s3_bucket, Key=key)
    assert "Contents" not in client.list_objects_v2(Bucket=s3_bucket)


def test_keys_that_are_file_and_folder(s3: Access, s3_bucket: str) -> None:
    """`a`, `a/` and `a/b` are three objects, whichever comes first and whichever goes first."""
    client = boto(s3)
    for keys in (["a", "a/", "a/b"], ["a/b", "a/", "a"]):
        for key in keys:
            client.put_object(Bucket=s3_bucket, Key=key, Body=key.encode())
        assert [one["Key"] for one in client.list_objects_v2(Bucket=s3_bucket)["Contents"]] == sorted(keys)
        for key in keys:
            assert client.get_object(Bucket=s3_bucket, Key=key)["Body"].read() == key.encode()
        for key in keys:
            client.delete_object(Bucket=s3_bucket, Key=key)
        assert "Contents" not in client.list_objects_v2(Bucket=s3_bucket)
