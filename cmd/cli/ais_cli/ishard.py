"""`ais archive shards`: shards of loose objects, the files of a sample together, as AIStore's ishard makes them."""

from typing import TYPE_CHECKING

import click

from ais.api.archive import ArchiveMsg
from ais.base.errors import AisError, BadRequest
from ais.base.units import Size
from ais_cli import samples, text
from ais_cli.app import App, fail_if, for_each
from ais_cli.gen_shards import EXTENSIONS
from ais_cli.params import BUCKET_OR_OBJECT, Ref, examples
from ais_cli.progress import progress
from ais_cli.selection import Selection, selected

if TYPE_CHECKING:
    from ais.client.client import Client

JOBS = 16
"""Shards that are made at a time."""


@click.command(
    "shards",
    epilog=examples(
        "ais archive shards ais://images 'ais://shards/train-{000000..999999}.tar' --shard-size 256MiB",
        "ais archive shards ais://images/val/ ais://shards/val-%06d.tar --shard-size 1000 --exts .jpg,.json",
    ),
)
@click.argument("source", type=BUCKET_OR_OBJECT, metavar="BUCKET[/PREFIX]")
@click.argument("shards", type=BUCKET_OR_OBJECT, metavar="BUCKET/TEMPLATE.EXT")
@click.option("--shard-size", default="64MiB", show_default=True, help="Bytes of a shard, or without a unit: samples.")
@click.option(
    "--key",
    default="base_file_name",
    show_default=True,
    help="What the objects of a sample have in common: base_file_name, full_name, collapse_all_dir, or the group of"
    " a regular expression.",
)
@click.option("--sort", "order", default="", help="Order of the samples: alpha:inc, alpha:dec, shuffle, shuffle:SEED.")
@click.option("--exts", default="", help="The extensions that a sample has, such as .jpg,.json.")
@click.option(
    "--missing",
    type=click.Choice(samples.REACTIONS),
    default="ignore",
    show_default=True,
    help="When a sample lacks one; exclude: leave it out, and all files with other extensions.",
)
@click.option("--dry-run", is_flag=True, help="Show what would be in which shard, and change nothing.")
@click.pass_obj
def make_shards(
    app: App, source: Ref, shards: Ref, shard_size: str, key: str, order: str, exts: str, missing: str, dry_run: bool
) -> None:
    """Make shards of the objects of a bucket; the files of one sample stay together."""
    from ais.dsort.names import ShardNames

    if not shards.name.endswith(EXTENSIONS):
        raise click.UsageError(f'"{shards.name}" names no shards: it ends with one of {", ".join(EXTENSIONS)}')
    names = ShardNames(shards.name)
    limit = {"count": int(shard_size)} if shard_size.isdecimal() else {"size": int(Size.parse(shard_size))}
    if not any(limit.values()):
        raise click.UsageError("--shard-size is at least one sample or byte")
    key_of = samples.key_of(key)
    samples.in_order([], order)
    extensions = [one.strip() for one in exts.split(",") if one.strip()]

    async def find(client: "Client") -> list[samples.Sample]:
        selection = Selection(source.bck, prefix=source.name)
        return samples.samples([one async for one in selected(client, selection)], key_of)

    found = samples.in_order(samples.complete(app.run(find), extensions, missing, text.note), order)
    plan = list(samples.packed(found, **limit))
    if not plan:
        raise click.ClickException(f"no samples in {source}")
    if names.count is not None and len(plan) > names.count:
        raise BadRequest(f"{len(plan)} shards are needed, and {shards.name} names {names.count}")
    layout = list(zip(names, plan, strict=False))
    if dry_run:
        text.note("[DRY RUN] nothing is changed")
        for name, inside in layout:
            click.echo(f"{text.printable(name)}: {len(inside)} samples, {text.size(sum(one.size for one in inside))}")
        return

    async def work(client: "Client") -> tuple[int, list[tuple[str, AisError]]]:
        if not await client.buckets.exists(shards.bck):
            await client.buckets.create(shards.bck)
        bars.expect(len(layout), sum(one.size for one in found))

        async def make(one: tuple[str, list[samples.Sample]]) -> None:
            name, inside = one
            objects = [item.name for sample in inside for item in sample.objects]
            uuid = await client.shards.archive(source.bck, ArchiveMsg(name, shards.bck, names=objects))
            status = await client.jobs.wait(uuid)
            if status.aborted or status.err:
                raise BadRequest(status.err or f"job {uuid} was aborted")
            bars.moved(sum(sample.size for sample in inside))
            bars.finished_one()

        return await for_each(layout, make, JOBS, lambda one: one[0])

    with progress("shards", wanted=None, quiet=False) as bars:
        done, failures = app.run(work)
    fail_if(failures, f"{done} shards made")
    click.echo(f"{done} shards of {len(found)} samples => {shards.bck.cname()}")
