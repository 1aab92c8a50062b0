"""What one node knows about itself: its directories, addresses and mountpaths (AIStore's local configuration file)."""

import ipaddress
import os
from typing import Annotated, Any

import msgspec

from ais.api.codec import U64
from ais.base.errors import BadRequest
from ais.config.setting import Section, setting

Port = Annotated[U64, setting("TCP port; 0: any free one.", ge=0, le=65535)]

WORKERS_MAX = 64


class HostNet(Section, frozen=True):
    """Addresses of the three networks. Networks with the same port share one listener."""

    hostname: Annotated[str, setting("Public address: host name or IP; empty: found out.")] = ""
    hostname_intra_control: Annotated[
        str, setting("Address for other nodes' control calls; empty: the public one.")
    ] = ""
    hostname_intra_data: Annotated[str, setting("Address for other nodes' data; empty: the control one.")] = ""
    port: Port = U64(8081)
    port_intra_control: Annotated[U64, setting("TCP port; 0: the public one.", ge=0, le=65535)] = U64(0)
    port_intra_data: Annotated[U64, setting("TCP port; 0: the control one.", ge=0, le=65535)] = U64(0)


class TestPaths(Section, frozen=True):
    """Mountpaths for trying things out: `<root>/mp1/<instance>` and so on, instead of `fspaths`."""

    __test__ = False

    root: Annotated[str, setting("Parent directory.")] = ""
    count: Annotated[int, setting("How many; 0: `fspaths` counts.", ge=0, le=256)] = 0
    instance: Annotated[int, setting("Distinguishes targets on one machine.", ge=0)] = 0


class LocalConfig(Section, frozen=True):
    """The configuration of one node; never leaves it, except to be shown."""

    confdir: Annotated[
        str, setting("Directory of the node's own files: cluster secret, overrides, a proxy's ID and metadata.")
    ] = ""
    log_dir: Annotated[str, setting("Directory of log files.")] = ""
    host_net: HostNet = HostNet()
    fspaths: Annotated[dict[str, str], setting("A target's mountpaths and their labels.")] = msgspec.field(
        default_factory=dict
    )
    test_fspaths: TestPaths = TestPaths()
    workers: Annotated[
        str,
        setting(
            "Processes that serve clients. 1: the node is one process; more: another one controls them; auto: one for"
            " each CPU.",
            restart=True,
        ),
    ] = "1"
    mountpath_roots: Annotated[
        tuple[str, ...], setting("Directories below which mountpaths may be attached over the API; none: anywhere.")
    ] = ()
    promote_roots: Annotated[
        tuple[str, ...],
        setting("Directories of a target below which files may be promoted to objects; none: nothing may."),
    ] = ("/var/lib/ais/promote",)
    egress_networks: Annotated[
        tuple[str, ...],
        setting(
            "Networks (CIDR) that downloads may reach besides the public internet, say a mirror's; none: no other."
        ),
    ] = ()

    def check(self) -> None:
        for text in self.egress_networks:
            ipaddress.ip_network(text)
        for root in self.promote_roots:
            if not os.path.isabs(root) or os.path.normpath(root) != root or root == "/":
                raise ValueError(f'promote_roots: "{root}" is no absolute path of a directory below /')

    def worker_count(self, cpus: int) -> int:
        """How many processes serve clients on a machine with so many CPUs. Raise `BadRequest`."""
        if self.workers == "auto":
            return min(cpus, WORKERS_MAX)
        if self.workers.isdecimal() and 1 <= int(self.workers) <= WORKERS_MAX:
            return int(self.workers)
        raise BadRequest(f'workers="{self.workers[:40]}": choose a number from 1 to {WORKERS_MAX}, or auto')

    def admits_mountpath(self, path: str) -> bool:
        """Whether a directory may be attached: below one of the roots, links followed. It looks at the disk."""
        real = os.path.realpath(path)
        return not self.mountpath_roots or any(
            os.path.commonpath((real, root)) == root for root in map(os.path.realpath, self.mountpath_roots)
        )

    @property
    def mountpaths(self) -> dict[str, str]:
        """Mountpath directories of a target and their labels."""
        test = self.test_fspaths
        if not test.count:
            return self.fspaths
        return {os.path.join(test.root, f"mp{index}", str(test.instance)): "" for index in range(1, test.count + 1)}

    @property
    def ports(self) -> tuple[int, int, int]:
        """Ports of the public, control and data networks; equal ones share a listener."""
        control = self.host_net.port_intra_control or self.host_net.port
        return self.host_net.port, control, self.host_net.port_intra_data or control

    @property
    def hosts(self) -> tuple[str, str, str]:
        """Host names of the public, control and data networks; empty ones are still to be found out."""
        control = self.host_net.hostname_intra_control or self.host_net.hostname
        return self.host_net.hostname, control, self.host_net.hostname_intra_data or control


def normalise_fspaths(value: Any) -> Any:
    """AIStore's older spellings of `fspaths` as a map of labels: a list of paths, or a map of empty objects."""
    if isinstance(value, list):
        return {path: "" for path in value if isinstance(path, str)}
    if isinstance(value, dict):
        return {path: label if isinstance(label, str) else "" for path, label in value.items()}
    return value
