"""The workers of a node that has any: what they need before the node is put together, and their life beside its own."""

import asyncio
import contextlib
import itertools
import os
import socket
import ssl
import sys
from typing import Self

from ais.config.local import LocalConfig
from ais.env.disk import Disk
from ais.fs.volume import Volume
from ais.net.passing import believe
from ais.net.server import HttpServer
from ais.node.node import Node
from ais.proxy.proxy import Proxy
from ais.stats.log_file import LogFile
from ais.target.target import Target
from ais.workers.control import Door, Workers
from ais.workers.locks import SharedStripes
from ais.workers.shared import Shared
from ais_node import listeners
from ais_node.listeners import Layout, Servers

_LOG_BYTES = 64 << 10


class Crew:
    """One per node whose setting `workers` is more than 1."""

    def __init__(self, count: int, fd: int) -> None:
        self._count, self._fd = count, fd
        self._shared = Shared(fd)
        self._workers: Workers
        self._log_pipe = -1

    @classmethod
    def of(cls, config: LocalConfig, stack: contextlib.AsyncExitStack) -> Self | None:
        """The crew that the settings ask for; None: the node is one process. Raise `BadRequest`."""
        count = config.worker_count(len(os.sched_getaffinity(0)))
        if count == 1:
            return None
        fd = Shared.create()
        stack.callback(os.close, fd)
        return cls(count, fd)

    def stripes(self, disk: Disk, root: str) -> SharedStripes:
        """Open the locks of a mountpath."""
        return SharedStripes(disk, root, self._shared)

    def open(
        self,
        layout: Layout,
        makes: Servers,
        node: Node,
        role: Proxy | Target,
        volume: Volume | None,
        log_file: LogFile | None,
        tls: ssl.SSLContext | None,
    ) -> list[HttpServer]:
        """Listen, and serve until workers do. Raise `Busy` when a port is taken."""
        doors = [
            Door(one.networks.value, makes.make(one.networks), makes.make(one.networks, believe))
            for one in layout.listeners
        ]
        sockets: list[list[socket.socket]] = []
        try:
            sockets.extend(listeners.bind(listener) for listener in layout.listeners)
        except BaseException:
            for sock in itertools.chain.from_iterable(sockets):
                sock.close()
            raise
        errors = self._read_log(node, log_file) if log_file is not None else None
        command = [sys.executable, "-m", "ais_node.worker", *sys.argv[1:]]
        role.share_notes(self._shared.notes(lambda: node.env.clock.now_ns() / 1e9))
        self._workers = Workers(node, volume, self._fd, self._shared, self._count, command, errors)
        self._workers.open(doors, sockets, tls)
        return [server for door in doors for server in (door.direct, door.passed_on)]

    def start(self) -> None:
        """The node is in its cluster."""
        self._workers.start()

    async def drain(self, timeout_s: float) -> None:
        """See `Workers.drain`."""
        await self._workers.drain(timeout_s)

    async def stop(self) -> None:
        """See `Workers.stop`."""
        await self._workers.stop()
        if self._log_pipe >= 0:
            loop = asyncio.get_running_loop()
            loop.remove_reader(self._log_pipe)
            os.close(self._log_pipe)
            os.close(self._log_end)
            self._log_pipe = -1

    def _read_log(self, node: Node, file: LogFile) -> int:
        """A descriptor for workers to write lines to, which come into the node's log."""
        self._log_pipe, self._log_end = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        os.set_blocking(self._log_end, True)
        rest = b""

        def read() -> None:
            nonlocal rest
            *lines, rest = (rest + os.read(self._log_pipe, _LOG_BYTES)).split(b"\n")
            for line in lines:
                if line.startswith(b"{"):
                    file.write(line + b"\n")
                else:
                    node.log.error("a worker says", line=line.decode("utf-8", "replace"))

        asyncio.get_running_loop().add_reader(self._log_pipe, read)
        return self._log_end
