"""Counts and sizes of buckets."""

from collections.abc import Sequence

from ais.api.bucket import Bck
from ais.api.summary import BsummResult
from ais_cli import text
from ais_cli.app import App
from ais_cli.text import Column

_COLUMNS = (
    Column("NAME"),
    Column("PRESENT"),
    Column("OBJECTS", is_number=True),
    Column("SIZE (apparent)", is_number=True),
    Column("SIZE (on disk)", is_number=True),
    Column("USAGE(%)", is_number=True),
)
_REMOTE_COLUMNS = (Column("OBJECTS (backend)", is_number=True), Column("SIZE (backend)", is_number=True))


def print_summaries(
    app: App, bck: Bck | None, prefix: str, *, as_json: bool, no_headers: bool, with_remote: bool = False
) -> None:
    """Fetch and print the summary of a bucket, or of all; `with_remote`: also what backends have."""
    results = app.run(lambda client: client.buckets.summary(bck, prefix, with_remote=with_remote))
    print_results(results, as_json=as_json, no_headers=no_headers, with_remote=with_remote)


def print_results(
    results: Sequence[BsummResult], *, as_json: bool, no_headers: bool, with_remote: bool = False
) -> None:
    """Print summaries."""
    if as_json:
        text.print_json(results)
    elif not results:
        text.note("No buckets yet. Create one: ais create ais://NAME")
    else:
        columns = _COLUMNS + (_REMOTE_COLUMNS if with_remote else ())
        rows = [_summary_row(one)[: len(columns)] for one in results]
        text.print_table(columns, rows, headers=not no_headers)


def bucket_of(result: BsummResult) -> Bck:
    """The bucket a summary is about."""
    return Bck(result.name, result.provider, result.namespace)


def _summary_row(one: BsummResult) -> list[str]:
    total = one.TotalSize
    return [
        bucket_of(one).cname(),
        "yes" if one.is_present else "no",
        f"{one.ObjCount.obj_count_present:,}",
        text.size(total.size_all_present_objs),
        text.size(total.size_on_disk),
        f"{one.used_pct}%",
        f"{one.ObjCount.obj_count_remote:,}",
        text.size(total.size_all_remote_objs),
    ]
