"""Steps that requests are made of."""

from collections.abc import Callable, Hashable

from harness.faults.model import Outcomes, State, Step


def read(key: int) -> Step:
    """Look at a register; the outcome is its value."""
    return Step((key,), lambda state, _: (state, state[key]), is_read=True)


def write(key: int, change: Callable[[Hashable], tuple[Hashable, Hashable]]) -> Step:
    """Change one register: `change` takes its value and returns the next one and the outcome."""

    def apply(state: State, _: Outcomes) -> tuple[State, Hashable]:
        value, outcome = change(state[key])
        return (*state[:key], value, *state[key + 1 :]), outcome

    return Step((key,), apply)


def replaced(state: State, key: int, value: Hashable) -> State:
    """The state with another value in one register."""
    return (*state[:key], value, *state[key + 1 :])


def put(key: int, value: Hashable) -> Step:
    """Store a value whatever was there."""
    return write(key, lambda _: (value, "ok"))


def remove(key: int) -> Step:
    """Remove what is there."""
    return write(key, lambda value: (None, "absent" if value is None else "ok"))


def capture(key: int) -> Step:
    """Take the value that a later step of the same request uses."""
    return Step((key,), lambda state, _: (state, state[key]), is_read=True)


def paste(key: int) -> Step:
    """Store what the first step captured."""

    def apply(state: State, before: Outcomes) -> tuple[State, Hashable]:
        return (state, "absent") if before[0] is None else (replaced(state, key, before[0]), "ok")

    return Step((key,), apply)


def remove_captured(key: int) -> Step:
    """Remove what the first step captured, unless something newer is there; that it is gone already is as good."""

    def apply(state: State, before: Outcomes) -> tuple[State, Hashable]:
        if state[key] is not None and state[key] != before[0]:
            return state, "kept"
        return replaced(state, key, None), "ok"

    return Step((key,), apply)
