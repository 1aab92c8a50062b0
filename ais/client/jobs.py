"""Calls about jobs, the long-running work of the cluster (wire contract §12.8)."""

import asyncio

from ais.api import actions, codec, query, xact
from ais.api.bucket import Bck
from ais.api.xact import ArgsMsg, QueryMsg, Snap, Status
from ais.base.errors import NotReady, TooSlow, Unreachable, XactionNotFound
from ais.client import answers, paths
from ais.client.transport import Transport

POLL_S = 0.2
POLL_S_FACTOR = 1.5
POLL_S_MAX = 5.0


class Jobs:
    """Made by `Client`. Queries match by any of ID, kind (or display name), bucket and node."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def start(self, args: ArgsMsg) -> str:
        """Start a job; its ID."""
        message = paths.action(actions.START, value=args)
        _, body = await self._transport.call("PUT", paths.CLUSTER, json=message)
        return body.decode()

    async def stop(self, args: ArgsMsg) -> None:
        """Abort the jobs that match. Raise `XactionNotFound`."""
        await self._transport.call("PUT", paths.CLUSTER, json=paths.action(actions.STOP, value=args))

    async def snaps(
        self, *, uuid: str = "", kind: str = "", bck: Bck | None = None, node: str = "", running_only: bool = False
    ) -> dict[str, list[Snap]]:
        """The jobs that match, as each target sees them, by target ID; empty when there are none."""
        wanted = QueryMsg(show_active=True if running_only else None, bck=bck, id=uuid, kind=kind, node=node)
        try:
            body = await self._what("qryxstats", wanted)
        except XactionNotFound:
            return {}
        found = answers.decode(body, dict[str, list[Snap] | None])
        return {target: snaps or [] for target, snaps in found.items()}

    async def status(self, uuid: str = "", *, kind: str = "", bck: Bck | None = None) -> Status:
        """One job of the whole cluster. Raise `XactionNotFound`."""
        return answers.decode(await self._what("status", QueryMsg(id=uuid, kind=kind, bck=bck)), Status)

    async def running(self) -> list[str]:
        """What runs now, as `kind[ID]`."""
        return answers.parse(await self._what("running_all", QueryMsg())) or []

    async def wait(
        self, uuid: str = "", *, kind: str = "", bck: Bck | None = None, timeout_s: float | None = None
    ) -> Status:
        """Wait until a job has ended, well or not; a gateway that restarts meanwhile is waited for.

        One that never ends by itself is waited for until it has nothing to do.

        Raise `XactionNotFound` when it is not known, `TooSlow` when it still runs after `timeout_s`.
        """
        try:
            async with asyncio.timeout(timeout_s):
                return await self._ended(uuid, kind, bck)
        except TimeoutError:
            raise TooSlow(f"job {uuid or kind} still runs after {timeout_s:g} s; it goes on") from None

    async def _ended(self, uuid: str, kind: str, bck: Bck | None) -> Status:
        delay_s = POLL_S
        while True:
            try:
                status = await self._state(uuid, kind, bck)
            except (NotReady, Unreachable):
                pass
            else:
                if status.end_time or status.is_idle is True:
                    return status
            await asyncio.sleep(delay_s)
            delay_s = min(delay_s * POLL_S_FACTOR, POLL_S_MAX)

    async def _state(self, uuid: str, kind: str, bck: Bck | None) -> Status:
        """One job of the whole cluster; of kinds without a status, what its snaps make of it."""
        try:
            return await self.status(uuid, kind=kind, bck=bck)
        except XactionNotFound:
            found = [snap for snaps in (await self.snaps(uuid=uuid, kind=kind, bck=bck)).values() for snap in snaps]
            if not found:
                raise
            return xact.status_of(found)

    async def _what(self, what: str, wanted: QueryMsg) -> bytes:
        body = codec.to_json(wanted)
        _, answer = await self._transport.call("GET", paths.CLUSTER, {query.WHAT: what}, json=body)
        return answer
