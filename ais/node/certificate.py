"""The certificate that this node shows: what it tells about it, and that its files are looked at again."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from ais.base.errors import BadRequest, NotFound
from ais.net.certificates import WARN_S, Certificates

if TYPE_CHECKING:
    from ais.node.node import Node

LOOK_S = 10.0
"""How often the files are looked at."""
WILL_SOON_EXPIRE, EXPIRED, INVALID = 1 << 16, 1 << 17, 1 << 18
"""Bits of `NodeStateInfo.flags`."""
_NAMES = {0: "valid", WILL_SOON_EXPIRE: "will soon expire", EXPIRED: "expired", INVALID: "invalid"}


def flag_of(found: Certificates | None, now_s: float) -> int:
    """The bit that says what is wrong; 0: nothing, or there is no TLS."""
    if found is None:
        return 0
    if now_s >= found.end_s:
        return EXPIRED
    if found.problem:
        return INVALID
    return WILL_SOON_EXPIRE if found.end_s - now_s < WARN_S else 0


class CertificateWatch:
    """Has a process use certificates that have changed. `on_change` is called after each change, on the event loop."""

    def __init__(self, node: "Node", found: Certificates, on_change: Callable[[], None]) -> None:
        self.found = found
        self._node, self._on_change = node, on_change
        self._said = 0, ""

    async def load(self) -> None:
        """Use the files as they are now. Raise `BadRequest`."""
        await self._node.offload(self.found.load)
        self._changed()

    async def look(self) -> None:
        """Use the files if they have changed."""
        try:
            if await self._node.offload(self.found.load_if_changed):
                self._changed()
        except BadRequest:
            pass  # it is in `problem`
        self._say()

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            await self.look()
            await self._node.env.clock.sleep(LOOK_S)

    def _changed(self) -> None:
        self._on_change()
        self._node.log.info("certificate loaded", until=self.found.leaf.not_valid_after_utc.isoformat())

    def _say(self) -> None:
        state = flag_of(self.found, self._node.env.clock.now_ns() / 1e9), self.found.problem
        if state != self._said and (state[0] or self._said[0]):
            until = self.found.leaf.not_valid_after_utc.isoformat()
            self._node.log.warning("certificate", state=_NAMES[state[0]], until=until, problem=state[1])
        self._said = state


def facts(node: "Node") -> dict[str, str]:
    """What `what=tls_certificate` tells. Raise `NotFound` without TLS."""
    if node.certificates is None:
        raise NotFound("no TLS certificate loaders configured: net.http.use_https and net.http.server_crt are not set")
    return node.certificates.found.facts(node.env.clock.now_ns() / 1e9)


async def load(node: "Node") -> None:
    """Use the files of the certificate as they are now. Raise `BadRequest`."""
    if node.certificates is None:
        raise BadRequest("invalid request to reload X509 certs (running plain HTTP)")
    async with node.state.aside():  # other processes of this node look for themselves when that ends
        await node.certificates.load()
