"""Jobs that every target takes part in with the names it owns: by the map that the job was planned by, all of it.

Targets take maps, and begin, one after the other. A name that got another owner meanwhile may have been passed by both.
"""

from ais.base.errors import Busy
from ais.meta.smap import Smap
from ais.reb import plan
from ais.target.host import Host
from ais.target.moves import Moves

MISSED = "targets came or went meanwhile, objects were missed: wait for the rebalance, start again"


class Planned:
    """The part of one target in one job. `look` wherever a name is found to be another target's."""

    def __init__(self, host: Host, moves: Moves, version: int, owners: tuple[tuple[str, ...], tuple[int, ...]]) -> None:
        """`owners`: who owned names by the map of that `version`; 0: by that of now."""
        self._host = host
        self._moves = moves
        self._version = version
        self._owners = plan.Owners(*owners) if version else plan.owners(host.smap)
        self._smap: Smap | None = None
        self._has_missed = False

    async def begin(self) -> None:
        """Wait for the map, for some seconds."""
        await self._moves.until_map(self._version)

    @property
    def is_met(self) -> bool:
        """Whether it was that map all the time."""
        self.look()
        return not self._has_missed

    def look(self) -> None:
        """Note whether the map is still as the job was planned by."""
        if (smap := self._host.smap) is not self._smap:
            self._has_missed |= plan.owners(smap) != self._owners
            self._smap = smap

    def require_all_met(self) -> None:
        """Raise `Busy` when it was another one at any time."""
        if not self.is_met:
            raise Busy(MISSED)
