"""Changing cluster metadata, on the primary: decide, make sure, persist, tell everybody, and only then say so.

A bucket change first asks every target to prepare; one refusal and nothing has changed anywhere. Then, as for the
cluster map and the configuration, the primary applies and persists the new version itself and brings all nodes up to
date. When a change returns, every node of the cluster map that is not away has it. Nodes that did not take it are away
or out of the map, and take everything before they are back.

A node that comes anew takes all parts in one message. So a change that makes them too long for it is refused: no node
would take it, and the primary be alone.
"""

import asyncio
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, TypeVar

from ais.api import codec
from ais.auth.keys import AccessKeys
from ais.base.errors import AisError, NotReady, TooLarge, Unreachable
from ais.config.cluster import ClusterConfig
from ais.config.limits import Limits
from ais.meta import rename
from ais.meta.bmd import BMD
from ais.meta.smap import Smap, Snode
from ais.node import decisions
from ais.node.core import Core
from ais.node.messages import Part, Prepare, Sealed
from ais.node.reign import Reign
from ais.node.role import Role
from ais.node.state import seal_bmd, seal_config, seal_keys, seal_secret, seal_smap
from ais.reb import plan

T = TypeVar("T")

TXN = "/v1/txn"
ROOM_PCT = 75
"""Of the longest message that a node takes, for all metadata together: the map grows when nodes join, and a message
says more than what it carries."""


