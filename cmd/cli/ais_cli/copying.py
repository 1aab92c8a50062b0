"""`ais object cp`, `ais bucket cp` (`ais cp`): copy inside the cluster, without the content passing through here."""

from typing import TYPE_CHECKING, Any

import click
from msgspec.structs import asdict

from ais.api import groups
from ais.api.groups import CopyBucketMsg, CopyMsg
from ais_cli import text
from ais_cli.app import App
from ais_cli.params import (
    BUCKET_OR_OBJECT,
    Ref,
    already_so,
    examples,
    recursion_option,
    selection_options,
)
from ais_cli.selection import Selection, selected
from ais_cli.waiting import follow, job_options

if TYPE_CHECKING:
    from ais.client.client import Client


def _options(command: Any) -> Any:
    """What both commands take."""
    for option in reversed(
        (
            click.argument("source", type=BUCKET_OR_OBJECT, metavar="BUCKET[/OBJECT_OR_PREFIX]"),
            click.argument("destination", type=BUCKET_OR_OBJECT, metavar="BUCKET[/OBJECT_OR_PREFIX]", required=False),
            selection_options,
            click.option(
                "--all",
                "everything",
                is_flag=True,
                help="All objects of the bucket; of a remote bucket also those that are not in the cluster.",
            ),
            click.option("--prepend", default="", help="How the new names begin; ends with / for a directory."),
            recursion_option,
            click.option("--latest", is_flag=True, help="Of a remote bucket: what has changed there is fetched first."),
            click.option("--sync", is_flag=True, help="As --latest; and what the source does not have is removed."),
            click.option("--cont-on-err", is_flag=True, help="Go on with the others when one cannot be copied."),
            click.option("--num-workers", type=int, default=0, help="Objects at a time on a target; 0: 4, -1: one."),
            click.option("--dry-run", is_flag=True, help="Show what would be copied, and change nothing."),
            already_so("--encode-objname", "--force", "-f"),
            job_options,
        )
    ):
        command = option(command)
    return command


@click.command(
    "cp",
    epilog=examples(
        "ais object cp ais://photos/cat.jpg ais://backup/cat.jpg",
        "ais object cp ais://photos/cat.jpg ais://backup       under its own name",
        "ais object cp ais://photos ais://backup --prefix 2024/ --wait",
    ),
)
@_options
@click.pass_obj
def cp_objects(app: App, /, source: Ref, destination: Ref | None, **options: Any) -> None:
    """Copy objects inside the cluster: one, or many of a bucket into an existing bucket.

    Many objects are copied by a job of the cluster, which goes on when this command has ended.
    """
    _copy(app, source, destination, with_bucket=False, **options)


@click.command(
    "cp",
    epilog=examples(
        "ais cp ais://photos ais://backup                      all objects; the bucket is made if it is not there",
        "ais cp ais://photos/2024/ ais://backup --prepend old/  those that begin with 2024/, named old/2024/...",
        "ais cp ais://photos ais://backup --template 'img-{000..099}.jpg'",
        "ais cp ais://photos/cat.jpg ais://backup              one object",
        "ais cp s3://data ais://data --all --progress          also what is not in the cluster yet",
        "ais cp s3://data --sync --wait                        what is in the cluster becomes as it is there",
    ),
)
@_options
@click.pass_obj
def cp_bucket(app: App, /, source: Ref, destination: Ref | None, **options: Any) -> None:
    """Copy a bucket, many objects of it, or one, inside the cluster.

    More than one object is copied by a job of the cluster, which goes on when this command has ended.
    """
    _copy(app, source, destination, with_bucket=True, **options)


def _copy(
    app: App,
    source: Ref,
    destination: Ref | None,
    *,
    with_bucket: bool,
    prefix: str | None,
    template: str | None,
    names: str | None,
    everything: bool,
    prepend: str,
    non_recursive: bool,
    latest: bool,
    sync: bool,
    cont_on_err: bool,
    num_workers: int,
    dry_run: bool,
    **following: Any,
) -> None:
    if destination is None:
        if not (latest or sync):
            raise click.UsageError(
                "where to? Name the destination, or use --latest or --sync to refresh a remote bucket"
            )
        destination = Ref(source.bck, "")
    is_whole = with_bucket and not source.name and template is None and names is None
    if prefix is None and (everything or is_whole or source.name.endswith("/")):
        prefix = ""
    selection = Selection.of(source, prefix, template, names, is_flat=non_recursive)
    if selection is None and not source.name:
        raise click.UsageError(
            f"which objects? Name one ({source}/OBJECT), or use --prefix, --template, --list or --all"
        )
    if dry_run:
        text.note("[DRY RUN] nothing is changed")
    if selection is None:
        _copy_one(app, source, destination, prepend, dry_run=dry_run, only_id=following["only_id"])
        return
    begins = destination.name + prepend
    if dry_run:
        _show(app, selection, destination, begins)
        return
    message = CopyBucketMsg(
        prefix=selection.prefix,
        prepend=begins,
        latest=latest,
        synchronize=sync,
        workers=num_workers,
        continue_on_error=cont_on_err,
        not_recursive=non_recursive,
    )
    listed = list(selection.names) if selection.names is not None else None
    if listed is not None or template is not None:
        message = CopyMsg(**(asdict(message) | {"prefix": ""}), names=listed, template=template or "")
    only_here = not (everything or sync)

    async def start(client: "Client") -> str:
        has_backend = (await client.buckets.head(source.bck)).has_backend
        if has_backend and only_here and not isinstance(message, CopyMsg):
            text.note("Copies what is in the cluster; with --all also what only the backend has.")
        if not with_bucket:
            await client.buckets.head(destination.bck)
        elif not await client.buckets.exists(destination.bck):
            text.note(f"{destination.bck.cname()} does not exist and is created with the properties of the source.")
        return await client.buckets.copy(source.bck, destination.bck, message, only_here=only_here)

    kind = groups.COPY if isinstance(message, CopyMsg) else groups.COPY_BUCKET
    follow(app, app.run(start), kind, f"{selection} => {destination.bck.cname(begins)}", **following)


def _show(app: App, selection: Selection, destination: Ref, begins: str) -> None:
    async def work(client: "Client") -> None:
        await client.buckets.head(selection.bck)
        async for item in selected(client, selection):
            copy = destination.bck.cname(begins + item.name)
            click.echo(f"{text.printable(selection.bck.cname(item.name))} => {text.printable(copy)}")

    app.run(work)


def _copy_one(app: App, source: Ref, destination: Ref, prepend: str, *, dry_run: bool, only_id: bool) -> None:
    name = destination.name + prepend
    if not name or name.endswith("/"):
        name += source.name.rpartition("/")[2]
    if (destination.bck, name) == (source.bck, source.name):
        raise click.UsageError("source and destination are the same object")
    if dry_run:
        click.echo(f"{source} => {destination.bck.cname(name)}")
        return
    app.run(lambda client: client.objects.copy(source.bck, source.name, destination.bck, name))
    if not only_id:
        click.echo(f"{source} copied to {destination.bck.cname(name)}")
