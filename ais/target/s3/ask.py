"""An S3 request that this target executes: everything checked that does not touch the disk, and how it is answered."""

from collections.abc import Iterable
from typing import NamedTuple
from urllib.parse import quote

import msgspec

from ais.core import sealing
from ais.core.announcing import Event
from ais.core.meta import ObjectMeta
from ais.core.sealing import Seal
from ais.core.store import OpenObject
from ais.core.versions import NULL
from ais.core.workfile import WriteRules
from ais.net.http import Reply, header_lines
from ais.node.s3 import Gate
from ais.s3 import answers, encryption, facts, lifecycle, new_object
from ais.s3.buckets import S3Bucket
from ais.s3.conditions import Current, http_date
from ais.s3.facts import Facts
from ais.s3.front import S3Request
from ais.s3.identity import Identity
from ais.s3.lifecycle import Subject
from ais.target.view import BucketView


class S3Ask(NamedTuple):
    """A request, who asks, and the bucket as S3 and as the data path see it. `lines`: what every answer begins with.

    `since`: as of `Volume.require_unmoved`, when all of the object was here.
    """

    request: S3Request
    caller: Identity
    bucket: S3Bucket
    view: BucketView
    lines: bytes
    gate: Gate
    since: int | None = None

    @property
    def key(self) -> str:
        """The object."""
        return self.request.key

    @property
    def uname(self) -> str:
        """What placement hashes."""
        return self.view.uname + self.request.key

    @property
    def version_id(self) -> str | None:
        """The version asked for; None: the current one."""
        return self.request.params.get("versionId")

    def rules(self, event: str) -> WriteRules:
        """How to write what the request makes; `event` is told to who wants to know."""
        rules = self.view.rules
        return rules if rules.event is None else msgspec.structs.replace(rules, event=self._event(event))

    def _event(self, name: str) -> Event:
        return Event(name, self.caller.user or "", self.request.http.remote.rpartition(":")[0], self.request.id)

    def facts(self) -> Facts:
        """What the request says about the object it makes. Raise `S3Error`."""
        return new_object.facts_of(self.request, self.caller, self.bucket, self.gate.is_user, self.gate.now_s)

    def seal(self) -> Seal | None:
        """The data key of the object that the request makes; None: it is not encrypted. Raise `S3Error`."""
        wanted = encryption.of_headers(self.request, self.bucket.encryption)
        return None if wanted is None else encryption.seal(wanted, self.gate.keys)

    def data_key(self, kept: Facts) -> bytes | None:
        """The data key of an object there is; None when it is not encrypted. Raise `S3Error`."""
        return encryption.open_key(kept, encryption.customer_key(self.request), self.gate.keys)

    def modified_ns(self, opened: OpenObject) -> int:
        """When an object was changed last (Unix ns)."""
        return self.view.modified_ns(opened.meta, opened.stat.st_mtime_ns)

    def current(self, opened: OpenObject) -> Current:
        """What the conditions of a read are compared with."""
        return current_of(opened)._replace(modified_s=self.modified_ns(opened) / 1e9)

    def reply(self, status: int, *pairs: tuple[str, str]) -> Reply:
        """An answer without a body."""
        return Reply(status, self.head(pairs))

    def xml(self, body: bytes, *pairs: tuple[str, str]) -> Reply:
        """200 with a document."""
        return Reply(200, self.head((("Content-Type", answers.XML), *pairs)), body)

    def head(self, pairs: Iterable[tuple[str, str]]) -> bytes:
        """Header lines of an answer."""
        return self.lines + header_lines(*pairs)

    def expiration_lines(self, meta: ObjectMeta, modified_s: float) -> tuple[tuple[str, str], ...]:
        """When a lifecycle rule removes the current version, in buckets that have such rules."""
        if not self.bucket.s3.lifecycle or self.version_id is not None:
            return ()
        subject = Subject(self.key, sealing.size_of(meta), modified_s, facts.tags_of(meta.facts))
        due = lifecycle.expiration(self.bucket.lifecycle, subject)
        if due is None:
            return ()
        return (("x-amz-expiration", f'expiry-date="{http_date(due[0])}", rule-id="{quote(due[1], safe=" ")}"'),)

    def written_lines(self, meta: ObjectMeta) -> tuple[tuple[str, str], ...]:
        """The version ID of what was written; none while versioning is suspended, as Amazon answers."""
        return (("x-amz-version-id", meta.version_id),) if meta.version_id else ()

    def version_lines(self, meta: ObjectMeta) -> tuple[tuple[str, str], ...]:
        """The version ID, in buckets that have such."""
        return (("x-amz-version-id", meta.version_id or NULL),) if self.bucket.keeps_versions else ()


def etag_of(meta: ObjectMeta, mtime_ns: int) -> str:
    """The entity tag, unquoted."""
    seen = sealing.plain(meta)
    return facts.etag_of(meta.facts, seen.checksum_kind, seen.checksum, mtime_ns, seen.size)


def current_of(opened: OpenObject) -> Current:
    """What conditions are compared with."""
    mtime_ns = opened.stat.st_mtime_ns
    return Current(etag_of(opened.meta, mtime_ns), mtime_ns / 1e9, sealing.size_of(opened.meta))
