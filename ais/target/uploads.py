"""Where the body of a PUT goes: a work file, in steps that never block the event loop for long.

A small body is hashed, written and renamed in place: handing that to a thread costs more than it saves, unless the
disk is behind (`Mountpath.is_stalled`). Everything else runs in the mountpath's own pool, one step at a time.
"""

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor, Future
from typing import Generic, Protocol, TypeVar

from ais.base.errors import AisError
from ais.base.waiting import to_its_end
from ais.core.meta import ObjectMeta
from ais.core.publish import Condition
from ais.core.writer import Writer
from ais.fs.locks import StripeBusy
from ais.fs.mountpath import Mountpath
from ais.net.http import Reply, Upload
from ais.target.view import BucketView
from ais.xact.pace import Pace

T = TypeVar("T")
ASIDE_PAUSE_S = 0.01


async def in_pool(pool: Executor, step: Callable[[], T], undo: Callable[[], None] | None = None) -> T:
    """Run `step` in `pool`. When we are cancelled before it began, run `undo` instead; a step that began completes.

    By itself: for steps that use nothing that is closed when we are cancelled (else `in_pool_to_end`).
    """
    job = pool.submit(step)
    try:
        return await asyncio.wrap_future(job)
    except asyncio.CancelledError:
        if job.cancel() and undo is not None:
            undo()
        raise


async def in_pool_to_end(pool: Executor, step: Callable[[], T], undo: Callable[[T], object] | None = None) -> T:
    """Run `step` in `pool`. When we are cancelled, it is waited for: it uses what is cleaned up next (`to_its_end`)."""
    return await to_its_end(asyncio.wrap_future(pool.submit(step)), undo)


class Owner(Protocol):
    """Who asked for the body and knows what follows it."""

    def admit(self, view: BucketView) -> None:
        """Raise when the bucket is no longer the one the upload began in."""
        ...

    def stored(self, meta: ObjectMeta, started_s: float) -> Reply:
        """The object is visible: count it and answer."""
        ...

    def received(self, started_s: float) -> None:
        """A piece of an object was added (append, part), or an append became an object: count it."""
        ...

    def failed(self, error: AisError | None) -> None:
        """The object did not become visible; None when the client went away."""
        ...


class _Steps:
    """Writes in a pool, and a cleanup that waits for the write that is under way."""

    __slots__ = ("_job", "_pool")

    def __init__(self, pool: Executor) -> None:
        self._pool = pool
        self._job: Future[None] | None = None

    def _submit(self, write: Callable[[memoryview], None], data: memoryview) -> Awaitable[None]:
        self._job = self._pool.submit(write, data)
        return asyncio.wrap_future(self._job)

    def _after_write(self, cleanup: Callable[[], None]) -> None:
        if self._job is None or self._job.cancel() or self._job.done():
            cleanup()
        else:
            self._job.add_done_callback(lambda _: cleanup())


class Storing(Protocol):
    """What a `PutSink` fills: `ais.core.writer.Writer`, or something before it."""

    @property
    def mountpath(self) -> Mountpath: ...
    def write(self, data: memoryview, /) -> None: ...
    def commit(self, condition: Condition | None = None, wait: bool = True) -> ObjectMeta: ...
    def abort(self) -> None: ...


class PutSink(_Steps):
    """An upload that becomes an object. `condition` is asked under the object's lock."""

    __slots__ = ("_condition", "_is_inline", "_owner", "_started_s", "_view", "_writer")

    def __init__(
        self,
        owner: Owner,
        view: BucketView,
        writer: Storing,
        started_s: float,
        *,
        is_inline: bool,
        condition: Condition | None = None,
    ) -> None:
        super().__init__(writer.mountpath.pool)
        self._owner = owner
        self._view = view
        self._writer = writer
        self._started_s = started_s
        self._is_inline = is_inline
        self._condition = condition

    def write(self, data: memoryview) -> Awaitable[None] | None:
        """Hash and write the next bytes."""
        if not self._is_inline:
            return self._submit(self._writer.write, data)
        mountpath = self._writer.mountpath
        started_s = mountpath.now_s()
        self._writer.write(data)
        mountpath.wrote(started_s)
        return None

    def finish(self) -> Reply | Awaitable[Reply]:
        """Make the object visible."""
        if not self._is_inline:
            return self._commit_in_pool()
        try:
            self._owner.admit(self._view)
            return self._owner.stored(self._writer.commit(self._condition, wait=False), self._started_s)
        except StripeBusy:
            return self._commit_in_pool()
        except AisError as error:
            self._writer.abort()
            self._owner.failed(error)
            raise

    def abort(self) -> None:
        """Remove the work file."""
        self._owner.failed(None)
        self._after_write(self._writer.abort)

    async def _commit_in_pool(self) -> Reply:
        writer = self._writer
        pool = writer.mountpath.sync_pool if self._view.rules.fsync else self._pool
        while True:
            try:
                self._owner.admit(self._view)
                meta = await in_pool(pool, lambda: writer.commit(self._condition), writer.abort)
                return self._owner.stored(meta, self._started_s)
            except StripeBusy:  # of a worker that stands aside (`ais.workers.locks`): the bucket may be another then
                await asyncio.sleep(ASIDE_PAUSE_S)
            except AisError as error:
                writer.abort()
                self._owner.failed(error)
                raise


