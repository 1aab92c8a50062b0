"""Faults that were in the code, to put back: a model that does not find them proves nothing."""

import contextlib
from collections.abc import Iterator
from typing import Any
from unittest import mock

from ais.net import connection, exchange, handover
from ais.net.body import FixedBody
from ais.net.connection import Connection, Phase
from ais.net.exchange import Exchange
from ais.net.relay import Relay


@contextlib.contextmanager
def held_answer_is_released_before_it_is_stored() -> Iterator[None]:
    """The answer that fills the turn is never sent."""

    def answer(self: Any, data: bytes) -> None:
        if self._held or len(data) <= connection.HELD_BYTES_MAX:
            if not self._held:
                self.hub.hold(self)
            self._held += data
        else:
            self.write(data)

    with mock.patch.object(Connection, "_answer", answer):
        yield


@contextlib.contextmanager
def kept_connection_is_closed_over_a_long_rest() -> Iterator[None]:
    """Bytes that came with the head count against the budget, but not when keep-alive is announced."""

    def settle_keep_alive(self: Any) -> None:
        body, limit = self.body, self.connection.hub.limits.drain_bytes_max
        if isinstance(body, FixedBody) and body.remaining - len(self.connection.tail) > limit:
            self.keep_alive = False

    drain, discard = Connection._drain, Connection._discard

    def drain_with_budget(self: Any, body: Any) -> None:
        self._budget = self.hub.limits.drain_bytes_max
        drain(self, body)

    def discard_with_budget(self: Any, view: memoryview) -> None:
        if self._phase is Phase.DRAIN:
            self._budget -= len(view)
        discard(self, view)
        if self._phase is Phase.DRAIN and self._budget < 0:
            self._linger()

    with (
        mock.patch.object(Exchange, "settle_keep_alive", settle_keep_alive),
        mock.patch.object(Connection, "_drain", drain_with_budget),
        mock.patch.object(Connection, "_discard", discard_with_budget),
    ):
        yield


@contextlib.contextmanager
def answers_do_not_wait_for_small_bodies() -> Iterator[None]:
    """What Go's clients do not survive."""
    with mock.patch.object(exchange, "is_read_first", return_value=False):
        yield


@contextlib.contextmanager
def application_does_not_say_that_the_connection_ends() -> Iterator[None]:
    """aiohttp knows nothing of what is left of a body."""

    async def announce(request: object, response: object) -> None:
        pass

    with mock.patch.object(handover, "_announce", announce):
        yield


@contextlib.contextmanager
def relay_stops_the_body_at_the_head_of_the_answer() -> Iterator[None]:
    """An owner that answers while it reads waits for the rest for ever."""
    take_body = Relay.take_body

    def take(self: Any, view: memoryview) -> int:
        return 0 if self._answer_body is not None else take_body(self, view)

    with mock.patch.object(Relay, "take_body", take):
        yield


PLANTS = (
    held_answer_is_released_before_it_is_stored,
    kept_connection_is_closed_over_a_long_rest,
    answers_do_not_wait_for_small_bodies,
    application_does_not_say_that_the_connection_ends,
    relay_stops_the_body_at_the_head_of_the_answer,
)
