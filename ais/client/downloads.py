"""Calls about download jobs (wire contract §13.1)."""

from collections.abc import Iterator
from contextlib import contextmanager

from ais.api import codec
from ais.api.download import DOWNLOAD, DownloadMsg, DownloadQuery, JobInfo, JobStatus, Started
from ais.base.errors import DownloadNotFound, NotFound
from ais.client import answers
from ais.client.transport import Transport


class Downloads:
    """Made by `Client`."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def start(self, message: DownloadMsg) -> str:
        """Start a job; its ID. Raise `BadRequest`, `AccessDenied`."""
        _, body = await self._transport.call("POST", DOWNLOAD, json=codec.to_json(message))
        return answers.decode(body, Started).id

    async def status(self, uuid: str, *, only_active: bool = False) -> JobStatus:
        """A job with its files; `only_active`: those that are on their way. Raise `DownloadNotFound`."""
        asked = DownloadQuery(uuid, only_active=only_active)
        with _named():
            _, body = await self._transport.call("GET", DOWNLOAD, json=codec.to_json(asked))
        return answers.decode(body, JobStatus)

    async def all(self, regex: str = "") -> list[JobInfo]:
        """All jobs whose description matches, oldest first."""
        _, body = await self._transport.call("GET", DOWNLOAD, json=codec.to_json(DownloadQuery(regex=regex)))
        return answers.decode(body, list[JobInfo])

    async def abort(self, uuid: str) -> None:
        """Stop a job; what was downloaded stays. Raise `DownloadNotFound`."""
        with _named():
            await self._transport.call("DELETE", f"{DOWNLOAD}/abort", json=codec.to_json(DownloadQuery(uuid)))

    async def remove(self, uuid: str) -> None:
        """Forget a job that has ended. Raise `DownloadNotFound`, `BadRequest` while it runs."""
        with _named():
            await self._transport.call("DELETE", f"{DOWNLOAD}/remove", json=codec.to_json(DownloadQuery(uuid)))


@contextmanager
def _named() -> Iterator[None]:
    """On the wire, a job that is not there is told as an object would be."""
    try:
        yield
    except NotFound as error:
        raise DownloadNotFound(str(error)) from None
