"""`ais object put` (`ais put`): files, directories, patterns, ranges, lists and standard input into a bucket."""

import contextlib
import sys
from collections.abc import Awaitable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from ais.api import checksum
from ais.base.errors import AisError
from ais_cli import text
from ais_cli.app import App, confirm, fail_if, for_each
from ais_cli.params import (
    BUCKET_OR_OBJECT,
    SIZE,
    SOURCE,
    CountType,
    Ref,
    already_so,
    examples,
    refresh_option,
    transfer_options,
    units_option,
    yes_option,
)
from ais_cli.progress import Progress, progress
from ais_cli.sources import File, Source, all_files

if TYPE_CHECKING:
    from ais.client.body import Body
    from ais.client.client import Client
    from ais.client.objects import Claim

ASK_FILES = 10_000
ASK_BYTES = 100 << 30
"""Beyond these a person is asked first: `ais put / ais://b -r` is easily typed."""
_CLAIM_OPTIONS = tuple(kind for kind in checksum.KINDS if kind != checksum.NONE)


@dataclass(frozen=True)
class _Put:
    """One run of the command: where to, and how."""

    app: App
    ref: Ref
    workers: int
    compute_checksum: bool
    claim: "Claim | None"
    custom: dict[str, str]
    skip_vc: bool
    chunk_size: int | None
    retries: int
    wants_progress: bool | None
    quiet: bool

    def send(
        self, client: "Client", name: str, body: "Body", claim: "Claim | None", bars: Progress
    ) -> Awaitable[object]:
        """Put one object."""
        return client.objects.put(
            self.ref.bck, name, body,
            claim=claim, custom=self.custom, skip_version_check=self.skip_vc, on_bytes=bars.moved,
        )  # fmt: skip


def _claim_options(command: "click.decorators.FC") -> "click.decorators.FC":
    for kind in reversed(_CLAIM_OPTIONS):
        option = click.option(f"--{kind}", metavar="VALUE", hidden=True)
        command = option(command)
    return command


