"""`/v1/sort` (wire contract §13.2): checks a sort and starts it on every target; lists, aborts and removes sorts.

No proxy keeps anything about a sort: each answer is put together from the targets' xactions.
"""

import contextlib
from collections.abc import Callable

import msgspec
import psutil
from aiohttp import web

from ais.api import access, codec, query
from ais.api.access import Access
from ais.api.codec import U64
from ais.api.dsort import DSORT, ID_PREFIX, KIND, SORT, JobInfo, SortTask
from ais.api.xact import ZERO_TIME, ArgsMsg, QueryMsg, Snap
from ais.base.errors import AisError, BadRequest, Busy, NotFound, XactionNotFound
from ais.base.ids import is_valid_uuid, new_id
from ais.base.units import parse_bool
from ais.dsort import spec
from ais.net.app import params_of
from ais.node.long import decoded
from ais.node.node import Node
from ais.proxy.changes import BucketChanges
from ais.proxy.jobs import Jobs
from ais.proxy.redirect import require_bucket, require_own
from ais.proxy.relay import Relay
from ais.proxy.requests import json_text_reply, route, text_reply
from ais.proxy.targets import Targets, found
from ais.reb import plan
from ais.shard import match

_PHASES = ("local_extraction", "meta_sorting", "shard_creation")


class Sorts:
    """The endpoint. One per proxy."""

    def __init__(self, node: Node, targets: Targets, jobs: Jobs, relay: Relay) -> None:
        self._node = node
        self._relay = relay
        self._changes = BucketChanges(node)
        self._targets = targets
        self._jobs = jobs

    def routes(self) -> list[web.RouteDef]:
        """All sorts, and what is done to one."""
        return [
            web.post(SORT, self.start),
            route("GET", SORT, self.show),
            web.delete(SORT + "/abort", self.abort),
            web.delete(SORT, self.remove),
        ]

    async def start(self, request: web.Request) -> web.Response:
        """Begin; answer with the ID. A bucket for the output that is not there is made as that of the input.

        Raise `BadRequest`, `BucketNotFound`, `AccessDenied`, `Busy`.
        """
        value = await decoded(await request.read(), codec.parse_json)
        targets, smap = sorted(one.id for one in self._targets.all), self._node.smap
        uuid = ID_PREFIX + new_id(self._node.env.rng)
        config = self._node.config.cluster.distributed_sort
        task = spec.check(value, uuid, _first(targets, uuid), config, psutil.virtual_memory().total)
        task = msgspec.structs.replace(task, map_version=int(smap.version), owners=plan.owners(smap))
        source = require_own(require_bucket(self._node.bmd, task.source), "sort shards of")
        access.require(source.props.access, Access.GET, source.bck.cname())
        if smap.moving:
            raise Busy("cannot sort while objects move to other targets: wait for the rebalance to end")
        if self._node.bmd.get(task.to) is None and not task.dry_run:
            if (answer := await self._relay.to_primary(request)) is not None:
                return answer
            await self._changes.create(task.to, codec.to_builtins(source.props))
        to = require_own(require_bucket(self._node.bmd, task.to), "sort shards of")
        access.require(to.props.access, Access.PUT, to.bck.cname())
        await self._start(task)
        return text_reply(uuid)

    async def _start(self, task: SortTask) -> None:
        try:
            await self._targets.ask_all("PUT", f"{DSORT}/{task.uuid}", body=codec.to_msgpack(task))
        except AisError:
            with contextlib.suppress(AisError):
                await self._jobs.stop(ArgsMsg(id=task.uuid, kind=KIND))
            raise

    async def show(self, request: web.Request) -> web.Response:
        """One by ID, per target; else a list. Raise `NotFound`, `BadRequest`."""
        params = params_of(request)
        if uuid := params.get(query.UUID, ""):
            snaps = await self._snaps(uuid)
            if not any(snaps.values()):
                raise NotFound(f"[dsort] {uuid} does not exist")
            return json_text_reply({target: _info(ones[0]) for target, ones in snaps.items() if ones})
        matches = _matcher(params.get("regex", ""))
        only_active = parse_bool(params.get("only_active", ""))
        by_id: dict[str, list[Snap]] = {}
        for ones in (await self._snaps("")).values():
            for snap in ones:
                by_id.setdefault(snap.id, []).append(snap)
        infos = [_merged(list(map(_info, snaps))) for snaps in by_id.values()]
        shown = [
            one
            for one in infos
            if matches(one.metrics.get("description", "") or one.id) and not (only_active and one.archived)
        ]
        return json_text_reply(sorted(shown, key=lambda one: one.started_time))

    async def abort(self, request: web.Request) -> web.Response:
        """Stop it; one that has ended is left as it is. Raise `NotFound`."""
        uuid = _uuid(request)
        if not any((await self._snaps(uuid)).values()):
            raise NotFound(f"dsort job {uuid} does not exist")
        await self._jobs.stop(ArgsMsg(id=uuid, kind=KIND))
        return web.Response()

    async def remove(self, request: web.Request) -> web.Response:
        """Forget one that has ended. Raise `NotFound`, `BadRequest`."""
        uuid = _uuid(request)
        snaps = [snap for ones in (await self._snaps(uuid)).values() for snap in ones]
        if not snaps:
            raise NotFound(f'invalid request: job "{uuid}" does not exist')
        if not all(snap.is_finished for snap in snaps):
            raise BadRequest(f"dsort job {uuid} is still running: abort it first")
        found(await self._targets.outcomes("DELETE", f"{DSORT}/{uuid}", only=self._targets.present))
        return web.Response()

    async def _snaps(self, uuid: str) -> dict[str, list[Snap]]:
        if uuid and not is_valid_uuid(uuid):
            raise NotFound(f"dsort job {uuid[:40]} does not exist")
        try:
            return await self._jobs.snaps(QueryMsg(id=uuid, kind=KIND))
        except XactionNotFound:
            return {}


