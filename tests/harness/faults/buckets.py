"""Requests that make and destroy a bucket, and on objects in it."""

import random
from collections.abc import Hashable
from dataclasses import dataclass
from typing import NamedTuple

from harness.faults.book import Asked, Book, Names
from harness.faults.family import settle
from harness.faults.gateway import Gateway
from harness.faults.model import Outcomes, State, Step
from harness.faults.steps import read
from harness.faults.values import Contents
from harness.faults.web import Answer

LEAVES = ("one", "two")
BUCKET = 0
"""The register of the bucket itself; those of its objects follow."""
SIZE = 3000


class Made(NamedTuple):
    """A bucket that exists: which request made it."""

    by: int


@dataclass(eq=False)
class Changing:
    """One bucket name."""

    book: Book
    gateway: Gateway
    bucket: str
    names: Names

    @classmethod
    def new(cls, book: Book, gateway: Gateway, bucket: str) -> "Changing":
        """No such bucket yet."""
        return cls(book, gateway, bucket, book.family(bucket, ("bucket", *LEAVES), (None,) * (1 + len(LEAVES))))

    @property
    def contents(self) -> Contents:
        """All contents of the run."""
        return self.book.contents

    async def create(self, source: random.Random, key: int) -> None:
        """create-bck."""
        made_by: list[int] = []

        def create(state: State, _: Outcomes) -> tuple[State, Hashable]:
            return (state, "exists") if state[BUCKET] else ((Made(made_by[0]), *state[1:]), "ok")

        asked = self.book.begin(self.names, "CREATE", Step((BUCKET,), create))
        made_by.append(asked.operation.id)
        sent = self.gateway.bucket(source, "POST", f"/v1/buckets/{self.bucket}", {}, {"action": "create-bck"})
        answer = await settle(asked, sent)
        if answer is not None:
            self._expect(asked, answer, {200: "ok", 409: "exists"})

    async def destroy(self, source: random.Random, key: int) -> None:
        """destroy-bck. Once its client has given up, it must not act on a bucket that is made later."""
        born: list[int] = []

        def may_act(state: State) -> bool:
            made = state[BUCKET]
            return isinstance(made, Made) and (not asked.operation.is_lost or made.by < born[0])

        def empty(key: int) -> Step:
            def apply(state: State, _: Outcomes) -> tuple[State, Hashable]:
                return ((*state[:key], None, *state[key + 1 :]) if may_act(state) else state), "ok"

            return Step((key,), apply)

        def destroy(state: State, _: Outcomes) -> tuple[State, Hashable]:
            if may_act(state):
                return (None,) * len(state), "ok"
            return state, "absent" if state[BUCKET] is None else "another"

        everything = tuple(range(1 + len(LEAVES)))
        asked = self.book.begin(
            self.names, "DESTROY", *(empty(one) for one in everything[1:]), Step(everything, destroy)
        )
        sent = self.gateway.bucket(source, "DELETE", f"/v1/buckets/{self.bucket}", {}, {"action": "destroy-bck"})
        answer = await settle(asked, sent)
        born.append(self.book.next_id())
        if answer is not None:
            self._expect(asked, answer, {200: "ok", 404: "absent"}, at=-1)

    async def put(self, source: random.Random, key: int) -> None:
        """PUT of an object."""
        key, content = 1 + key % len(LEAVES), self.contents.new(SIZE)

        def put(state: State, _: Outcomes) -> tuple[State, Hashable]:
            return (state, "no bucket") if not state[BUCKET] else ((*state[:key], content, *state[key + 1 :]), "ok")

        asked = self.book.begin(self.names, f"PUT <{content}> {LEAVES[key - 1]}", Step((key,), put), span=(BUCKET,))
        body, changing = self.contents.data(content), self._is_changing
        answer = await settle(asked, self.gateway.object(source, "PUT", self.bucket, LEAVES[key - 1], body=body))
        if answer is None:
            return
        if answer.status == 404 and (changing or self._is_changing):
            asked.refused(answer)
            return
        self._expect(asked, answer, {200: "ok", 404: "no bucket"})

    async def get(self, source: random.Random, key: int) -> int | None:
        """GET of an object. The status."""
        key, changing = 1 + key % len(LEAVES), self._is_changing
        asked = self.book.begin(self.names, f"GET {LEAVES[key - 1]}", read(key))
        answer = await settle(asked, self.gateway.object(source, "GET", self.bucket, LEAVES[key - 1]))
        if answer is None:
            return None
        content = self.contents.find(answer.body) if answer.status == 200 else None
        if answer.status not in (200, 404) or (answer.status == 200 and content is None):
            raise asked.wrong(answer)
        if answer.status == 404 and (changing or self._is_changing):
            asked.unanswered(f"{answer}, while the bucket changes")
            return 404
        asked.answered(f"{answer.status} <{content}>", lambda outcomes: outcomes[0] == content)
        return answer.status

    async def head(self, source: random.Random, key: int = 0) -> int | None:
        """HEAD of the bucket; while it changes, gateways may differ. The status."""
        changing = self._is_changing
        asked = self.book.begin(self.names, "HEAD bucket", read(BUCKET))
        answer = await settle(asked, self.gateway.bucket(source, "HEAD", f"/v1/buckets/{self.bucket}", {}))
        if answer is None:
            return None
        if answer.status not in (200, 404):
            raise asked.wrong(answer)
        if changing or self._is_changing:
            asked.unanswered(f"{answer}, while it changes")
        else:
            asked.answered(answer, lambda outcomes: bool(outcomes[0]) == (answer.status == 200))
        return answer.status

    @property
    def _is_changing(self) -> bool:
        """Whether the bucket is being made or destroyed, or may be: then gateways may differ about it."""
        return any(one.text in ("CREATE", "DESTROY") for one in self.names.family.unfinished)

    def _expect(self, asked: Asked, answer: Answer, outcomes: dict[int, str], at: int = 0) -> None:
        if answer.status == 409 and "exists" not in answer.body.decode():
            asked.refused(answer)
            return
        if answer.status not in outcomes:
            raise asked.wrong(answer)
        asked.answered(answer, lambda found: found[at] == outcomes[answer.status])
