"""A receiver that is a topic, subject or queue of a broker."""

import asyncio
import contextlib
import importlib
import ssl
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Protocol, cast

from ais.base.errors import BadRequest
from ais.config import receivers
from ais.config.receivers import Address, Host
from ais.net.tls import client_context
from ais.node.receivers.receiver import Message, NotTaken

PACKAGES = {receivers.NATS: "nats-py[nkeys]", receivers.KAFKA: "aiokafka", receivers.AMQP: "aio-pika"}
"""The client of each kind, which is an extra of this package."""
CLOSE_S = 5.0
"""For a connection to say goodbye."""


class Connection(Protocol):
    """One to a broker. `ERRORS` of its module are what its methods raise."""

    @property
    def is_closed(self) -> bool:
        """Whether it was closed, by whichever side."""
        ...

    async def publish(self, message: Message) -> None:
        """Return when the broker has a message for good."""
        ...

    async def close(self) -> None:
        """Close it."""
        ...


class Transport(Protocol):
    """A module of this package: `nats`, `kafka`, `amqp`."""

    ERRORS: tuple[type[Exception], ...]

    async def connect(self, address: Address, timeout_s: float) -> Connection:
        """Open a connection. Raise `ERRORS`, `NotTaken`."""
        ...


class Broker:
    """See `Receiver`."""

    records_max = 1

    def __init__(self, address: Address, timeout_s: float) -> None:
        self._address = address
        self._timeout_s = timeout_s
        self._transport: Transport | None = None
        self._connecting = asyncio.Lock()
        self._connection: Connection | None = None

    async def send(self, messages: Sequence[Message]) -> None:
        """See `Receiver`."""
        if (transport := self._transport) is None:
            transport = self._transport = await asyncio.to_thread(_load, self._address.kind)
        connection: Connection | None = None
        try:
            async with asyncio.timeout(self._timeout_s):
                connection = await self._connected(transport)
                for wave in _waves(messages):
                    await _publish(connection, wave)
        except TimeoutError:
            await self._drop(transport, connection)
            raise NotTaken(f"it did not answer within {self._timeout_s:.0f} s") from None
        except transport.ERRORS as error:
            await self._drop(transport, connection)
            raise NotTaken(str(error) or type(error).__name__) from None

    async def close(self) -> None:
        """See `Receiver`."""
        if self._transport is not None:
            await self._drop(self._transport, self._connection)

    async def _drop(self, transport: Transport, connection: Connection | None) -> None:
        if connection is None:
            return
        if self._connection is connection:
            self._connection = None
        with contextlib.suppress(TimeoutError, *transport.ERRORS):  # it is of no use any more
            async with asyncio.timeout(CLOSE_S):
                await connection.close()

    async def _connected(self, transport: Transport) -> Connection:
        async with self._connecting:
            if self._connection is not None and self._connection.is_closed:
                await self._drop(transport, self._connection)
            if self._connection is None:
                self._connection = await transport.connect(self._address, self._timeout_s)
            return self._connection


def _load(kind: str) -> Transport:
    """The module of a kind; it needs a package that may not be there. Blocks. Raise `NotTaken`."""
    try:
        return cast(Transport, importlib.import_module(f"ais.node.receivers.{kind}"))
    except ImportError as error:
        raise NotTaken(
            f"this node has no client for {kind} ({error}): on every node, pip install '{PACKAGES[kind]}'"
        ) from None


async def _publish(connection: Connection, messages: Iterable[Message]) -> None:
    """Have the broker take messages, in any order."""
    done = await asyncio.gather(*(connection.publish(one) for one in messages), return_exceptions=True)
    for one in done:
        if isinstance(one, asyncio.CancelledError):  # by the client, which has closed its connection
            raise ConnectionError("the connection was closed")
        if isinstance(one, BaseException):
            raise one


def _waves(messages: Sequence[Message]) -> Iterator[list[Message]]:
    """Messages that may be on their way at the same time: of each key one, so that none can overtake."""
    wave: dict[str, Message] = {}
    for message in messages:
        if message.key in wave:
            yield list(wave.values())
            wave = {}
        wave[message.key] = message
    if wave:
        yield list(wave.values())


async def first_of(
    hosts: Iterable[Host], to: Callable[[Host], Awaitable[Connection]], errors: tuple[type[Exception], ...]
) -> Connection:
    """A connection to the first host that gives one. Raise what the last one raised."""
    failure: Exception = OSError("no host is named")
    for host in hosts:
        try:
            return await to(host)
        except errors as error:
            failure = error
    raise failure


async def secret(address: Address, option: str) -> str:
    """What stands in a file that the URL names; empty when it names none. Raise `NotTaken`."""
    path = address.option(option)
    try:
        return (await asyncio.to_thread(Path(path).read_text)).strip() if path else ""
    except (OSError, ValueError) as error:
        raise NotTaken(f"{option} cannot be read on this node: {error}") from None


async def tls_context(address: Address) -> ssl.SSLContext | None:
    """None where the URL asks for no TLS. Raise `NotTaken`."""
    if not address.is_tls:
        return None

    def make() -> ssl.SSLContext:
        context = client_context(ca=address.option("ca_file"))
        if certificate := address.option("cert_file"):
            context.load_cert_chain(certificate, address.option("key_file"))
        return context

    try:
        return await asyncio.to_thread(make)
    except (BadRequest, OSError) as error:
        raise NotTaken(f"TLS: {error}") from None
