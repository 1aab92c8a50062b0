"""Rows of names: they say of a name what was kept last, until it is forgotten."""

import random

from ais.fs.details import CHANGED_MAX, Details, Rows

NAMES = [f"{number:03}" for number in range(400)]


def known(details: Details, first: str, last: str) -> dict[str, str]:
    """What a reader of the rows takes from them."""
    found = {}
    for rows in details.between(first, last):
        assert rows.first <= last
        assert rows.last >= first
        pairs = dict(one.split("=") for one in rows.unpacked().decode().split())
        found.update({name: value for name, value in pairs.items() if name not in rows.changed})
    return {name: value for name, value in found.items() if first <= name <= last}


def test_they_are_what_was_kept_last() -> None:
    """Whatever runs overlap: nothing old, nothing twice, nothing that was forgotten; and most of what can be known."""
    rng = random.Random(7)
    details, model = Details(), dict[str, str]()
    for step in range(3000):
        first, last = sorted(rng.sample(range(len(NAMES)), 2))
        if rng.random() < 0.6:
            name = rng.choice(NAMES)
            details.forget(name)
            model.pop(name, None)
        else:
            last = min(last, first + rng.randrange(40))
            told = {name: str(step) for name in NAMES[first : last + 1]}
            details.keep(Rows.of(NAMES[first], NAMES[last], " ".join(f"{k}={v}" for k, v in told.items()).encode()))
            model |= told
        found = known(details, NAMES[first], NAMES[last])
        assert found.items() <= model.items()
        assert details.size_bytes == sum(rows.size_bytes for rows in details.between("", "~"))
        if rng.random() < 0.1:
            assert list(details.between("", "~")) == sorted(details.between("", "~"))


def test_a_block_of_which_many_changed_is_forgotten() -> None:
    """Some may change and the others stay known; who lists a block would read too many anew each time."""
    details = Details()
    details.keep(Rows.of(NAMES[0], NAMES[99], " ".join(f"{name}=x" for name in NAMES[:100]).encode()))
    for name in NAMES[:CHANGED_MAX]:
        details.forget(name)
    assert list(known(details, NAMES[0], NAMES[99])) == NAMES[CHANGED_MAX:100]
    details.forget(NAMES[200])
    details.forget(NAMES[CHANGED_MAX])
    assert details.between("", "~") == []
    assert details.size_bytes == 0
