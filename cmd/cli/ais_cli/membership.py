"""`ais cluster add-remove-nodes`, `ais cluster rebalance`: nodes leave and return, and data follows."""

from typing import TYPE_CHECKING

import click

from ais.api import actions, xact
from ais.meta.smap import Snode
from ais_cli import text
from ais_cli.app import App, confirm
from ais_cli.job import show as show_jobs
from ais_cli.job import stop as stop_jobs
from ais_cli.params import NODE, already_so, examples, table_options, units_option, yes_option
from ais_cli.repeat import refreshing
from ais_cli.waiting import wait_and_report

if TYPE_CHECKING:
    from ais.client.client import Client


@click.group("add-remove-nodes")
def nodes_group() -> None:
    """Put nodes into maintenance and back, shut them down, take them out of the cluster."""


def _change(
    app: App,
    verb: str,
    node_ids: tuple[str, ...],
    *,
    question: str = "",
    done: str,
    yes: bool,
    no_rebalance: bool = False,
    no_shutdown: bool = False,
    rm_user_data: bool = False,
) -> None:
    async def work(client: "Client") -> tuple[list[Snode], str]:
        smap = await client.cluster.smap()
        found = [smap.require(one) for one in node_ids]
        if question:
            confirm(question.format(", ".join(one.name for one in found)), yes=yes)
        uuid = await client.cluster.change_nodes(
            verb, node_ids, skip_rebalance=no_rebalance, no_shutdown=no_shutdown, rm_user_data=rm_user_data
        )
        return found, uuid

    found, uuid = app.run(work)
    if uuid:
        click.echo(f"Started rebalance[{uuid}]: 'ais show rebalance' tells how far it is.")
    for one in found:
        click.echo(f"{one.name} {done}")


_nodes = click.argument("node_ids", nargs=-1, required=True, type=NODE, metavar="NODE_ID...")
_no_rebalance = click.option(
    "--no-rebalance", is_flag=True, help="Leave the data where it is: not for longer absences."
)


_rm_user_data = click.option("--rm-user-data", is_flag=True, help="Remove all data of the node, once it has moved.")


@nodes_group.command("start-maintenance", epilog=examples("ais cluster add-remove-nodes start-maintenance t[NODE_ID]"))
@_nodes
@_no_rebalance
@yes_option
@click.pass_obj
def start_maintenance(app: App, node_ids: tuple[str, ...], no_rebalance: bool, yes: bool) -> None:
    """Take nodes out of use for a while; what targets hold moves to the others first."""
    question = "Put {} into maintenance without moving its data?" if no_rebalance else ""
    _change(
        app,
        actions.START_MAINTENANCE,
        node_ids,
        question=question,
        done="is going into maintenance",
        yes=yes,
        no_rebalance=no_rebalance,
    )


@nodes_group.command("stop-maintenance", epilog=examples("ais cluster add-remove-nodes stop-maintenance t[NODE_ID]"))
@_nodes
@already_so("--no-rebalance")
@yes_option
@click.pass_obj
def stop_maintenance(app: App, node_ids: tuple[str, ...], yes: bool) -> None:
    """Use nodes again; what they own moves to them."""
    _change(app, actions.STOP_MAINTENANCE, node_ids, done="is in use again", yes=yes)


@nodes_group.command("decommission", epilog=examples("ais cluster add-remove-nodes decommission t[NODE_ID] --yes"))
@_nodes
@_no_rebalance
@click.option("--no-shutdown", is_flag=True, help="Leave the node running; `join` takes it in again.")
@_rm_user_data
@already_so("--keep-initial-config")
@yes_option
@click.pass_obj
def decommission(
    app: App, node_ids: tuple[str, ...], no_rebalance: bool, no_shutdown: bool, rm_user_data: bool, yes: bool
) -> None:
    """Take nodes out of the cluster for good, after what targets hold has moved to the others."""
    _change(
        app,
        actions.DECOMMISSION_NODE,
        node_ids,
        question="Take {} out of the cluster for good?",
        done="is leaving the cluster",
        yes=yes,
        no_rebalance=no_rebalance,
        no_shutdown=no_shutdown,
        rm_user_data=rm_user_data,
    )


