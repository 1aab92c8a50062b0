"""Messages between nodes whose content names its author: nobody speaks for another, whatever it signs with."""

from collections.abc import Callable

from ais.api import codec
from ais.base.errors import AccessDenied
from ais.node.election import TAKE_OVER, VOTE
from ais.node.membership import JOIN, LEAVE
from ais.node.messages import JoinRequest, LeaveRequest, Sync, TakeOver, VoteRequest
from ais.node.reign import METASYNC

AUTHORS: dict[tuple[str, str], Callable[[bytes], str]] = {
    ("PUT", METASYNC): lambda body: codec.from_msgpack(body, Sync).primary.id,
    ("POST", VOTE): lambda body: codec.from_msgpack(body, VoteRequest).candidate.id,
    ("POST", TAKE_OVER): lambda body: codec.from_msgpack(body, TakeOver).primary_id,
    ("POST", JOIN): lambda body: codec.from_msgpack(body, JoinRequest).node.id,
    ("POST", LEAVE): lambda body: codec.from_msgpack(body, LeaveRequest).node_id,
}
"""By method and path: the ID of the node in whose name a body speaks."""


def check_author(method: str, path: str, body: bytes, signer: str) -> None:
    """Raise `AccessDenied` for a message that names another node than the one that signed it, `BadRequest` for none."""
    author_of = AUTHORS.get((method, path))
    if author_of is not None and (author := author_of(body)) != signer:
        raise AccessDenied(f"{method} {path} speaks for {author[:40]} and is signed by {signer[:40]}")
