"""`ais storage validate` (`ais bucket validate`): look through buckets for what is not as it should be."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import click

from ais.api.bucket import Bck
from ais.api.codec import U64
from ais.api.listing import Entry, EntryStatus, Flag, LsoMsg
from ais_cli import text
from ais_cli.app import App
from ais_cli.listing import parse_what
from ais_cli.params import COUNT, SIZE, already_so, examples, recursion_option, table_options, units_option
from ais_cli.repeat import refreshing
from ais_cli.text import Column

if TYPE_CHECKING:
    from ais.client.client import Client

EXIT_FOUND = 1
_MISPLACED = (EntryStatus.MISPLACED_NODE, EntryStatus.MISPLACED_MOUNTPATH)
_SHOWN_MAX = 10
_COLUMNS = (
    Column("BUCKET"),
    Column("OBJECTS", is_number=True),
    Column("SIZE", is_number=True),
    Column("MISPLACED(cluster)", is_number=True),
    Column("MISPLACED(mountpath)", is_number=True),
    Column("MISSING COPIES", is_number=True),
    Column("SMALL", is_number=True),
    Column("LARGE", is_number=True),
)
_ALWAYS = ("BUCKET", "OBJECTS", "SIZE", "SMALL", "LARGE")


@dataclass
class Report:
    """What was found in a bucket."""

    bck: Bck
    copies: int
    objects: int = 0
    size: int = 0
    misplaced: dict[EntryStatus, int] = field(default_factory=lambda: dict.fromkeys(_MISPLACED, 0))
    missing_copies: int = 0
    small: int = 0
    large: int = 0
    examples: list[str] = field(default_factory=list)
    """Names of some objects that are not as they should be."""

    def add(self, entry: Entry, small_bytes: int, large_bytes: int) -> None:
        """Count an object."""
        status = EntryStatus(entry.status) if entry.status < len(EntryStatus) else EntryStatus.OK
        if status in self.misplaced:
            self.misplaced[status] += 1
            self._note(entry.n)
            return
        self.objects, self.size = self.objects + 1, self.size + entry.s
        self.small += entry.s <= small_bytes
        self.large += entry.s >= large_bytes
        if status is EntryStatus.OK and 0 < entry.c < self.copies:
            self.missing_copies += 1
            self._note(entry.n)

    def _note(self, name: str) -> None:
        if len(self.examples) < _SHOWN_MAX:
            self.examples.append(name)

    @property
    def is_well(self) -> bool:
        """Whether nothing is misplaced or missing."""
        return not (any(self.misplaced.values()) or self.missing_copies)

    def row(self) -> list[str]:
        """As the table shows it."""
        numbers = (*self.misplaced.values(), self.missing_copies, self.small, self.large)
        cells = [f"{number:,}" if number else text.NONE for number in numbers]
        return [self.bck.cname(), f"{self.objects:,}", text.size(self.size), *cells]


@click.command(
    "validate",
    epilog=examples(
        "ais storage validate                  all buckets",
        "ais storage validate ais://photos/2024/",
        "ais storage validate ais://photos --large-size 1GiB --small-size 1KiB",
    ),
)
@click.argument("what", required=False, default="", metavar="[PROVIDER|BUCKET[/PREFIX]]")
@click.option("--prefix", default="", help="Only objects whose names begin with this.")
@click.option("--small-size", type=SIZE, default="0", help="Objects up to this are counted as small.  [default: 0]")
@click.option(
    "--large-size", type=SIZE, default="5GiB", help="Objects from this on are counted as large.  [default: 5GiB]"
)
@click.option("--limit", type=COUNT, default=0, help="Look at no more than so many objects of a bucket.")
@click.option("--max-pages", type=COUNT, default=0, help="Look at no more than so many pages of a bucket.")
@click.option("--page-size", type=COUNT, default=0, help="Names per request.  [default: 10000]")
@click.option("--all-columns", is_flag=True, help="Also columns in which there is nothing.")
@recursion_option
@already_so("--cached", "--no-footers", "-F")
@units_option
@table_options
@refreshing
@click.pass_obj
def validate(
    app: App,
    what: str,
    prefix: str,
    small_size: int,
    large_size: int,
    limit: int,
    max_pages: int,
    page_size: int,
    all_columns: bool,
    non_recursive: bool,
    as_json: bool,
    no_headers: bool,
) -> None:
    """Look through buckets for objects that are misplaced or lack copies, and count small and large ones.

    The exit code is 1 when something is misplaced or missing.
    """
    provider, namespace, ref = parse_what(what)
    flags = Flag.MISSING | (Flag.NO_RECURSION if non_recursive else Flag(0))
    message = LsoMsg(
        props="name,size,status,copies",
        prefix=(ref.name if ref else "") + prefix,
        flags=U64(flags),
        pagesize=min(page_size, limit) if page_size and limit else page_size or limit,
    )

    async def look(client: "Client", bck: Bck) -> Report:
        props = await client.buckets.head(bck)
        report = Report(bck, props.mirror.copies if props.mirror.enabled else 1)
        pages = seen = 0
        async for page in client.buckets.pages(bck, message):
            for entry in page.Entries or ():
                if not entry.is_dir:
                    report.add(entry, small_size, large_size)
                    seen += 1
                if seen == limit:
                    return report
            pages += 1
            if pages == max_pages:
                break
        return report

    async def work(client: "Client") -> list[Report]:
        buckets = [ref.bck] if ref is not None else await client.buckets.all(provider, namespace)
        return [await look(client, bck) for bck in buckets]

    reports = app.run(work)
    _print(reports, as_json=as_json, no_headers=no_headers, all_columns=all_columns)
    if not all(report.is_well for report in reports):
        raise click.exceptions.Exit(EXIT_FOUND)


def _print(reports: list[Report], *, as_json: bool, no_headers: bool, all_columns: bool) -> None:
    rows = [report.row() for report in reports]
    if as_json:
        names = [column.title for column in _COLUMNS]
        text.print_json(
            [
                dict(zip(names, row, strict=True)) | {"examples": one.examples}
                for row, one in zip(rows, reports, strict=True)
            ]
        )
        return
    if not rows:
        text.note("No buckets to look through.")
        return
    wanted = [
        number
        for number, column in enumerate(_COLUMNS)
        if all_columns or column.title in _ALWAYS or any(row[number] != text.NONE for row in rows)
    ]
    chosen = [[row[number] for number in wanted] for row in rows]
    text.print_table([_COLUMNS[number] for number in wanted], chosen, headers=not no_headers)
    for report in reports:
        if report.examples:
            text.note(f"{report.bck.cname()}: look at {', '.join(map(text.printable, report.examples))}")
