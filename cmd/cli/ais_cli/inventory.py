"""`ais nbi`: inventories of remote buckets, by which these are listed without asking the backend."""

from datetime import UTC, datetime
from typing import Any

import click

from ais.api import inventory
from ais.api.inventory import CreateMsg
from ais_cli import text
from ais_cli.app import App
from ais_cli.listing import parse_what
from ais_cli.params import BUCKET, Ref, already_so, examples, table_options
from ais_cli.text import Column
from ais_cli.waiting import follow, job_options

_COLUMNS = (
    Column("BUCKET"),
    Column("NAME"),
    Column("SIZE", is_number=True),
    Column("OBJECTS", is_number=True),
    Column("STARTED"),
    Column("FINISHED"),
    Column("PREFIX"),
)
_MORE = (
    Column("OBJECT"),
    Column("CHUNKS", is_number=True),
    Column("TARGETS", is_number=True),
    Column("SMAP"),
)
_name_option = click.option("--inv-name", default="", help="Name of the inventory.")


@click.group("nbi")
def nbi() -> None:
    """Make, show and remove inventories of remote buckets, to list these by."""


@nbi.command(
    epilog=examples(
        "ais nbi create s3://data --wait",
        "ais nbi create s3://data --prefix images/ --inv-name images --force",
        "ais ls s3://data --inventory",
    )
)
@click.argument("bucket", type=BUCKET)
@_name_option
@click.option("--prefix", default="", help="Only objects whose names begin with this.")
@click.option("--names-per-chunk", type=int, default=0, help="Names that are read at once.  [default: 20000]")
@click.option("--force", "-f", is_flag=True, help="Remove the inventory there is before.")
@job_options
@already_so("--all", "--name-only")
@click.pass_obj
def create(
    app: App, /, bucket: Ref, inv_name: str, prefix: str, names_per_chunk: int, force: bool, **following: Any
) -> None:
    """Make an inventory: a job lists the bucket once."""
    message = CreateMsg(prefix=prefix, name=inv_name, names_per_chunk=names_per_chunk, force=force)
    uuid = app.run(lambda client: client.buckets.create_inventory(bucket.bck, message))
    follow(app, uuid, inventory.CREATE, f"for {bucket.bck.cname()}", **following)


@nbi.command("rm", epilog=examples("ais nbi rm s3://data"))
@click.argument("bucket", type=BUCKET)
@_name_option
@click.pass_obj
def remove(app: App, bucket: Ref, inv_name: str) -> None:
    """Remove the inventory of a bucket."""
    app.run(lambda client: client.buckets.destroy_inventory(bucket.bck, inv_name))
    click.echo(f"Removed inventory{f' {inv_name}' if inv_name else ''} of {bucket.bck.cname()}")


@nbi.command(epilog=examples("ais nbi show", "ais nbi show s3:", "ais nbi show s3://data --verbose"))
@click.argument("what", default="", metavar="[PROVIDER|BUCKET]")
@_name_option
@click.option("--verbose", "-v", is_flag=True, help="Also the object it is kept in, and how it was made.")
@table_options
@click.pass_obj
def show(app: App, what: str, inv_name: str, verbose: bool, as_json: bool, no_headers: bool) -> None:
    """Show the inventories there are."""
    provider, _, ref = parse_what(what)
    bck = ref.bck if ref is not None else None
    found = app.run(lambda client: client.buckets.inventories(bck, inv_name, provider))
    if as_json:
        text.print_json(found)
        return
    rows = []
    for one in found:
        times = [_time(one.started), _time(one.finished)]
        row = [one.bucket, one.name, text.size(one.size), str(one.ntotal), *times, one.prefix or text.NONE]
        more = [one.obj_name, str(one.chunks), str(one.nat), f"v{one.smap_ver}"]
        rows.append(row + (more if verbose else []))
    if rows:
        text.print_table((*_COLUMNS, *(_MORE if verbose else ())), rows, headers=not no_headers)
    else:
        text.note(f"No inventory. 'ais nbi create {what if ref is not None else 's3://BUCKET'}' makes one.")


def _time(ns: int) -> str:
    return datetime.fromtimestamp(ns / 1e9, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
