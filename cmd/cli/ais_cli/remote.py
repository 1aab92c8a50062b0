"""`ais prefetch`, `ais evict`: what of a remote bucket is in the cluster."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click
from msgspec.structs import replace

from ais.api import groups
from ais.api.groups import PrefetchMsg
from ais_cli import text
from ais_cli.app import App, confirm
from ais_cli.params import (
    BUCKET_OR_OBJECT,
    SIZE,
    Ref,
    already_so,
    examples,
    recursion_option,
    selection_options,
    yes_option,
)
from ais_cli.selection import Selection, selected
from ais_cli.waiting import follow, job_options

if TYPE_CHECKING:
    from ais.client.client import Client


def _options(command: Callable[..., None]) -> Any:
    """What both take."""
    for option in reversed(
        (
            click.argument("source", type=BUCKET_OR_OBJECT, metavar="BUCKET[/OBJECT_OR_PREFIX]"),
            selection_options,
            click.option("--all", "everything", is_flag=True, help="All objects of the bucket."),
            recursion_option,
            click.option("--num-workers", type=int, default=0, help="Objects at a time on a target; 0: 4, -1: one."),
            click.option("--dry-run", is_flag=True, help="Show which objects are meant, and do nothing."),
            job_options,
            already_so("--skip-lookup"),
            already_so("--verbose", "-v"),
        )
    ):
        command = option(command)
    return command


@click.command(
    epilog=examples(
        "ais prefetch s3://data --prefix train/ --wait",
        "ais prefetch s3://data --template 'shard-{000..099}.tar'",
        "ais prefetch s3://data/one.tar",
    )
)
@_options
@click.option("--blob-threshold", type=SIZE, default=0, help="Objects from this size on in parts.  [default: none]")
@click.option("--blob-chunk-size", type=SIZE, default=0, help="Of a part.  [default: 4MiB]")
@click.option("--blob-num-workers", type=int, default=0, help="Parts of one object at a time.  [default: 4]")
@click.option("--latest", is_flag=True, help="Compare what is here with the backend, and fetch what has changed.")
@already_so("--yes", "-y")
@click.pass_obj
def prefetch(
    app: App,
    /,
    source: Ref,
    latest: bool,
    blob_threshold: int,
    blob_chunk_size: int,
    blob_num_workers: int,
    **options: Any,
) -> None:
    """Fetch objects of a remote bucket into the cluster."""
    message = PrefetchMsg(
        latest=latest,
        blob_threshold=blob_threshold,
        blob_chunk_size=blob_chunk_size,
        blob_workers=blob_num_workers,
    )
    _start(app, source, groups.PREFETCH, message, **options)


@click.command(
    epilog=examples(
        "ais evict s3://data --prefix train/ --wait",
        "ais evict s3://data/one.tar",
        "ais evict s3://data --keep-md --yes    all objects; the bucket and its properties stay",
        "ais evict s3://data --yes              the bucket too, as far as this cluster knows it",
    )
)
@_options
@click.option("--keep-md", "-k", is_flag=True, help="Of a whole bucket: keep its properties.")
@yes_option
@click.pass_obj
def evict(app: App, /, source: Ref, keep_md: bool, yes: bool, **options: Any) -> None:
    """Remove what is here of a remote bucket; its backend keeps everything."""
    chosen = [options[one] for one in ("prefix", "template", "names") if options[one] is not None]
    if source.name or chosen or options["everything"] or options["dry_run"]:
        _start(app, source, groups.EVICT, PrefetchMsg(), **options)
        return
    confirm(f"Evict everything that is here of {source.bck.cname()}?", yes=yes)
    app.run(lambda client: client.buckets.evict(source.bck, keep=keep_md))
    click.echo(f'"{source}" evicted' + (", its properties are kept" if keep_md else ""))


def _start(
    app: App,
    source: Ref,
    kind: str,
    message: PrefetchMsg,
    *,
    prefix: str | None,
    template: str | None,
    names: str | None,
    everything: bool,
    non_recursive: bool,
    num_workers: int,
    dry_run: bool,
    **following: Any,
) -> None:
    is_one = bool(source.name) and not source.name.endswith("/") and (prefix, template, names) == (None, None, None)
    if everything or (prefix, template, names) == (None, None, None):
        prefix = ""
    selection = Selection.of(source, prefix, template, names, is_flat=non_recursive)
    if is_one:
        selection = Selection(source.bck, names=(source.name,))
    assert selection is not None
    if dry_run:
        _show(app, selection, kind.partition("-")[0])
        return
    listed = list(selection.names) if selection.names is not None else None
    message = replace(
        message,
        names=listed,
        template="" if listed is not None else template or selection.prefix,
        workers=num_workers,
        not_recursive=non_recursive,
    )
    uuid = app.run(lambda client: client.buckets.start_group(source.bck, kind, message))
    follow(app, uuid, kind, f"for {selection}", **following)


def _show(app: App, selection: Selection, verb: str) -> None:
    text.note("[DRY RUN] nothing is changed")

    async def work(client: "Client") -> None:
        async for item in selected(client, selection):
            click.echo(f"{verb} {selection.bck.cname(item.name)}")

    app.run(work)
