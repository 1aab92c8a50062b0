"""`ais ml get-batch`: many objects and files in shards as one archive, in the order asked for."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ais.api.batch import BatchMsg, Entry
from ais.api.bucket import Bck
from ais.base import templates
from ais_cli import text
from ais_cli.app import App, confirm
from ais_cli.gen_shards import EXTENSIONS
from ais_cli.params import BUCKET_OR_OBJECT, Ref, already_so, examples, selection_options, yes_option
from ais_cli.selection import Selection, selected

if TYPE_CHECKING:
    from ais.client.client import Client


@click.group("ml")
def ml() -> None:
    """Read what a training step needs in one go."""


@ml.command(
    "get-batch",
    epilog=examples(
        "ais ml get-batch ais://data out.tar --list a.wav,b.wav",
        "ais ml get-batch ais://data out.tgz --template 'img-{000..099}.jpg'",
        "ais ml get-batch ais://data/shard.tar/a.wav out.zip",
        "ais ml get-batch out.tar --spec batch.json",
    ),
)
@click.argument("words", nargs=-1, required=True, metavar="[BUCKET[/OBJECT_OR_SHARD/FILE]...] ARCHIVE")
@selection_options
@click.option("--spec", "-f", help="A file with the request as JSON, the JSON itself, or '-' for standard input.")
@click.option("--cont-on-err", is_flag=True, help="What cannot be read is an empty file below __404__/.")
@click.option("--omit-src-bck", is_flag=True, help="Names in the archive without the bucket's.")
@already_so("--streaming")
@already_so("--non-verbose", "--nv")
@yes_option
@click.pass_obj
def get_batch(
    app: App,
    words: tuple[str, ...],
    prefix: str | None,
    template: str | None,
    names: str | None,
    spec: str | None,
    cont_on_err: bool,
    omit_src_bck: bool,
    yes: bool,
) -> None:
    """Get objects, or files in shards, as one archive, complete and in the order asked for."""
    *sources, output = words
    extension = next((one for one in EXTENSIONS if output.endswith(one)), None)
    if extension is None:
        raise click.UsageError(f'"{output}" is no archive: its name ends with one of {", ".join(EXTENSIONS)}')
    if bool(spec) == bool(sources):
        raise click.UsageError("name objects, or give a --spec")
    path = Path(output)
    if path.exists():
        confirm(f"Overwrite {path}?", yes=yes)
    context = click.get_current_context()
    refs = [BUCKET_OR_OBJECT.convert(one, None, context) for one in sources]

    async def work(client: "Client") -> tuple[int, int]:
        default = refs[0].bck if refs else None
        entries = _of_spec(spec) if spec else await _entries(client, refs, prefix, template, names)
        message = BatchMsg(
            entries, mime=extension, continue_on_error=cont_on_err, only_names=omit_src_bck, is_streaming=True
        )
        temporary = path.with_name(f".{path.name}.part")
        try:
            with temporary.open("wb") as file:
                async with client.shards.batch(default, message) as reader:
                    size = await reader.copy_to(file, context=output, verify=False)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
        return len(entries), size

    count, size = app.run(work)
    click.echo(f"Created {output} with {text.count_of(count, 'object')} ({text.size(size)})")


def _of_spec(spec: str) -> list[Entry]:
    content = spec
    if spec == "-":
        content = sys.stdin.read()
    elif not spec.lstrip().startswith("{"):
        try:
            content = Path(spec).read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise click.UsageError(f"cannot read the specification {spec}: {error}") from None
    return BatchMsg.parse(content.encode()).entries


async def _entries(
    client: "Client", refs: list[Ref], prefix: str | None, template: str | None, names: str | None
) -> list[Entry]:
    found: list[Entry] = []
    for ref in refs:
        if not ref.name or prefix is not None or template is not None or names is not None:
            selection = Selection.of(ref, prefix, template, names) or Selection(ref.bck)
            found += [_entry(ref.bck, item.name) async for item in selected(client, selection)]
        elif templates.has_range(ref.name):
            found += [_entry(ref.bck, name) for name in templates.parse(ref.name)]
        else:
            found.append(_entry(ref.bck, ref.name))
    if not found:
        raise click.UsageError("no object matches")
    return found


def _entry(bck: Bck, name: str) -> Entry:
    """An object, or as `SHARD/FILE` a file in a shard."""
    for extension in EXTENSIONS:
        shard, separator, file = name.partition(f"{extension}/")
        if separator and file:
            return Entry(shard + extension, bck.name, bck.provider, archpath=file)
    return Entry(name, bck.name, bck.provider)