class PacedSink(PutSink):
    """An object that gets another owner: the sender rests as xactions here do, unless a client waits for it.

    The disk begins with each piece: all of it must be there in the end, under the object's lock.
    """

    __slots__ = ("_arriving", "_is_awaited", "_now_s", "_pace")

    def __init__(
        self,
        owner: Owner,
        view: BucketView,
        writer: Writer,
        started_s: float,
        pace: Pace,
        is_awaited: Callable[[], bool],
        condition: Condition | None = None,
    ) -> None:
        super().__init__(owner, view, writer, started_s, is_inline=False, condition=condition)
        self._is_awaited = is_awaited
        self._arriving = writer
        self._pace = pace
        self._now_s = writer.mountpath.now_s

    def write(self, data: memoryview) -> Awaitable[None]:
        """Hash and write the next bytes."""
        return self._write_and_rest(self._submit(self._write_out, data))

    def _write_out(self, data: memoryview) -> None:
        self._arriving.write(data)
        self._arriving.begin_writing_out()

    async def _write_and_rest(self, written: Awaitable[None]) -> None:
        began_s = self._now_s()
        await written
        if not self._is_awaited():
            await self._pace.rest_between(self._now_s() - began_s)


def upload(
    owner: Owner,
    view: BucketView,
    storing: Storing,
    started_s: float,
    *,
    size: int | None,
    inline_bytes_max: int,
    condition: Condition | None = None,
) -> Upload:
    """Take a body of `size` bytes (None: it was not announced) that becomes an object.

    `inline_bytes_max`: how much the owner's hashing does within a turn of the loop.
    """
    is_small = size is not None and size <= inline_bytes_max
    is_inline = is_small and not view.rules.fsync and not storing.mountpath.is_stalled
    sink = PutSink(owner, view, storing, started_s, is_inline=is_inline, condition=condition)
    return Upload(sink, is_inline=is_inline)


class Receiving(Protocol):
    """What a `PooledSink` fills. `abort` does nothing after the end."""

    def write(self, data: memoryview) -> None: ...
    def abort(self) -> None: ...


R = TypeVar("R", bound=Receiving)


class PooledSink(_Steps, Generic[R]):
    """An upload that is more than a file: an append, a part. `open_receiving` may block: it may copy an object."""

    __slots__ = ("_ended", "_finish", "_open", "_owner", "_receiving", "_started_s", "_view")

    def __init__(
        self,
        owner: Owner,
        view: BucketView,
        pool: Executor,
        started_s: float,
        open_receiving: Callable[[], R],
        finish: Callable[[R], Reply],
        ended: Callable[[], None] = lambda: None,
    ) -> None:
        """`ended` is called once, when nothing happens any more, however the upload went."""
        super().__init__(pool)
        self._ended = ended
        self._owner = owner
        self._view = view
        self._started_s = started_s
        self._open = open_receiving
        self._finish = finish
        self._receiving: R | None = None

    def write(self, data: memoryview) -> Awaitable[None]:
        """Take the next bytes."""
        return self._submit(self._write, data)

    async def finish(self) -> Reply:
        """Keep what was received."""
        try:
            self._owner.admit(self._view)
            reply = await in_pool(self._pool, self._complete, self._undo)
        except AisError as error:
            self._undo()
            self._owner.failed(error)
            raise
        finally:
            self._ended()
        self._owner.received(self._started_s)
        return reply

    def abort(self) -> None:
        """Forget what this request brought."""
        self._owner.failed(None)
        self._after_write(self._undo_and_end)

    def _write(self, data: memoryview) -> None:
        if self._receiving is None:
            self._receiving = self._open()
        self._receiving.write(data)

    def _complete(self) -> Reply:
        if self._receiving is None:
            self._receiving = self._open()
        return self._finish(self._receiving)

    def _undo_and_end(self) -> None:
        self._undo()
        self._ended()

    def _undo(self) -> None:
        if self._receiving is not None:
            self._receiving.abort()
