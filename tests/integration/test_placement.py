"""Objects spread evenly over targets and mountpaths, and lie where the published placement says."""

import re
from pathlib import Path

from harness.load import put_all
from harness.nodes import files_of
from harness.wire import Api, object_path

COUNT = 3000
"""Objects per group of targets or mountpaths. Node IDs and paths differ from run to run, so shares are left to chance:
with 3000 objects their standard deviation is 2.6 % of a third and 1.8 % of a half, far enough inside 10 %."""


def test_objects_are_balanced(cluster, api: Api, bucket: str):
    """3000 objects over three targets: each holds 1000 +-10 %. 3000 each: its two mountpaths hold 1500 +-10 %."""
    names = [f"train/shard-{number:06}.tar" for number in range(len(cluster.targets) * COUNT)]
    first = {name.rsplit("/", 1)[1] for name in names[:COUNT]}
    put_all(cluster.endpoint, bucket, names, str.encode)
    found = []
    for node in cluster.targets:
        files = [[path.name for path in files_of([one], "ob") if bucket in path.parts] for one in node.mountpaths]
        on_target = [name for on_mountpath in files for name in on_mountpath]
        assert_share(len(first.intersection(on_target)), COUNT / len(cluster.targets))
        for on_mountpath in files:
            assert_share(len(on_mountpath), len(on_target) / len(files))
        found += on_target
    assert sorted(found) == [name.rsplit("/", 1)[1] for name in names]
    assert api.names(bucket) == names


def assert_share(count: int, expected: float) -> None:
    """`count` is `expected`, give or take a tenth."""
    assert abs(count - expected) <= 0.10 * expected, f"{count} of {expected:.0f} expected"


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
