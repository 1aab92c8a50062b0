"""DeleteObjects: the keys go to their owners, one call for each target; each key has an outcome of its own."""

import asyncio
from collections.abc import Sequence
from urllib.parse import quote

from ais.api import codec
from ais.base.errors import AisError
from ais.config.limits import Limits
from ais.meta.smap import Snode
from ais.net.client import PeerClient
from ais.net.http import Reply
from ais.node.s3 import BYPASS_GOVERNANCE, Gate
from ais.proxy.s3.call import Call, Operation
from ais.proxy.targets import Targets
from ais.s3 import actions, answers, documents, lock, peers, versions
from ais.s3.documents import Deleted, KeyToDelete
from ais.s3.errors import S3Error, as_s3, decode
from ais.s3.front import KEY_BYTES_MAX
from ais.s3.peers import DeleteKeys

_BATCH_TIMEOUT_S = 120.0


def _size(limits: Limits) -> int:
    return int(limits.keys_document_size)


class Deletes:
    """One per proxy."""

    def __init__(self, gate: Gate, targets: Targets, peers: PeerClient) -> None:
        self._gate = gate
        self._targets = targets
        self._peers = peers

    @property
    def operation(self) -> Operation:
        """How it is served."""
        return Operation(self.delete, _size, admits_keys=True, needs_checksum=True)

    async def delete(self, call: Call) -> Reply:
        """Delete the keys that the caller may delete. Raise `S3Error` MalformedXML."""
        lock.asks_to_bypass(call.request)
        keys, quiet = await asyncio.to_thread(documents.parse_delete, call.body)
        outcomes = await asyncio.to_thread(self._refusals, call, keys)
        by_owner: dict[str, tuple[Snode, list[int]]] = {}
        for index, key in enumerate(keys):
            if outcomes[index] is None:
                owner = self._gate.owner(call.bucket.bucket.uname, key.key)
                by_owner.setdefault(owner.id, (owner, []))[1].append(index)
        batches = [(owner, indexes) for owner, indexes in by_owner.values()]
        done = await asyncio.gather(
            *(self._delete_at(call, owner, [keys[index] for index in indexes]) for owner, indexes in batches)
        )
        for (_, indexes), results in zip(batches, done, strict=True):
            for index, outcome in zip(indexes, results, strict=True):
                outcomes[index] = outcome
        body = documents.delete_result([one for one in outcomes if one is not None], quiet)
        return answers.xml_reply(call.request.id, body)

    def _refusals(self, call: Call, keys: Sequence[KeyToDelete]) -> list[Deleted | None]:
        """Why keys are not to be deleted at all. For each the whole policy is looked at."""
        return [self._refusal(call, key) for key in keys]

    def _refusal(self, call: Call, key: KeyToDelete) -> Deleted | None:
        """Why a key is not to be deleted at all."""
        try:
            if len(key.key.encode()) > KEY_BYTES_MAX:
                raise S3Error("KeyTooLongError")
            if key.version_id is not None:
                versions.check(key.version_id)
            action = actions.action_of(call.request.op, versioned=key.version_id is not None)
            if not call.caller.trusted and self._gate.asks_for_tags(call.caller, call.bucket):
                return None  # its owner decides
            said = {"s3:versionid": key.version_id, "s3:if-match": key.etag}
            self._gate.require(call.request, call.caller, call.bucket, action, key.key, said=said)
            if lock.asks_to_bypass(call.request):
                self._gate.require(call.request, call.caller, call.bucket, BYPASS_GOVERNANCE, key.key)
        except S3Error as error:
            return _failed(key, error)
        return None

    async def _delete_at(self, call: Call, owner: Snode, keys: Sequence[KeyToDelete]) -> list[Deleted]:
        if not call.caller.trusted and self._gate.asks_for_tags(call.caller, call.bucket):
            return [await self._delete_judged(call, owner, key) for key in keys]
        bucket = call.bucket.bucket
        message = codec.to_msgpack(
            DeleteKeys(bucket.bck, int(bucket.bid), list(keys), lock.asks_to_bypass(call.request))
        )
        try:
            answer = await self._targets.ask(owner, "POST", peers.DELETE, body=message, timeout_s=_BATCH_TIMEOUT_S)
        except AisError as error:
            return [_failed(key, as_s3(error)) for key in keys]
        return codec.from_msgpack(answer.body, list[Deleted])

    async def _delete_judged(self, call: Call, owner: Snode, key: KeyToDelete) -> Deleted:
        """Have the owner authorize one key as it does a DeleteObject: it alone knows the object's tags."""
        target = f"/s3/{call.bucket.name}/{quote(key.key, safe='/')}"
        if key.version_id is not None:
            target += f"?versionId={quote(key.version_id)}"
        name, value = self._gate.vouch(call.request, call.caller, owner, "DELETE", target)
        asked = {
            "if-match": key.etag,
            "x-amz-if-match-last-modified-time": key.modified,
            "x-amz-if-match-size": key.size,
            **{one: call.request.get(one) for one in ("user-agent", "referer", lock.BYPASS)},
        }
        lines = {one: text for one, text in asked.items() if text is not None}
        try:
            answer = await self._peers.call(
                "DELETE", owner.data.url + target, headers={name: value, **lines}, timeout_s=_BATCH_TIMEOUT_S
            )
        except AisError as error:
            return _failed(key, as_s3(error))
        if answer.status != 204:
            return _failed(key, decode(answer.status, answer.body))
        is_marker = answer.headers.get("x-amz-delete-marker") == "true"
        version_id = answer.headers.get("x-amz-version-id", "")
        return Deleted(
            key.key,
            key.version_id or "",
            delete_marker=is_marker,
            marker_version_id=version_id if is_marker else "",
        )


def _failed(key: KeyToDelete, error: S3Error) -> Deleted:
    return Deleted(key.key, key.version_id or "", code=error.code, message=str(error))
