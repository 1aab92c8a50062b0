"""What is left of a body when its answer is known: read before the answer, after it, or never. Decisions only.

    the rest                       before the answer        after it          the connection
    up to 256 KiB                  is read                  -                 kept
    up to `drain_bytes_max`        -                        is read           kept
    longer                         -                        as far as the     closed, and the answer says so
                                                            client needs
    of unknown length              up to 256 KiB            as above          kept if that was all
    perhaps never sent             -                        as above          closed, and the answer says so

Reading a small rest first is what Go's server does, and its clients rely on it: they rewind or free a body as soon as
they have the answer. A body is perhaps never sent when its sender waits for `100 Continue`, or announced that it closes
and has sent nothing yet (over https AIStore's SDK first asks where to send a body, wire contract §27.19).
"""

from ais.net.body import Body, FixedBody
from ais.net.http import Request

READ_FIRST_BYTES_MAX = 256 << 10


def is_read_first(body: Body, request: Request, *, has_begun: bool) -> bool:
    """Whether the answer waits for the rest of `body`. `has_begun`: the client is known to send it."""
    if isinstance(body, FixedBody) and body.remaining > READ_FIRST_BYTES_MAX:
        return False
    return has_begun or (request.keep_alive and not request.headers.expects_continue)


def is_kept(body: Body, request: Request, drain_bytes_max: int, *, has_begun: bool) -> bool:
    """Whether the connection is kept of a client that owes the rest of `body` when it gets the head of the answer."""
    if not isinstance(body, FixedBody) or body.remaining > drain_bytes_max:
        return False
    return has_begun or not request.headers.expects_continue
