"""Multipart uploads over S3: the engine of `ais.core.multipart` with S3's checks, checksums and answers."""

import asyncio
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor

from ais.base.errors import HandleNotFound, ObjectNotFound
from ais.core import sealing
from ais.core.meta import ObjectMeta
from ais.core.multipart import Part, Upload
from ais.core.sealing import Sealer
from ais.core.store import Store
from ais.fs.volume import Volume
from ais.net import http
from ais.net.http import Reply
from ais.s3 import checksums, conditions, document_body, encryption, facts, results
from ais.s3.checksums import ALGORITHMS, COMPOSITE, FULL_OBJECT, Algorithm
from ais.s3.documents import PartToComplete, parse_complete
from ais.s3.errors import S3Error
from ais.s3.facts import Facts
from ais.s3.payload import DEFAULT, Payload
from ais.s3.results import ListedPart
from ais.stats.tracker import Tracker
from ais.target.front import Front
from ais.target.remote import parts as remote_parts
from ais.target.remote.through import Through
from ais.target.s3.ask import S3Ask, etag_of
from ais.target.s3.receiving import PartBody, Receipt, asked_condition, asked_of_backend
from ais.target.sealed import part_etag
from ais.target.uploads import PooledSink, in_pool

PART_BYTES_MIN = 5 << 20
"""Of every part but the last."""
PART_CHECKSUMS_BYTES_MAX = 768
"""Of all parts of an object: what is kept about an object has little room."""
_OF_UPLOAD = ("checksum-algorithm", "checksum-type", "initiator")
"""Details of an upload that are not facts of the object."""


