"""`/v1/download` (wire contract §13.1): checks a job and starts it on every target; lists, aborts, removes jobs.

No proxy keeps anything about a job: each answer is put together from the targets' xactions.
"""

import contextlib
from collections.abc import Iterable

import msgspec
from aiohttp import web

from ais.api import access, codec
from ais.api.access import Access
from ais.api.bucket import Bck
from ais.api.download import (
    DOWNLOAD,
    DOWNLOADS,
    ID_PREFIX,
    KIND,
    ONLY_ACTIVE,
    RUNNING,
    Counts,
    DownloadQuery,
    DownloadTask,
    FileError,
    Files,
    JobInfo,
    JobStatus,
    Started,
)
from ais.api.xact import ArgsMsg, QueryMsg, Snap
from ais.base.errors import AisError, BadRequest, Busy, DownloadNotFound, XactionNotFound
from ais.base.ids import is_valid_uuid, new_id
from ais.node.long import decoded
from ais.node.node import Node
from ais.proxy import download_request
from ais.proxy.changes import BucketChanges
from ais.proxy.jobs import Jobs
from ais.proxy.redirect import require_bucket, require_own
from ais.proxy.relay import Relay
from ais.proxy.requests import json_text_reply, route
from ais.proxy.targets import Targets, found
from ais.reb import plan
from ais.shard import match


class Downloads:
    """The endpoint. One per proxy."""

    def __init__(self, node: Node, targets: Targets, jobs: Jobs, relay: Relay) -> None:
        self._node = node
        self._targets = targets
        self._jobs = jobs
        self._changes = BucketChanges(node)
        self._relay = relay

    def routes(self) -> list[web.RouteDef]:
        """All jobs, and what is done to one."""
        return [
            web.post(DOWNLOAD, self.start),
            route("GET", DOWNLOAD, self.show),
            web.delete(DOWNLOAD + "/abort", self.abort),
            web.delete(DOWNLOAD + "/remove", self.remove),
        ]

    async def start(self, request: web.Request) -> web.Response:
        """Begin; answer with the ID. A bucket that is not there is made. Raise `BadRequest`, `AccessDenied`, `Busy`."""
        message = await decoded(await request.read(), download_request.read)
        targets, smap = self._targets.all, self._node.smap
        timeout_s = float(self._node.config.cluster.downloader.timeout)
        task = download_request.check(message, ID_PREFIX + new_id(self._node.env.rng), timeout_s, len(targets))
        task = msgspec.structs.replace(task, map_version=int(smap.version), owners=plan.owners(smap))
        if smap.moving:
            raise Busy("cannot download while objects move to other targets: wait for the rebalance to end")
        if self._node.bmd.get(task.bck) is None:
            if (answer := await self._relay.to_primary(request)) is not None:
                return answer
            await self._changes.create(task.bck, {})
        bucket = require_own(require_bucket(self._node.bmd, task.bck), "download into")
        access.require(bucket.props.access, Access.PUT, bucket.bck.cname())
        await self._start(task)
        return web.Response(body=codec.to_json(Started(task.uuid)), content_type="application/json")

    async def _start(self, task: DownloadTask) -> None:
        try:
            await self._targets.ask_all("PUT", f"{DOWNLOADS}/{task.uuid}", body=codec.to_msgpack(task))
        except AisError:
            with contextlib.suppress(AisError):
                await self._jobs.stop(ArgsMsg(id=task.uuid, kind=KIND))
            raise

    async def show(self, request: web.Request) -> web.Response:
        """One by ID with its files, else a list. Raise `NotFound`, `BadRequest`."""
        asked = await _query(request)
        if asked.id:
            return json_text_reply(await self._status(asked))
        matches = match.expression(asked.regex) if asked.regex else None
        by_id: dict[str, list[Snap]] = {}
        for ones in (await self._snaps("")).values():
            for snap in ones:
                by_id.setdefault(snap.id, []).append(snap)
        infos = [_merged(snaps)[0] for snaps in by_id.values()]
        shown = [
            one
            for one in infos
            if (matches is None or matches(one.description)) and (one.finished_time == RUNNING or not asked.only_active)
        ]
        return json_text_reply(sorted(shown, key=lambda one: one.started_time))

    async def _status(self, asked: DownloadQuery) -> JobStatus:
        snaps = [snap for ones in (await self._snaps(asked.id)).values() for snap in ones]
        if not snaps:
            raise DownloadNotFound(f"download job {asked.id[:40]} does not exist")
        answers = found(
            await self._targets.outcomes(
                "GET",
                f"{DOWNLOADS}/{asked.id}",
                query={ONLY_ACTIVE: str(asked.only_active).lower()},
                only=self._targets.present,
            )
        ).values()
        parts = [codec.from_json(answer.body, Files) for answer in answers]
        info, left = _merged(snaps)
        errors = [error for part in parts for error in part.errors]
        if left and not asked.only_active:
            errors.append(
                FileError("", f"{left} files were not looked at, their targets left the cluster: start again")
            )
        return JobStatus(
            **codec.to_builtins(info),
            current_tasks=[file for part in parts for file in part.current],
            finished_tasks=[file for part in parts for file in part.finished],
            errors=errors,
        )

    async def abort(self, request: web.Request) -> web.Response:
        """Stop it; one that has ended is left as it is. Raise `NotFound`."""
        uuid = await self._known(request)
        await self._jobs.stop(ArgsMsg(id=uuid, kind=KIND))
        return web.Response()

    async def remove(self, request: web.Request) -> web.Response:
        """Forget one that has ended, on all targets. Raise `NotFound`, `BadRequest`."""
        uuid = await self._known(request)
        if not all(snap.is_finished for ones in (await self._snaps(uuid)).values() for snap in ones):
            raise BadRequest(f'job "{uuid}" is still running: abort it first')
        found(await self._targets.outcomes("DELETE", f"{DOWNLOADS}/{uuid}", only=self._targets.present))
        return web.Response()

    async def _known(self, request: web.Request) -> str:
        uuid = (await _query(request)).id
        if not uuid:
            raise BadRequest("UUID not specified")
        if not any((await self._snaps(uuid)).values()):
            raise DownloadNotFound(f"download job {uuid[:40]} does not exist")
        return uuid

    async def _snaps(self, uuid: str) -> dict[str, list[Snap]]:
        if uuid and not is_valid_uuid(uuid):
            return {}
        try:
            return await self._jobs.snaps(QueryMsg(id=uuid, kind=KIND))
        except XactionNotFound:
            return {}


