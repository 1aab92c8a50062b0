"""What clients that read cached objects of a remote bucket notice of its backend: slow, down, or failing otherwise.

usage: python bench/macro/warm.py [--rounds 6] [--seconds 6] [--rate 20]

One gateway, one target, and a backend in a process of its own. Each state has a bucket there, whose cached objects are
read by two connections over the native API (redirects followed) and two over S3, some 80 times a second each, while
another process asks for objects that are not cached, `--rate` a second, half of them over each API, whether answered or
not. States take turns in each round, so that all of them see the same machine. Told are p50 and p99 of the reads of all
rounds; and the p99 beside that of the healthy backend with the same load, and beside nobody asking for what is not
cached: the median of the rounds, and the best.
"""

import argparse
import asyncio
import http.client
import json
import multiprocessing
import os
import statistics
import threading
import time
import urllib.parse
import urllib.request
from collections import Counter
from contextlib import suppress
from functools import partial
from multiprocessing.connection import Connection

import aiohttp

from ais.testing import Cluster, free_ports

IDLE, HEALTHY, SLOW, DOWN, HANGING, OVERLOADED, CUT = "idle", "healthy", "slow", "down", "hanging", "503", "cut"
WAITING = "hanging, new"
"""The same before it is left alone: with a new bucket for each turn."""
STATES = (IDLE, HEALTHY, SLOW, DOWN, WAITING, HANGING, OVERLOADED, CUT)
NAMES = {IDLE: "healthy", OVERLOADED: "overloaded", WAITING: "hanging-"}
"""Of buckets, where they are others than the states'."""
SLOW_S = 2.0
WARM_OBJECTS, BODY = 300, bytes(range(256)) * 128
PAUSE_S = 0.01
NATIVE, S3 = "native", "S3"
KINDS = (NATIVE, S3)
_HEAD = (
    b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n"
    b'Last-Modified: Sun, 29 Nov 2026 00:00:00 GMT\r\nETag: "e"\r\nx-amz-bucket-region: us-east-1\r\n\r\n'
) % len(BODY)
_REFUSAL = b"<Error><Code>SlowDown</Code><Message>slow down</Message></Error>"
_BUSY = b"HTTP/1.1 503 Slow Down\r\nContent-Type: application/xml\r\nContent-Length: %d\r\n\r\n" % len(_REFUSAL)


