"""Objects that change their name or their owner: copied or moved within this target, or sent to the one that owns them.

The bytes of a send go straight from this target's file to the peer's data network; the peer verifies the checksum and
keeps the metadata. A move deletes the source only after the destination has answered that it is durable there. A name
is moved by one at a time: who waited for it knows that nothing of it is on its way any more.
"""

import asyncio
import contextlib
import os
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from functools import partial
from types import MappingProxyType
from typing import NamedTuple, TypeVar
from urllib.parse import quote

import msgspec

from ais.api import ack, actions, codec, errors, headers, query
from ais.api.bucket import Bck
from ais.api.messages import ActMsg
from ais.base.errors import (
    AccessDenied,
    AisError,
    AlreadyExists,
    BadRequest,
    Busy,
    NotReady,
    ObjectNotFound,
    Unreachable,
)
from ais.base.locks import Held, NamedLocks
from ais.base.wanted import Wanted
from ais.core import holds, replicas
from ais.core.departure import Departures, OpenVersion
from ais.core.meta import ObjectMeta
from ais.core.store import OpenObject, Store
from ais.core.workfile import WriteRules
from ais.ec.restore import Restorer
from ais.fs.volume import BegunToMove, Volume
from ais.meta.placement import why_away
from ais.meta.smap import Snode, digest
from ais.net.client import PeerClient
from ais.reb.plan import Earlier
from ais.target.address import PREFIX
from ais.target.front import Misplaced
from ais.target.host import Host
from ais.target.maps import Maps
from ais.target.remote.through import of_copy
from ais.target.transfer import (
    BELOW,
    LATEST,
    SMALL,
    SMALL_BYTES_MAX,
    TOGETHER_BYTES_MAX,
    TRANSFER,
    Small,
    Together,
    Transfer,
    absent,
    unchanged,
)
from ais.target.uploads import in_pool
from ais.target.view import BucketView
from ais.xact.pace import Pace, carried, is_at_work

T = TypeVar("T")
MAP_LAG_S_MAX = 10.0
MAP_LAG_PAUSE_S = 0.05
ATTEMPTS_MAX = 10
_NO_LINES: Mapping[str, str] = MappingProxyType({})
_OF_SMALL_BYTES = 2048
"""More than a name takes in a request, with what is said of it."""
DISCARDED = b"discarded"
"""Answer of a target that was asked for a name and deleted what is damaged of it."""


class EarlierAway(NotReady):
    """A target that owned the name before is away, and may have the object."""


class Given(NamedTuple):
    """What was sent of a name. `is_discarded`: what was damaged and to be deleted was."""

    size_bytes: int
    versions: int
    is_discarded: bool = False


class Moved(NamedTuple):
    """What a move did: the size, and whether the object left this target."""

    size_bytes: int
    is_remote: bool


