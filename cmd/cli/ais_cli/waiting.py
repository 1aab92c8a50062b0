"""Starting jobs, waiting for them, and how far they are."""

import asyncio
from collections.abc import Iterable
from fractions import Fraction
from operator import itemgetter
from typing import TYPE_CHECKING

import click

from ais.api import xact
from ais.api.bucket import Bck
from ais.api.xact import Snap, Status
from ais.base.units import Duration
from ais_cli import text
from ais_cli.app import App
from ais_cli.params import DURATION, F, refresh_option

if TYPE_CHECKING:
    from ais.client.client import Client


def progress_of(snap: Snap) -> str:
    """How much is done and how long the rest will take: `45%, 2m10s left`."""
    if (share := _share(snap)) is None or not isinstance(snap.progress, xact.Progress):
        return text.NONE
    told, left_s = f"{int(100 * share)}%", snap.progress.left_s
    return f"{told}, {Duration(int(left_s))} left" if isinstance(left_s, float) else told


def least_progress(snaps: Iterable[Snap]) -> str:
    """`progress_of` the target that has the least done of its part; empty when none knows how much there is."""
    known = [(share, snap) for snap in snaps if (share := _share(snap)) is not None]
    return progress_of(min(known, key=itemgetter(0))[1]) if known else ""


def _share(snap: Snap) -> Fraction | None:
    """What is done of the whole; None: nobody knows."""
    found = snap.progress
    return Fraction(found.done, found.total) if isinstance(found, xact.Progress) and found.total else None


_TOLD_EVERY_S = 1.0


def job_options(command: F) -> F:
    """`--wait`, `--timeout`, `--progress`, `--non-verbose` of a command that starts a job: what `follow` takes."""
    for option in (
        click.option("--non-verbose", "--nv", "only_id", is_flag=True, help="Print nothing but the job's ID."),
        refresh_option,
        click.option("--progress", is_flag=True, help="Wait, and tell on stderr how far it is."),
        click.option("--timeout", type=DURATION, help="Wait, but no longer than this, such as 5m."),
        click.option("--wait", "is_waiting", is_flag=True, help="Return when the job has ended."),
    ):
        command = option(command)
    return command


def follow(
    app: App,
    uuid: str,
    kind: str,
    about: str = "",
    *,
    is_waiting: bool,
    timeout: float | None,
    progress: bool,
    only_id: bool,
) -> None:
    """Say that a job was started, and wait for it if asked."""
    is_waiting = is_waiting or progress or timeout is not None
    if only_id:
        click.echo(uuid)
    else:
        hint = "" if is_waiting else f" 'ais wait {uuid}' waits for it, 'ais show job {uuid}' tells how far it is."
        click.echo(f"Started {xact.DISPLAY_NAME.get(kind, kind)}[{uuid}]{about and ' ' + about}.{hint}")
    if is_waiting:
        told_s = _TOLD_EVERY_S if progress else None
        wait_and_report(app, uuid, kind=kind, timeout_s=timeout, progress_s=told_s, quiet=only_id)


def wait_and_report(
    app: App,
    uuid: str,
    *,
    kind: str = "",
    bck: Bck | None = None,
    timeout_s: float | None = None,
    progress_s: float | None = None,
    quiet: bool = False,
) -> None:
    """Wait for a job and say how it ended; a job that failed ends the command with an error.

    `progress_s`: how often to say on stderr how far it is.
    """

    async def work(client: "Client") -> Status:
        telling = asyncio.create_task(_tell(client, uuid, kind, bck, progress_s)) if progress_s else None
        try:
            return await client.jobs.wait(uuid, kind=kind, bck=bck, timeout_s=timeout_s)
        finally:
            if telling is not None:
                telling.cancel()

    status = app.run(work)
    name = f"{xact.DISPLAY_NAME.get(status.kind, status.kind)}[{status.uuid}]"
    if status.aborted:
        raise click.ClickException(f"{name} was aborted" + (f": {status.err}" if status.err else ""))
    if status.err:
        raise click.ClickException(f"{name} failed: {status.err}")
    if not quiet:
        click.echo(f"{name} finished")


async def _tell(client: "Client", uuid: str, kind: str, bck: Bck | None, every_s: float) -> None:
    while True:
        await asyncio.sleep(every_s)
        found = await client.jobs.snaps(uuid=uuid, kind=kind, bck=bck, node="", running_only=True)
        snaps = [snap for snaps in found.values() for snap in snaps]
        done, size = (sum(getattr(snap.stats, one) for snap in snaps) for one in ("loc_objs", "loc_bytes"))
        slowest = least_progress(snaps)
        text.note(f"{text.count_of(done, 'object')}, {text.size(size)}{slowest and ', ' + slowest}")
