"""An exchange of RabbitMQ, or another server of AMQP 0-9-1, that has queues for what is sent to it."""

import aio_pika
from aio_pika.abc import AbstractChannel, AbstractConnection, AbstractExchange
from aio_pika.connection import Connection, make_url
from aio_pika.exceptions import CONNECTION_EXCEPTIONS, PublishError

from ais.config.receivers import Address, Host
from ais.node.receivers import broker
from ais.node.receivers.broker import secret, tls_context
from ais.node.receivers.receiver import Message, NotTaken

ERRORS = CONNECTION_EXCEPTIONS
_GUEST = "guest"
"""User and password of RabbitMQ that are good on its own machine."""


class Amqp:
    """See `Connection`."""

    def __init__(
        self, connection: AbstractConnection, channel: AbstractChannel, exchange: AbstractExchange, routing_key: str
    ) -> None:
        self._connection = connection
        self._channel = channel
        self._exchange = exchange
        self._routing_key = routing_key

    @property
    def is_closed(self) -> bool:
        """See `Connection`."""
        return bool(self._connection.is_closed or self._channel.is_closed)

    async def publish(self, message: Message) -> None:
        """See `Connection`."""
        sent = aio_pika.Message(
            message.body, content_type="application/json", delivery_mode=aio_pika.DeliveryMode.PERSISTENT
        )
        try:
            await self._exchange.publish(sent, self._routing_key)
        except PublishError:
            raise NotTaken(
                f'no queue takes what comes to exchange "{self._exchange.name}" with routing key '
                f'"{self._routing_key}": declare the queue and bind it'
            ) from None

    async def close(self) -> None:
        """See `Connection`."""
        await self._connection.close()


async def connect(address: Address, timeout_s: float) -> broker.Connection:
    """See `Transport`."""
    context = await tls_context(address)
    password = await secret(address, "password_file")

    async def to(host: Host) -> Amqp:
        url = make_url(
            host=host.name,
            port=host.port,
            login=address.user or _GUEST,
            password=password or _GUEST,
            virtualhost=address.path or "/",
            ssl=address.is_tls,
        )
        return await _open(Connection(url, ssl_context=context), address, timeout_s / 2)

    return await broker.first_of(address.hosts, to, ERRORS)


async def _open(connection: Connection, address: Address, timeout_s: float) -> Amqp:
    try:
        await connection.connect(timeout_s)
        channel = await connection.channel(publisher_confirms=True, on_return_raises=True)
        name = address.option("exchange")
        exchange = await channel.get_exchange(name) if name else channel.default_exchange
    except BaseException:
        await connection.close()
        raise
    return Amqp(connection, channel, exchange, address.option("routing_key"))
