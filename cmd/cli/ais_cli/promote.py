"""`ais object promote`: files on the targets' disks made objects."""

import click

from ais.api.promotion import PromoteMsg
from ais_cli.app import App
from ais_cli.params import BUCKET_OR_OBJECT, NODE, Ref, already_so, examples
from ais_cli.waiting import wait_and_report


@click.command(
    "promote",
    epilog=examples(
        "ais object promote /var/lib/ais/promote/cat.jpg ais://photos/cat.jpg",
        "ais object promote /var/lib/ais/promote/2024 ais://photos/2024/ -r --wait",
        "ais object promote /var/lib/ais/promote/scratch ais://photos -r --target-id t[NODE_ID] --delete-src",
    ),
)
@click.argument("path", metavar="FILE|DIRECTORY")
@click.argument("to", type=BUCKET_OR_OBJECT)
@click.option("--recursive", "-r", is_flag=True, help="With all that is below the directory.")
@click.option("--overwrite-dst", "-o", "overwrite", is_flag=True, help="Replace objects that are there.")
@click.option("--delete-src", "delete", is_flag=True, help="Delete each file once it is an object on the disk.")
@click.option("--not-file-share", is_flag=True, help="Each target has files of its own there; do not find out.")
@click.option("--target-id", type=NODE, help="Only what this target has there.")
@click.option("--wait", "is_waiting", is_flag=True, help="Wait until all are objects.")
@already_so("--skip-lookup")
@already_so("--verbose", "-v")
@click.pass_obj
def promote(
    app: App,
    path: str,
    to: Ref,
    recursive: bool,
    overwrite: bool,
    delete: bool,
    not_file_share: bool,
    target_id: str | None,
    is_waiting: bool,
) -> None:
    """Make objects of files that are on the targets' own disks, below promote_roots of their configuration."""
    message = PromoteMsg(target_id or "", path, to.name or "", recursive, overwrite, delete, not_file_share)
    uuid = app.run(lambda client: client.objects.promote(to.bck, message))
    if not uuid:
        click.echo(f"Promoted {path} to {to}")
        return
    click.echo(f"Started promote-files[{uuid}] of {path} to {to}. 'ais wait {uuid}' waits for it.")
    if is_waiting:
        wait_and_report(app, uuid)
