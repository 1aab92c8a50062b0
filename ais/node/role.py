"""What a role (proxy or target) does when cluster metadata changes. Implemented by `ais.proxy` and `ais.target`."""

from typing import Any, Protocol

from ais.meta.bmd import BMD
from ais.meta.smap import Smap
from ais.net.http import Reply, Request


class Role(Protocol):
    """The node calls these one at a time, in the order of the metadata's versions."""

    async def prepare_bmd(self, old: BMD, new: BMD) -> None:
        """Make sure that `apply_bmd` of this change will succeed; raise an `AisError` to veto it.

        Nothing is decided yet: either `apply_bmd` or `abort_bmd` follows, or the process ends.
        """
        ...

    async def abort_bmd(self, old: BMD, new: BMD) -> None:
        """Undo what `prepare_bmd` of this change did; also called when it raised. Idempotent."""
        ...

    async def load_bmd(self, bmd: BMD) -> None:
        """Begin with what was persisted, at start: nothing is made anew, and nothing served before the node is in."""
        ...

    def follow_map(self, smap: Smap) -> None:
        """The node goes by this map from now on; must not block or raise."""
        ...

    async def has_objects(self) -> bool:
        """Whether this node holds any object."""
        ...

    def serve(self) -> None:
        """The node is in its cluster and knows all its metadata: requests may come."""
        ...

    async def apply_bmd(self, old: BMD, new: BMD) -> None:
        """Bring the disk in line with `new`; on return the node may say that it took it.

        Called before the new BMD is persisted, and again after a crash in between: it must be idempotent. `prepare_bmd`
        need not have been called. An error here means that this node cannot serve.
        """
        ...

    def error_reply(self, request: Request, error: BaseException) -> Reply | None:
        """The answer to what went wrong with a request of an API with errors of its own (S3); None for any other."""
        ...

    def status(self) -> dict[str, Any]:
        """The role's own fields of `what=node_status`, such as `capacity`, as JSON-ready values."""
        ...

    def daemon_value(self, what: str) -> object | None:
        """The role's own answer to `GET /v1/daemon?what=...`, JSON-ready; None when it has none."""
        ...

    def state_flags(self) -> int:
        """The role's bits of `NodeStateInfo.flags` (wire contract §12.4)."""
        ...
