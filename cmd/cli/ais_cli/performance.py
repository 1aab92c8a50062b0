"""`ais performance`, `ais show performance`, `ais cluster show stats`: what targets count, and how fast they are."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import click

from ais.meta.smap import TARGET
from ais.stats.names import METRICS
from ais_cli import capacity, text
from ais_cli.app import App
from ais_cli.groups import DefaultGroup
from ais_cli.params import NODE, already_so, examples, matches, units_option
from ais_cli.repeat import refreshing
from ais_cli.text import Column

if TYPE_CHECKING:
    from ais.client.client import Client

F = TypeVar("F", bound=Callable[..., Any])
Counted = Mapping[str, Mapping[str, int]]
"""By target: its counters by name."""

INTERVAL_S = 1.0
"""Between the two looks from which speeds are computed."""
_LONG = {"del": "delete", "lst": "list", "ren": "rename", "kalive": "keepalive"}
_BETWEEN_TARGETS = "streams."
_SCALE = (("s", 1e9), ("ms", 1e6), ("µs", 1e3))


def title(counter: str) -> str:
    """As in AIStore's tables: `get.n` is `GET(n)`, `err.lst.n` is `ERR-LIST(n)`, `put.size` is `PUT(size)`."""
    *words, unit = counter.split(".")
    return f"{'-'.join(_LONG.get(word, word) for word in words).upper()}({unit})"


async def look(client: "Client", target: str | None) -> dict[str, dict[str, int]]:
    """The counters of all targets, or of one. Raise `UsageError` when it is a proxy."""
    smap = await client.cluster.smap()
    if target is not None and smap.require(target).is_proxy:
        raise click.UsageError(f"{smap.require(target).name} is a proxy: name a target")
    wanted = [smap.require(target)] if target is not None else sorted(smap.tmap.values(), key=lambda one: one.id)
    statuses = await asyncio.gather(*(client.node(one.id).status() for one in wanted))
    return {one.name: status.tracker for one, status in zip(wanted, statuses, strict=True)}


async def look_twice(client: "Client", target: str | None) -> tuple[Counted, Counted]:
    """The same, now and a moment later."""
    before = await look(client, target)
    await asyncio.sleep(INTERVAL_S)
    return before, await look(client, target)


def _columns_of(counted: Counted, regex: str | None, suffixes: tuple[str, ...], *, verbose: bool) -> list[str]:
    """The counters to show: those that are not zero everywhere, and all when `verbose`; errors last."""
    names = {name for counters in counted.values() for name in counters if name.endswith(suffixes)}
    if verbose or regex is not None:
        names |= {metric.name for metric in METRICS if metric.name.endswith(suffixes) and TARGET in metric.roles}
    names = {name for name in names if matches(regex, title(name).lower()) or matches(regex, name)}
    if not verbose and regex is None:
        names = {name for name in names if any(counters.get(name) for counters in counted.values())}
    return sorted(names, key=lambda name: (name.startswith("err."), name))


def _print(counted: Counted, columns: Sequence[str], cell: "Callable[[str, str], str]", *, headers: bool) -> None:
    if not columns:
        text.note("All counters are zero: the cluster is idle.")
        return
    titles = [Column("TARGET"), *(Column(title(name), is_number=True) for name in columns)]
    rows = [[target, *(cell(target, name) for name in columns)] for target in counted]
    text.print_table(titles, rows, headers=headers)


def _options(command: F) -> F:
    """What all views of counters take."""
    no_headers = click.option("--no-headers", "-H", is_flag=True, help="Print the table without its header.")
    regex = click.option("--regex", help="Only counters whose names match this regular expression.")
    verbose = click.option("--verbose", "-v", is_flag=True, help="Also what is zero everywhere.")
    target = click.argument("target", type=NODE, required=False, metavar="[TARGET_ID]")
    return target(regex(verbose(already_so("--non-verbose", "--nv")(units_option(no_headers(command))))))


@click.group("performance", cls=DefaultGroup, default="all", with_nodes=True)
def performance() -> None:
    """Show counters, throughput, latency, disks and capacity of the targets."""


