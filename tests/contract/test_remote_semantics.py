"""What a bucket at a backend means, row by row, over the native API, S3 and the published SDK; moto is the backend."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import boto3
import pytest
from aistore.sdk import Client
from aistore.sdk.errors import AISError
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import ClientError
from harness.gate import Gate, gate_before
from harness.generator import in_thread
from harness.moto import set_environment
from harness.nodes import eventually
from harness.wire import Api, fresh_name, object_path

from ais.config.features import DISABLE_COLD_GET, STREAMING_COLD_GET
from ais.testing import Cluster

QUERY = {"provider": "aws"}
LARGE = bytes(range(251)) * 5_000
CACHED, NAME_ONLY = 1, 1 << 9


class Missing(Exception):
    """The client was told that there is no such object."""


class Way(Protocol):
    """A client of one bucket."""

    def get(self, name: str, span: str = "") -> bytes: ...
    def put(self, name: str, body: bytes) -> None: ...
    def delete(self, name: str) -> None: ...
    def size(self, name: str) -> int: ...
    def names(self) -> list[str]: ...


class Native:
    """Our own paths, by hand."""

    def __init__(self, endpoint: str, bucket: str) -> None:
        self._api, self._bucket = Api(endpoint), bucket

    def _ask(self, method: str, name: str, **kwargs: Any) -> Any:
        answer = self._api.call(method, object_path(self._bucket, name), QUERY, **kwargs)
        if answer.status == 404:
            raise Missing(answer.error)
        assert answer.status in (200, 206), answer
        return answer

    def get(self, name: str, span: str = "") -> bytes:
        return bytes(self._ask("GET", name, headers={"Range": span} if span else {}).body)

    def put(self, name: str, body: bytes) -> None:
        self._ask("PUT", name, body=body)

    def delete(self, name: str) -> None:
        self._ask("DELETE", name)

    def size(self, name: str) -> int:
        return int(self._ask("HEAD", name).header("Content-Length"))

    def names(self) -> list[str]:
        return [entry["name"] for entry in _listed(self._api, self._bucket)]


class S3:
    """boto3."""

    def __init__(self, endpoint: str, bucket: str) -> None:
        style = Config(signature_version=UNSIGNED, s3={"addressing_style": "path"})
        self._client = boto3.client("s3", endpoint_url=f"{endpoint}/s3", region_name="us-east-1", config=style)
        self._bucket = bucket

    def _ask(self, call: str, **kwargs: Any) -> Any:
        try:
            return getattr(self._client, call)(Bucket=self._bucket, **kwargs)
        except ClientError as error:
            if error.response["ResponseMetadata"]["HTTPStatusCode"] == 404:
                raise Missing(str(error)) from None
            raise

    def get(self, name: str, span: str = "") -> bytes:
        return bytes(self._ask("get_object", Key=name, **({"Range": span} if span else {}))["Body"].read())

    def put(self, name: str, body: bytes) -> None:
        self._ask("put_object", Key=name, Body=body)

    def delete(self, name: str) -> None:
        self._ask("delete_object", Key=name)

    def size(self, name: str) -> int:
        return int(self._ask("head_object", Key=name)["ContentLength"])

    def names(self) -> list[str]:
        return [one["Key"] for one in self._ask("list_objects_v2").get("Contents", ())]


class Sdk:
    """The published SDK."""

    def __init__(self, endpoint: str, bucket: str) -> None:
        self.bucket = Client(endpoint).bucket(bucket, "aws")

    def get(self, name: str, span: str = "") -> bytes:
        return bytes(self._tried(lambda: self.bucket.object(name).get_reader(byte_range=span or None).read_all()))

    def put(self, name: str, body: bytes) -> None:
        self._tried(lambda: self.bucket.object(name).get_writer().put_content(body))

    def delete(self, name: str) -> None:
        self._tried(lambda: self.bucket.object(name).delete())

    def size(self, name: str) -> int:
        return int(self._tried(lambda: self.bucket.object(name).head("size")).size)

    def names(self) -> list[str]:
        return [entry.name for entry in self.bucket.list_all_objects()]

    def _tried(self, call: Any) -> Any:
        try:
            return call()
        except AISError as error:
            if error.status_code == 404:
                raise Missing(error.message) from None
            raise


@dataclass(frozen=True)
class Served:
    """A cluster, moto behind it, and what counts requests between them."""

    cluster: Cluster
    gate: Gate
    origin: Any


@pytest.fixture(scope="module")
def served(moto_url: str) -> Iterator[Served]:
    """Two targets."""
    with pytest.MonkeyPatch.context() as patch, in_thread(lambda: gate_before(moto_url)) as gate:
        set_environment(patch, gate.url)
        origin = boto3.client("s3", endpoint_url=moto_url)
        with Cluster(1, 2, 1) as cluster:
            api = Api(cluster.endpoint)
            assert api.act("PUT", "/v1/cluster", "set-config", value={"backend": {"aws": {}}}).status == 200
            yield Served(cluster, gate, origin)


class Bucket:
    """One at moto, which the cluster knows, and a client of it there."""

    def __init__(self, served: Served, way: type) -> None:
        self.name = fresh_name("semantics")
        self.api = Api(served.cluster.endpoint)
        self._served = served
        served.origin.create_bucket(Bucket=self.name)
        served.gate.reads.clear()
        assert self.api.call("HEAD", f"/v1/buckets/{self.name}", QUERY).status == 200
        self.way: Way = way(served.cluster.endpoint, self.name)

    def there(self, name: str) -> bytes | None:
        """What moto has."""
        try:
            return bytes(self._served.origin.get_object(Bucket=self.name, Key=name)["Body"].read())
        except ClientError:
            return None

    def change(self, name: str, body: bytes | None) -> None:
        """At moto, behind the cluster's back."""
        if body is None:
            self._served.origin.delete_object(Bucket=self.name, Key=name)
        else:
            self._served.origin.put_object(Bucket=self.name, Key=name, Body=body)

    def reads(self, name: str) -> int:
        """How often moto was asked for it, in whole or in part, since it was counted last."""
        asked = [key for key in self._served.gate.reads if key.split(" ")[0] == name]
        return sum(self._served.gate.reads.pop(key) for key in asked)

    def set(self, props: dict[str, Any]) -> None:
        """Properties of the bucket."""
        answer = self.api.act("PATCH", f"/v1/buckets/{self.name}", "set-bprops", value=props, query=QUERY)
        assert answer.status == 200, answer

    def act(self, method: str, action: str, value: Any, **query: str) -> None:
        """A job on the bucket, to its end."""
        answer = self.api.act(method, f"/v1/buckets/{self.name}", action, value=value, query=QUERY | query)
        assert answer.status == 200, answer
        eventually(lambda: _is_over(self.api, answer.body.decode()), within_s=60)

    @property
    def cached(self) -> list[str]:
        """What the cluster has."""
        return [entry["name"] for entry in _listed(self.api, self.name, flags=CACHED)]


