"""When a backend may be asked: decisions without I/O. A rate that was configured, and a pause after failures."""

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count, islice

from ais.config.sections import BackendRate, per_op

FAILURES_MAX = 5
"""In a row that nobody answered; then the backend is left alone for a while."""
PAUSE_S, PAUSE_S_MAX = 2.0, 60.0
SILENCE_S = 15.0
"""After that `FAILURES_MAX` calls that wait count as failures, if none was answered: their own ends take minutes."""
SHARE_MIN = 1 / 64
_SLOWER, _FASTER = 0.5, 1.02


class Breaker:
    """Of one backend. After `FAILURES_MAX` failures in a row it is open: calls fail at once, but for one that tries.

    So it is while as many wait and nothing is answered: those try for all.
    """

    def __init__(self) -> None:
        self._failures = 0
        self._pause_s = PAUSE_S
        self._open_until_s = 0.0
        self._numbers = count()
        self._waiting: dict[int, float] = {}
        """Since when calls wait for an answer, the longest first."""
        self._answered_s = 0.0

    @contextmanager
    def waiting(self, now_s: float) -> Iterator[None]:
        """Around a call that is answered soon, or not at all."""
        number = next(self._numbers)
        self._waiting[number] = now_s
        try:
            yield
        finally:
            del self._waiting[number]

    def silence_s(self, now_s: float) -> float:
        """How long nobody is to ask because many wait and none is answered; 0: it is not so."""
        since_s = next(islice(self._waiting.values(), FAILURES_MAX - 1, None), now_s)
        return PAUSE_S if now_s - max(since_s, self._answered_s) >= SILENCE_S else 0.0

    def wait_s(self, now_s: float) -> float:
        """How long nobody is to ask; 0: ask now, and say how that went."""
        if silence_s := self.silence_s(now_s):
            return silence_s
        if self._failures < FAILURES_MAX:
            return 0.0
        if now_s < self._open_until_s:
            return self._open_until_s - now_s
        self._open_until_s = now_s + self._pause_s  # whoever asks now tries for all
        return 0.0

    def succeeded(self, now_s: float) -> None:
        """It answered, whatever it said."""
        self._failures, self._pause_s, self._answered_s = 0, PAUSE_S, now_s

    def failed(self, now_s: float) -> None:
        """Nobody answered."""
        self._failures += 1
        if self._failures >= FAILURES_MAX:
            self._open_until_s = now_s + self._pause_s
            self._pause_s = min(self._pause_s * 2, PAUSE_S_MAX)


class Rate:
    """Requests of one bucket to its backend, by this target: `share` of what is configured for the whole cluster.

    A backend that says it is overloaded is asked half as often, and more often again as it answers.
    """

    def __init__(self, configured: BackendRate) -> None:
        self.configured = configured
        self._per_op = per_op(configured.per_op_max_tokens)
        self._adapted = 1.0
        self._next_s: dict[str, float] = {}

    def wait_s(self, now_s: float, verb: str, share: float) -> float:
        """How long a request has to wait; its turn is taken."""
        is_own = verb in self._per_op
        tokens = self._per_op[verb] if is_own else self.configured.max_tokens
        if tokens <= 0:
            return 0.0
        key = verb if is_own else ""
        step_s = float(self.configured.interval) / (tokens * share * self._adapted)
        # at most a second's worth of turns that nobody took
        turn_s = max(self._next_s.get(key, 0.0), now_s - min(1.0, float(self.configured.interval)))
        self._next_s[key] = turn_s + step_s
        return max(turn_s - now_s, 0.0)

    def answered(self) -> None:
        """The backend answered."""
        self._adapted = min(1.0, self._adapted * _FASTER)

    def overloaded(self) -> None:
        """The backend said that it is overloaded."""
        self._adapted = max(SHARE_MIN, self._adapted * _SLOWER)
