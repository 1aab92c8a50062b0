"""Where this node may go for what clients name: downloads, external key maps."""

import ipaddress

from ais.config import features
from ais.net.egress import Egress
from ais.target.host import Host


def egress_of(host: Host) -> Egress:
    """A client that goes where the configuration of now allows."""
    config = host.config
    return Egress(
        allow_private=bool(int(config.cluster.features) & features.PRIVATE_EGRESS),
        networks=[ipaddress.ip_network(text) for text in config.local.egress_networks],
    )
