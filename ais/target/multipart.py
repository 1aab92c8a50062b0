"""Objects uploaded in parts over the native API (wire contract §10.7, §24.1): start, part, complete, abort."""

from collections.abc import Sequence
from concurrent.futures import Executor

import msgspec

from ais.api import query
from ais.api.messages import ActMsg
from ais.base.errors import BadRequest, NotYetImplemented
from ais.core import sealing
from ais.core.multipart import Part, Upload
from ais.core.part_writer import PartWriter
from ais.core.sealing import Sealer
from ais.core.store import Store
from ais.core.workfile import Buffer, Digests
from ais.fs.volume import Volume
from ais.net import http
from ais.net.http import Reply
from ais.target import props
from ais.target.front import Ask
from ais.target.host import Host
from ais.target.moves import Moves
from ais.target.moving_uploads import MovingUploads
from ais.target.remote import parts as remote_parts
from ais.target.remote.through import Through
from ais.target.sealed import SealedPart, part_etag
from ais.target.uploads import Owner, PooledSink, in_pool

PART_NUMBER_MAX = 9999


class PartToComplete(msgspec.Struct, frozen=True):
    """One part as a complete request lists it; native clients leave the tag empty."""

    number: int = msgspec.field(name="part-number", default=0)
    etag: str = ""


class Multipart:
    """Uploads in parts. Control messages come through `ais.target.actions`, parts through `ais.target.writes`."""

    def __init__(
        self,
        host: Host,
        volume: Volume,
        store: Store,
        moves: Moves,
        through: Through,
        moving_uploads: MovingUploads,
    ) -> None:
        self._moving_uploads = moving_uploads
        self._store = store
        self._through = through
        self._host = host
        self._volume = volume
        self._uploads = store.uploads
        self._moves = moves
        self._now = host.env.clock.monotonic

    async def start(self, ask: Ask) -> str:
        """Begin an upload; return its ID."""
        custom = props.custom_of(ask.headers) or {}
        rules, store = ask.view.rules, self._store

        def create() -> str:
            details = store.keyring.seal(rules.sealing).facts if rules.sealing is not None else {}
            return self._uploads.create(ask.view.bck, ask.name, custom, details, fsync=rules.fsync)

        return await in_pool(self._pool(ask), create)

    def put(self, ask: Ask, owner: Owner) -> http.Upload:
        """Take the body as one part, or with `append_type=append` as more of it. Raise `BadRequest`.

        Each append is kept at once: there is no handle, and nothing to flush.
        """
        number, upload_id = _part_number(ask.params.get(query.PART_NUMBER, "")), _upload_id(ask)
        claimed, size = props.claim_of(ask.headers), ask.headers.content_length
        pool, started_s = self._pool(ask), self._now()
        is_append = _appends(ask)

        def open_part() -> _Receiving:
            upload = self._uploads.find(ask.view.bck, ask.name, upload_id)
            fsync, is_sealed = ask.view.rules.fsync, sealing.KEY in upload.info.details
            if is_append and is_sealed:
                raise NotYetImplemented(f"{ask.cname} is encrypted: parts of its upload are written as a whole")
            if is_append:
                return _Receiving(upload, self._uploads.part_appender(upload, number, fsync=fsync), claimed)
            if not is_sealed:
                return _Receiving(upload, self._uploads.part_writer(upload, number, size, fsync=fsync), claimed)
            if size is None:
                raise BadRequest(f"{ask.cname} is encrypted: a part of its upload needs Content-Length")
            sealer = Sealer(self._store.keyring.open(upload.info.details), size=size, part=number)
            stored = self._uploads.part_writer(upload, number, sealing.sealed_size(size), fsync=fsync)
            return _Receiving(upload, SealedPart(stored, sealer), claimed)

        return http.Upload(PooledSink(owner, ask.view, pool, started_s, open_part, _Receiving.finish))

    async def put_settled(self, ask: Ask, owner: Owner) -> http.Upload:
        """The same while the upload may be elsewhere."""
        await self._moving_uploads.settle(ask.view, ask.name, _upload_id(ask))
        return self.put(ask, owner)

    async def complete(self, ask: Ask, message: ActMsg) -> None:
        """Make the object of the listed parts, which must be all of them. Raise `BadRequest`, `HandleNotFound`."""
        listed = ActMsg(value={"parts": message.value}).value_as(_Complete).parts
        upload_id, view = _upload_id(ask), ask.view
        await self._moves.settle(view, ask.name)
        await self._moving_uploads.settle(view, ask.name, upload_id)
        if view.remote is not None:
            upload, parts = await in_pool(self._pool(ask), lambda: self._listed(ask, upload_id, listed))
            await remote_parts.complete(self._store, self._through, view, upload, parts, {})
            return

        def complete() -> None:
            upload, parts = self._listed(ask, upload_id, listed)
            self._uploads.complete(upload, parts, view.rules, upload.info.custom, facts=_facts(upload, parts))

        await in_pool(self._pool(ask), complete)

    async def abort(self, ask: Ask) -> None:
        """Forget an upload. Raise `HandleNotFound`."""
        upload_id = _upload_id(ask)
        await self._moving_uploads.settle(ask.view, ask.name, upload_id)

        def abort() -> None:
            upload = self._uploads.find(ask.view.bck, ask.name, upload_id)
            self._uploads.abort(upload, fsync=ask.view.rules.fsync)

        await in_pool(self._pool(ask), abort)

    def _listed(self, ask: Ask, upload_id: str, listed: Sequence[PartToComplete]) -> tuple[Upload, list[Part]]:
        return self._uploads.choose(
            ask.view.bck, ask.name, upload_id, lambda _, stored: _all_parts(listed, stored, ask.cname)
        )

    def _pool(self, ask: Ask) -> Executor:
        return self._volume.place(ask.view.uname + ask.name).pool


