"""Object requests on the wire: the exact status, header and body of wire contract §2, §8, §10 and §20."""

import hashlib
import json
import re
import time
import urllib.parse
from email.utils import parsedate_to_datetime

import pytest
import xxhash
from harness.nodes import eventually
from harness.wire import Answer, Api, RawConnection, fresh_name, message, object_path

CONTENT = b"hello"


def owner_of(api: Api, answer: Answer) -> dict:
    """The target a redirect points to."""
    origin = "{0.scheme}://{0.netloc}".format(urllib.parse.urlsplit(answer.header("Location")))
    return next(t for t in api.smap()["tmap"].values() if t["public_net"]["direct_url"] == origin)


@pytest.mark.parametrize(
    ("method", "status"), [("GET", 301), ("HEAD", 307), ("PUT", 307), ("DELETE", 307), ("PATCH", 307), ("POST", 307)]
)
def test_redirects(api: Api, bucket: str, method: str, status: int):
    """The proxy answers 301 for GET and 307 for the rest; Location keeps path and query and adds pid and utm."""
    query = {"provider": "ais", "props": "name,size"}
    body = message("rename-obj", "other") if method == "POST" else b""
    path = object_path(bucket, "dir/a b+c%ü")
    answer = api.call(method, path, query, body=body, redirects=False)
    assert answer.status == status
    location = urllib.parse.urlsplit(answer.header("Location"))
    assert urllib.parse.unquote(location.path) == f"/v1/objects/{bucket}/dir/a b+c%ü"
    assert re.fullmatch(r"[!-~]+", location.path)
    sent = urllib.parse.parse_qs(location.query)
    assert sent["provider"] == ["ais"]
    assert sent["props"] == ["name,size"]
    assert sent["pid"][0] in api.smap()["pmap"]
    assert abs(int(sent["utm"][0]) - time.time_ns()) < 5 * 10**9
    assert owner_of(api, answer)


def test_the_same_target_through_every_proxy(api: Api, bucket: str, cluster):
    """Two proxies send one name to one target."""
    for name in ("a", "dir/b", "日本"):
        owners = {
            owner_of(api, Api(node.url).call("GET", object_path(bucket, name), redirects=False))["daemon_id"]
            for node in cluster.proxies
        }
        assert len(owners) == 1


def test_put_get_head_delete(api: Api, bucket: str):
    """The trace of §20.1: every status, every header name as spelled, every value."""
    put = api.put(bucket, "dir/o1", CONTENT)
    assert put.status == 200
    assert put.body == b""
    assert {"Ais-Checksum-Type", "Ais-Checksum-Value", "Ais-Version", "Ais-Atime"} <= put.header_names()
    for answer in (put, api.get(bucket, "dir/o1")):
        assert answer.status == 200
        assert answer.header("Ais-Checksum-Type") == "xxhash2"
        assert answer.header("Ais-Checksum-Value") == xxhash.xxh64_hexdigest(CONTENT)
        assert answer.header("Ais-Version") == "1"
        assert abs(int(answer.header("Ais-Atime")) - time.time_ns()) < 60 * 10**9
    get = api.get(bucket, "dir/o1")
    assert get.body == CONTENT
    assert get.header("Content-Length") == "5"
    assert get.header("Content-Type") == "application/octet-stream"
    head = api.head(bucket, "dir/o1", props="name,size")
    assert (head.status, head.body) == (200, b"")
    assert head.header("Content-Length") == "5"
    assert head.header("Ais-Present") == "true"
    assert head.header("Ais-Checksum-Value") is None
    gone = api.delete(bucket, "dir/o1")
    assert (gone.status, gone.body) == (200, b"")
    again = api.delete(bucket, "dir/o1")
    assert again.status == 404
    assert f"ais://{bucket}/dir/o1" in again.error["message"]


