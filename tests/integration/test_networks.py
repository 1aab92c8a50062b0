"""Three networks on three ports: each listener serves what is its own (wire contract §23), and the cluster works."""

import json
import socket
from collections.abc import Iterator

import pytest
from harness.wire import Api, message, object_path

from ais.testing import Cluster


def free_port() -> int:
    """A port nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture(scope="module")
def apart(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A cluster that was started on shared ports, stopped, and started again with its networks apart."""
    with Cluster(proxies=2, targets=2, mountpaths=1, dir=tmp_path_factory.mktemp("apart")) as running:
        assert Api(running.endpoint).create("before").status == 200
        assert Api(running.endpoint).put("before", "o", b"kept").status == 200
        running.stop()
        for node in running.nodes:
            local = json.loads(node.plan.local_file.read_text())
            local["host_net"] |= {"port_intra_control": str(free_port()), "port_intra_data": str(free_port())}
            node.plan.local_file.write_text(json.dumps(local))
        running.start()
        running.wait_ready(30)
        yield running


def nets(cluster: Cluster) -> dict[str, dict]:
    """Every node as its cluster map entry, by id."""
    smap = Api(cluster.endpoint).smap()
    return {**smap["pmap"], **smap["tmap"]}


def test_three_ports_in_the_map(apart: Cluster):
    """After the restart the map has each node's three different addresses."""
    for snode in nets(apart).values():
        urls = {snode[net]["direct_url"] for net in ("public_net", "intra_control_net", "intra_data_net")}
        assert len(urls) == 3


def test_objects_survive_and_flow(apart: Cluster):
    """Old objects are there, new ones can be put, copied between targets, listed."""
    api = Api(apart.endpoint)
    assert api.get("before", "o").body == b"kept"
    names = ["o"]
    for number in range(12):
        query = {"provider": "ais", "object_to": f"ais/@#/before/copy{number}"}
        assert api.call("PUT", object_path("before", "o"), query).status == 200
        assert api.get("before", f"copy{number}").body == b"kept"
        names.append(f"copy{number}")
    assert api.names("before") == sorted(names)


def test_clients_cannot_pretend_to_be_nodes(apart: Cluster):
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
            assert attach.status == 403
            assert 400 <= public.call("GET", "/v1/xactions").status < 500


def test_control_network_has_no_objects(apart: Cluster):
    """A proxy redirects objects on the public network only; its control listener does not know them."""
    for snode in nets(apart).values():
        if snode["daemon_type"] == "proxy":
            control = Api(snode["intra_control_net"]["direct_url"])
            assert 400 <= control.call("GET", object_path("before", "o"), redirects=False).status < 500
            assert control.call("GET", "/v1/daemon", {"what": "smap"}).status == 200
