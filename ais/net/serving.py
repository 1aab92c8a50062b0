"""What the parts of an exchange see of what is above them: the client's connection, and the exchange itself.

Uploads, files, relays and the hand-over to the application each do one thing for an exchange and call back when it is
done. This is all that they may call, so that each can be read, and tried, without what uses it.
"""

from collections.abc import Callable
from typing import Protocol

from ais.base.errors import AisError
from ais.net.body import Body
from ais.net.http import Request, Sink
from ais.net.wire import Wire


class Client(Wire):
    """The connection of a client: what it sent and nobody could use yet, and the end of it."""

    __slots__ = ("tail",)

    tail: bytearray
    """Bytes received that could not be used yet. Replaced, never changed in place: views of it may be in use."""

    def unread(self, data: memoryview) -> None:
        """Put bytes back before those kept."""
        self.tail = bytearray(data) + self.tail

    def refuse(self, error: AisError, request: Request | None = None) -> None:
        """Answer with an error and give the connection up: what follows on it cannot be understood."""
        raise NotImplementedError


class Serving(Protocol):
    """An exchange. `body` is what the client still owes, or None."""

    request: Request
    body: Body | None
    keep_alive: bool

    @property
    def connection(self) -> Client:
        """Whose request it is."""

    @property
    def owes_body(self) -> bool:
        """Whether the body has not been taken completely."""

    @property
    def awaits_body(self) -> bool:
        """Whether the client should be sending the body."""

    def ask_for_body(self) -> None:
        """Send `100 Continue` when the client waits for it."""

    def pump(self) -> None:
        """Use what was kept as far as it can be used now, then receive again if there is room."""

    def read_rest(self, then: Callable[[], None]) -> None:
        """Call `then` once the rest of a small body is read, or will not come, or turns out not to be small."""

    def settle_keep_alive(self) -> None:
        """Decide, before the head is written, whether an unread body is worth reading to keep the connection."""

    def finish_upload(self, sink: Sink) -> None:
        """The body is complete and written."""

    def handover_done(self, *, keep_alive: bool) -> None:
        """The application answered."""

    def finish(self) -> None:
        """The answer is on its way."""

    def fail(self, error: BaseException) -> None:
        """The sink refused the rest of the body, or the relay has no answer."""

    def cut_off(self) -> None:
        """There will be no answer, or no more of it than has come."""
