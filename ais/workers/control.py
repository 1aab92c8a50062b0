"""The control process's side: starts workers, hands them connections, keeps them obedient, replaces those that die.

Theory of operation. The control process is the whole node, as a node of one process is: it could serve everything, and
does while no worker is there. It accepts; each connection goes to the worker with the fewest. A worker answers what
needs only the disk and what it was told, and passes everything else on, over connections of its own, to the control
process. Before anything changes that workers were told, all of them stand aside (they pass on everything, and nothing
is being written by them); at its end they are told and go on. So a change that is acknowledged is obeyed by all, and
what is checked under an object's lock is true for every writer.

    worker         gets connections   answers   writes         ends when
    starting       no                 no        no             it is told what there is
    serving        yes                yes       yes            a change begins
    aside          yes                no        no             the change is over
    dead           no                 no        no             another is started in its place

One that does not stand aside or follow in time is killed: the dead obey.
"""

import asyncio
import contextlib
import socket
import ssl
import threading
from collections.abc import AsyncIterator, Awaitable, Iterator
from typing import NamedTuple

from structlog.typing import FilteringBoundLogger

from ais.base.errors import AisError
from ais.fs.volume import Volume
from ais.meta.stamp import NEVER
from ais.net.server import HttpServer
from ais.node.messages import Part
from ais.node.node import Node
from ais.workers import handing, process
from ais.workers.messages import Begin, Drain, Follow, StandAside
from ais.workers.process import ANSWER_S, Worker
from ais.workers.shared import Shared

START_S = 60.0
RESTART_PAUSE_S = 0.2
RESTART_PAUSE_S_MAX = 10.0
READY_POLL_S = 0.2
ENTER_POLL_S = 1.0


class Door(NamedTuple):
    """A listener: the server for connections that no worker takes, and the one for requests that workers pass on."""

    networks: int
    direct: HttpServer
    passed_on: HttpServer


