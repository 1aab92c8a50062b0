"""`ais download`: files of web servers made objects by the targets."""

from pathlib import Path
from urllib.parse import quote, urlsplit

import click

from ais.api import codec
from ais.api.download import MULTI, RANGE, SINGLE, DownloadMsg, Limits
from ais.base import templates
from ais_cli.app import App
from ais_cli.download_show import wait_for_download
from ais_cli.params import BUCKET_OR_OBJECT, COUNT, DURATION, SIZE, Ref, already_so, examples, units_option

_HUGGING_FACE = "https://huggingface.co"
_STORES = {
    "s3": "https://{host}.s3.amazonaws.com/{path}",
    "gs": "https://storage.googleapis.com/{host}/{path}",
    "ais": "http://{host}/v1/objects/{path}",
}
"""Public objects of other stores by their URLs."""


@click.command(
    "download",
    epilog=examples(
        "ais download https://example.com/train.tar ais://data/train.tar --wait",
        "ais download 'https://example.com/shard-{000..099}.tar' ais://data/shards --progress",
        "ais download https://example.com ais://data --object-list names.txt",
        "ais download ais://data --hf-model bert-base-uncased --hf-file model.safetensors",
        "ais show job download JOB_ID",
    ),
)
@click.argument("words", nargs=-1, required=True, metavar="URL BUCKET[/NAME]")
@click.option("--object-list", "--from", "list_file", type=click.Path(exists=True, dir_okay=False),
              help="A JSON file: a list of names below URL or of links, or an object of names and links.")  # fmt: skip
@click.option("--description", "--desc", default="", help="What jobs are found by in lists.")
@click.option("--download-timeout", type=DURATION, help="Longest that one attempt at one file may take.")
@click.option("--max-conns", type=COUNT, default=0, help="Connections of each target at a time.")
@click.option("--limit-bph", type=SIZE, default=0, help="Bytes an hour of all targets together.")
@click.option("--progress", "with_progress", is_flag=True, help="Show a progress bar until the end.")
@click.option("--progress-interval", type=DURATION, help="How often to look how far it is.  [default: 0.2s to 5s]")
@click.option("--wait", "is_waiting", is_flag=True, help="Wait for the end; fail when a file could not be had.")
@click.option("--timeout", type=DURATION, help="Wait no longer than this; the job goes on.")
@click.option("--hf-model", help="Of Hugging Face: the model that --hf-file is of, instead of URL.")
@click.option("--hf-dataset", help="Of Hugging Face: the dataset that --hf-file is of, instead of URL.")
@click.option("--hf-file", help="The file.")
@click.option("--hf-revision", default="main", show_default=True, help="Its branch, tag or commit.")
@click.option("--hf-auth", help="A token of Hugging Face.")
@already_so("--non-verbose", "--nv")
@units_option
@click.pass_obj
def download(
    app: App,
    words: tuple[str, ...],
    list_file: str | None,
    description: str,
    download_timeout: float | None,
    max_conns: int,
    limit_bph: int,
    with_progress: bool,
    progress_interval: float | None,
    is_waiting: bool,
    timeout: float | None,
    hf_model: str | None,
    hf_dataset: str | None,
    hf_file: str | None,
    hf_revision: str,
    hf_auth: str | None,
) -> None:
    """Have the targets download files of web servers: one, a range like {000..099}, or a list.

    What is there already and has not changed is not downloaded again.
    """
    hf_link = _hugging_face(hf_model, hf_dataset, hf_file, hf_revision)
    given = (hf_link, *words) if hf_link else words
    if len(given) != 2:
        raise click.UsageError("expected URL BUCKET[/NAME]; write a range in quotes: 'https://.../f-{0..9}.tar'")
    to = BUCKET_OR_OBJECT.convert(given[1], None, click.get_current_context())
    limits = Limits(max_conns, limit_bph)
    headers: dict[str, str | list[str]] | None = {"Authorization": f"Bearer {hf_auth}"} if hf_auth else None
    message = _message(_link(given[0]), to, list_file, description, download_timeout, limits, headers)
    uuid = app.run(lambda client: client.downloads.start(message))
    click.echo(f"Started download job {uuid}. 'ais show job download {uuid}' shows how far it is.")
    if is_waiting or with_progress:
        wait_for_download(app, uuid, timeout_s=timeout, every_s=progress_interval, with_progress=with_progress)


def _hugging_face(model: str | None, dataset: str | None, file: str | None, revision: str) -> str:
    if not (model or dataset or file):
        return ""
    if bool(model) == bool(dataset) or not file:
        raise click.UsageError("name one --hf-model or --hf-dataset, and one of its files: --hf-file")
    repository = model or f"datasets/{dataset}"
    return f"{_HUGGING_FACE}/{quote(repository)}/resolve/{quote(revision, safe='')}/{quote(file)}"


def _link(link: str) -> str:
    """The HTTP link of what is named by a store's own URL."""
    parts = urlsplit(link)
    if parts.scheme not in _STORES:
        return link
    return _STORES[parts.scheme].format(host=parts.netloc, path=parts.path.lstrip("/"))


def _message(
    link: str,
    to: Ref,
    list_file: str | None,
    description: str,
    timeout_s: float | None,
    limits: Limits,
    headers: dict[str, str | list[str]] | None,
) -> DownloadMsg:
    bck, name = to.bck, to.name or ""
    objects: dict[str, str] | list[str] | None = None
    if list_file is not None:
        objects = _listed(link, name, list_file)
        kind = MULTI
    else:
        kind = RANGE if templates.has_range(link) else SINGLE
    if kind == SINGLE and name.endswith("/"):
        name += link.partition("?")[0].rpartition("/")[2]
    return DownloadMsg(
        type=kind,
        description=description,
        bucket=bck,
        timeout=f"{timeout_s:g}s" if timeout_s else "",
        limits=limits,
        headers=headers,
        link=link if kind == SINGLE else "",
        object_name=name if kind == SINGLE else "",
        template=link if kind == RANGE else "",
        subdir=name if kind == RANGE else "",
        objects=objects,
    )


def _listed(link: str, prefix: str, list_file: str) -> dict[str, str]:
    """Names and links of a file: what has no scheme is below `link`."""
    value = codec.parse_json(Path(list_file).read_bytes())
    if not isinstance(value, list | dict) or not all(isinstance(one, str) for one in _values(value)):
        raise click.UsageError(f"{list_file}: expected a JSON list of names, or an object of names and links")
    pairs = value.items() if isinstance(value, dict) else [(_name_of(one), one) for one in value]
    below, start = link.rstrip("/"), f"{prefix.rstrip('/')}/" if prefix else ""
    return {start + name: one if "://" in one else f"{below}/{one}" for name, one in pairs}


def _values(value: "list[object] | dict[str, object]") -> "list[object]":
    return list(value.values()) if isinstance(value, dict) else value


def _name_of(one: str) -> str:
    return urlsplit(one).path.rpartition("/")[2] if "://" in one else one
