"""`ais start warm-up-metadata`: have the metadata of a bucket in memory."""

from typing import Any

import click

from ais.api import xact
from ais.api.xact import ArgsMsg
from ais_cli.app import App
from ais_cli.params import BUCKET, Ref, examples
from ais_cli.waiting import follow, job_options


@click.command("warm-up-metadata", epilog=examples("ais start warm-up-metadata ais://data --wait"))
@click.argument("bucket", type=BUCKET)
@job_options
@click.pass_obj
def warm_up_metadata(app: App, /, bucket: Ref, **following: Any) -> None:
    """Read the metadata of all objects of a bucket, so that the first read of each waits for its content only."""
    args = ArgsMsg(kind=xact.LOAD_METADATA, bck=bucket.bck)
    uuid = app.run(lambda client: client.jobs.start(args))
    follow(app, uuid, xact.LOAD_METADATA, str(bucket), **following)
