"""After the 200 of a bucket's creation or destruction every node knows it; a refused one left no trace anywhere."""

import json

from harness.wire import Api, fresh_name


def bmd_of(node) -> dict:
    """The buckets a node itself knows."""
    return Api(node.url).call("GET", "/v1/daemon", {"what": "bmd"}).json()["providers"].get("ais", {}).get("@#", {})


def test_create_and_destroy_are_everywhere_at_once(cluster):
    """Ten buckets, alternately through each proxy: all nodes have the new one, with one bid, and then none."""
    for turn in range(10):
        name = fresh_name("everywhere")
        through = Api(cluster.proxies[turn % 2].url)
        assert through.create(name).status == 200
        known = [bmd_of(node) for node in cluster.nodes]
        assert all(name in one for one in known)
        assert len({one[name]["bid"] for one in known}) == 1
        assert len({json.dumps(one[name], sort_keys=True) for one in known}) == 1
        assert through.destroy(name).status == 200
        assert not any(name in bmd_of(node) for node in cluster.nodes)


def test_properties_are_everywhere_at_once(cluster, bucket: str):
    """After the 200 of a PATCH every node has the new value."""
    for turn, kind in enumerate(["md5", "sha256", "none", "xxhash2"]):
        through = Api(cluster.proxies[turn % 2].url)
        answer = through.act("PATCH", f"/v1/buckets/{bucket}", "set-bprops", value={"checksum": {"type": kind}})
        assert answer.status == 200
        assert {bmd_of(node)[bucket]["checksum"]["type"] for node in cluster.nodes} == {kind}


def test_refused_creation_leaves_nothing(cluster):
    """A create that is refused is known to no node and made no directory."""
    name = fresh_name("refused")
    assert Api(cluster.endpoint).create(name, {"checksum": {"type": "sha3"}}).status == 400
    assert not any(name in bmd_of(node) for node in cluster.nodes)
    for node in cluster.targets:
        assert not [path for mountpath in node.mountpaths for path in mountpath.rglob(name)]


def test_destroyed_bucket_leaves_no_directory(cluster):
    """Destroying a bucket takes its directory away from every mountpath."""
    name = fresh_name("gone")
    api = Api(cluster.endpoint)
    api.create(name)
    for number in range(30):
        api.put(name, f"dir/o{number}", b"x")
    assert api.destroy(name).status == 200
    for node in cluster.targets:
        assert not [mountpath for mountpath in node.mountpaths if (mountpath / "@ais" / name).exists()]


def test_recreated_bucket_is_another_bucket(cluster):
    """A bucket of the same name has another id and none of the old objects, on every target."""
    name = fresh_name("again")
    api = Api(cluster.endpoint)
    seen = set()
    for _ in range(3):
        assert api.create(name).status == 200
        seen.add(bmd_of(cluster.targets[0])[name]["bid"])
        assert api.names(name) == []
        for number in range(12):
            assert api.put(name, f"o{number}", b"x").status == 200
        assert api.destroy(name).status == 200
    assert len(seen) == 3