@click.command(
    "put",
    epilog=examples(
        "ais put photo.jpg ais://photos                 as object photo.jpg",
        "ais put photo.jpg ais://photos/2024/a.jpg      as object 2024/a.jpg",
        "ais put ./photos ais://photos/2024/ -r         a directory tree, names begin with 2024/",
        "ais put 'photos/*.jpg' ais://photos            files that match (quoted, or expanded by the shell)",
        "ais put '/data/shard-{000..099}.tar' ais://b   a range of files",
        "tar cz docs | ais put - ais://backup/docs.tgz  standard input",
    ),
)
@click.argument("arguments", nargs=-1, required=True, type=SOURCE, metavar="SOURCE... BUCKET[/NAME_OR_PREFIX]")
@click.option("--recursive", "-r", is_flag=True, help="Put directories with everything below them.")
@click.option("--template", help="Files named by a range, such as '/data/shard-{000..099}.tar'.")
@click.option("--list", "names", help="Files in a comma-separated list.")
@click.option("--include-src-dir", is_flag=True, help="Begin object names with the source directory's own name.")
@click.option("--custom", multiple=True, metavar="KEY=VALUE", help="Custom metadata of the objects; repeatable.")
@click.option(
    "--compute-checksum", "--compute-cksum", is_flag=True,
    help="Read each file twice: its checksum goes ahead and is verified by the target. A file that is stored already"
    " is not sent to disk again.",
)  # fmt: skip
@click.option("--skip-vc", is_flag=True, help="Do not load the metadata of an object that is overwritten.")
@click.option("--dry-run", is_flag=True, help="Show what would be put, and change nothing.")
@_claim_options
@click.option("--chunk-size", type=SIZE, help="Send files beyond this size in parts of it.")
@click.option("--retries", type=CountType(0, 100), default=5, help="Attempts after a lost connection.  [default: 5]")
@refresh_option
@already_so("--cont-on-err", "--encode-objname", "--skip-lookup", "--verbose", "-v", "--wait")
@yes_option
@units_option
@transfer_options
@click.pass_obj
def put(
    app: App,
    /,
    arguments: tuple[str, ...],
    recursive: bool,
    template: str | None,
    names: str | None,
    include_src_dir: bool,
    custom: tuple[str, ...],
    compute_checksum: bool,
    skip_vc: bool,
    dry_run: bool,
    chunk_size: int | None,
    retries: int,
    yes: bool,
    workers: int,
    progress: bool | None,
    quiet: bool,
    **claims: str | None,
) -> None:
    """Put files into a bucket.

    SOURCE is a file, a directory, a quoted pattern or range, a comma-separated list, or "-" for standard input. A
    destination that ends with "/" is a directory: the file's name is added to it. With several files the destination is
    the beginning of every object's name.

    A known checksum of a single file is given as --md5 VALUE, --crc32c, --sha256, --sha512, --xxhash or --xxhash2: the
    object appears only if its content has it.
    """
    if chunk_size is not None and (custom or compute_checksum or any(claims.values())):
        raise click.UsageError("--chunk-size goes with neither checksums nor custom metadata")
    texts, ref = _sources_and_destination(arguments, template, names)
    run = _Put(
        app,
        ref,
        workers,
        compute_checksum,
        _claim(claims),
        _parse_custom(custom),
        skip_vc,
        chunk_size,
        retries,
        progress,
        quiet,
    )
    if texts == ["-"]:
        _put_stdin(run)
        return
    sources = [Source(one, recursive, ref.name, include_src_dir) for one in texts]
    is_single = len(sources) == 1 and sources[0].is_single
    if run.claim is not None and not is_single:
        raise click.UsageError("a checksum can be given for a single file only; see --compute-checksum")
    if len(sources) > 1 and ref.name and not ref.name.endswith("/"):
        raise click.UsageError(f'several sources need a directory as destination: write "{ref}/"')
    if dry_run:
        _dry_run(sources, ref)
        return
    count, size_bytes = _count(sources)
    if not is_single:
        _warn(sources, ref)
        if count > ASK_FILES or size_bytes > ASK_BYTES:
            confirm(f"Put {text.count_of(count, 'file')} ({text.size(size_bytes)}) into {ref}?", yes=yes)
    _put_files(run, sources, count, size_bytes)


def _sources_and_destination(
    arguments: tuple[str, ...], template: str | None, names: str | None
) -> tuple[list[str], Ref]:
    *sources, destination = arguments
    if template is not None:
        sources.append(template)
    if names is not None:
        sources += [one.strip() for one in names.split(",") if one.strip()]
    if not sources:
        raise click.UsageError("both a source and a destination are needed: ais put SOURCE BUCKET[/NAME]")
    if "-" in sources and len(sources) > 1:
        raise click.UsageError("standard input cannot be combined with files")
    ref = BUCKET_OR_OBJECT.convert(destination, None, click.get_current_context())
    if sources == ["-"] and (not ref.name or ref.name.endswith("/")):
        raise click.UsageError("standard input needs an object name: ais put - BUCKET/OBJECT")
    return sources, ref


def _parse_custom(pairs: tuple[str, ...]) -> dict[str, str]:
    parsed = dict(pair.partition("=")[::2] for pair in pairs)
    if not all("=" in pair for pair in pairs) or "" in parsed:
        raise click.UsageError("custom metadata is written KEY=VALUE")
    return parsed


def _claim(claims: dict[str, str | None]) -> "Claim | None":
    given = [(kind, value) for kind, value in claims.items() if value]
    if len(given) > 1:
        raise click.UsageError("give one checksum only")
    if not given:
        return None
    from ais.client.objects import Claim

    return Claim(given[0][0], given[0][1].lower())


def _put_stdin(run: _Put) -> None:
    from ais.client.body import StreamBody

    ref = run.ref
    with progress("PUT", wanted=run.wants_progress, quiet=run.quiet) as bars:
        run.app.run(
            lambda client: run.send(client, ref.name, StreamBody(sys.stdin.buffer), run.claim, bars),
            retries=run.retries,
        )
    if not run.quiet:
        click.echo(f"PUT standard input => {ref}")


