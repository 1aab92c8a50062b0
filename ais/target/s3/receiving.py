"""Bodies on their way to the disk over S3: decoded and verified, then what the native engine makes of content."""

from collections.abc import Callable

from ais.api.bucket import Bck
from ais.backend.interface import RemoteObject
from ais.base.errors import AisError
from ais.core.meta import ObjectMeta
from ais.core.multipart import Part
from ais.core.part_writer import PartWriter
from ais.core.publish import Condition
from ais.core.sealing import Sealer
from ais.core.store import Store
from ais.core.workfile import Buffer
from ais.core.writer import Writer
from ais.fs.mountpath import Mountpath
from ais.net.http import Reply
from ais.s3 import checksums, conditions, encryption, facts
from ais.s3.conditions import Conditions, Current
from ais.s3.errors import S3Error
from ais.s3.facts import Facts
from ais.s3.payload import Content, Payload
from ais.stats import names as metrics
from ais.stats.tracker import Tracker
from ais.target.counts import count_error
from ais.target.front import Front
from ais.target.remote.through import Check
from ais.target.s3.ask import S3Ask, current_of, etag_of
from ais.target.sealed import CONTENT_MD5, ObjectWriter
from ais.target.view import BucketView


class ObjectBody:
    """The body of a PUT: a `Writer` behind a `Payload`. Facts follow from the content, so they are set at the end."""

    def __init__(self, payload: Payload, writer: ObjectWriter, given: Facts) -> None:
        self._payload = payload
        self._writer = writer
        self._given = given
        self._content: Content | None = None

    @property
    def mountpath(self) -> Mountpath:
        """Where the bytes go."""
        return self._writer.mountpath

    def write(self, data: Buffer) -> None:
        """Take the next bytes of the body."""
        for piece in self._payload.feed(memoryview(data)):
            self._writer.write(piece)

    def commit(self, condition: Condition | None = None, wait: bool = True) -> ObjectMeta:
        """Verify and make the object, as `Writer.commit`. Raise `S3Error` when the body is not what was claimed."""
        self._end()
        return self._writer.commit(condition, wait)

    def _end(self) -> None:
        if self._content is None:
            self._content = content = self._payload.finish()
            self._writer.describe(self._described(content))

    def _described(self, content: Content) -> Facts:
        return facts.of_content(self._given, content.md5, content.algorithm, content.checksum)

    def abort(self) -> None:
        """Remove the work file."""
        self._writer.abort()


class ThroughBody(ObjectBody):
    """The body of a PUT that goes to a backend (`ais.target.remote.through.Outgoing`)."""

    def __init__(self, payload: Payload, writer: Writer, given: Facts) -> None:
        super().__init__(payload, writer, given)
        self._work = writer

    @property
    def path(self) -> str:
        """See `Writer`."""
        return self._work.path

    @property
    def size(self) -> int:
        """See `Writer`."""
        return self._work.size

    @property
    def claim(self) -> tuple[str, str]:
        """See `Writer`."""
        return self._work.claim

    def verify(self) -> None:
        """See `Writer`. Raise `S3Error` when the body is not what was claimed."""
        self._end()
        self._work.verify()

    def rewrite(self, custom: dict[str, str], kept: Facts, version: str) -> None:
        """See `Writer`."""
        self._work.rewrite(custom, kept, version)


class PartBody:
    """The body of an UploadPart. With a `sealer` it is encrypted, and its MD5 kept beside that of the file."""

    def __init__(self, payload: Payload, writer: PartWriter, sealer: Sealer | None = None) -> None:
        self._payload = payload
        self._writer = writer
        self._sealer = sealer

    def write(self, data: Buffer) -> None:
        """Take the next bytes of the body."""
        for piece in self._payload.feed(memoryview(data)):
            self._writer.write(piece if self._sealer is None else self._sealer.seal(piece))

    def commit(self) -> Part:
        """Verify and keep the part."""
        content = self._payload.finish()
        digests = {} if content.algorithm is None else {content.algorithm.name: checksums.encode(content.checksum)}
        if self._sealer is not None:
            self._writer.write(self._sealer.finish())
            digests[CONTENT_MD5] = content.md5.hex()
        return self._writer.commit(digests)

    def abort(self) -> None:
        """Forget the part."""
        self._writer.abort()


class Receipt:
    """Whom a sink reports to (`ais.target.uploads.Owner`): it makes the S3 answer of an object that was stored."""

    def __init__(self, ask: S3Ask, front: Front, stats: Tracker, answer: Callable[[ObjectMeta], Reply]) -> None:
        self._ask = ask
        self._front = front
        self._stats = stats
        self._answer = answer

    def admit(self, view: BucketView) -> None:
        """Raise when the bucket is no longer the one the upload began in."""
        self._front.admit(view)

    def stored(self, meta: ObjectMeta, _started_s: float) -> Reply:
        """The object is visible."""
        self._stats.inc(metrics.PUT_N)
        self._stats.inc(metrics.PUT_SIZE, meta.size)
        return self._answer(meta)

    def received(self, _started_s: float) -> None:
        """A part was added: parts are not counted by themselves."""

    def failed(self, error: AisError | None) -> None:
        """Nothing became visible."""
        count_error(self._stats, "PUT", error)
        if isinstance(error, S3Error) and error.code == "BadDigest":
            self._stats.inc(metrics.ERR_PUT_CKSUM_N)


def stored_answer(ask: S3Ask, meta: ObjectMeta) -> Reply:
    """The answer to a PUT."""
    etag = ("ETag", f'"{etag_of(meta, 0)}"')
    lines = (*facts.checksum_lines(meta.facts), *encryption.lines(meta.facts), *ask.written_lines(meta))
    return ask.reply(200, etag, *lines, *ask.expiration_lines(meta, ask.gate.now_s))


def asked_condition(ask: S3Ask, store: Store) -> Condition | None:
    """What the request demands of the object it replaces. Raise `S3Error` for what S3 does not define on writes."""
    return condition_of(conditions.of_write(ask.request.http.headers), store, ask.view.bck, ask.key)


def asked_of_backend(ask: S3Ask) -> Check | None:
    """The same, to be asked with what a backend has."""
    return check_of(conditions.of_write(ask.request.http.headers))


def check_of(wanted: Conditions) -> Check | None:
    """Conditions on what a backend has; None when nothing is demanded."""

    def check(found: RemoteObject | None) -> None:
        current = None if found is None else Current(found.etag, found.modified_s, found.size)
        conditions.check_write(wanted, current)

    return check if wanted.any else None


def condition_of(
    wanted: Conditions, store: Store, bck: Bck, name: str, version_id: str | None = None
) -> Condition | None:
    """The same as a question that is asked under the object's lock; None when nothing is demanded.

    A delete marker counts as no object.
    """

    def check(stored: ObjectMeta | None) -> None:
        is_object = stored is not None and not stored.is_marker
        conditions.check_write(wanted, current_of(store.head(bck, name, version_id)) if is_object else None)

    return check if wanted.any else None
