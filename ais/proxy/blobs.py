"""Blob downloads at a proxy: the target that owns the object makes the job."""

from ais.api import access, blob, codec
from ais.api.access import Access
from ais.api.blob import BlobMsg, BlobTask, Parts
from ais.api.bucket import Bck
from ais.api.messages import ActMsg
from ais.base.errors import NotRemoteBucket, NotYetImplemented
from ais.base.ids import new_id
from ais.base.names import check_object_name
from ais.node.node import Node
from ais.proxy.redirect import require_bucket
from ais.proxy.remote import RemoteBuckets
from ais.proxy.targets import Targets


class BlobStarter:
    """One per proxy."""

    def __init__(self, node: Node, targets: Targets, remote: RemoteBuckets) -> None:
        self._node = node
        self._targets = targets
        self._remote = remote

    async def start(self, bck: Bck, message: ActMsg) -> str:
        """The job's ID, or nothing when the object is in the cluster. Raise `NotRemoteBucket`, `ObjectNotFound`."""
        await self._remote.ensure(bck)
        bucket = require_bucket(self._node.bmd, bck)
        if not bucket.has_backend:
            raise NotRemoteBucket(blob.KIND, bck.cname())
        access.require(bucket.props.access, Access.GET, bck.cname())
        check_object_name(message.name)
        asked = codec.convert_strictly({} if message.value is None else message.value, BlobMsg)
        if asked.chunk_read_timeout not in ("", "0s"):
            raise NotYetImplemented("chunk-read-timeout is not there: each read of a backend may take 30 seconds")
        parts = Parts.of(asked.chunk_size, asked.workers)
        task = BlobTask(new_id(self._node.env.rng), bck, message.name, parts, asked.latest)
        owner = self._node.placement.owner(bucket.uname + message.name)
        timeout_s = float(self._node.config.cluster.client.list_timeout)
        async with self._remote.turn(bck):
            answer = await self._targets.ask(owner, "PUT", blob.BLOBS, body=codec.to_json(task), timeout_s=timeout_s)
        return answer.body.decode()
