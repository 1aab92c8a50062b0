"""`ais show dashboard`: the whole cluster at a glance."""

import asyncio
from typing import TYPE_CHECKING, Any

import click

from ais.api.protection import ClusterProtection, State
from ais_cli import nodes, text
from ais_cli.app import App
from ais_cli.params import table_options, units_option
from ais_cli.performance import INTERVAL_S, look_twice
from ais_cli.repeat import refreshing

if TYPE_CHECKING:
    from ais.client.client import Client
    from ais.meta.smap import Smap


@click.command("dashboard")
@click.option("--verbose", "-v", is_flag=True, help="Also the state of each node.")
@units_option
@table_options
@refreshing
@click.pass_obj
def dashboard(app: App, verbose: bool, as_json: bool, no_headers: bool) -> None:
    """Show at a glance how the cluster is, what it does and how fast."""

    async def work(
        client: "Client",
    ) -> tuple["Smap", list[nodes.NodeRow], dict[str, str], dict[str, Any], ClusterProtection]:
        smap = await client.cluster.smap()
        rows, (before, after), running, config, found = await asyncio.gather(
            nodes.fetch_rows(client, smap, smap.nodes.values()),
            look_twice(client, None),
            client.jobs.running(),
            client.cluster.config(),
            client.cluster.protection(),
        )
        moved = {
            name: sum(counters.get(name, 0) - before[target].get(name, 0) for target, counters in after.items())
            for name in ("get.size", "put.size")
        }
        return smap, rows, _facts(rows, moved, running, found), config, found

    smap, rows, facts, config, found = app.run(work)
    if as_json:
        text.print_json(facts)
        return
    if not no_headers:
        click.secho("Performance and Health:", bold=True)
    for name, value in facts.items():
        click.echo(f"   {name + ':':<16} {value}")
    if verbose:
        click.echo()
        nodes.print_nodes(rows, headers=not no_headers, verbose=True)
    nodes.print_summary(smap, rows, config, found)


def _facts(
    rows: list[nodes.NodeRow], moved: dict[str, int], running: list[str], found: ClusterProtection
) -> dict[str, str]:
    known = [row.status for row in rows if row.status is not None]
    targets = [row.status for row in rows if row.status is not None and not row.snode.is_proxy]
    alerting = [one.bck.cname() for one in found.buckets if one.state in (State.SHORT, State.UNREACHABLE)]
    alerting += [row.name for row in rows if row.status is None or click.unstyle(row.alert) != "ok"]
    errors = sum(value for status in known for name, value in status.tracker.items() if name.startswith("err.io."))
    loads = [status.machine.load_avg.one for status in known] or [0.0]
    used = [status.capacity.pct_avg for status in targets] or [0]
    faults = [row.name for row in rows if row.status is not None and row.status.capacity.error]
    mountpaths = sum(len(status.capacity.mountpaths) for status in targets)
    read, written = (int(moved[name] / INTERVAL_S) for name in ("get.size", "put.size"))
    return {
        "State": f"look at {', '.join(alerting)}"
        if alerting
        else "Operational"
        if found.state is State.OK
        else found.state,
        "Throughput": f"Read {text.rate(read)}, Write {text.rate(written)} ({INTERVAL_S:.0f}s avg)",
        "I/O Errors": f"{errors:,}",
        "Load Avg": f"avg {sum(loads) / len(loads):.1f}, min {min(loads):.1f}, max {max(loads):.1f} (1m)",
        "Disk Usage": f"avg {sum(used) / len(used):.1f}%, min {min(used):.1f}%, max {max(used):.1f}%",
        "Storage": text.count_of(mountpaths, "mountpath") + (f", look at {', '.join(faults)}" if faults else ""),
        "Running Jobs": ", ".join(sorted({job.partition("[")[0] for job in running})) or "None",
    }
