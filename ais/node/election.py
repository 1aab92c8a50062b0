"""Electing a primary, and handing over to a chosen one.

A candidate first asks everybody whether they would vote for it (a trial: nobody is bound, so a node that merely cannot
hear the primary disturbs nothing), fetches what voters have newer than itself, and only then asks for votes in a new
term. The rules of a vote are `decisions.why_no_vote`.
"""

import asyncio

from ais.api import codec
from ais.base.errors import AisError, BadRequest, NotReady, Unreachable
from ais.meta.placement import next_primaries
from ais.meta.smap import Snode
from ais.node import decisions, reign
from ais.node.core import Core
from ais.node.messages import Part, Stamps, TakeOver, VoteAnswer, VoteRequest
from ais.node.quorum import have_quorum

VOTE = "/v1/vote"
TAKE_OVER = "/v1/vote/take-over"
SLOW_VOTER_S = 0.5
"""How long a candidate that is elected already waits for the others."""
ROUNDS_MAX = 3
"""Rounds of asking and fetching before a candidate gives up until next time."""


class Election:
    """Voting, standing for election, handing over."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._busy = False

    @property
    def in_progress(self) -> bool:
        """Whether this node is a candidate right now."""
        return self._busy

    async def on_vote(self, request: VoteRequest) -> VoteAnswer:
        """Vote, or say why not. A vote given is durable, and ends the promise to the old primary."""
        core = self._core
        reason = self._why_no_vote(request)
        if not reason and not request.trial:
            bound = await core.state.promise(request.term, request.candidate.id)
            # The primary may have been heard while the vote was written: then it counts on us, and the vote is void.
            reason = self._why_no_vote(request) if bound else "it is given to another candidate"
            if not reason:
                if core.reign:
                    core.reign.end(f"voted for {request.candidate.name} in term {request.term}")
                core.promise(core.timing.patience_s, request.candidate.id)
                core.log.info("vote given", candidate=request.candidate.name, term=request.term)
        return VoteAnswer(not reason, reason, core.state.term, core.meta.stamps)

    async def stand(self, consent: str = "") -> bool:
        """Try to become primary; tell whether it worked. `consent`: the primary that hands over to us."""
        if self._busy or self._core.leaving:
            return False
        self._busy = True
        try:
            return await self._stand(consent)
        finally:
            self._busy = False

    async def _stand(self, consent: str) -> bool:
        core = self._core
        for _ in range(ROUNDS_MAX):
            term = core.state.term + 1
            answers = await self._ask(term, consent, trial=True)
            if await self._catch_up(answers):
                continue
            if not self._is_elected(answers):
                return False
            term = max([term, *(answer.term + 1 for answer in answers.values())])
            own = await self.on_vote(self._request(term, consent, trial=False))
            if not own.granted:
                core.log.info("not standing for election", reason=own.reason)
                return False
            core.log.info("standing for election", term=term)
            answers = await self._ask(term, consent, trial=False)
            if core.state.term != term or core.state.voted_for != core.me.id or not self._is_elected(answers):
                return False
            smap = decisions.next_reign(core.smap, core.me, keep_old_primary=bool(consent))
            await reign.begin(core, term, smap)
            return True
        return False

    async def on_take_over(self, message: TakeOver) -> None:
        """Become primary in place of the one that asks. Raise when this does not work."""
        core = self._core
        if message.to != core.me.id or message.uuid != core.smap.uuid:
            raise BadRequest(f"{core.me.name} is not the node that was asked for")
        if core.leaving or not core.me.is_electable:
            raise NotReady(f"{core.me.name} cannot become primary: it is stopping or not electable")
        if message.term != core.state.term:
            raise NotReady(f"{core.me.name} knows term {core.state.term}, not {message.term}")
        if not await self.stand(consent=message.primary_id):
            raise NotReady(f"{core.me.name} was not elected: see the logs of the nodes for the reasons")

    async def hand_over(self, successor: Snode) -> None:
        """Make `successor` primary instead of us; on return this node has its map. Raise when it stays as it was."""
        core = self._core
        present = core.require_authority()
        timeout_s = float(core.config.cluster.timeout.max_keepalive)
        if not await present.bring(successor, timeout_s):
            raise NotReady(f"{successor.name} does not take the cluster's metadata: choose another proxy")
        present.resigned = True
        core.log.info("handing over", successor=successor.name)
        message = TakeOver(core.smap.uuid, successor.id, present.term, core.me.id)
        url, body = successor.control.url, codec.to_msgpack(message)
        try:
            await core.peers.call(url, "POST", TAKE_OVER, body=body, timeout_s=timeout_s)
        except Unreachable:
            raise  # it may have begun to ask for votes
        except AisError:
            present.resigned = False
            raise
        finally:
            # Whether it is elected is unknown: we gave our consent, so only a new term can make us primary again.
            if present.resigned:
                present.end("handed over")
        await core.state.adopt([await reign.fetch(core, url, Part.SMAP)])

    async def successors(self) -> list[Snode]:
        """Proxies to hand over to, the first choice first: those that answered lately."""
        core = self._core
        heard = core.reign.heard if core.reign else frozenset()
        return [proxy for proxy in next_primaries(core.smap, skip=core.me.id) if proxy.id in heard]

    async def _ask(self, term: int, consent: str, *, trial: bool) -> dict[str, VoteAnswer]:
        """What the electors answer. Once enough have granted it, those that take long are not waited for."""
        core = self._core
        request = self._request(term, consent, trial=trial)
        voters = [node for node in core.meta.electors.values() if node.id != core.me.id]
        loop = asyncio.get_running_loop()
        asked = {node.id: loop.create_task(self._ask_one(node, request)) for node in voters}
        try:
            for timeout_s in (SLOW_VOTER_S, core.call_timeout_s):
                if asked:
                    await asyncio.wait(asked.values(), timeout=timeout_s)
                answers = {node_id: task.result() for node_id, task in asked.items() if task.done()}
                found = {node_id: answer for node_id, answer in answers.items() if answer}
                if self._is_elected(found):
                    break
        finally:
            for task in asked.values():
                task.cancel()
        return found

    async def _ask_one(self, node: Snode, request: VoteRequest) -> VoteAnswer | None:
        core = self._core
        try:
            url, timeout_s = node.control.url, core.call_timeout_s
            answer = await core.peers.ask(url, "POST", VOTE, request, VoteAnswer, timeout_s)
        except AisError as error:
            core.log.debug("no answer from voter", peer=node.name, error=str(error))
            return None
        if not answer.granted:
            log = core.log.debug if request.trial else core.log.info
            log("vote refused", peer=node.name, reason=answer.reason)
        return answer

    def _request(self, term: int, consent: str, *, trial: bool) -> VoteRequest:
        core = self._core
        return VoteRequest(core.smap.uuid, term, core.me, core.meta.stamps, trial, consent)

    def _is_elected(self, answers: dict[str, VoteAnswer]) -> bool:
        meta = self._core.meta
        granted = frozenset(node for node, answer in answers.items() if answer.granted) | {self._core.me.id}
        return have_quorum(decisions.electorates(meta.smap, meta.bases), granted)

    async def _catch_up(self, answers: dict[str, VoteAnswer]) -> bool:
        """Fetch the newest version of every part that a voter has newer than we; tell whether there was any."""
        core = self._core
        stamps = {node: answer.stamps for node, answer in answers.items()}
        wanted = newest(core.meta.stamps, stamps)
        for part, node_id in wanted.items():
            node = core.meta.electors.get(node_id)
            if node is None:
                continue
            try:
                await core.state.adopt([await reign.fetch(core, node.control.url, part)])
            except AisError as error:
                core.log.info("cannot catch up", peer=node.name, part=part.value, error=str(error))
                return False
        return bool(wanted)

    def _why_no_vote(self, request: VoteRequest) -> str:
        core = self._core
        reigns = core.reign is not None and not core.reign.resigned
        voter = decisions.Voter(
            core.smap.uuid,
            core.state.term,
            core.state.voted_for,
            core.meta.stamps,
            core.smap,
            follows=core.me.id if core.reign else core.follows,
            is_bound=reigns or core.silent_for() < 0,
        )
        return decisions.why_no_vote(voter, request)


def newest(mine: Stamps, theirs: dict[str, Stamps]) -> dict[Part, str]:
    """For each part of which somebody has a newer version: who has the newest."""
    best: dict[Part, str] = {}
    for part in Part:
        node_id = max(theirs, key=lambda node: (theirs[node].of(part), node), default="")
        if node_id and theirs[node_id].of(part) > mine.of(part):
            best[part] = node_id
    return best
