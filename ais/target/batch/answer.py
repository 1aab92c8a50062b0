"""One get-batch: entries of all targets put in the order of the request, as one archive.

The archive is made while it is sent: what is in memory is a step or two of each target, whatever is asked for.
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack

from ais.api import batch
from ais.api.batch import BatchMsg, Entry, Out
from ais.api.bucket import Bck
from ais.base.errors import AisError, Conflict, NotFound, NotReady, Unreachable
from ais.meta.smap import Snode
from ais.net.client import PeerClient
from ais.shard.formats import Format
from ais.shard.writing import Buffer, Layer, ShardWriter, layer, shard_writer
from ais.target.batch.reading import LocalReader, Wanted
from ais.target.batch.sources import FailedSource, LocalSource, Source, open_peer
from ais.target.host import Host

SEND_BYTES = 256 << 10
"""Made before it is sent on."""

HEADER_BYTES = 512


class Packed:
    """An archive's bytes until they are sent on; compressing is a thread's work.

    Whoever writes the archive writes one of `plain_kind` to `add`. Without a kind, what is added is final.
    """

    def __init__(self, kind: Format | None) -> None:
        self.plain_kind = Format.ZIP if kind is Format.ZIP else Format.TAR
        self._plain: list[bytes] = []
        self._packed: list[bytes] = []
        self._layer = layer(kind, self._keep) if kind in (Format.TGZ, Format.LZ4) else None

    def add(self, data: Buffer) -> None:
        """Take what the archive's writer makes."""
        self._plain.append(bytes(data))

    async def take(self) -> bytes:
        """What was made since the last time."""
        data = b"".join(self._plain)
        self._plain.clear()
        return await asyncio.to_thread(self._pack, self._layer, data) if self._layer is not None else data

    async def finish(self) -> bytes:
        """The rest."""
        data = await self.take()
        if self._layer is not None:
            self._layer.close()
            data += b"".join(self._packed)
        return data

    def _pack(self, through: Layer, data: bytes) -> bytes:
        through.write(data)
        packed = b"".join(self._packed)
        self._packed.clear()
        return packed

    def _keep(self, data: Buffer) -> None:
        self._packed.append(bytes(data))


class TooManyErrors(Conflict):
    """More entries failed than `get_batch.max_soft_errs` allows."""


