"""Processes of a playground: starting them, recognising them later, ending them."""

import contextlib
import os
import socket
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from signal import Signals
from typing import IO, Protocol

import psutil

from ais.auth import nodes
from ais.base.errors import Conflict
from ais.config import environment
from ais.playground import forked
from ais.playground.plan import CLUSTER_FILE, HOST, SECRET_FILE, NodePlan

OUTPUT_TAIL_BYTES = 4000


class Started(Protocol):
    """A process of our own; what `subprocess.Popen` and `forked.Child` have in common."""

    @property
    def pid(self) -> int:
        """Its ID."""

    @property
    def stdin(self) -> IO[bytes] | None:
        """What it may wait for the end of."""

    def poll(self) -> int | None:
        """The exit status; None while it runs."""

    def wait(self) -> int:
        """Wait until it has ended; the exit status."""

    def kill(self) -> None:
        """`kill -9`."""


def spawn(node: NodePlan, *, with_parent: bool) -> Started:
    """Start a node's process, detached from the terminal. `with_parent`: it ends when this process does.

    The caller keeps the handle as long as it lives, and waits for the process in the end. Raise `NotReady`.
    """
    arguments = ["--role", node.role]
    arguments += ["--config", str(node.directory.parent / CLUSTER_FILE), "--local-config", str(node.local_file)]
    secret = node.directory.parent / SECRET_FILE
    nodes.new_secret(str(secret))
    arguments += ["--join-secret", str(secret)]
    if node.id:
        arguments += ["--daemon-id", node.id]
    if with_parent:
        arguments.append("--until-stdin-closes")
    environ = environment.without_node_variables()
    process: Started
    with node.output_file.open("ab") as output:
        if with_parent:
            process = forked.start(arguments, output, environ)
        else:
            process = subprocess.Popen(
                [sys.executable, "-m", "ais_node.main", *arguments],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=environ,
                start_new_session=True,
            )
    node.pid_file.write_text(str(process.pid))
    return process


def find(node: NodePlan) -> psutil.Process | None:
    """The running process of a node: the one in its pid file, if that is (still, after a reboot) this node's."""
    try:
        process = psutil.Process(int(node.pid_file.read_text()))
        command = process.cmdline()
    except (FileNotFoundError, ValueError, psutil.Error):
        return None
    local_file = os.path.realpath(node.local_file)
    return process if any(os.path.realpath(word) == local_file for word in command if "/" in word) else None


def end(process: psutil.Process, how: Signals) -> None:
    """Send a signal; a process that has ended already is fine."""
    with contextlib.suppress(psutil.NoSuchProcess):
        process.send_signal(how)


def check_ports(ports: Iterable[int], all_ports: range) -> None:
    """Raise `Conflict` naming the first port somebody else listens on, and what to do."""
    for port in ports:
        if is_free(port):
            continue
        raise Conflict(
            f"port {port} is in use{_user_of(port)}: stop that program, or choose another port with --port N"
            f" (ports N to N+{len(all_ports) - 1} must be free)"
        )


def is_free(port: int) -> bool:
    """Whether a listener could be opened on the port now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
            probe.listen(1)
        except OSError:
            return False
    return True


def output_tail(path: Path) -> str:
    """The last lines a process wrote."""
    with contextlib.suppress(FileNotFoundError), path.open("rb") as file:
        file.seek(0, os.SEEK_END)
        file.seek(max(file.tell() - OUTPUT_TAIL_BYTES, 0))
        return file.read().decode("utf-8", "replace").strip()
    return ""


def _user_of(port: int) -> str:
    with contextlib.suppress(psutil.Error):
        for connection in psutil.net_connections("tcp"):
            if connection.status == psutil.CONN_LISTEN and connection.laddr.port == port and connection.pid:
                return f" by {psutil.Process(connection.pid).name()} (pid {connection.pid})"
    return ""
