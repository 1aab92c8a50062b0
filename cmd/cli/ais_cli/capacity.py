"""`ais storage capacity`, `ais storage disk`: how full targets are and what their disks do."""

from typing import TYPE_CHECKING

import click

from ais.api.capacity import DiskRates
from ais_cli import nodes, text
from ais_cli.app import App
from ais_cli.params import NODE, already_so, examples, matches, table_options, units_option
from ais_cli.repeat import refreshing
from ais_cli.targets import fetch
from ais_cli.text import Column

if TYPE_CHECKING:
    from ais.client.client import Client

_CAPACITY = (
    Column("TARGET"),
    Column("MOUNTPATHS", is_number=True),
    Column("USED(min%, avg%, max%)"),
    Column("USED", is_number=True),
    Column("AVAIL", is_number=True),
    Column("CAP STATUS"),
)
_OF_MOUNTPATHS = (
    Column("TARGET"),
    Column("MOUNTPATH"),
    Column("USED(%)", is_number=True),
    Column("AVAIL", is_number=True),
    Column("CAP STATUS"),
)
_DISKS = (
    Column("TARGET"),
    Column("DISK"),
    Column("READ", is_number=True),
    Column("READ(avg size)", is_number=True),
    Column("WRITE", is_number=True),
    Column("WRITE(avg size)", is_number=True),
    Column("UTIL(%)", is_number=True),
)


@click.command("capacity", epilog=examples("ais storage capacity", "ais show storage capacity t[NODE_ID]"))
@click.argument("target", type=NODE, required=False, metavar="[TARGET_ID]")
@click.option("--mountpath", "by_mountpath", is_flag=True, help="One row for each mountpath.")
@click.option("--regex", help="Only targets whose names match this regular expression.")
@already_so("--non-verbose", "--nv")
@units_option
@table_options
@refreshing
@click.pass_obj
def capacity(
    app: App, target: str | None, by_mountpath: bool, regex: str | None, as_json: bool, no_headers: bool
) -> None:
    """Show how full the targets are."""

    async def work(client: "Client") -> list[nodes.NodeRow]:
        smap = await client.cluster.smap()
        wanted = [smap.require(target)] if target else smap.tmap.values()
        return await nodes.fetch_rows(client, smap, [one for one in wanted if matches(regex, one.name)])

    rows = app.run(work)
    if as_json:
        text.print_json({row.snode.id: row.status.capacity if row.status else None for row in rows})
        return
    if by_mountpath:
        text.print_table(_OF_MOUNTPATHS, [one for row in rows for one in _mountpath_rows(row)], headers=not no_headers)
    else:
        text.print_table(_CAPACITY, [_capacity_row(row) for row in rows], headers=not no_headers)


def _capacity_row(row: nodes.NodeRow) -> list[str]:
    if row.status is None:
        return [row.name, text.NONE, text.NONE, text.NONE, text.NONE, row.state]
    found = row.status.capacity
    return [
        row.name,
        str(len(found.mountpaths)),
        f"{found.pct_min}%, {found.pct_avg}%, {found.pct_max}%",
        text.size(found.total_used),
        text.size(found.total_avail),
        click.style(found.error, fg="red") if found.error else "good",
    ]


def _mountpath_rows(row: nodes.NodeRow) -> list[list[str]]:
    if row.status is None:
        return [[row.name, text.NONE, text.NONE, text.NONE, row.state]]
    found = row.status.capacity
    state = click.style(found.error, fg="red") if found.error else "good"
    return [
        [row.name, path, f"{one.pct_used}%", text.size(one.avail), state]
        for path, one in sorted(found.mountpaths.items())
    ]


@click.command("disk", epilog=examples("ais storage disk", "ais show storage disk t[NODE_ID]"))
@click.argument("target", type=NODE, required=False, metavar="[TARGET_ID]")
@click.option("--regex", help="Only disks whose names match this regular expression.")
@click.option("--summary", "totals", is_flag=True, help="One row for each target.")
@units_option
@table_options
@refreshing
@click.pass_obj
def disk(app: App, target: str | None, regex: str | None, totals: bool, as_json: bool, no_headers: bool) -> None:
    """Show the load of the targets' disks."""
    found = app.run(lambda client: fetch(client, target))
    if as_json:
        text.print_json({one.snode.id: one.disks.disks if one.disks else None for one in found})
        return
    rows = []
    for one in found:
        disks = (one.disks.disks if one.disks else {}).items()
        chosen = [(name, rates) for name, rates in sorted(disks) if matches(regex, name)]
        if totals and chosen:
            rows.append(_total_row(one.snode.name, [rates for _, rates in chosen]))
        elif not totals:
            rows += [_disk_row(one.snode.name, name, rates) for name, rates in chosen]
    if rows:
        text.print_table(_DISKS, rows, headers=not no_headers)
    else:
        text.note("The targets know of no such physical disks below their mountpaths (usual in containers).")


def _disk_row(target: str, name: str, rates: DiskRates) -> list[str]:
    return [
        target,
        name,
        text.rate(rates.read_bps),
        text.size(rates.read_avg),
        text.rate(rates.write_bps),
        text.size(rates.write_avg),
        f"{rates.util_pct}%",
    ]


def _total_row(target: str, disks: list[DiskRates]) -> list[str]:
    count = len(disks)
    return _disk_row(
        target,
        text.count_of(count, "disk"),
        DiskRates(
            sum(one.read_bps for one in disks),
            sum(one.read_avg for one in disks) // count,
            sum(one.write_bps for one in disks),
            sum(one.write_avg for one in disks) // count,
            sum(one.util_pct for one in disks) // count,
        ),
    )
