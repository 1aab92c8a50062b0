"""`ais object multipart-upload` (`ais mpu`): upload an object in parts, in any order and from several machines."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from ais_cli.app import App
from ais_cli.params import OBJECT, CountType, Ref, already_so, examples
from ais_cli.progress import progress

if TYPE_CHECKING:
    from ais.client.client import Client

PART_NUMBER_MAX = 9999
_NUMBER = CountType(1, PART_NUMBER_MAX)
_upload_id = click.option("--upload-id", default="", help="The same as UPLOAD_ID.")
_verbose = already_so("--verbose", "-v")


@click.group("multipart-upload")
def multipart() -> None:
    """Upload an object in parts: create, put-part for each part, complete or abort."""


def _given(option: str, words: list[str], what: str) -> str:
    """The option's value, else the next word."""
    if option:
        return option
    if not words:
        raise click.UsageError(f"{what} is missing")
    return words.pop(0)


def _end(words: list[str]) -> None:
    if words:
        raise click.UsageError(f'too many arguments: "{words[0]}"')


@multipart.command("create", epilog=examples("ais mpu create ais://photos/film.mov"))
@click.argument("ref", type=OBJECT)
@_verbose
@click.pass_obj
def create(app: App, ref: Ref) -> None:
    """Begin an upload and print its ID."""
    click.echo(f"Upload ID: {app.run(lambda client: client.multipart.start(ref.bck, ref.name))}")


@multipart.command(
    "put-part",
    epilog=examples(
        "ais mpu put-part ais://photos/film.mov UPLOAD_ID 1 ./film.mov.part1",
        "ais mpu put-part ais://photos/film.mov --upload-id UPLOAD_ID --part-number 2 ./film.mov.part2",
    ),
)
@click.argument("ref", type=OBJECT)
@click.argument("words", nargs=-1, metavar="UPLOAD_ID PART_NUMBER FILE")
@_upload_id
@click.option("--part-number", type=_NUMBER, help="The same as PART_NUMBER: from 1 on.")
@click.option("--progress/--no-progress", "with_progress", default=None, help="Show a progress bar.")
@already_so("--encode-objname")
@_verbose
@click.pass_obj
def put_part(
    app: App, ref: Ref, words: tuple[str, ...], upload_id: str, part_number: int | None, with_progress: bool | None
) -> None:
    """Upload a file as one part."""
    from ais.client.body import FileBody

    rest = list(words)
    upload = _given(upload_id, rest, "UPLOAD_ID")
    number = part_number or _NUMBER.convert(_given("", rest, "PART_NUMBER"), None, click.get_current_context())
    path = Path(_given("", rest, "FILE"))
    _end(rest)
    if not path.is_file():
        raise click.UsageError(f"{path} is no file")
    size = path.stat().st_size
    with progress(f"part {number}", wanted=with_progress, quiet=False) as bar:
        bar.expect(1, size)

        async def work(client: "Client") -> None:
            await client.multipart.put_part(ref.bck, ref.name, upload, number, FileBody(path), on_bytes=bar.moved)

        app.run(work)
        bar.finished_one()
    click.echo(f"Part {number} of {ref}: {size:,} bytes uploaded")


@multipart.command(
    "complete",
    epilog=examples(
        "ais mpu complete ais://photos/film.mov UPLOAD_ID 1,2,3",
        "ais mpu complete ais://photos/film.mov --upload-id UPLOAD_ID --part-numbers 1,2,3",
    ),
)
@click.argument("ref", type=OBJECT)
@click.argument("words", nargs=-1, metavar="UPLOAD_ID PART_NUMBERS")
@_upload_id
@click.option("--part-numbers", default="", help="The same as PART_NUMBERS: a list such as 1,2,3.")
@_verbose
@click.pass_obj
def complete(app: App, ref: Ref, words: tuple[str, ...], upload_id: str, part_numbers: str) -> None:
    """Make the object of the parts, in the order named."""
    rest = list(words)
    upload = _given(upload_id, rest, "UPLOAD_ID")
    named = _given(part_numbers, rest, "PART_NUMBERS")
    _end(rest)
    context = click.get_current_context()
    numbers = [_NUMBER.convert(one.strip(), None, context) for one in named.split(",")]
    app.run(lambda client: client.multipart.complete(ref.bck, ref.name, upload, numbers))
    click.echo(f"{ref} completed of {len(numbers)} parts")


@multipart.command("abort", epilog=examples("ais mpu abort ais://photos/film.mov UPLOAD_ID"))
@click.argument("ref", type=OBJECT)
@click.argument("words", nargs=-1, metavar="UPLOAD_ID")
@_upload_id
@_verbose
@click.pass_obj
def abort(app: App, ref: Ref, words: tuple[str, ...], upload_id: str) -> None:
    """Give an upload up and remove its parts."""
    rest = list(words)
    upload = _given(upload_id, rest, "UPLOAD_ID")
    _end(rest)
    app.run(lambda client: client.multipart.abort(ref.bck, ref.name, upload))
    click.echo(f"Upload {upload} of {ref} aborted")
