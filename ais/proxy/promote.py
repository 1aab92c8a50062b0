"""`promote` at a proxy (wire contract §10): files on the targets' disks become objects.

Targets that all see the same files under the path (a file share, or one machine) each take those whose names they own;
else each takes all it sees, and sends what others own.
"""

import contextlib

from aiohttp import web

from ais.api import access, blob, codec
from ais.api.access import Access
from ais.api.bucket import Bck
from ais.api.messages import ActMsg
from ais.api.promotion import ACTION, KIND, PROMOTIONS, Found, PromoteMsg, PromoteTask
from ais.api.xact import ArgsMsg
from ais.base import names
from ais.base.errors import AisError, Busy, Conflict, InvalidAction, InvalidSource
from ais.base.ids import new_id
from ais.meta.smap import Snode
from ais.node.node import Node
from ais.proxy.blobs import BlobStarter
from ais.proxy.jobs import Jobs
from ais.proxy.redirect import OBJECTS, require_bucket, require_own
from ais.proxy.requests import BucketAddress, text_reply
from ais.proxy.targets import Targets
from ais.reb import plan

PATH = OBJECTS + "{bucket}"


class Promoter:
    """The endpoint. One per proxy."""

    def __init__(self, node: Node, targets: Targets, jobs: Jobs, blobs: BlobStarter) -> None:
        self._blobs = blobs
        self._node = node
        self._targets = targets
        self._jobs = jobs

    def routes(self) -> list[web.RouteDef]:
        """POST of a bucket's objects."""
        return [web.post(PATH, self.post)]

    async def post(self, request: web.Request) -> web.Response:
        """Promote; the job's ID, or nothing for one file, which is an object then. Raise what a target says."""
        message = ActMsg.parse(await request.read())
        if message.action == blob.KIND:
            return text_reply(await self._blobs.start(address_of(request).bck, message))
        if message.action != ACTION:
            raise InvalidAction(message.action, (ACTION, blob.KIND))
        bucket = require_own(require_bucket(self._node.bmd, address_of(request).bck), "promote files into")
        access.require(bucket.props.access, Access.PROMOTE, bucket.bck.cname())
        asked = codec.convert_strictly({} if message.value is None else message.value, PromoteMsg)
        path = asked.source or message.name
        if not path.startswith("/"):
            raise InvalidSource(path, "must be an absolute path")
        names.check_object_prefix(asked.name)
        smap = self._node.smap
        if smap.moving:
            raise Busy("cannot promote while objects move to other targets: wait for the rebalance to end")
        task = PromoteTask(
            new_id(self._node.env.rng),
            bucket.bck,
            path.rstrip("/"),
            asked.name,
            asked.recursive,
            asked.overwrite,
            asked.delete,
            map_version=int(smap.version),
            owners=plan.owners(smap),
        )
        return text_reply(await self._promote(task, asked))

    async def _promote(self, task: PromoteTask, asked: PromoteMsg) -> str:
        targets = [self._targets.require(asked.target_id)] if asked.target_id else self._targets.all
        path = f"{PROMOTIONS}/{task.uuid}"
        answers = await self._targets.ask_all("GET", path, body=codec.to_json(task), only=targets)
        found = {target: codec.from_json(answer.body, Found) for target, answer in answers.items()}
        are_same = len({one.digest for one in found.values()}) == 1 and not asked.not_shared
        if len({one.is_directory for one in found.values()}) > 1:
            raise Conflict(f'"{task.source}" is a file on some targets and a directory on others: name one, tid=<ID>')
        if next(iter(found.values())).is_directory:
            return await self._directory(task, targets, is_shared=are_same and len(targets) > 1)
        if len(targets) > 1 and not are_same:
            raise Conflict(f'"{task.source}" is another file on each target: name one, tid=<ID>')
        return await self._file(task, targets)

    async def _file(self, task: PromoteTask, targets: list[Snode]) -> str:
        """By the target that owns the name, if it sees the file. Return when it is an object."""
        is_name = task.name and not task.name.endswith("/")
        name = task.name if is_name else task.name + task.source.rpartition("/")[2]
        owner = self._node.placement.owner(task.bck.uname + name)
        target = next((one for one in targets if one.id == owner.id), targets[0])
        body = codec.to_json(codec.convert(codec.to_builtins(task) | {"waits": True}, PromoteTask))
        await self._targets.ask(target, "PUT", f"{PROMOTIONS}/{task.uuid}", body=body, timeout_s=self._long_s)
        return ""

    async def _directory(self, task: PromoteTask, targets: list[Snode], *, is_shared: bool) -> str:
        body = codec.to_json(codec.convert(codec.to_builtins(task) | {"is_shared": is_shared}, PromoteTask))
        try:
            await self._targets.ask_all("PUT", f"{PROMOTIONS}/{task.uuid}", body=body, only=targets)
        except AisError:
            with contextlib.suppress(AisError):
                await self._jobs.stop(ArgsMsg(id=task.uuid, kind=KIND))
            raise
        return task.uuid

    @property
    def _long_s(self) -> float:
        return float(self._node.config.cluster.client.client_long_timeout)


def address_of(request: web.Request) -> BucketAddress:
    """The bucket that is named."""
    path, _, query_string = request.raw_path.partition("?")
    return BucketAddress.parse(path[len(OBJECTS) :], query_string)


async def needs(request: web.Request) -> list[tuple[Access, Bck | None]]:
    """What it needs."""
    return [(Access.PROMOTE, address_of(request).bck)]
