"""Completion of buckets, objects, nodes and access keys. A cluster that does not answer quickly completes nothing."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import click
from click.shell_completion import CompletionItem

from ais.api.bucket import Bck
from ais.base.errors import AisError
from ais_cli.app import App

if TYPE_CHECKING:
    from ais.client.client import Client

TIMEOUT_S = 1.0
CANDIDATES_MAX = 100


def references(ctx: click.Context, incomplete: str, *, objects: bool) -> list[CompletionItem]:
    """Buckets, and behind `BUCKET/` the objects and virtual directories of the next level."""
    scheme, separator, rest = incomplete.partition("://")
    if objects and "/" in (rest if separator else scheme):
        return _items(ctx, incomplete, lambda client: _objects(client, incomplete))
    return _items(ctx, incomplete, lambda client: _buckets(client, incomplete))


def nodes(ctx: click.Context, incomplete: str) -> list[CompletionItem]:
    """Node names, as `t[ID]` or as a bare ID when that was begun."""
    return _items(ctx, incomplete, lambda client: _nodes(client, incomplete))


def access_keys(ctx: click.Context, incomplete: str) -> list[CompletionItem]:
    """IDs of access keys."""
    return _items(ctx, incomplete, _access_keys)


def settings(incomplete: str) -> list[str]:
    """Sections until a dot is typed, then the settings of the section."""
    from ais.config.change import flatten
    from ais.config.cluster import ClusterConfig

    depth = incomplete.count(".") + 1
    names = {
        name if name.count(".") < depth else ".".join(name.split(".")[:depth]) + "."
        for name in flatten(ClusterConfig())
    }
    return sorted(name for name in names if name.startswith(incomplete))


async def _buckets(client: "Client", incomplete: str) -> list[str]:
    names = [bck.cname() for bck in await client.buckets.all()]
    if "://" not in incomplete and not any(name.startswith(incomplete) for name in names):
        names = [name.partition("://")[2] for name in names if name.startswith("ais://")]
    return names


async def _objects(client: "Client", incomplete: str) -> list[str]:
    from ais.api.codec import U64
    from ais.api.listing import Flag, LsoMsg

    bck, prefix = Bck.parse_uri(incomplete)
    written = incomplete[: len(incomplete) - len(prefix)]
    message = LsoMsg(prefix=prefix, flags=U64(Flag.NO_RECURSION | Flag.NAME_ONLY), pagesize=CANDIDATES_MAX)
    page = await anext(client.buckets.pages(bck, message))
    return [written + entry.n for entry in page.Entries or ()]


async def _nodes(client: "Client", incomplete: str) -> list[str]:
    smap = await client.cluster.smap()
    has_brackets = not incomplete or incomplete[:2] in ("p[", "t[") or incomplete in "pt"
    return [node.name if has_brackets else node.id for node in smap.nodes.values()]


async def _access_keys(client: "Client") -> list[str]:
    return [key.id for key in await client.access_keys.all()]


def _items(
    ctx: click.Context, incomplete: str, fetch: "Callable[[Client], Awaitable[list[str]]]"
) -> list[CompletionItem]:
    root = ctx.find_root()
    app = App(root.params.get("endpoint") or "")

    async def bounded(client: "Client") -> list[str]:
        async with asyncio.timeout(TIMEOUT_S):
            return await fetch(client)

    try:
        found = app.run(bounded, retries=0)
    except (AisError, TimeoutError):
        return []
    return [CompletionItem(name) for name in found if name.startswith(incomplete)][:CANDIDATES_MAX]
