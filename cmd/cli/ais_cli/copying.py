"""`ais object cp`, `ais bucket cp` (`ais cp`): copy inside the cluster, without the content passing through here."""

from typing import TYPE_CHECKING, Any

import click

from ais.base.errors import AisError
from ais_cli import text
from ais_cli.app import App, fail_if, for_each
from ais_cli.params import (
    BUCKET_OR_OBJECT,
    Ref,
    already_so,
    examples,
    recursion_option,
    refresh_option,
    selection_options,
    transfer_options,
)
from ais_cli.progress import progress as progress_of
from ais_cli.selection import Selected, Selection, selected

if TYPE_CHECKING:
    from ais.client.client import Client


def _options(command: Any) -> Any:
    """What both commands take."""
    for option in reversed(
        (
            click.argument("source", type=BUCKET_OR_OBJECT, metavar="BUCKET[/OBJECT_OR_PREFIX]"),
            click.argument("destination", type=BUCKET_OR_OBJECT, metavar="BUCKET[/OBJECT_OR_PREFIX]"),
            selection_options,
            click.option("--all", "everything", is_flag=True, help="All objects of the bucket."),
            click.option("--prepend", default="", help="How the new names begin; ends with / for a directory."),
            recursion_option,
            click.option("--dry-run", is_flag=True, help="Show what would be copied, and change nothing."),
            refresh_option,
            already_so("--encode-objname", "--force", "-f", "--cont-on-err", "--wait"),
            transfer_options,
        )
    ):
        command = option(command)
    return command


@click.command(
    "cp",
    epilog=examples(
        "ais object cp ais://photos/cat.jpg ais://backup/cat.jpg",
        "ais object cp ais://photos/cat.jpg ais://backup       under its own name",
        "ais object cp ais://photos ais://backup --prefix 2024/",
    ),
)
@_options
@click.pass_obj
def cp_objects(app: App, /, source: Ref, destination: Ref, **options: Any) -> None:
    """Copy objects inside the cluster: one, or many of a bucket into an existing bucket.

    The content does not pass through this machine. The copying of many objects is driven from here, one request each.
    """
    _copy(app, source, destination, with_bucket=False, **options)


@click.command(
    "cp",
    epilog=examples(
        "ais cp ais://photos ais://backup                      all objects; the bucket is made if it is not there",
        "ais cp ais://photos/2024/ ais://backup --prepend old/  those that begin with 2024/, named old/2024/...",
        "ais cp ais://photos ais://backup --template 'img-{000..099}.jpg'",
        "ais cp ais://photos/cat.jpg ais://backup              one object",
    ),
)
@_options
@click.pass_obj
def cp_bucket(app: App, /, source: Ref, destination: Ref, **options: Any) -> None:
    """Copy a bucket, many objects of it, or one, inside the cluster.

    The content does not pass through this machine. The copying is driven from here, one request for each object.
    """
    _copy(app, source, destination, with_bucket=True, **options)


def _copy(
    app: App,
    source: Ref,
    destination: Ref,
    *,
    with_bucket: bool,
    prefix: str | None,
    template: str | None,
    names: str | None,
    everything: bool,
    prepend: str,
    non_recursive: bool,
    dry_run: bool,
    workers: int,
    progress: bool | None,
    quiet: bool,
) -> None:
    is_whole = with_bucket and not source.name and template is None and names is None
    if prefix is None and (everything or is_whole or source.name.endswith("/")):
        prefix = ""
    if is_whole and source.bck == destination.bck and not (destination.name or prepend):
        raise click.UsageError("source and destination are the same bucket")
    selection = Selection.of(source, prefix, template, names, is_flat=non_recursive)
    if dry_run:
        text.note("[DRY RUN] nothing is changed")
    if selection is None and not source.name:
        raise click.UsageError(
            f"which objects? Name one ({source}/OBJECT), or use --prefix, --template, --list or --all"
        )
    if selection is None:
        _copy_one(app, source, destination, prepend, dry_run=dry_run, quiet=quiet)
        return

    async def work(client: "Client") -> tuple[int, list[tuple[str, AisError]]]:
        await client.buckets.head(source.bck)
        if not with_bucket:
            await client.buckets.head(destination.bck)
        elif not dry_run and not await client.buckets.exists(destination.bck):
            text.note(f"{destination.bck.cname()} does not exist and is created with the cluster's defaults.")
            await client.buckets.create(destination.bck)

        async def copy(item: Selected) -> None:
            name = destination.name + prepend + item.name
            if dry_run:
                click.echo(f"{source.bck.cname(item.name)} => {destination.bck.cname(name)}")
                return
            await client.objects.copy(source.bck, item.name, destination.bck, name)
            bars.finished_one()

        return await for_each(selected(client, selection), copy, workers, lambda item: item.name)

    with progress_of("cp", wanted=progress, quiet=quiet or dry_run) as bars:
        done, failures = app.run(work)
    fail_if(failures, f"{done} copied to {destination}")
    if not quiet and not dry_run:
        click.echo(f"Copied {text.count_of(done, 'object')} from {source.bck.cname()} to {destination}")


def _copy_one(app: App, source: Ref, destination: Ref, prepend: str, *, dry_run: bool, quiet: bool) -> None:
    name = destination.name + prepend
    if not name or name.endswith("/"):
        name += source.name.rpartition("/")[2]
    if (destination.bck, name) == (source.bck, source.name):
        raise click.UsageError("source and destination are the same object")
    if dry_run:
        click.echo(f"{source} => {destination.bck.cname(name)}")
        return
    app.run(lambda client: client.objects.copy(source.bck, source.name, destination.bck, name))
    if not quiet:
        click.echo(f"{source} copied to {destination.bck.cname(name)}")
