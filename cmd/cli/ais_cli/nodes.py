"""Cluster and node status as tables: what `ais show cluster` and `ais show storage` print."""

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from ais.api import codec
from ais.api.protection import ClusterProtection
from ais.base.errors import AisError
from ais.meta.smap import Flag, Smap, Snode
from ais_cli import protection, text
from ais_cli.text import Column

if TYPE_CHECKING:
    from ais.client.client import Client
    from ais.client.status import NodeStatus

ONLINE = "online"
AWAY = "away"
_MEM_PCT_HIGH = 90


@dataclass(frozen=True)
class NodeRow:
    """A node of the cluster map, and its status or why there is none."""

    snode: Snode
    is_primary: bool
    status: "NodeStatus | None"
    error: str = ""

    @property
    def name(self) -> str:
        """As in AIStore's tables: `p[ID][P]` is the primary."""
        return self.snode.name + ("[P]" if self.is_primary else "")

    @property
    def state(self) -> str:
        """In a word."""
        if self.snode.is_away:
            return click.style(AWAY, fg="red")
        if self.snode.flags & Flag.DECOMMISSION:
            return click.style("decommission", fg="yellow")
        if self.snode.flags & Flag.MAINTENANCE:
            return click.style("maintenance", fg="yellow")
        if self.status is None:
            return click.style(self.error, fg="red")
        return self.status.status or ONLINE

    @property
    def alert(self) -> str:
        """What is wrong or going on; `ok` otherwise."""
        if self.status is None:
            return text.NONE
        found = self.status.cluster.describe()
        return found if found == "ok" else click.style(found, fg="yellow")


async def fetch_rows(client: "Client", smap: Smap, nodes: Iterable[Snode]) -> list[NodeRow]:
    """The status of nodes, asked all at once; a node that does not answer is a row too."""

    async def one(snode: Snode) -> NodeRow:
        try:
            async with asyncio.timeout(5):
                status = await client.node(snode.id).status()
        except TimeoutError:
            return NodeRow(snode, smap.is_primary(snode.id), None, "no answer")
        except AisError:
            return NodeRow(snode, smap.is_primary(snode.id), None, "unreachable")
        return NodeRow(snode, smap.is_primary(snode.id), status)

    return list(await asyncio.gather(*(one(snode) for snode in sorted(nodes, key=lambda node: node.id))))


def print_nodes(rows: list[NodeRow], *, headers: bool, verbose: bool = False) -> None:
    """The tables of proxies and of targets, each if there are any; `verbose`: with what is usual too."""
    proxies = [row for row in rows if row.snode.is_proxy]
    targets = [row for row in rows if not row.snode.is_proxy]
    shows_alert = verbose or any(row.status and click.unstyle(row.alert) != "ok" for row in rows)
    shows_version = verbose or len({row.status.version for row in rows if row.status}) > 1 or len(rows) == 1
    for title, part in (("PROXY", proxies), ("TARGET", targets)):
        if not part:
            continue
        cells = [_cells(row, is_target=title == "TARGET") for row in part]
        wanted = [key for key in cells[0] if _is_shown(key, shows_alert=shows_alert, shows_version=shows_version)]
        columns = [Column(title if key == "NODE" else key, key in _NUMBERS) for key in wanted]
        text.print_table(columns, [[row[key] for key in wanted] for row in cells], headers=headers)
        if part is proxies and targets and headers:
            click.echo()


_NUMBERS = ("MEM USED(%)", "MEM AVAIL", "CAP USED(%)", "CAP AVAIL")


def _is_shown(key: str, *, shows_alert: bool, shows_version: bool) -> bool:
    return {"ALERT": shows_alert, "VERSION": shows_version, "BUILD TIME": shows_version}.get(key, True)


def _cells(row: NodeRow, *, is_target: bool) -> dict[str, str]:
    status = row.status
    cells = dict.fromkeys(("NODE", "MEM USED(%)", "MEM AVAIL"), text.NONE)
    if is_target:
        cells |= dict.fromkeys(("CAP USED(%)", "CAP AVAIL"), text.NONE)
    cells |= dict.fromkeys(("LOAD AVERAGE", "UPTIME"), text.NONE)
    cells |= {"STATUS": row.state, "ALERT": row.alert, "VERSION": text.NONE, "BUILD TIME": text.NONE}
    cells["NODE"] = row.name
    if status is None:
        return cells
    machine, load = status.machine, status.machine.load_avg
    memory = text.percent(machine.pct_mem_used)
    cells["MEM USED(%)"] = click.style(memory, fg="red") if machine.pct_mem_used >= _MEM_PCT_HIGH else memory
    cells["MEM AVAIL"] = text.size(machine.mem_avail)
    cells["LOAD AVERAGE"] = f"[{load.one:.1f} {load.five:.1f} {load.fifteen:.1f}]"
    cells["UPTIME"] = text.duration(status.uptime_ns) if status.uptime_ns else text.NONE
    cells["VERSION"] = status.version or text.NONE
    cells["BUILD TIME"] = status.build_time or text.NONE
    if is_target:
        cells["CAP USED(%)"] = f"{status.capacity.pct_avg}%"
        cells["CAP AVAIL"] = text.size(status.capacity.total_avail)
    return cells


