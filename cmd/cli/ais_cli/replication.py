"""What destinations of replicated buckets lack (`ais show replication`), and what is there before (`ais start`)."""

from typing import Any

import click

from ais.api import xact
from ais.api.replication import Behind
from ais.api.xact import ArgsMsg
from ais.base.units import Duration
from ais_cli import text
from ais_cli.app import App
from ais_cli.params import BUCKET, Ref, examples, table_options
from ais_cli.repeat import refreshing
from ais_cli.text import Column
from ais_cli.waiting import follow, job_options

EXIT_REFUSED = 1
_COLUMNS = (Column("DESTINATION"), Column("WAITING", is_number=True), Column("BEHIND", is_number=True), Column("WHY"))


@click.command("replication", epilog=examples("ais show replication", "ais show replication --refresh 5s"))
@table_options
@refreshing
@click.pass_obj
def show(app: App, as_json: bool, no_headers: bool) -> None:
    """Show how far the destinations of replicated buckets are behind.

    WAITING counts changes of versions, BEHIND is the age of the oldest. WHY is what a destination said that takes none;
    then, or when a target could not be asked, the exit code is 1.
    """
    found = app.run(lambda client: client.cluster.replication())
    if as_json:
        text.print_json(found)
    elif not found.destinations:
        text.note("No bucket is replicated.")
    else:
        text.print_table(_COLUMNS, [_row(one) for one in found.destinations], headers=not no_headers)
    for name in found.missing:
        click.secho(f"{name} did not answer: what waits there is not counted", fg="red", err=True)
    if found.missing or any(one.why for one in found.destinations):
        raise click.exceptions.Exit(EXIT_REFUSED)


def _row(one: Behind) -> list[str]:
    behind = str(Duration(int(one.behind_s))) if one.waiting else "-"
    return [one.destination, str(one.waiting), behind, one.why or "-"]


@click.command(
    "replicate-existing",
    epilog=examples("ais start replicate-existing", "ais start replicate-existing ais://b --wait"),
)
@click.argument("buckets", type=BUCKET, nargs=-1, metavar="[BUCKET...]")
@job_options
@click.pass_obj
def replicate_existing(app: App, /, buckets: tuple[Ref, ...], **following: Any) -> None:
    """Replicate what is in replicated buckets already: all versions that a destination of their rules lacks.

    Those from before the rules, those that failed, those that wait for a journal that was lost. The job ends when all
    are noted; `ais show replication` says what is still to be brought. Without BUCKET, all that are replicated.
    """
    args = ArgsMsg(kind=xact.REPLICATE, buckets=[one.bck for one in buckets] or None)
    uuid = app.run(lambda client: client.jobs.start(args))
    follow(app, uuid, xact.REPLICATE, **following)
