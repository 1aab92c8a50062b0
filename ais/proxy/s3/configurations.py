"""Configurations of a bucket that are kept as they were put (`ais.s3.configurations`): set, read, removed, listed."""

import asyncio

from ais.api import codec
from ais.config.limits import Limits
from ais.meta.bmd import BMD
from ais.net.http import Reply
from ais.node.node import Node
from ais.node.receivers.receiver import Message, NotTaken
from ais.node.receivers.receivers import Receivers
from ais.node.s3 import Gate
from ais.proxy.s3.call import Call, Operation, change_of, document_size, require_same
from ais.proxy.s3.replication import ReplicationChecks, require_versioning
from ais.s3 import answers, configurations, notifications, replication, xml
from ais.s3.buckets import S3Bucket
from ais.s3.configurations import CONFIGURATIONS, NAMED_MAX, Configuration
from ais.s3.errors import CODES, S3Error
from ais.s3.operations import Op

TRY_S = 10.0
"""For a receiver to take the test event."""


class Configurations:
    """One per proxy."""

    def __init__(self, node: Node, gate: Gate) -> None:
        self._node = node
        self._replication = ReplicationChecks(node, gate)

    def operations(self) -> dict[Op, Operation]:
        """What is served here."""
        served: dict[Op, Operation] = {}
        for kind in CONFIGURATIONS:
            served |= self._of(kind)
        return served | dict.fromkeys((Op.GET_BUCKET_METADATA, Op.GET_BUCKET_METADATA_TABLE), Operation(_no_metadata))

    def _of(self, kind: Configuration) -> dict[Op, Operation]:
        async def get(call: Call) -> Reply:
            found = call.bucket.s3.documents.get(_name(kind, call))
            if found is not None:
                return answers.xml_reply(call.request.id, found.encode())
            if kind.unset in CODES:
                raise S3Error(kind.unset, BucketName=call.bucket.name)
            return answers.xml_reply(call.request.id, xml.in_namespace(kind.unset))

        async def put(call: Call) -> Reply:
            name = _name(kind, call)
            root = kind.read(call.body)
            if kind.is_named and xml.text(root, "Id") != call.request.params["id"]:
                raise S3Error("InvalidArgument", "The id of the request is not the one in the document")
            text = xml.rewritten(root).decode()
            if kind.name == notifications.DOCUMENT:
                _require_own(call.bucket, text)
                await self._try_receivers(call, text)
            if kind.name == replication.DOCUMENT:
                require_versioning(call.bucket.s3.versioning, text)
                await self._replication.check(call, text)
            await self._keep(call, name, text)
            return answers.reply(call.request.id, 200, *((("Ais-Note", kind.note),) if kind.note else ()))

        async def delete(call: Call) -> Reply:
            name = _name(kind, call)
            if kind.is_named and name not in call.bucket.s3.documents:
                raise S3Error("NoSuchConfiguration", BucketName=call.bucket.name)
            await self._keep(call, name, None)
            return answers.reply(call.request.id, 204)

        async def show(call: Call) -> Reply:
            if "continuation-token" in call.request.params:
                raise S3Error("InvalidArgument", "The continuation token provided is incorrect")
            found = [
                text for name, text in sorted(call.bucket.s3.documents.items()) if name.startswith(f"{kind.name}/")
            ]
            return answers.xml_reply(call.request.id, configurations.listed(kind, found))

        served = {kind.get: Operation(get), kind.put: Operation(put, _size, is_change=True)}
        if kind.delete is not None:
            served[kind.delete] = Operation(delete, is_change=True)
        if kind.list is not None:
            served[kind.list] = Operation(show)
        return served

    async def _try_receivers(self, call: Call, text: str) -> None:
        """Send each a test event, unless the request says no. Raise `S3Error` when one does not take it."""
        found = notifications.receivers_of(text, self._node.config.cluster.net.event_receivers)
        if call.request.header("x-amz-skip-destination-validation").lower() == "true":
            return
        message = notifications.test_message(call.bucket.name, call.request.id, self._node.env.clock.now_ns())
        test = Message(call.bucket.name, codec.to_json(message))
        receivers = Receivers(TRY_S)

        async def ask(url: str) -> str:
            try:
                await receivers.of(url).send([test])
            except NotTaken as error:
                return str(error)
            return ""

        try:
            refusals = await asyncio.gather(*(ask(url) for url in found.values()))
        finally:
            await receivers.close()
        for name, why in zip(found, refusals, strict=True):
            if why:
                raise notifications.invalid_destination(f'the receiver "{name}" did not take the test event: {why}')

    async def _keep(self, call: Call, name: str, text: str | None) -> None:
        """Set a document, or remove it."""

        def change(bmd: BMD) -> BMD:
            props = require_same(bmd, call.bucket).props
            if name == replication.DOCUMENT:
                require_versioning(props.of_s3.versioning, text)
            documents = {key: value for key, value in props.of_s3.documents.items() if key != name}
            kind = name.partition("/")[0]
            if text is not None:
                if "/" in name and sum(key.startswith(f"{kind}/") for key in documents) >= NAMED_MAX:
                    raise S3Error("TooManyConfigurations")
                documents[name] = text
            changed = props.with_s3(documents=documents)
            return bmd if changed == props else bmd.with_props(call.bucket.bck, changed)

        await change_of(self._node, call.bucket.s3.owner, change)


async def _no_metadata(call: Call) -> Reply:
    """Tables of what objects a bucket has are not made here; tools ask whether there are some."""
    raise S3Error("MetadataConfigurationNotFound", BucketName=call.bucket.name)


def _require_own(bucket: S3Bucket, text: str) -> None:
    """Raise `S3Error` when a bucket whose objects are at a backend shall tell of its changes."""
    if bucket.bucket.has_backend and notifications.rules_of(text):
        raise S3Error(
            "NotImplemented",
            "What happens to objects of a bucket at a backend is the backend's to tell: configure notifications there",
        )


def _name(kind: Configuration, call: Call) -> str:
    """Under which name a document is kept. Raise `S3Error` InvalidConfigurationId."""
    if not kind.is_named:
        return kind.name
    given = call.request.params.get("id", "")
    if not given or len(given) > 64:
        raise S3Error("InvalidConfigurationId")
    return f"{kind.name}/{given}"


def _size(limits: Limits) -> int:
    return 2 * document_size(limits)
