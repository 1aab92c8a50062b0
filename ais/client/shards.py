"""Archives as objects: adding files to them, making them of objects, and objects in batches."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from ais.api import actions, batch, codec, query
from ais.api import headers as header
from ais.api.archive import ArchiveMsg
from ais.api.batch import BatchMsg
from ais.api.bucket import Bck
from ais.client import paths
from ais.client.body import Body, OnBytes, ignore_bytes
from ais.client.objects import Reader
from ais.client.transport import Transport

NEW, APPEND, APPEND_OR_PUT = "", "1", "2"
"""What becomes of a shard that is there: replaced; added to, and it must be there; added to."""


class Shards:
    """Made by `Client`."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def put_member(
        self, bck: Bck, shard: str, archpath: str, body: Body, *, mode: str = NEW, on_bytes: OnBytes = ignore_bytes
    ) -> None:
        """Put a file into a shard. Raise `ObjectNotFound` when it must be there and is not. Appending is not repeated
        when an answer is lost: the file may be there then.
        """
        wanted = paths.query_of(bck) | {query.ARCHPATH: archpath, query.ARCHMIME: ""}
        headers = {header.ARCHIVE_APPEND: mode} if mode else {}
        async with self._transport.open(
            "PUT",
            paths.of_object(bck, shard),
            wanted,
            headers=headers,
            body=body,
            on_bytes=on_bytes,
            repeatable=mode == NEW,
        ):
            pass

    async def archive(self, bck: Bck, message: ArchiveMsg) -> str:
        """Start the job that makes one shard of many objects; its ID."""
        value = {name: item for name, item in codec.to_builtins(message).items() if item not in (None, "")}
        json = paths.action(actions.ARCHIVE, value=value)
        _, body = await self._transport.call("PUT", paths.of_bucket(bck), paths.query_of(bck), json=json)
        return body.decode().strip()

    @asynccontextmanager
    async def batch(self, bck: Bck | None, message: BatchMsg) -> AsyncIterator[Reader]:
        """Open an archive of objects in the order asked for."""
        path = f"{batch.PATH}/{bck.name}" if bck is not None else batch.PATH
        wanted = paths.query_of(bck) if bck is not None else {}
        async with self._transport.open("GET", path, wanted, json=codec.to_json(message)) as response:
            yield Reader(response)
