"""`ais cluster weights`: how many names each target owns beside the others."""

from typing import TYPE_CHECKING

import click

from ais.meta.smap import UNAVAILABLE, WEIGHT, Smap
from ais_cli import nodes, text
from ais_cli.app import App
from ais_cli.groups import DefaultGroup
from ais_cli.params import examples, node_id, table_options
from ais_cli.text import Column

if TYPE_CHECKING:
    from ais.client.client import Client

_COLUMNS = (
    Column("TARGET"),
    Column("WEIGHT", is_number=True),
    Column("SHARE OF NAMES", is_number=True),
    Column("CAPACITY", is_number=True),
    Column("USED(%)", is_number=True),
)


@click.group("weights", cls=DefaultGroup, default="show")
def weights() -> None:
    """Show how many names each target owns in proportion, or change that."""


def _capacity(row: nodes.NodeRow) -> int | None:
    """Bytes of a target's mountpaths; None where it does not say."""
    if row.status is None:
        return None
    found = row.status.capacity
    return (found.total_used + found.total_avail) or None


async def _rows(client: "Client") -> tuple[Smap, list[nodes.NodeRow]]:
    smap = await client.cluster.smap()
    return smap, await nodes.fetch_rows(client, smap, list(smap.tmap.values()))


@weights.command("show", epilog=examples("ais cluster weights", "ais cluster weights show --json"))
@table_options
@click.pass_obj
def show(app: App, as_json: bool, no_headers: bool) -> None:
    """Show weights, what share of all names that makes, and how large and full the targets are."""
    smap, rows = app.run(_rows)
    if as_json:
        text.print_json({one.id: one.share for one in smap.tmap.values()})
        return
    total = sum(one.share for one in smap.tmap.values() if not one.flags & UNAVAILABLE)
    cells = []
    for row in rows:
        share = 0 if row.snode.flags & UNAVAILABLE else row.snode.share / total
        size = _capacity(row)
        used = text.NONE if row.status is None or size is None else f"{row.status.capacity.pct_avg}%"
        cells.append(
            [row.name, str(row.snode.share), f"{share:.1%}", text.NONE if size is None else text.size(size), used]
        )
    text.print_table(_COLUMNS, cells, headers=not no_headers)


@weights.command(
    "set",
    epilog=examples(
        "ais cluster weights set t[NODE_ID]=200            twice the names of one with 100, as all begin",
        "ais cluster weights set --by-capacity --dry-run   what the sizes of the mountpaths would make of it",
    ),
)
@click.argument("settings", nargs=-1, metavar="[TARGET_ID=WEIGHT]...")
@click.option("--by-capacity", is_flag=True, help="In proportion to the sizes of the mountpaths; the smallest has 100.")
@click.option("--dry-run", is_flag=True, help="Only show the weights.")
@click.pass_obj
def change(app: App, settings: tuple[str, ...], by_capacity: bool, dry_run: bool) -> None:
    """Let targets own more names or fewer. Objects that get another owner are moved while clients work."""
    if by_capacity == bool(settings):
        raise click.UsageError("name targets with their weights, or --by-capacity")

    async def work(client: "Client") -> tuple[Smap, dict[str, int], str]:
        smap, rows = await _rows(client)
        wanted = _by_capacity(rows) if by_capacity else _parsed(smap, settings)
        return smap, wanted, "" if dry_run else await client.cluster.set_weights(wanted)

    smap, wanted, uuid = app.run(work)
    for one, weight in sorted(wanted.items()):
        click.echo(f"{smap.require(one).name} {'would have' if dry_run else 'has'} weight {weight}")
    if uuid:
        click.echo(f"Started rebalance[{uuid}]: 'ais show rebalance' tells how far it is.")


def _parsed(smap: Smap, settings: tuple[str, ...]) -> dict[str, int]:
    found = {}
    for one in settings:
        name, _, weight = one.rpartition("=")
        if not name or not weight.isascii() or not weight.isdigit():
            raise click.UsageError(f'"{one}" is not TARGET_ID=WEIGHT, such as t[NODE_ID]={2 * WEIGHT}')
        found[smap.require(node_id(name)).id] = int(weight)
    return found


def _by_capacity(rows: list[nodes.NodeRow]) -> dict[str, int]:
    """Raise `UsageError` when a target does not say how large it is."""
    sizes = {row.snode.id: _capacity(row) for row in rows if not row.snode.flags & UNAVAILABLE}
    known = {one: size for one, size in sizes.items() if size is not None}
    if missing := sizes.keys() - known.keys():
        raise click.UsageError(f"{', '.join(sorted(missing))} does not say how large it is: name the weights instead")
    smallest = min(known.values(), default=1)
    return {one: round(WEIGHT * size / smallest) for one, size in known.items()}
