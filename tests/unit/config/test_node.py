"""The configuration a node acts on, the files it comes from, and the environment."""

import json
from pathlib import Path

import pytest

from ais.api import codec
from ais.base.errors import BadRequest, Unsupported
from ais.config import change, docs, environment, load, overrides
from ais.config.cluster import ClusterConfig
from ais.config.local import LocalConfig
from ais.config.node import NodeConfig
from ais.env.disk import Disk

DOCUMENT = Path(__file__).parents[3] / "docs" / "configuration.md"


def test_the_environment_wins_over_everything() -> None:
    """Shared, own, transient and environment values are laid over each other in this order."""
    config = NodeConfig(environment={"log.level": "5"}).with_overrides({"log.level": "1", "periodic.stats_time": "1s"})
    config = config.with_overrides({"periodic.stats_time": "2s"}, transient=True)
    assert config.cluster.log.level == "5"
    assert config.cluster.periodic.stats_time == 2.0
    assert config.shared.periodic.stats_time == 10.0
    assert config.overrides == {"log.level": "1", "periodic.stats_time": "1s"}
    assert config.without_overrides().cluster.periodic.stats_time == 10.0


def test_a_new_version_ends_transient_values_it_changes() -> None:
    """A transient value holds until the cluster changes the same setting."""
    config = NodeConfig().with_transient({"checksum.type": "md5", "log.level": "5"})
    config = config.with_shared(change.set_values(config.shared, {"checksum.type": "sha256"}).next_version("now"))
    assert config.cluster.checksum.type == "sha256"
    assert config.cluster.log.level == "5"


def test_own_values_never_block_a_new_version() -> None:
    """Own values that contradict what the cluster agreed on give way."""
    config = NodeConfig().with_overrides({"space.lowwm": "85"})
    config = config.with_shared(change.set_values(config.shared, {"space.highwm": "80"}))
    assert (config.cluster.space.lowwm, config.cluster.space.highwm) == (75, 80)


def test_what_a_node_may_not_have_for_itself() -> None:
    """Cluster-wide settings and transient restrictions are enforced."""
    with pytest.raises(BadRequest):
        NodeConfig().with_overrides({"features": "Fsync-PUT"})
    with pytest.raises(Unsupported):
        NodeConfig().with_overrides({"net.http.idle_conn_time": "1s"}, transient=True)


def test_the_wire_form_is_flat_and_censored() -> None:
    """`what=config` merges cluster and local settings, in wire notation, without secrets."""
    closed = {"auth.signature.key": "hidden-key-of-some-length", "auth.client_auth_required": "true"}
    shared = change.set_values(ClusterConfig(), closed)
    wire = NodeConfig(shared, LocalConfig(confdir="/etc/ais")).wire()
    assert wire["confdir"] == "/etc/ais"
    assert wire["host_net"]["port"] == "8081"
    assert wire["features"] == "0"
    assert wire["lru"] == {
        "dont_evict_time": "2h0m",
        "capacity_upd_time": "10m",
        "batch_size": 32768,
        "enabled": True,
    }
    assert wire["auth"]["signature"]["key"] == "**********"
    assert "hidden-key" not in json.dumps(wire)


def test_the_json_of_a_configuration_reads_back() -> None:
    """What one node sends, another decodes to the same value."""
    config = change.set_values(ClusterConfig(), {"features": "3", "backend": '{"ais": {"a": ["http://x"]}}'})
    assert codec.from_json(codec.to_json(config), ClusterConfig) == config


def test_aistore_files_load_with_unknown_names_reported(tmp_path: Path) -> None:
    """AIStore's spellings are understood; what we do not know is named, not swallowed and not fatal."""
    cluster, local = tmp_path / "ais.json", tmp_path / "ais_local.json"
    cluster.write_text(
        '{"mirror": {"copies": 3, "optimize_put": true}, "Log": {"level": "4"}, "compression": {"x": 1}}'
    )
    local.write_text('{"confdir": "/c", "host_net": {"port": "9000"}, "fspaths": {"/mp1": {}, "/mp2": "ssd"}}')
    config, unknown = load.load_cluster(str(cluster))
    assert (config.mirror.copies, config.log.level) == (3, "4")
    assert unknown == ["mirror.optimize_put", "compression"]
    node, unknown = load.load_local(str(local))
    assert (node.ports, node.mountpaths, unknown) == ((9000, 9000, 9000), {"/mp1": "", "/mp2": "ssd"}, [])


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("{", "is not valid JSON"),
        ("[]", "must hold a JSON object"),
        ('{"space": {"lowwm": 200}}', '"space.lowwm": 200 is above the maximum 100'),
    ],
)
def test_a_bad_file_is_named(tmp_path: Path, text: str, part: str) -> None:
    """The message says which file and what is wrong with it."""
    path = tmp_path / "bad.json"
    path.write_text(text)
    with pytest.raises(BadRequest) as caught:
        load.load_cluster(str(path))
    assert part in str(caught.value)
    assert str(path) in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    """A path that does not exist is an error of the configuration, not a traceback."""
    with pytest.raises(BadRequest, match="cannot read configuration file"):
        load.load_local(str(tmp_path / "nowhere.json"))


