"""`ais archive`: shards, that is objects that are archives: make, fill, list and read them."""

from typing import TYPE_CHECKING, Any

import click

from ais.api.archive import ArchiveMsg
from ais.base import templates
from ais.base.errors import AisError
from ais_cli import text
from ais_cli.app import App, fail_if
from ais_cli.gen_shards import gen_shards
from ais_cli.get import get
from ais_cli.ishard import make_shards
from ais_cli.listing import ls
from ais_cli.params import (
    BUCKET_OR_OBJECT,
    OBJECT,
    SOURCE,
    Ref,
    already_so,
    examples,
    refresh_option,
    selection_options,
    transfer_options,
    units_option,
    yes_option,
)
from ais_cli.progress import progress as progress_of
from ais_cli.selection import Selection, selected
from ais_cli.sources import File, Source, all_files
from ais_cli.waiting import wait_and_report

if TYPE_CHECKING:
    from ais.client.client import Client


@click.group("archive")
def archive() -> None:
    """Make, fill, list and read shards: objects that are .tar, .tgz, .zip or .tar.lz4 archives."""


archive.add_command(gen_shards)
archive.add_command(make_shards)

archive.add_command(get, "get")


@archive.command("ls", epilog=examples("ais archive ls ais://data/shard.tar", "ais archive ls ais://data --props all"))
@click.pass_context
def list_inside(ctx: click.Context, /, **options: Any) -> None:
    """List shards and the files in them."""
    ctx.invoke(ls, **(options | {"archive": True}))


list_inside.params = [parameter for parameter in ls.params if parameter.name != "archive"]


@archive.command(
    "put",
    epilog=examples(
        "ais archive put a.jpg ais://data/shard.tar --archpath images/a.jpg --append",
        "ais archive put ./images ais://data/shard.tar -r --append-or-put",
    ),
)
@click.argument("arguments", nargs=-1, required=True, type=SOURCE, metavar="SOURCE... BUCKET/SHARD")
@click.option("--archpath", default="", help="The file's name in the shard; of several files: how their names begin.")
@click.option("--append", is_flag=True, help="Add to a shard that is there.")
@click.option("--append-or-put", is_flag=True, help="Add to the shard if it is there, else make it.")
@click.option("--recursive", "-r", is_flag=True, help="Put directories with everything below them.")
@click.option("--template", help="Files named by a range, such as '/data/img-{000..099}.jpg'.")
@click.option("--list", "names", help="Files in a comma-separated list.")
@click.option("--include-src-dir", is_flag=True, help="Begin names with the source directory's own name.")
@click.option("--dry-run", is_flag=True, help="Show what would be put, and change nothing.")
@refresh_option
@already_so("--cont-on-err", "--skip-vc", "--verbose", "-v", "--wait")
@yes_option
@units_option
@transfer_options
@click.pass_obj
def put(
    app: App,
    arguments: tuple[str, ...],
    archpath: str,
    append: bool,
    append_or_put: bool,
    recursive: bool,
    template: str | None,
    names: str | None,
    include_src_dir: bool,
    dry_run: bool,
    yes: bool,
    workers: int,
    progress: bool | None,
    quiet: bool,
) -> None:
    """Put files into a shard, one after another; several files are added to the one that is there."""
    from ais.client.body import FileBody
    from ais.client.shards import APPEND, APPEND_OR_PUT, NEW

    *sources, destination = arguments
    sources += [template] if template is not None else []
    sources += [one.strip() for one in (names or "").split(",") if one.strip()]
    if not sources:
        raise click.UsageError("both a source and a shard are needed: ais archive put SOURCE BUCKET/SHARD")
    ref = OBJECT.convert(destination, None, click.get_current_context())
    found = [Source(one, recursive, archpath, include_src_dir) for one in sources]
    files = list(all_files(found))
    if not files:
        raise click.UsageError("there is no file in it" + ("" if recursive else ": use -r for those further below"))
    is_single = len(files) == 1
    mode = APPEND if append else APPEND_OR_PUT if append_or_put or not is_single else NEW
    if dry_run:
        text.note("[DRY RUN] nothing is changed")
        for file in files:
            click.echo(f"PUT {text.printable(file.path)} => {text.printable(f'{ref}/{file.name}')}")
        return

    async def work(client: "Client") -> list[tuple[str, AisError]]:
        failures: list[tuple[str, AisError]] = []

        async def one(file: File) -> None:
            body = FileBody(file.path)
            await client.shards.put_member(ref.bck, ref.name, file.name, body, mode=mode, on_bytes=bars.moved)

        for file in files:
            try:
                await one(file)
                bars.finished_one()
            except AisError as error:
                if is_single:
                    raise
                failures.append((file.path, error))
        return failures

    with progress_of("PUT", wanted=progress, quiet=quiet) as bars:
        bars.expect(len(files), sum(file.size for file in files))
        failures = app.run(work)
    problems = [problem for source in found for problem in source.problems]
    fail_if(failures + problems, f"{len(files) - len(failures)} put into {ref}")
    if not quiet:
        what = f'{files[0].path} to {ref} as "{files[0].name}"' if is_single else f"{len(files):,} files => {ref}"
        click.echo(f"{'PUT' if mode == NEW else 'APPEND'} {text.printable(what)}")


