"""`ais show cluster`, `ais cluster`: the nodes, the cluster map, bucket metadata; primary and shutdown."""

from typing import TYPE_CHECKING

import click
from click.shell_completion import CompletionItem

from ais.api.protection import ClusterProtection
from ais.meta.bmd import BMD
from ais.meta.smap import PROXY, TARGET, Smap, Snode
from ais_cli import log, machine, nodes, text
from ais_cli.app import App, confirm
from ais_cli.config import show_cluster as show_config
from ais_cli.dashboard import dashboard
from ais_cli.groups import DefaultGroup
from ais_cli.params import NODE, examples, table_options, yes_option
from ais_cli.performance import performance
from ais_cli.repeat import refreshing
from ais_cli.text import Column

if TYPE_CHECKING:
    from ais.client.client import Client


class _ShowGroup(DefaultGroup):
    """Completes `proxy` and `target` too."""

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        kinds = [CompletionItem(kind) for kind in (PROXY, TARGET) if kind.startswith(incomplete)]
        return super().shell_complete(ctx, incomplete) + kinds


@click.group(
    "show",
    cls=_ShowGroup,
    default="nodes",
    with_nodes=True,
    epilog=examples(
        "ais show cluster                   all nodes and a summary",
        "ais show cluster target            the targets",
        "ais show cluster t[NODE_ID]        one node",
        "ais show cluster smap              the cluster map",
        "ais show cluster --json",
    ),
)
def show() -> None:
    """Show the nodes of the cluster, how they are, and a summary.

    Followed by "proxy", "target" or a NODE_ID: only those.
    """


@show.command("nodes", hidden=True)
@click.argument("which", nargs=-1, type=NODE, metavar="[proxy|target] [NODE_ID]")
@click.option("--verbose", "-v", is_flag=True, help="Also alerts, versions and build times that all nodes share.")
@table_options
@refreshing
@click.pass_obj
def show_nodes(app: App, which: tuple[str, ...], verbose: bool, as_json: bool, no_headers: bool) -> None:
    """Show all nodes, or some of them."""

    async def work(
        client: "Client",
    ) -> tuple[Smap, list[nodes.NodeRow], dict[str, object], ClusterProtection | None]:
        smap = await client.cluster.smap()
        rows = await nodes.fetch_rows(client, smap, _matching(smap, which))
        if which:
            return smap, rows, {}, None
        return smap, rows, await client.cluster.config(), await client.cluster.protection()

    smap, rows, config, found = app.run(work)
    if as_json:
        text.print_json(nodes.to_json(smap, rows))
        return
    nodes.print_nodes(rows, headers=not no_headers, verbose=verbose)
    if found is not None and not no_headers:
        nodes.print_summary(smap, rows, config, found)


def _matching(smap: Smap, which: tuple[str, ...]) -> list[Snode]:
    kinds = [word for word in which if word in (PROXY, TARGET)]
    ids = [word for word in which if word not in (PROXY, TARGET)]
    found = [smap.require(one) for one in ids] if ids else list(smap.nodes.values())
    return [node for node in found if not kinds or node.kind in kinds]


@show.command("smap", epilog=examples("ais show cluster smap", "ais show cluster smap t[NODE_ID]   that node's copy"))
@click.argument("node", type=NODE, required=False, metavar="[NODE_ID]")
@table_options
@refreshing
@click.pass_obj
def show_smap(app: App, node: str | None, as_json: bool, no_headers: bool) -> None:
    """Show the cluster map."""
    smap = app.run(lambda client: client.node(node).smap() if node else client.cluster.smap())
    if as_json:
        text.print_json(smap)
    else:
        nodes.print_smap(smap, headers=not no_headers)


@show.command("bmd")
@click.argument("node", type=NODE, required=False, metavar="[NODE_ID]")
@table_options
@refreshing
@click.pass_obj
def show_bmd(app: App, node: str | None, as_json: bool, no_headers: bool) -> None:
    """Show the bucket metadata: all buckets and when they were created."""
    bmd = app.run(lambda client: client.node(node).bmd() if node else client.cluster.bmd())
    if as_json:
        from ais.api import codec

        text.print_json(codec.parse_json(bmd.encode()))
        return
    _print_bmd(bmd, headers=not no_headers)


