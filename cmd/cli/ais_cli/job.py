"""`ais job`: show, stop and wait for the long-running work of the cluster; `ais wait`."""

import re
from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple

import click

from ais.api import dsort as dsort_api
from ais.api import xact
from ais.api.bucket import Bck
from ais.api.download import ID_PREFIX, KIND
from ais.api.xact import Snap
from ais.base.errors import BadRequest
from ais.base.ids import is_valid_uuid
from ais_cli import text
from ais_cli.app import App, Missing, confirm
from ais_cli.blob import blob_download
from ais_cli.cleanup import cleanup
from ais_cli.download import download
from ais_cli.download_show import remove_download, show_download, show_downloads, wait_for_download
from ais_cli.dsort import dsort, remove_sort, show_sort, show_sorts
from ais_cli.lru import start_lru
from ais_cli.params import (
    BUCKET,
    COUNT,
    DURATION,
    NODE,
    Ref,
    already_so,
    examples,
    matches,
    node_id,
    quiet_option,
    table_options,
    units_option,
    yes_option,
)
from ais_cli.rechunk import rechunk
from ais_cli.remote import prefetch
from ais_cli.repeat import refreshing
from ais_cli.replication import replicate_existing
from ais_cli.rotation import rewrap_keys
from ais_cli.text import Column
from ais_cli.waiting import progress_of, wait_and_report
from ais_cli.warming import warm_up_metadata

if TYPE_CHECKING:
    from ais.client.client import Client

READY_TIMEOUT_S = 60.0
_SELECTORS = "[NAME] [JOB_ID] [NODE_ID] [BUCKET]"
_FRACTION = re.compile(r"\.\d+")
_COLUMNS = (
    Column("NODE"),
    Column("ID"),
    Column("KIND"),
    Column("BUCKET"),
    Column("OBJECTS", is_number=True),
    Column("BYTES", is_number=True),
    Column("START"),
    Column("END"),
    Column("PROGRESS", is_number=True),
    Column("STATE"),
)


class Query(NamedTuple):
    """Which jobs a command is about."""

    uuid: str = ""
    kind: str = ""
    node: str = ""
    bck: Bck | None = None

    @classmethod
    def parse(cls, words: tuple[str, ...]) -> "Query":
        """Selectors in any order: a job's name or kind, its ID, a node as `t[ID]`, a bucket URI."""
        found: dict[str, str] = {}
        bck = None
        for word in words:
            if "://" in word:
                bck, _ = Bck.parse_uri(word)
                continue
            field, value = _selector(word)
            if field in found:
                raise click.UsageError(f'"{found[field]}" and "{word}" are both a {field}')
            found[field] = value
        return cls(found.get("job ID", ""), found.get("job name", ""), found.get("node", ""), bck)


def _selector(word: str) -> tuple[str, str]:
    if word[:2] in ("t[", "p["):
        return "node", node_id(word)
    try:
        return "job name", xact.parse_kind(word)
    except BadRequest:
        if is_valid_uuid(word):
            return "job ID", word
    names = ", ".join(sorted(xact.DISPLAY_NAME.values()))
    raise click.UsageError(f'"{word}" is neither a job ID, a node, a bucket, nor one of the job names {names}')


@click.group()
def job() -> None:
    """Show, stop and wait for jobs: work of the cluster that takes longer than a request."""


@job.command(
    "show",
    epilog=examples(
        "ais show job", "ais show job --all", "ais show job rename-bucket", "ais show job JOB_ID t[NODE_ID]"
    ),
)
@click.argument("selectors", nargs=-1, metavar=_SELECTORS)
@click.option("--all", "everything", is_flag=True, help="Also jobs that have ended.")
@click.option("--regex", help="Only jobs whose names match this regular expression.")
@click.option("--top", type=COUNT, default=0, help="Only so many, those that began last.")
@click.option("--verbose", "-v", is_flag=True, help="Of a download: every file.")
@already_so("--date-time", "--progress")
@units_option
@table_options
@refreshing
@click.pass_obj
def show(
    app: App,
    selectors: tuple[str, ...],
    everything: bool,
    regex: str | None,
    top: int,
    verbose: bool,
    as_json: bool,
    no_headers: bool,
) -> None:
    """Show running jobs (with an ID or --all, also those that have ended)."""
    query = Query.parse(selectors)
    if query.kind == KIND or query.uuid.startswith(ID_PREFIX):
        if query.uuid:
            show_download(app, query.uuid, verbose=verbose, as_json=as_json)
        else:
            show_downloads(app, everything=everything, regex=regex, as_json=as_json, headers=not no_headers)
        return
    if query.kind == dsort_api.KIND or query.uuid.startswith(dsort_api.ID_PREFIX):
        if query.uuid:
            show_sort(app, query.uuid, as_json=as_json)
        else:
            show_sorts(app, everything=everything, regex=regex, as_json=as_json, headers=not no_headers)
        return
    running_only = not everything and not query.uuid
    found = app.run(
        lambda client: client.jobs.snaps(
            uuid=query.uuid, kind=query.kind, bck=query.bck, node=query.node, running_only=running_only
        )
    )
    if query.node:
        found = {target: snaps for target, snaps in found.items() if target == query.node}
    found = {
        target: [snap for snap in snaps if matches(regex, xact.DISPLAY_NAME.get(snap.kind, snap.kind))]
        for target, snaps in found.items()
    }
    if top:
        found = _latest(found, top)
    if as_json:
        text.print_json(found)
        return
    rows = [_row(target, snap) for target, snaps in sorted(found.items()) for snap in snaps]
    if rows:
        text.print_table(_COLUMNS, sorted(rows, key=lambda row: (row[6], row[1], row[0])), headers=not no_headers)
    elif query.uuid:
        raise Missing(f"no job {query.uuid} is known. 'ais show job --all' lists running and finished jobs.")
    else:
        text.note("No job is running." if running_only else "No jobs.")


