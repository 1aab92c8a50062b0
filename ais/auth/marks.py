"""Marks on redirects: a gateway that admitted a request vouches for it, so that the target need not see a token.

The mark (`&sig=`, before the time of the redirect) covers the target's ID, the method and everything of the URL before
it; nothing but that time may follow. It is made with the key of the two nodes, and good for five to six minutes, for
whoever has the URL: clients drop their tokens when they are redirected. All marks of one minute end at the same time.
"""

import hmac
from functools import lru_cache
from hashlib import blake2b
from typing import NamedTuple

MARK = "&sig="
LIFE_S = 300
STEP_S = 60
_TIME = "&utm="
_GATEWAY = "pid="
_TAG_BYTES = 16
_TAG_DIGITS = 2 * _TAG_BYTES
_EXPIRY_DIGITS = 9
_LENGTH = len(MARK) + _EXPIRY_DIGITS + _TAG_DIGITS
_NS = 1_000_000_000
_BEGUN_MAX = 1024


class Found(NamedTuple):
    """A mark in a request target, not yet known to be right."""

    start: int
    end: int
    """Where it begins, and where the time of the redirect follows."""
    gateway_id: str
    """Who made it, as the URL says."""


def end_of(now_ns: int) -> int:
    """When a mark ends that is made now (Unix seconds)."""
    return (now_ns // (STEP_S * _NS) + 1) * STEP_S + LIFE_S


def sign(key: bytes, target_id: str, method: str, location: str, now_ns: int) -> str:
    """`location` (path and query, ending with the gateway's ID) with its mark."""
    signed = f"{location}{MARK}{end_of(now_ns):0{_EXPIRY_DIGITS}x}"
    return signed + _tag(key, target_id, method, signed)


def find(target: str) -> Found | None:
    """The mark of a request target; None when it has none, or goes on behind the time."""
    end = target.rfind(_TIME)
    start = end - _LENGTH
    if start < 0 or not target.startswith(MARK, start) or not target[end + len(_TIME) :].isdecimal():
        return None
    return Found(start, end, target[target.rfind(_GATEWAY, 0, start) + len(_GATEWAY) : start])


def good_until(key: bytes, target_id: str, method: str, target: str, end: int) -> int:
    """Until when the mark before `end` is good (Unix seconds); 0 when that key did not make it for this request."""
    signed, tag = target[: end - _TAG_DIGITS], target[end - _TAG_DIGITS : end]
    if not hmac.compare_digest(tag, _tag(key, target_id, method, signed)):
        return 0
    return int(signed[-_EXPIRY_DIGITS:], 16)


def _tag(key: bytes, target_id: str, method: str, signed: str) -> str:
    tag = _begun(key, target_id, method).copy()
    tag.update(signed.encode())
    return tag.hexdigest()


@lru_cache(_BEGUN_MAX)
def _begun(key: bytes, target_id: str, method: str) -> blake2b:
    """What all marks for one target and method begin with."""
    text = f"{target_id} {method} ".encode()
    return blake2b(text, key=key, digest_size=_TAG_BYTES, person=b"ais redirect")