class Changes:
    """The only way metadata changes. One change at a time."""

    def __init__(self, core: Core, role: Callable[[], Role]) -> None:
        self._core = core
        self._role = role
        self.lock = asyncio.Lock()
        self._running: set[asyncio.Task[Any]] = set()

    @property
    def tasks(self) -> list[asyncio.Task[Any]]:
        """Changes that run now."""
        return list(self._running)

    async def change_bmd(self, change: Callable[[BMD], BMD]) -> BMD:
        """Apply `change` to the bucket metadata; it returns its argument for "nothing to do".

        Raise what `change` or a node's veto raises: then nothing changed. Raise `NotReady` when this node is not
        primary or lacks authority (nothing changed), or lost it on the way (the change may or may not happen).
        """
        return await self._finish(partial(self._change_bmd, change))

    async def change_config(self, change: Callable[[ClusterConfig], ClusterConfig]) -> ClusterConfig:
        """Apply `change` (which also counts the version up) to the configuration. Raise as `change_bmd` does."""
        return await self._finish(partial(self._change_config, change))

    async def change_keys(self, change: Callable[[AccessKeys], AccessKeys]) -> AccessKeys:
        """Apply `change` to the access keys. Raise as `change_bmd` does."""
        return await self._finish(partial(self._change_keys, change))

    async def rotate_secret(self) -> None:
        """Replace the cluster's secret, and seal the access keys with the new one. Raise as `change_bmd` does."""
        await self._finish(self._rotate_secret)

    async def change_smap(self, change: Callable[[Smap], Smap]) -> Smap:
        """Apply `change` to the cluster map. Raise as `change_bmd` does."""
        return await self._finish(partial(self._change_smap, change))

    async def _finish(self, change: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Wait for our turn, then run a change to its end, also when whoever asked for it is gone by then."""
        await self.lock.acquire()
        task = asyncio.get_running_loop().create_task(change())
        self._running.add(task)
        task.add_done_callback(self._ended)
        return await asyncio.shield(task)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self.lock.release()
        self._running.discard(task)

    async def _change_bmd(self, change: Callable[[BMD], BMD]) -> BMD:
        reign = self._core.require_authority()
        old = self._core.meta.bmd
        new = change(old)
        if new is old:
            return old
        sealed = seal_bmd(reign.term, new)
        self._require_room(sealed)
        targets = [target for target in self._core.smap.tmap.values() if not target.is_away]
        try:
            await self._prepare(reign, targets, old, new, sealed)
            await self._core.state.adopt([sealed])
        except BaseException:
            await self._abort(reign, targets, old, new, sealed)
            raise
        await self._publish(reign, sealed.part)
        self._core.log.info("buckets changed", bmd=new.version, buckets=len(new))
        return new

    async def _change_config(self, change: Callable[[ClusterConfig], ClusterConfig]) -> ClusterConfig:
        reign = self._core.require_authority()
        new = change(self._core.meta.config)
        if new is not self._core.meta.config:
            sealed = seal_config(reign.term, new)
            self._require_room(sealed, new.limits)
            await self._core.state.adopt([sealed])
            await self._publish(reign, Part.CONFIG)
            self._core.log.info("configuration changed", config=int(new.config_version))
        return new

    async def _change_keys(self, change: Callable[[AccessKeys], AccessKeys]) -> AccessKeys:
        reign = self._core.require_authority()
        new = change(self._core.meta.keys)
        if new is not self._core.meta.keys:
            sealed = seal_keys(reign.term, new)
            self._require_room(sealed)
            await self._core.state.adopt([sealed])
            await self._publish(reign, Part.KEYS)
            self._core.log.info("access keys changed", version=int(new.version), keys=len(new.keys))
        return new

    def _require_room(self, sealed: Sealed, limits: Limits | None = None) -> None:
        """Raise `TooLarge` for what no node could take. What makes a part shorter is always welcome.

        `limits`: those afterwards, if it changes them.
        """
        before = {part: len(self._core.state.sealed(part).body) for part in Part}
        after = before | {sealed.part: len(sealed.body)}
        now = self._core.config.cluster.limits
        most = int(min(now.list_size, (limits or now).list_size)) * ROOM_PCT // 100
        is_worse = sum(after.values()) > sum(before.values()) or (limits or now).list_size < now.list_size
        if sum(after.values()) > most and is_worse:
            raise TooLarge(
                f"with this the cluster's metadata would have {sum(after.values())} bytes (buckets {after[Part.BMD]},"
                f" accounts and access keys {after[Part.KEYS]}), and its nodes take {most}: remove what is not needed,"
                f" or raise limits.list_size, of which it may fill {ROOM_PCT}%"
            )

    async def _rotate_secret(self) -> None:
        reign, meta = self._core.require_authority(), self._core.meta
        secret = meta.secret.rotated(self._core.env.clock.now_ns() / 1e9)
        keys = meta.keys.resealed(meta.secret.all, secret.secret)
        await self._core.state.adopt([seal_secret(reign.term, secret), seal_keys(reign.term, keys)])
        await self._publish(reign, Part.KEYS)
        self._core.log.warning("the cluster's secret was replaced", version=int(secret.version), keys=len(keys.keys))

    async def _change_smap(self, change: Callable[[Smap], Smap]) -> Smap:
        reign = self._core.require_authority()
        await self._replace_smap(reign, change(self._core.smap))
        return self._core.smap

    async def _replace_smap(self, reign: Reign, new: Smap) -> None:
        meta = self._core.meta
        if new is not meta.smap:
            new = self._with_moves(new)
            bases = decisions.bases_of_next(meta.smap, meta.bases)
            self._core.log.info("cluster map changes", smap=int(new.version), nodes=len(new.nodes))
            await self._core.state.adopt([seal_smap(reign.term, new, bases)])
            await self._publish(reign, Part.SMAP)

    def _with_moves(self, new: Smap) -> Smap:
        """The map with what it makes move. Raise `NotReady` when that cannot be moved now."""
        meta = self._core.meta
        followed = plan.follow(meta.smap, new, has_data=bool(len(meta.bmd)))
        before, after = (set(plan.owners(one).ids) for one in (meta.smap, new))
        is_loss = after < before and not meta.smap.tmap.keys() <= new.tmap.keys()
        is_new = followed.moving and followed.moving != meta.smap.moving and not is_loss
        if is_new and any(rename.pending(meta.bmd)):
            raise NotReady("a bucket is being renamed: the set of targets cannot change before that has ended")
        return followed

    async def _publish(self, reign: Reign, part: Part) -> None:
        """Make our new version of a part everybody's. Nodes that do not take it are away, or leave the cluster map.

        When this returns, none of those vouches any more for what it knew before.
        """
        clock = self._core.env.clock
        began = clock.monotonic()
        missing = await reign.spread(float(self._core.config.cluster.timeout.max_keepalive))
        if reign.is_over or not reign.is_decided(part):
            raise NotReady(
                f"primary {self._core.me.name} lost touch with the majority of the cluster during the change: it may or"
                " may not take effect; look at the result before you repeat it"
            )
        await reign.settle()
        missing &= frozenset(self._core.smap.present)
        if missing:
            self._core.log.warning("nodes did not take metadata", nodes=sorted(missing))
            await self._replace_smap(reign, self._core.without(missing))
            await clock.sleep(max(0.0, began + self._core.timing.vouch_s - clock.monotonic()))

    async def _prepare(self, reign: Reign, targets: list[Snode], old: BMD, new: BMD, sealed: Sealed) -> None:
        """Ask ourselves and all targets to prepare; raise the first refusal."""
        await self._role().prepare_bmd(old, new)
        outcomes = await asyncio.gather(*(self._prepare_one(reign, target, sealed) for target in targets))
        if failure := next((outcome for outcome in outcomes if outcome is not None), None):
            raise failure

    async def _prepare_one(self, reign: Reign, target: Snode, sealed: Sealed) -> AisError | None:
        try:
            if not reign.has_all(target.id):
                await reign.sync(target)
            await self._send(reign, target, sealed, abort=False)
        except Unreachable:
            return NotReady(f"{target.name} does not answer: try again when it is back, or has left the cluster map")
        except AisError as error:
            return error
        return None

    async def _abort(self, reign: Reign, targets: list[Snode], old: BMD, new: BMD, sealed: Sealed) -> None:
        await self._role().abort_bmd(old, new)
        outcomes = await asyncio.gather(
            *(self._send(reign, target, sealed, abort=True) for target in targets), return_exceptions=True
        )
        for target, outcome in zip(targets, outcomes, strict=True):
            if isinstance(outcome, BaseException):
                self._core.log.info("node could not abort a bucket change", peer=target.name, error=str(outcome))

    async def _send(self, reign: Reign, target: Snode, sealed: Sealed, *, abort: bool) -> None:
        meta = self._core.meta
        message = Prepare(meta.smap.uuid, reign.term, meta.stamps.bmd, sealed, abort)
        timeout_s = float(self._core.config.cluster.timeout.max_host_busy)
        await self._core.peers.call(
            target.control.url, "POST", TXN, body=codec.to_msgpack(message), timeout_s=timeout_s
        )