def _first(targets: list[str], uuid: str) -> list[str]:
    """The targets, the one first who leads: another one each time."""
    start = sum(uuid.encode()) % len(targets)
    return targets[start:] + targets[:start]


def _uuid(request: web.Request) -> str:
    uuid = params_of(request).get(query.UUID, "")
    if not uuid:
        raise BadRequest("the sort's ID is missing: uuid=<ID>")
    return uuid


def _matcher(pattern: str) -> Callable[[str], object]:
    return match.expression(pattern) if pattern else lambda _text: True


def _info(snap: Snap) -> JobInfo:
    """What one target says about its part."""
    metrics = dict(snap.ext or {})
    phases = [metrics.get(name) or {} for name in _PHASES]
    is_aborted = snap.aborted or bool(snap.err) or bool(metrics.get("aborted"))
    metrics |= {"aborted": is_aborted, "archived": snap.is_finished}
    return JobInfo(
        id=snap.id,
        src_bck=snap.src_bck,
        dst_bck=snap.dst_bck,
        started_time=phases[0].get("started_time", ZERO_TIME),
        finish_time=snap.end_time,
        started_meta_sorting=phases[0].get("elapsed", 0),
        started_shard_creation=phases[1].get("elapsed", 0),
        finished_shard_creation=phases[2].get("elapsed", 0),
        objects=U64(phases[0].get("extracted_count", 0)),
        bytes=U64(phases[0].get("extracted_size", 0)),
        metrics=metrics,
        aborted=is_aborted,
        archived=snap.is_finished,
    )


def _merged(infos: list[JobInfo]) -> JobInfo:
    """The whole job: from its first start to its last end; the metrics are those of one target, as AIStore's."""

    is_archived = all(one.archived for one in infos)
    return JobInfo(
        id=infos[0].id,
        src_bck=infos[0].src_bck,
        dst_bck=infos[0].dst_bck,
        started_time=min(one.started_time for one in infos),
        finish_time=max(one.finish_time for one in infos) if is_archived else ZERO_TIME,
        started_meta_sorting=max(one.started_meta_sorting for one in infos),
        started_shard_creation=max(one.started_shard_creation for one in infos),
        finished_shard_creation=max(one.finished_shard_creation for one in infos),
        objects=U64(sum(one.objects for one in infos)),
        bytes=U64(sum(one.bytes for one in infos)),
        metrics=infos[0].metrics,
        aborted=any(one.aborted for one in infos),
        archived=is_archived,
    )
