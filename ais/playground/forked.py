"""Nodes that end with this process, forked from one that has imported the program already.

To start Python and import a node costs more than all the rest of its start; five nodes of a test's cluster pay it once.
What Python is told by variables when it starts (`PYTHONPATH`) is the same for all forks of one such process: there is
another one for each such environment in which nodes were started.
"""

import array
import contextlib
import io
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path

from ais.api import codec
from ais.base.errors import NotReady

_COMMAND_BYTES_MAX = 4096
_AT_START = ("PYTHON", "LD_", "MALLOC_", "GLIBC_", "OPENSSL_", "SSL_", "LC_", "LANG", "TZ")
"""Variables that a process reads when it starts: with others it has to be started."""

_lock = threading.Lock()
_servers: dict[tuple[tuple[str, str], ...], "_Server"] = {}


class Child:
    """A node's process, as far as `subprocess.Popen` is needed of it."""

    def __init__(self, pid: int, stdin: io.FileIO, report: socket.socket) -> None:
        self.pid, self.stdin, self._report = pid, stdin, report
        self.returncode: int | None = None
        self._asking = threading.Lock()

    def __del__(self) -> None:
        self._report.close()

    def poll(self) -> int | None:
        """The exit status, negative for a signal; None while it runs. Any thread may ask."""
        with self._asking:
            if self.returncode is None:
                try:
                    told = self._report.recv(4, socket.MSG_DONTWAIT)
                except BlockingIOError:
                    return None
                self.returncode = struct.unpack("=i", told)[0] if told else -signal.SIGKILL  # nodes end with the server
                self._report.close()
            return self.returncode

    def wait(self) -> int:
        """Wait until it has ended; the exit status."""
        while (status := self.poll()) is None:
            with contextlib.suppress(OSError):  # somebody else was told
                self._report.recv(4, socket.MSG_PEEK)
        return status

    def kill(self) -> None:
        """`kill -9`."""
        if self.poll() is None:
            os.kill(self.pid, signal.SIGKILL)


def start(arguments: list[str], output: io.BufferedWriter, environ: Mapping[str, str]) -> Child:
    """Start a node with these arguments of `aisnode`. Raise `NotReady` when that is not possible."""
    at_start = tuple(sorted((name, text) for name, text in environ.items() if name.startswith(_AT_START)))
    with _lock:
        server = _servers.get(at_start)
        if server is None or not server.is_mine:
            server = _servers[at_start] = _Server(environ)
        return server.fork(arguments, output, environ)


class _Server:
    """The process that forks."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._owner = os.getpid()
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        command = [sys.executable, "-m", "ais_node.forkserver", str(theirs.fileno()), " " * _COMMAND_BYTES_MAX]
        with theirs:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, env=dict(environ), pass_fds=[theirs.fileno()], start_new_session=True
            )

    @property
    def is_mine(self) -> bool:
        """Whether this process started it; a fork of that process needs one of its own."""
        return self._owner == os.getpid()

    def fork(self, arguments: list[str], output: io.BufferedWriter, environ: Mapping[str, str]) -> Child:
        """One more node."""
        stdin, write = os.pipe()
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        message = codec.to_json({"argv": arguments, "env": dict(environ), "cwd": str(Path.cwd())})
        fds = array.array("i", [stdin, output.fileno(), theirs.fileno()])
        try:
            self._control.sendmsg([message], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, fds)])
        except OSError as error:
            ours.close()
            os.close(write)
            raise NotReady(f"the process that forks nodes has ended ({error}): see its output") from None
        finally:
            os.close(stdin)
            theirs.close()
        told = ours.recv(4)
        child = Child(struct.unpack("=i", told)[0] if told else 0, io.FileIO(write, "wb"), ours)
        if not told:
            raise NotReady("the process that forks nodes has ended: see its output")
        return child
