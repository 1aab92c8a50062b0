"""Bucket requests on the wire (wire contract §9): statuses, texts, properties, the summary's polling protocol."""

import json
import re
import time

import pytest
from harness.wire import Answer, Api, fresh_name


def props_of(answer: Answer) -> dict:
    """The bucket properties a HEAD carries."""
    return json.loads(answer.header("Ais-Bucket-Props"))


def head(api: Api, bucket: str, **query: str) -> Answer:
    """HEAD of a bucket."""
    return api.call("HEAD", f"/v1/buckets/{bucket}", {"provider": "ais", **query})


def test_create_twice_and_destroy(api: Api):
    """The trace of §20.1: 200 empty, 409 with AIStore's text, 200 empty, 404 with Hdr-Error."""
    name = fresh_name()
    created = api.create(name)
    assert (created.status, created.body) == (200, b"")
    again = api.create(name)
    assert again.status == 409
    assert again.error["tcode"] == "ErrBucketAlreadyExists"
    assert again.error["message"] == f'bucket "ais://{name}" already exists'
    assert again.error["status"] == 409
    assert again.error["url_path"] == f"/v1/buckets/{name}"
    destroyed = api.destroy(name)
    assert (destroyed.status, destroyed.body) == (200, b"")
    missing = head(api, name)
    assert (missing.status, missing.body) == (404, b"")
    assert json.loads(missing.header("Hdr-Error"))["message"] == f'bucket "ais://{name}" does not exist'


def test_list_buckets(api: Api, bucket: str):
    """A JSON array in AIStore's shape, ending in a newline, sorted."""
    answer = api.act("GET", "/v1/buckets", "list", query={"provider": "ais", "presence": "0"})
    assert answer.status == 200
    assert answer.header("Content-Type") == "application/json; charset=utf-8"
    assert answer.header("Content-Length") == str(len(answer.body))
    assert answer.body.endswith(b"]\n")
    assert {"name": bucket, "provider": "ais", "namespace": {"uuid": "", "name": ""}} in answer.json()
    keys = [(b["provider"], b["namespace"]["name"], b["name"]) for b in answer.json()]
    assert keys == sorted(keys)


def test_list_buckets_when_there_are_none(api: Api):
    """No buckets is an empty array, never null."""
    answer = api.act("GET", "/v1/buckets", "list", query={"provider": "ais", "namespace": "@#nosuch"})
    assert (answer.status, answer.json()) == (200, [])


def test_head_carries_every_section(api: Api, bucket: str):
    """Ais-Bucket-Props has the sections of §9.7 with strings where AIStore has strings."""
    answer = head(api, bucket)
    assert (answer.status, answer.body) == (200, b"")
    props = props_of(answer)
    sections = {"backend_bck", "write_policy", "checksum", "ec", "mirror", "lru", "versioning", "chunks", "rate_limit"}
    assert sections <= set(props)
    for key in ("access", "features", "bid", "created"):
        assert re.fullmatch(r"\d+", props[key]), key
    assert int(props["bid"]) >> 63 == 1
    assert abs(int(props["created"]) - time.time_ns()) < 120 * 10**9
    assert props["checksum"]["type"] == "xxhash2"


def test_create_with_properties(api: Api):
    """Properties given at creation are in force from the start."""
    name = fresh_name()
    value = {"checksum": {"type": "md5"}, "versioning": {"enabled": False}}
    assert api.create(name, value).status == 200
    try:
        props = props_of(head(api, name))
        assert props["checksum"]["type"] == "md5"
        assert props["versioning"]["enabled"] is False
        assert api.put(name, "o", b"x").header("Ais-Checksum-Type") == "md5"
        assert api.put(name, "o", b"y").status == 200
    finally:
        api.destroy(name)


