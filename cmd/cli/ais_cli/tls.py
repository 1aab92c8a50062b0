"""`ais tls`: the TLS certificates that nodes show."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from ais.base.errors import NotFound
from ais_cli import text
from ais_cli.app import App, Missing
from ais_cli.params import NODE, examples

if TYPE_CHECKING:
    from ais.client.client import Client


EXPIRES_SOON = "tls-cert-will-soon-expire"


@click.group("tls")
def tls() -> None:
    """Show and load the certificates of the nodes, and tell whether they are valid."""


@tls.command("show", epilog=examples("ais tls show", "ais tls show t[NODE_ID]"))
@click.argument("node", type=NODE, required=False, metavar="[NODE_ID]")
@click.pass_obj
def show(app: App, node: str | None) -> None:
    """Show the certificate of a node, or of the primary."""

    async def work(client: "Client") -> dict[str, str]:
        smap = await client.cluster.smap()
        return await client.node(node or smap.primary_id).certificate()

    text.print_properties(app.run(work))


@tls.command("load-certificate", epilog=examples("ais tls load-certificate", "ais tls load-certificate t[NODE_ID]"))
@click.argument("node", type=NODE, required=False, metavar="[NODE_ID]")
@click.pass_obj
def load(app: App, node: str | None) -> None:
    """Have all nodes, or one, use their certificate files as they are now. Nodes do so by themselves within seconds."""

    async def work(client: "Client") -> str:
        smap = await client.cluster.smap()
        found = smap.require(node) if node else None
        await client.cluster.load_certificates(found.id if found else "")
        return found.name if found else "all nodes"

    click.echo(f"Done: {app.run(work)}")


@tls.command("validate-certificates", epilog=examples("ais tls validate-certificates"))
@click.argument("node", type=NODE, required=False, metavar="[NODE_ID]")
@click.pass_obj
def validate(app: App, node: str | None) -> None:
    """Tell whether the certificates of all nodes, or of one, are valid now."""

    async def work(client: "Client") -> list[list[str]]:
        smap = await client.cluster.smap()
        wanted = [smap.require(node)] if node else sorted(smap.nodes.values(), key=lambda one: (one.kind, one.id))
        rows = []
        for one in wanted:
            try:
                facts = await client.node(one.id).certificate()
            except NotFound:
                rows.append([one.name, "none", text.NONE, text.NONE])
            else:
                start, end = facts["not-before"], facts["not-after"]
                wrong = facts.get("error") or facts.get("warning")
                rows.append([one.name, wrong or _validity(start, end), start, end])
        return rows

    rows = app.run(work)
    columns = [text.Column("NODE"), text.Column("CERTIFICATE"), text.Column("FROM"), text.Column("UNTIL")]
    text.print_table(columns, rows)
    if all(row[1] == "none" for row in rows):
        raise Missing("no node has a TLS certificate: set net.http.server_crt and net.http.server_key.")
    if any(row[1] not in ("none", "valid", EXPIRES_SOON) for row in rows):
        raise click.ClickException("some certificates are not valid")


def _validity(start: str, end: str) -> str:
    now = datetime.now(UTC)
    if now < datetime.fromisoformat(start):
        return "not valid yet"
    return "valid" if now <= datetime.fromisoformat(end) else "expired"
