"""Votes and terms across restarts."""

from collections.abc import Callable
from typing import Any

from ais.api import codec
from ais.node import service
from ais.node.messages import VoteAnswer, VoteRequest
from ais.node.node import Node

Simulate = Callable[..., Any]


async def ask(voter: Node, candidate: Node, term: int, *, trial: bool = False) -> VoteAnswer:
    request = VoteRequest(voter.smap.uuid, term, candidate.snode, candidate.state.current.stamps, trial)
    answer = await service.handle(voter, "POST", "/v1/vote", {}, codec.to_msgpack(request))
    assert answer.status == 200
    return codec.from_msgpack(answer.body, VoteAnswer)


def test_a_vote_is_remembered_after_kill(simulate: Simulate) -> None:
    """A node that voted and was killed does not vote for somebody else in the same term."""

    async def scenario(world: Any) -> None:
        world.cluster(3, 1)
        await world.settled()
        p2, p3 = world["p2"].alive, world["p3"].alive
        world["p1"].kill()
        await world.until(lambda: world["t1"].alive.core.silent_for() >= 0, 10, "silence")
        world.partition("t1", "p2 p3")
        term = world["t1"].alive.term + 1
        assert (await ask(world["t1"].alive, p2, term, trial=True)).granted
        assert (await ask(world["t1"].alive, p3, term)).granted
        world["t1"].kill()
        world["t1"].boot()
        await world.until(lambda: world["t1"].alive.is_loaded, 5, "restart")
        refused = await ask(world["t1"].alive, p2, term)
        assert (refused.granted, refused.term) == (False, term)
        assert "given to p3aaaaaa" in refused.reason

    simulate(scenario)


def test_a_restarted_node_keeps_a_promise_it_may_have_made(simulate: Simulate) -> None:
    """Right after its start a node votes for nobody but the primary it knows."""

    async def scenario(world: Any) -> None:
        world.cluster(2, 1)
        await world.settled()
        p1, p2 = world["p1"].alive, world["p2"].alive
        world["t1"].kill()
        world.partition("t1", "p1 p2")
        world["t1"].boot()
        await world.until(lambda: world["t1"].alive.is_loaded, 5, "restart")
        refused = await ask(world["t1"].alive, p2, p2.term + 1)
        assert "is alive" in refused.reason
        assert (await ask(world["t1"].alive, p1, p1.term + 1)).granted

    simulate(scenario)
