"""Get-batch on the wire (contract §13.6): order, metadata, ranges, files in shards, missing entries, refusals."""

import base64
import io
import json
import random
import re
import tarfile
import zipfile

import pytest
from harness.wire import Answer, Api, fresh_name, object_path

OBJECTS = 40
BIG = 3_000_000


def content_of(name: str) -> bytes:
    rng = random.Random(name)
    return rng.randbytes(BIG if name == "big" else rng.randrange(30_000))


@pytest.fixture
def api(cluster) -> Api:
    return Api(cluster.endpoint)


@pytest.fixture(scope="module")
def bucket(cluster):
    """Forty objects of all targets, a large one, a tar and a tgz."""
    api, name = Api(cluster.endpoint), fresh_name("batch")
    api.act("POST", f"/v1/buckets/{name}", "create-bck")
    for one in (*(f"o{i}" for i in range(OBJECTS)), "big"):
        api.call("PUT", object_path(name, one), {"provider": "ais"}, body=content_of(one))
    for mode, shard in (("w", "s.tar"), ("w:gz", "s.tgz")):
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode=mode) as tar:
            for one in ("a.txt", "big"):
                info = tarfile.TarInfo(one)
                info.size = len(content_of(one))
                tar.addfile(info, io.BytesIO(content_of(one)))
        api.call("PUT", object_path(name, shard), {"provider": "ais"}, body=out.getvalue())
    yield name
    api.act("DELETE", f"/v1/buckets/{name}", "destroy-bck")


def ask(api: Api, bucket: str, entries: list, **options) -> Answer:
    body = json.dumps({"in": entries, **options}).encode()
    path = f"/v1/ml/moss/{bucket}" if bucket else "/v1/ml/moss"
    return api.call("GET", path, {"provider": "ais"}, body=body, headers={"Content-Type": "application/json"})


def unpack(archive: bytes, mime: str = ".tar") -> list[tuple[str, bytes]]:
    if mime == ".zip":
        with zipfile.ZipFile(io.BytesIO(archive)) as found:
            return [(one, found.read(one)) for one in found.namelist()]
    if mime == ".tar.lz4":
        import lz4.frame

        archive = lz4.frame.decompress(archive)
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        return [(one.name, tar.extractfile(one).read()) for one in tar]


def parts(answer: Answer) -> tuple[dict, bytes]:
    """Metadata and archive of a multipart answer."""
    boundary = re.search(r"boundary=([^;,\s]+)", answer.header("Content-Type"))[1]
    _, metadata, archive, rest = answer.body.split(b"--" + boundary.encode())
    assert rest == b"--\r\n"
    head, _, archive = archive.partition(b"\r\n\r\n")
    assert b'name="archive"; filename="get-batch[gbt-' in head
    return json.loads(metadata.partition(b"\r\n\r\n")[2]), archive[:-2]


@pytest.mark.parametrize("mime", [".tar", ".tgz", ".tar.gz", ".zip", ".tar.lz4"])
def test_streaming_keeps_the_order(api: Api, bucket: str, mime: str):
    """Objects of all targets, one of them twice and a large one, in the order asked for, byte for byte."""
    wanted = [f"o{i}" for i in range(OBJECTS)] + ["big", "o1"]
    random.Random(1).shuffle(wanted)
    answer = ask(api, bucket, [{"objname": one} for one in wanted], mime=mime, strm=True)
    assert answer.status == 200
    assert answer.header("Content-Type").startswith("application/")
    assert unpack(answer.body, mime) == [(f"{bucket}/{one}", content_of(one)) for one in wanted]


def test_multipart_says_what_is_in_it(api: Api, bucket: str):
    """Names, sizes and the client's own marks; files in shards; names without their bucket."""
    entries = [
        {"objname": "o0", "opaque": base64.b64encode(b"mark").decode()},
        {"objname": "s.tar", "archpath": "a.txt"},
        {"objname": "s.tgz", "archpath": "big"},
        {"objname": "s.tar", "archpath": "big"},
    ]
    metadata, archive = parts(ask(api, bucket, entries, onob=True))
    names = ["o0", "s.tar/a.txt", "s.tgz/big", "s.tar/big"]
    contents = [content_of("o0"), content_of("a.txt"), content_of("big"), content_of("big")]
    assert unpack(archive) == list(zip(names, contents, strict=True))
    assert metadata["uuid"].startswith("gbt-")
    assert [one["size"] for one in metadata["out"]] == [len(content) for content in contents]
    assert metadata["out"][0] == {
        "objname": "o0",
        "bucket": bucket,
        "provider": "ais",
        "opaque": "bWFyaw==",
        "size": len(contents[0]),
    }


