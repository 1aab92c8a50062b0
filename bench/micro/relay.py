"""What a relay costs: requests through one node to another beside requests straight to it, interleaved.

usage: python bench/micro/relay.py [--rounds N] [--seconds S]

The owner and the load generator share one core, the relay has another: rates of a relay that keeps up equal those of
the direct path. The CPU time of the relay's process per request says what it takes for that. The owner reads files from
the page cache and forgets what is put.
"""

import argparse
import asyncio
import os
import statistics
import tempfile
import time
from collections.abc import Awaitable
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import Any, NamedTuple

import psutil
import uvloop

from ais.net.http import AnyReply, FileReply, Forward, Reply, Request, Route, Upload, header_lines
from ais.net.server import HttpServer

RELAY_CORE, OTHER_CORE = 0, 1
KIB, MIB = 1 << 10, 1 << 20
HEADERS = (
    "Host: 127.0.0.1\r\nUser-Agent: bench\r\nAccept-Encoding: identity\r\nAuthorization: AWS4-HMAC-SHA256 " + "x" * 200
)


class Scenario(NamedTuple):
    """Equal requests over some connections."""

    name: str
    method: str
    size: int
    connections: int


SCENARIOS = (
    Scenario("GET 4 KiB", "GET", 4 * KIB, 32),
    Scenario("PUT 4 KiB", "PUT", 4 * KIB, 32),
    Scenario("GET 1 MiB", "GET", MIB, 8),
    Scenario("PUT 1 MiB", "PUT", MIB, 8),
    Scenario("GET 64 MiB", "GET", 64 * MIB, 4),
    Scenario("PUT 64 MiB", "PUT", 64 * MIB, 4),
)


class Nowhere:
    """A sink that forgets."""

    def write(self, data: memoryview) -> None:
        """Take it."""

    def finish(self) -> Reply:
        """Say so."""
        return Reply(200, b"ETag: 0123456789abcdef\r\n")

    def abort(self) -> Awaitable[None] | None:
        """Nothing to clean up."""


def owner_route(folder: str) -> Route:
    """`/SIZE` is a file of that size."""

    def route(request: Request) -> AnyReply:
        if request.method == "PUT":
            return Upload(Nowhere())
        size = int(request.path[1:])
        lines = header_lines(("ETag", "0123456789abcdef"), ("Last-Modified", "Mon, 01 Jan 2024 00:00:00 GMT"))
        return FileReply(200, lines, os.open(f"{folder}/{size}", os.O_RDONLY), 0, size)

    return route


def serve(core: int, folder: str, upstream: int, ready: Connection) -> None:
    """A process with one server: the owner, or a relay to the one at port `upstream`."""
    os.sched_setaffinity(0, {core})

    async def run() -> None:
        forward = Forward(f"http://127.0.0.1:{upstream}", b"Ais-Caller-Id: relay\r\n")
        route: Route = (lambda _: forward) if upstream else owner_route(folder)
        server = HttpServer(route, None, lambda request, error: Reply(500, body=str(error).encode()))
        ready.send(await server.start("127.0.0.1", 0))
        await asyncio.Event().wait()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run())


class Asking(asyncio.BufferedProtocol):
    """One connection of the generator: the next request when the answer is complete."""

    buffer = bytearray(256 * KIB)

    def __init__(self, raw: bytes) -> None:
        self.raw = raw
        self.count = self.answer_bytes = self.left = 0

    def connection_made(self, transport: Any) -> None:
        """Begin."""
        self.transport = transport
        transport.write(self.raw)

    def get_buffer(self, sizehint: int) -> bytearray:
        """One for all."""
        return self.buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Answers of one scenario have one length, known from the first."""
        if not self.answer_bytes:
            head, _, _ = bytes(self.buffer[:nbytes]).partition(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200"), head
            length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
            self.answer_bytes = self.left = len(head) + 4 + length
        self.left -= nbytes
        if self.left <= 0:
            self.count += 1
            self.left = self.answer_bytes
            self.transport.write(self.raw)


def ask(port: int, scenario: Scenario, seconds: float) -> float:
    """Requests per second."""
    head = f"{scenario.method} /{scenario.size} HTTP/1.1\r\n{HEADERS}\r\n"
    body = os.urandom(scenario.size) if scenario.method == "PUT" else b""
    if body:
        head += f"Content-Length: {scenario.size}\r\n"
    raw = head.encode() + b"\r\n" + body

    async def run() -> float:
        loop = asyncio.get_running_loop()
        made = [
            await loop.create_connection(lambda: Asking(raw), "127.0.0.1", port) for _ in range(scenario.connections)
        ]
        await asyncio.sleep(0.3)
        before, started = sum(one.count for _, one in made), time.perf_counter()
        await asyncio.sleep(seconds)
        rate = (sum(one.count for _, one in made) - before) / (time.perf_counter() - started)
        for transport, _ in made:
            transport.abort()
        await asyncio.sleep(0)
        return rate

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(run())


def cpu_s(process: psutil.Process) -> float:
    """CPU time used so far."""
    times = process.cpu_times()
    return float(times.user + times.system)


def measure(scenario: Scenario, owner: int, relay: int, process: psutil.Process, rounds: int, seconds: float) -> str:
    """One line of the table."""
    direct, relayed, micros = [], [], []
    for _ in range(rounds):
        direct.append(ask(owner, scenario, seconds))
        before, started = cpu_s(process), time.perf_counter()
        relayed.append(ask(relay, scenario, seconds))
        busy = (cpu_s(process) - before) / (time.perf_counter() - started)
        micros.append(busy / relayed[-1] * 1e6)
    unit, scale = ("req/s", 1.0) if scenario.size < MIB else ("MB/s", scenario.size / 1e6)
    one, two = statistics.median(direct), statistics.median(relayed)
    cost = statistics.median(micros)
    return f"{scenario.name:12} {one * scale:10.0f} {two * scale:10.0f} {unit:6} {two / one:6.2f} {cost:12.1f}"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--only", default="", help="only scenarios whose name contains this")
    options = parser.parse_args()
    os.sched_setaffinity(0, {OTHER_CORE})
    processes, context = [], get_context("spawn")
    with tempfile.TemporaryDirectory(dir=".") as folder:
        for scenario in SCENARIOS:
            with open(f"{folder}/{scenario.size}", "wb") as file:
                file.write(os.urandom(scenario.size))
        port, ports = 0, []
        for core in (OTHER_CORE, RELAY_CORE):
            ready, theirs = context.Pipe()
            processes.append(context.Process(target=serve, args=(core, folder, port, theirs), daemon=True))
            processes[-1].start()
            port = ready.recv()
            ports.append(port)
        relay = psutil.Process(processes[1].pid)
        print(f"{'what':12} {'direct':>10} {'relayed':>10} {'':6} {'ratio':>6} {'relay CPU µs':>12}")
        for scenario in SCENARIOS:
            if options.only in scenario.name:
                print(measure(scenario, ports[0], ports[1], relay, options.rounds, options.seconds), flush=True)
        for process in processes:
            process.terminate()


if __name__ == "__main__":
    main()
