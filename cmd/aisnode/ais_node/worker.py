"""The program of one worker: `python -m ais_node.worker <arguments of the node> <descriptors> <pid of the node>`.

Started by the node's control process alone (`ais.workers.control`), with which it ends.
"""

import asyncio
import ctypes
import gc
import os
import signal
import socket
import sys
from functools import partial
from typing import cast

import structlog
import uvloop

from ais.base.errors import AisError
from ais.env import Env
from ais.env.disk import Disk
from ais.net.client import PeerClient
from ais.net.handshakes import Handshakes
from ais.net.http import Network
from ais.net.server import HttpServer
from ais.proxy.proxy import Proxy
from ais.stats import log
from ais.stats.tracker import Tracker
from ais.target.target import Target
from ais.workers import handing, messages, routes
from ais.workers.locks import Gate, GatedStripes, SharedStore
from ais.workers.messages import Begin, Done, Drain, Follow, StandAside
from ais.workers.node import Standing, WorkerNode, WorkerVolume
from ais.workers.shared import Shared
from ais_node import arguments, listeners, process, settings
from ais_node.arguments import Arguments
from ais_node.settings import Settings

_PR_SET_PDEATHSIG = 1


def main() -> None:
    """Serve until told to end, or until the control process is gone."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    *argv, fds, parent = sys.argv[1:]
    if os.getppid() != int(parent):
        return
    os.umask(0o077)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the control process says when
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    given = arguments.parse(argv)
    found = settings.read(given)
    to_file = found.config.local.log_dir and not found.config.cluster.log.to_stderr
    log.configure(found.config.cluster.log.level, _Lines() if to_file else None)
    gc.freeze()
    talk, gate, memory = map(int, fds.split(","))
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(Worker(given, found, talk, gate, memory).run())
    os._exit(0)  # threads that are still writing have nobody to tell


class _Lines:
    """Standard error, where the control process reads lines for the node's log."""

    def write(self, line: bytes) -> None:
        """See `log.Lines`."""
        os.write(2, line)


