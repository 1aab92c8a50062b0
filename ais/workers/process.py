"""One worker as its control process sees it: a process, a line to talk over, and one to hand connections over."""

import asyncio
import contextlib
import os
import socket
import subprocess

from ais.base.errors import AisError
from ais.node.messages import Part
from ais.workers import handing, messages
from ais.workers.messages import Done, Question

ANSWER_S = 10.0
"""How long a worker may take to obey."""


class Worker:
    """One process, from its start to its end."""

    def __init__(self, index: int, process: subprocess.Popen[bytes], gate: socket.socket) -> None:
        self.index = index
        self.process = process
        self.gate = gate
        self.is_serving = False
        """It was told what there is, and takes connections."""
        self.given = 0
        """How many connections it got."""
        self.has: dict[Part, object] = {}
        """Stamps of what it was told."""
        self.reader: asyncio.StreamReader
        self.writer: asyncio.StreamWriter
        self.has_ended = asyncio.Event()
        self._talking = asyncio.Lock()

    async def ask(self, question: Question, timeout_s: float = ANSWER_S) -> bool:
        """Say something and wait until it is done; a worker that does not is killed. False: it is dead.

        What was said is answered also when we are cancelled: the next answer must not be taken for another one.
        """
        return await asyncio.shield(asyncio.create_task(self._ask(question, timeout_s)))

    async def _ask(self, question: Question, timeout_s: float) -> bool:
        async with self._talking:
            try:
                async with asyncio.timeout(timeout_s):
                    await messages.send(self.writer, question)
                    answer = await messages.receive(self.reader)
                if isinstance(answer, Done):
                    return True
            except (OSError, EOFError, TimeoutError, AisError):
                pass
            self.kill()
            await self.has_ended.wait()
            return False

    def kill(self) -> None:
        """End it at once."""
        self.is_serving = False
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()

    async def wait(self) -> None:
        """Until the process is gone."""
        loop, pidfd, gone = asyncio.get_running_loop(), os.pidfd_open(self.process.pid), asyncio.Event()
        loop.add_reader(pidfd, gone.set)
        try:
            await gone.wait()
        finally:
            loop.remove_reader(pidfd)
            os.close(pidfd)
            self.is_serving = False
            self.process.wait()
            self.has_ended.set()

    def close(self) -> None:
        """Let go of what led to it."""
        self.gate.close()
        self.writer.close()


async def start(index: int, command: list[str], memory: int, errors: int | None) -> Worker:
    """Start a worker that shares the memory behind a descriptor. `errors`: its standard error. Raise `OSError`."""
    ours, theirs = socket.socketpair()
    gate, their_gate = handing.make_pair()
    fds = (theirs.fileno(), their_gate.fileno(), memory)
    command = [*command, ",".join(map(str, fds)), str(os.getpid())]
    try:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=errors, pass_fds=fds)  # noqa: ASYNC220 - a fork
    finally:
        theirs.close()
        their_gate.close()
    worker = Worker(index, process, gate)
    ours.setblocking(False)
    worker.reader, worker.writer = await asyncio.open_unix_connection(sock=ours)
    return worker
