"""`ais cluster remote-attach`, `remote-detach`, `ais show remote-cluster`: other clusters and their buckets."""

import click

from ais_cli import text
from ais_cli.app import App
from ais_cli.params import examples, table_options
from ais_cli.text import Column

_COLUMNS = (
    Column("UUID"),
    Column("URL"),
    Column("ALIAS"),
    Column("PRIMARY"),
    Column("SMAP"),
    Column("TARGETS", is_number=True),
)


@click.command(
    "remote-attach", epilog=examples("ais cluster remote-attach rem=http://gateway:8080", "ais ls ais://@rem")
)
@click.argument("clusters", nargs=-1, required=True, metavar="ALIAS=URL...")
@click.pass_obj
def attach(app: App, clusters: tuple[str, ...]) -> None:
    """Attach other clusters: their buckets are ais://@ALIAS/BUCKET from then on."""
    wanted = [(one, *one.partition("=")) for one in clusters]
    for one, alias, sign, url in wanted:
        if not (alias and sign and "://" in url):
            raise click.UsageError(f'"{one}" is not ALIAS=URL, such as rem=http://gateway:8080')
    for one, alias, _, url in wanted:
        app.run(lambda client, alias=alias, url=url: client.cluster.attach(alias, url))  # type: ignore[misc]
        click.echo(f"Remote cluster ({one}) successfully attached")


@click.command("remote-detach", epilog=examples("ais cluster remote-detach rem"))
@click.argument("alias", metavar="ALIAS")
@click.pass_obj
def detach(app: App, alias: str) -> None:
    """Let go of an attached cluster. What is cached of its buckets goes; they themselves stay as they are."""
    app.run(lambda client: client.cluster.detach(alias))
    click.echo(f"Remote cluster {alias} successfully detached")


@click.command("remote-cluster", epilog=examples("ais show remote-cluster", "ais show remote-cluster --json"))
@table_options
@click.pass_obj
def show(app: App, as_json: bool, no_headers: bool) -> None:
    """Show the clusters that are attached, and whether they answer."""
    found = app.run(lambda client: client.cluster.attached())
    if as_json:
        text.print_json(found)
        return
    rows = []
    for one in found:
        smap = one.smap
        primary = smap.primary.name if smap is not None and smap.primary is not None else text.NONE
        about = (primary, f"v{smap.version}", str(len(smap.tmap))) if smap is not None else (text.NONE,) * 3
        rows.append([one.uuid, one.url, one.alias, *about])
    if rows:
        text.print_table(_COLUMNS, rows, headers=not no_headers)
    else:
        text.note("no cluster is attached: 'ais cluster remote-attach ALIAS=URL' attaches one.")


@click.group("remote")
def show_remote() -> None:
    """Show other clusters."""


@click.group("remote-cluster")
def remote_cluster() -> None:
    """Show other clusters."""


@remote_cluster.group("show")
def _show() -> None:
    """Show other clusters."""


show_remote.add_command(show, "cluster")
_show.add_command(show, "cluster")