class Multipart:
    """Create, upload part, complete, abort, list parts. Copies of parts are in `ais.target.s3.copies`."""

    def __init__(self, front: Front, store: Store, volume: Volume, stats: Tracker, through: Through) -> None:
        self._through = through
        self._front = front
        self._store = store
        self._uploads = store.uploads
        self._volume = volume
        self._stats = stats

    async def create(self, ask: S3Ask) -> Reply:
        """CreateMultipartUpload."""
        request = ask.request
        details = ask.facts() | {"initiator": ask.caller.user or ""}
        pairs: list[tuple[str, str]] = []
        if name := request.header("x-amz-checksum-algorithm"):
            algorithm, checksum_type = _checksum_asked(name, request.header("x-amz-checksum-type"))
            details |= {"checksum-algorithm": algorithm.name, "checksum-type": checksum_type}
            pairs = [("x-amz-checksum-algorithm", algorithm.name), ("x-amz-checksum-type", checksum_type)]
        elif request.header("x-amz-checksum-type"):
            raise S3Error("InvalidRequest", "x-amz-checksum-type needs x-amz-checksum-algorithm beside it")
        custom = facts.user_metadata(request)
        if (seal := ask.seal()) is not None:
            details |= seal.facts
            pairs += encryption.lines(seal.facts)
        view = ask.view

        def create() -> str:
            return self._uploads.create(view.bck, ask.key, custom, details, fsync=view.rules.fsync)

        upload_id = await in_pool(self.pool(ask), create)
        return ask.xml(results.initiated(ask.bucket.name, ask.key, upload_id), *pairs)

    def put_part(self, ask: S3Ask) -> http.Upload:
        """UploadPart."""
        number = results.part_number(ask.request.params.get("partNumber", ""))
        upload = self.find(ask)
        key, kept = ask.data_key(upload.info.details), upload.info.details
        payload = Payload(ask.request, ask.caller, with_md5=key is not None, algorithm=part_algorithm(upload))
        if payload.claims and (wanted := upload.info.details.get("checksum-algorithm")):
            check_algorithm(payload.algorithm, wanted)
        receipt = Receipt(ask, self._front, self._stats, lambda _meta: ask.reply(200))

        def open_part() -> PartBody:
            fsync = ask.view.rules.fsync
            sealer = None if key is None else Sealer(key, size=payload.length, part=number)
            size = payload.length if key is None else sealing.sealed_size(payload.length)
            return PartBody(payload, self._uploads.part_writer(upload, number, size, fsync=fsync), sealer)

        def keep(body: PartBody) -> Reply:
            part = body.commit()
            lines = [(ALGORITHMS[name].header, value) for name, value in part.digests.items() if name in ALGORITHMS]
            return ask.reply(200, ("ETag", f'"{part_etag(part)}"'), *lines, *encryption.lines(kept))

        return http.Upload(PooledSink(receipt, ask.view, self.pool(ask), 0.0, open_part, keep))

    def complete(self, ask: S3Ask) -> http.Upload:
        """CompleteMultipartUpload."""

        async def take(body: bytes) -> Reply:
            return await self._complete(ask, await asyncio.to_thread(parse_complete, body))

        # The headers' checksum is the object's, not this document's.
        kept = {name: value for name, value in ask.request.headers.items() if not name.startswith("x-amz-checksum-")}
        payload = Payload(ask.request._replace(headers=kept), ask.caller, with_md5=False)
        return document_body.upload(payload, int(ask.gate.limits.keys_document_size), take)

    async def abort(self, ask: S3Ask) -> Reply:
        """AbortMultipartUpload."""
        initiated = ask.request.get("x-amz-if-match-initiated-time")
        wanted_s = None if initiated is None else conditions.exact_time(initiated)

        def abort() -> None:
            upload = self.find(ask)
            if wanted_s not in (None, int(upload.info.created_ns / 1e9)):
                raise S3Error("PreconditionFailed", Condition="x-amz-if-match-initiated-time")
            self._uploads.abort(upload, fsync=ask.view.rules.fsync)

        await in_pool(self.pool(ask), abort)
        return ask.reply(204)

    async def list_parts(self, ask: S3Ask) -> Reply:
        """ListParts."""
        params = ask.request.params
        parts_max = results.count(params.get("max-parts", ""), "max-parts")
        after = results.marker(params.get("part-number-marker", ""), "part-number-marker")

        def read() -> tuple[Upload, dict[int, Part]]:
            upload = self.find(ask)
            if upload.ending is not None:
                raise HandleNotFound(f'upload "{upload.id}" of {ask.view.bck.cname(ask.key)} was completed')
            check_customer_key(ask, upload)
            return upload, self._uploads.parts(upload)

        upload, parts = await in_pool(self.pool(ask), read)
        details = upload.info.details
        name = details.get("checksum-algorithm")
        algorithm = (name, details["checksum-type"]) if name else None
        listed = [
            ListedPart(
                part.number,
                content_size(part, details),
                part_etag(part),
                part.modified_ns / 1e9,
                part.digests if name else {},
            )
            for part in parts.values()
        ]
        user = details.get("initiator", "")
        return ask.xml(results.parts(ask.bucket.name, ask.key, upload.id, user, algorithm, listed, after, parts_max))

    def find(self, ask: S3Ask) -> Upload:
        """The upload that a request names. Raise `HandleNotFound`."""
        return self._uploads.find(ask.view.bck, ask.key, ask.request.params.get("uploadId", ""))

    def pool(self, ask: S3Ask) -> Executor:
        """Where its steps run."""
        return self._volume.place(ask.uname).pool

    async def _complete(self, ask: S3Ask, listed: Sequence[PartToComplete]) -> Reply:
        self._front.admit(ask.view)
        if ask.view.remote is not None:
            return self._completed(ask, await self._complete_through(ask, listed))
        condition = asked_condition(ask, self._store)

        def complete() -> ObjectMeta:
            try:
                upload, parts, given = self._listed(ask, listed)
                rules = ask.rules("CompleteMultipartUpload")
                return self._uploads.complete(upload, parts, rules, upload.info.custom, condition, given)
            except HandleNotFound:
                return self._completed_before(ask, listed)

        return self._completed(ask, await in_pool(self.pool(ask), complete))

    async def _complete_through(self, ask: S3Ask, listed: Sequence[PartToComplete]) -> ObjectMeta:
        check = asked_of_backend(ask)
        try:
            upload, parts, given = await in_pool(self.pool(ask), lambda: self._listed(ask, listed))
            return await remote_parts.complete(self._store, self._through, ask.view, upload, parts, given, check)
        except HandleNotFound:
            return await in_pool(self.pool(ask), lambda: self._completed_before(ask, listed))

    def _listed(self, ask: S3Ask, listed: Sequence[PartToComplete]) -> tuple[Upload, list[Part], Facts]:
        """The upload, its parts as listed, and what the object will be known by."""

        def choose(upload: Upload, stored: Mapping[int, Part]) -> list[Part]:
            check_customer_key(ask, upload)
            return _listed_parts(listed, stored, upload.info.details)

        upload_id = ask.request.params.get("uploadId", "")
        upload, parts = self._uploads.choose(ask.view.bck, ask.key, upload_id, choose)
        return upload, parts, _object_facts(ask, upload, parts)

    def _completed(self, ask: S3Ask, meta: ObjectMeta) -> Reply:
        etag = etag_of(meta, 0)
        scheme, host = ask.request.http.scheme, ask.request.header("host")
        location = f"{scheme}://{host}/{ask.bucket.name}/{ask.key}"
        body = results.completed(location, ask.bucket.name, ask.key, etag, facts.checksum_of(meta.facts))
        return ask.xml(body, *encryption.lines(meta.facts), *ask.written_lines(meta))

    def _completed_before(self, ask: S3Ask, listed: Sequence[PartToComplete]) -> ObjectMeta:
        """The object this upload became, when a client asks again because it did not hear. Raise `HandleNotFound`."""
        upload_id = ask.request.params.get("uploadId", "")
        try:
            meta = self._store.head(ask.view.bck, ask.key).meta
        except ObjectNotFound:
            meta = ObjectMeta(0)
        try:
            etag = checksums.multipart_etag([bytes.fromhex(part.etag) for part in listed])
        except ValueError:
            etag = ""
        is_same = ask.view.remote is not None or meta.facts.get("etag") == etag
        if meta.facts.get("upload-id") != upload_id or not is_same:
            raise HandleNotFound(f'upload "{upload_id[:64]}" of {ask.view.bck.cname(ask.key)} does not exist')
        return meta


