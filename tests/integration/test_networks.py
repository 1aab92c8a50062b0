"""Three networks on three ports: each listener serves what is its own (wire contract §23), and the cluster works."""

import json
import random
from collections.abc import Iterator

import pytest
from harness.wire import Api, message, object_path

from ais.config import environment
from ais.playground import process
from ais.playground.plan import Plan
from ais.playground.playground import Playground


def free_ports(count: int) -> int:
    """The first of `count` ports in a row that nobody listens on now."""
    while True:
        first = random.randrange(10_000, 32_000)
        if all(process.is_free(port) for port in range(first, first + count)):
            return first


@pytest.fixture(scope="module")
def apart(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The endpoint of a cluster whose nodes have a port for each network."""
    first = free_ports(4)
    playground = Playground(tmp_path_factory.mktemp("apart") / "cluster", with_parent=True)
    playground.create(Plan(proxies=2, targets=2, mountpaths=1, port=first, workers=environment.for_tests().workers))
    for node in playground.nodes:
        local = json.loads(node.local_file.read_text())
        local["host_net"] |= {"port_intra_control": str(free_ports(1)), "port_intra_data": str(free_ports(1))}
        node.local_file.write_text(json.dumps(local))
    playground.start()
    try:
        playground.wait_ready(30)
        assert Api(playground.plan.endpoint).create("b").status == 200
        assert Api(playground.plan.endpoint).put("b", "o", b"kept").status == 200
        yield playground.plan.endpoint
    finally:
        playground.stop()


def nets(endpoint: str) -> dict[str, dict]:
    """Every node as its cluster map entry, by id."""
    smap = Api(endpoint).smap()
    return {**smap["pmap"], **smap["tmap"]}


def test_three_ports_in_the_map(apart: str):
    """The map has each node's three different addresses."""
    for snode in nets(apart).values():
        urls = {snode[net]["direct_url"] for net in ("public_net", "intra_control_net", "intra_data_net")}
        assert len(urls) == 3


def test_objects_flow(apart: str):
    """Objects are put, copied between targets, read and listed."""
    api = Api(apart)
    assert api.get("b", "o").body == b"kept"
    names = ["o"]
    for number in range(12):
        query = {"provider": "ais", "object_to": f"ais/@#/b/copy{number}"}
        assert api.call("PUT", object_path("b", "o"), query).status == 200
        assert api.get("b", f"copy{number}").body == b"kept"
        names.append(f"copy{number}")
    assert api.names("b") == sorted(names)


def test_clients_cannot_pretend_to_be_nodes(apart: str):
    """The public listeners refuse a caller id and administration of a target, and have no internal routes."""
    for node_id, snode in nets(apart).items():
        public = Api(snode["public_net"]["direct_url"])
        spoofed = public.call("GET", "/v1/daemon", {"what": "smap"}, headers={"Ais-Caller-Id": node_id})
        assert spoofed.status == 403
        for path in ("/v1/metasync", "/v1/txn", "/v1/vote/init"):
            assert 400 <= public.call("PUT", path, body=b"{}").status < 500
        if snode["daemon_type"] == "target":
            assert public.call("PUT", "/v1/daemon/set-config", {"log.level": "4"}).status == 403
            attach = public.call("PUT", "/v1/daemon/mountpaths", body=message("attach-mp", value="/tmp"))
            assert 400 <= attach.status < 500
            assert 400 <= public.call("GET", "/v1/xactions").status < 500


def test_control_network_serves_nodes(apart: str):
    """The control listeners of all nodes answer, and what nodes ask each other, to nodes only."""
    for snode in nets(apart).values():
        control = Api(snode["intra_control_net"]["direct_url"])
        assert control.smap() == Api(apart).smap()
        assert control.call("GET", "/v1/cluster/keepalive").status == 403
