"""The cluster metadata of this node: the current version of each part, its promise to voters, and both on disk.

A part is replaced as a whole, and only by a newer version; on return of `adopt` it is applied and durable. All versions
live in files of their own, so a crash between two writes leaves two valid parts. The cluster secret is kept apart from
the rest, in the configuration directory only: mountpaths are disks, and disks get lent and thrown away.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass, field, replace
from typing import ParamSpec, Protocol, TypeVar

import msgspec

from ais.api import codec
from ais.auth.keys import AccessKeys, ClusterSecret
from ais.base.errors import BadRequest, CorruptMetadata
from ais.config.cluster import ClusterConfig
from ais.env import Env
from ais.meta import store
from ais.meta.bmd import BMD
from ais.meta.smap import Smap, Snode
from ais.meta.stamp import NEVER, Stamp
from ais.node.messages import Part, Sealed, Stamps

P = ParamSpec("P")
R = TypeVar("R")

FILE_OF = {
    Part.SMAP: store.SMAP,
    Part.BMD: store.BMD,
    Part.CONFIG: store.CONFIG,
    Part.SECRET: store.SECRET,
    Part.KEYS: store.KEYS,
}
"""In the order of reading: the map tells whose the secret must be."""

ApplyBMD = Callable[[BMD, BMD], Awaitable[None]]


class Offload(Protocol):
    """Runs a blocking call beside the event loop."""

    async def __call__(self, call: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R: ...


async def in_thread(call: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
    """Run a blocking call in a thread. A simulation gives the state another function."""
    return await asyncio.to_thread(call, *args, **kwargs)


class SmapRecord(msgspec.Struct, frozen=True):
    """A cluster map with the earlier ones that must still agree to it, as it travels and rests on disk."""

    smap: Smap
    bases: tuple[Smap, ...] = ()


class Vote(msgspec.Struct, frozen=True):
    """The highest term this node knows of, and whom it voted for (or follows) in it."""

    term: int = 0
    voted_for: str = ""


@dataclass(frozen=True)
class Metadata:
    """All parts at one moment. Replaced as a whole, so that a reader sees one consistent set."""

    smap: Smap = field(default_factory=Smap)
    bases: tuple[Smap, ...] = ()
    """Earlier maps whose nodes must still agree to `smap`; empty once it is decided."""
    bmd: BMD = field(default_factory=BMD)
    config: ClusterConfig = field(default_factory=ClusterConfig)
    secret: ClusterSecret = field(default_factory=ClusterSecret)
    keys: AccessKeys = field(default_factory=AccessKeys)
    stamps: Stamps = field(default_factory=Stamps)

    @property
    def electors(self) -> dict[str, Snode]:
        """Everybody who has a say: the nodes of the map and of the undecided ones before it."""
        electors: dict[str, Snode] = {}
        for smap in (*self.bases, self.smap):
            electors |= smap.nodes
        return electors

    @property
    def has_own_secret(self) -> bool:
        """Whether the secret, if any, is that of the map's cluster: mountpaths may have come from another machine."""
        return self.secret.cluster in ("", self.smap.uuid)

    def seal(self, part: Part) -> Sealed:
        """One part, encoded."""
        term = self.stamps.of(part).term
        match part:
            case Part.SMAP:
                return seal_smap(term, self.smap, self.bases)
            case Part.BMD:
                return seal_bmd(term, self.bmd)
            case Part.CONFIG:
                return seal_config(term, self.config)
            case Part.SECRET:
                return seal_secret(term, self.secret)
            case Part.KEYS:
                return seal_keys(term, self.keys)

    def take(self, sealed: Sealed) -> "Metadata":
        """With another version of one part. Raise `BadRequest` when it cannot be read."""
        stamps = msgspec.structs.replace(self.stamps, **{sealed.part.value: sealed.stamp})
        match sealed.part:
            case Part.SMAP:
                record = codec.from_json(sealed.body, SmapRecord)
                for node in record.smap.nodes.values():
                    if node != self.smap.get(node.id):
                        node.check()
                return replace(self, smap=record.smap, bases=record.bases, stamps=stamps)
            case Part.BMD:
                return replace(self, bmd=BMD.decode(sealed.body, self.bmd), stamps=stamps)
            case Part.CONFIG:
                return replace(self, config=codec.from_json(sealed.body, ClusterConfig), stamps=stamps)
            case Part.SECRET:
                return replace(self, secret=ClusterSecret.decode(sealed.body), stamps=stamps)
            case Part.KEYS:
                return replace(self, keys=AccessKeys.decode(sealed.body), stamps=stamps)


