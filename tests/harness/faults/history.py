"""Every request on a family of names with what came of it, and the violation that ends a run."""

import time
from collections import deque
from dataclasses import dataclass, field

HISTORY = 60


class Violation(Exception):
    """An answer that nothing a correct store could do explains. The text is the whole report."""

    def __init__(self, what: str, report: str) -> None:
        super().__init__(f"{what}\n{report}")
        self.what = what


@dataclass(slots=True, eq=False)
class Entry:
    """One request: when it began and ended, in seconds since the load began."""

    began_s: float
    text: str
    ended_s: float | None = None
    outcome: str = "..."

    def __str__(self) -> str:
        end = f"{self.ended_s:7.2f}" if self.ended_s is not None else "      -"
        return f"{self.began_s:7.2f} {end}  {self.text}  ->  {self.outcome}"


@dataclass(eq=False)
class Log:
    """The last requests of a family."""

    clock: "Clock"
    entries: deque[Entry] = field(default_factory=lambda: deque(maxlen=HISTORY))

    def begin(self, text: str) -> Entry:
        """A request is sent."""
        entry = Entry(self.clock.now_s, text)
        self.entries.append(entry)
        return entry

    def end(self, entry: Entry, outcome: str) -> None:
        """Its answer, or why there is none."""
        entry.ended_s, entry.outcome = self.clock.now_s, outcome

    def __str__(self) -> str:
        return "\n".join(str(entry) for entry in self.entries)


class Clock:
    """Seconds since the load began."""

    def __init__(self) -> None:
        self._began = time.monotonic()

    @property
    def now_s(self) -> float:
        """Now."""
        return time.monotonic() - self._began
