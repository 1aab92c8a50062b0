"""A family of object names in a bucket, and what all requests on them share."""

from collections.abc import Awaitable, Hashable
from dataclasses import dataclass
from typing import Self
from urllib.parse import quote

from harness.faults.book import Asked, Book, Names
from harness.faults.gateway import Gateway, Refused, Unknown
from harness.faults.model import Step
from harness.faults.values import Contents
from harness.faults.web import Answer

SIZES = (0, 40, 300, 4096, 4096, 16_384, 20_000, 70_000, 300_000, 1_200_000)
LEAVES = ("a", "a/b", "%x", "L" * 300 + "/" + "y" * 700, "\N{SLIGHTLY SMILING FACE}é", "d//e/")
"""Below the prefix of a family. The last one only S3 can name."""
S3_ONLY = 5
S3_XML = "{http://s3.amazonaws.com/doc/2006-03-01/}"
USER = "x-amz-meta-"


@dataclass(eq=False)
class ObjectFamily:
    """`LEAVES` under a prefix of a bucket. A register holds an `Object`, or None."""

    book: Book
    gateway: Gateway
    bucket: str
    prefix: str
    names: Names
    keys: tuple[str, ...]

    @classmethod
    def new(cls, book: Book, gateway: Gateway, bucket: str, prefix: str) -> Self:
        """All names absent."""
        keys = tuple(prefix + leaf for leaf in LEAVES)
        titles = tuple(leaf if len(leaf) < 20 else f"{leaf[:3]}...{len(leaf)}" for leaf in LEAVES)
        names = book.family(f"{bucket}/{prefix}", titles, (None,) * len(keys))
        return cls(book, gateway, bucket, prefix, names, keys)

    @property
    def contents(self) -> Contents:
        """All contents of the run."""
        return self.book.contents

    def begin(self, text: str, key: int, *steps: Step) -> Asked:
        """A request on one name."""
        return self.book.begin(self.names, f"{text} {self.names.keys[key]}", *steps)

    def possible(self, key: int) -> set[Hashable]:
        """What a name may hold now."""
        return self.names.family.possible(key)

    def expect(
        self,
        asked: Asked,
        answer: Answer,
        outcomes: dict[int, str | None],
        *,
        at: int = 0,
        nothing: tuple[int, ...] = (),
    ) -> None:
        """The outcome of step `at` that each status tells; None: any. Statuses in `nothing` had no effect."""
        if answer.status in nothing:
            asked.refused(answer)
            return
        if answer.status not in outcomes:
            raise asked.wrong(answer)
        wanted = outcomes[answer.status]
        asked.answered(answer, lambda found: wanted is None or found[at] == wanted)


async def settle(asked: Asked, sent: Awaitable[Answer]) -> Answer | None:
    """The answer; None when there was none, which the request knows then."""
    try:
        return await sent
    except Refused as error:
        asked.refused(error)
    except Unknown as error:
        asked.unanswered(error)
    return None


def quoted(text: str) -> str:
    """Percent-encoded, slashes kept."""
    return quote(text, safe="/")
