"""`ais dsort`: shards sorted, shuffled and made anew by all targets; how far sorts are, and forgetting them."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ais.api import codec
from ais.api.dsort import KIND, JobInfo
from ais.api.xact import ZERO_TIME
from ais.base.errors import NotFound
from ais_cli import text
from ais_cli.app import App, Missing
from ais_cli.forgetting import forget, forgetting
from ais_cli.params import BUCKET, Ref, already_so, examples, matches
from ais_cli.text import Column
from ais_cli.waiting import wait_and_report

if TYPE_CHECKING:
    from ais.client.client import Client

_COLUMNS = (
    Column("JOB ID"),
    Column("STATUS"),
    Column("SOURCE"),
    Column("DESTINATION"),
    Column("STARTED"),
    Column("DESCRIPTION"),
)
_PARTS = (
    Column("NODE"),
    Column("STATUS"),
    Column("SHARDS READ", is_number=True),
    Column("RECORDS", is_number=True),
    Column("SHARDS MADE", is_number=True),
    Column("OF", is_number=True),
)


@click.command(
    "dsort",
    epilog=examples(
        "ais dsort ais://train ais://shuffled --spec shuffle.yaml --wait",
        """ais dsort -f '{"input_bck": {"name": "train"}, "input_format": {"template": "shard-{0..9}"},"""
        """ "input_extension": ".tar", "output_format": "new-{0000..1000}", "output_shard_size": "1GiB"}'""",
        "ais show job dsort JOB_ID",
    ),
)
@click.argument("buckets", type=BUCKET, nargs=-1, metavar="[SOURCE [DESTINATION]]")
@click.option("--spec", "-f", required=True, help="A file with the spec, JSON or YAML; the spec itself; '-': stdin.")
@click.option("--dry-run", is_flag=True, help="Only find out how many shards there would be.")
@click.option("--wait", "is_waiting", is_flag=True, help="Wait until all shards are made.")
@click.option("--verbose", "-v", is_flag=True, help="Show the spec as it was sent.")
@click.pass_obj
def dsort(app: App, buckets: tuple[Ref, ...], spec: str, dry_run: bool, is_waiting: bool, verbose: bool) -> None:
    """Sort, shuffle or reshard shards. The buckets, when given, take the place of the spec's."""
    if len(buckets) > 2:
        raise click.UsageError("expected at most two buckets: SOURCE DESTINATION")
    wanted = _read(spec)
    wanted |= {
        field: codec.to_builtins(ref.bck) for field, ref in zip(("input_bck", "output_bck"), buckets, strict=False)
    }
    if dry_run:
        wanted["dry_run"] = True
    if verbose:
        text.print_json(wanted)
    wanted.setdefault("dsorter_type", "dsort_general")
    uuid = app.run(lambda client: client.sorts.start(wanted))
    click.echo(f"Started dsort job {uuid}. 'ais show job dsort {uuid}' shows how far it is.")
    if is_waiting:
        wait_and_report(app, uuid)


def _read(spec: str) -> dict[str, Any]:
    """The spec: JSON is YAML too."""
    import yaml

    if spec == "-":
        content = sys.stdin.read()
    elif "\n" in spec or spec.lstrip().startswith("{"):
        content = spec
    else:
        try:
            content = Path(spec).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise click.UsageError(f"cannot read the spec {spec}: {error}") from None
    try:
        found = yaml.safe_load(content)
    except yaml.YAMLError as error:
        raise click.UsageError(f"the spec is neither JSON nor YAML: {' '.join(str(error).split())}") from None
    if not isinstance(found, dict):
        raise click.UsageError("the spec must be an object of fields such as input_format, output_format")
    return found


def _state(one: JobInfo) -> str:
    if one.aborted:
        return click.style("Aborted", fg="yellow")
    return "Finished" if one.archived else click.style("Running", fg="green")


def show_sorts(app: App, *, everything: bool, regex: str | None, as_json: bool, headers: bool) -> None:
    """A table of sorts: those that run, or all."""
    found = [
        one
        for one in app.run(lambda client: client.sorts.all())
        if (everything or not one.archived) and (matches(regex, _description(one)) or matches(regex, one.id))
    ]
    if as_json:
        text.print_json(found)
    elif found:
        text.print_table(_COLUMNS, [_row(one) for one in found], headers=headers)
    else:
        text.note("No dsort jobs." if everything else "No dsort job is running; --all shows those that ended.")


def _description(one: JobInfo) -> str:
    return str(one.metrics.get("description", ""))


def _row(one: JobInfo) -> list[str]:
    started = one.started_time if one.started_time != ZERO_TIME else text.NONE
    buckets = [one.src_bck.cname(), one.dst_bck.cname()]
    return [one.id, _state(one), *buckets, started.partition(".")[0], text.printable(_description(one))]


def show_sort(app: App, uuid: str, *, as_json: bool) -> None:
    """One sort: what each target has done, and what it has to say."""
    try:
        found = app.run(lambda client: client.sorts.targets(uuid))
    except NotFound:
        raise Missing(f"no dsort job {uuid} is known. 'ais show job dsort --all' lists them.") from None
    if as_json:
        text.print_json(found)
        return
    text.print_table(_COLUMNS, [_row(next(iter(found.values())))])
    click.echo()
    text.print_table(_PARTS, [_part(target, one) for target, one in sorted(found.items())])
    for target, one in sorted(found.items()):
        for kind in ("warnings", "errors"):
            for said in one.metrics.get(kind) or []:
                click.echo(f"{kind[:-1]} t[{target}]: {text.printable(str(said))}")


def _part(target: str, one: JobInfo) -> list[str]:
    read = one.metrics.get("local_extraction") or {}
    made = one.metrics.get("shard_creation") or {}
    counts = [read.get("extracted_count"), read.get("extracted_record_count")]
    counts += [made.get("created_count"), made.get("to_create")]
    return [f"t[{target}]", _state(one), *(str(count or 0) for count in counts)]


@forgetting(KIND)
@already_so("--verbose", "-v")
def remove_sort(app: App, uuid: str | None, everything: bool, regex: str | None, yes: bool) -> None:
    """Forget dsort jobs that have ended; the shards that they made stay."""

    async def ended(client: "Client") -> list[str]:
        jobs = [one for one in await client.sorts.all() if one.archived]
        return [one.id for one in jobs if matches(regex, _description(one)) or matches(regex, one.id)]

    chosen = ended if everything or regex is not None else None
    try:
        forget(app, KIND, uuid, chosen, lambda client, one: client.sorts.remove(one), yes=yes)
    except NotFound:
        raise Missing(f"no dsort job {uuid} is known. 'ais show job dsort --all' lists them.") from None
