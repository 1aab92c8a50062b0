"""An object uploaded in parts: in any order, several at a time, each again after a failure."""

from collections.abc import Iterable

from aisclient import checksums
from aisclient.attributes import message
from aisclient.body import Body, OnProgress
from aisclient.names import Bck
from aisclient.transport import Transport, header_lines

PARTS_MAX = 9999


class Upload:
    """An upload that `create` begins. Until `complete` the object is what it was before."""

    def __init__(self, transport: Transport, bck: Bck, name: str) -> None:
        self._transport, self._bck, self._name = transport, bck, name
        self.upload_id = ""
        self.parts: set[int] = set()

    async def create(self) -> "Upload":
        """Begin. Raise `ErrBckNotFound`."""
        target = self._bck.object_target(self._name)
        # sent twice it leaves an upload that nobody completes, no object
        answer = await self._transport.call("POST", target, message=message("mpt-upload"), is_repeatable=True)
        self.upload_id = answer.decode().strip().strip('"')
        return self

    async def put(
        self, number: int, data: bytes | bytearray | memoryview, on_progress: OnProgress | None = None
    ) -> None:
        """Send a part with its checksum, from 1 on; one that is there is replaced. Raise `ValueError`,
        `ChecksumMismatch`.
        """
        if not 1 <= number <= PARTS_MAX:
            raise ValueError(f"part {number}: parts have numbers from 1 to {PARTS_MAX}")
        lines = {"Ais-Checksum-Type": checksums.DEFAULT, "Ais-Checksum-Value": checksums.of(data)}
        body = Body.of(data, on_progress=on_progress)
        answer = await self._transport.send(
            "PUT", self._target(f"&partNumber={number}"), headers=header_lines(lines), body=body, is_repeatable=True,
            is_stored=True,
        )  # fmt: skip
        await answer.drain()
        self.parts.add(number)

    async def complete(self, numbers: Iterable[int] | None = None) -> None:
        """Make the object of these parts, or of all that were sent here. Raise `OutcomeUnknown` when no answer came."""
        value = [{"part-number": number, "etag": ""} for number in sorted(numbers or self.parts)]
        body = message("mpt-complete", "", value)
        await self._transport.call("POST", self._target(), message=body, is_repeatable=False)

    async def abort(self) -> None:
        """Forget the upload and its parts."""
        await self._transport.call("DELETE", self._target(), message=message("mpt-abort"), is_repeatable=True)

    def _target(self, more: str = "") -> str:
        return self._bck.object_target(self._name, f"&uploadId={self.upload_id}{more}")
