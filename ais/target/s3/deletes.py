"""DeleteObject, and the keys of a DeleteObjects that this target owns."""

from ais.base.errors import AisError, ObjectNotFound, VersionNotFound
from ais.core.publish import Condition
from ais.core.store import Store
from ais.core.versions import NULL
from ais.core.workfile import WriteRules
from ais.fs.volume import BegunToMove, Volume
from ais.net.http import Reply
from ais.s3 import conditions, lock
from ais.s3.conditions import Conditions
from ais.s3.documents import Deleted, KeyToDelete
from ais.s3.errors import S3Error, as_s3
from ais.stats import names as metrics
from ais.stats.tracker import Tracker
from ais.target.remote.through import Through
from ais.target.s3.ask import S3Ask
from ais.target.s3.receiving import check_of, condition_of
from ais.target.uploads import in_pool
from ais.target.view import BucketView


class Deletes:
    """Removes objects and versions, or covers them with delete markers."""

    def __init__(self, store: Store, volume: Volume, stats: Tracker, through: Through) -> None:
        self._through = through
        self._store = store
        self._volume = volume
        self._stats = stats

    async def delete(self, ask: S3Ask) -> Reply:
        """DeleteObject: 204 also for what is not there."""
        wanted = conditions.read_delete(ask.request)
        bypass = lock.asks_to_bypass(ask.request)
        key = KeyToDelete(ask.key, ask.version_id)
        outcome = await self._delete(ask.view, ask.rules(""), key, wanted, bypass, ask.since)
        pairs: list[tuple[str, str]] = []
        if outcome.delete_marker:
            pairs.append(("x-amz-delete-marker", "true"))
        if version_id := outcome.marker_version_id or outcome.version_id:
            pairs.append(("x-amz-version-id", version_id))
        return ask.reply(204, *pairs)

    async def delete_key(self, view: BucketView, key: KeyToDelete, bypass: bool, since: int) -> Deleted:
        """The outcome of a key, also when that fails. `bypass`: governance mode does not hold. `since`: as of
        `Volume.require_unmoved`. Raise `BegunToMove`.
        """
        try:
            wanted = conditions.with_facts(Conditions(match=key.etag), key.modified, key.size)
            return await self._delete(view, view.rules, key, wanted, bypass, since)
        except BegunToMove:
            raise
        except AisError as error:
            known = as_s3(error)
            return Deleted(key.key, key.version_id or "", code=known.code, message=str(known))

    async def _delete(
        self,
        view: BucketView,
        rules: WriteRules,
        key: KeyToDelete,
        wanted: Conditions,
        bypass: bool,
        since: int | None,
    ) -> Deleted:
        version_id = key.version_id
        if view.remote is not None:
            if version_id not in (None, NULL):
                raise S3Error("NotImplemented", "Versions of objects in remote buckets are deleted at their backend")
            await self._through.delete(view, key.key, check_of(wanted))
            self._stats.inc(metrics.DEL_N)
            return Deleted(key.key, version_id or "")
        condition = condition_of(wanted, self._store, view.bck, key.key, version_id)
        pool = self._volume.place(view.uname + key.key).pool

        def delete() -> Deleted:
            if version_id is not None:
                return self._delete_version(view, rules, key.key, version_id, condition, bypass, since)
            removed = self._store.delete(view.bck, key.key, condition, rules, since=since)
            if removed.marker_id is None:
                return Deleted(key.key)
            return Deleted(key.key, delete_marker=True, marker_version_id=removed.marker_id or NULL)

        try:
            outcome = await in_pool(pool, delete)
        except (ObjectNotFound, VersionNotFound):
            conditions.check_write(wanted, None)
            return Deleted(key.key, version_id or "")
        self._stats.inc(metrics.DEL_N)
        return outcome

    def _delete_version(
        self,
        view: BucketView,
        rules: WriteRules,
        key: str,
        version_id: str,
        condition: Condition | None,
        bypass: bool,
        since: int | None,
    ) -> Deleted:
        removed = self._store.delete_version(
            view.bck, key, version_id, condition, bypass=bypass, fsync=rules.fsync, event=rules.event, since=since
        )
        if removed is not None and removed.is_marker:
            return Deleted(key, version_id, delete_marker=True, marker_version_id=version_id)
        return Deleted(key, version_id)
