"""What receivers of bucket notifications have in common."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from ais.base.errors import AisError


class NotTaken(AisError):
    """A receiver did not take messages, or not all of them; the message says why."""


class Message(NamedTuple):
    """`key` is `bucket/key`: messages of one key are taken in their order. `body`: JSON."""

    key: str
    body: bytes


class Receiver(Protocol):
    """A way to one receiver, opened when it is first used. Several tasks may send at the same time."""

    records_max: int
    """Events in one message."""

    async def send(self, messages: Sequence[Message]) -> None:
        """Return when the receiver has them all, for good. Raise `NotTaken`."""
        ...

    async def close(self) -> None:
        """Close all connections."""
        ...
