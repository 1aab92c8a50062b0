"""Sends the events of one mountpath to one receiver, in their order, again and again until it takes them."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Protocol

import structlog

from ais.api import codec
from ais.api.bucket import Bck
from ais.base.errors import AisError
from ais.core.store import Store
from ais.env.clock import Clock
from ais.node.receivers.receiver import Message, NotTaken, Receiver
from ais.s3 import notifications
from ais.s3.documents import DEFAULT_REGION
from ais.s3.notifications import Happened
from ais.target.events.journal import Entry, Journal, Noted
from ais.target.host import Host

BATCH_MAX = 100
"""Events that are read, and sent, at once."""
IDLE_S = 0.2
WAIT_S, WAIT_S_MAX = 0.5, 30.0
"""Between attempts, twice as long each time."""


class Delivery(Protocol):
    """How one receiver is told."""

    async def deliver(self, found: Sequence[Noted]) -> None:
        """Return when the receiver has what it wants of these, however long that takes."""
        ...


class Sender:
    """One task. What was taken, and whose taking was not written down, is sent again after a restart."""

    def __init__(
        self,
        clock: Clock,
        journal: Journal,
        receiver: str,
        address: str,
        delivery: Delivery,
        trim: Callable[[Journal], None],
    ) -> None:
        """`address`: of the receiver; with another one there is another sender."""
        self._clock = clock
        self._journal = journal
        self._receiver = receiver
        self.address = address
        self.delivery = delivery
        self._trim = trim
        self.oldest_ns = 0
        """When the oldest change happened that is just sent (Unix ns); 0: none is."""
        self._log = structlog.get_logger()
        self._task = asyncio.create_task(self._run(), name=f"events for {receiver}")

    @property
    def is_over(self) -> bool:
        """Whether it failed: another one begins."""
        return self._task.done()

    async def stop(self) -> None:
        """End it."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        try:
            await self._send_all()
        except OSError as error:
            self._log.error("events cannot be read", journal=self._journal.root, error=str(error))

    async def _send_all(self) -> None:
        cursor = await asyncio.to_thread(self._journal.position, self._receiver)
        saved = cursor.number
        while True:
            found, cursor = await asyncio.to_thread(self._journal.read, cursor, BATCH_MAX)
            if wanted := [one for one in found if self._receiver in one.entry.receivers]:
                self.oldest_ns = wanted[0].entry.time_ns
                await self.delivery.deliver(wanted)
                self.oldest_ns = 0
            if cursor.number > saved:
                saved = cursor.number
                await asyncio.to_thread(self._journal.advance, self._receiver, saved, len(wanted))
                await asyncio.to_thread(self._trim, self._journal)
            if not found:
                await self._clock.sleep(IDLE_S)


class Told:
    """A receiver of notifications."""

    def __init__(self, host: Host, store: Store, name: str, receiver: Receiver) -> None:
        self._host = host
        self._store = store
        self._name = name
        self._receiver = receiver
        self._log = structlog.get_logger()

    async def deliver(self, found: Sequence[Noted]) -> None:
        """See `Delivery`."""
        if messages := await asyncio.to_thread(self._messages, found):
            await self._send(messages)

    async def _send(self, messages: Sequence[Message]) -> None:
        wait_s = WAIT_S
        while True:
            try:
                await self._receiver.send(messages)
                break
            except NotTaken as error:
                if wait_s == WAIT_S:
                    self._log.warning("a receiver of events does not take them", receiver=self._name, error=str(error))
            await self._host.env.clock.sleep(wait_s)
            wait_s = min(2 * wait_s, WAIT_S_MAX)
        if wait_s != WAIT_S:
            self._log.info("a receiver of events takes them again", receiver=self._name)

    def _messages(self, found: Sequence[Noted]) -> list[Message]:
        """What of these happened. Blocks."""
        entries = [one.entry for one in found if not is_unmade(self._store, one)]
        size = self._receiver.records_max
        return [self._message(entries[start : start + size]) for start in range(0, len(entries), size)]

    def _message(self, entries: Sequence[Entry]) -> Message:
        records = [notifications.record(self._happened(entry)) for entry in entries]
        return Message(f"{entries[0].bucket}/{entries[0].key}", codec.to_json({"Records": records}))

    def _happened(self, entry: Entry) -> Happened:
        bucket = self._host.bmd.get(Bck(entry.bucket))
        of_s3 = bucket.props.of_s3 if bucket is not None else None
        return Happened(
            entry.event,
            entry.receivers[self._name],
            entry.bucket,
            of_s3.owner if of_s3 is not None else "",
            (of_s3.region if of_s3 is not None else "") or DEFAULT_REGION,
            entry.key,
            entry.size,
            entry.etag,
            entry.version_id,
            f"{entry.stamp[0]:08X}{entry.stamp[1]:016X}",
            entry.time_ns,
            entry.user,
            entry.address,
            entry.request,
        )


def is_unmade(store: Store, noted: Noted) -> bool:
    """Whether the process was killed between the note and the change. Blocks."""
    entry = noted.entry
    if entry.is_certain or not noted.is_old:
        return False
    try:
        stored = store.head(Bck(entry.bucket), entry.key).meta
    except AisError:
        return False
    return tuple(stored.stamp) < tuple(entry.stamp)