class Workers:
    """All workers of this node."""

    def __init__(
        self,
        node: Node,
        volume: Volume | None,
        shared_fd: int,
        shared: Shared,
        count: int,
        command: list[str],
        errors: int | None,
    ) -> None:
        """`command` starts a worker when the numbers of its descriptors are added; `errors` is its standard error."""
        self._errors = errors
        self._node = node
        self._volume = volume
        self._shared_fd, self._shared = shared_fd, shared
        self._count = count
        self._command = command
        self._log: FilteringBoundLogger = node.log
        self._workers: list[Worker | None] = [None] * count
        self._changing = asyncio.Lock()
        self._loop = asyncio.get_running_loop()
        self._doors: list[Door] = []
        self._listening: list[socket.socket] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._keeping: list[asyncio.Task[None]] = []
        self._tls: ssl.SSLContext | None = None
        self._is_ending = False
        node.stats.share([shared.counters(index) for index in range(count)])
        node.stats.workers = lambda: sum(1 for _ in self._serving())
        node.state.aside = self.aside
        if volume is not None:
            volume.aside = self._aside_in_thread

    # -- life

    def open(self, doors: list[Door], sockets: list[list[socket.socket]], tls: ssl.SSLContext | None) -> None:
        """Accept on these sockets, listener by listener."""
        self._doors, self._tls = doors, tls
        for listener, group in enumerate(sockets):
            for sock in group:
                sock.setblocking(False)
                self._listening.append(sock)
                self._loop.add_reader(sock.fileno(), self._accept, listener, sock)

    def start(self) -> None:
        """Start the workers, once the node is in its cluster."""
        self._keeping = [
            self._loop.create_task(self._keep(index), name=f"worker {index}") for index in range(self._count)
        ]

    async def drain(self, timeout_s: float) -> None:
        """Accept no more, and let workers finish what they do. They are gone on return."""
        self.stop_listening()
        self._is_ending = True
        alive = [worker for worker in self._workers if worker is not None and worker.is_serving]
        async with self._changing:
            await asyncio.gather(*(worker.ask(Drain(timeout_s), timeout_s + ANSWER_S) for worker in alive))
        await self.stop()

    async def stop(self) -> None:
        """End all workers at once."""
        self.stop_listening()
        self._is_ending = True
        for task in self._keeping:
            task.cancel()
        await asyncio.gather(*self._keeping, return_exceptions=True)

    def stop_listening(self) -> None:
        """Accept no more connections."""
        for sock in self._listening:
            self._loop.remove_reader(sock.fileno())
            sock.close()
        self._listening.clear()

    # -- connections

    def _accept(self, listener: int, sock: socket.socket) -> None:
        for _ in range(64):
            try:
                connection, _ = sock.accept()
            except OSError:
                return
            connection.setblocking(False)
            if connection.family in (socket.AF_INET, socket.AF_INET6):
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for worker in sorted(self._serving(), key=self._open_connections):
                if handing.give(worker.gate, listener, connection):
                    worker.given += 1
                    break
            else:
                self._spawn(self._doors[listener].direct.take(connection, self._tls))

    def _serving(self) -> Iterator[Worker]:
        return (worker for worker in self._workers if worker is not None and worker.is_serving)

    def _open_connections(self, worker: Worker) -> int:
        return worker.given - self._shared.closed(worker.index)[0]

    def _passed_on(self, worker: Worker) -> None:
        """A worker opens connections to us."""
        try:
            for listener, connection in handing.take_all(worker.gate):
                self._spawn(self._doors[listener].passed_on.take(connection))
        except EOFError:
            self._loop.remove_reader(worker.gate.fileno())

    def _spawn(self, work: Awaitable[None]) -> None:
        task = self._loop.create_task(_quietly(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # -- changes

    @contextlib.asynccontextmanager
    async def aside(self) -> AsyncIterator[None]:
        """Have all workers stand aside while the block changes what they were told; on return they obey it."""
        async with self._changing:
            try:
                await asyncio.gather(*(worker.ask(StandAside()) for worker in self._serving()))
                yield
            finally:
                await asyncio.shield(asyncio.gather(*(self._tell(worker) for worker in self._serving())))

    @contextlib.contextmanager
    def _aside_in_thread(self) -> Iterator[None]:
        """The same for a change that a thread makes."""
        entered, leave = threading.Event(), asyncio.Event()

        async def hold() -> None:
            async with self.aside():
                entered.set()
                await leave.wait()

        holding = asyncio.run_coroutine_threadsafe(hold(), self._loop)
        while not entered.wait(ENTER_POLL_S):
            if holding.done():
                break
        try:
            yield
        finally:
            self._loop.call_soon_threadsafe(leave.set)
            holding.result()

    async def _tell(self, worker: Worker, timeout_s: float = ANSWER_S) -> bool:
        node, state = self._node, self._node.state
        stamps = {part: state.current.stamps.of(part) for part in Part}
        new = [part for part, stamp in stamps.items() if stamp != NEVER and worker.has.get(part) != stamp]
        follow = Follow(
            [state.sealed(part) for part in new],
            dict(node.config.overrides),
            dict(node.config.transient),
            self._volume.record if self._volume is not None else None,
            self._shared.regions,
            self._may_serve(),
        )
        worker.has = dict(stamps)
        return await worker.ask(follow, timeout_s)

    def _may_serve(self) -> bool:
        """Not while objects move, or may be anywhere else than where they belong."""
        volume = self._volume
        if self._node.smap.moving or not self._node.core.joined.is_set():
            return False
        return volume is None or not (volume.view.is_unsettled or volume.disabled or self._is_torn)

    @property
    def _is_torn(self) -> bool:
        return any(mountpath.loss is not None for mountpath in self._volume.available) if self._volume else False

    # -- one worker

    async def _keep(self, index: int) -> None:
        """Have this worker, and another one when it dies."""
        pause_s = RESTART_PAUSE_S
        while self._is_torn:
            await self._node.env.clock.sleep(READY_POLL_S)
        while not self._is_ending:
            started_s = self._node.env.clock.monotonic()
            try:
                worker = await process.start(index, self._command, self._shared_fd, self._errors)
            except OSError as error:
                self._log.error("cannot start a worker", worker=index, error=str(error))
            else:
                await self._watch(worker)
            if self._node.env.clock.monotonic() - started_s > RESTART_PAUSE_S_MAX:
                pause_s = RESTART_PAUSE_S
            await self._node.env.clock.sleep(pause_s)
            pause_s = min(2 * pause_s, RESTART_PAUSE_S_MAX)

    async def _watch(self, worker: Worker) -> None:
        """From its first message to its end."""
        ended = self._loop.create_task(worker.wait())
        worker.given = self._shared.closed(worker.index)[0]
        self._loop.add_reader(worker.gate.fileno(), self._passed_on, worker)
        self._workers[worker.index] = worker
        try:
            begin = Begin(worker.index, self._count, self._node.snode, [door.networks for door in self._doors])
            if await worker.ask(begin, START_S):
                async with self._changing:
                    if await self._tell(worker):
                        worker.is_serving = True
                        self._log.info("worker serves", worker=worker.index, pid=worker.process.pid)
            await ended
        finally:
            worker.kill()
            await ended
            self._workers[worker.index] = None
            self._loop.remove_reader(worker.gate.fileno())
            worker.close()
            await self._node.offload(self._clear_up, worker.process.pid)
            if not self._is_ending:
                self._log.error("worker ended", worker=worker.index, status=worker.process.returncode)

    def _clear_up(self, pid: int) -> None:
        """After the death of a worker: what it was writing was written by nobody, and nobody writes now."""
        if self._volume is None:
            return
        for mountpath in self._volume.available:
            mountpath.stripes.wait_for_all()
        with contextlib.suppress(AisError):
            self._volume.sweep_workfiles_of(f"{pid:x}.")


async def _quietly(work: Awaitable[None]) -> None:
    with contextlib.suppress(OSError):
        await work
