"""Failures that only a client can meet."""

from ais.base.errors import Unreachable


class NoConnection(Unreachable):
    """Nobody accepts connections at the endpoint: nothing was sent."""

    def __init__(self, endpoint: str, reason: str) -> None:
        self.endpoint, self.reason = endpoint, reason
        super().__init__(f"cannot connect to {endpoint}: {reason}")
