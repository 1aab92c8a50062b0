"""GETs of objects that were read before: the shortest way from a request to bytes.

What `Front` and `Store` found out for a path is used again while buckets and mountpaths are the same and the file is
the one that was read. Objects of up to 64 KiB that are read often are kept as well, for a minute: one that this process
has not written since (`Store.is_untouched`) costs one `stat` a second, and asked for in the same words again, its
request is not even parsed (`Reply.repeat`). Whatever is unusual or has changed is left to `Reads`, which also answers
errors.
"""

import os
from collections import OrderedDict
from functools import partial

import msgspec

from ais.base.seen import Seen
from ais.config.node import NodeConfig
from ais.core.spots import Known, Spot
from ais.core.store import Store
from ais.net.encoding import framed
from ais.net.http import Again, FileReply, Reply, Request
from ais.stats import names as metrics
from ais.target.counts import count_redirect
from ais.target.front import Front, redirected_at
from ais.target.host import Host
from ais.target.props import remembered_headers
from ais.target.view import Views

ENTRIES_MAX = 32768
CONTENT_BYTES_MAX = 64 << 10
"""Larger objects are sent by the kernel: one copy from memory takes longer than two that it saves, and opening them."""
PATIENT_BYTES_MIN = 16 << 10
"""Larger ones wait for room: pushing each other out costs more than it saves when there are too many of them."""
CONTENTS_BYTES_MAX = 32 << 20
SEEN_MAX = 8192
"""Objects that are read again after more different ones would have been dropped from memory meanwhile."""
CONTENT_AGE_NS_MAX = 60 * 10**9
"""Then the file is read again, so that its access time shows that it is in use."""
UNCHECKED_NS_MAX = 10**9
"""How long a change that was made to the file behind our back may go unnoticed."""


class _Entry(msgspec.Struct, frozen=True, gc=False):
    bucket_query: str
    """What the query must begin with: the provider and namespace, as the client writes them."""
    spot: Spot


class Content:
    """An object in memory, and the header lines that it is answered with."""

    __slots__ = ("_checked_ns", "_known", "_spot", "_store", "_turn", "data", "framed", "headers", "read_ns")

    def __init__(
        self, store: Store, spot: Spot, turn: int, known: Known, headers: bytes, data: bytes, read_ns: int
    ) -> None:
        """`known` is the version of the file that `data` was read from, `turn` (`Store.turn`) is older than both."""
        self._store = store
        self._spot = spot
        self._turn = turn
        self._known = known
        self.read_ns = self._checked_ns = read_ns
        self.headers = headers
        self.framed = framed(headers, len(data))
        self.data = data

    def is_true(self, now_ns: int) -> bool:
        """Whether this is still the object."""
        if now_ns - self._checked_ns < UNCHECKED_NS_MAX and self._store.is_untouched(self._spot, self._turn):
            return True
        turn = self._store.turn(self._spot)
        if now_ns - self.read_ns >= CONTENT_AGE_NS_MAX or self._known is not self._spot.known:
            return False
        if not self._store.recheck(self._spot):
            return False
        self._turn, self._checked_ns = turn, now_ns
        return True


class Contents:
    """Objects that were read lately, 32 MiB of them. `by_key` is for lookups."""

    __slots__ = ("_bytes", "by_key")

    def __init__(self) -> None:
        self.by_key: OrderedDict[str, Content] = OrderedDict()
        self._bytes = 0

    def has_room(self, key: str, size_bytes: int, now_ns: int) -> bool:
        """Whether one may be kept. A large one takes the place of what has served its time only."""
        if size_bytes <= PATIENT_BYTES_MIN:
            return True
        before = self.by_key.get(key)
        if self._bytes + size_bytes - (len(before.data) if before else 0) <= CONTENTS_BYTES_MAX:
            return True
        oldest = next(iter(self.by_key.values()))
        return now_ns - oldest.read_ns >= CONTENT_AGE_NS_MAX

    def keep(self, key: str, content: Content) -> None:
        """Remember one; those that were remembered first make room."""
        before = self.by_key.pop(key, None)
        self._bytes += len(content.data) - (len(before.data) if before else 0)
        self.by_key[key] = content
        while self._bytes > CONTENTS_BYTES_MAX:
            self._bytes -= len(self.by_key.popitem(last=False)[1].data)

    def clear(self) -> None:
        """Forget all."""
        self.by_key.clear()
        self._bytes = 0


