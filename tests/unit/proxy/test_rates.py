"""Turns of clients at a bucket: how many at once, how many in the long run, and whose share."""

import pytest

from ais.api.bucket import Bck
from ais.base.errors import RateLimited
from ais.base.units import Duration
from ais.config.sections import FrontendRate, RateLimit
from ais.meta.bmd import BMD, Bprops, Bucket
from ais.meta.smap import NetInfo, Smap, Snode
from ais.proxy.rates import Rates

NOTHING = NetInfo()


class Clock:
    """Stands until it is told to go on."""

    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def bucket(**frontend: object) -> Bucket:
    limit = FrontendRate(**{"enabled": True, "interval": Duration(60), "max_tokens": 60, "burst_size": 0, **frontend})
    return BMD("u", 1).with_bucket(Bck("b"), Bprops(rate_limit=RateLimit(frontend=limit))).require(Bck("b"))


def gateways(count: int) -> Smap:
    nodes = (Snode.make("proxy", f"p{index}", NOTHING, NOTHING, NOTHING) for index in range(count))
    return Smap(pmap={node.id: node for node in nodes})


def served(rates: Rates, clock: Clock, asked: Bucket, verb: str, seconds: int) -> int:
    """How many are served of eight a second."""
    count = 0
    for _ in range(seconds * 8):
        try:
            rates.take(asked, verb)
            count += 1
        except RateLimited:
            pass
        clock.now_s += 0.125
    return count


def test_a_machine_that_has_just_started() -> None:
    """Its clock, which counts from then on, may be younger than the rest that a burst needs."""
    clock, hourly = Clock(), bucket(interval=Duration(3600), max_tokens=1, burst_size=2)
    rates = Rates(lambda: gateways(2), clock)
    assert served(rates, clock, hourly, "GET", 1) == 3


@pytest.mark.parametrize(
    ("count", "sharers", "frontend", "verb", "expected"),
    [
        (1, 1, {}, "GET", 60),
        (3, 1, {}, "GET", 20),
        (1, 2, {}, "GET", 30),
        (1, 1, {"burst_size": 7}, "GET", 67),
        (1, 1, {"per_op_max_tokens": "put:30 delete:6"}, "PUT", 30),
        (1, 1, {"per_op_max_tokens": "put:30 delete:6"}, "DELETE", 6),
        (1, 1, {"per_op_max_tokens": "put:30 delete:6"}, "GET", 60),
        (1, 1, {"per_op_max_tokens": "head:5"}, "GET", 60),
        (1, 1, {"max_tokens": 0}, "GET", 480),
        (1, 1, {"enabled": False}, "GET", 480),
        (1, 1, {}, "HEAD", 480),
    ],
)
def test_a_minute(count: int, sharers: int, frontend: dict[str, object], verb: str, expected: int) -> None:
    """In a minute in which clients ask eight times a second, so many are served."""
    clock = Clock()
    rates = Rates(lambda: gateways(count), clock, sharers)
    assert abs(served(rates, clock, bucket(**frontend), verb, 60) - expected) <= 1


def test_a_rest_brings_the_burst_back_and_no_more() -> None:
    """After an hour without requests as many come at once as at first."""
    clock, limited = Clock(), bucket(burst_size=4)
    rates = Rates(lambda: gateways(1), clock)
    for _ in range(2):
        for _ in range(5):
            rates.take(limited, "GET")
        with pytest.raises(RateLimited, match=r"60 GET per 1m: try again in 1 s"):
            rates.take(limited, "GET")
        clock.now_s += 3600
