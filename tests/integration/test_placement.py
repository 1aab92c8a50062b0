"""Objects spread evenly over targets and mountpaths, and lie where the published placement says."""

import re
from pathlib import Path

from harness.load import put_all
from harness.nodes import files_of
from harness.wire import Api, object_path

COUNT = 3000


def test_3000_objects_are_balanced(cluster, api: Api, bucket: str):
    """3000 objects over three targets: each holds 1000 +-10 %; over its two mountpaths likewise."""
    names = [f"train/shard-{number:06}.tar" for number in range(COUNT)]
    put_all(cluster.endpoint, bucket, names, str.encode)
    found = []
    for node in cluster.targets:
        per_mountpath = []
        for mountpath in node.mountpaths:
            files = [path for path in files_of([mountpath], "ob") if bucket in path.parts]
            per_mountpath.append(len(files))
            found += files
        share = COUNT / len(cluster.targets)
        assert abs(sum(per_mountpath) - share) <= 0.10 * share, per_mountpath
        # A fair coin over 1000 objects has a standard deviation of 3.2 % of a half: 15 % keeps chance out of the test.
        half = sum(per_mountpath) / 2
        assert all(abs(count - half) <= 0.15 * half for count in per_mountpath), per_mountpath
    assert sorted(path.name for path in found) == sorted(name.rsplit("/", 1)[1] for name in names)
    assert api.names(bucket) == names


def test_files_are_plain(cluster, api: Api, bucket: str):
    """An object is a plain file under its own name with its bytes: data can be read without us."""
    api.put(bucket, "dir/sub/plain.bin", b"readable")
    mountpaths = [path for node in cluster.targets for path in node.mountpaths]
    (path,) = [path for path in files_of(mountpaths, "ob") if bucket in path.parts]
    assert path.read_bytes() == b"readable"
    assert path.as_posix().endswith(f"/@ais/{bucket}/%ob/dir/sub/plain.bin")


def test_listed_location_is_where_the_file_is(cluster, api: Api, bucket: str):
    """The location a listing tells is the target and mountpath that hold the file."""
    for number in range(20):
        api.put(bucket, f"o{number}", b"x")
    mountpath_of = {str(path): node.id for node in cluster.targets for path in node.mountpaths}
    for entry in api.entries(bucket, props="name,location"):
        node_id, mountpath = re.fullmatch(r"t\[(.+?)\]:mp\[(/.+)\]", entry["t"]).groups()
        assert mountpath_of[mountpath] == node_id
        assert any(path.name == entry["n"] for path in files_of([Path(mountpath)], "ob"))


def test_redirect_goes_to_the_owner_through_every_proxy(cluster, bucket: str):
    """All proxies send one name to one target."""
    for number in range(20):
        locations = {
            Api(node.url)
            .call("GET", object_path(bucket, f"o{number}"), redirects=False)
            .header("Location")
            .split("/v1/")[0]
            for node in cluster.proxies
        }
        assert len(locations) == 1
