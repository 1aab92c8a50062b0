"""Names no file system would take: stored, read, listed and deleted like any other."""

import pytest
from harness.nodes import files_of
from harness.wire import Api, object_path

NAMES = {
    "one-letter": ["x"],
    "1-KiB": ["/".join(["k" * 120] * 9)[:1024], "z" * 1024],
    "components-above-255-bytes": ["c" * 256, "d/" + "e" * 500 + "/f", "日" * 120, "g" * 255, "h" * 241, "h" * 240],
    "unicode": ["ünï/cödé", "日本/語.txt", "🙂", "e\u0301", "\u00e9", "кот/пёс"],
    "file-and-directory": ["a", "a/b", "a/b/c", "ab", "a.b", "a/b/c/d", "a%2Fb"],
    "percent": ["%", "%20", "%ob", "x/%wk/y", "%%", "%2e%2e", "100%", "%E3"],
    "blanks-and-marks": [
        " ",
        "a b",
        " lead",
        "trail ",
        "q?x=1&y#z",
        "a+b",
        "a\\b",
        "'\"`$(){}[]<>|;*!~",
        "tab\there",
        "new\nline",
    ],
    "dots": [".hidden", "a/.b", "...", "a...b", "x/....", "dot."],
    "double-slashes": ["a//b", "c///d"],
    "at-and-hash": ["@ais", "#ns", "@uuid#ns/b/%ob/o", ".ais.vmd", ".$deleted/x"],
    "case": ["Case", "case", "CASE"],
}


@pytest.mark.parametrize("names", NAMES.values(), ids=NAMES.keys())
def test_unusual_names(cluster, api: Api, bucket: str, names: list[str]):
    """Each name keeps its own content beside its neighbours, is listed as it was put, and can be deleted alone."""
    names = list(dict.fromkeys(names))
    for name in names:
        answer = api.put(bucket, name, name.encode() + b" content")
        assert answer.status == 200, (name, answer)
    for name in names:
        assert api.get(bucket, name).body == name.encode() + b" content", name
        assert api.head(bucket, name, props="size").header("Content-Length") == str(len(name.encode()) + 8)
    assert api.names(bucket, pagesize=2) == sorted(names, key=lambda name: name.encode())
    while names:
        gone = names.pop(0)
        assert api.delete(bucket, gone).status == 200
        assert api.get(bucket, gone).status == 404
        for name in names:
            assert api.get(bucket, name).body == name.encode() + b" content", name
    assert api.names(bucket) == []
    mountpaths = [path for node in cluster.targets for path in node.mountpaths]
    assert not [path for path in files_of(mountpaths, "ob") if bucket in path.parts]


def test_prefixes_of_odd_names(api: Api, bucket: str):
    """A prefix selects by name, not by what the name became on disk."""
    names = ["p%q/x", "p%q/y", "p" * 300 + "/a", "p" * 300 + "/b", "p/x", "p//y", "p"]
    for name in names:
        assert api.put(bucket, name, b"x").status == 200
    for prefix in ("p", "p%", "p%q/", "p" * 299, "p" * 300 + "/", "p/", "p//"):
        assert api.names(bucket, prefix=prefix) == sorted(name for name in names if name.startswith(prefix)), prefix


def test_file_and_directory_in_both_orders(api: Api, bucket: str):
    """`a` and `a/b` live together whichever came first, and after an overwrite, a rename and a delete."""
    api.put(bucket, "a", b"file first")
    api.put(bucket, "a/b", b"below")
    api.put(bucket, "c/d", b"below first")
    api.put(bucket, "c", b"file second")
    api.put(bucket, "a", b"file again")
    expected = {"a": b"file again", "a/b": b"below", "c": b"file second", "c/d": b"below first"}
    for name, content in expected.items():
        assert api.get(bucket, name).body == content
    assert api.names(bucket) == sorted(expected)
    answer = api.act("POST", f"/v1/objects/{bucket}/a", "rename-obj", name="a/b/c", query={"provider": "ais"})
    assert answer.status == 200
    assert api.get(bucket, "a/b/c").body == b"file again"
    assert api.get(bucket, "a/b").body == b"below"
    assert api.get(bucket, "a").status == 404
    api.delete(bucket, "c")
    assert api.get(bucket, "c/d").body == b"below first"
    assert api.names(bucket) == ["a/b", "a/b/c", "c/d"]


@pytest.mark.parametrize("name", ["x\r\nInjected: yes", "x\nInjected: yes", "x\r\n\r\nbody", "nul-free\x01\x7f"])
def test_names_cannot_inject_headers(api: Api, bucket: str, name: str):
    """Control characters of a name never reach the head of an answer as they are."""
    assert api.put(bucket, name, b"x").status == 200
    for answer in (
        api.call("GET", object_path(bucket, name), redirects=False),
        api.get(bucket, name),
        api.head(bucket, name),
        api.head(bucket, name + "missing"),
    ):
        assert answer.header("Injected") is None
        assert not any("\x7f" in value for _, value in answer.headers)
        assert answer.status in (200, 301, 307, 404)
    assert api.get(bucket, name).body == b"x"
