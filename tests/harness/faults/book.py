"""What is known about every name: families in the model, their histories, and which faults may still delay a request.

A change without an answer may take effect until every fault that was on while it ran has ended, and a grace more.
"""

import asyncio
import enum
import itertools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from harness.faults.history import Clock, Entry, Log, Violation
from harness.faults.model import ELSEWHERE, WORLDS_MAX, Family, Impossible, Operation, Outcomes, State, Step, World
from harness.faults.schedule import Fault
from harness.faults.values import Contents

LOST_MAX = 3
"""Changes without an answer after which a family is only read for a while."""
BUSY_MAX = 3
"""Requests on a family at the same time."""


class Size(enum.Enum):
    """What a request asks of the model: how many times more worlds there may be while it is open."""

    READ = 4
    LISTING = 64
    CHANGE = 8
    JOINING = 32
    """A change of several steps, or of several names, which are judged together from then on."""

    @property
    def growth(self) -> int:
        """The factor."""
        return self.value

    @property
    def is_change(self) -> bool:
        """Whether it may be lost and stay open."""
        return self in (Size.CHANGE, Size.JOINING)


@dataclass(eq=False)
class Names:
    """A family with names: `keys` are its registers in words."""

    title: str
    keys: tuple[str, ...]
    family: Family
    log: Log
    in_flight: int = 0

    def takes(self, size: "Size") -> bool:
        """Whether another request does not make the model too large: else the family waits until it is settled."""
        if self.in_flight >= BUSY_MAX or (size.is_change and self.family.lost >= LOST_MAX):
            return False
        return self.family.is_narrow(WORLDS_MAX // 2 // size.growth)


@dataclass(eq=False)
class Period:
    """A fault that happened: from when to when; None: still on."""

    fault: Fault | None
    began_s: float
    ended_s: float | None = None


@dataclass(eq=False)
class _Lost:
    names: Names
    operation: Operation
    began_s: float
    ended_s: float


@dataclass(eq=False)
class Book:
    """Everything that was asked and answered."""

    contents: Contents
    grace_s: float
    lists_sizes: bool = True
    """Whether the sizes that listings tell must be right: they are those of files, of which one may be damaged."""
    clock: Clock = field(default_factory=Clock)
    families: list[Names] = field(default_factory=list)
    periods: list[Period] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)
    _ids: Iterator[int] = field(default_factory=itertools.count)
    _lost: list[_Lost] = field(default_factory=list)

    def family(self, title: str, keys: tuple[str, ...], state: State) -> Names:
        """A new family in a known state."""
        names = Names(title, keys, Family(state), Log(self.clock))
        self.families.append(names)
        return names

    def next_id(self) -> int:
        """A number between those of the requests before and after."""
        return next(self._ids)

    def count(self, what: str) -> None:
        """Count an event for the summary."""
        self.counts[what] = self.counts.get(what, 0) + 1

    def begin(self, names: Names, text: str, *steps: Step, span: Iterable[int] = ()) -> "Asked":
        """A request is about to be sent. `span`: registers its steps look at beside those they change."""
        operation = Operation(next(self._ids), text, steps, frozenset(span))
        return self._asked(names, text, [operation])

    def begin_reads(self, names: Names, text: str, reads: Iterable[Step]) -> "Asked":
        """A request that looks at several registers, each at a moment of its own."""
        return self._asked(names, text, [Operation(next(self._ids), text, (one,)) for one in reads])

    def _asked(self, names: Names, text: str, operations: list[Operation]) -> "Asked":
        for one in operations:
            names.family.begin(one)
        names.in_flight += 1
        return Asked(self, names, operations, names.log.begin(f"#{operations[0].id} {text}"), self.clock.now_s)

    def fault_begins(self, fault: Fault) -> Period:
        """A fault is on from now."""
        self.periods.append(Period(fault, self.clock.now_s))
        return self.periods[-1]

    def fault_ends(self, period: Period) -> None:
        """It is over, the nodes are whole again."""
        period.ended_s = self.clock.now_s

    def lose(self, asked: "Asked") -> None:
        """Remember a change that may still take effect."""
        asked.operation.is_lost = True
        self._lost.append(_Lost(asked.names, asked.operation, asked.began_s, self.clock.now_s))

    def expire(self) -> None:
        """Changes that can take effect no more: from now on they did, or they did not."""
        now_s, left = self.clock.now_s, []
        for lost in self._lost:
            if not lost.names.family.is_open(lost.operation):
                continue
            ends = [
                now_s if period.ended_s is None else period.ended_s
                for period in self.periods
                if period.began_s <= lost.ended_s and (period.ended_s is None or period.ended_s >= lost.began_s)
            ]
            if max([lost.ended_s, *ends]) + self.grace_s > now_s:
                left.append(lost)
                continue
            lost.names.family.abandoned(lost.operation)
            lost.names.log.entries.append(Entry(now_s, f"#{lost.operation.id} can take effect no more", now_s, ""))
        self._lost = left

    async def keep_expiring(self) -> None:
        """For ever."""
        while True:
            await asyncio.sleep(0.25)
            self.expire()

    def violation(self, names: Names, what: str) -> Violation:
        """The report of an answer that cannot be."""
        faults = "\n".join(
            f"{one.began_s:7.2f} {'      -' if one.ended_s is None else f'{one.ended_s:7.2f}'}  {one.fault}"
            for one in self.periods
        )
        worlds = "\n".join(self._world(names, world) for cell in names.family.cells for world in list(cell.worlds)[:8])
        open_changes = "\n".join(f"#{one.id} {one.text}" for one in names.family.unfinished)
        return Violation(
            f"{names.title}: {what}",
            f"-- what was possible before\n{worlds}\n-- without an answer\n{open_changes}\n-- faults (planned times"
            f" beside)\n{faults}\n-- history (began, ended, request, answer)\n{names.log}",
        )

    def _world(self, names: Names, world: World) -> str:
        pairs = zip(names.keys, world.state, strict=True)
        values = ", ".join(f"{key}={value}" for key, value in pairs if value is not ELSEWHERE)
        return f"{values[:1500]} {world.begun or ''}"


