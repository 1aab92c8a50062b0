"""The transport side of a connection: flow control in both directions, the second descriptor, the coarse clock."""

import asyncio
import os
import socket
import struct
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import cast

from ais.net.http import Network, Peer
from ais.net.hub import Hub

DIRECT_BYTES_MIN = 32 << 10
"""Below it a copy is cheaper than a system call of its own."""


class Wire(asyncio.BufferedProtocol):
    """What connections of both sides are built on. Subclasses say through `wants_bytes` when reading makes sense."""

    __slots__ = (
        "_is_reading_paused",
        "_is_turn_over",
        "_on_flushed",
        "_second_socket",
        "_transport",
        "hub",
        "is_at_eof",
        "is_broken",
        "is_write_paused",
        "peer",
        "tick",
        "write",
        "write_parts",
    )

    _transport: asyncio.Transport
    write: Callable[[bytes | bytearray | memoryview], None]
    """Queue bytes on the transport."""
    write_parts: Callable[[Iterable[bytes]], None]
    """The same of several, none of which is copied."""

    def __init__(self, hub: Hub) -> None:
        self.hub = hub
        self.peer = _NOBODY
        self.tick = hub.tick
        """When something happened last."""
        self.is_write_paused = False
        """The client does not read as fast as we answer."""
        self.is_at_eof = False
        """The client shut down its sending side."""
        self.is_broken = False
        """The connection is gone, or as good as."""
        self._is_reading_paused = False
        self._is_turn_over = False
        self._on_flushed: Callable[[], None] | None = None
        self._second_socket: socket.socket | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remember the transport and who is at its other end."""
        self._transport = cast(asyncio.Transport, transport)
        self.write, self.write_parts = self._transport.write, self._transport.writelines
        scheme = "http" if transport.get_extra_info("sslcontext") is None else "https"
        self.peer = Peer(_format_address(transport.get_extra_info("peername")), self.hub.networks, scheme)

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing can be sent or received any more."""
        self.is_broken = True
        self._on_flushed = None
        if self._second_socket is not None:
            self._second_socket.close()

    def break_off(self) -> None:
        """Close at once; `connection_lost` follows."""
        if not self.is_broken:
            self.is_broken = True
            self._transport.abort()

    def reset(self) -> None:
        """The same so that the other side cannot take it for an orderly end."""
        if (sock := self.second_socket()) is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.break_off()

    def wants_bytes(self) -> bool:
        """Whether bytes could be used now."""
        raise NotImplementedError

    def begin_turn(self) -> None:
        """The other connections had their turn."""
        raise NotImplementedError

    def touch(self) -> None:
        """Something happened: the deadline starts anew."""
        self.tick = self.hub.tick

    def update_reading(self) -> None:
        """Receive if and only if the bytes could be used now."""
        if self.is_at_eof or self.is_broken:
            return
        wanted = not self._is_turn_over and self.wants_bytes()
        if wanted != self._is_reading_paused:
            return
        self._is_reading_paused = not wanted
        if wanted:
            self._transport.resume_reading()
        else:
            self._transport.pause_reading()

    @property
    def is_reading_paused(self) -> bool:
        """Whether we, not the client, are why nothing comes."""
        return self._is_reading_paused

    def yield_turn(self) -> None:
        """Let the other connections have their turn before this one receives more."""
        self._is_turn_over = True
        self.update_reading()
        self.hub.loop.call_soon(self._next_turn)

    def _next_turn(self) -> None:
        self._is_turn_over = False
        if not self.is_broken:
            self.begin_turn()

    def pause_writing(self) -> None:
        """The transport's buffer is full."""
        self.is_write_paused = True

    def resume_writing(self) -> None:
        """The transport's buffer has room again."""
        self.is_write_paused = False
        self.touch()
        self._flushed()

    def when_flushed(self, callback: Callable[[], None]) -> None:
        """Call back once the transport has handed everything to the kernel (or, after a pause, has room again)."""
        self._on_flushed = callback
        if not self.is_write_paused:
            self._transport.set_write_buffer_limits(high=0)
            if not self.is_write_paused:
                self.hub.loop.call_soon(self._flushed)

    def _flushed(self) -> None:
        callback, self._on_flushed = self._on_flushed, None
        if callback is not None and not self.is_broken:
            self._transport.set_write_buffer_limits()
            callback()

    def pass_on(self, data: bytes | memoryview) -> None:
        """Queue bytes that are valid only now: what the kernel takes at once is not copied."""
        if len(data) >= DIRECT_BYTES_MIN and not self.unsent_bytes and (sock := self.second_socket()) is not None:
            # It may be full, or broken: the transport finds out which.
            with suppress(OSError):
                data = memoryview(data)[sock.send(data) :]
        if data:
            self.write(bytes(data))

    async def drained(self) -> None:
        """Wait until the client has read enough for more to be written."""
        flushed = asyncio.Event()
        self.when_flushed(flushed.set)
        await flushed.wait()

    @property
    def unsent_bytes(self) -> int:
        """What the transport has not handed to the kernel yet."""
        return self._transport.get_write_buffer_size()

    def second_socket(self) -> socket.socket | None:
        """A second descriptor of the socket, which the loop lets us watch; none under TLS. Ends with the connection."""
        if self._second_socket is None and self.peer.scheme == "http" and not self.is_broken:
            duplicate = socket.socket(fileno=os.dup(self._transport.get_extra_info("socket").fileno()))
            duplicate.setblocking(False)
            self._second_socket = duplicate
        return self._second_socket


def _format_address(address: object) -> str:
    if not isinstance(address, tuple):
        return ""
    return f"[{address[0]}]:{address[1]}" if ":" in address[0] else f"{address[0]}:{address[1]}"


_NOBODY = Peer("", Network(0), "http")
