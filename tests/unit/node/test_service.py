"""What nodes answer about themselves, and what they can be told to do."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from ais.api import codec
from ais.config import change, overrides
from ais.node import health, service
from ais.node.node import Node

Simulate = Callable[..., Any]


async def get(node: Node, path: str, **query: str) -> tuple[int, Any]:
    answer = await service.handle(node, "GET", path, query, b"")
    is_json = answer.headers.get("content-type", "").startswith("application/json")
    return answer.status, json.loads(answer.body) if is_json else answer.body


async def put(node: Node, action: str, value: Any = None, name: str = "", **query: str) -> tuple[int, str]:
    body = codec.to_json({"action": action, "value": value, "name": name})
    answer = await service.handle(node, "PUT", "/v1/daemon", query, body)
    return answer.status, json.loads(answer.body)["message"] if answer.status >= 400 else ""


def test_health(simulate: Simulate) -> None:
    """Alive and ready everywhere; questions about the primary are answered by it, directly or through others."""

    async def scenario(world: Any) -> None:
        world.cluster(2, 1)
        p1, p2, t1 = (world[short].alive for short in ("p1", "p2", "t1"))
        assert (await get(p1, health.HEALTH))[0] == 503
        await world.settled()
        for node in (p1, p2, t1):
            assert (await get(node, health.HEALTH))[0] == 200
            assert (await get(node, health.HEALTH, readiness="true"))[0] == 200
            assert (await get(node, health.HEALTH, prr="true"))[0] == 200
            status, info = await get(node, health.HEALTH, cii="True")
            assert (status, info["flags"], info["smap"]["Primary"]["id"]) == (200, 6, "p1aaaaaa")
        assert (await get(p1, health.HEALTH, apr="true"))[0] == 200
        assert (await get(p2, health.HEALTH, apr="true"))[0] == 400
        assert (await get(p2, health.HEALTH, **{"cii-apr": "true"}))[0] == 400
        status, error = await get(p1, health.HEALTH, prr="true", cii="true")
        assert (status, error["status"]) == (400, 400)
        world.partition("p1", "p2 t1")
        await world.until(lambda: not p1.has_authority, 10, "loss of authority")
        status, error = await get(p1, health.HEALTH, prr="true")
        assert status == 503
        assert "does not hear a majority" in error["message"]

    simulate(scenario)


def test_uptimes(simulate: Simulate) -> None:
    """Health carries both uptimes in nanoseconds."""

    async def scenario(world: Any) -> None:
        world.cluster(1, 0)
        await world.settled()
        answer = await service.handle(world["p1"].alive, "GET", health.HEALTH, {}, b"")
        assert answer.body == b""
        uptimes = [int(answer.headers[name]) for name in ("Ais-Node-Uptime", "Ais-Cluster-Uptime")]
        assert uptimes[0] >= uptimes[1] > 0

    simulate(scenario)


def test_what_a_node_tells(simulate: Simulate) -> None:
    """Every `what` of both roles has the contract's shape; an unknown one is named."""

    async def scenario(world: Any) -> None:
        world.cluster(1, 1)
        await world.settled()
        node = world["t1"].alive

        async def what(name: str) -> Any:
            status, value = await get(node, "/v1/daemon", what=name)
            assert status == 200, value
            return value

        assert set((await what("smap"))["tmap"]) == {"t1aaaaaa"}
        assert (await what("bmd"))["version"] == "1"
        assert (await what("snode"))["daemon_id"] == "t1aaaaaa"
        assert (await what("config"))["confdir"].endswith("t1aaaaaa")
        assert (await what("cluster_config"))["uuid"] == node.smap.uuid
        assert (await what("metrics"))["get.n"] == "counter"
        assert await what("software_version") == b"5.0.0"
        assert (await what("sysinfo"))["mem"]["Total"] > 0
        stats = await what("node_stats")
        assert (set(stats), stats["tracker"]["get.size"]) == ({"snode", "tracker", "capacity"}, 0)
        status = await what("node_status")
        assert (status["smap_version"], status["status"], status["deployment"]) == ("2", "", "dev")
        assert status["cluster"]["config"]["version"] == "1"
        assert (await get(node, "/v1/daemon", what="no-such"))[0] == 400
        for absent in ("log", "tls_certificate"):
            assert (await get(node, "/v1/daemon", what=absent))[0] == 404

    simulate(scenario)


def test_a_starting_node_has_no_map(simulate: Simulate) -> None:
    """Before it is in a cluster a node answers 503 to whoever asks for the map."""

    async def scenario(world: Any) -> None:
        node = world.add("target", "t1aaaaaa")
        node.boot()
        await world.until(lambda: node.alive.is_loaded, 5, "start")
        status, error = await get(node.alive, "/v1/daemon", what="smap")
        assert status == 503
        assert "has not joined its cluster yet" in error["message"]

    simulate(scenario)


