"""What browsers may send: a page of another site must not use the cluster that its reader can reach.

Browsers send simple requests to any address without asking, and a name that first leads to a page can lead to the
cluster a moment later (DNS rebinding). Addresses cannot be turned like that: they are always ours. S3 has rules of its
own for pages (CORS), and signatures; where nobody has to sign, what follows is for S3 too (`ais.node.s3`).
"""

import ipaddress
import socket

from ais.base.errors import AccessDenied
from ais.meta.smap import Smap
from ais.net.http import Request
from ais.node import clients


class Browsers:
    """One per node."""

    def __init__(self, host: clients.Host) -> None:
        self._host = host
        self._machine = frozenset(("localhost", socket.gethostname().lower()))
        self._of_smap: tuple[Smap | None, frozenset[str]] = (None, frozenset())

    def check(self, request: Request) -> None:
        """Raise `AccessDenied` for a native request that a page of another site sends, or under another name."""
        if request.headers.is_foreign:
            raise AccessDenied("a page of another site cannot use this cluster")
        self.check_name(request)

    def check_name(self, request: Request, domain: str = "") -> None:
        """Raise `AccessDenied` for one under a name that is none of ours, nor `domain` or below it."""
        name = (request.headers.get("host") or "").lower()
        name = name.rpartition(":")[0] if not name.endswith("]") and ":" in name else name
        if not (self._is_ours(name) or (domain and f".{name}".endswith(f".{domain.lower()}"))):
            raise AccessDenied(
                f'"{name[:100]}" is not the name of a node: add it to net.hosts if browsers shall reach us by it'
            )

    def _is_ours(self, name: str) -> bool:
        try:
            ipaddress.ip_address(name.strip("[]"))
        except ValueError:
            smap = self._host.smap
            if self._of_smap[0] is not smap:
                nets = (net for node in smap.nodes.values() for net in (node.public, node.control, node.data))
                self._of_smap = smap, frozenset(net.host.lower() for net in nets)
            return name in self._machine or name in self._of_smap[1] or name in self._host.config.cluster.net.hosts
        return True
