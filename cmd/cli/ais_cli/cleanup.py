"""`ais storage cleanup`: have the targets remove what takes space and is of no use."""

from typing import TYPE_CHECKING

import click

from ais.api import xact
from ais.api.xact import ArgsMsg, Snap
from ais_cli import text
from ais_cli.app import App
from ais_cli.params import BUCKET, DURATION, Ref, already_so, examples, units_option
from ais_cli.waiting import wait_and_report

if TYPE_CHECKING:
    from ais.client.client import Client


@click.command(
    "cleanup",
    epilog=examples(
        "ais storage cleanup --wait                  all buckets",
        "ais storage cleanup ais://photos --dry-run  only tell what would go",
        "ais storage cleanup --quarantine            the damaged files that were kept, too",
    ),
)
@click.argument("bucket", type=BUCKET, required=False, metavar="[BUCKET]")
@click.option("--dry-run", is_flag=True, help="Count what would be removed, and remove nothing.")
@click.option("--keep-misplaced", is_flag=True, help="Leave objects that lie where they do not belong.")
@click.option("--rm-zero-size", is_flag=True, help="Refused: an object without content is an object.")
@click.option("--quarantine", is_flag=True, help="Also damaged files that were kept aside.")
@click.option("--wait", "is_waiting", is_flag=True, help="Return when all targets have finished, and tell what went.")
@click.option("--timeout", type=DURATION, help="With --wait: how long to wait, such as 5m.")
@already_so("--force", "-f")
@units_option
@click.pass_obj
def cleanup(
    app: App,
    bucket: Ref | None,
    dry_run: bool,
    keep_misplaced: bool,
    rm_zero_size: bool,
    quarantine: bool,
    is_waiting: bool,
    timeout: float | None,
) -> None:
    """Remove trash, forgotten work files, objects that are in their place as well, outdated copies and slices.

    What was changed lately stays: less than space.dont_cleanup_time ago.
    """
    asked = (
        (dry_run, xact.DRY_RUN),
        (keep_misplaced, xact.KEEP_MISPLACED),
        (rm_zero_size, xact.ZERO_SIZE),
        (quarantine, xact.WITH_QUARANTINE),
    )
    flags = sum(bit for is_wanted, bit in asked if is_wanted)
    args = ArgsMsg(kind=xact.CLEANUP, bck=bucket.bck if bucket else None, flags=flags)
    uuid = app.run(lambda client: client.jobs.start(args))
    if not (is_waiting or dry_run):
        click.echo(f"Started cleanup[{uuid}]. 'ais wait {uuid}' waits for it, 'ais show job {uuid}' tells what went.")
        return
    wait_and_report(app, uuid, timeout_s=timeout, quiet=True)

    async def result(client: "Client") -> list[Snap]:
        return [snap for snaps in (await client.jobs.snaps(uuid=uuid)).values() for snap in snaps]

    snaps = app.run(result)
    counts: dict[str, int] = {}
    for snap in snaps:
        for part in snap.ctlmsg.split():
            what, _, count = part.partition(":")
            if count.isdecimal() and what != "visits":
                counts[what] = counts.get(what, 0) + int(count)
    size = sum(snap.stats.loc_bytes for snap in snaps)
    removed = sum(snap.stats.loc_objs for snap in snaps)
    verb = "would be removed" if dry_run else "removed"
    click.echo(f"{text.count_of(removed, 'file')} {verb}, {text.size(size)}")
    for name, number in sorted(counts.items()):
        click.echo(f"   {name + ':':<14} {number:,}")
