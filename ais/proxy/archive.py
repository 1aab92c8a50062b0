"""The action `archive` at a proxy (wire contract §9.4): checked, then given to the target that will own the shard."""

import msgspec

from ais.api import access, archive, codec
from ais.api.access import Access
from ais.api.archive import ArchiveMsg, ArchiveTask
from ais.base import names, templates
from ais.base.errors import BadRequest
from ais.base.ids import new_id
from ais.meta.bmd import Bucket
from ais.node.long import aside, check_count
from ais.node.node import Node
from ais.proxy.redirect import require_bucket, require_own
from ais.proxy.targets import Targets
from ais.shard import formats


class Archiver:
    """Starts the job."""

    def __init__(self, node: Node, targets: Targets) -> None:
        self._node = node
        self._targets = targets

    async def start(self, source: Bucket, message: ArchiveMsg) -> str:
        """Begin; return the job's ID. Raise `BadRequest`, `BucketNotFound`, `AccessDenied`, `Unreachable`."""
        names.check_object_name(message.archive)
        formats.require(message.archive, message.mime)
        if message.names and message.template:
            raise BadRequest("archiving takes either a list of names or a template, not both")
        if message.names:
            check_count(len(message.names), self._node.config.cluster.limits)
            await aside(len(message.names), names.check_object_names, message.names)
        templates.parse(message.template)
        to = message.to if message.to is not None and message.to.name else source.bck
        destination = require_own(require_bucket(self._node.bmd, to), "make shards in")
        if message.names is None and templates.parse(message.template).is_prefix:
            require_own(source, "archive by prefix what is in")
        access.require(source.props.access, Access.GET, source.bck.cname())
        access.require(destination.props.access, Access.PUT, to.cname())
        uuid = new_id(self._node.env.rng)
        owner = self._node.placement.owner(destination.uname + message.archive)
        task = ArchiveTask(uuid, source.bck, to, msgspec.structs.replace(message, to=to))
        body = await aside(len(message.names or ()), codec.to_json, task)
        await self._targets.ask(owner, "PUT", archive.ARCHIVE, body=body)
        return uuid
