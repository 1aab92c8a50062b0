"""A process that has imported `aisnode` once and forks a node whenever it is asked: the nodes of one parent.

`python -m ais_node.forkserver <descriptor> <padding>`, started by `ais.playground.forked` alone. A message on the
socket is JSON, `{"argv": [...], "env": {...}, "cwd": "..."}`, with three descriptors: standard input of the node, its
output, and a stream that is told its process ID and, when it has ended, its exit status (32 bits each). The end of the
socket ends the server when no node runs any more; nodes end with their standard input, or killed with the server.
"""

import array
import contextlib
import ctypes
import gc
import json
import os
import select
import signal
import socket
import struct
import sys
from typing import Any

from ais_node.main import main as run_node

MESSAGE_BYTES_MAX = 1 << 20
_PR_SET_PDEATHSIG = 1
_FD_BYTES = array.array("i").itemsize


class _Children:
    """Processes that run: whom to tell when one has ended."""

    def __init__(self, poll: select.poll) -> None:
        self._poll = poll
        self._reports: dict[int, tuple[int, int]] = {}
        """By a descriptor of the process: its ID, and the descriptor of who wants to know."""

    @property
    def are_any(self) -> bool:
        """Whether one runs."""
        return bool(self._reports)

    def add(self, pid: int, report: int) -> None:
        """One more."""
        _tell(report, pid)
        fd = os.pidfd_open(pid)
        self._reports[fd] = pid, report
        self._poll.register(fd, select.POLLIN)

    def ended(self, fd: int) -> None:
        """The process of this descriptor is to be waited for."""
        pid, report = self._reports.pop(fd)
        self._poll.unregister(fd)
        os.close(fd)
        _, status = os.waitpid(pid, 0)
        _tell(report, os.waitstatus_to_exitcode(status))
        os.close(report)


def main() -> int:
    """Serve until the socket and all nodes have ended. Returns in every node as well, with its exit status."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    control = socket.socket(fileno=int(sys.argv[1]))
    gc.collect()
    gc.freeze()  # so that the pages of what is imported stay shared
    poll = select.poll()
    poll.register(control, select.POLLIN)
    children = _Children(poll)
    while control.fileno() >= 0 or children.are_any:
        for fd, _ in poll.poll():
            if fd != control.fileno():
                children.ended(fd)
                continue
            data, fds = _receive(control)
            if not data:
                poll.unregister(control)
                control.close()
                break
            stdin, output, report = fds
            asked = json.loads(data)
            became, becoming = os.pipe()
            pid = os.fork()
            if not pid:
                _become(asked, stdin, output, becoming)
                return run_node()
            for theirs in (stdin, output, becoming):
                os.close(theirs)
            os.read(became, 1)  # until it is closed: whoever is told the process ID finds a node there
            os.close(became)
            children.add(pid, report)
    return 0


def _receive(control: socket.socket) -> tuple[bytes, list[int]]:
    data, ancillary, _, _ = control.recvmsg(MESSAGE_BYTES_MAX, socket.CMSG_SPACE(3 * _FD_BYTES))
    fds = array.array("i")
    for level, kind, value in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            fds.frombytes(value[: len(value) - len(value) % _FD_BYTES])
    return data, list(fds)


def _become(asked: dict[str, Any], stdin: int, output: int, becoming: int) -> None:
    """Make a fork what a process is that was just started with these arguments; then close `becoming`."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    os.setsid()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for fd, source in ((0, stdin), (1, output), (2, output)):
        os.dup2(source, fd)
    os.closerange(3, becoming)
    os.closerange(becoming + 1, os.sysconf("SC_OPEN_MAX"))
    os.environ.clear()
    os.environ.update(asked["env"])
    os.chdir(asked["cwd"])
    sys.argv[1:] = asked["argv"]
    _show([sys.executable, "-m", "ais_node.main", *asked["argv"]])
    os.close(becoming)


def _show(command: list[str]) -> None:
    """Have the system show this command line for the process, which is how a node is found again."""
    with open("/proc/self/stat", encoding="ascii", errors="replace") as file:
        fields = file.read().rpartition(")")[2].split()
    start, end = int(fields[45]), int(fields[46])  # arg_start and arg_end, see proc(5)
    text = b"".join(os.fsencode(word) + b"\0" for word in command)[: end - start - 1]
    ctypes.memset(start, 0, end - start)
    ctypes.memmove(start, text, len(text))


def _tell(report: int, number: int) -> None:
    with contextlib.suppress(BrokenPipeError):  # nobody waits any more
        os.write(report, struct.pack("=i", number))


if __name__ == "__main__":
    sys.exit(main())
