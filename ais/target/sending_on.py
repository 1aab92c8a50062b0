"""Clients of the native API that came to a target which does not own the object (any more): where they are sent on.

Only by a later map than that of whoever sent them here: a client is not sent back and forth. Where clients have to
prove that they may, this target vouches for what it was shown, as a gateway does (`ais.auth.marks`).
"""

from ais.api import query
from ais.net.http import Request
from ais.node.clients import Clients
from ais.target.address import PREFIX
from ais.target.front import Misplaced
from ais.target.host import Host
from ais.target.maps import MARK, mark_of, marked

_OURS = (f"{MARK}=", f"{query.PROXY_ID}=", f"{query.REDIRECT_TIME}=")


class SendingOn:
    """One per target."""

    def __init__(self, host: Host, clients: Clients) -> None:
        self._host = host
        self._clients = clients

    def redirect(self, request: Request, error: BaseException) -> tuple[int, str] | None:
        """Status and URL of the redirect to the owner; None for another error, or for who has a later map himself."""
        version = int(self._host.smap.version)
        if not isinstance(error, Misplaced) or not request.path.startswith(PREFIX) or version <= mark_of(request.query):
            return None
        return 301 if request.method == "GET" else 307, error.url + self._target(request, error.owner.id, version)

    def _target(self, request: Request, owner_id: str, version: int) -> str:
        if not self._clients.must_prove or self._clients.is_node(request):
            return marked(request.target, version)
        given = [pair for pair in request.query.split("&") if pair and not pair.startswith(_OURS)]
        asked = "&".join((*given, f"{MARK}={version}", f"{query.PROXY_ID}={self._host.snode.id}"))
        location = self._clients.mark(owner_id, request.method, f"{request.path}?{asked}")
        return f"{location}&{query.REDIRECT_TIME}={self._clients.now_ns}"
