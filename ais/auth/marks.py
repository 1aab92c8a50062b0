"""Marks on redirects: a gateway that admitted a request vouches for it, so that the target need not see a token.

The mark (`&sig=`, the last query parameter) covers the target's ID, the method and everything of the URL before it, the
time included. It is good for five minutes, for whoever has the URL: clients drop their tokens when they are redirected.
"""

import hmac
from hashlib import blake2b

MARK = "&sig="
LIFE_S = 300
_TIME = "&utm="
_TAG_BYTES = 16
_NS = 1_000_000_000


def sign(secret: bytes, target_id: str, method: str, location: str) -> str:
    """`location` (path and query, ending with the time of the redirect in nanoseconds) with its mark."""
    return f"{location}{MARK}{_tag(secret, target_id, method, location)}"


def admitted(secret: bytes, target_id: str, method: str, target: str, now_ns: int) -> str | None:
    """What was signed, when a request target has a mark that is good now; None otherwise."""
    location, mark, tag = target.rpartition(MARK)
    if not mark or not hmac.compare_digest(tag.encode(), _tag(secret, target_id, method, location).encode()):
        return None
    sent = location.rpartition(_TIME)[2]
    if not sent.isdecimal() or abs(now_ns - int(sent)) > LIFE_S * _NS:
        return None
    return location


def _tag(secret: bytes, target_id: str, method: str, location: str) -> str:
    text = f"{target_id} {method} {location}".encode()
    return blake2b(text, key=secret, digest_size=_TAG_BYTES, person=b"ais redirect").hexdigest()
