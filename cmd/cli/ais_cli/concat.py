"""`ais object concat`: one object of several files."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from ais_cli import text
from ais_cli.app import App
from ais_cli.params import OBJECT, examples, units_option
from ais_cli.progress import Progress, progress

if TYPE_CHECKING:
    from ais.api.bucket import Bck
    from ais.client.client import Client

_CHUNK_BYTES = 4 << 20


@click.command(
    "concat",
    epilog=examples(
        "ais object concat part1 part2 ais://photos/whole",
        "ais object concat ./parts ais://photos/whole -r     a directory's files, by name",
    ),
)
@click.argument("words", nargs=-1, required=True, metavar="FILE|DIRECTORY... BUCKET/OBJECT")
@click.option("--recursive", "-r", is_flag=True, help="With all that is below a directory.")
@click.option("--progress/--no-progress", "with_progress", default=None, help="Show a progress bar.")
@units_option
@click.pass_obj
def concat(app: App, words: tuple[str, ...], recursive: bool, with_progress: bool | None) -> None:
    """Make one object of files, one after another."""
    if len(words) < 2:
        raise click.UsageError("name the files, and the object that they become")
    ref = OBJECT.convert(words[-1], None, click.get_current_context())
    files = [file for word in words[:-1] for file in _files(Path(word), recursive=recursive)]
    sizes = sum(file.stat().st_size for file in files)
    with progress("concat", wanted=with_progress, quiet=False) as bar:
        bar.expect(len(files), sizes)
        app.run(lambda client: _append_all(client, ref.bck, ref.name, files, bar))
    click.echo(f"Created {ref} (size {text.size(sizes)})")


def _files(path: Path, *, recursive: bool) -> list[Path]:
    """A file, or those of a directory by name. Raise `UsageError` when there is none."""
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise click.UsageError(f"{path}: no such file or directory")
    found = sorted(one for one in (path.rglob("*") if recursive else path.iterdir()) if one.is_file())
    if not found:
        raise click.UsageError(f"{path} holds no files" + ("" if recursive else ": use -r for those further below"))
    return found


async def _append_all(client: "Client", bck: "Bck", name: str, files: list[Path], bar: Progress) -> None:
    """Append each file to what becomes the object with the last of them."""
    await client.buckets.head(bck)
    handle = ""
    for file in files:
        with file.open("rb") as source:
            while data := source.read(_CHUNK_BYTES):
                handle = await client.objects.append(bck, name, data, handle)
                bar.moved(len(data))
        bar.finished_one()
    if not handle:
        handle = await client.objects.append(bck, name, b"", "")
    await client.objects.flush(bck, name, handle)
