"""What earlier versions wrote is read by this one: a packed cluster of each, started under today's code."""

from collections.abc import Callable, Iterator
from pathlib import Path
from xml.etree import ElementTree

import pytest
from harness import golden
from harness.golden import Golden
from harness.wire import Api, request

from ais.meta import store
from ais.playground.playground import Playground

COMMITS = sorted(path.name.partition(".")[0] for path in golden.DIRECTORY.glob("*.json.xz"))
XML = "{http://s3.amazonaws.com/doc/2006-03-01/}"


@pytest.fixture(scope="module", params=COMMITS)
def packed(request: pytest.FixtureRequest) -> Golden:
    """A cluster that an earlier commit wrote."""
    return golden.read(request.param)


@pytest.fixture(scope="module")
def started(packed: Golden, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Playground]:
    """The same, started."""
    root = tmp_path_factory.mktemp("golden") / "cluster"
    packed.lay_out(root)
    playground = Playground(root, with_parent=True)
    playground.start()
    try:
        playground.wait_ready(60)
        yield playground
    finally:
        playground.stop()


@pytest.fixture(scope="module")
def api(started: Playground) -> Api:
    """Its gateway."""
    return Api(started.plan.endpoint)


def test_the_cluster_is_the_same(packed: Golden, api: Api) -> None:
    """Identity, nodes, settings of the cluster and of one node, and every property of every bucket are kept."""
    smap = api.smap()
    assert smap["uuid"] == packed.facts["smap"]["uuid"]
    assert (set(smap["pmap"]), set(smap["tmap"])) == (
        set(packed.facts["smap"]["pmap"]),
        set(packed.facts["smap"]["tmap"]),
    )
    config = api.call("GET", "/v1/cluster", {"what": "cluster_config"}).json()
    assert (config["periodic"]["stats_time"], config["chunks"]["objsize_limit"]) == ("11s", "2MiB")
    assert config["net"]["s3_domain"] == "s3.example.com"
    assert api.of_node(next(iter(smap["tmap"])), "config").json()["log"]["level"] == "4"
    bmd = api.call("GET", "/v1/cluster", {"what": "bmd"}).json()
    old = packed.facts["bmd"]["providers"]["ais"]
    new = bmd["providers"]["ais"]
    assert {space: set(buckets) for space, buckets in new.items()} == {space: set(old[space]) for space in old}
    props = new["@#"]["props"]
    assert (props["checksum"]["type"], props["versioning"]["enabled"], props["access"]) == ("md5", False, "31")
    assert props["chunks"] | {"objsize_limit": "1MiB", "checkpoint_every": 3} == props["chunks"]
    assert (props["lru"]["dont_evict_time"], props["extra"]["custom"]) == ("1h30m", "words")
    assert [props[name] for name in ("bid", "created")] == [old["@#"]["props"][name] for name in ("bid", "created")]


def test_every_object_is_there(api: Api) -> None:
    """Plain ones, long and awkward names, custom metadata, versions, uploads in parts: content and checksum."""
    for name, content in {
        "o": b"hello again",
        "dir/o": b"x" * 300,
        "n" * 600: b"long",
        "a": b"file",
        "a/b": b"below",
        "whole": b"1" * 70000 + b"2" * 100,
    }.items():
        answer = api.get("plain", name)
        assert (answer.status, answer.body) == (200, content), name
        assert answer.header("Ais-Checksum-Value")
    assert api.get("plain", "o").header("Ais-Version") == "2"
    assert api.get("plain", "dir/o").header("Ais-Custom-Md") == "color=red"
    assert api.get("props", "o").header("Ais-Checksum-Type") == "md5"
    assert set(api.names("plain")) == {"o", "dir/o", "n" * 600, "a", "a/b", "whole"}


def test_what_s3_kept_is_there(packed: Golden, api: Api) -> None:
    """Versions and delete markers, documents of the bucket, tags and content types of objects, access keys."""

    def s3(target: str) -> ElementTree.Element:
        answer = request(api.url, "GET", f"/s3/{target}")
        assert answer.status == 200, (target, answer)
        return ElementTree.fromstring(answer.body)

    def versions(document: ElementTree.Element) -> list[tuple[str, str | None, str | None]]:
        return [
            (one.tag, one.findtext(f"{XML}Key"), one.findtext(f"{XML}VersionId"))
            for one in document
            if one.tag in (f"{XML}Version", f"{XML}DeleteMarker")
        ]

    old = ElementTree.fromstring(packed.facts["versions"])
    assert versions(s3("kept?versions")) == versions(old) != []
    assert s3("kept?versioning").findtext(f"{XML}Status") == "Enabled"
    assert s3("kept?tagging").findtext(f".//{XML}Value") == "red"
    for document in ("lifecycle", "cors"):
        s3(f"kept?{document}")
    assert b"s3:GetObject" in request(api.url, "GET", "/s3/kept?policy").body
    first = next(version for tag, key, version in versions(old)[::-1] if key == "k")
    answer = request(api.url, "GET", f"/s3/kept/k?versionId={first}")
    assert (answer.body, answer.header("Content-Type")) == (b"one", "text/plain")
    assert answer.header("x-amz-meta-color") == "blue"
    (key,) = api.call("GET", "/v1/auth/keys").json()
    assert (key["id"], key["user"]) == (packed.facts["key"]["id"], "alice")


def test_an_upload_goes_on(packed: Golden, api: Api) -> None:
    """An upload in parts completes though it began under the earlier version. (Appends end with the node.)"""
    parts = [{"part-number": number} for number in (1, 2)]
    upload = {"uploadId": packed.facts["open_upload"]}
    answer = api.act("POST", "/v1/objects/plain/open", "mpt-complete", value=parts, query=upload)
    assert answer.status == 200, answer
    assert api.get("plain", "open").body == b"1" * 70000 + b"2" * 100


def _spoil_version(content: bytes) -> bytes:
    return content[:8] + (99).to_bytes(2, "big") + content[10:]


def _spoil_value(content: bytes) -> bytes:
    record = store.decode(store.BMD, content, "")
    return store.encode(store.BMD, store.Record(record.term, record.payload.replace(b'"copies":2', b'"copies":"two"')))


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (_spoil_version, ("has format version 99", "start the version that wrote it")),
        (_spoil_value, ("cannot read .ais.bmd", "copies", "start the version of ais that wrote it")),
    ],
    ids=["later format", "unknown value"],
)
def test_what_cannot_be_read_is_named(
    packed: Golden, tmp_path: Path, spoil: Callable[[bytes], bytes], words: tuple[str, ...]
) -> None:
    """A node that cannot read a file says which, why, and how to go on; it does not start, and leaves it as it is."""
    root = tmp_path / "cluster"
    packed.lay_out(root)
    file = root / "p1" / "conf" / store.BMD
    spoiled = spoil(file.read_bytes())
    file.write_bytes(spoiled)
    playground = Playground(root, with_parent=True)
    node = playground.nodes[0]
    playground.start(only=[node.name])
    playground.wait_ended(node)
    output = node.output_file.read_text()
    assert str(file.parent) in output
    assert all(word in output for word in words), output
    assert file.read_bytes() == spoiled
