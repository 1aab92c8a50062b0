"""The load in one or several processes, seen the same way: what was measured can be taken, and it can be stopped."""

import asyncio
import multiprocessing
import random
import signal
from multiprocessing.connection import Connection
from typing import NamedTuple, Protocol

import uvloop

from ais.base.errors import Unreachable
from ais.client.transport import tls_context
from ais.config.environment import for_client
from ais_loader import signing
from ais_loader.arguments import Plan
from ais_loader.measure import Measure
from ais_loader.naming import Names
from ais_loader.operations import S3, Native, Operations
from ais_loader.run import Load
from ais_loader.wire import Client

_TAKE, _STOP = "take", "stop"


class Taken(NamedTuple):
    """What one share measured since the last time, what it is waiting for, the errors it met."""

    measures: dict[str, Measure]
    pending: int
    errors: list[str]


class Share(Protocol):
    """A part of the load."""

    async def take(self) -> Taken: ...
    def stop(self) -> None: ...
    async def wait(self) -> None:
        """Return when it has ended."""
        ...


def make_load(plan: Plan, proxies: list[str], names: list[str], part: int, parts: int) -> tuple[Load, Client]:
    """The load of one of `parts` processes, and the connections to close after it."""
    rng = random.Random(f"{plan.seed}/{part}" if plan.seed else None)
    lines = f"Authorization: Bearer {plan.token}\r\n".encode() if plan.token and not plan.is_s3 else b""
    client = Client(lines, tls=tls_context(for_client()), timeout_s=plan.timeout_s)
    operations: Operations
    if plan.is_s3:
        operations = S3(plan, client, signing.from_environment(plan.endpoint, plan.s3_profile))
    else:
        operations = Native(plan, client, proxies, rng)
    workers = plan.workers // parts + (part < plan.workers % parts)
    found = Names(plan, rng, names, part, parts)
    return Load(plan, operations, found, rng, workers=workers, share=parts), client


class OwnShare:
    """In this process."""

    def __init__(self, plan: Plan, proxies: list[str], names: list[str]) -> None:
        self._load, self._client = make_load(plan, proxies, names, 0, 1)
        self._task = asyncio.create_task(self._load.run())

    async def take(self) -> Taken:
        return Taken(self._load.take(), self._load.pending, self._load.errors_shown)

    def stop(self) -> None:
        self._load.stop()

    async def wait(self) -> None:
        await self._task
        self._client.close()


class ChildShare:
    """In a process of its own, asked over a pipe."""

    def __init__(self, plan: Plan, proxies: list[str], names: list[str], part: int) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(
            target=_child, args=(theirs, plan, proxies, names[part :: plan.processes], part), daemon=True
        )
        self._process.start()
        theirs.close()
        self._answers: asyncio.Queue[Taken] = asyncio.Queue()
        self._last = Taken({}, 0, [])
        self._reading = asyncio.create_task(self._read())

    async def take(self) -> Taken:
        if not self._reading.done():
            self._pipe.send(_TAKE)
            answer = asyncio.create_task(self._answers.get())
            await asyncio.wait([answer, self._reading], return_when=asyncio.FIRST_COMPLETED)
            if answer.done():
                return answer.result()
            answer.cancel()
        found, self._last = self._last, Taken({}, 0, [])
        return found

    def stop(self) -> None:
        if not self._reading.done():
            self._pipe.send(_STOP)

    async def wait(self) -> None:
        await self._reading
        await asyncio.to_thread(self._process.join)

    async def _read(self) -> None:
        """Take what the process sends, up to its end."""
        while True:
            try:
                is_end, taken = await asyncio.to_thread(self._pipe.recv)
            except (EOFError, OSError):
                raise Unreachable("a process of the loader ended early; what it measured is lost") from None
            if is_end:
                self._last = taken
                return
            self._answers.put_nowait(taken)


def _child(pipe: Connection, plan: Plan, proxies: list[str], names: list[str], part: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(pipe, plan, proxies, names, part))


async def _serve(pipe: Connection, plan: Plan, proxies: list[str], names: list[str], part: int) -> None:
    load, client = make_load(plan, proxies, names, part, plan.processes)
    loop = asyncio.get_running_loop()

    def asked() -> None:
        if pipe.recv() == _STOP:
            load.stop()
        else:
            pipe.send((False, Taken(load.take(), load.pending, load.errors_shown)))

    loop.add_reader(pipe.fileno(), asked)
    await load.run()
    loop.remove_reader(pipe.fileno())
    pipe.send((True, Taken(load.take(), 0, load.errors_shown)))
    client.close()
