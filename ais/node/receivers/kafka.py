"""A topic of Kafka: the partition of a message is that of its key."""

import asyncio

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaConnectionError, KafkaError

from ais.config.receivers import SASL, Address
from ais.node.receivers.broker import Connection, secret, tls_context
from ais.node.receivers.receiver import Message, NotTaken

ERRORS = (KafkaError, OSError)
_stopping: set["asyncio.Task[None]"] = set()


class Kafka:
    """See `Connection`. Its client finds other servers of the cluster, and comes back to them, by itself."""

    is_closed = False

    def __init__(self, producer: AIOKafkaProducer, topic: str) -> None:
        self._producer = producer
        self._topic = topic

    async def publish(self, message: Message) -> None:
        """See `Connection`."""
        await self._producer.send_and_wait(self._topic, message.body, key=message.key.encode())

    async def close(self) -> None:
        """See `Connection`. Cut short, it comes to its end by itself, when what is on its way has failed."""
        stopping = asyncio.create_task(self._producer.stop(), name="goodbye to Kafka")
        _stopping.add(stopping)
        stopping.add_done_callback(_stopping.discard)
        await asyncio.shield(stopping)


async def connect(address: Address, timeout_s: float) -> Connection:
    """See `Transport`."""
    context = await tls_context(address)
    password = await secret(address, "password_file")
    producer = AIOKafkaProducer(
        bootstrap_servers=[f"{host.name}:{host.port}" for host in address.hosts],
        client_id="ais",
        acks="all",
        request_timeout_ms=int(timeout_s * 500),  # what it gives up is said, and nothing of it is left
        retry_backoff_ms=500,
        security_protocol=("SASL_" if address.user else "") + ("PLAINTEXT" if context is None else "SSL"),
        ssl_context=context,
        sasl_mechanism=address.option("sasl") or SASL[0],
        sasl_plain_username=address.user or None,
        sasl_plain_password=password or None,
    )
    try:
        await producer.start()
    except KafkaConnectionError as error:
        await producer.stop()
        raise NotTaken(f"{error}: the log of this node says why") from None
    except BaseException:
        await producer.stop()
        raise
    return Kafka(producer, address.path)
