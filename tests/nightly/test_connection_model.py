"""A million random connections against the model (`harness.simnet`), on every core. MODEL_SEEDS says how many."""

import os
from concurrent.futures import ProcessPoolExecutor

from harness.simnet.run import Model

SEEDS = int(os.environ.get("MODEL_SEEDS", "1000000"))
FIRST = int(os.environ.get("MODEL_FIRST", "100000"))
"""Other seeds than those of CI."""
BATCH = 1000


def run_batch(first: int) -> list[str]:
    """What went wrong in a batch of seeds: one line each."""
    wrong = []
    with Model() as model:
        for seed in range(first, min(first + BATCH, FIRST + SEEDS)):
            try:
                model.run(seed)
            except AssertionError as error:
                wrong.append(f"seed {seed}: {str(error)[:300]}")
    return wrong


def test_a_million_seeds() -> None:
    """Nothing is lost, mixed up, kept back or left hanging; the seeds for which that is not so are listed."""
    done, wrong = 0, []
    with ProcessPoolExecutor() as pool:
        for found in pool.map(run_batch, range(FIRST, FIRST + SEEDS, BATCH)):
            wrong += found
            done += BATCH
            if done % 50_000 == 0:
                print(f"{done} seeds, {len(wrong)} wrong", flush=True)
    assert not wrong, "\n".join(wrong[:50])
