"""Which versions a job for what is there has brought: what a destination of the rules lacks, and nothing else."""

import pytest

from ais.core import replicas
from ais.core.meta import ObjectMeta
from ais.s3 import encryption, replication
from ais.s3.replication import Destination, Rule

ONE, TWO = Destination("", "one"), Destination("far", "two")
RULES = tuple(Rule("r", 1, prefix, (), to, True, None, "", False) for prefix, to in (("", ONE), ("p/", TWO)))
A, B = ONE.name, TWO.name


def meta_of(fact: str, **more: str) -> ObjectMeta:
    """A version with this fact."""
    facts = {**more, replicas.FACT: fact} if fact else more
    return ObjectMeta("1", "none", "", 1, facts=facts, version_id="1")


@pytest.mark.parametrize(
    ("key", "before", "after"),
    [
        ("k", "", f"1 {A}=P"),
        ("k", f"3 {A}=C", None),
        ("k", f"3 {A}=P", f"4 {A}=P"),
        ("k", f"3 {A}=F", f"4 {A}=P"),
        ("p/k", f"3 {A}=C", f"4 {A}=C {B}=P"),
        ("p/k", f"3 {A}=C {B}=C", None),
        ("k", "3 @gone=P", f"4 {A}=P"),
        ("k", f"3 @gone=P {A}=C @was=C", f"3 {A}=C @was=C"),
        ("k", f"3 {replicas.REPLICA}", None),
    ],
)
def test_what_is_lacking(key: str, before: str, after: str | None) -> None:
    """Each destination that has not the version is waited for again; others stay as they are."""
    meta = meta_of(before)
    again = replication.marked_again(RULES, key, meta)
    if after is None:
        assert again is meta
    else:
        assert again.facts[replicas.FACT] == after


def test_what_waited_for_nobody() -> None:
    """A version that no rule is about any more has no status, and its revision goes on."""
    again = replication.marked_again(RULES[1:], "k", meta_of("3 @gone=P"))
    assert (replicas.status(again.facts), replicas.revision(again.facts)) == ("", 3)


def test_what_nobody_can_read() -> None:
    """A version under a key of its client is refused, once; one without an ID has nothing to do with replicas."""
    sealed = meta_of("", **{encryption.ALGORITHM: encryption.CUSTOMER})
    refused = replication.marked_again(RULES, "k", sealed)
    assert replicas.status(refused.facts) == replicas.FAILED
    assert not replicas.waiting(refused.facts)
    assert replication.marked_again(RULES, "k", refused) is refused
