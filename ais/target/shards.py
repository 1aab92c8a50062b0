"""Members of shards over the native API: read one or many, write one into a shard (wire contract §10.1, §10.6).

A shard is an object like any other: readers hold the file they opened, and a write makes a new one of the old content
and the new member, visible as a whole or not at all.
"""

import itertools
import os
from collections.abc import Awaitable, Iterator
from concurrent.futures import Executor

from ais.api import checksum, headers, query
from ais.base.errors import BadRequest, MemberNotFound, NoMemberRange, ObjectNotFound
from ais.base.locks import NamedLocks
from ais.core.content import file_of
from ais.core.publish import Condition
from ais.core.store import OpenObject, Store
from ais.core.workfile import Digests
from ais.core.writer import Writer
from ais.fs.volume import Volume
from ais.net.http import AnyReply, Reply, StreamReply, Upload, header_lines
from ais.shard import formats, match, reading
from ais.shard.appending import copy_members
from ais.shard.formats import Format
from ais.shard.reading import Content, Member
from ais.shard.writing import Buffer, ShardWriter, shard_writer
from ais.target import contents, props
from ais.target.front import Ask
from ais.target.host import Host
from ais.target.shard_files import detect
from ais.target.shard_index import ShardIndexes
from ais.target.transfer import unchanged
from ais.target.uploads import Owner, PooledSink, in_pool

_OCTETS = b"Content-Type: application/octet-stream\r\n"
_CHUNKS_AHEAD_BYTES = 1 << 20
_CREATE, _APPEND, _APPEND_OR_CREATE = "0", "1", "2"


def is_shard_request(params: dict[str, str]) -> bool:
    """Whether the query is about members of a shard; clients send parameters that they do not use as empty."""
    return any(params.get(name) for name in (query.ARCHPATH, query.ARCHREGX, query.ARCHMODE))


class Shards:
    """Answers GET and PUT with `archpath`, and GET with `archregx`."""

    def __init__(self, host: Host, volume: Volume, store: Store, indexes: ShardIndexes) -> None:
        self._volume = volume
        self._store = store
        self._indexes = indexes
        self._now_ns = host.env.clock.now_ns
        self._now = host.env.clock.monotonic
        self._appends = NamedLocks()

    async def get(self, ask: Ask, opened: OpenObject) -> tuple[AnyReply, int]:
        """One member as it is, or a tar of all that match; and its size in bytes (0: not known). Closes `opened`.

        Raise `MemberNotFound`, `BadRequest`.
        """
        try:
            if "range" in ask.headers:
                asked = _describe(ask.params)
                raise NoMemberRange(
                    f"cannot range-read archived content range: {ask.headers.get('range')}, arch query: {asked} -"
                    " operation not supported"
                )
            if ask.params.get(query.ARCHPATH):
                return await self._get_one(ask, opened)
            return await self._get_many(ask, opened), 0
        except BaseException:
            os.close(opened.fd)
            raise

    def put(self, ask: Ask, owner: Owner) -> Awaitable[AnyReply]:
        """Take the body as a member: of a new shard, or one added to the shard there is, as `Ais-Pine` says."""
        mode = ask.headers.get(headers.ARCHIVE_APPEND.lower()) or _CREATE
        if mode not in (_CREATE, _APPEND, _APPEND_OR_CREATE):
            raise BadRequest(f'invalid {headers.ARCHIVE_APPEND} "{mode[:20]}": expected 1 (append) or 2 (or create)')
        size = ask.headers.content_length
        if size is None:
            raise BadRequest(f"writing into shard {ask.cname}: Content-Length is missing")
        member = reading.clean_name(ask.params[query.ARCHPATH])
        if not member:
            raise BadRequest(f'invalid {query.ARCHPATH} "{ask.params[query.ARCHPATH][:200]}": expected a file\'s name')
        return self._put(ask, owner, mode, member, size)

    async def _put(self, ask: Ask, owner: Owner, mode: str, member: str, size: int) -> AnyReply:
        pool = self._volume.place(ask.view.uname + ask.name).pool
        started_s = self._now()
        digests = Digests(checksum.NONE, props.claim_of(ask.headers))
        held = await self._appends.acquire(ask.view.uname + ask.name)

        def open_receiving() -> _Receiving:
            return _Receiving(self, ask, mode, member, size, digests)

        def finish(receiving: _Receiving) -> Reply:
            receiving.finish()
            self._indexes.build_after_write(ask.view.bck, ask.name)
            return Reply(200)

        return Upload(PooledSink(owner, ask.view, pool, started_s, open_receiving, finish, held.release))

    def begin(self, ask: Ask, mode: str, size: int) -> tuple[Writer, ShardWriter, Condition | None]:
        """A writer of the shard's next content that stands where the new member goes. Blocks."""
        mime = ask.params.get(query.ARCHMIME, "")
        opened: OpenObject | None = None
        if mode != _CREATE:
            try:
                opened = self._store.open(ask.view.bck, ask.name)
            except ObjectNotFound:
                if mode == _APPEND:
                    raise
        if opened is None:
            kind = formats.require(ask.name, mime)
            writer = self._store.writer(ask.view.bck, ask.name, ask.view.rules, size_hint=size)
            return writer, shard_writer(kind, writer.write), None
        try:
            self._store.complete(ask.view.bck, ask.name, opened)
            kind = detect(opened, ask.name, mime)
            self._store.verify(ask.view.bck, ask.name, opened)
            meta = opened.meta
            writer = self._store.successor(
                ask.view.bck, ask.name, ask.view.rules, opened, size_hint=opened.stat.st_size + size
            )
            try:
                with file_of(opened) as file:
                    return writer, copy_members(file, kind, writer.write), unchanged(meta, ask.cname)
            except BaseException:
                writer.abort()
                raise
        finally:
            os.close(opened.fd)

    def now_s(self) -> int:
        """The time that new members get."""
        return self._now_ns() // 1_000_000_000

    async def _get_one(self, ask: Ask, opened: OpenObject) -> tuple[AnyReply, int]:
        wanted, pool = ask.params[query.ARCHPATH].removeprefix(ask.name + "/"), opened.mountpath.pool
        offset, size, content = await in_pool(pool, lambda: self._find(ask, opened, wanted))
        if content is not None:
            return StreamReply(200, _OCTETS, _Streamed(content, opened, pool), size), size
        return contents.reply(opened, 200, _OCTETS, offset, size), size

    def _find(self, ask: Ask, opened: OpenObject, wanted: str) -> tuple[int, int, Iterator[bytes] | None]:
        """Where a member lies and its size in bytes; its content when that must be unpacked. Blocks."""
        mime = ask.params.get(query.ARCHMIME, "")
        indexed = self._indexes.find(ask.view.bck, ask.name, opened, wanted, mime)
        if indexed is not None and indexed.place is not None and indexed.place.offset is not None:
            return indexed.place.offset, indexed.place.size, None
        found = None
        if indexed is None:
            found = reading.find(file_of(opened), detect(opened, ask.name, mime), wanted)
        if found is None:
            raise MemberNotFound(f"{wanted[:1000]} in {ask.cname} does not exist")
        member, content = found
        if member.offset is not None:
            return member.offset, member.size, None
        return 0, member.size, _begun(content)

    async def _get_many(self, ask: Ask, opened: OpenObject) -> AnyReply:
        kind = await in_pool(
            opened.mountpath.pool, lambda: detect(opened, ask.name, ask.params.get(query.ARCHMIME, ""))
        )
        pattern, mode = ask.params.get(query.ARCHREGX, ""), ask.params.get(query.ARCHMODE, "") or "regexp"
        try:
            matches = match.matcher(pattern, mode)
        except BadRequest as error:
            asked = _describe({query.ARCHREGX: pattern, query.ARCHMODE: mode})
            raise BadRequest(f"failed to extract files that match {asked} from {ask.cname}, err: {error}") from None
        file = file_of(opened)
        found = (one for one in reading.members(file, kind) if matches(one[0].name))
        first = await in_pool(opened.mountpath.pool, lambda: next(found, None))
        if first is None:
            asked = _describe({query.ARCHREGX: pattern, query.ARCHMODE: mode})
            raise MemberNotFound(f"{asked} in {ask.cname} does not exist")
        packed = _packed(first, found, self.now_s())
        content_type = header_lines(("Content-Type", Format.TAR.content_type))
        return StreamReply(200, content_type, _Streamed(packed, opened, opened.mountpath.pool))