class Backend(asyncio.Protocol):
    """As much of S3 as a cache asks for. Objects below `cold/` are served as the state has it, all others well."""

    def __init__(self, state: str, servers: dict[str, asyncio.Server]) -> None:
        self._state, self._servers = state, servers
        self._transport: asyncio.Transport | None = None
        self._head = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio`."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """See `asyncio`."""
        assert self._transport is not None
        self._head += data
        while b"\r\n\r\n" in self._head:
            head, _, self._head = self._head.partition(b"\r\n\r\n")
            method, path, _ = head.split(b" ", 2)
            is_cold = b"/cold/" in path
            if path == b"/close":
                self._servers[self._state].close()
            if not self._servers[self._state].is_serving():
                self._transport.abort()
                return
            if self._state == HANGING and is_cold:
                continue
            if self._state == SLOW and is_cold:
                asyncio.get_running_loop().call_later(SLOW_S, self._answer, method, is_cold)
            else:
                self._answer(method, is_cold)

    def _answer(self, method: bytes, is_cold: bool) -> None:
        assert self._transport is not None
        body = b"" if method == b"HEAD" else BODY
        if self._state == OVERLOADED and is_cold:
            self._transport.write(_BUSY + _REFUSAL)
        elif self._state == CUT and is_cold:
            self._transport.write(_HEAD + body[: len(body) // 2])
            self._transport.close()
        else:
            self._transport.write(_HEAD + body)


def serve(ports: dict[str, int]) -> None:
    """A backend for each state; to be run in a process of its own."""

    async def run() -> None:
        servers: dict[str, asyncio.Server] = {}
        for state, port in ports.items():
            made = partial(Backend, state, servers)
            servers[state] = await asyncio.get_running_loop().create_server(made, "127.0.0.1", port)
        await asyncio.Event().wait()

    asyncio.run(run())


def ask_for_cold(endpoint: str, rate: float, told: Connection) -> None:
    """Ask for new objects of the bucket that `told` names, until it names another (empty: none); count answers.

    To be run in a process of its own.
    """

    async def ask(http_: aiohttp.ClientSession, url: str, statuses: Counter[int]) -> None:
        try:
            async with http_.get(url) as answer:
                await answer.read()
                statuses[answer.status] += 1
        except (aiohttp.ClientError, TimeoutError):
            statuses[0] += 1

    async def run() -> None:
        number, bucket, tasks, statuses = 0, "", set[asyncio.Task[None]](), Counter[int]()
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=None)) as http_:
            while True:
                if told.poll():
                    waiting = list(tasks)
                    for task in waiting:
                        task.cancel()
                    await asyncio.gather(*waiting, return_exceptions=True)
                    told.send((statuses, len(waiting)))
                    bucket, tasks, statuses = told.recv(), set(), Counter()
                if bucket:
                    number += 1
                    path = f"/s3/{bucket}/cold/{number}"
                    if number % 2:
                        path = f"/v1/objects/{bucket}/cold/{number}?provider=aws"
                    task = asyncio.create_task(ask(http_, endpoint + path, statuses))
                    tasks.add(task)
                    task.add_done_callback(tasks.discard)
                await asyncio.sleep(1 / rate)

    asyncio.run(run())


class Reader(threading.Thread):
    """Reads cached objects; how long each read took."""

    def __init__(self, endpoint: str, kind: str, bucket: str, seed: int, ended: threading.Event) -> None:
        super().__init__()
        self.took_s: list[float] = []
        self.kind = kind
        self._netloc = urllib.parse.urlsplit(endpoint).netloc
        self._number, self._ended = seed, ended
        self._path = f"/s3/{bucket}/warm/%d" if kind == S3 else f"/v1/objects/{bucket}/warm/%d?provider=aws"
        self._connections: dict[str, http.client.HTTPConnection] = {}

    def run(self) -> None:
        """See `threading`."""
        while not self._ended.wait(PAUSE_S):
            self._number = (self._number * 7919 + 104729) % WARM_OBJECTS
            began_s = time.perf_counter()
            self._read(self._netloc, self._path % self._number)
            self.took_s.append(time.perf_counter() - began_s)
        for connection in self._connections.values():
            connection.close()

    def _read(self, netloc: str, path: str) -> None:
        connection = self._connections.setdefault(netloc, http.client.HTTPConnection(netloc))
        connection.request("GET", path)
        answer = connection.getresponse()
        body = answer.read()
        if answer.status == 301:
            to = urllib.parse.urlsplit(answer.getheader("Location") or "")
            self._read(to.netloc, f"{to.path}?{to.query}")
            return
        assert (answer.status, len(body)) == (200, len(BODY)), (answer.status, body[:200])


def call(url: str, method: str, path: str, action: str, value: object) -> None:
    """A request that must succeed."""
    body = json.dumps({"action": action, "value": value}).encode()
    with urllib.request.urlopen(urllib.request.Request(url + path, body, method=method)) as answer:
        answer.read()


def bucket_of(state: str, turn: int) -> str:
    """What is read, and asked for what it does not have."""
    return f"{NAMES[state]}{turn}" if state == WAITING else NAMES.get(state, state)


def mounted(endpoint: str, ports: dict[str, int], turns: int) -> None:
    """A bucket for each state, with its cached objects; then the backend that is to be down goes."""
    call(endpoint, "PUT", "/v1/cluster", "set-config", {"backend": {"aws": {}}})
    buckets = {bucket_of(state, 0): port for state, port in ports.items()}
    buckets |= {bucket_of(WAITING, number): ports[HANGING] for number in range(turns)}
    for bucket, port in buckets.items():
        extra = {"extra": {"aws": {"endpoint": f"http://127.0.0.1:{port}"}}}
        call(endpoint, "POST", f"/v1/buckets/{bucket}?provider=aws", "create-bck", extra)
        for number in range(WARM_OBJECTS):
            url = f"{endpoint}/v1/objects/{bucket}/warm/{number}?provider=aws"
            with urllib.request.urlopen(url) as answer:
                assert answer.read() == BODY
    with suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{ports[DOWN]}/close"):
        pass


def turn(
    endpoint: str, bucket: str, seconds: float, cold: Connection, *, is_idle: bool
) -> tuple[dict[str, list[float]], Counter[int]]:
    """Reads of one state for a while, and the answers of those who asked for what was not cached."""
    cold.send("" if is_idle else bucket)
    cold.recv()
    ended = threading.Event()
    readers = [Reader(endpoint, KINDS[seed % 2], bucket, seed, ended) for seed in range(4)]
    for one in readers:
        one.start()
    time.sleep(seconds)
    ended.set()
    for one in readers:
        one.join()
    cold.send("")
    statuses, waiting = cold.recv()
    statuses[-1] = waiting
    took_s = {kind: [took for one in readers if one.kind == kind for took in one.took_s] for kind in KINDS}
    return took_s, statuses


def quantile_ms(took_s: list[float], share: float) -> float:
    """That many of all took less."""
    return 1000 * sorted(took_s)[int(len(took_s) * share)]


def report(rounds: list[dict[str, dict[str, list[float]]]], answers: dict[str, Counter[int]]) -> None:
    """Print a row for each state and way to read."""
    print(
        "| backend | | reads | p50, ms | p99, ms | p99 / healthy: median (best) | p99 / idle: median (best) "
        "| answers to who asked for more |"
    )
    print("|---|---|---|---|---|---|---|---|")
    for state in STATES:
        for kind in KINDS:
            took_s = [took for one in rounds for took in one[state][kind]]
            beside = {
                other: [quantile_ms(one[state][kind], 0.99) / quantile_ms(one[other][kind], 0.99) for one in rounds]
                for other in (HEALTHY, IDLE)
            }
            ratios = " | ".join(f"{statistics.median(one):.2f} ({min(one):.2f})" for one in beside.values())
            told = {-1: "waiting", 0: "broken off"}
            said = ", ".join(f"{told.get(key, key)} {count}" for key, count in sorted(answers[state].items()) if count)
            quantiles = f"{quantile_ms(took_s, 0.5):.2f} | {quantile_ms(took_s, 0.99):.2f}"
            print(f"| {state} | {kind} | {len(took_s)} | {quantiles} | {ratios} | {said} |", flush=True)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--seconds", type=float, default=6.0, help="of each state in a round")
    parser.add_argument("--rate", type=float, default=20.0, help="requests a second for what is not cached")
    given = parser.parse_args()
    os.environ |= {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_CONFIG_FILE": "/nonexistent"}
    states = [state for state in STATES if state not in (IDLE, WAITING)]
    first = free_ports(len(states))
    ports = {state: first + number for number, state in enumerate(states)}
    context = multiprocessing.get_context("spawn")
    backend = context.Process(target=serve, args=(ports,), daemon=True)
    backend.start()
    with Cluster(1, 1, 1) as cluster:
        mounted(cluster.endpoint, ports, given.rounds + 1)
        cold, told = context.Pipe()
        asking = context.Process(target=ask_for_cold, args=(cluster.endpoint, given.rate, told), daemon=True)
        asking.start()
        rounds, answers = [], {state: Counter[int]() for state in STATES}
        for number in range(given.rounds + 1):  # the first warms up
            order = STATES[number % len(STATES) :] + STATES[: number % len(STATES)]
            found = {}
            for state in order:
                bucket = bucket_of(state, number)
                found[state] = turn(cluster.endpoint, bucket, given.seconds, cold, is_idle=state == IDLE)
            if number:
                rounds.append({state: took_s for state, (took_s, _) in found.items()})
                for state, (_, statuses) in found.items():
                    answers[state] += statuses
        report(rounds, answers)
        asking.terminate()
    backend.terminate()


if __name__ == "__main__":
    main()
