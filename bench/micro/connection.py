"""What a request costs between its bytes and those of its answer: microseconds of CPU, without sockets.

usage: python bench/micro/connection.py
"""

import asyncio
import os
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import uvloop

from ais.net.connection import Connection
from ais.net.encoding import framed
from ais.net.http import FileReply, Network, Reply, Request, Upload, no_retry
from ais.net.hub import Hub, Limits
from ais.net.memory import Memory
from ais.net.upstream import Upstreams

RUNS, REQUESTS = 9, 4000
BODY = bytes(4096)


class Transport(asyncio.Transport):
    """Takes everything."""

    def write(self, data: Any) -> None:
        """Forget it."""

    def get_write_buffer_size(self) -> int:
        """Nothing is left."""
        return 0

    def pause_reading(self) -> None:
        """Nothing comes by itself."""

    def resume_reading(self) -> None:
        """Nothing comes by itself."""


class Sink:
    """Takes a body and says nothing."""

    def write(self, data: memoryview) -> None:
        """Look at it."""

    def finish(self) -> Reply:
        """Answer."""
        return Reply(200, b"ETag: x\r\n")

    def abort(self) -> None:
        """Nothing is left behind."""


def route(fd: int) -> Any:
    """By the first letter of the path."""

    def again() -> tuple[int, bytes, bytes]:
        return 301, framed(b"Location: x\r\n", 0), b""

    def answer(request: Request) -> Any:
        kind = request.path[1]
        if kind == "r":
            return Reply(301, b"Location: x\r\n", repeat=lambda _: again)
        if kind == "f":
            return FileReply(200, b"ETag: x\r\n", os.dup(fd), 0, 4096)
        if kind == "u":
            return Upload(Sink(), is_inline=True)
        return Reply(307, b"Location: x\r\n")

    return answer


def request(line: str, length: int = 0) -> bytes:
    """A request as a client sends it."""
    extra = f"Content-Length: {length}\r\n" if length else ""
    return f"{line} HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nUser-Agent: bench\r\nAccept: */*\r\n{extra}\r\n".encode()


CASES = {
    "redirect, not seen before": [[request(f"GET /x{number}")] for number in range(REQUESTS)],
    "redirect, repeated": [[request("GET /repeated")]] * REQUESTS,
    "4 KiB file": [[request("GET /file")]] * REQUESTS,
    "PUT 4 KiB, body with its head": [[request("PUT /upload", 4096) + BODY]] * REQUESTS,
    "PUT 4 KiB, body after its head": [[request("PUT /upload", 4096), BODY]] * REQUESTS,
    "PUT 4 KiB redirected, body with it": [[request("PUT /x", 4096) + BODY]] * REQUESTS,
    "PUT 4 KiB redirected, body after": [[request("PUT /x", 4096), BODY]] * REQUESTS,
}
"""By name: the pieces in which each request comes."""


async def measure(hub: Hub, requests: list[list[bytes]]) -> float:
    """Microseconds of CPU for each request, one connection, a turn of the loop after every 16th."""
    connection = Connection(hub, Upstreams(hub, None))
    connection.connection_made(Transport())
    began = time.process_time()
    for number, pieces in enumerate(requests):
        for piece in pieces:
            buffer = connection.get_buffer(-1)
            buffer[: len(piece)] = piece
            connection.buffer_updated(len(piece))
        if number % 16 == 0:
            await asyncio.sleep(0)
    took = time.process_time() - began
    connection.connection_lost(None)
    return took / len(requests) * 1e6


async def main() -> None:
    """Print the table: the best of several runs."""
    with tempfile.TemporaryFile() as file, ThreadPoolExecutor(1) as pool:
        file.write(BODY)
        file.flush()
        loop = asyncio.get_running_loop()
        memory = Memory(1 << 30, 1.0)
        hub = Hub(route(file.fileno()), lambda *_: Reply(500), Limits(), Network.PUBLIC, loop, pool, memory, no_retry)
        for name, requests in CASES.items():
            print(f"{name:36} {min([await measure(hub, requests) for _ in range(RUNS)]):8.2f}")


if __name__ == "__main__":
    uvloop.run(main())
