"""What may be true: the possible states of a few registers, given every request and every answer so far.

A family is a handful of names, one register each. A request is an operation of one or more steps; a step happens at one
moment between the request and its answer, and steps of different requests happen in any order. A *world* is a state
plus how far each unfinished operation has come in it. The model keeps the set of all worlds that explain every answer
(the on-line form of Wing and Gong's check for linearizability); when an answer leaves none, nothing a correct store
could do explains it. Registers that an unfinished request connects (a rename touches two) are judged together, as one
cell, the others each by itself: worlds multiply only where they must.

An operation whose answer never came stays unfinished: it may take effect, or not, until it expires.
"""

import itertools
import math
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

State = tuple[Hashable, ...]
Outcomes = tuple[Hashable, ...]

WORLDS_MAX = 20_000
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
    span: frozenset[int] = frozenset()
    """Registers that it looks at beside those of its steps."""
    is_lost: bool = False
    """Its answer will not come."""

    @property
    def keys(self) -> frozenset[int]:
        """Every register that it connects."""
        return self.span.union(*(step.keys for step in self.steps))

    @property
    def is_read(self) -> bool:
        """Whether it changes nothing."""
        return all(step.is_read for step in self.steps)


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


def _next(outcomes: Outcomes) -> int | None:
    """The first step that has not happened yet."""
    return next((index for index, outcome in enumerate(outcomes) if outcome is WAITING), None)


class _Elsewhere:
    def __repr__(self) -> str:
        return "elsewhere"


ELSEWHERE: Hashable = _Elsewhere()
"""In the state of a cell: a register that is not of this cell."""


@dataclass(eq=False)
class Cell:
    """Registers that are judged together: their possible worlds, and the operations on them that are not finished."""

    keys: frozenset[int]
    worlds: frozenset[World]
    unfinished: dict[int, Operation] = field(default_factory=dict)

    def reachable(self, enough: int | None = None) -> set[World]:
        """All worlds after any further changes; with `enough` perhaps only so many and some.

        Reads happen as late as possible: before a change of their register, or when their answer is there. Any other
        moment gives the same outcomes.
        """
        changes = [one for one in self.unfinished.values() if not one.is_read]
        reads = [one for one in self.unfinished.values() if one.is_read]
        found, open_ends = set(self.worlds), list(self.worlds)
        while open_ends:
            for following in _after_a_change(open_ends.pop(), changes, reads):
                if following not in found:
                    found.add(following)
                    open_ends.append(following)
            if enough is not None and len(found) > enough:
                break
            if len(found) > WORLDS_MAX:
                raise AssertionError(f"more than {WORLDS_MAX} worlds: the load is too much for the model")
        return found

    def forget(self, operation: Operation, worlds: Iterable[World]) -> None:
        """Go on in these worlds, without an operation that is finished. Raise `Impossible` when there is none."""
        left = frozenset(world.without(operation) for world in worlds)
        if not left:
            raise Impossible
        del self.unfinished[operation.id]
        self.worlds = left

    def joined(self, other: "Cell") -> "Cell":
        """Both as one cell."""
        worlds = frozenset(
            World(
                tuple(b if a is ELSEWHERE else a for a, b in zip(mine.state, theirs.state, strict=True)),
                tuple(sorted((*mine.begun, *theirs.begun))),
            )
            for mine in self.worlds
            for theirs in other.worlds
        )
        return Cell(self.keys | other.keys, worlds, self.unfinished | other.unfinished)

    def parted(self) -> "list[Cell]":
        """One cell for each register, when nothing connects them any more."""
        if len(self.keys) == 1 or any(len(one.keys) > 1 for one in self.unfinished.values()):
            return [self]
        cells = [self._only(key) for key in self.keys]
        return cells if math.prod(len(cell.worlds) for cell in cells) == len(self.worlds) else [self]

    def _only(self, key: int) -> "Cell":
        unfinished = {one.id: one for one in self.unfinished.values() if key in one.keys}
        worlds = frozenset(
            World(
                tuple(value if at == key else ELSEWHERE for at, value in enumerate(world.state)),
                tuple(one for one in world.begun if one.id in unfinished),
            )
            for world in self.worlds
        )
        return Cell(frozenset({key}), worlds, unfinished)


