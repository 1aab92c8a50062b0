"""Cluster and node endpoints on the wire (wire contract §12): maps, status, statistics, logs, settings, health."""

import json
import re

import pytest
import xxhash
from harness.nodes import eventually
from harness.wire import Api, fresh_name, object_path


def every_node(cluster) -> list:
    """All nodes, proxies first."""
    return [*cluster.proxies, *cluster.targets]


def test_smap(api: Api, cluster):
    """The map has AIStore's keys and types: string version, numeric digest, strings for ports."""
    smap = api.smap()
    assert {"pmap", "proxy_si", "tmap", "uuid", "creation_time", "version"} <= set(smap)
    assert re.fullmatch(r"\d+", smap["version"])
    assert smap["proxy_si"] == smap["pmap"][smap["proxy_si"]["daemon_id"]]
    for node_id, snode in {**smap["pmap"], **smap["tmap"]}.items():
        assert snode["daemon_id"] == node_id
        assert snode["daemon_type"] == ("proxy" if node_id in smap["pmap"] else "target")
        assert snode["id_digest"] == xxhash.xxh64_intdigest(node_id.encode(), seed=1103515245)
        assert isinstance(snode["flags"], int)
        for net in ("public_net", "intra_control_net", "intra_data_net"):
            assert re.fullmatch(r"\d+", snode[net]["daemon_port"])
            assert snode[net]["direct_url"] == f"http://{snode[net]['node_ip_addr']}:{snode[net]['daemon_port']}"
    assert any(snode["flags"] & 2 for snode in smap["pmap"].values())


def test_every_node_serves_the_same_smap(cluster, api: Api):
    """Proxies and targets answer what=smap publicly, with one version; /v1/cluster serves it too."""
    maps = [Api(node.url).smap() for node in every_node(cluster)]
    assert all(one == maps[0] for one in maps)
    assert api.call("GET", "/v1/cluster", {"what": "smap"}).json() == maps[0]


@pytest.mark.parametrize("what", ["smap", "bmd", "config", "snode", "node_stats", "node_status", "metrics", "sysinfo"])
def test_what_of_every_node(cluster, api: Api, what: str):
    """Each `what` is a JSON object from every node, through the reverse proxy."""
    for node in every_node(cluster):
        answer = api.of_node(node.id, what)
        assert answer.status == 200, (node.id, answer)
        assert answer.header("Content-Type").startswith("application/json")
        assert isinstance(answer.json(), dict)


def test_node_status(cluster, api: Api):
    """Node status: identity, version, tracker of plain numbers, capacity of targets, machine facts, state flags."""
    for node in every_node(cluster):
        status = api.of_node(node.id, "node_status").json()
        assert status["snode"]["daemon_id"] == node.id
        assert re.fullmatch(r"5\.0(\..+)?", status["ais_version"])
        assert status["smap_version"] == api.smap()["version"]
        assert all(isinstance(value, int) for value in status["tracker"].values())
        assert status["cluster"]["smap"]["version"] == api.smap()["version"]
        assert status["cluster"]["smap"]["Primary"]["id"] == api.smap()["proxy_si"]["daemon_id"]
        assert status["cluster"]["flags"] == 6
        assert status["sys_info"]["mem_used"] > 0
        if node.role == "target":
            capacity = status["capacity"]
            assert set(capacity["mountpaths"]) == {str(path) for path in node.mountpaths}
            assert int(capacity["total_avail"]) > 0
            for one in capacity["mountpaths"].values():
                assert int(one["avail"]) > 0
                assert one["fs"]["FsType"]


def test_metrics_names_and_kinds(cluster, api: Api):
    """what=metrics maps AIStore's metric names to kinds, and node_stats has exactly such names."""
    for node in every_node(cluster):
        kinds = api.of_node(node.id, "metrics").json()
        assert kinds["get.n"] == "counter"
        assert set(api.of_node(node.id, "node_stats").json()["tracker"]) <= set(kinds)


