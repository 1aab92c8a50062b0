"""Other clusters that buckets are replicated to (`net.s3_replicas`): requests to them, signed.

The key whose ID stands in the URL of a cluster is one of the access keys of this cluster, which keeps its secret
sealed; disabled, it opens nothing here.
"""

from typing import Protocol
from urllib.parse import urlsplit

from ais.auth import signing
from ais.auth.keys import KeyRing
from ais.base.errors import NotReady
from ais.config.node import NodeConfig
from ais.env import Env

_DEFAULT_PORTS = {"http": ":80", "https": ":443"}
"""What clients leave out of `Host`, which is signed."""


class Host(Protocol):
    """What is needed of the node. The values are replaced, never changed."""

    @property
    def config(self) -> NodeConfig: ...
    @property
    def keyring(self) -> KeyRing: ...
    @property
    def env(self) -> Env: ...


class ReplicaClusters:
    """One per node."""

    def __init__(self, host: Host) -> None:
        self._host = host

    def address(self, name: str) -> str:
        """The URL of a cluster with the ID of its key; empty: the cluster is not known."""
        return self._host.config.cluster.net.replica_clusters.get(name, "")

    def request(self, name: str, method: str, target: str, lines: dict[str, str]) -> tuple[str, dict[str, str]]:
        """URL and header lines of a request, these (lower-case) among them.

        Raise `NotReady` when the cluster, or the secret of its key, is not known.
        """
        address = urlsplit(self.address(name))
        if not address.hostname:
            raise NotReady(f'no cluster is called "{name}": name it in net.s3_replicas')
        host = address.netloc.rpartition("@")[2].removesuffix(_DEFAULT_PORTS[address.scheme])
        url = f"{address.scheme}://{host}{target}"
        if not address.username:
            return url, lines
        credential = self._host.keyring.lookup(address.username)
        if credential is None:
            raise NotReady(
                f'the cluster "{name}" is asked with the access key {address.username}, whose secret is not known: '
                f"ais auth key create USER --id {address.username} --secret SECRET"
            )
        now_s = self._host.env.clock.now_ns() / 1e9
        signed = signing.lines_of(
            method, host, target, b"", key_id=address.username, secret=credential.secret, now_s=now_s, more=lines
        )
        return url, lines | signed
