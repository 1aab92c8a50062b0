"""One seed: some clients, some requests each, against fresh servers."""

import asyncio
import contextlib
import logging
import random
from collections.abc import Callable, Iterator
from unittest import mock

from ais.net import sending
from harness.simnet.client import Client, WrongAnswer
from harness.simnet.loop import SimLoop
from harness.simnet.plan import BAD_ENDS, READ_FIRST_BYTES, random_plan
from harness.simnet.world import World

PATIENCE_TURNS = 200
"""Turns without anything happening after which nothing will."""
SCALED = {
    "ais.net.connection.REQUESTS_PER_TURN": 3,
    "ais.net.connection.HELD_BYTES_MAX": 256,
    "ais.net.hub.HELD_ANSWERS_MAX": 3,
    "ais.net.exchange.READ_FIRST_BYTES_MAX": READ_FIRST_BYTES,
    "ais.net.leftover.READ_FIRST_BYTES_MAX": READ_FIRST_BYTES,
    "ais.net.sending.SMALL_BYTES_MAX": 1 << 10,
    "ais.net.sending.WARM_BYTES": 2 << 10,
    "ais.net.sending.TLS_CHUNK_BYTES": 1 << 10,
    "ais.net.upload.LENT_BYTES_MIN": 256,
    "ais.net.upload.TURN_BYTES_MIN": 512,
    "ais.net.wire.DIRECT_BYTES_MIN": 512,
}
"""Bounds of the code, made as small as the bodies: each is met in every few seeds."""


class Model:
    """Runs seeds. One at a time in a process; use as a context manager."""

    def __enter__(self) -> "Model":
        self._stack = contextlib.ExitStack()
        # What is made up to fail would be logged, with tracebacks.
        self._stack.enter_context(mock.patch("ais.net.app._log"))
        logging.disable(logging.CRITICAL)
        self._stack.callback(logging.disable, logging.NOTSET)
        for name, value in SCALED.items():
            self._stack.enter_context(mock.patch(name, value))
        self._loop = SimLoop()
        self._world = World(self._loop)
        return self

    def __exit__(self, *_: object) -> None:
        self._world.close()
        self._loop.close()
        self._stack.close()

    def run(self, seed: int) -> None:
        """Raise `AssertionError` when something came that should not have, or did not come."""
        loop = self._loop
        loop.rng.seed(seed)
        loop.now = 0.0
        loop.errors.clear()
        try:
            with self._caches(loop.rng):
                loop.run_until_complete(self._scenario(loop.rng))
            assert not loop.errors, loop.errors
        except Exception as error:
            error.add_note(f"seed {seed}")
            raise

    @contextlib.contextmanager
    def _caches(self, rng: random.Random) -> Iterator[None]:
        """In some seeds the file is now and then not in the page cache."""
        if rng.random() < 0.8:
            yield
            return

        def sometimes(real: object) -> object:
            return lambda *args: rng.random() < 0.5 and real(*args)

        with (
            mock.patch.object(sending, "is_cached", sometimes(sending.is_cached)),
            mock.patch.object(sending, "read_cached", sometimes(sending.read_cached)),
        ):
            yield

    async def _scenario(self, rng: random.Random) -> None:
        world = self._world
        await world.start()
        hub = world.front._hub
        is_crowd = rng.random() < 0.1
        count = rng.randint(4, 8) if is_crowd else rng.choice((1, 1, 2))
        clients = [self._client(rng, number, is_tiny=is_crowd) for number in range(count)]
        try:
            await self._drive(rng, clients, is_crowd=is_crowd)
            await asyncio.sleep(0)
        finally:
            for client in clients:
                client.close()
            await self._until(lambda: not world.front.connection_count)
            left = world.front.connection_count
            await world.stop()
        await self._until(lambda: not world.streams and all(sink.ends for sink in world.sinks))
        assert not left, "a connection outlives its client"
        assert not world.streams, "a stream was not closed"
        assert all(sink.ends == 1 for sink in world.sinks), "a sink was not ended once"
        assert hub is not None
        assert not hub.buffers.out, "a buffer was not given back"

    async def _drive(self, rng: random.Random, clients: list[Client], *, is_crowd: bool) -> None:
        waiting, idle = list(clients), 0
        while waiting:
            for client in waiting:
                if is_crowd or len(waiting) == 1 or rng.random() < 0.6:
                    idle = 0 if client.step() else idle + 1
            waiting = [client for client in waiting if not client.is_done]
            await asyncio.sleep(0 if idle < PATIENCE_TURNS // 2 else 0.001)
            if idle > PATIENCE_TURNS * len(clients):
                raise WrongAnswer("nothing happens any more: " + "; ".join(client.waits_for for client in waiting))

    async def _until(self, claim: Callable[[], object]) -> None:
        for _ in range(PATIENCE_TURNS):
            if claim():
                return
            await asyncio.sleep(0)

    def _client(self, rng: random.Random, number: int, *, is_tiny: bool) -> Client:
        is_tls = rng.random() < 0.15
        count = rng.choice((1, 2)) if is_tiny else rng.choice((1, 2, 3, 4, 6))
        plans = [random_plan(rng, 100 * (number + 1) + index, is_tiny=is_tiny) for index in range(count)]
        self._world.plans.update((plan.number, plan) for plan in plans)
        leaves = "no" if is_tiny else rng.choice(("no", "no", "no", "half", "cut", "reset"))
        if is_tls and leaves in ("half", "cut"):
            leaves = "no"
        bad_end = rng.choice(BAD_ENDS) if leaves == "no" and not is_tiny and rng.random() < 0.1 else b""
        sock = self._loop.dial(self._world.port, is_tls=is_tls)
        return Client(rng, sock, plans, is_tls=is_tls, bad_end=bad_end, leaves=leaves)
