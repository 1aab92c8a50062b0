"""Epochs that are shuffled, split, stopped and resumed."""

import pickle
import random
from collections.abc import Callable

import pytest
from aisclient.namefile import NameFile
from aisclient.permutation import Permutation
from aisclient.sampling import Epoch, done_after
from harness import sampling
from hypothesis import given, settings
from hypothesis import strategies as st


@pytest.mark.parametrize("size", [0, 1, 2, 3, 4, 5, 16, 17, 63, 64, 65, 1000, 4097])
def test_a_permutation_has_each_number_once(size: int):
    """Every size, at and around powers of four, is permuted, and the inverse finds each place."""
    order = Permutation(size, seed=3)
    assert sorted(order[position] for position in range(size)) == list(range(size))
    assert all(order.position_of(order[position]) == position for position in range(size))


def test_orders_look_random():
    """Of few numbers all orders come about equally often; of many, neighbours are as far apart as chance has it."""
    counts: dict[tuple[int, ...], int] = {}
    for seed in range(6000):
        order = Permutation(4, seed)
        key = tuple(order[position] for position in range(4))
        counts[key] = counts.get(key, 0) + 1
    assert len(counts) == 24
    assert sum((count - 250) ** 2 / 250 for count in counts.values()) < 60  # chi-square, 23 degrees: p < 0.0001
    order = Permutation(10_000, 1)
    steps = [abs(order[position + 1] - order[position]) for position in range(9_999)]
    assert 3200 < sum(steps) / len(steps) < 3467  # a third of the size, +- 5 standard errors


def test_an_order_is_for_ever():
    """The order of a seed is part of what a saved state means: it is the same in every version."""
    assert [Permutation(10, 42)[i] for i in range(10)] == ORDER_OF_42
    assert [Permutation(1_000_000, 42, 3)[i] for i in range(4)] == LARGE_ORDER_OF_42


ORDER_OF_42 = [9, 2, 3, 7, 8, 1, 6, 5, 4, 0]
LARGE_ORDER_OF_42 = [855778, 365169, 363008, 536224]


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 300), st.lists(st.integers(1, 9), min_size=1, max_size=6), st.randoms(use_true_random=False))
def test_each_index_once_whatever_the_stops(size: int, workers: list[int], chance: random.Random):
    """Stopped with any progress of each worker, resumed by any number of workers: each index once in the epoch."""
    seen: list[int] = []
    epoch = Epoch(size, seed=1)
    for count in workers:
        shares = [epoch.share(worker, count) for worker in range(count)]
        assert sum(len(share) for share in shares) == epoch.left == size - len(seen)
        for share in shares:
            seen += [next(share) for _ in range(chance.randint(0, len(share)))]
        epoch = Epoch.resume([share.state() for share in shares])
    seen += list(epoch.share(0, 1))
    assert sorted(seen) == list(range(size))


def test_in_step_nothing_changes():
    """Workers that stop in step, and others that go on, give together the order of one who never stopped."""
    whole = list(Epoch(1000, seed=5).share(0, 1))
    epoch, seen = Epoch(1000, seed=5), []
    for workers, steps in ((4, 10), (7, 20), (3, 5), (32, 2)):
        shares = [epoch.share(worker, workers) for worker in range(workers)]
        for _ in range(steps):
            seen += [next(share) for share in shares]
        epoch = Epoch.resume([share.state() for share in reversed(shares)])
        assert len(shares[0].state()) < 40
    assert seen + list(epoch.share(0, 1)) == whole
    assert whole != list(Epoch(1000, seed=6).share(0, 1))
    assert whole != list(Epoch(1000, seed=5).next().share(0, 1))


def test_eight_ranks_of_four_workers():
    """20 stops at random points, each resumed by another number of workers: each name once, twice the same order."""
    assert sampling.run(40_000, seed=11) == sampling.run(40_000, seed=11)


def test_states_that_do_not_belong_together():
    """A state that is missing, doubled, of another run, of other names or of another format is refused."""
    epoch = Epoch(100, seed=1, fingerprint=9)
    states = [epoch.share(worker, 3).state() for worker in range(3)]
    wrong: list[Callable[[], object]] = [
        lambda: Epoch.resume(states[:2]),
        lambda: Epoch.resume([*states[:2], states[0]]),
        lambda: Epoch.resume([*states[:2], Epoch(100, seed=2).share(2, 3).state()]),
        lambda: Epoch.resume(states, fingerprint=8),
        lambda: Epoch.resume([b"nonsense"]),
        lambda: Epoch.resume([]),
        lambda: epoch.share(3, 3),
        lambda: epoch.after([101]),
    ]
    for call in wrong:
        with pytest.raises(ValueError):  # noqa: PT011 - each says something else
            call()
    assert Epoch.resume(states, fingerprint=9).left == 100


def test_batches_of_a_data_loader():
    """Full batches come from the workers in turn."""
    assert done_after(7, 3, 4) == [12, 8, 8]
    assert done_after(2, 3, 4) == [4, 4, 0]
    assert Epoch(100, 1).after(done_after(7, 3, 4)).left == 72


def test_names_in_a_file(tmp_path):
    """Names come back by number, also in another process, and a list is known by its fingerprint."""
    names = [f"dir{i % 7}/ä{i}" for i in range(70_000)]
    file = NameFile.write(iter(names), tmp_path / "names")
    assert len(file) == len(names)
    assert list(file) == names
    assert (file[0], file[-1], file[5:8]) == (names[0], names[-1], names[5:8])
    assert pickle.loads(pickle.dumps(file))[69_999] == names[-1]
    assert NameFile.write(names).fingerprint == file.fingerprint != NameFile.write(names[1:]).fingerprint
    assert list(NameFile.write([])) == []
    assert [one.name for one in tmp_path.iterdir()] == ["names"]
    (tmp_path / "other").write_bytes(b"x" * 100)
    with pytest.raises(ValueError, match="no list"):
        NameFile(tmp_path / "other")
    with pytest.raises(IndexError):
        file[70_000]
