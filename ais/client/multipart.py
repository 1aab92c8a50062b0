"""Objects uploaded in parts (wire contract §10.7, §24.1)."""

from collections.abc import Sequence

from ais.api import actions, query
from ais.api.bucket import Bck
from ais.client import paths
from ais.client.body import Body, OnBytes, ignore_bytes
from ais.client.transport import Transport


class Multipart:
    """Made by `Client`. Calls raise `UploadNotFound` for an upload that is not under way."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def start(self, bck: Bck, name: str) -> str:
        """Begin an upload; its ID."""
        message = paths.action(actions.START_UPLOAD)
        _, body = await self._transport.call("POST", paths.of_object(bck, name), paths.query_of(bck), json=message)
        return body.decode()

    async def put_part(
        self, bck: Bck, name: str, upload_id: str, number: int, body: Body, *, on_bytes: OnBytes = ignore_bytes
    ) -> None:
        """Send a part, from 1 on; one that is there is replaced."""
        wanted = paths.query_of(bck) | {query.UPLOAD_ID: upload_id, query.PART_NUMBER: str(number)}
        async with self._transport.open(
            "PUT", paths.of_object(bck, name), wanted, body=body, on_bytes=on_bytes, repeatable=True
        ):
            pass

    async def complete(self, bck: Bck, name: str, upload_id: str, numbers: Sequence[int]) -> None:
        """Make the object of these parts, in this order."""
        parts = [{"part-number": number, "etag": ""} for number in numbers]
        message = paths.action(actions.COMPLETE_UPLOAD, value=parts)
        wanted = paths.query_of(bck) | {query.UPLOAD_ID: upload_id}
        await self._transport.call("POST", paths.of_object(bck, name), wanted, json=message)

    async def abort(self, bck: Bck, name: str, upload_id: str) -> None:
        """Forget the upload and its parts."""
        message = paths.action(actions.ABORT_UPLOAD)
        wanted = paths.query_of(bck) | {query.UPLOAD_ID: upload_id}
        await self._transport.call("DELETE", paths.of_object(bck, name), wanted, json=message)