class Worker:
    """What the process consists of."""

    def __init__(self, given: Arguments, found: Settings, talk: int, gate: int, memory: int) -> None:
        self._arguments, self._settings = given, found
        self._talk, self._gate_to_control = socket.socket(fileno=talk), socket.socket(fileno=gate)
        self._shared = Shared(memory)
        self._gate = Gate()
        self._env = Env()
        self._servers: list[HttpServer] = []
        self._handshakes: list[Handshakes] = []
        """Of each listener, where there is TLS."""
        self._standing: Standing | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._role: Proxy | Target
        self._node: WorkerNode
        self._volume: WorkerVolume | None = None

    async def run(self) -> None:
        """Do what the control process says, one thing after the other."""
        self._talk.setblocking(False)
        self._gate_to_control.setblocking(False)
        reader, writer = await asyncio.open_unix_connection(sock=self._talk)
        while True:
            try:
                told = await messages.receive(reader)
            except (OSError, EOFError):
                return
            match told:
                case Begin():
                    self._begin(told)
                case StandAside() if self._standing is not None:
                    await self._standing.stand_aside()
                case Follow():
                    try:
                        await self._follow(told)
                    except AisError as error:
                        structlog.get_logger().error("worker cannot serve", worker=self._index, error=str(error))
                        return
                case Drain():
                    asyncio.get_running_loop().remove_reader(self._gate_to_control.fileno())
                    await asyncio.gather(*(server.drain(told.timeout_s) for server in self._servers))
            await messages.send(writer, Done())
            if isinstance(told, Drain):
                return

    def _begin(self, told: Begin) -> None:
        self._index, self._begun = told.index, told
        self._closed = self._shared.closed(told.index)

    async def _follow(self, told: Follow) -> None:
        if self._standing is None:
            await self._put_together(told)
        assert self._standing is not None
        await self._standing.follow(told)

    async def _put_together(self, told: Follow) -> None:
        begun, config, env = self._begun, self._settings.config, self._env
        if told.volume is not None:
            self._shared.regions.update(told.regions)
            limits = process.volume_limits(config)
            self._volume = await asyncio.to_thread(WorkerVolume, env, told.volume, limits, self._stripes)
        certificates = process.make_certificates(config.cluster)
        client_tls = certificates.client if certificates else None
        own_key = process.own_key(self._arguments, self._settings)
        trust = process.make_trust(self._arguments, self._settings, env, begun.snode, own_key, is_quiet=True)
        peers = PeerClient(client_tls, trust.sign)
        stats = Tracker(begun.snode.kind, env.clock)
        counters = self._shared.counters(begun.index)
        stats.values = cast("list[int]", counters)
        node = self._node = WorkerNode(
            env=env,
            config=config,
            snode=begun.snode,
            directories=(),
            network=peers,
            stats=stats,
            log=structlog.get_logger().bind(worker=begun.index),
        )
        node.is_closed, node.pairs = trust.is_closed, own_key
        trust.follow(node)
        volume = self._volume
        if volume is not None:
            target = Target(node, volume, SharedStore(volume, env), peers, trust)
            self._role, own = target, routes.of_target(target.plain)
        else:
            proxy = process.make_proxy(node, peers, trust, self._settings, sharers=begun.count)
            self._role, own = proxy, routes.of_proxy(proxy)
        node.role = self._role
        self._role.share_notes(self._shared.notes(lambda: env.clock.now_ns() / 1e9))
        node.on_config.append(lambda changed: process.follow_settings(changed, None, volume))
        self._standing = Standing(node, self._role, volume, self._gate, self._shared)
        limits_of_one = process.limits(self._settings, config, begun.count)
        on_error = listeners.answer_errors(self._role, node)
        self._tls = certificates.listener if certificates else None
        self._servers = [
            HttpServer(
                routes.route(self._standing, own, stats, counters, listener),
                None,
                on_error,
                limits_of_one,
                Network(networks),
                client_tls,
                self._dial,
            )
            for listener, networks in enumerate(begun.listeners)
        ]
        process.follow_limits(self._settings, node, self._servers, sharers=begun.count)
        if self._tls is not None:
            self._handshakes = [
                Handshakes(partial(self._serve, listener), limits_of_one.handshakes, self._ended)
                for listener in range(len(begun.listeners))
            ]
        process.watch_certificates(node, certificates, peers, self._servers)
        asyncio.get_running_loop().add_reader(self._gate_to_control.fileno(), self._take)

    def _stripes(self, disk: Disk, root: str) -> GatedStripes:
        return GatedStripes(disk, root, self._shared, self._gate)

    def _take(self) -> None:
        """Connections come."""
        loop = asyncio.get_running_loop()
        try:
            for listener, connection in handing.take_all(self._gate_to_control):
                if self._handshakes:
                    self._handshakes[listener].take(connection, _host_of(connection))
                    continue
                task = loop.create_task(self._serve(listener, connection))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
        except EOFError:
            loop.remove_reader(self._gate_to_control.fileno())

    async def _serve(self, listener: int, connection: socket.socket) -> None:
        try:
            await self._servers[listener].take(connection, self._tls, self._ended)
        except (OSError, AisError):
            self._ended()
        except asyncio.CancelledError:  # it gave way to another handshake
            self._ended()
            raise

    def _ended(self) -> None:
        self._closed[0] += 1

    def _dial(self, url: str) -> socket.socket | None:
        """Connect to the control process for a request that is passed on."""
        scheme, _, listener = url.partition("://")
        if scheme != routes.SCHEME:
            return None
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        if not handing.give(self._gate_to_control, int(listener), theirs):
            ours.close()
            theirs.close()
            raise ConnectionRefusedError("the control process of this node does not keep up")
        return ours


def _host_of(connection: socket.socket) -> str:
    try:
        return str(connection.getpeername()[0])
    except OSError:  # it is gone already
        return ""


if __name__ == "__main__":
    main()