@performance.command("all", hidden=True)
@_options
@click.option("--average-size", is_flag=True, help="Mean instead of total sizes.")
@refreshing
@click.pass_context
def show_all(ctx: click.Context, /, **options: Any) -> None:
    """Show counters, throughput and latency."""
    for name, command in (("counters", counters), ("throughput", throughput), ("latency", latency)):
        click.secho(name, bold=True)
        taken = {parameter.name for parameter in command.params}
        ctx.invoke(command, refresh=None, count=None, **{key: options[key] for key in options if key in taken})
        click.echo()


@performance.command(
    "counters", epilog=examples("ais performance counters", "ais show performance counters --regex put t[NODE_ID]")
)
@_options
@click.option("--average-size", is_flag=True, help="Mean instead of total sizes.")
@refreshing
@click.pass_obj
def counters(
    app: App, target: str | None, regex: str | None, verbose: bool, average_size: bool, no_headers: bool
) -> None:
    """Show how many requests there were, how many bytes, how many errors."""
    counted = app.run(lambda client: look(client, target))

    def cell(target: str, name: str) -> str:
        value = counted[target].get(name, 0)
        if not value:
            return text.NONE
        if not name.endswith(".size"):
            return f"{value:,}"
        number = counted[target].get(name.removesuffix("size") + "n", 0)
        return text.size(value // number if average_size and number else value)

    columns = _columns_of(counted, regex, (".n", ".size"), verbose=verbose)
    _print(counted, [name for name in columns if not name.startswith(_BETWEEN_TARGETS)], cell, headers=not no_headers)


@performance.command("throughput", epilog=examples("ais performance throughput --refresh 5s"))
@_options
@refreshing
@click.pass_obj
def throughput(app: App, target: str | None, regex: str | None, verbose: bool, no_headers: bool) -> None:
    """Show requests and bytes per second."""
    before, after = app.run(lambda client: look_twice(client, target))

    def cell(target: str, name: str) -> str:
        speed = (after[target].get(name, 0) - before[target].get(name, 0)) / INTERVAL_S
        if not speed:
            return text.NONE
        return text.rate(int(speed)) if name.endswith(".size") else f"{speed:,.0f}/s"

    columns = _columns_of(after, regex or "^(get|put)", (".n", ".size"), verbose=verbose)
    _print(after, [name for name in columns if ".redir" not in name], cell, headers=not no_headers)


@performance.command("latency", epilog=examples("ais performance latency --refresh 5s"))
@_options
@refreshing
@click.pass_obj
def latency(app: App, target: str | None, regex: str | None, verbose: bool, no_headers: bool) -> None:
    """Show the mean time of requests."""
    before, after = app.run(lambda client: look_twice(client, target))

    def cell(target: str, name: str) -> str:
        number = name.removesuffix("ns.total") + "n"
        spent, done = (after[target].get(one, 0) - before[target].get(one, 0) for one in (name, number))
        return _time(spent / done) if done else text.NONE

    columns = [
        name
        for name in _columns_of(after, regex, (".ns.total",), verbose=verbose)
        if not name.startswith("kalive.") and ".redir." not in name
    ]
    if not columns:
        text.note("No requests so far: the cluster is idle.")
        return
    titles = [Column("TARGET"), *(Column(title(name.removesuffix("ns.total") + "time"), True) for name in columns)]
    text.print_table(titles, [[one, *(cell(one, name) for name in columns)] for one in after], headers=not no_headers)


def _time(nanoseconds: float) -> str:
    for unit, scale in _SCALE:
        if nanoseconds >= scale:
            return f"{nanoseconds / scale:.2f}{unit}"
    return f"{nanoseconds:.0f}ns"


@performance.command("intra-data", epilog=examples("ais performance intra-data"))
@_options
@refreshing
@click.pass_obj
def intra_data(app: App, target: str | None, regex: str | None, verbose: bool, no_headers: bool) -> None:
    """Show what targets sent to each other."""
    counted = app.run(lambda client: look(client, target))
    columns = _columns_of(counted, regex, (".n", ".size"), verbose=verbose)
    columns = [name for name in columns if name.startswith(_BETWEEN_TARGETS)]
    if not columns:
        text.note("The targets have not sent data to each other.")
        return

    def cell(target: str, name: str) -> str:
        value = counted[target].get(name, 0)
        return text.size(value) if name.endswith(".size") else f"{value:,}"

    _print(counted, columns, cell, headers=not no_headers)


performance.add_command(capacity.capacity)
performance.add_command(capacity.disk)
