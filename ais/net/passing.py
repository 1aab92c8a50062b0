"""Requests that one process of a node passes on to another: who sent them travels in a header line.

Only a server whose connections all come from a sibling may believe that line (`believe`); the sibling drops what a
client sent under that name.
"""

from collections.abc import Awaitable

from ais.net.http import AnyReply, Forward, Peer, Request, Route

HEADER = "Ais-Passed-On"
_HEADER = HEADER.lower()


def pass_on(request: Request, url: str) -> Forward:
    """Have the sibling at `url` answer what came; it must know of a client that closes, which may send no body
    (`leftover`)."""
    request.as_sent()
    closes = "" if request.keep_alive else "Connection: close\r\n"
    known = " known" if request.is_known else ""
    return Forward(url, f"{HEADER}: {request.scheme} {request.remote}{known}\r\n{closes}".encode())


def believe(route: Route) -> Route:
    """Serve requests that were passed on as those of the client that sent them."""

    def answer(request: Request) -> AnyReply | Awaitable[AnyReply] | None:
        note = request.headers.get(_HEADER)
        if note is not None:
            scheme, remote, *known = note.split(" ")
            request.peer = Peer(remote, request.peer.networks, scheme)
            request.is_known = bool(known)
        return route(request)

    return answer
