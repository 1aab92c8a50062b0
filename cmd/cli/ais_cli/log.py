"""`ais log`: the logs of nodes; `ais cluster download-logs`: all of them."""

import asyncio
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ais.base.errors import AisError
from ais_cli.app import App, confirm, fail_if
from ais_cli.params import DURATION, NODE, CountType, already_so, examples, yes_option
from ais_cli.repeat import REFRESH_S

if TYPE_CHECKING:
    from ais.client.client import Client

_severity = click.option(
    "--severity",
    type=click.Choice(("info", "warning", "error")),
    default="info",
    help="Only lines at least so severe.  [default: info, all lines]",
)


@click.group("log")
def log() -> None:
    """Show the logs of nodes, and fetch them."""


@log.command(
    "show",
    epilog=examples(
        "ais log show t[NODE_ID]",
        "ais show log t[NODE_ID] --severity error",
        "ais log show p[NODE_ID] --refresh 5s      go on showing what is added",
    ),
)
@click.argument("node", type=NODE, metavar="NODE_ID")
@_severity
@click.option("--refresh", type=DURATION, help="Go on showing what is added, looking each time after so long.")
@click.option("--count", type=CountType(1), help="How many times to look, every 5s or as --refresh says.")
@already_so("--log-flush")
@click.pass_obj
def show(app: App, node: str, severity: str, refresh: float | None, count: int | None) -> None:
    """Show the current log of a node."""
    rounds = count or (None if refresh else 1)
    is_whole = severity == "info"
    shown = done = 0
    while True:
        # Lines that were chosen do not tell where they stood in the file: of them the new ones are found here.
        offset = shown if is_whole else 0
        found = app.run(partial(_read, node=node, severity=severity, offset=offset))
        click.echo(found if is_whole else found[shown:], nl=False)
        shown = offset + len(found)
        done += 1
        if done == rounds:
            return
        time.sleep(refresh or REFRESH_S)


async def _read(client: "Client", node: str, severity: str, offset: int) -> bytes:
    return await client.node(node).log(severity, offset)


@log.command(
    "get", epilog=examples("ais log get t[NODE_ID]", "ais log get t[NODE_ID] ./logs --all", "ais log get t[NODE_ID] -")
)
@click.argument("node", type=NODE, metavar="NODE_ID")
@click.argument("out", required=False, default="", metavar="[FILE|DIRECTORY|-]")
@_severity
@click.option("--all", "everything", is_flag=True, help="Earlier logs too, as a gzipped tar archive.")
@already_so("--refresh", "--count")
@yes_option
@click.pass_obj
def get(app: App, node: str, out: str, severity: str, everything: bool, yes: bool) -> None:
    """Fetch the current log of a node, or all of its logs, into a file."""

    _require_whole(severity, everything=everything)

    async def work(client: "Client") -> bytes:
        one = client.node(node)
        return await one.all_logs() if everything else await one.log(severity)

    found = app.run(work)
    if out == "-":
        click.echo(found, nl=False)
        return
    name = f"{node}.tar.gz" if everything else f"{node}.log"
    path = Path(out) / name if not out or Path(out).is_dir() else Path(out)
    if path.exists():
        confirm(f"Overwrite {path}?", yes=yes)
    _write(path, found)
    click.echo(f"{path} ({len(found):,} bytes)")


def _require_whole(severity: str, *, everything: bool) -> None:
    if everything and severity != "info":
        raise click.UsageError("earlier logs come as whole files: leave --severity away, or get the current log only")


def _write(path: Path, content: bytes) -> None:
    try:
        path.write_bytes(content)
    except OSError as error:
        raise click.ClickException(f"cannot write {path}: {error.strerror}") from None


@click.command("download-logs", epilog=examples("ais cluster download-logs", "ais cluster download-logs ./logs"))
@click.argument("out", required=False, default=".", metavar="[DIRECTORY]")
@_severity
@click.pass_obj
def download(app: App, out: str, severity: str) -> None:
    """Fetch all logs of all nodes, as one gzipped tar archive each."""
    _require_whole(severity, everything=True)
    directory = Path(out)
    if directory.exists() and not directory.is_dir():
        raise click.UsageError(f"{out} is not a directory")
    directory.mkdir(parents=True, exist_ok=True)

    async def work(client: "Client") -> list[tuple[str, AisError]]:
        failures = []

        async def fetch(node: str, name: str) -> None:
            try:
                content = await client.node(node).all_logs()
            except AisError as error:
                failures.append((name, error))
                return
            path = directory / f"{node}.tar.gz"
            _write(path, content)
            click.echo(f"{path} ({len(content):,} bytes)")

        smap = await client.cluster.smap()
        await asyncio.gather(*(fetch(one.id, one.name) for one in smap.nodes.values()))
        return failures

    fail_if(app.run(work), "the others were fetched")