class Answer:
    """The answer to one request, whose entries are valid; `bcks`: the bucket of each.

    `skips_missing`: an entry that failed and is tolerated has no place in the archive; what is only away is not
    tolerated.
    """

    def __init__(
        self,
        host: Host,
        peers: PeerClient,
        reader: LocalReader,
        message: BatchMsg,
        bcks: list[Bck],
        *,
        skips_missing: bool = False,
    ) -> None:
        self._skips_missing = skips_missing
        self._host = host
        self._peers = peers
        self._reader = reader
        self._message = message
        self._entries = message.entries
        self._bcks = bcks
        placement = host.placement
        self._owners = [
            placement.reader(f"{bck.uname}{one.name}", is_coded=reader.is_coded(bck))
            for bck, one in zip(bcks, self._entries, strict=True)
        ]
        self._timeout_s = float(host.config.cluster.get_batch.max_wait)
        self._soft_errors_left = host.config.cluster.get_batch.max_soft_errs
        self._now_s = host.env.clock.now_ns() // 1_000_000_000

    async def outline(self) -> list[Out]:
        """Size or error of each entry, without reading them. Raise the first error unless the client goes on then."""
        found: list[Out] = []
        async with AsyncExitStack() as stack:
            sources = await self._open(stack, only_sizes=True)
            for entry, bck, owner in zip(self._entries, self._bcks, self._owners, strict=True):
                size, error = await self._head(sources, owner)
                if error is not None:
                    self._tolerate(error)
                found.append(
                    Out(
                        name=entry.name,
                        archpath=entry.archpath,
                        bucket=bck.name,
                        provider=bck.provider,
                        error=str(error) if error is not None else "",
                        opaque=entry.opaque,
                        size=size,
                    )
                )
        return found

    async def archive(self, kind: Format, outline: list[Out] | None) -> AsyncGenerator[bytes, None]:
        """The archive in pieces. With an outline, each entry is as that says. Raise whatever keeps it from that."""
        out = Packed(kind)
        writer = shard_writer(out.plain_kind, out.add)
        async for _ in self.fill(writer, outline):
            yield await out.take()
        writer.close()
        yield await out.finish()

    async def fill(self, writer: ShardWriter, outline: list[Out] | None) -> AsyncGenerator[None, None]:
        """Write all entries to `writer`; give way each time some have been made. Raise as `archive`."""
        made = 0
        async with AsyncExitStack() as stack:
            sources = await self._open(stack, only_sizes=False)
            for position, entry in enumerate(self._entries):
                owner = self._owners[position]
                size, error = await self._head(sources, owner)
                if outline is not None:
                    _compare(outline[position], size, error)
                elif error is not None:
                    self._tolerate(error)
                    if self._skips_missing:
                        continue
                writer.begin(self._name(position, entry, is_missing=error is not None), size, self._now_s)
                made += HEADER_BYTES
                source = sources[owner.id]
                while size:
                    data = await source.take(min(size, SEND_BYTES))
                    size -= len(data)
                    made += len(data)
                    writer.write(data)
                    if made >= SEND_BYTES:
                        yield
                        made = 0
                writer.end()
                if made >= SEND_BYTES:
                    yield
                    made = 0

    async def _open(self, stack: AsyncExitStack, *, only_sizes: bool) -> dict[str, Source]:
        """A source per owner; all begin to read at once."""
        me = self._host.snode
        parts: dict[str, tuple[Snode, list[int]]] = {}
        for position, owner in enumerate(self._owners):
            parts.setdefault(owner.id, (owner, []))[1].append(position)
        sources: dict[str, Source] = {}
        if me.id in parts:
            wanted = [self._wanted(position) for position in parts.pop(me.id)[1]]
            local = LocalSource(self._reader, wanted, only_sizes=only_sizes, node=me.name)
            stack.push_async_callback(local.close)
            sources[me.id] = local
        opened = await asyncio.gather(
            *(self._open_peer(stack, owner, positions, only_sizes) for owner, positions in parts.values())
        )
        return sources | dict(zip(parts, opened, strict=True))

    async def _open_peer(self, stack: AsyncExitStack, owner: Snode, positions: list[int], only_sizes: bool) -> Source:
        numbers: dict[Bck, int] = {}
        entries = []
        for position in positions:
            bck, entry = self._bcks[position], self._entries[position]
            number = numbers.setdefault(bck, len(numbers))
            entries.append((number, entry.name, entry.archpath, entry.start, entry.length))
        part = batch.Part([(bck.name, bck.provider, bck.namespace.uname) for bck in numbers], entries, only_sizes)
        try:
            return await open_peer(stack, self._peers, self._host.snode, owner, part, self._timeout_s)
        except AisError as error:
            return FailedSource(error)

    async def _head(self, sources: dict[str, Source], owner: Snode) -> tuple[int, AisError | None]:
        try:
            return await sources[owner.id].head()
        except Unreachable as error:
            sources[owner.id] = FailedSource(error)
            return 0, error

    def _tolerate(self, error: AisError) -> None:
        """Raise the error of an entry unless the client wants to go on, and `TooManyErrors` beyond the limit."""
        is_away = self._skips_missing and isinstance(error, Unreachable | NotReady)
        if is_away or not self._message.continue_on_error:
            raise error
        if isinstance(error, NotFound):
            return
        self._soft_errors_left -= 1
        if self._soft_errors_left < 0:
            raise TooManyErrors(f"more entries failed than get_batch.max_soft_errs allows; the last one: {error}")

    def _wanted(self, position: int) -> Wanted:
        entry = self._entries[position]
        return Wanted(self._bcks[position], entry.name, entry.archpath, entry.start, entry.length)

    def _name(self, position: int, entry: Entry, *, is_missing: bool) -> str:
        name = entry.full_name if self._message.only_names else f"{self._bcks[position].name}/{entry.full_name}"
        return f"{batch.MISSING}/{name}" if is_missing else name


def _compare(promised: Out, size: int, error: AisError | None) -> None:
    """Raise when an entry is no longer what the metadata said, which has gone out already."""
    if (error is not None) != bool(promised.error) or size != promised.size:
        raise error or Conflict(f"{promised.name} was overwritten while the batch was read: ask again")
