"""Facts about running nodes that only the machine knows: descriptors, memory, what lies on the mountpaths."""

import os
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from ais.playground import probe
from harness.meanwhile import Meanwhile

if TYPE_CHECKING:
    from ais.testing import Node


def descriptors(pid: int) -> int:
    """How many files and sockets a process has open."""
    return len(os.listdir(f"/proc/{pid}/fd"))


def resident_bytes(pid: int) -> int:
    """Resident memory of a process and its children."""
    process = psutil.Process(pid)
    return sum(one.memory_info().rss for one in [process, *process.children(recursive=True)])


def files_of(mountpaths: Iterable[Path], kind: str) -> Iterator[Path]:
    """Files of a content type (`ob`, `wk`) below the mountpaths, trash left out."""
    for mountpath in mountpaths:
        for path in mountpath.glob(f"@*/**/%{kind}/**/*"):
            if path.is_file() and ".$deleted" not in path.parts:
                yield path


def require_signatures(control_urls: Iterable[str]) -> None:
    """Raise `AssertionError` unless these nodes refuse what is for nodes and not signed by one."""
    for url in control_urls:
        for method, path in (("GET", "/v1/metasync?part=bmd"), ("POST", "/v1/vote")):
            status, said = probe.call(method, url + path, None, b"" if method == "GET" else b"{}")
            assert status == 403, (url, path, status, said)


def eventually(claim: Callable[[], object], *, within_s: float, every_s: float = 0.05) -> float:
    """Wait until `claim()` is truthy; seconds it took. A connection error counts as "not yet"."""
    began = time.monotonic()
    last: object = None
    while time.monotonic() - began < within_s:
        try:
            last = claim()
        except (OSError, AssertionError) as error:
            last = error
        else:
            if last:
                return time.monotonic() - began
        time.sleep(every_s)
    raise AssertionError(f"not within {within_s} s: {claim!r}, last {last!r}")


class Watch(Meanwhile):
    """The greatest resident memory of each node, sampled while a block runs."""

    def __init__(self, nodes: Iterable["Node"]) -> None:
        self._nodes = list(nodes)
        super().__init__(self._sample)
        self.most = {node.id: resident_bytes(node.pid) for node in self._nodes}

    def _sample(self) -> None:
        while not self.ended.wait(0.2):
            for node in self._nodes:
                self.most[node.id] = max(self.most[node.id], resident_bytes(node.pid))
