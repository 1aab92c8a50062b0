"""`ais bucket`: create, remove, rename and describe buckets."""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import click

from ais.api import actions
from ais.api.bucket import Bck
from ais.api.codec import U64
from ais.api.listing import Flag, LsoMsg
from ais.base.errors import BucketExists
from ais.meta.bmd import Bprops
from ais_cli import props as properties
from ais_cli import text
from ais_cli.app import App, confirm
from ais_cli.copying import cp_bucket
from ais_cli.listing import ls
from ais_cli.lru import bucket_lru
from ais_cli.params import (
    BUCKET,
    BUCKET_OR_OBJECT,
    Ref,
    already_so,
    examples,
    table_options,
    units_option,
    yes_option,
)
from ais_cli.rechunk import rechunk
from ais_cli.remote import evict, prefetch
from ais_cli.repeat import refreshing
from ais_cli.shard_index import shard_index
from ais_cli.summaries import print_summaries
from ais_cli.waiting import follow, job_options

if TYPE_CHECKING:
    from ais.client.client import Client


@click.group()
def bucket() -> None:
    """Create, remove, rename and describe buckets."""


bucket.add_command(ls)
for _command in (cp_bucket, bucket_lru, rechunk, prefetch, evict):
    bucket.add_command(_command)
bucket.add_command(shard_index)


@bucket.command(
    epilog=examples(
        "ais create ais://photos",
        "ais bucket create ais://a ais://b --props 'versioning.enabled=false checksum.type=md5'",
    )
)
@click.argument("buckets", type=BUCKET, nargs=-1, required=True, metavar="BUCKET...")
@click.option("--props", help="Properties that differ from the cluster's defaults: 'NAME=VALUE ...' or JSON.")
@click.option("--ignore-error", "--ignore-existing", is_flag=True, help="A bucket that exists already is no error.")
@already_so("--skip-lookup", "--force", "-f")
@click.pass_obj
def create(app: App, buckets: tuple[Ref, ...], props: str | None, ignore_error: bool) -> None:
    """Create buckets."""
    patch = None
    if props:
        is_json = props.lstrip().startswith("{")
        patch = properties.parse_assignments([props] if is_json else props.replace(",", " ").split())

    async def work(client: "Client") -> None:
        for ref in buckets:
            try:
                await client.buckets.create(ref.bck, patch)
            except BucketExists:
                if not ignore_error:
                    raise
                click.echo(f'"{ref}" exists already')
            else:
                click.echo(f'"{ref}" created')

    app.run(work)


@bucket.command(
    epilog=examples("ais bucket give ais://photos ann", "ais bucket give ais://photos --nobody   the administrators'")
)
@click.argument("ref", type=BUCKET, metavar="BUCKET")
@click.argument("user", default="")
@click.option("--nobody", is_flag=True, help="It is the administrators' again.")
@click.pass_obj
def give(app: App, ref: Ref, user: str, nobody: bool) -> None:
    """Have a bucket belong to USER, who may do everything with it over S3.

    Buckets that were made natively belong to who made them with a token; else to nobody, that is to the users of
    administrators' access keys.
    """
    if nobody is bool(user):
        raise click.UsageError("name the user, or use --nobody")
    app.run(lambda client: client.buckets.give(ref.bck, user))
    click.echo(f'"{ref}" is now {f"of user {user}" if user else "of the administrators"}')


@bucket.command(epilog=examples("ais bucket rm ais://photos", "ais rmb ais://a ais://b --yes"))
@click.argument("buckets", type=BUCKET, nargs=-1, metavar="BUCKET...")
@click.option("--all", "everything", is_flag=True, help="All buckets of the cluster.")
@click.option("--ignore-error", is_flag=True, help="A bucket that does not exist is no error.")
@yes_option
@click.pass_obj
def rm(app: App, buckets: tuple[Ref, ...], everything: bool, ignore_error: bool, yes: bool) -> None:
    """Remove buckets with all objects in them; asks unless they are empty."""
    if everything is bool(buckets):
        raise click.UsageError("name the buckets to remove, or use --all")

    async def work(client: "Client") -> None:
        found = await client.buckets.all() if everything else [ref.bck for ref in buckets]
        filled = []
        for bck in list(found):
            # Nobody should be asked about a bucket that does not exist.
            if ignore_error and not await client.buckets.exists(bck):
                click.echo(f'"{bck.cname()}" does not exist')
                found.remove(bck)
            elif await _has_objects(client, bck):
                filled.append(bck.cname())
        if filled:
            confirm(f"Remove {', '.join(filled)} and everything in {'it' if len(filled) == 1 else 'them'}?", yes=yes)
        for bck in found:
            await client.buckets.destroy(bck)
            click.echo(f'"{bck.cname()}" removed')

    app.run(work)


