"""How far download jobs are: `ais show job download`, waiting for one, forgetting those that have ended."""

import asyncio
from typing import TYPE_CHECKING

import click

from ais.api.download import RUNNING, File, JobInfo, JobStatus
from ais.base.errors import NotReady, TooSlow, Unreachable
from ais_cli import text
from ais_cli.app import App
from ais_cli.forgetting import forget, forgetting
from ais_cli.params import matches
from ais_cli.progress import Progress, progress
from ais_cli.text import Column

if TYPE_CHECKING:
    from ais.client.client import Client

_POLL_S, _POLL_S_MAX = 0.2, 5.0
_ERRORS_SHOWN = 10
_COLUMNS = (
    Column("JOB ID"),
    Column("STATUS"),
    Column("FILES", is_number=True),
    Column("ERRORS", is_number=True),
    Column("SKIPPED", is_number=True),
    Column("DESCRIPTION"),
)


def wait_for_download(
    app: App, uuid: str, *, timeout_s: float | None, every_s: float | None, with_progress: bool, quiet: bool = False
) -> None:
    """Wait for the end. A job that was stopped or has errors ends the command with an error."""

    async def ended(client: "Client") -> JobStatus:
        with progress("download", wanted=True if with_progress else None, quiet=not with_progress) as bar:
            told = _Told(bar)
            delay_s = every_s or _POLL_S
            while True:
                try:
                    status = await client.downloads.status(uuid, only_active=not with_progress)
                except (NotReady, Unreachable):  # it restarts: ask again
                    pass
                else:
                    told.tell(status)
                    if status.finished_time != RUNNING:
                        return await client.downloads.status(uuid)
                await asyncio.sleep(delay_s)
                delay_s = every_s or min(delay_s * 1.5, _POLL_S_MAX)

    async def work(client: "Client") -> JobStatus:
        try:
            async with asyncio.timeout(timeout_s):
                return await ended(client)
        except TimeoutError:
            raise TooSlow(f"download job {uuid} still runs after {timeout_s:g} s; it goes on") from None

    _report(app.run(work), quiet=quiet)


class _Told:
    """What a progress bar was told so far."""

    def __init__(self, bar: Progress) -> None:
        self._bar = bar
        self._files = self._size = self._received = self._done = 0

    def tell(self, status: JobStatus) -> None:
        shown = [*status.finished_tasks, *status.current_tasks]
        size = sum(max(int(one.downloaded), _total(one)) for one in shown)
        received = sum(int(one.downloaded) for one in shown)
        self._bar.expect(status.total - self._files, size - self._size)
        self._bar.moved(received - self._received)
        for _ in range(status.finished_cnt - self._done):
            self._bar.finished_one()
        self._files, self._size, self._received, self._done = status.total, size, received, status.finished_cnt


def _total(one: File) -> int:
    return int(one.total) if isinstance(one.total, int) else 0


def _report(status: JobStatus, *, quiet: bool) -> None:
    for error in status.errors[:_ERRORS_SHOWN]:
        click.echo(f"{click.style('failed', fg='red')} {text.printable(f'{error.name}: {error.error}')}", err=True)
    if len(status.errors) > _ERRORS_SHOWN:
        click.echo(f"... and {len(status.errors) - _ERRORS_SHOWN} more", err=True)
    if status.aborted:
        raise click.ClickException(f"download job {status.id} was aborted")
    if status.error_cnt:
        raise click.ClickException(f"{status.error_cnt} of {status.total} files were not downloaded")
    if not quiet:
        click.echo(f"Downloaded {text.count_of(status.finished_cnt, 'file')}")


def state_of(one: JobInfo) -> str:
    """`Running`, `Aborted`, `Finished`."""
    if one.aborted:
        return click.style("Aborted", fg="yellow")
    return click.style("Running", fg="green") if one.finished_time == RUNNING else "Finished"


def show_downloads(app: App, *, everything: bool, regex: str | None, as_json: bool, headers: bool) -> None:
    """A table of jobs: those that run, or all."""
    found = [
        one
        for one in app.run(lambda client: client.downloads.all())
        if (everything or one.finished_time == RUNNING) and (matches(regex, one.description) or matches(regex, one.id))
    ]
    if as_json:
        text.print_json(found)
    elif found:
        text.print_table(_COLUMNS, [_row(one) for one in found], headers=headers)
    else:
        text.note(
            "No download jobs." if everything else "No download job is running. --all shows those that have ended."
        )


def _row(one: JobInfo) -> list[str]:
    done = f"{one.finished_cnt}/{one.total}"
    return [one.id, state_of(one), done, str(one.error_cnt), str(one.skipped_cnt), text.printable(one.description)]


def show_download(app: App, uuid: str, *, verbose: bool, as_json: bool) -> None:
    """One job: how far it is, what is on its way, what failed; `verbose`: every file."""
    status = app.run(lambda client: client.downloads.status(uuid))
    if as_json:
        text.print_json(status)
        return
    text.print_table(_COLUMNS, [_row(status)])
    files = [*status.current_tasks, *(status.finished_tasks if verbose else ())]
    if files:
        click.echo()
        rows = [[one.name, text.size(int(one.downloaded)), text.size(_total(one))] for one in files]
        text.print_table((Column("FILE"), Column("DOWNLOADED", is_number=True), Column("OF", is_number=True)), rows)
    if status.errors:
        click.echo()
        text.print_table((Column("FILE"), Column("ERROR")), [[one.name, one.error] for one in status.errors])


@forgetting("download")
def remove_download(app: App, uuid: str | None, everything: bool, regex: str | None, yes: bool) -> None:
    """Forget download jobs that have ended; what they downloaded stays."""

    async def ended(client: "Client") -> list[str]:
        jobs = [one for one in await client.downloads.all() if one.finished_time != RUNNING]
        return [one.id for one in jobs if matches(regex, one.description) or matches(regex, one.id)]

    chosen = ended if everything or regex is not None else None
    forget(app, "download", uuid, chosen, lambda client, one: client.downloads.remove(one), yes=yes)
