"""The SDK on shards: `ArchiveConfig` for one and many members, and `list_archive`."""

import io
import tarfile

import pytest
from aistore.sdk import Bucket, Client
from aistore.sdk.archive_config import ArchiveConfig, ArchiveMode
from aistore.sdk.errors import AISError
from harness.nodes import eventually
from harness.wire import Api, fresh_name

FILES = {"a.jpg": b"picture", "a.cls": b"7", "b.jpg": b"other", "b.cls": b"8"}


@pytest.fixture
def shard(bck: Bucket):
    """A shard of two samples."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, content in FILES.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    obj = bck.object("s.tar")
    obj.get_writer().put_content(out.getvalue())
    return obj


def test_one_member(shard):
    """`archpath` gives its bytes, and an error for one that is not there."""
    assert shard.get_reader(archive_config=ArchiveConfig(archpath="b.cls")).read_all() == b"8"
    with pytest.raises(AISError):
        shard.get_reader(archive_config=ArchiveConfig(archpath="none")).read_all()


@pytest.mark.parametrize(
    ("mode", "regex", "found"),
    [
        (ArchiveMode.PREFIX, "a.", ["a.jpg", "a.cls"]),
        (ArchiveMode.SUFFIX, ".cls", ["a.cls", "b.cls"]),
        (ArchiveMode.SUBSTR, "j", ["a.jpg", "b.jpg"]),
        (ArchiveMode.WDSKEY, "b", ["b.jpg", "b.cls"]),
        (ArchiveMode.REGEXP, "^a", ["a.jpg", "a.cls"]),
    ],
)
def test_many_members(shard, mode: ArchiveMode, regex: str, found: list[str]):
    """Each mode gives a tar of what matches."""
    content = shard.get_reader(archive_config=ArchiveConfig(regex=regex, mode=mode)).read_all()
    with tarfile.open(fileobj=io.BytesIO(content)) as tar:
        assert {name: tar.extractfile(name).read() for name in tar.getnames()} == {name: FILES[name] for name in found}


def test_list_archive(bck: Bucket, shard):
    """Members are listed below their shard."""
    assert sorted(entry.name for entry in bck.list_archive("s.tar")) == sorted(f"s.tar/{name}" for name in FILES)


def test_list_archive_of_slices(client: Client, api: Api, shard):
    """A shard that is kept as slices alone, whose own file is empty, has its members as any other."""
    name = fresh_name("coded")
    ec = {"enabled": True, "data_slices": 1, "parity_slices": 1, "objsize_limit": 0}
    assert api.create(name, {"ec": ec, "protection": {"slices_only": True}}).status == 200
    bucket = client.bucket(name)
    try:
        content = shard.get_reader().read_all()
        bucket.object("s.tar").get_writer().put_content(content)
        eventually(lambda: api.call("GET", f"/v1/objects/{name}/s.tar").body == content, within_s=30)
        assert api.call("GET", f"/v1/objects/{name}/s.tar", {"archpath": "b.cls"}).body == b"8"
        assert [entry.name for entry in bucket.list_archive("s.tar")] == sorted(f"s.tar/{one}" for one in FILES)
    finally:
        bucket.delete()
