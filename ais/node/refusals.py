"""Who was refused, in the log: what they asked for, from where, and why; never what they showed.

A few lines a second, and how many there were besides: whoever is refused decides how often that happens.
"""

from collections.abc import Callable

from structlog.typing import FilteringBoundLogger

from ais.api.errors import status_of
from ais.base.errors import AccessDenied, AisError, NotReady
from ais.net.http import Request
from ais.s3 import via
from ais.s3.errors import S3Error

PER_SECOND_MAX = 10
PATH_LEN_MAX, REASON_LEN_MAX = 200, 500
_REFUSED = (401, 403)
Keys = Callable[[str], tuple[bytes, ...]]


class Refusals:
    """One per process."""

    def __init__(self, log: FilteringBoundLogger, monotonic: Callable[[], float]) -> None:
        self._log, self._monotonic = log, monotonic
        self._second = self._count = 0

    def note(self, error: BaseException, method: str, path: str, client: str) -> None:
        """Log an error that refuses (401, 403). `path`: no query, which may be a signature; `client`: `ip:port`."""
        if not isinstance(error, AisError):
            return
        status = getattr(error, "status", 0) or status_of(error)
        if status not in _REFUSED:
            return
        second = int(self._monotonic())
        if second != self._second:
            if (more := self._count - PER_SECOND_MAX) > 0:
                self._log.info("more requests were refused", requests=more)
            self._second, self._count = second, 0
        self._count += 1
        if self._count <= PER_SECOND_MAX:
            reason = str(error)[:REASON_LEN_MAX]
            self._log.info(
                "request refused", status=status, method=method, path=path[:PATH_LEN_MAX], client=client, reason=reason
            )

    def note_hot(self, error: BaseException, request: Request, keys_of: Keys, me: str, now_s: float) -> None:
        """The same for a request of the data path; its client is whom the node names that passed it on."""
        client = request.remote
        if isinstance(error, AisError) and request.headers.is_internal:
            try:
                found = via.read(request, keys_of, me, now_s)
            except (S3Error, AccessDenied, NotReady):
                found = None
            client = found.remote if found is not None else client
        self.note(error, request.method, request.path, client)
