"""`ais bucket ls`, `ais object ls` (`ais ls`): buckets, or objects of a bucket, page by page."""

import json
import re
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import CompletionItem

from ais.api import codec, listing
from ais.api.bucket import PROVIDERS, Bck, Namespace, parse_provider
from ais.api.codec import U64
from ais.api.listing import Entry, EntryStatus, Flag, LsoMsg
from ais.base import names, templates
from ais.base.errors import BadRequest, InvalidName
from ais_cli import text
from ais_cli.app import App
from ais_cli.params import (
    BUCKET_OR_OBJECT,
    COUNT,
    DURATION,
    Ref,
    already_so,
    examples,
    table_options,
    units_option,
)
from ais_cli.summaries import bucket_of, print_results, print_summaries
from ais_cli.text import Column

if TYPE_CHECKING:
    from ais.client.client import Client

EXIT_PARTIAL = 1
_NUMBERS = ("size", "copies")
_STATUS = {
    EntryStatus.OK: "ok",
    EntryStatus.MISPLACED_NODE: "misplaced(cluster)",
    EntryStatus.MISPLACED_MOUNTPATH: "misplaced(mountpath)",
    EntryStatus.IS_COPY: "replica",
    EntryStatus.COPY_OF_MISSING: "replica(object-is-missing)",
}
_ALL_PROPS = ("name", "size", "version", "checksum", "atime", "cached", "status", "copies", "custom", "location")


class _What(click.ParamType[str]):
    """A provider, a bucket, or a bucket and a prefix."""

    name = "PROVIDER|BUCKET[/PREFIX]"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        return str(value)

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        return BUCKET_OR_OBJECT.shell_complete(ctx, param, incomplete)


@dataclass(frozen=True)
class _Wanted:
    """Which objects to list and what to say about them."""

    message: LsoMsg
    props: tuple[str, ...]
    limit: int
    regex: re.Pattern[str] | None
    template: templates.Template | None
    max_pages: int = 0
    refresh_s: float | None = None
    gaps: set[str] | None = None
    """Given: list what is there, and note here who is missing."""
    inventory: str = ""
    """Name of the one to list by."""

    def matches(self, entry: Entry) -> bool:
        """Whether to show an entry."""
        if self.template is not None and not self.template.matches(entry.n):
            return False
        return self.regex is None or self.regex.search(entry.n) is not None


@click.command(
    "ls",
    epilog=examples(
        "ais ls                                     all buckets",
        "ais ls --summary                           with counts and sizes",
        "ais ls ais://photos                        all objects of a bucket",
        "ais ls ais://photos/2024/ --nr             one level of a virtual directory",
        "ais ls ais://photos --props all --limit 10",
        "ais ls ais://shards --template 'shard-{000..099}.tar' --props size,location",
        "ais ls ais://photos --count-only",
    ),
)
@click.argument("what", type=_What(), required=False, default="", metavar="[PROVIDER|BUCKET[/PREFIX]]")
@click.option("--prefix", default="", help="Only objects whose names begin with this.")
@click.option("--template", help="Only objects named by a range, such as 'shard-{000..099}.tar'.")
@click.option("--regex", help="Only buckets or objects whose names match this regular expression.")
@click.option("--props", help=f"Columns: 'all', or a list of {', '.join(_ALL_PROPS)}.")
@click.option("--name-only", is_flag=True, help="Names only; the quickest way to list.")
@click.option("--non-recursive", "--nr", is_flag=True, help="One level only: virtual directories are shown as such.")
@click.option("--no-dirs", is_flag=True, help="With --nr: leave virtual directories out.")
@click.option("--start-after", default="", metavar="NAME", help="Begin behind this name.")
@click.option("--limit", type=COUNT, default=0, help="Show at most so many.  [default: no limit]")
@click.option("--page-size", type=COUNT, default=0, help="Names per request.  [default: 10000]")
@click.option("--all", "everything", is_flag=True, help="Also misplaced objects and copies whose original is missing.")
@click.option("--max-pages", type=COUNT, default=0, help="Stop after so many pages.  [default: no limit]")
@click.option("--archive", is_flag=True, help="Also what is inside of archives: .tar, .tgz, .zip, .tar.lz4.")
@click.option("--cached", is_flag=True, help="Only what is in the cluster.")
@click.option("--check-cached", is_flag=True, help="Tell of each object whether it is in the cluster.")
@click.option("--inventory", is_flag=True, help="By the inventory of a remote bucket ('ais nbi').")
@click.option("--inv-name", default="", help="By the inventory of this name.")
@click.option("--partial", is_flag=True, help="List what is there while nodes are away; says so, with exit code 1.")
@click.option("--refresh", type=DURATION, help="Tell on stderr how far the listing is, each time after so long.")
@already_so("--paged", "--no-footers", "-F", "--silent", "--skip-lookup", "--encode-objname")
@units_option
@click.option("--count-only", is_flag=True, help="Print only how many there are.")
@click.option("--summary", is_flag=True, help="Counts and sizes of the buckets instead of what is in them.")
@table_options
@click.pass_obj
def ls(
    app: App, /, what: str, regex: str | None, summary: bool, no_headers: bool, as_json: bool, **options: Any
) -> None:
    """List buckets, or the objects of a bucket."""
    try:
        pattern = re.compile(regex) if regex else None
    except re.error as error:
        raise click.BadParameter(f"not a regular expression: {error}", param_hint="--regex") from None
    provider, namespace, ref = parse_what(what)
    if ref is None:
        unused = [f"--{name.replace('_', '-')}" for name, value in options.items() if value and name != "count_only"]
        if unused:
            raise click.UsageError(f"{', '.join(unused)} needs a bucket: ais ls BUCKET {unused[0]} ...")
        _list_buckets(app, provider, namespace, pattern, options["count_only"], summary, as_json, no_headers)
    elif summary:
        print_summaries(app, ref.bck, ref.name + options["prefix"], as_json=as_json, no_headers=no_headers)
    else:
        _list_objects(app, ref.bck, _wanted(ref, pattern, **options), options["count_only"], as_json, no_headers)