@pytest.fixture(params=[Native, S3, Sdk], ids=["native", "s3", "sdk"])
def bucket(served: Served, request: pytest.FixtureRequest) -> Bucket:
    """A new one for each row and client."""
    return Bucket(served, request.param)


def _listed(api: Api, bucket: str, flags: int = 0, props: str = "name,size,cached") -> list[dict[str, Any]]:
    value = {"props": props, "flags": str(flags)}
    answer = api.act("GET", f"/v1/buckets/{bucket}", "list", value=value, query=QUERY)
    assert answer.status == 200, answer
    return list(answer.json()["entries"] or ())


def _is_over(api: Api, uuid: str) -> bool:
    if not uuid:
        return True
    answer = api.call("GET", "/v1/cluster", {"what": "status"}, body=b'{"id": "%b"}' % uuid.encode())
    return answer.status == 200 and bool(answer.json()["end_time"])


def test_cold_reads(bucket: Bucket) -> None:
    """What is not here is fetched once and kept; a range of a large object is read alone; none is 404."""
    bucket.change("small", b"content")
    bucket.change("large", LARGE)
    assert bucket.way.get("large", "bytes=7-9") == LARGE[7:10]
    assert bucket.cached == []
    assert bucket.reads("large") == 1
    for name, body in (("small", b"content"), ("large", LARGE)):
        assert bucket.way.get(name) == bucket.way.get(name) == body
        assert bucket.reads(name) == 1
    eventually(lambda: bucket.cached == ["large", "small"], within_s=20)
    with pytest.raises(Missing):
        bucket.way.get("none")


