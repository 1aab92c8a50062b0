"""Waiting for jobs, and how far they are."""

import asyncio
import time
from typing import TYPE_CHECKING

import click

from ais.api import xact
from ais.api.bucket import Bck
from ais.api.xact import Snap, Status
from ais.base.units import Duration
from ais_cli import text
from ais_cli.app import App

if TYPE_CHECKING:
    from ais.client.client import Client


def progress_of(snap: Snap) -> str:
    """How much is done and how long the rest will take at the speed so far: `45%, 2m10s left`."""
    if not isinstance(snap.progress, xact.Progress) or not snap.progress.total:
        return text.NONE
    done, total = snap.progress.done, snap.progress.total
    share = f"{100 * done // total}%"
    elapsed_s = time.time() - xact.time_ns_of(snap.start_time) / 1e9
    if not done or elapsed_s <= 0:
        return share
    return f"{share}, {Duration(int(elapsed_s * (total - done) / done))} left"


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
        shares = [progress_of(snap) for snap in snaps if progress_of(snap) != text.NONE]
        share = f", {min(shares)}" if shares else ""
        text.note(f"{text.count_of(done, 'object')}, {text.size(size)}{share}")