def test_settings_of_one_node(simulate: Simulate) -> None:
    """A node's own settings win over the cluster's and are kept on disk; transient ones are not; reset drops both."""

    async def scenario(world: Any) -> None:
        world.cluster(1, 1)
        await world.settled()
        node = world["t1"].alive
        assert await put(node, "set-config", {"log": {"level": "4"}}) == (200, "")
        answer = await service.handle(
            node, "PUT", "/v1/daemon/set-config", {"space.cleanupwm": "60", "transient": "true"}, b""
        )
        assert answer.status == 200
        seen = node.config.cluster
        assert (seen.log.level, seen.space.cleanupwm, node.config.shared.log.level) == ("4", 60, "3")
        assert overrides.load(str(world["t1"].confdir)) == {"log.level": "4"}
        await world.primary().change_config(lambda old: change.set_values(old, {"log.level": "5"}))
        assert (node.config.cluster.log.level, node.config.shared.log.level) == ("4", "5")
        assert (await put(node, "reset-config"))[0] == 200
        assert (node.config.cluster.log.level, node.config.cluster.space.cleanupwm) == ("5", 65)

    simulate(scenario)


def test_a_transient_change_of_the_whole_cluster(simulate: Simulate) -> None:
    """Told by a proxy, a node takes cluster-wide settings for a while; some cannot be transient."""

    async def scenario(world: Any) -> None:
        world.cluster(1, 0)
        await world.settled()
        node = world["p1"].alive
        assert await put(node, "set-config", {"mirror": {"copies": 3}}, name="cluster") == (200, "")
        assert (node.config.cluster.mirror.copies, node.config.shared.mirror.copies) == (3, 2)
        assert (await put(node, "set-config", {"mirror": {"copies": 4}}))[0] == 400
        status, message = await put(node, "set-config", {"memsys": {"min_pct_free": 7}}, name="cluster")
        assert status == 501
        assert "memsys.min_pct_free" in message

    simulate(scenario)


@pytest.mark.parametrize(
    ("action", "value", "status", "says"),
    [
        ("no-such-action", None, 400, "no-such-action"),
        ("", None, 400, "invalid action"),
        ("set-config", {"no": {"such": 1}}, 400, "no"),
        ("set-config", {"log": {"level": "11"}}, 400, "level"),
        ("set-config", {"versioning": {"enabled": False}}, 400, "whole cluster"),
        ("set-config", [1], 400, "JSON object"),
    ],
)
def test_bad_orders(simulate: Simulate, action: str, value: Any, status: int, says: str) -> None:
    """A wrong order is refused with a sentence, and changes nothing."""

    async def scenario(world: Any) -> None:
        world.cluster(1, 0)
        await world.settled()
        node = world["p1"].alive
        before = node.config
        answered, message = await put(node, action, value)
        assert answered == status
        assert says in message
        assert node.config == before

    simulate(scenario)


@pytest.mark.parametrize("path", ["/v1/metasync", "/v1/txn", "/v1/vote", "/v1/vote/take-over", "/v1/cluster/autoreg"])
@pytest.mark.parametrize("body", [b"", b"\xc1", b"\x80", b"[]", b"\x93\x01\x02\x03"])
def test_rubbish_between_nodes_is_refused(simulate: Simulate, path: str, body: bytes) -> None:
    """An internal message that makes no sense is a 400, not an accident."""

    async def scenario(world: Any) -> None:
        world.cluster(1, 0)
        await world.settled()
        method = "PUT" if path.endswith("metasync") else "POST"
        answer = await service.handle(world["p1"].alive, method, path, {}, body)
        assert answer.status == 400

    simulate(scenario)


def test_metadata_by_part(simulate: Simulate) -> None:
    """A node gives out each part it has, and names a part that does not exist."""

    async def scenario(world: Any) -> None:
        world.cluster(1, 0)
        await world.settled()
        node = world["p1"].alive
        for part in ("smap", "bmd", "config", "secret", "keys"):
            assert (await get(node, "/v1/metasync", part=part))[0] == 200
        status, error = await get(node, "/v1/metasync", part="nonsense")
        assert status == 400
        assert "nonsense" in error["message"]

    simulate(scenario)


def test_orders_that_end_the_process(simulate: Simulate) -> None:
    """`shutdown` leaves the map alone, `shutdown-node` says goodbye."""

    async def scenario(world: Any) -> None:
        world.cluster(2, 1)
        await world.settled()
        assert (await put(world["t1"].alive, "shutdown"))[0] == 200
        assert (world["t1"].alive.stop_requested.is_set(), world["t1"].alive.leave_on_stop) == (True, False)
        assert (await put(world["p2"].alive, "shutdown-node"))[0] == 200
        assert (world["p2"].alive.stop_requested.is_set(), world["p2"].alive.leave_on_stop) == (True, True)

    simulate(scenario)