def _count(sources: list[Source]) -> tuple[int, int]:
    """A first pass for the totals: the files are found again when they are put, not remembered."""
    count = size_bytes = 0
    for file in all_files(sources):
        count += 1
        size_bytes += file.size
    if not count and any(source.directories_left_out for source in sources):
        raise click.UsageError("there are only directories in it: use --recursive")
    return count, size_bytes


def _warn(sources: list[Source], ref: Ref) -> None:
    left_out = sum(source.directories_left_out for source in sources)
    if left_out:
        what = "1 sub-directory is" if left_out == 1 else f"{left_out:,} sub-directories are"
        text.note(f"Note: {what} left out; --recursive puts them too.")
    if ref.name and not ref.name.endswith("/"):
        text.note(f'Note: object names begin with "{ref.name}" and no "/" after it; for a directory write "{ref}/".')


def _dry_run(sources: list[Source], ref: Ref) -> None:
    text.note("[DRY RUN] nothing is changed")
    for file in all_files(sources):
        click.echo(f"PUT {text.printable(file.path)} => {text.printable(ref.bck.cname(file.name))}")
    fail_if(_problems(sources), "the others can be put")


def _put_files(run: _Put, sources: list[Source], count: int, size_bytes: int) -> None:
    last_name = ""

    async def work(client: "Client") -> tuple[int, list[tuple[str, AisError]]]:
        kind = (await client.buckets.head(run.ref.bck)).checksum.type if run.compute_checksum else checksum.NONE

        async def put_one(file: File) -> None:
            nonlocal last_name
            last_name = file.name
            if run.chunk_size is not None and file.size > run.chunk_size:
                await _send_in_parts(client, run, file, run.chunk_size, bars)
                bars.finished_one()
                return
            body = FileBody(file.path)
            claim = run.claim if kind == checksum.NONE else Claim(kind, await _checksum(body, kind))
            await run.send(client, file.name, body, claim, bars)
            bars.finished_one()

        return await for_each(all_files(sources), put_one, min(run.workers, max(count, 1)), lambda file: file.path)

    from ais.client.body import FileBody
    from ais.client.objects import Claim

    with progress("PUT", wanted=run.wants_progress, quiet=run.quiet) as bars:
        bars.expect(count, size_bytes)
        done, failures = run.app.run(work, retries=run.retries)
    fail_if(failures + _problems(sources), f"{done} put into {run.ref.bck.cname()}")
    if not run.quiet:
        is_single = len(sources) == 1 and sources[0].is_single
        what = sources[0].text if is_single else text.count_of(done, "file")
        where = run.ref.bck.cname(last_name) if is_single else str(run.ref)
        click.echo(f"PUT {text.printable(what)} => {text.printable(where)} ({text.size(size_bytes)})")


async def _send_in_parts(client: "Client", run: _Put, file: File, chunk_bytes: int, bars: Progress) -> None:
    """Put a file in parts, one after another; what was begun and failed leaves nothing behind."""
    from ais.client.body import FileBody

    bck = run.ref.bck
    upload = await client.multipart.start(bck, file.name)
    try:
        numbers = range(1, -(-file.size // chunk_bytes) + 1)
        for number in numbers:
            body = FileBody(file.path, (number - 1) * chunk_bytes, chunk_bytes)
            await client.multipart.put_part(bck, file.name, upload, number, body, on_bytes=bars.moved)
        await client.multipart.complete(bck, file.name, upload, numbers)
    except BaseException:
        with contextlib.suppress(AisError):
            await client.multipart.abort(bck, file.name, upload)
        raise


def _problems(sources: list[Source]) -> list[tuple[str, AisError]]:
    return [problem for source in sources for problem in source.problems]


async def _checksum(body: "Body", kind: str) -> str:
    hasher = checksum.new_hasher(kind)
    assert hasher is not None
    async for piece in body.open(lambda _: None):
        hasher.update(piece)
    return hasher.hexdigest()
