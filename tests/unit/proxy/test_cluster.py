"""The cluster endpoint, requests to single nodes, S3 refusals, and who may decide."""

from collections.abc import Callable
from typing import Any

import pytest

Run = Callable[[Any], Any]


def test_questions_about_the_cluster_are_answered_by_any_proxy(serve: Any, run: Run) -> None:
    """Both proxies know the maps, and collect what only targets know."""

    async def scenario() -> None:
        async with serve(proxies=2, targets=2) as cluster:
            target_ids = {target.id for target in cluster.targets}
            for proxy in cluster.proxies:

                async def ask(what: str, proxy: Any = proxy) -> Any:
                    answer = await proxy.ask("GET", f"/v1/cluster?what={what}")
                    assert answer.status == 200, what
                    return answer

                assert (await ask("smap")).json["proxy_si"]["daemon_id"] == cluster.primary.id
                assert (await ask("bmd")).json["version"]
                assert "checksum" in (await ask("cluster_config")).json
                stats = (await ask("node_stats")).json
                assert stats["proxy"]["snode"]["daemon_id"] == proxy.id
                assert set(stats["target"]) == target_ids
                sysinfo = (await ask("sysinfo")).json
                assert set(sysinfo["proxy"]) == {one.id for one in cluster.proxies} - {proxy.id}
                assert set(sysinfo["target"]) == target_ids
                mountpaths = (await ask("mountpaths")).json["targets"]
                assert {one: paths["available"][0] for one, paths in mountpaths.items()} == dict.fromkeys(
                    target_ids, "/mp1"
                )
                assert (await ask("backends")).json == []
                assert (await ask("remote")).json["a"] == []
                assert set((await ask("target_ips")).body.split(b",")) == {b"127.0.0.1"}
            unknown = await cluster.primary.ask("GET", "/v1/cluster?what=weather")
            assert unknown.status == 400
            assert "weather" in unknown.error["message"]

    run(scenario())


def test_settings_reach_every_node(serve: Any, run: Run) -> None:
    """By body, by query, temporarily and back: asked of a proxy that is not primary, seen by all."""

    async def scenario() -> None:
        async with serve(proxies=2, targets=1) as cluster:
            second = cluster.proxies[1]
            members = [*cluster.proxies, *cluster.targets]

            def kinds() -> set[str]:
                return {member.node.config.cluster.checksum.type for member in members}

            value = {"checksum": {"type": "md5"}}
            assert (await second.act("PUT", "/v1/cluster", "set-config", value)).status == 200
            assert kinds() == {"md5"}
            assert (await second.ask("PUT", "/v1/cluster/set-config?checksum.type=sha256")).status == 200
            assert kinds() == {"sha256"}
            path = "/v1/cluster/set-config?checksum.type=crc32c&mirror.copies=3&transient=true"
            assert (await second.ask("PUT", path)).status == 200
            assert kinds() == {"crc32c"}
            assert {member.node.config.shared.checksum.type for member in members} == {"sha256"}
            assert {member.node.config.cluster.mirror.copies for member in members} == {3}
            assert (await second.act("PUT", "/v1/cluster", "reset-config")).status == 200
            assert kinds() == {"xxhash2"}

    run(scenario())


@pytest.mark.parametrize(
    ("path", "action", "value", "status", "text"),
    [
        ("", "set-config", {"checksum": {"type": "crc7"}}, 400, "checksum.type"),
        ("/set-config?nosuch.thing=1", "", None, 400, "nosuch"),
        ("?transient=true", "set-config", {"timeout": {"max_keepalive": "7s"}}, 501, "timeout.max_keepalive"),
        ("", "start-maintenance", {"sid": "x"}, 404, "does not exist in the cluster map"),
        ("", "dance", None, 400, "dance"),
        ("/attach?what=remote", "", None, 400, "failed to attach"),
        ("/nosuch/path", "", None, 400, "nosuch/path"),
        ("/proxy/nosuchnode", "", None, 404, "nosuchnode"),
        ("/proxy/t0aaaaaa", "", None, 400, "t[t0aaaaaa]"),
        ("", "start", {"Kind": "list"}, 400, "list"),
        ("", "start", {"Kind": "magic"}, 400, "magic"),
        ("", "stop", {}, 400, "ID or kind"),
        ("", "stop", {"Kind": "move-bck"}, 501, "rename"),
    ],
)
def test_what_the_cluster_refuses(
    serve: Any, run: Run, path: str, action: str, value: Any, status: int, text: str
) -> None:
    """Each change that cannot be made has its status and says why."""

    async def scenario() -> None:
        async with serve(targets=1) as cluster:
            answer = await cluster.primary.act("PUT", "/v1/cluster" + path, action, value)
            assert answer.status == status, answer.error
            assert text in answer.error["message"]

    run(scenario())