def test_error_body(api: Api, bucket: str):
    """An error is JSON with AIStore's keys, and its status is the status line's."""
    answer = api.call("GET", object_path(bucket, "nosuch"), {"provider": "ais"}, headers={"Ais-Caller-Name": "me"})
    assert answer.status == 404
    assert answer.header("Content-Type").split(";")[0] == "application/json"
    assert answer.header("X-Content-Type-Options") == "nosniff"
    error = answer.error
    assert set(error) == {"tcode", "message", "method", "url_path", "remote_addr", "caller", "node", "status"}
    assert error["tcode"] == "ErrNotFound"
    assert f"ais://{bucket}/nosuch does not exist" in error["message"]
    assert error["method"] == "GET"
    assert error["url_path"] == f"/v1/objects/{bucket}/nosuch"
    assert re.fullmatch(r"127\.0\.0\.1:\d+", error["remote_addr"])
    assert error["caller"] == "me"
    assert re.fullmatch(r"t\[.+\]", error["node"])
    assert error["status"] == 404


def test_error_of_head_is_in_a_header(api: Api, bucket: str):
    """A failed HEAD has no body; its error JSON is in Hdr-Error, from proxy and target alike."""
    of_target = api.head(bucket, "nosuch", props="name")
    of_proxy = api.head(fresh_name("nosuch"), "o", props="name")
    for answer, tcode, node in ((of_target, "ErrNotFound", "t["), (of_proxy, "ErrBckNotFound", "p[")):
        assert (answer.status, answer.body) == (404, b"")
        error = json.loads(answer.header("Hdr-Error"))
        assert error["status"] == 404
        assert error["method"] == "HEAD"
        assert error["tcode"] == tcode
        assert error["node"].startswith(node)


def test_missing_bucket_text(api: Api):
    """The message of a missing bucket names it without a slash, or the Python SDK takes it for an object's."""
    name = fresh_name("nosuch")
    answer = api.get(name, "o")
    assert answer.status == 404
    assert answer.error["tcode"] == "ErrBckNotFound"
    assert f'bucket "ais://{name}" does not exist' in answer.error["message"]
    assert f"ais://{name}/" not in answer.body.decode()


@pytest.mark.parametrize(
    ("spec", "content_range", "part"),
    [
        ("bytes=0-4", "bytes 0-4/26", slice(0, 5)),
        ("bytes=25-25", "bytes 25-25/26", slice(25, 26)),
        ("bytes=20-", "bytes 20-25/26", slice(20, 26)),
        ("bytes=-3", "bytes 23-25/26", slice(23, 26)),
        ("bytes=-100", "bytes 0-25/26", slice(0, 26)),
        ("bytes=10-1000", "bytes 10-25/26", slice(10, 26)),
    ],
)
def test_range(api: Api, bucket: str, spec: str, content_range: str, part: slice):
    """A satisfiable range is a 206 with Content-Range, and the whole object's checksum."""
    content = b"abcdefghijklmnopqrstuvwxyz"
    api.put(bucket, "o", content)
    answer = api.get(bucket, "o", {"Range": spec})
    assert answer.status == 206
    assert answer.body == content[part]
    assert answer.header("Content-Range") == content_range
    assert answer.header("Content-Length") == str(len(content[part]))
    assert answer.header("Accept-Ranges") == "bytes"
    assert answer.header("Ais-Checksum-Value") == xxhash.xxh64_hexdigest(content)


@pytest.mark.parametrize("spec", ["bytes=26-", "bytes=100-200", "bytes=5-2", "bytes=-0", "bytes=0-1,5-6"])
def test_range_not_satisfiable(api: Api, bucket: str, spec: str):
    """A range that cannot be served is a 416 which tells the size."""
    api.put(bucket, "o", b"abcdefghijklmnopqrstuvwxyz")
    answer = api.get(bucket, "o", {"Range": spec})
    assert answer.status == 416
    assert answer.header("Content-Range") == "bytes */26"
    assert answer.error["tcode"] == "ErrRangeNotSatisfiable"


