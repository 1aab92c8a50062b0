"""How far a version of an object is with its replicas, and whether it is one: a fact of it (`ObjectMeta.facts`). Pure.

At its source the fact is `<revision> <destination>=<state>...`, with a state for each destination: `P` pending, `C`
completed, `F` failed. The revision counts the changes of the version that are replicated: its content, then each change
of its metadata. A replica has `<revision> REPLICA`, the revision of the source that it has.
"""

from collections.abc import Collection, Iterable, Mapping

FACT = "replication"
PENDING, COMPLETED, FAILED, REPLICA = "PENDING", "COMPLETED", "FAILED", "REPLICA"
_BEGUN, _DONE, _REFUSED = "P", "C", "F"

Facts = Mapping[str, str]


def _states(facts: Facts) -> dict[str, str]:
    pairs = (one.partition("=") for one in facts.get(FACT, "").split(" ")[1:])
    return {name: state for name, is_state, state in pairs if is_state}


def revision(facts: Facts) -> int:
    """How often the version was changed; 0: it has nothing to do with replicas."""
    return int(facts[FACT].partition(" ")[0]) if FACT in facts else 0


def is_replica(facts: Facts) -> bool:
    """Whether it came from another bucket."""
    return facts.get(FACT, "").endswith(REPLICA)


def status(facts: Facts) -> str:
    """`PENDING`, `COMPLETED`, `FAILED`, `REPLICA`; empty: neither."""
    if FACT not in facts:
        return ""
    if is_replica(facts):
        return REPLICA
    found = set(_states(facts).values())
    return FAILED if _REFUSED in found else PENDING if _BEGUN in found else COMPLETED if found else ""


def waiting(facts: Facts) -> list[str]:
    """The destinations that lack it."""
    return [name for name, state in _states(facts).items() if state == _BEGUN]


def completed(facts: Facts) -> list[str]:
    """The destinations that have it."""
    return [name for name, state in _states(facts).items() if state == _DONE]


def begun(facts: Facts, destinations: Iterable[str], *, can_be: bool = True) -> dict[str, str]:
    """The facts of a version that is to get to these destinations, again or for the first time.

    Not `can_be`: nobody but its client can read it, so all are refused.
    """
    state = _BEGUN if can_be else _REFUSED
    states = _states(facts) | dict.fromkeys(destinations, state)
    text = " ".join(f"{name}={state}" for name, state in states.items())
    return {**facts, FACT: f"{revision(facts) + 1} {text}"} if states else dict(facts)


def forgotten(facts: Facts, known: Collection[str]) -> dict[str, str]:
    """The facts without the destinations that lack it and are none any more; `known`: those that are."""
    states = {name: state for name, state in _states(facts).items() if name in known or state == _DONE}
    if is_replica(facts) or len(states) == len(_states(facts)):
        return dict(facts)
    text = " ".join(f"{name}={state}" for name, state in states.items())
    return {**facts, FACT: f"{revision(facts)} {text}".rstrip()}  # which counts on: somebody may have what it counted


def ended(facts: Facts, destination: str, of_revision: int, *, is_there: bool) -> dict[str, str]:
    """The facts after a destination got that revision, or refused it; a later one still has to get there."""
    states = _states(facts)
    if states.get(destination) is None or revision(facts) != of_revision:
        return dict(facts)
    states[destination] = _DONE if is_there else _REFUSED
    text = " ".join(f"{name}={state}" for name, state in states.items())
    return {**facts, FACT: f"{of_revision} {text}"}


def arrived(facts: Facts, of_revision: int) -> dict[str, str]:
    """The facts of a replica."""
    return {**facts, FACT: f"{of_revision} {REPLICA}"}


def without(facts: Facts) -> dict[str, str]:
    """The facts of a new object that was made of this one."""
    return {name: value for name, value in facts.items() if name != FACT}
