"""The model that judges answers: it takes everything a correct store can do, and nothing else."""

import itertools
import random

import pytest
from harness.faults.model import Family, Impossible, Operation
from harness.faults.steps import capture, paste, read, remove_captured, write

A, B = 0, 1


class Requests:
    """Requests on a family, begun and answered by hand."""

    def __init__(self) -> None:
        self.family = Family((None, None))
        self._ids = itertools.count()

    def begin(self, *steps) -> Operation:
        operation = Operation(next(self._ids), "", steps)
        self.family.begin(operation)
        return operation

    def put(self, key: int, value: int) -> Operation:
        return self.begin(write(key, lambda _: (value, "ok")))

    def got(self, operation: Operation, *values) -> None:
        self.family.answered(operation, lambda outcomes: outcomes == values)

    def ok(self, operation: Operation) -> None:
        self.family.answered(operation, lambda outcomes: outcomes[-1] == "ok")

    def lose(self, operation: Operation) -> None:
        operation.is_lost = True


def test_acknowledged_is_read():
    """After an acknowledged write only its value may be read: not nothing, not the one before."""
    for wrong in (None, 1):
        asked = Requests()
        asked.ok(asked.put(A, 1))
        asked.ok(asked.put(A, 2))
        asked.got(asked.begin(read(A)), 2)
        with pytest.raises(Impossible):
            asked.got(asked.begin(read(A)), wrong)


def test_overlapping_read_sees_either_and_never_goes_back():
    """While a write runs a read gives the old or the new value; after one read gave the new, later ones do too."""
    asked = Requests()
    asked.ok(asked.put(A, 1))
    writing = asked.put(A, 2)
    asked.got(asked.begin(read(A)), 1)
    asked.got(asked.begin(read(A)), 2)
    with pytest.raises(Impossible):
        asked.got(asked.begin(read(A)), 1)
    asked.ok(writing)


def test_lost_write_may_come_later_until_it_expires():
    """A write without an answer may be seen later; once it has expired unseen it may not."""
    asked = Requests()
    lost = asked.put(A, 1)
    asked.lose(lost)
    asked.got(asked.begin(read(A)), None)
    asked.got(asked.begin(read(A)), 1)
    asked = Requests()
    lost = asked.put(A, 1)
    asked.lose(lost)
    asked.family.abandoned(lost)
    asked.got(asked.begin(read(A)), None)
    with pytest.raises(Impossible):
        asked.got(asked.begin(read(A)), 1)


def test_two_winners_are_impossible():
    """Of two requests that create only what is absent, one wins: both acknowledged is a violation."""
    asked = Requests()
    create = [
        asked.begin(write(A, lambda value, mine=mine: (mine, "ok") if value is None else (value, "exists")))
        for mine in (1, 2)
    ]
    asked.ok(create[0])
    with pytest.raises(Impossible):
        asked.ok(create[1])


def test_refused_after_its_effect_was_seen():
    """A request whose effect was read cannot turn out to have been refused."""
    asked = Requests()
    writing = asked.put(A, 1)
    asked.got(asked.begin(read(A)), 1)
    with pytest.raises(Impossible):
        asked.family.refused(writing)


def test_each_name_of_a_listing_has_its_own_moment():
    """A listing during two writes may show either, both or none, but not a state from before it began."""
    for seen in itertools.product((None, 1), (None, 2)):
        asked = Requests()
        listing = [asked.begin(read(A)), asked.begin(read(B))]
        asked.ok(asked.put(A, 1))
        asked.ok(asked.put(B, 2))
        for one, value in zip(listing, seen, strict=True):
            asked.got(one, value)
    asked = Requests()
    asked.ok(asked.put(A, 1))
    with pytest.raises(Impossible):
        asked.got(asked.begin(read(A)), None)


def test_a_lost_rename_leaves_the_object_somewhere():
    """A rename without an answer: at the old name, at the new one or at both, but never at neither."""
    for seen in ((1, None), (None, 1), (1, 1), (None, None)):
        asked = Requests()
        asked.ok(asked.put(A, 1))
        rename = asked.begin(capture(A), paste(B), remove_captured(A))
        asked.lose(rename)
        asked.family.abandoned(rename)
        asked.got(asked.begin(read(B)), seen[1])
        if any(seen):
            asked.got(asked.begin(read(A)), seen[0])
        else:
            with pytest.raises(Impossible):
                asked.got(asked.begin(read(A)), seen[0])


def test_registers_are_judged_apart_again_after_a_rename():
    """What a request connected is apart when it is answered: possibilities do not multiply for ever."""
    asked = Requests()
    asked.ok(asked.put(A, 1))
    asked.ok(asked.begin(capture(A), paste(B), remove_captured(A)))
    assert len(asked.family.cells) == 2
    asked.got(asked.begin(read(A)), None)
    asked.got(asked.begin(read(B)), 1)


class Store:
    """A correct store: each request takes effect at one moment between its beginning and its end."""

    def __init__(self, seed: int) -> None:
        self.source = random.Random(seed)
        self.asked = Requests()
        self.state = (None, None)
        self.running: list[list] = []

    def step(self) -> None:
        """Begin, take effect, or answer, at random."""
        choice = self.source.random()
        if choice < 0.4 and len(self.running) < 4:
            key, value = self.source.randrange(2), self.source.randrange(5)
            steps = (read(key),) if self.source.random() < 0.5 else (write(key, lambda _: (value, "ok")),)
            self.running.append([self.asked.begin(*steps), None])
        elif self.running:
            one = self.source.choice(self.running)
            if one[1] is None:
                self.state, outcome = one[0].steps[0].apply(self.state, ())
                one[1] = (outcome,)
            elif self.source.random() < 0.9:
                self.running.remove(one)
                self.asked.got(one[0], *one[1])
            else:
                self.running.remove(one)
                self.asked.family.abandoned(one[0])


@pytest.mark.parametrize("seed", range(10))
def test_whatever_a_correct_store_answers_is_possible(seed: int):
    """300 random steps of a correct store with up to four requests at once: no answer is called impossible."""
    store = Store(seed)
    for _ in range(300):
        store.step()
