"""Calls about sorts of shards (wire contract §13.2)."""

from typing import Any

from ais.api import codec, query
from ais.api.dsort import SORT, JobInfo
from ais.client import answers
from ais.client.transport import Transport


class Sorts:
    """Made by `Client`."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def start(self, spec: dict[str, Any]) -> str:
        """Start a sort; its ID. Raise `BadRequest` naming what is wrong, `BucketNotFound`, `AccessDenied`."""
        _, body = await self._transport.call("POST", SORT, json=codec.to_json(spec))
        return body.decode().strip()

    async def all(self, regex: str = "") -> list[JobInfo]:
        """All sorts whose description matches, oldest first."""
        _, body = await self._transport.call("GET", SORT, {"regex": regex} if regex else {})
        return answers.decode(body, list[JobInfo])

    async def targets(self, uuid: str) -> dict[str, JobInfo]:
        """What each target says about its part. Raise `NotFound`."""
        _, body = await self._transport.call("GET", SORT, {query.UUID: uuid})
        return answers.decode(body, dict[str, JobInfo])

    async def remove(self, uuid: str) -> None:
        """Forget a sort that has ended. Raise `NotFound`, `BadRequest` while it runs."""
        await self._transport.call("DELETE", SORT, {query.UUID: uuid})