class Moves:
    """Copies and moves objects of this target."""

    def __init__(
        self, host: Host, maps: Maps, volume: Volume, store: Store, restorer: Restorer, peers: PeerClient, pace: Pace
    ) -> None:
        self._host = host
        self._maps = maps
        self._volume = volume
        self._store = store
        self._restorer = restorer
        self._peers = peers
        self._pace = pace
        self._departures = Departures(store, host.env)
        self._earlier = (host.smap, Earlier(host.smap))
        self._locks = NamedLocks()
        self._asked = Wanted(bool)
        """Names that others are asked for, because a client waits for them."""
        self.before_give: Callable[[Bck, str], Awaitable[None]] = _at_once
        """Awaited before a name goes to its owner: what is still done for it here ends."""

    async def copy(self, source: BucketView, name: str, destination: BucketView, new_name: str) -> None:
        """Copy an object to another name or bucket; an object there is overwritten. Raise `ObjectNotFound`.

        What has a backend gets it as an upload, from this target too (`Writes`).
        """
        owner = self._owner(destination, new_name)
        if owner.id == self._host.snode.id and destination.remote is None:
            await self.settle(destination, new_name)
            pool = self._volume.place(destination.uname + new_name).pool
            await in_pool(
                pool, lambda: self._store.copy(source.bck, name, destination.bck, new_name, destination.rules, of_copy)
            )
            return
        opened = await self._restorer.whole(source.bck, name, self._store.open(source.bck, name, sealed=True))
        kept = replicas.without(holds.without(opened.meta.facts))
        meta = msgspec.structs.replace(opened.meta, custom=of_copy(opened.meta.custom), facts=kept)
        await self._send(opened, owner, destination, new_name, Transfer(meta))

    async def move(
        self, source: BucketView, name: str, destination: BucketView, new_name: str, *, only_if_absent: bool = False
    ) -> Moved:
        """Give an object another name. Raise `ObjectNotFound`; `AlreadyExists` when it was replaced before its old name
        went: what replaced it stays, and the new name has it.

        With `only_if_absent`, an object that has the new name already is newer: it stays and the source goes.
        """
        held = await self._locks.acquire(source.uname + name)
        try:
            return await self._move(source, name, destination, new_name, only_if_absent)
        finally:
            held.release()

    async def give(self, view: BucketView, name: str) -> Given | None:
        """Send a name with all its versions to the target that owns it, and let go of it; None when there is none here.

        Raise `CorruptMetadata` or `ChecksumMismatch` when something of it is damaged: all of it stays then; `NotReady`.
        """
        held = await self._locks.acquire(view.uname + name)
        try:
            owner = self._owner(view, name)
            if view.is_coded:
                await self.before_give(view.bck, name)
            if owner.id == self._host.snode.id:
                raise NotReady(f"{self._host.snode.name} is the owner of {view.bck.cname(name)} as far as it knows")
            if not (view.keeps_versions or view.bck in self._volume.keeping):
                return Given((await self._move(view, name, view, name, only_if_absent=True)).size_bytes, 1)
            for _ in range(ATTEMPTS_MAX):
                given = await self._give_versions(view, name, owner)
                if given is None or given.versions:
                    return given
            raise Busy(f"{view.bck.cname(name)} keeps changing")
        except (ObjectNotFound, Misplaced):  # there is none here; whether it exists is the owner's to say
            return None
        finally:
            held.release()

    async def give_together(self, view: BucketView, names: Sequence[str], pool: Executor) -> dict[str, int]:
        """Send small objects to the targets that own them, many in one request, and let go of those that are there;
        their sizes. What is not among them goes by itself (`give`), which says why when it stays.

        `pool` reads and removes: that of the mountpath which has them.
        """
        is_file = not (view.keeps_versions or view.is_coded or view.rules.all_copies or view.remote is not None)
        if not is_file or view.bck in self._volume.keeping:
            return {}
        held, given = list[Held](), dict[str, int]()
        try:
            for name in sorted(names):
                held.append(await self._locks.acquire(view.uname + name))
            by_owner: dict[str, list[str]] = {}
            for name in names:
                by_owner.setdefault(self._owner(view, name).id, []).append(name)
            by_owner.pop(self._host.snode.id, None)
            sent = (self._give_to(owner_id, view, part, pool) for owner_id, part in by_owner.items())
            for sizes in await asyncio.gather(*sent):
                given |= sizes
        finally:
            for one in held:
                one.release()
        return given

    async def _give_to(self, owner_id: str, view: BucketView, names: Sequence[str], pool: Executor) -> dict[str, int]:
        owner, given = self._host.smap.tmap.get(owner_id), dict[str, int]()
        left = self._pace.pieces(iter(names), lambda: self._are_wanted(view, names))
        while owner is not None and (part := await in_pool(pool, carried(lambda: self._read_small(view, left)))):
            try:
                answer = await self._peers.call(
                    "POST",
                    owner.data.url + SMALL,
                    headers={headers.CALLER_ID: self._host.snode.id},
                    body=codec.to_msgpack(Together(view.uname, part, int(view.props.bid))),
                    timeout_s=self._host.config.cluster.client.client_long_timeout,
                )
            except Unreachable:
                break
            if answer.status != 200:
                break
            are_there = codec.from_msgpack(answer.body, list[bool])
            there = [one for one, is_there in zip(part, are_there, strict=True) if is_there]
            given |= await in_pool(pool, carried(partial(self._let_go_of, view, there)))
        return given

    def _are_wanted(self, view: BucketView, names: Iterable[str]) -> bool:
        return any(self._locks.is_wanted(view.uname + name) for name in names)

    def _read_small(self, view: BucketView, names: Iterator[str]) -> list[Small]:
        """The next objects of one request; none: there are no more. What is large, gone or damaged is left out."""
        found, size = list[Small](), 0
        for name in names:
            small = self.read_small(view, name)
            if small is None or not self._is_free(small.transfer.meta):
                continue
            found.append(small)
            size += len(small.content) + _OF_SMALL_BYTES
            if size > TOGETHER_BYTES_MAX - SMALL_BYTES_MAX:
                break
        return found

    def read_small(self, view: BucketView, name: str) -> Small | None:
        """An object of this target, whole; None for what is large, in slices, gone or damaged."""
        disk = self._host.env.disk
        with contextlib.suppress(AisError, OSError):
            opened = self._store.open(view.bck, name, sealed=True)
            try:
                if opened.stat.st_size > SMALL_BYTES_MAX or opened.meta.cut is not None:
                    return None
                return Small(name, _of_owner(opened), disk.pread(opened.fd, opened.stat.st_size, 0))
            finally:
                disk.close(opened.fd)
        return None

    def _is_free(self, meta: ObjectMeta) -> bool:
        try:
            self._store.check_free(meta)
        except AisError:
            return False
        return True

    def _let_go_of(self, view: BucketView, there: Sequence[Small]) -> dict[str, int]:
        given: dict[str, int] = {}
        is_awaited = partial(self._are_wanted, view, [one.name for one in there])
        for one in self._pace.pieces(iter(there), is_awaited):
            with contextlib.suppress(AisError):
                self._let_go(view, one.name, one.transfer.meta, view.silent_rules, keeps_slices=True)
                given[one.name] = len(one.content)
        return given

    def _let_go(self, view: BucketView, name: str, meta: ObjectMeta, rules: WriteRules, *, keeps_slices: bool) -> None:
        """Remove what was sent. Raise `AlreadyExists` when it was replaced meanwhile."""
        condition = unchanged(meta, view.bck.cname(name))
        with contextlib.suppress(ObjectNotFound):  # it was deleted meanwhile, after its owner, or its new name, got it
            self._store.delete(view.bck, name, condition, rules, is_moved=True, keeps_slices=keeps_slices)

    async def _give_versions(self, view: BucketView, name: str, owner: Snode) -> Given | None:
        """One attempt; without versions: something changed meanwhile, try again."""
        pool = self._volume.place(view.uname + name).pool
        found = await in_pool(pool, lambda: self._departures.look(view.bck, name))
        if not found.versions:
            return None
        size = 0
        head = found.versions[0] if found.has_head else None
        for version in reversed(found.versions):
            opened = self._departures.open(version)
            if opened is None:
                return Given(0, 0)
            part = LATEST if version is head else BELOW
            times_ns = (opened.stat.st_atime_ns, opened.stat.st_mtime_ns)
            size += opened.stat.st_size
            with contextlib.suppress(AlreadyExists):  # it was sent before; others may not have been
                transfer = Transfer(opened.meta, times_ns=times_ns, part=part, is_awaited=not is_at_work())
                await self._send(opened, owner, _durable(view), name, transfer)
        is_gone = await in_pool(pool, lambda: self._departures.let_go(view.bck, name, found, fsync=view.rules.fsync))
        return Given(size, len(found.versions)) if is_gone else Given(0, 0)

    async def _move(
        self, source: BucketView, name: str, destination: BucketView, new_name: str, only_if_absent: bool
    ) -> Moved:
        owner = self._owner(destination, new_name)
        if owner.id == self._host.snode.id:
            if not only_if_absent:
                await self.settle(destination, new_name)
            return await self._move_here(source, name, destination, new_name, only_if_absent)
        destination = _durable(destination)
        opened = self._store.open(source.bck, name, sealed=True)
        meta, keeps_name = opened.meta, (source.bck, name) == (destination.bck, new_name)
        transfer = _of_owner(opened, only_if_absent=only_if_absent, keeps_name=keeps_name)
        try:
            self._store.check_free(meta)
        except BaseException:
            os.close(opened.fd)
            raise
        try:
            opened = await self._restorer.whole(source.bck, name, opened)
            await self._send(opened, owner, destination, new_name, transfer)
        except AlreadyExists:
            if not only_if_absent:
                raise
        pool = self._volume.place(source.uname + name).pool
        rules = source.silent_rules if only_if_absent else source.rules
        await in_pool(pool, lambda: self._let_go(source, name, meta, rules, keeps_slices=keeps_name))
        return Moved(meta.size, is_remote=True)

    def may_be_elsewhere(self, view: BucketView) -> bool:
        """Whether objects may not be here yet; by the map of now, also when the view was looked up before it came."""
        return view.source is not None or bool(self._host.smap.moving)

    async def settle(self, view: BucketView, name: str, *, discard: str | None = None) -> bool:
        """Before an object is used, or replaced, that may be elsewhere still: fetch it, with all its versions.

        When this returns no target that owned the name before has anything of it, by the map of that moment. What is
        damaged there stays there and raises, but with `discard` (the ID of a version, or empty for the object of a
        bucket that keeps none) that is removed, for a client who deletes it; return whether there was such a thing.
        """
        if not self.may_be_elsewhere(view):
            return False
        is_discarded = await self.have_given(view, name, ActMsg(actions.GIVE_OBJECT, "", discard))
        if view.source is not None and view.source != view.bck:
            await self.have_moved(view.source, name, view)
        return is_discarded

    async def once_settled(
        self,
        view: BucketView,
        name: str,
        remove: Callable[[int, bool], Awaitable[T]],
        *,
        discard: str | None = None,
    ) -> T:
        """`settle`, then `remove` something of the object, given the `since` of `Store.delete`, and what `settle` has
        returned; both again when others may have something of it by then. Raise what either raises.
        """
        is_discarded = False
        while True:
            is_discarded |= await self.settle(view, name, discard=discard)
            with contextlib.suppress(BegunToMove):
                return await remove(self._volume.moves, is_discarded)
            self._require_ours(view, name)

    async def have_given(self, view: BucketView, name: str, message: ActMsg) -> bool:
        """Have all who owned a name before, by the map of the end, do what a message says; return whether any of them
        has discarded something. Raise `NotReady`, `Unreachable`, what one answers, and `Misplaced` when the name, which
        was this target's, is another's by then.
        """
        self._asked.take(view.uname + name)
        try:
            return await self._have_given(view, name, message)
        finally:
            self._asked.forget(view.uname + name)

    def is_asked_for(self, name: str) -> bool:
        """Whether a client waits for this name (with its bucket's uname) to come here."""
        return name in self._asked

    async def _have_given(self, view: BucketView, name: str, message: ActMsg) -> bool:
        is_discarded = False
        is_ours = self._owner(view, name).id == self._host.snode.id
        while (smap := self._host.smap).moving:
            try:
                is_discarded |= await self._tell_earlier(view, name, message)
            except NotReady:
                if self._host.smap is smap:
                    raise
                if is_ours:
                    self._require_ours(view, name)
                continue
            except Unreachable:
                await self._maps.until(smap.version + 1)  # a target that has nothing more ends when others may know
                if self._host.smap is smap:
                    raise
                continue
            if self._host.smap is smap:
                break
        if is_ours:
            self._require_ours(view, name)
        return is_discarded

    async def until_owned(self, view: BucketView, name: str) -> None:
        """Wait for the map by which this target owns a name: who sends it has that already. Raise `NotReady`."""
        host = self._host
        if self._owner(view, name).id != host.snode.id:
            await self._maps.until(host.smap.version + 1)
        if self._owner(view, name).id != host.snode.id:
            raise NotReady(f"{view.bck.cname(name)} is not {host.snode.name}'s by the cluster map it has: try again")

    async def until_map(self, version: int) -> None:
        """Wait until this target has the cluster map of that version, for some seconds."""
        await self._maps.until(version)

    async def have_moved(self, source: Bck, name: str, destination: BucketView) -> None:
        """Have the owner of a name, maybe this target, bring what it has of it to another bucket. Raise as it does."""
        owner = self._host.placement.owner(source.uname + name)
        await self._ask(owner, source, name, ActMsg(actions.MOVE_BUCKET, destination.uname + name))

    async def _tell_earlier(self, view: BucketView, name: str, message: ActMsg) -> bool:
        """Tell all who owned a name before; whether something was discarded. `NotReady` when nobody can tell."""
        is_discarded = False
        for target in self.earlier(view, name):
            if target.is_away:
                raise EarlierAway(why_away(target))
            is_discarded |= await self._ask_until_it_knows(target, view, name, message)
        return is_discarded

    def earlier(self, view: BucketView, name: str) -> Iterator[Snode]:
        """The other targets that may still have something of a name, the latest owner first."""
        host = self._host
        if self._earlier[0] is not host.smap:
            self._earlier = (host.smap, Earlier(host.smap))
        for target_id in self._earlier[1].owners(digest(view.uname + name)):
            target = host.smap.tmap.get(target_id)
            if target is not None and target_id != host.snode.id:  # given up by an administrator, or ourselves
                yield target

    async def _ask_until_it_knows(self, target: Snode, view: BucketView, name: str, message: ActMsg) -> bool:
        """Have a target give a name; it may learn of a new map, or bucket, a moment after us, or before."""
        clock, smap = self._host.env.clock, self._host.smap
        lines = meant(view) | ({ack.HEADER: ack.Ack.SYNCED} if view.rules.fsync else {})
        deadline_s = clock.monotonic() + MAP_LAG_S_MAX
        while True:
            try:
                return await self._ask(target, view.bck, name, message, lines) == DISCARDED
            except (NotReady, AccessDenied) as error:  # by an older map we are nobody's node, or it owns the name
                if clock.monotonic() > deadline_s or self._host.smap is not smap:
                    raise NotReady(str(error)) from None
            await clock.sleep(MAP_LAG_PAUSE_S)

    async def _ask(
        self, target: Snode, bck: Bck, name: str, message: ActMsg, lines: Mapping[str, str] = _NO_LINES
    ) -> bytes:
        """Have another target do something with an object, if it has it. Raise what it answers."""
        answer = await self._peers.call(
            "POST",
            target.control.url + _url_path(bck, name),
            query=_bucket_query(bck),
            headers={headers.CALLER_ID: self._host.snode.id, **lines},
            body=codec.to_json(message),
            timeout_s=self._host.config.cluster.client.client_long_timeout,
        )
        if answer.status not in (200, 404):
            raise errors.decode_error(answer.status, answer.body, target.control.url)
        return answer.body

    async def _move_here(
        self, source: BucketView, name: str, destination: BucketView, new_name: str, only_if_absent: bool
    ) -> Moved:
        condition = absent(destination.bck.cname(new_name)) if only_if_absent else None
        rules = destination.silent_rules if only_if_absent else destination.rules
        mountpath = self._volume.place(destination.uname + new_name)
        pool = mountpath.job_pool if is_at_work() else mountpath.pool
        paced = partial(self._pace.pieces, is_awaited=lambda: self._locks.is_wanted(source.uname + name))
        step = partial(self._store.move, source.bck, name, destination.bck, new_name, rules, condition, paced)
        try:
            meta = await in_pool(pool, carried(step))
        except AlreadyExists:
            removed = await in_pool(
                pool, lambda: self._store.delete(source.bck, name, None, source.silent_rules, is_moved=True)
            )
            meta = removed.meta
        return Moved(meta.size if meta else 0, is_remote=False)

    async def _send(
        self, opened: OpenObject | OpenVersion, owner: Snode, destination: BucketView, name: str, transfer: Transfer
    ) -> None:
        try:
            lines = _lines(destination, transfer)
            await self._send_file(opened.fd, 0, opened.stat.st_size, owner, destination, name, lines)
        finally:
            os.close(opened.fd)

    async def deliver(self, fd: int, size: int, destination: BucketView, name: str, transfer: Transfer) -> None:
        """Send an open file to the target that owns the name. Raise what it answers."""
        lines = _lines(destination, transfer)
        await self._send_file(fd, 0, size, self._owner(destination, name), destination, name, lines)

    async def deliver_part(
        self, fd: int, offset: int, length: int, view: BucketView, name: str, lines: dict[str, str]
    ) -> None:
        """Send some of an open file, or nothing of it, to the target that owns the name, durably. Raise what it
        answers.
        """
        lines = {**lines, ack.HEADER: ack.Ack.SYNCED}
        await self._send_file(fd, offset, length, self._owner(view, name), view, name, lines)

    async def is_at_owner(self, view: BucketView, name: str) -> bool:
        """Whether another target, which owns the name, has such an object."""
        owner = self._owner(view, name)
        answer = await self._peers.call(
            "HEAD",
            owner.data.url + _url_path(view.bck, name),
            query=_bucket_query(view.bck),
            headers={headers.CALLER_ID: self._host.snode.id},
            timeout_s=self._host.config.cluster.client.client_timeout,
        )
        if answer.status not in (200, 404):
            raise errors.decode_error(answer.status, answer.body, owner.data.url)
        return answer.status == 200

    async def _send_file(
        self, fd: int, offset: int, length: int, owner: Snode, view: BucketView, name: str, lines: dict[str, str]
    ) -> None:
        answer = await self._peers.send_file(
            owner.data.url + _url_path(view.bck, name),
            query=_bucket_query(view.bck),
            headers={headers.CALLER_ID: self._host.snode.id, **meant(view), **lines},
            fd=fd,
            offset=offset,
            length=length,
            timeout_s=self._host.config.cluster.client.client_long_timeout,
        )
        if answer.status != 200:
            raise errors.decode_error(answer.status, answer.body, owner.data.url)

    def _require_ours(self, view: BucketView, name: str) -> None:
        """Raise `Misplaced` when another target owns the name by now."""
        if (owner := self._owner(view, name)).id != self._host.snode.id:
            raise Misplaced(owner)

    def _owner(self, view: BucketView, name: str) -> Snode:
        return self._host.placement.owner(view.uname + name)