def test_set_and_reset_properties(api: Api, bucket: str):
    """PATCH sets single properties and resets all to the cluster's; the answer is empty when no job starts."""
    path = f"/v1/buckets/{bucket}"
    changed = api.act("PATCH", path, "set-bprops", value={"Checksum": {"TYPE": "sha256"}}, query={"provider": "ais"})
    assert (changed.status, changed.body) == (200, b"")
    props = props_of(head(api, bucket))
    assert props["checksum"]["type"] == "sha256"
    assert props["versioning"]["enabled"] is True
    reset = api.act("PATCH", path, "reset-bprops", query={"provider": "ais"})
    assert reset.status == 200
    assert props_of(head(api, bucket))["checksum"]["type"] == "xxhash2"


def test_access_bits(api: Api, bucket: str):
    """A bucket that only allows reading refuses writes with 403 and the allowed operations."""
    api.put(bucket, "o", b"kept")
    read_only = str(1 << 0 | 1 << 1 | 1 << 8 | 1 << 9)
    path = f"/v1/buckets/{bucket}"
    assert api.act("PATCH", path, "set-bprops", value={"access": read_only}).status == 200
    try:
        refused = [
            api.put(bucket, "o", b"new"),
            api.delete(bucket, "o"),
            api.destroy(bucket),
            api.act("PATCH", f"/v1/objects/{bucket}/o", "", value={"k": "v"}, query={"provider": "ais"}),
        ]
        for answer in refused:
            assert answer.status == 403
            assert "access denied" in answer.error["message"]
        assert api.get(bucket, "o").body == b"kept"
        assert api.names(bucket) == ["o"]
    finally:
        assert api.act("PATCH", path, "set-bprops", value={"access": str(2**64 - 1)}).status == 200
    assert api.put(bucket, "o", b"new").status == 200


def test_presence_of_a_bucket(api: Api, bucket: str):
    """presence=2 asks about the cluster only: 200 for a bucket it has, 404 for one it has not."""
    assert head(api, bucket, presence="2").status == 200
    assert head(api, fresh_name("nosuch"), presence="2").status == 404


def test_summary_protocol(api: Api, bucket: str):
    """202 with a bare id, then 202 or 206 until 200 with the array; numbers that AIStore quotes are quoted."""
    api.put(bucket, "a/1", b"12345")
    api.put(bucket, "b/2", b"1234567")

    def ask(uuid: str, prefix: str = "") -> Answer:
        value = {"uuid": uuid, "prefix": prefix, "cached": True, "present": True}
        return api.act("GET", f"/v1/buckets/{bucket}", "summary-bck", value=value, query={"provider": "ais"})

    for prefix, sizes in (("", [5, 7]), ("a/", [5])):
        started = ask("", prefix)
        assert started.status == 202
        uuid = started.body.decode()
        assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{7,30}[A-Za-z0-9]", uuid)
        answer = ask(uuid, prefix)
        while answer.status in (202, 206):
            time.sleep(0.05)
            answer = ask(uuid, prefix)
        assert answer.status == 200
        (summary,) = answer.json()
        assert summary["name"] == bucket
        assert summary["namespace"] == {"uuid": "", "name": ""}
        assert summary["ObjCount"] == {"obj_count_present": str(len(sizes)), "obj_count_remote": "0"}
        assert summary["TotalSize"]["size_all_present_objs"] == str(sum(sizes))
        assert summary["TotalSize"]["size_all_remote_objs"] == "0"
        assert isinstance(summary["used_pct"], int)
        assert summary["is_present"] is True


def test_summary_in_headers(api: Api, bucket: str):
    """HEAD with bsumm_remote: 202 with id and properties, then 200 with Ais-Bucket-Summ; the prefix is remembered."""
    api.put(bucket, "a/1", b"12345")
    api.put(bucket, "b/2", b"1234567")
    started = api.call("HEAD", f"/v1/buckets/{bucket}/a/", {"provider": "ais", "presence": "0", "bsumm_remote": "True"})
    assert started.status == 202
    assert props_of(started)["provider"] == "ais"
    uuid = started.header("Ais-Xaction-Id")
    answer = head(api, bucket, presence="0", bsumm_remote="True", uuid=uuid)
    while answer.status in (202, 206):
        time.sleep(0.05)
        answer = head(api, bucket, presence="0", bsumm_remote="True", uuid=uuid)
    assert answer.status == 200
    assert answer.header("Ais-Xaction-Id") == uuid
    summary = json.loads(answer.header("Ais-Bucket-Summ"))
    assert summary["ObjCount"]["obj_count_present"] == "1"
    assert summary["TotalSize"]["size_all_present_objs"] == "5"


