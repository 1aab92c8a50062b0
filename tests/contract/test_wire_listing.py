"""Listings on the wire (wire contract §11): msgpack and JSON pages, tokens, flags, properties."""

import re

import pytest
from harness.wire import MSGPACK, Api, fresh_name

NAMES = [f"dir{number // 5}/o{number:02}" for number in range(20)]
NAME_ONLY, NO_RECURSION, NO_DIRS, NOT_CACHED, DIFF = 1 << 4, 1 << 11, 1 << 13, 1 << 9, 1 << 12


@pytest.fixture(scope="module")
def listed(api: Api):
    """A bucket with NAMES, each holding its own name."""
    name = fresh_name("listed")
    assert api.create(name).status == 200
    for one in NAMES:
        assert api.put(name, one, one.encode(), {"Ais-Custom-Md": "k=v"}).status == 200
    yield name
    api.destroy(name)


def test_msgpack_page(api: Api, listed: str):
    """Accept exactly application/msgpack gives AIStore's map, zero values left out of entries."""
    request = {
        "prefix": "",
        "pagesize": 0,
        "uuid": "",
        "props": "",
        "continuation_token": "",
        "flags": "0",
        "target": "",
    }
    answer = api.page(listed, MSGPACK, **request)
    assert answer.status == 200
    assert answer.header("Content-Type") == "application/msgpack"
    assert answer.header("Content-Length") == str(len(answer.body))
    page = answer.msgpack()
    assert set(page) == {"UUID", "ContinuationToken", "Entries", "Flags"}
    assert page["ContinuationToken"] == ""
    assert page["Flags"] == 0
    assert page["UUID"]
    assert page["Entries"] == [{"n": name, "s": len(name), "f": 64} for name in NAMES]


def test_json_page(api: Api, listed: str):
    """Without the msgpack Accept the page is JSON with sizes as strings."""
    answer = api.page(listed, {"Accept": "application/json"}, props="name,size,checksum,version")
    assert answer.header("Content-Type") == "application/json; charset=utf-8"
    page = answer.json()
    assert page["continuation_token"] == ""
    assert page["flags"] == 0
    assert [entry["name"] for entry in page["entries"]] == NAMES
    assert {entry["size"] for entry in page["entries"]} == {str(len(name)) for name in NAMES}
    assert {entry["version"] for entry in page["entries"]} == {"1"}


def test_pages_and_the_exact_fit(api: Api, listed: str):
    """A full page has a token, its last name; after an exact fit comes one empty page."""
    token = uuid = ""
    pages = []
    while True:
        page = api.page(listed, pagesize=10, uuid=uuid, continuation_token=token).msgpack()
        pages.append([entry["n"] for entry in page["Entries"] or ()])
        token, uuid = page["ContinuationToken"], page["UUID"]
        if not token:
            break
        assert token == pages[-1][-1]
    assert pages == [NAMES[:10], NAMES[10:], []]


def test_token_works_on_another_proxy(listed: str, cluster):
    """A listing can go on through another proxy: nothing is needed but the token."""
    first = Api(cluster.proxies[0].url).page(listed, pagesize=7).msgpack()
    second = (
        Api(cluster.proxies[1].url)
        .page(listed, pagesize=100, uuid=first["UUID"], continuation_token=first["ContinuationToken"])
        .msgpack()
    )
    assert [entry["n"] for entry in first["Entries"] + second["Entries"]] == NAMES


def test_token_of_a_name_that_is_gone(api: Api, bucket: str):
    """A token names a place, not an object: the object may be deleted meanwhile."""
    for name in "abcdef":
        api.put(bucket, name, b"")
    page = api.page(bucket, pagesize=3).msgpack()
    assert page["ContinuationToken"] == "c"
    api.delete(bucket, "c")
    rest = api.page(bucket, uuid=page["UUID"], continuation_token="c").msgpack()
    assert [entry["n"] for entry in rest["Entries"]] == ["d", "e", "f"]


