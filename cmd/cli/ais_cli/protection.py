"""`ais show protection`: per bucket what is promised, what is there, what is missing, lost, or cannot be reached."""

import time

import click
import msgspec

from ais.api.protection import BucketProtection, ClusterProtection, State
from ais.base.units import Duration
from ais_cli import text
from ais_cli.app import App
from ais_cli.params import BUCKET, Ref, examples, table_options, units_option
from ais_cli.repeat import refreshing
from ais_cli.text import Column

EXIT_FOUND = 1
_COLUMNS = (
    Column("BUCKET"),
    Column("STATE"),
    Column("OBJECTS", is_number=True),
    Column("COPIES PROMISED", is_number=True),
    Column("FOUND", is_number=True),
    Column("MISSING", is_number=True),
    Column("LOST", is_number=True),
    Column("MISPLACED", is_number=True),
    Column("WAITING", is_number=True),
    Column("UNREACHABLE", is_number=True),
    Column("COUNTED"),
)
_COLOURS = {State.OK: "green", State.CHECKING: "yellow", State.SHORT: "red", State.UNREACHABLE: "red"}


@click.command(
    "protection", epilog=examples("ais show protection", "ais show protection ais://photos", "... --refresh 5s")
)
@click.argument("which", type=BUCKET, required=False, metavar="[BUCKET]")
@units_option
@table_options
@refreshing
@click.pass_obj
def show(app: App, which: Ref | None, as_json: bool, no_headers: bool) -> None:
    """Show whether all copies and slices that buckets promise are there.

    "ok" only when everything was counted since the last change and nothing is missing; otherwise the exit code is 1.
    """
    found = app.run(lambda client: client.cluster.protection())
    buckets = [one for one in found.buckets if which is None or one.bck == which.bck]
    if as_json:
        text.print_json(msgspec.structs.replace(found, buckets=buckets))
    elif not buckets:
        text.note("There are no buckets." if which is None else f"There is no bucket {which}.")
    else:
        text.print_table(_COLUMNS, [_row(one) for one in buckets], headers=not no_headers)
        for line in lines_of(found, buckets):
            click.secho(line, fg="red", err=True)
    if found.unreachable or any(one.state is not State.OK for one in buckets):
        raise click.exceptions.Exit(EXIT_FOUND)


def lines_of(found: ClusterProtection, buckets: list[BucketProtection]) -> list[str]:
    """What a person has to know besides the figures."""
    reasons = dict.fromkeys(reason for one in buckets for reason in one.reasons)
    return [*found.unreachable.values(), *(reason for reason in reasons if reason not in found.unreachable.values())]


def summary_of(found: ClusterProtection) -> str:
    """In a line: `ok`, or how much is short."""
    if found.state is State.OK:
        return click.style("ok", fg="green") + ": all copies and slices are there"
    missing, lost, unreachable, misplaced, pending = (
        sum(getattr(one, name) for one in found.buckets)
        for name in ("missing", "lost", "unreachable", "misplaced", "pending")
    )
    counts = [
        (missing, "copies or slices missing"),
        (lost, "objects lost"),
        (unreachable, "objects unreachable"),
        (misplaced, "objects misplaced"),
        (pending, "objects waiting for copies or slices"),
    ]
    said = ", ".join(f"{number:,} {what}" for number, what in counts if number)
    return click.style(found.state, fg=_COLOURS[found.state]) + (f": {said}" if said else "")


def _row(one: BucketProtection) -> list[str]:
    alarming = [_number(number) for number in (one.missing, one.lost, one.misplaced, one.pending, one.unreachable)]
    age_ns = time.time_ns() - one.as_of_ns
    return [
        one.bck.cname(),
        click.style(one.state, fg=_COLOURS[one.state]),
        f"{one.objects:,}",
        f"{one.promised:,}",
        f"{one.found:,}",
        *alarming,
        f"{Duration(max(0, age_ns) // 10**9)} ago" if one.as_of_ns else "never",
    ]


def _number(number: int) -> str:
    return click.style(f"{number:,}", fg="red") if number else text.NONE