def test_range_checksum_when_the_bucket_wants_it(api: Api, bucket: str):
    """With checksum.enable_read_range the checksum of a 206 is the range's own."""
    api.act("PATCH", f"/v1/buckets/{bucket}", "set-bprops", value={"checksum": {"enable_read_range": True}})
    api.put(bucket, "o", b"0123456789")
    answer = api.get(bucket, "o", {"Range": "bytes=2-5"})
    assert answer.body == b"2345"
    assert answer.header("Ais-Checksum-Value") == xxhash.xxh64_hexdigest(b"2345")


def test_claimed_checksum_is_verified(api: Api, bucket: str):
    """A right claim is accepted; a wrong one is 500 with the text clients match, and leaves the old object."""
    right = {"Ais-Checksum-Type": "xxhash2", "Ais-Checksum-Value": xxhash.xxh64_hexdigest(CONTENT)}
    assert api.put(bucket, "o", CONTENT, right).status == 200
    computed = xxhash.xxh64_hexdigest(b"other")
    wrong = api.put(bucket, "o", b"other", {"Ais-Checksum-Type": "xxhash2", "Ais-Checksum-Value": "badchecksum"})
    assert wrong.status == 500
    assert wrong.error["tcode"] == "ErrBadCksum"
    assert f"BAD DATA CHECKSUM: xxhash2(badchecksum != {computed})" in wrong.error["message"]
    assert f"ais://{bucket}/o" in wrong.error["message"]
    assert api.get(bucket, "o").body == CONTENT
    new = api.put(bucket, "new", b"other", {"Ais-Checksum-Type": "xxhash2", "Ais-Checksum-Value": "badchecksum"})
    assert new.status == 500
    assert api.get(bucket, "new").status == 404
    assert api.names(bucket) == ["o"]


@pytest.mark.parametrize("kind", ["xxhash", "xxhash2", "md5", "crc32c", "sha256", "sha512", "none"])
def test_checksum_kind_of_the_bucket(api: Api, bucket: str, kind: str):
    """Objects carry the checksum their bucket asks for, and none when it asks for none."""
    answer = api.act("PATCH", f"/v1/buckets/{bucket}", "set-bprops", value={"checksum": {"type": kind}})
    assert answer.status == 200
    content = b"0123456789"
    api.put(bucket, "o", content)
    expected = {
        "xxhash": "3f5fc178a81867e7",
        "xxhash2": "3f5fc178a81867e7",
        "md5": hashlib.md5(content).hexdigest(),
        "crc32c": "280c069e",
        "sha256": hashlib.sha256(content).hexdigest(),
        "sha512": hashlib.sha512(content).hexdigest(),
        "none": None,
    }[kind]
    for got in (api.get(bucket, "o"), api.head(bucket, "o", props="checksum")):
        assert got.header("Ais-Checksum-Value") == expected
        assert got.header("Ais-Checksum-Type") == (kind if expected else None)


def test_same_content_again_changes_nothing(api: Api, bucket: str):
    """A PUT whose checksum is the stored one is a 200 that keeps version and custom metadata."""
    api.put(bucket, "o", CONTENT, {"Ais-Custom-Md": "k=v"})
    claim = {"Ais-Checksum-Type": "xxhash2", "Ais-Checksum-Value": xxhash.xxh64_hexdigest(CONTENT)}
    again = api.put(bucket, "o", CONTENT, {**claim, "Ais-Custom-Md": "k=v"})
    assert again.status == 200
    assert again.header("Ais-Version") == "1"
    head = api.head(bucket, "o", props="version,custom")
    assert head.header("Ais-Version") == "1"
    assert head.header_all("Ais-Custom-Md") == ["k=v"]


