"""Metadata that no primary makes is refused, whoever sends it."""

import msgspec
import pytest

from ais.api import codec
from ais.base.errors import BadRequest
from ais.meta.bmd import BMD
from ais.meta.smap import NetInfo, Snode
from ais.node import decisions
from ais.node.messages import Stamps, Sync

NET = NetInfo.make("http", "10.0.0.1", 8080)
NODE = Snode.make("target", "t1aaaaaa", NET, NET, NET)


@pytest.mark.parametrize(
    ("provider", "namespace", "name"),
    [
        ("ais", "@#", "../../../../etc"),
        ("ais", "@#", ".."),
        ("ais", "@#", "a/b"),
        ("../x", "@#", "b"),
        ("ais", "@..#..", "b"),
        ("ais", "@#../..", "b"),
        ("ais", "@#", ""),
    ],
)
def test_names_of_buckets(provider: str, namespace: str, name: str) -> None:
    """A name that leads out of a mountpath never becomes a directory."""
    body = {"providers": {provider: {namespace: {name: {}}}}, "uuid": "clusterUUID", "version": "2"}
    with pytest.raises(BadRequest):
        BMD.decode(codec.to_json(body))


@pytest.mark.parametrize(
    "url",
    [
        "http://10.0.0.1:8080/latest/meta-data/iam?x=1#",
        "http://user:password@10.0.0.1:8080",
        "http://10.0.0.1:8080@evil.example",
        "file:///etc/passwd",
        "http://10.0.0.2:8080",
        "",
    ],
)
def test_addresses_of_nodes(url: str) -> None:
    """An address is a host and a port: nobody is sent to another path, or to another host than the map shows."""
    NODE.check()
    for network in ("public", "control", "data"):
        node = msgspec.structs.replace(NODE, **{network: msgspec.structs.replace(NET, url=url)})
        with pytest.raises(BadRequest, match="no address"):
            node.check()


@pytest.mark.parametrize("change", [{"id": "../../etc"}, {"id": "t2aaaaaa"}, {"kind": "admin"}])
def test_identities_of_nodes(change: dict[str, str]) -> None:
    """An ID that is none, the digest of another, a kind that nobody knows."""
    with pytest.raises(BadRequest):
        msgspec.structs.replace(NODE, **change).check()


@pytest.mark.parametrize(
    ("term", "patience_s"),
    [((1 << 64) - 1, 10.0), (1 << 62, 10.0), (7 + (1 << 20) + 1, 10.0), (8, 1e9), (8, -1.0), (8, float("nan"))],
)
def test_terms_and_patience(term: int, patience_s: float) -> None:
    """A term that cannot be followed by another, or a promise for ever, would leave the cluster without a primary."""
    decisions.check_sync(7, Sync("u", "t1aaaaaa", 8, NODE, Stamps(), 10.0))
    with pytest.raises(BadRequest):
        decisions.check_sync(7, Sync("u", "t1aaaaaa", term, NODE, Stamps(), patience_s))
