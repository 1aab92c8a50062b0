"""Bugs to put into running nodes, by name, so that a test can say that the harness finds each.

Each is a fault that was there once, or one that a store of this kind is prone to. A patch names what it patches: when
that is gone from the product the node does not start, and the plant must be written anew.
"""

import asyncio
import contextlib
import os
import random
import sys
import threading
import time
from collections.abc import Callable

_DIE = random.SystemRandom()
_running: set[asyncio.Task[None]] = set()


def acknowledge_before_rename() -> None:
    """A PUT is acknowledged, and its rename happens a moment later."""
    from ais.core import tree

    install = tree.install

    def later(disk, source, root, path):
        threading.Timer(0.25, _quietly(install), (disk, source, root, path)).start()
        return path

    tree.install = later


def forget_deletes() -> None:
    """One DELETE in five is acknowledged and not done."""
    from ais.core import tree

    remove = tree.remove
    tree.remove = lambda *where, **how: True if _DIE.random() < 0.2 else remove(*where, **how)


def ignore_conditions() -> None:
    """If-Match and If-None-Match hold always: of two writers who race both win."""
    from ais.core.publish import Publisher

    Publisher.ask = _existing(Publisher, "ask") and (lambda self, condition, *of: None)


def compare_outside_lock() -> None:
    """A condition is asked about what was stored a moment before the lock was taken."""
    from ais.core.publish import Publisher

    publish, ask, seen = Publisher.publish, Publisher.ask, threading.local()
    seen_none = object()

    def publish_late(self, staged, condition=None, wait=True):
        if condition is not None:
            seen.stored = self.stored_meta(staged.spot) or seen_none
            time.sleep(0.15)
        try:
            return publish(self, staged, condition, wait)
        finally:
            seen.stored = None

    def ask_early(self, condition, bck, spot, stored):
        earlier = getattr(seen, "stored", None)
        if earlier is seen_none:
            return condition(None)
        return ask(self, condition, bck, spot, stored if earlier is None else earlier)

    Publisher.publish, Publisher.ask = publish_late, ask_early


def list_without_new() -> None:
    """Listings miss one name in four that was written in the last seconds: a directory read while it changes."""
    from ais.core.walk import Walk

    walk = Walk.__iter__
    Walk.__iter__ = lambda self: (entry for entry in walk(self) if _DIE.random() > 0.05)


def send_changes_twice() -> None:
    """A gateway repeats whatever it had sent when the connection to the owner breaks."""
    from ais.net import relay

    assert relay.READS
    relay.READS = ("GET", "HEAD", "OPTIONS", "PUT", "POST", "DELETE")


def silent_targets_leave() -> None:
    """A target that does not answer for a while leaves the map, others own its names, and what it holds returns."""
    from ais.node import decisions

    without, check_join = decisions.without, decisions.check_join
    decisions.check_join = lambda *of, **how: check_join(*of, **how | {"trusts_returned": True})
    decisions.without = lambda smap, absent, **_: without(smap, absent, keep_targets=False)


def vouch_always() -> None:
    """A node that lost contact, or is only starting, still says what does not exist."""
    from ais.node.node import Node

    assert Node.is_settled
    Node.is_settled = property(lambda self: True)
    Node.require_settled = lambda self: None


def late_destroy() -> None:
    """A bucket destroy acts by name, and once more when its client is gone: on the next bucket of that name."""
    from ais.proxy.changes import BucketChanges
    from ais.proxy.redirect import require_bucket

    destroy = BucketChanges.destroy

    async def twice(self, bck, bid):
        await destroy(self, bck, bid)

        async def again():
            await asyncio.sleep(1.5)
            await destroy(self, bck, require_bucket(self._node.bmd, bck).bid)

        self.late = asyncio.get_running_loop().create_task(again())

    BucketChanges.destroy = twice


def zeros_after_complete() -> None:
    """Killed after a complete renamed the object, a repeated complete makes it of a new, empty file."""
    from ais.core import assembly
    from ais.core.multipart import Uploads

    complete, ended = Uploads.complete, Uploads._ended

    def repeat(self, upload, *arguments, **options):
        meta = complete(self, upload, *arguments, **options)
        path = self._spots.find(upload.bck, upload.info.name).path
        if _DIE.random() < 0.3 and os.path.isfile(path):
            os.truncate(path, 0)
            os.truncate(path, meta.size)
        return meta

    assert ended
    assert assembly.compare
    Uploads.complete = repeat


def part_after_complete() -> None:
    """A part that is sent again after the complete still writes into what is the object by now."""
    from ais.core.multipart import PartWriter, Uploads

    commit, complete, lock, kept = PartWriter.commit, Uploads.complete, threading.Lock(), {}

    def commit_and_keep(self, *arguments, **options):
        with lock:
            kept[self._upload.id] = (os.open(f"/proc/self/fd/{self._fd}", os.O_WRONLY), self._offset, self.size)
        return commit(self, *arguments, **options)

    def complete_and_write(self, upload, *arguments, **options):
        meta = complete(self, upload, *arguments, **options)
        with lock:
            found = kept.pop(upload.id, None)
        if found:
            fd, offset, size = found
            os.pwrite(fd, bytes(min(size, 64)), offset)
            os.close(fd)
        return meta

    PartWriter.commit, Uploads.complete = commit_and_keep, complete_and_write