def parse_what(what: str) -> tuple[str, str, Ref | None]:
    """Provider, namespace, and the bucket with a prefix if one is named."""
    scheme, separator, rest = what.partition(":")
    rest = rest.removeprefix("//")
    try:
        if not what or (not rest and (separator or what in PROVIDERS)):
            return (parse_provider(scheme) if scheme else ""), "", None
        if separator and rest.startswith(("@", "#")) and "/" not in rest:
            return parse_provider(scheme), Namespace.parse(rest).uname, None
        bck, name = Bck.parse_uri(what)
        names.check_object_prefix(name)
    except (BadRequest, InvalidName) as error:
        raise click.BadParameter(str(error), param_hint="BUCKET") from None
    return "", "", Ref(bck, name)


def _list_buckets(
    app: App,
    provider: str,
    namespace: str,
    pattern: re.Pattern[str] | None,
    count_only: bool,
    summary: bool,
    as_json: bool,
    no_headers: bool,
) -> None:
    found = app.run(lambda client: client.buckets.all(provider, namespace))
    found = [bck for bck in found if pattern is None or pattern.search(bck.name)]
    if count_only:
        click.echo(len(found))
    elif summary:
        wanted = set(found)
        results = app.run(lambda client: client.buckets.summary(provider=provider)) if found else []
        results = [one for one in results if bucket_of(one) in wanted]
        print_results(results, as_json=as_json, no_headers=no_headers)
    elif as_json:
        text.print_json(found)
    elif not found:
        text.note("No buckets yet. Create one: ais create ais://NAME" if pattern is None else "No bucket matches.")
    else:
        text.print_table([Column("NAME")], [[bck.cname()] for bck in found], headers=not no_headers)


def _wanted(
    ref: Ref,
    regex: re.Pattern[str] | None,
    *,
    prefix: str,
    template: str | None,
    props: str | None,
    name_only: bool,
    non_recursive: bool,
    no_dirs: bool,
    start_after: str,
    limit: int,
    page_size: int,
    everything: bool,
    count_only: bool,
    max_pages: int,
    archive: bool,
    cached: bool,
    check_cached: bool,
    inventory: bool,
    inv_name: str,
    partial: bool,
    refresh: float | None,
) -> _Wanted:
    parsed = templates.parse(template) if template is not None else None
    if parsed is not None and (prefix or ref.name):
        raise click.UsageError("--template already says how names begin: leave the prefix away")
    columns = _columns(props, name_only or count_only)
    if check_cached and "cached" not in columns:
        columns = (*columns, "cached")
    flags = Flag(0)
    for is_set, flag in (
        (non_recursive, Flag.NO_RECURSION),
        (no_dirs, Flag.NO_DIRS),
        (everything, Flag.MISSING),
        (archive, Flag.ARCHIVE_DIRS),
        (cached, Flag.CACHED),
        (inventory or bool(inv_name), Flag.INVENTORY),
        (columns == ("name",), Flag.NAME_ONLY),
    ):
        flags |= flag if is_set else Flag(0)
    message = LsoMsg(
        props=",".join(columns),
        prefix=parsed.prefix if parsed is not None else ref.name + prefix,
        start_after=start_after,
        flags=U64(flags),
        pagesize=_page_size(page_size, limit, is_filtered=regex is not None or parsed is not None),
        time_format="2006-01-02 15:04:05 MST",
    )
    chosen = None if parsed is None or parsed.is_prefix else parsed
    return _Wanted(message, columns, limit, regex, chosen, max_pages, refresh, set() if partial else None, inv_name)