@archive.command(
    "bucket",
    epilog=examples(
        "ais archive bucket ais://data ais://shards/all.tar --template 'img-{000..099}.jpg'",
        "ais archive bucket ais://data/2024/ ais://shards/2024.tgz --wait",
    ),
)
@click.argument("source", type=BUCKET_OR_OBJECT, metavar="BUCKET[/OBJECT_OR_PREFIX]")
@click.argument("shard", type=OBJECT, metavar="BUCKET/SHARD")
@selection_options
@click.option("--append-or-put", is_flag=True, help="Add to the shard if it is there, else make it.")
@click.option("--cont-on-err", is_flag=True, help="Leave out objects that cannot be read.")
@click.option("--include-src-bck", is_flag=True, help="Begin names in the shard with the bucket's name.")
@click.option("--non-recursive", "--nr", is_flag=True, help="With a prefix: nothing from virtual directories below.")
@click.option("--dry-run", is_flag=True, help="Show what would be archived, and change nothing.")
@click.option("--wait", is_flag=True, help="Return when the shard is complete.")
@already_so("--skip-lookup")
@click.pass_obj
def archive_bucket(
    app: App,
    source: Ref,
    shard: Ref,
    prefix: str | None,
    template: str | None,
    names: str | None,
    append_or_put: bool,
    cont_on_err: bool,
    include_src_bck: bool,
    non_recursive: bool,
    dry_run: bool,
    wait: bool,
) -> None:
    """Make one shard of many objects: those of a list, of a range or whose names begin with a prefix."""
    if source.name and prefix is None and template is None and names is None:
        names, prefix = (None, "") if source.name.endswith("/") else (source.name, None)
        source = source if prefix is not None else Ref(source.bck, "")
    if prefix is None and template is None and names is None:
        prefix = ""
    selection = Selection.of(source, prefix, template, names, is_flat=non_recursive)
    assert selection is not None

    async def list_all(client: "Client") -> list[str]:
        return [item.name async for item in selected(client, selection)]

    if dry_run:
        text.note("[DRY RUN] nothing is changed")
        for name in app.run(list_all):
            click.echo(f"{text.printable(source.bck.cname(name))} => {shard}")
        return
    by_name = app.run(list_all) if non_recursive else list(selection.names) if selection.names else None
    message = ArchiveMsg(
        archive=shard.name,
        to=shard.bck,
        names=by_name,
        template="" if by_name is not None else template or selection.prefix,
        with_bucket=include_src_bck,
        append=append_or_put,
        continue_on_error=cont_on_err,
    )
    if template is not None:
        templates.parse(template)
    uuid = app.run(lambda client: client.shards.archive(source.bck, message))
    click.echo(f"Archiving {selection} => {shard}: job {uuid}")
    if wait:
        wait_and_report(app, uuid)
    else:
        text.note(f"'ais wait {uuid}' waits for it, 'ais show job {uuid}' tells how far it is.")