def test_another_proxy_becomes_primary_on_demand(serve: Any, run: Run) -> None:
    """After set-primary, asked of either proxy, both name the new primary and it takes changes."""

    async def scenario() -> None:
        async with serve(proxies=2, targets=1) as cluster:
            first, second = cluster.proxies
            assert (await second.ask("PUT", f"/v1/cluster/proxy/{second.id}")).status == 200
            for proxy in cluster.proxies:
                assert (await proxy.ask("GET", "/v1/cluster?what=smap")).json["proxy_si"]["daemon_id"] == second.id
            assert (await first.act("POST", "/v1/buckets/b", "create-bck")).status == 200
            assert second.node.is_primary

    run(scenario())


def test_a_request_for_one_node_goes_there(serve: Any, run: Run) -> None:
    """What the node says comes back as it is: answers, errors, settings; a node that is down is a 502."""

    async def scenario() -> None:
        async with serve(targets=2) as cluster:
            target, other = cluster.targets
            proxy = cluster.primary
            to = {"Ais-Node-Id": target.id}
            snode = await proxy.ask("GET", "/v1/reverse/daemon?what=snode", headers=to)
            assert snode.json["daemon_id"] == target.id
            own = await proxy.ask("GET", "/v1/reverse/daemon?what=snode", headers={"Ais-Node-Id": proxy.id})
            assert own.json["daemon_id"] == proxy.id
            path = "/v1/reverse/daemon/set-config?checksum.type=md5"
            assert (await proxy.ask("PUT", path, headers=to)).status == 200
            assert target.node.config.cluster.checksum.type == "md5"
            assert other.node.config.cluster.checksum.type == "xxhash2"
            wrong = await proxy.ask("GET", "/v1/reverse/daemon?what=weather", headers=to)
            assert (wrong.status, wrong.error["node"]) == (400, f"t[{target.id}]")
            assert (await proxy.ask("GET", "/v1/reverse/daemon?what=snode")).status == 400
            unknown = await proxy.ask("GET", "/v1/reverse/daemon?what=snode", headers={"Ais-Node-Id": "nobody"})
            assert unknown.status == 404
            await target.server.close()
            assert (await proxy.ask("GET", "/v1/reverse/daemon?what=snode", headers=to)).status == 502

    run(scenario())


def test_object_requests_are_redirected_and_counted(serve: Any, run: Run) -> None:
    """Over HTTP: 301 and 307 to the owner before the body is read; the node's statistics count them."""

    async def scenario() -> None:
        async with serve(targets=2) as cluster:
            await cluster.create("b")
            proxy = cluster.primary
            urls = {target.url for target in cluster.targets}
            for method, status in (("GET", 301), ("PUT", 307), ("HEAD", 307), ("DELETE", 307)):
                answer = await proxy.ask(method, "/v1/objects/b/o?provider=ais")
                assert answer.status == status
                location = answer.headers["Location"]
                assert location.partition("/v1/")[0] in urls
                assert f"?provider=ais&pid={proxy.id}&utm=" in location
            missing = await proxy.ask("GET", "/v1/objects/none/o")
            assert missing.status == 404
            options = await proxy.ask("OPTIONS", "/v1/buckets/b")
            assert options.status == 200
            assert "PATCH" in options.headers["Allow"]
            tracker = (await proxy.ask("GET", "/v1/daemon?what=node_stats")).json["tracker"]
            counted = {name: tracker[name] for name in ("get.n", "put.n", "head.n", "del.n", "err.get.n")}
            assert counted == {"get.n": 1, "put.n": 1, "head.n": 1, "del.n": 1, "err.get.n": 1}

    run(scenario())


def test_endpoints_that_do_not_exist_yet_say_so(serve: Any, run: Run) -> None:
    """An endpoint that AIStore has and we do not is 501 and says what is missing; nobody's is 400."""

    async def scenario() -> None:
        async with serve(targets=1) as cluster:
            answer = await cluster.primary.ask("PUT", "/v1/etl")
            assert answer.status == 501
            assert answer.json["message"].endswith("not implemented yet")
            assert (await cluster.primary.ask("GET", "/v1/nosuch")).status == 400

    run(scenario())