async def _has_objects(client: "Client", bck: Bck) -> bool:
    async for _ in client.buckets.objects(bck, LsoMsg(flags=U64(Flag.NAME_ONLY), pagesize=1)):
        return True
    return False


@bucket.command(epilog=examples("ais bucket mv ais://photos ais://pictures --wait"))
@click.argument("source", type=BUCKET, metavar="BUCKET")
@click.argument("new", type=BUCKET, metavar="NEW_BUCKET")
@job_options
@already_so("--skip-lookup")
@click.pass_obj
def mv(app: App, /, source: Ref, new: Ref, **following: Any) -> None:
    """Rename a bucket."""
    uuid = app.run(lambda client: client.buckets.rename(source.bck, new.bck))
    follow(app, uuid, actions.MOVE_BUCKET, f"{source} => {new}", **following)


@bucket.command(epilog=examples("ais bucket summary", "ais bucket summary ais://photos --prefix 2024/"))
@click.argument("which", type=BUCKET_OR_OBJECT, required=False, metavar="[BUCKET[/PREFIX]]")
@click.option("--prefix", default="", help="Only objects whose names begin with this.")
@click.option("--all", "with_remote", is_flag=True, help="Also what the backends of remote buckets have.")
@already_so("--cached", "--verbose", "-v")
@units_option
@table_options
@refreshing
@click.pass_obj
def summary(app: App, /, which: Ref | None, prefix: str, **options: bool) -> None:
    """Counts and sizes of a bucket, or of all buckets."""
    bck, prefix = (which.bck, which.name + prefix) if which is not None else (None, prefix)
    print_summaries(app, bck, prefix, **options)


@bucket.command("show", epilog=examples("ais bucket show ais://photos", "ais show bucket ais://photos checksum"))
@click.argument("which", type=BUCKET, metavar="BUCKET")
@click.argument("section", required=False, default="", metavar="[PROP_PREFIX]")
@click.option("--compact", "-c", is_flag=True, help="One line for each group of properties.")
@table_options
@click.pass_obj
def show(app: App, which: Ref, section: str, compact: bool, as_json: bool, no_headers: bool) -> None:
    """Show the properties of a bucket."""
    props = app.run(lambda client: client.buckets.head(which.bck))
    if as_json:
        text.print_json(props)
        return
    found = text.select(properties.readable(props), section)
    if not found:
        raise click.UsageError(f'no property of a bucket begins with "{section}"')
    text.print_properties(properties.compact(found) if compact else found, headers=not no_headers)


@bucket.group("props")
def props_group() -> None:
    """Show, set and reset the properties of a bucket."""


props_group.add_command(show, "show")


@props_group.command(
    "set",
    epilog=examples(
        "ais bucket props set ais://photos versioning.enabled=false",
        "ais bucket props set ais://photos access=ro checksum.type=sha256",
        'ais bucket props set ais://photos \'{"versioning": {"enabled": false}}\'',
    ),
)
@click.argument("which", type=BUCKET, metavar="BUCKET")
@click.argument("assignments", nargs=-1, required=True, metavar="NAME=VALUE...|JSON")
@click.option("--force", "-f", is_flag=True, help="Also a change that needs existing objects to be rewritten.")
@click.pass_obj
def set_props(app: App, which: Ref, assignments: tuple[str, ...], force: bool) -> None:
    """Change properties of a bucket."""
    patch = properties.parse_assignments(assignments)
    if force:
        patch["force"] = True
    _change(app, which, lambda client: client.buckets.set_props(which.bck, patch))


@props_group.command("reset", epilog=examples("ais bucket props reset ais://photos"))
@click.argument("which", type=BUCKET, metavar="BUCKET")
@click.pass_obj
def reset_props(app: App, which: Ref) -> None:
    """Go back to the cluster's defaults."""
    _change(app, which, lambda client: client.buckets.reset_props(which.bck))


def _change(app: App, which: Ref, change: "Callable[[Client], Awaitable[str]]") -> None:
    """Do `change`, and tell what is different then."""

    async def work(client: "Client") -> tuple[Bprops, str, Bprops]:
        before = await client.buckets.head(which.bck)
        uuid = await change(client)
        return before, uuid, await client.buckets.head(which.bck)

    before, uuid, after = app.run(work)
    _report_changes(which, properties.readable(before), properties.readable(after), uuid)


def _report_changes(which: Ref, before: dict[str, str], after: dict[str, str], uuid: str) -> None:
    changed = [name for name in after if after[name] != before.get(name)]
    for name in changed:
        click.echo(f'"{name}" set to: "{after[name]}" (was: "{before.get(name, text.NONE)}")')
    if not changed:
        click.echo(f'Properties of "{which}" are as they were')
    if uuid:
        text.note(f"Job {uuid} brings existing objects in line: 'ais wait {uuid}' waits for it.")
