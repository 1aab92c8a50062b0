"""`ais bucket lru`, `ais start lru`: eviction of what backends have, where space runs low."""

from typing import Any

import click

from ais.api import xact
from ais.api.xact import ArgsMsg
from ais_cli import props, text
from ais_cli.app import App
from ais_cli.params import BUCKET, Ref, examples, table_options
from ais_cli.waiting import follow, job_options


@click.command(
    "lru",
    epilog=examples("ais bucket lru s3://data", "ais bucket lru s3://data enable", "ais bucket lru s3://data disable"),
)
@click.argument("which", type=BUCKET, metavar="BUCKET")
@click.argument("change", required=False, type=click.Choice(("enable", "disable")))
@click.option("--enable", "change_too", flag_value="enable", help="The same as a word.")
@click.option("--disable", "change_too", flag_value="disable", hidden=True)
@table_options
@click.pass_obj
def bucket_lru(
    app: App, which: Ref, change: str | None, change_too: str | None, as_json: bool, no_headers: bool
) -> None:
    """Show, or switch, whether objects of a remote bucket are evicted when space runs low."""
    change = change or change_too
    if change is not None:
        app.run(lambda client: client.buckets.set_props(which.bck, {"lru": {"enabled": change == "enable"}}))
    found = app.run(lambda client: client.buckets.head(which.bck))
    if as_json:
        text.print_json(found.lru)
        return
    text.print_properties(text.select(props.readable(found), "lru"), headers=not no_headers)
    if found.lru.enabled and not found.has_backend:
        text.note(f"{which.bck.cname()} has no backend: nothing of it is ever evicted.")


@click.command("lru", epilog=examples("ais start lru", "ais start lru --buckets s3://data,s3://more --force --wait"))
@click.option("--buckets", help="Only these, separated by commas; else all that have a backend.")
@click.option("--force", "-f", is_flag=True, help="Also buckets whose lru.enabled is off.")
@job_options
@click.pass_obj
def start_lru(app: App, /, buckets: str | None, force: bool, **following: Any) -> None:
    """Evict the longest unused objects of remote buckets, where a disk is fuller than space.highwm."""
    named = [BUCKET.convert(one.strip(), None, None).bck for one in (buckets or "").split(",") if one.strip()]
    args = ArgsMsg(kind=xact.LRU, buckets=named or None, force=force)
    uuid = app.run(lambda client: client.jobs.start(args))
    follow(app, uuid, xact.LRU, **following)
