"""The cluster map: which nodes there are, and where each listens."""

import msgspec

from aisclient import placement
from aisclient.errors import Unavailable

_NOT_OWNING = 4 | 8 | 16
"""Flags of targets in maintenance or on their way out: they own no names."""
_AWAY = 1 << 20
"""Flag of a target that does not answer now, and owns its names all the same."""
_WEIGHT = 100
"""Of a target of which the map says nothing."""
_OWNERS_KEPT = 65536


class _Net(msgspec.Struct, frozen=True):
    url: str = msgspec.field(name="direct_url", default="")


class Node(msgspec.Struct, frozen=True):
    """A gateway or a target."""

    id: str = msgspec.field(name="daemon_id")
    public: _Net = msgspec.field(name="public_net")
    flags: int = 0
    weight: int = _WEIGHT

    @property
    def url(self) -> str:
        """`scheme://host:port` for clients."""
        return self.public.url


class ClusterMap(msgspec.Struct):
    """One version of it, as `GET /v1/daemon?what=smap` answers."""

    proxies: dict[str, Node] = msgspec.field(name="pmap")
    targets: dict[str, Node] = msgspec.field(name="tmap")
    uuid: str = ""
    version: str | int = 0

    @classmethod
    def parse(cls, body: bytes) -> "ClusterMap":
        """Raise `Unavailable` for what is no cluster map: the node has none yet."""
        try:
            return _decoder.decode(body)
        except msgspec.DecodeError as error:
            raise Unavailable(f"no cluster map: {error}") from None

    @property
    def gateways(self) -> list[str]:
        """URLs of all gateways."""
        return [node.url for node in self.proxies.values()]


class Owners:
    """Owners of names under one version of the map."""

    def __init__(self, smap: ClusterMap) -> None:
        self.smap = smap
        self._targets = [node for node in smap.targets.values() if not node.flags & _NOT_OWNING]
        self._digests = [placement.digest(node.id) for node in self._targets]
        weights = [node.weight for node in self._targets]
        self._weights = weights if len(set(weights)) > 1 else []
        self._known: dict[str, str] = {}

    def url(self, uname: str) -> str:
        """Where to read `uname`; empty when its owner is away or there is none: the gateway knows what to do then."""
        found = self._known.get(uname)
        if found is None:
            if not self._targets:
                return ""
            target = self._targets[placement.owner(self._digests, uname, self._weights)]
            found = "" if target.flags & _AWAY else target.url
            if len(self._known) >= _OWNERS_KEPT:
                self._known.clear()
            self._known[uname] = found
        return found


_decoder = msgspec.json.Decoder(ClusterMap, strict=False)
