"""Objects that change their name: copied or moved within this target, or sent to the target that owns the new name.

The bytes of a send go straight from this target's file to the peer's data network; the peer verifies the checksum and
keeps the metadata. A move deletes the source only after the destination has answered that it is durable there.
"""

import contextlib
import os
from typing import NamedTuple
from urllib.parse import quote

from ais.api import ack, actions, codec, errors, headers, query
from ais.api.bucket import Bck
from ais.api.messages import ActMsg
from ais.base.errors import AlreadyExists, NotReady, ObjectNotFound
from ais.core.store import OpenObject, Store
from ais.ec.restore import Restorer
from ais.fs.volume import Volume
from ais.meta.placement import why_away
from ais.meta.smap import Snode, digest
from ais.net.client import PeerClient
from ais.reb.plan import Earlier
from ais.target.address import PREFIX
from ais.target.host import Host
from ais.target.transfer import TRANSFER, Transfer, absent, unchanged
from ais.target.uploads import in_pool
from ais.target.view import BucketView

MAP_LAG_S_MAX = 10.0
MAP_LAG_PAUSE_S = 0.05


class Moved(NamedTuple):
    """What a move did: the size, and whether the object left this target."""

    size_bytes: int
    is_remote: bool


class Moves:
    """Copies and moves objects of this target."""

    def __init__(self, host: Host, volume: Volume, store: Store, restorer: Restorer, peers: PeerClient) -> None:
        self._host = host
        self._volume = volume
        self._store = store
        self._restorer = restorer
        self._peers = peers
        self._earlier = (host.smap, Earlier(host.smap))

    async def copy(self, source: BucketView, name: str, destination: BucketView, new_name: str) -> None:
        """Copy an object to another name or bucket; an object there is overwritten. Raise `ObjectNotFound`."""
        owner = self._owner(destination, new_name)
        if owner.id == self._host.snode.id:
            pool = self._volume.place(destination.uname + new_name).pool
            await in_pool(
                pool, lambda: self._store.copy(source.bck, name, destination.bck, new_name, destination.rules)
            )
            return
        opened = await self._restorer.whole(source.bck, name, self._store.open(source.bck, name, sealed=True))
        await self._send(opened, owner, destination, new_name, Transfer(opened.meta))

    async def move(
        self, source: BucketView, name: str, destination: BucketView, new_name: str, *, only_if_absent: bool = False
    ) -> Moved:
        """Give an object another name. Raise `ObjectNotFound`; `AlreadyExists` when it was replaced before its old name
        went: what replaced it stays, and the new name has it.

        With `only_if_absent`, an object that has the new name already is newer: it stays and the source goes.
        """
        owner = self._owner(destination, new_name)
        if owner.id == self._host.snode.id:
            return await self._move_here(source, name, destination, new_name, only_if_absent)
        self._store.check_free(source.bck, name)
        opened = self._store.open(source.bck, name, sealed=True)
        meta, stat = opened.meta, opened.stat
        transfer = Transfer(
            meta,
            version=meta.version,
            times_ns=(stat.st_atime_ns, stat.st_mtime_ns),
            only_if_absent=only_if_absent,
        )
        try:
            opened = await self._restorer.whole(source.bck, name, opened)
            await self._send(opened, owner, destination, new_name, transfer)
        except AlreadyExists:
            if not only_if_absent:
                raise
        pool = self._volume.place(source.uname + name).pool
        cname = source.bck.cname(name)
        keeps_slices = (source.bck, name) == (destination.bck, new_name)

        def let_go() -> None:
            condition = unchanged(meta, cname)
            self._store.delete(source.bck, name, condition, source.rules, is_moved=True, keeps_slices=keeps_slices)

        with contextlib.suppress(ObjectNotFound):  # it was deleted meanwhile, after it got its new name
            await in_pool(pool, let_go)
        return Moved(meta.size, is_remote=True)

    async def settle(self, view: BucketView, name: str) -> None:
        """Before an object is used whose bucket is getting another one's objects: fetch it, if it is still there."""
        if view.source is None:
            return
        if view.is_moving:
            await self._fetch(view, name)
        if view.source != view.bck:
            owner = self._host.placement.owner(view.source.uname + name)
            await self._ask(owner, view.source, name, ActMsg(actions.MOVE_BUCKET, view.uname + name))

    async def _fetch(self, view: BucketView, name: str) -> None:
        """Get an object from whoever owned it before, if it is still there. Raise `NotReady` when nobody can tell."""
        host = self._host
        if self._earlier[0] is not host.smap:
            self._earlier = (host.smap, Earlier(host.smap))
        for target_id in self._earlier[1].owners(digest(view.uname + name)):
            target = host.smap.tmap.get(target_id)
            if target is None or target_id == host.snode.id:
                continue  # given up by an administrator, or ourselves
            if target.is_away:
                raise NotReady(why_away(target))
            if await self._ask_until_it_knows(target, view.bck, name):
                return

    async def _ask_until_it_knows(self, target: Snode, bck: Bck, name: str) -> bool:
        """Whether a target gave the object; it may learn of the new map some moments after us."""
        clock = self._host.env.clock
        deadline_s = clock.monotonic() + MAP_LAG_S_MAX
        while True:
            try:
                return await self._ask(target, bck, name, ActMsg(actions.GIVE_OBJECT, ""))
            except NotReady:
                if clock.monotonic() > deadline_s:
                    raise
            await clock.sleep(MAP_LAG_PAUSE_S)

    async def _ask(self, target: Snode, bck: Bck, name: str, message: ActMsg) -> bool:
        """Have another target do something with an object; whether it has it. Raise what it answers."""
        answer = await self._peers.call(
            "POST",
            target.control.url + _url_path(bck, name),
            query=_bucket_query(bck),
            headers={headers.CALLER_ID: self._host.snode.id},
            body=codec.to_json(message),
            timeout_s=self._host.config.cluster.client.client_long_timeout,
        )
        if answer.status not in (200, 404):
            raise errors.decode_error(answer.status, answer.body, target.control.url)
        return answer.status == 200

    async def _move_here(
        self, source: BucketView, name: str, destination: BucketView, new_name: str, only_if_absent: bool
    ) -> Moved:
        condition = absent(destination.bck.cname(new_name)) if only_if_absent else None
        pool = self._volume.place(destination.uname + new_name).pool
        try:
            meta = await in_pool(
                pool,
                lambda: self._store.move(source.bck, name, destination.bck, new_name, destination.rules, condition),
            )
        except AlreadyExists:
            removed = await in_pool(
                pool, lambda: self._store.delete(source.bck, name, None, source.rules, is_moved=True)
            )
            meta = removed.meta
        return Moved(meta.size if meta else 0, is_remote=False)

    async def _send(
        self, opened: OpenObject, owner: Snode, destination: BucketView, name: str, transfer: Transfer
    ) -> None:
        try:
            answer = await self._peers.send_file(
                owner.data.url + _url_path(destination.bck, name),
                query=_bucket_query(destination.bck),
                headers={
                    headers.CALLER_ID: self._host.snode.id,
                    TRANSFER: transfer.header(),
                    **({ack.HEADER: destination.ack} if destination.ack else {}),
                },
                fd=opened.fd,
                offset=0,
                length=opened.stat.st_size,
                timeout_s=self._host.config.cluster.client.client_long_timeout,
            )
        finally:
            os.close(opened.fd)
        if answer.status != 200:
            raise errors.decode_error(answer.status, answer.body, owner.data.url)

    def _owner(self, view: BucketView, name: str) -> Snode:
        return self._host.placement.owner(view.uname + name)


def _url_path(bck: Bck, name: str) -> str:
    return f"{PREFIX}{bck.name}/{quote(name, safe='/')}"


def _bucket_query(bck: Bck) -> dict[str, str]:
    return {query.PROVIDER: bck.provider, query.NAMESPACE: bck.namespace.uname}