def seal_smap(term: int, smap: Smap, bases: tuple[Smap, ...]) -> Sealed:
    """A cluster map written in `term`."""
    return Sealed(Part.SMAP, Stamp(term, int(smap.version)), codec.to_json(SmapRecord(smap, bases)))


def seal_bmd(term: int, bmd: BMD) -> Sealed:
    """Bucket metadata written in `term`."""
    return Sealed(Part.BMD, Stamp(term, bmd.version), bmd.encode())


def seal_config(term: int, config: ClusterConfig) -> Sealed:
    """A cluster configuration written in `term`."""
    return Sealed(Part.CONFIG, Stamp(term, int(config.config_version)), codec.to_json(config))


def seal_secret(term: int, secret: ClusterSecret) -> Sealed:
    """A cluster secret written in `term`."""
    return Sealed(Part.SECRET, Stamp(term, int(secret.version)), secret.encode())


def seal_keys(term: int, keys: AccessKeys) -> Sealed:
    """Access keys written in `term`."""
    return Sealed(Part.KEYS, Stamp(term, int(keys.version)), keys.encode())


class State:
    """Owner of `Metadata` and `Vote`. Reading is free; `adopt`, `promise` and the others are serialized by one lock."""

    def __init__(
        self,
        env: Env,
        directories: tuple[str, ...],
        confdir: str,
        config: ClusterConfig,
        apply_bmd: ApplyBMD,
        offload: Offload,
    ) -> None:
        self._disk = env.disk
        self._offload = offload
        self._apply_bmd = apply_bmd
        self._lock = asyncio.Lock()
        self.directories = directories
        self._confdir = confdir
        self.current = Metadata(config=config)
        self._sealed: dict[Part, Sealed] = {}
        self.vote = Vote()
        self._is_marked = False
        """Whether our directories are mountpaths, which tell by their volume metadata that their disk is there."""
        self.aside: Callable[[], AbstractAsyncContextManager[object]] = nullcontext
        """Entered around each change of a part: other processes of this node stand aside, and follow at its end."""
        self.on_change: list[Callable[[Metadata, Metadata], None]] = []
        """Called with the old and the new metadata after each change; must not block or raise."""

    @property
    def term(self) -> int:
        """The highest term this node knows of."""
        return max(self.vote.term, self.current.stamps.smap.term)

    @property
    def voted_for(self) -> str:
        """Whom this node is bound to in `term`."""
        smap_rules = self.current.stamps.smap.term > self.vote.term
        return self.current.smap.primary_id if smap_rules else self.vote.voted_for

    def sealed(self, part: Part) -> Sealed:
        """The current version of a part, encoded; encoded once per version."""
        if part not in self._sealed:
            self._sealed[part] = self.current.seal(part)
        return self._sealed[part]

    async def load(self) -> None:
        """Read everything from disk. Raise `CorruptMetadata` when no copy of a file is intact."""
        for part, file_name in FILE_OF.items():
            records = await self._offload(store.load, self._disk, self._directories_of(part), file_name)
            for sealed in (_unpack(part, record, self._directories_of(part)) for record in records):
                if sealed.stamp > self.current.stamps.of(part):
                    loaded = self.current.take(sealed)
                    self.current = loaded if loaded.has_own_secret else self.current
        votes = await self._offload(store.load, self._disk, self.directories, store.VOTE)
        if votes:
            self.vote = max((codec.from_json(vote.payload, Vote) for vote in votes), key=lambda vote: vote.term)

    async def adopt(self, parts: Iterable[Sealed]) -> None:
        """Take the parts that are newer than ours; each is applied, then durable, then visible."""
        async with self._lock:
            newer = [sealed for sealed in parts if sealed.stamp > self.current.stamps.of(sealed.part)]
            if newer:
                async with self.aside():
                    for sealed in newer:
                        await self._adopt(sealed)

    def mirror(self, parts: Iterable[Sealed]) -> None:
        """Show what another process of this node has made durable. `current` is another object afterwards."""
        changed = replace(self.current)
        for sealed in parts:
            changed = changed.take(sealed)
        self._show(changed)

    async def settle(self, decided: Stamp) -> None:
        """Forget the maps before ours when it is the one that was decided."""
        if self.current.stamps.smap != decided or not self.current.bases:
            return
        async with self._lock:
            if self.current.stamps.smap == decided:
                settled = replace(self.current, bases=())
                await self._save(settled.seal(Part.SMAP))
                self._show(settled)

    async def replace(self, parts: Iterable[Sealed]) -> None:
        """Write these parts in place of everything on disk; in memory all stays as it is until the next start."""
        async with self._lock:
            for part in Part:
                for directory in self._directories_of(part):
                    await self._offload(store.remove, self._disk, directory, FILE_OF[part])
            for directory in self.directories:
                await self._offload(store.remove, self._disk, directory, store.VOTE)
            for sealed in parts:
                if sealed.stamp != NEVER:
                    await self._save(sealed)

    async def promise(self, term: int, candidate: str) -> bool:
        """Bind this node to `candidate` in `term`, durably. False when it is bound otherwise already."""
        async with self._lock:
            if term < self.term or (term == self.term and self.voted_for != candidate):
                return False
            if self.vote != Vote(term, candidate):
                vote = Vote(term, candidate)
                record = store.Record(term, codec.to_json(vote))
                await self._write(self.directories, store.VOTE, record)
                self.vote = vote
            return True

    async def move(self, directories: tuple[str, ...]) -> None:
        """Keep the files in these directories from now on (a target's mountpaths changed)."""
        async with self._lock:
            self.directories = directories
            for part in Part:
                if part is not Part.SECRET and self.current.stamps.of(part) != NEVER:
                    await self._save(self.current.seal(part))
            record = store.Record(self.vote.term, codec.to_json(self.vote))
            await self._write(directories, store.VOTE, record)

    async def _adopt(self, sealed: Sealed) -> None:
        changed = self.current.take(sealed)
        if sealed.part is Part.BMD:
            await self._apply_bmd(self.current.bmd, changed.bmd)
        await self._save(sealed)
        self._show(changed)

    async def _write(self, directories: tuple[str, ...], file_name: str, record: store.Record) -> None:
        """Write a file into these directories: of mountpaths, into those whose disk is there."""
        self._is_marked = self._is_marked or any(store.is_marked(self._disk, one) for one in self.directories)
        only_marked = self._is_marked and directories != (self._confdir,)
        await self._offload(store.save, self._disk, directories, file_name, record, only_marked=only_marked)

    async def _save(self, sealed: Sealed) -> None:
        record = store.Record(sealed.stamp.term, sealed.body)
        directories = self._directories_of(sealed.part)
        await self._write(directories, FILE_OF[sealed.part], record)

    def _directories_of(self, part: Part) -> tuple[str, ...]:
        return (self._confdir,) if part is Part.SECRET else self.directories

    def _show(self, changed: Metadata) -> None:
        old, self.current = self.current, changed
        self._sealed.clear()
        for callback in self.on_change:
            callback(old, changed)


def _unpack(part: Part, record: store.Record, directories: tuple[str, ...]) -> Sealed:
    """Raise `CorruptMetadata` that says how to go on: whoever reads it has a node that does not start."""
    try:
        stamps = Metadata().take(Sealed(part, Stamp(record.term), record.payload)).seal(part).stamp
    except BadRequest as error:
        raise CorruptMetadata(
            f"this ais cannot read {FILE_OF[part]} in {', '.join(directories)}: {error}. Nothing was changed: start the"
            " version of ais that wrote it; or, while other nodes are up, move these files aside, and this node takes"
            " theirs"
        ) from None
    return Sealed(part, stamps, record.payload)