class _Receiving:
    """A member on its way into a shard, compared with the checksum that the client claims."""

    def __init__(self, shards: Shards, ask: Ask, mode: str, member: str, size: int, digests: Digests) -> None:
        self._ask, self._digests = ask, digests
        self._writer, self._shard, self._condition = shards.begin(ask, mode, size)
        try:
            self._shard.begin(member, size, shards.now_s())
        except BaseException:
            self._writer.abort()
            raise

    def write(self, data: Buffer) -> None:
        """Hash and pack the next bytes."""
        self._digests.update(data)
        self._shard.write(data)

    def finish(self) -> None:
        """Verify the member and make the shard visible."""
        self._digests.verify(self._ask.view.bck, self._ask.name)
        self._shard.end()
        self._shard.close()
        self._writer.commit(self._condition)

    def abort(self) -> None:
        """Leave the shard as it was."""
        self._writer.abort()


def _begun(content: Content) -> Iterator[bytes]:
    """The chunks of a member, the first one read: what is damaged at once is refused, not begun and broken off."""
    chunks = content()
    first = next(chunks, b"")
    return itertools.chain((first,), chunks)


def _describe(params: dict[str, str]) -> str:
    shown = [f"{name}={params[name]}" for name in (query.ARCHPATH, query.ARCHREGX, query.ARCHMODE) if params.get(name)]
    return f"({', '.join(shown)})"


def _packed(first: tuple[Member, Content], others: Iterator[tuple[Member, Content]], now_s: int) -> Iterator[bytes]:
    """A tar of these members, in pieces."""
    pieces: list[bytes] = []
    writer = shard_writer(Format.TAR, lambda data: pieces.append(bytes(data)))
    found: tuple[Member, Content] | None = first
    while found is not None:
        member, content = found
        writer.begin(member.name, member.size, now_s)
        for chunk in content():
            writer.write(chunk)
            if sum(map(len, pieces)) >= _CHUNKS_AHEAD_BYTES:
                yield b"".join(pieces)
                pieces.clear()
        writer.end()
        found = next(others, None)
    writer.close()
    yield b"".join(pieces)


class _Streamed:
    """What a blocking iterator makes, one step in the pool at a time; owns the object's descriptor."""

    def __init__(self, chunks: Iterator[bytes], opened: OpenObject, pool: Executor) -> None:
        self._chunks = chunks
        self._opened = opened
        self._pool = pool

    def __aiter__(self) -> "_Streamed":
        return self

    async def __anext__(self) -> bytes:
        chunk = await in_pool(self._pool, lambda: next(self._chunks, None))
        if chunk is None:
            raise StopAsyncIteration
        return chunk

    async def aclose(self) -> None:
        """Close the object, whether all of it was taken or nothing."""
        fd, self._opened.fd = self._opened.fd, -1
        if fd >= 0:
            await in_pool(self._pool, lambda: os.close(fd))
