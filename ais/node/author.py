"""Who made a native request: found out where it entered the cluster, and told the node that it is passed on to."""

from aiohttp import web

from ais.api import headers
from ais.api.access import Access
from ais.api.bucket import Bck
from ais.auth.keys import is_user_name
from ais.auth.tokens import Claims

_AUTHOR: web.RequestKey[str] = web.RequestKey("author", str)
_CLAIMS: web.RequestKey[Claims] = web.RequestKey("claims", Claims)


def note(request: web.Request, claims: Claims) -> None:
    """Remember whom a request is from. What administrators make is theirs in common: nobody's."""
    request[_CLAIMS] = claims
    request[_AUTHOR] = claims.sub if not claims.admin and is_user_name(claims.sub) else ""


def may(request: web.Request, needed: Access, cluster_id: str, bck: Bck) -> bool:
    """Whether who was admitted to something that is about many buckets may do this with one of them."""
    claims = request.get(_CLAIMS)
    return claims is None or claims.permits(needed, cluster_id, bck)


def of(request: web.Request) -> str:
    """Whose is what a request makes: the name of a user; empty, when it is nobody's."""
    if headers.CALLER_ID in request.headers:  # a node's, which has signed it
        return request.headers.get(headers.AUTHOR, "")
    author: str = request.get(_AUTHOR, "")
    return author
