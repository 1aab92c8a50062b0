"""When a backend may be asked: a rate, slower while it is overloaded, and a pause after failures."""

from contextlib import ExitStack

import pytest

from ais.backend import pacing
from ais.backend.pacing import Breaker, Rate
from ais.base.units import Duration
from ais.config.sections import BackendRate


def test_a_rate_is_kept() -> None:
    """Turns follow each other at the rate of this target's share, by verb where that is configured."""
    rate = Rate(BackendRate(interval=Duration(60), max_tokens=600, per_op_max_tokens="delete:60", enabled=True))
    start = 100.0
    waits = [rate.wait_s(start, "get", 0.5) for _ in range(16)]
    assert waits[:5] == [0.0] * 5  # the turns of the last second
    assert waits[-1] == pytest.approx(waits[-2] + 0.2)
    assert rate.wait_s(start, "delete", 0.5) == 0.0
    assert rate.wait_s(start, "delete", 0.5) == pytest.approx(1.0)


def test_an_overloaded_backend_is_asked_less() -> None:
    """Each time it says so the rate is halved, down to a limit, and comes back while it answers."""
    rate = Rate(BackendRate(interval=Duration(60), max_tokens=60, enabled=True))

    def step() -> float:
        first = rate.wait_s(0.0, "get", 1.0)
        return rate.wait_s(0.0, "get", 1.0) - first

    for _ in range(5):
        step()
    assert step() == pytest.approx(1.0)
    rate.overloaded()
    assert step() == pytest.approx(2.0)
    for _ in range(100):
        rate.overloaded()
    assert step() == pytest.approx(1 / pacing.SHARE_MIN)
    for _ in range(1000):
        rate.answered()
    assert step() == pytest.approx(1.0)


def test_a_backend_that_fails_is_left_alone() -> None:
    """Failures in a row open the breaker for longer and longer; one call tries, and its success closes it."""
    breaker = Breaker()
    for _ in range(pacing.FAILURES_MAX - 1):
        breaker.failed(0.0)
    assert breaker.wait_s(0.0) == 0.0
    breaker.failed(0.0)
    assert breaker.wait_s(0.0) == pacing.PAUSE_S
    assert breaker.wait_s(pacing.PAUSE_S) == 0.0  # this one tries
    assert breaker.wait_s(pacing.PAUSE_S) > 0.0  # all others do not
    breaker.failed(pacing.PAUSE_S)
    assert breaker.wait_s(pacing.PAUSE_S) == 2 * pacing.PAUSE_S
    breaker.succeeded(pacing.PAUSE_S)
    assert breaker.wait_s(pacing.PAUSE_S) == 0.0


def test_a_backend_that_does_not_answer_is_left_alone() -> None:
    """While many wait and none is answered, for long; not for a slow one that answers others, nor when they ended."""
    breaker = Breaker()
    with ExitStack() as stack:
        for number in range(pacing.FAILURES_MAX - 1):
            stack.enter_context(breaker.waiting(float(number)))
        assert breaker.wait_s(1000.0) == 0.0
        with breaker.waiting(10.0):
            late_s = 10.0 + pacing.SILENCE_S
            assert breaker.wait_s(late_s - 0.1) == 0.0
            assert breaker.wait_s(late_s) == pacing.PAUSE_S
            breaker.succeeded(late_s)
            assert breaker.wait_s(late_s) == 0.0
            assert breaker.wait_s(late_s + pacing.SILENCE_S) > 0.0
        assert breaker.wait_s(late_s + pacing.SILENCE_S) == 0.0


def test_limits_of_verbs_are_checked() -> None:
    """What cannot be read is refused when it is set."""
    for text in ("get", "get:x", "list:5"):
        with pytest.raises(ValueError, match="per_op_max_tokens"):
            BackendRate(per_op_max_tokens=text)