def print_summary(smap: Smap, rows: list[NodeRow], config: Mapping[str, Any], found: ClusterProtection) -> None:
    """The block below the tables: what the cluster is as a whole."""
    up = [row.status for row in rows if row.status is not None]
    targets = [row.status for row in rows if row.status is not None and not row.snode.is_proxy]
    unelectable = sum(bool(proxy.flags & Flag.NON_ELECTABLE) for proxy in smap.pmap.values())
    mountpaths = sum(len(status.capacity.mountpaths) for status in targets)
    used = sum(status.capacity.total_used for status in targets)
    avail = sum(status.capacity.total_avail for status in targets)
    primary = smap.primary.name if smap.primary else "none"
    required = config.get("auth", {}).get("client_auth_required", False)
    lines = {
        "Proxies": f"{len(smap.pmap)} ({unelectable} unelectable)",
        "Targets": f"{len(smap.tmap)} ({text.count_of(mountpaths, 'mountpath')})",
        "Capacity": f"used {text.size(used)}, available {text.size(avail)}" if targets else text.NONE,
        "Cluster Map": f"version {smap.version}, UUID {smap.uuid}, primary {primary}",
        "Deployment": text.joined(sorted({status.deployment for status in up})),
        "Status": _online(rows),
        "Protection": protection.summary_of(found),
        "Rebalance": f"{smap.moving.id} running" if smap.moving else "n/a",
        "Authentication": "enabled" if required else "disabled",
        "Version": text.joined(sorted({status.version for status in up})),
        "Build": text.joined(sorted({status.build_time for status in up if status.build_time})),
    }
    click.secho("\nSummary:", bold=True)
    for name, value in lines.items():
        click.echo(f"   {name + ':':<16} {value}")
    for line in protection.lines_of(found, found.buckets):
        click.secho(f"   {line}", fg="red")


def _online(rows: list[NodeRow]) -> str:
    online = sum(row.status is not None for row in rows)
    away = [row.name for row in rows if row.snode.is_away]
    missing = sum(row.status is None and not row.snode.is_away for row in rows)
    found = f"{online} online" + (click.style(f", {missing} unreachable", fg="red") if missing else "")
    if away:
        found += click.style(
            f", {len(away)} away: what {text.joined(away)} holds cannot be read or written until it returns", fg="red"
        )
    return found


def print_smap(smap: Smap, *, headers: bool) -> None:
    """The cluster map: every node with its address."""
    primary = smap.primary_id
    for nodes in (smap.pmap, smap.tmap):
        extended = any(len({one.public.url, one.control.url, one.data.url}) > 1 for one in nodes.values())
        titles = ["NODE", "TYPE", "PUBLIC URL"] + (["INTRA CONTROL URL", "INTRA DATA URL"] if extended else [])
        rows = []
        for one in sorted(nodes.values(), key=lambda node: node.public.url):
            name = one.name + ("[P]" if one.id == primary else "")
            rows.append([name, one.kind, one.public.url] + ([one.control.url, one.data.url] if extended else []))
        if rows:
            text.print_table([Column(title) for title in titles], rows, headers=headers)
            click.echo()
    unelectable = [one.name for one in smap.pmap.values() if one.flags & Flag.NON_ELECTABLE]
    if unelectable:
        click.echo(f"Non-Electable: {', '.join(unelectable)}")
    click.echo(f"Primary Proxy: {smap.primary.name if smap.primary else text.NONE}")
    click.echo(f"Proxies: {len(smap.pmap)}   Targets: {len(smap.tmap)}   Smap Version: {smap.version}")
    click.echo(f"UUID: {smap.uuid}")


def to_json(smap: Smap, rows: list[NodeRow]) -> dict[str, Any]:
    """The whole status for `--json`."""
    statuses = {
        row.snode.id: codec.to_builtins(row.status) if row.status else {"status": click.unstyle(row.state)}
        for row in rows
    }
    return {"smap": codec.to_builtins(smap), "status": statuses}
