"""`ais object get` (`ais get`) and `ais object cat`: objects into files, directories or standard output."""

import os
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import click

from ais.api.bucket import Bck
from ais.base.errors import AisError, BadRequest, DiskFailure
from ais_cli import text
from ais_cli.app import App, fail_if, for_each
from ais_cli.inside import inside_of, inside_options
from ais_cli.params import (
    BUCKET_OR_OBJECT,
    COUNT,
    OBJECT,
    SIZE,
    Ref,
    already_so,
    examples,
    recursion_option,
    refresh_option,
    selection_options,
    transfer_options,
    units_option,
)
from ais_cli.progress import Progress, progress
from ais_cli.selection import Selected, Selection, selected

if TYPE_CHECKING:
    from ais.client.client import Client

STDOUT = "-"


@dataclass(frozen=True)
class _Get:
    """One run of the command: what to read of each object."""

    bck: Bck
    offset: int
    length: int | None
    verify: bool
    inside: dict[str, str]
    """What to take of a shard, as the query says it."""

    @property
    def byte_range(self) -> str:
        """For the `Range` header; empty for the whole object."""
        if self.length is not None:
            return f"{self.offset}-{self.offset + self.length - 1}"
        return f"{self.offset}-" if self.offset else ""

    async def copy(self, client: "Client", name: str, path: str, bars: Progress) -> int:
        """Write one object to a file, a device or `-`; its length."""
        with _opened(path) as (sink, is_ours):
            if is_ours:
                return await client.objects.download(
                    self.bck,
                    name,
                    sink,
                    byte_range=self.byte_range,
                    inside=self.inside,
                    verify=self.verify,
                    on_bytes=bars.moved,
                )
            return await self._stream(client, name, sink, bars)

    async def _stream(self, client: "Client", name: str, sink: BinaryIO, bars: Progress) -> int:
        """What was written to a pipe or appended to a file cannot be taken back: no second attempt."""
        async with client.objects.get(self.bck, name, byte_range=self.byte_range, inside=self.inside) as reader:
            return await reader.copy_to(sink, context=self.bck.cname(name), verify=self.verify, on_bytes=bars.moved)


@click.command(
    "get",
    epilog=examples(
        "ais get ais://photos/2024/cat.jpg                       into ./cat.jpg",
        "ais get ais://photos/2024/cat.jpg /tmp/cat.jpg",
        "ais get ais://photos/2024/cat.jpg -                     to standard output",
        "ais get ais://photos/2024/cat.jpg /tmp/ --offset 1KiB --length 4KiB",
        "ais get ais://photos /tmp/photos --prefix 2024/         everything under 2024/",
        "ais get ais://shards /tmp --template 'shard-{000..099}.tar'",
    ),
)
@click.argument("source", type=BUCKET_OR_OBJECT, metavar="BUCKET[/OBJECT]")
@click.argument("output", required=False, metavar="[OUT_FILE|OUT_DIR|-]")
@selection_options
@click.option("--offset", type=SIZE, default="0", help="Read from this byte on; units as in 4KiB.")
@click.option("--length", type=SIZE, help="Read this many bytes; units as in 4KiB.")
@click.option("--limit", type=COUNT, default=0, help="Get at most so many objects.  [default: no limit]")
@click.option("--checksum/--no-checksum", "verify", default=True, help="Verify what is read.  [default: verify]")
@inside_options
@click.option("--check-cached", is_flag=True, help="Only tell whether the object is in the cluster.")
@recursion_option
@refresh_option
@already_so("--cached", "--encode-objname", "--silent", "--skip-lookup", "--verbose", "-v", "--yes", "-y")
@units_option
@transfer_options
@click.pass_obj
def get(
    app: App,
    source: Ref,
    output: str | None,
    prefix: str | None,
    template: str | None,
    names: str | None,
    offset: int,
    length: int | None,
    limit: int,
    verify: bool,
    archpath: str,
    archregx: str,
    archmode: str,
    archmime: str,
    check_cached: bool,
    non_recursive: bool,
    workers: int,
    progress: bool | None,
    quiet: bool,
) -> None:
    """Get an object, a range of its bytes, or many objects.

    Many objects (--prefix, --template, --list) go below OUT_DIR, by default the current directory, under their names
    without the directory part of the prefix. A file appears under its name only when it is complete and verified.
    """
    if length == 0:
        raise click.UsageError("--length must be at least 1")
    inside = inside_of(archpath, archregx, archmode, archmime)
    run = _Get(source.bck, offset, length, verify, inside)
    if check_cached:
        _check(app, source)
        return
    if source.name.endswith("/") and prefix is None:
        prefix = ""
    selection = Selection.of(source, prefix, template, names, limit, is_flat=non_recursive)
    if selection is None and not source.name:
        raise click.UsageError(f'which objects? Name one ({source}/OBJECT), or all of them: --prefix ""')
    if selection is None:
        name = archpath.rstrip("/") or source.name
        _get_one(app, run, source, output, name=name, wanted=progress, quiet=quiet)
    else:
        _get_many(app, run, selection, output or ".", workers, wanted=progress, quiet=quiet)