def test_custom_metadata_travels_as_repeated_headers(api: Api, cluster, bucket: str):
    """Several Ais-Custom-Md lines in, the same lines out of PUT, GET and HEAD."""
    redirect = api.call("PUT", object_path(bucket, "o"), {"provider": "ais"}, redirects=False)
    location = urllib.parse.urlsplit(redirect.header("Location"))
    lines = [("Content-Length", "5"), ("Ais-Custom-Md", "a=1"), ("Ais-Custom-Md", "b=x=y"), ("Ais-Custom-Md", "c=")]
    with RawConnection(f"{location.scheme}://{location.netloc}") as connection:
        connection.send_head("PUT", f"{location.path}?{location.query}", lines)
        connection.send(CONTENT)
        put = connection.answer()
    assert put.status == 200
    expected = ["a=1", "b=x=y", "c="]
    for answer in (put, api.get(bucket, "o"), api.head(bucket, "o", props="custom"), api.head(bucket, "o")):
        assert sorted(answer.header_all("Ais-Custom-Md")) == expected
    patched = api.act("PATCH", object_path(bucket, "o"), "", value={"d": "4"}, query={"provider": "ais"})
    assert (patched.status, patched.body) == (200, b"")
    assert sorted(api.get(bucket, "o").header_all("Ais-Custom-Md")) == [*expected, "d=4"]


def test_head_v2_answers_what_was_asked(api: Api, bucket: str):
    """Each property alone gives its header; the ETag is quoted; size is announced even when it is zero."""
    api.put(bucket, "o", CONTENT)
    api.put(bucket, "empty", b"")
    wanted = {
        "checksum": "Ais-Checksum-Value",
        "atime": "Ais-Atime",
        "version": "Ais-Version",
        "location": "Ais-Location",
        "copies": "Ais-Mirror-Copies",
        "last-modified": "Last-Modified",
        "etag": "ETag",
    }
    for prop, header in wanted.items():
        answer = api.head(bucket, "o", props=prop)
        assert answer.status == 200
        assert answer.header(header), prop
        assert {name for name in wanted.values() if answer.header(name)} == {header}
    assert re.fullmatch(r'".+"', api.head(bucket, "o", props="etag").header("ETag"))
    parsedate_to_datetime(api.head(bucket, "o", props="last-modified").header("Last-Modified"))
    assert re.fullmatch(r"t\[.+\]:.+", api.head(bucket, "o", props="location").header("Ais-Location"))
    assert api.head(bucket, "empty", props="name").header("Content-Length") == "0"
    assert api.head(bucket, "o", props="chunked").header("Ais-Chunks-Count") is None


def test_head_v1_has_everything(api: Api, bucket: str):
    """HEAD without props carries name, bucket, location, copies, presence and the GET headers."""
    api.put(bucket, "dir/o", CONTENT)
    answer = api.head(bucket, "dir/o")
    assert answer.status == 200
    assert answer.header("Content-Length") == "5"
    assert answer.header("Ais-Name") == "dir/o"
    assert answer.header("Ais-Bucket-Name") == bucket
    assert answer.header("Ais-Bucket-Provider") == "ais"
    assert answer.header("Ais-Present") == "true"
    assert answer.header("Ais-Version") == "1"
    assert answer.header("Ais-Checksum-Value") == xxhash.xxh64_hexdigest(CONTENT)
    assert answer.header("Ais-Mirror-Copies") == "1"
    assert re.fullmatch(r"\[/.+\]", answer.header("Ais-Mirror-Paths"))
    assert answer.header("Ais-Location").startswith("t[")


@pytest.mark.parametrize("presence", ["1", "3"])
def test_head_presence_without_props(api: Api, bucket: str, presence: str):
    """presence=1 and 3 ask for the status only."""
    api.put(bucket, "o", CONTENT)
    answer = api.head(bucket, "o", presence=presence)
    assert answer.status == 200
    assert answer.header("Ais-Version") is None
    assert api.head(bucket, "nosuch", presence=presence).status == 404