def test_prometheus(cluster):
    """/metrics is Prometheus text on every node's public port."""
    for node in every_node(cluster):
        answer = Api(node.url).call("GET", "/metrics")
        assert answer.status == 200
        assert answer.header("Content-Type").startswith("text/plain")
        assert re.search(rb"^# TYPE ais_(proxy|target)_get_count (counter|untyped)$", answer.body, re.MULTILINE)


def test_software_version_and_log_are_text(cluster, api: Api):
    """software_version is bare text without newline; the log is text."""
    for node in every_node(cluster):
        version = api.of_node(node.id, "software_version")
        assert re.fullmatch(rb"5\.0(\..+)?", version.body)
        assert api.of_node(node.id, "log").status == 200


def test_target_only_questions(cluster, api: Api):
    """Mountpaths and disks of a target."""
    for node in cluster.targets:
        mountpaths = api.of_node(node.id, "mountpaths").json()
        assert set(mountpaths["available"]) == {str(path) for path in node.mountpaths}
        assert not mountpaths["disabled"]
        disk = api.of_node(node.id, "disk")
        assert disk.status == 200
        assert set(disk.json()["mountpaths"]) == {str(path) for path in node.mountpaths}


def test_config(cluster, api: Api):
    """A node's config is the cluster's sections and its own in one flat object, in AIStore's spelling."""
    config = api.of_node(cluster.targets[0].id, "config").json()
    assert config["checksum"]["type"] == "xxhash2"
    assert config["timeout"]["cplane_operation"]
    assert re.fullmatch(r"\d+", config["config_version"])
    assert "host_net" in config
    assert "fspaths" in config
    of_cluster = api.call("GET", "/v1/cluster", {"what": "cluster_config"}).json()
    assert of_cluster["uuid"] == config["uuid"]
    assert of_cluster["config_version"] == config["config_version"]
    assert "host_net" not in of_cluster


def test_set_cluster_config_reaches_every_node(cluster, api: Api):
    """Both forms of set-config change every node before they answer, and raise the version."""

    def levels() -> set[str]:
        return {api.of_node(node.id, "config").json()["log"]["level"] for node in every_node(cluster)}

    before = api.of_node(cluster.targets[0].id, "config").json()["log"]["level"]
    try:
        assert api.call("PUT", "/v1/cluster/set-config", {"log.level": "4"}).status == 200
        assert levels() == {"4"}
        assert api.act("PUT", "/v1/cluster", "set-config", value={"log": {"level": "5"}}).status == 200
        assert levels() == {"5"}
    finally:
        assert api.call("PUT", "/v1/cluster/set-config", {"log.level": before}).status == 200
    assert levels() == {before}


def test_set_config_of_one_node(cluster, api: Api):
    """A setting of one node changes that node only."""
    one, other = cluster.targets[:2]
    header = {"Ais-Node-Id": one.id}
    before = api.of_node(one.id, "config").json()["periodic"]["stats_time"]
    answer = api.call(
        "PUT", "/v1/reverse/daemon/set-config", {"periodic.stats_time": "17s", "transient": "true"}, headers=header
    )
    assert answer.status == 200
    try:
        assert api.of_node(one.id, "config").json()["periodic"]["stats_time"] == "17s"
        assert api.of_node(other.id, "config").json()["periodic"]["stats_time"] == before
    finally:
        query = {"periodic.stats_time": before, "transient": "true"}
        assert api.call("PUT", "/v1/reverse/daemon/set-config", query, headers=header).status == 200


