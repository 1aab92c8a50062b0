"""Every recorded request whose feature exists, sent to a cluster of ours: the answer has AIStore's status and shape.

`shared/captures` holds what a live AIStore 5.0 answered; `harness.conformance` lists what differs on purpose, and why.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from harness import captures, conformance
from harness.captures import Exchange
from harness.nodes import eventually
from harness.replay import NotServed, Replay
from harness.wire import Api

from ais.testing import Cluster

IDS = {"p1": "p1raaaaa", "t1": "t1raaaaa", "t2": "t2rbbbbb", "t3": "t3rccccc"}
"""The nodes of the recorded cluster: with the same IDs, the same nodes own the same objects."""
FIRST_PORT = 19080


@dataclass
class Outcome:
    """What became of the exchanges."""

    equal: int = 0
    on_purpose: Counter[str] = field(default_factory=Counter)
    missing: Counter[str] = field(default_factory=Counter)
    unlisted: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        lines = [f"{self.equal} equal"]
        lines += [f"{count} differ on purpose: {why}" for why, count in self.on_purpose.most_common()]
        lines += [f"{count} not applicable yet: {what}" for what, count in self.missing.most_common()]
        return "\n".join([*lines, *self.unlisted])


@pytest.fixture(scope="module")
def recorded_cluster() -> Iterator[Cluster]:
    """A cluster like the recorded one."""
    with Cluster(proxies=1, targets=3, mountpaths=2, ids=IDS) as cluster:
        yield cluster


def settle(cluster: Cluster) -> None:
    """Wait until nothing is on the move: targets joined one after the other, and some exchanges start a rebalance."""
    eventually(lambda: not Api(cluster.endpoint).smap().get("ext"), within_s=90)


def judge(replay: Replay, exchange: Exchange, outcome: Outcome) -> None:
    """Send one exchange and sort its differences."""
    if what := conformance.missing(exchange):
        replay.skip(exchange)
        outcome.missing[what] += 1
        return
    try:
        differences = replay.differences(exchange)
    except NotServed as error:
        outcome.missing[str(error)] += 1
        return
    reasons = {difference: conformance.reason(exchange, difference) for difference in differences}
    outcome.equal += not reasons
    outcome.on_purpose.update({reason for reason in reasons.values() if reason})
    outcome.unlisted += [f"{exchange.name} {difference}" for difference, reason in reasons.items() if not reason]


def test_answers_are_aistores(recorded_cluster: Cluster, capsys: pytest.CaptureFixture[str]) -> None:
    """No difference that is not listed with its reason, and no reason that explains nothing."""
    root = captures.find()
    if root is None:
        pytest.skip(f"no captures: set {captures.VARIABLE}, or put them in shared/captures beside the repository")
    nodes = {FIRST_PORT + number: node.url for number, node in enumerate(recorded_cluster.nodes)}
    paths = {str(path): f"/ais/{path.name}" for node in recorded_cluster.targets for path in node.mountpaths}
    spare = recorded_cluster.targets[0].mountpaths[0].with_name("mp3")
    spare.mkdir()
    replay, outcome = Replay(nodes, {**paths, str(spare): "/ais/mp3"}), Outcome()
    for area in conformance.AREAS:
        settle(recorded_cluster)
        conformance.SETUP.get(area, lambda _: None)(Api(recorded_cluster.endpoint))
        for exchange in captures.load(root, area):
            judge(replay, exchange, outcome)
    for area, what in conformance.LATER_AREAS.items():
        outcome.missing[what] += len(captures.load(root, area))
    with capsys.disabled():
        print(f"\n{outcome}")
    assert not outcome.unlisted, "\n".join(outcome.unlisted)
    assert not [rule for rule in conformance.RULES if rule.is_sure and not rule.used]


def test_every_area_is_sent_or_says_what_is_missing() -> None:
    """No area of the recording is forgotten."""
    root = captures.find()
    if root is None:
        pytest.skip("no captures")
    recorded = {path.name for path in root.iterdir() if path.is_dir()} - {"cli"}
    assert recorded == {*conformance.AREAS, *conformance.LATER_AREAS}