def test_heads(bucket: Bucket) -> None:
    """HEAD says what the backend has and fetches nothing."""
    bucket.change("o", LARGE)
    assert bucket.way.size("o") == len(LARGE)
    assert (bucket.reads("o"), bucket.cached) == (0, [])
    with pytest.raises(Missing):
        bucket.way.size("none")


def test_writes_go_through(bucket: Bucket) -> None:
    """PUT and DELETE are done at the backend when they are acknowledged; what was written is here."""
    for body in (b"first", LARGE[: 1 << 19]):
        bucket.way.put("o", body)
        assert bucket.there("o") == bucket.way.get("o") == body
    assert bucket.reads("o") == 0
    bucket.way.delete("o")
    assert (bucket.there("o"), bucket.cached) == (None, [])
    with pytest.raises(Missing):
        bucket.way.get("o")


@pytest.mark.parametrize("setting", ["", "validate_warm_get", "synchronize"])
def test_versions(bucket: Bucket, setting: str) -> None:
    """What changed or went at the backend is seen where the bucket says so, and what is here is served where not."""
    if setting:
        bucket.set({"versioning": {setting: True}})
    bucket.change("o", b"old")
    assert bucket.way.get("o") == b"old"
    bucket.change("o", b"changed")
    assert bucket.way.get("o") == (b"changed" if setting else b"old")
    bucket.change("o", None)
    if setting:
        with pytest.raises(Missing):
            bucket.way.get("o")
    else:
        assert bucket.way.get("o") == b"old"
    assert bucket.cached == ([] if setting else ["o"])


def test_cold_gets_disabled(bucket: Bucket) -> None:
    """`Disable-Cold-GET`: what is not here is 404, in whole and in part, and the backend is not asked for it; HEAD
    still tells of it, and a prefetch brings it."""
    bucket.set({"features": str(DISABLE_COLD_GET)})
    bucket.change("o", LARGE)
    for span in ("", "bytes=0-3"):
        with pytest.raises(Missing):
            bucket.way.get("o", span)
    assert (bucket.reads("o"), bucket.way.size("o"), bucket.cached) == (0, len(LARGE), [])
    bucket.act("POST", "prefetch-listrange", {"objnames": ["o"]})
    assert bucket.way.get("o") == LARGE
    assert bucket.reads("o") == 1
    bucket.set({"features": "0"})
    bucket.change("p", b"content")
    assert bucket.way.get("p") == b"content"


def test_cold_gets_streamed(bucket: Bucket) -> None:
    """`Streaming-Cold-GET`: small ones, too, are right, and kept."""
    bucket.set({"features": str(STREAMING_COLD_GET)})
    for name, body in (("small", b"content"), ("large", LARGE), ("empty", b"")):
        bucket.change(name, body)
        assert bucket.way.get(name) == body
    eventually(lambda: bucket.cached == ["empty", "large", "small"], within_s=20)
    assert bucket.way.get("small") == b"content"
    assert bucket.reads("small") == 1


def test_lists(bucket: Bucket) -> None:
    """Names are the backend's; `cached`, names alone and the status of each entry are the cluster's to tell."""
    for name in ("a", "b", "c"):
        bucket.change(name, name.encode())
    bucket.way.get("b")
    assert bucket.way.names() == ["a", "b", "c"]
    assert bucket.cached == ["b"]
    assert [(one["name"], int(one.get("flags", 0)) & 64) for one in _listed(bucket.api, bucket.name)] == [
        ("a", 0),
        ("b", 64),
        ("c", 0),
    ]
    if isinstance(bucket.way, Sdk):
        entries = bucket.way.bucket.list_all_objects(props="name,cached")
        assert [one.name for one in entries if one.is_cached()] == ["b"]