def _latest(found: dict[str, list[Snap]], count: int) -> dict[str, list[Snap]]:
    began: dict[str, str] = {}
    for snaps in found.values():
        for snap in snaps:
            began[snap.id] = min(snap.start_time, began.get(snap.id, snap.start_time))
    wanted = sorted(began, key=lambda uuid: began[uuid], reverse=True)[:count]
    return {target: [snap for snap in snaps if snap.id in wanted] for target, snaps in found.items()}


def _row(target: str, snap: Snap) -> list[str]:
    name = xact.DISPLAY_NAME.get(snap.kind, snap.kind)
    return [
        f"t[{target}]",
        snap.id,
        name,
        _bucket_of(snap),
        f"{snap.stats.loc_objs:,}" if snap.stats.loc_objs else text.NONE,
        text.size(snap.stats.loc_bytes) if snap.stats.loc_bytes else text.NONE,
        _local(snap.start_time),
        _local(snap.end_time),
        progress_of(snap),
        state_of(snap),
    ]


def _bucket_of(snap: Snap) -> str:
    if snap.src_bck.name and snap.dst_bck.name:
        return f"{snap.src_bck.cname()} => {snap.dst_bck.cname()}"
    return snap.bck.cname() if snap.bck.name else text.NONE


def state_of(snap: Snap) -> str:
    """`Running`, `Idle`, `Aborted`, `Finished`, or `Failed` with the reason."""
    if snap.aborted:
        return click.style("Aborted", fg="yellow")
    if snap.err:
        return click.style(f"Failed: {snap.err}", fg="red")
    if snap.is_finished:
        return "Finished"
    return "Idle" if snap.is_idle else click.style("Running", fg="green")


def _local(time: str) -> str:
    if time in ("", xact.ZERO_TIME):
        return text.NONE
    return datetime.fromisoformat(_FRACTION.sub("", time)).astimezone().strftime("%m-%d %H:%M:%S")


@job.group("start")
def start() -> None:
    """Start a job."""


start.add_command(download)
start.add_command(dsort)
for _command in (
    prefetch,
    blob_download,
    rechunk,
    start_lru,
    cleanup,
    rewrap_keys,
    replicate_existing,
    warm_up_metadata,
):
    start.add_command(_command)


@job.group("rm")
def remove() -> None:
    """Forget jobs that have ended."""


remove.add_command(remove_download)
remove.add_command(remove_sort)


@start.command(
    "mirror", epilog=examples("ais start mirror ais://data --copies 3", "ais start mirror ais://data --copies 1")
)
@click.argument("bucket", type=BUCKET)
@click.option("--copies", type=click.IntRange(1, 32), default=2, show_default=True, help="1: no more copies.")
@click.option("--wait", "is_waiting", is_flag=True, help="Wait until every object has its copies.")
@already_so("--non-verbose", "--nv")
@click.pass_obj
def start_mirror(app: App, bucket: Ref, copies: int, is_waiting: bool) -> None:
    """Keep every object of a bucket on several mountpaths of its target."""
    uuid = app.run(lambda client: client.buckets.make_copies(bucket.bck, copies))
    _started(app, xact.MAKE_COPIES, uuid, is_waiting=is_waiting)


@start.command(
    "ec-encode", epilog=examples("ais start ec-encode ais://data -d 4 -p 2", "ais start ec-encode ais://data")
)
@click.argument("bucket", type=BUCKET)
@click.option("--data-slices", "-d", type=click.IntRange(1, 32), help="Data slices.")
@click.option("--parity-slices", "-p", type=click.IntRange(1, 32), help="Parity slices: so many targets may be lost.")
@click.option("--wait", "is_waiting", is_flag=True, help="Wait until every object has its slices.")
@already_so("--recover")
@already_so("--non-verbose", "--nv")
@click.pass_obj
def start_ec_encode(
    app: App, bucket: Ref, data_slices: int | None, parity_slices: int | None, is_waiting: bool
) -> None:
    """Keep every object of a bucket as slices on other targets too; without numbers, bring back what is missing."""
    given = {"data_slices": data_slices, "parity_slices": parity_slices}
    changes = {name: value for name, value in given.items() if value is not None}
    uuid = app.run(lambda client: client.buckets.ec_encode(bucket.bck, changes))
    _started(app, xact.EC_ENCODE, uuid, is_waiting=is_waiting)


