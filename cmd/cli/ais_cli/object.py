"""`ais object`: put, get, list, remove, copy, rename and describe objects."""

from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

import click

from ais.api import codec
from ais.base.errors import AisError, BadRequest
from ais_cli import text
from ais_cli.app import App, confirm, fail_if, for_each
from ais_cli.concat import concat
from ais_cli.copying import cp_objects
from ais_cli.get import cat, get
from ais_cli.listing import ls
from ais_cli.multipart import multipart
from ais_cli.params import (
    BUCKET_OR_OBJECT,
    OBJECT,
    WORKERS,
    Ref,
    already_so,
    examples,
    quiet_option,
    recursion_option,
    refresh_option,
    selection_options,
    table_options,
    units_option,
    yes_option,
)
from ais_cli.progress import progress
from ais_cli.promote import promote
from ais_cli.put import put
from ais_cli.remote import evict, prefetch
from ais_cli.selection import Selected, Selection, selected

if TYPE_CHECKING:
    from ais.client.client import Client
    from ais.client.objects import ObjectAttributes


@click.group("object")
def objects() -> None:
    """Put, get, list, remove, copy, rename and describe objects."""


for _command in (put, get, ls, cat, cp_objects, concat, promote, multipart, prefetch, evict):
    objects.add_command(_command)


@objects.command(
    epilog=examples(
        "ais object rm ais://photos/2024/cat.jpg",
        "ais rmo ais://photos --prefix 2023/ --yes",
        "ais rmo ais://shards --template 'shard-{000..099}.tar'",
        "ais rmo ais://photos --list a.jpg,b.jpg",
        "ais rmo ais://photos --all",
    )
)
@click.argument("refs", type=BUCKET_OR_OBJECT, nargs=-1, required=True, metavar="BUCKET[/OBJECT]...")
@selection_options
@click.option("--all", "everything", is_flag=True, help="All objects of the bucket.")
@recursion_option
@click.option("--progress/--no-progress", "wanted", default=None, help="Show a progress bar.")
@refresh_option
@already_so("--encode-objname", "--skip-lookup", "--verbose", "-v", "--wait")
@yes_option
@quiet_option
@click.pass_obj
def rm(
    app: App,
    refs: tuple[Ref, ...],
    prefix: str | None,
    template: str | None,
    names: str | None,
    everything: bool,
    non_recursive: bool,
    wanted: bool | None,
    yes: bool,
    quiet: bool,
) -> None:
    """Remove objects: those named, or many of one bucket."""
    if everything and (prefix is not None or refs[0].name):
        raise click.UsageError("--all means every object of a bucket: leave the prefix away")
    if refs[0].name.endswith("/") and prefix is None:
        prefix = ""
    selection = Selection.of(refs[0], "" if everything else prefix, template, names, is_flat=non_recursive)
    if selection is not None:
        if len(refs) > 1:
            raise click.UsageError("--prefix, --template, --list and --all take one bucket")
        _rm_many(app, selection, wanted=wanted, yes=yes or not selection.is_everything, quiet=quiet)
        return
    if bucket := next((ref for ref in refs if not ref.name), None):
        raise click.UsageError(
            f"{bucket} is a bucket: name objects, use --all to empty it, or 'ais bucket rm' to remove it"
        )

    async def work(client: "Client") -> tuple[int, list[tuple[str, AisError]]]:
        async def remove(ref: Ref) -> None:
            await client.objects.delete(ref.bck, ref.name)
            if not quiet:
                click.echo(f"removed {text.printable(str(ref))}")

        if len(refs) == 1:
            await remove(refs[0])
            return 1, []
        return await for_each(refs, remove, min(WORKERS, len(refs)), str)

    done, failures = app.run(work)
    fail_if(failures, f"{done} removed")


def _rm_many(app: App, selection: Selection, *, wanted: bool | None, yes: bool, quiet: bool) -> None:
    async def work(client: "Client") -> tuple[int, list[tuple[str, AisError]]]:
        await client.buckets.head(selection.bck)
        confirm(f"Remove {selection}?", yes=yes)

        async def remove(item: Selected) -> None:
            await client.objects.delete(selection.bck, item.name)
            bars.finished_one()

        return await for_each(selected(client, selection), remove, WORKERS, lambda item: item.name)

    with progress("rm", wanted=wanted, quiet=quiet) as bars:
        done, failures = app.run(work)
    fail_if(failures, f"{done} removed from {selection.bck.cname()}")
    if not quiet:
        click.echo(f"Removed {text.count_of(done, 'object')} from {selection.bck.cname()}")