def test_cluster_wide_questions(cluster, api: Api):
    """Statistics, machine facts, mountpaths, backends and remote clusters of the whole cluster."""
    targets = {node.id for node in cluster.targets}
    stats = api.call("GET", "/v1/cluster", {"what": "node_stats"}).json()
    assert set(stats["target"]) == targets
    assert stats["proxy"]["snode"]["daemon_type"] == "proxy"
    sysinfo = api.call("GET", "/v1/cluster", {"what": "sysinfo"}).json()
    assert set(sysinfo["target"]) == targets
    assert set(sysinfo["proxy"]) == {cluster.proxies[1].id}
    assert set(api.call("GET", "/v1/cluster", {"what": "mountpaths"}).json()["targets"]) == targets
    assert api.call("GET", "/v1/cluster", {"what": "backends"}).json() == []
    assert api.call("GET", "/v1/cluster", {"what": "remote"}).status == 200
    assert api.call("GET", "/v1/cluster", {"what": "target_ips"}).body


@pytest.mark.parametrize("path", ["/v1/daemon", "/v1/cluster"])
def test_unknown_what(api: Api, path: str):
    """An unknown `what` is a 400 that says so."""
    answer = api.call("GET", path, {"what": "nonsense"})
    assert answer.status == 400
    if path == "/v1/daemon":
        assert "unrecognized 'what=..' query" in answer.error["message"].replace("what=nonsense", "what=..")


def test_reverse(api: Api, cluster):
    """The reverse proxy wants a node: none is a 400, an unknown one a 404."""
    assert api.call("GET", "/v1/reverse/daemon", {"what": "config"}).status == 400
    unknown = api.of_node("nosuchnode", "config")
    assert unknown.status == 404
    assert "nosuchnode" in unknown.error["message"]


def test_health(api: Api, cluster):
    """Liveness with uptimes, readiness, primary readiness through any proxy, node state."""
    for node in every_node(cluster):
        plain = Api(node.url).call("GET", "/v1/health")
        assert (plain.status, plain.body) == (200, b"")
    for node in cluster.proxies:
        one = Api(node.url)
        assert int(one.call("GET", "/v1/health").header("Ais-Node-Uptime")) > 0
        assert int(one.call("GET", "/v1/health").header("Ais-Cluster-Uptime")) > 0
        for query in ({"readiness": "true"}, {"prr": "true"}, {"prr": "YES"}):
            assert one.call("GET", "/v1/health", query).status == 200
        cii = one.call("GET", "/v1/health", {"cii": "true"}).json()
        assert cii["smap"]["version"] == api.smap()["version"]
        assert cii["smap"]["Primary"]["id"] == api.smap()["proxy_si"]["daemon_id"]
        is_primary = node.id == api.smap()["proxy_si"]["daemon_id"]
        assert one.call("GET", "/v1/health", {"apr": "true"}).status == (200 if is_primary else 400)
        assert one.call("GET", "/v1/health", {"cii-apr": "true"}).status == (200 if is_primary else 400)
        assert one.call("GET", "/v1/health", {"prr": "true", "cii": "true"}).status == 400


def test_jobs_when_nothing_matches(api: Api):
    """Unknown ids are 404, questions without id and kind 400, lists empty or null, never an error."""

    def ask(what: str, **query: object):
        return api.call("GET", "/v1/cluster", {"what": what}, body=json.dumps(query).encode())

    assert ask("status", id="nosuchjob1").status == 404
    assert ask("status").status == 400
    unknown = ask("qryxstats", id="nosuchjob1")
    assert unknown.status == 404
    assert "not found" in unknown.error["message"]
    assert ask("qryxstats", kind="no-such-kind").status == 400
    assert ask("running_all", show_active=True).json() == []
    assert ask("status_all", kind="lru").json() in (None, [])


def primaries(cluster) -> set[str]:
    """Whom the nodes take for primary."""
    return {Api(node.url).smap()["proxy_si"]["daemon_id"] for node in every_node(cluster)}


