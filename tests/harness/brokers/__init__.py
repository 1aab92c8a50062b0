"""Brokers on real sockets that speak as much of NATS, Kafka and AMQP as one who publishes needs.

They say what the servers themselves say, which was compared by hand with NATS 2.9, Kafka 4.0 and RabbitMQ 3.10.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from harness.brokers.amqp import Amqp
from harness.brokers.kafka import Kafka
from harness.brokers.nats import Nats
from harness.brokers.server import Server
from harness.receiver import Taken, receiver

BROKERS: dict[str, type[Server]] = {"nats": Nats, "kafka": Kafka, "amqp": Amqp}
KINDS = ("webhook", *BROKERS)


@contextmanager
def receiver_of(kind: str) -> Iterator[Taken]:
    """One that listens."""
    if kind == "webhook":
        with receiver() as hook:
            yield hook
    else:
        with BROKERS[kind]() as server:
            yield server
