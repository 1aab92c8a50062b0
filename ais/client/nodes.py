"""Calls answered by one node, reached through the gateway (wire contract §12.3)."""

from collections.abc import Mapping
from typing import Any, TypeVar

from ais.api import actions, query
from ais.api import headers as header
from ais.api.capacity import DiskReport, Mountpaths
from ais.client import answers, paths
from ais.client.status import NodeStatus
from ais.client.transport import Transport
from ais.meta.bmd import BMD
from ais.meta.smap import Smap

T = TypeVar("T")


class Node:
    """Made by `Client.node`. Calls raise `NodeNotFound` when the cluster map does not have it."""

    def __init__(self, transport: Transport, node_id: str) -> None:
        self._transport = transport
        self._headers = {header.NODE_ID: node_id}

    async def smap(self) -> Smap:
        """The cluster map as this node knows it."""
        return await self._what("smap", Smap)

    async def bmd(self) -> BMD:
        """All buckets as this node knows them."""
        return BMD.decode(await self._raw("bmd"))

    async def config(self) -> dict[str, Any]:
        """The cluster's and the node's own settings in one object, as JSON has them."""
        return await self._what("config", dict[str, Any])

    async def status(self) -> NodeStatus:
        """Its health, counters, machine and capacity."""
        return await self._what("node_status", NodeStatus)

    async def disks(self) -> DiskReport:
        """Capacity of a target's mountpaths and load of its disks."""
        return await self._what("disk", DiskReport)

    async def mountpaths(self) -> Mountpaths:
        """A target's mountpaths by state."""
        return await self._what("mountpaths", Mountpaths)

    async def log(self, severity: str = "", offset: int = 0) -> bytes:
        """The text of its current log from `offset` on; `severity` is `error` or `warning`. Raise `NotFound`."""
        return await self._raw("log", **{query.SEVERITY: severity, query.OFFSET: str(offset)})

    async def all_logs(self) -> bytes:
        """A gzipped tar archive of its current and earlier logs. Raise `NotFound`."""
        return await self._raw("log", **{query.ALL: "true"})

    async def certificate(self) -> dict[str, str]:
        """Facts of its TLS certificate. Raise `NotFound` when it has none."""
        return await self._what("tls_certificate", dict[str, str])

    async def reset_stats(self, *, errors_only: bool = False) -> None:
        """Set its counters to zero."""
        await self._act(actions.RESET_STATS, errors_only)

    async def rotate_logs(self) -> None:
        """Have it begin a new log file."""
        await self._act(actions.ROTATE_LOGS)

    async def _act(self, verb: str, value: object = None) -> None:
        message = paths.action(verb, value=value)
        await self._transport.call("PUT", paths.REVERSE, headers=self._headers, json=message)

    async def _what(self, what: str, kind: type[T]) -> T:
        return answers.decode(await self._raw(what), kind)

    async def _raw(self, what: str, **more: str) -> bytes:
        wanted = {query.WHAT: what} | {name: value for name, value in more.items() if value}
        _, body = await self._transport.call("GET", paths.REVERSE, wanted, headers=self._headers)
        return body

    async def attach_mountpath(self, path: str, label: str = "") -> None:
        """Give a target another mountpath. Raise `MountpathNotFound` when there is no such directory."""
        await self._mountpath("PUT", actions.ATTACH_MOUNTPATH, path, {query.MOUNTPATH_LABEL: label} if label else {})

    async def detach_mountpath(self, path: str, *, drain: bool = True) -> None:
        """Take a mountpath away from a target, when what it has has moved to the others; else at once, with that."""
        await self._mountpath("DELETE", actions.DETACH_MOUNTPATH, path, _undrained(drain))

    async def enable_mountpath(self, path: str) -> bool:
        """Use a disabled mountpath again; whether it was disabled."""
        return await self._mountpath("POST", actions.ENABLE_MOUNTPATH, path, {})

    async def disable_mountpath(self, path: str, *, drain: bool = True) -> bool:
        """Stop using a mountpath without forgetting it; whether it was enabled. `drain` as of `detach_mountpath`."""
        return await self._mountpath("POST", actions.DISABLE_MOUNTPATH, path, _undrained(drain))

    async def _mountpath(self, method: str, verb: str, path: str, wanted: Mapping[str, str]) -> bool:
        message = paths.action(verb, value=path)
        url_path = f"{paths.REVERSE}/mountpaths"
        response, _ = await self._transport.call(method, url_path, wanted, headers=self._headers, json=message)
        return response.status != 204

    async def set_config(self, values: Mapping[str, str], *, transient: bool = False) -> None:
        """Change settings of this node only."""
        wanted = dict(values) | ({query.TRANSIENT: "true"} if transient else {})
        await self._transport.call("PUT", f"{paths.REVERSE}/{actions.SET_CONFIG}", wanted, headers=self._headers)

    async def reset_config(self) -> None:
        """Forget this node's own settings."""
        await self._act(actions.RESET_CONFIG)


def _undrained(drain: bool) -> dict[str, str]:
    return {} if drain else {query.DONT_RESILVER: "true"}
