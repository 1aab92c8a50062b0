"""Jobs on groups of objects at a proxy (wire contract §9.3, §9.4): checked, then started on every target.

Each target works on the objects it owns. What cannot work for any object is refused before anything starts.
"""

import contextlib
from typing import Any

import msgspec

from ais.api import access, codec, groups
from ais.api.access import Access
from ais.api.blob import Parts
from ais.api.bucket import AIS, Bck
from ais.api.groups import CopyBucketMsg, CopyMsg, DeleteMsg, GroupTask, IndexMsg, PrefetchMsg, RechunkMsg
from ais.api.xact import ArgsMsg
from ais.base import names, templates
from ais.base.errors import AisError, BadRequest, Busy, NotYetImplemented
from ais.base.ids import new_id
from ais.meta.bmd import Bucket
from ais.node.long import aside, check_count
from ais.node.node import Node
from ais.proxy.changes import BucketChanges
from ais.proxy.jobs import Jobs
from ais.proxy.redirect import require_bucket
from ais.proxy.targets import Targets
from ais.reb import plan


class Groups:
    """Starts the jobs. All return the ID of the job."""

    def __init__(self, node: Node, targets: Targets, jobs: Jobs, changes: BucketChanges) -> None:
        self._node = node
        self._targets = targets
        self._jobs = jobs
        self._changes = changes

    async def delete(self, bucket: Bucket, message: DeleteMsg) -> str:
        """Delete objects. Raise `BadRequest`, `AccessDenied`."""
        access.require(bucket.props.access, Access.DELETE_OBJECT, bucket.bck.cname())
        return await self._start(await self._selected(groups.DELETE, bucket, message))

    async def evict(self, bucket: Bucket, message: DeleteMsg) -> str:
        """Remove what is here of objects that a backend has. Raise as `delete`."""
        access.require(bucket.props.access, Access.DELETE_OBJECT, bucket.bck.cname())
        return await self._start(await self._selected(groups.EVICT, bucket, message))

    async def prefetch(self, bucket: Bucket, message: PrefetchMsg) -> str:
        """Have objects here that a backend has. Raise `BadRequest`, `AccessDenied`."""
        access.require(bucket.props.access, Access.GET, bucket.bck.cname())
        task = await self._selected(groups.PREFETCH, bucket, message)
        if message.blob_threshold < 0:
            raise BadRequest(f"invalid blob-threshold {message.blob_threshold}: expected a size in bytes")
        parts = Parts.of(message.blob_chunk_size, message.blob_workers)
        return await self._start(
            msgspec.structs.replace(task, latest=message.latest, blob_threshold=message.blob_threshold, parts=parts)
        )

    async def index(self, bucket: Bucket, message: IndexMsg) -> str:
        """Make the indexes of shards. Raise as `prefetch`."""
        access.require(bucket.props.access, Access.GET, bucket.bck.cname())
        names.check_object_prefix(message.prefix)
        return await self._start(
            GroupTask(
                new_id(self._node.env.rng),
                groups.INDEX,
                bucket.bck,
                template=message.prefix,
                workers=message.workers,
                continue_on_error=True,
                not_recursive=message.not_recursive,
                skip_verify=message.skip_verify,
            )
        )

    async def rechunk(self, bucket: Bucket, message: RechunkMsg | None = None) -> str:
        """Say of objects in which chunks they are read: as asked for, else as the bucket has it.

        Raise `BadRequest`, `AccessDenied`, `NotYetImplemented`.
        """
        chunks = bucket.props.chunks
        message = message or RechunkMsg(int(chunks.objsize_limit), int(chunks.chunk_size))
        access.require(bucket.props.access, Access.PUT, bucket.bck.cname())
        names.check_object_prefix(message.prefix)
        if message.synchronize:
            raise NotYetImplemented("cannot upload objects to their backend in other chunks - not implemented yet")
        if message.limit < 0 or message.chunk_size < 0 or (message.limit and not message.chunk_size):
            raise BadRequest(
                "failed to rechunk: chunk size is not set: chunk-size is to be positive with objsize-limit"
            )
        return await self._start(
            GroupTask(
                new_id(self._node.env.rng),
                groups.RECHUNK,
                bucket.bck,
                template=message.prefix,
                continue_on_error=True,
                chunked_from=message.limit,
                chunk_size=message.chunk_size,
            )
        )

    async def _selected(self, kind: str, bucket: Bucket, message: DeleteMsg) -> GroupTask:
        await self._check_selection(message.names, message.template)
        return GroupTask(
            new_id(self._node.env.rng),
            kind,
            bucket.bck,
            names=message.names,
            template=message.template,
            workers=message.workers,
            continue_on_error=message.continue_on_error,
            not_recursive=message.not_recursive,
        )

    async def copy_bucket(self, source: Bucket, to: str, value: Any, *, only_here: bool) -> str:
        """Copy a bucket, or what has a prefix, to the bucket of this uname, which is made when there is none.

        `only_here`: of a remote bucket, what is in the cluster.
        """
        message = codec.convert_strictly({} if value is None else value, CopyBucketMsg)
        if not to:
            raise BadRequest('missing "bck_to" query parameter')
        bck = Bck.parse_uname(to)[0]
        return await self._copy(groups.COPY_BUCKET, source, bck, message, None, message.prefix, only_here=only_here)

    async def copy_objects(self, source: Bucket, message: CopyMsg, *, only_here: bool) -> str:
        """Copy the objects named to a bucket, which is made when there is none; `only_here` as `copy_bucket`."""
        if message.to is None or not message.to.name:
            raise BadRequest("copying objects needs the bucket they go to: tobck is missing")
        to = Bck.parse(message.to.name, message.to.provider, message.to.namespace.uname)
        await self._check_selection(message.names, message.template)
        template = message.template or message.prefix
        return await self._copy(groups.COPY, source, to, message, message.names, template, only_here=only_here)

    async def _copy(
        self,
        kind: str,
        source: Bucket,
        to: Bck,
        message: CopyBucketMsg,
        listed: list[str] | None,
        template: str,
        *,
        only_here: bool,
    ) -> str:
        walked = template if listed is None and templates.parse(template).is_prefix else None
        self._check_copy(kind, source, to, message, walked)
        access.require(source.props.access, Access.GET, source.bck.cname())
        if self._node.bmd.get(to) is None and not message.dry_run and to.provider == AIS and not to.namespace.uuid:
            unlinked = msgspec.structs.replace(source.props, backend_bck=Bck("", ""))
            await self._changes.create(to, codec.to_builtins(unlinked))
        if self._node.bmd.get(to) is not None:
            written = Access.PUT | (Access.DELETE_OBJECT if message.synchronize else Access(0))
            access.require(require_bucket(self._node.bmd, to).props.access, written, to.cname())
        extensions = {old.lstrip("."): new.lstrip(".") for old, new in (message.extensions or {}).items()}
        return await self._start(
            GroupTask(
                new_id(self._node.env.rng),
                kind,
                source.bck,
                to,
                listed,
                template,
                message.prepend,
                extensions,
                message.dry_run,
                message.synchronize,
                message.workers,
                message.continue_on_error,
                message.not_recursive,
                latest=message.latest or message.synchronize,
                only_here=only_here,
            )
        )

    def _check_copy(self, kind: str, source: Bucket, to: Bck, message: CopyBucketMsg, walked: str | None) -> None:
        if message.etl or message.pipeline:
            raise NotYetImplemented("cannot transform objects (ETL) - not implemented yet")
        if message.synchronize and message.prepend:
            raise BadRequest(
                f'prepend option ("{message.prepend}") is incompatible with the request to synchronize buckets'
            )
        if message.synchronize and (message.extensions or kind != groups.COPY_BUCKET):
            raise BadRequest("only whole buckets or prefixes with the same names can be synchronized")
        is_renaming = bool(message.prepend or message.extensions)
        meets_copies = walked is not None and (message.prepend + walked).startswith(walked)
        is_refresh = source.has_backend and not is_renaming
        if source.bck == to and not (message.dry_run or is_refresh) and (meets_copies or not is_renaming):
            raise BadRequest(f'cannot {kind} bucket "{source.bck.cname()}" onto itself')
        names.check_object_prefix(message.prefix)
        names.check_object_prefix(message.prepend)

    async def _check_selection(self, listed: list[str] | None, template: str) -> None:
        """Raise `BadRequest` for a name or template that is none, and `TooLarge` for too many names."""
        if listed and template:
            raise BadRequest("a group of objects is either a list of names or a template, not both")
        if listed:
            check_count(len(listed), self._node.config.cluster.limits)
            await aside(len(listed), names.check_object_names, listed)
        names.check_object_prefix(templates.parse(template).prefix)

    async def _start(self, task: GroupTask) -> str:
        """Start it on every target. Raise `Busy` when objects move: those on their way would be missed."""
        if self._node.smap.moving and task.names is None and templates.parse(task.template).is_prefix:
            raise Busy(f"cannot {task.kind} while objects move to other targets: wait for the rebalance to end")
        smap = self._node.smap
        task = msgspec.structs.replace(task, map_version=int(smap.version), owners=plan.owners(smap))
        body = await aside(len(task.names or ()), GroupTask.to_json, task)
        try:
            await self._targets.ask_all("PUT", groups.GROUPS, body=body)
        except AisError:
            with contextlib.suppress(AisError):
                await self._jobs.stop(ArgsMsg(id=task.uuid, kind=task.kind))
            raise
        return task.uuid