@objects.command(epilog=examples("ais object mv ais://photos/old.jpg new.jpg"))
@click.argument("source", type=OBJECT)
@click.argument("new", metavar="NEW_OBJECT_NAME")
@already_so("--encode-objname")
@click.pass_obj
def mv(app: App, source: Ref, new: str) -> None:
    """Rename an object within its bucket."""
    to = Ref(source.bck, new)
    if "://" in new:
        to = OBJECT.convert(new, None, click.get_current_context())
    if to.bck != source.bck:
        raise click.UsageError(
            f"mv works within a bucket. Use 'ais object cp {source} {to}', then 'ais object rm {source}'"
        )
    app.run(lambda client: client.objects.rename(source.bck, source.name, to.name))
    click.echo(f"{source} renamed to {to}")


@objects.command(
    "set-custom",
    epilog=examples(
        "ais object set-custom ais://photos/cat.jpg camera=x100 place=Paris",
        'ais object set-custom ais://photos/cat.jpg \'{"camera": "x100"}\' --set-new-custom',
    ),
)
@click.argument("source", type=OBJECT)
@click.argument("assignments", nargs=-1, required=True, metavar="KEY=VALUE...|JSON")
@click.option("--set-new-custom", is_flag=True, help="Replace all custom metadata; otherwise it is added to.")
@click.pass_obj
def set_custom(app: App, source: Ref, assignments: tuple[str, ...], set_new_custom: bool) -> None:
    """Set custom metadata of an object."""
    custom = _custom(assignments)
    app.run(lambda client: client.objects.set_custom(source.bck, source.name, custom, replace=set_new_custom))
    click.echo(f"Custom metadata of {source} is set")


def _custom(assignments: tuple[str, ...]) -> dict[str, str]:
    if assignments[0].lstrip().startswith("{"):
        parsed = codec.convert(codec.parse_json(" ".join(assignments)), dict[str, str])
    else:
        if wrong := [word for word in assignments if "=" not in word]:
            raise BadRequest(f'"{wrong[0]}" is not KEY=VALUE')
        parsed = {key: value for key, _, value in (word.partition("=") for word in assignments)}
    if "" in parsed:
        raise BadRequest("a custom key must not be empty")
    return parsed


@objects.command(
    "show", epilog=examples("ais object show ais://photos/cat.jpg", "ais show object ais://photos/cat.jpg --json")
)
@click.argument("source", type=OBJECT)
@click.option("--props", help="Only these properties: a comma-separated list, or 'all'.")
@already_so("--all", "--encode-objname", "--silent")
@units_option
@table_options
@click.pass_obj
def show(app: App, source: Ref, props: str | None, as_json: bool, no_headers: bool) -> None:
    """Show an object's properties."""
    found = app.run(lambda client: client.objects.head(source.bck, source.name))
    if as_json:
        text.print_json({"name": source.name, "bucket": source.bck, **codec.to_builtins(found)})
    else:
        text.print_properties(_chosen(_properties(source, found), props), headers=not no_headers)


def _chosen(properties: dict[str, str], props: str | None) -> dict[str, str]:
    if props in (None, "all"):
        return properties
    assert props is not None
    wanted = [name.strip() for name in props.split(",") if name.strip()]
    if unknown := [name for name in wanted if name not in properties]:
        raise click.BadParameter(
            f'unknown property "{unknown[0]}": use all, or a list of {", ".join(properties)}', param_hint="--props"
        )
    return {name: properties[name] for name in wanted}


def _properties(source: Ref, found: "ObjectAttributes") -> dict[str, str]:
    custom = " ".join(f"{key}={value}" for key, value in sorted(found.custom.items()))
    exact = f" ({found.size:,} bytes)" if found.size >= 1024 else ""
    properties = {
        "name": text.printable(str(source)),
        "size": text.size(found.size) + exact,
        "checksum": f"{found.checksum_kind}[{found.checksum}]" if found.checksum else text.NONE,
        "version": found.version or text.NONE,
        "atime": text.moment(found.atime_ns),
        "last-modified": _local(found.last_modified),
        "location": found.location or text.NONE,
        "copies": str(found.copies or 1),
        "custom": text.printable(custom) or text.NONE,
    }
    if found.etag:
        properties["etag"] = found.etag
    return properties


def _local(http_date: str) -> str:
    if not http_date:
        return text.NONE
    return text.moment(int(parsedate_to_datetime(http_date).timestamp() * 1e9))