def _print_bmd(bmd: BMD, *, headers: bool) -> None:
    columns = [Column("PROVIDER"), Column("NAMESPACE"), Column("NAME"), Column("BACKEND"), Column("CREATED")]
    rows = [
        [
            one.bck.provider,
            one.bck.namespace.uname.strip("@#") or text.NONE,
            one.bck.name,
            one.props.backend_bck.cname() if one.props.backend_bck.name else text.NONE,
            text.moment(one.props.created),
        ]
        for one in sorted(bmd, key=lambda bucket: bucket.bck.cname())
    ]
    if rows:
        text.print_table(columns, rows, headers=headers)
        click.echo()
    click.echo(f"BMD Version: {bmd.version}   UUID: {bmd.uuid}   Buckets: {len(bmd)}")


show.add_command(show_config, "config")
show.add_command(machine.cpu)
show.add_command(machine.memory)
show.add_command(performance, "stats")


@click.group()
def cluster() -> None:
    """Show the cluster, change its primary, shut it down."""


cluster.add_command(show)
cluster.add_command(dashboard)
cluster.add_command(log.download)


@cluster.command("reset-stats", epilog=examples("ais cluster reset-stats", "ais cluster reset-stats t[NODE_ID]"))
@click.argument("node", type=NODE, required=False, metavar="[NODE_ID]")
@click.option("--errors-only", is_flag=True, help="Only the counters of errors.")
@click.pass_obj
def reset_stats(app: App, node: str | None, errors_only: bool) -> None:
    """Set the counters of a node, or of all, to zero."""

    async def work(client: "Client") -> None:
        of = client.node(node) if node else client.cluster
        await of.reset_stats(errors_only=errors_only)

    app.run(work)
    what = "Error counters" if errors_only else "Counters"
    click.echo(f"{what} of {node or 'all nodes'} reset")


@cluster.command("set-primary", epilog=examples("ais cluster set-primary p[NODE_ID]"))
@click.argument("proxy", type=NODE, metavar="PROXY_ID")
@click.pass_obj
def set_primary(app: App, proxy: str) -> None:
    """Make another proxy the primary."""

    async def work(client: "Client") -> str:
        smap = await client.cluster.smap()
        snode = smap.require(proxy)
        if not snode.is_proxy:
            raise click.UsageError(f"{snode.name} is a target; only a proxy can be primary")
        if smap.is_primary(proxy):
            return f"{snode.name} is the primary already"
        await client.cluster.set_primary(proxy)
        return f"{snode.name} is now the primary"

    click.echo(app.run(work))


@cluster.command("shutdown", epilog=examples("ais cluster shutdown --yes"))
@yes_option
@click.pass_obj
def shutdown(app: App, yes: bool) -> None:
    """Stop all nodes. Data stays; the nodes have to be started again where they run."""

    async def work(client: "Client") -> int:
        smap = await client.cluster.smap()
        confirm(f"Stop all {len(smap.nodes)} nodes of the cluster {smap.uuid} at {client.endpoint}?", yes=yes)
        await client.cluster.shutdown()
        return len(smap.nodes)

    count = app.run(work)
    click.echo(f"{text.count_of(count, 'node')} told to stop")


@cluster.command(
    "decommission", epilog=examples("ais cluster decommission --yes", "ais cluster decommission --rm-user-data")
)
@click.option("--rm-user-data", is_flag=True, help="Remove all data; otherwise it is set aside on the mountpaths.")
@yes_option
@click.pass_obj
def decommission(app: App, rm_user_data: bool, yes: bool) -> None:
    """End the cluster for good: all nodes forget it and stop.

    Data stays as plain files in the directory decommissioned.CLUSTER_ID of each mountpath, unless it is removed.
    """

    async def work(client: "Client") -> int:
        smap = await client.cluster.smap()
        what = " and REMOVE ALL DATA" if rm_user_data else ""
        confirm(f"End the cluster {smap.uuid} ({len(smap.nodes)} nodes){what} for good?", yes=yes)
        await client.cluster.decommission(rm_user_data=rm_user_data)
        return len(smap.nodes)

    count = app.run(work)
    click.echo(f"{text.count_of(count, 'node')} told to forget the cluster and stop")