@start.command("resilver", epilog=examples("ais start resilver t[NODE_ID]", "ais start resilver t[NODE_ID] --wait"))
@click.argument("target", type=NODE)
@click.option("--wait", "is_waiting", is_flag=True, help="Wait until every object is on its mountpath.")
@already_so("--non-verbose", "--nv")
@click.pass_obj
def start_resilver(app: App, target: str, is_waiting: bool) -> None:
    """Bring every object of a target to the mountpath that owns it. Runs by itself when mountpaths change."""
    args = xact.ArgsMsg(kind=xact.RESILVER, node=target)
    uuid = app.run(lambda client: client.jobs.start(args))
    _started(app, xact.RESILVER, uuid, is_waiting=is_waiting)


def _started(app: App, kind: str, uuid: str, *, is_waiting: bool) -> None:
    click.echo(f"Started {xact.DISPLAY_NAME[kind]}[{uuid}]. 'ais wait {uuid}' waits for it.")
    if is_waiting:
        wait_and_report(app, uuid)


@job.command("stop", epilog=examples("ais stop JOB_ID", "ais job stop rename-bucket", "ais job stop --all --yes"))
@click.argument("selectors", nargs=-1, metavar=_SELECTORS)
@click.option("--all", "everything", is_flag=True, help="Every running job.")
@click.option("--regex", help="Every running job whose name matches this regular expression.")
@click.option("--force", "-f", is_flag=True, help="Also what should not be interrupted now.")
@yes_option
@click.pass_obj
def stop(app: App, selectors: tuple[str, ...], everything: bool, regex: str | None, force: bool, yes: bool) -> None:
    """Stop a job, or all jobs that match."""
    query = Query.parse(selectors)
    if query == Query() and not everything and regex is None:
        raise click.UsageError("which jobs? Name one, or use --all")

    async def work(client: "Client") -> int:
        found = await client.jobs.snaps(
            uuid=query.uuid, kind=query.kind, bck=query.bck, node=query.node, running_only=True
        )
        running = {
            snap.id: snap.kind
            for snaps in found.values()
            for snap in snaps
            if not snap.is_finished and matches(regex, xact.DISPLAY_NAME.get(snap.kind, snap.kind))
        }
        if len(running) > 1:
            confirm(f"Stop {len(running)} jobs ({', '.join(running)})?", yes=yes)
        for uuid, kind in running.items():
            await client.jobs.stop(xact.ArgsMsg(id=uuid, kind=kind, bck=query.bck, node=query.node, force=force))
            click.echo(f"Stopped {xact.DISPLAY_NAME.get(kind, kind)}[{uuid}]")
        return len(running)

    if not app.run(work):
        raise Missing("no such job is running. 'ais show job --all' lists running and finished jobs.")


_wait_help = """Wait until a job has ended; "ais wait cluster": until the cluster is ready.

    The exit code tells whether the job succeeded."""


@job.command("wait", help=_wait_help, epilog=examples("ais wait JOB_ID", "ais job wait rename-bucket --timeout 5m"))
@click.argument("selectors", nargs=-1, required=True, metavar=f"cluster | {_SELECTORS}")
@click.option("--timeout", type=DURATION, help="Give up after this long, such as 30s or 5m.")
@click.option("--progress", "with_progress", is_flag=True, help="Tell on stderr how far the job is.")
@click.option("--refresh", type=DURATION, help="With --progress: how often to tell.  [default: 1s]")
@quiet_option
@click.pass_obj
def wait(
    app: App,
    selectors: tuple[str, ...],
    timeout: float | None,
    with_progress: bool,
    refresh: float | None,
    quiet: bool,
) -> None:
    if selectors == ("cluster",):
        app.run(lambda client: client.cluster.wait_ready(timeout or READY_TIMEOUT_S), retries=0)
        if not quiet:
            click.echo("The cluster is ready")
        return
    if selectors[0] == "job":
        selectors = selectors[1:]
    query = Query.parse(selectors)
    if not query.uuid and not query.kind:
        raise click.UsageError("which job? Give its ID or its name")
    if query.uuid.startswith(ID_PREFIX):
        wait_for_download(app, query.uuid, timeout_s=timeout, every_s=refresh, with_progress=with_progress, quiet=quiet)
        return
    told_s = (refresh or 1.0) if with_progress else None
    wait_and_report(app, query.uuid, kind=query.kind, bck=query.bck, timeout_s=timeout, progress_s=told_s, quiet=quiet)
