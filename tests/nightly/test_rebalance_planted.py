"""Whether the tests of rebalance find anything: bugs that are put in on purpose, each named by what it does."""

import http.client
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from harness.crowd import PLAIN, Crowd, Size
from harness.faults.stage import INJECT
from harness.joining import another_target
from harness.nodes import eventually
from harness.wire import Api

from ais.meta.placement import Candidates
from ais.meta.smap import digest
from ais.testing import Cluster

FAST = {"keepalivetracker.proxy.interval": "500ms", "keepalivetracker.target.interval": "500ms"}
SIZE = Size(readers=4, writers=4, listers=1, deleters=1, stable=2000)
DOOMED = [f"doomed/{number:04}" for number in range(1000)]
SOON_S = 180
FOUND = {
    "": "",
    "let-go-before-acknowledgement": "an object is not there while it moves",
    "forget-deletes-while-moving": "a deleted object is back",
    "done-early": "objects are not where they belong when all is said to be done",
}


@contextmanager
def planted(name: str) -> Iterator[None]:
    """Nodes that are started in the block have this bug."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("PYTHONPATH", str(INJECT))
        patched.setenv("HARNESS_PLANT", name)
        yield


def misplaced(roots: dict[str, list[Path]]) -> int:
    """How many objects that nobody changes are on targets that do not own them. `roots`: mountpaths by target."""
    ids, count = list(roots), 0
    owners = Candidates([digest(one) for one in ids])
    for node_id, mountpaths in roots.items():
        for root in (path / "@ais" / PLAIN / "%ob" for path in mountpaths):
            names = [str(path.relative_to(root)) for path in root.glob("s*/*")]
            count += sum(ids[owners.best(digest(f"ais/@#/{PLAIN}/{name}"))] != node_id for name in names)
    return count


def verdict(plant: str) -> str:
    """A target joins under load while a thousand objects are deleted: what is wrong then, empty: nothing."""
    with planted(plant), Cluster(proxies=1, targets=2, mountpaths=1, config_overrides=FAST) as cluster:
        api, crowd = Api(cluster.endpoint), Crowd([cluster.endpoint], SIZE)
        crowd.fill()
        for name in DOOMED:
            assert api.put(PLAIN, name, b"short-lived").status == 200
        with crowd, another_target(cluster) as (plan, node_id):
            for name in DOOMED:
                try:
                    assert api.delete(PLAIN, name).status in (200, 404)
                except (OSError, http.client.HTTPException):
                    assert api.delete(PLAIN, name).status in (200, 404)
            eventually(lambda: not api.smap().get("ext"), within_s=SOON_S)
            roots = {node.id: list(node.mountpaths) for node in cluster.targets} | {node_id: list(plan.mountpaths)}
            stayed = misplaced(roots)
            crowd.__exit__()
            crowd.close()
            back = [name for name in DOOMED if api.get(PLAIN, name).status != 404]
            problems = list(crowd.problems)
    print(f"\n{plant or 'no bug'}: {stayed} misplaced, {len(back)} back, {problems[:2]}")
    if stayed:
        return FOUND["done-early"]
    if any(re.match(r"GET s\S+: \(404", problem) for problem in problems):
        return FOUND["let-go-before-acknowledgement"]
    if back:
        return FOUND["forget-deletes-while-moving"]
    return "; ".join(problems)


@pytest.mark.parametrize("plant", FOUND)
def test_a_bug_of_rebalance_is_named(plant: str) -> None:
    """Each bug is found, by what it does to objects; without one nothing is."""
    assert os.environ.get("HARNESS_PLANT") is None
    assert verdict(plant) == FOUND[plant]
