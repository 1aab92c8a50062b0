"""Connections that change the process: a socket, and the number of the listener it belongs to, in one datagram."""

import socket
from collections.abc import Iterator


def make_pair() -> tuple[socket.socket, socket.socket]:
    """The two ends, one for each process; they do not block."""
    ends = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    for end in ends:
        end.setblocking(False)
    return ends


def give(end: socket.socket, listener: int, connection: socket.socket) -> bool:
    """Hand a connection over; ours is closed then. False when the other side does not keep up, or is gone."""
    try:
        socket.send_fds(end, [bytes((listener,))], [connection.fileno()])
    except OSError:
        return False
    connection.close()
    return True


def take_all(end: socket.socket, limit: int = 64) -> Iterator[tuple[int, socket.socket]]:
    """What has come: listener and connection. Raise `EOFError` when the other side is gone."""
    for _ in range(limit):
        try:
            data, fds, _, _ = socket.recv_fds(end, 1, 1)
        except BlockingIOError:
            return
        except OSError:
            raise EOFError from None
        if not data:
            raise EOFError
        connections = [socket.socket(fileno=fd) for fd in fds]
        for connection in connections:
            connection.setblocking(False)
            yield data[0], connection