def _check(app: App, ref: Ref) -> None:
    if not ref.name:
        raise click.UsageError("--check-cached is about one object: BUCKET/OBJECT")
    app.run(lambda client: client.objects.head(ref.bck, ref.name, "name"))
    click.echo(f"{ref} is present (is cached)")


@click.command("cat", epilog=examples("ais object cat ais://docs/readme.txt | less"))
@click.argument("source", type=OBJECT)
@click.option("--offset", type=SIZE, default="0", help="Begin at this byte; units as in 4KiB.")
@click.option("--length", type=SIZE, help="Print this many bytes; units as in 4KiB.")
@click.option("--archpath", default="", help="Print this file of a shard.")
@already_so("--checksum", "--encode-objname", "--force", "-f")
@click.pass_obj
def cat(app: App, source: Ref, offset: int, length: int | None, archpath: str) -> None:
    """Print an object's content."""
    run = _Get(source.bck, offset, length, verify=True, inside=inside_of(archpath))
    _get_one(app, run, source, STDOUT, name=source.name, wanted=False, quiet=True)


def _get_one(app: App, run: _Get, ref: Ref, output: str | None, *, name: str, wanted: bool | None, quiet: bool) -> None:
    target = _target(output, name)

    async def work(client: "Client") -> int:
        if bars.is_shown:
            found = await client.objects.head(ref.bck, ref.name, "size")
            bars.expect(1, found.size if run.length is None else min(run.length, found.size))
        count = await run.copy(client, ref.name, target, bars)
        bars.finished_one()
        return count

    with progress("GET", wanted=wanted, quiet=quiet) as bars:
        count = app.run(work)
    if not quiet and target != STDOUT:
        click.echo(f"GET {text.printable(str(ref))} as {text.printable(target)} ({text.size(count)})")


def _get_many(
    app: App, run: _Get, selection: Selection, output: str, workers: int, *, wanted: bool | None, quiet: bool
) -> None:
    if output != STDOUT and os.path.exists(output) and not os.path.isdir(output):
        if not os.path.samefile(output, os.devnull):
            raise click.UsageError(f"{output} is a file; many objects need a directory")
        output = os.devnull
    total = 0

    async def work(client: "Client") -> tuple[int, list[tuple[str, AisError]]]:
        async def get_one(item: Selected) -> None:
            nonlocal total
            path = output if output in (STDOUT, os.devnull) else _below(output, item.name[selection.strip :])
            count = await run.copy(client, item.name, path, bars)
            total += count
            bars.finished_one()

        # Objects written to one stream must not interleave.
        at_once = 1 if output == STDOUT else workers
        return await for_each(_announced(client, selection, run, bars), get_one, at_once, lambda item: item.name)

    with progress("GET", wanted=wanted, quiet=quiet) as bars:
        done, failures = app.run(work)
    fail_if(failures, f"{done} read from {selection.bck.cname()}")
    if not done:
        text.note(f"No object matches in {selection.bck.cname()}.")
    elif not quiet and output != STDOUT:
        what = text.count_of(done, "object")
        click.echo(f"GET {what} from {selection.bck.cname()} into {text.printable(output)} ({text.size(total)})")


async def _announced(client: "Client", selection: Selection, run: _Get, bars: Progress) -> AsyncIterator[Selected]:
    async for item in selected(client, selection):
        bars.expect(1, item.size if run.length is None else min(item.size, run.length))
        yield item


def _target(output: str | None, name: str) -> str:
    base = name.rstrip("/").rpartition("/")[2]
    if output is None:
        return base
    if output.endswith("/") or os.path.isdir(output):
        return os.path.join(output, base)
    return output


def _below(directory: str, name: str) -> str:
    """A path for an object below `directory`. Raise `BadRequest` when its name is no path there."""
    parts = name.split("/")
    if any(part in ("", ".", "..") for part in parts) or "\0" in name:
        raise BadRequest("its name cannot be a file name here; get it alone, into a file you name")
    return os.path.join(directory, *parts)


@contextmanager
def _opened(path: str) -> Iterator[tuple[BinaryIO, bool]]:
    """Where an object is written, and whether it is a new file, which may be begun again.

    A new file appears under its name when the context ends well.
    """
    if path == STDOUT:
        yield sys.stdout.buffer, False
        sys.stdout.buffer.flush()
        return
    try:
        if os.path.lexists(path) and not os.path.isfile(path):
            if os.path.isdir(path):
                raise BadRequest(f"{path} is a directory")
            with open(path, "wb", 0) as device:
                yield device, False
            return
        with _renamed_when_complete(path) as file:
            yield file, True
    except OSError as error:
        raise DiskFailure(f"cannot write {path}: {error.strerror or error}") from error


@contextmanager
def _renamed_when_complete(path: str) -> Iterator[BinaryIO]:
    target = os.path.realpath(path)
    parent = os.path.dirname(target)
    Path(parent).mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(prefix=".ais-get-", dir=parent)
    try:
        with os.fdopen(handle, "wb", 0) as file:
            os.fchmod(handle, 0o666 & ~_umask())
            yield file
        os.replace(temporary, target)
    except BaseException:
        os.unlink(temporary)
        raise


def _umask() -> int:
    current = os.umask(0o022)
    os.umask(current)
    return current
