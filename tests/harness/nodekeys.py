"""What a node of a test cluster signs its requests with, read from where it keeps it: for tests that play a node."""

import time
from pathlib import Path

from ais.auth import nodes
from ais.auth.nodes import NodeKey
from ais.playground.plan import SECRET_FILE


class NodeKeys:
    """Signs in the name of the nodes of the cluster at `root`."""

    def __init__(self, root: Path) -> None:
        self._key = NodeKey(nodes.read_secret(str(root / SECRET_FILE)), time.time)
        self._foreign = NodeKey(b"the secret of another cluster, as long", time.time)

    def sign(self, caller: str, receiver: str, method: str, target: str, body: bytes) -> dict[str, str]:
        """The header line by which `receiver` takes a request for one of `caller`'s."""
        return {nodes.HEADER: self._key.sign(caller, method, target, body)}

    def foreign(self, caller: str, receiver: str, method: str, target: str, body: bytes) -> dict[str, str]:
        """The same by a node of another cluster."""
        return {nodes.HEADER: self._foreign.sign(caller, method, target, body)}
