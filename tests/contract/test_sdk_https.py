"""The SDK over HTTPS, where it follows the redirect of a PUT itself: the head first, then the body to the target."""

import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from aistore.sdk import Bucket, Client
from aistore.sdk.errors import ErrBckNotFound, ErrObjNotFound
from harness import certificates

from ais.testing import Cluster


@pytest.fixture(scope="module")
def secure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """The SDK's client of a cluster that speaks TLS on all networks."""
    tls = certificates.make(tmp_path_factory.mktemp("pem"))
    with Cluster(proxies=2, targets=2, mountpaths=1, tls=tls) as cluster, pytest.MonkeyPatch.context() as environment:
        # `requests` prefers a bundle named in the environment to the one the SDK gives it.
        for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
            environment.delenv(name, raising=False)
        yield Client(cluster.endpoint, ca_cert=tls.ca)


@pytest.fixture
def bck(secure: Client) -> Iterator[Bucket]:
    """A fresh bucket."""
    bucket = secure.bucket("secure").create()
    yield bucket
    bucket.delete(missing_ok=True)


@pytest.mark.parametrize("size", [0, 1, 4096, 1_000_003, 12 << 20])
def test_put_and_get(bck: Bucket, tmp_path: Path, size: int):
    """Bytes and files of every size arrive whole and come back, through the proxy and directly."""
    content = random.Random(size).randbytes(size)
    (tmp_path / "file").write_bytes(content)
    bck.object("bytes").get_writer().put_content(content)
    bck.object("file").get_writer().put_file(tmp_path / "file")
    for name in ("bytes", "file"):
        assert bck.object(name).get_reader().read_all() == content
        assert bck.object(name).get_reader(direct=True).read_all() == content
        assert bck.object(name).head().size == size


def test_everything_else(secure: Client, bck: Bucket):
    """Ranges, append, custom properties, copy, listing, rename, errors."""
    obj = bck.object("o")
    obj.get_writer().put_content(b"0123456789")
    assert obj.get_reader(byte_range="bytes=3-5").read_all() == b"345"
    handle = obj.get_writer().append_content(b"abc")
    obj.get_writer().append_content(b"", handle=handle, flush=True)
    assert obj.get_reader().read_all() == b"0123456789abc"
    obj.get_writer().set_custom_props({"k": "v"})
    assert obj.props.custom_metadata == {"k": "v"}
    obj.copy(bck.object("copy"))
    assert bck.object("copy").get_reader().read_all() == b"0123456789abc"
    assert [entry.name for entry in bck.list_all_objects(page_size=1)] == ["copy", "o"]
    assert secure.job(bck.rename("renamed")).wait(timeout=30).success
    assert bck.object("o").get_reader().read_all() == b"0123456789abc"
    obj = bck.object("copy")
    obj.delete()
    with pytest.raises(ErrObjNotFound):
        obj.get_reader().read_all()
    with pytest.raises(ErrObjNotFound):
        obj.delete()
    with pytest.raises(ErrBckNotFound):
        secure.bucket("nosuch").object("o").get_writer().put_content(b"x" * 100_000)
    assert secure.cluster().is_ready()
