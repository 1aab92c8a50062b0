"""What every command shares: which cluster, how a coroutine is run with a client, how failures end the process.

Exit codes: 0 done; 1 failed, or was interrupted; 2 the command or its input is wrong; 3 what it names does not exist;
4 no cluster answers at the endpoint, or it is not ready.
"""

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any, NoReturn, TypeVar

import click

from ais.base import errors
from ais.base.errors import AisError
from ais.client.failures import NoConnection
from ais_cli import settings, text

if TYPE_CHECKING:
    from ais.client.client import Client

T = TypeVar("T")

FAILED, USAGE, NOT_FOUND, NO_CLUSTER = 1, 2, 3, 4
_START_HINT = (
    "Start a local one with 'ais playground start', or name another with AIS_ENDPOINT or 'ais --endpoint URL'."
)
_CREDENTIALS_HINT = (
    "Set AIS_AUTHN_TOKEN or AIS_AUTHN_TOKEN_FILE; an administrator: AIS_ACCESS_KEY_ID and AIS_SECRET_ACCESS_KEY, or"
    " AIS_ENDPOINT=unix:CONFDIR/proxy.sock on the machine of a gateway."
)
_EXIT_CODE: tuple[tuple[type[AisError], int], ...] = (
    (errors.BadRequest, USAGE),
    (errors.NotFound, NOT_FOUND),
    (errors.Unreachable, NO_CLUSTER),
    (errors.NotReady, NO_CLUSTER),
)
_HINT: tuple[tuple[type[AisError], str], ...] = (
    (errors.BucketNotFound, "'ais ls' lists the buckets."),
    (errors.ObjectNotFound, "'ais ls BUCKET --prefix PREFIX' lists objects."),
    (errors.NodeNotFound, "'ais show cluster' lists the nodes."),
    (errors.DownloadNotFound, "'ais show job download --all' lists running and finished ones."),
    (errors.XactionNotFound, "'ais show job --all' lists running and finished jobs."),
    (errors.MountpathNotFound, "'ais storage mountpath' lists the mountpaths; a new one must exist as a directory."),
    (errors.Unauthenticated, _CREDENTIALS_HINT),
    (errors.NotReady, "It may be starting: 'ais wait cluster' waits until it is ready."),
    (errors.OutOfSpace, "'ais storage capacity' shows how full the mountpaths are."),
)
_FATAL = (errors.Unreachable, errors.BucketNotFound, errors.AccessDenied, errors.Unauthenticated)
"""What every further object would meet as well."""


@dataclass(frozen=True)
class App:
    """Options given before the command; the context's object."""

    endpoint: str = ""

    def run(self, work: "Callable[[Client], Awaitable[T]]", *, retries: int = 5) -> T:
        """Run `work` with a client of the cluster. Raise what the cluster answered."""
        import uvloop

        from ais.client.client import Client

        silence_s, connect_s = settings.timeouts_s()

        async def main() -> T:
            async with Client(
                self.endpoint,
                environment=settings.environment(),
                timeout_s=silence_s,
                connect_timeout_s=connect_s,
                retries=retries,
            ) as client:
                return await work(client)

        return uvloop.run(main())


class Failure(click.ClickException):
    """An error of the cluster, as one or two sentences that say what to do."""

    def __init__(self, error: AisError) -> None:
        super().__init__(describe(error))
        code = next((code for kind, code in _EXIT_CODE if isinstance(error, kind)), FAILED)
        # click declares the code per class; here it is known per error.
        vars(self)["exit_code"] = code

    def show(self, file: "IO[Any] | None" = None) -> None:
        click.echo(f"{click.style('Error:', fg='red', bold=True)} {self.message}", file=file or sys.stderr)


class Missing(click.ClickException):
    """Something that the command names does not exist."""

    exit_code = NOT_FOUND


class Unconfirmed(click.ClickException):
    """A question that nobody can be asked."""

    exit_code = USAGE


def describe(error: AisError) -> str:
    """The error's sentence and what may help."""
    if isinstance(error, NoConnection):
        return f"no cluster answers at {error.endpoint} ({error.reason}). {_START_HINT}"
    message = str(error)
    hint = next((hint for kind, hint in _HINT if isinstance(error, kind)), "")
    return f"{message.rstrip('.')}. {hint}" if hint and "\n" not in message else message


def confirm(question: str, *, yes: bool) -> None:
    """Ask before something that cannot be undone. Without a terminal only `--yes` goes on; a "no" ends the command."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise Unconfirmed(f"{question} There is no terminal to ask: confirm with --yes.")
    if not click.confirm(question, err=True):
        click.echo("Nothing was changed.", err=True)
        raise click.exceptions.Exit(FAILED)


def fail_if(failures: "Iterable[tuple[str, AisError]]", done: str) -> None:
    """End with an error when some of many operations failed, after naming each of the first ten."""
    found = list(failures)
    if not found:
        return
    for what, error in found[:10]:
        reason = str(error) if what in str(error) else f"{what}: {error}"
        click.echo(f"{click.style('failed', fg='red')} {text.printable(reason)}", err=True)
    if len(found) > 10:
        click.echo(f"... and {len(found) - 10} more", err=True)
    _end(f"{len(found)} failed, {done}")


def _end(message: str) -> NoReturn:
    raise click.ClickException(message)


async def for_each(
    items: "AsyncIterator[T] | Iterable[T]",
    work: "Callable[[T], Awaitable[object]]",
    workers: int,
    name_of: "Callable[[T], str]",
) -> tuple[int, list[tuple[str, AisError]]]:
    """Do `work` for every item, `workers` at a time; how many succeeded, and what failed and why.

    Items are taken as workers become free, so an endless source needs no memory. An error that every further item would
    meet, such as a missing bucket, ends it at once and is raised.
    """
    queue: asyncio.Queue[T | None] = asyncio.Queue(workers)
    failures: list[tuple[str, AisError]] = []
    done = 0

    async def worker() -> None:
        nonlocal done
        while (item := await queue.get()) is not None:
            try:
                await work(item)
                done += 1
            except _FATAL:
                raise
            except AisError as error:
                failures.append((name_of(item), error))

    async def feed() -> None:
        if isinstance(items, AsyncIterator):
            async for item in items:
                await queue.put(item)
        else:
            for item in items:
                await queue.put(item)
        for _ in range(workers):
            await queue.put(None)

    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(feed())
            for _ in range(workers):
                group.create_task(worker())
    except ExceptionGroup as group:
        known, unknown = group.split(AisError)
        if unknown is not None or known is None:
            raise
        raise _first(known) from None
    return done, failures


def _first(group: ExceptionGroup[AisError]) -> AisError:
    error = group.exceptions[0]
    return _first(error) if isinstance(error, ExceptionGroup) else error
