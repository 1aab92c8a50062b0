"""How a node ends when it is taken out of its cluster: what it forgets, and whether its process goes on."""

import msgspec

from ais.api import actions, codec


class Farewell(msgspec.Struct, frozen=True):
    """The value of `decommission-node` and `decommission` as the primary sends them to a node.

    `rm_user_data`: everything a target holds is removed. `no_shutdown`: the process stays, and asks for no admission
    until it is told to. `is_last`: the whole cluster ends, so the node forgets it; data that stays is set aside.
    """

    rm_user_data: bool = False
    no_shutdown: bool = False
    is_last: bool = False

    def message(self) -> bytes:
        """What to send to the node."""
        return codec.to_json({"action": actions.DECOMMISSION_NODE, "name": "", "value": self})