class Recent:
    """Where the objects of recent GETs are, at most 32768, and up to 32 MiB of small ones that are read often.

    Everything is forgotten with each version of the buckets.
    """

    def __init__(self, host: Host, front: Front, store: Store) -> None:
        self._host = host
        self._front = front
        self._store = store
        self._counters = host.stats.values
        self._now_ns = host.env.clock.now_ns
        self._views = front.views
        self._entries: dict[str, _Entry] = {}
        self._kept = Contents()
        self._contents = self._kept.by_key
        self._seen = Seen(SEEN_MAX)
        """Paths of objects read from their files lately: those that are read again soon are worth keeping."""
        self._repeat, self._answer_again = self._repeater, self._again

    def get(self, request: Request) -> Reply | FileReply | None:
        """The answer to a plain GET of an unchanged object; None for every other request."""
        path, head = request.path, request.headers
        entry = self._entries.get(path)
        if entry is None or self._views is not self._front.views or head.has_range or "ais-blob-download" in head:
            return None
        sent_ns = 0
        if request.query != entry.bucket_query:
            sent_ns = redirected_at(request.query, entry.bucket_query)
            if not sent_ns:
                return None
        started_ns = self._now_ns()
        reply: Reply | FileReply | None
        content = self._contents.get(path)
        if content is not None and content.is_true(started_ns):
            self._count(len(content.data), started_ns)
            reply = Reply(200, content.headers, content.data, repeat=None if sent_ns else self._repeat)
        else:
            reply = self._from_file(path, entry.spot, started_ns)
        if reply is not None and sent_ns:
            count_redirect(self._counters, metrics.GET_REDIR_N, metrics.GET_REDIR_NS, started_ns - sent_ns)
        return reply

    def remember(self, request: Request, spot: Spot) -> None:
        """A plain GET was answered from `spot`."""
        if self._views is not self._front.views or len(self._entries) >= ENTRIES_MAX:
            self._entries.clear()
            self._kept.clear()
            self._views = self._front.views
        self._entries[request.path] = _Entry(self._front.bucket_query(request), spot)

    def _repeater(self, request: Request) -> Again:
        """Gives the object from memory while it, the buckets and the configuration are the same."""
        return partial(self._answer_again, self._views, self._host.config, request.path)

    def _again(self, views: Views, config: NodeConfig, path: str) -> tuple[int, bytes, bytes] | None:
        content, started_ns = self._contents.get(path), self._now_ns()
        is_as_before = views is self._front.views and config is self._host.config
        if content is None or not is_as_before or not content.is_true(started_ns):
            return None
        self._count(len(content.data), started_ns)
        return 200, content.framed, content.data

    def _from_file(self, path: str, spot: Spot, started_ns: int) -> Reply | FileReply | None:
        turn = self._store.turn(spot)
        reopened = self._store.reopen(spot)
        if reopened is None:
            return None
        fd, found, known = reopened
        headers, size = remembered_headers(known, found.st_atime_ns), found.st_size
        data = read_now(fd, size) if self._is_worth_keeping(path, size, started_ns) else None
        self._count(size, started_ns)
        if data is None:
            return FileReply(200, headers, fd, 0, size, spot.mountpath.pool)
        os.close(fd)
        self._kept.keep(path, Content(self._store, spot, turn, known, headers, data, started_ns))
        return Reply(200, headers, data)

    def _is_worth_keeping(self, path: str, size: int, now_ns: int) -> bool:
        return size <= CONTENT_BYTES_MAX and self._seen.again(path) and self._kept.has_room(path, size, now_ns)

    def _count(self, size_bytes: int, started_ns: int) -> None:
        counters = self._counters
        counters[metrics.GET_N] += 1
        counters[metrics.GET_SIZE] += size_bytes
        counters[metrics.GET_NS] += self._now_ns() - started_ns


def read_now(fd: int, size: int) -> bytes | None:
    """The content of a file if it is in the page cache, without waiting for the disk."""
    data = bytearray(size)
    try:
        return bytes(data) if os.preadv(fd, [data], 0, os.RWF_NOWAIT) == size else None
    except OSError:
        return None
