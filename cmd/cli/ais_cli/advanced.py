"""`ais advanced`: for scripts, development and support."""

import random
from typing import TYPE_CHECKING

import click

from ais.meta.smap import PROXY, TARGET
from ais_cli import text
from ais_cli.app import App, Missing
from ais_cli.params import BUCKET_OR_OBJECT, COUNT, NODE, Ref, already_so, examples
from ais_cli.warming import warm_up_metadata

if TYPE_CHECKING:
    from ais.client.client import Client


@click.group("advanced")
def advanced() -> None:
    """Commands for scripts, development and support."""


advanced.add_command(warm_up_metadata, "preload")


@advanced.command("random-node", epilog=examples("ais advanced random-node", "ais advanced random-node proxy"))
@click.argument("kind", type=click.Choice((TARGET, PROXY)), default=TARGET, metavar="[target|proxy]")
@click.pass_obj
def random_node(app: App, kind: str) -> None:
    """Print the ID of any node."""
    smap = app.run(lambda client: client.cluster.smap())
    found = sorted(smap.tmap if kind == TARGET else smap.pmap)
    if not found:
        raise Missing(f"the cluster has no {kind}.")
    click.echo(random.choice(found))


@advanced.command("random-mountpath", epilog=examples("ais advanced random-mountpath t[NODE_ID]"))
@click.argument("target", type=NODE, required=False, metavar="[TARGET_ID]")
@click.pass_obj
def random_mountpath(app: App, target: str | None) -> None:
    """Print any mountpath of a target, or of any target."""

    async def work(client: "Client") -> list[str]:
        smap = await client.cluster.smap()
        wanted = smap.require(target).id if target else random.choice(sorted(smap.tmap))
        return (await client.node(wanted).mountpaths()).available

    found = app.run(work)
    if not found:
        raise Missing("the target has no mountpath in use: 'ais storage mountpath' shows all.")
    click.echo(random.choice(found))


@advanced.command("rotate-logs", epilog=examples("ais advanced rotate-logs", "ais advanced rotate-logs t[NODE_ID]"))
@click.argument("node", type=NODE, required=False, metavar="[NODE_ID]")
@click.pass_obj
def rotate_logs(app: App, node: str | None) -> None:
    """Have a node, or all, begin new log files."""
    app.run(lambda client: client.node(node).rotate_logs() if node else client.cluster.rotate_logs())
    click.echo(f"{node or 'All nodes'}: new log files begun")


@advanced.command(
    "check-lock",
    epilog=examples("ais advanced check-lock ais://photos/cat.jpg", "ais advanced check-lock ais://photos --limit 10"),
)
@click.argument("ref", type=BUCKET_OR_OBJECT, metavar="BUCKET[/OBJECT_OR_PREFIX]")
@click.option("--prefix", help="Objects whose names begin with this.")
@click.option("--limit", type=COUNT, default=0, help="Look at no more than so many.  [default: no limit]")
@click.option("--page-size", type=COUNT, default=0, help="Names per request of the listing.  [default: 10000]")
@click.option("--max-pages", type=COUNT, default=0, help="Stop after so many pages.  [default: no limit]")
@already_so("--encode-objname")
@click.pass_obj
def check_lock(app: App, ref: Ref, prefix: str | None, limit: int, page_size: int, max_pages: int) -> None:
    """Tell which objects are being written now."""
    from ais.api.codec import U64
    from ais.api.listing import Flag, LsoMsg

    async def work(client: "Client") -> list[list[str]]:
        if ref.name and prefix is None:
            return [[ref.name, _state(await client.objects.is_locked(ref.bck, ref.name))]]
        rows: list[list[str]] = []
        message = LsoMsg(prefix=ref.name + (prefix or ""), flags=U64(Flag.NAME_ONLY), pagesize=page_size)
        pages = 0
        async for page in client.buckets.pages(ref.bck, message):
            for entry in page.Entries or ():
                if limit and len(rows) == limit:
                    return rows
                rows.append([entry.n, _state(await client.objects.is_locked(ref.bck, entry.n))])
            pages += 1
            if pages == max_pages:
                break
        return rows

    rows = app.run(work)
    if rows:
        text.print_table([text.Column("OBJECT"), text.Column("LOCK")], rows)
    else:
        text.note(f"No objects in {ref}.")


def _state(is_locked: bool) -> str:
    return click.style("locked for writing", fg="yellow") if is_locked else "unlocked"
