"""The cluster map as a value, and its JSON."""

import json

import pytest

from ais.api import codec
from ais.base.errors import NodeNotFound
from ais.meta.smap import Flag, NetInfo, Smap, Snode, digest


def node(kind: str, node_id: str, port: int = 8080, *, electable: bool = True) -> Snode:
    net = NetInfo.make("http", "127.0.0.1", port)
    return Snode.make(kind, node_id, net, net, net, electable=electable)


def small() -> Smap:
    smap = Smap(uuid="cluster01", creation_time="2026-01-01").changed(
        add=node("proxy", "p1aaaaaa"), primary_id="p1aaaaaa"
    )
    return smap.with_node(node("target", "t1aaaaaa", 8081))


def test_json_is_the_contracts() -> None:
    """The wire form has exactly the contract's keys and types."""
    value = json.loads(codec.to_json(small()))
    assert set(value) == {"pmap", "proxy_si", "tmap", "uuid", "creation_time", "version"}
    assert value["version"] == "2"
    assert value["proxy_si"] == value["pmap"]["p1aaaaaa"]
    assert value["tmap"]["t1aaaaaa"] == {
        "public_net": {"node_ip_addr": "127.0.0.1", "daemon_port": "8081", "direct_url": "http://127.0.0.1:8081"},
        "intra_data_net": {"node_ip_addr": "127.0.0.1", "daemon_port": "8081", "direct_url": "http://127.0.0.1:8081"},
        "intra_control_net": {
            "node_ip_addr": "127.0.0.1",
            "daemon_port": "8081",
            "direct_url": "http://127.0.0.1:8081",
        },
        "daemon_type": "target",
        "daemon_id": "t1aaaaaa",
        "flags": 0,
        "id_digest": digest("t1aaaaaa"),
    }


def test_json_round_trip() -> None:
    """What we write we read."""
    assert codec.from_json(codec.to_json(small()), Smap) == small()


def test_every_change_is_a_new_version() -> None:
    """Changes leave the old value alone and count one version each."""
    smap = small()
    bigger = smap.with_node(node("proxy", "p2aaaaaa"))
    assert (int(smap.version), int(bigger.version)) == (2, 3)
    assert "p2aaaaaa" not in smap
    moved = bigger.changed(remove=frozenset({"p1aaaaaa"}), primary_id="p2aaaaaa")
    assert int(moved.version) == 4
    assert moved.primary_id == "p2aaaaaa"
    assert "p1aaaaaa" not in moved
    assert moved.is_primary("p2aaaaaa")
    assert not moved.is_primary("")


def test_unknown_nodes() -> None:
    """Asking for an unknown node, or making it primary, names it."""
    assert small().get("nosuchnode") is None
    with pytest.raises(NodeNotFound, match="nosuchnode"):
        small().require("nosuchnode")
    with pytest.raises(NodeNotFound, match="nosuchnode"):
        small().changed(primary_id="nosuchnode")


def test_at_most_three_ic_members_with_the_primary() -> None:
    """The primary and two more electable proxies carry the IC bit; members stay members."""
    smap = small()
    for number in range(2, 7):
        smap = smap.with_node(node("proxy", f"p{number}aaaaaa", electable=number != 2))
    members = {one.id for one in smap.pmap.values() if one.flags & Flag.IC_MEMBER}
    assert len(members) == 3
    assert "p1aaaaaa" in members
    assert "p2aaaaaa" not in members
    outsider = next(one.id for one in smap.electable if one.id not in members)
    changed = {one.id for one in smap.changed(primary_id=outsider).pmap.values() if one.flags & Flag.IC_MEMBER}
    assert outsider in changed
    assert len(changed & members) == 2


def test_ipv6_urls_have_brackets() -> None:
    """An IPv6 address is bracketed in the URL only."""
    net = NetInfo.make("https", "::1", 443)
    assert (net.host, net.port, net.url) == ("::1", "443", "https://[::1]:443")
