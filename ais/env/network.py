"""The network between nodes, as membership code sees it: one call to one peer. `ais.net.client` makes the real one."""

from typing import NamedTuple, Protocol


class Answer(NamedTuple):
    """What a peer answered: HTTP status, header values by lower-case name, body."""

    status: int
    headers: dict[str, str]
    body: bytes


class Network(Protocol):
    """Control-plane calls to peers."""

    async def call(
        self,
        method: str,
        url: str,
        *,
        query: dict[str, str] | None = None,
        headers: dict[str, str] | None = None,
        body: bytes = b"",
        timeout_s: float,
    ) -> Answer:
        """One request, redirects not followed. Raise `Unreachable` when no answer came within `timeout_s`."""
        ...
