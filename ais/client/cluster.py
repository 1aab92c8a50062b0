"""Calls about the cluster as a whole (wire contract §12)."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from ais.api import actions, codec, headers, query
from ais.api.protection import ClusterProtection
from ais.api.replication import ClusterReplication
from ais.base.errors import NotReady, TooSlow, Unreachable
from ais.client import answers, paths
from ais.client.failures import NoConnection
from ais.client.transport import Transport
from ais.meta.bmd import BMD
from ais.meta.smap import Smap, Snode

POLL_S = 0.2


class Attached(msgspec.Struct, frozen=True):
    """Another cluster; without a map it does not answer."""

    smap: Smap | None
    url: str
    alias: str
    uuid: str


class _AllAttached(msgspec.Struct, frozen=True):
    found: list[Attached] = msgspec.field(name="a", default_factory=list)


class Cluster:
    """Made by `Client`."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def smap(self) -> Smap:
        """The cluster map as the gateway knows it. Raise `NotReady` while it starts."""
        return answers.decode(await self._what(paths.DAEMON, "smap"), Smap)

    async def snode(self) -> Snode:
        """The node that answers, as it describes itself."""
        return answers.decode(await self._what(paths.DAEMON, "snode"), Snode)

    async def bmd(self) -> BMD:
        """All buckets and their properties as the gateway knows them."""
        return BMD.decode(await self._what(paths.DAEMON, "bmd"))

    async def config(self) -> dict[str, Any]:
        """The cluster's configuration: sections of settings, as JSON has them."""
        return answers.decode(await self._what(paths.CLUSTER, "cluster_config"), dict[str, Any])

    async def protection(self) -> ClusterProtection:
        """Per bucket: what is promised, what is there, what is missing, lost, or cannot be reached."""
        return answers.decode(await self._what(paths.CLUSTER, "protection"), ClusterProtection)

    async def replication(self) -> ClusterReplication:
        """Per destination of replicated buckets: how many changes it lacks, since when, and why."""
        return answers.decode(await self._what(paths.CLUSTER, "replication"), ClusterReplication)

    async def statements(self) -> dict[str, dict[str, Any]]:
        """By ID of a target and uname of a bucket: `statements` of its scrubs, and the `problem` of their chain."""
        return answers.decode(await self._what(paths.CLUSTER, "statements"), dict[str, dict[str, Any]])

    async def quarantine(self) -> dict[str, list[dict[str, Any]]]:
        """By ID of a target: the damaged files that it keeps aside."""
        return answers.decode(await self._what(paths.CLUSTER, "quarantine"), dict[str, list[dict[str, Any]]])

    async def _what(self, path: str, what: str) -> bytes:
        _, body = await self._transport.call("GET", path, {query.WHAT: what})
        return body

    async def health(self, *, readiness: bool = False) -> None:
        """Return if the gateway lives (or, with `readiness`, serves). Raise `NotReady` or `Unreachable`."""
        await self._transport.call("GET", paths.HEALTH, {query.READINESS: "true"} if readiness else {})

    async def is_ready(self) -> bool:
        """Whether the gateway serves and its primary is ready for changes."""
        try:
            await self.health(readiness=True)
            await self._transport.call("GET", paths.HEALTH, {query.PRIMARY_READY_TO_REBALANCE: "true"})
        except (NotReady, Unreachable):
            return False
        return True

    async def wait_ready(self, timeout_s: float) -> None:
        """Wait until `is_ready`. Raise `TooSlow`."""
        try:
            async with asyncio.timeout(timeout_s):
                ready = await self.is_ready()
                while not ready:
                    await asyncio.sleep(POLL_S)
                    ready = await self.is_ready()
        except TimeoutError:
            raise TooSlow(f"the cluster is not ready after {timeout_s:g} s") from None

    async def set_config(self, values: Mapping[str, str], *, transient: bool = False) -> None:
        """Change settings, named `section.name`, on all nodes. `transient`: until the next restart."""
        wanted = dict(values) | ({query.TRANSIENT: "true"} if transient else {})
        await self._transport.call("PUT", f"{paths.CLUSTER}/{actions.SET_CONFIG}", wanted)

    async def reset_config(self) -> None:
        """Undo every change, including the nodes' own ones: back to the configuration the cluster was made with."""
        await self._transport.call("PUT", paths.CLUSTER, json=paths.action(actions.RESET_CONFIG))

    async def attach(self, alias: str, url: str) -> None:
        """Have another cluster's buckets here, as `ais://@alias/bucket`. Raise `Conflict`, `BadRequest`."""
        given = {headers.REMOTE_ALIAS: alias, headers.REMOTE_URL: url}
        await self._transport.call("PUT", f"{paths.CLUSTER}/attach", {query.WHAT: "remote"}, headers=given)

    async def detach(self, alias: str) -> None:
        """Let go of an attached cluster, and of what is cached of its buckets. Raise `Conflict`, `NotFound`."""
        given = {headers.REMOTE_ALIAS: alias}
        await self._transport.call("PUT", f"{paths.CLUSTER}/detach", {query.WHAT: "remote"}, headers=given)

    async def attached(self) -> list[Attached]:
        """The clusters that are attached."""
        return answers.decode(await self._what(paths.CLUSTER, "remote"), _AllAttached).found

    async def switch_backend(self, provider: str, *, on: bool) -> None:
        """Serve the buckets of a provider, or refuse what needs it. Raise `BadRequest`."""
        await self._transport.call("PUT", f"{paths.CLUSTER}/{'enable' if on else 'disable'}-bend/{provider}")

    async def change_nodes(
        self,
        verb: str,
        node_ids: Sequence[str],
        *,
        skip_rebalance: bool = False,
        no_shutdown: bool = False,
        rm_user_data: bool = False,
    ) -> str:
        """Put nodes into maintenance or back, shut them down, or take them out of the cluster.

        `verb` is the wire's name of the action. The ID of the rebalance that it started; empty: none was needed.
        """
        value = {
            "sids": list(node_ids),
            "skip_rebalance": skip_rebalance,
            "no_shutdown": no_shutdown,
            "rm_user_data": rm_user_data,
        }
        _, body = await self._transport.call("PUT", paths.CLUSTER, json=paths.action(verb, value=value))
        return body.decode().strip()

    async def set_weights(self, weights: Mapping[str, int]) -> str:
        """Let targets own names in other proportions; the ID of the rebalance that it started, empty: none."""
        message = paths.action(actions.SET_WEIGHTS, value={"weights": dict(weights)})
        _, body = await self._transport.call("PUT", paths.CLUSTER, json=message)
        return body.decode().strip()

    async def rotate_secrets(self, kind: str, node_id: str = "") -> dict[str, bool]:
        """Replace secrets: `cluster`, `nodes` or `join`. By node ID whether it has another one now."""
        message = paths.action(actions.ROTATE_SECRETS, kind, {"sid": node_id})
        _, body = await self._transport.call("PUT", paths.CLUSTER, json=message)
        return codec.from_json(body, dict[str, bool])

    async def load_certificates(self, node_id: str = "") -> None:
        """Have all nodes, or one, use the files of their TLS certificates as they are now."""
        await self._transport.call("PUT", f"{paths.CLUSTER}/load-x509" + (f"/{node_id}" if node_id else ""))

    async def reset_stats(self, *, errors_only: bool = False) -> None:
        """Set the counters of all nodes to zero."""
        await self._act(actions.RESET_STATS, errors_only)

    async def rotate_logs(self) -> None:
        """Have all nodes begin new log files."""
        await self._act(actions.ROTATE_LOGS)

    async def _act(self, verb: str, value: object = None) -> None:
        await self._transport.call("PUT", paths.CLUSTER, json=paths.action(verb, value=value))

    async def set_primary(self, proxy_id: str) -> None:
        """Make another proxy the primary."""
        await self._transport.call("PUT", f"{paths.CLUSTER}/proxy/{proxy_id}")

    async def admit(self, snode: Snode) -> str:
        """Take in a node that runs without a cluster; the ID of the rebalance that this began, or the empty string."""
        path = f"{paths.CLUSTER}/join-by-admin"
        _, body = await self._transport.call("POST", path, json=codec.to_json(snode))
        return str((answers.parse(body) or {}).get("rebalance_id", ""))

    async def shutdown(self) -> None:
        """Stop every node; data stays. A connection that breaks while the cluster goes down is no failure."""
        await self._end(paths.action(actions.SHUTDOWN_CLUSTER))

    async def decommission(self, *, rm_user_data: bool = False) -> None:
        """End the cluster for good: every node forgets it and stops. Data is set aside, or removed."""
        await self._end(paths.action(actions.DECOMMISSION_CLUSTER, value={"rm_user_data": rm_user_data}))

    async def _end(self, message: bytes) -> None:
        try:
            await self._transport.call("PUT", paths.CLUSTER, json=message)
        except NoConnection:
            raise
        except Unreachable:
            pass
