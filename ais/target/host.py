"""What the target role needs of the node it runs on. `ais.node.node.Node` is one; so is the small node of the tests."""

from typing import Protocol

from aiohttp import web

from ais.api import headers
from ais.base.errors import AccessDenied
from ais.node import s3
from ais.stats.tracker import Tracker


class Host(s3.Host, Protocol):
    """The node: its surroundings, and the current version of everything the cluster agreed on."""

    @property
    def stats(self) -> Tracker: ...

    def require_settled(self) -> None:
        """Raise `NotReady` unless this node knows what the cluster has agreed on now."""

    async def set_directories(self, directories: tuple[str, ...]) -> None:
        """Keep the cluster metadata of this target in these mountpaths from now on."""


def require_node(host: Host, request: web.Request, what: str) -> None:
    """Raise `AccessDenied` unless the sender says that it is a node of the cluster."""
    if request.headers.get(headers.CALLER_ID, "") not in host.smap:
        raise AccessDenied(f"{what} is for nodes of the cluster")
