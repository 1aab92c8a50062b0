"""`ais scrub`, `ais show scrub`: read all copies and slices from the disks, repair them, and show what was stated."""

import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import click

from ais.api import xact
from ais.api.bucket import Bck
from ais.api.xact import ArgsMsg
from ais_cli import text
from ais_cli.app import App
from ais_cli.params import BUCKET, Ref, examples, table_options, units_option
from ais_cli.repeat import refreshing
from ais_cli.text import Column
from ais_cli.waiting import wait_and_report

if TYPE_CHECKING:
    from ais.client.client import Client

EXIT_FOUND = 1
_COUNTS = ("objects", "promised", "found", "repaired", "lost", "damaged", "misplaced", "bytes_read")
_COLUMNS = (
    Column("BUCKET"),
    Column("OBJECTS", is_number=True),
    Column("COPIES PROMISED", is_number=True),
    Column("FOUND", is_number=True),
    Column("REPAIRED", is_number=True),
    Column("MISSING", is_number=True),
    Column("LOST", is_number=True),
    Column("DAMAGED", is_number=True),
    Column("MISPLACED", is_number=True),
    Column("READ", is_number=True),
)


class Sum:
    """What several targets say of one bucket."""

    def __init__(self) -> None:
        self.counts = dict.fromkeys(_COUNTS, 0)
        self.missing = 0
        self.examples: list[str] = []

    def add(self, tally: dict[str, Any]) -> None:
        """Count what one says."""
        for name in _COUNTS:
            self.counts[name] += int(tally.get(name, 0))
        self.missing += max(0, int(tally.get("promised", 0)) - int(tally.get("found", 0)))
        self.examples += [name for name in tally.get("examples", ()) if name not in self.examples]

    @property
    def is_well(self) -> bool:
        """Whether everything is there, in its place."""
        return not (self.missing or self.counts["lost"] or self.counts["misplaced"])

    def row(self, cname: str) -> list[str]:
        """As the table shows it."""
        counts = self.counts
        found = [f"{counts[name]:,}" for name in ("objects", "promised", "found", "repaired")]
        bad = [_alarming(number) for number in (self.missing, counts["lost"], counts["damaged"], counts["misplaced"])]
        return [cname, *found, *bad, text.size(counts["bytes_read"])]

    def to_json(self) -> dict[str, Any]:
        """As `--json` shows it."""
        return {**self.counts, "missing": self.missing, "examples": self.examples}


def _alarming(number: int) -> str:
    return click.style(f"{number:,}", fg="red") if number else text.NONE


@click.command(
    "scrub",
    epilog=examples(
        "ais scrub                           every copy and slice of all buckets is read, compared, repaired",
        "ais scrub ais://photos --no-repair  only look",
        "ais scrub --quick                   names, sizes and metadata, no content",
        "ais scrub --no-wait                 then: ais wait scrub, ais show scrub",
    ),
)
@click.argument("buckets", type=BUCKET, nargs=-1, metavar="[BUCKET...]")
@click.option("--quick", is_flag=True, help="Look at names, sizes and metadata only; read no content.")
@click.option("--no-repair", is_flag=True, help="Find what is wrong, and change nothing.")
@click.option("--wait/--no-wait", "is_waiting", default=True, help="Wait for the end and show what was found.")
@units_option
@table_options
@click.pass_obj
def scrub(
    app: App,
    buckets: tuple[Ref, ...],
    quick: bool,
    no_repair: bool,
    is_waiting: bool,
    as_json: bool,
    no_headers: bool,
) -> None:
    """Read every copy and slice from the disks, compare them with their checksums, and repair what is damaged.

    A damaged file is kept (`ais storage quarantine`). For each bucket a statement is written: `ais show scrub`. The
    exit code is 1 when something is missing, lost or misplaced at the end.
    """
    flags = (xact.METADATA_ONLY if quick else 0) | (xact.NO_REPAIR if no_repair else 0)
    args = ArgsMsg(kind=xact.SCRUB, buckets=[ref.bck for ref in buckets] or None, flags=flags)
    uuid = app.run(lambda client: client.jobs.start(args))
    if not is_waiting:
        click.echo(f"Started scrub[{uuid}]. 'ais wait {uuid}' waits for it, 'ais show job {uuid}' tells how far it is.")
        return
    failure: click.ClickException | None = None
    try:
        wait_and_report(app, uuid, progress_s=2.0 if sys.stderr.isatty() else None, quiet=True)
    except click.ClickException as error:
        failure = error
    found = app.run(lambda client: client.jobs.snaps(uuid=uuid))
    tallies = ((uname, tally) for snaps in found.values() for snap in snaps for uname, tally in _told(snap.ext))
    sums = _sum(tallies)
    _print(sums, as_json=as_json, no_headers=no_headers)
    if failure is not None and all(one.is_well for one in sums.values()):
        raise failure
    if failure is not None:
        raise click.exceptions.Exit(EXIT_FOUND)


