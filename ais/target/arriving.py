"""Objects that other targets send here: how one is written, and small ones that come many in one request."""

import asyncio
import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import TypeVar

from aiohttp import web

from ais.api import codec, headers
from ais.api.access import Access
from ais.api.ack import Ack
from ais.api.bucket import Bck
from ais.base.errors import AisError, AlreadyExists
from ais.core import tree
from ais.core.directories import Directories
from ais.core.publish import Condition
from ais.core.store import Store
from ais.core.workfile import fsync_path
from ais.core.writer import Writer
from ais.fs.failures import disk_failures
from ais.fs.locks import StripeBusy
from ais.fs.mountpath import Mountpath
from ais.fs.volume import Volume
from ais.node.long import decoded
from ais.stats import names as metrics
from ais.stats.tracker import Tracker
from ais.target.front import Front
from ais.target.host import Host, require_node
from ais.target.transfer import SMALL, Small, Together, Transfer, absent, not_older
from ais.target.uploads import in_pool
from ais.target.view import BucketView
from ais.xact.pace import Pace, carried

T = TypeVar("T")


def begun(store: Store, view: BucketView, name: str, transfer: Transfer) -> tuple[Writer, Condition | None]:
    """Begin to write an object that another target sends; the condition of its commit. Raise as `Store.writer`."""
    meta = transfer.meta
    writer = store.writer(
        view.bck,
        name,
        view.rules_for(meta.checksum_kind),
        custom=meta.custom,
        facts=meta.facts,
        claimed=meta.promised,
        size_hint=meta.size,
        runs=meta.runs if transfer.version is not None else (),
        version=transfer.version,
        is_moved=transfer.version is not None and transfer.only_if_absent,
        times_ns=transfer.times_ns,
        after=meta.stamp if transfer.version is not None else (0, 0),
        is_as_stored=transfer.version is not None,
    )
    condition = None
    if transfer.only_if_absent:
        cname = view.bck.cname(name)
        condition = not_older(cname, meta) if transfer.keeps_name else absent(cname)
    return writer, condition


class Arriving:
    """Takes small objects whose owner this target is now (`ais.target.moves`)."""

    def __init__(
        self,
        host: Host,
        front: Front,
        volume: Volume,
        store: Store,
        pace: Pace,
        is_awaited: Callable[[str], bool],
    ) -> None:
        """`is_awaited`: whether a client waits for a name (with its bucket's uname), so that nobody shall rest."""
        self._pace = pace
        self._is_awaited = is_awaited
        self._host = host
        self._front = front
        self._volume = volume
        self._store = store

    def routes(self) -> list[web.RouteDef]:
        """Of the data network, for other targets."""
        return [web.post(SMALL, self.take)]

    async def take(self, request: web.Request) -> web.Response:
        """Store objects durably; answer which of them are here."""
        require_node(self._host, request, SMALL)
        given = await decoded(await request.read(), lambda body: codec.from_msgpack(body, Together))
        view = self._front.views.require(Bck.parse_uname(given.bucket)[0])
        view.require(Access.PUT)
        is_meant = given.bid in (0, view.props.bid)
        if not is_meant or view.keeps_versions or view.rules.all_copies:  # or more than a file each
            return _answer([False] * len(given.objects))
        view, caller = view.with_ack(Ack.CACHED), request.headers.get(headers.CALLER_ID)  # synced together, below
        by_mountpath: dict[Mountpath, list[Small]] = {}
        for one in given.objects:
            by_mountpath.setdefault(self._volume.place(view.uname + one.name), []).append(one)
        here = dict[str, bool]()

        def is_awaited() -> bool:
            return any(self._is_awaited(view.uname + one.name) for one in given.objects)

        self._pace.linger()
        async with self._pace.step(is_awaited):
            for found in await asyncio.gather(
                *(
                    in_pool(mountpath.job_pool, carried(partial(self._store_all, view, objects, caller, is_awaited)))
                    for mountpath, objects in by_mountpath.items()
                )
            ):
                here |= found
        count_arrivals(self._host.stats, [len(one.content) for one in given.objects if here.get(one.name)])
        return _answer([one.name in here for one in given.objects])

    def _store_all(
        self, view: BucketView, objects: Sequence[Small], caller: str | None, is_awaited: Callable[[], bool]
    ) -> dict[str, bool]:
        """The names of those that are here, and on the disk, by now; whether they came with this."""
        disk, begun_ones, here = self._host.env.disk, list[tuple[str, Writer, Condition | None]](), dict[str, bool]()
        directories, files, are_new = Directories(), dict[str, str](), set[str]()

        def paced(pieces: Iterable[T]) -> Iterator[T]:
            return self._pace.pieces(iter(pieces), is_awaited)

        for one in paced(objects):
            with contextlib.suppress(AisError, OSError):
                writer, condition = begun(self._store, view, one.name, one.transfer)
                writer.write(one.content)
                begun_ones.append((one.name, writer, condition))
                writer.begin_writing_out()
        for name, writer, condition in paced(begun_ones):
            try:
                writer.write_out()
                self._front.require_peer(caller)
                self._front.admit(view)
                writer.commit(condition)
                are_new.add(name)
            except AlreadyExists:
                pass  # it may have come a moment ago
            except (AisError, OSError, StripeBusy):
                writer.abort()
                continue
            spot = self._store.spot(view.bck, name)
            with contextlib.suppress(OSError):
                if (found := tree.find(disk, spot.path)) is not None:
                    files[name] = found[0]
                    directories.add(spot.root, found[0])
        for name, path in paced(files.items()):  # the first brings the metadata of all to the disk
            with contextlib.suppress(OSError):
                fsync_path(disk, path)
                here[name] = name in are_new
        with disk_failures(view.bck.cname()):
            directories.sync(disk)
        return here


def count_arrivals(stats: Tracker, sizes: Sequence[int]) -> None:
    """Count objects that another target gave, by their sizes."""
    stats.inc(metrics.STREAM_IN_N, len(sizes))
    stats.inc(metrics.STREAM_IN_SIZE, sum(sizes))


def _answer(done: list[bool]) -> web.Response:
    return web.Response(body=codec.to_msgpack(done))