@nodes_group.command("join", epilog=examples("ais cluster add-remove-nodes join 10.0.0.7:51081"))
@click.argument("address", metavar="IP:PORT")
@click.option("--role", type=click.Choice(("proxy", "target")), help="Refuse a node of the other role.")
@already_so("--non-electable")
@click.pass_obj
def join(app: App, address: str, role: str | None) -> None:
    """Take in a node that was decommissioned and left running. One that starts joins by itself: proxy.primary_url."""
    from ais.client.client import Client

    async def work(client: "Client") -> tuple[Snode, str]:
        async with Client(address if "://" in address else f"http://{address}") as other:
            snode = await other.cluster.snode()
        if role and snode.kind != role:
            raise click.UsageError(f"{snode.name} at {address} is a {snode.kind}")
        return snode, await client.cluster.admit(snode)

    snode, uuid = app.run(work)
    click.echo(f"{snode.name} is in the cluster")
    if uuid:
        click.echo(f"Started rebalance[{uuid}]: 'ais show rebalance' tells how far it is.")


@nodes_group.command("shutdown", epilog=examples("ais cluster add-remove-nodes shutdown t[NODE_ID]"))
@_nodes
@_no_rebalance
@_rm_user_data
@yes_option
@click.pass_obj
def shutdown(app: App, node_ids: tuple[str, ...], no_rebalance: bool, rm_user_data: bool, yes: bool) -> None:
    """Put nodes into maintenance and stop them; started again, they stay in maintenance until that is stopped."""
    _change(
        app,
        actions.SHUTDOWN_NODE,
        node_ids,
        question="Shut down {}?",
        done="is shutting down",
        yes=yes,
        no_rebalance=no_rebalance,
        rm_user_data=rm_user_data,
    )


@click.command("remove-from-smap", epilog=examples("ais advanced remove-from-smap t[NODE_ID]"))
@click.argument("node_id", type=NODE, metavar="NODE_ID")
@yes_option
@click.pass_obj
def remove_from_smap(app: App, node_id: str, yes: bool) -> None:
    """Forget a node at once; what only it holds is lost to the cluster."""
    _change(
        app,
        actions.REMOVE_NODE_UNSAFE,
        (node_id,),
        question="Forget {} at once? What only it holds is no longer served.",
        done="is forgotten",
        yes=yes,
    )


@click.group("rebalance")
def rebalance() -> None:
    """Move data to the targets that own it."""


@click.command("rebalance", epilog=examples("ais start rebalance", "ais start rebalance --wait"))
@click.option("--wait", is_flag=True, help="Return when all data is where it belongs.")
@click.pass_obj
def start_rebalance(app: App, wait: bool) -> None:
    """Move data to the targets that own it; starts by itself when the set of targets changes."""
    uuid = app.run(lambda client: client.jobs.start(xact.ArgsMsg(kind=xact.REBALANCE)))
    click.echo(f"Started rebalance[{uuid}]")
    if wait:
        wait_and_report(app, uuid)
    else:
        text.note("'ais show rebalance' tells how far it is, 'ais wait rebalance' waits for it.")


@click.command("rebalance", epilog=examples("ais show rebalance", "ais show rebalance --all --refresh 5s"))
@click.argument("selectors", nargs=-1, metavar="[REB_ID] [NODE_ID]")
@click.option("--all", "everything", is_flag=True, help="Also rebalances that have ended.")
@already_so("--date-time")
@units_option
@table_options
@refreshing
@click.pass_context
def show_rebalance(
    ctx: click.Context, selectors: tuple[str, ...], everything: bool, as_json: bool, no_headers: bool
) -> None:
    """Show the rebalance that runs; with --all, those before it."""
    ctx.invoke(
        show_jobs,
        selectors=(*selectors, "rebalance"),
        everything=everything,
        as_json=as_json,
        no_headers=no_headers,
        top=0,
        refresh=None,
        count=None,
    )


@click.command("stop", epilog=examples("ais cluster rebalance stop"))
@yes_option
@click.pass_context
def stop_rebalance(ctx: click.Context, yes: bool) -> None:
    """Stop the rebalance that runs; data stays where it is by then, and is served."""
    ctx.invoke(stop_jobs, selectors=("rebalance",), yes=yes)


rebalance.add_command(start_rebalance, "start")
rebalance.add_command(show_rebalance, "show")
rebalance.add_command(stop_rebalance, "stop")