def _told(ext: dict[str, Any] | None) -> Iterable[tuple[str, dict[str, Any]]]:
    return ((ext or {}).get("buckets") or {}).items()


def _sum(tallies: Iterable[tuple[str, dict[str, Any]]]) -> dict[str, Sum]:
    sums: dict[str, Sum] = {}
    for uname, tally in tallies:
        sums.setdefault(Bck.parse_uname(uname)[0].cname(), Sum()).add(tally)
    return dict(sorted(sums.items()))


def _print(sums: dict[str, Sum], *, as_json: bool, no_headers: bool) -> None:
    if as_json:
        text.print_json({cname: one.to_json() for cname, one in sums.items()})
        return
    if not sums:
        text.note("No buckets to look through.")
        return
    text.print_table(_COLUMNS, [one.row(cname) for cname, one in sums.items()], headers=not no_headers)
    for cname, one in sums.items():
        if one.examples:
            text.note(f"{cname}: look at {', '.join(map(text.printable, one.examples[:10]))}")


@click.command("scrub", epilog=examples("ais show scrub", "ais show scrub ais://photos --json"))
@click.argument("which", type=BUCKET, required=False, metavar="[BUCKET]")
@units_option
@table_options
@refreshing
@click.pass_obj
def show(app: App, which: Ref | None, as_json: bool, no_headers: bool) -> None:
    """Show what the last scrub of each bucket stated, and whether the statements are as they were written.

    The exit code is 1 when a statement was changed or taken out.
    """

    async def work(client: "Client") -> dict[str, dict[str, Any]]:
        return await client.cluster.statements()

    found, problems = app.run(work), []
    last: dict[str, dict[str, dict[str, Any]]] = {}
    for target, buckets in sorted(found.items()):
        for uname, one in buckets.items():
            bck = Bck.parse_uname(uname)[0]
            if which is not None and which.bck != bck:
                continue
            if one["problem"]:
                problems.append(f"{bck.cname()} on t[{target}]: {one['problem']}")
            if one["statements"]:
                last.setdefault(bck.cname(), {})[target] = one["statements"][-1]
    if as_json:
        text.print_json({"last": last, "problems": problems})
    elif not last:
        text.note("No bucket was scrubbed yet: ais scrub")
    else:
        columns = (*_COLUMNS, Column("DEPTH"), Column("ENDED"), Column("JOB"))
        rows = []
        for cname, by_target in sorted(last.items()):
            newest = max(by_target.values(), key=lambda one: int(one["ended_ns"]))
            total = Sum()
            for one in by_target.values():
                total.add(one["tally"])
            rows.append([*total.row(cname), newest["depth"], text.moment(int(newest["ended_ns"])), newest["job"]])
        text.print_table(columns, rows, headers=not no_headers)
    for problem in problems:
        click.secho(problem, fg="red", err=True)
    if problems:
        raise click.exceptions.Exit(EXIT_FOUND)
