"""How long a job will still take, from how far it was when. Pure: no clock, no disk.

The time since the start is divided into steps of equal length, which get longer as the job does. What is left is done
at the speed of all steps but the slowest: a repair that stands still for a while, because clients or other programs
need the machine, goes on afterwards as it did before. What happens for minutes, or again and again, will happen again,
so only a limited time does not count. On recorded repairs a mean over everything, or over the last minute, was wrong
more often in short ones, and leaving out a fifth of all time in long ones; a median counts nothing in bursts of work.
"""

STEP_S = 5.0
STEPS_MAX = 64
SLOWEST = 0.2
PASSED_S_MAX = 50.0
"""The share of the time that does not count, and the most of it."""
STEPS_MIN = 5
"""With fewer, all count."""


class Speed:
    """Of one job. Times are seconds of one clock that does not jump; `done` may be anything that is counted."""

    def __init__(self, began_s: float) -> None:
        self._step_s = STEP_S
        self._at_s, self._done = began_s, 0
        """Where the step began that is not over."""
        self._steps: list[tuple[float, float]] = []
        """Duration and what was done, of each that is."""

    def note(self, at_s: float, done: int) -> None:
        """So much is done now. Call often: it costs nothing most of the time."""
        elapsed_s = at_s - self._at_s
        if elapsed_s < self._step_s:
            return
        count, whole = done - self._done, int(elapsed_s / self._step_s)
        if whole > STEPS_MAX:  # nobody knows how it went meanwhile
            whole = 1
        self._steps += [(elapsed_s / whole, count / whole)] * whole
        self._at_s, self._done = at_s, done
        while len(self._steps) > STEPS_MAX:
            self._step_s *= 2
            pairs = zip(self._steps[::2], [*self._steps[1::2], (0.0, 0.0)], strict=False)
            self._steps = [(one[0] + other[0], one[1] + other[1]) for one, other in pairs]

    def left_s(self, at_s: float, done: int, total: int) -> float | None:
        """How long the rest takes; None: that cannot be told (yet)."""
        steps = [*self._steps, (at_s - self._at_s, float(done - self._done))]
        steps = sorted((one for one in steps if one[0] > 0), key=lambda one: one[1] / one[0])
        elapsed_s = sum(duration_s for duration_s, _ in steps)
        passed_s = min(SLOWEST * elapsed_s, PASSED_S_MAX) if len(steps) >= STEPS_MIN else 0.0
        worked_s = counted = 0.0
        for duration_s, count in steps:
            used_s = max(0.0, duration_s - passed_s)
            passed_s -= duration_s - used_s
            worked_s += used_s
            counted += count * used_s / duration_s
        return (total - done) * worked_s / counted if counted > 0 else None
