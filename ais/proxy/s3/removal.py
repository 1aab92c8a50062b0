"""DeleteBucket: a bucket goes only when it is empty, and no acknowledged object goes with it.

The primary marks the bucket in the bucket metadata. A target that has taken the mark lets nothing become an object in
the bucket any more, and has finished what was under way (`ais.fs.volume.Volume.close_buckets`). Then every target is
asked whether it holds anything; the bucket is removed, or the mark. A mark whose deletion nobody drives, because the
primary died or was replaced, is taken away by whoever is primary.
"""

import asyncio

from ais.api import access, codec
from ais.api.access import Access
from ais.api.bucket import Bck
from ais.base.errors import AisError, Busy, NotReady
from ais.base.ids import new_id
from ais.meta import rename
from ais.meta.bmd import BMD
from ais.net.http import Reply
from ais.node.node import Node
from ais.proxy.s3.call import Call, require_same
from ais.proxy.targets import Targets
from ais.s3 import answers, peers
from ais.s3.buckets import S3Bucket
from ais.s3.errors import S3Error

LOOK_INTERVAL_S = 1.0


class Removal:
    """Deletes buckets while this node is primary."""

    def __init__(self, node: Node, targets: Targets) -> None:
        self._node = node
        self._targets = targets
        self._running: dict[str, asyncio.Task[None]] = {}

    def start(self) -> None:
        """Look for marks that nobody minds from now on; the node's supervisor ends it."""
        self._node.tasks.keep("bucket deletions", self._watch)

    async def delete(self, call: Call) -> Reply:
        """Remove the bucket. Raise `S3Error` BucketNotEmpty, `Busy`, or why it cannot be known whether it is empty."""
        mark = new_id(self._node.env.rng)
        task = asyncio.create_task(self._delete(call.bucket, mark), name=f"delete {call.bucket.name}")
        self._running[mark] = task
        task.add_done_callback(lambda _: self._running.pop(mark))
        await asyncio.shield(task)  # also when the client goes away meanwhile
        return answers.reply(call.request.id, 204)

    async def _delete(self, bucket: S3Bucket, mark: str) -> None:
        members = {target.id for target in self._targets.all}
        await self._node.change_bmd(lambda bmd: _marked(bmd, bucket, mark))
        try:
            question = {"bucket": bucket.name, "mark": mark}
            found = await self._targets.ask_all("GET", peers.EMPTY, query=question)
            if found.keys() != members:
                raise NotReady("targets joined or left the cluster meanwhile: try again")
            if not all(codec.from_json(answer.body, bool) for answer in found.values()):
                raise S3Error("BucketNotEmpty", BucketName=bucket.name)
            await self._node.change_bmd(lambda bmd: _removed(bmd, bucket, mark))
        except AisError:
            await self._clear(bucket.bck, mark)
            raise

    async def _clear(self, bck: Bck, mark: str) -> None:
        try:
            await self._node.change_bmd(lambda bmd: _unmarked(bmd, bck, mark))
        except AisError as error:
            self._node.log.warning("bucket stays marked for deletion", bucket=bck.cname(), reason=str(error))

    async def _watch(self) -> None:
        while True:
            for bucket in self._node.bmd if self._node.has_authority else ():
                mark = bucket.props.of_s3.deleting
                if mark and mark not in self._running:
                    await self._clear(bucket.bck, mark)
            await self._node.env.clock.sleep(LOOK_INTERVAL_S)


def _marked(bmd: BMD, bucket: S3Bucket, mark: str) -> BMD:
    props = require_same(bmd, bucket).props
    rename.check_settled(bmd, bucket.bck)
    access.require(props.access, Access.DESTROY_BUCKET, bucket.bck.cname())
    return bmd.with_props(bucket.bck, props.with_s3(deleting=mark))


def _removed(bmd: BMD, bucket: S3Bucket, mark: str) -> BMD:
    if require_same(bmd, bucket).props.of_s3.deleting != mark:
        raise Busy(f'the deletion of bucket "{bucket.name}" was interrupted')
    return bmd.without_bucket(bucket.bck)


def _unmarked(bmd: BMD, bck: Bck, mark: str) -> BMD:
    bucket = bmd.get(bck)
    if bucket is None or bucket.props.of_s3.deleting != mark:
        return bmd
    return bmd.with_props(bck, bucket.props.with_s3(deleting=""))
