"""The documents of a bucket: versioning, tags, lifecycle, cross-origin rules, policy, access block, ownership, ACL.

Each is checked when it is set, and kept in the bucket metadata.
"""

from collections.abc import Callable
from typing import Any

from ais.config.limits import Limits
from ais.meta.bmd import BMD, S3Props
from ais.net.http import Reply, header_lines
from ais.node.node import Node
from ais.node.s3 import Gate
from ais.proxy.s3.call import Call, Handler, Operation, change_of, document_size, require_same
from ais.s3 import (
    acl,
    answers,
    cors,
    documents,
    encryption,
    lifecycle,
    lock,
    new_object,
    policy,
    replication,
    tagging,
)
from ais.s3.acl import Asked
from ais.s3.errors import S3Error
from ais.s3.operations import Op


class Settings:
    """One per proxy."""

    def __init__(self, node: Node, gate: Gate) -> None:
        self._node = node
        self._gate = gate

    def operations(self) -> dict[Op, Operation]:
        """What is served here."""
        return {
            Op.GET_BUCKET_VERSIONING: Operation(self.get_versioning),
            Op.PUT_BUCKET_VERSIONING: _put(self.put_versioning),
            Op.GET_BUCKET_TAGGING: Operation(self.get_tagging),
            Op.PUT_BUCKET_TAGGING: _put(self.put_tagging),
            Op.DELETE_BUCKET_TAGGING: self._unset(tags={}),
            Op.GET_BUCKET_LIFECYCLE: Operation(self.get_lifecycle),
            Op.PUT_BUCKET_LIFECYCLE: _put(self.put_lifecycle, _lifecycle_size),
            Op.DELETE_BUCKET_LIFECYCLE: self._unset(lifecycle=""),
            Op.GET_BUCKET_CORS: Operation(self.get_cors),
            Op.PUT_BUCKET_CORS: _put(self.put_cors),
            Op.DELETE_BUCKET_CORS: self._unset(cors=""),
            Op.GET_BUCKET_POLICY: Operation(self.get_policy),
            Op.PUT_BUCKET_POLICY: _put(self.put_policy),
            Op.DELETE_BUCKET_POLICY: self._unset(policy=""),
            Op.GET_BUCKET_POLICY_STATUS: Operation(self.get_policy_status),
            Op.GET_PUBLIC_ACCESS_BLOCK: Operation(self.get_public_access_block),
            Op.PUT_PUBLIC_ACCESS_BLOCK: _put(self.put_public_access_block),
            Op.DELETE_PUBLIC_ACCESS_BLOCK: self._unset(public_access_block=None),
            Op.GET_BUCKET_OWNERSHIP: Operation(self.get_ownership),
            Op.PUT_BUCKET_OWNERSHIP: _put(self.put_ownership),
            Op.DELETE_BUCKET_OWNERSHIP: Operation(self.delete_ownership, is_change=True),
            Op.GET_BUCKET_ENCRYPTION: Operation(self.get_encryption),
            Op.PUT_BUCKET_ENCRYPTION: _put(self.put_encryption),
            Op.DELETE_BUCKET_ENCRYPTION: Operation(self.delete_encryption, is_change=True),
            Op.GET_OBJECT_LOCK: Operation(self.get_object_lock),
            Op.PUT_OBJECT_LOCK: _put(self.put_object_lock),
            Op.GET_BUCKET_ACL: Operation(self.get_acl),
            Op.PUT_BUCKET_ACL: _put(self.put_acl),
        }

    async def get_versioning(self, call: Call) -> Reply:
        """Enabled, suspended, or an empty document: never enabled."""
        return _document(call, documents.versioning(call.bucket.s3.versioning))

    async def put_versioning(self, call: Call) -> Reply:
        """Keep the versions of objects from now on, or keep no new ones."""
        status = documents.parse_versioning(call.body)

        def check(present: S3Props) -> None:
            if status != "Enabled" and lock.DOCUMENT in present.documents:
                raise S3Error(
                    "InvalidBucketState",
                    "An Object Lock configuration is present on this bucket, so the versioning state cannot be"
                    " changed.",
                )
            if status != "Enabled" and replication.DOCUMENT in present.documents:
                raise S3Error(
                    "InvalidBucketState",
                    "A replication configuration is present on this bucket, so the versioning state cannot be changed:"
                    " delete that first.",
                )

        props = call.bucket.bucket.props
        if props.of_protection.slices_only:
            raise S3Error(
                "InvalidBucketState", "Buckets that keep slices alone (protection.slices_only) keep no versions."
            )
        if props.ec.enabled and props.ack.is_all:
            raise S3Error(
                "InvalidBucketState",
                f"Erasure-coded buckets that answer when all slices are stored (protection.ack={props.ack}) keep no"
                " versions.",
            )
        return await self._set(call, 200, check, versioning=status)

    async def get_tagging(self, call: Call) -> Reply:
        """The bucket's tags."""
        tags = call.bucket.s3.tags
        return _document(call, tagging.document(tags) if tags else b"", "NoSuchTagSet")

    async def put_tagging(self, call: Call) -> Reply:
        """Replace them."""
        return await self._set(call, 204, tags=tagging.parse_document(call.body, tagging.BUCKET_TAGS_MAX))

    async def get_lifecycle(self, call: Call) -> Reply:
        """What expires when, as it was put."""
        if not call.bucket.s3.lifecycle:
            raise S3Error("NoSuchLifecycleConfiguration", BucketName=call.bucket.name)
        least = call.bucket.s3.documents.get(lifecycle.MINIMUM, lifecycle.MINIMUMS[0])
        return answers.xml_reply(call.request.id, call.bucket.s3.lifecycle.encode(), 200, (lifecycle.MINIMUM, least))

    async def put_lifecycle(self, call: Call) -> Reply:
        """Replace the rules."""
        least = call.request.header(lifecycle.MINIMUM, lifecycle.MINIMUMS[0])
        if least not in lifecycle.MINIMUMS:
            raise S3Error("InvalidRequest", "Invalid value for the x-amz-transition-default-minimum-object-size header")
        text = lifecycle.checked(call.body)
        kept = {name: value for name, value in call.bucket.s3.documents.items() if name != lifecycle.MINIMUM}
        if least != lifecycle.MINIMUMS[0]:
            kept[lifecycle.MINIMUM] = least
        reply = await self._set(call, 200, lifecycle=text, documents=kept)
        reply.headers += header_lines((lifecycle.MINIMUM, least))
        return reply

    async def get_cors(self, call: Call) -> Reply:
        """Cross-origin rules."""
        rules = call.bucket.cors
        return _document(call, cors.document(rules) if rules else b"", "NoSuchCORSConfiguration")

    async def put_cors(self, call: Call) -> Reply:
        """Replace them."""
        return await self._set(call, 200, cors=cors.document(cors.parse_document(call.body)).decode())

    async def get_policy(self, call: Call) -> Reply:
        """The policy as it was set."""
        if not call.bucket.s3.policy:
            raise S3Error("NoSuchBucketPolicy", BucketName=call.bucket.name)
        lines = answers.stamp(call.request.id) + header_lines(("Content-Type", "application/json"))
        return Reply(200, lines, call.bucket.s3.policy.encode())

    async def put_policy(self, call: Call) -> Reply:
        """Replace it. Raise `S3Error` AccessDenied for a public one where those are blocked."""
        statements = policy.parse(call.body, call.bucket.name)
        policy.check_new(statements)

        def check(present: S3Props) -> None:
            if (present.public_access_block or {}).get("BlockPublicPolicy") and policy.is_public(statements):
                raise S3Error("AccessDenied", "Public policies are blocked by BlockPublicPolicy of this bucket")

        return await self._set(call, 204, check, policy=call.body.decode())

    async def get_policy_status(self, call: Call) -> Reply:
        """Whether the policy lets everybody in."""
        if not call.bucket.s3.policy:
            raise S3Error("NoSuchBucketPolicy", BucketName=call.bucket.name)
        return _document(call, documents.policy_status(policy.is_public(call.bucket.rights.statements)))

    async def get_public_access_block(self, call: Call) -> Reply:
        """The four switches."""
        block = call.bucket.s3.public_access_block
        body = documents.public_access_block(block) if block is not None else b""
        return _document(call, body, "NoSuchPublicAccessBlockConfiguration")

    async def put_public_access_block(self, call: Call) -> Reply:
        """Set them."""
        return await self._set(call, 200, public_access_block=documents.parse_public_access_block(call.body))

    async def get_ownership(self, call: Call) -> Reply:
        """Who owns the objects."""
        rule = call.bucket.s3.ownership or acl.ENFORCED
        body = b"" if rule == acl.NO_CONTROLS else documents.ownership(rule)
        return _document(call, body, "OwnershipControlsNotFoundError")

    async def put_ownership(self, call: Call) -> Reply:
        """Say who owns objects from now on. Raise `S3Error` when lists would be lost that somebody relies on."""
        rule = documents.parse_ownership(call.body)

        def check(present: S3Props) -> None:
            if rule == acl.ENFORCED and present.acl:
                raise S3Error("InvalidBucketAclWithObjectOwnership")

        return await self._set(call, 200, check, ownership="" if rule == acl.ENFORCED else rule)

    async def delete_ownership(self, call: Call) -> Reply:
        """Without controls each object belongs to who wrote it."""
        return await self._set(call, 204, ownership=acl.NO_CONTROLS)

    async def get_encryption(self, call: Call) -> Reply:
        """The default encryption as it was put."""
        found = call.bucket.s3.documents.get(encryption.DOCUMENT, "")
        return _document(call, found.encode(), "ServerSideEncryptionConfigurationNotFoundError")

    async def put_encryption(self, call: Call) -> Reply:
        """Encrypt new objects from now on."""
        return await self._keep(call, 200, encryption.parse_configuration(call.body))

    async def delete_encryption(self, call: Call) -> Reply:
        """Encrypt none from now on but what asks for it."""
        return await self._keep(call, 204, None)

    async def _keep(self, call: Call, status: int, text: str | None) -> Reply:
        def change(bmd: BMD) -> BMD:
            props = require_same(bmd, call.bucket).props
            documents = {name: kept for name, kept in props.of_s3.documents.items() if name != encryption.DOCUMENT}
            if text is not None:
                documents[encryption.DOCUMENT] = text
            changed = props.with_s3(documents=documents)
            return bmd if changed == props else bmd.with_props(call.bucket.bck, changed)

        await change_of(self._node, call.bucket.s3.owner, change)
        return answers.reply(call.request.id, status)

    async def get_object_lock(self, call: Call) -> Reply:
        """The configuration as it was put."""
        found = call.bucket.s3.documents.get(lock.DOCUMENT, "")
        return _document(call, found.encode(), "ObjectLockConfigurationNotFoundError")

    async def put_object_lock(self, call: Call) -> Reply:
        """Enable object lock, or set the default retention. Raise `S3Error` InvalidBucketState without versioning."""
        wanted = lock.parse_configuration(call.body)

        def change(bmd: BMD) -> BMD:
            props = require_same(bmd, call.bucket).props
            if props.of_s3.versioning != "Enabled":
                raise S3Error("InvalidBucketState", "Versioning must be 'Enabled' on the bucket to apply Object Lock")
            changed = props.with_s3(documents=props.of_s3.documents | {lock.DOCUMENT: wanted})
            return bmd if changed == props else bmd.with_props(call.bucket.bck, changed)

        await change_of(self._node, call.bucket.s3.owner, change)
        return answers.reply(call.request.id)

    async def get_acl(self, call: Call) -> Reply:
        """Who may do what."""
        return _document(call, acl.read(call.bucket.s3.owner, call.bucket.s3.acl).document())

    async def put_acl(self, call: Call) -> Reply:
        """Replace the list; where there are none, only what is so already is taken."""
        headers, owner = call.request.headers, call.bucket.s3.owner
        asked = Asked(owner, owner, self._gate.is_user)
        if acl.is_asked(headers):
            if call.body:
                raise S3Error("UnexpectedContent", "This request takes its list from headers or from a document")
            if not call.bucket.uses_acls:
                new_object.check_lists_disabled(call.request)
                return answers.reply(call.request.id)
            wanted = acl.of_headers(headers, asked, of_bucket=True)
        else:
            wanted = acl.of_document(call.body, asked)
        if not call.bucket.uses_acls and not wanted.is_private:
            raise S3Error("AccessControlListNotSupported")
        new_object.check_public(wanted, call.bucket)
        return await self._set(call, 200, acl=wanted.text())

    async def _set(
        self, call: Call, status: int, check: Callable[[S3Props], None] | None = None, **changes: Any
    ) -> Reply:
        """Change fields of what S3 keeps; `check` sees what is there, under the primary's lock."""

        def change(bmd: BMD) -> BMD:
            props = require_same(bmd, call.bucket).props
            if check is not None:
                check(props.of_s3)
            changed = props.with_s3(**changes)
            return bmd if changed == props else bmd.with_props(call.bucket.bck, changed)

        await change_of(self._node, call.bucket.s3.owner, change)
        return answers.reply(call.request.id, status)

    def _unset(self, **changes: Any) -> Operation:
        async def delete(call: Call) -> Reply:
            return await self._set(call, 204, **changes)

        return Operation(delete, is_change=True)


def _put(handler: Handler, size: Callable[[Limits], int] = document_size) -> Operation:
    return Operation(handler, size, is_change=True)


def _lifecycle_size(limits: Limits) -> int:
    """Enough for 1000 rules. Every node keeps it in memory, and gets it with each change of any bucket."""
    return 4 * document_size(limits)


def _document(call: Call, body: bytes, missing: str = "") -> Reply:
    """The document. Raise `S3Error` `missing` when there is none."""
    if not body:
        raise S3Error(missing, BucketName=call.bucket.name)
    return answers.xml_reply(call.request.id, body)
