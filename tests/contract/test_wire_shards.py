"""Shards on the wire (contract §10.1, §10.6, §11): members read, matched, written, listed; refusals change nothing."""

import concurrent.futures
import io
import json
import tarfile
from typing import Any

import pytest
from harness.nodes import eventually
from harness.wire import Api, fresh_name, message, object_path


@pytest.fixture(scope="module")
def bucket(cluster):
    """A bucket with `a.tar` of ten members."""
    api, name = Api(cluster.endpoint), fresh_name("shards")
    assert api.act("POST", f"/v1/buckets/{name}", "create-bck").status == 200
    assert put(api, name, "a.tar", tar_of({f"o-{i:02}": bytes([i]) * 20_000 for i in range(10)})).status == 200
    yield name
    api.act("DELETE", f"/v1/buckets/{name}", "destroy-bck")


@pytest.fixture
def api(cluster) -> Api:
    return Api(cluster.endpoint)


def tar_of(files: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return out.getvalue()


def put(api: Api, bucket: str, name: str, content: bytes, pine: str | None = None, **query: str):
    headers = {"Ais-Pine": pine} if pine else {}
    return api.call("PUT", object_path(bucket, name), {"provider": "ais", **query}, body=content, headers=headers)


def get(api: Api, bucket: str, name: str, headers: dict[str, str] | None = None, **query: str):
    return api.call("GET", object_path(bucket, name), {"provider": "ais", **query}, headers=headers or {})


def test_one_member(api: Api, bucket: str):
    """Its bytes, its length, and nothing of the shard's own headers."""
    answer = get(api, bucket, "a.tar", archpath="o-03")
    assert (answer.status, answer.body) == (200, bytes([3]) * 20_000)
    assert answer.header("Content-Length") == "20000"
    assert answer.header("Content-Type") == "application/octet-stream"
    assert answer.header("Ais-Checksum-Value") is None


@pytest.mark.parametrize(
    ("query", "status", "tcode", "text"),
    [
        ({"archpath": "nosuch"}, 404, "ErrNotFound", "nosuch in ais://{bucket}/a.tar does not exist"),
        ({"archregx": "zzz", "archmode": "prefix"}, 404, "ErrNotFound", "(archregx=zzz, archmode=prefix) in ais://"),
        (
            {"archregx": "o", "archmode": "nosuch"},
            400,
            None,
            'invalid matching mode "nosuch", expecting one of: [regexp',
        ),
        ({"archregx": "[", "archmode": "regexp"}, 400, None, "failed to extract files that match (archregx=["),
        ({"archpath": "x", "archmode": "prefix"}, 400, None, "mutually exclusive"),
    ],
)
def test_refusals(api: Api, bucket: str, query: dict[str, str], status: int, tcode: str | None, text: str):
    """As AIStore answers them."""
    answer = get(api, bucket, "a.tar", **query)
    assert (answer.status, answer.error.get("tcode")) == (status, tcode)
    assert text.format(bucket=bucket) in answer.error["message"]


def test_a_range_of_a_member_is_refused(api: Api, bucket: str):
    """400 `ErrUnsupp`, as AIStore."""
    answer = get(api, bucket, "a.tar", {"Range": "bytes=0-9"}, archpath="o-01")
    assert (answer.status, answer.error["tcode"]) == (400, "ErrUnsupp")


def test_members_that_match_come_as_a_tar(api: Api, bucket: str):
    """All of them, in the shard's order."""
    answer = get(api, bucket, "a.tar", archregx="o-0[246]", archmode="regexp")
    assert (answer.status, answer.header("Content-Type")) == (200, "application/x-tar")
    with tarfile.open(fileobj=io.BytesIO(answer.body)) as tar:
        assert tar.getnames() == ["o-02", "o-04", "o-06"]
        assert tar.extractfile("o-06").read() == bytes([6]) * 20_000


def test_what_is_no_archive(api: Api, bucket: str):
    """Unknown extension without the bytes of an archive, and an archive's extension without its content: 400."""
    put(api, bucket, "plain", b"x" * 1000)
    assert get(api, bucket, "plain", archpath="x").status == 400
    put(api, bucket, "lies.tar", b"x" * 1000)
    assert get(api, bucket, "lies.tar", archpath="x").status == 400
    put(api, bucket, "cut.tgz", b"\x1f\x8b\x08")
    assert get(api, bucket, "cut.tgz", archpath="x").status == 400
    assert get(api, bucket, "cut.tgz", archregx="", archmode="prefix").status == 400


@pytest.mark.parametrize("extension", ["tar", "tgz", "tar.gz", "zip", "tar.lz4"])
def test_write_append_and_read(api: Api, bucket: str, extension: str):
    """A new shard, a member added, a member added to what must exist; the old members stay, the checksum is right."""
    name = f"new.{extension}"
    assert put(api, bucket, name, b"one", "1", archpath="1").status == 404
    assert put(api, bucket, name, b"one", archpath="dir/1.txt").status == 200
    assert put(api, bucket, name, b"two" * 100_000, "1", archpath="2.txt").status == 200
    assert put(api, bucket, name, b"", "2", archpath="3").status == 200
    assert [get(api, bucket, name, archpath=one).body for one in ("dir/1.txt", "2.txt", "3")] == [
        b"one",
        b"two" * 100_000,
        b"",
    ]
    head = api.call(
        "HEAD", object_path(bucket, name), {"provider": "ais", "validate-checksum": "true", "props": "size"}
    )
    assert head.status == 200
    assert put(api, bucket, name, b"anew", archpath="only").status == 200
    assert get(api, bucket, name, archpath="2.txt").status == 404


def test_bad_writes_leave_nothing(api: Api, bucket: str):
    """No format to be told, a member that climbs, no length: 4xx, and no object."""
    assert put(api, bucket, "n.txt", b"x", archpath="a").status == 400
    assert put(api, bucket, "n.tar", b"x", archpath="../a").status == 400
    assert put(api, bucket, "n.tar", b"x", "7", archpath="a").status == 400
    assert put(api, bucket, "n.tar", b"x", archpath="a", archmime=".rar").status == 400
    assert get(api, bucket, "n.tar").status == 404
    put(api, bucket, "bad.tar", b"y" * 600)
    assert put(api, bucket, "bad.tar", b"x", "1", archpath="a").status == 400
    assert get(api, bucket, "bad.tar").body == b"y" * 600


def test_appends_at_the_same_time_are_all_kept(api: Api, bucket: str):
    """Sixteen clients add a member each: one after the other, none lost."""
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        answers = pool.map(lambda i: put(api, bucket, "busy.tar", b"%d" % i * 9000, "2", archpath=f"m{i}"), range(16))
        assert {answer.status for answer in answers} == {200}
    assert [get(api, bucket, "busy.tar", archpath=f"m{i}").body for i in range(16)] == [
        b"%d" % i * 9000 for i in range(16)
    ]


def names(api: Api, bucket: str, size: int, prefix: str = "") -> list[tuple[str, int]]:
    found, token = [], ""
    while True:
        value = {"flags": "8", "props": "name,size", "pagesize": size, "continuation_token": token, "prefix": prefix}
        page = api.call("GET", f"/v1/buckets/{bucket}", {"provider": "ais"}, body=message("list", value=value)).json()
        found += [(entry["name"], entry.get("flags", 0)) for entry in page["entries"] or []]
        token = page["continuation_token"]
        if not token:
            return found


def test_listing_inside_shards(api: Api, cluster):
    """Objects and members in one order, whatever the page size; names that sort between a shard and its members too."""
    bucket = fresh_name("inside")
    api.act("POST", f"/v1/buckets/{bucket}", "create-bck")
    for shard in ("b.tar", "c.tar"):
        put(api, bucket, shard, tar_of({f"{i}": b"x" for i in (3, 1, 2, 4, 5)}))
    for name in ("a", "b.tar-", "b.tar.x", "broken.tar", "d"):
        put(api, bucket, name, b"xx")
    members = [(f"{shard}/{i}", 192) for shard in ("b.tar", "c.tar") for i in (1, 2, 3, 4, 5)]
    shards = [("b.tar", 576), ("broken.tar", 576), ("c.tar", 576)]
    expected = sorted([*members, *shards, *((name, 64) for name in ("a", "b.tar-", "b.tar.x", "d"))])
    for size in (1, 2, 3, 7, 0):
        assert names(api, bucket, size) == expected
    assert names(api, bucket, 2, "b.tar/") == members[:5]
    api.act("DELETE", f"/v1/buckets/{bucket}", "destroy-bck")


def index_of(api: Api, bucket: str, prefix: str = "") -> dict[str, str]:
    """Have all shards indexed; the summary."""
    job = api.act("POST", f"/v1/buckets/{bucket}", "index-shard", value={"prefix": prefix})
    assert job.status == 200
    eventually(lambda: job_status(api, job.body.decode())["end_time"], within_s=60)
    assert job_status(api, job.body.decode())["err"] == ""
    return shard_summary(api, bucket, prefix)


def job_status(api: Api, uuid: str) -> dict[str, Any]:
    answer = api.call("GET", "/v1/cluster", {"what": "status"}, body=json.dumps({"id": uuid, "kind": ""}).encode())
    assert answer.status == 200
    return answer.json()


def shard_summary(api: Api, bucket: str, prefix: str = "") -> dict[str, str]:
    begun = api.act("GET", f"/v1/buckets/{bucket}", "summary-shard", value={"uuid": "", "prefix": prefix})
    assert begun.status == 202
    value = {"uuid": begun.body.decode(), "prefix": prefix}

    answer = begun

    def is_done() -> bool:
        nonlocal answer
        answer = api.act("GET", f"/v1/buckets/{bucket}", "summary-shard", value=value)
        return answer.status == 200

    eventually(is_done, within_s=60)
    return answer.json()


def test_indexes_of_shards(api: Api):
    """Built by a job, counted by a summary, of no use after an overwrite, made again by the next job."""
    bucket = fresh_name("indexed")
    api.create(bucket)
    first, second = tar_of({f"o-{i}": bytes([i]) * 3000 for i in range(50)}), tar_of({"only": b"one"})
    put(api, bucket, "s/a.tar", first)
    put(api, bucket, "s/b.tar", second)
    size = len(first) + len(second)
    put(api, bucket, "s/plain.txt", b"x")
    put(api, bucket, "bad.tar", b"y" * 700)
    assert {name: int(count) for name, count in index_of(api, bucket, "s/").items()} == {
        "tar-objs": 2, "tar-size": size, "shards": 2, "shard-size": size, "archived-objs": 51,
        "stale-indexes": 0, "invalid-indexes": 0,
    }  # fmt: skip
    assert get(api, bucket, "s/a.tar", archpath="o-49").body == bytes([49]) * 3000
    assert get(api, bucket, "s/a.tar", archpath="nosuch").status == 404
    put(api, bucket, "s/a.tar", tar_of({f"o-{i}": bytes([i + 1]) * 2000 for i in range(50)}))
    assert get(api, bucket, "s/a.tar", archpath="o-49").body == bytes([50]) * 2000
    assert shard_summary(api, bucket)["stale-indexes"] == "1"
    found = index_of(api, bucket)
    assert (found["tar-objs"], found["shards"], found["archived-objs"]) == ("3", "2", "51")
    assert get(api, bucket, "s/a.tar", archpath="o-48").body == bytes([49]) * 2000
    api.destroy(bucket)


def test_what_is_written_into_a_shard_is_indexed(api: Api):
    """An append leaves an index of the new content."""
    bucket = fresh_name("indexed")
    api.create(bucket)
    put(api, bucket, "a.zip", b"one", archpath="1")
    put(api, bucket, "a.zip", b"two", "1", archpath="2")
    found = shard_summary(api, bucket)
    assert (found["shards"], found["archived-objs"]) == ("1", "2")
    assert get(api, bucket, "a.zip", archpath="2").body == b"two"
    api.destroy(bucket)


def test_shards_of_no_bucket_have_no_summary(api: Api):
    """As AIStore says it; an ID that nobody knows is not found."""
    refused = api.act("GET", "/v1/buckets", "summary-shard", value={"uuid": "", "prefix": ""})
    assert (refused.status, refused.error["tcode"]) == (501, "ErrNotImpl")


def test_a_bucket_that_wants_indexes_on_write(api: Api):
    """Each shard has one soon after a PUT, also after the next; nothing else changes for its clients."""
    bucket = fresh_name("indexed")
    api.create(bucket)
    patch = {"shard_index": {"on_write": True}}
    assert api.act("PATCH", f"/v1/buckets/{bucket}", "set-bprops", value=patch).status == 200
    assert api.act("PATCH", f"/v1/buckets/{bucket}", "set-bprops", value={"shard_index": {"x": 1}}).status == 400
    for content in (b"one", b"other"):
        put(api, bucket, "a.tar", tar_of({"m": content}))
        put(api, bucket, "plain", content)
        eventually(lambda: shard_summary(api, bucket)["shards"] == "1", within_s=60)
        assert get(api, bucket, "a.tar", archpath="m").body == content
    api.destroy(bucket)