def test_rename_answers_a_bare_id(api: Api, bucket: str):
    """move-bck answers the job's id as plain text; its status is queryable afterwards, with an end time."""
    api.put(bucket, "o", b"moved")
    renamed = fresh_name("renamed")
    query = {"provider": "ais", "bck_to": f"ais/@#/{renamed}/"}
    answer = api.act("POST", f"/v1/buckets/{bucket}", "move-bck", query=query)
    try:
        assert answer.status == 200
        uuid = answer.body.decode()
        assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{7,30}[A-Za-z0-9]", uuid)
        deadline = time.monotonic() + 60
        status: dict = {"end_time": 0}
        while not status["end_time"]:
            assert time.monotonic() < deadline
            body = json.dumps({"id": uuid, "kind": "", "show_active": None}).encode()
            status = api.call("GET", "/v1/cluster", {"what": "status"}, body=body).json()
        assert status["uuid"] == uuid
        assert status["kind"] == "move-bck"
        assert status["err"] == ""
        assert status["aborted"] is False
        assert api.get(renamed, "o").body == b"moved"
        snaps = api.call("GET", "/v1/cluster", {"what": "qryxstats"}, body=body).json()
        assert set(snaps) == set(api.smap()["tmap"])
        for (snap,) in snaps.values():
            assert snap["id"] == uuid
            assert snap["kind"] == "move-bck"
            assert not snap["end-time"].startswith("0001")
            assert isinstance(snap["stats"]["loc-objs"], str)
    finally:
        api.destroy(renamed)


@pytest.mark.parametrize("same", [True, False], ids=["itself", "existing"])
def test_rename_onto_what_exists(api: Api, bucket: str, same: bool):
    """Renaming onto itself or onto another bucket is a 400; both stay as they were."""
    api.put(bucket, "o", b"x")
    other = bucket if same else fresh_name("other")
    if not same:
        api.create(other)
    try:
        query = {"provider": "ais", "bck_to": f"ais/@#/{other}/"}
        answer = api.act("POST", f"/v1/buckets/{bucket}", "move-bck", query=query)
        assert answer.status == 400
        if same:
            assert f'cannot move-bck bucket "ais://{bucket}" onto itself' in answer.error["message"]
        else:
            assert answer.error["tcode"] == "ErrBucketAlreadyExists"
        assert api.get(bucket, "o").body == b"x"
    finally:
        if not same:
            api.destroy(other)


def test_bmd(api: Api, bucket: str):
    """what=bmd nests provider, namespace, bucket; the version is a string that grows."""

    def bmd() -> dict:
        return api.call("GET", "/v1/daemon", {"what": "bmd"}).json()

    before = bmd()
    assert before["providers"]["ais"]["@#"][bucket]["checksum"]["type"] == "xxhash2"
    assert isinstance(before["version"], str)
    api.act("PATCH", f"/v1/buckets/{bucket}", "set-bprops", value={"checksum": {"type": "md5"}})
    assert int(bmd()["version"]) > int(before["version"])
    assert bmd()["uuid"] == before["uuid"]


def test_a_change_through_any_proxy(cluster, api: Api):
    """Buckets are made and destroyed through a proxy that is not the primary as well, seen by all at once."""
    for node in cluster.proxies:
        name = fresh_name()
        assert Api(node.url).create(name).status == 200
        for other in cluster.proxies:
            assert Api(other.url).put(name, "o", b"x").status == 200
        assert Api(node.url).destroy(name).status == 200
        for other in cluster.proxies:
            assert Api(other.url).get(name, "o").status == 404
