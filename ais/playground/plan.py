"""What a playground consists of, and the files that describe it.

<dir>/playground.json            the plan: how many of what, on which ports
<dir>/cluster.json               the cluster configuration all nodes start from
<dir>/join.secret                what nodes sign their requests to each other with
<dir>/<node>/local.json          the local configuration of p1, p2, ..., t1, t2, ...
<dir>/<node>/{conf,log}/         identity and metadata, logs
<dir>/<target>/mp1/ ...          mountpaths
"""

import shutil
from pathlib import Path
from typing import Any

import msgspec

from ais.api import codec
from ais.base.errors import BadRequest, Conflict
from ais.config import change
from ais.config.cluster import ClusterConfig

PLAN_FILE = "playground.json"
CLUSTER_FILE = "cluster.json"
SECRET_FILE = "join.secret"  # noqa: S105 - a name
HOST = "127.0.0.1"

DEFAULT_PROXIES, DEFAULT_TARGETS, DEFAULT_MOUNTPATHS, DEFAULT_PORT = 2, 3, 2, 8080
NODES_MAX = 64

SETTINGS = {
    "keepalivetracker.proxy.interval": "2s",
    "keepalivetracker.target.interval": "2s",
    "timeout.startup_time": "5s",
    "timeout.join_startup_time": "10m",
}
"""Where a playground differs from the defaults: everything is near, so that failures are noticed sooner."""


class TLS(msgspec.Struct, frozen=True):
    """Paths of PEM files: the certificate all nodes show, its key, and the CA that signed it."""

    certificate: str
    key: str
    ca: str


class Plan(msgspec.Struct, frozen=True):
    """The shape of a playground; fixed while its data lives."""

    proxies: int
    targets: int
    mountpaths: int
    port: int
    """Of the first proxy; the others follow, then the targets."""
    tls: TLS | None = None
    settings: dict[str, str] = {}
    """Cluster settings by dotted name, over `SETTINGS`."""
    ids: dict[str, str] = {}
    """IDs that nodes must have, by name; the others choose their own."""
    workers: str = ""
    """The setting `workers` of all nodes; empty: its default."""
    local: dict[str, Any] = {}
    """More local settings of all nodes, by name."""

    def __post_init__(self) -> None:
        for name, low in (("proxies", 1), ("targets", 0), ("mountpaths", 1)):
            if not low <= getattr(self, name) <= NODES_MAX:
                raise BadRequest(f"{name}={getattr(self, name)}: choose between {low} and {NODES_MAX}")
        if not 1 <= self.port <= 65536 - self.proxies - self.targets:
            raise BadRequest(f"port={self.port}: ports {self.port} and following do not exist, choose a lower one")

    @property
    def scheme(self) -> str:
        """`http` or `https`."""
        return "https" if self.tls else "http"

    @property
    def endpoint(self) -> str:
        """URL of the first proxy."""
        return f"{self.scheme}://{HOST}:{self.port}"

    @property
    def ports(self) -> range:
        """All ports, in the order of the nodes."""
        return range(self.port, self.port + self.proxies + self.targets)

    def describe(self) -> str:
        """`2 proxies, 3 targets with 2 mountpaths each, port 8080`."""
        return (
            f"{self.proxies} proxies, {self.targets} targets with {self.mountpaths} mountpaths each, port {self.port}"
        )

    def cluster_config(self) -> ClusterConfig:
        """What every node starts from. Raise `BadRequest` for a setting that makes no sense."""
        values = {**SETTINGS, "proxy.primary_url": self.endpoint, "proxy.original_url": self.endpoint}
        if self.tls:
            values |= {
                "net.http.use_https": "true",
                "net.http.server_crt": self.tls.certificate,
                "net.http.server_key": self.tls.key,
                "net.http.client_ca_tls": self.tls.ca,
            }
        return change.set_values(ClusterConfig(), {**values, **self.settings})


