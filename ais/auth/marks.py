"""Marks on redirects: a gateway that admitted a request vouches for it, so that the target need not see a token.

The mark (`&sig=`, before the time of the redirect) covers the target's ID, the method and everything of the URL before
it; nothing but that time may follow. It is made with the key of the two nodes, and good for five to six minutes, for
whoever has the URL: clients drop their tokens when they are redirected. All marks of one minute end at the same time,
so that the same request gets the same mark.
"""

import hmac
from collections.abc import Callable, Iterable
from functools import lru_cache
from hashlib import blake2b

MARK = "&sig="
LIFE_S = 300
STEP_S = 60
_TIME = "&utm="
_TIME_START = len(_TIME)
_GATEWAY = "pid="
_GATEWAY_START = len(_GATEWAY)
_TAG_BYTES = 16
_TAG_DIGITS = 2 * _TAG_BYTES
_EXPIRY_DIGITS = 9
_LENGTH = len(MARK) + _EXPIRY_DIGITS + _TAG_DIGITS
_NS = 1_000_000_000
_LEFT_NS_MAX = (LIFE_S + STEP_S + 60) * _NS
"""With a minute for clocks that differ."""
BEGUN_MAX = 1024
KNOWN_MAX = 4096


def end_of(now_ns: int) -> int:
    """When a mark ends that is made now (Unix seconds)."""
    return (now_ns // (STEP_S * _NS) + 1) * STEP_S + LIFE_S


@lru_cache(2)
def _end_text(step: int) -> str:
    return f"{end_of(step * STEP_S * _NS):0{_EXPIRY_DIGITS}x}"


def sign(key: bytes, target_id: str, method: str, location: str, now_ns: int) -> str:
    """`location` (path and query, ending with the gateway's ID) with its mark."""
    signed = f"{location}{MARK}{_end_text(now_ns // (STEP_S * _NS))}"
    tag = _begun(key, target_id, method).copy()
    tag.update(signed.encode())
    return signed + tag.hexdigest()


class Reader:
    """Reads marks that gateways made for one target."""

    def __init__(self, target_id: str, keys_of: Callable[[str], Iterable[bytes]]) -> None:
        """`keys_of` gives what a gateway signs with for this target, and may raise."""
        self._target_id = target_id
        self._keys_of = keys_of
        self._begun: dict[tuple[str, str], tuple[blake2b, ...]] = {}
        self._known: dict[str, int] = {}
        """Of GETs, when marks end that were found right (Unix nanoseconds): all that read an object at the same time
        have the same one."""

    def read(self, method: str, target: str, now_ns: int) -> str | None:
        """A request target without its mark; None when it has none that is good. Raise as `keys_of`."""
        end = target.rfind(_TIME)
        covered, time = target[:end], target[end:]
        if end < 0 or not time[_TIME_START:].isdecimal():  # nobody signed what else is there
            return None
        known_ns = self._known.get(covered) if method == "GET" else None
        until_ns = self._until_ns(method, covered) if known_ns is None else known_ns
        return covered[:-_LENGTH] + time if 0 < until_ns - now_ns <= _LEFT_NS_MAX else None

    def _until_ns(self, method: str, covered: str) -> int:
        gateway_id = covered[covered.rfind(_GATEWAY, 0, -_LENGTH) + _GATEWAY_START : -_LENGTH]
        begun = self._begun.get((gateway_id, method)) or self._begin(gateway_id, method)
        signed, given = covered[:-_TAG_DIGITS], covered[-_TAG_DIGITS:]
        text = signed.encode()
        for one in begun:
            tag = one.copy()
            tag.update(text)
            if hmac.compare_digest(given, tag.hexdigest()):
                until_ns = int(signed[-_EXPIRY_DIGITS:], 16) * _NS
                if method == "GET":
                    self._know(covered, until_ns)
                return until_ns
        return 0

    def _know(self, covered: str, until_ns: int) -> None:
        if len(self._known) >= KNOWN_MAX:
            self._known.clear()
        self._known[covered] = until_ns

    def _begin(self, gateway_id: str, method: str) -> tuple[blake2b, ...]:
        begun = tuple(_begun(key, self._target_id, method) for key in self._keys_of(gateway_id))
        if len(self._begun) >= BEGUN_MAX:
            self._begun.clear()
        self._begun[gateway_id, method] = begun
        return begun


@lru_cache(BEGUN_MAX)
def _begun(key: bytes, target_id: str, method: str) -> blake2b:
    """What all marks for one target and method begin with."""
    text = f"{target_id} {method} ".encode()
    return blake2b(text, key=key, digest_size=_TAG_BYTES, person=b"ais redirect")