class _Complete(msgspec.Struct, frozen=True):
    parts: list[PartToComplete] = []


class _Receiving:
    """A part on its way to the disk, compared with the checksum the client claims."""

    def __init__(self, upload: Upload, writer: PartWriter | SealedPart, claimed: tuple[str, str] | None) -> None:
        self._upload = upload
        self._writer = writer
        self._digests = Digests("none", claimed)

    def write(self, data: Buffer) -> None:
        """Hash and write the next bytes."""
        self._digests.update(data)
        self._writer.write(data)

    def finish(self) -> Reply:
        """Verify and keep the part."""
        self._digests.verify(self._upload.bck, self._upload.info.name)
        part = self._writer.commit({})
        return Reply(200, f'ETag: "{part_etag(part)}"\r\n'.encode())

    def abort(self) -> None:
        """Forget the part."""
        self._writer.abort()


def _facts(upload: Upload, parts: Sequence[Part]) -> dict[str, str]:
    """By which the content of an encrypted object is found again."""
    found = sealing.facts_of(upload.info.details)
    return found | {sealing.SIZE: str(sum(sealing.content_size(part.size) for part in parts))} if found else {}


def _all_parts(listed: Sequence[PartToComplete], stored: dict[int, Part], cname: str) -> list[Part]:
    """The stored parts in order. Raise `BadRequest` unless exactly they are listed, numbered without a gap."""
    if not listed:
        raise BadRequest(f"completing {cname}: the list of parts is empty")
    numbers = sorted(part.number for part in listed)
    if numbers != list(range(1, len(numbers) + 1)):
        raise BadRequest(f"completing {cname}: parts must be numbered from 1 without a gap, each once")
    if numbers != list(stored):
        raise BadRequest(f"completing {cname}: {len(numbers)} parts are listed, {len(stored)} were uploaded")
    for part in listed:
        if part.etag.strip('"') not in ("", part_etag(stored[part.number])):
            raise BadRequest(f"completing {cname}: part {part.number} has another ETag")
    return list(stored.values())


def _part_number(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 10 and int(text) >= 1):
        raise BadRequest(f'invalid {query.PART_NUMBER} "{text[:20]}": expected a number from 1 to {PART_NUMBER_MAX}')
    if int(text) > PART_NUMBER_MAX:
        raise BadRequest(f"part number {text} exceeds the maximum allowed ({PART_NUMBER_MAX})")
    return int(text)


def _appends(ask: Ask) -> bool:
    kind, handle = ask.params.get(query.APPEND_TYPE, ""), ask.params.get(query.APPEND_HANDLE, "")
    if kind not in ("", "append") or handle:
        raise BadRequest(f"part of {ask.cname}: appending to a part needs no {query.APPEND_HANDLE} and no flush")
    return kind == "append"


def _upload_id(ask: Ask) -> str:
    if not (upload_id := ask.params.get(query.UPLOAD_ID, "")):
        raise BadRequest(f"{query.UPLOAD_ID} is missing: start an upload with the action mpt-upload")
    return upload_id
