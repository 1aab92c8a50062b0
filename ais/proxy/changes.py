"""Creating, destroying and changing buckets, on the primary (wire contract §9.3, §9.5, §9.6).

Each change is a function from bucket metadata to bucket metadata, run under the primary's lock; what it raises goes to
the client and nothing has changed.
"""

from typing import Any

import msgspec

from ais.api import access
from ais.api.access import Access
from ais.api.bucket import AIS, Bck
from ais.base.errors import Conflict, NotForRemote, NotYetImplemented
from ais.meta import rename
from ais.meta.bmd import BMD, Bprops, apply_props, inherited_props, new_bid, with_coding, with_link
from ais.node.node import Node
from ais.proxy.redirect import require_same


class BucketChanges:
    """All return when every node knows, and raise when nothing has changed.

    `bid` says which bucket of that name is meant: another one that has it by the time of the change is left alone.
    """

    def __init__(self, node: Node) -> None:
        self._node = node

    async def create(self, bck: Bck, props_patch: Any, owner: str = "") -> None:
        """A new bucket with the cluster's defaults, changed by `props_patch`. Raise `BucketExists`, `BadRequest`.

        `owner` is the user that makes it; empty: nobody's.
        """
        if bck.provider != AIS or bck.namespace.uuid:
            raise NotYetImplemented(f"cannot create bucket {bck.cname()} at a remote backend - not implemented yet")

        def change(bmd: BMD) -> BMD:
            rename.check_settled(bmd, bck)
            bid = new_bid(bck.provider, self._node.term, bmd.version + 1)
            inherited = inherited_props(bck, self._node.config.cluster, bid, self._node.env.clock.now_ns())
            props = self._changed(bmd, inherited, props_patch)
            new = bmd.with_bucket(bck, props.with_s3(owner=owner) if owner else props)
            new.check_size_of(owner, bmd, int(self._node.config.cluster.limits.account_metadata))
            return new

        await self._node.change_bmd(change)

    async def destroy(self, bck: Bck, bid: int) -> None:
        """Remove a bucket with all its objects. Raise `BucketNotFound`, `AccessDenied`, `Busy`, `Conflict`."""

        if bck.provider != AIS:
            raise NotForRemote(f"cannot destroy cloud bucket {bck.cname()} - operation not supported")

        def change(bmd: BMD) -> BMD:
            bucket = require_same(bmd, bck, bid)
            rename.check_settled(bmd, bck)
            access.require(bucket.props.access, Access.DESTROY_BUCKET, bck.cname())
            if "object-lock" in bucket.props.of_s3.documents:
                raise Conflict(f'bucket "{bck.cname()}" has object lock: delete it over S3, once it is empty')
            return bmd.without_bucket(bck)

        await self._node.change_bmd(change)

    async def evict(self, bck: Bck, bid: int, *, keep: bool) -> None:
        """Remove what is here of a bucket at a backend, and the bucket from the metadata unless it is to `keep`.

        Raise `BucketNotFound`, `AccessDenied`, `Busy`.
        """

        def change(bmd: BMD) -> BMD:
            bucket = require_same(bmd, bck, bid)
            rename.check_settled(bmd, bck)
            access.require(bucket.props.access, Access.DESTROY_BUCKET, bck.cname())
            without = bmd.without_bucket(bck)
            if not keep:
                return without
            again = new_bid(bck.provider, self._node.term, without.version)
            return bmd.with_props(bck, msgspec.structs.replace(bucket.props, bid=again))

        await self._node.change_bmd(change)

    async def set_props(self, bck: Bck, bid: int, props_patch: Any) -> None:
        """Change properties. Raise `BucketNotFound`, `BadRequest` naming the property, `NotYetImplemented`."""

        def change(bmd: BMD) -> BMD:
            old = require_same(bmd, bck, bid).props
            new = self._changed(bmd, old, props_patch)
            new = with_coding(old, new, self._node.term, bmd.version + 1)
            if new == old:
                return bmd
            changed = bmd.with_props(bck, new)
            changed.check_size_of(old.of_s3.owner, bmd, int(self._node.config.cluster.limits.account_metadata))
            return changed

        await self._node.change_bmd(change)

    async def give(self, bck: Bck, bid: int, owner: str) -> None:
        """Have a bucket belong to a user; to nobody, when `owner` is empty. Raise `BucketNotFound`."""

        def change(bmd: BMD) -> BMD:
            old = require_same(bmd, bck, bid).props
            new = old.with_s3(owner=owner)
            return bmd if new == old else bmd.with_props(bck, new)

        await self._node.change_bmd(change)

    async def reset_props(self, bck: Bck, bid: int) -> None:
        """Back to the cluster's defaults. Raise `BucketNotFound`."""

        def change(bmd: BMD) -> BMD:
            old = require_same(bmd, bck, bid).props
            fresh = inherited_props(bck, self._node.config.cluster, old.bid, int(old.created))
            new = msgspec.structs.replace(
                fresh, backend_bck=old.backend_bck, link_id=old.link_id, coding_id=old.coding_id, s3=old.s3
            )
            new = with_coding(old, new, self._node.term, bmd.version + 1)
            return bmd if new == old else bmd.with_props(bck, new)

        await self._node.change_bmd(change)

    def _changed(self, bmd: BMD, old: Bprops, props_patch: Any) -> Bprops:
        new = apply_props(old, props_patch, self.targets_count)
        return with_link(old, new, self._node.term, bmd.version + 1)

    @property
    def targets_count(self) -> int:
        """How many targets there are to place objects on."""
        return len(self._node.placement.targets)