def _after_a_change(world: World, changes: Sequence[Operation], reads: Sequence[Operation]) -> Iterator[World]:
    """The worlds one step of a change later, with any of the reads of the same register before it."""
    for operation in changes:
        index = _next(world.outcomes(operation))
        if index is None:
            continue
        keys = operation.steps[index].keys
        waiting = [one for one in reads if one.steps[0].keys[0] in keys and _next(world.outcomes(one)) is not None]
        for count in range(len(waiting) + 1):
            for before in itertools.combinations(waiting, count):
                earlier = world
                for one in before:
                    earlier = earlier.after(one, 0)
                yield earlier.after(operation, index)


class Family:
    """The registers with one state to begin with, and what is known since."""

    def __init__(self, state: State) -> None:
        whole = Cell(frozenset(range(len(state))), frozenset({World(state)}))
        self.cells = whole.parted()

    def begin(self, operation: Operation) -> None:
        """A request is being sent. A read has one step."""
        assert len(operation.steps) == 1 or not operation.is_read
        touched = [cell for cell in self.cells if cell.keys & operation.keys]
        cell = touched[0]
        for other in touched[1:]:
            cell = cell.joined(other)
        self.cells = [*(one for one in self.cells if one not in touched), cell]
        cell.unfinished[operation.id] = operation

    def possible(self, key: int) -> set[Hashable]:
        """The values one register may have now."""
        return {world.state[key] for world in self._cell_of(key).reachable()}

    def is_narrow(self, worlds_max: int) -> bool:
        """Whether all registers together could be in at most so many worlds."""
        count = 1
        for cell in self.cells:
            count *= len(cell.reachable(worlds_max) if cell.unfinished else cell.worlds)
            if count > worlds_max:
                return False
        return True

    def is_open(self, operation: Operation) -> bool:
        """Whether the operation is not finished."""
        return any(operation.id in cell.unfinished for cell in self.cells)

    @property
    def unfinished(self) -> list[Operation]:
        """The operations that are not finished."""
        return [one for cell in self.cells for one in cell.unfinished.values()]

    @property
    def lost(self) -> int:
        """How many operations may still take effect though nobody waits for them."""
        return sum(one.is_lost for one in self.unfinished)

    def answered(self, operation: Operation, accepts: Callable[[Outcomes], bool]) -> None:
        """The answer came: it happened, with outcomes that `accepts` takes. Raise `Impossible`."""
        cell = self._cell_with(operation)
        worlds = cell.reachable()
        if operation.is_read:
            worlds = {
                world if _next(world.outcomes(operation)) is None else world.after(operation, 0) for world in worlds
            }
        cell.forget(
            operation,
            [world for world in worlds if _next(outcomes := world.outcomes(operation)) is None and accepts(outcomes)],
        )
        self._part(cell)

    def refused(self, operation: Operation) -> None:
        """It certainly has not happened and will not. Raise `Impossible` if something that was seen says otherwise."""
        cell = self._cell_with(operation)

        def is_untouched(world: World) -> bool:
            return all(
                outcome is WAITING or step.is_read
                for step, outcome in zip(operation.steps, world.outcomes(operation), strict=True)
            )

        cell.forget(operation, filter(is_untouched, cell.worlds))
        self._part(cell)

    def abandoned(self, operation: Operation) -> None:
        """A read whose answer does not matter, or a change that can take effect no more but may have done so."""
        cell = self._cell_with(operation)
        cell.forget(operation, cell.worlds if operation.is_read else cell.reachable())
        self._part(cell)

    def happened(self, operation: Operation) -> None:
        """An operation without an answer turns out to have happened. Raise `Impossible`."""
        self.answered(operation, lambda _: True)

    def _cell_of(self, key: int) -> Cell:
        return next(cell for cell in self.cells if key in cell.keys)

    def _cell_with(self, operation: Operation) -> Cell:
        return next(cell for cell in self.cells if operation.id in cell.unfinished)

    def _part(self, cell: Cell) -> None:
        self.cells.remove(cell)
        self.cells += cell.parted()