def _page_size(page_size: int, limit: int, *, is_filtered: bool) -> int:
    """A small limit needs no large page, unless most of the page will not be shown."""
    if page_size or is_filtered or not limit:
        return page_size
    return min(limit, listing.PAGE_SIZE_DEFAULT)


def _columns(props: str | None, name_only: bool) -> tuple[str, ...]:
    if name_only:
        return ("name",)
    if props is None:
        return ("name", "size")
    if props == "all":
        return _ALL_PROPS
    wanted = [name.strip().lower() for name in props.split(",") if name.strip()]
    if unknown := [name for name in wanted if name not in _ALL_PROPS]:
        raise click.BadParameter(
            f'unknown property "{unknown[0]}": use all, or a list of {", ".join(_ALL_PROPS)}', param_hint="--props"
        )
    return ("name", *(name for name in wanted if name != "name"))


def _list_objects(app: App, bck: Bck, wanted: _Wanted, count_only: bool, as_json: bool, no_headers: bool) -> None:
    columns = [Column(prop.upper(), prop in _NUMBERS) for prop in wanted.props]

    async def work(client: "Client") -> int:
        count = 0
        table = text.TableWriter(columns, headers=not no_headers)
        async for entries in _batches(client, bck, wanted):
            if as_json and not count_only:
                for index, entry in enumerate(entries, count):
                    click.echo(("[\n" if index == 0 else ",\n") + _json_entry(entry), nl=False)
            elif not count_only:
                table.write([[_cell(entry, prop) for prop in wanted.props] for entry in entries])
            count += len(entries)
        return count

    count = app.run(work)
    if count_only:
        text.print_json({"count": count}) if as_json else click.echo(count)
    elif as_json:
        click.echo("\n]" if count else "[]")
    elif not count:
        what = f'No object of {bck.cname()} has a name that begins with "{wanted.message.prefix}".'
        text.note(what if wanted.message.prefix else f"{bck.cname()} has no objects to list.")
    if wanted.gaps:
        click.secho(f"Not complete: what {text.joined(sorted(wanted.gaps))} holds is missing.", fg="red", err=True)
        raise click.exceptions.Exit(EXIT_PARTIAL)


async def _batches(client: "Client", bck: Bck, wanted: _Wanted) -> AsyncIterator[list[Entry]]:
    """What is to be shown, page by page, up to the limit."""
    left = wanted.limit
    pages = shown = 0
    told_s = time.monotonic()
    async for page in client.buckets.pages(bck, wanted.message, wanted.gaps, wanted.inventory):
        entries = [entry for entry in page.Entries or () if wanted.matches(entry)]
        if wanted.limit:
            entries = entries[:left]
            left -= len(entries)
        if entries:
            yield entries
        pages, shown = pages + 1, shown + len(entries)
        if wanted.refresh_s is not None and time.monotonic() - told_s >= wanted.refresh_s:
            told_s = time.monotonic()
            text.note(f"Listed {text.count_of(shown, 'name')}")
        if (wanted.limit and not left) or pages == wanted.max_pages:
            return


def _cell(entry: Entry, prop: str) -> str:
    if prop == "name":
        name = text.printable(entry.n)
        return click.style(name, fg="blue", bold=True) if entry.is_dir else name
    if entry.is_dir:
        return ""
    match prop:
        case "size":
            return text.size(entry.s)
        case "version":
            return entry.v or text.NONE
        case "checksum":
            return entry.cs or text.NONE
        case "atime":
            return entry.a or text.NONE
        case "cached":
            return "yes" if entry.f & listing.EntryFlag.PRESENT else "no"
        case "status":
            return _STATUS.get(EntryStatus(entry.status), "?") if entry.status < len(_STATUS) else "?"
        case "copies":
            return str(entry.c)
        case "custom":
            return text.printable(entry.m) or text.NONE
        case "location":
            return entry.t or text.NONE
    raise AssertionError(prop)


def _json_entry(entry: Entry) -> str:
    page = codec.parse_json(listing.page_to_json(listing.Page("", "", [entry])))
    found = page["entries"][0]
    found["size"] = entry.s
    return "    " + json.dumps(found, ensure_ascii=False)
