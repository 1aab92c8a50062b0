"""Requests that make, change, rename and destroy buckets, and on objects in them."""

import json
import random
from collections.abc import Awaitable, Hashable
from dataclasses import dataclass
from typing import NamedTuple

from harness.faults.book import Asked, Book, Names
from harness.faults.family import settle
from harness.faults.gateway import Gateway
from harness.faults.model import Outcomes, State, Step
from harness.faults.steps import read, replaced
from harness.faults.values import Contents
from harness.faults.web import Answer

LEAVES = ("one", "two")
WIDTH = 1 + len(LEAVES)
"""Registers of a bucket: the bucket itself, then its objects."""
SIZE = 3000
DEFAULT_LIMIT = 262144
CHANGES = ("CREATE", "DESTROY", "RENAME", "SET")


class Made(NamedTuple):
    """A bucket that exists: which request made it or gave it its name, and the property that is changed."""

    by: int
    limit: int = DEFAULT_LIMIT


@dataclass(eq=False)
class Changing:
    """Two bucket names; one becomes the other by a rename."""

    book: Book
    gateway: Gateway
    buckets: tuple[str, str]
    names: Names

    @classmethod
    def new(cls, book: Book, gateway: Gateway, bucket: str) -> "Changing":
        """No such buckets yet."""
        buckets = (bucket, f"{bucket}-too")
        titles = tuple(f"{one}{leaf}" for one in buckets for leaf in ("", *(f"/{leaf}" for leaf in LEAVES)))
        return cls(book, gateway, buckets, book.family(bucket, titles, (None,) * len(titles)))

    @property
    def contents(self) -> Contents:
        """All contents of the run."""
        return self.book.contents

    async def create(self, source: random.Random, key: int) -> None:
        """create-bck."""
        side, made_by = _side(key), list[int]()

        def create(state: State, _: Outcomes) -> tuple[State, Hashable]:
            return (state, "exists") if state[side] else (replaced(state, side, Made(made_by[0])), "ok")

        asked = self.book.begin(self.names, f"CREATE {self._name(side)}", Step((side,), create))
        made_by.append(asked.operation.id)
        answer = await settle(asked, self._act(source, "POST", side, "create-bck"))
        if answer is not None:
            self._expect(asked, answer, {200: "ok", 409: "exists"})

    async def destroy(self, source: random.Random, key: int) -> None:
        """destroy-bck. Once its client has given up, it must not act on a bucket that is made later."""
        side = _side(key)
        may_act = _Meant(side)

        def empty(key: int) -> Step:
            return Step((key,), lambda state, _: (replaced(state, key, None) if may_act(state) else state, "ok"))

        def destroy(state: State, _: Outcomes) -> tuple[State, Hashable]:
            if may_act(state):
                return (*state[:side], *(None,) * WIDTH, *state[side + WIDTH :]), "ok"
            return state, "absent" if state[side] is None else "another"

        everything = tuple(range(side, side + WIDTH))
        asked = self.book.begin(
            self.names,
            f"DESTROY {self._name(side)}",
            *(empty(one) for one in everything[1:]),
            Step(everything, destroy),
        )
        await self._change(asked, may_act, self._act(source, "DELETE", side, "destroy-bck"), at=-1)

    async def set_props(self, source: random.Random, key: int) -> None:
        """set-bprops, of a property that HEAD shows. Once its client has given up, not of a later bucket."""
        side, limit = _side(key), 1 + source.randrange(10**6)
        may_act = _Meant(side)

        def change(state: State, _: Outcomes) -> tuple[State, Hashable]:
            made = state[side]
            if isinstance(made, Made) and may_act(state):
                return replaced(state, side, made._replace(limit=limit)), "ok"
            return state, "absent" if made is None else "another"

        asked = self.book.begin(self.names, f"SET {limit} {self._name(side)}", Step((side,), change))
        sent = self._act(source, "PATCH", side, "set-bprops", {"ec": {"objsize_limit": limit}})
        await self._change(asked, may_act, sent)

    async def rename(self, source: random.Random, key: int) -> None:
        """move-bck to the other name, which is there with all objects from then on; a job moves them."""
        side = _side(key)
        other, may_act, made_by = WIDTH - side, _Meant(side), list[int]()

        def rename(state: State, _: Outcomes) -> tuple[State, Hashable]:
            made = state[side]
            if isinstance(made, Made) and may_act(state):
                if state[other] is not None:
                    return state, "exists"
                moved = (made._replace(by=made_by[0]), *state[side + 1 : side + WIDTH])
                nothing = (None,) * WIDTH
                return ((*moved, *nothing) if side else (*nothing, *moved)), "ok"
            return state, "absent" if made is None else "another"

        asked = self.book.begin(
            self.names, f"RENAME to {self._name(other)} of {self._name(side)}", Step(tuple(range(2 * WIDTH)), rename)
        )
        made_by.append(asked.operation.id)
        to = {"bck_to": f"ais/@#/{self._name(other)}/"}
        await self._change(asked, may_act, self._act(source, "POST", side, "move-bck", query=to))

    async def put(self, source: random.Random, key: int) -> None:
        """PUT of an object."""
        side, content = _side(key), self.contents.new(SIZE)
        at, leaf = side + 1 + key % len(LEAVES), LEAVES[key % len(LEAVES)]

        def put(state: State, _: Outcomes) -> tuple[State, Hashable]:
            return (state, "absent") if not state[side] else (replaced(state, at, content), "ok")

        asked = self.book.begin(self.names, f"PUT <{content}> {self.names.keys[at]}", Step((at,), put), span=(side,))
        body, changing = self.contents.data(content), self._is_changing
        answer = await settle(asked, self.gateway.object(source, "PUT", self._name(side), leaf, body=body))
        if answer is None:
            return
        if answer.status == 404 and (changing or self._is_changing):
            asked.refused(answer)
            return
        self._expect(asked, answer, {200: "ok", 404: "absent"})

    async def get(self, source: random.Random, key: int) -> int | None:
        """GET of an object. The status."""
        side, changing = _side(key), self._is_changing
        at, leaf = side + 1 + key % len(LEAVES), LEAVES[key % len(LEAVES)]
        asked = self.book.begin(self.names, f"GET {self.names.keys[at]}", read(at))
        answer = await settle(asked, self.gateway.object(source, "GET", self._name(side), leaf))
        if answer is None:
            return None
        content = self.contents.find(answer.body) if answer.status == 200 else None
        if answer.status not in (200, 404) or (answer.status == 200 and content is None):
            raise asked.wrong(answer)
        if changing or self._is_changing:  # a node that it has not reached yet answers as before it
            asked.unanswered(f"{answer.status} <{content}>, while the bucket changes")
            return answer.status
        asked.answered(f"{answer.status} <{content}>", lambda outcomes: outcomes[0] == content)
        return answer.status

    async def head(self, source: random.Random, key: int = 0) -> int | None:
        """HEAD of the bucket: whether it is there, and its property. While it changes, gateways may differ."""
        side, changing = _side(key), self._is_changing
        asked = self.book.begin(self.names, f"HEAD {self._name(side)}", read(side))
        answer = await settle(asked, self.gateway.bucket(source, "HEAD", f"/v1/buckets/{self._name(side)}", {}))
        if answer is None:
            return None
        if answer.status not in (200, 404):
            raise asked.wrong(answer)
        limit = json.loads(answer.headers["ais-bucket-props"])["ec"]["objsize_limit"] if answer.status == 200 else None
        if changing or self._is_changing:
            asked.unanswered(f"{answer}, while it changes")
        else:
            asked.answered(f"{answer} {limit}", lambda outcomes: getattr(outcomes[0], "limit", None) == limit)
        return answer.status

    def _name(self, side: int) -> str:
        return self.buckets[side // WIDTH]

    async def _act(
        self,
        source: random.Random,
        method: str,
        side: int,
        action: str,
        value: object = None,
        query: dict[str, str] | None = None,
    ) -> Answer:
        message = {"action": action} if value is None else {"action": action, "value": value}
        return await self.gateway.bucket(source, method, f"/v1/buckets/{self._name(side)}", query or {}, message)

    async def _change(self, asked: Asked, meant: "_Meant", sent: Awaitable[Answer], at: int = 0) -> None:
        """Send a change. While another is under way, the gateway asked may not know the bucket yet, or still."""
        changing = self._is_changed_by_others(asked)
        answer = await settle(asked, sent)
        meant.is_given_up, meant.before = asked.is_lost, self.book.next_id()
        if answer is not None and answer.status == 404 and (changing or self._is_changed_by_others(asked)):
            asked.refused(answer)
        elif answer is not None:
            self._expect(asked, answer, {200: "ok", 404: "absent", 400: "exists", 409: "exists"}, at)

    @property
    def _is_changing(self) -> bool:
        """Whether a bucket is being changed, or may be: then gateways may differ about it."""
        return any(one.text.startswith(CHANGES) for one in self.names.family.unfinished)

    def _is_changed_by_others(self, asked: Asked) -> bool:
        unfinished = self.names.family.unfinished
        return any(one.text.startswith(CHANGES) and one is not asked.operation for one in unfinished)

    def _expect(self, asked: Asked, answer: Answer, outcomes: dict[int, str], at: int = 0) -> None:
        if answer.status == 409 and "exists" not in answer.body.decode():
            asked.refused(answer)
            return
        if answer.status not in outcomes:
            raise asked.wrong(answer)
        asked.answered(answer, lambda found: found[at] == outcomes[answer.status])


@dataclass(eq=False)
class _Meant:
    """Whether a change still finds the bucket it is meant for: once it was given up, not a later one of that name."""

    side: int
    is_given_up: bool = False
    before: int = 0

    def __call__(self, state: State) -> bool:
        made = state[self.side]
        return isinstance(made, Made) and (not self.is_given_up or made.by < self.before)


def _side(key: int) -> int:
    """The first register of one of the two buckets: of the first more often."""
    return WIDTH if key % 3 == 2 else 0
