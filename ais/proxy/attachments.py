"""Attaching other clusters, and letting go of them: they are in the configuration, their buckets in the metadata."""

from collections.abc import Mapping
from urllib.parse import urlsplit

import msgspec

from ais.api import headers
from ais.api.bucket import Bck
from ais.backend import clusters
from ais.base.errors import AisError, BadRequest, Conflict, NotFound
from ais.config.cluster import ClusterConfig
from ais.meta.bmd import BMD
from ais.node.node import Node
from ais.proxy.remote import RemoteBuckets

ATTACH, DETACH = "attach", "detach"


class Attachments:
    """One per proxy. Changes are for the primary."""

    def __init__(self, node: Node, remote: RemoteBuckets) -> None:
        self._node = node
        self._remote = remote

    async def change(self, action: str, asked: Mapping[str, str]) -> None:
        """Attach or detach what the headers name. Raise `BadRequest`, `NotFound`, `Conflict`."""
        alias = asked.get(headers.REMOTE_ALIAS, "")
        await (self._attach(alias, asked.get(headers.REMOTE_URL, "")) if action == ATTACH else self._detach(alias))

    async def _attach(self, alias: str, url: str) -> None:
        """An alias is good for one cluster until it is detached: what is cached belongs to that."""
        try:
            if "@" in urlsplit(url).netloc:  # all who see the cluster's configuration would see it
                raise BadRequest("the URL has a user or a password: give the targets a token (AIS_AUTHN_TOKEN_FILE)")
            clusters.check({alias: [url]})
        except (BadRequest, ValueError) as error:
            raise BadRequest(
                f"failed to attach remote cluster [alias {alias} => {_shown(url)}], err: {error}"
            ) from None

        def add(config: ClusterConfig) -> ClusterConfig:
            known = clusters.attached(config.backend)
            if alias in known and url not in known[alias]:
                raise Conflict(f'"{alias}" is the remote cluster at {known[alias][0]}: detach that first')
            return _with(config, known | {alias: [url]})

        is_known = alias in clusters.attached(self._node.config.cluster.backend)
        if not is_known and self._buckets_of(self._node.bmd, alias):  # a detachment was not done
            await self._forget(alias)
        await self._node.change_config(add)
        try:
            problem = "" if is_known else await self._why_not(alias)
        except AisError:
            await self._remove(alias)
            raise
        if problem:
            await self._remove(alias)
            raise Conflict(f"failed to attach remote cluster [alias {alias} => {url}], err: {problem}")

    async def _why_not(self, alias: str) -> str:
        """Why a cluster that answers must not have another name: caches of the same would not know of each other."""
        found = {one.alias: one.uuid for one in (await self._remote.clusters()).found}
        uuid = found.get(alias, clusters.DEFUNCT)
        if uuid == self._node.smap.uuid:
            return "it is this cluster"
        others = [other for other, its in found.items() if other != alias and its == uuid != clusters.DEFUNCT]
        return f'it is attached as "{others[0]}"' if others else ""

    async def _detach(self, alias: str) -> None:
        """What is cached of its buckets goes with it, also when it was detached before and that was not done."""
        is_attached = alias in clusters.attached(self._node.config.cluster.backend)
        if not is_attached and not self._buckets_of(self._node.bmd, alias):
            raise NotFound("failed to detach remote cluster, err: not found")
        linked = [one.bck.cname() for one in self._node.bmd if one.props.backend_bck.namespace.uuid == alias]
        if linked:
            raise Conflict(f"{linked[0]} is linked to a bucket of {alias} (backend_bck): unlink it first")
        await self._remove(alias)
        await self._forget(alias)

    async def _forget(self, alias: str) -> None:
        """Have no buckets of a cluster that is not attached."""

        def drop(bmd: BMD) -> BMD:
            for bck in self._buckets_of(bmd, alias):
                bmd = bmd.without_bucket(bck)
            return bmd

        await self._node.change_bmd(drop)

    def _buckets_of(self, bmd: BMD, alias: str) -> list[Bck]:
        return [one.bck for one in bmd if alias and one.bck.namespace.uuid == alias]

    async def _remove(self, alias: str) -> None:
        def remove(config: ClusterConfig) -> ClusterConfig:
            known = clusters.attached(config.backend)
            return _with(config, {one: urls for one, urls in known.items() if one != alias})

        await self._node.change_config(remove)


def _shown(url: str) -> str:
    """Without what may be secret."""
    scheme, _, rest = url.partition("://")
    return f"{scheme}://{rest.rpartition('@')[2]}" if rest else url


def _with(config: ClusterConfig, known: Mapping[str, list[str]]) -> ClusterConfig:
    return msgspec.structs.replace(config, backend=clusters.with_attached(config.backend, known))