async def needs(request: web.Request) -> list[tuple[Access, Bck | None]]:
    """What starting a job needs: to write the bucket, and to make it if it is not there."""
    bck = download_request.bucket_of(download_request.read(await request.read()))
    return [(Access(access.READ_WRITE), bck), (Access.CREATE_BUCKET, None)]


async def _query(request: web.Request) -> DownloadQuery:
    asked = codec.convert_strictly(codec.parse_json(await request.read()), DownloadQuery)
    if asked.id and asked.regex:
        raise BadRequest("a job is shown by its ID or found by a regex: choose one or the other")
    return asked


def _merged(snaps: Iterable[Snap]) -> tuple[JobInfo, int]:
    """The whole job, from its first start to its last end, and how many files nobody looked at though it has ended.

    These count as errors. What was here already counts as finished, and as skipped too.
    """
    parts = list(snaps)
    counts = [codec.convert(snap.ext or {}, Counts) for snap in parts]
    is_ended = all(snap.is_finished for snap in parts)
    total = max(one.of for one in counts)
    is_aborted = any(snap.aborted for snap in parts)
    done = sum(one.finished + one.skipped + one.errors for one in counts)
    left = max(0, total - done) if is_ended and not is_aborted else 0
    info = JobInfo(
        id=parts[0].id,
        xaction_id=parts[0].id,
        description=next((one.description for one in counts if one.description), ""),
        started_time=min(snap.start_time for snap in parts),
        finished_time=max(snap.end_time for snap in parts) if is_ended else RUNNING,
        finished_cnt=sum(one.finished + one.skipped for one in counts),
        scheduled_cnt=sum(one.scheduled for one in counts),
        skipped_cnt=sum(one.skipped for one in counts),
        error_cnt=sum(one.errors for one in counts) + left,
        total=total,
        all_dispatched=all(one.all_dispatched for one in counts),
        aborted=is_aborted,
    )
    return info, left
