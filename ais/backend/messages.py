"""What proxies ask targets about buckets of backends: our own protocol, on the control network, as msgpack."""

import msgspec

from ais.api.bucket import Bck
from ais.config.sections import BackendRate, Extra

PATH = "/v1/remote"
BUCKETS, HEAD, PAGE = "buckets", "head", "page"
"""Answered with `BucketsAnswer`, `Extra` and `RemotePage`."""
CREATE, DESTROY, CLUSTERS = "create", "destroy", "clusters"
"""Of other clusters. Answered with `Extra`, `Extra` and `RemoteClusters`."""


class RemoteMsg(msgspec.Struct, frozen=True, omit_defaults=True):
    """`BUCKETS` looks at provider and cluster of `bck`; the fields from `prefix` on are those of `Backend.page`."""

    action: str
    bck: Bck
    extra: Extra = Extra()
    prefix: str = ""
    after: str = ""
    limit: int = 0
    delimiter: str = ""
    rate: BackendRate = BackendRate()


class BucketsAnswer(msgspec.Struct, frozen=True):
    """All buckets of a provider."""

    buckets: list[Bck]