def _durable(view: BucketView) -> BucketView:
    """As the bucket, and on the disk: what another target has got is removed here, where it may be on it for long.

    With all copies if the bucket wants that, and can: one that got versions since has to do without.
    """
    if view.rules.all_copies:
        with contextlib.suppress(BadRequest):
            return view.with_ack("all-synced")
    return view.with_ack("synced")


def _of_owner(opened: OpenObject, *, only_if_absent: bool = True, keeps_name: bool = True) -> Transfer:
    """What is said of an object that gets another owner, or another name."""
    return Transfer(
        opened.meta,
        version=opened.meta.version,
        times_ns=(opened.stat.st_atime_ns, opened.stat.st_mtime_ns),
        only_if_absent=only_if_absent,
        keeps_name=keeps_name,
        is_awaited=not is_at_work(),
    )


async def _at_once(_bck: Bck, _name: str) -> None:
    """Nothing is done."""


def _lines(destination: BucketView, transfer: Transfer) -> dict[str, str]:
    return {TRANSFER: transfer.header(), **({ack.HEADER: destination.ack} if destination.ack else {})}


def meant(view: BucketView) -> dict[str, str]:
    """The header by which another target knows which bucket of the name it is (`Front.require_meant`)."""
    return {headers.BUCKET_ID: str(view.props.bid)}


def _url_path(bck: Bck, name: str) -> str:
    return f"{PREFIX}{bck.name}/{quote(name, safe='/')}"


def _bucket_query(bck: Bck) -> dict[str, str]:
    return {query.PROVIDER: bck.provider, query.NAMESPACE: bck.namespace.uname}