def rename_over_newer() -> None:
    """A rename removes whatever has the old name in the end, also what was written meanwhile."""
    from ais.target import moves

    send = moves.Moves._send

    async def send_slowly(self, *arguments):
        await send(self, *arguments)
        await asyncio.sleep(0.3)

    assert moves.unchanged
    moves.unchanged = lambda meta, cname: None
    moves.Moves._send = send_slowly


def damaged_bytes() -> None:
    """One write in ten has a flipped bit on the disk, and nobody compares it with the checksum when it is read."""
    from ais.core.publish import Publisher

    publish = Publisher.publish

    def publish_damaged(self, staged, condition=None, wait=True):
        meta = publish(self, staged, condition, wait)
        if meta.size > 100 and _DIE.random() < 0.1:
            with contextlib.suppress(OSError), open(f"/proc/self/fd/{staged.fd}", "r+b") as file:
                file.seek(77)
                byte = file.read(1)
                file.seek(77)
                file.write(bytes([byte[0] ^ 4]))
        return meta

    Publisher.publish = publish_damaged


def lost_versions() -> None:
    """A version that is replaced is not always kept."""
    from ais.core import versions

    succession = _existing(versions, "Succession")
    keep = succession.keep
    succession.keep = lambda self: None if _DIE.random() < 0.2 else keep(self)


def write_by_name() -> None:
    """What lies directly on a mountpath is written by its name, whatever has the name by then."""
    from ais.fs.mountpath import Mountpath
    from ais.space import health

    @contextlib.contextmanager
    def entered(self):
        yield self.path

    Mountpath.entered = _existing(Mountpath, "entered") and entered
    health.PERIOD_S = _existing(health, "PERIOD_S") and 0.5


def let_go_before_acknowledgement() -> None:
    """A target lets go of objects that others own before the owner has them."""
    import msgspec

    from ais.env.network import Answer
    from ais.net.client import PeerClient
    from ais.target.moves import SMALL, Moves

    send, call = Moves._send_file, PeerClient.call

    def begin(sending):
        task = asyncio.create_task(sending)
        _running.add(task)
        task.add_done_callback(_running.discard)

    async def later(self, fd, *of):
        copy = os.dup(fd)

        async def sending():
            try:
                await asyncio.sleep(0.5)
                await send(self, copy, *of)
            finally:
                os.close(copy)

        begin(sending())

    async def call_later(self, method, url, **how):
        if not url.endswith(SMALL):
            return await call(self, method, url, **how)

        async def sending():
            await asyncio.sleep(0.5)
            await call(self, method, url, **how)

        begin(sending())
        _, objects = msgspec.msgpack.decode(how["body"])
        return Answer(200, {}, msgspec.msgpack.encode([True] * len(objects)))

    Moves._send_file, PeerClient.call = later, call_later


def forget_deletes_while_moving() -> None:
    """A target that has given an object to its owner keeps it half of the time, and gives it again later."""
    from ais.core.store import Store

    delete = Store.delete

    def half(self, *of, is_moved=False, **how):
        return None if is_moved and _DIE.random() < 0.5 else delete(self, *of, is_moved=is_moved, **how)

    Store.delete = half


def done_early() -> None:
    """A target says that it has given everything away when it has only looked at it."""
    from ais.target.rebalance import Rebalance

    async def nothing(self, *_of):
        return False

    Rebalance._pass = _existing(Rebalance, "_pass") and nothing


PLANTS: dict[str, Callable[[], None]] = {
    one.__name__.replace("_", "-"): one
    for one in (
        acknowledge_before_rename,
        forget_deletes,
        ignore_conditions,
        compare_outside_lock,
        list_without_new,
        send_changes_twice,
        silent_targets_leave,
        vouch_always,
        late_destroy,
        zeros_after_complete,
        part_after_complete,
        rename_over_newer,
        damaged_bytes,
        lost_versions,
        write_by_name,
        let_go_before_acknowledgement,
        forget_deletes_while_moving,
        done_early,
    )
}


def put_in(name: str) -> None:
    """Put a bug into this process."""
    PLANTS[name]()
    sys.stderr.write(f"planted: {name}\n")


def _existing(owner: object, name: str) -> object:
    return getattr(owner, name)


def _quietly(call: Callable[..., object]) -> Callable[..., None]:
    def quiet(*arguments: object) -> None:
        with contextlib.suppress(Exception):  # the bucket is gone, or the node stops
            call(*arguments)

    return quiet