def test_direct_access_at_a_target(api: Api, bucket: str):
    """A target serves GET and HEAD without a redirect's marks, and refuses writes without them."""
    api.put(bucket, "o", CONTENT)
    redirect = api.call("GET", object_path(bucket, "o"), {"provider": "ais"}, redirects=False)
    target = Api(owner_of(api, redirect)["public_net"]["direct_url"])
    assert target.get(bucket, "o").body == CONTENT
    assert target.head(bucket, "o", props="size").header("Content-Length") == "5"
    for method, body in (
        ("PUT", b"x"),
        ("DELETE", b""),
        ("PATCH", message("", value={})),
        ("POST", message("rename-obj", "x")),
    ):
        refused = target.call(method, object_path(bucket, "o"), {"provider": "ais"}, body=body)
        assert refused.status == 400, method
        assert "is expected to be redirected" in refused.error["message"]
    assert target.get(bucket, "o").body == CONTENT


def test_direct_read_at_the_wrong_target(api: Api, bucket: str):
    """A target that does not own the name sends the client to the one that does; what is nowhere is 404 there."""
    api.put(bucket, "o", CONTENT)
    redirect = api.call("GET", object_path(bucket, "o"), {"provider": "ais"}, redirects=False)
    owner = owner_of(api, redirect)["daemon_id"]
    for target_id, snode in api.smap()["tmap"].items():
        if target_id != owner:
            other = Api(snode["public_net"]["direct_url"])
            assert other.get(bucket, "o").body == CONTENT
            missing = other.get(bucket, "nosuch")
            assert (missing.status, missing.error["tcode"]) == (404, "ErrNotFound")


def test_copy(api: Api, bucket: str):
    """PUT with object_to copies to a uname, body ignored, and answers 200."""
    api.put(bucket, "src", CONTENT, {"Ais-Custom-Md": "k=v"})
    for number in range(6):
        query = {"provider": "ais", "object_to": f"ais/@#/{bucket}/dst{number}"}
        assert api.call("PUT", object_path(bucket, "src"), query).status == 200
        copy = api.get(bucket, f"dst{number}")
        assert copy.body == CONTENT
        assert copy.header("Ais-Checksum-Value") == xxhash.xxh64_hexdigest(CONTENT)
        assert copy.header_all("Ais-Custom-Md") == ["k=v"]


def test_rename(api: Api, bucket: str):
    """rename-obj moves an object to its new name, wherever that lives; the old one is gone."""
    for number in range(6):
        api.put(bucket, f"old{number}", b"content %d" % number)
        answer = api.act(
            "POST", object_path(bucket, f"old{number}"), "rename-obj", name=f"new{number}", query={"provider": "ais"}
        )
        assert (answer.status, answer.body) == (200, b"")
        assert api.get(bucket, f"new{number}").body == b"content %d" % number
        assert api.get(bucket, f"old{number}").status == 404
    assert api.names(bucket) == [f"new{number}" for number in range(6)]


def test_append(api: Api, bucket: str):
    """The trace of §20.3: handles lead back to the same target, a retried handle does not write twice."""

    def append(kind: str, handle: str, body: bytes = b"", headers: dict | None = None) -> Answer:
        query = {"provider": "ais", "append_type": kind, "append_handle": handle}
        return api.call("PUT", object_path(bucket, "log"), query, body=body, headers=headers)

    first = append("append", "", b"one,")
    assert first.status == 200
    handle = first.header("Ais-Append-Handle")
    assert handle.split("|")[0] in api.smap()["tmap"]
    second = append("append", handle, b"two,")
    retried = append("append", handle, b"two,")
    assert retried.status == 200
    assert retried.header("Ais-Append-Handle") == second.header("Ais-Append-Handle")
    assert api.get(bucket, "log").status == 404
    sums = {"Ais-Checksum-Type": "xxhash2", "Ais-Checksum-Value": xxhash.xxh64_hexdigest(b"one,two,")}
    flushed = append("flush", second.header("Ais-Append-Handle"), headers=sums)
    assert (flushed.status, flushed.body) == (200, b"")
    assert api.get(bucket, "log").body == b"one,two,"


