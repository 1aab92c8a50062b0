"""Unfinished uploads in parts whose names get another owner: they go where requests about them go.

Who is asked for an upload that is not here asks the earlier owners of its name for it, as for objects
(`ais.target.moves`), and the job of rebalancing sends what nobody asks for. Each part is a request of its own, the last
one, without a body, makes the upload be there (`ais.core.upload_moves`).
"""

import base64
import binascii
import contextlib
import os
from collections.abc import Callable, Iterable
from concurrent.futures import Executor
from functools import partial

import msgspec

from ais.api import actions
from ais.api.messages import ActMsg
from ais.base.errors import AisError, AlreadyExists, BadRequest, HandleNotFound, NotReady
from ais.base.locks import NamedLocks
from ais.core.multipart import Part, Upload, UploadInfo
from ais.core.store import Store
from ais.core.upload_moves import ArrivingPart, Leaving
from ais.fs.volume import Volume
from ais.net import http
from ais.net.http import Reply
from ais.target.front import Ask
from ais.target.host import Host
from ais.target.moves import Moves
from ais.target.uploads import Owner, PooledSink, in_pool
from ais.target.view import BucketView

TRANSFER = "Ais-Upload-Transfer"
"""Header of a part that another target gives, in the place of `ais.target.transfer.TRANSFER`."""


class UploadTransfer(msgspec.Struct, frozen=True, array_like=True):
    """What the header says. `part` None: all of these `numbers` are there."""

    upload_id: str
    info: UploadInfo
    part: Part | None = None
    numbers: tuple[int, ...] = ()

    def header(self) -> str:
        """The header's value."""
        return base64.b64encode(msgspec.msgpack.encode(self)).decode()

    @classmethod
    def parse(cls, text: str) -> "UploadTransfer":
        """Read what `header` wrote. Raise `BadRequest`."""
        try:
            found = msgspec.msgpack.decode(base64.b64decode(text, validate=True), type=cls)
        except (msgspec.DecodeError, msgspec.ValidationError, binascii.Error, ValueError) as error:
            raise BadRequest(f"invalid {TRANSFER}: {error}") from None
        if not (found.upload_id.isascii() and found.upload_id.isalnum()):
            raise BadRequest(f"invalid {TRANSFER}: {found.upload_id[:64]} is no upload")
        return found


class MovingUploads:
    """Of one target."""

    def __init__(self, host: Host, volume: Volume, store: Store, moves: Moves) -> None:
        self._host = host
        self._volume = volume
        self._uploads = store.uploads
        self._arriving = store.upload_moves
        self._moves = moves
        self._locks = NamedLocks()
        self._now = host.env.clock.monotonic

    async def settle(self, view: BucketView, name: str, upload_id: str) -> None:
        """Before an upload is used that may be elsewhere still: have it here. Raise as `Moves.settle`."""
        if not self._host.smap.moving or await self._here(view, name, upload_id) is not None:
            return
        await self._moves.have_given(view, name, ActMsg(actions.GIVE_UPLOAD, upload_id))

    async def give(self, view: BucketView, name: str, upload_id: str) -> bool:
        """Send an upload to the target that owns its name, and let go of it; False when there is none here.

        Raise what that answers, `DiskFailure`.
        """
        held = await self._locks.acquire(view.uname + upload_id)
        try:
            upload = await self._here(view, name, upload_id)
            if upload is None:
                return False
            with contextlib.suppress(HandleNotFound):  # it has just ended
                await self._give(view, upload)
            return True
        finally:
            held.release()

    async def give_all(self, view: BucketView, failed: Callable[[str, AisError], None]) -> int:
        """Send all uploads of a bucket whose names others own; how many. `failed` is told of each that stays."""
        bck, given = view.bck, 0
        pool = self._volume.available[0].pool
        for upload_id, info in await in_pool(pool, lambda: list(self._uploads.list(bck))):
            if self._host.placement.owner(view.uname + info.name).id == self._host.snode.id:
                continue
            try:
                given += await self.give(view, info.name, upload_id)
            except AisError as error:
                failed(f"{bck.cname(info.name)} (upload {upload_id})", error)
        return given

    def receive(self, ask: Ask, owner: Owner) -> http.Upload:
        """Take what another target gives."""
        transfer = UploadTransfer.parse(ask.headers.get(TRANSFER.lower()) or "")
        if transfer.info.name != ask.name:
            raise BadRequest(f"invalid {TRANSFER}: an upload of another object")
        view, pool = ask.view, self._pool(ask.view, ask.name)

        def begin() -> "ArrivingPart | _Arrival":
            bck, fsync = view.bck, view.rules.fsync
            if transfer.part is None:
                given = bck, transfer.upload_id, transfer.info, transfer.numbers
                return _Arrival(partial(self._arriving.arrive, *given, fsync=fsync))
            return self._arriving.begin_part(bck, transfer.upload_id, transfer.info, transfer.part, fsync=fsync)

        def finish(arriving: "ArrivingPart | _Arrival") -> Reply:
            arriving.finish()
            return Reply(200)

        return http.Upload(PooledSink(owner, view, pool, self._now(), begin, finish))

    async def _here(self, view: BucketView, name: str, upload_id: str) -> Upload | None:
        return await in_pool(self._pool(view, name), lambda: self._uploads.departing(view.bck, name, upload_id))

    async def _give(self, view: BucketView, upload: Upload) -> None:
        name, pool = upload.info.name, self._pool(view, upload.info.name)
        if self._host.placement.owner(view.uname + name).id == self._host.snode.id:
            raise NotReady(f"{self._host.snode.name} is the owner of {view.bck.cname(name)} as far as it knows")
        with contextlib.ExitStack() as stack:
            leaving = await in_pool(pool, lambda: stack.enter_context(self._arriving.held(upload)))
            with contextlib.suppress(AlreadyExists):  # it was sent before
                numbers = []
                for part in leaving.parts:
                    if await in_pool(pool, partial(leaving.is_intact, part)):
                        await self._send(view, leaving, part)
                        numbers.append(part.number)
                await self._moves.deliver_part(-1, 0, 0, view, name, _lines(upload, None, numbers))
            await in_pool(pool, lambda: leaving.let_go(fsync=view.rules.fsync))

    async def _send(self, view: BucketView, leaving: Leaving, part: Part) -> None:
        upload = leaving.upload
        fd = leaving.open(part)
        try:
            await self._moves.deliver_part(fd, part.offset, part.size, view, upload.info.name, _lines(upload, part))
        finally:
            os.close(fd)

    def _pool(self, view: BucketView, name: str) -> Executor:
        return self._volume.place(view.uname + name).pool


class _Arrival:
    """The end of a transfer, which has no body."""

    def __init__(self, finish: Callable[[], None]) -> None:
        self.finish = finish

    def write(self, data: memoryview) -> None:
        """Raise `BadRequest`: there is nothing to write to."""
        raise BadRequest(f"{len(data)} bytes that belong to no part of an upload")

    def abort(self) -> None:
        """Nothing was done."""


def _lines(upload: Upload, part: Part | None, numbers: Iterable[int] = ()) -> dict[str, str]:
    return {TRANSFER: UploadTransfer(upload.id, upload.info, part, tuple(numbers)).header()}
