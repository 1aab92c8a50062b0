"""`ais archive gen-shards`: shards of random files, to try things with."""

import io
import os
import tarfile
import zipfile
from typing import TYPE_CHECKING

import click

from ais.base import templates
from ais.base.errors import AisError
from ais_cli.app import App, confirm, fail_if, for_each
from ais_cli.params import BUCKET_OR_OBJECT, SIZE, WORKERS, CountType, Ref, examples, yes_option
from ais_cli.progress import progress

if TYPE_CHECKING:
    from ais.client.client import Client

EXTENSIONS = (".tar.lz4", ".tar.gz", ".tgz", ".tar", ".zip")
_FORMATS = {
    "Unknown": tarfile.DEFAULT_FORMAT,
    "USTAR": tarfile.USTAR_FORMAT,
    "PAX": tarfile.PAX_FORMAT,
    "GNU": tarfile.GNU_FORMAT,
}


@click.command(
    "gen-shards",
    epilog=examples(
        "ais archive gen-shards 'ais://data/shard-{000..099}.tar'",
        "ais archive gen-shards 'ais://data/shard-{0..9}.tgz' --fcount 10 --fsize 1MiB --fext '.jpg,.cls'",
    ),
)
@click.argument("ref", type=BUCKET_OR_OBJECT, metavar="BUCKET/TEMPLATE.EXT")
@click.option("--fcount", type=CountType(1), default=5, help="Files in each shard.  [default: 5]")
@click.option("--fsize", type=SIZE, default="1024", help="Size of each file.  [default: 1024]")
@click.option("--fext", default=".test", help="How their names end; of several, separated by commas, there is each.")
@click.option("--output-template", help="Their names, by a range such as 'audio-{01..10}.wav'.")
@click.option("--tform", type=click.Choice(tuple(_FORMATS)), default="Unknown", help="The TAR format.")
@click.option("--num-workers", type=CountType(1, 256), default=WORKERS, help="Shards made at the same time.")
@click.option("--cleanup", is_flag=True, help="Remove the bucket with all that is in it first, and make it again.")
@yes_option
@click.pass_obj
def gen_shards(
    app: App,
    ref: Ref,
    fcount: int,
    fsize: int,
    fext: str,
    output_template: str | None,
    tform: str,
    num_workers: int,
    cleanup: bool,
    yes: bool,
) -> None:
    """Make shards of random files."""
    from ais.client.body import BytesBody

    extension = next((one for one in EXTENSIONS if ref.name.endswith(one)), None)
    if extension is None:
        raise click.UsageError(f'"{ref.name}" is no shard: its name ends with one of {", ".join(EXTENSIONS)}')
    shards = templates.parse(ref.name) if templates.has_range(ref.name) else (ref.name,)
    inner = _names(fcount, [one.strip() for one in fext.split(",") if one.strip()], output_template)

    async def work(client: "Client") -> tuple[int, list[tuple[str, AisError]]]:
        if not await client.buckets.exists(ref.bck):
            await client.buckets.create(ref.bck)
        elif cleanup:
            confirm(f"Remove {ref.bck.cname()} and everything in it?", yes=yes)
            await client.buckets.destroy(ref.bck)
            await client.buckets.create(ref.bck)
        bars.expect(len(shards), 0)

        async def make(name: str) -> None:
            content = _shard(extension, inner, fsize, _FORMATS[tform])
            await client.objects.put(ref.bck, name, BytesBody(content), on_bytes=bars.moved)
            bars.finished_one()

        return await for_each(shards, make, num_workers, str)

    with progress("shards", wanted=None, quiet=False) as bars:
        done, failures = app.run(work)
    fail_if(failures, f"{done} shards made")
    click.echo(f"Shards created: {done}/{len(shards)}")


def _names(count: int, extensions: list[str], template: str | None) -> list[str]:
    if template is not None:
        named = list(templates.parse(template))
        if len(named) < count:
            raise click.UsageError(f"--output-template names {len(named)} files, --fcount asks for {count}")
        return named[:count]
    return [f"{number:06d}{extension}" for number in range(count) for extension in extensions][
        : count * len(extensions)
    ]


def _shard(extension: str, names: list[str], size_bytes: int, tar_format: int) -> bytes:
    buffer = io.BytesIO()
    if extension == ".zip":
        with zipfile.ZipFile(buffer, "w") as archive:
            for name in names:
                archive.writestr(name, os.urandom(size_bytes))
        return buffer.getvalue()
    with tarfile.open(fileobj=buffer, mode="w:gz" if "gz" in extension else "w", format=tar_format) as archive:
        for name in names:
            info = tarfile.TarInfo(name)
            info.size = size_bytes
            archive.addfile(info, io.BytesIO(os.urandom(size_bytes)))
    if extension == ".tar.lz4":
        import lz4.frame

        return bytes(lz4.frame.compress(buffer.getvalue()))
    return buffer.getvalue()
