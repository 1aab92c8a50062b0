"""Very many connections to one target: what memory each takes, and how soon a client that comes then is answered.

usage: python bench/macro/connections.py [--idle 10000] [--active 1000] [--probes 300]

Idle ones have asked once. Active ones ask for an object of 4 KiB again and again: all together as fast as they are
answered, and at a pace of a few thousand requests a second, as many clients do. A fresh client, a process of its
own, connects and asks once.
"""

import argparse
import resource
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import psutil
import run
from servers import Ais

FRESH = """
import socket, sys, time
host, port, count, request = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4].encode()
took = []
for _ in range(count):
    time.sleep(0.01)
    began = time.perf_counter()
    with socket.create_connection((host, port)) as fresh:
        fresh.sendall(request)
        head = fresh.recv(65536)
        took.append(time.perf_counter() - began)
        assert head.startswith(b"HTTP/1.1 200"), head[:200]
took.sort()
print(took[len(took) // 2], took[len(took) * 99 // 100], took[-1])
"""
"""Connects and asks once, again and again; median, p99 and most of the seconds that took."""
ACTIVE = """
import asyncio, sys, time, uvloop
host, port, count, rate = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])
request, size = sys.argv[5].encode(), int(sys.argv[6])
answers = 0
class Client(asyncio.Protocol):
    def __init__(self, first_s):
        self.first_s = first_s
    def connection_made(self, transport):
        self.transport = transport
        asyncio.get_running_loop().call_later(self.first_s, self.ask)
    def ask(self):
        self.have = 0
        self.transport.write(request)
    def data_received(self, data):
        global answers
        self.have += len(data)
        if self.have >= size:
            answers += 1
            asyncio.get_running_loop().call_later(count / rate, self.ask) if rate else self.ask()
async def main():
    loop = asyncio.get_running_loop()
    for number in range(count):
        await loop.create_connection(lambda: Client(number / rate if rate else 0), host, port)
    print("ready", flush=True)
    began, seen = time.perf_counter(), answers
    await loop.run_in_executor(None, sys.stdin.read)
    print((answers - seen) / (time.perf_counter() - began))
uvloop.run(main())
"""
"""Asks on so many connections; in all so many times a second, 0: as often as there are answers."""


def main() -> None:
    """Print a line for each state."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--idle", type=int, default=10_000)
    parser.add_argument("--active", type=int, default=1000)
    parser.add_argument("--probes", type=int, default=300)
    arguments = parser.parse_args()
    wanted = arguments.idle + 1000
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, max(wanted, resource.getrlimit(resource.RLIMIT_NOFILE)[1])))
    with tempfile.TemporaryDirectory(dir=Path().resolve(), prefix=".bench-") as scratch:
        server = Ais(Path(scratch), run.SERVER_CORE)
        try:
            measure(server, arguments.idle, arguments.active, arguments.probes)
        finally:
            server.close()


def measure(server: Ais, idle: int, active: int, probes: int) -> None:
    """All states, one after the other."""
    size = 4 * run.KIB
    server.fill(size, 1)
    host, _, port = server.url("get").removeprefix("http://").partition(":")
    request = f"GET {server.prefix('get', size)[0]}0 HTTP/1.1\r\nHost: bench\r\n\r\n"
    target = psutil.Process(server.target_pid)

    def fresh(what: str) -> None:
        arguments = [sys.executable, "-c", FRESH, host, port, str(probes), request]
        command = ["taskset", "-c", str(run.LOAD_CORE), *arguments]
        p50, p99, most = map(float, subprocess.run(command, capture_output=True, check=True, text=True).stdout.split())
        rest = f"p99 {p99 * 1e3:.2f}, at most {most * 1e3:.2f}"
        print(f"{what}: a fresh client is answered in {p50 * 1e3:.2f} ms ({rest})", flush=True)

    fresh("nobody else")
    for rate, what in ((4000.0, "4,000 requests a second"), (0.0, "as fast as they are answered")):
        before = target.memory_info().rss
        with asking(host, port, active, rate, request) as answered:
            each = (target.memory_info().rss - before) / max(active, 1)
            fresh(f"{active} active, {what}")
        print(f"{active} active: {each / 1024:.1f} KiB each, {answered[0]:,.0f} requests a second", flush=True)
    time.sleep(1)
    before = target.memory_info().rss
    kept = [answered_once(host, int(port), request.encode(), size) for _ in range(idle)]
    each = (target.memory_info().rss - before) / max(idle, 1)
    print(f"{idle} idle connections: {each / 1024:.1f} KiB of memory each", flush=True)
    fresh(f"{idle} idle")
    for one in kept:
        one.close()


def answered_once(host: str, port: int, request: bytes, size: int) -> socket.socket:
    """A connection that has had an answer."""
    one = socket.create_connection((host, port))
    one.sendall(request)
    have = 0
    while have < size:
        have += len(one.recv(65536))
    return one


@contextmanager
def asking(host: str, port: str, count: int, rate: float, request: str) -> Iterator[list[float]]:
    """So many clients in a process of their own while the block lasts; afterwards, their answers a second."""
    arguments = [host, port, str(count), str(rate), request, str(4 * run.KIB)]
    command = ["taskset", "-c", str(run.LOAD_CORE), sys.executable, "-c", ACTIVE, *arguments]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin
    assert process.stdout
    answered: list[float] = []
    assert process.stdout.readline() == "ready\n"
    time.sleep(1)
    yield answered
    process.stdin.close()
    answered.append(float(process.stdout.read()))
    process.wait()


if __name__ == "__main__":
    main()
