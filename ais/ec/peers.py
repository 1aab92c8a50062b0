"""Slices on other targets: our own protocol on the intra-data network, `/v1/ec/<bucket>/<object>`.

With ?version=, an entry of the name's shelf, all are about slices of that; in lists of names it is a part of the key.

PUT                      a slice, as `ais.ec.slice` describes it, replaces an older one; ?aside=1: it waits aside;
                         ?sync=1: it is durable when that is answered
GET ?what=kept           msgpack pair of headers: of the slice that counts, and of the one aside; nil: there is none
GET ?off=&len=&stamp=    so many bytes behind the header, if the content has that stamp; `Ais-Slice` has its index
DELETE ?stamp=           removes it unless it is newer; a body is a tombstone that takes its place
POST ?what=keep&stamp=   what waits aside counts now (404: there is none); ?sync=1 as above
POST ?what=forget&stamp= what waits aside goes
POST ?what=describe      a header: the object has other metadata now, the content is the same
POST ?what=check         reads the slice, and removes it when it is damaged
POST (on a bucket)       msgpack list of names: their owner repairs those it lacks
POST ?what=recode        their owner sees to all their slices: some were damaged
POST ?what=lacks         which of these names their owner lacks: list of bool
POST ?what=stamps        of each name the stamp of the content that its owner has, or nil
POST ?what=heads         of each name the slice that is kept here: `Brief`, or nil
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Protocol, TypeVar
from urllib.parse import quote

import msgspec

from ais.api import errors, headers, query
from ais.api.bucket import Bck
from ais.base.errors import BadRequest, CorruptMetadata, IntegrityError, NotReady, ObjectNotFound, Unreachable
from ais.config.node import NodeConfig
from ais.core.slicing import split_key
from ais.ec import slice as slices
from ais.ec.slice import Slice
from ais.ec.store import Kept
from ais.env.network import Answer
from ais.meta.placement import Placement
from ais.meta.smap import UNAVAILABLE, Flag, Smap, Snode, digest
from ais.net.client import PeerClient

T = TypeVar("T")
PREFIX = "/v1/ec/"
RECODE, LACKS, STAMPS, HEADS = "recode", "lacks", "stamps", "heads"
WHAT, OFFSET, LENGTH, STAMP, ASIDE, SYNC = "what", "off", "len", "stamp", "aside", "sync"
VERSION = "version"
KEPT, KEEP, FORGET, DESCRIBE, CHECK = "kept", "keep", "forget", "describe", "check"
INDEX = "Ais-Slice"
YES = "1"
DROP_TIMEOUT_S = 5.0
_AT_ONCE_BYTES_MAX = 256 << 10
"""Small slices go in one piece, without asking before whether they are wanted."""


class Brief(msgspec.Struct, frozen=True, array_like=True):
    """What tells slices apart: of which write, which of how many, of what size; or that the object was deleted."""

    stamp: tuple[int, int]
    data: int
    parity: int
    index: int
    size: int
    is_tombstone: bool
    written: tuple[int, int]

    @classmethod
    def of(cls, header: Slice) -> "Brief":
        """Of a slice."""
        return cls(
            header.stamp,
            header.data,
            header.parity,
            header.index,
            header.meta.size,
            header.is_tombstone,
            header.written,
        )


def stamp_text(stamp: tuple[int, int]) -> str:
    """A stamp as a query parameter."""
    return f"{stamp[0]}.{stamp[1]}"


def parse_stamp(text: str) -> tuple[int, int]:
    """Read `stamp_text`. Raise `BadRequest`."""
    generation, _, time_ns = text.partition(".")
    if not (generation.isdecimal() and time_ns.isdecimal()):
        raise BadRequest(f'invalid stamp "{text[:50]}"')
    return int(generation), int(time_ns)


class Cluster(Protocol):
    """What erasure coding needs of its node."""

    @property
    def snode(self) -> Snode: ...
    @property
    def smap(self) -> Smap: ...
    @property
    def placement(self) -> Placement: ...
    @property
    def config(self) -> NodeConfig: ...


class SlicePeers:
    """The other targets. Everything raises `Unreachable` when one does not answer, or the error that it answered."""

    def __init__(self, cluster: Cluster, client: PeerClient) -> None:
        self._cluster = cluster
        self._client = client

    def is_owner(self, uname: str) -> bool:
        """Whether this target owns a name, by the map alone: also while it, or another one, is away."""
        return self._cluster.placement.is_owner(self._cluster.snode.id, digest(split_key(uname)[0]))

    def owner(self, uname: str) -> Snode:
        """The target that owns a name, away or not."""
        return self._ranked(uname)[0]

    def holders(self, uname: str) -> list[Snode]:
        """The targets that may hold slices, in the order in which they get them: all that are there but the owner."""
        return self.present_for(uname, has_owner=False)

    def present_for(self, uname: str, *, has_owner: bool) -> list[Snode]:
        """The targets that are there, in the order of a name; its owner among them or not."""
        return [node for node in self._ranked(uname)[0 if has_owner else 1 :] if not node.is_away]

    def sources_for(self, uname: str) -> list[Snode]:
        """Who may have slices of a name that can be read: all that are there, and those that leave and still give."""
        return self.present_for(uname, has_owner=True) + [
            one for one in self._cluster.smap.tmap.values() if _is_giving(one)
        ]

    def is_self(self, node: Snode) -> bool:
        """Whether that is this target."""
        return node.id == self._cluster.snode.id

    @property
    def placement(self) -> Placement:
        """Of the present map; every map has another one."""
        return self._cluster.placement

    def present(self) -> frozenset[tuple[str, int]]:
        """The targets that are there, with their weights: on these depends where slices belong."""
        return frozenset((node.id, node.share) for node in self._cluster.placement.targets if not node.is_away)

    @property
    def has_absent(self) -> bool:
        """Whether a target is away."""
        return any(node.is_away for node in self._cluster.placement.targets)

    @property
    def has_unheard(self) -> bool:
        """Whether a target may come back with slices of what is deleted now: one that is away, or out of service."""
        return any(node.is_away or node.flags & UNAVAILABLE for node in self._cluster.smap.tmap.values())

    async def kept(self, node: Snode, bck: Bck, name: str) -> Kept:
        """The headers of the slices that a target keeps; what cannot be read is not there."""
        answer = await self._call("GET", node, bck, name, {WHAT: KEPT})
        try:
            pair = msgspec.msgpack.decode(answer.body if answer else b"\x90", type=list[bytes | None])
            return Kept(*(slices.decode(one)[0] if one is not None else None for one in pair))
        except (CorruptMetadata, msgspec.DecodeError):
            return Kept()

    @asynccontextmanager
    async def read(
        self, node: Snode, bck: Bck, name: str, written: tuple[int, int], offset: int, length: int
    ) -> AsyncIterator[tuple[int, AsyncIterator[bytes]]]:
        """The index of a slice with content of this stamp, and bytes behind its header, as they are taken.

        Whatever becomes of the slice meanwhile, they stay what they are. Raise `ObjectNotFound` when it is gone.
        """
        wanted = {OFFSET: str(offset), LENGTH: str(length), STAMP: stamp_text(written)}
        url = self._url(node, bck, name, wanted)
        reading = self._client.open_stream("GET", url, headers=self._headers(), timeout_s=self._timeout_s)
        async with reading as answer:
            if answer.status != 200:
                raise ObjectNotFound(f"{bck.cname(name)}: {node.name} has no such slice ({answer.status})")
            yield int(answer.headers.get(INDEX.lower(), "-1")), answer.chunks

    async def drop(
        self,
        node: Snode,
        bck: Bck,
        name: str,
        stamp: tuple[int, int],
        tombstone: bytes = b"",
        *,
        is_synced: bool = False,
    ) -> None:
        """Have a target remove its slice unless it is newer than `stamp`."""
        wanted = {STAMP: stamp_text(stamp), **({SYNC: YES} if is_synced else {})}
        await self._call("DELETE", node, bck, name, wanted, body=tombstone, timeout_s=DROP_TIMEOUT_S)

    async def send(
        self,
        node: Snode,
        bck: Bck,
        name: str,
        chunks: AsyncIterator[bytes],
        size: int,
        *,
        is_aside: bool = False,
        is_synced: bool = False,
    ) -> None:
        """Give a target a slice to keep, of `size` bytes behind its header. Raise `NotReady` when it does not know the
        bucket: it may not have heard of it yet.
        """
        wanted = {**({ASIDE: YES} if is_aside else {}), **({SYNC: YES} if is_synced else {})}
        if size <= _AT_ONCE_BYTES_MAX:
            body = b"".join([chunk async for chunk in chunks])
            if await self._call("PUT", node, bck, name, wanted, body=body) is None:
                raise _unknown_to(node, bck)
            return
        url = self._url(node, bck, name, wanted)
        answer = await self._client.send_stream(url, headers=self._headers(), chunks=chunks, timeout_s=self._timeout_s)
        if answer.status == 404:
            raise _unknown_to(node, bck)
        if answer.status != 200:
            raise errors.decode_error(answer.status, answer.body, node.data.url)

    async def keep(
        self, node: Snode, bck: Bck, name: str, written: tuple[int, int], *, is_synced: bool = False
    ) -> bool:
        """Have a target let the slice count that waits aside; False when it has none."""
        wanted = {WHAT: KEEP, STAMP: stamp_text(written), **({SYNC: YES} if is_synced else {})}
        return await self._call("POST", node, bck, name, wanted, timeout_s=DROP_TIMEOUT_S) is not None

    async def forget(self, node: Snode, bck: Bck, name: str, written: tuple[int, int]) -> None:
        """Have a target remove the slice that waits aside."""
        wanted = {WHAT: FORGET, STAMP: stamp_text(written)}
        await self._call("POST", node, bck, name, wanted, timeout_s=DROP_TIMEOUT_S)

    async def describe(self, node: Snode, bck: Bck, name: str, header: Slice) -> None:
        """Tell a target of other metadata of an object of which it has a slice."""
        await self._call("POST", node, bck, name, {WHAT: DESCRIBE}, body=header.encode())

    async def look(self, node: Snode, bck: Bck, name: str) -> None:
        """Have a target read its slice and remove it when it is damaged."""
        await self._call("POST", node, bck, name, {WHAT: CHECK})

    async def check(self, node: Snode, bck: Bck, names: list[str]) -> None:
        """Tell the owner of these names that there are slices of them."""
        await self._call("POST", node, bck, "", {}, body=msgspec.msgpack.encode(names))

    async def recode(self, node: Snode, bck: Bck, names: list[str]) -> None:
        """Tell the owner of these names that slices of them were damaged."""
        await self._call("POST", node, bck, "", {WHAT: RECODE}, body=msgspec.msgpack.encode(names))

    async def lacks(self, node: Snode, bck: Bck, names: list[str]) -> list[bool]:
        """Which of these names their owner lacks."""
        answer = await self._call("POST", node, bck, "", {WHAT: LACKS}, body=msgspec.msgpack.encode(names))
        return _decoded(answer, list[bool], len(names), node)

    async def stamps(self, node: Snode, bck: Bck, names: list[str]) -> list[tuple[int, int] | None]:
        """The stamps of the objects that their owner has; None where it has none that can be read."""
        answer = await self._call("POST", node, bck, "", {WHAT: STAMPS}, body=msgspec.msgpack.encode(names))
        return _decoded(answer, list[tuple[int, int] | None], len(names), node)

    async def heads(self, node: Snode, bck: Bck, names: list[str]) -> list[Brief | None]:
        """The slices that a target keeps of these names; None where it has none that can be read."""
        answer = await self._call("POST", node, bck, "", {WHAT: HEADS}, body=msgspec.msgpack.encode(names))
        return _decoded(answer, list[Brief | None], len(names), node)

    async def _call(
        self,
        method: str,
        node: Snode,
        bck: Bck,
        name: str,
        wanted: dict[str, str],
        *,
        body: bytes = b"",
        timeout_s: float | None = None,
    ) -> Answer | None:
        answer = await self._client.call(
            method,
            self._url(node, bck, name, wanted),
            headers=self._headers(),
            body=body,
            timeout_s=timeout_s or self._timeout_s,
        )
        if answer.status == 404:
            return None
        if answer.status not in (200, 206):
            raise errors.decode_error(answer.status, answer.body, node.data.url)
        return answer

    def _url(self, node: Snode, bck: Bck, name: str, wanted: dict[str, str]) -> str:
        name, entry = split_key(name)
        wanted = {**wanted, VERSION: entry} if entry else wanted
        params = {query.PROVIDER: bck.provider, query.NAMESPACE: bck.namespace.uname, **wanted}
        asked = "&".join(f"{key}={quote(value, safe='')}" for key, value in params.items())
        return f"{node.data.url}{PREFIX}{bck.name}/{quote(name, safe='/')}?{asked}"

    def _headers(self) -> dict[str, str]:
        return {headers.CALLER_ID: self._cluster.snode.id}

    @property
    def _timeout_s(self) -> float:
        return float(self._cluster.config.cluster.client.client_timeout)

    def _ranked(self, uname: str) -> list[Snode]:
        if not (found := self._cluster.placement.order(split_key(uname)[0])):
            raise Unreachable("the cluster has no targets")
        return found


def _unknown_to(node: Snode, bck: Bck) -> NotReady:
    return NotReady(f'{node.name} does not know bucket "{bck.cname()}", or not yet: try again')


def _is_giving(node: Snode) -> bool:
    """Whether a target leaves, and what it has may not be elsewhere yet."""
    is_drained = node.flags & Flag.MAINTENANCE_POST_REBALANCE
    return bool(node.flags & UNAVAILABLE) and not is_drained and not node.is_away


def _decoded(answer: Answer | None, kind: type[list[T]], count: int, node: Snode) -> list[T]:
    try:
        found = msgspec.msgpack.decode(answer.body if answer else b"", type=kind)
    except msgspec.DecodeError as error:
        raise IntegrityError(f"{node.name} answered what cannot be read: {error}") from None
    if len(found) != count:
        raise IntegrityError(f"{node.name} answered for {len(found)} of {count} names")
    return found