def test_props(api: Api, listed: str):
    """Each property under its short key; custom metadata as AIStore prints it; times in the layout asked for."""
    props = "name,size,version,checksum,atime,cached,status,copies,location,custom"
    value = {"props": props, "time_format": "2006-01-02T15:04:05Z07:00", "flags": "0"}
    for entry in api.page(listed, **value).msgpack()["Entries"]:
        assert set(entry) == {"n", "s", "v", "cs", "a", "f", "c", "t", "m"}
        assert entry["m"] == "[k:v]"
        assert entry["c"] == 1
        assert re.fullmatch(r"t\[.+\]:mp\[/.+\]", entry["t"])
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(Z|[+-]\d\d:\d\d)", entry["a"])


def test_names_only(api: Api, listed: str):
    """props=name and the name-only flag give names and flags, no sizes."""
    for value in ({"props": "name"}, {"flags": str(NAME_ONLY)}):
        entries = api.page(listed, **value).msgpack()["Entries"]
        assert [entry["n"] for entry in entries] == NAMES
        assert all(set(entry) <= {"n", "f"} for entry in entries)


def test_not_recursive(api: Api, listed: str):
    """Directories once, ending in a slash with the directory bit, in plain order; gone with no-dirs."""
    entries = api.page(listed, flags=str(NO_RECURSION)).msgpack()["Entries"]
    assert [entry["n"] for entry in entries] == ["dir0/", "dir1/", "dir2/", "dir3/"]
    assert all(entry["f"] & 1 << 8 for entry in entries)
    assert not api.page(listed, flags=str(NO_RECURSION | NO_DIRS)).msgpack()["Entries"]
    below = api.page(listed, flags=str(NO_RECURSION), prefix="dir1/").msgpack()["Entries"]
    assert [e["n"] for e in below if not e["f"] & 1 << 8] == [name for name in NAMES if name.startswith("dir1/")]


def test_types_are_strict(api: Api, listed: str):
    """flags is a string and pagesize a number, as AIStore demands; the other way round, and unknown keys, are 400."""
    page = api.page(listed, flags=str(NAME_ONLY), pagesize=5).msgpack()
    assert page["ContinuationToken"] == NAMES[4]
    assert "s" not in page["Entries"][0]
    for wrong in ({"flags": NAME_ONLY}, {"pagesize": "5"}, {"nonsense": {"x": 1}}):
        assert api.page(listed, **wrong).status == 400


def test_keys_match_in_any_case(api: Api, listed: str):
    """Go clients and old SDKs spell keys differently; case does not matter."""
    page = api.page(listed, PageSize=5, Prefix="dir1/").msgpack()
    assert [entry["n"] for entry in page["Entries"]] == NAMES[5:10]


@pytest.mark.parametrize(
    "value",
    [{"flags": str(NOT_CACHED)}, {"flags": str(DIFF | NAME_ONLY)}, {"flags": str(DIFF)}, {"prefix": "../x"}],
    ids=["not-cached", "diff-name-only", "diff-without-custom", "prefix"],
)
def test_refused(api: Api, listed: str, value: dict):
    """What makes no sense for an ais bucket is a 400."""
    answer = api.page(listed, **value)
    assert answer.status == 400
    assert answer.error["message"]


def test_explicit_pagesize_above_the_default_is_honoured(api: Api, listed: str):
    """An ais bucket gives pages as large as asked for."""
    page = api.page(listed, pagesize=50_000).msgpack()
    assert len(page["Entries"]) == len(NAMES)
    assert page["ContinuationToken"] == ""


def test_target_filter(api: Api, listed: str):
    """target= lists what one target has; an unknown target is refused."""
    parts = [api.page(listed, target=target).msgpack()["Entries"] or [] for target in api.smap()["tmap"]]
    assert sorted(entry["n"] for part in parts for entry in part) == NAMES
    assert api.page(listed, target="nosuchtarget").status == 404
