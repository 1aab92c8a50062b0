"""Marks on redirects: a gateway that admitted a request vouches for it, so that the target need not see a token.

The mark (`&sig=`, before the time of the redirect) covers the target's ID, the method and everything of the URL before
it. It is made with the key of the two nodes, and good for five to six minutes, for whoever has the URL: clients drop
their tokens when they are redirected. All marks of one minute end at the same time, so that the same request gets the
same mark, and both nodes can remember it.
"""

import hmac
from hashlib import blake2b

MARK = "&sig="
LIFE_S = 300
STEP_S = 60
_TIME = "&utm="
_TAG_BYTES = 16
_EXPIRY_DIGITS = 9
_NS = 1_000_000_000


def end_of(now_ns: int) -> int:
    """When a mark ends that is made now (Unix seconds)."""
    return (now_ns // (STEP_S * _NS) + 1) * STEP_S + LIFE_S


def sign(key: bytes, target_id: str, method: str, location: str, now_ns: int) -> str:
    """`location` (path and query, ending with the gateway's ID) with its mark."""
    end = f"{end_of(now_ns):0{_EXPIRY_DIGITS}x}"
    return f"{location}{MARK}{end}{_tag(key, target_id, method, f'{location}{MARK}{end}')}"


def split(target: str) -> tuple[str, str] | None:
    """What of a request target a mark may cover, mark included, and the time of the redirect with its name."""
    head, time, sent = target.rpartition(_TIME)
    return (head, time + sent) if time and MARK in head else None


def admitted(key: bytes, target_id: str, method: str, head: str) -> tuple[str, int] | None:
    """What was signed, and until when that is good (Unix seconds), when the mark at the end of `head` is right."""
    location, _, mark = head.rpartition(MARK)
    end, tag = mark[:_EXPIRY_DIGITS], mark[_EXPIRY_DIGITS:]
    if not hmac.compare_digest(tag.encode(), _tag(key, target_id, method, f"{location}{MARK}{end}").encode()):
        return None
    return location, int(end, 16)


def gateway_of(head: str) -> str:
    """Who made the mark, as the URL says."""
    return head.rpartition(MARK)[0].rpartition("pid=")[2]


def _tag(key: bytes, target_id: str, method: str, location: str) -> str:
    text = f"{target_id} {method} {location}".encode()
    return blake2b(text, key=key, digest_size=_TAG_BYTES, person=b"ais redirect").hexdigest()
