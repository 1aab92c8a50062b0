"""The links between the nodes of a cluster on one machine: a relay in front of each node's control and data network.

A relay knows who calls by the process that owns the other end of the connection, so a link can be cut for one caller,
in one direction. Cut links swallow bytes (a switch died) or reset connections (a process in between died).
"""

import asyncio
import contextlib
import os
import re
import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

import psutil

CHUNK = 1 << 16


class Cut(Enum):
    """What a cut link does."""

    SWALLOW = "swallow"
    RESET = "reset"


@dataclass(eq=False)
class _Pair:
    """One connection through a relay."""

    caller: str
    called: str
    writers: tuple[asyncio.StreamWriter, asyncio.StreamWriter]

    def reset(self) -> None:
        for writer in self.writers:
            raw = writer.get_extra_info("socket")
            if raw is not None and not writer.transport.is_closing():
                with contextlib.suppress(OSError):
                    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()


class Links:
    """All relays of a cluster. `who` gives the running process of each node by name."""

    def __init__(self, who: Callable[[], dict[str, int]]) -> None:
        self._who = who
        self._cuts: dict[tuple[str, str], Cut] = {}
        self._changed = asyncio.Condition()
        self._pairs: set[_Pair] = set()
        self._servers: list[asyncio.Server] = []
        self._tasks: set[asyncio.Task] = set()

    async def open(self, called: str, port: int, real_port: int) -> None:
        """Relay connections to `port` to the node that listens at `real_port`."""

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await self._serve(called, real_port, reader, writer)

        self._servers.append(await asyncio.start_server(serve, "127.0.0.1", port, limit=CHUNK, backlog=256))

    async def cut(self, links: set[tuple[str, str]], how: Cut) -> None:
        """Cut links, given as (caller, called)."""
        self._cuts |= dict.fromkeys(links, how)
        if how is Cut.RESET:
            for pair in [one for one in self._pairs if (one.caller, one.called) in links]:
                pair.reset()

    async def heal(self, links: set[tuple[str, str]]) -> None:
        """Undo a cut. What was swallowed is not sent later: such connections are reset."""
        for link in links:
            self._cuts.pop(link, None)
        for pair in [one for one in self._pairs if (one.caller, one.called) in links]:
            pair.reset()
        async with self._changed:
            self._changed.notify_all()

    async def close(self) -> None:
        """Stop relaying."""
        for server in self._servers:
            server.close()
        for pair in list(self._pairs):
            pair.reset()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(
        self, called: str, real_port: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        task = asyncio.current_task()
        assert task
        self._tasks.add(task)
        try:
            caller = caller_of(writer.get_extra_info("peername")[1], self._who())
            if self._cuts.get((caller, called)) is Cut.RESET:
                writer.transport.abort()
                return
            async with self._changed:
                await self._changed.wait_for(lambda: (caller, called) not in self._cuts)
            with contextlib.suppress(OSError):
                onward, back = await asyncio.open_connection("127.0.0.1", real_port, limit=CHUNK)
                await self._relay(_Pair(caller, called, (writer, back)), reader, onward)
            writer.transport.abort()
        finally:
            self._tasks.discard(task)

    async def _relay(self, pair: _Pair, request: asyncio.StreamReader, answer: asyncio.StreamReader) -> None:
        self._pairs.add(pair)
        client, server = pair.writers
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._pump(pair, request, server))
                group.create_task(self._pump(pair, answer, client))
        finally:
            self._pairs.discard(pair)
            server.transport.abort()

    async def _pump(self, pair: _Pair, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await source.read(CHUNK):
                if (pair.caller, pair.called) in self._cuts:
                    continue
                sink.write(data)
                await sink.drain()
        while (pair.caller, pair.called) in self._cuts and not sink.transport.is_closing():
            async with self._changed:
                await self._changed.wait()
        for writer in pair.writers:
            with contextlib.suppress(OSError, RuntimeError):
                if not writer.transport.is_closing():
                    writer.close()


_SOCKET = re.compile(r"socket:\[(\d+)\]")


def caller_of(port: int, who: dict[str, int]) -> str:
    """Name of the node that owns the local end `port` of a loopback connection; empty for anybody else."""
    inode = _inode_of(port)
    if not inode:
        return ""
    nodes = {pid: name for name, pid in who.items()}
    return _owner_of(inode, nodes) or _owner_of(inode, _workers_of(nodes))


def _workers_of(nodes: dict[int, str]) -> dict[int, str]:
    workers = {}
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.NoSuchProcess):
            if (parent := process.ppid()) in nodes:
                workers[process.pid] = nodes[parent]
    return workers


def _owner_of(inode: str, names: dict[int, str]) -> str:
    for pid, name in names.items():
        with contextlib.suppress(OSError), os.scandir(f"/proc/{pid}/fd") as entries:
            for entry in entries:
                with contextlib.suppress(OSError):
                    if (found := _SOCKET.match(os.readlink(entry.path))) and found[1] == inode:
                        return name
    return ""


def _inode_of(port: int) -> str:
    wanted = f"0100007F:{port:04X}"
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if fields[1] == wanted and fields[9] != "0":
            return fields[9]
    return ""
