"""Tags and access control lists of objects."""

from collections.abc import Awaitable, Callable, Mapping

import msgspec

from ais.core.meta import ObjectMeta
from ais.core.store import Store
from ais.fs.volume import Volume
from ais.net.http import AnyReply, Reply, Upload
from ais.s3 import documents, facts, tagging
from ais.s3.document_body import DocumentSink
from ais.s3.payload import Payload
from ais.target.s3.ask import S3Ask
from ais.target.uploads import in_pool

DOCUMENT_BYTES_MAX = 64 << 10


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
        """GetObjectAcl: the owner's full control is all there is."""
        meta = self._store.head(ask.view.bck, ask.key, ask.version_id).meta
        return ask.xml(documents.access_control(ask.bucket.s3.owner), *ask.version_lines(meta))

    def put_acl(self, ask: S3Ask) -> Upload:
        """PutObjectAcl: what there is already may be asked for, nothing else."""
        facts.check_offers(ask.request)
        self._store.head(ask.view.bck, ask.key, ask.version_id)

        def take(body: bytes) -> Reply:
            if body:
                documents.check_access_control(body)
            return ask.reply(200)

        return _taking(ask, take)

    async def _change(self, ask: S3Ask, tags: Mapping[str, str], status: int) -> Reply:
        def change(meta: ObjectMeta) -> ObjectMeta:
            return msgspec.structs.replace(meta, facts=facts.with_tags(meta.facts, tags))

        pool = self._volume.place(ask.uname).pool
        meta = await in_pool(pool, lambda: self._store.update(ask.view.bck, ask.key, change, ask.version_id))
        return ask.reply(status, *ask.version_lines(meta))


def _taking(ask: S3Ask, take: Callable[[bytes], Reply | Awaitable[Reply]]) -> Upload:
    payload = Payload(ask.request, ask.caller, with_md5=False)
    return Upload(DocumentSink(payload, DOCUMENT_BYTES_MAX, take))
