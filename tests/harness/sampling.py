"""An epoch of 8 ranks of 4 workers that is stopped at random points and resumed by other numbers of workers."""

import hashlib
import random

from aisclient.sampling import Epoch

STOPS = 20
WORKERS = (32, 16, 8, 24, 40, 4, 1, 31)


def run(size: int, seed: int) -> str:
    """The digest of the order in which an epoch's indices were given. Raise `AssertionError` unless each was, once."""
    chance, digest = random.Random(seed), hashlib.sha256()
    seen = bytearray(size)
    epoch, state_bytes_max = Epoch(size, seed), 0
    for stop in range(STOPS + 1):
        workers = WORKERS[stop % len(WORKERS)]
        shares = [epoch.share(worker, workers) for worker in range(workers)]
        for share in shares:
            wanted = len(share) if stop == STOPS else min(len(share), chance.randint(0, 2 * size // STOPS // workers))
            for _ in range(wanted):
                index = next(share)
                assert not seen[index], f"index {index} was given twice"
                seen[index] = 1
                digest.update(index.to_bytes(4, "little"))
        states = [share.state() for share in shares]
        state_bytes_max = max(state_bytes_max, *map(len, states))
        epoch = Epoch.resume(states)
    assert epoch.left == 0
    assert all(seen), "an index was never given"
    assert state_bytes_max < 4096, f"a state of {state_bytes_max} bytes"
    return digest.hexdigest()