def test_evictions(bucket: Bucket) -> None:
    """An object, a list, a bucket with and without its metadata: all goes here and stays there; it is read again."""
    for name in ("a", "b", "c"):
        bucket.change(name, name.encode())

    def read() -> None:
        for name in ("a", "b", "c"):
            assert bucket.way.get(name) == name.encode()

    read()
    path = object_path(bucket.name, "a")
    assert bucket.api.act("DELETE", path, "evict-listrange", name=f"{bucket.name}/a", query=QUERY).status == 200
    assert bucket.cached == ["b", "c"]
    bucket.act("DELETE", "evict-listrange", {"objnames": ["b"]})
    assert bucket.cached == ["c"]
    read()
    bucket.set({"features": str(STREAMING_COLD_GET)})
    for keeps in ("true", "false"):
        bucket.act("DELETE", "evict-remote-bck", None, keep_bck_md=keeps)
        assert bucket.api.call("HEAD", f"/v1/buckets/{bucket.name}", QUERY).status == 200
        assert (str(STREAMING_COLD_GET) in _features(bucket)) == (keeps == "true")
        assert bucket.cached == []
        read()
    assert [bucket.there(name) for name in "abc"] == [b"a", b"b", b"c"]


def _features(bucket: Bucket) -> str:
    shown = bucket.api.call("HEAD", f"/v1/buckets/{bucket.name}", QUERY).header("Ais-Bucket-Props") or ""
    return shown.partition('"features":')[2].partition(",")[0]


def test_a_backend_that_is_disabled(bucket: Bucket) -> None:
    """What is here is read, the rest refused until it is enabled."""
    bucket.change("here", b"here")
    bucket.change("more", b"more")
    assert bucket.way.get("here") == b"here"
    assert bucket.api.call("PUT", "/v1/cluster/disable-bend/aws").status == 200
    try:
        assert bucket.way.get("here") == b"here"
        with pytest.raises((AssertionError, ClientError, AISError)):
            bucket.way.get("more")
    finally:
        assert bucket.api.call("PUT", "/v1/cluster/enable-bend/aws").status == 200
    assert bucket.way.get("more") == b"more"


def test_the_newest_for_one_read(served: Served) -> None:
    """`latest-ver` of a native GET, and `latest` of the SDK."""
    bucket = Bucket(served, Sdk)
    for read in (
        lambda: bucket.api.call("GET", object_path(bucket.name, "o"), QUERY | {"latest-ver": "true"}).body,
        lambda: bucket.way.bucket.object("o").get_reader(latest=True).read_all(),  # type: ignore[attr-defined]
    ):
        bucket.change("o", b"old")
        assert bucket.api.call("GET", object_path(bucket.name, "o"), QUERY | {"latest-ver": "true"}).body == b"old"
        bucket.change("o", b"changed")
        assert bucket.way.get("o") == b"old"
        assert read() == b"changed"


def test_what_the_backend_says_is_kept(bucket: Bucket) -> None:
    """Source, tag and MD5 are custom metadata of what was fetched; the tag is S3's."""
    bucket.change("o", b"content")
    bucket.way.get("o")
    answer = bucket.api.call("HEAD", object_path(bucket.name, "o"), QUERY)
    found = dict(one.split("=", 1) for one in answer.header_all("Ais-Custom-Md"))
    assert (found["source"], found["ETag"]) == ("aws", found["md5"])
    if isinstance(bucket.way, S3):
        assert bucket.way._ask("head_object", Key="o")["ETag"].strip('"') == found["ETag"]


def test_a_bucket_of_ours_that_is_linked(bucket: Bucket) -> None:
    """`backend_bck`: the same under its own name."""
    bucket.change("o", b"content")
    own, link = fresh_name("own"), {"backend_bck": {"name": bucket.name, "provider": "aws"}}
    assert bucket.api.create(own, link).status == 200
    way: Any = type(bucket.way)(bucket.api.url, own)
    if isinstance(way, Sdk):
        way.bucket = Client(bucket.api.url).bucket(own)
    if isinstance(way, Native):
        assert bucket.api.get(own, "o").body == b"content"
        assert bucket.api.put(own, "p", b"mine").status == 200
    else:
        assert way.get("o") == b"content"
        way.put("p", b"mine")
    assert bucket.there("p") == b"mine"
