"""The other targets of a sort: their state, their files, bytes of their shards. One that is restarted is waited for."""

import asyncio
import os
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar
from urllib.parse import quote

from ais.api import codec, headers
from ais.api.dsort import DSORT, SortTask, State, Wanted
from ais.api.errors import decode_error
from ais.base.errors import AisError, Conflict, NotFound, NotReady, Unreachable
from ais.meta.smap import Snode
from ais.net.client import PeerClient
from ais.target.host import Host

T = TypeVar("T")
POLL_S = 0.25
CALL_TIMEOUT_S = 60.0


class Partners:
    """Of one job."""

    def __init__(self, host: Host, peers: PeerClient, task: SortTask) -> None:
        self._host = host
        self._peers = peers
        self._task = task
        self._base = f"{DSORT}/{task.uuid}"

    async def state(self, number: int) -> State:
        """How far a target is. Raise what it failed with, and `Unreachable` when it is away for too long."""
        return await self._waiting(number, lambda: self._state(number))

    async def until(self, numbers: Sequence[int], is_there: Callable[[State], bool]) -> list[State]:
        """Wait until all of these are as far. Raise as `state`."""
        found = []
        for number in numbers:
            while not is_there(state := await self.state(number)):
                await self._host.env.clock.sleep(POLL_S)
            found.append(state)
        return found

    async def fetch(self, number: int, name: str, path: str) -> None:
        """Bring a file of another target to `path`. Raise as `state`."""
        await self._waiting(number, lambda: self._fetch(number, name, path))

    async def content(self, number: int, wanted: Sequence[Wanted]) -> list[bytes]:
        """Bytes of another target's shards. Raise as `state`, `Conflict` when a shard has changed."""
        body = codec.to_msgpack(list(wanted))
        data = await self._waiting(number, lambda: self._call(number, "POST", "content", body))
        found, at = [], 0
        for one in wanted:
            found.append(data[at : at + one.size])
            at += one.size
        if at != len(data):
            raise Conflict(f"t[{self._task.targets[number]}] sent {len(data)} bytes of {at}")
        return found

    async def _state(self, number: int) -> State:
        return codec.from_json(await self._call(number, "GET", "state"), State)

    async def _waiting(self, number: int, ask: Callable[[], Awaitable[T]]) -> T:
        """Ask again while the target is away, at most as long as the job may wait."""
        clock = self._host.env.clock
        began_s = clock.monotonic()
        while True:
            try:
                return await ask()
            except (Unreachable, NotReady) as error:
                if clock.monotonic() - began_s > self._task.timeout_s:
                    raise Unreachable(f"t[{self._task.targets[number]}] was away for too long: {error}") from None
            await clock.sleep(POLL_S)

    def _node(self, number: int) -> Snode:
        node = self._host.smap.tmap.get(self._task.targets[number])
        if node is None:
            raise NotFound(f"t[{self._task.targets[number]}], which takes part in the sort, has left the cluster")
        return node

    async def _call(self, number: int, method: str, what: str, body: bytes = b"") -> bytes:
        url = f"{self._node(number).control.url}{self._base}/{what}"
        answer = await self._peers.call(
            method, url, headers={headers.CALLER_ID: self._host.snode.id}, body=body, timeout_s=CALL_TIMEOUT_S
        )
        if answer.status != 200:
            raise decode_error(answer.status, answer.body, url)
        return answer.body

    async def _fetch(self, number: int, name: str, path: str) -> None:
        url = f"{self._node(number).control.url}{self._base}/files/{quote(name)}"
        mine = {headers.CALLER_ID: self._host.snode.id}
        async with self._peers.open_stream("GET", url, headers=mine, timeout_s=CALL_TIMEOUT_S) as incoming:
            if incoming.status != 200:
                raise decode_error(incoming.status, b"".join([chunk async for chunk in incoming.chunks]), url)
            file = await asyncio.to_thread(open, f"{path}.new", "wb")
            try:
                async for chunk in incoming.chunks:
                    await asyncio.to_thread(file.write, chunk)
            finally:
                await asyncio.to_thread(file.close)
        await asyncio.to_thread(os.rename, f"{path}.new", path)


def explain(error: BaseException) -> str:
    """What to tell about a failure."""
    return str(error) if isinstance(error, AisError) else f"{type(error).__name__}: {error}"
