"""`ais bucket rechunk`: in which chunks the objects of a bucket are read."""

from typing import Any

import click

from ais.api import groups
from ais.api.groups import RechunkMsg
from ais_cli.app import App
from ais_cli.params import BUCKET_OR_OBJECT, SIZE, Ref, examples
from ais_cli.waiting import follow, job_options


@click.command(
    "rechunk",
    epilog=examples(
        "ais bucket rechunk ais://data --objsize-limit 1GiB --chunk-size 64MiB --wait",
        "ais bucket rechunk ais://data/large/ --objsize-limit 0      no chunks any more",
    ),
)
@click.argument("which", type=BUCKET_OR_OBJECT, metavar="BUCKET[/PREFIX]")
@click.option("--objsize-limit", type=SIZE, help="Objects of this size and above; 0: none.  [default: the bucket's]")
@click.option("--chunk-size", type=SIZE, help="Size of a chunk.  [default: the bucket's]")
@click.option("--prefix", default="", help="Only objects whose names begin with this.")
@click.option("--sync-remote", is_flag=True, help="Refused: a backend keeps its objects as they were uploaded.")
@job_options
@click.pass_obj
def rechunk(
    app: App,
    /,
    which: Ref,
    objsize_limit: int | None,
    chunk_size: int | None,
    prefix: str,
    sync_remote: bool,
    **following: Any,
) -> None:
    """Say in which chunks clients read large objects at the same time; files stay whole."""
    kept = app.run(lambda client: client.buckets.head(which.bck)).chunks
    message = RechunkMsg(
        kept.objsize_limit if objsize_limit is None else objsize_limit,
        kept.chunk_size if chunk_size is None else chunk_size,
        which.name + prefix,
        sync_remote,
    )
    uuid = app.run(lambda client: client.buckets.start_group(which.bck, groups.RECHUNK, message))
    follow(app, uuid, groups.RECHUNK, **following)
