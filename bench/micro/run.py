"""Time the functions of the hot path, one by one: microseconds per call, best of several runs.

usage: python bench/micro/run.py
"""

import fcntl
import itertools
import os
import random
import tempfile
import timeit
from collections.abc import Callable, Iterator

from ais.api.bucket import Bck
from ais.core import meta
from ais.core.store import Store
from ais.core.workfile import WriteRules
from ais.env import Env
from ais.fs.locks import WHOLE_FILE
from ais.fs.volume import Volume
from ais.meta.placement import Candidates, Placement, mix
from ais.meta.smap import NetInfo, Smap, Snode, digest
from ais.net.head import HeadParser
from ais.net.http import Network, Peer

RUNS, CALLS = 7, 20_000
HEAD = (
    b"GET /v1/objects/bucket/dir/object-17?provider=ais HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n"
    b"User-Agent: ais/python/2.0.0\r\nAccept-Encoding: gzip, deflate\r\nAccept: */*\r\nConnection: keep-alive"
)


def micros(call: Callable[[], object], calls: int = CALLS) -> float:
    """Microseconds per call, the best of several runs."""
    return min(timeit.repeat(call, number=calls, repeat=RUNS)) / calls * 1e6


def placement() -> Iterator[tuple[str, float]]:
    """HRW for 3 to 100 targets, computed and remembered."""
    rng, uname = random.Random(1), Bck("bucket").uname
    yield "mix 64 bits", micros(lambda: mix(0x123456789ABCDEF))
    yield "digest of a name", micros(lambda: digest(uname + "object-17"))
    for count in (3, 10, 100):
        candidates, calls = Candidates([rng.getrandbits(64) for _ in range(count)]), CALLS // count + 1
        yield f"owner among {count}, computed", micros(lambda c=candidates: c.best(digest(uname + "object-17")), calls)
    nets = [NetInfo.make("http", "127.0.0.1", 8081 + port) for port in range(3)]
    targets = {f"target0{one}": Snode.make("target", f"target0{one}", *nets) for one in range(3)}
    cached = Placement(Smap(tmap=targets))
    yield "owner among 3, remembered", micros(lambda: cached.owner(uname + "object-17"))


def object_metadata() -> Iterator[tuple[str, float]]:
    """The extended attribute: encode, decode, write, read."""
    value = meta.ObjectMeta(4096, "xxhash2", "0123456789abcdef", "3", {"label": "cat"})
    encoded = meta.encode(value)
    yield "metadata encode", micros(lambda: meta.encode(value))
    yield "metadata decode", micros(lambda: meta.decode(encoded))
    with tempfile.NamedTemporaryFile(dir=".") as file:
        fd = file.fileno()
        yield "setxattr", micros(lambda: os.setxattr(fd, meta.XATTR, encoded))
        yield "getxattr", micros(lambda: os.getxattr(fd, meta.XATTR))
        yield "fstat", micros(lambda: os.fstat(fd))


def heads() -> Iterator[tuple[str, float]]:
    """A request head whose header block was seen before, and one that was not."""
    peer = Peer("127.0.0.1:5000", Network.PUBLIC, "http")
    warm = HeadParser()
    yield "head, block seen before", micros(lambda: warm.parse(HEAD, peer))
    yield "head, block new", micros(lambda: HeadParser().parse(HEAD, peer), CALLS // 10)


def small_put() -> Iterator[tuple[str, float]]:
    """A new 4 KiB object in memory: what the store does, and how much of it are the system calls."""
    bck, rules, content, serial = Bck("bucket"), WriteRules(), memoryview(bytes(4096)), itertools.count()
    value = meta.encode(meta.ObjectMeta(4096, "xxhash2", "0123456789abcdef", "1"))
    with tempfile.TemporaryDirectory(dir="/dev/shm") as root:
        volume = Volume.load_or_create(Env(), [root])
        volume.create_bucket(bck, 1)
        store = Store(volume, Env())
        store.put(bck, "dir/object", rules, content)
        base = f"{root}/@ais/bucket"
        locks = os.open(f"{root}/locks", os.O_RDWR | os.O_CREAT)

        def calls() -> None:
            work, path = f"{base}/%wk/bench-{next(serial)}", f"{base}/%ob/dir/bench-{next(serial)}"
            fd = os.open(work, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
            os.write(fd, content)
            fcntl.fcntl(locks, fcntl.F_OFD_SETLK, WHOLE_FILE)
            os.access(path, os.F_OK)
            os.setxattr(fd, meta.XATTR, value)
            os.rename(work, path)
            fcntl.fcntl(locks, fcntl.F_OFD_SETLK, WHOLE_FILE)
            os.close(fd)

        yield "put 4 KiB, the system calls alone", micros(calls, CALLS // 10)
        yield "put 4 KiB", micros(lambda: store.put(bck, f"dir/object-{next(serial)}", rules, content), CALLS // 10)
        os.close(locks)


def main() -> None:
    """Print the table."""
    print(f"{'what':32} {'µs':>8}")
    for group in (placement, object_metadata, heads, small_put):
        for name, value in group():
            print(f"{name:32} {value:8.2f}")


if __name__ == "__main__":
    main()
