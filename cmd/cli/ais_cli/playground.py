"""`ais playground`: a real cluster of processes on this machine, to try things out."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from ais_cli import text
from ais_cli.app import confirm
from ais_cli.params import CountType, examples, quiet_option, table_options, yes_option
from ais_cli.text import Column

if TYPE_CHECKING:
    from ais.playground.playground import Playground

DEFAULT_DIR = ".playground"
_dir = click.option(
    "--dir", "directory", default=DEFAULT_DIR, show_default=True, metavar="DIR", help="Where it keeps its data."
)
_STATE_COLOR = {"ready": "green", "starting": "yellow", "stopped": "red"}


@click.group()
def playground() -> None:
    """Start, stop and remove a real cluster on this machine."""


@playground.command(
    epilog=examples(
        "ais playground start --wait                          2 proxies, 3 targets, port 8080",
        "ais playground start --proxies 1 --targets 1 --port 9090 --dir /tmp/pg",
    )
)
@click.option("--proxies", type=CountType(1), help="Gateways.  [default: 2]")
@click.option("--targets", type=CountType(), help="Storage nodes.  [default: 3]")
@click.option("--mountpaths", type=CountType(1), help="Mountpaths of each target.  [default: 2]")
@click.option("--port", type=CountType(1, 65535), metavar="P", help="Of the first proxy.  [default: 8080]")
@_dir
@click.option("--wait", is_flag=True, help="Return when the cluster is ready.")
@quiet_option
def start(
    proxies: int | None,
    targets: int | None,
    mountpaths: int | None,
    port: int | None,
    directory: str,
    wait: bool,
    quiet: bool,
) -> None:
    """Start a cluster, or one that was stopped, with its data."""
    found = _open(directory)
    tell = (lambda _: None) if quiet else click.echo
    plan = found.ensure(proxies=proxies, targets=targets, mountpaths=mountpaths, port=port)
    found.start(tell)
    if wait:
        found.wait_ready(progress=tell)
    if quiet:
        return
    click.echo(f"The cluster is {'ready' if wait else 'starting'} at {click.style(plan.endpoint, bold=True)}")
    if plan.port != 8080:
        text.note(f"For the other commands: export AIS_ENDPOINT={plan.endpoint}")


@playground.command(epilog=examples("ais playground status"))
@_dir
@table_options
def status(directory: str, as_json: bool, no_headers: bool) -> None:
    """Show the nodes, their processes and addresses. The exit code is 0 only when all are ready."""
    found = _open(directory).status()
    if as_json:
        text.print_json([{name: getattr(one, name) for name in one.__slots__} for one in found])
    else:
        columns = [
            Column("NODE"), Column("ID"), Column("ROLE"), Column("PID", is_number=True), Column("URL"), Column("STATE"),
        ]  # fmt: skip
        rows = [
            [
                one.name,
                one.id or text.NONE,
                "primary" if one.is_primary else one.role,
                str(one.pid or text.NONE),
                one.url,
                click.style(one.state, fg=_STATE_COLOR.get(one.state)),
            ]
            for one in found
        ]
        text.print_table(columns, rows, headers=not no_headers)
    if any(one.state != "ready" for one in found):
        raise click.exceptions.Exit(1)


@playground.command(epilog=examples("ais playground stop"))
@_dir
@quiet_option
def stop(directory: str, quiet: bool) -> None:
    """Stop all nodes. Data stays: "start" brings it back."""
    found = _open(directory)
    if not any(one.pid for one in found.status()):
        text.note("It is not running.")
        return
    found.stop(progress=(lambda _: None) if quiet else click.echo)


@playground.command(epilog=examples("ais playground clean --yes"))
@_dir
@yes_option
@quiet_option
def clean(directory: str, yes: bool, quiet: bool) -> None:
    """Stop all nodes and remove the cluster with its data."""
    found = _open(directory)
    plan = found.plan
    confirm(f"Remove the cluster in {found.directory} ({plan.describe()}) and all its data?", yes=yes)
    tell = (lambda _: None) if quiet else click.echo
    found.stop(progress=tell)
    found.clean(progress=tell)


def _open(directory: str) -> "Playground":
    from ais.playground.playground import Playground

    return Playground(Path(directory).expanduser())
