"""Random connections against the model (`harness.simnet`): 10,000 seeds, and that it finds faults that were there."""

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager

import pytest
from harness.simnet.plants import PLANTS
from harness.simnet.run import Model

SEEDS, BATCHES = 10_000, 10


@pytest.mark.timeout(600)
@pytest.mark.parametrize("batch", range(BATCHES))
def test_every_request_is_answered_once_in_order_and_as_announced(batch: int) -> None:
    """Whatever is asked, in whatever pieces and turns: what comes is what h11 and the plan say, and nothing hangs."""
    with Model() as model:
        _run(model, range(batch, SEEDS, BATCHES))


@pytest.mark.timeout(600)
@pytest.mark.parametrize("plant", PLANTS, ids=lambda plant: plant.__name__)
def test_faults_that_are_put_back_are_found(plant: Callable[[], AbstractContextManager[None]]) -> None:
    """The model is worth something: each of these was in the code."""
    with plant(), Model() as model, pytest.raises(AssertionError):
        _run(model, range(1000))


def _run(model: Model, seeds: Iterable[int]) -> None:
    for seed in seeds:
        model.run(seed)


@pytest.mark.parametrize("seed", [211126, 7011700, 7031879, 10265449])
def test_seeds_that_once_failed(seed: int) -> None:
    """Found by longer runs: a route was cancelled at the end of half a body, and took the answer before it along; what
    is no request was waited for behind one that had come in pieces; the loop of the model itself stumbled."""
    with Model() as model:
        model.run(seed)