@pytest.mark.parametrize("is_streaming", [False, True])
def test_missing_entries_have_their_place(api: Api, bucket: str, is_streaming: bool):
    """With `coer`, what is missing is an empty file below `__404__`, at its place; the metadata says why."""
    entries = [{"objname": "o0"}, {"objname": "nosuch"}, {"objname": "o1"}, {"objname": "s.tar", "archpath": "zz"}]
    answer = ask(api, bucket, entries, coer=True, strm=is_streaming)
    metadata, archive = ({}, answer.body) if is_streaming else parts(answer)
    assert unpack(archive) == [
        (f"{bucket}/o0", content_of("o0")),
        (f"__404__/{bucket}/nosuch", b""),
        (f"{bucket}/o1", content_of("o1")),
        (f"__404__/{bucket}/s.tar/zz", b""),
    ]
    if metadata:
        errors = [one.get("err_msg", "") for one in metadata["out"]]
        assert [bool(error) for error in errors] == [False, True, False, True]
        assert f"ais://{bucket}/nosuch does not exist" in errors[1]


@pytest.mark.parametrize("is_streaming", [False, True])
def test_without_coer_a_missing_one_is_404(api: Api, bucket: str, is_streaming: bool):
    """The whole request fails, before a byte of the archive went out."""
    answer = ask(api, bucket, [{"objname": "o0"}, {"objname": "nosuch"}], strm=is_streaming)
    assert (answer.status, answer.error["tcode"]) == (404, "ErrNotFound")
    assert f"ais://{bucket}/nosuch does not exist" in answer.error["message"]


def test_ranges(api: Api, bucket: str):
    """Of objects and of files in shards; up to the end; across pieces."""
    entries = [
        {"objname": "o2", "start": 2, "length": 5},
        {"objname": "big", "start": 1_500_000, "length": -1},
        {"objname": "s.tar", "archpath": "big", "start": 10, "length": 2_000_000},
        {"objname": "s.tgz", "archpath": "big", "start": 1_048_570, "length": 20},
    ]
    found = [content for _, content in unpack(ask(api, bucket, entries, strm=True).body)]
    big = content_of("big")
    assert found == [content_of("o2")[2:7], big[1_500_000:], big[10:2_000_010], big[1_048_570:1_048_590]]


@pytest.mark.parametrize(
    ("entries", "options", "status"),
    [
        ([], {}, 400),
        ([{"objname": "o0", "start": 5}], {}, 400),
        ([{"objname": "o0", "start": -1, "length": 1}], {}, 400),
        ([{"objname": "o0", "start": 1 << 40, "length": 5}], {}, 400),
        ([{"objname": "o0"}], {"mime": ".rar"}, 400),
        ([{"bucket": "x"}], {}, 400),
        ([{"objname": "../o0"}], {}, 400),
        ([{"objname": "o0"}], {"coloc": 7}, 400),
        ([{"objname": "o0", "bucket": "nosuchbucket", "provider": "ais"}], {}, 404),
        ([{"objname": 7}], {}, 400),
        ([{"objname": "o0"}], {"nosuch": 1, "coloc": 1}, 200),
    ],
)
def test_requests_that_are_refused(api: Api, bucket: str, entries: list, options: dict, status: int):
    """Nothing asked for, ranges that are none, unknown formats and buckets; unknown keys are ignored, as by AIStore."""
    assert ask(api, bucket, entries, **options).status == status


def test_a_bucket_must_be_named(api: Api, bucket: str):
    """In the path or in each entry."""
    assert ask(api, "", [{"objname": "o0"}]).status == 400
    assert ask(api, "", [{"objname": "o0", "bucket": bucket, "provider": "ais"}], strm=True).status == 200
    assert api.call("GET", f"/v1/ml/moss/{bucket}").status == 400
    assert api.call("POST", f"/v1/ml/moss/{bucket}", body=b"{}").status == 405
