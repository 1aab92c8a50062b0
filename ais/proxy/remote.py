"""Buckets of backends at a proxy: they are in the bucket metadata from their first use on.

Only targets talk to backends (`ais.target.remote`): they have the credentials. A proxy asks the one that HRW names.
"""

from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any, TypeVar

import msgspec

from ais.api import actions, codec, errors, query
from ais.api.bucket import AIS, GLOBAL, Bck, Namespace
from ais.api.messages import ActMsg
from ais.backend import clusters, messages, providers
from ais.backend.clusters import RemoteClusters
from ais.backend.interface import RemotePage
from ais.backend.messages import BucketsAnswer, RemoteMsg
from ais.base.errors import AisError, BucketExists, NotReady, RemoteBucketNotFound
from ais.base.locks import NamedLocks
from ais.base.turns import Turns
from ais.config.sections import Extra
from ais.meta.bmd import BMD, Bucket, apply_props, inherited_props, new_bid
from ais.node.node import Node
from ais.node.peers import Peers
from ais.proxy.targets import Targets

T = TypeVar("T")
_CREATE_FAILED = 501
ASKED_AT_ONCE_MAX = 8
"""Questions of this proxy about one bucket, which targets pass on to its backend: a backend that does not answer must
not take all connections to a target, which the cluster needs for itself."""
TURN_S_MAX = 20.0


