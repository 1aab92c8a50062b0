"""`ais storage quarantine`: the damaged files that scrubs and repairs have kept."""

import click

from ais_cli import text
from ais_cli.app import App
from ais_cli.params import examples, table_options, units_option
from ais_cli.text import Column

_KINDS = {"%ob": "object", "%cp": "copy", "%ec": "slice"}
_COLUMNS = (
    Column("TARGET"),
    Column("BUCKET"),
    Column("OBJECT"),
    Column("KIND"),
    Column("SIZE", is_number=True),
    Column("SINCE"),
    Column("REASON"),
    Column("PATH"),
)


@click.command("quarantine", epilog=examples("ais storage quarantine", "ais storage cleanup --quarantine    empty it"))
@units_option
@table_options
@click.pass_obj
def quarantine(app: App, as_json: bool, no_headers: bool) -> None:
    """Show the damaged files that were kept when something good took their place."""
    found = app.run(lambda client: client.cluster.quarantine())
    if as_json:
        text.print_json(found)
        return
    rows = [
        [
            f"t[{target}]",
            one.get("bucket", ""),
            text.printable(one.get("name", "")) or text.NONE,
            _KINDS.get(one.get("content", ""), text.NONE),
            text.size(int(one.get("size", 0))),
            text.moment(int(one.get("time_ns", 0))),
            one.get("reason", ""),
            one.get("path", ""),
        ]
        for target, files in sorted(found.items())
        for one in files
    ]
    if rows:
        text.print_table(_COLUMNS, rows, headers=not no_headers)
    else:
        text.note("No damaged file is kept.")