def part_algorithm(upload: Upload) -> Algorithm:
    """The checksum that every part of an upload gets."""
    return ALGORITHMS.get(upload.info.details.get("checksum-algorithm", ""), DEFAULT)


def check_customer_key(ask: S3Ask, upload: Upload) -> None:
    """Raise `S3Error` for a customer's key that is not the upload's; none is needed where no content is touched."""
    if encryption.customer_key(ask.request) is not None:
        ask.data_key(upload.info.details)


def check_algorithm(given: Algorithm | None, wanted: str) -> None:
    """Raise `S3Error` when a part claims another checksum than its upload was begun with."""
    if given is None or given.name != wanted:
        raise S3Error(
            "InvalidRequest",
            f"Checksum Type mismatch occurred, expected checksum Type: {wanted.lower()},"
            f" actual checksum Type: {given.name.lower() if given else 'null'}",
        )


def _checksum_asked(name: str, checksum_type: str) -> tuple[Algorithm, str]:
    algorithm = checksums.by_name(name)
    checksum_type = checksum_type.upper() or algorithm.default_type
    if checksum_type not in (COMPOSITE, FULL_OBJECT):
        raise S3Error("InvalidRequest", "Value for x-amz-checksum-type header is invalid.")
    is_possible = algorithm.combine is not None if checksum_type == FULL_OBJECT else algorithm.name != "CRC64NVME"
    if not is_possible:
        raise S3Error(
            "InvalidRequest",
            f"The {checksum_type} checksum type cannot be used with the {algorithm.name.lower()} checksum algorithm.",
        )
    return algorithm, checksum_type


def content_size(part: Part, details: Mapping[str, str]) -> int:
    """Bytes of a part as the client sent them."""
    return sealing.content_size(part.size) if sealing.KEY in details else part.size


