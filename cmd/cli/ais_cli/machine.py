"""`ais show cluster cpu`, `ais show cluster memory`: processors and memory of the nodes' machines and processes."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import click

from ais_cli import nodes, text
from ais_cli.app import App
from ais_cli.params import NODE, examples, table_options, units_option
from ais_cli.repeat import refreshing
from ais_cli.text import Column

if TYPE_CHECKING:
    from ais.client.client import Client
    from ais.client.status import Machine

_CPU = (
    Column("NODE"),
    Column("TYPE"),
    Column("PROC CPU(%)", is_number=True),
    Column("SYS CPU(%)", is_number=True),
    Column("LOAD AVERAGE"),
)
_MEMORY = (
    Column("NODE"),
    Column("TYPE"),
    *(
        Column(title, is_number=True)
        for title in (
            "PROC RSS", "PROC SIZE", "PROC SHARED", "PROC MEM(%)", "TOTAL", "USED", "FREE", "BUFF/CACHE",
            "ACTUAL USED", "ACTUAL FREE",
        )
    ),
)  # fmt: skip


def _show(
    app: App,
    node: str | None,
    columns: tuple[Column, ...],
    cells: "Callable[[Machine], list[str]]",
    *,
    as_json: bool,
    no_headers: bool,
) -> None:
    async def work(client: "Client") -> list[nodes.NodeRow]:
        smap = await client.cluster.smap()
        wanted = [smap.require(node)] if node else smap.nodes.values()
        return await nodes.fetch_rows(client, smap, wanted)

    rows = sorted(app.run(work), key=lambda row: (not row.snode.is_proxy, row.snode.id))
    if as_json:
        text.print_json({row.snode.id: row.status.machine if row.status else None for row in rows})
        return
    unknown = [text.NONE] * (len(columns) - 2)
    table = [[row.name, row.snode.kind, *(cells(row.status.machine) if row.status else unknown)] for row in rows]
    text.print_table(columns, table, headers=not no_headers)


@click.command("cpu", epilog=examples("ais show cluster cpu", "ais show cluster cpu t[NODE_ID] --refresh 5s"))
@click.argument("node", type=NODE, required=False, metavar="[NODE_ID]")
@units_option
@table_options
@refreshing
@click.pass_obj
def cpu(app: App, node: str | None, as_json: bool, no_headers: bool) -> None:
    """Show how busy the nodes' processors are."""

    def cells(machine: "Machine") -> list[str]:
        load = machine.load_avg
        return [
            f"{machine.proc.cpu.percent:.1f}%",
            f"{machine.pct_cpu_used:.0f}%",
            f"[{load.one:.1f} {load.five:.1f} {load.fifteen:.1f}]",
        ]

    _show(app, node, _CPU, cells, as_json=as_json, no_headers=no_headers)


@click.command("memory", epilog=examples("ais show cluster memory", "ais show cluster memory --units raw"))
@click.argument("node", type=NODE, required=False, metavar="[NODE_ID]")
@units_option
@table_options
@refreshing
@click.pass_obj
def memory(app: App, node: str | None, as_json: bool, no_headers: bool) -> None:
    """Show the memory of the nodes' processes and machines."""

    def cells(machine: "Machine") -> list[str]:
        own, whole = machine.proc.mem, machine.mem
        share = f"{100 * own.resident / whole.total:.1f}%" if whole.total else text.NONE
        sizes = (whole.total, whole.used, whole.free, whole.buff_cache, whole.actual_used, whole.actual_free)
        return [*map(text.size, (own.resident, own.size, own.share)), share, *map(text.size, sizes)]

    _show(app, node, _MEMORY, cells, as_json=as_json, no_headers=no_headers)