class RemoteBuckets:
    """One per proxy."""

    def __init__(self, node: Node, targets: Targets) -> None:
        self._node = node
        self._targets = targets
        self._peers = Peers(node.peers, node.snode)
        self._adding = NamedLocks()
        self._turns = Turns(ASKED_AT_ONCE_MAX)

    @property
    def providers(self) -> list[str]:
        """Those that are configured."""
        return providers.served(self._configured)

    async def ensure(self, bck: Bck) -> None:
        """Have a bucket of a configured backend in the bucket metadata. Raise `RemoteBucketNotFound`, `MissingBackend`.

        Nothing happens to any other bucket.
        """
        if self._node.bmd.get(bck) is not None:
            return
        if bck.namespace.uuid:
            providers.require(self._configured, bck)
        elif bck.provider == AIS or bck.provider not in self._configured:
            return
        self._node.require_settled()
        held = await self._adding.acquire(bck.uname)
        try:
            if self._node.bmd.get(bck) is None:
                await (self._add if self._node.is_primary else self._add_at_primary)(bck)
        finally:
            held.release()

    async def create(self, bck: Bck, props_patch: Any, *, must_exist: bool) -> None:
        """What a client's create means: the bucket is there and becomes known. Raise `BucketExists`, `RemoteError` 501.

        Without `must_exist` the backend is not asked.
        """
        if self._node.bmd.get(bck) is not None:
            raise BucketExists(bck.cname())
        if bck.provider != AIS and bck.provider not in self._configured:
            raise _no_such(bck)
        if bck.provider == AIS:
            providers.require(self._configured, bck)
            await self._ask(RemoteMsg(messages.CREATE, bck), Extra)
        wanted = apply_props(inherited_props(bck, self._node.config.cluster), props_patch, len(self._targets.all)).extra
        try:
            found = await self.head(bck, wanted) if must_exist else Extra()
        except RemoteBucketNotFound:
            raise _no_such(bck) from None
        await self._put(bck, found, props_patch, is_new=True)

    async def head(self, bck: Bck, extra: Extra = Extra()) -> Extra:
        """What properties of a bucket say of the way there. Raise `RemoteBucketNotFound`, `MissingBackend`."""
        return await self._ask(RemoteMsg(messages.HEAD, bck, extra), Extra)

    async def destroy(self, bck: Bck) -> None:
        """Destroy a bucket of another cluster there. Raise `RemoteBucketNotFound`, `NotFound`."""
        await self._ask(RemoteMsg(messages.DESTROY, bck), Extra)

    async def clusters(self) -> RemoteClusters:
        """The clusters that are attached."""
        if not clusters.attached(self._configured):
            return RemoteClusters()
        return await self._ask(RemoteMsg(messages.CLUSTERS, Bck("")), RemoteClusters)

    async def buckets(self, provider: str, alias: str = "") -> list[Bck]:
        """All buckets that a backend shows, or an attached cluster has. Raise `MissingBackend`, `NotFound`."""
        bck = Bck("", provider, Namespace(alias) if alias else GLOBAL)
        providers.require(self._configured, bck)
        return (await self._ask(RemoteMsg(messages.BUCKETS, bck), BucketsAnswer)).buckets

    @property
    def aliases(self) -> list[str]:
        """Of the attached clusters."""
        return sorted(clusters.attached(self._configured))

    async def page(self, bucket: Bucket, prefix: str, after: str, limit: int, delimiter: str) -> RemotePage:
        """Names at the backend of a bucket that has one."""
        linked = bucket.props.backend_bck
        bck, rate = linked if linked.name else bucket.bck, bucket.props.rate_limit.backend
        return await self._ask(
            RemoteMsg(messages.PAGE, bck, bucket.props.extra, prefix, after, limit, delimiter, rate), RemotePage
        )

    @property
    def _configured(self) -> Mapping[str, Any]:
        return self._node.config.cluster.backend

    async def _add(self, bck: Bck) -> None:
        await self._put(bck, await self.head(bck), None, is_new=False)

    async def _put(self, bck: Bck, found: Extra, props_patch: Any, *, is_new: bool) -> None:
        def change(bmd: BMD) -> BMD:
            if bmd.get(bck) is not None and not is_new:
                return bmd
            bid = new_bid(bck.provider, self._node.term, bmd.version + 1)
            props = inherited_props(bck, self._node.config.cluster, bid, self._node.env.clock.now_ns())
            props = apply_props(msgspec.structs.replace(props, extra=found), props_patch, len(self._targets.all))
            return bmd.with_bucket(bck, props)

        await self._node.change_bmd(change)

    async def _add_at_primary(self, bck: Bck) -> None:
        primary = self._node.smap.primary
        if primary is None:
            raise NotReady("the cluster has no primary now: try again when it has elected one")
        try:
            await self._peers.call(
                primary.control.url,
                "POST",
                f"/v1/buckets/{bck.name}",
                query={query.PROVIDER: bck.provider, query.NAMESPACE: bck.namespace.uname},
                body=codec.to_json(ActMsg(actions.CREATE_BUCKET)),
                timeout_s=self._timeout_s,
            )
        except BucketExists:
            return
        except AisError as error:
            raise RemoteBucketNotFound(bck.provider, bck.cname()) if _is_missing(error) else error from None

    def turn(self, bck: Bck) -> AbstractAsyncContextManager[None]:
        """Around a question that a target passes on to the backend of a bucket. Raise `NotReady`."""

        def refuse() -> None:
            raise NotReady(f"{ASKED_AT_ONCE_MAX} others wait for the backend of {bck.cname()}: try again later")

        return self._turns.of(bck.uname, TURN_S_MAX, refuse)

    async def _ask(self, message: RemoteMsg, kind: type[T]) -> T:
        self._node.require_settled()
        target = self._node.placement.owner(message.bck.uname)
        async with self.turn(message.bck):
            answer = await self._targets.ask(
                target, "POST", messages.PATH, body=codec.to_msgpack(message), timeout_s=self._timeout_s
            )
        return codec.from_msgpack(answer.body, kind)

    @property
    def _timeout_s(self) -> float:
        return float(self._node.config.cluster.client.list_timeout)


def _no_such(bck: Bck) -> errors.RemoteError:
    return errors.RemoteError(
        str(RemoteBucketNotFound(bck.provider, bck.cname())), _CREATE_FAILED, "ErrRemoteBckNotFound"
    )


def _is_missing(error: AisError) -> bool:
    return (
        isinstance(error, errors.RemoteError | RemoteBucketNotFound)
        and errors.tcode_of(error) == "ErrRemoteBckNotFound"
    )
