"""Processes of a playground: starting them, recognising them later, ending them."""

import contextlib
import os
import socket
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from signal import Signals

import psutil

from ais.auth import nodes
from ais.base.errors import Conflict
from ais.config import environment
from ais.playground.plan import CLUSTER_FILE, HOST, SECRET_FILE, NodePlan

OUTPUT_TAIL_BYTES = 4000


def spawn(node: NodePlan, *, with_parent: bool) -> subprocess.Popen[bytes]:
    """Start a node's process, detached from the terminal. `with_parent`: it ends when this process does.

    The caller keeps the handle as long as it lives, and waits for the process in the end.
    """
    command = [sys.executable, "-m", "ais_node.main", "--role", node.role]
    command += ["--config", str(node.directory.parent / CLUSTER_FILE), "--local-config", str(node.local_file)]
    secret = node.directory.parent / SECRET_FILE
    nodes.new_secret(str(secret))
    command += ["--join-secret", str(secret)]
    if node.id:
        command += ["--daemon-id", node.id]
    if with_parent:
        command.append("--until-stdin-closes")
    with node.output_file.open("ab") as output:
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE if with_parent else subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=environment.without_node_variables(),
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
