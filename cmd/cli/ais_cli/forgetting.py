"""`ais job rm KIND`: forgetting jobs that have ended, one by its ID or those that an option chooses."""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import click

from ais_cli.app import App, Missing, confirm
from ais_cli.params import examples, yes_option

if TYPE_CHECKING:
    from ais.client.client import Client


def forgetting(kind: str) -> Callable[[Callable[..., None]], click.Command]:
    """The command of a kind, with its arguments `uuid`, `everything`, `regex` and `yes`."""

    uuid = click.argument("uuid", metavar="JOB_ID", required=False)
    everything = click.option("--all", "everything", is_flag=True, help="Every job that has ended.")
    regex = click.option("--regex", help="Every job that has ended and whose description or ID matches.")
    command = click.command(kind, epilog=examples(f"ais job rm {kind} JOB_ID", f"ais job rm {kind} --all"))

    def make(function: Callable[..., None]) -> click.Command:
        return command(uuid(everything(regex(yes_option(click.pass_obj(function))))))

    return make


def forget(
    app: App,
    kind: str,
    uuid: str | None,
    ended: Callable[["Client"], Awaitable[list[str]]] | None,
    remove: Callable[["Client", str], Awaitable[None]],
    *,
    yes: bool,
) -> None:
    """Forget the job `uuid`, or instead those of which `ended` gives the IDs. Raise `Missing` when there are none."""
    if bool(uuid) == (ended is not None):
        raise click.UsageError("which job? Name one, or use --all or --regex")

    async def work(client: "Client") -> int:
        found = await ended(client) if ended is not None else [uuid or ""]
        if len(found) > 1:
            confirm(f"Forget {len(found)} {kind} jobs?", yes=yes)
        for one in found:
            await remove(client, one)
            click.echo(f"Removed {kind} job {one}")
        return len(found)

    if not app.run(work):
        raise Missing(f"no such {kind} job has ended. 'ais show job {kind} --all' lists them.")
