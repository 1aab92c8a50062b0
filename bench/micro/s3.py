"""What an S3 request costs at the owner beside a native one: microseconds of CPU, files but no sockets.

usage: python bench/micro/s3.py [--only-puts] [--profile METHOD,KIND]

Files lie in the working directory (for GET not on tmpfs). The kinds of requests are those of `bench/macro/s3.py`,
`relayed`: signed ones as a gateway sends them on, and `expecting`: signed PUTs whose body comes when it is asked for.
"""

import argparse
import asyncio
import cProfile
import dataclasses
import itertools
import pstats
import random
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import uvloop

sys.path.insert(0, str(Path(__file__).parent.parent / "macro"))
sys.path.insert(0, str(Path(__file__).parent.parent.parent / "tests"))

from harness.target import CLUSTER_SECRET, SmallNode, serving
from s3 import Signer

from ais.auth import keys
from ais.auth.keys import AccessKeys, KeyRing
from ais.fs import mountpath
from ais.net.connection import Connection
from ais.net.server import HttpServer
from ais.s3 import via
from ais.s3.via import Via

RUNS, REQUESTS, NAMES = 5, 600, 100
HOST = "127.0.0.1:8080"
BODY = b"0123456789abcdef" * 256


class Transport(asyncio.Transport):
    """Takes everything."""

    def __init__(self) -> None:
        super().__init__()
        self.answer = b""

    def write(self, data: Any) -> None:
        """Keep the last."""
        self.answer = data

    def get_write_buffer_size(self) -> int:
        """Nothing is left."""
        return 0

    def pause_reading(self) -> None:
        """Nothing comes by itself."""

    def resume_reading(self) -> None:
        """Nothing comes by itself."""


def plain(method: str, target: str, lines: tuple[str, ...] = (), body: bytes = b"") -> bytes:
    """A request as a client sends it."""
    length = (f"Content-Length: {len(body)}",) if body else ()
    return "\r\n".join((f"{method} {target} HTTP/1.1", f"Host: {HOST}", *lines, *length, "", "")).encode() + body


def noted(node: SmallNode, method: str, path: str, lines: tuple[str, ...], body: bytes) -> bytes:
    """The same as a gateway sends it on."""
    remote = f"127.0.0.1:{random.randrange(20_000, 60_000)}"
    nonce = b"" if method == "GET" else random.randbytes(12)
    note = Via(
        remote, "http", time_s=int(time.time()), to=node.snode.id, by="p", nonce=nonce, map=int(node.smap.version)
    )
    value = via.header(note, CLUSTER_SECRET, method, path)
    return plain(method, path, (*lines, f"{via.HEADER}: {value}"), body)


def requests(node: SmallNode, signer: Signer, kind: str, method: str) -> Iterator[tuple[bytes, ...]]:
    """The pieces in which each comes, without end."""
    body = BODY if method == "PUT" else b""
    for turn in itertools.count():
        name = f"o{turn % NAMES}"
        if kind == "native":
            yield (plain(method, f"/v1/objects/b/{name}?provider=ais&pid=p&utm=1", (), body),)
        elif kind == "open":
            yield (plain(method, f"/b/{name}", (), body),)
        elif kind == "presigned":
            yield (plain(method, signer.presigned(method, HOST, f"/b/{name}"), (), body),)
        else:
            path, *lines = signer.signed(method, HOST, f"/b/{name}", body, turn // NAMES % 800).split("\t")
            if kind == "relayed":
                yield (noted(node, method, path, tuple(lines), body),)
            elif kind == "expecting":
                yield plain(method, path, (*lines, "Expect: 100-continue"), body)[: -len(body)], body
            else:
                yield (plain(method, path, tuple(lines), body),)


async def measure(server: HttpServer, made: list[tuple[bytes, ...]]) -> float:
    """Microseconds of CPU for each request, one connection, a turn of the loop after every 16th."""
    connection, transport = Connection(*await server._started()), Transport()
    connection.connection_made(transport)
    began = time.process_time()
    for number, pieces in enumerate(made):
        for piece in pieces:
            buffer = connection.get_buffer(-1)
            buffer[: len(piece)] = piece
            connection.buffer_updated(len(piece))
        if number % 16 == 0:
            await asyncio.sleep(0)
    await asyncio.sleep(0)
    took = time.process_time() - began
    assert transport.answer.startswith(b"HTTP/1.1 200"), transport.answer
    connection.connection_lost(None)
    return took / len(made) * 1e6


async def main() -> None:
    """Print the table: the best of several runs, the kinds interleaved."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only-puts", action="store_true", help="for tmpfs")
    parser.add_argument("--profile", default="", help="METHOD,KIND")
    arguments = parser.parse_args()
    mountpath.STALL_S = 60.0  # who else is busy on the machine must not look like a slow disk
    with tempfile.TemporaryDirectory(dir=Path.cwd(), prefix=".bench-") as scratch:
        async with serving(Path(scratch)) as [live]:
            await live.create()
            node = live.node
            key, secret = keys.new_key("u", CLUSTER_SECRET, 1, admin=True)
            node.keyring = KeyRing(AccessKeys().with_key(key), (CLUSTER_SECRET,))
            signer = Signer(key.id, secret)
            open_config = node.config
            closed_config = dataclasses.replace(open_config, transient={"auth.enabled": "true"})
            kinds = ("native", "open", "presigned", "signed", "relayed", "expecting")
            cases = [(method, kind) for method in ("PUT", "GET") for kind in kinds]
            cases = [
                (method, kind)
                for method, kind in cases
                if method == "PUT" or not (arguments.only_puts or kind == "expecting")
            ]
            best: dict[tuple[str, str], float] = {}
            if arguments.profile:
                method, _, kind = arguments.profile.partition(",")
                cases = [("PUT", "open"), (method, kind)]
            streams = {case: requests(node, signer, case[1], case[0]) for case in cases}
            for run in range(RUNS):
                for case in cases:
                    node.config = open_config if case[1] in ("native", "open") else closed_config
                    made = list(itertools.islice(streams[case], REQUESTS))
                    if arguments.profile and case == cases[-1] and run == RUNS - 1:
                        profile = cProfile.Profile()
                        profile.enable()
                        await measure(live.server, made)
                        profile.disable()
                        pstats.Stats(profile).sort_stats("tottime").print_stats(45)
                    took = await measure(live.server, made)
                    best[case] = min(best.get(case, took), took)
                    await asyncio.sleep(0.03)  # files this young are not remembered
            for case in cases:
                native = best.get((case[0], "native"), best[case])
                print(f"{case[0]} 4 KiB {case[1]:10} {best[case]:8.1f} {best[case] / native:6.2f}")


if __name__ == "__main__":
    uvloop.run(main())