class NodePlan(msgspec.Struct, frozen=True):
    """One node: `name` is `p1`, `t3`; everything it has is in `directory`."""

    name: str
    role: str
    port: int
    url: str
    directory: Path
    mountpaths: tuple[Path, ...]
    id: str = ""
    """The ID it must have; empty: its own choice."""

    @property
    def local_file(self) -> Path:
        """Its local configuration."""
        return self.directory / "local.json"

    @property
    def socket(self) -> Path:
        """Where its administrators reach it, whatever clients have to prove."""
        return self.directory / "conf" / f"{self.role}.sock"

    @property
    def log_dir(self) -> Path:
        """Its logs."""
        return self.directory / "log"

    @property
    def output_file(self) -> Path:
        """What its process wrote to standard output and error."""
        return self.directory / "output"

    @property
    def pid_file(self) -> Path:
        """The process that runs it, or ran it last."""
        return self.directory / "pid"


def nodes_of(plan: Plan, root: Path) -> list[NodePlan]:
    """The nodes of a plan in the order of their ports: proxies, then targets."""
    names = [("proxy", f"p{number}") for number in range(1, plan.proxies + 1)]
    names += [("target", f"t{number}") for number in range(1, plan.targets + 1)]
    nodes = []
    for (role, name), port in zip(names, plan.ports, strict=True):
        mountpaths = tuple(root / name / f"mp{number}" for number in range(1, plan.mountpaths + 1))
        url, id = f"{plan.scheme}://{HOST}:{port}", plan.ids.get(name, "")
        nodes.append(NodePlan(name, role, port, url, root / name, mountpaths if role == "target" else (), id))
    return nodes


def load(root: Path) -> Plan | None:
    """The plan of an existing playground; None when there is none. Raise `BadRequest` when it cannot be read."""
    try:
        return codec.from_json((root / PLAN_FILE).read_bytes(), Plan)
    except FileNotFoundError:
        return None
    except BadRequest as error:
        raise BadRequest(f"{root / PLAN_FILE} is damaged ({error}): remove {root} to begin anew") from None


def check_empty(root: Path) -> None:
    """Raise `Conflict` when `root` holds something else."""
    if root.exists() and any(path.name != "lock" for path in root.iterdir()):
        raise Conflict(f"{root} is not empty and holds no playground: choose another directory")


def write(plan: Plan, root: Path) -> None:
    """Begin a new playground. Raise `BadRequest` for settings that make no sense."""
    plan.cluster_config()
    root.mkdir(parents=True, exist_ok=True)
    _write(root / PLAN_FILE, plan)
    lay_out(plan, root)


def lay_out(plan: Plan, root: Path) -> None:
    """Create what is missing of a playground's directories and configuration files; what is there stays."""
    if not (root / CLUSTER_FILE).exists():
        _write(root / CLUSTER_FILE, plan.cluster_config())
    for node in nodes_of(plan, root):
        if node.local_file.exists():
            continue
        for directory in (node.directory / "conf", node.log_dir, *node.mountpaths):
            directory.mkdir(parents=True, exist_ok=True)
        local: dict[str, Any] = {
            "confdir": str(node.directory / "conf"),
            "log_dir": str(node.log_dir),
            "host_net": {"hostname": HOST, "port": str(node.port)},
            "fspaths": {str(path): node.name for path in node.mountpaths},
        }
        local |= plan.local
        if plan.workers:
            local["workers"] = plan.workers
        _write(node.local_file, local)


def remove(plan: Plan, root: Path) -> None:
    """Delete everything `write` made and the nodes stored; `root` itself only when nothing else is in it."""
    for node in nodes_of(plan, root):
        shutil.rmtree(node.directory, ignore_errors=True)
    for name in (CLUSTER_FILE, SECRET_FILE, "lock", PLAN_FILE):
        (root / name).unlink(missing_ok=True)
    if not any(root.iterdir()):
        root.rmdir()


def _write(path: Path, value: object) -> None:
    """Write JSON for people; the file is there as a whole or not at all."""
    new = path.with_name(path.name + ".new")
    new.write_bytes(msgspec.json.format(codec.to_json(value), indent=4) + b"\n")
    new.rename(path)
