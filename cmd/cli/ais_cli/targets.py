"""What targets tell about their storage."""

import asyncio
from typing import TYPE_CHECKING, NamedTuple

import click

from ais.api.capacity import DiskReport, Mountpaths
from ais.base.errors import AisError
from ais.meta.smap import Snode

if TYPE_CHECKING:
    from ais.client.client import Client


class Storage(NamedTuple):
    """What a target tells about its storage; None: it does not answer."""

    snode: Snode
    mountpaths: Mountpaths | None
    disks: DiskReport | None


async def fetch(client: "Client", target: str | None) -> list[Storage]:
    """Of one target, or of all. Raise `NodeNotFound` or `UsageError` when it is none."""

    async def one(snode: Snode) -> Storage:
        node = client.node(snode.id)
        try:
            return Storage(snode, await node.mountpaths(), await node.disks())
        except AisError:
            if target is not None:
                raise
            return Storage(snode, None, None)

    smap = await client.cluster.smap()
    if target is not None and smap.require(target).is_proxy:
        raise click.UsageError(f"{smap.require(target).name} is a proxy: it has no storage")
    wanted = [smap.require(target)] if target is not None else list(smap.tmap.values())
    return list(await asyncio.gather(*(one(snode) for snode in wanted)))
