"""The client's own placement is the cluster's."""

import random
import string

from aisclient import placement as ours
from aisclient.clustermap import Owners
from aisclient.names import Bck
from hypothesis import given
from hypothesis import strategies as st

from ais.api.bucket import Bck as ClusterBck
from ais.meta import placement as theirs
from ais.meta.smap import digest


@given(st.integers(0, (1 << 64) - 1))
def test_mix(seed: int):
    """Both mix every number alike."""
    assert ours.mix(seed) == theirs.mix(seed)


@given(st.lists(st.text(string.ascii_letters, min_size=8, max_size=12), min_size=1, max_size=20), st.text())
def test_owner(ids: list[str], name: str):
    """Both choose the same target for any name among any targets."""
    digests = [digest(node_id) for node_id in ids]
    assert [ours.digest(node_id) for node_id in ids] == digests
    full = ClusterBck.parse("b", "ais", "@uuid#ns").uname + name.encode("utf-8", "replace").decode()
    assert Bck.of("b", "ais", "@uuid#ns").uname == ClusterBck.parse("b", "ais", "@uuid#ns").uname
    assert ours.owner(digests, full) == theirs.Candidates(digests).best(digest(full))


@given(st.lists(st.integers(1, 1000), min_size=1, max_size=8), st.text())
def test_weighted_owner(weights: list[int], name: str):
    """Both choose the same target among targets of any weights."""
    digests = [digest(f"t{number}") for number in range(len(weights))]
    assert ours.owner(digests, name, weights) == theirs.Candidates(digests, weights).best(digest(name))


def test_vectors():
    """The published vectors of the wire contract, computed by neither."""
    assert ours.mix(0) == 1905207664160064169
    assert ours.mix(4573842) == 5026071747115404967
    ids = ["t1aaaaaa", "t2bbbbbb", "t3cccccc", "t4dddddd"]
    digests = [ours.digest(node_id) for node_id in ids]
    assert ids[ours.owner(digests, "ais/@#/mybck/obj1")] == "t3cccccc"
    assert ids[ours.owner(digests, "ais/@#/mybck/dir/obj2")] == "t4dddddd"
    assert ids[ours.owner(digests, "ais/@uuid#ns/b/x")] == "t1aaaaaa"


def test_against_a_cluster(cluster, client, bck):
    """Where the client looks for an object is where its file is."""
    names = {f"{random.Random(i).randbytes(4).hex()}/{i}" for i in range(60)}
    for name in names:
        bck.object(name).put(b"x")
    owners = Owners(client.cluster_map())
    by_url = {target.url: target for target in cluster.targets}
    for name in names:
        target = by_url[owners.url(bck.bck.uname + name)]
        assert any((mountpath / "@ais" / bck.name / "%ob" / name).exists() for mountpath in target.mountpaths)
