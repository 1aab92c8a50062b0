"""Encryption at rest by the native API: what any writer puts into a bucket that encrypts, and how it is read."""

import http.client
import io
import json
import os
import random
import tarfile
import urllib.parse
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import xxhash
from botocore.exceptions import BotoCoreError, ClientError
from harness.encrypting import leaks
from harness.nodes import eventually
from harness.origin import origin
from harness.s3access import boto, new_access
from harness.wire import Answer, Api, fresh_name, object_path

from ais.testing import Cluster

MIB = 1 << 20
MARK = b"nobody may read this"
WEB = b"this is f0.txt"
RULE = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}
Contents = dict[str, bytes]


def content(size: int) -> bytes:
    """Bytes of their own, with marks all over."""
    noise = random.Random(size).randbytes(256)
    return ((MARK + noise) * (size // 256 + 1))[:size]


class Bench:
    """A cluster, a bucket that encrypts and one that does not."""

    def __init__(self, cluster: Cluster, outside: Path) -> None:
        self.cluster, self.outside = cluster, outside
        self.api = Api(cluster.endpoint)
        self.access = new_access(cluster, "root", admin=True)
        self.s3 = boto(self.access)
        self.bucket, self.plain = fresh_name("sealed"), fresh_name("plain")
        for name in (self.bucket, self.plain):
            assert self.api.create(name).status == 200
        self.encrypt(self.bucket)

    def encrypt(self, bucket: str) -> None:
        self.s3.put_bucket_encryption(Bucket=bucket, ServerSideEncryptionConfiguration={"Rules": [RULE]})

    def put(self, name: str, data: bytes, query: dict[str, str] | None = None, **headers: str) -> Answer:
        answer = self.api.call("PUT", object_path(self.bucket, name), query, body=data, headers=headers)
        assert answer.status == 200, answer
        return answer

    def job(self, answer: Answer) -> None:
        """Wait for the end of a job that went well."""
        assert answer.status == 200, answer
        body = json.dumps({"id": answer.body.decode()}).encode()

        def status() -> dict[str, Any]:
            return self.api.call("GET", "/v1/cluster", {"what": "status"}, body=body).json()

        eventually(lambda: status().get("end_time"), within_s=60)
        assert not status()["err"], status()

    def files(self) -> Iterator[Path]:
        """Those of the objects of the bucket that encrypts."""
        for path in self.cluster.directory.rglob("*"):
            if f"/{self.bucket}/%ob/" in str(path) and path.is_file():
                yield path


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    outside = tmp_path_factory.mktemp("outside")
    local = {"promote_roots": [str(outside)], "egress_networks": ["127.0.0.1/32"]}
    with Cluster(proxies=1, targets=3, mountpaths=2, local=local) as running:
        yield Bench(running, outside)


def tar_of(files: Contents) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return out.getvalue()


def puts(bench: Bench) -> Contents:
    """Bodies of each size that takes another way."""
    made = {f"put-{size}": content(size) for size in (0, 1, 4096, 65536, 65537, 3 * MIB + 11)}
    for name, data in made.items():
        bench.put(name, data)
    return made


def chunked(bench: Bench) -> Contents:
    """A body without a length."""
    data = content(150_000)
    answer = bench.api.call("PUT", object_path(bench.bucket, "chunked"), body=b"", redirects=False)
    place = urllib.parse.urlsplit(str(answer.header("Location")))
    connection = http.client.HTTPConnection(place.netloc, timeout=20)
    connection.request("PUT", f"{place.path}?{place.query}", iter([data[:1000], data[1000:]]), encode_chunked=True)
    assert connection.getresponse().status == 200
    connection.close()
    return {"chunked": data}


def appends(bench: Bench) -> Contents:
    """Appends to nothing, then to what there is; a request that is repeated counts once."""
    pieces = [content(100), content(200_000), content(7)]
    for _ in range(2):
        handle = ""
        for piece in pieces:
            query = {"append_type": "append", "append_handle": handle}
            handle = str(bench.put("appended", piece, query).header("Ais-Append-Handle"))
            if piece is pieces[1]:
                handle = str(bench.put("appended", piece, query).header("Ais-Append-Handle"))
        bench.put("appended", b"", {"append_type": "flush", "append_handle": handle})
        bench.put("flushed", content(50), {"append_type": "flush"})
    return {"appended": b"".join(pieces) * 2, "flushed": content(50) * 2}


def uploads(bench: Bench) -> Contents:
    """An upload in parts."""
    path, parts = object_path(bench.bucket, "parts"), [content(MIB), content(MIB), content(70_000)]
    upload = {"uploadId": bench.api.act("POST", path, "mpt-upload").body.decode().strip('"')}
    for number, part in enumerate(parts, 1):
        bench.put("parts", part, {**upload, "partNumber": str(number)})
    listed = [{"part-number": number} for number in range(1, len(parts) + 1)]
    answer = bench.api.act("POST", path, "mpt-complete", value=listed, query=upload)
    assert answer.status == 200, answer
    return {"parts": b"".join(parts)}


def copies(bench: Bench) -> Contents:
    """Objects of a bucket that does not encrypt: one by one, all of it, and within the bucket that does."""
    given = {f"copy-{number}": content(1000 + number) for number in range(6)}
    for name, data in given.items():
        assert bench.api.put(bench.plain, name, data).status == 200
    made = {}
    for name, data in given.items():
        to = {"object_to": f"ais/@#/{bench.bucket}/one-{name}"}
        assert bench.api.call("PUT", object_path(bench.plain, name), to).status == 200
        made[f"one-{name}"] = data
        again = {"object_to": f"ais/@#/{bench.bucket}/two-{name}"}
        assert bench.api.call("PUT", object_path(bench.bucket, f"one-{name}"), again).status == 200
        made[f"two-{name}"] = data
    path, to = f"/v1/buckets/{bench.plain}", {"bck_to": f"ais/@#/{bench.bucket}/"}
    bench.job(bench.api.act("POST", path, "copy-bck", value={}, query=to))
    return made | given


def renames(bench: Bench) -> Contents:
    """Another name, on this target or another one."""
    made = {}
    for number in range(6):
        bench.put(f"old-{number}", content(2000 + number))
        path = object_path(bench.bucket, f"old-{number}")
        assert bench.api.act("POST", path, "rename-obj", name=f"new-{number}").status == 200
        made[f"new-{number}"] = content(2000 + number)
    return made


def shards(bench: Bench) -> Contents:
    """Files put into a shard, which is made anew each time."""
    data, more = content(5000), content(100_000)
    bench.put("shard.tar", data, {"archpath": "a"}, **{"Ais-Pine": "2"})
    bench.put("shard.tar", more, {"archpath": "b"}, **{"Ais-Pine": "1"})
    for member, expected in (("a", data), ("b", more)):
        answer = bench.api.call("GET", object_path(bench.bucket, "shard.tar"), {"archpath": member})
        assert (answer.status, answer.body) == (200, expected)
    return {}


def archives(bench: Bench) -> Contents:
    """The jobs `archive`, with and without append, and what reads their shard."""
    given = {f"in-{number}": content(3000 + number) for number in range(4)}
    for name, data in given.items():
        bench.put(name, data)
    for append in (False, True):
        value = {"archname": "made.tar", "objnames": sorted(given)[append * 2 :][:2], "aate": append}
        assert bench.api.act("PUT", f"/v1/buckets/{bench.bucket}", "archive", value=value).status == 200
        last = object_path(bench.bucket, "made.tar"), {"archpath": value["objnames"][-1]}
        eventually(lambda last=last: bench.api.call("GET", *last).status == 200, within_s=60)
    shard = bench.api.get(bench.bucket, "made.tar").body
    with tarfile.open(fileobj=io.BytesIO(shard)) as tar:
        assert {one.name: tar.extractfile(one).read() for one in tar} == given  # type: ignore[union-attr]
    return {"made.tar": shard}


def promotions(bench: Bench) -> Contents:
    """Files of the targets' disks."""
    made = {f"file-{number}": content(9000 + number) for number in range(4)}
    top = bench.outside / "promoted"
    top.mkdir()
    for name, data in made.items():
        (top / name).write_bytes(data)
    value = {"src": str(top), "obj": ""}
    path = f"/v1/objects/{bench.bucket}"
    bench.job(bench.api.act("POST", path, "promote", name=str(top), value=value))
    return made


def downloads(bench: Bench) -> Contents:
    """What a web server has."""
    with origin() as web:
        body = {
            "type": "range",
            "template": web.url + "/f{0..0}.txt",
            "bucket": {"name": bench.bucket, "provider": "ais"},
        }
        answer = bench.api.call("POST", "/v1/download", body=json.dumps(body).encode())
        assert answer.status == 200, answer
        eventually(lambda: bench.api.head(bench.bucket, "f0.txt").status == 200, within_s=60)
    return {"f0.txt": WEB}


WRITERS: dict[str, Callable[[Bench], Contents]] = {
    one.__name__: one
    for one in (puts, chunked, appends, uploads, copies, renames, shards, archives, promotions, downloads)
}


@pytest.fixture(scope="module", params=WRITERS)
def written(request: pytest.FixtureRequest, bench: Bench) -> Contents:
    """What one writer made."""
    return WRITERS[request.param](bench)


def test_nothing_is_readable(bench: Bench, written: Contents) -> None:
    """No file of the cluster holds anything of it, but of the bucket that does not encrypt."""
    found = [one for one in leaks(bench.cluster, {MARK, WEB}) if f"/{bench.plain}/" not in one]
    assert not found


def test_read_over_both_apis(bench: Bench, written: Contents) -> None:
    """Whole, in ranges, by head, with sizes and checksums of the content; S3 tells how it is encrypted."""
    for name, data in written.items():
        answer = bench.api.get(bench.bucket, name)
        assert (answer.status, answer.header("Content-Length")) == (200, str(len(data))), answer
        assert answer.body == data, name
        head = bench.api.head(bench.bucket, name)
        assert (head.status, head.header("Content-Length")) == (200, str(len(data)))
        if head.header("Ais-Checksum-Type") is not None:
            assert head.header("Ais-Checksum-Type") == "xxhash2"
            assert head.header("Ais-Checksum-Value") == xxhash.xxh64_hexdigest(data)
        else:
            assert name == "parts"
        found = bench.s3.get_object(Bucket=bench.bucket, Key=name)
        assert (found["Body"].read(), found["ServerSideEncryption"]) == (data, "AES256")
        for start, length in ((0, 1), (len(data) // 2, 70_000), (max(0, len(data) - 5), 5)):
            if not data:
                continue
            span = {"Range": f"bytes={start}-{start + length - 1}"}
            answer = bench.api.get(bench.bucket, name, span)
            assert (answer.status, answer.body) == (206, data[start : start + length])


def test_listed_and_read_in_batches(bench: Bench, written: Contents) -> None:
    """Sizes of the content in lists; many at once."""
    sizes = {entry["n"]: entry.get("s", 0) for entry in bench.api.entries(bench.bucket, props="name,size")}
    assert {name: sizes[name] for name in written} == {name: len(data) for name, data in written.items()}
    wanted = json.dumps({"in": [{"objname": name} for name in written]}).encode()
    if written:
        answer = bench.api.call("GET", f"/v1/ml/moss/{bench.bucket}", {"provider": "ais"}, body=wanted)
        assert all(data in answer.body for data in written.values())


def is_refused(ask: Callable[[], Any]) -> bool:
    """Whether a request is answered with an error, or its answer breaks off."""
    try:
        answer = ask()
    except (http.client.IncompleteRead, OSError, BotoCoreError, ClientError):
        return True
    return isinstance(answer, Answer) and answer.status >= 400


def test_a_flipped_bit_is_an_error(bench: Bench) -> None:
    """It is never given out: neither small nor large, whole or in a range."""
    for name, size in (("flipped-small", 5000), ("flipped-large", 3 * MIB)):
        bench.put(name, content(size))
        (path,) = (one for one in bench.files() if one.name == name)
        with path.open("r+b") as file:
            at = file.seek(size // 2 + 1000)
            byte = file.read(1)
            file.seek(at)
            file.write(bytes([byte[0] ^ 1]))
        for more in {}, {"Range": f"bytes={size // 2}-{size // 2 + 9}"}, {"Range": f"bytes=0-{size - 1}"}:
            place = {"Bucket": bench.bucket, "Key": name, **more}
            assert is_refused(partial(bench.api.get, bench.bucket, name, more))
            assert is_refused(lambda place=place: bench.s3.get_object(**place)["Body"].read())


def test_shards_are_read(bench: Bench) -> None:
    """Members of an encrypted shard: one, those that match, listed, in a batch; packed ones too."""
    members = {f"m{number}": content(2000 + number) for number in range(20)}
    bench.put("s.tar", tar_of(members))
    path = object_path(bench.bucket, "s.tar")
    assert bench.api.call("GET", path, {"archpath": "m7"}).body == members["m7"]
    many = bench.api.call("GET", path, {"archregx": "m1", "archmode": "prefix"}).body
    with tarfile.open(fileobj=io.BytesIO(many)) as tar:
        assert sorted(tar.getnames()) == sorted(name for name in members if name.startswith("m1"))
    listed = bench.api.names(bench.bucket, prefix="s.tar", flags="8", props="name,size")
    assert set(listed) >= {f"s.tar/{name}" for name in members}
    body = json.dumps({"in": [{"objname": "s.tar", "archpath": "m3"}]}).encode()
    answer = bench.api.call("GET", f"/v1/ml/moss/{bench.bucket}", {"provider": "ais"}, body=body)
    assert members["m3"] in answer.body


def test_no_index_says_what_is_in_an_encrypted_shard(bench: Bench) -> None:
    """Also not that of the shard as it was before, when its bucket did not encrypt."""
    bucket = fresh_name("index")
    assert bench.api.create(bucket).status == 200

    def append(member: str) -> None:
        path, pine = object_path(bucket, "shard.tar"), {"Ais-Pine": "2"}
        assert bench.api.call("PUT", path, {"archpath": member}, body=MARK, headers=pine).status == 200

    def indexes() -> list[Path]:
        return [one for one in bench.cluster.directory.rglob("*") if f"/{bucket}/%ix/" in str(one)]

    append("one")
    assert len(indexes()) == 1
    bench.encrypt(bucket)
    append("two")
    assert not indexes()


@pytest.mark.parametrize(
    "props",
    [
        {"mirror": {"enabled": True, "copies": 2}},
        {"checksum": {"validate_warm_get": True, "enable_read_range": True}},
        {"ec": {"enabled": True, "data_slices": 1, "parity_slices": 1, "objsize_limit": 0}},
    ],
    ids=["mirrored", "verified", "coded"],
)
def test_buckets_that_take_care(bench: Bench, props: dict[str, Any]) -> None:
    """Copies, slices, verified reads and hashed ranges are of the same content; nothing is readable."""
    bucket = fresh_name("careful")
    if (made := bench.api.create(bucket, props)).status != 200:
        pytest.skip(str(made.body))
    bench.encrypt(bucket)
    for size in (70, 300_000):
        data, name = content(size), f"k{size}"
        assert bench.api.put(bucket, name, data).status == 200
        assert bench.api.get(bucket, name).body == data
        answer = bench.api.get(bucket, name, {"Range": "bytes=10-59"})
        assert (answer.status, answer.body) == (206, data[10:60])
        if "checksum" in props:
            assert answer.header("Ais-Checksum-Value") == xxhash.xxh64_hexdigest(data[10:60])
        head = bench.api.head(bucket, name, **{"validate-checksum": "true"})
        assert (head.status, head.header("Content-Length")) == (200, str(size))
        assert bench.s3.get_object(Bucket=bucket, Key=name)["Body"].read() == data
    assert not [one for one in leaks(bench.cluster, {MARK}) if f"/{bucket}/" in one]
    assert bench.api.destroy(bucket).status == 200


def test_keys_of_clients_have_no_native_form(bench: Bench) -> None:
    """An object under SSE-C is refused with the reason, and so is what would go on with it."""
    key = os.urandom(16).hex()
    own = {"SSECustomerAlgorithm": "AES256", "SSECustomerKey": key}
    bench.s3.put_object(Bucket=bench.plain, Key="theirs", Body=MARK, **own)
    path = object_path(bench.plain, "theirs")
    for answer in (
        bench.api.call("GET", path),
        bench.api.call("GET", path, headers={"Range": "bytes=0-3"}),
        bench.api.call("PUT", path, {"append_type": "append"}, body=b"more"),
    ):
        assert answer.status == 501, answer
        assert b"SSE-C" in answer.body
    assert bench.s3.get_object(Bucket=bench.plain, Key="theirs", **own)["Body"].read() == MARK


def test_one_encrypted_object_stays_so(bench: Bench) -> None:
    """In a bucket that does not encrypt: read natively, it goes on encrypted when something is appended."""
    name, data = "alone", content(100_000)
    bench.s3.put_object(Bucket=bench.plain, Key=name, Body=data, ServerSideEncryption="aws:kms", SSEKMSKeyId="k")
    assert bench.api.get(bench.plain, name).body == data
    path = object_path(bench.plain, name)
    handle = bench.api.call("PUT", path, {"append_type": "append"}, body=MARK).header("Ais-Append-Handle")
    bench.api.call("PUT", path, {"append_type": "flush", "append_handle": str(handle)})
    found = bench.s3.get_object(Bucket=bench.plain, Key=name)
    assert (found["ServerSideEncryption"], found["SSEKMSKeyId"]) == ("aws:kms", "k")
    assert found["Body"].read() == data + MARK == bench.api.get(bench.plain, name).body


def test_what_was_read_before_it_was_encrypted(bench: Bench) -> None:
    """A path that is remembered for quick reads shows what is there now."""
    for size in (100, 200_000):
        data = content(size)
        assert bench.api.put(bench.plain, "often", b"before").status == 200
        for _ in range(3):
            assert bench.api.get(bench.plain, "often").body == b"before"
        bench.s3.put_object(Bucket=bench.plain, Key="often", Body=data, ServerSideEncryption="AES256")
        for _ in range(3):
            assert bench.s3.get_object(Bucket=bench.plain, Key="often")["Body"].read() == data
            assert bench.api.get(bench.plain, "often").body == data
