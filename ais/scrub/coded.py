"""Slices of erasure-coded objects on all targets, as their owner and whoever keeps them see it.

The owner counts: its object and the slices that it promises. What the owner lacks is counted by whoever keeps the
first slice of it that is still there, because nobody else knows.
"""

import asyncio
import contextlib
from collections.abc import Callable
from typing import NamedTuple

import structlog

from ais.api.bucket import Bck
from ais.base.errors import AisError, BucketNotFound, ObjectNotFound
from ais.core.slicing import split_key
from ais.ec.jobs import EcJobs
from ais.ec.peers import Brief, SlicePeers
from ais.ec.slice import Scheme
from ais.ec.store import SliceStore
from ais.env.clock import Clock
from ais.meta.smap import Snode
from ais.scrub.local import Finding
from ais.scrub.tally import Tally

WAIT_S = 60.0
_POLL_S = 0.2

Schemes = Callable[[Bck, int], Scheme | None]


class Coded:
    """Questions to the other targets, and repairs."""

    def __init__(self, peers: SlicePeers, jobs: EcJobs, own: SliceStore, clock: Clock, schemes: Schemes) -> None:
        self._peers = peers
        self._jobs = jobs
        self._own = own
        self._clock = clock
        self._schemes = schemes
        self._log = structlog.get_logger()

    async def restore(self, bck: Bck, name: str) -> bool:
        """Make a lost or damaged object of this target from its slices. Raise `AisError`."""
        return await self._jobs.restore(bck, name)

    async def check(self, bck: Bck, objects: list[tuple[str, Finding]], tally: Tally, *, repairs: bool) -> None:
        """Count the slices of objects that this target owns and has; have those made that are missing."""
        wanted = {name: form for name, one in objects if (form := self._form(bck, one)) is not None}
        found = await self._good_slices(bck, wanted)
        for name, finding in objects:
            form = wanted.get(name)
            if form is None:
                continue
            good = found[name]
            if good < form.total:
                tally.note(name)
                if repairs and finding.is_there:
                    after = await self._encode(bck, name, form)
                    tally.repaired += max(0, after - good)
                    good = after
            tally.promised += form.total
            tally.found += good
            tally.lost += form.is_alone and good < form.data

    def _form(self, bck: Bck, finding: Finding) -> "_Form | None":
        """The slices that there should be of an object; None: it is not coded."""
        scheme, meta = self._schemes(bck, finding.size), finding.meta
        if scheme is None:
            return None
        cut = meta.cut if meta is not None else None
        if not scheme.is_alone:
            return _Form(scheme.data, scheme.parity, meta.stamp if meta is not None else None)
        if cut is None or (cut.data, cut.parity) != (scheme.data, scheme.parity):
            return _Form(scheme.data, scheme.parity, None)  # it has another form, and is written anew
        return _Form(cut.data, cut.parity, cut.written, is_alone=True)

    async def have_made_again(self, bck: Bck, names: list[str]) -> int:
        """Slices of these names that were kept here were damaged and are gone: how many are back in time."""
        for owner, some in self._by_owner(bck, names):
            try:
                if self._peers.is_self(owner):
                    self._jobs.recode(bck, some)
                else:
                    await self._peers.recode(owner, bck, some)
            except AisError as error:
                self._log.info("owner cannot make slices again now", peer=owner.id, reason=str(error))

        def are_back() -> list[str]:
            return [name for name in names if self._own.head(bck, name) is not None]

        return await self._wait(are_back, len(names))

    async def check_owners(self, bck: Bck, names: list[str], tally: Tally, *, repairs: bool) -> None:
        """Of what is kept here: count what its owner lacks, and have that restored."""
        for owner, some in self._by_owner(bck, names):
            if owner.is_away:
                continue
            try:
                lacking = await self._lacking(owner, bck, some)
                if lacking and repairs:
                    await self._have_restored(owner, bck, lacking)
                    deadline_s = self._clock.monotonic() + WAIT_S
                    before = len(lacking)
                    while lacking and self._clock.monotonic() < deadline_s:
                        await self._clock.sleep(_POLL_S)
                        lacking = await self._lacking(owner, bck, lacking)
                    tally.repaired += before - len(lacking)
                await self._count_lacking(bck, lacking, tally)
            except AisError as error:
                self._log.info("owner of slices cannot be asked", peer=owner.id, reason=str(error))

    async def drop_superseded(self, bck: Bck, names: list[str], before_ns: int, *, dry: bool) -> list[tuple[str, int]]:
        """Remove the slices kept here of which the owner has a newer object, and notes of deletions that all know of.

        What was removed (or would be), with its size. What cannot be told now stays; where a deletion is not known to
        all, the owner is to see to that.
        """
        dropped: list[tuple[str, int]] = []
        for owner, some in self._by_owner(bck, names):
            try:
                is_self = self._peers.is_self(owner)
                stamps = [
                    *(
                        await asyncio.to_thread(lambda some=some: [self._jobs.stamp(bck, name) for name in some])  # type: ignore[misc]
                        if is_self
                        else await self._peers.stamps(owner, bck, some)
                    )
                ]
            except AisError as error:
                self._log.info("owner of slices cannot be asked", peer=owner.id, reason=str(error))
                continue
            unknown = []
            for name, stamp in zip(some, stamps, strict=True):
                found = await asyncio.to_thread(self._own.file, bck, name)
                if found is None or found[1].st_ctime_ns >= before_ns:
                    continue
                header, stat = found
                is_over = header.is_tombstone and await self._is_known_to_all(bck, name, header.stamp)
                if is_over or (stamp is not None and stamp > header.written):
                    if not dry:
                        await asyncio.to_thread(self._own.drop, bck, name, header.stamp)
                    dropped.append(("tombstones" if header.is_tombstone else "slices", stat.st_size))
                elif header.is_tombstone:
                    unknown.append(name)
            if unknown and not dry:
                with contextlib.suppress(AisError):
                    await self._have_restored(owner, bck, unknown)
        return dropped

    async def _is_known_to_all(self, bck: Bck, name: str, deleted: tuple[int, int]) -> bool:
        """Whether no target has, or may come back with, a slice of what was deleted with that stamp."""
        if self._peers.has_unheard:
            return False
        try:
            for node in self._peers.present_for(bck.uname + name, has_owner=True):
                if not self._peers.is_self(node):
                    (brief,) = await self._peers.heads(node, bck, [name])
                    if brief is not None and not brief.is_tombstone and brief.stamp <= deleted:
                        return False
        except AisError:
            return False
        return True

    async def _have_restored(self, owner: Snode, bck: Bck, names: list[str]) -> None:
        if self._peers.is_self(owner):
            await self._jobs.check(bck, names)
        else:
            await self._peers.check(owner, bck, names)

    async def _lacking(self, owner: Snode, bck: Bck, names: list[str]) -> list[str]:
        if self._peers.is_self(owner):
            return await asyncio.to_thread(lambda: [name for name in names if self._jobs.lacks(bck, name)])
        return [name for name, lacks in zip(names, await self._peers.lacks(owner, bck, names), strict=True) if lacks]

    async def _count_lacking(self, bck: Bck, names: list[str], tally: Tally) -> None:
        for name in names:
            holders = self._peers.present_for(bck.uname + name, has_owner=True)
            briefs = await asyncio.gather(*(self._brief(node, bck, name) for node in holders))
            there = [(node, one) for node, one in zip(holders, briefs, strict=True) if one is not None]
            newest = max((one for _, one in there), key=lambda one: (one.stamp, one.is_tombstone), default=None)
            if newest is None or newest.is_tombstone or not self._peers.is_self(there[0][0]):
                continue
            good = len({one.index for _, one in there if one.written == newest.written})
            if not split_key(name)[1]:
                tally.objects += 1
                tally.bytes += newest.size
            tally.promised += 1 + newest.data + newest.parity
            tally.found += good
            tally.lost += good < newest.data
            tally.note(name)

    async def _good_slices(self, bck: Bck, wanted: "dict[str, _Form]") -> dict[str, int]:
        """How many slices of each object there are of the right write: each where it should be, or anywhere when the
        object is kept as slices alone.
        """
        asked: dict[str, tuple[Snode, list[tuple[str, int]]]] = {}
        for name, form in wanted.items():
            nodes = self._peers.present_for(bck.uname + name, has_owner=form.is_alone)
            for index, node in enumerate(nodes if form.is_alone else nodes[: form.total]):
                asked.setdefault(node.id, (node, []))[1].append((name, index))
        good: dict[str, set[int]] = {name: set() for name in wanted}

        async def ask(node: Snode, pairs: list[tuple[str, int]]) -> None:
            try:
                if self._peers.is_self(node):
                    briefs = [await self._brief(node, bck, name) for name, _ in pairs]
                else:
                    briefs = await self._peers.heads(node, bck, [name for name, _ in pairs])
            except AisError as error:
                self._log.info("target cannot say which slices it has", peer=node.id, reason=str(error))
                return
            for (name, index), brief in zip(pairs, briefs, strict=True):
                if brief is not None and wanted[name].has(brief, index):
                    good[name].add(brief.index)

        await asyncio.gather(*(ask(node, pairs) for node, pairs in asked.values()))
        return {name: len(indices) for name, indices in good.items()}

    async def _encode(self, bck: Bck, name: str, form: "_Form") -> int:
        """Have missing slices made; how many there are then."""
        try:
            await self._jobs.encode(bck, name)
        except (ObjectNotFound, BucketNotFound):
            return form.total
        except AisError as error:
            self._log.warning("object has too few slices", object=bck.cname(name), reason=str(error))
        if form.written is None:  # it was written anew, and the next look sees what became of it
            return 0
        return (await self._good_slices(bck, {name: form}))[name]

    async def _brief(self, node: Snode, bck: Bck, name: str) -> Brief | None:
        try:
            if self._peers.is_self(node):
                header = await asyncio.to_thread(self._own.head, bck, name)
                return Brief.of(header) if header is not None else None
            return (await self._peers.heads(node, bck, [name]))[0]
        except AisError:
            return None

    async def _wait(self, done: Callable[[], list[str]], count: int) -> int:
        deadline_s = self._clock.monotonic() + WAIT_S
        while len(found := await asyncio.to_thread(done)) < count and self._clock.monotonic() < deadline_s:
            await self._clock.sleep(_POLL_S)
        return len(found)

    def _by_owner(self, bck: Bck, names: list[str]) -> list[tuple[Snode, list[str]]]:
        grouped: dict[str, tuple[Snode, list[str]]] = {}
        for name in names:
            owner = self._peers.owner(bck.uname + name)
            grouped.setdefault(owner.id, (owner, []))[1].append(name)
        return list(grouped.values())


class _Form(NamedTuple):
    """The slices that there should be: D and P, and the stamp of the write (None: none there can be is right).

    `is_alone`: the object has no replica, and which target has which slice is not determined.
    """

    data: int
    parity: int
    written: tuple[int, int] | None
    is_alone: bool = False

    @property
    def total(self) -> int:
        """How many."""
        return self.data + self.parity

    def has(self, brief: Brief, index: int) -> bool:
        """Whether a slice is one of them; `index` is the one that its target should have."""
        if brief.is_tombstone or brief.written != self.written:
            return False
        return (brief.data, brief.parity) == (self.data, self.parity) and (self.is_alone or brief.index == index)