def _listed_parts(
    listed: Sequence[PartToComplete], stored: Mapping[int, Part], details: Mapping[str, str]
) -> list[Part]:
    """The stored parts as listed. Raise `S3Error` InvalidPart, EntityTooSmall."""
    parts: list[Part] = []
    for one in listed:
        part = stored.get(one.number)
        if part is None or one.etag != part_etag(part):
            raise S3Error("InvalidPart", PartNumber=str(one.number), ETag=one.etag)
        if one.algorithm is None and details.get("checksum-type") == COMPOSITE:
            name = details.get("checksum-algorithm", "").lower()
            raise S3Error(
                "InvalidRequest",
                f"The upload was created using a {name} checksum. The complete request must include the checksum for"
                f" each part. It was missing for part {one.number} in the request.",
            )
        if one.algorithm is not None and part.digests.get(one.algorithm.name) != one.checksum:
            raise S3Error("InvalidPart", PartNumber=str(one.number))
        parts.append(part)
    for part in parts[:-1]:
        if content_size(part, details) < PART_BYTES_MIN:
            raise S3Error(
                "EntityTooSmall",
                PartNumber=str(part.number),
                ProposedSize=str(content_size(part, details)),
                MinSizeAllowed=str(PART_BYTES_MIN),
            )
    return parts


def _common_algorithm(upload: Upload, parts: Sequence[Part]) -> Algorithm | None:
    """The checksum that the upload was begun with; without one, or begun natively, any that all parts have."""
    wanted = upload.info.details.get("checksum-algorithm")
    names = set.intersection(*(set(part.digests) for part in parts))
    return ALGORITHMS.get(wanted if wanted in names else min(names, default=""))


def _object_facts(ask: S3Ask, upload: Upload, parts: Sequence[Part]) -> Facts:
    """What the object will be known by. Raise `S3Error` when the client says otherwise."""
    details = upload.info.details
    given = {key: value for key, value in details.items() if key not in _OF_UPLOAD}
    etag = checksums.multipart_etag([bytes.fromhex(part_etag(part)) for part in parts])
    given |= {"etag": etag, "upload-id": upload.id}
    algorithm, checksum_type = _common_algorithm(upload, parts), details.get("checksum-type", FULL_OBJECT)
    sizes = [content_size(part, details) for part in parts]
    size = sum(sizes)
    if sealing.KEY in given:
        given = {**given, sealing.SIZE: str(size)}
    asked = ask.request.header("x-amz-mp-object-size")
    if asked and asked != str(size):
        raise S3Error("InvalidRequest", f"x-amz-mp-object-size is {asked[:20]}, the parts have {size} bytes")
    if algorithm is None or (checksum_type == FULL_OBJECT and algorithm.combine is None):
        _refuse_claims(ask)
        return given
    digests = [(checksums.decode(part.digests[algorithm.name]), n) for part, n in zip(parts, sizes, strict=True)]
    if checksum_type == COMPOSITE:
        value = checksums.composite(algorithm, [digest for digest, _ in digests])
    else:
        value = checksums.full_object(algorithm, digests)
    _check_claims(ask, algorithm, checksum_type)
    claimed = ask.request.header(algorithm.header)
    if claimed and claimed.partition("-")[0] != value.partition("-")[0]:
        raise S3Error("BadDigest", f"The {algorithm.name.lower()} you specified did not match the calculated checksum.")
    of_parts = b"".join(digest for digest, _ in digests)
    if details.get("checksum-algorithm") and len(of_parts) <= PART_CHECKSUMS_BYTES_MAX:
        given["part-checksums"] = checksums.encode(of_parts)
    return facts.with_checksum(given, algorithm, value, checksum_type)


def _refuse_claims(ask: S3Ask) -> None:
    """Raise `S3Error` for a checksum of an object that has none."""
    for name in (*(one.header for one in ALGORITHMS.values()), "x-amz-checksum-type"):
        if ask.request.get(name) is not None:
            raise S3Error("InvalidRequest", f"{name} cannot be compared: the upload was not created with a checksum")


def _check_claims(ask: S3Ask, algorithm: Algorithm, checksum_type: str) -> None:
    """Raise `S3Error` when a Complete names another algorithm or type of checksum than its upload has."""
    asked = ask.request.header("x-amz-checksum-type", checksum_type)
    others = [one.name.lower() for one in ALGORITHMS.values() if one is not algorithm and ask.request.get(one.header)]
    if asked != checksum_type or others:
        raise S3Error(
            "InvalidRequest",
            f"The upload was created using the {algorithm.name} checksum algorithm and the {checksum_type} checksum"
            " mode. The complete request must use the same.",
        )