def test_set_primary_and_back(cluster, api: Api):
    """PUT /v1/cluster/proxy/<id> makes that proxy primary: at once where it was asked, soon everywhere."""
    first = api.smap()["proxy_si"]["daemon_id"]
    other = next(node for node in cluster.proxies if node.id != first)
    for new_primary in (other.id, first):
        answer = api.call("PUT", f"/v1/cluster/proxy/{new_primary}")
        assert (answer.status, answer.body) == (200, b"")
        assert api.smap()["proxy_si"]["daemon_id"] == new_primary
        eventually(lambda expected=new_primary: primaries(cluster) == {expected}, within_s=5)
        name = fresh_name()
        assert api.create(name).status == 200
        assert api.destroy(name).status == 200
    assert api.call("PUT", "/v1/cluster/proxy/nosuchnode").status == 404


def test_mountpath_life(cluster, api: Api, tmp_path):
    """Attach, disable, enable and detach a mountpath; what exists or does not is told apart."""
    target = cluster.targets[0]
    header = {"Ais-Node-Id": target.id}
    path = "/v1/reverse/daemon/mountpaths"
    new, at_once = tmp_path / "mp-new", {"dntres": "true"}
    missing = api.act("PUT", path, "attach-mp", value=str(new), headers=header)
    assert missing.status == 404
    assert "does not exist" in missing.error["message"]
    new.mkdir()

    def listed() -> dict:
        return api.of_node(target.id, "mountpaths").json()

    assert api.act("PUT", path, "attach-mp", value=str(new), headers=header).status == 200
    try:
        assert str(new) in listed()["available"]
        assert api.act("POST", path, "enable-mp", value=str(new), headers=header).status == 204
        assert api.act("POST", path, "disable-mp", value=str(new), query=at_once, headers=header).status == 200
        assert str(new) in listed()["disabled"]
        assert api.act("POST", path, "disable-mp", value=str(new), query=at_once, headers=header).status == 204
        assert api.act("POST", path, "enable-mp", value=str(new), headers=header).status == 200
    finally:
        assert api.act("DELETE", path, "detach-mp", value=str(new), query=at_once, headers=header).status == 200
    assert str(new) not in listed()["available"] + (listed()["disabled"] or [])
    assert api.act("DELETE", path, "detach-mp", value=str(new), query=at_once, headers=header).status == 404


def test_out_of_space(cluster, api: Api, bucket: str):
    """Above the watermark writes are 507 and leave nothing; reads and deletes go on; below it all is well again."""
    api.put(bucket, "o", b"here before")
    marks = ("space.cleanupwm", "space.lowwm", "space.highwm", "space.out_of_space")
    before = api.of_node(cluster.targets[0].id, "config").json()["space"]
    full = dict.fromkeys(marks, "0")
    assert api.call("PUT", "/v1/cluster/set-config", full).status == 200
    try:
        eventually(lambda: api.put(bucket, "new", b"x").status == 507, within_s=10)
        refused = api.put(bucket, "new", b"x" * 100_000)
        assert (refused.status, refused.error["tcode"]) == (507, "ErrCapExceeded")
        copy = api.call("PUT", object_path(bucket, "o"), {"object_to": f"ais/@#/{bucket}/copy"})
        assert copy.status == 507
        assert api.get(bucket, "o").body == b"here before"
        eventually(
            lambda: api.of_node(cluster.targets[0].id, "node_status").json()["cluster"]["flags"] & 1 << 8, within_s=30
        )
    finally:
        restored = {name: str(before[name.removeprefix("space.")]) for name in marks}
        assert api.call("PUT", "/v1/cluster/set-config", restored).status == 200
    eventually(lambda: api.put(bucket, "after", b"x").status == 200, within_s=10)
    assert "copy" not in api.names(bucket)
    eventually(lambda: api.of_node(cluster.targets[0].id, "node_status").json()["cluster"]["flags"] == 6, within_s=30)


def test_jobs_of_features_to_come(api: Api) -> None:
    """They say that they are not there."""
    assert api.call("GET", "/v1/etl").status == 501
