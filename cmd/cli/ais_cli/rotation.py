"""`ais cluster rotate-secrets`, `ais start rewrap-keys`: other secrets and keys while the cluster works."""

from typing import TYPE_CHECKING, Any

import click

from ais.api import xact
from ais.api.xact import ArgsMsg
from ais_cli.app import App
from ais_cli.params import BUCKET, NODE, Ref, examples
from ais_cli.waiting import follow, job_options

if TYPE_CHECKING:
    from ais.client.client import Client


@click.command(
    "rotate-secrets",
    epilog=examples(
        "ais cluster rotate-secrets cluster            what access keys are sealed with",
        "ais cluster rotate-secrets nodes              the keys of all nodes",
        "ais cluster rotate-secrets nodes t[NODE_ID]   the key of one node",
        "ais cluster rotate-secrets join               after the file was replaced on all machines",
    ),
)
@click.argument("kind", type=click.Choice(("cluster", "nodes", "join")), metavar="cluster|nodes|join")
@click.argument("node", type=NODE, required=False, metavar="[NODE_ID]")
@click.pass_obj
def rotate(app: App, kind: str, node: str | None) -> None:
    """Replace the cluster's secret, the nodes' own keys, or the join secret.

    Clients notice nothing. The keys before are good for auth.intra_cluster.rotation_grace more.
    """

    async def work(client: "Client") -> dict[str, bool]:
        smap = await client.cluster.smap()
        found = await client.cluster.rotate_secrets(kind, smap.require(node).id if node else "")
        return {smap.require(node_id).name: changed for node_id, changed in found.items()}

    for name, changed in sorted(app.run(work).items()):
        click.echo(f"{name} {'has another secret' if changed else 'has the secret it had: its file is the same'}")


@click.command("rewrap-keys", epilog=examples("ais start rewrap-keys --wait", "ais start rewrap-keys ais://data"))
@click.argument("buckets", type=BUCKET, nargs=-1, metavar="[BUCKET...]")
@job_options
@click.pass_obj
def rewrap_keys(app: App, /, buckets: tuple[Ref, ...], **following: Any) -> None:
    """Wrap the data keys of encrypted objects with the newest version of their keys, after a rotation.

    Content is not touched. Without BUCKET, all of the cluster; what is done already is passed over.
    """
    args = ArgsMsg(kind=xact.REWRAP, buckets=[one.bck for one in buckets] or None)
    uuid = app.run(lambda client: client.jobs.start(args))
    follow(app, uuid, xact.REWRAP, **following)
