"""`ais bucket shard-index`: indexes by which one file of a shard is found without reading those before it."""

from typing import TYPE_CHECKING, Any

import click

from ais.api import groups
from ais.api.bucket import Bck
from ais.api.groups import IndexMsg
from ais.api.shard_summary import ShardSummary
from ais_cli import text
from ais_cli.app import App
from ais_cli.params import BUCKET_OR_OBJECT, Ref, examples, table_options, units_option
from ais_cli.repeat import refreshing
from ais_cli.text import Column
from ais_cli.waiting import follow, job_options

if TYPE_CHECKING:
    from ais.client.client import Client

_COLUMNS = (
    Column("BUCKET"),
    Column("TAR OBJECTS", is_number=True),
    Column("TAR SIZE", is_number=True),
    Column("SHARDS", is_number=True),
    Column("SHARD SIZE", is_number=True),
    Column("NOT INDEXED", is_number=True),
    Column("ARCHIVED OBJECTS", is_number=True),
    Column("STALE", is_number=True),
    Column("INVALID", is_number=True),
)


@click.group("shard-index")
def shard_index() -> None:
    """Make indexes of the shards of a bucket (tar and zip), and tell how many have one."""


@shard_index.command(
    epilog=examples(
        "ais bucket shard-index build ais://data --prefix shards/ --wait",
        "ais bucket shard-index build ais://data/shards/",
    )
)
@click.argument("which", type=BUCKET_OR_OBJECT, metavar="BUCKET[/PREFIX]")
@click.option("--prefix", default="", help="Only shards whose names begin with this.")
@click.option(
    "--num-workers", type=int, default=0, help="Shards that a target reads at a time; 0: as many as it likes."
)
@click.option(
    "--skip-verify", is_flag=True, help="Leave every shard that has an index, without a look at whether it holds."
)
@click.option("--non-recursive", "--nr", is_flag=True, help="Not what lies below another `/`.")
@job_options
@click.pass_obj
def build(
    app: App,
    /,
    which: Ref,
    prefix: str,
    num_workers: int,
    skip_verify: bool,
    non_recursive: bool,
    **following: Any,
) -> None:
    """Index every shard that has no index, or one of an earlier content."""
    message = IndexMsg(which.name + prefix, num_workers, skip_verify, non_recursive)
    uuid = app.run(lambda client: client.buckets.start_group(which.bck, groups.INDEX, message))
    follow(app, uuid, groups.INDEX, **following)


@shard_index.command(epilog=examples("ais bucket shard-index summary ais://data --prefix shards/"))
@click.argument("which", type=BUCKET_OR_OBJECT, metavar="BUCKET[/PREFIX]")
@click.option("--prefix", default="", help="Only shards whose names begin with this.")
@units_option
@table_options
@refreshing
@click.pass_obj
def summary(app: App, which: Ref, prefix: str, as_json: bool, no_headers: bool) -> None:
    """Tell how many shards have an index that holds."""

    async def work(client: "Client") -> ShardSummary:
        return await client.buckets.shard_summary(which.bck, which.name + prefix)

    found = app.run(work)
    if as_json:
        text.print_json(found)
        return
    text.print_table(_COLUMNS, [_row(which.bck, found)], headers=not no_headers)


def _row(bck: Bck, found: ShardSummary) -> list[str]:
    return [
        bck.cname(),
        f"{found.tar_objects:,}",
        text.size(found.tar_size),
        f"{found.shards:,}",
        text.size(found.shard_size),
        f"{found.tar_objects - found.shards:,}",
        f"{found.archived_objects:,}",
        f"{found.stale:,}",
        f"{found.invalid:,}",
    ]
