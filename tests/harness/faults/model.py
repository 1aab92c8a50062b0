"""What may be true: the possible states of a few registers, given every request and every answer so far.

A family is a handful of names that are changed together by some request (a rename touches two). Its state is one value
for each. A request is an operation of one or more steps; a step happens at one moment between the request and its
answer, and steps of different requests happen in any order. A *world* is a state plus how far each unfinished
operation has come in it. The model keeps the set of all worlds that explain every answer (the on-line form of Wing and
Gong's check for linearizability); when an answer leaves none, nothing a correct store could do explains it.

An operation whose answer never came stays unfinished: it may take effect, or not, until it expires.
"""

import itertools
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

State = tuple[Hashable, ...]
Outcomes = tuple[Hashable, ...]

WORLDS_MAX = 4096
"""More possibilities than this mean that the load asks too much of one family at once."""


class Step(NamedTuple):
    """One moment of an operation. `apply` takes the state and the outcomes of the steps before, and returns the next
    state and its own outcome. `keys` are the registers it changes, or the one it reads; a read changes nothing."""

    keys: tuple[int, ...]
    apply: Callable[[State, Outcomes], tuple[State, Hashable]]
    is_read: bool = False


@dataclass(slots=True, eq=False)
class Operation:
    """A request. `text` describes it in a history."""

    id: int
    text: str
    steps: tuple[Step, ...]
    is_lost: bool = False
    """Its answer will not come."""
    in_order: bool = True
    """Steps happen in their order; those of a listing in any."""


class Progress(NamedTuple):
    """How far an operation has come in a world: per step its outcome, or `WAITING`."""

    id: int
    outcomes: Outcomes


class _Waiting:
    def __repr__(self) -> str:
        return "-"


WAITING: Hashable = _Waiting()


class World(NamedTuple):
    """A state, and the unfinished operations that have begun in it, by ascending ID."""

    state: State
    begun: tuple[Progress, ...] = ()

    def outcomes(self, operation: Operation) -> Outcomes:
        """What its steps came to so far."""
        return next((one.outcomes for one in self.begun if one.id == operation.id), (WAITING,) * len(operation.steps))

    def without(self, operation: Operation) -> "World":
        """With the operation forgotten."""
        return World(self.state, tuple(one for one in self.begun if one.id != operation.id))

    def after(self, operation: Operation, index: int) -> "World":
        """After one more step of an operation."""
        before = self.outcomes(operation)
        state, outcome = operation.steps[index].apply(self.state, before)
        outcomes = (*before[:index], outcome, *before[index + 1 :])
        others = [one for one in self.begun if one.id != operation.id]
        return World(state, tuple(sorted((*others, Progress(operation.id, outcomes)))))


class Impossible(Exception):
    """No world explains an answer."""


def _ready(operation: Operation, outcomes: Outcomes) -> list[int]:
    waiting = [index for index, outcome in enumerate(outcomes) if outcome is WAITING]
    return waiting[:1] if operation.in_order else waiting


@dataclass(eq=False)
class Family:
    """The registers, in `worlds`, and the operations that are not finished."""

    worlds: frozenset[World]
    unfinished: dict[int, Operation] = field(default_factory=dict)

    def begin(self, operation: Operation) -> None:
        """A request is being sent."""
        self.unfinished[operation.id] = operation

    def possible(self, key: int) -> set[Hashable]:
        """The values one register may have now."""
        return {world.state[key] for world in self._reachable(frozenset())}

    @property
    def lost(self) -> int:
        """How many operations may still take effect though nobody waits for them."""
        return sum(one.is_lost for one in self.unfinished.values())

    def answered(self, operation: Operation, accepts: Callable[[Outcomes], bool]) -> None:
        """The answer came: it happened, with outcomes that `accepts` takes. Raise `Impossible`."""
        done = {
            world.without(operation)
            for world in self._reachable(frozenset({operation.id}))
            if accepts(world.outcomes(operation))
        }
        if not done:
            raise Impossible
        del self.unfinished[operation.id]
        self.worlds = frozenset(done)

    def refused(self, operation: Operation) -> None:
        """It certainly has not happened and will not. Raise `Impossible` if something that was seen says otherwise."""
        kept = frozenset(
            world.without(operation)
            for world in self.worlds
            if all(
                outcome is WAITING or operation.steps[index].is_read
                for index, outcome in enumerate(world.outcomes(operation))
            )
        )
        if not kept:
            raise Impossible
        del self.unfinished[operation.id]
        self.worlds = kept

    def abandoned(self, operation: Operation) -> None:
        """A read whose answer does not matter, or a change that can take effect no more but may have done so."""
        if any(not step.is_read for step in operation.steps):
            self.worlds = frozenset(self._reachable(frozenset()))
        del self.unfinished[operation.id]
        self.worlds = frozenset(world.without(operation) for world in self.worlds)

    def happened(self, operation: Operation) -> None:
        """An operation without an answer turns out to have happened. Raise `Impossible`."""
        self.answered(operation, lambda _: True)

    def _reachable(self, wanted: frozenset[int]) -> set[World]:
        """All worlds after any further changes, and with the wanted operations finished.

        Reads happen as late as possible: before a change of their register, or when their answer is there. Any other
        moment gives the same outcomes.
        """
        changes = [one for one in self.unfinished.values() if any(not step.is_read for step in one.steps)]
        reads = [one for one in self.unfinished.values() if all(step.is_read for step in one.steps)]
        found, open_ends = set(self.worlds), list(self.worlds)
        while open_ends:
            world = open_ends.pop()
            for following in self._steps_from(world, changes, reads):
                if following not in found:
                    found.add(following)
                    open_ends.append(following)
            if len(found) > WORLDS_MAX:
                raise AssertionError(f"more than {WORLDS_MAX} worlds: the load is too much for the model")
        if not wanted:
            return found
        return set(self._finished(found, [self.unfinished[one] for one in wanted]))

    def _steps_from(self, world: World, changes: Sequence[Operation], reads: Sequence[Operation]) -> list[World]:
        found = []
        for operation in changes:
            for index in _ready(operation, world.outcomes(operation)):
                keys = operation.steps[index].keys
                waiting = [
                    (read, at)
                    for read in reads
                    for at in _ready(read, world.outcomes(read))
                    if read.steps[at].keys[0] in keys
                ]
                for count in range(len(waiting) + 1):
                    for before in itertools.combinations(waiting, count):
                        earlier = world
                        for read, at in before:
                            earlier = earlier.after(read, at)
                        found.append(earlier.after(operation, index))
        return found

    def _finished(self, worlds: set[World], wanted: list[Operation]) -> list[World]:
        found = []
        for world in worlds:
            finished = world
            for operation in wanted:
                is_read = all(step.is_read for step in operation.steps)
                while is_read and (waiting := _ready(operation, finished.outcomes(operation))):
                    finished = finished.after(operation, waiting[0])
            if all(not _ready(operation, finished.outcomes(operation)) for operation in wanted):
                found.append(finished)
        return found