def test_networks_share_a_port_unless_told_otherwise() -> None:
    """Ports and hosts of the intra-cluster networks default to the ones before them."""
    local = change.apply_patch(LocalConfig(), {"host_net": {"port": "1", "port_intra_control": "2", "hostname": "h"}})
    assert local.ports == (1, 2, 2)
    assert local.hosts == ("h", "h", "h")


def test_test_paths_stand_in_for_mountpaths() -> None:
    """`test_fspaths` makes numbered directories of one root into mountpaths."""
    local = change.apply_patch(LocalConfig(), {"test_fspaths": {"root": "/r", "count": 2, "instance": 1}})
    assert list(local.mountpaths) == ["/r/mp1/1", "/r/mp2/1"]


def test_variables_become_settings() -> None:
    """AIStore's variables and the general scheme are read; local and cluster settings are kept apart."""
    found = environment.for_node(
        {
            "AIS_PORT": "8080",
            "AIS_PRIMARY_EP": "http://p",
            "AIS_CONFIG__LOG__LEVEL": "4",
            "AIS_DAEMON_ID": "proxy-01",
            "AIS_READ_HEADER_TIMEOUT": "5s",
            "MY_POD": "pod",
            "PATH": "/bin",
        }
    )
    assert found.cluster == {"proxy.primary_url": "http://p", "log.level": "4"}
    assert found.local == {"host_net.port": "8080"}
    assert (found.daemon_id, found.header_timeout_s, found.deployment) == ("proxy-01", 5.0, "K8s")


@pytest.mark.parametrize(
    "environ", [{"AIS_DAEMON_ID": "1x"}, {"AIS_CLUSTER_CIDR": "x"}, {"AIS_READ_HEADER_TIMEOUT": "soon"}]
)
def test_bad_variables_are_named(environ: dict[str, str]) -> None:
    """A variable that makes no sense stops the node with its name in the message."""
    with pytest.raises(BadRequest, match=next(iter(environ))):
        environment.for_node(environ)


def test_client_variables() -> None:
    """The variables of the Go clients are honoured."""
    found = environment.for_client({"AIS_ENDPOINT": "http://p", "AIS_SKIP_VERIFY_CRT": "true"})
    assert (found.endpoint, found.skip_verify, found.token) == ("http://p", True, "")


def test_own_settings_survive_on_disk(tmp_path: Path) -> None:
    """Overrides are saved atomically and read back; no file means none; a broken file is an error."""
    assert overrides.load(str(tmp_path)) == {}
    overrides.save(Disk(), str(tmp_path), {"log.level": "4"})
    assert overrides.load(str(tmp_path)) == {"log.level": "4"}
    assert [path.name for path in tmp_path.iterdir()] == [overrides.FILE]
    (tmp_path / overrides.FILE).write_text("{")
    with pytest.raises(BadRequest, match="override_config"):
        overrides.load(str(tmp_path))


def test_the_document_is_current() -> None:
    """`docs/configuration.md` says what the code declares (`make docs` writes it)."""
    assert DOCUMENT.read_text() == docs.render()


def test_roots_of_mountpaths(tmp_path: Path) -> None:
    """Only what lies below a root may be attached, also by a link; without roots anything."""
    (tmp_path / "disks").mkdir()
    (tmp_path / "disks" / "out").symlink_to(tmp_path)
    local = LocalConfig(mountpath_roots=(str(tmp_path / "disks"),))
    assert local.admits_mountpath(str(tmp_path / "disks" / "mp1"))
    assert not local.admits_mountpath(str(tmp_path / "disks-more"))
    assert not local.admits_mountpath(str(tmp_path / "disks" / ".." / "x"))
    assert not local.admits_mountpath(str(tmp_path / "disks" / "out" / "x"))
    assert LocalConfig().admits_mountpath("/anywhere")