@dataclass(eq=False)
class Asked:
    """A request under way. One of the methods ends it."""

    book: Book
    names: Names
    operations: list[Operation]
    """One; of a listing one for each name."""
    entry: Entry
    began_s: float
    is_open: bool = True

    @property
    def operation(self) -> Operation:
        """The only one."""
        (operation,) = self.operations
        return operation

    @property
    def is_lost(self) -> bool:
        """Whether nobody knows what came of it."""
        return any(one.is_lost for one in self.operations)

    def answered(self, outcome: object, *accepts: Callable[[Outcomes], bool]) -> None:
        """It was answered; a predicate for each operation. Raise `Violation` when the answer cannot be."""
        self._end(outcome)
        for operation, accept in zip(self.operations, accepts, strict=True):
            try:
                self.names.family.answered(operation, accept)
            except Impossible:
                raise self.book.violation(self.names, f"{operation.text} -> {outcome}") from None

    def refused(self, outcome: object) -> None:
        """It had no effect, for sure. Raise `Violation` when its effect was seen."""
        self._end(outcome)
        for operation in self.operations:
            try:
                self.names.family.refused(operation)
            except Impossible:
                raise self.book.violation(self.names, f"{operation.text} took effect, but -> {outcome}") from None

    def unanswered(self, outcome: object) -> None:
        """Nobody knows."""
        self._end(outcome)
        for operation in self.operations:
            if operation.is_read:
                self.names.family.abandoned(operation)
            else:
                self.book.lose(self)

    def ended(self, outcome: object) -> None:
        """It is over, and it may have happened, or some of its steps may."""
        self._end(outcome)
        for operation in self.operations:
            self.names.family.abandoned(operation)

    def wrong(self, outcome: object) -> Violation:
        """It was answered with what no request may get."""
        self._end(outcome)
        return self.book.violation(self.names, f"{self.operations[0].text} -> {outcome}")

    def _end(self, outcome: object) -> None:
        assert self.is_open
        self.is_open = False
        self.names.in_flight -= 1
        self.names.log.end(self.entry, str(outcome)[:400])
