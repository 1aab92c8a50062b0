"""Tags and access control lists of objects."""

from collections.abc import Awaitable, Callable, Mapping

import msgspec

from ais.core.meta import ObjectMeta
from ais.core.store import Store
from ais.fs.volume import Volume
from ais.net.http import AnyReply, Reply, Upload
from ais.s3 import acl, document_body, facts, new_object, tagging
from ais.s3.acl import Asked
from ais.s3.errors import S3Error
from ais.s3.facts import Facts
from ais.s3.payload import Payload
from ais.target.s3.ask import S3Ask
from ais.target.uploads import in_pool


class Tags:
    """Reads and changes what can be changed without new content."""

    def __init__(self, store: Store, volume: Volume) -> None:
        self._store = store
        self._volume = volume

    def get(self, ask: S3Ask) -> Reply:
        """GetObjectTagging."""
        meta = self._store.head(ask.view.bck, ask.key, ask.version_id).meta
        return ask.xml(tagging.document(facts.tags_of(meta.facts)), *ask.version_lines(meta))

    def put(self, ask: S3Ask) -> Upload:
        """PutObjectTagging."""

        def take(body: bytes) -> Awaitable[Reply]:
            return self._change(ask, tagging.parse_document(body, tagging.OBJECT_TAGS_MAX), 200)

        return _taking(ask, take)

    def delete(self, ask: S3Ask) -> Awaitable[AnyReply]:
        """DeleteObjectTagging."""
        return self._change(ask, {}, 204)

    def get_acl(self, ask: S3Ask) -> Reply:
        """GetObjectAcl."""
        meta = self._store.head(ask.view.bck, ask.key, ask.version_id).meta
        return ask.xml(new_object.acl_of(meta.facts, ask.bucket).document(), *ask.version_lines(meta))

    def put_acl(self, ask: S3Ask) -> Upload:
        """PutObjectAcl: of headers, or of a document."""
        kept = self._store.head(ask.view.bck, ask.key, ask.version_id).meta.facts
        present = new_object.acl_of(kept, ask.bucket)
        asked = Asked(present.owner, ask.bucket.s3.owner, ask.gate.is_user)
        in_headers = acl.of_headers(ask.request.headers, asked) if acl.is_asked(ask.request.headers) else None

        def take(body: bytes) -> Awaitable[Reply]:
            if in_headers is not None and body:
                raise S3Error("UnexpectedContent", "This request takes its list from headers or from a document")
            wanted = in_headers or acl.of_document(body, asked)
            if not ask.bucket.uses_acls and not wanted.is_private:
                raise S3Error("AccessControlListNotSupported")
            new_object.check_public(wanted, ask.bucket)
            return self._update(ask, lambda now: new_object.with_acl(now, wanted), 200)

        if not ask.bucket.uses_acls and in_headers is not None:
            new_object.check_lists_disabled(ask.request)
            return _taking(ask, lambda _: ask.reply(200))
        return _taking(ask, take)

    async def _change(self, ask: S3Ask, tags: Mapping[str, str], status: int) -> Reply:
        return await self._update(ask, lambda kept: facts.with_tags(kept, tags), status)

    async def _update(self, ask: S3Ask, change_facts: Callable[[Facts], Facts], status: int) -> Reply:
        def change(meta: ObjectMeta) -> ObjectMeta:
            return msgspec.structs.replace(meta, facts=change_facts(meta.facts))

        view, pool = ask.view, self._volume.place(ask.uname).pool
        rules = ask.rules("")

        def step() -> ObjectMeta:
            return self._store.update(view.bck, ask.key, change, ask.version_id, fsync=rules.fsync, event=rules.event)

        meta = await in_pool(pool, step)
        return ask.reply(status, *ask.version_lines(meta))


def _taking(ask: S3Ask, take: Callable[[bytes], Reply | Awaitable[Reply]]) -> Upload:
    payload = Payload(ask.request, ask.caller, with_md5=False)
    return document_body.upload(payload, int(ask.gate.limits.document_size), take)