def test_check_lock(api: Api, bucket: str):
    """check-lock of an object nobody writes is a 200."""
    api.put(bucket, "o", CONTENT)
    assert api.act("POST", object_path(bucket, "o"), "check-lock", query={"provider": "ais"}).status == 200


def test_content_type_is_ignored(api: Api, bucket: str):
    """The SDK says application/json on everything; a PUT of anything is content all the same."""
    assert api.put(bucket, "o", b"{not json", {"Content-Type": "application/json"}).status == 200
    assert api.get(bucket, "o").body == b"{not json"


def test_easy_url(api: Api, bucket: str):
    """/ais/bucket/object reads and writes objects, /ais/bucket lists it, /ais lists buckets."""
    assert api.call("PUT", f"/ais/{bucket}/dir/o", body=CONTENT).status == 200
    assert api.call("GET", f"/ais/{bucket}/dir/o").body == CONTENT
    assert api.call("HEAD", f"/ais/{bucket}/dir/o").header("Content-Length") == "5"
    listed = api.call("GET", f"/ais/{bucket}")
    assert [entry["name"] for entry in listed.json()["entries"]] == ["dir/o"]
    assert bucket in {b["name"] for b in api.call("GET", "/ais").json()}
    assert api.call("DELETE", f"/ais/{bucket}/dir/o").status == 200
    assert api.get(bucket, "dir/o").status == 404


def test_escaped_slash_plus_and_percent(api: Api, bucket: str):
    """%2F is a slash, + is itself, %25 is a percent sign: in storing, listing and reading alike."""
    path = f"/v1/objects/{bucket}/a%2Fb+c%25d"
    assert api.call("PUT", path, {"provider": "ais"}, body=CONTENT).status == 200
    assert api.names(bucket) == ["a/b+c%d"]
    assert api.get(bucket, "a/b+c%d").body == CONTENT
    assert api.call("GET", path).body == CONTENT


def test_provider_aliases_and_default(api: Api, bucket: str):
    """Without a provider the bucket is ais://."""
    api.put(bucket, "o", CONTENT)
    assert api.call("GET", object_path(bucket, "o")).body == CONTENT


def test_rechunk(api: Api, bucket: str):
    """Objects from a size on have chunks, as HEAD and listings say; content stays as it is, and 0 undoes it."""
    content = bytes(range(250)) * 100
    api.put(bucket, "c/large", content)
    api.put(bucket, "c/small", CONTENT)
    bad = api.act("POST", f"/v1/buckets/{bucket}", "rechunk", value={"objsize-limit": 10, "chunk-size": 0})
    assert bad.status == 400
    for limit, chunks in (
        (10_000, {"c/large": ("3", "10000"), "c/small": (None, None)}),
        (0, {"c/large": (None, None)}),
    ):
        value = {"objsize-limit": limit, "chunk-size": 10_000, "prefix": "c/"}
        started = api.act("POST", f"/v1/buckets/{bucket}", "rechunk", value=value)
        assert started.status == 200, started.body
        query = json.dumps({"id": started.body.decode()}).encode()
        eventually(
            lambda query=query: api.call("GET", "/v1/cluster", {"what": "status"}, body=query).json()["end_time"],
            within_s=60,
        )
        for name, (count, largest) in chunks.items():
            head = api.head(bucket, name, props="chunked,size,checksum")
            assert (head.header("Ais-Chunks-Count"), head.header("Ais-Chunks-Max-Chunk-Size")) == (count, largest)
        listed = {one["n"]: int(one.get("f", 0)) for one in api.entries(bucket, prefix="c/", props="name,chunked")}
        assert bool(listed["c/large"] & 1 << 13) is (limit > 0)
        assert not listed["c/small"] & 1 << 13
        assert api.get(bucket, "c/large").body == content
