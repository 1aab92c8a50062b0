"""How often clients may ask for objects of a bucket: this process's share of `rate_limit.frontend`. No I/O.

Each verb has turns of its own, as in AIStore: one every `interval / max_tokens`, and `burst_size` more at once at each
gateway after a rest. Gateways share the rate equally, workers share what their gateway has; clients that compute owners
themselves and go straight to targets are not counted.
"""

import math
from collections.abc import Callable

from ais.api.bucket import Bck
from ais.base.errors import RateLimited
from ais.meta.bmd import Bucket
from ais.meta.smap import UNAVAILABLE, Smap

VERBS = ("GET", "PUT", "DELETE")
"""What is counted."""
_KNOWN_MAX = 4096


class Rates:
    """Turns of all buckets; `sharers` processes of each gateway take requests."""

    def __init__(self, smap: Callable[[], Smap], now_s: Callable[[], float], sharers: int = 1) -> None:
        self._smap = smap
        self._now_s = now_s
        self._sharers = sharers
        self._next_s: dict[tuple[Bck, str], float] = {}

    def take(self, bucket: Bucket, verb: str) -> None:
        """Take a turn for a request. Raise `RateLimited` when it is not due."""
        limit = bucket.props.rate_limit.frontend
        if not limit.enabled or verb not in VERBS:
            return
        tokens = limit.tokens(verb)
        if not tokens:
            return
        gateways = sum(1 for proxy in self._smap().pmap.values() if not proxy.flags & UNAVAILABLE)
        step_s = float(limit.interval) * max(gateways, 1) * self._sharers / tokens
        now_s, key = self._now_s(), (bucket.bck, verb)
        turn_s = max(self._next_s.get(key, -math.inf), now_s - limit.burst_size // self._sharers * step_s)
        if turn_s > now_s:
            raise RateLimited(
                f"too many requests: {bucket.bck.cname()} takes {tokens} {verb} per {limit.interval}: try again in"
                f" {round(turn_s - now_s, 1):g} s, or raise rate_limit.frontend of the bucket"
            )
        if len(self._next_s) >= _KNOWN_MAX:
            self._next_s.clear()
        self._next_s[key] = turn_s + step_s


def is_limited(bucket: Bucket) -> bool:
    """Whether requests for objects of a bucket are counted."""
    return bucket.props.rate_limit.frontend.enabled
