"""`ais blob-download`, `ais advanced enable-backend`: large objects of a backend, and the backends themselves."""

from typing import Any

import click

from ais.api import blob
from ais.api.blob import BlobMsg
from ais_cli import text
from ais_cli.app import App
from ais_cli.params import BUCKET_OR_OBJECT, SIZE, Ref, already_so, examples
from ais_cli.waiting import follow, job_options


@click.command(
    blob.KIND,
    epilog=examples(
        "ais start blob-download s3://data/large.tar --wait",
        "ais start blob-download s3://data --list one.tar,two.tar --chunk-size 16MiB --num-workers 8",
    ),
)
@click.argument("source", type=BUCKET_OR_OBJECT, metavar="BUCKET[/OBJECT]")
@click.option("--list", "names", help="These objects of the bucket, separated by commas; a job for each.")
@click.option("--chunk-size", type=SIZE, default=0, help="Of a part.  [default: 4MiB]")
@click.option("--num-workers", type=int, default=0, help="Parts at a time.  [default: 4]")
@click.option("--latest", is_flag=True, help="Compare what is here with the backend, and fetch what has changed.")
@job_options
@already_so("--encode-objname")
@click.pass_obj
def blob_download(
    app: App,
    /,
    source: Ref,
    names: str | None,
    chunk_size: int,
    num_workers: int,
    latest: bool,
    **following: Any,
) -> None:
    """Fetch a large object of a remote bucket in parts, several at a time; goes on after a restart."""
    wanted = [source.name] if source.name else [one.strip() for one in (names or "").split(",") if one.strip()]
    if not wanted or (source.name and names):
        raise click.UsageError("name one object, as BUCKET/OBJECT, or several of a bucket with --list")
    message = BlobMsg(chunk_size=chunk_size, workers=num_workers, latest=latest)

    started = []
    for name in wanted:
        uuid = app.run(lambda client, name=name: client.buckets.blob_download(source.bck, name, message))  # type: ignore[misc]
        if not uuid:
            click.echo(f"{source.bck.cname(name)} already downloaded, nothing to do")
            continue
        started.append((uuid, name))
    for uuid, name in started:
        follow(app, uuid, blob.KIND, f"for {source.bck.cname(name)}", **following)


@click.command("enable-backend", epilog=examples("ais advanced enable-backend aws"))
@click.argument("provider", metavar="PROVIDER")
@click.pass_obj
def enable(app: App, provider: str) -> None:
    """Serve the buckets of a provider again."""
    app.run(lambda client: client.cluster.switch_backend(provider, on=True))
    click.echo(f"{provider} is enabled")


@click.command("disable-backend", epilog=examples("ais advanced disable-backend aws"))
@click.argument("provider", metavar="PROVIDER")
@click.pass_obj
def disable(app: App, provider: str) -> None:
    """Refuse what needs a provider; what is in the cluster stays readable."""
    app.run(lambda client: client.cluster.switch_backend(provider, on=False))
    click.echo(f"{provider} is disabled")
    text.note(f"'ais advanced enable-backend {provider}' enables it again.")
