"""GETs of objects that were read before: the shortest way from a request to bytes.

What `Front` and `Store` found out for a path is used again while buckets and mountpaths are the same and the file is
the one that was read: that is looked up each time (`Store.recheck`). Small objects are kept as well, for a minute, so
that a hot one costs one `stat`. Whatever is unusual or has changed is left to `Reads`, which also answers errors.
"""

import os
from collections import OrderedDict
from typing import NamedTuple

from ais.core.spots import Known, Spot
from ais.core.store import Store
from ais.net.http import FileReply, Reply, Request
from ais.stats import names as metrics
from ais.target.counts import count_redirect
from ais.target.front import Front, redirected_at
from ais.target.host import Host

ENTRIES_MAX = 32768
CONTENT_BYTES_MAX = 16 << 10
"""Larger objects are read each time: what opening them costs is small beside sending them."""
CONTENTS_BYTES_MAX = 32 << 20
CONTENT_AGE_NS_MAX = 60 * 10**9
"""Then the file is read again, so that its access time shows that it is in use."""


class _Entry(NamedTuple):
    bucket_query: str
    """What the query must begin with: the provider and namespace, as the client writes them."""
    spot: Spot


class _Content(NamedTuple):
    known: Known
    """The version of the file it was read from."""
    data: bytes
    read_ns: int


class Recent:
    """Where the objects of recent GETs are, at most 32768, and up to 32 MiB of small ones.

    Everything is forgotten with each version of the buckets.
    """

    def __init__(self, host: Host, front: Front, store: Store) -> None:
        self._front = front
        self._store = store
        self._counters = host.stats.values
        self._now_ns = host.env.clock.now_ns
        self._views = front.views
        self._entries: dict[str, _Entry] = {}
        self._contents: OrderedDict[str, _Content] = OrderedDict()
        self._contents_bytes = 0

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
        if content is not None and started_ns - content.read_ns < CONTENT_AGE_NS_MAX:
            reply = self._from_memory(content, entry.spot, started_ns)
        else:
            reply = self._from_file(path, entry.spot, started_ns)
        if reply is not None and sent_ns:
            count_redirect(self._counters, metrics.GET_REDIR_N, metrics.GET_REDIR_NS, started_ns - sent_ns)
        return reply

    def remember(self, request: Request, spot: Spot) -> None:
        """A plain GET was answered from `spot`, whose file has its headers annotated."""
        if self._views is not self._front.views or len(self._entries) >= ENTRIES_MAX:
            self._entries.clear()
            self._contents.clear()
            self._contents_bytes = 0
            self._views = self._front.views
        self._entries[request.path] = _Entry(self._front.bucket_query(request), spot)

    def _from_memory(self, content: _Content, spot: Spot, started_ns: int) -> Reply | None:
        known = content.known
        if known is not spot.known or not self._store.recheck(spot):
            return None
        data = content.data
        self._count(len(data), started_ns)
        return Reply(200, known.annotation[1], data)

    def _from_file(self, path: str, spot: Spot, started_ns: int) -> Reply | FileReply | None:
        reopened = self._store.reopen(spot)
        if reopened is None:
            return None
        fd, found, known = reopened
        annotation, size = known.annotation, found.st_size
        if annotation is None or annotation[0] != found.st_atime_ns:
            os.close(fd)
            return None
        data = _read_now(fd, size) if size <= CONTENT_BYTES_MAX else None
        self._count(size, started_ns)
        if data is None:
            return FileReply(200, annotation[1], fd, 0, size, spot.mountpath.pool)
        os.close(fd)
        self._keep(path, _Content(known, data, started_ns))
        return Reply(200, annotation[1], data)

    def _count(self, size_bytes: int, started_ns: int) -> None:
        counters = self._counters
        counters[metrics.GET_N] += 1
        counters[metrics.GET_SIZE] += size_bytes
        counters[metrics.GET_NS] += self._now_ns() - started_ns

    def _keep(self, path: str, content: _Content) -> None:
        before = self._contents.pop(path, None)
        self._contents_bytes += len(content.data) - (len(before.data) if before else 0)
        self._contents[path] = content
        while self._contents_bytes > CONTENTS_BYTES_MAX:
            self._contents_bytes -= len(self._contents.popitem(last=False)[1].data)


def _read_now(fd: int, size: int) -> bytes | None:
    """The content of a file if it is in the page cache, without waiting for the disk."""
    data = bytearray(size)
    try:
        return bytes(data) if os.preadv(fd, [data], 0, os.RWF_NOWAIT) == size else None
    except OSError:
        return None
